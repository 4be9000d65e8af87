/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_named.c: claims about named snapshots (sdb/snapshot.h): what they answer, what they hold,
 * and what damage to one of them costs.
 *
 * That they read as they were made, whatever happens, is tests/prop/prop_named; that a crash leaves
 * them whole or not at all, tests/crash.
 */
#include "tests/kv/kv_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/pager/kept.h"
#include "engine/pager/pool.h"
#include "index/kv/verify.h"

enum { KEYS = 2000, LARGE = 20000 };

static uint8_t room[LARGE];

static sdb_slice key_of(unsigned i)
{
    static _Thread_local char key[16];

    return (sdb_slice){key, (size_t)snprintf(key, sizeof key, "%06u", i * 7919 % 1000000)};
}

static void write_round(sdb_keyspace *keyspace, unsigned round)
{
    sdb_txn *txn;

    OK(sdb_txn_begin(keyspace->db, SDB_TXN_BATCH, &txn));
    for (unsigned i = 0; i < KEYS; i++) {
        size_t size = i % 100 == 7 ? sizeof room : 100 + i % 50;

        kv_fill(room, size, i * 10 + round);
        MUST(sdb_put(txn, keyspace, key_of(i), (sdb_slice){room, size}));
    }
    OK(sdb_txn_commit(txn));
}

/* True if all is there as it was written in a round; a damaged read ends it. */
static sdb_status try_round(sdb_db *db, unsigned round)
{
    sdb_keyspace *keyspace;
    sdb_status status = SDB_OK;
    sdb_slice value;
    sdb_txn *txn;

    OK(sdb_keyspace_open(db, "k", SDB_KEYSPACE_MUST_EXIST, &keyspace));
    OK(sdb_txn_begin(db, SDB_TXN_READ, &txn));
    for (unsigned i = 0; i < KEYS && status == SDB_OK; i++) {
        status = sdb_get(txn, keyspace, key_of(i), &value);
        if (status == SDB_OK && !kv_is_filled(value.data, value.size, i * 10 + round))
            ck_abort_msg("key %u is not of round %u", i, round);
    }
    sdb_txn_abort(txn);
    return status;
}

static sdb_stats stats_of(sdb_db *db)
{
    sdb_stats stats = {.size = sizeof stats};

    OK(sdb_stat(db, &stats));
    return stats;
}

/* A database with a snapshot "s" of round 0, and round 1 since. */
static sdb_db *with_snapshot(struct io *io, const sdb_options *options)
{
    sdb_db *db = kv_open(io, options);

    write_round(kv_keyspace(db, "k"), 0);
    OK(sdb_snapshot_make(db, "s"));
    write_round(kv_keyspace(db, "k"), 1);
    OK(sdb_checkpoint(db));
    return db;
}

/* ---- what they answer ---------------------------------------------------------------------- */

