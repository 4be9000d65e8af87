/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_changes.c: a stream gives every durable commit once, in order, while others write and
 * checkpoints recycle the log; or says that it has lost its place. Large commits come in parts.
 */
#include "tests/kv/kv_fixture.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { WRITERS = 4, PUTS = 400, VALUE = 6000 };

static struct kv_folder folder;
static sdb_options options;
static sdb_db *db;
static sdb_keyspace *keyspace;
static sdb_changes *changes;
static sdb_committed commit;
static struct kv_ledger ledger;

static void setup(void)
{
    kv_folder_make(&folder);
    options = kv_options(4096);
    options.cache_bytes = 16 * (uint64_t)MIB;
    options.log_limit_bytes = MIB;
    OK(sdb_open(kv_in(&folder, "t.sdb"), &options, &db));
}

static void teardown(void)
{
    sdb_changes_close(changes);
    changes = NULL;
    OK(sdb_close(db));
    kv_folder_remove(&folder);
}

static void expect_change(size_t i, sdb_change_kind kind, const char *key, const char *value)
{
    const sdb_change *change = &commit.changes[i];

    ck_assert_uint_lt(i, commit.count);
    ck_assert_int_eq(change->kind, kind);
    ck_assert_str_eq(change->keyspace_name, "a");
    ck_assert(kv_is(change->key, key));
    ck_assert(kv_is(change->value, value));
}

START_TEST(commits_come_in_order_with_what_they_changed)
{
    sdb_slice lower = TEXT("b"), upper = TEXT("d");
    sdb_range range = {.lower = &lower, .upper = &upper};
    uint64_t number, next;
    sdb_txn *txn;

    OK(sdb_changes_open(db, 0, MIB, &changes));
    IS(sdb_changes_next(changes, 0, &commit), SDB_TIMEOUT); /* there is not even a log */
    keyspace = kv_keyspace(db, "a");
    kv_put_text(keyspace, "k", "1");
    OK(sdb_txn_begin(db, SDB_TXN_WRITE, &txn));
    OK(sdb_put(txn, keyspace, TEXT("k"), TEXT("not this")));
    OK(sdb_put(txn, keyspace, TEXT("l"), TEXT("3")));
    OK(sdb_put(txn, keyspace, TEXT("k"), TEXT("2")));
    OK(sdb_txn_commit(txn));
    OK(sdb_del(NULL, keyspace, TEXT("k")));
    OK(sdb_merge(NULL, keyspace, SDB_MERGE_APPEND, TEXT("m"), TEXT("end")));
    OK(sdb_del_range(NULL, keyspace, &range));
    OK(sdb_keyspace_drop(keyspace));

    OK(sdb_changes_next(changes, 0, &commit));
    number = commit.commit;
    next = commit.next_lsn;
    ck_assert_uint_eq(commit.count, 1);
    expect_change(0, SDB_CHANGE_KEYSPACE_MAKE, "a", "");
    OK(sdb_changes_next(changes, 0, &commit));
    ck_assert_uint_eq(commit.commit, number + 1);
    ck_assert_uint_eq(commit.lsn, next);
    ck_assert_uint_gt(commit.time_ms, UINT64_C(1500000000000));
    ck_assert_uint_eq(commit.count, 1);
    expect_change(0, SDB_CHANGE_PUT, "k", "1");
    OK(sdb_changes_next(changes, 0, &commit));
    ck_assert_uint_eq(commit.count, 2);
    expect_change(0, SDB_CHANGE_PUT, "l", "3");
    expect_change(1, SDB_CHANGE_PUT, "k", "2");
    next = commit.lsn;
    OK(sdb_changes_next(changes, 0, &commit));
    expect_change(0, SDB_CHANGE_DEL, "k", "");
    OK(sdb_changes_next(changes, 0, &commit));
    expect_change(0, SDB_CHANGE_MERGE, "m", "\2end");
    OK(sdb_changes_next(changes, 0, &commit));
    expect_change(0, SDB_CHANGE_DEL_RANGE, "b", "d");
    OK(sdb_changes_next(changes, 0, &commit));
    expect_change(0, SDB_CHANGE_KEYSPACE_DROP, "", "");
    IS(sdb_changes_next(changes, 20, &commit), SDB_TIMEOUT);
    sdb_changes_close(changes);
    OK(sdb_changes_open(db, next, 0, &changes)); /* again from there */
    OK(sdb_changes_next(changes, 0, &commit));
    ck_assert_uint_eq(commit.commit, number + 2);
}
END_TEST

