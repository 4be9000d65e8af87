/* SPDX-License-Identifier: Apache-2.0 */
/*
 * btree_optimistic.c: from a key to its leaf without latching what lies above it.
 *
 * Idea: optimistic lock coupling: a parent is asked whether it still holds after the child has been
 * looked up, so the child was then what the parent says. Nothing is waited for and nothing written;
 * when something changed meanwhile, the descent begins again, and after TRIES of them is made with
 * latches (btree_find.c), as it is when anything looks wrong: only what is read under latches is
 * worth an error.
 * Invariants: I1 levels go down by one with each step, so that even bytes without sense end a
 *   descent. I2 nothing is told to a visitor that did not hold.
 * Costs: two loads a level beside the search. Not here: keys in layers, which are rare and long:
 *   they are sought under latches from the first page on.
 * Source: Leis et al., IEEE Data Eng. Bull. 2019, section 3.
 */
#include <string.h>

#include "engine/base/status.h"
#include "index/btree/btree_inner.h"

enum { TRIES = 16, INLINE_MOST = 0x3fff };

/*
 * Looks at a page. If it cannot be looked at, and `parent`, which leads to it, still holds: brings
 * it in, or with `missing` says that it is missing.
 */
static bool look_at(const struct btree *tree, uint64_t id, const struct optimistic *parent,
                    uint64_t *missing, struct optimistic *out)
{
    if (sdb__optimistic_begin(tree->pager, id, out)) return true;
    if (parent && !sdb__optimistic_holds(tree->pager, parent)) return false;
    if (missing) {
        *missing = id;
        return false;
    }
    return sdb__optimistic_fetch(tree->pager, id) == SDB_OK &&
           sdb__optimistic_begin(tree->pager, id, out);
}

/* Goes down to the page for `key` at level `stop`, or to the root if that is lower. */
static bool descend(const struct btree *tree, uint64_t root, struct bytes key, bool before,
                    unsigned stop, uint64_t *missing, struct optimistic *out)
{
    struct optimistic at, child;
    struct node n;
    unsigned level, top;

    if (!look_at(tree, root, NULL, missing, &at)) return false;
    n = seen_node(tree, &at);
    level = top = node_level(n);
    for (; level > stop; level--) {
        uint64_t id = node_child(n, sdb__node_route(n, key, before));

        if (!look_at(tree, id, &at, missing, &child) || !sdb__optimistic_holds(tree->pager, &at))
            return false;
        at = child;
        n = seen_node(tree, &at);
        if (node_level(n) != level - 1 || node_tree(n) != tree->id) return false;
    }
    sdb__optimistic_count(tree->pager, top - level + 1);
    *out = at;
    return true;
}

bool sdb__btree_see_leaf(const struct btree *tree, struct bytes key, bool before,
                         struct optimistic *out_leaf)
{
    for (unsigned i = 0; i < TRIES; i++) {
        if (!descend(tree, tree->root, key, before, 0, NULL, out_leaf)) continue;
        if (sdb__btree_holds(seen_node(tree, out_leaf), key, before)) return true;
    }
    return false;
}

bool sdb__btree_see_inner(const struct btree *tree, struct bytes key, bool before,
                          uint64_t *missing, struct optimistic *out_node)
{
    struct node n;

    *missing = PAGE_NONE;
    if (!descend(tree, tree->root, key, before, 1, missing, out_node)) return false;
    n = seen_node(tree, out_node);
    return node_level(n) == 1 && sdb__btree_holds(n, key, before);
}

/* Latches the leaf exclusively, if what was seen above it still holds then. */
static bool latch_below(const struct btree *tree, const struct optimistic *parent,
                        struct bytes key, bool before, struct page *out_leaf)
{
    struct node n = seen_node(tree, parent);
    bool is_root = node_level(n) == 0;
    uint64_t id = is_root ? parent->id : node_child(n, sdb__node_route(n, key, before));

    if (!sdb__optimistic_holds(tree->pager, parent)) return false;
    if (sdb__pager_latch_exclusive(tree->pager, id, out_leaf) != SDB_OK) return false;
    n = node_of(tree, out_leaf);
    if ((is_root || sdb__optimistic_holds(tree->pager, parent)) && node_level(n) == 0 &&
        node_tree(n) == tree->id && sdb__btree_holds(n, key, before))
        return true;
    unlatch(tree, out_leaf, true);
    return false;
}

bool sdb__btree_latch_leaf(const struct btree *tree, uint64_t root, struct bytes key, bool before,
                           struct page *out_leaf)
{
    struct optimistic at;

    for (unsigned i = 0; i < TRIES; i++)
        if (descend(tree, root, key, before, 1, NULL, &at) &&
            latch_below(tree, &at, key, before, out_leaf))
            return true;
    return false;
}

/* One try at a get. False: something changed meanwhile. */
static bool try_get(const struct btree *tree, struct bytes key, btree_visit_fn visit,
                    void *context, uint64_t *missing, sdb_status *out_status)
{
    uint8_t copy[INLINE_MOST];
    struct optimistic leaf;
    struct bytes payload = {copy, 0};
    struct btree_value value;
    enum node_kind kind = NODE_INLINE;
    struct node n;
    unsigned slot;
    bool found;

    if (!descend(tree, tree->root, key, false, 0, missing, &leaf)) return false;
    n = seen_node(tree, &leaf);
    slot = sdb__node_search(n, key, &found);
    if (!sdb__btree_holds(n, key, false)) return false;
    if (found) {
        payload = node_payload(n, slot, &kind);
        memcpy(copy, payload.data, payload.size);
        payload.data = copy;
    }
    if (!sdb__optimistic_holds(tree->pager, &leaf)) return false;
    value = cell_value(kind, payload);
    *out_status = visit(context, found ? &value : NULL);
    return sdb__optimistic_holds(tree->pager, &leaf);
}

bool sdb__btree_see(const struct btree *tree, struct bytes key, btree_visit_fn visit,
                    void *context, sdb_status *out_status)
{
    if (key.size > btree_key_most(sdb__pager_page_size(tree->pager))) return false;
    for (unsigned i = 0; i < TRIES; i++)
        if (try_get(tree, key, visit, context, NULL, out_status)) return true;
    return false;
}

enum btree_step sdb__btree_get_step(const struct btree *tree, struct bytes key,
                                    btree_visit_fn visit, void *context, uint64_t *out_missing,
                                    sdb_status *out_status)
{
    if (key.size > btree_key_most(sdb__pager_page_size(tree->pager))) return BTREE_HARD;
    *out_missing = PAGE_NONE;
    for (unsigned i = 0; i < TRIES; i++) {
        if (try_get(tree, key, visit, context, out_missing, out_status)) return BTREE_DONE;
        if (*out_missing != PAGE_NONE) return BTREE_MISSING;
    }
    return BTREE_HARD;
}
