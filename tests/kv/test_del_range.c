/* SPDX-License-Identifier: Apache-2.0 */
/* test_del_range.c: deleting a range with one operation. (prop_kv compares it with a model.) */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "index/kv/database.h"
#include "tests/kv/kv_fixture.h"

enum { MANY = 20000, LARGE = 50000 };

struct stage {
    struct io *io;
    sdb_options options;
    sdb_db *db;
    sdb_keyspace *space;
};

static void begin_stage(struct stage *s)
{
    s->io = kv_disk(1);
    s->options = kv_options(4096);
    s->options.cache_bytes = 8 * MIB;
    s->db = kv_open(s->io, &s->options);
    s->space = kv_keyspace(s->db, "space");
}

static void end_stage(struct stage *s)
{
    kv_check_sound(s->db);
    OK(sdb_close(s->db));
    kv_check_file_sound(s->io);
    sdb__io_free(s->io);
}

/* Keys 00000 … of which every 100th has a large value, and every 64th a long key. */
static sdb_slice number_key(unsigned n, char room[600])
{
    size_t size = (size_t)snprintf(room, 600, "%05u", n);

    if (n % 64 == 63) {
        memset(room + size, 'x', 500);
        size += 500;
    }
    return (sdb_slice){room, size};
}

static void put_numbers(struct stage *s, unsigned count)
{
    static uint8_t value[LARGE];
    char room[600];
    sdb_txn *txn;

    for (unsigned n = 0; n < count;) {
        OK(sdb_txn_begin(s->db, SDB_TXN_BATCH, &txn));
        do {
            size_t size = n % 100 == 99 ? LARGE : 40;

            kv_fill(value, size, n);
            OK(sdb_put(txn, s->space, number_key(n, room), (sdb_slice){value, size}));
        } while (++n % 500 && n < count);
        OK(sdb_txn_commit(txn));
    }
}

/* The transaction sees exactly those of the numbers that are not in [from, to). */
static void expect_numbers(sdb_txn *txn, struct stage *s, unsigned count, unsigned from,
                           unsigned to)
{
    sdb_slice key, value;
    sdb_cursor *cursor;
    char room[600];

    OK(sdb_cursor_open(txn, s->space, NULL, &cursor));
    for (unsigned n = 0; n < count; n++) {
        sdb_slice wanted = number_key(n, room);

        if (n >= from && n < to) {
            if (n % 1000 == 0) IS(sdb_get(txn, s->space, wanted, &value), SDB_NOTFOUND);
            continue;
        }
        OK(sdb_cursor_next(cursor, &key, &value));
        ck_assert_uint_eq(key.size, wanted.size);
        ck_assert_mem_eq(key.data, wanted.data, key.size);
        ck_assert(kv_is_filled(value.data, n % 100 == 99 ? LARGE : 40, n));
    }
    IS(sdb_cursor_next(cursor, &key, NULL), SDB_END);
    sdb_cursor_close(cursor);
}

static void expect_now(struct stage *s, unsigned count, unsigned from, unsigned to)
{
    sdb_txn *txn;

    OK(sdb_txn_begin(s->db, SDB_TXN_READ, &txn));
    expect_numbers(txn, s, count, from, to);
    OK(sdb_txn_commit(txn));
}

static sdb_range between(sdb_slice bounds[2], const char *lower, const char *upper)
{
    bounds[0] = kv_slice(lower);
    bounds[1] = kv_slice(upper);
    return (sdb_range){.lower = &bounds[0], .upper = &bounds[1]};
}

START_TEST(a_large_range_goes_at_once_and_leaves_no_page)
{
    sdb_stats before = {.size = sizeof before}, after = {.size = sizeof after};
    sdb_slice bounds[2];
    sdb_range range = between(bounds, "01000", "19000");
    struct stage s;

    begin_stage(&s);
    put_numbers(&s, MANY);
    OK(sdb_checkpoint(s.db));
    OK(sdb_stat(s.db, &before));
    OK(sdb_del_range(NULL, s.space, &range));
    expect_now(&s, MANY, 1000, 19000);
    OK(sdb_checkpoint(s.db));
    OK(sdb_checkpoint(s.db));
    OK(sdb_stat(s.db, &after));
    ck_assert_uint_lt(after.pages, before.pages / 5);
    ck_assert_uint_le(after.used_bytes, before.used_bytes / 5);
    ck_assert_uint_eq(after.commit_sequence, before.commit_sequence + 1);
    OK(sdb_del_range(NULL, s.space, NULL));
    expect_now(&s, 0, 0, 0);
    end_stage(&s);
}
END_TEST

