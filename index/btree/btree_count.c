/* SPDX-License-Identifier: Apache-2.0 */
/*
 * btree_count.c: about how many keys a range holds.
 *
 * Idea: walk down both edges of the range and count what is seen exactly: the cells of the two
 * leaves, the children between the paths. How many keys those children lead to is taken from a
 * sample of the leaves below them, spread evenly; where nodes are left out, the fan-out of their
 * neighbours stands for theirs, which is right on average.
 *
 *     200 children between the edges, leaves below 64 of them have 4,400 keys:  200 / 64 × 4,400
 *
 * Invariants: I1 latches are shared, and taken downwards; a node stays latched while what is below
 *   it is looked at, so nothing on the way can end.
 * Costs: at most LEAVES leaves below each node of the edges, and what leads to them: reads that do
 *   not grow with the range. Keys in layers below LAYERS_FOLLOWED others count as one a layer.
 * Source: Knuth, Estimating the efficiency of backtrack programs, 1975.
 * Not here: counts kept in inner nodes (each change would have to change all pages above it).
 */
#include <string.h>

#include "engine/base/clock.h"
#include "engine/base/status.h"
#include "index/btree/btree_inner.h"

enum { LEAVES = 64, LEAVES_IN_LAYER = 4, LAYERS_FOLLOWED = 4 };

struct counting {
    const struct btree *tree;
    uint64_t random;
    unsigned layers; /* latched: those that a path has gone into */
};

static sdb_status count_tree(struct counting *c, uint64_t root, double *sum);
static sdb_status count_all(struct counting *c, const struct page *page, unsigned leaves,
                            double *sum);

/* Latches what a slot of a latched inner node leads to. */
static sdb_status latch_below(struct counting *c, const struct page *page, unsigned slot,
                              struct page *child)
{
    struct node n = node_of(c->tree, page);
    sdb_status status;

    TRY(sdb__pager_latch_shared(c->tree->pager, node_child(n, slot), child));
    status = sdb__btree_expect(c->tree, child, node_level(n) - 1);
    if (status != SDB_OK) unlatch(c->tree, child, false);
    return status;
}

/* Adds the cells [from, to) of a leaf; of those that lead to layers, one is followed. */
static sdb_status count_cells(struct counting *c, struct node n, unsigned from, unsigned to,
                              double *sum)
{
    size_t longest = btree_key_most(n.size) + 1 - node_prefix_size(n); /* leads to a layer */
    uint64_t layer = 0, layers = 0;
    sdb_status status = SDB_OK;
    double keys = 0;

    for (unsigned i = from; i < to; i++) {
        enum node_kind kind;

        if (node_suffix(n, i).size < longest) continue; /* the cell itself is not touched */
        if (random_below(&c->random, ++layers) == 0)
            layer = get_u64(node_payload(n, i, &kind).data);
    }
    *sum += (double)(to - from - layers);
    if (layers == 0) return SDB_OK;
    if (c->layers < LAYERS_FOLLOWED) { /* not as many pages as there are layers at once */
        c->layers++;
        status = count_tree(c, layer, &keys);
        c->layers--;
    }
    *sum += (keys < 1 ? 1 : keys) * (double)layers;
    return status;
}

/*
 * Adds what children [from, to) of a latched inner node lead to, from so many leaves: all children,
 * or some at about the same distance.
 */
static sdb_status count_children(struct counting *c, const struct page *page, unsigned from,
                                 unsigned to, unsigned leaves, double *sum)
{
    unsigned count = to - from, sample = count < leaves ? count : leaves;
    double below = 0;

    for (unsigned i = 0; i < sample; i++) {
        unsigned first = from + (unsigned)((uint64_t)count * i / sample);
        unsigned next = from + (unsigned)((uint64_t)count * (i + 1) / sample);
        unsigned slot = first + (unsigned)random_below(&c->random, next - first);
        struct page child;
        sdb_status status;

        TRY(latch_below(c, page, slot, &child));
        status = count_all(c, &child, leaves / sample, &below);
        unlatch(c->tree, &child, false);
        if (status != SDB_OK) return status;
    }
    if (sample) *sum += below * count / sample;
    return SDB_OK;
}

/* Adds what is in or below a latched node, from so many leaves. */
static sdb_status count_all(struct counting *c, const struct page *page, unsigned leaves,
                            double *sum)
{
    struct node n = node_of(c->tree, page);

    return node_level(n) ? count_children(c, page, 0, node_count(n), leaves, sum)
                         : count_cells(c, n, 0, node_count(n), sum);
}

static sdb_status count_range(struct counting *c, const struct page *page,
                              const struct bytes *lower, const struct bytes *upper, double *sum);

