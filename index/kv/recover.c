/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recover.c: the log back into the trees, after a crash.
 *
 * Idea: two batches go round between two threads. The reader checks the log's records, gathers
 *   their operations into one batch and sorts it; the thread that opens the database applies the
 *   other one (recover_batch.h) and tells of the progress.
 *
 *       log → judge, gather, sort → [full batch] → apply → [empty batch] → …
 *
 * Invariants: I1 batches are applied in the order of the log. I2 nothing of a body is applied
 *   before all of it was found in the log, nor an operation before those around it were judged: as
 *   many as come at once, which of a large body is a part. Damage that shows later than that ends
 *   the opening for good (`failed`). I3 nothing on disk that the last checkpoint needs is changed
 *   before the checkpoint at the end: a crash while recovering begins it anew.
 * Costs: each byte of the log is read, hashed and copied once; memory for two batches, each of
 *   cache_bytes / 8 and at most BATCH_MOST of operations and up to as much for their order, which
 *   the cache lends.
 * Not here: what a valid record is (wal/), checkpoints.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"
#include "engine/base/thread.h"
#include "index/kv/body.h"
#include "index/kv/recover_batch.h"
#include "wal/wal_archive.h"

static const uint64_t tell_every_ns = 100000000;

enum { BATCH_LEAST = 64 * 1024, BATCH_MOST = 64 * 1024 * 1024, PART_MOST = 1024 * 1024 };
enum { BATCHES_COST = 4 }; /* in limit_bytes: two batches, each with its order */

struct recovery {
    sdb_db *db;
    struct replay *what;
    uint64_t last_commit; /* that was gathered; the reader's */
    struct body body;     /* the reader's */
    bool within;          /* a body of which a part was gathered, and not all */
    size_t limit_bytes;   /* of a batch */
    struct recover_batch batches[2];
    unsigned filling, applying; /* the reader's, the applier's */
    bool threaded;
    uint64_t next_tell_ns;

    _Atomic uint64_t done, total; /* bytes of the log */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool full[2];
    bool stop; /* the applier's wish */
    bool read; /* the reader is done, with this: */
    sdb_status status;
    char sentence[512];
};

/* ---- telling ------------------------------------------------------------------------------ */

static sdb_status tell(sdb_db *db, sdb_phase phase, uint64_t done, uint64_t total)
{
    const sdb_options *options = &db->options;

    if (options->progress && options->progress(options->progress_context, phase, done, total) != 0)
        return FAIL(SDB_CANCELLED, "%s: opening was cancelled while it was being recovered: open "
                    "it again", db->path);
    return SDB_OK;
}

/* Tells of the progress if it is time to. */
static sdb_status step(void *context)
{
    struct recovery *r = context;
    uint64_t now;

    if (!r->db->options.progress) return SDB_OK;
    now = sdb__clock_now_ns();
    if (now < r->next_tell_ns) return SDB_OK;
    r->next_tell_ns = now + tell_every_ns;
    return tell(r->db, SDB_PHASE_REPLAY, atomic_load(&r->done), atomic_load(&r->total));
}

/* ---- reading ------------------------------------------------------------------------------ */

/* Gives a sealed batch to the applier, and waits for the other one to be empty. */
static sdb_status give(struct recovery *r)
{
    bool stop;

    (void)pthread_mutex_lock(&r->lock);
    r->full[r->filling] = true;
    (void)pthread_cond_broadcast(&r->changed);
    r->filling ^= 1;
    while (r->full[r->filling] && !r->stop) (void)pthread_cond_wait(&r->changed, &r->lock);
    stop = r->stop;
    (void)pthread_mutex_unlock(&r->lock);
    if (stop) return FAIL(SDB_CANCELLED, "applying the log has ended");
    return SDB_OK;
}

static sdb_status apply(struct recovery *r, struct recover_batch *batch)
{
    sdb_status status = sdb__recover_batch_apply(r->db, batch, step, r);

    r->what->failed = status != SDB_OK;
    sdb__recover_batch_reset(batch, 2 * r->limit_bytes);
    return status;
}

/* Ends the batch that is being filled. */
static sdb_status hand_over(struct recovery *r)
{
    struct recover_batch *batch = &r->batches[r->filling];

    if (batch->commits == 0) return SDB_OK;
    TRY(sdb__recover_batch_seal(batch));
    return r->threaded ? give(r) : apply(r, batch);
}

static bool is_full(const struct recovery *r, size_t more)
{
    const struct recover_batch *batch = &r->batches[r->filling];

    return batch->bodies.size + more > r->limit_bytes ||
           batch->count > r->limit_bytes / sizeof(struct placed);
}

