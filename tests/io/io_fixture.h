/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io_fixture.h: what the tests of the I/O floor have in common: the four backends by number, a
 * folder to work in, and an allocator that counts what is out and can refuse.
 */
#ifndef SDB_TESTS_IO_FIXTURE_H
#define SDB_TESTS_IO_FIXTURE_H

#include "engine/io/io.h"
#include "engine/io/simulated.h"

#include <check.h>
#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OK(call) ck_assert_msg((call) == SDB_OK, "%s: %s", #call, sdb_errmsg())
#define IS(call, wanted)                                                                           \
    do {                                                                                           \
        sdb_status is_ = (call);                                                                   \
        ck_assert_msg(is_ == (wanted), "%s: %s instead of %s (%s)", #call, sdb_status_name(is_),   \
                      sdb_status_name(wanted), sdb_errmsg());                                      \
    } while (0)

/* ---- an allocator that counts; `left` below 0 never refuses ---- */

struct ledger {
    _Atomic long out, asked, left;
};

static inline void *ledger_resize(void *context, void *memory, size_t size)
{
    struct ledger *ledger = context;
    void *result;

    if (size == 0) {
        if (memory) atomic_fetch_sub(&ledger->out, 1);
        free(memory);
        return NULL;
    }
    atomic_fetch_add(&ledger->asked, 1);
    if (atomic_load(&ledger->left) == 0) return NULL;
    if (atomic_load(&ledger->left) > 0) atomic_fetch_sub(&ledger->left, 1);
    result = realloc(memory, size);
    if (result && !memory) atomic_fetch_add(&ledger->out, 1);
    return result;
}

/* ---- one backend with a folder of its own ---- */

enum { URING, POSIX, MEMORY, SIMULATED, BACKENDS };

struct fixture {
    struct ledger ledger;
    sdb_allocator allocator;
    struct io *io;
    struct io_queue *queue;
    char folder[128];
};

static inline bool is_real(int backend)
{
    return backend == URING || backend == POSIX;
}

/* Makes the backend; false where this machine has no io_uring. */
static inline bool fixture_io(struct fixture *f, int backend)
{
    sdb_status status;

    f->ledger = (struct ledger){.left = -1};
    f->allocator = (sdb_allocator){ledger_resize, &f->ledger};
    switch (backend) {
    case URING:
        status = sdb__io_new(SDB_BACKEND_URING, &f->allocator, &f->io);
        if (status == SDB_INVALID) return false;
        break;
    case POSIX: status = sdb__io_new(SDB_BACKEND_POSIX, &f->allocator, &f->io); break;
    case MEMORY: status = sdb__io_new_memory(&f->allocator, &f->io); break;
    default: status = sdb__sim_new(&f->allocator, 7, &f->io); break;
    }
    ck_assert_msg(status == SDB_OK, "%s", sdb_errmsg());
    return true;
}

static inline void fixture_folder(struct fixture *f, int backend)
{
    const char *base = getenv("TMPDIR");

    if (is_real(backend)) {
        (void)snprintf(f->folder, sizeof f->folder, "%s/sdb-io-XXXXXX", base ? base : "/tmp");
        ck_assert_ptr_nonnull(mkdtemp(f->folder));
    } else {
        (void)snprintf(f->folder, sizeof f->folder, "disk");
        OK(sdb__io_folder_make(f->io, f->folder));
    }
}

static inline bool fixture_begin(struct fixture *f, int backend, unsigned depth)
{
    if (!fixture_io(f, backend)) return false;
    fixture_folder(f, backend);
    OK(sdb__io_queue_new(f->io, depth, &f->queue));
    return true;
}

static inline int remove_one(const char *path, const struct stat *about, int type,
                             struct FTW *where)
{
    (void)about;
    (void)type;
    (void)where;
    return remove(path);
}

static inline void fixture_end(struct fixture *f, int backend)
{
    sdb__io_queue_free(f->queue);
    sdb__io_free(f->io);
    if (is_real(backend)) ck_assert_int_eq(nftw(f->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    ck_assert_int_eq(f->ledger.out, 0);
}

/* The path of a name in the fixture's folder; valid until the fourth next call. */
static inline const char *in(const struct fixture *f, const char *name)
{
    static _Thread_local char paths[4][512];
    static _Thread_local unsigned next;
    char *path = paths[next++ % 4];

    (void)snprintf(path, sizeof paths[0], "%s/%s", f->folder, name);
    return path;
}

static inline struct io_file *open_file(const struct fixture *f, const char *name, unsigned flags)
{
    struct io_file *file = NULL;

    OK(sdb__io_open(f->io, in(f, name), flags, &file));
    return file;
}

/* A new file in the fixture's folder, open for writing. */
static inline struct io_file *make_file(const struct fixture *f, const char *name)
{
    return open_file(f, name, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_NEW);
}

static inline uint64_t size_of(struct io_file *file)
{
    uint64_t size = UINT64_MAX;

    OK(sdb__io_size(file, &size));
    return size;
}

/* Asserts that a range holds one byte only. */
static inline void assert_filled(const void *memory, int byte, size_t size)
{
    const unsigned char *at = memory;
    size_t i = 0;

    while (i < size && at[i] == byte) i++; /* an assertion for each would be slow */
    ck_assert_msg(i == size, "byte %zu is %d and not %d", i, i < size ? at[i] : 0, byte);
}

static inline struct io_op op_of(struct io_file *file, enum io_kind kind, void *memory, size_t size,
                                 uint64_t offset, unsigned flags)
{
    return (struct io_op){.file = file,
                          .memory = memory,
                          .offset = offset,
                          .size = size,
                          .kind = kind,
                          .flags = flags};
}

#endif
