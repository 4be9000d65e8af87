/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_file.c: any bytes as a database file. Checking it, opening it, reading, changing and copying
 * it must not crash, hang or cost more than its share; and what the check calls sound must behave
 * as such.
 *
 * The first byte of the input says how the rest is taken.
 *   0 mod 4   the rest is the file, as it is.
 *   1 mod 4   the same, with every checksum put right, from the pages up to the superblocks.
 *   else      a small real database (3 mod 4: with packed pages), to which the rest does something:
 *             a list of orders of ORDER bytes each (kind, page, place, value; see obey), after
 *             which the checksums are put right.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sdb/snapshot.h>

#include "engine/base/bytes.h"
#include "engine/base/mem.h"
#include "engine/pager/kept.h"
#include "index/kv/database.h"
#include "index/kv/verify.h"

enum { ORDER = 8, BLOCK = 512, STEPS_MOST = 100000, PAGE = 4096 };

#define NAME "f.sdb"
#define ALLOCATION_MOST ((size_t)64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool held, const char *what)
{
    if (held) return;
    (void)fprintf(stderr, "fuzz_file: %s (%s)\n", what, sdb_errmsg());
    abort();
}

#define MUST(condition) must((condition), #condition)

/* No file of this size justifies a request of that size. */
static void *resize_modestly(void *context, void *memory, size_t size)
{
    (void)context;
    if (size == 0) {
        free(memory);
        return NULL;
    }
    MUST(size <= ALLOCATION_MOST);
    return realloc(memory, size);
}

static const sdb_allocator modest = {resize_modestly, NULL};

/* ---- a file ------------------------------------------------------------------------------- */

struct bytes_of {
    uint8_t *data;
    size_t size;
    uint64_t directory, chunks; /* of the checkpoint that is looked at */
};

static sdb_options options_of(unsigned flags)
{
    sdb_options options = SDB_OPTIONS_INIT;

    options.page_size = PAGE;
    options.cache_bytes = 1 << 20;
    options.flags = SDB_OPEN_NO_THREADS | flags;
    options.allocator = &modest;
    return options;
}

static void put_text(sdb_keyspace *keyspace, const char *key, size_t size, const void *value,
                     size_t value_size)
{
    MUST(sdb_put(NULL, keyspace, (sdb_slice){key, size}, (sdb_slice){value, value_size}) == SDB_OK);
}

static void fill(sdb_db *db, bool packed)
{
    static const char *const names[] = {"flat", "long", "large"};
    static uint8_t big[3000];
    sdb_keyspace_options options = SDB_KEYSPACE_OPTIONS_INIT;
    sdb_keyspace *keyspace[3];
    char key[600];

    for (unsigned i = 0; i < 3; i++) {
        if (packed) options.compression = i ? SDB_COMPRESSION_LZ4 : SDB_COMPRESSION_ZSTD;
        MUST(sdb_keyspace_make(db, names[i], &options, &keyspace[i]) == SDB_OK);
    }
    for (unsigned i = 0; i < 200; i++)
        put_text(keyspace[0], key, (size_t)snprintf(key, sizeof key, "key %u", i * 37 % 200), big,
                 i % 90);
    memset(key, 'a', sizeof key);
    for (unsigned i = 0; i < 12; i++) {
        key[i * 40] = 'b';
        put_text(keyspace[1], key, 150 + i * 37, key, i);
    }
    for (unsigned i = 0; i < 4; i++)
        put_text(keyspace[2], key, i, big, 1100 + i * 600);
    MUST(sdb_snapshot_make(db, "kept") == SDB_OK);
    put_text(keyspace[0], "key 1", 5, "since", 5);
}

static struct bytes_of read_file(struct io *io)
{
    struct bytes_of bytes;
    struct io_queue *queue;
    struct io_file *file;
    uint64_t size;