START_TEST(an_older_snapshot_still_sees_the_range)
{
    sdb_slice bounds[2];
    sdb_range range = between(bounds, "00100", "01900");
    sdb_stats stats = {.size = sizeof stats};
    sdb_txn *older;
    struct stage s;

    begin_stage(&s);
    put_numbers(&s, 2000);
    OK(sdb_txn_begin(s.db, SDB_TXN_READ, &older));
    OK(sdb_del_range(NULL, s.space, &range));
    expect_now(&s, 2000, 100, 1900);
    expect_numbers(older, &s, 2000, 0, 0);
    OK(sdb_checkpoint(s.db));
    expect_numbers(older, &s, 2000, 0, 0);
    OK(sdb_txn_commit(older));
    OK(sdb_stat(s.db, &stats));
    ck_assert_uint_eq(stats.version_bytes, 0);
    end_stage(&s);
}
END_TEST

START_TEST(a_range_too_large_for_the_versions_is_refused_whole)
{
    sdb_stats stats = {.size = sizeof stats};
    sdb_txn *older;
    struct stage s;

    begin_stage(&s);
    put_numbers(&s, 5000);
    OK(sdb_close(s.db));
    s.options.version_bytes = 500 * KIB;
    s.db = kv_open(s.io, &s.options);
    s.space = kv_keyspace(s.db, "space");
    OK(sdb_txn_begin(s.db, SDB_TXN_READ, &older));
    SAYS(sdb_del_range(NULL, s.space, NULL), SDB_LIMIT, "raise version_bytes");
    expect_now(&s, 5000, 0, 0);
    OK(sdb_stat(s.db, &stats));
    ck_assert_uint_eq(stats.version_bytes, 0);
    OK(sdb_txn_commit(older));
    OK(sdb_del_range(NULL, s.space, NULL));
    expect_now(&s, 0, 0, 0);
    end_stage(&s);
}
END_TEST

START_TEST(own_ranges_hide_what_is_older_and_nothing_newer)
{
    sdb_slice bounds[2], key, value;
    sdb_range range = between(bounds, "b", "d");
    uint64_t count, savepoint;
    sdb_cursor *cursor;
    sdb_txn *txn;
    struct stage s;

    begin_stage(&s);
    kv_put_text(s.space, "a", "1");
    kv_put_text(s.space, "b", "1");
    kv_put_text(s.space, "c", "1");
    kv_put_text(s.space, "d", "1");
    OK(sdb_txn_begin(s.db, SDB_TXN_WRITE, &txn));
    OK(sdb_put(txn, s.space, TEXT("bb"), TEXT("own")));
    OK(sdb_savepoint_set(txn, &savepoint));
    OK(sdb_cursor_open(txn, s.space, NULL, &cursor));
    OK(sdb_cursor_next(cursor, &key, NULL));
    OK(sdb_del_range(txn, s.space, &range));
    OK(sdb_put(txn, s.space, TEXT("bc"), TEXT("new")));
    OK(sdb_count(txn, s.space, NULL, &count));
    ck_assert_uint_eq(count, 3);
    IS(sdb_get(txn, s.space, TEXT("b"), &value), SDB_NOTFOUND);
    IS(sdb_get(txn, s.space, TEXT("bb"), &value), SDB_NOTFOUND);
    IS(sdb_del(txn, s.space, TEXT("c")), SDB_NOTFOUND);
    OK(sdb_insert(txn, s.space, TEXT("c"), TEXT("again")));
    OK(sdb_cursor_next(cursor, &key, &value));
    ck_assert(kv_is(key, "bc") && kv_is(value, "new"));
    OK(sdb_savepoint_rollback(txn, savepoint)); /* the cursor stands where nothing is now */
    OK(sdb_cursor_next(cursor, &key, &value));
    ck_assert(kv_is(key, "c") && kv_is(value, "1"));
    OK(sdb_cursor_prev(cursor, &key, &value));
    ck_assert(kv_is(key, "bb") && kv_is(value, "own"));
    OK(sdb_del_range(txn, s.space, &range));
    OK(sdb_cursor_prev(cursor, &key, &value));
    ck_assert(kv_is(key, "a"));
    sdb_cursor_close(cursor);
    OK(sdb_put(txn, s.space, TEXT("cc"), TEXT("last")));
    OK(sdb_txn_commit(txn));
    kv_expect(s.space, "a", "1");
    kv_expect(s.space, "b", NULL);
    kv_expect(s.space, "bb", NULL);
    kv_expect(s.space, "cc", "last");
    kv_expect(s.space, "d", "1");
    end_stage(&s);
}
END_TEST

