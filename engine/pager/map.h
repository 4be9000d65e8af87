/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map.h: the page map: id → place and checksum, now and as of the checkpoint being written.
 *
 * On disk the map is *chunks* of page_size bytes, page_size / 16 entries each, and a *directory*,
 * which lists a place and a checksum for each chunk. Both are written anew where they changed. In
 * memory the map is whole.
 *
 * An entry is (place u64, checksum u64). A place packs first block (40 bits), blocks − 1 (22), kind
 * (2); 0 is "no such page", which no real place can be, since block 0 holds a superblock.
 *
 * Not locked: the pager's map lock covers it.
 */
#ifndef SDB_ENGINE_PAGER_MAP_H
#define SDB_ENGINE_PAGER_MAP_H

#include "engine/io/io.h"
#include "engine/pager/space.h"
#include "engine/pager/superblock.h"

enum { MAP_ENTRY_SIZE = 16 };

/* PLACE_PACKED: a page that takes fewer blocks than its size (pack.h); 3 is kept for extents */
enum place_kind { PLACE_PAGE = 0, PLACE_EXTENT = 1, PLACE_PACKED = 2 };

static inline uint64_t place_pack(uint64_t first, uint64_t blocks, enum place_kind kind)
{
    return first | (blocks - 1) << 40 | (uint64_t)kind << 62;
}

static inline uint64_t place_first(uint64_t place)
{
    return place & ((UINT64_C(1) << 40) - 1);
}

static inline uint64_t place_blocks(uint64_t place)
{
    return (place >> 40 & ((UINT64_C(1) << 22) - 1)) + 1;
}

static inline unsigned place_kind(uint64_t place)
{
    return (unsigned)(place >> 62);
}

static inline uint64_t place_offset(uint64_t place)
{
    return place_first(place) * SPACE_BLOCK;
}

/* A page, packed or not. */
static inline bool place_is_page(uint64_t place)
{
    return place && (place_kind(place) == PLACE_PAGE || place_kind(place) == PLACE_PACKED);
}

/* Bytes of the blocks. */
static inline uint64_t place_bytes(uint64_t place)
{
    return place_blocks(place) * SPACE_BLOCK;
}

struct map_entry {
    uint64_t place;
    uint64_t checksum;
};

struct map_chunk {
    struct map_entry *entries;
    struct map_entry *before; /* as of the cut, where that differs from now; otherwise NULL */
    uint64_t *fresh;          /* one bit an entry: its place was taken in epoch fresh_epoch */
    uint64_t fresh_epoch;
    struct map_entry stored;  /* where the last durable checkpoint has this chunk */
    /* where the checkpoint being written has it; place 0: not written yet */
    struct map_entry next;
    bool changed;             /* since the cut, or since it was stored */
    bool changed_cut;         /* the checkpoint being written must store it */
};

/* Blocks that fell out of use. */
struct run_list {
    uint64_t *places;
    size_t count, capacity;
};

struct map {
    const sdb_allocator *allocator;
    struct map_chunk *chunks;
    size_t count, capacity;
    uint32_t per_chunk;
    uint64_t epoch;         /* grows with each cut; changes made now belong to it */
    bool cutting;           /* a checkpoint of everything before `epoch` is being written */
    struct run_list dropped_cut; /* free once the checkpoint being written is durable */
    struct run_list dropped;     /* free once the one after it is */
    struct run_list dropped_pinned; /* free once the pins are gone, too */
    struct space space;
    struct map_entry directory, directory_next; /* like stored and next of a chunk */
    uint64_t pages, extents; /* ids in use */
    uint64_t packed, packed_blocks; /* packed pages, and what they take */
};

SDB_MUST_USE sdb_status sdb__map_init(struct map *map, const sdb_allocator *allocator,
                                      uint32_t page_size);
void sdb__map_done(struct map *map);

/* Memory that the map and the space map take, without what a checkpoint adds for its time. */
uint64_t sdb__map_bytes(const struct map *map);

/* Counts an entry in (1) or out (-1). */
static inline void map_count(struct map *map, uint64_t place, int sign)
{
    uint64_t by = (uint64_t)(int64_t)sign;

    if (place == 0) return;
    if (!place_is_page(place)) {
        map->extents += by;
        return;
    }
    map->pages += by;
    if (place_kind(place) != PLACE_PACKED) return;
    map->packed += by;
    map->packed_blocks += by * place_blocks(place);
}

/* Makes the map reach to `id`. */
SDB_MUST_USE sdb_status sdb__map_reach(struct map *map, uint64_t id);

/* The entry of an id, or one with place 0. */
struct map_entry sdb__map_get(const struct map *map, uint64_t id);

/*
 * Sets the entry of an id (within reach) to what was written by a change of epoch `epoch`; the old
 * place is dropped under P1 unless keep_old. SDB_NOMEM leaves everything as it was.
 */
SDB_MUST_USE sdb_status sdb__map_set(struct map *map, uint64_t id, struct map_entry entry,
                                     uint64_t epoch, bool keep_old);

/*
 * Drops a place that no entry names (any more). Never fails: without memory for the list the blocks
 * stay in use until the next open.
 */
void sdb__map_drop(struct map *map, uint64_t place);

/* The three steps of a checkpoint, for the map's part. */
void sdb__map_cut(struct map *map);
/* The bytes of chunk `index` as of the cut: page_size of them. */
void sdb__map_encode_chunk(const struct map *map, size_t index, uint8_t *to);
/*
 * durable: what only the checkpoint before needed is given back (or kept for pins). Otherwise this
 * checkpoint is forgotten, and what was written of its map is given back.
 */
void sdb__map_end(struct map *map, bool durable, bool pinned);
void sdb__map_unpinned(struct map *map);
/* Gives a place back that the checkpoint before the durable one was the last to know. */
void sdb__map_retire(struct map *map, uint64_t place, bool pinned);

/* ---- reading a stored map, for opening and for checking ------------------------------------ */

/* One problem in a stored map; returns false to stop. */
typedef bool (*map_problem_fn)(void *context, const char *problem);

/*
 * Reads directory and chunks that `superblock` names into an initialised, empty map, and claims
 * their blocks and those of all entries. Without `problem` the first damage is the answer,
 * SDB_CORRUPT; with it each is reported and what can be read is read (a damaged chunk leaves its
 * ids without pages).
 */
SDB_MUST_USE sdb_status sdb__map_load(struct map *map, struct io_queue *queue,
                                      struct io_file *file, const struct superblock *superblock,
                                      map_problem_fn problem, void *context);

#endif
