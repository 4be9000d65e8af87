#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# kv.sh: `sdb kv` gets, puts, removes, scans and counts; any bytes, every exit status.
. "${srcdir:-.}/tests/lib/tap.sh"

# ---- one entry ----------------------------------------------------------------------------------
run "$sdb" kv put t.sdb users alice '{"a":1}'
is "$status:$out:$err" "0::" "put says nothing"
run "$sdb" kv get t.sdb users alice
is "$status:$out:$err" '0:{"a":1}:' "get prints the value"
ok "and a newline" test "$(wc -c <.out)" -eq 8
run "$sdb" kv get --raw t.sdb users alice
ok "--raw leaves the newline out" test "$(wc -c <.out)" -eq 7
run "$sdb" kv get t.sdb users nobody
is "$status:$out" "1:" "a key that is not there: status 1, nothing on standard output"
like "$err" "sdb: t.sdb: there is no key nobody in 'users'" "and says so"
run "$sdb" kv get t.sdb user alice
is "$status:$out" "1:" "a keyspace that is not there: status 1"
like "$err" "*no keyspace 'user'; did you mean 'users'*" "with the one that may be meant"
run "$sdb" kv get nowhere.sdb users alice
is "$status:$out" "1:" "a file that is not there: status 1"
ok "which get does not make" test ! -e nowhere.sdb
run "$sdb" kv del t.sdb users nobody
is "$status" 1 "del of what is not there: status 1"
run "$sdb" kv put t.sdb users bob 2
run "$sdb" kv del t.sdb users bob
is "$status:$out:$err" "0::" "del says nothing"
run "$sdb" kv get t.sdb users bob
is "$status" 1 "and the key is gone"
ok "a command leaves one file" test ! -e t.sdb-wal

# ---- arguments ----------------------------------------------------------------------------------
run "$sdb" kv put t.sdb users -- -5 -6
run "$sdb" kv get t.sdb users -- -5
is "$out" "-6" "-- ends the options"
run "$sdb" kv put t.sdb users -5 x
is "$status" 2 "without it -5 is an option that there is not"
printf 'from\000a file\n' >value
run "$sdb" kv put t.sdb files a @value
"$sdb" kv get --raw t.sdb files a | cmp -s - value
is $? 0 "@file is the file's bytes"
"$sdb" kv put t.sdb files b - <value
"$sdb" kv get --raw t.sdb files b | cmp -s - value
is $? 0 "- is standard input"
run "$sdb" kv put t.sdb files c @@value
run "$sdb" kv get t.sdb files c
is "$out" "@value" "@@ is a plain @"
printf 'a key' >key
run "$sdb" kv put t.sdb files @key 1
run "$sdb" kv get t.sdb files 'a key'
is "$out" 1 "a key may come from a file"
run "$sdb" kv put t.sdb files d @nowhere
is "$status" 1 "@file that is not there: status 1"
like "$err" "*nowhere*No such file*" "and is named"
run "$sdb" kv put t.sdb files - -
is "$status" 2 "standard input is read once"

# ---- any bytes ----------------------------------------------------------------------------------
run "$sdb" kv put --hex t.sdb bin 00ff80 DEADBEEF
run "$sdb" kv get --hex t.sdb bin 00FF80
is "$out" "deadbeef" "hex in, hex out"
run "$sdb" kv get --base64 t.sdb bin AP+A
is "$out" "3q2+7w==" "base64 in, base64 out"
run "$sdb" kv put --hex t.sdb bin 0g 00
is "$status" 2 "what is not hex is misuse"
run "$sdb" kv put --base64 t.sdb bin AAA= AAB=
is "$status" 2 "base64 with stray bits is misuse"
run "$sdb" kv get --hex --base64 t.sdb bin 00
is "$status" 2 "hex and base64 exclude each other"
run "$sdb" kv put --hex t.sdb bin '' ''
run "$sdb" kv get --hex t.sdb bin ''
is "$status:$out" "0:" "the empty key, the empty value"
head -c 1000000 /dev/urandom >big
run "$sdb" kv put t.sdb bin big @big
"$sdb" kv get --raw t.sdb bin big | cmp -s - big
is $? 0 "a million random bytes come back"
"$sdb" kv get --base64 t.sdb bin Ymln | base64 -d | cmp -s - big
is $? 0 "and through base64"

