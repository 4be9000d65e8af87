/* SPDX-License-Identifier: Apache-2.0 */
/*
 * move.c: what stands at one place of the file, moved to another.
 *
 * Idea: a page moves when it is written, and it is written when it is dirty: moving a page is
 * making it dirty. An extent is copied, and its map entry changed if it is still the same. A chunk
 * of the map is stored anew. Where all of that goes is what the search for free blocks says, which
 * is sent back to the beginning of the file before.
 * Invariants: I1 P1 holds, since a move is a change like any other: the old place is given back
 *   when a checkpoint without it is durable. I2 an extent's bytes are verified before its entry
 *   changes.
 *   I3 what a kept checkpoint holds is not moved: its old place would not become free.
 * Costs: one read and one write of what moves. Not here: what to move (index/kv/vacuum.c).
 */
#include "engine/pager/pool.h"

#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/digest.h"
#include "engine/base/mem.h"
#include "engine/base/status.h"

enum { PIECE = 1024 * 1024 };

void sdb__pager_place(struct pager *p, enum pager_placing placing)
{
    (void)pthread_mutex_lock(&p->map_lock);
    p->map.space.append = placing == PAGER_PLACE_LAST;
    if (placing == PAGER_PLACE_FIRST) sdb__space_rewind(&p->map.space);
    (void)pthread_mutex_unlock(&p->map_lock);
}

void sdb__pager_layout(struct pager *p, uint64_t *out_end, uint64_t *out_used)
{
    (void)pthread_mutex_lock(&p->map_lock);
    sdb__space_shrink(&p->map.space);
    *out_end = p->map.space.end;
    *out_used = p->map.space.used;
    (void)pthread_mutex_unlock(&p->map_lock);
}

size_t sdb__pager_list_moves(struct pager *p, uint64_t from, uint64_t to, uint64_t *after,
                             struct pager_move *moves, size_t capacity)
{
    const struct map *map = &p->map;
    size_t count = 0;

    (void)pthread_mutex_lock(&p->map_lock);
    while (count < capacity && *after + 1 < (uint64_t)map->count * map->per_chunk) {
        uint64_t id = ++*after, place = sdb__map_get(map, id).place;

        if (place && place_first(place) >= from && place_first(place) < to &&
            !sdb__space_is_held(&map->space, place_first(place), place_blocks(place)))
            moves[count++] = (struct pager_move){id, place_is_page(place)};
        if (id % map->per_chunk == 0 && count) break; /* a chunk is enough for one locking */
    }
    (void)pthread_mutex_unlock(&p->map_lock);
    return count;
}

void sdb__pager_move_map(struct pager *p, uint64_t from, uint64_t to)
{
    (void)pthread_mutex_lock(&p->map_lock);
    for (size_t i = 0; i < p->map.count; i++) {
        struct map_chunk *chunk = &p->map.chunks[i];
        uint64_t first = place_first(chunk->stored.place);

        if (chunk->stored.place && first >= from && first < to &&
            !sdb__space_is_held(&p->map.space, first, place_blocks(chunk->stored.place)))
            chunk->changed = true;
    }
    (void)pthread_mutex_unlock(&p->map_lock);
}

/* ---- pages -------------------------------------------------------------------------------- */

sdb_status sdb__pager_move_page(struct pager *p, uint64_t id)
{
    struct page page;
    sdb_status status = sdb__pager_latch_exclusive(p, id, &page);

    if (status == SDB_CORRUPT && !place_is_page(sdb__pool_entry(p, id).place))
        return SDB_OK; /* gone */
    if (status != SDB_OK) return status;
    status = sdb__pager_dirty(p, &page);
    sdb__pager_unlatch_exclusive(p, &page);
    return status;
}

/* ---- extents ------------------------------------------------------------------------------ */

/*
 * True if the digest of what was added and of a beginning of the last block is `checksum`: how many
 * bytes of it belong to the extent only a leaf knows.
 */
