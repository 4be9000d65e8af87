/* SPDX-License-Identifier: Apache-2.0 */
/* test_check_forged.c: claims about checking files whose checksums are right, and nothing else. */
#include "tests/kv/check_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/mem.h"
#include "tests/lib/suite.h"

/* Checks a forged image, whose checksums are right. Frees it. */
static void check_forged(struct image *image, struct problems *out)
{
    image_seal(image);
    check_image(image, out);
    free(image->bytes);
    ck_assert_msg(out->status == SDB_CORRUPT, "the forgery was not noticed: %s",
                  sdb_status_name(out->status));
}

/* The page to which a slot of the root of "users" leads. */
static uint8_t *child_page(const struct image *image, unsigned slot)
{
    uint8_t *root = image_page(image, image_root(image, "users"));

    return image_page(image, get_u64(child_of(root, slot)));
}

START_TEST(forged_children_are_noticed)
{
    static const char *const says[] = {"begins at another key", "is used twice",
                                       "belongs to another tree", "which does not exist",
                                       "is used twice", "wrong level"};
    struct image image = sample_copy();
    uint8_t *root = image_page(&image, image_root(&image, "users"));
    uint8_t *first = child_of(root, 0), *second = child_of(root, 1);
    uint64_t a = get_u64(first), b = get_u64(second), files = image_root(&image, "files");
    struct problems p;

    switch (_i) {
    case 0: put_u64(first, b), put_u64(second, a); break;
    case 1: put_u64(first, b); break;
    case 2: put_u64(first, files); break;
    case 3: put_u64(first, 99999); break;
    case 4: put_u64(first, image_root(&image, "users")); break; /* a circle */
    default: image_page(&image, a)[0] = 1; break; /* a leaf that says it is none */
    }
    image_seal(&image);
    check_image(&image, &p);
    ck_assert_int_eq(p.status, SDB_CORRUPT);
    if (_i < 5) SAYS(&p, says[_i]);
    if (_i == 2) SAYS(&p, "is used twice"); /* later, as the root that it is */
    free(image.bytes);
}
END_TEST

START_TEST(a_child_that_ends_early_is_noticed)
{
    struct image image = sample_copy();
    uint8_t *page = child_page(&image, 0);
    struct problems p;

    page[4096 - get_u16(page + 14) - 1] += 1; /* the last byte of the upper fence */
    check_forged(&image, &p);
    SAYS(&p, "ends at another key", "keyspace 'users'");
}
END_TEST

START_TEST(a_child_that_does_not_end_is_noticed)
{
    struct image image = sample_copy();
    uint8_t *page = child_page(&image, 0);
    struct problems p;

    page[1] = 1; /* no upper fence: its bytes are a hole */
    put_u32(page + 8, get_u32(page + 8) + get_u16(page + 16));
    put_u16(page + 16, 0);
    check_forged(&image, &p);
    SAYS(&p, "ends at another key", "keyspace 'users'");
}
END_TEST

START_TEST(reading_a_tree_with_a_gap_ends)
{
    struct image image = sample_copy();
    uint8_t *root = image_page(&image, image_root(&image, "users"));
    uint64_t digest;
    struct io *io;

    slot_remove(root, 1);
    image_seal(&image);
    OK(sdb__io_new_memory(&sdb__mem_default, &io));
    image_write(io, FILE_NAME, &image);
    GIVES(contents_in(io, FILE_NAME, &digest), SDB_CORRUPT);
    sdb__io_free(io);
    free(image.bytes);
}
END_TEST

/* As a keyspace that is being freed may have it, and no other. */
START_TEST(a_tree_without_its_end_is_noticed)
{
    struct image image = sample_copy();
    uint8_t *root = image_page(&image, image_root(&image, "users"));
    struct problems p;

    slot_remove(root, get_u16(root + 2) - 1u);
    check_forged(&image, &p);
    SAYS(&p, "ends at another key", "keyspace 'users'");
    SAYS(&p, "page", "is lost");
}
END_TEST

