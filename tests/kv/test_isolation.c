/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_isolation.c: the anomalies by which isolation levels are told apart, and which of them can
 * come about: the table in docs/guide/02-transactions.md, run.
 *
 * Each scenario interleaves two or three transactions over accounts 1 = 10 and 2 = 20 and says
 * whether the anomaly came about; the table says whether it may. A scenario that must not come
 * about also checks how it was prevented: by what a snapshot shows, or by which commit is refused.
 *
 * Source: the phenomena of Adya 1999 and Berenson et al. 1995, as scripts after Kleppmann's
 * Hermitage (2014); the read-only anomaly of Fekete, O'Neil and O'Neil 2004.
 */
#include "tests/kv/kv_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sdb_db *db;
static sdb_keyspace *accounts;
static unsigned level; /* flags of transactions that write */

static void setup(void)
{
    OK(sdb_open(":memory:", NULL, &db));
    accounts = kv_keyspace(db, "accounts");
    kv_put_text(accounts, "1", "10");
    kv_put_text(accounts, "2", "20");
}

static void teardown(void)
{
    OK(sdb_close(db));
}

static sdb_txn *begin(void)
{
    return kv_begin(db, level);
}

static sdb_txn *begin_read(void)
{
    return kv_begin(db, SDB_TXN_READ);
}

static bool serializable(void)
{
    return (level & SDB_TXN_SERIALIZABLE) != 0;
}

static int number(sdb_slice text)
{
    char room[16] = {0};

    ck_assert_uint_lt(text.size, sizeof room);
    memcpy(room, text.data, text.size);
    return atoi(room);
}

/* The value of an account; 0: there is none. */
static int get(sdb_txn *txn, const char *key)
{
    sdb_slice value;
    sdb_status status = sdb_get(txn, accounts, kv_slice(key), &value);

    if (status == SDB_NOTFOUND) return 0;
    OK(status);
    return number(value);
}

static void put(sdb_txn *txn, const char *key, int value)
{
    char text[16];

    (void)snprintf(text, sizeof text, "%d", value);
    OK(sdb_put(txn, accounts, kv_slice(key), kv_slice(text)));
}

/* The sum of all values that are multiples of `of`: a predicate. */
static int multiples(sdb_txn *txn, int of)
{
    sdb_cursor *cursor;
    sdb_slice key, value;
    sdb_status status;
    int sum = 0;

    OK(sdb_cursor_open(txn, accounts, NULL, &cursor));
    while ((status = sdb_cursor_next(cursor, &key, &value)) == SDB_OK)
        if (number(value) % of == 0) sum += number(value);
    IS(status, SDB_END);
    sdb_cursor_close(cursor);
    return sum;
}

/* Deletes the accounts whose value is this: a predicate that is written by. */
static void delete_where(sdb_txn *txn, int wanted)
{
    char keys[4][2] = {{0}};
    unsigned count = 0;
    sdb_cursor *cursor;
    sdb_slice key, value;

    OK(sdb_cursor_open(txn, accounts, NULL, &cursor));
    while (sdb_cursor_next(cursor, &key, &value) == SDB_OK)
        if (number(value) == wanted) memcpy(keys[count++], key.data, 1);
    sdb_cursor_close(cursor);
    while (count--) OK(sdb_del(txn, accounts, kv_slice(keys[count])));
}

/* Commits; whether it was let through. */
static bool commits(sdb_txn *txn)
{
    sdb_status status = sdb_txn_commit(txn);

    if (status != SDB_CONFLICT) OK(status);
    return status == SDB_OK;
}

/* What is there in the end. */
static bool holds(int first, int second)
{
    sdb_txn *txn = begin_read();
    bool is = get(txn, "1") == first && get(txn, "2") == second;

    OK(sdb_txn_commit(txn));
    return is;
}

/* ---- the scenarios: true if the anomaly came about ---------------------------------------- */

/* G0: changes of two transactions mixed. */
static bool dirty_write(void)
{
    sdb_txn *t1 = begin(), *t2 = begin();

    put(t1, "1", 11);
    put(t2, "1", 12);
    put(t1, "2", 21);
    ck_assert(commits(t1));
    put(t2, "2", 22);
    return commits(t2) || !holds(11, 21);
}

/* G1a: reading what is taken back. */
static bool aborted_read(void)
{
    sdb_txn *t1 = begin(), *t2 = begin();
    bool seen;

    put(t1, "1", 101);
    seen = get(t2, "1") == 101;
    sdb_txn_abort(t1);
    seen = seen || get(t2, "1") != 10 || multiples(t2, 101);
    ck_assert(commits(t2));
    return seen;
}

/* G1b: reading what was changed once more before the commit. */
static bool intermediate_read(void)
{
    sdb_txn *t1 = begin(), *t2 = begin();
    bool seen;

    put(t1, "1", 101);
    seen = get(t2, "1") == 101;
    put(t1, "1", 11);
    ck_assert(commits(t1));
    seen = seen || get(t2, "1") == 101;
    ck_assert_int_eq(get(t2, "1"), 10);
    ck_assert(commits(t2));
    return seen;
}

