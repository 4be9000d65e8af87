/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.c: sdb_check and sdb_check_file.
 *
 * Idea: a check reads the file as if nobody had it open. On an open handle it walks a pinned
 * checkpoint, which stays as it is on disk while writers go on; of a closed file it takes the
 * shared lock that readers take.
 * Invariants: I1 locks of the handle are held for two small reads only. I2 nothing is written,
 *   except the checkpoint that an open handle makes first.
 * Costs: see verify.c. The log of an open handle is not read: it is being written, and the
 *   checkpoint made first holds what was in it. Not here: what is looked at (verify.c).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/status.h"
#include "index/kv/database.h"
#include "index/kv/verify.h"

static sdb_status judge_result(const sdb_check_result *result)
{
    if (!result || result->size >= sizeof result->size) return SDB_OK;
    return FAIL(SDB_INVALID, "sdb_check: set out_result->size to sizeof(sdb_check_result) first");
}

/* Verifies, and hands over as much of the result as the caller's structure holds. */
static sdb_status verify(const struct verify *what, sdb_check_result *out_result)
{
    sdb_check_result result = {.size = sizeof result};
    sdb_status status = sdb__verify(what, &result);

    if (!out_result || (status != SDB_OK && status != SDB_CORRUPT)) return status;
    result.size = out_result->size;
    memcpy(out_result, &result,
           result.size < sizeof result ? result.size : sizeof result);
    return status;
}

sdb_status sdb_check(sdb_db *db, sdb_problem_fn report, sdb_progress_fn progress, void *context,
                     sdb_check_result *out_result)
{
    struct verify_slots slots;
    struct superblock pinned;
    sdb_db *owner; /* of the file: its checkpoints write the superblocks */
    struct verify what = {.slots = &slots, .pinned = &pinned, .report = report,
                          .progress = progress, .context = context};
    sdb_status status;

    if (!db) return FAIL(SDB_INVALID, "sdb_check: db is NULL");
    TRY(judge_result(out_result));
    TRY(sdb__db_alive(db));
    if (!db->readonly) TRY(sdb__db_checkpoint(db, false));
    what.allocator = db->allocator;
    what.io = db->io;
    what.file = db->file;
    /* Superblocks are written by checkpoints, and by the first commit, which announces the log. */
    owner = db->parent ? db->parent : db;
    (void)pthread_mutex_lock(&owner->checkpoint_lock);
    (void)pthread_mutex_lock(&owner->commit_lock);
    sdb__pager_pin(db->pager, &pinned);
    sdb__pager_use_kept(db->pager);
    status = sdb__verify_look(db->io, db->file, &slots);
    (void)pthread_mutex_unlock(&owner->commit_lock);
    (void)pthread_mutex_unlock(&owner->checkpoint_lock);
    if (status == SDB_OK) status = verify(&what, out_result);
    sdb__pager_unuse_kept(db->pager);
    sdb__pager_unpin(db->pager);
    return status;
}

/* SDB_INVALID for a file that is too short for superblocks, and does not begin as one either. */
static sdb_status judge_short(struct io *io, struct io_file *file)
{
    struct superblock_pair pair;
    struct io_queue *queue;
    sdb_status status;

    TRY(sdb__io_queue_new(io, 1, &queue));
    status = sdb__superblock_read(queue, file, &pair);
    sdb__io_queue_free(queue);
    return status == SDB_CORRUPT ? SDB_OK : status; /* what is damaged is reported */
}

/* SDB_INVALID when the file is none, or none yet: empty, or its birth was cut short. */
static sdb_status judge_birth(struct io *io, const sdb_allocator *allocator, const char *path,
                              struct io_file *file)
{
    size_t room = strlen(path) + sizeof "-new";
    char *marker = sdb__mem_alloc(allocator, room);
    struct io_file *mark;
    uint64_t bytes;
    sdb_status status = marker ? sdb__io_size(file, &bytes) : SDB_NOMEM;

    if (status == SDB_OK && bytes == 0) {
        status = FAIL(SDB_INVALID, "%s is empty: it is no sdb database yet", path);
    } else if (status == SDB_OK) {
        (void)snprintf(marker, room, "%s-new", path);
        status = sdb__io_open(io, marker, 0, &mark);
        if (status == SDB_OK) {
            sdb__io_close(mark);
            status = FAIL(SDB_INVALID, "%s was being made when power failed: it is no sdb "
                          "database yet; opening it begins again", path);
        } else if (status == SDB_NOTFOUND) {
            status = SDB_OK;
        }
        if (status == SDB_OK && bytes < SUPERBLOCK_SLOTS * SUPERBLOCK_SIZE)
            status = judge_short(io, file);
    }
    sdb__mem_free(allocator, marker);
    return status;
}

static sdb_status lock_shared(struct io_file *file)
{
    int64_t holder = 0;
    sdb_status status = sdb__io_lock(file, IO_LOCK_SHARED, &holder);

    if (status != SDB_BUSY) return status;
    if (holder > 0)
        return FAIL(SDB_BUSY, "%s is open for writing in process %" PRId64 ": check it there, or "
                    "end that process", sdb__io_path(file), holder);
    return FAIL(SDB_BUSY, "%s is open for writing in another process: check it there, or end that "
                "process", sdb__io_path(file));
}

sdb_status sdb__check_file(struct io *io, const sdb_allocator *allocator, const char *path,
                           sdb_problem_fn report, sdb_progress_fn progress, void *context,
                           sdb_check_result *out_result)
{
    struct verify_slots slots;
    struct verify what = {.allocator = allocator, .io = io, .slots = &slots, .report = report,
                          .progress = progress, .context = context};
    size_t room = strlen(path) + sizeof "-wal";
    char *folder;
    struct io_file *file;
    sdb_status status;

    TRY(sdb__io_open(io, path, 0, &file));
    folder = sdb__mem_alloc(allocator, room);
    status = folder ? lock_shared(file) : SDB_NOMEM;
    if (status == SDB_OK) status = judge_birth(io, allocator, path, file);
    if (status == SDB_OK) status = sdb__verify_look(io, file, &slots);
    if (status == SDB_OK) {
        (void)snprintf(folder, room, "%s-wal", path);
        what.file = file;
        what.log_folder = folder;
        status = verify(&what, out_result);
    }
    sdb__mem_free(allocator, folder);
    sdb__io_close(file);
    return status;
}

sdb_status sdb_check_file(const char *path, const sdb_options *options, sdb_problem_fn report,
                          sdb_progress_fn progress, void *context, sdb_check_result *out_result)
{
    sdb_options filled;
    struct io *io;
    sdb_status status;

    if (!path || !*path) return FAIL(SDB_INVALID, "sdb_check_file: there is no path");
    if (strcmp(path, ":memory:") == 0)
        return FAIL(SDB_INVALID, ":memory: has no file: check it with sdb_check");
    TRY(judge_result(out_result));
    TRY(sdb__options_fill(options, &filled));
    TRY(sdb__io_new(filled.backend, filled.allocator, &io));
    status = sdb__check_file(io, filled.allocator, path, report, progress, context, out_result);
    sdb__io_free(io);
    return status;
}
