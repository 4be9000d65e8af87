/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_spill.c: a transaction that outgrows its memory does what any other would: it sees its own
 * changes, commits whole or not at all, and leaves nothing behind.
 *
 * The same script runs in a database whose transactions spill after a few KiB and in one where they
 * never do; what both hold, and what they see before the commit, has to be the same.
 */
#include "tests/kv/kv_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"

enum { KEYS = 300, OPS = 700, VALUE_MOST = 100000, SPILL_AT = 8192 };

static struct io *io;
static sdb_options options, roomy;
static sdb_db *db, *model;
static sdb_keyspace *keyspace, *twin;
static uint8_t room[VALUE_MOST];

static void setup(void)
{
    io = kv_disk(5);
    options = kv_options(4096);
    roomy = options;
    options.txn_memory_bytes = SPILL_AT;
    db = kv_open(io, &options);
    keyspace = kv_keyspace(db, "a");
    OK(sdb_open(":memory:", &roomy, &model));
    twin = kv_keyspace(model, "a");
}

static void teardown(void)
{
    if (db) OK(sdb_close(db));
    OK(sdb_close(model));
    sdb__io_free(io);
}

static uint64_t spilled(void)
{
    sdb_stats stats = {.size = sizeof stats};

    OK(sdb_stat(db, &stats));
    return stats.spilled_bytes;
}

static uint64_t used(void)
{
    sdb_stats stats = {.size = sizeof stats};

    OK(sdb_stat(db, &stats));
    return stats.used_bytes;
}

/* ---- the script --------------------------------------------------------------------------- */

static sdb_slice key_of(uint64_t n)
{
    static char keys[2][700];
    static unsigned turn;
    char *key = keys[turn++ % 2];
    int size = n % 11 == 3 ? 600 : 0;

    memset(key, 'k', (size_t)size);
    size += snprintf(key + size, 16, "%05llu", (unsigned long long)(n * 7919 % 100000));
    return (sdb_slice){key, (size_t)size};
}

static sdb_status put(sdb_txn *txn, sdb_keyspace *to, uint64_t n, uint64_t *random)
{
    uint64_t kind = random_below(random, 60), seed = random_next(random);
    size_t size = kind == 0  ? random_below(random, VALUE_MOST)
                  : kind < 4 ? 3000 + random_below(random, 3000)
                             : random_below(random, 200);

    kv_fill(room, size, seed);
    return sdb_put(txn, to, key_of(n), (sdb_slice){room, size});
}

static sdb_status del_range(sdb_txn *txn, sdb_keyspace *to, uint64_t n, uint64_t *random)
{
    sdb_slice lower = key_of(n), upper = key_of(random_below(random, KEYS));
    sdb_range range = {.lower = &lower, .upper = &upper};

    return sdb_del_range(txn, to, &range);
}

/* What a script does between two looks at it; the same for the same `random`. */
static sdb_status act(sdb_txn *txn, sdb_keyspace *to, uint64_t *random, uint64_t *savepoint)
{
    uint64_t what = random_below(random, 100), n = random_below(random, KEYS);
    uint8_t operand[KV_OPERAND];
    sdb_status status = SDB_OK;

    if (what < 70) {
        status = put(txn, to, n, random);
    } else if (what < 80) {
        status = sdb_del(txn, to, key_of(n));
    } else if (what < 92) {
        uint64_t seed = random_next(random), size = random_below(random, 300);

        status = sdb_merge(txn, to, KV_MERGE, key_of(n), kv_operand(operand, seed, size));
    } else if (what < 94) {
        status = del_range(txn, to, n, random);
    } else if (what < 97 || !*savepoint) {
        status = sdb_savepoint_set(txn, savepoint);
    } else {
        status = sdb_savepoint_rollback(txn, *savepoint);
    }
    return status == SDB_NOTFOUND ? SDB_OK : status;
}

static sdb_status run_script(sdb_txn *txn, sdb_keyspace *to, uint64_t seed)
{
    uint64_t random = seed, savepoint = 0;
    sdb_status status = SDB_OK;

    for (unsigned i = 0; i < OPS && status == SDB_OK; i++)
        status = act(txn, to, &random, &savepoint);
    return status;
}

