/* SPDX-License-Identifier: Apache-2.0 */
/* test_pager.c: claims about pages, latches, eviction and extents (engine/pager/pager.h). */
#include <stdlib.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"
#include <pthread.h>

#include "engine/base/clock.h"
#include "engine/pager/fetch.h"
#include "tests/lib/suite.h"
#include "tests/pager/pager_fixture.h"

enum { MANY = 1500 };

static struct rig rig;

static void setup_memory(void)
{
    rig_init(&rig, false, 1, 4096, 64);
    rig_create(&rig);
}

static void setup_simulated(void)
{
    rig_init(&rig, true, 1, 4096, 64);
    rig_create(&rig);
}

static void teardown(void)
{
    rig_check_space(&rig);
    rig_done(&rig);
}

static void make_pages(uint64_t count)
{
    for (uint64_t i = 0, id; i < count; i++) OK(rig_new(&rig, &id));
}

START_TEST(many_pages_go_through_a_small_cache)
{
    struct pager_stats stats;

    make_pages(MANY);
    rig_expect_all(&rig, rig.versions, MANY + 2);
    for (uint64_t id = 1; id <= MANY; id += 3) OK(rig_change(&rig, id));
    for (uint64_t id = 1; id <= MANY; id += 7) OK(rig_free(&rig, id));
    rig_expect_all(&rig, rig.versions, MANY + 2);
    sdb__pager_stats(rig.pager, &stats);
    ck_assert_uint_eq(stats.cache_limit_bytes, 64 * 4096);
    ck_assert_uint_le(stats.cache_bytes, stats.cache_limit_bytes);
    ck_assert_uint_gt(stats.evicted, MANY);
    ck_assert_uint_gt(stats.misses, MANY);
    ck_assert_uint_gt(stats.written, MANY);
    OK(rig_checkpoint(&rig));
    rig_check_space(&rig);
    rig_reopen(&rig);
    rig_expect_all(&rig, rig.versions, MANY + 2);
}
END_TEST

START_TEST(what_no_checkpoint_has_seen_is_not_there_after_opening)
{
    uint64_t before[RIG_PAGES], id;

    make_pages(200);
    OK(rig_checkpoint(&rig));
    memcpy(before, rig.versions, sizeof before);
    for (id = 1; id <= 200; id += 2) OK(rig_change(&rig, id));
    for (id = 2; id <= 200; id += 10) OK(rig_free(&rig, id));
    make_pages(300);
    rig_reopen(&rig);
    rig_expect_all(&rig, before, 600);
}
END_TEST

START_TEST(ids_of_ended_pages_are_used_again)
{
    struct page page;
    uint64_t id;

    make_pages(10);
    OK(rig_free(&rig, 4));
    ck_assert_int_eq(sdb__pager_latch_shared(rig.pager, 4, &page), SDB_CORRUPT);
    OK(rig_new(&rig, &id));
    ck_assert_uint_eq(id, 4);
    OK(rig_free(&rig, 7));
    OK(rig_free(&rig, 3));
    OK(rig_checkpoint(&rig));
    rig_reopen(&rig);
    OK(rig_new(&rig, &id));
    ck_assert_uint_eq(id, 3);
    OK(rig_new(&rig, &id));
    ck_assert_uint_eq(id, 7);
    OK(rig_new(&rig, &id));
    ck_assert_uint_eq(id, 11);
    rig_expect_all(&rig, rig.versions, 20);
}
END_TEST

START_TEST(impossible_page_numbers_are_damage)
{
    static const uint64_t ids[] = {PAGE_NONE, 12, 5000, UINT64_C(1) << 31, PAGE_ID_MOST,
                                   UINT64_C(1) << 40, UINT64_MAX};
    struct page page = {NULL, 77};

    make_pages(10);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        ck_assert_int_eq(sdb__pager_latch_shared(rig.pager, ids[i], &page), SDB_CORRUPT);
        ck_assert_int_eq(sdb__pager_latch_exclusive(rig.pager, ids[i], &page), SDB_CORRUPT);
        ck_assert_uint_eq(page.id, 77);
    }
}
END_TEST

