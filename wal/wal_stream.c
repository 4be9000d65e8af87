/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_stream.c
 *
 * Idea: a durable byte of the log does not change while its segment is in the list, so it can be
 *   read from the file without a lock. A segment that is recycled under the reader shows: records
 *   of its new life are not valid at the old LSNs. Of a body that is larger than a part the records
 *   up to its end are looked at before its first part is given, and read again afterwards.
 *
 *     next       at            ahead          a body of which a part is full, and whose
 *     [first ][middle][middle][middle][…      end is being looked for
 *
 * Invariants: I1 nothing at or behind `durable` is looked at. I2 `next` moves over a body when it
 *   was given to its end and the stream is called again. I3 a record that is not valid is taken for
 *   damage only if its segment is still in the list afterwards. I4 of a body without a durable end
 *   nothing is given.
 * Costs: one open file, a window of 128 KiB and a part a stream; each byte is read, hashed,
 *   unpacked and copied once, in bodies larger than a part all but the last twice. What was looked
 *   at is not looked at again when the end is not durable yet.
 * Not here: who keeps segments from being trimmed (index/kv/changes.c).
 */
#include "wal/wal_stream.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <time.h>
#include "engine/base/mem.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"
#include "wal/wal_internal.h"

enum { STREAM_WINDOW = 128 * 1024 };

static_assert(STREAM_WINDOW >= WAL_RECORD_HEADER + WAL_RECORD_MAX, "a record fits");

struct wal_stream {
    struct wal *wal;
    struct io_queue *queue;
    size_t part_bytes;
    uint64_t next;  /* the next body, or the one being given, begins here or behind */
    uint64_t at;    /* the next record to be taken */
    uint64_t ahead; /* the next one to be looked at for the end of the body */
    bool opened;    /* nothing was read yet: `next` is what the caller says */
    /* the body that has begun: */
    bool begun;
    bool whole;     /* its end is known */
    bool given;     /* a part of it was given */
    bool dealt;     /* what is in `bytes` was given */
    bool ended;     /* so was its end */
    uint64_t body_lsn;
    struct buffer bytes;

    struct io_file *file; /* the segment that is open; NULL: none */
    uint64_t first_lsn, end_lsn;
    uint8_t *window;
    uint64_t window_at; /* LSN */
    size_t window_size;
    uint8_t *unpacked; /* room for a packed payload; NULL: there was none yet */
};

sdb_status sdb__wal_stream_open(struct wal *wal, uint64_t from_lsn, size_t part_bytes,
                                struct wal_stream **out_stream)
{
    struct wal_stream *s = sdb__mem_zalloc(wal->allocator, 1, sizeof *s);
    sdb_status status;

    if (!s) return SDB_NOMEM;
    s->wal = wal;
    s->part_bytes = part_bytes;
    s->next = s->at = from_lsn;
    s->opened = true;
    s->window = sdb__mem_alloc(wal->allocator, STREAM_WINDOW);
    status = s->window ? sdb__io_queue_new(wal->io, 1, &s->queue) : SDB_NOMEM;
    if (status != SDB_OK) {
        sdb__wal_stream_close(s);
        return status;
    }
    *out_stream = s;
    return SDB_OK;
}

void sdb__wal_stream_close(struct wal_stream *s)
{
    const sdb_allocator *allocator;

    if (!s) return;
    allocator = s->wal->allocator;
    sdb__io_close(s->file);
    sdb__io_queue_free(s->queue);
    sdb__buffer_done(allocator, &s->bytes);
    sdb__mem_free(allocator, s->unpacked);
    sdb__mem_free(allocator, s->window);
    sdb__mem_free(allocator, s);
}

static sdb_status gone(const struct wal_stream *s, uint64_t oldest)
{
    return FAIL(SDB_NOTFOUND, "LSN %llu of the log in %s has been removed: the oldest is %llu",
                (unsigned long long)s->next, s->wal->folder, (unsigned long long)oldest);
}

/* The oldest LSN in the list; *out_segment, if not NULL: of the segment that holds lsn. */
static uint64_t find_segment(struct wal *wal, uint64_t lsn, uint64_t *out_number,
                             uint64_t *out_first, uint64_t *out_end)
{
    uint64_t oldest;

    *out_number = 0;
    pthread_mutex_lock(&wal->mutex);
    oldest = wal->head->first_lsn;
    for (const struct wal_segment *segment = wal->head; segment; segment = segment->next) {
        if (segment->first_lsn > lsn || lsn >= wal_segment_end(segment)) continue;
        *out_number = segment->number;
        *out_first = segment->first_lsn;
        *out_end = wal_segment_end(segment);
    }
    pthread_mutex_unlock(&wal->mutex);
    return oldest;
}

/* Opens the segment that holds lsn. */
static sdb_status open_at(struct wal_stream *s, uint64_t lsn)
{
    char path[WAL_PATH_MAX];
    uint64_t number, oldest;
    sdb_status status;

    if (s->file && s->first_lsn <= lsn && lsn < s->end_lsn) return SDB_OK;
    sdb__io_close(s->file);
    s->file = NULL;
    s->window_size = 0;
    oldest = find_segment(s->wal, lsn, &number, &s->first_lsn, &s->end_lsn);
    if (number == 0) return gone(s, oldest);
    TRY(sdb__wal_segment_path(s->wal->folder, number, path));
    status = sdb__io_open(s->wal->io, path, 0, &s->file);
    return status == SDB_NOTFOUND ? gone(s, oldest) : status;
}

/* Judges a record that is not valid: its segment may have been recycled meanwhile. */
static sdb_status judge(struct wal_stream *s, uint64_t lsn)
{
    uint64_t number, first, end;
    uint64_t oldest = find_segment(s->wal, lsn, &number, &first, &end);

    if (number == 0) return gone(s, oldest);
    if (s->opened && lsn == s->next)
        return FAIL(SDB_INVALID, "no commit begins at LSN %llu", (unsigned long long)lsn);
    return FAIL(SDB_CORRUPT, "the log in %s is damaged at LSN %llu: make a backup",
                s->wal->folder, (unsigned long long)lsn);
}

/* *out_bytes: `size` bytes at lsn, before `limit`; NULL: they are not there. */
static sdb_status get(struct wal_stream *s, uint64_t lsn, size_t size, uint64_t limit,
                      uint8_t **out_bytes)
{
    *out_bytes = NULL;
    if (limit > s->end_lsn) limit = s->end_lsn;
    if (lsn > limit || limit - lsn < size) return SDB_OK;
    if (lsn < s->window_at || lsn + size > s->window_at + s->window_size) {
        struct io_op op = {.file = s->file, .kind = IO_READ, .memory = s->window,
                           .offset = WAL_SEGMENT_HEADER + (lsn - s->first_lsn),
                           .size = limit - lsn < STREAM_WINDOW ? (size_t)(limit - lsn)
                                                               : STREAM_WINDOW};

        s->window_size = 0;
        TRY(sdb__io_run(s->queue, &op, 1));
        s->window_at = lsn;
        s->window_size = op.done;
        if (op.done < size) return SDB_OK;
    }
    *out_bytes = s->window + (lsn - s->window_at);
    return SDB_OK;
}

/* The record at lsn, its payload unpacked. SDB_END: it is not durable yet. */
static sdb_status next_record(struct wal_stream *s, uint64_t lsn, uint64_t durable,
                              struct wal_record *out_record, const uint8_t **out_payload)
{
    uint8_t *at;

    TRY(get(s, lsn, WAL_RECORD_HEADER, durable, &at));
    if (!at || !sdb__wal_format_peek(at, s->end_lsn - lsn, out_record)) return judge(s, lsn);
    if (lsn + out_record->bytes > durable) return SDB_END;
    TRY(get(s, lsn, out_record->bytes, durable, &at));
    if (!at || !sdb__wal_format_verify(at, out_record, s->wal->identity.log_id, lsn))
        return judge(s, lsn);
    return sdb__wal_unpack(s->wal->allocator, out_record, lsn, at + WAL_RECORD_HEADER,
                           &s->unpacked, out_payload);
}

/* The next record at *lsn or, where a segment ends, behind it; it moves there. */
static sdb_status walk(struct wal_stream *s, uint64_t *lsn, uint64_t durable,
                       struct wal_record *out_record, const uint8_t **out_payload)
{
    for (;;) {
        if (*lsn >= durable) return SDB_END;
        TRY(open_at(s, *lsn));
        if (s->end_lsn - *lsn >= WAL_RECORD_HEADER) {
            TRY(next_record(s, *lsn, durable, out_record, out_payload));
            if (out_record->kind != WAL_KIND_CLOSE) return SDB_OK;
        }
        *lsn = s->end_lsn;
    }
}

static bool begins(const struct wal_record *record)
{
    return record->kind == WAL_KIND_WHOLE || record->kind == WAL_KIND_FIRST;
}

static bool ends(const struct wal_record *record)
{
    return record->kind == WAL_KIND_WHOLE || record->kind == WAL_KIND_LAST;
}

static void drop_body(struct wal_stream *s)
{
    s->begun = s->whole = s->given = s->dealt = s->ended = false;
    s->bytes.size = 0;
}

/* Adds the record at `at` to the body. */
static sdb_status take(struct wal_stream *s, const struct wal_record *record,
                       const uint8_t *payload)
{
    /* a body that has an end does not begin anew; one that has not begun does not go on */
    if (begins(record) ? s->whole : !s->begun) return judge(s, s->at);
    if (begins(record)) { /* what was begun before it was given up */
        drop_body(s);
        s->body_lsn = s->at;
    }
    TRY(sdb__buffer_append(s->wal->allocator, &s->bytes, payload, record->raw));
    s->begun = true;
    s->at += record->bytes;
    return SDB_OK;
}

/*
 * Looks for the end of the body of which a part is full. SDB_END: it is not durable yet. SDB_OK
 * without `whole`: there is none, and the next body is where the look ended.
 */
static sdb_status look_ahead(struct wal_stream *s, uint64_t durable)
{
    if (s->ahead < s->at) s->ahead = s->at;
    if (MUTANT(stream_part_without_an_end)) s->whole = true;
    while (!s->whole) {
        struct wal_record record;
        const uint8_t *payload = NULL;

        TRY(walk(s, &s->ahead, durable, &record, &payload));
        if (begins(&record)) {
            drop_body(s);
            s->at = s->ahead;
            return SDB_OK;
        }
        s->whole = ends(&record);
        s->ahead += record.bytes;
    }
    return SDB_OK;
}

static sdb_status give(struct wal_stream *s, bool last, struct wal_streamed *out)
{
    *out = (struct wal_streamed){.part = {.lsn = s->body_lsn, .bytes = s->bytes.data,
                                          .size = s->bytes.size, .first = !s->given,
                                          .last = last},
                                 .next_lsn = last ? s->at : s->body_lsn};
    s->given = s->dealt = true;
    s->ended = last;
    s->opened = false;
    return SDB_OK;
}

sdb_status sdb__wal_stream_next(struct wal_stream *s, struct wal_streamed *out_part)
{
    uint64_t durable = sdb__wal_durable(s->wal);

    if (s->ended) {
        drop_body(s);
        s->next = s->at;
    } else if (s->dealt) {
        s->bytes.size = 0;
        s->dealt = false;
    }
    for (;;) {
        struct wal_record record;
        const uint8_t *payload = NULL;

        if (s->begun && s->bytes.size >= s->part_bytes) {
            TRY(look_ahead(s, durable));
            if (s->whole) return give(s, false, out_part);
        }
        TRY(walk(s, &s->at, durable, &record, &payload));
        TRY(take(s, &record, payload));
        if (ends(&record)) return give(s, true, out_part);
    }
}

void sdb__wal_stream_rewind(struct wal_stream *s)
{
    drop_body(s);
    s->at = s->next;
    s->ahead = 0;
}

void sdb__wal_stream_wait(struct wal *wal, uint64_t lsn, uint64_t timeout_ms)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(timeout_ms / 1000);
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&wal->mutex);
    while (!wal->dead && wal->durable <= lsn &&
           pthread_cond_timedwait(&wal->changed, &wal->mutex, &until) != ETIMEDOUT)
        continue;
    pthread_mutex_unlock(&wal->mutex);
}
