/* SPDX-License-Identifier: Apache-2.0 */
/*
 * btree_find.c: from a key to its leaf.
 *
 * Idea: without latches where that goes (btree_optimistic.c); otherwise latch coupling: a page's
 * latch is let go only when the next one's is held, so what the parent said about the child is
 * still true.
 * Invariants: I1 at most two pages are latched at a time. I2 a child's level is its parent's − 1
 *   and its tree id the tree's, so that even a forged file cannot lead a descent in a circle.
 * Costs: one latch a level. Not here: changing anything.
 */
#include <assert.h>
#include <string.h>

#include "engine/base/status.h"
#include "index/btree/btree_inner.h"

bool sdb__btree_is_inline(uint32_t page_size, size_t key_size, uint64_t value_size)
{
    size_t key_most = btree_key_most(page_size), most = page_size / 4;

    while (key_size > key_most) key_size -= key_most;
    if (most > 0x3fff) most = 0x3fff;
    return value_size <= most - key_size;
}

sdb_status sdb__btree_make(struct pager *pager, uint32_t id, uint64_t *out_root)
{
    struct page page;

    TRY(sdb__pager_page_new(pager, &page));
    sdb__node_init((struct node){page.data, sdb__pager_page_size(pager)}, 0, id, page.id,
                   (struct bytes){NULL, 0}, NULL);
    *out_root = page.id;
    sdb__pager_unlatch_exclusive(pager, &page);
    return SDB_OK;
}

void sdb__btree_part_set(struct part *part, size_t key_most, unsigned layers)
{
    part->is_long = layers > 0 && part->rest.size > key_most;
    part->here = part->rest;
    if (!part->is_long) return;
    memcpy(part->room, part->rest.data, key_most);
    part->room[key_most] = 0;
    part->here = (struct bytes){part->room, key_most + 1};
}

sdb_status sdb__btree_expect(const struct btree *tree, const struct page *page, unsigned level)
{
    struct node n = node_of(tree, page);

    if (node_level(n) == level && node_tree(n) == tree->id) return SDB_OK;
    return FAIL(SDB_CORRUPT, "page %llu is of tree %u, level %u where tree %u, level %u is "
                "expected: run sdb check, restore a backup", (unsigned long long)page->id,
                node_tree(n), node_level(n), tree->id, level);
}

static bool same(struct bytes a, struct bytes b)
{
    return compare_bytes(a.data, a.size, b.data, b.size) == 0;
}

sdb_status sdb__btree_expect_child(const struct btree *tree, const struct page *parent,
                                   unsigned slot, const struct page *child)
{
    struct node p = node_of(tree, parent), c = node_of(tree, child);
    uint8_t room[PART_ROOM];
    bool is_last = slot + 1 == node_count(p) && node_is_last(p);

    TRY(sdb__btree_expect(tree, child, node_level(p) - 1));
    if (same(node_lower(c), (struct bytes){room, sdb__node_key(p, slot, room)}) &&
        node_is_last(c) == is_last &&
        (is_last ||
         same(node_upper(c), slot + 1 == node_count(p)
                                 ? node_upper(p)
                                 : (struct bytes){room, sdb__node_key(p, slot + 1, room)})))
        return SDB_OK;
    return FAIL(SDB_CORRUPT, "page %llu does not hold the keys that page %llu says: run sdb check, "
                "restore a backup", (unsigned long long)child->id,
                (unsigned long long)parent->id);
}

/* Fails with SDB_CORRUPT unless a page can be a root: it has all keys there are. */
static sdb_status expect_root(const struct btree *tree, const struct page *page)
{
    struct node n = node_of(tree, page);

    TRY(sdb__btree_expect(tree, page, node_level(n)));
    if (node_is_last(n) && node_lower(n).size == 0) return SDB_OK;
    return FAIL(SDB_CORRUPT, "page %llu is no root of tree %u: run sdb check, restore a backup",
                (unsigned long long)page->id, tree->id);
}

bool sdb__btree_holds(struct node n, struct bytes key, bool before)
{
    struct bytes lower = node_lower(n), upper = node_upper(n);
    int order = compare_bytes(key.data, key.size, lower.data, lower.size);

    if (lower.size && (before ? order <= 0 : order < 0)) return false;
    if (node_is_last(n)) return true;
    order = compare_bytes(key.data, key.size, upper.data, upper.size);
    return before ? order <= 0 : order < 0;
}

/* What must be noticed before it is latched: nobody waits for himself. */
static sdb_status leads_to_itself(uint64_t id)
{
    return FAIL(SDB_CORRUPT, "page %llu leads to itself: run sdb check, restore a backup",
                (unsigned long long)id);
}

static sdb_status latch(const struct btree *tree, uint64_t id, bool exclusive, struct page *out)
{
    return exclusive ? sdb__pager_latch_exclusive(tree->pager, id, out)
                     : sdb__pager_latch_shared(tree->pager, id, out);
}

/*
 * Latches the root; exclusively only if it is a leaf and that is wanted. It may grow between the
 * two looks.
 */
