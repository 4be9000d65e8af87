/* SPDX-License-Identifier: Apache-2.0 */
/*
 * body.h: the operations of a commit whose body comes from the log in parts.
 *
 * A body is as large as its transaction was, so whoever reads the log takes it in parts (wal.h),
 * which end anywhere. Here the parts become whole operations again: what is cut off at the end of
 * one waits for the next.
 */
#ifndef SDB_INDEX_KV_BODY_H
#define SDB_INDEX_KV_BODY_H

#include "engine/base/mem.h"
#include "index/kv/ops.h"
#include "wal/wal.h"

/* Zero-initialise, set allocator. */
struct body {
    const sdb_allocator *allocator;
    uint64_t commit, time_ms; /* from its head */
    const uint8_t *ops;       /* whole operations; borrowed until the next part */
    size_t size;
    const char *wrong;        /* what is, after SDB_CORRUPT; goes on "the commit …" */
    struct buffer room;
    size_t given;             /* bytes of `room` that were given */
};

/*
 * Takes the next part, and has the operations that are whole now in `ops`. SDB_CORRUPT, without a
 * sentence: what comes there is none.
 */
SDB_MUST_USE sdb_status sdb__body_take(struct body *b, const struct wal_part *part);
void sdb__body_done(struct body *b);

#endif
