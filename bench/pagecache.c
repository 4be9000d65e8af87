/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pagecache.c
 *
 * Idea: the kernel has no limit for the page cache of one program but that of a control group,
 * which takes privileges to set, and which not every kernel has. So the bench holds it down itself,
 * for all engines alike: it counts what was read from the disk and what was made dirty, which is
 * what the page cache can have gained, and when that can be too much looks what it has of the
 * files. If it is too much, the threads of the workload wait, as the kernel makes a writer wait
 * that has dirtied too much, until all has been written to the disk; then the page cache is
 * emptied. A page that is changed again after that is read again, and counts as written again, as
 * beyond memory. What an engine reads and writes with O_DIRECT is in its own cache, and does not
 * count here.
 *
 * Invariants:
 *   I1  Between two drops an engine has at most `bytes`, and what it reads and changes in a
 *       hundredth of a second, and what its own threads change meanwhile, of its files in memory
 *       beside its own cache; dirty pages are part of that.
 *   I2  Contents never change: a shared mapping of a file that loses its pages reads them again,
 *       and what was written through it is the file's.
 *
 * Costs: a look at the counters is 12 µs, a hundred times a second; one at the files some
 * milliseconds, each time that `bytes` can be there; a drop as much, and the writing. One test of a
 * flag for each operation.
 *
 * Source: proc(5), write_bytes: counted when a clean page becomes dirty. mincore(2): of a mapping
 * of a file, what the page cache has of it. sync_file_range(2) starts and awaits the writing of the
 * pages, without the sync of the disk that nobody asked for. posix_fadvise(2), POSIX_FADV_DONTNEED,
 * skips pages that are mapped or dirty; hence madvise(2), MADV_DONTNEED, on this process' shared
 * mappings of the files first, which leaves what they wrote to the file.
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

enum { OPEN_DIRECTORIES = 16, LOOK_NS = 10000000, WINDOW_BYTES = 32 << 20, PAGE_MIN = 4096 };

static int drop_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    int fd;

    (void)info;
    (void)where;
    if (kind != FTW_F) return 0;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    (void)sync_file_range(fd, 0, 0,
                          SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                              SYNC_FILE_RANGE_WAIT_AFTER);
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

/* What the page cache has of bytes from…to of a file. */
static uint64_t resident_range(int fd, off_t from, off_t to)
{
    unsigned char pages[WINDOW_BYTES / PAGE_MIN];
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint64_t sum = 0;

    for (off_t at = from - from % WINDOW_BYTES; at < to; at += WINDOW_BYTES) {
        size_t size = to - at < WINDOW_BYTES ? (size_t)(to - at) : WINDOW_BYTES;
        void *window = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, at);

        if (window == MAP_FAILED) return sum;
        if (mincore(window, size, pages) == 0)
            for (size_t i = 0; i < (size + page - 1) / page; i++) sum += pages[i] & 1u;
        (void)munmap(window, size);
    }
    return sum * page;
}

static uint64_t resident_sum; /* nftw has no context argument; only one keeper runs at a time */

static int resident_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    off_t data = 0;
    off_t hole = 0;
    int fd;

    (void)where;
    if (kind != FTW_F) return 0;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    while (hole < info->st_size && (data = lseek(fd, hole, SEEK_DATA)) >= 0 &&
           (hole = lseek(fd, data, SEEK_HOLE)) > data)
        resident_sum += resident_range(fd, data, hole);
    close(fd);
    return 0;
}

uint64_t bench_pagecache_resident(const char *directory)
{
    resident_sum = 0;
    (void)nftw(directory, resident_one, OPEN_DIRECTORIES, FTW_PHYS);
    return resident_sum;
}

static uint64_t gained(void)
{
    bench_point point = bench_measure_point();

    return point.read_bytes + point.written_bytes;
}

static void *keeper_main(void *context)
{
    bench_pagecache *keeper = context;
    uint64_t empty = gained(); /* where the counters stood when nothing was there */

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
        (void)pthread_cond_timedwait(&keeper->changed, &keeper->lock, &until);
        now = gained();
        if (now - empty < keeper->bytes) continue;
        empty = now - bench_pagecache_resident(keeper->directory);
        if (now - empty < keeper->bytes) continue;
        atomic_store(&keeper->full, true);
        pthread_mutex_unlock(&keeper->lock);
        bench_pagecache_drop(keeper->directory);
        pthread_mutex_lock(&keeper->lock);
        empty = gained();
        keeper->drops++;
        atomic_store(&keeper->full, false);
        pthread_cond_broadcast(&keeper->changed);
    }
    pthread_mutex_unlock(&keeper->lock);
    return NULL;
}

void bench_pagecache_wait(bench_pagecache *keeper)
{
    if (!atomic_load_explicit(&keeper->full, memory_order_relaxed)) return;
    pthread_mutex_lock(&keeper->lock);
    while (atomic_load(&keeper->full)) (void)pthread_cond_wait(&keeper->changed, &keeper->lock);
    pthread_mutex_unlock(&keeper->lock);
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
    pthread_cond_init(&keeper->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    keeper->running = pthread_create(&keeper->thread, NULL, keeper_main, keeper) == 0;
    return keeper->running;
}

void bench_pagecache_release(bench_pagecache *keeper)
{
    if (!keeper->running) return;
    pthread_mutex_lock(&keeper->lock);
    keeper->stop = true;
    pthread_cond_broadcast(&keeper->changed);
    pthread_mutex_unlock(&keeper->lock);
    pthread_join(keeper->thread, NULL);
    pthread_mutex_destroy(&keeper->lock);
    pthread_cond_destroy(&keeper->changed);
    keeper->running = false;
}
