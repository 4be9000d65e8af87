/* SPDX-License-Identifier: Apache-2.0 */
/* test_wal_pack.c: a log whose records are compressed holds what one without holds, in less. */
#include <lz4.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/bytes.h"
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "tests/lib/suite.h"
#include "tests/wal/wal_fixture.h"
#include "wal/wal_internal.h"
#include "wal/wal_stream.h"

static struct fixture f;

static void setup(void)
{
    fixture_init(&f);
    f.packed = true;
}

static void teardown(void)
{
    fixture_done(&f);
}

static struct wal_stats stats_now(void)
{
    struct wal_stats stats;

    sdb__wal_stats(f.wal, &stats);
    return stats;
}

START_TEST(bodies_of_all_sizes_come_back)
{
    static const size_t sizes[] = {1,     255,   256,   257,    4096,   65535,
                                   65536, 65537, 70000, 131072, 300000, 5242880};
    size_t all = 0;

    fixture_begin(&f);
    for (size_t i = 0; i < 4 * sizeof sizes / sizeof *sizes; i++) {
        fixture_add(&f, sizes[i / 4]);
        all += sizes[i / 4];
    }
    fixture_sync(&f);
    ck_assert_uint_eq(stats_now().body_bytes, all);
    ck_assert_uint_lt(stats_now().written_bytes, all * 3 / 4);
    fixture_close(&f);
    for (size_t from = 0; from <= f.count; from++) fixture_replay_all(&f, from);
}
END_TEST

/* Number 0 of the fixture's bodies is of random bytes; what is small is not worth a try. */
START_TEST(what_does_not_become_shorter_stays_as_it_is)
{
    fixture_begin(&f);
    fixture_add(&f, 10000);
    ck_assert_uint_eq(f.ends[0], wal_record_bytes(10000));
    fixture_add(&f, WAL_PACK_LEAST - 1);
    ck_assert_uint_eq(f.ends[1] - f.ends[0], wal_record_bytes(WAL_PACK_LEAST - 1));
    fixture_add(&f, WAL_PACK_LEAST);
    ck_assert_uint_lt(f.ends[2] - f.ends[1], wal_record_bytes(WAL_PACK_LEAST));
    fixture_sync(&f);
    fixture_replay_all(&f, 0);
}
END_TEST

/* Segments are reserved for what the bodies take unpacked, and filled with what they do take. */
START_TEST(bodies_of_any_size_meet_any_end_of_a_segment)
{
    uint64_t state = (uint64_t)_i * 31 + 7;

    fixture_begin(&f);
    for (int i = 0; i < 300; i++) {
        fixture_add(&f, 1 + random_below(&state, (uint64_t)1 << (8 + random_below(&state, 11))));
        if (random_below(&state, 10) == 0) fixture_sync(&f);
    }
    fixture_sync(&f);
    ck_assert_uint_gt(f.wal->tail->number, 10);
    fixture_close(&f);
    for (size_t from = 0; from <= f.count; from += 11) fixture_replay_all(&f, from);
}
END_TEST

START_TEST(stream_delivers_what_was_given)
{
    struct wal_stream *stream;
    struct wal_streamed body;
    uint8_t *wanted = malloc(200000);

    ck_assert_ptr_nonnull(wanted);
    fixture_begin(&f);
    for (int i = 0; i < 8; i++) fixture_add(&f, 100 + (size_t)i * 28000);
    fixture_sync(&f);
    OK(sdb__wal_stream_open(f.wal, 0, SIZE_MAX, &stream));
    for (size_t i = 0; i < f.count; i++) {
        OK(sdb__wal_stream_next(stream, &body));
        ck_assert_uint_eq(body.part.size, f.sizes[i]);
        fixture_fill(wanted, body.part.size, i);
        ck_assert_mem_eq(body.part.bytes, wanted, body.part.size);
    }
    ck_assert_int_eq(sdb__wal_stream_next(stream, &body), SDB_END);
    sdb__wal_stream_close(stream);
    free(wanted);
}
END_TEST

/* Only a log that may hold packed records says that it is of the format that has them. */
START_TEST(format_tells_whether_records_may_be_packed)
{
    size_t size;
    uint8_t *bytes;

    f.packed = _i;
    fixture_begin(&f);
    fixture_add(&f, 1000);
    fixture_add(&f, 1000);
    ck_assert_int_eq(f.ends[1] - f.ends[0] == wal_record_bytes(1000), !f.packed);
    bytes = fixture_read_file(f.io, fixture_path(1), &size);
    ck_assert_uint_eq(get_u32(bytes + 8), _i ? 2 : 1);
    free(bytes);
}
END_TEST

