/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posix.c
 *
 * Idea: the plain backend. An operation is a system call in the caller's thread: submit has done it
 * all, and waiting only hands it back.
 * Invariants: I1 an interrupted call is called again, and a short one is carried on from where it
 * stopped. I2 a failed sync is reported and never repeated: the kernel has then forgotten which
 * pages were dirty, and a second one would say yes to a loss ("Can Applications Recover from fsync
 * Failures?", Rebello et al., ATC 2020).
 * Costs: one system call an operation; links cost nothing.
 * Not here: names, locks and sizes (posix_files.c, which io_uring uses too).
 */
#include "engine/io/backend.h"
#include "engine/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Reads or writes what is missing of the operation; returns an errno, or 0. */
static int transfer(struct io_op *op, int fd)
{
    char *memory = op->memory;

    while (op->done < op->size) {
        off_t offset = (off_t)(op->offset + op->done);
        ssize_t moved;

        if (op->kind == IO_READ)
            moved = pread(fd, memory + op->done, op->size - op->done, offset);
        else
            moved = pwrite(fd, memory + op->done, op->size - op->done, offset);
        if (moved > 0) {
            op->done += (size_t)moved;
            if (sdb__direct_is_cut(op)) return op->kind == IO_READ ? 0 : EIO;
        } else if (moved == 0) {
            /* The end of the file; or nothing was written, without a reason. */
            return op->kind == IO_READ ? 0 : EIO;
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

static int allocate(const struct io_op *op, int fd, int mode)
{
    int result;

    do {
        result = fallocate(fd, mode, (off_t)op->offset, (off_t)op->size);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : errno;
}

static int sync_data(int fd)
{
    int result;

    do {
        result = fdatasync(fd);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : errno;
}

void sdb__posix_run(struct io_op *op)
{
    int fd = ((struct posix_file *)op->file)->fd;
    int error = EINVAL;

    switch (op->kind) {
    case IO_READ:
    case IO_WRITE: error = transfer(op, fd); break;
    case IO_SYNC: error = sync_data(fd); break;
    case IO_ALLOCATE: error = allocate(op, fd, 0); break;
    case IO_PUNCH: error = allocate(op, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE); break;
    }
    sdb__io_end(op, error);
}

void sdb__posix_free(struct io *io)
{
    sdb__mem_free(io->allocator, io);
}

static const struct io_backend posix_backend = {
    .name = "posix",
    .free = sdb__posix_free,
    .open = sdb__posix_open,
    .close = sdb__posix_close,
    .size = sdb__posix_size,
    .truncate = sdb__posix_truncate,
    .lock = sdb__posix_lock,
    .map = sdb__posix_map,
    .remove = sdb__posix_remove,
    .rename = sdb__posix_rename,
    .folder_make = sdb__posix_folder_make,
    .folder_remove = sdb__posix_folder_remove,
    .folder_list = sdb__posix_folder_list,
    .folder_sync = sdb__posix_folder_sync,
    .run = sdb__posix_run,
};

sdb_status sdb__posix_new(const sdb_allocator *allocator, struct io **out_io)
{
    struct io *io = sdb__mem_zalloc(allocator, 1, sizeof *io);

    if (!io) return SDB_NOMEM;
    io->backend = &posix_backend;
    io->allocator = allocator;
    *out_io = io;
    return SDB_OK;
}
