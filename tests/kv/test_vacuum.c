/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_vacuum.c: claims about sdb_vacuum: the file becomes as small as what is in it, nothing else
 * changes, and nobody waits.
 */
#include "tests/kv/kv_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/io/simulated.h"
#include "engine/pager/pool.h"
#include "index/kv/database.h"

enum { LARGE_MOST = 40000 };

static uint8_t room[LARGE_MOST];

/* What key `i` holds after `round` rounds: mostly small, some large, half compressible. */
static sdb_slice value_of(unsigned i, unsigned round)
{
    size_t size = i % 40 == 0 ? 3000 + i * 977 % (LARGE_MOST - 3000) : 20 + i * 31 % 300;

    memset(room, 'v', size);
    kv_fill(room, size / 2, i * 10 + round + 1);
    return (sdb_slice){room, size};
}

static sdb_slice key_of(unsigned i)
{
    static _Thread_local char key[16];

    return (sdb_slice){key, (size_t)snprintf(key, sizeof key, "%06u", i * 7919 % 1000000)};
}

static void write_round(sdb_keyspace *keyspace, unsigned keys, unsigned round)
{
    sdb_txn *txn;

    for (unsigned i = 0; i < keys;) {
        OK(sdb_txn_begin(keyspace->db, SDB_TXN_BATCH, &txn));
        for (unsigned n = 0; n < 50 && i < keys; n++, i++)
            OK(sdb_put(txn, keyspace, key_of(i), value_of(i, round)));
        OK(sdb_txn_commit(txn));
    }
}

static void expect_round(sdb_keyspace *keyspace, unsigned from, unsigned to, unsigned round)
{
    sdb_slice seen, wanted;
    sdb_txn *txn;

    OK(sdb_txn_begin(keyspace->db, SDB_TXN_READ, &txn));
    for (unsigned i = from; i < to; i++) {
        OK(sdb_get(txn, keyspace, key_of(i), &seen));
        wanted = value_of(i, round);
        ck_assert_uint_eq(seen.size, wanted.size);
        ck_assert_mem_eq(seen.data, wanted.data, seen.size);
    }
    sdb_txn_abort(txn);
}

static sdb_keyspace *make(sdb_db *db, sdb_compression compression)
{
    sdb_keyspace_options options = SDB_KEYSPACE_OPTIONS_INIT;
    sdb_keyspace *keyspace;

    options.compression = compression;
    OK(sdb_keyspace_make(db, "k", &options, &keyspace));
    return keyspace;
}

static sdb_stats stats_of(sdb_db *db)
{
    sdb_stats stats = {.size = sizeof stats};

    OK(sdb_stat(db, &stats));
    return stats;
}

static void expect_tight(sdb_db *db)
{
    sdb_stats stats = stats_of(db);

    ck_assert_msg(stats.file_bytes * 10 <= stats.used_bytes * 11, "%llu bytes, %llu in use",
                  (unsigned long long)stats.file_bytes, (unsigned long long)stats.used_bytes);
}

