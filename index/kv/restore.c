/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restore.c: a database as of a chosen moment, out of a backup and the log since.
 *
 * Idea: a backup says at which LSN it ends and which log its last commit came from, and the logs of
 *   a database follow each other without a gap: one names the log before it, and begins at the LSN
 *   where that ended. So restoring is recovery over many logs, stopped early.
 *
 *       backup │ log 1 … end │ log 2 … end │ log 3 … until here
 *
 *   An older copy that is put in the place of a database and goes on is the same database with
 *   another history from there on; both may have the same archive. The log that a backup was made
 *   in decides which one is followed:
 *
 *       log 1 ──b1────────── log 3 ── log 4        b1: 1, 3, 4    (5 begins before 1 ends: another
 *               └─ log 5 ──b2── log 6              b2: 5, 6        history)
 *
 *   Where two logs go on from the same end of the same log, nobody can tell which is meant.
 * Invariants: I1 nothing is at the wanted path before it is whole, durable and verified; what is
 *   there is not touched. I2 commits are applied in order of their numbers, none is left out
 *   (recover.c refuses otherwise).
 * Costs: a copy of the backup, a replay, a check.
 * Not here: how segments come into the archive (wal/wal_archive.c).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/mutant.h"
#include "engine/base/status.h"
#include "index/kv/database.h"
#include "index/kv/verify.h"
#include "wal/wal_archive.h"

static const size_t NONE = SIZE_MAX;

struct restore {
    sdb_restore_options options;
    struct io *io;
    const sdb_allocator *allocator;
    const char *backup, *path;
    char *part;
    sdb_db *db;                /* the copy */
    struct superblock from;    /* the backup's */
    struct wal_archived *logs; /* in the order of their first LSNs */
    size_t log_count;
    size_t live;               /* index of the log that is also in log_folder; NONE */
    sdb_phase phase;
    sdb_restore_result result;
};

/* ---- what there is ------------------------------------------------------------------------ */

static char *joined(struct restore *r, const char *a, const char *b, const char *c)
{
    size_t size = strlen(a) + strlen(b) + strlen(c) + 1;
    char *text = sdb__mem_alloc(r->allocator, size);

    if (text) (void)snprintf(text, size, "%s%s%s", a, b, c);
    return text;
}

/* SDB_OK when nothing has the name of `path` with an ending. */
static sdb_status expect_nothing(struct restore *r, const char *ending)
{
    char *name = joined(r, r->path, ending, "");
    struct io_file *file;
    sdb_status status;

    if (!name) return SDB_NOMEM;
    status = sdb__io_open(r->io, name, 0, &file);
    if (status == SDB_OK) {
        sdb__io_close(file);
        status = FAIL(SDB_EXISTS, "%s is there already: choose another name, or remove it", name);
    }
    sdb__mem_free(r->allocator, name);
    return status == SDB_NOTFOUND ? SDB_OK : status;
}

static sdb_status stop_reading(void *context, const struct wal_part *part)
{
    (void)context;
    (void)part;
    return SDB_END;
}

/* The folders of log number `at`, as for sdb__wal_replay_both; *out_owned is to be freed. */
static sdb_status folders_of(struct restore *r, size_t at, const char *out_folders[2],
                             char **out_owned)
{
    const struct wal_archived *log = &r->logs[at];
    const char *live = at == r->live ? r->options.log_folder : NULL;
    char *folder = log->name[0] ? joined(r, r->options.archive_folder, "/", log->name) : NULL;

    if (log->name[0] && !folder) return SDB_NOMEM;
    out_folders[0] = folder ? folder : live;
    out_folders[1] = folder ? live : NULL;
    *out_owned = folder;
    return SDB_OK;
}

