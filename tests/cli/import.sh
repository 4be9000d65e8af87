#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# import.sh: sources of every format become entries, all or none, and bad rows are named.
. "${srcdir:-.}/tests/lib/tap.sh"

entries()
{
    run "$sdb" kv scan t.sdb "$1"
}

# ---- csv and tsv --------------------------------------------------------------------------------
printf 'name,age,note\r\nalice,30,"likes, commas"\r\nbob,31,"two\nlines ""q"""\r\n\r\n' >people.csv
run "$sdb" import t.sdb people people.csv
is "$status" 0 "csv"
like "$out" "imported 2 rows into people: *" "which says how many"
entries people
is "$out" 'alice	{"age":"30","note":"likes, commas"}
bob	{"age":"31","note":"two\nlines \"q\""}' "the value is the other columns as JSON, in order"
run "$sdb" import t.sdb byage people.csv --key age --value note
run "$sdb" kv get t.sdb byage 31
is "$out" 'two
lines "q"' "--key and --value choose columns"
printf '\357\273\277id\tv\n1\ta,b\n' >marked.tsv
run "$sdb" import t.sdb tsv marked.tsv
entries tsv
is "$out" '1	{"v":"a,b"}' "tsv, with a byte order mark"
printf 'a;b;c\nd;e;f\n' | "$sdb" import t.sdb semi - --separator ';' --no-header --key 2 >.out
entries semi
is "$out" 'b	{"1":"a","3":"c"}
e	{"1":"d","3":"f"}' "--separator, --no-header, from standard input"
printf 'k,v\n1,\377\n' >latin.csv
run "$sdb" import t.sdb latin latin.csv
like "$status:$err" '1:*line 2: column "v" is not UTF-8*' "what is not UTF-8 is no JSON"
run "$sdb" import t.sdb latin latin.csv --value v
run "$sdb" kv get --hex t.sdb latin 31
is "$out" ff "and with --value comes as it is"

# ---- lines and JSON lines -----------------------------------------------------------------------
printf 'zebra\napple\n\nlast' >words.txt
run "$sdb" import t.sdb words words.txt
entries words
is "$out" '""	3
apple	2
last	4
zebra	1' "lines: the key is the line, the value its number"
printf '{"id":7,"x":{"y":[1]}}\n\n{"x":1,"id":"\\u00e4\\ud83d\\ude00"}\n' >docs.jsonl
run "$sdb" import t.sdb docs docs.jsonl --key id
entries docs
is "$out" '7	{"id":7,"x":{"y":[1]}}
ä😀	{"x":1,"id":"\u00e4\ud83d\ude00"}' "jsonl with --key: the value is the line"
run "$sdb" import t.sdb docs2 docs.jsonl --key id --value x
entries docs2
is "$out" '7	{"y":[1]}
ä😀	1' "or one field"
printf '{"key":"a","value":"b"}\n{"value_base64":"AP8=","key_base64":"/w=="}\n' >own.jsonl
run "$sdb" import t.sdb own own.jsonl
run "$sdb" kv scan --hex t.sdb own
is "$out" '61	62
ff	00ff' "jsonl as export writes it"

# ---- all or nothing -----------------------------------------------------------------------------
printf 'name,age\nalice,30\nbob\ncarol,"3"1\ndave,4\n' >bad.csv
run "$sdb" import new.sdb people bad.csv
is "$status:$out" "1:" "bad rows: status 1"
like "$err" "*bad.csv: line 3: it has 1 column where the header has 2*" "the line and the reason"
like "$err" "*bad.csv: line 4: text right after a closing quote*" "for each of them"
like "$err" "*nothing was imported; --keep-going skips bad rows*" "and what can be done"
ok "no database is made" test ! -e new.sdb
run "$sdb" import t.sdb fresh bad.csv
run "$sdb" kv count t.sdb fresh
is "$status" 1 "no keyspace is made"
run "$sdb" import t.sdb people bad.csv
run "$sdb" kv count t.sdb people
is "$out" 2 "nothing is added to one that is there"
run "$sdb" import t.sdb some bad.csv --keep-going --json
like "$out" '{"keyspace":"some","rows":2,"skipped":2,"bytes":*,"seconds":*}' \
    "--keep-going skips them"
is "$status" 0 "and that is no failure"
head -c 65537 /dev/zero | tr '\0' k >long.txt
run "$sdb" import t.sdb fresh long.txt
like "$status:$err" "1:*line 1: the key has 65,537 bytes; at most 65,536*" \
    "a key too long is a bad row"