/* G1c: each reads what the other has changed. */
static bool circular_information(void)
{
    sdb_txn *t1 = begin(), *t2 = begin();
    bool seen;

    put(t1, "1", 11);
    put(t2, "2", 22);
    seen = get(t1, "2") == 22 && get(t2, "1") == 11;
    ck_assert_int_eq(get(t1, "2"), 20);
    ck_assert_int_eq(get(t2, "1"), 10);
    ck_assert(commits(t1));
    ck_assert(commits(t2) != serializable()); /* each missed the other: write skew */
    return seen;
}

/* OTV: a transaction whose changes are seen, and then are not. */
static bool observed_vanishes(void)
{
    sdb_txn *t1 = begin(), *t2 = begin(), *t3;
    bool vanished;

    put(t1, "1", 11);
    put(t1, "2", 19);
    put(t2, "1", 12);
    ck_assert(commits(t1));
    t3 = begin_read();
    vanished = get(t3, "1") != 11;
    put(t2, "2", 18);
    vanished = vanished || get(t3, "2") != 19;
    vanished = commits(t2) || vanished;
    vanished = vanished || get(t3, "2") != 19 || get(t3, "1") != 11;
    ck_assert(commits(t3));
    return vanished || !holds(11, 19);
}

/* PMP: a predicate that is read twice holds for more the second time. */
static bool predicate_many_preceders(void)
{
    sdb_txn *t1 = begin(), *t2 = begin();
    bool seen;

    ck_assert_int_eq(multiples(t1, 30), 0);
    put(t2, "3", 30);
    ck_assert(commits(t2));
    seen = multiples(t1, 3) != 0;
    ck_assert(commits(t1));
    return seen;
}

/* PMP, writing: what a predicate was true of is no more. */
static bool predicate_many_preceders_write(void)
{
    sdb_txn *t1 = begin(), *t2 = begin();

    put(t1, "1", get(t1, "1") + 10);
    put(t1, "2", get(t1, "2") + 10);
    ck_assert_int_eq(multiples(t2, 20), 20);
    ck_assert(commits(t1));
    delete_where(t2, 20); /* 2 in its snapshot, 1 by now */
    return commits(t2) || !holds(20, 30);
}

/* P4: two read, and both write what follows from it. */
static bool lost_update(void)
{
    sdb_txn *t1 = begin(), *t2 = begin();

    put(t1, "1", get(t1, "1") + 1);
    put(t2, "1", get(t2, "1") + 1);
    ck_assert(commits(t1));
    return commits(t2);
}

/* G-single: one thing from before a commit, another from behind it. */
static bool read_skew(void)
{
    sdb_txn *t1 = begin_read(), *t2 = begin();
    bool skew;

    ck_assert_int_eq(get(t1, "1"), 10);
    put(t2, "1", get(t2, "1") + 2);
    put(t2, "2", get(t2, "2") - 2);
    ck_assert(commits(t2));
    skew = get(t1, "2") == 18;
    ck_assert(commits(t1));
    return skew;
}

static bool read_skew_predicate(void)
{
    sdb_txn *t1 = begin_read(), *t2 = begin();
    bool skew;

    ck_assert_int_eq(multiples(t1, 5), 30);
    put(t2, "1", 12);
    ck_assert(commits(t2));
    skew = multiples(t1, 3) != 0;
    ck_assert(commits(t1));
    return skew;
}

static bool read_skew_write_predicate(void)
{
    sdb_txn *t1 = begin(), *t2 = begin();

    ck_assert_int_eq(get(t1, "1"), 10);
    ck_assert_int_eq(multiples(t2, 10), 30);
    put(t2, "1", 12);
    put(t2, "2", 18);
    ck_assert(commits(t2));
    delete_where(t1, 20);
    return commits(t1) || !holds(12, 18);
}

/* G2-item: each changes what only the other reads. */
static bool write_skew(void)
{
    sdb_txn *t1 = begin(), *t2 = begin();

    ck_assert_int_eq(get(t1, "1") + get(t1, "2"), 30);
    ck_assert_int_eq(get(t2, "1") + get(t2, "2"), 30);
    put(t1, "1", 11);
    put(t2, "2", 21);
    ck_assert(commits(t1));
    return commits(t2);
}

/* G2: the same with what a predicate did not find. */
static bool predicate_cycle(void)
{
    sdb_txn *t1 = begin(), *t2 = begin();

    ck_assert_int_eq(multiples(t1, 3) + multiples(t2, 3), 0);
    put(t1, "3", 30);
    put(t2, "4", 42);
    ck_assert(commits(t1));
    return commits(t2);
}

