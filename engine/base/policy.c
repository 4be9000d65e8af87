/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.c
 *
 * Idea: every policy but LFU is one or two queues, linked through arrays of slot numbers, and a
 *   rule for what happens to the slot at the old end. LFU is a heap. Uses are counted in bytes that
 *   others may write at any time, so every rule reads a counter once and acts on what it read.
 * Invariants: I1 a slot is in exactly one queue (or the heap), or out, or unused: `where` says
 *   which. I2 a key is remembered as a ghost only while no slot in use holds it. I3 a search ends
 *   after STEPS_EACH steps a slot, even if others keep counting uses.
 * Costs: O(1) amortised (LFU: O(log n)); memory a slot: sdb__policy_cost.
 * Source: S3-FIFO: Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023,
 *   algorithm 1, with the ghosts' number fixed at nine tenths of the capacity and the
 *   sizes of the two queues in proportion to what is in use, which need not be all. SIEVE: Zhang et
 *   al., NSDI 2024. CLOCK: Corbató 1969.
 * Not here: locks; what is in the slots.
 */
#include "engine/base/policy.h"

#include <assert.h>
#include <stdbool.h>

#include "engine/base/ghost.h"
#include "engine/base/mem.h"
#include "engine/base/status.h"

enum { SMALL_PART = 10, PROMOTED_USES = 2, STEPS_EACH = POLICY_USES_MOST + 2 };
enum { QUEUE_MAIN, QUEUE_SMALL, QUEUES, IS_OUT = 2, IS_UNUSED = 4 };

/* Newest at the head, oldest at the tail. */
struct queue {
    uint32_t head, tail, count;
};

/* How often and how lately a slot was used, for LFU. */
struct worth {
    uint64_t uses, last;
};

struct policy {
    const sdb_allocator *allocator;
    sdb_cache_policy kind;
    uint32_t capacity;
    policy_uses *uses;
    size_t stride;
    struct queue queues[QUEUES];
    uint32_t *newer, *older; /* neighbours in the queue; LFU: where in the heap, what is there */
    uint8_t *where;
    uint32_t hand;           /* SIEVE: the next to be judged; POLICY_NONE: begin at the tail */
    uint64_t *keys;          /* S3FIFO */
    struct ghost ghost;
    struct worth *worth;     /* LFU */
    uint64_t now, most_uses; /* LFU: of any slot, ever */
};

static const char *const names[] = {"s3fifo", "s3fifo", "sieve", "clock", "lru", "lfu", "fifo"};

enum { KINDS = sizeof names / sizeof names[0] };

const char *sdb__policy_name(sdb_cache_policy kind)
{
    return (unsigned)kind < KINDS ? names[kind] : NULL;
}

uint32_t sdb__policy_cost(sdb_cache_policy kind)
{
    uint32_t bytes = 2 * sizeof(uint32_t) + sizeof(uint8_t) + sizeof(policy_uses);

    if (kind == SDB_CACHE_DEFAULT || kind == SDB_CACHE_S3FIFO)
        bytes += 2 * sizeof(uint64_t) + 4 * sizeof(uint32_t); /* key; ring and table of ghosts */
    return kind == SDB_CACHE_LFU ? bytes + sizeof(struct worth) : bytes;
}

sdb_status sdb__policy_new(const sdb_allocator *allocator, sdb_cache_policy kind,
                           uint32_t capacity, policy_uses *uses, size_t stride,
                           struct policy **out_policy)
{
    struct policy *p = sdb__mem_zalloc(allocator, 1, sizeof *p);
    sdb_status status;

