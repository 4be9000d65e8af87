/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_archive.c
 *
 * Idea: an archived log is a log: the same names, headers and records, so that reading it back is
 *   reading a log. Before a segment is recycled its records are read, checked and copied.
 * Invariants: I1 a copy is durable, and then has its name durably, before its segment may go. I2 a
 *   segment with others behind it is copied whole or not at all. I3 what lies behind the last
 *   record (zeros, or an earlier life) is not copied.
 * Costs: each segment is read and written once more, by the thread that makes checkpoints.
 * Not here: which logs follow each other (index/kv/restore.c).
 */
#include "wal/wal_archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/status.h"
#include "wal/wal_internal.h"
#include "wal/wal_reader.h"

enum { PATH_MOST = WAL_PATH_MAX + 32 };

struct archiving {
    struct wal_reader r;
    const char *archive;
    char folder[PATH_MOST]; /* in it, of this log */
};

static sdb_status begin(struct archiving *a, struct io *io, const sdb_allocator *allocator,
                        const char *folder, const struct wal_identity *identity,
                        const char *archive)
{
    *a = (struct archiving){.r = {.io = io, .allocator = allocator, .folder = folder,
                                  .identity = *identity},
                            .archive = archive};
    if (strlen(archive) > WAL_FOLDER_MAX - 17)
        return FAIL(SDB_LIMIT, "the path of the archive has more than %d bytes",
                    WAL_FOLDER_MAX - 17);
    (void)snprintf(a->folder, sizeof a->folder, "%s/%016llx", archive,
                   (unsigned long long)identity->log_id);
    TRY(sdb__io_queue_new(io, 1, &a->r.queue));
    a->r.window = sdb__mem_alloc(allocator, WAL_WINDOW);
    return a->r.window ? SDB_OK : SDB_NOMEM;
}

/* Makes a folder durably, if it is not there. */
static sdb_status make_folder(struct io *io, const char *path)
{
    sdb_status status = sdb__io_folder_make(io, path);

    if (status != SDB_OK && status != SDB_EXISTS) return status;
    return sdb__io_parent_sync(io, path);
}

/*
 * The end of the records in the open segment, as an offset in its file; *out_whole: nothing can
 * follow in it.
 */
static sdb_status measure(struct archiving *a, uint64_t *out_end, bool *out_whole)
{
    const struct wal_header *header = &a->r.header;
    uint64_t offset = WAL_SEGMENT_HEADER;
    struct wal_record record = {0};

    while (header->file_bytes - offset >= WAL_RECORD_HEADER && record.kind != WAL_KIND_CLOSE) {
        uint64_t lsn = header->first_lsn + (offset - WAL_SEGMENT_HEADER);
        uint8_t *at;

        TRY(sdb__wal_window_get(&a->r, offset, WAL_RECORD_HEADER, &at));
        if (!at || !sdb__wal_format_peek(at, header->file_bytes - offset, &record)) break;
        TRY(sdb__wal_window_get(&a->r, offset, record.bytes, &at));
        if (!at || !sdb__wal_format_verify(at, &record, header->identity.log_id, lsn)) break;
        offset += record.bytes;
    }
    *out_end = offset;
    *out_whole = record.kind == WAL_KIND_CLOSE || header->file_bytes - offset < WAL_RECORD_HEADER;
    return SDB_OK;
}

/* Writes bytes [0, end) of the open segment to a new file, and makes them durable. */
static sdb_status copy_to(struct archiving *a, const char *path, uint64_t end)
{
    struct io_file *file;
    sdb_status status;

    TRY(sdb__io_open(a->r.io, path, IO_OPEN_WRITE | IO_OPEN_CREATE, &file));
    status = sdb__io_truncate(file, 0); /* left by an attempt that a crash ended */
    for (uint64_t at = 0; status == SDB_OK && at < end;) {
        size_t size = end - at < WAL_WINDOW ? (size_t)(end - at) : WAL_WINDOW;
        uint8_t *bytes;

        status = sdb__wal_window_get(&a->r, at, size, &bytes);
        if (status == SDB_OK && !bytes)
            status = FAIL(SDB_CORRUPT, "%s became shorter while it was archived",
                          sdb__io_path(a->r.file));
        if (status == SDB_OK) status = sdb__io_write(a->r.queue, file, bytes, size, at);
        at += size;
    }
    if (status == SDB_OK) status = sdb__io_sync(a->r.queue, file);
    sdb__io_close(file);
    return status;
}

