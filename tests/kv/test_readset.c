/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_readset.c: what was read is remembered: exactly while there is room, and more than that, but
 * never less, when there is not.
 *
 * Keys are single bytes, so a model is 256 bits for each keyspace. SEED repeats a run.
 */
#include "tests/kv/kv_fixture.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"
#include "index/kv/readset.h"

enum { SPACES = 3 };

static struct kv_ledger ledger;
static sdb_allocator allocator;
static struct read_set reads;
static bool model[SPACES][256];

static void setup(void)
{
    ledger = (struct kv_ledger){.left = -1};
    allocator = kv_ledger_allocator(&ledger);
    sdb__reads_init(&reads, &allocator);
    sdb__reads_reset(&reads, true, false);
    memset(model, 0, sizeof model);
}

static void teardown(void)
{
    sdb__reads_done(&reads);
    ck_assert_int_eq(atomic_load(&ledger.out), 0);
}

static bool holds(uint32_t keyspace, uint8_t key)
{
    const struct read_range *range = NULL;
    struct read_view v;

    if (reads.everything) return true;
    while ((range = sdb__reads_next(&reads, range, &v)) != NULL)
        if (v.keyspace == keyspace && compare_bytes(v.lower.data, v.lower.size, &key, 1) <= 0 &&
            (!v.has_upper || compare_bytes(v.upper.data, v.upper.size, &key, 1) > 0))
            return true;
    return false;
}

/* Ranges are in order, not empty, and do not touch. */
static unsigned check_order(void)
{
    const struct read_range *range = NULL;
    struct read_view v, before = {0};
    unsigned count = 0;

    while ((range = sdb__reads_next(&reads, range, &v)) != NULL) {
        if (v.has_upper)
            ck_assert_int_lt(compare_bytes(v.lower.data, v.lower.size, v.upper.data, v.upper.size),
                             0);
        if (count && before.keyspace == v.keyspace) {
            ck_assert(before.has_upper);
            ck_assert_int_lt(compare_bytes(before.upper.data, before.upper.size, v.lower.data,
                                           v.lower.size), 0);
        }
        if (count) ck_assert_uint_le(before.keyspace, v.keyspace);
        before = v;
        count++;
    }
    return count;
}

/* Reads [from, to], [from, to) or all from `from` on, here and in the model. */
static void read_some(uint32_t keyspace, unsigned from, unsigned to, enum read_end end)
{
    uint8_t lower = (uint8_t)from, upper = (uint8_t)to;

    sdb__reads_add(&reads, keyspace, (struct bytes){&lower, 1}, end, (struct bytes){&upper, 1});
    for (unsigned k = from; k < 256; k++)
        if (end == READ_TO_END || k < to || (end == READ_WITH && k == to))
            model[keyspace][k] = true;
}

static void read_at_random(uint64_t *random)
{
    unsigned from = (unsigned)random_below(random, 256), length = (unsigned)random_below(random, 6);
    unsigned to = from + length > 255 ? 255 : from + length;
    uint64_t how = random_below(random, 60);

    read_some((uint32_t)random_below(random, SPACES), from, to,
              how == 0 ? READ_TO_END : how < 30 ? READ_WITH : READ_WITHOUT);
}

START_TEST(just_what_was_read_is_held)
{
    uint64_t random = kv_seed("test_readset", 41) + (uint64_t)_i;

    for (unsigned n = 0; n < 40; n++) {
        read_at_random(&random);
        (void)check_order();
        for (uint32_t s = 0; s < SPACES; s++)
            for (unsigned k = 0; k < 256; k++)
                ck_assert_msg(holds(s, (uint8_t)k) == model[s][k], "keyspace %u, key %u", s, k);
    }
}
END_TEST

START_TEST(nothing_is_lost_when_room_is_short)
{
    uint64_t random = kv_seed("test_readset", 41) + (uint64_t)_i;

    reads.limit = 300 + random_below(&random, 3000);
    for (unsigned n = 0; n < 100; n++) {
        read_at_random(&random);
        (void)check_order();
        ck_assert_uint_le(reads.bytes, reads.limit);
        for (uint32_t s = 0; s < SPACES; s++)
            for (unsigned k = 0; k < 256; k++) ck_assert(holds(s, (uint8_t)k) || !model[s][k]);
    }
}
END_TEST

START_TEST(nothing_is_lost_when_memory_is_refused)
{
    uint64_t random = 7;

    atomic_store(&ledger.left, _i);
    for (unsigned n = 0; n < 20; n++) read_at_random(&random);
    for (uint32_t s = 0; s < SPACES; s++)
        for (unsigned k = 0; k < 256; k++) ck_assert(holds(s, (uint8_t)k) || !model[s][k]);
    ck_assert(reads.everything);
    atomic_store(&ledger.left, -1);
    sdb__reads_reset(&reads, true, false);
    ck_assert(!holds(0, 1));
}
END_TEST

START_TEST(a_walk_is_one_range_in_either_direction)
{
    for (unsigned k = 10; k < 100; k++) read_some(0, k, k + 1, READ_WITH);
    ck_assert_uint_eq(check_order(), 1);
    for (unsigned k = 200; k > 101; k--) read_some(0, k - 1, k, READ_WITHOUT);
    ck_assert_uint_eq(check_order(), 2);
    read_some(0, 100, 101, READ_WITH);
    ck_assert_uint_eq(check_order(), 1);
    ck_assert_uint_lt(reads.bytes, 400);
}
END_TEST

START_TEST(what_is_not_active_remembers_nothing)
{
    sdb__reads_reset(&reads, false, false);
    read_some(0, 1, 2, READ_WITH);
    ck_assert_uint_eq(check_order(), 0);
}
END_TEST

START_TEST(a_key_that_was_seen_is_known_and_most_others_are_not)
{
    unsigned known = 0;

    sdb__reads_reset(&reads, false, true);
    for (uint32_t k = 0; k < 100; k++)
        reads_add_key(&reads, 7, (struct bytes){(const uint8_t *)&k, sizeof k});
    for (uint32_t k = 0; k < 1100; k++) {
        bool may = sdb__reads_may_have_seen(&reads, 7, (struct bytes){(uint8_t *)&k, sizeof k});

        ck_assert(may || k >= 100);
        known += may;
    }
    ck_assert_uint_lt(known, 150);
    ck_assert_uint_eq(check_order(), 0);
    sdb__reads_reset(&reads, false, true);
    for (uint32_t k = 0; k < 100; k++)
        ck_assert(!sdb__reads_may_have_seen(&reads, 7, (struct bytes){(uint8_t *)&k, sizeof k}));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("readset");
    TCase *cases = tcase_create("readset");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_loop_test(cases, just_what_was_read_is_held, 0, 40);
    tcase_add_loop_test(cases, nothing_is_lost_when_room_is_short, 0, 40);
    tcase_add_loop_test(cases, nothing_is_lost_when_memory_is_refused, 0, 12);
    tcase_add_test(cases, a_walk_is_one_range_in_either_direction);
    tcase_add_test(cases, a_key_that_was_seen_is_known_and_most_others_are_not);
    tcase_add_test(cases, what_is_not_active_remembers_nothing);
    suite_add_tcase(suite, cases);
    return kv_main(suite);
}
