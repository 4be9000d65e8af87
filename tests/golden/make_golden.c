/* SPDX-License-Identifier: Apache-2.0 */
/*
 * make_golden.c: writes the golden files into the folder that is named: format1.sdb, after a clean
 * close, format1.log, the first segment of the log that led to it, format2.log, the same with
 * compressed records, dense1.sdb with packed pages (packed1.sdb, which had them before there was a
 * dense form, cannot be made any more), expiry1.sdb and its log with values that expire, and so on;
 * those that are there already it leaves alone. Run by hand when the format changes; what it wrote
 * is kept under version control.
 */
#include <sdb/sdb.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/golden/golden_content.h"

enum {
    LOG_KEPT = 32 * 1024
}; /* bytes of the segment that are kept: all its records and some zeros */

static void need(sdb_status status)
{
    if (status == SDB_OK) return;
    (void)fprintf(stderr, "make_golden: %s\n", sdb_errmsg());
    exit(1);
}

static void fill_numbers(sdb_txn *txn, sdb_keyspace *first)
{
    uint8_t value[128];
    char key[8];

    for (unsigned i = 0; i < GOLDEN_COUNT; i++) {
        (void)snprintf(key, sizeof key, "%04u", i);
        golden_fill(value, golden_size(i), i);
        need(sdb_put(txn, first, (sdb_slice){key, 4}, (sdb_slice){value, golden_size(i)}));
    }
}

static void fill_first(sdb_txn *txn, sdb_keyspace *first)
{
    char longest[GOLDEN_LONG];

    fill_numbers(txn, first);
    memset(longest, 'L', sizeof longest);
    need(sdb_put(txn, first, (sdb_slice){longest, sizeof longest}, (sdb_slice){"long", 4}));
}

static void fill_second(sdb_txn *txn, sdb_keyspace *second)
{
    static uint8_t large[GOLDEN_LARGE];

    golden_fill(large, sizeof large, 7);
    need(sdb_put(txn, second, (sdb_slice){"large", 5}, (sdb_slice){large, sizeof large}));
    need(sdb_put(txn, second, (sdb_slice){NULL, 0}, (sdb_slice){NULL, 0}));
}

/* Some keys that are deleted again, with one operation. */
static void fill_and_delete(sdb_txn *txn, sdb_keyspace *second)
{
    const sdb_slice upper = {"gone2", 5};
    sdb_range range = {.prefix = {"gone", 4}, .upper = &upper};

    need(sdb_put(txn, second, (sdb_slice){"gone0", 5}, (sdb_slice){"0", 1}));
    need(sdb_put(txn, second, (sdb_slice){"gone1", 5}, (sdb_slice){"1", 1}));
    need(sdb_del_range(txn, second, &range));
    range.upper = NULL;
    range.prefix = (sdb_slice){"\xff", 1};
    need(sdb_del_range(txn, second, &range));
}

/* Two values that are merged together. */
static void merge(sdb_txn *txn, sdb_keyspace *second)
{
    static const uint8_t five[8] = {5}, minus_two[8] = {254, 255, 255, 255, 255, 255, 255, 255};
    sdb_slice count = {"count", 5}, text = {"text", 4};

    need(sdb_merge(txn, second, SDB_MERGE_ADD, count, (sdb_slice){five, 8}));
    need(sdb_merge(txn, second, SDB_MERGE_ADD, count, (sdb_slice){minus_two, 8}));
    need(sdb_put(txn, second, text, (sdb_slice){"golden", 6}));
    need(sdb_merge(txn, second, SDB_MERGE_APPEND, text, (sdb_slice){" log", 4}));
}

/* Copies the beginning of the log's first segment while it is there. */
static void keep_log(const char *path, const char *copy)
{
    static uint8_t bytes[LOG_KEPT];
    char segment[600];
    FILE *from, *to = fopen(copy, "wb");

    (void)snprintf(segment, sizeof segment, "%s-wal/0000000000000001.log", path);
    from = fopen(segment, "rb");
    if (!from || !to || fread(bytes, 1, sizeof bytes, from) != sizeof bytes ||
        fwrite(bytes, 1, sizeof bytes, to) != sizeof bytes || fclose(to) != 0) {
        (void)fprintf(stderr, "make_golden: cannot copy %s\n", segment);
        exit(1);
    }
    (void)fclose(from);
}

