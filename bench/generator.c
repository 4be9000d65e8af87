/* SPDX-License-Identifier: Apache-2.0 */
/*
 * generator.c
 *
 * Idea: db_bench's data, but nothing of it drawn from a running random generator. A value can so be
 * verified when it is read, and two engines (or one and the generator itself) can be compared by
 * a sum of digests.
 *
 * A value is made of pieces of 100 bytes, as db_bench's with its compression ratio of 0.5: the
 * first half of a piece is random, the second half repeats it. The first eight bytes are a mix of
 * the number, xor the generation: so a reader that does not know the generation can find it out.
 *
 * Invariants:
 *   I1  bench_order_at is one to one on 0 … count-1. Each round (add, multiply by an odd number,
 *       xor with the own upper half), modulo a power of two, can be undone; numbers past the end
 *       are sent through again until they fall inside (cycle walking), which keeps it one to one.
 *   I2  No key of bench_generator_missing is one of bench_generator_key: one is odd, the other
 *       even.
 *
 * Costs: a key 9 ns, a value of 100 bytes 20 ns, a place in an order 4 ns on average (fewer than
 * two walks), a digest of 16 + 100 bytes 9 ns. All engines pay them alike, inside the measured
 * time.
 *
 * Source: J. Black, P. Rogaway, "Ciphers with Arbitrary Finite Domains" (2002), section 3, for
 * cycle walking; Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators" (2014) for
 * mix(); Google's LevelDB, benchmarks/db_bench.cc, for keys and values. Unlike db_bench's, a random
 * fill writes each key once, so that what is there afterwards is known.
 * Not here: who writes what when (workload.c).
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "bench/generator.h"

#include <string.h>

enum { PIECE = 100, PIECE_HALF = PIECE / 2 };

static inline uint64_t mix(uint64_t z)
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* What the first eight bytes of a value hold, but for the generation. */
static inline uint64_t stamp(const bench_generator *generator, uint64_t number)
{
    return mix(mix(generator->seed) + number);
}

uint64_t bench_generator_limit(size_t key_size)
{
    uint64_t limit = 1;

    for (size_t i = 0; i < key_size && i < BENCH_KEY_DIGITS; i++) limit *= 10;
    return limit / 2;
}

/* Writes code as `digits` digits. */
static inline void digits_put(uint32_t code, size_t digits, unsigned char *out)
{
    static const char pairs[] = "0001020304050607080910111213141516171819"
                                "2021222324252627282930313233343536373839"
                                "4041424344454647484950515253545556575859"
                                "6061626364656667686970717273747576777879"
                                "8081828384858687888990919293949596979899";
    size_t at = digits;

    while (at >= 2) {
        at -= 2;
        memcpy(out + at, pairs + 2 * (code % 100), 2);
        code /= 100;
    }
    if (at == 1) out[0] = (unsigned char)('0' + code % 10);
}

/* In two halves of eight digits: 32-bit divisions, and the two chains of them overlap. */
static void key_put(const bench_generator *generator, uint64_t code, unsigned char *out)
{
    size_t digits = generator->key_size < BENCH_KEY_DIGITS ? generator->key_size : BENCH_KEY_DIGITS;

    digits_put((uint32_t)(code % 100000000), 8, out + digits - 8);
    digits_put((uint32_t)(code / 100000000), digits - 8, out);
    memset(out + digits, '0', generator->key_size - digits);
}

void bench_generator_key(const bench_generator *generator, uint64_t number, unsigned char *out)
{
    key_put(generator, 2 * number, out);
}

void bench_generator_missing(const bench_generator *generator, uint64_t number, unsigned char *out)
{
    key_put(generator, 2 * number + 1, out);
}

/* One piece: `size` bytes, at most PIECE, the first half from the random sequence at *state. */
static inline void piece_put(uint64_t *state, unsigned char *out, size_t size)
{
    unsigned char random[PIECE_HALF + 8];
    size_t half = size - size / 2;

    for (size_t at = 0; at < half; at += 8) {
        uint64_t word = mix((*state)++);

        memcpy(random + at, &word, 8);
    }
    memcpy(out, random, half);
    memcpy(out + half, random, size / 2);
}

