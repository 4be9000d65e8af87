/* SPDX-License-Identifier: Apache-2.0 */
/* test_mem.c: claims about memory, arenas and buffers (engine/base/mem.h). */
#include "engine/base/mem.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* An allocator that counts what is out and refuses once `left` requests have been granted. */
struct ledger {
    long out, left;
};

static void *resize_counted(void *context, void *memory, size_t size)
{
    struct ledger *ledger = context;
    void *result;

    if (size == 0) {
        if (memory) ledger->out--;
        free(memory);
        return NULL;
    }
    if (ledger->left == 0) return NULL;
    ledger->left--;
    result = realloc(memory, size);
    if (result && !memory) ledger->out++;
    return result;
}

static struct ledger ledger;
static const sdb_allocator counted = {resize_counted, &ledger};

static void setup(void)
{
    ledger = (struct ledger){.out = 0, .left = -1};
}

static void teardown(void)
{
    ck_assert_int_eq(ledger.out, 0);
}

START_TEST(nothing_is_still_a_piece_that_can_be_freed)
{
    void *piece = sdb__mem_alloc(&counted, 0);

    ck_assert_ptr_nonnull(piece);
    sdb__mem_free(&counted, piece);
    sdb__mem_free(&counted, NULL);
    piece = sdb__mem_alloc(&sdb__mem_default, 10);
    ck_assert_ptr_nonnull(piece);
    sdb__mem_free(&sdb__mem_default, piece);
}
END_TEST

START_TEST(zeroed_memory_is_zero_and_overflow_is_refused)
{
    unsigned char *piece = sdb__mem_zalloc(&counted, 100, 10);

    ck_assert_ptr_nonnull(piece);
    for (int i = 0; i < 1000; i++) ck_assert_uint_eq(piece[i], 0);
    sdb__mem_free(&counted, piece);
    ck_assert_ptr_null(sdb__mem_zalloc(&counted, SIZE_MAX / 2, 3));
    ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "more than memory can hold"));
}
END_TEST

START_TEST(refusal_leaves_a_sentence_and_the_old_piece)
{
    char *piece = sdb__mem_strdup(&counted, "kept");

    ck_assert_ptr_nonnull(piece);
    ledger.left = 0;
    ck_assert_ptr_null(sdb__mem_resize(&counted, piece, 1 << 20));
    ck_assert_str_eq(sdb_errmsg(), "the allocator refused 1048576 bytes");
    ck_assert_ptr_null(sdb__mem_strdup(&counted, "more"));
    ck_assert_str_eq(piece, "kept");
    sdb__mem_free(&counted, piece);
}
END_TEST

START_TEST(array_grows_by_doubling_and_keeps_its_elements)
{
    uint32_t *array = NULL;
    size_t capacity = 0;

    for (uint32_t i = 0; i < 10000; i++) {
        sdb_status status =
            sdb__mem_reserve(&counted, &array, &capacity, i + 1, sizeof *array);
        ck_assert_int_eq(status, SDB_OK);
        ck_assert_uint_ge(capacity, i + 1);
        array[i] = i;
    }
    for (uint32_t i = 0; i < 10000; i++) ck_assert_uint_eq(array[i], i);
    ck_assert_uint_eq(capacity, 16384);
    sdb__mem_free(&counted, array);
}
END_TEST

START_TEST(array_that_cannot_grow_stays_as_it_was)
{
    uint64_t *array = NULL, *before;
    size_t capacity = 0;

    ck_assert_int_eq(sdb__mem_reserve(&counted, &array, &capacity, 5, sizeof *array), SDB_OK);
    array[4] = 99;
    before = array;
    ledger.left = 0;
    ck_assert_int_eq(sdb__mem_reserve(&counted, &array, &capacity, 17, sizeof *array), SDB_NOMEM);
    ledger.left = -1;
    ck_assert_int_eq(sdb__mem_reserve(&counted, &array, &capacity, SIZE_MAX, 8), SDB_NOMEM);
    ck_assert_int_eq(sdb__mem_reserve(&counted, &array, &capacity, SIZE_MAX / 8, 8), SDB_NOMEM);
    ck_assert_ptr_eq(array, before);
    ck_assert_uint_eq(capacity, 16);
    ck_assert_uint_eq(array[4], 99);
    sdb__mem_free(&counted, array);
}
END_TEST

