/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_segment.c
 *
 * Idea: a segment is paid for once. It is written full of zeros and synced before its first record,
 *   so that a commit changes neither its size nor its block map; trimmed, it gets a new name and
 *   header and serves again. Where commits do not wait for the disk, the zeros are left out: the
 *   space is allocated and reads as zeros, and each block is written once, with its records.
 * Invariants: I1 a segment in the list is durable: bytes, size, header and name. I2 number n + 1 is
 *   begun only when n is durable, so after a crash at most the last one is unfinished. I3 a reused
 *   file has its new name before its new header: whichever of the two survives a crash alone, name
 *   and header disagree and the file counts as unfinished.
 * Costs: a new one is two passes over the disk (zeros, records) and two syncs; a reused one two
 *   syncs.
 * Source: WAL recycling in PostgreSQL (xlog.c, XLogFileInit and InstallXLogFileSegment). There
 *   stale records are told apart by page address; here by the seed of their checksum.
 * Not here: when a segment is needed (wal_append.c) or no longer is (wal_group.c).
 */
#include "wal/wal_internal.h"

#include <string.h>
#include "engine/base/mem.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"

enum { ZERO_BYTES = 64 * 1024, ZERO_OPS = 16 };

sdb_status sdb__wal_segment_path(const char *folder, uint64_t number, char out_path[WAL_PATH_MAX])
{
    size_t size = strlen(folder);

    if (size > WAL_FOLDER_MAX)
        return FAIL(SDB_LIMIT, "the path of the log's folder has %zu bytes, more than %d", size,
                    WAL_FOLDER_MAX);
    memcpy(out_path, folder, size);
    out_path[size] = '/';
    sdb__wal_format_name(number, out_path + size + 1);
    return SDB_OK;
}

/* Zeros from the header's end to the file's. */
static sdb_status write_zeros(struct wal *wal, struct wal_segment *segment)
{
    struct io_op ops[ZERO_OPS];
    uint64_t at = WAL_SEGMENT_HEADER;
    uint8_t *zeros = sdb__mem_zalloc(wal->allocator, 1, ZERO_BYTES);
    sdb_status status = SDB_OK;

    if (!zeros) return SDB_NOMEM;
    while (at < segment->file_bytes && status == SDB_OK) {
        size_t count = 0;

        for (; count < ZERO_OPS && at < segment->file_bytes; count++) {
            uint64_t left = segment->file_bytes - at;
            size_t size = left < ZERO_BYTES ? (size_t)left : ZERO_BYTES;

            ops[count] = (struct io_op){.file = segment->file,
                                        .kind = IO_WRITE,
                                        .memory = zeros,
                                        .offset = at,
                                        .size = size};
            at += size;
        }
        status = sdb__io_run(wal->make_queue, ops, count);
    }
    sdb__mem_free(wal->allocator, zeros);
    return status;
}

/*
 * Asks for the space in one piece, so that a full disk answers before anything is written.
 * *out_done: the file has its size now, and reads as zeros.
 */
static sdb_status allocate(struct wal *wal, struct wal_segment *segment, bool *out_done)
{
    struct io_op op = {.file = segment->file,
                       .kind = IO_ALLOCATE,
                       .offset = 0,
                       .size = (size_t)segment->file_bytes};
    sdb_status status = sdb__io_run(wal->make_queue, &op, 1);

    *out_done = status == SDB_OK;
    return status == SDB_INVALID ? SDB_OK : status; /* not every file system can */
}

/* Writes the header and makes file and name durable. */
static sdb_status finish(struct wal *wal, struct wal_segment *segment)
{
    uint8_t bytes[WAL_SEGMENT_HEADER];
    struct wal_header header = {.identity = wal->identity,
                                .number = segment->number,
                                .first_lsn = segment->first_lsn,
                                .file_bytes = segment->file_bytes,
                                .previous = wal->previous,
                                .packed = wal->packing};

    sdb__wal_format_put_header(bytes, &header);
    TRY(sdb__io_write(wal->make_queue, segment->file, bytes, sizeof bytes, 0));
    TRY(sdb__io_sync(wal->make_queue, segment->file));
    return MUTANT(segment_name_not_synced) ? SDB_OK : sdb__io_folder_sync(wal->io, wal->folder);
}

static sdb_status fill_new(struct wal *wal, struct wal_segment *segment)
{
    char path[WAL_PATH_MAX];
    uint64_t size;
    bool allocated;

    TRY(sdb__wal_segment_path(wal->folder, segment->number, path));
    TRY(sdb__io_open(wal->io, path, IO_OPEN_WRITE | IO_OPEN_CREATE, &segment->file));
    TRY(sdb__io_size(segment->file, &size));
    if (size) TRY(sdb__io_truncate(segment->file, 0)); /* left by an attempt that failed */
    TRY(allocate(wal, segment, &allocated));
    if (!allocated || !atomic_load(&wal->mapping)) TRY(write_zeros(wal, segment));
    return finish(wal, segment);
}

/*
 * After a failure: frees the segment. When the disk still answers (FULL, NOMEM) its file goes too;
 * if that fails it is left, and the next attempt overwrites it. Keeps the failure's sentence.
 */
