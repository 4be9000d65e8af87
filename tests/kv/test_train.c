/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_train.c: claims about keyspaces with a dictionary: their pages are smaller, and no crash,
 * damage or refusal leaves pages that cannot be read.
 */
#include "tests/kv/kv_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "index/kv/dict.h"
#include "index/kv/verify.h"

#define COPY "copy.sdb"

enum { ROWS = 1200, VALUE_MOST = 900, PAGE = 4096, DICTIONARY = 8192 };

static struct io *io;
static sdb_db *db;
static sdb_keyspace *rows;

/* A document: long names that all have, and little else. */
static sdb_slice document(uint32_t row, uint32_t version, char room[VALUE_MOST])
{
    static const char *const words[] = {"customer", "delivery", "invoice", "correspondence",
                                        "modification", "manager", "contract", "warehouse",
                                        "address", "timestamp", "reference", "allocation",
                                        "termination", "department", "preferred", "account"};
    uint64_t state = ((uint64_t)row << 20) + version + 1;
    size_t size = 0;

    for (unsigned i = 0; i < 18; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        size += (size_t)snprintf(room + size, VALUE_MOST - size, "{\"%s-%s-%u\":%u,%s},",
                                 words[i % 16], words[(i * 5 + 3) % 16], i * i,
                                 (unsigned)(state >> 33) % 100, words[(i * 7) % 16]);
    }
    return (sdb_slice){room, size};
}

static sdb_slice row_key(uint32_t row, char room[16])
{
    return (sdb_slice){room, (size_t)snprintf(room, 16, "row%08u", row)};
}

static void put_rows(sdb_keyspace *keyspace, uint32_t from, uint32_t to, uint32_t version)
{
    sdb_txn *txn;

    OK(sdb_txn_begin(keyspace->db, SDB_TXN_BATCH, &txn));
    for (uint32_t row = from; row < to; row++) {
        char key[16], room[VALUE_MOST];

        MUST(sdb_put(txn, keyspace, row_key(row, key), document(row, version, room)));
    }
    OK(sdb_txn_commit(txn));
}

static void expect_rows(sdb_keyspace *keyspace, uint32_t from, uint32_t to, uint32_t version)
{
    for (uint32_t row = from; row < to; row++) {
        char key[16], room[VALUE_MOST], seen[VALUE_MOST];
        sdb_slice value = document(row, version, room);
        size_t size;

        MUST(sdb_get_copy(keyspace, row_key(row, key), seen, sizeof seen, &size));
        ck_assert_uint_eq(size, value.size);
        if (memcmp(seen, value.data, size) != 0) ck_abort_msg("row %u", row);
    }
}

static sdb_keyspace *make(const char *name, sdb_compression compression)
{
    sdb_keyspace_options options = SDB_KEYSPACE_OPTIONS_INIT;
    sdb_keyspace *keyspace;

    options.compression = compression;
    OK(sdb_keyspace_make(db, name, &options, &keyspace));
    return keyspace;
}

static void open_again(void)
{
    sdb_options options = kv_options(PAGE);

    OK(sdb_close(db));
    kv_check_file_sound(io);
    db = kv_open(io, &options);
    rows = kv_keyspace(db, "rows");
}

static void setup(void)
{
    sdb_options options = kv_options(PAGE);

    io = kv_disk(5);
    db = kv_open(io, &options);
    rows = make("rows", SDB_COMPRESSION_ZSTD);
    put_rows(rows, 0, ROWS, 0);
}

static void teardown(void)
{
    OK(sdb_close(db));
    sdb__io_free(io);
}

static sdb_status train(unsigned flags, sdb_train_result *out)
{
    *out = (sdb_train_result){.size = sizeof *out};
    return sdb_keyspace_train(rows, DICTIONARY, flags, NULL, NULL, out);
}

