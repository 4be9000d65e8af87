/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writeset.c
 *
 * Idea: operations are encoded once, in the log's form, into chunks; a skip list leads to the
 * newest one of each key. An operation that a later one replaces is only marked, and unmarked again
 * when a savepoint is rolled back.
 * Invariants: I1 an operation lies whole in one chunk and does not move. I2 of the operations of an
 *   indexed key, the newest and what lies below merges is not superseded, and the index leads to
 *   it. I3 an operation that a later
 *   range covers is superseded, and the index does not lead to it.
 * Costs: a copy of key and value; for an indexed set one skip-list search a change. A range moves
 *   the ranges behind it, and removes the entries in it.
 * Not here: spilling (writeset_spill.c); merging superseded operations away (unless they are
 *   spilled, they are logged too).
 */
#include "index/kv/writeset.h"

#include <assert.h>
#include <string.h>
#include <sdb/kv.h>

#include "engine/base/mutant.h"
#include "engine/base/status.h"

enum { CHUNK_FIRST = 4096, CHUNK_MOST = 256 * 1024 };

void sdb__writes_init(struct write_set *w, const sdb_allocator *allocator, bool indexed)
{
    *w = (struct write_set){.allocator = allocator, .indexed = indexed,
                            .nodes = {.allocator = allocator}};
    w->index.random = (uint64_t)(uintptr_t)w;
}

void sdb__writes_may_spill(struct write_set *w, struct pager *pager, uint64_t limit_bytes,
                           _Atomic uint64_t *spilled_bytes)
{
    w->spilled_bytes = spilled_bytes;
    w->pager = pager;
    w->limit_bytes = limit_bytes;
}

static void free_chunks(struct write_set *w, struct write_chunk *chunk)
{
    while (chunk) {
        struct write_chunk *next = chunk->next;

        w->chunk_bytes -= chunk->capacity;
        sdb__mem_free(w->allocator, chunk);
        w->chunks--;
        chunk = next;
    }
}

void sdb__writes_empty(struct write_set *w)
{
    uint64_t random = w->index.random;

    if (w->first && w->first->capacity > CHUNK_MOST) {
        free_chunks(w, w->first);
        w->first = NULL;
    } else if (w->first) {
        free_chunks(w, w->first->next);
        w->first->next = NULL;
        w->first->used = 0;
    }
    w->last = w->first;
    w->undo_count = w->range_ops = 0;
    w->index = (struct skiplist){.random = random};
    sdb__arena_reset(&w->nodes);
}

void sdb__writes_reset(struct write_set *w)
{
    sdb__writes_empty(w);
    sdb__spill_free(w->spill);
    w->spill = NULL;
    w->count = w->mark_count = w->spilled = 0;
    w->bytes = 0;
    w->large = w->merges = 0;
}

void sdb__writes_done(struct write_set *w)
{
    free_chunks(w, w->first);
    sdb__spill_free(w->spill);
    sdb__arena_done(&w->nodes);
    sdb__mem_free(w->allocator, w->undo);
    sdb__mem_free(w->allocator, w->ranges);
    sdb__mem_free(w->allocator, w->marks);
    *w = (struct write_set){.allocator = w->allocator};
}

/* Makes sure that the last chunk has `size` bytes left; spills the others if they are too many. */
static sdb_status make_room(struct write_set *w, size_t size)
{
    size_t capacity = w->last ? w->last->capacity * 2 : CHUNK_FIRST;
    struct write_chunk *chunk;

    if (w->last && w->last->capacity - w->last->used >= size) return SDB_OK;
    if (w->pager && w->count > w->spilled && sdb__writes_memory(w) + size > w->limit_bytes) {
        TRY(sdb__writes_spill(w));
        return make_room(w, size);
    }
    if (capacity > CHUNK_MOST) capacity = CHUNK_MOST;
    if (capacity < size) capacity = size;
    chunk = sdb__mem_alloc(w->allocator, sizeof *chunk + capacity);
    if (!chunk) return SDB_NOMEM;
    *chunk = (struct write_chunk){.capacity = capacity};
    if (w->last)
        w->last->next = chunk;
    else
        w->first = chunk;
    w->last = chunk;
    w->chunks++;
    w->chunk_bytes += capacity;
    return SDB_OK;
}

