/* SPDX-License-Identifier: Apache-2.0 */
/* test_pack.c: claims about packed pages: they come back, and nothing else does any harm. */
#include "tests/pager/pager_fixture.h"

#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/pager/pack.h"
#include "engine/pager/dictionary.h"
#include "engine/pager/space.h"
#include "tests/lib/suite.h"

enum { PAGE = 8192, ROUNDS = 4000 };

static struct pack_room *room;
static uint8_t page[PAGE], packed[PAGE], back[PAGE];

static void set_up(void)
{
    OK(sdb__pack_room_new(&sdb__mem_default, PAGE, NULL, NULL, &room));
}

static void tear_down(void)
{
    sdb__pack_room_free(room);
}

/* A page of which about `share` of 256 bytes are random. */
static void fill_page(uint64_t *random, unsigned share)
{
    for (size_t i = 0; i < PAGE; i++)
        page[i] = random_below(random, 256) < share ? (uint8_t)random_next(random)
                                                    : (uint8_t)(i % 16);
}

/* Unpacks a copy of `size` packed bytes that stands alone in memory of just a page. */
static const char *unpack(const uint8_t *from, size_t size)
{
    uint8_t *alone = malloc(PAGE);
    const char *wrong;

    ck_assert_ptr_nonnull(alone);
    memset(alone, 0xee, PAGE);
    memcpy(alone, from, size);
    OK(sdb__unpack(room, alone, size, &wrong));
    memcpy(back, alone, PAGE);
    free(alone);
    return wrong;
}

static const struct packing ways[] = {
    {PACK_LZ4, 0, NULL}, {PACK_ZSTD, 0, NULL}, {PACK_ZSTD, 1, NULL}, {PACK_ZSTD, 19, NULL}};
enum { WAYS = sizeof ways / sizeof ways[0] };

START_TEST(pages_come_back_and_take_whole_blocks)
{
    uint64_t random = rig_seed("pages_come_back", 7);

    for (unsigned i = 0; i < 400; i++) {
        size_t size;

        fill_page(&random, i % 257);
        size = sdb__pack(room, ways[i % WAYS], page, packed);
        if (i % 257 == 256) ck_assert_uint_eq(size, 0);
        if (size == 0) continue;
        ck_assert_uint_eq(size % SPACE_BLOCK, 0);
        ck_assert_uint_le(size, PAGE - SPACE_BLOCK);
        ck_assert_ptr_null(unpack(packed, size));
        ck_assert_mem_eq(back, page, PAGE);
    }
    fill_page(&random, 0);
    for (unsigned i = 0; i < WAYS; i++)
        ck_assert_uint_eq(sdb__pack(room, ways[i], page, packed), SPACE_BLOCK);
    fill_page(&random, 256);
    for (unsigned i = 0; i < WAYS; i++)
        ck_assert_uint_eq(sdb__pack(room, ways[i], page, packed), 0);
}
END_TEST

/* The dense form of a page here: how much of it is meant, and that. The rest comes back 0. */
static size_t make_dense(const uint8_t *from, uint32_t page_size, uint8_t *to)
{
    size_t size = get_u16(from);

    ck_assert_uint_le(size, page_size);
    memcpy(to, from, size);
    return size;
}

static const char *undo_dense(const uint8_t *dense, size_t size, uint8_t *to, uint32_t page_size)
{
    if (size < 2 || get_u16(dense) != size) return "not that dense";
    memcpy(to, dense, size);
    memset(to + size, 0, page_size - size);
    return NULL;
}

