/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_kv_txn.c: what the headers say of keyspaces, transactions and limits, claim by claim.
 */
#include "tests/kv/kv_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"

static struct io *io;
static sdb_options options;
static sdb_db *db;
static sdb_keyspace *keyspace;
static struct kv_ledger ledger;
static sdb_allocator allocator;

static void setup(void)
{
    io = kv_disk(3);
    allocator = kv_ledger_allocator(&ledger);
    options = kv_options(4096);
    options.allocator = &allocator;
    db = kv_open(io, &options);
    keyspace = kv_keyspace(db, "a");
}

static void teardown(void)
{
    OK(sdb_close(db));
    sdb__io_free(io);
    ck_assert_int_eq(atomic_load(&ledger.out), 0);
}

/* The power fails, keeping nothing unsynced; the database is opened again. */
static void lose_power(void)
{
    db = kv_lose_power(io, &options, db);
    keyspace = kv_keyspace(db, "a");
}

static sdb_txn *begin(unsigned flags)
{
    return kv_begin(db, flags);
}

static void put(sdb_txn *txn, const char *key, const char *value)
{
    OK(sdb_put(txn, keyspace, kv_slice(key), kv_slice(value)));
}

/* ---- limits ------------------------------------------------------------------------------- */

START_TEST(key_of_65536_bytes_is_the_longest)
{
    static uint8_t key[SDB_KEY_MAX + 1];
    sdb_txn *txn;
    sdb_slice value, longest = {key, SDB_KEY_MAX}, beyond = {key, SDB_KEY_MAX + 1};
    size_t size;

    OK(sdb_put(NULL, keyspace, longest, TEXT("long")));
    SAYS(sdb_put(NULL, keyspace, beyond, TEXT("too long")), SDB_LIMIT, "65536");
    IS(sdb_del(NULL, keyspace, beyond), SDB_LIMIT);
    txn = begin(SDB_TXN_WRITE);
    OK(sdb_get(txn, keyspace, longest, &value));
    ck_assert(kv_is(value, "long"));
    IS(sdb_get(txn, keyspace, beyond, &value), SDB_LIMIT);
    IS(sdb_put(txn, keyspace, beyond, value), SDB_LIMIT);
    IS(sdb_insert(txn, keyspace, beyond, value), SDB_LIMIT);
    IS(sdb_get_copy(keyspace, beyond, NULL, 0, &size), SDB_LIMIT);
    sdb_txn_abort(txn);
    lose_power();
    txn = begin(SDB_TXN_READ);
    OK(sdb_get(txn, keyspace, longest, &value));
    sdb_txn_abort(txn);
}
END_TEST

START_TEST(seeking_beyond_the_longest_key_is_well_behaved)
{
    static uint8_t key[2 * SDB_KEY_MAX];
    sdb_txn *txn;
    sdb_cursor *cursor;
    sdb_slice found;

    OK(sdb_put(NULL, keyspace, (sdb_slice){key, SDB_KEY_MAX}, TEXT("long")));
    txn = begin(SDB_TXN_READ);
    OK(sdb_cursor_open(txn, keyspace, NULL, &cursor));
    IS(sdb_cursor_seek(cursor, (sdb_slice){key, SDB_KEY_MAX + 1}, &found, NULL), SDB_END);
    OK(sdb_cursor_seek_back(cursor, (sdb_slice){key, sizeof key}, &found, NULL));
    ck_assert_uint_eq(found.size, SDB_KEY_MAX);
    OK(sdb_cursor_seek_back(cursor, (sdb_slice){key, SDB_KEY_MAX}, &found, NULL));
    IS(sdb_cursor_seek_back(cursor, (sdb_slice){key, SDB_KEY_MAX - 1}, &found, NULL), SDB_END);
    sdb_cursor_close(cursor);
    sdb_txn_abort(txn);
}
END_TEST

START_TEST(value_beyond_2_gib_is_refused_without_memory)
{
    static const uint8_t one;

    atomic_store(&ledger.largest, 0);
    SAYS(sdb_put(NULL, keyspace, TEXT("k"), (sdb_slice){&one, (size_t)SDB_VALUE_MAX + 1}),
         SDB_LIMIT, "2147483648");
    ck_assert_uint_lt(atomic_load(&ledger.largest), MIB);
}
END_TEST

