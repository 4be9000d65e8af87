/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_restore.c: an archive keeps the whole log, and a backup is rolled forward with it to any
 * commit; gaps and damage are said, and whatever dies in the middle of archiving loses nothing.
 */
#include "tests/kv/kv_fixture.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"

enum { SLOTS = 40, VALUE_MOST = 9000 };

static struct io *io;
static sdb_options options;
static sdb_db *db;
static sdb_keyspace *keyspace;
static uint64_t last; /* number of the newest commit; the first one made the keyspace */
/* Commits behind number `parted` are of another history: as long, with other bytes. */
static uint64_t parted, flavour;

static uint64_t seed_of(uint64_t n)
{
    return n > parted ? n + flavour : n;
}

static void open_database(void)
{
    OK(sdb__db_open(io, KV_PATH, &options, &db));
    keyspace = kv_keyspace(db, "a");
    if (last == 0) last = 1;
}

static void begin(uint64_t seed)
{
    io = kv_disk(seed);
    options = kv_options(4096);
    options.cache_bytes = 4 * (uint64_t)MIB;
    options.log_limit_bytes = MIB;
    options.archive_folder = "arch";
    if (seed % 2) options.log_compression = SDB_COMPRESSION_LZ4;
    last = parted = flavour = 0;
    open_database();
}

static size_t size_of(uint64_t n)
{
    return n % 11 == 3 ? 4000 + n % 5000 : n % 1500;
}

/* Commit n sets one of the slots to bytes that follow from n, and "last" to n. */
static sdb_status try_commit(uint64_t n)
{
    static uint8_t value[VALUE_MOST];
    uint8_t number[8];
    char key[8];
    sdb_txn *txn;

    put_u64(number, n);
    kv_fill(value, size_of(n), seed_of(n));
    (void)snprintf(key, sizeof key, "k%u", (unsigned)(n % SLOTS));
    OK(sdb_txn_begin(db, SDB_TXN_BATCH, &txn));
    OK(sdb_put(txn, keyspace, TEXT("last"), (sdb_slice){number, sizeof number}));
    OK(sdb_put(txn, keyspace, kv_slice(key), (sdb_slice){value, size_of(n)}));
    return sdb_txn_commit(txn);
}

static void commit_many(unsigned count)
{
    for (; count; count--) OK(try_commit(++last));
}

/* The database at `path` is what it was after commit n. */
static void expect_state(const char *path, uint64_t n)
{
    sdb_options reading = kv_options(4096);
    sdb_db *copy;
    sdb_txn *txn;
    sdb_keyspace *space;
    sdb_slice value;
    uint64_t slots = 0;

    reading.flags |= SDB_OPEN_READONLY;
    OK(sdb__db_open(io, path, &reading, &copy));
    OK(sdb_keyspace_open(copy, "a", SDB_KEYSPACE_MUST_EXIST, &space));
    OK(sdb_txn_begin(copy, SDB_TXN_READ, &txn));
    OK(sdb_get(txn, space, TEXT("last"), &value));
    ck_assert_uint_eq(get_u64(value.data), n);
    for (uint64_t i = n; i > 1 && i + SLOTS > n; i--, slots++) {
        char key[8];

        (void)snprintf(key, sizeof key, "k%u", (unsigned)(i % SLOTS));
        OK(sdb_get(txn, space, kv_slice(key), &value));
        ck_assert_uint_eq(value.size, size_of(i));
        ck_assert(kv_is_filled(value.data, value.size, seed_of(i)));
    }
    OK(sdb_count(txn, space, NULL, &n));
    ck_assert_uint_eq(n, slots + 1);
    sdb_txn_abort(txn);
    OK(sdb_close(copy));
}

static sdb_restore_options to_commit(uint64_t n)
{
    return (sdb_restore_options){.size = sizeof(sdb_restore_options), .archive_folder = "arch",
                                 .until_commit = n};
}

