/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_expiry.c: values are gone for every call once their time has come, not before, and then from
 * the file; with a clock that stands still until it is told to move.
 */
#include "tests/kv/kv_fixture.h"

#include <stdio.h>
#include <string.h>

enum { START = 1000000, LARGE = 20000, LONG = 700 };

static struct io *io;
static sdb_options options;
static sdb_db *db;
static sdb_keyspace *keyspace;
static struct kv_ledger ledger;
static sdb_allocator allocator;
static _Atomic uint64_t clock_ms;

static uint64_t tell_time(void)
{
    return atomic_load(&clock_ms);
}

static void use(sdb_db *opened)
{
    db = opened;
    sdb__db_set_clock(db, tell_time);
    keyspace = kv_keyspace(db, "a");
}

static void setup(void)
{
    io = kv_disk(7);
    ledger = (struct kv_ledger){.left = -1};
    allocator = kv_ledger_allocator(&ledger);
    options = kv_options(4096);
    options.allocator = &allocator;
    atomic_store(&clock_ms, START);
    use(kv_open(io, &options));
}

static void teardown(void)
{
    kv_check_sound(db);
    OK(sdb_close(db));
    kv_check_file_sound(io);
    sdb__io_free(io);
    ck_assert_int_eq(atomic_load(&ledger.out), 0);
}

/* The power fails, and the log is replayed. */
static void lose_power(void)
{
    use(kv_lose_power(io, &options, db));
}

static void put_until(const char *key, const char *value, uint64_t expiry)
{
    OK(sdb_put_expiring(NULL, keyspace, kv_slice(key), kv_slice(value), expiry));
}

static void expect_expiry(const char *key, uint64_t expiry)
{
    sdb_txn *txn = kv_begin(db, SDB_TXN_READ);
    uint64_t found = 1;

    OK(sdb_expiry_get(txn, keyspace, kv_slice(key), &found));
    ck_assert_uint_eq(found, expiry);
    sdb_txn_abort(txn);
}

/* What stands in the trees, expired or not. */
static uint64_t entries(void)
{
    sdb_check_result result = {.size = sizeof result};

    OK(sdb_check(db, NULL, NULL, NULL, &result));
    return result.entries;
}

static uint64_t expire(uint64_t limit)
{
    uint64_t removed = UINT64_MAX;

    OK(sdb_expire(db, limit, &removed));
    return removed;
}

/* ---- what is seen ------------------------------------------------------------------------- */

/* Every other key is a long one. */
static sdb_slice key_of(unsigned i)
{
    static char key[LONG + 16];
    size_t size = 0;

    if (i % 4 > 1) {
        size = LONG;
        memset(key, 'm', size);
    }
    size += (size_t)snprintf(key + size, 16, "%03u", i);
    return (sdb_slice){key, size};
}

enum { COUNT = 200 };

/* Inline values and large ones; every other one expires. */
static void fill(uint64_t expiry)
{
    static uint8_t value[LARGE];

    for (unsigned i = 0; i < COUNT; i++) {
        sdb_slice bytes = {value, i % 20 < 2 ? LARGE : 10 + i};

        kv_fill(value, bytes.size, i);
        if (i % 2) OK(sdb_put_expiring(NULL, keyspace, key_of(i), bytes, expiry));
        else OK(sdb_put(NULL, keyspace, key_of(i), bytes));
    }
}

static void walk(sdb_txn *txn, bool forward, unsigned wanted)
{
    sdb_cursor *cursor;
    sdb_slice key, value;
    unsigned count = 0;

    OK(sdb_cursor_open(txn, keyspace, NULL, &cursor));
    while ((forward ? sdb_cursor_next(cursor, &key, &value)
                    : sdb_cursor_prev(cursor, &key, &value)) == SDB_OK) {
        const char *digits = (const char *)key.data + key.size - 3;
        unsigned i = (unsigned)(digits[0] * 100 + digits[1] * 10 + digits[2] - '0' * 111);

        ck_assert_msg(kv_is_filled(value.data, value.size, i), "key %u has other bytes", i);
        count++;
    }
    sdb_cursor_close(cursor);
    ck_assert_uint_eq(count, wanted);
}

