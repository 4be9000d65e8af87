/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_io.c: claims about operations (engine/io/io.h) that hold for every backend. Each case runs
 * once a backend, numbered by _i: io_uring, posix, memory, simulated.
 */
#include "tests/io/io_fixture.h"
#include "tests/lib/suite.h"

#include <errno.h>

#define BEGIN(depth)                                                                               \
    struct fixture f;                                                                              \
    if (!fixture_begin(&f, _i, (depth))) return
#define END() fixture_end(&f, _i)

START_TEST(written_bytes_read_back)
{
    static const size_t sizes[] = {1, 7, 511, 512, 4096, 65536, 200001};
    static char out[200001], back[200001];
    uint64_t offset = 3;
    BEGIN(4);
    struct io_file *file = make_file(&f, "a");

    for (size_t i = 0; i < sizeof out; i++) out[i] = (char)(i * 31 + i / 256);
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        OK(sdb__io_write(f.queue, file, out, sizes[k], offset));
        memset(back, 0, sizeof back);
        OK(sdb__io_read(f.queue, file, back, sizes[k], offset));
        ck_assert_int_eq(memcmp(out, back, sizes[k]), 0);
        offset += sizes[k];
        ck_assert_uint_eq(size_of(file), offset);
    }
    OK(sdb__io_sync(f.queue, file));
    sdb__io_close(file);
    END();
}
END_TEST

START_TEST(read_is_short_only_at_end_of_file)
{
    char out[100], back[100];
    BEGIN(4);
    struct io_file *file = make_file(&f, "a");
    struct io_op op = op_of(file, IO_READ, back, sizeof back, 60, 0), *list[] = {&op};

    memset(out, 'x', sizeof out);
    OK(sdb__io_write(f.queue, file, out, sizeof out, 0));
    for (int run = 0; run < 2; run++) { /* by the plain call, and by the queue */
        memset(back, '-', sizeof back);
        if (run == 0) {
            OK(sdb__io_run(f.queue, &op, 1));
        } else {
            sdb__io_submit(f.queue, list, 1);
            ck_assert_uint_eq(sdb__io_wait(f.queue, list, 1, 1), 1);
            ck_assert_ptr_eq(list[0], &op);
        }
        ck_assert_int_eq(op.status, SDB_OK);
        ck_assert_uint_eq(op.done, 40);
        assert_filled(back, 'x', 40);
        assert_filled(back + 40, '-', 60);
    }
    op.offset = 100;
    OK(sdb__io_run(f.queue, &op, 1));
    ck_assert_uint_eq(op.done, 0);
    op.offset = 5000;
    OK(sdb__io_run(f.queue, &op, 1));
    ck_assert_uint_eq(op.done, 0);
    sdb__io_close(file);
    END();
}
END_TEST

START_TEST(incomplete_plain_read_says_where_the_file_ends)
{
    char back[100];
    BEGIN(4);
    struct io_file *file = make_file(&f, "cut");

    OK(sdb__io_write(f.queue, file, "0123456789", 10, 0));
    IS(sdb__io_read(f.queue, file, back, 100, 4), SDB_CORRUPT);
    ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "cut ends at 10"));
    sdb__io_close(file);
    END();
}
END_TEST

START_TEST(write_behind_the_end_leaves_zeros_between)
{
    static char back[300000];
    BEGIN(4);
    struct io_file *file = make_file(&f, "a");

    OK(sdb__io_write(f.queue, file, "a", 1, 0));
    OK(sdb__io_write(f.queue, file, "z", 1, sizeof back - 1));
    OK(sdb__io_read(f.queue, file, back, sizeof back, 0));
    ck_assert_int_eq(back[0], 'a');
    assert_filled(back + 1, 0, sizeof back - 2);
    ck_assert_int_eq(back[sizeof back - 1], 'z');
    sdb__io_close(file);
    END();
}
END_TEST