static sdb_keyspace_stats stats_of(sdb_keyspace *keyspace)
{
    sdb_keyspace_stats stats = {.size = sizeof stats};

    OK(sdb_keyspace_stat(keyspace, &stats));
    return stats;
}

START_TEST(pages_become_smaller_and_come_back)
{
    sdb_options options = kv_options(PAGE);
    sdb_keyspace_stats before, after;
    sdb_train_result result;
    sdb_db *copy;

    open_again();
    before = stats_of(rows);
    OK(train(SDB_TRAIN_REWRITE, &result));
    ck_assert_uint_lt(result.bytes_after * 10, result.bytes_before * 9);
    ck_assert_uint_gt(result.tried_pages, 10);
    after = stats_of(rows);
    ck_assert_uint_lt(after.stored_bytes * 10, before.stored_bytes * 9);
    ck_assert_uint_eq(after.dictionary_bytes, result.dictionary_bytes);
    ck_assert_uint_eq(after.dictionaries, 1);
    expect_rows(rows, 0, ROWS, 0);
    open_again();
    ck_assert_uint_eq(stats_of(rows).dictionary_bytes, result.dictionary_bytes);
    expect_rows(rows, 0, ROWS, 0);
    put_rows(rows, 0, ROWS, 1);
    open_again();
    ck_assert_uint_lt(stats_of(rows).stored_bytes * 10, before.stored_bytes * 9);
    OK(sdb_backup(db, COPY, NULL, NULL));
    OK(sdb__db_open(io, COPY, &options, &copy));
    expect_rows(kv_keyspace(copy, "rows"), 0, ROWS, 1);
    kv_check_sound(copy);
    OK(sdb_close(copy));
}
END_TEST

/* Bytes for a dictionary that nobody trained. */
static void fill_dictionary(uint8_t bytes[DICTIONARY])
{
    for (size_t i = 0, size; i < DICTIONARY; i += size) {
        char room[VALUE_MOST];
        sdb_slice value = document((uint32_t)i, 7, room);

        size = value.size < DICTIONARY - i ? value.size : DICTIONARY - i;
        memcpy(bytes + i, value.data, size);
    }
}

START_TEST(older_pages_stay_readable)
{
    static uint8_t bytes[DICTIONARY];
    const struct dictionary *dictionary;
    sdb_train_result result;

    OK(train(0, &result));
    put_rows(rows, 0, ROWS / 3, 1);
    fill_dictionary(bytes); /* training would find that another one does not pay */
    OK(sdb__dict_keep(rows, bytes, sizeof bytes, &dictionary));
    OK(sdb__db_checkpoint(db, false));
    sdb__dict_use(rows, dictionary);
    ck_assert_uint_eq(dictionary->number, 2);
    put_rows(rows, ROWS / 3, ROWS / 2, 2);
    for (int i = 0; i < 2; i++) {
        expect_rows(rows, 0, ROWS / 3, 1);
        expect_rows(rows, ROWS / 3, ROWS / 2, 2);
        expect_rows(rows, ROWS / 2, ROWS, 0);
        open_again();
    }
    OK(sdb_vacuum(db, 0, NULL, NULL));
    open_again();
    expect_rows(rows, 0, ROWS / 3, 1);
}
END_TEST

START_TEST(what_does_not_pay_is_not_kept)
{
    sdb_train_result result;
    sdb_keyspace *noise = make("noise", SDB_COMPRESSION_ZSTD);

    for (uint32_t row = 0; row < ROWS; row++) {
        uint8_t value[VALUE_MOST];
        char key[16];

        kv_fill(value, sizeof value, 3 * row); /* random */
        MUST(sdb_put(NULL, noise, row_key(row, key), (sdb_slice){value, sizeof value}));
    }
    rows = noise;
    IS(train(0, &result), SDB_NOTFOUND);
    ck_assert_uint_eq(stats_of(noise).dictionaries, 0);
    ck_assert_uint_eq(db->dict_count, 0);
}
END_TEST

