/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_ops.c
 *
 * Idea: every operation passes one gate, which counts it and decides by the seed whether it works,
 * works in part, or fails; behind the gate sim_disk.c does what was asked.
 * Invariants: I1 once the power is off nothing changes. I2 a chance of zero draws no number, so
 * that a fault that is not wanted costs the others nothing of their luck.
 * Costs: a copy of the bytes an operation.
 * Not here: names (simulated.c), images (sim_disk.c), crashes (simulated_crash.c).
 */
#include "engine/io/sim_ops.h"
#include "engine/base/clock.h"

#include <errno.h>

/* ---- the gate ---- */

bool sdb__sim_strikes(struct sim_io *io, uint32_t chance)
{
    return chance > 0 && random_below(&io->random, 65536) < chance;
}

int sdb__sim_begin(struct sim_io *io, bool is_step)
{
    if (io->is_off) return EIO;
    if (is_step) {
        if (io->power_off_at > 0 && io->steps + 1 >= io->power_off_at) {
            io->is_off = true;
            return EIO;
        }
        io->steps++;
    }
    if (io->faults.fail_at > 0 && --io->faults.fail_at == 0) return EIO;
    return 0;
}

bool sdb__sim_is_detached(const struct sim_io *io, const struct sim_file *file)
{
    return file->generation != io->generation;
}

/* ---- writing ---- */

/* Bytes that the disk still has room for, in whole chunks. */
static uint64_t room(const struct sim_io *io)
{
    uint64_t used;

    if (io->faults.capacity == 0) return UINT64_MAX;
    used = sdb__sim_disk_used(io->disk);
    return used < io->faults.capacity ? io->faults.capacity - used : 0;
}

static bool fits(const struct sim_io *io, const struct sim_node *node, uint64_t offset,
                 uint64_t size)
{
    return (uint64_t)sdb__ram_image_missing(&node->cached, offset, size) * SIM_CHUNK <= room(io);
}

/* The longest beginning of a range that the disk has room for. */
static size_t fitting(const struct sim_io *io, const struct sim_node *node, uint64_t offset,
                      size_t size)
{
    size_t low = 0, high = size; /* low fits, high may not */

    while (low < high) {
        size_t middle = high - (high - low) / 2;

        if (fits(io, node, offset, middle))
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* Writes size bytes more of the operation; returns an errno, or 0. */
static int put(struct sim_node *node, struct io_op *op, size_t size)
{
    const char *memory = op->memory;

    if (sdb__sim_node_write(node, memory + op->done, size, op->offset + op->done) != SDB_OK)
        return ENOMEM;
    op->done += size;
    return 0;
}

/* A beginning of the write that ends at a sector, shorter than `most`. */
static size_t some(struct sim_io *io, size_t most)
{
    size_t part = most > 0 ? (size_t)random_below(&io->random, most) : 0;

    return part - part % SIM_SECTOR;
}

/* The write ends with `error`, after a part of it (at most `most`) was applied. */
static int put_some(struct sim_io *io, struct sim_node *node, struct io_op *op, size_t most,
                    int error)
{
    int broken = put(node, op, some(io, most));

    return broken ? broken : error;
}

static int run_write(struct sim_io *io, struct sim_node *node, struct io_op *op)
{
    uint64_t end = op->offset + op->size;
    size_t part;
    int error;

    if (io->faults.fail_full_at > 0 && --io->faults.fail_full_at == 0)
        return put_some(io, node, op, fitting(io, node, op->offset, op->size), ENOSPC);
    if (end > SIM_FILE_MOST) return EFBIG;
    if (end > node->cached.size && sdb__sim_strikes(io, io->faults.full))
        return put_some(io, node, op, fitting(io, node, op->offset, op->size), ENOSPC);
    if (!fits(io, node, op->offset, op->size)) {
        error = put(node, op, fitting(io, node, op->offset, op->size));
        return error ? error : ENOSPC;
    }
    if (sdb__sim_strikes(io, io->faults.write_error)) return put_some(io, node, op, op->size, EIO);
    if (sdb__sim_strikes(io, io->faults.short_io)) {
        part = (size_t)random_below(&io->random, op->size);
        error = put(node, op, part);
        if (error) return error;
    }
    return put(node, op, op->size - op->done);
}

/* ---- the other operations ---- */

/* One bit of what is about to be read flips for good. */
static void rot(struct sim_io *io, struct sim_node *node, const struct io_op *op)
{
    uint64_t size = op->size, at;

    if (op->offset >= node->cached.size) return;
    if (size > node->cached.size - op->offset) size = node->cached.size - op->offset;
    at = op->offset + random_below(&io->random, size);
    /* Out of memory: it just does not rot. */
    (void)!sdb__sim_node_flip(node, at, (unsigned)random_below(&io->random, 8));
}

static int run_read(struct sim_io *io, struct sim_node *node, struct io_op *op)
{
    char *memory = op->memory;
    size_t part = 0;

    if (sdb__sim_strikes(io, io->faults.read_error)) return EIO;
    if (sdb__sim_strikes(io, io->faults.bit_rot)) rot(io, node, op);
    if (sdb__sim_strikes(io, io->faults.short_io)) {
        part = (size_t)random_below(&io->random, op->size);
        op->done = sdb__ram_image_read(&node->cached, memory, part, op->offset);
        if (op->done < part) return 0;
    }
    op->done +=
        sdb__ram_image_read(&node->cached, memory + part, op->size - part, op->offset + part);
    return 0;
}

static int run_sync(struct sim_io *io, struct sim_node *node)
{
    if (sdb__sim_strikes(io, io->faults.sync_error)) {
        uint64_t seed = random_next(&io->random);
        bool drops = random_below(&io->random, 2) == 0;

        return sdb__sim_node_lose(node, seed, drops) == SDB_OK ? EIO : ENOMEM;
    }
    if (io->faults.lying_sync) return 0;
    return sdb__sim_node_sync(node) == SDB_OK ? 0 : ENOMEM;
}

static int run_allocate(struct sim_io *io, struct sim_node *node, const struct io_op *op)
{
    if (op->offset + op->size > SIM_FILE_MOST) return EFBIG;
    if (sdb__sim_strikes(io, io->faults.full) || !fits(io, node, op->offset, op->size))
        return ENOSPC;
    return sdb__sim_node_reserve(node, op->offset, op->size) == SDB_OK ? 0 : ENOMEM;
}

void sdb__sim_run(struct sim_io *io, struct io_op *op)
{
    struct sim_file *file = (struct sim_file *)op->file;
    int error = sdb__sim_is_detached(io, file) ? EIO : sdb__sim_begin(io, op->kind != IO_READ);

    if (error == 0) {
        switch (op->kind) {
        case IO_READ: error = run_read(io, file->node, op); break;
        case IO_WRITE: error = run_write(io, file->node, op); break;
        case IO_SYNC: error = run_sync(io, file->node); break;
        case IO_ALLOCATE: error = run_allocate(io, file->node, op); break;
        case IO_PUNCH:
            error = sdb__sim_node_zero(file->node, op->offset, op->size) == SDB_OK ? 0 : ENOMEM;
            break;
        }
    }
    sdb__io_end(op, error);
    if (error == ENOMEM) op->status = SDB_NOMEM;
}