/* Every other entry is there or not, whoever asks. */
static void expect_others(sdb_txn *given, bool there)
{
    sdb_txn *txn = given ? given : kv_begin(db, SDB_TXN_READ);
    static uint8_t room[LARGE];
    sdb_get_queue *queue;
    sdb_get_result result;
    uint64_t count, expiry;
    sdb_slice value;
    size_t size;

    walk(txn, true, there ? COUNT : COUNT / 2);
    walk(txn, false, there ? COUNT : COUNT / 2);
    OK(sdb_count(txn, keyspace, NULL, &count));
    ck_assert_uint_eq(count, there ? COUNT : COUNT / 2);
    OK(sdb_get_queue_open(db, 4, &queue));
    for (unsigned i = 0; i < COUNT; i++) {
        sdb_status wanted = i % 2 && !there ? SDB_NOTFOUND : SDB_OK;
        unsigned done;

        IS(sdb_get(txn, keyspace, key_of(i), &value), wanted);
        if (wanted == SDB_OK) ck_assert(kv_is_filled(value.data, value.size, i));
        IS(sdb_expiry_get(txn, keyspace, key_of(i), &expiry), wanted);
        if (given) continue; /* the others are without a transaction */
        IS(sdb_get_copy(keyspace, key_of(i), room, sizeof room, &size), wanted);
        if (wanted == SDB_OK) ck_assert(kv_is_filled(room, size, i));
        OK(sdb_get_async(queue, keyspace, key_of(i), room, sizeof room, NULL));
        OK(sdb_get_queue_wait(queue, &result, 1, 1, &done));
        ck_assert_int_eq(result.status, wanted);
    }
    sdb_get_queue_close(queue);
    if (!given) sdb_txn_abort(txn);
}

START_TEST(value_is_there_until_its_time_comes_and_then_gone_for_every_call)
{
    sdb_txn *before, *txn;

    fill(START + 100);
    atomic_store(&clock_ms, START + 99);
    expect_others(NULL, true);
    before = kv_begin(db, SDB_TXN_READ);
    atomic_store(&clock_ms, START + 100);
    expect_others(NULL, false);
    expect_others(before, true); /* its time is the one at which it began */
    sdb_txn_abort(before);
    lose_power();
    expect_others(NULL, false);
    atomic_store(&clock_ms, START + 99);
    expect_others(NULL, true); /* it is the clock, nothing else */
    atomic_store(&clock_ms, START + 100);
    txn = kv_begin(db, SDB_TXN_WRITE);
    IS(sdb_del(txn, keyspace, key_of(1)), SDB_NOTFOUND);
    OK(sdb_insert(txn, keyspace, key_of(3), TEXT("new")));
    IS(sdb_insert(txn, keyspace, key_of(2), TEXT("new")), SDB_EXISTS);
    OK(sdb_txn_commit(txn));
}
END_TEST

START_TEST(old_versions_expire_too)
{
    sdb_txn *early, *late;

    kv_put_text(keyspace, "b", "plain");
    put_until("a", "first", START + 100);
    early = kv_begin(db, SDB_TXN_READ);
    atomic_store(&clock_ms, START + 150);
    late = kv_begin(db, SDB_TXN_READ);
    put_until("a", "second", START + 200);
    kv_put_text(keyspace, "b", "other");
    for (int i = 0; i < 2; i++) {
        sdb_txn *txn = i ? late : early;
        sdb_slice value;
        uint64_t count;

        IS(sdb_get(txn, keyspace, TEXT("a"), &value), i ? SDB_NOTFOUND : SDB_OK);
        if (!i) ck_assert(kv_is(value, "first"));
        OK(sdb_count(txn, keyspace, NULL, &count));
        ck_assert_uint_eq(count, i ? 1 : 2);
        sdb_txn_abort(txn);
    }
    kv_expect(keyspace, "a", "second");
}
END_TEST

