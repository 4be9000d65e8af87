/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 05-backup.c: copy a database that is in use, verify the copy, read from it.
 *
 *     cc 05-backup.c $(pkg-config --cflags --libs sdb) -o backup && ./backup
 *
 * Prints
 *
 *     the copy is sound: 1000 entries
 *     entry 7 in the copy: as it was
 *     entry 7 in the database: changed since
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

static sdb_keyspace *fill(sdb_db *db)
{
    sdb_keyspace *entries;
    sdb_txn *txn;
    char key[16];

    must(sdb_keyspace_open(db, "entries", 0, &entries));
    must(sdb_txn_begin(db, SDB_TXN_BATCH, &txn));
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "%d", i);
        must(sdb_put(txn, entries, text(key), text("as it was")));
    }
    must(sdb_txn_commit(txn));
    return entries;
}

static void print_entry(sdb_keyspace *entries, const char *of)
{
    char value[64];
    size_t size;

    must(sdb_get_copy(entries, text("7"), value, sizeof value, &size));
    printf("entry 7 in the %s: %.*s\n", of, (int)size, value);
}

/* Called now and then with the bytes copied; anything but 0 would end the copy. */
static int show_progress(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    fprintf(stderr, "%llu of %llu bytes\n", (unsigned long long)done, (unsigned long long)total);
    return 0;
}

static void show_problem(void *context, const char *problem)
{
    (void)context;
    fprintf(stderr, "%s\n", problem);
}

int main(void)
{
    sdb_check_result found = {.size = sizeof found};
    sdb_options options = SDB_OPTIONS_INIT;
    sdb_db *db, *copy;
    sdb_keyspace *entries, *copied;

    must(sdb_open("backup-from.sdb", NULL, &db));
    entries = fill(db);
    remove("backup-to.sdb"); /* a backup never writes over a file */
    must(sdb_backup(db, "backup-to.sdb", show_progress, NULL));
    must(sdb_put(NULL, entries, text("7"), text("changed since")));

    must(sdb_check_file("backup-to.sdb", NULL, show_problem, NULL, NULL, &found));
    printf("the copy is sound: %llu entries\n", (unsigned long long)found.entries);

    /* A backup is a database like any other. */
    options.flags = SDB_OPEN_READONLY;
    must(sdb_open("backup-to.sdb", &options, &copy));
    must(sdb_keyspace_open(copy, "entries", SDB_KEYSPACE_MUST_EXIST, &copied));
    print_entry(copied, "copy");
    print_entry(entries, "database");
    must(sdb_close(copy));
    must(sdb_close(db));
    return 0;
}
