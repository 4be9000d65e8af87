/* SPDX-License-Identifier: Apache-2.0 */
/* test_wal_damage.c: a torn tail is cut, damage reported, a wrong body never delivered. */
#include <stdlib.h>
#include <string.h>
#include "engine/base/bytes.h"
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "tests/lib/suite.h"
#include "tests/wal/wal_fixture.h"
#include "wal/wal_internal.h"
#include "wal/wal_reader.h"

static struct fixture f;

static void setup(void)
{
    fixture_init(&f);
}

static void teardown(void)
{
    fixture_done(&f);
}

/* Offset in segment 1 of the record that begins where body `number` does. */
static size_t offset_of(size_t number)
{
    return WAL_SEGMENT_HEADER + (size_t)(number ? f.ends[number - 1] : 0);
}

static void flip(uint64_t segment, size_t offset, unsigned bit)
{
    size_t size;
    uint8_t *data = fixture_read_file(f.io, fixture_path(segment), &size);

    ck_assert_uint_lt(offset, size);
    data[offset] ^= (uint8_t)(1u << bit);
    fixture_write_file(f.io, fixture_path(segment), data, size);
    free(data);
}

static void cut_file(uint64_t segment, size_t bytes)
{
    size_t size;
    uint8_t *data = fixture_read_file(f.io, fixture_path(segment), &size);

    ck_assert_uint_le(bytes, size);
    fixture_write_file(f.io, fixture_path(segment), data, bytes);
    free(data);
}

START_TEST(torn_last_record_is_cut)
{
    fixture_begin(&f);
    for (int i = 0; i < 5; i++) {
        fixture_add(&f, 1000);
        fixture_sync(&f);
    }
    fixture_close(&f);
    flip(1, offset_of(4) + 500, 3);
    OK(fixture_replay(&f, 0));
    ck_assert_uint_eq(f.delivered, 4);
    ck_assert(f.replay.torn);
    OK(fixture_replay(&f, 4));
    ck_assert_uint_eq(f.delivered, 0);
}
END_TEST

/* _i: it is cut in its first segment, or in its second. */
START_TEST(nothing_comes_of_a_large_body_that_is_torn)
{
    fixture_begin(&f);
    fixture_add(&f, 1000);
    fixture_sync(&f);
    fixture_add(&f, 500000); /* fixture_replay reads it in parts, too */
    fixture_sync(&f);
    fixture_close(&f);
    cut_file(1 + (uint64_t)_i, 200000);
    for (unsigned from = 0; from < 2; from++) {
        OK(fixture_replay(&f, from));
        ck_assert_uint_eq(f.delivered, 1 - from);
        ck_assert(f.replay.torn);
    }
}
END_TEST

START_TEST(damaged_durable_record_is_corrupt)
{
    fixture_begin(&f);
    for (int i = 0; i < 5; i++) {
        fixture_add(&f, 1000);
        fixture_sync(&f);
    }
    fixture_close(&f);
    flip(1, offset_of(2) + 500, 3);
    ck_assert_int_eq(fixture_replay(&f, 0), SDB_CORRUPT);
    ck_assert_uint_eq(f.delivered, 2); /* what came before it */
    ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "damaged at LSN"));
    flip(1, offset_of(2) + 500, 3);
    fixture_replay_all(&f, 0);
}
END_TEST

START_TEST(damage_in_a_lost_batch_is_torn)
{
    fixture_begin(&f);
    fixture_add(&f, 1000);
    fixture_sync(&f);
    for (int i = 0; i < 4; i++) fixture_add(&f, 1000); /* one batch: none claims another durable */
    fixture_sync(&f);
    fixture_close(&f);
    flip(1, offset_of(2) + 40, 0);
    OK(fixture_replay(&f, 0));
    ck_assert_uint_eq(f.delivered, 2);
    ck_assert(f.replay.torn);
}
END_TEST

START_TEST(damage_is_seen_over_segment_borders)
{
    fixture_begin(&f);
    fixture_add(&f, 1000);
    fixture_sync(&f);
    fixture_add(&f, 3 * WAL_SEGMENT_LEAST); /* nothing in it claims it durable */
    fixture_sync(&f);
    OK(fixture_replay(&f, 0));
    flip(1, offset_of(1) + 9000, 7);
    OK(fixture_replay(&f, 0)); /* nothing behind it yet: torn */
    ck_assert_uint_eq(f.delivered, 1);
    fixture_add(&f, 10);
    fixture_sync(&f);
    ck_assert_int_eq(fixture_replay(&f, 0), SDB_CORRUPT);
    ck_assert_uint_eq(f.delivered, 1);
}
END_TEST

