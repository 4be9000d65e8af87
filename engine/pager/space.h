/* SPDX-License-Identifier: Apache-2.0 */
/*
 * space.h: which blocks of the database file are in use.
 *
 * A *block* is SPACE_BLOCK bytes; a *run* is consecutive blocks. Nothing of this is on disk: it is
 * rebuilt from the page map when a database is opened. Not locked: the pager's map lock covers it.
 *
 * A block is *owned* while the page map, now or as of a checkpoint, needs it, and *held* while a
 * kept checkpoint (kept.h) does. It may be both; it is free, and given out, when it is neither. Who
 * owns blocks takes and gives them run by run; what is held is said as a whole.
 */
#ifndef SDB_ENGINE_PAGER_SPACE_H
#define SDB_ENGINE_PAGER_SPACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sdb/db.h>

enum { SPACE_BLOCK = 512 };

/* A *unit* is so many blocks, aligned: what is noted of free space that nobody takes. */
enum { SPACE_UNIT = 128, SPACE_IDLE = 2, SPACE_HOLE = 255 };

/* A set of blocks. */
struct block_set {
    uint64_t *words; /* one bit a block */
    size_t capacity; /* in words; blocks behind them are not in the set */
    uint64_t end;    /* one past the last block in it */
};

struct space {
    const sdb_allocator *allocator;
    uint64_t *words;      /* one bit a block, 1 is owned */
    size_t word_capacity;
    struct block_set held;
    uint64_t end;         /* blocks from here on have never been used, or were given back */
    uint64_t used;        /* blocks below end that are owned or held */
    uint64_t owned;
    uint64_t cursor;      /* next-fit: where the next search begins */
    bool append;          /* gaps are left alone, runs are taken at the end */
    uint64_t hopeless;    /* no free run below `end` is as long as this; 0: not known */
    /* of each unit: at how many ends of checkpoints it was free, no block taken in between; up to
     * SPACE_IDLE, or SPACE_HOLE: it is one */
    uint8_t *idle;
    size_t idle_capacity;
    uint64_t holes;       /* units that are */
};

/* Zero blocks in use, the first `reserved` ones excepted. Owned: sdb__space_done. */
SDB_MUST_USE sdb_status sdb__space_init(struct space *space, const sdb_allocator *allocator,
                                        uint64_t reserved);
void sdb__space_done(struct space *space);

/* Takes a run of `count` blocks (> 0), at the end of the file if there is no gap. */
SDB_MUST_USE sdb_status sdb__space_take(struct space *space, uint64_t count,
                                        uint64_t *out_first);
/* Marks a run as owned; SDB_CORRUPT (without a sentence) when a part of it is owned already. */
SDB_MUST_USE sdb_status sdb__space_claim(struct space *space, uint64_t first, uint64_t count);
/* Gives a run back; all of it must be owned. */
void sdb__space_give(struct space *space, uint64_t first, uint64_t count);

/*
 * Takes the first free run of at least `least` blocks at or behind `from`, whole. SDB_END: there is
 * none below the end.
 */
SDB_MUST_USE sdb_status sdb__space_take_free(struct space *space, uint64_t from, uint64_t least,
                                             uint64_t *out_first, uint64_t *out_count);

/* Adds a run to a set. */
SDB_MUST_USE sdb_status sdb__blocks_add(const sdb_allocator *allocator, struct block_set *set,
                                        uint64_t first, uint64_t count);
/* Makes *to, which is empty, a copy. */
SDB_MUST_USE sdb_status sdb__blocks_copy(const sdb_allocator *allocator,
                                         const struct block_set *from, struct block_set *to);
/* Adds what is owned in a space map. */
SDB_MUST_USE sdb_status sdb__blocks_add_owned(const sdb_allocator *allocator,
                                              struct block_set *set, const struct space *space);
bool sdb__blocks_has(const struct block_set *set, uint64_t block);
void sdb__blocks_done(const sdb_allocator *allocator, struct block_set *set);

/* Makes the map reach to block `end`, so that what lies below it can be held. */
SDB_MUST_USE sdb_status sdb__space_reach(struct space *space, uint64_t end);
/* From now on these blocks are held, and no others. Takes the set over; the map reaches its end. */
void sdb__space_hold(struct space *space, struct block_set *held);
/* Whether a part of the run is held. */
bool sdb__space_is_held(const struct space *space, uint64_t first, uint64_t count);

/* Notes at the end of a checkpoint which units of [from, from + count) are free. */
void sdb__space_age(struct space *space, uint64_t from, uint64_t count);
/* Units that end at or before the file's end. */
uint64_t sdb__space_units(const struct space *space);
/*
 * Takes the first run of idle units among [from, from + count), at least `least` of them and no
 * more than `most`. SDB_END: there is none.
 */
SDB_MUST_USE sdb_status sdb__space_take_idle(struct space *space, uint64_t from, uint64_t count,
                                             uint64_t least, uint64_t most, uint64_t *out_first,
                                             uint64_t *out_count);
/* Gives a run of blocks back of which a hole has been made. */
void sdb__space_give_hole(struct space *space, uint64_t first, uint64_t count);

/* The next search begins at the first block. */
void sdb__space_rewind(struct space *space);

/* Forgets free blocks at the end: `end` is then one past the last used block. */
void sdb__space_shrink(struct space *space);

#endif