/* Has log `at` a whole body? If it is damaged, it has: that shows when it is replayed. */
static sdb_status has_body(struct restore *r, size_t at, bool *out_has)
{
    const char *folders[2];
    struct wal_replay replay;
    sdb_status status;
    char *owned;

    TRY(folders_of(r, at, folders, &owned));
    status = sdb__wal_replay_parts(r->io, r->allocator, folders, &r->logs[at].identity,
                                   r->logs[at].first_lsn, WAL_RECORD_MAX, stop_reading, NULL, NULL,
                                   &replay);
    sdb__mem_free(r->allocator, owned);
    *out_has = status != SDB_OK;
    return status == SDB_NOMEM || status == SDB_IO ? status : SDB_OK;
}

/*
 * Forgets logs without a whole body: what a crash left of a first commit. No log follows such a
 * one, and the log that was begun after it is as good a successor of the log before.
 */
static sdb_status forget_empty_logs(struct restore *r)
{
    size_t kept = 0, live = r->live;

    for (size_t i = 0; i < r->log_count; i++) {
        struct wal_archived log = r->logs[i];
        bool has;

        TRY(has_body(r, i, &has));
        if (i == live) r->live = has ? kept : NONE;
        if (has) r->logs[kept++] = log;
    }
    r->log_count = kept;
    return SDB_OK;
}

/* Adds the log in log_folder, which may be one of which the archive has the beginning. */
static sdb_status add_live(struct restore *r)
{
    struct wal_archived log, *logs;
    size_t at = 0;

    TRY(sdb__wal_archive_look(r->io, r->allocator, r->options.log_folder, r->from.database_id,
                              &log));
    for (size_t i = 0; i < r->log_count; i++) {
        if (r->logs[i].identity.log_id != log.identity.log_id) continue;
        r->live = i;
        return SDB_OK;
    }
    logs = sdb__mem_resize(r->allocator, r->logs, (r->log_count + 1) * sizeof *logs);
    if (!logs) return SDB_NOMEM;
    r->logs = logs;
    while (at < r->log_count && logs[at].first_lsn <= log.first_lsn) at++;
    memmove(logs + at + 1, logs + at, (r->log_count - at) * sizeof *logs);
    logs[at] = log;
    r->log_count++;
    r->live = at;
    return SDB_OK;
}

static sdb_status find_logs(struct restore *r)
{
    sdb_status status;

    if (r->options.archive_folder) {
        status = sdb__wal_archive_list(r->io, r->allocator, r->options.archive_folder,
                                       r->from.database_id, &r->logs, &r->log_count);
        if (status == SDB_NOTFOUND)
            return FAIL(status, "there is no archive %s", r->options.archive_folder);
        TRY(status);
    }
    if (r->options.log_folder) TRY(add_live(r));
    if (r->log_count == 0 && r->options.archive_folder)
        return FAIL(SDB_NOTFOUND, "the archive %s holds no log of the database that %s is a backup "
                    "of", r->options.archive_folder, r->backup);
    return forget_empty_logs(r);
}

/* ---- the copy ----------------------------------------------------------------------------- */

static int tell(void *context, uint64_t done, uint64_t total)
{
    struct restore *r = context;

    if (!r->options.progress) return 0;
    return r->options.progress(r->options.progress_context, r->phase, done, total);
}

static sdb_status expect_earlier(const struct restore *r)
{
    const sdb_restore_options *o = &r->options;

    if ((o->until_commit && o->until_commit < r->from.commit) ||
        (o->until_lsn && o->until_lsn < r->from.lsn) ||
        (o->until_ms && o->until_ms < r->from.written_ms))
        return FAIL(SDB_NOTFOUND, "%s is of a later moment (commit %" PRIu64 ", LSN %" PRIu64
                    ", time %" PRIu64 " ms) than the one wanted: take an older backup", r->backup,
                    r->from.commit, r->from.lsn, r->from.written_ms);
    return SDB_OK;
}