static sdb_status is_archived(struct archiving *a, const char *path, bool *out_is)
{
    struct io_file *file;
    sdb_status status = sdb__io_open(a->r.io, path, 0, &file);

    *out_is = status == SDB_OK;
    if (status == SDB_OK) sdb__io_close(file);
    return status == SDB_NOTFOUND ? SDB_OK : status;
}

/*
 * Archives one segment, if it is the log's. *out_whole: all records that it can hold are there;
 * only then others may follow.
 */
static sdb_status archive_one(struct archiving *a, uint64_t number, bool *out_ours,
                              bool *out_whole)
{
    char path[WAL_PATH_MAX], part[PATH_MOST];
    enum wal_found found;
    uint64_t end;
    bool archived;

    *out_whole = false;
    TRY(sdb__wal_segment_path(a->folder, number, path));
    (void)snprintf(part, sizeof part, "%s.part", path);
    TRY(sdb__wal_window_open(&a->r, number, &found));
    *out_ours = found == WAL_FOUND_OURS;
    if (!*out_ours) return SDB_OK;
    TRY(measure(a, &end, out_whole));
    TRY(is_archived(a, path, &archived));
    if (archived || end == WAL_SEGMENT_HEADER) return SDB_OK;
    TRY(make_folder(a->r.io, a->archive));
    TRY(make_folder(a->r.io, a->folder));
    TRY(copy_to(a, part, end));
    TRY(sdb__io_rename(a->r.io, part, path));
    return sdb__io_folder_sync(a->r.io, a->folder);
}

static int compare_numbers(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;

    return (*a > *b) - (*a < *b);
}

static sdb_status archive_all(struct archiving *a)
{
    sdb_status status = sdb__wal_window_list(&a->r);
    bool ours = false, whole = true;

    if (status == SDB_NOTFOUND) return SDB_OK;
    TRY(status);
    if (a->r.count) qsort(a->r.numbers, a->r.count, sizeof *a->r.numbers, compare_numbers);
    for (size_t i = 0; i < a->r.count && (!ours || whole); i++)
        TRY(archive_one(a, a->r.numbers[i], &ours, &whole));
    return SDB_OK;
}

/* Says what failed, and that it was archiving. */
static sdb_status finish(struct archiving *a, sdb_status status)
{
    sdb__wal_window_done(&a->r);
    if (status == SDB_OK || status == SDB_NOMEM) return status;
    return sdb__status_add(status, "the log cannot be archived in %s", a->archive);
}

sdb_status sdb__wal_archive_rest(struct io *io, const sdb_allocator *allocator, const char *folder,
                                 const struct wal_identity *identity, const char *archive)
{
    struct archiving a;
    sdb_status status = begin(&a, io, allocator, folder, identity, archive);

    if (status == SDB_OK) status = archive_all(&a);
    return finish(&a, status);
}

sdb_status sdb__wal_archive_before(struct wal *wal, uint64_t lsn)
{
    struct wal_segment *segment;
    struct archiving a;
    sdb_status status = begin(&a, wal->io, wal->allocator, wal->folder, &wal->identity,
                              wal->archive);

    for (segment = wal->head; status == SDB_OK;) {
        uint64_t number = 0;
        bool ours, whole;

        pthread_mutex_lock(&wal->mutex);
        while (segment != wal->current && segment->archived) segment = segment->next;
        if (segment != wal->current && wal_segment_end(segment) <= lsn &&
            wal_segment_end(segment) <= wal->durable)
            number = segment->number;
        pthread_mutex_unlock(&wal->mutex);
        if (number == 0) break;
        status = archive_one(&a, number, &ours, &whole);
        if (status == SDB_OK && !whole)
            status = FAIL(SDB_CORRUPT, "log segment %llu in %s is damaged: make a new backup",
                          (unsigned long long)number, wal->folder);
        if (status == SDB_OK) segment->archived = true;
    }
    return finish(&a, status);
}

/* ---- what is in an archive ---------------------------------------------------------------- */

struct listing {
    struct archiving a;
    struct wal_archived *logs;
    size_t count, capacity;
};

