/* SPDX-License-Identifier: Apache-2.0 */
/*
 * named.c: snapshots with names (sdb/snapshot.h).
 *
 * Idea: a named snapshot is a checkpoint that the pager keeps (engine/pager/kept.h). Making one and
 * dropping one are checkpoints that change what is kept. Opening one gives a handle for reading
 * like any other, whose pager begins at the kept superblock instead of the newest one; it shares
 * file and backend with the handle that it was opened from.
 * Invariants: I1 a snapshot holds all commits that were acknowledged before it was asked for, since
 *   the cut comes after them. I2 a handle outlives the snapshots opened from it.
 * Costs: a checkpoint for each change. Not here: which blocks are held (kept.c); snapshots of
 *   transactions (snapshot.c).
 */
#include <assert.h>
#include <string.h>

#include <sdb/snapshot.h>

#include "engine/base/status.h"
#include "index/kv/database.h"

enum { CACHE_SHARE = 2 * SDB_SNAPSHOTS_OPEN_MAX };

static_assert(SDB_SNAPSHOTS_MAX == SUPERBLOCK_KEPT_MOST, "as many as the file can have");
static_assert(SDB_SNAPSHOT_NAME_MAX == PAGER_KEPT_NAME, "names as long as in the file");

static sdb_status judge_name(const char *name)
{
    const char *wrong;

    if (!*name) return FAIL(SDB_INVALID, "a snapshot needs a name");
    if (strlen(name) > SDB_SNAPSHOT_NAME_MAX)
        return FAIL(SDB_LIMIT, "a snapshot's name has at most %u bytes; this one has %zu",
                    SDB_SNAPSHOT_NAME_MAX, strlen(name));
    wrong = sdb__keyspace_judge_name((struct bytes){(const uint8_t *)name, strlen(name)});
    if (wrong)
        return FAIL(SDB_INVALID, "a snapshot's name must be UTF-8 without control characters");
    return SDB_OK;
}

static sdb_status change(sdb_db *db, const char *name, enum checkpoint_kind kind)
{
    if (!db || !name) return FAIL(SDB_INVALID, "sdb_snapshot: an argument is NULL");
    TRY(sdb__db_alive(db));
    if (db->parent)
        return FAIL(SDB_READONLY, "%s is open as of a snapshot: make and drop them with the "
                    "database itself", db->path);
    if (db->readonly) return FAIL(SDB_READONLY, "%s is open for reading only", db->path);
    if (kind == CHECKPOINT_KEEP) TRY(judge_name(name));
    return sdb__db_checkpoint_kind(db, kind, name);
}

sdb_status sdb_snapshot_make(sdb_db *db, const char *name)
{
    return change(db, name, CHECKPOINT_KEEP);
}

sdb_status sdb_snapshot_drop(sdb_db *db, const char *name)
{
    return change(db, name, CHECKPOINT_LET_GO);
}

sdb_status sdb_snapshot_next(sdb_db *db, const char *after, sdb_snapshot_info *out_info)
{
    sdb_snapshot_info info = {0};
    struct pager_kept kept;

    if (!db || !out_info) return FAIL(SDB_INVALID, "sdb_snapshot_next: an argument is NULL");
    if (out_info->size < sizeof(size_t))
        return FAIL(SDB_INVALID, "sdb_snapshot_next: set out_info->size to "
                    "sizeof(sdb_snapshot_info) first");
    TRY(sdb__db_alive(db));
    if (!sdb__pager_kept_next(db->pager, after, &kept)) return SDB_END;
    info.size = out_info->size;
    memcpy(info.name, kept.name, sizeof info.name);
    info.commit = kept.superblock.commit;
    info.made_ms = kept.kept_ms;
    memcpy(out_info, &info, info.size < sizeof info ? info.size : sizeof info);
    return SDB_OK;
}

/* Counts one more open snapshot, if there may be one. */
static sdb_status count_in(sdb_db *db)
{
    bool full;

    (void)pthread_mutex_lock(&db->snapshot_lock);
    full = db->opened >= SDB_SNAPSHOTS_OPEN_MAX;
    if (!full) db->opened++;
    (void)pthread_mutex_unlock(&db->snapshot_lock);
    if (!full) return SDB_OK;
    return FAIL(SDB_LIMIT, "%s: %u snapshots are open, and there cannot be more at once: close "
                "some", db->path, SDB_SNAPSHOTS_OPEN_MAX);
}

static void count_out(sdb_db *db)
{
    (void)pthread_mutex_lock(&db->snapshot_lock);
    db->opened--;
    (void)pthread_mutex_unlock(&db->snapshot_lock);
}

void sdb__named_closed(sdb_db *parent)
{
    count_out(parent);
}

/* When a snapshot that is open was made. */
static uint64_t made_at(sdb_db *db, const char *name)
{
    struct pager_kept kept = {0};
    const char *after = NULL;

    while (sdb__pager_kept_next(db->pager, after, &kept) && strcmp(kept.name, name) != 0)
        after = kept.name;
    return kept.kept_ms;
}

sdb_status sdb_snapshot_open(sdb_db *db, const char *name, sdb_db **out_db)
{
    sdb_options options;
    sdb_db *view = NULL;
    sdb_status status;

    if (!db || !name || !out_db)
        return FAIL(SDB_INVALID, "sdb_snapshot_open: an argument is NULL");
    TRY(sdb__db_alive(db));
    options = db->options;
    options.flags = SDB_OPEN_READONLY | SDB_OPEN_MUST_EXIST | SDB_OPEN_NO_THREADS;
    options.cache_bytes /= CACHE_SHARE;
    options.archive_folder = NULL;
    TRY(count_in(db));
    status = sdb__db_new(db->path, &options, &view);
    if (view) {
        view->parent = db;
        view->is_memory = db->is_memory;
        view->io = db->io;
        view->file = db->file;
    } else {
        count_out(db);
    }
    if (status == SDB_OK)
        status = sdb__pager_open_kept(db->pager, name, options.cache_bytes, &view->dictionaries,
                                      &view->pager);
    if (status == SDB_OK) status = sdb__db_load(view);
    if (status == SDB_OK) view->frozen_ms = made_at(db, name);
    if (status != SDB_OK) {
        if (view) sdb__db_free(view);
        return status;
    }
    view->versions.pager = view->pager;
    *out_db = view;
    return SDB_OK;
}
