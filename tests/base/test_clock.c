/* SPDX-License-Identifier: Apache-2.0 */
/* test_clock.c: claims about time and chance (engine/base/clock.h). */
#include "engine/base/clock.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <stdlib.h>

START_TEST(clock_never_goes_back)
{
    uint64_t before = sdb__clock_now_ns();

    for (int i = 0; i < 100000; i++) {
        uint64_t now = sdb__clock_now_ns();
        ck_assert_uint_ge(now, before);
        before = now;
    }
}
END_TEST

START_TEST(sleep_takes_at_least_what_was_asked)
{
    uint64_t start = sdb__clock_now_ns();

    sdb__clock_sleep_ns(3000000);
    ck_assert_uint_ge(sdb__clock_now_ns() - start, 3000000);
}
END_TEST

START_TEST(seeds_differ)
{
    uint64_t first = sdb__random_seed();

    ck_assert_uint_ne(first, sdb__random_seed());
}
END_TEST

START_TEST(generator_is_splitmix64)
{
    /* The published sequence for seed 1234567 (Steele et al.; also Rosetta Code's test values). */
    static const uint64_t published[] = {
        UINT64_C(6457827717110365317), UINT64_C(3203168211198807973),
        UINT64_C(9817491932198370423), UINT64_C(4593380528125082431),
        UINT64_C(16408922859458223821)};
    uint64_t state = 1234567;

    for (int i = 0; i < 5; i++) ck_assert_uint_eq(random_next(&state), published[i]);
}
END_TEST

START_TEST(random_below_stays_below_and_reaches_everything)
{
    uint64_t state = 1;
    unsigned seen[10] = {0};

    for (int i = 0; i < 10000; i++) {
        uint64_t v = random_below(&state, 10);
        ck_assert_uint_lt(v, 10);
        seen[v]++;
    }
    for (int i = 0; i < 10; i++) {
        ck_assert_uint_gt(seen[i], 800);
        ck_assert_uint_lt(seen[i], 1200);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("clock");
    TCase *time = tcase_create("time"), *chance = tcase_create("chance");

    tcase_add_test(time, clock_never_goes_back);
    tcase_add_test(time, sleep_takes_at_least_what_was_asked);
    tcase_add_test(chance, seeds_differ);
    tcase_add_test(chance, generator_is_splitmix64);
    tcase_add_test(chance, random_below_stays_below_and_reaches_everything);
    suite_add_tcase(suite, time);
    suite_add_tcase(suite, chance);
    return suite_run(suite);
}
