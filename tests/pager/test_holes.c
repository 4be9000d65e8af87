/* SPDX-License-Identifier: Apache-2.0 */
/* test_holes.c: claims about free space that goes back to the file system by itself. */
#include <string.h>

#include "engine/base/clock.h"
#include "tests/lib/suite.h"
#include "tests/pager/pager_fixture.h"

enum { FRAMES = 500, PAGES = 3000, FIRST = 1000, LAST = 2500, MUCH = 1 << 30 };

static struct rig rig;

static void make_database(bool is_simulated)
{
    rig_init(&rig, is_simulated, 7, 4096, FRAMES);
    rig_create(&rig);
    for (uint64_t i = 0, id; i < PAGES; i++) OK(rig_new(&rig, &id));
    OK(rig_checkpoint(&rig));
}

static void setup_memory(void) { make_database(false); }
static void setup_simulated(void) { make_database(true); }

static void teardown(void)
{
    if (!rig.pager) return;
    rig_check_space(&rig);
    rig_done(&rig);
}

static uint64_t hole_bytes(void)
{
    struct pager_stats stats;

    sdb__pager_stats(rig.pager, &stats);
    return stats.hole_bytes;
}

static void free_many(void)
{
    for (uint64_t id = FIRST; id < LAST; id++) OK(rig_free(&rig, id));
}

/* A checkpoint with one change, and what comes after it. */
static void go_on(uint64_t most)
{
    OK(rig_change(&rig, 1));
    OK(rig_checkpoint(&rig));
    OK(sdb__pager_give_back(rig.pager, most));
    rig_check_space(&rig);
}

START_TEST(what_two_checkpoints_left_free_becomes_a_hole)
{
    free_many();
    go_on(MUCH); /* these blocks are free with the end of this checkpoint */
    ck_assert_uint_eq(hole_bytes(), 0);
    go_on(MUCH);
    ck_assert_uint_gt(hole_bytes(), (LAST - FIRST) * UINT64_C(4096) / 3);
    rig_expect_all(&rig, rig.versions, PAGES + 1);
    rig_reopen(&rig);
    rig_expect_all(&rig, rig.versions, PAGES + 1);
}
END_TEST

START_TEST(a_part_of_what_is_in_use_stays_at_hand)
{
    struct pager_stats stats;

    free_many();
    for (int i = 0; i < 6; i++) go_on(MUCH);
    sdb__pager_stats(rig.pager, &stats);
    ck_assert_uint_le(stats.used_bytes + stats.hole_bytes + stats.used_bytes / 4,
                      stats.file_bytes + 4096);
    ck_assert_uint_ge(stats.used_bytes + stats.hole_bytes + stats.used_bytes / 4 + 4 * 1024 * 1024,
                      stats.file_bytes);
}
END_TEST

START_TEST(each_checkpoint_gives_a_bounded_part)
{
    uint64_t before = 0;

    free_many();
    go_on(0);
    go_on(0);
    for (int i = 0; i < 3; i++) {
        uint64_t now;

        go_on(1024 * 1024);
        now = hole_bytes();
        ck_assert_uint_le(now, before + 1024 * 1024);
        if (i == 0) ck_assert_uint_eq(now, 1024 * 1024);
        before = now;
    }
}
END_TEST

START_TEST(holes_are_written_again)
{
    uint64_t before, id;

    free_many();
    go_on(MUCH);
    go_on(MUCH);
    before = hole_bytes();
    for (int i = 0; i < 1200; i++) OK(rig_new(&rig, &id));
    OK(rig_checkpoint(&rig));
    ck_assert_uint_lt(hole_bytes(), before);
    rig_check_space(&rig);
    rig_reopen(&rig);
    ck_assert_uint_eq(hole_bytes(), 0); /* nobody knows any more */
    rig_expect_all(&rig, rig.versions, PAGES + 1);
}
END_TEST

START_TEST(a_pinned_checkpoint_keeps_its_blocks)
{
    struct superblock pinned;

    sdb__pager_pin(rig.pager, &pinned);
    free_many();
    for (int i = 0; i < 4; i++) go_on(MUCH);
    ck_assert_uint_eq(hole_bytes(), 0);
    sdb__pager_unpin(rig.pager);
    for (int i = 0; i < 3; i++) go_on(MUCH);
    ck_assert_uint_gt(hole_bytes(), 0);
}
END_TEST

