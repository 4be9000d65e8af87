/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_leaked.c: claims about damage in what nobody reads any more: a dropped keyspace, and what a
 * deleted range cut off, while it waits to be freed.
 */
#include "tests/kv/kv_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/pager/pool.h"
#include "index/btree/node.h"
#include "index/kv/database.h"
#include "index/kv/dict.h"

enum { SMALL = 300, LARGE = 4, LONG = 30, KEPT = 100, PAGES_MOST = 400 };

static uint8_t room[40000];

static sdb_slice numbered(unsigned i, size_t size)
{
    kv_fill(room, size, i + 1);
    return (sdb_slice){room, size};
}

static void put(sdb_keyspace *keyspace, const char *key, size_t key_size, sdb_slice value)
{
    MUST(sdb_put(NULL, keyspace, (sdb_slice){key, key_size}, value));
}

/* Leaves, inner nodes, layers in layers, large values. */
static void fill(sdb_keyspace *keyspace)
{
    static char key[4000];

    for (unsigned i = 0; i < SMALL; i++) {
        (void)snprintf(key, sizeof key, "%05u", i * 7919 % 100000);
        put(keyspace, key, 5, numbered(i, 150));
    }
    for (unsigned i = 0; i < LARGE; i++) {
        (void)snprintf(key, sizeof key, "large%u", i);
        put(keyspace, key, 6, numbered(i, 5000 + i * 10000));
    }
    memset(key, 'l', sizeof key);
    for (unsigned i = 0; i < LONG; i++) {
        (void)snprintf(key + 1500, 6, "%05u", i);
        key[1505] = 'l';
        put(keyspace, key, 1200 + i * 90, numbered(i, 100));
    }
}

static void fill_kept(sdb_db *db, unsigned round)
{
    sdb_keyspace *kept = kv_keyspace(db, "kept");
    char key[16];

    for (unsigned i = 0; i < KEPT; i++)
        put(kept, key, (size_t)snprintf(key, sizeof key, "%04u", i), numbered(i + round, 300));
}

static void expect_kept(sdb_db *db, unsigned round)
{
    sdb_keyspace *kept = kv_keyspace(db, "kept");
    sdb_slice seen;
    sdb_txn *txn = kv_begin(db, SDB_TXN_READ);
    char key[16];

    for (unsigned i = 0; i < KEPT; i++) {
        MUST(sdb_get(txn, kept,
                     (sdb_slice){key, (size_t)snprintf(key, sizeof key, "%04u", i)}, &seen));
        ck_assert_uint_eq(seen.size, 300);
        ck_assert(kv_is_filled(seen.data, seen.size, i + round + 1));
    }
    sdb_txn_abort(txn);
}

static sdb_stats stats_of(sdb_db *db)
{
    sdb_stats stats = {.size = sizeof stats};

    OK(sdb_stat(db, &stats));
    return stats;
}

struct stage {
    struct io *io; /* a closed database in which freeing has not begun */
    sdb_options options;
    uint64_t offsets[PAGES_MOST]; /* of the pages to be freed */
    size_t count;
};

/* Notes where the pages of a tree stand, but for its root (0: that too). */
static void note_pages(struct stage *s, sdb_db *db, uint32_t tree, uint64_t root)
{
    for (uint64_t id = 1; id < db->pager->next_id; id++) {
        struct map_entry entry = sdb__pool_entry(db->pager, id);
        struct page page;

        if (!place_is_page(entry.place) || id == root) continue;
        MUST(sdb__pager_latch_shared(db->pager, id, &page));
        if (node_tree((struct node){page.data, 4096}) == tree) {
            ck_assert_uint_lt(s->count, PAGES_MOST);
            s->offsets[s->count++] = place_offset(entry.place);
        }
        sdb__pager_unlatch_shared(db->pager, &page);
    }
}

/* `cut`: a range was deleted; otherwise the keyspace was dropped. */
static void begin(struct stage *s, bool cut)
{
    sdb_keyspace *gone;
    sdb_txn *reader;
    sdb_db *db;
    uint32_t id;

    *s = (struct stage){.io = kv_disk(1), .options = kv_options(4096)};
    db = kv_open(s->io, &s->options);
    gone = kv_keyspace(db, "gone");
    id = gone->tree.id;
    fill(gone);
    fill_kept(db, 0);
    if (cut) {
        db->has_workers = true; /* whose thread is late */
        OK(sdb_del_range(NULL, gone, NULL));
        db->has_workers = false;
        ck_assert_uint_gt(db->cut_count, 0);
    } else {
        reader = kv_begin(db, SDB_TXN_READ);
        OK(sdb_keyspace_drop(gone));
        sdb_txn_abort(reader);
    }
    ck_assert_uint_eq(atomic_exchange(&db->unfreed, 0), 1); /* so that closing does not free */
    OK(sdb_checkpoint(db));
    note_pages(s, db, id, cut ? gone->tree.root : 0);
    ck_assert_uint_gt(s->count, 20);
    OK(sdb_close(db));
}

/* What a check finds. */
struct found {
    unsigned count;
    char text[1024];
};

static void note_problem(void *context, const char *problem)
{
    struct found *found = context;

    found->count++;
    (void)snprintf(found->text, sizeof found->text, "%s", problem);
}

static void expect_one_problem(sdb_db *db, const char *words)
{
    sdb_check_result result = {.size = sizeof result};
    struct found found = {0};

    IS(sdb_check(db, note_problem, NULL, &found, &result), SDB_CORRUPT);
    ck_assert_msg(found.count == 1 && strstr(found.text, words) &&
                  strstr(found.text, "its space cannot be given back"), "%u problems, last: %s",
                  found.count, found.text);
}

