/* SPDX-License-Identifier: Apache-2.0 */
/* test_wal_threads.c: one leads, the others are carried; no order of threads loses a body. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine/base/bytes.h"
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "tests/lib/suite.h"
#include "tests/wal/wal_fixture.h"
#include "wal/wal_internal.h"

enum { THREADS = 8, ROUNDS = 300 };

static struct fixture f;
static uint64_t last_trim, next_round[THREADS], bodies_seen;
static bool stop;
static pthread_mutex_t commit = PTHREAD_MUTEX_INITIALIZER;

static void setup(void)
{
    fixture_init(&f);
    last_trim = bodies_seen = 0;
    memset(next_round, 0, sizeof next_round);
    stop = false;
}

static void teardown(void)
{
    fixture_done(&f);
}

/* The leader's place is taken by the test: whoever comes now waits. */
static void block_leader(void)
{
    pthread_mutex_lock(&f.wal->mutex);
    ck_assert(!f.wal->leading);
    f.wal->leading = true;
    pthread_mutex_unlock(&f.wal->mutex);
}

static void unblock_leader(void)
{
    pthread_mutex_lock(&f.wal->mutex);
    f.wal->leading = false;
    pthread_cond_broadcast(&f.wal->changed);
    pthread_mutex_unlock(&f.wal->mutex);
}

static void *commit_one(void *unused)
{
    uint64_t end;

    (void)unused;
    pthread_mutex_lock(&commit);
    fixture_add(&f, 100);
    end = f.ends[f.count - 1];
    pthread_mutex_unlock(&commit);
    OK(sdb__wal_sync(f.wal, end));
    ck_assert_uint_ge(sdb__wal_durable(f.wal), end);
    return NULL;
}

START_TEST(those_who_wait_are_carried_by_one_batch)
{
    pthread_t threads[THREADS];
    struct wal_stats stats;

    fixture_begin(&f);
    block_leader();
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, commit_one, NULL), 0);
    while (sdb__wal_end(f.wal) < THREADS * 128) sdb__clock_sleep_ns(100000);
    ck_assert_uint_eq(sdb__wal_durable(f.wal), 0);
    unblock_leader();
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    sdb__wal_stats(f.wal, &stats);
    ck_assert_uint_eq(stats.records, THREADS);
    ck_assert_uint_eq(stats.batches, 1);
    ck_assert_uint_eq(stats.syncs, 1);
    fixture_replay_all(&f, 0);
}
END_TEST

START_TEST(appends_go_on_while_a_leader_writes)
{
    struct wal_stats stats;

    fixture_begin(&f);
    fixture_add(&f, 10);
    block_leader();
    for (int i = 0; i < 15; i++) fixture_add(&f, 60000); /* would hang if it waited */
    unblock_leader();
    sdb__wal_stats(f.wal, &stats);
    ck_assert_uint_eq(stats.batches, 0);
    fixture_sync(&f);
    fixture_replay_all(&f, 0);
}
END_TEST

static void *append_large(void *unused)
{
    (void)unused;
    fixture_add(&f, 3 * WAL_BUFFER_MOST);
    return NULL;
}

START_TEST(append_waits_for_a_leader_when_buffers_are_full)
{
    pthread_t thread;
    uint64_t position = 0;

    fixture_begin(&f);
    block_leader();
    ck_assert_int_eq(pthread_create(&thread, NULL, append_large, NULL), 0);
    while (position < WAL_BUFFER_MOST - 2 * WAL_RECORD_MAX) {
        sdb__clock_sleep_ns(100000);
        pthread_mutex_lock(&f.wal->mutex);
        position = f.wal->position;
        pthread_mutex_unlock(&f.wal->mutex);
    }
    ck_assert_uint_eq(sdb__wal_end(f.wal), 0); /* not there yet */
    unblock_leader();
    pthread_join(thread, NULL);
    fixture_sync(&f);
    fixture_replay_all(&f, 0);
}
END_TEST

static void *refused(void *unused)
{
    sdb_status *status = malloc(sizeof *status);

    (void)unused;
    ck_assert_ptr_nonnull(status);
    *status = sdb__wal_sync(f.wal, UINT64_MAX);
    return status;
}

