/* SPDX-License-Identifier: Apache-2.0 */
/*
 * simulated.c
 *
 * Idea: the backend over a simulated disk: names, batches in an order of the seed's choice,
 * restarts and copies.
 * Invariants: I1 the same seed and the same calls give the same answers and the same disk. I2 a
 * call on names is judged first, then passes the gate, then changes something: what makes no sense
 * is no step.
 * Costs: a mutex a call.
 * Not here: faults (sim_ops.c), images and journals (sim_disk.c), what survives a crash
 * (simulated_crash.c).
 */
#include "engine/io/simulated.h"
#include "engine/io/sim_ops.h"
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/base/status.h"

#include <pthread.h>

enum { BATCH_WINDOW = 64 };

/* ---- what the calls have in common ---- */

static struct sim_io *lock_io(struct io *base)
{
    struct sim_io *io = (struct sim_io *)base;

    (void)pthread_mutex_lock(&io->mutex);
    return io;
}

/* A const backend is one whose counters are looked at; its mutex still has to be taken. */
static struct sim_io *lock_const(const struct io *base)
{
    return lock_io((struct io *)(uintptr_t)base);
}

static void unlock_io(struct sim_io *io)
{
    (void)pthread_mutex_unlock(&io->mutex);
}

/* Without power no name is looked at. */
static sdb_status check_power(const struct sim_io *io, const char *path)
{
    if (!io->is_off) return SDB_OK;
    return FAIL(SDB_IO, "%s: the power of the simulated disk is off; restart it", path);
}

static sdb_status check_file(const struct sim_io *io, const struct sim_file *file)
{
    const char *path = file->base.path;

    if (sdb__sim_is_detached(io, file))
        return FAIL(SDB_IO, "%s was opened before the simulated disk restarted; open it again",
                    path);
    return check_power(io, path);
}

/* Lets a call on names begin. */
static sdb_status begin_name(struct sim_io *io, const char *path, bool is_step)
{
    if (sdb__sim_begin(io, is_step) == 0) return SDB_OK;
    TRY(check_power(io, path));
    return FAIL(SDB_IO, "%s: the simulated disk failed as ordered", path);
}

static void sim_run(struct io_op *op)
{
    struct sim_io *io = lock_io(op->file->io);

    sdb__sim_run(io, op);
    unlock_io(io);
}

/* ---- batches ---- */

static bool is_linked(const struct io_op *op)
{
    return op->flags & IO_LINK;
}

/*
 * Runs up to BATCH_WINDOW operations in an order of the seed's choice. A linked operation is not
 * open to choice before the one in front of it has come back. `before` is what stands in front of
 * the window, if it is linked to it.
 */
static void run_window(struct sim_io *io, struct io_queue *queue, struct io_op *const *ops,
                       size_t count, const struct io_op *before)
{
    unsigned char open[BATCH_WINDOW]; /* indices of operations that may run next */
    size_t open_count = 0;

    for (size_t i = 0; i < count; i++) {
        if (i == 0 || !is_linked(ops[i - 1])) open[open_count++] = (unsigned char)i;
    }
    while (open_count > 0) {
        size_t pick = (size_t)random_below(&io->random, open_count), i = open[pick];
        const struct io_op *front = i > 0 ? ops[i - 1] : before;

        if (front && is_linked(front) && front->status != SDB_OK)
            sdb__io_cancel(ops[i]);
        else if (sdb__io_judge(ops[i]))
            sdb__sim_run(io, ops[i]);
        sdb__io_finish(queue, ops[i]);
        if (is_linked(ops[i]) && i + 1 < count)
            open[pick] = (unsigned char)(i + 1);
        else
            open[pick] = open[--open_count];
    }
}

static void sim_submit(struct io_queue *queue, struct io_op *const *ops, size_t count)
{
    struct sim_io *io = lock_io(queue->io);

    for (size_t i = 0; i < count; i += BATCH_WINDOW) {
        size_t part = count - i < BATCH_WINDOW ? count - i : BATCH_WINDOW;

        run_window(io, queue, ops + i, part, i > 0 ? ops[i - 1] : NULL);
    }
    unlock_io(io);
}

