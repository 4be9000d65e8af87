/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dice.c
 *
 * Idea: YCSB's choosers without state. A random number of operation i picks the action by the
 * mix's percentages, another the rank, and a one-to-one order scatters the ranks over the keys, so
 * that entries that are often used do not stand side by side.
 *
 * Invariants:
 *   I1  Two operations never insert the same key: bench_order_at is one to one.
 *
 * Costs: a rank is one pow(), 20 to 40 ns; a roll with it about 60 ns.
 *
 * Source: J. Gray et al., "Quickly Generating Billion-Record Synthetic Databases" (SIGMOD 1994),
 * section "Zipfian", for the rank of a random number by inverting an integral (exact for the first
 * two ranks, close for the others); B. Cooper et al., "Benchmarking Cloud Serving Systems with
 * YCSB" (SoCC 2010), for the mixes, theta 0.99, and scattering. YCSB scatters by a hash, under
 * which ranks may meet on one key; ours do not.
 */
#include "bench/dice.h"

#include <math.h>
#include <string.h>

static const double theta = 0.99;

enum { STREAM_ACTION = 1, STREAM_ENTRY, STREAM_LENGTH, SCATTER_PASS = 1 << 20 };

void bench_zipf_init(bench_zipf *zipf, uint64_t count, double t)
{
    double zeta = 0;
    double zeta2 = 1 + pow(0.5, t);

    for (uint64_t i = count; i > 0; i--) zeta += pow(1 / (double)i, t);
    zipf->count = count;
    zipf->zeta = zeta;
    zipf->alpha = 1 / (1 - t);
    zipf->second = zeta2;
    zipf->eta = count > 2 ? (1 - pow(2 / (double)count, 1 - t)) / (1 - zeta2 / zeta) : 0;
}

uint64_t bench_zipf_rank(const bench_zipf *zipf, double u)
{
    double at = u * zipf->zeta;
    uint64_t rank;

    if (at < 1 || zipf->count == 1) return 0;
    if (at < zipf->second || zipf->count == 2) return 1;
    rank = (uint64_t)((double)zipf->count * pow(zipf->eta * u - zipf->eta + 1, zipf->alpha));
    return rank < zipf->count ? rank : zipf->count - 1;
}

void bench_dice_init(bench_dice *dice, const bench_mix *mix, const bench_generator *generator,
                     const bench_order *inserts)
{
    memset(dice, 0, sizeof *dice);
    dice->mix = mix;
    dice->generator = generator;
    dice->inserts = *inserts;
    if (mix->chooser != BENCH_UNIFORM) bench_zipf_init(&dice->zipf, generator->count, theta);
    /* The same entries are in demand in every workload, whatever ran before. */
    bench_order_init(&dice->scattered, generator, SCATTER_PASS, false);
}

/* Evenly spread over 0 <= u < 1. */
static double unit(uint64_t random)
{
    return (double)(random >> 11) * 0x1p-53;
}

static bench_action action_of(const bench_mix *mix, uint64_t random)
{
    unsigned percent = (unsigned)(((random >> 32) * 100) >> 32);

    if (percent < mix->read) return BENCH_READ;
    percent -= mix->read;
    if (percent < mix->update) return BENCH_UPDATE;
    percent -= mix->update;
    if (percent < mix->insert) return BENCH_INSERT;
    percent -= mix->insert;
    return percent < mix->scan ? BENCH_SCAN : BENCH_MODIFY;
}

bench_roll bench_dice_roll(const bench_dice *dice, uint64_t index)
{
    const bench_generator *generator = dice->generator;
    bench_roll roll = {
        .action = action_of(dice->mix, bench_generator_random(generator, STREAM_ACTION, index))};
    double u;

    if (roll.action == BENCH_INSERT) {
        roll.number = bench_order_at(&dice->inserts, index);
        return roll;
    }
    u = unit(bench_generator_random(generator, STREAM_ENTRY, index));
    switch (dice->mix->chooser) {
    case BENCH_UNIFORM: roll.number = (uint64_t)(u * (double)generator->count); break;
    case BENCH_ZIPFIAN:
        roll.number = bench_order_at(&dice->scattered, bench_zipf_rank(&dice->zipf, u));
        break;
    case BENCH_LATEST: roll.number = bench_zipf_rank(&dice->zipf, u); break;
    }
    if (roll.action == BENCH_SCAN) {
        u = unit(bench_generator_random(generator, STREAM_LENGTH, index));
        roll.length = 1 + (unsigned)(u * BENCH_SCAN_MAX);
    }
    return roll;
}
