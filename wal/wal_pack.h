/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_pack.h: payloads of records made shorter with LZ4, and as they were again.
 *
 * A payload is packed by itself, so a record can be read without those before it, and a damaged one
 * takes no other with it. Small ones, and those that LZ4 does not make shorter by an eighth, stay
 * as they are; so a log of data that cannot be compressed costs the attempt and no space.
 *
 * Threads: a packer belongs to one appender; unpacking needs room of the reader's own.
 */
#ifndef SDB_WAL_WAL_PACK_H
#define SDB_WAL_WAL_PACK_H

#include "wal/wal_format.h"

enum { WAL_PACK_LEAST = 256 /* bytes of a payload from which packing is tried */ };

struct wal_packer {
    void *state;     /* LZ4's, 16 KiB */
    uint8_t *raw;    /* WAL_RECORD_MAX bytes: the caller puts the payload here */
    uint8_t *packed; /* the same: what came of it */
};

/* SDB_NOMEM; what was allocated then is freed by _done all the same. */
SDB_MUST_USE sdb_status sdb__wal_packer_init(struct wal_packer *packer,
                                             const sdb_allocator *allocator);
void sdb__wal_packer_done(struct wal_packer *packer, const sdb_allocator *allocator);

/* Packs the first `size` bytes of `raw` into `packed`. Returns its bytes; 0: not worth it. */
size_t sdb__wal_pack(struct wal_packer *packer, size_t size);

/*
 * *out_payload: the payload of a verified record as it was given, record->raw bytes; in *room,
 * WAL_RECORD_MAX bytes that are allocated when they are first needed and are the caller's to free,
 * unless it stands in the record as it is. SDB_CORRUPT: it does not unpack, and no writer made it.
 */
SDB_MUST_USE sdb_status sdb__wal_unpack(const sdb_allocator *allocator,
                                        const struct wal_record *record, uint64_t lsn,
                                        const uint8_t *payload, uint8_t **room,
                                        const uint8_t **out_payload);

#endif
