/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writeset.h: what a transaction wants changed: operations in order, and an index of the newest one
 * for each key.
 *
 * A batch has no index: it never reads. One thread at a time.
 *
 * What has grown beyond a limit goes to the database file (spill.h), and the chunks and the index
 * begin anew: what they have is newer than all that was spilled.
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
#include "index/kv/spill.h"

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
    uint64_t seq; /* not 0: what it stands behind was spilled, up to before this number */
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
    /* spilling */
    struct pager *pager; /* NULL: all stays in memory */
    _Atomic uint64_t *spilled_bytes; /* the database's counter */
    uint64_t limit_bytes;
    size_t chunk_bytes;  /* capacity of all chunks */
    size_t spilled;      /* operations, of `count`; range_ops and ranges are only what is not */
    struct spill *spill; /* NULL: nothing was */
};

void sdb__writes_init(struct write_set *w, const sdb_allocator *allocator, bool indexed);
/*
 * From now on what takes more than `limit_bytes` of memory is spilled to the pager's file, and
 * added to a counter.
 */
void sdb__writes_may_spill(struct write_set *w, struct pager *pager, uint64_t limit_bytes,
                           _Atomic uint64_t *spilled_bytes);
/* Forgets everything, keeps a little memory for the next use. */
void sdb__writes_reset(struct write_set *w);
void sdb__writes_done(struct write_set *w);

/*
 * Adds an operation. `is_large`: its value will need an extent. A failure (SDB_NOMEM; of spilling,
 * SDB_FULL and others) has added nothing.
 */
SDB_MUST_USE sdb_status sdb__writes_add(struct write_set *w, enum op_code code, uint32_t keyspace,
                                        struct bytes key, struct bytes value, bool is_large);
/* The same for an operation with a time (ops.h; 0: it has none). */
SDB_MUST_USE sdb_status sdb__writes_add_timed(struct write_set *w, const struct op *op,
                                              bool is_large);
/* Adds the deletion of all keys >= lower and < *upper (NULL: to the end). */
SDB_MUST_USE sdb_status sdb__writes_add_range(struct write_set *w, uint32_t keyspace,
                                              struct bytes lower, const struct bytes *upper);
/*
 * Whether a deleted range covers a key, and which: of several, one that reaches far. Keys in it
 * that the set has operations on since are not deleted. covering: of what is in memory.
 */
bool sdb__writes_covers(const struct write_set *w, uint32_t keyspace, struct bytes key,
                        struct write_range *out_range);
const struct write_range *sdb__writes_covering(const struct write_set *w, uint32_t keyspace,
                                               struct bytes key);
/*
 * The newest operation on a key; one that a deleted range covers is as if deleted by itself.
 * SDB_END: none (or not indexed). What operations these and the following calls give is borrowed
 * until the next of them.
 */
SDB_MUST_USE sdb_status sdb__writes_find(const struct write_set *w, uint32_t keyspace,
                                         struct bytes key, struct op *out_op);
/*
 * What counts of a key and is in memory, newest first; NULL: nothing (a deleted range does not come
 * into it).
 */
const struct write_link *sdb__writes_chain(const struct write_set *w, uint32_t keyspace,
                                           struct bytes key);
/* The operation at a link's place. */
struct op sdb__writes_op(const uint8_t *at);
/*
 * The first entry of the keyspace with a key >= key (`behind`: > key), or with `before` the last
 * one < key; SDB_END: none. key.data NULL: from the end.
 */
SDB_MUST_USE sdb_status sdb__writes_seek(const struct write_set *w, uint32_t keyspace,
                                         struct bytes key, bool behind, struct op *out_op);
SDB_MUST_USE sdb_status sdb__writes_seek_before(const struct write_set *w, uint32_t keyspace,
                                                const struct bytes *key, struct op *out_op);
/* True when there are entries, or ranges. */
static inline bool writes_has_entries(const struct write_set *w)
{
    return w->index.count || w->spill;
}
static inline bool writes_has_ranges(const struct write_set *w)
{
    return w->range_ops || (w->spill && w->spill->range_count);
}

SDB_MUST_USE sdb_status sdb__writes_mark(struct write_set *w, uint64_t *out_serial);
SDB_MUST_USE sdb_status sdb__writes_rollback(struct write_set *w, uint64_t serial);

/* ---- writeset_spill.c --------------------------------------------------------------------- */

/* Bytes of memory that the set takes, and would take while it is spilled. */
uint64_t sdb__writes_memory(const struct write_set *w);
/* Spills all that is in memory. On failure it is still there, or in one run more than need be. */
SDB_MUST_USE sdb_status sdb__writes_spill(struct write_set *w);
/* Empties chunks and index. */
void sdb__writes_empty(struct write_set *w);
/*
 * Makes a set ready to be committed: if a part was spilled, all of it is, in the form of the log
 * and in the order of its keys, with `count`, `bytes`, `large`, `merges` and `range_ops` of what is
 * left. Nothing may be added or asked any more. On failure it can only be reset.
 */
SDB_MUST_USE sdb_status sdb__writes_settle(struct write_set *w);

/* The operations of a settled set, piece by piece, as the log has them. Zero-initialise, set w. */
struct write_walk {
    const struct write_set *w;
    const struct write_chunk *chunk; /* that was given last */
    size_t block;                    /* that will be given next */
    struct buffer bytes;
};
/* The next piece; never empty; borrowed until the next call. SDB_END: that was all. */
SDB_MUST_USE sdb_status sdb__writes_next(struct write_walk *walk, uint8_t **out_ops,
                                         size_t *out_size);
void sdb__writes_walk_done(struct write_walk *walk);

#endif