START_TEST(transaction_sees_its_own_values_expire_at_its_own_time)
{
    sdb_txn *txn = kv_begin(db, SDB_TXN_WRITE);
    sdb_cursor *cursor;
    sdb_slice key, value;
    uint64_t expiry;

    OK(sdb_put_expiring(txn, keyspace, TEXT("past"), TEXT("1"), START - 1));
    OK(sdb_put_expiring(txn, keyspace, TEXT("soon"), TEXT("2"), START + 10));
    atomic_store(&clock_ms, START + 20);
    IS(sdb_get(txn, keyspace, TEXT("past"), &value), SDB_NOTFOUND);
    OK(sdb_get(txn, keyspace, TEXT("soon"), &value));
    OK(sdb_expiry_get(txn, keyspace, TEXT("soon"), &expiry));
    ck_assert_uint_eq(expiry, START + 10);
    OK(sdb_cursor_open(txn, keyspace, NULL, &cursor));
    OK(sdb_cursor_next(cursor, &key, &value));
    ck_assert(kv_is(key, "soon") && kv_is(value, "2"));
    IS(sdb_cursor_next(cursor, &key, &value), SDB_END);
    sdb_cursor_close(cursor);
    OK(sdb_insert(txn, keyspace, TEXT("past"), TEXT("now")));
    OK(sdb_merge(txn, keyspace, SDB_MERGE_APPEND, TEXT("soon"), TEXT("+")));
    OK(sdb_get(txn, keyspace, TEXT("soon"), &value));
    ck_assert(kv_is(value, "2+"));
    OK(sdb_expiry_get(txn, keyspace, TEXT("soon"), &expiry));
    ck_assert_uint_eq(expiry, START + 10);
    OK(sdb_txn_commit(txn));
    kv_expect(keyspace, "past", "now");
    kv_expect(keyspace, "soon", "+"); /* at its commit there was nothing to be merged into */
    expect_expiry("soon", 0);
}
END_TEST

/* ---- what gives and takes an expiry ------------------------------------------------------- */

START_TEST(put_replaces_the_expiry)
{
    put_until("a", "1", START + 10);
    expect_expiry("a", START + 10);
    kv_put_text(keyspace, "a", "2");
    expect_expiry("a", 0);
    put_until("a", "3", START + 10);
    put_until("a", "4", START + 30);
    atomic_store(&clock_ms, START + 20);
    kv_expect(keyspace, "a", "4");
    OK(sdb_expiry_set(NULL, keyspace, TEXT("a"), START + 50));
    atomic_store(&clock_ms, START + 40);
    kv_expect(keyspace, "a", "4");
    OK(sdb_expiry_set(NULL, keyspace, TEXT("a"), 0));
    atomic_store(&clock_ms, START + 60);
    kv_expect(keyspace, "a", "4");
    IS(sdb_expiry_set(NULL, keyspace, TEXT("b"), START), SDB_NOTFOUND);
    OK(sdb_expiry_set(NULL, keyspace, TEXT("a"), START));
    IS(sdb_expiry_set(NULL, keyspace, TEXT("a"), 0), SDB_NOTFOUND);
}
END_TEST

START_TEST(keyspace_gives_its_time_to_live)
{
    sdb_keyspace_options how = SDB_KEYSPACE_OPTIONS_INIT;
    sdb_keyspace *other = keyspace;
    uint64_t ttl_ms = 0;
    sdb_txn *txn;

    how.ttl_ms = 50;
    OK(sdb_keyspace_make(db, "b", &how, &keyspace));
    kv_put_text(keyspace, "plain", "1");
    put_until("for ever", "2", 0);
    put_until("own", "3", START + 7);
    expect_expiry("plain", START + 50);
    expect_expiry("for ever", 0);
    expect_expiry("own", START + 7);
    for (int i = 0; i < 2; i++) { /* once from the log, once from the catalog */
        lose_power();
        OK(sdb_keyspace_open(db, "b", 0, &keyspace));
        OK(sdb_keyspace_ttl(keyspace, &ttl_ms));
        ck_assert_uint_eq(ttl_ms, 50);
        if (!i) OK(sdb_checkpoint(db));
    }
    txn = kv_begin(db, SDB_TXN_WRITE);
    OK(sdb_insert(txn, keyspace, TEXT("inserted"), TEXT("4")));
    OK(sdb_txn_commit(txn));
    expect_expiry("inserted", START + 50);
    OK(sdb_keyspace_set_ttl(keyspace, 70));
    kv_put_text(keyspace, "later", "5");
    expect_expiry("later", START + 70);
    expect_expiry("plain", START + 50);
    OK(sdb_keyspace_set_ttl(keyspace, 0));
    kv_put_text(keyspace, "later", "5");
    expect_expiry("later", 0);
    OK(sdb_keyspace_set_ttl(keyspace, UINT64_MAX));
    kv_put_text(keyspace, "later", "5");
    expect_expiry("later", UINT64_MAX);
    OK(sdb_keyspace_drop(keyspace));
    IS(sdb_keyspace_set_ttl(keyspace, 1), SDB_NOTFOUND);
    lose_power();
    keyspace = other = kv_keyspace(db, "a");
    kv_put_text(other, "x", "y");
    expect_expiry("x", 0);
}
END_TEST

