#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# ttl.sh: values that expire, from the command line and the shell.
. "${srcdir:-.}/tests/lib/tap.sh"

# ---- one entry ----------------------------------------------------------------------------------
run "$sdb" kv put t.sdb s gone 1 --ttl=1ms
is "$status:$out:$err" "0::" "put with a lifetime says nothing"
run "$sdb" kv put t.sdb s kept 2 --ttl 1d
run "$sdb" kv put t.sdb s plain 3
sleep 0.1
run "$sdb" kv get t.sdb s gone
is "$status:$out" "1:" "what has expired is not there"
run "$sdb" kv scan t.sdb s
is "$out" "kept	2
plain	3" "nor in a scan"
run "$sdb" kv count t.sdb s
is "$out" 2 "nor counted"
run "$sdb" export t.sdb s - --format jsonl
is "$(printf '%s\n' "$out" | wc -l)" 2 "nor exported"
run "$sdb" kv ttl t.sdb s kept
like "$status:$out" "0:23 h 59 m" "ttl says how long is left"
run "$sdb" kv ttl t.sdb s kept --json
like "$out" '{"ttl_ms":863*,"expiry_ms":1*}' "and as JSON"
run "$sdb" kv ttl t.sdb s plain
is "$out" "for ever" "or that it stays"
run "$sdb" kv ttl t.sdb s plain --json
is "$out" '{"ttl_ms":null,"expiry_ms":null}' "and as JSON"
run "$sdb" kv ttl t.sdb s gone
is "$status:$out" "1:" "of what has expired nothing is told"
run "$sdb" kv ttl t.sdb s kept --ttl=none
run "$sdb" kv ttl t.sdb s kept
is "$out" "for ever" "ttl takes an end away"
run "$sdb" kv ttl t.sdb s kept --ttl=1ms
sleep 0.1
run "$sdb" kv get t.sdb s kept
is "$status" 1 "and gives one"
run "$sdb" kv ttl t.sdb s kept --ttl=1h
is "$status" 1 "but does not bring back"
for wrong in 30 s -1s 0s 1w 99999999999999999999d 300000000000d 1.5h ""; do
    run "$sdb" kv put t.sdb s a 1 "--ttl=$wrong"
    is "$status" 2 "'$wrong' is no duration"
done

# ---- imports ------------------------------------------------------------------------------------
printf 'one\ntwo\n' >words.txt
run "$sdb" import i.sdb w words.txt --ttl 1h
like "$status:$out" "0:imported 2 rows*" "import takes a lifetime"
run "$sdb" kv ttl i.sdb w one
like "$out" "59 m *" "which its values have"
run "$sdb" kv ttl i.sdb w two --json
is "$(expr "$out" : '.*expiry_ms":\([0-9]*\)')" \
    "$("$sdb" kv ttl i.sdb w one --json | sed 's/.*expiry_ms":\([0-9]*\).*/\1/')" "up to one moment"
run "$sdb" i.sdb "alter w --ttl=1ms"
run "$sdb" import i.sdb w words.txt --ttl none
sleep 0.1
run "$sdb" kv count i.sdb w
is "$out" 2 "or none, whatever the keyspace says"
run "$sdb" export i.sdb i.dump
run "$sdb" import j.sdb i.dump --ttl=2h
run "$sdb" kv ttl j.sdb w one
like "$status:$out" "0:1 h 59 m" "or the dump"
run "$sdb" i.sdb ".import w words.txt --ttl=5m"
run "$sdb" kv ttl i.sdb w one
like "$out" "4 m *" ".import too"
run "$sdb" import i.sdb w words.txt --ttl=soon
like "$status:$err" "2:*'soon' is not a duration*" "but a duration it must be"
run "$sdb" import i.sdb w words.txt --ttl 1ms --batch 1
sleep 0.1
run "$sdb" kv count i.sdb w
is "$out" 0 "what it has imported expires"

# ---- removal ------------------------------------------------------------------------------------
# How many is not certain: each command that has the file open for long enough removes some itself.
run "$sdb" expire t.sdb --limit 1
like "$status:$out" "0:removed: [01]" "expire removes no more than it is told"
run "$sdb" expire t.sdb --json
like "$out" '{"removed":[01]}' "and then the rest"
run "$sdb" expire t.sdb
is "$out" "removed: 0" "until nothing is left"
run "$sdb" check t.sdb
like "$out" "sound: 1 entry*" "which is gone then"
run "$sdb" expire missing.sdb
is "$status" 1 "a file that is not there: status 1"

# ---- keyspaces ----------------------------------------------------------------------------------
run "$sdb" t.sdb "create sessions --ttl=2h"
run "$sdb" t.sdb "put sessions a 1"
run "$sdb" t.sdb "ttl sessions a"
is "$out" "1 h 59 m" "a keyspace gives its lifetime"
run "$sdb" stat t.sdb
like "$out" "*lifetime in sessions*2 h 0 m*" "stat tells it"
run "$sdb" stat t.sdb --json
like "$out" '*"expiring_keyspaces":2*"lifetimes":[[]{"keyspace":"sessions","ttl_ms":7200000}[]]*' \
    "and as JSON"
run "$sdb" t.sdb "alter sessions --ttl=none"
run "$sdb" t.sdb "put sessions b 1"
run "$sdb" t.sdb "ttl sessions b"
is "$out" "for ever" "until it is altered"
run "$sdb" t.sdb "put sessions b 1 --ttl=90s"
run "$sdb" t.sdb "ttl sessions b"
like "$out" "1 m [23]? s" "a value may have its own"
run "$sdb" t.sdb "ttl sessions b --ttl=1ms"
sleep 0.1
run "$sdb" t.sdb .expire
like "$out" "removed: [01]" ".expire removes"
run "$sdb" t.sdb "alter sessions"
is "$status" 2 "alter wants something"
run "$sdb" t.sdb "alter nothing --ttl=1s"
is "$status" 1 "and a keyspace that is there"
run "$sdb" --readonly t.sdb .expire
is "$status" 1 "not in a file that is open for reading"
done_testing