START_TEST(many_can_read_a_page_and_its_version_counts_writers)
{
    struct page pages[50], page;
    uint32_t version;
    uint64_t id;

    OK(rig_new(&rig, &id));
    for (int i = 0; i < 50; i++) OK(sdb__pager_latch_shared(rig.pager, id, &pages[i]));
    version = sdb__pager_version(rig.pager, &pages[0]);
    for (int i = 0; i < 50; i++) sdb__pager_unlatch_shared(rig.pager, &pages[i]);
    OK(sdb__pager_latch_exclusive(rig.pager, id, &page));
    ck_assert_uint_eq(sdb__pager_version(rig.pager, &page), version);
    sdb__pager_unlatch_exclusive(rig.pager, &page);
    OK(sdb__pager_latch_shared(rig.pager, id, &page));
    ck_assert_uint_eq(sdb__pager_version(rig.pager, &page), version + 1);
    sdb__pager_unlatch_shared(rig.pager, &page);
}
END_TEST

START_TEST(a_version_changes_when_a_page_comes_back_from_disk)
{
    struct page page;
    uint32_t version;
    uint64_t id;

    OK(rig_new(&rig, &id));
    OK(sdb__pager_latch_shared(rig.pager, id, &page));
    version = sdb__pager_version(rig.pager, &page);
    sdb__pager_unlatch_shared(rig.pager, &page);
    make_pages(200);
    OK(sdb__pager_latch_shared(rig.pager, id, &page));
    ck_assert_uint_ne(sdb__pager_version(rig.pager, &page), version);
    sdb__pager_unlatch_shared(rig.pager, &page);
}
END_TEST

START_TEST(a_reserve_leaves_frames_that_need_no_writing)
{
    struct pager_stats stats;

    make_pages(500);
    sdb__pager_stats(rig.pager, &stats);
    ck_assert_uint_gt(stats.dirty_pages, 60);
    ck_assert(sdb__pager_wants_checkpoint(rig.pager));
    OK(sdb__pager_reserve(rig.pager, 20));
    sdb__pager_stats(rig.pager, &stats);
    ck_assert_uint_le(stats.dirty_pages, 64 - 20);
    OK(sdb__pager_reserve(rig.pager, 1000)); /* half of the cache is meant */
    sdb__pager_stats(rig.pager, &stats);
    ck_assert_uint_le(stats.dirty_pages, 32);
    rig_expect_all(&rig, rig.versions, 502);
}
END_TEST

START_TEST(latched_pages_stay_where_they_are)
{
    struct page held[40];
    uint8_t *before[40];

    make_pages(300);
    for (uint64_t i = 0; i < 40; i++) {
        OK(sdb__pager_latch_shared(rig.pager, 1 + i, &held[i]));
        before[i] = malloc(4096);
        ck_assert_ptr_nonnull(before[i]);
        memcpy(before[i], held[i].data, 4096);
    }
    make_pages(300);
    rig_expect_all(&rig, rig.versions, 602);
    for (uint64_t i = 0; i < 40; i++) {
        ck_assert_mem_eq(held[i].data, before[i], 4096);
        sdb__pager_unlatch_shared(rig.pager, &held[i]);
        free(before[i]);
    }
}
END_TEST

START_TEST(what_was_read_before_a_change_is_not_taken_for_the_page)
{
    enum fetch_answer answer;
    struct io_queue *queue;
    struct fetch fetch, other;

    OK(sdb__io_queue_new(rig.io, 1, &queue));
    make_pages(200);
    OK(sdb__fetch_begin(rig.pager, 1, &fetch, &answer));
    ck_assert_int_eq(answer, FETCH_BEGUN);
    fetch.op.status = sdb__io_read(queue, fetch.op.file, fetch.op.memory, fetch.op.size,
                                   fetch.op.offset);
    fetch.op.done = fetch.op.size;
    OK(rig_change(&rig, 1));
    make_pages(200);
    OK(sdb__fetch_begin(rig.pager, 1, &other, &answer));
    ck_assert_int_eq(answer, FETCH_BEGUN); /* it has been here, and has gone */
    sdb__pool_frame_return(rig.pager, other.frame);
    OK(sdb__fetch_end(rig.pager, &fetch));
    rig_expect_all(&rig, rig.versions, 402);
    sdb__io_queue_free(queue);
}
END_TEST

static void *make_one(void *context)
{
    struct page *page = context;

    OK(sdb__pager_page_new(rig.pager, page));
    return NULL;
}

