#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# smoke.sh: sdb_bench runs every workload with sdb and with each peer that was built, verifies what
# they did, and they agree.
. "${srcdir:-.}/tests/lib/tap.sh"

bench=$build/bench/sdb_bench
all=fillseq,fillrandom,overwrite,readrandom,readmissing,readseq,readreverse,seekrandom
all=$all,readwhilewriting,readwhilescanning,deleterandom,fillsync
engines=$("$bench" --help | sed -n 's/^.*--engine=LIST.*built: //p')
# Libraries that were built without a sanitizer make it report what is none of our business.
if grep -q '^MODE_CFLAGS = .*-fsanitize=thread' "$build/Makefile" 2>/dev/null; then engines=sdb; fi
list=$(echo "$engines" | tr ' ' ',')
count=$(echo "$engines" | wc -w)

lines()
{
    printf '%s\n' "$out" | grep -c "$1"
}

like " $engines " '* sdb *' "sdb is one of the engines"

run "$bench" --engine="$list" --benchmarks="$all" --num=2000 --syncs=50 --db="$work/db"
is "$status" 0 "all workloads run with: $engines"
is "$(lines '^engine=')" $((count * 14)) "each prints its line, the mixed ones two"
is "$(lines '^# sdb [0-9]')" 1 "the head names version and settings"
is "$(printf '%s\n' "$out" | tail -n 1)" \
    "checksums agree: $(echo $all | sed 's/,readwhile[a-z]*//g' | tr ',' ' ')" \
    "they agree on what they read"
ok "the databases are removed" test ! -e "$work/db"

run "$bench" --engine="$list" --benchmarks="$all" --num=2000 --syncs=50 --threads=3 --batch=64 \
    --db="$work/db"
is "$status" 0 "the same with three threads and batches of 64"
is "$(printf '%s\n' "$out" | grep -c ' threads=3 .* batch=64 ')" $((count * 12)) \
    "their lines say so"

mixes=ycsba,ycsbb,ycsbc,ycsbd,ycsbe,ycsbf,mixed
run "$bench" --engine="$list" --benchmarks=$mixes,overwrite,readseq --num=3000 --db="$work/db"
is "$status" 0 "the mixes run, and leave what can be worked on"
is "$(printf '%s\n' "$out" | tail -n 1)" \
    "checksums agree: $(echo $mixes | tr ',' ' ') overwrite readseq" "all read the same in the end"
one=$(printf '%s\n' "$out" | sed -n 's/^engine=sdb workload=ycsba .*checksum=\([^ ]*\).*/\1/p')
run "$bench" --engine=sdb --benchmarks=ycsba --num=3000 --threads=3 --db="$work/db"

checksum()
{
    printf '%s\n' "$out" | sed -n 's/^engine=sdb .*checksum=\([^ ]*\).*/\1/p'
}

is "$(checksum)" "$one" "and with three threads as with one"

run "$bench" --engine=sdb --benchmarks=readrandom --num=2000 --db="$work/db"
is "$status" 0 "a reading workload may come first"
like "$out" '*# sdb: filled with 2000 entries before readrandom*' "it says that it filled"
first=$(checksum)
unlike "$first" '' "a read has a checksum"
run "$bench" --engine=sdb --benchmarks=readrandom --num=2000 --threads=3 --db="$work/db"
is "$(checksum)" "$first" "which does not depend on the number of threads"

run "$bench" --engine=sdb --benchmarks=fillrandom,readseq --num=500 --key_size=40 \
    --value_size=5000 --json --db="$work/db"
is "$status" 0 "other sizes run"
is "$(lines '^{.*}$')" "$(printf '%s\n' "$out" | wc -l)" "--json prints an object a line"

run "$bench" --engine="$list" --benchmarks=fillrandom,readrandom,readmissing --num=3000 \
    --inflight=16 --direct=1 --cache_mb=1 --label=cold --db="$work/db"
case $out in
*failure=*O_DIRECT* | *failure=*irect*) skip "there is no direct I/O here: $err" ;;
*) is "$status" 0 "reads in flight, on data that is not in memory" ;;
esac
is "$(lines '^engine=sdb .* inflight=16 io=[a-z]* .* label=cold$')" 2 "sdb's are in flight"
is "$(lines ' io=cached ')" 0 "nothing is read as if it were in memory"
like "$(printf '%s\n' "$out" | tail -n 1)" "checksums agree: *" "and the same is read"

run "$bench" --engine="$list" --benchmarks=fillrandom,readseq --num=500 --compression=zstd \
    --db="$work/db"
is "$(printf '%s\n' "$out" | grep -cE '^(engine|failure)=')" $((2 * count)) \
    "what an engine cannot do is a line too, and the others go on"

run "$bench" --engine="$list" --benchmarks=overwritecheckpoint,readseq --num=20000 --threads=2 \
    --db="$work/db"
sides=$(printf '%s\n' "$out" | grep '^engine=sdb workload=overwritecheckpoint\.' |
    sed 's/.* operations=\([0-9]*\) .*/\1/' | paste -s -d + -)
is "$((sides))" 20000 "a commit is beside a checkpoint or between two: $sides"
like "$out" '*p999_us=*max_us=*' "and the worst of them are told"
case " $engines " in
*' lmdb '*) like "$out" '*failure=lmdb workload=overwritecheckpoint *' "who has none says so" ;;
*) skip "LMDB was not built" ;;
esac

run "$bench" --disk --num=1000 --reads=50 --syncs=5 --db="$work/db"
case $err in
*O_DIRECT* | *io_uring*) skip "this disk cannot be measured: $err" ;;
*) is "$status:$(lines '^engine=disk workload=disk.* operations=')" "0:3" "the disk is measured" ;;
esac
ok "its file is removed" test ! -e "$work/db"

mkdir "$work/mine"
echo keep >"$work/mine/file"
run "$bench" --engine=sdb --benchmarks=fillseq --num=100 --db="$work/mine"
is "$status" 0 "a folder that is there may be used"
is "$(ls "$work/mine")" file "and only what the bench made is removed from it"

for wrong in --num=0 --num=x --engine=oracle --benchmarks=fillfast --durability=some --nonsense \
    --inflight=0 --direct=2 --compression=zip --label=a\"b; do
    run "$bench" "$wrong"
    is "$status" 2 "refuses $wrong"
done
run "$bench" --engine=sdb --num=100 --db=/proc/nowhere
is "$status" 1 "a place that cannot be made is an error"
like "$err" '*/proc/nowhere*' "that names it"

done_testing