printf 'k,k\n1,2\n' >twice.csv
run "$sdb" import t.sdb fresh twice.csv
like "$status:$err" '1:*column 2 "k" is there twice*' "a header with a name twice"
printf 'k,v\n"1,2\n3,4\n' >open.csv
run "$sdb" import t.sdb fresh open.csv
like "$status:$err" '1:*line 2: a quoted cell does not end*' \
    "a quote that does not end, where it began"
run "$sdb" import t.sdb fresh people.csv --key none
like "$status:$err" '1:*there is no column "none"*' "a column that is not there"
run "$sdb" import t.sdb fresh nowhere.csv
like "$status:$err" '1:*nowhere.csv: cannot be opened: No such file*' "a source that is not there"
run "$sdb" import t.sdb fresh .
is "$status" 2 "a folder has no format"
run "$sdb" import t.sdb fresh . --format lines
like "$status:$err" '1:*directory*' "and is no source"
: >empty.csv
run "$sdb" import t.sdb fresh empty.csv
like "$status:$err" '1:*it is empty, and has no header*' "an empty csv has no header"
: >empty.txt
run "$sdb" import t.sdb nothing empty.txt
like "$status:$out" '0:imported 0 rows into nothing*' "an empty list is a list"

# bad_json LINE PATTERN
bad_json()
{
    printf '%s\n' "$1" >bad.jsonl
    run "$sdb" import t.sdb fresh bad.jsonl --key id
    like "$status:$err" "1:*line 1: $2*" "bad JSON: $1"
}
bad_json '{"id":1' 'column 8: a comma or a closing bracket is expected*'
bad_json '{"id":1,}' 'column 9: a member*'
bad_json '{"id":01}' 'column 8: a comma or a closing bracket is expected*'
bad_json '{"id":"\ud800"}' 'column 8: a lone surrogate'
bad_json '{"id":"a	b"}' 'column 9: a control character*'
bad_json '{"id":"\x"}' 'column 8: there is no such escape'
bad_json '{"id":tru}' 'column 7: a value is expected here'
bad_json '{"id":1} x' 'column 10: text after the object'
bad_json '[1]' 'column 1: an object is expected here'
bad_json '{"no":1}' 'there is no field "id"'
bad_json '{"id":1,"id":2}' 'the field "id" is there twice'
bad_json '{"id":[1]}' 'the field "id" is no text, number or truth value'
# nested DEPTH: a line whose field x holds DEPTH arrays.
nested()
{
    printf '{"id":1,"x":'
    head -c "$1" /dev/zero | tr '\0' '['
    head -c "$1" /dev/zero | tr '\0' ']'
    echo '}'
}
nested 513 >bad.jsonl
run "$sdb" import t.sdb fresh bad.jsonl --key id
like "$status:$err" "1:*nested deeper than 512 levels*" "bad JSON: nested too deep"
nested 512 >deep.jsonl
run "$sdb" import t.sdb deep deep.jsonl --key id
is "$status" 0 "512 levels are allowed"
printf '{"id":"%b"}\n' '\377' >bad.jsonl
run "$sdb" import t.sdb fresh bad.jsonl --key id
like "$status:$err" "1:*column 8: bytes that are not UTF-8*" "bad JSON: not UTF-8"
printf '{"key":"a","value":"b","more":1}\n' >bad.jsonl
run "$sdb" import t.sdb fresh bad.jsonl
like "$status:$err" '1:*other fields than key and value*' "the export's form has two fields"
run "$sdb" kv count t.sdb fresh
is "$status" 1 "after all that there is no keyspace"

# ---- batches ------------------------------------------------------------------------------------
seq 1000 | sed 's/^/row /' >rows.txt
"$sdb" import t.sdb batches rows.txt --batch 300 --progress-fd 3 >.out 3>.progress
is "$(tr '\n' ' ' <.progress)" "committed 300 committed 600 committed 900 committed 1000 " \
    "--progress-fd tells what is committed"
printf 'k,v\n1,1\n2,2\n3,3\n4,"4"4\n5,5\n' >late.csv
run "$sdb" import t.sdb late late.csv --batch 2
like "$status:$err" "1:*line 5*the first 2 rows are committed*" "a batch that fails says what stays"
run "$sdb" kv count t.sdb late
is "$out" 2 "and that is so"
printf 'k,v\n1,old\n1,new\n' | "$sdb" import t.sdb again - --format csv --value v >.out
run "$sdb" kv get t.sdb again 1
is "$out" new "of rows with one key the last counts"
mkfifo pipe
cat people.csv >pipe &
run "$sdb" import t.sdb piped pipe --format csv
is "$status" 0 "a pipe can be imported"
run "$sdb" kv count t.sdb piped
is "$out" 2 "all or nothing too"
run "$sdb" check t.sdb
like "$status:$out" "0:sound:*" "the database is sound"
done_testing
