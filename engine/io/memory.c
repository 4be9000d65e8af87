/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.c
 *
 * Idea: a RAM disk, for `:memory:`. A file is a sparse image in chunks of 64 KiB; a name leads to
 * it, and everybody who opens the name shares it.
 * Invariants: I1 names, reference counts and file locks are touched under `mutex` only. I2 an
 * image is read under its node's lock held for reading, changed under it held for writing. I3
 * `mutex` and a node's lock are never held together.
 * Costs: a memcpy under a lock; readers of a file run side by side.
 * Not here: durability. A sync is a promise about power failures, which a RAM disk cannot give.
 */
#include "engine/io/backend.h"
#include "engine/io/ram_image.h"
#include "engine/io/ram_names.h"
#include "engine/base/mem.h"
#include "engine/base/status.h"

#include <errno.h>
#include <pthread.h>

enum { CHUNK = 64 * 1024 };

/* The largest file: bounds the list of chunks to 128 MiB. */
#define FILE_MOST ((uint64_t)1 << 40)

struct memory_node {
    struct ram_node base;
    const sdb_allocator *allocator;
    pthread_rwlock_t lock;
    struct ram_image image;
};

struct memory_io {
    struct io base;
    pthread_mutex_t mutex;
    struct ram_names names;
};

struct memory_file {
    struct io_file base;
    struct memory_node *node; /* counted */
    enum ram_hold hold;
};

/* ---- nodes ---- */

static void node_free(struct ram_node *base)
{
    struct memory_node *node = (struct memory_node *)base;

    sdb__ram_image_done(&node->image);
    (void)pthread_rwlock_destroy(&node->lock);
    sdb__mem_free(node->allocator, node);
}

/* A node with one reference, the caller's; or NULL. */
static struct memory_node *node_new(const sdb_allocator *allocator, bool is_folder)
{
    struct memory_node *node = sdb__mem_zalloc(allocator, 1, sizeof *node);

    if (!node) return NULL;
    if (pthread_rwlock_init(&node->lock, NULL) != 0) {
        sdb__mem_free(allocator, node);
        (void)FAIL(SDB_NOMEM, "the system refused a lock");
        return NULL;
    }
    node->base.refs = 1;
    node->base.is_folder = is_folder;
    node->base.free = node_free;
    node->allocator = allocator;
    node->image.allocator = allocator;
    node->image.chunk_size = CHUNK;
    return node;
}

/* Makes a node at a place. The answer is borrowed from the name; NULL: out of memory. */
static struct memory_node *node_add(struct memory_io *io, const struct ram_place *place,
                                    bool is_folder)
{
    struct memory_node *node = node_new(io->base.allocator, is_folder);
    sdb_status status;

    if (!node) return NULL;
    status = sdb__ram_names_put(&io->names, place->folder, place->text, &node->base);
    sdb__ram_unref(&node->base);
    return status == SDB_OK ? node : NULL;
}

/* ---- names and files ---- */

static sdb_status open_locked(struct memory_io *io, const char *path, unsigned flags,
                              struct memory_file *file)
{
    struct ram_place place;

    TRY(sdb__ram_judge_open(&io->names, path, flags, &place));
    file->node = (struct memory_node *)place.node;
    if (!file->node) file->node = node_add(io, &place, false);
    if (!file->node) return SDB_NOMEM;
    sdb__ram_ref(&file->node->base);
    return SDB_OK;
}

static sdb_status memory_open(struct io *base, const char *path, unsigned flags,
                              struct io_file **out_file)
{
    struct memory_io *io = (struct memory_io *)base;
    struct memory_file *file = sdb__mem_zalloc(base->allocator, 1, sizeof *file);
    sdb_status status;

    if (!file) return SDB_NOMEM;
    (void)pthread_mutex_lock(&io->mutex);
    status = open_locked(io, path, flags, file);
    (void)pthread_mutex_unlock(&io->mutex);
    if (status != SDB_OK) {
        sdb__mem_free(base->allocator, file);
        return status;
    }
    *out_file = &file->base;
    return SDB_OK;
}

