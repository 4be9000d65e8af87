/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writeset.h: what a transaction wants changed: operations in order, and an index of the newest one
 * for each key.
 *
 * A batch has no index: it never reads. One thread at a time.
 *
 * A range that is deleted takes the entries in it out of the index, and is remembered: a key is
 * deleted if a range covers it and the index has no entry, for entries are newer than all ranges.
 *
 * A merge does not replace what is there: the operations of a key that count are its newest one
 * and, below each merge, the one before it.
 */
#ifndef SDB_INDEX_KV_WRITESET_H
#define SDB_INDEX_KV_WRITESET_H

#include "engine/base/mem.h"
#include "engine/base/skiplist.h"
#include "index/kv/ops.h"

/* Operations lie whole in chunks. */
struct write_chunk {
    struct write_chunk *next;
    size_t used, capacity;
    uint8_t data[];
};

/* An operation that counts, and the next older one that does. Behind an entry: the newest. */
struct write_link {
    uint8_t *at;
    struct write_link *before; /* NULL unless this one is a merge */
};

struct write_undo {
    struct skip_node *entry;
    struct write_link before; /* what the entry led to; `at` NULL: there was no entry */
    bool removed;    /* a range took the entry out of the index */
};

/* A deleted range; its bounds are borrowed from its operation. */
struct write_range {
    uint32_t keyspace;
    struct bytes lower, upper;
    bool has_upper;
    size_t number; /* of the range operations before it */
    size_t reach;  /* which one of those up to here, of this keyspace, reaches farthest */
};

struct write_mark {
    uint64_t serial;
    struct write_chunk *chunk;
    size_t used, undo_count, count;
    uint64_t bytes;
    size_t large, range_ops, merges;
};

struct write_set {
    const sdb_allocator *allocator;
    bool indexed;
    struct write_chunk *first, *last;
    size_t count;   /* operations */
    size_t chunks;
    uint64_t bytes; /* of all operations */
    size_t large;   /* operations whose values are too long for a leaf, at most */
    size_t range_ops; /* operations that delete a range */
    size_t merges;  /* operations that merge */
    struct write_range *ranges; /* indexed: range_ops of them, by keyspace and lower bound */
    size_t range_capacity;
    struct skiplist index; /* group: keyspace; behind each node a struct write_link */
    struct arena nodes;
    struct write_undo *undo; /* only kept while there is a savepoint */
    size_t undo_count, undo_capacity;
    struct write_mark *marks;
    size_t mark_count, mark_capacity;
    uint64_t serial;
};

void sdb__writes_init(struct write_set *w, const sdb_allocator *allocator, bool indexed);
/* Forgets everything, keeps a little memory for the next use. */
void sdb__writes_reset(struct write_set *w);
void sdb__writes_done(struct write_set *w);

/* Adds an operation. `is_large`: its value will need an extent. SDB_NOMEM: nothing was added. */
SDB_MUST_USE sdb_status sdb__writes_add(struct write_set *w, enum op_code code, uint32_t keyspace,
                                        struct bytes key, struct bytes value, bool is_large);
/* Adds the deletion of all keys >= lower and < *upper (NULL: to the end). */
SDB_MUST_USE sdb_status sdb__writes_add_range(struct write_set *w, uint32_t keyspace,
                                              struct bytes lower, const struct bytes *upper);
/*
 * A deleted range that covers a key, or NULL: of several, one that reaches farthest. Keys in it
 * that the index has are not deleted.
 */
const struct write_range *sdb__writes_covering(const struct write_set *w, uint32_t keyspace,
                                               struct bytes key);
/*
 * The newest operation on a key; one that a deleted range covers is as if deleted by itself. False:
 * none (or not indexed).
 */
bool sdb__writes_find(const struct write_set *w, uint32_t keyspace, struct bytes key,
                      struct op *out_op);
/* What counts of a key, newest first; NULL: nothing (a deleted range does not come into it). */
const struct write_link *sdb__writes_chain(const struct write_set *w, uint32_t keyspace,
                                           struct bytes key);
/* The operation at a link's place. */
struct op sdb__writes_op(const uint8_t *at);
/*
 * The first entry of the keyspace with a key >= key (`behind`: > key), or with `before` the last
 * one < key; false: none. key.data NULL: from the end.
 */
bool sdb__writes_seek(const struct write_set *w, uint32_t keyspace, struct bytes key, bool behind,
                      struct op *out_op);
bool sdb__writes_seek_before(const struct write_set *w, uint32_t keyspace, const struct bytes *key,
                             struct op *out_op);

SDB_MUST_USE sdb_status sdb__writes_mark(struct write_set *w, uint64_t *out_serial);
SDB_MUST_USE sdb_status sdb__writes_rollback(struct write_set *w, uint64_t serial);

#endif
