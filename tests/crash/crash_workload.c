/* SPDX-License-Identifier: Apache-2.0 */
/* crash_workload.c */
#include "tests/crash/crash_workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"
#include "index/kv/txn.h"

enum { VALUE_MOST = 120000 };

/* What has an expiry has one that has passed, or one that nobody will see. */
static const uint64_t long_ago = 1, never = UINT64_C(1) << 62;

static const char *const names[WORK_SPACES] = {"left", "right", "third"};
/* "left" is not compressed */
static const sdb_compression compressions[WORK_SPACES] = {
    SDB_COMPRESSION_NONE, SDB_COMPRESSION_LZ4, SDB_COMPRESSION_ZSTD};

static uint64_t below(struct work *w, uint64_t limit)
{
    return random_below(&w->random, limit);
}

void work_init(struct work *w, struct io *io, uint64_t seed, unsigned length)
{
    memset(w, 0, sizeof *w);
    w->io = io;
    w->random = seed;
    w->length = length;
    w->options = kv_options(4096);
    w->options.checkpoint_bytes = 300 * KIB;
    if (seed % 3 == 0) w->options.log_compression = SDB_COMPRESSION_LZ4;
    if (seed % 2) w->options.txn_memory_bytes = 4096; /* most transactions spill */
    w->room = malloc(VALUE_MOST);
    ck_assert_ptr_nonnull(w->room);
}

void work_done(struct work *w)
{
    free(w->room);
}

/*
 * Most keys are short; every 16th is longer than a page's keys can be, some with a common
 * beginning.
 */
sdb_slice work_key(unsigned number)
{
    static char key[4000];
    size_t size = 0;

    if (number % 16 == 7) {
        size = 256 * (1 + number / 16 % 3) + number % 5;
        memset(key, 'k', size);
    }
    size += (size_t)snprintf(key + size, 16, "%06u", number * 7919 % 1000000);
    return (sdb_slice){key, size};
}

static uint64_t name_sum(const char *name)
{
    return sdb__digest(name, strlen(name), 1);
}

static uint64_t entry_sum(const char *name, sdb_slice key, sdb_slice value)
{
    return sdb__digest(value.data, value.size, sdb__digest(key.data, key.size, name_sum(name)));
}

static uint64_t model_sum(struct work *w, unsigned space, unsigned key)
{
    const struct work_entry *e = &w->entries[space][key];

    if (!e->present) return 0;
    kv_fill(w->room, e->size, e->seed);
    return entry_sum(names[space], work_key(key), (sdb_slice){w->room, e->size});
}

/* ---- walking ------------------------------------------------------------------------------ */

/* Adds what a keyspace holds. */
static sdb_status walk(sdb_txn *txn, sdb_keyspace *keyspace, bool forward, uint64_t *sum)
{
    sdb_cursor *cursor;
    sdb_slice key, value;
    sdb_status status = sdb_cursor_open(txn, keyspace, NULL, &cursor);

    if (status != SDB_OK) return status;
    while ((status = forward ? sdb_cursor_next(cursor, &key, &value)
                             : sdb_cursor_prev(cursor, &key, &value)) == SDB_OK)
        *sum += entry_sum(sdb_keyspace_name(keyspace), key, value);
    sdb_cursor_close(cursor);
    return status == SDB_END ? SDB_OK : status;
}

sdb_status work_try_sum(sdb_db *db, uint64_t *out_sum)
{
    char name[SDB_KEYSPACE_NAME_MAX + 1], *after = NULL;
    sdb_status status = SDB_OK;
    uint64_t sum = 0;
    sdb_txn *txn;

    MUST(sdb_txn_begin(db, SDB_TXN_READ, &txn));
    while (status == SDB_OK && sdb_keyspace_next(db, after, name) == SDB_OK) {
        uint64_t forward = 0, backward = 0;
        sdb_keyspace *keyspace;

        MUST(sdb_keyspace_open(db, name, SDB_KEYSPACE_MUST_EXIST, &keyspace));
        status = walk(txn, keyspace, true, &forward);
        if (status == SDB_OK) status = walk(txn, keyspace, false, &backward);
        if (status == SDB_OK && forward != backward)
            ck_abort_msg("keyspace %s is not the same in both directions", name);
        sum += name_sum(name) + forward;
        after = name;
    }
    sdb_txn_abort(txn);
    *out_sum = sum;
    return status;
}

uint64_t work_sum(sdb_db *db)
{
    uint64_t sum;

    MUST(work_try_sum(db, &sum));
    return sum;
}

/* ---- commits ------------------------------------------------------------------------------ */

/* A commit is tried that makes the state this much different. */
static void announce(struct work *w, uint64_t difference)
{
    ck_assert_uint_lt(w->tried + 1, WORK_COMMITS);
    w->sums[w->tried + 1] = w->sums[w->tried] + difference;
    w->tried++;
}

static sdb_status make_space(struct work *w, unsigned space)
{
    sdb_keyspace_options options = SDB_KEYSPACE_OPTIONS_INIT;
    sdb_status status;

    options.compression = compressions[space];
    options.ttl_ms = space == 2 ? never : 0;
    announce(w, name_sum(names[space]));
    status = sdb_keyspace_make(w->db, names[space], &options, &w->spaces[space]);
    if (status == SDB_OK) w->promised = w->answered = w->tried;
    return status;
}

