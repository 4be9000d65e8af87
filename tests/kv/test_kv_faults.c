/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_kv_faults.c: the n-th operation on the disk fails, for every n of a workload; the disk
 * fills; bits rot.
 *
 * A failed call says so with the right status, nothing that was acknowledged is lost, and a handle
 * is either dead everywhere or as good as before.
 */
#include "tests/crash/crash_workload.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"

enum { LENGTH = 30 };

static struct io *io;
static struct work *work;

static void begin(uint64_t seed)
{
    io = kv_disk(seed);
    work = malloc(sizeof *work);
    ck_assert_ptr_nonnull(work);
    work_init(work, io, seed, LENGTH);
}

static void end(void)
{
    work_done(work);
    free(work);
    sdb__io_free(io);
}

/* Without faults the database opens and holds all that was promised. */
static void expect_promises(uint64_t n)
{
    struct sim_faults none = {0};
    sdb_stats stats = {.size = sizeof stats};
    sdb_db *db;

    sdb__sim_set_faults(io, &none);
    db = kv_open(io, &work->options);
    OK(sdb_stat(db, &stats));
    ck_assert_msg(stats.commit_sequence >= work->promised && stats.commit_sequence <= work->tried,
                  "fault %llu: commit %llu of %u…%u", (unsigned long long)n,
                  (unsigned long long)stats.commit_sequence, work->promised, work->tried);
    ck_assert_uint_eq(work_sum(db), work->sums[stats.commit_sequence]);
    kv_check_sound(db);
    OK(sdb_close(db));
}

START_TEST(nothing_acknowledged_is_lost_when_any_operation_fails)
{
    uint64_t seed = kv_seed("test_kv_faults", 51), n = 1;
    bool finished = false;

    for (; !finished; n++) {
        struct sim_faults faults = {.fail_at = n};

        begin(seed);
        sdb__sim_set_faults(io, &faults);
        work_run(work);
        finished = work->ended == SDB_OK && n > 400;
        ck_assert_msg(work->ended == SDB_OK || work->ended == SDB_IO, "fault %llu: %s (%s)",
                      (unsigned long long)n, sdb_status_name(work->ended), sdb_errmsg());
        if (n % 2) OK(sdb__sim_restart(io, n % 4 == 1 ? 0 : n));
        expect_promises(n);
        end();
    }
}
END_TEST

START_TEST(nothing_acknowledged_is_lost_when_the_disk_is_full_for_a_moment)
{
    uint64_t seed = kv_seed("test_kv_faults", 52);

    for (uint64_t n = 1; n < 160; n++) {
        struct sim_faults faults = {.fail_full_at = n};

        begin(seed);
        sdb__sim_set_faults(io, &faults);
        work_run(work);
        ck_assert_msg(work->ended == SDB_OK || work->ended == SDB_FULL ||
                          work->ended == SDB_IO, /* the log, or a superblock */
                      "fault %llu: %s (%s)", (unsigned long long)n, sdb_status_name(work->ended),
                      sdb_errmsg());
        expect_promises(n);
        end();
    }
}
END_TEST

START_TEST(syncs_that_fail_at_random_lose_nothing_acknowledged)
{
    uint64_t seed = kv_seed("test_kv_faults", 53);

    for (uint64_t n = 1; n < 60; n++) {
        struct sim_faults faults = {.sync_error = 1500};

        begin(seed + n);
        sdb__sim_set_faults(io, &faults);
        work_run(work);
        ck_assert_msg(work->ended == SDB_OK || work->ended == SDB_IO, "%s (%s)",
                      sdb_status_name(work->ended), sdb_errmsg());
        OK(sdb__sim_restart(io, n % 3 ? n : 0));
        expect_promises(n);
        end();
    }
}
END_TEST

START_TEST(short_reads_and_writes_are_carried_on)
{
    struct sim_faults faults = {.short_io = 20000};

    begin(54);
    sdb__sim_set_faults(io, &faults);
    work_run(work);
    ck_assert_int_eq(work->ended, SDB_OK);
    expect_promises(0);
    end();
}
END_TEST

