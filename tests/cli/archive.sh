#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# archive.sh: a backup rolled forward with an archived log, to a commit, a time, or a crash.
. "${srcdir:-.}/tests/lib/tap.sh"

# value FILE: what the key "n" has there.
value()
{
    "$sdb" kv get "$1" a n 2>/dev/null
}

"$sdb" kv put t.sdb a n 0 --archive kept
"$sdb" backup t.sdb b.sdb >/dev/null
for n in 1 2 3; do "$sdb" kv put t.sdb a n "$n" --archive kept; done
sleep 1.1
now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
sleep 1.1
for n in 4 5; do "$sdb" kv put t.sdb a n "$n" --archive kept; done

run "$sdb" restore b.sdb r1.sdb --archive kept --until commit:4
like "$status:$out" "0:restored r1.sdb as of commit 4: 2 commits behind *, the last of *Z: *" \
    "restores to a commit"
is "$(value r1.sdb)" 2 "which was the last"
run "$sdb" restore b.sdb r2.sdb --archive kept --until "$now"
like "$status:$out" "0:*as of commit 5*" "to a time"
is "$(value r2.sdb)" 3 "behind the last before it"
run "$sdb" restore b.sdb r3.sdb --archive kept --json
like "$status:$out" '0:{"commits":5,"commit":7,"lsn":*,"last_ms":*,"seconds":*}' \
    "to the end, as JSON"
is "$(value r3.sdb)" 5 "which is there"
run "$sdb" check r3.sdb
is "$status" 0 "and sound"
run "$sdb" restore b.sdb r4.sdb --archive kept --until lsn:8
like "$status:$err" "1:*later moment*take an older backup*" "too young a backup is refused"
run "$sdb" restore b.sdb r4.sdb --archive kept --until commit:99
like "$status:$err" "1:*the log ends with commit 7*" "so is a commit that never was"
run "$sdb" restore b.sdb r3.sdb --archive kept
like "$status:$err" "1:*r3.sdb is there already*" "nothing is replaced"
run "$sdb" restore b.sdb r3.sdb --archive kept --force
is "$status" 2 "not with --force either"
for bad in yesterday commit: commit:x lsn:0 2026-01-31 2026-01-31T12:00:00 \
    2026-01-31T12:00:00.1Z; do
    run "$sdb" restore b.sdb r4.sdb --archive kept --until "$bad"
    like "$status:$err" "2:*--until wants a time*" "'$bad' is no moment"
done
run "$sdb" restore b.sdb r4.sdb --archive nowhere
like "$status:$err" "1:*no archive nowhere*" "an archive that is not there"

# ---- a gap, and a crash -------------------------------------------------------------------------
"$sdb" kv put t.sdb a n 6
"$sdb" kv put t.sdb a n 7 --archive kept
run "$sdb" restore b.sdb r4.sdb --archive kept
like "$status:$err" "1:*the log has a gap: what follows on commit 7 *" "a gap is said"
run "$sdb" restore b.sdb r4.sdb --archive kept --until commit:7
is "$status" 0 "up to it everything is there"
is "$(value r4.sdb)" 5 "and right"
"$sdb" backup t.sdb b2.sdb >/dev/null
{
    echo 'put a n 8'
    sleep 100
} | "$sdb" t.sdb --archive kept &
writer=$!
waited=0
until test -e t.sdb-wal || [ "$waited" -gt 50 ]; do
    sleep 0.1
    waited=$((waited + 1))
done
sleep 0.3
kill -9 "$writer"
wait "$writer" 2>/dev/null
run "$sdb" restore b2.sdb r5.sdb --archive kept --log t.sdb-wal
is "$status:$(value r5.sdb)" 0:8 "what a crash left comes on top"
run "$sdb" checkpoint t.sdb --archive kept
run "$sdb" restore b2.sdb r6.sdb --archive kept
is "$status:$(value r6.sdb)" 0:8 "after recovery the archive has it"
ok "no unfinished file is left" test -z "$(ls ./*.part 2>/dev/null)"
done_testing
