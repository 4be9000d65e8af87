/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backend.h: what a backend of the I/O floor supplies, and what io.c does for it. Internal to the
 * floor.
 *
 * A backend embeds struct io, io_file and io_queue as the *first* member of its own structures,
 * and fills in one table. The common parts (paths, flags, counters, the list of finished
 * operations) are kept by io.c.
 */
#ifndef SDB_ENGINE_IO_BACKEND_H
#define SDB_ENGINE_IO_BACKEND_H

#include "engine/io/io.h"

#include <stdatomic.h>

/* Paths and names longer than these are refused with SDB_INVALID. */
enum { IO_PATH_MAX = 4096, IO_NAME_MAX = 255 };

enum io_counter { COUNT_READS, COUNT_READ_BYTES, COUNT_WRITES, COUNT_WRITTEN_BYTES, COUNT_SYNCS };
enum { IO_COUNTERS = COUNT_SYNCS + 1 };

/*
 * The table of a backend. Functions that answer a status record a sentence when they fail. Paths
 * are not empty and shorter than IO_PATH_MAX.
 */
struct io_backend {
    const char *name;
    void (*free)(struct io *io);
    sdb_status (*open)(struct io *io, const char *path, unsigned flags, struct io_file **out_file);
    void (*close)(struct io_file *file); /* frees the structure; io.c frees the path */
    sdb_status (*size)(struct io_file *file, uint64_t *out_bytes);
    sdb_status (*truncate)(struct io_file *file, uint64_t bytes);
    sdb_status (*lock)(struct io_file *file, enum io_lock lock, int64_t *out_holder);
    sdb_status (*map)(struct io_file *file, uint64_t offset, size_t size,
                      uint8_t **out_memory); /* NULL: cannot */
    sdb_status (*remove)(struct io *io, const char *path);
    sdb_status (*rename)(struct io *io, const char *from, const char *to);
    sdb_status (*folder_make)(struct io *io, const char *path);
    sdb_status (*folder_remove)(struct io *io, const char *path);
    sdb_status (*folder_list)(struct io *io, const char *path, io_name_fn fn, void *context);
    sdb_status (*folder_sync)(struct io *io, const char *path);

    /* One judged operation (see sdb__io_judge), now, in this thread: sets status, error, done. */
    void (*run)(struct io_op *op);

    /* NULL in all of these: operations run inside submit, one after the other. */
    sdb_status (*queue_new)(struct io *io, unsigned depth, struct io_queue **out_queue);
    void (*queue_free)(struct io_queue *queue);
    void (*submit)(struct io_queue *queue, struct io_op *const *ops, size_t count);
    /* Moves what has finished to the done list, and waits until that holds `least` or all. */
    void (*gather)(struct io_queue *queue, size_t least);
};

struct io {
    const struct io_backend *backend;
    const sdb_allocator *allocator;
    char note[160];
    _Atomic(const char *) late_note; /* static storage; for what is found out after sdb__io_new */
    _Atomic uint64_t counters[IO_COUNTERS];
};

struct io_file {
    struct io *io;
    char *path; /* owned */
    unsigned flags;
};

struct io_queue {
    struct io *io;
    unsigned depth;
    size_t done_count;
    struct io_op *done_head; /* finished, not yet collected, oldest first */
    struct io_op **done_tail;
};

/* The status of an operation that failed with this errno: SDB_FULL, SDB_INVALID or SDB_IO. */
sdb_status sdb__io_errno_status(const struct io_op *op, int error);

/* Ends an operation: SDB_OK for error 0, otherwise by sdb__io_errno_status. */
void sdb__io_end(struct io_op *op, int error);

/* Ends an operation whose predecessor has failed: SDB_CANCELLED. */
void sdb__io_cancel(struct io_op *op);

/*
 * Sets an operation to its beginning, and ends it where there is nothing to do: no bytes, a range
 * that no file can have (SDB_IO, EINVAL), one not in whole blocks for direct I/O (SDB_INVALID), a
 * change to a file that is open for reading (SDB_IO,
 * EBADF). True if the backend has to run it.
 */
bool sdb__io_judge(struct io_op *op);

/* Counts an ended operation; sdb__io_finish does it too. */
void sdb__io_count(const struct io_op *op);

/* ---- direct.c ---- */

/* False for an operation on a direct file whose offset, size or memory is not in whole blocks. */
bool sdb__direct_is_right(const struct io_op *op);
/*
 * True if a direct operation stopped inside a block: there the file ends, and carrying on from
 * there is not possible.
 */
bool sdb__direct_is_cut(const struct io_op *op);
/* Runs one operation now, through a buffer if need be. */
void sdb__direct_run(struct io_op *op);

/* Appends an ended operation to the done list and counts it. */
void sdb__io_finish(struct io_queue *queue, struct io_op *op);

/* Prepares the common part of a queue. */
void sdb__io_queue_init(struct io_queue *queue, struct io *io, unsigned depth);

/* ---- posix, whose files io_uring shares ---- */

/* A file of the operating system. */
struct posix_file {
    struct io_file base;
    int fd;
};

sdb_status sdb__posix_new(const sdb_allocator *allocator, struct io **out_io);
void sdb__posix_run(struct io_op *op);

void sdb__posix_free(struct io *io);
sdb_status sdb__posix_open(struct io *io, const char *path, unsigned flags,
                           struct io_file **out_file);
void sdb__posix_close(struct io_file *file);
sdb_status sdb__posix_size(struct io_file *file, uint64_t *out_bytes);
sdb_status sdb__posix_truncate(struct io_file *file, uint64_t bytes);
sdb_status sdb__posix_lock(struct io_file *file, enum io_lock lock, int64_t *out_holder);
sdb_status sdb__posix_map(struct io_file *file, uint64_t offset, size_t size,
                          uint8_t **out_memory);
sdb_status sdb__posix_remove(struct io *io, const char *path);
sdb_status sdb__posix_rename(struct io *io, const char *from, const char *to);
sdb_status sdb__posix_folder_make(struct io *io, const char *path);
sdb_status sdb__posix_folder_remove(struct io *io, const char *path);
sdb_status sdb__posix_folder_list(struct io *io, const char *path, io_name_fn fn, void *context);
sdb_status sdb__posix_folder_sync(struct io *io, const char *path);

/* ---- io_uring ---- */

/*
 * A backend on io_uring. SDB_INVALID with a sentence where the kernel or the build does not have
 * it; with `fall_back` a queue whose ring the kernel refuses later works by plain system calls
 * instead.
 */
sdb_status sdb__uring_new(const sdb_allocator *allocator, bool fall_back, struct io **out_io);

#endif