START_TEST(free_space_goes_back_by_itself_unless_it_is_kept)
{
    enum { KEYS = 30000 };
    sdb_options options = SDB_OPTIONS_INIT;
    bool kept = _i;
    struct kv_folder folder;
    sdb_keyspace *keyspace, *end;
    struct stat facts;
    sdb_stats stats;
    sdb_db *db;

    kv_folder_make(&folder);
    options.flags = SDB_OPEN_NO_THREADS | (kept ? SDB_OPEN_KEEP_SPACE : 0);
    options.durability = SDB_DURABILITY_NONE;
    OK(sdb_open(kv_in(&folder, "t.sdb"), &options, &db));
    keyspace = make(db, SDB_COMPRESSION_NONE);
    write_round(keyspace, KEYS, 0);
    OK(sdb_checkpoint(db));
    end = kv_keyspace(db, "end"); /* stands behind it in the file */
    write_round(end, KEYS / 10, 0);
    OK(sdb_checkpoint(db));
    OK(sdb_del_range(NULL, keyspace, &(sdb_range){0}));
    for (unsigned i = 0; i < 4; i++) {
        kv_put_text(keyspace, "9", "a change");
        OK(sdb_checkpoint(db));
    }
    stats = stats_of(db);
    ck_assert_int_eq(stat(kv_in(&folder, "t.sdb"), &facts), 0);
    if (kept || db->pager->holeless) {
        ck_assert_uint_eq(stats.hole_bytes, 0);
    } else {
        ck_assert_uint_gt(stats.hole_bytes, stats.file_bytes / 3);
        ck_assert_uint_le((uint64_t)facts.st_blocks * 512 + stats.hole_bytes,
                          stats.file_bytes + MIB);
    }
    kv_check_sound(db);
    write_round(keyspace, KEYS, 1);
    OK(sdb_close(db));
    OK(sdb_open(kv_in(&folder, "t.sdb"), &options, &db));
    expect_round(kv_keyspace(db, "k"), 0, KEYS, 1);
    kv_check_sound(db);
    OK(sdb_close(db));
    kv_folder_remove(&folder);
}
END_TEST

START_TEST(what_a_named_snapshot_needs_becomes_no_hole)
{
    enum { KEYS = 12000 };
    sdb_options options = kv_options(4096);
    struct io *io = kv_disk(4);
    sdb_db *db = kv_open(io, &options), *then;
    sdb_keyspace *keyspace = make(db, SDB_COMPRESSION_NONE);

    write_round(keyspace, KEYS, 0);
    OK(sdb_checkpoint(db));
    write_round(kv_keyspace(db, "end"), KEYS / 10, 0);
    OK(sdb_snapshot_make(db, "then"));
    OK(sdb_del_range(NULL, keyspace, &(sdb_range){0}));
    for (unsigned i = 0; i < 8; i++) {
        kv_put_text(keyspace, "9", "a change");
        OK(sdb_checkpoint(db));
        if (i < 4) ck_assert_uint_eq(stats_of(db).hole_bytes, 0);
        if (i != 3) continue;
        OK(sdb_snapshot_open(db, "then", &then));
        expect_round(kv_keyspace(then, "k"), 0, KEYS, 0);
        OK(sdb_close(then));
        OK(sdb_snapshot_drop(db, "then"));
    }
    ck_assert_uint_ge(stats_of(db).hole_bytes, MIB);
    kv_check_sound(db);
    OK(sdb_close(db));
    kv_check_file_sound(io);
    sdb__io_free(io);
}
END_TEST