/* True when a commit is not to be taken any more. */
static bool is_beyond(struct replay *what, uint64_t lsn, const struct body *body)
{
    what->reached = what->reached || lsn >= what->until_lsn ||
                    body->commit > what->until_commit || body->time_ms > what->until_ms;
    return what->reached;
}

/* Takes operations of the commit that is being read. */
static sdb_status gather_ops(struct recovery *r, const uint8_t *ops, size_t size)
{
    struct recover_batch *batch;
    size_t count;
    bool keyed;

    if (sdb__recover_batch_judge(ops, size, &keyed, &count) != SDB_OK)
        return FAIL(SDB_CORRUPT, "%s: commit %" PRIu64 " holds something that is no operation: "
                    "restore a backup", r->db->path, r->body.commit);
    if (is_full(r, size) || !keyed) TRY(hand_over(r));
    batch = &r->batches[r->filling];
    TRY(sdb__recover_batch_take(batch, r->body.commit, r->body.time_ms, ops, size,
                                count));
    batch->in_order = !keyed;
    return keyed ? SDB_OK : hand_over(r);
}

/* Takes a part of a body of the log. SDB_END: it is beyond what is wanted. */
static sdb_status gather(void *context, const struct wal_part *part)
{
    struct recovery *r = context;
    sdb_status status = sdb__body_take(&r->body, part);

    if (part->first && part->size >= BODY_HEAD && r->body.commit == r->last_commit + 1) {
        if (is_beyond(r->what, part->lsn, &r->body)) return SDB_END;
    } else if (part->first) {
        return FAIL(SDB_CORRUPT, "%s: the log at %" PRIu64 " does not go on from commit %" PRIu64
                    ": restore a backup", r->what->folders[0], part->lsn, r->last_commit);
    }
    if (status == SDB_CORRUPT)
        return FAIL(SDB_CORRUPT, "%s: commit %" PRIu64 " %s: restore a backup", r->db->path,
                    r->body.commit, r->body.wrong);
    TRY(status);
    TRY(gather_ops(r, r->body.ops, r->body.size));
    r->within = !part->last;
    if (!part->last) return SDB_OK;
    r->last_commit++;
    r->what->last_ms = r->body.time_ms;
    return SDB_OK;
}

static int note_progress(void *context, uint64_t done, uint64_t total)
{
    struct recovery *r = context;

    atomic_store(&r->total, total);
    atomic_store(&r->done, done);
    return 0;
}

/* Of a body, what is gathered at once. */
static size_t part_bytes(const struct recovery *r)
{
    return r->limit_bytes / 4 < PART_MOST ? r->limit_bytes / 4 : PART_MOST;
}

/* Reads the log to its end. What came before damage is handed over too: it may be all there is. */
static void read_all(struct recovery *r)
{
    struct replay *what = r->what;
    struct wal_replay replay = {.end_lsn = what->from_lsn};
    sdb_status status = sdb__wal_replay_parts(r->db->io, r->db->allocator, what->folders,
                                              &what->identity, what->from_lsn,
                                              part_bytes(r), gather, note_progress, r, &replay);
    sdb_status last;

    what->end_lsn = replay.end_lsn;
    (void)snprintf(r->sentence, sizeof r->sentence, "%s", sdb_errmsg());
    if (status == SDB_END) status = SDB_OK;
    if (status == SDB_OK || status == SDB_CORRUPT) {
        last = hand_over(r);
        if (status == SDB_OK && last != SDB_OK) {
            status = last;
            (void)snprintf(r->sentence, sizeof r->sentence, "%s", sdb_errmsg());
        }
    }
    r->status = status;
}

