/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge_commit.c: what the merges of a commit come to.
 *
 * Idea: under the lock that orders commits the values that merges meet are known, before anything
 * is logged. So they are evaluated then: what does not fit refuses the commit, and what comes out
 * is put into the trees like any other value. The log has the operands, in their places among the
 * other operations; recovery evaluates them one by one (apply.c).
 *
 *     put a 1; merge a +2; merge b +5; del b      a: 3 is put after the others; b: nothing, deleted
 *
 * A value that has expired by the time of the commit, which the log has too, is none.
 *
 * Invariants: I1 a key's state, when an operation is passed, is what applying all operations up to
 *   it would have left.
 * Costs: a state for each key that is merged into, a search for it an operation; the values are in
 *   memory until the commit is over. A spilled write set is in the order of its keys: one state at
 *   a time, and the values are spilled too.
 * Not here: operators (merge_ops.c).
 */
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/status.h"
#include "index/kv/merge.h"
#include "index/kv/txn.h"

/* What a key has while the operations are passed. Behind its node in the list. */
struct state {
    bool known;   /* false: what is committed */
    bool present; /* it has a value: `value`, which lies in `own` or in an operation */
    bool merged;  /* the last operation was a merge */
    uint64_t expiry; /* of the value; 0: none */
    struct bytes value;
    struct buffer own;
};

struct resolving {
    sdb_db *db;
    const struct write_set *writes;
    struct write_set *puts;
    struct skiplist states; /* group: keyspace */
    struct arena nodes;
    struct buffer spare;
    /* of a spilled write set, which is in the order of its keys: one key at a time */
    struct state state;
    struct buffer key;
    uint32_t keyspace;
    bool begun;
};

typedef sdb_status (*op_fn)(struct resolving *r, const struct op *op);

static struct state *state_of(struct skip_node *node)
{
    return (struct state *)(void *)((char *)node + skip_node_size(node->levels));
}

static sdb_status each_op(struct resolving *r, const struct write_set *w, op_fn fn)
{
    struct write_walk walk = {.w = w};
    sdb_status status;
    uint8_t *at;
    size_t size;

    while ((status = sdb__writes_next(&walk, &at, &size)) == SDB_OK) {
        const uint8_t *end = at + size;
        struct op op;

        while (at < end && status == SDB_OK) {
            at += sdb__op_read(at, end, &op);
            if (!op.superseded) status = fn(r, &op);
        }
        if (status != SDB_OK) break;
    }
    sdb__writes_walk_done(&walk);
    return status == SDB_END ? SDB_OK : status;
}

/* Makes a state for each key that is merged into. */
static sdb_status add_state(struct resolving *r, const struct op *op)
{
    struct skip_node *node;
    unsigned height;

    if (op->code != OP_MERGE ||
        sdb__skip_find(&r->states, op->keyspace, op->key.data, op->key.size))
        return SDB_OK;
    height = sdb__skip_height(&r->states);
    node = sdb__arena_alloc(&r->nodes, skip_node_size(height) + sizeof(struct state));
    if (!node) return SDB_NOMEM;
    node->levels = height;
    node->group = op->keyspace;
    node->key = op->key.data;
    node->key_size = op->key.size;
    *state_of(node) = (struct state){0};
    sdb__skip_insert(&r->states, node);
    return SDB_OK;
}

static void set_state(struct state *s, const struct bytes *value, uint64_t expiry)
{
    s->known = true;
    s->merged = false;
    s->present = value != NULL;
    s->expiry = expiry;
    if (value) s->value = *value;
}

static void delete_range(struct resolving *r, const struct op *op)
{
    const struct bytes *upper = op_upper(op);
    struct skip_node *node = sdb__skip_seek(&r->states, op->keyspace, op->key.data, op->key.size);

    for (; node && node->group == op->keyspace; node = skip_next(node)) {
        if (upper && compare_bytes(node->key, node->key_size, upper->data, upper->size) >= 0)
            return;
        set_state(state_of(node), NULL, 0);
    }
}

/* Finds out what is committed. */
static sdb_status learn(struct resolving *r, const struct op *op, struct state *s)
{
    sdb_keyspace *keyspace = sdb__keyspace_by_id(r->db, op->keyspace);
    sdb_status status = sdb__read_entry(keyspace, op->key, NULL, r->db->commit_ms, &s->own,
                                        &s->expiry);

    if (status != SDB_OK && status != SDB_NOTFOUND) return status;
    s->known = true;
    s->present = status == SDB_OK;
    s->value = (struct bytes){s->own.data, s->own.size};
    return SDB_OK;
}

