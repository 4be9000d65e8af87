/* SPDX-License-Identifier: Apache-2.0 */
/* test_check.c: claims about a check: what is sound passes, and damage is named, byte by byte. */
#include "tests/kv/check_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/mem.h"
#include "index/kv/database.h"
#include "tests/lib/suite.h"

/* ---- what is sound ------------------------------------------------------------------------- */

START_TEST(a_sound_file_passes_and_is_counted)
{
    struct problems p;

    check_image(&sample, &p);
    assert_clean(&p);
    ck_assert_uint_eq(p.result.keyspaces, 4);
    ck_assert_uint_eq(p.result.entries, SAMPLE_USERS + SAMPLE_FILES + SAMPLE_LONG);
    ck_assert_uint_eq(p.result.extents, SAMPLE_FILES);
    ck_assert_uint_eq(p.result.map_pages, get_u64(sample.bytes + 88));
    ck_assert_uint_gt(p.result.pages, 10);
    ck_assert_uint_gt(p.result.free_bytes, 0);
    ck_assert_uint_eq(p.result.log_records, 0);
    ck_assert_uint_ge(p.result.used_bytes + p.result.free_bytes, sample.size);
    ck_assert_uint_lt(p.result.used_bytes + p.result.free_bytes, sample.size + 512);
}
END_TEST

START_TEST(an_open_database_passes_with_its_newest_commits)
{
    sdb_check_result result = {.size = sizeof result};
    struct problems p = {.count = 0};
    sdb_options options = sample_options();
    sdb_keyspace *keyspace;
    sdb_db *db;

    OK(sdb_open(":memory:", &options, &db));
    sample_fill(db);
    OK(sdb_check(db, problems_note, NULL, &p, &result));
    ck_assert_uint_eq(result.entries, SAMPLE_USERS + SAMPLE_FILES + SAMPLE_LONG);
    OK(sdb_keyspace_open(db, "empty", 0, &keyspace));
    OK(sdb_put(NULL, keyspace, (sdb_slice){"k", 1}, (sdb_slice){"v", 1}));
    OK(sdb_check(db, problems_note, NULL, &p, &result));
    ck_assert_uint_eq(result.entries, SAMPLE_USERS + SAMPLE_FILES + SAMPLE_LONG + 1);
    OK(sdb_check(db, NULL, NULL, NULL, NULL));
    ck_assert_uint_eq(p.count, 0);
    OK(sdb_close(db));
}
END_TEST

START_TEST(a_new_database_passes)
{
    sdb_options options = sample_options();
    struct problems p;
    struct io *io;
    sdb_db *db;

    OK(sdb__io_new_memory(&sdb__mem_default, &io));
    OK(sdb__db_open(io, FILE_NAME, &options, &db));
    OK(sdb_check(db, NULL, NULL, NULL, NULL));
    OK(sdb_close(db));
    check_on(io, FILE_NAME, &p);
    assert_clean(&p);
    ck_assert_uint_eq(p.result.entries + p.result.keyspaces, 0);
    sdb__io_free(io);
}
END_TEST

START_TEST(a_keyspace_that_is_being_freed_passes)
{
    sdb_check_result before = {.size = sizeof before}, after = {.size = sizeof after};
    sdb_options options = sample_options();
    struct problems p = {.count = 0};
    sdb_keyspace *keyspace;
    sdb_txn *reader;
    char key[40], value[500] = "";
    bool done = false;
    sdb_db *db;

    OK(sdb_open(":memory:", &options, &db));
    OK(sdb_keyspace_open(db, "passing", 0, &keyspace));
    for (unsigned i = 0; i < 6000; i++) { /* more pages than go in one step */
        int size = snprintf(key, sizeof key, "%031u", i);

        OK(sdb_put(NULL, keyspace, (sdb_slice){key, (size_t)size},
                   (sdb_slice){value, sizeof value}));
    }
    OK(sdb_txn_begin(db, SDB_TXN_READ, &reader));
    OK(sdb_keyspace_drop(keyspace));
    OK(sdb_check(db, problems_note, NULL, &p, &before));
    ck_assert_uint_eq(before.keyspaces, 0);
    ck_assert_uint_gt(before.pages, 30);
    OK(sdb__btree_free_some(&keyspace->tree, &done)); /* the reader reads other things */
    ck_assert(!done);
    db->changed = true;
    GIVES(sdb_check(db, problems_note, NULL, &p, &after), SDB_OK);
    ck_assert_uint_lt(after.pages, before.pages);
    sdb_txn_abort(reader);
    OK(sdb_check(db, problems_note, NULL, &p, &after));
    ck_assert_uint_eq(after.pages, 1);
    OK(sdb_close(db));
}
END_TEST