/* ---- a handle after a fault --------------------------------------------------------------- */

static sdb_db *db;
static sdb_keyspace *keyspace;

static void open_small(void)
{
    sdb_options options = kv_options(4096);

    io = kv_disk(5);
    db = kv_open(io, &options);
    keyspace = kv_keyspace(db, "a");
    kv_put_text(keyspace, "old", "1");
}

static void set_sync_error(bool on)
{
    struct sim_faults faults = {.sync_error = on ? 65536 : 0};

    sdb__sim_set_faults(io, &faults);
}

/* Every call that could answer anything else answers that the handle is dead. */
static void expect_dead(sdb_txn *reader, sdb_txn *writer, sdb_cursor *cursor)
{
    char name[SDB_KEYSPACE_NAME_MAX + 1];
    sdb_keyspace *other;
    sdb_slice value, key;
    size_t size;
    uint64_t count;
    sdb_txn *txn;

    SAYS(sdb_get(reader, keyspace, TEXT("old"), &value), SDB_IO, "dead");
    SAYS(sdb_count(reader, keyspace, NULL, &count), SDB_IO, "dead");
    SAYS(sdb_cursor_next(cursor, &key, &value), SDB_IO, "dead");
    SAYS(sdb_cursor_seek(cursor, TEXT("x"), &key, &value), SDB_IO, "dead");
    SAYS(sdb_put(writer, keyspace, TEXT("x"), TEXT("y")), SDB_IO, "dead");
    SAYS(sdb_del(writer, keyspace, TEXT("x")), SDB_IO, "dead");
    SAYS(sdb_insert(writer, keyspace, TEXT("x"), TEXT("y")), SDB_IO, "dead");
    SAYS(sdb_put(NULL, keyspace, TEXT("x"), TEXT("y")), SDB_IO, "dead");
    SAYS(sdb_get_copy(keyspace, TEXT("old"), NULL, 0, &size), SDB_IO, "dead");
    SAYS(sdb_txn_begin(db, SDB_TXN_READ, &txn), SDB_IO, "dead");
    SAYS(sdb_keyspace_open(db, "a", 0, &other), SDB_IO, "dead");
    SAYS(sdb_keyspace_next(db, NULL, name), SDB_IO, "dead");
    SAYS(sdb_keyspace_drop(keyspace), SDB_IO, "dead");
    SAYS(sdb_checkpoint(db), SDB_IO, "dead");
    SAYS(sdb_sync(db), SDB_IO, "dead");
    SAYS(sdb_backup(db, "copy.sdb", NULL, NULL), SDB_IO, "dead");
    SAYS(sdb_check(db, NULL, NULL, NULL, NULL), SDB_IO, "dead");
    sdb_cursor_close(cursor);
    SAYS(sdb_txn_commit(writer), SDB_IO, "dead");
    SAYS(sdb_txn_commit(reader), SDB_IO, "dead");
}

/* A handle with a reader, a writer and a cursor open dies from `kill`; a new one has `old`. */
static void expect_death(sdb_status (*kill)(void))
{
    struct sim_faults none = {0};
    sdb_options options = kv_options(4096);
    sdb_txn *reader, *writer;
    sdb_cursor *cursor;
    uint64_t steps;

    open_small();
    OK(sdb_txn_begin(db, SDB_TXN_READ, &reader));
    OK(sdb_txn_begin(db, SDB_TXN_WRITE, &writer));
    OK(sdb_put(writer, keyspace, TEXT("mine"), TEXT("2")));
    OK(sdb_cursor_open(reader, keyspace, NULL, &cursor));
    IS(kill(), SDB_IO);
    sdb__sim_set_faults(io, &none);
    steps = sdb__sim_steps(io);
    expect_dead(reader, writer, cursor);
    SAYS(sdb_close(db), SDB_IO, "dead");
    ck_assert_uint_eq(sdb__sim_steps(io), steps); /* nothing more was written */
    OK(sdb__sim_restart(io, 0));
    db = kv_open(io, &options);
    kv_expect(kv_keyspace(db, "a"), "old", "1");
    kv_expect(kv_keyspace(db, "a"), "mine", NULL);
    OK(sdb_close(db));
    sdb__io_free(io);
}

