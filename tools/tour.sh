#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tour.sh BUILDDIR: sdb on real data, from import to crash and recovery. `./bootstrap run` does it.
#
# Idea: each step is a command that you could type, shown with what it printed and the time it took.
# Invariants: I1 every number was measured in this run. I2 what an import acknowledged before it was
# killed is compared row by row with what is there afterwards; if one is missing the tour fails.
# The database stays in BUILDDIR/tour.
set -u
LC_ALL=C.UTF-8
export LC_ALL

usage()
{
    echo "usage: tour.sh BUILDDIR" >&2
    exit 2
}
test $# -eq 1 || usage
build=$(cd "$1" && pwd) || usage
source=$(cd "$(dirname "$0")/.." && pwd) || exit 1
program=$build/sdb
tour=$build/tour
db=tour.sdb
unicode=/usr/share/unicode/UnicodeData.txt
writer=
test -x "$program" || { echo "tour: there is no $program: build first" >&2; exit 1; }
typed=$program
# Before it is installed, sdb is a script that finds the library and starts this. What is measured
# here is the program alone.
if test -x "$build/.libs/sdb"; then
    program=$build/.libs/sdb
    LD_LIBRARY_PATH=$build/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export LD_LIBRARY_PATH
fi

leave()
{
    test -z "$writer" || kill -9 "$writer" 2>/dev/null
    exit "$1"
}
trap 'leave 130' INT
trap 'leave 143' TERM

fail()
{
    echo "tour: $*" >&2
    echo "tour: what is there is in $tour" >&2
    leave 1
}

now()
{
    date +%s%N
}

# since NANOSECONDS: the time gone since then, as "12.3 ms" or "1.23 s".
since()
{
    awk -v ns=$(($(now) - $1)) 'BEGIN {
        if (ns < 1e9) printf "%.1f ms", ns / 1e6; else printf "%.2f s", ns / 1e9 }'
}

# 1234567 as 1,234,567
commas()
{
    echo "$1" | sed -e ':again' -e 's/^\([0-9]*\)\([0-9]\{3\}\)/\1,\2/;tagain'
}

step()
{
    step_number=$((${step_number:-0} + 1))
    printf '\n%d. %s\n' "$step_number" "$1"
}

# show ARGUMENT…: runs sdb, shown as a person would type it, with what it prints and how long.
show()
{
    shown=sdb
    for word in "$@"; do
        case $word in
        *[!A-Za-z0-9_./=:-]* | '') shown="$shown '$word'" ;;
        *) shown="$shown $word" ;;
        esac
    done
    printf '   $ %s\n' "$shown"
    start=$(now)
    "$program" "$@" >.out 2>&1
    status=$?
    took=$(since "$start")
    sed 's/^/     /' .out
    test $status -eq 0 || fail "that command ended with status $status"
    printf '     (%s, the start of the program included)\n' "$took"
}

# shell LINE…: the same for lines of the shell, whose `.timing on` ends each answer with its time.
shell()
{
    { echo '.timing on'; printf '%s\n' "$@"; } >.in
    "$program" "$db" <.in >.out 2>&1 || { sed 's/^/     /' .out; fail "the shell failed"; }
    printf '   $ sdb %s\n' "$db"
    awk 'NR == FNR { command[NR] = $0; next }
        /^time: / { sub(/^time: /, ""); if (at++) printf "       (%s)\n", $0
                    if (command[at + 1] != "") print "     sdb> " command[at + 1]; next }
        { print "       " $0 }' .in .out
}

# A list of many words: the largest there is.
find_words()
{
    for words in /usr/share/dict/american-english-insane /usr/share/dict/american-english-huge \
        /usr/share/dict/american-english /usr/share/dict/words; do
        test -r "$words" && return
    done
    fail "there is no list of words in /usr/share/dict (Debian: apt-get install wamerican-insane)"
}

find_words
rm -rf "$tour"
mkdir -p "$tour" || fail "$tour cannot be made"
cd "$tour" || fail "$tour cannot be entered"
printf '%s on real data. The database: %s\n' "$("$program" version | cut -d' ' -f1,2)" "$tour/$db"

# ---- import -------------------------------------------------------------------------------------
step "Import: a list of words, and the names of all characters"
show import "$db" words "$words" --format lines
if test -r "$unicode"; then
    show import "$db" characters "$unicode" --separator ';' --no-header
else
    echo "   (There is no $unicode; Debian: apt-get install unicode-data)"
fi
show "$db" .keyspaces --count
printf '     The file: %s bytes.\n' "$(commas "$(wc -c <"$db" | tr -d ' ')")"

# ---- reads --------------------------------------------------------------------------------------
step "Read one entry: by a program of its own, and in the shell"
show kv get "$db" words zebra
if test -r "$unicode"; then
    shell 'get words zebra' 'get words aardvark' 'get words zebra' 'get characters 20AC'
else
    shell 'get words zebra' 'get words aardvark' 'get words zebra'