START_TEST(only_durable_commits_come)
{
    sdb_txn *txn;

    keyspace = kv_keyspace(db, "a");
    OK(sdb_changes_open(db, 0, MIB, &changes));
    OK(sdb_txn_begin(db, SDB_TXN_BATCH, &txn));
    sdb_txn_set_durability(txn, SDB_DURABILITY_NONE);
    OK(sdb_put(txn, keyspace, TEXT("k"), TEXT("v")));
    OK(sdb_txn_commit(txn));
    IS(sdb_changes_next(changes, 0, &commit), SDB_TIMEOUT);
    OK(sdb_sync(db));
    OK(sdb_changes_next(changes, 0, &commit));
    expect_change(0, SDB_CHANGE_PUT, "k", "v");
}
END_TEST

/* A value of `size` bytes under key `key`, in a commit of its own. */
static void put(unsigned key, size_t size)
{
    static _Thread_local uint8_t value[2 * MIB];
    char name[16];

    kv_fill(value, size, key);
    (void)snprintf(name, sizeof name, "%u", key);
    OK(sdb_put(NULL, keyspace, kv_slice(name), (sdb_slice){value, size}));
}

START_TEST(commits_of_any_size_come_whole)
{
    static const size_t sizes[] = {1, 65000, 65536, 300000, 2 * MIB, 7, 131072};

    keyspace = kv_keyspace(db, "a");
    OK(sdb_changes_open(db, 0, 64 * MIB, &changes));
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) put(i, sizes[i]);
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        OK(sdb_changes_next(changes, 0, &commit));
        ck_assert_uint_eq(commit.count, 1);
        ck_assert_uint_eq(commit.changes->value.size, sizes[i]);
        ck_assert(kv_is_filled(commit.changes->value.data, sizes[i], i));
    }
}
END_TEST

static void *writer_main(void *context)
{
    for (unsigned i = 0; i < PUTS; i++) put(*(unsigned *)context * PUTS + i, VALUE);
    return NULL;
}

/* Some ten times the limit of the log goes by; the stream keeps what it has still to read. */
START_TEST(nothing_is_missed_while_the_log_is_recycled)
{
    static bool seen[WRITERS * PUTS];
    pthread_t threads[WRITERS];
    unsigned numbers[WRITERS];
    uint64_t last;

    OK(sdb_close(db));
    options.flags &= ~(unsigned)SDB_OPEN_NO_THREADS;
    OK(sdb_open(kv_in(&folder, "t.sdb"), &options, &db));
    keyspace = kv_keyspace(db, "a");
    memset(seen, 0, sizeof seen);
    OK(sdb_changes_open(db, 0, UINT64_C(1) << 40, &changes));
    for (unsigned i = 0; i < WRITERS; i++) {
        numbers[i] = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, writer_main, &numbers[i]), 0);
    }
    for (unsigned n = 0; n < WRITERS * PUTS; n++) {
        char name[16] = "";
        unsigned key;

        OK(_i ? sdb_changes_next_part(changes, 20000, &commit)
              : sdb_changes_next(changes, 20000, &commit));
        if (n) ck_assert_uint_eq(commit.commit, last + 1);
        last = commit.commit;
        ck_assert_uint_eq(commit.count, 1);
        ck_assert_uint_lt(commit.changes->key.size, sizeof name);
        memcpy(name, commit.changes->key.data, commit.changes->key.size);
        ck_assert_int_eq(sscanf(name, "%u", &key), 1);
        ck_assert(!seen[key]);
        seen[key] = true;
        ck_assert(kv_is_filled(commit.changes->value.data, VALUE, key));
    }
    for (unsigned i = 0; i < WRITERS; i++) ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    IS(sdb_changes_next(changes, 0, &commit), SDB_TIMEOUT);
}
END_TEST

