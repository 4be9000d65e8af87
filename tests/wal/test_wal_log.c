/* SPDX-License-Identifier: Apache-2.0 */
/* test_wal_log.c: what is appended is what is read back; segments grow, serve again, and go. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "tests/lib/suite.h"
#include "tests/wal/wal_fixture.h"
#include "wal/wal_internal.h"

static struct fixture f;

static void setup(void)
{
    fixture_init(&f);
}

static void teardown(void)
{
    fixture_done(&f);
}

START_TEST(bodies_of_all_sizes_come_back)
{
    static const size_t sizes[] = {1,     7,     8,     9,      24,     4096,    65535,
                                   65536, 65537, 70000, 131072, 300000, 1048576, 5242880};

    fixture_begin(&f);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        fixture_add(&f, sizes[i]);
        fixture_add(&f, 1 + i);
    }
    fixture_sync(&f);
    fixture_close(&f);
    fixture_replay_all(&f, 0);
    for (size_t from = 0; from <= f.count; from++) fixture_replay_all(&f, from);
}
END_TEST

START_TEST(bodies_meet_every_room_at_a_segments_end)
{
    /* The last body of a segment leaves 0, 8, 16 … 200 bytes; the next goes over the border. */
    fixture_begin(&f);
    for (size_t room = 0; room <= 200; room += 8) {
        struct wal *w = f.wal;
        uint64_t left = wal_segment_end(w->current) - w->position;

        while (left > 65536 || left < room + 100) {
            fixture_add(&f, 30000);
            left = wal_segment_end(w->current) - w->position;
        }
        fixture_add(&f, left - room - WAL_RECORD_HEADER);
        ck_assert_uint_eq(wal_segment_end(w->current) - w->position, room);
        fixture_sync(&f);
        fixture_replay_all(&f, f.count - 1);
        fixture_replay_all(&f, f.count);
        fixture_add(&f, 150);
        fixture_sync(&f);
        fixture_replay_all(&f, f.count - 1);
    }
    fixture_close(&f);
    fixture_replay_all(&f, 0);
    for (size_t from = 0; from <= f.count; from++) fixture_replay_all(&f, from);
}
END_TEST

START_TEST(random_bodies_come_back_from_any_start)
{
    uint64_t state = 99;

    f.segment_bytes = 1 << 20;
    f.first_lsn = 1 << 30;
    fixture_begin(&f);
    for (int i = 0; i < 600; i++) {
        fixture_add(&f, 1 + random_below(&state, (uint64_t)1 << random_below(&state, 18)));
        if (random_below(&state, 10) == 0) fixture_sync(&f);
        if (random_below(&state, 10) == 0) OK(sdb__wal_flush(f.wal, f.ends[f.count - 1]));
    }
    fixture_sync(&f);
    fixture_close(&f);
    for (size_t from = 0; from <= f.count; from += 7) fixture_replay_all(&f, from);
}
END_TEST

START_TEST(segments_double_up_to_the_limit)
{
    static const uint64_t sizes[] = {262144, 524288, 1048576, 1048576};
    struct wal_stats stats;

    f.segment_bytes = 1 << 20;
    fixture_begin(&f);
    fixture_add(&f, 2200000);
    fixture_sync(&f);
    sdb__wal_stats(f.wal, &stats);
    ck_assert_uint_eq(stats.segments, 4);
    for (uint64_t n = 1; n <= 4; n++) {
        size_t size;
        free(fixture_read_file(f.io, fixture_path(n), &size));
        ck_assert_uint_eq(size, sizes[n - 1]);
    }
    fixture_replay_all(&f, 0);
}
END_TEST

START_TEST(empty_log_replays_to_nothing)
{
    f.first_lsn = 800;
    fixture_begin(&f);
    fixture_replay_all(&f, 0);
    ck_assert_uint_eq(f.replay.end_lsn, 800);
}
END_TEST

