/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io.c
 *
 * Idea: the front of the I/O floor. Calls go through one table of functions per backend; what is
 * the same for all of them (judging an operation, links, the list of finished operations,
 * counters, sentences) stands here once.
 * Invariants: I1 an operation that was submitted comes back exactly once. I2 a linked operation
 * never starts before the one in front of it has succeeded. I3 an operation that is waiting to be
 * collected is in its queue's done list, through next_, and nowhere else: finishing needs no
 * memory.
 * Costs: one indirect call and one relaxed atomic addition an operation.
 * Not here: anything that knows how bytes reach a disk.
 */
#include "engine/io/backend.h"
#include "engine/base/mem.h"
#include "engine/base/status.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#ifndef HAVE_LIBURING /* otherwise uring.c has it */
sdb_status sdb__uring_new(const sdb_allocator *allocator, bool fall_back, struct io **out_io)
{
    (void)allocator;
    (void)out_io;
    return FAIL(SDB_INVALID, "this library was built without io_uring%s",
                fall_back ? "" : "; choose the posix backend");
}
#endif

enum { DEPTH_MOST = 4096, RUN_WINDOW = 128 };

/* ---- backends ---- */

sdb_status sdb__io_new(sdb_backend backend, const sdb_allocator *allocator, struct io **out_io)
{
    struct io *io = NULL;
    sdb_status status;

    if (!allocator) allocator = &sdb__mem_default;
    switch (backend) {
    case SDB_BACKEND_POSIX: return sdb__posix_new(allocator, out_io);
    case SDB_BACKEND_URING: return sdb__uring_new(allocator, false, out_io);
    case SDB_BACKEND_AUTO: break;
    default: return FAIL(SDB_INVALID, "there is no I/O backend number %d", (int)backend);
    }
    status = sdb__uring_new(allocator, true, out_io);
    if (status != SDB_INVALID) return status;
    TRY(sdb__posix_new(allocator, &io));
    (void)snprintf(io->note, sizeof io->note, "%.130s; using posix", sdb_errmsg());
    *out_io = io;
    return SDB_OK;
}

void sdb__io_free(struct io *io)
{
    if (io) io->backend->free(io);
}

const char *sdb__io_name(const struct io *io)
{
    return io->backend->name;
}

const char *sdb__io_note(const struct io *io)
{
    const char *late = atomic_load_explicit(&io->late_note, memory_order_relaxed);

    return late ? late : io->note;
}

void sdb__io_stats(const struct io *io, struct io_stats *out_stats)
{
    uint64_t n[IO_COUNTERS];

    for (int i = 0; i < IO_COUNTERS; i++)
        n[i] = atomic_load_explicit(&io->counters[i], memory_order_relaxed);
    *out_stats = (struct io_stats){n[COUNT_READS], n[COUNT_READ_BYTES], n[COUNT_WRITES],
                                   n[COUNT_WRITTEN_BYTES], n[COUNT_SYNCS]};
}

/* ---- names and files ---- */

static sdb_status check_path(const char *path)
{
    size_t length = strlen(path);

    if (length == 0) return FAIL(SDB_INVALID, "the path is empty; give the name of a file");
    if (length >= IO_PATH_MAX)
        return FAIL(SDB_INVALID, "the path %.40s… has %zu bytes; at most %d are possible", path,
                    length, IO_PATH_MAX - 1);
    return SDB_OK;
}

sdb_status sdb__io_open(struct io *io, const char *path, unsigned flags, struct io_file **out_file)
{
    struct io_file *file = NULL;
    sdb_status status;
    char *copy;

    TRY(check_path(path));
    copy = sdb__mem_strdup(io->allocator, path);
    if (!copy) return SDB_NOMEM;
    status = io->backend->open(io, path, flags, &file);
    if (status != SDB_OK) {
        sdb__mem_free(io->allocator, copy);
        return status;
    }
    file->io = io;
    file->path = copy;
    file->flags = flags;
    *out_file = file;
    return SDB_OK;
}

void sdb__io_close(struct io_file *file)
{
    struct io *io;
    char *path;

    if (!file) return;
    io = file->io;
    path = file->path;
    io->backend->close(file);
    sdb__mem_free(io->allocator, path);
}

