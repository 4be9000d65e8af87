/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_btree.c: claims about trees that fail half-way, and about many threads in one
 * (index/btree/btree.h).
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"
#include "tests/btree/btree_fixture.h"
#include "tests/lib/suite.h"

static struct rig rig;
static struct grove g;

static void setup(void)
{
    rig_init(&rig, false, 1, 4096, 64);
    rig.verify = sdb__node_verify;
    rig_create(&rig);
    grove_init(&g, &rig);
}

static void teardown(void)
{
    grove_done(&g);
    rig_done(&rig);
}

/* Key number n: every third one long, so that layers come and go. */
static struct bytes key_of(uint64_t n, uint8_t *room)
{
    size_t size = n % 3 ? 0 : n % 9 ? 256 : 512;

    memset(room, 'k', size);
    put_u64(room + size, htobe64(n * 0x9e3779b97f4a7c15u));
    return (struct bytes){room, size + 8};
}

static sdb_status change(uint64_t *state, uint64_t keys)
{
    uint8_t room[600];
    uint64_t n = random_below(state, keys);
    struct bytes key = key_of(n, room);
    sdb_status status;

    if (random_below(state, 3) == 0) status = grove_del(&g, key, false);
    else status = grove_put(&g, key, random_below(state, 10) ? random_below(state, 80)
                                                              : 900 + random_below(state, 900),
                                                                  false);
    return status;
}

static void reopen(void)
{
    OK(rig_checkpoint(&rig));
    rig_reopen(&rig);
    g.tree.pager = rig.pager;
    atomic_store(&g.last_leaf, 0);
}

START_TEST(a_change_that_was_refused_memory_has_not_happened)
{
    uint64_t state = rig_seed("btree memory", 31), refused = 0;
    uint8_t room[600];

    for (int step = 0; step < 2500; step++) {
        sdb_status status;

        rig.memory.requests = 0;
        rig.memory.fail_at = 1 + random_below(&state, 4);
        if (step % 50 == 0) sdb__pager_checkpoint_cut(rig.pager);
        status = change(&state, 2500);
        rig.memory.fail_at = 0;
        if (step % 50 == 49) {
            OK(sdb__pager_checkpoint_write(rig.pager));
            OK(sdb__pager_checkpoint_finish(rig.pager, &rig.state, false));
        }
        ck_assert(status == SDB_OK || status == SDB_NOMEM);
        refused += status != SDB_OK;
        grove_expect(&g, key_of(random_below(&state, 2500), room));
        if (step % 300 != 299) continue;
        reopen(); /* blocks and ids whose release was refused memory are in use until then */
        (void)grove_check(&g, true);
        grove_scan(&g);
        rig_check_space(&rig);
    }
    ck_assert_uint_ge(refused, 1);
    reopen();
    while (g.count) OK(grove_del(&g, (struct bytes){memcpy(room, g.entries[0].key,
                                                           g.entries[0].key_size),
                                                    g.entries[0].key_size}, false));
    ck_assert_uint_eq(grove_check(&g, true).pages, 1);
}
END_TEST

START_TEST(ending_a_tree_can_go_on_after_refusals)
{
    uint64_t state = 41, refused = 0, n = 0;
    bool done = false;
    sdb_status status;

    for (int step = 0; step < 1500; step++) OK(change(&state, 900));
    OK(rig_checkpoint(&rig));
    /* so that changes need memory for the map as of the cut */
    sdb__pager_checkpoint_cut(rig.pager);
    while (!done) {
        rig.memory.requests = 0;
        rig.memory.fail_at = 1 + n++ % 3;
        status = sdb__btree_free_some(&g.tree, &done);
        ck_assert(status == SDB_OK || status == SDB_NOMEM);
        refused += status != SDB_OK;
    }
    rig.memory.fail_at = 0;
    ck_assert_uint_ge(refused, 1);
    OK(sdb__pager_checkpoint_write(rig.pager));
    OK(sdb__pager_checkpoint_finish(rig.pager, &rig.state, false));
    rig.state.catalog_root = 0;
    OK(rig_checkpoint(&rig));
    OK(rig_checkpoint(&rig));
    rig_check_space(&rig);
    ck_assert_uint_eq(rig.pager->map.extents, 0);
    ck_assert_uint_le(rig.pager->map.pages, refused); /* see free_last: one may be lost each time */
    grove_done(&g);
}
END_TEST

