/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expiry.c: values that have an end, and keyspaces that give them one.
 *
 * Idea: an expiry is an absolute time and a part of the value: it stands in the leaf's cell, in the
 *   version and in the log. A reader compares it with the one time that it has, so nothing must
 *   happen for a value to go; what it takes is given back later (reaper.c). Times to live are made
 *   into expiries when a value is put, so the log needs no clock to be applied again. A merge is
 *   applied at the time that its commit has in the log.
 *
 *     keyspace with ttl 60 s;  put a at 10:00:00 → log, cell: a, expiry 10:01:00
 *     a reader from 10:00:59 on sees a, as long as it lasts; one from 10:01:00 does not
 *
 * Invariants: I1 a keyspace with a value that has an expiry has an entry "t" in the catalog, and is
 *   marked `expiring`; once it is, it stays so. I2 no value in it expires before next_expiry, but
 *   while the reaper goes through it. I3 before an expiring value is visible db->expiring is set;
 *   who opened no snapshot since sees none.
 * Costs: 9 bytes a value that has an expiry; where none has, a branch when a snapshot opens, one a
 *   read. A cell is written as it stands in the log.
 * Source: absolute times in the log, as in Redis' append-only file (EXPIREAT).
 * Not here: removal (reaper.c).
 */
#include "engine/base/status.h"
#include "index/kv/txn.h"

uint64_t sdb__db_now_ms(const sdb_db *db)
{
    clock_fn clock = atomic_load_explicit(&db->clock, memory_order_relaxed);

    if (db->frozen_ms) return db->frozen_ms;
    return clock ? clock() : sdb__pager_now_ms();
}

void sdb__db_set_clock(sdb_db *db, clock_fn clock)
{
    atomic_store_explicit(&db->clock, clock, memory_order_relaxed);
}

uint64_t sdb__keyspace_expiry_at(const sdb_keyspace *keyspace, uint64_t now_ms)
{
    uint64_t ttl_ms = atomic_load_explicit(&keyspace->ttl_ms, memory_order_relaxed);

    if (ttl_ms == 0) return 0;
    return now_ms > UINT64_MAX - ttl_ms ? UINT64_MAX : now_ms + ttl_ms;
}

uint64_t sdb__keyspace_expiry(const sdb_keyspace *keyspace)
{
    if (atomic_load_explicit(&keyspace->ttl_ms, memory_order_relaxed) == 0) return 0;
    return sdb__keyspace_expiry_at(keyspace, sdb__db_now_ms(keyspace->db));
}

/* ---- the mark of a keyspace --------------------------------------------------------------- */

void sdb__keyspace_take_ttl(sdb_keyspace *keyspace, uint64_t ttl_ms)
{
    atomic_store(&keyspace->ttl_ms, ttl_ms);
    atomic_store(&keyspace->expiring, true);
    atomic_store(&keyspace->db->expiring, true);
}

/* Marks a keyspace, on disk too. */
static sdb_status mark(sdb_keyspace *keyspace, uint64_t ttl_ms)
{
    bool is_new = !atomic_load(&keyspace->expiring);

    sdb__pager_need_feature(keyspace->db->pager, FEATURE_EXPIRY);
    TRY(sdb__keyspace_keep_ttl(keyspace, ttl_ms));
    if (is_new) atomic_store(&keyspace->next_expiry, UINT64_MAX);
    sdb__keyspace_take_ttl(keyspace, ttl_ms);
    return SDB_OK;
}

sdb_status sdb__keyspace_apply_ttl(sdb_keyspace *keyspace, uint64_t ttl_ms)
{
    if (ttl_ms == 0 && !atomic_load(&keyspace->expiring)) return SDB_OK;
    return mark(keyspace, ttl_ms);
}

