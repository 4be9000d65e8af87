/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spill.h: the part of a transaction's changes that does not fit into memory.
 *
 * When a write set (writeset.h) has grown to its limit, its operations are sorted by key and
 * written to the database file as a *run*: extents without an id, which nobody but the transaction
 * knows, so that a crash or an abort leaves nothing behind. Each operation has a *sequence number*,
 * its place among all that the transaction did: of several on one key the highest counts, and a
 * deleted range hides what has a lower one than its own. What a savepoint takes back are all
 * operations from a number on; they are *forgotten*: passed over when read, dropped when copied.
 *
 *   a run         operations by keyspace, key, sequence number, in *blocks*
 *   a block       an extent of about SPILL_BLOCK bytes: for each operation its sequence number
 *                 (varint) and the operation (ops.h); an operation too large for it has a block of
 *                 its own, without the number
 *   a fence       bytes > all keys before a block and <= all in it; they and the places of the
 *                 blocks are all that stays in memory
 *
 * Runs are merged SPILL_FAN at a time, so a key is looked for in some tens of them at most. Before
 * the commit all are merged into one that is as the log wants it: deleted ranges, then for each key
 * what counts, without sequence numbers, in blocks of SPILL_LAST bytes.
 *
 * One thread at a time.
 */
#ifndef SDB_INDEX_KV_SPILL_H
#define SDB_INDEX_KV_SPILL_H

#include <stdatomic.h>

#include "engine/base/mem.h"
#include "engine/pager/pager.h"
#include "index/kv/ops.h"

enum { SPILL_BLOCK = 32 * 1024, SPILL_LAST = 256 * 1024, SPILL_FAN = 16 };

struct spill_block {
    struct extent extent;
    struct extent more; /* what is left of a single operation of about 2 GiB; place 0: nothing */
    uint64_t lone;      /* sequence number of the only operation; 0: they are in the block */
    uint32_t keyspace;  /* of the fence */
    struct bytes fence;
};

struct spill_run {
    struct spill_block *blocks;
    size_t count, capacity;
    struct arena fences;
    uint64_t first_seq, end_seq; /* all in it are >= first and < end */
    unsigned level;     /* how often its operations were merged */
    /* the block that was read last */
    size_t loaded;      /* its number + 1; 0: none */
    struct buffer bytes;
    uint32_t *starts;   /* of its operations */
    size_t ops, starts_capacity;
};

/* A deleted range. Bounds lie in the arena `bounds`. */
struct spill_range {
    uint64_t seq;
    uint32_t keyspace;
    struct bytes lower, upper;
    bool has_upper;
};

struct spill {
    const sdb_allocator *allocator;
    struct pager *pager;
    struct spill_run *runs; /* from old to new */
    size_t run_count, run_capacity;
    uint64_t next_seq;      /* from 1 */
    uint64_t bytes;         /* that the runs take in the file */
    _Atomic uint64_t *written; /* a counter of the database's */
    /* forgotten sequence numbers: [from, to), ascending, apart */
    struct spill_gap { uint64_t from, to; } *gaps;
    size_t gap_count, gap_capacity;
    struct spill_range *ranges; /* as they were deleted, ascending numbers, none forgotten */
    size_t range_count, range_capacity;
    struct spill_range *pieces; /* the same, disjoint, by keyspace and lower bound: the newest */
    size_t piece_count, piece_capacity;
    struct arena bounds;
    struct buffer found;    /* what the last find or seek gave */
    struct buffer target;   /* a key being sought */
    bool last;              /* runs[0] is the one for the log; nothing else can be asked */
};

/* An operation and its sequence number; borrowed from the run until it is asked again. */
struct spill_entry {
    struct op op;
    const uint8_t *at;
    size_t size;
    uint64_t seq;
};

/* ---- spill.c: what there is --------------------------------------------------------------- */

SDB_MUST_USE sdb_status sdb__spill_new(const sdb_allocator *allocator, struct pager *pager,
                                       _Atomic uint64_t *written, struct spill **out_spill);
/* Gives the runs' space back. NULL is allowed. */
void sdb__spill_free(struct spill *s);
/* Remembers a deleted range, newer than all there is. The bounds are copied. */
SDB_MUST_USE sdb_status sdb__spill_add_range(struct spill *s, uint64_t seq, const struct op *op);
/* Forgets the ranges but the first `count`: there is memory for what they come to. */
void sdb__spill_ranges_cut(struct spill *s, size_t count);
/*
 * Forgets all from number `seq` on; gives back what holds nothing else, or little. SDB_NOMEM: it
 * has forgotten nothing.
 */
