/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posix_files.c
 *
 * Idea: names, sizes and locks of the operating system's files, for the backends posix and
 * io_uring.
 *
 * Two kinds of lock keep two writers apart and still name the one that was there first:
 *
 *     bytes 0 … TAG-1   an open-file-description lock (fcntl(2), F_OFD_SETLK). It belongs to the
 *                       open file, so it excludes a second handle of the same process, and
 *                       closing some other descriptor of the file does not drop it. But the
 *                       kernel reports no owner for it (l_pid is -1).
 *     byte TAG          a classic record lock (F_SETLK). It belongs to the process, and F_GETLK
 *                       tells its process id. It excludes nobody; only the message depends on it.
 *
 * They must not overlap, since the two kinds conflict with each other even inside one process. A
 * process never conflicts with its own tag, so that case is recognised by the "lock:" lines that
 * the kernel shows in /proc/self/fdinfo. The tag is lost when its process closes any descriptor of
 * the file (that is what classic locks do); then the holder is reported as unknown, and the
 * exclusion still stands.
 *
 * A process that has died loses its tag at once, but its open files, and so the lock, last until
 * the kernel has ended what its io_uring had in flight. So a lock without a known holder is waited
 * for a little.
 *
 * Invariants: I1 a file that was opened is a regular file. I2 descriptors are closed on exec.
 * Costs: a few system calls each; none of this is on a hot path.
 * Not here: reading and writing (posix.c, uring.c).
 */
#include "engine/io/backend.h"
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/base/status.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { LOCK_PAUSE_MS = 5, LOCK_PATIENCE_MS = 3000 };

#define LOCK_TAG ((off_t)1 << 62) /* beyond the data of any file */

/* ---- failing ---- */

/* The status and the advice for an errno of a call on a name. */
static sdb_status judge_name(int error, const char **out_advice)
{
    switch (error) {
    case ENOENT: *out_advice = "check the path, and that its folder is there"; return SDB_NOTFOUND;
    case EEXIST: *out_advice = "choose another name, or remove it first"; return SDB_EXISTS;
    case EACCES:
    case EPERM:
        *out_advice = "change the permissions of the file or its folder, or run as another user";
        return SDB_READONLY;
    case EROFS:
        *out_advice = "open it for reading only, or mount the file system for writing";
        return SDB_READONLY;
    case ENOSPC:
    case EDQUOT: *out_advice = "free some space on that disk, or raise the quota"; return SDB_FULL;
    case EFBIG:
        *out_advice = "the file system or a limit of the process does not allow that size";
        return SDB_FULL;
    case EISDIR:
    case ENOTDIR:
    case ENXIO:
    case ENODEV:
    case ELOOP:
    case ENAMETOOLONG:
    case ENOTEMPTY:
    case EINVAL:
    case EXDEV: *out_advice = "give another path"; return SDB_INVALID;
    case EBUSY:
    case ETXTBSY: *out_advice = "close the program that uses it"; return SDB_BUSY;
    case ENOMEM: *out_advice = "the system is short of memory"; return SDB_NOMEM;
    case EMFILE:
    case ENFILE: *out_advice = "close some files, or raise the limit (ulimit -n)"; return SDB_IO;
    default: *out_advice = "check the disk and the kernel's log"; return SDB_IO;
    }
}

static sdb_status fail_name(const char *verb, const char *path, int error)
{
    const char *advice;
    sdb_status status = judge_name(error, &advice);

    return FAIL(status, "cannot %s %s: %s; %s", verb, path, strerror(error), advice);
}

/* ---- files ---- */

static int open_retrying(const char *path, int flags)
{
    int fd;

    do {
        fd = open(path, flags | O_CLOEXEC | O_NOCTTY, 0666);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

/*
 * Turns the kernel's cache off for a file. Where the kernel tells what direct I/O wants there, that
 * must not be more than our blocks.
 */
static sdb_status make_direct(const char *path, int fd)
{
#ifdef STATX_DIOALIGN
    struct statx about;

    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &about) == 0 &&
        (about.stx_mask & STATX_DIOALIGN) &&
        (about.stx_dio_offset_align > IO_BLOCK || about.stx_dio_mem_align > IO_BLOCK))
        return FAIL(SDB_INVALID, "cannot open %s for direct I/O: its disk wants blocks of %u "
                    "bytes, and they have %d here; open it without direct I/O", path,
                    about.stx_dio_offset_align > about.stx_dio_mem_align
                        ? about.stx_dio_offset_align : about.stx_dio_mem_align, IO_BLOCK);
#endif
    if (fcntl(fd, F_SETFL, O_DIRECT) != 0)
        return FAIL(SDB_INVALID, "cannot open %s for direct I/O: %s; its file system cannot do it: "
                    "open it without direct I/O", path, strerror(errno));
    return SDB_OK;
}

