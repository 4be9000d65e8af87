/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_window.c
 *
 * Idea: the reader sees one segment at a time, through a window of fixed size.
 * Invariants: I1 header fields are used only of segments that are OURS. I2 nothing is read beyond
 *   the file's real size, whatever its header claims. I3 a segment is followed by its number + 1,
 *   whose first LSN is the end of the one before.
 * Costs: one header read per segment file in the folder, then each byte once.
 * Not here: records (wal_read.c).
 */
#include "wal/wal_reader.h"

#include <string.h>
#include "engine/base/status.h"
#include "wal/wal_internal.h"

/* Reads as far as the file goes. */
static sdb_status read_some(struct wal_reader *r, uint64_t offset, void *to, size_t *size)
{
    struct io_op op = {
        .file = r->file, .kind = IO_READ, .memory = to, .offset = offset, .size = *size};

    TRY(sdb__io_run(r->queue, &op, 1));
    *size = op.done;
    return SDB_OK;
}

static bool same_identity(const struct wal_identity *a, const struct wal_identity *b)
{
    return a->log_id == b->log_id &&
           memcmp(a->database_id, b->database_id, sizeof a->database_id) == 0;
}

static sdb_status judge_header(struct wal_reader *r, uint64_t number, const uint8_t *bytes,
                               enum wal_found *out_found)
{
    sdb_status status = sdb__wal_format_get_header(bytes, &r->header);

    if (status == SDB_INVALID) {
        if (same_identity(&r->header.identity, &r->identity))
            return FAIL(SDB_INVALID, "%s is a log of a newer format", sdb__io_path(r->file));
        *out_found = WAL_FOUND_NONE;
        return SDB_OK;
    }
    if (status == SDB_OK && !same_identity(&r->header.identity, &r->identity)) {
        *out_found = WAL_FOUND_NONE;
        return SDB_OK;
    }
    if (status != SDB_OK || r->header.number != number) {
        *out_found = WAL_FOUND_DAMAGED;
        return SDB_OK;
    }
    *out_found = WAL_FOUND_OURS;
    if (r->have > r->header.file_bytes) r->have = r->header.file_bytes;
    return SDB_OK;
}

/* The same for one of the folders. */
static sdb_status open_in(struct wal_reader *r, const char *folder, uint64_t number,
                          enum wal_found *out_found)
{
    uint8_t bytes[WAL_SEGMENT_HEADER];
    char path[WAL_PATH_MAX];
    size_t size = sizeof bytes;
    sdb_status status;

    sdb__io_close(r->file);
    r->file = NULL;
    r->window_size = 0;
    TRY(sdb__wal_segment_path(folder, number, path));
    status = sdb__io_open(r->io, path, 0, &r->file);
    if (status == SDB_NOTFOUND) {
        *out_found = WAL_FOUND_NONE;
        return SDB_OK;
    }
    TRY(status);
    TRY(sdb__io_size(r->file, &r->have));
    TRY(read_some(r, 0, bytes, &size));
    memset(bytes + size, 0, sizeof bytes - size);
    return judge_header(r, number, bytes, out_found);
}

sdb_status sdb__wal_window_open(struct wal_reader *r, uint64_t number, enum wal_found *out_found)
{
    TRY(open_in(r, r->folder, number, out_found));
    if (*out_found == WAL_FOUND_OURS || !r->more) return SDB_OK;
    return open_in(r, r->more, number, out_found);
}

sdb_status sdb__wal_window_get(struct wal_reader *r, uint64_t offset, size_t size,
                               uint8_t **out_bytes)
{
    size_t got = WAL_WINDOW;

    *out_bytes = NULL;
    if (offset > r->have || r->have - offset < size) return SDB_OK;
    if (offset < r->window_at || offset - r->window_at > r->window_size ||
        r->window_size - (size_t)(offset - r->window_at) < size) {
        if (r->have - offset < got) got = (size_t)(r->have - offset);
        r->window_size = 0;
        TRY(read_some(r, offset, r->window, &got));
        r->window_at = offset;
        r->window_size = got;
        r->done = got < r->total - r->done ? r->done + got : r->total;
        if (r->progress && r->progress(r->context, r->done, r->total) != 0)
            return FAIL(SDB_CANCELLED, "reading the log in %s was cancelled", r->folder);
        if (got < size) return SDB_OK; /* the file has become shorter */
    }
    *out_bytes = r->window + (offset - r->window_at);
    return SDB_OK;
}