START_TEST(lost_middle_of_zeros_is_corrupt)
{
    size_t size;
    uint8_t *data;

    fixture_begin(&f);
    for (int i = 0; i < 40; i++) {
        fixture_add(&f, 1000);
        fixture_sync(&f);
    }
    fixture_close(&f);
    data = fixture_read_file(f.io, fixture_path(1), &size);
    memset(data + offset_of(10), 0, offset_of(30) - offset_of(10));
    fixture_write_file(f.io, fixture_path(1), data, size);
    free(data);
    ck_assert_int_eq(fixture_replay(&f, 0), SDB_CORRUPT);
    ck_assert_uint_eq(f.delivered, 10);
}
END_TEST

static void three_segments(void)
{
    fixture_begin(&f);
    for (int i = 0; i < 12; i++) {
        fixture_add(&f, 60000);
        fixture_sync(&f);
    }
    ck_assert_uint_eq(f.wal->tail->number, 3);
    fixture_close(&f);
    fixture_replay_all(&f, 0);
}

START_TEST(missing_middle_segment_is_corrupt)
{
    three_segments();
    OK(sdb__io_remove(f.io, fixture_path(2)));
    ck_assert_int_eq(fixture_replay(&f, 0), SDB_CORRUPT);
    ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "missing"));
    ck_assert_uint_eq(f.delivered, 4);
}
END_TEST

START_TEST(missing_last_segment_is_the_end)
{
    three_segments();
    OK(sdb__io_remove(f.io, fixture_path(3))); /* nobody can tell */
    OK(fixture_replay(&f, 0));
    ck_assert_uint_eq(f.delivered, 8);
    ck_assert(f.replay.torn); /* the middle of a body ends it */
}
END_TEST

START_TEST(damaged_middle_header_is_corrupt)
{
    three_segments();
    flip(2, 50, 1);
    ck_assert_int_eq(fixture_replay(&f, 0), SDB_CORRUPT);
    ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "header"));
}
END_TEST

START_TEST(damaged_last_header_with_records_is_corrupt)
{
    three_segments();
    flip(3, 3, 1);
    ck_assert_int_eq(fixture_replay(&f, 0), SDB_CORRUPT);
    ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "header"));
    /* also when reading stops before it */
    flip(2, WAL_SEGMENT_LEAST - 100, 1);
    ck_assert_int_eq(fixture_replay(&f, 0), SDB_CORRUPT);
}
END_TEST

START_TEST(unfinished_last_header_is_the_end)
{
    static const uint8_t zeros[8192];
    size_t size;
    uint8_t *old;

    three_segments();
    fixture_write_file(f.io, fixture_path(4), zeros, 0);
    fixture_replay_all(&f, 0);
    fixture_write_file(f.io, fixture_path(4), zeros, 100);
    fixture_replay_all(&f, 0);
    fixture_write_file(f.io, fixture_path(4), zeros, 8192);
    fixture_replay_all(&f, 0);
    old = fixture_read_file(f.io, fixture_path(1), &size); /* renamed, header not yet written */
    fixture_write_file(f.io, fixture_path(4), old, size);
    fixture_replay_all(&f, 0);
    old[WAL_SEGMENT_HEADER - 1] ^= 1; /* header half written */
    fixture_write_file(f.io, fixture_path(4), old, size);
    fixture_replay_all(&f, 0);
    fixture_write_file(f.io, fixture_path(5), zeros, 100); /* two unfinished: not a crash's doing */
    ck_assert_int_eq(fixture_replay(&f, 0), SDB_CORRUPT);
    free(old);
}
END_TEST

START_TEST(unfinished_segment_after_a_torn_tail_is_torn)
{
    static const uint8_t zeros[8192];

    three_segments();
    flip(3, 5000, 1);
    fixture_write_file(f.io, fixture_path(4), zeros, 8192);
    ck_assert_int_eq(fixture_replay(&f, 8), SDB_CORRUPT); /* later records in 3 convict */
    fixture_done(&f);
    fixture_init(&f);
    fixture_begin(&f);
    fixture_add(&f, 1000);
    fixture_sync(&f);
    fixture_close(&f);
    flip(1, 4200, 1);
    fixture_write_file(f.io, fixture_path(2), zeros, 8192);
    OK(fixture_replay(&f, 0));
    ck_assert_uint_eq(f.delivered, 0);
    ck_assert(f.replay.torn);
}
END_TEST