    MUST(sdb__io_open(io, NAME, 0, &file) == SDB_OK);
    MUST(sdb__io_size(file, &size) == SDB_OK);
    bytes = (struct bytes_of){.data = malloc((size_t)size), .size = (size_t)size};
    MUST(bytes.data != NULL);
    MUST(sdb__io_queue_new(io, 1, &queue) == SDB_OK);
    MUST(sdb__io_read(queue, file, bytes.data, bytes.size, 0) == SDB_OK);
    sdb__io_queue_free(queue);
    sdb__io_close(file);
    return bytes;
}

static void write_file(struct io *io, const uint8_t *data, size_t size)
{
    struct io_queue *queue;
    struct io_file *file;

    MUST(sdb__io_open(io, NAME, IO_OPEN_WRITE | IO_OPEN_CREATE, &file) == SDB_OK);
    MUST(sdb__io_queue_new(io, 1, &queue) == SDB_OK);
    if (size) MUST(sdb__io_write(queue, file, data, size, 0) == SDB_OK);
    sdb__io_queue_free(queue);
    sdb__io_close(file);
}

/* The real database, plain or packed, made once. */
static const struct bytes_of *real(bool packed)
{
    static struct bytes_of made[2];
    struct bytes_of *bytes = &made[packed];
    sdb_options options = options_of(0);
    struct io *io;
    sdb_db *db;

    if (bytes->data) return bytes;
    MUST(sdb__io_new_memory(&sdb__mem_default, &io) == SDB_OK);
    MUST(sdb__db_open(io, NAME, &options, &db) == SDB_OK);
    fill(db, packed);
    MUST(sdb_close(db) == SDB_OK);
    *bytes = read_file(io);
    sdb__io_free(io);
    return bytes;
}

/* ---- its inside, as far as it can be made out --------------------------------------------- */

/* Where `size` bytes at a place stand, or NULL. */
static uint8_t *at_place(const struct bytes_of *f, uint64_t place, size_t size)
{
    uint64_t offset = (place & ((UINT64_C(1) << 40) - 1)) * BLOCK;

    if (offset < 8192 || offset > f->size || size > f->size - offset) return NULL;
    return f->data + offset;
}

static uint32_t page_size_of(const struct bytes_of *f)
{
    return get_u32(f->data + 16);
}

/* Looks at the newest checkpoint from now on. */
static void look_at_newest(struct bytes_of *f)
{
    f->directory = get_u64(f->data + 72);
    f->chunks = get_u64(f->data + 88);
}

/* The record of a snapshot, or NULL. */
static uint8_t *record_of(const struct bytes_of *f, unsigned number)
{
    uint64_t count = get_u64(f->data + 152);
    uint8_t *table;

    if (number >= count || count > 8) return NULL;
    table = at_place(f, get_u64(f->data + 136), (size_t)count * KEPT_RECORD);
    return table ? table + (size_t)number * KEPT_RECORD : NULL;
}

/* The map entry of an id, or NULL. */
static uint8_t *entry_of(const struct bytes_of *f, uint64_t id)
{
    uint64_t per_chunk = page_size_of(f) / 16, chunks = f->chunks;
    uint8_t *directory, *chunk;

    if (id / per_chunk >= chunks || chunks > f->size / 16) return NULL;
    directory = at_place(f, f->directory, (size_t)chunks * 16);
    if (!directory) return NULL;
    chunk = at_place(f, get_u64(directory + id / per_chunk * 16), page_size_of(f));
    return chunk ? chunk + id % per_chunk * 16 : NULL;
}

static uint8_t *page_of(const struct bytes_of *f, uint64_t id)
{
    uint8_t *entry = entry_of(f, id);

    if (!entry || get_u64(entry) == 0 || get_u64(entry) >> 62) return NULL;
    return at_place(f, get_u64(entry), page_size_of(f));
}

