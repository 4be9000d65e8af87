/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch.h: bringing absent pages into frames, one and waiting, or many at once.
 *
 *     sdb__fetch_begin(pager, id, &fetch, &answer)
 *       FETCH_HERE   the page is in memory
 *       FETCH_BUSY   somebody has it latched exclusively: it is being read, or changed; or fetches,
 *                    which hold frames, have a quarter of the cache already, or all of it is in use
 *       FETCH_BEGUN  submit fetch.op to a queue; when it has come back: sdb__fetch_end
 *
 * Between begin and end the page is as absent as before, and nothing is latched: others may bring
 * it in meanwhile, or change it; what was read for nothing is thrown away then.
 *
 * Threads: any; a fetch belongs to one.
 */
#ifndef SDB_ENGINE_PAGER_FETCH_H
#define SDB_ENGINE_PAGER_FETCH_H

#include "engine/pager/map.h"
#include "engine/pager/pager.h"

struct fetch {
    struct io_op op;
    uint64_t id, word;
    uint32_t frame;
    struct map_entry entry;
};

enum fetch_answer { FETCH_HERE, FETCH_BUSY, FETCH_BEGUN };

/* Fails as latching the page would; it is as absent as before then. */
SDB_MUST_USE sdb_status sdb__fetch_begin(struct pager *pager, uint64_t id, struct fetch *fetch,
                                         enum fetch_answer *out_answer);
/*
 * Judges what was read and publishes the page, unlatched, unless that is of no use any more: then
 * look for it anew. On failure it is as absent as before.
 */
SDB_MUST_USE sdb_status sdb__fetch_end(struct pager *pager, struct fetch *fetch);

/*
 * Brings in a page whose word, which was `word`, the caller has latched exclusively, and leaves it
 * latched with `latch` instead. On failure the word is as it was.
 */
SDB_MUST_USE sdb_status sdb__fetch_latched(struct pager *pager, uint64_t id, uint64_t word,
                                           uint64_t latch);

#endif
