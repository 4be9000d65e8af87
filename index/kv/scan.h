/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan.h: the committed entries of a keyspace, in order, as a snapshot sees them.
 *
 * A scan stands at an entry after a call that said SDB_OK. next goes on from a seek or next, prev
 * from a seek_before or prev; to turn round, seek. One thread at a time.
 */
#ifndef SDB_INDEX_KV_SCAN_H
#define SDB_INDEX_KV_SCAN_H

#include "index/kv/database.h"

/* What a key had for the snapshot, copied from the version store together with the leaf. */
struct scan_version {
    struct bytes key;
    enum version_kind kind;
    struct bytes value;
    struct extent extent;
};

struct scan {
    sdb_keyspace *keyspace;
    const struct snapshot *snapshot;
    struct btree_leaf leaf;
    struct btree_ahead ahead;
    struct arena memory; /* of versions */
    struct scan_version *versions; /* in key order */
    size_t version_count, version_capacity;
    unsigned slot;  /* forward: the next one; backward: one past the next one */
    size_t version; /* likewise */
    unsigned cells; /* how many it copies next, if there are as many; 0: whole leaves */
    struct buffer room, bound; /* keys being worked on */
    struct bytes lower, upper; /* of sdb__scan_limit */
    bool has_lower, has_upper;

    /* the entry it stands at; borrowed until the next call */
    struct buffer key;
    struct buffer previous; /* its key before the last step; overwritten by the next one */
    const struct scan_version *from_version; /* NULL: it is the leaf's slot `at` */
    unsigned at;
};

void sdb__scan_init(struct scan *scan, sdb_keyspace *keyspace, const struct snapshot *snapshot);
/* Sets a scan up for another keyspace or snapshot of the same database, keeping its memory. */
void sdb__scan_reset(struct scan *scan, sdb_keyspace *keyspace, const struct snapshot *snapshot);
/*
 * Says that entries < *lower or >= *upper will not be wanted (NULL: there is no such end), so that
 * they are not read ahead; the scan does not end there. Borrowed until the scan is reset, or done.
 */
void sdb__scan_limit(struct scan *scan, const struct bytes *lower, const struct bytes *upper);
/* Waits for what it is reading ahead: to be called when it will not move for long. */
void sdb__scan_rest(struct scan *scan);
void sdb__scan_done(struct scan *scan);

/* To the first entry with a key >= key (`behind`: > key). SDB_END if there is none. */
SDB_MUST_USE sdb_status sdb__scan_seek(struct scan *scan, struct bytes key, bool behind);
/* To the last entry with a key < key; NULL: to the last of all. */
SDB_MUST_USE sdb_status sdb__scan_seek_before(struct scan *scan, const struct bytes *key);
SDB_MUST_USE sdb_status sdb__scan_next(struct scan *scan);
SDB_MUST_USE sdb_status sdb__scan_prev(struct scan *scan);

/*
 * next, or (`before`) prev, of an entry that is the next of the copied leaf and nothing else: false
 * with nothing done if it may be otherwise. *out_value: its value.
 */
bool sdb__scan_step(struct scan *scan, bool before, struct bytes *out_value);

/* The entry's value; a large one is read into `large`. Borrowed like the key. */
SDB_MUST_USE sdb_status sdb__scan_value(struct scan *scan, struct buffer *large,
                                        struct bytes *out_value);

#endif
