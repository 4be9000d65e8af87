/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_io_queue.c: claims about links, batches and queues (engine/io/io.h) that hold for every
 * backend. Each case runs once a backend, numbered by _i: io_uring, posix, memory, simulated.
 */
#include "tests/io/io_fixture.h"
#include "engine/base/clock.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <pthread.h>

#define BEGIN(depth)                                                                               \
    struct fixture f;                                                                              \
    if (!fixture_begin(&f, _i, (depth))) return
#define END() fixture_end(&f, _i)

/* ---- links ---- */

START_TEST(linked_sync_is_cancelled_when_write_fails)
{
    char byte = 'x';
    BEGIN(4);
    struct io_file *file = make_file(&f, "a"), *reader = open_file(&f, "a", 0);
    struct io_op ops[] = {
        op_of(file, IO_WRITE, &byte, 1, 0, IO_LINK), op_of(reader, IO_WRITE, &byte, 1, 1, IO_LINK),
        op_of(file, IO_WRITE, &byte, 1, 2, IO_LINK), op_of(file, IO_SYNC, NULL, 0, 0, 0)};
    struct io_stats stats;

    IS(sdb__io_run(f.queue, ops, 4), SDB_IO);
    ck_assert_int_eq(ops[0].status, SDB_OK);
    ck_assert_int_eq(ops[1].status, SDB_IO);
    ck_assert_int_eq(ops[2].status, SDB_CANCELLED);
    ck_assert_int_eq(ops[3].status, SDB_CANCELLED);
    ck_assert_uint_eq(size_of(file), 1);
    sdb__io_stats(f.io, &stats);
    ck_assert_uint_eq(stats.syncs, 0);
    IS(sdb__io_fail(&ops[3]), SDB_CANCELLED);
    ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "cannot sync"));
    sdb__io_close(file);
    sdb__io_close(reader);
    END();
}
END_TEST

START_TEST(failure_that_the_disk_finds_cancels_the_rest_of_its_chain_only)
{
    char byte = 'x';
    BEGIN(16);
    struct io_file *file = make_file(&f, "a");
    uint64_t far = (uint64_t)1 << 62;
    struct io_op ops[] = {op_of(file, IO_WRITE, &byte, 1, 0, 0),
                          op_of(file, IO_WRITE, &byte, 1, far, IO_LINK),
                          op_of(file, IO_WRITE, &byte, 1, 100, IO_LINK),
                          op_of(file, IO_SYNC, NULL, 0, 0, 0),
                          op_of(file, IO_WRITE, &byte, 1, 1, IO_LINK),
                          op_of(file, IO_SYNC, NULL, 0, 0, 0)};

    IS(sdb__io_run(f.queue, ops, 6), SDB_FULL);
    ck_assert_int_eq(ops[0].status, SDB_OK);
    ck_assert_int_eq(ops[1].status, SDB_FULL);
    ck_assert_int_eq(ops[2].status, SDB_CANCELLED);
    ck_assert_int_eq(ops[3].status, SDB_CANCELLED);
    ck_assert_int_eq(ops[4].status, SDB_OK);
    ck_assert_int_eq(ops[5].status, SDB_OK);
    ck_assert_uint_eq(size_of(file), 2);
    sdb__io_close(file);
    END();
}
END_TEST

START_TEST(short_read_at_the_end_does_not_break_a_link)
{
    char back[100], byte = 'y';
    BEGIN(8);
    struct io_file *file = make_file(&f, "a");
    struct io_op ops[] = {
        op_of(file, IO_READ, back, 100, 0, IO_LINK), op_of(file, IO_READ, back, 100, 50, IO_LINK),
        op_of(file, IO_WRITE, &byte, 1, 0, IO_LINK), op_of(file, IO_SYNC, NULL, 0, 0, 0)};

    OK(sdb__io_write(f.queue, file, "abc", 3, 0));
    OK(sdb__io_run(f.queue, ops, 4));
    ck_assert_uint_eq(ops[0].done, 3);
    ck_assert_uint_eq(ops[1].done, 0);
    OK(sdb__io_read(f.queue, file, back, 1, 0));
    ck_assert_int_eq(back[0], 'y');
    sdb__io_close(file);
    END();
}
END_TEST

