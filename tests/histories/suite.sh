#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# suite.sh CHECK_HISTORY FOLDER: recorded histories of others, and the verdicts that they come with.
#
# FOLDER is distributed/ of the suites. Prints TAP: a claim for each history.
set -u
check=$1
folder=$2
claims=0
broken=0

# verdict MODEL FILE WANTED (valid or invalid)
verdict()
{
    claims=$((claims + 1))
    said=$(timeout 120 "$check" "$1" "$2")
    got=$(printf '%s\n' "$said" | sed -n '1s/^[^	]*	\([a-z]*\)	.*/\1/p')
    name=${2#"$folder"/}
    if test "$got" = "$3"; then
        echo "ok $claims - $1: $name is $3"
    else
        broken=$((broken + 1))
        echo "not ok $claims - $1: $name is $3"
        printf '%s\n' "$said" | sed 's/^/# /'
    fi
}

# all MODEL WANTED FILE…
all()
{
    model=$1
    wanted=$2
    shift 2
    for file in "$@"; do
        if test -f "$file"; then verdict "$model" "$file" "$wanted"; fi
    done
}

linear=$folder/linearizability
all cas-register valid "$linear"/knossos-cas/good/*.edn
all cas-register invalid "$linear"/knossos-cas/bad/*.edn
all kv valid "$linear"/porcupine-kv/*-ok.txt
all kv invalid "$linear"/porcupine-kv/*-bad.txt
while read -r file answer; do
    case $answer in
    linearizable) verdict etcd "$linear/porcupine-etcd/$file" valid ;;
    *) verdict etcd "$linear/porcupine-etcd/$file" invalid ;;
    esac
done <"$linear/porcupine-etcd/verdicts.tsv"
while read -r file model level answer; do
    test "$level" = - || model=$model/$level
    verdict "$model" "$folder/txn-histories/$file" "$answer"
done <"$folder/txn-histories/verdicts.tsv"

echo "1..$claims"
test $broken -eq 0 && test $claims -gt 0
