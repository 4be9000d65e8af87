/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_kv_threads.c: many threads on one handle: what each snapshot sees is whole, no update is
 * lost, while checkpoints and backups run. SECONDS_EACH makes it longer.
 */
#include "tests/kv/kv_fixture.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"

enum { THREADS = 4, ACCOUNTS = 64, START = 1000, COUNTERS = 3 };

static sdb_db *db;
static sdb_keyspace *accounts, *counters;
static struct kv_folder folder;
static uint64_t seed, until_ns;
static _Atomic bool stopping;

static bool is_over(void)
{
    return atomic_load(&stopping) || sdb__clock_now_ns() >= until_ns;
}

static sdb_slice number_key(const uint8_t *number)
{
    return (sdb_slice){number, 1};
}

static int64_t read_number(sdb_txn *txn, sdb_keyspace *keyspace, uint8_t number)
{
    sdb_slice value;
    int64_t n = 0;

    OK(sdb_get(txn, keyspace, number_key(&number), &value));
    ck_assert_uint_ge(value.size, sizeof n);
    memcpy(&n, value.data, sizeof n);
    return n;
}

/* Numbers are written with a tail that makes some of them extents. */
static sdb_status write_number(sdb_txn *txn, sdb_keyspace *keyspace, uint8_t number, int64_t n)
{
    uint8_t value[6000] = {0};

    memcpy(value, &n, sizeof n);
    return sdb_put(txn, keyspace, number_key(&number),
                   (sdb_slice){value, number % 8 == 3 ? sizeof value : 8 + (size_t)(n & 63)});
}

static void open_db(unsigned flags)
{
    sdb_options options = SDB_OPTIONS_INIT;
    sdb_txn *txn;

    kv_folder_make(&folder);
    options.flags = flags;
    options.cache_bytes = MIB;
    options.direct_io = kv_direct();
    options.checkpoint_bytes = MIB;
    options.page_size = 4096;
    options.durability = SDB_DURABILITY_GROUP;
    options.group_interval_ms = 5;
    OK(sdb_open(kv_in(&folder, "t.sdb"), &options, &db));
    accounts = kv_keyspace(db, "accounts");
    counters = kv_keyspace(db, "counters");
    OK(sdb_txn_begin(db, SDB_TXN_WRITE, &txn));
    for (uint8_t i = 0; i < ACCOUNTS; i++) OK(write_number(txn, accounts, i, START));
    for (uint8_t i = 0; i < COUNTERS; i++) OK(write_number(txn, counters, i, 0));
    OK(sdb_txn_commit(txn));
    atomic_store(&stopping, false);
    until_ns = sdb__clock_now_ns() + kv_number("SECONDS_EACH", 2) * UINT64_C(1000000000);
}

static int64_t sum_of(sdb_txn *txn)
{
    sdb_cursor *cursor;
    sdb_slice key, value;
    sdb_status status;
    int64_t sum = 0;
    unsigned count = 0;

    OK(sdb_cursor_open(txn, accounts, NULL, &cursor));
    while ((status = sdb_cursor_next(cursor, &key, &value)) == SDB_OK) {
        int64_t n;

        memcpy(&n, value.data, sizeof n);
        sum += n;
        count++;
    }
    IS(status, SDB_END);
    sdb_cursor_close(cursor);
    ck_assert_uint_eq(count, ACCOUNTS);
    return sum;
}

static void close_db(void)
{
    sdb_txn *txn;

    OK(sdb_txn_begin(db, SDB_TXN_READ, &txn));
    ck_assert_int_eq(sum_of(txn), ACCOUNTS * START);
    OK(sdb_txn_commit(txn));
    kv_check_sound(db);
    OK(sdb_close(db));
    kv_folder_remove(&folder);
}

static void run_threads(void *(*const *mains)(void *), unsigned count)
{
    pthread_t threads[8];

    for (unsigned i = 0; i < count; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, mains[i], (void *)(uintptr_t)i), 0);
    for (unsigned i = 0; i < count; i++) ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}

/* ---- what threads do ---------------------------------------------------------------------- */

struct transfer {
    uint8_t from, to;
    int64_t amount;
};

static sdb_status transfer(sdb_txn *txn, void *context)
{
    const struct transfer *t = context;
    int64_t from = read_number(txn, accounts, t->from), to = read_number(txn, accounts, t->to);
    sdb_status status = write_number(txn, accounts, t->from, from - t->amount);

    return status == SDB_OK ? write_number(txn, accounts, t->to, to + t->amount) : status;
}

static void *transfer_main(void *context)
{
    uint64_t random = seed + (uintptr_t)context;

    while (!is_over()) {
        struct transfer t = {(uint8_t)random_below(&random, ACCOUNTS), 0,
                             (int64_t)random_below(&random, 100)};

        t.to = (uint8_t)((t.from + 1 + random_below(&random, ACCOUNTS - 1)) % ACCOUNTS);
        OK(sdb_txn_run(db, SDB_TXN_WRITE, transfer, &t, 60000));
    }
    return NULL;
}