START_TEST(arena_pieces_are_aligned_apart_and_counted)
{
    struct arena arena = {.allocator = &counted};
    unsigned char *pieces[500];
    size_t total = 0;

    for (size_t i = 0; i < 500; i++) {
        size_t size = i * 7 % 3000;
        pieces[i] = sdb__arena_alloc(&arena, size);
        ck_assert_ptr_nonnull(pieces[i]);
        ck_assert_uint_eq((uintptr_t)pieces[i] % 8, 0);
        memset(pieces[i], (int)(i & 0xff), size);
        total += size;
    }
    for (size_t i = 0; i < 500; i++) {
        for (size_t j = 0; j < i * 7 % 3000; j++) ck_assert_uint_eq(pieces[i][j], i & 0xff);
    }
    ck_assert_uint_ge(arena.used_bytes, total);
    sdb__arena_done(&arena);
    ck_assert_uint_eq(arena.used_bytes, 0);
}
END_TEST

START_TEST(arena_serves_a_piece_larger_than_any_block)
{
    struct arena arena = {.allocator = &counted};
    char *small = sdb__arena_alloc(&arena, 8), *large = sdb__arena_alloc(&arena, 1 << 20), *next;

    ck_assert_ptr_nonnull(small);
    ck_assert_ptr_nonnull(large);
    memset(large, 1, 1 << 20);
    next = sdb__arena_alloc(&arena, 8);
    ck_assert_ptr_eq(next, small + 8); /* the head's room was not wasted */
    sdb__arena_done(&arena);
}
END_TEST

START_TEST(arena_reused_needs_no_memory)
{
    struct arena arena = {.allocator = &counted};

    for (int round = 0; round < 3; round++) {
        if (round == 2) ledger.left = 0;
        for (int i = 0; i < 20; i++) ck_assert_ptr_nonnull(sdb__arena_alloc(&arena, 24));
        sdb__arena_reset(&arena);
    }
    ck_assert_int_eq(ledger.out, 1);
    sdb__arena_done(&arena);
    sdb__arena_done(&arena);
}
END_TEST

START_TEST(arena_refused_keeps_its_pieces)
{
    struct arena arena = {.allocator = &counted};
    char *piece = sdb__arena_alloc(&arena, 100);

    ck_assert_ptr_nonnull(piece);
    memcpy(piece, "kept", 5);
    ledger.left = 0;
    ck_assert_ptr_null(sdb__arena_alloc(&arena, 2000));
    ck_assert_ptr_nonnull(sdb__arena_alloc(&arena, 100));
    ck_assert_str_eq(piece, "kept");
    sdb__arena_done(&arena);
}
END_TEST

START_TEST(buffer_holds_what_was_appended)
{
    struct buffer buffer = {0};

    for (int i = 0; i < 1000; i++) {
        ck_assert_int_eq(sdb__buffer_append(&counted, &buffer, "0123456789", 10), SDB_OK);
    }
    ck_assert_int_eq(sdb__buffer_append(&counted, &buffer, NULL, 0), SDB_OK);
    ck_assert_uint_eq(buffer.size, 10000);
    for (size_t i = 0; i < buffer.size; i++) ck_assert_uint_eq(buffer.data[i], '0' + i % 10);
    sdb__buffer_done(&counted, &buffer);
    ck_assert_ptr_null(buffer.data);
}
END_TEST

START_TEST(buffer_refused_keeps_its_bytes)
{
    struct buffer buffer = {0};

    ck_assert_int_eq(sdb__buffer_append(&counted, &buffer, "kept", 5), SDB_OK);
    ledger.left = 0;
    ck_assert_int_eq(sdb__buffer_reserve(&counted, &buffer, 1 << 20), SDB_NOMEM);
    ck_assert_uint_eq(buffer.size, 5);
    ck_assert_str_eq((char *)buffer.data, "kept");
    sdb__buffer_done(&counted, &buffer);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mem");
    TCase *plain = tcase_create("plain"), *arenas = tcase_create("arenas");

    tcase_add_checked_fixture(plain, setup, teardown);
    tcase_add_checked_fixture(arenas, setup, teardown);
    tcase_add_test(plain, nothing_is_still_a_piece_that_can_be_freed);
    tcase_add_test(plain, zeroed_memory_is_zero_and_overflow_is_refused);
    tcase_add_test(plain, refusal_leaves_a_sentence_and_the_old_piece);
    tcase_add_test(plain, array_grows_by_doubling_and_keeps_its_elements);
    tcase_add_test(plain, array_that_cannot_grow_stays_as_it_was);
    tcase_add_test(plain, buffer_holds_what_was_appended);
    tcase_add_test(plain, buffer_refused_keeps_its_bytes);
    tcase_add_test(arenas, arena_pieces_are_aligned_apart_and_counted);
    tcase_add_test(arenas, arena_serves_a_piece_larger_than_any_block);
    tcase_add_test(arenas, arena_reused_needs_no_memory);
    tcase_add_test(arenas, arena_refused_keeps_its_pieces);
    suite_add_tcase(suite, plain);
    suite_add_tcase(suite, arenas);
    return suite_run(suite);
}