static sdb_status drop_space(struct work *w, unsigned space)
{
    uint64_t gone = name_sum(names[space]);
    sdb_status status;

    for (unsigned k = 0; k < WORK_KEYS; k++) {
        gone += model_sum(w, space, k);
        w->entries[space][k] = (struct work_entry){0};
    }
    announce(w, 0 - gone);
    status = sdb_keyspace_drop(w->spaces[space]);
    w->spaces[space] = NULL;
    if (status == SDB_OK) w->promised = w->answered = w->tried;
    return status;
}

/* The seed of what KV_MERGE makes of an entry. */
static uint64_t merged_seed(struct work *w, const struct work_entry *e, uint64_t seed)
{
    sdb_slice old = {w->room, e->size};

    if (!e->present) return kv_merged_seed(NULL, seed);
    kv_fill(w->room, e->size, e->seed);
    return kv_merged_seed(&old, seed);
}

/* One change in a transaction (or, NULL, alone). */
static sdb_status change(struct work *w, sdb_txn *txn, unsigned space, unsigned key, bool put,
                         uint64_t *difference)
{
    struct work_entry *e = &w->entries[space][key], old = *e;
    bool merge = put && below(w, 4) == 0, blind = !txn || !txn->has_snapshot;
    uint64_t fate = put && !merge ? below(w, 10) : 2; /* 0: expired at once, 1: some day */
    uint64_t kind = below(w, 60), seed = ++w->serial;
    uint8_t operand[KV_OPERAND];
    sdb_status status;

    *difference -= model_sum(w, space, key);
    *e = (struct work_entry){.present = put && fate, .seed = seed,
                             .stale = put ? !fate : old.stale && !blind};
    if (merge) e->seed = merged_seed(w, &old, seed);
    if (put) {
        e->size = kind == 0  ? below(w, VALUE_MOST)
                  : kind < 4 ? 900 + below(w, 3000)
                             : below(w, 150);
        *difference += model_sum(w, space, key);
        kv_fill(w->room, e->size, e->seed);
    }
    if (!txn) announce(w, *difference);
    if (merge)
        return sdb_merge(txn, w->spaces[space], KV_MERGE, work_key(key),
                         kv_operand(operand, seed, e->size));
    if (put && fate < 2)
        return sdb_put_expiring(txn, w->spaces[space], work_key(key),
                                (sdb_slice){w->room, e->size}, fate ? never : long_ago);
    if (put) return sdb_put(txn, w->spaces[space], work_key(key), (sdb_slice){w->room, e->size});
    status = sdb_del(txn, w->spaces[space], work_key(key));
    return status == SDB_NOTFOUND ? SDB_OK : status;
}

/*
 * A transaction or a batch of changes; most keep to a part of the keys, so that leaves fill and
 * empty.
 */
static sdb_status transaction(struct work *w)
{
    unsigned count = 1 + (unsigned)below(w, below(w, 5) ? 6 : 80);
    unsigned first = (unsigned)below(w, WORK_KEYS), level = (unsigned)below(w, 6);
    unsigned puts = below(w, 3) ? 80 : 10; /* of a hundred */
    bool batch = below(w, 2), changed = false;
    uint64_t difference = 0;
    sdb_txn *txn;
    sdb_status status = sdb_txn_begin(w->db, batch ? SDB_TXN_BATCH : SDB_TXN_WRITE, &txn);

    if (status != SDB_OK) return status;
    for (unsigned i = 0; i < count && status == SDB_OK; i++) {
        unsigned space = (unsigned)below(w, WORK_SPACES), key = (first + i) % WORK_KEYS;
        bool put = below(w, 100) < puts;

        if (!w->spaces[space]) continue;
        changed |= batch || put || w->entries[space][key].present;
        status = change(w, txn, space, key, put, &difference);
    }
    if (status != SDB_OK) {
        sdb_txn_abort(txn);
        return status;
    }
    if (level == 1) sdb_txn_set_durability(txn, SDB_DURABILITY_NONE);
    if (level == 2) sdb_txn_set_durability(txn, SDB_DURABILITY_GROUP);
    if (changed) announce(w, difference);
    status = sdb_txn_commit(txn);
    if (status == SDB_OK) w->answered = w->tried;
    if (status == SDB_OK && changed && level != 1 && level != 2) w->promised = w->tried;
    return status;
}

static int compare_keys(sdb_slice a, const char *to, size_t size)
{
    return compare_bytes(a.data, a.size, to, size);
}

