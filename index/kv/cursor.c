/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cursor.c: a transaction's view of a keyspace, in order, both ways.
 *
 * Idea: two sorted sources are merged: the committed entries that the snapshot sees (scan.c) and
 * the transaction's own newest operations; where both have a key, its own counts. The write set is
 * asked anew at each step, so what the transaction does between two steps is seen.
 * Invariants: I1 the scan's entry, if it has one, lies on the far side of the cursor's position, or
 * is it. I2 a move that fails leaves the cursor where it was: `key` is its place, and the scan is
 * set up anew from there (direction 0). I3 all keys between two places that a move joined are in
 *   the transaction's read set, if it keeps one.
 * Costs: without own changes, those of the scan. A closed cursor's memory serves the transaction's
 * next. Not here: reading ahead (scan.c).
 */
#include <string.h>

#include "engine/base/status.h"
#include "index/kv/merge.h"
#include "index/kv/range.h"
#include "index/kv/scan.h"
#include "index/kv/txn.h"

enum { SPARE_VALUE_MOST = 65536 };

enum where { AT_START, AT_ENTRY, BEFORE_FIRST, BEHIND_LAST };

struct sdb_cursor {
    sdb_txn *txn; /* NULL: it has ended */
    sdb_cursor *before, *after; /* the transaction's other cursors */
    sdb_keyspace *keyspace;
    struct scan scan;
    sdb_status scan_status; /* of its last move */
    int direction;          /* in which the scan moves: 1, −1; 0: it stands nowhere */
    bool on_scan;           /* the cursor's entry is the scan's */
    enum where where;
    struct buffer key;      /* the position, when it is not the scan's */
    struct buffer previous; /* `key` before it last came to an own entry */
    struct buffer value;    /* a large value */
    struct buffer target;   /* what is being sought */
    struct bounds bounds;
};

static const sdb_allocator *allocator_of(const sdb_cursor *c)
{
    return c->keyspace->db->allocator;
}

static sdb_status set_buffer(const sdb_cursor *c, struct buffer *buffer, struct bytes from)
{
    return sdb__buffer_set(allocator_of(c), buffer, from);
}

static int compare(struct bytes a, struct bytes b)
{
    return compare_bytes(a.data, a.size, b.data, b.size);
}

/* The transaction's spare cursor set up anew, or a new one. */
static sdb_cursor *take_cursor(sdb_txn *txn, sdb_keyspace *keyspace)
{
    sdb_cursor *c = txn->spare;

    if (c) {
        txn->spare = NULL;
        sdb__scan_reset(&c->scan, keyspace, &txn->snapshot);
        c->bounds.has_lower = c->bounds.has_upper = c->on_scan = false;
        c->where = AT_START;
        c->direction = 0;
        c->before = NULL;
    } else {
        c = sdb__mem_zalloc(txn->db->allocator, 1, sizeof *c);
        if (!c) return NULL;
        sdb__scan_init(&c->scan, keyspace, &txn->snapshot);
    }
    c->txn = txn;
    c->keyspace = keyspace;
    c->after = txn->cursors;
    if (c->after) c->after->before = c;
    txn->cursors = c;
    return c;
}

/* Sets the ends of what the cursor gives. */
static sdb_status take_bounds(sdb_cursor *c, const sdb_range *range)
{
    const struct bounds *bounds = &c->bounds;
    struct bytes lower, upper;

    TRY(sdb__bounds_set(&c->bounds, allocator_of(c), range));
    lower = view(&bounds->lower);
    upper = view(&bounds->upper);
    sdb__scan_limit(&c->scan, bounds->has_lower ? &lower : NULL,
                    bounds->has_upper ? &upper : NULL);
    return SDB_OK;
}

sdb_status sdb_cursor_open(sdb_txn *txn, sdb_keyspace *keyspace, const sdb_range *range,
                           sdb_cursor **out_cursor)
{
    sdb_cursor *c;
    sdb_status status;

    if (!txn || !keyspace || !out_cursor)
        return FAIL(SDB_INVALID, "sdb_cursor_open: an argument is NULL");
    TRY(sdb__txn_may_read(txn, keyspace));
    c = take_cursor(txn, keyspace);
    if (!c) return SDB_NOMEM;
    status = take_bounds(c, range);
    if (status != SDB_OK) {
        sdb_cursor_close(c);
        return status;
    }
    *out_cursor = c;
    return SDB_OK;
}

void sdb__cursor_free(sdb_cursor *c)
{
    const sdb_allocator *allocator;

    if (!c) return;
    allocator = allocator_of(c);
    sdb__scan_done(&c->scan);
    sdb__buffer_done(allocator, &c->key);
    sdb__buffer_done(allocator, &c->previous);
    sdb__buffer_done(allocator, &c->value);
    sdb__buffer_done(allocator, &c->target);
    sdb__bounds_done(&c->bounds, allocator);
    sdb__mem_free(allocator, c);
}

