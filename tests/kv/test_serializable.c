/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_serializable.c: what counts as read in a serializable transaction, and what does not.
 *
 * The keys are two digits, 10, 20, …, 90. In each case a transaction reads, somebody else changes
 * one key, and the transaction commits a key of its own: that answers SDB_CONFLICT just if the
 * change lay in what was read.
 */
#include "tests/kv/kv_fixture.h"

#include <stdio.h>
#include <string.h>

static struct io *io;
static sdb_options options;
static sdb_db *db;
static sdb_keyspace *keyspace, *own;

static void setup(void)
{
    io = kv_disk(5);
    options = kv_options(4096);
    db = kv_open(io, &options);
    keyspace = kv_keyspace(db, "a");
    own = kv_keyspace(db, "own");
    for (int i = 1; i < 10; i++) kv_put_text(keyspace, (char[3]){(char)('0' + i), '0', 0}, "v");
}

static void teardown(void)
{
    OK(sdb_close(db));
    sdb__io_free(io);
}

static sdb_txn *begin(void)
{
    return kv_begin(db, SDB_TXN_WRITE | SDB_TXN_SERIALIZABLE);
}

/* Changes a key behind the transaction's back, then commits it. */
static sdb_status commit_after(sdb_txn *txn, const char *changed)
{
    kv_put_text(keyspace, changed, "changed");
    OK(sdb_put(txn, own, TEXT("mine"), kv_slice(changed)));
    return sdb_txn_commit(txn);
}

typedef void (*read_fn)(sdb_txn *txn);

/* The keys whose change the reader does not survive, of those that end in 0 or 5. */
static void expect_conflicts(read_fn read, const char *conflicting)
{
    for (int i = 5; i < 100; i += 5) {
        char key[3] = {(char)('0' + i / 10), (char)('0' + i % 10), 0};
        sdb_txn *txn = begin();
        bool found = false;
        sdb_status status;

        for (const char *at = conflicting; *at; at += at[2] ? 3 : 2)
            found = found || memcmp(at, key, 2) == 0;
        read(txn);
        status = commit_after(txn, key);
        ck_assert_msg(status == (found ? SDB_CONFLICT : SDB_OK), "changing %s: %s", key,
                      sdb_status_name(status));
        if (i % 10) OK(sdb_del(NULL, keyspace, kv_slice(key)));
    }
}

static sdb_cursor *cursor_at(sdb_txn *txn, const char *lower, const char *upper)
{
    sdb_slice low = kv_slice(lower ? lower : ""), high = kv_slice(upper ? upper : "");
    sdb_range range = {.lower = lower ? &low : NULL, .upper = upper ? &high : NULL};
    sdb_cursor *cursor;

    OK(sdb_cursor_open(txn, keyspace, &range, &cursor));
    return cursor;
}

static void expect_at(sdb_status status, sdb_slice key, const char *wanted)
{
    OK(status);
    ck_assert(kv_is(key, wanted));
}

static void read_key(sdb_txn *txn)
{
    sdb_slice value;

    OK(sdb_get(txn, keyspace, TEXT("30"), &value));
}

static void read_absent_key(sdb_txn *txn)
{
    sdb_slice value;

    IS(sdb_get(txn, keyspace, TEXT("35"), &value), SDB_NOTFOUND);
}

static void insert_and_delete(sdb_txn *txn)
{
    IS(sdb_insert(txn, keyspace, TEXT("30"), TEXT("x")), SDB_EXISTS);
    IS(sdb_del(txn, keyspace, TEXT("45")), SDB_NOTFOUND);
}

static void walk_forward(sdb_txn *txn)
{
    sdb_cursor *cursor = cursor_at(txn, NULL, NULL);
    sdb_slice key, value;

    expect_at(sdb_cursor_seek(cursor, TEXT("25"), &key, NULL), key, "30");
    expect_at(sdb_cursor_next(cursor, &key, &value), key, "40");
    expect_at(sdb_cursor_next(cursor, &key, NULL), key, "50");
    sdb_cursor_close(cursor);
}

static void walk_backward(sdb_txn *txn)
{
    sdb_cursor *cursor = cursor_at(txn, NULL, NULL);
    sdb_slice key, value;

    expect_at(sdb_cursor_seek_back(cursor, TEXT("55"), &key, &value), key, "50");
    expect_at(sdb_cursor_prev(cursor, &key, NULL), key, "40");
    expect_at(sdb_cursor_prev(cursor, &key, NULL), key, "30");
    sdb_cursor_close(cursor);
}

static void turn_round(sdb_txn *txn)
{
    sdb_cursor *cursor = cursor_at(txn, NULL, NULL);
    sdb_slice key;

    expect_at(sdb_cursor_seek(cursor, TEXT("40"), &key, NULL), key, "40");
    expect_at(sdb_cursor_next(cursor, &key, NULL), key, "50");
    expect_at(sdb_cursor_prev(cursor, &key, NULL), key, "40");
    expect_at(sdb_cursor_prev(cursor, &key, NULL), key, "30");
    sdb_cursor_close(cursor);
}

