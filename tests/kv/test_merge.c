/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_merge.c: what merges make of values, when they conflict, what their transaction sees, and
 * that recovery comes to the same.
 */
#include "tests/kv/kv_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/bytes.h"

static struct io *io;
static sdb_options options;
static sdb_db *db;
static sdb_keyspace *keyspace;
static struct kv_ledger ledger;
static sdb_allocator allocator;

static void setup(void)
{
    io = kv_disk(7);
    ledger = (struct kv_ledger){.left = -1};
    allocator = kv_ledger_allocator(&ledger);
    options = kv_options(4096);
    options.allocator = &allocator;
    db = kv_open(io, &options);
    keyspace = kv_keyspace(db, "a");
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
    db = kv_lose_power(io, &options, db);
    keyspace = kv_keyspace(db, "a");
}

static sdb_txn *begin(unsigned flags)
{
    return kv_begin(db, flags);
}

static sdb_slice number(int64_t n)
{
    static uint8_t room[4][8];
    static unsigned next;
    uint8_t *to = room[next++ % 4];

    put_u64(to, (uint64_t)n);
    return (sdb_slice){to, 8};
}

static sdb_status add(sdb_txn *txn, const char *key, int64_t n)
{
    return sdb_merge(txn, keyspace, SDB_MERGE_ADD, kv_slice(key), number(n));
}

static int64_t seen(sdb_txn *txn, const char *key)
{
    sdb_slice value;

    OK(sdb_get(txn, keyspace, kv_slice(key), &value));
    ck_assert_uint_eq(value.size, 8);
    return (int64_t)get_u64(value.data);
}

static int64_t committed(const char *key)
{
    sdb_txn *txn = begin(SDB_TXN_READ);
    int64_t n = seen(txn, key);

    OK(sdb_txn_commit(txn));
    return n;
}

/* ---- operators ---------------------------------------------------------------------------- */

START_TEST(each_operator_does_what_the_header_says)
{
    static const struct {
        unsigned number;
        const char *old; /* NULL: none */
        size_t old_size;
        const char *operand;
        size_t operand_size;
        const char *value;
        size_t value_size;
    } cases[] = {
#define SET(s) s, sizeof(s) - 1
        {SDB_MERGE_ADD, NULL, 0, SET("\5\0\0\0\0\0\0\0"), SET("\5\0\0\0\0\0\0\0")},
        {SDB_MERGE_ADD, SET("\377\0\0\0\0\0\0\0"), SET("\1\0\0\0\0\0\0\0"),
         SET("\0\1\0\0\0\0\0\0")},
        {SDB_MERGE_ADD, SET("\1\0\0\0\0\0\0\0"), SET("\376\377\377\377\377\377\377\377"),
         SET("\377\377\377\377\377\377\377\377")},
        {SDB_MERGE_APPEND, NULL, 0, SET("ab"), SET("ab")},
        {SDB_MERGE_APPEND, SET("ab"), SET(""), SET("ab")},
        {SDB_MERGE_APPEND, SET("ab"), SET("c"), SET("abc")},
        {SDB_MERGE_MAX, NULL, 0, SET(""), SET("")},
        {SDB_MERGE_MAX, SET("b"), SET("ab"), SET("b")},
        {SDB_MERGE_MAX, SET("b"), SET("ba"), SET("ba")},
        {SDB_MERGE_MIN, NULL, 0, SET("x"), SET("x")},
        {SDB_MERGE_MIN, SET("b"), SET("ab"), SET("ab")},
        {SDB_MERGE_MIN, SET(""), SET("ab"), SET("")},
        {SDB_MERGE_UNION, NULL, 0, SET("\1\0\0\0a"), SET("\1\0\0\0a")},
        {SDB_MERGE_UNION, SET("\1\0\0\0b\1\0\0\0d"), SET("\1\0\0\0a\1\0\0\0b\2\0\0\0da"),
         SET("\1\0\0\0a\1\0\0\0b\1\0\0\0d\2\0\0\0da")},
        {SDB_MERGE_UNION, SET(""), SET("\0\0\0\0"), SET("\0\0\0\0")},
#undef SET
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sdb_slice operand = {cases[i].operand, cases[i].operand_size}, value;
        sdb_slice old = {cases[i].old, cases[i].old_size};
        sdb_txn *txn;

        OK(sdb_del(NULL, keyspace, TEXT("k")));
        if (cases[i].old) OK(sdb_put(NULL, keyspace, TEXT("k"), old));
        OK(sdb_merge(NULL, keyspace, cases[i].number, TEXT("k"), operand));
        txn = begin(SDB_TXN_READ);
        OK(sdb_get(txn, keyspace, TEXT("k"), &value));
        ck_assert_msg(value.size == cases[i].value_size &&
                          memcmp(value.data, cases[i].value, value.size) == 0, "case %zu", i);
        OK(sdb_txn_commit(txn));
    }
}
END_TEST

