/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_format.c
 *
 * Idea: one place knows every byte of a log; writer, reader and tests all come here.
 * Invariants: I1 a record's checksum depends on the log and on the LSN, so the same bytes at
 *   another place, or of another life of the file, are no record. I2 nothing is read beyond the
 *   room given.
 * Costs: the checksum covers two pieces that are not neighbours (the header before it, the payload
 *   behind it). They are made neighbours for the moment of hashing by moving 16 bytes, so that the
 *   one-shot digest does.
 * Not here: files, order, durability.
 */
#include "wal/wal_format.h"

#include <assert.h>
#include <string.h>
#include "engine/base/bytes.h"
#include "engine/base/mutant.h"
#include "engine/base/clock.h"

static const char magic[8] = {'s', 'd', 'b', ' ', 'l', 'o', 'g', '\n'};

/* Segment header. */
enum {
    AT_MAGIC = 0,
    AT_FORMAT = 8,
    AT_RESERVED = 12,
    AT_DATABASE = 16,
    AT_LOG = 32,
    AT_NUMBER = 40,
    AT_FIRST_LSN = 48,
    AT_FILE_BYTES = 56,
    AT_PREVIOUS = 64,
    AT_ZEROS = 72,
    AT_DIGEST = WAL_SEGMENT_HEADER - 8
};

/* Record header. */
enum {
    AT_SIZE = 0,
    AT_BACK = 4,
    AT_KIND = 8,
    AT_PACKING = 9,
    AT_RAW = 12,
    AT_CHECKSUM = 16,
    HASHED = AT_CHECKSUM
};

static_assert(AT_DATABASE + sizeof((struct wal_identity *)0)->database_id == AT_LOG, "id is 16");
static_assert(AT_FORMAT == sizeof magic && AT_RESERVED == AT_FORMAT + 4, "fields touch");
static_assert(AT_PREVIOUS + 8 == AT_ZEROS && AT_ZEROS < AT_DIGEST, "fields end before digest");
static_assert(AT_CHECKSUM + 8 == WAL_RECORD_HEADER, "the checksum ends the header");
static_assert(WAL_RECORD_HEADER % WAL_ALIGN == 0, "the payload is aligned");
static_assert(WAL_SEGMENT_HEADER % WAL_ALIGN == 0, "the first record is aligned");
static_assert(WAL_RECORD_MAX % WAL_ALIGN == 0, "a full record has no padding");

void sdb__wal_format_name(uint64_t number, char out_name[WAL_NAME_SIZE])
{
    static const char digits[] = "0123456789abcdef";

    for (int i = 15; i >= 0; i--) {
        out_name[i] = digits[number & 15];
        number >>= 4;
    }
    memcpy(out_name + 16, ".log", 5);
}