START_TEST(a_key_outside_its_node_is_noticed)
{
    struct image image = sample_copy();
    uint8_t *page = child_page(&image, 1);
    unsigned last = get_u16(page + 2) - 1u;
    struct problems p;

    cell_of(page, last)[0] = 0xff;
    page[32 + last * 8 + 3] = 0xff; /* the head, little-endian */
    check_forged(&image, &p);
    SAYS(&p, "its keys lie outside its fences", "keyspace 'users'");
}
END_TEST

START_TEST(an_inner_node_that_begins_late_is_noticed)
{
    struct image image = sample_copy();
    uint8_t *root = image_page(&image, image_root(&image, "users"));
    struct problems p;

    /* Slot 0 has the empty key; taking it away makes the node begin at slot 1's. */
    ck_assert_uint_eq(suffix_of(root, 0), 0);
    slot_remove(root, 0);
    check_forged(&image, &p);
    SAYS(&p, "does not begin at its lower bound");
}
END_TEST

START_TEST(forged_extents_are_noticed)
{
    static const char *const says[] = {"has not the size", "which does not exist", "is used twice",
                                       "which does not exist", "has not the size"};
    struct image image = sample_copy();
    uint8_t *leaf = image_page(&image, image_root(&image, "files")), *value, *other;
    struct problems p;

    value = child_of(leaf, 0) + 2;
    other = child_of(leaf, 1) + 2;
    ck_assert_uint_eq(get_u16(value - 2) >> 14, 1);
    switch (_i) {
    case 0: put_u64(value + 8, get_u64(value + 8) + 512); break;
    case 1: put_u64(value, 4000000); break;
    case 2: put_u64(value, get_u64(other)), put_u64(value + 8, get_u64(other + 8)); break;
    case 3: put_u64(value, image_root(&image, "files")); break;
    default: put_u64(value + 8, 0); break;
    }
    check_forged(&image, &p);
    SAYS(&p, says[_i], "keyspace 'files'");
}
END_TEST

START_TEST(a_layer_in_a_circle_ends)
{
    struct image image = sample_copy();
    uint64_t root = image_root(&image, "long keys");
    uint8_t *page = image_page(&image, root);
    struct problems p;

    for (unsigned i = 0; i < get_u16(page + 2); i++)
        if (get_u16(child_of(page, i)) >> 14 == 2) put_u64(child_of(page, i) + 2, root);
    check_forged(&image, &p);
    SAYS(&p, "keyspace 'long keys'", "is used twice");
}
END_TEST

START_TEST(forged_catalog_entries_are_noticed)
{
    static const char *const says[] = {"impossible number", "the same number", "impossible value",
                                       "impossible value", "impossible number", "is used twice",
                                       "is no name"};
    struct image image = sample_copy();
    uint8_t *users = image_catalog(&image, "kusers"), *files = image_catalog(&image, "kfiles");
    struct problems p;

    switch (_i) {
    case 0: put_u32(users, 77); break;
    case 1: put_u32(users, get_u32(files)); break;
    case 2: put_u32(users + 4, 1); break;
    case 3: put_u64(users + 16, UINT64_MAX); break;
    case 4: put_u32(image_catalog(&image, "n"), 2); break;
    case 5: put_u64(users + 8, get_u64(files + 8)); break;
    default: image_catalog(&image, "kempty")[-3] = 1; break; /* the last character of the name */
    }
    check_forged(&image, &p);
    SAYS(&p, says[_i]);
}
END_TEST

