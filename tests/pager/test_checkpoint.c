/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_checkpoint.c: claims about checkpoints: what they hold, when they fail, what a crash
 * leaves.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"
#include "tests/lib/suite.h"
#include "tests/pager/pager_fixture.h"

static struct rig rig;
static uint64_t at_cut[RIG_PAGES], durable[RIG_PAGES], finished; /* finished: durable's commit */

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
    rig_done(&rig);
}

static void make_pages(uint64_t count)
{
    for (uint64_t i = 0, id; i < count; i++) OK(rig_new(&rig, &id));
}

/* Changes, makes and ends pages at random; stops at the first failure. */
static sdb_status disturb(uint64_t *state, int steps, uint64_t limit)
{
    for (int i = 0; i < steps; i++) {
        uint64_t id = 1 + random_below(state, limit), made;
        sdb_status status;

        if (rig.versions[id] == 0) status = rig_new(&rig, &made);
        else if (random_below(state, 8) == 0) status = rig_free(&rig, id);
        else status = rig_change(&rig, id);
        if (status != SDB_OK) return status;
    }
    return SDB_OK;
}

START_TEST(changes_after_the_cut_are_not_in_the_checkpoint)
{
    uint64_t state = rig_seed("cut", 5) + (uint64_t)_i, now[RIG_PAGES];

    make_pages(400);
    for (int round = 0; round < 6; round++) {
        OK(disturb(&state, 150, 500));
        memcpy(at_cut, rig.versions, sizeof at_cut);
        sdb__pager_checkpoint_cut(rig.pager);
        OK(disturb(&state, (int)random_below(&state, 300), 500)); /* with evictions */
        rig_check_space(&rig);
        OK(sdb__pager_checkpoint_write(rig.pager));
        OK(disturb(&state, (int)random_below(&state, 300), 500));
        rig_check_space(&rig);
        OK(sdb__pager_checkpoint_finish(rig.pager, &rig.state, round % 2));
        rig_check_space(&rig);
        OK(disturb(&state, (int)random_below(&state, 300), 500));
        memcpy(now, rig.versions, sizeof now);
        rig_expect_all(&rig, now, 600);
        rig_check_space(&rig);
        if (round % 3 == 0) continue;
        rig_reopen(&rig);
        rig_expect_all(&rig, at_cut, 600);
        rig_check_space(&rig);
        memcpy(rig.versions, at_cut, sizeof at_cut);
    }
}
END_TEST

START_TEST(a_page_in_memory_keeps_its_image_of_the_cut)
{
    make_pages(5);
    memcpy(at_cut, rig.versions, sizeof at_cut);
    sdb__pager_checkpoint_cut(rig.pager);
    OK(rig_change(&rig, 2)); /* dirty at the cut, in memory, changed after it */
    OK(rig_free(&rig, 3));
    OK(sdb__pager_checkpoint_write(rig.pager));
    OK(rig_change(&rig, 4));
    OK(sdb__pager_checkpoint_finish(rig.pager, &rig.state, false));
    rig_check_space(&rig);
    rig_reopen(&rig);
    rig_expect_all(&rig, at_cut, 10);
}
END_TEST

START_TEST(a_page_that_two_write_stays_where_the_checkpoint_has_it)
{
    struct pager_stats stats;
    uint32_t frame;

    make_pages(20);
    memcpy(at_cut, rig.versions, sizeof at_cut);
    sdb__pager_checkpoint_cut(rig.pager);
    /* Seen dirty by two who have it latched shared: the checkpoint is done with it first. */
    ck_assert(sdb__pool_try_shared(rig.pager, 4, false, &frame));
    OK(sdb__pager_checkpoint_write(rig.pager));
    OK(sdb__pool_write(rig.pager, &frame, 1));
    sdb__pool_release_shared(rig.pager, 4);
    rig_check_space(&rig);
    OK(sdb__pager_checkpoint_finish(rig.pager, &rig.state, false));
    rig_check_space(&rig);
    sdb__pager_stats(rig.pager, &stats);
    ck_assert_uint_eq(stats.dirty_pages, 0);
    make_pages(400); /* which take what is free */
    rig_reopen(&rig);
    rig_expect_all(&rig, at_cut, 30);
}
END_TEST

