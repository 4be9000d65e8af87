/* SPDX-License-Identifier: Apache-2.0 */
/*
 * freeing.c: the pages of dropped keyspaces, and of what deleted ranges cut off, given back.
 *
 * Idea: a tree that nobody reads any more is taken apart from its end backwards, a few hundred
 * pages at a time, so that what is left is a tree after every step. Its catalog entry, which is all
 * that leads to it, goes with the last page.
 *
 *     dropped, or cut off → unfreed ──a step──→ … ──a step──→ gone
 *                              └──a page of it cannot be read──→ leaked, until the next open
 *
 * Where a page is damaged the way ends. What is in front of it could be reached only by doubting
 * the rest of the tree too, and a page that is freed wrongly is somebody else's. So the rest stays
 * as it is, with its entry: nothing uses it, `sdb check` names the damage, and no data is lost,
 * only the space; but a backup, which reads every page there is, is refused. It is tried anew when
 * the database is opened again, since what could not be read may have been the disk's fault; that
 * costs a path of the tree.
 *
 * Invariants: I1 a dropped keyspace's pages are freed only when no snapshot is older than its drop,
 *   and its entry "d" goes with the last. I2 so are those of a subtree that was cut off, but at
 *   once: no snapshot was open then; its entry is "c". I3 a step that meets damage has changed
 *   nothing, or left a smaller tree (sdb__btree_free_some). I4 a keyspace's dictionaries outlive
 *   all of its pages, leaked ones as well.
 * Costs: a step holds commit_lock. Not here: how a tree is taken apart (index/btree/btree_write.c).
 */
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"
#include "index/kv/database.h"
#include "index/kv/dict.h"

/* "d" + id of a keyspace (u32), or "c" + page id (u64), big-endian. */
struct entry_key {
    uint8_t data[9];
    size_t size;
};

static struct bytes bytes_of(const struct entry_key *key)
{
    return (struct bytes){key->data, key->size};
}

static struct entry_key drop_key(uint32_t id)
{
    struct entry_key key = {{'d'}, 5};

    put_u32(key.data + 1, htobe32(id));
    return key;
}

static struct entry_key cut_key(uint64_t root)
{
    struct entry_key key = {{'c'}, 9};

    put_u64(key.data + 1, htobe64(root));
    return key;
}

static sdb_status ignore(void *context, const struct btree_value *value)
{
    (void)context;
    (void)value;
    return SDB_OK;
}

/* ---- what was cut off --------------------------------------------------------------------- */

sdb_status sdb__keyspace_note_cut(sdb_db *db, uint32_t id, uint64_t root)
{
    TRY(sdb__mem_reserve(db->allocator, &db->cuts, &db->cut_capacity, db->cut_count + 1,
                         sizeof *db->cuts));
    db->cuts[db->cut_count++] = (struct keyspace_cut){root, id};
    atomic_fetch_add(&db->unfreed, 1);
    return SDB_OK;
}

sdb_status sdb__keyspace_keep_cuts(sdb_db *db, size_t first)
{
    for (size_t i = first; i < db->cut_count; i++) {
        struct entry_key key = cut_key(db->cuts[i].root);
        uint8_t id[4];
        struct btree_value value = {.data = {id, sizeof id}};

        put_u32(id, db->cuts[i].id);
        TRY(sdb__btree_put(&db->catalog, bytes_of(&key), &value, ignore, NULL));
    }
    return SDB_OK;
}

/* ---- steps -------------------------------------------------------------------------------- */

enum outcome { MORE, FREED, LEAKED };

/* Frees some of a tree that nobody uses; its catalog entry goes with the last page. */
static sdb_status free_step(sdb_db *db, const struct btree *tree, const struct entry_key *key,
                            enum outcome *out)
{
    bool done = false;
    sdb_status status;

    TRY(sdb__db_alive(db));
    TRY(sdb__pager_reserve(db->pager, 64));
    status = sdb__btree_free_some(tree, &done);
    db->changed = true;
    *out = done ? FREED : MORE;
    if ((status == SDB_CORRUPT || status == SDB_IO) && !done && !MUTANT(leaked_tree_kills)) {
        *out = LEAKED;
        atomic_fetch_add(&db->leaked, 1);
        atomic_fetch_sub(&db->unfreed, 1);
        return SDB_OK;
    }
    if (status == SDB_OK && done)
        status = sdb__btree_del(&db->catalog, bytes_of(key), ignore, NULL);
    if (status != SDB_OK) return sdb__db_kill(db, status);
    if (done) atomic_fetch_sub(&db->unfreed, 1);
    return SDB_OK;
}

