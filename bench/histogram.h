/* SPDX-License-Identifier: Apache-2.0 */
/*
 * histogram.h: how long many operations took, in a fixed few kilobytes.
 *
 * Caveats first. A percentile is right to one part in 32 and no better; counts, minimum, maximum
 * and sum are exact. Not for two threads at once: give each its own and merge them at the end.
 */
#ifndef SDB_BENCH_HISTOGRAM_H
#define SDB_BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    BENCH_HISTOGRAM_BITS = 6,                               /* 2^6 buckets of width 1, then … */
    BENCH_HISTOGRAM_HALF = 1 << (BENCH_HISTOGRAM_BITS - 1), /* … 32 for every power of two */
    BENCH_HISTOGRAM_BUCKETS = (64 - BENCH_HISTOGRAM_BITS + 2) * BENCH_HISTOGRAM_HALF
};

/* Caller's storage; begin with bench_histogram_init. */
typedef struct bench_histogram {
    uint64_t count;
    uint64_t sum;
    uint64_t min; /* UINT64_MAX while empty */
    uint64_t max;
    uint64_t buckets[BENCH_HISTOGRAM_BUCKETS];
} bench_histogram;

/* Makes it empty. */
void bench_histogram_init(bench_histogram *histogram);

/* Counts one value, of whatever unit. */
void bench_histogram_add(bench_histogram *histogram, uint64_t value);

/* Adds all that `from` counted. */
void bench_histogram_merge(bench_histogram *histogram, const bench_histogram *from);

/*
 * The value that `percent` (0…100) of the counted ones do not pass: the middle of its bucket, and
 * never outside min…max. 0 when nothing was counted.
 */
uint64_t bench_histogram_percentile(const bench_histogram *histogram, double percent);

/* The arithmetic mean; 0 when nothing was counted. */
double bench_histogram_mean(const bench_histogram *histogram);

#endif
