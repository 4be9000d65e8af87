/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_wal_stream.c: a log read while it is written: bodies in parts, nothing of one that is not
 * durable to its end, and from the same place after a failure.
 */
#include <stdlib.h>
#include <string.h>
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/base/status.h"
#include "tests/lib/suite.h"
#include "tests/wal/wal_fixture.h"
#include "wal/wal_stream.h"

enum { PART = 100000, RECORD = WAL_RECORD_MAX };

static struct fixture f;
static struct wal_stream *stream;
static size_t number; /* of the body that comes next */
static uint8_t *body;
static size_t size;

static void setup(void)
{
    fixture_init(&f);
    fixture_begin(&f);
    OK(sdb__wal_stream_open(f.wal, 0, PART, &stream));
    number = size = 0;
    body = NULL;
}

static void teardown(void)
{
    sdb__wal_stream_close(stream);
    fixture_done(&f);
    free(body);
}

/* The same with a log whose records are packed. */
static void packed(void)
{
    setup();
    sdb__wal_stream_close(stream);
    fixture_close(&f);
    f.packed = true;
    fixture_begin(&f);
    OK(sdb__wal_stream_open(f.wal, 0, PART, &stream));
}

static void expect_end(void)
{
    struct wal_streamed got;

    ck_assert_int_eq(sdb__wal_stream_next(stream, &got), SDB_END);
}

/* Takes a part of body `number`; returns whether it was the last. */
static bool take_part(void)
{
    struct wal_streamed got;

    OK(sdb__wal_stream_next(stream, &got));
    ck_assert_uint_lt(number, f.count);
    if (got.part.first) size = 0;
    ck_assert_int_eq(got.part.first, size == 0);
    ck_assert(got.part.lsn >= (number ? f.ends[number - 1] : 0) && got.part.lsn < f.ends[number]);
    ck_assert_uint_eq(got.next_lsn, got.part.last ? f.ends[number] : got.part.lsn);
    ck_assert(got.part.last || got.part.size >= PART);
    ck_assert_uint_lt(got.part.size, PART + RECORD);
    body = realloc(body, size + got.part.size);
    ck_assert_ptr_nonnull(body);
    memcpy(body + size, got.part.bytes, got.part.size);
    size += got.part.size;
    return got.part.last;
}

/* Takes body `number`. */
static void take_body(void)
{
    uint8_t *wanted;

    while (!take_part()) continue;
    ck_assert_uint_eq(size, f.sizes[number]);
    wanted = malloc(size);
    ck_assert_ptr_nonnull(wanted);
    fixture_fill(wanted, size, number++);
    ck_assert(memcmp(wanted, body, size) == 0);
    free(wanted);
}

START_TEST(bodies_of_all_sizes_come_in_parts)
{
    static const size_t sizes[] = {1,      RECORD - 1, RECORD,     RECORD + 1, PART - 1, PART,
                                   PART + 1, 2 * RECORD, 2 * RECORD + 1, 300000, 5000000, 7};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) fixture_add(&f, sizes[i]);
    expect_end();
    fixture_sync(&f);
    while (number < f.count) take_body();
    expect_end();
    fixture_add(&f, 400000); /* and those that come later */
    expect_end();
    fixture_sync(&f);
    take_body();
    expect_end();
}
END_TEST

/* What is given to the log, and what is made durable of it meanwhile. */
struct giving {
    size_t given, fail_at;
};

static sdb_status give(void *context, uint8_t *to, size_t count)
{
    struct giving *g = context;

    memset(to, 'g', count);
    g->given += count;
    /* others commit beside it, so that what there is of it becomes durable */
    OK(sdb__wal_sync(f.wal, sdb__wal_end(f.wal)));
    expect_end();
    return g->given >= g->fail_at ? FAIL(SDB_IO, "it cannot be read") : SDB_OK;
}

START_TEST(nothing_comes_of_a_body_without_an_end)
{
    for (unsigned i = 0; i < 20; i++) {
        struct giving g = {.fail_at = i * 50000 + 1};
        uint64_t end;

        ck_assert_int_eq(sdb__wal_append_from(f.wal, 1000000, give, &g, &end), SDB_IO);
        fixture_sync(&f);
        expect_end();
        if (i % 3 == 0) continue; /* two that were given up, one behind the other */
        fixture_add(&f, i * 40000);
        fixture_sync(&f);
        take_body();
    }
}
END_TEST

