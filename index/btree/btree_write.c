/* SPDX-License-Identifier: Apache-2.0 */
/*
 * btree_write.c: setting and removing keys; freeing a whole tree.
 *
 * Idea: latch the leaf; if the change fits, make it; if not, let go, make room (btree_balance.c),
 * begin again. A key that comes behind all others, as the one before it did, is put into that one's
 * leaf without a descent.
 * Invariants: I1 the visitor is called once, when nothing can fail any more. I2 a layer's root is
 *   freed only while the leaf that leads to it is latched exclusively, and is empty. I3 the leaf
 *   remembered in last_leaf is, if its version is still the one remembered, the last one of the
 *   tree: whatever makes it another, or cuts it off, latches it exclusively.
 * Costs: one descent; three when a page splits.
 * Not here: what becomes of old values (the visitor knows).
 */
#include <assert.h>
#include <string.h>

#include "engine/base/status.h"
#include "index/btree/btree_inner.h"

enum { EXTENT_PAYLOAD = 16 };

/* The size of a value's form in a leaf. */
static size_t payload_size(const struct btree_value *value)
{
    return (value->is_extent ? EXTENT_PAYLOAD : value->data.size) +
           (value->expiry ? NODE_EXPIRY_HEAD : 0);
}

/* A value's form in a leaf. `room` holds an extent's. */
static struct bytes payload_of(const struct btree_value *value,
                               uint8_t room[NODE_EXPIRY_HEAD + EXTENT_PAYLOAD],
                               enum node_kind *out_kind)
{
    size_t head = value->expiry ? NODE_EXPIRY_HEAD : 0;

    *out_kind = head ? NODE_EXPIRING : value->is_extent ? NODE_EXTENT : NODE_INLINE;
    if (!value->is_extent) {
        if (!head) return value->data;
        assert(get_u64(value->data.data - NODE_EXPIRY_HEAD + 1) == value->expiry);
        return (struct bytes){value->data.data - NODE_EXPIRY_HEAD, payload_size(value)};
    }
    if (head) {
        room[0] = NODE_EXTENT;
        put_u64(room + 1, value->expiry);
    }
    put_u64(room + head, value->extent);
    put_u64(room + head + 8, value->size);
    return (struct bytes){room, payload_size(value)};
}

/* Bytes that a cell takes with its slot. */
static size_t cell_need(struct node n, struct bytes key, size_t payload)
{
    return NODE_SLOT + key.size - node_prefix_size(n) + NODE_VALUE_HEAD + payload;
}

/*
 * Makes the layer that part->here leads to, in a latched leaf. SDB_END: there is no room.
 */
static sdb_status make_layer(const struct btree *tree, const struct page *leaf, unsigned slot,
                             const struct part *part)
{
    struct node n = node_of(tree, leaf);
    uint8_t payload[NODE_CHILD];
    uint64_t root;

    if (sdb__node_room(n) < cell_need(n, part->here, sizeof payload)) return SDB_END;
    TRY(sdb__pager_dirty(tree->pager, leaf));
    TRY(sdb__btree_make(tree->pager, tree->id, &root));
    put_u64(payload, root);
    sdb__node_insert(n, slot, part->here, NODE_LAYER, (struct bytes){payload, sizeof payload});
    return SDB_OK;
}

/* Sets slot `slot` of a latched leaf. SDB_END: there is no room. */
static sdb_status put_here(const struct btree *tree, const struct page *leaf, unsigned slot,
                           bool found, struct bytes key, const struct btree_value *value,
                           btree_visit_fn visit, void *context)
{
    struct node n = node_of(tree, leaf);
    enum node_kind kind, old_kind;
    uint8_t extent[NODE_EXPIRY_HEAD + EXTENT_PAYLOAD];
    struct bytes payload = payload_of(value, extent, &kind), old_payload;
    struct btree_value old;
    size_t room = sdb__node_room(n), need = cell_need(n, key, payload.size);

    if (found) {
        old_payload = node_payload(n, slot, &old_kind);
        old = cell_value(old_kind, old_payload);
        room += cell_need(n, key, old_payload.size);
    }
    if (room < need) return SDB_END;
    TRY(sdb__pager_dirty(tree->pager, leaf));
    TRY(visit(context, found ? &old : NULL));
    if (found)
        sdb__node_replace(n, slot, kind, payload);
    else
        sdb__node_insert(n, slot, key, kind, payload);
    return SDB_OK;
}