sdb_status sdb__io_size(struct io_file *file, uint64_t *out_bytes)
{
    return file->io->backend->size(file, out_bytes);
}

sdb_status sdb__io_truncate(struct io_file *file, uint64_t bytes)
{
    if (!(file->flags & IO_OPEN_WRITE))
        return FAIL(SDB_READONLY, "cannot set the size of %s: it is open for reading only",
                    file->path);
    if (bytes > INT64_MAX)
        return FAIL(SDB_FULL, "cannot set the size of %s to %llu bytes: no file can be that large",
                    file->path, (unsigned long long)bytes);
    return file->io->backend->truncate(file, bytes);
}

sdb_status sdb__io_lock(struct io_file *file, enum io_lock lock, int64_t *out_holder)
{
    if (lock == IO_LOCK_EXCLUSIVE && !(file->flags & IO_OPEN_WRITE))
        return FAIL(SDB_READONLY, "cannot lock %s for writing: it is open for reading only",
                    file->path);
    return file->io->backend->lock(file, lock, out_holder);
}

const char *sdb__io_path(const struct io_file *file)
{
    return file->path;
}

sdb_status sdb__io_remove(struct io *io, const char *path)
{
    TRY(check_path(path));
    return io->backend->remove(io, path);
}

sdb_status sdb__io_rename(struct io *io, const char *from, const char *to)
{
    TRY(check_path(from));
    TRY(check_path(to));
    return io->backend->rename(io, from, to);
}

sdb_status sdb__io_folder_make(struct io *io, const char *path)
{
    TRY(check_path(path));
    return io->backend->folder_make(io, path);
}

sdb_status sdb__io_folder_remove(struct io *io, const char *path)
{
    TRY(check_path(path));
    return io->backend->folder_remove(io, path);
}

sdb_status sdb__io_folder_list(struct io *io, const char *path, io_name_fn fn, void *context)
{
    TRY(check_path(path));
    return io->backend->folder_list(io, path, fn, context);
}

sdb_status sdb__io_folder_sync(struct io *io, const char *path)
{
    TRY(check_path(path));
    return io->backend->folder_sync(io, path);
}

sdb_status sdb__io_parent_sync(struct io *io, const char *path)
{
    char parent[IO_PATH_MAX];
    size_t length;

    TRY(check_path(path));
    length = strlen(path);
    while (length > 1 && path[length - 1] == '/') length--;
    while (length > 0 && path[length - 1] != '/') length--;
    while (length > 1 && path[length - 1] == '/') length--;
    if (length == 0) return io->backend->folder_sync(io, ".");
    memcpy(parent, path, length);
    parent[length] = 0;
    return io->backend->folder_sync(io, parent);
}

/* ---- operations ---- */

sdb_status sdb__io_errno_status(const struct io_op *op, int error)
{
    if (error == ENOSPC || error == EDQUOT || error == EFBIG) return SDB_FULL;
    if ((op->kind == IO_ALLOCATE || op->kind == IO_PUNCH) &&
        (error == EOPNOTSUPP || error == ENOSYS))
        return SDB_INVALID;
    return SDB_IO;
}

void sdb__io_end(struct io_op *op, int error)
{
    op->error = error;
    op->status = error ? sdb__io_errno_status(op, error) : SDB_OK;
}

void sdb__io_cancel(struct io_op *op)
{
    op->status = SDB_CANCELLED;
    op->error = ECANCELED;
    op->done = 0;
}

bool sdb__io_judge(struct io_op *op)
{
    op->status = SDB_OK;
    op->error = 0;
    op->done = 0;
    if (op->kind != IO_READ && op->kind != IO_SYNC && !(op->file->flags & IO_OPEN_WRITE)) {
        sdb__io_end(op, EBADF);
        return false;
    }
    if (op->kind == IO_SYNC) return true;
    if (op->offset > INT64_MAX || op->size > INT64_MAX - op->offset) {
        sdb__io_end(op, EINVAL);
        return false;
    }
    if (!sdb__direct_is_right(op)) {
        op->status = SDB_INVALID;
        op->error = EINVAL;
        return false;
    }
    return op->size > 0;
}