static void expect_restored(uint64_t n)
{
    sdb_restore_options o = to_commit(n);
    sdb_restore_result result = {.size = sizeof result};

    OK(sdb__restore(io, "b.sdb", "r.sdb", &o, &result));
    ck_assert_uint_eq(result.commit, n);
    expect_state("r.sdb", n);
    OK(sdb__io_remove(io, "r.sdb"));
}

/* Nothing was made. */
static void expect_nothing(void)
{
    struct io_file *file;

    IS(sdb__io_open(io, "r.sdb", 0, &file), SDB_NOTFOUND);
    IS(sdb__io_open(io, "r.sdb.part", 0, &file), SDB_NOTFOUND);
}

/* The process ends, and leaves its log. */
static void die(void)
{
    IS(sdb__db_kill(db, SDB_IO), SDB_IO);
    (void)sdb_close(db);
}

static void end(void)
{
    OK(sdb_close(db));
    sdb__io_free(io);
}

/* A backup after some commits; then clean closes, a crash, and checkpoints in between. */
static void live(void)
{
    commit_many(150);
    OK(sdb_backup(db, "b.sdb", NULL, NULL));
    commit_many(2500); /* so many that segments are used again */
    OK(sdb_close(db));
    open_database();
    commit_many(300);
    OK(sdb_sync(db));
    die();
    open_database();
    commit_many(300);
}

START_TEST(backup_is_rolled_forward_to_any_commit)
{
    uint64_t random = kv_seed("test_restore", sdb__random_seed());

    begin(random);
    live();
    OK(sdb_close(db));
    expect_restored(151);
    expect_restored(152);
    expect_restored(last);
    for (int i = 0; i < 12; i++) expect_restored(151 + random_below(&random, last - 150));
    open_database();
    end();
}
END_TEST

START_TEST(log_of_a_crash_is_the_end_of_the_archive)
{
    sdb_restore_options o = to_commit(0);
    sdb_restore_result result = {.size = sizeof result};

    begin(7);
    live();
    OK(sdb_sync(db));
    die();
    OK(sdb__restore(io, "b.sdb", "r.sdb", &o, &result)); /* as far as the archive goes */
    ck_assert_uint_lt(result.commit, last);
    expect_state("r.sdb", result.commit);
    OK(sdb__io_remove(io, "r.sdb"));
    o.log_folder = KV_PATH "-wal";
    OK(sdb__restore(io, "b.sdb", "r.sdb", &o, &result));
    ck_assert_uint_eq(result.commit, last);
    expect_state("r.sdb", last);
    open_database();
    end();
}
END_TEST

START_TEST(moment_outside_of_what_there_is_is_refused)
{
    sdb_restore_options o = to_commit(150);

    begin(8);
    live();
    OK(sdb_close(db));
    SAYS(sdb__restore(io, "b.sdb", "r.sdb", &o, NULL), SDB_NOTFOUND, "later moment");
    o = to_commit(last + 1);
    SAYS(sdb__restore(io, "b.sdb", "r.sdb", &o, NULL), SDB_NOTFOUND, "log ends with commit");
    o = to_commit(0);
    o.until_ms = 1;
    SAYS(sdb__restore(io, "b.sdb", "r.sdb", &o, NULL), SDB_NOTFOUND, "later moment");
    o.until_ms = 0;
    o.until_lsn = UINT64_C(1) << 60;
    SAYS(sdb__restore(io, "b.sdb", "r.sdb", &o, NULL), SDB_NOTFOUND, "log ends with commit");
    o = to_commit(0);
    o.archive_folder = "nowhere";
    SAYS(sdb__restore(io, "b.sdb", "r.sdb", &o, NULL), SDB_NOTFOUND, "no archive");
    expect_nothing();
    o = to_commit(200);
    SAYS(sdb__restore(io, "b.sdb", "b.sdb", &o, NULL), SDB_EXISTS, "b.sdb is there already");
    open_database();
    end();
}
END_TEST

/* Names of the archive's folders and of the files in the one that is looked at. */
struct names {
    char name[64][40];
    unsigned count;
};