START_TEST(a_batch_keeps_its_order)
{
    sdb_range all = {0};
    sdb_txn *txn;
    struct stage s;

    begin_stage(&s);
    OK(sdb_txn_begin(s.db, SDB_TXN_BATCH, &txn));
    OK(sdb_put(txn, s.space, TEXT("a"), TEXT("1")));
    OK(sdb_del_range(txn, s.space, &all));
    OK(sdb_put(txn, s.space, TEXT("b"), TEXT("2")));
    OK(sdb_txn_commit(txn));
    kv_expect(s.space, "a", NULL);
    kv_expect(s.space, "b", "2");
    end_stage(&s);
}
END_TEST

START_TEST(a_range_conflicts_with_what_was_changed_in_it)
{
    sdb_slice bounds[2];
    sdb_range range = between(bounds, "b", "d");
    sdb_txn *txn;
    struct stage s;

    begin_stage(&s);
    kv_put_text(s.space, "a", "1");
    OK(sdb_txn_begin(s.db, SDB_TXN_WRITE, &txn));
    OK(sdb_del_range(txn, s.space, &range));
    kv_put_text(s.space, "c", "new"); /* was not there when the transaction began */
    IS(sdb_txn_commit(txn), SDB_CONFLICT);
    kv_expect(s.space, "c", "new");
    OK(sdb_txn_begin(s.db, SDB_TXN_WRITE, &txn));
    OK(sdb_del_range(txn, s.space, &range));
    kv_put_text(s.space, "d", "beside it");
    OK(sdb_txn_commit(txn));
    kv_expect(s.space, "c", NULL);
    kv_put_text(s.space, "c", "2");
    OK(sdb_txn_begin(s.db, SDB_TXN_WRITE, &txn));
    OK(sdb_put(txn, s.space, TEXT("c"), TEXT("3")));
    OK(sdb_del_range(NULL, s.space, &range));
    IS(sdb_txn_commit(txn), SDB_CONFLICT);
    kv_expect(s.space, "c", NULL);
    end_stage(&s);
}
END_TEST

START_TEST(senseless_calls_are_refused)
{
    static char longer[SDB_KEY_MAX + 1];
    sdb_slice bound = {longer, sizeof longer}, empty = {NULL, 0};
    sdb_range range = {.upper = &bound}, nothing = {.upper = &empty};
    sdb_stats before = {.size = sizeof before}, after = {.size = sizeof after};
    sdb_txn *txn;
    struct stage s;

    begin_stage(&s);
    IS(sdb_del_range(NULL, NULL, &range), SDB_INVALID);
    SAYS(sdb_del_range(NULL, s.space, &range), SDB_LIMIT, "65536");
    OK(sdb_stat(s.db, &before));
    OK(sdb_del_range(NULL, s.space, &nothing)); /* no key is less than the empty one */
    OK(sdb_stat(s.db, &after));
    ck_assert_uint_eq(after.commit_sequence, before.commit_sequence);
    OK(sdb_txn_begin(s.db, SDB_TXN_READ, &txn));
    IS(sdb_del_range(txn, s.space, NULL), SDB_READONLY);
    sdb_txn_abort(txn);
    OK(sdb_keyspace_drop(s.space));
    IS(sdb_del_range(NULL, s.space, NULL), SDB_NOTFOUND);
    end_stage(&s);
}
END_TEST