/* ---- looking ------------------------------------------------------------------------------ */

static uint64_t entry_sum(sdb_slice key, sdb_slice value)
{
    return sdb__digest(value.data, value.size, sdb__digest(key.data, key.size, 3));
}

/* What a transaction sees, by cursor both ways and by get. */
static sdb_status look(sdb_txn *txn, sdb_keyspace *in, uint64_t *out_sum)
{
    uint64_t sums[2] = {0, 0}, got = 0;
    sdb_slice key, value;
    sdb_cursor *cursor;
    sdb_status status;

    for (int way = 0; way < 2; way++) {
        status = sdb_cursor_open(txn, in, NULL, &cursor);
        if (status != SDB_OK) return status;
        while ((status = way ? sdb_cursor_prev(cursor, &key, &value)
                             : sdb_cursor_next(cursor, &key, &value)) == SDB_OK)
            sums[way] += entry_sum(key, value);
        sdb_cursor_close(cursor);
        if (status != SDB_END) return status;
    }
    for (unsigned n = 0; n < KEYS; n++) {
        status = sdb_get(txn, in, key_of(n), &value);
        if (status == SDB_OK) got += entry_sum(key_of(n), value);
        if (status < SDB_OK) return status;
    }
    ck_assert_uint_eq(sums[0], sums[1]);
    ck_assert_uint_eq(sums[0], got);
    *out_sum = got;
    return SDB_OK;
}

static uint64_t sum_of(sdb_db *of, sdb_keyspace *in)
{
    sdb_txn *txn = kv_begin(of, SDB_TXN_READ);
    uint64_t sum;

    OK(look(txn, in, &sum));
    sdb_txn_abort(txn);
    return sum;
}

static void open_again(bool crash)
{
    if (crash) {
        OK(sdb__sim_restart(io, UINT64_MAX));
        (void)!sdb_close(db);
    } else {
        OK(sdb_close(db));
    }
    db = kv_open(io, &options);
    keyspace = kv_keyspace(db, "a");
}

/* ---- claims ------------------------------------------------------------------------------- */

/* _i: whether it is a batch. */
START_TEST(a_spilled_transaction_does_what_any_other_does)
{
    unsigned flags = _i ? SDB_TXN_BATCH : SDB_TXN_WRITE;
    uint64_t seed = kv_seed("test_spill", 400), before = 0;

    for (unsigned round = 0; round < 12; round++) {
        sdb_txn *txn = kv_begin(db, flags), *other = kv_begin(model, flags);
        uint64_t sum = 0, wanted = 0;

        OK(run_script(txn, keyspace, seed + round));
        OK(run_script(other, twin, seed + round));
        ck_assert_uint_gt(spilled(), before);
        before = spilled();
        if (!_i) {
            OK(look(txn, keyspace, &sum));
            OK(look(other, twin, &wanted));
            ck_assert_uint_eq(sum, wanted);
        }
        OK(sdb_txn_commit(txn));
        OK(sdb_txn_commit(other));
        ck_assert_uint_eq(sum_of(db, keyspace), sum_of(model, twin));
        if (round % 4 == 3) {
            open_again(round % 8 == 3);
            before = 0;
            ck_assert_uint_eq(sum_of(db, keyspace), sum_of(model, twin));
        }
    }
    kv_check_sound(db);
}
END_TEST

START_TEST(what_is_taken_back_gives_its_space_back)
{
    uint64_t at_first, half, all, savepoint, random = 7;
    sdb_txn *txn;

    OK(sdb_checkpoint(db));
    at_first = used();
    txn = kv_begin(db, SDB_TXN_WRITE);
    for (unsigned i = 0; i < 2000; i++) OK(put(txn, keyspace, i, &random));
    OK(sdb_savepoint_set(txn, &savepoint));
    half = used();
    ck_assert_uint_gt(half, at_first + 100 * KIB);
    for (unsigned i = 0; i < 4000; i++) OK(put(txn, keyspace, i, &random));
    all = used();
    ck_assert_uint_gt(all, half + 100 * KIB);
    printf("%llu first, %llu half, %llu all\n", (unsigned long long)at_first,
           (unsigned long long)half, (unsigned long long)all);
    OK(sdb_savepoint_rollback(txn, savepoint));
    ck_assert_uint_lt(used(), half + (all - half) / 2);
    sdb_txn_abort(txn);
    ck_assert_uint_eq(used(), at_first);
    kv_check_sound(db);
}
END_TEST