START_TEST(death_reaches_those_who_wait)
{
    pthread_t threads[THREADS];

    fixture_begin(&f);
    fixture_add(&f, 10);
    block_leader();
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, refused, NULL), 0);
    pthread_mutex_lock(&f.wal->mutex);
    ck_assert_int_eq(sdb__io_remove(f.io, "nowhere/nothing"), SDB_NOTFOUND);
    sdb__wal_group_die_locked(f.wal);
    ck_assert_int_eq(sdb__io_remove(f.io, "something later"), SDB_NOTFOUND);
    sdb__wal_group_die_locked(f.wal); /* the first sentence stays */
    f.wal->leading = false;
    pthread_mutex_unlock(&f.wal->mutex);
    for (int i = 0; i < THREADS; i++) {
        void *status;
        pthread_join(threads[i], &status);
        ck_assert_int_eq(*(sdb_status *)status, SDB_IO);
        free(status);
    }
    ck_assert_int_eq(fixture_append(&f, 10), SDB_IO);
    ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "nowhere/nothing"));
}
END_TEST

/* Each body: thread, round, and a size that follows from both. */
static void *commit_many(void *argument)
{
    uint64_t thread = *(const uint64_t *)argument, state = thread;
    uint8_t *body = calloc(1, 70000);

    ck_assert_ptr_nonnull(body);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        size_t size = 16 + (size_t)random_below(&state, round % 50 ? 400 : 70000 - 16);
        struct wal_piece piece = {body, size};
        uint64_t end;

        put_u64(body, thread);
        put_u64(body + 8, round);
        pthread_mutex_lock(&commit);
        OK(sdb__wal_append(f.wal, &piece, 1, &end));
        pthread_mutex_unlock(&commit);
        if (round % 3 == 0) OK(sdb__wal_flush(f.wal, end));
        OK(sdb__wal_sync(f.wal, end));
        ck_assert_uint_ge(sdb__wal_durable(f.wal), end);
    }
    free(body);
    return NULL;
}

static void *trim_often(void *unused)
{
    struct wal_stats stats;
    bool done = false;

    (void)unused;
    while (!done) {
        pthread_mutex_lock(&commit);
        last_trim = sdb__wal_end(f.wal);
        done = stop;
        pthread_mutex_unlock(&commit);
        OK(sdb__wal_trim(f.wal, last_trim));
        sdb__wal_stats(f.wal, &stats);
        sdb__clock_sleep_ns(300000);
    }
    return NULL;
}

static sdb_status in_order(void *context, uint64_t lsn, const uint8_t *body, size_t size)
{
    uint64_t thread = get_u64(body), round = get_u64(body + 8);

    (void)context;
    (void)lsn;
    (void)size;
    ck_assert_uint_lt(thread, THREADS);
    ck_assert_uint_eq(next_round[thread], round);
    next_round[thread]++;
    bodies_seen++;
    return SDB_OK;
}

static void commit_in_threads(struct io *io, bool trim)
{
    struct wal_options options = {.io = io,
                                  .allocator = f.allocator,
                                  .folder = FIXTURE_FOLDER,
                                  .identity = f.identity,
                                  .segment_bytes = WAL_SEGMENT_LEAST};
    pthread_t threads[THREADS], trimmer;
    uint64_t numbers[THREADS];
    struct wal_replay replay;
    struct wal_stats stats;

    OK(sdb__wal_begin(&options, &f.wal));
    for (uint64_t i = 0; i < THREADS; i++) {
        numbers[i] = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, commit_many, &numbers[i]), 0);
    }
    if (trim) ck_assert_int_eq(pthread_create(&trimmer, NULL, trim_often, NULL), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    if (trim) {
        pthread_mutex_lock(&commit);
        stop = true;
        pthread_mutex_unlock(&commit);
        pthread_join(trimmer, NULL);
    }
    pthread_mutex_lock(&f.wal->mutex);
    ck_assert(sdb__wal_group_check_locked(f.wal));
    pthread_mutex_unlock(&f.wal->mutex);
    sdb__wal_stats(f.wal, &stats);
    ck_assert_uint_ge(stats.records, THREADS * ROUNDS);
    OK(sdb__wal_replay(io, f.allocator, FIXTURE_FOLDER, &f.identity, trim ? last_trim : 0, in_order,
                       NULL, NULL, &replay));
    if (!trim) ck_assert_uint_eq(bodies_seen, THREADS * ROUNDS);
    fixture_close(&f);
    OK(sdb__wal_remove(io, FIXTURE_FOLDER));
}

START_TEST(eight_threads_lose_nothing)
{
    commit_in_threads(f.io, false);
}
END_TEST

START_TEST(eight_threads_and_a_trimmer)
{
    commit_in_threads(f.io, true);
}
END_TEST