void sdb__btree_run_end(struct btree_run *run)
{
    if (run->tree) unlatch(run->tree, &run->leaf, true);
    run->tree = NULL;
}

/* The leaf of a run, if the key belongs there; otherwise the run ends. */
static bool take_run(const struct btree *tree, const struct part *part, struct btree_run *run,
                     struct page *out_leaf)
{
    if (!run || !run->tree) return false;
    if (run->tree == tree && !part->is_long &&
        sdb__btree_holds(node_of(tree, &run->leaf), part->here, false)) {
        *out_leaf = run->leaf;
        run->tree = NULL;
        return true;
    }
    sdb__btree_run_end(run);
    return false;
}

/* ---- keys behind all others --------------------------------------------------------------- */

enum { VERSION_BITS = 24 };

/* Remembers a latched leaf, which is about to be unlatched, as the one that took the last key. */
static void remember_last(const struct btree *tree, const struct page *leaf)
{
    uint64_t version = sdb__pager_version(tree->pager, leaf) + 1;

    if (tree->last_leaf)
        atomic_store_explicit(tree->last_leaf,
                              leaf->id << VERSION_BITS | (version & ((1u << VERSION_BITS) - 1)),
                              memory_order_relaxed);
}

/* Latches the leaf remembered, if the key comes behind all its others. */
static bool latch_last_leaf(const struct btree *tree, struct bytes key, struct page *out_leaf)
{
    uint64_t last = atomic_load_explicit(tree->last_leaf, memory_order_relaxed);
    struct page leaf = {NULL, last >> VERSION_BITS};
    uint64_t version = last & ((1u << VERSION_BITS) - 1);
    struct bytes greatest;
    struct node n; /* what it is, is judged again: versions come back in the end */

    if (last == 0 || sdb__pager_version(tree->pager, &leaf) != version ||
        sdb__pager_latch_exclusive(tree->pager, leaf.id, &leaf) != SDB_OK)
        return false;
    n = node_of(tree, &leaf);
    if (sdb__pager_version(tree->pager, &leaf) == version && node_tree(n) == tree->id &&
        node_level(n) == 0 && node_is_last(n) && node_count(n)) {
        greatest = node_suffix(n, node_count(n) - 1); /* the last leaf has no prefix */
        if (compare_bytes(key.data, key.size, greatest.data, greatest.size) > 0) {
            *out_leaf = leaf;
            return true;
        }
    }
    unlatch(tree, &leaf, true);
    atomic_store_explicit(tree->last_leaf, 0, memory_order_relaxed); /* keys come otherwise */
    return false;
}

/* Puts a key behind all others, if it is one and there is room. SDB_END: nothing was done. */
static sdb_status put_last(const struct btree *tree, struct bytes key,
                           const struct btree_value *value, btree_visit_fn visit, void *context,
                           struct btree_run *run)
{
    struct page leaf;
    sdb_status status;

    if (!tree->last_leaf || key.size > btree_key_most(sdb__pager_page_size(tree->pager)) ||
        !latch_last_leaf(tree, key, &leaf))
        return SDB_END;
    status = put_here(tree, &leaf, node_count(node_of(tree, &leaf)), false, key, value, visit,
                      context);
    if (status == SDB_OK) remember_last(tree, &leaf);
    if (status == SDB_OK && run)
        *run = (struct btree_run){tree, leaf};
    else
        unlatch(tree, &leaf, true);
    return status;
}

/* ---- any key ------------------------------------------------------------------------------ */

/*
 * Puts; *made is the depth (1…) of the deepest layer that was made for the key, 0 if there is none.
 * After every step that lets the leaf go it begins again from the tree's root: a layer may have
 * ended meanwhile.
 */
static sdb_status put(const struct btree *tree, struct bytes key,
                      const struct btree_value *value, btree_visit_fn visit, void *context,
                      struct btree_run *run, unsigned *made)
{
    size_t key_most = btree_key_most(sdb__pager_page_size(tree->pager));
    uint8_t room[PART_ROOM];
    struct part part = {.rest = key, .room = room};
    uint64_t root = tree->root;
    struct page leaf, held;
    unsigned depth = 0;
    bool found;