START_TEST(segment_with_wrong_first_lsn_is_corrupt)
{
    size_t size;
    uint8_t *data;
    struct wal_header header;

    three_segments();
    data = fixture_read_file(f.io, fixture_path(2), &size);
    OK(sdb__wal_format_get_header(data, &header));
    header.first_lsn += 8;
    sdb__wal_format_put_header(data, &header);
    fixture_write_file(f.io, fixture_path(2), data, size);
    free(data);
    ck_assert_int_eq(fixture_replay(&f, 0), SDB_CORRUPT);
    ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "begins at LSN"));
}
END_TEST

START_TEST(newer_format_is_refused)
{
    size_t size;
    uint8_t *data;
    uint64_t digest;

    fixture_begin(&f);
    fixture_close(&f);
    data = fixture_read_file(f.io, fixture_path(1), &size);
    data[8] = 3;
    digest = sdb__digest(data, WAL_SEGMENT_HEADER - 8, 0);
    put_u64(data + WAL_SEGMENT_HEADER - 8, digest);
    fixture_write_file(f.io, fixture_path(1), data, size);
    free(data);
    ck_assert_int_eq(fixture_replay(&f, 0), SDB_INVALID);
}
END_TEST

START_TEST(shortened_file_ends_the_log)
{
    fixture_begin(&f);
    for (int i = 0; i < 10; i++) fixture_add(&f, 1000);
    fixture_sync(&f);
    fixture_close(&f);
    for (size_t bytes = WAL_SEGMENT_HEADER; bytes < offset_of(10); bytes += 97) {
        size_t size;
        uint8_t *whole = fixture_read_file(f.io, fixture_path(1), &size);

        cut_file(1, bytes);
        OK(fixture_replay(&f, 0));
        ck_assert_uint_eq(f.delivered, (bytes - WAL_SEGMENT_HEADER) / 1024);
        fixture_write_file(f.io, fixture_path(1), whole, size);
        free(whole);
    }
    cut_file(1, 4095);
    ck_assert_int_eq(fixture_replay(&f, 0), SDB_CORRUPT); /* its fields say it was ours */
    cut_file(1, 30);
    ck_assert_int_eq(fixture_replay(&f, 0), SDB_NOTFOUND);
}
END_TEST

START_TEST(truncated_durable_segment_is_corrupt)
{
    three_segments();
    cut_file(2, 100000);
    ck_assert_int_eq(fixture_replay(&f, 0), SDB_CORRUPT);
}
END_TEST

START_TEST(every_single_bit_flip_is_harmless_or_reported)
{
    size_t size, used, corrupt = 0, cut = 0, whole = 0;
    struct io_queue *queue;
    struct io_file *file;
    uint8_t *data;

    fixture_begin(&f);
    for (int i = 0; i < 6; i++) {
        fixture_add(&f, 1 + (size_t)i * 13);
        if (i != 2) fixture_sync(&f);
    }
    fixture_close(&f);
    used = offset_of(6) + 64;
    data = fixture_read_file(f.io, fixture_path(1), &size);
    OK(sdb__io_open(f.io, fixture_path(1), IO_OPEN_WRITE, &file));
    OK(sdb__io_queue_new(f.io, 1, &queue));
    for (size_t at = 0; at < used; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            uint8_t byte = data[at] ^ (uint8_t)(1u << bit);
            sdb_status status;

            if (at >= 64 && at < WAL_SEGMENT_HEADER - 8 && at % 61) continue; /* zeros, all alike */
            OK(sdb__io_write(queue, file, &byte, 1, at));
            status = fixture_replay(&f, 0); /* fails the test at a wrong body */
            if (at < WAL_SEGMENT_HEADER)
                ck_assert(status == SDB_CORRUPT || status == SDB_NOTFOUND);
            else
                ck_assert(status == SDB_OK || status == SDB_CORRUPT);
            corrupt += status == SDB_CORRUPT;
            cut += status == SDB_OK && f.delivered < f.count;
            whole += status == SDB_OK && f.delivered == f.count;
            /* What was durable before another record was written is never cut silently. */
            if (status == SDB_OK && at >= WAL_SEGMENT_HEADER && at < offset_of(5))
                ck_assert_uint_eq(f.delivered, f.count);
            OK(sdb__io_write(queue, file, &data[at], 1, at));
        }
    }
    ck_assert(corrupt && cut && whole); /* whole: padding, and what follows the log */
    sdb__io_close(file);
    sdb__io_queue_free(queue);
    free(data);
}
END_TEST