/* Deletes the keys between two of them, or all from one on. */
static sdb_status range(struct work *w)
{
    char keys[2][4000];
    sdb_slice bounds[2];
    sdb_range range = {.lower = &bounds[0], .upper = below(w, 4) ? &bounds[1] : NULL};
    uint64_t gone = 0;
    sdb_status status;

    for (unsigned i = 0; i < 2; i++) {
        sdb_slice key = work_key((unsigned)below(w, WORK_KEYS));

        memcpy(keys[i], key.data, key.size);
        bounds[i] = (sdb_slice){keys[i], key.size};
    }
    if (compare_keys(bounds[0], keys[1], bounds[1].size) >= 0) return SDB_OK;
    for (unsigned k = 0; k < WORK_KEYS; k++) {
        sdb_slice key = work_key(k);

        if (compare_keys(key, keys[0], bounds[0].size) < 0 ||
            (range.upper && compare_keys(key, keys[1], bounds[1].size) >= 0))
            continue;
        gone += model_sum(w, 0, k);
        w->entries[0][k] = (struct work_entry){0};
    }
    announce(w, 0 - gone);
    status = sdb_del_range(NULL, w->spaces[0], &range);
    if (status == SDB_OK) w->promised = w->answered = w->tried;
    return status;
}

/* Removes what has expired: a commit for each keyspace that has some. */
static sdb_status expire(struct work *w)
{
    sdb_status status;

    for (unsigned i = 0; i < WORK_SPACES; i++) {
        bool stale = false;

        for (unsigned k = 0; k < WORK_KEYS; k++) {
            stale |= w->entries[i][k].stale;
            w->entries[i][k].stale = false;
        }
        if (stale) announce(w, 0);
    }
    status = sdb_expire(w->db, 0, NULL);
    if (status == SDB_OK) w->answered = w->tried;
    return status;
}

static sdb_status alone(struct work *w)
{
    uint64_t difference = 0;
    sdb_status status =
        change(w, NULL, 0, (unsigned)below(w, WORK_KEYS), below(w, 4) > 0, &difference);

    if (status == SDB_OK) w->promised = w->answered = w->tried;
    return status;
}

/* ---- the run ------------------------------------------------------------------------------ */

static sdb_status open_again(struct work *w)
{
    sdb_status status = sdb__db_open(w->io, KV_PATH, &w->options, &w->db);

    for (unsigned i = 0; status == SDB_OK && i < WORK_SPACES; i++)
        if (w->spaces[i])
            status = sdb_keyspace_open(w->db, names[i], SDB_KEYSPACE_MUST_EXIST, &w->spaces[i]);
    return status;
}

static sdb_status close_db(struct work *w)
{
    sdb_db *db = w->db;

    w->db = NULL;
    return sdb_close(db);
}

const char *work_snapshot_name(unsigned i)
{
    static const char *const snapshots[WORK_SNAPSHOTS] = {"first", "second", "third"};

    return snapshots[i];
}

/* Makes a named snapshot, or drops it. */
static sdb_status snapshot(struct work *w)
{
    unsigned i = (unsigned)below(w, WORK_SNAPSHOTS);
    struct work_snapshot *s = &w->snapshots[i];
    sdb_status status;

    if (s->must_be) {
        s->must_be = false;
        status = sdb_snapshot_drop(w->db, work_snapshot_name(i));
        s->may_be = status != SDB_OK;
    } else {
        *s = (struct work_snapshot){.may_be = true, .commit = w->tried};
        status = sdb_snapshot_make(w->db, work_snapshot_name(i));
        s->must_be = status == SDB_OK;
    }
    if (status == SDB_OK) w->promised = w->answered = w->tried;
    return status;
}

static sdb_status step(struct work *w, unsigned number)
{
    unsigned space = 1 + (unsigned)below(w, WORK_SPACES - 1);
    sdb_status status;

    if (number % 11 == 10) return range(w);
    if (number % 8 == 6) return snapshot(w);
    if (number % 7 == 6) return expire(w);
    if (number % 19 == 18) return sdb_vacuum(w->db, number % 2 ? SDB_VACUUM_HOLES : 0, NULL, NULL);
    if (number % 29 == 28) return w->spaces[space] ? drop_space(w, space) : make_space(w, space);
    switch (below(w, 16)) {
    case 0: status = sdb_checkpoint(w->db); break;
    case 1: status = sdb_sync(w->db); break;
    case 2:
        status = number % 3 ? SDB_OK : close_db(w);
        if (status == SDB_OK && !w->db) {
            w->promised = w->answered = w->tried;
            status = open_again(w);
        }
        return status;
    case 3:
    case 4:
    case 5: return alone(w);
    default: return transaction(w);
    }
    if (status == SDB_OK) w->promised = w->answered = w->tried;
    return status;
}

void work_begin(struct work *w)
{
    w->ended = sdb__db_open(w->io, KV_PATH, &w->options, &w->db);
    for (unsigned i = 0; w->ended == SDB_OK && i < WORK_SPACES; i++) w->ended = make_space(w, i);
}

void work_go_on(struct work *w, unsigned until)
{
    while (w->ended == SDB_OK && w->done < until) w->ended = step(w, w->done++);
}

void work_end(struct work *w)
{
    sdb_status closed = w->db ? close_db(w) : SDB_OK;

    if (w->ended == SDB_OK) w->ended = closed;
    if (w->ended == SDB_OK) w->promised = w->answered = w->tried;
}

void work_run(struct work *w)
{
    work_begin(w);
    work_go_on(w, w->length);
    work_end(w);
}