START_TEST(prepared_empty_segment_is_the_end)
{
    fixture_begin(&f);
    fixture_add(&f, 65536);
    fixture_sync(&f);
    /* a body that needs two segments more, which are made and then not used */
    OK(sdb__wal_segment_make(f.wal, 2, wal_segment_end(f.wal->tail), &f.wal->tail->next));
    f.wal->tail = f.wal->tail->next;
    f.wal->stats.segments++;
    fixture_replay_all(&f, 0);
    fixture_replay_all(&f, 1);
    fixture_add(&f, 300000);
    fixture_sync(&f);
    fixture_replay_all(&f, 0);
}
END_TEST

START_TEST(log_that_ends_where_its_segment_does)
{
    fixture_begin(&f);
    fixture_add(&f, 3 * 65536);
    fixture_add(&f, wal_segment_end(f.wal->current) - f.wal->position - WAL_RECORD_HEADER);
    fixture_sync(&f);
    ck_assert_uint_eq(f.ends[1], WAL_SEGMENT_LEAST - WAL_SEGMENT_HEADER);
    fixture_replay_all(&f, 0);
    fixture_replay_all(&f, 2); /* from the very end */
    OK(sdb__wal_trim(f.wal, f.ends[1]));
    fixture_replay_all(&f, 2); /* the segment that is appended to is never trimmed */
}
END_TEST

START_TEST(unflushed_is_lost_flushed_is_not)
{
    fixture_begin(&f);
    fixture_add(&f, 100);
    OK(sdb__wal_flush(f.wal, f.ends[0]));
    ck_assert_uint_eq(sdb__wal_durable(f.wal), 0);
    fixture_add(&f, 100);
    fixture_close(&f);
    OK(fixture_replay(&f, 0));
    ck_assert_uint_eq(f.delivered, 1);
}
END_TEST

START_TEST(sync_beyond_the_end_is_sync_of_all)
{
    fixture_begin(&f);
    fixture_add(&f, 10);
    OK(sdb__wal_sync(f.wal, UINT64_MAX));
    ck_assert_uint_eq(sdb__wal_durable(f.wal), f.ends[0]);
    OK(sdb__wal_sync(f.wal, 0));
    OK(sdb__wal_flush(f.wal, UINT64_MAX));
}
END_TEST

START_TEST(sync_reaches_segments_that_were_only_flushed)
{
    struct wal_stats before, after;
    struct wal_segment *segment;

    fixture_begin(&f);
    fixture_add(&f, 40 * WAL_SEGMENT_LEAST);
    OK(sdb__wal_flush(f.wal, f.ends[0]));
    sdb__wal_stats(f.wal, &before);
    fixture_sync(&f);
    sdb__wal_stats(f.wal, &after);
    ck_assert_uint_eq(after.batches, before.batches); /* nothing is written twice */
    ck_assert_uint_eq(after.syncs - before.syncs, 41);
    for (segment = f.wal->head; segment; segment = segment->next) ck_assert(!segment->dirty);
    ck_assert_ptr_eq(f.wal->settled, f.wal->current);
}
END_TEST

START_TEST(each_byte_is_written_once)
{
    struct io_stats before, after;
    struct wal_stats stats;

    f.segment_bytes = 1 << 24;
    fixture_begin(&f);
    fixture_add(&f, 150000);
    fixture_sync(&f);
    sdb__io_stats(f.io, &before);
    for (int i = 0; i < 500; i++) {
        fixture_add(&f, 11);
        fixture_sync(&f);
    }
    sdb__io_stats(f.io, &after);
    sdb__wal_stats(f.wal, &stats);
    ck_assert_uint_eq(after.written_bytes - before.written_bytes, 500 * 40);
    ck_assert_uint_eq(stats.records, 3 + 500);
    ck_assert_uint_eq(stats.batches, 501);
    ck_assert_uint_eq(stats.syncs, 501);
}
END_TEST

