/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_append.c
 *
 * Idea: first make sure of the disk space, then copy. `reserve_locked` walks the cuts that the body
 *   will be given and makes the segments they reach into; only then are records built, right in the
 *   buffer they are written from.
 * Invariants: I1 once the first record of a body is in the buffer, only a failed write can keep the
 *   others out: FULL and NOMEM come before. I2 `cut` alone decides sizes, so reserving and
 *   copying agree; a packed record is shorter than was reserved, so what follows it begins no later
 *   and needs no further segment. I3 a record lies in one buffer and one segment. I4 `end` moves
 *   over a body at once, with its last record.
 * Costs: one copy and one digest of each byte under the mutex, at most a record's worth at a time;
 *   packing (wal_pack.h) happens without it, between two copies.
 *   A body larger than the buffers streams through them; one that does not come from memory, by
 *   way of a record's worth of it.
 * Not here: writing (wal_group.c), making segments (wal_segment.c).
 */
#include "wal/wal_internal.h"

#include <assert.h>
#include <string.h>
#include "engine/base/mem.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"

enum {
    STUB = 64 /* a body is not split for the sake of less room than this */
};

/* What of a body is still to be appended. */
struct remains {
    const struct wal_piece *piece;
    size_t offset; /* in *piece */
    uint64_t left; /* bytes */
    bool begun;
};

/* Payload of the next record, given the segment's room; 0: nothing more goes into this segment. */
static size_t cut(uint64_t room, uint64_t left)
{
    size_t most = left < WAL_RECORD_MAX ? (size_t)left : WAL_RECORD_MAX;

    if (wal_record_bytes(most) <= room) return most;
    return room < STUB ? 0 : (size_t)room - WAL_RECORD_HEADER;
}

/* Makes the segment behind the last one, or waits until somebody has. */
static sdb_status add_segment_locked(struct wal *wal)
{
    struct wal_segment *tail = wal->tail, *segment;
    sdb_status status;

    while (wal->making) pthread_cond_wait(&wal->changed, &wal->mutex);
    TRY(sdb__wal_group_alive_locked(wal));
    if (wal->tail != tail) return SDB_OK;
    wal->making = true;
    pthread_mutex_unlock(&wal->mutex);
    status = sdb__wal_segment_make(wal, tail->number + 1, wal_segment_end(tail), &segment);
    pthread_mutex_lock(&wal->mutex);
    wal->making = false;
    pthread_cond_broadcast(&wal->changed);
    if (status == SDB_OK) {
        tail->next = segment;
        wal->tail = segment;
        wal->stats.segments++;
        atomic_store_explicit(&wal->wants_segment, false, memory_order_relaxed);
    } else if (status != SDB_FULL && status != SDB_NOMEM) {
        sdb__wal_group_die_locked(wal);
        status = sdb__wal_group_alive_locked(wal);
    }
    return status;
}

bool sdb__wal_wants_more(struct wal *wal)
{
    return atomic_load_explicit(&wal->wants_segment, memory_order_relaxed) ||
           atomic_load_explicit(&wal->wants_window, memory_order_relaxed);
}

sdb_status sdb__wal_prepare(struct wal *wal)
{
    sdb_status status = SDB_OK;

    sdb__wal_map_prepare(wal); /* first: it is needed sooner, and had in less time */
    pthread_mutex_lock(&wal->mutex);
    if (wal->current == wal->tail && !wal->making && !wal->dead)
        status = add_segment_locked(wal);
    pthread_mutex_unlock(&wal->mutex);
    return status;
}

/* Makes the segments that a body of `left` bytes will reach into. */
static sdb_status reserve_locked(struct wal *wal, uint64_t left)
{
    struct wal_segment *segment = wal->current;
    uint64_t room = wal_segment_end(segment) - wal->position;

    while (left) {
        size_t payload = cut(room, left);

        if (payload) {
            room -= wal_record_bytes(payload);
            left -= payload;
            continue;
        }
        if (segment == wal->tail) TRY(add_segment_locked(wal));
        segment = segment->next;
        room = segment->file_bytes - WAL_SEGMENT_HEADER;
    }
    return SDB_OK;
}

