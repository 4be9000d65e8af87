/* SPDX-License-Identifier: Apache-2.0 */
/*
 * btree_cut.c: removing all keys of a range at once.
 *
 * Idea: a range is a path down its lower edge, a path down its upper one, and whole subtrees in
 * between. The paths are walked; what an inner node leads to between them is cut off without being
 * looked at, and an empty leaf takes its place, so that every fence stays what it was. Then the
 * empty leaves are merged away.
 *
 *     range [c, q)      ──────root──────            root
 *                      a..e      g..k   m..t        a..e    e g..k → bundle    m..t
 *                     ┌─┼─┐     ┌┼┐    ┌─┼─┐        ┌─┼─┐   └─ (empty)       ┌───┼───┐
 *                     a c d     ....   m p s        a c (empty)              (empty) p s
 *     c and p lose cells; d, the children from g to k, and m are cut off, each with its own
 *     neighbours of the same parent under one new node, the bundle
 *
 * A bound longer than a node's keys goes on in a layer, where it is a bound of its own:
 *
 *     ["wxyz5", "x")    this tree: cells > "wxyz\0", < "x"     layer of "wxyz": keys >= "5"
 *
 * Invariants: I1 a node is changed only after all pages of that step are dirty, or new. I2 what is
 *   cut off is handed over exactly once, and nothing leads to it any more.
 * Costs: two descents a layer of the bounds, a few new pages a level; nothing that grows with the
 *   number of keys, but for the cells of two leaves.
 * Not here: freeing what was cut off (sdb__btree_free_some).
 */
#include <string.h>

#include "engine/base/status.h"
#include "index/btree/btree_inner.h"

enum { KEY_MOST = 65536, TIDY_MOST = 4 * DEPTH_MOST };

struct cutting {
    const struct btree *tree;
    btree_visit_fn visit;
    btree_cut_fn cut;
    void *context;
    bool diverged; /* the last path left the other edge to another child */
};

/* New pages of one step, latched: all are kept, or none. */
struct made {
    struct page pages[DEPTH_MOST + 1];
    unsigned count;
};

static sdb_status make_page(struct cutting *c, struct made *made, unsigned level,
                            struct bytes lower, const struct bytes *upper, struct node *out)
{
    struct page *page = &made->pages[made->count];

    TRY(sdb__pager_page_new(c->tree->pager, page));
    made->count++;
    *out = node_of(c->tree, page);
    sdb__node_init(*out, level, c->tree->id, page->id, lower, upper);
    return SDB_OK;
}

static void settle_made(struct cutting *c, struct made *made, bool kept)
{
    while (made->count) {
        struct page *page = &made->pages[--made->count];

        if (kept)
            unlatch(c->tree, page, true);
        else
            (void)!sdb__pager_page_free(c->tree->pager, page);
    }
}

/* Makes a subtree of that level without keys: one node a level. */
static sdb_status make_empty(struct cutting *c, struct made *made, unsigned level,
                             struct bytes lower, const struct bytes *upper, uint64_t *out_root)
{
    uint8_t id[NODE_CHILD];
    struct node n;

    for (unsigned at = 0; at <= level; at++) {
        TRY(make_page(c, made, at, lower, upper, &n));
        if (at) sdb__node_insert(n, 0, lower, NODE_INLINE, (struct bytes){id, NODE_CHILD});
        *out_root = node_id(n);
        put_u64(id, *out_root);
    }
    return SDB_OK;
}

/* Puts children [from, to) of a node under a new one; *out_root is it, or the only child. */
static sdb_status bundle(struct cutting *c, struct made *made, struct node n, unsigned from,
                         unsigned to, struct bytes lower, const struct bytes *upper,
                         uint64_t *out_root)
{
    struct node b;

    *out_root = node_child(n, from);
    if (to - from == 1) return SDB_OK;
    TRY(make_page(c, made, node_level(n), lower, upper, &b));
    if (!sdb__node_copy(b, n, from, to))
        return FAIL(SDB_CORRUPT, "page %llu cannot be cut: run sdb check",
                    (unsigned long long)node_id(n));
    *out_root = node_id(b);
    return SDB_OK;
}

/*
 * Latches the last leaf below a latched node once, so that nobody takes it for the tree's last leaf
 * any more once it is cut off (btree_write.c, I3).
 */
static sdb_status touch_last(struct cutting *c, const struct page *page)
{
    struct page at = *page, child;
    sdb_status status;
    struct node n;

    for (n = node_of(c->tree, &at); node_level(n) > 0; n = node_of(c->tree, &at)) {
        if (node_child(n, node_count(n) - 1) == page->id)
            status = FAIL(SDB_CORRUPT, "page %llu leads to itself: run sdb check, restore a backup",
                          (unsigned long long)page->id);
        else
            status = sdb__btree_latch_child(c->tree, &at, node_count(n) - 1, &child);
        if (at.id != page->id) unlatch(c->tree, &at, true);
        if (status != SDB_OK) return status;
        at = child;
    }
    if (at.id != page->id) unlatch(c->tree, &at, true);
    return SDB_OK;
}

