/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read.c: single values.
 *
 * Idea: while the key's leaf does not change, the tree's value and the version store agree; what
 * the snapshot sees is copied out then. Only a large value is read later, and an open snapshot
 * keeps it from going away.
 * Invariants: I1 a large value is read only under a snapshot that was open when it was found.
 * Costs: one descent and one copy of the value. Not here: reading without a copy.
 */
#include <string.h>

#include "engine/base/mutant.h"
#include "engine/base/status.h"
#include "index/kv/merge.h"
#include "index/kv/range.h"
#include "index/kv/txn.h"

struct reading {
    sdb_db *db;
    uint32_t keyspace;
    struct bytes key;
    const struct snapshot *snapshot;
    uint64_t now_ms;
    uint64_t expiry; /* of what was found */
    const struct btree_value *current; /* the tree's; NULL: none */
    struct buffer *value;
    bool is_extent, found;
    struct extent extent;
};

static sdb_status copy_out(struct reading *r, const void *data, size_t size)
{
    r->found = true;
    if (!r->value) return SDB_OK;
    r->value->size = 0;
    return sdb__buffer_append(r->db->allocator, r->value, data, size);
}

/* Takes the version if there is one, otherwise the tree's value. */
static sdb_status take_version(void *context, struct bytes key, const struct version *version)
{
    struct reading *r = context;
    const struct btree_value *current = r->current;

    (void)key;
    r->expiry = version ? version->expiry : current ? current->expiry : 0;
    if (is_gone(r->expiry, r->now_ms) && !MUTANT(expired_value_read)) return SDB_OK;
    if (version) {
        if (version->kind == VERSION_ABSENT) return SDB_OK;
        if (version->kind == VERSION_INLINE) return copy_out(r, version->data, version->size);
        r->extent = version->extent;
    } else {
        if (!current) return SDB_OK;
        if (!current->is_extent) return copy_out(r, current->data.data, current->data.size);
        TRY(sdb__pager_extent_find(r->db->pager, current->extent, current->size, &r->extent));
    }
    r->is_extent = r->found = true;
    return SDB_OK;
}

static sdb_status take_value(void *context, const struct btree_value *value)
{
    struct reading *r = context;

    r->current = value;
    r->found = r->is_extent = false; /* of an earlier call, in vain */
    if (!r->snapshot) return take_version(r, r->key, NULL);
    return sdb__versions_read(&r->db->versions, r->keyspace, r->key, r->snapshot->commit,
                              take_version, r);
}

/* Reads the extent that was found; if it is not what it was, a vacuum may have moved it. */
static sdb_status read_extent(sdb_keyspace *keyspace, struct bytes key, struct reading *r)
{
    struct pager *pager = keyspace->db->pager;
    uint64_t place;
    sdb_status status;

    do {
        place = r->extent.place;
        TRY(sdb__buffer_reserve(keyspace->db->allocator, r->value, (size_t)r->extent.size));
        status = sdb__pager_extent_read(pager, &r->extent, r->value->data);
        if (status == SDB_OK) r->value->size = (size_t)r->extent.size;
        if (status == SDB_CORRUPT) TRY(sdb__btree_get(&keyspace->tree, key, take_value, r));
        if (status == SDB_CORRUPT && !(r->found && r->is_extent))
            return FAIL(SDB_CORRUPT, "%s: a large value has gone while it was read: run sdb check, "
                        "restore a backup", keyspace->db->path);
    } while (status == SDB_CORRUPT && r->extent.place != place);
    return status;
}

sdb_status sdb__read_entry(sdb_keyspace *keyspace, struct bytes key,
                           const struct snapshot *snapshot, uint64_t now_ms, struct buffer *value,
                           uint64_t *out_expiry)
{
    struct reading r = {.db = keyspace->db, .keyspace = keyspace->tree.id, .key = key,
                        .snapshot = snapshot, .now_ms = now_ms, .value = value};
    struct snapshot own;
    sdb_status status = sdb__btree_get(&keyspace->tree, key, take_value, &r);

    /* once more, with something to hold it */
    if (status == SDB_OK && r.is_extent && !snapshot && value) {
        sdb__snapshot_open(keyspace->db, &own);
        status = sdb__read_entry(keyspace, key, &own, now_ms, value, out_expiry);
        sdb__snapshot_close(keyspace->db, &own);
        return status;
    }
    if (status != SDB_OK) return status;
    if (!r.found) return SDB_NOTFOUND;
    if (out_expiry) *out_expiry = r.expiry;
    if (!r.is_extent || !value) return SDB_OK;
    return read_extent(keyspace, key, &r);
}