static void memory_close(struct io_file *base)
{
    struct memory_io *io = (struct memory_io *)base->io;
    struct memory_file *file = (struct memory_file *)base;

    (void)pthread_mutex_lock(&io->mutex);
    sdb__ram_unlock(&file->node->base, &file->hold);
    sdb__ram_unref(&file->node->base);
    (void)pthread_mutex_unlock(&io->mutex);
    sdb__mem_free(io->base.allocator, file);
}

static sdb_status memory_size(struct io_file *base, uint64_t *out_bytes)
{
    struct memory_node *node = ((struct memory_file *)base)->node;

    (void)pthread_rwlock_rdlock(&node->lock);
    *out_bytes = node->image.size;
    (void)pthread_rwlock_unlock(&node->lock);
    return SDB_OK;
}

static sdb_status memory_truncate(struct io_file *base, uint64_t bytes)
{
    struct memory_node *node = ((struct memory_file *)base)->node;
    sdb_status status;

    if (bytes > FILE_MOST)
        return FAIL(SDB_FULL, "cannot set the size of %s to %llu bytes: at most %llu are possible",
                    base->path, (unsigned long long)bytes, (unsigned long long)FILE_MOST);
    (void)pthread_rwlock_wrlock(&node->lock);
    status = sdb__ram_image_resize(&node->image, bytes);
    (void)pthread_rwlock_unlock(&node->lock);
    return status;
}

static sdb_status memory_lock(struct io_file *base, enum io_lock lock, int64_t *out_holder)
{
    struct memory_io *io = (struct memory_io *)base->io;
    struct memory_file *file = (struct memory_file *)base;
    sdb_status status;

    (void)pthread_mutex_lock(&io->mutex);
    status = sdb__ram_lock(&file->node->base, &file->hold, lock, base->path, out_holder);
    (void)pthread_mutex_unlock(&io->mutex);
    return status;
}

static sdb_status memory_remove(struct io *base, const char *path)
{
    struct memory_io *io = (struct memory_io *)base;
    struct ram_place place;
    sdb_status status;

    (void)pthread_mutex_lock(&io->mutex);
    status = sdb__ram_judge_remove(&io->names, path, &place);
    if (status == SDB_OK) sdb__ram_names_del(&io->names, place.folder, place.text);
    (void)pthread_mutex_unlock(&io->mutex);
    return status;
}

static sdb_status memory_rename(struct io *base, const char *from, const char *to)
{
    struct memory_io *io = (struct memory_io *)base;
    struct ram_place old, new;
    sdb_status status;
    bool moves = false;

    (void)pthread_mutex_lock(&io->mutex);
    status = sdb__ram_judge_rename(&io->names, from, to, &old, &new);
    if (status == SDB_OK) moves = old.node != new.node;
    if (moves) status = sdb__ram_names_put(&io->names, new.folder, new.text, old.node);
    if (moves && status == SDB_OK) sdb__ram_names_del(&io->names, old.folder, old.text);
    (void)pthread_mutex_unlock(&io->mutex);
    return status;
}

static sdb_status memory_folder_make(struct io *base, const char *path)
{
    struct memory_io *io = (struct memory_io *)base;
    struct ram_place place;
    sdb_status status;

    (void)pthread_mutex_lock(&io->mutex);
    status = sdb__ram_judge_folder_make(&io->names, path, &place);
    if (status == SDB_OK && !node_add(io, &place, true)) status = SDB_NOMEM;
    (void)pthread_mutex_unlock(&io->mutex);
    return status;
}

static sdb_status memory_folder_remove(struct io *base, const char *path)
{
    struct memory_io *io = (struct memory_io *)base;
    struct ram_place place;
    sdb_status status;

    (void)pthread_mutex_lock(&io->mutex);
    status = sdb__ram_judge_folder_remove(&io->names, path, &place);
    if (status == SDB_OK) sdb__ram_names_del(&io->names, place.folder, place.text);
    (void)pthread_mutex_unlock(&io->mutex);
    return status;
}