/*
 * Opened with O_NONBLOCK, so that a FIFO cannot hang us; regular files do not need it afterwards
 * (and io_uring would answer EAGAIN for them).
 */
static sdb_status open_regular(const char *path, unsigned flags, int *out_fd)
{
    int how = O_NONBLOCK | ((flags & IO_OPEN_WRITE) ? O_RDWR : O_RDONLY);
    struct stat about;
    int fd, error;

    if (flags & IO_OPEN_CREATE) how |= O_CREAT;
    if ((flags & IO_OPEN_CREATE) && (flags & IO_OPEN_NEW)) how |= O_EXCL;
    fd = open_retrying(path, how);
    if (fd < 0) return fail_name("open", path, errno);
    if (fstat(fd, &about) != 0) {
        error = errno;
        (void)close(fd);
        return fail_name("examine", path, error);
    }
    if (!S_ISREG(about.st_mode)) {
        (void)close(fd);
        return FAIL(SDB_INVALID,
                    "cannot open %s: it is %s and not a regular file; give another path", path,
                    S_ISDIR(about.st_mode)    ? "a folder"
                    : S_ISFIFO(about.st_mode) ? "a pipe"
                                              : "a device");
    }
    if (fcntl(fd, F_SETFL, 0) != 0) {
        error = errno;
        (void)close(fd);
        return fail_name("open", path, error);
    }
    if (flags & IO_OPEN_DIRECT) {
        sdb_status status = make_direct(path, fd);

        if (status != SDB_OK) {
            (void)close(fd);
            return status;
        }
    }
    *out_fd = fd;
    return SDB_OK;
}

sdb_status sdb__posix_open(struct io *io, const char *path, unsigned flags,
                           struct io_file **out_file)
{
    struct posix_file *file = sdb__mem_zalloc(io->allocator, 1, sizeof *file);
    sdb_status status;

    if (!file) return SDB_NOMEM;
    status = open_regular(path, flags, &file->fd);
    if (status != SDB_OK) {
        sdb__mem_free(io->allocator, file);
        return status;
    }
    *out_file = &file->base;
    return SDB_OK;
}

void sdb__posix_close(struct io_file *base)
{
    struct posix_file *file = (struct posix_file *)base;

    (void)close(file->fd); /* drops its locks; what was not synced was not promised either */
    sdb__mem_free(base->io->allocator, file);
}

sdb_status sdb__posix_size(struct io_file *base, uint64_t *out_bytes)
{
    struct posix_file *file = (struct posix_file *)base;
    struct stat about;

    if (fstat(file->fd, &about) != 0) return fail_name("examine", base->path, errno);
    *out_bytes = (uint64_t)about.st_size;
    return SDB_OK;
}

sdb_status sdb__posix_truncate(struct io_file *base, uint64_t bytes)
{
    struct posix_file *file = (struct posix_file *)base;
    int result;

    do {
        result = ftruncate(file->fd, (off_t)bytes);
    } while (result != 0 && errno == EINTR);
    /* The size was judged before, so EINVAL means that it is too large for this file system. */
    if (result != 0)
        return fail_name("set the size of", base->path, errno == EINVAL ? EFBIG : errno);
    return SDB_OK;
}

/* ---- locks ---- */

/* True if a line of /proc/self/fdinfo describes an OFD lock on this inode. */
static bool is_lock_line(const char *line, const struct stat *about)
{
    unsigned int major_number, minor_number;
    uint64_t inode;

    /* lock:   1: OFDLCK ADVISORY  WRITE -1 fe:00:1234 0 4611686018427387903 */
    if (sscanf(line, "lock: %*d: OFDLCK %*s %*s %*d %x:%x:%" SCNu64, &major_number, &minor_number,
               &inode) != 3)
        return false;
    return inode == (uint64_t)about->st_ino && major_number == major(about->st_dev) &&
           minor_number == minor(about->st_dev);
}

/* True if descriptor `name` of this process holds an OFD lock on the inode. */
static bool holds_lock(const char *name, const struct stat *about)
{
    char path[64], text[1024], *line, *rest = text;
    ssize_t size;
    int fd;

    if (snprintf(path, sizeof path, "/proc/self/fdinfo/%s", name) >= (int)sizeof path) return false;
    fd = open_retrying(path, O_RDONLY);
    if (fd < 0) return false;
    size = read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (size <= 0) return false;
    text[size] = 0;
    while ((line = strsep(&rest, "\n"))) {
        if (is_lock_line(line, about)) return true;
    }
    return false;
}