START_TEST(operands_that_can_never_fit_are_refused_at_once)
{
    static const sdb_slice bad[] = {{"\1\0\0\0", 4}, {"\1\0\0", 3}, {"\1\0\0\0b\1\0\0\0a", 10},
                                    {"\1\0\0\0a\1\0\0\0a", 10}, {"\377\377\377\377", 4}};

    SAYS(sdb_merge(NULL, keyspace, SDB_MERGE_ADD, TEXT("k"), TEXT("7")), SDB_INVALID, "8 bytes");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        SAYS(sdb_merge(NULL, keyspace, SDB_MERGE_UNION, TEXT("k"), bad[i]), SDB_INVALID, "union");
    SAYS(sdb_merge(NULL, keyspace, 0, TEXT("k"), TEXT("7")), SDB_INVALID, "no merge operator 0");
    SAYS(sdb_merge(NULL, keyspace, 6, TEXT("k"), TEXT("7")), SDB_INVALID, "no merge operator 6");
    SAYS(sdb_merge(NULL, keyspace, 64, TEXT("k"), TEXT("7")), SDB_INVALID, "merge_operators");
    SAYS(sdb_merge(NULL, keyspace, 256 + SDB_MERGE_APPEND, TEXT("k"), TEXT("7")), SDB_INVALID,
         "no merge operator");
    kv_expect(keyspace, "k", NULL);
}
END_TEST

START_TEST(what_an_operator_refuses_the_commit_refuses_whole)
{
    sdb_txn *txn = begin(SDB_TXN_WRITE);
    sdb_slice value;

    kv_put_text(keyspace, "text", "abc");
    OK(sdb_put(NULL, keyspace, TEXT("most"), number(INT64_MAX)));
    OK(sdb_put(txn, keyspace, TEXT("other"), TEXT("x")));
    OK(add(txn, "text", 1));
    SAYS(sdb_txn_commit(txn), SDB_INVALID, "3 bytes");
    kv_expect(keyspace, "other", NULL);
    SAYS(add(NULL, "most", 1), SDB_LIMIT, "64 bits");
    OK(add(NULL, "most", -1));
    ck_assert_int_eq(committed("most"), INT64_MAX - 1);
    OK(sdb_put(NULL, keyspace, TEXT("least"), number(INT64_MIN)));
    IS(add(NULL, "least", -1), SDB_LIMIT);
    SAYS(sdb_merge(NULL, keyspace, SDB_MERGE_UNION, TEXT("text"), TEXT("")), SDB_INVALID, "set");
    SAYS(sdb_merge(NULL, keyspace, KV_MERGE, TEXT("text"), TEXT("bad")), SDB_INVALID, "200");
    kv_expect(keyspace, "text", "abc");
    txn = begin(SDB_TXN_WRITE);
    OK(add(txn, "text", 1));
    IS(sdb_get(txn, keyspace, TEXT("text"), &value), SDB_INVALID);
    OK(sdb_put(txn, keyspace, TEXT("text"), number(4)));
    OK(add(txn, "text", 1));
    OK(sdb_txn_commit(txn));
    ck_assert_int_eq(committed("text"), 5);
    lose_power();
    ck_assert_int_eq(committed("text"), 5);
    ck_assert_int_eq(committed("least"), INT64_MIN);
}
END_TEST

