#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# space.sh: compressed keyspaces and vacuum, from the command line.
. "${srcdir:-.}/tests/lib/tap.sh"

awk 'BEGIN { for (i = 0; i < 3000; i++) printf "key%05d,%s-%d\n", i, \
    "the same words again and again in each of the values", i }' >rows.csv
for how in none lz4 zstd zstd:9; do
    run "$sdb" import --no-header --compression "$how" t.sdb "in $how" rows.csv
    is "$status" 0 "imports into a keyspace with --compression $how"
done
run "$sdb" import --no-header --compression zip t.sdb more rows.csv
is "$status" 2 "another compression is misuse"
like "$err" "*'zip' is not none, lz4, zstd*" "and it says what there is"
run "$sdb" import --no-header --compression zstd:20 t.sdb more rows.csv
is "$status" 2 "so is another level"

run "$sdb" t.sdb create hand --compression lz4
is "$status" 0 "create takes it too"
run "$sdb" stat t.sdb
like "$out" "*compressed pages*compressed in lz4*lz4, pages take * %*" "stat tells what it saves"
like "$out" "*compressed in zstd*zstd:3, pages*" "and how"
like "$out" "*compressed in zstd:9*zstd:9, pages*" "and the level"
run "$sdb" stat t.sdb --json
like "$out" '*"compressed":[[]{"keyspace":"hand","compression":"lz4",*"in lz4"*}[]]}' "as JSON"
for how in lz4 zstd zstd:9; do
    run "$sdb" kv count t.sdb "in $how"
    is "$out" 3000 "all rows are in $how"
done
run "$sdb" check t.sdb
is "$status" 0 "it is sound"

awk 'BEGIN { for (i = 0; i < 1500; i++) { line = ""; for (j = 1; j < 150; j++)
    line = line sprintf("%d=%d;", j * 7919 * 104729 % 999999937, j % 9 ? j % 7 : i * j % 1000)
    printf "doc%05d,%s%d\n", i, line, i } }' >docs.csv
run "$sdb" import --no-header --compression zstd t.sdb docs docs.csv
before=$("$sdb" stat t.sdb --json | sed 's/.*"keyspace":"docs"[^}]*"stored_bytes":\([0-9]*\).*/\1/')
run "$sdb" kv train t.sdb docs --rewrite
like "$status:$out" "0:a dictionary of * KiB: pages take * %*" "kv train"
after=$("$sdb" stat t.sdb --json | sed 's/.*"keyspace":"docs"[^}]*"stored_bytes":\([0-9]*\).*/\1/')
ok "makes pages smaller" test "$after" -lt "$((before * 9 / 10))"
run "$sdb" stat t.sdb
like "$out" "*compressed docs*zstd:3, pages take * %, a dictionary of *" "stat tells of it"
run "$sdb" kv train t.sdb docs --json
like "$status:$out" '1:{"kept":false,"dictionary_bytes":*,"bytes_after":*}*' "the next does not pay"
run "$sdb" kv train t.sdb hand
like "$status:$err" "1:*not compressed with zstd*" "others have no dictionaries"
run "$sdb" t.sdb train "in zstd"
like "$status:$err" "1:*a dictionary is trained with*" "nor do small ones"
run "$sdb" check t.sdb
is "$status" 0 "it is sound"
run "$sdb" kv get t.sdb docs doc01499
like "$out" "*=*;1499*" "and holds what it held"
"$sdb" t.sdb drop docs >/dev/null
run "$sdb" check t.sdb
is "$status" 0 "without it, too"

full=$(wc -c <t.sdb)
for how in none zstd; do
    "$sdb" t.sdb drop "in $how" >/dev/null
done
cp t.sdb holes.sdb
run "$sdb" vacuum t.sdb
like "$status:$out" "0:vacuumed: * before: *" "vacuum"
less=$(wc -c <t.sdb)
ok "makes the file smaller" test "$less" -lt "$((full * 3 / 4))"
run "$sdb" check t.sdb
is "$status" 0 "which is sound"
run "$sdb" kv get t.sdb "in lz4" key02999
like "$out" "*the same words again and again in each of the values-2999*" "and holds what it held"
run "$sdb" vacuum t.sdb --json
like "$status:$out" '0:{"file_bytes_before":*,"file_bytes":*,"used_bytes":*,"seconds":*}' "as JSON"
run "$sdb" vacuum holes.sdb --holes
if [ "$status" -eq 0 ]; then
    like "$out" "holes made: * on the disk, * before: *" "vacuum --holes"
else
    skip "this file system has no holes"
fi
run "$sdb" check holes.sdb
is "$status" 0 "it is sound, too"
run "$sdb" vacuum missing.sdb
is "$status" 1 "there must be a file"
done_testing
