/* SPDX-License-Identifier: Apache-2.0 */
/* test_histogram.c: claims about the bench's histogram (bench/histogram.h). */
#include "bench/histogram.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <stdlib.h>

/* The percentile that sorting would give: the smallest value that `percent` do not pass. */
static uint64_t sorted_percentile(const uint64_t *sorted, size_t count, double percent)
{
    double want = (double)count * percent / 100.0;
    size_t at = (size_t)want;

    if ((double)at == want && at > 0) at--;
    return sorted[at < count ? at : count - 1];
}

static void assert_near(uint64_t got, uint64_t want)
{
    uint64_t apart = got > want ? got - want : want - got;

    ck_assert_msg(apart <= want / 32, "%llu is too far from %llu", (unsigned long long)got,
                  (unsigned long long)want);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

START_TEST(empty_one_answers_zero)
{
    bench_histogram h;

    bench_histogram_init(&h);
    ck_assert_uint_eq(bench_histogram_percentile(&h, 50), 0);
    ck_assert_uint_eq(bench_histogram_percentile(&h, 100), 0);
    ck_assert(bench_histogram_mean(&h) == 0);
}
END_TEST

START_TEST(one_value_is_every_percentile)
{
    static const uint64_t values[] = {0, 1, 63, 64, 65, 1000, 123456789, UINT64_MAX};

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        bench_histogram h;

        bench_histogram_init(&h);
        bench_histogram_add(&h, values[i]);
        ck_assert_uint_eq(bench_histogram_percentile(&h, 0), values[i]);
        ck_assert_uint_eq(bench_histogram_percentile(&h, 50), values[i]);
        ck_assert_uint_eq(bench_histogram_percentile(&h, 99.9), values[i]);
        ck_assert_uint_eq(bench_histogram_percentile(&h, 100), values[i]);
    }
}
END_TEST

START_TEST(small_values_are_exact)
{
    bench_histogram h;

    bench_histogram_init(&h);
    for (uint64_t v = 1; v <= 60; v++) bench_histogram_add(&h, v);
    ck_assert_uint_eq(bench_histogram_percentile(&h, 50), 30);
    ck_assert_uint_eq(bench_histogram_percentile(&h, 90), 54);
    ck_assert_uint_eq(bench_histogram_percentile(&h, 100), 60);
    ck_assert(bench_histogram_mean(&h) == 30.5);
}
END_TEST

START_TEST(every_power_of_two_and_its_neighbours_have_a_bucket_near_them)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        for (int step = -1; step <= 1; step++) {
            uint64_t v = (UINT64_C(1) << bit) + (uint64_t)(int64_t)step;
            bench_histogram h;

            bench_histogram_init(&h);
            bench_histogram_add(&h, v);
            bench_histogram_add(&h, 0);          /* so that the clamp to min and max */
            bench_histogram_add(&h, UINT64_MAX); /* cannot hide the bucket's middle */
            if (v > 0 && v < UINT64_MAX) assert_near(bench_histogram_percentile(&h, 50), v);
        }
    }
}
END_TEST

START_TEST(percentiles_are_those_of_sorting_within_a_32nd)
{
    enum { COUNT = 20000 };
    static const double percents[] = {1, 10, 25, 50, 75, 90, 99, 99.9, 99.99};
    uint64_t *values = malloc(COUNT * sizeof *values);
    uint64_t state = 88172645463325252u;
    bench_histogram h;

    ck_assert_ptr_nonnull(values);
    bench_histogram_init(&h);
    for (size_t i = 0; i < COUNT; i++) {
        state ^= state << 13; /* Marsaglia's xorshift */
        state ^= state >> 7;
        state ^= state << 17;
        values[i] = state >> (20 + state % 40); /* over many powers of two */
        bench_histogram_add(&h, values[i]);
    }
    qsort(values, COUNT, sizeof *values, compare);
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++)
        assert_near(bench_histogram_percentile(&h, percents[i]),
                    sorted_percentile(values, COUNT, percents[i]));
    ck_assert_uint_eq(bench_histogram_percentile(&h, 0), values[0]);
    ck_assert_uint_eq(bench_histogram_percentile(&h, 100), values[COUNT - 1]);
    free(values);
}
END_TEST

START_TEST(percentiles_never_fall_as_the_percentage_grows)
{
    bench_histogram h;
    uint64_t last = 0;

    bench_histogram_init(&h);
    for (uint64_t v = 1; v < UINT64_C(1) << 40; v = v * 5 / 4 + 1) bench_histogram_add(&h, v);
    for (int percent = 0; percent <= 100; percent++) {
        uint64_t value = bench_histogram_percentile(&h, percent);

        ck_assert_uint_ge(value, last);
        last = value;
    }
}
END_TEST

START_TEST(merging_is_as_if_all_had_been_added_to_one)
{
    bench_histogram one;
    bench_histogram even;
    bench_histogram odd;

    bench_histogram_init(&one);
    bench_histogram_init(&even);
    bench_histogram_init(&odd);
    for (uint64_t v = 0; v < 100000; v += 7) {
        bench_histogram_add(&one, v);
        bench_histogram_add(v % 2 == 0 ? &even : &odd, v);
    }
    bench_histogram_merge(&even, &odd);
    ck_assert_uint_eq(even.count, one.count);
    ck_assert_uint_eq(even.sum, one.sum);
    ck_assert_uint_eq(even.min, one.min);
    ck_assert_uint_eq(even.max, one.max);
    ck_assert_mem_eq(even.buckets, one.buckets, sizeof one.buckets);
}
END_TEST

START_TEST(merging_an_empty_one_changes_nothing)
{
    bench_histogram h;
    bench_histogram empty;

    bench_histogram_init(&h);
    bench_histogram_init(&empty);
    bench_histogram_add(&h, 42);
    bench_histogram_merge(&h, &empty);
    ck_assert_uint_eq(h.count, 1);
    ck_assert_uint_eq(h.min, 42);
    ck_assert_uint_eq(h.max, 42);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bench/histogram");
    TCase *claims = tcase_create("claims");

    tcase_add_test(claims, empty_one_answers_zero);
    tcase_add_test(claims, one_value_is_every_percentile);
    tcase_add_test(claims, small_values_are_exact);
    tcase_add_test(claims, every_power_of_two_and_its_neighbours_have_a_bucket_near_them);
    tcase_add_test(claims, percentiles_are_those_of_sorting_within_a_32nd);
    tcase_add_test(claims, percentiles_never_fall_as_the_percentage_grows);
    tcase_add_test(claims, merging_is_as_if_all_had_been_added_to_one);
    tcase_add_test(claims, merging_an_empty_one_changes_nothing);
    suite_add_tcase(suite, claims);
    return suite_run(suite);
}
