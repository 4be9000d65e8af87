#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# coverage.sh SRCDIR: sums up the counters that a run with --enable-coverage left in this folder.
#
# Prints executed lines for each file and floor of the library, by gcov; with lcov it also writes a
# page, coverage/index.html. `make coverage` runs it after the tests.
set -u
src=$1
here=$(pwd)
gcov=${GCOV:-gcov}
temp=$(mktemp -d "${TMPDIR:-/tmp}/sdb-coverage.XXXXXX") || exit 1
trap 'rm -rf "$temp"' EXIT

floors=$(sed '/^#/d;/^include/d' "$src/LAYERS")
for floor in $floors; do
    test -d "$here/$floor" && find "$here/$floor" -name '*.gcda'
done >"$temp/counters"
test -s "$temp/counters" || { echo 'coverage: no counters; did the tests run?' >&2; exit 1; }

cd "$temp" || exit 1
# One report a counter: "File 'x.c'", then "Lines executed:93.75% of 32".
xargs -n 50 "$gcov" -n <counters 2>gcov.err | awk -v src="$src/" '
    /^File / { file = $0; sub(/^File ./, "", file); sub(/.$/, "", file); next }
    /^Lines executed:/ && index(file, src) == 1 && file ~ /\.c$/ {
        split($0, part, /[:% ]+/)
        name = substr(file, length(src) + 1)
        total = part[length(part)]
        hit = int(part[3] * total / 100 + 0.5)
        if (!(name in lines) || hit > hits[name]) { lines[name] = total; hits[name] = hit }
        file = ""
    }
    END {
        for (name in lines) {
            floor = name; sub(/\/[^\/]*$/, "", floor)
            floor_lines[floor] += lines[name]; floor_hits[floor] += hits[name]
            all_lines += lines[name]; all_hits += hits[name]
            printf "%-12s %-36s %5.1f%% of %d lines\n", "file", name,
                100 * hits[name] / lines[name], lines[name] | "sort"
        }
        close("sort")
        for (floor in floor_lines)
            printf "%-12s %-36s %5.1f%% of %d lines\n", "floor", floor,
                100 * floor_hits[floor] / floor_lines[floor], floor_lines[floor] | "sort"
        close("sort")
        if (all_lines)
            printf "%-12s %-36s %5.1f%% of %d lines\n", "all", "",
                100 * all_hits / all_lines, all_lines
    }'

if command -v lcov >/dev/null && command -v genhtml >/dev/null; then
    cd "$here" || exit 1
    lcov -q -c -d . -o "$temp/all.info" 2>"$temp/lcov.err" &&
        lcov -q -r "$temp/all.info" '/usr/*' "$src/tests/*" -o coverage.info &&
        genhtml -q -o coverage coverage.info 2>>"$temp/lcov.err" &&
        echo "coverage: the page is $here/coverage/index.html" ||
        { cat "$temp/lcov.err" >&2; exit 1; }
else
    echo 'coverage: without lcov there is no page (Debian: apt-get install lcov)'
fi