static struct write_link *entry_link(struct skip_node *node)
{
    return (struct write_link *)(void *)((char *)node + skip_node_size(node->levels));
}

struct op sdb__writes_op(const uint8_t *at)
{
    struct op op = {0};
    size_t size = sdb__op_read(at, at + OP_HEAD_MOST + SDB_KEY_MAX + OP_TIMED_HEAD +
                                                (size_t)SDB_VALUE_MAX, &op);

    assert(size);
    (void)size;
    return op;
}

/* Memory for what the index will need, so that nothing can fail once the operation is written. */
static sdb_status prepare_index(struct write_set *w, enum op_code code, uint32_t keyspace,
                                struct bytes key, struct skip_node **out_entry, bool *out_new,
                                struct write_link **out_below)
{
    struct skip_node *entry = sdb__skip_find(&w->index, keyspace, key.data, key.size);

    if (w->mark_count)
        TRY(sdb__mem_reserve(w->allocator, &w->undo, &w->undo_capacity, w->undo_count + 1,
                             sizeof *w->undo));
    *out_new = !entry;
    if (!entry) {
        unsigned height = sdb__skip_height(&w->index);

        entry = sdb__arena_alloc(&w->nodes, skip_node_size(height) + sizeof(struct write_link));
        if (!entry) return SDB_NOMEM;
        entry->levels = height;
        entry->group = keyspace;
        *entry_link(entry) = (struct write_link){NULL, NULL};
    } else if (code == OP_MERGE) {
        *out_below = sdb__arena_alloc(&w->nodes, sizeof **out_below);
        if (!*out_below) return SDB_NOMEM;
    }
    *out_entry = entry;
    return SDB_OK;
}

/* Marks all that a link leads to as superseded, or not. */
static void set_superseded(const struct write_link *link, bool superseded)
{
    for (; link; link = link->before)
        *link->at = (uint8_t)(superseded ? *link->at | OP_SUPERSEDED : *link->at & ~OP_SUPERSEDED);
}

/*
 * Lets the index lead to the operation at `at`. `below`, for a merge that finds something: where
 * that is remembered.
 */
static void set_index(struct write_set *w, struct skip_node *entry, bool is_new, uint8_t *at,
                      struct write_link *below)
{
    struct write_link *link = entry_link(entry);

    if (w->mark_count) w->undo[w->undo_count++] = (struct write_undo){entry, *link, false};
    if (is_new) {
        struct op op = sdb__writes_op(at);

        entry->key = op.key.data;
        entry->key_size = op.key.size;
        sdb__skip_insert(&w->index, entry);
    } else if (below) {
        *below = *link;
    } else {
        set_superseded(link, true);
    }
    *link = (struct write_link){at, below};
}

/* Encodes an operation behind the others; there is room. Returns where it stands. */
static uint8_t *write_op(struct write_set *w, const struct op *op)
{
    uint8_t *at = w->last->data + w->last->used, *to = at, timed[OP_TIMED_HEAD];
    size_t head = sdb__op_timed_head(timed, op->code, op->time);

    to += sdb__op_head(to, head ? OP_TIMED : op->code, op->keyspace, op->key.size,
                       head + op->value.size);
    if (op->key.size) memcpy(to, op->key.data, op->key.size);
    to += op->key.size;
    if (head) memcpy(to, timed, head);
    to += head;
    if (op->value.size) memcpy(to, op->value.data, op->value.size);
    to += op->value.size;
    w->last->used += (size_t)(to - at);
    w->bytes += (size_t)(to - at);
    w->count++;
    return at;
}

sdb_status sdb__writes_add(struct write_set *w, enum op_code code, uint32_t keyspace,
                           struct bytes key, struct bytes value, bool is_large)
{
    const struct op op = {.code = code, .keyspace = keyspace, .key = key, .value = value};

    return sdb__writes_add_timed(w, &op, is_large);
}

