/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prop_named.c: named snapshots against copies of a model, while everything that moves, frees and
 * reuses space goes on, and through clean ends, power failures and refused steps.
 *
 * SEED moves it, NAMED_STEPS makes it longer.
 */
#include "tests/kv/kv_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"

enum { KEYS = 240, SPACES = 2, NAMES = 6, LARGE_MOST = 60000 };

struct entry {
    uint64_t seed; /* 0: there is none */
    size_t size;
};

struct state {
    bool there; /* of a snapshot: it is made */
    struct entry entries[SPACES][KEYS];
    bool spaces[SPACES];
};

struct world {
    struct io *io;
    sdb_options options;
    sdb_db *db;
    sdb_keyspace *spaces[SPACES];
    struct state now, kept[NAMES];
    sdb_db *open[NAMES];
    uint64_t random, serial, compared;
    uint8_t room[LARGE_MOST];
};

static const char *const space_names[SPACES] = {"plain", "packed"};
static const char *const names[NAMES] = {"a", "monday", "tuesday", "b c", "z", "\xc3\xa4"};

static unsigned below(struct world *w, unsigned limit)
{
    return (unsigned)random_below(&w->random, limit);
}

/* Every 16th key is longer than a page's keys can be. */
static sdb_slice key_of(unsigned i)
{
    static char key[1200];
    size_t size = 0;

    if (i % 16 == 5) {
        size = 300 + i % 3 * 256;
        memset(key, 'k', size);
    }
    size += (size_t)snprintf(key + size, 16, "%06u", i * 7919 % 1000000);
    return (sdb_slice){key, size};
}

static int compare_entries(const void *a, const void *b)
{
    char key[1200];
    sdb_slice x = key_of(*(const unsigned *)a), y;

    memcpy(key, x.data, x.size);
    y = key_of(*(const unsigned *)b);
    return compare_bytes((const uint8_t *)key, x.size, y.data, y.size);
}

/* ---- comparing ----------------------------------------------------------------------------- */

static void expect_space(struct world *w, sdb_db *db, const struct state *s, unsigned space,
                         const unsigned *order)
{
    sdb_keyspace *keyspace;
    sdb_slice key, value;
    sdb_cursor *cursor;
    sdb_txn *txn;

    if (!s->spaces[space]) {
        IS(sdb_keyspace_open(db, space_names[space], SDB_KEYSPACE_MUST_EXIST, &keyspace),
           SDB_NOTFOUND);
        return;
    }
    MUST(sdb_keyspace_open(db, space_names[space], SDB_KEYSPACE_MUST_EXIST, &keyspace));
    MUST(sdb_txn_begin(db, SDB_TXN_READ, &txn));
    MUST(sdb_cursor_open(txn, keyspace, NULL, &cursor));
    for (unsigned i = 0; i < KEYS; i++) {
        const struct entry *e = &s->entries[space][order[i]];
        sdb_slice wanted = key_of(order[i]);

        if (!e->seed) continue;
        MUST(sdb_cursor_next(cursor, &key, &value));
        if (key.size != wanted.size || memcmp(key.data, wanted.data, key.size) != 0)
            ck_abort_msg("another key than %u", order[i]);
        if (value.size != e->size || !kv_is_filled(value.data, value.size, e->seed))
            ck_abort_msg("key %u has another value", order[i]);
    }
    IS(sdb_cursor_next(cursor, &key, &value), SDB_END);
    sdb_cursor_close(cursor);
    sdb_txn_abort(txn);
    w->compared++;
}

static void expect_state(struct world *w, sdb_db *db, const struct state *s)
{
    static unsigned order[KEYS];

    if (order[0] == order[1]) {
        for (unsigned i = 0; i < KEYS; i++) order[i] = i;
        qsort(order, KEYS, sizeof *order, compare_entries);
    }
    for (unsigned i = 0; i < SPACES; i++) expect_space(w, db, s, i, order);
}

