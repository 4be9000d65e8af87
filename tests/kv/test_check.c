/* SPDX-License-Identifier: Apache-2.0 */
/* test_check.c: claims about sdb_check and sdb_check_file: what is sound passes, what is not is named. */
#include "tests/kv/check_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/bytes.h"
#include "engine/base/mem.h"
#include "engine/io/simulated.h"
#include "index/kv/database.h"
#include "index/kv/verify.h"

static struct image sample; /* made once */

static void make_sample(void)
{
    struct io *io;

    OK(sdb__io_new_memory(&sdb__mem_default, &io));
    sample_make(io);
    sample = image_read(io, FILE_NAME);
    sdb__io_free(io);
}

static void free_sample(void)
{
    free(sample.bytes);
}

static struct image copy_sample(void)
{
    struct image image = {malloc(sample.size), sample.size};

    ck_assert_ptr_nonnull(image.bytes);
    memcpy(image.bytes, sample.bytes, sample.size);
    return image;
}

static void assert_clean(const struct problems *p)
{
    ck_assert_msg(p->status == SDB_OK, "%s: %s; %s", sdb_status_name(p->status), p->text[0],
                  sdb_errmsg());
}

/* Checks a forged image, whose checksums are right. Frees it. */
static void check_forged(struct image *image, struct problems *out)
{
    image_seal(image);
    check_image(image, out);
    free(image->bytes);
    ck_assert_msg(out->status == SDB_CORRUPT, "the forgery was not noticed: %s",
                  sdb_status_name(out->status));
}

#define SAYS(p, ...)                                                                               \
    ck_assert_msg(problem_says((p), __VA_ARGS__, NULL), "%u problems, first: %s", (p)->count,     \
                  (p)->text[0])

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

        OK(sdb_put(NULL, keyspace, (sdb_slice){key, (size_t)size}, (sdb_slice){value, sizeof value}));
    }
    OK(sdb_txn_begin(db, SDB_TXN_READ, &reader));
    OK(sdb_keyspace_drop(keyspace));
    OK(sdb_check(db, problems_note, NULL, &p, &before));
    ck_assert_uint_eq(before.keyspaces, 0);
    ck_assert_uint_gt(before.pages, 30);
    OK(sdb__btree_free_some(&keyspace->tree, &done)); /* no transaction reads it, whatever it could */
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
    struct image all = copy_sample();
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
    struct image image = copy_sample();
    struct problems p;

    image_covered(&sample, covered);
    while (!covered[last]) last--;
    for (image.size = 1; image.size <= last; image.size += image.size < 8192 ? 64 : 512) {
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
    free(image.bytes);
    free(covered);
}
END_TEST

/* ---- what is said -------------------------------------------------------------------------- */