/* Is there room in the active buffer for `need` bytes at `position`? Grows it when it may. */
static bool fits_locked(struct wal *wal, size_t need)
{
    struct wal_buffer *buffer = &wal->buffers[wal->active];

    if (buffer->run_count == WAL_RUNS) return false; /* rare: leave the last run to grow no more */
    while (buffer->capacity - buffer->used < need) {
        size_t capacity = buffer->capacity * 2;
        uint8_t *data;

        if (capacity > WAL_BUFFER_MOST) capacity = WAL_BUFFER_MOST;
        if (capacity == buffer->capacity) return false;
        data = sdb__mem_resize(wal->allocator, buffer->data, capacity);
        if (!data) return false; /* goes on with what it has */
        buffer->data = data;
        buffer->capacity = capacity;
    }
    return true;
}

static sdb_status make_room_locked(struct wal *wal, size_t need)
{
    for (;;) {
        TRY(sdb__wal_group_alive_locked(wal));
        if (fits_locked(wal, need)) return SDB_OK;
        if (wal->leading)
            pthread_cond_wait(&wal->changed, &wal->mutex);
        else
            sdb__wal_group_lead_locked(wal, false);
    }
}

/*
 * Stores a sealed record, which stands in the buffer, through the map if that is possible. A large
 * one is written, and so is what comes behind it: the kernel need not fetch what is overwritten
 * whole.
 */
static bool store_locked(struct wal *wal, size_t offset, size_t bytes)
{
    const struct wal_buffer *buffer = &wal->buffers[wal->active];
    uint8_t *place;

    if (!wal->mapping || bytes > WAL_STORE_MOST) return false;
    if (wal->written != wal->position && !MUTANT(map_overtakes_the_buffer)) return false;
    place = sdb__wal_map_locked(wal, offset, bytes);
    if (!place) return false;
    memcpy(place, buffer->data + buffer->used, bytes);
    wal->current->fresh = true;
    wal->written += bytes;
    wal->position += bytes;
    wal->stats.written_bytes += bytes;
    return true;
}

/* Seals the record whose payload stands in the buffer, and moves the position behind it. */
static void put_locked(struct wal *wal, size_t payload, size_t raw, enum wal_kind kind)
{
    struct wal_buffer *buffer = &wal->buffers[wal->active];
    struct wal_segment *segment = wal->current;
    uint64_t offset = WAL_SEGMENT_HEADER + (wal->position - segment->first_lsn);
    uint64_t back = wal->position - wal->durable;
    struct wal_run *run = buffer->run_count ? &buffer->runs[buffer->run_count - 1] : NULL;
    size_t bytes =
        sdb__wal_format_seal(buffer->data + buffer->used, payload, raw, kind,
                             back < WAL_DURABLE_UNKNOWN ? (uint32_t)back : WAL_DURABLE_UNKNOWN,
                             wal->identity.log_id, wal->position);

    assert(offset + bytes <= segment->file_bytes);
    wal->stats.records++;
    wal->stats.body_bytes += raw ? raw : payload;
    if (store_locked(wal, (size_t)offset, bytes)) return;
    if (!run || run->segment != segment) {
        assert(buffer->run_count < WAL_RUNS);
        run = &buffer->runs[buffer->run_count++];
        *run = (struct wal_run){.segment = segment, .offset = offset, .from = buffer->used};
    }
    assert(run->offset + run->size == offset);
    run->size += bytes;
    buffer->used += bytes;
    wal->position += bytes;
}

static void copy_payload(uint8_t *to, struct remains *r, size_t size)
{
    r->left -= size;
    while (size) {
        size_t here = r->piece->size - r->offset;

        if (here == 0) {
            r->piece++;
            r->offset = 0;
            continue;
        }
        if (here > size) here = size;
        memcpy(to, (const uint8_t *)r->piece->data + r->offset, here);
        to += here;
        r->offset += here;
        size -= here;
    }
}

/* Leaves the current segment for the next, which is there: it was reserved. */
static sdb_status next_segment_locked(struct wal *wal)
{
    struct wal_segment *next = wal->current->next;

    assert(next);
    if (wal_segment_end(wal->current) - wal->position >= WAL_RECORD_HEADER) {
        TRY(make_room_locked(wal, WAL_RECORD_HEADER));
        put_locked(wal, 0, 0, WAL_KIND_CLOSE);
    }
    wal->current = next;
    wal->position = next->first_lsn;
    if (next == wal->tail) atomic_store_explicit(&wal->wants_segment, true, memory_order_relaxed);
    return SDB_OK;
}

/* The payload of the body's next record; leaves the segment if nothing more goes into it. */
static sdb_status next_cut_locked(struct wal *wal, uint64_t left, size_t *out_payload)
{
    *out_payload = cut(wal_segment_end(wal->current) - wal->position, left);
    if (*out_payload) return SDB_OK;
    TRY(next_segment_locked(wal));
    *out_payload = cut(wal_segment_end(wal->current) - wal->position, left);
    return SDB_OK;
}

