/* SPDX-License-Identifier: Apache-2.0 */
/* test_copies.c: claims about pages that a checkpoint writes from copies. */
#include <stdlib.h>
#include <string.h>

#include "tests/lib/suite.h"
#include "tests/pager/pager_fixture.h"

enum { PAGES = 20, MORE = 400 };

static struct rig rig;
static struct copies copies;
static uint64_t at_cut[RIG_PAGES], now[RIG_PAGES];

static void setup(void)
{
    rig_init(&rig, true, 1, 4096, 64);
    rig_create(&rig);
    for (uint64_t i = 0, id; i < PAGES; i++) OK(rig_new(&rig, &id));
    memcpy(at_cut, rig.versions, sizeof at_cut);
    sdb__pager_checkpoint_cut(rig.pager);
    memset(&copies, 0, sizeof copies);
}

static void teardown(void)
{
    rig_done(&rig);
}

static void copy(uint64_t id)
{
    uint32_t frame;

    ck_assert(sdb__pool_try_shared(rig.pager, id, false, &frame));
    OK(sdb__pool_copy(rig.pager, id, frame, &copies));
    sdb__pool_release_shared(rig.pager, id);
}

/* Makes so many pages that all others leave memory, if they may. */
static void crowd_out(void)
{
    for (uint64_t i = 0, id; i < MORE; i++) OK(rig_new(&rig, &id));
}

static void end_checkpoint(void)
{
    OK(sdb__pager_checkpoint_write(rig.pager));
    rig_check_space(&rig);
    OK(sdb__pager_checkpoint_finish(rig.pager, &rig.state, false));
    rig_check_space(&rig);
    rig_reopen(&rig);
    rig_expect_all(&rig, at_cut, PAGES + MORE + 1);
}

START_TEST(a_page_stays_in_memory_until_its_copy_is_written)
{
    copy(4);
    ck_assert_uint_eq(copies.count, 1);
    crowd_out();
    rig_expect_all(&rig, rig.versions, PAGES + MORE + 1);
    OK(sdb__pool_write_copies(rig.pager, &copies));
    crowd_out();
    rig_expect_all(&rig, rig.versions, PAGES + 2 * MORE + 1);
    end_checkpoint();
}
END_TEST

START_TEST(a_page_changes_or_ends_while_its_copy_waits)
{
    uint64_t made;

    for (uint64_t id = 4; id < 10; id++) copy(id);
    OK(rig_change(&rig, 4));
    OK(rig_change(&rig, 5));
    OK(rig_free(&rig, 6));
    OK(rig_free(&rig, 7));
    OK(rig_new(&rig, &made)); /* the id of one of them, and perhaps its frame */
    ck_assert_uint_lt(made, 8);
    crowd_out();
    rig_check_space(&rig);
    OK(sdb__pool_write_copies(rig.pager, &copies));
    rig_check_space(&rig);
    memcpy(now, rig.versions, sizeof now);
    rig_expect_all(&rig, now, PAGES + MORE + 1);
    end_checkpoint();
}
END_TEST

START_TEST(a_page_that_somebody_else_has_written_is_not_copied)
{
    uint32_t frame;

    ck_assert(sdb__pool_try_shared(rig.pager, 4, false, &frame));
    OK(sdb__pool_write(rig.pager, &frame, 1));
    OK(sdb__pool_copy(rig.pager, 4, frame, &copies));
    sdb__pool_release_shared(rig.pager, 4);
    ck_assert_uint_eq(copies.count, 0);
    OK(sdb__pool_write_copies(rig.pager, &copies));
    end_checkpoint();
}
END_TEST

/* One write of the batch fails: of the rest nobody asks which. */
START_TEST(a_copy_that_cannot_be_written_leaves_the_page_dirty)
{
    struct sim_faults faults = {.fail_at = 1};
    struct pager_stats stats;

    for (uint64_t id = 1; id <= PAGES; id++) copy(id);
    OK(rig_change(&rig, 4));
    sdb__pager_stats(rig.pager, &stats);
    ck_assert_uint_eq(stats.dirty_pages, 1);
    sdb__sim_set_faults(rig.io, &faults);
    ck_assert_int_eq(sdb__pool_write_copies(rig.pager, &copies), SDB_IO);
    faults = (struct sim_faults){0};
    sdb__sim_set_faults(rig.io, &faults);
    sdb__pager_stats(rig.pager, &stats);
    ck_assert_uint_eq(stats.dirty_pages, PAGES);
    crowd_out();
    rig_expect_all(&rig, rig.versions, PAGES + MORE + 1);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("copies");
    Suite *suite = suite_create("copies");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, a_page_stays_in_memory_until_its_copy_is_written);
    tcase_add_test(cases, a_page_changes_or_ends_while_its_copy_waits);
    tcase_add_test(cases, a_page_that_somebody_else_has_written_is_not_copied);
    tcase_add_test(cases, a_copy_that_cannot_be_written_leaves_the_page_dirty);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}
