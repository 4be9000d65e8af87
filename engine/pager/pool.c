/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.c: frames: who gets one, and who has to give one up.
 *
 * Idea: a policy (engine/base/policy.h) says who goes; victims are taken in batches, so that the
 * dirty ones among them are written in one go to blocks that lie in a row.
 * Invariants: I1 a frame is in free_frames, or names a page whose word names it, or is in the hands
 *   of one thread; the policy has it unless it is free.
 *   I2 a dirty page leaves memory only after its bytes have a place that the map names.
 *   I3 frames, what is kept about them, the page map and the state words in use take no more than
 *   cache_bytes together, as long as POOL_FRAMES_LEAST frames are left.
 * Costs: a miss writes at most POOL_BATCH pages; a search asks the policy at most three times for
 *   each frame.
 * Not here: latching by id (latch.c), reading pages.
 */
#include "engine/pager/pool.h"

#include <assert.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"

enum { TRIMMED = 256 }; /* frames given up at once */
enum { QUEUE_DEPTH = 64, EVICT_PATIENCE_MS = 10000, FOLDS_A_ROUND = 16 };

sdb_status sdb__pool_queue_get(struct pager *p, struct io_queue **out_queue)
{
    struct io_queue *queue = NULL;

    (void)pthread_mutex_lock(&p->queue_lock);
    if (p->queue_count) queue = p->queues[--p->queue_count];
    (void)pthread_mutex_unlock(&p->queue_lock);
    if (!queue) TRY(sdb__io_queue_new(p->options.io, QUEUE_DEPTH, &queue));
    *out_queue = queue;
    return SDB_OK;
}

void sdb__pool_queue_put(struct pager *p, struct io_queue *queue)
{
    sdb_status status;

    (void)pthread_mutex_lock(&p->queue_lock);
    status = sdb__mem_reserve(p->allocator, &p->queues, &p->queue_capacity, p->queue_count + 1,
                              sizeof(struct io_queue *));
    if (status == SDB_OK) p->queues[p->queue_count++] = queue;
    (void)pthread_mutex_unlock(&p->queue_lock);
    if (status != SDB_OK) sdb__io_queue_free(queue);
}

struct pack_room *sdb__pool_room_get(struct pager *p)
{
    struct pack_room *room;

    (void)pthread_mutex_lock(&p->queue_lock);
    room = sdb__pack_rooms_take(&p->rooms);
    (void)pthread_mutex_unlock(&p->queue_lock);
    if (!room && sdb__pack_room_new(p->allocator, p->page_size,
                                    p->options.dictionaries, p->options.dense,
                                    &room) != SDB_OK)
        return NULL;
    return room;
}

void sdb__pool_room_put(struct pager *p, struct pack_room *room)
{
    if (!room) return;
    (void)pthread_mutex_lock(&p->queue_lock);
    sdb__pack_rooms_add(&p->rooms, room);
    (void)pthread_mutex_unlock(&p->queue_lock);
}

sdb_status sdb__pool_take(struct pager *p, uint64_t bytes, enum place_kind kind,
                          uint64_t *out_place)
{
    uint64_t blocks = (bytes + SPACE_BLOCK - 1) / SPACE_BLOCK, first;
    sdb_status status;

    (void)pthread_mutex_lock(&p->map_lock);
    status = sdb__space_take(&p->map.space, blocks, &first);
    (void)pthread_mutex_unlock(&p->map_lock);
    if (status == SDB_OK) *out_place = place_pack(first, blocks, kind);
    return status;
}

struct map_entry sdb__pool_entry(struct pager *p, uint64_t id)
{
    struct map_entry entry;

    (void)pthread_mutex_lock(&p->map_lock);
    entry = sdb__map_get(&p->map, id);
    (void)pthread_mutex_unlock(&p->map_lock);
    return entry;
}