START_TEST(no_bytes_are_moved_at_once)
{
    BEGIN(4);
    struct io_file *file = make_file(&f, "a");
    struct io_op ops[] = {
        op_of(file, IO_READ, NULL, 0, 0, IO_LINK), op_of(file, IO_WRITE, NULL, 0, 9, IO_LINK),
        op_of(file, IO_ALLOCATE, NULL, 0, 9, IO_LINK), op_of(file, IO_PUNCH, NULL, 0, 9, IO_LINK),
        op_of(file, IO_SYNC, NULL, 0, 0, 0)};

    OK(sdb__io_run(f.queue, ops, 5));
    for (int i = 0; i < 5; i++) ck_assert_int_eq(ops[i].status, SDB_OK);
    ck_assert_uint_eq(size_of(file), 0);
    sdb__io_close(file);
    END();
}
END_TEST

START_TEST(impossible_range_is_refused)
{
    char byte = 0;
    BEGIN(4);
    struct io_file *file = make_file(&f, "a");
    struct io_op ops[] = {op_of(file, IO_WRITE, &byte, 1, UINT64_MAX - 5, 0),
                          op_of(file, IO_READ, &byte, 1, (uint64_t)INT64_MAX, 0),
                          op_of(file, IO_WRITE, &byte, 1, (uint64_t)1 << 62, 0)};

    IS(sdb__io_run(f.queue, ops, 2), SDB_IO);
    ck_assert_int_eq(ops[0].error, EINVAL);
    ck_assert_int_eq(ops[1].error, EINVAL);
    IS(sdb__io_run(f.queue, ops + 2, 1), SDB_FULL); /* possible, but no disk is that large */
    ck_assert_uint_eq(size_of(file), 0);
    IS(sdb__io_truncate(file, UINT64_MAX), SDB_FULL);
    IS(sdb__io_truncate(file, (uint64_t)1 << 62), SDB_FULL);
    sdb__io_close(file);
    END();
}
END_TEST

START_TEST(file_open_for_reading_refuses_changes)
{
    char byte = 0;
    BEGIN(4);
    struct io_file *file;
    int64_t holder = 0;

    sdb__io_close(make_file(&f, "a"));
    file = open_file(&f, "a", 0);
    IS(sdb__io_write(f.queue, file, &byte, 1, 0), SDB_IO);
    ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "open for reading only"));
    IS(sdb__io_truncate(file, 5), SDB_READONLY);
    IS(sdb__io_lock(file, IO_LOCK_EXCLUSIVE, &holder), SDB_READONLY);
    OK(sdb__io_lock(file, IO_LOCK_SHARED, &holder));
    ck_assert_uint_eq(size_of(file), 0);
    sdb__io_close(file);
    END();
}
END_TEST

/* ---- space ---- */

START_TEST(allocated_space_reads_as_zeros_and_keeps_what_was_there)
{
    static char back[20000];
    BEGIN(4);
    struct io_file *file = make_file(&f, "a");
    struct io_op op = op_of(file, IO_ALLOCATE, NULL, 15000, 5000, 0);

    memset(back, 'a', 6000);
    OK(sdb__io_write(f.queue, file, back, 6000, 0));
    if (sdb__io_run(f.queue, &op, 1) != SDB_INVALID) { /* some file systems cannot */
        ck_assert_int_eq(op.status, SDB_OK);
        ck_assert_uint_eq(size_of(file), 20000);
        OK(sdb__io_read(f.queue, file, back, 20000, 0));
        assert_filled(back, 'a', 6000);
        assert_filled(back + 6000, 0, 14000);
    } else {
        ck_assert(is_real(_i));
    }
    sdb__io_close(file);
    END();
}
END_TEST

START_TEST(punched_space_reads_as_zeros_and_keeps_the_size)
{
    static char back[300000];
    BEGIN(4);
    struct io_file *file = make_file(&f, "a");
    struct io_op op = op_of(file, IO_PUNCH, NULL, 200000, 1000, 0);

    memset(back, 'a', sizeof back);
    OK(sdb__io_write(f.queue, file, back, sizeof back, 0));
    if (sdb__io_run(f.queue, &op, 1) != SDB_INVALID) {
        ck_assert_int_eq(op.status, SDB_OK);
        op.offset = 290000; /* over the end, and behind it */
        OK(sdb__io_run(f.queue, &op, 1));
        op.offset = 1000000;
        OK(sdb__io_run(f.queue, &op, 1));
        ck_assert_uint_eq(size_of(file), sizeof back);
        OK(sdb__io_read(f.queue, file, back, sizeof back, 0));
        assert_filled(back, 'a', 1000);
        assert_filled(back + 1000, 0, 200000);
        assert_filled(back + 201000, 'a', 89000);
        assert_filled(back + 290000, 0, 10000);
    } else {
        ck_assert(is_real(_i));
    }
    sdb__io_close(file);
    END();
}
END_TEST

