#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# backup.sh: backup, restore, check, stat and checkpoint.
. "${srcdir:-.}/tests/lib/tap.sh"

seq 2000 >list.txt
run "$sdb" import t.sdb numbers list.txt
run "$sdb" check t.sdb
like "$status:$out" "0:sound: 2,000 entries in 1 keyspace;*" "check says sound, and what it read"
run "$sdb" check t.sdb --json
like "$status:$out" '0:{"problems":\[\],"outcome":"sound","keyspaces":1,"entries":2000,*}' "as JSON"
run "$sdb" stat t.sdb
like "$status:$out" "0:*keyspaces*1*" "stat"
run "$sdb" stat t.sdb --json
like "$status:$out" '0:{"backend":"*"keyspaces":1,*}' "stat as JSON"
run "$sdb" checkpoint t.sdb
like "$status:$out" "0:*checkpoint written: *" "checkpoint"

# ---- backup -------------------------------------------------------------------------------------
run "$sdb" backup t.sdb b.sdb
like "$status:$out" "0:backed up to b.sdb: *" "backup"
run "$sdb" kv get b.sdb numbers 77
is "$out" 77 "is a database"
run "$sdb" backup t.sdb b.sdb
is "$status" 1 "is not written over"
run "$sdb" backup t.sdb j.sdb --json
like "$status:$out" '0:{"bytes":*,"seconds":*}' "backup as JSON"
run "$sdb" restore j.sdb j2.sdb --json
like "$status:$out" '0:{"seconds":*}' "restore as JSON"
run "$sdb" checkpoint j2.sdb --json
like "$status:$out" '0:{"recovered_commits":0,"recovery_ms":0,"seconds":*}' "checkpoint as JSON"
run "$sdb" backup t.sdb nowhere/b.sdb
is "$status" 1 "nor into a folder that is not there"
printf 'put numbers 1 changed\n.backup c.sdb\n.check\nput numbers 1 again\n' >script
"$sdb" t.sdb <script >.out 2>.err
is $? 0 "backup and check from within the shell"
like "$(cat .out)" "backed up to c.sdb: *sound: 2,000 entries*" "both say so"
run "$sdb" kv get c.sdb numbers 1
is "$out" changed "the copy is as of its instant"

# ---- restore ------------------------------------------------------------------------------------
run "$sdb" restore b.sdb r.sdb
like "$status:$out" "0:restored r.sdb from b.sdb, checked before and after: *" "restore"
run "$sdb" kv get r.sdb numbers 1
is "$out" 1 "brings the old data"
ok "leaves no unfinished file" test -z "$(ls r.sdb.part* 2>/dev/null)"
run "$sdb" restore b.sdb t.sdb
like "$status:$err" "1:*t.sdb is there already; --force replaces it*" "does not replace a file"
run "$sdb" kv get t.sdb numbers 1
is "$out" again "which is as it was"
run "$sdb" restore b.sdb t.sdb --force
is "$status" 0 "with --force it does"
run "$sdb" kv get t.sdb numbers 1
is "$out" 1 "and that is the backup"
run "$sdb" restore b.sdb b.sdb --force
like "$status:$err" "1:*is the backup itself*" "never itself"
run "$sdb" restore nowhere.sdb x.sdb
is "$status" 1 "a backup that is not there"
ok "makes no file" test ! -e x.sdb
head -c 3000 /dev/urandom >junk
run "$sdb" restore junk x.sdb
is "$status" 1 "a backup that is none"
ok "makes no file either" test ! -e x.sdb
run "$sdb" restore junk t.sdb --force
is "$status" 1 "even with --force"
run "$sdb" kv get t.sdb numbers 1
is "$out" 1 "the old database stays"
mkdir b.sdb-wal
run "$sdb" restore b.sdb x.sdb
like "$status:$err" "1:*is no backup but a database in use*" "a database with its log is no backup"
rmdir b.sdb-wal
done_testing