START_TEST(a_crash_finds_what_the_last_checkpoint_had)
{
    uint64_t seed = rig_seed("a_crash_finds", 5), before[RIG_PAGES];

    if (!rig.is_simulated) return;
    free_many();
    go_on(MUCH);
    for (int round = 0; round < 12; round++) {
        uint64_t id = 1 + random_below(&seed, FIRST - 1);

        if (round % 3 == 2)
            for (uint64_t last = id + 300; id < last && id < FIRST; id++)
                if (rig.versions[id]) OK(rig_free(&rig, id));
        go_on(MUCH);
        memcpy(before, rig.versions, sizeof before);
        id = 1;
        while (!rig.versions[id]) id++;
        OK(rig_change(&rig, id)); /* not in a checkpoint: it will be gone */
        OK(sdb__sim_restart(rig.io, random_next(&seed)));
        rig_close(&rig);
        OK(rig_open(&rig));
        memcpy(rig.versions, before, sizeof before);
        rig_expect_all(&rig, rig.versions, PAGES + 1);
        rig_check_space(&rig);
    }
}
END_TEST

START_TEST(a_crash_while_holes_are_made_loses_nothing)
{
    if (!rig.is_simulated) return;
    free_many();
    for (uint64_t id = 3; id < FIRST; id += 500) /* so that there are several runs */
        for (uint64_t i = 0; i < 300; i++) OK(rig_free(&rig, id + i));
    go_on(MUCH);
    for (uint64_t step = 1; step <= 4; step++) {
        OK(rig_change(&rig, 1));
        OK(rig_checkpoint(&rig));
        sdb__sim_power_off_at(rig.io, sdb__sim_steps(rig.io) + step);
        (void)!sdb__pager_give_back(rig.pager, MUCH);
        OK(sdb__sim_restart(rig.io, step));
        sdb__sim_power_off_at(rig.io, 0);
        rig_close(&rig);
        OK(rig_open(&rig));
        rig_expect_all(&rig, rig.versions, PAGES + 1);
        rig_check_space(&rig);
        go_on(0);
    }
}
END_TEST

START_TEST(a_disk_that_fails_loses_nothing)
{
    if (!rig.is_simulated) return;
    free_many();
    go_on(MUCH);
    OK(rig_change(&rig, 1));
    OK(rig_checkpoint(&rig));
    sdb__sim_set_faults(rig.io, &(struct sim_faults){.fail_at = 1});
    ck_assert_int_eq(sdb__pager_give_back(rig.pager, MUCH), SDB_IO);
    sdb__sim_set_faults(rig.io, &(struct sim_faults){0});
    rig_check_space(&rig);
    go_on(MUCH);
    go_on(MUCH);
    ck_assert_uint_gt(hole_bytes(), 0);
    rig_expect_all(&rig, rig.versions, PAGES + 1);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, what_two_checkpoints_left_free_becomes_a_hole);
    tcase_add_test(tcase, a_part_of_what_is_in_use_stays_at_hand);
    tcase_add_test(tcase, each_checkpoint_gives_a_bounded_part);
    tcase_add_test(tcase, holes_are_written_again);
    tcase_add_test(tcase, a_pinned_checkpoint_keeps_its_blocks);
    tcase_add_test(tcase, a_crash_finds_what_the_last_checkpoint_had);
    tcase_add_test(tcase, a_crash_while_holes_are_made_loses_nothing);
    tcase_add_test(tcase, a_disk_that_fails_loses_nothing);
}

int main(void)
{
    Suite *suite = suite_create("holes");
    TCase *memory = tcase_create("memory"), *simulated = tcase_create("simulated");

    tcase_add_checked_fixture(memory, setup_memory, teardown);
    tcase_add_checked_fixture(simulated, setup_simulated, teardown);
    add_tests(memory);
    add_tests(simulated);
    suite_add_tcase(suite, memory);
    suite_add_tcase(suite, simulated);
    return suite_run(suite);
}