START_TEST(senseless_wishes_are_refused)
{
    sdb_train_result result = {.size = sizeof result};
    sdb_keyspace *few = make("few", SDB_COMPRESSION_ZSTD), *quick = make("quick",
                                                                         SDB_COMPRESSION_LZ4);

    IS(sdb_keyspace_train(NULL, 0, 0, NULL, NULL, &result), SDB_INVALID);
    IS(sdb_keyspace_train(quick, 0, 0, NULL, NULL, &result), SDB_INVALID);
    IS(sdb_keyspace_train(rows, 255, 0, NULL, NULL, &result), SDB_INVALID);
    IS(sdb_keyspace_train(rows, DICTIONARY_MOST + 1, 0, NULL, NULL, &result), SDB_INVALID);
    SAYS(sdb_keyspace_train(few, 0, 0, NULL, NULL, &result), SDB_NOTFOUND, "at least");
    result.size = 0;
    IS(sdb_keyspace_train(rows, 0, 0, NULL, NULL, &result), SDB_INVALID);
    OK(sdb_keyspace_drop(few));
    IS(sdb_keyspace_train(few, 0, 0, NULL, NULL, NULL), SDB_NOTFOUND);
}
END_TEST

START_TEST(a_dictionary_ends_with_its_keyspace)
{
    sdb_stats stats = {.size = sizeof stats};
    sdb_train_result result;

    OK(train(SDB_TRAIN_REWRITE, &result));
    put_rows(make("other", SDB_COMPRESSION_ZSTD), 0, 10, 0);
    OK(sdb_stat(db, &stats));
    ck_assert_uint_eq(stats.extents, 1);
    OK(sdb_keyspace_drop(rows));
    kv_check_sound(db);
    ck_assert_uint_eq(db->dict_count, 0);
    OK(sdb_stat(db, &stats));
    ck_assert_uint_eq(stats.extents, 0);
    OK(sdb_close(db));
    kv_check_file_sound(io);
    db = kv_open(io, &(sdb_options){.size = sizeof(sdb_options), .flags = SDB_OPEN_NO_THREADS});
    expect_rows(kv_keyspace(db, "other"), 0, 10, 0);
}
END_TEST

/* ---- crashes ------------------------------------------------------------------------------- */

/* The disk as a crash now leaves it must open, be sound and hold the rows. */
static void expect_after_crash(uint32_t version, uint64_t seed)
{
    uint32_t part = ROWS / 4; /* the others have version 0 */
    sdb_options options = kv_options(PAGE);
    struct io *crashed;
    sdb_db *other;

    OK(sdb__sim_clone(io, seed, &crashed));
    other = kv_open(crashed, &options);
    expect_rows(kv_keyspace(other, "rows"), 0, part, version);
    expect_rows(kv_keyspace(other, "rows"), part, ROWS, 0);
    kv_check_sound(other);
    OK(sdb_close(other));
    kv_check_file_sound(crashed);
    sdb__io_free(crashed);
}

/* A dictionary that comes while a checkpoint is being written packs none of it. */
START_TEST(a_checkpoint_has_the_dictionaries_of_its_pages)
{
    static uint8_t bytes[DICTIONARY];
    const struct dictionary *dictionary;
    struct superblock state;

    fill_dictionary(bytes);
    OK(sdb__db_checkpoint(db, false));
    put_rows(rows, 0, ROWS / 4, 1);
    OK(sdb_sync(db));
    (void)pthread_mutex_lock(&db->checkpoint_lock);
    state = *sdb__pager_superblock(db->pager);
    sdb__pager_checkpoint_cut(db->pager);
    state.lsn = sdb__wal_end(atomic_load(&db->wal));
    state.commit = db->last_commit;
    state.log_id = db->log_id;
    state.catalog_root = db->catalog.root;
    OK(sdb__dict_keep(rows, bytes, sizeof bytes, &dictionary));
    OK(sdb__pager_checkpoint_write(db->pager));
    OK(sdb__pager_checkpoint_finish(db->pager, &state, false));
    (void)pthread_mutex_unlock(&db->checkpoint_lock);
    expect_after_crash(1, 0);
    OK(sdb_check(db, NULL, NULL, NULL, NULL));
    sdb__dict_use(rows, dictionary);
    put_rows(rows, 0, ROWS / 4, 2);
    OK(sdb_sync(db));
    expect_after_crash(2, 0);
    open_again();
    expect_rows(rows, 0, ROWS / 4, 2);
}
END_TEST

