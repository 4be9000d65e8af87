/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readset.h: what a serializable transaction has read: disjoint ranges of keys, each of one
 * keyspace.
 *
 * A commit of such a transaction is refused if anything in these ranges was changed by a commit
 * that its snapshot does not see. A key that was looked for is a range with room for nothing else;
 * a cursor adds what lies between two of its positions, whether it found something there or not.
 *
 * Adding never fails: what does not fit into `limit` bytes, or into memory, makes the ranges wider,
 * and in the end one that holds everything. Wider means that a commit may be refused needlessly,
 * never that one is let through.
 *
 * A transaction that is not serializable remembers only enough to tell, with errors on the safe
 * side, whether it has seen a given key: for merges, which conflict just then.
 *
 * One thread at a time.
 */
#ifndef SDB_INDEX_KV_READSET_H
#define SDB_INDEX_KV_READSET_H

#include "engine/base/mem.h"
#include "engine/base/skiplist.h"
#include "index/btree/node.h"

enum { READS_BYTES_MOST = 1024 * 1024, READS_SEEN_WORDS = 32 };

struct read_range;

struct read_set {
    const sdb_allocator *allocator;
    bool active;     /* ranges are remembered */
    bool sees;       /* keys are remembered in `seen` */
    bool everything; /* all there is counts as read */
    size_t limit;    /* bytes; READS_BYTES_MOST */
    size_t bytes;    /* of all ranges */
    struct skiplist ranges; /* by their lower ends; group: keyspace */
    struct read_range *last; /* the one that grew last */
    struct buffer room;
    uint64_t seen[READS_SEEN_WORDS]; /* a Bloom filter with two bits a key */
};

/* From `lower` on: up to and without `upper`, or with it, or (upper not looked at) to the end. */
enum read_end { READ_WITHOUT, READ_WITH, READ_TO_END };

void sdb__reads_init(struct read_set *r, const sdb_allocator *allocator);
/* Forgets everything, and remembers ranges from now on (`active`), or keys (`sees`), or nothing. */
void sdb__reads_reset(struct read_set *r, bool active, bool sees);
void sdb__reads_done(struct read_set *r);

void sdb__reads_add(struct read_set *r, uint32_t keyspace, struct bytes lower, enum read_end end,
                    struct bytes upper);
/* Remembers that a key was seen. */
void sdb__reads_see(struct read_set *r, uint32_t keyspace, struct bytes key);
/* False: the key was not seen. */
bool sdb__reads_may_have_seen(const struct read_set *r, uint32_t keyspace, struct bytes key);

static inline void reads_add_key(struct read_set *r, uint32_t keyspace, struct bytes key)
{
    if (r->active) sdb__reads_add(r, keyspace, key, READ_WITH, key);
    if (r->sees) sdb__reads_see(r, keyspace, key);
}

/*
 * The ranges in order: the one behind `after`, or the first (NULL). NULL: there is none. *out_upper
 * is NULL-data when the range has no end; borrowed until the set changes.
 */
struct read_view {
    uint32_t keyspace;
    bool has_upper;
    struct bytes lower, upper;
};
const struct read_range *sdb__reads_next(const struct read_set *r, const struct read_range *after,
                                         struct read_view *out_view);

#endif
