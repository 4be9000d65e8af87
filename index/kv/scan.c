/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan.c
 *
 * Idea: a leaf and the versions of its keys are copied at one instant (under the leaf's latch);
 * what the snapshot sees in that range is then fixed for good, and is merged from the two copies
 * without any latch.
 *
 *     leaf      a=3   c=1   e=9          at snapshot 5:  a=2 (version), c=1, d=7 (version: deleted
 *     since),
 *     versions  a:2   d:7   e:absent                     e is not there yet
 *
 * Who seeks may want one entry, or all: so a scan copies a few cells first, twice as many each time
 * that it comes to their end, and in the end whole leaves. All parts of a copy are of the same
 * instant: the leaf has not changed since the first, or it is read anew.
 *
 * A cell that leads to a layer of longer keys is entered when the scan comes to it, by seeking anew
 * from the root: the layer may be gone by then, and its keys be among the versions of the leaf
 * around it.
 * Invariants: I1 keys come strictly in order. I2 every key that the snapshot sees comes exactly
 *   once: a copy says all about the keys between its fences, and the next begins where it ends.
 * Costs: a page copy a leaf (a few cells, at a seek), a key copy an entry; some dozens of
 * instructions for an entry with nothing special about it (sdb__scan_step). Not here: a
 * transaction's own changes (cursor.c).
 */
#include "index/kv/scan.h"

#include <assert.h>
#include <string.h>

#include "engine/base/mutant.h"
#include "engine/base/status.h"
#include "index/kv/txn.h"

enum { CELLS_FIRST = 4, CELLS_MOST = 32 };

void sdb__scan_init(struct scan *scan, sdb_keyspace *keyspace, const struct snapshot *snapshot)
{
    const sdb_allocator *allocator = keyspace->db->allocator;

    *scan = (struct scan){.keyspace = keyspace, .snapshot = snapshot,
                          .leaf = {.allocator = allocator},
                          .ahead = {.allocator = allocator}, .memory = {.allocator = allocator}};
}

void sdb__scan_reset(struct scan *scan, sdb_keyspace *keyspace, const struct snapshot *snapshot)
{
    scan->keyspace = keyspace;
    scan->snapshot = snapshot;
    scan->version_count = 0;
    scan->from_version = NULL;
    scan->key.size = 0;
    scan->has_lower = scan->has_upper = false;
}

void sdb__scan_limit(struct scan *scan, const struct bytes *lower, const struct bytes *upper)
{
    scan->has_lower = lower != NULL;
    if (lower) scan->lower = *lower;
    scan->has_upper = upper != NULL;
    if (upper) scan->upper = *upper;
}

void sdb__scan_rest(struct scan *scan)
{
    sdb__btree_ahead_stop(&scan->ahead);
}

void sdb__scan_done(struct scan *scan)
{
    const sdb_allocator *allocator = scan->keyspace->db->allocator;

    sdb__btree_ahead_done(&scan->ahead);
    sdb__btree_leaf_done(&scan->leaf);
    sdb__arena_done(&scan->memory);
    sdb__mem_free(allocator, scan->versions);
    sdb__buffer_done(allocator, &scan->room);
    sdb__buffer_done(allocator, &scan->bound);
    sdb__buffer_done(allocator, &scan->key);
    sdb__buffer_done(allocator, &scan->previous);
}

static const sdb_allocator *allocator_of(const struct scan *scan)
{
    return scan->keyspace->db->allocator;
}

static sdb_status copy_bytes(struct scan *scan, const void *data, size_t size, struct bytes *out)
{
    void *copy = sdb__arena_alloc(&scan->memory, size ? size : 1);

    if (!copy) return SDB_NOMEM;
    if (size) memcpy(copy, data, size);
    *out = (struct bytes){copy, size};
    return SDB_OK;
}

static sdb_status add_version(void *context, struct bytes key, const struct version *version)
{
    struct scan *scan = context;
    struct scan_version *v;

    TRY(sdb__mem_reserve(allocator_of(scan), &scan->versions, &scan->version_capacity,
                         scan->version_count + 1, sizeof *scan->versions));
    v = &scan->versions[scan->version_count];
    *v = (struct scan_version){.kind = version->kind, .extent = version->extent};
    if (is_gone(version->expiry, scan->snapshot->now_ms)) v->kind = VERSION_ABSENT;
    TRY(copy_bytes(scan, key.data, key.size, &v->key));
    TRY(copy_bytes(scan, version->data, version->size, &v->value));
    scan->version_count++;
    return SDB_OK;
}

/* Under the latch of the leaf being copied: the versions of the keys between its fences. */
static sdb_status gather(void *context, const struct btree_leaf *leaf)
{
    struct scan *scan = context;
    struct versions *versions = &scan->keyspace->db->versions;
    struct bytes outer = {leaf->outer, leaf->outer_size}, lower = node_lower(leaf->node), upper;
    /* of a layer's keys: the key that is just `outer` is not in it */
    static const uint8_t least[1] = {0};

    scan->version_count = 0;
    if (atomic_load_explicit(&versions->count, memory_order_acquire) == 0) return SDB_OK;
    sdb__arena_reset(&scan->memory);
    if (outer.size && !lower.size) lower = (struct bytes){least, sizeof least};
    scan->bound.size = 0;
    TRY(sdb__buffer_append(allocator_of(scan), &scan->bound, outer.data, outer.size));
    TRY(sdb__buffer_append(allocator_of(scan), &scan->bound, lower.data, lower.size));
    upper = node_upper(leaf->node);
    TRY(sdb__buffer_append(allocator_of(scan), &scan->bound, outer.data, outer.size));
    TRY(sdb__buffer_append(allocator_of(scan), &scan->bound, upper.data, upper.size));
    lower = (struct bytes){scan->bound.data, outer.size + lower.size};
    upper = (struct bytes){scan->bound.data + lower.size, outer.size + upper.size};
    return sdb__versions_walk(versions, scan->keyspace->tree.id, outer, lower,
                              node_is_last(leaf->node) ? NULL : &upper, scan->snapshot->commit,
                              add_version, scan);
}

/* The first version whose key is >= key. */
static size_t find_version(const struct scan *scan, struct bytes key, bool *out_found)
{
    size_t low = 0, high = scan->version_count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        struct bytes at = scan->versions[middle].key;

        if (compare_bytes(at.data, at.size, key.data, key.size) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *out_found = low < scan->version_count && scan->versions[low].key.size == key.size &&
                 (key.size == 0 ||
                  memcmp(scan->versions[low].key.data, key.data, key.size) == 0);
    return low;
}

/*
 * Copies the leaf at `place`, at most `most` cells of it (0: all), and stands between what is < and
 * what is >= place.key (`behind`: > it).
 */
static sdb_status load(struct scan *scan, struct btree_place place, bool before, bool behind,
                       unsigned most)
{
    bool found;

    TRY(sdb__btree_leaf_read(&scan->keyspace->tree, place, before, most, gather, scan,
                             &scan->leaf));
    scan->slot = scan->leaf.slot;
    if (scan->leaf.found && behind) scan->slot++;
    scan->version = find_version(scan, place.key, &found);
    if (found && behind) scan->version++;
    return SDB_OK;
}

/* How many cells to copy this time. */
static unsigned next_cells(struct scan *scan)
{
    unsigned cells = scan->cells;

    scan->cells = cells < CELLS_MOST ? 2 * cells : 0;
    return cells;
}

/* The same for the leaf that follows in the direction of the scan. */
static sdb_status load_next(struct scan *scan, struct btree_place place, bool before)
{
    if (scan->leaf.layers == 0)
        btree_ahead_step(&scan->keyspace->tree, place, before, &scan->ahead);
    return load(scan, place, before, false, next_cells(scan));
}

/* Makes `key` the entry's key: that of a slot. */
static sdb_status set_slot_key(struct scan *scan, unsigned slot, struct buffer *key)
{
    struct node n = scan->leaf.node;
    size_t outer = scan->leaf.outer_size;

    TRY(sdb__buffer_reserve(allocator_of(scan), key,
                            outer + node_prefix_size(n) + node_suffix(n, slot).size + 1));
    if (outer) memcpy(key->data, scan->leaf.outer, outer);
    key->size = outer + sdb__node_key(n, slot, key->data + outer);
    return SDB_OK;
}

static bool is_layer(const struct scan *scan, unsigned slot)
{
    enum node_kind kind;

    (void)node_payload(scan->leaf.node, slot, &kind);
    return kind == NODE_LAYER;
}

/*
 * True when a slot's value has expired for the snapshot. One that knows of no expiries costs a
 * branch.
 */
static bool slot_is_gone(const struct scan *scan, unsigned slot)
{
    struct bytes payload;
    enum node_kind kind;

    if (scan->snapshot->now_ms == 0) return false;
    payload = node_payload(scan->leaf.node, slot, &kind);
    return is_gone(node_take_expiry(&kind, &payload), scan->snapshot->now_ms);
}

/* The key that was written to `previous` becomes the entry's. */
static void take_key(struct scan *scan)
{
    struct buffer key = scan->previous;

    scan->previous = scan->key;
    scan->key = key;
}

static sdb_status stand_at_slot(struct scan *scan, unsigned slot)
{
    TRY(set_slot_key(scan, slot, &scan->previous));
    take_key(scan);
    scan->from_version = NULL;
    scan->at = slot;
    return SDB_OK;
}

static sdb_status stand_at_version(struct scan *scan, const struct scan_version *version)
{
    scan->previous.size = 0;
    TRY(sdb__buffer_append(allocator_of(scan), &scan->previous, version->key.data,
                           version->key.size));
    take_key(scan);
    scan->from_version = version;
    return SDB_OK;
}

/* Memory for any key that leaf_after and leaf_before may write. */
static sdb_status ready_room(struct scan *scan)
{
    return sdb__buffer_reserve(allocator_of(scan), &scan->room,
                               scan->leaf.outer_size + scan->leaf.node.size / 8 + 8);
}

/* A slot's key in `room`, as a place of its own. */
static sdb_status slot_place(struct scan *scan, unsigned slot, struct btree_place *out)
{
    TRY(set_slot_key(scan, slot, &scan->room));
    *out = (struct btree_place){{scan->room.data, scan->room.size}, BTREE_NATURAL, false};
    return SDB_OK;
}

/*
 * The key of a slot, or of a version if that is further along in the direction of the scan: what
 * has been passed last. A slot or version that is not there (`has_…` false) does not count.
 */
static sdb_status passed_place(struct scan *scan, bool has_slot, unsigned slot, bool has_version,
                               size_t version, int direction, struct btree_place *out)
{
    struct bytes at = has_version ? scan->versions[version].key : (struct bytes){NULL, 0};

    scan->room.size = 0;
    if (has_slot) TRY(set_slot_key(scan, slot, &scan->room));
    if (has_version &&
        (!has_slot || direction * compare_bytes(at.data, at.size, scan->room.data,
                                                scan->room.size) > 0)) {
        scan->room.size = 0;
        TRY(sdb__buffer_append(allocator_of(scan), &scan->room, at.data, at.size));
    }
    *out = (struct btree_place){{scan->room.data, scan->room.size}, BTREE_NATURAL, false};
    return SDB_OK;
}

/*
 * Copies more of the leaf, now that the scan has come to cells that were left out; if the leaf has
 * changed, reads it whole, from where the scan is. There is a cell that was copied: it has been
 * passed.
 */
static sdb_status load_more(struct scan *scan, bool before)
{
    struct btree_place place;

    if (before)
        TRY(passed_place(scan, scan->slot < scan->leaf.to, scan->slot,
                         scan->version < scan->version_count, scan->version, -1, &place));
    else
        TRY(passed_place(scan, scan->slot > scan->leaf.from, scan->slot - 1, scan->version > 0,
                         scan->version - 1, 1, &place));
    if (sdb__btree_leaf_more(&scan->keyspace->tree, before, next_cells(scan), &scan->leaf))
        return SDB_OK;
    return load(scan, place, before, !before, 0);
}

static bool begins_with(struct bytes key, struct bytes prefix)
{
    return key.size >= prefix.size &&
           (prefix.size == 0 || memcmp(key.data, prefix.data, prefix.size) == 0);
}

/*
 * Goes past the versions of all keys that a layer holds, or held: those that begin with place.key
 * but its last byte.
 */
static void skip_layer(struct scan *scan, struct btree_place place)
{
    struct bytes beginning = {place.key.data, place.key.size - 1};

    while (scan->version < scan->version_count &&
           begins_with(scan->versions[scan->version].key, beginning))
        scan->version++;
}

sdb_status sdb__scan_next(struct scan *scan)
{
    for (;;) {
        bool has_slot = scan->slot < node_count(scan->leaf.node);
        bool has_version = scan->version < scan->version_count;
        const struct scan_version *v = has_version ? &scan->versions[scan->version] : NULL;
        struct btree_place place;
        int order = has_slot ? -1 : 1; /* slot's key against version's */

        if (has_slot && scan->slot >= scan->leaf.to) {
            TRY(load_more(scan, false));
            continue;
        }
        if (!has_slot && !has_version) {
            unsigned layers = scan->leaf.layers;

            TRY(ready_room(scan));
            if (!sdb__btree_leaf_after(&scan->leaf, scan->room.data, &place)) return SDB_END;
            TRY(load_next(scan, place, false));
            if (place.layers < layers) skip_layer(scan, place); /* the layer told of them */
            continue;
        }
        if (has_slot && has_version) {
            TRY(slot_place(scan, scan->slot, &place));
            order = compare_bytes(place.key.data, place.key.size, v->key.data, v->key.size);
        }
        if (has_slot && order <= 0 && is_layer(scan, scan->slot)) {
            TRY(slot_place(scan, scan->slot, &place));
            TRY(load(scan, place, false, false, 0));
            continue;
        }
        if (order < 0) {
            if (!slot_is_gone(scan, scan->slot++)) return stand_at_slot(scan, scan->slot - 1);
            continue;
        }
        if (order == 0) scan->slot++;
        scan->version++;
        if (v->kind != VERSION_ABSENT) return stand_at_version(scan, v);
    }
}

/* Copies what is mostly short, without a call. */
static inline uint8_t *put_bytes(uint8_t *to, struct bytes from)
{
    if (from.size > 16) {
        memcpy(to, from.data, from.size);
    } else if (from.size >= 8) {
        memcpy(to, from.data, 8);
        memcpy(to + from.size - 8, from.data + from.size - 8, 8);
    } else if (from.size >= 4) {
        memcpy(to, from.data, 4);
        memcpy(to + from.size - 4, from.data + from.size - 4, 4);
    } else {
        for (size_t i = 0; i < from.size; i++) to[i] = from.data[i];
    }
    return to + from.size;
}

bool sdb__scan_step(struct scan *scan, bool before, struct bytes *out_value)
{
    const struct btree_leaf *leaf = &scan->leaf;
    struct bytes payload, beginning, suffix;
    enum node_kind kind;
    unsigned slot = scan->slot - before;
    uint8_t *end;

    if (before ? scan->slot <= leaf->from || scan->version > 0
               : slot >= leaf->to || (scan->version < scan->version_count &&
                                      !MUTANT(step_passes_versions)))
        return false;
    payload = node_payload(leaf->node, slot, &kind);
    if (kind != NODE_INLINE) return false;
    beginning = (struct bytes){node_lower(leaf->node).data, node_prefix_size(leaf->node)};
    suffix = node_suffix(leaf->node, slot);
    if (leaf->outer_size + beginning.size + suffix.size >= scan->previous.capacity) return false;
    end = put_bytes(scan->previous.data, (struct bytes){leaf->outer, leaf->outer_size});
    end = put_bytes(put_bytes(end, beginning), suffix);
    scan->previous.size = (size_t)(end - scan->previous.data);
    take_key(scan);
    scan->from_version = NULL;
    scan->at = slot;
    scan->slot = before ? slot : slot + 1;
    *out_value = payload;
    return true;
}

/*
 * Goes to the end of the layer whose cell's key is place.key, or, if the layer has gone meanwhile,
 * to where it was in the leaf around it, behind all versions that would be in it.
 */
static sdb_status enter_layer_end(struct scan *scan, struct btree_place place)
{
    unsigned layers = scan->leaf.layers;

    place.layers = layers + 1;
    place.end = true;
    TRY(load(scan, place, true, false, 0));
    if (scan->leaf.layers > layers) {
        scan->slot = node_count(scan->leaf.node);
        scan->version = scan->version_count;
        return SDB_OK;
    }
    skip_layer(scan, place);
    return SDB_OK;
}

sdb_status sdb__scan_prev(struct scan *scan)
{
    for (;;) {
        bool has_slot = scan->slot > 0, has_version = scan->version > 0;
        const struct scan_version *v = has_version ? &scan->versions[scan->version - 1] : NULL;
        struct btree_place place;
        int order = has_slot ? 1 : -1; /* slot's key against version's */

        if (has_slot && scan->slot <= scan->leaf.from) {
            TRY(load_more(scan, true));
            continue;
        }
        if (!has_slot && !has_version) {
            TRY(ready_room(scan));
            if (!sdb__btree_leaf_before(&scan->leaf, scan->room.data, &place)) return SDB_END;
            TRY(load_next(scan, place, true));
            continue;
        }
        if (has_slot && (has_version || is_layer(scan, scan->slot - 1)))
            TRY(slot_place(scan, scan->slot - 1, &place));
        if (has_slot && has_version)
            order = compare_bytes(place.key.data, place.key.size, v->key.data, v->key.size);
        if (has_slot && is_layer(scan, scan->slot - 1) &&
            (order >= 0 || begins_with(v->key, (struct bytes){place.key.data,
                                                              place.key.size - 1}))) {
            TRY(enter_layer_end(scan, place));
            continue;
        }
        if (order > 0) {
            if (!slot_is_gone(scan, --scan->slot)) return stand_at_slot(scan, scan->slot);
            continue;
        }
        if (order == 0) scan->slot--;
        scan->version--;
        if (v->kind != VERSION_ABSENT) return stand_at_version(scan, v);
    }
}

sdb_status sdb__scan_seek(struct scan *scan, struct bytes key, bool behind)
{
    sdb__btree_ahead_begin(&scan->keyspace->tree, scan->has_upper ? &scan->upper : NULL,
                           &scan->ahead);
    scan->cells = CELLS_FIRST;
    TRY(load(scan, (struct btree_place){key, BTREE_NATURAL, false}, false, behind,
             next_cells(scan)));
    return sdb__scan_next(scan);
}

sdb_status sdb__scan_seek_before(struct scan *scan, const struct bytes *key)
{
    sdb__btree_ahead_begin(&scan->keyspace->tree, scan->has_lower ? &scan->lower : NULL,
                           &scan->ahead);
    scan->cells = CELLS_FIRST;
    if (key) {
        TRY(load(scan, (struct btree_place){*key, BTREE_NATURAL, false}, true, false,
                 next_cells(scan)));
    } else {
        TRY(load(scan, (struct btree_place){{NULL, 0}, 0, true}, true, false, 0));
        scan->slot = node_count(scan->leaf.node);
        scan->version = scan->version_count;
    }
    return sdb__scan_prev(scan);
}

sdb_status sdb__scan_value(struct scan *scan, struct buffer *large, struct bytes *out_value)
{
    const struct scan_version *v = scan->from_version;
    struct bytes key = {scan->key.data, scan->key.size};
    enum node_kind kind;

    if (v && v->kind == VERSION_INLINE) {
        *out_value = v->value;
        return SDB_OK;
    }
    if (!v) {
        struct bytes payload = node_payload(scan->leaf.node, scan->at, &kind);

        (void)node_take_expiry(&kind, &payload);
        if (kind == NODE_INLINE) {
            *out_value = payload;
            return SDB_OK;
        }
        /*
         * The extent may have another owner by now; the snapshot's own value is found by its key.
         */
        TRY(sdb__read_committed(scan->keyspace, key, scan->snapshot, large));
    } else {
        TRY(sdb__buffer_reserve(allocator_of(scan), large, (size_t)v->extent.size));
        TRY(sdb__pager_extent_read(scan->keyspace->db->pager, &v->extent, large->data));
        large->size = (size_t)v->extent.size;
    }
    *out_value = (struct bytes){large->data, large->size};
    return SDB_OK;
}