START_TEST(a_crash_at_any_step_of_training_leaves_a_sound_database)
{
    uint64_t begun, ended;
    sdb_train_result result;
    sdb_options options = kv_options(PAGE);
    struct io *first;

    OK(sdb_close(db));
    OK(sdb__sim_clone(io, UINT64_MAX, &first));
    db = kv_open(io, &options);
    rows = kv_keyspace(db, "rows");
    begun = sdb__sim_steps(io);
    OK(train(SDB_TRAIN_REWRITE, &result));
    ended = sdb__sim_steps(io);
    for (uint64_t step = begun; step < ended; step += 1 + (ended - begun) / 40) {
        struct io *disk;
        sdb_db *other;

        OK(sdb__sim_clone(first, UINT64_MAX, &disk));
        other = kv_open(disk, &options);
        sdb__sim_power_off_at(disk, sdb__sim_steps(disk) + 1 + step - begun);
        (void)!sdb_keyspace_train(kv_keyspace(other, "rows"), DICTIONARY, SDB_TRAIN_REWRITE, NULL,
                                  NULL, NULL);
        (void)!sdb_close(other);
        OK(sdb__sim_restart(disk, step + 1));
        sdb__sim_power_off_at(disk, 0);
        other = kv_open(disk, &options);
        expect_rows(kv_keyspace(other, "rows"), 0, ROWS, 0);
        kv_check_sound(other);
        OK(sdb_close(other));
        sdb__io_free(disk);
    }
    sdb__io_free(first);
}
END_TEST

/* ---- threads ------------------------------------------------------------------------------- */

static _Atomic bool trained;

static void *write_rows(void *context)
{
    (void)context;
    for (uint32_t version = 1; !atomic_load(&trained); version++)
        put_rows(rows, version * 100 % ROWS, version * 100 % ROWS + 100, 0);
    return NULL;
}

static void *read_rows(void *context)
{
    (void)context;
    while (!atomic_load(&trained)) expect_rows(rows, 0, ROWS, 0);
    return NULL;
}

START_TEST(others_read_and_write_meanwhile)
{
    sdb_options options = SDB_OPTIONS_INIT;
    sdb_train_result result;
    struct kv_folder folder;
    pthread_t threads[2];

    kv_folder_make(&folder);
    OK(sdb_close(db));
    options.page_size = PAGE;
    options.cache_bytes = MIB;
    options.checkpoint_bytes = MIB;
    options.durability = SDB_DURABILITY_NONE;
    OK(sdb_open(kv_in(&folder, "t.sdb"), &options, &db));
    rows = make("rows", SDB_COMPRESSION_ZSTD);
    put_rows(rows, 0, ROWS, 0);
    atomic_store(&trained, false);
    ck_assert_int_eq(pthread_create(&threads[0], NULL, write_rows, NULL), 0);
    ck_assert_int_eq(pthread_create(&threads[1], NULL, read_rows, NULL), 0);
    for (int i = 0; i < 4; i++) {
        sdb_status status = train(SDB_TRAIN_REWRITE, &result);

        ck_assert_msg(status == SDB_OK || status == SDB_NOTFOUND, "%s", sdb_errmsg());
        OK(sdb_checkpoint(db));
    }
    atomic_store(&trained, true);
    for (int i = 0; i < 2; i++) (void)pthread_join(threads[i], NULL);
    ck_assert_uint_ge(stats_of(rows).dictionaries, 1);
    expect_rows(rows, 0, ROWS, 0);
    kv_check_sound(db);
    OK(sdb_close(db));
    kv_folder_remove(&folder);
    options = kv_options(PAGE);
    db = kv_open(io, &options);
}
END_TEST

