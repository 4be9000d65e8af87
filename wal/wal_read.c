/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_read.c
 *
 * Idea: walk the records until one is not valid, put bodies together, hand them out; then let
 *   wal_damage.c say whether the end was the end. Who takes bodies in parts gets a large one while
 *   it is read: when a part is full and the body has not ended, the records up to its end are
 *   looked at first, and read again afterwards.
 * Invariants: I1 nothing of a body is delivered before its last record was verified. I2 bodies are
 *   delivered in the order of their LSNs, each once. I3 nothing is written.
 * Costs: each byte is read, hashed and unpacked once, in bodies of several parts twice; a body in
 *   one record is delivered from the window, without a copy, or from where it was unpacked.
 * Not here: which segment follows (wal_window.c), torn or damaged (wal_damage.c).
 */
#include "wal/wal_reader.h"

#include <string.h>
#include "engine/base/mutant.h"
#include "engine/base/status.h"

struct replaying {
    struct wal_reader r;
    wal_body_fn body;
    wal_part_fn part; /* or this */
    size_t part_bytes;
    struct wal_replay result;
    struct buffer parts; /* of the body being put together */
    uint64_t parts_lsn;
    bool parts_open;
    bool parts_begun;  /* the first part has been delivered: the body is whole */
    bool parts_wanted; /* false: the body has no end, nothing of it is kept */
    uint64_t number;   /* of the open segment */
};

static sdb_status deliver(struct replaying *p, uint64_t lsn, const uint8_t *data, size_t size,
                          uint64_t end)
{
    struct wal_part part = {lsn, data, size, !p->parts_begun, true};

    if (p->body) TRY(p->body(p->r.context, lsn, data, size));
    if (p->part) TRY(p->part(p->r.context, &part));
    p->result.bodies++;
    p->result.end_lsn = end;
    return SDB_OK;
}

static sdb_status next_record(struct wal_reader *r, uint64_t lsn, struct wal_record *out_record,
                              const uint8_t **out_payload);

/* Looks in the open segment, from *lsn on, for the end of the body that is open there. */
static sdb_status find_end(struct wal_reader *r, uint64_t *lsn, bool *out_found, bool *out_stopped)
{
    uint64_t end = wal_header_end(&r->header);

    while (end - *lsn >= WAL_RECORD_HEADER) {
        struct wal_record record;
        const uint8_t *payload;

        TRY(next_record(r, *lsn, &record, &payload));
        *out_found = payload && record.kind == WAL_KIND_LAST;
        *out_stopped = !payload || record.kind == WAL_KIND_WHOLE || record.kind == WAL_KIND_FIRST;
        if (*out_found || *out_stopped) return SDB_OK;
        *lsn += record.bytes;
        if (record.kind == WAL_KIND_CLOSE) break;
    }
    *lsn = end;
    return SDB_OK;
}

/* Whether the open body, read up to `lsn`, has an end. Comes back to the segment. */
static sdb_status look_ahead(struct replaying *p, uint64_t lsn, bool *out_whole)
{
    uint64_t done = p->r.done, number = p->number;
    enum wal_found found = WAL_FOUND_OURS;
    bool stopped = false;

    *out_whole = false;
    while (found == WAL_FOUND_OURS && !*out_whole && !stopped) {
        TRY(find_end(&p->r, &lsn, out_whole, &stopped));
        if (*out_whole || stopped) break;
        /* whatever is wrong with the next one shows again when the reading comes there */
        TRY(sdb__wal_window_open(&p->r, ++number, &found));
        if (found == WAL_FOUND_OURS && p->r.header.first_lsn != lsn) found = WAL_FOUND_DAMAGED;
    }
    if (MUTANT(parts_of_a_torn_body)) *out_whole = true;
    p->r.done = done;
    TRY(sdb__wal_window_open(&p->r, p->number, &found));
    if (found == WAL_FOUND_OURS) return SDB_OK;
    return FAIL(SDB_CORRUPT, "log segment %llu in %s changed while it was read",
                (unsigned long long)p->number, p->r.folder);
}