static sdb_status note(void *context, const char *name)
{
    struct names *names = context;

    if (name[0] == '.') return SDB_OK;
    ck_assert_uint_lt(names->count, 64);
    (void)snprintf(names->name[names->count++], 40, "%s", name);
    return SDB_OK;
}

/* Every segment in turn is missing, or damaged: never a wrong state, always a sentence. */
START_TEST(gaps_and_damage_are_said)
{
    sdb_restore_options o;
    struct names logs = {.count = 0};
    unsigned refused = 0;

    begin(9);
    live();
    OK(sdb_close(db));
    OK(sdb__io_folder_list(io, "arch", note, &logs));
    ck_assert_uint_ge(logs.count, 3);
    o = to_commit(last);
    for (unsigned i = 0; i < logs.count; i++) {
        struct names files = {.count = 0};
        char folder[64];

        (void)snprintf(folder, sizeof folder, "arch/%s", logs.name[i]);
        OK(sdb__io_folder_list(io, folder, note, &files));
        for (unsigned k = 0; k < files.count; k++) {
            char path[128], aside[128];
            sdb_status status;

            (void)snprintf(path, sizeof path, "%s/%s", folder, files.name[k]);
            (void)snprintf(aside, sizeof aside, "%s.aside", path);
            OK(sdb__io_rename(io, path, aside));
            status = sdb__restore(io, "b.sdb", "r.sdb", &o, NULL);
            if (status == SDB_OK) { /* it was older than the backup */
                expect_state("r.sdb", last);
                OK(sdb__io_remove(io, "r.sdb"));
            } else {
                ck_assert(status == SDB_NOTFOUND || status == SDB_CORRUPT);
                refused++;
                expect_nothing();
            }
            OK(sdb__io_rename(io, aside, path));
            OK(sdb__sim_flip(io, path, _i ? 60 : 6000, 3));
            status = sdb__restore(io, "b.sdb", "r.sdb", &o, NULL);
            if (status == SDB_OK) {
                expect_state("r.sdb", last);
                OK(sdb__io_remove(io, "r.sdb"));
            } else {
                ck_assert(status == SDB_NOTFOUND || status == SDB_CORRUPT);
                refused++;
                expect_nothing();
            }
            OK(sdb__sim_flip(io, path, _i ? 60 : 6000, 3));
        }
    }
    ck_assert_uint_ge(refused, 6);
    expect_restored(last);
    open_database();
    end();
}
END_TEST

/* Power fails at one step or another; after recovery the archive has all that recovery has. */
START_TEST(power_failure_while_archiving_loses_nothing)
{
    for (uint64_t step = 1;; step += 31) {
        uint64_t first, tried;
        sdb_stats stats = {.size = sizeof stats};
        sdb_status status = SDB_OK;

        begin(step);
        commit_many(20);
        OK(sdb_backup(db, "b.sdb", NULL, NULL));
        first = sdb__sim_steps(io);
        sdb__sim_power_off_at(io, first + step);
        for (tried = last; status == SDB_OK && tried < 2500;) status = try_commit(++tried);
        if (status == SDB_OK) status = sdb_close(db);
        else (void)sdb_close(db);
        if (!sdb__sim_is_off(io)) {
            sdb__sim_power_off_at(io, 0);
            sdb__io_free(io);
            break;
        }
        OK(sdb__sim_restart(io, step));
        open_database();
        OK(sdb_stat(db, &stats));
        last = stats.commit_sequence;
        ck_assert_uint_le(last, tried);
        commit_many(3);
        OK(sdb_close(db));
        expect_restored(last);
        sdb__io_free(io);
    }
}
END_TEST