/* Where the payload of the record that comes next stands. */
static uint8_t *payload_place(const struct wal *wal)
{
    const struct wal_buffer *buffer = &wal->buffers[wal->active];

    return buffer->data + buffer->used + WAL_RECORD_HEADER;
}

/* The same as append_plain_locked, packed if that is worth it. Lets go of the mutex meanwhile. */
static sdb_status append_packed_locked(struct wal *wal, struct remains *r, size_t raw,
                                       enum wal_kind kind)
{
    const uint8_t *payload = wal->packer.raw;
    size_t size;

    /* position and current are this thread's: the cut remains as it is */
    pthread_mutex_unlock(&wal->mutex);
    copy_payload(wal->packer.raw, r, raw);
    size = sdb__wal_pack(&wal->packer, raw);
    pthread_mutex_lock(&wal->mutex);
    if (size)
        payload = wal->packer.packed;
    else
        size = raw;
    TRY(make_room_locked(wal, wal_record_bytes(size)));
    memcpy(payload_place(wal), payload, size);
    put_locked(wal, size, size < raw ? raw : 0, kind);
    return SDB_OK;
}

static sdb_status append_plain_locked(struct wal *wal, struct remains *r, size_t payload,
                                      enum wal_kind kind)
{
    TRY(make_room_locked(wal, wal_record_bytes(payload)));
    copy_payload(payload_place(wal), r, payload);
    put_locked(wal, payload, 0, kind);
    return SDB_OK;
}

/* Appends the next record of a body. */
static sdb_status append_record_locked(struct wal *wal, struct remains *r)
{
    enum wal_kind kind;
    size_t payload;
    bool last;

    TRY(next_cut_locked(wal, r->left, &payload));
    last = payload == r->left;
    kind = r->begun ? (last ? WAL_KIND_LAST : WAL_KIND_MIDDLE)
                    : (last ? WAL_KIND_WHOLE : WAL_KIND_FIRST);
    if (wal->packing && payload >= WAL_PACK_LEAST)
        TRY(append_packed_locked(wal, r, payload, kind));
    else
        TRY(append_plain_locked(wal, r, payload, kind));
    r->begun = true;
    if (last) atomic_store_explicit(&wal->end, wal->position, memory_order_release);
    return SDB_OK;
}

sdb_status sdb__wal_append(struct wal *wal, const struct wal_piece *pieces, size_t count,
                           uint64_t *out_end)
{
    struct remains r = {.piece = pieces};
    sdb_status status;

    for (size_t i = 0; i < count; i++) {
        if (__builtin_add_overflow(r.left, pieces[i].size, &r.left))
            return FAIL(SDB_LIMIT, "a log body is larger than 2^64 bytes");
    }
    if (r.left == 0) return FAIL(SDB_INVALID, "a log body needs at least one byte");
    pthread_mutex_lock(&wal->mutex);
    status = reserve_locked(wal, r.left);
    while (status == SDB_OK && r.left) status = append_record_locked(wal, &r);
    if (status == SDB_OK) *out_end = wal->end;
    pthread_mutex_unlock(&wal->mutex);
    return status;
}

sdb_status sdb__wal_append_from(struct wal *wal, uint64_t size, wal_give_fn give, void *context,
                                uint64_t *out_end)
{
    struct wal_piece piece = {sdb__mem_alloc(wal->allocator, WAL_RECORD_MAX), 0};
    struct remains r = {.left = size};
    sdb_status status;

    if (!piece.data) return SDB_NOMEM;
    pthread_mutex_lock(&wal->mutex);
    status = reserve_locked(wal, size);
    while (status == SDB_OK && r.left) {
        status = next_cut_locked(wal, r.left, &piece.size);
        if (status != SDB_OK) break;
        /* position and current are this thread's: the cut will be the same */
        pthread_mutex_unlock(&wal->mutex);
        status = give(context, (uint8_t *)(uintptr_t)piece.data, piece.size);
        pthread_mutex_lock(&wal->mutex);
        r.piece = &piece;
        r.offset = 0;
        if (status == SDB_OK) status = append_record_locked(wal, &r);
    }
    if (status == SDB_OK) *out_end = wal->end;
    pthread_mutex_unlock(&wal->mutex);
    sdb__mem_free(wal->allocator, (uint8_t *)(uintptr_t)piece.data);
    return status;
}