static void *audit_main(void *context)
{
    (void)context;
    while (!is_over()) {
        sdb_txn *txn;

        OK(sdb_txn_begin(db, SDB_TXN_READ, &txn));
        for (int i = 0; i < 5; i++) ck_assert_int_eq(sum_of(txn), ACCOUNTS * START);
        OK(sdb_txn_commit(txn));
    }
    return NULL;
}

static void *upkeep_main(void *context)
{
    unsigned round = 0;

    (void)context;
    while (!is_over()) {
        sdb_stats stats = {.size = sizeof stats};

        OK(sdb_checkpoint(db));
        OK(sdb_stat(db, &stats));
        ck_assert_uint_le(stats.cache_bytes, stats.cache_limit_bytes);
        OK(sdb_sync(db));
        if (round++ % 8 == 0) {
            const char *copy = kv_in(&folder, "copy.sdb");
            sdb_options options = SDB_OPTIONS_INIT;
            sdb_db *old = db, *other;
            sdb_keyspace *keyspace;
            sdb_txn *txn;
            uint64_t count;

            OK(sdb_backup(old, copy, NULL, NULL));
            options.flags = SDB_OPEN_READONLY;
            options.cache_bytes = MIB;
            options.direct_io = kv_direct();
            OK(sdb_open(copy, &options, &other));
            OK(sdb_keyspace_open(other, "accounts", SDB_KEYSPACE_MUST_EXIST, &keyspace));
            OK(sdb_txn_begin(other, SDB_TXN_READ, &txn));
            OK(sdb_count(txn, keyspace, NULL, &count));
            ck_assert_uint_eq(count, ACCOUNTS);
            sdb_txn_abort(txn);
            OK(sdb_close(other));
            ck_assert_int_eq(remove(copy), 0);
        }
    }
    return NULL;
}

START_TEST(every_snapshot_balances_while_money_moves)
{
    static void *(*const mains[])(void *) = {transfer_main, transfer_main, audit_main, upkeep_main};

    seed = kv_seed("test_kv_threads", 9);
    open_db(_i ? SDB_OPEN_NO_THREADS : 0);
    run_threads(mains, THREADS);
    close_db();
}
END_TEST

static _Atomic int64_t added[COUNTERS];

static sdb_status increment(sdb_txn *txn, void *context)
{
    uint8_t number = *(uint8_t *)context;

    return write_number(txn, counters, number, read_number(txn, counters, number) + 1);
}

static void *count_main(void *context)
{
    uint64_t random = seed + (uintptr_t)context;

    while (!is_over()) {
        uint8_t number = (uint8_t)random_below(&random, COUNTERS);

        OK(sdb_txn_run(db, SDB_TXN_WRITE, increment, &number, 60000));
        atomic_fetch_add(&added[number], 1);
    }
    return NULL;
}

START_TEST(no_increment_is_lost)
{
    static void *(*const mains[])(void *) = {count_main, count_main, count_main, count_main};
    sdb_txn *txn;

    seed = kv_seed("test_kv_threads", 10);
    open_db(0);
    run_threads(mains, THREADS);
    OK(sdb_txn_begin(db, SDB_TXN_READ, &txn));
    for (uint8_t i = 0; i < COUNTERS; i++)
        ck_assert_int_eq(read_number(txn, counters, i), atomic_load(&added[i]));
    sdb_txn_abort(txn);
    close_db();
}
END_TEST

/* ---- large commits ------------------------------------------------------------------------ */

enum { MANY = 1500 }; /* more than what new snapshots wait for */

static void *rewrite_main(void *context)
{
    uint32_t round = 0;

    (void)context;
    while (!is_over()) {
        sdb_txn *txn;

        round++;
        OK(sdb_txn_begin(db, SDB_TXN_BATCH, &txn));
        for (uint32_t i = 0; i < MANY; i++)
            OK(sdb_put(txn, counters, (sdb_slice){&i, sizeof i},
                       (sdb_slice){&round, sizeof round}));
        sdb_txn_set_durability(txn, SDB_DURABILITY_NONE);
        OK(sdb_txn_commit(txn));
    }
    return NULL;
}

static uint32_t round_of(sdb_txn *txn, uint32_t number)
{
    uint32_t round = 0;
    sdb_slice value;
    sdb_status status = sdb_get(txn, counters, (sdb_slice){&number, sizeof number}, &value);

    if (status == SDB_NOTFOUND) return 0;
    OK(status);
    memcpy(&round, value.data, sizeof round);
    return round;
}

