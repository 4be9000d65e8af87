/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_map.c
 *
 * Idea: the log's end as memory, a window of the current segment at a time, so that the log takes
 *   little of the process' memory. The kernel needs as long to fetch a window as the appender to
 *   fill it; so a thread beside the appender's, if there is one, fetches the next while this one is
 *   filled, and gives the last one back.
 * Invariants: I1 a window belongs to a segment by its number, which no other ever has. I2 `map` is
 *   the appender's, `ahead` and `old` are handed over under the mutex. I3 the file of `preparing`
 *   stays open. I4 neighbours overlap by more than what is ever stored at once.
 * Costs: at most three windows of address space, two of them filled.
 * Source: decision 009.
 * Not here: what is stored (wal_append.c); what a map promises (engine/io/posix_map.c).
 */
#include "wal/wal_internal.h"

#include <assert.h>

#include "engine/base/mutant.h"

enum {
    MAP_ALIGN = 4096, /* segments are multiples of it */
    WINDOW = 256 * 1024,
    AHEAD_MOST = 2048 * 1024, /* bytes of a window fetched ahead, */
    AHEAD_PART = 16,          /* and its part of the segment */
    OVERLAP = WAL_STORE_MOST + MAP_ALIGN
};

static void unmap(struct wal_map *map)
{
    sdb__io_unmap(map->memory, map->size);
    map->memory = NULL;
}

/* Maps bytes [from, end), as far as there are any; `from` is aligned. */
static bool make_map(const struct wal_segment *segment, size_t from, size_t end,
                     struct wal_map *out_map)
{
    if (end > segment->file_bytes) end = (size_t)segment->file_bytes;
    out_map->number = segment->number;
    out_map->from = from;
    out_map->size = (end + MAP_ALIGN - 1) / MAP_ALIGN * MAP_ALIGN - from;
    out_map->memory = NULL;
    return sdb__io_map(segment->file, from, out_map->size, &out_map->memory) == SDB_OK;
}

static bool covers(const struct wal_map *map, uint64_t number, size_t offset, size_t size)
{
    if (MUTANT(window_of_another_segment)) number = map->number;
    return map->memory && map->number == number && offset >= map->from &&
           offset + size <= map->from + map->size;
}

/* Takes the window that was fetched ahead; the one before it is somebody's who has the time. */
static void move_on_locked(struct wal *wal)
{
    unmap(&wal->old);
    wal->old = wal->map;
    wal->map = wal->ahead;
    wal->ahead.memory = NULL;
    atomic_store_explicit(&wal->wants_window, true, memory_order_relaxed);
}

uint8_t *sdb__wal_map_locked(struct wal *wal, size_t offset, size_t size)
{
    struct wal_segment *segment = wal->current;

    assert(size <= WAL_STORE_MOST);
    if (segment->unmappable) return NULL;
    if (!covers(&wal->map, segment->number, offset, size)) move_on_locked(wal);
    if (!covers(&wal->map, segment->number, offset, size)) {
        size_t from = offset / MAP_ALIGN * MAP_ALIGN;

        unmap(&wal->map);
        segment->unmappable = !make_map(segment, from, from + WINDOW, &wal->map);
        if (segment->unmappable) return NULL;
    }
    return wal->map.memory + (offset - wal->map.from);
}

/* Larger ones for a larger segment: whoever writes much has the memory, and his thread is late. */
static size_t ahead_bytes(const struct wal_segment *segment)
{
    size_t bytes = (size_t)segment->file_bytes / AHEAD_PART;

    if (bytes < WINDOW) return WINDOW;
    return bytes < AHEAD_MOST ? bytes : AHEAD_MOST;
}

/* The segment and the place in it where the next window begins; NULL: none is to be made. */
static struct wal_segment *next_window_locked(struct wal *wal, size_t *out_from)
{
    struct wal_segment *segment = wal->current;

    if (wal->preparing || wal->ahead.memory || !wal->map.memory) return NULL;
    if (wal->map.number != segment->number) return NULL; /* the appender is further */
    *out_from = wal->map.from + wal->map.size - OVERLAP;
    if (wal->map.from + wal->map.size >= segment->file_bytes) {
        segment = segment->next;
        *out_from = 0;
    }
    return segment && !segment->unmappable ? segment : NULL;
}

void sdb__wal_map_prepare(struct wal *wal)
{
    struct wal_map old, ahead = {.memory = NULL};
    struct wal_segment *segment;
    size_t from = 0;

    pthread_mutex_lock(&wal->mutex);
    atomic_store_explicit(&wal->wants_window, false, memory_order_relaxed);
    old = wal->old;
    wal->old.memory = NULL;
    segment = next_window_locked(wal, &from);
    wal->preparing = segment;
    pthread_mutex_unlock(&wal->mutex);
    unmap(&old);
    if (!segment) return;
    /* If it cannot be had, the appender finds out by itself. */
    if (!make_map(segment, from, from + ahead_bytes(segment), &ahead)) ahead.memory = NULL;
    pthread_mutex_lock(&wal->mutex);
    wal->preparing = NULL;
    assert(!wal->ahead.memory);
    wal->ahead = ahead;
    pthread_mutex_unlock(&wal->mutex);
}

void sdb__wal_map_done(struct wal *wal)
{
    unmap(&wal->map);
    unmap(&wal->ahead);
    unmap(&wal->old);
}