/* Cuts off children [from, to) of a latched inner node; an empty subtree takes their place. */
static sdb_status cut_children(struct cutting *c, const struct page *page, unsigned from,
                               unsigned to)
{
    uint8_t lower_room[PART_ROOM], upper_room[PART_ROOM];
    struct node n = node_of(c->tree, page);
    struct bytes lower = {lower_room, sdb__node_key(n, from, lower_room)}, upper = node_upper(n);
    bool is_last = to == node_count(n) && node_is_last(n);
    struct made made = {.count = 0};
    uint64_t empty = 0, root = 0;
    sdb_status status = sdb__pager_dirty(c->tree->pager, page);

    if (status == SDB_OK && is_last) status = touch_last(c, page);
    if (to < node_count(n))
        upper = (struct bytes){upper_room, sdb__node_key(n, to, upper_room)};
    if (status == SDB_OK)
        status = make_empty(c, &made, node_level(n) - 1, lower, is_last ? NULL : &upper, &empty);
    if (status == SDB_OK)
        status = bundle(c, &made, n, from, to, lower, is_last ? NULL : &upper, &root);
    if (status == SDB_OK) status = c->cut(c->context, root);
    settle_made(c, &made, status == SDB_OK);
    if (status != SDB_OK) return status;
    sdb__node_set_child(n, from, empty);
    while (--to > from) sdb__node_remove(n, to);
    return SDB_OK;
}

/* Removes a leaf's cells between the bounds (NULL: all on that side). */
static sdb_status trim(struct cutting *c, const struct page *leaf, const struct bytes *lower,
                       const struct bytes *upper)
{
    struct node n = node_of(c->tree, leaf);
    bool found;
    unsigned from = lower ? sdb__node_search(n, *lower, &found) : 0;
    unsigned to = upper ? sdb__node_search(n, *upper, &found) : node_count(n);

    if (from >= to) return SDB_OK;
    TRY(sdb__pager_dirty(c->tree->pager, leaf));
    while (to > from) {
        enum node_kind kind;
        struct bytes payload = node_payload(n, to - 1, &kind);
        struct btree_value value = cell_value(kind, payload);

        if (kind == NODE_LAYER)
            TRY(c->cut(c->context, get_u64(payload.data)));
        else
            TRY(c->visit(c->context, &value));
        sdb__node_remove(n, --to);
    }
    return SDB_OK;
}

/*
 * Goes down one edge from a latched root, which is unlatched, and removes what lies between the
 * bounds beside the path and in its leaf. With both bounds the path is the lower edge's; `second`:
 * the upper one's, after the lower one's has been walked.
 */
static sdb_status cut_path(struct cutting *c, struct page page, const struct bytes *lower,
                           const struct bytes *upper, bool second)
{
    sdb_status status = SDB_OK;

    c->diverged = false;
    while (status == SDB_OK && node_level(node_of(c->tree, &page)) > 0) {
        struct node n = node_of(c->tree, &page);
        unsigned from = lower ? sdb__node_route(n, *lower, false) + 1 : 0;
        unsigned to = upper ? sdb__node_route(n, *upper, true) : node_count(n);
        struct page child;

        if (from < to && !(lower && second)) {
            status = cut_children(c, &page, from, to);
            if (status != SDB_OK) break;
            to = from + 1;
        }
        if (lower && upper && to >= from) {
            c->diverged = true;
            if (second)
                lower = NULL;
            else
                upper = NULL;
        }
        status = sdb__btree_latch_child(c->tree, &page, lower ? from - 1 : to, &child);
        if (status != SDB_OK) break;
        unlatch(c->tree, &page, true);
        page = child;
    }
    if (status == SDB_OK) status = trim(c, &page, lower, upper);
    unlatch(c->tree, &page, true);
    return status;
}

/*
 * The key at which the leaf behind that of `key` begins, in the layer at that depth: its beginning
 * stays, the rest is written. SDB_END: there is none before the bound.
 */
static sdb_status next_leaf(const struct btree *tree, struct bytes *key, unsigned depth,
                            const struct bytes *bound, uint8_t *whole)
{
    size_t outer = depth * btree_key_most(sdb__pager_page_size(tree->pager));
    uint8_t room[PART_ROOM];
    struct part part = {.rest = *key, .room = room};
    sdb_status status = SDB_OK;
    struct page page, child;
    struct node n;

    TRY(sdb__btree_enter(tree, &part, depth, &page));
    for (n = node_of(tree, &page); node_level(n) > 0; n = node_of(tree, &page)) {
        status = sdb__btree_latch_child(tree, &page, sdb__node_route(n, part.here, false), &child);
        if (status != SDB_OK) break;
        unlatch(tree, &page, true);
        page = child;
    }
    if (status == SDB_OK) {
        struct bytes upper = node_upper(n);

        if (node_is_last(n) || (bound && compare_bytes(upper.data, upper.size, bound->data,
                                                       bound->size) >= 0)) {
            status = SDB_END;
        } else {
            memcpy(whole + outer, upper.data, upper.size);
            *key = (struct bytes){whole, outer + upper.size};
        }
    }
    unlatch(tree, &page, true);
    return status;
}

