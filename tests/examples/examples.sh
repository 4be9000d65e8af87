#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# examples.sh: what stands in examples/ compiles and runs against an installed sdb, shared and
# static, and prints what its first comment promises.
. "${srcdir:-.}/tests/lib/tap.sh"

# variable NAME: its value in this build
variable()
{
    sed -n "s/^$1 = *//p" "$build/Makefile"
}

# promised FILE: the lines under "Prints"
promised()
{
    awk '/^ \*\/$/ { exit }
        found && sub(/^ \*     /, "") { print }
        /^ \* Prints$/ { found = 1 }' "$1"
}

unset MAKEFLAGS MFLAGS MAKELEVEL
run make -s -C "$build" install DESTDIR="$work/stage"
is "$status" 0 "make install DESTDIR=..."
[ "$status" -eq 0 ] || tap_show make "$err"
pc=$(find "$work/stage" -name sdb.pc)
ok "installs sdb.pc" test -n "$pc"
PKG_CONFIG_PATH=${pc%/*}:${PKG_CONFIG_PATH:-}
PKG_CONFIG_SYSROOT_DIR=$work/stage
# In case the prefix is one that pkg-config would leave out.
PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1
PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR PKG_CONFIG_ALLOW_SYSTEM_CFLAGS \
    PKG_CONFIG_ALLOW_SYSTEM_LIBS
lib=$(dirname "${pc%/*}")
LD_LIBRARY_PATH=$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
flags=$(pkg-config --cflags --libs sdb)
static_flags=$(pkg-config --static --cflags --libs sdb)
examples=$(find "$work/stage" -type d -path '*/examples')
# Instrumented code links only with the flags that it was compiled with, and never wholly static.
mode=$(variable MODE_CFLAGS)
static=-static
[ -z "$mode" ] || static=

# compiles NAME COMMAND…
compiles()
{
    name=$1
    shift
    run "$@"
    [ "$status" -eq 0 ] || tap_show compiler "$err"
    is "$status:$err" "0:" "$name compiles without a warning"
}

# keeps_promise NAME SOURCE PROGRAM: run twice, for the second finds what the first left
keeps_promise()
{
    mkdir -p run && cd run || exit 1
    run timeout 120 "$3"
    is "$status:$out" "0:$(promised "$2")" "$1 prints what it promises"
    run timeout 120 "$3"
    is "$status:$out" "0:$(promised "$2")" "$1 does so again"
    cd .. && rm -rf run
}

# try NAME COMPILER… : an example, each way that there is
try()
{
    example=$1
    source=$examples/$1
    shift
    ok "$example is installed" test -f "$source"
    ok "$example promises something" test -n "$(promised "$source")"
    if [ -n "$mode" ]; then
        skip "$example, shared: not in an instrumented build"
    elif [ ! -e "$lib/libsdb.so" ]; then
        skip "$example, shared: there is no shared library"
    else
        # shellcheck disable=SC2086
        compiles "$example, shared," "$@" "$source" -o program $flags
        keeps_promise "$example, shared," "$source" "$work/program"
    fi
    if [ ! -e "$lib/libsdb.a" ]; then
        skip "$example, static: there is no static library"
    else
        # shellcheck disable=SC2086
        compiles "$example, static," "$@" $static $mode "$source" -o program-static $static_flags
        keeps_promise "$example, static," "$source" "$work/program-static"
    fi
    rm -f program program-static
}

warnings='-Wall -Wextra -Wshadow -Wconversion -Werror'
for source in "$top"/examples/*.c; do
    # shellcheck disable=SC2046,SC2086
    try "${source##*/}" $(variable CC) -std=c11 $warnings
done
for source in "$top"/examples/*.cpp; do
    if [ -z "$(variable CXX)" ]; then
        skip "${source##*/}: there is no C++ compiler"
    elif [ -n "$mode" ]; then
        skip "${source##*/}: not in an instrumented build"
    else
        # shellcheck disable=SC2046,SC2086
        try "${source##*/}" $(variable CXX) -std=c++17 $warnings
    fi
done

if [ -n "$mode" ]; then
    skip "valgrind: not in an instrumented build"
elif ! command -v valgrind >/dev/null; then
    skip "there is no valgrind"
elif [ ! -e "$lib/libsdb.so" ]; then
    skip "valgrind: there is no shared library"
else
    # shellcheck disable=SC2046,SC2086
    run $(variable CC) -g "$examples/01-hello.c" -o hello $flags
    for time in first second; do
        run timeout 120 valgrind -q --error-exitcode=9 --leak-check=full \
            --errors-for-leak-kinds=all ./hello
        is "$status:$out" "0:hello, alice" "valgrind finds nothing in 01-hello.c, the $time time"
        [ "$status" -eq 0 ] || tap_show valgrind "$err"
    done
fi
done_testing
