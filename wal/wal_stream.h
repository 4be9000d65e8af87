/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_stream.h: reading a log while it is written: bodies in order, as far as they are durable, in
 * parts, so that one of any size takes bounded memory.
 *
 * One thread at a time uses a stream; the log may be used by others meanwhile, and outlives it.
 */
#ifndef SDB_WAL_WAL_STREAM_H
#define SDB_WAL_WAL_STREAM_H

#include "wal/wal.h"

struct wal_stream;

/*
 * A body, or a part of one: all but the last are of the stream's part_bytes or more, by less than a
 * record. Borrowed until the stream's next call.
 */
struct wal_streamed {
    struct wal_part part;
    uint64_t next_lsn; /* behind the body; before its last part is there: its own */
};

/* A stream that begins at `from_lsn`. *out_stream is owned: sdb__wal_stream_close. */
SDB_MUST_USE sdb_status sdb__wal_stream_open(struct wal *wal, uint64_t from_lsn, size_t part_bytes,
                                             struct wal_stream **out_stream);
/*
 * The next body that is durable, or the next part of it: that all of it is durable is known when
 * its first part comes. SDB_END: there is none yet. SDB_NOTFOUND: its place has been trimmed (the
 * sentence has the oldest LSN); SDB_INVALID: no body begins where the stream was opened;
 * SDB_CORRUPT: a record is damaged. The stream stays where it is, also within a body.
 */
SDB_MUST_USE sdb_status sdb__wal_stream_next(struct wal_stream *stream,
                                             struct wal_streamed *out_part);
/* Goes back to the beginning of the body that was given last, in part or whole. */
void sdb__wal_stream_rewind(struct wal_stream *stream);
/* Waits until something behind `lsn` is durable, the log is dead, or the time is up. */
void sdb__wal_stream_wait(struct wal *wal, uint64_t lsn, uint64_t timeout_ms);
void sdb__wal_stream_close(struct wal_stream *stream); /* NULL is allowed */

#endif
