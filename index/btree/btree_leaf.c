/* SPDX-License-Identifier: Apache-2.0 */
/*
 * btree_leaf.c: leaves copied out for reading in order.
 *
 * Idea: copying a page costs less than looking after each of its keys alone, and what was copied
 * stays as it was for as long as the reader likes. Who may want a few keys only copies their cells,
 * and more if it comes to that and the page is still the same. Neighbours are found by key, from
 * the root, so leaves need no links.
 * Invariants: I1 a copy holds all keys of its tree between its fences, as of one instant; of those
 *   whose cells are not in it, it knows the number.
 * Costs: one descent and one page copy a leaf; a seek copies the slots and a few cells.
 * Not here: merging with versions and write sets (index/kv).
 */
#include <assert.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"
#include "index/btree/btree_inner.h"

/*
 * Cells that are brought near when a part of a leaf is copied, be it less: whoever goes on finds
 * them on their way.
 */
enum { ASKED = 12 };

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

/* Copies cell i of a page that may be torn: false if it says nonsense. */
static bool copy_cell(struct btree_leaf *leaf, const uint8_t *data, unsigned i)
{
    const uint8_t *slot = node_slot(leaf->node, i);
    size_t at = get_u16(slot + 4), size = (size_t)get_u16(slot + 6) + NODE_VALUE_HEAD;

    if (at + size > leaf->node.size) return false;
    size += get_u16(data + at + size - NODE_VALUE_HEAD) & 0x3fff;
    if (at + size > leaf->node.size) return false;
    memcpy(leaf->page + at, data + at, size);
    return true;
}

/* How many cells there are on one side that were not copied, at most `most`. */
static unsigned cells_left(const struct btree_leaf *leaf, bool before, unsigned most)
{
    unsigned left = before ? leaf->from : node_count(leaf->node) - leaf->to;

    return left < most ? left : most;
}

/*
 * Has the cells that a copy will begin with brought near, all at once; of large ones the beginning.
 * Before the key is looked for: that waits for one of them, as long as for all together. The page
 * may be torn.
 */
static void ask_for_cells(struct node n, struct bytes key, bool before, unsigned most)
{
    unsigned count = node_count(n), slot = sdb__node_guess(n, key);
    unsigned left = before ? slot : count - slot, ask = most < ASKED ? ASKED : most;
    unsigned from, to;

    if (ask > left) ask = left;
    from = before ? slot - ask : slot;
    to = before && slot < count ? slot + 1 : from + ask; /* with the one that is compared */
    for (unsigned i = from; i < to; i++) node_ask(n, i);
}

/* Adds at most `most` cells on one side to those that were copied. */
static bool copy_cells(struct btree_leaf *leaf, const uint8_t *data, bool before, unsigned most)
{
    unsigned add = cells_left(leaf, before, most);
    unsigned from = before ? leaf->from - add : leaf->to;

    for (unsigned i = from; i < from + add; i++)
        if (!copy_cell(leaf, data, i)) return false;
    if (before)
        leaf->from = from;
    else
        leaf->to += add;
    return true;
}

/* Copies the slots, the fences, and at most `most` cells on one side of leaf->slot. */
static bool copy_part(struct btree_leaf *leaf, const uint8_t *data, bool before, unsigned most)
{
    struct node n = {(uint8_t *)(uintptr_t)data, leaf->node.size};
    unsigned count = node_count(n);
    size_t slots = NODE_HEADER + (size_t)count * NODE_SLOT;
    size_t fences = node_lower(n).size + node_upper(n).size;

    if (slots > n.size || fences > n.size || leaf->slot > count) return false;
    memcpy(leaf->page, data, slots);
    memcpy(leaf->page + n.size - fences, data + n.size - fences, fences);
    if (node_count(leaf->node) != count) return false; /* what follows stays within the copy */
    leaf->from = leaf->to = leaf->slot;
    return copy_cells(leaf, data, before, most);
}