/* The bytes of a packed page, or NULL. */
static uint8_t *packed_of(const struct bytes_of *f, uint64_t id, size_t *out_size)
{
    uint8_t *entry = entry_of(f, id);

    if (!entry || get_u64(entry) >> 62 != 2) return NULL;
    *out_size = (size_t)((get_u64(entry) >> 40 & 0x3fffff) + 1) * BLOCK;
    return at_place(f, get_u64(entry), *out_size);
}

/* The bytes behind the key of a page's slot, `size` of them; or NULL. */
static uint8_t *behind_key(const struct bytes_of *f, uint8_t *page, unsigned slot, size_t size)
{
    const uint8_t *at = page + 32 + slot * 8u;
    size_t offset;

    if (slot >= get_u16(page + 2) || 40 + slot * 8u > page_size_of(f)) return NULL;
    offset = (size_t)get_u16(at + 4) + get_u16(at + 6);
    return offset + size <= page_size_of(f) ? page + offset : NULL;
}

/* Puts the checksums of the extents right that a leaf names. */
static void seal_extents(const struct bytes_of *f, uint8_t *page)
{
    for (unsigned i = 0; page[0] == 0 && i < get_u16(page + 2); i++) {
        uint8_t *value = behind_key(f, page, i, 18), *entry, *bytes;

        if (!value || get_u16(value) >> 14 != 1) continue;
        entry = entry_of(f, get_u64(value + 2));
        if (!entry || get_u64(entry) >> 62 != 1 || get_u64(value + 10) > f->size) continue;
        bytes = at_place(f, get_u64(entry), (size_t)get_u64(value + 10));
        if (bytes) put_u64(entry + 8, sdb__digest(bytes, (size_t)get_u64(value + 10), 0));
    }
}

static void seal_superblocks(const struct bytes_of *f)
{
    put_u64(f->data + 4088, sdb__digest(f->data, 4088, 0));
    memcpy(f->data + 4096, f->data, 4096);
}

/* Puts the checksums of a checkpoint right, and that of its directory in *checksum. */
static void seal_checkpoint(const struct bytes_of *f, uint8_t *checksum)
{
    uint64_t per_chunk = page_size_of(f) / 16, chunks = f->chunks;
    uint8_t *directory, *bytes;

    if (chunks > f->size / 16) chunks = f->size / 16;
    for (uint64_t id = 1; id < chunks * per_chunk; id++) {
        size_t size;

        bytes = packed_of(f, id, &size);
        if (bytes) put_u64(entry_of(f, id) + 8, sdb__digest(bytes, size, 0));
        bytes = page_of(f, id);
        if (!bytes) continue;
        seal_extents(f, bytes);
        put_u64(entry_of(f, id) + 8, sdb__digest(bytes, page_size_of(f), 0));
    }
    directory = at_place(f, f->directory, (size_t)chunks * 16);
    for (uint64_t i = 0; directory && i < chunks; i++) {
        bytes = at_place(f, get_u64(directory + i * 16), page_size_of(f));
        if (bytes) put_u64(directory + i * 16 + 8, sdb__digest(bytes, page_size_of(f), 0));
    }
    if (directory) put_u64(checksum, sdb__digest(directory, (size_t)chunks * 16, 0));
}

static void seal(struct bytes_of *f)
{
    uint8_t *record, *first = record_of(f, 0);

    for (unsigned i = 0; (record = record_of(f, i)) != NULL; i++) {
        f->directory = get_u64(record + 32);
        f->chunks = get_u64(record + 48);
        seal_checkpoint(f, record + 40);
    }
    look_at_newest(f);
    seal_checkpoint(f, f->data + 80);
    if (first)
        put_u64(f->data + 144,
                sdb__digest(first, (size_t)get_u64(f->data + 152) * KEPT_RECORD, 0));
    seal_superblocks(f);
}

