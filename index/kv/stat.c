/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stat.c: figures.
 *
 * Idea: each floor counts for itself; here the counts are put side by side.
 * Invariants: I1 nothing here waits for I/O, but for what snapshots hold when the handle is for
 *   reading only: that is found out the first time. Costs: a few short locks.
 * Not here: history, rates; who wants them asks twice.
 */
#include <stdio.h>
#include <string.h>

#include "engine/base/status.h"
#include "index/kv/database.h"

/* What the log knows. */
static void add_log(sdb_db *db, sdb_stats *s)
{
    struct wal *wal = atomic_load(&db->wal);
    struct wal_stats w;

    if (!wal) return;
    sdb__wal_stats(wal, &w);
    s->log_records = w.records;
    s->log_body_bytes = w.body_bytes;
    s->log_written_bytes = w.written_bytes;
    s->log_batches = w.batches;
    s->log_bytes = sdb__wal_end(wal) - atomic_load(&db->checkpoint_lsn);
    if (w.first_lsn < atomic_load(&db->checkpoint_lsn))
        s->log_kept_bytes = atomic_load(&db->checkpoint_lsn) - w.first_lsn;
}

/* What the pager and its backend know. */
static void add_pager(sdb_db *db, sdb_stats *s)
{
    struct pager_stats pager;
    struct io_stats io;

    sdb__pager_stats(db->pager, &pager);
    sdb__io_stats(db->io, &io);
    s->page_size = sdb__pager_page_size(db->pager);
    s->file_bytes = pager.file_bytes;
    s->used_bytes = pager.used_bytes;
    s->hole_bytes = pager.hole_bytes;
    s->pages = pager.pages;
    s->extents = pager.extents;
    s->compressed_pages = pager.packed_pages;
    s->compressed_bytes = pager.packed_bytes;
    s->cache_bytes = pager.cache_bytes;
    s->cache_limit_bytes = pager.cache_limit_bytes;
    s->cache_other_bytes = pager.cache_other_bytes;
    if (pager.hits + pager.misses)
        s->page_hit_per_mille = pager.hits * 1000 / (pager.hits + pager.misses);
    s->dirty_pages = pager.dirty_pages;
    s->page_hits = pager.hits;
    s->page_misses = pager.misses;
    s->pages_read_ahead = pager.read_ahead;
    s->pages_evicted = pager.evicted;
    s->pages_written = pager.written;
    s->named_snapshots = pager.kept;
    s->snapshot_bytes = pager.held_bytes;
    s->bytes_read = io.read_bytes;
    s->bytes_written = io.written_bytes;
    s->syncs = io.syncs;
}

sdb_status sdb_stat(sdb_db *db, sdb_stats *out_stats)
{
    sdb_stats s = {.size = sizeof s};

    if (!db || !out_stats) return FAIL(SDB_INVALID, "sdb_stat: an argument is NULL");
    if (out_stats->size < sizeof(size_t))
        return FAIL(SDB_INVALID, "sdb_stat: set out_stats->size to sizeof(sdb_stats) first");
    (void)snprintf(s.backend, sizeof s.backend, "%s", sdb__io_name(db->io));
    (void)snprintf(s.backend_note, sizeof s.backend_note, "%s", sdb__io_note(db->io));
    TRY(sdb__pager_find_held(db->pager));
    add_pager(db, &s);
    add_log(db, &s);
    s.commits = atomic_load(&db->commits);
    s.conflicts = atomic_load(&db->conflicts);
    s.checkpoints = atomic_load(&db->checkpoints);
    s.log_waits = atomic_load(&db->log_waits);
    s.last_checkpoint_ms = atomic_load(&db->last_checkpoint_ms);
    s.spilled_bytes = atomic_load(&db->spilled_bytes);
    s.version_entries = atomic_load(&db->versions.count);
    s.version_bytes = atomic_load(&db->versions.bytes);
    s.expired_removed = atomic_load(&db->expired_removed);
    s.expiry_rounds = atomic_load(&db->reap_rounds);
    s.leaked_trees = atomic_load(&db->leaked);
    s.recovered_commits = db->recovered_commits;
    s.recovery_ms = db->recovery_ms;
    (void)pthread_mutex_lock(&db->snapshot_lock);
    s.open_snapshots = db->snapshot_count;
    s.commit_sequence = db->visible;
    (void)pthread_mutex_unlock(&db->snapshot_lock);
    (void)pthread_mutex_lock(&db->keyspace_lock);
    for (size_t i = 0; i < db->keyspace_count; i++)
        if (!atomic_load(&db->keyspaces[i]->dropped)) {
            s.keyspaces++;
            s.expiring_keyspaces += atomic_load(&db->keyspaces[i]->expiring);
        }
    (void)pthread_mutex_unlock(&db->keyspace_lock);
    s.size = out_stats->size;
    memcpy(out_stats, &s, out_stats->size < sizeof s ? out_stats->size : sizeof s);
    return SDB_OK;
}
