/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map_load.c
 *
 * Idea: one reader of the stored map serves opening (stop at the first damage) and checking (tell
 * all).
 * Invariants: I1 after a load, every entry's run lies within the file's blocks and overlaps no
 * other.
 *   I2 memory and reads are bounded by the size of the file, whatever a forged superblock says.
 * Costs: one read of page_size bytes for each page_size / 16 pages.
 * Not here: what the pages contain.
 */
#include "engine/pager/map.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/mem.h"
#include "engine/base/status.h"

struct loader {
    struct map *map;
    struct io_queue *queue;
    struct io_file *file;
    const struct superblock *superblock;
    map_problem_fn problem;
    void *context;
    uint64_t file_blocks; /* the last one may be there in part: an extent's end */
    uint64_t beyond;      /* pages and extents that the file is too short for */
};

/* Reports damage: SDB_CORRUPT when the load must stop there, SDB_OK when it goes on. */
static sdb_status complain(struct loader *l, const char *format, unsigned long long a,
                           unsigned long long b)
{
    char text[200];

    /* The formats are this file's own literals, with two %llu each. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    (void)snprintf(text, sizeof text, format, a, b);
#pragma GCC diagnostic pop
    if (l->problem && l->problem(l->context, text)) return SDB_OK;
    return FAIL(SDB_CORRUPT, "%s: %s", sdb__io_path(l->file), text);
}

static bool is_inside(const struct loader *l, uint64_t place)
{
    uint64_t first = place_first(place), blocks = place_blocks(place);

    return first >= SUPERBLOCK_SLOTS * SUPERBLOCK_SIZE / SPACE_BLOCK &&
           first + blocks <= l->superblock->end_block;
}

/*
 * Reads `bytes` bytes from a place of the map's own and verifies them. *out_good says whether they
 * can be used.
 */
static sdb_status read_verified(struct loader *l, struct map_entry at, uint8_t *to, size_t bytes,
                                const char *what, uint64_t index, bool *out_good)
{
    char format[160];
    sdb_status status = SDB_CORRUPT;

    *out_good = false;
    if (is_inside(l, at.place) && place_blocks(at.place) * SPACE_BLOCK >= bytes &&
        place_first(at.place) + place_blocks(at.place) <= l->file_blocks) {
        status = sdb__space_claim(&l->map->space, place_first(at.place), place_blocks(at.place));
        if (status == SDB_NOMEM) return status;
        if (status == SDB_OK)
            status = sdb__io_read(l->queue, l->file, to, bytes, place_offset(at.place));
        if (status == SDB_IO || status == SDB_NOMEM) return status;
        if (status == SDB_OK && sdb__digest(to, bytes, 0) != at.checksum) status = SDB_CORRUPT;
    }
    if (status == SDB_OK) {
        *out_good = true;
        return SDB_OK;
    }
    (void)snprintf(format, sizeof format,
                   "page map: %s %%llu at byte %%llu is damaged: restore a backup", what);
    return complain(l, format, (unsigned long long)index,
                    (unsigned long long)place_offset(at.place));
}

/* Takes over one entry of chunk bytes. */
static sdb_status take_entry(struct loader *l, struct map_chunk *chunk, uint64_t id,
                             struct map_entry entry)
{
    uint64_t page_blocks = l->superblock->page_size / SPACE_BLOCK;
    sdb_status status;

    if (entry.place == 0) return SDB_OK;
    if (place_kind(entry.place) > PLACE_PACKED || !is_inside(l, entry.place) ||
        id >= l->superblock->page_limit || id == 0 ||
        (place_kind(entry.place) == PLACE_PAGE && place_blocks(entry.place) != page_blocks) ||
        (place_kind(entry.place) == PLACE_PACKED &&
         (place_blocks(entry.place) >= page_blocks ||
          !(l->superblock->features & FEATURE_PACKING))))
        return complain(l, "page map: page %llu has an impossible place %#llx", id, entry.place);
    if (place_first(entry.place) + place_blocks(entry.place) > l->file_blocks) {
        l->beyond++;
        return SDB_OK;
    }
    status = sdb__space_claim(&l->map->space, place_first(entry.place),
                              place_blocks(entry.place));
    if (status == SDB_CORRUPT)
        return complain(l, "page map: page %llu at block %llu uses space that is in use already",
                        id, place_first(entry.place));
    if (status != SDB_OK) return status;
    chunk->entries[id % l->map->per_chunk] = entry;
    map_count(l->map, entry.place, 1);
    return SDB_OK;
}

static sdb_status load_chunk(struct loader *l, size_t index, uint8_t *bytes)
{
    struct map_chunk *chunk = &l->map->chunks[index];
    size_t size = (size_t)l->map->per_chunk * MAP_ENTRY_SIZE;
    bool good;

    TRY(read_verified(l, chunk->stored, bytes, size, "chunk", index, &good));
    for (uint32_t i = 0; good && i < l->map->per_chunk; i++) {
        const uint8_t *at = bytes + i * MAP_ENTRY_SIZE;
        struct map_entry entry = {get_u64(at), get_u64(at + 8)};

        TRY(take_entry(l, chunk, index * (uint64_t)l->map->per_chunk + i, entry));
    }
    return SDB_OK;
}

sdb_status sdb__map_load(struct map *map, struct io_queue *queue, struct io_file *file,
                         const struct superblock *superblock, map_problem_fn problem,
                         void *context)
{
    struct loader l = {map, queue, file, superblock, problem, context, 0, 0};
    size_t bytes = (size_t)superblock->chunks * MAP_ENTRY_SIZE;
    uint64_t file_bytes;
    uint8_t *directory = NULL, *chunk = NULL;
    sdb_status status;
    bool good;

    TRY(sdb__io_size(file, &file_bytes));
    l.file_blocks = (file_bytes + SPACE_BLOCK - 1) / SPACE_BLOCK;
    if (superblock->chunks > file_bytes / superblock->page_size)
        return complain(&l, "superblock: %llu map chunks cannot be in a file of %llu bytes",
                        superblock->chunks, file_bytes);
    map->directory = (struct map_entry){superblock->directory_place,
                                        superblock->directory_checksum};
    directory = sdb__mem_alloc(map->allocator, bytes);
    chunk = sdb__mem_alloc(map->allocator, superblock->page_size);
    status = directory && chunk ? SDB_OK : SDB_NOMEM;
    if (status == SDB_OK)
        status = read_verified(&l, map->directory, directory, bytes, "directory", 0, &good);
    if (status == SDB_OK && good && superblock->page_limit)
        status = sdb__map_reach(map, superblock->page_limit - 1);
    for (size_t i = 0; status == SDB_OK && good && i < map->count; i++) {
        map->chunks[i].changed = false;
        map->chunks[i].stored.place = get_u64(directory + i * MAP_ENTRY_SIZE);
        map->chunks[i].stored.checksum = get_u64(directory + i * MAP_ENTRY_SIZE + 8);
        status = load_chunk(&l, i, chunk);
    }
    sdb__mem_free(map->allocator, directory);
    sdb__mem_free(map->allocator, chunk);
    if (status == SDB_OK && l.beyond)
        status = complain(&l, "the file has %llu bytes, and %llu pages and large values stand "
                          "beyond its end: it was cut short; restore a backup", file_bytes,
                          l.beyond);
    return status;
}
