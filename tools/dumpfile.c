/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dumpfile.c
 *
 * Idea: every record is a head of 16 bytes (type, two lengths, their checksum) and a payload with a
 * checksum. A damaged payload costs one entry; a damaged head ends the reading, for nothing after
 * it can be found.
 *
 *     offset 0    4        8        12        16             16+size1       16+size1+size2
 *            type | size1  | size2  | crc     | key          | value        | crc of both
 *
 * Invariants: I1 a dump is accepted as whole only if its end record counts the entries that were
 *   read, nothing follows it, and keys rise strictly within each keyspace. I2 no length is believed
 *   unless its checksum holds and it is within the limits of the library.
 * Costs: 20 bytes an entry.
 * Source: the split checksum is that of LevelDB's log, made stricter.
 * Not here: files and transactions (rows.h, export.c).
 */
#include "tools/dumpfile.h"

#include <string.h>

#include "tools/crc32c.h"

#define FORMAT_PLAIN    1u
#define FORMAT_EXPIRIES 2u
#define HEADER_BYTES    32u
#define HEAD_BYTES      16u
#define TIME_BYTES      8u

static const char magic[8] = {'S', 'D', 'B', 'D', 'U', 'M', 'P', '\n'};

enum record { RECORD_KEYSPACE = 1, RECORD_ENTRY = 2, RECORD_END = 3, RECORD_EXPIRING = 4 };

static void put32(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(v >> (8 * i));
}

