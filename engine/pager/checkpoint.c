/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint.c
 *
 * Idea: cut, write, finish. The cut only turns the epoch; from then on a page that is still dirty
 * from before is written by whoever comes first: this file's walk, an eviction, or the writer that
 * wants to change it.
 * Invariants: I1 when the walk ends, no frame is dirty from before the cut. I2 the superblock is
 *   written only after all it leads to has been synced. I3 the slot written is never the one that
 *   holds the newest superblock.
 * Costs: every page changed since the last checkpoint once, plus the map chunks it touches; two
 *   syncs. A page is latched while it is copied, not while it is written (copies.c).
 * Source: fuzzy checkpoints with copy on update, as surveyed in Härder & Reuter 1983; the "copy" of
 *   a writer that comes first is the write itself, so no memory is needed for it. Not here: when to
 *   do it (index/kv).
 */
#include "engine/pager/pool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/base/bytes.h"
#include "engine/base/mem.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"

void sdb__pager_checkpoint_cut(struct pager *p)
{
    (void)pthread_mutex_lock(&p->map_lock);
    sdb__map_cut(&p->map);
    atomic_store_explicit(&p->epoch, p->map.epoch, memory_order_release);
    atomic_store_explicit(&p->cutting, true, memory_order_release);
    p->cut_page_limit = p->next_id;
    p->cut_chunks = (p->next_id + p->map.per_chunk - 1) / p->map.per_chunk;
    (void)pthread_mutex_unlock(&p->map_lock);
}