    if (!p) return SDB_NOMEM;
    p->allocator = allocator;
    p->kind = kind == SDB_CACHE_DEFAULT ? SDB_CACHE_S3FIFO : kind;
    p->capacity = capacity;
    p->uses = uses;
    p->stride = stride;
    p->hand = POLICY_NONE;
    for (unsigned i = 0; i < QUEUES; i++)
        p->queues[i] = (struct queue){POLICY_NONE, POLICY_NONE, 0};
    p->newer = sdb__mem_zalloc(allocator, capacity, sizeof *p->newer);
    p->older = sdb__mem_zalloc(allocator, capacity, sizeof *p->older);
    p->where = sdb__mem_alloc(allocator, capacity);
    status = p->newer && p->older && p->where ? SDB_OK : SDB_NOMEM;
    for (uint32_t i = 0; status == SDB_OK && i < capacity; i++) p->where[i] = IS_UNUSED;
    if (status == SDB_OK && p->kind == SDB_CACHE_LFU) {
        p->worth = sdb__mem_zalloc(allocator, capacity, sizeof *p->worth);
        if (!p->worth) status = SDB_NOMEM;
    }
    if (status == SDB_OK && p->kind == SDB_CACHE_S3FIFO) {
        uint32_t small = capacity / SMALL_PART ? capacity / SMALL_PART : 1;

        p->keys = sdb__mem_zalloc(allocator, capacity, sizeof *p->keys);
        status = p->keys ? sdb__ghost_init(&p->ghost, allocator,
                                           capacity > small ? capacity - small : 1)
                         : SDB_NOMEM;
    }
    if (status != SDB_OK) {
        sdb__policy_free(p);
        return status;
    }
    *out_policy = p;
    return SDB_OK;
}

void sdb__policy_free(struct policy *p)
{
    if (!p) return;
    sdb__ghost_done(&p->ghost, p->allocator);
    sdb__mem_free(p->allocator, p->worth);
    sdb__mem_free(p->allocator, p->keys);
    sdb__mem_free(p->allocator, p->where);
    sdb__mem_free(p->allocator, p->older);
    sdb__mem_free(p->allocator, p->newer);
    sdb__mem_free(p->allocator, p);
}

/* ---- counters ---- */

static policy_uses *uses_of(const struct policy *p, uint32_t slot)
{
    return (policy_uses *)((char *)p->uses + (size_t)slot * p->stride);
}

static uint8_t uses_get(const struct policy *p, uint32_t slot)
{
    return atomic_load_explicit(uses_of(p, slot), memory_order_relaxed);
}

static void uses_set(const struct policy *p, uint32_t slot, uint8_t uses)
{
    atomic_store_explicit(uses_of(p, slot), uses, memory_order_relaxed);
}

/* ---- queues ---- */

/* Puts a slot next to `newer`, on its older side; POLICY_NONE: at the head. */
static void link_behind(struct policy *p, unsigned which, uint32_t newer, uint32_t slot)
{
    struct queue *q = &p->queues[which];
    uint32_t *from_newer = newer == POLICY_NONE ? &q->head : &p->older[newer];
    uint32_t older = *from_newer;

    p->newer[slot] = newer;
    p->older[slot] = older;
    *from_newer = slot;
    if (older == POLICY_NONE)
        q->tail = slot;
    else
        p->newer[older] = slot;
    q->count++;
    p->where[slot] = (uint8_t)which;
}

static void link_newest(struct policy *p, unsigned which, uint32_t slot)
{
    link_behind(p, which, POLICY_NONE, slot);
}

static void unlink_slot(struct policy *p, uint32_t slot)
{
    struct queue *q = &p->queues[p->where[slot]];
    uint32_t newer = p->newer[slot], older = p->older[slot];

    if (p->hand == slot) p->hand = newer;
    if (newer == POLICY_NONE)
        q->head = older;
    else
        p->older[newer] = older;
    if (older == POLICY_NONE)
        q->tail = newer;
    else
        p->newer[older] = newer;
    q->count--;
}

static void renew(struct policy *p, uint32_t slot)
{
    unsigned which = p->where[slot];

    unlink_slot(p, slot);
    link_newest(p, which, slot);
}

/* ---- LFU's heap: p->older[i] is the slot at heap place i, p->newer[slot] its place ---- */

static bool is_less(const struct policy *p, uint32_t a, uint32_t b)
{
    const struct worth *x = &p->worth[a], *y = &p->worth[b];

    return x->uses != y->uses ? x->uses < y->uses : x->last < y->last;
}

static void heap_put(struct policy *p, uint32_t at, uint32_t slot)
{
    p->older[at] = slot;
    p->newer[slot] = at;
}

