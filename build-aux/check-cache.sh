#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check-cache.sh TRACES BUILDDIR: cache policies against the miss counts that others found.
#
# LRU, FIFO, CLOCK and SIEVE have to miss exactly as often as the files beside the traces say, in
# objects (oracle_unit_size.json) and in bytes (libcachesim_miss_counts.json); S3-FIFO in objects:
# its queues are a part of the objects here, not of the bytes. Prints TAP.
set -u
traces=$1
sim=$2/bench/cache_sim
claims=0
test -x "$sim" || { echo "Bail out! $sim has not been built"; exit 1; }

# judge WANTED FOUND WHAT: one claim, that two counts are the same.
judge()
{
    claims=$((claims + 1))
    if test "$1" = "$2"; then
        echo "ok $claims - $3"
    else
        echo "not ok $claims - $3: $2 misses, not $1"
    fi
}

# misses FORMAT POLICY SIZE OPTION…: of the trace on standard input.
misses()
{
    misses_format=$1 misses_policy=$2 misses_size=$3
    shift 3
    "$sim" --format="$misses_format" "$@" "$misses_policy" "$misses_size" |
        sed 's/.* misses \([0-9]*\) .*/\1/'
}

# Lines "TRACE SIZE POLICY MISSES" from a list of objects, one field a line.
unit_counts()
{
    tr -d '",' <"$traces/oracle_unit_size.json" | awk '
        $1 == "size:" { size = $2 }
        $1 ~ /^(LRU|FIFO|CLOCK|SIEVE|S3-FIFO):$/ { n++; policy[n] = $1; found[n] = $2 }
        $1 == "trace:" {
            sub(/\//, "_", $2)
            for (i = 1; i <= n; i++)
                print $2, size, tolower(substr(policy[i], 1, length(policy[i]) - 1)), found[i]
            n = 0
        }'
}

# Lines "MIB POLICY MISSES" from lists by policy.
byte_counts()
{
    tr -d '",:' <"$traces/libcachesim_miss_counts.json" | awk '
        $2 == "[" { policy = tolower($1); mib = 0 }
        $1 ~ /^[0-9]+$/ && NF == 1 && policy ~ /^(lru|fifo|clock|sieve)$/ {
            mib += 128
            print mib, policy, $1
        }'
}

unpack()
{
    case $1 in
    *.gz) gzip -dc "$1" ;;
    *.xz) xz -dc "$1" ;;
    esac
}

list=$(unit_counts) || exit 1
while read -r trace size policy wanted; do
    format=text
    case $trace in cache2k*) format=be32 ;; esac
    case $policy in s3-fifo) policy=s3fifo ;; esac
    found=$(unpack "$traces/$trace" | misses $format "$policy" "$size")
    judge "$wanted" "$found" "$policy, $size objects, ${trace%.trace*}"
done <<END
$list
END

list=$(byte_counts) || exit 1
while read -r mib policy wanted; do
    found=$(misses oracle "$policy" $((mib * 1048576)) --bytes \
        <"$traces/cloudPhysicsIO.oracleGeneral.bin")
    judge "$wanted" "$found" "$policy, $mib MiB, cloudPhysicsIO"
done <<END
$list
END
echo "1..$claims"
