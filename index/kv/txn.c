/* SPDX-License-Identifier: Apache-2.0 */
/*
 * txn.c: transactions from begin to end, and the changes in them.
 *
 * Idea: a transaction is a snapshot and a write set. Ended ones are kept for the next to begin, so
 * a transaction costs no allocation. A serializable one that may write has a read set too, and
 * commits only if nothing in it was changed since the snapshot (commit.c).
 *
 * Why that is serializable. Let W be the serializable transactions that wrote, in commit order.
 *   When one of them commits as number c, under the lock that orders all commits, what it read at
 *   its snapshot s is what it would read at c − 1: validation found no change between the two in
 *   any range that it passed, and what a range does not hold it would not have met. So it does what
 *   it would have done alone, between c − 1 and c. Batches read nothing, and hold by themselves. A
 *   transaction that wrote nothing, whatever it read, saw the state just behind commit s, and is
 *   placed there: the commits before it are the ones it saw, those behind are the ones it did not.
 *   It needs no validation, which excludes the anomaly of Fekete et al. 2004: that one needs two
 *   writers which together are not serial, and W has none. The order also agrees with the clock:
 *   who begins after a commit has returned sees it.
 * A commit may be seen before it is durable. The log is in commit order, so a crash takes away an
 *   end of the order, and what is left is serial like the whole.
 * Writers that are only isolated by snapshots may run among them. What they write may rest on what
 *   was no longer so; what serializable ones write does not, given what they found.
 *
 * Invariants: I1 a batch has no snapshot and so never conflicts. I2 a transaction object is in
 *   idle_txns or the caller's, never both. I3 what a serializable transaction that may write
 *   has been told of committed data, or of its absence, is in its read set when the call returns.
 * Costs: two short locks to begin, one to end.
 * Source: backward validation, Kung & Robinson, TODS 1981; against versions, Neumann et al. 2015.
 * Not here: what a commit does (commit.c); which ranges cursors pass (cursor.c).
 */
#include <inttypes.h>
#include <string.h>

#include "engine/base/clock.h"
#include "engine/base/status.h"
#include "index/kv/txn.h"

enum { IDLE_MOST = 16, RUN_TIMEOUT_MS = 10000, RUN_PAUSE_FIRST_US = 20, RUN_PAUSE_MOST_US = 20000 };

static void txn_free(sdb_txn *txn)
{
    sdb__cursor_free(txn->spare);
    sdb__writes_done(&txn->writes);
    sdb__reads_done(&txn->reads);
    sdb__buffer_done(txn->db->allocator, &txn->value);
    sdb__mem_free(txn->db->allocator, txn);
}

void sdb__txns_done(sdb_db *db)
{
    while (db->idle_txns) {
        sdb_txn *txn = db->idle_txns;

        db->idle_txns = txn->next_idle;
        txn_free(txn);
    }
}

/* An idle transaction, or a new one; counted as open. */
static sdb_txn *txn_take(sdb_db *db)
{
    sdb_txn *txn;

    (void)pthread_mutex_lock(&db->snapshot_lock);
    txn = db->idle_txns;
    if (txn) {
        db->idle_txns = txn->next_idle;
        db->idle_count--;
    }
    db->transaction_count++;
    (void)pthread_mutex_unlock(&db->snapshot_lock);
    if (!txn) {
        txn = sdb__mem_zalloc(db->allocator, 1, sizeof *txn);
        if (txn) {
            txn->db = db;
            sdb__writes_init(&txn->writes, db->allocator, false);
            if (!db->is_memory)
                sdb__writes_may_spill(&txn->writes, db->pager, db->options.txn_memory_bytes,
                                      &db->spilled_bytes);
            sdb__reads_init(&txn->reads, db->allocator);
        }
    }
    return txn;
}

/* Puts an ended transaction away. */
static void txn_put(sdb_db *db, sdb_txn *txn)
{
    bool kept = false;

    if (txn) {
        sdb__writes_reset(&txn->writes);
        if (txn->reads.active) sdb__reads_reset(&txn->reads, false, false);
        if (txn->value.capacity > 65536) sdb__buffer_done(db->allocator, &txn->value);
        txn->has_snapshot = false;
    }
    (void)pthread_mutex_lock(&db->snapshot_lock);
    db->transaction_count--;
    if (txn && db->idle_count < IDLE_MOST) {
        txn->next_idle = db->idle_txns;
        db->idle_txns = txn;
        db->idle_count++;
        kept = true;
    }
    (void)pthread_mutex_unlock(&db->snapshot_lock);
    if (txn && !kept) txn_free(txn);
}

/* Remembers what is read, as far as the commit will ask for it (I3). */
static void begin_reads(sdb_txn *txn)
{
    bool writes = (txn->flags & SDB_TXN_WRITE) && !(txn->flags & SDB_TXN_BATCH);
    bool validates = writes && ((txn->flags & SDB_TXN_SERIALIZABLE) ||
                                (txn->db->options.flags & SDB_OPEN_SERIALIZABLE));

    if (writes || txn->reads.sees) sdb__reads_reset(&txn->reads, validates, writes && !validates);
}

