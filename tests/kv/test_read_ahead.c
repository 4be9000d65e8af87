/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_read_ahead.c: cursors that read from disk what they come to next, and nothing that they do
 * not come to.
 */
#include "tests/kv/kv_fixture.h"

#include <stdio.h>
#include <string.h>

#include "engine/pager/pool.h"

enum { ROWS = 20000, VALUE = 200, PAGE = 4096, FEW = 40 };

static struct io *io;
static sdb_db *db;
static sdb_keyspace *rows;

static void open_again(uint64_t cache_bytes)
{
    sdb_options options = kv_options(PAGE);

    options.cache_bytes = cache_bytes;
    OK(sdb_close(db));
    db = kv_open(io, &options);
    rows = kv_keyspace(db, "rows");
}

static sdb_slice row_key(uint32_t row, char room[16])
{
    return (sdb_slice){room, (size_t)snprintf(room, 16, "row%08u", row)};
}

static void setup(void)
{
    sdb_options options = kv_options(PAGE);
    sdb_txn *txn;

    io = kv_disk(3);
    db = kv_open(io, &options);
    rows = kv_keyspace(db, "rows");
    for (uint32_t row = 0; row < ROWS;) {
        OK(sdb_txn_begin(db, SDB_TXN_BATCH, &txn));
        for (uint32_t i = 0; i < 1000; i++, row++) {
            uint8_t value[VALUE];
            char room[16];

            kv_fill(value, VALUE, row);
            MUST(sdb_put(txn, rows, row_key(row, room), (sdb_slice){value, VALUE}));
        }
        OK(sdb_txn_commit(txn));
    }
    open_again(MIB);
}

static void teardown(void)
{
    kv_check_sound(db);
    OK(sdb_close(db));
    sdb__io_free(io);
}

static sdb_stats stats(void)
{
    sdb_stats s = {.size = sizeof s};

    OK(sdb_stat(db, &s));
    return s;
}

/* Goes on to row `row`, which must come. Returns how many reads were in flight. */
static uint32_t step(sdb_cursor *cursor, uint32_t row, bool forward)
{
    sdb_slice key, value;
    char room[16];

    MUST(forward ? sdb_cursor_next(cursor, &key, &value) : sdb_cursor_prev(cursor, &key, &value));
    (void)row_key(row, room);
    if (!kv_is(key, room) || value.size != VALUE || !kv_is_filled(value.data, VALUE, row))
        ck_abort_msg("%.*s instead of %s", (int)key.size, (const char *)key.data, room);
    return atomic_load(&db->pager->fetching);
}

START_TEST(a_scan_from_disk_keeps_reads_in_flight_and_reads_no_page_twice)
{
    bool forward = _i;
    uint32_t most = 0, fetching;
    sdb_txn *txn = kv_begin(db, SDB_TXN_READ);
    sdb_cursor *cursor;
    sdb_slice key, value;
    sdb_stats s;

    OK(sdb_cursor_open(txn, rows, NULL, &cursor));
    for (uint32_t i = 0; i < ROWS; i++) {
        fetching = step(cursor, forward ? i : ROWS - 1 - i, forward);
        if (fetching > most) most = fetching;
    }
    IS(forward ? sdb_cursor_next(cursor, &key, &value) : sdb_cursor_prev(cursor, &key, &value),
       SDB_END);
    s = stats();
    ck_assert_uint_ge(most, 8);
    ck_assert_uint_gt(s.pages_read_ahead, s.pages * 9 / 10);
    ck_assert_uint_le(s.page_misses, s.pages + 20);
    sdb_cursor_close(cursor);
    OK(sdb_txn_commit(txn));
}
END_TEST

START_TEST(who_reads_a_few_rows_reads_nothing_ahead)
{
    sdb_txn *txn = kv_begin(db, SDB_TXN_READ);
    sdb_cursor *cursor;
    char room[16];

    OK(sdb_cursor_open(txn, rows, NULL, &cursor));
    for (uint32_t first = 0; first < ROWS - FEW; first += 999) {
        OK(sdb_cursor_seek(cursor, row_key(first, room), NULL, NULL));
        for (uint32_t i = 1; i < FEW; i++) (void)step(cursor, first + i, true);
    }
    ck_assert_uint_eq(stats().pages_read_ahead, 0);
    sdb_cursor_close(cursor);
    OK(sdb_txn_commit(txn));
}
END_TEST

START_TEST(what_is_cached_is_not_read_again)
{
    sdb_stats before;

    open_again(16 * MIB);
    for (int round = 0; round < 2; round++) {
        sdb_txn *txn = kv_begin(db, SDB_TXN_READ);
        sdb_cursor *cursor;

        before = stats();
        OK(sdb_cursor_open(txn, rows, NULL, &cursor));
        for (uint32_t i = 0; i < ROWS; i++) (void)step(cursor, i, true);
        sdb_cursor_close(cursor);
        OK(sdb_txn_commit(txn));
    }
    ck_assert_uint_eq(stats().page_misses, before.page_misses);
    ck_assert_uint_eq(stats().pages_read_ahead, before.pages_read_ahead);
}
END_TEST

START_TEST(a_scan_that_stops_wastes_no_more_than_it_has_read_and_leaves_nothing_in_flight)
{
    sdb_txn *txn = kv_begin(db, SDB_TXN_READ);
    sdb_cursor *cursor;

    OK(sdb_cursor_open(txn, rows, NULL, &cursor));
    for (uint32_t i = 0; !step(cursor, i, true); i++) ck_assert_uint_lt(i, ROWS / 10);
    ck_assert_uint_gt(atomic_load(&db->pager->fetching), 0);
    ck_assert_uint_le(stats().pages_read_ahead, stats().page_misses + 6);
    if (_i)
        IS(sdb_txn_commit(txn), SDB_INVALID); /* ends it: the cursor is still open */
    else
        sdb_cursor_close(cursor);
    ck_assert_uint_eq(atomic_load(&db->pager->fetching), 0);
    if (_i)
        sdb_cursor_close(cursor);
    else
        OK(sdb_txn_commit(txn));
}
END_TEST

