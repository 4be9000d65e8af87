/* SPDX-License-Identifier: Apache-2.0 */
/* test_ram_image.c: claims about files in shared chunks (engine/io/ram_image.h). */
#include "engine/io/ram_image.h"
#include "engine/base/clock.h"
#include "tests/io/io_fixture.h"
#include "tests/lib/suite.h"

enum { CHUNK = 64, BYTES = 20000 };

static struct ledger ledger;
static const sdb_allocator counted = {ledger_resize, &ledger};

static struct ram_image empty(void)
{
    return (struct ram_image){.allocator = &counted, .chunk_size = CHUNK};
}

static void put(struct ram_image *image, const void *from, size_t size, uint64_t offset)
{
    OK(sdb__ram_image_prepare(image, offset, size));
    sdb__ram_image_write(image, from, size, offset);
}

static void setup(void)
{
    ledger = (struct ledger){.left = -1};
}

static void teardown(void)
{
    ck_assert_int_eq(ledger.out, 0);
}

START_TEST(shared_chunks_are_copied_before_they_change)
{
    struct ram_image one = empty(), two = empty();
    char back[CHUNK * 3];

    memset(back, 'a', sizeof back);
    put(&one, back, sizeof back, 0);
    OK(sdb__ram_image_share(&two, &one));
    put(&two, "bbb", 3, CHUNK + 5);
    OK(sdb__ram_image_zero(&one, 0, 10));
    OK(sdb__ram_image_resize(&one, CHUNK * 2 + 1));
    ck_assert(sdb__ram_image_check(&one) && sdb__ram_image_check(&two));
    ck_assert_uint_eq(sdb__ram_image_read(&two, back, sizeof back, 0), sizeof back);
    assert_filled(back, 'a', CHUNK + 5);
    assert_filled(back + CHUNK + 5, 'b', 3);
    assert_filled(back + CHUNK + 8, 'a', CHUNK * 2 - 8);
    ck_assert_uint_eq(sdb__ram_image_read(&one, back, sizeof back, 0), CHUNK * 2 + 1);
    assert_filled(back, 0, 10);
    assert_filled(back + 10, 'a', CHUNK * 2 - 9);
    sdb__ram_image_done(&one);
    ck_assert_uint_eq(sdb__ram_image_read(&two, back, 3, 0), 3);
    sdb__ram_image_done(&two);
}
END_TEST

START_TEST(whole_leaves_are_dropped_from_one_image_only)
{
    enum { SIZE = CHUNK * 64 * 5 };
    static char bytes[SIZE], back[SIZE];
    struct ram_image one = empty(), two = empty();

    memset(bytes, 'a', SIZE);
    put(&one, bytes, SIZE, 0);
    OK(sdb__ram_image_share(&two, &one));
    OK(sdb__ram_image_zero(&two, CHUNK * 64 - 10, CHUNK * 64 * 3));
    ck_assert(sdb__ram_image_check(&one) && sdb__ram_image_check(&two));
    ck_assert_uint_eq(one.present, 64 * 5);
    ck_assert_uint_eq(two.present, 64 * 2 + 1);
    ck_assert_uint_eq(sdb__ram_image_read(&two, back, SIZE, 0), SIZE);
    assert_filled(back, 'a', CHUNK * 64 - 10);
    assert_filled(back + CHUNK * 64 - 10, 0, CHUNK * 64 * 3);
    assert_filled(back + CHUNK * 64 * 4 - 10, 'a', CHUNK * 64 + 10);
    OK(sdb__ram_image_resize(&two, 0));
    ck_assert_uint_eq(two.present, 0);
    ck_assert_uint_eq(sdb__ram_image_read(&one, back, SIZE, 0), SIZE);
    assert_filled(back, 'a', SIZE);
    sdb__ram_image_done(&one);
    sdb__ram_image_done(&two);
}
END_TEST

START_TEST(holes_and_reservations_are_counted)
{
    struct ram_image image = empty();
    char byte = 'x';

    put(&image, &byte, 1, CHUNK * 10);
    ck_assert_uint_eq(image.present, 1);
    ck_assert_uint_eq(sdb__ram_image_missing(&image, 0, CHUNK * 11), 10);
    ck_assert_uint_eq(sdb__ram_image_missing(&image, CHUNK - 1, 2), 2);
    ck_assert_uint_eq(sdb__ram_image_missing(&image, CHUNK * 100, 1), 1);
    ck_assert_uint_eq(sdb__ram_image_missing(&image, 0, 0), 0);
    OK(sdb__ram_image_reserve(&image, CHUNK * 8, CHUNK * 4));
    ck_assert_uint_eq(image.present, 4);
    ck_assert_uint_eq(image.size, CHUNK * 10 + 1);
    put(&image, &byte, 1, CHUNK * 8);
    put(&image, &byte, 1, CHUNK * 9); /* did not see the other's byte */
    ck_assert_uint_eq(image.present, 4);
    ck_assert(sdb__ram_image_check(&image));
    OK(sdb__ram_image_zero(&image, CHUNK * 8, CHUNK));
    ck_assert_uint_eq(image.present, 3);
    OK(sdb__ram_image_zero(&image, CHUNK * 1000, CHUNK));
    put(&image, &byte, 1, CHUNK * 12);
    OK(sdb__ram_image_resize(&image, CHUNK * 12)); /* the end was within a chunk */
    ck_assert_uint_eq(image.present, 3);
    OK(sdb__ram_image_resize(&image, 0));
    ck_assert_uint_eq(image.present, 0);
    sdb__ram_image_done(&image);
}
END_TEST