static void *compare_main(void *context)
{
    uint64_t random = seed + (uintptr_t)context;

    while (!is_over()) {
        sdb_txn *txn;
        uint32_t round;

        OK(sdb_txn_begin(db, SDB_TXN_READ, &txn));
        round = round_of(txn, 0);
        for (int i = 0; i < 20; i++)
            ck_assert_uint_eq(round_of(txn, (uint32_t)random_below(&random, MANY)), round);
        ck_assert_uint_eq(round_of(txn, MANY - 1), round);
        OK(sdb_txn_commit(txn));
    }
    return NULL;
}

START_TEST(large_commits_are_seen_whole_or_not_at_all)
{
    static void *(*const mains[])(void *) = {rewrite_main, compare_main, compare_main,
                                             compare_main};

    seed = kv_seed("test_kv_threads", 12);
    open_db(0);
    run_threads(mains, THREADS);
    close_db();
}
END_TEST

/* ---- keyspaces come and go ---------------------------------------------------------------- */

static void *come_and_go_main(void *context)
{
    uint64_t random = seed + (uintptr_t)context;

    while (!is_over()) {
        char name[16];
        sdb_keyspace *keyspace;
        sdb_status status;

        (void)snprintf(name, sizeof name, "t%u", (unsigned)random_below(&random, 3));
        OK(sdb_keyspace_open(db, name, 0, &keyspace));
        for (uint8_t i = 0; i < 20; i++) {
            status = write_number(NULL, keyspace, i, i);
            ck_assert(status == SDB_OK || status == SDB_NOTFOUND);
        }
        if (random_below(&random, 2)) continue;
        status = sdb_keyspace_drop(keyspace);
        ck_assert_msg(status == SDB_OK || status == SDB_NOTFOUND, "%s", sdb_errmsg());
    }
    return NULL;
}

START_TEST(keyspaces_made_and_dropped_by_many_are_there_after_reopening)
{
    static void *(*const mains[])(void *) = {come_and_go_main, come_and_go_main, come_and_go_main,
                                             audit_main};
    sdb_options options = SDB_OPTIONS_INIT;

    seed = kv_seed("test_kv_threads", 11);
    open_db(0);
    run_threads(mains, THREADS);
    OK(sdb_close(db));
    options.cache_bytes = MIB;
    options.direct_io = kv_direct();
    OK(sdb_open(kv_in(&folder, "t.sdb"), &options, &db));
    accounts = kv_keyspace(db, "accounts");
    close_db();
}
END_TEST

/* ---- serializable ------------------------------------------------------------------------- */

/* Takes one of the entries away if that leaves another, or else adds one. */
static sdb_status relieve(sdb_txn *txn, void *context)
{
    uint64_t *random = context, count, n = 0;
    uint8_t fresh = (uint8_t)random_below(random, ACCOUNTS), chosen = 0;
    sdb_slice key;
    sdb_cursor *cursor;
    sdb_status status;

    if (random_below(random, 2)) {
        OK(sdb_count(txn, counters, NULL, &count));
    } else {
        OK(sdb_cursor_open(txn, counters, NULL, &cursor));
        for (count = 0; (status = sdb_cursor_prev(cursor, &key, NULL)) == SDB_OK;) count++;
        IS(status, SDB_END);
        sdb_cursor_close(cursor);
    }
    if (count < 2) return write_number(txn, counters, fresh, 1);
    OK(sdb_cursor_open(txn, counters, NULL, &cursor));
    while (sdb_cursor_next(cursor, &key, NULL) == SDB_OK)
        if (random_below(random, ++n) == 0) memcpy(&chosen, key.data, sizeof chosen);
    sdb_cursor_close(cursor);
    return sdb_del(txn, counters, number_key(&chosen));
}

static void *relieve_main(void *context)
{
    uint64_t random = seed + (uintptr_t)context;

    while (!is_over())
        OK(sdb_txn_run(db, SDB_TXN_WRITE | SDB_TXN_SERIALIZABLE, relieve, &random, 60000));
    return NULL;
}

static void *watch_main(void *context)
{
    sdb_txn *txn;
    uint64_t count;

    (void)context;
    while (!is_over()) {
        OK(sdb_txn_begin(db, SDB_TXN_READ, &txn));
        OK(sdb_count(txn, counters, NULL, &count));
        OK(sdb_txn_commit(txn));
        ck_assert_uint_ge(count, 1);
    }
    return NULL;
}

START_TEST(what_each_serializable_transaction_keeps_all_keep_together)
{
    static void *(*const mains[])(void *) = {relieve_main, relieve_main, relieve_main, watch_main};

    seed = kv_seed("test_kv_threads", 13);
    open_db(0);
    run_threads(mains, THREADS);
    close_db();
}
END_TEST

/* ---- merges ------------------------------------------------------------------------------- */

static _Atomic int64_t merged;

