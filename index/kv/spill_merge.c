/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spill_merge.c: many runs into one.
 *
 * Idea: a heap of runs, the one with the least operation on top. What comes out is held back until
 *   the next one is known: a put or delete on the same key replaces it.
 * Invariants: I1 operations leave in the order of keyspace, key, number. I2 what is left out can
 *   never count again: it is forgotten or hidden; or it is replaced, and there is no savepoint.
 * Costs: one block of each run in memory; each operation is copied twice. Not here: blocks.
 */
#include "index/kv/spill.h"

#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"

struct source {
    struct spill_run *run;
    struct spill_place place;
    struct spill_entry entry; /* `at` NULL: too large to wait in memory, only the key is there */
    struct buffer key;
};

struct merging {
    struct spill *s;
    bool revives;
    struct source *heap;
    size_t count;
    struct buffer held; /* the operation that is held back */
    struct spill_entry pending; /* size 0: none */
    struct spill_writer writer;
};

static bool is_before(const struct source *a, const struct source *b)
{
    int order = compare_place(a->entry.op.keyspace, a->entry.op.key, b->entry.op.keyspace,
                              b->entry.op.key);

    return order ? order < 0 : a->entry.seq < b->entry.seq;
}

static void sift(struct merging *m, size_t at)
{
    for (;;) {
        size_t least = at, left = 2 * at + 1;
        struct source swap;

        if (left < m->count && is_before(&m->heap[left], &m->heap[least])) least = left;
        if (left + 1 < m->count && is_before(&m->heap[left + 1], &m->heap[least])) least = left + 1;
        if (least == at) return;
        swap = m->heap[at];
        m->heap[at] = m->heap[least];
        m->heap[least] = swap;
        at = least;
    }
}

/* The operation at a source's place. A large one is read again when its turn has come. */
static sdb_status look(struct merging *m, struct source *source)
{
    struct spill_entry *entry = &source->entry;

    TRY(sdb__spill_at(m->s, source->run, &source->place, entry));
    if (entry->size <= SPILL_LAST) return SDB_OK;
    source->key.size = 0;
    TRY(sdb__buffer_append(m->s->allocator, &source->key, entry->op.key.data, entry->op.key.size));
    entry->op.key = (struct bytes){source->key.data, source->key.size};
    entry->op.value = (struct bytes){NULL, 0};
    entry->at = NULL;
    sdb__spill_rest(m->s, source->run);
    return SDB_OK;
}

/* Goes on in the run on top. */
static sdb_status advance(struct merging *m)
{
    struct source *top = &m->heap[0];
    sdb_status status;

    top->place.op++;
    status = look(m, top);
    if (status == SDB_END) {
        sdb__buffer_done(m->s->allocator, &top->key);
        m->heap[0] = m->heap[--m->count];
    } else {
        TRY(status);
    }
    sift(m, 0);
    return SDB_OK;
}

static sdb_status let_go(struct merging *m)
{
    if (m->pending.size) TRY(sdb__spill_write(&m->writer, &m->pending));
    m->pending.size = 0;
    return SDB_OK;
}

/* Takes the operation on top. */
static sdb_status take(struct merging *m)
{
    struct source *top = &m->heap[0];
    const struct spill_entry *entry = &top->entry;
    bool counts = m->revives ? !sdb__spill_is_forgotten(m->s, entry->seq)
                             : sdb__spill_counts(m->s, entry);
    bool same = m->pending.size &&
                compare_place(m->pending.op.keyspace, m->pending.op.key, entry->op.keyspace,
                              entry->op.key) == 0;

    if (!counts) return SDB_OK;
    if (same && !m->revives && MUTANT(older_spilled_operation_wins)) return SDB_OK;
    if (same && !m->revives && op_replaces(entry->op.code)) m->pending.size = 0;
    TRY(let_go(m));
    if (!entry->at) TRY(sdb__spill_at(m->s, top->run, &top->place, &top->entry));
    if (entry->size > SPILL_LAST && op_replaces(entry->op.code)) { /* too large to be copied */
        sdb_status status = sdb__spill_write(&m->writer, entry);

        sdb__spill_rest(m->s, top->run);
        return status;
    }
    m->held.size = 0;
    TRY(sdb__buffer_append(m->s->allocator, &m->held, entry->at, entry->size));
    m->pending = *entry;
    m->pending.at = m->held.data;
    m->pending.size = sdb__op_read(m->held.data, m->held.data + m->held.size, &m->pending.op);
    sdb__spill_rest(m->s, top->run);
    return SDB_OK;
}

