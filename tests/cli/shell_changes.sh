#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shell_changes.sh: .changes lists what was committed, or says why it cannot.
. "${srcdir:-.}/tests/lib/tap.sh"

run "$sdb" :memory: .changes
like "$status:$err" "1:*no log to read changes from*" "a database without a log has none"
"$sdb" kv put t.sdb a k 1
run "$sdb" --readonly t.sdb .changes
like "$status:$err" "1:*open for reading only*" "nor one that nobody can change"
run "$sdb" t.sdb .changes
is "$status:$out" "0:" "what was committed before the file was opened is not there"
printf 'put a k 2\n.changes\n' | "$sdb" --durability none t.sdb >out
like "$(cat out)" "*	put	a	k	2" "what no commit waited for is there too"

printf 'put a k 3\n.open u.sdb\ncreate b\n.changes\n' >script
run sh -c '"$1" t.sdb <script' sh "$sdb"
like "$status:$out" "0:*	create	b	*" "another database has its own"
unlike "$out" "*	k	*" "and not the other's"

printf 'create d\nalter d --ttl 2s\nalter d --ttl none\n.changes\n' >script
run sh -c '"$1" t.sdb <script' sh "$sdb"
like "$status:$out" "0:*	ttl	d	\"\"	2000ms*	ttl	d	\"\"	none*" "a time to live is a change too"

awk 'BEGIN { for (i = 0; i < 100000; i++) print i }' >numbers.txt
printf '.import n numbers.txt --batch 1000000\n.changes n\n' >script
run sh -c '"$1" --txn-memory 64K u.sdb <script' sh "$sdb"
is "$status:$(printf '%s\n' "$out" | grep -c '	put	n	')" 0:100000 "a large commit is there"
is "$(printf '%s\n' "$out" | awk -F '\t' '$3 == "put" && ($1 != commit || $2 < lsn) { n++ }
    { commit = $1; lsn = $2 } END { print n + 0 }')" 1 "as one commit, which ends behind itself"

# 30 MB of log; .check writes a checkpoint, which removes it.
awk 'BEGIN { for (i = 0; i < 300000; i++) printf "%06d%090d\n", i, 0 }' >words.txt
{
    echo .bail off
    echo .import w words.txt --batch 1000
    echo .check
    echo .changes
    echo put a late 4
    echo .changes
} >script
run sh -c '"$1" t.sdb <script' sh "$sdb"
like "$status:$err" "1:*has been removed: the oldest is *" "what is gone from the log is said"
like "$out" "*	put	a	late	4" "and it goes on behind that"
ok "not with what was before" test "$(printf '%s\n' "$out" | grep -c '	put	')" -eq 1
done_testing
