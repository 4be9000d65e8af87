/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_stress.c: several threads call everything that include/sdb offers, in random order, on one
 * handle; no call answers what its header does not say, and no value is anything that nobody wrote.
 *
 * Little is known of what the answers must be (tests/prop and tests/histories judge that): this is
 * for the sanitizers. SEED sets what is called, CALLS how often, THREADS by how many.
 */
#include "tests/kv/kv_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"

enum { THREADS_MOST = 8, CALLS = 1200, KEYS = 300, VALUE_MOST = 24000, SPACES = 3, IN_FLIGHT = 8 };

/* Answers OK, or something of the list. */
#define ALLOW(call, ...)                                                                           \
    allow((call), #call, (const sdb_status[]){__VA_ARGS__, SDB_OK})

struct walker {
    pthread_t thread;
    uint64_t random;
    unsigned number;
    uint8_t value[VALUE_MOST];
    uint8_t copies[IN_FLIGHT][VALUE_MOST];
    char keys[IN_FLIGHT + 2][3000];
};

static sdb_db *db;
static struct kv_folder folder;
static const char *const names[SPACES] = {"one", "two", "now and then"};
static _Atomic uint64_t serial;

static sdb_status allow(sdb_status status, const char *call, const sdb_status *list)
{
    for (size_t i = 0; status != list[i]; i++)
        if (list[i] == SDB_OK)
            ck_abort_msg("%s: %s (%s)", call, sdb_status_name(status), sdb_errmsg());
    return status;
}

static uint64_t below(struct walker *w, uint64_t limit)
{
    return random_below(&w->random, limit);
}

/* A random key, in memory number `at`; some are longer than a page holds. */
static sdb_slice some_key(struct walker *w, unsigned at)
{
    unsigned number = (unsigned)below(w, KEYS);
    int size = snprintf(w->keys[at], sizeof w->keys[at], "%03u", number);

    if (number % 20 == 0) {
        memset(w->keys[at] + size, 'x', 2000);
        size += 2000;
    }
    return (sdb_slice){w->keys[at], (size_t)size};
}

/* A value tells by itself whether it is one. */
static sdb_slice some_value(struct walker *w)
{
    size_t size = 8 + (size_t)below(w, below(w, 30) ? 200 : VALUE_MOST - 8);
    uint64_t number = atomic_fetch_add(&serial, 1);

    put_u64(w->value, number);
    kv_fill(w->value + 8, size - 8, number);
    return (sdb_slice){w->value, size};
}

static void judge(const void *data, size_t size)
{
    if (size < 8 || !kv_is_filled((const uint8_t *)data + 8, size - 8, get_u64(data)))
        ck_abort_msg("a value of %zu bytes that nobody has written", size);
}

/* A keyspace, made if need be. */
static sdb_keyspace *some_space(struct walker *w)
{
    sdb_keyspace *keyspace;

    MUST(sdb_keyspace_open(db, names[below(w, SPACES)], 0, &keyspace));
    return keyspace;
}

static sdb_range some_range(struct walker *w, sdb_slice bounds[2])
{
    sdb_range range = {0};

    bounds[0] = some_key(w, IN_FLIGHT);
    bounds[1] = some_key(w, IN_FLIGHT + 1);
    if (below(w, 4)) range.lower = &bounds[0];
    if (below(w, 4)) range.upper = &bounds[1];
    if (below(w, 4) == 0) range.prefix = (sdb_slice){"1", 1};
    return range;
}

/* ---- in a transaction --------------------------------------------------------------------- */

static void walk(struct walker *w, sdb_txn *txn, sdb_keyspace *keyspace)
{
    sdb_slice bounds[2], key, value = {0};
    sdb_range range = some_range(w, bounds);
    sdb_cursor *cursor;

    if (ALLOW(sdb_cursor_open(txn, keyspace, &range, &cursor), SDB_NOTFOUND) != SDB_OK) return;
    for (uint64_t left = below(w, 60); left; left--) {
        sdb_status status = SDB_END;

        switch (below(w, 12)) {
        case 0: status = sdb_cursor_first(cursor, &key, &value); break;
        case 1: status = sdb_cursor_last(cursor, &key, &value); break;
        case 2: status = sdb_cursor_seek(cursor, some_key(w, 0), &key, &value); break;
        case 3: status = sdb_cursor_seek_back(cursor, some_key(w, 0), &key, &value); break;
        case 4: status = sdb_cursor_prev(cursor, &key, &value); break;
        default: status = sdb_cursor_next(cursor, &key, &value); break;
        }
        if (ALLOW(status, SDB_END, SDB_NOTFOUND) == SDB_OK) judge(value.data, value.size);
    }
    sdb_cursor_close(cursor);
}

static void read_something(struct walker *w, sdb_txn *txn)
{
    sdb_keyspace *keyspace = some_space(w);
    sdb_slice bounds[2], value;
    sdb_range range = some_range(w, bounds);
    uint64_t count;

    switch (below(w, 4)) {
    case 0: (void)ALLOW(sdb_count(txn, keyspace, &range, &count), SDB_NOTFOUND); break;
    case 1: walk(w, txn, keyspace); break;
    default:
        if (ALLOW(sdb_get(txn, keyspace, some_key(w, 0), &value), SDB_NOTFOUND) == SDB_OK)
            judge(value.data, value.size);
        (void)ALLOW(sdb_expiry_get(txn, keyspace, some_key(w, 0), &count), SDB_NOTFOUND);
    }
}

/* Soon, long ago, or never. */
static uint64_t some_expiry(struct walker *w)
{
    return below(w, 3) ? sdb__db_now_ms(db) - 20 + below(w, 60) : below(w, 2);
}

static void change_something(struct walker *w, sdb_txn *txn, bool batch)
{
    sdb_keyspace *keyspace = some_space(w);
    sdb_slice bounds[2], key = some_key(w, 0);
    sdb_range range = some_range(w, bounds);

    switch (below(w, 12)) {
    case 0: (void)ALLOW(sdb_del_range(txn, keyspace, &range), SDB_NOTFOUND); break;
    case 1:
    case 2:
    case 3: (void)ALLOW(sdb_del(txn, keyspace, key), SDB_NOTFOUND); break;
    case 4:
        if (!batch)
            (void)ALLOW(sdb_insert(txn, keyspace, key, some_value(w)), SDB_EXISTS, SDB_NOTFOUND);
        break;
    case 5: (void)ALLOW(sdb_merge(txn, keyspace, below(w, 2) ? SDB_MERGE_MAX : SDB_MERGE_USER, key,
                                  some_value(w)), SDB_NOTFOUND);
        break;
    case 6: (void)ALLOW(sdb_put_expiring(txn, keyspace, key, some_value(w), some_expiry(w)),
                        SDB_NOTFOUND);
        break;
    case 7:
        if (!batch)
            (void)ALLOW(sdb_expiry_set(txn, keyspace, key, some_expiry(w)), SDB_NOTFOUND);
        break;
    default: (void)ALLOW(sdb_put(txn, keyspace, key, some_value(w)), SDB_NOTFOUND);
    }
}

/* A merge operator that puts: in two pieces. */
static sdb_status take_operand(void *context, const sdb_slice *old, const sdb_slice *operand,
                               sdb_merge_result *result)
{
    size_t half = operand->size / 2;
    sdb_status status = sdb_merge_emit(result, operand->data, half);

    (void)context;
    (void)old;
    if (status != SDB_OK) return status;
    return sdb_merge_emit(result, (const uint8_t *)operand->data + half, operand->size - half);
}

/* ---- what a thread does ------------------------------------------------------------------- */

static void read_in_a_transaction(struct walker *w)
{
    sdb_txn *txn;

    MUST(sdb_txn_begin(db, SDB_TXN_READ, &txn));
    for (uint64_t left = 1 + below(w, 6); left; left--) read_something(w, txn);
    if (below(w, 2))
        MUST(sdb_txn_commit(txn));
    else
        sdb_txn_abort(txn);
}

static void write_in_a_transaction(struct walker *w)
{
    unsigned flags = below(w, 3) ? SDB_TXN_WRITE : SDB_TXN_WRITE | SDB_TXN_SERIALIZABLE;
    uint64_t savepoint;
    sdb_txn *txn;

    MUST(sdb_txn_begin(db, flags, &txn));
    for (uint64_t left = 1 + below(w, 6); left; left--) {
        change_something(w, txn, false);
        read_something(w, txn);
    }
    MUST(sdb_savepoint_set(txn, &savepoint));
    change_something(w, txn, false);
    if (below(w, 2)) MUST(sdb_savepoint_rollback(txn, savepoint));
    sdb_txn_set_durability(txn, (sdb_durability)below(w, 4));
    if (below(w, 8) == 0)
        sdb_txn_abort(txn);
    else
        (void)ALLOW(sdb_txn_commit(txn), SDB_CONFLICT, SDB_NOTFOUND, SDB_LIMIT);
}

static void write_a_batch(struct walker *w)
{
    sdb_txn *txn;

    MUST(sdb_txn_begin(db, SDB_TXN_BATCH, &txn));
    for (uint64_t left = below(w, 10) ? 4 : 400; left; left--) change_something(w, txn, true);
    sdb_txn_set_durability(txn, SDB_DURABILITY_NONE);
    (void)ALLOW(sdb_txn_commit(txn), SDB_NOTFOUND, SDB_LIMIT);
}

static sdb_status run_once(sdb_txn *txn, void *context)
{
    read_something(context, txn);
    change_something(context, txn, false);
    return SDB_OK;
}

static void run_until_it_fits(struct walker *w)
{
    (void)ALLOW(sdb_txn_run(db, SDB_TXN_WRITE, run_once, w, 1000), SDB_CONFLICT, SDB_NOTFOUND,
                SDB_LIMIT);
}

static void use_no_transaction(struct walker *w)
{
    sdb_keyspace *keyspace = some_space(w);
    sdb_slice bounds[2];
    sdb_range range = some_range(w, bounds);
    uint64_t count;
    size_t size;

    if (below(w, 3) == 0) {
        change_something(w, NULL, true);
        return;
    }
    (void)ALLOW(sdb_count_approx(keyspace, &range, &count), SDB_NOTFOUND);
    if (ALLOW(sdb_get_copy(keyspace, some_key(w, 0), w->copies[0], VALUE_MOST, &size),
              SDB_NOTFOUND) == SDB_OK)
        judge(w->copies[0], size);
}

static void change_keyspaces(struct walker *w)
{
    char name[SDB_KEYSPACE_NAME_MAX + 1], *after = NULL;
    sdb_keyspace_options options = SDB_KEYSPACE_OPTIONS_INIT;
    sdb_keyspace_stats stats = {.size = sizeof stats};
    sdb_keyspace *keyspace;
    uint64_t ttl_ms;

    while (ALLOW(sdb_keyspace_next(db, after, name), SDB_END) == SDB_OK) after = name;
    if (ALLOW(sdb_keyspace_open(db, names[2], SDB_KEYSPACE_MUST_EXIST, &keyspace), SDB_NOTFOUND) !=
        SDB_OK) {
        options.compression = (sdb_compression)below(w, 3);
        (void)ALLOW(sdb_keyspace_make(db, names[2], &options, &keyspace), SDB_EXISTS);
        return;
    }
    if (strcmp(sdb_keyspace_name(keyspace), names[2]) != 0) ck_abort_msg("another name");
    (void)ALLOW(sdb_keyspace_stat(keyspace, &stats), SDB_NOTFOUND);
    (void)ALLOW(sdb_keyspace_train(keyspace, 1000, SDB_TRAIN_REWRITE, NULL, NULL, NULL),
                SDB_NOTFOUND, SDB_INVALID, SDB_BUSY, SDB_LIMIT);
    (void)ALLOW(sdb_keyspace_set_ttl(keyspace, below(w, 30)), SDB_NOTFOUND);
    (void)ALLOW(sdb_keyspace_ttl(keyspace, &ttl_ms), SDB_NOTFOUND);
    (void)ALLOW(sdb_expire(db, below(w, 20), NULL), SDB_NOTFOUND);
    if (below(w, 3) == 0) (void)ALLOW(sdb_keyspace_drop(keyspace), SDB_NOTFOUND);
}

static void read_many_at_once(struct walker *w)
{
    sdb_get_result results[IN_FLIGHT];
    sdb_get_queue *queue;
    unsigned sent = 0, back = 0;

    MUST(sdb_get_queue_open(db, IN_FLIGHT, &queue));
    while (sent < IN_FLIGHT) {
        if (ALLOW(sdb_get_async(queue, some_space(w), some_key(w, sent), w->copies[sent],
                                VALUE_MOST, w->copies[sent]), SDB_NOTFOUND) != SDB_OK)
            break;
        sent++;
    }
    while (back < sent && below(w, 20)) {
        unsigned count;

        MUST(sdb_get_queue_wait(queue, results, IN_FLIGHT, 1, &count));
        for (unsigned i = 0; i < count; i++)
            if (ALLOW(results[i].status, SDB_NOTFOUND) == SDB_OK)
                judge(results[i].tag, results[i].size);
        back += count;
    }
    sdb_get_queue_close(queue);
}

static void follow_the_changes(struct walker *w)
{
    sdb_committed commit;
    sdb_changes *changes;

    MUST(sdb_changes_open(db, 0, below(w, 2) ? MIB : 0, &changes));
    write_a_batch(w);
    for (uint64_t left = below(w, 6); left; left--)
        (void)ALLOW(sdb_changes_next(changes, 1, &commit), SDB_TIMEOUT, SDB_NOTFOUND);
    sdb_changes_close(changes);
}

static void copy_it(struct walker *w)
{
    sdb_restore_options options = {.size = sizeof options};
    sdb_restore_result result = {.size = sizeof result};
    char copy[512], again[512];

    (void)snprintf(copy, sizeof copy, "%s/copy-%u", folder.path, w->number);
    (void)snprintf(again, sizeof again, "%s/again-%u", folder.path, w->number);
    MUST(sdb_backup(db, copy, NULL, NULL));
    if (below(w, 2)) {
        MUST(sdb_check_file(copy, NULL, NULL, NULL, NULL, NULL));
    } else {
        MUST(sdb_restore(copy, again, &options, &result));
        (void)unlink(again);
    }
    (void)unlink(copy);
}

/* Reads some keys of a named snapshot. */
static void look_into(struct walker *w, sdb_db *view)
{
    sdb_keyspace *keyspace;
    sdb_slice value;
    sdb_txn *txn;

    if (ALLOW(sdb_keyspace_open(view, names[below(w, SPACES)], SDB_KEYSPACE_MUST_EXIST, &keyspace),
              SDB_NOTFOUND) != SDB_OK)
        return;
    MUST(sdb_txn_begin(view, SDB_TXN_READ, &txn));
    for (uint64_t left = below(w, 40); left; left--)
        if (ALLOW(sdb_get(txn, keyspace, some_key(w, 0), &value), SDB_NOTFOUND) == SDB_OK)
            judge(value.data, value.size);
    walk(w, txn, keyspace);
    sdb_txn_abort(txn);
}

static void use_snapshots(struct walker *w)
{
    static const char *const snapshots[3] = {"s", "t", "u"};
    const char *name = snapshots[below(w, 3)];
    sdb_snapshot_info info = {.size = sizeof info};
    sdb_db *view;

    if (ALLOW(sdb_snapshot_next(db, NULL, &info), SDB_END) == SDB_OK && info.made_ms == 0)
        ck_abort_msg("a snapshot without a time");
    if (ALLOW(sdb_snapshot_open(db, name, &view), SDB_NOTFOUND, SDB_LIMIT) == SDB_OK) {
        look_into(w, view);
        MUST(sdb_close(view));
    }
    if (below(w, 2))
        (void)ALLOW(sdb_snapshot_make(db, name), SDB_EXISTS);
    else
        (void)ALLOW(sdb_snapshot_drop(db, name), SDB_NOTFOUND, SDB_BUSY);
}

static void look_after_it(struct walker *w)
{
    sdb_stats stats = {.size = sizeof stats};
    sdb_check_result result = {.size = sizeof result};
    char path[512];
    sdb_db *other;

    switch (below(w, 10)) {
    case 0: MUST(sdb_check(db, NULL, NULL, NULL, &result)); break;
    case 1: copy_it(w); break;
    case 2:
        (void)snprintf(path, sizeof path, "%s/t.sdb", folder.path);
        if (sdb_open(path, NULL, &other) != SDB_BUSY || !strstr(sdb_errmsg(), "open"))
            ck_abort_msg("opened twice: %s", sdb_errmsg());
        break;
    case 3: MUST(sdb_checkpoint(db)); break;
    case 4: MUST(sdb_sync(db)); break;
    case 5: MUST(sdb_vacuum(db, 0, NULL, NULL)); break;
    default:
        MUST(sdb_stat(db, &stats));
        if (!*sdb_version() || !*sdb_status_name(SDB_END) || !*sdb_status_text(SDB_END))
            ck_abort_msg("a text is empty");
    }
}

static void *walker_main(void *context)
{
    static void (*const acts[])(struct walker *w) = {
        read_in_a_transaction, write_in_a_transaction, write_a_batch, run_until_it_fits,
        use_no_transaction, change_keyspaces, read_many_at_once, follow_the_changes, use_snapshots,
        look_after_it};
    struct walker *w = context;
    uint64_t calls = kv_number("CALLS", CALLS);

    for (uint64_t i = 0; i < calls; i++) acts[below(w, sizeof acts / sizeof *acts)](w);
    return NULL;
}

START_TEST(any_calls_at_once_answer_what_their_headers_say)
{
    uint64_t random = kv_seed("test_stress", 20261) + (uint64_t)_i;
    unsigned threads = (unsigned)kv_number("THREADS", 3);
    struct walker *walkers = calloc(threads, sizeof *walkers);
    sdb_merge_operator operator = {.number = SDB_MERGE_USER,
                                   .merge = take_operand};
    sdb_options options = SDB_OPTIONS_INIT;

    ck_assert_ptr_nonnull(walkers);
    ck_assert_uint_le(threads, THREADS_MOST);
    kv_folder_make(&folder);
    options.flags = _i ? SDB_OPEN_SERIALIZABLE : 0;
    options.page_size = 4096;
    options.cache_bytes = MIB;
    options.checkpoint_bytes = 2 * MIB;
    options.group_interval_ms = 5;
    options.merge_operators = &operator;
    options.merge_operator_count = 1;
    OK(sdb_open(kv_in(&folder, "t.sdb"), &options, &db));
    for (unsigned i = 0; i < threads; i++) {
        walkers[i].number = i;
        walkers[i].random = random * 64 + i;
        ck_assert_int_eq(pthread_create(&walkers[i].thread, NULL, walker_main, &walkers[i]), 0);
    }
    for (unsigned i = 0; i < threads; i++)
        ck_assert_int_eq(pthread_join(walkers[i].thread, NULL), 0);
    kv_check_sound(db);
    OK(sdb_close(db));
    OK(sdb_check_file(kv_in(&folder, "t.sdb"), NULL, NULL, NULL, NULL, NULL));
    kv_folder_remove(&folder);
    free(walkers);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stress");
    TCase *cases = tcase_create("threads");

    tcase_set_timeout(cases, 60);
    tcase_add_loop_test(cases, any_calls_at_once_answer_what_their_headers_say, 0, 2);
    suite_add_tcase(suite, cases);
    return kv_main(suite);
}
