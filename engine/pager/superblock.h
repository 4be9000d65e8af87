/* SPDX-License-Identifier: Apache-2.0 */
/*
 * superblock.h: the two places from which everything else is found.
 *
 * A database file begins with two slots of SUPERBLOCK_SIZE bytes. A checkpoint writes the slot that
 * does not hold the newest superblock; a clean close writes the same superblock to both. The valid
 * one with the higher sequence number counts. docs/format/file.md says the same in full.
 *
 *   0 magic "sdb file"   8 format u32   12 features u32   16 page size u32   20 block size u32
 *  24 database id 16    40 sequence    48 LSN            56 commit sequence 64 log id (0: no log)
 *  72 directory place   80 directory checksum            88 map chunks      96 page limit
 * 104 catalog root     112 end of the file in blocks    120 made, 128 written (Unix ms)
 * 136 place of the table of kept checkpoints (kept.h), 144 its checksum, 152 how many it lists
 * 160 log of the last commit      168 zeros              4088 digest of the bytes before it
 * (u64 where nothing else is said)
 */
#ifndef SDB_ENGINE_PAGER_SUPERBLOCK_H
#define SDB_ENGINE_PAGER_SUPERBLOCK_H

#include "engine/io/io.h"

enum {
    SUPERBLOCK_SIZE = 4096,
    SUPERBLOCK_SLOTS = 2,
    SUPERBLOCK_FORMAT = 1,
    FEATURE_PACKING = 1,      /* keyspaces may have a packing, pages may be packed */
    FEATURE_KEPT = 2,         /* there are kept checkpoints, whose blocks must not be reused */
    FEATURE_EXPIRY = 4,       /* keyspaces may have a time to live, values an expiry */
    FEATURE_DICTIONARIES = 8, /* pages may be packed with dictionaries, which the catalog has */
    FEATURE_DENSE = 16,       /* packed pages may be packed in their dense form */
    /* those that this library knows */
    SUPERBLOCK_FEATURES = FEATURE_PACKING | FEATURE_KEPT | FEATURE_EXPIRY | FEATURE_DICTIONARIES |
                          FEATURE_DENSE,
    SUPERBLOCK_KEPT_MOST = 1000,
    PAGE_SIZE_LEAST = 4096,
    PAGE_SIZE_MOST = 65536
};

struct superblock {
    uint32_t page_size;
    uint32_t features;
    uint8_t database_id[16];
    uint64_t sequence;
    uint64_t lsn;      /* the log from here on is not in the checkpoint */
    uint64_t commit;   /* number of the last commit in the checkpoint */
    uint64_t log_id;   /* the log that goes on from lsn; 0: there is none, the checkpoint is all */
    uint64_t history;  /* the log that the last commit came from; 0: none, or not known */
    uint64_t directory_place;
    uint64_t directory_checksum;
    uint64_t chunks;     /* map chunks that the directory lists */
    uint64_t page_limit; /* page ids below this may be in use */
    uint64_t catalog_root;
    uint64_t end_block;  /* nothing of the checkpoint stands at or beyond it */
    uint64_t made_ms, written_ms;
    uint64_t kept_place; /* table of kept checkpoints; 0: there are none */
    uint64_t kept_checksum;
    uint64_t kept_count;
};

void sdb__superblock_encode(const struct superblock *from, uint8_t to[SUPERBLOCK_SIZE]);

/* True if the fields agree with each other, as far as they lead to one checkpoint. */
bool sdb__superblock_is_plausible(const struct superblock *superblock);

/*
 * SDB_INVALID: no sdb file, or a newer format (the sentence says which); SDB_CORRUPT: damaged.
 */
SDB_MUST_USE sdb_status sdb__superblock_decode(const uint8_t from[SUPERBLOCK_SIZE],
                                               struct superblock *out);

/* What a look at both slots found. */
struct superblock_pair {
    sdb_status status[SUPERBLOCK_SLOTS];
    struct superblock slot[SUPERBLOCK_SLOTS];
    unsigned newest; /* index of the one that counts */
};

/* Reads both slots and chooses. Fails when neither is good, with the sentence of the worse news. */
SDB_MUST_USE sdb_status sdb__superblock_read(struct io_queue *queue, struct io_file *file,
                                             struct superblock_pair *out_pair);

/* Writes a slot; not durable before a sync. */
SDB_MUST_USE sdb_status sdb__superblock_write(struct io_queue *queue, struct io_file *file,
                                              unsigned slot, const struct superblock *superblock);

#endif