START_TEST(stream_that_falls_behind_is_told_so)
{
    sdb_stats stats = {.size = sizeof stats};
    uint64_t from, oldest = 0;
    const char *words;

    keyspace = kv_keyspace(db, "a");
    OK(sdb_changes_open(db, 0, _i ? 400 * KIB : 0, &changes));
    put(1, VALUE);
    OK(sdb_changes_next(changes, 0, &commit));
    from = commit.lsn;
    for (unsigned i = 0; i < 50; i++) put(i, VALUE); /* 300 KB */
    OK(sdb_checkpoint(db));
    OK(sdb_stat(db, &stats));
    if (_i) ck_assert_uint_gt(stats.log_kept_bytes, 250 * KIB);
    for (unsigned i = 0; i < 500; i++) put(i, VALUE);
    OK(sdb_checkpoint(db));
    OK(sdb_stat(db, &stats));
    ck_assert_uint_le(stats.log_kept_bytes, 700 * KIB);
    SAYS(sdb_changes_next(changes, 0, &commit), SDB_NOTFOUND, "has been removed: the oldest is ");
    words = strstr(sdb_errmsg(), "oldest is ");
    ck_assert_int_eq(sscanf(words, "oldest is %" SCNu64, &oldest), 1);
    SAYS(sdb_changes_next(changes, 0, &commit), SDB_NOTFOUND, "has been removed");
    sdb_changes_close(changes);
    changes = NULL;
    SAYS(sdb_changes_open(db, from, 0, &changes), SDB_NOTFOUND, "the oldest is ");
    ck_assert_uint_gt(oldest, from);
}
END_TEST

START_TEST(place_outlives_a_crash)
{
    uint64_t next;

    keyspace = kv_keyspace(db, "a");
    OK(sdb_changes_open(db, 0, MIB, &changes));
    kv_put_text(keyspace, "k", "1");
    OK(sdb_changes_next(changes, 0, &commit));
    next = commit.next_lsn;
    SAYS(sdb_close(db), SDB_BUSY, "change stream is still open");
    sdb_changes_close(changes);
    changes = NULL;
    IS(sdb__db_kill(db, SDB_IO), SDB_IO); /* the process dies */
    (void)sdb_close(db);
    OK(sdb_open(kv_in(&folder, "t.sdb"), &options, &db));
    keyspace = kv_keyspace(db, "a");
    OK(sdb_changes_open(db, next, MIB, &changes));
    kv_put_text(keyspace, "k", "2");
    OK(sdb_changes_next(changes, 0, &commit));
    expect_change(0, SDB_CHANGE_PUT, "k", "2");
}
END_TEST

/* ---- commits in parts --------------------------------------------------------------------- */

/*
 * Opens the database anew with transactions that spill early, an allocator that is watched, and
 * that compression of the log.
 */
static void spilling(sdb_compression compression)
{
    static sdb_allocator allocator;

    OK(sdb_close(db));
    allocator = kv_ledger_allocator(&ledger);
    options.allocator = &allocator;
    options.txn_memory_bytes = 256 * KIB;
    options.log_limit_bytes = 512 * (uint64_t)MIB;
    options.log_compression = compression;
    OK(sdb_open(kv_in(&folder, "t.sdb"), &options, &db));
    keyspace = kv_keyspace(db, "a");
    OK(sdb_changes_open(db, 0, UINT64_C(1) << 40, &changes));
}

static sdb_slice number_key(uint8_t room[4], unsigned number)
{
    room[0] = (uint8_t)(number >> 24);
    room[1] = (uint8_t)(number >> 16);
    room[2] = (uint8_t)(number >> 8);
    room[3] = (uint8_t)number;
    return (sdb_slice){room, 4};
}

/* A commit of `count` values of `size` bytes under ascending numbers. */
static void commit_many(unsigned count, size_t size)
{
    static uint8_t value[2 * MIB];
    sdb_txn *txn;

    OK(sdb_txn_begin(db, SDB_TXN_WRITE, &txn));
    for (unsigned i = 0; i < count; i++) {
        uint8_t key[4];

        kv_fill(value, size, i);
        MUST(sdb_put(txn, keyspace, number_key(key, i), (sdb_slice){value, size}));
    }
    OK(sdb_txn_commit(txn));
}

/* The changes that a part, or a commit, tells are those of commit_many from `done` on. */
static void expect_many(const sdb_committed *part, unsigned done, size_t size)
{
    for (size_t i = 0; i < part->count; i++) {
        const sdb_change *change = &part->changes[i];
        uint8_t key[4];

        (void)number_key(key, done + (unsigned)i);
        if (change->kind != SDB_CHANGE_PUT || change->key.size != 4 ||
            memcmp(change->key.data, key, 4) != 0 || change->value.size != size ||
            !kv_is_filled(change->value.data, size, done + (unsigned)i))
            ck_abort_msg("change %zu of a part behind %u is another", i, done);
    }
}

