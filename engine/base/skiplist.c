/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skiplist.c
 *
 * Idea: a sorted list with express lanes; which entries stand in a lane is left to chance, so
 * nothing is ever rebalanced.
 * Invariants: I1 each lane is sorted and a part of the lane below. I2 lanes at and above `levels`
 * are empty.
 * Costs: about log4 n × 2 comparisons; 1.33 pointers an entry on average.
 * Source: Pugh, CACM 1990, with p = 1/4. Not here: memory for entries, locks, equal keys.
 */
#include "engine/base/skiplist.h"

#include <assert.h>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"

unsigned sdb__skip_height(struct skiplist *list)
{
    uint64_t bits = random_next(&list->random);
    unsigned height = 1;

    while (height < SKIP_LEVELS && (bits & 3) == 0) {
        height++;
        bits >>= 2;
    }
    return height;
}

/* True when node's key is < (group, key). */
static bool is_below(const struct skip_node *node, uint32_t group, const void *key, size_t size)
{
    if (node->group != group) return node->group < group;
    return compare_bytes(node->key, node->key_size, key, size) < 0;
}

/*
 * Finds, in each lane, the pointer that leads to the first node >= (group, key). The node that
 * holds the pointer in lane 0 is the answer; NULL when that is the list's head.
 */
static struct skip_node *descend(const struct skiplist *list, uint32_t group, const void *key,
                                 size_t size, struct skip_node **before)
{
    struct skip_node *at = NULL;

    for (unsigned level = list->levels; level-- > 0;) {
        struct skip_node *next = at ? at->next[level] : list->heads[level];

        while (next && is_below(next, group, key, size)) {
            at = next;
            next = at->next[level];
        }
        if (before) before[level] = at;
    }
    return at;
}

struct skip_node *sdb__skip_seek(const struct skiplist *list, uint32_t group, const void *key,
                                 size_t size)
{
    struct skip_node *at = descend(list, group, key, size, NULL);

    return at ? at->next[0] : list->heads[0];
}

struct skip_node *sdb__skip_seek_before(const struct skiplist *list, uint32_t group,
                                        const void *key, size_t size)
{
    return descend(list, group, key, size, NULL);
}

struct skip_node *sdb__skip_find(const struct skiplist *list, uint32_t group, const void *key,
                                 size_t size)
{
    struct skip_node *node = sdb__skip_seek(list, group, key, size);

    if (!node || node->group != group ||
        compare_bytes(node->key, node->key_size, key, size) != 0)
        return NULL;
    return node;
}

void sdb__skip_insert(struct skiplist *list, struct skip_node *node)
{
    struct skip_node *before[SKIP_LEVELS];

    (void)descend(list, node->group, node->key, node->key_size, before);
    for (unsigned level = 0; level < node->levels; level++) {
        struct skip_node *at = level < list->levels ? before[level] : NULL;
        struct skip_node **link = at ? &at->next[level] : &list->heads[level];

        node->next[level] = *link;
        *link = node;
    }
    if (node->levels > list->levels) list->levels = node->levels;
    list->count++;
}

void sdb__skip_remove(struct skiplist *list, struct skip_node *node)
{
    struct skip_node *before[SKIP_LEVELS];

    (void)descend(list, node->group, node->key, node->key_size, before);
    for (unsigned level = 0; level < node->levels; level++) {
        struct skip_node **link = before[level] ? &before[level]->next[level]
                                                : &list->heads[level];

        assert(*link == node);
        *link = node->next[level];
    }
    while (list->levels && !list->heads[list->levels - 1]) list->levels--;
    list->count--;
}
