#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# lint.sh SRCDIR BUILDDIR LIBRARY.la…: the house rules, checked. `make lint` runs it.
#
# LIBRARY.la… are the floors of the library; CC, CXX, NM and SYSTEM_LIBS come from the environment.
# Findings are "file:line: check: what", and the status is then 1.
#   sources   layers, banned calls, lengths, names (lint-source.pl)
#   headers   each header compiles alone: public ones as C11 and C++17, internal ones as C11
#   links     each floor links alone against only the floors below it
#   symbols   libsdb exports what include/sdb declares; the rest begins with sdb__
set -u
LC_ALL=C
export LC_ALL
src=$1
build=$2
abs_src=$(cd "$src" && pwd)
shift 2
libraries=$*
cc=${CC:-cc}
cxx=${CXX:-c++}
nm=${NM:-nm}
system_libs=${SYSTEM_LIBS:-}
failed=0
temp=$(mktemp -d "${TMPDIR:-/tmp}/sdb-lint.XXXXXX") || exit 1
trap 'rm -rf "$temp"' EXIT
trap 'exit 130' INT TERM

finding()
{
    echo "$1"
    failed=1
}

floors=
for library in $libraries; do
    floors="$floors ${library%/*}"
done

# ---- sources ----------------------------------------------------------------------------------
# shellcheck disable=SC2086
perl "$src/build-aux/lint-source.pl" "$src" $floors || failed=1

# ---- headers ----------------------------------------------------------------------------------
# compile_header NAME HEADER COMMAND…
cat >"$temp/header" <<'SCRIPT'
name=$1
shift
if ! "$@" 2>"$TEMP/$$.err"; then
    sed -n "/[0-9]: .*error/{s|^$SRC/||;s|: error: |: headers: ($name) |;p;}" "$TEMP/$$.err" |
        head -n 5
    grep -q 'error' "$TEMP/$$.err" || cat "$TEMP/$$.err"
    exit 1
fi
SCRIPT
TEMP=$temp SRC=$src
export TEMP SRC
strict='-Wall -Wextra -Werror -pedantic -fsyntax-only'
public="-I$src/include"
inside="-include $build/config.h -I$src -I$src/include"
count=0
: >"$temp/jobs"
for header in "$src"/include/sdb/*.h; do
    name=sdb/${header##*/}
    echo "#include <$name>" >"$temp/$count.c"
    cp "$temp/$count.c" "$temp/$count.cc"
    echo "C11 $cc -std=c11 $strict $public $temp/$count.c" >>"$temp/jobs"
    echo "C++17 $cxx -std=c++17 $strict $public $temp/$count.cc" >>"$temp/jobs"
    count=$((count + 1))
done
for floor in $(sed '/^#/d;/^include/d' "$src/LAYERS") tests/lib; do
    for header in "$src/$floor"/*.h; do
        test -f "$header" || continue
        echo "#include \"$floor/${header##*/}\"" >"$temp/$count.c"
        # Our own warnings, not -pedantic: gcc's extensions are allowed inside.
        echo "C11 $cc -std=c11 -Wall -Wextra -Werror -fsyntax-only $inside $temp/$count.c" \
            >>"$temp/jobs"
        count=$((count + 1))
    done
done
xargs -P 4 -L 1 sh "$temp/header" <"$temp/jobs" || failed=1

# ---- links ------------------------------------------------------------------------------------
archive_of()
{
    echo "$build/${1%/*}/.libs/$(basename "$1" .la).a"
}
linked=0
below=
for floor in $(sed '/^#/d' "$src/LAYERS"); do
    for library in $libraries; do
        test "${library%/*}" = "$floor" || continue
        archive=$(archive_of "$library")
        # shellcheck disable=SC2086
        if ! $cc -shared -Wl,-z,defs -o "$temp/floor.so" -Wl,--whole-archive "$archive" \
            -Wl,--no-whole-archive $below -Wl,--as-needed $system_libs 2>"$temp/link"; then
            finding "$floor: links: it does not link against only the floors below it"
            # "[…ld: ]SRC/clock.c:35: undefined reference to `sdb__io_open'"
            sed -n "s|^.*ld: ||;s|^$src/||;s|^$abs_src/||;s|: undefined reference|: links:&|p" \
                "$temp/link" | sed 's|links:: |links: |' | sort -u | head -n 10
            grep -q 'undefined reference' "$temp/link" || cat "$temp/link"
        fi
        linked=$((linked + 1))
        below="$archive $below"
    done
done

# ---- symbols ----------------------------------------------------------------------------------
# What the public headers declare, one name a line.
perl -0777 -ne 's{/\*.*?\*/}{}gs; s{^\s*#.*$}{}gm;
    print "$1\n" while /\bSDB_API\b[^;(]*?\b(\w+)\s*\(/g' \
    "$src"/include/sdb/*.h | sort -u >"$temp/declared"
where_declared()
{
    grep -n "\b$1(" "$src"/include/sdb/*.h | head -n 1 | sed "s|^$src/||" | cut -d: -f1,2
}
for library in $libraries; do
    $nm -A -g --defined-only "$(archive_of "$library")" 2>/dev/null |
        sed -n "s|^[^:]*:\([^:]*\)\.o:.* [A-Z] \([^ ]*\)\$|${library%/*}/\1.c \2|p"
done | sort -u >"$temp/defined"
while read -r source symbol; do
    case $symbol in
    sdb__* | __asan* | __odr_asan* | __gcov* | __llvm* | __start* | __stop*) ;;
    *)
        grep -qx "$symbol" "$temp/declared" ||
            finding "$source:1: symbols: $symbol is not static, sdb__…, or in include/sdb"
        ;;
    esac
done <"$temp/defined"

shared=$build/.libs/libsdb.so
if test -e "$shared"; then
    $nm -D --defined-only "$shared" | sed -n 's/^.* [A-Z] \([^ ]*\)$/\1/p' | sed 's/@.*//' |
        sort -u >"$temp/exported"
    for symbol in $(comm -23 "$temp/exported" "$temp/declared"); do
        finding "include/sdb:1: symbols: libsdb exports $symbol, which no public header declares"
    done
    # Until every floor that LAYERS names is built, something must be missing.
    missing=
    for floor in $(sed '/^#/d;/^include/d;/^tools/d;/^bench/d' "$src/LAYERS"); do
        case " $floors " in *" $floor "*) ;; *) missing="$missing $floor" ;; esac
    done
    if test -z "$missing"; then
        for symbol in $(comm -13 "$temp/exported" "$temp/declared"); do
            finding "$(where_declared "$symbol"): symbols: $symbol is declared and libsdb lacks it"
        done
    else
        echo "lint: not checked: that all declared functions exist; no library yet in:$missing"
    fi
else
    finding "$shared: symbols: lint needs a build with --enable-shared"
fi

test $failed -eq 0 || exit 1
echo "lint: $count headers compile alone, $linked floors link alone," \
    "$(wc -l <"$temp/exported") symbols exported: sound"