START_TEST(operators_of_the_program_are_judged_when_they_are_given)
{
    const sdb_merge_operator *good = options.merge_operators;
    sdb_merge_operator bad[2] = {*good, *good};
    sdb_db *other;

    bad[0].number = 63;
    options.merge_operators = bad;
    SAYS(sdb_open(":memory:", &options, &other), SDB_INVALID, "operator 63");
    bad[0].number = 256;
    IS(sdb_open(":memory:", &options, &other), SDB_INVALID);
    bad[0] = (sdb_merge_operator){.number = 100};
    IS(sdb_open(":memory:", &options, &other), SDB_INVALID);
    bad[0] = *good;
    options.merge_operator_count = 2;
    SAYS(sdb_open(":memory:", &options, &other), SDB_INVALID, "twice");
    options.merge_operators = NULL;
    IS(sdb_open(":memory:", &options, &other), SDB_INVALID);
    options.merge_operators = good;
    options.merge_operator_count = 1;
}
END_TEST

/* ---- conflicts ---------------------------------------------------------------------------- */

START_TEST(merges_into_the_same_key_do_not_conflict)
{
    sdb_txn *first = begin(SDB_TXN_WRITE), *second = begin(SDB_TXN_WRITE);
    sdb_txn *third = begin(SDB_TXN_WRITE | SDB_TXN_SERIALIZABLE);
    sdb_stats stats = {.size = sizeof stats};

    OK(add(first, "n", 1));
    OK(add(second, "n", 10));
    OK(add(third, "n", 100));
    OK(sdb_txn_commit(second));
    OK(add(NULL, "n", 1000));
    OK(sdb_txn_commit(first));
    OK(sdb_txn_commit(third));
    ck_assert_int_eq(committed("n"), 1111);
    OK(sdb_stat(db, &stats));
    ck_assert_uint_eq(stats.conflicts, 0);
    lose_power();
    ck_assert_int_eq(committed("n"), 1111);
}
END_TEST

static void read_by_get(sdb_txn *txn)
{
    ck_assert_int_eq(seen(txn, "n"), 5);
}

static void read_by_cursor(sdb_txn *txn)
{
    sdb_cursor *cursor;
    sdb_slice key;

    OK(sdb_cursor_open(txn, keyspace, NULL, &cursor));
    OK(sdb_cursor_first(cursor, &key, NULL));
    sdb_cursor_close(cursor);
}

static void read_by_insert(sdb_txn *txn)
{
    IS(sdb_insert(txn, keyspace, TEXT("n"), TEXT("x")), SDB_EXISTS);
}

static void merge_and_get(sdb_txn *txn)
{
    OK(add(txn, "n", 2));
    ck_assert_int_eq(seen(txn, "n"), 7);
}

START_TEST(a_merge_conflicts_if_its_transaction_has_read_the_key)
{
    static void (*const reads[])(sdb_txn *) = {read_by_get, read_by_cursor, read_by_insert,
                                               merge_and_get};

    for (unsigned level = 0; level < 2; level++)
        for (unsigned i = 0; i < 4; i++) {
            sdb_txn *txn, *other;
            sdb_slice value;

            OK(sdb_put(NULL, keyspace, TEXT("n"), number(5)));
            txn = begin(SDB_TXN_WRITE | (level ? SDB_TXN_SERIALIZABLE : 0));
            other = begin(SDB_TXN_WRITE);
            IS(sdb_get(other, keyspace, TEXT("m"), &value), SDB_NOTFOUND);
            reads[i](txn);
            OK(add(txn, "n", 1));
            OK(add(NULL, "n", 10));
            IS(sdb_txn_commit(txn), SDB_CONFLICT);
            OK(add(other, "n", 100)); /* it has read another key */
            OK(sdb_txn_commit(other));
            ck_assert_int_eq(committed("n"), 115);
        }
}
END_TEST

