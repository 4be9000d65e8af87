#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# recovery.sh BUILD: how long opening takes after a crash. `make bench-recovery` runs it.
#
# A process fills a database without a checkpoint until the log has RECOVERY_MB, and is killed with
# SIGKILL. Then the shell opens the file, on a terminal made by script(1): how often it shows its
# progress there is counted, and the last of it printed. The time is that of opening as the library
# counts it; contents are compared afterwards by digest. Two logs: entries in the order of their
# keys, and at random.
# By environment:
#   RECOVERY_MB        size of the log (1024)        RECOVERY_VALUE  bytes of a value (100)
#   RECOVERY_CACHE_MB  cache_bytes (4096)            RECOVERY_DB     folder (./bench-recovery.dir)
# What is written must fit into half of the cache: fuller of changed pages it has a checkpoint
# written, and the log is shorter.
# Exit 1 when something failed, or differs, or if opening takes two seconds and more and shows no
# progress.
set -u
LC_ALL=C
TERM=${TERM:-xterm}
export LC_ALL TERM
build=${1:?usage: recovery.sh BUILD}
build=$(cd "$build" && pwd) || exit 1
mb=${RECOVERY_MB:-1024}
value=${RECOVERY_VALUE:-100}
cache_mb=${RECOVERY_CACHE_MB:-4096}
dir=${RECOVERY_DB:-bench-recovery.dir}
work=$build/bench/big_work
sdb=$build/sdb
pid=

case $mb$value$cache_mb in
*[!0-9]*)
    echo "recovery.sh: RECOVERY_MB, RECOVERY_VALUE, RECOVERY_CACHE_MB are whole numbers" >&2
    exit 2
    ;;
esac
if ! script -qec true /dev/null >/dev/null 2>&1 </dev/null; then
    echo "recovery.sh: there is no script(1) to make a terminal with" >&2
    exit 1
fi
if [ -e "$dir" ]; then
    echo "recovery.sh: $dir is there already; name another folder with RECOVERY_DB" >&2
    exit 1
fi
mkdir -p "$dir" || exit 1
dir=$(cd "$dir" && pwd) || exit 1
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM HUP

fail()
{
    echo "recovery.sh: $*" >&2
    exit 1
}

batch=100 # records in a commit
# A record of a put: key, value, and some bytes around them.
num=$((mb * 1048576 / (value + 16 + 6)))

# leave_log ORDER: fills, waits until all is on the disk, and kills.
leave_log()
{
    rm -rf "$dir"/r.sdb*
    : >"$dir/line"
    "$work" put "$dir/r.sdb" "$num" 0 "$num" 1 order="$1" value="$value" cache_mb="$cache_mb" \
        checkpoint_mb=$((mb * 4 + 256)) batch=$batch hold=1 >"$dir/line" 2>"$dir/err" &
    pid=$!
    until grep -q . "$dir/line"; do
        kill -0 "$pid" 2>/dev/null || fail "filling: $(cat "$dir/err")"
        sleep 0.1
    done
    kill -9 "$pid"
    wait "$pid" 2>/dev/null
    pid=
}

# What a counter of `sdb stat --json` says.
counter()
{
    sed 's/[,{}]/\n/g' "$dir/stat" | sed -n "s/^ *\"$1\": *\([0-9]*\).*/\1/p" | tail -n 1
}

# recover ORDER: opens it in the shell, and says what it took.
recover()
{
    log=$(du -sk --apparent-size "$dir/r.sdb-wal" | cut -f1)
    script -qec "'$sdb' stat --json --cache=${cache_mb}M '$dir/r.sdb'" "$dir/screen" \
        >"$dir/stat" 2>&1 </dev/null || fail "opening: $(cat "$dir/stat")"
    ms=$(counter recovery_ms)
    commits=$(counter recovered_commits)
    [ "${commits:-0}" -gt 0 ] || fail "nothing was recovered: $(cat "$dir/stat")"
    # What is drawn over and over again stands between carriage returns.
    tr '\r' '\n' <"$dir/screen" | grep 'recovering' | sed 's/\x1b\[[0-9;]*[A-Za-z]//g' >"$dir/shown"
    shown=$(wc -l <"$dir/shown")
    awk -v order="$1" -v mb=$((log / 1024)) -v ms="$ms" -v num=$((commits * batch)) \
        -v commits="$commits" -v shown="$shown" 'BEGIN {
            if (ms < 1) ms = 1
            rate = num / ms / 1e3
            printf "%-7s %6d MB of log, %d records in %d commits: %.2f s, %.2f M records/s; " \
                "progress shown %d times\n", order, mb, num, commits, ms / 1e3, rate, shown
        }'
    [ "$shown" -eq 0 ] || echo "        as: $(tail -n 1 "$dir/shown")"
    [ "$shown" -gt 0 ] || [ "$ms" -lt 2000 ] || fail "the shell showed no progress"
    "$work" verify "$dir/r.sdb" "$num" "$num:1" value="$value" cache_mb="$cache_mb" \
        >/dev/null || fail "the contents are not what was written"
}

for order in keys random; do
    leave_log "$order"
    recover "$order"
done
echo "all that was synced is there"