/* Makes a superblock out of any bytes, so that what follows it is looked at. */
static void give_superblock(const struct bytes_of *f)
{
    uint64_t limit = get_u64(f->data + 96) % 4096;

    memcpy(f->data, "sdb file", 8);
    put_u32(f->data + 8, 1);
    put_u32(f->data + 12, get_u32(f->data + 12) & 3);
    put_u32(f->data + 16, 4096u << get_u32(f->data + 16) % 3);
    put_u32(f->data + 20, BLOCK);
    put_u64(f->data + 48, get_u64(f->data + 48) & ~UINT64_C(7));
    put_u64(f->data + 64, 0);
    put_u64(f->data + 96, limit);
    put_u64(f->data + 88, (limit + page_size_of(f) / 16 - 1) / (page_size_of(f) / 16));
    put_u64(f->data + 104, limit ? get_u64(f->data + 104) % limit : 0);
    put_u64(f->data + 112, get_u64(f->data + 112) & ((UINT64_C(1) << 40) - 1));
    if (get_u32(f->data + 12) & FEATURE_KEPT)
        put_u64(f->data + 152, 1 + get_u64(f->data + 152) % 3);
    else
        memset(f->data + 136, 0, 24);
}

/* ---- orders to change the real database ---------------------------------------------------- */

/* Takes a slot out of a page, and leaves the page in order. */
static void remove_slot(const struct bytes_of *f, uint8_t *page, unsigned slot)
{
    uint8_t *value = behind_key(f, page, slot, 2);
    unsigned count = get_u16(page + 2);
    size_t cell;

    if (!value || 32 + count * 8u > page_size_of(f)) return;
    cell = get_u16(page + 32 + slot * 8u + 6) + (page[0] ? 8u : 2u + (get_u16(value) & 0x3fffu));
    put_u32(page + 8, get_u32(page + 8) + (uint32_t)cell);
    memmove(page + 32 + slot * 8u, page + 40 + slot * 8u, (count - slot - 1) * 8u);
    put_u16(page + 2, (uint16_t)(count - 1));
}

/* kind, page, slot u16 or offset, value u32; of packed pages, bytes are set */
static void obey(struct bytes_of *f, const uint8_t *order)
{
    uint64_t limit = get_u64(f->data + 96), id = limit ? order[1] % limit : 0;
    uint8_t *record = record_of(f, 0), *page, *entry, *other, *value;
    unsigned at = get_u16(order + 2), kind = order[0] % 12;
    uint32_t number = get_u32(order + 4);
    size_t size;

    look_at_newest(f);
    if (kind == 11 && record) { /* the same as 4, in the snapshot's map */
        f->directory = get_u64(record + 32);
        f->chunks = get_u64(record + 48);
        kind = 4;
    }
    page = page_of(f, id);
    entry = entry_of(f, id);
    value = packed_of(f, id, &size);
    if (value && kind != 3 && kind != 4 && kind != 7 && kind != 10) {
        memcpy(value + (order[0] & 1 ? at % 24 : at % (size - 4)), order + 4, 4);
        return;
    }
    switch (kind) {
    case 0: /* any bytes */
        if (page) memcpy(page + at % (PAGE - 4), order + 4, 4);
        break;
    case 1: /* a child, a layer's root, an extent's id */
        value = page ? behind_key(f, page, at % 256, 18) : NULL;
        if (value) put_u64(value + (page[0] ? 0 : 2), at & 256 ? number : number % (limit + 2));
        break;
    case 2: /* an extent's size, or a catalog entry's root */
        value = page ? behind_key(f, page, at % 256, 18) : NULL;
        if (value) put_u64(value + 10, at & 256 ? (uint64_t)number << 10 : number % 100000);
        break;
    case 3: /* one page in another's place */
        other = entry_of(f, number % (limit + 1));
        if (entry && other) memcpy(entry, other, 8);
        break;
    case 4: /* any place */
        if (entry) put_u64(entry, number | (uint64_t)(at & 0x3ff) << 40 | (uint64_t)at >> 14 << 62);
        break;
    case 5:
        if (page) page[at % 32] = order[4];
        break;
    case 6:
        if (page) remove_slot(f, page, at % 256);
        break;
    case 7: /* a superblock's field */
        put_u64(f->data + 40 + at % 12 * 8, at & 256 ? number : number % 1000);
        break;
    case 8: /* one byte, where cells and fences are */
        if (page) page[PAGE - 1 - at % 1024] = order[4];
        break;
    case 10: /* a snapshot's field, or one of the table */
        if (record && at % 2) put_u64(record + at / 2 % 11 * 8, at & 256 ? number : number % 1000);
        else put_u64(f->data + 136 + at / 2 % 3 * 8, number % 1000);
        break;
    default: /* a small number in a header or slot */
        if (page) put_u16(page + at % 600, (uint16_t)number);
        break;
    }
}