static bool is_checksum(const struct digest *before, const uint8_t *last, uint64_t checksum)
{
    for (size_t size = SPACE_BLOCK; size > 0; size--) {
        struct digest digest = *before;

        sdb__digest_add(&digest, last, size);
        if (sdb__digest_end(&digest) == checksum) return true;
    }
    return false;
}

/* Reads a piece; the file may end in the last block. */
static sdb_status read_piece(struct pager *p, struct io_queue *queue, uint8_t *memory, size_t size,
                             uint64_t offset)
{
    struct io_op op = {.file = p->options.file, .kind = IO_READ, .memory = memory, .size = size,
                       .offset = offset};

    TRY(sdb__io_run(queue, &op, 1));
    memset(memory + op.done, 0, size - op.done);
    return SDB_OK;
}

/* Copies the blocks of an extent to a place. SDB_END: they are not what the checksum says. */
static sdb_status copy_extent(struct pager *p, struct io_queue *queue, uint8_t *memory,
                              struct map_entry from, uint64_t to)
{
    uint64_t bytes = place_bytes(from.place);
    struct digest digest;
    bool good = false;

    sdb__digest_begin(&digest);
    for (uint64_t at = 0; at < bytes; at += PIECE) {
        size_t piece = bytes - at < PIECE ? (size_t)(bytes - at) : PIECE;
        size_t sure = at + piece < bytes ? piece : piece - SPACE_BLOCK;

        TRY(read_piece(p, queue, memory, piece, place_offset(from.place) + at));
        sdb__digest_add(&digest, memory, sure);
        if (sure < piece) good = is_checksum(&digest, memory + sure, from.checksum);
        TRY(sdb__io_write(queue, p->options.file, memory, piece, place_offset(to) + at));
    }
    return good ? SDB_OK : SDB_END;
}

/* Enters the copy, unless the extent has gone meanwhile. */
static sdb_status enter_copy(struct pager *p, uint64_t id, struct map_entry from,
                             struct map_entry to)
{
    struct map_entry now;
    sdb_status status = SDB_END;

    (void)pthread_mutex_lock(&p->map_lock);
    now = sdb__map_get(&p->map, id);
    if (now.place == from.place && now.checksum == from.checksum)
        status = sdb__map_set(&p->map, id, to, p->map.epoch, false);
    if (status != SDB_OK)
        sdb__space_give(&p->map.space, place_first(to.place), place_blocks(to.place));
    (void)pthread_mutex_unlock(&p->map_lock);
    return status == SDB_END ? SDB_OK : status;
}

sdb_status sdb__pager_move_extent(struct pager *p, uint64_t id)
{
    struct map_entry from = sdb__pool_entry(p, id), to = from;
    uint8_t *memory;
    struct io_queue *queue;
    sdb_status status;

    if (from.place == 0 || place_is_page(from.place)) return SDB_OK;
    memory = sdb__mem_alloc(p->allocator, PIECE);
    if (!memory) return SDB_NOMEM;
    status = sdb__pool_queue_get(p, &queue);
    if (status == SDB_OK) {
        status = sdb__pool_take(p, place_bytes(from.place), PLACE_EXTENT, &to.place);
        if (status == SDB_OK) {
            status = copy_extent(p, queue, memory, from, to.place);
            if (status == SDB_OK) status = enter_copy(p, id, from, to);
            else sdb__pool_untake(p, to.place);
        }
        sdb__pool_queue_put(p, queue);
    }
    sdb__mem_free(p->allocator, memory);
    if (status != SDB_END) return status;
    if (sdb__pool_entry(p, id).place != from.place) return SDB_OK; /* it went while it was read */
    return FAIL(SDB_CORRUPT, "%s: extent %llu at byte %llu is damaged (checksum): run sdb check, "
                "restore a backup", sdb__io_path(p->options.file), (unsigned long long)id,
                (unsigned long long)place_offset(from.place));
}
