/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ghost.h: the last keys that left a cache, without what they named.
 *
 * Not locked. Memory: 8 + 8 bytes a key, taken when it is made.
 */
#ifndef SDB_ENGINE_BASE_GHOST_H
#define SDB_ENGINE_BASE_GHOST_H

#include <stdbool.h>
#include <stdint.h>
#include <sdb/db.h>

struct ghost {
    uint64_t *ring;     /* the last `capacity` keys that were added, in a circle */
    uint32_t *table;    /* 1 + where in the ring a key stands; 0: free */
    uint32_t capacity;
    uint32_t mask;      /* of the table */
    uint32_t next;      /* where the next key goes */
    uint32_t filled;    /* ring places that were used at least once */
};

/* Room for `capacity` keys, at least 1 and below 2^31. SDB_NOMEM leaves nothing to be freed. */
SDB_MUST_USE sdb_status sdb__ghost_init(struct ghost *ghost, const sdb_allocator *allocator,
                                        uint32_t capacity);
void sdb__ghost_done(struct ghost *ghost, const sdb_allocator *allocator);

/* Remembers a key; the oldest is forgotten when there is no room. */
void sdb__ghost_add(struct ghost *ghost, uint64_t key);
/* Forgets a key; true if it was remembered. Its room comes free when it would have been oldest. */
bool sdb__ghost_take(struct ghost *ghost, uint64_t key);

#endif