START_TEST(a_new_page_waits_for_who_knew_its_number_before)
{
    struct page page;
    pthread_t maker;
    uint64_t word;

    make_pages(5);
    OK(rig_free(&rig, 3));
    /* Somebody latches what was page 3, and has not yet learnt that there is none. */
    word = atomic_load(&rig.pager->words[3]);
    ck_assert(!(word & (WORD_FRAME_MASK | WORD_EXCLUSIVE)));
    atomic_store(&rig.pager->words[3], word | WORD_EXCLUSIVE);
    ck_assert_int_eq(pthread_create(&maker, NULL, make_one, &page), 0);
    sdb__clock_sleep_ns(20000000);
    atomic_store(&rig.pager->words[3], word);
    (void)pthread_join(maker, NULL);
    ck_assert_uint_eq(page.id, 3);
    memset(page.data, 7, rig.page_size);
    sdb__pager_unlatch_exclusive(rig.pager, &page);
    OK(sdb__pager_latch_shared(rig.pager, 3, &page));
    ck_assert_uint_eq(page.data[100], 7);
    sdb__pager_unlatch_shared(rig.pager, &page);
}
END_TEST

START_TEST(free_blocks_at_the_end_go_back_to_the_file_system)
{
    struct pager_stats stats;
    uint64_t large;

    make_pages(250);
    OK(rig_checkpoint(&rig));
    for (uint64_t id = 20; id <= 250; id++) OK(rig_free(&rig, id));
    OK(rig_checkpoint(&rig));
    sdb__pager_stats(rig.pager, &stats);
    large = stats.file_bytes;
    for (int i = 0; i < 3; i++) { /* pages move to the front as they are written anew */
        for (uint64_t id = 1; id < 20; id++) OK(rig_change(&rig, id));
        OK(rig_checkpoint(&rig));
        OK(sdb__pager_shrink_file(rig.pager));
    }
    sdb__pager_stats(rig.pager, &stats);
    ck_assert_uint_lt(stats.file_bytes, large / 4);
    rig_reopen(&rig);
    rig_expect_all(&rig, rig.versions, 260);
}
END_TEST

/* ---- extents ------------------------------------------------------------------------------- */

static uint8_t *make_bytes(uint64_t size, uint64_t seed)
{
    uint8_t *bytes = malloc(size + 8);

    ck_assert_ptr_nonnull(bytes);
    for (uint64_t i = 0; i < size; i += 8) put_u64(bytes + i, random_next(&seed));
    return bytes;
}

static struct extent write_extent(uint64_t size, uint64_t seed)
{
    uint8_t *bytes = make_bytes(size, seed);
    struct extent extent;

    OK(sdb__pager_extent_write(rig.pager, bytes, size, &extent));
    ck_assert_uint_eq(extent.size, size);
    free(bytes);
    return extent;
}

static void expect_extent(const struct extent *extent, uint64_t seed)
{
    uint8_t *bytes = make_bytes(extent->size, seed), *read = make_bytes(extent->size, 0);

    OK(sdb__pager_extent_read(rig.pager, extent, read));
    ck_assert_mem_eq(bytes, read, extent->size);
    free(bytes);
    free(read);
}

START_TEST(extents_of_any_size_come_back_by_their_ids)
{
    static const uint64_t sizes[] = {1, 511, 512, 513, 4096, 100000, 9 * 1024 * 1024 + 5};
    uint64_t ids[7];
    struct extent extent;

    for (size_t i = 0; i < 7; i++) {
        extent = write_extent(sizes[i], i);
        expect_extent(&extent, i);
        OK(sdb__pager_extent_adopt(rig.pager, &extent, &ids[i]));
    }
    OK(rig_checkpoint(&rig));
    rig_reopen(&rig);
    for (size_t i = 0; i < 7; i++) {
        OK(sdb__pager_extent_find(rig.pager, ids[i], sizes[i], &extent));
        expect_extent(&extent, i);
        ck_assert_int_eq(sdb__pager_extent_find(rig.pager, ids[i], sizes[i] + 600, &extent),
                         SDB_CORRUPT);
    }
    ck_assert_int_eq(sdb__pager_extent_find(rig.pager, 500, 1, &extent), SDB_CORRUPT);
    make_pages(1);
    ck_assert_int_eq(sdb__pager_extent_find(rig.pager, 8, 4096, &extent), SDB_CORRUPT);
}
END_TEST

