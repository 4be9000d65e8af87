/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recover_batch.c
 *
 * Idea: the state behind many commits does not depend on the order in which different keys were
 *   changed. So the operations of a batch are applied in the order of their keys, where neighbours
 *   meet in the same leaf, and of those on one key that replace each other only the last.
 * Invariants: I1 operations on one key keep the order of the log. I2 an operation that concerns
 *   more than its key (making and dropping keyspaces) is in a batch that is applied as it stands.
 * Costs: the bytes of the operations, 40 bytes an operation, and a sort.
 * Source: the gathering of redo by page in ARIES (Mohan et al. 1992, section 6.2), here by key.
 * Not here: what a batch may hold in all, and threads (recover.c).
 */
#include "index/kv/recover_batch.h"

#include "engine/base/bytes.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"

enum {
    BODY_MARK = 24,
    AHEAD = 16 /* operations fetched into the processor's caches before they are applied */
};

sdb_status sdb__recover_batch_judge(const uint8_t *ops, size_t size, bool *out_keyed,
                                    size_t *out_count)
{
    const uint8_t *at = ops, *end = ops + size;
    bool keyed = true;
    size_t count = 0;

    while (at < end) {
        struct op op;
        size_t step = sdb__op_read(at, end, &op);

        if (!step) return SDB_CORRUPT;
        keyed = keyed && op_is_keyed(op.code);
        count++;
        at += step;
    }
    *out_keyed = keyed;
    *out_count = count;
    return SDB_OK;
}

sdb_status sdb__recover_batch_take(struct recover_batch *batch, uint64_t commit,
                                   uint64_t time_ms, const uint8_t *ops, size_t size,
                                   size_t count)
{
    uint8_t mark[BODY_MARK];
    size_t rank;

    put_u64(mark, commit);
    put_u64(mark + 8, size);
    put_u64(mark + 16, time_ms);
    if (batch->commits == 0) batch->first_commit = commit;
    rank = (size_t)(commit - batch->first_commit);
    TRY(sdb__mem_reserve(batch->allocator, &batch->times, &batch->times_capacity, rank + 1,
                         sizeof *batch->times));
    batch->times[rank] = time_ms;
    TRY(sdb__buffer_reserve(batch->allocator, &batch->bodies,
                            batch->bodies.size + sizeof mark + size));
    TRY(sdb__buffer_append(batch->allocator, &batch->bodies, mark, sizeof mark));
    TRY(sdb__buffer_append(batch->allocator, &batch->bodies, ops, size));
    batch->commits = commit - batch->first_commit + 1;
    batch->count += count;
    return SDB_OK;
}

/* Lists the operations that count. Returns how many. */
static size_t list(const struct recover_batch *batch, struct placed *placed)
{
    const uint8_t *at = batch->bodies.data, *end = at + batch->bodies.size;
    size_t count = 0;

    while (at < end) {
        uint32_t rank = (uint32_t)(get_u64(at) - batch->first_commit);
        const uint8_t *body_end = at + BODY_MARK + get_u64(at + 8);

        for (at += BODY_MARK; at < body_end;) {
            struct op op;
            size_t step = sdb__op_read(at, body_end, &op);

            if (!op.superseded) placed[count++] = sdb__placed_make(&op, at, step, rank);
            at += step;
        }
    }
    return count;
}

sdb_status sdb__recover_batch_seal(struct recover_batch *batch)
{
    if (batch->in_order || batch->count == 0) return SDB_OK;
    TRY(sdb__mem_reserve(batch->allocator, &batch->placed, &batch->placed_capacity, batch->count,
                         sizeof *batch->placed));
    batch->count = list(batch, batch->placed);
    sdb__placed_sort(batch->placed, batch->count);
    return SDB_OK;
}

static sdb_status apply_in_order(sdb_db *db, const struct recover_batch *batch)
{
    const uint8_t *at = batch->bodies.data, *end = at + batch->bodies.size;

    while (at < end) {
        size_t size = (size_t)get_u64(at + 8);

        db->commit_ms = get_u64(at + 16);
        TRY(sdb__apply(db, at + BODY_MARK, size, get_u64(at), false, NULL));
        at += BODY_MARK + size;
    }
    return SDB_OK;
}

/* True when what `next` does makes an operation before it, on the same key, void. */
static bool is_replaced_by(const struct placed *next)
{
    struct op op;

    return sdb__op_read(next->at, next->at + next->size, &op) && op_replaces(op.code);
}

static sdb_status apply_by_key(sdb_db *db, const struct recover_batch *batch,
                               sdb_status (*step)(void *context), void *context)
{
    struct btree_run run = {0};
    sdb_status status = SDB_OK;

    for (size_t i = 0; status == SDB_OK && i < batch->count; i++) {
        const struct placed *p = &batch->placed[i];
        bool replaced = i + 1 < batch->count && sdb__placed_same_key(p, p + 1) &&
                        is_replaced_by(p + 1);

        if (MUTANT(recovery_keeps_the_first)) replaced = i > 0 && sdb__placed_same_key(p - 1, p);
        if (i + AHEAD < batch->count) {
            __builtin_prefetch(p[AHEAD].at);
            __builtin_prefetch(p[AHEAD].at + 64);
        }
        db->commit_ms = MUTANT(merge_replayed_with_the_clock) ? sdb__db_now_ms(db)
                                                              : batch->times[p->rank];
        if (!replaced)
            status = sdb__apply_run(db, p->at, p->size, batch->first_commit + p->rank, false, NULL,
                                    &run);
        if (status != SDB_OK || i % RECOVER_STEP != RECOVER_STEP - 1) continue;
        sdb__btree_run_end(&run); /* nothing stays latched while others are told */
        status = step(context);
    }
    sdb__btree_run_end(&run);
    return status;
}

sdb_status sdb__recover_batch_apply(sdb_db *db, const struct recover_batch *batch,
                                    sdb_status (*step)(void *context), void *context)
{
    if (batch->in_order)
        TRY(apply_in_order(db, batch));
    else
        TRY(apply_by_key(db, batch, step, context));
    if (batch->commits) {
        uint64_t last = batch->first_commit + batch->commits - 1;

        db->recovered_commits += last - db->last_commit;
        db->last_commit = last;
    }
    return step(context);
}

void sdb__recover_batch_reset(struct recover_batch *batch, size_t keep_bytes)
{
    if (batch->bodies.capacity > keep_bytes) sdb__buffer_done(batch->allocator, &batch->bodies);
    if (batch->placed_capacity * sizeof *batch->placed > keep_bytes) {
        sdb__mem_free(batch->allocator, batch->placed);
        batch->placed = NULL;
        batch->placed_capacity = 0;
    }
    if (batch->times_capacity * sizeof *batch->times > keep_bytes) {
        sdb__mem_free(batch->allocator, batch->times);
        batch->times = NULL;
        batch->times_capacity = 0;
    }
    batch->bodies.size = 0;
    batch->count = 0;
    batch->commits = 0;
    batch->in_order = false;
}

void sdb__recover_batch_done(struct recover_batch *batch)
{
    sdb__recover_batch_reset(batch, 0);
}