/* ---- every byte ---------------------------------------------------------------------------- */

/* How many bytes to step over: sanitizers make a check ten times as long. */
static size_t flip_stride(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return 29;
#else
    return 1;
#endif
}

static void flip_in_file(struct io_queue *queue, struct io_file *file, uint64_t at, uint8_t byte)
{
    OK(sdb__io_write(queue, file, &byte, 1, at));
}

/* A flip is reported if the checkpoint needs the byte, and only then. */
START_TEST(every_flipped_byte_is_named_or_is_of_no_use)
{
    uint8_t *covered = calloc(1, sample.size);
    size_t part = sample.size / 4 + 1, from = (size_t)_i * part, unused = 0;
    uint64_t before, after;
    struct image all = sample_copy();
    struct io_queue *queue;
    struct io_file *file;
    struct problems p;
    struct io *io;

    image_covered(&sample, covered);
    OK(sdb__io_new_memory(&sdb__mem_default, &io));
    image_write(io, FILE_NAME, &sample);
    OK(contents_in(io, FILE_NAME, &before));
    OK(sdb__io_queue_new(io, 1, &queue));
    OK(sdb__io_open(io, FILE_NAME, IO_OPEN_WRITE, &file));
    for (size_t at = from; at < from + part && at < sample.size; at += flip_stride()) {
        uint8_t bit = (uint8_t)(1u << (at * 5 % 8));

        flip_in_file(queue, file, at, sample.bytes[at] ^ bit);
        check_on(io, FILE_NAME, &p);
        ck_assert_msg(p.status == (covered[at] ? SDB_CORRUPT : SDB_OK), "byte %zu: %s (%s)", at,
                      sdb_status_name(p.status), p.text[0]);
        if (!covered[at]) {
            all.bytes[at] ^= bit;
            if (unused++ % 64 == 0) {
                OK(contents_in(io, FILE_NAME, &after));
                ck_assert_uint_eq(before, after);
            }
        }
        flip_in_file(queue, file, at, sample.bytes[at]);
    }
    image_write(io, FILE_NAME, &all);
    OK(contents_in(io, FILE_NAME, &after));
    ck_assert_uint_eq(before, after);
    sdb__io_close(file);
    sdb__io_queue_free(queue);
    sdb__io_free(io);
    free(all.bytes);
    free(covered);
}
END_TEST

START_TEST(a_file_cut_short_anywhere_is_noticed)
{
    uint8_t *covered = calloc(1, sample.size);
    size_t last = sample.size - 1;
    struct image image = sample_copy();
    struct problems p;

    image_covered(&sample, covered);
    while (!covered[last]) last--;
    for (image.size = 1; image.size <= last; image.size += image.size < 8192 ? 63 : 512) {
        check_image(&image, &p);
        ck_assert_msg(p.status == SDB_CORRUPT, "%zu bytes: %s", image.size,
                      sdb_status_name(p.status));
    }
    image.size = last + 1;
    check_image(&image, &p);
    assert_clean(&p);
    image.size = 0;
    check_image(&image, &p);
    ck_assert_int_eq(p.status, SDB_INVALID);
    image.size = 100; /* of another file */
    image.bytes[0] = 'x';
    check_image(&image, &p);
    ck_assert_int_eq(p.status, SDB_INVALID);
    free(image.bytes);
    free(covered);
}
END_TEST

