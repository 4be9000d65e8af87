/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prop_recovery.c: what recovery makes of the log of a random history is what the history made.
 *
 * A database with room for everything in memory lives through the history, each commit applied as
 * it came. File and log are copied while it is open, as a crash would leave them, and recovered
 * with a small cache, so in many batches; every entry is compared. SEED repeats a run, ROUNDS makes
 * it longer.
 */
#include "tests/kv/kv_fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/base/clock.h"

enum { SPACES = 3, KEYS = 400, COMMITS = 1500, VALUE_MOST = 70000 };

struct history {
    uint64_t random, serial;
    sdb_db *db;
    sdb_keyspace *spaces[SPACES];
    uint8_t value[VALUE_MOST];
    char key[3000];
};

static uint64_t below(struct history *h, uint64_t limit)
{
    return random_below(&h->random, limit);
}

/* Short and long keys; many begin with the same bytes. */
static sdb_slice pick_key(struct history *h)
{
    unsigned number = (unsigned)(below(h, 3) ? below(h, KEYS) : below(h, 5));
    size_t size = number % 7 == 0 ? 600 + number : 4 + number % 30;

    memset(h->key, 'a' + (int)(number % 3), size);
    (void)snprintf(h->key + size - 4, 5, "%04u", number);
    return (sdb_slice){h->key, size};
}

static sdb_slice pick_value(struct history *h)
{
    size_t size = (size_t)(below(h, 30) == 0 ? below(h, VALUE_MOST)
                                             : below(h, below(h, 2) ? 1500 : 40));

    kv_fill(h->value, size, ++h->serial);
    return (sdb_slice){h->value, size};
}

static void change(struct history *h, sdb_txn *txn)
{
    sdb_keyspace *space = h->spaces[below(h, SPACES)];

    if (below(h, 100) == 0) {
        sdb_slice lower = pick_key(h);
        char end[] = {((const char *)lower.data)[0], 'b', 0};
        sdb_slice upper = {end, 2};

        OK(sdb_del_range(txn, space, &(sdb_range){.lower = &lower, .upper = &upper}));
        return;
    }
    if (below(h, 4) == 0) {
        sdb_status status = sdb_del(txn, space, pick_key(h));

        if (status != SDB_NOTFOUND) OK(status);
    } else if (below(h, 5) == 0) {
        uint8_t operand[KV_OPERAND];

        OK(sdb_merge(txn, space, KV_MERGE, pick_key(h),
                     kv_operand(operand, ++h->serial, below(h, 5000))));
    } else {
        sdb_slice key = pick_key(h);

        OK(sdb_put(txn, space, key, pick_value(h)));
    }
}

static void commit(struct history *h)
{
    unsigned kind = (unsigned)below(h, 100);
    size_t most = below(h, 20) ? 4 : 200;
    sdb_txn *txn;

    if (kind == 0) {
        unsigned at = (unsigned)below(h, SPACES);
        char name[2] = {(char)('a' + at), 0};

        OK(sdb_keyspace_drop(h->spaces[at]));
        OK(sdb_keyspace_open(h->db, name, SDB_KEYSPACE_MUST_MAKE, &h->spaces[at]));
    } else if (kind < 60) {
        change(h, NULL);
    } else {
        OK(sdb_txn_begin(h->db, kind < 80 ? SDB_TXN_WRITE : SDB_TXN_BATCH, &txn));
        for (size_t i = below(h, most) + 1; i; i--) change(h, txn);
        OK(sdb_txn_commit(txn));
    }
}

/* Walks two databases in step. */
static void expect_same(sdb_db *a, sdb_db *b)
{
    for (unsigned i = 0; i < SPACES; i++) {
        char name[2] = {(char)('a' + i), 0};
        sdb_db *dbs[2] = {a, b};
        sdb_txn *txns[2];
        sdb_cursor *cursors[2];
        sdb_status status[2];

        for (int k = 0; k < 2; k++) {
            sdb_keyspace *space;

            OK(sdb_keyspace_open(dbs[k], name, SDB_KEYSPACE_MUST_EXIST, &space));
            OK(sdb_txn_begin(dbs[k], SDB_TXN_READ, &txns[k]));
            OK(sdb_cursor_open(txns[k], space, NULL, &cursors[k]));
        }
        for (;;) {
            sdb_slice keys[2], values[2];

            for (int k = 0; k < 2; k++) {
                status[k] = sdb_cursor_next(cursors[k], &keys[k], &values[k]);
                if (status[k] != SDB_END) OK(status[k]);
            }
            ck_assert_int_eq(status[0], status[1]);
            if (status[0] == SDB_END) break;
            ck_assert_uint_eq(keys[0].size, keys[1].size);
            ck_assert_int_eq(memcmp(keys[0].data, keys[1].data, keys[0].size), 0);
            ck_assert_uint_eq(values[0].size, values[1].size);
            ck_assert(values[0].size == 0 ||
                      memcmp(values[0].data, values[1].data, values[0].size) == 0);
        }
        for (int k = 0; k < 2; k++) {
            sdb_cursor_close(cursors[k]);
            sdb_txn_abort(txns[k]);
        }
    }
}

