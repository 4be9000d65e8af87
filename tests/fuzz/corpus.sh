#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# corpus.sh: every file of tests/fuzz/corpus goes through its target, without libFuzzer.
. "${srcdir:-.}/tests/lib/tap.sh"

for folder in "$top"/tests/fuzz/corpus/*/; do
    target=$(basename "$folder")
    files=0
    for file in "$folder"*; do
        run timeout 60 "$build/tests/fuzz/run_$target" "$file"
        [ "$status" -eq 0 ] || tap_show "$target" "$err"
        is "$status" 0 "$target: ${file##*/}"
        files=$((files + 1))
    done
    ok "$target has a corpus" test "$files" -gt 1
done
printf '\2{"key":"a","value":1}\n' >input
status=0
"$build/tests/fuzz/run_fuzz_import" <input >out || status=$?
is "$status:$(cat out)" "0:standard input: 23 bytes" "input from a pipe, as AFL gives it"
run "$build/tests/fuzz/run_fuzz_import" "$work/nowhere"
is "$status" 2 "a file that is not there is an error"
done_testing