/* Adds to one number, alone or with others that it has to itself. */
static void *merge_main(void *context)
{
    uint64_t random = seed + (uintptr_t)context;
    uint8_t mine[8] = {(uint8_t)(uintptr_t)context}, amount[8];

    while (!is_over()) {
        uint64_t n = random_below(&random, 100);
        sdb_txn *txn = NULL;

        put_u64(amount, n);
        if (n % 2) {
            OK(sdb_txn_begin(db, n % 4 == 1 ? SDB_TXN_WRITE | SDB_TXN_SERIALIZABLE : SDB_TXN_WRITE,
                             &txn));
            OK(sdb_put(txn, counters, (sdb_slice){mine, 2}, (sdb_slice){amount, 8}));
        }
        OK(sdb_merge(txn, counters, SDB_MERGE_ADD, TEXT("sum"), (sdb_slice){amount, 8}));
        if (txn) OK(sdb_txn_commit(txn)); /* never a conflict */
        atomic_fetch_add(&merged, (int64_t)n);
    }
    return NULL;
}

/* Sees the number grow. */
static void *grow_main(void *context)
{
    int64_t last = 0;

    (void)context;
    while (!is_over()) {
        sdb_slice value;
        sdb_txn *txn;

        OK(sdb_txn_begin(db, SDB_TXN_READ, &txn));
        if (sdb_get(txn, counters, TEXT("sum"), &value) == SDB_OK) {
            int64_t now = (int64_t)get_u64(value.data);

            ck_assert_int_ge(now, last);
            last = now;
        }
        OK(sdb_txn_commit(txn));
    }
    return NULL;
}

START_TEST(no_merge_is_lost_and_none_conflicts)
{
    static void *(*const mains[])(void *) = {merge_main, merge_main, merge_main, grow_main};
    sdb_slice value;
    sdb_txn *txn;

    seed = kv_seed("test_kv_threads", 14);
    atomic_store(&merged, 0);
    open_db(0);
    run_threads(mains, THREADS);
    OK(sdb_txn_begin(db, SDB_TXN_READ, &txn));
    OK(sdb_get(txn, counters, TEXT("sum"), &value));
    ck_assert_int_eq((int64_t)get_u64(value.data), atomic_load(&merged));
    OK(sdb_txn_commit(txn));
    close_db();
}
END_TEST

static _Atomic bool reading, has_read;

static void *read_one(void *key)
{
    size_t size;

    atomic_store(&reading, true);
    MUST(sdb_get_copy(counters, kv_slice(key), NULL, 0, &size));
    atomic_store(&has_read, true);
    return NULL;
}

/* A commit to "k" stands still in its midst. */
START_TEST(a_read_waits_for_a_commit_only_if_it_may_have_changed_the_key)
{
    char other[] = "a";
    uint64_t keys;
    pthread_t thread;
    size_t size;

    open_db(0);
    keys = sdb__snapshot_key(counters->tree.id, (struct bytes){(const uint8_t *)"k", 1});
    while (sdb__snapshot_key(counters->tree.id, (struct bytes){(uint8_t *)other, 1}) == keys)
        other[0]++;
    OK(sdb_put(NULL, counters, TEXT("k"), TEXT("")));
    OK(sdb_put(NULL, counters, kv_slice(other), TEXT("")));
    atomic_store(&has_read, false);
    (void)pthread_mutex_lock(&db->commit_lock);
    ck_assert(!sdb__snapshot_apply(db, 1, keys));
    OK(sdb_get_copy(counters, kv_slice(other), NULL, 0, &size)); /* does not wait */
    ck_assert_int_eq(pthread_create(&thread, NULL, read_one, (void *)(uintptr_t)"k"), 0);
    while (!atomic_load(&reading)) (void)sched_yield();
    sdb__clock_sleep_ns(20000000);
    ck_assert(!atomic_load(&has_read));
    sdb__snapshot_publish(db, ++db->last_commit);
    (void)pthread_mutex_unlock(&db->commit_lock);
    (void)pthread_join(thread, NULL);
    close_db();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kv_threads");
    TCase *cases = tcase_create("threads");

    tcase_set_timeout(cases, 120);
    tcase_add_loop_test(cases, every_snapshot_balances_while_money_moves, 0, 2);
    tcase_add_test(cases, a_read_waits_for_a_commit_only_if_it_may_have_changed_the_key);
    tcase_add_test(cases, no_increment_is_lost);
    tcase_add_test(cases, large_commits_are_seen_whole_or_not_at_all);
    tcase_add_test(cases, keyspaces_made_and_dropped_by_many_are_there_after_reopening);
    tcase_add_test(cases, no_merge_is_lost_and_none_conflicts);
    tcase_add_test(cases, what_each_serializable_transaction_keeps_all_keep_together);
    suite_add_tcase(suite, cases);
    return kv_main(suite);
}
