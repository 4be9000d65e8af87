/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_reaper.c: expired values go by themselves, in a file and in memory, and what change streams
 * and named snapshots make of them; most of it with the system's clock.
 */
#include "tests/kv/kv_fixture.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { START = 1000000 };

static _Atomic uint64_t clock_ms;

static uint64_t tell_time(void)
{
    return atomic_load(&clock_ms);
}

static void wait_until_removed(sdb_db *real, uint64_t wanted)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    sdb_stats stats = {.size = sizeof stats};

    for (int i = 0; i < 1500; i++) {
        OK(sdb_stat(real, &stats));
        if (stats.expired_removed >= wanted) break;
        (void)nanosleep(&pause, NULL);
    }
    ck_assert_uint_eq(stats.expired_removed, wanted);
}

START_TEST(thread_removes_in_the_background)
{
    sdb_options how = SDB_OPTIONS_INIT;
    struct kv_folder folder;
    sdb_keyspace *space;
    char key[16];
    sdb_db *real;
    sdb_txn *txn;

    kv_folder_make(&folder);
    for (int memory = 0; memory < 2; memory++) {
        OK(sdb_open(memory ? ":memory:" : kv_in(&folder, "t.sdb"), &how, &real));
        space = kv_keyspace(real, "a");
        OK(sdb_txn_begin(real, SDB_TXN_BATCH, &txn));
        for (int i = 0; i < 5000; i++)
            MUST(sdb_put_expiring(txn, space,
                                  (sdb_slice){key, (size_t)snprintf(key, sizeof key, "%d", i)},
                                  TEXT("v"), i % 5 ? 1 : 0));
        OK(sdb_txn_commit(txn));
        wait_until_removed(real, 4000);
        OK(sdb_close(real));
    }
    OK(sdb_open(kv_in(&folder, "t.sdb"), &how, &real));
    OK(sdb_keyspace_open(real, "a", SDB_KEYSPACE_MUST_EXIST, &space));
    OK(sdb_put_expiring(NULL, space, TEXT("1"), TEXT("v"), 1));
    wait_until_removed(real, 1);
    OK(sdb_close(real));
    kv_folder_remove(&folder);
}
END_TEST

START_TEST(named_snapshot_shows_what_was_there_at_its_time)
{
    const struct timespec pause = {.tv_nsec = 300000000};
    sdb_options how = kv_options(4096);
    sdb_keyspace *space, *old;
    sdb_db *real, *view;
    uint64_t soon;

    OK(sdb_open(":memory:", &how, &real));
    space = kv_keyspace(real, "a");
    soon = sdb__db_now_ms(real) + 250;
    OK(sdb_put_expiring(NULL, space, TEXT("gone"), TEXT("1"), soon - 250));
    OK(sdb_put_expiring(NULL, space, TEXT("soon"), TEXT("2"), soon));
    OK(sdb_snapshot_make(real, "then"));
    if (sdb__db_now_ms(real) < soon) { /* else this machine is too slow to tell */
        (void)nanosleep(&pause, NULL);
        OK(sdb_expire(real, 0, NULL));
        kv_expect(space, "soon", NULL);
        OK(sdb_snapshot_open(real, "then", &view));
        OK(sdb_keyspace_open(view, "a", SDB_KEYSPACE_MUST_EXIST, &old));
        kv_expect(old, "soon", "2");
        kv_expect(old, "gone", NULL);
        OK(sdb_close(view));
    }
    OK(sdb_close(real));
}
END_TEST

START_TEST(stream_tells_expiries_and_nothing_that_has_expired)
{
    sdb_options how = kv_options(4096);
    struct kv_folder folder;
    sdb_committed commit;
    sdb_changes *changes;
    sdb_keyspace *space;
    sdb_db *real;

    atomic_store(&clock_ms, START);
    kv_folder_make(&folder);
    OK(sdb_open(kv_in(&folder, "t.sdb"), &how, &real));
    sdb__db_set_clock(real, tell_time);
    space = kv_keyspace(real, "a");
    OK(sdb_changes_open(real, 0, MIB, &changes));
    OK(sdb_keyspace_set_ttl(space, 5));
    OK(sdb_put(NULL, space, TEXT("a"), TEXT("1")));
    OK(sdb_put_expiring(NULL, space, TEXT("b"), TEXT("2"), START + 2));
    atomic_store(&clock_ms, START + 3);
    OK(sdb_expire(real, 0, NULL));
    OK(sdb_del(NULL, space, TEXT("a")));
    OK(sdb_changes_next(changes, 0, &commit));
    ck_assert_int_eq(commit.changes[0].kind, SDB_CHANGE_KEYSPACE_TTL);
    ck_assert_uint_eq(commit.changes[0].time_ms, 5);
    OK(sdb_changes_next(changes, 0, &commit));
    ck_assert_int_eq(commit.changes[0].kind, SDB_CHANGE_PUT);
    ck_assert_uint_eq(commit.changes[0].time_ms, START + 5);
    ck_assert(kv_is(commit.changes[0].value, "1"));
    ck_assert_uint_eq(commit.time_ms, START);
    OK(sdb_changes_next(changes, 0, &commit));
    ck_assert_int_eq(commit.changes[0].kind, SDB_CHANGE_DEL);
    ck_assert(kv_is(commit.changes[0].key, "b") && commit.changes[0].value.size == 0);
    OK(sdb_changes_next(changes, 0, &commit));
    ck_assert_uint_eq(commit.count, 0); /* the removal */
    OK(sdb_changes_next(changes, 0, &commit));
    sdb_changes_close(changes);
    OK(sdb_close(real));
    kv_folder_remove(&folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reaper");
    TCase *real = tcase_create("real");

    tcase_set_timeout(real, 60);
    tcase_add_test(real, thread_removes_in_the_background);
    tcase_add_test(real, named_snapshot_shows_what_was_there_at_its_time);
    tcase_add_test(real, stream_tells_expiries_and_nothing_that_has_expired);
    suite_add_tcase(suite, real);
    return kv_main(suite);
}