SDB_MUST_USE sdb_status sdb__spill_forget(struct spill *s, uint64_t seq);
/* The newest deleted range that covers a key, or NULL; its bounds may be narrower than it was. */
const struct spill_range *sdb__spill_covering(const struct spill *s, uint32_t keyspace,
                                              struct bytes key);
/* True when an operation is neither forgotten nor hidden by a deleted range. */
bool sdb__spill_counts(const struct spill *s, const struct spill_entry *entry);
bool sdb__spill_is_forgotten(const struct spill *s, uint64_t seq);
/* An empty run; there is room for it among the others. */
SDB_MUST_USE sdb_status sdb__spill_run_new(struct spill *s, struct spill_run *out_run);
/* Gives a run's space and memory back. */
void sdb__spill_run_done(struct spill *s, struct spill_run *run);

/* ---- spill_run.c: one run ----------------------------------------------------------------- */

/* A run being written: operations come in its order. */
struct spill_writer {
    struct spill *s;
    struct spill_run *run;
    bool bare;            /* for the log: without numbers, ranges first */
    struct buffer block;
    size_t last;          /* where its last operation begins */
    bool begun;           /* there is an operation before this block */
    struct buffer before; /* its key */
    uint32_t before_keyspace;
    uint64_t ops, bytes, large, merges; /* that were added; `large` counts puts that need extents */
};

SDB_MUST_USE sdb_status sdb__spill_write(struct spill_writer *w, const struct spill_entry *entry);
/* Writes what is left; afterwards, or after a failure, the writer's memory is given back. */
SDB_MUST_USE sdb_status sdb__spill_write_end(struct spill_writer *w, sdb_status status);
/* Reads a block of a run for the log: the operations in it. */
SDB_MUST_USE sdb_status sdb__spill_read_last(struct spill *s, size_t block, struct buffer *buffer);

/* A place in a run. */
struct spill_place {
    size_t block, op;
};
/* To the first operation with a key >= key. SDB_END: there is none. */
SDB_MUST_USE sdb_status sdb__spill_place(struct spill *s, struct spill_run *run, uint32_t keyspace,
                                         struct bytes key, struct spill_place *out_place);
/* The operation at a place. SDB_END: behind the last. */
SDB_MUST_USE sdb_status sdb__spill_at(struct spill *s, struct spill_run *run,
                                      struct spill_place *place, struct spill_entry *out_entry);
/* Steps back. SDB_END: it was the first. */
SDB_MUST_USE sdb_status sdb__spill_back(struct spill *s, struct spill_run *run,
                                        struct spill_place *place);

/* Gives the memory back that a large block takes; what was borrowed of it ends. */
void sdb__spill_rest(struct spill *s, struct spill_run *run);

/* ---- spill_merge.c: many runs into one ---------------------------------------------------- */

/*
 * Merges runs where there are too many. `revives`: what is replaced may count again (there are
 * savepoints), and is kept.
 */
SDB_MUST_USE sdb_status sdb__spill_compact(struct spill *s, bool revives);
/* Writes the newest run anew without what was forgotten. On failure it is as it was. */
SDB_MUST_USE sdb_status sdb__spill_shrink(struct spill *s);
/* Merges all into the run for the log; *out_totals has what is in it. */
SDB_MUST_USE sdb_status sdb__spill_finish(struct spill *s, struct spill_writer *out_totals);

/* ---- spill_find.c: looking into it -------------------------------------------------------- */

/* The newest operation on a key that counts; SDB_END: none. Borrowed until the next call. */
SDB_MUST_USE sdb_status sdb__spill_find(struct spill *s, uint32_t keyspace, struct bytes key,
                                        struct op *out_op);
/* What counts of a key, encoded one after the other: the last put or del, then merges. */
SDB_MUST_USE sdb_status sdb__spill_chain(struct spill *s, uint32_t keyspace, struct bytes key,
                                         struct buffer *out_ops);
/*
 * The newest operation on the first key >= key (`behind`: > key) that has one, or on the last one
 * < *key (NULL: of the keyspace). SDB_END: none.
 */
SDB_MUST_USE sdb_status sdb__spill_seek(struct spill *s, uint32_t keyspace, struct bytes key,
                                        bool behind, struct op *out_op);
SDB_MUST_USE sdb_status sdb__spill_seek_before(struct spill *s, uint32_t keyspace,
                                               const struct bytes *key, struct op *out_op);

static inline int compare_place(uint32_t a_keyspace, struct bytes a, uint32_t b_keyspace,
                                struct bytes b)
{
    if (a_keyspace != b_keyspace) return a_keyspace < b_keyspace ? -1 : 1;
    return compare_bytes(a.data, a.size, b.data, b.size);
}

#endif
