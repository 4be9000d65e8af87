/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writeset_spill.c: a write set that leaves memory, and what a commit reads of it.
 *
 * Idea: what is in the chunks is listed by key, written as a run, and forgotten; its place among
 *   the operations becomes its sequence number. Savepoints that stand in the chunks are numbers
 *   from then on. While there are any, replaced operations are spilled too: a rollback may bring
 *   them back.
 * Invariants: I1 a failure leaves the chunks as they were. I2 what is in the chunks is newer than
 *   all that was spilled.
 * Costs: a sort, and 40 bytes an operation while it lasts, which count towards the limit.
 * Not here: runs (spill.h).
 */
#include "index/kv/writeset.h"

#include <string.h>

#include "engine/base/status.h"
#include "index/kv/placed.h"

uint64_t sdb__writes_memory(const struct write_set *w)
{
    return w->chunk_bytes + w->nodes.used_bytes + w->undo_capacity * sizeof *w->undo +
           w->range_capacity * sizeof *w->ranges + (w->count - w->spilled) * sizeof(struct placed);
}

/* Lists what is to be written; an operation's rank is its place in the chunks. */
static size_t list(const struct write_set *w, struct placed *placed)
{
    size_t count = 0, rank = 0;

    for (const struct write_chunk *chunk = w->first; chunk; chunk = chunk->next) {
        const uint8_t *at = chunk->data, *end = at + chunk->used;

        for (; at < end; rank++) {
            struct op op;
            size_t step = sdb__op_read(at, end, &op);

            if (op_is_keyed(op.code) && (!op.superseded || w->mark_count))
                placed[count++] = sdb__placed_make(&op, at, step, (uint32_t)rank);
            at += step;
        }
    }
    return count;
}

/* True when the next one of the list replaces an operation for good. */
static bool is_replaced(const struct write_set *w, const struct placed *p, size_t left)
{
    struct op next;

    if (left < 2 || w->mark_count || !sdb__placed_same_key(p, p + 1)) return false;
    (void)sdb__op_read(p[1].at, p[1].at + p[1].size, &next);
    return op_replaces(next.code);
}

/* Writes an operation as one that is not superseded; whether it counts will be found out anew. */
static sdb_status write_placed(struct spill_writer *writer, const struct placed *p, uint64_t seq)
{
    struct spill_entry entry = {.at = p->at, .size = p->size, .seq = seq};
    uint8_t *at = (uint8_t *)(uintptr_t)p->at, code = *at;
    sdb_status status;

    *at = (uint8_t)(code & ~OP_SUPERSEDED);
    (void)sdb__op_read(at, at + p->size, &entry.op);
    status = sdb__spill_write(writer, &entry);
    *at = code;
    return status;
}

/* Writes the operations on keys as a run, and adds that to the others. */
static sdb_status write_run(struct write_set *w)
{
    struct spill *s = w->spill;
    struct spill_run run;
    struct spill_writer writer = {.s = s, .run = &run};
    struct placed *placed = sdb__mem_alloc(w->allocator, (w->count - w->spilled) * sizeof *placed);
    sdb_status status = SDB_OK;
    size_t count;

    if (!placed) return SDB_NOMEM;
    count = list(w, placed);
    sdb__placed_sort(placed, count);
    status = sdb__spill_run_new(s, &run);
    if (status == SDB_OK) {
        run.first_seq = s->next_seq;
        run.end_seq = s->next_seq + (w->count - w->spilled);
        for (size_t i = 0; i < count && status == SDB_OK; i++)
            if (!is_replaced(w, &placed[i], count - i))
                status = write_placed(&writer, &placed[i], s->next_seq + placed[i].rank);
        status = sdb__spill_write_end(&writer, status);
        if (status == SDB_OK)
            s->runs[s->run_count++] = run;
        else
            sdb__spill_run_done(s, &run);
    }
    sdb__mem_free(w->allocator, placed);
    return status;
}

/* Hands the deleted ranges over. */
static sdb_status add_ranges(struct write_set *w)
{
    uint64_t seq = w->spill->next_seq;

    for (const struct write_chunk *chunk = w->range_ops ? w->first : NULL; chunk;
         chunk = chunk->next) {
        const uint8_t *at = chunk->data, *end = at + chunk->used;

        for (; at < end; seq++) {
            struct op op;

            at += sdb__op_read(at, end, &op);
            if (op.code == OP_DELRANGE) TRY(sdb__spill_add_range(w->spill, seq, &op));
        }
    }
    return SDB_OK;
}

sdb_status sdb__writes_spill(struct write_set *w)
{
    size_t ranges, runs;
    struct spill *s;
    sdb_status status;

    if (!w->spill) TRY(sdb__spill_new(w->allocator, w->pager, w->spilled_bytes, &w->spill));
    s = w->spill;
    ranges = s->range_count;
    runs = s->run_count;
    TRY(write_run(w));
    status = add_ranges(w);
    if (status != SDB_OK) {
        sdb__spill_ranges_cut(s, ranges);
        while (s->run_count > runs) sdb__spill_run_done(s, &s->runs[--s->run_count]);
        return status;
    }
    for (size_t i = 0; i < w->mark_count; i++) {
        struct write_mark *mark = &w->marks[i];

        if (mark->seq) continue;
        mark->seq = s->next_seq + (mark->count - w->spilled);
        mark->chunk = NULL;
    }
    s->next_seq += w->count - w->spilled;
    w->spilled = w->count;
    sdb__writes_empty(w);
    return sdb__spill_compact(s, w->mark_count > 0);
}

sdb_status sdb__writes_settle(struct write_set *w)
{
    struct spill_writer totals;

    if (!w->spill) return SDB_OK;
    w->mark_count = 0;
    if (w->count > w->spilled) TRY(sdb__writes_spill(w));
    sdb__writes_empty(w);
    TRY(sdb__spill_finish(w->spill, &totals));
    w->count = w->spilled = totals.ops;
    w->bytes = totals.bytes;
    w->large = totals.large;
    w->merges = totals.merges;
    w->range_ops = w->spill->range_count;
    return SDB_OK;
}

sdb_status sdb__writes_next(struct write_walk *walk, uint8_t **out_ops, size_t *out_size)
{
    const struct write_set *w = walk->w;
    struct write_chunk *chunk;

    if (w->spill) {
        if (walk->block == w->spill->runs[0].count) return SDB_END;
        TRY(sdb__spill_read_last(w->spill, walk->block++, &walk->bytes));
        *out_ops = walk->bytes.data;
        *out_size = walk->bytes.size;
        return SDB_OK;
    }
    for (chunk = walk->chunk ? walk->chunk->next : w->first; chunk && chunk->used == 0;)
        chunk = chunk->next;
    if (!chunk) return SDB_END;
    walk->chunk = chunk;
    *out_ops = chunk->data;
    *out_size = chunk->used;
    return SDB_OK;
}

void sdb__writes_walk_done(struct write_walk *walk)
{
    if (walk->bytes.data) sdb__buffer_done(walk->w->allocator, &walk->bytes);
}