START_TEST(a_crash_leaves_nothing_of_what_was_not_committed)
{
    uint64_t sum, at_first;
    sdb_txn *txn = kv_begin(db, SDB_TXN_WRITE);

    OK(run_script(txn, keyspace, 1));
    OK(sdb_txn_commit(txn));
    open_again(false);
    sum = sum_of(db, keyspace);
    at_first = used();
    txn = kv_begin(db, SDB_TXN_WRITE);
    OK(run_script(txn, keyspace, 2));
    ck_assert_uint_gt(spilled(), 0);
    OK(sdb_checkpoint(db)); /* of it, it has nothing either */
    OK(sdb__sim_restart(io, UINT64_MAX));
    sdb_txn_abort(txn);
    (void)!sdb_close(db);
    kv_check_file_sound(io);
    db = kv_open(io, &options);
    keyspace = kv_keyspace(db, "a");
    ck_assert_uint_eq(sum_of(db, keyspace), sum);
    ck_assert_uint_le(used(), at_first + 64 * KIB);
}
END_TEST

START_TEST(snapshots_see_what_a_spilled_commit_replaces)
{
    sdb_txn *reader, *txn = kv_begin(db, SDB_TXN_WRITE);
    sdb_stats stats = {.size = sizeof stats};
    uint64_t before, sum;

    OK(run_script(txn, keyspace, 1));
    OK(sdb_txn_commit(txn));
    OK(sdb_stat(db, &stats));
    ck_assert_uint_eq(stats.version_entries, 0);
    before = sum_of(db, keyspace);
    reader = kv_begin(db, SDB_TXN_READ);
    txn = kv_begin(db, SDB_TXN_WRITE);
    OK(run_script(txn, keyspace, 2));
    OK(sdb_txn_commit(txn));
    ck_assert_uint_ne(sum_of(db, keyspace), before);
    OK(look(reader, keyspace, &sum));
    ck_assert_uint_eq(sum, before);
    sdb_txn_abort(reader);
    OK(sdb_stat(db, &stats));
    ck_assert_uint_eq(stats.version_entries, 0);
}
END_TEST

START_TEST(versions_that_do_not_fit_refuse_the_commit)
{
    sdb_txn *reader, *txn;
    uint64_t before, sum;

    OK(sdb_close(db));
    options.version_bytes = 20 * KIB;
    db = kv_open(io, &options);
    keyspace = kv_keyspace(db, "a");
    txn = kv_begin(db, SDB_TXN_WRITE);
    OK(run_script(txn, keyspace, 1));
    OK(sdb_txn_commit(txn));
    before = sum_of(db, keyspace);
    reader = kv_begin(db, SDB_TXN_READ);
    txn = kv_begin(db, SDB_TXN_WRITE);
    OK(run_script(txn, keyspace, 2));
    SAYS(sdb_txn_commit(txn), SDB_LIMIT, "the transaction changes too much for open snapshots");
    ck_assert_uint_eq(sum_of(db, keyspace), before);
    OK(look(reader, keyspace, &sum));
    ck_assert_uint_eq(sum, before);
    sdb_txn_abort(reader);
    txn = kv_begin(db, SDB_TXN_WRITE);
    OK(run_script(txn, keyspace, 2));
    OK(sdb_txn_commit(txn));
    ck_assert_uint_ne(sum_of(db, keyspace), before);
}
END_TEST