sdb_status sdb__read_committed(sdb_keyspace *keyspace, struct bytes key,
                               const struct snapshot *snapshot, struct buffer *value)
{
    return sdb__read_entry(keyspace, key, snapshot, snapshot->now_ms, value, NULL);
}

sdb_status sdb__txn_may_read(sdb_txn *txn, const sdb_keyspace *keyspace)
{
    uint64_t dropped = atomic_load_explicit(&keyspace->dropped, memory_order_acquire);

    TRY(sdb__db_alive(txn->db));
    if (!txn->has_snapshot)
        return FAIL(SDB_INVALID, "a batch cannot read: begin the transaction with SDB_TXN_WRITE");
    if (keyspace->db != txn->db)
        return FAIL(SDB_INVALID, "keyspace \"%s\" is of another database than the transaction",
                    keyspace->name);
    if (dropped && txn->snapshot.commit >= dropped)
        return FAIL(SDB_NOTFOUND, "keyspace \"%s\" has been dropped", keyspace->name);
    return SDB_OK;
}

sdb_status sdb__key_judge(sdb_slice key)
{
    if (key.size <= SDB_KEY_MAX) return SDB_OK;
    return FAIL(SDB_LIMIT, "a key has at most %u bytes; this one has %zu", SDB_KEY_MAX, key.size);
}

/* The value of a key that the transaction has merged into. */
static sdb_status get_merged(sdb_txn *txn, sdb_keyspace *keyspace, struct bytes key,
                             uint64_t *out_expiry)
{
    uint32_t id = keyspace->tree.id;
    sdb_status status = SDB_NOTFOUND;
    struct bytes base;
    bool needs;

    TRY(sdb__merge_needs_base(&txn->writes, id, key, &needs));
    if (needs) {
        status = sdb__read_entry(keyspace, key, &txn->snapshot, txn->snapshot.now_ms, &txn->value,
                                 out_expiry);
        if (status < SDB_OK) return status;
        reads_add_key(&txn->reads, id, key);
    }
    base = (struct bytes){txn->value.data, txn->value.size};
    return sdb__merge_own(txn, keyspace, key, status == SDB_OK ? &base : NULL, &txn->value,
                          out_expiry);
}

sdb_status sdb__txn_get(sdb_txn *txn, sdb_keyspace *keyspace, sdb_slice key, sdb_slice *out_value,
                        uint64_t *out_expiry)
{
    struct op op;
    sdb_status status;

    TRY(sdb__txn_may_read(txn, keyspace));
    TRY(sdb__key_judge(key));
    status = sdb__writes_find(&txn->writes, keyspace->tree.id, bytes_of(key), &op);
    if (status != SDB_END) {
        TRY(status);
        if (op_is_gone(&op, txn_now_ms(txn))) return SDB_NOTFOUND;
        if (op.code == OP_MERGE)
            TRY(get_merged(txn, keyspace, bytes_of(key), &op.time));
        else if (txn->writes.pager) /* it may be spilled while it is lent out */
            TRY(sdb__buffer_set(txn->db->allocator, &txn->value, op.value));
        if (op.code == OP_MERGE || txn->writes.pager) op.value = view(&txn->value);
        *out_value = slice_of(op.value);
        if (out_expiry) *out_expiry = op.time;
        return SDB_OK;
    }
    status = sdb__read_entry(keyspace, bytes_of(key), &txn->snapshot, txn->snapshot.now_ms,
                             &txn->value, out_expiry);
    if (status >= SDB_OK) reads_add_key(&txn->reads, keyspace->tree.id, bytes_of(key));
    if (status == SDB_OK) *out_value = (sdb_slice){txn->value.data, txn->value.size};
    return status;
}

sdb_status sdb_get(sdb_txn *txn, sdb_keyspace *keyspace, sdb_slice key, sdb_slice *out_value)
{
    if (!txn || !keyspace || !out_value)
        return FAIL(SDB_INVALID, "sdb_get: an argument is NULL");
    return sdb__txn_get(txn, keyspace, key, out_value, NULL);
}