void sdb__pool_untake(struct pager *p, uint64_t place)
{
    (void)pthread_mutex_lock(&p->map_lock);
    sdb__space_give(&p->map.space, place_first(place), place_blocks(place));
    (void)pthread_mutex_unlock(&p->map_lock);
}

uint8_t *sdb__pool_bytes(struct pager *p, uint8_t *data, struct pack_room **room, unsigned index,
                         size_t *out_size)
{
    struct packing how = {.algorithm = PACK_NONE};
    uint8_t *packed;

    *out_size = 0;
    if (p->options.packing)
        how = p->options.packing(p->options.packing_context, data, p->page_size);
    if (how.algorithm != PACK_NONE && !*room) *room = sdb__pool_room_get(p);
    if (how.algorithm != PACK_NONE && *room) {
        packed = sdb__pack_room_page(*room, index);
        *out_size = sdb__pack(*room, how, data, packed);
        if (*out_size) return packed;
    }
    *out_size = p->page_size;
    return data;
}

/*
 * Takes places for count frames and describes their writes, packing into *room what is to be
 * packed. Returns how many were taken.
 */
static size_t prepare_writes(struct pager *p, const uint32_t *frames, size_t count,
                             struct pack_room **room, struct map_entry *entries,
                             struct io_op *ops)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t *data = frame_data(p, frames[i]), *bytes;
        size_t size;

        bytes = sdb__pool_bytes(p, data, room, (unsigned)i, &size);
        if (sdb__pool_take(p, size, bytes == data ? PLACE_PAGE : PLACE_PACKED,
                           &entries[i].place) != SDB_OK)
            return i;
        entries[i].checksum = sdb__digest(bytes, size, 0);
        ops[i] = (struct io_op){.file = p->options.file, .memory = bytes,
                                .offset = place_offset(entries[i].place),
                                .size = size, .kind = IO_WRITE};
    }
    return count;
}

/*
 * Enters what was written in the map, and gives the place of what somebody else, who had it latched
 * shared too, has written and entered meanwhile back: a checkpoint may name the place that is
 * entered already. Returns how many were dealt with.
 */
static size_t enter_writes(struct pager *p, const uint32_t *frames, size_t count,
                           const struct map_entry *entries)
{
    size_t i, entered = 0;

    (void)pthread_mutex_lock(&p->map_lock);
    for (i = 0; i < count; i++) {
        struct frame *frame = &p->frames[frames[i]];

        if (!atomic_load_explicit(&frame->dirty, memory_order_relaxed) &&
            !MUTANT(page_entered_twice)) {
            sdb__space_give(&p->map.space, place_first(entries[i].place),
                            place_blocks(entries[i].place));
            continue;
        }
        if (sdb__map_set(&p->map, atomic_load_explicit(&frame->id, memory_order_relaxed),
                         entries[i], atomic_load_explicit(&frame->epoch, memory_order_relaxed),
                         false) != SDB_OK)
            break;
        atomic_store_explicit(&frame->dirty, false, memory_order_relaxed);
        entered++;
    }
    (void)pthread_mutex_unlock(&p->map_lock);
    atomic_fetch_sub_explicit(&p->dirty_count, entered, memory_order_relaxed);
    atomic_fetch_add_explicit(&p->written, entered, memory_order_relaxed);
    return i;
}

sdb_status sdb__pool_write(struct pager *p, const uint32_t *frames, size_t count)
{
    struct io_op ops[POOL_BATCH];
    struct map_entry entries[POOL_BATCH];
    struct pack_room *room = NULL;
    struct io_queue *queue;
    size_t taken, entered = 0;
    sdb_status status;

    assert(count <= POOL_BATCH);
    if (count == 0) return SDB_OK;
    TRY(sdb__pool_queue_get(p, &queue));
    taken = prepare_writes(p, frames, count, &room, entries, ops);
    status = taken == count ? sdb__io_run(queue, ops, count) : SDB_NOMEM;
    sdb__pool_queue_put(p, queue);
    sdb__pool_room_put(p, room);
    if (status == SDB_OK) {
        entered = enter_writes(p, frames, count, entries);
        if (entered < count) status = SDB_NOMEM;
    }
    for (size_t i = entered; i < taken; i++) sdb__pool_untake(p, entries[i].place);
    return status;
}