bool sdb__wal_format_number(const char *name, uint64_t *out_number)
{
    uint64_t number = 0;

    for (int i = 0; i < 16; i++) {
        char c = name[i];

        if (c >= '0' && c <= '9')
            number = number << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            number = number << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    if (strcmp(name + 16, ".log") != 0) return false;
    *out_number = number;
    return true;
}

void sdb__wal_format_put_header(uint8_t to[WAL_SEGMENT_HEADER], const struct wal_header *header)
{
    memset(to, 0, WAL_SEGMENT_HEADER);
    memcpy(to + AT_MAGIC, magic, sizeof magic);
    put_u32(to + AT_FORMAT, header->packed ? WAL_FORMAT_PACKED : WAL_FORMAT);
    memcpy(to + AT_DATABASE, header->identity.database_id, sizeof header->identity.database_id);
    put_u64(to + AT_LOG, header->identity.log_id);
    put_u64(to + AT_NUMBER, header->number);
    put_u64(to + AT_FIRST_LSN, header->first_lsn);
    put_u64(to + AT_FILE_BYTES, header->file_bytes);
    put_u64(to + AT_PREVIOUS, header->previous);
    put_u64(to + AT_DIGEST, sdb__digest(to, AT_DIGEST, 0));
}

sdb_status sdb__wal_format_get_header(const uint8_t from[WAL_SEGMENT_HEADER],
                                      struct wal_header *out_header)
{
    memcpy(out_header->identity.database_id, from + AT_DATABASE,
           sizeof out_header->identity.database_id);
    out_header->identity.log_id = get_u64(from + AT_LOG);
    out_header->number = get_u64(from + AT_NUMBER);
    out_header->first_lsn = get_u64(from + AT_FIRST_LSN);
    out_header->file_bytes = get_u64(from + AT_FILE_BYTES);
    out_header->previous = get_u64(from + AT_PREVIOUS);
    if (memcmp(from + AT_MAGIC, magic, sizeof magic) != 0) return SDB_CORRUPT;
    if (get_u64(from + AT_DIGEST) != sdb__digest(from, AT_DIGEST, 0)) return SDB_CORRUPT;
    out_header->packed = get_u32(from + AT_FORMAT) == WAL_FORMAT_PACKED;
    if (!out_header->packed && get_u32(from + AT_FORMAT) != WAL_FORMAT) return SDB_INVALID;
    if (out_header->file_bytes < WAL_SEGMENT_HEADER + WAL_SMALLEST_RECORD) return SDB_CORRUPT;
    if (out_header->file_bytes % WAL_ALIGN || out_header->first_lsn % WAL_ALIGN) return SDB_CORRUPT;
    if (out_header->first_lsn > UINT64_MAX - out_header->file_bytes) return SDB_CORRUPT;
    return SDB_OK;
}

/* mix: one step of splitmix64 from the state `lsn`; neighbouring places differ in all bits. */
static uint64_t seed_at(uint64_t log_id, uint64_t lsn)
{
    return log_id ^ random_next(&lsn);
}

/* Hashes the header's first 16 bytes and the payload as one piece. Destroys header bytes 8…23. */
static uint64_t digest_in_place(uint8_t *record, size_t payload, uint64_t seed)
{
    memmove(record + WAL_RECORD_HEADER - HASHED, record, HASHED);
    return sdb__digest(record + WAL_RECORD_HEADER - HASHED, HASHED + payload, seed);
}

size_t sdb__wal_format_seal(uint8_t *record, size_t payload, size_t raw, enum wal_kind kind,
                            uint32_t durable_back, uint64_t log_id, uint64_t lsn)
{
    uint8_t header[HASHED] = {0};
    size_t bytes = wal_record_bytes(payload);
    uint64_t checksum;

    assert(payload <= WAL_RECORD_MAX);
    put_u32(header + AT_SIZE, (uint32_t)payload);
    put_u32(header + AT_BACK, durable_back);
    header[AT_KIND] = (uint8_t)kind;
    header[AT_PACKING] = raw ? WAL_PACKING_LZ4 : WAL_PACKING_NONE;
    put_u32(header + AT_RAW, (uint32_t)raw);
    memcpy(record, header, HASHED);
    checksum = digest_in_place(record, payload, seed_at(log_id, lsn));
    memcpy(record, header, HASHED);
    put_u64(record + AT_CHECKSUM, checksum);
    memset(record + WAL_RECORD_HEADER + payload, 0, bytes - WAL_RECORD_HEADER - payload);
    return bytes;
}

bool sdb__wal_format_peek(const uint8_t *at, uint64_t room, struct wal_record *out_record)
{
    uint32_t kind = get_u32(at + AT_KIND); /* the kind, the packing and two zeros */
    uint32_t payload = get_u32(at + AT_SIZE), raw = get_u32(at + AT_RAW);
    uint32_t packing = kind >> 8;

    kind &= 0xff;
    if (kind < WAL_KIND_WHOLE || kind > WAL_KIND_CLOSE || packing > WAL_PACKING_LZ4) return false;
    if (payload > WAL_RECORD_MAX || (payload == 0) != (kind == WAL_KIND_CLOSE)) return false;
    if (packing ? raw <= payload || raw > WAL_RECORD_MAX || payload == 0 : raw != 0) return false;
    if (wal_record_bytes(payload) > room) return false;
    out_record->payload = payload;
    out_record->raw = packing ? raw : payload;
    out_record->durable_back = get_u32(at + AT_BACK);
    out_record->kind = (enum wal_kind)kind;
    out_record->packing = (enum wal_packing)packing;
    out_record->bytes = wal_record_bytes(payload);
    return true;
}

bool sdb__wal_format_verify(uint8_t *record, const struct wal_record *fields, uint64_t log_id,
                            uint64_t lsn)
{
    uint8_t header[WAL_RECORD_HEADER];
    uint64_t checksum;

    memcpy(header, record, sizeof header);
    checksum = digest_in_place(record, fields->payload, seed_at(log_id, lsn));
    memcpy(record, header, sizeof header);
    return checksum == get_u64(header + AT_CHECKSUM) || MUTANT(record_checksum_ignored);
}
