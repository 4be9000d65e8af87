/* SPDX-License-Identifier: Apache-2.0 */
/* test_generator.c: claims about what the bench writes and reads (bench/generator.h). */
#include "bench/generator.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static bench_generator generator_of(uint64_t count, size_t key_size, size_t value_size)
{
    return (bench_generator){
        .seed = 7, .count = count, .key_size = key_size, .value_size = value_size};
}

START_TEST(random_order_has_every_number_once)
{
    static const uint64_t counts[] = {1, 2, 3, 4, 5, 63, 64, 65, 1000, 4095, 4096, 4097};

    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        bench_generator g = generator_of(counts[c], 16, 100);
        unsigned char *seen = calloc(counts[c], 1);

        ck_assert_ptr_nonnull(seen);
        for (uint64_t pass = 0; pass < 3; pass++) {
            bench_order order;

            memset(seen, 0, counts[c]);
            bench_order_init(&order, &g, pass, false);
            for (uint64_t at = 0; at < counts[c]; at++) {
                uint64_t number = bench_order_at(&order, at);

                ck_assert_uint_lt(number, counts[c]);
                ck_assert_uint_eq(seen[number], 0);
                seen[number] = 1;
            }
        }
        free(seen);
    }
}
END_TEST

START_TEST(ascending_order_ascends)
{
    bench_generator g = generator_of(1000, 16, 100);
    bench_order order;

    bench_order_init(&order, &g, 0, true);
    for (uint64_t at = 0; at < 1000; at++) ck_assert_uint_eq(bench_order_at(&order, at), at);
}
END_TEST

START_TEST(random_order_leaves_few_neighbours_together)
{
    bench_generator g = generator_of(100000, 16, 100);
    bench_order order;
    unsigned close = 0;

    bench_order_init(&order, &g, 0, false);
    for (uint64_t at = 1; at < 100000; at++) {
        uint64_t a = bench_order_at(&order, at - 1);
        uint64_t b = bench_order_at(&order, at);

        if ((a > b ? a - b : b - a) < 100) close++;
    }
    ck_assert_uint_lt(close, 600); /* of a true permutation about 200 */
}
END_TEST

START_TEST(passes_and_seeds_give_different_orders)
{
    bench_generator g = generator_of(1000, 16, 100);
    bench_generator other = g;
    bench_order first;
    bench_order second;
    bench_order third;
    unsigned same = 0;

    other.seed++;
    bench_order_init(&first, &g, 0, false);
    bench_order_init(&second, &g, 1, false);
    bench_order_init(&third, &other, 0, false);
    for (uint64_t at = 0; at < 1000; at++) {
        same += bench_order_at(&first, at) == bench_order_at(&second, at);
        same += bench_order_at(&first, at) == bench_order_at(&third, at);
    }
    ck_assert_uint_lt(same, 30);
}
END_TEST

START_TEST(keys_ascend_with_their_numbers_and_missing_ones_lie_between)
{
    static const size_t sizes[] = {8, 9, 15, 16, 17, 64};

    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        bench_generator g = generator_of(100000, sizes[s], 100);
        unsigned char key[BENCH_KEY_MAX];
        unsigned char missing[BENCH_KEY_MAX];
        unsigned char next[BENCH_KEY_MAX];

        for (uint64_t i = 0; i < 12345; i++) {
            bench_generator_key(&g, i, key);
            bench_generator_missing(&g, i, missing);
            bench_generator_key(&g, i + 1, next);
            ck_assert_int_lt(memcmp(key, missing, sizes[s]), 0);
            ck_assert_int_lt(memcmp(missing, next, sizes[s]), 0);
        }
    }
}
END_TEST

START_TEST(key_is_decimal)
{
    bench_generator g = generator_of(1000000, 16, 100);
    unsigned char key[BENCH_KEY_MAX];

    bench_generator_key(&g, 617283, key);
    ck_assert_mem_eq(key, "0000000001234566", 16);
    g.key_size = 20;
    bench_generator_key(&g, 617283, key);
    ck_assert_mem_eq(key, "00000000012345660000", 20);
    g.key_size = 9;
    bench_generator_key(&g, 617283, key);
    ck_assert_mem_eq(key, "001234566", 9);
}
END_TEST

