/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_kv_budget.c: claims about the memory that a database takes, as the system counts it (VmHWM).
 * Sanitizers keep memory of their own, so nothing is measured under them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kv/kv_fixture.h"

enum { CACHE = 20 * 1024 * 1024, ROW = 1000, BATCH = 500, ROWS = 70 * 1000 };
/* What is no cache: the program, its libraries, the log's buffers, a transaction's writes. */
enum { PROGRAM = 5 * 1024 * 1024 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { MEASURED = 0 };
#else
enum { MEASURED = 1 };
#endif

static struct kv_folder folder;
static sdb_options options;

/* The most memory that was resident since `forget`, in bytes. */
static uint64_t most_resident(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    unsigned long long kib = 0;
    char line[256];

    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file)) (void)sscanf(line, "VmHWM: %llu kB", &kib);
    (void)fclose(file);
    ck_assert_uint_gt(kib, 0);
    return kib * 1024;
}

static void forget_most_resident(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");

    if (!file) return; /* then what was before counts too */
    (void)fputs("5", file);
    (void)fclose(file);
}

static void judge(sdb_db *db, const char *when)
{
    sdb_stats stats = {.size = sizeof stats};
    uint64_t resident = most_resident();

    OK(sdb_stat(db, &stats));
    printf("%s: file %.1f MiB, resident at most %.1f MiB, pages %.1f + other %.1f of %.1f MiB, "
           "%.1f %% hits\n", when, (double)stats.file_bytes / 1048576, (double)resident / 1048576,
           (double)stats.cache_limit_bytes / 1048576, (double)stats.cache_other_bytes / 1048576,
           (double)CACHE / 1048576, (double)stats.page_hit_per_mille / 10);
    ck_assert_uint_le(stats.cache_limit_bytes + stats.cache_other_bytes, CACHE);
    ck_assert_uint_gt(stats.cache_limit_bytes + stats.cache_other_bytes, CACHE - CACHE / 10);
    ck_assert_uint_le(stats.cache_bytes, stats.cache_limit_bytes);
    if (MEASURED) ck_assert_uint_le(resident, CACHE + CACHE / 10 + PROGRAM);
}

/* Opens the database on a cache of that size; what was resident before does not count. */
static sdb_db *open_measured(uint64_t cache_bytes, sdb_keyspace **out_keyspace)
{
    sdb_db *db;

    options.cache_bytes = cache_bytes;
    options.durability = SDB_DURABILITY_NONE;
    forget_most_resident();
    OK(sdb_open(kv_in(&folder, "t.sdb"), &options, &db));
    *out_keyspace = kv_keyspace(db, "a");
    return db;
}

static void load(sdb_db *db, sdb_keyspace *keyspace)
{
    char key[32], value[ROW];
    sdb_txn *txn;

    memset(value, 'v', sizeof value);
    for (unsigned i = 0; i < ROWS; i += BATCH) {
        txn = kv_begin(db, SDB_TXN_WRITE);
        for (unsigned j = i; j < i + BATCH; j++) {
            /* In a scattered order, so that leaves come and go. */
            (void)snprintf(key, sizeof key, "%08u", j * 7919u % ROWS);
            OK(sdb_put(txn, keyspace, (sdb_slice){key, strlen(key)}, (sdb_slice){value, ROW}));
        }
        OK(sdb_txn_commit(txn));
    }
}

START_TEST(a_load_of_several_caches_stays_within_the_budget)
{
    sdb_keyspace *keyspace;
    sdb_db *db;

    options.checkpoint_bytes = CACHE;
    db = open_measured(CACHE, &keyspace);
    load(db, keyspace);
    judge(db, "after the load");
    OK(sdb_close(db));
    db = open_measured(CACHE, &keyspace);
    for (unsigned i = 0; i < ROWS; i += 3) {
        char key[32];
        sdb_slice value;
        sdb_txn *txn = kv_begin(db, SDB_TXN_READ);

        (void)snprintf(key, sizeof key, "%08u", i * 7919u % ROWS);
        OK(sdb_get(txn, keyspace, (sdb_slice){key, strlen(key)}, &value));
        ck_assert_uint_eq(value.size, ROW);
        sdb_txn_abort(txn);
    }
    judge(db, "after reading");
    OK(sdb_close(db));
}
END_TEST

/* SPILLED=3000000 makes it larger. */
START_TEST(a_transaction_of_many_times_the_memory_stays_within_its_own)
{
    enum { TXN_MEMORY = 4 * 1024 * 1024, SMALL = 16 * 1024 * 1024 };
    uint64_t rows = kv_number("SPILLED", 400000), count;
    sdb_stats stats = {.size = sizeof stats};
    char key[32], value[100];
    sdb_keyspace *keyspace;
    sdb_txn *txn;
    sdb_db *db;

    options.txn_memory_bytes = TXN_MEMORY;
    db = open_measured(SMALL, &keyspace);
    txn = kv_begin(db, SDB_TXN_WRITE);
    memset(value, 'v', sizeof value);
    for (uint64_t i = 0; i < rows; i++) {
        (void)snprintf(key, sizeof key, "%016llu", (unsigned long long)(i * 7919u % rows));
        MUST(sdb_put(txn, keyspace, (sdb_slice){key, strlen(key)},
                     (sdb_slice){value, sizeof value}));
    }
    OK(sdb_txn_commit(txn));
    OK(sdb_stat(db, &stats));
    printf("spilled %.1f MiB, resident at most %.1f MiB\n", (double)stats.spilled_bytes / 1048576,
           (double)most_resident() / 1048576);
    ck_assert_uint_gt(stats.spilled_bytes, rows * 100);
    if (MEASURED) ck_assert_uint_le(most_resident(), TXN_MEMORY + SMALL + 2 * PROGRAM);
    txn = kv_begin(db, SDB_TXN_READ);
    OK(sdb_count(txn, keyspace, NULL, &count));
    ck_assert_uint_eq(count, rows);
    sdb_txn_abort(txn);
    OK(sdb_close(db));
}
END_TEST

static void setup(void)
{
    options = (sdb_options)SDB_OPTIONS_INIT;
    kv_folder_make(&folder);
}

static void teardown(void)
{
    kv_folder_remove(&folder);
}

int main(void)
{
    Suite *suite = suite_create("kv_budget");
    TCase *cases = tcase_create("budget");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, a_load_of_several_caches_stays_within_the_budget);
    tcase_add_test(cases, a_transaction_of_many_times_the_memory_stays_within_its_own);
    suite_add_tcase(suite, cases);
    return kv_main(suite);
}
