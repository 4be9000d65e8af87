/* SPDX-License-Identifier: Apache-2.0 */
/*
 * range.c
 *
 * Idea: a prefix is two bounds: itself, and the first string behind all that begin with it; of
 * several bounds on one side the narrowest counts.
 *
 *     prefix "ab\xff"   → lower "ab\xff", upper "ac"
 *
 * Invariants: I1 a key is in the range exactly if it is between the bounds.
 * Costs: a copy of the bounds. Not here: looking for keys (cursor.c, delrange.c).
 */
#include "index/kv/range.h"

#include "engine/base/bytes.h"
#include "engine/base/status.h"
#include "index/kv/txn.h"

sdb_status sdb__buffer_set(const sdb_allocator *allocator, struct buffer *buffer,
                           struct bytes from)
{
    TRY(sdb__buffer_reserve(allocator, buffer, from.size + 1));
    buffer->size = 0;
    return sdb__buffer_append(allocator, buffer, from.data, from.size);
}

static int compare(struct bytes a, struct bytes b)
{
    return compare_bytes(a.data, a.size, b.data, b.size);
}

static sdb_status set_prefix(struct bounds *b, const sdb_allocator *allocator,
                             struct bytes prefix)
{
    TRY(sdb__buffer_set(allocator, &b->lower, prefix));
    b->has_lower = true;
    while (prefix.size && prefix.data[prefix.size - 1] == 0xff) prefix.size--;
    b->has_upper = prefix.size > 0;
    if (!b->has_upper) return SDB_OK;
    TRY(sdb__buffer_set(allocator, &b->upper, prefix));
    b->upper.data[b->upper.size - 1]++;
    return SDB_OK;
}

sdb_status sdb__bounds_set(struct bounds *b, const sdb_allocator *allocator,
                           const sdb_range *range)
{
    if (!range) return SDB_OK;
    if (range->prefix.size) TRY(set_prefix(b, allocator, bytes_of(range->prefix)));
    if (range->lower &&
        (!b->has_lower || compare(bytes_of(*range->lower), view(&b->lower)) > 0)) {
        TRY(sdb__buffer_set(allocator, &b->lower, bytes_of(*range->lower)));
        b->has_lower = true;
    }
    if (range->upper &&
        (!b->has_upper || compare(bytes_of(*range->upper), view(&b->upper)) < 0)) {
        TRY(sdb__buffer_set(allocator, &b->upper, bytes_of(*range->upper)));
        b->has_upper = true;
    }
    return SDB_OK;
}

void sdb__bounds_done(struct bounds *b, const sdb_allocator *allocator)
{
    sdb__buffer_done(allocator, &b->lower);
    sdb__buffer_done(allocator, &b->upper);
}

bool sdb__bounds_are_empty(const struct bounds *b)
{
    if (!b->has_upper) return false;
    return b->upper.size == 0 || (b->has_lower && compare(view(&b->lower), view(&b->upper)) >= 0);
}
