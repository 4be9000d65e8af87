#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# one_writer.sh: while a shell holds a database, a second writer is told who has it; a killed one
# leaves what it acknowledged.
. "${srcdir:-.}/tests/lib/tap.sh"

run "$sdb" kv put t.sdb users alice 1

# A shell that waits for the rest of its script.
mkfifo script
"$sdb" t.sdb <script >shell.out 2>shell.err &
shell=$!
exec 4>script
echo "put users bob 2" >&4
echo "get users bob" >&4
tries=0
until [ -s shell.out ] || [ "$tries" -gt 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
is "$(cat shell.out)" 2 "a shell has the database open"
for command in "kv put t.sdb users eve 3" "t.sdb .keyspaces" "checkpoint t.sdb"; do
    # shellcheck disable=SC2086
    run timeout 60 "$sdb" $command
    is "$status:$out" "1:" "a second writer is refused: $command"
    like "$err" "sdb: t.sdb: *$shell*" "and told the first one's process id"
done
run "$sdb" restore t.sdb t.sdb --force
is "$status" 1 "restore does not touch it either"
kill -9 "$shell"
wait "$shell" 2>/dev/null
exec 4>&-
run "$sdb" kv get t.sdb users bob
is "$status:$out" "0:2" "killed with -9, it left what it had committed"
run "$sdb" kv get t.sdb users eve
is "$status" 1 "and nothing else"

# An import that is killed: what it acknowledged is there.
seq 200000 | sed 's/^/row /' >rows.txt
"$sdb" import k.sdb rows rows.txt --batch 500 --durability none --progress-fd 3 3>acknowledged \
    >/dev/null 2>&1 &
import=$!
tries=0
until [ "$(wc -l <acknowledged)" -gt 5 ] || [ "$tries" -gt 1000 ]; do
    sleep 0.01
    tries=$((tries + 1))
done
kill -9 "$import"
wait "$import" 2>/dev/null
rows=$(sed -n '$s/committed //p' acknowledged)
run "$sdb" check k.sdb
like "$status:$out" "0:sound:*" "an import killed with -9 leaves a sound database"
run "$sdb" kv count k.sdb rows
ok "with at least the $rows rows that it acknowledged: $out" test "$out" -ge "$rows"
is "$((out % 500))" 0 "in whole batches"
"$sdb" kv scan k.sdb rows --keys | sort >there
head -n "$rows" rows.txt | sort >acknowledged.rows
ok "these very rows" test -z "$(comm -23 acknowledged.rows there)"
done_testing