START_TEST(a_spilled_transaction_conflicts_like_others)
{
    sdb_txn *txn = kv_begin(db, SDB_TXN_WRITE), *serial;
    uint64_t random = 3;
    sdb_slice value;

    for (unsigned i = 0; i < KEYS; i++) OK(put(txn, keyspace, i, &random));
    ck_assert_uint_gt(spilled(), 0);
    OK(sdb_put(NULL, keyspace, key_of(0), TEXT("mine")));
    IS(sdb_txn_commit(txn), SDB_CONFLICT);
    ck_assert_uint_gt(used(), 0);

    serial = kv_begin(db, SDB_TXN_WRITE | SDB_TXN_SERIALIZABLE);
    OK(sdb_get(serial, keyspace, key_of(0), &value));
    for (unsigned i = 1; i < KEYS; i++) OK(put(serial, keyspace, i, &random));
    OK(sdb_put(NULL, keyspace, key_of(0), TEXT("yours")));
    IS(sdb_txn_commit(serial), SDB_CONFLICT);
    IS(sdb_get_copy(keyspace, key_of(1), room, sizeof room, &(size_t){0}), SDB_NOTFOUND);
}
END_TEST

/* Commits one script on top of another, with something failing from the begin of the second on. */
static sdb_status try(unsigned flags, uint64_t *out_sum)
{
    sdb_status status;
    sdb_txn *txn;

    status = sdb_txn_begin(db, flags, &txn);
    if (status != SDB_OK) return status;
    status = run_script(txn, keyspace, 2);
    if (status == SDB_OK && flags == SDB_TXN_WRITE) status = look(txn, keyspace, out_sum);
    if (status == SDB_OK) return sdb_txn_commit(txn);
    sdb_txn_abort(txn);
    return status;
}

/* What is there before and after. */
static void learn(uint64_t *out_before, uint64_t *out_after)
{
    sdb_txn *txn = kv_begin(model, SDB_TXN_WRITE);

    OK(run_script(txn, twin, 1));
    OK(sdb_txn_commit(txn));
    *out_before = sum_of(model, twin);
    txn = kv_begin(model, SDB_TXN_WRITE);
    OK(run_script(txn, twin, 2));
    OK(sdb_txn_commit(txn));
    *out_after = sum_of(model, twin);
}

static void start_over(const sdb_options *with, uint64_t n)
{
    sdb_txn *txn;

    sdb__io_free(io);
    io = kv_disk(n);
    db = kv_open(io, with);
    keyspace = kv_keyspace(db, "a");
    txn = kv_begin(db, SDB_TXN_BATCH);
    OK(run_script(txn, keyspace, 1));
    OK(sdb_txn_commit(txn));
}

/* _i: the disk fails, or it is full for a moment. */
START_TEST(a_failing_disk_never_leaves_a_half)
{
    uint64_t before, after, sum, n = 1, step = kv_number("EVERY", 1);
    bool finished = false;

    learn(&before, &after);
    OK(sdb_close(db));
    for (; !finished; n += step) {
        struct sim_faults faults = {.fail_at = _i ? 0 : n, .fail_full_at = _i ? n : 0}, none = {0};
        sdb_status status;

        start_over(&options, n);
        sdb__sim_set_faults(io, &faults);
        status = try(n % 2 ? SDB_TXN_BATCH : SDB_TXN_WRITE, &sum);
        ck_assert_msg(status == SDB_OK || status == SDB_IO || status == SDB_FULL, "fault %llu: %s",
                      (unsigned long long)n, sdb_errmsg());
        finished = status == SDB_OK && n > 100;
        sdb__sim_set_faults(io, &none);
        if (status == SDB_FULL) ck_assert_uint_eq(sum_of(db, keyspace), before);
        if (n % 3 == 0) OK(sdb__sim_restart(io, UINT64_MAX));
        (void)!sdb_close(db);
        db = kv_open(io, &options);
        keyspace = kv_keyspace(db, "a");
        sum = sum_of(db, keyspace);
        ck_assert(status == SDB_OK ? sum == after : sum == before || sum == after);
        kv_check_sound(db);
        OK(sdb_close(db));
    }
    printf("%llu points, %s\n", (unsigned long long)(n / step), _i ? "full" : "failing");
    db = NULL;
}
END_TEST

