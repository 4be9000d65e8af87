/* SPDX-License-Identifier: Apache-2.0 */
/* test_direct.c: claims about direct I/O (engine/io/io.h), the same for all backends. */
#include "tests/io/io_fixture.h"

#include "engine/base/clock.h"
#include "tests/lib/suite.h"

enum { MODEL_BYTES = 2 * 1024 * 1024, ROOM = MODEL_BYTES + IO_BLOCK };

static struct fixture f;

/*
 * A new file of the backend, open for direct I/O; NULL where this machine has no such backend or
 * its file system does not allow it.
 */
static struct io_file *begin(int backend)
{
    struct io_file *file = NULL;
    sdb_status status;

    if (!fixture_begin(&f, backend, 8)) return NULL;
    status = sdb__io_open(f.io, in(&f, "direct"), IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_DIRECT,
                          &file);
    if (status == SDB_OK) return file;
    ck_assert(is_real(backend));
    IS(status, SDB_INVALID);
    printf("not here: %s\n", sdb_errmsg());
    fixture_end(&f, backend);
    return NULL;
}

static void end(struct io_file *file, int backend)
{
    sdb__io_close(file);
    fixture_end(&f, backend);
}

static uint8_t *aligned(size_t size)
{
    uint8_t *memory = aligned_alloc(IO_BLOCK, size);

    ck_assert_ptr_nonnull(memory);
    return memory;
}

/* Submits one operation, which goes as it is. */
static sdb_status submit(struct io_op op)
{
    struct io_op *one = &op;

    sdb__io_submit(f.queue, &one, 1);
    ck_assert_uint_eq(sdb__io_wait(f.queue, &one, 1, 1), 1);
    return op.status;
}

START_TEST(what_is_submitted_must_be_in_whole_blocks)
{
    struct io_file *file = begin(_i);
    uint8_t *memory;
    uint64_t size;

    if (!file) return;
    memory = aligned(4096);
    memset(memory, 7, 4096);
    IS(submit(op_of(file, IO_WRITE, memory, 2048, 512, 0)), SDB_OK);
    IS(submit(op_of(file, IO_WRITE, memory, 2048, 100, 0)), SDB_INVALID);
    IS(submit(op_of(file, IO_WRITE, memory, 2000, 4096, 0)), SDB_INVALID);
    IS(submit(op_of(file, IO_WRITE, memory + 8, 2048, 4096, 0)), SDB_INVALID);
    IS(submit(op_of(file, IO_READ, memory + 8, 512, 512, 0)), SDB_INVALID);
    IS(submit(op_of(file, IO_READ, memory, 512, 8, 0)), SDB_INVALID);
    IS(submit(op_of(file, IO_READ, memory, 5, 512, 0)), SDB_INVALID);
    OK(sdb__io_size(file, &size));
    ck_assert_uint_eq(size, 2560);
    memset(memory, 0, 4096);
    IS(submit(op_of(file, IO_READ, memory, 4096, 512, 0)), SDB_OK);
    ck_assert_uint_eq(memory[0], 7);
    ck_assert_uint_eq(memory[2047], 7);
    ck_assert_uint_eq(memory[2048], 0);
    free(memory);
    end(file, _i);
}
END_TEST

START_TEST(plain_calls_never_begin_inside_a_block)
{
    struct io_file *file = begin(_i);
    char bytes[100] = {0};

    if (!file) return;
    IS(sdb__io_write(f.queue, file, bytes, 100, 100), SDB_INVALID);
    ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "whole blocks of 512 bytes"));
    OK(sdb__io_write(f.queue, file, bytes, 100, 512));
    IS(sdb__io_read(f.queue, file, bytes, 10, 513), SDB_INVALID);
    end(file, _i);
}
END_TEST

/* Against an array: writes are filled up with zeros to whole blocks, reads are as they are. */
START_TEST(plain_calls_take_any_size_and_memory)
{
    struct io_file *file = begin(_i);
    uint64_t random = 4711, size;
    uint8_t *model, *bytes;

    if (!file) return;
    if (getenv("SEED")) random = strtoull(getenv("SEED"), NULL, 0);
    printf("direct: SEED=%llu\n", (unsigned long long)random);
    model = calloc(1, ROOM);
    bytes = malloc(ROOM);
    ck_assert(model && bytes);
    for (int i = 0; i < 60; i++) {
        size_t offset = random_below(&random, MODEL_BYTES / IO_BLOCK) * IO_BLOCK;
        size_t most = MODEL_BYTES - offset, shift = random_below(&random, 3);
        size_t count = 1 + random_below(&random, i % 3 ? (most < 3000 ? most : 3000) : most);
        size_t whole = (count + IO_BLOCK - 1) / IO_BLOCK * IO_BLOCK;

        for (size_t j = 0; j < count; j++) bytes[shift + j] = (uint8_t)random_next(&random);
        OK(sdb__io_write(f.queue, file, bytes + shift, count, offset));
        memset(model + offset, 0, whole);
        memcpy(model + offset, bytes + shift, count);
        OK(sdb__io_size(file, &size));
        offset = random_below(&random, size / IO_BLOCK) * IO_BLOCK;
        count = 1 + random_below(&random, size - offset);
        OK(sdb__io_read(f.queue, file, bytes + shift, count, offset));
        ck_assert_mem_eq(bytes + shift, model + offset, count);
    }
    free(model);
    free(bytes);
    end(file, _i);
}
END_TEST