/* Writes a segment 1 by hand. */
struct hand {
    uint8_t bytes[WAL_SEGMENT_LEAST];
    size_t at;
};

static void hand_init(struct hand *h)
{
    struct wal_header header = {
        .identity = f.identity, .number = 1, .first_lsn = 0, .file_bytes = sizeof h->bytes};

    memset(h, 0, sizeof *h);
    sdb__wal_format_put_header(h->bytes, &header);
    h->at = WAL_SEGMENT_HEADER;
}

static void hand_put(struct hand *h, enum wal_kind kind, size_t number, size_t from, size_t size,
                     uint32_t back)
{
    uint8_t *body = malloc(f.sizes[number]);

    ck_assert_ptr_nonnull(body);
    fixture_fill(body, f.sizes[number], number);
    memcpy(h->bytes + h->at + WAL_RECORD_HEADER, body + from, size);
    h->at += sdb__wal_format_seal(h->bytes + h->at, size, 0, kind, back, f.identity.log_id,
                                  h->at - WAL_SEGMENT_HEADER);
    f.ends[number] = h->at - WAL_SEGMENT_HEADER;
    free(body);
}

static void hand_write(struct hand *h)
{
    sdb_status status = sdb__io_folder_make(f.io, FIXTURE_FOLDER);

    ck_assert(status == SDB_OK || status == SDB_EXISTS);
    fixture_write_file(f.io, fixture_path(1), h->bytes, sizeof h->bytes);
}

START_TEST(given_up_bodies_are_ignored)
{
    static struct hand h;

    for (size_t i = 0; i < 3; i++) f.sizes[i] = 100;
    f.count = 3;
    hand_init(&h);
    hand_put(&h, WAL_KIND_FIRST, 2, 0, 50, WAL_DURABLE_UNKNOWN); /* given up at once */
    hand_put(&h, WAL_KIND_WHOLE, 0, 0, 100, WAL_DURABLE_UNKNOWN);
    hand_put(&h, WAL_KIND_FIRST, 2, 0, 50, WAL_DURABLE_UNKNOWN); /* given up in the middle */
    hand_put(&h, WAL_KIND_MIDDLE, 2, 50, 10, WAL_DURABLE_UNKNOWN);
    hand_put(&h, WAL_KIND_FIRST, 1, 0, 30, WAL_DURABLE_UNKNOWN);
    hand_put(&h, WAL_KIND_MIDDLE, 1, 30, 30, WAL_DURABLE_UNKNOWN);
    hand_put(&h, WAL_KIND_LAST, 1, 60, 40, WAL_DURABLE_UNKNOWN);
    hand_put(&h, WAL_KIND_FIRST, 2, 0, 50, WAL_DURABLE_UNKNOWN); /* the log ends in it */
    f.ends[2] = 0;
    hand_write(&h);
    OK(fixture_replay(&f, 0));
    ck_assert_uint_eq(f.delivered, 2);
    ck_assert_uint_eq(f.replay.records, 8);
    ck_assert(f.replay.torn);
}
END_TEST

START_TEST(middle_without_a_first_is_corrupt)
{
    static struct hand h;

    f.sizes[0] = 100;
    f.count = 1;
    hand_init(&h);
    hand_put(&h, WAL_KIND_MIDDLE, 0, 0, 50, WAL_DURABLE_UNKNOWN);
    hand_put(&h, WAL_KIND_LAST, 0, 50, 50, WAL_DURABLE_UNKNOWN);
    hand_write(&h);
    ck_assert_int_eq(fixture_replay(&f, 0), SDB_CORRUPT);
    ck_assert_uint_eq(f.delivered, 0);
}
END_TEST

