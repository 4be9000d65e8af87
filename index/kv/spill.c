/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spill.c: what a spilled transaction consists of: runs, deleted ranges, forgotten numbers.
 *
 * Idea: a log-structured merge tree that lives as long as its transaction. Runs are never changed;
 *   what a savepoint takes back is a gap in the sequence numbers, and which range hides a key is
 *   answered from memory.
 *
 *     put a (1) · del range [a, f) (2) · put c (3) · savepoint · put d (4) · put c (5) · rollback
 *     runs: a1 c3 c5 d4   ranges: [a, f) 2   gaps: [4, 6)      a: deleted, c: 3, d: deleted
 *
 * Invariants: I1 runs are in the order of their numbers, and do not overlap in them. I2 `pieces` is
 *   what `ranges` come to: disjoint, each with the number of the newest range that it is part of.
 *   I3 extents belong to one run; nothing else refers to them.
 * Costs: in memory some 100 bytes for every 32 KiB spilled, one block a run, and deleted ranges
 *   whole. In the file: each operation is written once for each time its run is merged,
 *   log16(size / limit) + 1 times in all.
 * Source: O'Neil et al., The Log-Structured Merge-Tree, 1996; range tombstones cut into disjoint
 *   pieces as in RocksDB.
 * Not here: blocks (spill_run.c), merging (spill_merge.c), looking (spill_find.c).
 */
#include "index/kv/spill.h"

#include <string.h>

#include "engine/base/mutant.h"
#include "engine/base/status.h"

sdb_status sdb__spill_new(const sdb_allocator *allocator, struct pager *pager,
                          _Atomic uint64_t *written, struct spill **out_spill)
{
    struct spill *s = sdb__mem_zalloc(allocator, 1, sizeof *s);

    if (!s) return SDB_NOMEM;
    s->allocator = allocator;
    s->pager = pager;
    s->written = written;
    s->next_seq = 1;
    s->bounds.allocator = allocator;
    *out_spill = s;
    return SDB_OK;
}

void sdb__spill_free(struct spill *s)
{
    const sdb_allocator *allocator;

    if (!s) return;
    allocator = s->allocator;
    while (s->run_count) sdb__spill_run_done(s, &s->runs[--s->run_count]);
    sdb__mem_free(allocator, s->runs);
    sdb__mem_free(allocator, s->gaps);
    sdb__mem_free(allocator, s->ranges);
    sdb__mem_free(allocator, s->pieces);
    sdb__arena_done(&s->bounds);
    sdb__buffer_done(allocator, &s->found);
    sdb__buffer_done(allocator, &s->target);
    sdb__mem_free(allocator, s);
}

/* ---- runs --------------------------------------------------------------------------------- */

sdb_status sdb__spill_run_new(struct spill *s, struct spill_run *out_run)
{
    /* so that keeping it cannot fail */
    TRY(sdb__mem_reserve(s->allocator, &s->runs, &s->run_capacity, s->run_count + 1,
                         sizeof *s->runs));
    *out_run = (struct spill_run){.fences = {.allocator = s->allocator}};
    return SDB_OK;
}

void sdb__spill_run_done(struct spill *s, struct spill_run *run)
{
    for (size_t i = 0; i < run->count; i++) {
        const struct spill_block *b = &run->blocks[i];

        sdb__pager_extent_discard(s->pager, &b->extent);
        if (b->more.place) sdb__pager_extent_discard(s->pager, &b->more);
        s->bytes -= b->extent.size + b->more.size;
    }
    sdb__mem_free(s->allocator, run->blocks);
    sdb__mem_free(s->allocator, run->starts);
    sdb__arena_done(&run->fences);
    sdb__buffer_done(s->allocator, &run->bytes);
    *run = (struct spill_run){0};
}

/* ---- forgetting --------------------------------------------------------------------------- */