/*
 * Merges the leaves that a cut left empty, and what is above them, from that of the key on, or
 * (`first`) from the first one of its layer. What fails here leaves room unused, no more.
 */
static void tidy(const struct btree *tree, struct bytes key, unsigned depth, bool first,
                 const struct bytes *bound)
{
    size_t outer = depth * btree_key_most(sdb__pager_page_size(tree->pager));
    uint8_t whole[KEY_MOST + PART_ROOM];
    struct bytes least = {whole, outer + 1}, at = first ? least : key;

    if (outer) memcpy(whole, key.data, outer);
    whole[outer] = 0; /* no key of a layer is less */
    for (unsigned i = 0; i < TIDY_MOST; i++) {
        if (sdb__btree_merge(tree, at, depth) != SDB_OK) return;
        if (next_leaf(tree, &at, depth, bound, whole) != SDB_OK) break;
    }
    whole[outer] = 0;
    (void)!sdb__btree_merge(tree, first ? least : key, depth);
}

/* The part of the cut that concerns the layer at that depth of the bounds (NULL: none). */
static sdb_status cut_layer(struct cutting *c, unsigned depth, const struct bytes *lower,
                            const struct bytes *upper)
{
    const struct btree *tree = c->tree;
    size_t key_most = btree_key_most(sdb__pager_page_size(tree->pager));
    uint8_t room[PART_ROOM], lower_room[PART_ROOM], upper_room[PART_ROOM];
    struct bytes low = {NULL, 0}, high = {NULL, 0}, key = lower ? *lower : *upper;
    sdb_status status = SDB_OK;
    struct page root;

    if (lower) low = local_bound(key_most, *lower, depth, true, lower_room);
    if (upper) high = local_bound(key_most, *upper, depth, false, upper_room);
    for (unsigned pass = 0; status == SDB_OK && pass < 2; pass++) {
        struct part part = {.rest = key, .room = room};

        status = sdb__btree_enter(tree, &part, depth, &root);
        if (status != SDB_OK) return status == SDB_NOTFOUND ? SDB_OK : status;
        status = cut_path(c, root, lower ? &low : NULL, upper ? &high : NULL, pass == 1);
        if (!c->diverged) break;
    }
    if (status == SDB_OK) tidy(tree, key, depth, !lower, upper ? &high : NULL);
    return status;
}

/* Cuts off all that a tree holds. */
static sdb_status cut_all(struct cutting *c)
{
    struct bytes empty = {NULL, 0};
    struct made made = {.count = 0};
    struct page root;
    struct node n;
    sdb_status status;

    TRY(sdb__pager_latch_exclusive(c->tree->pager, c->tree->root, &root));
    n = node_of(c->tree, &root);
    status = sdb__btree_expect(c->tree, &root, node_level(n));
    if (status == SDB_OK && node_level(n) == 0) {
        status = trim(c, &root, NULL, NULL);
    } else if (status == SDB_OK) {
        uint64_t cut_off;

        status = sdb__pager_dirty(c->tree->pager, &root);
        if (status == SDB_OK) status = touch_last(c, &root);
        if (status == SDB_OK)
            status = bundle(c, &made, n, 0, node_count(n), empty, NULL, &cut_off);
        if (status == SDB_OK) status = c->cut(c->context, cut_off);
        settle_made(c, &made, status == SDB_OK);
        if (status == SDB_OK) sdb__node_init(n, 0, c->tree->id, root.id, empty, NULL);
    }
    unlatch(c->tree, &root, true);
    return status;
}

sdb_status sdb__btree_cut(const struct btree *tree, struct bytes lower, const struct bytes *upper,
                          btree_visit_fn visit, btree_cut_fn cut, void *context)
{
    struct cutting c = {tree, visit, cut, context, false};
    size_t key_most = btree_key_most(sdb__pager_page_size(tree->pager));
    unsigned low = layers_of(key_most, lower), high = upper ? layers_of(key_most, *upper) : 0;
    unsigned common = common_layers(key_most, lower, upper);

    if (upper && compare_bytes(lower.data, lower.size, upper->data, upper->size) >= 0)
        return SDB_OK;
    if (lower.size == 0 && !upper) return cut_all(&c);
    TRY(cut_layer(&c, common, &lower, upper));
    for (unsigned depth = common + 1; depth <= low; depth++)
        TRY(cut_layer(&c, depth, &lower, NULL));
    for (unsigned depth = common + 1; depth <= high; depth++)
        TRY(cut_layer(&c, depth, NULL, upper));
    for (; low > 0; low--)
        if (sdb__btree_drop_layer(tree, lower, low) != SDB_OK) break;
    for (; high > 0; high--)
        if (sdb__btree_drop_layer(tree, *upper, high) != SDB_OK) break;
    return SDB_OK;
}
