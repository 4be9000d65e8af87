/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pagecache.h: what the kernel keeps in memory of the files of a directory, and keeping it small.
 *
 * For engines that cannot pass the page cache by (O_DIRECT) on data that is to be larger than
 * memory. Needs no privilege, and touches the files of that directory only.
 */
#ifndef SDB_BENCH_PAGECACHE_H
#define SDB_BENCH_PAGECACHE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Drops it. What is not yet on disk stays. Mappings of this process read their pages again. */
void bench_pagecache_drop(const char *directory);

/* A thread that drops it whenever this process has read `bytes` more from the disk. */
typedef struct bench_pagecache {
    const char *directory; /* borrowed until bench_pagecache_release */
    uint64_t bytes;
    bool running;
    bool stop;
    pthread_mutex_t lock;
    pthread_cond_t stopped;
    pthread_t thread;
} bench_pagecache;

/* Caller's storage. Starts the thread; false when it cannot. */
bool bench_pagecache_hold(bench_pagecache *keeper, const char *directory, uint64_t bytes);

/* Ends it. One that is all zeros, or did not start, is allowed. */
void bench_pagecache_release(bench_pagecache *keeper);

#endif
