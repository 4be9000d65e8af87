/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply.c: from operations to trees.
 *
 * Idea: a commit and its recovery are the same thing done twice: the same bytes go through the same
 * function.
 * Invariants: I1 operations are applied in order, under commit_lock. I2 whatever an old value held
 *   is given to the version store if an open snapshot may want it, and given back otherwise.
 * Costs: one tree descent an operation. Not here: validation, durability, the log (recover.c).
 */
#include <inttypes.h>

#include "engine/base/bytes.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"
#include "index/kv/merge.h"
#include "index/kv/packing.h"
#include "index/kv/txn.h"

struct change {
    sdb_db *db;
    uint32_t keyspace;
    struct bytes key;
    uint64_t commit;
    bool keep;
    uint64_t time; /* of an OP_REAP */
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

    if (c->keep && !MUTANT(version_forgotten))
        return sdb__versions_add(&c->db->versions, c->keyspace, c->key, c->commit, old);
    return sdb__apply_release(c->db, old);
}

sdb_status sdb__apply_del(sdb_keyspace *keyspace, struct bytes key, uint64_t commit, bool keep)
{
    struct change change = {keyspace->db, keyspace->tree.id, key, commit, keep, 0};

    return sdb__btree_del(&keyspace->tree, key, leave_old, &change);
}

/* Lets a value go that has expired by the operation's time; SDB_NOTFOUND: leaves what is there. */
static sdb_status reap_old(void *context, const struct btree_value *old)
{
    struct change *c = context;

    if (!old || (!is_gone(old->expiry, c->time) && !MUTANT(reaper_removes_what_is_there)))
        return SDB_NOTFOUND;
    TRY(sdb__apply_release(c->db, old)); /* no version: no snapshot sees it (reaper.c) */
    atomic_fetch_add_explicit(&c->db->expired_removed, 1, memory_order_relaxed);
    return SDB_OK;
}

static sdb_status apply_reap(sdb_keyspace *keyspace, struct change *change)
{
    sdb_status status = sdb__btree_del(&keyspace->tree, change->key, reap_old, change);

    return status == SDB_NOTFOUND ? SDB_OK : status;
}

/* The form of a value in the tree: inline, or an extent, prepared or written now. */
static sdb_status place_value(sdb_db *db, const struct op *op, struct prepared *prepared,
                              struct btree_value *out)
{
    struct extent extent;

    if (sdb__op_is_inline(sdb__pager_page_size(db->pager), op)) {
        *out = (struct btree_value){.data = op->value, .expiry = op->time};
        return SDB_OK;
    }
    if (prepared)
        extent = prepared->extents[prepared->next++];
    else
        TRY(sdb__pager_extent_write(db->pager, op->value.data, op->value.size, &extent));
    *out = (struct btree_value){.is_extent = true, .size = op->value.size, .expiry = op->time};
    return sdb__pager_extent_adopt(db->pager, &extent, &out->extent);
}

static sdb_status bad_operation(sdb_db *db, uint64_t commit)
{
    return FAIL(SDB_CORRUPT, "%s: commit %" PRIu64 " holds something that is no operation: "
                "restore a backup", db->path, commit);
}

/* Moves the value of a put with an expiry behind its head, as operations have it. */
static sdb_status behind_its_head(sdb_db *db, struct op *put, struct buffer *cell)
{
    uint8_t head[OP_TIMED_HEAD];
    size_t size = sdb__op_timed_head(head, OP_PUT, put->time);

    TRY(sdb__buffer_append(db->allocator, cell, head, size));
    TRY(sdb__buffer_append(db->allocator, cell, put->value.data, put->value.size));
    put->value.data = cell->data + size;
    return SDB_OK;
}

