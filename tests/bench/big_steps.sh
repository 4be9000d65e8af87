#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# big_steps.sh: `make bench-big` and `bench-recovery`, small: every step runs, contents are
# compared, memory is judged, a log that a kill left is recovered.
. "${srcdir:-.}/tests/lib/tap.sh"

big()
{
    run env BIG_MB=24 BIG_CACHE_MB=4 "$@" BIG_DB="$work/big" sh "$top/bench/big.sh" "$build"
}

big BIG_RSS_MB=8000
is "$status" 0 "a database of six times the cache goes all its way: $err"
is "$(printf '%s\n' "$out" | grep -c ' MB/s .* MB$')" 12 "each step says its time, rate and memory"
like "$out" '*all contents are right*' "and what is there was compared"
ok "what it made is removed" test ! -e "$work/big"

big BIG_RSS_MB=1
is "$status" 1 "more memory than is allowed is a failure"
like "$out" '*MORE THAN 1 MB*' "that stands at its step"

mkdir "$work/big"
big BIG_RSS_MB=8000
is "$status" 1 "a folder that is there is left alone"
ok "and not removed" test -d "$work/big"

"$build/bench/big_work" put "$work/x.sdb" 500 0 400 1 >"$work/line"
run "$build/bench/big_work" verify "$work/x.sdb" 500 400:1,100:0
is "$status" 0 "contents as they were written are right"
run "$build/bench/big_work" verify "$work/x.sdb" 500 399:1,1:2,100:0
is "$status" 1 "others are not"
like "$err" '*400 entries*and must be 400*' "and it says what there is"
run "$build/bench/big_work" verify "$work/x.sdb" 500 400:1
is "$status" 2 "runs must add up"
run "$build/bench/big_work" run sh -c 'exit 3'
is "$status" 3 "a command's status is passed on"
like "$out" 'seconds=*peak_kb=[1-9]*' "with what it needed"

recovery()
{
    run env RECOVERY_MB=4 RECOVERY_CACHE_MB=16 "$@" RECOVERY_DB="$work/recovery" \
        sh "$top/bench/recovery.sh" "$build"
}

if script -qec true /dev/null >/dev/null 2>&1 </dev/null; then
    recovery A=1
    is "$status" 0 "a log that a kill left is recovered: $err"
    is "$(printf '%s\n' "$out" | grep -c ' MB of log, .* records/s; progress shown ')" 2 \
        "filled in order and at random"
    ok "what it made is removed" test ! -e "$work/recovery"
else
    skip "there is no script(1) to make a terminal with"
fi
run env RECOVERY_MB=much sh "$top/bench/recovery.sh" "$build"
is "$status" 2 "a size that is none is misuse"
done_testing
