/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk.c
 *
 * Idea: an engine cannot read faster than the disk, nor commit faster than it syncs. How near it
 * comes is a better figure than its rate, and needs the disk's own, taken minutes before.
 *
 * The file is written whole and synced before anything is measured, so that a sync writes no
 * metadata but the data alone, as an engine's log in files made ahead does; then the page cache
 * drops it, which would hold it in pieces as large as those written, and count a piece as written
 * for each 4 KiB of it. Writes go through the page cache, one behind the other; reads pass it by
 * (O_DIRECT), at random multiples of their size.
 *
 * Invariants:
 *   I1  The file is removed before the first byte of it is written: an interrupted run leaves none.
 *
 * Costs: writing the file, as long as the disk takes for it.
 * Source: open(2) O_DIRECT, for alignment; io_uring(7).
 * Not here: an engine's own log or pages (wal, engine/pager).
 */
#include "bench/disk.h"

#include "bench/measure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef HAVE_LIBURING
#include <liburing.h>
#endif

enum { SYNC_BYTES = 4096, CHUNK_BYTES = 1 << 20, ALIGN_BYTES = 4096, STREAM = 9 };

typedef struct disk {
    const bench_config *config;
    uint64_t size;
    uint64_t block;        /* bytes of a read */
    int cached;            /* the same file, through the page cache … */
    int direct;            /* … and past it */
    unsigned char *buffer; /* room for a chunk, and for BENCH_DISK_DEPTH blocks; aligned */
} disk;

static bench_answer failed(const char *what)
{
    return bench_fail("disk: %s: %s", what, strerror(errno));
}

static bench_answer file_write(disk *d)
{
    for (uint64_t at = 0; at < d->size; at += CHUNK_BYTES) {
        for (size_t i = 0; i < CHUNK_BYTES; i += 8) {
            uint64_t random = bench_generator_random(&d->config->generator, STREAM, at + i);

            memcpy(d->buffer + i, &random, 8);
        }
        if (pwrite(d->cached, d->buffer, CHUNK_BYTES, (off_t)at) != CHUNK_BYTES)
            return failed("pwrite");
    }
    if (fsync(d->cached) != 0) return failed("fsync");
    (void)posix_fadvise(d->cached, 0, 0, POSIX_FADV_DONTNEED);
    return BENCH_OK;
}

static bench_answer file_open(disk *d)
{
    char path[BENCH_DIRECTORY_SIZE + 64];
    size_t room = CHUNK_BYTES;

    if (room < BENCH_DISK_DEPTH * d->block) room = BENCH_DISK_DEPTH * (size_t)d->block;
    d->buffer = aligned_alloc(ALIGN_BYTES, room);
    if (d->buffer == NULL) return bench_fail("out of memory");
    snprintf(path, sizeof path, "%s/sdb_bench-disk.%ld", d->config->root, (long)getpid());
    d->cached = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (d->cached < 0) return failed(path);
    d->direct = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    (void)unlink(path);
    if (d->direct < 0) return failed("open with O_DIRECT");
    return file_write(d);
}

static bench_answer sync_loop(disk *d, bench_result *result)
{
    uint64_t since = bench_now_ns();

    for (uint64_t i = 0; i < d->config->syncs; i++) {
        uint64_t at = i * SYNC_BYTES % d->size;
        uint64_t now;

        if (pwrite(d->cached, d->buffer, SYNC_BYTES, (off_t)at) != SYNC_BYTES)
            return failed("pwrite");
        if (fdatasync(d->cached) != 0) return failed("fdatasync");
        now = bench_now_ns();
        bench_histogram_add(&result->latency, now - since);
        since = now;
        result->operations++;
    }
    return BENCH_OK;
}

static off_t place(const disk *d, uint64_t index)
{
    uint64_t random = bench_generator_random(&d->config->generator, STREAM + 1, index);

    return (off_t)(random % (d->size / d->block) * d->block);
}

static bench_answer read_loop(disk *d, bench_result *result)
{
    uint64_t since = bench_now_ns();

    for (uint64_t i = 0; i < d->config->reads; i++) {
        uint64_t now;

        if (pread(d->direct, d->buffer, d->block, place(d, i)) != (ssize_t)d->block)
            return failed("pread");
        now = bench_now_ns();
        bench_histogram_add(&result->latency, now - since);
        since = now;
        result->operations++;
    }
    return BENCH_OK;
}

