/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pagecache.h: what the kernel keeps in memory of the files of a directory, and keeping it small.
 *
 * For data that is to be larger than memory, on a machine that has more: whatever of an engine goes
 * through the kernel's page cache, to be read or to be written, may then be there in a bounded
 * amount only. Needs no privilege, and touches the files of that directory only.
 */
#ifndef SDB_BENCH_PAGECACHE_H
#define SDB_BENCH_PAGECACHE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Writes it to the disk and drops it. What is changed meanwhile may stay. Mappings of this process
 * read their pages again.
 */
void bench_pagecache_drop(const char *directory);

/* How much of them is in the page cache, in bytes. */
uint64_t bench_pagecache_resident(const char *directory);

/* A thread that drops it, one at a time, when it has come to `bytes`. */
typedef struct bench_pagecache {
    const char *directory; /* borrowed until bench_pagecache_release */
    uint64_t bytes;
    uint64_t drops; /* so far; read it after bench_pagecache_release */
    bool running;
    bool stop;
    atomic_bool full; /* there is too much in memory: work waits */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* stop or full */
    pthread_t thread;
} bench_pagecache;

/* Caller's storage. Starts the thread; false when it cannot. */
bool bench_pagecache_hold(bench_pagecache *keeper, const char *directory, uint64_t bytes);

/* Before each operation on the files: returns once there is room for what it changes. */
void bench_pagecache_wait(bench_pagecache *keeper);

/* Ends it. One that is all zeros, or did not start, is allowed. */
void bench_pagecache_release(bench_pagecache *keeper);

#endif
