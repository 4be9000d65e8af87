/* SPDX-License-Identifier: Apache-2.0 */
/* test_check_use.c: claims about who may check when, the log, trouble, and writers meanwhile. */
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
#include "index/kv/verify.h"
#include "tests/lib/suite.h"

/* ---- the log ------------------------------------------------------------------------------- */

/* A disk as a crash left it: the sample, and commits that only the log has. */
static struct io *crashed(unsigned checkpoints)
{
    sdb_options options = sample_options();
    struct io *io, *after;
    sdb_keyspace *users;
    sdb_db *db;

    OK(sdb__sim_new(&sdb__mem_default, 1, &io));
    OK(sdb__db_open(io, FILE_NAME, &options, &db));
    sample_fill(db);
    OK(sdb_keyspace_open(db, "users", 0, &users));
    for (unsigned i = 0; i < checkpoints; i++) {
        OK(sdb_put(NULL, users, (sdb_slice){"k", 1}, (sdb_slice){&i, sizeof i}));
        OK(sdb_checkpoint(db));
    }
    for (unsigned i = 0; i < 50; i++)
        OK(sdb_put(NULL, users, (sdb_slice){&i, sizeof i}, (sdb_slice){"after", 5}));
    OK(sdb__sim_clone(io, UINT64_MAX, &after));
    OK(sdb_close(db));
    sdb__io_free(io);
    return after;
}

/* The newest superblock is once in the one slot, once in the other. */
START_TEST(the_log_of_a_crash_is_read_too)
{
    struct io *io = crashed(1 + (unsigned)_i);
    uint64_t entries = SAMPLE_USERS + SAMPLE_FILES + SAMPLE_LONG + 1;
    sdb_options options = sample_options();
    struct problems p;
    sdb_db *db;

    check_on(io, FILE_NAME, &p);
    assert_clean(&p);
    ck_assert_uint_eq(p.result.log_records, 50);
    ck_assert_uint_eq(p.result.entries, entries);
    check_on(io, FILE_NAME, &p); /* nothing was changed by looking */
    ck_assert_uint_eq(p.result.log_records, 50);
    OK(sdb__db_open(io, FILE_NAME, &options, &db));
    OK(sdb_close(db));
    check_on(io, FILE_NAME, &p);
    assert_clean(&p);
    ck_assert_uint_eq(p.result.entries, entries + 50);
    ck_assert_uint_eq(p.result.log_records, 0);
    sdb__io_free(io);
}
END_TEST

/* A log with the right checksums that no commit wrote. */
START_TEST(a_log_that_recovery_could_not_use_is_a_problem)
{
    static const char *const says[] = {"does not go on from the one before it",
                                       "does not go on from the one before it", "is too short",
                                       "no operation", "impossible name", "changes the catalog",
                                       "a value that it cannot have", "a key that it cannot have"};
    static const uint8_t ops[][6] = {{OP_PUT, 1, 0, 0}, {OP_PUT, 1, 0, 0}, {0}, {9, 1, 0, 0},
                                     {OP_MAKE, 9, 0, 0}, {OP_PUT, 0, 0, 0},
                                     {OP_DEL, 1, 0, 1, 0}, {OP_DROP, 1, 1, 0, 0}};
    static const size_t sizes[] = {4, 4, 0, 4, 4, 4, 5, 5};
    struct io *io = crashed(1);
    struct image image = image_read(io, FILE_NAME);
    const uint8_t *newest = image.bytes;
    uint8_t body[BODY_HEAD + 6] = {0};
    struct wal_options options = {.io = io, .allocator = &sdb__mem_default,
                                  .folder = FILE_NAME "-wal", .segment_bytes = 1 << 20};
    struct wal_piece piece = {body, _i == 2 ? 7 : BODY_HEAD + sizes[_i]};
    struct problems p;
    struct wal *wal;
    uint64_t end;

    if (get_u64(newest + 4096 + 40) > get_u64(newest + 40)) newest += 4096;
    memcpy(options.identity.database_id, newest + 24, 16);
    options.identity.log_id = get_u64(newest + 64);
    options.first_lsn = get_u64(newest + 48);
    put_u64(body, get_u64(newest + 56) + (_i == 0 ? 2 : _i == 1 ? 0 : 1));
    memcpy(body + BODY_HEAD, ops[_i], sizes[_i]);
    OK(sdb__wal_remove(io, FILE_NAME "-wal"));
    OK(sdb__wal_begin(&options, &wal));
    OK(sdb__wal_append(wal, &piece, 1, &end));
    OK(sdb__wal_sync(wal, end));
    sdb__wal_close(wal);
    check_on(io, FILE_NAME, &p);
    ck_assert_uint_eq(p.count, 1);
    SAYS(&p, "log " FILE_NAME "-wal: the commit at", says[_i]);
    free(image.bytes);
    sdb__io_free(io);
}
END_TEST

