/* SPDX-License-Identifier: Apache-2.0 */
/* check_fixture.c */
#include "tests/kv/check_fixture.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/mem.h"
#include "index/kv/database.h"
#include "index/kv/verify.h"

enum { BLOCK = 512 };

/* ---- a database --------------------------------------------------------------------------- */

sdb_options sample_options(void)
{
    sdb_options options = SDB_OPTIONS_INIT;

    options.page_size = SAMPLE_PAGE;
    options.cache_bytes = 1 << 20;
    options.flags = SDB_OPEN_NO_THREADS;
    return options;
}

static void put(sdb_keyspace *keyspace, const void *key, size_t key_size, const void *value,
                size_t value_size)
{
    OK(sdb_put(NULL, keyspace, (sdb_slice){key, key_size}, (sdb_slice){value, value_size}));
}

void sample_fill(sdb_db *db)
{
    static uint8_t big[6000];
    sdb_keyspace *users, *files, *longer, *other;
    char key[1200], value[64];

    for (size_t i = 0; i < sizeof big; i++) big[i] = (uint8_t)(i * 7 + i / 251);
    OK(sdb_keyspace_open(db, "users", 0, &users));
    OK(sdb_keyspace_open(db, "files", 0, &files));
    OK(sdb_keyspace_open(db, "long keys", 0, &longer));
    OK(sdb_keyspace_open(db, "empty", 0, &other));
    for (unsigned i = 0; i < SAMPLE_USERS; i++) {
        int size = snprintf(key, sizeof key, "user %05u", i * 7919 % 100000);

        put(users, key, (size_t)size, value, (size_t)snprintf(value, sizeof value, "value %u", i));
    }
    for (unsigned i = 0; i < SAMPLE_FILES; i++) {
        int size = snprintf(key, sizeof key, "file %u", i);

        put(files, key, (size_t)size, big, 6000); /* gives way to another: free space */
        put(files, key, (size_t)size, big + i, 1500 + i * 811);
    }
    memset(key, 'k', sizeof key);
    for (unsigned i = 0; i < SAMPLE_LONG; i++) {
        size_t size = 200 + i * 60;

        key[size - 1] = (char)('a' + i);
        put(longer, key, size, value, i);
        key[size - 1] = 'k';
    }
    OK(sdb_keyspace_open(db, "passing", 0, &other));
    for (unsigned i = 0; i < 12; i++) put(other, &i, sizeof i, big, 1500 + i);
    OK(sdb_checkpoint(db));
    OK(sdb_keyspace_drop(other));
}

void sample_make(struct io *io)
{
    sdb_options options = sample_options();
    sdb_db *db;

    OK(sdb__db_open(io, FILE_NAME, &options, &db));
    sample_fill(db);
    OK(sdb_close(db));
}

static void add(uint64_t *digest, sdb_slice bytes)
{
    *digest = sdb__digest(bytes.data, bytes.size, *digest ^ bytes.size);
}

/* One keyspace forwards; backwards it must have as many. */
static sdb_status read_keyspace(sdb_db *db, const char *name, uint64_t *digest)
{
    sdb_keyspace *keyspace;
    sdb_cursor *cursor = NULL;
    sdb_txn *txn;
    sdb_slice key, value;
    size_t there = 0, back = 0;
    sdb_status status = sdb_keyspace_open(db, name, SDB_KEYSPACE_MUST_EXIST, &keyspace);

    if (status != SDB_OK) return status;
    status = sdb_txn_begin(db, SDB_TXN_READ, &txn);
    if (status != SDB_OK) return status;
    status = sdb_cursor_open(txn, keyspace, NULL, &cursor);
    if (status == SDB_OK) {
        while ((status = sdb_cursor_next(cursor, &key, &value)) == SDB_OK) {
            add(digest, key);
            add(digest, value);
            there++;
        }
        if (status == SDB_END)
            for (status = sdb_cursor_last(cursor, &key, &value); status == SDB_OK;
                 status = sdb_cursor_prev(cursor, &key, &value))
                back++;
        if (status == SDB_END) status = there == back ? SDB_OK : SDB_INVALID;
        sdb_cursor_close(cursor);
    }
    sdb_txn_abort(txn);
    return status;
}

