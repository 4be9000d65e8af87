/* SPDX-License-Identifier: Apache-2.0 */
/* test_readahead.c: claims about pages that are read before anybody needs them. */
#include "engine/pager/readahead.h"

#include <pthread.h>
#include <string.h>

#include "engine/base/clock.h"
#include "tests/lib/suite.h"
#include "tests/pager/pager_fixture.h"

enum { FRAMES = 500, PAGES = 2000, READERS = 2, ROUNDS = 400 };

static struct rig rig;
static struct readahead ahead;

/* A database of clean pages, none of them in memory. */
static void make_database(bool is_simulated)
{
    rig_init(&rig, is_simulated, 1, 4096, FRAMES);
    rig_create(&rig);
    for (uint64_t i = 0, id; i < PAGES; i++) OK(rig_new(&rig, &id));
    OK(rig_checkpoint(&rig));
    rig_reopen(&rig);
    ahead = (struct readahead){.pager = rig.pager};
}

static void setup_memory(void) { make_database(false); }
static void setup_simulated(void) { make_database(true); }

static void teardown(void)
{
    sdb__readahead_done(&ahead);
    ck_assert_uint_eq(rig.pager->fetching, 0);
    rig_check_space(&rig);
    rig_done(&rig);
}

static unsigned in_flight(void)
{
    return (unsigned)__builtin_popcountll(ahead.flying);
}

/* Begins to read `count` pages from `first` on. */
static unsigned begin(uint64_t first, unsigned count)
{
    uint64_t ids[2 * READAHEAD_MOST];

    for (unsigned i = 0; i < count; i++) ids[i] = first + i;
    return sdb__readahead_begin(&ahead, ids, count);
}

static uint64_t misses(void)
{
    struct pager_stats stats;

    sdb__pager_stats(rig.pager, &stats);
    return stats.misses;
}

START_TEST(pages_fly_together_and_are_there_when_they_have_landed)
{
    ck_assert_uint_eq(begin(100, 20), 20);
    ck_assert_uint_eq(in_flight(), 20);
    ck_assert_uint_eq(rig.pager->fetching, 20);
    sdb__readahead_land(&ahead, 107);
    ck_assert(sdb__pager_is_here(rig.pager, 107));
    sdb__readahead_stop(&ahead);
    ck_assert_uint_eq(in_flight(), 0);
    ck_assert_ptr_null(ahead.queue);
    ck_assert_uint_eq(misses(), 20);
    for (uint64_t id = 100; id < 120; id++) rig_expect(&rig, rig.versions, id);
    ck_assert_uint_eq(misses(), 20);
}
END_TEST

START_TEST(never_more_than_a_part_of_the_frames_is_in_flight)
{
    unsigned most = sdb__readahead_most(&ahead);
    uint64_t none = PAGE_NONE;

    ck_assert_uint_ge(most, FRAMES / 20);
    ck_assert_uint_eq(begin(1, 2 * READAHEAD_MOST), most);
    ck_assert_uint_eq(rig.pager->fetching, most);
    (void)sdb__readahead_begin(&ahead, &none, 1);
    sdb__readahead_stop(&ahead);
    ck_assert_uint_eq(begin(1, most + 3), 3);
}
END_TEST

START_TEST(a_page_that_is_wanted_before_it_has_landed_is_read_once_more_at_worst)
{
    ck_assert_uint_eq(begin(1, 10), 10);
    for (uint64_t id = 1; id <= 10; id++) rig_expect(&rig, rig.versions, id);
    sdb__readahead_stop(&ahead);
    for (uint64_t id = 1; id <= 10; id++) rig_expect(&rig, rig.versions, id);
    ck_assert_uint_eq(begin(1, 10), 0);
}
END_TEST

START_TEST(pages_that_are_not_there_stop_nothing)
{
    uint64_t ids[4] = {PAGES + 50, 5, UINT64_C(1) << 40, 6};

    ck_assert_uint_eq(sdb__readahead_begin(&ahead, ids, 4), 2);
    sdb__readahead_stop(&ahead);
    ck_assert(sdb__pager_is_here(rig.pager, 5) && sdb__pager_is_here(rig.pager, 6));
}
END_TEST