START_TEST(a_change_whose_io_failed_has_not_happened)
{
    uint64_t state = rig_seed("btree io", 51) + (uint64_t)_i, failed = 0;
    uint8_t room[600];

    grove_done(&g);
    rig_done(&rig);
    rig_init(&rig, true, state, 4096, 64);
    rig.verify = sdb__node_verify;
    rig_create(&rig);
    grove_init(&g, &rig);
    for (int step = 0; step < 400; step++) OK(change(&state, 1500));
    for (int step = 0; step < 1500; step++) {
        struct sim_faults faults = {0};
        sdb_status status;

        if (random_below(&state, 2)) faults.fail_at = 1 + random_below(&state, 6);
        else faults.fail_full_at = 1 + random_below(&state, 4);
        sdb__sim_set_faults(rig.io, &faults);
        status = change(&state, 1500);
        sdb__sim_set_faults(rig.io, &(struct sim_faults){0});
        ck_assert(status == SDB_OK || status == SDB_IO || status == SDB_FULL);
        failed += status != SDB_OK;
        grove_expect(&g, key_of(random_below(&state, 1500), room));
        if (step % 300) continue;
        (void)grove_check(&g, true);
        grove_scan(&g);
    }
    ck_assert_uint_gt(failed, 5);
    reopen();
    g.deep_values = true;
    (void)grove_check(&g, true);
    grove_scan(&g);
}
END_TEST

START_TEST(a_refused_change_leaves_no_layers)
{
    uint8_t room[600] = {0};

    ck_assert_int_eq(grove_put(&g, (struct bytes){room, 600}, 10, true), SDB_CANCELLED);
    ck_assert_uint_eq(grove_check(&g, true).pages, 1);
    OK(grove_put(&g, (struct bytes){room, 600}, 10, false));
    ck_assert_uint_eq(grove_check(&g, true).layers, 2);
    ck_assert_int_eq(grove_del(&g, (struct bytes){room, 600}, true), SDB_CANCELLED);
    ck_assert_uint_eq(grove_check(&g, true).layers, 2);
    OK(grove_del(&g, (struct bytes){room, 600}, false));
    ck_assert_uint_eq(grove_check(&g, true).pages, 1);
}
END_TEST

START_TEST(emptied_neighbours_of_full_pages_do_not_stay_behind)
{
    uint8_t key[2] = {0};

    for (unsigned i = 0; i < 12; i++) { /* large values: three or so in a page */
        key[0] = (uint8_t)(i * 20);
        OK(grove_put(&g, (struct bytes){key, 1}, 1000, false));
    }
    for (unsigned i = 0; i < 12; i++) {
        key[0] = (uint8_t)((i * 5 % 12) * 20);
        OK(grove_del(&g, (struct bytes){key, 1}, false));
    }
    ck_assert_uint_eq(grove_check(&g, true).pages, 1);
}
END_TEST

/* ---- threads ------------------------------------------------------------------------------- */

enum { STEADY = 300, BUSY = 500 };

struct crew {
    _Atomic bool stop;
    _Atomic uint64_t reads, writes;
    pthread_rwlock_t gate; /* writers hold it shared for a change; the cut holds it alone */
};

struct worker {
    struct crew *crew;
    unsigned number;
    pthread_t thread;
};

static sdb_status agree(void *context, const struct btree_value *value)
{
    *(bool *)context = value != NULL;
    return SDB_OK;
}

/* For threads: what holds goes by without libcheck's lock. */
#define MUST(call) do { if ((call) != SDB_OK) ck_abort_msg("%s", sdb_errmsg()); } while (0)

/*
 * Steady keys have even numbers below 2 * STEADY; writers own odd ones, each every other of
 * them.
 */
