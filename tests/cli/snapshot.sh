#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# snapshot.sh: named snapshots, from the command line.
. "${srcdir:-.}/tests/lib/tap.sh"

"$sdb" kv put t.sdb house color red
"$sdb" kv put t.sdb house door old
run "$sdb" snapshot list t.sdb
is "$status:$out" "0:" "there is none at first"
run "$sdb" snapshot make t.sdb before
like "$status:$out" "0:snapshot made: *" "makes one"
run "$sdb" snapshot make t.sdb before
is "$status" 1 "not twice under a name"
like "$err" "*there is a snapshot \"before\" already*" "and it says so"
"$sdb" kv put t.sdb house color blue
"$sdb" kv del t.sdb house door
run "$sdb" kv get t.sdb house color
is "$out" blue "the database goes on"
run "$sdb" kv get t.sdb house color --snapshot before
is "$out" red "kv get reads the snapshot"
run "$sdb" kv scan t.sdb house --snapshot=before
is "$out" "$(printf 'color\tred\ndoor\told')" "so does kv scan"
run "$sdb" kv count t.sdb house --snapshot before
is "$out" 2 "and kv count"
run "$sdb" kv ttl t.sdb house door --snapshot before
is "$status:$out" "0:for ever" "and kv ttl"
run "$sdb" kv ttl t.sdb house door --snapshot before --ttl=1h
like "$status:$err" "2:*exclude each other*" "which changes nothing there"
run "$sdb" export t.sdb house - --format jsonl --snapshot before
is "$out" "$(printf '%s\n%s' '{"key":"color","value":"red"}' '{"key":"door","value":"old"}')" \
    "and export"
run "$sdb" backup t.sdb copy.sdb --snapshot before
is "$status" 0 "it can be backed up"
run "$sdb" kv get copy.sdb house color
is "$out" red "the backup is as of the snapshot"
run "$sdb" kv get t.sdb house color --snapshot after
is "$status" 1 "another name is not found"
like "$err" "*there is no snapshot \"after\"*" "and it says so"

run "$sdb" snapshot list t.sdb
like "$out" "before	20[0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*:[0-9][0-9]Z	3" "lists it"
run "$sdb" snapshot list t.sdb --json
like "$out" '{"snapshot":"before","made":"20*Z","commit":3}' "as JSON"
run "$sdb" check t.sdb
like "$status:$out" "0:sound: 1 entry in 1 keyspace; 1 snapshot; *" "check verifies it"
run "$sdb" stat t.sdb --json
like "$out" '*"named_snapshots":1,"snapshot_bytes":[1-9]*' "stat counts what it holds"
run "$sdb" backup t.sdb whole.sdb
is "$status" 0 "a backup of the database"
run "$sdb" snapshot list whole.sdb
is "$out" "" "has no snapshots"
run "$sdb" vacuum t.sdb
is "$status" 0 "vacuum"
run "$sdb" kv get t.sdb house door --snapshot before
is "$out" old "leaves it as it is"

printf '%s\n' '.snapshot make "of the shell"' '.snapshot drop before' .snapshot |
    "$sdb" t.sdb >shell
like "$(tail -n 1 shell)" "of the shell	*Z	5" "the shell makes, drops and lists"
printf '%s\n' begin 'put house a b' '.snapshot make x' | "$sdb" t.sdb >shell 2>&1
like "$(cat shell)" "*a transaction is open*" "but not within a transaction"
run "$sdb" snapshot drop t.sdb "of the shell"
like "$status:$out" "0:snapshot dropped: *" "drops it"
run "$sdb" snapshot drop t.sdb "of the shell"
is "$status" 1 "once"
run "$sdb" stat t.sdb --json
like "$out" '*"named_snapshots":0,"snapshot_bytes":0,*' "nothing is held then"
run "$sdb" check t.sdb
is "$status" 0 "it is sound"
run "$sdb" snapshot make t.sdb "$(printf 'a\001b')"
is "$status" 1 "a name has no control characters"
run "$sdb" snapshot make missing.sdb x
is "$status" 1 "there must be a database"
run "$sdb" snapshot
is "$status" 2 "snapshot alone is misuse"
like "$err" "*make, list, drop*" "and it says what there is"
done_testing
