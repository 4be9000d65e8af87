/* SPDX-License-Identifier: Apache-2.0 */
/* range.h: an sdb_range as two bounds, copied. */
#ifndef SDB_INDEX_KV_RANGE_H
#define SDB_INDEX_KV_RANGE_H

#include <sdb/kv.h>

#include "engine/base/mem.h"
#include "index/btree/node.h"

/* Keys >= lower (if there is one) and < upper (if there is one). Zero-initialise. */
struct bounds {
    struct buffer lower, upper;
    bool has_lower, has_upper;
};

/* Sets them from a range (NULL: everything). SDB_NOMEM: free them all the same. */
SDB_MUST_USE sdb_status sdb__bounds_set(struct bounds *bounds, const sdb_allocator *allocator,
                                        const sdb_range *range);
void sdb__bounds_done(struct bounds *bounds, const sdb_allocator *allocator);
/* True when no key can lie between them. */
bool sdb__bounds_are_empty(const struct bounds *bounds);

/* Makes a buffer hold these bytes; there is room for one more. */
SDB_MUST_USE sdb_status sdb__buffer_set(const sdb_allocator *allocator, struct buffer *buffer,
                                        struct bytes from);

static inline struct bytes view(const struct buffer *buffer)
{
    return (struct bytes){buffer->data, buffer->size};
}

#endif