/* ---- names and files ---- */

static sdb_status open_locked(struct sim_io *io, const char *path, unsigned flags,
                              struct sim_file *file)
{
    struct ram_place place;
    struct sim_node *node;
    sdb_status status;

    TRY(check_power(io, path));
    TRY(sdb__ram_judge_open(&io->disk->cached, path, flags, &place));
    TRY(begin_name(io, path, !place.node));
    file->generation = io->generation;
    if (place.node) {
        file->node = (struct sim_node *)place.node;
        sdb__ram_ref(place.node);
        return SDB_OK;
    }
    node = sdb__sim_node_new(io->disk, false);
    if (!node) return SDB_NOMEM;
    status = sdb__sim_disk_move(io->disk, NULL, &place, &node->base);
    if (status != SDB_OK) {
        sdb__ram_unref(&node->base);
        return status;
    }
    file->node = node;
    return SDB_OK;
}

static sdb_status sim_open(struct io *base, const char *path, unsigned flags,
                           struct io_file **out_file)
{
    struct sim_file *file = sdb__mem_zalloc(base->allocator, 1, sizeof *file);
    struct sim_io *io;
    sdb_status status;

    if (!file) return SDB_NOMEM;
    io = lock_io(base);
    status = open_locked(io, path, flags, file);
    unlock_io(io);
    if (status != SDB_OK) {
        sdb__mem_free(base->allocator, file);
        return status;
    }
    *out_file = &file->base;
    return SDB_OK;
}

static void sim_close(struct io_file *base)
{
    struct sim_file *file = (struct sim_file *)base;
    struct sim_io *io = lock_io(base->io);

    sdb__ram_unlock(&file->node->base, &file->hold);
    sdb__ram_unref(&file->node->base);
    unlock_io(io);
    sdb__mem_free(io->base.allocator, file);
}

static sdb_status sim_size(struct io_file *base, uint64_t *out_bytes)
{
    struct sim_file *file = (struct sim_file *)base;
    struct sim_io *io = lock_io(base->io);
    sdb_status status = check_file(io, file);

    if (status == SDB_OK) *out_bytes = file->node->cached.size;
    unlock_io(io);
    return status;
}

static sdb_status sim_truncate(struct io_file *base, uint64_t bytes)
{
    struct sim_file *file = (struct sim_file *)base;
    struct sim_io *io = lock_io(base->io);
    sdb_status status = check_file(io, file);

    if (status == SDB_OK) status = begin_name(io, base->path, true);
    if (status == SDB_OK && bytes > SIM_FILE_MOST)
        status = FAIL(SDB_FULL, "cannot set the size of %s: it would be too large", base->path);
    if (status == SDB_OK) status = sdb__sim_node_resize(file->node, bytes);
    unlock_io(io);
    return status;
}

static sdb_status sim_lock(struct io_file *base, enum io_lock lock, int64_t *out_holder)
{
    struct sim_file *file = (struct sim_file *)base;
    struct sim_io *io = lock_io(base->io);
    sdb_status status = check_file(io, file);

    if (status == SDB_OK)
        status = sdb__ram_lock(&file->node->base, &file->hold, lock, base->path, out_holder);
    unlock_io(io);
    return status;
}

static sdb_status sim_remove(struct io *base, const char *path)
{
    struct sim_io *io = lock_io(base);
    struct ram_place place;
    sdb_status status = check_power(io, path);

    if (status == SDB_OK) status = sdb__ram_judge_remove(&io->disk->cached, path, &place);
    if (status == SDB_OK) status = begin_name(io, path, true);
    if (status == SDB_OK) status = sdb__sim_disk_move(io->disk, &place, NULL, NULL);
    unlock_io(io);
    return status;
}