static bool is_there(const char *path)
{
    FILE *file = fopen(path, "rb");

    if (file) (void)fclose(file);
    return file != NULL;
}

static void make_packed(const char *path, sdb_options options)
{
    static const char *const names[] = {"lz4", "zstd"};
    sdb_keyspace_options how = SDB_KEYSPACE_OPTIONS_INIT;
    sdb_keyspace *keyspace;
    sdb_txn *txn;
    sdb_db *db;

    need(sdb_open(path, &options, &db));
    for (unsigned i = 0; i < 2; i++) {
        how.compression = i ? SDB_COMPRESSION_ZSTD : SDB_COMPRESSION_LZ4;
        need(sdb_keyspace_make(db, names[i], &how, &keyspace));
        need(sdb_txn_begin(db, SDB_TXN_BATCH, &txn));
        fill_numbers(txn, keyspace);
        need(sdb_txn_commit(txn));
    }
    need(sdb_close(db));
}

static void make_dictionary(const char *path, sdb_options options)
{
    sdb_keyspace_options how = SDB_KEYSPACE_OPTIONS_INIT;
    sdb_keyspace *keyspace;
    sdb_txn *txn;
    sdb_db *db;

    how.compression = SDB_COMPRESSION_ZSTD;
    need(sdb_open(path, &options, &db));
    need(sdb_keyspace_make(db, "dict", &how, &keyspace));
    need(sdb_txn_begin(db, SDB_TXN_BATCH, &txn));
    for (unsigned i = 0; i < GOLDEN_TEXTS; i++) {
        char key[8], text[GOLDEN_TEXT_ROOM];
        size_t size = golden_text(text, i);

        (void)snprintf(key, sizeof key, "%04u", i);
        need(sdb_put(txn, keyspace, (sdb_slice){key, 4}, (sdb_slice){text, size}));
    }
    need(sdb_txn_commit(txn));
    need(sdb_keyspace_train(keyspace, 4096, SDB_TRAIN_REWRITE, NULL, NULL, NULL));
    need(sdb_vacuum(db, 0, NULL, NULL));
    need(sdb_close(db));
}

static void make_plain(const char *path, const char *copy, sdb_options options)
{
    sdb_keyspace *first, *second;
    sdb_txn *txn;
    sdb_db *db;

    need(sdb_open(path, &options, &db));
    need(sdb_keyspace_open(db, "first", 0, &first));
    need(sdb_keyspace_open(db, "second", 0, &second));
    need(sdb_txn_begin(db, SDB_TXN_WRITE, &txn));
    fill_first(txn, first);
    need(sdb_txn_commit(txn));
    need(sdb_txn_begin(db, SDB_TXN_BATCH, &txn));
    fill_second(txn, second);
    need(sdb_txn_commit(txn));
    need(sdb_txn_begin(db, SDB_TXN_BATCH, &txn));
    fill_and_delete(txn, second);
    need(sdb_txn_commit(txn));
    need(sdb_txn_begin(db, SDB_TXN_BATCH, &txn));
    merge(txn, second);
    need(sdb_txn_commit(txn));
    keep_log(path, copy);
    need(sdb_close(db));
}

/* The same commits in a log of compressed records; the database is as the other one. */
static void make_packed_log(const char *path, const char *copy, sdb_options options)
{
    options.log_compression = SDB_COMPRESSION_LZ4;
    make_plain(path, copy, options);
    (void)remove(path);
}

