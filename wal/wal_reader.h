/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_reader.h: what the files that read a log back share: a window on one segment, and the
 * segments of a folder.
 *
 * One thread. Memory: one window (256 KiB), eight bytes per segment file, and the body being put
 * together.
 */
#ifndef SDB_WAL_WAL_READER_H
#define SDB_WAL_WAL_READER_H

#include "engine/base/mem.h"
#include "wal/wal_pack.h"

enum { WAL_WINDOW = 256 * 1024 };

/* What a segment's name led to. */
enum wal_found {
    WAL_FOUND_NONE,    /* no such file, or a segment of another log */
    WAL_FOUND_DAMAGED, /* a file whose header is unfinished, damaged, or that of another number */
    WAL_FOUND_OURS
};

struct wal_reader {
    struct io *io;
    const sdb_allocator *allocator;
    const char *folder;
    const char *more; /* where segments are looked for that are not in the folder, or NULL */
    struct wal_identity identity;
    struct io_queue *queue;

    /* the folder */
    uint64_t *numbers; /* of all segment files, unordered */
    size_t count, capacity;
    uint64_t holder; /* number of the segment that holds from_lsn; 0: none */
    uint64_t last;   /* highest number that is ours or damaged */

    /* the segment that is open */
    struct io_file *file;
    struct wal_header header; /* if damaged: a guess only */
    uint64_t have; /* bytes of the file that can be read, at most header.file_bytes if ours */
    uint8_t *window;
    uint64_t window_at;
    size_t window_size;
    uint8_t *unpacked; /* room for a packed payload; NULL: there was none yet */

    /* the reading */
    uint64_t total, done; /* bytes, for progress */
    sdb_progress_fn progress;
    void *context;
};

/* ---- wal_window.c ------------------------------------------------------------------------- */

/* Opens segment `number` in place of the one that was open, and judges its header. */
SDB_MUST_USE sdb_status sdb__wal_window_open(struct wal_reader *r, uint64_t number,
                                             enum wal_found *out_found);
/*
 * *out_bytes: `size` (at most WAL_WINDOW) bytes at `offset` of the open segment, writable, borrowed
 * until the next call; NULL if the file ends before. SDB_IO, SDB_CANCELLED.
 */
SDB_MUST_USE sdb_status sdb__wal_window_get(struct wal_reader *r, uint64_t offset, size_t size,
                                            uint8_t **out_bytes);
/* Lists the folder, finds the holder of from_lsn, adds up `total`. SDB_NOTFOUND, SDB_CORRUPT. */
SDB_MUST_USE sdb_status sdb__wal_window_survey(struct wal_reader *r, uint64_t from_lsn);
/*
 * Opens the segment behind `number`, which ended at `lsn`. *out_found NONE: the log has no more
 * segments; DAMAGED: the last one's header cannot be read. SDB_CORRUPT: one between others is
 * missing or damaged.
 */
SDB_MUST_USE sdb_status sdb__wal_window_next(struct wal_reader *r, uint64_t number, uint64_t lsn,
                                             enum wal_found *out_found);
/* Lists the segment files into r->numbers; of a folder that is not there there are none. */
SDB_MUST_USE sdb_status sdb__wal_window_list(struct wal_reader *r);
void sdb__wal_window_done(struct wal_reader *r);

/* ---- wal_damage.c ------------------------------------------------------------------------- */

/*
 * The log could not be read at `lsn` in the open segment `number`. SDB_OK: it was never durable
 * there, and is cut; SDB_CORRUPT: it was.
 */
SDB_MUST_USE sdb_status sdb__wal_damage_judge(struct wal_reader *r, uint64_t number, uint64_t lsn);
/*
 * The open segment, the log's last, has no sound header; its first record would be at `lsn`.
 * SDB_OK: it was never finished; SDB_CORRUPT: it holds a record, so it was.
 */
SDB_MUST_USE sdb_status sdb__wal_damage_judge_header(struct wal_reader *r, uint64_t lsn);

#endif
