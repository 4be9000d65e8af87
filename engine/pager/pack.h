/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack.h: pages made smaller on their way to the file, and whole again on their way back.
 *
 * A packed page is, in the file, a head of PACK_HEAD bytes (size of what follows u32, algorithm u8,
 * number of a dictionary u24, or zeros), what the algorithm made of the page or of its dense form,
 * and zeros to the end of the last block. It takes at least a block less than the page would, or
 * the page is written as it is.
 *
 * What is unpacked may be anything: no more than page_size bytes are ever written, and what does
 * not give exactly as many is refused.
 *
 * Threads: a room is used by one at a time.
 */
#ifndef SDB_ENGINE_PAGER_PACK_H
#define SDB_ENGINE_PAGER_PACK_H

#include <stdint.h>
#include <sdb/db.h>

#include "engine/pager/dictionary.h"

enum { PACK_HEAD = 8, PACK_PAGES = 32 };

/* as in the file; PACK_ZSTD_WITH: with a dictionary; + PACK_DENSE: of the page's dense form */
enum pack_algorithm { PACK_NONE = 0, PACK_LZ4 = 1, PACK_ZSTD = 2, PACK_ZSTD_WITH = 3 };
enum { PACK_DENSE = 4 };

enum { PACK_ZSTD_LEVEL = 3, PACK_ZSTD_LEVEL_MOST = 19 };

/* How a page is to be packed. */
struct packing {
    uint8_t algorithm; /* enum pack_algorithm */
    uint8_t level;     /* ZSTD: 1…PACK_ZSTD_LEVEL_MOST; 0: PACK_ZSTD_LEVEL */
    const struct dictionary *dictionary; /* ZSTD: one that can pack; NULL: none */
};

/*
 * How pages are put that are to be packed, so that they become smaller, by who knows what is in
 * them. The page that comes back need not have the same bytes, but means the same.
 */
struct pack_dense {
    /* Writes the dense form of a page, at most page_size bytes. Returns how many. */
    size_t (*make)(const uint8_t *page, uint32_t page_size, uint8_t *to);
    /* Makes the page of `dense`, which may be anything: NULL, or what is wrong with it. */
    const char *(*undo)(const uint8_t *dense, size_t size, uint8_t *page, uint32_t page_size);
};

/* Memory to work in: PACK_PAGES pages, two more, and what the algorithms need. */
struct pack_room;

/*
 * `dictionaries`: those that pages may name; NULL: none. `dense`: NULL: pages are packed as they
 * are, and no others unpacked. Both are borrowed as long as the room is.
 */
SDB_MUST_USE sdb_status sdb__pack_room_new(const sdb_allocator *allocator, uint32_t page_size,
                                           struct dictionaries *dictionaries,
                                           const struct pack_dense *dense,
                                           struct pack_room **out_room);
void sdb__pack_room_free(struct pack_room *room); /* NULL is allowed */

/* Page number `index` of the room, aligned for the disk. Borrowed. */
uint8_t *sdb__pack_room_page(struct pack_room *room, unsigned index);

/*
 * Packs a page into `to` (page_size bytes). The bytes to be written, whole blocks; 0: packing it
 * would save less than a block.
 */
size_t sdb__pack(struct pack_room *room, struct packing how, const uint8_t *page, uint8_t *to);

/*
 * Turns the `size` bytes of whole blocks in memory[0…page_size) into the page they were made of.
 * *out_wrong: NULL, or what is wrong with them. SDB_NOMEM for a dictionary: nothing is known of
 * them. In both cases `memory` means nothing then.
 */
SDB_MUST_USE sdb_status sdb__unpack(struct pack_room *room, uint8_t *memory, size_t size,
                                    const char **out_wrong);

/* A list of rooms that wait for their next use. Not locked. Zero-initialise. */
struct pack_rooms {
    struct pack_room *first;
};
struct pack_room *sdb__pack_rooms_take(struct pack_rooms *rooms); /* NULL: there is none */
void sdb__pack_rooms_add(struct pack_rooms *rooms, struct pack_room *room);
void sdb__pack_rooms_done(struct pack_rooms *rooms);

#endif