/* Moves `slot`, which belongs near heap place `at`, to where it belongs. */
static void heap_settle(struct policy *p, uint32_t at, uint32_t slot)
{
    uint32_t count = p->queues[QUEUE_MAIN].count;

    for (; at > 0 && is_less(p, slot, p->older[(at - 1) / 2]); at = (at - 1) / 2)
        heap_put(p, at, p->older[(at - 1) / 2]);
    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child >= count) break;
        if (child + 1 < count && is_less(p, p->older[child + 1], p->older[child])) child++;
        if (!is_less(p, p->older[child], slot)) break;
        heap_put(p, at, p->older[child]);
        at = child;
    }
    heap_put(p, at, slot);
}

static void add_uses(struct policy *p, uint32_t slot, uint64_t uses)
{
    struct worth *worth = &p->worth[slot];

    *worth = (struct worth){worth->uses + uses, p->now};
    if (worth->uses > p->most_uses) p->most_uses = worth->uses;
    heap_settle(p, p->newer[slot], slot);
}

static void heap_remove(struct policy *p, uint32_t slot)
{
    uint32_t at = p->newer[slot], last = p->older[--p->queues[QUEUE_MAIN].count];

    if (last != slot) heap_settle(p, at, last);
}

/* ---- the same for all ---- */

static void take_in(struct policy *p, unsigned which, uint32_t slot)
{
    if (p->kind == SDB_CACHE_LFU) {
        p->where[slot] = QUEUE_MAIN;
        heap_settle(p, p->queues[QUEUE_MAIN].count++, slot);
    } else {
        link_newest(p, which, slot);
    }
}

static void take_out(struct policy *p, uint32_t slot)
{
    if (p->kind == SDB_CACHE_LFU)
        heap_remove(p, slot);
    else
        unlink_slot(p, slot);
}

void sdb__policy_insert(struct policy *p, uint32_t slot, uint64_t key)
{
    unsigned which = QUEUE_MAIN;

    assert(slot < p->capacity && p->where[slot] == IS_UNUSED);
    uses_set(p, slot, 0);
    if (p->kind == SDB_CACHE_LFU) p->worth[slot] = (struct worth){0, ++p->now};
    if (p->kind == SDB_CACHE_S3FIFO) {
        p->keys[slot] = key;
        if (!sdb__ghost_take(&p->ghost, key)) which = QUEUE_SMALL;
    }
    take_in(p, which, slot);
}

void sdb__policy_hit(struct policy *p, uint32_t slot)
{
    assert(p->where[slot] < QUEUES);
    switch (p->kind) {
    case SDB_CACHE_LRU: renew(p, slot); break;
    case SDB_CACHE_LFU:
        p->now++;
        add_uses(p, slot, 1);
        break;
    default: policy_touch(uses_of(p, slot));
    }
}

/* LRU: those that were used become the newest, and keep their order among each other. */
static void fold_lru(struct policy *p)
{
    uint32_t slot = p->queues[QUEUE_MAIN].tail;

    for (uint32_t left = p->queues[QUEUE_MAIN].count; left; left--) {
        uint32_t newer = p->newer[slot];

        if (uses_get(p, slot)) {
            uses_set(p, slot, 0);
            renew(p, slot);
        }
        slot = newer;
    }
}

void sdb__policy_fold(struct policy *p)
{
    if (p->kind == SDB_CACHE_LRU) fold_lru(p);
    if (p->kind != SDB_CACHE_LFU) return;
    p->now++;
    for (uint32_t slot = 0; slot < p->capacity; slot++) {
        uint8_t uses = uses_get(p, slot);

        if (p->where[slot] != QUEUE_MAIN || !uses) continue;
        uses_set(p, slot, 0);
        add_uses(p, slot, uses);
    }
}

/* ---- victims ---- */

/* The oldest of a queue that has no uses left; each turn costs one, or all with `forget`. */
static uint32_t oldest_unused(struct policy *p, unsigned which, bool forget)
{
    struct queue *q = &p->queues[which];

    for (uint64_t steps = (uint64_t)STEPS_EACH * q->count; steps; steps--) {
        uint8_t uses = uses_get(p, q->tail);

        if (!uses) break;
        uses_set(p, q->tail, forget ? 0 : uses - 1);
        renew(p, q->tail);
    }
    return q->tail;
}

