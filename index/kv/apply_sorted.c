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
#include <stdlib.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "index/kv/database.h"

struct placed {
    uint64_t head;      /* the key's first bytes as a number that orders as they do */
    const uint8_t *at;  /* the operation */
    const uint8_t *key;
    uint32_t size, key_size;
    uint32_t keyspace, index;
};

static uint64_t make_head(struct bytes key)
{
    uint8_t first[8] = {0};
    uint64_t v;

    if (key.size) memcpy(first, key.data, key.size < sizeof first ? key.size : sizeof first);
    memcpy(&v, first, sizeof v);
    return be64toh(v);
}

static int compare_placed(const void *left, const void *right)
{
    const struct placed *a = left, *b = right;
    int order;

    if (a->keyspace != b->keyspace) return a->keyspace < b->keyspace ? -1 : 1;
    if (a->head != b->head) return a->head < b->head ? -1 : 1;
    order = compare_bytes(a->key, a->key_size, b->key, b->key_size);
    if (order) return order;
    return (a->index > b->index) - (a->index < b->index);
}

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
                placed[count] = (struct placed){
                    .head = make_head(op.key), .at = at, .key = op.key.data,
                    .size = (uint32_t)step, .key_size = (uint32_t)op.key.size,
                    .keyspace = op.keyspace, .index = (uint32_t)count};
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
    sdb_status status = SDB_OK;
    size_t count;

    if (w->count <= UINT32_MAX && w->large == 0 && w->range_ops == 0)
        placed = sdb__mem_alloc(db->allocator, w->count * sizeof *placed);
    if (!placed) return SDB_END;
    count = list(w, placed);
    qsort(placed, count, sizeof *placed, compare_placed);
    for (size_t i = 0; status == SDB_OK && i < count; i++)
        status = sdb__apply(db, placed[i].at, placed[i].size, commit, keep, NULL);
    sdb__mem_free(db->allocator, placed);
    return status;
}