/* Puts a record over the first one of segment 1: `payload`, said to unpack to `raw` bytes. */
static void forge(const uint8_t *payload, size_t size, size_t raw)
{
    size_t all;
    uint8_t *bytes = fixture_read_file(f.io, fixture_path(1), &all);

    memcpy(bytes + WAL_SEGMENT_HEADER + WAL_RECORD_HEADER, payload, size);
    (void)sdb__wal_format_seal(bytes + WAL_SEGMENT_HEADER, size, raw, WAL_KIND_WHOLE, 0,
                               f.identity.log_id, 0);
    fixture_write_file(f.io, fixture_path(1), bytes, all);
    free(bytes);
}

START_TEST(payload_that_does_not_unpack_is_damage)
{
    char packed[200];
    uint8_t text[1000] = {0};
    int size = LZ4_compress_default((const char *)text, packed, sizeof text, sizeof packed);

    ck_assert_int_gt(size, 0);
    fixture_begin(&f);
    fixture_add(&f, 1000);
    fixture_sync(&f);
    fixture_close(&f);
    for (int i = 0; i < 4; i++) {
        static const size_t raw[] = {999, 1001, WAL_RECORD_MAX, 1000};

        if (i == 3) packed[0] = (char)0xff; /* literals beyond the end */
        forge((uint8_t *)packed, (size_t)size, raw[i]);
        ck_assert_int_eq(fixture_replay(&f, 0), SDB_CORRUPT);
        ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "does not unpack"));
        ck_assert_uint_eq(f.delivered, 0);
    }
}
END_TEST

/* Fields that no writer gives a record are none: the log ends there. */
START_TEST(senseless_sizes_are_no_record)
{
    uint8_t record[WAL_RECORD_HEADER + 1000] = {0};
    struct wal_record fields;

    (void)sdb__wal_format_seal(record, 900, 950, WAL_KIND_WHOLE, 0, 1, 0);
    ck_assert(sdb__wal_format_peek(record, sizeof record, &fields));
    ck_assert_uint_eq(fields.raw, 950);
    for (size_t i = 0; i < 6; i++) {
        static const size_t raw[] = {900, 899, WAL_RECORD_MAX + 1, 950, 950, 950};
        static const size_t at[] = {0, 0, 0, 9, 10, 11};

        (void)sdb__wal_format_seal(record, 900, raw[i], WAL_KIND_WHOLE, 0, 1, 0);
        if (at[i]) record[at[i]] = at[i] == 9 ? 2 : 1;
        ck_assert(!sdb__wal_format_peek(record, sizeof record, &fields));
    }
    (void)sdb__wal_format_seal(record, 900, 950, WAL_KIND_WHOLE, 0, 1, 0);
    record[9] = 0; /* not packed, but with another size */
    ck_assert(!sdb__wal_format_peek(record, sizeof record, &fields));
}
END_TEST

/* docs/format/log.md: a change here is a change of the format. */
START_TEST(bytes_are_as_documented)
{
    static const uint8_t payload[] = {0x1f, 'z', 1, 0, 0xff, 20, 0x50, 'z', 'z', 'z', 'z', 'z'};
    uint8_t record[40] = {0}, *room = NULL;
    const uint8_t *raw;
    struct wal_record fields;

    memcpy(record + WAL_RECORD_HEADER, payload, sizeof payload);
    ck_assert_uint_eq(sdb__wal_format_seal(record, sizeof payload, 300, WAL_KIND_WHOLE, 24, 77, 24),
                      40);
    ck_assert_mem_eq(record, "\x0c\0\0\0\x18\0\0\0\1\1\0\0\x2c\1\0\0", 16);
    ck_assert(sdb__wal_format_peek(record, sizeof record, &fields));
    ck_assert(sdb__wal_format_verify(record, &fields, 77, 24));
    OK(sdb__wal_unpack(&sdb__mem_default, &fields, 24, record + WAL_RECORD_HEADER, &room, &raw));
    for (size_t i = 0; i < 300; i++) ck_assert_uint_eq(raw[i], 'z');
    sdb__mem_free(&sdb__mem_default, room);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wal_pack");
    TCase *t = tcase_create("pack");

    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, bodies_of_all_sizes_come_back);
    tcase_add_test(t, what_does_not_become_shorter_stays_as_it_is);
    tcase_add_loop_test(t, bodies_of_any_size_meet_any_end_of_a_segment, 0, 6);
    tcase_add_test(t, stream_delivers_what_was_given);
    tcase_add_loop_test(t, format_tells_whether_records_may_be_packed, 0, 2);
    tcase_add_test(t, payload_that_does_not_unpack_is_damage);
    tcase_add_test(t, senseless_sizes_are_no_record);
    tcase_add_test(t, bytes_are_as_documented);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