fi
reads=20000
shuf -n "$reads" "$words" | sed "s/'/''/g; s/^/get words '/; s/\$/'/" >.in
reads=$(wc -l <.in | tr -d ' ')
start=$(now)
"$program" "$db" <.in >.out 2>&1 || fail "reading failed: $(tail -n 1 .out)"
gone=$(($(now) - start))
test "$(wc -l <.out | tr -d ' ')" -eq "$reads" || fail "some of the reads found nothing"
printf '   %s reads of random words in one script: %s us each, with opening and closing\n' \
    "$(commas "$reads")" \
    "$(awk -v ns="$gone" -v n="$reads" 'BEGIN { printf "%.1f", ns / n / 1000 }')"

step "Scan a prefix and a range"
shell 'scan words --prefix zymu' 'scan words --from quartz --to quash --limit 5' \
    'scan words --reverse --limit 3' 'count words --prefix un' 'count words'

# ---- transactions -------------------------------------------------------------------------------
step "Change two keyspaces in one transaction"
shell 'put checking alice 100' 'put savings alice 0' \
    'begin' 'put checking alice 70' 'put savings alice 30' 'commit' \
    'get checking alice' 'get savings alice'
echo "   One that is given up leaves nothing:"
shell 'begin' 'put checking alice 0' 'put savings alice 999' 'rollback' \
    'get checking alice' 'get savings alice'

step "Open it again"
show kv get "$db" savings alice
ls -d "$db"* >.out
printf '     In the folder after a clean close: %s\n' "$(tr '\n' ' ' <.out)"

# ---- crash --------------------------------------------------------------------------------------
step "Crash: kill -9 an import while it writes"
: >.acknowledged
"$program" import "$db" crash "$words" --format lines --batch 500 --progress-fd 3 \
    >.out 2>&1 3>.acknowledged &
writer=$!
printf '   $ sdb import %s crash %s --format lines --batch 500 --progress-fd 3 &\n' "$db" "$words"
tries=0
while test "$(wc -l <.acknowledged)" -lt 100 && kill -0 "$writer" 2>/dev/null; do
    tries=$((tries + 1))
    test $tries -lt 3000 || fail "the import does not come forward"
    sleep 0.01
done
kill -9 "$writer" 2>/dev/null ||
    fail "the import ended before it could be killed: $(tail -n 1 .out)"
wait "$writer" 2>/dev/null
writer=
acknowledged=$(sed -n 's/^committed \([0-9]*\)$/\1/p' .acknowledged | tail -n 1)
printf '   $ kill -9 %%1\n'
printf '     Killed after it had acknowledged %s rows.\n' "$(commas "$acknowledged")"
printf '     Beside the database now: %s (%s bytes, to recover from)\n' "$db-wal" \
    "$(commas "$(cat "$db-wal"/* 2>/dev/null | wc -c | tr -d ' ')")"
show checkpoint "$db"
show kv count "$db" crash
found=$(tail -n 1 .out)
"$program" kv scan "$db" crash --keys --raw >.there || fail "the keyspace cannot be read"
LC_ALL=C sort .there >.there.sorted
head -n "$acknowledged" "$words" | LC_ALL=C sort >.acknowledged.sorted
missing=$(LC_ALL=C comm -13 .there.sorted .acknowledged.sorted | wc -l | tr -d ' ')
printf '   Compared row by row: %s acknowledged, %s there, %s of the acknowledged missing.\n' \
    "$(commas "$acknowledged")" "$(commas "$found")" "$missing"
test "$missing" -eq 0 || fail "acknowledged rows are missing"

# ---- check and backup ---------------------------------------------------------------------------
step "Check everything, and take a backup"
show check "$db"
show backup "$db" backup.sdb
show check backup.sdb
echo "   A copy of it with one bit turned:"
cp backup.sdb damaged.sdb
at=$(($(wc -c <damaged.sdb) / 3))
byte=$(od -An -tu1 -j "$at" -N 1 damaged.sdb | tr -d ' ')
# shellcheck disable=SC2059
printf "$(printf '\\%03o' $((byte ^ 1)))" |
    dd of=damaged.sdb bs=1 seek="$at" conv=notrunc 2>/dev/null
printf '   $ sdb check damaged.sdb\n'
if "$program" check damaged.sdb >.out 2>&1; then
    sed 's/^/     /' .out
    printf '     (byte %s is in no use, so nothing was harmed)\n' "$at"
else
    sed 's/^/     /' .out
fi
rm -f damaged.sdb .in .out .there .there.sorted .acknowledged .acknowledged.sorted

# ---- what next ----------------------------------------------------------------------------------
cat <<NEXT

It is yours now. Type

    $typed $tour/$db

and there, for example

    .keyspaces --count
    scan characters --prefix 1F6 --limit 20
    scan words --from sea --to seb --limit 10
    put words sdb 'a small database'
    .stat
    .help

'$typed help' lists what else it does; 'man $source/docs/man/sdb.1' tells all.
NEXT