START_TEST(appending_nothing_is_invalid)
{
    struct wal_piece piece = {"", 0};
    uint64_t end = 77;

    fixture_begin(&f);
    ck_assert_int_eq(sdb__wal_append(f.wal, &piece, 1, &end), SDB_INVALID);
    ck_assert_int_eq(sdb__wal_append(f.wal, NULL, 0, &end), SDB_INVALID);
    ck_assert_uint_eq(end, 77);
}
END_TEST

START_TEST(odd_options_are_invalid)
{
    struct wal_options o = {.io = f.io,
                            .allocator = f.allocator,
                            .folder = FIXTURE_FOLDER,
                            .identity = f.identity,
                            .first_lsn = 4,
                            .segment_bytes = 0};
    struct wal *wal = NULL;
    struct wal_replay replay;

    ck_assert_int_eq(sdb__wal_begin(&o, &wal), SDB_INVALID);
    o.first_lsn = 8;
    o.identity.log_id = 0;
    ck_assert_int_eq(sdb__wal_begin(&o, &wal), SDB_INVALID);
    ck_assert_ptr_null(wal);
    ck_assert_int_eq(sdb__wal_replay(f.io, f.allocator, FIXTURE_FOLDER, &f.identity, 4, NULL, NULL,
                                     NULL, &replay),
                     SDB_INVALID);
}
END_TEST

START_TEST(trim_keeps_two_segments_and_removes_the_rest)
{
    struct wal_stats stats;

    fixture_begin(&f);
    for (int i = 0; i < 100; i++) fixture_add(&f, 60000);
    fixture_sync(&f);
    sdb__wal_stats(f.wal, &stats);
    ck_assert_uint_eq(stats.segments, fixture_segment_files(f.io));
    OK(sdb__wal_trim(f.wal, f.ends[89]));
    sdb__wal_stats(f.wal, &stats);
    ck_assert_uint_eq(fixture_segment_files(f.io), stats.segments + 2);
    fixture_replay_all(&f, 90);
    ck_assert_int_eq(fixture_replay(&f, 0), SDB_CORRUPT); /* what followed is gone */
    ck_assert_int_eq(fixture_replay(&f, 40), SDB_NOTFOUND);
    OK(sdb__wal_trim(f.wal, f.ends[99]));
    sdb__wal_stats(f.wal, &stats);
    ck_assert_uint_eq(stats.segments, 1);
    ck_assert_uint_eq(fixture_segment_files(f.io), 3);
    fixture_replay_all(&f, 100);
}
END_TEST

START_TEST(trim_leaves_what_is_not_written)
{
    fixture_begin(&f);
    fixture_add(&f, 65536);
    fixture_sync(&f);
    for (int i = 0; i < 5; i++) fixture_add(&f, 65536); /* in the buffer, over a border */
    OK(sdb__wal_trim(f.wal, f.ends[5]));
    fixture_sync(&f);
    fixture_replay_all(&f, 0);
    OK(sdb__wal_trim(f.wal, f.ends[5]));
    ck_assert_ptr_eq(f.wal->head, f.wal->current);
    fixture_replay_all(&f, 6);
}
END_TEST

START_TEST(trim_works_without_any_sync)
{
    fixture_begin(&f);
    for (int i = 0; i < 200; i++) {
        fixture_add(&f, 50000);
        OK(sdb__wal_flush(f.wal, f.ends[f.count - 1]));
        OK(sdb__wal_trim(f.wal, f.ends[f.count - 1]));
        ck_assert_uint_le(fixture_segment_files(f.io), 4);
    }
    fixture_sync(&f);
    OK(fixture_replay(&f, f.count));
    ck_assert_uint_eq(f.delivered, 0);
}
END_TEST

