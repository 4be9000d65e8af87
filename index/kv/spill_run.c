/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spill_run.c: one run: written front to back, read a block at a time.
 *
 * Idea: fences in memory say which block a key is in; the block is read whole, with its checksum,
 *   and its operations are listed, so that they can be searched by halving.
 * Invariants: I1 a block is never changed once it is written. I2 a fence is > all keys before its
 *   block, but for operations on one key that lie in several, where it is that key.
 * Costs: one extent written a block; one read, checked and listed for each change of block.
 * Not here: which operations count.
 */
#include "index/kv/spill.h"

#include <assert.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/status.h"
#include "index/btree/btree.h"

/* Memory of a block that is kept for the next one. */
enum { KEEP_MOST = 1024 * 1024 };

static const uint64_t PART_MOST = UINT64_C(1) << 31; /* bytes of an extent */

/* ---- writing ------------------------------------------------------------------------------ */

static sdb_status write_parts(struct spill *s, const uint8_t *bytes, size_t size,
                              struct spill_block *block)
{
    size_t first = size < PART_MOST ? size : PART_MOST;
    sdb_status status;

    TRY(sdb__pager_extent_write(s->pager, bytes, first, &block->extent));
    if (first == size) return SDB_OK;
    status = sdb__pager_extent_write(s->pager, bytes + first, size - first, &block->more);
    if (status != SDB_OK) sdb__pager_extent_discard(s->pager, &block->extent);
    return status;
}

/* The shortest key > the one before and <= `key`; or `key`, if they are the same. */
static sdb_status make_fence(struct spill_writer *w, const struct op *op,
                             struct spill_block *block)
{
    size_t common = 0;
    uint8_t *copy;

    block->keyspace = op->keyspace;
    block->fence = (struct bytes){NULL, 0};
    if (!w->begun || w->before_keyspace != op->keyspace) return SDB_OK;
    while (common < op->key.size && common < w->before.size &&
           op->key.data[common] == w->before.data[common])
        common++;
    if (common < op->key.size) common++;
    if (common == 0) return SDB_OK;
    copy = sdb__arena_alloc(&w->run->fences, common);
    if (!copy) return SDB_NOMEM;
    memcpy(copy, op->key.data, common);
    block->fence = (struct bytes){copy, common};
    return SDB_OK;
}

/* Writes a block that begins with `first` and ends with an operation on `last`. */
static sdb_status add_block(struct spill_writer *w, const uint8_t *bytes, size_t size,
                            const struct op *first, const struct op *last, uint64_t lone)
{
    struct spill *s = w->s;
    struct spill_run *run = w->run;
    struct spill_block block = {.lone = lone};

    TRY(sdb__mem_reserve(s->allocator, &run->blocks, &run->capacity, run->count + 1,
                         sizeof *run->blocks));
    if (!w->bare) {
        TRY(make_fence(w, first, &block));
        w->before.size = 0;
        TRY(sdb__buffer_append(s->allocator, &w->before, last->key.data, last->key.size));
        w->before_keyspace = last->keyspace;
        w->begun = true;
    }
    TRY(write_parts(s, bytes, size, &block));
    run->blocks[run->count++] = block;
    s->bytes += size;
    atomic_fetch_add_explicit(s->written, size, memory_order_relaxed);
    return SDB_OK;
}

/* The operation at a place of the block in the making. */
static struct op op_at(const struct spill_writer *w, size_t at)
{
    const uint8_t *from = w->block.data + at, *end = w->block.data + w->block.size;
    struct op op = {0};
    uint64_t seq;
    size_t step;

    if (!w->bare) from += sdb__varint_get(from, end, &seq);
    step = sdb__op_read(from, end, &op);
    assert(step);
    (void)step;
    return op;
}

static sdb_status flush(struct spill_writer *w)
{
    struct op first, last;

    if (w->block.size == 0) return SDB_OK;
    first = op_at(w, 0);
    last = op_at(w, w->last);
    TRY(add_block(w, w->block.data, w->block.size, &first, &last, 0));
    w->block.size = 0;
    return SDB_OK;
}

sdb_status sdb__spill_write(struct spill_writer *w, const struct spill_entry *entry)
{
    size_t most = w->bare ? SPILL_LAST : SPILL_BLOCK, need = VARINT_MAX + entry->size;
    uint8_t *to;

    if (w->block.size + need > most) TRY(flush(w));
    if (need > most) {
        TRY(add_block(w, entry->at, entry->size, &entry->op, &entry->op, entry->seq));
    } else {
        TRY(sdb__buffer_reserve(w->s->allocator, &w->block, most));
        w->last = w->block.size;
        to = w->block.data + w->block.size;
        if (!w->bare) to += sdb__varint_put(to, entry->seq);
        memcpy(to, entry->at, entry->size);
        w->block.size = (size_t)(to + entry->size - w->block.data);
    }
    w->ops++;
    w->bytes += entry->size;
    w->merges += entry->op.code == OP_MERGE;
    w->large += entry->op.code == OP_PUT &&
                !sdb__op_is_inline(sdb__pager_page_size(w->s->pager), &entry->op);
    return SDB_OK;
}