static void copy_file(const char *from, const char *to)
{
    static uint8_t block[MIB];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    size_t got;

    ck_assert(in && out);
    while ((got = fread(block, 1, sizeof block, in)) > 0)
        ck_assert_uint_eq(fwrite(block, 1, got, out), got);
    ck_assert_int_eq(fclose(in), 0);
    ck_assert_int_eq(fclose(out), 0);
}

/* Copies file and log, as a crash would leave them. Nobody has the copy open. */
static void copy_database(const struct kv_folder *folder)
{
    DIR *log = opendir(kv_in(folder, "t.sdb-wal"));
    struct dirent *entry;

    ck_assert(log);
    copy_file(kv_in(folder, "t.sdb"), kv_in(folder, "c.sdb"));
    ck_assert_int_eq(mkdir(kv_in(folder, "c.sdb-wal"), 0777), 0);
    while ((entry = readdir(log)) != NULL) {
        char from[300], to[300];

        if (entry->d_name[0] == '.') continue;
        (void)snprintf(from, sizeof from, "t.sdb-wal/%s", entry->d_name);
        (void)snprintf(to, sizeof to, "c.sdb-wal/%s", entry->d_name);
        copy_file(kv_in(folder, from), kv_in(folder, to));
    }
    ck_assert_int_eq(closedir(log), 0);
}

static int count_calls(void *context, sdb_phase phase, uint64_t done, uint64_t total)
{
    unsigned *calls = context;

    ck_assert(phase == SDB_PHASE_REPLAY || phase == SDB_PHASE_CHECKPOINT);
    ck_assert_uint_le(done, total);
    (*calls)++;
    return 0;
}

static int cancel(void *context, sdb_phase phase, uint64_t done, uint64_t total)
{
    (void)context;
    (void)phase;
    (void)done;
    (void)total;
    return 1;
}

/* Recovers the copy, once cancelled and once whole. */
static void expect_recovery(struct history *h, const struct kv_folder *folder, bool threads)
{
    sdb_options options = kv_options(4096);
    sdb_stats lived = {.size = sizeof lived}, stats = {.size = sizeof stats};
    unsigned calls = 0;
    sdb_db *copy;

    if (threads) options.flags &= ~(unsigned)SDB_OPEN_NO_THREADS;
    copy_database(folder);
    options.progress = cancel;
    SAYS(sdb_open(kv_in(folder, "c.sdb"), &options, &copy), SDB_CANCELLED, "cancelled");
    options.progress = count_calls;
    options.progress_context = &calls;
    OK(sdb_open(kv_in(folder, "c.sdb"), &options, &copy));
    ck_assert_uint_ge(calls, 1);
    OK(sdb_stat(copy, &stats));
    OK(sdb_stat(h->db, &lived));
    ck_assert_uint_eq(stats.commit_sequence, lived.commit_sequence);
    expect_same(h->db, copy);
    kv_check_sound(copy);
    OK(sdb_close(copy));
}

static void live(uint64_t seed)
{
    static struct history h;
    struct kv_folder folder;
    sdb_options options = kv_options(4096);

    h = (struct history){.random = seed};
    kv_folder_make(&folder);
    options.cache_bytes = 128 * (uint64_t)MIB;
    options.durability = SDB_DURABILITY_NONE;
    OK(sdb_open(kv_in(&folder, "t.sdb"), &options, &h.db));
    for (unsigned i = 0; i < SPACES; i++) {
        char name[2] = {(char)('a' + i), 0};

        h.spaces[i] = kv_keyspace(h.db, name);
    }
    for (unsigned part = 0; part < 2; part++) {
        for (unsigned i = 0; i < COMMITS; i++) commit(&h);
        expect_recovery(&h, &folder, below(&h, 2));
        if (below(&h, 2)) OK(sdb_checkpoint(h.db));
        change(&h, NULL); /* so that there is a log */
    }
    OK(sdb_close(h.db));
    kv_folder_remove(&folder);
}

START_TEST(recovered_is_what_was_lived)
{
    uint64_t random = kv_seed("prop_recovery", sdb__random_seed());

    for (uint64_t round = kv_number("ROUNDS", 3); round; round--) live(random_next(&random));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("prop_recovery");
    TCase *tcase = tcase_create("log");

    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, recovered_is_what_was_lived);
    suite_add_tcase(suite, tcase);
    return kv_main(suite);
}
