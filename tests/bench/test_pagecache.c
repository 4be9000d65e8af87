/* SPDX-License-Identifier: Apache-2.0 */
/* test_pagecache.c: claims about holding the page cache down (bench/pagecache.h). */
#include "bench/measure.h"
#include "bench/pagecache.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MIB = 1 << 20, FILE_MIB = 8, PAGE = 4096, PATH_SIZE = 4096, ROUNDS = 12 };

static char directory[PATH_SIZE];
static char path[PATH_SIZE + 16];
static unsigned char *bytes; /* the file, mapped */
static int fd;

static void setup(void)
{
    const char *temporary = getenv("TMPDIR");

    snprintf(directory, sizeof directory, "%s/test_pagecache.XXXXXX",
             temporary != NULL && temporary[0] != '\0' ? temporary : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/file", directory);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(posix_fallocate(fd, 0, FILE_MIB * MIB), 0);
    bytes = mmap(NULL, FILE_MIB * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(bytes, MAP_FAILED);
}

static void teardown(void)
{
    munmap(bytes, FILE_MIB * MIB);
    close(fd);
    (void)bench_directory_remove(directory);
}

/* Changes a byte in each page of the first `size`, and goes no faster than a disk. */
static void dirty(bench_pagecache *keeper, size_t size, unsigned char value)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    for (size_t at = 0; at < size; at += PAGE) {
        if (keeper != NULL) bench_pagecache_wait(keeper);
        bytes[at] = value;
        if (at % (64 * PAGE) == 0) nanosleep(&pause, NULL);
    }
}

/* False where nothing is written: in memory, or where the system hides the counters. */
static bool can_measure(void)
{
    uint64_t before = bench_measure_point().written_bytes;
    char filesystem[32];

    bench_measure_filesystem(directory, filesystem, sizeof filesystem);
    dirty(NULL, MIB, 1);
    return strcmp(filesystem, "tmpfs") != 0 && bench_measure_point().written_bytes > before;
}

START_TEST(what_was_dropped_is_on_the_disk_and_unchanged)
{
    if (!can_measure()) return;
    dirty(NULL, FILE_MIB * MIB, 7);
    ck_assert_uint_eq(bench_pagecache_resident(directory), FILE_MIB * MIB);
    bench_pagecache_drop(directory);
    ck_assert_uint_eq(bench_pagecache_resident(directory), 0);
    for (size_t at = 0; at < FILE_MIB * MIB; at += PAGE) ck_assert_uint_eq(bytes[at], 7);
}
END_TEST

/* The same 8 MiB over and over: without a bound they would be written once. */
START_TEST(pages_changed_again_beyond_the_bound_are_written_again)
{
    bench_pagecache keeper;
    uint64_t before;
    uint64_t written;

    if (!can_measure()) return;
    bench_pagecache_drop(directory);
    ck_assert(bench_pagecache_hold(&keeper, directory, 2 * MIB));
    before = bench_measure_point().written_bytes;
    for (unsigned char round = 0; round < ROUNDS; round++) dirty(&keeper, FILE_MIB * MIB, round);
    written = bench_measure_point().written_bytes - before;
    bench_pagecache_release(&keeper);
    ck_assert_uint_ge(keeper.drops, ROUNDS);
    ck_assert_uint_ge(written, (uint64_t)(ROUNDS - 1) * FILE_MIB * MIB / 2);
    for (size_t at = 0; at < FILE_MIB * MIB; at += PAGE) ck_assert_uint_eq(bytes[at], ROUNDS - 1);
}
END_TEST

/* As an engine with O_DIRECT: the counters grow, and the page cache does not. */
START_TEST(what_passes_the_page_cache_by_is_not_held_against_it)
{
    bench_pagecache keeper;
    int direct = open(path, O_WRONLY | O_DIRECT | O_CLOEXEC);
    void *buffer;

    if (direct < 0 || !can_measure()) {
        if (direct >= 0) close(direct);
        return;
    }
    ck_assert_int_eq(posix_memalign(&buffer, PAGE, MIB), 0);
    memset(buffer, 5, MIB);
    bench_pagecache_drop(directory);
    ck_assert(bench_pagecache_hold(&keeper, directory, MIB));
    for (off_t at = 0; at < FILE_MIB * MIB; at += MIB)
        ck_assert_int_eq(pwrite(direct, buffer, MIB, at), MIB);
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    bench_pagecache_release(&keeper);
    ck_assert_uint_eq(keeper.drops, 0);
    free(buffer);
    close(direct);
}
END_TEST

START_TEST(pages_changed_again_within_the_bound_are_written_once)
{
    bench_pagecache keeper;
    uint64_t before;

    if (!can_measure()) return;
    bench_pagecache_drop(directory);
    ck_assert(bench_pagecache_hold(&keeper, directory, 64u * MIB));
    before = bench_measure_point().written_bytes;
    for (unsigned char round = 0; round < ROUNDS; round++) dirty(&keeper, MIB, round);
    ck_assert_uint_lt(bench_measure_point().written_bytes - before, 8 * MIB);
    bench_pagecache_release(&keeper);
    ck_assert_uint_eq(keeper.drops, 0);
}
END_TEST

START_TEST(releasing_one_that_never_ran_does_nothing)
{
    bench_pagecache keeper = {.running = false};

    bench_pagecache_release(&keeper);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bench/pagecache");
    TCase *claims = tcase_create("claims");

    tcase_add_checked_fixture(claims, setup, teardown);
    tcase_set_timeout(claims, 60);
    tcase_add_test(claims, what_was_dropped_is_on_the_disk_and_unchanged);
    tcase_add_test(claims, pages_changed_again_beyond_the_bound_are_written_again);
    tcase_add_test(claims, what_passes_the_page_cache_by_is_not_held_against_it);
    tcase_add_test(claims, pages_changed_again_within_the_bound_are_written_once);
    tcase_add_test(claims, releasing_one_that_never_ran_does_nothing);
    suite_add_tcase(suite, claims);
    return suite_run(suite);
}