static sdb_status copy_backup(struct restore *r, const sdb_options *options)
{
    sdb_options reading = *options;
    sdb_status status;
    sdb_db *db;

    reading.flags = SDB_OPEN_READONLY | SDB_OPEN_MUST_EXIST;
    TRY(sdb__db_open(r->io, r->backup, &reading, &db));
    r->from = *sdb__pager_superblock(db->pager);
    r->phase = SDB_PHASE_COPY;
    status = expect_earlier(r);
    if (status == SDB_OK) status = find_logs(r);
    if (status == SDB_OK) status = sdb__backup(db, r->part, true, tell, r);
    (void)sdb_close(db);
    return status;
}

/* ---- the log ------------------------------------------------------------------------------ */

static sdb_status gap(const struct restore *r, uint64_t lsn)
{
    return FAIL(SDB_NOTFOUND, "the log has a gap: what follows on commit %" PRIu64 " at LSN "
                "%" PRIu64 " is not there: give the folder that has it, restore up to that "
                "commit, or take a newer backup", r->db->last_commit, lsn);
}

static uint64_t or_most(uint64_t until)
{
    return until ? until : UINT64_MAX;
}

/* Replays log number `at` from *lsn on. */
static sdb_status replay_log(struct restore *r, size_t at, uint64_t *lsn, bool *out_reached)
{
    struct replay what = {.identity = r->logs[at].identity, .from_lsn = *lsn,
                          .until_lsn = or_most(r->options.until_lsn),
                          .until_commit = or_most(r->options.until_commit),
                          .until_ms = or_most(r->options.until_ms)};
    sdb_status status;
    char *owned;

    TRY(folders_of(r, at, what.folders, &owned));
    status = sdb__replay(r->db, &what);
    sdb__mem_free(r->allocator, owned);
    *lsn = what.end_lsn;
    *out_reached = what.reached;
    if (what.last_ms) r->result.last_ms = what.last_ms;
    return status == SDB_NOTFOUND ? gap(r, *lsn) : status;
}

/* True when the last commit that is wanted has been applied. */
static bool is_there(const struct restore *r, uint64_t lsn)
{
    return (r->options.until_commit && r->db->last_commit >= r->options.until_commit) ||
           (r->options.until_lsn && lsn >= r->options.until_lsn);
}

/* ---- which logs --------------------------------------------------------------------------- */

static sdb_status two_histories(const struct restore *r, size_t a, size_t b, uint64_t lsn)
{
    return FAIL(SDB_INVALID, "two histories of the database go on from commit %" PRIu64 " at LSN "
                "%" PRIu64 ", with the logs %016" PRIx64 " and %016" PRIx64 ": move the folder of "
                "the one that is not meant out of the archive, or take a backup made since",
                r->db->last_commit, lsn, r->logs[a].identity.log_id, r->logs[b].identity.log_id);
}

static size_t find_log(const struct restore *r, uint64_t id)
{
    for (size_t i = 0; id && i < r->log_count; i++)
        if (r->logs[i].identity.log_id == id) return i;
    return NONE;
}

/* The log that says that it follows log `id` (0: none, or not known), and begins at `lsn`. */
static sdb_status find_named(const struct restore *r, uint64_t id, uint64_t lsn, size_t *out)
{
    *out = NONE;
    for (size_t i = 0; i < r->log_count; i++) {
        if (r->logs[i].first_lsn != lsn) continue;
        if (r->logs[i].previous != id && !MUTANT(histories_mixed)) continue;
        if (*out != NONE) return two_histories(r, *out, i, lsn);
        *out = i;
    }
    return SDB_OK;
}

/* The log that follows log `id`, which ends at `lsn`. */
static sdb_status find_next(const struct restore *r, uint64_t id, uint64_t lsn, size_t *out)
{
    TRY(find_named(r, id, lsn, out));
    return *out == NONE && id ? find_named(r, 0, lsn, out) : SDB_OK;
}

/* Is there a log that may belong behind `lsn`, since what it follows is log `id`, or not there? */
static bool misses_some(const struct restore *r, uint64_t id, uint64_t lsn)
{
    for (size_t i = 0; i < r->log_count; i++) {
        uint64_t previous = r->logs[i].previous;

        if (r->logs[i].first_lsn > lsn && (previous == id || find_log(r, previous) == NONE))
            return true;
    }
    return false;
}