sdb_status sdb_txn_begin(sdb_db *db, unsigned flags, sdb_txn **out_txn)
{
    sdb_txn *txn;

    if (!db || !out_txn) return FAIL(SDB_INVALID, "sdb_txn_begin: an argument is NULL");
    if (flags & ~(unsigned)(SDB_TXN_WRITE | SDB_TXN_BATCH | SDB_TXN_SERIALIZABLE))
        return FAIL(SDB_INVALID, "sdb_txn_begin: flags %#x are unknown", flags);
    TRY(sdb__db_alive(db));
    if ((flags & (SDB_TXN_WRITE | SDB_TXN_BATCH)) && db->readonly)
        return FAIL(SDB_READONLY, "%s is open for reading only", db->path);
    txn = txn_take(db);
    if (!txn) {
        txn_put(db, NULL);
        return SDB_NOMEM;
    }
    txn->flags = flags;
    txn->durability = SDB_DURABILITY_DEFAULT;
    txn->own_ms = txn->snapshot.now_ms = 0;
    txn->cursors = NULL;
    txn->writes.indexed = !(flags & SDB_TXN_BATCH);
    txn->has_snapshot = !(flags & SDB_TXN_BATCH);
    begin_reads(txn);
    if (txn->has_snapshot) sdb__snapshot_open(db, &txn->snapshot);
    *out_txn = txn;
    return SDB_OK;
}

void sdb_txn_abort(sdb_txn *txn)
{
    sdb_db *db;

    if (!txn) return;
    db = txn->db;
    sdb__cursors_orphan(txn);
    if (txn->has_snapshot) sdb__snapshot_close(db, &txn->snapshot);
    txn_put(db, txn);
}

/* Frees what dropped keyspaces left, if nobody else will. */
static sdb_status tidy(sdb_db *db)
{
    if (db->has_workers || atomic_load_explicit(&db->unfreed, memory_order_relaxed) == 0)
        return SDB_OK;
    return sdb__keyspaces_tidy(db);
}

sdb_status sdb_txn_commit(sdb_txn *txn)
{
    sdb_db *db;
    sdb_status status = SDB_OK;

    if (!txn) return FAIL(SDB_INVALID, "sdb_txn_commit: txn is NULL");
    db = txn->db;
    if (txn->cursors) {
        sdb_txn_abort(txn);
        return FAIL(SDB_INVALID, "the transaction ended with cursors open, and was aborted: close "
                    "them first");
    }
    if (txn->writes.count == 0) {
        sdb_txn_abort(txn);
        TRY(sdb__db_alive(db));
        return tidy(db);
    }
    status = sdb__commit(db, &txn->writes, &txn->reads,
                         txn->has_snapshot ? &txn->snapshot : NULL, txn->durability);
    txn_put(db, txn);
    return status == SDB_OK ? tidy(db) : status;
}

void sdb_txn_set_durability(sdb_txn *txn, sdb_durability durability)
{
    if (txn) txn->durability = durability;
}

sdb_status sdb_txn_run(sdb_db *db, unsigned flags, sdb_txn_fn fn, void *context,
                       unsigned timeout_ms)
{
    uint64_t deadline, pause_us = RUN_PAUSE_FIRST_US, random = sdb__random_seed();

    if (!db || !fn) return FAIL(SDB_INVALID, "sdb_txn_run: an argument is NULL");
    deadline = sdb__clock_now_ns() +
               (timeout_ms ? timeout_ms : RUN_TIMEOUT_MS) * UINT64_C(1000000);
    for (;;) {
        sdb_txn *txn;
        sdb_status status;

        TRY(sdb_txn_begin(db, flags, &txn));
        status = fn(txn, context);
        if (status != SDB_OK) {
            sdb_txn_abort(txn);
            return status;
        }
        status = sdb_txn_commit(txn);
        if (status != SDB_CONFLICT || sdb__clock_now_ns() >= deadline) return status;
        sdb__clock_sleep_ns(random_below(&random, pause_us * 1000) + 1);
        pause_us = pause_us * 2 > RUN_PAUSE_MOST_US ? RUN_PAUSE_MOST_US : pause_us * 2;
    }
}

sdb_status sdb_savepoint_set(sdb_txn *txn, uint64_t *out_savepoint)
{
    if (!txn || !out_savepoint)
        return FAIL(SDB_INVALID, "sdb_savepoint_set: an argument is NULL");
    return sdb__writes_mark(&txn->writes, out_savepoint);
}

sdb_status sdb_savepoint_rollback(sdb_txn *txn, uint64_t savepoint)
{
    if (!txn) return FAIL(SDB_INVALID, "sdb_savepoint_rollback: txn is NULL");
    TRY(sdb__writes_rollback(&txn->writes, savepoint));
    sdb__cursors_unsettle(txn);
    return SDB_OK;
}

/* ---- changes ------------------------------------------------------------------------------ */

