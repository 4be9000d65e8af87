/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keyspace.c: the catalog: names, and the trees they stand for.
 *
 * Idea: a keyspace is made and dropped by a commit of its own, logged like any other change. The
 * catalog is read once, when the database is opened; afterwards the table of handles answers, and
 * the tree only keeps.
 * Invariants: I1 a keyspace's id is never given again.
 * Costs: a handle in memory for each keyspace. Not here: nested names, what options mean
 *   (packing.c), freeing what was dropped (freeing.c).
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/status.h"
#include "index/kv/database.h"
#include "index/kv/dict.h"
#include "index/kv/packing.h"

static struct bytes text(const char *s)
{
    return (struct bytes){(const uint8_t *)s, strlen(s)};
}

/* "k" + name, "n", "d" or "t" + id. */
struct catalog_key {
    uint8_t data[1 + SDB_KEYSPACE_NAME_MAX];
    struct bytes bytes;
};

static void make_key(struct catalog_key *key, char kind, struct bytes rest)
{
    key->data[0] = (uint8_t)kind;
    if (rest.size) memcpy(key->data + 1, rest.data, rest.size);
    key->bytes = (struct bytes){key->data, rest.size + 1};
}

static void make_id_key(struct catalog_key *key, char kind, uint32_t id)
{
    uint8_t big[4] = {(uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};

    make_key(key, kind, (struct bytes){big, sizeof big});
}

static void make_drop_key(struct catalog_key *key, uint32_t id)
{
    make_id_key(key, 'd', id);
}

static sdb_status ignore(void *context, const struct btree_value *value)
{
    (void)context;
    (void)value;
    return SDB_OK;
}

static sdb_status catalog_put(sdb_db *db, const struct catalog_key *key, const uint8_t *data,
                              size_t size)
{
    struct btree_value value = {.data = {data, size}};

    return sdb__btree_put(&db->catalog, key->bytes, &value, ignore, NULL);
}

static sdb_status catalog_del(sdb_db *db, const struct catalog_key *key)
{
    return sdb__btree_del(&db->catalog, key->bytes, ignore, NULL);
}

/* The index of the first handle whose number is >= id. */
static size_t find_handle(const sdb_db *db, uint32_t id)
{
    size_t low = 0, high = db->keyspace_count;

    if (high && db->keyspaces[high - 1]->tree.id < id) return high; /* what is new comes last */
    while (low < high) {
        size_t middle = (low + high) / 2;

        if (db->keyspaces[middle]->tree.id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

sdb_keyspace *sdb__keyspace_by_id(sdb_db *db, uint32_t id)
{
    size_t at = find_handle(db, id);

    return at < db->keyspace_count && db->keyspaces[at]->tree.id == id ? db->keyspaces[at] : NULL;
}

uint32_t sdb__keyspace_packing(sdb_db *db, uint32_t id, const struct dictionary **out_dictionary)
{
    const sdb_keyspace *keyspace;
    uint32_t packing;

    (void)pthread_mutex_lock(&db->keyspace_lock);
    keyspace = sdb__keyspace_by_id(db, id);
    packing = keyspace ? keyspace->packing : 0;
    *out_dictionary = keyspace ? keyspace->dictionary : NULL;
    (void)pthread_mutex_unlock(&db->keyspace_lock);
    return packing;
}

/* Enters a keyspace in the table of handles, before the one at `at`. */
static sdb_status add_handle(sdb_db *db, size_t at, uint32_t id, uint64_t root, struct bytes name,
                             uint32_t packing, sdb_keyspace **out)
{
    sdb_keyspace *keyspace = sdb__mem_zalloc(db->allocator, 1, sizeof *keyspace);
    sdb_status status = SDB_NOMEM;

    if (keyspace) {
        (void)pthread_mutex_lock(&db->keyspace_lock);
        status = sdb__mem_reserve(db->allocator, &db->keyspaces, &db->keyspace_capacity,
                                  db->keyspace_count + 1, sizeof(sdb_keyspace *));
        if (status == SDB_OK) {
            keyspace->db = db;
            keyspace->tree = (struct btree){db->pager, root, id, &keyspace->last_leaf};
            keyspace->packing = packing;
            if (name.size) memcpy(keyspace->name, name.data, name.size);
            memmove(db->keyspaces + at + 1, db->keyspaces + at,
                    (db->keyspace_count - at) * sizeof(sdb_keyspace *));
            db->keyspaces[at] = keyspace;
            db->keyspace_count++;
            if (db->next_keyspace <= id) db->next_keyspace = id + 1;
        }
        (void)pthread_mutex_unlock(&db->keyspace_lock);
    }
    if (status != SDB_OK) {
        sdb__mem_free(db->allocator, keyspace);
        return status;
    }
    *out = keyspace;
    return SDB_OK;
}

static sdb_status bad_entry(sdb_db *db)
{
    return FAIL(SDB_CORRUPT, "%s: the catalog of keyspaces is damaged: run sdb check, restore a "
                "backup", db->path);
}

/* Takes over one catalog entry. */
static sdb_status load_entry(sdb_db *db, const uint8_t *key, size_t key_size, struct bytes value)
{
    sdb_keyspace *keyspace;
    uint32_t id;

    if (key_size == 1 && key[0] == 'n' && value.size == 4) {
        if (db->next_keyspace < get_u32(value.data)) db->next_keyspace = get_u32(value.data);
        return SDB_OK;
    }
    if (key[0] == 'k' && key_size <= SDB_KEYSPACE_NAME_MAX + 1 && value.size == CATALOG_VALUE) {
        id = get_u32(value.data);
        if (id == CATALOG_TREE || id >= db->next_keyspace ||
            !sdb__packing_is_known(get_u32(value.data + 4)))
            return bad_entry(db);
        return add_handle(db, db->keyspace_count, id, get_u64(value.data + 8),
                          (struct bytes){key + 1, key_size - 1}, get_u32(value.data + 4),
                          &keyspace);
    }
    if (key[0] == 'd' && key_size == 5 && value.size == 8) {
        id = (uint32_t)key[1] << 24 | (uint32_t)key[2] << 16 | (uint32_t)key[3] << 8 | key[4];
        if (id == CATALOG_TREE || id >= db->next_keyspace) return bad_entry(db);
        TRY(add_handle(db, db->keyspace_count, id, get_u64(value.data), (struct bytes){NULL, 0},
                       0, &keyspace));
        atomic_store(&keyspace->dropped, 1);
        atomic_fetch_add(&db->unfreed, 1);
        return SDB_OK;
    }
    if (key[0] == 'c' && key_size == 9 && value.size == 4) {
        id = get_u32(value.data);
        if (id == CATALOG_TREE || id >= db->next_keyspace) return bad_entry(db);
        return sdb__keyspace_note_cut(db, id, be64toh(get_u64(key + 1)));
    }
    if (key[0] == 't' && key_size == 5 && value.size == 8) return SDB_OK; /* load_ttl */
    return bad_entry(db);
}

/* Takes over a time to live, once the keyspaces are there. */
static sdb_status load_ttl(sdb_db *db, struct bytes key, enum node_kind kind, struct bytes value)
{
    sdb_keyspace *keyspace;

    if (key.data[0] != 't') return SDB_OK;
    (void)kind; /* load_any has judged its form */
    keyspace = sdb__keyspace_by_id(db, be32toh(get_u32(key.data + 1)));
    if (!keyspace || atomic_load(&keyspace->dropped)) return bad_entry(db);
    sdb__keyspace_take_ttl(keyspace, get_u64(value.data));
    return SDB_OK;
}

static sdb_status load_next_id(void *context, const struct btree_value *value)
{
    sdb_db *db = context;

    if (value && !value->is_extent && value->data.size == 4)
        db->next_keyspace = get_u32(value->data.data);
    return SDB_OK;
}

static int compare_ids(const void *a, const void *b)
{
    const sdb_keyspace *const *x = a, *const *y = b;

    return ((*x)->tree.id > (*y)->tree.id) - ((*x)->tree.id < (*y)->tree.id);
}

/* Puts the table, which was read in the order of names, into that of numbers. */
static sdb_status order_handles(sdb_db *db)
{
    if (db->keyspace_count)
        qsort(db->keyspaces, db->keyspace_count, sizeof(sdb_keyspace *), compare_ids);
    for (size_t i = 1; i < db->keyspace_count; i++)
        if (db->keyspaces[i]->tree.id == db->keyspaces[i - 1]->tree.id) return bad_entry(db);
    return SDB_OK;
}

typedef sdb_status (*entry_fn)(sdb_db *db, struct bytes key, enum node_kind kind,
                               struct bytes value);

static sdb_status load_any(sdb_db *db, struct bytes key, enum node_kind kind, struct bytes value)
{
    sdb_status status = SDB_CORRUPT;

    if (key.data[0] == 'z') status = sdb__dict_load(db, key, kind, value);
    else if (kind == NODE_INLINE) status = load_entry(db, key.data, key.size, value);
    return status == SDB_CORRUPT ? bad_entry(db) : status;
}

/* Takes over all entries of the catalog in their order. */
static sdb_status load_entries(sdb_db *db, entry_fn take)
{
    struct btree_leaf leaf = {.allocator = db->allocator};
    struct btree_place place = {{NULL, 0}, BTREE_NATURAL, false};
    uint8_t room[PAGE_SIZE_MOST / 8 + 8], key[PAGE_SIZE_MOST / 8];
    sdb_status status = SDB_OK;

    do {
        if (status == SDB_OK)
            status = sdb__btree_leaf_read(&db->catalog, place, false, 0, NULL, NULL, &leaf);
        for (unsigned i = 0; status == SDB_OK && i < node_count(leaf.node); i++) {
            enum node_kind kind;
            size_t size = sdb__node_key(leaf.node, i, key);
            struct bytes payload = node_payload(leaf.node, i, &kind);

            status = size ? take(db, (struct bytes){key, size}, kind, payload) : bad_entry(db);
        }
    } while (status == SDB_OK && sdb__btree_leaf_after(&leaf, room, &place));
    sdb__btree_leaf_done(&leaf);
    return status;
}

sdb_status sdb__keyspaces_load(sdb_db *db)
{
    struct catalog_key n;

    db->next_keyspace = CATALOG_TREE + 1;
    make_key(&n, 'n', (struct bytes){NULL, 0});
    TRY(sdb__btree_get(&db->catalog, n.bytes, load_next_id, db));
    TRY(load_entries(db, load_any));
    TRY(order_handles(db));
    if (sdb__pager_superblock(db->pager)->features & FEATURE_EXPIRY)
        TRY(load_entries(db, load_ttl));
    return sdb__dicts_ready(db);
}

void sdb__keyspaces_done(sdb_db *db)
{
    for (size_t i = 0; i < db->keyspace_count; i++)
        sdb__mem_free(db->allocator, db->keyspaces[i]);
    sdb__mem_free(db->allocator, db->keyspaces);
    sdb__mem_free(db->allocator, db->cuts);
}

sdb_status sdb__keyspace_apply_make(sdb_db *db, uint32_t id, struct bytes name, uint32_t packing,
                                    uint64_t commit)
{
    uint8_t value[CATALOG_VALUE] = {0}, next[4];
    struct catalog_key key, n;
    sdb_keyspace *keyspace;
    uint64_t root;

    if (name.size == 0 || name.size > SDB_KEYSPACE_NAME_MAX || sdb__keyspace_by_id(db, id) ||
        !sdb__packing_is_known(packing))
        return bad_entry(db);
    if (packing) sdb__pager_need_feature(db->pager, FEATURE_PACKING);
    TRY(sdb__btree_make(db->pager, id, &root));
    put_u32(value, id);
    put_u32(value + 4, packing);
    put_u64(value + 8, root);
    put_u64(value + 16, commit);
    (void)pthread_mutex_lock(&db->keyspace_lock);
    /* A keyspace with a larger id may have been committed before. */
    put_u32(next, db->next_keyspace > id ? db->next_keyspace : id + 1);
    (void)pthread_mutex_unlock(&db->keyspace_lock);
    make_key(&key, 'k', name);
    make_key(&n, 'n', (struct bytes){NULL, 0});
    TRY(catalog_put(db, &key, value, sizeof value));
    TRY(catalog_put(db, &n, next, sizeof next));
    return add_handle(db, find_handle(db, id), id, root, name, packing, &keyspace);
}

sdb_status sdb__keyspace_apply_drop(sdb_db *db, uint32_t id, uint64_t commit)
{
    sdb_keyspace *keyspace = sdb__keyspace_by_id(db, id);
    struct catalog_key key;
    uint8_t root[8];

    if (!keyspace || atomic_load(&keyspace->dropped)) return bad_entry(db);
    put_u64(root, keyspace->tree.root);
    make_drop_key(&key, id);
    TRY(catalog_put(db, &key, root, sizeof root));
    make_key(&key, 'k', text(keyspace->name));
    TRY(catalog_del(db, &key));
    make_id_key(&key, 't', id);
    if (atomic_load(&keyspace->expiring)) TRY(catalog_del(db, &key));
    atomic_store(&keyspace->dropped, commit);
    atomic_fetch_add(&db->unfreed, 1);
    return SDB_OK;
}

sdb_status sdb__keyspace_keep_ttl(sdb_keyspace *keyspace, uint64_t ttl_ms)
{
    struct catalog_key key;
    uint8_t value[8];

    make_id_key(&key, 't', keyspace->tree.id);
    put_u64(value, ttl_ms);
    return catalog_put(keyspace->db, &key, value, sizeof value);
}

/* ---- public ------------------------------------------------------------------------------- */

/* The size of a well-formed UTF-8 sequence at `at`, or 0. */
static size_t utf8_size(const uint8_t *at, const uint8_t *end)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2
                  : at[0] < 0xf0 ? 3 : at[0] < 0xf5 ? 4 : 0;
    uint32_t code;

    if (size < 2) return size;
    if (size > (size_t)(end - at)) return 0;
    code = at[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80) return 0;
        code = code << 6 | (at[i] & 0x3f);
    }
    return code < least[size] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : size;
}

const char *sdb__keyspace_judge_name(struct bytes name)
{
    const uint8_t *at = name.data, *end = at + name.size;

    if (name.size == 0) return "a keyspace needs a name";
    while (at < end) {
        size_t step = utf8_size(at, end);

        if (!step) return "a keyspace's name must be UTF-8";
        if (*at < 0x20 || *at == 0x7f)
            return "a keyspace's name must not contain control characters";
        at += step;
    }
    return NULL;
}

static sdb_status check_name(const char *name)
{
    const char *wrong = sdb__keyspace_judge_name(text(name ? name : ""));

    if (wrong) return FAIL(SDB_INVALID, "%s", wrong);
    if (strlen(name) > SDB_KEYSPACE_NAME_MAX)
        return FAIL(SDB_LIMIT, "a keyspace's name has at most %u bytes; this one has %zu",
                    SDB_KEYSPACE_NAME_MAX, strlen(name));
    return SDB_OK;
}

static sdb_keyspace *find_by_name(sdb_db *db, const char *name)
{
    sdb_keyspace *found = NULL;

    (void)pthread_mutex_lock(&db->keyspace_lock);
    for (size_t i = 0; i < db->keyspace_count && !found; i++)
        if (db->keyspaces[i] && !atomic_load(&db->keyspaces[i]->dropped) &&
            strcmp(db->keyspaces[i]->name, name) == 0)
            found = db->keyspaces[i];
    (void)pthread_mutex_unlock(&db->keyspace_lock);
    return found;
}

/* Commits a single catalog operation, and a time to live if it is not 0. */
static sdb_status commit_op(sdb_db *db, enum op_code code, uint32_t id, struct bytes name,
                            struct bytes value, uint64_t ttl_ms)
{
    const struct op ttl = {.code = OP_TTL, .keyspace = id, .time = ttl_ms};
    struct write_set writes;
    sdb_status status;

    sdb__writes_init(&writes, db->allocator, false);
    status = sdb__writes_add(&writes, code, id, name, value, false);
    if (status == SDB_OK && ttl_ms) status = sdb__writes_add_timed(&writes, &ttl, false);
    if (status == SDB_OK) status = sdb__commit(db, &writes, NULL, NULL, SDB_DURABILITY_DEFAULT);
    sdb__writes_done(&writes);
    return status;
}

/* Opens a keyspace, or makes one with a packing and a time to live. */
static sdb_status open_or_make(sdb_db *db, const char *name, unsigned flags, uint32_t packing,
                               uint64_t ttl_ms, sdb_keyspace **out_keyspace)
{
    uint8_t options[PACKING_SIZE];
    sdb_keyspace *keyspace;
    uint32_t id;
    sdb_status status;

    put_u32(options, packing);
    TRY(sdb__db_alive(db));
    TRY(check_name(name));
    for (;;) {
        keyspace = find_by_name(db, name);
        if (keyspace && (flags & SDB_KEYSPACE_MUST_MAKE))
            return FAIL(SDB_EXISTS, "there is a keyspace \"%s\" already", name);
        if (keyspace) {
            *out_keyspace = keyspace;
            return SDB_OK;
        }
        if (flags & SDB_KEYSPACE_MUST_EXIST)
            return FAIL(SDB_NOTFOUND, "there is no keyspace \"%s\" in %s", name, db->path);
        if (db->readonly)
            return FAIL(SDB_READONLY, "there is no keyspace \"%s\", and %s is open for reading "
                        "only", name, db->path);
        (void)pthread_mutex_lock(&db->keyspace_lock);
        id = db->next_keyspace; /* whoever loses a race for the name wastes a number */
        if (id < UINT32_MAX) db->next_keyspace++;
        (void)pthread_mutex_unlock(&db->keyspace_lock);
        if (id == UINT32_MAX)
            return FAIL(SDB_LIMIT, "%s has used up the numbers for keyspaces: copy what it holds "
                        "to a new database", db->path);
        status = commit_op(db, OP_MAKE, id, text(name),
                           (struct bytes){options, packing ? sizeof options : 0}, ttl_ms);
        if (status != SDB_OK && status != SDB_EXISTS) return status;
        if (status == SDB_OK) flags &= ~(unsigned)SDB_KEYSPACE_MUST_MAKE;
    }
}

sdb_status sdb_keyspace_open(sdb_db *db, const char *name, unsigned flags,
                             sdb_keyspace **out_keyspace)
{
    if (!db || !out_keyspace) return FAIL(SDB_INVALID, "sdb_keyspace_open: an argument is NULL");
    return open_or_make(db, name, flags, 0, 0, out_keyspace);
}

/* The time to live in options, whose size has been judged. */
static uint64_t ttl_of(const sdb_keyspace_options *options)
{
    const size_t end = offsetof(sdb_keyspace_options, ttl_ms) + sizeof options->ttl_ms;

    return options && options->size >= end ? options->ttl_ms : 0;
}

sdb_status sdb_keyspace_make(sdb_db *db, const char *name, const sdb_keyspace_options *options,
                             sdb_keyspace **out_keyspace)
{
    uint32_t packing;

    if (!db || !out_keyspace) return FAIL(SDB_INVALID, "sdb_keyspace_make: an argument is NULL");
    TRY(sdb__packing_of_options(options, &packing));
    return open_or_make(db, name, SDB_KEYSPACE_MUST_MAKE, packing, ttl_of(options), out_keyspace);
}

sdb_status sdb_keyspace_drop(sdb_keyspace *keyspace)
{
    if (!keyspace) return FAIL(SDB_INVALID, "sdb_keyspace_drop: keyspace is NULL");
    TRY(sdb__db_alive(keyspace->db));
    if (keyspace->db->readonly)
        return FAIL(SDB_READONLY, "%s is open for reading only", keyspace->db->path);
    TRY(commit_op(keyspace->db, OP_DROP, keyspace->tree.id, (struct bytes){NULL, 0},
                  (struct bytes){NULL, 0}, 0));
    return sdb__keyspaces_tidy(keyspace->db);
}

const char *sdb_keyspace_name(const sdb_keyspace *keyspace)
{
    return keyspace->name;
}

sdb_status sdb_keyspace_next(sdb_db *db, const char *after,
                             char out_name[SDB_KEYSPACE_NAME_MAX + 1])
{
    const sdb_keyspace *best = NULL;

    if (!db || !out_name) return FAIL(SDB_INVALID, "sdb_keyspace_next: an argument is NULL");
    TRY(sdb__db_alive(db));
    (void)pthread_mutex_lock(&db->keyspace_lock);
    for (size_t i = 0; i < db->keyspace_count; i++) {
        const sdb_keyspace *k = db->keyspaces[i];

        if (!k || atomic_load(&k->dropped) || (after && strcmp(k->name, after) <= 0)) continue;
        if (!best || strcmp(k->name, best->name) < 0) best = k;
    }
    if (best) memcpy(out_name, best->name, sizeof best->name);
    (void)pthread_mutex_unlock(&db->keyspace_lock);
    return best ? SDB_OK : SDB_END;
}
