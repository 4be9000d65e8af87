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

sdb_status sdb__posix_map(struct io_file *file, size_t size, uint8_t **out_memory)
{
    const struct posix_file *posix = (const struct posix_file *)(const void *)file;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, posix->fd, 0);

    if (memory == MAP_FAILED)
        return FAIL(errno == ENOMEM ? SDB_NOMEM : SDB_INVALID, "%s cannot be mapped: %s",
                    file->path, strerror(errno));
    *out_memory = memory;
    return SDB_OK;
}

sdb_status sdb__io_map(struct io_file *file, size_t size, uint8_t **out_memory)
{
    if (!file->io->backend->map)
        return FAIL(SDB_INVALID, "files of the backend %s are no memory", file->io->backend->name);
    return file->io->backend->map(file, size, out_memory);
}

sdb_status sdb__io_map_fetch(struct io_file *file, uint8_t *memory, size_t from, size_t size)
{
    int error;

#ifdef MADV_POPULATE_WRITE
    if (madvise(memory + from, size, MADV_POPULATE_WRITE) == 0) return SDB_OK;
    error = errno;
#else
    error = EINVAL;
#endif
    if (error == ENOMEM || error == EAGAIN)
        return FAIL(SDB_NOMEM, "%s: no memory for its pages", file->path);
    return FAIL(error == EINVAL ? SDB_INVALID : SDB_IO, "%s: pages at byte %zu cannot be had: %s",
                file->path, from, strerror(error));
}

void sdb__io_unmap(uint8_t *memory, size_t size)
{
    if (memory) (void)munmap(memory, size);
}
