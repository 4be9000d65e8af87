/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commit.c: how a write set becomes part of the database.
 *
 *   1 the log is there; large values are written to extents      nothing is locked
 *   2 conflicts are looked for, frames made ready                under commit_lock; may refuse,
 *   nothing changed 3 the body goes into the log's buffer; it has a number now
 *   4 the trees change; the commit becomes visible
 *   5 the log is flushed, or synced with whoever else waits      nothing is locked
 *
 * Idea: order is decided in one place and briefly; waiting for the disk is shared. What is visible
 * may not be durable for a moment, but nothing that depends on it can become durable before it, for
 * the log is in order.
 * Invariants: I1 log order, commit numbers, and the order of changes in memory are the same. I2 a
 *   failure before step 3 changes nothing; one in step 4 kills the handle (the log has the commit,
 *   memory has a part of it).
 * Costs: one lock, one buffer copy, one tree descent an operation; one sync for all who wait
 * together.
 * Source: early lock release and group commit, DeWitt et al. 1984; Johnson et al. 2010 (Aether).
 * Not here: parallel application of independent commits.
 */
#include <inttypes.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"
#include "index/kv/merge.h"

enum { SEGMENT_BYTES = 64 * 1024 * 1024, KEYS_TOLD = 16 };

/* Calls fn for each operation, superseded ones too. */
static sdb_status each_op(const struct write_set *w,
                          sdb_status (*fn)(void *context, const struct op *op), void *context)
{
    struct write_walk walk = {.w = w};
    sdb_status status;
    uint8_t *at;
    size_t size;

    while ((status = sdb__writes_next(&walk, &at, &size)) == SDB_OK) {
        const uint8_t *end = at + size;
        struct op op;

        while (at < end && status == SDB_OK) {
            at += sdb__op_read(at, end, &op);
            status = fn(context, &op);
        }
        if (status != SDB_OK) break;
    }
    sdb__writes_walk_done(&walk);
    return status == SDB_END ? SDB_OK : status;
}

struct preparing {
    sdb_db *db;
    struct prepared *prepared;
};

static sdb_status prepare_op(void *context, const struct op *op)
{
    struct preparing *p = context;
    struct prepared *prepared = p->prepared;

    if (op->code != OP_PUT || op->superseded ||
        sdb__op_is_inline(sdb__pager_page_size(p->db->pager), op))
        return SDB_OK;
    TRY(sdb__pager_extent_write(p->db->pager, op->value.data, op->value.size,
                                &prepared->extents[prepared->count]));
    prepared->count++;
    return SDB_OK;
}

/* Writes the extents of a write set's large values. */
static sdb_status prepare(sdb_db *db, const struct write_set *w, struct prepared *prepared)
{
    struct preparing context = {db, prepared};

    if (w->large == 0) return SDB_OK;
    TRY(sdb__db_alive(db)); /* a dead handle writes nothing more */
    TRY(sdb__mem_reserve(db->allocator, &prepared->extents, &prepared->capacity, w->large,
                         sizeof *prepared->extents));
    return each_op(w, prepare_op, &context);
}

/* Gives up the extents that no tree has taken. */
static void unprepare(sdb_db *db, struct prepared *prepared)
{
    for (size_t i = prepared->next; i < prepared->count; i++)
        sdb__pager_extent_discard(db->pager, &prepared->extents[i]);
    sdb__mem_free(db->allocator, prepared->extents);
}

static sdb_status conflict(sdb_db *db, const sdb_keyspace *keyspace)
{
    atomic_fetch_add_explicit(&db->conflicts, 1, memory_order_relaxed);
    return FAIL(SDB_CONFLICT, "another transaction has changed a key in keyspace \"%s\" since "
                "this one began: run it again", keyspace->name);
}

struct validating {
    sdb_db *db;
    const struct read_set *reads;
    const struct snapshot *snapshot; /* NULL: nothing was committed since */
    uint64_t keys; /* of those so far, as readers that come in between ask; UINT64_MAX: all */
};

