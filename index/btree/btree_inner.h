/* SPDX-License-Identifier: Apache-2.0 */
/* btree_inner.h: what the files of this folder share. */
#ifndef SDB_INDEX_BTREE_BTREE_INNER_H
#define SDB_INDEX_BTREE_BTREE_INNER_H

#include <string.h>

#include "index/btree/btree.h"

static inline struct node node_of(const struct btree *tree, const struct page *page)
{
    return (struct node){page->data, sdb__pager_page_size(tree->pager)};
}

/* The same of a page that is only looked at (optimistic.h). */
static inline struct node seen_node(const struct btree *tree, const struct optimistic *seen)
{
    return (struct node){(uint8_t *)(uintptr_t)seen->data, sdb__pager_page_size(tree->pager)};
}

/*
 * A key on its way through layers: what is left of it, and whether it goes deeper than this tree.
 */
struct part {
    struct bytes rest;   /* of the whole key, from this layer on */
    struct bytes here;   /* what is looked for in this layer */
    bool is_long;        /* here is the beginning and a zero: it leads to a layer */
    uint8_t *room;       /* btree_key_most + 1 bytes, for `here` */
};

enum { PART_ROOM = PAGE_SIZE_MOST / 16 + 1, DEPTH_MOST = 64 };

/* Sets part->here from part->rest. `layers` more may be gone through. */
void sdb__btree_part_set(struct part *part, size_t key_most, unsigned layers);

/* Fails with SDB_CORRUPT unless the child is what its parent must lead to. */
SDB_MUST_USE sdb_status sdb__btree_expect(const struct btree *tree, const struct page *page,
                                          unsigned level);
/*
 * The same, and its fences are those that slot `slot` of the parent gives it: before a change of
 * both.
 */
SDB_MUST_USE sdb_status sdb__btree_expect_child(const struct btree *tree,
                                                const struct page *parent, unsigned slot,
                                                const struct page *child);

/*
 * Latches the leaf for `key` in the tree at `root`, shared or exclusively. `held`, if not NULL, is
 * the latched leaf from which a layer was entered; it is unlatched (as `held_exclusive` says) once
 * the root is latched.
 */
SDB_MUST_USE sdb_status sdb__btree_descend(const struct btree *tree, uint64_t root,
                                           struct bytes key, bool before, bool exclusive,
                                           const struct page *held, bool held_exclusive,
                                           struct page *out_leaf);

/* Is the place of `key` (with `before`: of what is just below it) between a leaf's fences? */
bool sdb__btree_holds(struct node leaf, struct bytes key, bool before);

/*
 * The same descents without latches, in btree_optimistic.c. False: it could not be done so, or
 * something is wrong: latch. `key` stands in the tree's own nodes, not in a layer.
 */
/* The leaf for `key`, as long as it holds. */
bool sdb__btree_see_leaf(const struct btree *tree, struct bytes key, bool before,
                         struct optimistic *out_leaf);
/*
 * The node above the leaf for `key`, as long as it holds. False with *missing a page id: that page
 * is not in memory; with PAGE_NONE: there is no such node, or it could not be done so.
 */
bool sdb__btree_see_inner(const struct btree *tree, struct bytes key, bool before,
                          uint64_t *missing, struct optimistic *out_node);
/* The leaf for `key` in the tree at `root`, latched exclusively. */
bool sdb__btree_latch_leaf(const struct btree *tree, uint64_t root, struct bytes key, bool before,
                           struct page *out_leaf);
/* sdb__btree_get, *out_status being its answer. */
bool sdb__btree_see(const struct btree *tree, struct bytes key, btree_visit_fn visit,
                    void *context, sdb_status *out_status);

/*
 * Latches exclusively the root of the layer at depth `depth` (0: the tree itself) of the key
 * part->rest, from the tree's root downwards: a layer may end, and its root become another page,
 * while nothing above it is latched. `part` is then what to look for there. SDB_NOTFOUND: there is
 * no such layer (any more).
 */
SDB_MUST_USE sdb_status sdb__btree_enter(const struct btree *tree, struct part *part,
                                         unsigned depth, struct page *out_root);

/*
 * Latches exclusively the child that a slot of an exclusively latched inner node leads to, and
 * makes sure that it may be one.
 */
SDB_MUST_USE sdb_status sdb__btree_latch_child(const struct btree *tree,
                                               const struct page *parent, unsigned slot,
                                               struct page *child);

/*
 * Moves cells between two neighbouring leaves, to which slots `slot` and slot + 1 of the parent
 * lead, so that the left one is as full as it can be, or (`fill_right`) the right one, if that is
 * worth it. All are latched exclusively, and the parent has room for the longest separator.
 */
SDB_MUST_USE sdb_status sdb__btree_shift(const struct btree *tree, const struct page *parent,
                                         unsigned slot, const struct page *left,
                                         const struct page *right, bool fill_right);

/* Makes room for `need` bytes in the leaf that holds `key` at that depth, splitting on the way. */
SDB_MUST_USE sdb_status sdb__btree_split(const struct btree *tree, struct bytes key,
                                         unsigned depth, size_t need);
/*
 * Merges the leaf that holds `key`, and what is too empty above it, with neighbours where they fit.
 */
SDB_MUST_USE sdb_status sdb__btree_merge(const struct btree *tree, struct bytes key,
                                         unsigned depth);

/*
 * Removes the layer at depth `depth` (1…) of a key's path if it has become empty, and tidies the
 * leaf above.
 */
SDB_MUST_USE sdb_status sdb__btree_drop_layer(const struct btree *tree, struct bytes key,
                                              unsigned depth);

/* ---- bounds of ranges, which may go through layers ----------------------------------------- */

/* How many layers a key goes through. */
static inline unsigned layers_of(size_t key_most, struct bytes key)
{
    return key.size > key_most ? (unsigned)((key.size - 1) / key_most) : 0;
}

/* Through how many layers both bounds of a range go together. */
static inline unsigned common_layers(size_t key_most, struct bytes lower,
                                     const struct bytes *upper)
{
    unsigned low = layers_of(key_most, lower), high = upper ? layers_of(key_most, *upper) : 0;
    unsigned common = 0;

    while (common < low && common < high &&
           memcmp(lower.data, upper->data, (common + 1) * key_most) == 0)
        common++;
    return common;
}

/* What a bound is in the layer at that depth of it; `to` has PART_ROOM bytes. */
static inline struct bytes local_bound(size_t key_most, struct bytes bound, unsigned depth,
                                       bool is_lower, uint8_t *to)
{
    struct bytes rest = {bound.data + depth * key_most, bound.size - depth * key_most};

    if (rest.size <= key_most) return rest;
    memcpy(to, rest.data, key_most);
    to[key_most] = is_lower; /* behind the cell that leads to its layer, or before it */
    return (struct bytes){to, key_most + 1};
}

/* What a leaf's cell says, unless it leads to a layer. */
static inline struct btree_value cell_value(enum node_kind kind, struct bytes payload)
{
    uint64_t expiry = node_take_expiry(&kind, &payload);

    if (kind == NODE_EXTENT)
        return (struct btree_value){.is_extent = true, .extent = get_u64(payload.data),
                                    .size = get_u64(payload.data + 8), .expiry = expiry};
    return (struct btree_value){.data = payload, .expiry = expiry};
}

static inline void unlatch(const struct btree *tree, const struct page *page, bool exclusive)
{
    if (exclusive)
        sdb__pager_unlatch_exclusive(tree->pager, page);
    else
        sdb__pager_unlatch_shared(tree->pager, page);
}

#endif
