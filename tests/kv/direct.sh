#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# direct.sh: what holds for databases holds for those that are open for direct I/O.
. "${srcdir:-.}/tests/lib/tap.sh"

SDB_TEST_DIRECT=1
export SDB_TEST_DIRECT

# again WHERE TEST…: runs other test programs in this mode.
again()
{
    again_where=$1
    shift
    for test in "$@"; do
        ok "$test holds, direct, on $again_where" "$build/tests/$test"
    done
}

again "a simulated disk" kv/test_kv_faults kv/test_packing crash/crash_explorer
if dd if=/dev/zero of="$work/probe" bs=4096 count=1 oflag=direct 2>/dev/null; then
    again "a real one" kv/test_kv_threads crash/kill9
else
    skip "the file system of $work cannot do direct I/O"
fi
done_testing