static sdb_status give_up(struct wal *wal, struct wal_segment *segment, sdb_status status)
{
    char why[sizeof wal->reason], path[WAL_PATH_MAX];
    uint64_t number = segment->number;

    sdb_status ignored = SDB_OK;

    sdb__wal_group_reason(why);
    sdb__wal_segment_free(wal, segment);
    if (status == SDB_FULL || status == SDB_NOMEM) {
        ignored = sdb__wal_segment_path(wal->folder, number, path);
        if (ignored == SDB_OK) ignored = sdb__io_remove(wal->io, path);
    }
    (void)ignored;
    return FAIL(status, "%s", why);
}

static sdb_status make_new(struct wal *wal, uint64_t number, uint64_t first_lsn,
                           uint64_t file_bytes, struct wal_segment **out_segment)
{
    struct wal_segment *segment = sdb__mem_zalloc(wal->allocator, 1, sizeof *segment);
    sdb_status status;

    if (!segment) return SDB_NOMEM;
    segment->number = number;
    segment->first_lsn = first_lsn;
    segment->file_bytes = file_bytes;
    status = fill_new(wal, segment);
    if (status != SDB_OK) return give_up(wal, segment, status);
    *out_segment = segment;
    return SDB_OK;
}

/* Gives the spare, whose file is closed, its new name and header. It is taken in any case. */
static sdb_status make_reused(struct wal *wal, struct wal_segment *spare, uint64_t number,
                              uint64_t first_lsn, struct wal_segment **out_segment)
{
    char from[WAL_PATH_MAX], to[WAL_PATH_MAX];
    sdb_status status = sdb__wal_segment_path(wal->folder, spare->number, from);

    if (status == SDB_OK) status = sdb__wal_segment_path(wal->folder, number, to);
    if (status == SDB_OK) status = sdb__io_rename(wal->io, from, to);
    if (status != SDB_OK) return give_up(wal, spare, status);
    spare->number = number;
    spare->first_lsn = first_lsn;
    spare->next = NULL;
    spare->dirty = spare->fresh = false;
    spare->archived = false;
    status = sdb__io_open(wal->io, to, IO_OPEN_WRITE, &spare->file);
    if (status == SDB_OK && !MUTANT(reused_segment_keeps_its_header)) status = finish(wal, spare);
    if (status != SDB_OK) return give_up(wal, spare, status);
    *out_segment = spare;
    return SDB_OK;
}

sdb_status sdb__wal_segment_make(struct wal *wal, uint64_t number, uint64_t first_lsn,
                                 struct wal_segment **out_segment)
{
    struct wal_segment *spare = NULL;
    uint64_t file_bytes;

    pthread_mutex_lock(&wal->mutex);
    file_bytes = wal->made_bytes ? wal->made_bytes * 2 : WAL_SEGMENT_LEAST;
    if (file_bytes > wal->segment_bytes) file_bytes = wal->segment_bytes;
    for (unsigned i = 0; i < WAL_SPARES && !spare; i++) {
        spare = wal->spares[i];
        wal->spares[i] = NULL;
    }
    pthread_mutex_unlock(&wal->mutex);
    if (spare) return make_reused(wal, spare, number, first_lsn, out_segment);
    TRY(make_new(wal, number, first_lsn, file_bytes, out_segment));
    pthread_mutex_lock(&wal->mutex);
    wal->made_bytes = file_bytes;
    pthread_mutex_unlock(&wal->mutex);
    return SDB_OK;
}

void sdb__wal_segment_close(struct wal_segment *segment)
{
    segment->unmappable = false;
    sdb__io_close(segment->file);
    segment->file = NULL;
}

void sdb__wal_segment_free(struct wal *wal, struct wal_segment *segment)
{
    if (!segment) return;
    sdb__wal_segment_close(segment);
    sdb__mem_free(wal->allocator, segment);
}

/* ---- emptying a folder -------------------------------------------------------------------- */

/* Names are gathered first and removed then: a listing does not mix well with changes. */
struct gathered {
    uint64_t numbers[64];
    unsigned count;
    bool foreign, more;
};

static sdb_status gather(void *context, const char *name)
{
    struct gathered *g = context;
    uint64_t number;

    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return SDB_OK;
    if (!sdb__wal_format_number(name, &number))
        g->foreign = true;
    else if (g->count < sizeof g->numbers / sizeof *g->numbers)
        g->numbers[g->count++] = number;
    else
        g->more = true;
    return SDB_OK;
}

sdb_status sdb__wal_segment_clear(struct io *io, const char *folder, bool *out_foreign)
{
    char path[WAL_PATH_MAX];
    struct gathered g;

    do {
        g = (struct gathered){0};
        TRY(sdb__io_folder_list(io, folder, gather, &g));
        for (unsigned i = 0; i < g.count; i++) {
            TRY(sdb__wal_segment_path(folder, g.numbers[i], path));
            TRY(sdb__io_remove(io, path));
        }
    } while (g.more);
    *out_foreign = g.foreign;
    return SDB_OK;
}
