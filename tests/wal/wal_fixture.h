/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_fixture.h: a log in a folder of some backend, bodies whose bytes follow from their number,
 * and a reader that compares what a replay delivers with what was appended.
 */
#ifndef SDB_TESTS_WAL_WAL_FIXTURE_H
#define SDB_TESTS_WAL_WAL_FIXTURE_H

#include <check.h>
#include "wal/wal.h"

enum { FIXTURE_BODIES = 4096 };

#define FIXTURE_FOLDER "t.sdb-wal"

struct fixture {
    struct io *io;
    const sdb_allocator *allocator;
    struct wal_identity identity;
    uint64_t first_lsn, segment_bytes;
    bool packed; /* the log is */
    struct wal *wal;

    size_t count; /* bodies appended */
    size_t sizes[FIXTURE_BODIES];
    uint64_t ends[FIXTURE_BODIES]; /* LSN behind each */

    struct wal_replay replay; /* of the last fixture_replay */
    size_t from;              /* number of the first body it should deliver */
    size_t delivered;         /* bodies it did */
    uint64_t last_lsn;
};

#define OK(call) ck_assert_msg((call) == SDB_OK, "%s: %s", #call, sdb_errmsg())

/* A fixture on the memory backend with an empty log of segments of the least size. */
void fixture_init(struct fixture *f);
void fixture_done(struct fixture *f);
/* Begins the log. */
void fixture_begin(struct fixture *f);
/* Closes the handle; the files stay. */
void fixture_close(struct fixture *f);

/* The bytes of body `number`; those of three in four can be compressed. */
void fixture_fill(uint8_t *to, size_t size, size_t number);
/* Appends one more body, of `size` bytes, in three pieces. On success it is counted. */
sdb_status fixture_append(struct fixture *f, size_t size);
/* The same, and it must succeed. */
void fixture_add(struct fixture *f, size_t size);
void fixture_sync(struct fixture *f);

/*
 * Replays from the end of body `from` - 1 (0: the log's first LSN) and checks that what is
 * delivered is body `from` and those that follow it, unchanged. Returns the replay's status.
 */
sdb_status fixture_replay(struct fixture *f, size_t from);
/* The same; all bodies must be there and nothing be torn. */
void fixture_replay_all(struct fixture *f, size_t from);

/* Path of a segment; static storage. */
const char *fixture_path(uint64_t number);
/* Whole files of the backend, for reading and for replacing. The bytes are malloc's. */
uint8_t *fixture_read_file(struct io *io, const char *path, size_t *out_size);
void fixture_write_file(struct io *io, const char *path, const void *data, size_t size);
/* Number of segment files in the folder. */
size_t fixture_segment_files(struct io *io);

/* An allocator that refuses its n-th request (0: none) and counts what is not given back. */
struct failing {
    sdb_allocator allocator;
    uint64_t requests, fail_at;
    int64_t live;
};
void failing_init(struct failing *f);

#endif
