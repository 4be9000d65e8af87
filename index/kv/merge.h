/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge.h: operands that are merged into values: what operators make of them, what a transaction
 * sees of its own, and what a commit puts into the trees.
 *
 * The *value* of an OP_MERGE is the operator's number, u8, and the operand. `base` is what the key
 * has before; NULL: nothing.
 */
#ifndef SDB_INDEX_KV_MERGE_H
#define SDB_INDEX_KV_MERGE_H

#include "index/kv/database.h"

/* ---- merge_ops.c ---- */
/* SDB_INVALID: there is no such operator, or it can never take such an operand. */
SDB_MUST_USE sdb_status sdb__merge_judge(const sdb_db *db, unsigned number, struct bytes operand);
/* Judges the operators given in options. */
SDB_MUST_USE sdb_status sdb__merge_judge_options(const sdb_options *options);
/*
 * The value that comes of `base` and an operation's value, into `out`, which must not hold either.
 * SDB_INVALID, SDB_LIMIT: they do not fit together, with a sentence.
 */
SDB_MUST_USE sdb_status sdb__merge_evaluate(const sdb_db *db, const struct bytes *base,
                                            struct bytes value, struct buffer *out);

/* ---- merge.c ---- */
/* Whether what the transaction sees of a key that it merged into needs the committed value. */
SDB_MUST_USE sdb_status sdb__merge_needs_base(const struct write_set *writes, uint32_t keyspace,
                                              struct bytes key, bool *out_needs);
/*
 * What the transaction sees of a key that it merged into, into `value`. `base` is the committed
 * value, if that is needed; it may lie in `value`. *expiry, which may be NULL, is that of the base,
 * and then that of what the transaction sees: a merge keeps it, and one that finds nothing takes
 * the keyspace's time to live.
 */
SDB_MUST_USE sdb_status sdb__merge_own(const sdb_txn *txn, const sdb_keyspace *keyspace,
                                       struct bytes key, const struct bytes *base,
                                       struct buffer *value, uint64_t *expiry);

/* ---- merge_commit.c ---- */
/*
 * Adds to `puts` what the merges of a write set come to, as OP_PUTs, on top of what is committed
 * now and of the other operations. Under commit_lock. Statuses of sdb__merge_evaluate: the commit
 * cannot be.
 */
SDB_MUST_USE sdb_status sdb__merge_resolve(sdb_db *db, const struct write_set *writes,
                                           struct write_set *puts);
/* Marks the merges in a piece as superseded: once the log has them, their outcome is applied. */
void sdb__merge_hide(uint8_t *ops, size_t size);

#endif
