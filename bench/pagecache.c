/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pagecache.c
 *
 * Idea: the kernel has no limit for the page cache of one program but that of a control group,
 * which takes privileges to set. So the bench holds it down itself: it counts what was read from
 * the disk, which is what the page cache can have gained, and empties it when that is too much.
 *
 * Invariants:
 *   I1  Between two drops an engine has at most `bytes` (and what is read in a hundredth of a
 *       second) of its files in memory beside its own cache.
 *   I2  Contents never change: a shared mapping of a file that loses its pages reads them again.
 *
 * Costs: a look is 12 µs, a hundred times a second; a drop some milliseconds.
 *
 * Source: posix_fadvise(2), POSIX_FADV_DONTNEED, which skips pages that are mapped; hence
 * madvise(2), MADV_DONTNEED, on this process' shared mappings of the files first.
 */
#include "bench/pagecache.h"

#include "bench/measure.h"

#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { OPEN_DIRECTORIES = 16, LOOK_NS = 10000000 };

static int drop_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    int fd;

    (void)info;
    (void)where;
    if (kind != FTW_F) return 0;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
    return 0;
}

/* Takes the pages of the directory's files out of this process' mappings. */
static void unmap_all(const char *directory)
{
    FILE *file = fopen("/proc/self/maps", "re");
    char line[4096 + 128];
    size_t length = strlen(directory);

    if (file == NULL) return;
    while (fgets(line, sizeof line, file) != NULL) {
        uintptr_t from;
        uintptr_t to;
        char rights[5];
        const char *path = strchr(line, '/');

        if (path == NULL || strncmp(path, directory, length) != 0 || path[length] != '/') continue;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &from, &to, rights) != 3) continue;
        if (rights[3] == 's') (void)madvise((void *)from, to - from, MADV_DONTNEED);
    }
    fclose(file);
}

void bench_pagecache_drop(const char *directory)
{
    char real[4096];

    if (realpath(directory, real) == NULL) return;
    unmap_all(real);
    (void)nftw(real, drop_one, OPEN_DIRECTORIES, FTW_PHYS);
}

static void *keeper_main(void *context)
{
    bench_pagecache *keeper = context;
    uint64_t last = bench_measure_point().read_bytes;

    pthread_mutex_lock(&keeper->lock);
    while (!keeper->stop) {
        struct timespec until;
        uint64_t now;

        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += LOOK_NS;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        (void)pthread_cond_timedwait(&keeper->stopped, &keeper->lock, &until);
        now = bench_measure_point().read_bytes;
        if (now - last < keeper->bytes) continue;
        last = now;
        bench_pagecache_drop(keeper->directory);
    }
    pthread_mutex_unlock(&keeper->lock);
    return NULL;
}

bool bench_pagecache_hold(bench_pagecache *keeper, const char *directory, uint64_t bytes)
{
    pthread_condattr_t attributes;

    memset(keeper, 0, sizeof *keeper);
    keeper->directory = directory;
    keeper->bytes = bytes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&keeper->lock, NULL);
    pthread_cond_init(&keeper->stopped, &attributes);
    pthread_condattr_destroy(&attributes);
    keeper->running = pthread_create(&keeper->thread, NULL, keeper_main, keeper) == 0;
    return keeper->running;
}

void bench_pagecache_release(bench_pagecache *keeper)
{
    if (!keeper->running) return;
    pthread_mutex_lock(&keeper->lock);
    keeper->stop = true;
    pthread_cond_signal(&keeper->stopped);
    pthread_mutex_unlock(&keeper->lock);
    pthread_join(keeper->thread, NULL);
    pthread_mutex_destroy(&keeper->lock);
    pthread_cond_destroy(&keeper->stopped);
    keeper->running = false;
}
