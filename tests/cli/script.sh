#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# script.sh: the shell without a terminal: scripts, single commands, errors, exit status.
. "${srcdir:-.}/tests/lib/tap.sh"

# script TEXT [ARGUMENT…]: runs TEXT as a script on s.sdb.
script()
{
    printf '%b' "$1" >.script
    shift
    status=0
    "$sdb" "$@" s.sdb <.script >.out 2>.err || status=$?
    out=$(cat .out)
    err=$(cat .err)
}

script 'put a x 1\nget a x\n'
is "$status:$out:$err" "0:1:" "a script"
script 'get a nobody\nget a x\n'
is "$status:$out" "0:1" "a key that is not found does not end it"
like "$err" "sdb: s.sdb: line 1: there is no key nobody in 'a'" "and is said on standard error"
script '\n# comment\n\nfrobnicate\nput a x 2\n'
is "$status:$out" "1:" "an error ends it with status 1"
like "$err" "sdb: s.sdb: line 4: there is no command 'frobnicate'*" "and names the line"
script 'get a x\n'
is "$out" 1 "what came after was not done"
script '.bail off\nfrobnicate\nget a x\n'
is "$status:$out" "1:1" "with .bail off it goes on, with status 1 in the end"
script 'put a y "open\n'
like "$status:$err" "1:*line 1: the script ends within a command*" "a quote that does not end"
script 'put a "\\q" 1\n'
like "$status:$err" "1:*line 1: between double quotes a backslash wants*" "a wrong escape"
script 'put a x1 \\\n  2\nnonsense\n'
like "$err" "*line 3:*" "lines are counted over joined ones"
script 'begin\nput a z 1\n'
like "$status:$err" "1:*the transaction that was open is rolled back" \
    "an open transaction at the end is an error"
script 'get a z\n'
like "$err" "*no key z*" "and is rolled back"
script 'begin\nput a z 1\nfrobnicate\ncommit\n'
like "$status:$err" "1:*frobnicate*rolled back" "an error within a transaction rolls it back"
script 'begin read\nput a z 1\n'
is "$status" 1 "begin read changes nothing"
script 'begin read\nget a x\n'
is "$status:$out:$err" "0:1:" "and may be left open"
script 'create a\n'
is "$status" 1 "a keyspace is made once"
script 'create ""\n'
is "$status" 1 "a keyspace has a name"
script '.quit\nfrobnicate\n'
is "$status" 0 ".quit leaves"
script '.timing on\nget a x\n.timing\n'
like "$out:$err" "1
on:time: * ?s*" ".timing prints on standard error"
script '.open other.sdb\nput b k v\n.keyspaces\n'
is "$status:$out" "0:b" ".open goes on with another database"
script '.open .\nget a x\n'
is "$status" 1 ".open of what is none is an error"
script '.bail off\n.open .\nget a x\n'
is "$out" 1 "and leaves the present one open"
script '.help\n'
like "$status:$out" "0:*scan*.keyspaces*" ".help"
script '.help scan\n'
like "$status:$out" "0:usage: scan*--prefix*" ".help of a command"
script '.stat\n.mode json\n.stat\n'
like "$status:$out" '0:*keyspaces	1*"keyspaces":1,*' ".stat"
seq 50 >list.txt
script '.import n list.txt\n.export n out.csv\ncount n\n.check\n'
like "$status:$out" "0:imported 50 rows into n*exported 50 entries to out.csv*50
sound:*" ".import, .export, .check"
script 'begin\nput a q 1\n.import n list.txt\n'
like "$status:$err" "1:*a transaction is open; commit or rollback first*" \
    ".import is no part of a transaction"

# ---- single commands ----------------------------------------------------------------------------
run "$sdb" s.sdb "get a x"
is "$status:$out" "0:1" "one command"
run "$sdb" s.sdb put a 'two words' 'x'\''00'\'''
run "$sdb" s.sdb 'scan a --prefix two'
is "$out" "two words	x'00'" "in words that stay as they are"
run "$sdb" s.sdb put a "x'00'" 1
run "$sdb" s.sdb "put a x'01' \"a\\tb\""
run "$sdb" kv get --hex s.sdb a 01
is "$out" 610962 "or in one that is cut into words"
run "$sdb" s.sdb "get a nobody"
is "$status:$out" "1:" "not found: status 1"
run "$sdb" s.sdb gte a x
is "$status" 2 "no such command: status 2"
run "$sdb" s.sdb scan a --limit
is "$status" 2 "a wrong option: status 2"
run "$sdb" --readonly s.sdb "put a x 3"
is "$status" 1 "--readonly"
run "$sdb" s.sdb --readonly "get a x"
is "$status:$out" "0:1" "options may follow the file"
run "$sdb" --page-size 16K new.sdb .stat
like "$out" "*page size	16.0 KiB*" "--page-size of a new database"
for level in full group none; do
    run "$sdb" --durability "$level" s.sdb "put d $level 1"
    is "$status" 0 "--durability $level"
done
run "$sdb" --backend posix --cache 8M s.sdb .stat
like "$out" "I/O backend	posix*cache limit	7.? MiB*" "--backend and --cache"
done_testing
