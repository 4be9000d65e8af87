/* SPDX-License-Identifier: Apache-2.0 */
/* test_cache.c: claims about what stays in the cache, and what the cache costs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"
#include "tests/lib/suite.h"
#include "tests/pager/pager_fixture.h"

enum { FRAMES = 500, HOT = 200, SCANNED = 4 * FRAMES };

static struct rig rig;

/* A database of HOT + SCANNED clean pages, none of them in memory. */
static void make_database(sdb_cache_policy policy)
{
    rig_init(&rig, false, 1, 4096, FRAMES);
    rig.policy = policy;
    rig_create(&rig);
    for (uint64_t i = 0, id; i < HOT + SCANNED; i++) OK(rig_new(&rig, &id));
    OK(rig_checkpoint(&rig));
    rig_reopen(&rig);
}

static void teardown(void)
{
    if (!rig.pager) return;
    rig_check_space(&rig);
    rig_done(&rig);
}

static uint64_t misses(void)
{
    struct pager_stats stats;

    sdb__pager_stats(rig.pager, &stats);
    return stats.misses;
}

/* Reads a page as a reader of the trees does; returns whether it had to come from disk. */
static bool look(uint64_t id)
{
    uint64_t before = misses();
    struct page page;

    OK(sdb__pager_latch_shared(rig.pager, id, &page));
    sdb__pager_unlatch_shared(rig.pager, &page);
    return misses() != before;
}

/* Reads the hot pages once; returns how many had to come from disk. */
static uint64_t visit_hot(void)
{
    uint64_t count = 0;

    for (uint64_t id = 1; id <= HOT; id++) count += look(id);
    return count;
}

static void scan(void)
{
    for (uint64_t id = HOT + 1; id <= HOT + SCANNED; id++) ck_assert(look(id));
}

START_TEST(a_scan_of_four_caches_leaves_a_working_set_in_memory)
{
    make_database(SDB_CACHE_DEFAULT);
    ck_assert_uint_eq(visit_hot(), HOT);
    ck_assert_uint_eq(visit_hot(), 0);
    ck_assert_uint_eq(visit_hot(), 0);
    scan();
    ck_assert_uint_eq(visit_hot(), 0);
    scan();
    ck_assert_uint_eq(visit_hot(), 0);
}
END_TEST

START_TEST(with_older_policies_the_same_scan_takes_it_away)
{
    static const sdb_cache_policy policies[] = {SDB_CACHE_CLOCK, SDB_CACHE_LRU, SDB_CACHE_FIFO};

    make_database(policies[_i]);
    for (int i = 0; i < 3; i++) (void)visit_hot();
    scan();
    ck_assert_uint_eq(visit_hot(), HOT);
}
END_TEST

START_TEST(points_between_the_pages_of_a_scan_stay)
{
    uint64_t random = rig_seed("points between", 7), count = 0, points = 0;

    make_database(SDB_CACHE_DEFAULT);
    for (int i = 0; i < 3; i++) (void)visit_hot();
    for (int round = 0; round < 3; round++)
        for (uint64_t id = HOT + 1; id <= HOT + SCANNED; id++) {
            (void)look(id);
            if (id % 4) continue;
            points++;
            count += look(1 + random_below(&random, HOT));
        }
    ck_assert_uint_eq(points, 3 * SCANNED / 4);
    ck_assert_uint_eq(count, 0);
}
END_TEST

START_TEST(a_new_working_set_takes_the_place_of_the_old_one)
{
    make_database(SDB_CACHE_DEFAULT);
    for (int i = 0; i < 10; i++) (void)visit_hot();
    /* As many pages as fit, used all the time: soon they are the ones that stay. */
    for (int round = 0; round < 12; round++)
        for (uint64_t id = HOT + 1; id <= HOT + FRAMES * 4 / 5; id++) (void)look(id);
    for (uint64_t id = HOT + 1; id <= HOT + FRAMES * 4 / 5; id++) ck_assert(!look(id));
}
END_TEST

START_TEST(every_policy_keeps_every_page_right)
{
    uint64_t random = rig_seed("every policy", 11);

    rig_init(&rig, _i % 2 == 1, random, 4096, 64);
    rig.policy = (sdb_cache_policy)_i;
    rig_create(&rig);
    for (uint64_t i = 0, id; i < 400; i++) OK(rig_new(&rig, &id));
    for (int step = 0; step < 6000; step++) {
        uint64_t id = 1 + random_below(&random, random_below(&random, 2) ? 400 : 30);

        if (rig.versions[id] == 0)
            OK(rig_new(&rig, &id));
        else if (random_below(&random, 20) == 0)
            OK(rig_free(&rig, id));
        else if (random_below(&random, 4) == 0)
            OK(rig_change(&rig, id));
        else
            rig_expect(&rig, rig.versions, id);
        if (step % 1000 == 999) OK(rig_checkpoint(&rig));
    }
    rig_expect_all(&rig, rig.versions, 402);
}
END_TEST

/* All frames but a few are latched: those few serve everything, in whatever queue they are. */
START_TEST(a_few_free_frames_serve_all)
{
    struct page held[60];

    rig_init(&rig, false, 1, 4096, 64);
    rig.policy = (sdb_cache_policy)_i;
    rig_create(&rig);
    for (uint64_t i = 0, id; i < 300; i++) OK(rig_new(&rig, &id));
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < 60; i++) {
            uint64_t id = 1 + i + (uint64_t)round * 60;

            OK(sdb__pager_latch_shared(rig.pager, id, &held[i]));
            if (i % 2 == (uint64_t)round) { /* some have been used often, some once */
                struct page again;

                for (int n = 0; n < 3; n++) {
                    OK(sdb__pager_latch_shared(rig.pager, id, &again));
                    sdb__pager_unlatch_shared(rig.pager, &again);
                }
            }
        }
        rig_expect_all(&rig, rig.versions, 302);
        for (uint64_t i = 0; i < 60; i++) sdb__pager_unlatch_shared(rig.pager, &held[i]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cache");
    TCase *tcase = tcase_create("cache");

    tcase_add_checked_fixture(tcase, NULL, teardown);
    tcase_add_test(tcase, a_scan_of_four_caches_leaves_a_working_set_in_memory);
    tcase_add_loop_test(tcase, with_older_policies_the_same_scan_takes_it_away, 0, 3);
    tcase_add_test(tcase, points_between_the_pages_of_a_scan_stay);
    tcase_add_test(tcase, a_new_working_set_takes_the_place_of_the_old_one);
    tcase_add_loop_test(tcase, every_policy_keeps_every_page_right, 0, SDB_CACHE_FIFO + 1);
    tcase_add_loop_test(tcase, a_few_free_frames_serve_all, 0, SDB_CACHE_FIFO + 1);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