START_TEST(refused_memory_never_leaves_a_half)
{
    struct kv_ledger ledger = {.left = -1};
    sdb_allocator allocator = kv_ledger_allocator(&ledger);
    sdb_options mean = options;
    uint64_t before, after, sum = 0, n = 1, step = kv_number("EVERY", 1);
    bool finished = false;

    learn(&before, &after);
    OK(sdb_close(db));
    mean.allocator = &allocator;
    for (; !finished; n += step) {
        sdb_status status;

        atomic_store(&ledger.left, -1);
        start_over(&mean, n);
        atomic_store(&ledger.once, n % 2);
        atomic_store(&ledger.left, (long)n);
        status = try(n % 4 < 2 ? SDB_TXN_BATCH : SDB_TXN_WRITE, &sum);
        finished = status == SDB_OK && atomic_load(&ledger.left) > 0;
        atomic_store(&ledger.left, -1);
        ck_assert_msg(status == SDB_OK || status == SDB_NOMEM, "allocation %llu: %s",
                      (unsigned long long)n, sdb_errmsg());
        (void)!sdb_close(db);
        ck_assert_int_eq(atomic_load(&ledger.out), 0);
        db = kv_open(io, &mean);
        keyspace = kv_keyspace(db, "a");
        sum = sum_of(db, keyspace);
        ck_assert(status == SDB_OK ? sum == after : sum == before || sum == after);
        kv_check_sound(db);
        OK(sdb_close(db));
    }
    printf("%llu allocations\n", (unsigned long long)n);
    db = NULL;
}
END_TEST

START_TEST(the_change_stream_tells_all_of_a_spilled_commit)
{
    sdb_txn *txn = kv_begin(db, SDB_TXN_WRITE), *copy = kv_begin(model, SDB_TXN_BATCH);
    sdb_committed commit;
    sdb_changes *changes;

    OK(sdb_changes_open(db, 0, 8 * MIB, &changes));
    OK(run_script(txn, keyspace, 1));
    OK(sdb_txn_commit(txn));
    OK(sdb_changes_next(changes, 0, &commit));
    ck_assert_uint_gt(commit.count, 40);
    for (size_t i = 0; i < commit.count; i++) {
        const sdb_change *c = &commit.changes[i];
        const uint8_t *operand = c->value.data;
        sdb_range range = {.lower = &c->key, .upper = c->value.size ? &c->value : NULL};

        switch (c->kind) {
        case SDB_CHANGE_PUT: OK(sdb_put(copy, twin, c->key, c->value)); break;
        case SDB_CHANGE_DEL: OK(sdb_del(copy, twin, c->key)); break;
        case SDB_CHANGE_DEL_RANGE: OK(sdb_del_range(copy, twin, &range)); break;
        case SDB_CHANGE_MERGE:
            OK(sdb_merge(copy, twin, operand[0], c->key,
                         (sdb_slice){operand + 1, c->value.size - 1}));
            break;
        default: ck_abort_msg("kind %d", (int)c->kind);
        }
    }
    sdb_changes_close(changes);
    OK(sdb_txn_commit(copy));
    ck_assert_uint_eq(sum_of(db, keyspace), sum_of(model, twin));
}
END_TEST

/* A value that is got stays readable while what it came from is spilled. */
START_TEST(a_value_of_its_own_may_be_put_again)
{
    sdb_txn *txn = kv_begin(db, SDB_TXN_WRITE);
    sdb_slice value;

    for (unsigned i = 0; i < 400; i++) {
        kv_fill(room, 100, i);
        OK(sdb_put(txn, keyspace, key_of(i % 7), (sdb_slice){room, 100}));
        OK(sdb_get(txn, keyspace, key_of(i % 7), &value));
        OK(sdb_put(txn, keyspace, key_of(1000 + i), value));
    }
    ck_assert_uint_gt(spilled(), 0);
    for (unsigned i = 0; i < 400; i++) {
        OK(sdb_get(txn, keyspace, key_of(1000 + i), &value));
        ck_assert_uint_eq(value.size, 100);
        ck_assert(kv_is_filled(value.data, value.size, i));
    }
    OK(sdb_txn_commit(txn));
}
END_TEST

/* ---- many at once ------------------------------------------------------------------------- */

enum { WRITERS = 3, ROUNDS = 5, PUTS = 400 };

static _Atomic unsigned writing;

