#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# misuse.sh: what is asked wrongly ends with status 2, says what is right, and makes nothing.
. "${srcdir:-.}/tests/lib/tap.sh"

# misused PATTERN ARGUMENT…
misused()
{
    pattern=$1
    shift
    run "$sdb" "$@"
    is "$status:$out" "2:" "misuse: sdb $*"
    like "$err" "$pattern" "and says so: sdb $*"
}

misused "*usage: sdb FILE*"
misused "*neither a command nor a file; did you mean 'import'*" imprt t.sdb words list.txt
misused "*neither a command nor a file; did you mean 'check'*" chekc t.sdb
misused "*neither a command nor a file*'sdb ./frobnicate'*" frobnicate
misused "*no 'kv gte'; did you mean 'kv get'*" kv gte t.sdb
misused "*kv wants one of get*" kv
misused "*no command 'improt'; did you mean 'import'*" help improt
misused "*something is missing; it wants kv get FILE KEYSPACE KEY*" kv get t.sdb users
misused "*'bob' is too much*" kv get t.sdb users alice bob
misused "*no option '--jsno'; did you mean '--json'*" stat --jsno t.sdb
misused "*--reverse takes no value*" kv scan t.sdb users --reverse=yes
misused "*--limit wants a value*" kv scan t.sdb users --limit
misused "*--limit wants a whole number*" kv scan t.sdb users --limit many
misused "*--json is there twice*" stat --json --json t.sdb
misused "*--cache wants a size*" stat --cache big t.sdb
misused "*--page-size wants 4K*" kv put --page-size 5000 t.sdb a b c
misused "*--durability wants one of full|group|none*" kv put --durability some t.sdb a b c
misused "*--log-compression wants one of none|lz4*" kv put --log-compression zstd t.sdb a b c
misused "*--backend wants one of*" stat --backend tape t.sdb
misused "*does not tell the format*" import t.sdb words list
misused "*--format wants csv*" import t.sdb words list.txt --format xml
misused "*only a dump names its keyspaces*" import t.sdb list.txt
misused "*--separator wants one byte*" import t.sdb words list.csv --separator ab
misused "*are for csv and tsv*" import t.sdb words list.txt --no-header
misused "*--key and --value are for*" import t.sdb words list.txt --key a
misused "*--batch wants a whole number*" import t.sdb words list.txt --batch 0
misused "*--raw and --json exclude*" kv scan t.sdb users --raw --json
misused "*no option '--force'*" backup --force a.sdb b.sdb
misused "*a quoted word does not end*" t.sdb "put a 'b"
ok "and none of them made a file" test -z "$(ls)"

run "$sdb" kv put t.sdb users alice 1
misused "*only a dump can hold all keyspaces*" export t.sdb out.csv
misused "*--documents is for jsonl*" export t.sdb users out.csv --documents
misused "*are for csv and tsv*" export t.sdb users out.jsonl --columns all
misused "*--columns wants all*" export t.sdb users out.csv --columns a,,b
ok "nor did these" test "$(ls)" = t.sdb

for command in "kv get" "kv put" "kv del" "kv scan" "kv count" import export backup restore check \
    stat checkpoint version help; do
    # shellcheck disable=SC2086
    run "$sdb" $command --help
    like "$status:$out" "0:usage: sdb $command*Exit status: 0 done*" "sdb $command --help"
done
for arguments in help --help "kv --help" "help kv" "help shell" version --version; do
    # shellcheck disable=SC2086
    run "$sdb" $arguments
    is "$status:$err" "0:" "sdb $arguments"
done
run "$sdb" version --json
like "$out" '{"version":"*","line_editing":*}' "version as JSON"
done_testing