/* True if some handle of this process holds the lock on the file. */
static bool is_ours(int fd)
{
    struct stat about;
    struct dirent *entry;
    DIR *folder;
    bool found = false;

    if (fstat(fd, &about) != 0) return false;
    folder = opendir("/proc/self/fdinfo");
    if (!folder) return false;
    while (!found && (entry = readdir(folder))) found = holds_lock(entry->d_name, &about);
    (void)closedir(folder);
    return found;
}

/* The process that holds the lock, or 0. */
static int64_t find_holder(int fd)
{
    struct flock tag = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCK_TAG, .l_len = 1};

    if (fcntl(fd, F_GETLK, &tag) == 0 && tag.l_type != F_UNLCK && tag.l_pid > 0)
        return (int64_t)tag.l_pid;
    return is_ours(fd) ? (int64_t)getpid() : 0;
}

static sdb_status fail_busy(const char *path, int64_t holder)
{
    if (holder == (int64_t)getpid())
        return FAIL(SDB_BUSY, "%s is already open in this process (%lld); close it there first",
                    path, (long long)holder);
    if (holder)
        return FAIL(SDB_BUSY, "%s is in use by process %lld; close it there first", path,
                    (long long)holder);
    return FAIL(SDB_BUSY, "%s is in use by another process; close it there first", path);
}

sdb_status sdb__posix_lock(struct io_file *base, enum io_lock lock, int64_t *out_holder)
{
    int fd = ((struct posix_file *)base)->fd;
    short type = lock == IO_LOCK_EXCLUSIVE ? F_WRLCK : F_RDLCK;
    struct flock data = {.l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = LOCK_TAG};
    struct flock tag = {.l_type = type, .l_whence = SEEK_SET, .l_start = LOCK_TAG, .l_len = 1};

    for (unsigned waited_ms = 0; fcntl(fd, F_OFD_SETLK, &data) != 0; waited_ms += LOCK_PAUSE_MS) {
        if (errno != EAGAIN && errno != EACCES) return fail_name("lock", base->path, errno);
        *out_holder = find_holder(fd);
        if (*out_holder || waited_ms >= LOCK_PATIENCE_MS)
            return fail_busy(base->path, *out_holder);
        sdb__clock_sleep_ns(LOCK_PAUSE_MS * UINT64_C(1000000));
    }
    (void)fcntl(fd, F_SETLK, &tag); /* only for the message of others */
    return SDB_OK;
}

/* ---- names ---- */

sdb_status sdb__posix_remove(struct io *io, const char *path)
{
    (void)io;
    if (unlink(path) != 0) return fail_name("remove", path, errno);
    return SDB_OK;
}

sdb_status sdb__posix_rename(struct io *io, const char *from, const char *to)
{
    (void)io;
    if (rename(from, to) != 0) {
        int error = errno;
        const char *advice;
        sdb_status status = judge_name(error, &advice);

        return FAIL(status, "cannot rename %s to %s: %s; %s", from, to, strerror(error), advice);
    }
    return SDB_OK;
}

sdb_status sdb__posix_folder_make(struct io *io, const char *path)
{
    (void)io;
    if (mkdir(path, 0777) != 0) return fail_name("make the folder", path, errno);
    return SDB_OK;
}

sdb_status sdb__posix_folder_remove(struct io *io, const char *path)
{
    (void)io;
    if (rmdir(path) != 0)
        return fail_name("remove the folder", path, errno == EEXIST ? ENOTEMPTY : errno);
    return SDB_OK;
}

sdb_status sdb__posix_folder_list(struct io *io, const char *path, io_name_fn fn, void *context)
{
    DIR *folder = opendir(path);
    sdb_status status = SDB_OK;
    int error = 0;

    (void)io;
    if (!folder) return fail_name("list the folder", path, errno);
    while (status == SDB_OK) {
        struct dirent *entry;

        errno = 0;
        entry = readdir(folder);
        if (!entry) {
            error = errno;
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        status = fn(context, entry->d_name);
    }
    (void)closedir(folder);
    return error ? fail_name("list the folder", path, error) : status;
}

sdb_status sdb__posix_folder_sync(struct io *io, const char *path)
{
    int fd = open_retrying(path, O_RDONLY | O_DIRECTORY), result, error;

    (void)io;
    if (fd < 0) return fail_name("open the folder", path, errno);
    do {
        result = fsync(fd);
    } while (result != 0 && errno == EINTR);
    error = result != 0 ? errno : 0;
    (void)close(fd);
    /* EINVAL: some file systems (of networks) have no sync for folders; they keep names anyway. */
    if (error && error != EINVAL) return fail_name("sync the folder", path, error);
    return SDB_OK;
}
