/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_kv_async.c: get queues: every read comes back once, with its own tag and the right bytes,
 * whatever the cache holds and whoever else reads and writes meanwhile.
 */
#include "tests/kv/kv_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"
#include "engine/pager/space.h"

enum { ROWS = 20000, VALUE = 200, DEPTH = 32, ROUNDS = 40000 };

static struct kv_folder folder;
static sdb_db *db;
static sdb_keyspace *keyspace;
static uint64_t random_state;

static uint64_t random_number(uint64_t most)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (random_state >> 33) % most;
}

static sdb_slice row_key(uint32_t row, char room[16])
{
    return (sdb_slice){room, (size_t)snprintf(room, 16, "row%08u", row)};
}

/* A row's value names the row and a version, and follows from both. */
static void put_row(sdb_txn *txn, uint32_t row, uint32_t version)
{
    uint8_t value[VALUE];
    char room[16];

    memcpy(value, &row, 4);
    memcpy(value + 4, &version, 4);
    kv_fill(value + 8, VALUE - 8, ((uint64_t)row << 32) | version);
    OK(sdb_put(txn, keyspace, row_key(row, room), (sdb_slice){value, VALUE}));
}

static void expect_row(const uint8_t *value, size_t size, uint32_t row)
{
    uint32_t named, version;

    ck_assert_uint_eq(size, VALUE);
    memcpy(&named, value, 4);
    memcpy(&version, value + 4, 4);
    ck_assert_uint_eq(named, row);
    ck_assert(kv_is_filled(value + 8, VALUE - 8, ((uint64_t)row << 32) | version));
}

static sdb_options small_cache(void)
{
    sdb_options options = SDB_OPTIONS_INIT;

    options.cache_bytes = MIB; /* of 4 MiB of rows */
    options.durability = SDB_DURABILITY_NONE;
    return options;
}

static void reopen(void)
{
    sdb_options options = small_cache();

    OK(sdb_close(db));
    OK(sdb_open(kv_in(&folder, "t.sdb"), &options, &db));
    keyspace = kv_keyspace(db, "rows");
}

static void setup(void)
{
    sdb_options options = small_cache();
    sdb_txn *txn;

    random_state = kv_seed("test_kv_async", 7);
    kv_folder_make(&folder);
    OK(sdb_open(kv_in(&folder, "t.sdb"), &options, &db));
    keyspace = kv_keyspace(db, "rows");
    for (uint32_t row = 0; row < ROWS;) {
        OK(sdb_txn_begin(db, SDB_TXN_BATCH, &txn));
        for (uint32_t i = 0; i < 1000; i++, row++) put_row(txn, row, 0);
        OK(sdb_txn_commit(txn));
    }
    reopen();
}

static void teardown(void)
{
    OK(sdb_close(db));
    kv_folder_remove(&folder);
}

/* One read that is out. */
struct slot {
    uint32_t row;
    bool out;
    uint8_t value[VALUE];
};

/* Takes back what has come, at least `least`; rows from ROWS on are not there. Returns how many. */
static unsigned take_back(sdb_get_queue *queue, struct slot *slots, unsigned least)
{
    sdb_get_result results[DEPTH];
    unsigned count;

    OK(sdb_get_queue_wait(queue, results, DEPTH, least, &count));
    for (unsigned i = 0; i < count; i++) {
        struct slot *slot = results[i].tag;

        ck_assert(slot >= slots && slot < slots + DEPTH && slot->out);
        slot->out = false;
        if (slot->row >= ROWS) {
            ck_assert_int_eq(results[i].status, SDB_NOTFOUND);
            continue;
        }
        ck_assert_int_eq(results[i].status, SDB_OK);
        expect_row(slot->value, results[i].size, slot->row);
    }
    return count;
}

