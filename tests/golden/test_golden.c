/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_golden.c: files that an earlier build wrote are read as they were meant, and bytes are
 * where the format says.
 */
#include "tests/golden/golden_content.h"
#include "tests/kv/kv_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/pager/space.h"
#include "engine/pager/superblock.h"
#include "index/btree/node.h"
#include "index/kv/ops.h"
#include "wal/wal_format.h"

enum { ROOM = 256 * 1024 };

/* Reads a golden file whole; its size. */
static size_t read_golden(const char *name, uint8_t *to)
{
    const char *top = getenv("srcdir");
    char path[512];
    size_t size;
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/tests/golden/%s", top ? top : ".", name);
    file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s is missing", path);
    size = fread(to, 1, ROOM, file);
    (void)fclose(file);
    ck_assert_uint_gt(size, 0);
    ck_assert_uint_lt(size, ROOM);
    return size;
}

/* Writes a file on a disk. */
static void place(struct io *io, const char *name, const uint8_t *bytes, size_t size)
{
    struct io_file *file;
    struct io_queue *queue;

    OK(sdb__io_open(io, name, IO_OPEN_WRITE | IO_OPEN_CREATE, &file));
    OK(sdb__io_queue_new(io, 1, &queue));
    OK(sdb__io_write(queue, file, bytes, size, 0));
    sdb__io_queue_free(queue);
    sdb__io_close(file);
}

/* The next keys of a cursor are the numbers. */
static void expect_numbers(sdb_cursor *cursor)
{
    uint8_t wanted[128];
    sdb_slice key, value;
    char name[8];

    for (unsigned i = 0; i < GOLDEN_COUNT; i++) {
        OK(sdb_cursor_next(cursor, &key, &value));
        (void)snprintf(name, sizeof name, "%04u", i);
        ck_assert(kv_is(key, name));
        golden_fill(wanted, golden_size(i), i);
        ck_assert_uint_eq(value.size, golden_size(i));
        ck_assert_mem_eq(value.data, wanted, value.size);
    }
}

static void expect_content(sdb_db *db)
{
    static uint8_t wanted[GOLDEN_LARGE], longest[GOLDEN_LONG];
    sdb_keyspace *first, *second;
    sdb_cursor *cursor;
    sdb_slice key, value;
    sdb_txn *txn;
    uint64_t count;

    OK(sdb_keyspace_open(db, "first", SDB_KEYSPACE_MUST_EXIST, &first));
    OK(sdb_keyspace_open(db, "second", SDB_KEYSPACE_MUST_EXIST, &second));
    OK(sdb_txn_begin(db, SDB_TXN_READ, &txn));
    OK(sdb_cursor_open(txn, first, NULL, &cursor));
    expect_numbers(cursor);
    OK(sdb_cursor_next(cursor, &key, &value));
    memset(longest, 'L', sizeof longest);
    ck_assert_uint_eq(key.size, sizeof longest);
    ck_assert_mem_eq(key.data, longest, key.size);
    ck_assert(kv_is(value, "long"));
    IS(sdb_cursor_next(cursor, &key, &value), SDB_END);
    sdb_cursor_close(cursor);
    OK(sdb_get(txn, second, TEXT("large"), &value));
    golden_fill(wanted, sizeof wanted, 7);
    ck_assert_uint_eq(value.size, sizeof wanted);
    ck_assert_mem_eq(value.data, wanted, value.size);
    OK(sdb_get(txn, second, (sdb_slice){NULL, 0}, &value));
    ck_assert_uint_eq(value.size, 0);
    OK(sdb_get(txn, second, TEXT("count"), &value));
    ck_assert_uint_eq(value.size, 8);
    ck_assert_uint_eq(get_u64(value.data), 3);
    OK(sdb_get(txn, second, TEXT("text"), &value));
    ck_assert(kv_is(value, "golden log"));
    OK(sdb_count(txn, second, NULL, &count));
    ck_assert_uint_eq(count, 4);
    sdb_txn_abort(txn);
}