void sdb_cursor_close(sdb_cursor *c)
{
    if (!c) return;
    if (c->after) c->after->before = c->before;
    if (c->before)
        c->before->after = c->after;
    else if (c->txn)
        c->txn->cursors = c->after;
    sdb__scan_rest(&c->scan);
    if (c->txn && !c->txn->spare && c->value.capacity <= SPARE_VALUE_MOST)
        c->txn->spare = c;
    else
        sdb__cursor_free(c);
}

void sdb__cursors_unsettle(sdb_txn *txn)
{
    for (sdb_cursor *c = txn->cursors; c; c = c->after) c->direction = 0;
}

void sdb__cursors_orphan(sdb_txn *txn)
{
    for (sdb_cursor *c = txn->cursors; c; c = c->after) {
        sdb__scan_rest(&c->scan); /* the database may be closed next */
        c->txn = NULL;
    }
    txn->cursors = NULL;
}

/* True when a key lies beyond the end that the cursor moves to. */
static bool is_outside(const sdb_cursor *c, struct bytes key)
{
    return c->direction > 0 ? c->bounds.has_upper && compare(key, view(&c->bounds.upper)) >= 0
                            : c->bounds.has_lower && compare(key, view(&c->bounds.lower)) < 0;
}

/* Arrives at an entry: the scan's (`op` NULL) or an own one. */
static sdb_status arrive(sdb_cursor *c, const struct op *op, sdb_slice *out_key,
                         sdb_slice *out_value)
{
    struct bytes key = op ? op->key : view(&c->scan.key), value;

    if (is_outside(c, key)) {
        c->where = c->direction > 0 ? BEHIND_LAST : BEFORE_FIRST;
        return SDB_END;
    }
    if (op) {
        struct buffer position = c->key; /* whoever moves from there may still look at it */

        value = op->value;
        if (c->txn->writes.pager && op->code != OP_MERGE && out_value) {
            TRY(set_buffer(c, &c->value, value)); /* it may be spilled before the next move */
            value = view(&c->value);
        }
        TRY(set_buffer(c, &c->previous, key));
        c->key = c->previous;
        c->previous = position;
        key = view(&c->key);
    } else if (out_value) {
        TRY(sdb__scan_value(&c->scan, &c->value, &value));
    }
    c->on_scan = !op;
    c->where = AT_ENTRY;
    if (out_key) *out_key = slice_of(key);
    if (out_value) *out_value = slice_of(value);
    return SDB_OK;
}

/* True when the transaction has changes that its cursors must merge in. */
static bool has_own(const sdb_cursor *c)
{
    return writes_has_entries(&c->txn->writes) || writes_has_ranges(&c->txn->writes);
}

/* Moves the scan out of ranges that the transaction has deleted. */
static void skip_deleted(sdb_cursor *c)
{
    const struct write_set *writes = &c->txn->writes;
    struct write_range range;

    while (c->scan_status == SDB_OK && writes_has_ranges(writes) &&
           sdb__writes_covers(writes, c->keyspace->tree.id, view(&c->scan.key), &range)) {
        if (c->direction < 0)
            c->scan_status = sdb__scan_seek_before(&c->scan, &range.lower);
        else if (range.has_upper)
            c->scan_status = sdb__scan_seek(&c->scan, range.upper, false);
        else
            c->scan_status = SDB_END;
    }
}

static sdb_status end_of(sdb_cursor *c)
{
    if (c->scan_status != SDB_END) return c->scan_status;
    c->where = c->direction > 0 ? BEHIND_LAST : BEFORE_FIRST;
    return SDB_END;
}

/* What an own merge makes of the scan's entry, if that has the same key, becomes its value. */
static sdb_status merge_here(sdb_cursor *c, struct op *op, bool has_base)
{
    struct bytes base;

    if (op->code != OP_MERGE || is_outside(c, op->key)) return SDB_OK;
    if (has_base) TRY(sdb__scan_value(&c->scan, &c->value, &base));
    TRY(sdb__merge_own(c->txn, c->keyspace, op->key,
                       has_base ? &base : NULL, &c->value, NULL));
    op->value = view(&c->value);
    return SDB_OK;
}

/*
 * The scan has moved beyond `from`; now the nearer of its entry and the write set's counts.
 * `behind`: strictly beyond from. from NULL (backward only): the end of the keyspace.
 */
