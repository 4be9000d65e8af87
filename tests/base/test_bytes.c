/* SPDX-License-Identifier: Apache-2.0 */
/* test_bytes.c: claims about fields, varints and digests (engine/base/bytes.h). */
#include "engine/base/bytes.h"
#include "engine/base/clock.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <stdlib.h>

static const uint64_t edges[] = {
    0, 1, 127, 128, 16383, 16384, (1u << 21) - 1, 1u << 21, UINT32_MAX, (uint64_t)UINT32_MAX + 1,
    (UINT64_C(1) << 56) - 1, UINT64_C(1) << 56, UINT64_C(1) << 63, UINT64_MAX};

START_TEST(fields_are_little_endian_at_any_alignment)
{
    uint8_t bytes[16] = {0};

    put_u16(bytes + 1, 0x0102);
    ck_assert_uint_eq(bytes[1], 0x02);
    ck_assert_uint_eq(bytes[2], 0x01);
    ck_assert_uint_eq(get_u16(bytes + 1), 0x0102);
    put_u32(bytes + 3, 0x01020304);
    ck_assert_uint_eq(bytes[3], 0x04);
    ck_assert_uint_eq(bytes[6], 0x01);
    ck_assert_uint_eq(get_u32(bytes + 3), 0x01020304);
    put_u64(bytes + 5, UINT64_C(0x0102030405060708));
    ck_assert_uint_eq(bytes[5], 0x08);
    ck_assert_uint_eq(bytes[12], 0x01);
    ck_assert_uint_eq(get_u64(bytes + 5), UINT64_C(0x0102030405060708));
}
END_TEST

START_TEST(varint_comes_back_at_every_edge)
{
    uint8_t bytes[VARINT_MAX];
    uint64_t v = 1;
    size_t size = sdb__varint_put(bytes, edges[_i]);

    ck_assert_uint_le(size, VARINT_MAX);
    ck_assert_uint_eq(sdb__varint_get(bytes, bytes + size, &v), size);
    ck_assert_uint_eq(v, edges[_i]);
}
END_TEST

START_TEST(varint_takes_one_byte_for_seven_bits)
{
    uint8_t bytes[VARINT_MAX];

    for (unsigned bits = 1; bits <= 64; bits++) {
        uint64_t v = UINT64_MAX >> (64 - bits);
        ck_assert_uint_eq(sdb__varint_put(bytes, v), (bits + 6) / 7);
    }
}
END_TEST

START_TEST(varint_cut_short_is_refused_and_leaves_the_output)
{
    uint8_t bytes[VARINT_MAX];
    size_t size = sdb__varint_put(bytes, edges[_i]);
    uint64_t v = 42;

    for (size_t cut = 0; cut < size; cut++) {
        ck_assert_uint_eq(sdb__varint_get(bytes, bytes + cut, &v), 0);
        ck_assert_uint_eq(v, 42);
    }
}
END_TEST

START_TEST(varint_of_more_than_64_bits_is_refused)
{
    const uint8_t last_too_large[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
    const uint8_t endless[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00};
    uint64_t v = 42;

    ck_assert_uint_eq(sdb__varint_get(last_too_large, last_too_large + 10, &v), 0);
    ck_assert_uint_eq(sdb__varint_get(endless, endless + 11, &v), 0);
    ck_assert_uint_eq(v, 42);
}
END_TEST

START_TEST(varint_of_random_bytes_never_reads_past_the_end)
{
    uint64_t seed = 7;

    for (int round = 0; round < 20000; round++) {
        size_t size = (size_t)random_below(&seed, 13);
        /* Exactly as large as it says, so that a sanitizer sees one byte too many. */
        uint8_t *bytes = malloc(size ? size : 1);
        uint64_t v = 0;
        size_t used;

        ck_assert_ptr_nonnull(bytes);
        for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)(random_next(&seed) | 0x80);
        if (size && (seed & 1)) bytes[size - 1] &= 0x7f;
        used = sdb__varint_get(bytes, bytes + size, &v);
        ck_assert_uint_le(used, size);
        free(bytes);
    }
}
END_TEST

START_TEST(order_is_that_of_bytes_and_a_prefix_comes_first)
{
    ck_assert_int_eq(compare_bytes("", 0, "", 0), 0);
    ck_assert_int_eq(compare_bytes(NULL, 0, NULL, 0), 0);
    ck_assert_int_lt(compare_bytes(NULL, 0, "a", 1), 0);
    ck_assert_int_gt(compare_bytes("a", 1, NULL, 0), 0);
    ck_assert_int_lt(compare_bytes("ab", 2, "abc", 3), 0);
    ck_assert_int_gt(compare_bytes("b", 1, "abc", 3), 0);
    ck_assert_int_gt(compare_bytes("\xff", 1, "\x7f", 1), 0);
    ck_assert_int_eq(compare_bytes("a\0b", 3, "a\0b", 3), 0);
}
END_TEST

START_TEST(digest_is_xxh3_and_heeds_its_seed)
{
    /* Pinned, as people's disks depend on it: XXH3_64bits of nothing, from xxHash's own tests. */
    ck_assert_uint_eq(sdb__digest("", 0, 0), UINT64_C(0x2d06800538d394c2));
    ck_assert_uint_ne(sdb__digest("sdb", 3, 0), sdb__digest("sdb", 3, 1));
    ck_assert_uint_ne(sdb__digest("sdb", 3, 0), sdb__digest("sdc", 3, 0));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bytes");
    TCase *fields = tcase_create("fields"), *varints = tcase_create("varints");
    int edge_count = (int)(sizeof edges / sizeof edges[0]);

    tcase_add_test(fields, fields_are_little_endian_at_any_alignment);
    tcase_add_test(fields, order_is_that_of_bytes_and_a_prefix_comes_first);
    tcase_add_test(fields, digest_is_xxh3_and_heeds_its_seed);
    tcase_add_loop_test(varints, varint_comes_back_at_every_edge, 0, edge_count);
    tcase_add_test(varints, varint_takes_one_byte_for_seven_bits);
    tcase_add_loop_test(varints, varint_cut_short_is_refused_and_leaves_the_output, 0, edge_count);
    tcase_add_test(varints, varint_of_more_than_64_bits_is_refused);
    tcase_add_test(varints, varint_of_random_bytes_never_reads_past_the_end);
    suite_add_tcase(suite, fields);
    suite_add_tcase(suite, varints);
    return suite_run(suite);
}
