/* SPDX-License-Identifier: Apache-2.0 */
/*
 * measure.c
 *
 * Idea: ask the kernel, never the engine. What an engine counts itself cannot be compared.
 *
 * Invariants:
 *   I1  bench_directory_remove is only given directories that this program named (workload.c).
 *   I2  A counter that the system hides reads as 0; it is not an error.
 *
 * Costs: a point takes about 12 µs (files of /proc are not free), so it stands outside loops.
 *
 * Source: proc(5) for write_bytes: bytes that this process made the kernel send to the storage
 * layer, counted when a page becomes dirty. That includes pages dirtied through a mapping, which is
 * how LMDB with WRITEMAP writes, and O_DIRECT, and the threads of io_uring.
 * Not here: latencies (histogram.c).
 */
#include "bench/measure.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { OPEN_DIRECTORIES = 16, QUIET_STEP_MS = 50 };

static void disk_bytes(uint64_t *out_read, uint64_t *out_written)
{
    FILE *file = fopen("/proc/self/io", "re");
    char line[128];

    *out_read = 0;
    *out_written = 0;
    if (file == NULL) return;
    while (fgets(line, sizeof line, file) != NULL) {
        (void)sscanf(line, "read_bytes: %" SCNu64, out_read);
        (void)sscanf(line, "write_bytes: %" SCNu64, out_written);
    }
    fclose(file);
}

bench_point bench_measure_point(void)
{
    bench_point point;

    disk_bytes(&point.read_bytes, &point.written_bytes);
    point.cpu_ns = bench_clock(CLOCK_PROCESS_CPUTIME_ID);
    point.wall_ns = bench_now_ns();
    return point;
}

static uint64_t disk_sum; /* nftw has no context argument; only the main thread measures */

static int disk_add(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)path;
    (void)kind;
    (void)where;
    disk_sum += (uint64_t)info->st_blocks * 512u;
    return 0;
}

uint64_t bench_measure_disk(const char *directory)
{
    disk_sum = 0;
    if (nftw(directory, disk_add, OPEN_DIRECTORIES, FTW_PHYS) != 0) return 0;
    return disk_sum;
}

void bench_measure_sync(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) return;
    (void)syncfs(fd);
    close(fd);
}

static void sleep_ms(unsigned ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    nanosleep(&t, NULL);
}

void bench_measure_quiet(unsigned limit_ms)
{
    unsigned quiet = 0;

    for (unsigned gone = 0; gone < limit_ms && quiet < 2; gone += QUIET_STEP_MS) {
        uint64_t before = bench_clock(CLOCK_PROCESS_CPUTIME_ID);
        uint64_t used;

        sleep_ms(QUIET_STEP_MS);
        used = bench_clock(CLOCK_PROCESS_CPUTIME_ID) - before;
        quiet = used < QUIET_STEP_MS * 100000u ? quiet + 1 : 0;
    }
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

bool bench_directory_remove(const char *directory)
{
    struct stat info;

    (void)nftw(directory, remove_one, OPEN_DIRECTORIES, FTW_DEPTH | FTW_PHYS);
    return lstat(directory, &info) != 0 && errno == ENOENT;
}

bool bench_directory_make(const char *directory)
{
    char path[4096];
    size_t length = strlen(directory);
    struct stat info;

    if (length == 0 || length >= sizeof path) return false;
    memcpy(path, directory, length + 1);
    for (size_t i = 1; i < length; i++) {
        if (path[i] != '/') continue;
        path[i] = '\0';
        (void)mkdir(path, 0777); /* what matters is the last one */
        path[i] = '/';
    }
    if (mkdir(path, 0777) == 0) return true;
    return errno == EEXIST && stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* The text after "name : " in a file of /proc, or "?". */
static void proc_text(const char *path, const char *name, char *out, size_t size)
{
    FILE *file = fopen(path, "re");
    char line[512];

    snprintf(out, size, "?");
    if (file == NULL) return;
    while (fgets(line, sizeof line, file) != NULL) {
        char *text = strchr(line, ':');

        if (text == NULL || strncmp(line, name, strlen(name)) != 0) continue;
        text += 1 + strspn(text + 1, " \t");
        text[strcspn(text, "\n")] = '\0';
        snprintf(out, size, "%s", text);
        break;
    }
    fclose(file);
}

void bench_measure_machine(char *out, size_t size)
{
    char cpu[128];
    char memory[64];
    struct utsname system;
    unsigned long long kib = 0;

    proc_text("/proc/cpuinfo", "model name", cpu, sizeof cpu);
    proc_text("/proc/meminfo", "MemTotal", memory, sizeof memory);
    (void)sscanf(memory, "%llu", &kib);
    if (uname(&system) != 0) memset(&system, 0, sizeof system);
    snprintf(out, size, "%s, %ld processors, %.1f GiB of memory, %s %s", cpu,
             sysconf(_SC_NPROCESSORS_ONLN), (double)kib / 1048576.0, system.sysname,
             system.release);
}

void bench_measure_filesystem(const char *directory, char *out, size_t size)
{
    static const struct {
        unsigned long magic;
        const char *name;
    } known[] = {
        {0xef53, "ext4"},      {0x58465342, "xfs"},       {0x9123683e, "btrfs"},
        {0x01021994, "tmpfs"}, {0x794c7630, "overlayfs"}, {0x6969, "nfs"},
        {0x2fc12fc1, "zfs"},   {0xf2f52010, "f2fs"},
    };
    struct statfs info;

    snprintf(out, size, "?");
    if (statfs(directory, &info) != 0) return;
    snprintf(out, size, "0x%lx", (unsigned long)info.f_type);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i].magic == (unsigned long)info.f_type) snprintf(out, size, "%s", known[i].name);
    }
}
