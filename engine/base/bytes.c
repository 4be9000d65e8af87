/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bytes.c
 *
 * Idea: integers in as few bytes as they need, and one digest for everything that reaches a disk.
 * Source: LEB128 (DWARF 4, section 7.6); XXH3 by Yann Collet, from libxxhash.
 */
#include "engine/base/bytes.h"

#include <xxhash.h>

size_t sdb__varint_put(uint8_t *to, uint64_t v)
{
    size_t n = 0;

    while (v >= 0x80) {
        to[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    to[n++] = (uint8_t)v;
    return n;
}

size_t sdb__varint_get(const uint8_t *from, const uint8_t *end, uint64_t *out_v)
{
    uint64_t v = 0;
    size_t n = 0;

    while (from + n < end && n < VARINT_MAX) {
        uint8_t byte = from[n];

        if (n == VARINT_MAX - 1 && byte > 1) return 0; /* more than 64 bits */
        v |= (uint64_t)(byte & 0x7f) << (7 * n);
        n++;
        if (!(byte & 0x80)) {
            *out_v = v;
            return n;
        }
    }
    return 0;
}

uint64_t sdb__digest(const void *data, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, size, seed);
}