START_TEST(chain_longer_than_the_queue_runs_in_order)
{
    enum { COUNT = 300 };
    static uint32_t values[COUNT];
    static struct io_op ops[COUNT];
    uint32_t back;
    BEGIN(8);
    struct io_file *file = make_file(&f, "a");

    /* All write the same place: whatever runs out of order, the last would not win. */
    for (uint32_t i = 0; i < COUNT; i++) {
        values[i] = i;
        ops[i] = op_of(file, IO_WRITE, &values[i], sizeof values[i], 0, IO_LINK);
    }
    for (int run = 0; run < 20; run++) {
        OK(sdb__io_run(f.queue, ops, COUNT));
        OK(sdb__io_read(f.queue, file, &back, sizeof back, 0));
        ck_assert_uint_eq(back, COUNT - 1);
    }
    /* Link by link, a read sees the write in front of it. */
    for (size_t i = 0; i + 1 < COUNT; i += 2)
        ops[i + 1] = op_of(file, IO_READ, &values[i + 1], sizeof values[i], 0, IO_LINK);
    OK(sdb__io_run(f.queue, ops, COUNT));
    for (size_t i = 0; i + 1 < COUNT; i += 2) ck_assert_uint_eq(values[i + 1], values[i]);
    sdb__io_close(file);
    END();
}
END_TEST

START_TEST(failure_in_a_long_chain_cancels_everything_behind_it)
{
    enum { COUNT = 400, BAD = 130 };
    static struct io_op ops[COUNT];
    char byte = 'x';
    BEGIN(8);
    struct io_file *file = make_file(&f, "a");

    for (unsigned i = 0; i < COUNT; i++)
        ops[i] = op_of(file, IO_WRITE, &byte, 1, i == BAD ? (uint64_t)1 << 62 : i,
                       i == COUNT - 2 ? 0 : IO_LINK); /* the last one is on its own */
    for (int run = 0; run < 2; run++) { /* broken inside a batch, and between two of sdb__io_run */
        IS(sdb__io_run(f.queue, ops, COUNT), SDB_FULL);
        for (unsigned i = 0; i < COUNT; i++)
            ck_assert_int_eq(ops[i].status, i < (unsigned)BAD          ? SDB_OK
                                            : i == (unsigned)BAD       ? SDB_FULL
                                            : i == (unsigned)COUNT - 1 ? SDB_OK
                                                                       : SDB_CANCELLED);
        ck_assert_uint_eq(size_of(file), COUNT);
    }
    sdb__io_close(file);
    END();
}
END_TEST

/* ---- queues ---- */

START_TEST(batch_larger_than_the_queue_comes_back_whole)
{
    enum { COUNT = 1000 };
    static struct io_op ops[COUNT], *list[COUNT];
    static char out[COUNT][64];
    char back[64];
    size_t count = 0;
    BEGIN(3);
    struct io_file *file = make_file(&f, "a");

    for (unsigned i = 0; i < COUNT; i++) {
        memset(out[i], (int)(i % 251), 64);
        ops[i] = op_of(file, IO_WRITE, out[i], 64, i * 64, i % 5 ? IO_LINK : 0);
        ops[i].context = &ops[i];
        list[i] = &ops[i];
    }
    sdb__io_submit(f.queue, list, COUNT);
    while (count < COUNT) {
        struct io_op *got[7];
        size_t n = sdb__io_wait(f.queue, got, 7, 2);

        ck_assert_uint_ge(n, 2 < COUNT - count ? 2 : COUNT - count);
        for (size_t k = 0; k < n; k++) {
            ck_assert_ptr_eq(got[k]->context, got[k]); /* each comes once */
            got[k]->context = NULL;
            ck_assert_int_eq(got[k]->status, SDB_OK);
            ck_assert_uint_eq(got[k]->done, 64);
        }
        count += n;
    }
    ck_assert_uint_eq(sdb__io_wait(f.queue, list, 5, 5), 0); /* nothing is left to wait for */
    for (unsigned i = 0; i < COUNT; i++) {
        OK(sdb__io_read(f.queue, file, back, 64, i * 64));
        assert_filled(back, (int)(i % 251), 64);
    }
    sdb__io_close(file);
    END();
}
END_TEST

START_TEST(looking_does_not_wait_and_capacity_is_kept)
{
    char bytes[4] = "abc";
    size_t n;
    BEGIN(8);
    struct io_file *file = make_file(&f, "a");
    struct io_op ops[4], *list[] = {&ops[0], &ops[1], &ops[2], &ops[3]}, *got[4] = {NULL};

    ck_assert_uint_eq(sdb__io_wait(f.queue, got, 4, 0), 0);
    ck_assert_uint_eq(sdb__io_wait(f.queue, got, 4, 4), 0);
    for (unsigned i = 0; i < 4; i++) ops[i] = op_of(file, IO_WRITE, bytes, 1, i, 0);
    sdb__io_submit(f.queue, list, 4);
    n = sdb__io_wait(f.queue, got, 1, 4); /* more than there is room for */
    ck_assert_uint_eq(n, 1);
    n += sdb__io_wait(f.queue, got, 4, 3);
    ck_assert_uint_eq(n, 4);
    sdb__io_close(file);
    END();
}
END_TEST

