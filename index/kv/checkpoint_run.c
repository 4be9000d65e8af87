/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint_run.c: when checkpoints are made, and the thread that makes them.
 *
 * Idea: a checkpoint is due when the log that a crash would replay has grown to checkpoint_bytes or
 * half of its limit, or when half of the cache is dirty. Commits that find the log at its limit
 * wait for it. A background thread makes it; the same thread syncs the log
 * for GROUP commits and frees dropped keyspaces. Without threads the commit that notices does it.
 * Invariants: I1 the log is durable up to the cut before a superblock says that it begins there. I2
 *   the log is trimmed only after that superblock is durable.
 * Costs: see engine/pager/checkpoint.c. Not here: recovery (recover.c).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "engine/base/clock.h"
#include "engine/base/status.h"
#include "index/kv/database.h"

/* Cuts, writes and finishes. Under checkpoint_lock. */
static sdb_status run_checkpoint(sdb_db *db, bool last)
{
    struct superblock state = *sdb__pager_superblock(db->pager);
    struct wal *wal;
    sdb_status status;

    (void)pthread_mutex_lock(&db->commit_lock);
    status = sdb__db_alive(db);
    if (status != SDB_OK || (!db->changed && !(last && state.log_id))) {
        (void)pthread_mutex_unlock(&db->commit_lock);
        return status;
    }
    sdb__pager_checkpoint_cut(db->pager);
    db->changed = false;
    wal = atomic_load(&db->wal);
    state.lsn = wal ? sdb__wal_end(wal) : db->lsn;
    state.commit = db->last_commit;
    state.log_id = last ? 0 : db->log_id;
    state.catalog_root = db->catalog.root;
    (void)pthread_mutex_unlock(&db->commit_lock);
    if (wal && sdb__wal_sync(wal, state.lsn) != SDB_OK) return sdb__db_kill(db, SDB_IO);
    status = sdb__pager_checkpoint_write(db->pager);
    if (status == SDB_OK) {
        status = sdb__pager_checkpoint_finish(db->pager, &state, last);
        if (status != SDB_OK && status != SDB_NOMEM) return sdb__db_kill(db, status);
    }
    if (status != SDB_OK) { /* given up: what was changed still is */
        (void)pthread_mutex_lock(&db->commit_lock);
        db->changed = true;
        (void)pthread_mutex_unlock(&db->commit_lock);
        return status;
    }
    atomic_store(&db->checkpoint_lsn, state.lsn);
    if (last) db->lsn = state.lsn;
    if (wal && !last) status = sdb__wal_trim(wal, sdb__changes_keep(db, state.lsn));
    return status;
}

sdb_status sdb__db_checkpoint(sdb_db *db, bool last)
{
    uint64_t begun = sdb__clock_now_ns();
    sdb_status status;

    if (db->readonly) return SDB_OK;
    TRY(sdb__keyspaces_tidy(db));
    (void)pthread_mutex_lock(&db->checkpoint_lock);
    status = run_checkpoint(db, last);
    (void)pthread_mutex_unlock(&db->checkpoint_lock);
    if (status != SDB_OK) return status;
    atomic_fetch_add(&db->checkpoints, 1);
    atomic_store(&db->last_checkpoint_ms, (sdb__clock_now_ns() - begun) / 1000000);
    return sdb__pager_shrink_file(db->pager);
}

/* Bytes of log that a crash now would replay. */
static uint64_t log_bytes(sdb_db *db)
{
    struct wal *wal = atomic_load_explicit(&db->wal, memory_order_acquire);
    uint64_t from = atomic_load(&db->checkpoint_lsn), end;

    if (!wal) return 0;
    end = sdb__wal_end(wal);
    return end > from ? end - from : 0;
}

/* True when the log or the cache asks for a checkpoint. */
static bool is_due(sdb_db *db)
{
    uint64_t bytes = log_bytes(db);

    if (!atomic_load_explicit(&db->wal, memory_order_acquire)) return false;
    if (bytes >= db->options.log_limit_bytes)
        atomic_store_explicit(&db->log_full, true, memory_order_relaxed);
    if (bytes >= db->options.checkpoint_bytes || bytes >= db->options.log_limit_bytes / 2)
        return true;
    return sdb__pager_wants_checkpoint(db->pager);
}

/* Has the worker make a checkpoint. */
static void order_locked(sdb_db *db)
{
    if (db->worker_checkpoint) return;
    db->worker_checkpoint = true;
    (void)pthread_cond_signal(&db->worker_cond);
}

sdb_status sdb__db_maybe_checkpoint(sdb_db *db)
{
    sdb_status status;

    if (!is_due(db)) return SDB_OK;
    if (!db->has_worker) {
        status = sdb__db_checkpoint(db, false);
        /* The commit itself succeeded; a full disk only puts the checkpoint off. */
        return sdb__db_alive(db) != SDB_OK ? status : SDB_OK;
    }
    (void)pthread_mutex_lock(&db->worker_lock);
    order_locked(db);
    (void)pthread_mutex_unlock(&db->worker_lock);
    return SDB_OK;
}