    for (;;) {
        struct node n;
        unsigned slot;
        size_t need;
        sdb_status status;

        sdb__btree_part_set(&part, key_most, BTREE_NATURAL);
        if (!take_run(tree, &part, run, &leaf))
            TRY(sdb__btree_descend(tree, root, part.here, false, true, depth ? &held : NULL, true,
                                   &leaf));
        n = node_of(tree, &leaf);
        slot = sdb__node_search(n, part.here, &found);
        if (found && part.is_long) {
            enum node_kind kind;

            root = get_u64(node_payload(n, slot, &kind).data);
            part.rest.data += key_most;
            part.rest.size -= key_most;
            held = leaf;
            depth++;
            continue;
        }
        if (part.is_long) {
            need = cell_need(n, part.here, NODE_CHILD);
            status = make_layer(tree, &leaf, slot, &part);
            if (status == SDB_OK) *made = depth + 1;
        } else {
            bool is_last = depth == 0 && node_is_last(n) && slot == node_count(n);

            need = cell_need(n, part.here, payload_size(value));
            status = put_here(tree, &leaf, slot, found, part.here, value, visit, context);
            if (status == SDB_OK && is_last) remember_last(tree, &leaf);
        }
        if (status == SDB_OK && run && depth == 0 && !part.is_long) {
            *run = (struct btree_run){tree, leaf};
            return SDB_OK;
        }
        unlatch(tree, &leaf, true);
        if (status == SDB_END)
            status = sdb__btree_split(tree, key, depth, need);
        else if (!part.is_long)
            return status;
        if (status != SDB_OK) return status;
        part.rest = key;
        root = tree->root;
        depth = 0;
    }
}

sdb_status sdb__btree_drop_layer(const struct btree *tree, struct bytes key, unsigned depth)
{
    size_t key_most = btree_key_most(sdb__pager_page_size(tree->pager));
    uint8_t room[PART_ROOM];
    struct part part = {.rest = key, .room = room};
    uint64_t root = tree->root, above;
    struct page leaf, layer, held;
    bool sparse = false, found;
    sdb_status status = SDB_OK;
    struct node n;
    unsigned slot;

    for (unsigned at = 1;; at++) {
        enum node_kind kind;

        sdb__btree_part_set(&part, key_most, 1);
        TRY(sdb__btree_descend(tree, root, part.here, false, true, at > 1 ? &held : NULL, true,
                               &leaf));
        n = node_of(tree, &leaf);
        slot = sdb__node_search(n, part.here, &found);
        if (!found || !part.is_long) goto out; /* somebody else removed it */
        above = root;
        root = get_u64(node_payload(n, slot, &kind).data);
        if (at == depth) break;
        part.rest.data += key_most;
        part.rest.size -= key_most;
        held = leaf;
    }
    if (root == leaf.id) goto out;
    status = sdb__pager_latch_exclusive(tree->pager, root, &layer);
    if (status != SDB_OK) goto out;
    if (node_level(node_of(tree, &layer)) > 0 || node_count(node_of(tree, &layer)) > 0) {
        unlatch(tree, &layer, true);
        goto out;
    }
    status = sdb__pager_dirty(tree->pager, &leaf);
    if (status == SDB_OK) status = sdb__pager_dirty(tree->pager, &layer);
    if (status == SDB_OK) status = sdb__pager_page_free(tree->pager, &layer);
    else unlatch(tree, &layer, true);
    if (status == SDB_OK) {
        sdb__node_remove(n, slot);
        sparse = leaf.id != above && sdb__node_used(n) < n.size / 4;
    }
out:
    unlatch(tree, &leaf, true);
    if (sparse) return sdb__btree_merge(tree, key, depth - 1);
    return status;
}

sdb_status sdb__btree_put_run(const struct btree *tree, struct bytes key,
                              const struct btree_value *value, btree_visit_fn visit, void *context,
                              struct btree_run *run)
{
    sdb_status status = run && run->tree ? SDB_END
                                         : put_last(tree, key, value, visit, context, run);
    unsigned made = 0;

    if (status != SDB_END) return status;
    status = put(tree, key, value, visit, context, run, &made);
    if (status != SDB_OK) /* layers made for nothing */
        for (; made > 0; made--) (void)!sdb__btree_drop_layer(tree, key, made);
    return status;
}

sdb_status sdb__btree_put(const struct btree *tree, struct bytes key,
                          const struct btree_value *value, btree_visit_fn visit, void *context)
{
    return sdb__btree_put_run(tree, key, value, visit, context, NULL);
}

