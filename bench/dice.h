/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dice.h: which operation comes at which place of a mix, and on which entry.
 *
 * Pure functions of the seed and of the operation's index, as everything in generator.h: what a run
 * leaves in the database can be computed without asking the threads that made it.
 */
#ifndef SDB_BENCH_DICE_H
#define SDB_BENCH_DICE_H

#include "bench/workload.h"

enum { BENCH_SCAN_MAX = 100 };

/* Ranks 0 … count-1, rank r in proportion to 1 / (r + 1)^theta. */
typedef struct bench_zipf {
    uint64_t count;
    double zeta; /* the sum of all of these */
    double alpha;
    double eta;
    double second; /* where the first two ranks end, in units of 1 / zeta */
} bench_zipf;

/* Takes about 20 ns for each of `count`. theta is above 0 and below 1. */
void bench_zipf_init(bench_zipf *zipf, uint64_t count, double theta);

/* The rank for a number u that is evenly spread over 0 <= u < 1. */
uint64_t bench_zipf_rank(const bench_zipf *zipf, double u);

typedef enum bench_action {
    BENCH_READ,
    BENCH_UPDATE,
    BENCH_INSERT,
    BENCH_SCAN,
    BENCH_MODIFY
} bench_action;

typedef struct bench_roll {
    bench_action action;
    uint64_t number; /* of the entry; INSERT: the new key is behind it; LATEST: see below */
    unsigned length; /* SCAN: entries, 1 … BENCH_SCAN_MAX */
} bench_roll;

typedef struct bench_dice {
    const bench_mix *mix;
    const bench_generator *generator;
    bench_zipf zipf;       /* not for BENCH_UNIFORM */
    bench_order scattered; /* which number each rank of BENCH_ZIPFIAN is */
    bench_order inserts;   /* behind which number operation i inserts */
} bench_dice;

/* `mix` and `generator` are borrowed. `inserts`: an order that nothing was inserted by before. */
void bench_dice_init(bench_dice *dice, const bench_mix *mix, const bench_generator *generator,
                     const bench_order *inserts);

/*
 * Operation `index`, below the generator's count. With BENCH_LATEST the `number` of what does not
 * insert is an age: how many entries are newer.
 */
bench_roll bench_dice_roll(const bench_dice *dice, uint64_t index);

#endif
