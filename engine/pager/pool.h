/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.h: the pager from inside: frames, state words, and who locks what.
 *
 * A *state word* for each page id: frame + 1 (28 bits, 0: not in memory), exclusive latch (1),
 * shared latches (11), version (24). All latching is compare-and-swap on the word.
 *
 * Locks, in this order: page latches (top down) → pool_lock → map_lock → queue_lock. Nothing does
 * I/O under pool_lock or queue_lock; under map_lock only the truncation of the file.
 * A frame's `id` changes under pool_lock or under the exclusive latch of the page that owns it;
 * `dirty` and `epoch` change under the page's latch: to dirty under an exclusive one, to clean
 * under any by whoever wrote it, or has a copy that he is about to write (copies.c).
 */
#ifndef SDB_ENGINE_PAGER_POOL_H
#define SDB_ENGINE_PAGER_POOL_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/base/policy.h"
#include "engine/pager/kept.h"
#include "engine/pager/map.h"
#include "engine/pager/pager.h"

enum { POOL_BATCH = 32, POOL_SHARDS = 16, POOL_FRAMES_LEAST = 64 };
enum { HUGE_PAGE = 2 * 1024 * 1024, ARENA_AHEAD = 8 * HUGE_PAGE };

#define WORD_FRAME_BITS 28
#define WORD_FRAME_MASK ((UINT64_C(1) << WORD_FRAME_BITS) - 1)
#define WORD_EXCLUSIVE (UINT64_C(1) << WORD_FRAME_BITS)
#define WORD_SHARED_ONE (UINT64_C(1) << (WORD_FRAME_BITS + 1))
#define WORD_SHARED_MASK (UINT64_C(0x7ff) << (WORD_FRAME_BITS + 1))
#define WORD_VERSION_ONE (UINT64_C(1) << 40)

struct frame {
    _Atomic uint64_t id; /* of the page in it; 0: none */
    _Atomic uint64_t epoch;
    _Atomic bool dirty;
    /* clean, but what the map names is still being written: it stays in memory until it is there */
    _Atomic bool leaving;
};

struct counters {
    _Atomic uint64_t hits;
    _Atomic uint64_t misses;
    uint64_t apart[6]; /* each thread's counters on a cache line of their own */
};

struct pager {
    struct pager_options options;
    const sdb_allocator *allocator;
    uint32_t page_size;

    _Atomic uint64_t *words;
    uint64_t word_limit;
    uint8_t *arena; /* frame_count frames, with OPTIMISTIC_APRON of memory on both sides */
    size_t arena_bytes;
    _Atomic size_t arena_had; /* bytes at its beginning that have been asked of the system */
    _Atomic bool wants_memory; /* frames are taken that lie close to the end of these */
    struct frame *frames;
    policy_uses *uses; /* of each frame, for the policy; apart, for readers touch nothing else */
    uint32_t frame_count;

    pthread_mutex_t pool_lock;
    uint32_t *free_frames; /* free_count of them; at the end of the array the retired ones */
    uint32_t free_count;
    _Atomic uint32_t retired; /* frames given up, for the page map's memory and what is lent */
    uint64_t lent_bytes;      /* of the budget: sdb__pager_lend */
    _Atomic uint64_t other_bytes; /* memory beside frames that counts as cache; under map_lock */
    struct policy *policy;  /* of the frames that are not free */
    uint32_t unfolded;      /* victims since the policy last took the counters over */
    uint32_t clean_hand;    /* where sdb__pager_reserve looks next */

    pthread_mutex_t map_lock;
    struct map map;
    _Atomic uint64_t epoch; /* map.epoch and map.cutting, readable without the lock */
    _Atomic bool cutting;
    uint64_t next_id;
    uint32_t *free_ids;
    size_t free_id_count, free_id_capacity;
    uint64_t cut_page_limit;
    uint64_t cut_chunks;
    unsigned pins;
    struct superblock superblock;
    struct kept_state kept;
    struct pager *parent;     /* of a pager of a kept checkpoint: who keeps it, and which */
    struct kept *of_parent;
    uint64_t borrowed;        /* of the parent's cache */
    _Atomic uint32_t features; /* of the next superblock, beside those of this one */
    unsigned slot; /* which the superblock stands in */
    bool holeless; /* the file system makes no holes */
    bool lame;     /* the other slot was damaged when the file was opened */

    pthread_mutex_t queue_lock;
    struct io_queue **queues;
    size_t queue_count, queue_capacity;
    struct pack_rooms rooms;

    _Atomic uint64_t dirty_count, evicted, written, read_ahead;
    _Atomic uint32_t fetching; /* frames of fetches that have begun and not ended */
    struct counters counters[POOL_SHARDS];
};

static inline uint8_t *frame_data(const struct pager *p, uint32_t frame)
{
    return p->arena + (size_t)frame * p->page_size;
}

