#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check-suites.sh SRCDIR BUILDDIR: runs other people's test suites, as far as they apply to sdb.
#
# The suites are data beside this tree (../shared/suites, or $SDB_SUITES); without them there is
# nothing to do. Each suite that applies is a line below: `suite NAME COMMAND…`, where the command
# prints TAP on its standard output. What was not run is named and is not counted.
set -u
src=$1
build=$2
suites=${SDB_SUITES:-$src/../shared/suites}
ran=0
broken=0

# suite NAME COMMAND…: runs one suite; its TAP lines are passed on.
suite()
{
    suite_name=$1
    shift
    ran=$((ran + 1))
    echo "# suite $suite_name"
    "$@" || { broken=$((broken + 1)); echo "# suite $suite_name ended with status $?"; }
}

if ! test -d "$suites"; then
    echo "# check-suites: there is no folder $suites: nothing was run"
    exit 0
fi

# applies AREA: there is this folder of the suites, and something below looks at it.
looked_at=
applies()
{
    test -d "$suites/$1" || return 1
    looked_at="$looked_at $1"
}

# ---- suites that apply: one line each -----------------------------------------------------------
if applies distributed/linearizability && applies distributed/txn-histories; then
    suite histories sh "$src/tests/histories/suite.sh" \
        "$build/tests/histories/check_history" "$suites/distributed"
fi
if applies blocks/cache; then
    suite blocks/cache sh "$src/build-aux/check-cache.sh" "$suites/blocks/cache" "$build"
fi

# ---- what is there and was not run --------------------------------------------------------------
not_run=
for folder in "$suites"/*/ "$suites"/distributed/*/ "$suites"/blocks/*/; do
    area=${folder#"$suites"/}
    area=${area%/}
    case "$looked_at " in
    *" $area "* | *" $area/"*) ;;
    *) not_run="$not_run $area" ;;
    esac
done
echo "# check-suites: $ran run, $broken of them with failures"
echo "# check-suites: not run, sdb has nothing yet that they test:$not_run"
test $broken -eq 0