void sdb__pool_frame_return(struct pager *p, uint32_t frame)
{
    (void)pthread_mutex_lock(&p->pool_lock);
    sdb__policy_remove(p->policy, frame);
    p->free_frames[p->free_count++] = frame;
    (void)pthread_mutex_unlock(&p->pool_lock);
}

/* Latches the page in `frame` exclusively if nobody has it. */
static bool try_victim(struct pager *p, uint32_t frame)
{
    uint64_t id = atomic_load_explicit(&p->frames[frame].id, memory_order_relaxed), word;

    if (id == 0) return false; /* on its way in or out */
    if (atomic_load_explicit(&p->frames[frame].leaving, memory_order_acquire) &&
        !MUTANT(page_gone_before_its_copy_is_written))
        return false;
    word = atomic_load_explicit(&p->words[id], memory_order_relaxed);
    if ((word & WORD_FRAME_MASK) != (uint64_t)frame + 1 ||
        (word & (WORD_EXCLUSIVE | WORD_SHARED_MASK)))
        return false;
    if (!atomic_compare_exchange_strong_explicit(&p->words[id], &word, word | WORD_EXCLUSIVE,
                                                 memory_order_acquire, memory_order_relaxed))
        return false;
    /* since the look above a checkpoint may have copied it, which leaves the word as it was */
    if (!atomic_load_explicit(&p->frames[frame].leaving, memory_order_acquire) ||
        MUTANT(page_gone_before_its_copy_is_written))
        return true;
    atomic_store_explicit(&p->words[id], word, memory_order_release);
    return false;
}

/*
 * Asks the policy until `most` victims are latched or every frame has been seen. Under pool_lock.
 */
static size_t find_victims(struct pager *p, uint32_t *victims, size_t most)
{
    size_t count = 0;

    if (p->unfolded >= p->frame_count / FOLDS_A_ROUND) {
        sdb__policy_fold(p->policy);
        p->unfolded = 0;
    }
    for (uint64_t steps = UINT64_C(3) * p->frame_count; steps && count < most; steps--) {
        uint32_t frame = sdb__policy_victim(p->policy);

        if (frame == POLICY_NONE) break;
        if (try_victim(p, frame))
            victims[count++] = frame;
        else
            sdb__policy_stay(p->policy, frame);
    }
    p->unfolded += (uint32_t)count;
    return count;
}

/* Ends a victim's exclusive latch: it stays, or (`gone`) leaves its frame. Under pool_lock. */
static void let_go(struct pager *p, uint32_t frame, bool gone)
{
    struct frame *f = &p->frames[frame];
    uint64_t id = atomic_load_explicit(&f->id, memory_order_relaxed);
    uint64_t word = atomic_load_explicit(&p->words[id], memory_order_relaxed);

    word &= ~WORD_EXCLUSIVE;
    if (gone) {
        sdb__policy_gone(p->policy, frame);
        p->free_frames[p->free_count++] = frame;
        atomic_store_explicit(&f->id, 0, memory_order_relaxed);
        word = (word & ~WORD_FRAME_MASK) + WORD_VERSION_ONE;
        atomic_fetch_add_explicit(&p->evicted, 1, memory_order_relaxed);
    } else {
        sdb__policy_stay(p->policy, frame);
    }
    atomic_store_explicit(&p->words[id], word, memory_order_release);
}

void sdb__pool_measure_locked(struct pager *p)
{
    uint64_t bytes = sdb__map_bytes(&p->map) + p->next_id * sizeof *p->words +
                     p->free_id_capacity * sizeof *p->free_ids;

    atomic_store_explicit(&p->other_bytes, bytes, memory_order_relaxed);
}

