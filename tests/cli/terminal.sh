#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# terminal.sh: the shell on a terminal: prompts, Ctrl-C, Ctrl-D, history, completion.
. "${srcdir:-.}/tests/lib/tap.sh"

if ! script -qec true /dev/null >/dev/null 2>&1 </dev/null; then
    skip "there is no script(1) to make a terminal with"
    done_testing
fi
HOME=$work
TERM=xterm
export HOME TERM
unset XDG_STATE_HOME
# libedit forgets to free the names of functions that were added to it.
echo 'leak:wcsdup' >suppressions
LSAN_OPTIONS=suppressions=$work/suppressions:print_suppressions=0
export LSAN_OPTIONS

# on_terminal FILE: the shell on FILE, on a terminal of its own. `exec`, since what script(1) starts
# takes Ctrl-C too, and some shells then end with 130 whatever the command ended with.
on_terminal()
{
    script -qec "exec '$sdb' $1" /dev/null
    echo "left with $?"
}

# typed FILE KEYS…: types each of KEYS (as printf %b has it) with a pause; what came is in $out.
typed()
{
    file=$1
    shift
    : >.out
    {
        waited=0
        until grep -q 'sdb> ' .out || [ "$waited" -gt 100 ]; do
            sleep 0.1
            waited=$((waited + 1))
        done
        for keys in "$@"; do
            printf '%b' "$keys"
            sleep 0.3
        done
        # Ending now would hang the terminal up while the program may still write to it.
        waited=0
        until grep -q 'left with' .out || [ "$waited" -gt 300 ]; do
            sleep 0.1
            waited=$((waited + 1))
        done
    } | on_terminal "$file" >.out 2>&1
    out=$(tr -d '\r' <.out)
}

typed t.sdb 'put users alice 1\n' 'get users alice\n' '\004'
like "$out" "*sdb *, t.sdb. Type .help*sdb> *
1
*left with 0" "a prompt, an answer, Ctrl-D leaves"
typed t.sdb 'put users bob "two\n' 'lines"\n' 'get users bob\n' '.quit\n'
like "$out" '*...> *"two\\nlines"*left with 0' "an open quote asks for another line"
typed t.sdb 'put users carol "abc\n' '\003' 'get users alice\n' '.quit\n'
like "$out" "*
1
*left with 0" "Ctrl-C gives up what is typed, and not the shell"
typed t.sdb 'begin\n' 'put users dave 4\n' 'frobnicate\n' '\004'
like "$out" "*sdb\*> *the transaction is still open*is rolled back*left with 0" \
    "an open transaction shows in the prompt, and is said at the end"
typed t.sdb 'frobnicate\n' 'get users alice\n' '.quit\n'
like "$out" "*no command*
1
*left with 0" "an error does not end it"
seq 400000 >list.txt
"$sdb" import t.sdb many list.txt >/dev/null
# Whether a key of a terminal becomes a signal here at all.
out=$({ sleep 0.5; printf '\003'; sleep 0.5; } | script -qec 'sleep 2; echo slept' /dev/null)
case $out in
*slept*) skip "Ctrl-C is no signal here" ;;
*)
    # The scan waits for who reads it, so that Ctrl-C comes in its midst on any machine.
    {
        printf 'scan many\n'
        until test -e halfway; do sleep 0.1; done
        printf '\003'
        : >go_on
        sleep 0.5
        printf 'get users alice\n.quit\n'
        until grep -q 'left with' .out; do sleep 0.1; done
    } | on_terminal t.sdb | {
        head -c 65536
        : >halfway
        until test -e go_on; do sleep 0.1; done
        cat
    } >.out 2>&1
    out=$(tr -d '\r' <.out | tail -n 100)
    like "$out" "*
1
*left with 0" "Ctrl-C ends a command that runs, and not the shell"
    unlike "$(cat .out)" '*99999 *99999 *' "before it has come to its end"
    ;;
esac

if ! "$sdb" version --json | grep -q '"line_editing":true'; then
    skip "it was built without line editing"
    done_testing
fi
ok "the history is there, for its owner only" test "$(stat -c %a "$HOME/.sdb_history")" = 600
ok "with what was typed" grep -q 'alice' "$HOME/.sdb_history"
typed t.sdb '.keysp\t\n' 'get us\t alice\n' '.quit\n'
like "$out" "*keyspace
*many
users
*
1
*left with 0" "the tab key completes commands and keyspaces"
typed t.sdb '\020\020\n' '.quit\n'
like "$out" "*
1
*left with 0" "the history comes back"
trap '' INT
typed t.sdb 'put users carol "abc\n' '\003' 'get users alice\n' '.quit\n'
like "$out" "*
1
*left with 0" "Ctrl-C is a key even where the signal came ignored"
trap - INT
without="setsid' -w '$sdb"
sdb=$without typed t.sdb 'put users carol "abc\n' '\003' 'get users alice\n' '.quit\n'
like "$out" "*
1
*left with 0" "and where there is no controlling terminal"
XDG_STATE_HOME=$work/state
export XDG_STATE_HOME
typed t.sdb '.keyspaces\n' '.quit\n'
ok "XDG_STATE_HOME holds it if there is one" test -s "$work/state/sdb/history"
done_testing