START_TEST(earlier_operations_stay_to_be_collected)
{
    char bytes[10] = "012345678";
    BEGIN(2);
    struct io_file *file = make_file(&f, "a");
    struct io_op ops[10], *list[10], *got[10];

    for (unsigned i = 0; i < 10; i++) {
        ops[i] = op_of(file, IO_WRITE, &bytes[i], 1, i, 0);
        list[i] = &ops[i];
        sdb__io_submit(f.queue, &list[i], 1);
    }
    ck_assert_uint_eq(sdb__io_wait(f.queue, got, 10, 10), 10);
    ck_assert_uint_eq(size_of(file), 10);
    sdb__io_close(file);
    END();
}
END_TEST

START_TEST(run_answers_the_first_failure_with_path_and_offset)
{
    char byte = 'x';
    BEGIN(8);
    struct io_file *file = make_file(&f, "first");
    struct io_op ops[] = {op_of(file, IO_WRITE, &byte, 1, 0, 0),
                          op_of(file, IO_WRITE, &byte, 1, (uint64_t)1 << 62, IO_LINK),
                          op_of(file, IO_SYNC, NULL, 0, 0, 0),
                          op_of(file, IO_READ, &byte, 1, UINT64_MAX, 0)};

    IS(sdb__io_run(f.queue, ops, 4), SDB_FULL);
    ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "first"));
    ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "offset 4611686018427387904"));
    IS(sdb__io_run(f.queue, ops + 2, 2), SDB_IO);
    ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "cannot read 1 bytes"));
    sdb__io_close(file);
    END();
}
END_TEST

START_TEST(depth_outside_its_bounds_is_refused)
{
    struct io_queue *queue = NULL;
    BEGIN(1);

    IS(sdb__io_queue_new(f.io, 0, &queue), SDB_INVALID);
    IS(sdb__io_queue_new(f.io, 4097, &queue), SDB_INVALID);
    ck_assert_ptr_null(queue);
    OK(sdb__io_queue_new(f.io, 4096, &queue));
    sdb__io_queue_free(queue);
    sdb__io_queue_free(NULL);
    sdb__io_close(NULL);
    sdb__io_free(NULL);
    END();
}
END_TEST

START_TEST(counters_count_what_was_done)
{
    char bytes[100] = {0};
    BEGIN(8);
    struct io_file *file = make_file(&f, "a");
    struct io_op ops[] = {op_of(file, IO_WRITE, bytes, 100, 0, IO_LINK),
                          op_of(file, IO_SYNC, NULL, 0, 0, IO_LINK),
                          op_of(file, IO_READ, bytes, 100, 50, IO_LINK),
                          op_of(file, IO_WRITE, bytes, 1, UINT64_MAX, IO_LINK),
                          op_of(file, IO_WRITE, bytes, 100, 0, 0)};
    struct io_stats stats;

    IS(sdb__io_run(f.queue, ops, 5), SDB_IO);
    OK(sdb__io_sync(f.queue, file));
    sdb__io_stats(f.io, &stats);
    ck_assert_uint_eq(stats.reads, 1);
    ck_assert_uint_eq(stats.read_bytes, 50);
    ck_assert_uint_eq(stats.writes, 2); /* the failed one too, the cancelled one not */
    ck_assert_uint_eq(stats.written_bytes, 100);
    ck_assert_uint_eq(stats.syncs, 2);
    sdb__io_close(file);
    END();
}
END_TEST

/* ---- against a model ---- */

enum { MODEL_BYTES = 40000, MODEL_OPS = 24 };

struct model {
    unsigned char now[MODEL_BYTES], buffers[MODEL_OPS][9000];
    size_t size;
};

/* A batch of operations in disjoint slices of the file; those of one slice are linked. */
static size_t random_batch(struct model *m, struct io_file *file, uint64_t *random,
                           struct io_op ops[MODEL_OPS])
{
    size_t count = 1 + (size_t)random_below(random, MODEL_OPS);
    size_t slice = 0, slices = 4, width = MODEL_BYTES / slices;

    for (size_t i = 0; i < count; i++) {
        size_t begin = slice * width + (size_t)random_below(random, width - 1);
        size_t room = (slice + 1) * width - begin;
        size_t size = 1 + (size_t)random_below(random, room < 9000 ? room : 9000);
        bool writes = random_below(random, 2) == 0;

        memset(m->buffers[i], (int)random_below(random, 256), size);
        ops[i] = op_of(file, writes ? IO_WRITE : IO_READ, m->buffers[i], size, begin, IO_LINK);
        if (random_below(random, 4) == 0 || i + 1 == count) {
            ops[i].flags = 0;
            if (++slice == slices) return i + 1;
        }
    }
    return count;
}