/* The list is that of the model. */
static void expect_list(struct world *w)
{
    sdb_snapshot_info info = {.size = sizeof info};
    const char *after = NULL;
    sdb_stats stats = {.size = sizeof stats};
    char last[SDB_SNAPSHOT_NAME_MAX + 1];
    unsigned count = 0, wanted = 0;

    while (sdb_snapshot_next(w->db, after, &info) == SDB_OK) {
        bool known = false;

        for (unsigned i = 0; i < NAMES; i++)
            known |= w->kept[i].there && strcmp(info.name, names[i]) == 0;
        ck_assert_msg(known, "there is a snapshot %s", info.name);
        memcpy(last, info.name, sizeof last);
        after = last;
        count++;
    }
    for (unsigned i = 0; i < NAMES; i++) wanted += w->kept[i].there;
    ck_assert_uint_eq(count, wanted);
    MUST(sdb_stat(w->db, &stats));
    ck_assert_uint_eq(stats.named_snapshots, wanted);
    if (wanted == 0) ck_assert_uint_eq(stats.snapshot_bytes, 0);
}

static void close_views(struct world *w)
{
    for (unsigned i = 0; i < NAMES; i++) {
        if (w->open[i]) MUST(sdb_close(w->open[i]));
        w->open[i] = NULL;
    }
}

static void expect_all(struct world *w)
{
    expect_list(w);
    expect_state(w, w->db, &w->now);
    for (unsigned i = 0; i < NAMES; i++) {
        if (!w->kept[i].there) continue;
        if (!w->open[i]) MUST(sdb_snapshot_open(w->db, names[i], &w->open[i]));
        expect_state(w, w->open[i], &w->kept[i]);
    }
}

/* ---- steps --------------------------------------------------------------------------------- */

static void find_spaces(struct world *w)
{
    for (unsigned i = 0; i < SPACES; i++) {
        w->spaces[i] = NULL;
        if (w->now.spaces[i])
            MUST(sdb_keyspace_open(w->db, space_names[i], SDB_KEYSPACE_MUST_EXIST, &w->spaces[i]));
    }
}

static void toggle_space(struct world *w, unsigned space)
{
    sdb_keyspace_options options = SDB_KEYSPACE_OPTIONS_INIT;

    options.compression = space ? SDB_COMPRESSION_ZSTD : SDB_COMPRESSION_NONE;
    if (w->now.spaces[space]) {
        MUST(sdb_keyspace_drop(w->spaces[space]));
        memset(w->now.entries[space], 0, sizeof w->now.entries[space]);
    } else {
        MUST(sdb_keyspace_make(w->db, space_names[space], &options, &w->spaces[space]));
    }
    w->now.spaces[space] = !w->now.spaces[space];
    find_spaces(w);
}

static void write_some(struct world *w)
{
    unsigned space = below(w, SPACES), first = below(w, KEYS), count = 1 + below(w, 60);
    sdb_txn *txn;

    if (!w->now.spaces[space]) return;
    MUST(sdb_txn_begin(w->db, SDB_TXN_BATCH, &txn));
    for (unsigned i = 0; i < count; i++) {
        unsigned k = (first + i) % KEYS;
        struct entry *e = &w->now.entries[space][k];

        if (below(w, 5) == 0) {
            sdb_status status = sdb_del(txn, w->spaces[space], key_of(k));

            if (status != SDB_NOTFOUND) MUST(status);
            *e = (struct entry){0};
            continue;
        }
        *e = (struct entry){++w->serial, below(w, 30) ? below(w, 400) : below(w, LARGE_MOST)};
        kv_fill(w->room, e->size, e->seed);
        MUST(sdb_put(txn, w->spaces[space], key_of(k), (sdb_slice){w->room, e->size}));
    }
    MUST(sdb_txn_commit(txn));
}

static void delete_range(struct world *w)
{
    unsigned space = below(w, SPACES);
    sdb_slice prefix = TEXT("0");
    sdb_range range = {.prefix = prefix};

    if (!w->now.spaces[space]) return;
    MUST(sdb_del_range(NULL, w->spaces[space], &range));
    for (unsigned k = 0; k < KEYS; k++)
        if (*(const char *)key_of(k).data == '0') w->now.entries[space][k] = (struct entry){0};
}

