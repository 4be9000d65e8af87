/* SPDX-License-Identifier: Apache-2.0 */
/* test_sim_faults.c: claims about what the simulated disk does wrong (struct sim_faults). */
#include "tests/io/io_fixture.h"
#include "tests/lib/suite.h"

#include <errno.h>

enum { ALWAYS = 65536 };

static struct fixture f;
static struct io_file *file;

static void setup(void)
{
    ck_assert(fixture_begin(&f, SIMULATED, 64));
    OK(sdb__io_parent_sync(f.io, f.folder));
    file = make_file(&f, "a");
    OK(sdb__io_folder_sync(f.io, f.folder));
}

static void teardown(void)
{
    sdb__io_close(file);
    fixture_end(&f, SIMULATED);
}

static void set(struct sim_faults faults)
{
    sdb__sim_set_faults(f.io, &faults);
}

static void fill(int byte, size_t size, uint64_t offset)
{
    static char bytes[65536];

    memset(bytes, byte, size);
    OK(sdb__io_write(f.queue, file, bytes, size, offset));
}

/* The file's contents as a crash with this seed leaves them. */
static void read_after_crash(uint64_t seed, void *memory, size_t size)
{
    struct fixture copy = f;
    struct io_file *other;

    OK(sdb__sim_clone(f.io, seed, &copy.io));
    OK(sdb__io_queue_new(copy.io, 1, &copy.queue));
    other = open_file(&copy, "a", 0);
    OK(sdb__io_read(copy.queue, other, memory, size, 0));
    sdb__io_close(other);
    sdb__io_queue_free(copy.queue);
    sdb__io_free(copy.io);
}

START_TEST(nth_operation_fails_once_whatever_it_is)
{
    char byte = 'x';
    struct io_file *none = NULL;

    set((struct sim_faults){.fail_at = 3});
    OK(sdb__io_write(f.queue, file, &byte, 1, 0));
    OK(sdb__io_read(f.queue, file, &byte, 1, 0));
    IS(sdb__io_sync(f.queue, file), SDB_IO);
    OK(sdb__io_sync(f.queue, file));
    set((struct sim_faults){.fail_at = 1});
    IS(sdb__io_read(f.queue, file, &byte, 1, 0), SDB_IO);
    set((struct sim_faults){.fail_at = 1});
    IS(sdb__io_truncate(file, 0), SDB_IO);
    ck_assert_uint_eq(size_of(file), 1);
    set((struct sim_faults){.fail_at = 1});
    IS(sdb__io_open(f.io, in(&f, "b"), IO_OPEN_WRITE | IO_OPEN_CREATE, &none), SDB_IO);
    IS(sdb__io_open(f.io, in(&f, "b"), IO_OPEN_WRITE, &none), SDB_NOTFOUND);
    set((struct sim_faults){.fail_at = 2});
    OK(sdb__io_folder_sync(f.io, f.folder));
    IS(sdb__io_rename(f.io, in(&f, "a"), in(&f, "b")), SDB_IO);
    OK(sdb__io_rename(f.io, in(&f, "a"), in(&f, "b")));
    set((struct sim_faults){.fail_at = 1});
    set((struct sim_faults){0});
    OK(sdb__io_rename(f.io, in(&f, "b"), in(&f, "a")));
}
END_TEST

START_TEST(nth_write_finds_the_disk_full)
{
    char byte = 'x';

    set((struct sim_faults){.fail_full_at = 2});
    OK(sdb__io_write(f.queue, file, &byte, 1, 0));
    OK(sdb__io_sync(f.queue, file)); /* is no write */
    IS(sdb__io_write(f.queue, file, &byte, 1, 1), SDB_FULL);
    ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "No space left"));
    ck_assert_uint_eq(size_of(file), 1);
    OK(sdb__io_write(f.queue, file, &byte, 1, 1));
}
END_TEST

START_TEST(full_strikes_only_what_grows)
{
    char byte = 'x';
    struct io_op op = op_of(file, IO_ALLOCATE, NULL, 10, 0, 0);

    fill('a', 1000, 0);
    set((struct sim_faults){.full = ALWAYS});
    OK(sdb__io_write(f.queue, file, &byte, 1, 999));
    IS(sdb__io_write(f.queue, file, &byte, 1, 1000), SDB_FULL);
    IS(sdb__io_run(f.queue, &op, 1), SDB_FULL);
    ck_assert_int_eq(op.error, ENOSPC);
}
END_TEST