START_TEST(empty_key_and_empty_value_are_ordinary)
{
    sdb_txn *txn = begin(SDB_TXN_WRITE);
    sdb_slice none = {NULL, 0}, value;

    OK(sdb_put(txn, keyspace, none, none));
    IS(sdb_insert(txn, keyspace, none, none), SDB_EXISTS);
    OK(sdb_txn_commit(txn));
    lose_power();
    txn = begin(SDB_TXN_WRITE);
    OK(sdb_get(txn, keyspace, none, &value));
    ck_assert_uint_eq(value.size, 0);
    OK(sdb_del(txn, keyspace, none));
    IS(sdb_del(txn, keyspace, none), SDB_NOTFOUND);
    OK(sdb_txn_commit(txn));
    IS(sdb_put(NULL, keyspace, (sdb_slice){NULL, 3}, none), SDB_INVALID);
}
END_TEST

START_TEST(old_versions_stay_within_their_limit)
{
    static uint8_t value[900];
    sdb_txn *reader, *writer;
    sdb_stats stats = {.size = sizeof stats};
    sdb_status status = SDB_OK;
    unsigned done = 0;

    OK(sdb_close(db));
    options.version_bytes = 64 * KIB;
    db = kv_open(io, &options);
    keyspace = kv_keyspace(db, "a");
    reader = begin(SDB_TXN_READ);
    for (; status == SDB_OK && done < 1000; done++)
        status = sdb_put(NULL, keyspace, TEXT("k"), (sdb_slice){value, sizeof value});
    SAYS(status, SDB_LIMIT, "version_bytes");
    ck_assert_uint_gt(done, 30);
    OK(sdb_stat(db, &stats));
    ck_assert_uint_le(stats.version_bytes, 66 * KIB);
    writer = begin(SDB_TXN_WRITE);
    put(writer, "j", "x");
    (void)!sdb_txn_commit(writer);
    sdb_txn_abort(reader);
    kv_put_text(keyspace, "k", "goes on");
}
END_TEST

/* ---- keyspaces ---------------------------------------------------------------------------- */

START_TEST(keyspaces_are_walked_in_order)
{
    static const char *const names[] = {"zeta", "Z", "\xc3\xa4", "a b"};
    static const char *const sorted[] = {"Z", "a", "a b", "zeta", "\xc3\xa4"};
    char name[SDB_KEYSPACE_NAME_MAX + 1] = "", *after = NULL;

    for (unsigned i = 0; i < 4; i++) (void)kv_keyspace(db, names[i]);
    for (unsigned i = 0; i < 5; i++) {
        OK(sdb_keyspace_next(db, after, name));
        ck_assert_str_eq(name, sorted[i]);
        after = name;
    }
    IS(sdb_keyspace_next(db, name, name), SDB_END);
    OK(sdb_keyspace_next(db, "aa", name));
    ck_assert_str_eq(name, "zeta");
}
END_TEST

START_TEST(names_of_255_bytes_are_the_longest)
{
    char name[SDB_KEYSPACE_NAME_MAX + 2];
    sdb_keyspace *made;

    memset(name, 'n', sizeof name);
    name[SDB_KEYSPACE_NAME_MAX + 1] = 0;
    SAYS(sdb_keyspace_open(db, name, 0, &made), SDB_LIMIT, "255");
    name[SDB_KEYSPACE_NAME_MAX] = 0;
    made = kv_keyspace(db, name);
    kv_put_text(made, "k", "v");
    name[SDB_KEYSPACE_NAME_MAX - 1] = 0;
    (void)kv_keyspace(db, name);
    lose_power();
    name[SDB_KEYSPACE_NAME_MAX - 1] = 'n';
    OK(sdb_keyspace_open(db, name, SDB_KEYSPACE_MUST_EXIST, &made));
    kv_expect(made, "k", "v");
    OK(sdb_keyspace_drop(made));
}
END_TEST

