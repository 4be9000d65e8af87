/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.h: who has to leave a full cache.
 *
 * Words. A *slot* is a place in the cache, 0 … capacity-1. A *key* says what is in it; keys are
 * only remembered of what left (S3-FIFO's ghosts). Each slot has a *use counter*, one byte in
 * memory of the caller's, which saturates at POLICY_USES_MOST.
 *
 * Two ways to say that a slot was used:
 *   sdb__policy_hit  by the one who owns the policy. LRU, LFU and all others are then exact: this
 *                    is a cache simulator.
 *   policy_touch     by any thread, without a lock, in the slot's counter. S3-FIFO, CLOCK, SIEVE
 *                    and FIFO lose nothing by it. LRU and LFU then see uses when they are folded
 *                    in: uses between two folds count as simultaneous, and LFU counts at most
 *                    POLICY_USES_MOST of them.
 *
 *   S3FIFO  newcomers pass a small queue, a tenth of all; who was used twice there, or comes back
 *           soon after it left, goes to the main queue, which gives up to three more rounds.
 *   SIEVE   a queue with a hand that passes over who was used and takes who was not.
 *   CLOCK   a queue; who was used since its last turn goes to the end once more.
 *   LRU     the one whose last use is longest ago.
 *   LFU     the one with the fewest uses since it came; of those, the one used longest ago.
 *   FIFO    the one that came first, whatever its uses.
 *
 * Not locked, except for policy_touch.
 */
#ifndef SDB_ENGINE_BASE_POLICY_H
#define SDB_ENGINE_BASE_POLICY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sdb/db.h>

struct policy;

#define POLICY_NONE UINT32_MAX /* no slot */

enum { POLICY_USES_MOST = 3 };

typedef _Atomic uint8_t policy_uses;

/* Notes a use. From any thread; a lost race costs one of two simultaneous uses. */
static inline void policy_touch(policy_uses *uses)
{
    uint8_t n = atomic_load_explicit(uses, memory_order_relaxed);

    if (n < POLICY_USES_MOST) atomic_store_explicit(uses, n + 1, memory_order_relaxed);
}

/*
 * A policy over `capacity` slots (1 … 2^30), none of them in use. The counter of slot i stands at
 * `uses` + i * `stride` bytes; borrowed until free. DEFAULT is S3FIFO. *out_policy is owned:
 * sdb__policy_free.
 */
SDB_MUST_USE sdb_status sdb__policy_new(const sdb_allocator *allocator, sdb_cache_policy kind,
                                        uint32_t capacity, policy_uses *uses, size_t stride,
                                        struct policy **out_policy);
void sdb__policy_free(struct policy *policy); /* NULL is allowed */

/* A slot is in use from now on, unused as yet, and holds `key`. */
void sdb__policy_insert(struct policy *policy, uint32_t slot, uint64_t key);
/* A slot was used, exactly now. */
void sdb__policy_hit(struct policy *policy, uint32_t slot);
/* Folds the counters in; only LRU and LFU need it, now and then. O(capacity) for them. */
void sdb__policy_fold(struct policy *policy);

/*
 * Names the slot that should be emptied, or POLICY_NONE if none is in use, and takes it out of the
 * queues. Then say which came true: gone, or stay. Any number may be out at once.
 */
uint32_t sdb__policy_victim(struct policy *policy);
/* The victim has left its slot. */
void sdb__policy_gone(struct policy *policy, uint32_t slot);
/*
 * The victim could not leave: it becomes the newest, for S3FIFO of the other queue, for LFU with as
 * many uses as any slot had; SIEVE's hand passes over it. So whoever asks three times for each slot
 * in use sees them all, though many have to stay.
 */
void sdb__policy_stay(struct policy *policy, uint32_t slot);

/* What a slot holds has ended, which says nothing about its use. It must not be out. */
void sdb__policy_remove(struct policy *policy, uint32_t slot);

/* Bytes of memory that a policy takes for each slot, at most, with its counter. */
uint32_t sdb__policy_cost(sdb_cache_policy kind);

/* "s3fifo" and so on; the first is DEFAULT's. NULL for what is no policy. */
const char *sdb__policy_name(sdb_cache_policy kind);

#endif