START_TEST(a_body_can_be_taken_again)
{
    fixture_add(&f, 10);
    fixture_add(&f, 1000000);
    fixture_add(&f, 20);
    fixture_sync(&f);
    take_body();
    ck_assert(!take_part());
    ck_assert(!take_part());
    sdb__wal_stream_rewind(stream);
    take_body();
    sdb__wal_stream_rewind(stream); /* also when its end has been given */
    number--;
    take_body();
    take_body();
    expect_end();
}
END_TEST

START_TEST(refused_memory_leaves_the_place)
{
    struct failing failing;
    struct wal_streamed got;
    bool refused = true;

    failing_init(&failing);
    sdb__wal_stream_close(stream);
    stream = NULL;
    fixture_close(&f);
    f.allocator = &failing.allocator;
    fixture_begin(&f);
    for (unsigned i = 0; i < 3; i++) fixture_add(&f, 700000);
    fixture_sync(&f);
    for (uint64_t n = 1; refused; n++) {
        failing.requests = 0;
        failing.fail_at = n;
        if (!stream && sdb__wal_stream_open(f.wal, 0, PART, &stream) != SDB_OK) continue;
        refused = false;
        for (number = 0; number < f.count;) {
            sdb_status status = sdb__wal_stream_next(stream, &got);

            if (status == SDB_NOMEM) { /* the same part comes now */
                refused = true;
                OK(sdb__wal_stream_next(stream, &got));
            }
            if (got.part.first) size = 0;
            size += got.part.size;
            if (got.part.last) ck_assert_uint_eq(size, f.sizes[number++]);
        }
        sdb__wal_stream_close(stream);
        stream = NULL;
    }
    fixture_close(&f);
    ck_assert_int_eq(failing.live, 0);
    f.allocator = &sdb__mem_default;
}
END_TEST

START_TEST(what_is_trimmed_within_a_body_is_said)
{
    fixture_add(&f, 5);
    fixture_add(&f, 3000000);
    fixture_sync(&f);
    take_body();
    ck_assert(!take_part());
    fixture_add(&f, 3000000);
    fixture_sync(&f);
    OK(sdb__wal_trim(f.wal, f.ends[1]));
    for (unsigned i = 0; i < 2; i++) { /* it stays there; perhaps not at once: a file was open */
        struct wal_streamed got;
        sdb_status status;

        while ((status = sdb__wal_stream_next(stream, &got)) == SDB_OK)
            ck_assert(got.part.lsn < f.ends[1] && !got.part.last);
        ck_assert_int_eq(status, SDB_NOTFOUND);
        ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "has been removed: the oldest is "));
    }
}
END_TEST

/* Bodies of any size, durable or not, some given up, the stream anywhere behind. */
START_TEST(random_logs_come_whole_and_in_order)
{
    uint64_t state = 4711 + (uint64_t)_i;

    for (unsigned step = 0; step < 300; step++) {
        uint64_t what = random_next(&state) % 8;

        if (what < 4) {
            fixture_add(&f, 1 + random_next(&state) % (what ? 90000 : 600000));
        } else if (what == 4) {
            struct giving g = {.fail_at = 1 + random_next(&state) % 400000};
            uint64_t end;

            fixture_sync(&f);
            while (number < f.count) take_body();
            ck_assert_int_eq(sdb__wal_append_from(f.wal, 400000, give, &g, &end), SDB_IO);
        } else if (what < 7) {
            fixture_sync(&f);
        } else {
            while (number < f.count && f.ends[number] <= sdb__wal_durable(f.wal)) take_body();
            if (number) OK(sdb__wal_trim(f.wal, f.ends[number - 1]));
        }
    }
}
END_TEST

static TCase *cases(const char *name, SFun begin)
{
    TCase *tcase = tcase_create(name);

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, begin, teardown);
    tcase_add_test(tcase, bodies_of_all_sizes_come_in_parts);
    tcase_add_test(tcase, nothing_comes_of_a_body_without_an_end);
    tcase_add_test(tcase, a_body_can_be_taken_again);
    tcase_add_test(tcase, refused_memory_leaves_the_place);
    tcase_add_test(tcase, what_is_trimmed_within_a_body_is_said);
    tcase_add_loop_test(tcase, random_logs_come_whole_and_in_order, 0, 4);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("wal_stream");

    suite_add_tcase(suite, cases("plain", setup));
    suite_add_tcase(suite, cases("packed", packed));
    return suite_run(suite);
}