static void make_or_drop(struct world *w)
{
    unsigned i = below(w, NAMES);
    sdb_db *db;

    if (!w->kept[i].there) {
        IS(sdb_snapshot_drop(w->db, names[i]), SDB_NOTFOUND);
        IS(sdb_snapshot_open(w->db, names[i], &db), SDB_NOTFOUND);
        MUST(sdb_snapshot_make(w->db, names[i]));
        w->kept[i] = w->now;
        w->kept[i].there = true;
        return;
    }
    IS(sdb_snapshot_make(w->db, names[i]), SDB_EXISTS);
    if (w->open[i]) {
        IS(sdb_snapshot_drop(w->db, names[i]), SDB_BUSY);
        MUST(sdb_close(w->open[i]));
        w->open[i] = NULL;
    }
    MUST(sdb_snapshot_drop(w->db, names[i]));
    w->kept[i].there = false;
}

/* Ends the handle, cleanly or by a power failure, and opens again. */
static void open_again(struct world *w, bool cleanly)
{
    if (cleanly) {
        close_views(w);
        MUST(sdb_close(w->db));
        if (below(w, 2)) kv_check_file_sound(w->io);
    } else {
        MUST(sdb__sim_restart(w->io, random_next(&w->random) | 1));
        for (unsigned i = 0; i < NAMES; i++) (void)!sdb_close(w->open[i]);
        memset(w->open, 0, sizeof w->open);
        (void)!sdb_close(w->db);
    }
    w->db = kv_open(w->io, &w->options);
    find_spaces(w);
}

/*
 * The disk is full in the midst of making one: then it is not there, and the handle goes on, or
 * was told so in the worst place and is opened anew.
 */
static void make_refused(struct world *w)
{
    unsigned i = below(w, NAMES);
    struct sim_faults faults = {.fail_full_at = 1 + below(w, 12)}, none = {0};
    sdb_status status;

    if (w->kept[i].there) return;
    sdb__sim_set_faults(w->io, &faults);
    status = sdb_snapshot_make(w->db, names[i]);
    sdb__sim_set_faults(w->io, &none);
    if (status == SDB_OK) {
        w->kept[i] = w->now;
        w->kept[i].there = true;
        return;
    }
    ck_assert_int_lt(status, 0);
    if (sdb_checkpoint(w->db) != SDB_OK) open_again(w, false);
    expect_list(w);
}

static void step(struct world *w)
{
    switch (below(w, 24)) {
    case 0: MUST(sdb_checkpoint(w->db)); break;
    case 1: MUST(sdb_vacuum(w->db, 0, NULL, NULL)); break;
    case 2: MUST(sdb_vacuum(w->db, SDB_VACUUM_HOLES, NULL, NULL)); break;
    case 3: delete_range(w); break;
    case 4: open_again(w, below(w, 2)); break;
    case 5:
        if (below(w, 3) == 0) toggle_space(w, below(w, SPACES));
        break;
    case 6: kv_check_sound(w->db); break;
    case 7: expect_all(w); break;
    case 8: close_views(w); break;
    case 9: make_refused(w); break;
    case 10:
    case 11:
    case 12: make_or_drop(w); break;
    default: write_some(w); break;
    }
}

START_TEST(snapshots_read_as_they_were_made_whatever_happens_since)
{
    struct world *w = calloc(1, sizeof *w);
    uint64_t steps = kv_number("NAMED_STEPS", 1500);

    ck_assert_ptr_nonnull(w);
    w->random = kv_seed("prop_named", 4711) + (uint64_t)_i * 1000;
    w->io = kv_disk(w->random);
    w->options = kv_options(_i % 2 ? 8192 : 4096);
    w->db = kv_open(w->io, &w->options);
    for (unsigned i = 0; i < SPACES; i++) toggle_space(w, i);
    for (uint64_t i = 0; i < steps; i++) step(w);
    expect_all(w);
    close_views(w);
    for (unsigned i = 0; i < NAMES; i++)
        if (w->kept[i].there) make_or_drop(w); /* a name at random: some stay */
    expect_all(w);
    close_views(w);
    kv_check_sound(w->db);
    MUST(sdb_close(w->db));
    kv_check_file_sound(w->io);
    printf("%llu keyspaces compared\n", (unsigned long long)w->compared);
    sdb__io_free(w->io);
    free(w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("prop_named");
    TCase *cases = tcase_create("named");

    tcase_set_timeout(cases, 300);
    tcase_add_loop_test(cases, snapshots_read_as_they_were_made_whatever_happens_since, 0, 4);
    suite_add_tcase(suite, cases);
    return kv_main(suite);
}