static sdb_status read_all(sdb_db *db, uint64_t *digest)
{
    char name[SDB_KEYSPACE_NAME_MAX + 1] = "";
    sdb_status status;

    *digest = 1;
    while ((status = sdb_keyspace_next(db, name, name)) == SDB_OK) {
        add(digest, (sdb_slice){name, strlen(name)});
        status = read_keyspace(db, name, digest);
        if (status != SDB_OK) return status;
    }
    return status == SDB_END ? SDB_OK : status;
}

uint64_t contents_of(sdb_db *db)
{
    uint64_t digest;

    OK(read_all(db, &digest));
    return digest;
}

sdb_status contents_in(struct io *io, const char *path, uint64_t *out_digest)
{
    sdb_options options = sample_options();
    sdb_db *db;
    sdb_status status;

    options.flags |= SDB_OPEN_READONLY;
    status = sdb__db_open(io, path, &options, &db);
    if (status != SDB_OK) return status;
    status = read_all(db, out_digest);
    OK(sdb_close(db));
    return status;
}

/* ---- its file ----------------------------------------------------------------------------- */

struct image image_read(struct io *io, const char *path)
{
    struct image image;
    struct io_queue *queue;
    struct io_file *file;
    uint64_t bytes;

    OK(sdb__io_open(io, path, 0, &file));
    OK(sdb__io_size(file, &bytes));
    image.size = (size_t)bytes;
    image.bytes = malloc(image.size + 1);
    ck_assert_ptr_nonnull(image.bytes);
    OK(sdb__io_queue_new(io, 1, &queue));
    OK(sdb__io_read(queue, file, image.bytes, image.size, 0));
    sdb__io_queue_free(queue);
    sdb__io_close(file);
    return image;
}

void image_write(struct io *io, const char *path, const struct image *image)
{
    struct io_queue *queue;
    struct io_file *file;

    OK(sdb__io_open(io, path, IO_OPEN_WRITE | IO_OPEN_CREATE, &file));
    OK(sdb__io_truncate(file, 0));
    OK(sdb__io_queue_new(io, 1, &queue));
    if (image->size) OK(sdb__io_write(queue, file, image->bytes, image->size, 0));
    sdb__io_queue_free(queue);
    sdb__io_close(file);
}

struct image sample;

void sample_setup(void)
{
    struct io *io;

    OK(sdb__io_new_memory(&sdb__mem_default, &io));
    sample_make(io);
    sample = image_read(io, FILE_NAME);
    sdb__io_free(io);
}

void sample_teardown(void)
{
    free(sample.bytes);
}

struct image sample_copy(void)
{
    struct image image = {malloc(sample.size), sample.size};

    ck_assert_ptr_nonnull(image.bytes);
    memcpy(image.bytes, sample.bytes, sample.size);
    return image;
}

/* ---- the format ---------------------------------------------------------------------------- */

static uint64_t first_of(uint64_t place)
{
    return (place & ((UINT64_C(1) << 40) - 1)) * BLOCK;
}

static uint64_t length_of(uint64_t place)
{
    return ((place >> 40 & 0x3fffff) + 1) * BLOCK;
}

static uint8_t *directory_of(const struct image *image)
{
    return image->bytes + first_of(get_u64(image->bytes + 72));
}

uint64_t image_page_limit(const struct image *image)
{
    return get_u64(image->bytes + 96);
}

uint8_t *image_entry(const struct image *image, uint64_t id)
{
    uint64_t chunk = first_of(get_u64(directory_of(image) + id / (SAMPLE_PAGE / 16) * 16));

    return image->bytes + chunk + id % (SAMPLE_PAGE / 16) * 16;
}

uint8_t *image_page(const struct image *image, uint64_t id)
{
    uint64_t place = get_u64(image_entry(image, id));

    return place && place >> 62 == 0 ? image->bytes + first_of(place) : NULL;
}