START_TEST(reused_segments_never_replay_stale_records)
{
    /* Equal bodies, so that old and new records lie at the same places; trimmed all the time. */
    size_t kept = 0;

    fixture_begin(&f);
    for (int i = 0; i < 2000; i++) {
        fixture_add(&f, 5000);
        fixture_sync(&f);
        if (i % 16 == 15) {
            kept = f.count - 3;
            OK(sdb__wal_trim(f.wal, f.ends[kept - 1]));
        }
        if (i % 7 == 0) {
            OK(fixture_replay(&f, kept));
            ck_assert_uint_eq(f.delivered, f.count - kept);
        }
    }
    ck_assert_uint_le(fixture_segment_files(f.io), 5);
}
END_TEST

START_TEST(reused_segment_is_no_larger_disk)
{
    struct io_stats before, after;

    fixture_begin(&f);
    for (int i = 0; i < 12; i++) {
        fixture_add(&f, 100000);
        fixture_sync(&f);
        OK(sdb__wal_trim(f.wal, f.ends[f.count - 1]));
    }
    sdb__io_stats(f.io, &before);
    for (int i = 0; i < 12; i++) {
        fixture_add(&f, 100000);
        fixture_sync(&f);
        OK(sdb__wal_trim(f.wal, f.ends[f.count - 1]));
    }
    sdb__io_stats(f.io, &after);
    /* headers are the only thing written besides records: no zeros again */
    ck_assert_uint_lt(after.written_bytes - before.written_bytes, 12 * 100100 + 6 * 4096);
}
END_TEST

START_TEST(begin_removes_other_logs)
{
    fixture_begin(&f);
    for (int i = 0; i < 100; i++) fixture_add(&f, 60000);
    fixture_sync(&f);
    fixture_close(&f);
    f.identity.log_id++;
    f.first_lsn = f.ends[99];
    f.count = 0;
    fixture_begin(&f);
    ck_assert_uint_eq(fixture_segment_files(f.io), 1);
    fixture_replay_all(&f, 0);
    f.identity.log_id--;
    ck_assert_int_eq(fixture_replay(&f, 0), SDB_NOTFOUND);
}
END_TEST

START_TEST(segments_of_other_logs_are_passed_over)
{
    size_t size;
    uint8_t *other;

    fixture_begin(&f);
    fixture_add(&f, 10);
    fixture_sync(&f);
    fixture_close(&f);
    other = fixture_read_file(f.io, fixture_path(1), &size);
    f.identity.log_id++;
    f.count = 0;
    fixture_begin(&f);
    fixture_add(&f, 20);
    fixture_sync(&f);
    fixture_write_file(f.io, fixture_path(7), other, size); /* a name that is not its own */
    fixture_replay_all(&f, 0);
    {
        struct wal_header header = {.identity = f.identity,
                                    .number = 2,
                                    .first_lsn = wal_segment_end(f.wal->tail),
                                    .file_bytes = size};
        header.identity.database_id[3] ^= 1;
        sdb__wal_format_put_header(other, &header);
    }
    OK(sdb__io_remove(f.io, fixture_path(7)));
    fixture_write_file(f.io, fixture_path(2), other, size);
    fixture_replay_all(&f, 0);
    free(other);
}
END_TEST

START_TEST(remove_takes_segments_and_folder)
{
    fixture_begin(&f);
    for (int i = 0; i < 500; i++) fixture_add(&f, 60000);
    fixture_sync(&f);
    ck_assert_uint_gt(fixture_segment_files(f.io), 64);
    fixture_close(&f);
    OK(sdb__wal_remove(f.io, FIXTURE_FOLDER));
    ck_assert_int_eq(fixture_replay(&f, 0), SDB_NOTFOUND);
    OK(sdb__wal_remove(f.io, FIXTURE_FOLDER));
    f.count = 0;
    fixture_begin(&f);
}
END_TEST

