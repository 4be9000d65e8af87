/* SPDX-License-Identifier: Apache-2.0 */
/*
 * space.c
 *
 * Idea: a bitmap and a cursor (next fit). A checkpoint that writes many pages in a row gets blocks
 * in a row, so its writes are sequential on disk; a lap that finds nothing is remembered, so that a
 * full file grows without being searched again.
 * Invariants: I1 bits at and beyond `end` are 0. I2 `owned` is the number of 1 bits in words, and
 *   `used` that of the blocks with one in words or in what is held. I3 if hopeless is h > 0, no
 *   free run below end has h or more blocks. I4 a unit that is not free is neither idle nor a hole.
 * Costs: memory 1/4000 of the file, twice with kept checkpoints; a search looks at 64 blocks a
 *   step.
 * Source: next fit as in Knuth, TAOCP 1, 2.5. Not here: best fit, a tree of runs; durability.
 */
#include "engine/pager/space.h"

#include <assert.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/base/status.h"

enum { BITS = 64 };

static uint64_t held_word(const struct space *space, uint64_t index)
{
    return index < space->held.capacity ? space->held.words[index] : 0;
}

/* The bits of 64 blocks that are owned or held. */
static uint64_t used_word(const struct space *space, uint64_t index)
{
    return space->words[index] | held_word(space, index);
}

/* The bits of `count` blocks from `at` on in a word, as many as are in it. */
static uint64_t mask_of(uint64_t at, uint64_t count)
{
    return (count >= BITS ? ~(uint64_t)0 : ((uint64_t)1 << count) - 1) << at;
}

/* How many blocks of a run are held. */
static uint64_t count_held(const struct space *space, uint64_t first, uint64_t count)
{
    uint64_t held = 0;

    if (!space->held.capacity) return 0;
    while (count) {
        uint64_t at = first % BITS, here = BITS - at < count ? BITS - at : count;

        held += (uint64_t)__builtin_popcountll(held_word(space, first / BITS) &
                                               mask_of(at, here));
        first += here;
        count -= here;
    }
    return held;
}

/* Sets or clears a run, which lies within the bitmap. */
static void mark(uint64_t *words, uint64_t first, uint64_t count, bool used)
{
    while (count) {
        uint64_t at = first % BITS, here = BITS - at < count ? BITS - at : count;

        if (used)
            words[first / BITS] |= mask_of(at, here);
        else
            words[first / BITS] &= ~mask_of(at, here);
        first += here;
        count -= here;
    }
}

/* Somebody takes a run: its units are neither idle nor holes any more. */
static void forget(struct space *space, uint64_t first, uint64_t count)
{
    for (uint64_t unit = first / SPACE_UNIT; unit <= (first + count - 1) / SPACE_UNIT; unit++) {
        space->holes -= space->idle[unit] == SPACE_HOLE;
        space->idle[unit] = 0;
    }
}

/* Makes a bitmap reach to block `end`. */
static sdb_status reach(const sdb_allocator *allocator, uint64_t **words, size_t *capacity,
                        uint64_t end)
{
    size_t old = *capacity, need = (size_t)(end / BITS + 1);

    TRY(sdb__mem_reserve(allocator, words, capacity, need, sizeof **words));
    if (*capacity > old) memset(*words + old, 0, (*capacity - old) * sizeof **words);
    return SDB_OK;
}

sdb_status sdb__space_reach(struct space *space, uint64_t end)
{
    size_t old = space->idle_capacity;

    TRY(sdb__mem_reserve(space->allocator, &space->idle, &space->idle_capacity,
                         (size_t)(end / SPACE_UNIT + 1), 1));
    if (space->idle_capacity > old)
        memset(space->idle + old, 0, space->idle_capacity - old);
    return reach(space->allocator, &space->words, &space->word_capacity, end);
}

sdb_status sdb__space_init(struct space *space, const sdb_allocator *allocator, uint64_t reserved)
{
    *space = (struct space){.allocator = allocator};
    TRY(sdb__space_reach(space, reserved));
    mark(space->words, 0, reserved, true);
    space->end = space->used = space->owned = space->cursor = reserved;
    return SDB_OK;
}