START_TEST(what_truncation_cuts_off_is_zeros_when_it_grows_again)
{
    static char back[200000];
    BEGIN(4);
    struct io_file *file = make_file(&f, "a");

    memset(back, 'a', sizeof back);
    OK(sdb__io_write(f.queue, file, back, sizeof back, 0));
    OK(sdb__io_truncate(file, 70001));
    ck_assert_uint_eq(size_of(file), 70001);
    OK(sdb__io_truncate(file, 80000));
    OK(sdb__io_write(f.queue, file, "z", 1, sizeof back - 1));
    OK(sdb__io_read(f.queue, file, back, sizeof back, 0));
    assert_filled(back, 'a', 70001);
    assert_filled(back + 70001, 0, sizeof back - 70002);
    OK(sdb__io_truncate(file, 0));
    ck_assert_uint_eq(size_of(file), 0);
    sdb__io_close(file);
    END();
}
END_TEST

/* ---- memory ---- */

/* A run through everything; every call may answer SDB_NOMEM. */
static sdb_status walk(struct io *io, const char *folder, const char *path, const char *other)
{
    struct io_file *file = NULL, *again = NULL;
    struct io_queue *queue = NULL;
    char bytes[9000] = {0};
    int64_t holder = 0;
    sdb_status status = sdb__io_queue_new(io, 4, &queue);

    if (status == SDB_OK) status = sdb__io_open(io, path, IO_OPEN_WRITE | IO_OPEN_CREATE, &file);
    if (status == SDB_OK) status = sdb__io_lock(file, IO_LOCK_EXCLUSIVE, &holder);
    if (status == SDB_OK) status = sdb__io_write(queue, file, bytes, sizeof bytes, 0);
    if (status == SDB_OK) status = sdb__io_write(queue, file, bytes, sizeof bytes, 1000000);
    if (status == SDB_OK) {
        struct io_op ops[] = {op_of(file, IO_WRITE, bytes, 9000, 5000, IO_LINK),
                              op_of(file, IO_ALLOCATE, NULL, 90000, 40000, IO_LINK),
                              op_of(file, IO_WRITE, bytes, 100, 50000, IO_LINK),
                              op_of(file, IO_PUNCH, NULL, 9000, 7000, IO_LINK),
                              op_of(file, IO_SYNC, NULL, 0, 0, IO_LINK),
                              op_of(file, IO_READ, bytes, 9000, 0, 0)};
        status = sdb__io_run(queue, ops, 6);
    }
    if (status == SDB_OK) status = sdb__io_truncate(file, 300);
    if (status == SDB_OK) status = sdb__io_open(io, path, 0, &again);
    if (status == SDB_OK) status = sdb__io_folder_make(io, other);
    if (status == SDB_OK) status = sdb__io_folder_remove(io, other);
    if (status == SDB_OK) status = sdb__io_rename(io, path, other);
    if (status == SDB_OK) status = sdb__io_folder_sync(io, folder);
    if (status == SDB_OK) status = sdb__io_remove(io, other);
    if (status == SDB_OK) status = sdb__io_parent_sync(io, path);
    sdb__io_close(again);
    sdb__io_close(file);
    sdb__io_queue_free(queue);
    return status;
}