/* True while `frames` frames are more than the budget has room for. Under pool_lock. */
static bool is_over(const struct pager *p, uint64_t frames)
{
    uint64_t other = atomic_load_explicit(&p->other_bytes, memory_order_relaxed) + p->lent_bytes;

    return frames > POOL_FRAMES_LEAST && frames * frame_cost(p) + other > p->options.cache_bytes;
}

/*
 * Gives free frames up while the cache is over its budget: the page map grows with the database,
 * and counts. The memory goes back to the system and stays mapped. Under pool_lock.
 */
static void trim(struct pager *p)
{
    uint32_t gone[TRIMMED], count, live = frames_live(p);

    do { /* at first, those at the arena's end, never touched: others lie in huge pages' midst */
        for (count = 0; count < TRIMMED && count < p->free_count && is_over(p, live - count);
             count++) {
            gone[count] = p->free_frames[count];
            (void)madvise(frame_data(p, gone[count]), p->page_size, MADV_DONTNEED);
        }
        if (!count) return;
        live -= count;
        p->free_count -= count;
        memmove(p->free_frames, p->free_frames + count, p->free_count * sizeof *p->free_frames);
        for (uint32_t i = 0; i < count; i++) p->free_frames[live + i] = gone[count - 1 - i];
        atomic_fetch_add_explicit(&p->retired, count, memory_order_relaxed);
    } while (count == TRIMMED);
}

/* Takes retired frames back as far as the budget has room for them. Under pool_lock. */
static void untrim(struct pager *p)
{
    while (frames_live(p) < p->frame_count && !is_over(p, (uint64_t)frames_live(p) + 1)) {
        uint32_t frame = p->free_frames[frames_live(p)];

        atomic_fetch_sub_explicit(&p->retired, 1, memory_order_relaxed);
        p->free_frames[p->free_count++] = frame;
    }
}

/* Notes when frames come close to memory that is yet to be asked for. */
static void look_ahead(struct pager *p, uint32_t frame)
{
    size_t end = ((size_t)frame + 1) * p->page_size + ARENA_AHEAD / 2;

    if (end > atomic_load_explicit(&p->arena_had, memory_order_relaxed) &&
        end < p->arena_bytes)
        atomic_store_explicit(&p->wants_memory, true, memory_order_relaxed);
}

/* Takes a free frame for page `id`, if there is one. Under pool_lock. */
static bool take_free(struct pager *p, uint64_t id, uint32_t *out_frame)
{
    if (!p->free_count) return false;
    *out_frame = p->free_frames[--p->free_count];
    sdb__policy_insert(p->policy, *out_frame, id);
    look_ahead(p, *out_frame);
    trim(p);
    return true;
}

/*
 * Empties some frames; dirty victims are written first, and if that fails the clean ones still go.
 * Returns with pool_lock taken.
 */
static sdb_status evict_and_lock(struct pager *p)
{
    uint32_t victims[POOL_BATCH], dirty[POOL_BATCH];
    size_t count, dirty_count = 0;
    sdb_status status;

    (void)pthread_mutex_lock(&p->pool_lock);
    count = find_victims(p, victims, p->frame_count < 8 * POOL_BATCH ? 2 : POOL_BATCH);
    (void)pthread_mutex_unlock(&p->pool_lock);
    for (size_t i = 0; i < count; i++)
        if (atomic_load_explicit(&p->frames[victims[i]].dirty, memory_order_relaxed))
            dirty[dirty_count++] = victims[i];
    status = p->options.readonly ? SDB_OK : sdb__pool_write(p, dirty, dirty_count);
    (void)pthread_mutex_lock(&p->pool_lock);
    for (size_t i = 0; i < count; i++)
        let_go(p, victims[i],
               !atomic_load_explicit(&p->frames[victims[i]].dirty, memory_order_relaxed));
    return status;
}

/*
 * Empties some frames and takes one of them for page `id`. False with *out_status OK when
 * everything was latched.
 */
