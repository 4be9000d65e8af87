/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_sim_restart.c: claims about restarts, copies and repetition of the simulated disk
 * (engine/io/simulated.h).
 */
#include "tests/io/sim_fixture.h"
#include "engine/base/clock.h"
#include "tests/lib/suite.h"

/* ---- restarting ---- */

START_TEST(restart_detaches_handles_and_drops_locks)
{
    int64_t holder = 0;
    uint64_t size;
    char byte;
    struct io_file *file = durable_file("a", 'a', 16), *again;

    OK(sdb__io_lock(file, IO_LOCK_EXCLUSIVE, &holder));
    OK(sdb__sim_restart(f.io, 1));
    IS(sdb__io_read(f.queue, file, &byte, 1, 0), SDB_IO);
    IS(sdb__io_write(f.queue, file, &byte, 1, 0), SDB_IO);
    IS(sdb__io_sync(f.queue, file), SDB_IO);
    IS(sdb__io_size(file, &size), SDB_IO);
    IS(sdb__io_truncate(file, 0), SDB_IO);
    IS(sdb__io_lock(file, IO_LOCK_SHARED, &holder), SDB_IO);
    again = open_file(&f, "a", IO_OPEN_WRITE);
    OK(sdb__io_lock(again, IO_LOCK_EXCLUSIVE, &holder));
    ck_assert_uint_eq(size_of(again), 16);
    sdb__io_close(file);
    sdb__io_close(again);
}
END_TEST

START_TEST(power_fails_before_the_ordered_step_and_nothing_changes_after)
{
    char back[64];
    struct io_file *file = durable_file("a", 'a', 16), *none = NULL;
    uint64_t steps = sdb__sim_steps(f.io);

    sdb__sim_power_off_at(f.io, steps + 2);
    fill(file, 'b', 1, 0);
    ck_assert(!sdb__sim_is_off(f.io));
    OK(sdb__io_read(f.queue, file, back, 16, 0)); /* reads are no steps */
    IS(sdb__io_sync(f.queue, file), SDB_IO);
    ck_assert(sdb__sim_is_off(f.io));
    ck_assert_uint_eq(sdb__sim_steps(f.io), steps + 1);
    IS(sdb__io_read(f.queue, file, back, 1, 0), SDB_IO);
    IS(sdb__io_write(f.queue, file, back, 1, 0), SDB_IO);
    IS(sdb__io_open(f.io, in(&f, "a"), 0, &none), SDB_IO);
    IS(sdb__io_open(f.io, in(&f, "no"), 0, &none), SDB_IO);
    IS(sdb__io_remove(f.io, in(&f, "a")), SDB_IO);
    IS(sdb__io_rename(f.io, in(&f, "a"), in(&f, "b")), SDB_IO);
    IS(sdb__io_folder_sync(f.io, f.folder), SDB_IO);
    IS(sdb__io_truncate(file, 3), SDB_IO);
    ck_assert_uint_eq(sdb__sim_steps(f.io), steps + 1);
    sdb__io_close(file);
    ck_assert_int_eq(after_crash("a", 0, back, 16), 16);
    assert_filled(back, 'a', 16);
    OK(sdb__sim_restart(f.io, UINT64_MAX));
    ck_assert(!sdb__sim_is_off(f.io));
    file = open_file(&f, "a", IO_OPEN_WRITE);
    OK(sdb__io_read(f.queue, file, back, 16, 0));
    ck_assert_int_eq(back[0], 'b');
    OK(sdb__io_sync(f.queue, file)); /* the order went with the restart */
    sdb__io_close(file);
}
END_TEST

START_TEST(order_to_power_off_can_be_taken_back)
{
    struct io_file *file = durable_file("a", 'a', 16);

    sdb__sim_power_off_at(f.io, sdb__sim_steps(f.io) + 1);
    sdb__sim_power_off_at(f.io, 0);
    fill(file, 'b', 1, 0);
    ck_assert(!sdb__sim_is_off(f.io));
    sdb__sim_power_off_at(f.io, 1); /* long past: now */
    IS(sdb__io_sync(f.queue, file), SDB_IO);
    ck_assert(sdb__sim_is_off(f.io));
    sdb__io_close(file);
}
END_TEST