/*
 * The log to go on with, where a backup does not say which one it was made in: it has no commit, or
 * is of a named snapshot. The last that begins before it, if there is but one history.
 */
static sdb_status guess_first(const struct restore *r, uint64_t lsn, size_t *out)
{
    TRY(find_named(r, 0, lsn, out));
    for (size_t i = 0; *out != NONE && i < r->log_count; i++)
        if (i != *out && r->logs[i].first_lsn == lsn) return two_histories(r, *out, i, lsn);
    if (*out != NONE) return SDB_OK;
    for (size_t i = 0; i < r->log_count; i++) {
        for (size_t j = 0; j < i; j++)
            if (r->logs[i].previous == r->logs[j].previous &&
                (r->logs[i].previous || r->logs[i].first_lsn == r->logs[j].first_lsn))
                return two_histories(r, j, i, r->logs[i].first_lsn);
        if (r->logs[i].first_lsn <= lsn) *out = i;
    }
    return SDB_OK;
}

/* The first log with commits behind the backup, or the one that it was made in. */
static sdb_status find_first(const struct restore *r, uint64_t lsn, size_t *out)
{
    uint64_t history = r->from.history;

    if (history == 0) return guess_first(r, lsn, out);
    *out = find_log(r, history);
    return *out == NONE ? find_next(r, history, lsn, out) : SDB_OK;
}

/* The log that was given by its folder has commits behind the backup, and was not come to. */
static sdb_status other_history(const struct restore *r)
{
    return FAIL(SDB_INVALID, "the log in %s belongs to another history of the database than what "
                "follows on %s in the archive: restore without one of them",
                r->options.log_folder, r->backup);
}

static sdb_status replay_all(struct restore *r)
{
    uint64_t lsn = r->from.lsn, id = r->from.history;
    bool reached = is_there(r, lsn), lived = r->live == NONE;
    size_t at = NONE, count = 0;

    r->db->options.flags &= ~(unsigned)SDB_OPEN_NO_THREADS; /* the replay may have its thread */
    if (!reached) TRY(find_first(r, lsn, &at));
    while (at != NONE && !reached) {
        if (count++ == r->log_count) return gap(r, lsn); /* forged: they follow each other */
        TRY(replay_log(r, at, &lsn, &reached));
        reached = reached || is_there(r, lsn);
        id = r->logs[at].identity.log_id;
        lived = lived || at == r->live;
        at = NONE;
        if (!reached) TRY(find_next(r, id, lsn, &at));
    }
    if (!reached && misses_some(r, id, lsn)) return gap(r, lsn);
    if (!reached && !lived && r->logs[r->live].first_lsn >= r->from.lsn) return other_history(r);
    if ((r->options.until_commit || r->options.until_lsn) && !is_there(r, lsn) && !reached)
        return FAIL(SDB_NOTFOUND, "the log ends with commit %" PRIu64 " at LSN %" PRIu64 ", before "
                    "what is wanted", r->db->last_commit, lsn);
    r->result.commit = r->db->last_commit;
    r->result.commits = r->db->last_commit - r->from.commit;
    r->result.lsn = lsn;
    return SDB_OK;
}

/* ---- all of it ---------------------------------------------------------------------------- */

/* Removes the copy and what may stand beside it. Keeps the sentence. */
static sdb_status give_up(struct restore *r, sdb_status status)
{
    static const char *const endings[] = {"", "-new"};
    char sentence[512];

    (void)snprintf(sentence, sizeof sentence, "%s", sdb_errmsg());
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        char *name = joined(r, r->part, endings[i], "");

        if (name) (void)!sdb__io_remove(r->io, name);
        sdb__mem_free(r->allocator, name);
    }
    return status == SDB_NOMEM ? status : FAIL(status, "%s", sentence);
}

