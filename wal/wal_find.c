/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_find.c: which log stands in a folder, when the superblock that named it cannot be read.
 *
 * Idea: segments name their database and their log; the one that holds the LSN where the readable
 * superblock ends belongs to the log that went on from there.
 * Invariants: I1 writes nothing. I2 only undamaged headers count.
 * Costs: one header read a segment. Not here: reading records (wal_read.c).
 */
#include <string.h>

#include "engine/base/status.h"
#include "wal/wal_internal.h"

struct search {
    struct io *io;
    struct io_queue *queue;
    const char *folder;
    const uint8_t *database_id;
    uint64_t lsn;
    struct wal_identity *identity;
    bool found, seen; /* the log; any segment of this database */
};

/* Judges one file of the folder. */
static sdb_status look(void *context, const char *name)
{
    struct search *s = context;
    char path[WAL_PATH_MAX];
    uint8_t bytes[WAL_SEGMENT_HEADER];
    struct wal_header header;
    struct io_file *file;
    uint64_t number, size = 0;
    sdb_status status;

    if (!sdb__wal_format_number(name, &number)) return SDB_OK;
    TRY(sdb__wal_segment_path(s->folder, number, path));
    TRY(sdb__io_open(s->io, path, 0, &file));
    status = sdb__io_size(file, &size);
    if (status == SDB_OK && size >= sizeof bytes) {
        status = sdb__io_read(s->queue, file, bytes, sizeof bytes, 0);
        if (status == SDB_OK && sdb__wal_format_get_header(bytes, &header) == SDB_OK &&
            memcmp(header.identity.database_id, s->database_id, 16) == 0) {
            s->seen = true;
            if (header.first_lsn <= s->lsn && s->lsn < wal_header_end(&header)) {
                *s->identity = header.identity;
                s->found = true;
            }
        }
    }
    sdb__io_close(file);
    return status;
}

sdb_status sdb__wal_find(struct io *io, const char *folder, const uint8_t database_id[16],
                         uint64_t lsn, struct wal_identity *out_identity)
{
    struct search s = {.io = io, .folder = folder, .database_id = database_id, .lsn = lsn,
                       .identity = out_identity};
    sdb_status status;

    TRY(sdb__io_queue_new(io, 1, &s.queue));
    status = sdb__io_folder_list(io, folder, look, &s);
    sdb__io_queue_free(s.queue);
    if (status != SDB_OK) return status;
    if (s.found) return SDB_OK;
    if (!s.seen) return SDB_NOTFOUND;
    return FAIL(SDB_CORRUPT, "%s holds a log of this database that does not go on from its last "
                "readable superblock: restore a backup, or open with the log discarded", folder);
}