static sdb_status count_edge(struct counting *c, const struct page *page, unsigned slot,
                             const struct bytes *lower, const struct bytes *upper, double *sum)
{
    struct page child;
    sdb_status status;

    TRY(latch_below(c, page, slot, &child));
    status = count_range(c, &child, lower, upper, sum);
    unlatch(c->tree, &child, false);
    return status;
}

/* Adds what a latched node holds between the bounds (NULL: all on that side). */
static sdb_status count_range(struct counting *c, const struct page *page,
                              const struct bytes *lower, const struct bytes *upper, double *sum)
{
    struct node n = node_of(c->tree, page);
    unsigned from = 0, to = node_count(n);
    bool found;

    if (node_level(n) == 0) {
        if (lower) from = sdb__node_search(n, *lower, &found);
        if (upper) to = sdb__node_search(n, *upper, &found);
        return from < to ? count_cells(c, n, from, to, sum) : SDB_OK;
    }
    if (lower) from = sdb__node_route(n, *lower, false) + 1;
    if (upper) to = sdb__node_route(n, *upper, true);
    if (lower && upper && to < from) return count_edge(c, page, to, lower, upper, sum);
    if (from < to) TRY(count_children(c, page, from, to, LEAVES, sum));
    if (lower) TRY(count_edge(c, page, from - 1, lower, NULL, sum));
    return upper ? count_edge(c, page, to, NULL, upper, sum) : SDB_OK;
}

/* Adds all of a layer. */
static sdb_status count_tree(struct counting *c, uint64_t root, double *sum)
{
    struct page page;
    sdb_status status;

    TRY(sdb__pager_latch_shared(c->tree->pager, root, &page));
    status = sdb__btree_expect(c->tree, &page, node_level(node_of(c->tree, &page)));
    if (status == SDB_OK) status = count_all(c, &page, LEAVES_IN_LAYER, sum);
    unlatch(c->tree, &page, false);
    return status;
}

/* Adds what the layer at that depth of a bound holds between the bounds that go there. */
static sdb_status count_layer(struct counting *c, unsigned depth, const struct bytes *lower,
                              const struct bytes *upper, double *sum)
{
    const struct btree *tree = c->tree;
    size_t key_most = btree_key_most(sdb__pager_page_size(tree->pager));
    uint8_t room[PART_ROOM], lower_room[PART_ROOM], upper_room[PART_ROOM];
    struct part part = {.rest = lower ? *lower : *upper, .room = room};
    struct bytes low = {NULL, 0}, high = {NULL, 0};
    uint64_t root = tree->root;
    struct page page, held;
    sdb_status status;

    if (lower) low = local_bound(key_most, *lower, depth, true, lower_room);
    if (upper) high = local_bound(key_most, *upper, depth, false, upper_room);
    for (unsigned at = 0; at < depth; at++) {
        enum node_kind kind;
        unsigned slot;
        bool found;

        sdb__btree_part_set(&part, key_most, 1);
        TRY(sdb__btree_descend(tree, root, part.here, false, false, at ? &held : NULL, false,
                               &page));
        slot = sdb__node_search(node_of(tree, &page), part.here, &found);
        if (!found) {
            unlatch(tree, &page, false);
            return SDB_OK;
        }
        root = get_u64(node_payload(node_of(tree, &page), slot, &kind).data);
        part.rest.data += key_most;
        part.rest.size -= key_most;
        held = page;
    }
    status = sdb__pager_latch_shared(tree->pager, root, &page);
    if (depth) unlatch(tree, &held, false);
    if (status != SDB_OK) return status;
    status = sdb__btree_expect(tree, &page, node_level(node_of(tree, &page)));
    if (status == SDB_OK)
        status = count_range(c, &page, lower ? &low : NULL, upper ? &high : NULL, sum);
    unlatch(tree, &page, false);
    return status;
}

sdb_status sdb__btree_estimate(const struct btree *tree, struct bytes lower,
                               const struct bytes *upper, uint64_t *out_count)
{
    size_t key_most = btree_key_most(sdb__pager_page_size(tree->pager));
    unsigned low = layers_of(key_most, lower), high = upper ? layers_of(key_most, *upper) : 0;
    unsigned common = common_layers(key_most, lower, upper);
    struct counting c = {tree, 1, 0};
    double sum = 0;

    *out_count = 0;
    if (upper && compare_bytes(lower.data, lower.size, upper->data, upper->size) >= 0)
        return SDB_OK;
    TRY(count_layer(&c, common, &lower, upper, &sum));
    for (unsigned depth = common + 1; depth <= low; depth++)
        TRY(count_layer(&c, depth, &lower, NULL, &sum));
    for (unsigned depth = common + 1; depth <= high; depth++)
        TRY(count_layer(&c, depth, NULL, upper, &sum));
    *out_count = sum < 1e18 ? (uint64_t)(sum + 0.5) : UINT64_C(1000000000000000000);
    return SDB_OK;
}