START_TEST(a_put_conflicts_with_a_merge_before_it_but_not_the_other_way_round)
{
    sdb_txn *put = begin(SDB_TXN_WRITE), *merge = begin(SDB_TXN_WRITE);

    OK(sdb_put(put, keyspace, TEXT("n"), number(1)));
    OK(add(merge, "n", 10));
    OK(sdb_txn_commit(merge));
    IS(sdb_txn_commit(put), SDB_CONFLICT);
    put = begin(SDB_TXN_WRITE);
    merge = begin(SDB_TXN_WRITE);
    OK(sdb_put(put, keyspace, TEXT("n"), number(1)));
    OK(add(merge, "n", 10));
    OK(sdb_txn_commit(put));
    OK(sdb_txn_commit(merge));
    ck_assert_int_eq(committed("n"), 11);
    put = begin(SDB_TXN_WRITE); /* on top of its own put it is no merge into what others have */
    OK(sdb_put(put, keyspace, TEXT("n"), number(1)));
    OK(add(put, "n", 10));
    OK(add(NULL, "n", 5));
    IS(sdb_txn_commit(put), SDB_CONFLICT);
}
END_TEST

START_TEST(readers_see_what_was_there_before)
{
    sdb_txn *reader;

    OK(add(NULL, "n", 1));
    reader = begin(SDB_TXN_READ);
    OK(add(NULL, "n", 1));
    OK(add(NULL, "n", 1));
    ck_assert_int_eq(seen(reader, "n"), 1);
    IS(add(reader, "n", 1), SDB_READONLY);
    OK(sdb_txn_commit(reader));
    ck_assert_int_eq(committed("n"), 3);
}
END_TEST

/* ---- what the transaction sees ------------------------------------------------------------ */

/* Appends to the text under a key. */
static void append(sdb_txn *txn, const char *key, const char *text)
{
    OK(sdb_merge(txn, keyspace, SDB_MERGE_APPEND, kv_slice(key), kv_slice(text)));
}

/* The keys and values in the transaction, as "key=value " each, both ways and one by one. */
static void expect_all(sdb_txn *txn, const char *wanted)
{
    char entry[64];
    size_t at = 0, size = 0;
    sdb_cursor *cursor;
    sdb_slice key, value, got;
    uint64_t count, walked = 0;

    OK(sdb_cursor_open(txn, keyspace, NULL, &cursor));
    for (; sdb_cursor_next(cursor, &key, &value) == SDB_OK; walked++, at += size) {
        size = (size_t)snprintf(entry, sizeof entry, "%.*s=%.*s ", (int)key.size,
                                (const char *)key.data, (int)value.size, (const char *)value.data);
        ck_assert_msg(strncmp(wanted + at, entry, size) == 0, "%s instead of %s", entry,
                      wanted + at);
    }
    ck_assert_uint_eq(at, strlen(wanted));
    while (sdb_cursor_prev(cursor, &key, &value) == SDB_OK) {
        size = (size_t)snprintf(entry, sizeof entry, "%.*s=%.*s ", (int)key.size,
                                (const char *)key.data, (int)value.size, (const char *)value.data);
        at -= size;
        ck_assert_msg(strncmp(wanted + at, entry, size) == 0, "back: %s instead of %s", entry,
                      wanted + at);
        OK(sdb_get(txn, keyspace, key, &got));
        ck_assert_uint_eq(got.size, value.size);
        ck_assert_mem_eq(got.data, value.data, value.size);
    }
    ck_assert_uint_eq(at, 0);
    sdb_cursor_close(cursor);
    OK(sdb_count(txn, keyspace, NULL, &count));
    ck_assert_uint_eq(count, walked);
}

