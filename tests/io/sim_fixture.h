/* SPDX-License-Identifier: Apache-2.0 */
/* sim_fixture.h: a simulated disk, a durable file on it, and a look at what a crash would leave. */
#ifndef SDB_TESTS_SIM_FIXTURE_H
#define SDB_TESTS_SIM_FIXTURE_H

#include "tests/io/io_fixture.h"

enum { SECTOR = 512, SEEDS = 400 };

static struct fixture f;

static inline void setup(void)
{
    ck_assert(fixture_begin(&f, SIMULATED, 8));
    OK(sdb__io_parent_sync(f.io, f.folder));
}

static inline void teardown(void)
{
    fixture_end(&f, SIMULATED);
}

static inline void fill(struct io_file *file, int byte, size_t size, uint64_t offset)
{
    static char bytes[65536];

    if (size > sizeof bytes) ck_abort_msg("%zu bytes are too many", size);
    memset(bytes, byte, size);
    if (sdb__io_write(f.queue, file, bytes, size, offset) != SDB_OK)
        ck_abort_msg("%s", sdb_errmsg());
}

/* A file with durable name and contents of one byte. */
static inline struct io_file *durable_file(const char *name, int byte, size_t size)
{
    struct io_file *file = make_file(&f, name);

    fill(file, byte, size, 0);
    OK(sdb__io_sync(f.queue, file));
    OK(sdb__io_folder_sync(f.io, f.folder));
    return file;
}

/* A copy of a file as a crash with this seed leaves it; its size, or -1 if it has gone. */
static inline long after_crash(const char *name, uint64_t seed, void *memory, size_t size)
{
    struct fixture copy = f;
    struct io_file *file = NULL;
    sdb_status status;
    uint64_t bytes = 0;

    OK(sdb__sim_clone(f.io, seed, &copy.io));
    status = sdb__io_open(copy.io, in(&f, name), 0, &file);
    if (status == SDB_OK) {
        struct io_op op = op_of(file, IO_READ, memory, size, 0, 0);

        bytes = size_of(file);
        OK(sdb__io_queue_new(copy.io, 1, &copy.queue));
        OK(sdb__io_run(copy.queue, &op, 1));
        sdb__io_queue_free(copy.queue);
        sdb__io_close(file);
    } else {
        ck_assert_int_eq(status, SDB_NOTFOUND);
    }
    sdb__io_free(copy.io);
    return status == SDB_OK ? (long)bytes : -1;
}

#endif