/* Takes such a commit in parts; returns how many there were. */
static unsigned take_many(unsigned count, size_t size)
{
    uint64_t lsn = 0, number = 0;
    unsigned parts = 0, done = 0;
    sdb_committed part = {0};

    while (!part.last) {
        MUST(sdb_changes_next_part(changes, 0, &part));
        ck_assert_int_eq(part.first, parts == 0);
        if (part.first) {
            lsn = part.lsn;
            number = part.commit;
        }
        ck_assert(part.lsn == lsn && part.commit == number);
        ck_assert_uint_gt(part.time_ms, UINT64_C(1500000000000));
        if (!part.last) ck_assert_uint_eq(part.next_lsn, lsn);
        ck_assert_uint_le(part.count, SDB_CHANGES_PART_MAX);
        expect_many(&part, done, size);
        done += (unsigned)part.count;
        parts++;
    }
    ck_assert_uint_gt(part.next_lsn, lsn);
    ck_assert_uint_eq(done, count);
    return parts;
}

START_TEST(large_commits_come_in_parts_and_small_memory)
{
    spilling(_i % 2 ? SDB_COMPRESSION_LZ4 : SDB_COMPRESSION_NONE);
    commit_many(30000, 1000);
    commit_many(5, 1000);
    commit_many(100000, 3);
    commit_many(20, 1500000);
    atomic_store(&ledger.largest, 0);
    ck_assert_uint_ge(take_many(30000, 1000), 28);
    ck_assert_uint_eq(take_many(5, 1000), 1);
    ck_assert_uint_ge(take_many(100000, 3), 100000 / SDB_CHANGES_PART_MAX);
    ck_assert_uint_le(atomic_load(&ledger.largest), 4 * MIB);
    ck_assert_uint_ge(take_many(20, 1500000), 10);
    ck_assert_uint_le(atomic_load(&ledger.largest), 8 * MIB);
    IS(sdb_changes_next_part(changes, 0, &commit), SDB_TIMEOUT);
}
END_TEST

/* By its bytes, and by the number of its changes. */
START_TEST(too_large_a_commit_is_not_given_whole)
{
    static const unsigned counts[] = {70, 1250000};
    static const size_t sizes[] = {MIB, 2};
    spilling(_i % 2 ? SDB_COMPRESSION_LZ4 : SDB_COMPRESSION_NONE);
    commit_many(60, MIB);
    commit_many(counts[_i], sizes[_i]);
    commit_many(3, 10);
    OK(sdb_changes_next(changes, 0, &commit)); /* just below the limit */
    ck_assert(commit.first && commit.last);
    ck_assert_uint_eq(commit.count, 60);
    expect_many(&commit, 0, MIB);
    SAYS(sdb_changes_next(changes, 0, &commit), SDB_LIMIT, "larger than 64 MiB: take it in parts");
    SAYS(sdb_changes_next(changes, 0, &commit), SDB_LIMIT, "sdb_changes_next_part");
    ck_assert_uint_le(atomic_load(&ledger.largest), 2 * SDB_CHANGES_WHOLE_MAX);
    ck_assert_uint_gt(take_many(counts[_i], sizes[_i]), 1);
    OK(sdb_changes_next(changes, 0, &commit));
    ck_assert_uint_eq(commit.count, 3);
}
END_TEST

START_TEST(whole_commits_and_parts_do_not_mix_within_one)
{
    uint64_t lsn;

    spilling(_i % 2 ? SDB_COMPRESSION_LZ4 : SDB_COMPRESSION_NONE);
    commit_many(5000, 1000);
    commit_many(3, 10);
    OK(sdb_changes_next_part(changes, 0, &commit));
    lsn = commit.lsn;
    SAYS(sdb_changes_next(changes, 0, &commit), SDB_INVALID, "is being taken in parts");
    while (!commit.last) OK(sdb_changes_next_part(changes, 0, &commit));
    OK(sdb_changes_next(changes, 0, &commit));
    ck_assert_uint_eq(commit.count, 3);
    sdb_changes_close(changes);
    OK(sdb_changes_open(db, lsn, 0, &changes)); /* where the parts said to go on */
    OK(sdb_changes_next(changes, 0, &commit));
    ck_assert_uint_eq(commit.lsn, lsn);
    ck_assert_uint_eq(commit.count, 5000);
    expect_many(&commit, 0, 1000);
}
END_TEST

