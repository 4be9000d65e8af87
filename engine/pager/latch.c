/* SPDX-License-Identifier: Apache-2.0 */
/*
 * latch.c: from a page id to latched bytes.
 *
 * Idea: one atomic word says where a page is and who uses it. Latching a page that is in memory is
 * one compare-and-swap; whoever finds it absent latches the empty word, reads the page, and
 * publishes the frame.
 * Invariants: I1 only the holder of the exclusive latch changes a word's frame or version.
 * Costs: one CAS to latch, one to unlatch.
 * Source: state words as in vmcache (Leis et al., SIGMOD 2023), with frames instead of address
 * arithmetic.
 * Not here: bringing pages in (fetch.c), choosing victims (pool.c).
 */
#include "engine/pager/fetch.h"
#include "engine/pager/optimistic.h"
#include "engine/pager/pool.h"

#include <assert.h>
#include <sched.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"

/* Waits a little, and longer each time: first in place, then for other threads, then asleep. */
static void wait_round(unsigned *round)
{
    if (++*round < 64)
        __builtin_ia32_pause();
    else if (*round < 512)
        (void)sched_yield();
    else
        sdb__clock_sleep_ns(50000);
}

static struct counters *my_counters(struct pager *p)
{
    static _Atomic unsigned next;
    static _Thread_local unsigned mine;

    if (!mine) mine = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) + 1;
    return &p->counters[mine % POOL_SHARDS];
}

/* A lost update costs a statistic less than a locked add costs every read. */
static void count(_Atomic uint64_t *counter, uint64_t by)
{
    uint64_t n = atomic_load_explicit(counter, memory_order_relaxed);

    atomic_store_explicit(counter, n + by, memory_order_relaxed);
}

void sdb__optimistic_count(struct pager *p, uint64_t pages)
{
    count(&my_counters(p)->hits, pages);
}

void sdb__pool_count_miss(struct pager *p)
{
    count(&my_counters(p)->misses, 1);
}

sdb_status sdb__pool_judge_id(const struct pager *p, uint64_t id)
{
    if (id != PAGE_NONE && id < p->word_limit) return SDB_OK;
    return FAIL(SDB_CORRUPT, "%s: page number %llu is impossible: run sdb check, restore a backup",
                sdb__io_path(p->options.file), (unsigned long long)id);
}

bool sdb__pager_is_here(const struct pager *p, uint64_t id)
{
    return id != PAGE_NONE && id < p->word_limit &&
           (atomic_load_explicit(&p->words[id], memory_order_relaxed) &
            (WORD_FRAME_MASK | WORD_EXCLUSIVE));
}

/*
 * Tries once to add `latch` to a word, given what may not be in it. True when done; *word is then,
 * as otherwise, what was seen.
 */
static bool try_latch(_Atomic uint64_t *at, uint64_t *word, uint64_t forbidden, uint64_t latch)
{
    if (*word & forbidden) return false;
    if ((*word & WORD_SHARED_MASK) == WORD_SHARED_MASK) return false;
    return atomic_compare_exchange_weak_explicit(at, word, *word + latch, memory_order_acquire,
                                                 memory_order_relaxed);
}

static sdb_status latch_page(struct pager *p, uint64_t id, bool exclusive, struct page *out_page)
{
    uint64_t latch = exclusive ? WORD_EXCLUSIVE : WORD_SHARED_ONE, word;
    uint64_t forbidden = exclusive ? WORD_EXCLUSIVE | WORD_SHARED_MASK : WORD_EXCLUSIVE;
    _Atomic uint64_t *at;
    unsigned round = 0;

    TRY(sdb__pool_judge_id(p, id));
    at = &p->words[id];
    word = atomic_load_explicit(at, memory_order_relaxed);
    for (;;) {
        if (word & WORD_FRAME_MASK) {
            if (try_latch(at, &word, forbidden, latch)) break;
        } else if (!(word & WORD_EXCLUSIVE) &&
                   atomic_compare_exchange_weak_explicit(at, &word, word | WORD_EXCLUSIVE,
                                                         memory_order_acquire,
                                                         memory_order_relaxed)) {
            TRY(sdb__fetch_latched(p, id, word, latch));
            word = atomic_load_explicit(at, memory_order_relaxed);
            goto latched;
        }
        wait_round(&round);
        word = atomic_load_explicit(at, memory_order_relaxed);
    }
    count(&my_counters(p)->hits, 1);
    frame_touch(p, (uint32_t)(word & WORD_FRAME_MASK) - 1);
latched:
    /* an optimistic reader that sees one of our changes sees that the word has changed, too */
    if (exclusive) atomic_thread_fence(memory_order_release);
    out_page->data = frame_data(p, (uint32_t)(word & WORD_FRAME_MASK) - 1);
    out_page->id = id;
    return SDB_OK;
}