START_TEST(check_sees_what_is_wrong)
{
    struct ram_image image = empty();

    put(&image, "xyz", 3, 0);
    ck_assert(sdb__ram_image_check(&image));
    image.size = 2;
    ck_assert(!sdb__ram_image_check(&image));
    image.size = 3;
    image.present++;
    ck_assert(!sdb__ram_image_check(&image));
    image.present--;
    ck_assert(sdb__ram_image_check(&image));
    sdb__ram_image_done(&image);
}
END_TEST

START_TEST(failed_call_changes_no_byte)
{
    for (long n = 0; n < 12; n++) {
        struct ram_image one = empty(), two = empty();
        char back[CHUNK * 4];

        memset(back, 'a', sizeof back);
        put(&one, back, sizeof back, 0);
        OK(sdb__ram_image_share(&two, &one));
        ledger.left = n;
        /* Each needs a leaf, and then some chunks. */
        if (sdb__ram_image_zero(&two, 10, CHUNK * 2) == SDB_OK) ck_assert_int_ge(n, 3);
        if (sdb__ram_image_prepare(&two, CHUNK * 100, CHUNK * 5) == SDB_OK) ck_assert_int_ge(n, 6);
        if (sdb__ram_image_reserve(&two, CHUNK * 200, CHUNK * 5) == SDB_OK) ck_assert_int_ge(n, 2);
        ledger.left = -1;
        ck_assert(sdb__ram_image_check(&two));
        ck_assert_uint_eq(two.size, sizeof back);
        ck_assert_uint_eq(sdb__ram_image_read(&two, back, sizeof back, 0), sizeof back);
        assert_filled(back, 'a', 10);
        assert_filled(back + 10, n < 3 ? 'a' : 0, CHUNK * 2);
        assert_filled(back + 10 + CHUNK * 2, 'a', CHUNK * 2 - 10);
        ck_assert_uint_eq(sdb__ram_image_read(&one, back, sizeof back, 0), sizeof back);
        assert_filled(back, 'a', sizeof back);
        sdb__ram_image_done(&one);
        sdb__ram_image_done(&two);
    }
}
END_TEST

/* One random change of the image and of the flat array that it is to equal. */
static void change(struct ram_image *image, unsigned char *flat, uint64_t *random)
{
    static unsigned char bytes[BYTES];
    size_t offset = (size_t)random_below(random, BYTES - 1);
    size_t size = 1 + (size_t)random_below(random, BYTES - offset);

    if (size > 100 && random_below(random, 2)) size = 1 + size % 100;
    switch (random_below(random, 5)) {
    case 0:
    case 1:
        memset(bytes, 1 + (int)random_below(random, 255), size);
        put(image, bytes, size, offset);
        memcpy(flat + offset, bytes, size);
        break;
    case 2:
        OK(sdb__ram_image_zero(image, offset, size));
        memset(flat + offset, 0, size);
        break;
    case 3:
        OK(sdb__ram_image_resize(image, offset));
        memset(flat + offset, 0, BYTES - offset);
        break;
    default: OK(sdb__ram_image_reserve(image, offset, size)); break;
    }
}

START_TEST(images_behave_as_flat_arrays_however_they_are_shared)
{
    enum { IMAGES = 4 };
    static unsigned char flat[IMAGES][BYTES], back[BYTES];
    struct ram_image images[IMAGES];
    uint64_t random = sdb__random_seed(), seed = random;

    memset(flat, 0, sizeof flat);
    for (int i = 0; i < IMAGES; i++) images[i] = empty();
    for (int round = 0; round < 3000; round++) {
        size_t i = (size_t)random_below(&random, IMAGES), k = (i + 1) % IMAGES;
        size_t there;

        change(&images[i], flat[i], &random);
        if (random_below(&random, 20) == 0) {
            sdb__ram_image_done(&images[k]);
            OK(sdb__ram_image_share(&images[k], &images[i]));
            memcpy(flat[k], flat[i], BYTES);
        }
        there = sdb__ram_image_read(&images[i], back, BYTES, 0);
        ck_assert_uint_eq(there, images[i].size);
        ck_assert_msg(memcmp(back, flat[i], there) == 0 && sdb__ram_image_check(&images[i]),
                      "seed %llu, round %d", (unsigned long long)seed, round);
    }
    for (int i = 0; i < IMAGES; i++) {
        size_t there = sdb__ram_image_read(&images[i], back, BYTES, 0);

        ck_assert_int_eq(memcmp(back, flat[i], there), 0);
        sdb__ram_image_done(&images[i]);
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("ram image");
    TCase *images = tcase_create("images");

    tcase_add_checked_fixture(images, setup, teardown);
    tcase_add_test(images, shared_chunks_are_copied_before_they_change);
    tcase_add_test(images, whole_leaves_are_dropped_from_one_image_only);
    tcase_add_test(images, holes_and_reservations_are_counted);
    tcase_add_test(images, check_sees_what_is_wrong);
    tcase_add_test(images, failed_call_changes_no_byte);
    tcase_add_test(images, images_behave_as_flat_arrays_however_they_are_shared);
    suite_add_tcase(suite, images);
    return suite;
}

int main(void)
{
    return suite_run(make_suite());
}