START_TEST(a_detached_extent_can_be_read_until_it_is_released)
{
    struct extent extent = write_extent(5000, 1), same;
    uint64_t id;

    OK(sdb__pager_extent_adopt(rig.pager, &extent, &id));
    OK(rig_checkpoint(&rig));
    OK(sdb__pager_extent_detach(rig.pager, id, 5000, &same));
    ck_assert_uint_eq(same.place, extent.place);
    ck_assert_int_eq(sdb__pager_extent_find(rig.pager, id, 5000, &extent), SDB_CORRUPT);
    OK(rig_checkpoint(&rig));
    make_pages(100);
    OK(rig_checkpoint(&rig));
    expect_extent(&same, 1);
    sdb__pager_extent_release(rig.pager, &same);
    OK(rig_checkpoint(&rig));
    rig_check_space(&rig);
    rig_reopen(&rig);
    ck_assert_int_eq(sdb__pager_extent_find(rig.pager, id, 5000, &extent), SDB_CORRUPT);
}
END_TEST

START_TEST(released_blocks_wait_for_the_next_checkpoint)
{
    struct extent old = write_extent(64 * 1024, 1), next;
    uint64_t id;

    OK(sdb__pager_extent_adopt(rig.pager, &old, &id));
    OK(rig_checkpoint(&rig));
    OK(sdb__pager_extent_detach(rig.pager, id, old.size, &old));
    sdb__pager_extent_release(rig.pager, &old);
    for (uint64_t i = 0; i < 8; i++) {
        next = write_extent(64 * 1024, 2 + i);
        ck_assert(place_first(next.place) >= place_first(old.place) + place_blocks(old.place) ||
                  place_first(next.place) + place_blocks(next.place) <= place_first(old.place));
        sdb__pager_extent_release(rig.pager, &next);
    }
    rig_reopen(&rig); /* as after a crash: the checkpoint still has it */
    OK(sdb__pager_extent_find(rig.pager, id, old.size, &old));
    expect_extent(&old, 1);
}
END_TEST

START_TEST(extents_without_id_leave_nothing_behind)
{
    struct pager_stats before, after;

    OK(rig_checkpoint(&rig));
    OK(rig_checkpoint(&rig));
    sdb__pager_stats(rig.pager, &before);
    for (uint64_t i = 0; i < 10; i++) {
        struct extent extent = write_extent(10000, i);

        sdb__pager_extent_release(rig.pager, &extent);
    }
    OK(rig_checkpoint(&rig));
    OK(rig_checkpoint(&rig));
    sdb__pager_stats(rig.pager, &after);
    ck_assert_uint_eq(before.used_bytes, after.used_bytes);
    ck_assert_uint_eq(after.extents, 0);
}
END_TEST

START_TEST(sizes_that_no_extent_has_are_refused)
{
    struct extent extent = {0};

    ck_assert_int_eq(sdb__pager_extent_write(rig.pager, "", 0, &extent), SDB_INVALID);
    ck_assert_int_eq(sdb__pager_extent_write(rig.pager, "", (UINT64_C(1) << 31) + 1, &extent),
                     SDB_LIMIT);
    ck_assert_uint_eq(extent.place, 0);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, many_pages_go_through_a_small_cache);
    tcase_add_test(tcase, what_no_checkpoint_has_seen_is_not_there_after_opening);
    tcase_add_test(tcase, ids_of_ended_pages_are_used_again);
    tcase_add_test(tcase, impossible_page_numbers_are_damage);
    tcase_add_test(tcase, many_can_read_a_page_and_its_version_counts_writers);
    tcase_add_test(tcase, a_version_changes_when_a_page_comes_back_from_disk);
    tcase_add_test(tcase, a_reserve_leaves_frames_that_need_no_writing);
    tcase_add_test(tcase, latched_pages_stay_where_they_are);
    tcase_add_test(tcase, what_was_read_before_a_change_is_not_taken_for_the_page);
    tcase_add_test(tcase, a_new_page_waits_for_who_knew_its_number_before);
    tcase_add_test(tcase, free_blocks_at_the_end_go_back_to_the_file_system);
    tcase_add_test(tcase, extents_of_any_size_come_back_by_their_ids);
    tcase_add_test(tcase, a_detached_extent_can_be_read_until_it_is_released);
    tcase_add_test(tcase, released_blocks_wait_for_the_next_checkpoint);
    tcase_add_test(tcase, extents_without_id_leave_nothing_behind);
    tcase_add_test(tcase, sizes_that_no_extent_has_are_refused);
}

int main(void)
{
    Suite *suite = suite_create("pager");
    TCase *memory = tcase_create("memory"), *simulated = tcase_create("simulated");

    tcase_add_checked_fixture(memory, setup_memory, teardown);
    tcase_add_checked_fixture(simulated, setup_simulated, teardown);
    add_tests(memory);
    add_tests(simulated);
    suite_add_tcase(suite, memory);
    suite_add_tcase(suite, simulated);
    return suite_run(suite);
}
