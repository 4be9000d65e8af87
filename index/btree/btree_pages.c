/* SPDX-License-Identifier: Apache-2.0 */
/*
 * btree_pages.c: which pages a tree has.
 *
 * Idea: the nodes just above the leaves name all leaves, so no leaf is read. They are met in the
 * order of their keys, each by a descent of its own from the root; the inner nodes on the way are
 * told when the descent comes to the first key below them.
 * Invariants: I1 at most two pages are latched at a time, shared. I2 the key grows with each
 *   descent, so a forged tree ends the walk.
 * Costs: one descent for each page size / 16 leaves or so. Not here: pages of layers, to which only
 *   leaves lead.
 */
#include <string.h>

#include "engine/base/status.h"
#include "index/btree/btree_inner.h"

/* Latches, shared, the node above the leaf for `key` (or a lone root), telling of what is new. */
static sdb_status descend(const struct btree *tree, struct bytes key, btree_page_fn fn,
                          void *context, struct page *out_page)
{
    struct page page, child;
    sdb_status status;

    TRY(sdb__pager_latch_shared(tree->pager, tree->root, &page));
    status = sdb__btree_expect(tree, &page, node_level(node_of(tree, &page)));
    while (status == SDB_OK) {
        struct node n = node_of(tree, &page);
        struct bytes lower = node_lower(n);
        unsigned level = node_level(n);
        uint64_t id;

        if (compare_bytes(lower.data, lower.size, key.data, key.size) == 0) fn(context, page.id);
        if (level <= 1) {
            *out_page = page;
            return SDB_OK;
        }
        id = node_child(n, sdb__node_route(n, key, false));
        status = id == page.id ? FAIL(SDB_CORRUPT, "page %llu leads to itself: run sdb check, "
                                      "restore a backup", (unsigned long long)id)
                               : sdb__pager_latch_shared(tree->pager, id, &child);
        if (status != SDB_OK) break;
        sdb__pager_unlatch_shared(tree->pager, &page);
        page = child;
        status = sdb__btree_expect(tree, &page, level - 1);
    }
    sdb__pager_unlatch_shared(tree->pager, &page);
    return status;
}

sdb_status sdb__btree_pages(const struct btree *tree, btree_page_fn fn, void *context)
{
    uint8_t room[PART_ROOM];
    struct bytes key = {room, 0};
    bool last = false;

    while (!last) {
        struct page page;
        struct bytes upper;
        struct node n;
        bool grows;

        TRY(descend(tree, key, fn, context, &page));
        n = node_of(tree, &page);
        for (unsigned i = 0; node_level(n) == 1 && i < node_count(n); i++)
            fn(context, node_child(n, i));
        last = node_is_last(n);
        upper = node_upper(n);
        grows = last || compare_bytes(upper.data, upper.size, key.data, key.size) > 0;
        if (!last && grows) {
            memcpy(room, upper.data, upper.size);
            key.size = upper.size;
        }
        sdb__pager_unlatch_shared(tree->pager, &page);
        if (!grows)
            return FAIL(SDB_CORRUPT, "page %llu does not hold the keys that lead to it: run sdb "
                        "check, restore a backup", (unsigned long long)page.id);
    }
    return SDB_OK;
}
