/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_wal_crash.c: the power fails before each step of a workload, and what is unsynced survives
 * by several seeds; what was synced is there, and what is delivered is a prefix of what was
 * appended. Then disks that fail or are full.
 */
#include <stdlib.h>
#include <string.h>
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/io/simulated.h"
#include "tests/lib/suite.h"
#include "tests/wal/wal_fixture.h"
#include "wal/wal_internal.h"

static struct fixture f;

static void setup(void)
{
    fixture_init(&f);
    sdb__io_free(f.io);
    OK(sdb__sim_new(f.allocator, 1, &f.io));
}

static void teardown(void)
{
    fixture_done(&f);
}

static void restart(uint64_t seed)
{
    fixture_done(&f);
    fixture_init(&f);
    sdb__io_free(f.io);
    OK(sdb__sim_new(f.allocator, seed, &f.io));
    f.packed = seed % 2 == 0;
}

/* What a crash may not take. */
struct promises {
    size_t from;   /* replay begins here: trimmed before it */
    size_t synced; /* bodies before it are durable */
};

/* Appends, flushes, syncs and trims by `seed` until done or the power fails. */
static void work(uint64_t seed, size_t bodies, struct promises *p)
{
    uint64_t state = seed;

    for (size_t i = 0; i < bodies; i++) {
        uint64_t dice = random_below(&state, 100);
        uint64_t most = dice < 50 ? 600 : dice < 90 ? 50000 : 300000;
        size_t size = 1 + (size_t)random_below(&state, most);

        if (fixture_append(&f, size) != SDB_OK) return;
        dice = random_below(&state, 10);
        if (dice < 5) {
            if (sdb__wal_sync(f.wal, f.ends[f.count - 1]) != SDB_OK) return;
            p->synced = f.count;
        } else if (dice < 7) {
            if (sdb__wal_flush(f.wal, f.ends[f.count - 1]) != SDB_OK) return;
        }
        if (random_below(&state, 6) == 0 && p->synced > p->from) {
            p->from = p->synced;
            if (sdb__wal_trim(f.wal, f.ends[p->from - 1]) != SDB_OK) return;
        }
    }
}

static void expect_promises(const struct promises *p, uint64_t step, uint64_t seed)
{
    struct io *whole = f.io, *crashed;
    sdb_status status;

    OK(sdb__sim_clone(whole, seed, &crashed));
    f.io = crashed;
    status = fixture_replay(&f, p->from);
    ck_assert_msg(status == SDB_OK, "step %llu, seed %llu: %s", (unsigned long long)step,
                  (unsigned long long)seed, sdb_errmsg());
    ck_assert_msg(p->from + f.delivered >= p->synced,
                  "step %llu, seed %llu: bodies %zu…%zu of %zu synced", (unsigned long long)step,
                  (unsigned long long)seed, p->from, p->from + f.delivered, p->synced);
    f.io = whole;
    sdb__io_free(crashed);
}

static void crash_everywhere(uint64_t seed, size_t bodies)
{
    static const uint64_t survivals[] = {0, UINT64_MAX, 1, 2, 3, 4};
    uint64_t first, last;
    struct promises p = {0};

    restart(seed);
    fixture_begin(&f);
    first = sdb__sim_steps(f.io);
    work(seed, bodies, &p);
    last = sdb__sim_steps(f.io);
    ck_assert_uint_eq(f.count, bodies);
    ck_assert_uint_gt(f.wal->tail->number, 6); /* some of them reused */
    ck_assert_uint_gt(last - first, 100);
    ck_assert_uint_gt(p.from, 0);
    for (uint64_t step = first; step <= last; step++) {
        restart(seed);
        fixture_begin(&f);
        p = (struct promises){0};
        sdb__sim_power_off_at(f.io, step);
        work(seed, bodies, &p);
        for (size_t i = 0; i < sizeof survivals / sizeof *survivals; i++)
            expect_promises(&p, step, survivals[i] ? survivals[i] + step * 16 * (i > 1) : 0);
    }
}

START_TEST(crash_at_every_step_keeps_what_was_synced)
{
    crash_everywhere((uint64_t)_i + 1, _i % 2 ? 200 : 100);
}
END_TEST