/* An archive that cannot be written keeps the log, and says so. */
START_TEST(log_is_kept_while_the_archive_cannot_be_written)
{
    sdb_stats stats = {.size = sizeof stats};
    struct io_file *file;

    begin(11);
    OK(sdb__io_open(io, "arch", IO_OPEN_WRITE | IO_OPEN_CREATE, &file)); /* in the way */
    sdb__io_close(file);
    for (unsigned i = 0; i < 900; i++) {
        sdb_status status = try_commit(++last);

        ck_assert_msg(status == SDB_OK, "%s", sdb_errmsg());
    }
    ck_assert_int_ne(sdb_checkpoint(db), SDB_OK);
    ck_assert_msg(strstr(sdb_errmsg(), "cannot be archived in arch"), "%s", sdb_errmsg());
    OK(sdb_stat(db, &stats));
    ck_assert_uint_gt(stats.log_kept_bytes, 500 * KIB);
    OK(sdb__io_remove(io, "arch"));
    commit_many(1);
    OK(sdb_checkpoint(db));
    OK(sdb_stat(db, &stats));
    ck_assert_uint_lt(stats.log_kept_bytes, 500 * KIB);
    end();
}
END_TEST

/* The program's own operator: the operand twice. */
static sdb_status twice(void *context, const sdb_slice *old_value, const sdb_slice *operand,
                        sdb_merge_result *result)
{
    sdb_status status = sdb_merge_emit(result, operand->data, operand->size);

    (void)context;
    (void)old_value;
    return status == SDB_OK ? sdb_merge_emit(result, operand->data, operand->size) : status;
}

START_TEST(merges_and_ranges_are_restored)
{
    const sdb_merge_operator operator = {.number = SDB_MERGE_USER, .merge = twice};
    sdb_restore_options o = to_commit(0);
    sdb_slice lower = TEXT("k1"), upper = TEXT("k2");
    sdb_db *copy;

    begin(12);
    OK(sdb_close(db));
    options.merge_operators = &operator;
    options.merge_operator_count = 1;
    open_database();
    OK(sdb_backup(db, "b.sdb", NULL, NULL));
    commit_many(60);
    OK(sdb_merge(NULL, keyspace, SDB_MERGE_USER, TEXT("m"), TEXT("ab")));
    OK(sdb_merge(NULL, keyspace, SDB_MERGE_APPEND, TEXT("m"), TEXT("c")));
    OK(sdb_del_range(NULL, keyspace, &(sdb_range){.lower = &lower, .upper = &upper}));
    OK(sdb_close(db));
    SAYS(sdb__restore(io, "b.sdb", "r.sdb", &o, NULL), SDB_INVALID, "operator 64");
    expect_nothing();
    o.merge_operators = &operator;
    o.merge_operator_count = 1;
    OK(sdb__restore(io, "b.sdb", "r.sdb", &o, NULL));
    OK(sdb__db_open(io, "r.sdb", &options, &copy));
    kv_expect(kv_keyspace(copy, "a"), "m", "ababc");
    kv_expect(kv_keyspace(copy, "a"), "k1", NULL);
    kv_expect(kv_keyspace(copy, "a"), "k15", NULL);
    OK(sdb_close(copy));
    open_database();
    end();
}
END_TEST

/* The file of the database becomes a copy of another one, or the other way round. */
static void copy_file(const char *from, const char *to)
{
    static uint8_t bytes[4 * MIB];
    struct io_file *file;
    struct io_queue *queue;
    uint64_t size;

    OK(sdb__io_queue_new(io, 1, &queue));
    OK(sdb__io_open(io, from, 0, &file));
    OK(sdb__io_size(file, &size));
    ck_assert_uint_le(size, sizeof bytes);
    OK(sdb__io_read(queue, file, bytes, size, 0));
    sdb__io_close(file);
    OK(sdb__io_open(io, to, IO_OPEN_WRITE | IO_OPEN_CREATE, &file));
    OK(sdb__io_truncate(file, 0));
    OK(sdb__io_write(queue, file, bytes, size, 0));
    OK(sdb__io_sync(queue, file));
    sdb__io_close(file);
    sdb__io_queue_free(queue);
}