/* A part is full, and the body goes on at `next`. */
static sdb_status deliver_part(struct replaying *p, uint64_t next)
{
    struct wal_part part = {p->parts_lsn, p->parts.data, p->parts.size, !p->parts_begun, false};

    if (!p->parts_begun) TRY(look_ahead(p, next, &p->parts_wanted));
    if (p->parts_wanted) {
        TRY(p->part(p->r.context, &part));
        p->parts_begun = true;
    }
    p->parts.size = 0;
    return SDB_OK;
}

/* Takes a valid record. A beginning drops what was begun before it: that body was given up. */
static sdb_status take(struct replaying *p, const struct wal_record *record, uint64_t lsn,
                       const uint8_t *payload)
{
    p->result.records++;
    p->result.bytes += record->bytes;
    switch (record->kind) {
    case WAL_KIND_CLOSE: return SDB_OK;
    case WAL_KIND_WHOLE:
        p->parts_open = p->parts_begun = false;
        return deliver(p, lsn, payload, record->raw, lsn + record->bytes);
    case WAL_KIND_FIRST:
        p->parts_open = p->parts_wanted = true;
        p->parts_begun = false;
        p->parts_lsn = lsn;
        p->parts.size = 0;
        break;
    case WAL_KIND_MIDDLE:
    case WAL_KIND_LAST:
        if (!p->parts_open)
            return FAIL(SDB_CORRUPT, "the log in %s has a body without a beginning at LSN %llu",
                        p->r.folder, (unsigned long long)lsn);
        break;
    }
    if (!p->parts_wanted && record->kind == WAL_KIND_LAST)
        return FAIL(SDB_CORRUPT, "the log in %s changed while it was read", p->r.folder);
    if (p->parts_wanted)
        TRY(sdb__buffer_append(p->r.allocator, &p->parts, payload, record->raw));
    if (record->kind != WAL_KIND_LAST && !MUTANT(body_delivered_in_parts))
        return p->part && p->parts.size >= p->part_bytes ? deliver_part(p, lsn + record->bytes)
                                                         : SDB_OK;
    p->parts_open = false;
    return deliver(p, p->parts_lsn, p->parts.data, p->parts.size, lsn + record->bytes);
}

/*
 * The record at lsn of the open segment, verified, its payload unpacked; *out_payload NULL if there
 * is none.
 */
static sdb_status next_record(struct wal_reader *r, uint64_t lsn, struct wal_record *out_record,
                              const uint8_t **out_payload)
{
    uint64_t offset = WAL_SEGMENT_HEADER + (lsn - r->header.first_lsn);
    uint8_t *at;

    *out_payload = NULL;
    TRY(sdb__wal_window_get(r, offset, WAL_RECORD_HEADER, &at));
    if (!at || !sdb__wal_format_peek(at, r->header.file_bytes - offset, out_record)) return SDB_OK;
    TRY(sdb__wal_window_get(r, offset, out_record->bytes, &at));
    if (!at || !sdb__wal_format_verify(at, out_record, r->identity.log_id, lsn)) return SDB_OK;
    return sdb__wal_unpack(r->allocator, out_record, lsn, at + WAL_RECORD_HEADER, &r->unpacked,
                           out_payload);
}

/* Reads the open segment from *lsn to its end, or (*out_stopped) to where no valid record is. */
static sdb_status read_segment(struct replaying *p, uint64_t *lsn, bool *out_stopped)
{
    uint64_t end = wal_header_end(&p->r.header);

    *out_stopped = false;
    while (end - *lsn >= WAL_RECORD_HEADER) {
        struct wal_record record;
        const uint8_t *payload;

        TRY(next_record(&p->r, *lsn, &record, &payload));
        if (!payload) {
            *out_stopped = true;
            return SDB_OK;
        }
        TRY(take(p, &record, *lsn, payload));
        *lsn += record.bytes;
        if (record.kind == WAL_KIND_CLOSE) break;
    }
    *lsn = end;
    return SDB_OK;
}

/* Does anything but zeros stand at the place where the log ends? */
static sdb_status look_torn(struct replaying *p, uint64_t lsn)
{
    static const uint8_t zeros[WAL_RECORD_HEADER];
    uint64_t offset = WAL_SEGMENT_HEADER + (lsn - p->r.header.first_lsn);
    uint8_t *at;

    TRY(sdb__wal_window_get(&p->r, offset, WAL_RECORD_HEADER, &at));
    p->result.torn = p->parts_open || (at && memcmp(at, zeros, sizeof zeros) != 0);
    return SDB_OK;
}