START_TEST(merge_keeps_the_expiry_and_recovery_comes_to_the_same)
{
    OK(sdb_keyspace_set_ttl(keyspace, 40));
    put_until("kept", "a", START + 10);
    put_until("gone", "a", START + 1);
    put_until("for ever", "a", 0);
    OK(sdb_checkpoint(db));
    atomic_store(&clock_ms, START + 5);
    OK(sdb_merge(NULL, keyspace, SDB_MERGE_APPEND, TEXT("kept"), TEXT("b")));
    OK(sdb_merge(NULL, keyspace, SDB_MERGE_APPEND, TEXT("gone"), TEXT("b")));
    OK(sdb_merge(NULL, keyspace, SDB_MERGE_APPEND, TEXT("for ever"), TEXT("b")));
    OK(sdb_merge(NULL, keyspace, SDB_MERGE_APPEND, TEXT("new"), TEXT("b")));
    for (int i = 0; i < 2; i++) {
        kv_expect(keyspace, "kept", "ab");
        expect_expiry("kept", START + 10);
        kv_expect(keyspace, "gone", "b");
        expect_expiry("gone", START + 45);
        kv_expect(keyspace, "for ever", "ab");
        expect_expiry("for ever", 0);
        kv_expect(keyspace, "new", "b");
        expect_expiry("new", START + 45);
        if (!i) lose_power(); /* and what the system's clock says is far from this */
    }
}
END_TEST

START_TEST(batches_and_silly_calls_are_refused)
{
    sdb_txn *batch = kv_begin(db, SDB_TXN_BATCH), *reader = kv_begin(db, SDB_TXN_READ);
    uint64_t expiry;

    IS(sdb_expiry_get(batch, keyspace, TEXT("a"), &expiry), SDB_INVALID);
    IS(sdb_expiry_set(batch, keyspace, TEXT("a"), 1), SDB_INVALID);
    IS(sdb_expiry_set(reader, keyspace, TEXT("a"), 1), SDB_READONLY);
    IS(sdb_put_expiring(reader, keyspace, TEXT("a"), TEXT("b"), 1), SDB_READONLY);
    IS(sdb_expiry_get(NULL, keyspace, TEXT("a"), &expiry), SDB_INVALID);
    IS(sdb_put_expiring(NULL, NULL, TEXT("a"), TEXT("b"), 1), SDB_INVALID);
    IS(sdb_keyspace_set_ttl(NULL, 1), SDB_INVALID);
    IS(sdb_expire(NULL, 1, NULL), SDB_INVALID);
    sdb_txn_abort(reader);
    OK(sdb_put_expiring(batch, keyspace, TEXT("a"), TEXT("b"), START + 1));
    OK(sdb_txn_commit(batch));
    kv_expect(keyspace, "a", "b");
    atomic_store(&clock_ms, START + 1);
    kv_expect(keyspace, "a", NULL);
}
END_TEST

/* ---- conflicts ---------------------------------------------------------------------------- */

START_TEST(neither_expiry_nor_removal_is_a_conflict)
{
    sdb_slice value;
    uint64_t count;

    for (int round = 0; round < 4; round++) {
        sdb_txn *txn;

        put_until("a", "1", START + 10);
        atomic_store(&clock_ms, START + 20);
        txn = kv_begin(db, SDB_TXN_WRITE | (round & 1 ? SDB_TXN_SERIALIZABLE : 0u));
        IS(sdb_get(txn, keyspace, TEXT("a"), &value), SDB_NOTFOUND);
        OK(sdb_count(txn, keyspace, NULL, &count));
        if (round & 2) ck_assert_uint_eq(expire(0), 1);
        OK(sdb_insert(txn, keyspace, TEXT("a"), TEXT("mine")));
        OK(sdb_txn_commit(txn));
        kv_expect(keyspace, "a", "mine");
        OK(sdb_del(NULL, keyspace, TEXT("a")));
        atomic_store(&clock_ms, START);
    }
}
END_TEST

