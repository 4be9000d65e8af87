/* SPDX-License-Identifier: Apache-2.0 */
/* test_dice.c: claims about which operations a mix is made of (bench/dice.h). */
#include "bench/dice.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

enum { COUNT = 10000 };

static bench_generator generator = {.seed = 7, .count = COUNT, .key_size = 16, .value_size = 100};

static bench_dice dice_of(const bench_mix *mix)
{
    bench_order inserts;
    bench_dice dice;

    bench_order_init(&inserts, &generator, 1, false);
    bench_dice_init(&dice, mix, &generator, &inserts);
    return dice;
}

/* A rank's share of even draws is its weight, exactly so for the first two. */
START_TEST(zipf_rank_has_its_share)
{
    static unsigned seen[COUNT];
    enum { DRAWS = 1000000 };
    bench_zipf zipf;
    unsigned rest = 0;

    bench_zipf_init(&zipf, COUNT, 0.99);
    for (unsigned i = 0; i < DRAWS; i++) {
        uint64_t rank = bench_zipf_rank(&zipf, (i + 0.5) / DRAWS);

        if (rank >= COUNT) ck_abort_msg("rank %llu", (unsigned long long)rank);
        seen[rank]++;
    }
    for (unsigned r = 0; r < 2; r++)
        ck_assert_double_eq_tol(seen[r], DRAWS * pow(r + 1, -0.99) / zipf.zeta, 2);
    for (unsigned r = 9; r < 12; r++)
        ck_assert_double_eq_tol(seen[r] / (DRAWS * pow(r + 1, -0.99) / zipf.zeta), 1, 0.1);
    for (unsigned r = COUNT / 2; r < COUNT; r++) rest += seen[r];
    ck_assert_double_eq_tol(rest / (double)DRAWS, 0.07, 0.01);
}
END_TEST

START_TEST(zipf_of_few_stays_below_their_count)
{
    for (uint64_t count = 1; count < 6; count++) {
        bench_zipf zipf;

        bench_zipf_init(&zipf, count, 0.99);
        for (unsigned i = 0; i < 1000; i++)
            ck_assert_uint_lt(bench_zipf_rank(&zipf, i / 1000.0), count);
        ck_assert_uint_lt(bench_zipf_rank(&zipf, 0x1.fffffffffffffp-1), count);
    }
}
END_TEST

START_TEST(mix_has_its_percentages)
{
    static const bench_mix mix = {
        .read = 40, .update = 30, .insert = 15, .scan = 10, .modify = 5, .chooser = BENCH_ZIPFIAN};
    bench_dice dice = dice_of(&mix);
    unsigned seen[5] = {0};

    for (uint64_t i = 0; i < COUNT; i++) seen[bench_dice_roll(&dice, i).action]++;
    ck_assert_double_eq_tol(seen[BENCH_READ], 4000, 150);
    ck_assert_double_eq_tol(seen[BENCH_UPDATE], 3000, 150);
    ck_assert_double_eq_tol(seen[BENCH_INSERT], 1500, 150);
    ck_assert_double_eq_tol(seen[BENCH_SCAN], 1000, 150);
    ck_assert_double_eq_tol(seen[BENCH_MODIFY], 500, 150);
}
END_TEST

START_TEST(no_two_inserts_meet_and_scans_have_a_length)
{
    static const bench_mix mix = {.scan = 50, .insert = 50, .chooser = BENCH_ZIPFIAN};
    static unsigned seen[COUNT];
    bench_dice dice = dice_of(&mix);

    for (uint64_t i = 0; i < COUNT; i++) {
        bench_roll roll = bench_dice_roll(&dice, i);

        ck_assert_uint_lt(roll.number, COUNT);
        if (roll.action == BENCH_INSERT) {
            ck_assert_uint_eq(seen[roll.number]++, 0);
        } else {
            ck_assert_uint_ge(roll.length, 1);
            ck_assert_uint_le(roll.length, BENCH_SCAN_MAX);
        }
    }
}
END_TEST

/* Zipfian entries in demand are not neighbours; of uniform ones none is in demand. */
START_TEST(choosers_differ_in_demand)
{
    static const bench_mix mixes[] = {{.read = 100, .chooser = BENCH_UNIFORM},
                                      {.read = 100, .chooser = BENCH_ZIPFIAN},
                                      {.read = 100, .chooser = BENCH_LATEST}};
    unsigned most[3] = {0};
    uint64_t most_at[3] = {0};

    for (unsigned m = 0; m < 3; m++) {
        static unsigned seen[3][COUNT];
        bench_dice dice = dice_of(&mixes[m]);

        for (uint64_t i = 0; i < COUNT; i++) {
            uint64_t number = bench_dice_roll(&dice, i).number;

            if (++seen[m][number] <= most[m]) continue;
            most[m] = seen[m][number];
            most_at[m] = number;
        }
    }
    ck_assert_uint_lt(most[0], 12);
    ck_assert_uint_gt(most[1], 800);
    ck_assert_uint_ne(most_at[1], 0);
    ck_assert_uint_gt(most[2], 800);
    ck_assert_uint_eq(most_at[2], 0); /* an age */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bench/dice");
    TCase *claims = tcase_create("claims");

    tcase_add_test(claims, zipf_rank_has_its_share);
    tcase_add_test(claims, zipf_of_few_stays_below_their_count);
    tcase_add_test(claims, mix_has_its_percentages);
    tcase_add_test(claims, no_two_inserts_meet_and_scans_have_a_length);
    tcase_add_test(claims, choosers_differ_in_demand);
    suite_add_tcase(suite, claims);
    return suite_run(suite);
}