static sdb_status run_all(struct merging *m, struct spill_run *runs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct source *source = &m->heap[m->count];
        sdb_status status;

        *source = (struct source){.run = &runs[i]};
        status = look(m, source);
        if (status == SDB_END) continue;
        m->count++; /* also if it failed: its key is to be freed */
        TRY(status);
    }
    for (size_t i = m->count; i--;) sift(m, i);
    while (m->count) {
        TRY(take(m));
        TRY(advance(m));
    }
    return let_go(m);
}

/* Merges the newest `count` runs into `out`; they stay. */
static sdb_status merge(struct merging *m, size_t count, struct spill_run *out)
{
    struct spill *s = m->s;
    sdb_status status = SDB_OK;

    if (count) {
        out->first_seq = s->runs[s->run_count - count].first_seq;
        out->end_seq = s->runs[s->run_count - 1].end_seq;
    }
    m->heap = sdb__mem_alloc(s->allocator, (count ? count : 1) * sizeof *m->heap);
    if (!m->heap) status = SDB_NOMEM;
    if (status == SDB_OK) status = run_all(m, s->runs + s->run_count - count, count);
    status = sdb__spill_write_end(&m->writer, status);
    while (m->heap && m->count) sdb__buffer_done(s->allocator, &m->heap[--m->count].key);
    sdb__mem_free(s->allocator, m->heap);
    sdb__buffer_done(s->allocator, &m->held);
    if (status != SDB_OK) sdb__spill_run_done(s, out);
    return status;
}

/* Puts a run in the place of the newest `count`. */
static void replace(struct spill *s, size_t count, const struct spill_run *run)
{
    while (count--) sdb__spill_run_done(s, &s->runs[--s->run_count]);
    s->runs[s->run_count++] = *run;
}

sdb_status sdb__spill_compact(struct spill *s, bool revives)
{
    for (;;) {
        struct merging m = {.s = s, .revives = revives};
        unsigned level = s->run_count ? s->runs[s->run_count - 1].level : 0;
        struct spill_run run;
        size_t count = 0;

        while (count < s->run_count && s->runs[s->run_count - 1 - count].level <= level) count++;
        if (count < SPILL_FAN) return SDB_OK;
        TRY(sdb__spill_run_new(s, &run));
        m.writer = (struct spill_writer){.s = s, .run = &run};
        TRY(merge(&m, count, &run));
        run.level = level + 1;
        replace(s, count, &run);
    }
}

sdb_status sdb__spill_shrink(struct spill *s)
{
    struct merging m = {.s = s, .revives = true};
    struct spill_run run;

    TRY(sdb__spill_run_new(s, &run));
    m.writer = (struct spill_writer){.s = s, .run = &run};
    run.level = s->runs[s->run_count - 1].level;
    TRY(merge(&m, 1, &run));
    run.end_seq = s->gaps[s->gap_count - 1].from; /* no other gap reaches its end */
    replace(s, 1, &run);
    return SDB_OK;
}

/* Writes the deleted ranges, which come before all else. */
static sdb_status write_ranges(struct merging *m)
{
    struct buffer bytes = {0};
    sdb_status status = SDB_OK;

    for (size_t i = 0; i < m->s->range_count && status == SDB_OK; i++) {
        const struct spill_range *r = &m->s->ranges[i];
        size_t upper = r->has_upper ? r->upper.size : 0;
        struct spill_entry entry = {.seq = r->seq};

        status = sdb__buffer_reserve(m->s->allocator, &bytes,
                                     OP_HEAD_MOST + r->lower.size + upper);
        if (status != SDB_OK) break;
        bytes.size = sdb__op_head(bytes.data, OP_DELRANGE, r->keyspace, r->lower.size, upper);
        if (r->lower.size) memcpy(bytes.data + bytes.size, r->lower.data, r->lower.size);
        if (upper) memcpy(bytes.data + bytes.size + r->lower.size, r->upper.data, upper);
        bytes.size += r->lower.size + upper;
        entry.at = bytes.data;
        entry.size = sdb__op_read(bytes.data, bytes.data + bytes.size, &entry.op);
        status = sdb__spill_write(&m->writer, &entry);
    }
    sdb__buffer_done(m->s->allocator, &bytes);
    return status;
}

sdb_status sdb__spill_finish(struct spill *s, struct spill_writer *out_totals)
{
    struct merging m = {.s = s};
    struct spill_run run;
    sdb_status status;

    TRY(sdb__spill_run_new(s, &run));
    m.writer = (struct spill_writer){.s = s, .run = &run, .bare = true};
    status = write_ranges(&m);
    if (status == SDB_OK) {
        status = merge(&m, s->run_count, &run);
    } else {
        status = sdb__spill_write_end(&m.writer, status);
        sdb__spill_run_done(s, &run);
    }
    if (status != SDB_OK) return status;
    *out_totals = m.writer;
    replace(s, s->run_count, &run);
    s->last = true;
    return SDB_OK;
}
