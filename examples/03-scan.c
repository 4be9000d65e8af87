/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 03-scan.c: walk over keys in their order: all, by prefix, by range, backwards; and count.
 *
 *     cc 03-scan.c $(pkg-config --cflags --libs sdb) -o scan && ./scan
 *
 * Prints
 *
 *     fruit: apple cherry pear plum
 *     from c, before pl: cherry pear
 *     backwards: plum pear cherry apple
 *     up to m, backwards: cherry apple
 *     4 of 6 are fruit
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sdb/sdb.h>

static void must(sdb_status status)
{
    if (status == SDB_OK) return;
    fprintf(stderr, "%s: %s\n", sdb_status_name(status), sdb_errmsg());
    exit(1);
}

static sdb_slice text(const char *string)
{
    return (sdb_slice){string, strlen(string)};
}

/* Prints a key without "fruit/". A NULL value was asked for: values are then not read. */
static void print_key(sdb_slice key)
{
    printf(" %.*s", (int)key.size - 6, (const char *)key.data + 6);
}

static void forwards(sdb_txn *txn, sdb_keyspace *keyspace, const sdb_range *range)
{
    sdb_cursor *cursor;
    sdb_slice key;
    sdb_status status;

    must(sdb_cursor_open(txn, keyspace, range, &cursor));
    /* A new cursor stands before the first key, so next begins there. */
    while ((status = sdb_cursor_next(cursor, &key, NULL)) == SDB_OK) print_key(key);
    if (status != SDB_END) must(status);
    sdb_cursor_close(cursor);
    printf("\n");
}

static void backwards(sdb_txn *txn, sdb_keyspace *keyspace, const sdb_range *range)
{
    sdb_cursor *cursor;
    sdb_slice key;
    sdb_status status;

    must(sdb_cursor_open(txn, keyspace, range, &cursor));
    while ((status = sdb_cursor_prev(cursor, &key, NULL)) == SDB_OK) print_key(key);
    if (status != SDB_END) must(status);
    sdb_cursor_close(cursor);
    printf("\n");
}

int main(void)
{
    static const char *const keys[] = {"fruit/plum",   "fruit/apple", "root/carrot",
                                       "fruit/cherry", "fruit/pear",  "animal/newt"};
    sdb_slice lower = text("fruit/c"), upper = text("fruit/pl"), place = text("fruit/m");
    sdb_range fruit = {.prefix = text("fruit/")};
    sdb_range some = {.lower = &lower, .upper = &upper};
    sdb_db *db;
    sdb_keyspace *things;
    sdb_txn *txn;
    sdb_cursor *cursor;
    sdb_slice key;
    sdb_status status;
    uint64_t of_fruit, all;

    must(sdb_open(":memory:", NULL, &db));
    must(sdb_keyspace_open(db, "things", 0, &things));
    /* A batch writes blindly and never conflicts: the fastest way to load. */
    must(sdb_txn_begin(db, SDB_TXN_BATCH, &txn));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        must(sdb_put(txn, things, text(keys[i]), text("")));
    must(sdb_txn_commit(txn));

    /* What a reading transaction sees stays as it is, whatever others commit meanwhile. */
    must(sdb_txn_begin(db, SDB_TXN_READ, &txn));
    printf("fruit:");
    forwards(txn, things, &fruit);
    printf("from c, before pl:");
    forwards(txn, things, &some);
    printf("backwards:");
    backwards(txn, things, &fruit);

    /* seek_back: the last key at or before a place. */
    must(sdb_cursor_open(txn, things, &fruit, &cursor));
    printf("up to m, backwards:");
    for (status = sdb_cursor_seek_back(cursor, place, &key, NULL); status == SDB_OK;
         status = sdb_cursor_prev(cursor, &key, NULL))
        print_key(key);
    if (status != SDB_END) must(status);
    printf("\n");
    sdb_cursor_close(cursor);

    must(sdb_count(txn, things, &fruit, &of_fruit));
    must(sdb_count(txn, things, NULL, &all));
    printf("%llu of %llu are fruit\n", (unsigned long long)of_fruit, (unsigned long long)all);
    sdb_txn_abort(txn);
    must(sdb_close(db));
    return 0;
}