static sdb_status kill_by_commit(void)
{
    set_sync_error(true);
    return sdb_put(NULL, keyspace, TEXT("new"), TEXT("x"));
}

static sdb_status kill_by_sync(void)
{
    sdb_txn *txn;

    OK(sdb_txn_begin(db, SDB_TXN_BATCH, &txn));
    OK(sdb_put(txn, keyspace, TEXT("lazy"), TEXT("x")));
    sdb_txn_set_durability(txn, SDB_DURABILITY_NONE);
    OK(sdb_txn_commit(txn));
    set_sync_error(true);
    return sdb_sync(db);
}

static sdb_status kill_by_log_write(void)
{
    struct sim_faults faults = {.write_error = 65536};

    sdb__sim_set_faults(io, &faults);
    return sdb_put(NULL, keyspace, TEXT("new"), TEXT("x"));
}

static sdb_status kill_by_big_log_write(void)
{
    static uint8_t big[3 * MIB];
    struct sim_faults faults = {.write_error = 65536};
    sdb_txn *txn;

    OK(sdb_txn_begin(db, SDB_TXN_BATCH, &txn));
    for (int i = 0; i < 3000; i++)
        OK(sdb_put(txn, keyspace, (sdb_slice){&i, sizeof i}, (sdb_slice){big, 1000}));
    sdb__sim_set_faults(io, &faults);
    return sdb_txn_commit(txn);
}

START_TEST(failed_sync_of_a_commit_kills_the_handle)
{
    expect_death(kill_by_commit);
}
END_TEST

START_TEST(failed_sync_of_sdb_sync_kills_the_handle)
{
    expect_death(kill_by_sync);
}
END_TEST

START_TEST(failed_log_write_kills_the_handle)
{
    expect_death(kill_by_log_write);
}
END_TEST

START_TEST(failed_log_write_in_mid_commit_kills_the_handle)
{
    expect_death(kill_by_big_log_write);
}
END_TEST

static sdb_status kill_by_checkpoint_sync(void)
{
    kv_put_text(keyspace, "old", "1");
    set_sync_error(true);
    return sdb_checkpoint(db);
}

START_TEST(failed_sync_of_a_checkpoint_kills_the_handle)
{
    expect_death(kill_by_checkpoint_sync);
}
END_TEST

