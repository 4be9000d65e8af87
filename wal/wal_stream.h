/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_stream.h: reading a log while it is written: bodies in order, as far as they are durable.
 *
 * One thread at a time uses a stream; the log may be used by others meanwhile, and outlives it.
 */
#ifndef SDB_WAL_WAL_STREAM_H
#define SDB_WAL_WAL_STREAM_H

#include "wal/wal.h"

struct wal_stream;

/* A body. Borrowed until the stream's next call. */
struct wal_streamed {
    const uint8_t *body;
    size_t size;
    uint64_t lsn, next_lsn;
};

/* A stream that begins at `from_lsn`. *out_stream is owned: sdb__wal_stream_close. */
SDB_MUST_USE sdb_status sdb__wal_stream_open(struct wal *wal, uint64_t from_lsn,
                                             struct wal_stream **out_stream);
/*
 * The next body that is durable. SDB_END: there is none yet. SDB_NOTFOUND: its place has been
 * trimmed (the sentence has the oldest LSN); SDB_INVALID: no body begins where the stream was
 * opened; SDB_CORRUPT: a record is damaged. The stream stays where it is.
 */
SDB_MUST_USE sdb_status sdb__wal_stream_next(struct wal_stream *stream,
                                             struct wal_streamed *out_body);
/* Waits until something behind `lsn` is durable, the log is dead, or the time is up. */
void sdb__wal_stream_wait(struct wal *wal, uint64_t lsn, uint64_t timeout_ms);
void sdb__wal_stream_close(struct wal_stream *stream); /* NULL is allowed */

#endif
