/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_packing.c: claims about compressed keyspaces: they hold what any keyspace holds, in less
 * space, and remember how.
 */
#include "tests/kv/kv_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/io/simulated.h"
#include "index/kv/database.h"

#define COPY "copy.sdb"

enum { KEYS = 3000, VALUE = 200, LARGE = 50000 };

static const struct {
    const char *name;
    sdb_compression compression;
    unsigned level, stored;
} spaces[] = {{"plain", SDB_COMPRESSION_NONE, 0, 0},
              {"quick", SDB_COMPRESSION_LZ4, 0, 0},
              {"small", SDB_COMPRESSION_ZSTD, 0, 3},
              {"least", SDB_COMPRESSION_ZSTD, 19, 19}};
enum { SPACES = sizeof spaces / sizeof spaces[0] };

static sdb_keyspace *make(sdb_db *db, unsigned i)
{
    sdb_keyspace_options options = SDB_KEYSPACE_OPTIONS_INIT;
    sdb_keyspace *keyspace;

    options.compression = spaces[i].compression;
    options.level = spaces[i].level;
    OK(sdb_keyspace_make(db, spaces[i].name, &options, &keyspace));
    return keyspace;
}

/* Half of a value is random, half is not; `noise` more than 0 makes all of it random. */
static void value_of(uint8_t *to, unsigned key, bool noise)
{
    memset(to, 'a' + (int)(key % 20), VALUE);
    kv_fill(to, noise ? VALUE : VALUE / 2, key + 1);
}

static void fill(sdb_keyspace *keyspace, bool noise)
{
    static uint8_t large[LARGE];
    uint8_t value[VALUE];
    char key[16];
    sdb_txn *txn;

    for (unsigned i = 0; i < KEYS;) {
        OK(sdb_txn_begin(keyspace->db, SDB_TXN_BATCH, &txn));
        for (unsigned n = 0; n < 500; n++, i++) {
            value_of(value, i, noise);
            OK(sdb_put(txn, keyspace,
                       (sdb_slice){key, (size_t)snprintf(key, sizeof key, "%06u",
                                                         i * 7919 % 1000000)},
                       (sdb_slice){value, sizeof value}));
        }
        OK(sdb_txn_commit(txn));
    }
    kv_fill(large, sizeof large, 5);
    OK(sdb_put(NULL, keyspace, TEXT("large"), (sdb_slice){large, sizeof large}));
}

static void expect(sdb_keyspace *keyspace, bool noise)
{
    uint8_t value[VALUE];
    char key[16];
    sdb_slice seen;
    sdb_txn *txn;

    OK(sdb_txn_begin(keyspace->db, SDB_TXN_READ, &txn));
    for (unsigned i = 0; i < KEYS; i++) {
        value_of(value, i, noise);
        OK(sdb_get(txn, keyspace,
                   (sdb_slice){key, (size_t)snprintf(key, sizeof key, "%06u",
                                                     i * 7919 % 1000000)}, &seen));
        ck_assert_uint_eq(seen.size, sizeof value);
        ck_assert_mem_eq(seen.data, value, sizeof value);
    }
    OK(sdb_get(txn, keyspace, TEXT("large"), &seen));
    ck_assert_uint_eq(seen.size, LARGE);
    ck_assert(kv_is_filled(seen.data, LARGE, 5));
    sdb_txn_abort(txn);
}

static sdb_keyspace_stats stats_of(sdb_keyspace *keyspace)
{
    sdb_keyspace_stats stats = {.size = sizeof stats};

    OK(sdb_keyspace_stat(keyspace, &stats));
    return stats;
}

/* A database with all four, in a cache that is much too small. */
static sdb_db *open_filled(struct io *io)
{
    sdb_options options = kv_options(4096);
    sdb_db *db = kv_open(io, &options);

    for (unsigned i = 0; i < SPACES; i++) fill(make(db, i), false);
    return db;
}

static void expect_all(sdb_db *db)
{
    for (unsigned i = 0; i < SPACES; i++) expect(kv_keyspace(db, spaces[i].name), false);
}