START_TEST(one_damaged_page_is_one_problem_that_names_the_keys_it_costs)
{
    struct image image = copy_sample();
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
    struct image image = copy_sample();
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
    struct image image = copy_sample();
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
    SAYS(&p, "keyspace 'long keys' (keys that begin with 'kkkkkkkk", "from the first key to the last");
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
    struct image image = copy_sample();
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

/* ---- forgeries with the right checksums ---------------------------------------------------- */

static uint8_t *cell_of(uint8_t *page, unsigned i)
{
    return page + get_u16(page + 32 + i * 8 + 4);
}

static size_t suffix_of(const uint8_t *page, unsigned i)
{
    return get_u16(page + 32 + i * 8 + 6);
}

static uint8_t *child_of(uint8_t *page, unsigned i)
{
    return cell_of(page, i) + suffix_of(page, i);
}

START_TEST(forged_children_are_noticed)
{
    static const char *const says[] = {"begins at another key", "is used twice",
                                       "belongs to another tree", "which does not exist",
                                       "is used twice", "wrong level"};
    struct image image = copy_sample();
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
    default: image_page(&image, a)[0] = 1; break; /* its cells are no inner ones, or it has the wrong level */
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
    struct image image = copy_sample();
    uint8_t *page = image_page(&image, get_u64(child_of(image_page(&image, image_root(&image, "users")), 0)));
    struct problems p;

    page[4096 - get_u16(page + 14) - 1] += 1; /* the last byte of the upper fence */
    check_forged(&image, &p);
    SAYS(&p, "ends at another key", "keyspace 'users'");
}
END_TEST

START_TEST(a_child_that_does_not_end_is_noticed)
{
    struct image image = copy_sample();
    uint8_t *root = image_page(&image, image_root(&image, "users"));
    uint8_t *page = image_page(&image, get_u64(child_of(root, 0)));
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
    struct image image = copy_sample();
    uint8_t *root = image_page(&image, image_root(&image, "users"));
    unsigned count = get_u16(root + 2);
    uint64_t digest;
    struct io *io;

    put_u32(root + 8, get_u32(root + 8) + (uint32_t)suffix_of(root, 1) + 8);
    memmove(root + 40, root + 48, (count - 2) * 8u);
    put_u16(root + 2, (uint16_t)(count - 1));
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
    struct image image = copy_sample();
    uint8_t *root = image_page(&image, image_root(&image, "users"));
    unsigned last = get_u16(root + 2) - 1u;
    struct problems p;

    put_u32(root + 8, get_u32(root + 8) + (uint32_t)suffix_of(root, last) + 8);
    put_u16(root + 2, (uint16_t)last);
    check_forged(&image, &p);
    SAYS(&p, "ends at another key", "keyspace 'users'");
    SAYS(&p, "page", "is lost");
}
END_TEST

START_TEST(a_key_outside_its_node_is_noticed)
{
    struct image image = copy_sample();
    uint8_t *page = image_page(&image, get_u64(child_of(image_page(&image, image_root(&image, "users")), 1)));
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
    struct image image = copy_sample();
    uint8_t *root = image_page(&image, image_root(&image, "users"));
    struct problems p;

    /* Slot 0 has the empty key; taking it away makes the node begin at slot 1's. */
    memmove(root + 32, root + 40, (get_u16(root + 2) - 1u) * 8u);
    put_u16(root + 2, (uint16_t)(get_u16(root + 2) - 1));
    put_u32(root + 8, get_u32(root + 8) + 8);
    check_forged(&image, &p);
    SAYS(&p, "does not begin at its lower bound");
}
END_TEST

START_TEST(forged_extents_are_noticed)
{
    static const char *const says[] = {"has not the size", "which does not exist", "is used twice",
                                       "which does not exist", "has not the size"};
    struct image image = copy_sample();
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
    struct image image = copy_sample();
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
                                       "impossible value", "impossible number", "is used twice"};
    struct image image = copy_sample();
    uint8_t *users = image_catalog(&image, "kusers"), *files = image_catalog(&image, "kfiles");
    struct problems p;

    switch (_i) {
    case 0: put_u32(users, 77); break;
    case 1: put_u32(users, get_u32(files)); break;
    case 2: put_u32(users + 4, 1); break;
    case 3: put_u64(users + 16, UINT64_MAX); break;
    case 4: put_u32(image_catalog(&image, "n"), 2); break;
    default: put_u64(users + 8, get_u64(files + 8)); break;
    }
    check_forged(&image, &p);
    SAYS(&p, says[_i]);
}
END_TEST