START_TEST(a_transaction_sees_its_merges)
{
    sdb_txn *txn;
    uint64_t savepoint;
    sdb_slice prefix = TEXT("d");
    sdb_range range = {.prefix = prefix};

    kv_put_text(keyspace, "a", "1");
    kv_put_text(keyspace, "c", "3");
    kv_put_text(keyspace, "d1", "x");
    txn = begin(SDB_TXN_WRITE);
    append(txn, "a", "+");
    append(txn, "b", "new");
    append(txn, "a", "+");
    expect_all(txn, "a=1++ b=new c=3 d1=x ");
    OK(sdb_savepoint_set(txn, &savepoint));
    OK(sdb_put(txn, keyspace, TEXT("a"), TEXT("put")));
    append(txn, "a", "!");
    append(txn, "b", "er");
    OK(sdb_del(txn, keyspace, TEXT("c")));
    append(txn, "c", "again");
    OK(sdb_del_range(txn, keyspace, &range));
    append(txn, "d1", "y");
    append(txn, "d2", "z");
    expect_all(txn, "a=put! b=newer c=again d1=y d2=z ");
    OK(sdb_savepoint_rollback(txn, savepoint));
    expect_all(txn, "a=1++ b=new c=3 d1=x ");
    OK(sdb_del(txn, keyspace, TEXT("b")));
    IS(sdb_del(txn, keyspace, TEXT("b")), SDB_NOTFOUND);
    append(txn, "b", "B");
    IS(sdb_insert(txn, keyspace, TEXT("b"), TEXT("x")), SDB_EXISTS);
    append(txn, "d1", "gone");
    OK(sdb_del_range(txn, keyspace, &range));
    append(txn, "a", "?");
    expect_all(txn, "a=1++? b=B c=3 ");
    OK(sdb_txn_commit(txn));
    txn = begin(SDB_TXN_READ);
    expect_all(txn, "a=1++? b=B c=3 ");
    OK(sdb_txn_commit(txn));
    lose_power();
    txn = begin(SDB_TXN_READ);
    expect_all(txn, "a=1++? b=B c=3 ");
    OK(sdb_txn_commit(txn));
}
END_TEST

START_TEST(rolled_back_changes_leave_the_merges_below_them)
{
    sdb_txn *txn = begin(SDB_TXN_WRITE);
    sdb_slice prefix = TEXT("a");
    sdb_range range = {.prefix = prefix};
    uint64_t first, second;

    append(txn, "a", "1");
    append(txn, "a", "2");
    OK(sdb_savepoint_set(txn, &first));
    OK(sdb_del_range(txn, keyspace, &range));
    append(txn, "a", "3");
    OK(sdb_savepoint_set(txn, &second));
    OK(sdb_put(txn, keyspace, TEXT("a"), TEXT("put")));
    expect_all(txn, "a=put ");
    OK(sdb_savepoint_rollback(txn, second));
    expect_all(txn, "a=3 ");
    OK(sdb_savepoint_rollback(txn, first));
    expect_all(txn, "a=12 ");
    OK(sdb_txn_commit(txn));
    kv_expect(keyspace, "a", "12");
    lose_power();
    kv_expect(keyspace, "a", "12");
}
END_TEST

START_TEST(many_merges_of_one_transaction_add_up)
{
    sdb_txn *txn = begin(SDB_TXN_WRITE);

    for (int i = 0; i < 3000; i++) {
        OK(add(txn, "n", i));
        OK(add(txn, i % 2 ? "odd" : "even", 1));
    }
    ck_assert_int_eq(seen(txn, "n"), 3000 * 2999 / 2);
    OK(sdb_txn_commit(txn));
    ck_assert_int_eq(committed("n"), 3000 * 2999 / 2);
    lose_power();
    ck_assert_int_eq(committed("n"), 3000 * 2999 / 2);
    ck_assert_int_eq(committed("odd"), 1500);
}
END_TEST

/* ---- commits and recovery ----------------------------------------------------------------- */