static sdb_status log_is_full(sdb_db *db, sdb_status status, const char *why)
{
    return FAIL(status, "%s: the log has reached its limit of %" PRIu64 " bytes, and no "
                "checkpoint can be made: %s", db->path, db->options.log_limit_bytes, why);
}

/* Waits for the worker to make a checkpoint, or fail to. */
static sdb_status wait_round(sdb_db *db)
{
    sdb_status status = SDB_OK;
    char why[sizeof db->round_text] = "";
    uint64_t seen;

    (void)pthread_mutex_lock(&db->worker_lock);
    seen = db->rounds;
    if (log_bytes(db) >= db->options.log_limit_bytes) {
        order_locked(db);
        while (db->rounds == seen) (void)pthread_cond_wait(&db->round_cond, &db->worker_lock);
        status = db->round_status;
        memcpy(why, db->round_text, sizeof why);
    }
    (void)pthread_mutex_unlock(&db->worker_lock);
    TRY(sdb__db_alive(db));
    return status == SDB_OK ? SDB_OK : log_is_full(db, status, why);
}

sdb_status sdb__db_wait_for_log(sdb_db *db)
{
    sdb_status status;

    if (!atomic_load_explicit(&db->log_full, memory_order_relaxed)) return SDB_OK;
    if (log_bytes(db) >= db->options.log_limit_bytes) atomic_fetch_add(&db->log_waits, 1);
    while (log_bytes(db) >= db->options.log_limit_bytes) {
        TRY(sdb__db_alive(db));
        if (db->has_worker) {
            TRY(wait_round(db));
            continue;
        }
        status = sdb__db_checkpoint(db, false);
        TRY(sdb__db_alive(db));
        if (status != SDB_OK) {
            char why[sizeof db->round_text];

            (void)snprintf(why, sizeof why, "%s", sdb_errmsg());
            return log_is_full(db, status, why);
        }
    }
    atomic_store_explicit(&db->log_full, false, memory_order_relaxed);
    return SDB_OK;
}

/*
 * One round of the worker: its failures show in the handle (dead), or are put off to the next
 * round, and told to those who wait for this one.
 */
static sdb_status work(sdb_db *db, bool checkpoint)
{
    struct wal *wal = atomic_load_explicit(&db->wal, memory_order_acquire);

    TRY(sdb__db_alive(db));
    if (checkpoint) return sdb__db_checkpoint(db, false);
    (void)!sdb__keyspaces_tidy(db);
    if (wal && atomic_exchange(&db->group_waiting, false) &&
        sdb__wal_sync(wal, sdb__wal_end(wal)) != SDB_OK)
        return sdb__db_kill(db, SDB_IO);
    return SDB_OK;
}

/* Tells those who wait how making a checkpoint ended. */
static void end_round_locked(sdb_db *db, sdb_status status)
{
    db->worker_checkpoint = false;
    db->rounds++;
    db->round_status = status;
    (void)snprintf(db->round_text, sizeof db->round_text, "%s",
                   status == SDB_NOMEM ? sdb_status_text(status) : sdb_errmsg());
    (void)pthread_cond_broadcast(&db->round_cond);
}

static void *worker_main(void *context)
{
    sdb_db *db = context;
    bool stop = false;

    (void)pthread_mutex_lock(&db->worker_lock);
    while (!stop) {
        struct timespec until;
        bool checkpoint;
        sdb_status status = SDB_OK;
        uint64_t ns = db->options.group_interval_ms * UINT64_C(1000000);

        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        ns += (uint64_t)until.tv_nsec;
        until.tv_sec += (time_t)(ns / 1000000000u);
        until.tv_nsec = (long)(ns % 1000000000u);
        while (!db->worker_stop && !db->worker_checkpoint &&
               pthread_cond_timedwait(&db->worker_cond, &db->worker_lock, &until) != ETIMEDOUT)
            continue;
        checkpoint = db->worker_checkpoint;
        stop = db->worker_stop;
        (void)pthread_mutex_unlock(&db->worker_lock);
        if (!stop) status = work(db, checkpoint);
        (void)pthread_mutex_lock(&db->worker_lock);
        if (checkpoint) end_round_locked(db, status);
    }
    (void)pthread_mutex_unlock(&db->worker_lock);
    return NULL;
}

sdb_status sdb__worker_start(sdb_db *db)
{
    if (db->readonly || db->is_memory || (db->options.flags & SDB_OPEN_NO_THREADS))
        return SDB_OK;
    if (pthread_create(&db->worker, NULL, worker_main, db) != 0)
        return FAIL(SDB_NOMEM, "cannot start a thread for background work: open with "
                    "SDB_OPEN_NO_THREADS, or allow more threads");
    db->has_worker = true;
    return SDB_OK;
}

void sdb__worker_stop(sdb_db *db)
{
    if (!db->has_worker) return;
    (void)pthread_mutex_lock(&db->worker_lock);
    db->worker_stop = true;
    (void)pthread_cond_signal(&db->worker_cond);
    (void)pthread_mutex_unlock(&db->worker_lock);
    (void)pthread_join(db->worker, NULL);
    db->has_worker = false;
}
