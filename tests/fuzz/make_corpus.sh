#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# make_corpus.sh SDB FOLDER: writes the seeds of the fuzz targets into FOLDER, from files that the
# program SDB makes. The first byte of a seed is the target's own; see its head.
set -eu
sdb=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
for target in dense file history import log merge; do mkdir -p "$2/fuzz_$target"; done
out=$(cd "$2" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/sdb-corpus.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

# seed TARGET NAME BYTE: standard input behind BYTE (octal)
seed()
{
    { printf '%b' "\\0$3"; cat; } >"$out/$1/$2"
}

# ---- importers ----------------------------------------------------------------------------------
printf 'k,v,note\n1,one,"a ""quoted"", cell"\n2,two,"over\ntwo lines"\n3,,\303\244\n' >t.csv
tr ',' '\t' <t.csv >t.tsv
"$sdb" import t.sdb table t.csv >/dev/null
"$sdb" kv put --hex t.sdb bytes 00ff 80
"$sdb" kv put t.sdb bytes text value
"$sdb" export t.sdb table t.jsonl >/dev/null
"$sdb" export t.sdb bytes bytes.jsonl >/dev/null
"$sdb" export t.sdb all.dump >/dev/null
printf '{"k":"a","v":[1,-2.5e3,{"x":null}]}\n{"k":7,"v":"\\u00e9\\ud83d\\ude00"}\n' >documents
printf 'alpha\nbeta\r\n\ngamma' >words
# 5 × bits + format
seed fuzz_import csv 0 <t.csv
seed fuzz_import csv-no-header 5 <t.csv
seed fuzz_import csv-key 12 <t.csv
seed fuzz_import csv-key-value 36 <t.csv
tr ',' ';' <t.csv | seed fuzz_import csv-semicolon 50
seed fuzz_import tsv 1 <t.tsv
seed fuzz_import jsonl 2 <t.jsonl
seed fuzz_import jsonl-base64 2 <bytes.jsonl
seed fuzz_import jsonl-key 14 <documents
seed fuzz_import jsonl-key-value 40 <documents
seed fuzz_import lines 3 <words
seed fuzz_import dump 4 <all.dump
"$sdb" e.sdb "create t --ttl 3650d"
"$sdb" kv put e.sdb s a 1
"$sdb" kv put --ttl 3650d e.sdb t b 2
"$sdb" export e.sdb expiries.dump >/dev/null
seed fuzz_import dump-expiries 4 <expiries.dump

# ---- histories ----------------------------------------------------------------------------------
# event PROCESS TYPE F VALUE
event()
{
    printf '{:process %s, :type :%s, :f :%s, :value %s}\n' "$1" "$2" "$3" "$4"
}

# both PROCESS F IN OUT
both()
{
    event "$1" invoke "$2" "$3"
    event "$1" ok "$2" "$4"
}
{
    both 0 write 1 1
    event 1 invoke cas '[1 2]'
    both 0 read nil 1
    event 1 info cas '[1 2]'
    event 2 invoke cas '[7 8]'
    event 2 fail cas '[7 8]'
    both 0 read nil 2
} >register
seed fuzz_history cas-register 0 <register
seed fuzz_history etcd 1 <register
sed -e 's/{:process /INFO  log - /' -e 's/, :[a-z]* /\t/g' -e 's/}$//' register |
    seed fuzz_history etcd-log 21
printf '(%s)' "$(both 0 put '"a"' '"a"'; both 1 append '"b"' '"b"'; both 0 get nil '"ab"')" |
    sed 's/:value/:key "k" :value/' | seed fuzz_history kv 2
{
    both 0 txn '[[:append x 1] [:r x nil]]' '[[:append x 1] [:r x [1]]]'
    event 1 invoke txn '[[:r x nil] [:append y 2]]'
    both 2 txn '[[:r y nil] [:append x 3]]' '[[:r y []] [:append x 3]]'
    event 1 ok txn '[[:r x [1]] [:append y 2]]'
    both 0 txn '[[:r x nil] [:r y nil]]' '[[:r x [1 3]] [:r y [2]]]'
} >txns
seed fuzz_history list-append 3 <txns
printf '[%s\n%s]' '{"process":0,"type":"invoke","f":"txn","value":[["w","x",1],["r","y",null]]},' \
    '{"process":0,"type":"ok","f":"txn","value":[["w","x",1],["r","y",null]]}' |
    seed fuzz_history rw-register-json 14
{
    both 0 add 2 2
    both 1 read nil 2
} | seed fuzz_history counter 5
{
    both 0 add 1 1
    both 1 read nil '#{1}'
} | seed fuzz_history set 6
both 0 read nil '{0 10, 1 -2}' | seed fuzz_history bank 7

# ---- files --------------------------------------------------------------------------------------
"$sdb" --page-size 4K small.sdb 'put a key value'
seq 300 >numbers.txt
"$sdb" import --page-size 4K tree.sdb numbers numbers.txt >/dev/null
awk 'BEGIN { for (i = 0; i < 330; i++) { s = ""; for (j = 1; j < 70; j++)
    s = s sprintf("%d=%d;", j * 7919 * 104729 % 999999937, j % 9 ? j % 7 : i * j % 100)
    printf "%04d,%s\n", i, s } }' >texts.csv
