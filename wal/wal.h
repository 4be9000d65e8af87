/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal.h: the write-ahead log: bodies of bytes, in order, durable on request.
 *
 * A *body* is what one commit wants redone; the log does not look inside. A body's place is its
 * LSN, a byte position that only grows, over all segments and over all logs of one database. A log
 * lives in a folder as *segments*, files that are written full of zeros once and then reused, so
 * that a commit never makes a file grow. A body is cut into *records* of at most WAL_RECORD_MAX
 * payload bytes, each with a checksum that is seeded by the log's id and the record's own LSN: what
 * stands in a reused segment from an earlier life can never be taken for a record of this one.
 *
 * Where the log ends: at the first place that holds no valid record. That is a torn tail, and is
 * cut, unless a valid record further on shows that this place had been durable before (each record
 * says how much of the log was durable when it was written): then acknowledged commits are damaged,
 * and the answer is SDB_CORRUPT.
 *
 * Bytes (all little-endian; docs/format/log.md has the same table)
 *   segment file  WAL_SEGMENT_HEADER bytes: magic "sdb log\n" 8, format u32 = 1 (2: records may be
 *                 packed), reserved u32,
 *                 database id 16, log id u64, segment number u64 (from 1), first LSN u64, file size
 *                 u64, zeros, and in the last 8 bytes the digest of all before; then records.
 *                 Named by the segment number, 16 hexadecimal digits, ".log".
 *   record        payload size u32, durable_back u32, kind u8, packing u8, zeros 2, raw size u32,
 *                 checksum u64, payload, zeros to a multiple of 8. durable_back = own LSN − LSN
 *                 known durable, 0xffffffff: not known. packing 1: the payload is an LZ4 block of
 *                 raw size bytes; 0: it stands as it is, and raw size is 0.
 *                 kind: 1 whole body, 2 first, 3 middle, 4 last part of a body, 5 nothing follows
 *                 in this segment (no payload). checksum = XXH3(header before it, then payload;
 *                 seed = log id ^ mix(LSN)).
 *                 LSN of a record = first LSN of its segment + its offset − WAL_SEGMENT_HEADER.
 *   A segment's first LSN is that of the one before + its file size − WAL_SEGMENT_HEADER, however
 *   much of it was used. Where less than a record header is left, nothing follows either.
 *   A first part that is not followed by middle parts and a last one is a body that was given up:
 *   ignored.
 *
 * Threads: sdb__wal_append is called by one thread at a time (the caller holds its commit lock);
 * all else by any. After a failed write or sync every call answers SDB_IO: the log cannot be
 * trusted to hold what it was given, and only opening the database anew, which reads it back, can
 * tell.
 */
#ifndef SDB_WAL_WAL_H
#define SDB_WAL_WAL_H

#include <stdbool.h>
#include <stdint.h>
#include "engine/io/io.h"

enum {
    WAL_SEGMENT_HEADER = 4096,
    WAL_RECORD_HEADER = 24,
    WAL_RECORD_MAX = 64 * 1024, /* payload bytes */
    WAL_SEGMENT_LEAST = 256 * 1024
};

struct wal;

struct wal_identity {
    uint8_t database_id[16];
    uint64_t log_id; /* random, never 0: a new one each time a log is begun */
};

struct wal_options {
    struct io *io;
    const sdb_allocator *allocator;
    const char *folder; /* copied */
    struct wal_identity identity;
    uint64_t first_lsn; /* where the log begins; a multiple of 8 */
    uint64_t previous;  /* id of the log that it follows; 0: none */
    /* Most bytes of a segment file; the first has WAL_SEGMENT_LEAST, then they double. */
    uint64_t segment_bytes;
    const char *archive; /* copied; NULL: segments are not kept. See wal_archive.h */
    bool packed;         /* records are compressed with LZ4 where that makes them shorter */
};

/* Bytes to append; a body is the concatenation of several. */
struct wal_piece {
    const void *data;
    size_t size;
};

/*
 * Begins an empty log: makes the folder (if need be), removes what stands in it of other logs, and
 * makes the first segment; all durable when it returns. *out_wal is owned: sdb__wal_close.
 */
SDB_MUST_USE sdb_status sdb__wal_begin(const struct wal_options *options, struct wal **out_wal);

/*
 * Appends a body (the pieces in order; at least one byte) to the log's buffer, writing the buffer
 * out as it fills. *out_end is the LSN behind it. SDB_FULL, SDB_NOMEM: nothing was appended, the
 * log is as good as before.
 */
SDB_MUST_USE sdb_status sdb__wal_append(struct wal *wal, const struct wal_piece *pieces,
                                        size_t count, uint64_t *out_end);

/*
 * The same for a body of `size` bytes that need not be in memory: `give` writes the next `size` of
 * them to `to`, in order, at most WAL_RECORD_MAX at a time; nothing is locked. If it fails, that is
 * the answer, and the part of the body that is in the log is one that was given up.
 */
typedef sdb_status (*wal_give_fn)(void *context, uint8_t *to, size_t size);
SDB_MUST_USE sdb_status sdb__wal_append_from(struct wal *wal, uint64_t size, wal_give_fn give,
                                             void *context, uint64_t *out_end);

/* Hands everything before `lsn` to the operating system: it survives the death of this process. */
SDB_MUST_USE sdb_status sdb__wal_flush(struct wal *wal, uint64_t lsn);