START_TEST(forged_places_are_noticed)
{
    static const char *const says[] = {"in use already", "impossible place", "impossible place",
                                       "impossible place", "is lost", "which does not exist"};
    struct image image = copy_sample();
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
    struct image image = copy_sample();
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

/* ---- the log ------------------------------------------------------------------------------- */

/* A disk as a crash left it: the sample, and commits that only the log has. */
static struct io *crashed(unsigned checkpoints)
{
    sdb_options options = sample_options();
    struct io *io, *after;
    sdb_keyspace *users;
    sdb_db *db;

    OK(sdb__sim_new(&sdb__mem_default, 1, &io));
    OK(sdb__db_open(io, FILE_NAME, &options, &db));
    sample_fill(db);
    OK(sdb_keyspace_open(db, "users", 0, &users));
    for (unsigned i = 0; i < checkpoints; i++) {
        OK(sdb_put(NULL, users, (sdb_slice){"k", 1}, (sdb_slice){&i, sizeof i}));
        OK(sdb_checkpoint(db));
    }
    for (unsigned i = 0; i < 50; i++)
        OK(sdb_put(NULL, users, (sdb_slice){&i, sizeof i}, (sdb_slice){"after", 5}));
    OK(sdb__sim_clone(io, UINT64_MAX, &after));
    OK(sdb_close(db));
    sdb__io_free(io);
    return after;
}

/* The newest superblock is once in the one slot, once in the other. */
START_TEST(the_log_of_a_crash_is_read_too)
{
    struct io *io = crashed(1 + (unsigned)_i);
    uint64_t entries = SAMPLE_USERS + SAMPLE_FILES + SAMPLE_LONG + 1;
    sdb_options options = sample_options();
    struct problems p;
    sdb_db *db;

    check_on(io, FILE_NAME, &p);
    assert_clean(&p);
    ck_assert_uint_eq(p.result.log_records, 50);
    ck_assert_uint_eq(p.result.entries, entries);
    check_on(io, FILE_NAME, &p); /* nothing was changed by looking */
    ck_assert_uint_eq(p.result.log_records, 50);
    OK(sdb__db_open(io, FILE_NAME, &options, &db));
    OK(sdb_close(db));
    check_on(io, FILE_NAME, &p);
    assert_clean(&p);
    ck_assert_uint_eq(p.result.entries, entries + 50);
    ck_assert_uint_eq(p.result.log_records, 0);
    sdb__io_free(io);
}
END_TEST

/* A log with the right checksums that no commit wrote. */
START_TEST(a_log_that_recovery_could_not_use_is_a_problem)
{
    static const char *const says[] = {"does not go on from the one before it",
                                       "does not go on from the one before it", "is too short",
                                       "no operation", "impossible name", "changes the catalog",
                                       "a value that it cannot have", "a key that it cannot have"};
    static const uint8_t ops[][6] = {{OP_PUT, 1, 0, 0}, {OP_PUT, 1, 0, 0}, {0}, {9, 1, 0, 0},
                                     {OP_MAKE, 9, 0, 0}, {OP_PUT, 0, 0, 0},
                                     {OP_DEL, 1, 0, 1, 0}, {OP_DROP, 1, 1, 0, 0}};
    static const size_t sizes[] = {4, 4, 0, 4, 4, 4, 5, 5};
    struct io *io = crashed(1);
    struct image image = image_read(io, FILE_NAME);
    const uint8_t *newest = image.bytes;
    uint8_t body[BODY_HEAD + 6] = {0};
    struct wal_options options = {.io = io, .allocator = &sdb__mem_default,
                                  .folder = FILE_NAME "-wal", .segment_bytes = 1 << 20};
    struct wal_piece piece = {body, _i == 2 ? 7 : BODY_HEAD + sizes[_i]};
    struct problems p;
    struct wal *wal;
    uint64_t end;

    if (get_u64(newest + 4096 + 40) > get_u64(newest + 40)) newest += 4096;
    memcpy(options.identity.database_id, newest + 24, 16);
    options.identity.log_id = get_u64(newest + 64);
    options.first_lsn = get_u64(newest + 48);
    put_u64(body, get_u64(newest + 56) + (_i == 0 ? 2 : _i == 1 ? 0 : 1));
    memcpy(body + BODY_HEAD, ops[_i], sizes[_i]);
    OK(sdb__wal_remove(io, FILE_NAME "-wal"));
    OK(sdb__wal_begin(&options, &wal));
    OK(sdb__wal_append(wal, &piece, 1, &end));
    OK(sdb__wal_sync(wal, end));
    sdb__wal_close(wal);
    check_on(io, FILE_NAME, &p);
    ck_assert_uint_eq(p.count, 1);
    SAYS(&p, "log " FILE_NAME "-wal: the commit at", says[_i]);
    free(image.bytes);
    sdb__io_free(io);
}
END_TEST

/* Looks for the segment that holds a place in the log. */
struct seeking {
    struct io *io;
    uint64_t lsn;
    char path[200];
    uint64_t offset; /* in it */
};

static sdb_status look_in(void *context, const char *name)
{
    struct seeking *s = context;
    char path[200];
    struct image segment;
    uint64_t first, bytes;

    (void)snprintf(path, sizeof path, FILE_NAME "-wal/%s", name);
    segment = image_read(s->io, path);
    first = get_u64(segment.bytes + 48);
    bytes = segment.size - 4096;
    if (s->lsn >= first && s->lsn < first + bytes) {
        memcpy(s->path, path, sizeof path);
        s->offset = 4096 + s->lsn - first;
    }
    free(segment.bytes);
    return SDB_OK;
}

START_TEST(a_damaged_or_missing_log_is_a_problem)
{
    struct io *io = crashed(1);
    struct seeking s = {.io = io};
    struct problems p;
    struct image image = image_read(io, FILE_NAME);
    const uint8_t *newest = image.bytes;

    if (get_u64(newest + 4096 + 40) > get_u64(newest + 40)) newest += 4096;
    s.lsn = get_u64(newest + 48);
    OK(sdb__io_folder_list(io, FILE_NAME "-wal", look_in, &s));
    OK(sdb__sim_flip(io, s.path, s.offset + 24 + 3, 1)); /* in the first record behind it */
    check_on(io, FILE_NAME, &p);
    ck_assert_int_eq(p.status, SDB_CORRUPT);
    ck_assert_uint_eq(p.count, 1);
    SAYS(&p, "log " FILE_NAME "-wal is damaged");
    OK(sdb__io_remove(io, s.path));
    check_on(io, FILE_NAME, &p);
    ck_assert_uint_eq(p.count, 1);
    SAYS(&p, "its log " FILE_NAME "-wal is missing", "are lost");
    free(image.bytes);
    sdb__io_free(io);
}
END_TEST

/* ---- who may check when -------------------------------------------------------------------- */

START_TEST(a_file_that_is_open_for_writing_is_busy)
{
    sdb_options options = sample_options();
    struct problems p;
    struct io *io;
    sdb_db *db;

    OK(sdb__io_new_memory(&sdb__mem_default, &io));
    sample_make(io);
    OK(sdb__db_open(io, FILE_NAME, &options, &db));
    check_on(io, FILE_NAME, &p);
    ck_assert_int_eq(p.status, SDB_BUSY);
    OK(sdb_close(db));
    options.flags |= SDB_OPEN_READONLY;
    OK(sdb__db_open(io, FILE_NAME, &options, &db));
    check_on(io, FILE_NAME, &p);
    assert_clean(&p);
    OK(sdb_check(db, NULL, NULL, NULL, NULL)); /* a reader may check what it reads */
    OK(sdb_close(db));
    check_on(io, "nothing.sdb", &p);
    ck_assert_int_eq(p.status, SDB_NOTFOUND);
    sdb__io_free(io);
}
END_TEST

START_TEST(a_database_that_was_never_finished_is_none)
{
    struct image empty = {NULL, 0};
    struct problems p;
    struct io *io;

    OK(sdb__io_new_memory(&sdb__mem_default, &io));
    sample_make(io);
    image_write(io, FILE_NAME "-new", &empty);
    check_on(io, FILE_NAME, &p);
    ck_assert_int_eq(p.status, SDB_INVALID);
    sdb__io_free(io);
}
END_TEST

struct stop {
    uint64_t calls, stop_at, last, total;
};

static int count_progress(void *context, uint64_t done, uint64_t total)
{
    struct stop *s = context;

    s->calls++;
    ck_assert_uint_ge(done, s->last);
    ck_assert_uint_le(done, total);
    s->last = done;
    s->total = total;
    return s->stop_at && s->calls == s->stop_at;
}

START_TEST(progress_grows_to_its_total_and_can_stop_the_check)
{
    struct stop s = {0}, t;
    struct io *io;
    sdb_check_result result = {.size = sizeof result, .pages = 4711};

    OK(sdb__io_new_memory(&sdb__mem_default, &io));
    sample_make(io);
    OK(sdb__check_file(io, &sdb__mem_default, FILE_NAME, NULL, count_progress, &s, NULL));
    ck_assert_uint_eq(s.last, s.total);
    ck_assert_uint_gt(s.calls, 10);
    for (uint64_t i = 1; i <= s.calls; i++) {
        t = (struct stop){.stop_at = i};
        GIVES(sdb__check_file(io, &sdb__mem_default, FILE_NAME, NULL, count_progress, &t, &result),
              SDB_CANCELLED);
        ck_assert_uint_eq(t.calls, i);
    }
    ck_assert_uint_eq(result.pages, 4711); /* outputs are left alone */
    sdb__io_free(io);
}
END_TEST

START_TEST(the_result_fits_what_the_caller_knows)
{
    struct {
        sdb_check_result result;
        uint64_t behind;
    } room;
    sdb_db *db;
    sdb_options options = sample_options();

    OK(sdb_open(":memory:", &options, &db));
    memset(&room, 0xaa, sizeof room);
    room.result.size = 2 * sizeof(uint64_t);
    OK(sdb_check(db, NULL, NULL, NULL, &room.result));
    ck_assert_uint_eq(room.result.problems, 0);
    ck_assert_uint_eq(room.result.pages, UINT64_C(0xaaaaaaaaaaaaaaaa));
    room.result.size = 1;
    GIVES(sdb_check(db, NULL, NULL, NULL, &room.result), SDB_INVALID);
    GIVES(sdb_check_file(":memory:", NULL, NULL, NULL, NULL, NULL), SDB_INVALID);
    GIVES(sdb_check_file("", NULL, NULL, NULL, NULL, NULL), SDB_INVALID);
    GIVES(sdb_check_file(NULL, NULL, NULL, NULL, NULL, NULL), SDB_INVALID);
    GIVES(sdb_check(NULL, NULL, NULL, NULL, NULL), SDB_INVALID);
    OK(sdb_close(db));
}
END_TEST

/* ---- trouble on the way -------------------------------------------------------------------- */

struct frugal {
    uint64_t requests, fail_at;
    int64_t live;
};

static void *resize_frugally(void *context, void *memory, size_t size)
{
    struct frugal *f = context;
    void *result;

    if (size == 0) {
        if (memory) f->live--;
        free(memory);
        return NULL;
    }
    if (++f->requests == f->fail_at) return NULL;
    result = realloc(memory, size);
    if (result && !memory) f->live++;
    return result;
}

START_TEST(a_check_without_memory_says_so)
{
    struct frugal f = {0};
    sdb_allocator allocator = {resize_frugally, &f};
    sdb_status status = SDB_NOMEM;
    struct io *io;

    OK(sdb__io_new_memory(&sdb__mem_default, &io));
    sample_make(io);
    while (status != SDB_OK) {
        f.requests = 0;
        f.fail_at++;
        status = sdb__check_file(io, &allocator, FILE_NAME, NULL, NULL, NULL, NULL);
        ck_assert_msg(status == SDB_OK || status == SDB_NOMEM, "request %llu: %s",
                      (unsigned long long)f.fail_at, sdb_errmsg());
        ck_assert_int_eq(f.live, 0);
        ck_assert_uint_lt(f.fail_at, 1000);
    }
    ck_assert_uint_gt(f.fail_at, 10);
    sdb__io_free(io);
}
END_TEST

START_TEST(a_page_that_cannot_be_read_is_a_problem)
{
    unsigned reported = 0, sound = 0;
    struct problems p;
    struct io *io;

    for (uint64_t seed = 1; seed <= 60; seed++) {
        OK(sdb__sim_new(&sdb__mem_default, seed, &io));
        sample_make(io);
        sdb__sim_set_faults(io, &(struct sim_faults){.read_error = (uint32_t)(seed % 5) * 2000});
        check_on(io, FILE_NAME, &p);
        ck_assert(p.status == SDB_OK || p.status == SDB_CORRUPT || p.status == SDB_IO);
        reported += problem_says(&p, "page", "at byte", "cannot be read", NULL);
        sound += p.status == SDB_OK;
        sdb__io_free(io);
    }
    ck_assert_uint_gt(reported, 10);
    ck_assert_uint_ge(sound, 12);
}
END_TEST

/* ---- writers go on ------------------------------------------------------------------------- */

struct writing {
    sdb_db *db;
    _Atomic bool stop;
    _Atomic unsigned rounds;
};

static void *write_on(void *context)
{
    struct writing *w = context;
    static const uint8_t big[9000];
    sdb_keyspace *keyspace;
    char name[32];

    for (unsigned i = 0; !atomic_load(&w->stop); i++) {
        (void)snprintf(name, sizeof name, "passing %u", i);
        OK(sdb_keyspace_open(w->db, name, 0, &keyspace));
        for (unsigned k = 0; k < 60; k++) {
            uint32_t key = (i * 61 + k * 7919) % 997;

            OK(sdb_put(NULL, keyspace, (sdb_slice){&key, sizeof key},
                       (sdb_slice){big, k % 10 ? key % 300 : 2000 + key * 7}));
            if (k % 25 == 0) OK(sdb_checkpoint(w->db));
        }
        if (i % 3) OK(sdb_keyspace_drop(keyspace));
        atomic_fetch_add(&w->rounds, 1);
    }
    return NULL;
}

START_TEST(a_check_and_writers_do_not_disturb_each_other)
{
    char folder[] = "/tmp/sdb-check-XXXXXX", path[64];
    sdb_options options = sample_options();
    struct writing w = {.db = NULL};
    struct problems p = {.count = 0};
    pthread_t thread;

    if (_i) {
        ck_assert_ptr_nonnull(mkdtemp(folder));
        (void)snprintf(path, sizeof path, "%s/t.sdb", folder);
        options.flags = 0; /* with a thread of its own */
        options.durability = SDB_DURABILITY_NONE;
        options.checkpoint_bytes = 1 << 20;
    }
    OK(sdb_open(_i ? path : ":memory:", &options, &w.db));
    sample_fill(w.db);
    ck_assert_int_eq(pthread_create(&thread, NULL, write_on, &w), 0);
    for (unsigned i = 0; i < 25 || atomic_load(&w.rounds) < 5; i++) {
        sdb_status status = sdb_check(w.db, problems_note, NULL, &p, NULL);

        ck_assert_msg(status == SDB_OK, "%s: %s", sdb_errmsg(), p.text[0]);
    }
    atomic_store(&w.stop, true);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    OK(sdb_close(w.db));
    if (!_i) return;
    GIVES(sdb_check_file(path, NULL, problems_note, NULL, &p, NULL), SDB_OK);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

/* Writes everything anew, and checkpoints, from a thread of its own: a callback must not. */
static void *write_all_anew(void *context)
{
    sdb_db *db = context;
    sdb_keyspace *users;

    OK(sdb_keyspace_open(db, "users", 0, &users));
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < SAMPLE_USERS; i++) {
            char key[20];
            int size = snprintf(key, sizeof key, "user %05u", i * 7919 % 100000);

            OK(sdb_put(NULL, users, (sdb_slice){key, (size_t)size}, (sdb_slice){&round, 4}));
        }
        OK(sdb_checkpoint(db));
    }
    return NULL;
}