START_TEST(random_batches_behave_as_a_flat_array)
{
    static struct model m;
    static unsigned char back[MODEL_BYTES];
    uint64_t random = sdb__random_seed(), seed = random;
    BEGIN(5);
    struct io_file *file = make_file(&f, "a");

    memset(&m, 0, sizeof m);
    OK(sdb__io_truncate(file, MODEL_BYTES)); /* no slice depends on the end of the file then */
    for (int round = 0; round < 200; round++) {
        struct io_op ops[MODEL_OPS];
        size_t count = random_batch(&m, file, &random, ops);

        ck_assert_msg(sdb__io_run(f.queue, ops, count) == SDB_OK, "seed %llu: %s",
                      (unsigned long long)seed, sdb_errmsg());
        for (size_t i = 0; i < count; i++) {
            ck_assert_uint_eq(ops[i].done, ops[i].size);
            if (ops[i].kind == IO_WRITE)
                memcpy(m.now + ops[i].offset, ops[i].memory, ops[i].size);
            else
                ck_assert_msg(memcmp(m.now + ops[i].offset, ops[i].memory, ops[i].size) == 0,
                              "seed %llu, round %d", (unsigned long long)seed, round);
        }
    }
    OK(sdb__io_read(f.queue, file, back, MODEL_BYTES, 0));
    ck_assert_msg(memcmp(back, m.now, MODEL_BYTES) == 0, "seed %llu", (unsigned long long)seed);
    sdb__io_close(file);
    END();
}
END_TEST

/* ---- threads ---- */

struct worker {
    struct fixture *fixture;
    struct io_file *file;
    unsigned number;
    sdb_status status;
};

static sdb_status work(struct worker *worker)
{
    char out[8][512], back[512];
    struct io_op ops[9];
    struct io_queue *queue;
    sdb_status status = sdb__io_queue_new(worker->fixture->io, 4, &queue);

    if (status != SDB_OK) return status;
    for (unsigned round = 0; round < 50 && status == SDB_OK; round++) {
        for (unsigned i = 0; i < 8; i++) {
            memset(out[i], (int)(worker->number * 50 + round), 512);
            ops[i] = op_of(worker->file, IO_WRITE, out[i], 512, (worker->number * 8 + i) * 512,
                           i == 7 ? IO_LINK : 0);
        }
        ops[8] = op_of(worker->file, IO_SYNC, NULL, 0, 0, 0);
        status = sdb__io_run(queue, ops, 9);
        for (unsigned i = 0; i < 8 && status == SDB_OK; i++) {
            status = sdb__io_read(queue, worker->file, back, 512, (worker->number * 8 + i) * 512);
            if (status == SDB_OK && memcmp(back, out[i], 512) != 0) status = SDB_CORRUPT;
        }
    }
    sdb__io_queue_free(queue);
    return status;
}

static void *work_thread(void *context)
{
    struct worker *worker = context;

    worker->status = work(worker);
    return NULL;
}

START_TEST(threads_share_a_file_by_queues_of_their_own)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    struct worker workers[THREADS];
    struct io_stats stats;
    BEGIN(4);
    struct io_file *file = make_file(&f, "a");

    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){&f, file, i, SDB_OK};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work_thread, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_int_eq(workers[i].status, SDB_OK);
    }
    sdb__io_stats(f.io, &stats);
    ck_assert_uint_eq(stats.writes, THREADS * 50 * 8);
    ck_assert_uint_eq(stats.syncs, THREADS * 50);
    sdb__io_close(file);
    END();
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("io queues");
    TCase *links = tcase_create("links");
    TCase *queues = tcase_create("queues");

#define EACH(tcase, test) tcase_add_loop_test(tcase, test, 0, BACKENDS)
    EACH(links, linked_sync_is_cancelled_when_write_fails);
    EACH(links, failure_that_the_disk_finds_cancels_the_rest_of_its_chain_only);
    EACH(links, short_read_at_the_end_does_not_break_a_link);
    EACH(links, chain_longer_than_the_queue_runs_in_order);
    EACH(links, failure_in_a_long_chain_cancels_everything_behind_it);
    EACH(queues, batch_larger_than_the_queue_comes_back_whole);
    EACH(queues, looking_does_not_wait_and_capacity_is_kept);
    EACH(queues, earlier_operations_stay_to_be_collected);
    EACH(queues, run_answers_the_first_failure_with_path_and_offset);
    EACH(queues, depth_outside_its_bounds_is_refused);
    EACH(queues, counters_count_what_was_done);
    EACH(queues, threads_share_a_file_by_queues_of_their_own);
    EACH(queues, random_batches_behave_as_a_flat_array);
#undef EACH
    tcase_set_timeout(queues, 60);
    suite_add_tcase(suite, links);
    suite_add_tcase(suite, queues);
    return suite;
}

int main(void)
{
    return suite_run(make_suite());
}
