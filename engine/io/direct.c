/* SPDX-License-Identifier: Apache-2.0 */
/*
 * direct.c
 *
 * Idea: a file that is open for direct I/O moves whole blocks between the disk and memory at
 *   multiples of a block. Who has that (pages in frames) pays nothing; for all others
 *   sdb__io_run moves the bytes through a buffer that is right, piece by piece.
 * Invariants: I1 a write never ends inside a block: it is filled up with zeros. I2 the buffer has
 *   at most DIRECT_PIECE bytes, whatever is asked. I3 an operation that begins inside a block is
 *   never run: reading the block first would be a promise that two writers can break.
 * Costs: for what is not aligned one allocation and a copy; one call after the other.
 * Not here: asking the file system whether it can do it (posix_files.c).
 */
#include <errno.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/io/backend.h"

enum { DIRECT_PIECE = 256 * 1024 };

static bool moves_bytes(const struct io_op *op)
{
    return op->kind == IO_READ || op->kind == IO_WRITE;
}

bool sdb__direct_is_right(const struct io_op *op)
{
    if (!(op->file->flags & IO_OPEN_DIRECT) || !moves_bytes(op)) return true;
    return (op->offset | op->size | (uintptr_t)op->memory) % IO_BLOCK == 0;
}

bool sdb__direct_is_cut(const struct io_op *op)
{
    return (op->file->flags & IO_OPEN_DIRECT) && op->done % IO_BLOCK != 0;
}

/* One judged piece, in the caller's thread. */
static void run_piece(struct io_op *piece)
{
    if (sdb__io_judge(piece)) piece->file->io->backend->run(piece);
    sdb__io_count(piece);
}

/* Moves the operation's bytes through `buffer`. */
static void bounce(struct io_op *op, uint8_t *buffer)
{
    while (op->done < op->size) {
        uint8_t *memory = (uint8_t *)op->memory + op->done;
        size_t left = op->size - op->done, want = left < DIRECT_PIECE ? left : DIRECT_PIECE, got;
        struct io_op piece = {.file = op->file, .memory = buffer, .offset = op->offset + op->done,
                              .size = (want + IO_BLOCK - 1) / IO_BLOCK * IO_BLOCK,
                              .kind = op->kind};

        if (op->kind == IO_WRITE) {
            memcpy(buffer, memory, want);
            memset(buffer + want, 0, piece.size - want);
        }
        run_piece(&piece);
        op->status = piece.status;
        op->error = piece.error;
        if (piece.status != SDB_OK) return;
        got = piece.done < want ? piece.done : want;
        if (op->kind == IO_READ) memcpy(memory, buffer, got);
        op->done += got;
        if (got < want) return; /* the end of the file */
    }
}

void sdb__direct_run(struct io_op *op)
{
    const sdb_allocator *allocator = op->file->io->allocator;
    size_t size = op->size < DIRECT_PIECE ? op->size : DIRECT_PIECE;
    uint8_t *memory;

    if (sdb__direct_is_right(op) || op->offset % IO_BLOCK != 0) {
        run_piece(op);
        return;
    }
    op->done = 0;
    memory = sdb__mem_alloc(allocator, size + 2 * IO_BLOCK);
    if (!memory) {
        op->status = SDB_NOMEM;
        op->error = ENOMEM;
        return;
    }
    bounce(op, memory + (IO_BLOCK - (uintptr_t)memory % IO_BLOCK));
    sdb__mem_free(allocator, memory);
}