/* Looks for the segment that holds a place in the log. */
struct seeking {
    struct io *io;
    uint64_t lsn;
    char path[200];
    uint64_t offset; /* in it */
};

static sdb_status look_in(void *context, const char *name)
{
    struct seeking *s = context;
    char path[200];
    struct image segment;
    uint64_t first, bytes;

    (void)snprintf(path, sizeof path, FILE_NAME "-wal/%s", name);
    segment = image_read(s->io, path);
    first = get_u64(segment.bytes + 48);
    bytes = segment.size - 4096;
    if (s->lsn >= first && s->lsn < first + bytes) {
        memcpy(s->path, path, sizeof path);
        s->offset = 4096 + s->lsn - first;
    }
    free(segment.bytes);
    return SDB_OK;
}

START_TEST(a_damaged_or_missing_log_is_a_problem)
{
    struct io *io = crashed(1);
    struct seeking s = {.io = io};
    struct problems p;
    struct image image = image_read(io, FILE_NAME);
    const uint8_t *newest = image.bytes;

    if (get_u64(newest + 4096 + 40) > get_u64(newest + 40)) newest += 4096;
    s.lsn = get_u64(newest + 48);
    OK(sdb__io_folder_list(io, FILE_NAME "-wal", look_in, &s));
    OK(sdb__sim_flip(io, s.path, s.offset + 24 + 3, 1)); /* in the first record behind it */
    check_on(io, FILE_NAME, &p);
    ck_assert_int_eq(p.status, SDB_CORRUPT);
    ck_assert_uint_eq(p.count, 1);
    SAYS(&p, "log " FILE_NAME "-wal is damaged");
    OK(sdb__io_remove(io, s.path));
    check_on(io, FILE_NAME, &p);
    ck_assert_uint_eq(p.count, 1);
    SAYS(&p, "its log " FILE_NAME "-wal is missing", "are lost");
    free(image.bytes);
    sdb__io_free(io);
}
END_TEST

/* ---- who may check when -------------------------------------------------------------------- */

START_TEST(a_file_that_is_open_for_writing_is_busy)
{
    sdb_options options = sample_options();
    struct problems p;
    struct io *io;
    sdb_db *db;

    OK(sdb__io_new_memory(&sdb__mem_default, &io));
    sample_make(io);
    OK(sdb__db_open(io, FILE_NAME, &options, &db));
    check_on(io, FILE_NAME, &p);
    ck_assert_int_eq(p.status, SDB_BUSY);
    OK(sdb_close(db));
    options.flags |= SDB_OPEN_READONLY;
    OK(sdb__db_open(io, FILE_NAME, &options, &db));
    check_on(io, FILE_NAME, &p);
    assert_clean(&p);
    OK(sdb_check(db, NULL, NULL, NULL, NULL)); /* a reader may check what it reads */
    OK(sdb_close(db));
    check_on(io, "nothing.sdb", &p);
    ck_assert_int_eq(p.status, SDB_NOTFOUND);
    sdb__io_free(io);
}
END_TEST

START_TEST(a_database_that_was_never_finished_is_none)
{
    struct image empty = {NULL, 0};
    struct problems p;
    struct io *io;

    OK(sdb__io_new_memory(&sdb__mem_default, &io));
    sample_make(io);
    image_write(io, FILE_NAME "-new", &empty);
    check_on(io, FILE_NAME, &p);
    ck_assert_int_eq(p.status, SDB_INVALID);
    sdb__io_free(io);
}
END_TEST

