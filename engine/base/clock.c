/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock.c
 *
 * Idea: the one file that asks the system for time and entropy.
 * Not here: calendars; a fake clock (callers that need one take time as an argument).
 */
#include "engine/base/clock.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

uint64_t sdb__clock_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void sdb__clock_sleep_ns(uint64_t ns)
{
    struct timespec left = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};

    while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
}

uint64_t sdb__random_seed(void)
{
    uint64_t bits;

    if (getrandom(&bits, sizeof bits, 0) == (ssize_t)sizeof bits) return bits;
    bits = sdb__clock_now_ns() ^ (uint64_t)(uintptr_t)&bits;
    return random_next(&bits);
}