static sdb_status settle(sdb_cursor *c, const struct bytes *from, bool behind, sdb_slice *out_key,
                         sdb_slice *out_value)
{
    const struct write_set *writes = &c->txn->writes;
    uint32_t id = c->keyspace->tree.id;
    struct bytes at = from ? *from : (struct bytes){NULL, 0};
    struct op op;

    for (;;) {
        bool has_scan, has_entry = false;
        int order;

        skip_deleted(c);
        has_scan = c->scan_status == SDB_OK;

        if (c->scan_status != SDB_OK && c->scan_status != SDB_END) return c->scan_status;
        if (writes_has_entries(writes)) {
            sdb_status status = c->direction > 0
                                    ? sdb__writes_seek(writes, id, at, behind, &op)
                                    : sdb__writes_seek_before(writes, id, from ? &at : NULL, &op);

            if (status < SDB_OK) return status;
            has_entry = status == SDB_OK;
        }
        if (!has_entry) return has_scan ? arrive(c, NULL, out_key, out_value) : end_of(c);
        order = has_scan ? c->direction * compare(op.key, view(&c->scan.key)) : -1;
        if (order > 0) return arrive(c, NULL, out_key, out_value);
        if (out_value) TRY(merge_here(c, &op, order == 0));
        if (order == 0)
            c->scan_status = c->direction > 0 ? sdb__scan_next(&c->scan)
                                              : sdb__scan_prev(&c->scan);
        if (!op_is_gone(&op, txn_now_ms(c->txn))) return arrive(c, &op, out_key, out_value);
        at = op.key; /* deleted by this transaction, or expired: go on behind it */
        from = &at;
        behind = true;
    }
}

/*
 * What a move from `from` (NULL: from beyond all keys) has told: what lies between there and where
 * the cursor stands now, or the end of the range.
 */
static sdb_status note(const sdb_cursor *c, const struct bytes *from, sdb_status status)
{
    struct read_set *reads = &c->txn->reads;
    uint32_t id = c->keyspace->tree.id;
    struct bytes at = view(c->on_scan ? &c->scan.key : &c->key);
    const struct bounds *bounds = &c->bounds;
    struct bytes far = view(c->direction > 0 ? &bounds->upper : &bounds->lower), none = {NULL, 0};

    if (reads->sees && status == SDB_OK) sdb__reads_see(reads, id, at);
    if (!reads->active || status < SDB_OK) return status;
    if (status == SDB_OK && c->direction > 0)
        sdb__reads_add(reads, id, *from, READ_WITH, at);
    else if (c->direction > 0)
        sdb__reads_add(reads, id, *from, bounds->has_upper ? READ_WITHOUT : READ_TO_END, far);
    else
        sdb__reads_add(reads, id, status == SDB_OK ? at : bounds->has_lower ? far : none,
                       from ? READ_WITHOUT : READ_TO_END, from ? *from : none);
    return status;
}

/* Copies the position out of the scan, which is about to move. */
static sdb_status keep_position(sdb_cursor *c)
{
    if (!c->on_scan) return SDB_OK;
    TRY(set_buffer(c, &c->key, view(&c->scan.key)));
    c->on_scan = false;
    return SDB_OK;
}

/* After a move whose position was kept: if it failed, the scan is of no use any more. */
static sdb_status judge_move(sdb_cursor *c, sdb_status status)
{
    if (status < SDB_OK) c->direction = 0;
    return status;
}

/* Moves to the first entry >= (behind: >) target. */
static sdb_status forward_from(sdb_cursor *c, struct bytes target, bool behind, sdb_slice *out_key,
                               sdb_slice *out_value)
{
    TRY(keep_position(c));
    c->direction = 1;
    c->scan_status = sdb__scan_seek(&c->scan, target, behind);
    return judge_move(c, note(c, &target, settle(c, &target, behind, out_key, out_value)));
}

/* Moves to the last entry < target (NULL: of all). */
static sdb_status backward_from(sdb_cursor *c, const struct bytes *target, sdb_slice *out_key,
                                sdb_slice *out_value)
{
    TRY(keep_position(c));
    c->direction = -1;
    c->scan_status = sdb__scan_seek_before(&c->scan, target);
    return judge_move(c, note(c, target, settle(c, target, true, out_key, out_value)));
}

/* One step of the scan, on which the cursor stands and which alone has entries. */
static sdb_status step(sdb_cursor *c, sdb_slice *out_key, sdb_slice *out_value)
{
    struct buffer *position = &c->scan.key, spare = c->key;
    struct bytes from, value;
    sdb_status status;

    if (sdb__scan_step(&c->scan, c->direction < 0, &value)) {
        if (!is_outside(c, view(&c->scan.key)) && !c->txn->reads.sees && !c->txn->reads.active) {
            if (out_key) *out_key = slice_of(view(&c->scan.key));
            if (out_value) *out_value = slice_of(value);
            return SDB_OK;
        }
        c->scan_status = SDB_OK;
    } else {
        c->scan_status = c->direction > 0 ? sdb__scan_next(&c->scan) : sdb__scan_prev(&c->scan);
    }
    if (c->scan_status == SDB_OK) position = &c->scan.previous;
    status = c->scan_status == SDB_OK ? arrive(c, NULL, out_key, out_value) : end_of(c);
    if (status < SDB_OK) { /* back to where it was, without needing memory */
        c->key = *position;
        *position = spare;
        c->on_scan = false;
        c->direction = 0;
        return status;
    }
    from = view(position);
    return note(c, &from, status);
}