START_TEST(put_over_an_expired_value_conflicts_as_any_put)
{
    sdb_txn *one, *two;

    put_until("a", "1", START + 10);
    atomic_store(&clock_ms, START + 20);
    one = kv_begin(db, SDB_TXN_WRITE);
    two = kv_begin(db, SDB_TXN_WRITE);
    OK(sdb_insert(one, keyspace, TEXT("a"), TEXT("one")));
    OK(sdb_insert(two, keyspace, TEXT("a"), TEXT("two")));
    OK(sdb_txn_commit(one));
    IS(sdb_txn_commit(two), SDB_CONFLICT);
    kv_expect(keyspace, "a", "one");
}
END_TEST

/* ---- removal ------------------------------------------------------------------------------ */

START_TEST(removal_takes_what_has_expired_and_gives_its_space_back)
{
    sdb_stats before = {.size = sizeof before}, after = {.size = sizeof after};

    OK(sdb_checkpoint(db));
    OK(sdb_stat(db, &before));
    fill(START + 100);
    ck_assert_uint_eq(expire(0), 0);
    atomic_store(&clock_ms, START + 100);
    ck_assert_uint_eq(entries(), COUNT);
    ck_assert_uint_eq(expire(7), 7);
    ck_assert_uint_eq(entries(), COUNT - 7);
    expect_others(NULL, false);
    lose_power(); /* removals are replayed */
    ck_assert_uint_eq(expire(0), COUNT / 2 - 7);
    ck_assert_uint_eq(entries(), COUNT / 2);
    ck_assert_uint_eq(expire(0), 0);
    expect_others(NULL, false);
    OK(sdb_stat(db, &after));
    ck_assert_uint_eq(after.expired_removed, COUNT / 2 - 7);
    ck_assert_uint_eq(after.expiring_keyspaces, 1);
    ck_assert_uint_gt(after.expiry_rounds, 0);
    ck_assert_uint_eq(after.version_entries, 0);
    ck_assert_uint_eq(after.extents, COUNT / 20);
    lose_power();
    ck_assert_uint_eq(entries(), COUNT / 2);
    expect_others(NULL, false);
}
END_TEST

START_TEST(removal_leaves_what_an_open_transaction_sees)
{
    sdb_txn *none = kv_begin(db, SDB_TXN_READ), *before;

    fill(START + 100);
    before = kv_begin(db, SDB_TXN_READ);
    atomic_store(&clock_ms, START + 200);
    ck_assert_uint_eq(expire(0), 0);
    expect_others(before, true);
    sdb_txn_abort(before);
    ck_assert_uint_eq(expire(0), COUNT / 2); /* `none` began before there was any */
    sdb_txn_abort(none);
    ck_assert_uint_eq(entries(), COUNT / 2);
}
END_TEST

START_TEST(removal_is_judged_when_it_is_applied)
{
    struct op op = {.code = OP_REAP, .keyspace = keyspace->tree.id, .time = START + 50};
    static const char *const names[] = {"gone", "longer", "for ever", "missing"};
    struct write_set writes;

    put_until("gone", "1", START + 10);
    put_until("longer", "2", START + 10);
    put_until("for ever", "3", START + 10);
    atomic_store(&clock_ms, START + 50);
    sdb__writes_init(&writes, db->allocator, false);
    for (unsigned i = 0; i < 4; i++) {
        op.key = (struct bytes){(const uint8_t *)names[i], strlen(names[i])};
        OK(sdb__writes_add_timed(&writes, &op, false));
    }
    put_until("longer", "2", START + 51); /* before it commits */
    kv_put_text(keyspace, "for ever", "3");
    OK(sdb__commit(db, &writes, NULL, NULL, SDB_DURABILITY_DEFAULT));
    sdb__writes_done(&writes);
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(entries(), 2);
        kv_expect(keyspace, "longer", "2");
        kv_expect(keyspace, "for ever", "3");
        lose_power();
    }
}
END_TEST

START_TEST(removal_goes_on_after_a_restart_and_in_every_keyspace)
{
    sdb_keyspace *other = kv_keyspace(db, "b"), *third = kv_keyspace(db, "c");

    put_until("x", "1", START + 1);
    OK(sdb_put_expiring(NULL, other, TEXT("x"), TEXT("1"), START + 2));
    OK(sdb_put_expiring(NULL, other, TEXT("y"), TEXT("1"), START + 3));
    OK(sdb_put_expiring(NULL, third, TEXT("y"), TEXT("1"), START + 3));
    OK(sdb_keyspace_drop(third));
    OK(sdb_close(db));
    use(kv_open(io, &options));
    ck_assert_uint_eq(expire(0), 0);
    atomic_store(&clock_ms, START + 2);
    ck_assert_uint_eq(expire(0), 2);
    atomic_store(&clock_ms, START + 3);
    ck_assert_uint_eq(expire(0), 1);
    ck_assert_uint_eq(entries(), 0);
}
END_TEST

