/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash_workload.h: something to be interrupted: commits of all kinds on one database, and a
 * record of what the state is after each, and of which are promised to survive.
 *
 * A state is a sum of digests, one for each keyspace and each entry, so that it can be had from
 * the database by walking it.
 */
#ifndef SDB_TESTS_CRASH_CRASH_WORKLOAD_H
#define SDB_TESTS_CRASH_CRASH_WORKLOAD_H

#include "tests/kv/kv_fixture.h"

enum { WORK_COMMITS = 400, WORK_SPACES = 3, WORK_KEYS = 320, WORK_SNAPSHOTS = 3 };

struct work_entry {
    bool present;
    bool stale; /* it has expired, and stands there still */
    uint64_t seed;
    size_t size;
};

/* A named snapshot: what is known of it. */
struct work_snapshot {
    bool may_be, must_be; /* both, neither, or (while it is made or dropped) the first only */
    unsigned commit;      /* the last one in it */
};

struct work {
    struct io *io;
    sdb_options options;
    uint64_t random, serial;
    unsigned length, done; /* steps of the workload */

    sdb_db *db;
    sdb_keyspace *spaces[WORK_SPACES]; /* NULL: not there */
    struct work_entry entries[WORK_SPACES][WORK_KEYS];
    uint8_t *room;

    struct work_snapshot snapshots[WORK_SNAPSHOTS];

    uint64_t sums[WORK_COMMITS]; /* [n]: the state after commit n */
    unsigned tried;              /* number of the last commit that may be there */
    unsigned promised;           /* of the last that must be there after a power failure */
    unsigned answered;           /* of the last that must be there after the death of the process */
    sdb_status ended;            /* SDB_OK: ran to its end */
};

/* Makes the record of a run that the seed determines; the disk is the caller's. */
void work_init(struct work *w, struct io *io, uint64_t seed, unsigned length);
void work_done(struct work *w);

/* Runs it, from the making of the database to its clean end, or to the first failure. */
void work_run(struct work *w);
/* The same in parts: the steps up to number `until`, if nothing has failed yet. */
void work_begin(struct work *w);
void work_go_on(struct work *w, unsigned until);
void work_end(struct work *w);

/* The state of an open database, by walking all of it both ways. */
uint64_t work_sum(sdb_db *db);
/* The same where damage may be met. */
sdb_status work_try_sum(sdb_db *db, uint64_t *out_sum);

/* The name of snapshot number `i`. */
const char *work_snapshot_name(unsigned i);

/* The key with a number. Valid until the next call. */
sdb_slice work_key(unsigned number);

#endif