/* The numbers stay in a snapshot; afterwards there is one key. */
static void make_kept(const char *path, sdb_options options)
{
    const sdb_range all = {.prefix = {NULL, 0}};
    sdb_keyspace *keyspace;
    sdb_txn *txn;
    sdb_db *db;

    need(sdb_open(path, &options, &db));
    need(sdb_keyspace_open(db, "first", 0, &keyspace));
    need(sdb_txn_begin(db, SDB_TXN_BATCH, &txn));
    fill_numbers(txn, keyspace);
    need(sdb_txn_commit(txn));
    need(sdb_snapshot_make(db, "numbers"));
    need(sdb_del_range(NULL, keyspace, &all));
    need(sdb_put(NULL, keyspace, (sdb_slice){"one", 3}, (sdb_slice){"1", 1}));
    need(sdb_snapshot_make(db, "one"));
    need(sdb_close(db));
}

static void fill_expiring(sdb_txn *txn, sdb_keyspace *keys)
{
    static uint8_t large[GOLDEN_LARGE];
    uint8_t value[128];
    char key[8];

    for (unsigned i = 0; i < GOLDEN_COUNT; i++) {
        (void)snprintf(key, sizeof key, "%04u", i);
        golden_fill(value, golden_size(i), i);
        need(sdb_put_expiring(txn, keys, (sdb_slice){key, 4}, (sdb_slice){value, golden_size(i)},
                              i % 4 ? GOLDEN_YEAR_2100 + i : 0));
    }
    golden_fill(large, sizeof large, 7);
    need(sdb_put_expiring(txn, keys, (sdb_slice){"large", 5}, (sdb_slice){large, sizeof large},
                          GOLDEN_YEAR_2100));
    need(sdb_put_expiring(txn, keys, (sdb_slice){"gone", 4}, (sdb_slice){"1", 1}, 1));
}

static void make_expiring(const char *path, const char *copy, sdb_options options)
{
    sdb_keyspace_options how = SDB_KEYSPACE_OPTIONS_INIT;
    sdb_keyspace *keys, *lives;
    sdb_txn *txn;
    sdb_db *db;

    need(sdb_open(path, &options, &db));
    need(sdb_keyspace_open(db, "keys", 0, &keys));
    how.ttl_ms = GOLDEN_TTL;
    need(sdb_keyspace_make(db, "lives", &how, &lives));
    need(sdb_txn_begin(db, SDB_TXN_BATCH, &txn));
    fill_expiring(txn, keys);
    need(sdb_put(txn, lives, (sdb_slice){"own", 3}, (sdb_slice){"1", 1}));
    need(sdb_put_expiring(txn, lives, (sdb_slice){"ever", 4}, (sdb_slice){"2", 1}, 0));
    need(sdb_txn_commit(txn));
    keep_log(path, copy);
    need(sdb_close(db));
}

int main(int count, char **arguments)
{
    sdb_options options = SDB_OPTIONS_INIT;
    char path[512], copy[512];

    if (count != 2) {
        (void)fprintf(stderr, "usage: make_golden FOLDER\n");
        return 2;
    }
    options.flags = SDB_OPEN_NO_THREADS | SDB_OPEN_MUST_MAKE;
    options.page_size = 4096;
    (void)snprintf(path, sizeof path, "%s/format1.sdb", arguments[1]);
    (void)snprintf(copy, sizeof copy, "%s/format1.log", arguments[1]);
    if (!is_there(path)) make_plain(path, copy, options);
    (void)snprintf(path, sizeof path, "%s/format2.sdb", arguments[1]);
    (void)snprintf(copy, sizeof copy, "%s/format2.log", arguments[1]);
    if (!is_there(copy)) make_packed_log(path, copy, options);
    (void)snprintf(path, sizeof path, "%s/dense1.sdb", arguments[1]);
    if (!is_there(path)) make_packed(path, options);
    (void)snprintf(path, sizeof path, "%s/dictionary1.sdb", arguments[1]);
    if (!is_there(path)) make_dictionary(path, options);
    (void)snprintf(path, sizeof path, "%s/kept1.sdb", arguments[1]);
    if (!is_there(path)) make_kept(path, options);
    (void)snprintf(path, sizeof path, "%s/expiry1.sdb", arguments[1]);
    (void)snprintf(copy, sizeof copy, "%s/expiry1.log", arguments[1]);
    if (!is_there(path)) make_expiring(path, copy, options);
    return 0;
}