START_TEST(forged_places_are_noticed)
{
    static const char *const says[] = {"in use already", "impossible place", "impossible place",
                                       "impossible place", "is lost", "which does not exist"};
    struct image image = sample_copy();
    uint64_t users = image_root(&image, "users"), files = image_root(&image, "files"), free_id = 1;
    uint64_t place = get_u64(image_entry(&image, files));
    struct problems p;

    switch (_i) {
    case 0: put_u64(image_entry(&image, users), place); break;
    case 1: put_u64(image_entry(&image, users), place | UINT64_C(1) << 63); break;
    case 2: put_u64(image_entry(&image, users), 3 | UINT64_C(7) << 40); break; /* a superblock */
    case 3: put_u64(image_entry(&image, users), place + (UINT64_C(1) << 40)); break;
    case 4: /* an extent in free blocks that nobody asked for */
        while (get_u64(image_entry(&image, free_id))) free_id++;
        for (uint64_t block = 16;; block++) {
            uint8_t *covered = calloc(1, image.size);

            image_covered(&image, covered);
            place = block;
            if (!memchr(covered + block * 512, 1, 512)) block = 1 << 20;
            free(covered);
            if (block >= 1 << 20) break;
        }
        put_u64(image_entry(&image, free_id), place | UINT64_C(1) << 62);
        break;
    default: put_u64(image_entry(&image, files), 0); break;
    }
    if (_i < 4) { /* as image_seal, which would read the page at the forged place */
        uint64_t chunk = (uint64_t)(image_entry(&image, 0) - image.bytes);
        uint64_t directory = (get_u64(image.bytes + 72) & 0xffffffffff) * 512;

        put_u64(image.bytes + directory + 8, sdb__digest(image.bytes + chunk, SAMPLE_PAGE, 0));
        put_u64(image.bytes + 80, sdb__digest(image.bytes + directory,
                                              (size_t)get_u64(image.bytes + 88) * 16, 0));
        put_u64(image.bytes + 4088, sdb__digest(image.bytes, 4088, 0));
        memcpy(image.bytes + 4096, image.bytes, 4096);
        check_image(&image, &p);
        free(image.bytes);
        ck_assert_int_eq(p.status, SDB_CORRUPT);
    } else {
        check_forged(&image, &p);
    }
    SAYS(&p, says[_i]);
}
END_TEST

START_TEST(forged_sizes_do_not_cost_memory)
{
    struct image image = sample_copy();
    struct problems p;

    put_u64(image.bytes + 96, UINT32_MAX);
    put_u64(image.bytes + 88, (UINT64_C(1) << 32) / 256);
    put_u64(image.bytes + 4088, sdb__digest(image.bytes, 4088, 0));
    memcpy(image.bytes + 4096, image.bytes, 4096);
    check_image(&image, &p);
    SAYS(&p, "map chunks cannot be in a file of");
    memcpy(image.bytes, sample.bytes, sample.size);
    put_u64(image.bytes + 112, UINT64_C(1) << 40);
    put_u64(image_entry(&image, 2), (UINT64_C(1) << 39) | UINT64_C(7) << 40);
    {
        uint64_t chunk = (uint64_t)(image_entry(&image, 0) - image.bytes);
        uint64_t directory = (get_u64(image.bytes + 72) & 0xffffffffff) * 512;

        put_u64(image.bytes + directory + 8, sdb__digest(image.bytes + chunk, SAMPLE_PAGE, 0));
        put_u64(image.bytes + 80, sdb__digest(image.bytes + directory,
                                              (size_t)get_u64(image.bytes + 88) * 16, 0));
        put_u64(image.bytes + 4088, sdb__digest(image.bytes, 4088, 0));
        memcpy(image.bytes + 4096, image.bytes, 4096);
    }
    check_image(&image, &p);
    SAYS(&p, "it was cut short");
    free(image.bytes);
}
END_TEST
int main(void)
{
    Suite *suite = suite_create("check_forged");
    TCase *forged = tcase_create("forged");

    tcase_add_unchecked_fixture(forged, sample_setup, sample_teardown);
    tcase_add_loop_test(forged, forged_children_are_noticed, 0, 6);
    tcase_add_test(forged, a_child_that_ends_early_is_noticed);
    tcase_add_test(forged, a_child_that_does_not_end_is_noticed);
    tcase_add_test(forged, reading_a_tree_with_a_gap_ends);
    tcase_add_test(forged, a_tree_without_its_end_is_noticed);
    tcase_add_test(forged, a_key_outside_its_node_is_noticed);
    tcase_add_test(forged, an_inner_node_that_begins_late_is_noticed);
    tcase_add_loop_test(forged, forged_extents_are_noticed, 0, 5);
    tcase_add_test(forged, a_layer_in_a_circle_ends);
    tcase_add_loop_test(forged, forged_catalog_entries_are_noticed, 0, 7);
    tcase_add_loop_test(forged, forged_places_are_noticed, 0, 6);
    tcase_add_test(forged, forged_sizes_do_not_cost_memory);
    suite_add_tcase(suite, forged);
    return suite_run(suite);
}