START_TEST(a_snapshot_is_a_database_that_can_only_be_read)
{
    struct io *io = kv_disk(1);
    sdb_options options = kv_options(4096);
    sdb_db *db = with_snapshot(io, &options), *view;
    sdb_snapshot_info info = {.size = sizeof info};
    sdb_keyspace *k, *other;
    sdb_changes *changes;

    OK(sdb_snapshot_open(db, "s", &view));
    OK(try_round(view, 0));
    k = kv_keyspace(view, "k");
    IS(sdb_put(NULL, k, TEXT("a"), TEXT("b")), SDB_READONLY);
    IS(sdb_keyspace_open(view, "new", 0, &other), SDB_READONLY);
    IS(sdb_keyspace_drop(k), SDB_READONLY);
    IS(sdb_checkpoint(view), SDB_READONLY);
    IS(sdb_vacuum(view, 0, NULL, NULL), SDB_READONLY);
    IS(sdb_changes_open(view, 0, 0, &changes), SDB_READONLY);
    SAYS(sdb_snapshot_make(view, "t"), SDB_READONLY, "as of a snapshot");
    IS(sdb_snapshot_drop(view, "s"), SDB_READONLY);
    IS(sdb_snapshot_next(view, NULL, &info), SDB_END);
    kv_check_sound(view);
    ck_assert_uint_eq(stats_of(view).named_snapshots, 0);
    OK(sdb_snapshot_next(db, NULL, &info));
    ck_assert_uint_eq(stats_of(view).commit_sequence, info.commit);
    SAYS(sdb_close(db), SDB_BUSY, "snapshots of it are still open");
    OK(try_round(view, 0));
    OK(sdb_close(view));
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(names_are_judged)
{
    char longest[SDB_SNAPSHOT_NAME_MAX + 2];
    struct io *io = kv_disk(1);
    sdb_options options = kv_options(4096);
    sdb_db *db = kv_open(io, &options), *view;
    sdb_snapshot_info info = {.size = sizeof info}, small = {.size = 1};

    memset(longest, 'n', sizeof longest);
    longest[sizeof longest - 1] = 0;
    IS(sdb_snapshot_make(db, NULL), SDB_INVALID);
    IS(sdb_snapshot_make(NULL, "x"), SDB_INVALID);
    IS(sdb_snapshot_make(db, ""), SDB_INVALID);
    IS(sdb_snapshot_make(db, "a\nb"), SDB_INVALID);
    IS(sdb_snapshot_make(db, "\xff"), SDB_INVALID);
    IS(sdb_snapshot_make(db, longest), SDB_LIMIT);
    longest[sizeof longest - 2] = 0;
    OK(sdb_snapshot_make(db, longest));
    OK(sdb_snapshot_make(db, "\xc3\xa4"));
    SAYS(sdb_snapshot_make(db, longest), SDB_EXISTS, "already");
    IS(sdb_snapshot_open(db, "n", &view), SDB_NOTFOUND);
    IS(sdb_snapshot_drop(db, "n"), SDB_NOTFOUND);
    IS(sdb_snapshot_next(db, NULL, &small), SDB_INVALID);
    OK(sdb_snapshot_next(db, NULL, &info));
    ck_assert_str_eq(info.name, longest);
    ck_assert_uint_gt(info.made_ms, 0);
    OK(sdb_snapshot_next(db, info.name, &info));
    ck_assert_str_eq(info.name, "\xc3\xa4");
    IS(sdb_snapshot_next(db, info.name, &info), SDB_END);
    OK(sdb_close(db));
    options.flags |= SDB_OPEN_READONLY;
    db = kv_open(io, &options);
    IS(sdb_snapshot_make(db, "x"), SDB_READONLY);
    IS(sdb_snapshot_drop(db, longest), SDB_READONLY);
    OK(sdb_snapshot_open(db, longest, &view));
    OK(sdb_close(view));
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(there_is_a_limit_to_how_many_and_how_many_open)
{
    sdb_db *views[SDB_SNAPSHOTS_OPEN_MAX], *one_more;
    char name[16];
    struct io *io = kv_disk(1);
    sdb_options options = kv_options(4096);
    sdb_db *db = kv_open(io, &options);

    for (unsigned i = 0; i < SDB_SNAPSHOTS_MAX; i++) {
        (void)snprintf(name, sizeof name, "%u", i);
        MUST(sdb_snapshot_make(db, name));
    }
    SAYS(sdb_snapshot_make(db, "more"), SDB_LIMIT, "drop some");
    OK(sdb_snapshot_drop(db, "500"));
    OK(sdb_snapshot_make(db, "more"));
    for (unsigned i = 0; i < SDB_SNAPSHOTS_OPEN_MAX; i++)
        OK(sdb_snapshot_open(db, i % 2 ? "999" : "more", &views[i]));
    SAYS(sdb_snapshot_open(db, "0", &one_more), SDB_LIMIT, "close some");
    IS(sdb_snapshot_drop(db, "more"), SDB_BUSY);
    for (unsigned i = 0; i < SDB_SNAPSHOTS_OPEN_MAX; i++) OK(sdb_close(views[i]));
    OK(sdb_snapshot_drop(db, "more"));
    OK(sdb_close(db));
    db = kv_open(io, &options);
    ck_assert_uint_eq(stats_of(db).named_snapshots, SDB_SNAPSHOTS_MAX - 1);
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(memory_databases_have_them_too)
{
    sdb_db *db, *view;

    OK(sdb_open(":memory:", NULL, &db));
    kv_put_text(kv_keyspace(db, "k"), "a", "1");
    OK(sdb_snapshot_make(db, "one"));
    kv_put_text(kv_keyspace(db, "k"), "a", "2");
    OK(sdb_snapshot_open(db, "one", &view));
    kv_expect(kv_keyspace(view, "k"), "a", "1");
    kv_expect(kv_keyspace(db, "k"), "a", "2");
    OK(sdb_close(view));
    OK(sdb_close(db));
}
END_TEST

START_TEST(a_backup_has_none_and_can_be_made_of_one)
{
    struct io *io = kv_disk(1);
    sdb_options options = kv_options(4096);
    sdb_db *db = with_snapshot(io, &options), *view, *copy;
    sdb_snapshot_info info = {.size = sizeof info};

    OK(sdb_snapshot_open(db, "s", &view));
    OK(sdb_backup(view, "of-s.sdb", NULL, NULL));
    OK(sdb_backup(db, "of-all.sdb", NULL, NULL));
    OK(sdb_close(view));
    OK(sdb_close(db));
    for (unsigned round = 0; round < 2; round++) {
        const char *path = round ? "of-all.sdb" : "of-s.sdb";

        OK(sdb__check_file(io, &sdb__mem_default, path, NULL, NULL, NULL, NULL));
        OK(sdb__db_open(io, path, &options, &copy));
        IS(sdb_snapshot_next(copy, NULL, &info), SDB_END);
        OK(try_round(copy, round));
        OK(sdb_close(copy));
    }
    sdb__io_free(io);
}
END_TEST

/* ---- what they hold ------------------------------------------------------------------------ */

START_TEST(space_is_held_until_the_last_that_needs_it_is_dropped)
{
    struct io *io = kv_disk(1);
    sdb_options options = kv_options(4096);
    sdb_db *db = with_snapshot(io, &options);
    uint64_t held = stats_of(db).snapshot_bytes, alone;

    ck_assert_uint_gt(held, KEYS * 100);
    OK(sdb_snapshot_make(db, "again")); /* holds what the database has anyway */
    ck_assert_uint_le(stats_of(db).snapshot_bytes, held + 4 * 4096);
    write_round(kv_keyspace(db, "k"), 2);
    OK(sdb_checkpoint(db));
    ck_assert_uint_gt(stats_of(db).snapshot_bytes, held * 3 / 2);
    OK(sdb_close(db));
    options.flags |= SDB_OPEN_READONLY;
    db = kv_open(io, &options);
    ck_assert_uint_gt(stats_of(db).snapshot_bytes, held * 3 / 2);
    OK(sdb_close(db));
    options.flags &= ~(unsigned)SDB_OPEN_READONLY;
    db = kv_open(io, &options);
    ck_assert_uint_gt(stats_of(db).snapshot_bytes, held * 3 / 2);
    OK(sdb_snapshot_drop(db, "s"));
    alone = stats_of(db).snapshot_bytes;
    ck_assert_uint_gt(alone, held / 2);
    ck_assert_uint_lt(alone, held * 3 / 2);
    OK(sdb_snapshot_drop(db, "again"));
    ck_assert_uint_eq(stats_of(db).snapshot_bytes, 0);
    ck_assert_uint_eq(sdb__pager_superblock(db->pager)->features & FEATURE_KEPT, 0);
    OK(sdb_vacuum(db, 0, NULL, NULL));
    ck_assert_uint_le(stats_of(db).file_bytes, stats_of(db).used_bytes * 11 / 10);
    OK(try_round(db, 2));
    kv_check_sound(db);
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(a_vacuum_gives_back_what_no_snapshot_needs)
{
    struct io *io = kv_disk(1);
    sdb_options options = kv_options(4096);
    sdb_db *db = with_snapshot(io, &options), *view;
    uint64_t before;

    for (unsigned round = 2; round < 6; round++) {
        write_round(kv_keyspace(db, "k"), round);
        OK(sdb_checkpoint(db));
    }
    OK(sdb_snapshot_open(db, "s", &view));
    before = stats_of(db).file_bytes;
    OK(sdb_keyspace_drop(kv_keyspace(db, "k")));
    OK(sdb_vacuum(db, 0, NULL, NULL));
    ck_assert_uint_lt(stats_of(db).file_bytes, before * 2 / 3);
    OK(sdb_vacuum(db, SDB_VACUUM_HOLES, NULL, NULL));
    OK(try_round(view, 0));
    OK(sdb_close(view));
    kv_check_sound(db);
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(the_cache_is_shared_and_comes_back)
{
    struct io *io = kv_disk(1);
    sdb_options options = kv_options(4096);
    sdb_db *db, *view;
    uint64_t limit, less;

    options.cache_bytes = 8 * MIB;
    db = with_snapshot(io, &options);
    OK(try_round(db, 1));
    limit = stats_of(db).cache_limit_bytes;
    OK(sdb_snapshot_open(db, "s", &view));
    less = stats_of(db).cache_limit_bytes;
    ck_assert_uint_lt(less, limit - 200 * 1024);
    ck_assert_uint_le(less + stats_of(view).cache_limit_bytes, limit);
    OK(try_round(view, 0));
    OK(sdb_close(view));
    ck_assert_uint_gt(stats_of(db).cache_limit_bytes, limit - 64 * 1024);
    OK(try_round(db, 1));
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(a_full_disk_makes_none_and_harms_none)
{
    struct sim_faults none = {0};
    struct io *io = kv_disk(1);
    sdb_options options = kv_options(4096);
    sdb_db *db = with_snapshot(io, &options), *view;
    unsigned refused = 0;

    for (unsigned n = 1; n < 40; n++) { /* the n-th write finds no room */
        struct sim_faults full = {.fail_full_at = n};
        sdb_status status;

        kv_put_text(kv_keyspace(db, "other"), "n", "n");
        sdb__sim_set_faults(io, &full);
        status = n % 2 ? sdb_snapshot_make(db, "t") : sdb_snapshot_drop(db, "s");
        sdb__sim_set_faults(io, &none);
        if (sdb_checkpoint(db) != SDB_OK) {
            (void)!sdb_close(db); /* it was a superblock: that ends a handle */
            db = kv_open(io, &options);
        }
        if (status != SDB_OK) {
            refused++;
            IS(sdb_snapshot_open(db, "t", &view), SDB_NOTFOUND);
        } else if (n % 2) {
            OK(sdb_snapshot_drop(db, "t"));
        } else {
            break;
        }
        OK(sdb_snapshot_open(db, "s", &view));
        OK(try_round(view, 0));
        OK(sdb_close(view));
    }
    ck_assert_uint_gt(refused, 2);
    OK(try_round(db, 1));
    kv_check_sound(db);
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

/* ---- damage -------------------------------------------------------------------------------- */

struct report {
    unsigned of_snapshot, others;
    char last[300];
};

static void count_problem(void *context, const char *problem)
{
    struct report *report = context;

    if (strncmp(problem, "snapshot 's': ", 14) == 0) report->of_snapshot++;
    else report->others++;
    (void)snprintf(report->last, sizeof report->last, "%s", problem);
}

static struct report check_file(struct io *io)
{
    struct report report = {0};
    sdb_check_result result = {.size = sizeof result};
    sdb_status status = sdb__check_file(io, &sdb__mem_default, KV_PATH, count_problem, NULL,
                                        &report, &result);

    IS(status, report.of_snapshot + report.others ? SDB_CORRUPT : SDB_OK);
    return report;
}

/* What the file's table says of its only snapshot, and where the table stands. */
static struct pager_kept look(struct io *io, uint64_t *out_table)
{
    struct superblock_pair pair;
    struct pager_kept *records, kept;
    struct io_queue *queue;
    struct io_file *file;

    OK(sdb__io_open(io, KV_PATH, 0, &file));
    OK(sdb__io_queue_new(io, 1, &queue));
    OK(sdb__superblock_read(queue, file, &pair));
    OK(sdb__kept_read(&sdb__mem_default, queue, file, &pair.slot[pair.newest], &records));
    kept = records[0];
    *out_table = place_offset(pair.slot[pair.newest].kept_place);
    sdb__mem_free(&sdb__mem_default, records);
    sdb__io_queue_free(queue);
    sdb__io_close(file);
    return kept;
}

START_TEST(a_damaged_page_map_costs_its_snapshot_alone)
{
    struct io *io = kv_disk(1);
    sdb_options options = kv_options(4096);
    sdb_db *db = with_snapshot(io, &options), *view;
    struct report report;
    uint64_t table;

    OK(sdb_close(db));
    kv_check_file_sound(io);
    OK(sdb__sim_flip(io, KV_PATH, place_offset(look(io, &table).superblock.directory_place), 3));
    report = check_file(io);
    ck_assert_uint_gt(report.of_snapshot, 0);
    ck_assert_uint_eq(report.others, 0);
    db = kv_open(io, &options);
    SAYS(sdb_snapshot_open(db, "s", &view), SDB_CORRUPT, "directory");
    OK(try_round(db, 1));
    write_round(kv_keyspace(db, "k"), 2);
    OK(sdb_snapshot_make(db, "t"));
    OK(sdb_snapshot_drop(db, "s"));
    OK(sdb_snapshot_open(db, "t", &view));
    OK(try_round(view, 2));
    OK(sdb_close(view));
    kv_check_sound(db);
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(a_damaged_page_of_a_snapshot_is_told_with_its_name)
{
    struct io *io = kv_disk(1);
    sdb_options options = kv_options(4096);
    sdb_db *db = with_snapshot(io, &options), *view;
    struct report report;
    uint64_t place, id = 0;

    OK(sdb_snapshot_open(db, "s", &view));
    do place = sdb__map_get(&view->pager->map, ++id).place;
    while (!place_is_page(place) || place == sdb__map_get(&db->pager->map, id).place);
    OK(sdb_close(view));
    OK(sdb_close(db));
    OK(sdb__sim_flip(io, KV_PATH, place_offset(place) + 100, 1));
    report = check_file(io);
    ck_assert_uint_gt(report.of_snapshot, 0);
    ck_assert_uint_eq(report.others, 0);
    db = kv_open(io, &options);
    OK(sdb_snapshot_open(db, "s", &view));
    IS(try_round(view, 0), SDB_CORRUPT);
    OK(sdb_close(view));
    OK(try_round(db, 1));
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(a_damaged_table_is_refused_with_a_sentence)
{
    struct io *io = kv_disk(1);
    sdb_options options = kv_options(4096);
    sdb_db *db = with_snapshot(io, &options);
    struct report report;
    uint64_t table;

    OK(sdb_close(db));
    (void)look(io, &table);
    for (unsigned i = 0; i < KEPT_RECORD; i += 7) {
        OK(sdb__sim_flip(io, KV_PATH, table + i, i % 8));
        SAYS(sdb__db_open(io, KV_PATH, &options, &db), SDB_CORRUPT, "table of snapshots");
        report = check_file(io);
        ck_assert_uint_eq(report.of_snapshot + report.others, 1);
        OK(sdb__sim_flip(io, KV_PATH, table + i, i % 8));
    }
    db = kv_open(io, &options);
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

/* Whatever a record says, decoding it answers, and what it accepts is in its ranges. */
static uint64_t bytes_read(struct io *io)
{
    struct io_stats stats;

    sdb__io_stats(io, &stats);
    return stats.read_bytes;
}

/* A page once, a large value not at all. */
START_TEST(checking_does_not_read_all_that_is_shared_again)
{
    sdb_options options = kv_options(4096);
    struct io *io = kv_disk(21);
    sdb_db *db = with_snapshot(io, &options);
    sdb_stats stats;
    uint64_t before, one, seven;
    char name[8];

    OK(sdb_snapshot_drop(db, "s"));
    OK(sdb_snapshot_make(db, "0"));
    stats = stats_of(db);
    OK(sdb_close(db));
    before = bytes_read(io);
    ck_assert_uint_eq(check_file(io).others, 0);
    one = bytes_read(io) - before;
    db = kv_open(io, &options);
    for (unsigned i = 1; i < 7; i++) {
        kv_put_text(kv_keyspace(db, "k"), "more", "x");
        (void)snprintf(name, sizeof name, "%u", 7 - i);
        OK(sdb_snapshot_make(db, name));
    }
    OK(sdb_close(db));
    before = bytes_read(io);
    ck_assert_uint_eq(check_file(io).others, 0);
    seven = bytes_read(io) - before;
    ck_assert_uint_gt(stats.extents, 10);
    ck_assert_msg(seven - one < 6 * (stats.pages + 30) * 4096, "%llu bytes with 1, %llu with 7, "
                  "%llu pages", (unsigned long long)one, (unsigned long long)seven,
                  (unsigned long long)stats.pages);
    sdb__io_free(io);
}
END_TEST

START_TEST(damage_that_is_shared_is_told_for_all_who_have_it)
{
    sdb_options options = kv_options(4096);
    struct io *io = kv_disk(22);
    sdb_db *db = with_snapshot(io, &options);
    struct map_entry entry = {0, 0};
    struct report report;

    OK(sdb_snapshot_drop(db, "s"));
    OK(sdb_snapshot_make(db, "a"));
    OK(sdb_snapshot_make(db, "b"));
    for (uint64_t id = 1; place_kind(entry.place) != (_i ? PLACE_EXTENT : PLACE_PAGE) ||
                          entry.place == 0; id++)
        entry = sdb__pool_entry(db->pager, id);
    OK(sdb_close(db));
    OK(sdb__sim_flip(io, KV_PATH, place_offset(entry.place) + 100, 3));
    report = check_file(io);
    ck_assert_uint_eq(report.others, 3);
    sdb__io_free(io);
}
END_TEST

START_TEST(forged_records_are_refused)
{
    struct superblock main = {.page_size = 4096, .sequence = 9, .commit = 9, .page_limit = 100,
                              .chunks = 1, .catalog_root = 1, .features = FEATURE_KEPT};
    struct pager_kept good = {.superblock = main, .name = "a"}, out;
    uint8_t bytes[KEPT_RECORD], bad[KEPT_RECORD];
    static const struct {
        unsigned at;
        uint64_t value;
    } forged[] = {{0, 10}, {8, 1}, {16, 10}, {32, 0}, {48, 2}, {56, UINT64_MAX}, {64, 0},
                  {64, 100}, {72, UINT64_MAX}, {80, FEATURE_KEPT}, {80, FEATURE_PACKING},
                  {80, UINT64_C(1) << 32}, {88, 0}, {88, 1}, {88, 'a' | 'b' << 16}};

    good.superblock.features = 0;
    good.superblock.directory_place = place_pack(16, 1, PLACE_EXTENT);
    sdb__kept_encode(&good, bytes);
    ck_assert(sdb__kept_decode(bytes, &main, &out));
    ck_assert_str_eq(out.name, "a");
    for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) {
        memcpy(bad, bytes, sizeof bad);
        put_u64(bad + forged[i].at, forged[i].value);
        ck_assert_msg(!sdb__kept_decode(bad, &main, &out), "forgery %zu is taken", i);
    }
    memset(bad + 88, 'a', PAGER_KEPT_NAME + 1);
    ck_assert(!sdb__kept_decode(bad, &main, &out));
}
END_TEST

/* ---- threads ------------------------------------------------------------------------------- */

static _Atomic bool stop;

static void *write_on(void *context)
{
    for (unsigned round = 1; !atomic_load(&stop); round++) write_round(context, round);
    return NULL;
}

static void *read_on(void *context)
{
    while (!atomic_load(&stop)) {
        sdb_db *view;

        OK(sdb_snapshot_open(context, "s", &view));
        OK(try_round(view, 0));
        OK(sdb_close(view));
    }
    return NULL;
}

START_TEST(they_are_read_made_and_dropped_while_writers_go_on)
{
    struct kv_folder folder;
    sdb_options options = SDB_OPTIONS_INIT;
    sdb_keyspace *keyspace;
    pthread_t writer, reader;
    sdb_db *db, *view;

    kv_folder_make(&folder);
    options.cache_bytes = 2 * MIB;
    options.checkpoint_bytes = 2 * MIB;
    options.durability = SDB_DURABILITY_NONE;
    OK(sdb_open(kv_in(&folder, "t.sdb"), &options, &db));
    keyspace = kv_keyspace(db, "k");
    write_round(keyspace, 0);
    OK(sdb_snapshot_make(db, "s"));
    ck_assert_int_eq(pthread_create(&writer, NULL, write_on, keyspace), 0);
    ck_assert_int_eq(pthread_create(&reader, NULL, read_on, db), 0);
    for (unsigned i = 0; i < 12; i++) {
        sdb_keyspace *seen;
        uint64_t count;
        sdb_txn *txn;

        OK(sdb_snapshot_make(db, "t"));
        OK(sdb_snapshot_open(db, "t", &view));
        OK(sdb_keyspace_open(view, "k", SDB_KEYSPACE_MUST_EXIST, &seen));
        OK(sdb_txn_begin(view, SDB_TXN_READ, &txn));
        OK(sdb_count(txn, seen, NULL, &count));
        ck_assert_uint_eq(count, KEYS);
        sdb_txn_abort(txn);
        OK(sdb_close(view));
        if (i % 6 == 3) kv_check_sound(db);
        OK(sdb_snapshot_drop(db, "t"));
    }
    atomic_store(&stop, true);
    ck_assert_int_eq(pthread_join(writer, NULL), 0);
    ck_assert_int_eq(pthread_join(reader, NULL), 0);
    OK(sdb_snapshot_drop(db, "s"));
    kv_check_sound(db);
    OK(sdb_close(db));
    kv_folder_remove(&folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("named");
    TCase *cases = tcase_create("named");

    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, a_snapshot_is_a_database_that_can_only_be_read);
    tcase_add_test(cases, names_are_judged);
    tcase_add_test(cases, there_is_a_limit_to_how_many_and_how_many_open);
    tcase_add_test(cases, memory_databases_have_them_too);
    tcase_add_test(cases, a_backup_has_none_and_can_be_made_of_one);
    tcase_add_test(cases, space_is_held_until_the_last_that_needs_it_is_dropped);
    tcase_add_test(cases, a_vacuum_gives_back_what_no_snapshot_needs);
    tcase_add_test(cases, the_cache_is_shared_and_comes_back);
    tcase_add_test(cases, a_full_disk_makes_none_and_harms_none);
    tcase_add_test(cases, a_damaged_page_map_costs_its_snapshot_alone);
    tcase_add_test(cases, a_damaged_page_of_a_snapshot_is_told_with_its_name);
    tcase_add_test(cases, a_damaged_table_is_refused_with_a_sentence);
    tcase_add_test(cases, checking_does_not_read_all_that_is_shared_again);
    tcase_add_loop_test(cases, damage_that_is_shared_is_told_for_all_who_have_it, 0, 2);
    tcase_add_test(cases, forged_records_are_refused);
    tcase_add_test(cases, they_are_read_made_and_dropped_while_writers_go_on);
    suite_add_tcase(suite, cases);
    return kv_main(suite);
}
