#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# smoke_run.sh CORPUS TARGET…: each libFuzzer target for $FUZZ_SECONDS seconds (20), from CORPUS/its
# name. One TAP line each; status 1 on a finding, whose input stays in ./findings.
set -u
corpus=$1
shift
seconds=${FUZZ_SECONDS:-20}
temp=$(mktemp -d "${TMPDIR:-/tmp}/sdb-fuzz.XXXXXX") || exit 1
trap 'rm -rf "$temp"' EXIT
trap 'exit 130' INT TERM
mkdir -p findings || exit 1
number=0
found=0

for target in "$@"; do
    number=$((number + 1))
    name=${target##*/}
    # What the run learns goes into the first folder; the seeds are only read.
    mkdir -p "$temp/$name"
    start=$(date +%s)
    timeout -k 10 $((seconds + 120)) "./$target" -max_total_time="$seconds" -timeout=20 \
        -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 \
        -artifact_prefix="findings/$name-" "$temp/$name" "$corpus/$name" \
        >"$name.log" 2>&1 </dev/null
    status=$?
    took=$(($(date +%s) - start))
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$name.log")
    if [ $status -eq 0 ] && [ "${runs:-0}" -gt 0 ]; then
        echo "ok $number - $name: $runs inputs in $took s"
    else
        found=$((found + 1))
        echo "not ok $number - $name: status $status; $(pwd)/$name.log, $(pwd)/findings"
        tail -n 40 "$name.log" | sed 's/^/# /'
    fi
done
echo "1..$number"
[ $number -gt 0 ] && [ $found -eq 0 ]