static int write_meanwhile(void *context, uint64_t done, uint64_t total)
{
    pthread_t thread;

    (void)done;
    (void)total;
    ck_assert_int_eq(pthread_create(&thread, NULL, write_all_anew, context), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    return 0;
}

static void fail_on_problem(void *context, const char *problem)
{
    (void)context;
    ck_abort_msg("%s", problem);
}

START_TEST(a_check_sees_its_checkpoint_whatever_is_written_meanwhile)
{
    sdb_options options = sample_options();
    sdb_db *db;

    OK(sdb_open(":memory:", &options, &db));
    sample_fill(db);
    OK(sdb_check(db, fail_on_problem, write_meanwhile, db, NULL));
    OK(sdb_check(db, fail_on_problem, NULL, NULL, NULL));
    OK(sdb_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("check");
    TCase *sound = tcase_create("sound"), *bytes = tcase_create("bytes");
    TCase *said = tcase_create("said"), *forged = tcase_create("forged");
    TCase *around = tcase_create("around");
    SRunner *runner;
    int failed;

    tcase_add_unchecked_fixture(sound, make_sample, free_sample);
    tcase_add_unchecked_fixture(bytes, make_sample, free_sample);
    tcase_add_unchecked_fixture(said, make_sample, free_sample);
    tcase_add_unchecked_fixture(forged, make_sample, free_sample);
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
    tcase_add_loop_test(forged, forged_children_are_noticed, 0, 6);
    tcase_add_test(forged, a_child_that_ends_early_is_noticed);
    tcase_add_test(forged, a_child_that_does_not_end_is_noticed);
    tcase_add_test(forged, reading_a_tree_with_a_gap_ends);
    tcase_add_test(forged, a_tree_without_its_end_is_noticed);
    tcase_add_test(forged, a_key_outside_its_node_is_noticed);
    tcase_add_test(forged, an_inner_node_that_begins_late_is_noticed);
    tcase_add_loop_test(forged, forged_extents_are_noticed, 0, 5);
    tcase_add_test(forged, a_layer_in_a_circle_ends);
    tcase_add_loop_test(forged, forged_catalog_entries_are_noticed, 0, 6);
    tcase_add_loop_test(forged, forged_places_are_noticed, 0, 6);
    tcase_add_test(forged, forged_sizes_do_not_cost_memory);
    tcase_add_loop_test(around, the_log_of_a_crash_is_read_too, 0, 2);
    tcase_add_loop_test(around, a_log_that_recovery_could_not_use_is_a_problem, 0, 8);
    tcase_add_test(around, a_damaged_or_missing_log_is_a_problem);
    tcase_add_test(around, a_file_that_is_open_for_writing_is_busy);
    tcase_add_test(around, a_database_that_was_never_finished_is_none);
    tcase_add_test(around, progress_grows_to_its_total_and_can_stop_the_check);
    tcase_add_test(around, the_result_fits_what_the_caller_knows);
    tcase_add_test(around, a_check_without_memory_says_so);
    tcase_add_test(around, a_page_that_cannot_be_read_is_a_problem);
    tcase_add_test(around, a_check_sees_its_checkpoint_whatever_is_written_meanwhile);
    tcase_add_loop_test(around, a_check_and_writers_do_not_disturb_each_other, 0, 2);
    tcase_set_timeout(around, 300);
    suite_add_tcase(suite, sound);
    suite_add_tcase(suite, bytes);
    suite_add_tcase(suite, said);
    suite_add_tcase(suite, forged);
    suite_add_tcase(suite, around);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
