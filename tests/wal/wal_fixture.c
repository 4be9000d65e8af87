/* SPDX-License-Identifier: Apache-2.0 */
/* wal_fixture.c */
#include "tests/wal/wal_fixture.h"

#include <stdlib.h>
#include <string.h>
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "wal/wal_internal.h"

enum { PART_BYTES = 100000 }; /* of bodies that are replayed in parts */

void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    f->allocator = &sdb__mem_default;
    f->segment_bytes = WAL_SEGMENT_LEAST;
    f->identity.log_id = 0x1234567890abcdefu;
    memcpy(f->identity.database_id, "sixteen letters.", 16);
    OK(sdb__io_new_memory(f->allocator, &f->io));
}

void fixture_begin(struct fixture *f)
{
    struct wal_options options = {.io = f->io,
                                  .allocator = f->allocator,
                                  .folder = FIXTURE_FOLDER,
                                  .identity = f->identity,
                                  .first_lsn = f->first_lsn,
                                  .segment_bytes = f->segment_bytes,
                                  .packed = f->packed};

    OK(sdb__wal_begin(&options, &f->wal));
}

void fixture_close(struct fixture *f)
{
    sdb__wal_close(f->wal);
    f->wal = NULL;
}

void fixture_done(struct fixture *f)
{
    fixture_close(f);
    sdb__io_free(f->io);
}

void fixture_fill(uint8_t *to, size_t size, size_t number)
{
    uint64_t state = number * 977 + 5, mask = number % 4 == 0 ? UINT64_MAX : 0xffff;
    size_t i = 0;

    for (; i + 8 <= size; i += 8) {
        uint64_t bits = random_next(&state) & mask;

        memcpy(to + i, &bits, 8);
    }
    for (; i < size; i++) to[i] = (uint8_t)random_next(&state);
}

static bool at_rest(struct wal *wal)
{
    bool sound;

    pthread_mutex_lock(&wal->mutex);
    sound = sdb__wal_group_check_locked(wal);
    pthread_mutex_unlock(&wal->mutex);
    return sound;
}

/* Of the piece `size` bytes have been given. */
static sdb_status give_bytes(void *context, uint8_t *to, size_t size)
{
    struct wal_piece *body = context;

    ck_assert(size > 0 && size <= WAL_RECORD_MAX);
    memcpy(to, (const uint8_t *)body->data + body->size, size);
    body->size += size;
    return SDB_OK;
}

sdb_status fixture_append(struct fixture *f, size_t size)
{
    uint8_t *body = malloc(size);
    size_t a = size / 3, b = size / 2;
    struct wal_piece pieces[5];
    sdb_status status;
    uint64_t end;

    ck_assert(body && f->count < FIXTURE_BODIES);
    fixture_fill(body, size, f->count);
    pieces[0] = (struct wal_piece){body, a};
    pieces[1] = (struct wal_piece){NULL, 0};
    pieces[2] = (struct wal_piece){body + a, b - a};
    pieces[3] = (struct wal_piece){body + b, size - b};
    pieces[4] = (struct wal_piece){NULL, 0};
    if (f->count % 3 == 1)
        status = sdb__wal_append_from(f->wal, size, give_bytes, &(struct wal_piece){body, 0}, &end);
    else
        status = sdb__wal_append(f->wal, pieces, 5, &end);
    free(body);
    if (status != SDB_OK) return status;
    ck_assert(at_rest(f->wal));
    ck_assert_uint_eq(end, sdb__wal_end(f->wal));
    f->sizes[f->count] = size;
    f->ends[f->count++] = end;
    return SDB_OK;
}

void fixture_add(struct fixture *f, size_t size)
{
    OK(fixture_append(f, size));
}

void fixture_sync(struct fixture *f)
{
    OK(sdb__wal_sync(f->wal, sdb__wal_end(f->wal)));
    ck_assert_uint_eq(sdb__wal_durable(f->wal), sdb__wal_end(f->wal));
    ck_assert(at_rest(f->wal));
}

static sdb_status compare(void *context, uint64_t lsn, const uint8_t *body, size_t size)
{
    struct fixture *f = context;
    size_t number = f->from + f->delivered;
    uint8_t *wanted;

    ck_assert_msg(number < f->count, "a body was delivered that was never appended");
    ck_assert_uint_eq(size, f->sizes[number]);
    ck_assert(lsn >= (number ? f->ends[number - 1] : f->first_lsn) && lsn < f->ends[number]);
    wanted = malloc(size);
    ck_assert_ptr_nonnull(wanted);
    fixture_fill(wanted, size, number);
    ck_assert_msg(memcmp(wanted, body, size) == 0, "body %zu is not what was appended", number);
    free(wanted);
    f->delivered++;
    f->last_lsn = lsn;
    return SDB_OK;
}

/* What comes in parts, put together. */
struct parts {
    struct fixture *f;
    uint8_t *body;
    size_t size;
    uint64_t lsn;
    bool open;
};

