/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_log.c: any bytes as the segments of a log; reading them back must not crash, deliver a body
 * twice, or cost more than its share. What can be read must read the same from an archive, and in
 * parts.
 *
 * The first byte of the input says how the rest is taken: bit 0, the header of each segment is put
 * right; bit 1, so are the checksums of its records, one behind the other; bits 2 and 3, into how
 * many segments the bytes are cut; bit 4, the format of their headers. With 0 the
 * bytes are one file as they are.
 */
#include <stdlib.h>
#include <string.h>
#include "engine/base/mem.h"
#include "wal/wal_archive.h"
#include "wal/wal_internal.h"

#define FOLDER "f.sdb-wal"

enum { PART_BYTES = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct wal_identity identity = {.database_id = "fuzzed database", .log_id = 77};

static void must(bool held)
{
    if (!held) abort();
}

static void put_file(struct io *io, uint64_t number, const uint8_t *data, size_t size)
{
    char path[WAL_PATH_MAX];
    struct io_queue *queue;
    struct io_file *file;

    must(sdb__wal_segment_path(FOLDER, number, path) == SDB_OK);
    must(sdb__io_open(io, path, IO_OPEN_WRITE | IO_OPEN_CREATE, &file) == SDB_OK);
    must(sdb__io_queue_new(io, 1, &queue) == SDB_OK);
    if (size) must(sdb__io_write(queue, file, data, size, 0) == SDB_OK);
    sdb__io_queue_free(queue);
    sdb__io_close(file);
}

/* Seals what looks like a record, and goes on behind it; what does not is left. */
static void put_checksums_right(uint8_t *bytes, size_t size, uint64_t first_lsn)
{
    size_t at = WAL_SEGMENT_HEADER;

    while (at + WAL_RECORD_HEADER <= size) {
        struct wal_record record;
        uint64_t lsn = first_lsn + (at - WAL_SEGMENT_HEADER);

        bytes[at + 9] &= 1; /* packed, or not */
        memset(bytes + at + 10, 0, 2);
        if (!bytes[at + 9]) memset(bytes + at + 12, 0, 4);
        bytes[at + 2] &= 1; /* sizes that are sometimes possible */
        bytes[at + 14] &= 1;
        bytes[at + 3] = bytes[at + 15] = 0;
        bytes[at + 8] = (uint8_t)(1 + bytes[at + 8] % 6);
        if (!sdb__wal_format_peek(bytes + at, size - at, &record)) {
            at += WAL_ALIGN;
            continue;
        }
        at += sdb__wal_format_seal(bytes + at, record.payload,
                                   record.packing ? record.raw : 0, record.kind,
                                   record.durable_back, identity.log_id, lsn);
    }
}

static uint64_t put_segment(struct io *io, unsigned mode, uint64_t number, uint64_t first_lsn,
                            const uint8_t *data, size_t size)
{
    size_t bytes = (WAL_SEGMENT_HEADER + size + 7) & ~(size_t)7;
    uint8_t *copy;

    if (bytes < WAL_SEGMENT_HEADER + WAL_SMALLEST_RECORD)
        bytes = WAL_SEGMENT_HEADER + WAL_SMALLEST_RECORD;
    copy = calloc(1, bytes);
    must(copy != NULL);
    if (mode & 1) {
        struct wal_header header = {
            .identity = identity, .number = number, .first_lsn = first_lsn, .file_bytes = bytes,
            .packed = mode & 16};

        sdb__wal_format_put_header(copy, &header);
        if (size) memcpy(copy + WAL_SEGMENT_HEADER, data, size);
        if (mode & 2) put_checksums_right(copy, bytes, first_lsn);
        put_file(io, number, copy, bytes);
    } else {
        put_file(io, number, data, size);
    }
    free(copy);
    return first_lsn + (bytes - WAL_SEGMENT_HEADER);
}

static sdb_status count_bytes(void *context, uint64_t lsn, const uint8_t *body, size_t size)
{
    uint64_t *state = context; /* the last LSN, and bytes delivered */
    uint8_t all = 0;

    must(size > 0 && (state[1] == 0 || lsn > state[0]));
    for (size_t i = 0; i < size; i++) all |= body[i];
    state[0] = lsn;
    state[1] += size + (all & 0);
    return SDB_OK;
}

/* Bodies in parts; state[2]: whether one has begun. */
static sdb_status count_parts(void *context, const struct wal_part *part)
{
    uint64_t *state = context;

    must(part->first == !state[2] && (part->last || part->size >= PART_BYTES));
    must(part->first ? state[1] == 0 || part->lsn > state[0] : part->lsn == state[0]);
    state[0] = part->lsn;
    state[1] += part->size;
    state[2] = !part->last;
    return SDB_OK;
}

/* The log was read back with this answer, with `bytes` in its bodies; so it is in parts. */
static void try_parts(struct io *io, sdb_status wanted, const struct wal_replay *expected,
                      uint64_t bytes)
{
    const char *const folders[2] = {FOLDER, NULL};
    struct wal_replay replay;
    uint64_t state[3] = {0, 0, 0};

    must(sdb__wal_replay_parts(io, &sdb__mem_default, folders, &identity, 0, PART_BYTES,
                               count_parts, NULL, state, &replay) == wanted);
    must(state[1] == bytes && !state[2]);
    if (wanted == SDB_OK || wanted == SDB_CORRUPT)
        must(replay.end_lsn == expected->end_lsn && replay.bodies == expected->bodies);
}

/* The log was read back as `expected`, with `bytes` in its bodies; so is its archive. */
static void try_archive(struct io *io, const struct wal_replay *expected, uint64_t bytes)
{
    uint64_t state[2] = {0, 0};
    struct wal_archived *logs = NULL;
    struct wal_replay replay;
    size_t count = 0;
    sdb_status status;

    must(sdb__wal_archive_rest(io, &sdb__mem_default, FOLDER, &identity, "arch") == SDB_OK);
    status = sdb__wal_archive_list(io, &sdb__mem_default, "arch", identity.database_id, &logs,
                                   &count);
    must(status == SDB_OK || (status == SDB_NOTFOUND && expected->bodies == 0));
    must(count <= 1 && (count == 1 || expected->bodies == 0));
    if (count) {
        must(logs->identity.log_id == identity.log_id && logs->first_lsn == 0);
        must(sdb__wal_replay(io, &sdb__mem_default, "arch/000000000000004d", &identity, 0,
                             count_bytes, NULL, state, &replay) == SDB_OK);
        must(replay.end_lsn == expected->end_lsn && replay.bodies == expected->bodies);
        must(state[1] == bytes);
    }
    sdb__mem_free(&sdb__mem_default, logs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned mode = size ? data[0] : 0, segments = (mode & 1) ? 1 + (mode >> 2 & 3) : 1;
    uint64_t lsn = 0, state[2] = {0, 0};
    size_t part = size ? (size - 1) / segments : 0;
    struct wal_replay replay;
    sdb_status status;
    struct io *io;

    must(sdb__io_new_memory(&sdb__mem_default, &io) == SDB_OK);
    must(sdb__io_folder_make(io, FOLDER) == SDB_OK);
    for (unsigned i = 0; i < segments; i++)
        lsn = put_segment(io, mode, i + 1, lsn, size ? data + 1 + i * part : data, part);
    status = sdb__wal_replay(io, &sdb__mem_default, FOLDER, &identity, 0, count_bytes, NULL, state,
                             &replay);
    try_parts(io, status, &replay, state[1]);
    if (status == SDB_OK) {
        must(replay.end_lsn <= lsn && state[1] <= lsn);
        try_archive(io, &replay, state[1]);
    }
    sdb__io_free(io);
    return 0;
}
