#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# peers.sh SDB_BENCH: the standard table, engine by engine. `make bench-peers` runs it.
#
# Every run of every engine is a process of its own, and the engines take turns: first all of them
# through one configuration, each time beginning with another, then the next, then all again.
# By environment:
#   NUM       entries (1000000)             RUNS      runs, of which medians are taken (3)
#   ENGINES   "sdb,lmdb,…" (all built)      OUT       folder for the results (./bench-peers.dir)
#   CACHE_MB  each engine's cache (1024)    DB        folder for the databases (OUT/db)
#   TABLE     "standard", or "quick": one thread and no batches only
# Leaves in OUT: results.txt (every line measured), medians.txt, peers.md, peers.svg.
# Exit 1 when an engine failed, or two engines did not read the same.
set -u
LC_ALL=C
export LC_ALL
bench=${1:?usage: peers.sh SDB_BENCH}
here=$(cd "$(dirname "$0")" && pwd) || exit 1
num=${NUM:-1000000}
runs=${RUNS:-3}
out=${OUT:-bench-peers.dir}
cache_mb=${CACHE_MB:-1024}
table=${TABLE:-standard}
mkdir -p "$out" || exit 1
out=$(cd "$out" && pwd) || exit 1
db=${DB:-$out/db}
engines=${ENGINES:-$("$bench" --help | sed -n 's/^.*--engine=LIST.*built: //p' | tr ' ' ',')}
engines=$(echo "$engines" | tr ',' ' ')
results=$out/results.txt

case $table in
standard | quick) ;;
*) echo "peers.sh: TABLE is standard or quick, not $table" >&2; exit 2 ;;
esac

# threads, batch, workloads: one line a configuration
configurations()
{
    all=fillseq,fillrandom,overwrite,readrandom,readmissing,readseq,readreverse,seekrandom
    echo "1 1 $all,readwhilewriting,deleterandom,fillsync"
    [ "$table" = standard ] || return 0
    echo "1 1000 fillseq,fillrandom,overwrite,readrandom"
    echo "2 1 readrandom"
    echo "8 1 fillsync"
}

# The list of engines, beginning with number $1.
rotated()
{
    echo "$engines" | awk -v first="$1" '{
        for (i = 0; i < NF; i++) printf "%s ", $((first - 1 + i) % NF + 1)
    }'
}

failed=0
: >"$results"
run=1
while [ "$run" -le "$runs" ]; do
    configurations >"$out/configurations"
    while read -r threads batch workloads; do
        for engine in $(rotated "$run"); do
            echo "run $run of $runs, $threads threads, batch $batch: $engine"
            "$bench" --engine="$engine" --benchmarks="$workloads" --num="$num" --db="$db" \
                --threads="$threads" --batch="$batch" --cache_mb="$cache_mb" \
                </dev/null >"$out/line" || failed=1
            grep '^engine=' "$out/line"
            cat "$out/line" >>"$results"
        done
    done <"$out/configurations"
    run=$((run + 1))
done
rmdir "$db" 2>/dev/null
rm -f "$out/line" "$out/configurations"

awk -f "$here/medians.awk" "$results" >"$out/medians.txt" || failed=1
awk -f "$here/table.awk" -v num="$num" -v runs="$runs" "$out/medians.txt" "$results" \
    >"$out/peers.md" || failed=1
awk -f "$here/chart.awk" -v num="$num" -v runs="$runs" "$results" "$out/medians.txt" \
    >"$out/peers.svg" || failed=1
cat "$out/peers.md"
echo "written: $out/peers.md, $out/peers.svg"
exit $failed