#ifdef HAVE_LIBURING
static bench_answer ring_loop(disk *d, struct io_uring *ring, bench_result *result)
{
    uint64_t since[BENCH_DISK_DEPTH];
    uint64_t begun = 0;

    while (result->operations < d->config->reads) {
        struct io_uring_cqe *cqe;
        unsigned slot = (unsigned)begun;

        /* A slot for each of the first; then that of the one that has come back. */
        if (begun >= BENCH_DISK_DEPTH || begun == d->config->reads) {
            if (io_uring_submit_and_wait(ring, 1) < 0 || io_uring_peek_cqe(ring, &cqe) != 0)
                return failed("io_uring_submit_and_wait");
            if (cqe->res != (int)d->block) {
                errno = cqe->res < 0 ? -cqe->res : EIO;
                return failed("read");
            }
            slot = (unsigned)cqe->user_data;
            io_uring_cqe_seen(ring, cqe);
            bench_histogram_add(&result->latency, bench_now_ns() - since[slot]);
            result->operations++;
        }
        if (begun < d->config->reads) {
            struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

            since[slot] = bench_now_ns();
            io_uring_prep_read(sqe, d->direct, d->buffer + slot * d->block, (unsigned)d->block,
                               (__u64)place(d, begun++));
            sqe->user_data = slot;
        }
    }
    return BENCH_OK;
}

static bench_answer deep_loop(disk *d, bench_result *result)
{
    struct io_uring ring;
    int rc = io_uring_queue_init(BENCH_DISK_DEPTH, &ring, 0);
    bench_answer answer;

    if (rc < 0) {
        errno = -rc;
        return failed("io_uring_queue_init");
    }
    answer = ring_loop(d, &ring, result);
    io_uring_queue_exit(&ring);
    return answer;
}
#else
static bench_answer deep_loop(disk *d, bench_result *result)
{
    (void)d;
    (void)result;
    return bench_fail("disk: many reads in flight need io_uring, which this was built without");
}
#endif

static bench_answer measure(disk *d, const char *workload, unsigned inflight,
                            bench_answer (*loop)(disk *, bench_result *), bench_result *result)
{
    bench_point start;
    bench_point end;
    bench_answer answer;

    memset(result, 0, sizeof *result);
    bench_histogram_init(&result->latency);
    snprintf(result->workload, sizeof result->workload, "%s", workload);
    result->threads = 1;
    result->batch = 1;
    result->inflight = inflight;
    result->io = loop == sync_loop ? "cached" : "direct";
    result->disk_bytes = d->size;
    start = bench_measure_point();
    answer = loop(d, result);
    end = bench_measure_point();
    result->wall_ns = end.wall_ns - start.wall_ns;
    result->cpu_ns = end.cpu_ns - start.cpu_ns;
    result->written_bytes = end.written_bytes - start.written_bytes;
    result->read_bytes = end.read_bytes - start.read_bytes;
    return answer;
}

bench_answer bench_disk_run(const bench_config *config, uint64_t block_bytes,
                            bench_result results[BENCH_DISK_RESULTS], unsigned *out_count)
{
    const bench_generator *generator = &config->generator;
    disk d = {.config = config, .block = block_bytes, .cached = -1, .direct = -1};
    bench_answer answer;

    *out_count = 0;
    d.size = generator->count * (generator->key_size + generator->value_size);
    if (d.size < UINT64_C(64) << 20) d.size = UINT64_C(64) << 20;
    if (d.size > UINT64_C(2) << 30) d.size = UINT64_C(2) << 30;
    d.size = (d.size + CHUNK_BYTES - 1) / CHUNK_BYTES * CHUNK_BYTES;
    answer = file_open(&d);
    if (answer == BENCH_OK) answer = measure(&d, "disksync", 1, sync_loop, &results[0]);
    if (answer == BENCH_OK) {
        *out_count = 1;
        answer = measure(&d, "diskread", 1, read_loop, &results[1]);
    }
    if (answer == BENCH_OK) {
        *out_count = 2;
        answer = measure(&d, "diskread", BENCH_DISK_DEPTH, deep_loop, &results[2]);
    }
    if (answer == BENCH_OK) *out_count = 3;
    if (d.direct >= 0) close(d.direct);
    if (d.cached >= 0) close(d.cached);
    free(d.buffer);
    return answer;
}