/* ---- what is done with it ------------------------------------------------------------------ */

/* Reads a keyspace both ways; adds up the keys. Endless reading is a failure of the test. */
static sdb_status scan(sdb_db *db, sdb_keyspace *keyspace, uint64_t *keys)
{
    sdb_cursor *cursor;
    sdb_txn *txn;
    sdb_slice key, value, copy;
    unsigned steps = 0;
    sdb_status status = sdb_txn_begin(db, SDB_TXN_READ, &txn);

    if (status != SDB_OK) return status;
    status = sdb_cursor_open(txn, keyspace, NULL, &cursor);
    if (status == SDB_OK) {
        while ((status = sdb_cursor_next(cursor, &key, &value)) == SDB_OK) {
            MUST(++steps < STEPS_MOST);
            ++*keys;
            if (steps % 16 == 1) (void)!sdb_get(txn, keyspace, key, &copy);
        }
        for (steps = 0; status == SDB_OK || status == SDB_END; MUST(++steps < STEPS_MOST)) {
            status = sdb_cursor_prev(cursor, &key, &value);
            if (status == SDB_END) break;
        }
        sdb_cursor_close(cursor);
    }
    sdb_txn_abort(txn);
    return status == SDB_END ? SDB_OK : status;
}

/* Changes a keyspace here and there. */
static sdb_status change(sdb_keyspace *keyspace)
{
    static char key[700], value[2500];
    sdb_status status = SDB_OK;

    memset(key, 'a', sizeof key);
    for (unsigned i = 0; status == SDB_OK && i < 24; i++) {
        key[5] = (char)('a' + i % 5);
        status = sdb_put(NULL, keyspace, (sdb_slice){key, i * 29},
                         (sdb_slice){value, i % 6 ? i * 40 : 2500});
        if (status == SDB_OK && i % 3 == 0)
            status = sdb_del(NULL, keyspace, (sdb_slice){key, i * 29});
    }
    for (unsigned i = 0; status == SDB_OK && i < 200; i++) {
        int size = snprintf(key, sizeof key, "key %u", i);

        status = sdb_del(NULL, keyspace, (sdb_slice){key, (size_t)size});
    }
    return status;
}

/* Reads the snapshots, and drops them. */
static void use_snapshots(sdb_db *db, bool sound)
{
    sdb_snapshot_info info = {.size = sizeof info};
    char name[SDB_KEYSPACE_NAME_MAX + 1];
    sdb_keyspace *keyspace;
    unsigned count = 0;
    uint64_t keys = 0;
    sdb_status status;
    sdb_db *view;

    while (sdb_snapshot_next(db, NULL, &info) == SDB_OK) {
        MUST(++count <= SDB_SNAPSHOTS_MAX);
        status = sdb_snapshot_open(db, info.name, &view);
        if (sound) MUST(status == SDB_OK);
        name[0] = 0;
        if (status == SDB_OK) {
            while (status == SDB_OK && sdb_keyspace_next(view, name, name) == SDB_OK) {
                status = sdb_keyspace_open(view, name, SDB_KEYSPACE_MUST_EXIST, &keyspace);
                if (status == SDB_OK) status = scan(view, keyspace, &keys);
            }
            if (sound) MUST(status == SDB_OK);
            MUST(sdb_close(view) == SDB_OK);
        }
        status = sdb_snapshot_drop(db, info.name);
        if (sound) MUST(status == SDB_OK);
        if (status != SDB_OK) return;
    }
}