/* Refuses an operation that does not fit what was committed meanwhile. */
static sdb_status validate_op(void *context, const struct op *op)
{
    struct validating *v = context;
    sdb_db *db = v->db;
    const struct read_set *reads = v->reads;
    const struct snapshot *snapshot = v->snapshot;
    sdb_keyspace *keyspace = sdb__keyspace_by_id(db, op->keyspace);

    if (v->keys != UINT64_MAX) v->keys |= sdb__snapshot_key(op->keyspace, op->key);
    if (op->code == OP_MAKE) { /* the name may have been taken while we waited for the lock */
        for (size_t i = 0; i < db->keyspace_count; i++) {
            const sdb_keyspace *k = db->keyspaces[i];

            if (k && !atomic_load(&k->dropped) && strlen(k->name) == op->key.size &&
                memcmp(k->name, op->key.data, op->key.size) == 0)
                return FAIL(SDB_EXISTS, "there is a keyspace \"%s\" already", k->name);
        }
        return SDB_OK;
    }
    if (op->code == OP_TTL && !keyspace) return SDB_OK; /* the operation before makes it */
    if (!keyspace || atomic_load(&keyspace->dropped))
        return FAIL(SDB_NOTFOUND, "keyspace \"%s\" has been dropped",
                    keyspace ? keyspace->name : "?");
    if (op->code == OP_DELRANGE)
        return snapshot && sdb__versions_touched(&db->versions, op->keyspace, op->key,
                                                 op_upper(op), snapshot->commit)
                   ? conflict(db, keyspace) : SDB_OK;
    if (op->code == OP_MERGE && !(reads && sdb__reads_may_have_seen(reads, op->keyspace, op->key)))
        return SDB_OK; /* it meets whatever is there */
    if (snapshot && !op->superseded && !MUTANT(conflict_not_noticed) &&
        sdb__versions_newest(&db->versions, op->keyspace, op->key) > snapshot->commit)
        return conflict(db, keyspace);
    return SDB_OK;
}

/* Refuses a serializable transaction that read what was changed meanwhile. */
static sdb_status validate_reads(sdb_db *db, const struct read_set *reads, uint64_t snapshot)
{
    const struct read_range *range = NULL;
    struct read_view v;

    if (reads->everything) {
        atomic_fetch_add_explicit(&db->conflicts, 1, memory_order_relaxed);
        return FAIL(SDB_CONFLICT, "this transaction has read too much to remember what, and "
                    "another one has committed since it began: run it again");
    }
    while ((range = sdb__reads_next(reads, range, &v)) != NULL) {
        const sdb_keyspace *keyspace = sdb__keyspace_by_id(db, v.keyspace);

        if (MUTANT(read_ranges_not_validated)) continue;
        if (atomic_load(&keyspace->dropped) ||
            sdb__versions_touched(&db->versions, v.keyspace, v.lower,
                                  v.has_upper ? &v.upper : NULL, snapshot)) {
            atomic_fetch_add_explicit(&db->conflicts, 1, memory_order_relaxed);
            return FAIL(SDB_CONFLICT, "another transaction has changed what this one has read in "
                        "keyspace \"%s\" since it began: run it again", keyspace->name);
        }
    }
    return SDB_OK;
}

static sdb_status validate(sdb_db *db, const struct write_set *w, const struct read_set *reads,
                           const struct snapshot *snapshot, uint64_t *out_keys)
{
    struct validating v = {db, reads, snapshot, w->count <= KEYS_TOLD ? 0 : UINT64_MAX};

    if (snapshot && snapshot->commit == db->last_commit) v.snapshot = NULL;
    if (v.snapshot && reads && reads->active) TRY(validate_reads(db, reads, snapshot->commit));
    TRY(each_op(w, validate_op, &v));
    *out_keys = v.keys;
    return SDB_OK;
}

