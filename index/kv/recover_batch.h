/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recover_batch.h: the operations of many commits, gathered from the log to be applied at once.
 *
 * One thread at a time uses a batch: first the one that reads the log (begin, take, seal), then the
 * one that applies it.
 */
#ifndef SDB_INDEX_KV_RECOVER_BATCH_H
#define SDB_INDEX_KV_RECOVER_BATCH_H

#include "index/kv/database.h"
#include "index/kv/placed.h"

/* Operations between two looks at the clock. */
enum { RECOVER_STEP = 1024 };

struct recover_batch {
    const sdb_allocator *allocator;
    struct buffer bodies;   /* each: commit u64, size of its operations u64, time u64, operations */
    uint64_t *times;        /* of the commits, in their order */
    size_t times_capacity;
    struct placed *placed;  /* after seal, unless in_order */
    size_t placed_capacity;
    size_t count;           /* operations; after seal, of `placed` */
    uint64_t first_commit, commits; /* of the first and last perhaps a part only */
    bool in_order;          /* holds what must be applied as it stands in the log */
};

/*
 * Judges the operations of a body: SDB_OK, and whether all are keyed (op_is_keyed) and how many
 * there are; SDB_CORRUPT without a sentence if something is none.
 */
SDB_MUST_USE sdb_status sdb__recover_batch_judge(const uint8_t *ops, size_t size, bool *out_keyed,
                                                 size_t *out_count);
/*
 * Adds operations, already judged, of the next commit, or more of the one that was added last or
 * (to an empty batch) before that.
 */
SDB_MUST_USE sdb_status sdb__recover_batch_take(struct recover_batch *batch, uint64_t commit,
                                                uint64_t time_ms, const uint8_t *ops, size_t size,
                                                size_t count);
/* Puts what was taken into the order in which it will be applied. */
SDB_MUST_USE sdb_status sdb__recover_batch_seal(struct recover_batch *batch);
/*
 * Applies a sealed batch and sets the database's last commit. `step` is called every RECOVER_STEP
 * operations; what it answers, if not SDB_OK, ends the work with a part applied.
 */
SDB_MUST_USE sdb_status sdb__recover_batch_apply(sdb_db *db, const struct recover_batch *batch,
                                                 sdb_status (*step)(void *context), void *context);
/* Empties it; memory is kept unless there is more than `keep_bytes` of it. */
void sdb__recover_batch_reset(struct recover_batch *batch, size_t keep_bytes);
void sdb__recover_batch_done(struct recover_batch *batch);

#endif