sdb_status sdb__keyspace_note_expiry(sdb_keyspace *keyspace, uint64_t expiry)
{
    uint64_t next;

    if (!atomic_load_explicit(&keyspace->expiring, memory_order_relaxed)) TRY(mark(keyspace, 0));
    next = atomic_load_explicit(&keyspace->next_expiry, memory_order_relaxed);
    while (expiry < next &&
           !atomic_compare_exchange_weak(&keyspace->next_expiry, &next, expiry))
        continue;
    return SDB_OK;
}

/* ---- public ------------------------------------------------------------------------------- */

sdb_status sdb_put_expiring(sdb_txn *txn, sdb_keyspace *keyspace, sdb_slice key, sdb_slice value,
                            uint64_t expiry_ms)
{
    if (!keyspace) return FAIL(SDB_INVALID, "sdb_put_expiring: keyspace is NULL");
    return sdb__txn_change(txn, keyspace, OP_PUT, key, value, expiry_ms);
}

sdb_status sdb_expiry_get(sdb_txn *txn, sdb_keyspace *keyspace, sdb_slice key,
                          uint64_t *out_expiry_ms)
{
    sdb_slice value;

    if (!txn || !keyspace || !out_expiry_ms)
        return FAIL(SDB_INVALID, "sdb_expiry_get: an argument is NULL");
    return sdb__txn_get(txn, keyspace, key, &value, out_expiry_ms);
}

/* What is put again, in a transaction of its own. */
struct setting {
    sdb_keyspace *keyspace;
    sdb_slice key;
    uint64_t expiry;
};

static sdb_status set_expiry(sdb_txn *txn, void *context)
{
    const struct setting *s = context;
    sdb_slice value;

    TRY(sdb__txn_may_change(txn, s->keyspace, s->key, (sdb_slice){NULL, 0}));
    TRY(sdb__txn_get(txn, s->keyspace, s->key, &value, NULL));
    return sdb__txn_change(txn, s->keyspace, OP_PUT, s->key, value, s->expiry);
}

sdb_status sdb_expiry_set(sdb_txn *txn, sdb_keyspace *keyspace, sdb_slice key, uint64_t expiry_ms)
{
    struct setting setting = {keyspace, key, expiry_ms};

    if (!keyspace) return FAIL(SDB_INVALID, "sdb_expiry_set: keyspace is NULL");
    if (txn) return set_expiry(txn, &setting);
    return sdb_txn_run(keyspace->db, SDB_TXN_WRITE, set_expiry, &setting, 0);
}

sdb_status sdb_keyspace_set_ttl(sdb_keyspace *keyspace, uint64_t ttl_ms)
{
    struct op op = {.code = OP_TTL, .time = ttl_ms};
    struct write_set writes;
    sdb_status status;

    if (!keyspace) return FAIL(SDB_INVALID, "sdb_keyspace_set_ttl: keyspace is NULL");
    TRY(sdb__txn_may_change(NULL, keyspace, (sdb_slice){NULL, 0}, (sdb_slice){NULL, 0}));
    op.keyspace = keyspace->tree.id;
    sdb__writes_init(&writes, keyspace->db->allocator, false);
    status = sdb__writes_add_timed(&writes, &op, false);
    if (status == SDB_OK)
        status = sdb__commit(keyspace->db, &writes, NULL, NULL, SDB_DURABILITY_DEFAULT);
    sdb__writes_done(&writes);
    return status;
}

sdb_status sdb_keyspace_ttl(sdb_keyspace *keyspace, uint64_t *out_ttl_ms)
{
    if (!keyspace || !out_ttl_ms)
        return FAIL(SDB_INVALID, "sdb_keyspace_ttl: an argument is NULL");
    TRY(sdb__db_alive(keyspace->db));
    if (atomic_load_explicit(&keyspace->dropped, memory_order_acquire))
        return FAIL(SDB_NOTFOUND, "keyspace \"%s\" has been dropped", keyspace->name);
    *out_ttl_ms = atomic_load(&keyspace->ttl_ms);
    return SDB_OK;
}