/* Random reads through a queue of its own, with plain ones in between. */
static void read_many(unsigned rounds)
{
    struct slot *slots = calloc(DEPTH, sizeof *slots);
    sdb_get_queue *queue;
    unsigned out = 0;

    ck_assert_ptr_nonnull(slots);
    OK(sdb_get_queue_open(db, DEPTH, &queue));
    for (unsigned round = 0; round < rounds; round++) {
        struct slot *slot = slots;
        uint8_t value[VALUE];
        char room[16];
        size_t size;

        if (out == DEPTH) out -= take_back(queue, slots, 1);
        while (slot->out) slot++;
        slot->row = (uint32_t)random_number(ROWS + ROWS / 10);
        slot->out = true;
        OK(sdb_get_async(queue, keyspace, row_key(slot->row, room), slot->value, VALUE, slot));
        out++;
        if (round % 16) continue;
        slot = &slots[random_number(DEPTH)]; /* perhaps the page that is in flight just now */
        if (slot->row >= ROWS) continue;
        OK(sdb_get_copy(keyspace, row_key(slot->row, room), value, VALUE, &size));
        expect_row(value, size, slot->row);
    }
    while (out) out -= take_back(queue, slots, out);
    sdb_get_queue_close(queue);
    free(slots);
}

START_TEST(every_read_comes_back_with_its_tag)
{
    read_many(ROUNDS);
}
END_TEST

static _Atomic bool stopping;

static void *change_rows(void *context)
{
    uint64_t state = 99;

    (void)context;
    for (uint32_t version = 1; !atomic_load(&stopping); version++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        put_row(NULL, (uint32_t)((state >> 33) % ROWS), version);
        if (version % 5000 == 0) OK(sdb_checkpoint(db));
    }
    return NULL;
}

START_TEST(reads_are_true_while_rows_change)
{
    pthread_t writer;

    atomic_store(&stopping, false);
    ck_assert_int_eq(pthread_create(&writer, NULL, change_rows, NULL), 0);
    read_many(ROUNDS);
    atomic_store(&stopping, true);
    (void)pthread_join(writer, NULL);
}
END_TEST

START_TEST(long_keys_large_values_and_small_buffers)
{
    static char key[3000], large[100000], buffer[100000];
    sdb_slice long_key = {key, sizeof key};
    sdb_get_result results[4];
    sdb_get_queue *queue;
    unsigned count;
    bool seen[4] = {false};

    memset(key, 'k', sizeof key);
    memset(large, 'v', sizeof large);
    OK(sdb_put(NULL, keyspace, long_key, TEXT("of a long key")));
    OK(sdb_put(NULL, keyspace, TEXT("large"), (sdb_slice){large, sizeof large}));
    OK(sdb_get_queue_open(db, 4, &queue));
    OK(sdb_get_async(queue, keyspace, long_key, buffer, 20, &seen[0]));
    OK(sdb_get_async(queue, keyspace, TEXT("large"), buffer + 20, sizeof buffer - 20, &seen[1]));
    OK(sdb_get_async(queue, keyspace, TEXT("row00000001"), NULL, 0, &seen[2]));
    OK(sdb_get_async(queue, keyspace, TEXT("nowhere"), NULL, 0, &seen[3]));
    SAYS(sdb_get_async(queue, keyspace, TEXT("a"), NULL, 0, NULL), SDB_BUSY, "wait for some");
    OK(sdb_get_queue_wait(queue, results, 4, 4, &count));
    ck_assert_uint_eq(count, 4);
    for (unsigned i = 0; i < 4; i++) {
        static const sdb_status wanted[] = {SDB_OK, SDB_LIMIT, SDB_LIMIT, SDB_NOTFOUND};
        static const size_t sizes[] = {13, 100000, VALUE, 0};
        long which = (bool *)results[i].tag - seen;

        ck_assert(which >= 0 && which < 4 && !seen[which]);
        seen[which] = true;
        ck_assert_int_eq(results[i].status, wanted[which]);
        ck_assert_uint_eq(results[i].size, sizes[which]);
    }
    ck_assert_int_eq(memcmp(buffer, "of a long key", 13), 0);
    OK(sdb_get_async(queue, keyspace, TEXT("large"), buffer, sizeof buffer, NULL));
    OK(sdb_get_queue_wait(queue, results, 1, 1, &count));
    ck_assert_int_eq(results[0].status, SDB_OK);
    ck_assert_int_eq(memcmp(buffer, large, sizeof large), 0);
    sdb_get_queue_close(queue);
}
END_TEST