START_TEST(remove_leaves_foreign_files)
{
    static const char *const names[] = {"notes.txt", "00000000000000A1.log",
                                        "0000000000000001.log~", "000000000000001.log"};
    char path[64];
    size_t size;

    fixture_begin(&f);
    fixture_add(&f, 60000);
    fixture_sync(&f);
    fixture_close(&f);
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", FIXTURE_FOLDER, names[i]);
        fixture_write_file(f.io, path, "mine", 4);
    }
    OK(sdb__wal_remove(f.io, FIXTURE_FOLDER));
    ck_assert_uint_eq(fixture_segment_files(f.io), 0);
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", FIXTURE_FOLDER, names[i]);
        free(fixture_read_file(f.io, path, &size));
        ck_assert_uint_eq(size, 4);
    }
}
END_TEST

static uint64_t seen_done, seen_total, calls, stop_at;

static int watch(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    ck_assert(done >= seen_done && done <= total);
    seen_done = done;
    seen_total = total;
    return ++calls == stop_at;
}

static sdb_status count_body(void *context, uint64_t lsn, const uint8_t *body, size_t size)
{
    (void)context;
    (void)lsn;
    (void)body;
    return size == 66 ? SDB_LIMIT : SDB_OK;
}

START_TEST(progress_reaches_the_total_and_can_stop)
{
    struct wal_replay replay;

    fixture_begin(&f);
    for (int i = 0; i < 100; i++) fixture_add(&f, 60000);
    fixture_sync(&f);
    OK(sdb__wal_replay(f.io, f.allocator, FIXTURE_FOLDER, &f.identity, 0, count_body, watch, &f,
                       &replay));
    ck_assert_uint_gt(calls, 10);
    ck_assert_uint_eq(seen_done, seen_total);
    seen_done = calls = 0;
    stop_at = 5;
    ck_assert_int_eq(sdb__wal_replay(f.io, f.allocator, FIXTURE_FOLDER, &f.identity, 0, NULL, watch,
                                     &f, &replay),
                     SDB_CANCELLED);
    fixture_add(&f, 66);
    fixture_add(&f, 60);
    fixture_sync(&f);
    ck_assert_int_eq(sdb__wal_replay(f.io, f.allocator, FIXTURE_FOLDER, &f.identity, 0, count_body,
                                     NULL, &f, &replay),
                     SDB_LIMIT);
}
END_TEST

START_TEST(missing_folder_is_not_found)
{
    ck_assert_int_eq(fixture_replay(&f, 0), SDB_NOTFOUND);
}
END_TEST

/* Everything a log does, with an allocator that refuses once. Returns false when nothing failed. */
static bool run_once(struct fixture *g, struct failing *failing)
{
    struct wal_options options = {.io = g->io,
                                  .allocator = &failing->allocator,
                                  .folder = FIXTURE_FOLDER,
                                  .identity = g->identity,
                                  .segment_bytes = WAL_SEGMENT_LEAST,
                                  .packed = g->packed};
    bool failed = false;
    sdb_status status = sdb__wal_begin(&options, &g->wal);

    g->count = 0;
    if (status != SDB_OK) {
        ck_assert_int_eq(status, SDB_NOMEM);
        status = sdb__wal_begin(&options, &g->wal);
        failed = true;
    }
    OK(status);
    for (int i = 0; i < 12; i++) {
        size_t size = i % 4 == 3 ? 300000 : 30000;

        status = fixture_append(g, size);
        if (status != SDB_OK) {
            ck_assert_int_eq(status, SDB_NOMEM);
            ck_assert(!failed);
            failed = true;
            OK(fixture_append(g, size)); /* the log is as good as before */
        }
    }
    fixture_sync(g);
    g->allocator = &failing->allocator;
    status = fixture_replay(g, 0);
    if (status != SDB_OK) {
        ck_assert_int_eq(status, SDB_NOMEM);
        failed = true;
    }
    g->allocator = &sdb__mem_default;
    fixture_replay_all(g, 0);
    OK(sdb__wal_trim(g->wal, g->ends[g->count - 1]));
    fixture_add(g, 10);
    fixture_sync(g);
    fixture_close(g);
    return failed || failing->requests >= failing->fail_at;
}