sdb_status sdb__spill_write_end(struct spill_writer *w, sdb_status status)
{
    if (status == SDB_OK) status = flush(w);
    sdb__buffer_done(w->s->allocator, &w->block);
    sdb__buffer_done(w->s->allocator, &w->before);
    return status;
}

/* ---- reading ------------------------------------------------------------------------------ */

static sdb_status read_block(struct spill *s, const struct spill_block *block,
                             struct buffer *buffer)
{
    size_t size = (size_t)(block->extent.size + block->more.size);

    buffer->size = 0;
    if (buffer->capacity > KEEP_MOST) sdb__buffer_done(s->allocator, buffer);
    TRY(sdb__buffer_reserve(s->allocator, buffer, size));
    TRY(sdb__pager_extent_read(s->pager, &block->extent, buffer->data));
    if (block->more.place)
        TRY(sdb__pager_extent_read(s->pager, &block->more, buffer->data + block->extent.size));
    buffer->size = size;
    return SDB_OK;
}

sdb_status sdb__spill_read_last(struct spill *s, size_t block, struct buffer *buffer)
{
    return read_block(s, &s->runs[0].blocks[block], buffer);
}

/* Lists where the operations of the loaded block begin. */
static sdb_status list(struct spill *s, struct spill_run *run)
{
    const uint8_t *at = run->bytes.data, *end = at + run->bytes.size;

    for (run->ops = 0; at < end; run->ops++) {
        uint64_t seq;
        struct op op;

        TRY(sdb__mem_reserve(s->allocator, &run->starts, &run->starts_capacity, run->ops + 1,
                             sizeof *run->starts));
        run->starts[run->ops] = (uint32_t)(at - run->bytes.data);
        at += sdb__varint_get(at, end, &seq);
        at += sdb__op_read(at, end, &op);
    }
    return SDB_OK;
}

static sdb_status load(struct spill *s, struct spill_run *run, size_t block)
{
    if (run->loaded == block + 1) return SDB_OK;
    run->loaded = 0;
    TRY(read_block(s, &run->blocks[block], &run->bytes));
    if (run->blocks[block].lone)
        run->ops = 1;
    else
        TRY(list(s, run));
    run->loaded = block + 1;
    return SDB_OK;
}

void sdb__spill_rest(struct spill *s, struct spill_run *run)
{
    if (run->bytes.capacity <= KEEP_MOST) return;
    sdb__buffer_done(s->allocator, &run->bytes);
    run->loaded = 0;
}

/* Operation number `i` of the loaded block. */
static struct spill_entry entry_at(const struct spill_run *run, size_t i)
{
    const uint8_t *at = run->bytes.data, *end = at + run->bytes.size;
    struct spill_entry entry = {.seq = run->blocks[run->loaded - 1].lone};

    if (!entry.seq) {
        at += run->starts[i];
        at += sdb__varint_get(at, end, &entry.seq);
    }
    entry.at = at;
    entry.size = sdb__op_read(at, end, &entry.op);
    assert(entry.size);
    return entry;
}

sdb_status sdb__spill_at(struct spill *s, struct spill_run *run, struct spill_place *place,
                         struct spill_entry *out_entry)
{
    bool over;

    if (place->block == run->count) return SDB_END;
    over = run->blocks[place->block].lone && place->op; /* it need not be read for that */
    if (!over) TRY(load(s, run, place->block));
    if (over || place->op == run->ops) {
        if (place->block + 1 == run->count) return SDB_END;
        TRY(load(s, run, place->block + 1));
        *place = (struct spill_place){place->block + 1, 0};
    }
    *out_entry = entry_at(run, place->op);
    return SDB_OK;
}

sdb_status sdb__spill_back(struct spill *s, struct spill_run *run, struct spill_place *place)
{
    if (place->op == 0) {
        if (place->block == 0) return SDB_END;
        TRY(load(s, run, place->block - 1));
        *place = (struct spill_place){place->block - 1, run->ops};
    }
    place->op--;
    return SDB_OK;
}

sdb_status sdb__spill_place(struct spill *s, struct spill_run *run, uint32_t keyspace,
                            struct bytes key, struct spill_place *out_place)
{
    size_t low = 0, high = run->count, block;

    while (low < high) { /* the first block whose fence is >= key: it begins in the one before */
        size_t middle = (low + high) / 2;
        const struct spill_block *b = &run->blocks[middle];

        if (compare_place(b->keyspace, b->fence, keyspace, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    block = low ? low - 1 : 0;
    if (run->count == 0) return SDB_END;
    TRY(load(s, run, block));
    for (low = 0, high = run->ops; low < high;) {
        size_t middle = (low + high) / 2;
        struct spill_entry entry = entry_at(run, middle);

        if (compare_place(entry.op.keyspace, entry.op.key, keyspace, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *out_place = (struct spill_place){block, low};
    return SDB_OK;
}
