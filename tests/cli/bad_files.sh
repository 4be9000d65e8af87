#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bad_files.sh: foreign, truncated, flipped and unreachable files: a clear error, status 1,
# nothing lost.
. "${srcdir:-.}/tests/lib/tap.sh"

# refused PATTERN NAME ARGUMENT…
refused()
{
    pattern=$1
    name=$2
    shift 2
    run timeout 60 "$sdb" "$@"
    is "$status:$out" "1:" "$name: status 1, nothing printed"
    like "$err" "$pattern" "$name: says so"
}

seq 5000 >list.txt
run "$sdb" import good.sdb numbers list.txt

# ---- other files --------------------------------------------------------------------------------
cp list.txt foreign.sdb
for command in "kv get foreign.sdb numbers 1" "stat foreign.sdb" "kv put foreign.sdb numbers 1 1" \
    "checkpoint foreign.sdb" "backup foreign.sdb b.sdb" "export foreign.sdb numbers x.csv" \
    "import foreign.sdb numbers list.txt" "foreign.sdb .keyspaces"; do
    # shellcheck disable=SC2086
    refused "sdb: foreign.sdb: *" "a text file: $command" $command
done
ok "the text file is as it was" cmp -s list.txt foreign.sdb
run "$sdb" check foreign.sdb
is "$status" 1 "a text file: check"
refused "sdb: .: *" "a folder" stat .
refused "sdb: nowhere.sdb: *" "a file that is not there" stat nowhere.sdb
refused "sdb: no/where.sdb: *" "a folder that is not there" kv put no/where.sdb a b c
run "$sdb" check nowhere.sdb
is "$status" 1 "check of a file that is not there"
ok "makes none" test ! -e nowhere.sdb

# ---- damage -------------------------------------------------------------------------------------
# After damage, every command says so or gives the right answer.
right_or_refused()
{
    run timeout 60 "$sdb" kv scan "$1" numbers
    if [ "$status" -eq 0 ]; then
        is "$out" "$whole" "$2: all is right"
    else
        is "$status" 1 "$2: scan is refused"
        like "$err" "sdb: $1: *" "$2: and says so"
    fi
}
run "$sdb" kv scan good.sdb numbers
whole=$out
size=$(wc -c <good.sdb)
for part in 0 1 2 3 4 5 6 7 8 9; do
    length=$((size * part / 10))
    head -c "$length" good.sdb >short.sdb
    if [ "$length" -gt 0 ]; then
        run timeout 60 "$sdb" check short.sdb
        is "$status" 1 "cut to $length bytes: check finds it"
        right_or_refused short.sdb "cut to $length bytes"
    fi
done
# Bytes spread over the file, each flipped alone.
for part in 1 7 13 29 41 57 71 88 99; do
    at=$((size * part / 100))
    cp good.sdb flipped.sdb
    byte=$(od -An -tu1 -j "$at" -N 1 good.sdb)
    # shellcheck disable=SC2059
    printf "$(printf '\\%03o' $((byte ^ 1)))" |
        dd of=flipped.sdb bs=1 seek="$at" conv=notrunc 2>/dev/null
    run timeout 60 "$sdb" check flipped.sdb
    case $status in
    0) like "$out" "sound:*free*" "byte $at flipped: sound, for it is in no use" ;;
    *) like "$status:$out" "1:damaged: *" "byte $at flipped: check names it" ;;
    esac
    right_or_refused flipped.sdb "byte $at flipped"
done

# ---- folders and disks --------------------------------------------------------------------------
mkdir fixed
cp good.sdb fixed/t.sdb
chmod 500 fixed
if [ -w fixed ]; then
    skip "root writes into any folder"
else
    refused "sdb: fixed/new.sdb: *" "a read-only folder: a new database" kv put fixed/new.sdb a b c
    refused "*fixed/out.csv*" "a read-only folder: an export" export good.sdb numbers fixed/out.csv
    run "$sdb" kv get --readonly fixed/t.sdb numbers 7
    is "$out" 7 "a read-only folder: reading"
fi
chmod 700 fixed
chmod 000 fixed/t.sdb
if [ -r fixed/t.sdb ]; then
    skip "root reads any file"
else
    refused "sdb: fixed/t.sdb: *" "a file without permission" stat fixed/t.sdb
fi
chmod 600 fixed/t.sdb
run "$sdb" check good.sdb
like "$status:$out" "0:sound:*" "after all that the good one is good"
done_testing