sdb_status sdb__txn_may_change(sdb_txn *txn, sdb_keyspace *keyspace, sdb_slice key,
                               sdb_slice value)
{
    TRY(sdb__db_alive(keyspace->db));
    if (keyspace->db->readonly)
        return FAIL(SDB_READONLY, "%s is open for reading only", keyspace->db->path);
    if (txn && !(txn->flags & (SDB_TXN_WRITE | SDB_TXN_BATCH)))
        return FAIL(SDB_READONLY, "the transaction was begun for reading only");
    if (txn && txn->db != keyspace->db)
        return FAIL(SDB_INVALID, "keyspace \"%s\" is of another database than the transaction",
                    keyspace->name);
    if (key.size > SDB_KEY_MAX)
        return FAIL(SDB_LIMIT, "a key has at most %u bytes; this one has %zu", SDB_KEY_MAX,
                    key.size);
    if (value.size > SDB_VALUE_MAX)
        return FAIL(SDB_LIMIT, "a value has at most %u bytes; this one has %zu", SDB_VALUE_MAX,
                    value.size);
    if ((!key.data && key.size) || (!value.data && value.size))
        return FAIL(SDB_INVALID, "a slice has a size but no data");
    if (atomic_load_explicit(&keyspace->dropped, memory_order_acquire))
        return FAIL(SDB_NOTFOUND, "keyspace \"%s\" has been dropped", keyspace->name);
    return SDB_OK;
}

sdb_status sdb__txn_change(sdb_txn *txn, sdb_keyspace *keyspace, enum op_code code, sdb_slice key,
                           sdb_slice value, uint64_t expiry)
{
    const struct op op = {.code = code, .keyspace = keyspace->tree.id, .key = bytes_of(key),
                          .value = bytes_of(value), .time = expiry};
    sdb_txn *own = NULL;
    uint32_t page_size;
    sdb_status status;

    TRY(sdb__txn_may_change(txn, keyspace, key, value));
    if (!txn) TRY(sdb_txn_begin(keyspace->db, SDB_TXN_BATCH, &own));
    page_size = sdb__pager_page_size(keyspace->db->pager);
    if (txn && expiry && txn_now_ms(txn) == 0) txn->own_ms = sdb__db_now_ms(txn->db);
    status = sdb__writes_add_timed(own ? &own->writes : &txn->writes, &op,
                                   !sdb__op_is_inline(page_size, &op));
    if (!own) return status;
    if (status == SDB_OK) return sdb_txn_commit(own);
    sdb_txn_abort(own);
    return status;
}

sdb_status sdb_put(sdb_txn *txn, sdb_keyspace *keyspace, sdb_slice key, sdb_slice value)
{
    if (!keyspace) return FAIL(SDB_INVALID, "sdb_put: keyspace is NULL");
    return sdb__txn_change(txn, keyspace, OP_PUT, key, value, sdb__keyspace_expiry(keyspace));
}

/* Whether the transaction sees a value for the key. */
static sdb_status has_key(sdb_txn *txn, sdb_keyspace *keyspace, sdb_slice key, bool *out_has)
{
    struct op op;
    sdb_status status;

    TRY(sdb__txn_may_read(txn, keyspace));
    status = sdb__writes_find(&txn->writes, keyspace->tree.id, bytes_of(key), &op);
    if (status != SDB_END) {
        *out_has = status == SDB_OK && !op_is_gone(&op, txn_now_ms(txn));
        return status;
    }
    status = sdb__read_committed(keyspace, bytes_of(key), &txn->snapshot, NULL);
    if (status >= SDB_OK) reads_add_key(&txn->reads, keyspace->tree.id, bytes_of(key));
    *out_has = status == SDB_OK;
    return status == SDB_NOTFOUND ? SDB_OK : status;
}

sdb_status sdb_insert(sdb_txn *txn, sdb_keyspace *keyspace, sdb_slice key, sdb_slice value)
{
    bool has;

    if (!txn || !keyspace) return FAIL(SDB_INVALID, "sdb_insert: an argument is NULL");
    TRY(sdb__txn_may_change(txn, keyspace, key, value));
    TRY(has_key(txn, keyspace, key, &has));
    if (has)
        return FAIL(SDB_EXISTS, "the key is in keyspace \"%s\" already", keyspace->name);
    return sdb__txn_change(txn, keyspace, OP_PUT, key, value, sdb__keyspace_expiry(keyspace));
}

sdb_status sdb_del(sdb_txn *txn, sdb_keyspace *keyspace, sdb_slice key)
{
    bool has = true;

    if (!keyspace) return FAIL(SDB_INVALID, "sdb_del: keyspace is NULL");
    TRY(sdb__txn_may_change(txn, keyspace, key, (sdb_slice){NULL, 0}));
    if (txn && (txn->flags & SDB_TXN_WRITE) && !(txn->flags & SDB_TXN_BATCH))
        TRY(has_key(txn, keyspace, key, &has));
    if (!has)
        return FAIL(SDB_NOTFOUND, "there is no such key in keyspace \"%s\"", keyspace->name);
    return sdb__txn_change(txn, keyspace, OP_DEL, key, (sdb_slice){NULL, 0}, 0);
}