sdb_status sdb__writes_add_timed(struct write_set *w, const struct op *op, bool is_large)
{
    struct write_link *below = NULL;
    struct skip_node *entry = NULL;
    bool is_new = false;
    uint8_t *at;

    TRY(make_room(w, OP_HEAD_MOST + op->key.size + OP_TIMED_HEAD + op->value.size));
    if (w->indexed)
        TRY(prepare_index(w, op->code, op->keyspace, op->key, &entry, &is_new, &below));
    at = write_op(w, op);
    w->large += is_large;
    w->merges += op->code == OP_MERGE;
    if (w->indexed) set_index(w, entry, is_new, at, below);
    return SDB_OK;
}

/* ---- ranges ------------------------------------------------------------------------------- */

/* Orders by keyspace, then lower bound. */
static int compare_range(const struct write_range *r, uint32_t keyspace, struct bytes lower)
{
    if (r->keyspace != keyspace) return r->keyspace < keyspace ? -1 : 1;
    return compare_bytes(r->lower.data, r->lower.size, lower.data, lower.size);
}

/* How many ranges have a lower bound <= lower, those of lesser keyspaces included. */
static size_t ranges_before(const struct write_set *w, uint32_t keyspace, struct bytes lower)
{
    size_t low = 0, high = w->range_ops;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (compare_range(&w->ranges[middle], keyspace, lower) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Finds out anew, from range `at` on, which ones reach farthest. */
static void set_reach(struct write_set *w, size_t at)
{
    for (; at < w->range_ops; at++) {
        struct write_range *r = &w->ranges[at];
        const struct write_range *best;

        r->reach = at;
        if (at == 0 || w->ranges[at - 1].keyspace != r->keyspace) continue;
        best = &w->ranges[w->ranges[at - 1].reach];
        if (!best->has_upper ||
            (r->has_upper && compare_bytes(best->upper.data, best->upper.size, r->upper.data,
                                           r->upper.size) >= 0))
            r->reach = w->ranges[at - 1].reach;
    }
}

const struct write_range *sdb__writes_covering(const struct write_set *w, uint32_t keyspace,
                                               struct bytes key)
{
    size_t before = w->indexed ? ranges_before(w, keyspace, key) : 0;
    const struct write_range *r;

    if (before == 0 || w->ranges[before - 1].keyspace != keyspace) return NULL;
    r = &w->ranges[w->ranges[before - 1].reach];
    if (r->has_upper && compare_bytes(key.data, key.size, r->upper.data, r->upper.size) >= 0)
        return NULL;
    return r;
}

/* The first entry of the index in a range, behind `after` if that is given; NULL: no more. */
static struct skip_node *entry_in(const struct write_set *w, uint32_t keyspace, struct bytes lower,
                                  const struct bytes *upper, const struct skip_node *after)
{
    struct skip_node *entry = after ? skip_next(after)
                                    : sdb__skip_seek(&w->index, keyspace, lower.data, lower.size);

    if (!entry || entry->group != keyspace) return NULL;
    if (upper && compare_bytes(entry->key, entry->key_size, upper->data, upper->size) >= 0)
        return NULL;
    return entry;
}

/* Takes the entries in a range out of the index; the memory to undo it is there. */
static void hide_entries(struct write_set *w, uint32_t keyspace, struct bytes lower,
                         const struct bytes *upper)
{
    struct skip_node *entry;

    while ((entry = entry_in(w, keyspace, lower, upper, NULL)) != NULL) {
        struct write_link *link = entry_link(entry);

        set_superseded(link, true);
        if (w->mark_count) w->undo[w->undo_count++] = (struct write_undo){entry, *link, true};
        sdb__skip_remove(&w->index, entry);
    }
}

/* Remembers the range whose operation, the newest, stands at `at`. */
static void add_range(struct write_set *w, const uint8_t *at)
{
    struct op op = sdb__writes_op(at);
    size_t to = ranges_before(w, op.keyspace, op.key);

    memmove(w->ranges + to + 1, w->ranges + to, (w->range_ops - to) * sizeof *w->ranges);
    w->ranges[to] = (struct write_range){.keyspace = op.keyspace, .lower = op.key,
                                         .upper = op.value, .has_upper = op_upper(&op) != NULL,
                                         .number = w->range_ops};
    w->range_ops++;
    set_reach(w, to);
}

sdb_status sdb__writes_add_range(struct write_set *w, uint32_t keyspace, struct bytes lower,
                                 const struct bytes *upper)
{
    const struct op op = {.code = OP_DELRANGE, .keyspace = keyspace, .key = lower,
                          .value = upper ? *upper : (struct bytes){NULL, 0}};
    const struct skip_node *entry = NULL;
    size_t hidden = 0;
    uint8_t *at;

    TRY(make_room(w, OP_HEAD_MOST + lower.size + op.value.size));
    if (!w->indexed) {
        (void)write_op(w, &op);
        w->range_ops++;
        return SDB_OK;
    }
    TRY(sdb__mem_reserve(w->allocator, &w->ranges, &w->range_capacity, w->range_ops + 1,
                         sizeof *w->ranges));
    while (w->mark_count && (entry = entry_in(w, keyspace, lower, upper, entry)) != NULL) hidden++;
    if (hidden)
        TRY(sdb__mem_reserve(w->allocator, &w->undo, &w->undo_capacity, w->undo_count + hidden,
                             sizeof *w->undo));
    at = write_op(w, &op);
    hide_entries(w, keyspace, lower, upper);
    add_range(w, at);
    return SDB_OK;
}

/* Forgets the ranges from number `count` on. */
static void drop_ranges(struct write_set *w, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; w->indexed && i < w->range_ops; i++)
        if (w->ranges[i].number < count) w->ranges[kept++] = w->ranges[i];
    w->range_ops = count;
    if (w->indexed) set_reach(w, 0);
}

/* ---- reading ------------------------------------------------------------------------------ */

bool sdb__writes_covers(const struct write_set *w, uint32_t keyspace, struct bytes key,
                        struct write_range *out_range)
{
    const struct write_range *range = w->range_ops ? sdb__writes_covering(w, keyspace, key) : NULL;
    const struct spill_range *spilled;

    if (range) {
        *out_range = *range;
        return true;
    }
    if (!w->spill || !w->indexed) return false;
    spilled = sdb__spill_covering(w->spill, keyspace, key);
    if (!spilled) return false;
    *out_range = (struct write_range){.keyspace = keyspace, .lower = spilled->lower,
                                      .upper = spilled->upper, .has_upper = spilled->has_upper};
    return true;
}

sdb_status sdb__writes_find(const struct write_set *w, uint32_t keyspace, struct bytes key,
                            struct op *out_op)
{
    struct skip_node *entry = NULL;
    struct write_range range;

    if (w->index.count) entry = sdb__skip_find(&w->index, keyspace, key.data, key.size);
    if (entry) {
        *out_op = sdb__writes_op(entry_link(entry)->at);
        return SDB_OK;
    }
    if (w->spill && w->indexed && !(w->range_ops && sdb__writes_covering(w, keyspace, key))) {
        sdb_status status = sdb__spill_find(w->spill, keyspace, key, out_op);

        if (status != SDB_END) return status;
    }
    if (!sdb__writes_covers(w, keyspace, key, &range)) return SDB_END;
    *out_op = (struct op){.code = OP_DEL, .keyspace = keyspace, .key = key};
    return SDB_OK;
}

const struct write_link *sdb__writes_chain(const struct write_set *w, uint32_t keyspace,
                                           struct bytes key)
{
    struct skip_node *entry = NULL;

    if (w->index.count) entry = sdb__skip_find(&w->index, keyspace, key.data, key.size);
    return entry ? entry_link(entry) : NULL;
}

/* Gives the entry in memory, unless it lies behind the spilled one in the direction of the move. */
static bool give_own(const struct skip_node *entry, const struct op *spilled, int direction,
                     struct op *out_op)
{
    if (!entry || direction * compare_bytes(entry->key, entry->key_size, spilled->key.data,
                                            spilled->key.size) > 0)
        return false;
    *out_op = sdb__writes_op(entry_link((struct skip_node *)(uintptr_t)entry)->at);
    return true;
}

sdb_status sdb__writes_seek(const struct write_set *w, uint32_t keyspace, struct bytes key,
                            bool behind, struct op *out_op)
{
    struct skip_node *entry = sdb__skip_seek(&w->index, keyspace, key.data, key.size);
    sdb_status status = SDB_END;

    if (entry && behind && entry->group == keyspace &&
        compare_bytes(entry->key, entry->key_size, key.data, key.size) == 0)
        entry = skip_next(entry);
    if (entry && entry->group != keyspace) entry = NULL;
    while (w->spill) {
        const struct write_range *range;

        status = sdb__spill_seek(w->spill, keyspace, key, behind, out_op);
        if (status != SDB_OK || give_own(entry, out_op, 1, out_op)) break;
        range = w->range_ops ? sdb__writes_covering(w, keyspace, out_op->key) : NULL;
        if (!range) break;
        status = SDB_END;
        if (!range->has_upper) break;
        key = range->upper;
        behind = false;
    }
    if (status != SDB_END) return status;
    if (!entry) return SDB_END;
    *out_op = sdb__writes_op(entry_link(entry)->at);
    return SDB_OK;
}

sdb_status sdb__writes_seek_before(const struct write_set *w, uint32_t keyspace,
                                   const struct bytes *key, struct op *out_op)
{
    struct skip_node *entry = key ? sdb__skip_seek_before(&w->index, keyspace, key->data, key->size)
                                  : sdb__skip_seek_before(&w->index, keyspace + 1, NULL, 0);
    sdb_status status = SDB_END;

    if (entry && entry->group != keyspace) entry = NULL;
    while (w->spill) {
        const struct write_range *range;

        status = sdb__spill_seek_before(w->spill, keyspace, key, out_op);
        if (status != SDB_OK || give_own(entry, out_op, -1, out_op)) break;
        range = w->range_ops ? sdb__writes_covering(w, keyspace, out_op->key) : NULL;
        if (!range) break;
        key = &range->lower;
    }
    if (status != SDB_END) return status;
    if (!entry) return SDB_END;
    *out_op = sdb__writes_op(entry_link(entry)->at);
    return SDB_OK;
}

sdb_status sdb__writes_mark(struct write_set *w, uint64_t *out_serial)
{
    TRY(sdb__mem_reserve(w->allocator, &w->marks, &w->mark_capacity, w->mark_count + 1,
                         sizeof *w->marks));
    w->marks[w->mark_count++] = (struct write_mark){
        .serial = ++w->serial, .chunk = w->last, .used = w->last ? w->last->used : 0,
        .undo_count = w->undo_count, .count = w->count, .bytes = w->bytes, .large = w->large,
        .range_ops = w->range_ops, .merges = w->merges};
    *out_serial = w->serial;
    return SDB_OK;
}

/* Takes back what came behind a mark and is in memory. */
static void take_back(struct write_set *w, const struct write_mark *mark)
{
    drop_ranges(w, mark->range_ops);
    while (w->undo_count > mark->undo_count) {
        struct write_undo undo = w->undo[--w->undo_count];

        if (undo.before.at) {
            if (!MUTANT(rollback_forgets_marks)) set_superseded(&undo.before, false);
            *entry_link(undo.entry) = undo.before;
            if (undo.removed) sdb__skip_insert(&w->index, undo.entry);
        } else {
            sdb__skip_remove(&w->index, undo.entry);
        }
    }
    if (mark->chunk) {
        free_chunks(w, mark->chunk->next);
        mark->chunk->next = NULL;
        mark->chunk->used = mark->used;
        w->last = mark->chunk;
    } else if (w->first) {
        free_chunks(w, w->first->next);
        w->first->next = NULL;
        w->first->used = 0;
        w->last = w->first;
    }
}

sdb_status sdb__writes_rollback(struct write_set *w, uint64_t serial)
{
    size_t at = w->mark_count;
    struct write_mark mark;

    while (at && w->marks[at - 1].serial != serial) at--;
    if (!at)
        return FAIL(SDB_NOTFOUND, "there is no savepoint %llu in this transaction",
                    (unsigned long long)serial);
    mark = w->marks[at - 1];
    if (mark.seq) TRY(sdb__spill_forget(w->spill, mark.seq));
    w->mark_count = at;
    if (mark.seq) {
        sdb__writes_empty(w);
        w->spilled = mark.count;
    } else {
        take_back(w, &mark);
    }
    w->count = mark.count;
    w->bytes = mark.bytes;
    w->large = mark.large;
    w->merges = mark.merges;
    return SDB_OK;
}