/* ---- refusals ------------------------------------------------------------------------------ */

START_TEST(refused_memory_and_a_full_disk_leave_all_as_it_was)
{
    sdb_options options = kv_options(PAGE);
    struct kv_ledger ledger = {.left = -1};
    sdb_allocator allocator = kv_ledger_allocator(&ledger);
    sdb_status status = SDB_NOMEM;

    OK(sdb_close(db));
    options.allocator = &allocator;
    db = kv_open(io, &options);
    rows = kv_keyspace(db, "rows");
    for (long n = 0; status != SDB_OK && n < 400; n++) {
        sdb_train_result result;

        ledger.once = true;
        ledger.left = n;
        status = train(0, &result);
        ledger.left = -1;
        ck_assert_msg(status == SDB_OK || status == SDB_NOMEM, "%d: %s", status, sdb_errmsg());
        if (sdb__db_alive(db) == SDB_OK) continue;
        (void)!sdb_close(db);
        db = kv_open(io, &options);
        rows = kv_keyspace(db, "rows");
    }
    ck_assert_int_eq(status, SDB_OK);
    kv_check_sound(db);
    for (uint64_t n = 1; n < 40; n++) {
        struct sim_faults faults = {.fail_full_at = n}, none = {0};
        sdb_train_result result;

        sdb__sim_set_faults(io, &faults);
        status = train(SDB_TRAIN_REWRITE, &result);
        sdb__sim_set_faults(io, &none);
        if (status == SDB_LIMIT || status == SDB_NOTFOUND) break;
        ck_assert_msg(status == SDB_OK || status == SDB_FULL, "%d: %s", status, sdb_errmsg());
        OK(sdb__db_alive(db));
    }
    expect_rows(rows, 0, ROWS, 0);
    OK(sdb_close(db));
    ck_assert_int_eq(ledger.out, 0);
    kv_check_file_sound(io);
    options.allocator = NULL;
    db = kv_open(io, &options);
    rows = kv_keyspace(db, "rows");
    expect_rows(rows, 0, ROWS, 0);
}
END_TEST

/* ---- damage -------------------------------------------------------------------------------- */

static char problem_seen[600];

static void note_problem(void *context, const char *problem)
{
    (void)context;
    if (strstr(problem, "dictionary 1 of keyspace"))
        (void)snprintf(problem_seen, sizeof problem_seen, "%s", problem);
}

START_TEST(a_damaged_dictionary_is_told_by_pages_and_check)
{
    sdb_options options = kv_options(PAGE);
    struct extent extent;
    sdb_train_result result;
    uint8_t value[VALUE_MOST];
    char key[16];
    size_t size;
    sdb_status status = SDB_OK;

    put_rows(make("other", SDB_COMPRESSION_ZSTD), 0, 10, 0);
    OK(train(SDB_TRAIN_REWRITE, &result));
    OK(sdb__pager_extent_find(db->pager, db->dicts[0].extent, db->dicts[0].size, &extent));
    OK(sdb_close(db));
    OK(sdb__sim_flip(io, KV_PATH, place_offset(extent.place) + 100, 3));
    db = kv_open(io, &options);
    expect_rows(kv_keyspace(db, "other"), 0, 10, 0);
    rows = kv_keyspace(db, "rows");
    for (uint32_t row = 0; status == SDB_OK && row < ROWS; row++)
        status = sdb_get_copy(rows, row_key(row, key), value, sizeof value, &size);
    ck_assert_int_eq(status, SDB_CORRUPT);
    ck_assert_msg(strstr(sdb_errmsg(), "dictionary that is damaged"), "%s", sdb_errmsg());
    IS(sdb_check(db, note_problem, NULL, NULL, NULL), SDB_CORRUPT);
    ck_assert_msg(strstr(problem_seen, "is damaged"), "%s", problem_seen);
    (void)!sdb_close(db);
    OK(sdb__sim_flip(io, KV_PATH, place_offset(extent.place) + 100, 3));
    db = kv_open(io, &options);
}
END_TEST