static sdb_status memory_folder_list(struct io *base, const char *path, io_name_fn fn,
                                     void *context)
{
    struct memory_io *io = (struct memory_io *)base;
    struct ram_node *folder;
    struct buffer list = {0};
    sdb_status status;

    (void)pthread_mutex_lock(&io->mutex);
    status = sdb__ram_judge_folder(&io->names, path, &folder);
    if (status == SDB_OK) status = sdb__ram_names_collect(&io->names, folder, &list);
    (void)pthread_mutex_unlock(&io->mutex);
    if (status == SDB_OK) status = sdb__ram_names_tell(&list, fn, context);
    sdb__buffer_done(base->allocator, &list);
    return status;
}

static sdb_status memory_folder_sync(struct io *base, const char *path)
{
    struct memory_io *io = (struct memory_io *)base;
    struct ram_node *folder;
    sdb_status status;

    (void)pthread_mutex_lock(&io->mutex);
    status = sdb__ram_judge_folder(&io->names, path, &folder);
    (void)pthread_mutex_unlock(&io->mutex);
    return status;
}

/* ---- operations ---- */

/* Runs an operation that changes the image; returns an errno, or 0. */
static int change(struct ram_image *image, struct io_op *op)
{
    if (op->kind == IO_PUNCH)
        return sdb__ram_image_zero(image, op->offset, op->size) == SDB_OK ? 0 : ENOMEM;
    if (op->offset + op->size > FILE_MOST) return EFBIG;
    if (sdb__ram_image_prepare(image, op->offset, op->size) != SDB_OK) return ENOMEM;
    if (op->kind == IO_WRITE) {
        sdb__ram_image_write(image, op->memory, op->size, op->offset);
        op->done = op->size;
    } else if (image->size < op->offset + op->size) {
        image->size = op->offset + op->size;
    }
    return 0;
}

static void memory_run(struct io_op *op)
{
    struct memory_node *node = ((struct memory_file *)op->file)->node;
    int error = 0;

    switch (op->kind) {
    case IO_READ:
        (void)pthread_rwlock_rdlock(&node->lock);
        op->done = sdb__ram_image_read(&node->image, op->memory, op->size, op->offset);
        (void)pthread_rwlock_unlock(&node->lock);
        break;
    case IO_SYNC: break;
    case IO_WRITE:
    case IO_ALLOCATE:
    case IO_PUNCH:
        (void)pthread_rwlock_wrlock(&node->lock);
        error = change(&node->image, op);
        (void)pthread_rwlock_unlock(&node->lock);
        break;
    }
    sdb__io_end(op, error);
    if (error == ENOMEM) op->status = SDB_NOMEM;
}

/* ---- the backend ---- */

static void memory_free(struct io *base)
{
    struct memory_io *io = (struct memory_io *)base;

    sdb__ram_names_done(&io->names);
    (void)pthread_mutex_destroy(&io->mutex);
    sdb__mem_free(base->allocator, io);
}

static const struct io_backend memory_backend = {
    .name = "memory",
    .free = memory_free,
    .open = memory_open,
    .close = memory_close,
    .size = memory_size,
    .truncate = memory_truncate,
    .lock = memory_lock,
    .remove = memory_remove,
    .rename = memory_rename,
    .folder_make = memory_folder_make,
    .folder_remove = memory_folder_remove,
    .folder_list = memory_folder_list,
    .folder_sync = memory_folder_sync,
    .run = memory_run,
};

sdb_status sdb__io_new_memory(const sdb_allocator *allocator, struct io **out_io)
{
    struct memory_io *io;
    struct memory_node *root;

    if (!allocator) allocator = &sdb__mem_default;
    io = sdb__mem_zalloc(allocator, 1, sizeof *io);
    if (!io) return SDB_NOMEM;
    root = node_new(allocator, true);
    if (!root) {
        sdb__mem_free(allocator, io);
        return SDB_NOMEM;
    }
    if (pthread_mutex_init(&io->mutex, NULL) != 0) {
        sdb__ram_unref(&root->base);
        sdb__mem_free(allocator, io);
        return FAIL(SDB_NOMEM, "the system refused a lock");
    }
    io->base.backend = &memory_backend;
    io->base.allocator = allocator;
    io->names.allocator = allocator;
    io->names.root = &root->base;
    *out_io = &io->base;
    return SDB_OK;
}
