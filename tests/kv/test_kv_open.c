/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_kv_open.c: opening, closing, and what may stand where a database is expected.
 */
#include "tests/kv/kv_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/bytes.h"
#include "engine/pager/superblock.h"

static struct kv_folder folder;
static const char *path;
static sdb_options options;
static sdb_db *db;

static void setup(void)
{
    static char room[512];

    kv_folder_make(&folder);
    (void)snprintf(room, sizeof room, "%s", kv_in(&folder, "t.sdb"));
    path = room;
    options = kv_options(4096);
    options.backend = SDB_BACKEND_POSIX;
}

static void teardown(void)
{
    kv_folder_remove(&folder);
}

static void make(void)
{
    OK(sdb_open(path, &options, &db));
    kv_put_text(kv_keyspace(db, "a"), "key", "value");
    OK(sdb_close(db));
}

static void overwrite(off_t offset, const void *data, size_t size)
{
    int fd = open(path, O_RDWR);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, data, size, offset), (ssize_t)size);
    ck_assert_int_eq(close(fd), 0);
}

static bool is_there(const char *name)
{
    struct stat about;

    return stat(kv_in(&folder, name), &about) == 0;
}

START_TEST(second_open_is_busy_and_names_the_process)
{
    sdb_db *second;
    char pid[32];
    int status;
    pid_t child;

    OK(sdb_open(path, &options, &db));
    (void)snprintf(pid, sizeof pid, "process %d", (int)getpid());
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        sdb_status answer = sdb_open(path, &options, &second);

        _exit(answer == SDB_BUSY && strstr(sdb_errmsg(), pid) ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    IS(sdb_open(path, &options, &second), SDB_BUSY); /* in this process too */
    OK(sdb_close(db));
    OK(sdb_open(path, &options, &db));
    OK(sdb_close(db));
}
END_TEST

START_TEST(clean_close_leaves_one_file)
{
    make();
    ck_assert(is_there("t.sdb"));
    ck_assert(!is_there("t.sdb-wal"));
    ck_assert(!is_there("t.sdb-new"));
}
END_TEST

START_TEST(readers_share_a_file_and_change_nothing)
{
    sdb_db *second;
    sdb_keyspace *keyspace;
    sdb_txn *txn;

    make();
    options.flags |= SDB_OPEN_READONLY;
    OK(sdb_open(path, &options, &db));
    OK(sdb_open(path, &options, &second));
    OK(sdb_keyspace_open(second, "a", 0, &keyspace));
    kv_expect(keyspace, "key", "value");
    SAYS(sdb_keyspace_open(second, "b", 0, &keyspace), SDB_READONLY, "reading only");
    IS(sdb_put(NULL, keyspace, TEXT("x"), TEXT("y")), SDB_READONLY);
    IS(sdb_del(NULL, keyspace, TEXT("x")), SDB_READONLY);
    IS(sdb_keyspace_drop(keyspace), SDB_READONLY);
    IS(sdb_txn_begin(second, SDB_TXN_WRITE, &txn), SDB_READONLY);
    IS(sdb_txn_begin(second, SDB_TXN_BATCH, &txn), SDB_READONLY);
    IS(sdb_checkpoint(second), SDB_READONLY);
    kv_check_sound(second);
    OK(sdb_close(second));
    options.flags &= ~(unsigned)SDB_OPEN_READONLY;
    IS(sdb_open(path, &options, &second), SDB_BUSY);
    OK(sdb_close(db));
    OK(sdb_open(path, &options, &db));
    OK(sdb_close(db));
}
END_TEST

START_TEST(flags_say_whether_a_file_is_made_or_found)
{
    options.flags |= SDB_OPEN_MUST_EXIST;
    IS(sdb_open(path, &options, &db), SDB_NOTFOUND);
    ck_assert(!is_there("t.sdb"));
    options.flags ^= SDB_OPEN_MUST_EXIST | SDB_OPEN_MUST_MAKE;
    OK(sdb_open(path, &options, &db));
    OK(sdb_close(db));
    SAYS(sdb_open(path, &options, &db), SDB_EXISTS, "exists already");
    options.flags = SDB_OPEN_READONLY;
    IS(sdb_open(kv_in(&folder, "none"), &options, &db), SDB_NOTFOUND);
    ck_assert(!is_there("none"));
}
END_TEST

START_TEST(newer_format_is_refused_with_its_number)
{
    uint8_t slot[SUPERBLOCK_SIZE];
    int fd;

    make();
    fd = open(path, O_RDONLY);
    ck_assert_int_eq(pread(fd, slot, sizeof slot, 0), sizeof slot);
    (void)close(fd);
    put_u32(slot + 8, 2);
    put_u64(slot + SUPERBLOCK_SIZE - 8, sdb__digest(slot, SUPERBLOCK_SIZE - 8, 0));
    overwrite(0, slot, sizeof slot);
    overwrite(SUPERBLOCK_SIZE, slot, sizeof slot);
    SAYS(sdb_open(path, &options, &db), SDB_INVALID, "format 2");
}
END_TEST

START_TEST(foreign_file_is_refused_and_left_alone)
{
    static uint8_t text[10000], back[10000];
    FILE *file = fopen(path, "w");

    memset(text, 'x', sizeof text);
    ck_assert_uint_eq(fwrite(text, 1, sizeof text, file), sizeof text);
    (void)fclose(file);
    SAYS(sdb_open(path, &options, &db), SDB_INVALID, "not an sdb database");
    file = fopen(path, "r");
    ck_assert_uint_eq(fread(back, 1, sizeof back, file), sizeof back);
    (void)fclose(file);
    ck_assert_int_eq(memcmp(text, back, sizeof text), 0);
    ck_assert_int_eq(truncate(path, 5), 0); /* too short for any judgement but this */
    SAYS(sdb_open(path, &options, &db), SDB_INVALID, "not an sdb database");
}
END_TEST

START_TEST(empty_file_becomes_a_database_when_that_is_allowed)
{
    (void)fclose(fopen(path, "w"));
    options.flags |= SDB_OPEN_MUST_EXIST;
    SAYS(sdb_open(path, &options, &db), SDB_INVALID, "is empty");
    options.flags = SDB_OPEN_NO_THREADS | SDB_OPEN_READONLY;
    SAYS(sdb_open(path, &options, &db), SDB_INVALID, "is empty");
    options.flags = SDB_OPEN_NO_THREADS;
    make();
}
END_TEST

START_TEST(truncated_file_is_damage_at_every_length)
{
    struct stat about;

    make();
    ck_assert_int_eq(stat(path, &about), 0);
    for (off_t size = about.st_size - 1; size > 0; size -= 700) {
        sdb_status status;

        ck_assert_int_eq(truncate(path, size), 0);
        status = sdb_open(path, &options, &db);
        if (status == SDB_OK) {
            sdb_slice value;
            sdb_txn *txn;

            OK(sdb_txn_begin(db, SDB_TXN_READ, &txn));
            status = sdb_get(txn, kv_keyspace(db, "a"), TEXT("key"), &value);
            if (status == SDB_OK) ck_assert(kv_is(value, "value"));
            sdb_txn_abort(txn);
            (void)!sdb_close(db);
            if (status == SDB_OK) continue; /* what was cut off held nothing */
        }
        IS(status, SDB_CORRUPT);
    }
}
END_TEST

START_TEST(unborn_database_is_begun_again)
{
    static const char rubbish[5000] = "half a database";

    (void)fclose(fopen(path, "w"));
    overwrite(0, rubbish, sizeof rubbish);
    (void)fclose(fopen(kv_in(&folder, "t.sdb-new"), "w"));
    options.flags |= SDB_OPEN_MUST_MAKE;
    OK(sdb_open(path, &options, &db));
    OK(sdb_close(db));
    ck_assert(!is_there("t.sdb-new"));
}
END_TEST

/* ---- logs (on the simulated disk, which loses power on demand) ---------------------------- */

static struct io *crashed_disk(void)
{
    struct io *io = kv_disk(1);

    db = kv_open(io, &options);
    kv_put_text(kv_keyspace(db, "a"), "key", "old");
    OK(sdb_checkpoint(db));
    kv_put_text(kv_keyspace(db, "a"), "key", "new");
    OK(sdb__sim_restart(io, 0));
    (void)!sdb_close(db);
    return io;
}

static void remove_log(struct io *io)
{
    OK(sdb__wal_remove(io, KV_PATH "-wal"));
}

START_TEST(missing_log_is_told_and_can_be_done_without)
{
    struct io *io = crashed_disk();

    remove_log(io);
    SAYS(sdb__db_open(io, KV_PATH, &options, &db), SDB_CORRUPT, "missing");
    options.flags |= SDB_OPEN_DISCARD_LOG;
    db = kv_open(io, &options);
    kv_expect(kv_keyspace(db, "a"), "key", "old");
    kv_put_text(kv_keyspace(db, "a"), "key", "newest");
    OK(sdb_close(db));
    options.flags = SDB_OPEN_NO_THREADS;
    db = kv_open(io, &options);
    kv_expect(kv_keyspace(db, "a"), "key", "newest");
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(damaged_newer_superblock_does_not_hide_its_log)
{
    for (unsigned slot = 0; slot < SUPERBLOCK_SLOTS; slot++) { /* one of them is the newer */
        struct io *io = kv_disk(1);

        db = kv_open(io, &options);
        kv_put_text(kv_keyspace(db, "a"), "key", "old");
        OK(sdb_close(db)); /* cleanly: the older one will name no log */
        db = kv_open(io, &options);
        kv_put_text(kv_keyspace(db, "a"), "key", "new");
        OK(sdb__sim_restart(io, 0));
        (void)!sdb_close(db);
        OK(sdb__sim_flip(io, KV_PATH, slot * SUPERBLOCK_SIZE + 200, 3));
        db = kv_open(io, &options);
        kv_expect(kv_keyspace(db, "a"), "key", "new");
        OK(sdb_close(db));
        sdb__io_free(io);
    }
}
END_TEST

START_TEST(discarding_a_sound_log_is_not_done)
{
    struct io *io = crashed_disk();

    options.flags |= SDB_OPEN_DISCARD_LOG;
    db = kv_open(io, &options);
    kv_expect(kv_keyspace(db, "a"), "key", "new");
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(reader_does_not_recover)
{
    struct io *io = crashed_disk();

    options.flags = SDB_OPEN_READONLY;
    SAYS(sdb__db_open(io, KV_PATH, &options, &db), SDB_READONLY, "must be recovered");
    options.flags = SDB_OPEN_NO_THREADS;
    db = kv_open(io, &options);
    kv_expect(kv_keyspace(db, "a"), "key", "new");
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(close_waits_for_transactions)
{
    sdb_txn *txn;
    sdb_keyspace *keyspace;

    OK(sdb_open(path, &options, &db));
    keyspace = kv_keyspace(db, "a");
    OK(sdb_txn_begin(db, SDB_TXN_WRITE, &txn));
    SAYS(sdb_close(db), SDB_BUSY, "1 transactions");
    OK(sdb_put(txn, keyspace, TEXT("still"), TEXT("there")));
    OK(sdb_txn_commit(txn));
    kv_expect(keyspace, "still", "there");
    OK(sdb_close(db));
    OK(sdb_close(NULL));
}
END_TEST

START_TEST(senseless_options_are_refused)
{
    sdb_options good = options;

    options.page_size = 5000;
    SAYS(sdb_open(path, &options, &db), SDB_INVALID, "power of two");
    options.page_size = 2048;
    IS(sdb_open(path, &options, &db), SDB_INVALID);
    options.page_size = 131072;
    IS(sdb_open(path, &options, &db), SDB_INVALID);
    options = good;
    options.cache_bytes = MIB - 1;
    SAYS(sdb_open(path, &options, &db), SDB_INVALID, "1 MiB");
    options = good;
    options.durability = (sdb_durability)9;
    SAYS(sdb_open(path, &options, &db), SDB_INVALID, "durability");
    options = good;
    options.size = 0;
    SAYS(sdb_open(path, &options, &db), SDB_INVALID, "SDB_OPTIONS_INIT");
    IS(sdb_open(NULL, NULL, &db), SDB_INVALID);
    IS(sdb_open("", NULL, &db), SDB_INVALID);
    IS(sdb_open(path, NULL, NULL), SDB_INVALID);
    ck_assert(!is_there("t.sdb"));
}
END_TEST

START_TEST(page_size_is_the_files_not_the_options)
{
    sdb_stats stats = {.size = sizeof stats};

    make();
    options.page_size = 65536;
    OK(sdb_open(path, &options, &db));
    OK(sdb_stat(db, &stats));
    ck_assert_uint_eq(stats.page_size, 4096);
    OK(sdb_close(db));
}
END_TEST

START_TEST(statistics_make_sense)
{
    sdb_stats stats = {.size = sizeof stats};
    sdb_keyspace *keyspace;
    sdb_txn *reader;
    static uint8_t big[20000];

    OK(sdb_open(path, &options, &db));
    keyspace = kv_keyspace(db, "a");
    kv_put_text(keyspace, "key", "1");
    OK(sdb_txn_begin(db, SDB_TXN_READ, &reader));
    kv_put_text(keyspace, "key", "2");
    OK(sdb_put(NULL, keyspace, TEXT("big"), (sdb_slice){big, sizeof big}));
    OK(sdb_stat(db, &stats));
    ck_assert_str_eq(stats.backend, "posix");
    ck_assert_uint_eq(stats.keyspaces, 1);
    ck_assert_uint_eq(stats.commits, 4);
    ck_assert_uint_eq(stats.commit_sequence, 4);
    ck_assert_uint_eq(stats.open_snapshots, 1);
    ck_assert_uint_eq(stats.version_entries, 2);
    ck_assert_uint_gt(stats.version_bytes, 0);
    ck_assert_uint_eq(stats.extents, 1);
    ck_assert_uint_ge(stats.log_bytes, sizeof big);
    ck_assert_uint_eq(stats.log_records, 4);
    ck_assert_uint_ge(stats.cache_limit_bytes, stats.cache_bytes);
    ck_assert_uint_gt(stats.dirty_pages, 0);
    sdb_txn_abort(reader);
    OK(sdb_checkpoint(db));
    OK(sdb_stat(db, &stats));
    ck_assert_uint_eq(stats.open_snapshots, 0);
    ck_assert_uint_eq(stats.version_entries, 0);
    ck_assert_uint_eq(stats.version_bytes, 0);
    ck_assert_uint_eq(stats.log_bytes, 0);
    ck_assert_uint_eq(stats.dirty_pages, 0);
    ck_assert_uint_ge(stats.file_bytes, stats.used_bytes);
    ck_assert_uint_gt(stats.used_bytes, sizeof big);
    stats = (sdb_stats){0};
    IS(sdb_stat(db, &stats), SDB_INVALID);
    stats.size = sizeof(size_t) + 16; /* a caller from before the later fields */
    OK(sdb_stat(db, &stats));
    ck_assert_uint_eq(stats.page_size, 0);
    OK(sdb_close(db));
}
END_TEST

START_TEST(statistics_count_what_recovery_replayed)
{
    struct io *io = crashed_disk();
    sdb_stats stats = {.size = sizeof stats};

    db = kv_open(io, &options);
    OK(sdb_stat(db, &stats));
    ck_assert_uint_eq(stats.recovered_commits, 1);
    ck_assert_uint_eq(stats.commit_sequence, 3);
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kv_open");
    TCase *cases = tcase_create("open");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, second_open_is_busy_and_names_the_process);
    tcase_add_test(cases, clean_close_leaves_one_file);
    tcase_add_test(cases, readers_share_a_file_and_change_nothing);
    tcase_add_test(cases, flags_say_whether_a_file_is_made_or_found);
    tcase_add_test(cases, newer_format_is_refused_with_its_number);
    tcase_add_test(cases, foreign_file_is_refused_and_left_alone);
    tcase_add_test(cases, empty_file_becomes_a_database_when_that_is_allowed);
    tcase_add_test(cases, truncated_file_is_damage_at_every_length);
    tcase_add_test(cases, unborn_database_is_begun_again);
    tcase_add_test(cases, missing_log_is_told_and_can_be_done_without);
    tcase_add_test(cases, damaged_newer_superblock_does_not_hide_its_log);
    tcase_add_test(cases, discarding_a_sound_log_is_not_done);
    tcase_add_test(cases, reader_does_not_recover);
    tcase_add_test(cases, close_waits_for_transactions);
    tcase_add_test(cases, senseless_options_are_refused);
    tcase_add_test(cases, page_size_is_the_files_not_the_options);
    tcase_add_test(cases, statistics_make_sense);
    tcase_add_test(cases, statistics_count_what_recovery_replayed);
    suite_add_tcase(suite, cases);
    return kv_main(suite);
}
