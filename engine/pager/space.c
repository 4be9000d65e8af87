/* SPDX-License-Identifier: Apache-2.0 */
/*
 * space.c
 *
 * Idea: a bitmap and a cursor (next fit). A checkpoint that writes many pages in a row gets blocks
 * in a row, so its writes are sequential on disk; a lap that finds nothing is remembered, so that a
 * full file grows without being searched again.
 * Invariants: I1 bits at and beyond `end` are 0. I2 `used` is the number of 1 bits.
 *   I3 if hopeless is h > 0, no free run below end has h or more blocks.
 * Costs: memory 1/4096 of the file; a search looks at 64 blocks a step.
 * Source: next fit as in Knuth, TAOCP 1, 2.5. Not here: best fit, a tree of runs; durability.
 */
#include "engine/pager/space.h"

#include <assert.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/base/status.h"

enum { BITS = 64 };

static bool is_used(const struct space *space, uint64_t block)
{
    return space->words[block / BITS] >> (block % BITS) & 1;
}

/* Sets or clears a run, which lies within the bitmap. */
static void mark(struct space *space, uint64_t first, uint64_t count, bool used)
{
    while (count) {
        uint64_t at = first % BITS, here = BITS - at < count ? BITS - at : count;
        uint64_t mask = (here == BITS ? ~(uint64_t)0 : (((uint64_t)1 << here) - 1)) << at;

        if (used)
            space->words[first / BITS] |= mask;
        else
            space->words[first / BITS] &= ~mask;
        first += here;
        count -= here;
    }
}

/* Makes the bitmap reach to block `end`. */
static sdb_status reach(struct space *space, uint64_t end)
{
    size_t old = space->word_capacity, need = (size_t)(end / BITS + 1);

    TRY(sdb__mem_reserve(space->allocator, &space->words, &space->word_capacity, need,
                         sizeof *space->words));
    if (space->word_capacity > old)
        memset(space->words + old, 0, (space->word_capacity - old) * sizeof *space->words);
    return SDB_OK;
}

sdb_status sdb__space_init(struct space *space, const sdb_allocator *allocator, uint64_t reserved)
{
    *space = (struct space){.allocator = allocator};
    TRY(reach(space, reserved));
    mark(space, 0, reserved, true);
    space->end = space->used = space->cursor = reserved;
    return SDB_OK;
}

void sdb__space_done(struct space *space)
{
    if (space->allocator) sdb__mem_free(space->allocator, space->words);
    *space = (struct space){0};
}

/*
 * The first block >= from, below `limit`, that is (not) used; `limit` if there is none.
 */
static uint64_t find(const struct space *space, uint64_t from, uint64_t limit, bool used)
{
    while (from < limit) {
        uint64_t word = space->words[from / BITS];

        if (!used) word = ~word;
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
    while ((from = find(space, from, limit, false)) < limit) {
        uint64_t stop = find(space, from, from + count < space->end ? from + count : space->end,
                             true);

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
        TRY(reach(space, space->end + count));
        space->end += count;
    }
    mark(space, first, count, true);
    space->used += count;
    space->cursor = first + count;
    *out_first = first;
    return SDB_OK;
}

sdb_status sdb__space_claim(struct space *space, uint64_t first, uint64_t count)
{
    TRY(reach(space, first + count));
    if (find(space, first, first + count, true) < first + count) return SDB_CORRUPT;
    mark(space, first, count, true);
    space->used += count;
    if (first + count > space->end) space->end = first + count;
    return SDB_OK;
}

void sdb__space_give(struct space *space, uint64_t first, uint64_t count)
{
    assert(count > 0 && first + count <= space->end);
    assert(find(space, first, first + count, false) == first + count);
    mark(space, first, count, false);
    space->used -= count;
    space->hopeless = 0;
}

sdb_status sdb__space_take_free(struct space *space, uint64_t from, uint64_t least,
                                uint64_t *out_first, uint64_t *out_count)
{
    uint64_t first = find_run(space, from, space->end, least ? least : 1), stop;

    if (first == space->end) return SDB_END;
    stop = find(space, first, space->end, true);
    mark(space, first, stop - first, true);
    space->used += stop - first;
    *out_first = first;
    *out_count = stop - first;
    return SDB_OK;
}

void sdb__space_rewind(struct space *space)
{
    space->cursor = 0;
    space->hopeless = 0;
}

void sdb__space_shrink(struct space *space)
{
    while (space->end && !is_used(space, space->end - 1)) {
        uint64_t word = (space->end - 1) / BITS;

        if (space->words[word] == 0)
            space->end = word * BITS;
        else
            space->end--;
    }
    if (space->cursor > space->end) space->cursor = 0;
}
