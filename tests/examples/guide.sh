#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# guide.sh: the shell lines of docs/guide do what the guide says.
#
# A block that begins with "```sh run" is run with sh -e; those of one chapter share a folder. If a
# block "```output" follows, that is what it prints; … stands for anything, within a line or alone.
. "${srcdir:-.}/tests/lib/tap.sh"

PATH=$build:$PATH
export PATH

# cut_blocks CHAPTER: its blocks, as files 01.sh, 01.out, 02.sh…
cut_blocks()
{
    awk '
        /^```/ && to { close(to); to = ""; next }
        /^```sh run$/ { to = sprintf("%02d.sh", ++n); printf "" >to; next }
        /^```output$/ { to = sprintf("%02d.out", n); printf "" >to; next }
        /^```/ { to = "/dev/null"; next }
        to { print >to }' "$1"
}

for chapter in "$top"/docs/guide/*.md; do
    name=$(basename "$chapter" .md)
    mkdir "$name" "$name/run" && cd "$name" && cut_blocks "$chapter" && cd run || exit 1
    for block in ../*.sh; do
        [ -e "$block" ] || break
        number=$(basename "$block" .sh)
        run timeout 120 sh -e "$block"
        [ "$status" -eq 0 ] || tap_show stderr "$err"
        is "$status" 0 "$name: block $number runs"
        [ -e "../$number.out" ] || continue
        # As a pattern: nothing in it is special, but for the ….
        pattern=$(sed 's/[][*?\\]/\\&/g; s/…/*/g' "../$number.out")
        like "$out" "$pattern" "$name: block $number prints what the guide says"
    done
    cd "$work" || exit 1
done
ok "there were blocks to run" test "$claims" -gt 10
done_testing