void sdb__io_count(const struct io_op *op)
{
    struct io *io = op->file->io;
    enum io_counter counter;

    if (op->status == SDB_CANCELLED) return;
    switch (op->kind) {
    case IO_READ: counter = COUNT_READS; break;
    case IO_WRITE: counter = COUNT_WRITES; break;
    case IO_SYNC: counter = COUNT_SYNCS; break;
    default: return;
    }
    atomic_fetch_add_explicit(&io->counters[counter], 1, memory_order_relaxed);
    if (op->done > 0) /* the bytes' counter stands behind the one of the calls */
        atomic_fetch_add_explicit(&io->counters[counter + 1], op->done, memory_order_relaxed);
}

void sdb__io_finish(struct io_queue *queue, struct io_op *op)
{
    sdb__io_count(op);
    op->next_ = NULL;
    *queue->done_tail = op;
    queue->done_tail = &op->next_;
    queue->done_count++;
}

/* submit for backends that run operations in the caller's thread. */
static void submit_each(struct io_queue *queue, struct io_op *const *ops, size_t count)
{
    const struct io_backend *backend = queue->io->backend;
    bool broken = false; /* the operation in front is linked to this one, and did not succeed */

    for (size_t i = 0; i < count; i++) {
        if (broken) {
            sdb__io_cancel(ops[i]);
        } else if (sdb__io_judge(ops[i])) {
            backend->run(ops[i]);
        }
        broken = (ops[i]->flags & IO_LINK) && ops[i]->status != SDB_OK;
        sdb__io_finish(queue, ops[i]);
    }
}

/* ---- queues ---- */

void sdb__io_queue_init(struct io_queue *queue, struct io *io, unsigned depth)
{
    *queue = (struct io_queue){.io = io, .depth = depth, .done_tail = &queue->done_head};
}

sdb_status sdb__io_queue_new(struct io *io, unsigned depth, struct io_queue **out_queue)
{
    struct io_queue *queue;

    if (depth < 1 || depth > DEPTH_MOST)
        return FAIL(SDB_INVALID, "a queue cannot hold %u operations; choose 1 to %d", depth,
                    DEPTH_MOST);
    if (io->backend->queue_new) return io->backend->queue_new(io, depth, out_queue);
    queue = sdb__mem_alloc(io->allocator, sizeof *queue);
    if (!queue) return SDB_NOMEM;
    sdb__io_queue_init(queue, io, depth);
    *out_queue = queue;
    return SDB_OK;
}

void sdb__io_queue_free(struct io_queue *queue)
{
    if (!queue) return;
    assert(queue->done_count == 0);
    if (queue->io->backend->queue_free)
        queue->io->backend->queue_free(queue);
    else
        sdb__mem_free(queue->io->allocator, queue);
}

void sdb__io_submit(struct io_queue *queue, struct io_op *const *ops, size_t count)
{
    if (queue->io->backend->submit)
        queue->io->backend->submit(queue, ops, count);
    else
        submit_each(queue, ops, count);
}

size_t sdb__io_wait(struct io_queue *queue, struct io_op **out_ops, size_t capacity, size_t least)
{
    size_t count = 0;

    if (least > capacity) least = capacity;
    if (queue->io->backend->gather) queue->io->backend->gather(queue, least);
    while (count < capacity && queue->done_head) {
        struct io_op *op = queue->done_head;
        queue->done_head = op->next_;
        op->next_ = NULL;
        out_ops[count++] = op;
    }
    if (!queue->done_head) queue->done_tail = &queue->done_head;
    queue->done_count -= count;
    return count;
}

/* Submits up to RUN_WINDOW operations and waits for all of them. */
static void run_window(struct io_queue *queue, struct io_op *ops, size_t count)
{
    struct io_op *list[RUN_WINDOW] = {0};
    size_t back = 0;

    for (size_t i = 0; i < count; i++) list[i] = &ops[i];
    sdb__io_submit(queue, list, count);
    while (back < count) back += sdb__io_wait(queue, list, RUN_WINDOW, count - back);
    assert(back == count);
}