START_TEST(sound_remains_are_freed_at_the_next_open)
{
    struct stage s;
    sdb_stats stats;
    sdb_db *db;

    begin(&s, _i);
    db = kv_open(s.io, &s.options);
    stats = stats_of(db);
    ck_assert_uint_eq(stats.leaked_trees, 0);
    ck_assert_uint_lt(stats.pages, 20);
    ck_assert_uint_eq(stats.extents, 0);
    expect_kept(db, 0);
    kv_check_sound(db);
    OK(sdb_close(db));
    sdb__io_free(s.io);
}
END_TEST

/* Each page in turn. */
START_TEST(damage_in_remains_costs_their_space_and_nothing_else)
{
    const char *words = _i ? "what was cut off keyspace" : "dropped keyspace";
    unsigned passed_over = 0;
    struct stage s;

    begin(&s, _i);
    for (size_t i = 0; i < s.count; i++) {
        sdb_stats first, later;
        sdb_status status;
        struct io *io;
        sdb_db *db;

        OK(sdb__sim_clone(s.io, i, &io));
        OK(sdb__sim_flip(io, KV_PATH, s.offsets[i] + 2000, 3));
        db = kv_open(io, &s.options);
        first = stats_of(db);
        ck_assert_uint_eq(first.leaked_trees, 1);
        expect_one_problem(db, words);
        expect_kept(db, 0);
        fill_kept(db, 1);
        OK(sdb_checkpoint(db));
        if (i % 3 == 0) db = kv_lose_power(io, &s.options, db);
        for (unsigned round = 0; round < 3; round++) db = kv_reopen(io, &s.options, db);
        later = stats_of(db);
        ck_assert_uint_eq(later.leaked_trees, 1);
        ck_assert_uint_le(later.pages, first.pages + 1);
        ck_assert_uint_eq(later.extents, first.extents);
        expect_kept(db, 1);
        status = sdb_vacuum(db, 0, NULL, NULL);
        ck_assert_msg(status == SDB_OK || status == SDB_CORRUPT, "%s", sdb_errmsg());
        if (status == SDB_CORRUPT) {
            ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "stays where it is"));
            passed_over++;
        }
        expect_kept(db, 1);
        expect_one_problem(db, words);
        OK(sdb_close(db));
        sdb__io_free(io);
    }
    ck_assert_uint_gt(passed_over, 0);
    sdb__io_free(s.io);
}
END_TEST

/* Makes the keyspace "gone", which has a dictionary. */
static sdb_keyspace *with_dictionary(sdb_db *db)
{
    static const uint8_t bytes[4096] = {1, 2, 3};
    sdb_keyspace_options options = SDB_KEYSPACE_OPTIONS_INIT;
    const struct dictionary *dictionary;
    sdb_keyspace *gone;

    options.compression = SDB_COMPRESSION_ZSTD;
    OK(sdb_keyspace_make(db, "gone", &options, &gone));
    OK(sdb__dict_keep(gone, bytes, sizeof bytes, &dictionary));
    return gone;
}

/* Its pages, which stay, may be packed with them. */
START_TEST(dictionaries_outlive_leaked_pages)
{
    struct stage s = {.io = kv_disk(2), .options = kv_options(4096)};
    sdb_db *db = kv_open(s.io, &s.options);
    sdb_keyspace *gone = with_dictionary(db);

    fill(gone);
    db->has_workers = true;
    OK(sdb_del_range(NULL, gone, NULL));
    db->has_workers = false;
    atomic_store(&db->unfreed, 0);
    OK(sdb_checkpoint(db));
    note_pages(&s, db, gone->tree.id, gone->tree.root);
    OK(sdb_close(db));
    OK(sdb__sim_flip(s.io, KV_PATH, s.offsets[s.count / 2] + 20, 3));
    db = kv_open(s.io, &s.options);
    ck_assert_uint_eq(stats_of(db).leaked_trees, 1);
    OK(sdb_keyspace_drop(kv_keyspace(db, "gone")));
    ck_assert_uint_eq(stats_of(db).leaked_trees, 2);
    db = kv_reopen(s.io, &s.options, db);
    ck_assert_uint_eq(stats_of(db).leaked_trees, 2);
    expect_one_problem(db, "what was cut off keyspace");
    OK(sdb_close(db));
    sdb__io_free(s.io);
}
END_TEST

START_TEST(a_dictionary_that_is_nowhere_does_not_keep_its_keyspace)
{
    struct stage s = {.io = kv_disk(3), .options = kv_options(4096)};
    struct extent extent;
    sdb_db *db = kv_open(s.io, &s.options);

    (void)with_dictionary(db);
    OK(sdb__pager_extent_detach(db->pager, db->dicts[0].extent, db->dicts[0].size, &extent));
    sdb__pager_extent_release(db->pager, &extent);
    db = kv_reopen(s.io, &s.options, db);
    OK(sdb_keyspace_drop(kv_keyspace(db, "gone")));
    ck_assert_uint_eq(stats_of(db).leaked_trees, 0);
    db = kv_reopen(s.io, &s.options, db);
    ck_assert_uint_eq(stats_of(db).keyspaces, 0);
    kv_check_sound(db);
    OK(sdb_close(db));
    sdb__io_free(s.io);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("leaked");
    TCase *tcase = tcase_create("leaked");

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, sound_remains_are_freed_at_the_next_open, 0, 2);
    tcase_add_loop_test(tcase, damage_in_remains_costs_their_space_and_nothing_else, 0, 2);
    tcase_add_test(tcase, dictionaries_outlive_leaked_pages);
    tcase_add_test(tcase, a_dictionary_that_is_nowhere_does_not_keep_its_keyspace);
    suite_add_tcase(suite, tcase);
    return kv_main(suite);
}
