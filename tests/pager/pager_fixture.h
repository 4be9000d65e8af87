/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pager_fixture.h: a pager on a disk in memory, pages whose bytes follow from id and version, a
 * model of what each
 * page should hold, and a check that every block in use has exactly one reason to be.
 */
#ifndef SDB_TESTS_PAGER_PAGER_FIXTURE_H
#define SDB_TESTS_PAGER_PAGER_FIXTURE_H

#include <check.h>
#include "engine/io/simulated.h"
#include "engine/pager/pool.h"

enum { RIG_PAGES = 8192, RIG_LOOSE = 64 };

#define RIG_FILE "t.sdb"
#define OK(call) ck_assert_msg((call) == SDB_OK, "%s: %s", #call, sdb_errmsg())

/*
 * An allocator that refuses its n-th request from now (0: none) and counts what is not given
 * back.
 */
struct frugal {
    sdb_allocator allocator;
    _Atomic uint64_t requests;
    uint64_t fail_at; /* refuses one request */
    bool for_good;    /* and all that follow */
    _Atomic int64_t live;
};

struct rig {
    struct frugal memory;
    bool is_simulated;
    struct io *io;
    struct io_file *file;
    struct pager *pager;
    uint32_t page_size, frames;
    sdb_cache_policy policy;
    const char *(*verify)(const uint8_t *data, uint32_t page_size, uint64_t id);
    struct superblock state;  /* lsn, commit, catalog root for the next checkpoint */
    uint64_t versions[RIG_PAGES]; /* the model: of page id, 0: there is none */
    uint64_t next_version;
    uint64_t loose[RIG_LOOSE]; /* places of extents that the test holds without an id */
    size_t loose_count;
};

/* SEED from the environment, or `standard`; printed. */
uint64_t rig_seed(const char *what, uint64_t standard);

/* An empty disk, and (create) an empty database with a first checkpoint in both slots. */
void rig_init(struct rig *rig, bool is_simulated, uint64_t seed, uint32_t page_size,
              uint32_t frames);
void rig_create(struct rig *rig);
/* Opens the newest checkpoint. */
sdb_status rig_open(struct rig *rig);
/* Closes pager and file, writing nothing. */
void rig_close(struct rig *rig);
void rig_reopen(struct rig *rig);
/* Closes everything; all memory must have come back. */
void rig_done(struct rig *rig);
/* All three steps. A failure of any is the answer. */
sdb_status rig_checkpoint(struct rig *rig);

/* The bytes of a version of a page. */
void rig_fill(uint8_t *to, uint32_t page_size, uint64_t id, uint64_t version);
/* Makes, changes or ends a page, in the pager and (if that succeeded) in the model. */
sdb_status rig_new(struct rig *rig, uint64_t *out_id);
sdb_status rig_change(struct rig *rig, uint64_t id);
sdb_status rig_free(struct rig *rig, uint64_t id);
/* One page must be what `versions` says: its bytes, or SDB_CORRUPT where there is none. */
void rig_expect(struct rig *rig, const uint64_t *versions, uint64_t id);
/* All pages below `limit`. */
void rig_expect_all(struct rig *rig, const uint64_t *versions, uint64_t limit);

/*
 * Every block in use belongs to a superblock, an entry of the map (now or as of the cut), the
 * map itself, or
 * a list of what will fall free, and to one place only; and nothing else is in use.
 */
void rig_check_space(struct rig *rig);

#endif
