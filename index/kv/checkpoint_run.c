/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint_run.c: when checkpoints are made, and the database's own threads.
 *
 * Idea: a checkpoint is due when the log that a crash would replay has grown to checkpoint_bytes or
 * half of its limit, or when seven eighths of the cache are dirty. Commits that find the log at its
 * limit wait for it. A thread makes it, and frees dropped keyspaces; another one looks after the
 * log meanwhile: it makes the next segment before a commit has to wait for it, and syncs for GROUP
 * commits. Without threads the commit that notices does it all.
 * Invariants: I1 the log is durable up to the cut before a superblock says that it begins there. I2
 *   the log is trimmed only after that superblock is durable.
 * Costs: see engine/pager/checkpoint.c. Not here: recovery (recover.c).
 */
#include <inttypes.h>
#include <stdio.h>

#include "engine/base/clock.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"
#include "index/kv/database.h"

enum { GIVE_BACK_MOST = 256 * 1024 * 1024 }; /* bytes of holes that a checkpoint makes */

/* Whether a snapshot may be made, or dropped. */
static sdb_status judge(sdb_db *db, enum checkpoint_kind kind, const char *name)
{
    if (kind == CHECKPOINT_KEEP) return sdb__pager_may_keep(db->pager, name);
    if (kind == CHECKPOINT_LET_GO) return sdb__pager_may_let_go(db->pager, name);
    return SDB_OK;
}

/* Writes what was cut, and readies what is to be kept, or let go. */
static sdb_status write_cut(sdb_db *db, enum checkpoint_kind kind, const char *name,
                            const struct superblock *state)
{
    TRY(sdb__pager_checkpoint_write(db->pager));
    if (kind == CHECKPOINT_KEEP) return sdb__pager_keep(db->pager, name, state);
    if (kind == CHECKPOINT_LET_GO) return sdb__pager_let_go(db->pager, name);
    return SDB_OK;
}

/* Cuts, writes and finishes. Under checkpoint_lock. */
static sdb_status run_checkpoint(sdb_db *db, enum checkpoint_kind kind, const char *name)
{
    struct superblock state = *sdb__pager_superblock(db->pager);
    bool last = kind == CHECKPOINT_LAST, named = name != NULL;
    struct wal *wal;
    sdb_status status;

    TRY(judge(db, kind, name));
    (void)pthread_mutex_lock(&db->commit_lock);
    status = sdb__db_alive(db);
    if (status != SDB_OK || (!db->changed && !named && !(last && state.log_id))) {
        (void)pthread_mutex_unlock(&db->commit_lock);
        return status;
    }
    sdb__pager_checkpoint_cut(db->pager);
    db->changed = false;
    wal = atomic_load(&db->wal);
    state.lsn = wal ? sdb__wal_end(wal) : db->lsn;
    state.commit = db->last_commit + MUTANT(checkpoint_claims_one_commit_more);
    state.log_id = last ? 0 : db->log_id;
    state.history = wal && state.lsn > db->log_first ? db->log_id : db->history;
    state.catalog_root = db->catalog.root;
    (void)pthread_mutex_unlock(&db->commit_lock);
    if (wal && sdb__wal_sync(wal, state.lsn) != SDB_OK) return sdb__db_kill(db, SDB_IO);
    status = write_cut(db, kind, name, &state);
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
    if (status == SDB_OK && !last && !(db->options.flags & SDB_OPEN_KEEP_SPACE))
        status = sdb__pager_give_back(db->pager, GIVE_BACK_MOST);
    return named ? SDB_OK : status; /* it is there, or gone: what failed since fails again */
}

sdb_status sdb__db_checkpoint(sdb_db *db, bool last)
{
    return sdb__db_checkpoint_kind(db, last ? CHECKPOINT_LAST : CHECKPOINT_PLAIN, NULL);
}