/* Does a keyspace have pages that stay, which its dictionaries may have packed? */
static bool is_needed(const sdb_db *db, uint32_t id)
{
    for (size_t i = 0; i < db->leaked_cuts; i++)
        for (size_t j = 0; db->cuts[i].id == id && j < db->dict_count; j++)
            if (db->dicts[j].keyspace == id) return true;
    return false;
}

/* Frees a step of a dropped keyspace. *out_done: there is no more to do. */
static sdb_status free_dropped(sdb_db *db, sdb_keyspace *keyspace, bool *out_done)
{
    struct entry_key key = drop_key(keyspace->tree.id);
    enum outcome outcome = LEAKED;
    sdb_status status;

    *out_done = true;
    if (keyspace->freed) return sdb__db_alive(db);
    if (is_needed(db, keyspace->tree.id)) {
        atomic_fetch_add(&db->leaked, 1);
        atomic_fetch_sub(&db->unfreed, 1);
    } else {
        TRY(free_step(db, &keyspace->tree, &key, &outcome));
    }
    *out_done = keyspace->freed = outcome != MORE;
    if (outcome != FREED) return SDB_OK;
    status = sdb__dicts_drop(db, keyspace->tree.id);
    return status == SDB_OK ? SDB_OK : sdb__db_kill(db, status);
}

/* Frees a step of what was cut off last. SDB_END: nothing is left that can be. */
static sdb_status free_cut(sdb_db *db)
{
    struct btree tree = {.pager = db->pager};
    struct keyspace_cut *last, swapped;
    enum outcome outcome;
    struct entry_key key;

    if (db->cut_count == db->leaked_cuts) return SDB_END;
    last = &db->cuts[db->cut_count - 1];
    tree.root = last->root;
    tree.id = last->id;
    key = cut_key(tree.root);
    TRY(free_step(db, &tree, &key, &outcome));
    if (outcome == FREED) db->cut_count--;
    if (outcome != LEAKED) return SDB_OK;
    swapped = *last;
    *last = db->cuts[db->leaked_cuts];
    db->cuts[db->leaked_cuts++] = swapped;
    return SDB_OK;
}

/* ---- all of it ---------------------------------------------------------------------------- */

/* Frees all that was cut off. */
static sdb_status free_cuts(sdb_db *db)
{
    sdb_status status = SDB_OK;

    while (status == SDB_OK) {
        (void)pthread_mutex_lock(&db->commit_lock);
        status = free_cut(db);
        (void)pthread_mutex_unlock(&db->commit_lock);
    }
    return status == SDB_END ? SDB_OK : status;
}

static sdb_status free_all(sdb_db *db)
{
    uint64_t oldest;

    if (atomic_load(&db->unfreed) == 0 || db->readonly) return SDB_OK;
    /*
     * Asked first: a keyspace that was dropped by then has no part that is cut off later, and goes
     * after those that were. Its dictionaries go with it.
     */
    oldest = sdb__snapshot_oldest(db);
    TRY(free_cuts(db));
    for (size_t i = 0;; i++) {
        sdb_keyspace *keyspace;
        uint64_t dropped;
        bool done = false;

        (void)pthread_mutex_lock(&db->keyspace_lock);
        keyspace = i < db->keyspace_count ? db->keyspaces[i] : NULL;
        dropped = keyspace ? atomic_load(&keyspace->dropped) : 0;
        if (i >= db->keyspace_count) {
            (void)pthread_mutex_unlock(&db->keyspace_lock);
            return SDB_OK;
        }
        (void)pthread_mutex_unlock(&db->keyspace_lock);
        if (!dropped || dropped > oldest) continue;
        while (!done) {
            sdb_status status;

            (void)pthread_mutex_lock(&db->commit_lock);
            status = free_dropped(db, keyspace, &done);
            (void)pthread_mutex_unlock(&db->commit_lock);
            if (status != SDB_OK) return status;
        }
    }
}

sdb_status sdb__keyspaces_tidy(sdb_db *db)
{
    sdb_status status = free_all(db);

    return sdb__db_alive(db) == SDB_OK ? SDB_OK : status;
}