/* Enters a folder of the archive whose name is a log's id. */
static sdb_status note_log(void *context, const char *name)
{
    struct listing *l = context;
    char file[WAL_NAME_SIZE];
    uint64_t id;

    if (strlen(name) != 16) return SDB_OK;
    (void)snprintf(file, sizeof file, "%s.log", name);
    if (!sdb__wal_format_number(file, &id) || id == 0) return SDB_OK;
    TRY(sdb__mem_reserve(l->a.r.allocator, &l->logs, &l->capacity, l->count + 1,
                         sizeof *l->logs));
    l->logs[l->count] = (struct wal_archived){.identity = l->a.r.identity};
    l->logs[l->count].identity.log_id = id;
    memcpy(l->logs[l->count].name, name, sizeof l->logs->name);
    l->count++;
    return SDB_OK;
}

/* Finds the first LSN of a log, and what it follows, in the folder that the reader is at. */
static sdb_status look_into(struct wal_reader *r, struct wal_archived *log)
{
    log->first_lsn = UINT64_MAX;
    r->identity = log->identity;
    r->count = 0;
    TRY(sdb__wal_window_list(r));
    for (size_t i = 0; i < r->count; i++) {
        enum wal_found found;

        TRY(sdb__wal_window_open(r, r->numbers[i], &found));
        if (found != WAL_FOUND_OURS) continue;
        log->previous = r->header.previous;
        if (r->header.first_lsn < log->first_lsn) log->first_lsn = r->header.first_lsn;
    }
    return SDB_OK;
}

static int compare_logs(const void *left, const void *right)
{
    const struct wal_archived *a = left, *b = right;

    return (a->first_lsn > b->first_lsn) - (a->first_lsn < b->first_lsn);
}

static sdb_status list(struct listing *l)
{
    size_t kept = 0;

    TRY(sdb__io_folder_list(l->a.r.io, l->a.archive, note_log, l));
    for (size_t i = 0; i < l->count; i++) {
        (void)snprintf(l->a.folder, sizeof l->a.folder, "%s/%s", l->a.archive, l->logs[i].name);
        l->a.r.folder = l->a.folder;
        TRY(look_into(&l->a.r, &l->logs[i]));
        if (l->logs[i].first_lsn != UINT64_MAX) l->logs[kept++] = l->logs[i];
    }
    l->count = kept;
    if (kept > 1) qsort(l->logs, kept, sizeof *l->logs, compare_logs);
    return SDB_OK;
}

sdb_status sdb__wal_archive_list(struct io *io, const sdb_allocator *allocator,
                                 const char *archive, const uint8_t database_id[16],
                                 struct wal_archived **out_logs, size_t *out_count)
{
    struct wal_identity identity = {.log_id = 0};
    struct listing l = {0};
    sdb_status status;

    memcpy(identity.database_id, database_id, sizeof identity.database_id);
    status = begin(&l.a, io, allocator, archive, &identity, archive);
    if (status == SDB_OK) status = list(&l);
    sdb__wal_window_done(&l.a.r);
    if (status != SDB_OK) {
        sdb__mem_free(allocator, l.logs);
        return status;
    }
    *out_logs = l.logs;
    *out_count = l.count;
    return SDB_OK;
}

/* Takes over the log's id from the first segment that is this database's. */
static sdb_status find_id(struct wal_reader *r, struct wal_archived *log)
{
    TRY(sdb__wal_window_list(r));
    for (size_t i = 0; i < r->count && log->identity.log_id == 0; i++) {
        enum wal_found found;

        r->header.identity.log_id = 0;
        TRY(sdb__wal_window_open(r, r->numbers[i], &found));
        if (memcmp(r->header.identity.database_id, log->identity.database_id,
                   sizeof log->identity.database_id) == 0 && found == WAL_FOUND_NONE)
            log->identity.log_id = r->header.identity.log_id;
    }
    return log->identity.log_id ? look_into(r, log) : SDB_NOTFOUND;
}

sdb_status sdb__wal_archive_look(struct io *io, const sdb_allocator *allocator, const char *folder,
                                 const uint8_t database_id[16], struct wal_archived *out_log)
{
    struct wal_archived log = {.first_lsn = UINT64_MAX};
    struct archiving a;
    sdb_status status;

    memcpy(log.identity.database_id, database_id, sizeof log.identity.database_id);
    status = begin(&a, io, allocator, folder, &log.identity, folder);
    if (status == SDB_OK) status = find_id(&a.r, &log);
    sdb__wal_window_done(&a.r);
    if (status == SDB_OK && log.first_lsn == UINT64_MAX) status = SDB_NOTFOUND;
    if (status == SDB_NOTFOUND)
        return FAIL(SDB_NOTFOUND, "%s holds no log of this database", folder);
    if (status == SDB_OK) *out_log = log;
    return status;
}