/* Makes the log. Under checkpoint_lock and commit_lock, for it writes a superblock. */
static sdb_status begin_log_locked(sdb_db *db)
{
    const struct superblock *superblock = sdb__pager_superblock(db->pager);
    struct wal_options options = {.io = db->io, .allocator = db->allocator,
                                  .folder = db->wal_folder, .first_lsn = db->lsn,
                                  .segment_bytes = db->options.log_limit_bytes / 4,
                                  .archive = db->archive, .previous = db->history,
                                  .packed = db->options.log_compression == SDB_COMPRESSION_LZ4};
    struct wal *wal;
    sdb_status status;

    if (atomic_load_explicit(&db->wal, memory_order_relaxed)) return SDB_OK;
    TRY(sdb__db_alive(db));
    if (options.segment_bytes > SEGMENT_BYTES) options.segment_bytes = SEGMENT_BYTES;
    memcpy(options.identity.database_id, superblock->database_id,
           sizeof options.identity.database_id);
    do {
        options.identity.log_id = sdb__random_seed();
    } while (options.identity.log_id == 0);
    TRY(sdb__wal_begin(&options, &wal));
    status = sdb__pager_announce_log(db->pager, options.identity.log_id, db->lsn);
    if (status != SDB_OK) {
        sdb__wal_close(wal);
        return sdb__db_kill(db, status);
    }
    db->log_id = options.identity.log_id;
    db->log_first = db->lsn;
    atomic_store(&db->checkpoint_lsn, db->lsn);
    atomic_store_explicit(&db->wal, wal, memory_order_release);
    return SDB_OK;
}

/* Makes the log, if this is the first commit since the database was opened. */
static sdb_status ready_log(sdb_db *db)
{
    sdb_status status;

    if (db->is_memory || atomic_load_explicit(&db->wal, memory_order_acquire)) return SDB_OK;
    (void)pthread_mutex_lock(&db->checkpoint_lock);
    (void)pthread_mutex_lock(&db->commit_lock);
    status = begin_log_locked(db);
    (void)pthread_mutex_unlock(&db->commit_lock);
    (void)pthread_mutex_unlock(&db->checkpoint_lock);
    return status;
}

/* Gives the log the body of a spilled commit. */
struct spilled_body {
    struct write_walk walk;
    bool failed;
    uint8_t head[BODY_HEAD];
    const uint8_t *at; /* what is left of a piece */
    size_t left;
};

static sdb_status give_body(void *context, uint8_t *to, size_t size)
{
    struct spilled_body *b = context;

    while (size) {
        size_t some;
        uint8_t *at;

        if (b->left == 0) {
            sdb_status status = sdb__writes_next(&b->walk, &at, &b->left);

            b->failed = status != SDB_OK;
            TRY(status);
            b->at = at;
        }
        some = b->left < size ? b->left : size;
        memcpy(to, b->at, some);
        to += some;
        size -= some;
        b->at += some;
        b->left -= some;
    }
    return SDB_OK;
}

/*
 * The log takes it a record at a time. If it cannot be read back, a part of it is in the log, and
 * the handle has to die: whoever opens the log passes over it.
 */
static sdb_status append_spilled(sdb_db *db, struct wal *wal, const struct write_set *w,
                                 uint64_t commit, uint64_t *out_lsn)
{
    struct spilled_body body = {.walk = {.w = w}, .left = BODY_HEAD};
    sdb_status status;

    put_u64(body.head, commit);
    put_u64(body.head + 8, db->commit_ms);
    body.at = body.head;
    status = sdb__wal_append_from(wal, BODY_HEAD + w->bytes, give_body, &body, out_lsn);
    sdb__writes_walk_done(&body.walk);
    return body.failed ? sdb__db_kill(db, status) : status;
}