START_TEST(a_checkpoint_names_what_it_was_told)
{
    const struct superblock *s;

    make_pages(3);
    rig.state = (struct superblock){.lsn = 800, .commit = 9, .log_id = 7, .catalog_root = 2};
    OK(rig_checkpoint(&rig));
    rig_reopen(&rig);
    s = sdb__pager_superblock(rig.pager);
    ck_assert_uint_eq(s->lsn, 800);
    ck_assert_uint_eq(s->commit, 9);
    ck_assert_uint_eq(s->log_id, 7);
    ck_assert_uint_eq(s->catalog_root, 2);
    ck_assert_uint_eq(s->page_limit, 4);
    ck_assert_uint_eq(s->made_ms, 1);
    ck_assert_uint_eq(sdb__pager_page_size(rig.pager), 4096);
    ck_assert_mem_eq(s->database_id, "sixteen letters", 16);
}
END_TEST

START_TEST(an_announced_log_changes_nothing_else)
{
    uint64_t sequence;

    make_pages(100);
    OK(rig_checkpoint(&rig));
    memcpy(durable, rig.versions, sizeof durable);
    sequence = sdb__pager_superblock(rig.pager)->sequence;
    OK(sdb__pager_announce_log(rig.pager, 99, 4096));
    for (uint64_t id = 1; id <= 100; id++) OK(rig_change(&rig, id));
    rig_reopen(&rig);
    ck_assert_uint_eq(sdb__pager_superblock(rig.pager)->log_id, 99);
    ck_assert_uint_eq(sdb__pager_superblock(rig.pager)->lsn, 4096);
    ck_assert_uint_eq(sdb__pager_superblock(rig.pager)->sequence, sequence + 1);
    rig_expect_all(&rig, durable, 110);
}
END_TEST

START_TEST(pins_keep_a_checkpoint_readable)
{
    struct superblock pinned;
    struct map map;
    struct io_queue *queue;
    uint8_t bytes[4096], wanted[4096];
    uint64_t state = 3, used;

    make_pages(300);
    OK(rig_checkpoint(&rig));
    memcpy(durable, rig.versions, sizeof durable);
    sdb__pager_pin(rig.pager, &pinned);
    for (int round = 0; round < 5; round++) {
        if (round == 2) sdb__pager_pin(rig.pager, &(struct superblock){0});
        if (round == 3) sdb__pager_unpin(rig.pager);
        OK(disturb(&state, 300, 400));
        OK(rig_checkpoint(&rig));
        rig_check_space(&rig);
    }
    OK(sdb__map_init(&map, &rig.memory.allocator, 4096));
    OK(sdb__io_queue_new(rig.io, 1, &queue));
    OK(sdb__map_load(&map, queue, rig.file, &pinned, NULL, NULL));
    for (uint64_t id = 1; id < 310; id++) {
        struct map_entry entry = sdb__map_get(&map, id);

        ck_assert_int_eq(entry.place != 0, durable[id] != 0);
        if (!entry.place) continue;
        OK(sdb__io_read(queue, rig.file, bytes, 4096, place_offset(entry.place)));
        rig_fill(wanted, 4096, id, durable[id]);
        ck_assert_mem_eq(bytes, wanted, 4096);
    }
    sdb__io_queue_free(queue);
    sdb__map_done(&map);
    used = rig.pager->map.space.used;
    sdb__pager_unpin(rig.pager);
    rig_check_space(&rig);
    ck_assert_uint_lt(rig.pager->map.space.used + 200 * 8, used);
    rig_expect_all(&rig, rig.versions, 410);
}
END_TEST

START_TEST(space_does_not_grow_with_the_number_of_checkpoints)
{
    struct pager_stats stats;
    uint64_t used = 0;

    make_pages(200);
    for (int round = 0; round < 30; round++) {
        for (uint64_t id = 1; id <= 200; id++) OK(rig_change(&rig, id));
        OK(rig_checkpoint(&rig));
        sdb__pager_stats(rig.pager, &stats);
        if (round == 3) used = stats.file_bytes;
    }
    ck_assert_uint_le(stats.file_bytes, used);
    ck_assert_uint_lt(stats.used_bytes, 205 * 4096 + 20000);
}
END_TEST

/* ---- failures ------------------------------------------------------------------------------ */

