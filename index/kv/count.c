/* SPDX-License-Identifier: Apache-2.0 */
/*
 * count.c: about how many keys a range holds, without walking it.
 *
 * Idea: the trees hold the newest committed state, and their shape tells how much lies between two
 * keys (btree_count.c). Whoever chooses between two ways to an answer needs no more.
 * Invariants: I1 nothing is locked but the pages that are looked at.
 * Costs: some dozens of pages at most. Not here: what a transaction sees, exactly (sdb_count).
 */
#include "engine/base/status.h"
#include "index/kv/database.h"
#include "index/kv/range.h"

sdb_status sdb_count_approx(sdb_keyspace *keyspace, const sdb_range *range, uint64_t *out_count)
{
    struct bounds bounds = {0};
    struct bytes upper;
    uint64_t count = 0;
    sdb_status status;

    if (!keyspace || !out_count)
        return FAIL(SDB_INVALID, "sdb_count_approx: an argument is NULL");
    TRY(sdb__db_alive(keyspace->db));
    status = sdb__bounds_set(&bounds, keyspace->db->allocator, range);
    upper = view(&bounds.upper);
    if (status == SDB_OK && !atomic_load_explicit(&keyspace->dropped, memory_order_acquire))
        status = sdb__btree_estimate(&keyspace->tree, view(&bounds.lower),
                                     bounds.has_upper ? &upper : NULL, &count);
    sdb__bounds_done(&bounds, keyspace->db->allocator);
    if (atomic_load_explicit(&keyspace->dropped, memory_order_acquire)) /* perhaps meanwhile */
        return FAIL(SDB_NOTFOUND, "keyspace \"%s\" has been dropped", keyspace->name);
    if (status == SDB_OK) *out_count = count;
    return status;
}