sdb_status sdb__pager_latch_shared(struct pager *p, uint64_t id, struct page *out_page)
{
    return latch_page(p, id, false, out_page);
}

sdb_status sdb__pager_latch_exclusive(struct pager *p, uint64_t id, struct page *out_page)
{
    return latch_page(p, id, true, out_page);
}

bool sdb__pool_try_shared(struct pager *p, uint64_t id, bool wait, uint32_t *out_frame)
{
    uint64_t word = atomic_load_explicit(&p->words[id], memory_order_relaxed);
    unsigned round = 0;

    for (;;) {
        if (!(word & WORD_FRAME_MASK) && !(word & WORD_EXCLUSIVE)) return false;
        if ((word & WORD_FRAME_MASK) &&
            try_latch(&p->words[id], &word, WORD_EXCLUSIVE, WORD_SHARED_ONE)) {
            *out_frame = (uint32_t)(word & WORD_FRAME_MASK) - 1;
            return true;
        }
        if (!wait) return false;
        wait_round(&round);
        word = atomic_load_explicit(&p->words[id], memory_order_relaxed);
    }
}

void sdb__pool_release_shared(struct pager *p, uint64_t id)
{
    uint64_t word = atomic_fetch_sub_explicit(&p->words[id], WORD_SHARED_ONE,
                                              memory_order_release);

    assert(word & WORD_SHARED_MASK);
    (void)word;
}

void sdb__pager_unlatch_shared(struct pager *p, const struct page *page)
{
    sdb__pool_release_shared(p, page->id);
}

void sdb__pager_unlatch_exclusive(struct pager *p, const struct page *page)
{
    uint64_t word = atomic_load_explicit(&p->words[page->id], memory_order_relaxed);

    assert(word & WORD_EXCLUSIVE);
    atomic_store_explicit(&p->words[page->id], (word & ~WORD_EXCLUSIVE) + WORD_VERSION_ONE,
                          memory_order_release);
}

uint32_t sdb__pager_version(struct pager *p, const struct page *page)
{
    return (uint32_t)(atomic_load_explicit(&p->words[page->id], memory_order_relaxed) >> 40);
}

/* The frame of a page that we have latched. */
static uint32_t frame_of(const struct pager *p, const struct page *page)
{
    return (uint32_t)((size_t)(page->data - p->arena) / p->page_size);
}

sdb_status sdb__pager_dirty(struct pager *p, const struct page *page)
{
    uint32_t frame = frame_of(p, page);
    struct frame *f = &p->frames[frame];
    uint64_t epoch = atomic_load_explicit(&p->epoch, memory_order_acquire);

    assert(!p->options.readonly);
    if (atomic_load_explicit(&f->dirty, memory_order_relaxed)) {
        if (atomic_load_explicit(&f->epoch, memory_order_relaxed) == epoch) return SDB_OK;
        if (atomic_load_explicit(&p->cutting, memory_order_acquire) &&
            !MUTANT(image_of_the_cut_not_written))
            TRY(sdb__pool_write(p, &frame, 1)); /* P3: the image as of the cut */
    }
    if (!atomic_exchange_explicit(&f->dirty, true, memory_order_relaxed))
        atomic_fetch_add_explicit(&p->dirty_count, 1, memory_order_relaxed);
    atomic_store_explicit(&f->epoch, epoch, memory_order_relaxed);
    return SDB_OK;
}

sdb_status sdb__pool_take_id(struct pager *p, uint64_t *out_id)
{
    sdb_status status = SDB_OK;
    uint64_t id = 0;

    (void)pthread_mutex_lock(&p->map_lock);
    if (p->free_id_count) {
        id = p->free_ids[--p->free_id_count];
    } else if (p->next_id >= p->word_limit) {
        status = FAIL(SDB_LIMIT, "%s: the database has no more than %llu pages of %u bytes: "
                      "make one with larger pages", sdb__io_path(p->options.file),
                      (unsigned long long)p->word_limit, p->page_size);
    } else {
        status = sdb__map_reach(&p->map, p->next_id);
        if (status == SDB_OK) id = p->next_id++;
        sdb__pool_measure_locked(p);
    }
    (void)pthread_mutex_unlock(&p->map_lock);
    *out_id = id;
    return status;
}