static void *reader_main(void *context)
{
    struct recovery *r = context;

    read_all(r);
    (void)pthread_mutex_lock(&r->lock);
    r->read = true;
    (void)pthread_cond_broadcast(&r->changed);
    (void)pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* ---- applying ----------------------------------------------------------------------------- */

/* Waits for a full batch, telling of the progress meanwhile. False: there will be none. */
static bool take(struct recovery *r)
{
    bool full;

    (void)pthread_mutex_lock(&r->lock);
    while (!r->full[r->applying] && !r->read) (void)pthread_cond_wait(&r->changed, &r->lock);
    full = r->full[r->applying];
    (void)pthread_mutex_unlock(&r->lock);
    return full;
}

static void give_back(struct recovery *r, bool stop)
{
    (void)pthread_mutex_lock(&r->lock);
    r->full[r->applying] = false;
    r->stop = stop;
    (void)pthread_cond_broadcast(&r->changed);
    (void)pthread_mutex_unlock(&r->lock);
    r->applying ^= 1;
}

static sdb_status run_threads(struct recovery *r)
{
    sdb_status status = SDB_OK;
    pthread_t reader;

    if (!sdb__thread_start(&reader, reader_main, r))
        return FAIL(SDB_NOMEM, "cannot start a thread to read the log: open with "
                    "SDB_OPEN_NO_THREADS, or allow more threads");
    while (status == SDB_OK && take(r)) {
        status = apply(r, &r->batches[r->applying]);
        give_back(r, status != SDB_OK);
    }
    (void)pthread_join(reader, NULL);
    return status;
}

static sdb_status run(struct recovery *r)
{
    r->threaded = !(r->db->options.flags & SDB_OPEN_NO_THREADS);
    if (r->threaded)
        TRY(run_threads(r));
    else
        read_all(r);
    if (r->status == SDB_OK || r->status == SDB_NOMEM) return r->status;
    return FAIL(r->status, "%s", r->sentence);
}

/* What to say when the log is not what the superblock promised. */
static sdb_status log_trouble(sdb_db *db, sdb_status status)
{
    if (status == SDB_NOTFOUND)
        return FAIL(SDB_CORRUPT, "%s was not closed cleanly, and its log %s is missing or is not "
                    "its own: put it back, or open with the log discarded (commits since the "
                    "last checkpoint are then lost)", db->path, db->wal_folder);
    return status;
}

sdb_status sdb__replay(sdb_db *db, struct replay *what)
{
    struct recovery r = {.db = db, .what = what, .last_commit = db->last_commit};
    uint64_t limit = db->options.cache_bytes / 8;
    sdb_status status;

    what->end_lsn = what->from_lsn;
    what->failed = false;
    r.limit_bytes = limit < BATCH_LEAST ? BATCH_LEAST : limit > BATCH_MOST ? BATCH_MOST
                                                                           : (size_t)limit;
    sdb__pager_lend(db->pager, BATCHES_COST * (uint64_t)r.limit_bytes);
    r.batches[0].allocator = r.batches[1].allocator = r.body.allocator = db->allocator;
    (void)pthread_mutex_init(&r.lock, NULL);
    (void)pthread_cond_init(&r.changed, NULL);
    status = run(&r);
    (void)pthread_cond_destroy(&r.changed);
    (void)pthread_mutex_destroy(&r.lock);
    sdb__recover_batch_done(&r.batches[0]);
    sdb__recover_batch_done(&r.batches[1]);
    sdb__body_done(&r.body);
    sdb__pager_unlend(db->pager, BATCHES_COST * (uint64_t)r.limit_bytes);
    what->failed = what->failed || r.within;
    db->visible = db->last_commit;
    atomic_store(&db->expired_removed, 0); /* what the log removed again does not count */
    db->lsn = what->end_lsn;
    db->changed = true;
    return status;
}

sdb_status sdb__recover(sdb_db *db, uint64_t log_id)
{
    const struct superblock *superblock = sdb__pager_superblock(db->pager);
    struct replay what = {.folders = {db->wal_folder, NULL}, .identity = {.log_id = log_id},
                          .from_lsn = superblock->lsn, .until_lsn = UINT64_MAX,
                          .until_commit = UINT64_MAX, .until_ms = UINT64_MAX};
    uint64_t begun = sdb__clock_now_ns();
    struct pager_stats pager;
    sdb_status status;

    memcpy(what.identity.database_id, superblock->database_id, sizeof what.identity.database_id);
    status = sdb__replay(db, &what);
    if ((status == SDB_NOTFOUND || status == SDB_CORRUPT) &&
        (db->options.flags & SDB_OPEN_DISCARD_LOG) && !what.failed)
        status = SDB_OK;
    if (status != SDB_OK) return log_trouble(db, status);
    if (what.end_lsn > what.from_lsn && !MUTANT(recovered_log_forgotten)) db->history = log_id;
    if (db->archive)
        TRY(sdb__wal_archive_rest(db->io, db->allocator, db->wal_folder, &what.identity,
                                  db->archive));
    sdb__pager_stats(db->pager, &pager);
    if (sdb__clock_now_ns() - begun >= tell_every_ns)
        TRY(tell(db, SDB_PHASE_CHECKPOINT, 0, pager.dirty_pages * db->options.page_size));
    if (MUTANT(log_removed_before_the_checkpoint)) TRY(sdb__wal_remove(db->io, db->wal_folder));
    TRY(sdb__db_checkpoint(db, true));
    TRY(sdb__wal_remove(db->io, db->wal_folder));
    db->recovery_ms = (sdb__clock_now_ns() - begun) / 1000000;
    return SDB_OK;
}
