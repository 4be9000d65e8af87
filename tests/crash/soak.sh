#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# soak.sh: crash_explorer and kill9 with ever new seeds for $SOAK_SECONDS seconds (60), in turn.
# `make crash-soak` runs it where they were built. Ends with what was seen; at the first claim that
# fails, with the seed that repeats it, and status 1.
set -u
seconds=${SOAK_SECONDS:-60}
end=$(($(date +%s) + seconds))
temp=$(mktemp -d "${TMPDIR:-/tmp}/sdb-soak.XXXXXX") || exit 1
trap 'rm -rf "$temp"' EXIT
trap 'exit 130' INT TERM
CK_TIMEOUT_MULTIPLIER=${CK_TIMEOUT_MULTIPLIER:-5}
export CK_TIMEOUT_MULTIPLIER
rounds=0
: >"$temp/all"

# run SEED PROGRAM NAME=VALUE…
run()
{
    seed=$1 program=$2
    shift 2
    if ! env TMPDIR="$temp" SEED="$seed" "$@" "./$program" >"$temp/out" 2>&1 </dev/null; then
        cat "$temp/out"
        echo "crash-soak: a claim failed; to see it again: SEED=$seed $* $program"
        exit 1
    fi
    cat "$temp/out" >>"$temp/all"
}

while [ "$(date +%s)" -lt $end ]; do
    seed=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
    rounds=$((rounds + 1))
    echo "round $rounds: SEED=$seed"
    run "$seed" tests/crash/crash_explorer CRASH_POINTS=10000
    [ "$(date +%s)" -lt $end ] && run "$seed" tests/crash/kill9 ROUNDS=5
done
awk -v rounds=$rounds '
    / crash points in runs/ { points += $1; cut += $10; verified += $15 }
    / crash points of a lying disk/ { points += $1; lies += $1; older += $8; told += $16 }
    / processes died/ { died += $1; commits += $5 }
    END {
        printf "crash-soak: %d rounds: %d crash points, %d recoveries verified, %d cut short; ",
            rounds, points, verified, cut
        printf "%d of a lying disk, %d older than promised, %d told as damage; ", lies, older, told
        printf "%d processes killed in %d commits\n", died, commits
    }' "$temp/all"