START_TEST(progress_grows_to_its_total_and_can_stop_the_check)
{
    struct told s = {0}, t;
    struct io *io;
    sdb_check_result result = {.size = sizeof result, .pages = 4711};

    OK(sdb__io_new_memory(&sdb__mem_default, &io));
    sample_make(io);
    OK(sdb__check_file(io, &sdb__mem_default, FILE_NAME, NULL, told_progress, &s, NULL));
    ck_assert_uint_eq(s.last, s.total);
    ck_assert_uint_gt(s.calls, 10);
    for (uint64_t i = 1; i <= s.calls; i++) {
        t = (struct told){.stop_at = i};
        GIVES(sdb__check_file(io, &sdb__mem_default, FILE_NAME, NULL, told_progress, &t, &result),
              SDB_CANCELLED);
        ck_assert_uint_eq(t.calls, i);
    }
    ck_assert_uint_eq(result.pages, 4711); /* outputs are left alone */
    sdb__io_free(io);
}
END_TEST

START_TEST(the_result_fits_what_the_caller_knows)
{
    struct {
        sdb_check_result result;
        uint64_t behind;
    } room;
    sdb_db *db;
    sdb_options options = sample_options();

    OK(sdb_open(":memory:", &options, &db));
    memset(&room, 0xaa, sizeof room);
    room.result.size = 2 * sizeof(uint64_t);
    OK(sdb_check(db, NULL, NULL, NULL, &room.result));
    ck_assert_uint_eq(room.result.problems, 0);
    ck_assert_uint_eq(room.result.pages, UINT64_C(0xaaaaaaaaaaaaaaaa));
    room.result.size = 1;
    GIVES(sdb_check(db, NULL, NULL, NULL, &room.result), SDB_INVALID);
    GIVES(sdb_check_file(":memory:", NULL, NULL, NULL, NULL, NULL), SDB_INVALID);
    GIVES(sdb_check_file("", NULL, NULL, NULL, NULL, NULL), SDB_INVALID);
    GIVES(sdb_check_file(NULL, NULL, NULL, NULL, NULL, NULL), SDB_INVALID);
    GIVES(sdb_check(NULL, NULL, NULL, NULL, NULL), SDB_INVALID);
    OK(sdb_close(db));
}
END_TEST

/* ---- trouble on the way -------------------------------------------------------------------- */

START_TEST(a_check_without_memory_says_so)
{
    struct frugal f;
    sdb_status status = SDB_NOMEM;
    struct io *io;

    frugal_init(&f);
    OK(sdb__io_new_memory(&sdb__mem_default, &io));
    sample_make(io);
    while (status != SDB_OK) {
        f.requests = 0;
        f.fail_at++;
        status = sdb__check_file(io, &f.allocator, FILE_NAME, NULL, NULL, NULL, NULL);
        ck_assert_msg(status == SDB_OK || status == SDB_NOMEM, "request %llu: %s",
                      (unsigned long long)f.fail_at, sdb_errmsg());
        ck_assert_int_eq(f.live, 0);
        ck_assert_uint_lt(f.fail_at, 1000);
    }
    ck_assert_uint_gt(f.fail_at, 10);
    sdb__io_free(io);
}
END_TEST

START_TEST(a_page_that_cannot_be_read_is_a_problem)
{
    unsigned reported = 0, sound = 0;
    struct problems p;
    struct io *io;

    for (uint64_t seed = 1; seed <= 60; seed++) {
        OK(sdb__sim_new(&sdb__mem_default, seed, &io));
        sample_make(io);
        sdb__sim_set_faults(io, &(struct sim_faults){.read_error = (uint32_t)(seed % 5) * 2000});
        check_on(io, FILE_NAME, &p);
        ck_assert(p.status == SDB_OK || p.status == SDB_CORRUPT || p.status == SDB_IO);
        reported += problem_says(&p, "page", "at byte", "cannot be read", NULL);
        sound += p.status == SDB_OK;
        sdb__io_free(io);
    }
    ck_assert_uint_gt(reported, 10);
    ck_assert_uint_ge(sound, 12);
}
END_TEST

/* ---- writers go on ------------------------------------------------------------------------- */