/* Calls `fn` for each extent that a leaf cell names: the entry of its id, and its size. */
static void each_extent(const struct image *image,
                        void (*fn)(const struct image *, uint8_t *entry, uint64_t size, void *),
                        void *context)
{
    for (uint64_t id = 1; id < image_page_limit(image); id++) {
        const uint8_t *page = image_page(image, id);

        if (!page || page[0] != 0) continue;
        for (unsigned i = 0; i < get_u16(page + 2); i++) {
            const uint8_t *slot = page + 32 + i * 8;
            const uint8_t *value = page + get_u16(slot + 4) + get_u16(slot + 6);

            if (get_u16(value) >> 14 == 1 && get_u64(value + 2) < image_page_limit(image))
                fn(image, image_entry(image, get_u64(value + 2)), get_u64(value + 10), context);
        }
    }
}

static void cover_extent(const struct image *image, uint8_t *entry, uint64_t size, void *map)
{
    (void)image;
    memset((uint8_t *)map + first_of(get_u64(entry)), 1, (size_t)size);
}

void image_covered(const struct image *image, uint8_t *map)
{
    uint64_t chunks = get_u64(image->bytes + 88);

    memset(map, 0, image->size);
    memset(map, 1, 8192);
    memset(map + (directory_of(image) - image->bytes), 1, (size_t)chunks * 16);
    for (uint64_t i = 0; i < chunks; i++)
        memset(map + first_of(get_u64(directory_of(image) + i * 16)), 1, SAMPLE_PAGE);
    for (uint64_t id = 1; id < image_page_limit(image); id++)
        if (image_page(image, id))
            memset(map + (image_page(image, id) - image->bytes), 1, SAMPLE_PAGE);
    each_extent(image, cover_extent, map);
}

static void seal_extent(const struct image *image, uint8_t *entry, uint64_t size, void *context)
{
    uint64_t place = get_u64(entry);

    (void)context;
    if (place >> 62 == 1 && size <= length_of(place) && first_of(place) + size <= image->size)
        put_u64(entry + 8, sdb__digest(image->bytes + first_of(place), (size_t)size, 0));
}

void image_seal(struct image *image)
{
    uint64_t chunks = get_u64(image->bytes + 88);

    for (uint64_t id = 1; id < image_page_limit(image); id++)
        if (image_page(image, id))
            put_u64(image_entry(image, id) + 8,
                    sdb__digest(image_page(image, id), SAMPLE_PAGE, 0));
    each_extent(image, seal_extent, NULL);
    for (uint64_t i = 0; i < chunks; i++) {
        uint8_t *at = directory_of(image) + i * 16;

        put_u64(at + 8, sdb__digest(image->bytes + first_of(get_u64(at)), SAMPLE_PAGE, 0));
    }
    put_u64(image->bytes + 80, sdb__digest(directory_of(image), (size_t)chunks * 16, 0));
    put_u64(image->bytes + 4088, sdb__digest(image->bytes, 4088, 0));
    memcpy(image->bytes + 4096, image->bytes, 4096);
}

uint8_t *image_catalog(const struct image *image, const char *key)
{
    uint8_t *page = image_page(image, get_u64(image->bytes + 104));

    ck_assert_uint_eq(page[0], 0); /* a small catalog is one leaf */
    ck_assert_uint_eq(get_u16(page + 12), 0);
    for (unsigned i = 0; i < get_u16(page + 2); i++) {
        const uint8_t *slot = page + 32 + i * 8;
        uint8_t *cell = page + get_u16(slot + 4);

        if (get_u16(slot + 6) == strlen(key) && memcmp(cell, key, strlen(key)) == 0)
            return cell + strlen(key) + 2;
    }
    ck_abort_msg("the catalog has no %s", key);
    return NULL;
}

uint64_t image_root(const struct image *image, const char *keyspace)
{
    char key[300];

    (void)snprintf(key, sizeof key, "k%s", keyspace);
    return get_u64(image_catalog(image, key) + 8);
}

uint8_t *cell_of(uint8_t *page, unsigned slot)
{
    return page + get_u16(page + 32 + slot * 8 + 4);
}

size_t suffix_of(const uint8_t *page, unsigned slot)
{
    return get_u16(page + 32 + slot * 8 + 6);
}

uint8_t *child_of(uint8_t *page, unsigned slot)
{
    return cell_of(page, slot) + suffix_of(page, slot);
}