void sdb__space_done(struct space *space)
{
    if (space->allocator) {
        sdb__mem_free(space->allocator, space->words);
        sdb__mem_free(space->allocator, space->idle);
        sdb__blocks_done(space->allocator, &space->held);
    }
    *space = (struct space){0};
}

enum state { OWNED, NOT_OWNED, USED, NOT_USED };

/*
 * The first block >= from, below `limit`, that is in a state; `limit` if there is none.
 */
static uint64_t find(const struct space *space, uint64_t from, uint64_t limit, enum state state)
{
    while (from < limit) {
        uint64_t word = space->words[from / BITS];

        if (state >= USED) word = used_word(space, from / BITS);
        if (state == NOT_OWNED || state == NOT_USED) word = ~word;
        word >>= from % BITS;
        if (word) {
            from += (uint64_t)__builtin_ctzll(word);
            return from < limit ? from : limit;
        }
        from += BITS - from % BITS;
    }
    return limit;
}

/*
 * A free run of count blocks that begins in [from, limit) and ends at or before `end`; or `limit`.
 */
static uint64_t find_run(const struct space *space, uint64_t from, uint64_t limit, uint64_t count)
{
    while ((from = find(space, from, limit, NOT_USED)) < limit) {
        uint64_t stop = find(space, from, from + count < space->end ? from + count : space->end,
                             USED);

        if (stop - from >= count) return from;
        from = stop;
        if (from >= space->end) break;
    }
    return limit;
}

sdb_status sdb__space_take(struct space *space, uint64_t count, uint64_t *out_first)
{
    uint64_t first = space->end, free_blocks = space->end - space->used;

    assert(count > 0);
    if (!space->append && free_blocks >= count &&
        (space->hopeless == 0 || count < space->hopeless)) {
        if (space->cursor > space->end) space->cursor = 0;
        first = find_run(space, space->cursor, space->end, count);
        if (first == space->end) {
            uint64_t lap = find_run(space, 0, space->cursor, count);

            if (lap < space->cursor) first = lap;
        }
        if (first == space->end) space->hopeless = count;
    }
    if (first == space->end) {
        TRY(sdb__space_reach(space, space->end + count));
        space->end += count;
    }
    mark(space->words, first, count, true);
    forget(space, first, count);
    space->used += count;
    space->owned += count;
    space->cursor = first + count;
    *out_first = first;
    return SDB_OK;
}

sdb_status sdb__space_claim(struct space *space, uint64_t first, uint64_t count)
{
    TRY(sdb__space_reach(space, first + count));
    if (find(space, first, first + count, OWNED) < first + count) return SDB_CORRUPT;
    mark(space->words, first, count, true);
    forget(space, first, count);
    space->used += count - count_held(space, first, count);
    space->owned += count;
    if (first + count > space->end) space->end = first + count;
    return SDB_OK;
}

void sdb__space_give(struct space *space, uint64_t first, uint64_t count)
{
    assert(count > 0 && first + count <= space->end);
    assert(find(space, first, first + count, NOT_OWNED) == first + count);
    mark(space->words, first, count, false);
    space->used -= count - count_held(space, first, count);
    space->owned -= count;
    space->hopeless = 0;
}

sdb_status sdb__space_take_free(struct space *space, uint64_t from, uint64_t least,
                                uint64_t *out_first, uint64_t *out_count)
{
    uint64_t first = find_run(space, from, space->end, least ? least : 1), stop;

    if (first == space->end) return SDB_END;
    stop = find(space, first, space->end, USED);
    mark(space->words, first, stop - first, true);
    forget(space, first, stop - first);
    space->used += stop - first;
    space->owned += stop - first;
    *out_first = first;
    *out_count = stop - first;
    return SDB_OK;
}

/* ---- what is held -------------------------------------------------------------------------- */

sdb_status sdb__blocks_add(const sdb_allocator *allocator, struct block_set *set, uint64_t first,
                           uint64_t count)
{
    TRY(reach(allocator, &set->words, &set->capacity, first + count));
    mark(set->words, first, count, true);
    if (first + count > set->end) set->end = first + count;
    return SDB_OK;
}

sdb_status sdb__blocks_copy(const sdb_allocator *allocator, const struct block_set *from,
                            struct block_set *to)
{
    if (from->end == 0) return SDB_OK;
    TRY(reach(allocator, &to->words, &to->capacity, from->end));
    memcpy(to->words, from->words, (size_t)((from->end - 1) / BITS + 1) * sizeof *to->words);
    to->end = from->end;
    return SDB_OK;
}