START_TEST(a_checkpoint_that_was_given_up_leaves_the_pager_as_good_as_before)
{
    uint64_t state = rig_seed("given up", 9) + (uint64_t)_i;

    make_pages(300);
    OK(rig_checkpoint(&rig));
    memcpy(durable, rig.versions, sizeof durable);
    for (int round = 0; round < 6; round++) {
        struct sim_faults faults = {0};
        sdb_status status;

        OK(disturb(&state, 100, 400));
        if (random_below(&state, 2)) faults.fail_at = 1 + random_below(&state, 4);
        else faults.fail_full_at = 1 + random_below(&state, 4);
        sdb__pager_checkpoint_cut(rig.pager);
        if (random_below(&state, 2)) OK(disturb(&state, 20, 400));
        sdb__sim_set_faults(rig.io, &faults);
        status = sdb__pager_checkpoint_write(rig.pager);
        ck_assert_int_eq(status, faults.fail_at ? SDB_IO : SDB_FULL);
        sdb__sim_set_faults(rig.io, &(struct sim_faults){0});
        rig_check_space(&rig);
        rig_expect_all(&rig, rig.versions, 500);
        OK(disturb(&state, 50, 400));
        if (round == 5) break;
        if (random_below(&state, 2)) continue; /* the next one after two failures */
        OK(rig_checkpoint(&rig));
        rig_check_space(&rig);
        memcpy(durable, rig.versions, sizeof durable);
    }
    rig_reopen(&rig);
    rig_expect_all(&rig, durable, 500);
}
END_TEST

START_TEST(a_failed_sync_or_superblock_is_final)
{
    for (uint64_t n = 1; n <= 3; n++) {
        struct sim_faults faults = {.fail_at = n};

        make_pages(20);
        OK(rig_checkpoint(&rig));
        memcpy(durable, rig.versions, sizeof durable);
        OK(rig_change(&rig, 1));
        memcpy(at_cut, rig.versions, sizeof at_cut);
        sdb__pager_checkpoint_cut(rig.pager);
        OK(sdb__pager_checkpoint_write(rig.pager));
        sdb__sim_set_faults(rig.io, &faults); /* sync, superblock, sync */
        ck_assert_int_eq(sdb__pager_checkpoint_finish(rig.pager, &rig.state, false), SDB_IO);
        sdb__sim_set_faults(rig.io, &(struct sim_faults){0});
        rig_close(&rig);
        OK(sdb__sim_restart(rig.io, 0));
        OK(rig_open(&rig));
        memcpy(rig.versions, durable, sizeof durable);
        rig_expect_all(&rig, durable, 100);
    }
}
END_TEST

START_TEST(a_full_disk_refuses_changes_and_nothing_is_lost)
{
    uint64_t state = 77, id;
    sdb_status status = SDB_OK;
    struct sim_faults faults = {.capacity = 2 * 1024 * 1024};

    make_pages(100);
    OK(rig_checkpoint(&rig));
    sdb__sim_set_faults(rig.io, &faults);
    while (status == SDB_OK) status = rig_new(&rig, &id);
    ck_assert_int_eq(status, SDB_FULL);
    ck_assert_int_eq(rig_checkpoint(&rig), SDB_FULL);
    ck_assert_int_eq(sdb__pager_reserve(rig.pager, 30), SDB_FULL);
    rig_check_space(&rig);
    sdb__sim_set_faults(rig.io, &(struct sim_faults){0});
    rig_expect_all(&rig, rig.versions, 700);
    OK(disturb(&state, 100, 400));
    OK(rig_checkpoint(&rig));
    rig_reopen(&rig);
    rig_expect_all(&rig, rig.versions, 700);
}
END_TEST