/* Appends the body of commit `commit` to the log. */
static sdb_status append(sdb_db *db, const struct write_set *w, uint64_t commit,
                         uint64_t *out_lsn)
{
    struct wal *wal = atomic_load_explicit(&db->wal, memory_order_relaxed);
    struct wal_piece few[8], *pieces = few;
    uint8_t head[BODY_HEAD];
    size_t count = 0;
    sdb_status status;

    *out_lsn = 0;
    if (!wal) return SDB_OK;
    if (w->spill) return append_spilled(db, wal, w, commit, out_lsn);
    if (w->chunks + 1 > sizeof few / sizeof *few) {
        pieces = sdb__mem_alloc(db->allocator, (w->chunks + 1) * sizeof *pieces);
        if (!pieces) return SDB_NOMEM;
    }
    put_u64(head, commit);
    put_u64(head + 8, db->commit_ms);
    pieces[count++] = (struct wal_piece){head, sizeof head};
    for (const struct write_chunk *chunk = w->first; chunk; chunk = chunk->next)
        if (chunk->used) pieces[count++] = (struct wal_piece){chunk->data, chunk->used};
    status = sdb__wal_append(wal, pieces, count, out_lsn);
    if (pieces != few) sdb__mem_free(db->allocator, pieces);
    return status;
}

/* What the merges of a commit come to: it is put after the rest. */
struct outcome {
    struct write_set puts;
    struct prepared prepared;
};

/* Step 2: everything that may refuse. */
static sdb_status ready(sdb_db *db, const struct write_set *w, const struct read_set *reads,
                        const struct snapshot *snapshot, struct outcome *merged,
                        uint64_t *out_keys)
{
    uint64_t limit = db->options.version_bytes;

    TRY(sdb__db_alive(db));
    TRY(validate(db, w, reads, snapshot, out_keys));
    if (!w->spill && /* of that it is seen what it would leave */
        atomic_load_explicit(&db->versions.bytes, memory_order_relaxed) + w->bytes > limit &&
        atomic_load_explicit(&db->versions.count, memory_order_relaxed))
        return FAIL(SDB_LIMIT, "old versions for open snapshots already take %" PRIu64 " of "
                    "%" PRIu64 " bytes: end long-running readers, or raise version_bytes",
                    (uint64_t)atomic_load(&db->versions.bytes), limit);
    if (w->merges) {
        if (w->spill)
            sdb__writes_may_spill(&merged->puts, db->pager, db->options.txn_memory_bytes,
                                  &db->spilled_bytes);
        TRY(sdb__merge_resolve(db, w, &merged->puts));
        TRY(sdb__writes_settle(&merged->puts));
        TRY(prepare(db, &merged->puts, &merged->prepared));
    }
    return sdb__pager_reserve(db->pager, RESERVE_PAGES * (w->count + merged->puts.count) +
                                             RESERVE_RANGE * w->range_ops + 2 * RESERVE_PAGES);
}

/* Whether sdb__ready_versions is asked about a write set. */
static bool needs_ready(const struct write_set *w) { return w->range_ops || w->spill; }

/* Applies operations in the order of the log, as recovery does. */
static sdb_status apply_in_order(sdb_db *db, const struct write_set *w, uint64_t commit,
                                 struct prepared *prepared, bool keep)
{
    struct write_walk walk = {.w = w};
    sdb_status status;
    uint8_t *ops;
    size_t size;

    while ((status = sdb__writes_next(&walk, &ops, &size)) == SDB_OK) {
        if (w->merges && w->spill) sdb__merge_hide(ops, size);
        status = sdb__apply(db, ops, size, commit, keep, prepared);
        if (status != SDB_OK) break;
    }
    sdb__writes_walk_done(&walk);
    return status == SDB_END ? SDB_OK : status;
}

/* The log has the merges; what they come to is applied instead. */
static void hide_merges(struct write_set *w)
{
    for (struct write_chunk *chunk = w->first; chunk; chunk = chunk->next)
        sdb__merge_hide(chunk->data, chunk->used);
}

/*
 * Step 4. `keys`: what validate found. `keep`, for a write set that needs_ready: whether it must
 * leave versions.
 */
static sdb_status change(sdb_db *db, struct write_set *w, uint64_t commit, uint64_t keys,
                         struct prepared *prepared, struct outcome *merged, bool keep)
{
    bool large = w->count > QUIET_MOST && !w->spill;
    sdb_status status;

