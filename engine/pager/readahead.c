/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readahead.c
 *
 * Idea: a set of fetches (fetch.h) on a queue that the pager lends. They are handed over in one
 * batch, which is one system call, and taken in when their pages are wanted.
 * Invariants: I1 a fetch is in flight exactly while its bit is set. I2 without anything in flight
 *   there is no queue, and no frame is held.
 * Costs: 8 KiB of memory from the first read on. Not here: which pages (index/btree/btree_ahead.c).
 */
#include "engine/pager/readahead.h"

#include "engine/base/mem.h"
#include "engine/base/mutant.h"
#include "engine/pager/pool.h"

enum { FRAMES_PART = 16 };

unsigned sdb__readahead_most(const struct readahead *a)
{
    uint32_t part = frames_live(a->pager) / FRAMES_PART;

    return part < READAHEAD_MOST ? part : READAHEAD_MOST;
}

static bool is_flying(const struct readahead *a, uint64_t id)
{
    for (uint64_t left = a->flying; left; left &= left - 1)
        if (a->fetches[__builtin_ctzll(left)].id == id) return true;
    return false;
}

/* Memory and a queue; false: there is none to be had, so nothing is read ahead. */
static bool ready(struct readahead *a)
{
    if (!a->fetches)
        a->fetches = sdb__mem_alloc(a->pager->allocator, READAHEAD_MOST * sizeof *a->fetches);
    if (a->fetches && !a->queue && sdb__pool_queue_get(a->pager, &a->queue) != SDB_OK)
        a->queue = NULL;
    return a->queue != NULL;
}

static void rest(struct readahead *a)
{
    if (a->flying || !a->queue) return;
    sdb__pool_queue_put(a->pager, a->queue);
    a->queue = NULL;
}

/* Takes in what has come, at least `least`. */
static void take_in(struct readahead *a, size_t least)
{
    struct io_op *ops[READAHEAD_MOST];
    size_t count = sdb__io_wait(a->queue, ops, READAHEAD_MOST, least);

    for (size_t i = 0; i < count; i++) {
        struct fetch *fetch = ops[i]->context;

        a->flying &= ~(UINT64_C(1) << (fetch - a->fetches));
        /* a failure is no answer: who comes to the page reads it anew, and is told */
        if (sdb__fetch_end(a->pager, fetch) != SDB_OK) continue;
    }
}

unsigned sdb__readahead_begin(struct readahead *a, const uint64_t *ids, unsigned count)
{
    struct io_op *ops[READAHEAD_MOST];
    unsigned most = sdb__readahead_most(a), begun = 0;

    if (a->flying) take_in(a, 0);
    for (unsigned i = 0; i < count; i++) {
        unsigned slot;
        enum fetch_answer answer;

        if (sdb__pager_is_here(a->pager, ids[i]) || is_flying(a, ids[i])) continue;
        if ((unsigned)__builtin_popcountll(a->flying) >= most || !ready(a)) break;
        slot = (unsigned)__builtin_ctzll(~a->flying);
        if (sdb__fetch_begin(a->pager, ids[i], &a->fetches[slot], &answer) != SDB_OK ||
            answer == FETCH_HERE)
            continue;
        if (answer == FETCH_BUSY) break;
        a->fetches[slot].op.context = &a->fetches[slot];
        a->flying |= UINT64_C(1) << slot;
        ops[begun++] = &a->fetches[slot].op;
    }
    if (begun) sdb__io_submit(a->queue, ops, begun);
    if (begun) atomic_fetch_add_explicit(&a->pager->read_ahead, begun, memory_order_relaxed);
    rest(a);
    return begun;
}

void sdb__readahead_land(struct readahead *a, uint64_t id)
{
    if (!is_flying(a, id)) return;
    while (is_flying(a, id)) take_in(a, 1);
    rest(a);
}

void sdb__readahead_stop(struct readahead *a)
{
    while (a->flying && !MUTANT(reads_outlive_their_reader))
        take_in(a, (size_t)__builtin_popcountll(a->flying));
    rest(a);
}

void sdb__readahead_done(struct readahead *a)
{
    sdb__readahead_stop(a);
    if (a->fetches) sdb__mem_free(a->pager->allocator, a->fetches);
    a->fetches = NULL;
}
