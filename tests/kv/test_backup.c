/* SPDX-License-Identifier: Apache-2.0 */
/* test_backup.c: claims about sdb_backup: the copy is whole or it is not there; nobody waits. */
#include "tests/kv/check_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/bytes.h"
#include "engine/base/mem.h"
#include "engine/io/simulated.h"
#include "index/kv/database.h"
#include "tests/lib/suite.h"

/* A database on a simulated disk, open. */
static sdb_db *open_sample(struct io **out_io, uint64_t seed)
{
    sdb_options options = sample_options();
    sdb_db *db;

    OK(sdb__sim_new(&sdb__mem_default, seed, out_io));
    OK(sdb__db_open(*out_io, FILE_NAME, &options, &db));
    sample_fill(db);
    return db;
}

static bool is_there(struct io *io, const char *path)
{
    struct io_file *file;
    sdb_status status = sdb__io_open(io, path, 0, &file);

    if (status == SDB_NOTFOUND) return false;
    OK(status);
    sdb__io_close(file);
    return true;
}

/* The copy is sound, has no free block, and holds `contents`. */
static void assert_copy(struct io *io, uint64_t contents)
{
    struct problems p;
    struct image image = image_read(io, COPY_NAME);
    uint64_t digest;

    check_on(io, COPY_NAME, &p);
    ck_assert_msg(p.status == SDB_OK, "%s %s", p.text[0], sdb_errmsg());
    ck_assert_uint_eq(p.result.free_bytes, 0);
    ck_assert_uint_eq(p.result.used_bytes, image.size);
    ck_assert_int_eq(memcmp(image.bytes, image.bytes + 4096, 4096), 0);
    ck_assert_uint_eq(get_u64(image.bytes + 64), 0); /* no log */
    OK(contents_in(io, COPY_NAME, &digest));
    ck_assert_uint_eq(digest, contents);
    if (get_u32(image.bytes + 16) == SAMPLE_PAGE) { /* what is of no use is zero */
        uint8_t *covered = calloc(1, image.size);

        image_covered(&image, covered);
        for (size_t i = 0; i < image.size; i++)
            ck_assert_msg(covered[i] || image.bytes[i] == 0, "byte %zu", i);
        free(covered);
    }
    free(image.bytes);
}

/* ---- what a copy is ------------------------------------------------------------------------ */

START_TEST(a_backup_holds_what_the_database_held)
{
    struct io *io;
    sdb_db *db = open_sample(&io, 1);
    uint64_t contents = contents_of(db), size;
    struct image one, two;

    OK(sdb_backup(db, COPY_NAME, NULL, NULL));
    assert_copy(io, contents);
    one = image_read(io, FILE_NAME);
    two = image_read(io, COPY_NAME);
    ck_assert_int_eq(memcmp(one.bytes + 24, two.bytes + 24, 16), 0); /* the database id */
    size = one.size;
    ck_assert_uint_lt(two.size, size);
    free(one.bytes);
    free(two.bytes);
    OK(sdb_close(db));
    ck_assert(!is_there(io, COPY_NAME "-wal"));
    sdb__io_free(io);
}
END_TEST

