#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# golden.sh: scripts for the shell print what they printed before: golden/NAME.in gives
# golden/NAME.out, standard error included, with the exit status in the last line.
. "${srcdir:-.}/tests/lib/tap.sh"

for script in "$top"/tests/cli/golden/*.in; do
    name=$(basename "$script" .in)
    status=0
    "$sdb" "$name.sdb" <"$script" >"$name.got" 2>&1 || status=$?
    echo "status $status" >>"$name.got"
    if cmp -s "$name.got" "${script%.in}.out"; then
        ok "$name prints what it printed before" true
    else
        ok "$name prints what it printed before" false
        diff "${script%.in}.out" "$name.got" | sed 's/^/#   /'
    fi
done
done_testing