    if (!needs_ready(w)) keep = sdb__snapshot_apply(db, w->count, keys);
    if (w->merges && !w->spill) hide_merges(w);
    status = large ? sdb__apply_sorted(db, w, commit, keep) : SDB_END;
    if (status == SDB_END) status = apply_in_order(db, w, commit, prepared, keep);
    if (status == SDB_OK)
        status = apply_in_order(db, &merged->puts, commit, &merged->prepared, keep);
    if (status != SDB_OK) {
        status = sdb__db_kill(db, status);
        commit = db->last_commit; /* lets waiting snapshots go on; the handle is dead */
    } else {
        db->last_commit = commit;
    }
    sdb__snapshot_publish(db, commit);
    return status;
}

/* Step 5. */
static sdb_status settle(sdb_db *db, uint64_t lsn, sdb_durability durability)
{
    struct wal *wal = atomic_load_explicit(&db->wal, memory_order_acquire);
    sdb_status status;

    if (!wal) return SDB_OK;
    if (durability == SDB_DURABILITY_DEFAULT) durability = db->options.durability;
    if (durability == SDB_DURABILITY_GROUP) atomic_store(&db->group_waiting, true);
    if (durability == SDB_DURABILITY_GROUP && !db->has_workers) {
        uint64_t now = sdb__clock_now_ns(), last = atomic_load(&db->last_sync_ns);

        if (now - last >= db->options.group_interval_ms * UINT64_C(1000000)) {
            atomic_store(&db->last_sync_ns, now);
            durability = SDB_DURABILITY_FULL;
        }
    }
    status = durability == SDB_DURABILITY_FULL ? sdb__wal_sync(wal, lsn)
                                               : sdb__wal_flush(wal, lsn);
    return status == SDB_OK ? SDB_OK : sdb__db_kill(db, SDB_IO);
}

sdb_status sdb__commit(sdb_db *db, struct write_set *w, const struct read_set *reads,
                       struct snapshot *snapshot, sdb_durability durability)
{
    struct prepared prepared = {0};
    struct outcome merged = {.puts = {.allocator = db->allocator}};
    uint64_t lsn = 0, keys = 0;
    bool keep = false;
    sdb_status status = w->spill ? sdb__db_alive(db) : SDB_OK;

    if (status == SDB_OK) status = sdb__writes_settle(w);
    if (status == SDB_OK) status = ready_log(db);
    if (status == SDB_OK) status = sdb__db_wait_for_log(db);
    if (status == SDB_OK) status = prepare(db, w, &prepared);
    (void)pthread_mutex_lock(&db->commit_lock);
    db->commit_ms = sdb__db_now_ms(db);
    if (status == SDB_OK) status = ready(db, w, reads, snapshot, &merged, &keys);
    if (snapshot) sdb__snapshot_close(db, snapshot);
    if (status == SDB_OK && needs_ready(w)) status = sdb__ready_versions(db, w, &keep);
    if (status == SDB_OK) {
        status = append(db, w, db->last_commit + 1, &lsn);
        if (status == SDB_OK || MUTANT(applied_though_not_logged))
            status = change(db, w, db->last_commit + 1, keys, &prepared, &merged, keep);
        else if (needs_ready(w))
            sdb__snapshot_publish(db, db->last_commit);
    }
    (void)pthread_mutex_unlock(&db->commit_lock);
    unprepare(db, &prepared);
    unprepare(db, &merged.prepared);
    if (w->merges) sdb__writes_done(&merged.puts);
    if (status == SDB_IO) return sdb__db_kill(db, status); /* what the header promises of SDB_IO */
    if (status != SDB_OK) return status;
    atomic_fetch_add_explicit(&db->commits, 1, memory_order_relaxed);
    TRY(settle(db, lsn, durability));
    sdb__reaper_need(db);
    return sdb__db_maybe_checkpoint(db);
}
