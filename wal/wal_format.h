/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_format.h: the bytes of a segment header and of a record; docs/format/log.md draws them.
 *
 * Pure functions on memory. Nothing that is read is trusted: sizes are judged against the room
 * there is before they are used.
 */
#ifndef SDB_WAL_WAL_FORMAT_H
#define SDB_WAL_WAL_FORMAT_H

#include "wal/wal.h"

enum {
    WAL_FORMAT = 1,
    WAL_FORMAT_PACKED = 2, /* there may be packed records */
    WAL_ALIGN = 8,           /* records begin at multiples of it */
    WAL_NAME_SIZE = 16 + 5,  /* hexadecimal digits, ".log", NUL */
    WAL_SMALLEST_RECORD = 32 /* one payload byte */
};

#define WAL_DURABLE_UNKNOWN UINT32_C(0xffffffff)

enum wal_kind {
    WAL_KIND_WHOLE = 1,
    WAL_KIND_FIRST = 2,
    WAL_KIND_MIDDLE = 3,
    WAL_KIND_LAST = 4,
    WAL_KIND_CLOSE = 5
};

/* How a payload stands in its record. */
enum wal_packing {
    WAL_PACKING_NONE = 0,
    WAL_PACKING_LZ4 = 1
};

struct wal_header {
    struct wal_identity identity;
    uint64_t number;
    uint64_t first_lsn;
    uint64_t file_bytes;
    uint64_t previous; /* id of the log that this one follows; 0: none, or not known */
    bool packed; /* WAL_FORMAT_PACKED */
};

/* A record's fields, as they stand before its payload. */
struct wal_record {
    uint32_t payload; /* bytes in the record */
    uint32_t raw;     /* bytes when unpacked; without packing the same */
    uint32_t durable_back;
    enum wal_kind kind;
    enum wal_packing packing;
    size_t bytes; /* header, payload and padding */
};

/* Bytes that a record with such a payload takes. */
static inline size_t wal_record_bytes(size_t payload)
{
    return (WAL_RECORD_HEADER + payload + WAL_ALIGN - 1) & ~(size_t)(WAL_ALIGN - 1);
}

/* LSN behind the last byte of the segment. */
static inline uint64_t wal_header_end(const struct wal_header *header)
{
    return header->first_lsn + (header->file_bytes - WAL_SEGMENT_HEADER);
}

/* "00000000000000a1.log". */
void sdb__wal_format_name(uint64_t number, char out_name[WAL_NAME_SIZE]);
/* False when `name` is not exactly a segment's name. */
bool sdb__wal_format_number(const char *name, uint64_t *out_number);

void sdb__wal_format_put_header(uint8_t to[WAL_SEGMENT_HEADER], const struct wal_header *header);
/*
 * SDB_CORRUPT: no header, or a damaged one; SDB_INVALID: sound, but of another format. *out_header
 * holds in each case what the fields say, for messages and guesses only. Records no sentence.
 */
SDB_MUST_USE sdb_status sdb__wal_format_get_header(const uint8_t from[WAL_SEGMENT_HEADER],
                                                   struct wal_header *out_header);

/*
 * Completes the record at `record`, whose payload is in its place: header, padding, checksum. `raw`
 * is its size before it was packed with LZ4; 0: it is not packed. Returns the record's bytes.
 */
size_t sdb__wal_format_seal(uint8_t *record, size_t payload, size_t raw, enum wal_kind kind,
                            uint32_t durable_back, uint64_t log_id, uint64_t lsn);

/* Reads WAL_RECORD_HEADER bytes; false when no record of at most `room` bytes begins so. */
bool sdb__wal_format_peek(const uint8_t *at, uint64_t room, struct wal_record *out_record);

/*
 * Is the checksum of this record, all of whose bytes are there, the one it must have at that place?
 * The bytes are changed meanwhile and are as before when it returns.
 */
bool sdb__wal_format_verify(uint8_t *record, const struct wal_record *fields, uint64_t log_id,
                            uint64_t lsn);

#endif
