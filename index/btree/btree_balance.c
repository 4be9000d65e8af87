/* SPDX-License-Identifier: Apache-2.0 */
/*
 * btree_balance.c: splitting pages that are full, merging those that are nearly empty.
 *
 * Idea: go down once with exclusive latches on parent and child, and set right on the way whatever
 * could get in the way further down: split an inner node that could not take one more separator,
 * merge one that is nearly empty. So no change ever has to climb back up.
 *
 *     root full:  root[ … ]  →  root[ -inf → c ],  c[ … ]      (the root's id stays)
 *     split:      p[ … k1 → c … ]  →  p[ … k1 → c, s → r … ]   s: the shortest key with c < s <= r
 *
 * Invariants: I1 a node is changed only after all pages of that step have been announced dirty. I2
 *   when a child is looked at for splitting, its parent has room for the longest separator.
 * Costs: one descent with at most four pages latched; a page copy for each side that changes.
 * Source: preemptive splitting, Guibas & Sedgewick 1978; suffix truncation, Bayer & Unterauer 1977.
 * Not here: redistribution between neighbours on random work (merging alone keeps pages at a
 * quarter or more).
 */
#include <assert.h>
#include <string.h>

#include "engine/base/status.h"
#include "index/btree/btree_inner.h"

/* The longest separator's bytes in an inner node. */
static size_t separator_most(const struct btree *tree)
{
    return btree_key_most(sdb__pager_page_size(tree->pager)) + 1 + NODE_SLOT + NODE_CHILD;
}

/* A page of at least so many cells is taken for one that keys reach in descending order. */
enum { CELLS_DESCENDING = 16 };

static bool is_full(const struct btree *tree, struct node n, size_t need)
{
    return sdb__node_room(n) < (node_level(n) ? separator_most(tree) : need);
}

/* Moves all that the root holds into a new child; both stay latched. */
static sdb_status grow_root(const struct btree *tree, const struct page *root, struct page *child)
{
    struct node n = node_of(tree, root), c;
    struct bytes empty = {NULL, 0};
    uint8_t id[NODE_CHILD];

    if (node_level(n) >= 60)
        return FAIL(SDB_CORRUPT, "tree %u is impossibly deep: run sdb check", tree->id);
    TRY(sdb__pager_dirty(tree->pager, root));
    TRY(sdb__pager_page_new(tree->pager, child));
    c = node_of(tree, child);
    memcpy(c.data, n.data, n.size);
    put_u64(c.data + 24, child->id);
    sdb__node_init(n, node_level(c) + 1, tree->id, root->id, empty, NULL);
    put_u64(id, child->id);
    sdb__node_insert(n, 0, empty, NODE_INLINE, (struct bytes){id, NODE_CHILD});
    return SDB_OK;
}

/*
 * Where to cut a node in two: slots from the answer on go right. `in_order`: a key at an end says
 * that keys come in order; then leave the other side full. Of a page with few cells, where that
 * happens by chance, only one at the upper end says so.
 */
static unsigned choose_cut(struct node n, struct bytes key, bool in_order)
{
    size_t half = sdb__node_used(n) / 2, left = 0;
    unsigned count = node_count(n), i = 0, at;
    bool found;

    if (in_order && node_level(n) == 0) {
        at = sdb__node_search(n, key, &found);
        if (at == count || (at == 0 && !found && count >= CELLS_DESCENDING)) return at;
    }
    if (in_order && node_level(n) && count > 1 && sdb__node_route(n, key, false) == count - 1)
        return count - 1;
    while (i + 1 < count && left < half) {
        struct bytes s = node_suffix(n, i);

        left += NODE_SLOT + s.size + (node_level(n) ? NODE_CHILD : NODE_VALUE_HEAD);
        if (!node_level(n)) left += get_u16(s.data + s.size) & 0x3fff;
        i++;
    }
    return i ? i : 1;
}

/* The shortest beginning of `right` that is greater than `left`. */
static size_t separate(const uint8_t *left, size_t left_size, const uint8_t *right,
                       size_t right_size)
{
    size_t i = 0;

    while (i < left_size && i < right_size && left[i] == right[i]) i++;
    return i < right_size ? i + 1 : right_size;
}