START_TEST(capacity_is_kept_and_what_fits_is_written)
{
    static char bytes[65536];
    struct io_op op = op_of(file, IO_WRITE, bytes, sizeof bytes, 0, IO_LINK);
    struct io_op ops[] = {op, op_of(file, IO_SYNC, NULL, 0, 0, 0)};

    set((struct sim_faults){.capacity = 40960});
    IS(sdb__io_run(f.queue, ops, 2), SDB_FULL);
    ck_assert_uint_eq(ops[0].done, 40960);
    ck_assert_int_eq(ops[1].status, SDB_CANCELLED);
    ck_assert_uint_eq(size_of(file), 40960);
    fill('b', 40960, 0); /* what is there can be written over */
    OK(sdb__io_truncate(file, 10000));
    fill('c', 8192, 8192);
    IS(sdb__io_write(f.queue, file, bytes, sizeof bytes, 8192), SDB_FULL);
    OK(sdb__io_truncate(file, 0));
    fill('d', 40960, 0);
}
END_TEST

START_TEST(reserved_space_is_not_taken_by_others_and_outlives_a_crash)
{
    static char bytes[65536];
    struct io_file *other = make_file(&f, "b");
    struct io_op op = op_of(file, IO_ALLOCATE, NULL, 40960, 0, 0);

    set((struct sim_faults){.capacity = 65536});
    OK(sdb__io_run(f.queue, &op, 1));
    IS(sdb__io_write(f.queue, other, bytes, 40960, 0), SDB_FULL);
    fill('a', 40960, 0);
    OK(sdb__io_sync(f.queue, file));
    sdb__io_close(other);
    sdb__io_close(file);
    OK(sdb__sim_restart(f.io, 0));
    file = open_file(&f, "a", IO_OPEN_WRITE);
    other = make_file(&f, "b");
    IS(sdb__io_write(f.queue, other, bytes, 40960, 0), SDB_FULL);
    OK(sdb__io_remove(f.io, in(&f, "a")));
    IS(sdb__io_write(f.queue, other, bytes, 40960, 0), SDB_FULL); /* it is still open */
    sdb__io_close(file);
    OK(sdb__io_folder_sync(f.io, f.folder));
    OK(sdb__io_write(f.queue, other, bytes, 40960, 0));
    file = other;
}
END_TEST

START_TEST(read_error_is_an_error)
{
    char byte;
    int failed = 0;

    fill('a', 10, 0);
    set((struct sim_faults){.read_error = ALWAYS});
    IS(sdb__io_read(f.queue, file, &byte, 1, 0), SDB_IO);
    ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "cannot read 1 bytes at offset 0"));
    set((struct sim_faults){.read_error = ALWAYS / 2});
    for (int i = 0; i < 1000; i++) {
        struct io_op op = op_of(file, IO_READ, &byte, 1, 0, 0);

        failed += sdb__io_run(f.queue, &op, 1) != SDB_OK;
    }
    ck_assert_int_gt(failed, 400); /* about half */
    ck_assert_int_lt(failed, 600);
}
END_TEST

START_TEST(failed_write_may_have_been_applied_in_part)
{
    static char bytes[8192], back[8192];
    bool lengths[17] = {false};
    unsigned kinds = 0;

    memset(bytes, 'b', sizeof bytes);
    for (int i = 0; i < 300; i++) {
        size_t part = 0;

        set((struct sim_faults){0});
        fill('a', sizeof bytes, 0);
        set((struct sim_faults){.write_error = ALWAYS});
        IS(sdb__io_write(f.queue, file, bytes, sizeof bytes, 0), SDB_IO);
        OK(sdb__io_read(f.queue, file, back, sizeof back, 0));
        while (part < sizeof back && back[part] == 'b') part++;
        assert_filled(back + part, 'a', sizeof back - part);
        ck_assert_uint_lt(part, sizeof back);
        ck_assert_uint_eq(part % 512, 0);
        kinds += !lengths[part / 512];
        lengths[part / 512] = true;
    }
    ck_assert_uint_eq(kinds, 16);
}
END_TEST

START_TEST(failed_sync_loses_data_though_the_next_one_succeeds)
{
    static char back[4096];
    bool dropped = false, kept = false, reached = false;

    for (int i = 0; i < 200; i++) {
        unsigned now = 0, later = 0;

        set((struct sim_faults){0});
        fill('a', sizeof back, 0);
        OK(sdb__io_sync(f.queue, file));
        fill('b', sizeof back, 0);
        set((struct sim_faults){.sync_error = ALWAYS});
        IS(sdb__io_sync(f.queue, file), SDB_IO);
        ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "close the database and open it again"));
        set((struct sim_faults){0});
        OK(sdb__io_sync(f.queue, file));
        OK(sdb__io_read(f.queue, file, back, sizeof back, 0));
        for (size_t k = 0; k < sizeof back; k++) now += back[k] == 'b';
        read_after_crash(UINT64_MAX, back, sizeof back);
        for (size_t k = 0; k < sizeof back; k++) later += back[k] == 'b';
        ck_assert_uint_le(later, now);
        if (now == sizeof back && later < sizeof back) kept = true; /* it only looks well */
        if (now < sizeof back) dropped = true;
        if (later > 0) reached = true;
    }
    ck_assert(dropped && kept && reached);
}
END_TEST