/* Notes that the page in a frame was used: a load, and a store as long as that changes anything. */
static inline void frame_touch(struct pager *p, uint32_t frame)
{
    policy_touch(&p->uses[frame]);
}

/* Counts a page that was not found in memory. */
void sdb__pool_count_miss(struct pager *p);

/* SDB_CORRUPT for a page number that there cannot be. */
SDB_MUST_USE sdb_status sdb__pool_judge_id(const struct pager *p, uint64_t id);

/* Frames that are there: free or holding a page. */
static inline uint32_t frames_live(const struct pager *p)
{
    return p->frame_count - atomic_load_explicit(&p->retired, memory_order_relaxed);
}

/* Bytes of memory that a frame takes, its page and what is kept about it. */
static inline uint64_t frame_cost(const struct pager *p)
{
    return p->page_size + sizeof *p->frames + sizeof *p->free_frames +
           sdb__policy_cost(p->options.cache_policy);
}

/* Lends a queue; sdb__pool_queue_put gives it back. */
SDB_MUST_USE sdb_status sdb__pool_queue_get(struct pager *p, struct io_queue **out_queue);
void sdb__pool_queue_put(struct pager *p, struct io_queue *queue);

/* Lends memory to pack in, NULL if there is none to be had; sdb__pool_room_put gives it back. */
struct pack_room *sdb__pool_room_get(struct pager *p);
void sdb__pool_room_put(struct pager *p, struct pack_room *room); /* NULL is allowed */

/* Blocks for `bytes`, or why not. */
SDB_MUST_USE sdb_status sdb__pool_take(struct pager *p, uint64_t bytes, enum place_kind kind,
                                       uint64_t *out_place);
/* What the map says of an id at this instant. */
struct map_entry sdb__pool_entry(struct pager *p, uint64_t id);

/* Undoes a take whose place nothing refers to yet. */
void sdb__pool_untake(struct pager *p, uint64_t place);

/*
 * Writes latched dirty frames to free blocks and enters them in the map: they are clean then. All
 * or none.
 */
SDB_MUST_USE sdb_status sdb__pool_write(struct pager *p, const uint32_t *frames, size_t count);

/* What stands for page `index` of a batch in the file: the page, or it packed into `*room`. */
uint8_t *sdb__pool_bytes(struct pager *p, uint8_t *data, struct pack_room **room, unsigned index,
                         size_t *out_size);

/* ---- copies.c: pages written from copies, while their frames are free to change ------------- */

struct copies {
    struct pack_room *room;
    size_t count;
    uint64_t ids[POOL_BATCH];
    uint32_t frames[POOL_BATCH];
    struct io_op ops[POOL_BATCH];
};

/*
 * Copies the page in `frame`, which is latched, dirty and of an epoch before the cut, enters the
 * place where the copy will stand and marks the frame clean. At most POOL_BATCH at a time.
 */
SDB_MUST_USE sdb_status sdb__pool_copy(struct pager *p, uint64_t id, uint32_t frame,
                                       struct copies *copies);
/* Writes the copies and forgets them; after a failure the frames are dirty again. No latch held. */
SDB_MUST_USE sdb_status sdb__pool_write_copies(struct pager *p, struct copies *copies);

/* A frame that holds no page, for page `id`, evicting if need be. */
SDB_MUST_USE sdb_status sdb__pool_frame(struct pager *p, uint64_t id, uint32_t *out_frame);
/* The same without waiting: *out_taken false, all that could leave are in use just now. */
SDB_MUST_USE sdb_status sdb__pool_try_frame(struct pager *p, uint64_t id, bool *out_taken,
                                            uint32_t *out_frame);
/* Gives a frame back whose page has ended, or did not come. */
void sdb__pool_frame_return(struct pager *p, uint32_t frame);

/* Measures other_bytes anew. Under map_lock. */
void sdb__pool_measure_locked(struct pager *p);

/* Writes bytes of the map's own to free blocks, and says where they stand (checkpoint.c). */
SDB_MUST_USE sdb_status sdb__pool_write_map(struct pager *p, struct io_queue *queue,
                                            const uint8_t *bytes, size_t size,
                                            struct map_entry *out_at);
/* Gives the checkpoint that is being written up (checkpoint.c). */
void sdb__pool_give_up(struct pager *p);

/* An id that is free, within reach of the map. */
SDB_MUST_USE sdb_status sdb__pool_take_id(struct pager *p, uint64_t *out_id);
/*
 * Puts an id back; without memory to remember it, it stays unused until the next open. Under
 * map_lock.
 */
void sdb__pool_give_id_locked(struct pager *p, uint64_t id);

/*
 * Latches a page that is in memory; false if it is not, or (unless `wait`) if that would mean
 * waiting.
 */
bool sdb__pool_try_shared(struct pager *p, uint64_t id, bool wait, uint32_t *out_frame);
void sdb__pool_release_shared(struct pager *p, uint64_t id);

#endif
