#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# count-tests.sh BUILDDIR TEST…: what the logs of `make check` say, claim by claim.
#
# Prints "PASSED FAILED" as its last line, before it one line for each test that failed. Counts the
# summary lines of Check ("100%: Checks: 9, Failures: 0, Errors: 0") and the lines of TAP ("ok 1 -
# …"). A test that left no log, no summary, or ended badly with nothing in its log counts as one
# failure. Skipped claims count as neither.
set -u
build=$1
shift
passed=0
failed=0

for test in "$@"; do
    name=${test%.sh}
    log=$build/$name.log
    trs=$build/$name.trs
    if ! test -f "$log" || ! test -f "$trs"; then
        echo "failed: $test left no log"
        failed=$((failed + 1))
        continue
    fi
    result=$(sed -n 's/^:global-test-result: *//p' "$trs")
    test "$result" = SKIP && { echo "skipped: $test"; continue; }
    # shellcheck disable=SC2046
    set -- $(awk '
        /^[0-9]+%: Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+/ {
            gsub(/,/, ""); good += $3 - $5 - $7; bad += $5 + $7; summary = 1
        }
        /^ok [0-9]+/ { lines++; if ($0 !~ /# SKIP/) good++ }
        /^not ok [0-9]+/ { lines++; bad++ }
        /^1\.\.[0-9]+$/ { plan = substr($0, 4) + 0; planned = 1 }
        END {
            if (planned && plan == lines) summary = 1
            if (lines && !(planned && plan == lines)) { bad++; summary = 1 }
            print good + 0, bad + 0, summary + 0
        }' "$log")
    good=$1 bad=$2 summary=$3
    if test "$bad" -eq 0 && { test "$result" != PASS || test "$summary" -eq 0; }; then
        bad=1
        echo "failed: $test ended with $result and says nothing of it in its log"
    elif test "$bad" -ne 0; then
        echo "failed: $test: $bad"
        # What they say: the claims that do not hold, with what follows them, and Check's lines.
        grep -E -A 40 '^not ok |^[^ ]+:[0-9]+:[FE]:' "$log" | cut -c 1-200 | head -n 120 |
            sed 's/^/   | /'
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
done
echo "$passed $failed"
