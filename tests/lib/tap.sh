# SPDX-License-Identifier: Apache-2.0
# tap.sh: shell tests that count themselves. Source it, make claims, end with `done_testing`.
#
#   . "${srcdir:-.}/tests/lib/tap.sh"
#   run "$sdb" kv get t.sdb users alice     runs a command: $status, $out and $err hold what came
#   is "$status" 0 "finds what was put"     equal
#   like "$err" "*not a database*" "says why"   matches a shell pattern
#   ok "leaves one file" test ! -e t.sdb-wal    the command succeeds
#   skip "why"                              counts as skipped, not as passed
#   done_testing
#
# Each test starts in an empty folder of its own, $work, which goes away when all claims held.
# $top is the source tree, $build the build tree, $sdb the shell that was built; all absolute.
# A script that dies before done_testing prints no plan; that is a failure, here and in .ci/run.

top=$(cd "${srcdir:-.}" && pwd)
build=$(cd "${builddir:-.}" && pwd)
sdb=$build/sdb
work=$(mktemp -d "${TMPDIR:-/tmp}/sdb-test.XXXXXX") || exit 1
claims=0
broken=0
planned=no
LC_ALL=C
export LC_ALL
cd "$work" || exit 1

tap_end()
{
    tap_status=$?
    cd / || exit 1
    if [ "$planned" = yes ] && [ "$broken" -eq 0 ]; then
        rm -rf "$work"
        exit 0
    fi
    [ "$planned" = yes ] || echo "# ended early, status $tap_status"
    echo "# what it left is in $work"
    exit 1
}
trap tap_end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# tap_claim HELD(0/1) NAME
tap_claim()
{
    claims=$((claims + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $claims - $2"
    else
        broken=$((broken + 1))
        echo "not ok $claims - $2"
    fi
    return "$1"
}

# tap_show LABEL TEXT: a diagnostic, each line behind "# "; of a long text the last lines
tap_show()
{
    printf '%s\n' "$2" | tail -n 30 | sed "s/^/#   $1: /"
}

run()
{
    status=0
    "$@" >"$work/.out" 2>"$work/.err" </dev/null || status=$?
    out=$(cat "$work/.out")
    err=$(cat "$work/.err")
}

ok()
{
    tap_name=$1
    shift
    if "$@"; then
        tap_claim 0 "$tap_name"
    else
        tap_claim 1 "$tap_name" || tap_show failed "$*"
    fi
}

is()
{
    if [ "$1" = "$2" ]; then
        tap_claim 0 "$3"
    else
        tap_claim 1 "$3" || { tap_show got "$1"; tap_show want "$2"; }
    fi
}

like()
{
    # shellcheck disable=SC2254
    case $1 in
    $2) tap_claim 0 "$3" ;;
    *) tap_claim 1 "$3" || { tap_show got "$1"; tap_show want "$2"; } ;;
    esac
}

unlike()
{
    # shellcheck disable=SC2254
    case $1 in
    $2) tap_claim 1 "$3" || { tap_show got "$1"; tap_show 'want not' "$2"; } ;;
    *) tap_claim 0 "$3" ;;
    esac
}

skip()
{
    claims=$((claims + 1))
    echo "ok $claims # SKIP $1"
}

done_testing()
{
    echo "1..$claims"
    planned=yes
    exit "$((broken != 0))"
}
