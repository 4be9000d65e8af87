/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crc32c.c
 *
 * Idea: eight bytes a step by eight tables, made at the first call.
 * Invariants: I1 crc32c_add(crc32c_add(0, a), b) is the sum of a followed by b.
 * Costs: 8 KiB of tables; about 2 GB/s.
 * Source: Kounavis and Berry, "A systematic approach to building high performance, software-based,
 *   CRC generators", ISCC 2005 (slicing by eight); polynomial 0x1edc6f41, reflected, RFC 3720
 *   appendix B.4.
 * Not here: the processor's own instruction; dumps are bound by the database, not by this.
 */
#include "tools/crc32c.h"

#include <stdbool.h>

#define POLYNOMIAL 0x82f63b78u /* 0x1edc6f41 with its bits reversed */

static uint32_t tables[8][256];

static void make_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;

        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
        tables[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int t = 1; t < 8; t++)
            tables[t][i] = tables[t - 1][i] >> 8 ^ tables[0][tables[t - 1][i] & 0xff];
}

static uint32_t load(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint32_t crc32c_add(uint32_t crc, const void *data, size_t size)
{
    static bool made;
    const uint8_t *p = data;

    if (!made) make_tables();
    made = true;
    crc = ~crc;
    for (; size >= 8; size -= 8, p += 8) {
        uint32_t low = load(p) ^ crc, high = load(p + 4);

        crc = tables[7][low & 0xff] ^ tables[6][low >> 8 & 0xff] ^ tables[5][low >> 16 & 0xff] ^
              tables[4][low >> 24] ^ tables[3][high & 0xff] ^ tables[2][high >> 8 & 0xff] ^
              tables[1][high >> 16 & 0xff] ^ tables[0][high >> 24];
    }
    while (size--) crc = crc >> 8 ^ tables[0][(crc ^ *p++) & 0xff];
    return ~crc;
}
