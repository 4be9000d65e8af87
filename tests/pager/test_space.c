/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_space.c: claims about the blocks of the file (engine/pager/space.h), against an array of
 * flags.
 */
#include "engine/pager/space.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "tests/lib/suite.h"
#include "tests/pager/pager_fixture.h"

enum { BLOCKS = 4096 };

static uint8_t model[BLOCKS];

static struct space space;

static void setup(void)
{
    memset(model, 0, sizeof model);
    OK(sdb__space_init(&space, &sdb__mem_default, 16));
    memset(model, 1, 16);
}

static void teardown(void)
{
    sdb__space_done(&space);
}

/* Marks a run in the model; all of it must be `from` before. */
static void mark(uint64_t first, uint64_t count, uint8_t from, uint8_t to)
{
    for (uint64_t i = first; i < first + count; i++) {
        ck_assert_uint_lt(i, BLOCKS);
        ck_assert_uint_eq(model[i], from);
        model[i] = to;
    }
}

static uint64_t take(uint64_t count)
{
    uint64_t first;

    OK(sdb__space_take(&space, count, &first));
    mark(first, count, 0, 1);
    return first;
}

static void give(uint64_t first, uint64_t count)
{
    mark(first, count, 1, 0);
    sdb__space_give(&space, first, count);
}

static void check(void)
{
    uint64_t used = 0;

    for (uint64_t i = 0; i < BLOCKS; i++) {
        bool is_used = i / 64 < space.word_capacity && (space.words[i / 64] >> (i % 64) & 1);

        ck_assert_uint_eq(is_used, model[i]);
        if (is_used) ck_assert_uint_lt(i, space.end);
        used += is_used;
    }
    ck_assert_uint_eq(used, space.used);
}

/* The longest free run below `end`. */
static uint64_t longest_gap(void)
{
    uint64_t longest = 0, here = 0;

    for (uint64_t i = 0; i < space.end; i++) {
        here = model[i] ? 0 : here + 1;
        if (here > longest) longest = here;
    }
    return longest;
}

START_TEST(reserved_blocks_are_never_given_out)
{
    ck_assert_uint_eq(take(1), 16);
    ck_assert_uint_eq(take(3), 17);
    check();
}
END_TEST

START_TEST(next_fit_goes_on_where_it_was_and_comes_round)
{
    uint64_t a = take(8), b = take(8), c = take(8);

    (void)take(8);
    give(a, 8);
    give(c, 8);
    space.cursor = b; /* the last run taken was just before b */
    ck_assert_uint_eq(take(8), c);
    ck_assert_uint_eq(take(8), a);
    check();
}
END_TEST

START_TEST(a_gap_across_the_cursor_is_found)
{
    uint64_t a = take(100);

    (void)take(1);
    give(a, 100);
    space.cursor = a + 50;
    ck_assert_uint_eq(take(80), a);
    check();
}
END_TEST

START_TEST(a_full_file_grows_and_the_search_is_not_repeated)
{
    uint64_t a = take(200);

    for (uint64_t i = 0; i < 200; i += 2) give(a + i, 1);
    ck_assert_uint_eq(take(2), a + 200);
    ck_assert_uint_eq(space.hopeless, 2);
    ck_assert_uint_eq(take(3), a + 202);
    ck_assert_uint_lt(take(1), a + 200); /* a shorter run is still there */
    give(a + 197, 1);                    /* joins two gaps: hope again */
    ck_assert_uint_eq(space.hopeless, 0);
    ck_assert_uint_eq(take(3), a + 196);
    check();
}
END_TEST

START_TEST(claims_are_refused_where_a_part_is_in_use)
{
    OK(sdb__space_claim(&space, 100, 10));
    mark(100, 10, 0, 1);
    ck_assert_uint_eq(space.end, 110);
    ck_assert_int_eq(sdb__space_claim(&space, 95, 6), SDB_CORRUPT);
    ck_assert_int_eq(sdb__space_claim(&space, 109, 1), SDB_CORRUPT);
    ck_assert_int_eq(sdb__space_claim(&space, 15, 1), SDB_CORRUPT);
    check();
    OK(sdb__space_claim(&space, 95, 5));
    mark(95, 5, 0, 1);
    check();
}
END_TEST

START_TEST(shrinking_forgets_free_blocks_at_the_end)
{
    uint64_t a = take(300), b = take(1), c = take(200);

    give(c, 200);
    sdb__space_shrink(&space);
    ck_assert_uint_eq(space.end, b + 1);
    give(b, 1);
    give(a + 130, 170);
    sdb__space_shrink(&space);
    ck_assert_uint_eq(space.end, a + 130);
    ck_assert_uint_eq(take(4), a + 130);
    check();
    give(a, 130);
    give(a + 130, 4);
    sdb__space_shrink(&space);
    ck_assert_uint_eq(space.end, 16);
    check();
}
END_TEST

