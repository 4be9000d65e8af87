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
    status = sdb__txn_change(txn, keyspace, OP_MERGE, key, (sdb_slice){value, operand.size + 1});
    if (value != few) sdb__mem_free(keyspace->db->allocator, value);
    return status;
}

/* ---- reading ------------------------------------------------------------------------------ */

bool sdb__merge_needs_base(const struct write_set *w, uint32_t keyspace, struct bytes key)
{
    const struct write_link *link = sdb__writes_chain(w, keyspace, key);

    while (link && link->before) link = link->before;
    return link && sdb__writes_op(link->at).code == OP_MERGE &&
           !(w->range_ops && sdb__writes_covering(w, keyspace, key));
}

/* Merges operations, which come newest first, into a base. */
static sdb_status fold(const sdb_db *db, const uint8_t *const *ops, size_t count,
                       const struct bytes *base, struct buffer *value)
{
    struct buffer spare = {0}, result;
    struct bytes sofar;
    sdb_status status = SDB_OK;

    while (count-- && status == SDB_OK) {
        struct op op = sdb__writes_op(ops[count]);

        if (op.code != OP_MERGE) { /* the oldest: a put or a delete */
            sofar = op.value;
            base = op.code == OP_PUT ? &sofar : NULL;
            continue;
        }
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

sdb_status sdb__merge_own(const sdb_db *db, const struct write_set *w, uint32_t keyspace,
                          struct bytes key, const struct bytes *base, struct buffer *value)
{
    const struct write_link *newest = sdb__writes_chain(w, keyspace, key);
    const uint8_t *few[16], **ops = few;
    size_t count = 0;
    sdb_status status;

    for (const struct write_link *link = newest; link; link = link->before) count++;
    if (count > sizeof few / sizeof *few) {
        ops = sdb__mem_alloc(db->allocator, count * sizeof *ops);
        if (!ops) return SDB_NOMEM;
    }
    count = 0;
    for (const struct write_link *link = newest; link; link = link->before) ops[count++] = link->at;
    status = fold(db, ops, count, base, value);
    if (ops != few) sdb__mem_free(db->allocator, ops);
    return status;
}
