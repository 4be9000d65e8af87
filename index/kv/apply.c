/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply.c: from operations to trees; and from the log to operations.
 *
 * Idea: a commit and its recovery are the same thing done twice: the same bytes go through the same
 * function.
 * Invariants: I1 operations are applied in order, under commit_lock. I2 whatever an old value held
 *   is given to the version store if an open snapshot may want it, and given back otherwise.
 * Costs: one tree descent an operation. Not here: validation, durability.
 */
#include <inttypes.h>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"
#include "engine/base/status.h"
#include "index/kv/database.h"
#include "index/kv/packing.h"

struct change {
    sdb_db *db;
    uint32_t keyspace;
    struct bytes key;
    uint64_t commit;
    bool keep;
};

sdb_status sdb__apply_release(sdb_db *db, const struct btree_value *old)
{
    struct extent extent;

    if (!old || !old->is_extent) return SDB_OK;
    TRY(sdb__pager_extent_detach(db->pager, old->extent, old->size, &extent));
    sdb__pager_extent_release(db->pager, &extent);
    return SDB_OK;
}

/* Settles what becomes of the value that a key had. */
static sdb_status leave_old(void *context, const struct btree_value *old)
{
    struct change *c = context;

    if (c->keep)
        return sdb__versions_add(&c->db->versions, c->keyspace, c->key, c->commit, old);
    return sdb__apply_release(c->db, old);
}

sdb_status sdb__apply_del(sdb_keyspace *keyspace, struct bytes key, uint64_t commit, bool keep)
{
    struct change change = {keyspace->db, keyspace->tree.id, key, commit, keep};

    return sdb__btree_del(&keyspace->tree, key, leave_old, &change);
}

/* The form of a value in the tree: inline, or an extent, prepared or written now. */
static sdb_status place_value(sdb_db *db, const struct op *op, struct prepared *prepared,
                              struct btree_value *out)
{
    struct extent extent;

    if (sdb__btree_is_inline(sdb__pager_page_size(db->pager), op->key.size, op->value.size)) {
        *out = (struct btree_value){.data = op->value};
        return SDB_OK;
    }
    if (prepared)
        extent = prepared->extents[prepared->next++];
    else
        TRY(sdb__pager_extent_write(db->pager, op->value.data, op->value.size, &extent));
    *out = (struct btree_value){.is_extent = true, .size = op->value.size};
    return sdb__pager_extent_adopt(db->pager, &extent, &out->extent);
}

static sdb_status bad_operation(sdb_db *db, uint64_t commit)
{
    return FAIL(SDB_CORRUPT, "%s: commit %" PRIu64 " holds something that is no operation: "
                "restore a backup", db->path, commit);
}

static sdb_status apply_one(sdb_db *db, const struct op *op, uint64_t commit, bool keep,
                            struct prepared *prepared)
{
    struct change change = {db, op->keyspace, op->key, commit, keep};
    sdb_keyspace *keyspace;
    struct btree_value value;

    if (op->code == OP_MAKE) {
        if (op->value.size && op->value.size != PACKING_SIZE) return bad_operation(db, commit);
        return sdb__keyspace_apply_make(db, op->keyspace, op->key,
                                        op->value.size ? get_u32(op->value.data) : 0, commit);
    }
    if (op->code == OP_DROP) return sdb__keyspace_apply_drop(db, op->keyspace, commit);
    keyspace = sdb__keyspace_by_id(db, op->keyspace);
    if (!keyspace || atomic_load(&keyspace->dropped))
        return FAIL(SDB_CORRUPT, "%s: commit %" PRIu64 " changes keyspace %u, which is not there: "
                    "restore a backup", db->path, commit, op->keyspace);
    if (op->code == OP_DEL) return sdb__apply_del(keyspace, op->key, commit, keep);
    if (op->code == OP_DELRANGE) return sdb__apply_del_range(keyspace, op, commit, keep);
    TRY(place_value(db, op, prepared, &value));
    return sdb__btree_put(&keyspace->tree, op->key, &value, leave_old, &change);
}

sdb_status sdb__apply(sdb_db *db, const uint8_t *ops, size_t size, uint64_t commit, bool keep,
                      struct prepared *prepared)
{
    const uint8_t *at = ops, *end = ops + size;
    struct op op;

    db->changed = true;
    while (at < end) {
        size_t step = sdb__op_read(at, end, &op);

        if (!step) return bad_operation(db, commit);
        if (!op.superseded) TRY(apply_one(db, &op, commit, keep, prepared));
        at += step;
    }
    return SDB_OK;
}

struct replaying {
    sdb_db *db;
    bool failed; /* while applying: then what is in memory is not whole */
};

/* Applies one body of the log. */
static sdb_status replay_body(void *context, uint64_t lsn, const uint8_t *body, size_t size)
{
    struct replaying *r = context;
    sdb_db *db = r->db;
    uint64_t commit;
    sdb_status status;

    if (size < BODY_HEAD || get_u64(body) != db->last_commit + 1)
        return FAIL(SDB_CORRUPT, "%s: the log at %" PRIu64 " does not go on from commit %" PRIu64
                    ": restore a backup", db->wal_folder, lsn, db->last_commit);
    commit = get_u64(body);
    status = sdb__apply(db, body + BODY_HEAD, size - BODY_HEAD, commit, false, NULL);
    r->failed = status != SDB_OK;
    if (status != SDB_OK) return status;
    db->last_commit = commit;
    db->recovered_commits++;
    return SDB_OK;
}

/* What to say when the log is not what the superblock promised. */
static sdb_status log_trouble(sdb_db *db, sdb_status status)
{
    if (status == SDB_NOTFOUND)
        return FAIL(SDB_CORRUPT, "%s was not closed cleanly, and its log %s is missing or is not "
                    "its own: put it back, or open with the log discarded (commits since the "
                    "last checkpoint are then lost)", db->path, db->wal_folder);
    return status;
}

sdb_status sdb__recover(sdb_db *db, uint64_t log_id)
{
    const struct superblock *superblock = sdb__pager_superblock(db->pager);
    struct wal_identity identity = {.log_id = log_id};
    struct wal_replay replay = {.end_lsn = superblock->lsn};
    struct replaying r = {db, false};
    uint64_t begun = sdb__clock_now_ns();
    sdb_status status;

    for (size_t i = 0; i < sizeof identity.database_id; i++)
        identity.database_id[i] = superblock->database_id[i];
    status = sdb__wal_replay(db->io, db->allocator, db->wal_folder, &identity, superblock->lsn,
                             replay_body, NULL, &r, &replay);
    if ((status == SDB_NOTFOUND || status == SDB_CORRUPT) &&
        (db->options.flags & SDB_OPEN_DISCARD_LOG) && !r.failed)
        status = SDB_OK;
    if (status != SDB_OK) return log_trouble(db, status);
    db->visible = db->last_commit;
    db->lsn = replay.end_lsn;
    db->changed = true;
    TRY(sdb__db_checkpoint(db, true));
    TRY(sdb__wal_remove(db->io, db->wal_folder));
    db->recovery_ms = (sdb__clock_now_ns() - begun) / 1000000;
    return SDB_OK;
}