START_TEST(a_batch_is_applied_in_its_order)
{
    sdb_slice prefix = TEXT("r");
    sdb_range range = {.prefix = prefix};
    sdb_txn *batch;

    kv_put_text(keyspace, "a", "old");
    kv_put_text(keyspace, "r1", "old");
    kv_put_text(keyspace, "r2", "old");
    batch = begin(SDB_TXN_BATCH);
    append(batch, "a", "1");
    append(batch, "b", "1");
    append(batch, "c", "1");
    append(batch, "r1", "1");
    append(batch, "r2", "1");
    OK(sdb_put(batch, keyspace, TEXT("b"), TEXT("put")));
    OK(sdb_del(batch, keyspace, TEXT("c")));
    OK(sdb_del_range(batch, keyspace, &range));
    append(batch, "a", "2");
    append(batch, "b", "2");
    append(batch, "d", "1");
    append(batch, "r2", "2");
    OK(sdb_del(batch, keyspace, TEXT("d")));
    append(batch, "d", "2");
    OK(sdb_txn_commit(batch));
    for (unsigned i = 0; i < 2; i++) {
        sdb_txn *txn = begin(SDB_TXN_READ);

        expect_all(txn, "a=old12 b=put2 d=2 r2=2 ");
        OK(sdb_txn_commit(txn));
        lose_power();
    }
}
END_TEST

START_TEST(values_too_long_for_a_leaf_are_merged_too)
{
    enum { PIECE = 3000, PIECES = 40 };
    static uint8_t whole[PIECE * PIECES];
    sdb_txn *before, *own;
    sdb_slice value;

    kv_fill(whole, sizeof whole, 3);
    for (size_t i = 0; i < PIECES / 2; i++) {
        OK(sdb_merge(NULL, keyspace, SDB_MERGE_APPEND, TEXT("long"),
                     (sdb_slice){whole + i * PIECE, PIECE}));
        if (i == 5) OK(sdb_checkpoint(db));
    }
    before = begin(SDB_TXN_READ);
    own = begin(SDB_TXN_WRITE);
    for (size_t i = PIECES / 2; i < PIECES; i++)
        OK(sdb_merge(own, keyspace, SDB_MERGE_APPEND, TEXT("long"),
                     (sdb_slice){whole + i * PIECE, PIECE}));
    OK(sdb_get(own, keyspace, TEXT("long"), &value));
    ck_assert_uint_eq(value.size, sizeof whole);
    ck_assert_mem_eq(value.data, whole, sizeof whole);
    OK(sdb_txn_commit(own));
    OK(sdb_get(before, keyspace, TEXT("long"), &value));
    ck_assert_uint_eq(value.size, sizeof whole / 2);
    ck_assert_mem_eq(value.data, whole, sizeof whole / 2);
    OK(sdb_txn_commit(before));
    for (unsigned i = 0; i < 2; i++) {
        before = begin(SDB_TXN_READ);
        OK(sdb_get(before, keyspace, TEXT("long"), &value));
        ck_assert_uint_eq(value.size, sizeof whole);
        ck_assert_mem_eq(value.data, whole, sizeof whole);
        OK(sdb_txn_commit(before));
        lose_power();
    }
}
END_TEST

START_TEST(large_batches_merge)
{
    sdb_txn *batch = begin(SDB_TXN_BATCH);
    char key[8];

    for (int i = 0; i < 6000; i++) {
        (void)snprintf(key, sizeof key, "%d", i * 7919 % 500);
        OK(add(batch, key, 1));
        OK(sdb_put(batch, keyspace, TEXT("last"), kv_slice(key)));
    }
    OK(sdb_txn_commit(batch));
    ck_assert_int_eq(committed("123"), 12);
    lose_power();
    ck_assert_int_eq(committed("123"), 12);
    ck_assert_int_eq(committed("499"), 12);
}
END_TEST