START_TEST(a_queue_keeps_the_database_open)
{
    uint8_t value[VALUE];
    sdb_get_queue *queue;
    sdb_get_result result;
    unsigned count;

    IS(sdb_get_queue_open(db, 0, &queue), SDB_INVALID);
    IS(sdb_get_queue_open(db, SDB_GET_QUEUE_DEPTH_MAX + 1, &queue), SDB_INVALID);
    OK(sdb_get_queue_open(db, 8, &queue));
    SAYS(sdb_close(db), SDB_BUSY, "get queue");
    OK(sdb_get_queue_wait(queue, &result, 1, 1, &count)); /* nothing is out */
    ck_assert_uint_eq(count, 0);
    OK(sdb_get_async(queue, keyspace, TEXT("row00000001"), value, VALUE, NULL));
    sdb_get_queue_close(queue); /* with a read in flight */
    OK(sdb_get_queue_open(db, 8, &queue));
    OK(sdb_keyspace_drop(keyspace));
    OK(sdb_get_async(queue, keyspace, TEXT("row00000001"), value, VALUE, NULL));
    OK(sdb_get_queue_wait(queue, &result, 1, 1, &count));
    ck_assert_int_eq(result.status, SDB_NOTFOUND);
    sdb_get_queue_close(queue);
}
END_TEST

/* Damages the leaves in a part of the file; what is above them every read needs. */
static void damage_leaves(FILE *file, long from, long to)
{
    static uint8_t page[8 * KIB];
    struct node n = {page, sizeof page};
    long step;

    for (long at = from; at < to; at += step) {
        step = SPACE_BLOCK;
        (void)fseek(file, at, SEEK_SET);
        if (fread(page, sizeof page, 1, file) != 1) break;
        if (node_level(n) > 0 || sdb__node_verify(page, sizeof page, node_id(n)) != NULL) continue;
        (void)fseek(file, at + 4000, SEEK_SET);
        (void)fputc(0xa5, file);
        (void)fputc(0x5a, file);
        step = sizeof page;
    }
}

START_TEST(a_damaged_page_fails_its_reads_only)
{
    sdb_get_result results[DEPTH];
    sdb_get_queue *queue;
    unsigned failed = 0, fine = 0, count;
    FILE *file;

    OK(sdb_close(db));
    file = fopen(kv_in(&folder, "t.sdb"), "r+b");
    ck_assert_ptr_nonnull(file);
    damage_leaves(file, MIB, 2 * MIB);
    (void)fclose(file);
    OK(sdb_open(kv_in(&folder, "t.sdb"), NULL, &db));
    keyspace = kv_keyspace(db, "rows");
    OK(sdb_get_queue_open(db, DEPTH, &queue));
    for (uint32_t row = 0; row < ROWS; row += DEPTH) {
        static uint8_t values[DEPTH][VALUE];

        for (unsigned i = 0; i < DEPTH; i++) {
            char room[16];

            OK(sdb_get_async(queue, keyspace, row_key((row + i * 97) % ROWS, room), values[i],
                             VALUE, NULL));
        }
        OK(sdb_get_queue_wait(queue, results, DEPTH, DEPTH, &count));
        ck_assert_uint_eq(count, DEPTH);
        for (unsigned i = 0; i < DEPTH; i++) {
            if (results[i].status == SDB_OK) fine++;
            else if (results[i].status == SDB_CORRUPT && strstr(sdb_errmsg(), "damaged")) failed++;
            else ck_abort_msg("%s", sdb_errmsg());
        }
    }
    ck_assert_uint_gt(failed, 0);
    ck_assert_uint_gt(fine, failed);
    sdb_get_queue_close(queue);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("async");
    TCase *cases = tcase_create("get queue");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, every_read_comes_back_with_its_tag);
    tcase_add_test(cases, reads_are_true_while_rows_change);
    tcase_add_test(cases, long_keys_large_values_and_small_buffers);
    tcase_add_test(cases, a_queue_keeps_the_database_open);
    tcase_add_test(cases, a_damaged_page_fails_its_reads_only);
    suite_add_tcase(suite, cases);
    return kv_main(suite);
}
