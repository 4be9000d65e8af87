/* SPDX-License-Identifier: Apache-2.0 */
/*
 * optimistic.c
 *
 * Idea: the state word is a seqlock: its exclusive bit says that a writer is in the page, its
 * version that one was. Shared latches do not count.
 * Invariants: those of pool.h; the memory order is that of a seqlock: begin acquires, holds has an
 *   acquire fence before it looks again, and whoever latches exclusively has a release fence before
 *   the first change (latch.c, pool.c).
 * Costs: two loads of the word, no store. Not here: what is read (index/btree).
 */
#include "engine/pager/optimistic.h"

#include "engine/base/mutant.h"
#include "engine/base/status.h"
#include "engine/pager/pool.h"

/* What must be the same at the end: everything but the shared latches. */
#define WORD_SEEN (~WORD_SHARED_MASK)

#if defined(__SANITIZE_THREAD__)
#define OPTIMISTIC 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define OPTIMISTIC 0
#endif
#endif
#ifndef OPTIMISTIC
#define OPTIMISTIC 1
#endif

enum { SEARCHED = 576 }; /* bytes: the header and the slots of some seventy entries */

bool sdb__optimistic_begin(struct pager *p, uint64_t id, struct optimistic *out_seen)
{
    uint64_t word, frame;
    const uint8_t *data;

    if (!OPTIMISTIC || id == PAGE_NONE || id >= p->word_limit) return false;
    word = atomic_load_explicit(&p->words[id], memory_order_acquire);
    frame = word & WORD_FRAME_MASK;
    if (!frame || (word & WORD_EXCLUSIVE)) return false;
    data = frame_data(p, (uint32_t)frame - 1);
    __builtin_prefetch(data);
    /* What a search reads, in whatever order: all on its way at once. */
    for (unsigned i = 64; i < SEARCHED; i += 64) __builtin_prefetch(data + i);
    __builtin_prefetch(data + p->page_size - 64);
    frame_touch(p, (uint32_t)frame - 1);
    *out_seen = (struct optimistic){data, id, word & WORD_SEEN};
    return true;
}

bool sdb__optimistic_holds(struct pager *p, const struct optimistic *seen)
{
    atomic_thread_fence(memory_order_acquire);
    if (MUTANT(optimistic_read_not_validated)) return true;
    return (atomic_load_explicit(&p->words[seen->id], memory_order_relaxed) & WORD_SEEN) ==
           seen->word;
}

sdb_status sdb__optimistic_fetch(struct pager *p, uint64_t id)
{
    struct page page;

    TRY(sdb__pager_latch_shared(p, id, &page));
    sdb__pager_unlatch_shared(p, &page);
    return SDB_OK;
}