/* ---- what is said -------------------------------------------------------------------------- */

START_TEST(one_damaged_page_is_one_problem_that_names_the_keys_it_costs)
{
    struct image image = sample_copy();
    uint64_t root = image_root(&image, "users"), leaf;
    const uint8_t *page = image_page(&image, root), *slot = page + 32 + 8, *cell;
    char number[40];
    struct problems p;

    ck_assert_uint_eq(page[0], 1);
    ck_assert_uint_ge(get_u16(page + 2), 3);
    cell = page + get_u16(slot + 4);
    leaf = get_u64(cell + get_u16(slot + 6));
    image_page(&image, leaf)[1000] ^= 4;
    check_image(&image, &p);
    ck_assert_uint_eq(p.count, 1);
    (void)snprintf(number, sizeof number, "page %llu at byte ", (unsigned long long)leaf);
    SAYS(&p, number, "checksum", "keyspace 'users'", "from key 'user ", "to before 'user ");
    image_page(&image, root)[1000] ^= 4; /* hides the leaf, which is reported still */
    check_image(&image, &p);
    ck_assert_uint_eq(p.count, 2);
    SAYS(&p, "keyspace 'users'", "from the first key", "to the last");
    SAYS(&p, number, "nothing that can be read leads to it");
    free(image.bytes);
}
END_TEST

START_TEST(a_damaged_large_value_names_its_key)
{
    struct image image = sample_copy();
    struct problems p;
    uint64_t id = 1, place;

    while (get_u64(image_entry(&image, id)) >> 62 != 1) id++;
    place = get_u64(image_entry(&image, id));
    image.bytes[(place & 0xffffffffff) * 512 + 700] ^= 1;
    check_image(&image, &p);
    ck_assert_uint_eq(p.count, 1);
    SAYS(&p, "extent", "keyspace 'files'", "key 'file ");
    ck_assert_uint_eq(p.result.extents, SAMPLE_FILES - 1);
    free(image.bytes);
}
END_TEST

START_TEST(a_damaged_layer_names_the_beginning_of_its_keys)
{
    struct image image = sample_copy();
    const uint8_t *page = image_page(&image, image_root(&image, "long keys"));
    struct problems p;
    uint64_t layer = 0;

    for (unsigned i = 0; i < get_u16(page + 2); i++) {
        const uint8_t *slot = page + 32 + i * 8;
        const uint8_t *value = page + get_u16(slot + 4) + get_u16(slot + 6);

        if (get_u16(value) >> 14 == 2) layer = get_u64(value + 2);
    }
    ck_assert_uint_ne(layer, 0);
    image_page(&image, layer)[2000] ^= 1;
    check_image(&image, &p);
    SAYS(&p, "keyspace 'long keys' (keys that begin with 'kkkkkkkk", "from the first key to the");
    free(image.bytes);
}
END_TEST

START_TEST(damage_of_the_map_is_not_told_once_a_page)
{
    static const char value[1000];
    sdb_options options = sample_options();
    sdb_keyspace *keyspace;
    struct image image;
    struct problems p;
    struct io *io;
    sdb_db *db;

    OK(sdb__io_new_memory(&sdb__mem_default, &io));
    OK(sdb__db_open(io, FILE_NAME, &options, &db));
    OK(sdb_keyspace_open(db, "wide", 0, &keyspace));
    for (uint32_t i = 0; i < 2400; i++)
        OK(sdb_put(NULL, keyspace, (sdb_slice){&i, sizeof i}, (sdb_slice){value, sizeof value}));
    OK(sdb_close(db));
    image = image_read(io, FILE_NAME);
    sdb__io_free(io);
    ck_assert_uint_ge(get_u64(image.bytes + 88), 3);
    image_entry(&image, 300)[9] ^= 1;
    check_image(&image, &p);
    ck_assert_uint_eq(p.count, 2);
    SAYS(&p, "page map: chunk 1 at byte");
    SAYS(&p, "keyspace 'wide'", "parts of it cannot be found", "page map is damaged");
    image_entry(&image, 300)[9] ^= 1;
    image.bytes[(get_u64(image.bytes + 72) & 0xffffffffff) * 512 + 3] ^= 1;
    check_image(&image, &p);
    ck_assert_uint_eq(p.count, 2);
    SAYS(&p, "page map: directory");
    SAYS(&p, "the catalog", "cannot be found");
    free(image.bytes);
}
END_TEST

