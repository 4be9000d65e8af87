/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply_sorted.c: large commits, in the order of their keys.
 *
 * Idea: neighbours in key order are neighbours in the tree and among the versions, so each leaf is
 * visited once and what is touched is in the processor's caches. In the order in which a large
 * import gives its keys, nearly every operation would miss them.
 * Invariants: I1 operations on the same key keep their order, so the outcome is that of applying
 *   them as they stand in the log.
 * Costs: 40 bytes an operation while it lasts, and a sort.
 * Not here: operations with large values (their extents are handed out in log order), deleted
 *   ranges (their place among the others counts), catalog changes (they are commits of their own).
 */
#include "index/kv/database.h"
#include "index/kv/placed.h"

/* Lists the operations that count. Returns how many. */
static size_t list(const struct write_set *w, struct placed *placed)
{
    size_t count = 0;

    for (const struct write_chunk *chunk = w->first; chunk; chunk = chunk->next) {
        const uint8_t *at = chunk->data, *end = at + chunk->used;

        while (at < end) {
            struct op op;
            size_t step = sdb__op_read(at, end, &op);

            if (!op.superseded) {
                placed[count] = sdb__placed_make(&op, at, step, (uint32_t)count);
                count++;
            }
            at += step;
        }
    }
    return count;
}

sdb_status sdb__apply_sorted(sdb_db *db, const struct write_set *w, uint64_t commit, bool keep)
{
    struct placed *placed = NULL;
    struct btree_run run = {0};
    sdb_status status = SDB_OK;
    size_t count;

    if (w->count <= UINT32_MAX && w->large == 0 && w->range_ops == 0)
        placed = sdb__mem_alloc(db->allocator, w->count * sizeof *placed);
    if (!placed) return SDB_END;
    count = list(w, placed);
    sdb__placed_sort(placed, count);
    for (size_t i = 0; status == SDB_OK && i < count; i++)
        status = sdb__apply_run(db, placed[i].at, placed[i].size, commit, keep, NULL, &run);
    sdb__btree_run_end(&run);
    sdb__mem_free(db->allocator, placed);
    return status;
}
