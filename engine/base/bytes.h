/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bytes.h: little-endian fields, variable-length integers, and digests of bytes on disk.
 *
 * Everything on disk is little-endian and may be unaligned; these are the only way to it.
 * Varints are LEB128: seven bits a byte, low ones first, at most ten bytes.
 */
#ifndef SDB_ENGINE_BASE_BYTES_H
#define SDB_ENGINE_BASE_BYTES_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t get_u16(const void *from)
{
    uint16_t v;
    memcpy(&v, from, sizeof v);
    return le16toh(v);
}

static inline uint32_t get_u32(const void *from)
{
    uint32_t v;
    memcpy(&v, from, sizeof v);
    return le32toh(v);
}

static inline uint64_t get_u64(const void *from)
{
    uint64_t v;
    memcpy(&v, from, sizeof v);
    return le64toh(v);
}

static inline void put_u16(void *to, uint16_t v)
{
    v = htole16(v);
    memcpy(to, &v, sizeof v);
}

static inline void put_u32(void *to, uint32_t v)
{
    v = htole32(v);
    memcpy(to, &v, sizeof v);
}

static inline void put_u64(void *to, uint64_t v)
{
    v = htole64(v);
    memcpy(to, &v, sizeof v);
}

/* memcmp that allows size 0 with NULL. */
static inline int compare_bytes(const void *a, size_t a_size, const void *b, size_t b_size)
{
    size_t common = a_size < b_size ? a_size : b_size;
    int order = common ? memcmp(a, b, common) : 0;

    if (order) return order;
    return (a_size > b_size) - (a_size < b_size);
}

enum { VARINT_MAX = 10 };

/* Writes v at `to` (room for VARINT_MAX bytes); returns the bytes used. */
size_t sdb__varint_put(uint8_t *to, uint64_t v);

/* Reads a varint from [from, end); returns the bytes used, 0 when it is cut short or too long. */
size_t sdb__varint_get(const uint8_t *from, const uint8_t *end, uint64_t *out_v);

/* XXH3, 64 bits, seeded. */
uint64_t sdb__digest(const void *data, size_t size, uint64_t seed);

#endif