sdb_status sdb__blocks_add_owned(const sdb_allocator *allocator, struct block_set *set,
                                 const struct space *space)
{
    TRY(reach(allocator, &set->words, &set->capacity, space->end));
    for (uint64_t i = 0; i * BITS < space->end; i++) set->words[i] |= space->words[i];
    if (space->end > set->end) set->end = space->end;
    return SDB_OK;
}

bool sdb__blocks_has(const struct block_set *set, uint64_t block)
{
    return block < set->end && (set->words[block / BITS] >> (block % BITS) & 1);
}

void sdb__blocks_done(const sdb_allocator *allocator, struct block_set *set)
{
    sdb__mem_free(allocator, set->words);
    *set = (struct block_set){0};
}

void sdb__space_hold(struct space *space, struct block_set *held)
{
    assert(held->end <= space->word_capacity * BITS);
    sdb__blocks_done(space->allocator, &space->held);
    space->held = *held;
    memset(space->idle, 0, space->idle_capacity); /* what was free may be held now */
    space->holes = 0;
    *held = (struct block_set){0};
    if (space->held.end > space->end) space->end = space->held.end;
    space->used = 0;
    for (uint64_t i = 0; i * BITS < space->end; i++)
        space->used += (uint64_t)__builtin_popcountll(used_word(space, i));
    space->hopeless = 0;
}

bool sdb__space_is_held(const struct space *space, uint64_t first, uint64_t count)
{
    return count_held(space, first, count) > 0;
}

/* ---- free space that nobody takes --------------------------------------------------------- */

uint64_t sdb__space_units(const struct space *space)
{
    return space->end / SPACE_UNIT;
}

void sdb__space_age(struct space *space, uint64_t from, uint64_t count)
{
    uint64_t units = sdb__space_units(space);

    for (uint64_t unit = from; unit < from + count && unit < units; unit++) {
        uint64_t first = unit * SPACE_UNIT;

        if (space->idle[unit] >= SPACE_IDLE) continue;
        space->idle[unit] =
            find(space, first, first + SPACE_UNIT, USED) == first + SPACE_UNIT
                ? (uint8_t)(space->idle[unit] + 1) : 0;
    }
}

sdb_status sdb__space_take_idle(struct space *space, uint64_t from, uint64_t count,
                                uint64_t least, uint64_t most, uint64_t *out_first,
                                uint64_t *out_count)
{
    uint64_t units = sdb__space_units(space), unit = from, run = 0;

    for (; unit < from + count && unit < units && run < most; unit++) {
        if (space->idle[unit] == SPACE_IDLE)
            run++;
        else if (run >= least)
            break;
        else
            run = 0;
    }
    if (run == 0 || run < least) return SDB_END;
    *out_first = unit - run;
    *out_count = run;
    mark(space->words, *out_first * SPACE_UNIT, run * SPACE_UNIT, true);
    forget(space, *out_first * SPACE_UNIT, run * SPACE_UNIT);
    space->used += run * SPACE_UNIT;
    space->owned += run * SPACE_UNIT;
    return SDB_OK;
}

void sdb__space_give_hole(struct space *space, uint64_t first, uint64_t count)
{
    uint64_t unit = (first + SPACE_UNIT - 1) / SPACE_UNIT;

    sdb__space_give(space, first, count);
    for (; (unit + 1) * SPACE_UNIT <= first + count; unit++) {
        space->holes += space->idle[unit] != SPACE_HOLE;
        space->idle[unit] = SPACE_HOLE;
    }
}

/* -------------------------------------------------------------------------------------------- */

void sdb__space_rewind(struct space *space)
{
    space->cursor = 0;
    space->hopeless = 0;
}

void sdb__space_shrink(struct space *space)
{
    uint64_t old = space->end;

    while (space->end) {
        uint64_t word = (space->end - 1) / BITS;

        if (used_word(space, word) >> ((space->end - 1) % BITS) & 1) break;
        if (used_word(space, word) == 0)
            space->end = word * BITS;
        else
            space->end--;
    }
    if (space->cursor > space->end) space->cursor = 0;
    if (space->end < old) forget(space, space->end, old - space->end);
}
