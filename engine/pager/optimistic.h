/* SPDX-License-Identifier: Apache-2.0 */
/*
 * optimistic.h: reading a page without latching it.
 *
 * A reader looks at the page's state word, reads the page, and looks at the word again: if it is
 * the same, nobody has changed the page meanwhile, and what was read is true. Readers so write no
 * shared memory, and never wait.
 *
 *     sdb__optimistic_begin(pager, id, &seen)      false: latch it instead (or bring it in)
 *     … read seen.data: anything may stand there, even half of a change …
 *     sdb__optimistic_holds(pager, &seen)          false: forget what was read, begin again
 *
 * Rules
 *   R1 Nothing read is acted upon before it holds, but for reading on: a child's id may be looked
 *   up, a size be used to read within OPTIMISTIC_APRON of the frame.
 *   R2 Sizes and offsets taken from the page are bounded (u16 fields) so that no read leaves the
 *   apron, whatever stands there: there is readable memory that far on both sides of all frames.
 *   R3 A page leaves its frame, and is changed, only under its exclusive latch, which changes the
 *   word; frames stay mapped as long as the pager is open.
 *
 * The version in the word comes back after 2^24 exclusive latches of one page: a reader would have
 * to sleep in the middle of a read for all of them, and wake at the very one.
 *
 * Threads: any. Under ThreadSanitizer begin always says false, since it cannot see that what was
 * read in vain is thrown away: there, everything is latched.
 * Source: optimistic lock coupling, Leis et al., IEEE Data Eng. Bull. 2019; fences as in Boehm, Can
 * Seqlocks Get Along with Programming Language Memory Models?, MSPC 2012.
 */
#ifndef SDB_ENGINE_PAGER_OPTIMISTIC_H
#define SDB_ENGINE_PAGER_OPTIMISTIC_H

#include "engine/pager/pager.h"

/* slots: 65535 × 8 bytes; then an offset, a suffix and a value of at most 64 KiB each */
enum { OPTIMISTIC_APRON = 2 * 1024 * 1024 };

struct optimistic {
    const uint8_t *data; /* page_size bytes */
    uint64_t id;
    uint64_t word;       /* the state word as it was */
};

/* False: the page is not in memory, is being changed, or cannot exist. */
bool sdb__optimistic_begin(struct pager *pager, uint64_t id, struct optimistic *out_seen);
/* True: everything read from the page since begin was so. */
bool sdb__optimistic_holds(struct pager *pager, const struct optimistic *seen);

/* Counts `pages` optimistic reads that held as hits of the cache (latch.c, beside its own). */
void sdb__optimistic_count(struct pager *pager, uint64_t pages);

/* Brings a page into memory; what latching it says. */
SDB_MUST_USE sdb_status sdb__optimistic_fetch(struct pager *pager, uint64_t id);

#endif