START_TEST(a_file_may_end_inside_a_block)
{
    struct io_file *file = begin(_i), *plain;
    uint8_t *memory;
    struct io_op ops[2];

    if (!file) return;
    memory = aligned(8192);
    memset(memory, 9, 8192);
    OK(sdb__io_open(f.io, in(&f, "direct"), IO_OPEN_WRITE, &plain));
    OK(sdb__io_write(f.queue, plain, memory, 5000, 0));
    memset(memory, 0, 8192);
    ops[0] = op_of(file, IO_READ, memory, 8192, 0, 0);
    OK(sdb__io_run(f.queue, ops, 1));
    ck_assert_uint_eq(ops[0].done, 5000);
    ck_assert_uint_eq(memory[4999], 9);
    ops[0] = op_of(file, IO_READ, memory, 4096, 4096, 0); /* through the ring, if there is one */
    ops[1] = op_of(file, IO_READ, memory + 4096, 512, 8192, 0);
    OK(sdb__io_run(f.queue, ops, 2));
    ck_assert_uint_eq(ops[0].done, 904);
    ck_assert_uint_eq(ops[1].done, 0);
    OK(sdb__io_read(f.queue, file, memory, 904, 4096));
    IS(sdb__io_read(f.queue, file, memory, 905, 4096), SDB_CORRUPT);
    sdb__io_close(plain);
    free(memory);
    end(file, _i);
}
END_TEST

START_TEST(links_hold_when_a_buffer_is_needed)
{
    struct io_file *file = begin(_i), *reader;
    char bytes[700];
    struct io_op ops[3];
    uint64_t size;

    if (!file) return;
    memset(bytes, 5, sizeof bytes);
    OK(sdb__io_open(f.io, in(&f, "direct"), IO_OPEN_DIRECT, &reader));
    ops[0] = op_of(file, IO_WRITE, bytes, 700, 0, 0);
    ops[1] = op_of(reader, IO_WRITE, bytes, 700, 1024, IO_LINK); /* may not write */
    ops[2] = op_of(file, IO_WRITE, bytes, 700, 4096, 0);
    IS(sdb__io_run(f.queue, ops, 3), SDB_IO);
    IS(ops[0].status, SDB_OK);
    IS(ops[2].status, SDB_CANCELLED);
    OK(sdb__io_size(file, &size));
    ck_assert_uint_eq(size, 1024);
    sdb__io_close(reader);
    end(file, _i);
}
END_TEST

START_TEST(a_refused_buffer_is_an_answer)
{
    struct io_file *file = begin(_i);
    char bytes[700] = {0};

    if (!file) return;
    OK(sdb__io_write(f.queue, file, bytes, 700, 0));
    f.ledger.left = 0;
    IS(sdb__io_write(f.queue, file, bytes, 700, 0), SDB_NOMEM);
    IS(sdb__io_read(f.queue, file, bytes, 700, 0), SDB_NOMEM);
    f.ledger.left = -1;
    OK(sdb__io_read(f.queue, file, bytes, 700, 0));
    end(file, _i);
}
END_TEST

/* The files of /proc are regular, and nobody reads them past a cache. */
START_TEST(a_file_system_that_cannot_do_it_says_so)
{
    struct io_file *file = NULL;

    if (!fixture_begin(&f, _i, 1)) return;
    if (is_real(_i)) {
        IS(sdb__io_open(f.io, "/proc/self/status", IO_OPEN_DIRECT, &file), SDB_INVALID);
        ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "open it without direct I/O"));
    }
    fixture_end(&f, _i);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("direct");
    TCase *tcase = tcase_create("direct");

    tcase_add_loop_test(tcase, what_is_submitted_must_be_in_whole_blocks, 0, BACKENDS);
    tcase_add_loop_test(tcase, plain_calls_never_begin_inside_a_block, 0, BACKENDS);
    tcase_add_loop_test(tcase, plain_calls_take_any_size_and_memory, 0, BACKENDS);
    tcase_add_loop_test(tcase, a_file_may_end_inside_a_block, 0, BACKENDS);
    tcase_add_loop_test(tcase, links_hold_when_a_buffer_is_needed, 0, BACKENDS);
    tcase_add_loop_test(tcase, a_refused_buffer_is_an_answer, 0, BACKENDS);
    tcase_add_loop_test(tcase, a_file_system_that_cannot_do_it_says_so, 0, BACKENDS);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
