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

# ---- suites that apply: one line each -----------------------------------------------------------
test -d "$suites/blocks/cache" &&
    suite blocks/cache sh "$src/build-aux/check-cache.sh" "$suites/blocks/cache" "$build"

# ---- what is there and was not run --------------------------------------------------------------
not_run=
for area in "$suites"/*/ "$suites"/blocks/*/; do
    area=${area#"$suites"/}
    case ${area%/} in
    blocks | blocks/cache) ;;
    *) not_run="$not_run ${area%/}" ;;
    esac
done
echo "# check-suites: $ran run, $broken of them with failures"
echo "# check-suites: not run, sdb has nothing yet that they test:$not_run"
test $broken -eq 0
