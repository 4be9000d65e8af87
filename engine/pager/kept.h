/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kept.h: checkpoints that stay: a table of names, and the blocks that are held for them.
 *
 * A checkpoint is found from its superblock alone, and nothing that it leads to is overwritten as
 * long as its blocks are not given out. So a checkpoint is kept by writing down what its superblock
 * said, and by holding its blocks (space.h). The *table* of what is kept stands where the newest
 * superblock says, and is written anew when it changes: with a checkpoint, which makes the change
 * last or leaves everything as it was.
 *
 *     superblock ─→ directory ─→ chunks ─→ pages                     now
 *         └─→ table ─→ "monday"  ─→ directory ─→ chunks ─→ pages     most of them the same
 *                  └─→ "tuesday" ─→ directory ─→ …
 *
 * The table is records of KEPT_RECORD bytes, in ascending order of names:
 *
 *   0 sequence   8 LSN   16 commit   24 kept at (Unix ms)   32 directory place   40 its checksum
 *  48 map chunks   56 page limit   64 catalog root   72 end in blocks   80 features u32
 *  84 zeros u32   88 name, zeros after it                    (u64 where nothing else is said)
 *
 * What is in pager.h of it is locked by itself; what is here is for the pager's own files.
 */
#ifndef SDB_ENGINE_PAGER_KEPT_H
#define SDB_ENGINE_PAGER_KEPT_H

#include "engine/pager/map.h"
#include "engine/pager/pager.h"

enum { KEPT_RECORD = 88 + PAGER_KEPT_NAME + 1 };

struct kept {
    struct pager_kept is;
    unsigned users; /* who reads it; it cannot be let go meanwhile */
};

struct kept_list {
    struct kept **items; /* in the order of names */
    size_t count, capacity;
};

/* The pager's: under map_lock, but for `next`, which the checkpoint has. */
struct kept_state {
    struct kept_list list;
    struct map_entry table; /* where it stands; place 0: there is none */
    unsigned users;         /* who reads all of them */
    bool held;              /* what they need is in the space map: false for reading only */
    bool changing;          /* the checkpoint being written changes it to: */
    struct kept_list next_list;
    struct map_entry next_table;
    struct block_set next_held;
    struct kept *comes, *goes; /* what is in one of the lists only */
};

/* One record to and from bytes. False: it cannot be; `main` is the superblock that names it. */
void sdb__kept_encode(const struct pager_kept *from, uint8_t to[KEPT_RECORD]);
bool sdb__kept_decode(const uint8_t from[KEPT_RECORD], const struct superblock *main,
                      struct pager_kept *out);

/*
 * Reads the table that a superblock names. SDB_CORRUPT: it is damaged. *out_records is owned
 * (allocator), and NULL if there are none.
 */
SDB_MUST_USE sdb_status sdb__kept_read(const sdb_allocator *allocator, struct io_queue *queue,
                                       struct io_file *file, const struct superblock *superblock,
                                       struct pager_kept **out_records);

/* ---- for the pager's files ------------------------------------------------------------------ */

/* Takes over what the file's superblock says is kept, and holds it unless for reading only. */
SDB_MUST_USE sdb_status sdb__kept_load(struct pager *pager, struct io_queue *queue,
                                       const struct superblock *superblock);
/*
 * Adds the blocks that the page maps of a list refer to, and those that these stand in. One that
 * is damaged gives what can be read of it.
 */
SDB_MUST_USE sdb_status sdb__kept_collect(struct pager *pager, struct io_queue *queue,
                                          const struct kept_list *list, struct block_set *set);
/* Keeps what has a name from being let go; SDB_NOTFOUND. */
SDB_MUST_USE sdb_status sdb__kept_use(struct pager *pager, const char *name,
                                      struct kept **out_kept);
void sdb__kept_unuse(struct pager *pager, struct kept *kept);
/* Enters what comes with the checkpoint being written into its superblock. */
void sdb__kept_enter(const struct pager *pager, struct superblock *next);
/* The checkpoint being written has become durable; under map_lock, before the map hears of it. */
void sdb__kept_settle(struct pager *pager);
/* It was given up. */
void sdb__kept_forget(struct pager *pager);
void sdb__kept_done(struct pager *pager);

#endif
