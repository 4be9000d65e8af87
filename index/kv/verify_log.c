/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_log.c: the log that a database was left with.
 *
 * Idea: what recovery would do, without doing it: read every body, and see that it is whole and
 * comes next.
 * Invariants: I1 a log that passes is one that recovery can read to its end.
 * Costs: one pass over the log. Not here: whether its operations suit the trees (recovery sees
 * that).
 */
#include <inttypes.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/status.h"
#include "index/kv/body.h"
#include "index/kv/database.h"
#include "index/kv/ops.h"
#include "index/kv/packing.h"
#include "index/kv/verify_run.h"
#include "wal/wal.h"

enum { PART_BYTES = 1024 * 1024 };

struct reading {
    struct verify_run *run;
    uint64_t last_commit;
    uint64_t bodies;
    bool reported; /* the body that ended the reading */
    struct body body;
};

/* NULL, or what is wrong with a body's operations. */
static const char *judge_ops(const uint8_t *at, const uint8_t *end)
{
    struct op op;

    while (at < end) {
        size_t step = sdb__op_read(at, end, &op);

        if (step == 0) return "holds something that is no operation";
        if ((op.code == OP_DEL || op.code == OP_DROP) && op.value.size)
            return "holds an operation with a value that it cannot have";
        if (op.code == OP_DELRANGE && op.value.size > SDB_KEY_MAX)
            return "holds an operation with a bound that is no key";
        if (op.code == OP_MERGE && op.value.size == 0) return "merges without an operator";
        if (op.code == OP_DROP && op.key.size)
            return "holds an operation with a key that it cannot have";
        if (op.code == OP_MAKE && (op.key.size > SDB_KEYSPACE_NAME_MAX ||
                                   sdb__keyspace_judge_name(op.key)))
            return "makes a keyspace with an impossible name";
        if (op.code == OP_MAKE && op.value.size &&
            (op.value.size != PACKING_SIZE || !sdb__packing_is_known(get_u32(op.value.data))))
            return "makes a keyspace with options that are unknown";
        if (op.keyspace == 0) return "changes the catalog";
        at += step;
    }
    return NULL;
}

static sdb_status judge_part(void *context, const struct wal_part *part)
{
    struct reading *r = context;
    sdb_status status = sdb__body_take(&r->body, part);
    const char *wrong = NULL;

    if (status != SDB_OK && status != SDB_CORRUPT) return status;
    if (part->first && part->size >= BODY_HEAD && r->body.commit != r->last_commit + 1)
        wrong = "does not go on from the one before it";
    else if (status == SDB_CORRUPT)
        wrong = r->body.wrong;
    else
        wrong = judge_ops(r->body.ops, r->body.ops + r->body.size);
    if (!wrong) {
        r->last_commit += part->last;
        r->bodies += part->last;
        return sdb__verify_step(r->run, 0);
    }
    r->reported = true;
    sdb__verify_problem(r->run, "log %s: the commit at %" PRIu64 " %s: it and all later commits "
                        "are lost if the log is discarded; restore a backup",
                        r->run->what->log_folder, part->lsn, wrong);
    return SDB_CORRUPT;
}

sdb_status sdb__verify_log(struct verify_run *run)
{
    const struct superblock *superblock = &run->superblock;
    const struct verify *what = run->what;
    struct wal_identity identity = {.log_id = superblock->log_id};
    struct wal_replay replay = {0};
    const char *const folders[2] = {what->log_folder, NULL};
    struct reading r = {.run = run, .last_commit = superblock->commit,
                        .body = {.allocator = what->allocator}};
    sdb_status status;

    memcpy(identity.database_id, superblock->database_id, sizeof identity.database_id);
    status = sdb__wal_replay_parts(what->io, what->allocator, folders, &identity, superblock->lsn,
                                   PART_BYTES, judge_part, NULL, &r, &replay);
    sdb__body_done(&r.body);
    run->result.log_records = status == SDB_OK ? replay.records : r.bodies;
    if (status == SDB_NOTFOUND)
        sdb__verify_problem(run, "the database was not closed cleanly, and its log %s is missing "
                            "or is not its own: put it back; without it the commits after number "
                            "%" PRIu64 " are lost", what->log_folder, superblock->commit);
    else if (status == SDB_CORRUPT && !r.reported)
        sdb__verify_problem(run, "log %s is damaged after commit %" PRIu64 ": %s",
                            what->log_folder, r.last_commit, sdb_errmsg());
    return status == SDB_NOTFOUND || status == SDB_CORRUPT ? SDB_OK : status;
}