"$sdb" import --page-size 4K --no-header --compression zstd dict.sdb texts texts.csv >/dev/null
"$sdb" kv train --rewrite dict.sdb texts >/dev/null
"$sdb" vacuum dict.sdb >/dev/null
"$sdb" --page-size 4K ttl.sdb 'create t --ttl=7d'
"$sdb" ttl.sdb 'put t a 1'
"$sdb" ttl.sdb 'put t b 2 --ttl=none'
head -c 2000 texts.csv | "$sdb" kv put --ttl=9999d ttl.sdb t large -
seed fuzz_file expiries 0 <ttl.sdb
seed fuzz_file expiries-sealed 1 <ttl.sdb
seed fuzz_file dictionary 0 <dict.sdb
seed fuzz_file dictionary-sealed 1 <dict.sdb
"$sdb" --page-size 4K kept.sdb 'put a key value'
"$sdb" snapshot make kept.sdb one >/dev/null
"$sdb" kept.sdb 'put a key other'
"$sdb" snapshot make kept.sdb two >/dev/null
seed fuzz_file kept 0 <kept.sdb
seed fuzz_file kept-sealed 1 <kept.sdb
seed fuzz_file small 0 <small.sdb
seed fuzz_file small-sealed 1 <small.sdb
seed fuzz_file tree-sealed 1 <tree.sdb
printf '\0\1\40\0\1\2\3\4' | seed fuzz_file order-bytes 2
printf '\1\2\3\0\5\0\0\0\2\3\1\0\0\20\0\0' | seed fuzz_file order-child 2
printf '\3\1\0\0\2\0\0\0\4\2\0\0\100\0\0\0' | seed fuzz_file order-place 2
printf '\6\1\2\0\0\0\0\0\7\0\3\0\5\0\0\0' | seed fuzz_file order-slot 2
printf '\1\3\0\0\377\377\377\377\1\4\4\0\1\0\0\0' | seed fuzz_file order-packed-head 3
printf '\0\3\40\0\1\2\3\4\2\5\100\0\0\0\0\0' | seed fuzz_file order-packed-bytes 3
# a record's field, the table's count, a place in the snapshot's page map
printf '\12\0\11\0\3\0\0\0' | seed fuzz_file order-kept-record 2
printf '\12\0\4\0\2\0\0\0' | seed fuzz_file order-kept-table 2
printf '\13\2\0\0\40\0\0\0' | seed fuzz_file order-kept-place 2
# found once: reading on for ever, and a name that the check let pass
printf '\6\25\2\0\5\0\0\0' | seed fuzz_file order-gap 2
printf '\10\24\140\0\1\0\0\0' | seed fuzz_file order-name 2

# ---- logs: what a program that was killed left, without the segment's header --------------------
mkfifo script
# log NAME BITS OPTION…: seeds NAME-… of the log of a killed program; BITS (octal) say its format
log()
{
    file=$1 bits=$2
    shift 2
    : >said
    "$sdb" "$@" "$file.sdb" <script >said 2>&1 &
    shell=$!
    exec 4>script
    printf 'put a one 1\nput a two 2\ndel a one\nbegin\nput b x y\nput c x z\n' >&4
    printf 'delrange b --prefix w --to z\ndelrange a --from u\nmerge a n add 7\ncommit\n' >&4
    printf 'merge a two append 2\nalter a --ttl=1h\nput a t x --ttl=7d\n' >&4
    printf 'put b long %0400d\nget c x\n' 0 >&4
    tries=0
    until grep -q z said || [ $tries -gt 200 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
    kill -9 $shell
    wait $shell 2>/dev/null || :
    exec 4>&-
    segment=$file.sdb-wal/0000000000000001.log # the next one is made ahead, and empty
    tail -c +4097 "$segment" | head -c 2048 >records
    # The bytes behind the last record are zero.
    seed fuzz_log "$file-records" "${bits}3" <records
    seed fuzz_log "$file-records-unsealed" "${bits}1" <records
    seed fuzz_log "$file-records-two-segments" "${bits}7" <records
    head -c 4500 "$segment" | seed fuzz_log "$file-segment" 0
}
log plain 0
log packed 2 --log-compression lz4

# ---- dense forms: the page size, header, fences, planes, suffixes, payloads ----------------------
# dense LEVEL FLAGS COUNT LOWER UPPER REST: the prefix is empty, the page number 7 of tree 3
dense()
{
    printf '%b' "\\0$1\\0$2\\0$3\\0000\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0$4\\0\\0$5\\0\\0\\0"
    printf '%b' '\03\0\0\0\07\0\0\0\0\0\0\0' "$6"
}
dense 0 1 0 0 0 '' | seed fuzz_dense empty 0
dense 0 1 2 0 0 '\01\02\0\0\02\03\0\0abcxxyyy' | seed fuzz_dense leaf 0
dense 0 0 2 1 1 'za\01\01\0\0\01\01\0\0bcxy' | seed fuzz_dense leaf-with-fences 1
dense 1 1 2 0 0 '\0\01\0\0\07\010\0\0\0\0\0\0\0\0\0\0\0\0\0\0m' | seed fuzz_dense inner 1

# ---- merges: the operator, how much is the value, the value and the operand ----------------------
printf '\10\377\377\377\377\377\377\377\177\1\0\0\0\0\0\0\0' | seed fuzz_merge add 1
printf '\377\5\0\0\0\0\0\0\0' | seed fuzz_merge add-first 1
printf '\2abcd' | seed fuzz_merge append 2
printf '\2abb' | seed fuzz_merge max 3
printf '\2abb' | seed fuzz_merge min 4
printf '\12\1\0\0\0b\1\0\0\0d\1\0\0\0a\1\0\0\0b\2\0\0\0da' | seed fuzz_merge union 5
printf '\5\1\0\0\0b\5\0\0\0a' | seed fuzz_merge union-torn 5