/* Merges into what the key has now: in recovery, where the operations are applied one by one. */
static sdb_status apply_merge(sdb_keyspace *keyspace, const struct op *op, struct change *change)
{
    sdb_db *db = keyspace->db;
    struct buffer old = {0}, merged = {0}, cell = {0};
    struct btree_value value;
    struct op put = *op;
    struct bytes base;
    sdb_status status = sdb__read_entry(keyspace, op->key, NULL, db->commit_ms, &old, &put.time);

    base = (struct bytes){old.data, old.size};
    if (status == SDB_NOTFOUND) put.time = sdb__keyspace_expiry_at(keyspace, db->commit_ms);
    if (status >= SDB_OK)
        status = sdb__merge_evaluate(db, status == SDB_OK ? &base : NULL, op->value, &merged);
    if (status == SDB_INVALID || status == SDB_LIMIT)
        status = FAIL(SDB_INVALID, "%s: commit %" PRIu64 " in the log merges with operator %u, "
                      "which is not given, or is not the one it was: open with the merge_operators "
                      "it was written with", db->path, change->commit,
                      op->value.size ? op->value.data[0] : 0);
    put.code = OP_PUT;
    put.value = (struct bytes){merged.data, merged.size};
    if (status == SDB_OK && put.time) status = behind_its_head(db, &put, &cell);
    if (status == SDB_OK && put.time) status = sdb__keyspace_note_expiry(keyspace, put.time);
    if (status == SDB_OK) status = place_value(db, &put, NULL, &value);
    if (status == SDB_OK)
        status = sdb__btree_put(&keyspace->tree, op->key, &value, leave_old, change);
    sdb__buffer_done(db->allocator, &old);
    sdb__buffer_done(db->allocator, &merged);
    sdb__buffer_done(db->allocator, &cell);
    return status;
}

static sdb_status apply_one(sdb_db *db, const struct op *op, uint64_t commit, bool keep,
                            struct prepared *prepared, struct btree_run *run)
{
    struct change change = {db, op->keyspace, op->key, commit, keep, op->time};
    sdb_keyspace *keyspace;
    struct btree_value value;

    if (op->code != OP_PUT) sdb__btree_run_end(run);
    if (op->code == OP_MAKE) {
        if (op->value.size && op->value.size != PACKING_SIZE) return bad_operation(db, commit);
        return sdb__keyspace_apply_make(db, op->keyspace, op->key,
                                        op->value.size ? get_u32(op->value.data) : 0, commit);
    }
    if (op->code == OP_DROP && !prepared && MUTANT(drop_not_replayed)) return SDB_OK;
    if (op->code == OP_DROP) return sdb__keyspace_apply_drop(db, op->keyspace, commit);
    keyspace = sdb__keyspace_by_id(db, op->keyspace);
    if (!keyspace || atomic_load(&keyspace->dropped))
        return FAIL(SDB_CORRUPT, "%s: commit %" PRIu64 " changes keyspace %u, which is not there: "
                    "restore a backup", db->path, commit, op->keyspace);
    if (op->code == OP_DEL) return sdb__apply_del(keyspace, op->key, commit, keep);
    if (op->code == OP_DELRANGE) return sdb__apply_del_range(keyspace, op, commit, keep);
    if (op->code == OP_MERGE) return apply_merge(keyspace, op, &change);
    if (op->code == OP_REAP) return apply_reap(keyspace, &change);
    if (op->code == OP_TTL) return sdb__keyspace_apply_ttl(keyspace, op->time);
    if (op->time) {
        if (!atomic_load_explicit(&keyspace->expiring, memory_order_relaxed))
            sdb__btree_run_end(run); /* the catalog is going to change */
        TRY(sdb__keyspace_note_expiry(keyspace, op->time));
    }
    TRY(place_value(db, op, prepared, &value));
    return sdb__btree_put_run(&keyspace->tree, op->key, &value, leave_old, &change, run);
}

sdb_status sdb__apply(sdb_db *db, const uint8_t *ops, size_t size, uint64_t commit, bool keep,
                      struct prepared *prepared)
{
    struct btree_run run = {0};
    sdb_status status = sdb__apply_run(db, ops, size, commit, keep, prepared, &run);

    sdb__btree_run_end(&run);
    return status;
}

sdb_status sdb__apply_run(sdb_db *db, const uint8_t *ops, size_t size, uint64_t commit, bool keep,
                          struct prepared *prepared, struct btree_run *run)
{
    const uint8_t *at = ops, *end = ops + size;
    struct op op;

    db->changed = true;
    while (at < end) {
        size_t step = sdb__op_read(at, end, &op);

        if (!step) return bad_operation(db, commit);
        if (!op.superseded) TRY(apply_one(db, &op, commit, keep, prepared, run));
        at += step;
    }
    return SDB_OK;
}