START_TEST(superblocks_are_judged_each_and_together)
{
    struct image image = sample_copy();
    struct problems p;

    image.bytes[100] ^= 1;
    check_image(&image, &p);
    ck_assert_uint_eq(p.count, 1);
    SAYS(&p, "superblock copy 0", "opens from the other copy");
    memcpy(image.bytes, image.bytes + 4096, 4096);
    put_u64(image.bytes + 120, 12345); /* when it was made */
    put_u64(image.bytes + 4088, sdb__digest(image.bytes, 4088, 0));
    check_image(&image, &p);
    SAYS(&p, "the two copies have the same number");
    put_u64(image.bytes + 40, get_u64(image.bytes + 40) + 1); /* a later one is as it should be */
    put_u64(image.bytes + 4088, sdb__digest(image.bytes, 4088, 0));
    check_image(&image, &p);
    assert_clean(&p);
    put_u64(image.bytes + 40, get_u64(image.bytes + 40) + 1);
    put_u64(image.bytes + 4088, sdb__digest(image.bytes, 4088, 0));
    check_image(&image, &p);
    SAYS(&p, "a write was lost");
    image.bytes[30] ^= 1;
    put_u64(image.bytes + 4088, sdb__digest(image.bytes, 4088, 0));
    check_image(&image, &p);
    SAYS(&p, "different databases");
    image.bytes[200] ^= 1;
    image.bytes[4200] ^= 1;
    check_image(&image, &p);
    ck_assert_int_eq(p.status, SDB_CORRUPT);
    ck_assert_uint_eq(p.count, 2);
    memset(image.bytes, 'x', 8192);
    check_image(&image, &p);
    ck_assert_int_eq(p.status, SDB_INVALID);
    free(image.bytes);
}
END_TEST
int main(void)
{
    Suite *suite = suite_create("check");
    TCase *sound = tcase_create("sound"), *bytes = tcase_create("bytes");
    TCase *said = tcase_create("said");

    tcase_add_unchecked_fixture(sound, sample_setup, sample_teardown);
    tcase_add_unchecked_fixture(bytes, sample_setup, sample_teardown);
    tcase_add_unchecked_fixture(said, sample_setup, sample_teardown);
    tcase_add_test(sound, a_sound_file_passes_and_is_counted);
    tcase_add_test(sound, an_open_database_passes_with_its_newest_commits);
    tcase_add_test(sound, a_new_database_passes);
    tcase_add_test(sound, a_keyspace_that_is_being_freed_passes);
    tcase_add_loop_test(bytes, every_flipped_byte_is_named_or_is_of_no_use, 0, 4);
    tcase_add_test(bytes, a_file_cut_short_anywhere_is_noticed);
    tcase_set_timeout(bytes, 600);
    tcase_add_test(said, one_damaged_page_is_one_problem_that_names_the_keys_it_costs);
    tcase_add_test(said, a_damaged_large_value_names_its_key);
    tcase_add_test(said, a_damaged_layer_names_the_beginning_of_its_keys);
    tcase_add_test(said, damage_of_the_map_is_not_told_once_a_page);
    tcase_add_test(said, superblocks_are_judged_each_and_together);
    suite_add_tcase(suite, sound);
    suite_add_tcase(suite, bytes);
    suite_add_tcase(suite, said);
    return suite_run(suite);
}
