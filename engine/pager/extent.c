/* SPDX-License-Identifier: Apache-2.0 */
/*
 * extent.c
 *
 * Idea: bytes too large for a page are written once, in one run, before anything refers to them;
 * afterwards they only change owner. Nobody but the writer knows an extent until it is adopted, so
 * a crash or a refused commit leaves nothing behind.
 * Invariants: I1 an extent's blocks are written before its map entry exists. I2 they are given back
 *   only by release or discard, or by the map when an adopted one is dropped.
 * Costs: one write or read of the whole length, in pieces of EXTENT_PIECE that are in flight
 * together.
 * Not here: caching (the reader owns the memory), compression.
 */
#include "engine/pager/pool.h"

#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"

enum { EXTENT_PIECE = 4 * 1024 * 1024, EXTENT_PIECES = 8 };

static const uint64_t EXTENT_MOST = (UINT64_C(1) << 22) * SPACE_BLOCK; /* what a place can say */

/* Moves a run of bytes between memory and file. */
static sdb_status move(struct pager *p, enum io_kind kind, uint64_t offset, void *memory,
                       uint64_t size)
{
    struct io_queue *queue;
    sdb_status status = SDB_OK;
    uint64_t at = 0;

    TRY(sdb__pool_queue_get(p, &queue));
    while (status == SDB_OK && at < size) {
        struct io_op ops[EXTENT_PIECES];
        size_t count = 0;

        while (count < EXTENT_PIECES && at < size) {
            size_t piece = size - at < EXTENT_PIECE ? (size_t)(size - at) : EXTENT_PIECE;

            ops[count++] = (struct io_op){.file = p->options.file, .memory = (char *)memory + at,
                                          .offset = offset + at, .size = piece, .kind = kind};
            at += piece;
        }
        status = sdb__io_run(queue, ops, count);
        for (size_t i = 0; status == SDB_OK && i < count; i++)
            if (ops[i].done < ops[i].size)
                status = FAIL(SDB_CORRUPT, "%s ends before byte %llu: restore a backup",
                              sdb__io_path(p->options.file),
                              (unsigned long long)(ops[i].offset + ops[i].size));
    }
    sdb__pool_queue_put(p, queue);
    return status;
}

sdb_status sdb__pager_extent_write(struct pager *p, const void *data, uint64_t size,
                                   struct extent *out_extent)
{
    struct extent extent = {.size = size};
    sdb_status status;

    if (size == 0) return FAIL(SDB_INVALID, "an extent of 0 bytes");
    if (size > EXTENT_MOST)
        return FAIL(SDB_LIMIT, "%llu bytes in one piece: no more than %llu can be stored",
                    (unsigned long long)size, (unsigned long long)EXTENT_MOST);
    extent.checksum = sdb__digest(data, size, 0);
    TRY(sdb__pool_take(p, size, PLACE_EXTENT, &extent.place));
    status = move(p, IO_WRITE, place_offset(extent.place), (void *)(uintptr_t)data, size);
    if (status != SDB_OK) {
        sdb__pool_untake(p, extent.place);
        return status;
    }
    *out_extent = extent;
    return SDB_OK;
}

sdb_status sdb__pager_extent_adopt(struct pager *p, const struct extent *extent,
                                   uint64_t *out_id)
{
    struct map_entry entry = {extent->place, extent->checksum};
    uint64_t id;
    sdb_status status;

    TRY(sdb__pool_take_id(p, &id));
    (void)pthread_mutex_lock(&p->map_lock);
    status = sdb__map_set(&p->map, id, entry, p->map.epoch, false);
    if (status != SDB_OK) sdb__pool_give_id_locked(p, id);
    (void)pthread_mutex_unlock(&p->map_lock);
    if (status == SDB_OK) *out_id = id;
    return status;
}

/* The extent that has an id. Under map_lock. */
static sdb_status find_locked(struct pager *p, uint64_t id, uint64_t size,
                              struct extent *out_extent)
{
    struct map_entry entry = sdb__map_get(&p->map, id);

    if (entry.place == 0 || place_kind(entry.place) != PLACE_EXTENT ||
        place_blocks(entry.place) != (size + SPACE_BLOCK - 1) / SPACE_BLOCK)
        return FAIL(SDB_CORRUPT, "%s: extent %llu of %llu bytes is referred to, but there is no "
                    "such extent: run sdb check, restore a backup",
                    sdb__io_path(p->options.file), (unsigned long long)id,
                    (unsigned long long)size);
    *out_extent = (struct extent){entry.place, entry.checksum, size};
    return SDB_OK;
}

sdb_status sdb__pager_extent_find(struct pager *p, uint64_t id, uint64_t size,
                                  struct extent *out_extent)
{
    sdb_status status;

    (void)pthread_mutex_lock(&p->map_lock);
    status = find_locked(p, id, size, out_extent);
    (void)pthread_mutex_unlock(&p->map_lock);
    return status;
}

sdb_status sdb__pager_extent_detach(struct pager *p, uint64_t id, uint64_t size,
                                    struct extent *out_extent)
{
    struct extent extent;
    sdb_status status;

    (void)pthread_mutex_lock(&p->map_lock); /* once: it may be moved between two lockings */
    status = find_locked(p, id, size, &extent);
    if (status == SDB_OK)
        status = sdb__map_set(&p->map, id, (struct map_entry){0, 0}, p->map.epoch, true);
    if (status == SDB_OK) sdb__pool_give_id_locked(p, id);
    (void)pthread_mutex_unlock(&p->map_lock);
    if (status == SDB_OK) *out_extent = extent;
    return status;
}

void sdb__pager_extent_release(struct pager *p, const struct extent *extent)
{
    (void)pthread_mutex_lock(&p->map_lock);
    sdb__map_drop(&p->map, extent->place);
    (void)pthread_mutex_unlock(&p->map_lock);
}

void sdb__pager_extent_discard(struct pager *p, const struct extent *extent)
{
    sdb__pool_untake(p, extent->place);
}

sdb_status sdb__pager_extent_read(struct pager *p, const struct extent *extent, void *memory)
{
    TRY(move(p, IO_READ, place_offset(extent->place), memory, extent->size));
    if (sdb__digest(memory, extent->size, 0) != extent->checksum &&
        !MUTANT(extent_checksum_ignored))
        return FAIL(SDB_CORRUPT, "%s: a large value of %llu bytes at byte %llu is damaged "
                    "(checksum): run sdb check, restore a backup",
                    sdb__io_path(p->options.file), (unsigned long long)extent->size,
                    (unsigned long long)place_offset(extent->place));
    return SDB_OK;
}
