/* SPDX-License-Identifier: Apache-2.0 */
/*
 * btree_ahead.c: the leaves that a reading in order comes to next, brought in before it does.
 *
 * Idea: the node above the leaves knows many of them in order. A reader that has gone from leaf to
 * leaf some times will go on: reads of the next `window` leaves are begun, and again when half of
 * them have been passed, so that there are always some in flight. The window doubles each time, up
 * to what the pool allows; so no more than about twice of what was read is ever read.
 *
 *     leaf   1  2  3  4  5  6  7  8  9 10 11 12 13 …     window 4, then 8 …
 *                     ^ looks: begins 5 6 7 8 9
 *                           ^ looks: begins 10 … 15
 *
 *   Where the reader's range ends is known, too: of the children of a node those up to the one that
 *   leads to the end are taken. What the keys of a layer begin with stands for them, so an end that
 *   is longer may cut off a leaf that is still wanted, which is then read when the reader is there.
 *
 * Invariants: I1 all of it is a hint: pages that were changed, or ended, since they were looked up
 *   are at worst read for nothing. I2 nothing is waited for but the page that is wanted now.
 * Costs: where all is in memory, a comparison a leaf, and in half a window of leaves one descent
 *   and a look at each one's state word. Not here: large values; leaves of layers, which are few.
 * Source: the doubling window of Linux' readahead ("On the design of a new Linux readahead
 *   framework", Wu et al., 2008), InnoDB's linear read-ahead for the places where it looks.
 */
#include <string.h>

#include "engine/base/mem.h"
#include "index/btree/btree_inner.h"

enum { WINDOW_FIRST = 4, IDS_MOST = READAHEAD_MOST + 1 };

void sdb__btree_ahead_begin(const struct btree *tree, const struct bytes *limit,
                            struct btree_ahead *a)
{
    a->limit = limit ? *limit : (struct bytes){NULL, 0};
    a->pages.pager = tree->pager;
    a->steps = 0;
    a->look_at = WINDOW_FIRST;
    a->window = WINDOW_FIRST;
    a->next = a->count = 0; /* what is in flight is taken in by the next look */
}

/* True when a node that ends there, in the reader's direction, is the last that it wants. */
static bool is_behind(const struct btree_ahead *a, struct bytes fence, bool before)
{
    int order;

    if (!a->limit.data) return false;
    order = compare_bytes(fence.data, fence.size, a->limit.data, a->limit.size);
    return before ? order <= 0 : order >= 0;
}

/*
 * Adds the ids of children from a slot of a node that was seen on, in the reader's direction;
 * *out_fence is where the node ends there, in `room`. False: it has changed, or the reader's range
 * ends in it.
 */
static bool add_children(const struct btree *tree, const struct optimistic *seen,
                         struct bytes key, bool before, struct btree_ahead *a,
                         uint8_t *room, struct bytes *out_fence)
{
    struct node n = seen_node(tree, seen);
    unsigned slots = node_count(n), slot = sdb__node_route(n, key, before), begin = a->count;
    struct bytes fence = before ? node_lower(n) : node_upper(n);
    unsigned last = before ? 0 : slots - 1;
    bool is_end = before ? fence.size == 0 : node_is_last(n);

    if (a->limit.data) last = sdb__node_route(n, a->limit, !before);
    if (fence.size > PART_ROOM) return false;
    if (fence.size) memcpy(room, fence.data, fence.size);
    *out_fence = (struct bytes){room, fence.size};
    for (; slot < slots && a->count <= a->window; slot += before ? -1u : 1u) {
        a->ids[a->count++] = node_child(n, slot);
        if (before ? slot <= last : slot >= last) break;
    }
    if (sdb__optimistic_holds(tree->pager, seen))
        return !is_end && !is_behind(a, *out_fence, before);
    a->count = begin;
    return false;
}

/* Finds the leaf for `key` and those behind it, as far as nodes above them are in memory. */
static void find_leaves(const struct btree *tree, struct bytes key, bool before,
                        struct btree_ahead *a)
{
    uint8_t room[PART_ROOM];
    struct optimistic seen;
    uint64_t missing = PAGE_NONE;

    a->count = a->next = 0;
    do {
        if (!sdb__btree_see_inner(tree, key, before, &missing, &seen)) {
            if (missing != PAGE_NONE) a->ids[a->count++] = missing; /* is as welcome as a leaf */
            return;
        }
    } while (add_children(tree, &seen, key, before, a, room, &key) && a->count <= a->window);
}

/* Begins to read what is absent of the next leaves, and says when to look again. */
static void look(const struct btree *tree, struct bytes key, bool before, struct btree_ahead *a)
{
    unsigned most = sdb__readahead_most(&a->pages);
    bool begun;

    a->look_at = a->steps + a->window;
    if (!a->ids) a->ids = sdb__mem_alloc(a->allocator, IDS_MOST * sizeof *a->ids);
    if (!a->ids) return; /* without memory nothing is read ahead */
    find_leaves(tree, key, before, a);
    begun = sdb__readahead_begin(&a->pages, a->ids, a->count) > 0 || a->pages.flying;
    a->look_at = a->steps + (begun ? a->count / 2 : a->count) + !a->count;
    a->window = 2 * a->window < most ? 2 * a->window : most;
}

void sdb__btree_ahead_look(const struct btree *tree, struct bytes key, bool before,
                           struct btree_ahead *a)
{
    if (a->steps >= a->look_at) look(tree, key, before, a);
    if (a->next < a->count) sdb__readahead_land(&a->pages, a->ids[a->next++]);
}

void sdb__btree_ahead_stop(struct btree_ahead *a)
{
    if (a->pages.pager) sdb__readahead_stop(&a->pages);
}

void sdb__btree_ahead_done(struct btree_ahead *a)
{
    if (!a->pages.pager) return;
    sdb__readahead_done(&a->pages);
    sdb__mem_free(a->allocator, a->ids);
    a->ids = NULL;
}
