/* SPDX-License-Identifier: Apache-2.0 */
/* btree_fixture.c */
#include "tests/btree/btree_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"

enum { TREE_ID = 42 };

void grove_init(struct grove *g, struct rig *rig)
{
    *g = (struct grove){.rig = rig, .key_most = btree_key_most(rig->page_size)};
    g->tree = (struct btree){.pager = rig->pager, .id = TREE_ID, .last_leaf = &g->last_leaf};
    OK(sdb__btree_make(rig->pager, TREE_ID, &g->tree.root));
    rig->state.catalog_root = g->tree.root;
}

void grove_done(struct grove *g)
{
    for (size_t i = 0; i < g->count; i++) free(g->entries[i].key);
    free(g->entries);
    memset(g, 0, sizeof *g);
}

size_t grove_find(const struct grove *g, struct bytes key, bool *out_found)
{
    size_t low = 0, high = g->count;

    *out_found = false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct entry *e = &g->entries[middle];
        int order = compare_bytes(e->key, e->key_size, key.data, key.size);

        if (order == 0) {
            *out_found = true;
            return middle;
        }
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

static void fill_value(uint8_t *to, uint64_t seed, uint64_t size)
{
    for (uint64_t i = 0; i < size; i++) to[i] = (uint8_t)(seed * 31 + i * 7 + (i >> 8));
}

/* ---- changing ------------------------------------------------------------------------------ */

struct visit {
    bool refuse;
    unsigned calls;
    bool found;
    struct btree_value old; /* its data is of no use after the visit */
};

static sdb_status look(void *context, const struct btree_value *value)
{
    struct visit *v = context;

    v->calls++;
    v->found = value != NULL;
    if (value) v->old = *value;
    return v->refuse ? SDB_CANCELLED : SDB_OK;
}

/* Gives the extent of an old value up. */
static void release(struct grove *g, const struct visit *v)
{
    struct extent extent;
    sdb_status status;

    if (!v->found || !v->old.is_extent) return;
    do status = sdb__pager_extent_detach(g->rig->pager, v->old.extent, v->old.size, &extent);
    while (status == SDB_NOMEM);
    ck_assert_msg(status == SDB_OK, "%s", sdb_errmsg());
    sdb__pager_extent_release(g->rig->pager, &extent);
}

static sdb_status make_value(struct grove *g, size_t key_size, const uint8_t *bytes,
                             uint64_t size, struct btree_value *out)
{
    struct extent extent;
    sdb_status status;

    if (sdb__btree_is_inline(g->rig->page_size, key_size, size)) {
        *out = (struct btree_value){.data = {bytes, size}};
        return SDB_OK;
    }
    status = sdb__pager_extent_write(g->rig->pager, bytes, size, &extent);
    if (status != SDB_OK) return status;
    *out = (struct btree_value){.is_extent = true, .size = size};
    status = sdb__pager_extent_adopt(g->rig->pager, &extent, &out->extent);
    if (status != SDB_OK) sdb__pager_extent_release(g->rig->pager, &extent);
    return status;
}

static void model_put(struct grove *g, struct bytes key, uint64_t seed, uint64_t size)
{
    bool found;
    size_t i = grove_find(g, key, &found);

    if (!found) {
        if (g->count == g->capacity) {
            g->capacity = g->capacity ? 2 * g->capacity : 64;
            g->entries = realloc(g->entries, g->capacity * sizeof *g->entries);
            ck_assert_ptr_nonnull(g->entries);
        }
        memmove(&g->entries[i + 1], &g->entries[i], (g->count - i) * sizeof *g->entries);
        g->entries[i] = (struct entry){malloc(key.size + 1), key.size, 0, 0};
        ck_assert_ptr_nonnull(g->entries[i].key);
        if (key.size) memcpy(g->entries[i].key, key.data, key.size);
        g->count++;
    }
    g->entries[i].seed = seed;
    g->entries[i].size = size;
}

sdb_status grove_put(struct grove *g, struct bytes key, uint64_t value_size, bool refuse)
{
    struct visit v = {.refuse = refuse};
    uint8_t *bytes = malloc(value_size + 1);
    uint64_t seed = ++g->next_seed;
    struct btree_value value;
    sdb_status status;
    bool found;

    ck_assert_ptr_nonnull(bytes);
    fill_value(bytes, seed, value_size);
    (void)grove_find(g, key, &found);
    status = make_value(g, key.size, bytes, value_size, &value);
    if (status == SDB_OK) {
        status = sdb__btree_put(&g->tree, key, &value, look, &v);
        ck_assert_uint_le(v.calls, 1);
        if (v.calls) ck_assert_int_eq(v.found, found);
        if (status == SDB_OK) {
            ck_assert_uint_eq(v.calls, 1);
            release(g, &v);
            model_put(g, key, seed, value_size);
        } else {
            struct visit unused = {.found = value.is_extent, .old = value};

            release(g, &unused);
        }
    }
    free(bytes);
    return status;
}

sdb_status grove_del(struct grove *g, struct bytes key, bool refuse)
{
    struct visit v = {.refuse = refuse};
    sdb_status status;
    bool found;
    size_t i = grove_find(g, key, &found);

    status = sdb__btree_del(&g->tree, key, look, &v);
    ck_assert_uint_le(v.calls, 1);
    if (v.calls) ck_assert_int_eq(v.found, found);
    if (status != SDB_OK) return status;
    ck_assert_uint_eq(v.calls, 1);
    release(g, &v);
    if (found) {
        free(g->entries[i].key);
        memmove(&g->entries[i], &g->entries[i + 1], (g->count - i - 1) * sizeof *g->entries);
        g->count--;
    }
    return SDB_OK;
}

/* What a cut told of: values are given up at once, roots kept. */
struct cuts {
    struct grove *g;
    uint64_t *roots;
    size_t count, capacity;
};

static sdb_status release_value(void *context, const struct btree_value *value)
{
    struct cuts *cuts = context;
    struct visit v = {.found = true, .old = *value};

    release(cuts->g, &v);
    return SDB_OK;
}

static sdb_status keep_root(void *context, uint64_t root)
{
    struct cuts *cuts = context;

    if (cuts->count == cuts->capacity) {
        cuts->capacity = cuts->capacity ? 2 * cuts->capacity : 16;
        cuts->roots = realloc(cuts->roots, cuts->capacity * sizeof *cuts->roots);
        ck_assert_ptr_nonnull(cuts->roots);
    }
    cuts->roots[cuts->count++] = root;
    return SDB_OK;
}

/* Ends what was cut off. */
static void end_cuts(struct grove *g, struct cuts *cuts)
{
    for (size_t i = 0; i < cuts->count; i++) {
        struct btree part = {.pager = g->tree.pager, .root = cuts->roots[i], .id = g->tree.id};
        bool done = false;

        while (!done) OK(sdb__btree_free_some(&part, &done));
    }
    free(cuts->roots);
}

sdb_status grove_cut(struct grove *g, struct bytes lower, const struct bytes *upper)
{
    struct cuts cuts = {.g = g};
    sdb_status status = sdb__btree_cut(&g->tree, lower, upper, release_value, keep_root, &cuts);
    bool found;
    size_t from = grove_find(g, lower, &found);
    size_t to = upper ? grove_find(g, *upper, &found) : g->count;

    end_cuts(g, &cuts);
    if (status != SDB_OK || from >= to) return status;
    for (size_t i = from; i < to; i++) free(g->entries[i].key);
    memmove(&g->entries[from], &g->entries[to], (g->count - to) * sizeof *g->entries);
    g->count -= to - from;
    return SDB_OK;
}

/* ---- reading ------------------------------------------------------------------------------- */

static void expect_value(struct grove *g, const struct entry *e, const struct btree_value *value)
{
    uint8_t *wanted = malloc(e->size + 1), *read = malloc(e->size + 1);
    struct extent extent;

    ck_assert(wanted && read);
    fill_value(wanted, e->seed, e->size);
    ck_assert_int_ne(value->is_extent,
                     sdb__btree_is_inline(g->rig->page_size, e->key_size, e->size));
    if (!value->is_extent) {
        ck_assert_int_eq(compare_bytes(value->data.data, value->data.size, wanted, e->size), 0);
    } else {
        ck_assert_uint_eq(value->size, e->size);
        if (g->deep_values) {
            OK(sdb__pager_extent_find(g->rig->pager, value->extent, value->size, &extent));
            OK(sdb__pager_extent_read(g->rig->pager, &extent, read));
            ck_assert_mem_eq(wanted, read, e->size);
        }
    }
    free(wanted);
    free(read);
}

struct expectation {
    struct grove *g;
    const struct entry *entry; /* NULL: nothing */
};

static sdb_status compare_visit(void *context, const struct btree_value *value)
{
    struct expectation *e = context;

    ck_assert_int_eq(value != NULL, e->entry != NULL);
    if (value) expect_value(e->g, e->entry, value);
    return SDB_OK;
}

void grove_expect(struct grove *g, struct bytes key)
{
    bool found;
    size_t i = grove_find(g, key, &found);
    struct expectation e = {g, found ? &g->entries[i] : NULL};

    OK(sdb__btree_get(&g->tree, key, compare_visit, &e));
}

/* A reader on its way through the tree. */
struct walk {
    struct grove *g;
    bool backwards;
    size_t at, end; /* the model's next entry; where to stop */
    uint8_t *place_bytes, *key;
    struct btree_place place;
    struct btree_leaf leaf;
};

/* What `place` looks for in the tree of the leaf that was read for it. */
static struct bytes tail_of(struct walk *w, uint8_t *room)
{
    size_t key_most = w->g->key_most, outer = w->leaf.outer_size;
    struct bytes tail = w->place.key;

    if (outer) tail = (struct bytes){tail.data + outer, tail.size - outer};
    if (w->place.layers > w->leaf.layers && tail.size > key_most) {
        memcpy(room, tail.data, key_most);
        room[key_most] = 0;
        tail = (struct bytes){room, key_most + 1};
    }
    return tail;
}

/* Sets the place to the beginning or the end of the layer in slot i of the leaf. */
static void enter_layer(struct walk *w, unsigned i)
{
    size_t outer = w->leaf.outer_size, size, key_most = w->g->key_most;

    if (outer) memmove(w->place_bytes, w->leaf.outer, outer);
    size = sdb__node_key(w->leaf.node, i, w->place_bytes + outer);
    ck_assert_uint_eq(size, key_most + 1);
    ck_assert_uint_eq(w->place_bytes[outer + key_most], 0);
    w->place = (struct btree_place){{w->place_bytes, outer + size}, w->leaf.layers + 1,
                                    w->backwards};
}

/* Compares slot i with the model; false if the walk has to go into a layer first. */
static bool visit_slot(struct walk *w, unsigned i)
{
    enum node_kind kind;
    struct bytes payload = node_payload(w->leaf.node, i, &kind);
    struct btree_value value = {.data = payload};
    const struct entry *e;
    size_t size = w->leaf.outer_size;

    if (kind == NODE_LAYER) {
        enter_layer(w, i);
        return false;
    }
    if (w->at == w->end) return true;
    e = &w->g->entries[w->backwards ? w->at - 1 : w->at];
    w->at = w->backwards ? w->at - 1 : w->at + 1;
    if (size) memcpy(w->key, w->leaf.outer, size);
    size += sdb__node_key(w->leaf.node, i, w->key + size);
    ck_assert_msg(compare_bytes(e->key, e->key_size, w->key, size) == 0,
                  "%s: entry %zu of the model is not what was read", w->backwards ? "back" : "on",
                  w->at);
    if (kind == NODE_EXTENT)
        value = (struct btree_value){.is_extent = true, .extent = get_u64(payload.data),
                                     .size = get_u64(payload.data + 8)};
    expect_value(w->g, e, &value);
    return true;
}

/* Reads one leaf and compares it; false when the walk is over. */
static bool walk_leaf(struct walk *w)
{
    uint8_t room[PAGE_SIZE_MOST / 16 + 1];
    struct bytes tail;
    unsigned i;
    bool found;

    OK(sdb__btree_leaf_read(&w->g->tree, w->place, w->backwards, 0, NULL, NULL, &w->leaf));
    tail = tail_of(w, room);
    i = sdb__node_search(w->leaf.node, tail, &found);
    if (w->place.end && w->leaf.layers == w->place.layers) i = node_count(w->leaf.node);
    if (w->backwards) {
        while (i > 0)
            if (!visit_slot(w, --i)) return true;
        return w->at != w->end && sdb__btree_leaf_before(&w->leaf, w->place_bytes, &w->place);
    }
    for (; i < node_count(w->leaf.node); i++)
        if (!visit_slot(w, i)) return true;
    return w->at != w->end && sdb__btree_leaf_after(&w->leaf, w->place_bytes, &w->place);
}

static void walk(struct grove *g, bool backwards, struct btree_place place, size_t at, size_t end)
{
    static uint8_t rooms[2][2 * GROVE_KEY_MOST];
    struct walk w = {.g = g, .backwards = backwards, .at = at, .end = end, .place = place};

    w.leaf.allocator = &g->rig->memory.allocator;
    w.place_bytes = rooms[0];
    w.key = rooms[1];
    while (walk_leaf(&w)) {
    }
    ck_assert_msg(w.at == end, "%s: the tree ends where the model goes on, at %zu of %zu",
                  backwards ? "back" : "on", w.at, g->count);
    sdb__btree_leaf_done(&w.leaf);
}

void grove_scan(struct grove *g)
{
    struct btree_place begin = {{NULL, 0}, 0, false}, end = {{NULL, 0}, 0, true};

    walk(g, false, begin, 0, g->count);
    walk(g, true, end, g->count, 0);
}

void grove_scan_from(struct grove *g, struct bytes key, size_t most)
{
    struct btree_place place = {key, BTREE_NATURAL, false};
    bool found;
    size_t at = grove_find(g, key, &found);

    walk(g, false, place, at, at + most < g->count ? at + most : g->count);
    walk(g, true, place, at, at > most ? at - most : 0);
}

/* ---- walking every page -------------------------------------------------------------------- */

struct inspection {
    struct grove *g;
    struct grove_census census;
    uint8_t *seen; /* one for each id */
    uint64_t ids;
};

static void inspect(struct inspection *in, uint64_t id, unsigned level, struct bytes lower,
                    const struct bytes *upper, unsigned layers);

static void see(struct inspection *in, uint64_t id)
{
    ck_assert_msg(id && id < in->ids && !in->seen[id], "page %llu is reached twice, or impossible",
                  (unsigned long long)id);
    in->seen[id] = 1;
}

static struct node copy_page(struct inspection *in, uint64_t id)
{
    struct node copy = {malloc(in->g->rig->page_size), in->g->rig->page_size};
    const char *wrong;
    struct page page;

    ck_assert_ptr_nonnull(copy.data);
    OK(sdb__pager_latch_shared(in->g->rig->pager, id, &page));
    memcpy(copy.data, page.data, copy.size);
    sdb__pager_unlatch_shared(in->g->rig->pager, &page);
    wrong = sdb__node_verify(copy.data, copy.size, id);
    ck_assert_msg(!wrong, "page %llu: %s", (unsigned long long)id, wrong);
    ck_assert_uint_eq(node_tree(copy), in->g->tree.id);
    return copy;
}

static void inspect_layer(struct inspection *in, uint64_t root, unsigned layers)
{
    struct node top = copy_page(in, root);
    unsigned level = node_level(top);

    free(top.data);
    in->census.layers++;
    if (layers == 0) in->census.height = level + 1;
    inspect(in, root, level, (struct bytes){NULL, 0}, NULL, layers);
}

static void inspect_leaf(struct inspection *in, struct node n, unsigned layers)
{
    uint64_t bytes = n.size - sdb__node_room(n);

    if (in->census.leaves < 2) in->census.first[in->census.leaves] = bytes;
    in->census.last[0] = in->census.last[1];
    in->census.last[1] = bytes;
    in->census.leaves++;
    in->census.leaf_bytes += bytes;
    for (unsigned i = 0; i < node_count(n); i++) {
        enum node_kind kind;
        struct bytes payload = node_payload(n, i, &kind);

        if (kind == NODE_LAYER) {
            inspect_layer(in, get_u64(payload.data), layers + 1);
            continue;
        }
        in->census.entries++;
        if (kind == NODE_EXTENT) {
            struct extent extent;

            see(in, get_u64(payload.data));
            in->census.extents++;
            OK(sdb__pager_extent_find(in->g->rig->pager, get_u64(payload.data),
                                      get_u64(payload.data + 8), &extent));
        }
    }
}

static void inspect(struct inspection *in, uint64_t id, unsigned level, struct bytes lower,
                    const struct bytes *upper, unsigned layers)
{
    struct node n = copy_page(in, id);
    struct bytes own_lower = node_lower(n), own_upper = node_upper(n);

    see(in, id);
    in->census.pages++;
    ck_assert_uint_eq(node_level(n), level);
    ck_assert_int_eq(compare_bytes(own_lower.data, own_lower.size, lower.data, lower.size), 0);
    ck_assert_int_eq(node_is_last(n), upper == NULL);
    if (upper)
        ck_assert_int_eq(compare_bytes(own_upper.data, own_upper.size, upper->data, upper->size),
                         0);
    if (level == 0) inspect_leaf(in, n, layers);
    for (unsigned i = 0; level > 0 && i < node_count(n); i++) {
        static uint8_t rooms[64][2][PAGE_SIZE_MOST / 16 + 1]; /* by level: layers end in leaves */
        uint8_t *from = rooms[level][0], *to = rooms[level][1];
        struct bytes low = {from, sdb__node_key(n, i, from)}, high = {to, 0};
        bool is_end = i + 1 == node_count(n);

        if (i == 0)
            ck_assert_int_eq(compare_bytes(low.data, low.size, lower.data, lower.size), 0);
        if (!is_end) high.size = sdb__node_key(n, i + 1, to);
        else if (upper) high = own_upper;
        inspect(in, node_child(n, i), level - 1, low, is_end && !upper ? NULL : &high, layers);
    }
    free(n.data);
}

struct grove_census grove_check(struct grove *g, bool alone)
{
    struct pager *p = g->rig->pager;
    struct inspection in = {.g = g, .ids = p->next_id};
    uint64_t seen = 0;

    in.seen = calloc(in.ids, 1);
    ck_assert_ptr_nonnull(in.seen);
    inspect_layer(&in, g->tree.root, 0);
    in.census.layers--; /* the tree itself is none */
    ck_assert_uint_eq(in.census.entries, g->count);
    for (size_t i = 0; i < p->free_id_count; i++) ck_assert(!in.seen[p->free_ids[i]]);
    for (uint64_t id = 1; id < in.ids; id++) seen += in.seen[id];
    if (alone)
        ck_assert_msg(seen + p->free_id_count == in.ids - 1, "%llu pages or extents are lost",
                      (unsigned long long)(in.ids - 1 - seen - p->free_id_count));
    free(in.seen);
    return in.census;
}