START_TEST(compressed_keyspaces_hold_what_others_hold)
{
    sdb_options options = kv_options(4096);
    struct io *io = kv_disk(1);
    sdb_db *db = open_filled(io);

    expect_all(db);
    kv_check_sound(db);
    OK(sdb_close(db));
    kv_check_file_sound(io);
    db = kv_open(io, &options);
    expect_all(db);
    for (unsigned i = 0; i < SPACES; i++) {
        sdb_keyspace *keyspace = kv_keyspace(db, spaces[i].name);

        fill(keyspace, true); /* now there is little to gain */
        expect(keyspace, true);
    }
    kv_check_sound(db);
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(statistics_tell_what_compression_saves)
{
    sdb_options options = kv_options(4096);
    sdb_stats whole = {.size = sizeof whole};
    struct io *io = kv_disk(2);
    sdb_db *db = open_filled(io);
    uint64_t packed = 0, bytes = 0;

    db = kv_reopen(io, &options, db);
    for (unsigned i = 0; i < SPACES; i++) {
        sdb_keyspace_stats s = stats_of(kv_keyspace(db, spaces[i].name));

        ck_assert_int_eq((int)s.compression, (int)spaces[i].compression);
        ck_assert_uint_eq(s.level, spaces[i].stored);
        ck_assert_uint_gt(s.pages, KEYS * VALUE / 4096);
        ck_assert_uint_eq(s.page_bytes, s.pages * 4096);
        packed += s.compressed_pages;
        if (i == 0) {
            ck_assert_uint_eq(s.compressed_pages, 0);
            ck_assert_uint_eq(s.stored_bytes, s.page_bytes);
            continue;
        }
        ck_assert_uint_gt(s.compressed_pages * 100, s.pages * 95);
        ck_assert_uint_lt(s.stored_bytes * 100, s.page_bytes * 75);
        ck_assert_uint_eq(s.stored_bytes % 512, 0);
        bytes += s.stored_bytes - (s.pages - s.compressed_pages) * 4096;
    }
    OK(sdb_stat(db, &whole));
    ck_assert_uint_eq(whole.compressed_pages, packed);
    ck_assert_uint_eq(whole.compressed_bytes, bytes);
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(options_outlive_crashes)
{
    sdb_options options = kv_options(4096);
    struct io *io = kv_disk(3);
    sdb_db *db = kv_open(io, &options);

    for (unsigned i = 0; i < SPACES; i++) kv_put_text(make(db, i), "key", "value");
    OK(sdb__sim_restart(io, 0));
    (void)!sdb_close(db);
    kv_check_file_sound(io); /* the log, too */
    db = kv_open(io, &options);
    for (unsigned i = 0; i < SPACES; i++) {
        sdb_keyspace *keyspace = kv_keyspace(db, spaces[i].name);

        ck_assert_int_eq((int)stats_of(keyspace).compression, (int)spaces[i].compression);
        kv_expect(keyspace, "key", "value");
    }
    db = kv_reopen(io, &options, db);
    for (unsigned i = 0; i < SPACES; i++)
        ck_assert_uint_eq(stats_of(kv_keyspace(db, spaces[i].name)).level, spaces[i].stored);
    OK(sdb_keyspace_drop(kv_keyspace(db, "small")));
    kv_check_sound(db);
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(senseless_options_are_refused)
{
    sdb_options options = kv_options(4096);
    struct io *io = kv_disk(4);
    sdb_db *db = kv_open(io, &options);
    sdb_keyspace_options bad = SDB_KEYSPACE_OPTIONS_INIT;
    sdb_keyspace *keyspace;

    bad.level = 1;
    IS(sdb_keyspace_make(db, "a", &bad, &keyspace), SDB_INVALID);
    bad.compression = SDB_COMPRESSION_LZ4;
    IS(sdb_keyspace_make(db, "a", &bad, &keyspace), SDB_INVALID);
    bad.compression = SDB_COMPRESSION_ZSTD;
    bad.level = 20;
    IS(sdb_keyspace_make(db, "a", &bad, &keyspace), SDB_INVALID);
    bad.level = 0;
    bad.compression = (sdb_compression)3;
    IS(sdb_keyspace_make(db, "a", &bad, &keyspace), SDB_INVALID);
    bad.size = 0;
    IS(sdb_keyspace_make(db, "a", &bad, &keyspace), SDB_INVALID);
    OK(sdb_keyspace_make(db, "a", NULL, &keyspace));
    IS(sdb_keyspace_make(db, "a", NULL, &keyspace), SDB_EXISTS);
    ck_assert_int_eq((int)stats_of(keyspace).compression, SDB_COMPRESSION_NONE);
    OK(sdb_keyspace_drop(keyspace));
    IS(sdb_keyspace_stat(keyspace, &(sdb_keyspace_stats){.size = sizeof(sdb_keyspace_stats)}),
       SDB_NOTFOUND);
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(copy_of_compressed_keyspaces_is_whole)
{
    sdb_options options = kv_options(4096);
    struct io *io = kv_disk(5);
    sdb_db *db = open_filled(io), *copy;
    sdb_stats from = {.size = sizeof from}, to = {.size = sizeof to};

    OK(sdb_backup(db, COPY, NULL, NULL));
    OK(sdb__db_open(io, COPY, &options, &copy));
    expect_all(copy);
    kv_check_sound(copy);
    OK(sdb_stat(db, &from));
    OK(sdb_stat(copy, &to));
    ck_assert_uint_gt(to.compressed_pages, 0);
    ck_assert_uint_eq(to.compressed_bytes, from.compressed_bytes);
    OK(sdb_close(copy));
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

/* Flips a bit of a file's byte. */
static void flip(struct io *io, uint64_t offset)
{
    struct io_file *file;
    struct io_queue *queue;
    uint8_t byte;

    OK(sdb__io_open(io, COPY, IO_OPEN_WRITE, &file));
    OK(sdb__io_queue_new(io, 1, &queue));
    OK(sdb__io_read(queue, file, &byte, 1, offset));
    byte ^= 0x10;
    OK(sdb__io_write(queue, file, &byte, 1, offset));
    sdb__io_queue_free(queue);
    sdb__io_close(file);
}

/* The features that the superblock at `offset` asks for. */
static uint32_t features_at(struct io *io, uint64_t offset)
{
    struct io_file *file;
    struct io_queue *queue;
    uint8_t bytes[16];

    OK(sdb__io_open(io, KV_PATH, 0, &file));
    OK(sdb__io_queue_new(io, 1, &queue));
    OK(sdb__io_read(queue, file, bytes, sizeof bytes, offset));
    sdb__io_queue_free(queue);
    sdb__io_close(file);
    return get_u32(bytes + 12);
}

/* Whatever can be read is what was written. */
static void expect_no_wrong_value(sdb_keyspace *keyspace)
{
    uint8_t value[VALUE], seen[VALUE];
    char key[16];
    size_t size;

    for (unsigned i = 0; i < KEYS; i++) {
        sdb_status status = sdb_get_copy(
            keyspace, (sdb_slice){key, (size_t)snprintf(key, sizeof key, "%06u",
                                                        i * 7919 % 1000000)},
            seen, sizeof seen, &size);

        if (status == SDB_CORRUPT) continue;
        OK(status);
        value_of(value, i, false);
        ck_assert_uint_eq(size, sizeof value);
        ck_assert_mem_eq(seen, value, sizeof value);
    }
}

START_TEST(damage_in_compressed_pages_is_seen)
{
    sdb_options options = kv_options(4096);
    uint64_t random = kv_seed("damage_in_compressed_pages", 17);
    struct io *io = kv_disk(6);
    sdb_db *db = kv_open(io, &options);
    sdb_stats stats = {.size = sizeof stats};
    uint64_t size;

    fill(make(db, 2), false);
    OK(sdb_backup(db, COPY, NULL, NULL)); /* in it all pages stand at the beginning */
    OK(sdb_stat(db, &stats));
    OK(sdb_close(db));
    size = 8192 + stats.compressed_bytes;
    for (unsigned i = 0; i < 40; i++) {
        uint64_t at = 8192 + (random += 0x9e3779b97f4a7c15u) % (size - 8192);
        sdb_status status;

        flip(io, at);
        status = sdb__db_open(io, COPY, &options, &db);
        if (status == SDB_OK) {
            sdb_keyspace *keyspace;

            if (sdb_keyspace_open(db, "small", SDB_KEYSPACE_MUST_EXIST, &keyspace) == SDB_OK)
                expect_no_wrong_value(keyspace);
            status = sdb_check(db, NULL, NULL, NULL, NULL);
            (void)!sdb_close(db);
        }
        ck_assert_msg(status == SDB_CORRUPT, "byte %llu: %d", (unsigned long long)at, status);
        flip(io, at);
    }
    sdb__io_free(io);
}
END_TEST

START_TEST(file_says_what_a_reader_must_know)
{
    sdb_options options = kv_options(4096);
    struct io *io = kv_disk(7);
    sdb_db *db = kv_open(io, &options);

    kv_put_text(kv_keyspace(db, "plain"), "key", "value");
    OK(sdb_close(db));
    ck_assert_uint_eq(features_at(io, 0), 0); /* as before there was compression */
    db = kv_open(io, &options);
    (void)make(db, 1);
    OK(sdb_close(db));
    for (unsigned slot = 0; slot < 2; slot++)
        ck_assert_uint_eq(features_at(io, slot * 4096), FEATURE_PACKING | FEATURE_DENSE);
    db = kv_open(io, &options);
    kv_put_text(kv_keyspace(db, "plain"), "key", "value");
    OK(sdb_close(db));
    ck_assert_uint_eq(features_at(io, 0), FEATURE_PACKING | FEATURE_DENSE);
    sdb__io_free(io);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kv/packing");
    TCase *cases = tcase_create("packing");

    tcase_set_timeout(cases, 30);
    tcase_add_test(cases, compressed_keyspaces_hold_what_others_hold);
    tcase_add_test(cases, statistics_tell_what_compression_saves);
    tcase_add_test(cases, options_outlive_crashes);
    tcase_add_test(cases, senseless_options_are_refused);
    tcase_add_test(cases, copy_of_compressed_keyspaces_is_whole);
    tcase_add_test(cases, damage_in_compressed_pages_is_seen);
    tcase_add_test(cases, file_says_what_a_reader_must_know);
    suite_add_tcase(suite, cases);
    return kv_main(suite);
}