START_TEST(a_failure_is_told_to_who_needs_the_page)
{
    struct sim_faults faults = {.read_error = 65536}, none = {0};
    struct page page;

    if (!rig.is_simulated) return;
    sdb__sim_set_faults(rig.io, &faults);
    ck_assert_uint_eq(begin(1, 10), 10);
    sdb__readahead_land(&ahead, 3);
    sdb__readahead_stop(&ahead);
    ck_assert_uint_eq(rig.pager->fetching, 0);
    ck_assert(!sdb__pager_is_here(rig.pager, 3));
    ck_assert_int_eq(sdb__pager_latch_shared(rig.pager, 3, &page), SDB_IO);
    sdb__sim_set_faults(rig.io, &none);
    for (uint64_t id = 1; id <= 10; id++) rig_expect(&rig, rig.versions, id);
}
END_TEST

START_TEST(without_memory_nothing_is_read_ahead)
{
    rig.memory.fail_at = rig.memory.requests + 1;
    ck_assert_uint_eq(begin(1, 10), 0);
    ck_assert_uint_eq(begin(1, 10), 10);
}
END_TEST

START_TEST(pages_that_change_while_they_fly_are_as_they_were_changed)
{
    ck_assert_uint_eq(begin(1, 10), 10);
    for (uint64_t id = 1; id <= 10; id++) OK(rig_change(&rig, id));
    for (uint64_t id = PAGES - 600; id < PAGES; id++) rig_expect(&rig, rig.versions, id);
    sdb__readahead_stop(&ahead);
    for (uint64_t id = 1; id <= 10; id++) rig_expect(&rig, rig.versions, id);
}
END_TEST

/* ---- threads ------------------------------------------------------------------------------ */

static _Atomic bool ended;

/* Reads pages in order with some in flight, from places of its own. */
static void *read_pages(void *context)
{
    struct readahead a = {.pager = rig.pager};
    uint64_t state = (uintptr_t)context;

    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t ids[READAHEAD_MOST], first = 1 + (state = state * 48271 % 2147483647) % 1900;
        unsigned count = 1 + (unsigned)(state >> 8) % 60;
        struct page page;

        for (unsigned i = 0; i < count; i++) ids[i] = first + i;
        (void)sdb__readahead_begin(&a, ids, count);
        for (unsigned i = 0; i < count; i += 1 + round % 3) {
            sdb__readahead_land(&a, ids[i]);
            if (sdb__pager_latch_shared(rig.pager, ids[i], &page) != SDB_OK) ck_abort();
            sdb__pager_unlatch_shared(rig.pager, &page);
        }
    }
    sdb__readahead_done(&a);
    return NULL;
}

static void *change_pages(void *context)
{
    uint64_t id = 1;

    (void)context;
    while (!atomic_load(&ended)) {
        OK(rig_change(&rig, id));
        id = 1 + (id + 36) % PAGES;
    }
    return NULL;
}

START_TEST(readers_and_a_writer_find_the_right_pages)
{
    pthread_t readers[READERS], writer;

    atomic_store(&ended, false);
    ck_assert_int_eq(pthread_create(&writer, NULL, change_pages, NULL), 0);
    for (uintptr_t i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&readers[i], NULL, read_pages, (void *)(i + 1)), 0);
    for (uintptr_t i = 0; i < READERS; i++) (void)pthread_join(readers[i], NULL);
    atomic_store(&ended, true);
    (void)pthread_join(writer, NULL);
    OK(rig_checkpoint(&rig));
    rig_expect_all(&rig, rig.versions, PAGES + 1);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, pages_fly_together_and_are_there_when_they_have_landed);
    tcase_add_test(tcase, never_more_than_a_part_of_the_frames_is_in_flight);
    tcase_add_test(tcase, a_page_that_is_wanted_before_it_has_landed_is_read_once_more_at_worst);
    tcase_add_test(tcase, pages_that_are_not_there_stop_nothing);
    tcase_add_test(tcase, a_failure_is_told_to_who_needs_the_page);
    tcase_add_test(tcase, without_memory_nothing_is_read_ahead);
    tcase_add_test(tcase, pages_that_change_while_they_fly_are_as_they_were_changed);
}

int main(void)
{
    Suite *suite = suite_create("readahead");
    TCase *memory = tcase_create("memory"), *simulated = tcase_create("simulated");

    tcase_add_checked_fixture(memory, setup_memory, teardown);
    tcase_add_checked_fixture(simulated, setup_simulated, teardown);
    add_tests(memory);
    tcase_add_test(memory, readers_and_a_writer_find_the_right_pages);
    add_tests(simulated);
    suite_add_tcase(suite, memory);
    suite_add_tcase(suite, simulated);
    return suite_run(suite);
}
