/* SPDX-License-Identifier: Apache-2.0 */
/*
 * generator.h: the keys and values that every engine gets, and the digest of what it gave back.
 *
 * Words. An *entry* has a number, 0 … count-1. Its key is decimal and says 2 * number, so that the
 * odd numbers between are keys that nobody wrote. Its value follows from the number and from the
 * *generation*: 1 when it is first written, one more with every pass that overwrites it.
 *
 * Everything is a pure function of the seed and of its arguments: any thread may compute any entry,
 * in any order, and so may the one who checks afterwards.
 */
#ifndef SDB_BENCH_GENERATOR_H
#define SDB_BENCH_GENERATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BENCH_KEY_MIN = 8,
    BENCH_KEY_MAX = 256, /* LMDB ends at 511 */
    BENCH_KEY_DIGITS = 16,
    BENCH_VALUE_MIN = 16,
    BENCH_VALUE_MAX = 1 << 20
};

typedef struct bench_generator {
    uint64_t seed;
    uint64_t count; /* entries in a full database */
    size_t key_size;
    size_t value_size;
} bench_generator;

/*
 * A random order of 0 … count-1 in which each number comes exactly once, without a table.
 * Or the ascending order.
 */
typedef struct bench_order {
    uint64_t count;
    uint64_t mask;   /* of the smallest power of two that is not below count */
    unsigned shift;  /* half of its bits */
    uint64_t add[3]; /* one key a round */
    bool ascending;
} bench_order;

/* The most entries that keys of this size can number. */
uint64_t bench_generator_limit(size_t key_size);

/* Writes the key of entry `number`, key_size bytes. */
void bench_generator_key(const bench_generator *generator, uint64_t number, unsigned char *out);

/* Writes a key that no entry has, just behind that of entry `number`. */
void bench_generator_missing(const bench_generator *generator, uint64_t number, unsigned char *out);

/* Writes the value of entry `number` in `generation`, value_size bytes; half can be compressed. */
void bench_generator_value(const bench_generator *generator, uint64_t number, uint64_t generation,
                           unsigned char *out);

/*
 * Whether value[0…size) is what entry `number` has in some generation from `oldest` to `newest`.
 * `scratch` has room for value_size bytes.
 */
bool bench_generator_valid(const bench_generator *generator, uint64_t number, uint64_t oldest,
                           uint64_t newest, const void *value, size_t size, unsigned char *scratch);

/* 64 random bits: number `index` of the sequence `stream`. */
uint64_t bench_generator_random(const bench_generator *generator, uint64_t stream, uint64_t index);

/* What a key made above says, 2 * number or that and 1. False when it is none. */
bool bench_generator_code(const bench_generator *generator, const void *key, size_t size,
                          uint64_t *out_code);

/* The number of the entry that draw `index` takes: random, with replacement. */
uint64_t bench_generator_draw(const bench_generator *generator, uint64_t index);

/* The order number `pass` of this seed; or, if ascending, the ascending order. */
void bench_order_init(bench_order *order, const bench_generator *generator, uint64_t pass,
                      bool ascending);

/* Which number stands at `position` (below count). */
uint64_t bench_order_at(const bench_order *order, uint64_t position);

/*
 * The digest of one pair. The digest of many is the sum, modulo 2^64, of theirs: it does not
 * depend on the order, and counts a pair as often as it was read.
 */
uint64_t bench_digest(const void *key, size_t key_size, const void *value, size_t value_size);

/* The digest that a faithful engine must arrive at for entry `number`. Buffers as above. */
uint64_t bench_generator_digest(const bench_generator *generator, uint64_t number,
                                uint64_t generation, unsigned char *key, unsigned char *value);

#endif
