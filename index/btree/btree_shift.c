/* SPDX-License-Identifier: Apache-2.0 */
/*
 * btree_shift.c: moving cells between two leaves, so that keys put in order fill their pages.
 *
 * Idea: a leaf that takes keys at its end gets an upper fence only when it is split. Then its keys
 * share a longer prefix, and room is left in a page to which no more keys come. So before its right
 * neighbour, which now takes the keys, is split, the beginning of that one moves over. For keys in
 * descending order the same holds the other way round.
 *
 *     full  │ 80 %  a1 … a7 │ b1 … b9  full │     b9 comes next
 *     then  │ 99 %  a1 … b3 │ b4 … b9       │     and b10 … find room
 *
 * Invariants: I1 the neighbours keep at least a cell each, and the place of the key that asked for
 *   room stays where it is. I2 nothing is changed before both new pages are known to fit.
 * Costs: two page copies, about once a page that is filled.
 * Not here: evening out neighbours on random work.
 */
#include <string.h>

#include "engine/base/status.h"
#include "index/btree/btree_inner.h"

/* Two leaves as one row of cells; the first `left_count` are the left one's. */
struct row {
    struct node left, right;
    unsigned left_count, count;
};

/* Copies the key of a cell; returns its size. */
static size_t row_key(const struct row *row, unsigned i, uint8_t *to)
{
    return i < row->left_count ? sdb__node_key(row->left, i, to)
                               : sdb__node_key(row->right, i - row->left_count, to);
}

/* Bytes of a cell with its slot, and with the whole key. */
static size_t row_bytes(const struct row *row, unsigned i)
{
    struct node n = i < row->left_count ? row->left : row->right;
    unsigned slot = i < row->left_count ? i : i - row->left_count;
    enum node_kind kind;

    return NODE_SLOT + node_prefix_size(n) + node_suffix(n, slot).size + NODE_VALUE_HEAD +
           node_payload(n, slot, &kind).size;
}

static size_t common_prefix(struct bytes a, struct bytes b)
{
    size_t i = 0;

    while (i < a.size && i < b.size && a.data[i] == b.data[i]) i++;
    return i;
}

/* The shortest key that parts cell `at` from the one before it, in `to`. */
static struct bytes part_at(const struct row *row, unsigned at, uint8_t *to)
{
    uint8_t before[PART_ROOM];
    struct bytes left = {before, row_key(row, at - 1, before)}, right = {to, row_key(row, at, to)};
    size_t size = common_prefix(left, right) + 1;

    if (size < right.size) right.size = size;
    return right;
}

/* Do cells that take so many bytes with whole keys fit between these fences? */
static bool fits(const struct row *row, unsigned cells, size_t bytes, struct bytes lower,
                 const struct bytes *upper)
{
    size_t prefix = upper ? common_prefix(lower, *upper) : 0;

    return NODE_HEADER + lower.size + (upper ? upper->size : 0) + bytes - cells * prefix <=
           row->left.size;
}

/* How many cells the left leaf can have at most, or, with `fill_right`, must have at least. */
static unsigned choose_part(const struct row *row, bool fill_right)
{
    struct bytes lower = node_lower(row->left), upper = node_upper(row->right);
    unsigned best = row->left_count;
    uint8_t room[PART_ROOM];
    size_t bytes = 0;

    for (unsigned i = 0; !fill_right && i < row->left_count; i++) bytes += row_bytes(row, i);
    for (unsigned i = row->left_count; fill_right && i < row->count; i++)
        bytes += row_bytes(row, i);
    for (unsigned at = best + 1; !fill_right && at < row->count; at++) {
        struct bytes part = part_at(row, at, room);

        bytes += row_bytes(row, at - 1);
        if (!fits(row, at, bytes, lower, &part)) break;
        best = at;
    }
    for (unsigned at = best - 1; fill_right && at > 0; at--) {
        struct bytes part = part_at(row, at, room);

        bytes += row_bytes(row, at);
        if (!fits(row, row->count - at, bytes, part,
                  node_is_last(row->right) ? NULL : &upper))
            break;
        best = at;
    }
    return best;
}

/* Builds both leaves anew, parted at `at`; false when they do not fit. */
static bool build(const struct row *row, unsigned at, struct bytes part, struct node left,
                  struct node right)
{
    struct node l = row->left, r = row->right;
    struct bytes upper = node_upper(r);
    unsigned in_left = at < row->left_count ? at : row->left_count, in_right = at - in_left;

    sdb__node_init(left, 0, node_tree(l), node_id(l), node_lower(l), &part);
    sdb__node_init(right, 0, node_tree(r), node_id(r), part, node_is_last(r) ? NULL : &upper);
    return sdb__node_copy(left, l, 0, in_left) && sdb__node_copy(left, r, 0, in_right) &&
           sdb__node_copy(right, l, in_left, row->left_count) &&
           sdb__node_copy(right, r, in_right, node_count(r));
}

sdb_status sdb__btree_shift(const struct btree *tree, const struct page *parent, unsigned slot,
                            const struct page *left, const struct page *right, bool fill_right)
{
    uint8_t left_memory[PAGE_SIZE_MOST], right_memory[PAGE_SIZE_MOST], room[PART_ROOM];
    uint8_t id[NODE_CHILD];
    struct node p = node_of(tree, parent), l = node_of(tree, left), r = node_of(tree, right);
    struct node new_left = {left_memory, l.size}, new_right = {right_memory, r.size};
    struct row row = {l, r, node_count(l), node_count(l) + node_count(r)};
    struct bytes part;
    unsigned at;
    size_t moved = 0;

    if (node_count(l) == 0 || node_count(r) == 0) return SDB_OK;
    at = choose_part(&row, fill_right);
    for (unsigned i = row.left_count; i < at; i++) moved += row_bytes(&row, i);
    for (unsigned i = at; i < row.left_count; i++) moved += row_bytes(&row, i);
    if (moved < l.size / 32) return SDB_OK; /* as full as it will be */
    part = part_at(&row, at, room);
    if (!build(&row, at, part, new_left, new_right)) return SDB_OK;
    TRY(sdb__pager_dirty(tree->pager, parent));
    TRY(sdb__pager_dirty(tree->pager, left));
    TRY(sdb__pager_dirty(tree->pager, right));
    put_u64(id, right->id);
    sdb__node_remove(p, slot + 1);
    sdb__node_insert(p, slot + 1, part, NODE_INLINE, (struct bytes){id, NODE_CHILD});
    memcpy(l.data, new_left.data, l.size);
    memcpy(r.data, new_right.data, r.size);
    return SDB_OK;
}