START_TEST(there_is_an_end_to_their_number)
{
    static uint8_t bytes[DICTIONARY_LEAST];
    const struct dictionary *dictionary;

    for (unsigned i = 0; i < DICTS_OF_A_KEYSPACE; i++) {
        kv_fill(bytes, sizeof bytes, i);
        OK(sdb__dict_keep(rows, bytes, sizeof bytes, &dictionary));
        ck_assert_uint_eq(dictionary->number, i + 1);
    }
    IS(sdb__dict_keep(rows, bytes, sizeof bytes, &dictionary), SDB_LIMIT);
    open_again();
    ck_assert_uint_eq(stats_of(rows).dictionaries, DICTS_OF_A_KEYSPACE);
    expect_rows(rows, 0, ROWS, 0);
}
END_TEST

static sdb_status ignore(void *context, const struct btree_value *value)
{
    (void)context;
    (void)value;
    return SDB_OK;
}

/* Gives the catalog entries for dictionaries that are all the same extent, as no sdb would. */
static void forge_entries(unsigned count, size_t size)
{
    static uint8_t bytes[65536];
    const struct dictionary *dictionary;
    struct btree_value value = {.is_extent = true, .size = size};

    OK(sdb__dict_keep(rows, bytes, size, &dictionary));
    value.extent = db->dicts[0].extent;
    for (unsigned i = 2; i < count + 2; i++) {
        uint8_t key[DICT_KEY] = {'z', 0, 0, 0, (uint8_t)rows->tree.id, 0, 0, (uint8_t)(i >> 8),
                                 (uint8_t)i};

        MUST(sdb__btree_put(&db->catalog, (struct bytes){key, sizeof key}, &value, ignore, NULL));
    }
    db->changed = true;
    OK(sdb_close(db));
    db = NULL;
}

static void note_too_many(void *context, const char *problem)
{
    *(bool *)context |= strstr(problem, "dictionaries count for more than") != NULL;
}

START_TEST(a_forged_number_of_them_costs_no_more_than_its_limit)
{
    sdb_options options = kv_options(PAGE);
    bool told = false;

    forge_entries(5000, 65536);
    SAYS(sdb__db_open(io, KV_PATH, &options, &db), SDB_CORRUPT, "count for more than");
    IS(sdb__check_file(io, &sdb__mem_default, KV_PATH, note_too_many, NULL, &told, NULL),
       SDB_CORRUPT);
    ck_assert(told);
}
END_TEST

START_TEST(many_small_ones_are_no_burden)
{
    sdb_options options = kv_options(PAGE);
    forge_entries(3000, DICTIONARY_LEAST);
    db = kv_open(io, &options);
    rows = kv_keyspace(db, "rows");
    ck_assert_uint_eq(sdb__dictionaries_last(&db->dictionaries), 3001);
    expect_rows(rows, 0, ROWS, 0);
}
END_TEST

static void *read_from(void *context)
{
    expect_rows(rows, *(uint32_t *)context, ROWS, 0);
    return NULL;
}

