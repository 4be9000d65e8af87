#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# peers.sh SDB_BENCH run|table|docs: the standard table. `make bench-peers`, `bench-table` and
# `bench-docs` run it.
#
#   run    measures, then makes the table
#   table  makes the table of what was measured so far, of an interrupted run too
#   docs   the same, and puts it into docs/performance.md and docs/performance.svg
#
# Every run of every engine is a process of its own, and the engines take turns: first all of them
# through one configuration, each time beginning with another, then the next, then all again.
# By environment:
#   NUM       entries (1000000)             RUNS      runs, of which medians are taken (3)
#   ENGINES   "sdb,lmdb,…" (all built)      OUT       folder for the results (./bench-peers.dir)
#   CACHE_MB  each engine's cache (1024)    DB        folder for the databases (OUT/db)
#   QUICK     1: NUM is 500000 and RUNS 1, for a try
#   LABELS    "base,disk,…": these configurations only (all)
# Leaves in OUT: results.txt (every line measured, as soon as it is), medians.txt, peers.md,
# peers.svg. Exit 1 when an engine failed, or two engines did not read the same.
set -u
LC_ALL=C
export LC_ALL
bench=${1:?usage: peers.sh SDB_BENCH run|table|docs}
what=${2:-run}
here=$(cd "$(dirname "$0")" && pwd) || exit 1
num=1000000
runs=3
if [ "${QUICK:-0}" != 0 ]; then num=500000 runs=1; fi
num=${NUM:-$num}
runs=${RUNS:-$runs}
out=${OUT:-bench-peers.dir}
cache_mb=${CACHE_MB:-1024}
labels=${LABELS:-}
mkdir -p "$out" || exit 1
out=$(cd "$out" && pwd) || exit 1
db=${DB:-$out/db}
results=$out/results.txt
failed=0
interrupted=0

least()
{
    if [ "$1" -lt "$2" ]; then echo "$1"; else echo "$2"; fi
}

most()
{
    if [ "$1" -gt "$2" ]; then echo "$1"; else echo "$2"; fi
}

# label, engines or all, workloads, options: one line a configuration. Words: README.md.
configurations()
{
    quarter=$(most $((num * 116 / 4 / 1048576)) 1)
    few=$(most $((num / 50)) 1000)
    some=$(most $((num / 5)) 1000)
    syncs="--syncs=$(least "$(most $((num / 100)) 1000)" "$(least 5000 "$num")")"
    read=readrandom,readmissing,readseq,readreverse,seekrandom
    cat <<LINES
calibration disk - $syncs --reads=$few
base all fillseq,fillrandom,overwrite,$read,readwhilewriting,deleterandom,fillsync $syncs
batch all fillseq,fillrandom --batch=1000
threads all readrandom --threads=2
threads all mixed --threads=2 --reads=$some
sync8 all fillsync --threads=8 $syncs
disk all readrandom --direct=1 --cache_mb=$quarter --reads=$few
inflight sdb readrandom --direct=1 --cache_mb=$quarter --reads=$few --inflight=32
checkpoint sdb,wiredtiger overwritecheckpoint
writes all overwrite --direct=1 --cache_mb=$quarter
zstd sdb,rocksdb fillrandom --compression=zstd
ycsb all ycsba,ycsbb,ycsbc,ycsbf,ycsbd,ycsbe --reads=$some
LINES
}

# The engines of $engines that are also in the list $2 (all: everyone), beginning with number $1.
rotated()
{
    echo "$engines" | awk -v first="$1" -v only=",$2," '{
        for (i = 0; i < NF; i++) {
            name = $((first - 1 + i) % NF + 1)
            if (only == ",all," || index(only, "," name ",")) printf "%s ", name
        }
    }'
}

# measure LABEL ENGINE OPTION…: appends what is measured to the results, and shows it.
measure()
{
    label=$1
    engine=$2
    shift 2
    echo "run $run of $runs, $label: $engine"
    before=$(wc -l <"$results")
    "$bench" --num="$num" --db="$db" --cache_mb="$cache_mb" --label="$label" "$@" \
        </dev/null >>"$results" 2>"$out/stderr"
    status=$?
    [ "$interrupted" -eq 0 ] || return
    tail -n +$((before + 1)) "$results" | grep -E '^(engine|failure)='
    [ "$status" -eq 0 ] && return
    failed=1
    tail -n +$((before + 1)) "$results" | grep -q '^failure=' && return
    # It did not come to say so itself.
    echo "failure=$engine workload=- threads=- batch=- label=$label why=status $status:" \
        "$(tail -n 1 "$out/stderr")" | tee -a "$results"
}

run_all()
{
    engines=${ENGINES:-$("$bench" --help | sed -n 's/^.*--engine=LIST.*built: //p')}
    engines=$(echo "$engines" | tr ',' ' ')
    trap 'interrupted=1' INT TERM
    : >"$results"
    configurations >"$out/configurations"
    run=1
    while [ "$run" -le "$runs" ] && [ "$interrupted" -eq 0 ]; do
        while read -r label only workloads options; do
            case ",${labels:-$label}," in *",$label,"*) ;; *) continue ;; esac
            if [ "$only" = disk ]; then
                # shellcheck disable=SC2086
                measure "$label" disk --disk $options
                continue
            fi
            for engine in $(rotated "$run" "$only"); do
                [ "$interrupted" -eq 0 ] || break
                # shellcheck disable=SC2086
                measure "$label" "$engine" --engine="$engine" --benchmarks="$workloads" $options
            done
        done <"$out/configurations"
        run=$((run + 1))
    done
    trap - INT TERM
    rmdir "$db" 2>/dev/null
    rm -f "$out/stderr" "$out/configurations"
    [ "$interrupted" -eq 0 ] || echo "interrupted: the table is of what was measured until then"
}

# Replaces what stands in docs/performance.md between the two lines that name the results.
docs_write()
{
    page=$here/../docs/performance.md
    awk -v table="$out/peers.md" '
        /^<!-- results end/ { skip = 0 }
        !skip { print }
        /^<!-- results begin/ {
            skip = 1
            print ""
            while ((getline line <table) > 0) print line
            print ""
        }' "$page" >"$out/performance.md" && cat "$out/performance.md" >"$page" &&
        cat "$out/peers.svg" >"$here/../docs/performance.svg" || exit 1
    rm -f "$out/performance.md"
    echo "written: docs/performance.md, docs/performance.svg"
}

case $what in
run) run_all ;;
table | docs)
    [ -s "$results" ] || { echo "peers.sh: there are no results in $out" >&2; exit 1; }
    ;;
*) echo "peers.sh: run, table or docs, not $what" >&2; exit 2 ;;
esac
awk -f "$here/medians.awk" "$results" >"$out/medians.txt" || failed=1
awk -f "$here/table.awk" "$out/medians.txt" "$here/goals.txt" "$results" >"$out/peers.md" ||
    failed=1
awk -f "$here/chart.awk" "$results" "$out/medians.txt" >"$out/peers.svg" || failed=1
cat "$out/peers.md"
echo "written: $out/peers.md, $out/peers.svg"
[ "$what" != docs ] || docs_write
[ "$interrupted" -eq 0 ] || exit 130
exit $failed