/* Uses an open database; what is said to be sound must not fail. */
static void use(struct io *io, sdb_db *db, bool sound, uint64_t entries)
{
    char name[SDB_KEYSPACE_NAME_MAX + 1] = "";
    sdb_keyspace *keyspace = NULL;
    uint64_t keys = 0;
    unsigned count = 0;
    sdb_status status;

    while (sdb_keyspace_next(db, name, name) == SDB_OK) {
        MUST(++count < STEPS_MOST);
        status = sdb_keyspace_open(db, name, SDB_KEYSPACE_MUST_EXIST, &keyspace);
        if (status == SDB_OK) status = scan(db, keyspace, &keys);
        if (sound) MUST(status == SDB_OK);
    }
    if (sound) MUST(keys == entries);
    status = sdb_backup(db, "copy.sdb", NULL, NULL);
    if (sound) MUST(status == SDB_OK);
    if (status == SDB_OK && sound)
        MUST(sdb__check_file(io, &modest, "copy.sdb", NULL, NULL, NULL, NULL) == SDB_OK);
    name[0] = 0;
    for (count = 0; count < 8 && sdb_keyspace_next(db, name, name) == SDB_OK; count++) {
        status = sdb_keyspace_open(db, name, SDB_KEYSPACE_MUST_EXIST, &keyspace);
        if (status == SDB_OK) status = change(keyspace);
        if (sound) MUST(status == SDB_OK);
    }
    status = keyspace ? sdb_keyspace_drop(keyspace) : SDB_OK;
    if (sound) MUST(status == SDB_OK);
    use_snapshots(db, sound);
    status = sdb_check(db, NULL, NULL, NULL, NULL);
    if (sound) MUST(status == SDB_OK);
}

static void try_file(const uint8_t *data, size_t size)
{
    sdb_options options = options_of(SDB_OPEN_DISCARD_LOG);
    sdb_check_result result = {.size = sizeof result};
    struct io *io;
    sdb_status checked, status;
    sdb_db *db;

    MUST(sdb__io_new_memory(&modest, &io) == SDB_OK);
    write_file(io, data, size);
    checked = sdb__check_file(io, &modest, NAME, NULL, NULL, NULL, &result);
    MUST(checked == SDB_OK || checked == SDB_CORRUPT || checked == SDB_INVALID);
    status = size ? sdb__db_open(io, NAME, &options, &db) : SDB_INVALID;
    if (checked == SDB_OK) MUST(status == SDB_OK);
    if (status == SDB_OK) {
        use(io, db, checked == SDB_OK, result.entries);
        status = sdb_close(db);
        if (checked == SDB_OK) MUST(status == SDB_OK);
    }
    if (checked == SDB_OK)
        MUST(sdb__check_file(io, &modest, NAME, NULL, NULL, NULL, NULL) == SDB_OK);
    sdb__io_free(io);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes_of f = {0};

    if (size == 0) return 0;
    if (data[0] % 4 < 2) f.size = size - 1;
    else f.size = real(data[0] % 4 == 3)->size;
    if (data[0] % 4 == 1 && f.size < 8192) f.size = 8192;
    f.data = calloc(1, f.size + 1);
    MUST(f.data != NULL);
    if (data[0] % 4 < 2) {
        memcpy(f.data, data + 1, size - 1);
        if (data[0] % 4 == 1) {
            give_superblock(&f);
            seal(&f);
        }
    } else {
        memcpy(f.data, real(data[0] % 4 == 3)->data, f.size);
        for (size_t at = 1; at + ORDER <= size && page_size_of(&f) == PAGE; at += ORDER)
            obey(&f, data + at);
        seal(&f);
    }
    try_file(f.data, f.size);
    free(f.data);
    return 0;
}
