#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# dump.sh: the binary dump: bytes as docs/format/dump.md says, whole or refused.
. "${srcdir:-.}/tests/lib/tap.sh"

run "$sdb" kv put t.sdb users alice 1
run "$sdb" kv put --hex t.sdb users 00ff ''
run "$sdb" kv put t.sdb orders 17 '{"of":"alice"}'
run "$sdb" t.sdb "create empty"
run "$sdb" export t.sdb all.dump
like "$status:$out" "0:exported 3 entries*" "a dump of all keyspaces"
run "$sdb" import copy.sdb all.dump
like "$status:$out" "0:imported 3 rows into the dump's keyspaces*" "comes back"
run "$sdb" copy.sdb ".keyspaces --count"
is "$out" 'empty	0
orders	1
users	2' "with its keyspaces, an empty one too"
run "$sdb" export copy.sdb again.dump
ok "and is the same dump again" cmp -s all.dump again.dump

# ---- the bytes, by the text of the specification ------------------------------------------------
run "$sdb" export t.sdb orders one.dump
bytes()
{
    od -An -v -tx1 -j "$1" -N "$2" one.dump | tr -d ' \n'
}
is "$(bytes 0 8)" 53444244554d500a "magic"
is "$(bytes 8 8)" 0100000001000000 "version 1, one keyspace"
is "$(bytes 32 12)" 010000000600000000000000 "a keyspace record"
is "$(bytes 48 6)" 6f7264657273 "its name"
is "$(bytes 58 12)" 02000000020000000e000000 "an entry: 2 bytes of key, 14 of value"
is "$(bytes 74 2)" 3137 "its key"
is "$(bytes 94 12)" 030000000800000000000000 "the end"
is "$(bytes 110 8)" 0100000000000000 "which counts 1 entry"
is "$(wc -c <one.dump | tr -d ' ')" 122 "and nothing follows"

# ---- expiries -----------------------------------------------------------------------------------
run "$sdb" e.sdb "create sessions --ttl 1h"
run "$sdb" kv put e.sdb sessions s1 on
run "$sdb" kv put --ttl 2h e.sdb sessions s2 on
run "$sdb" kv put e.sdb plain for ever
run "$sdb" export e.sdb e.dump
is "$(od -An -v -tx1 -j 8 -N 4 e.dump | tr -d ' ')" 02000000 "with expiries it is version 2"
run "$sdb" import f.sdb e.dump
is "$status" 0 "comes back"
run "$sdb" export f.sdb f.dump
ok "and is the same dump again" cmp -s e.dump f.dump
run "$sdb" export e.sdb sessions s.dump
run "$sdb" import f.sdb other s.dump
run "$sdb" kv ttl f.sdb other s2
like "$status:$out" "0:[0-9]*" "an expiry goes into a keyspace of another name"
run "$sdb" kv put f.sdb other s3 on
run "$sdb" kv ttl f.sdb other s3
like "$out" "[0-9]*" "with the time to live of the keyspace"

# ---- one keyspace -------------------------------------------------------------------------------
run "$sdb" import t.sdb renamed one.dump
run "$sdb" kv get t.sdb renamed 17
is "$out" '{"of":"alice"}' "a dump of one keyspace can go into another"
run "$sdb" import t.sdb renamed all.dump
like "$status:$err" "1:*holds 3 keyspaces; leave the keyspace out*" "a dump of several cannot"

# ---- damage -------------------------------------------------------------------------------------
size=$(wc -c <all.dump)
for at in 0 9 20 31 40 44 50 60 80 100 120 150 "$((size - 30))" "$((size - 12))" "$((size - 1))"; do
    cp all.dump flipped.dump
    byte=$(od -An -tu1 -j "$at" -N 1 all.dump)
    # shellcheck disable=SC2059
    printf "$(printf '\\%03o' $((byte ^ 16)))" |
        dd of=flipped.dump bs=1 seek="$at" conv=notrunc 2>/dev/null
    run "$sdb" import flipped.sdb flipped.dump
    like "$status:$err" "1:sdb: flipped.sdb: flipped.dump: *" "byte $at flipped: refused"
done
ok "and no database was made" test ! -e flipped.sdb
for length in 0 7 31 32 47 60 "$((size - 1))"; do
    head -c "$length" all.dump >short.dump
    run "$sdb" import short.sdb short.dump
    is "$status" 1 "the first $length bytes: refused"
done
{ cat all.dump; echo; } >long.dump
run "$sdb" import long.sdb long.dump
like "$status:$err" "1:*bytes follow the end*" "a byte too much: refused"
cp one.dump damaged.dump
printf X | dd of=damaged.dump bs=1 seek=80 conv=notrunc 2>/dev/null
run "$sdb" import kept.sdb damaged.dump --keep-going
like "$status:$out" "0:*0 rows*1 bad row skipped" "--keep-going skips a damaged entry"
run "$sdb" import kept.sdb people.csv --format dump
is "$status" 1 "no file"
echo 'key,value' >people.csv
run "$sdb" import kept.sdb people.csv --format dump
like "$status:$err" "1:*not an sdb dump*" "another file"
done_testing