sdb_status sdb__db_checkpoint_kind(sdb_db *db, enum checkpoint_kind kind, const char *name)
{
    uint64_t begun = sdb__clock_now_ns();
    sdb_status status;

    if (db->readonly) return SDB_OK;
    TRY(sdb__keyspaces_tidy(db));
    (void)pthread_mutex_lock(&db->checkpoint_lock);
    status = run_checkpoint(db, kind, name);
    (void)pthread_mutex_unlock(&db->checkpoint_lock);
    if (status != SDB_OK) return status;
    atomic_fetch_add(&db->checkpoints, 1);
    atomic_store(&db->last_checkpoint_ms, (sdb__clock_now_ns() - begun) / 1000000);
    status = sdb__pager_shrink_file(db->pager);
    return name ? SDB_OK : status;
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

sdb_status sdb__db_maybe_checkpoint(sdb_db *db)
{
    sdb_status status;
    struct wal *wal = atomic_load_explicit(&db->wal, memory_order_acquire);

    if (db->has_workers &&
        ((wal && sdb__wal_wants_more(wal)) || sdb__pager_wants_memory(db->pager)))
        sdb__worker_wake(&db->keeper);
    if (!is_due(db)) return SDB_OK;
    if (!db->has_workers) {
        status = sdb__db_checkpoint(db, false);
        /* The commit itself succeeded; a full disk only puts the checkpoint off. */
        return sdb__db_alive(db) != SDB_OK ? status : SDB_OK;
    }
    sdb__worker_wake(&db->checkpointer);
    return SDB_OK;
}

static sdb_status log_is_full(sdb_db *db, sdb_status status, const char *why)
{
    return FAIL(status, "%s: the log has reached its limit of %" PRIu64 " bytes, and no "
                "checkpoint can be made: %s", db->path, db->options.log_limit_bytes, why);
}

/* Has a checkpoint made, by the thread for it if there is one. `why`: what it said if it failed. */
static sdb_status make_room(sdb_db *db, char why[WORKER_WHY])
{
    sdb_status status;

    if (db->has_workers) return sdb__worker_wait(&db->checkpointer, why);
    status = sdb__db_checkpoint(db, false);
    (void)snprintf(why, WORKER_WHY, "%s", sdb_errmsg());
    return status;
}

sdb_status sdb__db_wait_for_log(sdb_db *db)
{
    char why[WORKER_WHY];
    sdb_status status;

    if (!atomic_load_explicit(&db->log_full, memory_order_relaxed)) return SDB_OK;
    if (log_bytes(db) >= db->options.log_limit_bytes) atomic_fetch_add(&db->log_waits, 1);
    while (log_bytes(db) >= db->options.log_limit_bytes) {
        TRY(sdb__db_alive(db));
        status = make_room(db, why);
        TRY(sdb__db_alive(db));
        if (status != SDB_OK) return log_is_full(db, status, why);
    }
    atomic_store_explicit(&db->log_full, false, memory_order_relaxed);
    return SDB_OK;
}

/* Failures show in the handle (dead), or are put off to the next round. */
static sdb_status make_checkpoint(void *context, bool woken)
{
    sdb_db *db = context;

    TRY(sdb__db_alive(db));
    return woken ? sdb__db_checkpoint(db, false) : sdb__keyspaces_tidy(db);
}

/* What writers will need next, made ahead of them; syncs for GROUP. */
static sdb_status keep_ready(void *context, bool woken)
{
    sdb_db *db = context;
    struct wal *wal = atomic_load_explicit(&db->wal, memory_order_acquire);

    (void)woken;
    TRY(sdb__db_alive(db));
    if (wal) (void)!sdb__wal_prepare(wal); /* a full disk is told to the commit that needs it */
    sdb__pager_prepare_memory(db->pager);
    if (!wal) return SDB_OK;
    if (atomic_exchange(&db->group_waiting, false) &&
        sdb__wal_sync(wal, sdb__wal_end(wal)) != SDB_OK)
        return sdb__db_kill(db, SDB_IO);
    return SDB_OK;
}

sdb_status sdb__workers_start(sdb_db *db)
{
    unsigned interval_ms = db->options.group_interval_ms;

    if (db->readonly || db->is_memory || (db->options.flags & SDB_OPEN_NO_THREADS))
        return SDB_OK;
    db->has_workers = sdb__worker_start(&db->checkpointer, interval_ms, make_checkpoint, db) &&
                      sdb__worker_start(&db->keeper, interval_ms, keep_ready, db);
    if (db->has_workers) return SDB_OK;
    return FAIL(SDB_NOMEM, "cannot start threads for background work: open with "
                "SDB_OPEN_NO_THREADS, or allow more threads");
}

void sdb__workers_stop(sdb_db *db)
{
    sdb__reaper_stop(db);
    sdb__worker_stop(&db->keeper);
    sdb__worker_stop(&db->checkpointer);
    db->has_workers = false;
}