static sdb_status take_part(void *context, const struct wal_part *part)
{
    struct parts *p = context;

    ck_assert_int_eq(part->first, !p->open);
    ck_assert(part->last || part->size >= PART_BYTES);
    if (part->first) {
        p->size = 0;
        p->lsn = part->lsn;
    }
    ck_assert_uint_eq(part->lsn, p->lsn);
    p->body = realloc(p->body, p->size + part->size);
    ck_assert_ptr_nonnull(p->body);
    memcpy(p->body + p->size, part->bytes, part->size);
    p->size += part->size;
    p->open = !part->last;
    return part->last ? compare(p->f, p->lsn, p->body, p->size) : SDB_OK;
}

/* Bodies in parts are the same, and nothing comes of one that has no end. */
static void replay_parts(struct fixture *f, uint64_t lsn, sdb_status wanted)
{
    const char *const folders[2] = {FIXTURE_FOLDER, NULL};
    size_t delivered = f->delivered;
    struct parts p = {.f = f};
    struct wal_replay replay;
    sdb_status status;

    memset(&replay, 0, sizeof replay);
    f->delivered = 0;
    status = sdb__wal_replay_parts(f->io, f->allocator, folders, &f->identity, lsn, PART_BYTES,
                                   take_part, NULL, &p, &replay);
    free(p.body);
    if (status == SDB_NOMEM && f->allocator != &sdb__mem_default) { /* a test that refuses it */
        f->delivered = delivered;
        return;
    }
    ck_assert_int_eq(status, wanted);
    ck_assert(!p.open);
    ck_assert_uint_eq(f->delivered, delivered);
    if (status == SDB_OK || status == SDB_CORRUPT) {
        ck_assert_uint_eq(replay.end_lsn, f->replay.end_lsn);
        ck_assert_uint_eq(replay.bodies, f->replay.bodies);
        ck_assert_uint_eq(replay.records, f->replay.records);
        ck_assert_uint_eq(replay.bytes, f->replay.bytes);
        ck_assert_int_eq(replay.torn, f->replay.torn);
    }
}

sdb_status fixture_replay(struct fixture *f, size_t from)
{
    uint64_t lsn = from ? f->ends[from - 1] : f->first_lsn;
    sdb_status status;

    f->from = from;
    f->delivered = 0;
    memset(&f->replay, 0, sizeof f->replay);
    status = sdb__wal_replay(f->io, f->allocator, FIXTURE_FOLDER, &f->identity, lsn, compare, NULL,
                             f, &f->replay);
    if (status == SDB_OK || status == SDB_CORRUPT) replay_parts(f, lsn, status);
    if (status == SDB_OK) {
        ck_assert_uint_eq(f->replay.bodies, f->delivered);
        if (f->delivered)
            ck_assert_uint_eq(f->replay.end_lsn, f->ends[from + f->delivered - 1]);
        else
            ck_assert_uint_eq(f->replay.end_lsn, lsn);
    }
    return status;
}

void fixture_replay_all(struct fixture *f, size_t from)
{
    OK(fixture_replay(f, from));
    ck_assert_uint_eq(f->delivered, f->count - from);
    ck_assert(!f->replay.torn);
}

const char *fixture_path(uint64_t number)
{
    static char path[WAL_PATH_MAX];

    OK(sdb__wal_segment_path(FIXTURE_FOLDER, number, path));
    return path;
}

uint8_t *fixture_read_file(struct io *io, const char *path, size_t *out_size)
{
    struct io_queue *queue;
    struct io_file *file;
    uint64_t size;
    uint8_t *data;

    OK(sdb__io_open(io, path, 0, &file));
    OK(sdb__io_size(file, &size));
    OK(sdb__io_queue_new(io, 4, &queue));
    data = malloc(size ? (size_t)size : 1);
    ck_assert_ptr_nonnull(data);
    if (size) OK(sdb__io_read(queue, file, data, (size_t)size, 0));
    sdb__io_close(file);
    sdb__io_queue_free(queue);
    *out_size = (size_t)size;
    return data;
}

void fixture_write_file(struct io *io, const char *path, const void *data, size_t size)
{
    struct io_queue *queue;
    struct io_file *file;

    OK(sdb__io_open(io, path, IO_OPEN_WRITE | IO_OPEN_CREATE, &file));
    OK(sdb__io_queue_new(io, 4, &queue));
    OK(sdb__io_truncate(file, 0));
    if (size) OK(sdb__io_write(queue, file, data, size, 0));
    OK(sdb__io_sync(queue, file));
    sdb__io_close(file);
    sdb__io_queue_free(queue);
}

static sdb_status count_segment(void *context, const char *name)
{
    uint64_t number;

    *(size_t *)context += sdb__wal_format_number(name, &number);
    return SDB_OK;
}

size_t fixture_segment_files(struct io *io)
{
    size_t count = 0;

    OK(sdb__io_folder_list(io, FIXTURE_FOLDER, count_segment, &count));
    return count;
}

static void *failing_resize(void *context, void *memory, size_t size)
{
    struct failing *f = context;
    void *result;

    if (size == 0) {
        f->live -= memory != NULL;
        free(memory);
        return NULL;
    }
    if (++f->requests == f->fail_at) return NULL;
    result = realloc(memory, size);
    f->live += !memory && result;
    return result;
}

void failing_init(struct failing *f)
{
    *f = (struct failing){.allocator = {failing_resize, f}};
}