START_TEST(value_belongs_to_its_number_and_generation)
{
    static const size_t sizes[] = {16, 17, 99, 100, 101, 250, 4096};

    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        bench_generator g = generator_of(1000, 16, sizes[s]);
        unsigned char value[4096];
        unsigned char scratch[4096];

        bench_generator_value(&g, 5, 3, value);
        ck_assert(bench_generator_valid(&g, 5, 3, 3, value, sizes[s], scratch));
        ck_assert(bench_generator_valid(&g, 5, 1, 9, value, sizes[s], scratch));
        ck_assert(!bench_generator_valid(&g, 6, 1, 9, value, sizes[s], scratch));
        ck_assert(!bench_generator_valid(&g, 5, 4, 9, value, sizes[s], scratch));
        ck_assert(!bench_generator_valid(&g, 5, 1, 2, value, sizes[s], scratch));
        ck_assert(!bench_generator_valid(&g, 5, 1, 9, value, sizes[s] - 1, scratch));
    }
}
END_TEST

START_TEST(any_changed_byte_of_a_value_is_noticed)
{
    bench_generator g = generator_of(1000, 16, 100);
    unsigned char value[100];
    unsigned char scratch[100];

    bench_generator_value(&g, 5, 3, value);
    for (size_t i = 0; i < sizeof value; i++) {
        value[i] ^= 0x10;
        ck_assert(!bench_generator_valid(&g, 5, 1, 9, value, sizeof value, scratch));
        value[i] ^= 0x10;
    }
}
END_TEST

START_TEST(half_of_a_value_repeats_the_other)
{
    bench_generator g = generator_of(1000, 16, 300);
    unsigned char value[300];

    bench_generator_value(&g, 5, 3, value);
    ck_assert_mem_eq(value + 100, value + 150, 50);
    ck_assert_mem_eq(value + 200, value + 250, 50);
    ck_assert_mem_ne(value + 100, value + 200, 50);
}
END_TEST

START_TEST(digest_does_not_depend_on_the_order_and_counts_repetitions)
{
    uint64_t a = bench_digest("key1", 4, "value1", 6);
    uint64_t b = bench_digest("key2", 4, "value2", 6);

    ck_assert_uint_eq(a + b, b + a);
    ck_assert_uint_ne(a + a + b, a + b + b);
    ck_assert_uint_ne(a, b);
    ck_assert_uint_ne(bench_digest("key1", 4, "value2", 6) + bench_digest("key2", 4, "value1", 6),
                      a + b);
}
END_TEST

START_TEST(draws_stay_below_the_count_and_reach_everything)
{
    bench_generator g = generator_of(100, 16, 100);
    unsigned seen[100] = {0};

    for (uint64_t i = 0; i < 10000; i++) {
        uint64_t number = bench_generator_draw(&g, i);

        ck_assert_uint_lt(number, 100);
        seen[number]++;
    }
    for (unsigned i = 0; i < 100; i++) ck_assert_uint_gt(seen[i], 30);
}
END_TEST

START_TEST(keys_number_as_many_entries_as_their_digits_allow)
{
    ck_assert_uint_eq(bench_generator_limit(8), 50000000);
    ck_assert_uint_eq(bench_generator_limit(16), UINT64_C(5000000000000000));
    ck_assert_uint_eq(bench_generator_limit(64), UINT64_C(5000000000000000));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bench/generator");
    TCase *claims = tcase_create("claims");

    tcase_add_test(claims, random_order_has_every_number_once);
    tcase_add_test(claims, ascending_order_ascends);
    tcase_add_test(claims, random_order_leaves_few_neighbours_together);
    tcase_add_test(claims, passes_and_seeds_give_different_orders);
    tcase_add_test(claims, keys_ascend_with_their_numbers_and_missing_ones_lie_between);
    tcase_add_test(claims, key_is_decimal);
    tcase_add_test(claims, value_belongs_to_its_number_and_generation);
    tcase_add_test(claims, any_changed_byte_of_a_value_is_noticed);
    tcase_add_test(claims, half_of_a_value_repeats_the_other);
    tcase_add_test(claims, digest_does_not_depend_on_the_order_and_counts_repetitions);
    tcase_add_test(claims, draws_stay_below_the_count_and_reach_everything);
    tcase_add_test(claims, keys_number_as_many_entries_as_their_digits_allow);
    suite_add_tcase(suite, claims);
    return suite_run(suite);
}