static void walk_to_the_ends(sdb_txn *txn)
{
    sdb_cursor *cursor = cursor_at(txn, "40", "60");
    sdb_slice key;

    expect_at(sdb_cursor_last(cursor, &key, NULL), key, "50");
    IS(sdb_cursor_next(cursor, &key, NULL), SDB_END);
    expect_at(sdb_cursor_first(cursor, &key, NULL), key, "40");
    IS(sdb_cursor_prev(cursor, &key, NULL), SDB_END);
    sdb_cursor_close(cursor);
}

static void walk_off_the_end(sdb_txn *txn)
{
    sdb_cursor *cursor = cursor_at(txn, NULL, NULL);
    sdb_slice key;

    expect_at(sdb_cursor_last(cursor, &key, NULL), key, "90");
    sdb_cursor_close(cursor);
    cursor = cursor_at(txn, NULL, NULL);
    expect_at(sdb_cursor_first(cursor, &key, NULL), key, "10");
    sdb_cursor_close(cursor);
}

static void count_some(sdb_txn *txn)
{
    sdb_slice lower = TEXT("20"), upper = TEXT("45");
    uint64_t count;

    OK(sdb_count(txn, keyspace, &(sdb_range){.lower = &lower, .upper = &upper}, &count));
    ck_assert_uint_eq(count, 3);
}

/* Own entries lie between those of others: what lies between was passed all the same. */
static void walk_over_own_entries(sdb_txn *txn)
{
    sdb_cursor *cursor = cursor_at(txn, "22", NULL);
    uint64_t savepoint;
    sdb_slice key;

    OK(sdb_savepoint_set(txn, &savepoint));
    OK(sdb_put(txn, keyspace, TEXT("27"), TEXT("own")));
    OK(sdb_put(txn, keyspace, TEXT("37"), TEXT("own")));
    expect_at(sdb_cursor_first(cursor, &key, NULL), key, "27");
    expect_at(sdb_cursor_next(cursor, &key, NULL), key, "30");
    expect_at(sdb_cursor_next(cursor, &key, NULL), key, "37");
    sdb_cursor_close(cursor);
    OK(sdb_savepoint_rollback(txn, savepoint)); /* what was seen stays seen */
}

static void read_own(sdb_txn *txn)
{
    sdb_slice value;

    OK(sdb_put(txn, own, TEXT("30"), TEXT("own")));
    OK(sdb_get(txn, own, TEXT("30"), &value));
}

START_TEST(keys_got_or_looked_for_are_read)
{
    expect_conflicts(read_key, "30");
    expect_conflicts(read_absent_key, "35");
    expect_conflicts(insert_and_delete, "30 45");
    expect_conflicts(read_own, "");
}
END_TEST

START_TEST(cursors_read_what_they_pass)
{
    expect_conflicts(walk_forward, "25 30 35 40 45 50");
    expect_conflicts(walk_backward, "30 35 40 45 50 55");
    expect_conflicts(turn_round, "30 35 40 45 50");
    expect_conflicts(walk_to_the_ends, "40 50 55");
    expect_conflicts(walk_off_the_end, "05 10 90 95");
    expect_conflicts(count_some, "20 25 30 35 40");
    expect_conflicts(walk_over_own_entries, "25 30 35");
}
END_TEST

START_TEST(deletes_are_changes)
{
    sdb_txn *txn = begin();

    read_key(txn);
    OK(sdb_del(NULL, keyspace, TEXT("30")));
    SAYS(commit_after(txn, "90"), SDB_CONFLICT, "has read in keyspace \"a\"");
}
END_TEST

START_TEST(versions_kept_for_older_readers_hide_nothing)
{
    sdb_txn *older, *txn;

    OK(sdb_txn_begin(db, SDB_TXN_READ, &older));
    kv_put_text(keyspace, "30", "before");
    txn = begin();
    read_key(txn);
    IS(commit_after(txn, "30"), SDB_CONFLICT);
    txn = begin();
    read_key(txn); /* there are versions of the key, but all of them older */
    OK(commit_after(txn, "40"));
    sdb_txn_abort(older);
}
END_TEST

START_TEST(dropping_a_keyspace_changes_all_that_was_read_in_it)
{
    sdb_txn *txn = begin(), *other = begin();
    sdb_keyspace *dropped = kv_keyspace(db, "b");
    sdb_slice value;

    sdb_txn_abort(txn);
    txn = begin();
    IS(sdb_get(txn, dropped, TEXT("k"), &value), SDB_NOTFOUND);
    OK(sdb_keyspace_drop(dropped));
    IS(commit_after(txn, "90"), SDB_CONFLICT);
    OK(commit_after(other, "90"));
}
END_TEST