START_TEST(refused_memory_changes_nothing)
{
    struct rig rig;
    struct space small;
    uint64_t first, end;

    rig_init(&rig, false, 0, 4096, 64);
    OK(sdb__space_init(&small, &rig.memory.allocator, 16));
    end = small.end;
    rig.memory.fail_at = rig.memory.requests + 1;
    rig.memory.for_good = true;
    ck_assert_int_eq(sdb__space_take(&small, 1 << 20, &first), SDB_NOMEM);
    ck_assert_uint_eq(small.end, end);
    ck_assert_uint_eq(small.used, 16);
    rig.memory.fail_at = 0;
    OK(sdb__space_take(&small, 1 << 20, &first));
    ck_assert_uint_eq(first, 16);
    sdb__space_done(&small);
    rig_done(&rig);
}
END_TEST

START_TEST(random_taking_and_giving_agrees_with_the_model)
{
    uint64_t seed = rig_seed("space", 7), state = seed;
    struct { uint64_t first, count; } runs[400];
    size_t count = 0;

    for (int step = 0; step < 6000; step++) {
        uint64_t used = space.used;

        if (count < 400 && (count == 0 || (used < BLOCKS / 2 && random_below(&state, 2)))) {
            uint64_t wanted = 1 + random_below(&state, random_below(&state, 8) ? 9 : 60);
            uint64_t gap = longest_gap(), end = space.end;

            if (end + wanted > BLOCKS && gap < wanted) continue;
            runs[count].first = take(wanted);
            runs[count++].count = wanted;
            ck_assert_uint_eq(space.end, gap >= wanted ? end : end + wanted);
        } else {
            size_t i = random_below(&state, count);

            give(runs[i].first, runs[i].count);
            runs[i] = runs[--count];
        }
        if (random_below(&state, 100) == 0) sdb__space_shrink(&space);
        if (step % 16) continue;
        if (space.hopeless) ck_assert_uint_lt(longest_gap(), space.hopeless);
        if (step % 256 == 0) check();
    }
    check();
}
END_TEST

START_TEST(units_are_idle_while_nobody_takes_them)
{
    uint64_t first, count, all = take(20 * SPACE_UNIT), at;

    (void)take(1);
    ck_assert_uint_eq(sdb__space_units(&space), 20);
    give(all, 20 * SPACE_UNIT);
    sdb__space_age(&space, 0, 100);
    ck_assert_int_eq(sdb__space_take_idle(&space, 0, 100, 1, 100, &first, &count), SDB_END);
    space.cursor = all;
    at = take(SPACE_UNIT * 5); /* units 0 to 5 */
    give(at, SPACE_UNIT * 5);
    sdb__space_age(&space, 0, 10); /* 6 to 9 for the second time */
    sdb__space_age(&space, 10, 3);
    ck_assert_int_eq(sdb__space_take_idle(&space, 0, 100, 8, 100, &first, &count), SDB_END);
    ck_assert_int_eq(sdb__space_take_idle(&space, 0, 7, 2, 100, &first, &count), SDB_END);
    OK(sdb__space_take_idle(&space, 0, 100, 7, 100, &first, &count));
    ck_assert_uint_eq(first, 6);
    ck_assert_uint_eq(count, 7);
    mark(first * SPACE_UNIT, count * SPACE_UNIT, 0, 1);
    check();
    mark(first * SPACE_UNIT, count * SPACE_UNIT, 1, 0);
    sdb__space_give_hole(&space, first * SPACE_UNIT, count * SPACE_UNIT);
    ck_assert_uint_eq(space.holes, 7);
    space.cursor = first * SPACE_UNIT;
    at = take(SPACE_UNIT + 1);
    ck_assert_uint_eq(space.holes, 5);
    give(at, SPACE_UNIT + 1);
    check();
    ck_assert_int_eq(sdb__space_take_idle(&space, 0, 100, 7, 100, &first, &count), SDB_END);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("space");
    TCase *tcase = tcase_create("space");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, reserved_blocks_are_never_given_out);
    tcase_add_test(tcase, next_fit_goes_on_where_it_was_and_comes_round);
    tcase_add_test(tcase, a_gap_across_the_cursor_is_found);
    tcase_add_test(tcase, a_full_file_grows_and_the_search_is_not_repeated);
    tcase_add_test(tcase, claims_are_refused_where_a_part_is_in_use);
    tcase_add_test(tcase, shrinking_forgets_free_blocks_at_the_end);
    tcase_add_test(tcase, refused_memory_changes_nothing);
    tcase_add_test(tcase, random_taking_and_giving_agrees_with_the_model);
    tcase_add_test(tcase, units_are_idle_while_nobody_takes_them);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