static uint32_t get32(const void *from)
{
    const uint8_t *p = from;

    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put64(uint8_t *to, uint64_t v)
{
    put32(to, (uint32_t)v);
    put32(to + 4, (uint32_t)(v >> 32));
}

static uint64_t get64(const void *from)
{
    return get32(from) | (uint64_t)get32((const uint8_t *)from + 4) << 32;
}

/* `time`, unless 0, stands before the second part, as a part of it. */
static void add_record(struct bytebuf *out, enum record type, sdb_slice first, uint64_t time,
                       sdb_slice second)
{
    uint8_t head[HEAD_BYTES], sum[4], before[TIME_BYTES];
    size_t before_size = time ? TIME_BYTES : 0;
    uint32_t crc;

    put64(before, time);
    put32(head, (uint32_t)type);
    put32(head + 4, (uint32_t)first.size);
    put32(head + 8, (uint32_t)(before_size + second.size));
    put32(head + 12, crc32c_add(0, head, 12));
    crc = crc32c_add(crc32c_add(0, first.data, first.size), before, before_size);
    put32(sum, crc32c_add(crc, second.data, second.size));
    bytebuf_add(out, head, sizeof head);
    bytebuf_add(out, first.data, first.size);
    bytebuf_add(out, before, before_size);
    bytebuf_add(out, second.data, second.size);
    bytebuf_add(out, sum, sizeof sum);
}

void dump_begin(struct dump_writer *writer, struct bytebuf *out, uint32_t keyspaces, bool expiries)
{
    uint8_t header[HEADER_BYTES] = {0};

    *writer = (struct dump_writer){.keyspaces = keyspaces, .expiries = expiries};
    memcpy(header, magic, sizeof magic);
    put32(header + 8, expiries ? FORMAT_EXPIRIES : FORMAT_PLAIN);
    put32(header + 12, keyspaces);
    put32(header + 28, crc32c_add(0, header, 28));
    bytebuf_add(out, header, sizeof header);
}

void dump_keyspace(struct dump_writer *writer, struct bytebuf *out, const char *name,
                   uint64_t ttl_ms)
{
    writer->keyspaces--;
    add_record(out, RECORD_KEYSPACE, (sdb_slice){name, strlen(name)},
               writer->expiries ? ttl_ms : 0, (sdb_slice){NULL, 0});
}

void dump_entry(struct dump_writer *writer, struct bytebuf *out, sdb_slice key, sdb_slice value,
                uint64_t expiry_ms)
{
    if (!writer->expiries) expiry_ms = 0;
    writer->entries++;
    add_record(out, expiry_ms ? RECORD_EXPIRING : RECORD_ENTRY, key, expiry_ms, value);
}

void dump_end(struct dump_writer *writer, struct bytebuf *out)
{
    uint8_t count[8];

    put64(count, writer->entries);
    add_record(out, RECORD_END, (sdb_slice){count, sizeof count}, 0, (sdb_slice){NULL, 0});
}

/* ---- reading ------------------------------------------------------------------------------ */

static enum dump_answer fatal(struct dump_reader *reader, const char *reason)
{
    reader->reason = reason;
    return DUMP_FATAL;
}

static enum dump_answer bad(struct dump_reader *reader, const char *reason)
{
    reader->reason = reason;
    reader->damaged = true;
    return DUMP_BAD;
}

/* Reads exactly `size` bytes into the payload, emptied before. */
static bool read_exactly(struct dump_reader *reader, struct source *source, size_t size)
{
    bytebuf_clear(&reader->payload);
    return source_read(source, &reader->payload, size) == size;
}

static enum dump_answer read_header(struct dump_reader *reader, struct source *source)
{
    const char *header;

    if (!read_exactly(reader, source, HEADER_BYTES)) return fatal(reader, "it is not an sdb dump");
    header = reader->payload.data;
    if (memcmp(header, magic, sizeof magic) != 0) return fatal(reader, "it is not an sdb dump");
    if (get32(header + 28) != crc32c_add(0, header, 28))
        return fatal(reader, "the header is damaged");
    reader->expiries = get32(header + 8) == FORMAT_EXPIRIES;
    if (!reader->expiries && get32(header + 8) != FORMAT_PLAIN)
        return fatal(reader, "it is a dump of a newer version than this program reads");
    reader->keyspaces = get32(header + 12);
    reader->begun = true;
    return DUMP_END;
}

static enum dump_answer take_keyspace(struct dump_reader *reader, size_t size)
{
    const char *data = bytebuf_text(&reader->payload);

    if (memchr(data, '\0', size)) return fatal(reader, "a keyspace's name holds a NUL");
    if (++reader->names_seen > reader->keyspaces)
        return fatal(reader, "it holds more keyspaces than its header says");
    memcpy(reader->name, data, size);
    reader->name[size] = '\0';
    reader->ttl_ms = reader->payload.size > size ? get64(data + size) : 0;
    reader->have_last_key = false;
    return DUMP_KEYSPACE;
}

static enum dump_answer take_entry(struct dump_reader *reader, size_t key_size, size_t time_size)
{
    const char *last = bytebuf_text(&reader->last_key);
    const char *data = bytebuf_text(&reader->payload);
    size_t least = reader->last_key.size < key_size ? reader->last_key.size : key_size;
    int order;

    reader->key = (sdb_slice){data, key_size};
    reader->expiry_ms = time_size ? get64(data + key_size) : 0;
    reader->value = (sdb_slice){data + key_size + time_size,
                                reader->payload.size - key_size - time_size};
    order = memcmp(last, data, least);
    if (reader->have_last_key && (order > 0 || (order == 0 && reader->last_key.size >= key_size)))
        return bad(reader, "its key is not greater than the one before");
    bytebuf_clear(&reader->last_key);
    bytebuf_add(&reader->last_key, data, key_size);
    if (reader->last_key.failed) return fatal(reader, "there is no memory for it");
    reader->have_last_key = true;
    reader->entries++;
    return DUMP_ENTRY;
}

static enum dump_answer take_end(struct dump_reader *reader, struct source *source)
{
    const char *data = reader->payload.data;
    uint64_t count = get64(data);

    if (source_peek(source) >= 0) return fatal(reader, "bytes follow the end");
    if (reader->names_seen != reader->keyspaces)
        return fatal(reader, "it holds fewer keyspaces than its header says");
    if (count != reader->entries && !reader->damaged)
        return fatal(reader, "entries are missing from it");
    return DUMP_END;
}

/* Whether the lengths of a head can be true. */
static bool sizes_fit(bool expiries, uint32_t type, uint32_t first, uint32_t second)
{
    if (type == RECORD_ENTRY) return first <= SDB_KEY_MAX && second <= SDB_VALUE_MAX;
    if (type == RECORD_EXPIRING)
        return expiries && first <= SDB_KEY_MAX && second >= TIME_BYTES &&
               second - TIME_BYTES <= SDB_VALUE_MAX;
    if (type == RECORD_KEYSPACE)
        return first >= 1 && first <= SDB_KEYSPACE_NAME_MAX &&
               (second == 0 || (expiries && second == TIME_BYTES));
    return type == RECORD_END && first == 8 && second == 0;
}

enum dump_answer dump_read(struct dump_reader *reader, struct source *source)
{
    uint32_t type, first, second, sum;
    const char *head;

    reader->payload.limit = (size_t)SDB_VALUE_MAX + SDB_KEY_MAX + TIME_BYTES;
    if (!reader->begun && read_header(reader, source) != DUMP_END) return DUMP_FATAL;
    reader->record++;
    reader->offset = source_position(source);
    if (!read_exactly(reader, source, HEAD_BYTES)) return fatal(reader, "the dump is cut short");
    head = reader->payload.data;
    type = get32(head);
    first = get32(head + 4);
    second = get32(head + 8);
    if (get32(head + 12) != crc32c_add(0, head, 12) ||
        !sizes_fit(reader->expiries, type, first, second))
        return fatal(reader, "its head is damaged, and what follows cannot be found");
    if (!read_exactly(reader, source, (size_t)first + second))
        return fatal(reader, reader->payload.failed ? "there is no memory for it"
                                                    : "the dump is cut short");
    sum = 0;
    for (unsigned i = 0; i < 4; i++) {
        int byte = source_byte(source);

        if (byte < 0) return fatal(reader, "the dump is cut short");
        sum |= (uint32_t)byte << (8 * i);
    }
    if (sum != crc32c_add(0, bytebuf_text(&reader->payload), reader->payload.size)) {
        if (type != RECORD_ENTRY && type != RECORD_EXPIRING)
            return fatal(reader, "its checksum is wrong");
        return bad(reader, "its checksum is wrong");
    }
    if (type == RECORD_KEYSPACE) return take_keyspace(reader, first);
    if (type == RECORD_END) return take_end(reader, source);
    if (!reader->names_seen) return fatal(reader, "an entry stands before any keyspace");
    return take_entry(reader, first, type == RECORD_EXPIRING ? TIME_BYTES : 0);
}

void dump_reader_done(struct dump_reader *reader)
{
    bytebuf_done(&reader->payload);
    bytebuf_done(&reader->last_key);
}
