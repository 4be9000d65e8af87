#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# export.sh: what is exported is what was there, and comes back by an import.
. "${srcdir:-.}/tests/lib/tap.sh"

printf 'name,age,note\nalice,30,"likes, commas"\nbob,31,"two\nlines ""q"""\ncarol,,\n' >people.csv
run "$sdb" import t.sdb people people.csv

# ---- csv ----------------------------------------------------------------------------------------
run "$sdb" export t.sdb people out.csv --columns all --key name
like "$status:$out" "0:exported 3 entries to out.csv: *" "csv"
ok "--columns all gives the csv back that was imported" cmp -s people.csv out.csv
run "$sdb" export t.sdb people - --format csv --columns note,none --no-header
is "$out" 'alice,"likes, commas",
bob,"two
lines ""q""",
carol,,' "--columns with names; what is missing is empty"
run "$sdb" export t.sdb people pairs.csv
run "$sdb" import t.sdb pairs pairs.csv --value value
run "$sdb" kv scan t.sdb people
before=$out
run "$sdb" kv scan t.sdb pairs
is "$out" "$before" "csv without columns comes back"
run "$sdb" export t.sdb people out.tsv
like "$(head -n 1 out.tsv)" "key	value" "tsv"
run "$sdb" kv put t.sdb people dave 'no json'
run "$sdb" export t.sdb people other.csv --columns all
like "$status:$err" "1:*the value is no JSON object*key dave*" \
    "--columns wants objects, and names the key"
ok "and leaves no file" test ! -e other.csv
ok "nor an unfinished one" test -z "$(ls other.csv.part* 2>/dev/null)"

# ---- the file -----------------------------------------------------------------------------------
run "$sdb" export t.sdb people out.csv
like "$status:$err" "1:*out.csv: it is there already; --force replaces it" "no file is replaced"
ok "it is as it was" cmp -s people.csv out.csv
run "$sdb" export t.sdb people out.csv --force
is "$status" 0 "--force replaces it"
run "$sdb" export t.sdb people t.sdb --force --format csv
like "$status:$err" "1:*the database itself" "but never the database"
run "$sdb" export t.sdb people nowhere/out.csv
like "$status:$err" "1:*nowhere/out.csv*No such file*" "a folder that is not there"
run "$sdb" export t.sdb peple out2.csv
like "$status:$err" "1:*no keyspace 'peple'; did you mean 'people'*" "a keyspace that is not there"
ok "makes no file" test ! -e out2.csv
run "$sdb" export t.sdb people /dev/full --format csv
like "$status:$err" "1:*/dev/full*No space left*" "a full disk"

# ---- jsonl and lines ----------------------------------------------------------------------------
run "$sdb" kv put --hex t.sdb bytes 00ff 80
run "$sdb" kv put t.sdb bytes text 'a "q"'
run "$sdb" export t.sdb bytes - --format jsonl
is "$out" '{"key_base64":"AP8=","value_base64":"gA=="}
{"key":"text","value":"a \"q\""}' "jsonl"
printf '{"id":"b","x":[1, 2]}\n{"id":"a"}\n' >docs.jsonl
run "$sdb" import t.sdb docs docs.jsonl --key id
run "$sdb" export t.sdb docs - --format jsonl --documents
is "$out" '{"id":"a"}
{"id":"b","x":[1, 2]}' "--documents gives the lines back, in key order"
run "$sdb" export t.sdb bytes - --format jsonl --documents
like "$status:$err" "1:*not JSON*" "--documents wants JSON"
run "$sdb" export t.sdb people - --format lines
is "$out" 'alice
bob
carol
dave' "lines are the keys"
run "$sdb" kv put t.sdb breaks 'a
b' 1
run "$sdb" export t.sdb breaks - --format lines
like "$status:$err" "1:*line break*" "a key with a line break is no line"

# ---- any bytes come back ------------------------------------------------------------------------
# 279 bytes are 372 characters of base64: 28 for a key, 344 for a value, neither padded.
head -c $((279 * 200)) /dev/urandom | base64 -w 372 |
    sed 's/^\(.\{28\}\)\(.*\)$/{"key_base64":"\1","value_base64":"\2"}/' >random.jsonl
run "$sdb" import t.sdb random random.jsonl
is "$status:$(wc -l <random.jsonl)" "0:200" "200 rows of random bytes"
run "$sdb" kv scan --hex t.sdb random
before=$out
for format in csv tsv jsonl dump; do
    run "$sdb" export t.sdb random "random-out.$format"
    is "$status" 0 "random bytes to $format"
    case $format in csv | tsv) set -- --value value ;; *) set -- ;; esac
    run "$sdb" import "$format.sdb" random "random-out.$format" "$@"
    run "$sdb" kv scan --hex "$format.sdb" random
    is "$out" "$before" "random bytes back from $format"
done
done_testing