START_TEST(file_is_hardly_larger_than_what_is_in_it)
{
    enum { KEYS = 12000 };
    sdb_options options = kv_options(4096);
    struct io *io = kv_disk(1);
    sdb_db *db = kv_open(io, &options);
    sdb_keyspace *keyspace = make(db, (sdb_compression)_i);

    for (unsigned round = 0; round < 3; round++) {
        write_round(keyspace, KEYS, round);
        OK(sdb_checkpoint(db));
    }
    for (unsigned i = 0; i < KEYS / 2; i++) OK(sdb_del(NULL, keyspace, key_of(i)));
    OK(sdb_vacuum(db, 0, NULL, NULL));
    expect_tight(db);
    expect_round(keyspace, KEYS / 2, KEYS, 2);
    kv_check_sound(db);
    OK(sdb_close(db));
    db = kv_open(io, &options);
    expect_tight(db);
    expect_round(kv_keyspace(db, "k"), KEYS / 2, KEYS, 2);
    OK(sdb_vacuum(db, 0, NULL, NULL)); /* once more changes nothing */
    expect_tight(db);
    kv_check_sound(db);
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

/* ---- while others go on ------------------------------------------------------------------- */

struct company {
    sdb_db *db;
    sdb_keyspace *keyspace;
    _Atomic bool stop;
    _Atomic unsigned long done;
};

enum { SHARED_KEYS = 1500 };

static void *read_all_the_time(void *context)
{
    struct company *c = context;

    for (unsigned i = 0; !atomic_load(&c->stop); i = (i + 13) % SHARED_KEYS) {
        uint8_t value[LARGE_MOST];
        size_t size;
        sdb_status status = sdb_get_copy(c->keyspace, key_of(i), value, sizeof value, &size);

        ck_assert_msg(status == SDB_OK, "key %u: %s", i, sdb_errmsg());
        ck_assert_uint_gt(size, 0);
        ck_assert_int_eq(value[size - 1], 'v');
        atomic_fetch_add(&c->done, 1);
    }
    return NULL;
}

static void *write_all_the_time(void *context)
{
    struct company *c = context;
    uint8_t value[LARGE_MOST];

    for (unsigned i = 0; !atomic_load(&c->stop); i++) {
        size_t size = i % 30 ? 50 + i % 200 : 3000 + i % 20000;

        memset(value, 'v', size);
        kv_fill(value, size / 2, i);
        OK(sdb_put(NULL, c->keyspace, key_of(i % SHARED_KEYS), (sdb_slice){value, size}));
        atomic_fetch_add(&c->done, 1);
    }
    return NULL;
}

START_TEST(readers_and_writers_go_on)
{
    struct kv_folder folder;
    sdb_options options = SDB_OPTIONS_INIT;
    struct company company[3];
    pthread_t threads[3];
    sdb_keyspace *keyspace;
    sdb_db *db;

    kv_folder_make(&folder);
    options.page_size = 4096;
    options.cache_bytes = 1 << 20;
    options.checkpoint_bytes = 1 << 20;
    options.durability = SDB_DURABILITY_NONE;
    OK(sdb_open(kv_in(&folder, "t.sdb"), &options, &db));
    keyspace = make(db, SDB_COMPRESSION_LZ4);
    for (unsigned round = 0; round < 2; round++) write_round(keyspace, SHARED_KEYS, round);
    for (unsigned i = 0; i < 3; i++) {
        company[i] = (struct company){.db = db, .keyspace = keyspace};
        ck_assert_int_eq(pthread_create(&threads[i], NULL,
                                        i ? read_all_the_time : write_all_the_time, &company[i]),
                         0);
    }
    for (unsigned i = 0; i < 6; i++) {
        unsigned long before = atomic_load(&company[1].done);

        OK(sdb_vacuum(db, 0, NULL, NULL));
        while (atomic_load(&company[1].done) == before) (void)sched_yield();
    }
    for (unsigned i = 0; i < 3; i++) {
        atomic_store(&company[i].stop, true);
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    }
    kv_check_sound(db);
    OK(sdb_close(db));
    kv_folder_remove(&folder);
}
END_TEST

/* A snapshot from before still reads large values that were moved and then replaced. */
START_TEST(old_snapshots_read_what_they_saw)
{
    enum { KEYS = 400 };
    sdb_options options = kv_options(4096);
    struct io *io = kv_disk(3);
    sdb_db *db = kv_open(io, &options);
    sdb_keyspace *keyspace = make(db, SDB_COMPRESSION_NONE);
    sdb_slice seen, wanted;
    sdb_txn *txn;

    for (unsigned round = 0; round < 2; round++) {
        write_round(keyspace, KEYS, round);
        OK(sdb_checkpoint(db));
    }
    OK(sdb_txn_begin(db, SDB_TXN_READ, &txn));
    OK(sdb_vacuum(db, 0, NULL, NULL));
    write_round(keyspace, KEYS, 2);
    OK(sdb_vacuum(db, 0, NULL, NULL));
    write_round(keyspace, KEYS, 3);
    OK(sdb_checkpoint(db));
    for (unsigned i = 0; i < KEYS; i++) {
        OK(sdb_get(txn, keyspace, key_of(i), &seen));
        wanted = value_of(i, 1);
        ck_assert_uint_eq(seen.size, wanted.size);
        ck_assert_mem_eq(seen.data, wanted.data, seen.size);
    }
    sdb_txn_abort(txn);
    OK(sdb_vacuum(db, 0, NULL, NULL));
    expect_round(keyspace, 0, KEYS, 3);
    expect_tight(db);
    kv_check_sound(db);
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

/* ---- trouble ------------------------------------------------------------------------------ */

enum { FEW_KEYS = 1200 };

static sdb_db *open_loose(struct io *io)
{
    sdb_options options = kv_options(4096);
    sdb_db *db = kv_open(io, &options);
    sdb_keyspace *keyspace = make(db, SDB_COMPRESSION_ZSTD);

    for (unsigned round = 0; round < 2; round++) {
        write_round(keyspace, FEW_KEYS, round);
        OK(sdb_checkpoint(db));
    }
    for (unsigned i = 0; i < FEW_KEYS / 2; i++) OK(sdb_del(NULL, keyspace, key_of(i)));
    OK(sdb_checkpoint(db));
    return db;
}

START_TEST(power_may_fail_at_any_step)
{
    sdb_options options = kv_options(4096);
    uint64_t seed = kv_seed("power_may_fail", 5), points = 0;

    for (uint64_t step = 1;; step += 1 + step / 8) {
        struct io *io = kv_disk(seed + step);
        sdb_db *db = open_loose(io);
        uint64_t before = sdb__sim_steps(io);
        sdb_status status;

        sdb__sim_power_off_at(io, before + step);
        status = sdb_vacuum(db, 0, NULL, NULL);
        if (!sdb__sim_is_off(io)) {
            sdb__sim_power_off_at(io, 0);
            OK(status);
            OK(sdb_close(db));
            sdb__io_free(io);
            break;
        }
        OK(sdb__sim_restart(io, step));
        (void)!sdb_close(db);
        db = kv_open(io, &options);
        expect_round(kv_keyspace(db, "k"), FEW_KEYS / 2, FEW_KEYS, 1);
        OK(sdb_vacuum(db, 0, NULL, NULL));
        expect_round(kv_keyspace(db, "k"), FEW_KEYS / 2, FEW_KEYS, 1);
        kv_check_sound(db);
        OK(sdb_close(db));
        sdb__io_free(io);
        points++;
    }
    ck_assert_uint_gt(points, 12);
}
END_TEST

/* What the last checkpoint has is not written over before there is another one. */
START_TEST(moved_things_wait_for_the_checkpoint)
{
    static uint8_t junk[4096];
    sdb_options options = kv_options(4096);
    struct io *io = kv_disk(6);
    sdb_db *db = open_loose(io);
    struct pager_move moves[64];
    uint64_t after = 0, end, used;
    size_t count;

    memset(junk, 0xaa, sizeof junk);
    sdb__pager_layout(db->pager, &end, &used);
    while ((count = sdb__pager_list_moves(db->pager, 0, end, &after, moves, 64)) > 0)
        for (size_t i = 0; i < count; i++)
            OK(moves[i].is_page ? sdb__pager_move_page(db->pager, moves[i].id)
                                : sdb__pager_move_extent(db->pager, moves[i].id));
    sdb__pager_place(db->pager, PAGER_PLACE_FIRST);
    for (uint64_t written = 0; written < 2 * end; written += sizeof junk / 512) {
        struct extent extent;

        OK(sdb__pager_extent_write(db->pager, junk, sizeof junk, &extent));
    }
    OK(sdb__sim_restart(io, 1));
    (void)!sdb_close(db);
    db = kv_open(io, &options);
    expect_round(kv_keyspace(db, "k"), FEW_KEYS / 2, FEW_KEYS, 1);
    kv_check_sound(db);
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(damaged_large_value_is_not_moved)
{
    struct io *io = kv_disk(7);
    sdb_db *db = open_loose(io);
    struct pager_move moves[64];
    uint64_t after = 0, end, used;
    unsigned refused = 0, moved = 0;
    struct io_queue *queue;
    static uint8_t block[512] = {0x5a};
    size_t count;

    OK(sdb__io_queue_new(io, 1, &queue));
    sdb__pager_layout(db->pager, &end, &used);
    while ((count = sdb__pager_list_moves(db->pager, 0, end, &after, moves, 64)) > 0)
        for (size_t i = 0; i < count; i++) {
            uint64_t place;

            if (moves[i].is_page) continue;
            OK(sdb__pager_move_extent(db->pager, moves[i].id));
            moved++;
            place = 0; /* where it stands now: the pager's own */
            for (uint64_t at = 0; at < end + 4096 && !place; at++) {
                struct pager_move one;
                uint64_t before = moves[i].id - 1;

                if (sdb__pager_list_moves(db->pager, at, at + 1, &before, &one, 1) == 1 &&
                    one.id == moves[i].id)
                    place = at;
            }
            ck_assert_uint_gt(place, 0);
            OK(sdb__io_write(queue, db->file, block, sizeof block, place * 512 + 512));
            IS(sdb__pager_move_extent(db->pager, moves[i].id), SDB_CORRUPT);
            refused++;
            if (refused == 2) goto out;
        }
out:
    ck_assert_uint_eq(moved, 2);
    sdb__io_queue_free(queue);
    (void)!sdb_close(db);
    sdb__io_free(io);
}
END_TEST

static int cancel(void *context, uint64_t done, uint64_t total)
{
    (void)done;
    (void)total;
    return ++*(int *)context > 1;
}

START_TEST(it_can_be_cancelled)
{
    struct io *io = kv_disk(8);
    sdb_db *db = open_loose(io);
    int calls = 0;

    IS(sdb_vacuum(db, 0, cancel, &calls), SDB_CANCELLED);
    expect_round(kv_keyspace(db, "k"), FEW_KEYS / 2, FEW_KEYS, 1);
    kv_check_sound(db);
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(holes_take_no_space)
{
    struct kv_folder folder;
    sdb_options options = SDB_OPTIONS_INIT;
    struct stat before, after;
    sdb_keyspace *keyspace;
    sdb_status status;
    sdb_db *db;

    kv_folder_make(&folder);
    options.flags = SDB_OPEN_NO_THREADS;
    options.durability = SDB_DURABILITY_NONE;
    OK(sdb_open(kv_in(&folder, "t.sdb"), &options, &db));
    keyspace = make(db, SDB_COMPRESSION_NONE);
    for (unsigned round = 0; round < 2; round++) {
        write_round(keyspace, 8000, round);
        OK(sdb_checkpoint(db));
    }
    OK(sdb_del_range(NULL, keyspace, &(sdb_range){.upper = &(sdb_slice){"9", 1}}));
    OK(sdb_checkpoint(db));
    OK(sdb_checkpoint(db));
    ck_assert_int_eq(stat(kv_in(&folder, "t.sdb"), &before), 0);
    status = sdb_vacuum(db, SDB_VACUUM_HOLES, NULL, NULL);
    if (status != SDB_INVALID) { /* a file system that has holes */
        OK(status);
        ck_assert_int_eq(stat(kv_in(&folder, "t.sdb"), &after), 0);
        ck_assert_int_eq(after.st_size, before.st_size);
        ck_assert_int_lt(after.st_blocks * 2, before.st_blocks);
    }
    kv_check_sound(db);
    OK(sdb_close(db));
    kv_folder_remove(&folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kv/vacuum");
    TCase *cases = tcase_create("vacuum");

    tcase_set_timeout(cases, 60);
    tcase_add_loop_test(cases, free_space_goes_back_by_itself_unless_it_is_kept, 0, 2);
    tcase_add_test(cases, what_a_named_snapshot_needs_becomes_no_hole);
    tcase_add_loop_test(cases, file_is_hardly_larger_than_what_is_in_it, 0, 3);
    tcase_add_test(cases, readers_and_writers_go_on);
    tcase_add_test(cases, old_snapshots_read_what_they_saw);
    tcase_add_test(cases, power_may_fail_at_any_step);
    tcase_add_test(cases, moved_things_wait_for_the_checkpoint);
    tcase_add_test(cases, damaged_large_value_is_not_moved);
    tcase_add_test(cases, it_can_be_cancelled);
    tcase_add_test(cases, holes_take_no_space);
    suite_add_tcase(suite, cases);
    return kv_main(suite);
}