static sdb_status read_log(struct replaying *p, uint64_t from_lsn)
{
    uint64_t number = p->r.holder, lsn = from_lsn;
    enum wal_found found;
    bool stopped;

    p->number = number;
    TRY(sdb__wal_window_open(&p->r, number, &found));
    if (found != WAL_FOUND_OURS)
        return FAIL(SDB_CORRUPT, "log segment %llu in %s changed while it was read",
                    (unsigned long long)number, p->r.folder);
    for (;;) {
        TRY(read_segment(p, &lsn, &stopped));
        if (stopped) {
            TRY(look_torn(p, lsn));
            return sdb__wal_damage_judge(&p->r, number, lsn);
        }
        TRY(sdb__wal_window_next(&p->r, number, lsn, &found));
        p->number = ++number;
        if (found != WAL_FOUND_OURS) break;
    }
    p->result.torn = p->parts_open;
    if (found == WAL_FOUND_NONE) return SDB_OK;
    return sdb__wal_damage_judge_header(&p->r, lsn);
}

static sdb_status replay(struct replaying *p, uint64_t from_lsn)
{
    struct wal_reader *r = &p->r;

    TRY(sdb__io_queue_new(r->io, 1, &r->queue));
    r->window = sdb__mem_alloc(r->allocator, WAL_WINDOW);
    if (!r->window) return SDB_NOMEM;
    TRY(sdb__wal_window_survey(r, from_lsn));
    TRY(read_log(p, from_lsn));
    if (r->progress && r->progress(r->context, r->total, r->total) != 0)
        return FAIL(SDB_CANCELLED, "reading the log in %s was cancelled", r->folder);
    return SDB_OK;
}

static sdb_status replay_whole(struct replaying *p, uint64_t from_lsn,
                               struct wal_replay *out_replay)
{
    sdb_status status;

    p->result.end_lsn = from_lsn;
    if (from_lsn % WAL_ALIGN)
        return FAIL(SDB_INVALID, "LSN %llu is no place in a log", (unsigned long long)from_lsn);
    status = replay(p, from_lsn);
    sdb__buffer_done(p->r.allocator, &p->parts);
    sdb__wal_window_done(&p->r);
    if (status == SDB_OK || status == SDB_END || status == SDB_CORRUPT) *out_replay = p->result;
    return status;
}

sdb_status sdb__wal_replay_parts(struct io *io, const sdb_allocator *allocator,
                                 const char *const folders[2], const struct wal_identity *identity,
                                 uint64_t from_lsn, size_t part_bytes, wal_part_fn part,
                                 sdb_progress_fn progress, void *context,
                                 struct wal_replay *out_replay)
{
    struct replaying p = {.r = {.io = io,
                                .allocator = allocator,
                                .folder = folders[0],
                                .more = folders[1],
                                .identity = *identity,
                                .progress = progress,
                                .context = context},
                          .part = part,
                          .part_bytes = part_bytes};

    return replay_whole(&p, from_lsn, out_replay);
}

sdb_status sdb__wal_replay_both(struct io *io, const sdb_allocator *allocator,
                                const char *const folders[2], const struct wal_identity *identity,
                                uint64_t from_lsn, wal_body_fn body, sdb_progress_fn progress,
                                void *context, struct wal_replay *out_replay)
{
    struct replaying p = {.r = {.io = io,
                                .allocator = allocator,
                                .folder = folders[0],
                                .more = folders[1],
                                .identity = *identity,
                                .progress = progress,
                                .context = context},
                          .body = body};

    return replay_whole(&p, from_lsn, out_replay);
}

sdb_status sdb__wal_replay(struct io *io, const sdb_allocator *allocator, const char *folder,
                           const struct wal_identity *identity, uint64_t from_lsn, wal_body_fn body,
                           sdb_progress_fn progress, void *context, struct wal_replay *out_replay)
{
    const char *const folders[2] = {folder, NULL};

    return sdb__wal_replay_both(io, allocator, folders, identity, from_lsn, body, progress, context,
                                out_replay);
}