void sdb__pool_give_id_locked(struct pager *p, uint64_t id)
{
    if (sdb__mem_reserve(p->allocator, &p->free_ids, &p->free_id_capacity, p->free_id_count + 1,
                         sizeof *p->free_ids) == SDB_OK)
        p->free_ids[p->free_id_count++] = (uint32_t)id;
}

/*
 * Latches the word of a new page exclusively, with its frame. Somebody who knows the id from an
 * earlier life may have it latched just now, until he learns that there is no such page.
 */
static void publish_new(struct pager *p, uint64_t id, uint32_t frame)
{
    uint64_t word = atomic_load_explicit(&p->words[id], memory_order_relaxed);
    unsigned round = 0;

    if (MUTANT(new_page_ignores_a_latch)) {
        atomic_store_explicit(&p->words[id], word | ((uint64_t)frame + 1) | WORD_EXCLUSIVE,
                              memory_order_release);
        return;
    }
    while ((word & WORD_EXCLUSIVE) ||
           !atomic_compare_exchange_weak_explicit(
               &p->words[id], &word, word | ((uint64_t)frame + 1) | WORD_EXCLUSIVE,
               memory_order_acq_rel, memory_order_relaxed)) {
        wait_round(&round);
        word = atomic_load_explicit(&p->words[id], memory_order_relaxed);
    }
    assert(!(word & WORD_FRAME_MASK));
}

sdb_status sdb__pager_page_new(struct pager *p, struct page *out_page)
{
    uint64_t id;
    uint32_t frame;
    struct frame *f;
    sdb_status status;

    TRY(sdb__pool_take_id(p, &id));
    status = sdb__pool_frame(p, id, &frame);
    if (status != SDB_OK) {
        (void)pthread_mutex_lock(&p->map_lock);
        sdb__pool_give_id_locked(p, id);
        (void)pthread_mutex_unlock(&p->map_lock);
        return status;
    }
    memset(frame_data(p, frame), 0, p->page_size);
    f = &p->frames[frame];
    atomic_store_explicit(&f->dirty, true, memory_order_relaxed);
    atomic_fetch_add_explicit(&p->dirty_count, 1, memory_order_relaxed);
    atomic_store_explicit(&f->epoch, atomic_load(&p->epoch), memory_order_relaxed);
    atomic_store_explicit(&f->id, id, memory_order_relaxed);
    publish_new(p, id, frame);
    *out_page = (struct page){frame_data(p, frame), id};
    return SDB_OK;
}

sdb_status sdb__pager_page_free(struct pager *p, const struct page *page)
{
    uint32_t frame = frame_of(p, page);
    struct frame *f = &p->frames[frame];
    uint64_t word = atomic_load_explicit(&p->words[page->id], memory_order_relaxed);
    sdb_status status;

    assert(atomic_load(&f->dirty) && atomic_load(&f->epoch) == atomic_load(&p->epoch));
    (void)pthread_mutex_lock(&p->map_lock);
    status = sdb__map_set(&p->map, page->id, (struct map_entry){0, 0}, p->map.epoch, false);
    (void)pthread_mutex_unlock(&p->map_lock);
    if (status != SDB_OK) {
        sdb__pager_unlatch_exclusive(p, page);
        return status;
    }
    atomic_store_explicit(&f->dirty, false, memory_order_relaxed);
    atomic_fetch_sub_explicit(&p->dirty_count, 1, memory_order_relaxed);
    atomic_store_explicit(&f->id, 0, memory_order_relaxed);
    word = (word & ~(WORD_FRAME_MASK | WORD_EXCLUSIVE)) + WORD_VERSION_ONE;
    atomic_store_explicit(&p->words[page->id], word, memory_order_release);
    sdb__pool_frame_return(p, frame);
    (void)pthread_mutex_lock(&p->map_lock);
    sdb__pool_give_id_locked(p, page->id);
    (void)pthread_mutex_unlock(&p->map_lock);
    return SDB_OK;
}