/* Rolls the copy forward. */
static sdb_status fill(struct restore *r, const sdb_options *options)
{
    sdb_options writing = *options;
    char sentence[512];
    sdb_status status;

    writing.flags = SDB_OPEN_NO_THREADS | SDB_OPEN_MUST_EXIST;
    TRY(sdb__db_open(r->io, r->part, &writing, &r->db));
    status = replay_all(r);
    if (status == SDB_OK) return sdb_close(r->db);
    (void)snprintf(sentence, sizeof sentence, "%s", sdb_errmsg());
    (void)sdb__db_kill(r->db, status); /* so that closing writes nothing */
    (void)sdb_close(r->db);
    return status == SDB_NOMEM ? status : FAIL(status, "%s", sentence);
}

static sdb_status verify_part(struct restore *r)
{
    sdb_status status;

    r->phase = SDB_PHASE_CHECK;
    status = sdb__check_file(r->io, r->allocator, r->part, NULL, tell, r, NULL);
    if (status != SDB_CORRUPT) return status;
    return FAIL(status, "what was restored from %s is not sound: check the backup, and the memory "
                "of this machine", r->backup);
}

static sdb_status restore(struct restore *r, const sdb_options *options)
{
    sdb_status status;

    r->part = joined(r, r->path, ".part", "");
    if (!r->part) return SDB_NOMEM;
    TRY(expect_nothing(r, ""));
    TRY(expect_nothing(r, "-wal"));
    TRY(expect_nothing(r, "-new"));
    TRY(expect_nothing(r, ".part"));
    status = copy_backup(r, options);
    if (status == SDB_EXISTS) return status;
    if (status == SDB_OK) status = fill(r, options);
    if (status == SDB_OK) status = verify_part(r);
    if (status == SDB_OK) status = expect_nothing(r, "");
    if (status == SDB_OK) status = sdb__io_rename(r->io, r->part, r->path);
    if (status == SDB_OK) return sdb__io_parent_sync(r->io, r->path);
    return give_up(r, status);
}

sdb_status sdb__restore(struct io *io, const char *backup, const char *path,
                        const sdb_restore_options *given, sdb_restore_result *out_result)
{
    struct restore r = {.io = io, .allocator = &sdb__mem_default, .backup = backup, .path = path,
                        .live = NONE, .result = {.size = sizeof r.result}};
    sdb_options options = SDB_OPTIONS_INIT, filled;
    sdb_status status;

    if (given) {
        if (given->size < sizeof(size_t))
            return FAIL(SDB_INVALID, "sdb_restore: set options->size to "
                        "sizeof(sdb_restore_options) first");
        memcpy(&r.options, given, given->size < sizeof r.options ? given->size : sizeof r.options);
    }
    options.cache_bytes = r.options.cache_bytes;
    options.merge_operators = r.options.merge_operators;
    options.merge_operator_count = r.options.merge_operator_count;
    TRY(sdb__options_fill(&options, &filled));
    options.progress = r.options.progress;
    options.progress_context = r.options.progress_context;
    status = restore(&r, &options);
    sdb__mem_free(r.allocator, r.logs);
    sdb__mem_free(r.allocator, r.part);
    if (status == SDB_OK && out_result && out_result->size >= sizeof(size_t)) {
        r.result.size = out_result->size;
        memcpy(out_result, &r.result,
               out_result->size < sizeof r.result ? out_result->size : sizeof r.result);
    }
    return status;
}

sdb_status sdb_restore(const char *backup, const char *path, const sdb_restore_options *options,
                       sdb_restore_result *out_result)
{
    struct io *io;
    sdb_status status;

    if (!backup || !*backup || !path || !*path)
        return FAIL(SDB_INVALID, "sdb_restore: a path is missing");
    if (strcmp(path, ":memory:") == 0 || strcmp(backup, ":memory:") == 0)
        return FAIL(SDB_INVALID, "sdb_restore: a backup is restored from a file to a file");
    TRY(sdb__io_new(SDB_BACKEND_AUTO, &sdb__mem_default, &io));
    status = sdb__restore(io, backup, path, options, out_result);
    sdb__io_free(io);
    return status;
}
