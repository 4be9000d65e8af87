/* SPDX-License-Identifier: Apache-2.0 */
/*
 * histogram.c
 *
 * Idea: a bucket's width grows with its value, so the relative error stays the same from a
 * nanosecond to a century, and finding the bucket is a count of leading zeros.
 *
 *     value      0 … 63      64 … 127     128 … 255     256 … 511      …
 *     buckets    64 of 1     32 of 2      32 of 4       32 of 8        …
 *     index      0 … 63      64 … 95      96 … 127      128 … 159      …
 *
 * A value v >= 64 whose highest bit is e has shift s = e - 5; its six highest bits v >> s lie in
 * 32 … 63, and its index is s * 32 + (v >> s). With s = 0 the same formula gives the index of the
 * values below 64.
 *
 * Invariants:
 *   I1  count is the sum of the buckets.
 *   I2  min and max are values that were really added.
 *   I3  Every 64-bit value has a bucket: the last index is 58 * 32 + 63.
 *
 * Costs: about 3 ns a value, 15 KiB a histogram (a run touches a few hundred bytes of it).
 * Source: Gil Tene, HdrHistogram: the layout, with one number for its precision instead of several.
 * Not here: the clock, and threads.
 */
#include "bench/histogram.h"

#include <assert.h>
#include <string.h>

static unsigned bucket_shift(uint64_t value)
{
    if (value < (1u << BENCH_HISTOGRAM_BITS)) return 0;
    return 64u - BENCH_HISTOGRAM_BITS - (unsigned)__builtin_clzll(value);
}

static unsigned bucket_of(uint64_t value)
{
    unsigned shift = bucket_shift(value);

    return shift * BENCH_HISTOGRAM_HALF + (unsigned)(value >> shift);
}

/* The middle of a bucket. */
static uint64_t bucket_value(unsigned index)
{
    unsigned shift = 0;
    uint64_t head = index;

    if (index >= (1u << BENCH_HISTOGRAM_BITS)) {
        shift = index / BENCH_HISTOGRAM_HALF - 1;
        head = index - shift * BENCH_HISTOGRAM_HALF;
    }
    return (head << shift) + ((UINT64_C(1) << shift) >> 1);
}

void bench_histogram_init(bench_histogram *histogram)
{
    memset(histogram, 0, sizeof *histogram);
    histogram->min = UINT64_MAX;
}

void bench_histogram_add(bench_histogram *histogram, uint64_t value)
{
    histogram->count++;
    histogram->sum += value;
    if (value < histogram->min) histogram->min = value;
    if (value > histogram->max) histogram->max = value;
    histogram->buckets[bucket_of(value)]++;
}

void bench_histogram_merge(bench_histogram *histogram, const bench_histogram *from)
{
    histogram->count += from->count;
    histogram->sum += from->sum;
    if (from->min < histogram->min) histogram->min = from->min;
    if (from->max > histogram->max) histogram->max = from->max;
    for (unsigned i = 0; i < BENCH_HISTOGRAM_BUCKETS; i++)
        histogram->buckets[i] += from->buckets[i];
}

uint64_t bench_histogram_percentile(const bench_histogram *histogram, double percent)
{
    double want = (double)histogram->count * percent / 100.0;
    uint64_t seen = 0;

    if (histogram->count == 0) return 0;
    if (percent <= 0) return histogram->min;
    if (percent >= 100) return histogram->max;
    for (unsigned i = 0; i < BENCH_HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (histogram->buckets[i] != 0 && (double)seen >= want) {
            uint64_t value = bucket_value(i);

            if (value < histogram->min) return histogram->min;
            return value > histogram->max ? histogram->max : value;
        }
    }
    assert(seen == histogram->count); /* I1, so the loop has returned but for rounding */
    return histogram->max;
}

double bench_histogram_mean(const bench_histogram *histogram)
{
    return histogram->count == 0 ? 0 : (double)histogram->sum / (double)histogram->count;
}
