/* SPDX-License-Identifier: Apache-2.0 */
/*
 * space.h: which blocks of the database file are in use.
 *
 * A *block* is SPACE_BLOCK bytes; a *run* is consecutive blocks. Nothing of this is on disk: it is
 * rebuilt from the page map when a database is opened. Not locked: the pager's map lock covers it.
 */
#ifndef SDB_ENGINE_PAGER_SPACE_H
#define SDB_ENGINE_PAGER_SPACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sdb/db.h>

enum { SPACE_BLOCK = 512 };

struct space {
    const sdb_allocator *allocator;
    uint64_t *words;      /* one bit a block, 1 is used */
    size_t word_capacity;
    uint64_t end;         /* blocks from here on have never been used, or were given back */
    uint64_t used;        /* blocks in use below end */
    uint64_t cursor;      /* next-fit: where the next search begins */
    bool append;          /* gaps are left alone, runs are taken at the end */
    uint64_t hopeless;    /* no free run below `end` is as long as this; 0: not known */
};

/* Zero blocks in use, the first `reserved` ones excepted. Owned: sdb__space_done. */
SDB_MUST_USE sdb_status sdb__space_init(struct space *space, const sdb_allocator *allocator,
                                        uint64_t reserved);
void sdb__space_done(struct space *space);

/* Takes a run of `count` blocks (> 0), at the end of the file if there is no gap. */
SDB_MUST_USE sdb_status sdb__space_take(struct space *space, uint64_t count,
                                        uint64_t *out_first);
/* Marks a given run as used; SDB_CORRUPT (without a sentence) when a part of it is used already. */
SDB_MUST_USE sdb_status sdb__space_claim(struct space *space, uint64_t first, uint64_t count);
/* Gives a run back; all of it must be in use. */
void sdb__space_give(struct space *space, uint64_t first, uint64_t count);

/*
 * Takes the first free run of at least `least` blocks at or behind `from`, whole. SDB_END: there is
 * none below the end.
 */
SDB_MUST_USE sdb_status sdb__space_take_free(struct space *space, uint64_t from, uint64_t least,
                                             uint64_t *out_first, uint64_t *out_count);

/* The next search begins at the first block. */
void sdb__space_rewind(struct space *space);

/* Forgets free blocks at the end: `end` is then one past the last used block. */
void sdb__space_shrink(struct space *space);

#endif
