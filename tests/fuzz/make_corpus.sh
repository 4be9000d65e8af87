#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# make_corpus.sh SDB FOLDER: writes the seeds of the fuzz targets into FOLDER, from files that the
# program SDB makes. The first byte of a seed is the target's own; see its head.
set -eu
sdb=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
mkdir -p "$2/fuzz_file" "$2/fuzz_log" "$2/fuzz_import"
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

# ---- files --------------------------------------------------------------------------------------
"$sdb" --page-size 4K small.sdb 'put a key value'
seq 300 >numbers.txt
"$sdb" import --page-size 4K tree.sdb numbers numbers.txt >/dev/null
seed fuzz_file small 0 <small.sdb
seed fuzz_file small-sealed 1 <small.sdb
seed fuzz_file tree-sealed 1 <tree.sdb
printf '\0\1\40\0\1\2\3\4' | seed fuzz_file order-bytes 2
printf '\1\2\3\0\5\0\0\0\2\3\1\0\0\20\0\0' | seed fuzz_file order-child 2
printf '\3\1\0\0\2\0\0\0\4\2\0\0\100\0\0\0' | seed fuzz_file order-place 2
printf '\6\1\2\0\0\0\0\0\7\0\3\0\5\0\0\0' | seed fuzz_file order-slot 3
# found once: reading on for ever, and a name that the check let pass
printf '\6\25\2\0\5\0\0\0' | seed fuzz_file order-gap 2
printf '\10\24\140\0\1\0\0\0' | seed fuzz_file order-name 2

# ---- logs: what a program that was killed left, without the segment's header --------------------
mkfifo script
"$sdb" l.sdb <script >said 2>&1 &
shell=$!
exec 4>script
printf 'put a one 1\nput a two 2\ndel a one\nbegin\nput b x y\nput c x z\n' >&4
printf 'delrange b --prefix w --to z\ndelrange a --from u\nmerge a n add 7\ncommit\n' >&4
printf 'merge a two append 2\nget c x\n' >&4
tries=0
until grep -q z said || [ $tries -gt 200 ]; do
    sleep 0.05
    tries=$((tries + 1))
done
kill -9 $shell
wait $shell 2>/dev/null || :
exec 4>&-
for segment in l.sdb-wal/*; do
    tail -c +4097 "$segment" | head -c 2048 >records
    # The bytes behind the last record are zero.
    seed fuzz_log records 3 <records
    seed fuzz_log records-unsealed 1 <records
    seed fuzz_log records-two-segments 7 <records
    head -c 4500 "$segment" | seed fuzz_log file 0
done