/* As many commits as the other history has, with the same ends of logs. */
static void write_history(void)
{
    commit_many(60);
    OK(sdb_close(db));
    open_database();
    commit_many(70);
    OK(sdb_sync(db));
    die();
    open_database();
    OK(sdb_close(db));
    open_database(); /* without a commit, and so without a log */
    OK(sdb_close(db));
    open_database();
    commit_many(50);
    OK(sdb_close(db));
}

static void expect_restored_from(const char *backup, uint64_t n)
{
    sdb_restore_options o = to_commit(n);
    sdb_restore_result result = {.size = sizeof result};

    OK(sdb__restore(io, backup, "r.sdb", &o, &result));
    if (n == 0) n = last;
    ck_assert_uint_eq(result.commit, n);
    expect_state("r.sdb", n);
    OK(sdb__io_remove(io, "r.sdb"));
}

/* All commits have the same sizes, so the LSNs of both are the same as well. */
START_TEST(a_backup_is_rolled_forward_in_its_own_history)
{
    begin(13);
    commit_many(40);
    OK(sdb_backup(db, "b.sdb", NULL, NULL));
    parted = last;
    write_history();
    for (flavour = 1000000; flavour < 3000000; flavour += 1000000) {
        char name[8];

        copy_file("b.sdb", KV_PATH);
        last = parted;
        open_database();
        commit_many(10);
        (void)snprintf(name, sizeof name, "b%u", (unsigned)(flavour / 1000000));
        OK(sdb_backup(db, name, NULL, NULL));
        last = parted + 10;
        commit_many(50);
        OK(sdb_close(db));
        open_database();
        commit_many(120);
        OK(sdb_close(db));
    }
    ck_assert_uint_eq(last, parted + 180);
    for (uint64_t n = 0; n <= last; n += n ? 23 : parted + 10) {
        flavour = 0;
        expect_restored_from("b.sdb", n);
        flavour = 1000000;
        expect_restored_from("b1", n);
        flavour = 2000000;
        expect_restored_from("b2", n);
    }
    flavour = 2000000;
    open_database();
    end();
}
END_TEST

START_TEST(two_histories_of_one_moment_are_not_mixed)
{
    sdb_restore_options o = to_commit(0);
    uint64_t logs[2];
    char path[64];

    begin(14);
    OK(sdb_close(db));
    copy_file(KV_PATH, "b.sdb");
    parted = last;
    for (unsigned i = 0; i < 2; i++) {
        flavour = i;
        copy_file("b.sdb", KV_PATH);
        last = parted;
        open_database();
        commit_many(20);
        logs[i] = db->log_id;
        OK(sdb_close(db));
    }
    SAYS(sdb__restore(io, "b.sdb", "r.sdb", &o, NULL), SDB_INVALID, "two histories");
    expect_nothing();
    for (unsigned i = 0; i < 2; i++) { /* the other one is moved away */
        flavour = !i;
        (void)snprintf(path, sizeof path, "arch/%016llx", (unsigned long long)logs[i]);
        OK(sdb__io_rename(io, path, "aside"));
        expect_restored_from("b.sdb", last);
        OK(sdb__io_rename(io, "aside", path));
    }
    open_database();
    end();
}
END_TEST

/* The first commit of a log is torn by a crash; the log after it follows the one before. */
START_TEST(torn_first_commit_of_a_log_makes_no_history)
{
    enum { SIZE = 300000, LEFT = 150000 };
    static uint8_t value[SIZE], bytes[LEFT];
    struct io_file *file;
    struct io_queue *queue;

    begin(15);
    commit_many(20);
    OK(sdb_close(db));
    open_database();
    OK(sdb_backup(db, "b.sdb", NULL, NULL));
    kv_fill(value, sizeof value, 0);
    OK(sdb_put(NULL, keyspace, TEXT("torn"), (sdb_slice){value, sizeof value}));
    die();
    OK(sdb__io_queue_new(io, 1, &queue));
    OK(sdb__io_open(io, KV_PATH "-wal/0000000000000001.log", IO_OPEN_WRITE, &file));
    OK(sdb__io_read(queue, file, bytes, sizeof bytes, 0));
    OK(sdb__io_truncate(file, 0));
    OK(sdb__io_write(queue, file, bytes, sizeof bytes, 0));
    sdb__io_close(file);
    sdb__io_queue_free(queue);
    for (unsigned i = 0; i < 2; i++) {
        open_database();
        commit_many(20);
        OK(sdb_close(db));
    }
    expect_restored_from("b.sdb", 0);
    open_database();
    end();
}
END_TEST