START_TEST(full_disk_leaves_the_handle_usable)
{
    struct sim_faults full = {.capacity = 1}, none = {0};
    sdb_options options = kv_options(4096);
    static uint8_t big[200 * KIB];
    sdb_txn *txn;
    sdb_slice value;
    unsigned refused = 0, written = 0;

    open_small();
    sdb__sim_set_faults(io, &full);
    for (int i = 0; i < 400; i++) {
        sdb_status status = sdb_put(NULL, keyspace, (sdb_slice){&i, sizeof i},
                                    (sdb_slice){big, i % 3 ? 500 : sizeof big});

        ck_assert_msg(status == SDB_OK || status == SDB_FULL, "put %d: %s (%s)", i,
                      sdb_status_name(status), sdb_errmsg());
        refused += status == SDB_FULL;
        written += status == SDB_OK;
        if (i % 20 == 0) kv_expect(keyspace, "old", "1");
    }
    ck_assert_uint_gt(refused, 100);
    ck_assert_uint_gt(written, 3);
    IS(sdb_checkpoint(db), SDB_FULL);
    OK(sdb_txn_begin(db, SDB_TXN_WRITE, &txn));
    OK(sdb_get(txn, keyspace, TEXT("old"), &value));
    OK(sdb_put(txn, keyspace, TEXT("old"), (sdb_slice){big, sizeof big}));
    IS(sdb_txn_commit(txn), SDB_FULL);
    kv_expect(keyspace, "old", "1");
    sdb__sim_set_faults(io, &none);
    OK(sdb_put(NULL, keyspace, TEXT("new"), (sdb_slice){big, sizeof big}));
    OK(sdb_checkpoint(db));
    kv_check_sound(db);
    OK(sdb__sim_restart(io, 0));
    (void)!sdb_close(db);
    db = kv_open(io, &options);
    kv_expect(kv_keyspace(db, "a"), "old", "1");
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(a_commit_for_which_the_log_has_no_room_has_not_happened)
{
    struct sim_faults full = {.capacity = 1}, none = {0};
    sdb_options options = kv_options(4096);
    static uint8_t value[500];
    size_t size;
    int i = 0;

    open_small();
    sdb__sim_set_faults(io, &full);
    while (sdb_put(NULL, keyspace, (sdb_slice){&i, sizeof i}, (sdb_slice){value, sizeof value}) ==
           SDB_OK)
        ck_assert_int_lt(++i, 1000);
    IS(sdb_put(NULL, keyspace, (sdb_slice){&i, sizeof i}, (sdb_slice){value, sizeof value}),
       SDB_FULL);
    ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "-wal")); /* it is the log that wants more */
    IS(sdb_get_copy(keyspace, (sdb_slice){&i, sizeof i}, NULL, 0, &size), SDB_NOTFOUND);
    sdb__sim_set_faults(io, &none);
    kv_put_text(keyspace, "new", "2");
    OK(sdb__sim_restart(io, 0));
    (void)!sdb_close(db);
    db = kv_open(io, &options);
    keyspace = kv_keyspace(db, "a");
    kv_expect(keyspace, "new", "2");
    IS(sdb_get_copy(keyspace, (sdb_slice){&i, sizeof i}, NULL, 0, &size), SDB_NOTFOUND);
    while (i-- > 0)
        IS(sdb_get_copy(keyspace, (sdb_slice){&i, sizeof i}, NULL, 0, &size), SDB_LIMIT);
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(full_disk_at_close_loses_nothing)
{
    struct sim_faults full = {.capacity = 1}, none = {0};
    sdb_options options = kv_options(4096);

    open_small();
    for (char c = 'a'; c < 'z'; c++)
        OK(sdb_put(NULL, keyspace, (sdb_slice){&c, 1}, (sdb_slice){db->path, 3}));
    sdb__sim_set_faults(io, &full);
    IS(sdb_close(db), SDB_FULL);
    IS(sdb__db_open(io, KV_PATH, &options, &db), SDB_FULL);
    sdb__sim_set_faults(io, &none);
    db = kv_open(io, &options);
    kv_expect(kv_keyspace(db, "a"), "y", "t.s");
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(log_of_many_segments_is_needed_until_the_superblock_is_written)
{
    static uint8_t value[60 * KIB];
    sdb_options options = kv_options(4096);
    bool finished = false;

    for (uint64_t step = 1; !finished; step++) {
        open_small();
        for (int i = 0; i < 30; i++)
            OK(sdb_put(NULL, keyspace, (sdb_slice){&i, sizeof i},
                       (sdb_slice){value, sizeof value}));
        sdb__sim_power_off_at(io, sdb__sim_steps(io) + step);
        finished = sdb_checkpoint(db) == SDB_OK;
        sdb__sim_power_off_at(io, sdb__sim_steps(io)); /* now at the latest */
        (void)!sdb_close(db);
        OK(sdb__sim_restart(io, step % 3 ? step : 0));
        db = kv_open(io, &options);
        keyspace = kv_keyspace(db, "a");
        for (int i = 0; i < 30; i++) {
            size_t size;

            IS(sdb_get_copy(keyspace, (sdb_slice){&i, sizeof i}, NULL, 0, &size), SDB_LIMIT);
            ck_assert_uint_eq(size, sizeof value);
        }
        OK(sdb_close(db));
        sdb__io_free(io);
    }
}
END_TEST

/* ---- rot ---------------------------------------------------------------------------------- */

START_TEST(rotten_bits_are_told_never_taken_for_data)
{
    uint64_t random = kv_seed("test_kv_faults", 55);
    unsigned corrupt = 0, sound = 0;

    begin(random);
    work_run(work);
    ck_assert_int_eq(work->ended, SDB_OK);
    for (int i = 0; i < 200; i++) {
        struct io *copy;
        struct io_file *file;
        uint64_t bytes, sum;
        sdb_status status;

        OK(sdb__sim_clone(io, 0, &copy));
        OK(sdb__io_open(copy, KV_PATH, 0, &file));
        OK(sdb__io_size(file, &bytes));
        sdb__io_close(file);
        for (int k = 0; k < 3; k++)
            OK(sdb__sim_flip(copy, KV_PATH, random_below(&random, bytes),
                             (unsigned)random_below(&random, 8)));
        status = sdb__db_open(copy, KV_PATH, &work->options, &db);
        if (status == SDB_OK) {
            sdb_txn *txn;
            sdb_cursor *cursor;
            sdb_slice key, value;
            char name[SDB_KEYSPACE_NAME_MAX + 1], *after = NULL;

            OK(sdb_txn_begin(db, SDB_TXN_READ, &txn));
            while (status == SDB_OK && sdb_keyspace_next(db, after, name) == SDB_OK) {
                OK(sdb_keyspace_open(db, name, 0, &keyspace));
                OK(sdb_cursor_open(txn, keyspace, NULL, &cursor));
                while ((status = sdb_cursor_next(cursor, &key, &value)) == SDB_OK) continue;
                if (status == SDB_END) status = SDB_OK;
                sdb_cursor_close(cursor);
                after = name;
            }
            sdb_txn_abort(txn);
            sum = status == SDB_OK ? work_sum(db) : 0;
            if (status == SDB_OK) ck_assert_uint_eq(sum, work->sums[work->tried]);
            (void)!sdb_close(db);
        }
        ck_assert_msg(status == SDB_OK || status == SDB_CORRUPT || status == SDB_INVALID, "%s (%s)",
                      sdb_status_name(status), sdb_errmsg());
        corrupt += status != SDB_OK;
        sound += status == SDB_OK;
        sdb__io_free(copy);
    }
    ck_assert_uint_gt(corrupt, 20);
    ck_assert_uint_gt(sound, 0);
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kv_faults");
    TCase *every = tcase_create("every"), *handle = tcase_create("handle");

    tcase_set_timeout(every, 120);
    tcase_add_test(every, nothing_acknowledged_is_lost_when_any_operation_fails);
    tcase_add_test(every, nothing_acknowledged_is_lost_when_the_disk_is_full_for_a_moment);
    tcase_add_test(every, syncs_that_fail_at_random_lose_nothing_acknowledged);
    tcase_add_test(every, short_reads_and_writes_are_carried_on);
    suite_add_tcase(suite, every);
    tcase_add_test(handle, failed_sync_of_a_commit_kills_the_handle);
    tcase_add_test(handle, failed_sync_of_sdb_sync_kills_the_handle);
    tcase_add_test(handle, failed_sync_of_a_checkpoint_kills_the_handle);
    tcase_add_test(handle, failed_log_write_kills_the_handle);
    tcase_add_test(handle, failed_log_write_in_mid_commit_kills_the_handle);
    tcase_add_test(handle, full_disk_leaves_the_handle_usable);
    tcase_add_test(handle, a_commit_for_which_the_log_has_no_room_has_not_happened);
    tcase_add_test(handle, full_disk_at_close_loses_nothing);
    tcase_add_test(handle, log_of_many_segments_is_needed_until_the_superblock_is_written);
    tcase_add_test(handle, rotten_bits_are_told_never_taken_for_data);
    suite_add_tcase(suite, handle);
    return kv_main(suite);
}