static sdb_status sim_rename(struct io *base, const char *from, const char *to)
{
    struct sim_io *io = lock_io(base);
    struct ram_place old, new;
    sdb_status status = check_power(io, from);

    if (status == SDB_OK) status = sdb__ram_judge_rename(&io->disk->cached, from, to, &old, &new);
    if (status == SDB_OK) status = begin_name(io, from, true);
    if (status == SDB_OK && old.node != new.node)
        status = sdb__sim_disk_move(io->disk, &old, &new, old.node);
    unlock_io(io);
    return status;
}

static sdb_status sim_folder_make(struct io *base, const char *path)
{
    struct sim_io *io = lock_io(base);
    struct ram_place place;
    struct sim_node *node = NULL;
    sdb_status status = check_power(io, path);

    if (status == SDB_OK) status = sdb__ram_judge_folder_make(&io->disk->cached, path, &place);
    if (status == SDB_OK) status = begin_name(io, path, true);
    if (status == SDB_OK) {
        node = sdb__sim_node_new(io->disk, true);
        status = node ? sdb__sim_disk_move(io->disk, NULL, &place, &node->base) : SDB_NOMEM;
    }
    if (node) sdb__ram_unref(&node->base);
    unlock_io(io);
    return status;
}

static sdb_status sim_folder_remove(struct io *base, const char *path)
{
    struct sim_io *io = lock_io(base);
    struct ram_place place;
    sdb_status status = check_power(io, path);

    if (status == SDB_OK) status = sdb__ram_judge_folder_remove(&io->disk->cached, path, &place);
    if (status == SDB_OK) status = begin_name(io, path, true);
    if (status == SDB_OK) status = sdb__sim_disk_move(io->disk, &place, NULL, NULL);
    unlock_io(io);
    return status;
}

static sdb_status sim_folder_list(struct io *base, const char *path, io_name_fn fn, void *context)
{
    struct sim_io *io = lock_io(base);
    struct ram_node *folder;
    struct buffer list = {0};
    sdb_status status = check_power(io, path);

    if (status == SDB_OK) status = sdb__ram_judge_folder(&io->disk->cached, path, &folder);
    if (status == SDB_OK) status = begin_name(io, path, false);
    if (status == SDB_OK) status = sdb__ram_names_collect(&io->disk->cached, folder, &list);
    unlock_io(io);
    if (status == SDB_OK) status = sdb__ram_names_tell(&list, fn, context);
    sdb__buffer_done(base->allocator, &list);
    return status;
}

static sdb_status sim_folder_sync(struct io *base, const char *path)
{
    struct sim_io *io = lock_io(base);
    struct ram_node *folder;
    sdb_status status = check_power(io, path);

    if (status == SDB_OK) status = sdb__ram_judge_folder(&io->disk->cached, path, &folder);
    if (status == SDB_OK) status = begin_name(io, path, true);
    if (status == SDB_OK && sdb__sim_strikes(io, io->faults.sync_error))
        status = FAIL(SDB_IO, "cannot sync the folder %s: the simulated disk failed", path);
    if (status == SDB_OK && !io->faults.lying_sync)
        status = sdb__sim_disk_sync_folder(io->disk, folder);
    unlock_io(io);
    return status;
}

/* ---- the backend ---- */

static void sim_free(struct io *base)
{
    struct sim_io *io = (struct sim_io *)base;

    sdb__sim_disk_free(io->disk);
    (void)pthread_mutex_destroy(&io->mutex);
    sdb__mem_free(base->allocator, io);
}

static const struct io_backend sim_backend = {
    .name = "simulated",
    .free = sim_free,
    .open = sim_open,
    .close = sim_close,
    .size = sim_size,
    .truncate = sim_truncate,
    .lock = sim_lock,
    .remove = sim_remove,
    .rename = sim_rename,
    .folder_make = sim_folder_make,
    .folder_remove = sim_folder_remove,
    .folder_list = sim_folder_list,
    .folder_sync = sim_folder_sync,
    .run = sim_run,
    .submit = sim_submit,
};

/* A backend over a disk, which it takes only if the call succeeds. */
static sdb_status io_over(const sdb_allocator *allocator, struct sim_disk *disk,
                          struct sim_io **out_io)
{
    struct sim_io *io = sdb__mem_zalloc(allocator, 1, sizeof *io);

