/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_run.h: what verify.c, verify_tree.c and verify_log.c share: one verification on its way.
 */
#ifndef SDB_INDEX_KV_VERIFY_RUN_H
#define SDB_INDEX_KV_VERIFY_RUN_H

#include <stdbool.h>

#include "engine/pager/map.h"
#include "engine/pager/pack.h"
#include "index/btree/node.h"
#include "index/kv/verify.h"

struct verify_run {
    const struct verify *what;
    const char *name; /* of the snapshot that is verified; NULL: the checkpoint itself */
    struct io_queue *queue;
    struct superblock superblock; /* of the checkpoint that is walked */
    uint32_t page_size;
    struct pack_room *room;       /* to unpack pages in */
    struct dictionaries dictionaries; /* that the catalog leads to */
    struct map map;
    bool map_damaged;    /* and said so: that ids are missing is no news then */
    uint64_t id_limit;   /* ids below it may be in the map */
    uint64_t *reached;   /* one bit an id: something leads to it */
    uint64_t *unsound;   /* one bit an id: its page cannot be read, or is no node */
    /*
     * A verification that is done, of a checkpoint that may have much in common with this one: what
     * has the same map entry in both stands in the same blocks. NULL: none.
     */
    const struct verify_run *known;
    /*
     * For each id of an extent that was read and is sound: 1 + unused bytes of its last block; else
     * 0. NULL: there are no snapshots that would ask.
     */
    uint16_t *extents;
    /* some of a tree could not be walked, so not all that is unreached is lost */
    bool incomplete;
    uint64_t done, total; /* progress, in pages */
    sdb_check_result result;
};

/* Reports a problem. */
void sdb__verify_problem(struct verify_run *run, const char *format, ...)
    __attribute__((format(printf, 2, 3), cold));

/* Counts pages as done; SDB_CANCELLED if the caller wants to stop. */
SDB_MUST_USE sdb_status sdb__verify_step(struct verify_run *run, uint64_t pages);

/*
 * Reads a page. *out_wrong: NULL, or what is wrong with it (in `room`). Other answers than SDB_OK:
 * give up.
 */
enum { VERIFY_WRONG_ROOM = 300 };
SDB_MUST_USE sdb_status sdb__verify_page(struct verify_run *run, uint64_t id, uint8_t *page,
                                         char room[VERIFY_WRONG_ROOM], const char **out_wrong);

/* Verifies what superblock leads to; queue, room, page_size are set. Ended by done in any case. */
SDB_MUST_USE sdb_status sdb__verify_checkpoint(struct verify_run *run);
void sdb__verify_checkpoint_done(struct verify_run *run);

/* ---- verify_kept.c ---- */
/* Reads what is kept beside the checkpoint, and counts its blocks as used. */
SDB_MUST_USE sdb_status sdb__verify_kept(struct verify_run *run);

/* ---- verify_tree.c ---- */
/* Walks the catalog and every tree it names. */
SDB_MUST_USE sdb_status sdb__verify_trees(struct verify_run *run);

/*
 * Judges a catalog entry that leads to a dictionary, but for the extent. NULL, or what is wrong.
 */
const char *sdb__verify_dict(struct verify_run *run, struct bytes key, enum node_kind kind,
                             struct bytes value, uint32_t *out_keyspace);
/* ---- verify_dict.c ---- */
/*
 * Reads the dictionaries that the catalog leads to, before any page is read. Says nothing of
 * damage: that is found again when the catalog is walked.
 */
SDB_MUST_USE sdb_status sdb__verify_dictionaries(struct verify_run *run);

/* ---- verify_log.c ---- */
/* Reads the log that the superblock names. */
SDB_MUST_USE sdb_status sdb__verify_log(struct verify_run *run);

static inline bool verify_bit(const uint64_t *bits, uint64_t id)
{
    return bits[id / 64] >> (id % 64) & 1;
}

static inline void verify_set_bit(uint64_t *bits, uint64_t id)
{
    bits[id / 64] |= UINT64_C(1) << (id % 64);
}

/* The verification that has met what an id stands for, in the same blocks; NULL: none. */
static inline const struct verify_run *verify_known(const struct verify_run *run, uint64_t id)
{
    const struct verify_run *known = run->known;
    struct map_entry here, there;

    if (!known || id >= known->id_limit) return NULL;
    here = sdb__map_get(&run->map, id);
    there = sdb__map_get(&known->map, id);
    return here.place == there.place && here.checksum == there.checksum ? known : NULL;
}

/* Need a page not be read by itself, since a sound one with the same bytes was? */
static inline bool verify_page_is_known(const struct verify_run *run, uint64_t id)
{
    const struct verify_run *known = verify_known(run, id);

    return known && !verify_bit(known->unsound, id);
}

#endif
