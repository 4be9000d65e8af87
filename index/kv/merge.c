/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge.c: merging in a transaction, and reading what was merged there.
 *
 * Idea: a merge is a change that does not look: the operand goes into the write set and the log,
 * and meets the value when the transaction commits. Two transactions that merge into the same key
 * therefore do not conflict; they would if one of them had read the key, for what it does may rest
 * on what it saw (readset.h remembers that).
 * Invariants: I1 what the transaction sees of a key is what its commit would make of it if nobody
 *   else had committed.
 * Costs: reading a key evaluates all the transaction's merges into it anew.
 * Source: blind writes that commute, O'Neil's escrow method, TODS 1986, without its limits; merge
 *   operands in the log as in RocksDB, which keeps them in the tables too.
 * Not here: what operators do (merge_ops.c); commits (merge_commit.c).
 */
#include "index/kv/merge.h"

#include <string.h>

#include "engine/base/status.h"
#include "index/kv/txn.h"

enum { OPERAND_FEW = 256 };

sdb_status sdb_merge(sdb_txn *txn, sdb_keyspace *keyspace, unsigned number, sdb_slice key,
                     sdb_slice operand)
{
    uint8_t few[OPERAND_FEW], *value = few;
    sdb_status status;

    if (!keyspace) return FAIL(SDB_INVALID, "sdb_merge: keyspace is NULL");
    TRY(sdb__txn_may_change(txn, keyspace, key, operand));
    TRY(sdb__merge_judge(keyspace->db, number, bytes_of(operand)));
    if (operand.size >= sizeof few) {
        value = sdb__mem_alloc(keyspace->db->allocator, operand.size + 1);
        if (!value) return SDB_NOMEM;
    }
    value[0] = (uint8_t)number;
    if (operand.size) memcpy(value + 1, operand.data, operand.size);
    status = sdb__txn_change(txn, keyspace, OP_MERGE, key, (sdb_slice){value, operand.size + 1},
                             0);
    if (value != few) sdb__mem_free(keyspace->db->allocator, value);
    return status;
}

/* ---- reading ------------------------------------------------------------------------------ */

/* The oldest operation of a chain that is in memory may have others below it that were spilled. */
static sdb_status get_spilled(const struct write_set *w, uint32_t keyspace, struct bytes key,
                              const struct write_link *link, struct buffer *out_ops)
{
    out_ops->size = 0;
    while (link && link->before) link = link->before;
    if (!w->spill || (link && sdb__writes_op(link->at).code != OP_MERGE) ||
        (w->range_ops && sdb__writes_covering(w, keyspace, key)))
        return SDB_OK;
    return sdb__spill_chain(w->spill, keyspace, key, out_ops);
}

sdb_status sdb__merge_needs_base(const struct write_set *w, uint32_t keyspace, struct bytes key,
                                 bool *out_needs)
{
    const struct write_link *newest = sdb__writes_chain(w, keyspace, key), *link = newest;
    const uint8_t *oldest;
    struct buffer spilled = {0};
    struct write_range range;
    sdb_status status = get_spilled(w, keyspace, key, newest, &spilled);

    while (link && link->before) link = link->before;
    oldest = spilled.size ? spilled.data : link ? link->at : NULL;
    *out_needs = status == SDB_OK && oldest && sdb__writes_op(oldest).code == OP_MERGE &&
                 !sdb__writes_covers(w, keyspace, key, &range);
    sdb__buffer_done(w->allocator, &spilled);
    return status;
}

/* Merges operations, which come newest first, into a base. */
static sdb_status fold(const sdb_txn *txn, const sdb_keyspace *keyspace,
                       const uint8_t *const *ops, size_t count, const struct bytes *base,
                       struct buffer *value, uint64_t *expiry)
{
    const sdb_db *db = txn->db;
    struct buffer spare = {0}, result;
    struct bytes sofar;
    sdb_status status = SDB_OK;

    while (count-- && status == SDB_OK) {
        struct op op = sdb__writes_op(ops[count]);

        if (op.code != OP_MERGE) { /* the oldest: a put or a delete */
            sofar = op.value;
            base = op_is_gone(&op, txn_now_ms(txn)) ? NULL : &sofar;
            *expiry = op.time;
            continue;
        }
        if (!base) *expiry = sdb__keyspace_expiry(keyspace);
        status = sdb__merge_evaluate(db, base, op.value, &spare);
        result = spare;
        spare = *value;
        *value = result;
        sofar = (struct bytes){value->data, value->size};
        base = &sofar;
    }
    sdb__buffer_done(db->allocator, &spare);
    return status;
}

/* Lists a chain and the spilled operations below it, newest first. Returns how many. */
static size_t list(const struct write_link *newest, const struct buffer *spilled,
                   const uint8_t **ops)
{
    const uint8_t *at = spilled->data, *end = at + spilled->size;
    size_t count = 0, own;
    struct op op;

    for (const struct write_link *link = newest; link; link = link->before, count++)
        if (ops) ops[count] = link->at;
    own = count;
    for (; at < end; at += sdb__op_read(at, end, &op), count++)
        if (ops) ops[count] = at;
    for (size_t i = own, j = count; ops && i + 1 < j; i++, j--) {
        const uint8_t *swap = ops[i];

        ops[i] = ops[j - 1];
        ops[j - 1] = swap;
    }
    return count;
}

sdb_status sdb__merge_own(const sdb_txn *txn, const sdb_keyspace *keyspace, struct bytes key,
                          const struct bytes *base, struct buffer *value, uint64_t *expiry)
{
    const struct write_link *newest = sdb__writes_chain(&txn->writes, keyspace->tree.id, key);
    const sdb_db *db = txn->db;
    uint64_t unasked = 0;
    const uint8_t *few[16], **ops = few;
    struct buffer spilled = {0};
    sdb_status status = get_spilled(&txn->writes, keyspace->tree.id, key, newest,
                                    &spilled);
    size_t count = 0;

    if (status == SDB_OK) {
        count = list(newest, &spilled, NULL);
        if (count > sizeof few / sizeof *few)
            ops = sdb__mem_alloc(db->allocator, count * sizeof *ops);
        if (!ops) status = SDB_NOMEM;
    }
    if (status == SDB_OK)
        status = fold(txn, keyspace, ops, list(newest, &spilled, ops), base, value,
                      expiry ? expiry : &unasked);
    if (ops != few) sdb__mem_free(db->allocator, ops);
    sdb__buffer_done(db->allocator, &spilled);
    return status;
}
