#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# big.sh BUILD: what a database needs that is far larger than its cache. `make bench-big` runs it.
#
# Loads BIG_GB of entries in the order of their keys, checks and backs up, changes entries at random
# with the archive on, in two parts; restores the backup to the moment between them; removes half
# the entries at random, and vacuums. Every step is a process of its own: after each its time, its
# rate and the most memory that it had resident are printed. Contents are compared by digest with
# what was written: the changed, the restored and the vacuumed.
# By environment:
#   BIG_GB        gigabytes of keys and values (10)      BIG_CACHE_MB  cache_bytes (256)
#   BIG_MB        the same in megabytes, for a try
#   BIG_RSS_MB    what no step may exceed (300)          BIG_DB        folder (./bench-big.dir)
# It needs some four times BIG_GB of disk there, and removes what it made. Exit 1 when a step
# failed, verified something else, or had more memory than it may.
set -u
LC_ALL=C
export LC_ALL
build=${1:?usage: big.sh BUILD}
build=$(cd "$build" && pwd) || exit 1
mb=${BIG_MB:-$((${BIG_GB:-10} * 1024))}
cache_mb=${BIG_CACHE_MB:-256}
rss_mb=${BIG_RSS_MB:-300}
dir=${BIG_DB:-bench-big.dir}
work=$build/bench/big_work
sdb=$build/sdb

case $mb$cache_mb$rss_mb in
*[!0-9]*)
    echo "big.sh: BIG_GB or BIG_MB, BIG_CACHE_MB and BIG_RSS_MB are whole numbers" >&2
    exit 2
    ;;
esac
if [ -e "$dir" ]; then
    echo "big.sh: $dir is there already; name another folder with BIG_DB" >&2
    exit 1
fi
mkdir -p "$dir/archive" || exit 1
dir=$(cd "$dir" && pwd) || exit 1
out=$dir/out
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM HUP

num=$((mb * 1024))                  # of 16 + 1000 bytes: BIG_GB, but for 1 %
part=$((num / 50))                  # changed in each of the two parts
half=$((num / 2))
rest=$((num - 2 * part))
exceeded=0

# fact NAME: what the last step printed as NAME=.
fact()
{
    sed -n "s/^\(.* \)\{0,1\}$1=\([^ ]*\).*/\2/p" "$out" | tail -n 1
}

# step WHAT BYTES COMMAND…: runs it and prints its line; BYTES are what the rate is of.
step()
{
    what=$1
    bytes=$2
    shift 2
    if ! "$@" >"$out" 2>&1 </dev/null; then
        echo "big.sh: failed: $what" >&2
        tail -n 20 "$out" >&2
        exit 1
    fi
    peak=$(fact peak_kb)
    note=
    if [ "${peak:-0}" -eq 0 ]; then note="  (the system hides its memory)"; fi
    if [ "${peak:-0}" -gt $((rss_mb * 1024)) ]; then
        note="  MORE THAN $rss_mb MB"
        exceeded=1
    fi
    awk -v what="$what" -v seconds="$(fact seconds)" -v bytes="$bytes" -v peak="${peak:-0}" \
        -v note="$note" 'BEGIN {
            rate = seconds > 0 ? sprintf("%.1f MB/s", bytes / 1e6 / seconds) : "-"
            printf "%-52s %9.1f s %14s %8.1f MB%s\n", what, seconds, rate, peak / 1024, note
        }'
}

size()
{
    stat -c %s "$dir/big.sdb"
}

# verify FILE WHAT RUNS: reads all of it.
verify()
{
    step "verify: $2" $((num * 1016)) "$work" verify "$1" "$num" "$3" cache_mb="$cache_mb" \
        archive="$4"
}

all=$((num * 1016))
archive=$dir/archive
cache=--cache=${cache_mb}M
echo "$num entries of 16 + 1000 bytes, cache $cache_mb MB, each step at most $rss_mb MB"
printf '%-52s %11s %14s %11s\n' step time rate 'peak RSS'

step "load in the order of the keys" "$all" \
    "$work" put "$dir/big.sdb" "$num" 0 "$num" 1 order=keys cache_mb="$cache_mb" archive="$archive"
step "check" "$(size)" "$work" run "$sdb" check "$cache" "$dir/big.sdb"
step "back up" "$(size)" \
    "$work" run "$sdb" backup "$cache" --archive="$archive" "$dir/big.sdb" "$dir/backup.sdb"
step "change $part at random, the archive on" $((part * 1016)) \
    "$work" put "$dir/big.sdb" "$num" 0 "$part" 2 cache_mb="$cache_mb" archive="$archive"
moment=$(fact commit)
step "change $part others" $((part * 1016)) \
    "$work" put "$dir/big.sdb" "$num" "$part" $((2 * part)) 3 cache_mb="$cache_mb" \
    archive="$archive"
verify "$dir/big.sdb" "both changes" "$part:2,$part:3,$rest:1" "$archive"
step "restore to the moment between (commit $moment)" "$(stat -c %s "$dir/backup.sdb")" \
    "$work" run "$sdb" restore --archive="$archive" --until="commit:$moment" "$dir/backup.sdb" \
    "$dir/restored.sdb"
verify "$dir/restored.sdb" "the first change, not the second" "$part:2,$((num - part)):1" ""
rm -rf "$dir/restored.sdb" "$dir/backup.sdb"
step "remove half at random" $((half * 1016)) \
    "$work" del "$dir/big.sdb" "$num" 0 "$half" cache_mb="$cache_mb" archive="$archive"
before=$(size)
step "vacuum" "$before" \
    "$work" run "$sdb" vacuum "$cache" --archive="$archive" "$dir/big.sdb"
echo "    the file was $((before / 1000000)) MB and is $(($(size) / 1000000)) MB"
if [ $(($(size) * 4)) -gt $((before * 3)) ]; then
    echo "big.sh: the vacuum gave back less than a quarter" >&2
    exit 1
fi
step "check" "$(size)" "$work" run "$sdb" check "$cache" "$dir/big.sdb"
verify "$dir/big.sdb" "the half that is left" "$half:0,$((num - half)):1" "$archive"
if [ "$exceeded" -ne 0 ]; then
    echo "big.sh: a step had more than $rss_mb MB of memory" >&2
    exit 1
fi
echo "all contents are right, and no step had more than $rss_mb MB of memory"