START_TEST(bad_names_are_refused)
{
    static const char *const bad[] = {"",      "\x01",     "a\nb",         "\x7f",
                                      "\xff",  "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                      "ab\xc3"};
    sdb_keyspace *made;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        IS(sdb_keyspace_open(db, bad[i], 0, &made), SDB_INVALID);
    IS(sdb_keyspace_open(db, NULL, 0, &made), SDB_INVALID);
}
END_TEST

START_TEST(dropped_keyspace_is_read_by_those_who_began_before)
{
    sdb_txn *before = begin(SDB_TXN_READ), *writer = begin(SDB_TXN_WRITE), *after;
    sdb_keyspace *again;
    sdb_slice value;
    size_t size;

    sdb_txn_abort(before);
    kv_put_text(keyspace, "k", "old");
    before = begin(SDB_TXN_READ);
    put(writer, "mine", "x");
    OK(sdb_keyspace_drop(keyspace));
    OK(sdb_get(before, keyspace, TEXT("k"), &value));
    ck_assert(kv_is(value, "old"));
    SAYS(sdb_txn_commit(writer), SDB_NOTFOUND, "dropped");
    after = begin(SDB_TXN_WRITE);
    IS(sdb_get(after, keyspace, TEXT("k"), &value), SDB_NOTFOUND);
    IS(sdb_put(after, keyspace, TEXT("k"), TEXT("v")), SDB_NOTFOUND);
    IS(sdb_get_copy(keyspace, TEXT("k"), NULL, 0, &size), SDB_NOTFOUND);
    IS(sdb_keyspace_drop(keyspace), SDB_NOTFOUND);
    again = kv_keyspace(db, "a");
    ck_assert_ptr_ne(again, keyspace);
    OK(sdb_put(NULL, again, TEXT("k"), TEXT("new")));
    OK(sdb_get(before, keyspace, TEXT("k"), &value));
    ck_assert(kv_is(value, "old"));
    IS(sdb_get(before, again, TEXT("k"), &value), SDB_NOTFOUND);
    sdb_txn_abort(after);
    sdb_txn_abort(before);
    kv_check_sound(db);
    kv_expect(again, "k", "new");
}
END_TEST

START_TEST(keyspaces_numbered_out_of_order_are_there_after_reopening)
{
    sdb_keyspace *made;

    /* As when one thread takes a number, and another the next one and commits first. */
    OK(sdb__keyspace_apply_make(db, 7, (struct bytes){(const uint8_t *)"late", 4}, 0,
                                1));
    OK(sdb__keyspace_apply_make(db, 6, (struct bytes){(const uint8_t *)"early", 5}, 0,
                                1));
    db->changed = true;
    OK(sdb_close(db));
    db = kv_open(io, &options);
    OK(sdb_keyspace_open(db, "late", SDB_KEYSPACE_MUST_EXIST, &made));
    OK(sdb_keyspace_open(db, "early", SDB_KEYSPACE_MUST_EXIST, &made));
    (void)kv_keyspace(db, "next");
}
END_TEST

/* ---- transactions ------------------------------------------------------------------------- */

START_TEST(first_committer_wins)
{
    sdb_txn *first = begin(SDB_TXN_WRITE), *second = begin(SDB_TXN_WRITE);
    sdb_stats stats = {.size = sizeof stats};

    put(first, "k", "1");
    put(second, "k", "2");
    OK(sdb_txn_commit(second));
    SAYS(sdb_txn_commit(first), SDB_CONFLICT, "run it again");
    kv_expect(keyspace, "k", "2");
    OK(sdb_stat(db, &stats));
    ck_assert_uint_eq(stats.conflicts, 1);
}
END_TEST

START_TEST(deletes_conflict_too)
{
    sdb_txn *first, *second;

    kv_put_text(keyspace, "k", "0");
    first = begin(SDB_TXN_WRITE);
    second = begin(SDB_TXN_WRITE);
    OK(sdb_del(first, keyspace, TEXT("k")));
    put(second, "k", "2");
    OK(sdb_txn_commit(first));
    IS(sdb_txn_commit(second), SDB_CONFLICT);
    kv_expect(keyspace, "k", NULL);
    kv_put_text(keyspace, "k", "0");
    first = begin(SDB_TXN_WRITE);
    second = begin(SDB_TXN_WRITE);
    put(first, "k", "1");
    OK(sdb_del(second, keyspace, TEXT("k")));
    OK(sdb_txn_commit(first));
    IS(sdb_txn_commit(second), SDB_CONFLICT);
    kv_expect(keyspace, "k", "1");
}
END_TEST

START_TEST(write_skew_is_allowed)
{
    sdb_txn *first, *second;
    sdb_slice value;

    kv_put_text(keyspace, "ann", "on call");
    kv_put_text(keyspace, "bob", "on call");
    first = begin(SDB_TXN_WRITE);
    second = begin(SDB_TXN_WRITE);
    OK(sdb_get(first, keyspace, TEXT("bob"), &value));
    put(first, "ann", "off");
    OK(sdb_get(second, keyspace, TEXT("ann"), &value));
    ck_assert(kv_is(value, "on call"));
    put(second, "bob", "off");
    OK(sdb_txn_commit(first));
    OK(sdb_txn_commit(second));
    kv_expect(keyspace, "ann", "off");
    kv_expect(keyspace, "bob", "off");
}
END_TEST

START_TEST(batches_never_conflict_and_cannot_read)
{
    sdb_txn *batch = begin(SDB_TXN_BATCH), *other = begin(SDB_TXN_WRITE);
    sdb_cursor *cursor;
    sdb_slice value;
    uint64_t count;

    put(batch, "k", "batch");
    put(other, "k", "other");
    OK(sdb_txn_commit(other));
    SAYS(sdb_get(batch, keyspace, TEXT("k"), &value), SDB_INVALID, "SDB_TXN_WRITE");
    IS(sdb_cursor_open(batch, keyspace, NULL, &cursor), SDB_INVALID);
    IS(sdb_count(batch, keyspace, NULL, &count), SDB_INVALID);
    IS(sdb_insert(batch, keyspace, TEXT("k"), TEXT("x")), SDB_INVALID);
    OK(sdb_del(batch, keyspace, TEXT("never was")));
    OK(sdb_txn_commit(batch));
    kv_expect(keyspace, "k", "batch");
}
END_TEST

/* Each of 500 keys as the array says: "" is no such key. */
static void expect_keys(char expected[500][16])
{
    char key[16];

    for (unsigned i = 0; i < 500; i++) {
        uint8_t value[16];
        size_t size = 0;
        sdb_status status;

        snprintf(key, sizeof key, "%u", i * 7919 % 500);
        status = sdb_get_copy(keyspace, kv_slice(key), value, sizeof value, &size);
        ck_assert_int_eq(status, expected[i][0] ? SDB_OK : SDB_NOTFOUND);
        ck_assert_uint_eq(size, strlen(expected[i]));
        ck_assert_mem_eq(value, expected[i], size);
    }
}

START_TEST(large_batches_end_as_they_stand)
{
    static char expected[500][16];
    sdb_txn *batch = begin(SDB_TXN_BATCH);
    uint64_t random = 11;

    memset(expected, 0, sizeof expected);
    for (unsigned n = 0; n < 6000; n++) { /* each key a dozen times: the last one counts */
        unsigned i = (unsigned)random_below(&random, 500);
        char key[16];

        snprintf(key, sizeof key, "%u", i * 7919 % 500);
        if (random_below(&random, 4) == 0) {
            OK(sdb_del(batch, keyspace, kv_slice(key)));
            expected[i][0] = 0;
        } else {
            snprintf(expected[i], sizeof expected[i], "v%u", n);
            put(batch, key, expected[i]);
        }
    }
    OK(sdb_txn_commit(batch));
    expect_keys(expected);
    lose_power(); /* recovery applies it in the order of the log */
    expect_keys(expected);
}
END_TEST

START_TEST(closed_cursors_do_not_hinder_a_commit)
{
    sdb_txn *txn = begin(SDB_TXN_WRITE);
    sdb_cursor *cursor;

    put(txn, "k", "v");
    OK(sdb_cursor_open(txn, keyspace, NULL, &cursor));
    sdb_cursor_close(cursor);
    OK(sdb_txn_commit(txn));
    kv_expect(keyspace, "k", "v");
}
END_TEST

START_TEST(open_cursors_end_with_their_transaction)
{
    sdb_txn *txn = begin(SDB_TXN_WRITE), *next;
    sdb_cursor *cursor[3];
    sdb_slice key, value;

    put(txn, "k", "v");
    for (int i = 0; i < 3; i++) OK(sdb_cursor_open(txn, keyspace, NULL, &cursor[i]));
    OK(sdb_cursor_next(cursor[1], &key, &value));
    SAYS(sdb_txn_commit(txn), SDB_INVALID, "cursors open");
    next = begin(SDB_TXN_WRITE); /* perhaps the same memory */
    SAYS(sdb_cursor_next(cursor[1], &key, &value), SDB_INVALID, "has ended");
    for (int i = 0; i < 3; i++) sdb_cursor_close(cursor[(i + 1) % 3]);
    put(next, "l", "w");
    OK(sdb_txn_commit(next));
    kv_expect(keyspace, "l", "w");
    txn = begin(SDB_TXN_READ);
    IS(sdb_get(txn, keyspace, TEXT("k"), &value), SDB_NOTFOUND);
    sdb_txn_abort(txn);
}
END_TEST

START_TEST(savepoints_nest)
{
    sdb_txn *txn = begin(SDB_TXN_WRITE);
    uint64_t outer, inner;

    put(txn, "k", "1");
    OK(sdb_savepoint_set(txn, &outer));
    put(txn, "k", "2");
    OK(sdb_savepoint_set(txn, &inner));
    OK(sdb_del(txn, keyspace, TEXT("k")));
    OK(sdb_savepoint_rollback(txn, inner));
    OK(sdb_savepoint_rollback(txn, outer));
    SAYS(sdb_savepoint_rollback(txn, inner), SDB_NOTFOUND, "savepoint");
    put(txn, "j", "3");
    OK(sdb_savepoint_rollback(txn, outer));
    OK(sdb_txn_commit(txn));
    kv_expect(keyspace, "k", "1");
    kv_expect(keyspace, "j", NULL);
}
END_TEST

struct stubborn {
    unsigned runs;
    bool always;
};

static sdb_status meet_resistance(sdb_txn *txn, void *context)
{
    struct stubborn *s = context;

    if (s->always || s->runs < 3) kv_put_text(keyspace, "k", "theirs");
    s->runs++;
    return sdb_put(txn, keyspace, TEXT("k"), TEXT("mine"));
}

START_TEST(run_repeats_until_there_is_no_conflict)
{
    struct stubborn some = {0}, all = {.always = true};

    OK(sdb_txn_run(db, SDB_TXN_WRITE, meet_resistance, &some, 0));
    ck_assert_uint_eq(some.runs, 4);
    kv_expect(keyspace, "k", "mine");
    IS(sdb_txn_run(db, SDB_TXN_WRITE, meet_resistance, &all, 20), SDB_CONFLICT);
    ck_assert_uint_gt(all.runs, 1);
    kv_expect(keyspace, "k", "theirs");
}
END_TEST

/* ---- durability --------------------------------------------------------------------------- */

static void put_at(const char *key, sdb_durability durability)
{
    sdb_txn *txn = begin(SDB_TXN_BATCH);

    put(txn, key, "v");
    sdb_txn_set_durability(txn, durability);
    OK(sdb_txn_commit(txn));
}

START_TEST(levels_say_what_survives_power_failure)
{
    put_at("none", SDB_DURABILITY_NONE);
    kv_expect(keyspace, "none", "v");
    lose_power();
    kv_expect(keyspace, "none", NULL);
    put_at("none", SDB_DURABILITY_NONE);
    put_at("full", SDB_DURABILITY_FULL); /* and all before it */
    put_at("later", SDB_DURABILITY_NONE);
    lose_power();
    kv_expect(keyspace, "none", "v");
    kv_expect(keyspace, "full", "v");
    kv_expect(keyspace, "later", NULL);
    put_at("later", SDB_DURABILITY_NONE);
    OK(sdb_sync(db));
    lose_power();
    kv_expect(keyspace, "later", "v");
    put_at("last", SDB_DURABILITY_NONE);
    OK(sdb_checkpoint(db));
    lose_power();
    kv_expect(keyspace, "last", "v");
}
END_TEST

START_TEST(group_commits_are_synced_when_the_interval_has_gone)
{
    OK(sdb_close(db));
    options.durability = SDB_DURABILITY_GROUP;
    options.group_interval_ms = 3600 * 1000;
    db = kv_open(io, &options);
    keyspace = kv_keyspace(db, "a");
    kv_put_text(keyspace, "early", "v");
    lose_power();
    kv_expect(keyspace, "early", NULL);
    kv_put_text(keyspace, "early", "v");
    atomic_store(&db->last_sync_ns, sdb__clock_now_ns() - 7200 * UINT64_C(1000000000));
    kv_put_text(keyspace, "late", "v");
    lose_power();
    kv_expect(keyspace, "early", "v");
    kv_expect(keyspace, "late", "v");
}
END_TEST

START_TEST(an_estimate_is_of_what_was_committed_last)
{
    sdb_slice upper = TEXT("c");
    sdb_range range = {.upper = &upper};
    uint64_t count = 77;
    sdb_txn *older = begin(SDB_TXN_WRITE);

    kv_put_text(keyspace, "a", "1");
    kv_put_text(keyspace, "b", "1");
    kv_put_text(keyspace, "c", "1");
    OK(sdb_put(older, keyspace, TEXT("aa"), TEXT("own")));
    OK(sdb_count_approx(keyspace, &range, &count));
    ck_assert_uint_eq(count, 2);
    OK(sdb_count_approx(keyspace, NULL, &count));
    ck_assert_uint_eq(count, 3);
    sdb_txn_abort(older);
    IS(sdb_count_approx(keyspace, NULL, NULL), SDB_INVALID);
    OK(sdb_keyspace_drop(keyspace));
    IS(sdb_count_approx(keyspace, NULL, &count), SDB_NOTFOUND);
    ck_assert_uint_eq(count, 3);
}
END_TEST

START_TEST(nonsense_is_answered)
{
    sdb_txn *txn;
    sdb_slice value;
    sdb_db *other;
    sdb_keyspace *elsewhere;

    IS(sdb_txn_begin(db, 8, &txn), SDB_INVALID);
    IS(sdb_txn_begin(NULL, 0, &txn), SDB_INVALID);
    IS(sdb_txn_commit(NULL), SDB_INVALID);
    IS(sdb_put(NULL, NULL, TEXT("k"), TEXT("v")), SDB_INVALID);
    IS(sdb_insert(NULL, keyspace, TEXT("k"), TEXT("v")), SDB_INVALID);
    OK(sdb_open(":memory:", NULL, &other));
    elsewhere = kv_keyspace(other, "a");
    txn = begin(SDB_TXN_WRITE);
    SAYS(sdb_put(txn, elsewhere, TEXT("k"), TEXT("v")), SDB_INVALID, "another database");
    SAYS(sdb_get(txn, elsewhere, TEXT("k"), &value), SDB_INVALID, "another database");
    sdb_txn_abort(txn);
    sdb_txn_abort(NULL);
    sdb_cursor_close(NULL);
    OK(sdb_close(other));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kv_txn");
    TCase *cases = tcase_create("txn");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, key_of_65536_bytes_is_the_longest);
    tcase_add_test(cases, seeking_beyond_the_longest_key_is_well_behaved);
    tcase_add_test(cases, value_beyond_2_gib_is_refused_without_memory);
    tcase_add_test(cases, empty_key_and_empty_value_are_ordinary);
    tcase_add_test(cases, old_versions_stay_within_their_limit);
    tcase_add_test(cases, keyspaces_are_walked_in_order);
    tcase_add_test(cases, names_of_255_bytes_are_the_longest);
    tcase_add_test(cases, bad_names_are_refused);
    tcase_add_test(cases, dropped_keyspace_is_read_by_those_who_began_before);
    tcase_add_test(cases, keyspaces_numbered_out_of_order_are_there_after_reopening);
    tcase_add_test(cases, first_committer_wins);
    tcase_add_test(cases, deletes_conflict_too);
    tcase_add_test(cases, write_skew_is_allowed);
    tcase_add_test(cases, batches_never_conflict_and_cannot_read);
    tcase_add_test(cases, large_batches_end_as_they_stand);
    tcase_add_test(cases, closed_cursors_do_not_hinder_a_commit);
    tcase_add_test(cases, open_cursors_end_with_their_transaction);
    tcase_add_test(cases, savepoints_nest);
    tcase_add_test(cases, run_repeats_until_there_is_no_conflict);
    tcase_add_test(cases, levels_say_what_survives_power_failure);
    tcase_add_test(cases, group_commits_are_synced_when_the_interval_has_gone);
    tcase_add_test(cases, an_estimate_is_of_what_was_committed_last);
    tcase_add_test(cases, nonsense_is_answered);
    suite_add_tcase(suite, cases);
    return kv_main(suite);
}
