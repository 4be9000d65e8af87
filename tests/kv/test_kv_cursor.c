/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_kv_cursor.c: a cursor that has begun to read a leaf goes on in its snapshot, whatever
 * becomes of the leaf meanwhile.
 *
 * A seek copies a few cells of a leaf, and more each time that it gets there; in between others
 * commit, after each of `seen_before` rows: in the midst of a part, at its end, in the next one.
 */
#include "tests/kv/kv_fixture.h"

#include <stdio.h>
#include <string.h>

enum { ROWS = 60, PLACES = 5 };

static const unsigned seen_before[PLACES] = {3, 4, 9, 12, 28};

static struct io *io;
static sdb_db *db;
static sdb_keyspace *rows;

static void setup(void)
{
    sdb_options options = kv_options(4096);

    io = kv_disk(3);
    db = kv_open(io, &options);
    rows = kv_keyspace(db, "rows");
    for (unsigned i = 0; i < ROWS; i++) {
        char key[8];

        (void)snprintf(key, sizeof key, "k%02u", i);
        kv_put_text(rows, key, key);
    }
}

static void teardown(void)
{
    OK(sdb_close(db));
    sdb__io_free(io);
}

/* What others do to the leaf. Each way moves its slots, or fills them anew. */
static void disturb(int way)
{
    sdb_slice lower = TEXT("k"), upper = TEXT("k55");
    sdb_range most = {.lower = &lower, .upper = &upper};

    if (way == 0) OK(sdb_del(NULL, rows, TEXT("k00")));
    if (way == 1) OK(sdb_put(NULL, rows, TEXT("k000"), TEXT("new")));
    if (way == 2) OK(sdb_put(NULL, rows, TEXT("k30"), TEXT("new")));
    if (way == 3) OK(sdb_del_range(NULL, rows, &most));
    for (unsigned i = 0; way == 4 && i < 200; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "k%02u+%u", i % ROWS, i);
        kv_put_text(rows, key, "splits the leaf");
    }
}

/* Row i is told, going forward or backward. */
static void expect_row(sdb_cursor *cursor, unsigned i, bool forward)
{
    char wanted[8];
    sdb_slice key, value;

    (void)snprintf(wanted, sizeof wanted, "k%02u", forward ? i : ROWS - 1 - i);
    OK(forward ? sdb_cursor_next(cursor, &key, &value) : sdb_cursor_prev(cursor, &key, &value));
    ck_assert_msg(kv_is(key, wanted) && kv_is(value, wanted), "%.*s=%.*s instead of %s",
                  (int)key.size, (const char *)key.data, (int)value.size,
                  (const char *)value.data, wanted);
}

START_TEST(a_leaf_that_changes_under_a_cursor_changes_nothing_for_it)
{
    bool forward = _i % 2;
    unsigned seen = seen_before[_i / 10];
    sdb_txn *reader;
    sdb_cursor *cursor;
    sdb_slice key, value, end = TEXT("l");

    OK(sdb_txn_begin(db, SDB_TXN_READ, &reader));
    OK(sdb_cursor_open(reader, rows, NULL, &cursor));
    OK(forward ? sdb_cursor_seek(cursor, TEXT("k00"), &key, &value)
               : sdb_cursor_seek_back(cursor, end, &key, &value));
    for (unsigned i = 1; i < seen; i++) expect_row(cursor, i, forward);
    disturb(_i / 2 % 5);
    for (unsigned i = seen; i < ROWS; i++) expect_row(cursor, i, forward);
    IS(forward ? sdb_cursor_next(cursor, &key, &value) : sdb_cursor_prev(cursor, &key, &value),
       SDB_END);
    sdb_cursor_close(cursor);
    OK(sdb_txn_commit(reader));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kv_cursor");
    TCase *cases = tcase_create("cursor");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_loop_test(cases, a_leaf_that_changes_under_a_cursor_changes_nothing_for_it, 0,
                         10 * PLACES);
    suite_add_tcase(suite, cases);
    return kv_main(suite);
}
