/* SPDX-License-Identifier: Apache-2.0 */
/*
 * btree_fixture.h: a tree on a rig (pager_fixture.h), a sorted array that it must agree with,
 * and a checker that walks
 * every page of the tree.
 */
#ifndef SDB_TESTS_BTREE_BTREE_FIXTURE_H
#define SDB_TESTS_BTREE_BTREE_FIXTURE_H

#include "index/btree/btree.h"
#include "tests/pager/pager_fixture.h"

enum { GROVE_KEY_MOST = 65536 };

/* What the model knows of a key; its value's bytes follow from `seed` and `size`. */
struct entry {
    uint8_t *key;
    size_t key_size;
    uint64_t seed, size;
};

struct grove {
    struct rig *rig;
    struct btree tree;
    _Atomic uint64_t last_leaf; /* the tree's; 0 when it gets another pager */
    size_t key_most;
    struct entry *entries; /* in key order */
    size_t count, capacity;
    uint64_t next_seed;
    bool deep_values; /* read the extents of scanned entries, too */
};

/* What the checker counted. */
struct grove_census {
    uint64_t pages, leaves, layers, extents, entries;
    uint64_t leaf_bytes; /* in use by header, fences, slots and cells of leaves */
    uint64_t first[2], last[2]; /* the same, of the tree's first and last two leaves (no layers) */
    unsigned height;
};

/* An empty tree in the rig's pager. */
void grove_init(struct grove *g, struct rig *rig);
/* Frees the model; the tree stays in the rig. */
void grove_done(struct grove *g);

/* Where a key is or would be in the model. */
size_t grove_find(const struct grove *g, struct bytes key, bool *out_found);

/*
 * Sets or removes a key in the tree, and in the model if that succeeded. An old value's extent
 * is released.
 * `refuse`: the visitor says no (SDB_CANCELLED).
 */
sdb_status grove_put(struct grove *g, struct bytes key, uint64_t value_size, bool refuse);
sdb_status grove_del(struct grove *g, struct bytes key, bool refuse);
/* Removes a range from tree and model, and ends what was cut off. */
sdb_status grove_cut(struct grove *g, struct bytes lower, const struct bytes *upper);
/* What the tree says of a key must be what the model says. */
void grove_expect(struct grove *g, struct bytes key);

/* Reads the whole tree forwards and backwards: exactly the model's entries, in order. */
void grove_scan(struct grove *g);
/* Reads forwards from `key`, and backwards from it, at most `most` entries. */
void grove_scan_from(struct grove *g, struct bytes key, size_t most);

/*
 * Walks every page: it verifies, is reached once, has the level and the fences that its parent
 * says, and belongs to
 * the tree; layers hang on keys of key_most + 1 bytes. `alone`: nothing else is in the database,
 * so every id
 * in use was reached.
 */
struct grove_census grove_check(struct grove *g, bool alone);

#endif