/* The separator for a cut at `at`, written to `to`. */
static size_t choose_separator(struct node n, unsigned at, struct bytes key, uint8_t *to)
{
    uint8_t left[PART_ROOM];
    size_t left_size, size;

    if (at < node_count(n)) {
        size = sdb__node_key(n, at, to);
    } else {
        memcpy(to, key.data, key.size);
        size = key.size;
    }
    if (node_level(n)) return size;
    if (at == 0) return separate(key.data, key.size, to, size);
    left_size = sdb__node_key(n, at - 1, left);
    return separate(left, left_size, to, size);
}

/*
 * Builds the left side of a cut in `scratch`; false when it does not fit (its new fence may be
 * longer).
 */
static bool build_left(struct node n, unsigned at, struct bytes separator, struct node scratch)
{
    struct bytes upper = node_upper(n);

    if (at == 0) { /* then it is the right side that may not fit, for the same reason */
        sdb__node_init(scratch, 0, node_tree(n), node_id(n), separator,
                       node_is_last(n) ? NULL : &upper);
        if (!sdb__node_copy(scratch, n, 0, node_count(n))) return false;
    }
    sdb__node_init(scratch, node_level(n), node_tree(n), node_id(n), node_lower(n), &separator);
    return sdb__node_copy(scratch, n, 0, at);
}

/*
 * Splits `page`, to which slot `slot` of `parent` leads. All are latched exclusively, *right too.
 */
static sdb_status split_page(const struct btree *tree, const struct page *parent, unsigned slot,
                             const struct page *page, struct bytes key, struct page *right)
{
    uint8_t memory[PAGE_SIZE_MOST], separator_room[PART_ROOM], id[NODE_CHILD];
    struct node n = node_of(tree, page), p = node_of(tree, parent), r;
    struct node scratch = {memory, n.size};
    struct bytes separator, upper = node_upper(n);
    unsigned at = choose_cut(n, key, true);

    separator = (struct bytes){separator_room, choose_separator(n, at, key, separator_room)};
    if (!build_left(n, at, separator, scratch)) {
        at = choose_cut(n, key, false);
        separator.size = choose_separator(n, at, key, separator_room);
        if (!build_left(n, at, separator, scratch))
            return FAIL(SDB_CORRUPT, "page %llu cannot be split: run sdb check",
                        (unsigned long long)page->id);
    }
    TRY(sdb__pager_dirty(tree->pager, parent));
    TRY(sdb__pager_dirty(tree->pager, page));
    TRY(sdb__pager_page_new(tree->pager, right));
    r = node_of(tree, right);
    sdb__node_init(r, node_level(n), tree->id, right->id, separator,
                   node_is_last(n) ? NULL : &upper);
    if (!sdb__node_copy(r, n, at, node_count(n))) {
        (void)!sdb__pager_page_free(tree->pager, right);
        return FAIL(SDB_CORRUPT, "page %llu cannot be split: run sdb check",
                    (unsigned long long)page->id);
    }
    put_u64(id, right->id);
    sdb__node_insert(p, slot + 1, separator, NODE_INLINE, (struct bytes){id, NODE_CHILD});
    memcpy(n.data, scratch.data, n.size);
    return SDB_OK;
}

sdb_status sdb__btree_latch_child(const struct btree *tree, const struct page *parent,
                                  unsigned slot, struct page *child)
{
    uint64_t id = node_child(node_of(tree, parent), slot);
    sdb_status status;

    if (id == parent->id)
        return FAIL(SDB_CORRUPT, "page %llu leads to itself: run sdb check, restore a backup",
                    (unsigned long long)id);
    TRY(sdb__pager_latch_exclusive(tree->pager, id, child));
    status = sdb__btree_expect_child(tree, parent, slot, child);
    if (status != SDB_OK) unlatch(tree, child, true);
    return status;
}

/*
 * Lets a full leaf that keys reach in order give cells to the neighbour that they have left behind
 * (btree_shift.c). The neighbour may be the left one, although the leaf is latched: only who has
 * their parent latched exclusively ever waits for one of two neighbours with the other latched.
 */
