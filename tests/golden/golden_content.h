/* SPDX-License-Identifier: Apache-2.0 */
/*
 * golden_content.h: what the golden database holds, for the program that made it and the test that
 * reads it.
 *
 * Page size 4096; keyspaces "first" and "second". first: "0000"…"0199", number i with i * 3 % 100
 * + 1 bytes, which are (i + position) & 0xff; a key of 1000 bytes 'L' with the value "long".
 * second: "large" with 10000 bytes of the same kind for i = 7; the empty key with an empty value;
 * "count" with the number 3 in 8 bytes, "text" with "golden log", both merged together.
 *
 * The packed golden database holds the keys "0000"…"0199" in the keyspaces "lz4" and "zstd",
 * which are compressed so. That with a dictionary holds GOLDEN_TEXTS texts in the keyspace "dict".
 *
 * The one with snapshots holds the key "one" in the keyspace "first", with the value "1"; so does
 * its snapshot "one". Its snapshot "numbers" holds the keys "0000"…"0199" there.
 *
 * That with expiries holds in "keys" the keys "0000"…"0199", number i with the bytes of the first
 * and the expiry GOLDEN_YEAR_2100 + i, but none if i % 4 is 0; "large" with the large value and the
 * expiry GOLDEN_YEAR_2100; "gone", which expired in 1970. "lives" has a time to live of GOLDEN_TTL;
 * "own" there is put with it, "ever" without an expiry.
 */
#ifndef SDB_TESTS_GOLDEN_GOLDEN_CONTENT_H
#define SDB_TESTS_GOLDEN_GOLDEN_CONTENT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { GOLDEN_TEXTS = 400, GOLDEN_TEXT_ROOM = 1000 };
enum { GOLDEN_COUNT = 200, GOLDEN_LONG = 1000, GOLDEN_LARGE = 10000, GOLDEN_COMMITS = 6 };

/* milliseconds: since 1970; a hundred years */
#define GOLDEN_YEAR_2100 UINT64_C(4102444800000)
#define GOLDEN_TTL UINT64_C(3155760000000)

static inline size_t golden_size(unsigned i)
{
    return i * 3 % 100 + 1;
}

static inline size_t golden_text(char to[GOLDEN_TEXT_ROOM], unsigned i)
{
    size_t size = 0;

    for (unsigned n = 0; n < 30; n++)
        size += (size_t)snprintf(to + size, GOLDEN_TEXT_ROOM - size, "\"%08x-%08x\": %u,\n",
                                 n * 2654435761u, n * n * 2246822519u, n % 10 ? n : i * (n + 1));
    return size;
}

static inline void golden_fill(uint8_t *to, size_t size, unsigned i)
{
    for (size_t at = 0; at < size; at++) to[at] = (uint8_t)(i + at);
}

#endif