void sdb__pool_give_up(struct pager *p)
{
    sdb__kept_forget(p);
    (void)pthread_mutex_lock(&p->map_lock);
    atomic_store_explicit(&p->cutting, false, memory_order_release);
    sdb__map_end(&p->map, false, false);
    (void)pthread_mutex_unlock(&p->map_lock);
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* The ids of pages that are dirty from before the cut, in order. */
static sdb_status list_dirty(struct pager *p, uint64_t **out_ids, size_t *out_count)
{
    size_t count = 0;
    uint64_t epoch = atomic_load(&p->epoch), *ids;

    ids = sdb__mem_alloc(p->allocator, p->frame_count * sizeof *ids);
    if (!ids) return SDB_NOMEM;
    for (uint32_t i = 0; i < p->frame_count; i++) {
        struct frame *f = &p->frames[i];
        uint64_t id = atomic_load_explicit(&f->id, memory_order_relaxed);

        if (id && atomic_load_explicit(&f->dirty, memory_order_relaxed) &&
            atomic_load_explicit(&f->epoch, memory_order_relaxed) < epoch)
            ids[count++] = id;
    }
    qsort(ids, count, sizeof *ids, compare_ids);
    *out_ids = ids;
    *out_count = count;
    return SDB_OK;
}

/*
 * Copies a page, if it is still dirty from before the cut. Waits for its latch only while no copy
 * keeps a frame from leaving: who has the latch may need one.
 */
static sdb_status copy_page(struct pager *p, uint64_t id, struct copies *copies)
{
    sdb_status status = SDB_OK;
    struct frame *f;
    uint32_t frame;

    if (!sdb__pool_try_shared(p, id, false, &frame)) {
        if (!sdb__pager_is_here(p, id)) return SDB_OK; /* whoever evicted it wrote it */
        TRY(sdb__pool_write_copies(p, copies));
        if (!sdb__pool_try_shared(p, id, true, &frame)) return SDB_OK;
    }
    f = &p->frames[frame];
    if (atomic_load_explicit(&f->dirty, memory_order_relaxed) &&
        atomic_load_explicit(&f->epoch, memory_order_relaxed) <
            atomic_load_explicit(&p->epoch, memory_order_relaxed))
        status = sdb__pool_copy(p, id, frame, copies);
    sdb__pool_release_shared(p, id);
    return status;
}

/* Writes the listed pages that are still dirty from before the cut. */
static sdb_status write_pages(struct pager *p, const uint64_t *ids, size_t count)
{
    struct copies copies = {.room = NULL};
    sdb_status status = SDB_OK, written;

    for (size_t i = 0; i < count && status == SDB_OK; i++) {
        status = copy_page(p, ids[i], &copies);
        if (status == SDB_OK && copies.count == POOL_BATCH)
            status = sdb__pool_write_copies(p, &copies);
    }
    written = sdb__pool_write_copies(p, &copies); /* in any case: the map names their places */
    return status == SDB_OK ? written : status;
}

sdb_status sdb__pool_write_map(struct pager *p, struct io_queue *queue, const uint8_t *bytes,
                               size_t size, struct map_entry *out_at)
{
    struct map_entry at = {0, sdb__digest(bytes, size, 0)};
    sdb_status status;

    TRY(sdb__pool_take(p, size, PLACE_EXTENT, &at.place));
    status = sdb__io_write(queue, p->options.file, bytes, size, place_offset(at.place));
    if (status != SDB_OK) sdb__pool_untake(p, at.place);
    else *out_at = at;
    return status;
}

static sdb_status write_chunks(struct pager *p, struct io_queue *queue, uint8_t *bytes)
{
    for (size_t i = 0; i < p->cut_chunks; i++) {
        struct map_entry at;
        bool changed;

        (void)pthread_mutex_lock(&p->map_lock);
        changed = p->map.chunks[i].changed_cut;
        if (changed) sdb__map_encode_chunk(&p->map, i, bytes);
        (void)pthread_mutex_unlock(&p->map_lock);
        if (!changed) continue;
        TRY(sdb__pool_write_map(p, queue, bytes, p->page_size, &at));
        (void)pthread_mutex_lock(&p->map_lock);
        p->map.chunks[i].next = at;
        (void)pthread_mutex_unlock(&p->map_lock);
    }
    return SDB_OK;
}

static sdb_status write_directory(struct pager *p, struct io_queue *queue)
{
    size_t size = (size_t)p->cut_chunks * MAP_ENTRY_SIZE;
    uint8_t *bytes = sdb__mem_alloc(p->allocator, size);
    struct map_entry at;
    sdb_status status;

    if (!bytes) return SDB_NOMEM;
    (void)pthread_mutex_lock(&p->map_lock);
    for (size_t i = 0; i < p->cut_chunks; i++) {
        const struct map_chunk *chunk = &p->map.chunks[i];
        const struct map_entry *where = chunk->next.place ? &chunk->next : &chunk->stored;

        put_u64(bytes + i * MAP_ENTRY_SIZE, where->place);
        put_u64(bytes + i * MAP_ENTRY_SIZE + 8, where->checksum);
    }
    (void)pthread_mutex_unlock(&p->map_lock);
    status = sdb__pool_write_map(p, queue, bytes, size, &at);
    sdb__mem_free(p->allocator, bytes);
    if (status != SDB_OK) return status;
    (void)pthread_mutex_lock(&p->map_lock);
    p->map.directory_next = at;
    (void)pthread_mutex_unlock(&p->map_lock);
    return SDB_OK;
}

sdb_status sdb__pager_checkpoint_write(struct pager *p)
{
    struct io_queue *queue = NULL;
    uint64_t *ids = NULL;
    uint8_t *bytes = NULL;
    size_t count = 0;
    sdb_status status = list_dirty(p, &ids, &count);

    if (status == SDB_OK) status = write_pages(p, ids, count);
    sdb__mem_free(p->allocator, ids);
    if (status == SDB_OK) status = sdb__pool_queue_get(p, &queue);
    if (status == SDB_OK) {
        bytes = sdb__mem_alloc(p->allocator, p->page_size);
        status = bytes ? write_chunks(p, queue, bytes) : SDB_NOMEM;
    }
    if (status == SDB_OK) status = write_directory(p, queue);
    sdb__mem_free(p->allocator, bytes);
    if (queue) sdb__pool_queue_put(p, queue);
    if (status != SDB_OK) sdb__pool_give_up(p);
    return status;
}

uint64_t sdb__pager_now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/*
 * Writes `next` where the newest superblock is not, durable; then (`both`) over the old one as
 * well.
 */
static sdb_status flip(struct pager *p, struct io_queue *queue, const struct superblock *next,
                       bool both)
{
    unsigned slot = MUTANT(newest_superblock_overwritten) ? p->slot : p->slot ^ 1;

    TRY(sdb__superblock_write(queue, p->options.file, slot, next));
    TRY(sdb__io_sync(queue, p->options.file));
    if (both) {
        TRY(sdb__superblock_write(queue, p->options.file, slot ^ 1, next));
        TRY(sdb__io_sync(queue, p->options.file));
    }
    (void)pthread_mutex_lock(&p->map_lock);
    p->superblock = *next;
    p->slot = slot;
    p->lame = false;
    (void)pthread_mutex_unlock(&p->map_lock);
    return SDB_OK;
}

sdb_status sdb__pager_checkpoint_finish(struct pager *p, const struct superblock *state,
                                        bool both_slots)
{
    struct superblock next = p->superblock;
    struct io_queue *queue;
    sdb_status status = sdb__pool_queue_get(p, &queue);

    if (status != SDB_OK) {
        sdb__pool_give_up(p);
        return status;
    }
    next.sequence++;
    next.features |= atomic_load(&p->features);
    next.lsn = state->lsn;
    next.commit = state->commit;
    next.log_id = state->log_id;
    next.history = state->history;
    next.catalog_root = state->catalog_root;
    next.written_ms = sdb__pager_now_ms();
    (void)pthread_mutex_lock(&p->map_lock);
    next.directory_place = p->map.directory_next.place;
    next.directory_checksum = p->map.directory_next.checksum;
    next.end_block = p->map.space.end;
    (void)pthread_mutex_unlock(&p->map_lock);
    next.chunks = p->cut_chunks;
    next.page_limit = p->cut_page_limit;
    sdb__kept_enter(p, &next);
    if (!MUTANT(superblock_before_its_pages)) status = sdb__io_sync(queue, p->options.file);
    if (status == SDB_OK) status = flip(p, queue, &next, both_slots);
    sdb__pool_queue_put(p, queue);
    if (status != SDB_OK) /* whether it is on disk nobody can say: nothing more may be written */
        return SDB_IO;
    (void)pthread_mutex_lock(&p->map_lock);
    atomic_store_explicit(&p->cutting, false, memory_order_release);
    sdb__kept_settle(p);
    sdb__map_end(&p->map, true, p->pins > 0 && !MUTANT(pin_ignored));
    (void)pthread_mutex_unlock(&p->map_lock);
    return SDB_OK;
}

sdb_status sdb__pager_announce_log(struct pager *p, uint64_t log_id, uint64_t lsn)
{
    struct superblock next = p->superblock;
    struct io_queue *queue;
    sdb_status status;

    next.sequence++;
    next.features |= atomic_load(&p->features);
    next.log_id = log_id;
    next.lsn = lsn;
    next.written_ms = sdb__pager_now_ms();
    TRY(sdb__pool_queue_get(p, &queue));
    status = flip(p, queue, &next, false);
    sdb__pool_queue_put(p, queue);
    return status;
}