START_TEST(failed_sync_does_not_forget_the_size)
{
    static char back[10000];

    fill('a', 1000, 0);
    OK(sdb__io_sync(f.queue, file));
    for (int i = 0; i < 100; i++) {
        uint64_t size = 1000 + 50 * (uint64_t)i;

        OK(sdb__io_truncate(file, size));
        fill('b', 500, size);
        set((struct sim_faults){.sync_error = ALWAYS});
        IS(sdb__io_sync(f.queue, file), SDB_IO);
        set((struct sim_faults){0});
        ck_assert_uint_eq(size_of(file), size + 500);
        OK(sdb__io_sync(f.queue, file));
        read_after_crash(0, back, size + 500); /* long enough */
    }
}
END_TEST

START_TEST(lying_sync_makes_nothing_durable)
{
    char back[16];
    struct io *copy;
    struct io_file *none = NULL;

    fill('a', 16, 0);
    OK(sdb__io_sync(f.queue, file));
    set((struct sim_faults){.lying_sync = true});
    fill('b', 16, 0);
    OK(sdb__io_sync(f.queue, file));
    read_after_crash(0, back, 16);
    assert_filled(back, 'a', 16);
    sdb__io_close(make_file(&f, "b"));
    OK(sdb__io_folder_sync(f.io, f.folder));
    OK(sdb__sim_clone(f.io, 0, &copy));
    IS(sdb__io_open(copy, in(&f, "b"), 0, &none), SDB_NOTFOUND);
    sdb__io_free(copy);
    set((struct sim_faults){0});
    OK(sdb__io_sync(f.queue, file)); /* the truth */
    read_after_crash(0, back, 16);
    assert_filled(back, 'b', 16);
}
END_TEST

static unsigned bits_off(const char *memory, char byte, size_t size)
{
    unsigned off = 0;

    for (size_t i = 0; i < size; i++)
        off += (unsigned)__builtin_popcount((unsigned char)(memory[i] ^ byte));
    return off;
}

START_TEST(bit_rot_stays_for_every_later_read)
{
    static char back[5000], again[5000];

    fill('a', sizeof back, 0);
    OK(sdb__io_sync(f.queue, file));
    set((struct sim_faults){.bit_rot = ALWAYS});
    OK(sdb__io_read(f.queue, file, back, sizeof back, 0));
    ck_assert_uint_eq(bits_off(back, 'a', sizeof back), 1);
    set((struct sim_faults){0});
    OK(sdb__io_read(f.queue, file, again, sizeof again, 0));
    ck_assert_int_eq(memcmp(back, again, sizeof back), 0);
    for (uint64_t seed = 0; seed < 20; seed++) {
        read_after_crash(seed, again, sizeof again);
        ck_assert_int_eq(memcmp(back, again, sizeof back), 0);
    }
    fill('a', sizeof back, 0); /* writing it anew heals it */
    OK(sdb__io_read(f.queue, file, again, sizeof again, 0));
    ck_assert_uint_eq(bits_off(again, 'a', sizeof again), 0);
}
END_TEST

START_TEST(flip_flips_one_bit_of_both_images)
{
    char back[100];
    struct io *copy;

    fill('a', 100, 0);
    OK(sdb__io_sync(f.queue, file));
    fill('a', 50, 0); /* in the journal too */
    OK(sdb__sim_clone(f.io, 0, &copy));
    OK(sdb__sim_flip(f.io, in(&f, "a"), 10, 3));
    OK(sdb__io_read(f.queue, file, back, 100, 0));
    ck_assert_int_eq(back[10], 'a' ^ 8);
    ck_assert_uint_eq(bits_off(back, 'a', 100), 1);
    read_after_crash(0, back, 100);
    ck_assert_int_eq(back[10], 'a' ^ 8);
    read_after_crash(UINT64_MAX, back, 100);
    ck_assert_int_eq(back[10], 'a' ^ 8);
    OK(sdb__sim_flip(copy, in(&f, "a"), 10, 3)); /* copies were not touched */
    OK(sdb__sim_flip(copy, in(&f, "a"), 10, 3));
    sdb__io_free(copy);
    IS(sdb__sim_flip(f.io, in(&f, "a"), 100, 0), SDB_NOTFOUND);
    IS(sdb__sim_flip(f.io, in(&f, "no"), 0, 0), SDB_NOTFOUND);
    IS(sdb__sim_flip(f.io, f.folder, 0, 0), SDB_NOTFOUND);
}
END_TEST

