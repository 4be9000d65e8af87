/* SPDX-License-Identifier: Apache-2.0 */
/*
 * holes.c: free space inside the file, given back to the file system.
 *
 * Idea: a hole is written like a page: into free blocks, which are taken for the time. What was
 * free at the ends of two checkpoints, and untouched in between, is not about to be written again.
 *
 *     in use at     ███··███····················██      unit      └──┘
 *     end of N      ███··█······················██      idle  0 0 1 1 1 …
 *     end of N + 1  ██···██·····················██      idle  0 0 2 2 2 …  made a hole
 *
 * Invariants: I1 P1: a hole is made only in blocks that are free, so that no checkpoint that is
 *   durable, pinned or being written has them; and they are taken while it is made. I2 a call makes
 *   a bounded number of them, and looks at no more than a piece of the file under one locking.
 * Costs: a look at the bitmap (1/4096 of the file) for each checkpoint, some 20 µs a hole; a block
 *   that is written into a hole costs the file system an allocation. Not here: the file's end
 *   (pager.c), moving (move.c).
 */
#include "engine/base/mutant.h"
#include "engine/base/status.h"
#include "engine/pager/pool.h"

enum {
    UNIT_BYTES = SPACE_UNIT * SPACE_BLOCK,
    LEAST_UNITS = 1024 * 1024 / UNIT_BYTES, /* of a run that is worth a hole */
    PIECE_UNITS = 16 * 1024,                /* looked at under one locking: 1 GiB */
    RESERVE_PART = 4                        /* of what is in use: so much stays at hand */
};

/* Makes a hole of a run that was taken for it, and gives it back. */
static sdb_status punch(struct pager *p, struct io_queue *queue, uint64_t first, uint64_t count)
{
    struct io_op op = {.file = p->options.file, .kind = IO_PUNCH, .offset = first * SPACE_BLOCK,
                       .size = (size_t)(count * SPACE_BLOCK)};
    sdb_status status;

    if (MUTANT(hole_reaches_too_far)) op.size += (size_t)SPACE_UNIT * SPACE_BLOCK;
    status = sdb__io_run(queue, &op, 1);
    (void)pthread_mutex_lock(&p->map_lock);
    if (status == SDB_OK)
        sdb__space_give_hole(&p->map.space, first, count);
    else
        sdb__space_give(&p->map.space, first, count);
    (void)pthread_mutex_unlock(&p->map_lock);
    return status;
}

sdb_status sdb__pager_punch(struct pager *p, uint64_t least, uint64_t *out_bytes)
{
    uint64_t at = 0, first, count;
    struct io_queue *queue;
    sdb_status status;

    *out_bytes = 0;
    TRY(sdb__pool_queue_get(p, &queue));
    do {
        (void)pthread_mutex_lock(&p->map_lock);
        status = sdb__space_take_free(&p->map.space, at, (least + SPACE_BLOCK - 1) / SPACE_BLOCK,
                                      &first, &count);
        (void)pthread_mutex_unlock(&p->map_lock);
        if (status != SDB_OK) break;
        status = punch(p, queue, first, count);
        if (status == SDB_OK) *out_bytes += count * SPACE_BLOCK;
        at = first + count;
    } while (status == SDB_OK);
    sdb__pool_queue_put(p, queue);
    return status == SDB_END ? SDB_OK : status;
}

/* ---- by itself ---------------------------------------------------------------------------- */

static void age(struct pager *p)
{
    uint64_t units = 1;

    for (uint64_t from = 0; from < units; from += PIECE_UNITS) {
        (void)pthread_mutex_lock(&p->map_lock);
        sdb__space_age(&p->map.space, from, PIECE_UNITS);
        units = sdb__space_units(&p->map.space);
        (void)pthread_mutex_unlock(&p->map_lock);
    }
}

/* Units that may become holes: of those that are free and none yet, all but a reserve. */
static uint64_t to_spare_locked(const struct space *space)
{
    uint64_t free_blocks = space->end - space->used, holes = space->holes * SPACE_UNIT;
    uint64_t kept = holes + space->used / RESERVE_PART;

    return free_blocks > kept ? (free_blocks - kept) / SPACE_UNIT : 0;
}

/* Makes holes in a piece of the file, of at most *left units. */
static sdb_status give_piece(struct pager *p, struct io_queue *queue, uint64_t from,
                             uint64_t *left)
{
    uint64_t at = from, first, count, spare;
    sdb_status status = SDB_OK;

    while (status == SDB_OK) {
        (void)pthread_mutex_lock(&p->map_lock);
        spare = to_spare_locked(&p->map.space);
        status = sdb__space_take_idle(&p->map.space, at, from + PIECE_UNITS - at, LEAST_UNITS,
                                      spare < *left ? spare : *left, &first, &count);
        (void)pthread_mutex_unlock(&p->map_lock);
        if (status != SDB_OK) break;
        status = punch(p, queue, first * SPACE_UNIT, count * SPACE_UNIT);
        at = first + count;
        *left -= count;
    }
    return status == SDB_END ? SDB_OK : status;
}

sdb_status sdb__pager_give_back(struct pager *p, uint64_t most)
{
    uint64_t left = most / UNIT_BYTES, units = 1;
    struct io_queue *queue;
    sdb_status status = SDB_OK;

    if (p->holeless) return SDB_OK;
    age(p);
    TRY(sdb__pool_queue_get(p, &queue));
    for (uint64_t from = 0; status == SDB_OK && from < units && left >= LEAST_UNITS;
         from += PIECE_UNITS) {
        status = give_piece(p, queue, from, &left);
        (void)pthread_mutex_lock(&p->map_lock);
        units = sdb__space_units(&p->map.space);
        (void)pthread_mutex_unlock(&p->map_lock);
    }
    sdb__pool_queue_put(p, queue);
    if (status == SDB_INVALID) p->holeless = true; /* the file system cannot */
    return status == SDB_IO || status == SDB_NOMEM ? status : SDB_OK;
}