    if (!io) return SDB_NOMEM;
    if (pthread_mutex_init(&io->mutex, NULL) != 0) {
        sdb__mem_free(allocator, io);
        return FAIL(SDB_NOMEM, "the system refused a lock");
    }
    io->base.backend = &sim_backend;
    io->base.allocator = allocator;
    io->disk = disk;
    *out_io = io;
    return SDB_OK;
}

sdb_status sdb__sim_new(const sdb_allocator *allocator, uint64_t seed, struct io **out_io)
{
    struct sim_disk *disk;
    struct sim_io *io;
    sdb_status status;

    if (!allocator) allocator = &sdb__mem_default;
    TRY(sdb__sim_disk_new(allocator, &disk));
    status = io_over(allocator, disk, &io);
    if (status != SDB_OK) {
        sdb__sim_disk_free(disk);
        return status;
    }
    io->random = seed;
    *out_io = &io->base;
    return SDB_OK;
}

void sdb__sim_set_faults(struct io *base, const struct sim_faults *faults)
{
    struct sim_io *io = lock_io(base);

    io->faults = *faults;
    unlock_io(io);
}

uint64_t sdb__sim_steps(const struct io *base)
{
    struct sim_io *io = lock_const(base);
    uint64_t steps = io->steps;

    unlock_io(io);
    return steps;
}

void sdb__sim_power_off_at(struct io *base, uint64_t step)
{
    struct sim_io *io = lock_io(base);

    io->power_off_at = step;
    if (step == 0) io->is_off = false;
    unlock_io(io);
}

bool sdb__sim_is_off(const struct io *base)
{
    struct sim_io *io = lock_const(base);
    bool is_off = io->is_off;

    unlock_io(io);
    return is_off;
}

sdb_status sdb__sim_restart(struct io *base, uint64_t seed)
{
    struct sim_io *io = lock_io(base);
    struct sim_disk *disk;
    sdb_status status = sdb__sim_disk_crash(io->disk, seed, &disk);

    if (status == SDB_OK) {
        sdb__sim_disk_free(io->disk);
        io->disk = disk;
        io->generation++;
        io->power_off_at = 0;
        io->is_off = false;
        io->random ^= seed * 0x9e3779b97f4a7c15u;
    }
    unlock_io(io);
    return status;
}

sdb_status sdb__sim_clone(struct io *base, uint64_t seed, struct io **out_io)
{
    struct sim_io *io = lock_io(base), *clone = NULL;
    struct sim_disk *disk;
    sdb_status status = sdb__sim_disk_crash(io->disk, seed, &disk);

    if (status == SDB_OK) {
        status = io_over(base->allocator, disk, &clone);
        if (status != SDB_OK) sdb__sim_disk_free(disk);
    }
    if (status == SDB_OK) {
        clone->faults.capacity = io->faults.capacity;
        clone->steps = io->steps;
        clone->random = io->random ^ seed * 0x9e3779b97f4a7c15u;
        *out_io = &clone->base;
    }
    unlock_io(io);
    return status;
}

sdb_status sdb__sim_flip(struct io *base, const char *path, uint64_t offset, unsigned bit)
{
    struct sim_io *io = lock_io(base);
    struct ram_place place;
    sdb_status status = sdb__ram_names_find(&io->disk->cached, path, &place);

    if (status == SDB_OK && (!place.node || place.node->is_folder))
        status = FAIL(SDB_NOTFOUND, "there is no file %s on the simulated disk", path);
    if (status == SDB_OK) {
        struct sim_node *node = (struct sim_node *)place.node;

        if (offset >= node->cached.size && offset >= node->durable.size)
            status = FAIL(SDB_NOTFOUND, "%s has no byte %llu to flip a bit of", path,
                          (unsigned long long)offset);
        else
            status = sdb__sim_node_flip(node, offset, bit & 7);
    }
    unlock_io(io);
    return status;
}
