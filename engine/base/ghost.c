/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ghost.c
 *
 * Idea: a circle of keys in the order in which they came, and an open-addressed table of places in
 *   it. A key that is taken out leaves its place in the circle used until its turn comes.
 * Invariants: I1 a table entry names a filled place of the circle, and no two name the same key.
 *   I2 the table is at most half full, and no free entry lies between a key's home and the key.
 * Costs: O(1) expected; no memory after init.
 * Source: linear probing with deletion by moving back, Knuth, TAOCP 3, 6.4, algorithm R.
 * Not here: who is remembered, and what it is good for (policy.c).
 */
#include "engine/base/ghost.h"

#include <string.h>

#include "engine/base/mem.h"

sdb_status sdb__ghost_init(struct ghost *ghost, const sdb_allocator *allocator, uint32_t capacity)
{
    struct ghost g = {.capacity = capacity};
    uint32_t size = 2;

    while (size < 2 * capacity) size *= 2;
    g.mask = size - 1;
    g.ring = sdb__mem_alloc(allocator, capacity * sizeof *g.ring);
    g.table = sdb__mem_zalloc(allocator, size, sizeof *g.table);
    if (!g.ring || !g.table) {
        sdb__ghost_done(&g, allocator);
        return SDB_NOMEM;
    }
    *ghost = g;
    return SDB_OK;
}

void sdb__ghost_done(struct ghost *ghost, const sdb_allocator *allocator)
{
    sdb__mem_free(allocator, ghost->ring);
    sdb__mem_free(allocator, ghost->table);
    *ghost = (struct ghost){0};
}

/* The table entry where a key belongs if nothing is in its way (Fibonacci hashing). */
static uint32_t home(const struct ghost *ghost, uint64_t key)
{
    return (uint32_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) & ghost->mask;
}

/* The table entry that names the key, or the free one where it would stand. */
static uint32_t find(const struct ghost *ghost, uint64_t key)
{
    uint32_t at = home(ghost, key);

    while (ghost->table[at] && ghost->ring[ghost->table[at] - 1] != key)
        at = (at + 1) & ghost->mask;
    return at;
}

/* Frees a table entry and moves those back that were in its way (I2). */
static void clear(struct ghost *ghost, uint32_t hole)
{
    for (uint32_t at = (hole + 1) & ghost->mask; ghost->table[at]; at = (at + 1) & ghost->mask) {
        uint32_t wanted = home(ghost, ghost->ring[ghost->table[at] - 1]);

        if (((at - wanted) & ghost->mask) < ((at - hole) & ghost->mask)) continue;
        ghost->table[hole] = ghost->table[at];
        hole = at;
    }
    ghost->table[hole] = 0;
}

void sdb__ghost_add(struct ghost *ghost, uint64_t key)
{
    uint32_t at;

    (void)sdb__ghost_take(ghost, key); /* I1: it is remembered at its newest place */
    if (ghost->filled == ghost->capacity) {
        at = find(ghost, ghost->ring[ghost->next]);
        if (ghost->table[at] == ghost->next + 1) clear(ghost, at);
    } else {
        ghost->filled++;
    }
    ghost->ring[ghost->next] = key;
    ghost->table[find(ghost, key)] = ghost->next + 1;
    ghost->next = ghost->next + 1 < ghost->capacity ? ghost->next + 1 : 0;
}

bool sdb__ghost_take(struct ghost *ghost, uint64_t key)
{
    uint32_t at = find(ghost, key);

    if (!ghost->table[at]) return false;
    clear(ghost, at);
    return true;
}