/* The handle as it is while a thread works in the background, which is late. */
START_TEST(what_was_cut_off_is_freed_when_the_file_is_opened_again)
{
    sdb_slice bounds[2];
    sdb_range range = between(bounds, "00500", "19500");
    sdb_stats before = {.size = sizeof before}, after = {.size = sizeof after};
    struct stage s;

    begin_stage(&s);
    put_numbers(&s, MANY);
    s.db->has_workers = true;
    OK(sdb_del_range(NULL, s.space, &range));
    s.db->has_workers = false;
    ck_assert_uint_gt(s.db->cut_count, 0);
    atomic_store(&s.db->unfreed, 0);
    OK(sdb_checkpoint(s.db));
    OK(sdb_stat(s.db, &before));
    kv_check_sound(s.db);
    OK(sdb_close(s.db));
    kv_check_file_sound(s.io);
    s.db = kv_open(s.io, &s.options);
    s.space = kv_keyspace(s.db, "space");
    OK(sdb_stat(s.db, &after));
    ck_assert_uint_lt(after.pages, before.pages / 10);
    expect_now(&s, MANY, 500, 19500);
    end_stage(&s);
}
END_TEST

enum { KEYS = 500, ROUNDS = 60 };

struct race {
    sdb_db *db;
    sdb_keyspace *space;
    _Atomic bool stop;
};

/* Every snapshot has all keys, or the range is whole in it. */
static void *read_on(void *context)
{
    struct race *r = context;
    uint64_t count;

    while (!atomic_load(&r->stop)) {
        uint8_t value[64];
        size_t size;
        sdb_status status;
        sdb_txn *txn;

        OK(sdb_txn_begin(r->db, SDB_TXN_READ, &txn));
        OK(sdb_count(txn, r->space, NULL, &count));
        ck_assert_uint_eq(count, KEYS);
        sdb_txn_abort(txn);
        status = sdb_get_copy(r->space, TEXT("00250"), value, sizeof value, &size);
        ck_assert(status == SDB_OK || status == SDB_NOTFOUND);
    }
    return NULL;
}

START_TEST(readers_see_all_of_a_range_or_nothing)
{
    sdb_options options = SDB_OPTIONS_INIT;
    pthread_t readers[2];
    struct race r = {0};
    sdb_txn *txn;
    char key[8];

    options.page_size = 4096;
    OK(sdb_open(":memory:", &options, &r.db));
    r.space = kv_keyspace(r.db, "space");
    for (unsigned round = 0; round < ROUNDS; round++) {
        OK(sdb_txn_begin(r.db, round % 2 ? SDB_TXN_WRITE : SDB_TXN_BATCH, &txn));
        OK(sdb_del_range(txn, r.space, NULL));
        for (unsigned n = 0; n < KEYS; n++) {
            (void)snprintf(key, sizeof key, "%05u", n);
            OK(sdb_put(txn, r.space, kv_slice(key), TEXT("a value of some length, not so short")));
        }
        OK(sdb_txn_commit(txn));
        for (unsigned i = 0; round == 0 && i < 2; i++)
            ck_assert_int_eq(pthread_create(&readers[i], NULL, read_on, &r), 0);
    }
    atomic_store(&r.stop, true);
    for (unsigned i = 0; i < 2; i++) ck_assert_int_eq(pthread_join(readers[i], NULL), 0);
    kv_check_sound(r.db);
    OK(sdb_close(r.db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("del_range");
    TCase *cases = tcase_create("del_range");

    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, a_large_range_goes_at_once_and_leaves_no_page);
    tcase_add_test(cases, an_older_snapshot_still_sees_the_range);
    tcase_add_test(cases, a_range_too_large_for_the_versions_is_refused_whole);
    tcase_add_test(cases, own_ranges_hide_what_is_older_and_nothing_newer);
    tcase_add_test(cases, a_batch_keeps_its_order);
    tcase_add_test(cases, a_range_conflicts_with_what_was_changed_in_it);
    tcase_add_test(cases, senseless_calls_are_refused);
    tcase_add_test(cases, what_was_cut_off_is_freed_when_the_file_is_opened_again);
    tcase_add_test(cases, readers_see_all_of_a_range_or_nothing);
    suite_add_tcase(suite, cases);
    return kv_main(suite);
}
