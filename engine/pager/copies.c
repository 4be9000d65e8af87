/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copies.c
 *
 * Idea: a checkpoint holds a page's latch only for as long as it takes to copy it, and not until
 *   the disk has it: the copy's place is entered in the map at once, and the frame is clean. Then
 *   whoever changes the page next finds nothing of the cut left to write.
 * Invariants: I1 a frame whose copy is not yet written keeps its page (`leaving`), so nobody reads
 *   the place before it holds what the map says. I2 the superblock that leads to the place is
 *   written after the copy (checkpoint.c). I3 the place is of the cut, so it is not given to
 *   anybody else before the next checkpoint is durable, whatever becomes of the page. I4 after a
 *   write that failed the frame is dirty before it may leave: nothing but the checkpoint is lost.
 * Costs: a copy of each page, a batch of them in memory.
 * Not here: evictions, which write frames that nobody uses, in place (pool.c); what a writer does
 *   who comes before the checkpoint (latch.c).
 */
#include "engine/pager/pool.h"

#include <assert.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"

/* Enters the copy in the map, unless somebody else has written the page meanwhile. */
static sdb_status enter(struct pager *p, uint64_t id, struct frame *frame, struct map_entry entry,
                        bool *out_entered)
{
    sdb_status status = SDB_OK;

    (void)pthread_mutex_lock(&p->map_lock);
    *out_entered = atomic_load_explicit(&frame->dirty, memory_order_relaxed);
    if (*out_entered)
        status = sdb__map_set(&p->map, id, entry,
                              atomic_load_explicit(&frame->epoch, memory_order_relaxed), false);
    if (status != SDB_OK) *out_entered = false;
    if (*out_entered) {
        atomic_store_explicit(&frame->leaving, true, memory_order_relaxed);
        atomic_store_explicit(&frame->dirty, false, memory_order_relaxed);
        atomic_fetch_sub_explicit(&p->dirty_count, 1, memory_order_relaxed);
    } else {
        sdb__space_give(&p->map.space, place_first(entry.place), place_blocks(entry.place));
    }
    (void)pthread_mutex_unlock(&p->map_lock);
    return status;
}

sdb_status sdb__pool_copy(struct pager *p, uint64_t id, uint32_t frame, struct copies *copies)
{
    uint8_t *data = frame_data(p, frame), *bytes, *copy;
    struct map_entry entry;
    unsigned index = (unsigned)copies->count;
    bool entered;
    size_t size;

    assert(index < POOL_BATCH);
    if (!copies->room) copies->room = sdb__pool_room_get(p);
    if (!copies->room) return SDB_NOMEM;
    bytes = sdb__pool_bytes(p, data, &copies->room, index, &size);
    copy = sdb__pack_room_page(copies->room, index);
    if (bytes == data) memcpy(copy, data, size);
    TRY(sdb__pool_take(p, size, bytes == data ? PLACE_PAGE : PLACE_PACKED, &entry.place));
    entry.checksum = sdb__digest(copy, size, 0);
    TRY(enter(p, id, &p->frames[frame], entry, &entered));
    if (!entered) return SDB_OK;
    copies->ids[index] = id;
    copies->frames[index] = frame;
    copies->ops[index] = (struct io_op){.file = p->options.file, .memory = copy,
                                        .offset = place_offset(entry.place), .size = size,
                                        .kind = IO_WRITE};
    copies->count++;
    return SDB_OK;
}

/* The page is not where the map says: it has to be written again. It may have ended meanwhile. */
static void make_dirty(struct pager *p, uint64_t id)
{
    struct frame *f;
    uint32_t frame;

    if (!sdb__pool_try_shared(p, id, true, &frame)) return;
    f = &p->frames[frame];
    if (!atomic_exchange_explicit(&f->dirty, true, memory_order_relaxed)) {
        atomic_fetch_add_explicit(&p->dirty_count, 1, memory_order_relaxed);
        atomic_store_explicit(&f->epoch, atomic_load(&p->epoch), memory_order_relaxed);
    }
    sdb__pool_release_shared(p, id);
}

sdb_status sdb__pool_write_copies(struct pager *p, struct copies *copies)
{
    struct io_queue *queue;
    sdb_status status = SDB_OK;

    if (copies->count) status = sdb__pool_queue_get(p, &queue);
    if (copies->count && status == SDB_OK) {
        status = sdb__io_run(queue, copies->ops, copies->count);
        sdb__pool_queue_put(p, queue);
    }
    for (size_t i = 0; i < copies->count; i++) {
        if (status != SDB_OK) make_dirty(p, copies->ids[i]);
        atomic_store_explicit(&p->frames[copies->frames[i]].leaving, false, memory_order_release);
    }
    if (status == SDB_OK)
        atomic_fetch_add_explicit(&p->written, copies->count, memory_order_relaxed);
    copies->count = 0;
    sdb__pool_room_put(p, copies->room);
    copies->room = NULL;
    return status;
}