static sdb_status latch_root(const struct btree *tree, uint64_t root, bool exclusive,
                             const struct page *held, struct page *out, bool *out_exclusive)
{
    if (held && held->id == root)
        return leads_to_itself(root);
    TRY(latch(tree, root, false, out));
    *out_exclusive = false;
    if (exclusive && node_level(node_of(tree, out)) == 0) {
        unlatch(tree, out, false);
        TRY(latch(tree, root, true, out));
        *out_exclusive = true;
    }
    return SDB_OK;
}

sdb_status sdb__btree_descend(const struct btree *tree, uint64_t root, struct bytes key,
                              bool before, bool exclusive, const struct page *held,
                              bool held_exclusive, struct page *out_leaf)
{
    struct page page, child;
    bool is_exclusive = false;
    sdb_status status;

    if (exclusive && !held && sdb__btree_latch_leaf(tree, root, key, before, out_leaf))
        return SDB_OK;
    status = latch_root(tree, root, exclusive, held, &page, &is_exclusive);
    if (held) unlatch(tree, held, held_exclusive);
    if (status != SDB_OK) return status;
    status = expect_root(tree, &page);
    while (status == SDB_OK && node_level(node_of(tree, &page)) > 0) {
        struct node n = node_of(tree, &page);
        unsigned level = node_level(n);
        uint64_t id = node_child(n, sdb__node_route(n, key, before));
        bool child_exclusive = exclusive && level == 1;

        if (id == page.id) status = leads_to_itself(id);
        else status = latch(tree, id, child_exclusive, &child);
        if (status != SDB_OK) break;
        unlatch(tree, &page, is_exclusive);
        page = child;
        is_exclusive = child_exclusive;
        status = sdb__btree_expect(tree, &page, level - 1);
    }
    if (status == SDB_OK && !sdb__btree_holds(node_of(tree, &page), key, before))
        status = FAIL(SDB_CORRUPT, "page %llu does not hold the keys that lead to it: run sdb "
                      "check, restore a backup", (unsigned long long)page.id);
    if (status != SDB_OK) {
        unlatch(tree, &page, is_exclusive);
        return status;
    }
    if (exclusive && !is_exclusive) { /* the root shrank to a leaf between two looks */
        unlatch(tree, &page, false);
        return sdb__btree_descend(tree, root, key, before, exclusive, NULL, false, out_leaf);
    }
    *out_leaf = page;
    return SDB_OK;
}

sdb_status sdb__btree_enter(const struct btree *tree, struct part *part, unsigned depth,
                            struct page *out_root)
{
    size_t key_most = btree_key_most(sdb__pager_page_size(tree->pager));
    uint64_t root = tree->root;
    struct page leaf, held;
    sdb_status status;

    for (unsigned at = 0; at < depth; at++) {
        enum node_kind kind;
        struct node n;
        unsigned slot;
        bool found;

        sdb__btree_part_set(part, key_most, 1);
        TRY(sdb__btree_descend(tree, root, part->here, false, false, at ? &held : NULL, false,
                               &leaf));
        n = node_of(tree, &leaf);
        slot = sdb__node_search(n, part->here, &found);
        if (!found || !part->is_long) {
            unlatch(tree, &leaf, false);
            return SDB_NOTFOUND;
        }
        root = get_u64(node_payload(n, slot, &kind).data);
        part->rest.data += key_most;
        part->rest.size -= key_most;
        held = leaf;
    }
    sdb__btree_part_set(part, key_most, BTREE_NATURAL);
    if (depth && held.id == root)
        status = leads_to_itself(root);
    else
        status = sdb__pager_latch_exclusive(tree->pager, root, out_root);
    if (depth) unlatch(tree, &held, false);
    if (status != SDB_OK) return status;
    status = expect_root(tree, out_root);
    if (status != SDB_OK) unlatch(tree, out_root, true);
    return status;
}

sdb_status sdb__btree_get(const struct btree *tree, struct bytes key, btree_visit_fn visit,
                          void *context)
{
    size_t key_most = btree_key_most(sdb__pager_page_size(tree->pager));
    uint8_t room[PART_ROOM];
    struct part part = {.rest = key, .room = room};
    uint64_t root = tree->root;
    struct page leaf, held;
    bool is_held = false, found;
    sdb_status status;

    if (sdb__btree_see(tree, key, visit, context, &status)) return status;
    for (;;) {
        struct node n;
        unsigned slot;

        sdb__btree_part_set(&part, key_most, BTREE_NATURAL);
        TRY(sdb__btree_descend(tree, root, part.here, false, false, is_held ? &held : NULL, false,
                               &leaf));
        n = node_of(tree, &leaf);
        slot = sdb__node_search(n, part.here, &found);
        if (found && part.is_long) {
            enum node_kind kind;
            struct bytes payload = node_payload(n, slot, &kind);

            if (kind == NODE_LAYER) {
                root = get_u64(payload.data);
                part.rest.data += key_most;
                part.rest.size -= key_most;
                held = leaf;
                is_held = true;
                continue;
            }
        }
        if (found && !part.is_long) {
            enum node_kind kind;
            struct bytes payload = node_payload(n, slot, &kind);
            struct btree_value value = cell_value(kind, payload);

            status = visit(context, &value);
        } else {
            status = visit(context, NULL);
        }
        unlatch(tree, &leaf, false);
        return status;
    }
}