START_TEST(short_transfers_are_carried_on_unseen)
{
    static char back[9000];

    set((struct sim_faults){.short_io = ALWAYS});
    for (size_t size = 1; size < sizeof back; size += 371) {
        fill((int)size % 100, size, 10);
        OK(sdb__io_read(f.queue, file, back, size, 10));
        assert_filled(back, (int)size % 100, size);
    }
    for (int i = 0; i < 50; i++) {
        struct io_op op = op_of(file, IO_READ, back, sizeof back, 10, 0);

        OK(sdb__io_run(f.queue, &op, 1));
        ck_assert_uint_eq(op.done, size_of(file) - 10);
    }
}
END_TEST

START_TEST(batch_runs_in_an_order_of_the_seeds_choice_but_for_links)
{
    enum { COUNT = 150 };
    static struct io_op ops[COUNT], *list[COUNT], *got[COUNT];
    char byte = 'x';
    unsigned moved = 0, chains_mixed = 0;
    struct io_queue *queue;

    OK(sdb__io_queue_new(f.io, COUNT, &queue));
    for (unsigned i = 0; i < COUNT; i++) {
        ops[i] = op_of(file, IO_WRITE, &byte, 1, i, i % 10 == 9 ? 0 : IO_LINK);
        list[i] = &ops[i];
    }
    for (int run = 0; run < 10; run++) {
        long last[COUNT / 10];

        for (unsigned i = 0; i < COUNT / 10; i++) last[i] = -1;
        sdb__io_submit(queue, list, COUNT);
        ck_assert_uint_eq(sdb__io_wait(queue, got, COUNT, COUNT), COUNT);
        for (unsigned i = 0; i < COUNT; i++) {
            long index = (long)(got[i] - ops);

            if (index != (long)i) moved++;
            if (i > 0 && index / 10 != (long)(got[i - 1] - ops) / 10) chains_mixed++;
            ck_assert_int_eq(index % 10, (last[index / 10] + 1) % 10); /* in a chain, in order */
            last[index / 10] = index % 10;
        }
    }
    ck_assert_uint_gt(moved, 500);
    ck_assert_uint_gt(chains_mixed, 500);
    sdb__io_queue_free(queue);
}
END_TEST

START_TEST(copy_has_no_faults_and_a_restart_keeps_them)
{
    char byte = 'x';
    struct io *copy;
    struct io_queue *queue;
    struct io_file *other = NULL;

    set((struct sim_faults){.write_error = ALWAYS});
    OK(sdb__sim_clone(f.io, 1, &copy));
    OK(sdb__io_open(copy, in(&f, "a"), IO_OPEN_WRITE, &other));
    OK(sdb__io_queue_new(copy, 1, &queue));
    OK(sdb__io_write(queue, other, &byte, 1, 0));
    ck_assert_uint_eq(sdb__sim_steps(copy), sdb__sim_steps(f.io) + 1);
    sdb__io_queue_free(queue);
    sdb__io_close(other);
    sdb__io_free(copy);
    sdb__io_close(file);
    OK(sdb__sim_restart(f.io, 1));
    file = open_file(&f, "a", IO_OPEN_WRITE);
    IS(sdb__io_write(f.queue, file, &byte, 1, 0), SDB_IO);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("simulated faults");
    TCase *faults = tcase_create("faults");

    tcase_add_checked_fixture(faults, setup, teardown);
    tcase_add_test(faults, nth_operation_fails_once_whatever_it_is);
    tcase_add_test(faults, nth_write_finds_the_disk_full);
    tcase_add_test(faults, full_strikes_only_what_grows);
    tcase_add_test(faults, capacity_is_kept_and_what_fits_is_written);
    tcase_add_test(faults, reserved_space_is_not_taken_by_others_and_outlives_a_crash);
    tcase_add_test(faults, read_error_is_an_error);
    tcase_add_test(faults, failed_write_may_have_been_applied_in_part);
    tcase_add_test(faults, failed_sync_loses_data_though_the_next_one_succeeds);
    tcase_add_test(faults, failed_sync_does_not_forget_the_size);
    tcase_add_test(faults, lying_sync_makes_nothing_durable);
    tcase_add_test(faults, bit_rot_stays_for_every_later_read);
    tcase_add_test(faults, flip_flips_one_bit_of_both_images);
    tcase_add_test(faults, short_transfers_are_carried_on_unseen);
    tcase_add_test(faults, batch_runs_in_an_order_of_the_seeds_choice_but_for_links);
    tcase_add_test(faults, copy_has_no_faults_and_a_restart_keeps_them);
    tcase_set_timeout(faults, 60);
    suite_add_tcase(suite, faults);
    return suite;
}

int main(void)
{
    return suite_run(make_suite());
}
