/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map.c
 *
 * Idea: two instants at once. While a checkpoint is being written, an entry can differ from what it
 * was at the cut; the first such change copies its chunk's entries to `before`, which the
 * checkpoint stores.
 *
 *          cut                       durable
 *     ------|---------------------------|------
 *     old image written, entry set      |        epoch e: goes to entries (and to before, if there)
 *           page changes, is evicted, entry set  epoch e+1: goes to entries only
 *
 * Invariants: I1 an image of epoch e is written before the same page changes in e+1, so a set with
 *   the older epoch never finds a newer entry in its way. I2 a place is in `space` as used from its
 *   writing until it is given back in map_end, or at once if no checkpoint can know it (it is
 *   fresh).
 * Costs: 16 bytes a page, 1 bit for freshness; page_size bytes for a chunk that changes under a
 * checkpoint.
 * Not here: reading and writing pages; locks.
 */
#include "engine/pager/map.h"

#include <assert.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/mem.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"

static_assert(sizeof(struct map_entry) == MAP_ENTRY_SIZE, "an entry in memory is one on disk");

sdb_status sdb__map_init(struct map *map, const sdb_allocator *allocator, uint32_t page_size)
{
    *map = (struct map){.allocator = allocator, .per_chunk = page_size / MAP_ENTRY_SIZE,
                        .epoch = 1};
    return sdb__space_init(&map->space, allocator,
                           SUPERBLOCK_SLOTS * SUPERBLOCK_SIZE / SPACE_BLOCK);
}

static void run_list_done(const sdb_allocator *allocator, struct run_list *list)
{
    sdb__mem_free(allocator, list->places);
    *list = (struct run_list){0};
}

void sdb__map_done(struct map *map)
{
    if (!map->allocator) return;
    for (size_t i = 0; i < map->count; i++) {
        sdb__mem_free(map->allocator, map->chunks[i].entries);
        sdb__mem_free(map->allocator, map->chunks[i].before);
        sdb__mem_free(map->allocator, map->chunks[i].fresh);
    }
    sdb__mem_free(map->allocator, map->chunks);
    run_list_done(map->allocator, &map->dropped_cut);
    run_list_done(map->allocator, &map->dropped);
    run_list_done(map->allocator, &map->dropped_pinned);
    sdb__space_done(&map->space);
    *map = (struct map){0};
}

sdb_status sdb__map_reach(struct map *map, uint64_t id)
{
    size_t need = (size_t)(id / map->per_chunk) + 1;

    TRY(sdb__mem_reserve(map->allocator, &map->chunks, &map->capacity, need,
                         sizeof *map->chunks));
    while (map->count < need) {
        struct map_chunk chunk = {0};

        chunk.entries = sdb__mem_zalloc(map->allocator, map->per_chunk, sizeof *chunk.entries);
        chunk.fresh = sdb__mem_zalloc(map->allocator, map->per_chunk / 64, sizeof *chunk.fresh);
        if (!chunk.entries || !chunk.fresh) {
            sdb__mem_free(map->allocator, chunk.entries);
            sdb__mem_free(map->allocator, chunk.fresh);
            return SDB_NOMEM;
        }
        chunk.changed = true;
        map->chunks[map->count++] = chunk;
    }
    return SDB_OK;
}

uint64_t sdb__map_bytes(const struct map *map)
{
    uint64_t chunk = map->per_chunk * sizeof *map->chunks->entries + map->per_chunk / 8;

    return map->count * chunk + map->capacity * sizeof *map->chunks +
           (map->space.word_capacity + map->space.held.capacity) * sizeof *map->space.words +
           map->space.idle_capacity;
}

struct map_entry sdb__map_get(const struct map *map, uint64_t id)
{
    size_t index = (size_t)(id / map->per_chunk);

    if (index >= map->count) return (struct map_entry){0, 0};
    return map->chunks[index].entries[id % map->per_chunk];
}

static sdb_status run_list_add(const sdb_allocator *allocator, struct run_list *list,
                               uint64_t place)
{
    TRY(sdb__mem_reserve(allocator, &list->places, &list->capacity, list->count + 1,
                         sizeof *list->places));
    list->places[list->count++] = place;
    return SDB_OK;
}

static void give_back(struct map *map, uint64_t place)
{
    sdb__space_give(&map->space, place_first(place), place_blocks(place));
}

static bool is_fresh(const struct map *map, const struct map_chunk *chunk, uint64_t slot)
{
    return chunk->fresh_epoch == map->epoch && (chunk->fresh[slot / 64] >> (slot % 64) & 1);
}

static void set_fresh(struct map *map, struct map_chunk *chunk, uint64_t slot, bool fresh)
{
    uint64_t bit = UINT64_C(1) << (slot % 64);

    if (chunk->fresh_epoch != map->epoch) {
        memset(chunk->fresh, 0, map->per_chunk / 64 * sizeof *chunk->fresh);
        chunk->fresh_epoch = map->epoch;
    }
    if (fresh)
        chunk->fresh[slot / 64] |= bit;
    else
        chunk->fresh[slot / 64] &= ~bit;
}