static uint32_t victim_s3fifo(struct policy *p)
{
    struct queue *small = &p->queues[QUEUE_SMALL], *main = &p->queues[QUEUE_MAIN];
    uint32_t count = small->count + main->count;
    uint32_t small_most = count / SMALL_PART ? count / SMALL_PART : 1;

    while (small->count >= small_most || (small->count && !main->count)) {
        uint32_t slot = small->tail;

        if (uses_get(p, slot) < PROMOTED_USES) return slot;
        unlink_slot(p, slot);
        uses_set(p, slot, 0);
        link_newest(p, QUEUE_MAIN, slot);
        if (main->count > count - small_most) break;
    }
    return oldest_unused(p, QUEUE_MAIN, false);
}

static uint32_t victim_sieve(struct policy *p)
{
    struct queue *q = &p->queues[QUEUE_MAIN];
    uint32_t slot = p->hand == POLICY_NONE ? q->tail : p->hand;

    for (uint64_t steps = (uint64_t)STEPS_EACH * q->count; steps; steps--) {
        if (!uses_get(p, slot)) break;
        uses_set(p, slot, 0);
        slot = p->newer[slot] == POLICY_NONE ? q->tail : p->newer[slot];
    }
    if (slot != POLICY_NONE) p->hand = slot; /* unlinking it moves the hand on */
    return slot;
}

/* The least worth, once the uses counted of those that come to the top have been added. */
static uint32_t victim_lfu(struct policy *p)
{
    for (uint32_t steps = p->queues[QUEUE_MAIN].count; steps; steps--) {
        uint32_t slot = p->older[0];
        uint8_t uses = uses_get(p, slot);

        if (!uses) break;
        uses_set(p, slot, 0);
        p->now++;
        add_uses(p, slot, uses);
    }
    return p->older[0];
}

uint32_t sdb__policy_victim(struct policy *p)
{
    uint32_t slot = POLICY_NONE;

    if (p->queues[QUEUE_MAIN].count + p->queues[QUEUE_SMALL].count == 0) return POLICY_NONE;
    switch (p->kind) {
    case SDB_CACHE_DEFAULT:
    case SDB_CACHE_S3FIFO: slot = victim_s3fifo(p); break;
    case SDB_CACHE_SIEVE: slot = victim_sieve(p); break;
    case SDB_CACHE_LRU: /* exact where hits are, since then nothing is counted */
    case SDB_CACHE_CLOCK: slot = oldest_unused(p, QUEUE_MAIN, true); break;
    case SDB_CACHE_LFU: slot = victim_lfu(p); break;
    case SDB_CACHE_FIFO: slot = p->queues[QUEUE_MAIN].tail; break;
    }
    take_out(p, slot);
    p->where[slot] |= IS_OUT;
    return slot;
}

void sdb__policy_gone(struct policy *p, uint32_t slot)
{
    assert(p->where[slot] & IS_OUT);
    if (p->kind == SDB_CACHE_S3FIFO && p->where[slot] == (QUEUE_SMALL | IS_OUT))
        sdb__ghost_add(&p->ghost, p->keys[slot]);
    p->where[slot] = IS_UNUSED;
}

void sdb__policy_stay(struct policy *p, uint32_t slot)
{
    unsigned which = p->where[slot] & ~(unsigned)IS_OUT;

    assert(p->where[slot] & IS_OUT);
    if (p->kind == SDB_CACHE_S3FIFO) which ^= QUEUE_MAIN ^ QUEUE_SMALL;
    if (p->kind == SDB_CACHE_LFU) p->worth[slot] = (struct worth){p->most_uses, ++p->now};
    if (p->kind == SDB_CACHE_SIEVE)
        link_behind(p, which, p->hand, slot);
    else
        take_in(p, which, slot);
}

void sdb__policy_remove(struct policy *p, uint32_t slot)
{
    assert(p->where[slot] < QUEUES);
    take_out(p, slot);
    p->where[slot] = IS_UNUSED;
}