/* Merges into what a key has. */
static sdb_status merge(struct resolving *r, const struct op *op, struct state *s)
{
    struct buffer result;

    if (!s->known) TRY(learn(r, op, s));
    if (!s->present) s->expiry = sdb__keyspace_expiry_at(sdb__keyspace_by_id(r->db, op->keyspace),
                                                         r->db->commit_ms);
    TRY(sdb__merge_evaluate(r->db, s->present ? &s->value : NULL, op->value, &r->spare));
    result = r->spare;
    r->spare = s->own;
    s->own = result;
    s->value = (struct bytes){result.data, result.size};
    s->present = s->merged = true;
    return SDB_OK;
}

/* Passes an operation. */
static sdb_status pass(struct resolving *r, const struct op *op)
{
    struct skip_node *node;
    struct state *s;

    if (op->code == OP_DELRANGE) {
        delete_range(r, op);
        return SDB_OK;
    }
    node = sdb__skip_find(&r->states, op->keyspace, op->key.data, op->key.size);
    if (!node) return SDB_OK;
    s = state_of(node);
    if (op->code != OP_MERGE) {
        set_state(s, op_is_gone(op, r->db->commit_ms) ? NULL : &op->value, op->time);
        return SDB_OK;
    }
    return merge(r, op, s);
}

/* Adds the outcome of a key. */
static sdb_status add_put(struct resolving *r, uint32_t keyspace, struct bytes key,
                          const struct state *s, struct write_set *puts)
{
    const struct op put = {.code = OP_PUT, .keyspace = keyspace, .key = key, .value = s->value,
                           .time = s->expiry};

    if (!s->merged) return SDB_OK;
    return sdb__writes_add_timed(puts, &put,
                                 !sdb__op_is_inline(sdb__pager_page_size(r->db->pager), &put));
}

/* ---- of a spilled write set --------------------------------------------------------------- */

/* Adds the outcome of the key that was passed last, and begins another one. */
static sdb_status next_key(struct resolving *r, const struct op *op)
{
    struct bytes key = {r->key.data, r->key.size};
    const struct write_set *w = r->writes;

    TRY(add_put(r, r->keyspace, key, &r->state, r->puts));
    r->state.known = r->state.present = r->state.merged = false;
    if (!op) return SDB_OK;
    /* deleted by the transaction before all that it has on the key */
    r->state.known = sdb__spill_covering(w->spill, op->keyspace, op->key) != NULL;
    r->keyspace = op->keyspace;
    r->begun = true;
    r->key.size = 0;
    return sdb__buffer_append(r->db->allocator, &r->key, op->key.data, op->key.size);
}

/* Passes an operation; those on one key come together, and deleted ranges before all. */
static sdb_status pass_sorted(struct resolving *r, const struct op *op)
{
    struct state *s = &r->state;

    if (op->code == OP_DELRANGE) return SDB_OK;
    if (!r->begun || r->keyspace != op->keyspace ||
        compare_bytes(r->key.data, r->key.size, op->key.data, op->key.size) != 0)
        TRY(next_key(r, op));
    if (op->code == OP_MERGE) return merge(r, op, s);
    set_state(s, NULL, op->time);
    if (op_is_gone(op, r->db->commit_ms)) return SDB_OK;
    s->own.size = 0; /* the operation's bytes go with its piece */
    TRY(sdb__buffer_append(r->db->allocator, &s->own, op->value.data, op->value.size));
    s->value = (struct bytes){s->own.data, s->own.size};
    s->present = true;
    return SDB_OK;
}

static sdb_status resolve_sorted(struct resolving *r)
{
    sdb_status status = each_op(r, r->writes, pass_sorted);

    if (status == SDB_OK) status = next_key(r, NULL);
    sdb__buffer_done(r->db->allocator, &r->state.own);
    sdb__buffer_done(r->db->allocator, &r->key);
    sdb__buffer_done(r->db->allocator, &r->spare);
    return status;
}

/* ---- both --------------------------------------------------------------------------------- */

sdb_status sdb__merge_resolve(sdb_db *db, const struct write_set *w, struct write_set *puts)
{
    struct resolving r = {.db = db, .writes = w, .puts = puts,
                          .states = {.random = db->last_commit},
                          .nodes = {.allocator = db->allocator}};
    sdb_status status;

    if (w->spill) return resolve_sorted(&r);
    status = each_op(&r, w, add_state);
    if (status == SDB_OK) status = each_op(&r, w, pass);
    for (struct skip_node *node = r.states.heads[0]; node; node = skip_next(node)) {
        struct state *s = state_of(node);

        if (status == SDB_OK)
            status = add_put(&r, node->group, (struct bytes){node->key, node->key_size}, s, puts);
        sdb__buffer_done(db->allocator, &s->own);
    }
    sdb__buffer_done(db->allocator, &r.spare);
    sdb__arena_done(&r.nodes);
    return status;
}

void sdb__merge_hide(uint8_t *at, size_t size)
{
    uint8_t *end = at + size;
    struct op op;

    while (at < end) {
        size_t step = sdb__op_read(at, end, &op);

        if (op.code == OP_MERGE) *at |= OP_SUPERSEDED;
        at += step;
    }
}