START_TEST(any_refused_allocation_is_survived)
{
    uint64_t total = 0;

    f.packed = _i;
    for (uint64_t n = 0; n <= total; n++) {
        struct failing failing;

        failing_init(&failing);
        failing.fail_at = n;
        run_once(&f, &failing);
        ck_assert_int_eq(failing.live, 0);
        if (n == 0) total = failing.requests;
        OK(sdb__wal_remove(f.io, FIXTURE_FOLDER));
    }
    ck_assert_uint_gt(total, 20);
}
END_TEST

START_TEST(real_files_hold_a_log_too)
{
    char folder[] = "/tmp/test-wal-XXXXXX", path[64];
    struct wal_options options = {
        .allocator = f.allocator, .folder = path, .identity = f.identity, .segment_bytes = 1 << 20};
    struct wal_replay replay;
    uint64_t end = 0;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/log", folder);
    for (int backend = SDB_BACKEND_AUTO; backend <= SDB_BACKEND_POSIX; backend += 2) {
        OK(sdb__io_new((sdb_backend)backend, f.allocator, &options.io));
        OK(sdb__wal_begin(&options, &f.wal));
        for (int i = 0; i < 300; i++) {
            uint8_t *body = calloc(1, 40000);
            struct wal_piece piece = {body, 40000};

            OK(sdb__wal_append(f.wal, &piece, 1, &end));
            if (i % 5 == 0) OK(sdb__wal_sync(f.wal, end));
            if (i % 50 == 49) OK(sdb__wal_trim(f.wal, end));
            free(body);
        }
        OK(sdb__wal_sync(f.wal, end));
        fixture_close(&f);
        OK(sdb__wal_replay(options.io, f.allocator, path, &f.identity, end, NULL, NULL, NULL,
                           &replay));
        ck_assert_uint_eq(replay.bodies, 0);
        OK(sdb__wal_remove(options.io, path));
        sdb__io_free(options.io);
    }
    ck_assert_int_eq(remove(folder), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wal_log");
    TCase *t = tcase_create("log");

    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, bodies_of_all_sizes_come_back);
    tcase_add_test(t, bodies_meet_every_room_at_a_segments_end);
    tcase_add_test(t, random_bodies_come_back_from_any_start);
    tcase_add_test(t, segments_double_up_to_the_limit);
    tcase_add_test(t, empty_log_replays_to_nothing);
    tcase_add_test(t, prepared_empty_segment_is_the_end);
    tcase_add_test(t, log_that_ends_where_its_segment_does);
    tcase_add_test(t, unflushed_is_lost_flushed_is_not);
    tcase_add_test(t, sync_beyond_the_end_is_sync_of_all);
    tcase_add_test(t, sync_reaches_segments_that_were_only_flushed);
    tcase_add_test(t, each_byte_is_written_once);
    tcase_add_test(t, appending_nothing_is_invalid);
    tcase_add_test(t, odd_options_are_invalid);
    tcase_add_test(t, trim_keeps_two_segments_and_removes_the_rest);
    tcase_add_test(t, trim_leaves_what_is_not_written);
    tcase_add_test(t, trim_works_without_any_sync);
    tcase_add_test(t, reused_segments_never_replay_stale_records);
    tcase_add_test(t, reused_segment_is_no_larger_disk);
    tcase_add_test(t, begin_removes_other_logs);
    tcase_add_test(t, segments_of_other_logs_are_passed_over);
    tcase_add_test(t, remove_takes_segments_and_folder);
    tcase_add_test(t, remove_leaves_foreign_files);
    tcase_add_test(t, progress_reaches_the_total_and_can_stop);
    tcase_add_test(t, missing_folder_is_not_found);
    tcase_add_loop_test(t, any_refused_allocation_is_survived, 0, 2);
    tcase_add_test(t, real_files_hold_a_log_too);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
