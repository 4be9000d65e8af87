/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pager.c: opening, closing, pins, figures.
 *
 * Idea: address space is reserved for all the state words there could be and for all frames of the
 * cache; the system gives memory to what is touched, which for a huge page takes so long (it is
 * cleared) that a thread of the database's, if it has any, has it done ahead of the writers.
 * Invariants: I1 a pager that was opened writes nothing until a page is evicted or a checkpoint is
 * made.
 * Costs: opening reads the page map. Not here: what the pages mean.
 */
#include "engine/pager/optimistic.h"
#include "engine/pager/pool.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/base/mem.h"
#include "engine/base/status.h"

static const uint64_t words_wanted = UINT64_C(1) << 30, words_least = UINT64_C(1) << 16;

static void *map_memory(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static bool populate(void *memory, size_t bytes)
{
#ifdef MADV_POPULATE_WRITE
    return madvise(memory, bytes, MADV_POPULATE_WRITE) == 0;
#else
    (void)memory;
    (void)bytes;
    return false;
#endif
}

/* Reserves state words: `wanted`, or as many as the address space that we may have allows. */
static sdb_status reserve_words(struct pager *p, uint64_t wanted)
{
    uint64_t least = wanted < words_least ? wanted : words_least;

    for (p->word_limit = wanted; p->word_limit >= least; p->word_limit /= 2) {
        void *memory = map_memory((size_t)p->word_limit * sizeof *p->words);

        if (memory) {
            p->words = memory;
            return SDB_OK;
        }
    }
    return FAIL(SDB_NOMEM, "no address space for %llu page state words",
                (unsigned long long)least);
}

static sdb_status make_frames(struct pager *p)
{
    uint64_t count = p->options.cache_bytes / frame_cost(p);

    if (count < POOL_FRAMES_LEAST) count = POOL_FRAMES_LEAST;
    if (count > WORD_FRAME_MASK - 1) count = WORD_FRAME_MASK - 1;
    p->frame_count = (uint32_t)count;
    p->arena_bytes = (size_t)count * p->page_size;
    p->arena = map_memory(p->arena_bytes + 2 * (size_t)OPTIMISTIC_APRON);
    if (!p->arena)
        return FAIL(SDB_NOMEM, "no address space for a cache of %zu bytes: ask for less",
                    p->arena_bytes);
    p->arena += OPTIMISTIC_APRON;
    p->arena_had = p->arena_bytes;
    if (p->arena_bytes >= ARENA_AHEAD) {
        (void)madvise(p->arena, p->arena_bytes, MADV_HUGEPAGE);
        p->arena_had = 0;
    }
    p->frames = sdb__mem_zalloc(p->allocator, p->frame_count, sizeof *p->frames);
    p->uses = sdb__mem_zalloc(p->allocator, p->frame_count, sizeof *p->uses);
    p->free_frames = sdb__mem_alloc(p->allocator, p->frame_count * sizeof *p->free_frames);
    if (!p->frames || !p->uses || !p->free_frames) return SDB_NOMEM;
    TRY(sdb__policy_new(p->allocator, p->options.cache_policy, p->frame_count, p->uses, 1,
                        &p->policy));
    for (uint32_t i = 0; i < p->frame_count; i++) p->free_frames[i] = p->frame_count - 1 - i;
    p->free_count = p->frame_count;
    return SDB_OK;
}

bool sdb__pager_wants_memory(const struct pager *p)
{
    return atomic_load_explicit(&p->wants_memory, memory_order_relaxed);
}

/* One huge page a call: the address space is locked meanwhile against maps being made. */
void sdb__pager_prepare_memory(struct pager *p)
{
    size_t had = atomic_load_explicit(&p->arena_had, memory_order_relaxed);
    size_t live = (size_t)frames_live(p) * p->page_size;

    if (!atomic_exchange_explicit(&p->wants_memory, false, memory_order_relaxed)) return;
    if (had + HUGE_PAGE <= live && populate(p->arena + had, HUGE_PAGE))
        had += HUGE_PAGE;
    else /* there is no more to come, or the system cannot */
        had = p->arena_bytes;
    atomic_store_explicit(&p->arena_had, had, memory_order_relaxed);
}

static sdb_status pager_new(const struct pager_options *options, uint32_t page_size,
                            uint64_t words, struct pager **out_pager)
{
    struct pager *p = sdb__mem_zalloc(options->allocator, 1, sizeof *p);
    sdb_status status;

    if (!p) return SDB_NOMEM;
    p->options = *options;
    p->allocator = options->allocator;
    p->page_size = page_size;
    (void)pthread_mutex_init(&p->pool_lock, NULL);
    (void)pthread_mutex_init(&p->map_lock, NULL);
    (void)pthread_mutex_init(&p->queue_lock, NULL);
    status = sdb__map_init(&p->map, p->allocator, page_size);
    if (status == SDB_OK) status = reserve_words(p, words);
    if (status == SDB_OK) status = make_frames(p);
    if (status != SDB_OK) {
        sdb__pager_close(p);
        return status;
    }
    atomic_store(&p->epoch, p->map.epoch);
    p->next_id = PAGE_NONE + 1;
    *out_pager = p;
    return SDB_OK;
}

sdb_status sdb__pager_create(const struct pager_options *options, const struct superblock *first,
                             struct pager **out_pager)
{
    struct pager *p;
    sdb_status status;

    TRY(pager_new(options, first->page_size, words_wanted, &p));
    p->superblock = *first;
    status = sdb__map_reach(&p->map, PAGE_NONE);
    if (status != SDB_OK) {
        sdb__pager_close(p);
        return status;
    }
    sdb__pool_measure_locked(p);
    *out_pager = p;
    return SDB_OK;
}

/* Collects the ids below the page limit that name no page, lowest on top. */
static sdb_status find_free_ids(struct pager *p)
{
    for (uint64_t id = p->next_id - 1; id > PAGE_NONE; id--)
        if (sdb__map_get(&p->map, id).place == 0) {
            TRY(sdb__mem_reserve(p->allocator, &p->free_ids, &p->free_id_capacity,
                                 p->free_id_count + 1, sizeof *p->free_ids));
            p->free_ids[p->free_id_count++] = (uint32_t)id;
        }
    return SDB_OK;
}

/* Are there state words for all pages of a checkpoint? */
static sdb_status judge_limit(const struct pager *p, const struct superblock *s)
{
    if (s->page_limit <= p->word_limit) return SDB_OK;
    return FAIL(SDB_NOMEM, "%s: %llu pages need more address space than this process has",
                sdb__io_path(p->options.file), (unsigned long long)s->page_limit);
}

sdb_status sdb__pager_open(const struct pager_options *options, struct pager **out_pager)
{
    struct superblock_pair pair;
    struct superblock *newest;
    struct io_queue *queue;
    struct pager *p = NULL;
    sdb_status status;

    TRY(sdb__io_queue_new(options->io, 1, &queue));
    status = sdb__superblock_read(queue, options->file, &pair);
    /*
     * A process that died may have written it and not synced: then what it supersedes is still
     * needed.
     */
    if (status == SDB_OK && !options->readonly) status = sdb__io_sync(queue, options->file);
    newest = &pair.slot[status == SDB_OK ? pair.newest : 0];
    if (status == SDB_OK) status = pager_new(options, newest->page_size, words_wanted, &p);
    if (status == SDB_OK)
        status = sdb__map_load(&p->map, queue, options->file, newest, NULL, NULL);
    if (status == SDB_OK) status = judge_limit(p, newest);
    if (status == SDB_OK) {
        p->superblock = *newest;
        p->slot = pair.newest;
        p->lame = pair.status[pair.newest ^ 1] != SDB_OK;
        p->next_id = newest->page_limit > 1 ? newest->page_limit : 1;
        status = find_free_ids(p);
    }
    if (status == SDB_OK) {
        status = sdb__kept_load(p, queue, newest);
        sdb__pool_measure_locked(p);
    }
    sdb__io_queue_free(queue);
    if (status != SDB_OK) {
        sdb__pager_close(p);
        return status;
    }
    *out_pager = p;
    return SDB_OK;
}

/* Has the parent do without at least so many bytes. */
static void borrow(struct pager *p, uint64_t bytes)
{
    if (bytes <= p->borrowed) return;
    sdb__pager_lend(p->parent, bytes - p->borrowed);
    p->borrowed = bytes;
}

sdb_status sdb__pager_open_kept(struct pager *parent, const char *name, uint64_t cache_bytes,
                                struct dictionaries *dictionaries, struct pager **out_pager)
{
    struct pager_options options = parent->options;
    const struct superblock *s;
    struct io_queue *queue;
    struct kept *kept;
    struct pager *p;
    sdb_status status;

    options.readonly = true;
    options.cache_bytes = cache_bytes;
    options.dictionaries = dictionaries;
    options.packing = NULL;
    TRY(sdb__kept_use(parent, name, &kept));
    s = &kept->is.superblock;
    status = pager_new(&options, s->page_size, s->page_limit, &p);
    if (status != SDB_OK) {
        sdb__kept_unuse(parent, kept);
        return status;
    }
    p->parent = parent;
    p->of_parent = kept;
    borrow(p, cache_bytes);
    p->superblock = *s;
    p->next_id = s->page_limit;
    status = sdb__pool_queue_get(p, &queue);
    if (status == SDB_OK) {
        status = sdb__map_load(&p->map, queue, options.file, s, NULL, NULL);
        if (status == SDB_OK) status = judge_limit(p, s);
        if (status == SDB_OK) status = find_free_ids(p);
        sdb__pool_queue_put(p, queue);
        sdb__pool_measure_locked(p);
    }
    if (status != SDB_OK) {
        sdb__pager_close(p);
        return status;
    }
    borrow(p, atomic_load(&p->other_bytes) + POOL_FRAMES_LEAST * frame_cost(p));
    *out_pager = p;
    return SDB_OK;
}

void sdb__pager_close(struct pager *p)
{
    if (!p) return;
    if (p->parent) {
        sdb__pager_unlend(p->parent, p->borrowed);
        sdb__kept_unuse(p->parent, p->of_parent);
    }
    sdb__kept_done(p);
    for (size_t i = 0; i < p->queue_count; i++) sdb__io_queue_free(p->queues[i]);
    sdb__mem_free(p->allocator, p->queues);
    sdb__pack_rooms_done(&p->rooms);
    sdb__mem_free(p->allocator, p->free_ids);
    sdb__policy_free(p->policy);
    sdb__mem_free(p->allocator, p->free_frames);
    sdb__mem_free(p->allocator, (void *)p->uses);
    sdb__mem_free(p->allocator, p->frames);
    if (p->arena)
        (void)munmap(p->arena - OPTIMISTIC_APRON, p->arena_bytes + 2 * (size_t)OPTIMISTIC_APRON);
    if (p->words) (void)munmap((void *)p->words, (size_t)p->word_limit * sizeof *p->words);
    sdb__map_done(&p->map);
    (void)pthread_mutex_destroy(&p->queue_lock);
    (void)pthread_mutex_destroy(&p->map_lock);
    (void)pthread_mutex_destroy(&p->pool_lock);
    sdb__mem_free(p->allocator, p);
}

const struct superblock *sdb__pager_superblock(const struct pager *p)
{
    return &p->superblock;
}

uint32_t sdb__pager_page_size(const struct pager *p)
{
    return p->page_size;
}

bool sdb__pager_is_lame(const struct pager *p)
{
    return p->lame;
}

uint64_t sdb__pager_page_bytes(struct pager *p, uint64_t id, bool *out_packed)
{
    uint64_t place = sdb__pool_entry(p, id).place;

    *out_packed = place && place_kind(place) == PLACE_PACKED;
    return place ? place_bytes(place) : 0;
}

void sdb__pager_need_feature(struct pager *p, uint32_t feature)
{
    atomic_fetch_or(&p->features, feature);
}

void sdb__pager_pin(struct pager *p, struct superblock *out_superblock)
{
    (void)pthread_mutex_lock(&p->map_lock);
    p->pins++;
    *out_superblock = p->superblock;
    (void)pthread_mutex_unlock(&p->map_lock);
}

void sdb__pager_unpin(struct pager *p)
{
    (void)pthread_mutex_lock(&p->map_lock);
    if (--p->pins == 0) sdb__map_unpinned(&p->map);
    (void)pthread_mutex_unlock(&p->map_lock);
}

sdb_status sdb__pager_shrink_file(struct pager *p)
{
    uint64_t bytes, wanted;
    sdb_status status;

    (void)pthread_mutex_lock(&p->map_lock); /* so that nobody takes blocks beyond the new end */
    sdb__space_shrink(&p->map.space);
    wanted = p->map.space.end * SPACE_BLOCK;
    status = sdb__io_size(p->options.file, &bytes);
    if (status == SDB_OK && bytes > wanted)
        status = sdb__io_truncate(p->options.file, wanted);
    (void)pthread_mutex_unlock(&p->map_lock);
    return status;
}

bool sdb__pager_wants_checkpoint(struct pager *p)
{
    return atomic_load_explicit(&p->dirty_count, memory_order_relaxed) > frames_live(p) / 8 * 7;
}

void sdb__pager_stats(struct pager *p, struct pager_stats *out_stats)
{
    struct pager_stats s = {0};

    (void)pthread_mutex_lock(&p->map_lock);
    (void)!sdb__io_size(p->options.file, &s.file_bytes);
    s.used_bytes = p->map.space.used * SPACE_BLOCK;
    s.kept = p->kept.list.count;
    s.held_bytes = (p->map.space.used - p->map.space.owned) * SPACE_BLOCK;
    s.hole_bytes = p->map.space.holes * SPACE_UNIT * SPACE_BLOCK;
    s.extents = p->map.extents;
    s.packed_pages = p->map.packed;
    s.packed_bytes = p->map.packed_blocks * SPACE_BLOCK;
    s.pages = p->next_id - 1 - p->free_id_count - s.extents; /* new ones have no place yet */
    (void)pthread_mutex_unlock(&p->map_lock);
    (void)pthread_mutex_lock(&p->pool_lock);
    s.cache_bytes = (uint64_t)(frames_live(p) - p->free_count) * p->page_size;
    s.cache_limit_bytes = (uint64_t)frames_live(p) * p->page_size;
    s.cache_other_bytes = atomic_load(&p->other_bytes) +
                          frames_live(p) * (frame_cost(p) - p->page_size);
    (void)pthread_mutex_unlock(&p->pool_lock);
    s.dirty_pages = atomic_load(&p->dirty_count);
    s.evicted = atomic_load(&p->evicted);
    s.written = atomic_load(&p->written);
    s.read_ahead = atomic_load(&p->read_ahead);
    for (unsigned i = 0; i < POOL_SHARDS; i++) {
        s.hits += atomic_load(&p->counters[i].hits);
        s.misses += atomic_load(&p->counters[i].misses);
    }
    *out_stats = s;
}