static sdb_status relieve(const struct btree *tree, const struct page *parent, unsigned slot,
                          const struct page *page, struct bytes key)
{
    struct node n = node_of(tree, page), p = node_of(tree, parent);
    struct page other;
    sdb_status status;
    unsigned at, beside;
    bool found;

    if (node_level(n) > 0 || sdb__node_room(p) < 2 * separator_most(tree)) return SDB_OK;
    at = sdb__node_search(n, key, &found);
    if (at == node_count(n) && slot > 0)
        beside = slot - 1;
    else if (at == 0 && !found && node_count(n) >= CELLS_DESCENDING && slot + 1 < node_count(p))
        beside = slot + 1;
    else
        return SDB_OK;
    if (node_child(p, beside) == page->id) return SDB_OK; /* damaged: the split will say so */
    TRY(sdb__btree_latch_child(tree, parent, beside, &other));
    status = beside < slot ? sdb__btree_shift(tree, parent, beside, &other, page, false)
                           : sdb__btree_shift(tree, parent, slot, page, &other, true);
    unlatch(tree, &other, true);
    return status;
}

/* Enters a layer and, if its root is full, puts a level under it; then *page is the child. */
static sdb_status enter_for_split(const struct btree *tree, struct part *part, unsigned depth,
                                  size_t need, struct page *parent, struct page *page,
                                  bool *out_has_parent)
{
    struct page top;
    sdb_status status;

    TRY(sdb__btree_enter(tree, part, depth, &top));
    *out_has_parent = is_full(tree, node_of(tree, &top), need);
    if (!*out_has_parent) {
        *page = top;
        return SDB_OK;
    }
    *parent = top;
    status = grow_root(tree, &top, page);
    if (status != SDB_OK) unlatch(tree, &top, true);
    return status;
}

sdb_status sdb__btree_split(const struct btree *tree, struct bytes whole, unsigned depth,
                            size_t need)
{
    uint8_t room[PART_ROOM];
    struct part part = {.rest = whole, .room = room};
    struct page parent, page, right, child;
    struct bytes key;
    bool has_parent;
    sdb_status status = enter_for_split(tree, &part, depth, need, &parent, &page, &has_parent);

    if (status != SDB_OK) return status == SDB_NOTFOUND ? SDB_OK : status;
    key = part.here;
    for (;;) {
        struct node n = node_of(tree, &page);

        status = SDB_OK;
        if (has_parent && is_full(tree, n, need)) {
            unsigned slot = sdb__node_route(node_of(tree, &parent), key, false);
            struct bytes lower;

            status = relieve(tree, &parent, slot, &page, key);
            if (status == SDB_OK && !is_full(tree, n, need)) break;
            if (status == SDB_OK) status = split_page(tree, &parent, slot, &page, key, &right);
            if (status != SDB_OK) break;
            lower = node_lower(node_of(tree, &right));
            if (compare_bytes(key.data, key.size, lower.data, lower.size) >= 0) {
                unlatch(tree, &page, true);
                page = right;
            } else {
                unlatch(tree, &right, true);
            }
            n = node_of(tree, &page);
        }
        if (has_parent) unlatch(tree, &parent, true);
        has_parent = false;
        if (node_level(n) == 0) break;
        status = sdb__btree_latch_child(tree, &page, sdb__node_route(n, key, false), &child);
        if (status != SDB_OK) break;
        parent = page;
        has_parent = true;
        page = child;
    }
    if (has_parent) unlatch(tree, &parent, true);
    unlatch(tree, &page, true);
    return status;
}

static bool is_sparse(struct node n)
{
    return sdb__node_used(n) < n.size / 4;
}

/*
 * Latches the child in slot `slot` of `parent` and its right neighbour. SDB_END: the neighbour is
 * the child itself, which only a damaged file has.
 */
static sdb_status latch_pair(const struct btree *tree, const struct page *parent, unsigned slot,
                             struct page *left, struct page *right)
{
    struct node p = node_of(tree, parent);
    uint64_t left_id = node_child(p, slot), right_id = node_child(p, slot + 1);
    sdb_status status;

    if (left_id == right_id)
        return FAIL(SDB_CORRUPT, "page %llu has two places in page %llu: run sdb check, restore "
                    "a backup", (unsigned long long)left_id, (unsigned long long)parent->id);
    TRY(sdb__btree_latch_child(tree, parent, slot, left));
    status = sdb__btree_latch_child(tree, parent, slot + 1, right);
    if (status != SDB_OK) unlatch(tree, left, true);
    return status;
}

/*
 * Puts what `right` holds into `left`, if that leaves an eighth of a page free; frees `right`,
 * which is unlatched in any case. `slot` of the parent leads to left.
 */