/* Two edges: t1 misses t2, whom t3 sees, and t3 misses t1. */
static bool two_edges(void)
{
    sdb_txn *t1 = begin(), *t2, *t3;

    ck_assert_int_eq(multiples(t1, 1), 30);
    t2 = begin();
    put(t2, "2", get(t2, "2") + 5);
    ck_assert(commits(t2));
    t3 = begin();
    ck_assert_int_eq(multiples(t3, 1), 35);
    ck_assert(commits(t3));
    put(t1, "1", 0);
    return commits(t1);
}

/*
 * A withdrawal costs 1 if the sum gets below 0. What the reader is told, that the deposit came
 * first, contradicts the 1 that was charged.
 */
static bool read_only_anomaly(void)
{
    sdb_txn *withdraw, *deposit, *reader;

    kv_put_text(accounts, "1", "0");
    kv_put_text(accounts, "2", "0");
    withdraw = begin();
    ck_assert_int_eq(get(withdraw, "1") + get(withdraw, "2"), 0);
    deposit = begin();
    put(deposit, "2", get(deposit, "2") + 20);
    ck_assert(commits(deposit));
    reader = begin_read();
    ck_assert_int_eq(get(reader, "1"), 0);
    ck_assert_int_eq(get(reader, "2"), 20);
    ck_assert(commits(reader));
    put(withdraw, "1", -11);
    return commits(withdraw);
}

/* ---- the table ---------------------------------------------------------------------------- */

enum { PREVENTED, POSSIBLE };

static const struct {
    const char *name;
    bool (*run)(void);
    int snapshot, serializable;
} table[] = {
    {"G0 dirty write", dirty_write, PREVENTED, PREVENTED},
    {"G1a aborted read", aborted_read, PREVENTED, PREVENTED},
    {"G1b intermediate read", intermediate_read, PREVENTED, PREVENTED},
    {"G1c circular information", circular_information, PREVENTED, PREVENTED},
    {"OTV observed transaction vanishes", observed_vanishes, PREVENTED, PREVENTED},
    {"PMP predicate-many-preceders", predicate_many_preceders, PREVENTED, PREVENTED},
    {"PMP, writing", predicate_many_preceders_write, PREVENTED, PREVENTED},
    {"P4 lost update", lost_update, PREVENTED, PREVENTED},
    {"G-single read skew", read_skew, PREVENTED, PREVENTED},
    {"G-single, predicate", read_skew_predicate, PREVENTED, PREVENTED},
    {"G-single, writing predicate", read_skew_write_predicate, PREVENTED, PREVENTED},
    {"G2-item write skew", write_skew, POSSIBLE, PREVENTED},
    {"G2 predicate cycle", predicate_cycle, POSSIBLE, PREVENTED},
    {"G2 two edges", two_edges, POSSIBLE, PREVENTED},
    {"read-only transaction anomaly", read_only_anomaly, POSSIBLE, PREVENTED},
};
enum { ANOMALIES = sizeof table / sizeof *table };

START_TEST(snapshot_isolation_is_as_the_table_says)
{
    level = SDB_TXN_WRITE;
    ck_assert_msg(table[_i].run() == (table[_i].snapshot == POSSIBLE), "%s", table[_i].name);
}
END_TEST

START_TEST(serializable_is_as_the_table_says)
{
    level = SDB_TXN_WRITE | SDB_TXN_SERIALIZABLE;
    ck_assert_msg(table[_i].run() == (table[_i].serializable == POSSIBLE), "%s", table[_i].name);
}
END_TEST

/* The guide's table has a line "| name | prevented or possible | prevented or possible |" each. */
START_TEST(the_guide_says_the_same)
{
    static const char *const words[] = {"prevented", "possible"};
    char path[1024], line[256], wanted[256];
    const char *srcdir = getenv("srcdir");
    unsigned found = 0;
    FILE *guide;

    (void)snprintf(path, sizeof path, "%s/docs/guide/02-transactions.md", srcdir ? srcdir : ".");
    guide = fopen(path, "r");
    ck_assert_msg(guide != NULL, "%s cannot be read", path);
    while (fgets(line, sizeof line, guide))
        for (int i = 0; i < ANOMALIES; i++) {
            (void)snprintf(wanted, sizeof wanted, "| %s | %s | %s |\n", table[i].name,
                           words[table[i].snapshot], words[table[i].serializable]);
            found += strcmp(line, wanted) == 0;
        }
    (void)fclose(guide);
    ck_assert_uint_eq(found, ANOMALIES);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("isolation");
    TCase *cases = tcase_create("isolation");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_loop_test(cases, snapshot_isolation_is_as_the_table_says, 0, ANOMALIES);
    tcase_add_loop_test(cases, serializable_is_as_the_table_says, 0, ANOMALIES);
    tcase_add_test(cases, the_guide_says_the_same);
    suite_add_tcase(suite, cases);
    return kv_main(suite);
}