START_TEST(steps_count_what_could_change_the_durable_state)
{
    char back[4] = "abc";
    uint64_t steps;
    struct io_file *file = make_file(&f, "a");
    struct io_op op = op_of(file, IO_ALLOCATE, NULL, 10, 0, 0);
    struct io_op punch = op_of(file, IO_PUNCH, NULL, 10, 0, 0);

    steps = sdb__sim_steps(f.io);
#define STEPS(call, count)                                                                         \
    do {                                                                                           \
        call;                                                                                      \
        ck_assert_msg(sdb__sim_steps(f.io) == steps + (count), "%s", #call);                       \
        steps = sdb__sim_steps(f.io);                                                              \
    } while (0)
    STEPS(OK(sdb__io_write(f.queue, file, back, 3, 0)), 1);
    STEPS(OK(sdb__io_read(f.queue, file, back, 3, 0)), 0);
    STEPS(OK(sdb__io_sync(f.queue, file)), 1);
    STEPS(OK(sdb__io_run(f.queue, &op, 1)), 1);
    STEPS(OK(sdb__io_run(f.queue, &punch, 1)), 1);
    STEPS(OK(sdb__io_truncate(file, 1)), 1);
    STEPS(OK(sdb__io_rename(f.io, in(&f, "a"), in(&f, "b"))), 1);
    STEPS(OK(sdb__io_folder_sync(f.io, f.folder)), 1);
    STEPS(OK(sdb__io_folder_make(f.io, in(&f, "x"))), 1);
    STEPS(OK(sdb__io_folder_remove(f.io, in(&f, "x"))), 1);
    STEPS(sdb__io_close(open_file(&f, "b", IO_OPEN_WRITE | IO_OPEN_CREATE)), 0);
    STEPS(sdb__io_close(make_file(&f, "c")), 1);
    STEPS(OK(sdb__io_remove(f.io, in(&f, "b"))), 1);
    STEPS(IS(sdb__io_remove(f.io, in(&f, "b")), SDB_NOTFOUND), 0);
#undef STEPS
    sdb__io_close(file);
}
END_TEST

/* ---- copies ---- */

START_TEST(copies_are_independent_and_outlive_the_original)
{
    char back[16];
    struct fixture copy = f;
    struct io_file *file = durable_file("a", 'a', 16), *other;
    struct io *first;

    OK(sdb__sim_clone(f.io, 5, &copy.io));
    OK(sdb__io_queue_new(copy.io, 4, &copy.queue));
    other = open_file(&copy, "a", IO_OPEN_WRITE);
    OK(sdb__io_write(copy.queue, other, "new", 3, 0));
    OK(sdb__io_sync(copy.queue, other));
    OK(sdb__io_remove(copy.io, in(&f, "a")));
    OK(sdb__io_read(f.queue, file, back, 16, 0));
    assert_filled(back, 'a', 16);
    fill(file, 'z', 16, 0);
    OK(sdb__io_read(copy.queue, other, back, 4, 0));
    ck_assert_int_eq(memcmp(back, "newa", 4), 0);
    first = f.io; /* now the original goes, and the copy takes its place */
    sdb__io_close(file);
    sdb__io_queue_free(f.queue);
    sdb__io_free(first);
    f.io = copy.io;
    f.queue = copy.queue;
    OK(sdb__io_read(f.queue, other, back, 4, 0));
    ck_assert_int_eq(memcmp(back, "newa", 4), 0);
    sdb__io_close(other);
}
END_TEST

START_TEST(copy_is_what_a_restart_with_the_same_seed_gives)
{
    static char one[6000], two[6000];
    struct io_file *file = durable_file("a", 'a', 3000);

    fill(file, 'b', 3000, 1000);
    fill(file, 'c', 700, 2500);
    OK(sdb__io_truncate(file, 3900));
    for (uint64_t seed = 1; seed < 50; seed++) {
        long size = after_crash("a", seed, one, sizeof one);

        memset(two, 0, sizeof two);
        ck_assert_int_eq(after_crash("a", seed, two, sizeof two), size);
        ck_assert_int_eq(memcmp(one, two, (size_t)size), 0);
    }
    (void)after_crash("a", 77, one, sizeof one);
    sdb__io_close(file);
    OK(sdb__sim_restart(f.io, 77));
    file = open_file(&f, "a", 0);
    OK(sdb__io_read(f.queue, file, two, (size_t)size_of(file), 0));
    ck_assert_int_eq(memcmp(one, two, (size_t)size_of(file)), 0);
    sdb__io_close(file);
}
END_TEST

START_TEST(copy_shares_what_did_not_change)
{
    struct io_file *file = durable_file("big", 'a', 65536);
    struct io *copy;
    long before;

    for (unsigned i = 1; i < 64; i++) fill(file, 'a', 65536, i * 65536);
    OK(sdb__io_sync(f.queue, file)); /* 4 MiB: a thousand chunks */
    fill(file, 'b', 5000, 100000);
    before = f.ledger.asked;
    OK(sdb__sim_clone(f.io, 3, &copy));
    ck_assert_int_lt(f.ledger.asked - before, 40);
    sdb__io_free(copy);
    sdb__io_close(file);
}
END_TEST

START_TEST(copy_or_restart_without_memory_changes_nothing)
{
    char back[16];
    struct io_file *file = durable_file("a", 'a', 16);

    fill(file, 'b', 16, 0);
    sdb__io_close(make_file(&f, "b"));
    for (long n = 0;; n++) {
        struct io *copy = NULL;
        sdb_status status;

        f.ledger.left = n;
        status = sdb__sim_clone(f.io, 3, &copy);
        if (status == SDB_OK) {
            f.ledger.left = -1;
            sdb__io_free(copy);
            break;
        }
        ck_assert_int_eq(status, SDB_NOMEM);
        ck_assert_ptr_null(copy);
        IS(sdb__sim_restart(f.io, 3), SDB_NOMEM);
        f.ledger.left = -1;
        OK(sdb__io_read(f.queue, file, back, 16, 0)); /* still attached */
        assert_filled(back, 'b', 16);
    }
    sdb__io_close(file);
}
END_TEST

/* ---- everything at once ---- */

struct journal {
    uint64_t digest;
    unsigned failures;
};

static void mix(struct journal *journal, uint64_t value)
{
    journal->digest = (journal->digest ^ value) * 0x100000001b3u;
}

/*
 * A random workload on a disk of its own, under faults, and a crash: everything seen, as one
 * number.
 */
static struct journal run_workload(uint64_t disk_seed, uint64_t seed)
{
    struct sim_faults faults = {.read_error = 500,
                                .write_error = 1500,
                                .sync_error = 1500,
                                .full = 800,
                                .short_io = 6000,
                                .bit_rot = 900,
                                .capacity = 300000};
    static unsigned char bytes[20000], back[20000];
    struct journal journal = {1, 0};
    struct io_file *file = NULL;
    struct io_queue *queue;
    struct io *io;

    OK(sdb__sim_new(NULL, disk_seed, &io));
    OK(sdb__io_queue_new(io, 8, &queue));
    OK(sdb__io_open(io, "a", IO_OPEN_WRITE | IO_OPEN_CREATE, &file));
    OK(sdb__io_folder_sync(io, "."));
    sdb__sim_set_faults(io, &faults);
    for (int round = 0; round < 300; round++) {
        struct io_op ops[6], *list[6], *got[6];
        size_t count = 1 + (size_t)random_below(&seed, 6);

        for (size_t i = 0; i < count; i++) {
            static const enum io_kind kinds[] = {IO_READ, IO_WRITE,    IO_WRITE,
                                                 IO_SYNC, IO_ALLOCATE, IO_PUNCH};
            size_t size = 1 + (size_t)random_below(&seed, 3000);

            memset(bytes + i * 3000, (int)random_below(&seed, 256), size);
            ops[i] = op_of(file, kinds[random_below(&seed, 6)], bytes + i * 3000, size,
                           random_below(&seed, 400000), random_below(&seed, 2) ? IO_LINK : 0);
            list[i] = &ops[i];
        }
        sdb__io_submit(queue, list, count);
        ck_assert_uint_eq(sdb__io_wait(queue, got, 6, 6), count);
        for (size_t i = 0; i < count; i++) {
            mix(&journal, (uint64_t)(got[i] - ops) * 1000 + (uint64_t)(got[i]->status + 50));
            mix(&journal, got[i]->done);
            journal.failures += got[i]->status != SDB_OK;
            for (size_t k = 0; k < got[i]->done; k++)
                mix(&journal, ((unsigned char *)got[i]->memory)[k]);
        }
        if (round % 50 == 49) {
            sdb__io_close(file);
            OK(sdb__sim_restart(io, random_next(&seed)));
            while (sdb__io_open(io, "a", IO_OPEN_WRITE, &file) == SDB_IO) continue;
            mix(&journal, size_of(file));
        }
    }
    sdb__sim_set_faults(io, &(struct sim_faults){0});
    for (uint64_t at = 0; at < size_of(file); at += sizeof back) {
        struct io_op op = op_of(file, IO_READ, back, sizeof back, at, 0);

        OK(sdb__io_run(queue, &op, 1));
        for (size_t k = 0; k < op.done; k++) mix(&journal, back[k]);
    }
    sdb__io_close(file);
    sdb__io_queue_free(queue);
    sdb__io_free(io);
    return journal;
}

START_TEST(same_seed_gives_the_same_run)
{
    struct journal first = run_workload(1, 2), same = run_workload(1, 2);
    struct journal other = run_workload(3, 2);

    ck_assert_uint_gt(first.failures, 20);
    ck_assert_uint_eq(first.digest, same.digest);
    ck_assert_uint_ne(first.digest, other.digest);
}
END_TEST

/* Cached contents, size first, as one number. */
static uint64_t digest_of(struct io *io, const char *path)
{
    static unsigned char back[100000];
    struct journal journal = {1, 0};
    struct io_file *file = NULL;
    struct io_queue *queue;
    struct io_op op;

    OK(sdb__io_open(io, path, 0, &file));
    OK(sdb__io_queue_new(io, 1, &queue));
    op = op_of(file, IO_READ, back, sizeof back, 0, 0);
    OK(sdb__io_run(queue, &op, 1));
    mix(&journal, size_of(file));
    for (size_t i = 0; i < op.done; i++) mix(&journal, back[i]);
    sdb__io_queue_free(queue);
    sdb__io_close(file);
    return journal.digest;
}

START_TEST(crash_that_keeps_everything_equals_the_cache_and_one_after_a_sync_too)
{
    uint64_t random = sdb__random_seed(), seed = random;
    struct io_file *file = durable_file("a", 'a', 5000);
    struct io *copy;

    for (int round = 0; round < 300; round++) {
        uint64_t offset = random_below(&random, 60000), size = 1 + random_below(&random, 20000);
        struct io_op op = op_of(file, random_below(&random, 2) ? IO_PUNCH : IO_ALLOCATE, NULL,
                                (size_t)size, offset, 0);
        uint64_t what = random_below(&random, 6), crash = UINT64_MAX;

        if (what < 3) fill(file, (int)random_below(&random, 256), (size_t)size, offset);
        if (what == 3) OK(sdb__io_run(f.queue, &op, 1));
        if (what == 4) OK(sdb__io_truncate(file, offset));
        if (what == 5) OK(sdb__io_sync(f.queue, file));
        if (what == 5) crash = random_next(&random);
        OK(sdb__sim_clone(f.io, crash, &copy));
        ck_assert_msg(digest_of(copy, in(&f, "a")) == digest_of(f.io, in(&f, "a")),
                      "seed %llu, round %d", (unsigned long long)seed, round);
        sdb__io_free(copy);
    }
    sdb__io_close(file);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("simulated restarts");
    TCase *restarts = tcase_create("restarts");
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(restarts, setup, teardown);
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(restarts, restart_detaches_handles_and_drops_locks);
    tcase_add_test(restarts, power_fails_before_the_ordered_step_and_nothing_changes_after);
    tcase_add_test(restarts, order_to_power_off_can_be_taken_back);
    tcase_add_test(restarts, steps_count_what_could_change_the_durable_state);
    tcase_add_test(restarts, copies_are_independent_and_outlive_the_original);
    tcase_add_test(restarts, copy_is_what_a_restart_with_the_same_seed_gives);
    tcase_add_test(restarts, copy_shares_what_did_not_change);
    tcase_add_test(restarts, copy_or_restart_without_memory_changes_nothing);
    tcase_add_test(all, same_seed_gives_the_same_run);
    tcase_add_test(all, crash_that_keeps_everything_equals_the_cache_and_one_after_a_sync_too);
    tcase_set_timeout(restarts, 120);
    tcase_set_timeout(all, 120);
    suite_add_tcase(suite, restarts);
    suite_add_tcase(suite, all);
    return suite;
}

int main(void)
{
    return suite_run(make_suite());
}