START_TEST(crash_in_begin_leaves_no_other_log)
{
    uint64_t last;

    fixture_begin(&f);
    last = sdb__sim_steps(f.io);
    for (uint64_t step = 1; step <= last; step++) {
        struct wal_options options = {.allocator = f.allocator,
                                      .folder = FIXTURE_FOLDER,
                                      .identity = f.identity,
                                      .segment_bytes = WAL_SEGMENT_LEAST};
        struct wal *wal = NULL;

        restart(step);
        sdb__sim_power_off_at(f.io, step);
        options.io = f.io;
        ck_assert_int_eq(sdb__wal_begin(&options, &wal), SDB_IO);
        ck_assert_ptr_null(wal);
        sdb__sim_power_off_at(f.io, 0);
        OK(sdb__sim_restart(f.io, step));
        OK(sdb__wal_begin(&options, &f.wal)); /* over whatever is there */
        fixture_add(&f, 1000);
        fixture_sync(&f);
        fixture_replay_all(&f, 0);
        ck_assert_uint_eq(fixture_segment_files(f.io), 1);
    }
}
END_TEST

static void expect_dead(void)
{
    char first[512];

    ck_assert_int_eq(fixture_append(&f, 10), SDB_IO);
    memcpy(first, sdb_errmsg(), strlen(sdb_errmsg()) + 1);
    ck_assert_int_eq(sdb__wal_sync(f.wal, 0), SDB_IO);
    ck_assert_str_eq(sdb_errmsg(), first);
    ck_assert_int_eq(sdb__wal_flush(f.wal, 0), SDB_IO);
    ck_assert_str_eq(sdb_errmsg(), first);
    ck_assert_int_eq(sdb__wal_trim(f.wal, 0), SDB_IO);
    ck_assert_str_eq(sdb_errmsg(), first);
    ck_assert_int_eq(fixture_append(&f, 1 << 20), SDB_IO);
}

START_TEST(failed_sync_kills_the_log)
{
    struct sim_faults faults = {.sync_error = 65536};
    uint64_t durable, steps;

    fixture_begin(&f);
    fixture_add(&f, 1000);
    fixture_sync(&f);
    durable = sdb__wal_durable(f.wal);
    fixture_add(&f, 1000);
    sdb__sim_set_faults(f.io, &faults);
    ck_assert_int_eq(sdb__wal_sync(f.wal, f.ends[1]), SDB_IO);
    sdb__sim_set_faults(f.io, &(struct sim_faults){0}); /* the disk is well again; too late */
    steps = sdb__sim_steps(f.io);
    expect_dead();
    ck_assert_uint_eq(sdb__wal_durable(f.wal), durable);
    ck_assert_uint_eq(sdb__sim_steps(f.io), steps); /* nothing was tried again */
    OK(fixture_replay(&f, 0));
    ck_assert_uint_ge(f.delivered, 1);
}
END_TEST

START_TEST(failed_write_kills_the_log)
{
    struct sim_faults faults = {.write_error = 65536};

    fixture_begin(&f);
    fixture_add(&f, 1000);
    sdb__sim_set_faults(f.io, &faults);
    ck_assert_int_eq(sdb__wal_flush(f.wal, f.ends[0]), SDB_IO);
    sdb__sim_set_faults(f.io, &(struct sim_faults){0});
    expect_dead();
}
END_TEST

START_TEST(any_failed_operation_of_an_append_kills_the_log)
{
    for (uint64_t n = 1;; n++) {
        struct sim_faults faults = {.fail_at = n};
        sdb_status status;

        restart(n);
        fixture_begin(&f);
        fixture_add(&f, 1000);
        fixture_sync(&f);
        sdb__sim_set_faults(f.io, &faults);
        status = fixture_append(&f, 700000);
        if (status == SDB_OK) status = sdb__wal_sync(f.wal, f.ends[1]);
        sdb__sim_set_faults(f.io, &(struct sim_faults){0});
        if (status == SDB_OK) {
            ck_assert_uint_gt(n, 10);
            fixture_replay_all(&f, 0);
            break;
        }
        ck_assert_int_eq(status, SDB_IO);
        expect_dead();
        OK(fixture_replay(&f, 0));
        ck_assert_uint_ge(f.delivered, 1);
    }
}
END_TEST

START_TEST(short_transfers_change_nothing)
{
    struct sim_faults faults = {.short_io = 40000};
    struct promises p = {0};

    sdb__sim_set_faults(f.io, &faults);
    fixture_begin(&f);
    work(3, 60, &p);
    ck_assert_uint_eq(f.count, 60);
    fixture_sync(&f);
    OK(fixture_replay(&f, p.from));
    ck_assert_uint_eq(p.from + f.delivered, 60);
}
END_TEST