START_TEST(recovery_wants_the_operators_of_the_log)
{
    const sdb_merge_operator *operators = options.merge_operators;
    uint8_t room[KV_OPERAND];
    sdb_slice value, old = TEXT("old");
    sdb_db *other;
    sdb_txn *txn;

    OK(sdb_put(NULL, keyspace, TEXT("k"), old));
    OK(sdb_merge(NULL, keyspace, KV_MERGE, TEXT("k"), kv_operand(room, 9, 5000)));
    OK(sdb__sim_restart(io, 0));
    (void)!sdb_close(db);
    options.merge_operator_count = 0;
    SAYS(sdb__db_open(io, KV_PATH, &options, &other), SDB_INVALID, "operator 200");
    options.merge_operators = operators;
    options.merge_operator_count = 1;
    db = kv_open(io, &options);
    keyspace = kv_keyspace(db, "a");
    txn = begin(SDB_TXN_READ);
    OK(sdb_get(txn, keyspace, TEXT("k"), &value));
    ck_assert_uint_eq(value.size, 5000);
    ck_assert(kv_is_filled(value.data, value.size, kv_merged_seed(&old, 9)));
    OK(sdb_txn_commit(txn));
    OK(sdb_close(db)); /* what was closed cleanly needs them no more */
    options.merge_operator_count = 0;
    db = kv_open(io, &options);
    keyspace = kv_keyspace(db, "a");
    txn = begin(SDB_TXN_READ);
    OK(sdb_get(txn, keyspace, TEXT("k"), &value));
    OK(sdb_txn_commit(txn));
}
END_TEST

START_TEST(merges_are_refused_like_other_changes)
{
    static uint8_t key[SDB_KEY_MAX + 1];
    sdb_txn *batch = begin(SDB_TXN_BATCH);
    sdb_slice value;

    IS(sdb_merge(NULL, NULL, SDB_MERGE_APPEND, TEXT("k"), TEXT("v")), SDB_INVALID);
    IS(sdb_merge(NULL, keyspace, SDB_MERGE_APPEND, (sdb_slice){key, sizeof key}, TEXT("v")),
       SDB_LIMIT);
    IS(sdb_merge(NULL, keyspace, SDB_MERGE_APPEND, TEXT("k"), (sdb_slice){NULL, 3}), SDB_INVALID);
    append(batch, "k", "v");
    IS(sdb_get(batch, keyspace, TEXT("k"), &value), SDB_INVALID);
    OK(sdb_txn_commit(batch));
    IS(sdb_merge_emit(NULL, "x", 1), SDB_INVALID);
    batch = begin(SDB_TXN_BATCH);
    append(batch, "k", "w");
    OK(sdb_keyspace_drop(keyspace));
    IS(sdb_txn_commit(batch), SDB_NOTFOUND);
    IS(sdb_merge(NULL, keyspace, SDB_MERGE_APPEND, TEXT("k"), TEXT("v")), SDB_NOTFOUND);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("merge");
    TCase *cases = tcase_create("merge");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, each_operator_does_what_the_header_says);
    tcase_add_test(cases, operands_that_can_never_fit_are_refused_at_once);
    tcase_add_test(cases, what_an_operator_refuses_the_commit_refuses_whole);
    tcase_add_test(cases, operators_of_the_program_are_judged_when_they_are_given);
    tcase_add_test(cases, merges_into_the_same_key_do_not_conflict);
    tcase_add_test(cases, a_merge_conflicts_if_its_transaction_has_read_the_key);
    tcase_add_test(cases, a_put_conflicts_with_a_merge_before_it_but_not_the_other_way_round);
    tcase_add_test(cases, readers_see_what_was_there_before);
    tcase_add_test(cases, a_transaction_sees_its_merges);
    tcase_add_test(cases, rolled_back_changes_leave_the_merges_below_them);
    tcase_add_test(cases, many_merges_of_one_transaction_add_up);
    tcase_add_test(cases, a_batch_is_applied_in_its_order);
    tcase_add_test(cases, values_too_long_for_a_leaf_are_merged_too);
    tcase_add_test(cases, large_batches_merge);
    tcase_add_test(cases, recovery_wants_the_operators_of_the_log);
    tcase_add_test(cases, merges_are_refused_like_other_changes);
    suite_add_tcase(suite, cases);
    return kv_main(suite);
}