START_TEST(last_after_a_given_up_first_is_corrupt)
{
    static struct hand h;

    f.sizes[0] = f.sizes[1] = 100;
    f.count = 2;
    hand_init(&h);
    hand_put(&h, WAL_KIND_FIRST, 1, 0, 50, WAL_DURABLE_UNKNOWN);
    hand_put(&h, WAL_KIND_WHOLE, 0, 0, 100, WAL_DURABLE_UNKNOWN);
    hand_put(&h, WAL_KIND_LAST, 1, 50, 50, WAL_DURABLE_UNKNOWN);
    hand_write(&h);
    ck_assert_int_eq(fixture_replay(&f, 0), SDB_CORRUPT);
    ck_assert_uint_eq(f.delivered, 1);
}
END_TEST

START_TEST(closed_segment_is_left)
{
    static struct hand h;

    f.sizes[0] = f.sizes[1] = 100;
    f.count = 2;
    hand_init(&h);
    hand_put(&h, WAL_KIND_WHOLE, 0, 0, 100, WAL_DURABLE_UNKNOWN);
    hand_put(&h, WAL_KIND_CLOSE, 1, 0, 0, WAL_DURABLE_UNKNOWN);
    hand_put(&h, WAL_KIND_WHOLE, 1, 0, 100, WAL_DURABLE_UNKNOWN);
    f.ends[0] = 128;
    hand_write(&h);
    OK(fixture_replay(&f, 0));
    ck_assert_uint_eq(f.delivered, 1);
    ck_assert(!f.replay.torn);
}
END_TEST

START_TEST(claims_convict_exactly)
{
    static struct hand h;
    /* ✗ at LSN 128; the record behind it is at 256. It convicts if it claims more than 128. */
    static const struct {
        uint32_t back;
        sdb_status status;
    } cases[] = {{0, SDB_CORRUPT},
                 {127, SDB_CORRUPT},
                 {128, SDB_OK},
                 {256, SDB_OK},
                 {257, SDB_OK}, /* more than there is */
                 {WAL_DURABLE_UNKNOWN, SDB_OK}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t n = 0; n < 3; n++) f.sizes[n] = 100;
        f.count = 3;
        hand_init(&h);
        hand_put(&h, WAL_KIND_WHOLE, 0, 0, 100, 0);
        hand_put(&h, WAL_KIND_WHOLE, 1, 0, 100, 0);
        hand_put(&h, WAL_KIND_WHOLE, 2, 0, 100, cases[i].back);
        h.bytes[WAL_SEGMENT_HEADER + 128 + 30] ^= 4;
        hand_write(&h);
        ck_assert_int_eq(fixture_replay(&f, 0), cases[i].status);
        ck_assert_uint_eq(f.delivered, 1);
    }
}
END_TEST

START_TEST(bytes_are_as_documented)
{
    /* docs/format/log.md: a change here is a change of the format. */
    static const uint8_t wanted[40] = {
        11, 0, 0, 0, 24,  0,   0,   0,   1,   0,   0,   0,   0,   0,   0,   0, 0, 0, 0, 0,
        0,  0, 0, 0, 'h', 'e', 'l', 'l', 'o', ' ', 'w', 'o', 'r', 'l', 'd', 0, 0, 0, 0, 0};
    uint8_t record[48] = {0}, hashed[16 + 11];
    uint64_t mix = 24, checksum;
    char name[WAL_NAME_SIZE];

    memset(record, 0xee, sizeof record);
    memcpy(record + 24, "hello world", 11);
    ck_assert_uint_eq(sdb__wal_format_seal(record, 11, 0, WAL_KIND_WHOLE, 24, 77, 24), 40);
    memcpy(hashed, wanted, 16);
    memcpy(hashed + 16, "hello world", 11);
    checksum = sdb__digest(hashed, sizeof hashed, 77 ^ random_next(&mix));
    ck_assert_uint_eq(get_u64(record + 16), checksum);
    ck_assert_uint_eq(get_u64(record + 16), UINT64_C(7432174639758810796));
    memset(record + 16, 0, 8);
    ck_assert_mem_eq(record, wanted, 40);
    sdb__wal_format_name(0xa1, name);
    ck_assert_str_eq(name, "00000000000000a1.log");
}
END_TEST