START_TEST(dense_form_is_what_is_packed)
{
    static const struct pack_dense dense = {make_dense, undo_dense};
    uint64_t random = 3;
    struct pack_room *plain = room;

    OK(sdb__pack_room_new(&sdb__mem_default, PAGE, NULL, &dense, &room));
    for (unsigned i = 0; i < WAYS; i++) {
        size_t size;

        fill_page(&random, 256);
        put_u16(page, 1000);
        size = sdb__pack(room, ways[i], page, packed);
        ck_assert_uint_gt(size, 0);
        ck_assert_uint_le(size, 1536);
        ck_assert_uint_eq(get_u32(packed + 4), (uint32_t)ways[i].algorithm | PACK_DENSE);
        ck_assert_ptr_null(unpack(packed, size));
        memset(page + 1000, 0, PAGE - 1000);
        ck_assert_mem_eq(back, page, PAGE);

        put_u32(packed + 4, ways[i].algorithm); /* says that it is a whole page */
        ck_assert_ptr_nonnull(unpack(packed, size));
        put_u16(page, 1001);
        size = sdb__pack(plain, ways[i], page, packed);
        ck_assert_uint_gt(size, 0);
        ck_assert_ptr_null(unpack(packed, size)); /* a page that was packed as it is */
        put_u32(packed + 4, ways[i].algorithm | PACK_DENSE);
        ck_assert_str_eq(unpack(packed, size), "not that dense");
    }
    sdb__pack_room_free(room);
    room = plain;
}
END_TEST

static void expect_refused(size_t size, const char *why)
{
    const char *wrong = unpack(packed, size);

    ck_assert_ptr_nonnull(wrong);
    ck_assert_msg(strstr(wrong, why) != NULL, "\"%s\" where \"%s\" was expected", wrong, why);
}

START_TEST(forged_heads_are_refused)
{
    uint64_t random = 5;
    size_t size;

    fill_page(&random, 60);
    size = sdb__pack(room, ways[1], page, packed);
    ck_assert_uint_gt(size, SPACE_BLOCK);
    put_u32(packed, (uint32_t)size);
    expect_refused(size, "number");
    put_u32(packed, UINT32_MAX);
    expect_refused(size, "number");
    put_u32(packed, (uint32_t)(size - SPACE_BLOCK - PACK_HEAD));
    expect_refused(size, "number");
    put_u32(packed, (uint32_t)(size - PACK_HEAD));
    put_u32(packed + 4, PACK_ZSTD_WITH | 7 << 8);
    expect_refused(size, "a dictionary that there is not");
    put_u32(packed + 4, 4);
    expect_refused(size, "unknown way");
    put_u32(packed + 4, 0);
    expect_refused(size, "unknown way");
    put_u32(packed + 4, 0x10002);
    expect_refused(size, "unknown way");
    put_u32(packed + 4, PACK_ZSTD);
    expect_refused(0, "size");
    expect_refused(PAGE, "size");
}
END_TEST

/* What would unpack into far more than a page, or into a byte less, is refused. */
START_TEST(bombs_and_short_pages_are_refused)
{
    static uint8_t zeros[4 * 1024 * 1024];
    static const size_t sizes[] = {PAGE - 1, PAGE + 1, 2 * PAGE, sizeof zeros};

    for (unsigned i = 0; i < 4; i++) {
        uint8_t made[PAGE * 4];
        size_t n = ZSTD_compress(made, sizeof made, zeros, sizes[i], 3);
        int m = LZ4_compress_default((const char *)zeros, (char *)made, (int)sizes[i],
                                     (int)sizeof made);

        ck_assert(!ZSTD_isError(n));
        n = ZSTD_compress(made, sizeof made, zeros, sizes[i], 3);
        memcpy(packed + PACK_HEAD, made, n);
        put_u32(packed, (uint32_t)n);
        put_u32(packed + 4, PACK_ZSTD);
        expect_refused((PACK_HEAD + n + SPACE_BLOCK - 1) / SPACE_BLOCK * SPACE_BLOCK, "a page");
        m = LZ4_compress_default((const char *)zeros, (char *)made, (int)sizes[i],
                                 (int)sizeof made);
        if (m <= 0 || (size_t)m > PAGE - SPACE_BLOCK - PACK_HEAD) continue;
        memcpy(packed + PACK_HEAD, made, (size_t)m);
        put_u32(packed, (uint32_t)m);
        put_u32(packed + 4, PACK_LZ4);
        expect_refused((PACK_HEAD + (size_t)m + SPACE_BLOCK - 1) / SPACE_BLOCK * SPACE_BLOCK,
                       "a page");
    }
}
END_TEST