struct writing {
    sdb_db *db;
    _Atomic bool stop;
    _Atomic unsigned rounds;
};

static void *write_on(void *context)
{
    struct writing *w = context;
    static const uint8_t big[9000];
    sdb_keyspace *keyspace;
    char name[32];

    for (unsigned i = 0; !atomic_load(&w->stop); i++) {
        (void)snprintf(name, sizeof name, "passing %u", i);
        OK(sdb_keyspace_open(w->db, name, 0, &keyspace));
        for (unsigned k = 0; k < 60; k++) {
            uint32_t key = (i * 61 + k * 7919) % 997;

            OK(sdb_put(NULL, keyspace, (sdb_slice){&key, sizeof key},
                       (sdb_slice){big, k % 10 ? key % 300 : 2000 + key * 7}));
            if (k % 25 == 0) OK(sdb_checkpoint(w->db));
        }
        if (i % 3) OK(sdb_keyspace_drop(keyspace));
        atomic_fetch_add(&w->rounds, 1);
    }
    return NULL;
}

START_TEST(a_check_and_writers_do_not_disturb_each_other)
{
    char folder[] = "/tmp/sdb-check-XXXXXX", path[64];
    sdb_options options = sample_options();
    struct writing w = {.db = NULL};
    struct problems p = {.count = 0};
    pthread_t thread;

    if (_i) {
        ck_assert_ptr_nonnull(mkdtemp(folder));
        (void)snprintf(path, sizeof path, "%s/t.sdb", folder);
        options.flags = 0; /* with a thread of its own */
        options.durability = SDB_DURABILITY_NONE;
        options.checkpoint_bytes = 1 << 20;
    }
    OK(sdb_open(_i ? path : ":memory:", &options, &w.db));
    sample_fill(w.db);
    ck_assert_int_eq(pthread_create(&thread, NULL, write_on, &w), 0);
    for (unsigned i = 0; i < 25 || atomic_load(&w.rounds) < 5; i++) {
        sdb_status status = sdb_check(w.db, problems_note, NULL, &p, NULL);

        ck_assert_msg(status == SDB_OK, "%s: %s", sdb_errmsg(), p.text[0]);
    }
    atomic_store(&w.stop, true);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    OK(sdb_close(w.db));
    if (!_i) return;
    GIVES(sdb_check_file(path, NULL, problems_note, NULL, &p, NULL), SDB_OK);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

static void fail_on_problem(void *context, const char *problem)
{
    (void)context;
    ck_abort_msg("%s", problem);
}

START_TEST(a_check_sees_its_checkpoint_whatever_is_written_meanwhile)
{
    sdb_options options = sample_options();
    sdb_db *db;

    OK(sdb_open(":memory:", &options, &db));
    sample_fill(db);
    OK(sdb_check(db, fail_on_problem, write_meanwhile, db, NULL));
    OK(sdb_check(db, fail_on_problem, NULL, NULL, NULL));
    OK(sdb_close(db));
}
END_TEST
int main(void)
{
    Suite *suite = suite_create("check_use");
    TCase *around = tcase_create("around");

    tcase_add_loop_test(around, the_log_of_a_crash_is_read_too, 0, 2);
    tcase_add_loop_test(around, a_log_that_recovery_could_not_use_is_a_problem, 0, 8);
    tcase_add_test(around, a_damaged_or_missing_log_is_a_problem);
    tcase_add_test(around, a_file_that_is_open_for_writing_is_busy);
    tcase_add_test(around, a_database_that_was_never_finished_is_none);
    tcase_add_test(around, progress_grows_to_its_total_and_can_stop_the_check);
    tcase_add_test(around, the_result_fits_what_the_caller_knows);
    tcase_add_test(around, a_check_without_memory_says_so);
    tcase_add_test(around, a_page_that_cannot_be_read_is_a_problem);
    tcase_add_test(around, a_check_sees_its_checkpoint_whatever_is_written_meanwhile);
    tcase_add_loop_test(around, a_check_and_writers_do_not_disturb_each_other, 0, 2);
    tcase_set_timeout(around, 300);
    suite_add_tcase(suite, around);
    return suite_run(suite);
}