void bench_generator_value(const bench_generator *generator, uint64_t number, uint64_t generation,
                           unsigned char *out)
{
    uint64_t head = stamp(generator, number) ^ generation;
    uint64_t state = mix(head);
    size_t size = generator->value_size;
    unsigned char *start = out;

    for (; size >= PIECE; size -= PIECE, out += PIECE) piece_put(&state, out, PIECE);
    if (size > 0) piece_put(&state, out, size);
    memcpy(start, &head, sizeof head);
}

bool bench_generator_valid(const bench_generator *generator, uint64_t number, uint64_t oldest,
                           uint64_t newest, const void *value, size_t size, unsigned char *scratch)
{
    uint64_t head;
    uint64_t generation;

    if (size != generator->value_size) return false;
    memcpy(&head, value, sizeof head);
    generation = head ^ stamp(generator, number);
    if (generation < oldest || generation > newest) return false;
    bench_generator_value(generator, number, generation, scratch);
    return memcmp(scratch, value, size) == 0;
}

uint64_t bench_generator_random(const bench_generator *generator, uint64_t stream, uint64_t index)
{
    return mix(mix(generator->seed + (stream << 56)) ^ index);
}

bool bench_generator_code(const bench_generator *generator, const void *key, size_t size,
                          uint64_t *out_code)
{
    size_t digits = size < BENCH_KEY_DIGITS ? size : BENCH_KEY_DIGITS;
    const unsigned char *text = key;
    uint64_t code = 0;

    if (size != generator->key_size) return false;
    for (size_t i = 0; i < digits; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        code = 10 * code + (uint64_t)(text[i] - '0');
    }
    *out_code = code;
    return true;
}

uint64_t bench_generator_draw(const bench_generator *generator, uint64_t index)
{
    uint64_t random = mix(~generator->seed + index);

    return (uint64_t)(((unsigned __int128)random * generator->count) >> 64);
}

void bench_order_init(bench_order *order, const bench_generator *generator, uint64_t pass,
                      bool ascending)
{
    unsigned bits = 2;

    while (bits < 63 && (UINT64_C(1) << bits) < generator->count) bits++;
    order->count = generator->count;
    order->mask = (UINT64_C(1) << bits) - 1;
    order->shift = bits / 2;
    order->ascending = ascending;
    for (unsigned i = 0; i < 3; i++) order->add[i] = mix(mix(generator->seed ^ (pass << 8)) + i);
}

uint64_t bench_order_at(const bench_order *order, uint64_t position)
{
    static const uint64_t odd[3] = {0x9e3779b97f4a7c15u, 0xbf58476d1ce4e5b9u, 0x94d049bb133111ebu};
    uint64_t x = position;

    if (order->ascending) return position;
    do {
        for (unsigned i = 0; i < 3; i++) {
            x = ((x + order->add[i]) * odd[i]) & order->mask;
            x ^= x >> order->shift;
        }
    } while (x >= order->count);
    return x;
}

uint64_t bench_digest(const void *key, size_t key_size, const void *value, size_t value_size)
{
    uint64_t k = XXH3_64bits(key, key_size) ^ 0x9e3779b97f4a7c15u;
    uint64_t v = XXH3_64bits(value, value_size) ^ 0xbf58476d1ce4e5b9u;
    unsigned __int128 both = (unsigned __int128)k * v; /* so that swapped values are noticed */

    return (uint64_t)both ^ (uint64_t)(both >> 64);
}

uint64_t bench_generator_digest(const bench_generator *generator, uint64_t number,
                                uint64_t generation, unsigned char *key, unsigned char *value)
{
    bench_generator_key(generator, number, key);
    bench_generator_value(generator, number, generation, value);
    return bench_digest(key, generator->key_size, value, generator->value_size);
}