START_TEST(refused_memory_gives_a_checkpoint_up_and_changes_nothing)
{
    uint64_t state = rig_seed("memory", 13), refused = 0, n = 1;
    sdb_status status;

    make_pages(300);
    OK(rig_checkpoint(&rig));
    memcpy(durable, rig.versions, sizeof durable);
    do {
        for (uint64_t id = 1; id < 300; id += 5)
            if (rig.versions[id]) OK(rig_change(&rig, id));
        memcpy(at_cut, rig.versions, sizeof at_cut);
        sdb__pager_checkpoint_cut(rig.pager);
        rig.memory.requests = 0;
        rig.memory.fail_at = n++;
        status = disturb(&state, 30, 400);
        ck_assert(status == SDB_OK || status == SDB_NOMEM);
        refused += status != SDB_OK;
        status = sdb__pager_checkpoint_write(rig.pager);
        ck_assert(status == SDB_OK || status == SDB_NOMEM);
        if (status == SDB_OK && rig.memory.requests >= rig.memory.fail_at) status = SDB_NOMEM;
        else if (status == SDB_NOMEM) refused++;
        rig.memory.fail_at = 0;
        if (rig.pager->map.cutting) {
            OK(sdb__pager_checkpoint_finish(rig.pager, &rig.state, false));
            memcpy(durable, at_cut, sizeof durable);
        }
        rig_expect_all(&rig, rig.versions, 500);
        rig_check_space(&rig);
    } while (status != SDB_OK);
    ck_assert_uint_ge(refused, 3);
    rig_reopen(&rig);
    rig_expect_all(&rig, durable, 500);
}
END_TEST

START_TEST(refused_memory_keeps_a_database_from_opening_and_nothing_leaks)
{
    int64_t live;
    sdb_status status;

    make_pages(100);
    OK(rig_checkpoint(&rig));
    rig_close(&rig);
    live = rig.memory.live;
    for (uint64_t n = 1;; n++) {
        rig.memory.requests = 0;
        rig.memory.fail_at = n;
        status = rig_open(&rig);
        rig.memory.fail_at = 0;
        if (status == SDB_OK) break;
        ck_assert_int_eq(status, SDB_NOMEM);
        ck_assert_int_eq(rig.memory.live, live);
    }
    rig_expect_all(&rig, rig.versions, 110);
}
END_TEST

/* ---- crashes ------------------------------------------------------------------------------- */

/*
 * The work whose crashes are explored. Stops at the first failure; `durable` and `at_cut`
 * follow it.
 */
static sdb_status work(uint64_t seed)
{
    uint64_t state = seed;
    sdb_status status;

    for (int round = 0; round < 4; round++) {
        status = disturb(&state, 40, 90);
        if (status != SDB_OK) return status;
        memcpy(at_cut, rig.versions, sizeof at_cut);
        sdb__pager_checkpoint_cut(rig.pager);
        status = disturb(&state, 30, 90);
        if (status == SDB_OK) status = sdb__pager_checkpoint_write(rig.pager);
        if (status != SDB_OK) return status;
        status = disturb(&state, 20, 90);
        if (status != SDB_OK) return status;
        rig.state.commit++;
        status = sdb__pager_checkpoint_finish(rig.pager, &rig.state, round == 2);
        if (status != SDB_OK) return status;
        memcpy(durable, at_cut, sizeof durable);
        finished = rig.state.commit;
        if (round == 1) {
            status = sdb__pager_announce_log(rig.pager, 5, 64);
            if (status == SDB_OK) status = sdb__pager_shrink_file(rig.pager);
            if (status != SDB_OK) return status;
        }
    }
    return SDB_OK;
}

/* After a crash: exactly the last checkpoint that finished, or the one that was being finished. */
static void expect_a_checkpoint(void)
{
    const uint64_t *which;

    OK(rig_open(&rig));
    which = sdb__pager_superblock(rig.pager)->commit == finished ? durable : at_cut;
    ck_assert_uint_ge(sdb__pager_superblock(rig.pager)->commit, finished);
    rig_expect_all(&rig, which, 150);
    rig_check_space(&rig);
    memcpy(rig.versions, which, sizeof rig.versions);
}

