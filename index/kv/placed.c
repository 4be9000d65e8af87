/* SPDX-License-Identifier: Apache-2.0 */
/*
 * placed.c
 *
 * Idea: most keys differ in their first eight bytes, so a comparison seldom leaves the list.
 * Invariants: I1 the order is total: no two operations are equal in it, so what qsort makes of them
 *   is the same everywhere.
 * Costs: 40 bytes an operation. Not here: applying (apply_sorted.c, recover_batch.c).
 */
#include "index/kv/placed.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

static uint64_t make_head(struct bytes key)
{
    uint8_t first[8] = {0};
    uint64_t v;

    if (key.size) memcpy(first, key.data, key.size < sizeof first ? key.size : sizeof first);
    memcpy(&v, first, sizeof v);
    return be64toh(v);
}

struct placed sdb__placed_make(const struct op *op, const uint8_t *at, size_t size, uint32_t rank)
{
    return (struct placed){.head = make_head(op->key), .at = at, .key = op->key.data,
                           .size = (uint32_t)size, .key_size = (uint32_t)op->key.size,
                           .keyspace = op->keyspace, .rank = rank};
}

static int compare_placed(const void *left, const void *right)
{
    const struct placed *a = left, *b = right;
    int order;

    if (a->keyspace != b->keyspace) return a->keyspace < b->keyspace ? -1 : 1;
    if (a->head != b->head) return a->head < b->head ? -1 : 1;
    order = compare_bytes(a->key, a->key_size, b->key, b->key_size);
    if (order) return order;
    if (a->rank != b->rank) return a->rank < b->rank ? -1 : 1;
    return (a->at > b->at) - (a->at < b->at);
}

void sdb__placed_sort(struct placed *placed, size_t count)
{
    if (count > 1) qsort(placed, count, sizeof *placed, compare_placed);
}

bool sdb__placed_same_key(const struct placed *a, const struct placed *b)
{
    return a->keyspace == b->keyspace && a->head == b->head &&
           compare_bytes(a->key, a->key_size, b->key, b->key_size) == 0;
}