sdb_status sdb__io_run(struct io_queue *queue, struct io_op *ops, size_t count)
{
    bool broken = false, all_right = true;

    assert(queue->done_count == 0);
    if (count == 1) {
        sdb__direct_run(ops);
        return ops->status == SDB_OK ? SDB_OK : sdb__io_fail(ops);
    }
    /* A chain of two leaves nothing to do at once: a ring would only pass it between threads. */
    all_right = !(count == 2 && (ops[0].flags & IO_LINK));
    for (size_t i = 0; i < count; i++) all_right = all_right && sdb__direct_is_right(&ops[i]);
    for (size_t i = 0; i < count;) {
        size_t part = count - i < RUN_WINDOW ? count - i : RUN_WINDOW;

        if (broken) { /* the link across two windows */
            sdb__io_cancel(&ops[i]);
            part = 1;
        } else if (!all_right) {
            sdb__direct_run(&ops[i]);
            part = 1;
        } else {
            run_window(queue, ops + i, part);
        }
        i += part;
        broken = (ops[i - 1].flags & IO_LINK) && ops[i - 1].status != SDB_OK;
    }
    for (size_t i = 0; i < count; i++) {
        if (ops[i].status != SDB_OK && ops[i].status != SDB_CANCELLED) return sdb__io_fail(&ops[i]);
    }
    return SDB_OK;
}

/* ---- sentences ---- */

/* What a person can do about it. */
static const char *advice(const struct io_op *op)
{
    if (op->status == SDB_NOMEM) return "give the process more memory";
    if (op->error == EFBIG) return "the file would pass the largest size that is allowed for it";
    if (op->status == SDB_FULL) return "free some space on that disk, or raise the quota";
    if (op->status == SDB_INVALID && (op->kind == IO_READ || op->kind == IO_WRITE))
        return "direct I/O moves whole blocks of 512 bytes";
    if (op->status == SDB_INVALID) return "this file system cannot do that";
    if (op->error == EBADF) return "the file is open for reading only";
    if (op->kind == IO_SYNC) return "the disk may be failing: close the database and open it again";
    return "check the disk and the kernel's log";
}

sdb_status sdb__io_fail(const struct io_op *op)
{
    static const char *const verbs[] = {"read", "write", "sync", "reserve space for", "give back"};
    const char *path = op->file->path, *verb = verbs[op->kind];

    if (op->status == SDB_OK) return SDB_OK;
    if (op->status == SDB_CANCELLED)
        return FAIL(SDB_CANCELLED,
                    "cannot %s %s: an operation that had to come before it has failed", verb, path);
    if (op->kind == IO_SYNC)
        return FAIL(op->status, "cannot sync %s: %s; %s", path, strerror(op->error), advice(op));
    return FAIL(op->status, "cannot %s %zu bytes at offset %llu of %s: %s; %s", verb, op->size,
                (unsigned long long)op->offset, path, strerror(op->error), advice(op));
}

/* ---- plain calls ---- */

sdb_status sdb__io_read(struct io_queue *queue, struct io_file *file, void *memory, size_t size,
                        uint64_t offset)
{
    struct io_op op = {
        .file = file, .memory = memory, .offset = offset, .size = size, .kind = IO_READ};

    TRY(sdb__io_run(queue, &op, 1));
    if (op.done < size)
        return FAIL(SDB_CORRUPT, "%s ends at %llu, but %zu bytes at offset %llu were expected",
                    file->path, (unsigned long long)(offset + op.done), size,
                    (unsigned long long)offset);
    return SDB_OK;
}

sdb_status sdb__io_write(struct io_queue *queue, struct io_file *file, const void *memory,
                         size_t size, uint64_t offset)
{
    struct io_op op = {.file = file,
                       .memory = (void *)(uintptr_t)memory, /* only read from */
                       .offset = offset,
                       .size = size,
                       .kind = IO_WRITE};

    return sdb__io_run(queue, &op, 1);
}

sdb_status sdb__io_sync(struct io_queue *queue, struct io_file *file)
{
    struct io_op op = {.file = file, .kind = IO_SYNC};

    return sdb__io_run(queue, &op, 1);
}