START_TEST(every_crash_leaves_a_whole_checkpoint)
{
    uint64_t seed = rig_seed("crash", 21) + (uint64_t)_i, state = seed, first;

    rig_close(&rig);
    sdb__io_free(rig.io);
    for (uint64_t step = 0;; step++) {
        sdb_status status;

        rig_init(&rig, true, seed, 4096, 64);
        rig_create(&rig);
        make_pages(70);
        OK(rig_checkpoint(&rig));
        memcpy(durable, rig.versions, sizeof durable);
        memcpy(at_cut, rig.versions, sizeof at_cut);
        finished = 0;
        first = sdb__sim_steps(rig.io);
        /* Every step, spread over the loop's cases. */
        sdb__sim_power_off_at(rig.io, first + 1 + step * 4 + (uint64_t)_i);
        status = work(seed);
        if (status == SDB_OK) break;
        ck_assert_int_eq(status, SDB_IO);
        ck_assert(sdb__sim_is_off(rig.io));
        rig_close(&rig);
        OK(sdb__sim_restart(rig.io, random_next(&state)));
        expect_a_checkpoint();
        OK(disturb(&state, 50, 90)); /* and goes on from there */
        OK(rig_checkpoint(&rig));
        rig_reopen(&rig);
        rig_expect_all(&rig, rig.versions, 150);
        rig_done(&rig);
    }
}
END_TEST

/* ---- damage -------------------------------------------------------------------------------- */

START_TEST(a_damaged_page_is_seen)
{
    struct page page;
    uint64_t place;

    make_pages(10);
    OK(rig_checkpoint(&rig));
    place = sdb__map_get(&rig.pager->map, 5).place;
    rig_close(&rig);
    OK(sdb__sim_flip(rig.io, RIG_FILE, place_offset(place) + 1000, 3));
    OK(rig_open(&rig));
    ck_assert_int_eq(sdb__pager_latch_shared(rig.pager, 5, &page), SDB_CORRUPT);
    ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "page 5"));
    ck_assert_int_eq(sdb__pager_latch_exclusive(rig.pager, 5, &page), SDB_CORRUPT);
    rig_expect(&rig, rig.versions, 4);
    OK(sdb__sim_flip(rig.io, RIG_FILE, place_offset(place) + 1000, 3));
    rig_expect(&rig, rig.versions, 5); /* nothing wrong was kept */
}
END_TEST

START_TEST(a_damaged_extent_is_seen)
{
    static uint8_t bytes[5000];
    struct extent extent;
    uint64_t id;

    OK(sdb__pager_extent_write(rig.pager, bytes, sizeof bytes, &extent));
    OK(sdb__pager_extent_adopt(rig.pager, &extent, &id));
    OK(rig_checkpoint(&rig));
    OK(sdb__sim_flip(rig.io, RIG_FILE, place_offset(extent.place) + 4999, 0));
    OK(sdb__pager_extent_find(rig.pager, id, sizeof bytes, &extent));
    ck_assert_int_eq(sdb__pager_extent_read(rig.pager, &extent, bytes), SDB_CORRUPT);
}
END_TEST

static bool count_problem(void *context, const char *problem)
{
    (void)problem;
    ++*(unsigned *)context;
    return true;
}

START_TEST(a_damaged_map_is_seen_and_told)
{
    for (int what = 0; what < 2; what++) {
        struct superblock s = *sdb__pager_superblock(rig.pager);
        struct io_queue *queue;
        unsigned problems = 0;
        struct map map;
        uint64_t place;

        if (what == 0) make_pages(10);
        OK(rig_checkpoint(&rig));
        s = *sdb__pager_superblock(rig.pager);
        place = what ? rig.pager->map.chunks[0].stored.place : s.directory_place;
        OK(sdb__sim_flip(rig.io, RIG_FILE, place_offset(place) + 8, 5));
        rig_close(&rig);
        ck_assert_int_eq(rig_open(&rig), SDB_CORRUPT);
        OK(sdb__io_open(rig.io, RIG_FILE, 0, &rig.file));
        OK(sdb__io_queue_new(rig.io, 1, &queue));
        OK(sdb__map_init(&map, &rig.memory.allocator, 4096));
        OK(sdb__map_load(&map, queue, rig.file, &s, count_problem, &problems));
        ck_assert_uint_eq(problems, 1);
        sdb__map_done(&map);
        sdb__io_queue_free(queue);
        sdb__io_close(rig.file);
        rig.file = NULL;
        OK(sdb__sim_flip(rig.io, RIG_FILE, place_offset(place) + 8, 5));
        OK(rig_open(&rig));
    }
}
END_TEST