START_TEST(full_disk_leaves_the_log_usable)
{
    struct sim_faults faults = {.capacity = 300000};
    uint64_t end;
    struct wal_stats before, after;

    sdb__sim_set_faults(f.io, &faults);
    fixture_begin(&f);
    fixture_add(&f, 100000);
    end = sdb__wal_end(f.wal);
    sdb__wal_stats(f.wal, &before);
    ck_assert_int_eq(fixture_append(&f, 200000), SDB_FULL);
    sdb__wal_stats(f.wal, &after);
    ck_assert_uint_eq(sdb__wal_end(f.wal), end);
    ck_assert_uint_eq(after.records, before.records);  /* nothing was appended */
    ck_assert_uint_eq(fixture_segment_files(f.io), 1); /* no leftover */
    fixture_add(&f, 100000);                           /* there is room for this one */
    fixture_sync(&f);
    ck_assert_int_eq(fixture_append(&f, 200000), SDB_FULL);
    fixture_sync(&f);
    fixture_replay_all(&f, 0);
    sdb__sim_set_faults(f.io, &(struct sim_faults){0}); /* somebody made room */
    fixture_add(&f, 200000);
    fixture_sync(&f);
    fixture_replay_all(&f, 0);
}
END_TEST

START_TEST(full_at_any_write_leaves_the_log_usable)
{
    for (uint64_t n = 1;; n++) {
        struct sim_faults faults = {.fail_full_at = n};
        sdb_status status;

        restart(n);
        fixture_begin(&f);
        fixture_add(&f, 50000);
        fixture_sync(&f);
        sdb__sim_set_faults(f.io, &faults);
        status = fixture_append(&f, 700000); /* makes segments; stays in the buffer */
        sdb__sim_set_faults(f.io, &(struct sim_faults){0});
        if (status == SDB_OK) {
            ck_assert_uint_gt(n, 10);
            break;
        }
        ck_assert_int_eq(status, SDB_FULL);
        ck_assert_uint_eq(f.count, 1);
        fixture_replay_all(&f, 0);
        fixture_add(&f, 1000);
        fixture_add(&f, 700000);
        fixture_sync(&f);
        fixture_replay_all(&f, 0);
    }
}
END_TEST

START_TEST(full_disk_while_reusing_leaves_the_log_usable)
{
    for (uint64_t n = 1;; n++) {
        struct sim_faults faults = {.fail_full_at = n};
        sdb_status status;

        restart(n);
        fixture_begin(&f);
        for (int i = 0; i < 20; i++) fixture_add(&f, 60000);
        fixture_sync(&f);
        OK(sdb__wal_trim(f.wal, f.ends[17]));
        sdb__sim_set_faults(f.io, &faults);
        status = fixture_append(&f, 700000);
        sdb__sim_set_faults(f.io, &(struct sim_faults){0});
        if (status == SDB_OK) {
            ck_assert_uint_gt(n, 3);
            break;
        }
        ck_assert_int_eq(status, SDB_FULL);
        fixture_add(&f, 700000);
        fixture_sync(&f);
        OK(fixture_replay(&f, 18));
        ck_assert_uint_eq(f.delivered, 3);
    }
}
END_TEST

START_TEST(read_errors_are_reported)
{
    struct wal_replay untouched = {.bodies = 42};

    fixture_begin(&f);
    for (int i = 0; i < 10; i++) fixture_add(&f, 60000);
    fixture_sync(&f);
    for (uint64_t n = 1;; n++) {
        struct sim_faults faults = {.fail_at = n};
        sdb_status status;

        sdb__sim_set_faults(f.io, &faults);
        status = sdb__wal_replay(f.io, f.allocator, FIXTURE_FOLDER, &f.identity, 0, NULL, NULL,
                                 NULL, &untouched);
        sdb__sim_set_faults(f.io, &(struct sim_faults){0});
        if (status == SDB_OK) {
            ck_assert_uint_gt(n, 5);
            break;
        }
        ck_assert_int_eq(status, SDB_IO);
        ck_assert_uint_eq(untouched.bodies, 42);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wal_crash");
    TCase *t = tcase_create("crash");

    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, crash_at_every_step_keeps_what_was_synced, 0, 4);
    tcase_add_test(t, crash_in_begin_leaves_no_other_log);
    tcase_add_test(t, failed_sync_kills_the_log);
    tcase_add_test(t, failed_write_kills_the_log);
    tcase_add_test(t, any_failed_operation_of_an_append_kills_the_log);
    tcase_add_test(t, short_transfers_change_nothing);
    tcase_add_test(t, full_disk_leaves_the_log_usable);
    tcase_add_test(t, full_at_any_write_leaves_the_log_usable);
    tcase_add_test(t, full_disk_while_reusing_leaves_the_log_usable);
    tcase_add_test(t, read_errors_are_reported);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