START_TEST(a_backup_is_a_database_to_go_on_with)
{
    sdb_options options = sample_options();
    struct io *io;
    sdb_db *db = open_sample(&io, 1), *copy;
    uint64_t contents = contents_of(db), changed;
    struct problems p;
    sdb_keyspace *keyspace;

    OK(sdb_backup(db, COPY_NAME, NULL, NULL));
    OK(sdb__db_open(io, COPY_NAME, &options, &copy));
    OK(sdb_keyspace_open(copy, "made in the copy", SDB_KEYSPACE_MUST_MAKE, &keyspace));
    for (unsigned i = 0; i < 500; i++)
        OK(sdb_put(NULL, keyspace, (sdb_slice){&i, sizeof i}, (sdb_slice){"value", i % 6}));
    changed = contents_of(copy);
    ck_assert_uint_ne(changed, contents);
    OK(sdb_check(copy, NULL, NULL, NULL, NULL));
    OK(sdb_backup(copy, "second.sdb", NULL, NULL));
    OK(sdb_close(copy));
    check_on(io, COPY_NAME, &p);
    ck_assert_int_eq(p.status, SDB_OK);
    ck_assert_uint_eq(contents_of(db), contents);
    OK(contents_in(io, "second.sdb", &contents));
    ck_assert_uint_eq(contents, changed);
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(a_backup_of_memory_goes_to_a_real_file)
{
    char folder[] = "/tmp/sdb-backup-XXXXXX", path[64];
    sdb_options options = sample_options();
    uint64_t contents;
    sdb_db *db;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/copy.sdb", folder);
    OK(sdb_open(":memory:", &options, &db));
    sample_fill(db);
    contents = contents_of(db);
    OK(sdb_backup(db, path, NULL, NULL));
    GIVES(sdb_backup(db, path, NULL, NULL), SDB_EXISTS);
    OK(sdb_close(db));
    OK(sdb_check_file(path, NULL, NULL, NULL, NULL, NULL));
    OK(sdb_open(path, &options, &db));
    ck_assert_uint_eq(contents_of(db), contents);
    OK(sdb_close(db));
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

START_TEST(a_reader_may_back_up_what_it_reads)
{
    sdb_options options = sample_options();
    struct io *io;
    sdb_db *db = open_sample(&io, 1);
    uint64_t contents = contents_of(db);

    OK(sdb_close(db));
    options.flags |= SDB_OPEN_READONLY;
    OK(sdb__db_open(io, FILE_NAME, &options, &db));
    OK(sdb_backup(db, COPY_NAME, NULL, NULL));
    OK(sdb_close(db));
    assert_copy(io, contents);
    sdb__io_free(io);
}
END_TEST

START_TEST(an_empty_database_can_be_backed_up)
{
    sdb_options options = sample_options();
    struct io *io;
    sdb_db *db;

    options.page_size = _i ? 65536 : 4096;
    OK(sdb__sim_new(&sdb__mem_default, 1, &io));
    OK(sdb__db_open(io, FILE_NAME, &options, &db));
    OK(sdb_backup(db, COPY_NAME, NULL, NULL));
    assert_copy(io, contents_of(db));
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(what_nothing_leads_to_is_left_out)
{
    sdb_options options = sample_options();
    struct extent extent;
    struct problems p;
    struct io *io;
    sdb_db *db = open_sample(&io, 1);
    uint64_t contents = contents_of(db), id;

    options.flags |= SDB_OPEN_READONLY;
    OK(sdb__pager_extent_write(db->pager, "nobody's", 8, &extent));
    OK(sdb__pager_extent_adopt(db->pager, &extent, &id));
    db->changed = true;
    OK(sdb_backup(db, COPY_NAME, NULL, NULL));
    assert_copy(io, contents);
    OK(sdb_close(db));
    check_on(io, FILE_NAME, &p);
    ck_assert_uint_eq(p.count, 1);
    ck_assert(problem_says(&p, "extent", "is lost", NULL));
    sdb__io_free(io);
}
END_TEST

/* ---- what it is refused for ---------------------------------------------------------------- */

START_TEST(a_file_that_is_there_is_left_alone)
{
    static uint8_t text[] = "somebody's";
    struct image old = {text, sizeof text}, now;
    struct io *io;
    sdb_db *db = open_sample(&io, 1);

    image_write(io, COPY_NAME, &old);
    GIVES(sdb_backup(db, COPY_NAME, NULL, NULL), SDB_EXISTS);
    now = image_read(io, COPY_NAME);
    ck_assert_uint_eq(now.size, old.size);
    ck_assert_int_eq(memcmp(now.bytes, old.bytes, old.size), 0);
    free(now.bytes);
    GIVES(sdb_backup(db, FILE_NAME, NULL, NULL), SDB_EXISTS);
    GIVES(sdb_backup(db, ":memory:", NULL, NULL), SDB_INVALID);
    GIVES(sdb_backup(db, "", NULL, NULL), SDB_INVALID);
    GIVES(sdb_backup(db, NULL, NULL, NULL), SDB_INVALID);
    GIVES(sdb_backup(NULL, COPY_NAME, NULL, NULL), SDB_INVALID);
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(the_marker_of_an_unfinished_database_goes)
{
    struct image empty = {NULL, 0};
    struct io *io;
    sdb_db *db = open_sample(&io, 1);

    image_write(io, COPY_NAME "-new", &empty);
    OK(sdb_backup(db, COPY_NAME, NULL, NULL));
    ck_assert(!is_there(io, COPY_NAME "-new"));
    assert_copy(io, contents_of(db));
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

/* Every page and every extent, one at a time. */
START_TEST(damage_is_not_copied)
{
    struct io *io;
    sdb_db *db = open_sample(&io, 1);
    struct image image;
    unsigned tried = 0;

    OK(sdb_checkpoint(db));
    image = image_read(io, FILE_NAME);
    if (get_u64(image.bytes + 4096 + 40) > get_u64(image.bytes + 40))
        memcpy(image.bytes, image.bytes + 4096, 4096);
    for (uint64_t id = 1; id < image_page_limit(&image); id++) {
        uint64_t place = get_u64(image_entry(&image, id));
        uint64_t at = (place & 0xffffffffff) * 512 + id * 97 % 1000;

        if (place == 0) continue;
        tried++;
        OK(sdb__sim_flip(io, FILE_NAME, at, (unsigned)id % 8));
        GIVES(sdb_backup(db, COPY_NAME, NULL, NULL), SDB_CORRUPT);
        ck_assert_ptr_nonnull(strstr(sdb_errmsg(), place >> 62 ? "extent" : "page"));
        ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "at byte"));
        ck_assert(!is_there(io, COPY_NAME));
        OK(sdb__sim_flip(io, FILE_NAME, at, (unsigned)id % 8));
    }
    ck_assert_uint_gt(tried, 15);
    OK(sdb_backup(db, COPY_NAME, NULL, NULL));
    OK(sdb_close(db));
    free(image.bytes);
    sdb__io_free(io);
}
END_TEST

START_TEST(progress_counts_bytes_and_can_stop_the_backup)
{
    struct told s = {.grows = true}, t;
    struct io *io;
    sdb_db *db = open_sample(&io, 1);
    struct image image;

    OK(sdb_backup(db, COPY_NAME, told_progress, &s));
    image = image_read(io, COPY_NAME);
    ck_assert_uint_eq(s.last, s.total);
    ck_assert_uint_eq(s.total, image.size);
    free(image.bytes);
    OK(sdb__io_remove(io, COPY_NAME));
    for (uint64_t i = 1; i <= s.calls; i++) {
        t = (struct told){.stop_at = i, .grows = true};
        GIVES(sdb_backup(db, COPY_NAME, told_progress, &t), SDB_CANCELLED);
        ck_assert(!is_there(io, COPY_NAME));
    }
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

/* ---- trouble on the way -------------------------------------------------------------------- */

/* Lets the n-th operation of a backup fail, for every n: no space left, or an error. */
START_TEST(a_backup_that_fails_leaves_nothing_behind)
{
    struct io *io;
    sdb_db *db = open_sample(&io, 1);
    uint64_t contents = contents_of(db), at;
    sdb_status status = SDB_IO;

    OK(sdb_checkpoint(db));
    for (at = 1; status != SDB_OK; at++) {
        struct sim_faults faults = {0};

        if (_i) faults.fail_at = at;
        else faults.fail_full_at = at;
        sdb__sim_set_faults(io, &faults);
        status = sdb_backup(db, COPY_NAME, NULL, NULL);
        sdb__sim_set_faults(io, &(struct sim_faults){0});
        if (status == SDB_OK) break;
        ck_assert_int_eq(status, _i ? SDB_IO : SDB_FULL);
        ck_assert(!is_there(io, COPY_NAME));
        ck_assert_uint_lt(at, 1000);
    }
    ck_assert_uint_gt(at, 5);
    assert_copy(io, contents);
    ck_assert_uint_eq(contents_of(db), contents);
    OK(sdb_check(db, NULL, NULL, NULL, NULL));
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(a_disk_that_fills_up_stops_the_backup_only)
{
    struct io *io;
    sdb_db *db = open_sample(&io, 1);
    struct image image;
    uint64_t contents = contents_of(db);
    sdb_keyspace *users;

    OK(sdb_checkpoint(db));
    image = image_read(io, FILE_NAME);
    sdb__sim_set_faults(io, &(struct sim_faults){.capacity = image.size + 800000});
    for (unsigned i = 0; i < 30; i++) {
        char name[20];
        sdb_status status;

        (void)snprintf(name, sizeof name, "copy %u", i);
        status = sdb_backup(db, name, NULL, NULL);
        if (status == SDB_OK) continue;
        ck_assert_int_eq(status, SDB_FULL);
        ck_assert(!is_there(io, name));
        ck_assert_uint_gt(i, 0);
        sdb__sim_set_faults(io, &(struct sim_faults){0});
        OK(sdb_keyspace_open(db, "users", 0, &users));
        OK(sdb_put(NULL, users, (sdb_slice){"after", 5}, (sdb_slice){"x", 1}));
        ck_assert_uint_ne(contents_of(db), contents);
        OK(sdb_close(db));
        free(image.bytes);
        sdb__io_free(io);
        return;
    }
    ck_abort_msg("the disk did not fill up");
}
END_TEST

/* A copy that is there is whole, or has no superblock that leads anywhere. */
static bool is_whole(struct io *io, uint64_t contents)
{
    struct problems p;
    uint64_t digest;

    if (!is_there(io, COPY_NAME)) return false;
    check_on(io, COPY_NAME, &p);
    if (p.status == SDB_CORRUPT && p.count == 1) { /* the second slot may be missing */
        ck_assert_ptr_nonnull(strstr(p.text[0], "superblock copy"));
    } else if (p.status != SDB_OK) {
        ck_assert(p.status == SDB_INVALID || (p.status == SDB_CORRUPT && p.count == 2 &&
                                              strstr(p.text[0], "superblock copy 0") &&
                                              strstr(p.text[1], "superblock copy 1")));
        return false;
    }
    OK(contents_in(io, COPY_NAME, &digest));
    ck_assert_uint_eq(digest, contents);
    return true;
}

/* Power fails before each step of a backup. */
START_TEST(a_crash_leaves_a_whole_copy_or_none)
{
    struct io *io, *clone;
    sdb_db *db = open_sample(&io, 1);
    uint64_t contents = contents_of(db);
    sdb_options options = sample_options();
    unsigned whole = 0, none = 0;
    bool finished = false;

    OK(sdb_close(db));
    for (uint64_t step = 1; !finished; step++) {
        for (uint64_t seed = 0; seed < 16; seed++) {
            sdb_status status;

            OK(sdb__sim_clone(io, UINT64_MAX, &clone));
            OK(sdb__db_open(clone, FILE_NAME, &options, &db));
            sdb__sim_power_off_at(clone, sdb__sim_steps(clone) + step);
            status = sdb_backup(db, COPY_NAME, NULL, NULL);
            finished = !sdb__sim_is_off(clone);
            ck_assert_int_eq(status == SDB_OK, finished);
            sdb__sim_power_off_at(clone, 0);
            (void)sdb_close(db);
            OK(sdb__sim_restart(clone, seed == 15 ? UINT64_MAX : seed));
            if (is_whole(clone, contents)) whole++;
            else ck_assert(!finished), none++;
            OK(sdb__db_open(clone, FILE_NAME, &options, &db));
            ck_assert_uint_eq(contents_of(db), contents);
            OK(sdb_close(db));
            sdb__io_free(clone);
        }
        ck_assert_uint_lt(step, 1000);
    }
    ck_assert_uint_gt(none, 10);
    ck_assert_uint_ge(whole, 3);
    sdb__io_free(io);
}
END_TEST

START_TEST(a_backup_without_memory_says_so)
{
    struct frugal f;
    sdb_options options = sample_options();
    sdb_status status = SDB_NOMEM;
    uint64_t contents;
    struct io *io;
    sdb_db *db;

    frugal_init(&f);
    options.allocator = &f.allocator;
    OK(sdb__sim_new(&sdb__mem_default, 1, &io));
    OK(sdb__db_open(io, FILE_NAME, &options, &db));
    sample_fill(db);
    contents = contents_of(db);
    OK(sdb_checkpoint(db));
    for (uint64_t at = 1; status != SDB_OK; at++) {
        f.fail_at = f.requests + at;
        status = sdb_backup(db, COPY_NAME, NULL, NULL);
        ck_assert_msg(status == SDB_OK || status == SDB_NOMEM, "request %llu: %s",
                      (unsigned long long)at, sdb_errmsg());
        ck_assert(is_there(io, COPY_NAME) == (status == SDB_OK));
        ck_assert_uint_lt(at, 200);
    }
    f.fail_at = 0;
    assert_copy(io, contents);
    OK(sdb_close(db));
    ck_assert_int_eq(f.live, 0);
    sdb__io_free(io);
}
END_TEST

/* ---- writers go on ------------------------------------------------------------------------- */

struct writing {
    sdb_db *db;
    sdb_keyspace *left, *right;
    _Atomic bool stop;
    _Atomic uint32_t done;
};

/* Writes the same to both keyspaces in one transaction, in a ring of keys. */
static void *write_pairs(void *context)
{
    struct writing *w = context;
    static uint8_t value[6000];

    for (uint32_t i = 1; !atomic_load(&w->stop); i++) {
        uint32_t key = i % 200;
        size_t size = 4 + i * 31 % (i % 9 ? 300 : 5900);
        sdb_txn *txn;

        put_u32(value, i);
        OK(sdb_txn_begin(w->db, SDB_TXN_WRITE, &txn));
        OK(sdb_put(txn, w->left, (sdb_slice){&key, 4}, (sdb_slice){value, size}));
        OK(sdb_put(txn, w->right, (sdb_slice){&key, 4}, (sdb_slice){value, size}));
        OK(sdb_put(txn, w->left, (sdb_slice){"newest", 6}, (sdb_slice){value, 4}));
        OK(sdb_txn_commit(txn));
        atomic_store(&w->done, i);
        if (i % 500 == 0) OK(sdb_checkpoint(w->db));
    }
    return NULL;
}

/* The copy has all of the first commits, nothing of later ones; returns how many. */
static uint32_t assert_prefix(const char *path)
{
    sdb_options options = sample_options();
    sdb_keyspace *left, *right;
    sdb_slice value, other;
    uint32_t newest, count = 0;
    sdb_txn *txn;
    sdb_db *db;

    options.flags |= SDB_OPEN_READONLY;
    OK(sdb_open(path, &options, &db));
    OK(sdb_keyspace_open(db, "left", 0, &left));
    OK(sdb_keyspace_open(db, "right", 0, &right));
    OK(sdb_txn_begin(db, SDB_TXN_READ, &txn));
    OK(sdb_get(txn, left, (sdb_slice){"newest", 6}, &value));
    newest = get_u32(value.data);
    for (uint32_t i = newest > 199 ? newest - 199 : 1; i <= newest; i++, count++) {
        uint32_t key = i % 200;
        static uint8_t kept[6000];

        OK(sdb_get(txn, left, (sdb_slice){&key, 4}, &value));
        ck_assert_uint_eq(get_u32(value.data), i);
        memcpy(kept, value.data, value.size);
        value.data = kept;
        OK(sdb_get(txn, right, (sdb_slice){&key, 4}, &other));
        ck_assert_uint_eq(other.size, value.size);
        ck_assert_int_eq(memcmp(other.data, value.data, value.size), 0);
    }
    sdb_txn_abort(txn);
    OK(sdb_close(db));
    return newest;
}

START_TEST(a_backup_is_one_instant_while_writers_go_on)
{
    char folder[] = "/tmp/sdb-backup-XXXXXX", path[64], copy[64];
    sdb_options options = sample_options();
    struct writing w = {.db = NULL};
    uint32_t before, newest = 0;
    pthread_t thread;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/t.sdb", folder);
    (void)snprintf(copy, sizeof copy, "%s/copy.sdb", folder);
    options.flags = 0;
    options.durability = SDB_DURABILITY_NONE;
    options.checkpoint_bytes = 1 << 20;
    OK(sdb_open(path, &options, &w.db));
    OK(sdb_keyspace_open(w.db, "left", 0, &w.left));
    OK(sdb_keyspace_open(w.db, "right", 0, &w.right));
    ck_assert_int_eq(pthread_create(&thread, NULL, write_pairs, &w), 0);
    while (atomic_load(&w.done) < 300) (void)usleep(1000);
    for (unsigned i = 0; i < 12; i++) {
        before = atomic_load(&w.done);
        OK(sdb_backup(w.db, copy, NULL, NULL));
        OK(sdb_check_file(copy, NULL, NULL, NULL, NULL, NULL));
        newest = assert_prefix(copy);
        ck_assert_uint_ge(newest, before);
        ck_assert_int_eq(unlink(copy), 0);
    }
    ck_assert_uint_gt(newest, 300);
    atomic_store(&w.stop, true);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    OK(sdb_close(w.db));
    OK(sdb_check_file(path, NULL, NULL, NULL, NULL, NULL));
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

START_TEST(a_backup_has_its_checkpoint_whatever_is_written_meanwhile)
{
    struct io *io;
    sdb_db *db = open_sample(&io, 1);
    uint64_t contents = contents_of(db);

    OK(sdb_backup(db, COPY_NAME, write_meanwhile, db));
    assert_copy(io, contents);
    ck_assert_uint_ne(contents_of(db), contents);
    OK(sdb_check(db, NULL, NULL, NULL, NULL));
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("backup");
    TCase *copies = tcase_create("copies"), *trouble = tcase_create("trouble");

    tcase_add_test(copies, a_backup_holds_what_the_database_held);
    tcase_add_test(copies, a_backup_is_a_database_to_go_on_with);
    tcase_add_test(copies, a_backup_of_memory_goes_to_a_real_file);
    tcase_add_test(copies, a_reader_may_back_up_what_it_reads);
    tcase_add_loop_test(copies, an_empty_database_can_be_backed_up, 0, 2);
    tcase_add_test(copies, what_nothing_leads_to_is_left_out);
    tcase_add_test(copies, a_file_that_is_there_is_left_alone);
    tcase_add_test(copies, the_marker_of_an_unfinished_database_goes);
    tcase_add_test(copies, damage_is_not_copied);
    tcase_add_test(copies, progress_counts_bytes_and_can_stop_the_backup);
    tcase_add_loop_test(trouble, a_backup_that_fails_leaves_nothing_behind, 0, 2);
    tcase_add_test(trouble, a_disk_that_fills_up_stops_the_backup_only);
    tcase_add_test(trouble, a_crash_leaves_a_whole_copy_or_none);
    tcase_add_test(trouble, a_backup_without_memory_says_so);
    tcase_add_test(trouble, a_backup_has_its_checkpoint_whatever_is_written_meanwhile);
    tcase_add_test(trouble, a_backup_is_one_instant_while_writers_go_on);
    tcase_set_timeout(copies, 120);
    tcase_set_timeout(trouble, 300);
    suite_add_tcase(suite, copies);
    suite_add_tcase(suite, trouble);
    return suite_run(suite);
}
