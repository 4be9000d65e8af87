/* SPDX-License-Identifier: Apache-2.0 */
/* clock.h: time and chance, for the floors that may have them. */
#ifndef SDB_ENGINE_BASE_CLOCK_H
#define SDB_ENGINE_BASE_CLOCK_H

#include <stdint.h>

/* Nanoseconds on a clock that only goes forward; its zero means nothing. */
uint64_t sdb__clock_now_ns(void);

/* Sleeps about that long. */
void sdb__clock_sleep_ns(uint64_t ns);

/* 64 bits that nobody can guess: for salts and seeds. Falls back to clock and address bits. */
uint64_t sdb__random_seed(void);

/* A small generator (splitmix64, Steele et al. 2014): next number of the sequence at *state. */
static inline uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A number below `limit` (> 0), uniform but for a bias below 2^-32 when limit is below 2^32. */
static inline uint64_t random_below(uint64_t *state, uint64_t limit)
{
    return random_next(state) % limit;
}

#endif
