#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run_mutants.sh SRCDIR: does a test notice each bug of tests/mutants/list? `make mutants` runs it
# in the build whose library has them (engine/base/mutant.h).
#
# Each test has to pass without a mutant, and with it a claim has to fail: running out of time, or
# not running at all, does not count. One TAP line each; the last line is "# caught/all caught".
set -u
src=$1
list=$src/tests/mutants/list
temp=$(mktemp -d "${TMPDIR:-/tmp}/sdb-mutants.XXXXXX") || exit 1
trap 'rm -rf "$temp"' EXIT
trap 'exit 130' INT TERM
srcdir=$src builddir=. CK_TIMEOUT_MULTIPLIER=5
export srcdir builddir CK_TIMEOUT_MULTIPLIER
number=0
caught=0

sed "/^#/d;s/ *| */|/g" "$list" >"$temp/list"
sed 's/|.*//' "$temp/list" | sort >"$temp/listed"
grep -rhoE --include='*.[ch]' 'MUTANT\([a-z_]+\)' "$src/engine" "$src/wal" "$src/index" |
    sed 's/.*(\(.*\))/\1/' | grep -v '^name$' | sort -u >"$temp/there"
if ! diff "$temp/listed" "$temp/there" >"$temp/diff"; then
    echo "not ok - tests/mutants/list does not name just the mutants in the library:"
    sed -n 's/^</# only in the list:/p;s/^>/# only in the library:/p' "$temp/diff"
    exit 1
fi
# shellcheck disable=SC2046
${MAKE:-make} -s $(cut -d'|' -f3 "$temp/list" | sort -u) || exit 1

# run TEST ENVIRONMENT: its output in $temp/out; status 124 when it takes too long.
run()
{
    # shellcheck disable=SC2086
    env TMPDIR="$temp" $2 timeout -k 5 120 "./$1" >"$temp/out" 2>&1 </dev/null
}

# What a claim says that failed, and not for want of time.
complaint()
{
    grep -aE ':[FE]:|^not ok ' "$temp/out" | grep -av 'timeout expired' | head -n 1 |
        sed 's/.*:[FE]:[^:]*:\([^:]*\):.*/\1/'
}

cut -d'|' -f3,4 "$temp/list" | sort -u >"$temp/tests"
while IFS='|' read -r test environment; do
    run "$test" "$environment" && continue
    echo "not ok - $test $environment fails without a mutant:"
    tail -n 20 "$temp/out" | sed 's/^/# /'
    exit 1
done <"$temp/tests"

while IFS='|' read -r name bug test environment; do
    number=$((number + 1))
    run "$test" "$environment SDB_MUTANT=$name"
    status=$?
    claim=$(complaint)
    if [ $status -ne 0 ] && [ -n "$claim" ]; then
        caught=$((caught + 1))
        printf 'ok %d - %s (%s): %s: %s\n' $number "$name" "$bug" "${test##*/}" "$claim"
    else
        printf 'not ok %d - %s (%s): %s did not notice, status %d\n' $number "$name" "$bug" \
            "$test" $status
    fi
done <"$temp/list"
echo "1..$number"
echo "# $caught/$number caught"
[ $number -gt 0 ] && [ $caught -eq $number ]
