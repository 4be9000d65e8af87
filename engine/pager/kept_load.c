/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kept_load.c: kept checkpoints, read from the file.
 *
 * Idea: what blocks a kept checkpoint needs stands nowhere but in its page map, so opening reads
 * the maps of all that is kept. Two checkpoints share the chunks of the map in which nothing has
 * changed between them: a chunk that has been read is not read again.
 * Invariants: I1 a damaged page map costs its own checkpoint, not the database: what it still tells
 *   is held. A damaged table costs all, since nothing tells then what must not be overwritten. I2
 *   memory and reads are bounded by the size of the file.
 * Costs: one read of page_size bytes for each chunk that is stored, however many share it.
 * Not here: verifying pages (index/kv/verify.c), pagers of kept checkpoints (pager.c).
 */
#include "engine/pager/pool.h"

#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/mem.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"

static const uint64_t first_block = SUPERBLOCK_SLOTS * SUPERBLOCK_SIZE / SPACE_BLOCK;

sdb_status sdb__kept_read(const sdb_allocator *allocator, struct io_queue *queue,
                          struct io_file *file, const struct superblock *s,
                          struct pager_kept **out_records)
{
    size_t size = (size_t)s->kept_count * KEPT_RECORD;
    struct pager_kept *records = NULL;
    uint8_t *bytes = NULL;
    bool good = place_first(s->kept_place) >= first_block &&
                place_first(s->kept_place) + place_blocks(s->kept_place) <= s->end_block &&
                place_kind(s->kept_place) == PLACE_EXTENT && place_bytes(s->kept_place) >= size;
    sdb_status status = SDB_OK;

    *out_records = NULL;
    if (s->kept_count == 0) return SDB_OK;
    if (good) {
        bytes = sdb__mem_alloc(allocator, size);
        records = sdb__mem_zalloc(allocator, (size_t)s->kept_count, sizeof *records);
        status = bytes && records ? SDB_OK : SDB_NOMEM;
        if (status == SDB_OK)
            status = sdb__io_read(queue, file, bytes, size, place_offset(s->kept_place));
    }
    good = good && status == SDB_OK && sdb__digest(bytes, size, 0) == s->kept_checksum;
    for (size_t i = 0; good && i < s->kept_count; i++)
        good = sdb__kept_decode(bytes + i * KEPT_RECORD, s, &records[i]) &&
               (i == 0 || strcmp(records[i - 1].name, records[i].name) < 0);
    sdb__mem_free(allocator, bytes);
    if (good) {
        *out_records = records;
        return SDB_OK;
    }
    sdb__mem_free(allocator, records);
    if (status != SDB_OK && status != SDB_CORRUPT) return status;
    return FAIL(SDB_CORRUPT, "%s: the table of snapshots at byte %llu is damaged: restore a backup",
                sdb__io_path(file), (unsigned long long)place_offset(s->kept_place));
}

/* ---- what they need ------------------------------------------------------------------------ */

struct collector {
    struct pager *pager;
    struct io_queue *queue;
    struct block_set *set, read; /* first blocks of the chunks that have been read */
    uint64_t file_blocks;
    uint8_t *chunk;
};

/* Whether there can be such a run. */
static bool is_inside(const struct collector *c, const struct superblock *s, uint64_t place)
{
    uint64_t first = place_first(place), end = first + place_blocks(place);

    return first >= first_block && end <= s->end_block && end <= c->file_blocks;
}

static sdb_status add(struct collector *c, uint64_t place)
{
    return sdb__blocks_add(c->pager->allocator, c->set, place_first(place), place_blocks(place));
}

/* Adds a part of a map and reads it. *out_good false: it cannot be used. */
static sdb_status read_part(struct collector *c, const struct superblock *s, struct map_entry at,
                            uint8_t *to, size_t size, bool *out_good)
{
    sdb_status status;

    *out_good = false;
    if (!is_inside(c, s, at.place) || place_bytes(at.place) < size) return SDB_OK;
    TRY(add(c, at.place));
    status = sdb__io_read(c->queue, c->pager->options.file, to, size, place_offset(at.place));
    if (status != SDB_OK && status != SDB_CORRUPT) return status;
    *out_good = status == SDB_OK && sdb__digest(to, size, 0) == at.checksum;
    return SDB_OK;
}

static sdb_status collect_chunk(struct collector *c, const struct superblock *s,
                                struct map_entry at)
{
    bool good;

    if (at.place && sdb__blocks_has(&c->read, place_first(at.place))) return SDB_OK;
    TRY(read_part(c, s, at, c->chunk, s->page_size, &good));
    if (!good) return SDB_OK;
    TRY(sdb__blocks_add(c->pager->allocator, &c->read, place_first(at.place), 1));
    for (uint32_t i = 0; i < s->page_size / MAP_ENTRY_SIZE; i++) {
        uint64_t place = get_u64(c->chunk + (size_t)i * MAP_ENTRY_SIZE);

        if (place && is_inside(c, s, place)) TRY(add(c, place));
    }
    return SDB_OK;
}

