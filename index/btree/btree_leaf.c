/* SPDX-License-Identifier: Apache-2.0 */
/*
 * btree_leaf.c: leaves copied out for reading in order.
 *
 * Idea: copying a page costs less than latching it once for each of its keys, and what was copied
 * stays as it was for as long as the reader likes. Neighbours are found by key, from the root, so
 * leaves need no links.
 * Invariants: I1 a copy holds all keys of its tree between its fences, as of one instant.
 * Costs: one descent and one page copy a leaf.
 * Not here: merging with versions and write sets (index/kv).
 */
#include <assert.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/base/status.h"
#include "index/btree/btree_inner.h"

/*
 * Makes the copy's memory ready for a leaf below `layers` layers, and copies the key's beginning.
 */
static sdb_status prepare(const struct btree *tree, struct btree_leaf *leaf, struct bytes key,
                          unsigned layers)
{
    uint32_t page_size = sdb__pager_page_size(tree->pager);

    if (!leaf->page) {
        leaf->page = sdb__mem_alloc(leaf->allocator, page_size);
        if (!leaf->page) return SDB_NOMEM;
    }
    leaf->node = (struct node){leaf->page, page_size};
    leaf->layers = layers;
    leaf->outer_size = layers * btree_key_most(page_size);
    TRY(sdb__mem_reserve(leaf->allocator, &leaf->outer, &leaf->outer_capacity,
                         leaf->outer_size + 1, 1));
    if (leaf->outer_size) memcpy(leaf->outer, key.data, leaf->outer_size);
    return SDB_OK;
}

sdb_status sdb__btree_leaf_read(const struct btree *tree, struct btree_place place, bool before,
                                btree_leaf_fn latched, void *context, struct btree_leaf *leaf)
{
    size_t key_most = btree_key_most(sdb__pager_page_size(tree->pager));
    uint8_t room[PART_ROOM], top[PART_ROOM + 1];
    struct part part = {.rest = place.key, .room = room};
    uint64_t root = tree->root;
    struct page page, held;

    if (place.end) memset(top, 0xff, sizeof top); /* longer than any key in a node, and greater */

    for (unsigned layers = 0;; layers++) {
        unsigned slot;
        bool found = false;
        enum node_kind kind;
        struct node n;
        sdb_status status;

        sdb__btree_part_set(&part, key_most, place.layers - layers);
        if (place.end && !part.is_long) part.here = (struct bytes){top, key_most + 2};
        TRY(sdb__btree_descend(tree, root, part.here, before && !part.is_long, false,
                               layers ? &held : NULL, false, &page));
        n = node_of(tree, &page);
        slot = part.is_long ? sdb__node_search(n, part.here, &found) : 0;
        if (found) {
            root = get_u64(node_payload(n, slot, &kind).data);
            part.rest.data += key_most;
            part.rest.size -= key_most;
            held = page;
            continue;
        }
        status = prepare(tree, leaf, place.key, layers);
        if (status == SDB_OK) {
            memcpy(leaf->page, page.data, leaf->node.size);
            if (latched) status = latched(context, leaf);
        }
        unlatch(tree, &page, false);
        return status;
    }
}

/* outer and a few bytes behind it, as a place. */
static struct btree_place place_behind(const struct btree_leaf *leaf, struct bytes tail,
                                       unsigned layers, uint8_t *to)
{
    if (leaf->outer_size) memcpy(to, leaf->outer, leaf->outer_size);
    if (tail.size) memcpy(to + leaf->outer_size, tail.data, tail.size);
    return (struct btree_place){{to, leaf->outer_size + tail.size}, layers, false};
}

bool sdb__btree_leaf_after(const struct btree_leaf *leaf, uint8_t *to,
                           struct btree_place *out_place)
{
    static const uint8_t behind_layer[1] = {1}; /* a layer's key ends in 0: this is just after it */

    if (!node_is_last(leaf->node)) {
        *out_place = place_behind(leaf, node_upper(leaf->node), leaf->layers, to);
        return true;
    }
    if (leaf->layers == 0) return false;
    *out_place = place_behind(leaf, (struct bytes){behind_layer, 1}, leaf->layers - 1, to);
    return true;
}

bool sdb__btree_leaf_before(const struct btree_leaf *leaf, uint8_t *to,
                            struct btree_place *out_place)
{
    static const uint8_t at_layer[1] = {0};

    if (node_lower(leaf->node).size) {
        *out_place = place_behind(leaf, node_lower(leaf->node), leaf->layers, to);
        return true;
    }
    if (leaf->layers == 0) return false;
    *out_place = place_behind(leaf, (struct bytes){at_layer, 1}, leaf->layers - 1, to);
    return true;
}

void sdb__btree_leaf_done(struct btree_leaf *leaf)
{
    if (!leaf->allocator) return;
    sdb__mem_free(leaf->allocator, leaf->page);
    sdb__mem_free(leaf->allocator, leaf->outer);
    *leaf = (struct btree_leaf){.allocator = leaf->allocator};
}
