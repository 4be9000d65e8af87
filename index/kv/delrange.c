/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delrange.c: deleting all keys of a range with one operation.
 *
 * Idea: while nobody reads old data, a range is cut out of its tree without being looked at
 * (btree_cut.c), and its pages are freed later, a few hundred at a time, like those of a dropped
 * keyspace (keyspace.c). If a snapshot is open it needs the keys: then they are deleted one by one
 * and leave versions, after it was seen, before anything was written, that these have room.
 * A spilled transaction (spill.h) is treated likewise: without readers it leaves no versions, which
 * may be more than there is memory for, and with them it is seen first that they have room.
 * Invariants: I1 whether such a commit leaves versions is decided before it is logged, and
 *   no snapshot opens from then until it is visible, unless it leaves them.
 * Costs: a few descents; with open snapshots a descent and a version a key, at most version_bytes
 *   of them, and before that a scan of the range, or a descent a key.
 * Not here: how a transaction sees its own deleted ranges (writeset.c, cursor.c).
 */
#include <inttypes.h>

#include "engine/base/mutant.h"
#include "engine/base/status.h"
#include "index/kv/database.h"
#include "index/kv/range.h"
#include "index/kv/scan.h"
#include "index/kv/txn.h"

/* About what a version takes beside its bytes: itself, its key's entry, what the allocator adds. */
enum { VERSION_COST = 192 };

/* ---- applying ----------------------------------------------------------------------------- */

struct cut {
    sdb_db *db;
    uint32_t id;
};

static sdb_status give_up(void *context, const struct btree_value *old)
{
    struct cut *cut = context;

    return sdb__apply_release(cut->db, old);
}

static sdb_status note_cut(void *context, uint64_t root)
{
    struct cut *cut = context;

    return sdb__keyspace_note_cut(cut->db, cut->id, root);
}

/* Moves a scan to the first key of an operation's range; SDB_END: there is none. */
static sdb_status range_first(struct scan *scan, const struct op *op)
{
    return sdb__scan_seek(scan, op->key, false);
}

/* SDB_END when the scan's entry lies behind the range. */
static sdb_status range_judge(const struct scan *scan, const struct op *op)
{
    const struct bytes *upper = op_upper(op);

    return upper && compare_bytes(scan->key.data, scan->key.size, upper->data, upper->size) >= 0
               ? SDB_END : SDB_OK;
}

/* Deletes the keys one by one; they leave versions. */
static sdb_status delete_each(sdb_keyspace *keyspace, const struct op *op, uint64_t commit)
{
    const struct snapshot newest = {.commit = UINT64_MAX};
    struct scan scan;
    sdb_status status;

    sdb__scan_init(&scan, keyspace, &newest);
    sdb__scan_limit(&scan, NULL, op_upper(op));
    status = range_first(&scan, op);
    while (status == SDB_OK && (status = range_judge(&scan, op)) == SDB_OK) {
        status = sdb__apply_del(keyspace, view(&scan.key), commit, true);
        if (status == SDB_OK) status = sdb__scan_next(&scan);
    }
    sdb__scan_done(&scan);
    return status == SDB_END ? SDB_OK : status;
}

sdb_status sdb__apply_del_range(sdb_keyspace *keyspace, const struct op *op, uint64_t commit,
                                bool keep)
{
    sdb_db *db = keyspace->db;
    struct cut cut = {db, keyspace->tree.id};
    size_t first = db->cut_count;

    if (keep && !MUTANT(range_leaves_no_versions)) return delete_each(keyspace, op, commit);
    TRY(sdb__btree_cut(&keyspace->tree, op->key, op_upper(op), give_up, note_cut, &cut));
    return sdb__keyspace_keep_cuts(db, first);
}

/* ---- before the commit -------------------------------------------------------------------- */

/* Adds up what the versions of a range would take, up to a limit. */
static sdb_status add_cost(sdb_keyspace *keyspace, const struct op *op, uint64_t limit,
                           uint64_t *cost)
{
    const struct snapshot newest = {.commit = UINT64_MAX};
    struct scan scan;
    sdb_status status;

    sdb__scan_init(&scan, keyspace, &newest);
    sdb__scan_limit(&scan, NULL, op_upper(op));
    status = range_first(&scan, op);
    while (status == SDB_OK && *cost <= limit &&
           (status = range_judge(&scan, op)) == SDB_OK) {
        enum node_kind kind;
        struct bytes payload = node_payload(scan.leaf.node, scan.at, &kind);

        *cost += VERSION_COST + scan.key.size + payload.size;
        status = sdb__scan_next(&scan);
    }
    sdb__scan_done(&scan);
    return status == SDB_END ? SDB_OK : status;
}