START_TEST(keyspaces_made_since_are_read_as_empty)
{
    sdb_txn *txn = begin(), *other;
    sdb_keyspace *made = kv_keyspace(db, "b");
    sdb_slice value;
    uint64_t count;

    IS(sdb_get(txn, made, TEXT("k"), &value), SDB_NOTFOUND);
    OK(commit_after(txn, "90"));
    txn = begin();
    other = begin();
    OK(sdb_count(txn, made, NULL, &count));
    kv_put_text(made, "k", "v");
    IS(commit_after(txn, "90"), SDB_CONFLICT);
    IS(sdb_get(other, made, TEXT("k"), &value), SDB_NOTFOUND);
    IS(commit_after(other, "90"), SDB_CONFLICT);
}
END_TEST

START_TEST(who_changes_nothing_never_conflicts)
{
    sdb_txn *txn = begin();

    read_key(txn);
    kv_put_text(keyspace, "30", "changed");
    OK(sdb_txn_commit(txn));
    OK(sdb_txn_begin(db, SDB_TXN_READ | SDB_TXN_SERIALIZABLE, &txn));
    read_key(txn);
    IS(sdb_put(txn, keyspace, TEXT("k"), TEXT("v")), SDB_READONLY);
    kv_put_text(keyspace, "30", "again");
    OK(sdb_txn_commit(txn));
    OK(sdb_txn_begin(db, SDB_TXN_BATCH | SDB_TXN_SERIALIZABLE, &txn));
    OK(commit_after(txn, "30"));
}
END_TEST

START_TEST(without_the_flag_reads_do_not_conflict_unless_the_database_says_so)
{
    sdb_txn *txn;

    OK(sdb_txn_begin(db, SDB_TXN_WRITE, &txn)); /* perhaps the memory of one that had the flag */
    read_key(txn);
    OK(commit_after(txn, "30"));
    OK(sdb_close(db));
    options.flags |= SDB_OPEN_SERIALIZABLE;
    db = kv_open(io, &options);
    keyspace = kv_keyspace(db, "a");
    own = kv_keyspace(db, "own");
    OK(sdb_txn_begin(db, SDB_TXN_WRITE, &txn));
    read_key(txn);
    IS(commit_after(txn, "30"), SDB_CONFLICT);
}
END_TEST

/* Many keys, far apart, so that they cannot be remembered singly. */
START_TEST(reading_much_loses_nothing)
{
    sdb_txn *txn = begin(), *other = begin();
    char key[1024];
    sdb_slice value;

    memset(key, 'k', sizeof key);
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(key, sizeof key, "%05u", i * 2);
        key[5] = 'k';
        IS(sdb_get(txn, own, (sdb_slice){key, sizeof key}, &value), SDB_NOTFOUND);
        IS(sdb_get(other, own, (sdb_slice){key, sizeof key}, &value), SDB_NOTFOUND);
    }
    snprintf(key, sizeof key, "%05u", 9000);
    key[5] = 'k';
    OK(sdb_put(NULL, keyspace, TEXT("30"), TEXT("not read")));
    OK(sdb_put(other, keyspace, TEXT("other"), TEXT("x")));
    OK(sdb_txn_commit(other));
    OK(sdb_put(NULL, own, (sdb_slice){key, sizeof key}, TEXT("x")));
    IS(commit_after(txn, "90"), SDB_CONFLICT);
}
END_TEST

struct raising {
    unsigned calls;
};

static sdb_status raise_own(sdb_txn *txn, void *context)
{
    struct raising *r = context;
    sdb_slice value;
    sdb_status status = sdb_get(txn, keyspace, TEXT("30"), &value);

    if (status == SDB_OK) status = sdb_put(txn, own, TEXT("copy"), value);
    if (r->calls++ < 3) kv_put_text(keyspace, "30", (char[2]){(char)('0' + r->calls), 0});
    return status;
}

START_TEST(run_repeats_what_read_something_old)
{
    struct raising r = {0};

    OK(sdb_txn_run(db, SDB_TXN_WRITE | SDB_TXN_SERIALIZABLE, raise_own, &r, 0));
    ck_assert_uint_eq(r.calls, 4);
    kv_expect(own, "copy", "3");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("serializable");
    TCase *cases = tcase_create("serializable");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, keys_got_or_looked_for_are_read);
    tcase_add_test(cases, cursors_read_what_they_pass);
    tcase_add_test(cases, deletes_are_changes);
    tcase_add_test(cases, versions_kept_for_older_readers_hide_nothing);
    tcase_add_test(cases, dropping_a_keyspace_changes_all_that_was_read_in_it);
    tcase_add_test(cases, keyspaces_made_since_are_read_as_empty);
    tcase_add_test(cases, who_changes_nothing_never_conflicts);
    tcase_add_test(cases, without_the_flag_reads_do_not_conflict_unless_the_database_says_so);
    tcase_add_test(cases, reading_much_loses_nothing);
    tcase_add_test(cases, run_repeats_what_read_something_old);
    suite_add_tcase(suite, cases);
    return kv_main(suite);
}
