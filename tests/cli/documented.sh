#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# documented.sh: --help, the manual page and the completion of bash name the same commands and
# options.
. "${srcdir:-.}/tests/lib/tap.sh"

page=$top/docs/man/sdb.1
completion=$top/tools/sdb.bash-completion
subcommands="import export backup restore bench check stat checkpoint vacuum expire version help"

options=$(
    for command in "kv get" "kv put" "kv merge" "kv del" "kv ttl" "kv scan" "kv count" \
        "kv train" "snapshot make" "snapshot list" "snapshot drop" $subcommands shell; do
        # shellcheck disable=SC2086
        "$sdb" help $command
    done | sed -n 's/^  --\([a-z0-9-]*\).*/\1/p'
    echo .help .keyspaces .changes | tr ' ' '\n' | sed 's/^/.help /' | "$sdb" :memory: |
        sed -n 's/^  --\([a-z0-9-]*\).*/\1/p'
)
for option in $(printf '%s\n' "$options" | sort -u); do
    written=$(printf '%s' "$option" | sed 's/-/[-]/g')
    ok "the page has --$option" grep -Eq "Fl -$written( |,|\$)" "$page"
done
for option in $(sed -n 's/^\.It Fl -\(.*\)/\1/p' "$page" | sed 's/ , Fl -/ /g' | tr ' ' '\n' |
    grep '^[a-z0-9-]*[a-z0-9]$' |
    grep -Evx 'full|group|none|auto|posix|csv|tsv|jsonl|lines|dump|all|lz4|zstd'); do
    like " $(printf '%s' "$options" | tr '\n' ' ') " "* $option *" "a command takes --$option"
done
for command in $subcommands "kv get" "kv put" "kv merge" "kv del" "kv ttl" "kv scan" "kv count" \
    "kv train" "snapshot make" "snapshot list" "snapshot drop"; do
    ok "the page has $command" grep -q "^.It Cm $command" "$page"
done
for command in $subcommands kv snapshot; do
    ok "the completion has $command" grep -q "commands='.*\\b$command\\b" "$completion"
done
shell=$(echo .help | "$sdb" :memory: | sed -n 's/^  \([.a-z]*\) .*/\1/p')
for command in $shell; do
    ok "the page has $command of the shell" grep -q "^.It Ic $command" "$page"
    ok "the completion has $command of the shell" grep -qw -e "$command" "$completion"
done
ok "the shell has many commands" test "$(echo "$shell" | wc -w)" -gt 20
if command -v bash >/dev/null; then
    bash -c '. "$1"; COMP_WORDS=("$2" kv scan t.sdb users --re); COMP_CWORD=5; _sdb
        echo "${COMPREPLY[*]}"' bash "$completion" "$sdb" >completed
    is "$(tr ' ' '\n' <completed | sort | tr '\n' ' ')" "--readonly --reverse " \
        "bash completes an option"
    bash -c '. "$1"; COMP_WORDS=("$2" ch); COMP_CWORD=1; _sdb; echo "${COMPREPLY[*]}"' \
        bash "$completion" "$sdb" >completed
    is "$(cat completed)" "check checkpoint" "and a subcommand"
    "$sdb" kv put t.sdb users a b
    bash -c '. "$1"; COMP_WORDS=("$2" kv get t.sdb ""); COMP_CWORD=4; _sdb
        echo "${COMPREPLY[*]}"' bash "$completion" "$sdb" >completed
    is "$(cat completed)" "users" "and a keyspace"
else
    skip "there is no bash"
fi
done_testing