# ---- ranges -------------------------------------------------------------------------------------
for i in 1 2 3 4 5; do "$sdb" kv put t.sdb r "k$i" "v$i"; done
run "$sdb" kv scan t.sdb r
is "$out" "$(printf 'k1\tv1\nk2\tv2\nk3\tv3\nk4\tv4\nk5\tv5')" "scan prints in key order"
run "$sdb" kv scan t.sdb r --from k2 --to k4 --keys
is "$out" "$(printf 'k2\nk3')" "--from is in, --to is out"
run "$sdb" kv scan t.sdb r --reverse --limit 2 --keys
is "$out" "$(printf 'k5\nk4')" "--reverse and --limit"
run "$sdb" kv scan --hex t.sdb r --prefix 6b33
is "$out" "$(printf '6b33\t7633')" "in hex, the prefix too"
run "$sdb" kv scan t.sdb r --prefix none
is "$status:$out" "0:" "a range of nothing is no failure"
run "$sdb" kv scan t.sdb r --json --limit 1
is "$out" '{"key":"k1","value":"v1"}' "scan --json"
run "$sdb" kv scan t.sdb bin --json --to 1
like "$out" '*{"key_base64":"AP+A","value_base64":"3q2+7w=="}*' "other bytes as base64"
run "$sdb" kv count t.sdb r
is "$out" 5 "count"
run "$sdb" kv count t.sdb r --from k4 --json
is "$out" '{"count":2}' "count of a range, as JSON"
run "$sdb" kv merge m.sdb c visits add 40
is "$status:$out" "0:" "merge makes file and keyspace"
run "$sdb" kv merge m.sdb c visits add -- -42
out=$("$sdb" kv get --raw m.sdb c visits | od -An -tx1 | tr -d ' \n')
is "$out" feffffffffffffff "and adds numbers"
run "$sdb" kv merge --hex m.sdb c 766973697473 add 0300000000000000
out=$("$sdb" kv get --raw m.sdb c visits | od -An -tx1 | tr -d ' \n')
is "$out" 0100000000000000 "also as bytes"
for word in beta alpha beta; do "$sdb" kv merge m.sdb c words union $word; done
out=$("$sdb" kv get --raw m.sdb c words | od -An -tx1 | tr -d ' \n')
is "$out" 05000000616c7068610400000062657461 "a set has each element once, in order"
for word in m z k; do
    "$sdb" kv merge m.sdb c most max $word
    "$sdb" kv merge m.sdb c least min $word
    "$sdb" kv merge m.sdb c all append $word
done
run "$sdb" kv get m.sdb c most
is "$out" z "max"
run "$sdb" kv get m.sdb c least
is "$out" k "min"
run "$sdb" kv get m.sdb c all
is "$out" mzk "append"
run "$sdb" kv merge m.sdb c all add 1
like "$status:$err" "1:*add: the key has a value of 3 bytes*" "what does not fit is refused"
for operand in 1.5 "" x 9223372036854775808 " 1" +1; do
    run "$sdb" kv merge m.sdb c visits add "$operand"
    is "$status" 2 "no number: '$operand'"
done
run "$sdb" kv merge m.sdb c visits times 2
like "$status:$err" "2:*add, append, max, min or union*" "an operator that is not there"
out=$(printf 'use c\nbegin\nmerge all append !\nget all\ncommit\nmerge all append ?\nget all\n' |
    "$sdb" m.sdb)
is "$out" "$(printf 'mzk!\nmzk!?')" "in the shell, a transaction sees its merges"
run "$sdb" kv count t.sdb r --from k2 --approx
is "$out" 4 "an estimate is exact where it is small"
run "$sdb" t.sdb 'count r --to k3 --approx'
is "$out" 2 "in the shell, too"
run "$sdb" kv delrange t.sdb r
is "$status" 2 "delrange without a range is misuse"
run "$sdb" kv delrange t.sdb r --from k2 --to k4
is "$status:$out" "0:" "delrange"
run "$sdb" kv scan t.sdb r --keys
is "$out" "$(printf 'k1\nk4\nk5')" "has removed what was between"
run "$sdb" kv delrange --hex t.sdb r --prefix 6b35
run "$sdb" kv scan t.sdb r --keys
is "$out" "$(printf 'k1\nk4')" "delrange of a prefix, in hex"
run "$sdb" kv delrange t.sdb nowhere --prefix x
is "$status" 1 "delrange without the keyspace: status 1"
out=$("$sdb" t.sdb <<'END' 2>&1
use r
begin
delrange --from k1
put k3 new
scan --keys
rollback
begin
delrange --to k4
commit
delrange
END
) || status=$?
is "$status" 1 "delrange without a range ends a script"
like "$out" "k3*" "in the shell, a transaction sees its own deleted range"
run "$sdb" kv scan t.sdb r --keys
is "$out" k4 "and commits it"
for i in 1 2 3 4 5; do "$sdb" kv put t.sdb r "k$i" "v$i"; done
"$sdb" kv scan t.sdb r >/dev/full 2>err
is $? 1 "a full disk under standard output: status 1"
like "$(cat err)" "*standard output cannot be written: No space left*" "and says so"

# ---- limits -------------------------------------------------------------------------------------
head -c 65536 /dev/zero >key-max
head -c 65537 /dev/zero >key-long
run "$sdb" kv put t.sdb limits @key-max 1
is "$status" 0 "a key of 65,536 bytes"
run "$sdb" kv put t.sdb limits @key-long 1
is "$status" 1 "a key of 65,537: status 1"
like "$err" "sdb: t.sdb: *65*" "which says the limit"
run "$sdb" kv count t.sdb limits
is "$out" 1 "and nothing changed"
run "$sdb" kv put --readonly t.sdb r k6 v6
is "$status" 1 "--readonly refuses a change"
run "$sdb" kv get --readonly t.sdb r k1
is "$status:$out" "0:v1" "and reads"
done_testing