START_TEST(range_takes_expired_values_with_it)
{
    sdb_txn *reader;

    fill(START + 100);
    atomic_store(&clock_ms, START + 100);
    reader = kv_begin(db, SDB_TXN_READ); /* keys go one by one */
    OK(sdb_del_range(NULL, keyspace, NULL));
    expect_others(reader, false);
    sdb_txn_abort(reader);
    ck_assert_uint_eq(entries(), 0);
    ck_assert_uint_eq(expire(0), 0);
}
END_TEST

/* ---- failures ----------------------------------------------------------------------------- */

START_TEST(refused_memory_changes_nothing)
{
    fill(START + 100);
    atomic_store(&clock_ms, START + 100);
    for (long n = 0; n < 400; n++) {
        sdb_status status;

        atomic_store(&ledger.left, n);
        status = sdb_expire(db, 0, NULL);
        atomic_store(&ledger.left, -1);
        if (status == SDB_OK) break;
        ck_assert_int_eq(status, SDB_NOMEM);
        if (sdb__db_alive(db) != SDB_OK) lose_power(); /* while it was applied */
        expect_others(NULL, false);
    }
    ck_assert_uint_eq(expire(0), 0);
    ck_assert_uint_eq(entries(), COUNT / 2);
}
END_TEST

static void hear(void *context, const char *problem)
{
    if (strstr(problem, "has a value with an expiry")) *(bool *)context = true;
}

static sdb_status ignore_value(void *context, const struct btree_value *value)
{
    (void)context;
    (void)value;
    return SDB_OK;
}

START_TEST(check_finds_an_expiry_where_the_catalog_knows_of_none)
{
    static const uint8_t cell[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 'v'};
    struct btree_value value = {.data = {cell + NODE_EXPIRY_HEAD, 1},
                                .expiry = get_u64(cell + 1)};
    bool heard = false;

    kv_put_text(keyspace, "b", "1");
    OK(sdb__btree_put(&keyspace->tree, (struct bytes){(const uint8_t *)"a", 1}, &value,
                      ignore_value, NULL));
    IS(sdb_check(db, hear, NULL, &heard, NULL), SDB_CORRUPT);
    ck_assert(heard);
    OK(sdb_del(NULL, keyspace, TEXT("a")));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("expiry");
    TCase *seen = tcase_create("seen"), *removed = tcase_create("removed");

    tcase_add_checked_fixture(seen, setup, teardown);
    tcase_add_test(seen, value_is_there_until_its_time_comes_and_then_gone_for_every_call);
    tcase_add_test(seen, old_versions_expire_too);
    tcase_add_test(seen, transaction_sees_its_own_values_expire_at_its_own_time);
    tcase_add_test(seen, put_replaces_the_expiry);
    tcase_add_test(seen, keyspace_gives_its_time_to_live);
    tcase_add_test(seen, merge_keeps_the_expiry_and_recovery_comes_to_the_same);
    tcase_add_test(seen, batches_and_silly_calls_are_refused);
    tcase_add_test(seen, neither_expiry_nor_removal_is_a_conflict);
    tcase_add_test(seen, put_over_an_expired_value_conflicts_as_any_put);
    suite_add_tcase(suite, seen);
    tcase_add_checked_fixture(removed, setup, teardown);
    tcase_set_timeout(removed, 60);
    tcase_add_test(removed, removal_takes_what_has_expired_and_gives_its_space_back);
    tcase_add_test(removed, removal_leaves_what_an_open_transaction_sees);
    tcase_add_test(removed, removal_is_judged_when_it_is_applied);
    tcase_add_test(removed, removal_goes_on_after_a_restart_and_in_every_keyspace);
    tcase_add_test(removed, range_takes_expired_values_with_it);
    tcase_add_test(removed, refused_memory_changes_nothing);
    tcase_add_test(removed, check_finds_an_expiry_where_the_catalog_knows_of_none);
    suite_add_tcase(suite, removed);
    return kv_main(suite);
}