/* Whatever stands there, it ends and stays within its page (sanitizers see if it does not). */
START_TEST(any_bytes_do_no_harm)
{
    uint64_t random = rig_seed("any_bytes", 11);

    for (unsigned i = 0; i < ROUNDS; i++) {
        size_t size;

        fill_page(&random, (unsigned)random_below(&random, 200));
        size = sdb__pack(room, ways[i % WAYS], page, packed);
        if (size == 0) continue;
        for (uint64_t n = 1 + random_below(&random, 8); n; n--)
            packed[random_below(&random, 4) ? random_below(&random, size)
                                            : PACK_HEAD + random_below(&random, 24)] =
                (uint8_t)random_next(&random);
        if (random_below(&random, 8) == 0) put_u32(packed + 4, 1 + (uint32_t)(i & 1));
        (void)unpack(packed, size);
    }
}
END_TEST

/* A dictionary of texts that resemble each other. */
static size_t train(uint64_t *random, uint8_t *to, size_t capacity)
{
    static char texts[2000][64];
    static char samples[sizeof texts];
    size_t sizes[2000], at = 0, size = 0;

    for (size_t i = 0; i < 2000; i++) {
        sizes[i] = (size_t)snprintf(texts[i], sizeof texts[i], "key%06u=value%u;name=%c;",
                                    (unsigned)random_below(random, 100000),
                                    (unsigned)random_below(random, 977), 'a' + (int)(i % 26));
        memcpy(samples + at, texts[i], sizes[i]);
        at += sizes[i];
    }
    OK(sdb__dictionary_train(to, capacity, samples, sizes, 2000, &size));
    return size;
}

/* Changes its head until Zstandard unpacks with it and does not pack with it. */
static void spoil(uint64_t *random, uint8_t *bytes, size_t size)
{
    uint8_t good[4096];

    memcpy(good, bytes, size);
    for (unsigned i = 0; i < 100000; i++) {
        ZSTD_DDict *unpack;
        ZSTD_CDict *pack;

        memcpy(bytes, good, size);
        for (unsigned n = 0; n < 3; n++)
            bytes[8 + random_below(random, 120)] = (uint8_t)random_next(random);
        unpack = ZSTD_createDDict(bytes, size);
        pack = ZSTD_createCDict(bytes, size, 3);
        (void)ZSTD_freeDDict(unpack);
        (void)ZSTD_freeCDict(pack);
        if (unpack && !pack) return;
    }
    ck_abort_msg("no such dictionary was found");
}

/* Zstandard takes more for unpacking than for packing: a forged dictionary may be good for one. */
START_TEST(dictionary_that_only_unpacks_packs_no_page)
{
    uint64_t random = rig_seed("only_unpacks", 19);
    const struct dictionary *dictionary;
    struct pack_room *plain = room;
    struct dictionaries set;
    uint8_t bytes[4096];
    size_t bytes_size = train(&random, bytes, sizeof bytes);

    spoil(&random, bytes, bytes_size);
    sdb__dictionaries_init(&set, &sdb__mem_default);
    OK(sdb__dictionaries_add(&set, 1, bytes, bytes_size, 3, &dictionary));
    OK(sdb__pack_room_new(&sdb__mem_default, PAGE, &set, NULL, &room));
    for (unsigned i = 0; i < 4; i++) {
        struct packing how = {PACK_ZSTD, 3, dictionary};
        size_t size;

        fill_page(&random, 20);
        size = sdb__pack(room, how, page, packed);
        ck_assert_uint_gt(size, 0);
        ck_assert_uint_eq(get_u32(packed + 4), PACK_ZSTD);
        ck_assert_ptr_null(unpack(packed, size));
        ck_assert_mem_eq(back, page, PAGE);
    }
    sdb__pack_room_free(room);
    sdb__dictionaries_done(&set);
    room = plain;
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pack");
    TCase *cases = tcase_create("pack");

    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, pages_come_back_and_take_whole_blocks);
    tcase_add_test(cases, dense_form_is_what_is_packed);
    tcase_add_test(cases, forged_heads_are_refused);
    tcase_add_test(cases, bombs_and_short_pages_are_refused);
    tcase_add_test(cases, any_bytes_do_no_harm);
    tcase_add_test(cases, dictionary_that_only_unpacks_packs_no_page);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}