static sdb_status check_cursor(sdb_cursor *c)
{
    if (!c) return FAIL(SDB_INVALID, "the cursor is NULL");
    if (!c->txn) return FAIL(SDB_INVALID, "the cursor's transaction has ended: close the cursor");
    return sdb__db_alive(c->txn->db);
}

sdb_status sdb_cursor_first(sdb_cursor *c, sdb_slice *out_key, sdb_slice *out_value)
{
    TRY(check_cursor(c));
    return forward_from(c,
                        c->bounds.has_lower ? view(&c->bounds.lower) : (struct bytes){NULL, 0},
                        false, out_key, out_value);
}

sdb_status sdb_cursor_last(sdb_cursor *c, sdb_slice *out_key, sdb_slice *out_value)
{
    struct bytes upper;

    TRY(check_cursor(c));
    upper = view(&c->bounds.upper);
    return backward_from(c, c->bounds.has_upper ? &upper : NULL, out_key, out_value);
}

sdb_status sdb_cursor_seek(sdb_cursor *c, sdb_slice key, sdb_slice *out_key, sdb_slice *out_value)
{
    TRY(check_cursor(c));
    if (c->bounds.has_lower && compare(bytes_of(key), view(&c->bounds.lower)) < 0)
        return sdb_cursor_first(c, out_key, out_value);
    TRY(set_buffer(c, &c->target, bytes_of(key)));
    return forward_from(c, view(&c->target), false, out_key, out_value);
}

sdb_status sdb_cursor_seek_back(sdb_cursor *c, sdb_slice key, sdb_slice *out_key,
                                sdb_slice *out_value)
{
    struct bytes target;

    TRY(check_cursor(c));
    if (c->bounds.has_upper && compare(bytes_of(key), view(&c->bounds.upper)) >= 0)
        return sdb_cursor_last(c, out_key, out_value);
    TRY(set_buffer(c, &c->target, bytes_of(key)));
    c->target.data[c->target.size++] = 0; /* nothing lies between a key and this */
    target = view(&c->target);
    return backward_from(c, &target, out_key, out_value);
}

sdb_status sdb_cursor_next(sdb_cursor *c, sdb_slice *out_key, sdb_slice *out_value)
{
    struct bytes position;
    bool was_on_scan;

    TRY(check_cursor(c));
    if (c->where == AT_START || c->where == BEFORE_FIRST)
        return sdb_cursor_first(c, out_key, out_value);
    if (c->where == BEHIND_LAST) return SDB_END;
    if (c->direction > 0 && c->on_scan && !has_own(c))
        return step(c, out_key, out_value);
    was_on_scan = c->on_scan;
    TRY(keep_position(c));
    position = view(&c->key);
    if (c->direction <= 0) return forward_from(c, position, true, out_key, out_value);
    if (was_on_scan) c->scan_status = sdb__scan_next(&c->scan);
    return judge_move(c, note(c, &position, settle(c, &position, true, out_key, out_value)));
}

sdb_status sdb_cursor_prev(sdb_cursor *c, sdb_slice *out_key, sdb_slice *out_value)
{
    struct bytes position;
    bool was_on_scan;

    TRY(check_cursor(c));
    if (c->where == AT_START || c->where == BEHIND_LAST)
        return sdb_cursor_last(c, out_key, out_value);
    if (c->where == BEFORE_FIRST) return SDB_END;
    if (c->direction < 0 && c->on_scan && !has_own(c))
        return step(c, out_key, out_value);
    was_on_scan = c->on_scan;
    TRY(keep_position(c));
    position = view(&c->key);
    if (c->direction >= 0) return backward_from(c, &position, out_key, out_value);
    if (was_on_scan) c->scan_status = sdb__scan_prev(&c->scan);
    return judge_move(c, note(c, &position, settle(c, &position, true, out_key, out_value)));
}

sdb_status sdb_count(sdb_txn *txn, sdb_keyspace *keyspace, const sdb_range *range,
                     uint64_t *out_count)
{
    sdb_cursor *cursor;
    uint64_t count = 0;
    sdb_slice key;
    sdb_status status;

    if (!out_count) return FAIL(SDB_INVALID, "sdb_count: out_count is NULL");
    TRY(sdb_cursor_open(txn, keyspace, range, &cursor));
    while ((status = sdb_cursor_next(cursor, &key, NULL)) == SDB_OK) count++;
    sdb_cursor_close(cursor);
    if (status != SDB_END) return status;
    *out_count = count;
    return SDB_OK;
}