START_TEST(header_fields_are_judged)
{
    uint8_t bytes[WAL_SEGMENT_HEADER], again[WAL_SEGMENT_HEADER];
    const struct wal_header good = {.identity = f.identity,
                                    .number = 3,
                                    .first_lsn = 800,
                                    .file_bytes = WAL_SEGMENT_LEAST,
                                    .previous = 5,
                                    .packed = true};
    struct wal_header bad[5], back;

    sdb__wal_format_put_header(bytes, &good);
    OK(sdb__wal_format_get_header(bytes, &back));
    ck_assert_uint_eq(back.number, 3);
    ck_assert_uint_eq(back.previous, 5);
    ck_assert(back.packed);
    sdb__wal_format_put_header(again, &back); /* all that stands in the bytes came back */
    ck_assert_mem_eq(again, bytes, sizeof bytes);
    for (int i = 0; i < 5; i++) bad[i] = good;
    bad[0].first_lsn = 801;
    bad[1].file_bytes = WAL_SEGMENT_HEADER + 24;
    bad[2].file_bytes = WAL_SEGMENT_LEAST + 4;
    bad[3].first_lsn = UINT64_MAX - 7;
    bad[4].file_bytes = 0;
    for (int i = 0; i < 5; i++) {
        sdb__wal_format_put_header(bytes, &bad[i]);
        ck_assert_int_eq(sdb__wal_format_get_header(bytes, &back), SDB_CORRUPT);
    }
}
END_TEST

START_TEST(hostile_claims_cost_no_quadratic_time)
{
    /* 24 MiB in which each eighth byte begins a record of 64 KiB that would convict, were it valid:
     * 200 GB to hash without a budget. */
    enum { BYTES = 24 << 20 };
    uint8_t *data = calloc(1, BYTES);
    struct wal_header header = {.identity = f.identity, .number = 1, .file_bytes = BYTES};
    uint64_t before;

    ck_assert_ptr_nonnull(data);
    for (size_t at = WAL_SEGMENT_HEADER; at < BYTES; at += 8) {
        if (at / 8 % 2) { /* each is the second half of one header, and the first of another */
            data[at] = 1;
        } else {
            put_u32(data + at, 60001);
            put_u32(data + at + 4, 8);
        }
    }
    sdb__wal_format_put_header(data, &header);
    OK(sdb__io_folder_make(f.io, FIXTURE_FOLDER));
    fixture_write_file(f.io, fixture_path(1), data, BYTES);
    before = sdb__clock_now_ns();
    OK(fixture_replay(&f, 0));
    ck_assert(f.replay.torn);
    ck_assert_uint_lt(sdb__clock_now_ns() - before, UINT64_C(10000000000));
    free(data);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wal_damage");
    TCase *t = tcase_create("damage");

    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, torn_last_record_is_cut);
    tcase_add_loop_test(t, nothing_comes_of_a_large_body_that_is_torn, 0, 2);
    tcase_add_test(t, damaged_durable_record_is_corrupt);
    tcase_add_test(t, damage_in_a_lost_batch_is_torn);
    tcase_add_test(t, damage_is_seen_over_segment_borders);
    tcase_add_test(t, lost_middle_of_zeros_is_corrupt);
    tcase_add_test(t, missing_middle_segment_is_corrupt);
    tcase_add_test(t, missing_last_segment_is_the_end);
    tcase_add_test(t, damaged_middle_header_is_corrupt);
    tcase_add_test(t, damaged_last_header_with_records_is_corrupt);
    tcase_add_test(t, unfinished_last_header_is_the_end);
    tcase_add_test(t, unfinished_segment_after_a_torn_tail_is_torn);
    tcase_add_test(t, segment_with_wrong_first_lsn_is_corrupt);
    tcase_add_test(t, newer_format_is_refused);
    tcase_add_test(t, shortened_file_ends_the_log);
    tcase_add_test(t, truncated_durable_segment_is_corrupt);
    tcase_add_test(t, every_single_bit_flip_is_harmless_or_reported);
    tcase_add_test(t, given_up_bodies_are_ignored);
    tcase_add_test(t, middle_without_a_first_is_corrupt);
    tcase_add_test(t, last_after_a_given_up_first_is_corrupt);
    tcase_add_test(t, closed_segment_is_left);
    tcase_add_test(t, claims_convict_exactly);
    tcase_add_test(t, bytes_are_as_documented);
    tcase_add_test(t, header_fields_are_judged);
    tcase_add_test(t, hostile_claims_cost_no_quadratic_time);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