START_TEST(golden_database_is_read_exactly)
{
    static uint8_t bytes[ROOM];
    size_t size = read_golden("format1.sdb", bytes);
    sdb_stats stats = {.size = sizeof stats};
    struct io *io = kv_disk(1);
    sdb_options options = kv_options(0);
    sdb_db *db;

    place(io, KV_PATH, bytes, size);
    options.flags |= SDB_OPEN_READONLY;
    db = kv_open(io, &options);
    OK(sdb_stat(db, &stats));
    ck_assert_uint_eq(stats.page_size, 4096);
    ck_assert_uint_eq(stats.commit_sequence, GOLDEN_COMMITS);
    expect_content(db);
    kv_check_sound(db);
    OK(sdb_close(db));
    options.flags = SDB_OPEN_NO_THREADS;
    db = kv_open(io, &options);
    kv_put_text(kv_keyspace(db, "third"), "life", "goes on");
    OK(sdb_close(db));
    db = kv_open(io, &options);
    expect_content(db);
    kv_check_sound(db);
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(golden_packed_database_is_read_exactly)
{
    static const char *const names[] = {"lz4", "zstd"};
    static uint8_t bytes[ROOM];
    size_t size = read_golden(_i ? "dense1.sdb" : "packed1.sdb", bytes);
    struct io *io = kv_disk(1);
    sdb_options options = kv_options(0);
    sdb_db *db;

    ck_assert_uint_eq(get_u32(bytes + 12), _i ? 17 : 1); /* features */
    place(io, KV_PATH, bytes, size);
    db = kv_open(io, &options);
    for (unsigned i = 0; i < 2; i++) {
        sdb_keyspace_stats stats = {.size = sizeof stats};
        sdb_keyspace *keyspace = kv_keyspace(db, names[i]);
        sdb_cursor *cursor;
        sdb_slice key;
        sdb_txn *txn;

        OK(sdb_keyspace_stat(keyspace, &stats));
        ck_assert_int_eq((int)stats.compression, i ? SDB_COMPRESSION_ZSTD : SDB_COMPRESSION_LZ4);
        ck_assert_uint_eq(stats.level, i ? 3 : 0);
        ck_assert_uint_gt(stats.compressed_pages, 1);
        OK(sdb_txn_begin(db, SDB_TXN_READ, &txn));
        OK(sdb_cursor_open(txn, keyspace, NULL, &cursor));
        expect_numbers(cursor);
        IS(sdb_cursor_next(cursor, &key, NULL), SDB_END);
        sdb_cursor_close(cursor);
        sdb_txn_abort(txn);
    }
    kv_check_sound(db);
    OK(sdb_close(db));
    put_u32(bytes + 12, 1u << 31); /* what this library does not know yet */
    put_u64(bytes + 4088, sdb__digest(bytes, 4088, 0));
    memcpy(bytes + 4096, bytes, 4096);
    place(io, KV_PATH, bytes, size);
    IS(sdb__db_open(io, KV_PATH, &options, &db), SDB_INVALID);
    ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "use a newer sdb"));
    sdb__io_free(io);
}
END_TEST