/* Ranges of any length, in both directions: no leaf is read that has nothing of the range. */
START_TEST(nothing_behind_the_end_of_a_range_is_read)
{
    static const uint32_t lengths[] = {1, 30, 100, 333, 1000, 4000};
    bool forward = _i % 2, all = _i / 2; /* `all`: a range without the end that is not come to */

    for (size_t n = 0; n < sizeof lengths / sizeof *lengths; n++) {
        uint32_t from = 5000 + 17 * (uint32_t)n, count = lengths[n], per_leaf = PAGE / VALUE - 3;
        char room[2][16];
        sdb_slice lower = row_key(from, room[0]), upper = row_key(from + count, room[1]);
        sdb_range range = {.lower = forward && all ? NULL : &lower,
                           .upper = !forward && all ? NULL : &upper};
        sdb_slice key, value;
        sdb_cursor *cursor;
        sdb_stats s;
        sdb_txn *txn;

        open_again(MIB);
        txn = kv_begin(db, SDB_TXN_READ);
        OK(sdb_cursor_open(txn, rows, &range, &cursor));
        if (forward)
            OK(sdb_cursor_seek(cursor, lower, NULL, NULL));
        else
            OK(sdb_cursor_seek_back(cursor, row_key(from + count - 1, room[1]), NULL, NULL));
        for (uint32_t i = 1; i < count; i++)
            (void)step(cursor, forward ? from + i : from + count - 1 - i, forward);
        IS(forward ? sdb_cursor_next(cursor, &key, &value) : sdb_cursor_prev(cursor, &key, &value),
           SDB_END);
        sdb_cursor_close(cursor);
        OK(sdb_txn_commit(txn));
        s = stats();
        ck_assert_msg(s.page_misses <= count / per_leaf + 8,
                      "%u rows cost %llu pages, %llu of them read ahead", count,
                      (unsigned long long)s.page_misses, (unsigned long long)s.pages_read_ahead);
        if (count >= 1000)
            ck_assert_uint_gt(s.pages_read_ahead, count / per_leaf / 2);
    }
}
END_TEST

START_TEST(a_tree_that_changes_under_a_scan_changes_nothing_for_it)
{
    bool forward = _i;
    sdb_txn *txn = kv_begin(db, SDB_TXN_READ);
    sdb_cursor *cursor;

    OK(sdb_cursor_open(txn, rows, NULL, &cursor));
    for (uint32_t i = 0; i < ROWS; i++) {
        char room[16], other[16];

        (void)step(cursor, forward ? i : ROWS - 1 - i, forward);
        if (i % 500 == 0) { /* a range that is being read, or will be, goes; others split */
            uint32_t at = (i * 7 + 600) % (ROWS - 700);
            sdb_slice lower = row_key(at, room), upper = row_key(at + 600, other);
            sdb_range range = {.lower = &lower, .upper = &upper};

            OK(sdb_del_range(NULL, rows, &range));
        }
        if (i % 50 == 0) {
            (void)snprintf(room, sizeof room, "row%08u+", (i * 13) % ROWS);
            kv_put_text(rows, room, "between two");
        }
    }
    sdb_cursor_close(cursor);
    OK(sdb_txn_commit(txn));
}
END_TEST

START_TEST(a_disk_that_fails_is_told_where_the_row_is_wanted)
{
    struct sim_faults faults = {.read_error = 65536}, none = {0};
    sdb_txn *txn = kv_begin(db, SDB_TXN_READ);
    sdb_status status = SDB_OK;
    sdb_cursor *cursor;
    sdb_slice key, value;
    uint32_t i;

    OK(sdb_cursor_open(txn, rows, NULL, &cursor));
    for (i = 0; i < ROWS / 2; i++) (void)step(cursor, i, true);
    sdb__sim_set_faults(io, &faults);
    for (; status == SDB_OK && i < ROWS; i++) status = sdb_cursor_next(cursor, &key, &value);
    ck_assert_int_eq(status, SDB_IO);
    ck_assert_uint_lt(i, ROWS * 3 / 4);
    sdb__sim_set_faults(io, &none);
    for (i--; i < ROWS; i++) (void)step(cursor, i, true);
    sdb_cursor_close(cursor);
    OK(sdb_txn_commit(txn));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("read_ahead");
    TCase *tcase = tcase_create("cursor");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, a_scan_from_disk_keeps_reads_in_flight_and_reads_no_page_twice, 0,
                        2);
    tcase_add_test(tcase, who_reads_a_few_rows_reads_nothing_ahead);
    tcase_add_test(tcase, what_is_cached_is_not_read_again);
    tcase_add_loop_test(
        tcase, a_scan_that_stops_wastes_no_more_than_it_has_read_and_leaves_nothing_in_flight, 0,
        2);
    tcase_add_loop_test(tcase, nothing_behind_the_end_of_a_range_is_read, 0, 4);
    tcase_add_loop_test(tcase, a_tree_that_changes_under_a_scan_changes_nothing_for_it, 0, 2);
    tcase_add_test(tcase, a_disk_that_fails_is_told_where_the_row_is_wanted);
    suite_add_tcase(suite, tcase);
    return kv_main(suite);
}
