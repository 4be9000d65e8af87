#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bench.sh: `sdb bench` measures, in a folder of its own that it removes, also when interrupted.
. "${srcdir:-.}/tests/lib/tap.sh"

names='fillseq fillrandom overwrite readrandom readmissing readseq readreverse seekrandom'
names="$names deleterandom fillsync"

run "$sdb" bench --num 3000
is "$status:$err" "0:" "it runs in the current folder"
is "$(printf '%s\n' "$out" | sed '1,/^workload/d' | awk '{print $1}' | tr '\n' ' ')" "$names " \
    "and measures each workload"
like "$out" "*3,000 entries of 16 + 100 bytes*" "the head says of what"
is "$(ls)" "" "nothing is left"

mkdir there
run "$sdb" bench --num=500 --value-size=4K --cache=16M --json there
is "$status:$err" "0:" "it runs in another folder, with other sizes"
is "$(printf '%s\n' "$out" | sed -n 's/^{"workload":"\([a-z]*\)",.*,"written_bytes":[0-9]*}$/\1/p' |
    tr '\n' ' ')" "$names " "--json is one object a line"
ok "4K values are 4K" test "$(printf '%s\n' "$out" |
    sed -n 's/.*fillrandom".*"disk_bytes":\([0-9]*\).*/\1/p')" -gt 2000000
is "$(ls there)" "" "nothing is left there"

run "$sdb" bench nowhere
is "$status" 1 "a folder that is not there is a failure"
like "$err" "*nowhere*No such file*" "and is named"
for wrong in --num=0 --num=x --value-size=8 --value-size=2M --value-size=x --prefix=a; do
    run "$sdb" bench "$wrong"
    is "$status:$(ls)" "2:there" "refuses $wrong"
done

# ---- Ctrl-C -------------------------------------------------------------------------------------
for signal in INT TERM; do
    # A shell starts what is in the background with SIGINT ignored; env undoes that.
    env --default-signal=INT "$sdb" bench --num=20000000 there >out 2>err &
    pid=$!
    tries=0
    while [ -z "$(ls there)" ] && [ "$tries" -lt 100 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    sleep 0.3
    kill -"$signal" "$pid"
    wait "$pid"
    ended=$?
    ok "SIG$signal ends it as such a signal does" test "$ended" -gt 128
    is "$(ls there)" "" "and nothing is left"
    like "$(cat err)" "*interrupted*" "which it says"
done
done_testing