static void copy_whole(struct btree_leaf *leaf, const uint8_t *data)
{
    memcpy(leaf->page, data, leaf->node.size);
    leaf->from = 0;
    leaf->to = node_count(leaf->node);
}

/* One try at reading the leaf of a tree without layers on the way. False: it changed meanwhile. */
static bool try_read(const struct btree *tree, struct btree_place place, struct bytes here,
                     bool before, unsigned most, btree_leaf_fn visit, void *context,
                     struct btree_leaf *leaf, sdb_status *out_status)
{
    struct optimistic seen;
    struct node n;

    if (!sdb__btree_see_leaf(tree, here, before, &seen)) return false;
    n = seen_node(tree, &seen);
    if (most) ask_for_cells(n, here, before, most);
    *out_status = prepare(tree, leaf, place.key, 0);
    if (*out_status != SDB_OK) return true;
    leaf->slot = sdb__node_search(n, place.end ? here : place.key, &leaf->found);
    if (!most)
        copy_whole(leaf, seen.data);
    else if (!copy_part(leaf, seen.data, before, most))
        return false;
    if (!sdb__optimistic_holds(tree->pager, &seen)) return false;
    leaf->source = seen;
    *out_status = visit ? visit(context, leaf) : SDB_OK;
    return sdb__optimistic_holds(tree->pager, &seen);
}

/* Copies a latched leaf. part: what of the place is looked for in it. */
static sdb_status read_latched(const struct btree *tree, struct btree_place place,
                               const struct part *part, unsigned layers, btree_leaf_fn visit,
                               void *context, const struct page *page, struct btree_leaf *leaf)
{
    TRY(prepare(tree, leaf, place.key, layers));
    copy_whole(leaf, page->data);
    leaf->source = (struct optimistic){.id = PAGE_NONE};
    leaf->slot = sdb__node_search(leaf->node, place.end && !part->is_long ? part->here : part->rest,
                                  &leaf->found);
    return visit ? visit(context, leaf) : SDB_OK;
}

sdb_status sdb__btree_leaf_read(const struct btree *tree, struct btree_place place, bool before,
                                unsigned most, btree_leaf_fn visit, void *context,
                                struct btree_leaf *leaf)
{
    size_t key_most = btree_key_most(sdb__pager_page_size(tree->pager));
    uint8_t room[PART_ROOM], top[PART_ROOM + 1];
    struct part part = {.rest = place.key, .room = room};
    uint64_t root = tree->root;
    struct page page, held;
    sdb_status status;

    if (place.end) memset(top, 0xff, sizeof top); /* longer than any key in a node, and greater */

    for (unsigned layers = 0;; layers++) {
        unsigned slot;
        bool found = false;
        enum node_kind kind;
        struct node n;

        sdb__btree_part_set(&part, key_most, place.layers - layers);
        if (place.end && !part.is_long) part.here = (struct bytes){top, key_most + 2};
        if (layers == 0 && !part.is_long &&
            try_read(tree, place, part.here, before, most, visit, context, leaf, &status))
            return status;
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
        status = read_latched(tree, place, &part, layers, visit, context, &page, leaf);
        unlatch(tree, &page, false);
        return status;
    }
}

bool sdb__btree_leaf_more(const struct btree *tree, bool before, unsigned most,
                          struct btree_leaf *leaf)
{
    struct optimistic seen;

    if (leaf->source.id == PAGE_NONE) return true;
    if (!sdb__optimistic_begin(tree->pager, leaf->source.id, &seen) ||
        (seen.word != leaf->source.word && !MUTANT(rest_of_a_changed_leaf_taken)))
        return false;
    if (most == 0)
        copy_whole(leaf, seen.data);
    else if (!copy_cells(leaf, seen.data, before, most))
        return false;
    return sdb__optimistic_holds(tree->pager, &seen);
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
