/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_log_limit.c: the log stays below its limit; commits wait for that, or say why they cannot;
 * compressed, it is shorter, and holds as much.
 */
#include "tests/kv/kv_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { WRITERS = 4, VALUE = 20000, PUTS = 150 };

static struct kv_folder folder;
static sdb_options options;
static sdb_db *db;
static sdb_keyspace *keyspace;

static void setup(void)
{
    kv_folder_make(&folder);
    options = kv_options(4096);
    options.cache_bytes = 64 * (uint64_t)MIB;
    options.durability = SDB_DURABILITY_NONE;
    options.log_limit_bytes = MIB;
}

static void teardown(void)
{
    kv_folder_remove(&folder);
}

static sdb_stats stats_of(void)
{
    sdb_stats stats = {.size = sizeof stats};

    OK(sdb_stat(db, &stats));
    return stats;
}

/* Puts, and sees that no more log is there than the limit and what threads may add to it. */
static void put(unsigned threads, unsigned number)
{
    uint8_t value[VALUE];
    char key[16];

    kv_fill(value, sizeof value, number);
    (void)snprintf(key, sizeof key, "%u", number % 97);
    OK(sdb_put(NULL, keyspace, kv_slice(key), (sdb_slice){value, sizeof value}));
    ck_assert_uint_lt(stats_of().log_bytes, MIB + threads * (VALUE + 4 * KIB));
}

START_TEST(log_stays_below_its_limit_without_threads)
{
    OK(sdb_open(kv_in(&folder, "t.sdb"), &options, &db));
    keyspace = kv_keyspace(db, "a");
    for (unsigned i = 0; i < WRITERS * PUTS; i++) put(1, i);
    ck_assert_uint_ge(stats_of().checkpoints, 10);
    OK(sdb_close(db));
}
END_TEST

static void *writer_main(void *context)
{
    for (unsigned i = 0; i < PUTS; i++) put(WRITERS, *(unsigned *)context * PUTS + i);
    return NULL;
}

START_TEST(writers_wait_for_the_checkpoint)
{
    pthread_t threads[WRITERS];
    unsigned numbers[WRITERS];

    options.flags &= ~(unsigned)SDB_OPEN_NO_THREADS;
    OK(sdb_open(kv_in(&folder, "t.sdb"), &options, &db));
    keyspace = kv_keyspace(db, "a");
    for (unsigned i = 0; i < WRITERS; i++) {
        numbers[i] = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, writer_main, &numbers[i]), 0);
    }
    for (unsigned i = 0; i < WRITERS; i++) ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_ge(stats_of().log_waits, 1);
    OK(sdb_close(db));
}
END_TEST

/* What a commit says that must wait for a checkpoint on a full disk; and that it goes on after. */
START_TEST(full_log_on_a_full_disk_says_so)
{
    struct sim_faults full = {.capacity = 1}, none = {0};
    struct io *io = kv_disk(1);

    if (_i) options.flags &= ~(unsigned)SDB_OPEN_NO_THREADS;
    OK(sdb__db_open(io, KV_PATH, &options, &db));
    keyspace = kv_keyspace(db, "a");
    for (unsigned i = 0; i < 10; i++) put(1, i);
    db->options.log_limit_bytes = 1000; /* as if so much had been written */
    atomic_store(&db->log_full, true);
    sdb__sim_set_faults(io, &full);
    SAYS(sdb_put(NULL, keyspace, TEXT("k"), TEXT("v")), SDB_FULL, "reached its limit of 1000");
    sdb__sim_set_faults(io, &none);
    OK(sdb_put(NULL, keyspace, TEXT("k"), TEXT("v")));
    kv_expect(keyspace, "k", "v");
    ck_assert_uint_lt(stats_of().log_bytes, 1000);
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(senseless_limit_is_refused)
{
    options.log_limit_bytes = 4096;
    SAYS(sdb_open(kv_in(&folder, "t.sdb"), &options, &db), SDB_INVALID, "log limit of 4096");
    options.log_limit_bytes = 0;
    options.checkpoint_bytes = 1; /* the default limit does not follow to below what is allowed */
    OK(sdb_open(kv_in(&folder, "t.sdb"), &options, &db));
    OK(sdb_close(db));
}
END_TEST

START_TEST(compressed_log_is_shorter_and_recovered_without_the_option)
{
    enum { COMMITS = 60 };
    struct io *io = kv_disk(5);
    uint8_t value[5000];
    sdb_stats stats;
    sdb_txn *txn;
    sdb_slice got;

    options.log_compression = SDB_COMPRESSION_LZ4;
    OK(sdb__db_open(io, KV_PATH, &options, &db));
    keyspace = kv_keyspace(db, "a");
    for (unsigned i = 0; i < COMMITS; i++) {
        char key[16];

        kv_fill(value, sizeof value, 1 + 3 * i); /* one of those that can be compressed */
        (void)snprintf(key, sizeof key, "%u", i);
        OK(sdb_put(NULL, keyspace, kv_slice(key), (sdb_slice){value, sizeof value}));
    }
    stats = stats_of();
    ck_assert_uint_gt(stats.log_body_bytes, COMMITS * sizeof value);
    ck_assert_uint_lt(stats.log_written_bytes, stats.log_body_bytes * 3 / 4);
    ck_assert_uint_lt(stats.log_bytes, stats.log_body_bytes * 3 / 4);
    OK(sdb_sync(db));
    IS(sdb__db_kill(db, SDB_IO), SDB_IO); /* the process dies */
    (void)sdb_close(db);

    options.log_compression = SDB_COMPRESSION_NONE;
    OK(sdb__db_open(io, KV_PATH, &options, &db));
    keyspace = kv_keyspace(db, "a");
    ck_assert_uint_ge(stats_of().recovered_commits, COMMITS);
    OK(sdb_txn_begin(db, SDB_TXN_READ, &txn));
    for (unsigned i = 0; i < COMMITS; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "%u", i);
        OK(sdb_get(txn, keyspace, kv_slice(key), &got));
        ck_assert_uint_eq(got.size, sizeof value);
        ck_assert(kv_is_filled(got.data, got.size, 1 + 3 * i));
    }
    sdb_txn_abort(txn);
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(log_is_compressed_with_lz4_or_not_at_all)
{
    options.log_compression = SDB_COMPRESSION_ZSTD;
    SAYS(sdb_open(kv_in(&folder, "t.sdb"), &options, &db), SDB_INVALID, "compressed with LZ4");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log_limit");
    TCase *tcase = tcase_create("limit");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, log_stays_below_its_limit_without_threads);
    tcase_add_test(tcase, writers_wait_for_the_checkpoint);
    tcase_add_loop_test(tcase, full_log_on_a_full_disk_says_so, 0, 2);
    tcase_add_test(tcase, senseless_limit_is_refused);
    tcase_add_test(tcase, compressed_log_is_shorter_and_recovered_without_the_option);
    tcase_add_test(tcase, log_is_compressed_with_lz4_or_not_at_all);
    suite_add_tcase(suite, tcase);
    return kv_main(suite);
}
