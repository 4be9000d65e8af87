/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packing.h: how a keyspace's pages are packed, as options, in the catalog and in the log.
 *
 * Everywhere inside it is one number: algorithm (enum pack_algorithm) in bits 0…7, level in bits
 * 8…15. 0 is a keyspace without compression.
 */
#ifndef SDB_INDEX_KV_PACKING_H
#define SDB_INDEX_KV_PACKING_H

#include <stdbool.h>
#include <sdb/kv.h>

#include "engine/pager/pack.h"

enum { PACKING_SIZE = 4 }; /* bytes of it in the log, little-endian */

/* True if there can be such a number. */
bool sdb__packing_is_known(uint32_t packing);

/* The number for options (NULL: the defaults); SDB_INVALID for senseless ones. */
SDB_MUST_USE sdb_status sdb__packing_of_options(const sdb_keyspace_options *options,
                                                uint32_t *out_packing);

/* For pager_options.packing; the context is the sdb_db. */
struct packing sdb__packing_of_page(void *context, const uint8_t *data, uint32_t page_size);

#endif
