/* SPDX-License-Identifier: Apache-2.0 */
/* txn.h: a transaction and a committed value from inside; shared by txn.c, read.c and cursor.c. */
#ifndef SDB_INDEX_KV_TXN_H
#define SDB_INDEX_KV_TXN_H

#include "index/kv/database.h"

struct sdb_txn {
    sdb_db *db;
    unsigned flags;
    bool has_snapshot;
    struct snapshot snapshot;
    uint64_t own_ms;          /* the time for own values, if the snapshot has none; 0: not yet */
    struct write_set writes;  /* unindexed for a batch */
    struct read_set reads;    /* kept in a transaction that may write and read */
    struct buffer value;      /* what the last sdb_get lent out */
    sdb_durability durability;
    struct sdb_cursor *cursors; /* open ones */
    struct sdb_cursor *spare;   /* a closed one, for the next to open */
    struct sdb_txn *next_idle;
};

/*
 * SDB_OK if the transaction may read this keyspace: alive, not a batch, not dropped before its
 * snapshot.
 */
SDB_MUST_USE sdb_status sdb__txn_may_read(sdb_txn *txn, const sdb_keyspace *keyspace);

/* The one time of a transaction: what expires by then is not there for it. */
static inline uint64_t txn_now_ms(const sdb_txn *txn)
{
    return txn->snapshot.now_ms ? txn->snapshot.now_ms : txn->own_ms;
}

/*
 * The committed value that is there at `now_ms` for a snapshot (NULL: the newest), into `value`
 * (NULL: only whether there is one). *out_expiry, which may be NULL: its expiry, or 0. SDB_NOTFOUND
 * if none.
 */
SDB_MUST_USE sdb_status sdb__read_entry(sdb_keyspace *keyspace, struct bytes key,
                                        const struct snapshot *snapshot, uint64_t now_ms,
                                        struct buffer *value, uint64_t *out_expiry);

/* The same with the snapshot's own time. */
SDB_MUST_USE sdb_status sdb__read_committed(sdb_keyspace *keyspace, struct bytes key,
                                            const struct snapshot *snapshot,
                                            struct buffer *value);

/* sdb_get, and (NULL: not asked) the value's expiry, 0 for none. */
SDB_MUST_USE sdb_status sdb__txn_get(sdb_txn *txn, sdb_keyspace *keyspace, sdb_slice key,
                                     sdb_slice *out_value, uint64_t *out_expiry);

/* A destination that a value either fits into whole or not at all. */
struct copying {
    sdb_keyspace *keyspace;
    struct bytes key; /* borrowed */
    uint64_t visible; /* the newest visible commit when it began */
    void *to;
    size_t capacity, size;
    const struct btree_value *current; /* the tree's, while it is looked at */
    bool found, is_extent;
};

/* Sets up a copy of the newest committed value. */
void sdb__copy_begin(struct copying *c, sdb_keyspace *keyspace, struct bytes key, void *to,
                     size_t capacity);
/* A btree_visit_fn: an inline value into a struct copying; of a large one, its size. */
SDB_MUST_USE sdb_status sdb__copy_value(void *context, const struct btree_value *value);
/*
 * What sdb_get_copy answers once the tree has: reads a large value, and looks whether the keyspace
 * is still there.
 */
SDB_MUST_USE sdb_status sdb__copy_end(struct copying *c, sdb_status status, size_t *out_size);
/* SDB_LIMIT for a key that is too long. */
SDB_MUST_USE sdb_status sdb__key_judge(sdb_slice key);

/* Cuts open cursors off from their transaction, which is about to end; they can still be closed. */
void sdb__cursors_orphan(sdb_txn *txn);

/* Frees a cursor that is nobody's any more. NULL is allowed. */
void sdb__cursor_free(struct sdb_cursor *cursor);
/*
 * Makes open cursors look anew, from where they stand, at their next step: changes were taken back,
 * so what they passed over may be there again.
 */
void sdb__cursors_unsettle(sdb_txn *txn);

/*
 * Adds a change to the transaction, or (NULL) commits it by itself. `expiry`, of an OP_PUT: 0 for
 * none.
 */
SDB_MUST_USE sdb_status sdb__txn_change(sdb_txn *txn, sdb_keyspace *keyspace, enum op_code code,
                                        sdb_slice key, sdb_slice value, uint64_t expiry);

/* Refuses a change that can never be. `txn` NULL: one without a transaction. */
SDB_MUST_USE sdb_status sdb__txn_may_change(sdb_txn *txn, sdb_keyspace *keyspace, sdb_slice key,
                                            sdb_slice value);

static inline struct bytes bytes_of(sdb_slice slice)
{
    return (struct bytes){slice.data, slice.size};
}

static inline sdb_slice slice_of(struct bytes bytes)
{
    return (sdb_slice){bytes.data, bytes.size};
}

#endif
