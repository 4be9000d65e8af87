/* SPDX-License-Identifier: Apache-2.0 */
/*
 * placed.h: operations listed in the order of their keys.
 *
 * What is listed is borrowed: the encoded operations stay where they are while the list is used.
 */
#ifndef SDB_INDEX_KV_PLACED_H
#define SDB_INDEX_KV_PLACED_H

#include "index/kv/ops.h"

struct placed {
    uint64_t head;      /* the key's first bytes as a number that orders as they do */
    const uint8_t *at;  /* the operation */
    const uint8_t *key;
    uint32_t size, key_size;
    uint32_t keyspace, rank; /* operations on one key are in the order of their ranks */
};

/* Lists one operation, which takes `size` bytes at `at`. */
struct placed sdb__placed_make(const struct op *op, const uint8_t *at, size_t size, uint32_t rank);

/* Orders by keyspace, key, rank; where the rank is the same too, by address. */
void sdb__placed_sort(struct placed *placed, size_t count);

/* True when both are operations on the same key. */
bool sdb__placed_same_key(const struct placed *a, const struct placed *b);

#endif