/* Each round puts PUTS keys more of the writer's own, in one transaction that spills. */
static void *write_rounds(void *context)
{
    unsigned writer = *(unsigned *)context;
    char key[32];

    for (unsigned i = 0; i < ROUNDS; i++) {
        sdb_txn *txn = kv_begin(db, i % 2 ? SDB_TXN_BATCH : SDB_TXN_WRITE);

        for (unsigned j = 0; j < PUTS; j++) {
            (void)snprintf(key, sizeof key, "%u %05u", writer, (i * PUTS + j) * 7919 % 99991);
            MUST(sdb_put(txn, keyspace, kv_slice(key), kv_slice(key)));
        }
        MUST(sdb_txn_commit(txn));
    }
    atomic_fetch_sub(&writing, 1);
    return NULL;
}

/* Of each writer there are whole rounds, and what can be got without a snapshot is itself. */
static void *read_rounds(void *context)
{
    while (atomic_load(&writing)) {
        sdb_txn *txn = kv_begin(db, SDB_TXN_READ);
        uint64_t count;
        char copy[32];
        size_t size;
        sdb_status status = sdb_get_copy(keyspace, TEXT("1 00000"), copy, sizeof copy, &size);

        ck_assert(status == SDB_NOTFOUND || (status == SDB_OK && memcmp(copy, "1 00000", 7) == 0));
        MUST(sdb_count(txn, keyspace, NULL, &count));
        ck_assert_uint_eq(count % PUTS, 0);
        sdb_txn_abort(txn);
    }
    return context;
}

START_TEST(many_threads_spill_at_once)
{
    unsigned numbers[WRITERS];
    pthread_t threads[WRITERS], reader;
    struct kv_folder folder;
    sdb_db *simulated = db;
    uint64_t count;
    sdb_txn *txn;

    kv_folder_make(&folder);
    options.flags = 0;
    options.cache_bytes = 4 * (uint64_t)MIB;
    options.checkpoint_bytes = 256 * KIB;
    OK(sdb_open(kv_in(&folder, "t.sdb"), &options, &db));
    keyspace = kv_keyspace(db, "a");
    atomic_store(&writing, WRITERS);
    for (unsigned i = 0; i < WRITERS; i++) {
        numbers[i] = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_rounds, &numbers[i]), 0);
    }
    ck_assert_int_eq(pthread_create(&reader, NULL, read_rounds, NULL), 0);
    for (unsigned i = 0; i < WRITERS; i++) ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_int_eq(pthread_join(reader, NULL), 0);
    ck_assert_uint_gt(spilled(), 0);
    txn = kv_begin(db, SDB_TXN_READ);
    OK(sdb_count(txn, keyspace, NULL, &count));
    ck_assert_uint_eq(count, WRITERS * ROUNDS * PUTS);
    sdb_txn_abort(txn);
    kv_check_sound(db);
    OK(sdb_close(db));
    kv_folder_remove(&folder);
    db = simulated;
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("spill");
    TCase *cases = tcase_create("spill"), *threads = tcase_create("threads");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_set_timeout(cases, 300);
    tcase_add_loop_test(cases, a_spilled_transaction_does_what_any_other_does, 0, 2);
    tcase_add_test(cases, what_is_taken_back_gives_its_space_back);
    tcase_add_test(cases, a_crash_leaves_nothing_of_what_was_not_committed);
    tcase_add_test(cases, snapshots_see_what_a_spilled_commit_replaces);
    tcase_add_test(cases, versions_that_do_not_fit_refuse_the_commit);
    tcase_add_test(cases, a_spilled_transaction_conflicts_like_others);
    tcase_add_loop_test(cases, a_failing_disk_never_leaves_a_half, 0, 2);
    tcase_add_test(cases, refused_memory_never_leaves_a_half);
    tcase_add_test(cases, the_change_stream_tells_all_of_a_spilled_commit);
    tcase_add_test(cases, a_value_of_its_own_may_be_put_again);
    suite_add_tcase(suite, cases);
    tcase_add_checked_fixture(threads, setup, teardown);
    tcase_set_timeout(threads, 300);
    tcase_add_test(threads, many_threads_spill_at_once);
    suite_add_tcase(suite, threads);
    return kv_main(suite);
}
