/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readahead.h: pages that will be wanted soon, read several at a time while nobody waits.
 *
 * Whoever knows which pages come next begins their reads, and before using one lands it: then it is
 * in memory, or as good as never asked for. All of it is a hint: what cannot be read is not an
 * error here, but where the page is used.
 *
 * Reads in flight hold frames until they are landed. There are never more of them than
 * READAHEAD_MOST, nor than a sixteenth of the frames; and all that is in flight in a pager is a
 * quarter (fetch.h).
 *
 * Threads: a readahead belongs to one; any number of them.
 */
#ifndef SDB_ENGINE_PAGER_READAHEAD_H
#define SDB_ENGINE_PAGER_READAHEAD_H

#include "engine/pager/fetch.h"

enum { READAHEAD_MOST = 64 };

/* Zero-initialise, but for the pager; sdb__readahead_done. */
struct readahead {
    struct pager *pager;
    struct io_queue *queue; /* lent while something is in flight */
    struct fetch *fetches;  /* READAHEAD_MOST; NULL before the first read */
    uint64_t flying;        /* one bit for each fetch in flight */
};

/* How many may be in flight at once. */
unsigned sdb__readahead_most(const struct readahead *ahead);
/* Begins to read those of the pages that are not in memory. Returns how many it began. */
unsigned sdb__readahead_begin(struct readahead *ahead, const uint64_t *ids, unsigned count);
/* Waits for page `id`, if that is in flight, and takes in what else has come. */
void sdb__readahead_land(struct readahead *ahead, uint64_t id);
/* Waits for all that is in flight: it holds nothing then but its memory. */
void sdb__readahead_stop(struct readahead *ahead);
/* The same, and gives its memory back. */
void sdb__readahead_done(struct readahead *ahead);

#endif