START_TEST(a_file_cut_short_is_seen)
{
    uint64_t size, damaged = 0, id = 1;
    struct page page;

    make_pages(100);
    OK(rig_checkpoint(&rig));
    OK(sdb__io_size(rig.file, &size));
    OK(sdb__io_truncate(rig.file, size - 4096 * 3));
    rig_close(&rig);
    if (rig_open(&rig) == SDB_OK) {
        for (; id <= 100; id++) {
            sdb_status status = sdb__pager_latch_shared(rig.pager, id, &page);

            damaged += status == SDB_CORRUPT;
            if (status == SDB_OK) sdb__pager_unlatch_shared(rig.pager, &page);
        }
        ck_assert_uint_ge(damaged, 1);
    }
}
END_TEST

START_TEST(one_damaged_superblock_is_survived_and_two_are_seen)
{
    make_pages(10);
    sdb__pager_checkpoint_cut(rig.pager);
    OK(sdb__pager_checkpoint_write(rig.pager));
    OK(sdb__pager_checkpoint_finish(rig.pager, &rig.state, true));
    for (uint64_t slot = 0; slot < 2; slot++) {
        rig_close(&rig);
        OK(sdb__sim_flip(rig.io, RIG_FILE, slot * SUPERBLOCK_SIZE + 100, 1));
        OK(rig_open(&rig));
        rig_expect_all(&rig, rig.versions, 12);
        OK(rig_checkpoint(&rig)); /* writes the damaged slot, not the good one */
        rig_reopen(&rig);
        rig_expect_all(&rig, rig.versions, 12);
        OK(rig_checkpoint(&rig));
    }
    rig_close(&rig);
    OK(sdb__sim_flip(rig.io, RIG_FILE, 100, 1));
    OK(sdb__sim_flip(rig.io, RIG_FILE, SUPERBLOCK_SIZE + 100, 1));
    ck_assert_int_eq(rig_open(&rig), SDB_CORRUPT);
    OK(sdb__sim_flip(rig.io, RIG_FILE, 0, 1));
    OK(sdb__sim_flip(rig.io, RIG_FILE, SUPERBLOCK_SIZE, 1));
    ck_assert_int_eq(rig_open(&rig), SDB_INVALID);
    ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "not an sdb database"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("checkpoint");
    TCase *memory = tcase_create("memory"), *simulated = tcase_create("simulated");

    tcase_set_timeout(memory, 60);
    tcase_set_timeout(simulated, 120);
    tcase_add_checked_fixture(memory, setup_memory, teardown);
    tcase_add_checked_fixture(simulated, setup_simulated, teardown);
    tcase_add_loop_test(memory, changes_after_the_cut_are_not_in_the_checkpoint, 0, 6);
    tcase_add_test(memory, a_page_in_memory_keeps_its_image_of_the_cut);
    tcase_add_test(memory, a_page_that_two_write_stays_where_the_checkpoint_has_it);
    tcase_add_test(memory, a_checkpoint_names_what_it_was_told);
    tcase_add_test(memory, an_announced_log_changes_nothing_else);
    tcase_add_test(memory, space_does_not_grow_with_the_number_of_checkpoints);
    tcase_add_test(memory, pins_keep_a_checkpoint_readable);
    tcase_add_loop_test(simulated, changes_after_the_cut_are_not_in_the_checkpoint, 0, 3);
    tcase_add_loop_test(simulated,
                        a_checkpoint_that_was_given_up_leaves_the_pager_as_good_as_before, 0, 8);
    tcase_add_test(simulated, a_failed_sync_or_superblock_is_final);
    tcase_add_test(simulated, a_full_disk_refuses_changes_and_nothing_is_lost);
    tcase_add_test(memory, refused_memory_gives_a_checkpoint_up_and_changes_nothing);
    tcase_add_test(memory, refused_memory_keeps_a_database_from_opening_and_nothing_leaks);
    tcase_add_loop_test(simulated, every_crash_leaves_a_whole_checkpoint, 0, 4);
    tcase_add_test(simulated, a_damaged_page_is_seen);
    tcase_add_test(simulated, a_damaged_extent_is_seen);
    tcase_add_test(simulated, a_damaged_map_is_seen_and_told);
    tcase_add_test(simulated, a_file_cut_short_is_seen);
    tcase_add_test(simulated, one_damaged_superblock_is_survived_and_two_are_seen);
    suite_add_tcase(suite, memory);
    suite_add_tcase(suite, simulated);
    return suite_run(suite);
}
