/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 01-hello.c: open a database, put a value, get it back, close.
 *
 *     cc 01-hello.c $(pkg-config --cflags --libs sdb) -o hello && ./hello
 *
 * Prints
 *
 *     hello, alice
 */
#include <stdio.h>
#include <string.h>
#include <sdb/sdb.h>

static sdb_slice text(const char *string)
{
    return (sdb_slice){string, strlen(string)};
}

int main(void)
{
    sdb_db *db = NULL;
    sdb_keyspace *greetings = NULL;
    sdb_txn *txn = NULL;
    sdb_slice value;
    sdb_status status, closed;

    status = sdb_open("hello.sdb", NULL, &db);
    if (status == SDB_OK) status = sdb_keyspace_open(db, "greetings", 0, &greetings);
    /* With no transaction given, the put is one of its own. When it returns, it is on disk. */
    if (status == SDB_OK) status = sdb_put(NULL, greetings, text("alice"), text("hello, alice"));
    if (status == SDB_OK) status = sdb_txn_begin(db, SDB_TXN_READ, &txn);
    if (status == SDB_OK) status = sdb_get(txn, greetings, text("alice"), &value);
    if (status == SDB_OK) printf("%.*s\n", (int)value.size, (const char *)value.data);
    if (status != SDB_OK) fprintf(stderr, "%s: %s\n", sdb_status_name(status), sdb_errmsg());

    /* Both take NULL, so this is right however far we came. */
    sdb_txn_abort(txn);
    closed = sdb_close(db);
    if (closed != SDB_OK) fprintf(stderr, "%s: %s\n", sdb_status_name(closed), sdb_errmsg());
    return status != SDB_OK || closed != SDB_OK;
}
