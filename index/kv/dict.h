/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dict.h: the dictionaries that a database keeps, each for one keyspace.
 *
 * A dictionary is an extent, to which the catalog entry "z" + number of the keyspace (u32,
 * big-endian) + its own number (likewise) leads. A keyspace may have several, for pages that were
 * packed with an older one stay as they are; new ones are packed with the highest number.
 */
#ifndef SDB_INDEX_KV_DICT_H
#define SDB_INDEX_KV_DICT_H

#include "index/kv/database.h"

enum { DICT_KEY = 9, DICTS_OF_A_KEYSPACE = 16 };

/* What the catalog's key says. False: it is no such key. */
bool sdb__dict_parse(struct bytes key, uint32_t *out_keyspace, uint32_t *out_number);

/* Takes over a catalog entry while the catalog is being read; SDB_CORRUPT without a sentence. */
SDB_MUST_USE sdb_status sdb__dict_load(sdb_db *db, struct bytes key, enum node_kind kind,
                                       struct bytes value);
/*
 * Reads those taken over, once all keyspaces are known. One that is damaged is not missed before a
 * page asks for it.
 */
SDB_MUST_USE sdb_status sdb__dicts_ready(sdb_db *db);
void sdb__dicts_done(sdb_db *db);

/*
 * Keeps a dictionary for a keyspace, and gives it a number. It must not be used for packing before
 * a checkpoint that has it is durable: then sdb__dict_use. Takes commit_lock. SDB_LIMIT: the
 * keyspace has too many. SDB_NOTFOUND: it has been dropped.
 */
SDB_MUST_USE sdb_status sdb__dict_keep(sdb_keyspace *keyspace, const void *bytes, size_t size,
                                       const struct dictionary **out);
void sdb__dict_use(sdb_keyspace *keyspace, const struct dictionary *dictionary);
/* How many a keyspace has. */
unsigned sdb__dict_count(sdb_db *db, uint32_t keyspace);
/* Ends those of a keyspace whose last page has gone. Under commit_lock. */
SDB_MUST_USE sdb_status sdb__dicts_drop(sdb_db *db, uint32_t keyspace);

#endif