/* The log of a commit that is being taken is kept until its last part has come. */
START_TEST(a_commit_is_kept_while_it_is_taken)
{
    sdb_committed part;
    unsigned done;

    spilling(_i % 2 ? SDB_COMPRESSION_LZ4 : SDB_COMPRESSION_NONE);
    commit_many(20000, 1000);
    OK(sdb_changes_next_part(changes, 0, &part));
    expect_many(&part, 0, 1000);
    done = (unsigned)part.count;
    commit_many(20000, 10);
    OK(sdb_checkpoint(db));
    commit_many(20000, 11);
    OK(sdb_checkpoint(db));
    while (!part.last) {
        OK(sdb_changes_next_part(changes, 0, &part));
        expect_many(&part, done, 1000);
        done += (unsigned)part.count;
    }
    ck_assert_uint_eq(done, 20000);
}
END_TEST

/* Every allocation is refused in turn, with whole commits (0) and with parts (1). */
START_TEST(refused_memory_loses_no_change)
{
    bool refused = true;
    uint64_t from;

    spilling(_i % 2 ? SDB_COMPRESSION_LZ4 : SDB_COMPRESSION_NONE);
    commit_many(1, 10);
    OK(sdb_changes_next(changes, 0, &commit));
    from = commit.next_lsn;
    commit_many(9000, 300);
    commit_many(2, 10);
    for (long n = 0; refused; n++) {
        unsigned done = 0, commits = 0;

        sdb_changes_close(changes);
        OK(sdb_changes_open(db, from, UINT64_C(1) << 40, &changes));
        atomic_store(&ledger.once, true);
        atomic_store(&ledger.left, n);
        while (commits < 2) {
            sdb_status status = _i ? sdb_changes_next_part(changes, 0, &commit)
                                   : sdb_changes_next(changes, 0, &commit);

            if (status == SDB_NOMEM) continue;
            ck_assert_int_eq(status, SDB_OK);
            if (commit.first) done = 0;
            expect_many(&commit, done, commits ? 10 : 300);
            done += (unsigned)commit.count;
            if (!commit.last) continue;
            ck_assert_uint_eq(done, commits ? 2 : 9000);
            commits++;
        }
        refused = atomic_load(&ledger.left) < 0;
        atomic_store(&ledger.left, -1);
        ck_assert_int_lt(n, 200);
    }
}
END_TEST

START_TEST(senseless_places_are_refused)
{
    uint64_t next;

    keyspace = kv_keyspace(db, "a");
    OK(sdb_changes_open(db, 0, 0, &changes));
    put(1, 500);
    put(2, 500);
    OK(sdb_changes_next(changes, 0, &commit));
    next = commit.next_lsn;
    sdb_changes_close(changes);
    SAYS(sdb_changes_open(db, next + 1, 0, &changes), SDB_INVALID, "no place in the log");
    SAYS(sdb_changes_open(db, next + (1 << 20), 0, &changes), SDB_INVALID, "no place in the log");
    OK(sdb_changes_open(db, next + 8, 0, &changes));
    SAYS(sdb_changes_next(changes, 0, &commit), SDB_INVALID, "no commit begins");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("changes");
    TCase *tcase = tcase_create("stream");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, commits_come_in_order_with_what_they_changed);
    tcase_add_test(tcase, only_durable_commits_come);
    tcase_add_test(tcase, commits_of_any_size_come_whole);
    tcase_add_loop_test(tcase, nothing_is_missed_while_the_log_is_recycled, 0, 2);
    tcase_add_loop_test(tcase, stream_that_falls_behind_is_told_so, 0, 2);
    tcase_add_test(tcase, place_outlives_a_crash);
    tcase_add_loop_test(tcase, large_commits_come_in_parts_and_small_memory, 0, 2);
    tcase_add_loop_test(tcase, too_large_a_commit_is_not_given_whole, 0, 2);
    tcase_add_test(tcase, whole_commits_and_parts_do_not_mix_within_one);
    tcase_add_test(tcase, a_commit_is_kept_while_it_is_taken);
    tcase_add_loop_test(tcase, refused_memory_loses_no_change, 0, 2);
    tcase_add_test(tcase, senseless_places_are_refused);
    suite_add_tcase(suite, tcase);
    return kv_main(suite);
}