static sdb_status note_number(void *context, const char *name)
{
    struct wal_reader *r = context;
    uint64_t number;

    if (!sdb__wal_format_number(name, &number) || number == 0) return SDB_OK;
    TRY(sdb__mem_reserve(r->allocator, &r->numbers, &r->capacity, r->count + 1,
                         sizeof *r->numbers));
    r->numbers[r->count++] = number;
    return SDB_OK;
}

/* The highest number wins: LSNs grow with numbers, and where two touch, the later one goes on. */
static void weigh(struct wal_reader *r, uint64_t number, uint64_t from_lsn)
{
    uint64_t first = r->header.first_lsn, end = wal_header_end(&r->header);

    if (end >= from_lsn) r->total += r->have - (from_lsn > first ? from_lsn - first : 0);
    if (first <= from_lsn && from_lsn <= end && number > r->holder) r->holder = number;
}

sdb_status sdb__wal_window_list(struct wal_reader *r)
{
    sdb_status status = sdb__io_folder_list(r->io, r->folder, note_number, r), more;

    if (!r->more || (status != SDB_OK && status != SDB_NOTFOUND)) return status;
    more = sdb__io_folder_list(r->io, r->more, note_number, r);
    return more == SDB_NOTFOUND ? status : more;
}

sdb_status sdb__wal_window_survey(struct wal_reader *r, uint64_t from_lsn)
{
    uint64_t suspect = 0; /* a damaged one that is this log's by its header */

    TRY(sdb__wal_window_list(r));
    for (size_t i = 0; i < r->count; i++) {
        uint64_t number = r->numbers[i];
        enum wal_found found;

        TRY(sdb__wal_window_open(r, number, &found));
        if (found == WAL_FOUND_NONE) continue;
        if (number > r->last) r->last = number;
        if (found == WAL_FOUND_OURS)
            weigh(r, number, from_lsn);
        else if (same_identity(&r->header.identity, &r->identity))
            suspect = number;
    }
    if (r->holder) return SDB_OK;
    if (suspect)
        return FAIL(SDB_CORRUPT, "the header of log segment %llu in %s is damaged",
                    (unsigned long long)suspect, r->folder);
    return FAIL(SDB_NOTFOUND, "no log segment in %s holds LSN %llu", r->folder,
                (unsigned long long)from_lsn);
}

sdb_status sdb__wal_window_next(struct wal_reader *r, uint64_t number, uint64_t lsn,
                                enum wal_found *out_found)
{
    *out_found = WAL_FOUND_NONE;
    if (number >= r->last) return SDB_OK;
    number++;
    TRY(sdb__wal_window_open(r, number, out_found));
    if (*out_found == WAL_FOUND_NONE)
        return FAIL(SDB_CORRUPT, "log segment %llu in %s is missing", (unsigned long long)number,
                    r->folder);
    if (*out_found == WAL_FOUND_DAMAGED && number < r->last)
        return FAIL(SDB_CORRUPT, "%s: the header is damaged", sdb__io_path(r->file));
    if (*out_found == WAL_FOUND_OURS && r->header.first_lsn != lsn)
        return FAIL(SDB_CORRUPT, "%s begins at LSN %llu, the one before it ends at %llu",
                    sdb__io_path(r->file), (unsigned long long)r->header.first_lsn,
                    (unsigned long long)lsn);
    return SDB_OK;
}

void sdb__wal_window_done(struct wal_reader *r)
{
    sdb__io_close(r->file);
    sdb__io_queue_free(r->queue);
    sdb__mem_free(r->allocator, r->numbers);
    sdb__mem_free(r->allocator, r->unpacked);
    sdb__mem_free(r->allocator, r->window);
}
