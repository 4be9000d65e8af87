/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packing.c
 *
 * Idea: a page says of which tree it is, and the table of keyspaces says how those are packed.
 * Invariants: I1 a node that is asked about is sound, or made by us.
 * Costs: a short lock and a binary search for each page that is written. Not here: the algorithms
 *   (engine/pager/pack.c).
 */
#include "index/kv/packing.h"

#include <string.h>

#include "engine/base/status.h"
#include "engine/pager/superblock.h"
#include "index/kv/database.h"
#include "index/kv/dict.h"

bool sdb__packing_is_known(uint32_t packing)
{
    uint32_t algorithm = packing & 0xff, level = packing >> 8;

    return algorithm == PACK_ZSTD ? level >= 1 && level <= PACK_ZSTD_LEVEL_MOST
                                  : algorithm <= PACK_LZ4 && level == 0;
}

sdb_status sdb__packing_of_options(const sdb_keyspace_options *options, uint32_t *out_packing)
{
    sdb_keyspace_options o = {0};

    if (options) {
        if (options->size < sizeof(size_t) + sizeof o.compression)
            return FAIL(SDB_INVALID, "keyspace options: size is not set: begin with "
                        "SDB_KEYSPACE_OPTIONS_INIT");
        memcpy(&o, options, options->size < sizeof o ? options->size : sizeof o);
    }
    if (o.compression < SDB_COMPRESSION_NONE || o.compression > SDB_COMPRESSION_ZSTD)
        return FAIL(SDB_INVALID, "keyspace options: compression %d is unknown",
                    (int)o.compression);
    if (o.level && o.compression != SDB_COMPRESSION_ZSTD)
        return FAIL(SDB_INVALID, "keyspace options: only zstd has levels");
    if (o.level > SDB_COMPRESSION_LEVEL_MAX)
        return FAIL(SDB_INVALID, "keyspace options: level %u: it must be from 1 to %u", o.level,
                    SDB_COMPRESSION_LEVEL_MAX);
    if (o.compression == SDB_COMPRESSION_ZSTD && !o.level) o.level = PACK_ZSTD_LEVEL;
    *out_packing = (uint32_t)o.compression | o.level << 8;
    return SDB_OK;
}

struct packing sdb__packing_of_page(void *context, const uint8_t *data, uint32_t page_size)
{
    sdb_db *db = context;
    struct node n = {(uint8_t *)(uintptr_t)data, page_size};
    const struct dictionary *dictionary;
    uint32_t packing = sdb__keyspace_packing(db, node_tree(n), &dictionary);

    if (packing == 0) return (struct packing){.algorithm = PACK_NONE};
    sdb__pager_need_feature(db->pager, FEATURE_DENSE);
    if (dictionary && !dictionary->level) dictionary = NULL; /* whoever only reads */
    return (struct packing){(uint8_t)packing, (uint8_t)(packing >> 8), dictionary};
}

/* ---- what a keyspace takes ---------------------------------------------------------------- */

struct taking {
    sdb_db *db;
    sdb_keyspace_stats *stats;
};

static void add_page(void *context, uint64_t id)
{
    struct taking *t = context;
    bool packed;

    t->stats->pages++;
    t->stats->stored_bytes += sdb__pager_page_bytes(t->db->pager, id, &packed);
    t->stats->compressed_pages += packed;
}

/* Adds the pages up, under a snapshot: they stay as long if the keyspace is dropped meanwhile. */
static sdb_status walk_pages(sdb_keyspace *keyspace, struct taking *taking)
{
    struct snapshot snapshot;
    sdb_status status;

    sdb__snapshot_open(keyspace->db, &snapshot);
    if (atomic_load_explicit(&keyspace->dropped, memory_order_acquire))
        status = FAIL(SDB_NOTFOUND, "keyspace \"%s\" has been dropped", keyspace->name);
    else
        status = sdb__btree_pages(&keyspace->tree, add_page, taking);
    sdb__snapshot_close(keyspace->db, &snapshot);
    return status;
}

sdb_status sdb_keyspace_stat(sdb_keyspace *keyspace, sdb_keyspace_stats *out_stats)
{
    sdb_keyspace_stats s = {.size = sizeof s};
    const struct dictionary *dictionary;
    struct taking taking;

    if (!keyspace || !out_stats)
        return FAIL(SDB_INVALID, "sdb_keyspace_stat: an argument is NULL");
    if (out_stats->size < sizeof(size_t))
        return FAIL(SDB_INVALID, "sdb_keyspace_stat: set out_stats->size to "
                    "sizeof(sdb_keyspace_stats) first");
    TRY(sdb__db_alive(keyspace->db));
    s.compression = (sdb_compression)(keyspace->packing & 0xff);
    s.level = keyspace->packing >> 8;
    (void)sdb__keyspace_packing(keyspace->db, keyspace->tree.id, &dictionary);
    s.dictionary_bytes = dictionary ? dictionary->size : 0;
    s.dictionaries = sdb__dict_count(keyspace->db, keyspace->tree.id);
    taking = (struct taking){keyspace->db, &s};
    TRY(walk_pages(keyspace, &taking));
    s.page_bytes = s.pages * sdb__pager_page_size(keyspace->db->pager);
    s.size = out_stats->size;
    memcpy(out_stats, &s, out_stats->size < sizeof s ? out_stats->size : sizeof s);
    return SDB_OK;
}