START_TEST(nth_allocation_fails_cleanly)
{
    long asked = -1;

    for (long n = 0; n != asked; n++) {
        struct fixture f;
        char path[512], other[512];
        long before;
        sdb_status status;

        f.queue = NULL;
        if (!fixture_io(&f, _i)) return;
        fixture_folder(&f, _i);
        (void)snprintf(path, sizeof path, "%s", in(&f, "a"));
        (void)snprintf(other, sizeof other, "%s", in(&f, "b"));
        before = f.ledger.asked;
        f.ledger.left = asked < 0 ? -1 : n;
        status = walk(f.io, f.folder, path, other);
        f.ledger.left = -1;
        if (asked < 0) { /* the first run only counts */
            ck_assert_msg(status == SDB_OK, "%s", sdb_errmsg());
            asked = f.ledger.asked - before;
            n = -1;
        } else {
            ck_assert_msg(status == SDB_NOMEM, "allocation %ld of %ld: %s %s", n, asked,
                          sdb_status_name(status), sdb_errmsg());
            status = sdb__io_remove(f.io, path); /* and the disk still works */
            if (status == SDB_NOTFOUND) status = sdb__io_remove(f.io, other);
            ck_assert(status == SDB_OK || status == SDB_NOTFOUND || status == SDB_INVALID);
            if (status == SDB_INVALID) OK(sdb__io_folder_remove(f.io, other));
            OK(walk(f.io, f.folder, path, other));
        }
        fixture_end(&f, _i);
    }
}
END_TEST

START_TEST(backend_whose_allocation_fails_is_not_made)
{
    for (long n = 0;; n++) {
        struct ledger ledger = {.left = n};
        sdb_allocator allocator = {ledger_resize, &ledger};
        struct io *io = NULL;
        sdb_status status = _i == MEMORY      ? sdb__io_new_memory(&allocator, &io)
                            : _i == SIMULATED ? sdb__sim_new(&allocator, 1, &io)
                            : _i == POSIX     ? sdb__io_new(SDB_BACKEND_POSIX, &allocator, &io)
                                              : sdb__io_new(SDB_BACKEND_AUTO, &allocator, &io);
        if (status == SDB_OK) {
            ck_assert_int_gt(n, 0);
            sdb__io_free(io);
            ck_assert_int_eq(ledger.out, 0);
            return;
        }
        ck_assert_int_eq(status, SDB_NOMEM);
        ck_assert_ptr_null(io);
        ck_assert_int_eq(ledger.out, 0);
    }
}
END_TEST

START_TEST(backend_is_named)
{
    static const char *const names[] = {"io_uring", "posix", "memory", "simulated"};
    struct io *io = NULL;
    BEGIN(1);

    ck_assert_str_eq(sdb__io_name(f.io), names[_i]);
    ck_assert_str_eq(sdb__io_note(f.io), "");
    IS(sdb__io_new((sdb_backend)9, NULL, &io), SDB_INVALID);
    ck_assert_ptr_null(io);
    END();
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("io");
    TCase *ops = tcase_create("ops");
    TCase *space = tcase_create("space");
    TCase *memory = tcase_create("memory");

#define EACH(tcase, test) tcase_add_loop_test(tcase, test, 0, BACKENDS)
    EACH(ops, written_bytes_read_back);
    EACH(ops, read_is_short_only_at_end_of_file);
    EACH(ops, incomplete_plain_read_says_where_the_file_ends);
    EACH(ops, write_behind_the_end_leaves_zeros_between);
    EACH(ops, no_bytes_are_moved_at_once);
    EACH(ops, impossible_range_is_refused);
    EACH(ops, file_open_for_reading_refuses_changes);
    EACH(ops, backend_is_named);
    EACH(space, allocated_space_reads_as_zeros_and_keeps_what_was_there);
    EACH(space, punched_space_reads_as_zeros_and_keeps_the_size);
    EACH(space, what_truncation_cuts_off_is_zeros_when_it_grows_again);
    EACH(memory, nth_allocation_fails_cleanly);
    EACH(memory, backend_whose_allocation_fails_is_not_made);
#undef EACH
    tcase_set_timeout(memory, 120);
    suite_add_tcase(suite, ops);
    suite_add_tcase(suite, space);
    suite_add_tcase(suite, memory);
    return suite;
}

int main(void)
{
    return suite_run(make_suite());
}