static void *write_all_the_time(void *context)
{
    struct worker *w = context;
    uint64_t state = w->number + 1, writes = 0;
    uint8_t room[600], bytes[700] = {0};

    while (!atomic_load_explicit(&w->crew->stop, memory_order_relaxed)) {
        uint64_t n = 1 + 4 * random_below(&state, BUSY) + 2 * w->number;
        struct btree_value value = {.data = {bytes, random_below(&state, 700)}};
        bool was;

        (void)pthread_rwlock_rdlock(&w->crew->gate);
        if ((writes++ / 2000) % 2) MUST(sdb__btree_del(&g.tree, key_of(n, room), agree, &was));
        else MUST(sdb__btree_put(&g.tree, key_of(n, room), &value, agree, &was));
        (void)pthread_rwlock_unlock(&w->crew->gate);
    }
    w->crew->writes += writes;
    return NULL;
}

/* Behind all keys of the others. */
static struct bytes last_key(uint64_t n, uint8_t *room)
{
    memset(room, 0xff, 9);
    put_u64(room + 9, htobe64(n));
    return (struct bytes){room, 17};
}

struct cut_off {
    uint64_t roots[64];
    unsigned count;
};

static sdb_status ignore_value(void *context, const struct btree_value *value)
{
    (void)context;
    (void)value;
    return SDB_OK;
}

static sdb_status note_root(void *context, uint64_t root)
{
    struct cut_off *cut = context;

    if (cut->count == 64) return SDB_LIMIT;
    cut->roots[cut->count++] = root;
    return SDB_OK;
}

/* Cuts what comes behind all others, from number `from` on, and frees it among readers alone. */
static void cut_last(struct crew *crew, uint64_t from)
{
    struct cut_off cut = {.count = 0};
    uint8_t room[32];

    (void)pthread_rwlock_rdlock(&crew->gate);
    MUST(sdb__btree_cut(&g.tree, last_key(from, room), NULL, ignore_value, note_root, &cut));
    (void)pthread_rwlock_unlock(&crew->gate);
    (void)pthread_rwlock_wrlock(&crew->gate);
    for (unsigned i = 0; i < cut.count; i++) {
        struct btree part = {.pager = g.tree.pager, .root = cut.roots[i], .id = g.tree.id};
        bool done = false;

        while (!done) MUST(sdb__btree_free_some(&part, &done));
    }
    (void)pthread_rwlock_unlock(&crew->gate);
}

/* Puts keys behind all others, in order, and cuts most of them off again. */
static void *append_and_cut(void *context)
{
    struct worker *w = context;
    uint64_t state = 55, n = 0;
    uint8_t room[32], bytes[60] = {0};
    struct btree_value value = {.data = {bytes, sizeof bytes}};

    while (!atomic_load_explicit(&w->crew->stop, memory_order_relaxed)) {
        bool was;

        (void)pthread_rwlock_rdlock(&w->crew->gate);
        MUST(sdb__btree_put(&g.tree, last_key(n, room), &value, agree, &was));
        if (was) ck_abort_msg("key %llu was cut off, and is there", (unsigned long long)n);
        MUST(sdb__btree_get(&g.tree, last_key(n, room), agree, &was));
        if (!was) ck_abort_msg("key %llu was put, and is not there", (unsigned long long)n);
        (void)pthread_rwlock_unlock(&w->crew->gate);
        if (++n % 400 == 0) {
            n -= random_below(&state, n < 1000 ? n : 1000);
            cut_last(w->crew, n);
        }
    }
    cut_last(w->crew, 0);
    return NULL;
}

/* Keys of a copied leaf are in order, and lie between its fences. */
static void expect_order(const struct btree_leaf *leaf)
{
    const char *wrong = sdb__node_verify(leaf->node.data, leaf->node.size, node_id(leaf->node));

    if (wrong) ck_abort_msg("%s", wrong);
}

static void *read_all_the_time(void *context)
{
    struct worker *w = context;
    uint64_t state = 100 + w->number;
    uint8_t room[600], to[2048];
    struct btree_leaf leaf = {.allocator = &rig.memory.allocator};

    while (!atomic_load_explicit(&w->crew->stop, memory_order_relaxed)) {
        struct btree_place place = {key_of(random_below(&state, 1000), room), BTREE_NATURAL, false};
        bool there = false, backwards = random_below(&state, 2);

        MUST(sdb__btree_get(&g.tree, key_of(2 * random_below(&state, STEADY), room), agree,
            &there));
        if (!there) ck_abort_msg("a key that nobody touches has gone");
        for (int i = 0; i < 5; i++) {
            MUST(sdb__btree_leaf_read(&g.tree, place, backwards, 0, NULL, NULL, &leaf));
            expect_order(&leaf);
            if (!(backwards ? sdb__btree_leaf_before(&leaf, to, &place)
                            : sdb__btree_leaf_after(&leaf, to, &place)))
                break;
        }
        w->crew->reads++;
    }
    sdb__btree_leaf_done(&leaf);
    return NULL;
}