/* A backup of a snapshot does not say which history it is of. */
START_TEST(backup_of_a_snapshot_is_not_rolled_forward_by_guess)
{
    sdb_restore_options o = to_commit(0);
    sdb_db *snapshot;

    begin(16);
    commit_many(10);
    OK(sdb_snapshot_make(db, "s"));
    OK(sdb_snapshot_open(db, "s", &snapshot));
    OK(sdb_backup(snapshot, "b.sdb", NULL, NULL));
    OK(sdb_close(snapshot));
    OK(sdb_close(db));
    open_database();
    commit_many(5);
    OK(sdb_close(db));
    expect_restored_from("b.sdb", 0); /* there is one history */
    copy_file(KV_PATH, "main.sdb");
    copy_file("b.sdb", KV_PATH);
    parted = last -= 5;
    flavour = 1;
    open_database();
    commit_many(5);
    OK(sdb_close(db));
    SAYS(sdb__restore(io, "b.sdb", "r.sdb", &o, NULL), SDB_INVALID, "two histories");
    copy_file("main.sdb", KV_PATH);
    flavour = 0;
    open_database();
    commit_many(5);
    OK(sdb_close(db));
    SAYS(sdb__restore(io, "b.sdb", "r.sdb", &o, NULL), SDB_INVALID, "two histories");
    expect_nothing();
    open_database();
    end();
}
END_TEST

/* What a crash left is given, and is not of the history that the archive goes on with. */
START_TEST(given_log_of_another_history_is_refused)
{
    sdb_restore_options o = to_commit(0);
    sdb_restore_result result = {.size = sizeof result};

    begin(17);
    commit_many(10);
    OK(sdb_backup(db, "b.sdb", NULL, NULL));
    commit_many(5);
    OK(sdb_close(db));
    copy_file("b.sdb", KV_PATH);
    parted = last -= 5;
    flavour = 1;
    open_database();
    commit_many(7);
    OK(sdb_sync(db));
    die();
    o.log_folder = KV_PATH "-wal";
    SAYS(sdb__restore(io, "b.sdb", "r.sdb", &o, &result), SDB_INVALID, "another history");
    expect_nothing();
    o.archive_folder = NULL;
    OK(sdb__restore(io, "b.sdb", "r.sdb", &o, &result));
    ck_assert_uint_eq(result.commit, last);
    expect_state("r.sdb", last);
    open_database();
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("restore");
    TCase *tcase = tcase_create("archive");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, backup_is_rolled_forward_to_any_commit);
    tcase_add_test(tcase, log_of_a_crash_is_the_end_of_the_archive);
    tcase_add_test(tcase, moment_outside_of_what_there_is_is_refused);
    tcase_add_loop_test(tcase, gaps_and_damage_are_said, 0, 2);
    tcase_add_test(tcase, power_failure_while_archiving_loses_nothing);
    tcase_add_test(tcase, a_backup_is_rolled_forward_in_its_own_history);
    tcase_add_test(tcase, torn_first_commit_of_a_log_makes_no_history);
    tcase_add_test(tcase, backup_of_a_snapshot_is_not_rolled_forward_by_guess);
    tcase_add_test(tcase, given_log_of_another_history_is_refused);
    tcase_add_test(tcase, two_histories_of_one_moment_are_not_mixed);
    tcase_add_test(tcase, merges_and_ranges_are_restored);
    tcase_add_test(tcase, log_is_kept_while_the_archive_cannot_be_written);
    suite_add_tcase(suite, tcase);
    return kv_main(suite);
}
