/* SPDX-License-Identifier: Apache-2.0 */
/*
 * versions.h: old values that open snapshots still need.
 *
 * Trees hold only the newest committed state. A commit that changes a key while a snapshot older
 * than it is open puts here what the key had before. A reader with snapshot s takes the oldest
 * version whose commit is > s; if there is none, the tree's value is right. Both are looked at
 * under the latch of the key's leaf, under which commits change both: so they always fit together.
 */
#ifndef SDB_INDEX_KV_VERSIONS_H
#define SDB_INDEX_KV_VERSIONS_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/base/skiplist.h"
#include "engine/pager/pager.h"
#include "index/btree/btree.h"

enum version_kind { VERSION_ABSENT, VERSION_INLINE, VERSION_EXTENT };

struct version_key;

/* What a key had before commit `commit` changed it. */
struct version {
    struct version *newer;      /* of the same key */
    struct version *next;       /* in commit order, over all keys */
    struct version_key *key;
    uint64_t commit;
    enum version_kind kind;
    struct extent extent;       /* VERSION_EXTENT: detached, ours to release */
    size_t size;                /* VERSION_INLINE: of data */
    uint64_t expiry;            /* 0: none */
    uint8_t data[];
};

struct versions {
    const sdb_allocator *allocator;
    struct pager *pager;
    pthread_rwlock_t lock;
    struct skiplist keys; /* group: keyspace */
    struct version *oldest, *newest;
    _Atomic uint64_t count, bytes;
};

void sdb__versions_init(struct versions *v, const sdb_allocator *allocator, struct pager *pager);
void sdb__versions_done(struct versions *v);

/*
 * Remembers what a key had (NULL: nothing) before `commit`. An extent is detached from its id and
 * kept.
 */
SDB_MUST_USE sdb_status sdb__versions_add(struct versions *v, uint32_t keyspace, struct bytes key,
                                          uint64_t commit, const struct btree_value *old);

/* Drops the versions of commits <= limit: no snapshot is older. */
void sdb__versions_prune(struct versions *v, uint64_t limit);

/* The number of the newest commit that left a version of this key; 0 if none is kept. */
uint64_t sdb__versions_newest(struct versions *v, uint32_t keyspace, struct bytes key);

/* True when a commit newer than `since` left a version of a key >= lower and < *upper (or NULL). */
bool sdb__versions_touched(struct versions *v, uint32_t keyspace, struct bytes lower,
                           const struct bytes *upper, uint64_t since);

/*
 * What the key had for a snapshot: called under the store's lock, with NULL when the tree's value
 * is right. What it says is the answer.
 */
typedef sdb_status (*version_fn)(void *context, struct bytes key, const struct version *version);
sdb_status sdb__versions_read(struct versions *v, uint32_t keyspace, struct bytes key,
                              uint64_t snapshot, version_fn fn, void *context);

/*
 * Calls fn for each key of the keyspace in [lower, upper) (upper NULL: no end) that begins with
 * `prefix` and for which the snapshot needs a version, in order.
 */
sdb_status sdb__versions_walk(struct versions *v, uint32_t keyspace, struct bytes prefix,
                              struct bytes lower, const struct bytes *upper, uint64_t snapshot,
                              version_fn fn, void *context);

#endif
