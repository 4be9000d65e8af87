/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dict.c
 *
 * Idea: dictionaries are part of the file, not of what is in it: the log knows nothing of them, and
 * whoever replays it packs pages in his own way. So one is kept by a change of the catalog and the
 * next checkpoint.
 * Invariants: I1 a page that a checkpoint has was packed with a dictionary that this checkpoint has
 *   too. A page image goes to disk at any time between two cuts, so a dictionary packs only once a
 *   checkpoint with it is durable, and ends with the last page of its keyspace, in the same cut.
 *   I2 no two of a database ever had the same number while it was open.
 * Costs: all are read when the database is opened, at most DICTIONARIES_MOST bytes, and digested
 *   when they are used. Not here: making them (train.c).
 */
#include "index/kv/dict.h"

#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/mem.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"

static uint32_t get_big(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static void put_big(uint8_t *to, uint32_t number)
{
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(number >> (24 - 8 * i));
}

static void make_key(uint8_t key[DICT_KEY], uint32_t keyspace, uint32_t number)
{
    key[0] = 'z';
    put_big(key + 1, keyspace);
    put_big(key + 5, number);
}

bool sdb__dict_parse(struct bytes key, uint32_t *out_keyspace, uint32_t *out_number)
{
    if (key.size != DICT_KEY || key.data[0] != 'z') return false;
    *out_keyspace = get_big(key.data + 1);
    *out_number = get_big(key.data + 5);
    return *out_keyspace != CATALOG_TREE && *out_number >= 1 &&
           *out_number <= DICTIONARY_NUMBER_MOST;
}

static sdb_status note(sdb_db *db, struct kept_dict dict)
{
    TRY(sdb__mem_reserve(db->allocator, &db->dicts, &db->dict_capacity, db->dict_count + 1,
                         sizeof *db->dicts));
    db->dicts[db->dict_count++] = dict;
    return SDB_OK;
}

sdb_status sdb__dict_load(sdb_db *db, struct bytes key, enum node_kind kind, struct bytes value)
{
    struct kept_dict dict;

    if (kind != NODE_EXTENT || !sdb__dict_parse(key, &dict.keyspace, &dict.number))
        return SDB_CORRUPT;
    dict.extent = get_u64(value.data);
    dict.size = get_u64(value.data + 8);
    if (dict.size < DICTIONARY_LEAST || dict.size > DICTIONARY_MOST) return SDB_CORRUPT;
    return note(db, dict);
}

/* Reads one into `memory` and adds it to the set; `level` 0: it packs no more. */
static sdb_status read_one(sdb_db *db, const struct kept_dict *dict, unsigned level,
                           uint8_t *memory, const struct dictionary **out, bool *out_good)
{
    struct extent extent;
    sdb_status status = sdb__pager_extent_find(db->pager, dict->extent, dict->size, &extent);

    if (status == SDB_OK) status = sdb__pager_extent_read(db->pager, &extent, memory);
    if (status != SDB_OK && status != SDB_CORRUPT) return status;
    *out_good = status == SDB_OK;
    status = sdb__dictionaries_add(&db->dictionaries, dict->number, *out_good ? memory : NULL,
                                   (size_t)dict->size, level, out);
    if (status == SDB_EXISTS)
        return FAIL(SDB_CORRUPT, "%s: two dictionaries have the number %u: run sdb check, restore "
                    "a backup", db->path, dict->number);
    if (status == SDB_LIMIT)
        return FAIL(SDB_CORRUPT, "%s: its dictionaries count for more than %u bytes, which sdb "
                    "never writes: run sdb check, restore a backup", db->path, DICTIONARIES_MOST);
    return status; /* of one that is damaged the pages that name it say so */
}

sdb_status sdb__dicts_ready(sdb_db *db)
{
    uint8_t *memory;
    sdb_status status = SDB_OK;

    if (db->dict_count == 0) return SDB_OK;
    memory = sdb__mem_alloc(db->allocator, DICTIONARY_MOST);
    if (!memory) return SDB_NOMEM;
    for (size_t i = 0; status == SDB_OK && i < db->dict_count; i++) {
        const struct kept_dict *dict = &db->dicts[i];
        sdb_keyspace *keyspace = sdb__keyspace_by_id(db, dict->keyspace);
        bool newest = i + 1 == db->dict_count || dict[1].keyspace != dict->keyspace;
        unsigned level = keyspace ? keyspace->packing >> 8 : 0;
        const struct dictionary *d = NULL;
        bool good = false;

        if (!keyspace)
            status = FAIL(SDB_CORRUPT, "%s: dictionary %u is of no keyspace: run sdb check, "
                          "restore a backup", db->path, dict->number);
        else
            status = read_one(db, dict, newest && !db->readonly ? level : 0, memory, &d, &good);
        if (status == SDB_OK && newest && good) keyspace->dictionary = d;
    }
    sdb__mem_free(db->allocator, memory);
    return status;
}

void sdb__dicts_done(sdb_db *db)
{
    sdb__mem_free(db->allocator, db->dicts);
    sdb__dictionaries_done(&db->dictionaries);
}

unsigned sdb__dict_count(sdb_db *db, uint32_t keyspace)
{
    unsigned count = 0;

    (void)pthread_mutex_lock(&db->commit_lock);
    for (size_t i = 0; i < db->dict_count; i++) count += db->dicts[i].keyspace == keyspace;
    (void)pthread_mutex_unlock(&db->commit_lock);
    return count;
}

void sdb__dict_use(sdb_keyspace *keyspace, const struct dictionary *dictionary)
{
    (void)pthread_mutex_lock(&keyspace->db->keyspace_lock);
    keyspace->dictionary = dictionary;
    (void)pthread_mutex_unlock(&keyspace->db->keyspace_lock);
}

static sdb_status ignore(void *context, const struct btree_value *value)
{
    (void)context;
    (void)value;
    return SDB_OK;
}

/* Enters a written extent as dictionary of a keyspace. Under commit_lock. */
static sdb_status enter(sdb_keyspace *keyspace, const struct extent *extent, uint32_t number)
{
    sdb_db *db = keyspace->db;
    uint8_t key[DICT_KEY];
    struct extent back;
    struct kept_dict dict = {keyspace->tree.id, number, 0, extent->size};
    struct btree_value value = {.is_extent = true, .size = extent->size};
    sdb_status status;

    TRY(sdb__db_alive(db));
    if (atomic_load(&keyspace->dropped))
        return FAIL(SDB_NOTFOUND, "keyspace \"%s\" has been dropped", keyspace->name);
    TRY(sdb__pager_reserve(db->pager, RESERVE_PAGES));
    TRY(sdb__mem_reserve(db->allocator, &db->dicts, &db->dict_capacity, db->dict_count + 1,
                         sizeof *db->dicts));
    TRY(sdb__pager_extent_adopt(db->pager, extent, &dict.extent));
    value.extent = dict.extent;
    make_key(key, keyspace->tree.id, number);
    status = sdb__btree_put(&db->catalog, (struct bytes){key, sizeof key}, &value, ignore, NULL);
    db->changed = true;
    if (status == SDB_OK) {
        sdb__pager_need_feature(db->pager, FEATURE_DICTIONARIES);
        return note(db, dict);
    }
    if (sdb__pager_extent_detach(db->pager, dict.extent, dict.size, &back) != SDB_OK)
        return sdb__db_kill(db, status); /* it would be lost in the next checkpoint */
    return status;
}

sdb_status sdb__dict_keep(sdb_keyspace *keyspace, const void *bytes, size_t size,
                          const struct dictionary **out)
{
    sdb_db *db = keyspace->db;
    uint32_t number = sdb__dictionaries_last(&db->dictionaries) + 1;
    struct extent extent;
    sdb_status status;

    if (sdb__dict_count(db, keyspace->tree.id) >= DICTS_OF_A_KEYSPACE)
        return FAIL(SDB_LIMIT, "keyspace \"%s\" has %u dictionaries, which is the most: copy it to "
                    "another one, and drop it", keyspace->name, DICTS_OF_A_KEYSPACE);
    if (number > DICTIONARY_NUMBER_MOST)
        return FAIL(SDB_LIMIT, "%s has used up the numbers for dictionaries: copy what it holds to "
                    "a new database", db->path);
    status = sdb__dictionaries_add(&db->dictionaries, number, bytes, size,
                                   keyspace->packing >> 8, out);
    if (status == SDB_LIMIT)
        return FAIL(SDB_LIMIT, "%s: all dictionaries together, with those that were dropped or "
                    "could not be kept since it was opened, count for at most %u bytes: drop "
                    "keyspaces that have some, and open it again", db->path, DICTIONARIES_MOST);
    TRY(status);
    TRY(sdb__dictionary_ready(*out));
    TRY(sdb__pager_extent_write(db->pager, bytes, size, &extent));
    (void)pthread_mutex_lock(&db->commit_lock);
    status = enter(keyspace, &extent, number);
    (void)pthread_mutex_unlock(&db->commit_lock);
    if (status != SDB_OK) sdb__pager_extent_release(db->pager, &extent);
    if (status == SDB_OK && MUTANT(dictionary_used_before_it_is_durable))
        sdb__dict_use(keyspace, *out);
    return status;
}

/* Takes one out of the catalog. Under commit_lock. */
static sdb_status drop_one(sdb_db *db, const struct kept_dict *dict)
{
    uint8_t key[DICT_KEY];
    struct extent extent;
    sdb_status status;

    make_key(key, dict->keyspace, dict->number);
    TRY(sdb__btree_del(&db->catalog, (struct bytes){key, sizeof key}, ignore, NULL));
    status = sdb__pager_extent_detach(db->pager, dict->extent, dict->size, &extent);
    if (status == SDB_CORRUPT) return SDB_OK; /* there is none that could be given back */
    if (status == SDB_OK) sdb__pager_extent_release(db->pager, &extent);
    return status;
}

sdb_status sdb__dicts_drop(sdb_db *db, uint32_t keyspace)
{
    size_t kept = 0;

    for (size_t i = 0; i < db->dict_count; i++) {
        if (db->dicts[i].keyspace == keyspace)
            TRY(drop_one(db, &db->dicts[i]));
        else
            db->dicts[kept++] = db->dicts[i];
    }
    db->dict_count = kept;
    return SDB_OK;
}