static bool evict(struct pager *p, uint64_t id, uint32_t *out_frame, sdb_status *out_status)
{
    bool taken;

    *out_status = evict_and_lock(p);
    taken = take_free(p, id, out_frame);
    (void)pthread_mutex_unlock(&p->pool_lock);
    return taken;
}

void sdb__pager_lend(struct pager *p, uint64_t bytes)
{
    sdb_status status = SDB_OK;

    (void)pthread_mutex_lock(&p->pool_lock);
    p->lent_bytes += bytes;
    trim(p);
    for (uint32_t tries = p->frame_count; tries && status == SDB_OK && is_over(p, frames_live(p));
         tries--) {
        (void)pthread_mutex_unlock(&p->pool_lock);
        status = evict_and_lock(p);
        trim(p);
    }
    (void)pthread_mutex_unlock(&p->pool_lock);
}

void sdb__pager_unlend(struct pager *p, uint64_t bytes)
{
    (void)pthread_mutex_lock(&p->pool_lock);
    p->lent_bytes -= bytes;
    untrim(p);
    (void)pthread_mutex_unlock(&p->pool_lock);
}

sdb_status sdb__pool_try_frame(struct pager *p, uint64_t id, bool *out_taken, uint32_t *out_frame)
{
    sdb_status status = SDB_OK;

    (void)pthread_mutex_lock(&p->pool_lock);
    *out_taken = take_free(p, id, out_frame);
    (void)pthread_mutex_unlock(&p->pool_lock);
    if (!*out_taken) *out_taken = evict(p, id, out_frame, &status);
    return *out_taken ? SDB_OK : status;
}

sdb_status sdb__pool_frame(struct pager *p, uint64_t id, uint32_t *out_frame)
{
    uint64_t deadline = 0;
    bool taken;

    for (;;) {
        TRY(sdb__pool_try_frame(p, id, &taken, out_frame));
        if (taken) return SDB_OK;
        if (!deadline) deadline = sdb__clock_now_ns() + EVICT_PATIENCE_MS * UINT64_C(1000000);
        if (sdb__clock_now_ns() > deadline)
            return FAIL(SDB_LIMIT, "all %u page frames of the cache are in use at once: open the "
                        "database with a larger cache", p->frame_count);
        (void)sched_yield();
    }
}

/* Writes dirty pages out, leaving them in memory, until `least` frames are clean or free. */
sdb_status sdb__pager_reserve(struct pager *p, uint64_t frames)
{
    uint32_t batch[POOL_BATCH], steps = 0;
    uint64_t least = frames < frames_live(p) / 2 ? frames : frames_live(p) / 2;

    while (frames_live(p) - atomic_load_explicit(&p->dirty_count, memory_order_relaxed) < least &&
           steps < p->frame_count) {
        size_t count = 0;
        sdb_status status;

        while (count < POOL_BATCH && steps < p->frame_count) {
            uint32_t frame;
            struct frame *f;
            uint64_t id;

            (void)pthread_mutex_lock(&p->pool_lock);
            f = &p->frames[p->clean_hand];
            p->clean_hand = p->clean_hand + 1 < p->frame_count ? p->clean_hand + 1 : 0;
            steps++;
            id = atomic_load_explicit(&f->id, memory_order_relaxed);
            (void)pthread_mutex_unlock(&p->pool_lock);
            if (!id || !sdb__pool_try_shared(p, id, false, &frame)) continue;
            if (f == &p->frames[frame] && /* not moved meanwhile: it would come twice */
                atomic_load_explicit(&f->dirty, memory_order_relaxed))
                batch[count++] = frame;
            else
                sdb__pool_release_shared(p, id);
        }
        status = sdb__pool_write(p, batch, count);
        for (size_t i = 0; i < count; i++)
            sdb__pool_release_shared(p, atomic_load(&p->frames[batch[i]].id));
        if (status != SDB_OK) return status;
    }
    return SDB_OK;
}