/* Copies the chunk's entries as of the cut, before the first newer change. */
static sdb_status keep_before(struct map *map, struct map_chunk *chunk)
{
    size_t bytes = map->per_chunk * sizeof *chunk->entries;

    if (!map->cutting || chunk->before) return SDB_OK;
    chunk->before = sdb__mem_alloc(map->allocator, bytes);
    if (!chunk->before) return SDB_NOMEM;
    memcpy(chunk->before, chunk->entries, bytes);
    return SDB_OK;
}

sdb_status sdb__map_set(struct map *map, uint64_t id, struct map_entry entry, uint64_t epoch,
                        bool keep_old)
{
    struct map_chunk *chunk = &map->chunks[id / map->per_chunk];
    uint64_t slot = id % map->per_chunk;
    struct map_entry *now = &chunk->entries[slot];
    bool of_cut = map->cutting && epoch < map->epoch, fresh = is_fresh(map, chunk, slot);

    if (now->place && !keep_old && (of_cut || !fresh))
        TRY(sdb__mem_reserve(map->allocator,
                             of_cut ? &map->dropped_cut.places : &map->dropped.places,
                             of_cut ? &map->dropped_cut.capacity : &map->dropped.capacity,
                             (of_cut ? map->dropped_cut.count : map->dropped.count) + 1,
                             sizeof(uint64_t)));
    if (!of_cut) TRY(keep_before(map, chunk));
    if (now->place && !keep_old) {
        if (of_cut)
            map->dropped_cut.places[map->dropped_cut.count++] = now->place;
        else if (fresh || MUTANT(blocks_reused_too_early))
            give_back(map, now->place);
        else
            map->dropped.places[map->dropped.count++] = now->place;
    }
    map_count(map, now->place, -1);
    map_count(map, entry.place, 1);
    *now = entry;
    if (of_cut) {
        if (chunk->before) chunk->before[slot] = entry;
        chunk->changed_cut = true;
    } else {
        set_fresh(map, chunk, slot, entry.place != 0);
        chunk->changed = true;
    }
    return SDB_OK;
}

void sdb__map_drop(struct map *map, uint64_t place)
{
    (void)!run_list_add(map->allocator, &map->dropped, place);
}

void sdb__map_cut(struct map *map)
{
    assert(!map->cutting);
    for (size_t i = 0; i < map->count; i++) {
        map->chunks[i].changed_cut |= map->chunks[i].changed;
        map->chunks[i].changed = false;
    }
    for (size_t i = 0; i < map->dropped.count; i++)
        if (run_list_add(map->allocator, &map->dropped_cut, map->dropped.places[i])) break;
    map->dropped.count = 0;
    map->epoch++;
    map->cutting = true;
}

void sdb__map_encode_chunk(const struct map *map, size_t index, uint8_t *to)
{
    const struct map_chunk *chunk = &map->chunks[index];
    const struct map_entry *entries = chunk->before ? chunk->before : chunk->entries;

    for (uint32_t i = 0; i < map->per_chunk; i++) {
        put_u64(to + i * MAP_ENTRY_SIZE, entries[i].place);
        put_u64(to + i * MAP_ENTRY_SIZE + 8, entries[i].checksum);
    }
}

void sdb__map_retire(struct map *map, uint64_t place, bool pinned)
{
    if (!pinned) give_back(map, place);
    else (void)!run_list_add(map->allocator, &map->dropped_pinned, place);
}

/* Settles where a chunk or the directory stands, now that the checkpoint has ended. */
static void settle(struct map *map, struct map_entry *stored, struct map_entry *next,
                   bool durable, bool pinned)
{
    if (next->place && durable) {
        if (stored->place) sdb__map_retire(map, stored->place, pinned);
        *stored = *next;
    } else if (next->place) {
        give_back(map, next->place);
    }
    *next = (struct map_entry){0, 0};
}

void sdb__map_end(struct map *map, bool durable, bool pinned)
{
    map->cutting = false;
    for (size_t i = 0; i < map->count; i++) {
        struct map_chunk *chunk = &map->chunks[i];

        sdb__mem_free(map->allocator, chunk->before);
        chunk->before = NULL;
        if (durable) chunk->changed_cut = false;
        settle(map, &chunk->stored, &chunk->next, durable, pinned);
    }
    settle(map, &map->directory, &map->directory_next, durable, pinned);
    if (!durable) return; /* what was dropped waits for the next checkpoint */
    for (size_t i = 0; i < map->dropped_cut.count; i++)
        sdb__map_retire(map, map->dropped_cut.places[i], pinned);
    map->dropped_cut.count = 0;
}

void sdb__map_unpinned(struct map *map)
{
    for (size_t i = 0; i < map->dropped_pinned.count; i++)
        give_back(map, map->dropped_pinned.places[i]);
    map->dropped_pinned.count = 0;
}
