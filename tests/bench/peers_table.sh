#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# peers_table.sh: bench/peers.sh measures, survives an engine that fails, and says what is met.
. "${srcdir:-.}/tests/lib/tap.sh"

# line ENGINE LABEL WORKLOAD RATE CPU DISK WRITTEN CHECKSUM
line()
{
    echo "engine=$1 workload=$3 threads=1 num=10 ops_per_sec=$4 p50_us=1 p99_us=2" \
        "cpu_us_per_op=$5 disk_bytes=$6 written_bytes=$7 checksum=$8 batch=1 operations=10 run=1" \
        "inflight=1 io=cached read_bytes=0 cache_mb=1 label=$2"
}

# measured CHECKSUM: what there is to be tabulated; lmdb read CHECKSUM.
measured()
{
    echo '# sdb_bench, 2000-01-01T00:00Z'
    line disk calibration disksync 100 1.5 1 40960 -
    line sdb base readrandom 300 1.5 1 0 aa
    line lmdb base readrandom 200 2.5 1 0 "$1"
    line leveldb base readrandom 100 2.5 1 0 aa
    line sdb base fillsync 89 1.5 1 0 bb
    line sdb base fillrandom 89 1.5 500 0 bb
    line lmdb base fillrandom 100 1.5 500 0 bb
    line sdb checkpoint overwritecheckpoint.during 9 1.5 500 0 -
    line sdb writes overwrite 9 1.5 500 2320 cc
    line lmdb writes overwrite 9 1.5 500 3480 cc
    echo 'failure=leveldb workload=fillrandom threads=1 batch=1 label=base why=it has no more room'
}

mkdir out
measured aa >out/results.txt
run env OUT=out sh "$top/bench/peers.sh" none table
is "$status" 0 "what was measured is tabulated again"
like "$out" "*| readrandom, 1 thread | 300 (1.50 µs) | lmdb 200 (2.50 µs) | 1.50 | ≥ 1.5 | met |*" \
    "the best peer is the one that counts, and a goal that is just reached is met"
like "$out" "*fdatasync | 89 (1.50 µs) | disk 100 (1.50 µs) | 0.89 | ≥ 0.9 | \*\*missed\*\* |*" \
    "one that is not is missed; the disk is something to be held to"
like "$out" "*| bytes on disk after fillrandom | 0.0 MB | lmdb 0.0 MB | 1.00 | ≤ 1.0 | met |*" \
    "of bytes the fewer the better, and as many are enough"
like "$out" "*per byte changed*| 2.00 | lmdb 3.00 | 0.67 | < 1.0 | met |*" \
    "but not of those written"
like "$out" "*while a checkpoint is written,*| 2.0 | limit 1000.0 | 0.00 | ≤ 1.0 | met |*" \
    "a limit is a number"
like "$out" "*| readmissing | - | - | - | 1.5 | not measured |*" "what is missing is said to be"
like "$out" "*| fillrandom |*| failed |*" "a line that failed too"
like "$out" "*- leveldb, base, fillrandom: it has no more room*" "and why"
ok "there is a chart" grep -q '</svg>' out/peers.svg
measured ab >out/results.txt
run env OUT=out sh "$top/bench/peers.sh" none table
is "$status" 1 "engines that did not read the same are a failure"
like "$err" "*checksums differ in readrandom: sdb, lmdb*" "that names them"

# ---- measuring ----------------------------------------------------------------------------------
cat >bench <<'SCRIPT'
#!/bin/sh
# Stands in for sdb_bench: dies on one engine.
case "$*" in
*--engine=lmdb*) echo 'out of luck' >&2; exit 3 ;;
esac
cat "$LINES"
SCRIPT
line sdb batch fillrandom 89 1.5 500 0 bb | sed 's/batch=1/batch=1000/' >lines
chmod +x bench
run env LINES="$work/lines" OUT=out NUM=10 RUNS=2 ENGINES=lmdb,sdb LABELS=batch \
    sh "$top/bench/peers.sh" "$work/bench" run
is "$status" 1 "an engine that dies makes the whole fail"
is "$(grep -c '^engine=sdb' out/results.txt)" 2 "but the others run, as often as asked"
like "$out" "*- lmdb, batch, -: status 3: out of luck*" "and the table says it"
like "$out" "*| fillrandom, batch 1000 | 89 *" "with what there is"
run env OUT=nowhere sh "$top/bench/peers.sh" none table
is "$status" 1 "without results there is no table"
run sh "$top/bench/peers.sh" none dance
is "$status" 2 "what it does not know it does not do"
done_testing