/* Goes to a folder of its own on a real disk; leave_folder comes back. */
static struct io *enter_folder(char *folder)
{
    struct io *io;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    OK(sdb__io_new(SDB_BACKEND_AUTO, f.allocator, &io));
    return io;
}

static void leave_folder(struct io *io, const char *folder)
{
    sdb__io_free(io);
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(rmdir(folder), 0);
}

START_TEST(eight_threads_on_real_files)
{
    char folder[] = "/tmp/test-wal-threads-XXXXXX";
    struct io *io = enter_folder(folder);

    commit_in_threads(io, false);
    leave_folder(io, folder);
}
END_TEST

static void *prepare_until_told(void *unused)
{
    (void)unused;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        if (sdb__wal_wants_more(f.wal))
            OK(sdb__wal_prepare(f.wal));
        else
            (void)sched_yield();
    }
    return NULL;
}

/* Sizes on both sides of what is stored at once, ends of windows and of segments in all places. */
START_TEST(windows_fetched_ahead_lose_nothing)
{
    char folder[] = "/tmp/test-wal-threads-XXXXXX";
    struct io *io = enter_folder(folder), *memory = f.io;
    uint64_t state = sdb__random_seed();
    pthread_t preparer;
    size_t trimmed = 0;

    (void)printf("windows: seed %llu\n", (unsigned long long)state);
    f.io = io;
    f.segment_bytes = 1024 * 1024;
    fixture_begin(&f);
    OK(sdb__wal_flush(f.wal, 0));
    ck_assert_int_eq(pthread_create(&preparer, NULL, prepare_until_told, NULL), 0);
    for (int i = 0; i < 4000; i++) {
        uint64_t die = random_below(&state, 100);

        fixture_add(&f, 1 + random_below(&state, die < 3 ? 200000 : die < 20 ? 34000 : 1000));
        OK(sdb__wal_flush(f.wal, sdb__wal_end(f.wal)));
        if (die == 50) fixture_sync(&f);
        if (die == 51) OK(sdb__wal_trim(f.wal, f.ends[trimmed = f.count / 2]));
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    (void)pthread_join(preparer, NULL);
    fixture_sync(&f);
    OK(fixture_replay(&f, trimmed + 1)); /* behind it a reused segment has old bytes */
    ck_assert_uint_eq(f.delivered, f.count - trimmed - 1);
    fixture_close(&f);
    OK(sdb__wal_remove(io, FIXTURE_FOLDER));
    f.io = memory;
    leave_folder(io, folder);
}
END_TEST

START_TEST(nothing_goes_to_the_map_ahead_of_what_a_leader_writes)
{
    char folder[] = "/tmp/test-wal-threads-XXXXXX";
    struct io *io = enter_folder(folder), *memory = f.io;
    uint64_t before;

    f.io = io;
    fixture_begin(&f);
    OK(sdb__wal_flush(f.wal, 0)); /* from now on records may go to the map */
    f.wal->mapping = false;
    fixture_add(&f, 100);
    before = f.wal->written;
    ck_assert_uint_lt(before, sdb__wal_end(f.wal));
    block_leader(); /* who is about to write the first one */
    f.wal->mapping = true;
    fixture_add(&f, 1000);
    ck_assert_uint_eq(f.wal->written, before);
    unblock_leader();
    OK(sdb__wal_flush(f.wal, sdb__wal_end(f.wal)));
    fixture_add(&f, 10); /* this one does */
    ck_assert_uint_eq(f.wal->written, sdb__wal_end(f.wal));
    fixture_sync(&f);
    fixture_replay_all(&f, 0);
    fixture_close(&f);
    OK(sdb__wal_remove(io, FIXTURE_FOLDER));
    f.io = memory;
    leave_folder(io, folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wal_threads");
    TCase *t = tcase_create("threads");

    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, those_who_wait_are_carried_by_one_batch);
    tcase_add_test(t, appends_go_on_while_a_leader_writes);
    tcase_add_test(t, append_waits_for_a_leader_when_buffers_are_full);
    tcase_add_test(t, death_reaches_those_who_wait);
    tcase_add_test(t, eight_threads_lose_nothing);
    tcase_add_test(t, eight_threads_and_a_trimmer);
    tcase_add_test(t, eight_threads_on_real_files);
    tcase_add_test(t, windows_fetched_ahead_lose_nothing);
    tcase_add_test(t, nothing_goes_to_the_map_ahead_of_what_a_leader_writes);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