static sdb_status merge_pair(const struct btree *tree, const struct page *parent, unsigned slot,
                             const struct page *left, const struct page *right)
{
    uint8_t memory[PAGE_SIZE_MOST];
    struct node l = node_of(tree, left), r = node_of(tree, right);
    struct node scratch = {memory, l.size};
    struct bytes upper = node_upper(r);
    sdb_status status = SDB_OK;

    sdb__node_init(scratch, node_level(l), tree->id, left->id, node_lower(l),
                   node_is_last(r) ? NULL : &upper);
    if (!sdb__node_copy(scratch, l, 0, node_count(l)) ||
        !sdb__node_copy(scratch, r, 0, node_count(r)) || sdb__node_room(scratch) < l.size / 8) {
        unlatch(tree, right, true);
        return SDB_OK;
    }
    status = sdb__pager_dirty(tree->pager, parent);
    if (status == SDB_OK) status = sdb__pager_dirty(tree->pager, left);
    if (status == SDB_OK) status = sdb__pager_dirty(tree->pager, right);
    if (status != SDB_OK) {
        unlatch(tree, right, true);
        return status;
    }
    TRY(sdb__pager_page_free(tree->pager, right));
    memcpy(l.data, scratch.data, l.size);
    sdb__node_remove(node_of(tree, parent), slot + 1);
    return SDB_OK;
}

/*
 * Takes the only child's place: the root holds what the child held. The child is unlatched and
 * freed.
 */
static sdb_status shrink_root(const struct btree *tree, const struct page *root,
                              const struct page *child)
{
    sdb_status status = sdb__pager_dirty(tree->pager, root);
    struct node n = node_of(tree, root), c = node_of(tree, child);
    uint8_t memory[PAGE_SIZE_MOST];

    if (status == SDB_OK) status = sdb__pager_dirty(tree->pager, child);
    if (status != SDB_OK) {
        unlatch(tree, child, true);
        return status;
    }
    memcpy(memory, c.data, c.size);
    TRY(sdb__pager_page_free(tree->pager, child));
    memcpy(n.data, memory, n.size);
    put_u64(n.data + 24, root->id);
    return SDB_OK;
}

/*
 * Merges the child of `parent` that leads to `key` with its right neighbour, and what came of it
 * with its left one, as long as it is sparse. (With one of them alone an empty page could stay
 * behind.)
 */
static sdb_status merge_child(const struct btree *tree, const struct page *parent,
                              struct bytes key)
{
    for (unsigned side = 0; side < 2; side++) {
        struct node p = node_of(tree, parent);
        unsigned slot = sdb__node_route(p, key, false);
        struct page left, right;
        sdb_status status;

        if (side == 0 ? slot + 1 == node_count(p) : slot == 0) continue;
        TRY(latch_pair(tree, parent, slot - side, &left, &right));
        if (is_sparse(node_of(tree, side == 0 ? &left : &right))) {
            status = merge_pair(tree, parent, slot - side, &left, &right);
        } else {
            unlatch(tree, &right, true);
            status = SDB_OK;
        }
        unlatch(tree, &left, true);
        if (status != SDB_OK) return status;
    }
    return SDB_OK;
}

sdb_status sdb__btree_merge(const struct btree *tree, struct bytes whole, unsigned depth)
{
    uint8_t room[PART_ROOM];
    struct part part = {.rest = whole, .room = room};
    struct page page;
    uint64_t root;
    sdb_status status = sdb__btree_enter(tree, &part, depth, &page);

    if (status != SDB_OK) return status == SDB_NOTFOUND ? SDB_OK : status;
    root = page.id;
    while (status == SDB_OK && node_level(node_of(tree, &page)) > 0) {
        struct node n = node_of(tree, &page);
        unsigned slot = sdb__node_route(n, part.here, false);
        struct page child;

        status = sdb__btree_latch_child(tree, &page, slot, &child);
        if (status != SDB_OK) break;
        if (node_count(n) > 1 && is_sparse(node_of(tree, &child))) {
            unlatch(tree, &child, true);
            status = merge_child(tree, &page, part.here);
            if (status != SDB_OK) break;
            slot = sdb__node_route(n, part.here, false);
            status = sdb__btree_latch_child(tree, &page, slot, &child);
            if (status != SDB_OK) break;
        }
        if (page.id == root && node_count(n) == 1) {
            status = shrink_root(tree, &page, &child);
            continue;
        }
        unlatch(tree, &page, true);
        page = child;
    }
    unlatch(tree, &page, true);
    return status;
}