static sdb_keyspace *keyspace_of(sdb_db *db, const struct op *op)
{
    return sdb__keyspace_by_id(db, op->keyspace);
}

static sdb_status note_size(void *context, const struct btree_value *value)
{
    *(size_t *)context = value && !value->is_extent ? value->data.size : 0;
    return SDB_OK;
}

/* Adds what the version of one key would take. */
static sdb_status add_key_cost(sdb_keyspace *keyspace, const struct op *op, uint64_t *cost)
{
    size_t size = 0;
    sdb_status status = sdb__btree_get(&keyspace->tree, op->key, note_size, &size);

    *cost += VERSION_COST + op->key.size + size;
    return status;
}

sdb_status sdb__ready_versions(sdb_db *db, const struct write_set *w, bool *out_keep)
{
    struct write_walk walk = {.w = w};
    uint8_t *at;
    size_t size;
    uint64_t cost = atomic_load_explicit(&db->versions.bytes, memory_order_relaxed);
    uint64_t limit = db->options.version_bytes;
    sdb_status status = SDB_OK;

    /* Few enough to be quiet, whatever their number: versions of all that ranges hold cost more. */
    *out_keep = sdb__snapshot_apply(db, 1, UINT64_MAX);
    while (*out_keep && cost <= limit &&
           (status = sdb__writes_next(&walk, &at, &size)) == SDB_OK) {
        const uint8_t *end = at + size;
        struct op op;

        while (status == SDB_OK && cost <= limit && at < end) {
            at += sdb__op_read(at, end, &op);
            status = op.code == OP_DELRANGE ? add_cost(keyspace_of(db, &op), &op, limit, &cost)
                     : w->spill             ? add_key_cost(keyspace_of(db, &op), &op, &cost)
                                            : SDB_OK;
        }
        if (status != SDB_OK) break;
    }
    sdb__writes_walk_done(&walk);
    if (status == SDB_END) status = SDB_OK;
    if (status == SDB_OK && *out_keep && cost > limit)
        status = FAIL(SDB_LIMIT, "the %s too much for open snapshots, which would still see it, to "
                      "be kept in %" PRIu64 " bytes: end long-running readers, delete or change "
                      "less at once, or raise version_bytes",
                      w->spill ? "transaction changes" : "ranges to delete hold", limit);
    if (status == SDB_OK && *out_keep) /* leaves that lose keys, and what is above them */
        status = sdb__pager_reserve(db->pager,
                                    2 * cost / sdb__pager_page_size(db->pager) + RESERVE_RANGE);
    if (status != SDB_OK) sdb__snapshot_publish(db, db->last_commit);
    return status;
}

/* ---- public ------------------------------------------------------------------------------- */

/* Adds the operation to the transaction, or commits it by itself. */
static sdb_status add(sdb_txn *txn, sdb_keyspace *keyspace, const struct bounds *b)
{
    struct bytes upper = view(&b->upper);
    sdb_txn *own = NULL;
    sdb_status status;

    if (b->lower.size > SDB_KEY_MAX || b->upper.size > SDB_KEY_MAX)
        return FAIL(SDB_LIMIT, "a bound of a range to delete has at most %u bytes, like a key",
                    SDB_KEY_MAX);
    if (sdb__bounds_are_empty(b)) return SDB_OK;
    if (!txn) TRY(sdb_txn_begin(keyspace->db, SDB_TXN_BATCH, &own));
    status = sdb__writes_add_range(own ? &own->writes : &txn->writes, keyspace->tree.id,
                                   view(&b->lower), b->has_upper ? &upper : NULL);
    if (!own) return status;
    if (status == SDB_OK) return sdb_txn_commit(own);
    sdb_txn_abort(own);
    return status;
}

sdb_status sdb_del_range(sdb_txn *txn, sdb_keyspace *keyspace, const sdb_range *range)
{
    const sdb_slice none = {NULL, 0};
    struct bounds bounds = {0};
    sdb_status status;

    if (!keyspace) return FAIL(SDB_INVALID, "sdb_del_range: keyspace is NULL");
    TRY(sdb__txn_may_change(txn, keyspace, none, none));
    status = sdb__bounds_set(&bounds, keyspace->db->allocator, range);
    if (status == SDB_OK) status = add(txn, keyspace, &bounds);
    sdb__bounds_done(&bounds, keyspace->db->allocator);
    return status;
}