/* Two writers, one who cuts, and two readers for a while; `checkpoints`: with those, too. */
static void run_crew(bool checkpoints, uint64_t ms)
{
    static void *(*const works[5])(void *) = {write_all_the_time, write_all_the_time,
                                              read_all_the_time, read_all_the_time,
                                              append_and_cut};
    struct crew crew = {.stop = false};
    pthread_rwlockattr_t fair;
    struct worker workers[5];
    uint64_t end = sdb__clock_now_ns() + ms * 1000000, count = 0;
    uint8_t room[600], bytes[50] = {1};
    struct btree_value value = {.data = {bytes, sizeof bytes}};
    bool was;

    (void)pthread_rwlockattr_init(&fair);
    (void)pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    (void)pthread_rwlock_init(&crew.gate, &fair);
    for (uint64_t n = 0; n < STEADY; n++)
        OK(sdb__btree_put(&g.tree, key_of(2 * n, room), &value, agree, &was));
    for (unsigned i = 0; i < 5; i++) {
        workers[i] = (struct worker){.crew = &crew, .number = i % 2};
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, works[i], &workers[i]), 0);
    }
    while (sdb__clock_now_ns() < end || (checkpoints && count < 3)) {
        if (!checkpoints) {
            sdb__clock_sleep_ns(1000000);
            continue;
        }
        (void)pthread_rwlock_wrlock(&crew.gate);
        sdb__pager_checkpoint_cut(rig.pager);
        (void)pthread_rwlock_unlock(&crew.gate);
        OK(sdb__pager_checkpoint_write(rig.pager));
        OK(sdb__pager_checkpoint_finish(rig.pager, &rig.state, false));
        count++;
        sdb__clock_sleep_ns(2000000);
    }
    crew.stop = true;
    for (unsigned i = 0; i < 5; i++) (void)pthread_join(workers[i].thread, NULL);
    (void)pthread_rwlock_destroy(&crew.gate);
    ck_assert_uint_gt(crew.reads, 10);
    ck_assert_uint_gt(crew.writes, 10);
}

/* After the threads have gone: what is there is a sound tree with all steady keys. */
static void expect_steady(void)
{
    uint8_t room[600];
    bool there;

    for (uint64_t n = 0; n < 4 * BUSY + 4; n++) {
        struct bytes key = key_of(n, room);

        OK(sdb__btree_get(&g.tree, key, agree, &there));
        ck_assert(there || n % 2 || n >= 2 * STEADY);
        if (there) OK(sdb__btree_del(&g.tree, key, agree, &there));
    }
    ck_assert_uint_eq(grove_check(&g, true).pages, 1);
    rig_check_space(&rig);
}

START_TEST(readers_and_writers_share_a_tree)
{
    run_crew(false, 1000);
    expect_steady();
}
END_TEST

START_TEST(readers_writers_and_checkpoints_share_a_tree)
{
    run_crew(true, 1500);
    OK(rig_checkpoint(&rig));
    rig_check_space(&rig);
    rig_reopen(&rig);
    g.tree.pager = rig.pager;
    atomic_store(&g.last_leaf, 0);
    expect_steady();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("btree");
    TCase *tcase = tcase_create("btree");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_refused_change_leaves_no_layers);
    tcase_add_test(tcase, emptied_neighbours_of_full_pages_do_not_stay_behind);
    tcase_add_test(tcase, a_change_that_was_refused_memory_has_not_happened);
    tcase_add_test(tcase, ending_a_tree_can_go_on_after_refusals);
    tcase_add_loop_test(tcase, a_change_whose_io_failed_has_not_happened, 0, 3);
    tcase_add_test(tcase, readers_and_writers_share_a_tree);
    tcase_add_test(tcase, readers_writers_and_checkpoints_share_a_tree);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
