/* SPDX-License-Identifier: Apache-2.0 */
/*
 * measure.h: what a run costs: time, CPU, bytes written, bytes on disk; and the directory it runs
 * in.
 *
 * Times are nanoseconds and sizes bytes. Nothing here knows an engine.
 */
#ifndef SDB_BENCH_MEASURE_H
#define SDB_BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* A point in the life of this process. */
typedef struct bench_point {
    uint64_t wall_ns;
    uint64_t cpu_ns;        /* all threads, those of the engine included, user and system */
    uint64_t written_bytes; /* to the disk: write_bytes of /proc/self/io; 0 if hidden */
    uint64_t read_bytes;    /* from the disk: read_bytes of it */
} bench_point;

static inline uint64_t bench_clock(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Now, on a clock that only goes forward. About 25 ns. */
static inline uint64_t bench_now_ns(void)
{
    return bench_clock(CLOCK_MONOTONIC);
}

/* Reads all the counters. */
bench_point bench_measure_point(void);

/* What a directory and all in it takes on disk: allocated blocks, so holes do not count. */
uint64_t bench_measure_disk(const char *directory);

/* Writes to disk what the file system of `directory` still holds back. */
void bench_measure_sync(const char *directory);

/*
 * Waits until this process uses less than a tenth of a CPU, or limit_ms have gone: whatever an
 * engine does in the background then belongs to the workload that caused it.
 */
void bench_measure_quiet(unsigned limit_ms);

/* Removes the directory and all in it. True when it is gone. */
bool bench_directory_remove(const char *directory);

/* Makes the directory, and those above it. True when it is there. */
bool bench_directory_make(const char *directory);

/* One line about this machine: processor, number of them, memory, kernel. */
void bench_measure_machine(char *out, size_t size);

/* The name of the file system that `directory` lies on ("ext4"), or its number. */
void bench_measure_filesystem(const char *directory, char *out, size_t size);

#endif