START_TEST(golden_database_with_a_dictionary_is_read_exactly)
{
    static uint8_t bytes[ROOM];
    size_t size = read_golden("dictionary1.sdb", bytes), got;
    struct io *io = kv_disk(1);
    sdb_options options = kv_options(0);
    sdb_keyspace_stats stats = {.size = sizeof stats};
    sdb_keyspace *keyspace;
    sdb_db *db;

    ck_assert_uint_eq(get_u32(bytes + 12), 9); /* features */
    place(io, KV_PATH, bytes, size);
    db = kv_open(io, &options);
    keyspace = kv_keyspace(db, "dict");
    OK(sdb_keyspace_stat(keyspace, &stats));
    ck_assert_uint_gt(stats.dictionary_bytes, 1000);
    ck_assert_uint_gt(stats.compressed_pages, 50);
    for (unsigned i = 0; i < GOLDEN_TEXTS; i++) {
        char key[8], wanted[GOLDEN_TEXT_ROOM], text[GOLDEN_TEXT_ROOM];

        (void)snprintf(key, sizeof key, "%04u", i);
        OK(sdb_get_copy(keyspace, (sdb_slice){key, 4}, text, sizeof text, &got));
        ck_assert_uint_eq(got, golden_text(wanted, i));
        ck_assert_mem_eq(text, wanted, got);
    }
    kv_check_sound(db);
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

START_TEST(golden_snapshots_are_read_exactly)
{
    static const char *const names[] = {"numbers", "one"};
    static uint8_t bytes[ROOM];
    size_t size = read_golden("kept1.sdb", bytes);
    struct io *io = kv_disk(1);
    sdb_options options = kv_options(0);
    sdb_snapshot_info info = {.size = sizeof info};
    sdb_db *db, *view;

    ck_assert_uint_eq(get_u32(bytes + 12), 2); /* features */
    place(io, KV_PATH, bytes, size);
    db = kv_open(io, &options);
    kv_check_sound(db);
    kv_expect(kv_keyspace(db, "first"), "one", "1");
    kv_put_text(kv_keyspace(db, "first"), "life", "goes on");
    for (unsigned i = 0; i < 2; i++) {
        OK(sdb_snapshot_next(db, i ? names[0] : NULL, &info));
        ck_assert_str_eq(info.name, names[i]);
        ck_assert_uint_eq(info.commit, i ? 4 : 2);
        OK(sdb_snapshot_open(db, names[i], &view));
        kv_expect(kv_keyspace(view, "first"), "one", i ? "1" : NULL);
        if (i == 0) {
            sdb_txn *txn = kv_begin(view, SDB_TXN_READ);
            sdb_cursor *cursor;

            OK(sdb_cursor_open(txn, kv_keyspace(view, "first"), NULL, &cursor));
            expect_numbers(cursor);
            sdb_cursor_close(cursor);
            sdb_txn_abort(txn);
        }
        OK(sdb_close(view));
        OK(sdb_snapshot_drop(db, names[i]));
    }
    kv_check_sound(db);
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

static _Atomic uint64_t now_ms;

static uint64_t tell_time(void)
{
    return now_ms;
}

/* The number's value is there, with its expiry; or it is gone. */
static void expect_expiring(sdb_txn *txn, sdb_keyspace *keys, unsigned i)
{
    uint64_t expiry, wanted = i % 4 ? GOLDEN_YEAR_2100 + i : 0;
    uint8_t bytes[128];
    sdb_slice value, key;
    char name[8];

    key = (sdb_slice){name, (size_t)snprintf(name, sizeof name, "%04u", i)};
    if (wanted && wanted <= now_ms) {
        IS(sdb_get(txn, keys, key, &value), SDB_NOTFOUND);
        return;
    }
    golden_fill(bytes, golden_size(i), i);
    OK(sdb_get(txn, keys, key, &value));
    ck_assert_uint_eq(value.size, golden_size(i));
    ck_assert_mem_eq(value.data, bytes, value.size);
    OK(sdb_expiry_get(txn, keys, key, &expiry));
    ck_assert_uint_eq(expiry, wanted);
}

START_TEST(golden_database_with_expiries_is_read_exactly)
{
    static uint8_t bytes[ROOM], large[GOLDEN_LARGE];
    size_t size = read_golden("expiry1.sdb", bytes);
    struct io *io = kv_disk(1);
    sdb_options options = kv_options(0);
    sdb_keyspace *keys, *lives;
    uint64_t ttl, expiry;
    sdb_slice value;
    sdb_txn *txn;
    sdb_db *db;

    ck_assert_uint_eq(get_u32(bytes + 12), 4); /* features */
    place(io, KV_PATH, bytes, size);
    db = kv_open(io, &options);
    sdb__db_set_clock(db, tell_time);
    keys = kv_keyspace(db, "keys");
    lives = kv_keyspace(db, "lives");
    OK(sdb_keyspace_ttl(keys, &ttl));
    ck_assert_uint_eq(ttl, 0);
    OK(sdb_keyspace_ttl(lives, &ttl));
    ck_assert_uint_eq(ttl, GOLDEN_TTL);
    golden_fill(large, sizeof large, 7);
    for (unsigned round = 0; round < 2; round++) {
        now_ms = GOLDEN_YEAR_2100 - 1 + round * 100;
        txn = kv_begin(db, SDB_TXN_READ);
        for (unsigned i = 0; i < GOLDEN_COUNT; i++) expect_expiring(txn, keys, i);
        IS(sdb_get(txn, keys, TEXT("large"), &value), round ? SDB_NOTFOUND : SDB_OK);
        if (!round) ck_assert_uint_eq(value.size, sizeof large);
        if (!round) ck_assert_mem_eq(value.data, large, sizeof large);
        IS(sdb_get(txn, keys, TEXT("gone"), &value), SDB_NOTFOUND);
        OK(sdb_expiry_get(txn, lives, TEXT("own"), &expiry));
        ck_assert_uint_gt(expiry, UINT64_C(1790000000000) + GOLDEN_TTL); /* it was made later */
        OK(sdb_expiry_get(txn, lives, TEXT("ever"), &expiry));
        ck_assert_uint_eq(expiry, 0);
        sdb_txn_abort(txn);
    }
    kv_check_sound(db);
    OK(sdb_close(db));
    sdb__io_free(io);
}
END_TEST

/* What a log with expiries says. */
struct timed {
    unsigned bodies, puts, lasting, ttls;
    uint64_t expiries, made_ms;
};

static sdb_status see_timed(void *context, uint64_t lsn, const uint8_t *body, size_t size)
{
    struct timed *seen = context;
    const uint8_t *at = body + BODY_HEAD, *end = body + size;

    (void)lsn;
    seen->bodies++;
    seen->made_ms = get_u64(body + 8);
    while (at < end) {
        struct op op;
        size_t step = sdb__op_read(at, end, &op);

        ck_assert_uint_gt(step, 0);
        if (op.code == OP_TTL) {
            ck_assert_uint_eq(op.time, GOLDEN_TTL);
            seen->ttls++;
        } else if (op.code == OP_PUT && kv_is((sdb_slice){op.key.data, op.key.size}, "own")) {
            ck_assert_uint_le(op.time, seen->made_ms + GOLDEN_TTL);
            ck_assert_uint_gt(op.time, seen->made_ms + GOLDEN_TTL - 60000);
        } else if (op.code == OP_PUT) {
            seen->puts++;
            seen->lasting += op.time == 0;
            seen->expiries += op.time;
        }
        at += step;
    }
    return SDB_OK;
}

START_TEST(golden_log_with_expiries_is_read_exactly)
{
    static uint8_t bytes[ROOM], whole[WAL_SEGMENT_LEAST];
    static uint8_t file[ROOM];
    size_t size = read_golden("expiry1.log", bytes);
    struct wal_header header;
    struct wal_replay replay;
    struct timed seen = {0};
    uint64_t expiries = GOLDEN_YEAR_2100 + 1;
    struct io *io = kv_disk(1);

    OK(sdb__wal_format_get_header(bytes, &header));
    ck_assert_uint_eq(header.previous, 0);
    ck_assert_uint_gt(read_golden("expiry1.sdb", file), 0);
    ck_assert_uint_eq(get_u64(file + 160), header.identity.log_id); /* its commits came from it */
    memcpy(whole, bytes, size);
    OK(sdb__io_folder_make(io, "log"));
    place(io, "log/0000000000000001.log", whole, sizeof whole);
    OK(sdb__wal_replay(io, &sdb__mem_default, "log", &header.identity, header.first_lsn, see_timed,
                       NULL, &seen, &replay));
    for (unsigned i = 0; i < GOLDEN_COUNT; i++) expiries += i % 4 ? GOLDEN_YEAR_2100 + i : 0;
    ck_assert_uint_eq(seen.bodies, 3);
    ck_assert_uint_eq(seen.puts, GOLDEN_COUNT + 3);
    ck_assert_uint_eq(seen.lasting, GOLDEN_COUNT / 4 + 1);
    ck_assert_uint_eq(seen.ttls, 1);
    ck_assert_uint_eq(seen.expiries, expiries);
    sdb__io_free(io);
}
END_TEST

struct seen {
    unsigned bodies, puts, ranges, merges, others;
    uint64_t bytes;
};

static void expect_range(const struct op *op, unsigned number)
{
    const char *lower = number ? "\xff" : "gone", *upper = number ? "" : "gone2";

    ck_assert_uint_lt(number, 2);
    ck_assert(kv_is((sdb_slice){op->key.data, op->key.size}, lower));
    ck_assert(kv_is((sdb_slice){op->value.data, op->value.size}, upper));
}

static void expect_merge(const struct op *op, unsigned number)
{
    static const char *const keys[] = {"count", "count", "text"};
    static const uint8_t values[][9] = {{1, 5}, {1, 254, 255, 255, 255, 255, 255, 255, 255},
                                        {2, ' ', 'l', 'o', 'g'}};

    ck_assert_uint_lt(number, 3);
    ck_assert(kv_is((sdb_slice){op->key.data, op->key.size}, keys[number]));
    ck_assert_uint_eq(op->value.size, number < 2 ? 9 : 5);
    ck_assert_mem_eq(op->value.data, values[number], op->value.size);
}

static sdb_status see_body(void *context, uint64_t lsn, const uint8_t *body, size_t size)
{
    struct seen *seen = context;
    const uint8_t *at = body + BODY_HEAD, *end = body + size;

    (void)lsn;
    ck_assert_uint_eq(get_u64(body), ++seen->bodies);
    while (at < end) {
        struct op op;
        size_t step = sdb__op_read(at, end, &op);

        ck_assert_uint_gt(step, 0);
        if (op.code == OP_PUT)
            seen->puts++;
        else if (op.code == OP_DELRANGE)
            expect_range(&op, seen->ranges++);
        else if (op.code == OP_MERGE)
            expect_merge(&op, seen->merges++);
        else
            seen->others++;
        if (op.code == OP_PUT) seen->bytes += op.value.size;
        at += step;
    }
    return SDB_OK;
}

START_TEST(golden_log_is_read_exactly)
{
    static uint8_t bytes[ROOM], whole[WAL_SEGMENT_LEAST];
    size_t size = read_golden(_i ? "format2.log" : "format1.log", bytes);
    struct wal_header header;
    struct wal_replay replay;
    struct seen seen = {0};
    uint64_t values = 4 + GOLDEN_LARGE + 2 + 6;
    struct io *io = kv_disk(1);

    OK(sdb__wal_format_get_header(bytes, &header));
    ck_assert_uint_eq(header.number, 1);
    ck_assert_int_eq(header.packed, _i);
    ck_assert_uint_eq(header.file_bytes, WAL_SEGMENT_LEAST);
    memcpy(whole, bytes, size); /* the rest was zeros */
    OK(sdb__io_folder_make(io, "log"));
    place(io, "log/0000000000000001.log", whole, sizeof whole);
    OK(sdb__wal_replay(io, &sdb__mem_default, "log", &header.identity, header.first_lsn, see_body,
                       NULL, &seen, &replay));
    for (unsigned i = 0; i < GOLDEN_COUNT; i++) values += golden_size(i);
    ck_assert_uint_eq(seen.bodies, GOLDEN_COMMITS);
    ck_assert_uint_eq(seen.puts, GOLDEN_COUNT + 6);
    ck_assert_uint_eq(seen.merges, 3);
    ck_assert_uint_eq(seen.ranges, 2);
    ck_assert_uint_eq(seen.others, 2);
    ck_assert_uint_eq(seen.bytes, values);
    ck_assert(!replay.torn);
    sdb__io_free(io);
}
END_TEST

START_TEST(superblock_bytes_are_where_the_format_says)
{
    static const uint8_t wanted[144] = {
        's',  'd',  'b',  ' ',  'f',  'i',  'l',  'e',  1,    0,    0,    0,    0,    0,    0,
        0,    0,    0x10, 0,    0,    0,    2,    0,    0,    0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5,
        0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf, 8,    7,    6,    5,    4,
        3,    2,    1,    16,   0,    0,    0,    0,    0,    0,    0,    3,    0,    0,    0,
        0,    0,    0,    0,    4,    0,    0,    0,    0,    0,    0,    0,    5,    0,    0,
        0,    0,    0,    0,    0,    6,    0,    0,    0,    0,    0,    0,    0,    1,    0,
        0,    0,    0,    0,    0,    0,    9,    0,    0,    0,    0,    0,    0,    0,    7,
        0,    0,    0,    0,    0,    0,    0,    10,   0,    0,    0,    0,    0,    0,    0,
        11,   0,    0,    0,    0,    0,    0,    0,    12};
    struct superblock s = {.page_size = 4096,
                           .sequence = UINT64_C(0x0102030405060708),
                           .lsn = 16,
                           .commit = 3,
                           .log_id = 4,
                           .directory_place = 5,
                           .directory_checksum = 6,
                           .chunks = 1,
                           .page_limit = 9,
                           .catalog_root = 7,
                           .end_block = 10,
                           .made_ms = 11,
                           .written_ms = 12},
                      back;
    uint8_t bytes[SUPERBLOCK_SIZE];

    for (unsigned i = 0; i < 16; i++) s.database_id[i] = (uint8_t)(0xa0 + i);
    sdb__superblock_encode(&s, bytes);
    ck_assert_mem_eq(bytes, wanted, sizeof wanted);
    for (unsigned i = sizeof wanted; i < SUPERBLOCK_SIZE - 8; i++) ck_assert_uint_eq(bytes[i], 0);
    ck_assert_uint_eq(get_u64(bytes + SUPERBLOCK_SIZE - 8), UINT64_C(2598818746758191955));
    OK(sdb__superblock_decode(bytes, &back));
    ck_assert_mem_eq(back.database_id, s.database_id, 16);
    ck_assert_uint_eq(back.sequence, s.sequence);
    ck_assert_uint_eq(back.written_ms, s.written_ms);
}
END_TEST

START_TEST(node_bytes_are_where_the_format_says)
{
    static const uint8_t wanted[48] = {0,    1,    2, 0, 0xef, 0x0f, 0,   0,   0,    0,    0, 0,
                                       0,    0,    0, 0, 0,    0,    0,   0,   9,    0,    0, 0,
                                       42,   0,    0, 0, 0,    0,    0,   0,   0,    0,    0, 'a',
                                       0xfa, 0x0f, 1, 0, 0,    'd',  'c', 'b', 0xef, 0x0f, 3, 0};
    static const uint8_t cells[17] = {'b', 'c', 'd', 6, 0, 'v', 'a', 'l', 'u',
                                      'e', '2', 'a', 3, 0, 'o', 'n', 'e'};
    static uint8_t page[4096];
    struct node n = {page, sizeof page};

    sdb__node_init(n, 0, 9, 42, (struct bytes){NULL, 0}, NULL);
    sdb__node_insert(n, 0, (struct bytes){(const uint8_t *)"a", 1}, NODE_INLINE,
                     (struct bytes){(const uint8_t *)"one", 3});
    sdb__node_insert(n, 1, (struct bytes){(const uint8_t *)"bcd", 3}, NODE_INLINE,
                     (struct bytes){(const uint8_t *)"value2", 6});
    ck_assert_mem_eq(page, wanted, 35);
    ck_assert_mem_eq(page + 36, wanted + 36, 4);
    ck_assert_mem_eq(page + sizeof page - sizeof cells, cells, sizeof cells);
    ck_assert_ptr_null(sdb__node_verify(page, sizeof page, 42));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("golden");
    TCase *cases = tcase_create("golden");

    tcase_add_test(cases, golden_database_is_read_exactly);
    tcase_add_loop_test(cases, golden_packed_database_is_read_exactly, 0, 2);
    tcase_add_test(cases, golden_database_with_a_dictionary_is_read_exactly);
    tcase_add_test(cases, golden_snapshots_are_read_exactly);
    tcase_add_test(cases, golden_database_with_expiries_is_read_exactly);
    tcase_add_test(cases, golden_log_with_expiries_is_read_exactly);
    tcase_add_loop_test(cases, golden_log_is_read_exactly, 0, 2);
    tcase_add_test(cases, superblock_bytes_are_where_the_format_says);
    tcase_add_test(cases, node_bytes_are_where_the_format_says);
    suite_add_tcase(suite, cases);
    return kv_main(suite);
}