/*
 * Makes everything before `lsn` durable. One caller at a time leads: it writes and syncs what all
 * have appended so far, in one linked batch, while the others wait for it or gather behind it.
 */
SDB_MUST_USE sdb_status sdb__wal_sync(struct wal *wal, uint64_t lsn);

/*
 * Making segments, and maps of them, ahead of need, by one thread beside the appender's:
 * wants_more is true while the log is in the last one made; prepare then makes the next. An append
 * that comes too early waits, or makes its own.
 */
bool sdb__wal_wants_more(struct wal *wal);
SDB_MUST_USE sdb_status sdb__wal_prepare(struct wal *wal);

uint64_t sdb__wal_end(struct wal *wal);     /* LSN behind the last body appended */
uint64_t sdb__wal_durable(struct wal *wal); /* everything before it is durable */

/*
 * Says that nothing before `lsn` will be read again: segments wholly before it are kept for reuse
 * (at most two) or removed, once they are in the archive if there is one. Those that are not yet
 * written, or being synced just now, wait for the next trim; so do those that the archive does not
 * take, and then its failure is the answer. One thread at a time.
 */
SDB_MUST_USE sdb_status sdb__wal_trim(struct wal *wal, uint64_t lsn);

/* Frees the handle. What was not flushed is lost; the files stay. NULL is allowed. */
void sdb__wal_close(struct wal *wal);

/*
 * Removes a log folder with the segments in it. SDB_OK if there is none. Other files in it are
 * left, and then so is the folder.
 */
SDB_MUST_USE sdb_status sdb__wal_remove(struct io *io, const char *folder);

struct wal_stats {
    uint64_t records;       /* appended */
    uint64_t batches;       /* writes by a leader, each of one buffer */
    uint64_t syncs;         /* of segments with records */
    uint64_t written_bytes; /* of records */
    uint64_t body_bytes;    /* of the bodies in them, before they were packed */
    uint64_t segments;      /* in the log now; those kept for reuse do not count */
    uint64_t first_lsn;     /* of the oldest of them */
};
void sdb__wal_stats(struct wal *wal, struct wal_stats *out_stats);

/* ---- reading a log back ------------------------------------------------------------------- */

/*
 * One body, whole. Borrowed during the call. A status other than SDB_OK ends the reading and is its
 * answer.
 */
typedef sdb_status (*wal_body_fn)(void *context, uint64_t lsn, const uint8_t *body, size_t size);

struct wal_replay {
    uint64_t end_lsn; /* behind the last body delivered */
    uint64_t bodies;
    uint64_t records; /* valid ones, those of given-up bodies too */
    uint64_t bytes;   /* of the log read */
    /*
     * Something unreadable followed, and was cut. In a reused segment that may be no more than what
     * its earlier life left there.
     */
    bool torn;
};

/*
 * Delivers the bodies of log `identity` in `folder`, from `from_lsn` (the start of a body, or the
 * end of the log) on. SDB_NOTFOUND: there is no folder, or no segment of this log that holds
 * from_lsn. SDB_CORRUPT: a record that had been durable is damaged (what came before it was
 * delivered), or a segment between others is missing. Segments of other logs or databases are
 * passed over. Writes nothing. `body` and `progress` may be NULL. *out_replay is filled for
 * SDB_OK, SDB_CORRUPT, and SDB_END, with which `body` may end the reading early.
 */
SDB_MUST_USE sdb_status sdb__wal_replay(struct io *io, const sdb_allocator *allocator,
                                        const char *folder, const struct wal_identity *identity,
                                        uint64_t from_lsn, wal_body_fn body,
                                        sdb_progress_fn progress, void *context,
                                        struct wal_replay *out_replay);

/*
 * The same for a log whose segments lie in two folders: each is taken from the first one that has
 * it. folders[1] may be NULL.
 */
SDB_MUST_USE sdb_status sdb__wal_replay_both(struct io *io, const sdb_allocator *allocator,
                                             const char *const folders[2],
                                             const struct wal_identity *identity,
                                             uint64_t from_lsn, wal_body_fn body,
                                             sdb_progress_fn progress, void *context,
                                             struct wal_replay *out_replay);

/*
 * Bodies of any size in bounded memory: each comes in one part (`first` and `last`), or in several,
 * in order, all but the last of part_bytes and more. The body is known to be whole when its first
 * part comes. Borrowed during the call.
 */
struct wal_part {
    uint64_t lsn; /* of the body */
    const uint8_t *bytes;
    size_t size;
    bool first, last;
};
typedef sdb_status (*wal_part_fn)(void *context, const struct wal_part *part);

/* sdb__wal_replay_both with bodies in parts. `part` may not be NULL. */
SDB_MUST_USE sdb_status sdb__wal_replay_parts(struct io *io, const sdb_allocator *allocator,
                                              const char *const folders[2],
                                              const struct wal_identity *identity,
                                              uint64_t from_lsn, size_t part_bytes,
                                              wal_part_fn part, sdb_progress_fn progress,
                                              void *context, struct wal_replay *out_replay);

/*
 * Finds the log of a database that holds `lsn` by its segments alone, for when the superblock that
 * named it is lost. SDB_NOTFOUND: no folder, or no segment of this database. SDB_CORRUPT: there are
 * segments of it, but none that holds lsn.
 */
SDB_MUST_USE sdb_status sdb__wal_find(struct io *io, const char *folder,
                                      const uint8_t database_id[16], uint64_t lsn,
                                      struct wal_identity *out_identity);

#endif