/* Which one it is, nobody can say. */
/* Those of many keyspaces count together. */
START_TEST(there_is_an_end_to_their_bytes)
{
    static uint8_t bytes[DICTIONARY_MOST];
    const struct dictionary *dictionary;
    sdb_keyspace *keyspace = rows;
    sdb_status status = SDB_OK;
    unsigned count = 0;
    char name[16];

    for (; status == SDB_OK && count < 200; count++) {
        (void)snprintf(name, sizeof name, "%u", count);
        if (count % DICTS_OF_A_KEYSPACE == 0) keyspace = make(name, SDB_COMPRESSION_ZSTD);
        status = sdb__dict_keep(keyspace, bytes, sizeof bytes, &dictionary);
    }
    ck_assert_int_eq(status, SDB_LIMIT);
    ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "all dictionaries together"));
    ck_assert_uint_gt(count, 100);
    open_again();
    expect_rows(rows, 0, ROWS, 0);
}
END_TEST

START_TEST(several_may_be_the_first_to_use_one)
{
    static uint32_t from[4] = {0, 1, ROWS / 2, ROWS / 2 + 1};
    pthread_t threads[4];
    sdb_train_result result;

    OK(train(SDB_TRAIN_REWRITE, &result));
    open_again();
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_from, &from[i]), 0);
    put_rows(rows, ROWS, ROWS + 200, 0);
    OK(sdb_checkpoint(db));
    for (unsigned i = 0; i < 4; i++) (void)pthread_join(threads[i], NULL);
    expect_rows(rows, 0, ROWS + 200, 0);
}
END_TEST

START_TEST(snapshots_keep_the_dictionaries_that_they_need)
{
    sdb_options options = kv_options(PAGE);
    sdb_train_result result;
    sdb_db *view;

    OK(train(SDB_TRAIN_REWRITE, &result));
    OK(sdb_snapshot_make(db, "trained"));
    OK(sdb_keyspace_drop(rows));
    OK(sdb_vacuum(db, 0, NULL, NULL));
    kv_put_text(kv_keyspace(db, "rows"), "other", "rows");
    OK(sdb_close(db));
    kv_check_file_sound(io);
    db = kv_open(io, &options);
    OK(sdb_snapshot_open(db, "trained", &view));
    expect_rows(kv_keyspace(view, "rows"), 0, ROWS, 0);
    OK(sdb_backup(view, "copy.sdb", NULL, NULL));
    OK(sdb_close(view));
    OK(sdb__db_open(io, "copy.sdb", &options, &view));
    expect_rows(kv_keyspace(view, "rows"), 0, ROWS, 0);
    OK(sdb_close(view));
    OK(sdb_snapshot_drop(db, "trained"));
    kv_check_sound(db);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kv/train");
    TCase *cases = tcase_create("dictionaries");

    tcase_set_timeout(cases, 120);
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, pages_become_smaller_and_come_back);
    tcase_add_test(cases, snapshots_keep_the_dictionaries_that_they_need);
    tcase_add_test(cases, older_pages_stay_readable);
    tcase_add_test(cases, what_does_not_pay_is_not_kept);
    tcase_add_test(cases, senseless_wishes_are_refused);
    tcase_add_test(cases, a_dictionary_ends_with_its_keyspace);
    tcase_add_test(cases, a_checkpoint_has_the_dictionaries_of_its_pages);
    tcase_add_test(cases, a_crash_at_any_step_of_training_leaves_a_sound_database);
    tcase_add_test(cases, refused_memory_and_a_full_disk_leave_all_as_it_was);
    tcase_add_test(cases, a_damaged_dictionary_is_told_by_pages_and_check);
    tcase_add_test(cases, there_is_an_end_to_their_number);
    tcase_add_test(cases, a_forged_number_of_them_costs_no_more_than_its_limit);
    tcase_add_test(cases, many_small_ones_are_no_burden);
    tcase_add_test(cases, there_is_an_end_to_their_bytes);
    tcase_add_test(cases, several_may_be_the_first_to_use_one);
    tcase_add_test(cases, others_read_and_write_meanwhile);
    suite_add_tcase(suite, cases);
    return kv_main(suite);
}