void sdb__copy_begin(struct copying *c, sdb_keyspace *keyspace, struct bytes key, void *to,
                     size_t capacity)
{
    *c = (struct copying){.keyspace = keyspace, .key = key, .to = to, .capacity = capacity,
                          .visible = sdb__snapshot_visible(keyspace->db)};
}

/* Copies what a key has, or had: NULL, nothing. */
static void copy_inline(struct copying *c, const uint8_t *data, size_t size)
{
    c->found = true;
    c->size = size;
    if (size && size <= c->capacity) memcpy(c->to, data, size);
}

static sdb_status copy_version(void *context, struct bytes key, const struct version *version)
{
    struct copying *c = context;
    const struct btree_value *value = c->current;
    uint64_t expiry = version ? version->expiry : value ? value->expiry : 0;

    (void)key;
    c->found = c->is_extent = false;
    if (expiry && is_gone(expiry, sdb__db_now_ms(c->keyspace->db))) return SDB_OK;
    if (version ? version->kind == VERSION_INLINE : value && !value->is_extent) {
        copy_inline(c, version ? version->data : value->data.data,
                    version ? version->size : value->data.size);
    } else if (version ? version->kind == VERSION_EXTENT : value != NULL) {
        c->found = c->is_extent = true;
        c->size = (size_t)(version ? version->extent.size : value->size);
    }
    return SDB_OK;
}

sdb_status sdb__copy_value(void *context, const struct btree_value *value)
{
    struct copying *c = context;

    c->current = value;
    return sdb__versions_read(&c->keyspace->db->versions, c->keyspace->tree.id, c->key, c->visible,
                              copy_version, c);
}

/* A large value, by way of memory of our own, and with a snapshot to hold it. */
static sdb_status copy_large(struct copying *c)
{
    sdb_db *db = c->keyspace->db;
    struct buffer value = {0};
    struct snapshot snapshot;
    sdb_status status;

    sdb__snapshot_open(db, &snapshot);
    status = sdb__read_committed(c->keyspace, c->key, &snapshot, &value);
    sdb__snapshot_close(db, &snapshot);
    if (status == SDB_OK) {
        c->size = value.size;
        if (c->size <= c->capacity) memcpy(c->to, value.data, c->size);
    }
    c->found = status != SDB_NOTFOUND;
    sdb__buffer_done(db->allocator, &value);
    return status == SDB_NOTFOUND ? SDB_OK : status;
}

sdb_status sdb__copy_end(struct copying *c, sdb_status status, size_t *out_size)
{
    if (status == SDB_OK && c->is_extent && c->size <= c->capacity) status = copy_large(c);
    sdb__snapshot_await(c->keyspace->db, c->keyspace->tree.id, c->key);
    if (atomic_load_explicit(&c->keyspace->dropped, memory_order_acquire)) /* perhaps meanwhile */
        return FAIL(SDB_NOTFOUND, "keyspace \"%s\" has been dropped", c->keyspace->name);
    if (status != SDB_OK) return status;
    if (!c->found) return SDB_NOTFOUND;
    *out_size = c->size;
    if (c->size > c->capacity)
        return FAIL(SDB_LIMIT, "the value has %zu bytes, the buffer %zu", c->size, c->capacity);
    return SDB_OK;
}

sdb_status sdb_get_copy(sdb_keyspace *keyspace, sdb_slice key, void *buffer, size_t capacity,
                        size_t *out_size)
{
    struct copying c;
    sdb_status status = SDB_NOTFOUND;

    if (!keyspace || !out_size || (!buffer && capacity))
        return FAIL(SDB_INVALID, "sdb_get_copy: an argument is NULL");
    TRY(sdb__db_alive(keyspace->db));
    TRY(sdb__key_judge(key));
    sdb__copy_begin(&c, keyspace, bytes_of(key), buffer, capacity);
    if (!atomic_load_explicit(&keyspace->dropped, memory_order_acquire))
        status = sdb__btree_get(&keyspace->tree, bytes_of(key), sdb__copy_value, &c);
    return sdb__copy_end(&c, status, out_size);
}