/*
 * What to do once a key has gone from a leaf at depth `depth`. The change has been made: what fails
 * here leaves room unused, no more, and is no failure of the change.
 */
static void tidy(const struct btree *tree, struct bytes key, unsigned depth, bool sparse,
                 bool empty)
{
    if (sparse && sdb__btree_merge(tree, key, depth) != SDB_OK) return;
    for (; empty && depth > 0; depth--)
        if (sdb__btree_drop_layer(tree, key, depth) != SDB_OK) return;
}

sdb_status sdb__btree_del(const struct btree *tree, struct bytes key, btree_visit_fn visit,
                          void *context)
{
    size_t key_most = btree_key_most(sdb__pager_page_size(tree->pager));
    uint8_t room[PART_ROOM];
    struct part part = {.rest = key, .room = room};
    uint64_t root = tree->root;
    struct page leaf, held;
    unsigned depth = 0;
    bool found;

    for (;; depth++) {
        struct node n;
        enum node_kind kind;
        struct bytes payload;
        struct btree_value old;
        unsigned slot;
        sdb_status status;
        bool sparse, empty;

        sdb__btree_part_set(&part, key_most, BTREE_NATURAL);
        TRY(sdb__btree_descend(tree, root, part.here, false, true, depth ? &held : NULL, true,
                               &leaf));
        n = node_of(tree, &leaf);
        slot = sdb__node_search(n, part.here, &found);
        if (!found) {
            status = visit(context, NULL);
            unlatch(tree, &leaf, true);
            return status;
        }
        payload = node_payload(n, slot, &kind);
        if (part.is_long) {
            root = get_u64(payload.data);
            part.rest.data += key_most;
            part.rest.size -= key_most;
            held = leaf;
            continue;
        }
        old = cell_value(kind, payload);
        status = sdb__pager_dirty(tree->pager, &leaf);
        if (status == SDB_OK) status = visit(context, &old);
        if (status != SDB_OK) {
            unlatch(tree, &leaf, true);
            return status;
        }
        sdb__node_remove(n, slot);
        empty = node_count(n) == 0;
        sparse = leaf.id != root && sdb__node_used(n) < n.size / 4;
        unlatch(tree, &leaf, true);
        tidy(tree, key, depth, sparse, empty);
        return SDB_OK;
    }
}

/* ---- ending a tree ------------------------------------------------------------------------ */

enum { FREE_STEPS = 256, LAYERS_MOST = 65536 / (PAGE_SIZE_LEAST / 16) + 1 };

/* Latches the last leaf of the tree at `root`, and all nodes above it, in path[0…*out_count). */
static sdb_status latch_last(const struct btree *tree, uint64_t root, struct page *path,
                             unsigned *out_count)
{
    unsigned count = 0;
    sdb_status status;

    TRY(sdb__pager_latch_exclusive(tree->pager, root, &path[count++]));
    status = sdb__btree_expect(tree, &path[0], node_level(node_of(tree, &path[0])));
    while (status == SDB_OK && node_level(node_of(tree, &path[count - 1])) > 0) {
        struct node n = node_of(tree, &path[count - 1]);

        uint64_t id = node_child(n, node_count(n) - 1);

        for (unsigned i = 0; i < count; i++)
            if (path[i].id == id)
                status = FAIL(SDB_CORRUPT, "page %llu leads to itself: run sdb check",
                              (unsigned long long)id);
        if (count == DEPTH_MOST)
            status = FAIL(SDB_CORRUPT, "tree %u is impossibly deep: run sdb check", tree->id);
        if (status == SDB_OK)
            status = sdb__pager_latch_exclusive(tree->pager, id, &path[count]);
        if (status != SDB_OK) break;
        count++;
        status = sdb__btree_expect(tree, &path[count - 1], node_level(n) - 1);
    }
    *out_count = count;
    while (status != SDB_OK && count) unlatch(tree, &path[--count], true);
    return status;
}

/*
 * Takes cells off a latched leaf's end, with what they lead to, until it is empty or the last one
 * leads to a layer, whose root is then *out_layer (otherwise 0).
 */
