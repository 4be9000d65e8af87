/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posix_map.c: files of the operating system as memory.
 *
 * Idea: storing into a shared mapping hands bytes to the kernel without a system call: they outlive
 * the process, as written ones do. The log uses this for commits that do not wait for the disk.
 * Invariants: I1 before a range is stored to it has been fetched for writing with an answer, so a
 *   disk that cannot deliver is an error here and not a signal there.
 * Costs: one fault a page, taken in batches. Not here: files of other backends.
 * What remains: a file that somebody else cuts short while it is mapped, or a file system that is
 *   shut down by force, still ends in SIGBUS.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/base/status.h"
#include "engine/io/backend.h"

/* Fetches pages of a map for writing. */
static sdb_status fetch(const struct io_file *file, void *memory, size_t size)
{
    int error = EINVAL;

#ifdef MADV_POPULATE_WRITE
    if (madvise(memory, size, MADV_POPULATE_WRITE) == 0) return SDB_OK;
    error = errno;
#endif
    if (error == ENOMEM || error == EAGAIN)
        return FAIL(SDB_NOMEM, "%s: no memory for its pages", file->path);
    return FAIL(error == EINVAL ? SDB_INVALID : SDB_IO, "%s: its pages cannot be had: %s",
                file->path, strerror(error));
}

sdb_status sdb__posix_map(struct io_file *file, uint64_t offset, size_t size,
                          uint8_t **out_memory)
{
    const struct posix_file *posix = (const struct posix_file *)(const void *)file;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, posix->fd, (off_t)offset);
    sdb_status status;

    if (memory == MAP_FAILED)
        return FAIL(errno == ENOMEM ? SDB_NOMEM : SDB_INVALID, "%s cannot be mapped: %s",
                    file->path, strerror(errno));
    status = fetch(file, memory, size);
    if (status != SDB_OK) {
        (void)munmap(memory, size);
        return status;
    }
    *out_memory = memory;
    return SDB_OK;
}

sdb_status sdb__io_map(struct io_file *file, uint64_t offset, size_t size, uint8_t **out_memory)
{
    if (!file->io->backend->map)
        return FAIL(SDB_INVALID, "files of the backend %s are no memory", file->io->backend->name);
    return file->io->backend->map(file, offset, size, out_memory);
}

void sdb__io_unmap(uint8_t *memory, size_t size)
{
    if (memory) (void)munmap(memory, size);
}