void slot_remove(uint8_t *page, unsigned slot)
{
    unsigned count = get_u16(page + 2);
    uint8_t *slots = page + 32;

    put_u32(page + 8, get_u32(page + 8) + (uint32_t)suffix_of(page, slot) + 8);
    memmove(slots + 8 * slot, slots + 8 * (slot + 1), (count - slot - 1) * 8u);
    put_u16(page + 2, (uint16_t)(count - 1));
}

/* ---- problems ------------------------------------------------------------------------------ */

void problems_note(void *context, const char *problem)
{
    struct problems *p = context;

    if (p->count < sizeof p->text / sizeof p->text[0])
        (void)snprintf(p->text[p->count], sizeof p->text[0], "%s", problem);
    p->count++;
}

void check_on(struct io *io, const char *path, struct problems *out)
{
    memset(out, 0, sizeof *out);
    out->result.size = sizeof out->result;
    out->status = sdb__check_file(io, &sdb__mem_default, path, problems_note, NULL, out,
                                  &out->result);
    if (out->status == SDB_OK) ck_assert_uint_eq(out->count, 0);
    if (out->status == SDB_CORRUPT) ck_assert_uint_gt(out->count, 0);
    if (out->status == SDB_OK || out->status == SDB_CORRUPT)
        ck_assert_uint_eq(out->result.problems, out->count);
}

void check_image(const struct image *image, struct problems *out)
{
    struct io *io;

    OK(sdb__io_new_memory(&sdb__mem_default, &io));
    image_write(io, FILE_NAME, image);
    check_on(io, FILE_NAME, out);
    sdb__io_free(io);
}

bool problem_says(const struct problems *p, const char *word, ...)
{
    for (unsigned i = 0; i < p->count && i < sizeof p->text / sizeof p->text[0]; i++) {
        const char *next = word;
        va_list words;

        va_start(words, word);
        while (next && strstr(p->text[i], next)) next = va_arg(words, const char *);
        va_end(words);
        if (!next) return true;
    }
    return false;
}

void assert_clean(const struct problems *p)
{
    ck_assert_msg(p->status == SDB_OK, "%s: %s; %s", sdb_status_name(p->status), p->text[0],
                  sdb_errmsg());
}

/* ---- trouble and company -------------------------------------------------------------------- */

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

void frugal_init(struct frugal *f)
{
    *f = (struct frugal){.allocator = {resize_frugally, f}};
}

static void *write_all_anew(void *context)
{
    static const uint8_t big[5000] = "written anew";
    sdb_db *db = context;
    sdb_keyspace *users, *files;

    OK(sdb_keyspace_open(db, "users", 0, &users));
    OK(sdb_keyspace_open(db, "files", 0, &files));
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < SAMPLE_FILES; i++) {
            char key[20];
            int size = snprintf(key, sizeof key, "file %u", i);

            OK(sdb_put(NULL, files, (sdb_slice){key, (size_t)size},
                       (sdb_slice){big, 1500 + i * 811}));
        }
        for (unsigned i = 0; i < SAMPLE_USERS; i++) {
            char key[20];
            int size = snprintf(key, sizeof key, "user %05u", i * 7919 % 100000);

            OK(sdb_put(NULL, users, (sdb_slice){key, (size_t)size}, (sdb_slice){&round, 4}));
        }
        OK(sdb_checkpoint(db));
    }
    return NULL;
}

int write_meanwhile(void *db, uint64_t done, uint64_t total)
{
    pthread_t thread;

    (void)done;
    (void)total;
    ck_assert_int_eq(pthread_create(&thread, NULL, write_all_anew, db), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    return 0;
}

int told_progress(void *context, uint64_t done, uint64_t total)
{
    struct told *told = context;

    told->calls++;
    ck_assert_uint_le(done, total);
    ck_assert_uint_ge(done, told->last);
    if (told->grows) {
        ck_assert_uint_gt(done, told->last);
        ck_assert(told->total == 0 || told->total == total);
    }
    told->last = done;
    told->total = total;
    return told->stop_at && told->calls == told->stop_at;
}