static sdb_status empty_leaf(const struct btree *tree, const struct page *leaf,
                             uint64_t *out_layer)
{
    struct node n = node_of(tree, leaf);

    *out_layer = 0;
    TRY(sdb__pager_dirty(tree->pager, leaf));
    while (node_count(n)) {
        enum node_kind kind;
        struct bytes payload = node_payload(n, node_count(n) - 1, &kind);
        struct extent extent;

        if (kind == NODE_LAYER) {
            *out_layer = get_u64(payload.data);
            return SDB_OK;
        }
        (void)node_take_expiry(&kind, &payload);
        if (kind == NODE_EXTENT) {
            TRY(sdb__pager_extent_detach(tree->pager, get_u64(payload.data),
                                         get_u64(payload.data + 8), &extent));
            sdb__pager_extent_release(tree->pager, &extent);
        }
        sdb__node_remove(n, node_count(n) - 1);
    }
    return SDB_OK;
}

/*
 * Frees the empty last leaf of a path, and the nodes above that are then without children;
 * unlatches all. The root, when nothing is left under it, becomes an empty leaf. A node above that
 * cannot be freed (SDB_NOMEM) is cut off all the same, since it leads nowhere: its page is lost.
 */
static sdb_status free_last(const struct btree *tree, struct page *path, unsigned count)
{
    sdb_status status = SDB_OK, one;
    struct node n;

    for (unsigned i = 0; status == SDB_OK && i < count; i++)
        status = sdb__pager_dirty(tree->pager, &path[i]);
    if (status == SDB_OK) {
        status = sdb__pager_page_free(tree->pager, &path[--count]);
        if (status == SDB_OK) {
            for (; count > 1 && node_count(node_of(tree, &path[count - 1])) == 1; count--) {
                one = sdb__pager_page_free(tree->pager, &path[count - 1]);
                if (one != SDB_OK) status = one;
            }
            n = node_of(tree, &path[count - 1]);
            if (node_count(n) > 1)
                sdb__node_remove(n, node_count(n) - 1);
            else
                sdb__node_init(n, 0, tree->id, path[0].id, (struct bytes){NULL, 0}, NULL);
        }
    }
    while (count) unlatch(tree, &path[--count], true);
    return status;
}

/* Frees the empty root of a layer, and the last cell of the leaf, which leads to it. */
static sdb_status free_layer(const struct btree *tree, uint64_t leaf_id, uint64_t root)
{
    struct page leaf, top;
    sdb_status status;

    TRY(sdb__pager_latch_exclusive(tree->pager, leaf_id, &leaf));
    status = sdb__pager_latch_exclusive(tree->pager, root, &top);
    if (status == SDB_OK) {
        struct node n = node_of(tree, &leaf);

        status = sdb__pager_dirty(tree->pager, &leaf);
        if (status == SDB_OK) status = sdb__pager_dirty(tree->pager, &top);
        if (status == SDB_OK) status = sdb__pager_page_free(tree->pager, &top);
        else unlatch(tree, &top, true);
        if (status == SDB_OK) sdb__node_remove(n, node_count(n) - 1);
    }
    unlatch(tree, &leaf, true);
    return status;
}

/*
 * From the end backwards, so that what is left is a tree. A layer is entered with nothing above it
 * latched (there can be as many layers as the cache has frames): nobody else is there to change it.
 */
sdb_status sdb__btree_free_some(const struct btree *tree, bool *out_done)
{
    uint64_t root = tree->root, roots[LAYERS_MOST], leaves[LAYERS_MOST], layer;
    unsigned depth = 0, steps = 0, count;
    struct page path[DEPTH_MOST];
    sdb_status status;

    *out_done = false;
    while (steps < FREE_STEPS) {
        TRY(latch_last(tree, root, path, &count));
        status = empty_leaf(tree, &path[count - 1], &layer);
        if (status == SDB_OK && layer == 0 && count > 1) {
            TRY(free_last(tree, path, count));
            steps++;
            continue;
        }
        if (status == SDB_OK && layer == 0 && depth == 0) {
            status = sdb__pager_page_free(tree->pager, &path[0]);
            *out_done = status == SDB_OK;
            return status;
        }
        if (layer && depth < LAYERS_MOST) {
            roots[depth] = root;
            leaves[depth] = path[count - 1].id;
        }
        while (count) unlatch(tree, &path[--count], true);
        if (status != SDB_OK) return status;
        if (layer && depth == LAYERS_MOST)
            return FAIL(SDB_CORRUPT, "tree %u has impossibly many layers: run sdb check",
                        tree->id);
        if (layer) {
            depth++;
            root = layer;
        } else {
            depth--;
            TRY(free_layer(tree, leaves[depth], root));
            root = roots[depth];
            steps++;
        }
    }
    return SDB_OK;
}