bool sdb__spill_is_forgotten(const struct spill *s, uint64_t seq)
{
    size_t low = 0, high = s->gap_count;

    while (low < high) { /* the first gap that ends behind it */
        size_t middle = (low + high) / 2;

        if (s->gaps[middle].to <= seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->gap_count && s->gaps[low].from <= seq;
}

/* True when half of a run's numbers or more are from `seq` on. */
static bool is_mostly_behind(const struct spill_run *run, uint64_t seq)
{
    return run->end_seq > seq && run->end_seq - seq >= seq - run->first_seq;
}

sdb_status sdb__spill_forget(struct spill *s, uint64_t seq)
{
    size_t kept = 0;

    if (seq == s->next_seq) return SDB_OK;
    TRY(sdb__mem_reserve(s->allocator, &s->gaps, &s->gap_capacity, s->gap_count + 1,
                         sizeof *s->gaps));
    while (kept < s->range_count && s->ranges[kept].seq < seq) kept++;
    if (kept < s->range_count) sdb__spill_ranges_cut(s, kept);
    while (s->gap_count && s->gaps[s->gap_count - 1].from >= seq) s->gap_count--;
    if (s->gap_count && s->gaps[s->gap_count - 1].to >= seq)
        s->gaps[s->gap_count - 1].to = s->next_seq;
    else
        s->gaps[s->gap_count++] = (struct spill_gap){seq, s->next_seq};
    while (s->run_count && s->runs[s->run_count - 1].first_seq >= seq)
        sdb__spill_run_done(s, &s->runs[--s->run_count]);
    if (s->run_count && is_mostly_behind(&s->runs[s->run_count - 1], seq) &&
        sdb__spill_shrink(s) != SDB_OK)
        return SDB_OK; /* it takes its space until the transaction ends */
    return SDB_OK;
}

bool sdb__spill_counts(const struct spill *s, const struct spill_entry *entry)
{
    const struct spill_range *range;

    if (s->gap_count && !MUTANT(rollback_forgets_what_was_spilled) &&
        sdb__spill_is_forgotten(s, entry->seq))
        return false;
    range = s->piece_count ? sdb__spill_covering(s, entry->op.keyspace, entry->op.key) : NULL;
    return !range || range->seq < entry->seq;
}

/* ---- deleted ranges ----------------------------------------------------------------------- */

/* True when a range ends at or before a key. */
static bool ends_before(const struct spill_range *r, uint32_t keyspace, struct bytes key)
{
    if (r->keyspace != keyspace) return r->keyspace < keyspace;
    return r->has_upper &&
           compare_bytes(r->upper.data, r->upper.size, key.data, key.size) <= 0;
}

/* The first piece that ends behind a key. */
static size_t piece_behind(const struct spill *s, uint32_t keyspace, struct bytes key)
{
    size_t low = 0, high = s->piece_count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (ends_before(&s->pieces[middle], keyspace, key))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct spill_range *sdb__spill_covering(const struct spill *s, uint32_t keyspace,
                                              struct bytes key)
{
    size_t at = piece_behind(s, keyspace, key);

    if (at == s->piece_count ||
        compare_place(s->pieces[at].keyspace, s->pieces[at].lower, keyspace, key) > 0)
        return NULL;
    return &s->pieces[at];
}

/* True when a piece begins at or behind the end of a range. */
static bool begins_behind(const struct spill_range *piece, const struct spill_range *range)
{
    if (piece->keyspace != range->keyspace) return true;
    return range->has_upper && compare_bytes(piece->lower.data, piece->lower.size,
                                             range->upper.data, range->upper.size) >= 0;
}

/* Lays the newest range over the pieces. There is memory for two more. */
static void lay(struct spill *s, const struct spill_range *range)
{
    size_t from = piece_behind(s, range->keyspace, range->lower), to = from, count = 0;
    struct spill_range parts[3];

    while (to < s->piece_count && !begins_behind(&s->pieces[to], range)) to++;
    if (from < to && compare_place(s->pieces[from].keyspace, s->pieces[from].lower,
                                   range->keyspace, range->lower) < 0) {
        parts[count] = s->pieces[from];
        parts[count].upper = range->lower;
        parts[count++].has_upper = true;
    }
    parts[count++] = *range;
    if (from < to && range->has_upper && !ends_before(&s->pieces[to - 1], range->keyspace,
                                                      range->upper)) {
        parts[count] = s->pieces[to - 1];
        parts[count++].lower = range->upper;
    }
    memmove(s->pieces + from + count, s->pieces + to, (s->piece_count - to) * sizeof *s->pieces);
    memcpy(s->pieces + from, parts, count * sizeof *parts);
    s->piece_count = s->piece_count - (to - from) + count;
}

static sdb_status copy_bound(struct spill *s, struct bytes from, struct bytes *out)
{
    uint8_t *copy = sdb__arena_alloc(&s->bounds, from.size ? from.size : 1);

    if (!copy) return SDB_NOMEM;
    if (from.size) memcpy(copy, from.data, from.size);
    *out = (struct bytes){copy, from.size};
    return SDB_OK;
}

sdb_status sdb__spill_add_range(struct spill *s, uint64_t seq, const struct op *op)
{
    struct spill_range range = {.seq = seq, .keyspace = op->keyspace,
                                .has_upper = op_upper(op) != NULL};

    TRY(sdb__mem_reserve(s->allocator, &s->ranges, &s->range_capacity, s->range_count + 1,
                         sizeof *s->ranges));
    TRY(sdb__mem_reserve(s->allocator, &s->pieces, &s->piece_capacity, s->piece_count + 2,
                         sizeof *s->pieces));
    TRY(copy_bound(s, op->key, &range.lower));
    TRY(copy_bound(s, op->value, &range.upper));
    s->ranges[s->range_count++] = range;
    lay(s, &range);
    return SDB_OK;
}

void sdb__spill_ranges_cut(struct spill *s, size_t count)
{
    s->range_count = count;
    s->piece_count = 0;
    for (size_t i = 0; i < count; i++) lay(s, &s->ranges[i]);
}