static sdb_status collect_one(struct collector *c, const struct superblock *s)
{
    const sdb_allocator *allocator = c->pager->allocator;
    size_t size = (size_t)s->chunks * MAP_ENTRY_SIZE;
    struct map_entry at = {s->directory_place, s->directory_checksum};
    uint8_t *directory;
    bool good;
    sdb_status status;

    if (s->chunks > c->file_blocks * SPACE_BLOCK / s->page_size) return SDB_OK;
    directory = sdb__mem_alloc(allocator, size);
    status = directory ? read_part(c, s, at, directory, size, &good) : SDB_NOMEM;
    for (size_t i = 0; status == SDB_OK && good && i < s->chunks; i++) {
        at.place = get_u64(directory + i * MAP_ENTRY_SIZE);
        at.checksum = get_u64(directory + i * MAP_ENTRY_SIZE + 8);
        status = collect_chunk(c, s, at);
    }
    sdb__mem_free(allocator, directory);
    return status;
}

sdb_status sdb__kept_collect(struct pager *p, struct io_queue *queue,
                             const struct kept_list *list, struct block_set *set)
{
    struct collector c = {.pager = p, .queue = queue, .set = set};
    uint64_t bytes;
    sdb_status status;

    TRY(sdb__io_size(p->options.file, &bytes));
    c.file_blocks = (bytes + SPACE_BLOCK - 1) / SPACE_BLOCK;
    c.chunk = sdb__mem_alloc(p->allocator, p->page_size);
    status = c.chunk ? SDB_OK : SDB_NOMEM;
    for (size_t i = 0; status == SDB_OK && i < list->count; i++)
        status = collect_one(&c, &list->items[i]->is.superblock);
    sdb__mem_free(p->allocator, c.chunk);
    sdb__blocks_done(p->allocator, &c.read);
    return status;
}

/* Collects, and holds what was found. */
static sdb_status hold(struct pager *p, struct io_queue *queue)
{
    struct block_set set = {0};
    sdb_status status = sdb__kept_collect(p, queue, &p->kept.list, &set);

    (void)pthread_mutex_lock(&p->map_lock);
    if (status == SDB_OK) status = sdb__space_reach(&p->map.space, set.end);
    if (status == SDB_OK && !p->kept.held && !MUTANT(not_held_after_opening)) {
        sdb__space_hold(&p->map.space, &set);
        p->kept.held = true;
        sdb__pool_measure_locked(p);
    }
    (void)pthread_mutex_unlock(&p->map_lock);
    sdb__blocks_done(p->allocator, &set);
    return status;
}

sdb_status sdb__pager_find_held(struct pager *p)
{
    struct io_queue *queue;
    bool held;
    sdb_status status;

    (void)pthread_mutex_lock(&p->map_lock);
    held = p->kept.held || p->kept.list.count == 0;
    (void)pthread_mutex_unlock(&p->map_lock);
    if (held) return SDB_OK;
    TRY(sdb__pool_queue_get(p, &queue));
    status = hold(p, queue);
    sdb__pool_queue_put(p, queue);
    return status;
}

sdb_status sdb__kept_load(struct pager *p, struct io_queue *queue, const struct superblock *s)
{
    struct kept_list *list = &p->kept.list;
    struct pager_kept *records;
    sdb_status status;

    TRY(sdb__kept_read(p->allocator, queue, p->options.file, s, &records));
    if (!records) return SDB_OK;
    status = sdb__mem_reserve(p->allocator, &list->items, &list->capacity, (size_t)s->kept_count,
                              sizeof(struct kept *));
    while (status == SDB_OK && list->count < s->kept_count) {
        struct kept *kept = sdb__mem_zalloc(p->allocator, 1, sizeof *kept);

        if (!kept) {
            status = SDB_NOMEM;
            break;
        }
        kept->is = records[list->count];
        list->items[list->count++] = kept;
    }
    sdb__mem_free(p->allocator, records);
    if (status == SDB_OK)
        status = sdb__space_claim(&p->map.space, place_first(s->kept_place),
                                  place_blocks(s->kept_place));
    if (status == SDB_CORRUPT)
        return FAIL(SDB_CORRUPT, "%s: the table of snapshots at byte %llu stands where something "
                    "else does: restore a backup", sdb__io_path(p->options.file),
                    (unsigned long long)place_offset(s->kept_place));
    if (status != SDB_OK) return status;
    p->kept.table = (struct map_entry){s->kept_place, s->kept_checksum};
    return p->options.readonly ? SDB_OK : hold(p, queue);
}
