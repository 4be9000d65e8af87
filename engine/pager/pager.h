/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pager.h: pages that look like memory, and checkpoints that make them last.
 *
 * Words. A *page* is page_size bytes with an id that never changes. A *frame* is memory that holds
 * a page. A *place* is a run of blocks in the file where a page's bytes stand; the *page map* tells
 * for each id its place and the checksum of what stands there. An *extent* is a run of bytes of any
 * length, with an id and a map entry like a page, but written once and read whole; it never lives
 * in a frame. A *checkpoint* is the state of all pages at one instant, on disk, found from a
 * superblock.
 *
 * Promises
 *   P1 A place that the last durable checkpoint (or one being written) refers to is never
 *   overwritten: changed
 *      pages go to free blocks, and blocks that fall out of use in checkpoint N are free once N + 1
 *      is durable.
 *   P2 What comes back from disk is what was written there, or the answer is SDB_CORRUPT: the
 *   checksum stands in
 *      the map, so a torn, lost or misdirected write is seen.
 *   P3 Between the cut and the end of a checkpoint pages may change: the first change after the cut
 *   writes
 *      the page's old image first.
 *   P4 Memory for frames, page map and state words stays within the cache size, whatever is asked,
 *      but for POOL_FRAMES_LEAST frames. A checkpoint may copy changed chunks of the map meanwhile.
 *
 * Latches. A page is used under its latch: shared (many, reading) or exclusive (one, changing).
 * Latch from the root of a tree downwards, left to right; hold few. Before the first change under
 * an exclusive latch call sdb__pager_dirty, which may fail; nothing has changed then. Latches are
 * spin-then-yield: hold them briefly.
 *
 * Threads: every call from any thread, except where a line says otherwise.
 */
#ifndef SDB_ENGINE_PAGER_PAGER_H
#define SDB_ENGINE_PAGER_PAGER_H

#include "engine/io/io.h"
#include "engine/pager/pack.h"
#include "engine/pager/superblock.h"

struct pager;

enum { PAGE_NONE = 0 }; /* no page has id 0 */
#define PAGE_ID_MOST UINT64_C(0xfffffffe)

/* A latched page. Borrowed until unlatched. */
struct page {
    uint8_t *data;
    uint64_t id;
};

/* Where an extent stands. `place` 0: nowhere. */
struct extent {
    uint64_t place;
    uint64_t checksum;
    uint64_t size; /* bytes */
};

struct pager_options {
    struct io *io;
    struct io_file *file;        /* borrowed until close */
    const sdb_allocator *allocator;
    uint64_t cache_bytes; /* frames, page map, state words */
    sdb_cache_policy cache_policy;
    bool readonly;
    /*
     * Judges a page that was read, so that those who use it need not doubt its structure: NULL, or
     * what is wrong with it. May be NULL.
     */
    const char *(*verify)(const uint8_t *data, uint32_t page_size, uint64_t id);
    /*
     * How a page that is about to be written is to be packed. Any thread, under the page's latch
     * and no lock of the pager's. NULL: none is. Pages are read whether packed or not, and written
     * as they are when there is no memory to pack them.
     */
    struct packing (*packing)(void *context, const uint8_t *data, uint32_t page_size);
    void *packing_context;
    struct dictionaries *dictionaries; /* those that pages name; borrowed; may be NULL */
    const struct pack_dense *dense;    /* how pages stand that are packed; may be NULL */
};

/* ---- opening ------------------------------------------------------------------------------ */

/*
 * A new, empty database in an empty file: nothing is written before the first checkpoint.
 * `first` has page_size, database_id, lsn and made_ms set. *out_pager is owned: sdb__pager_close.
 */
SDB_MUST_USE sdb_status sdb__pager_create(const struct pager_options *options,
                                          const struct superblock *first,
                                          struct pager **out_pager);
/* Opens the newest checkpoint in the file. */
SDB_MUST_USE sdb_status sdb__pager_open(const struct pager_options *options,
                                        struct pager **out_pager);
/* Frees the handle; writes nothing. NULL is allowed. */
void sdb__pager_close(struct pager *pager);

/*
 * The newest durable superblock. Borrowed; changes only with a checkpoint or
 * sdb__pager_announce_log.
 */
const struct superblock *sdb__pager_superblock(const struct pager *pager);
uint32_t sdb__pager_page_size(const struct pager *pager);
/*
 * True while one superblock is damaged, as a crash in the middle of writing it leaves it: whatever
 * writes the next superblock mends it. The damaged one may have been the newer.
 */
bool sdb__pager_is_lame(const struct pager *pager);

/* ---- pages -------------------------------------------------------------------------------- */

/*
 * Latches a page, reading it if need be. SDB_CORRUPT: there is no such page, or its bytes are
 * damaged.
 */
SDB_MUST_USE sdb_status sdb__pager_latch_shared(struct pager *pager, uint64_t id,
                                                struct page *out_page);
SDB_MUST_USE sdb_status sdb__pager_latch_exclusive(struct pager *pager, uint64_t id,
                                                   struct page *out_page);
void sdb__pager_unlatch_shared(struct pager *pager, const struct page *page);
void sdb__pager_unlatch_exclusive(struct pager *pager, const struct page *page);

/*
 * Version of a page: grows with each exclusive unlatch, and when it ends; comes back only after
 * 2^24 of them. Of a page that is not latched it may be another one at once.
 */
uint32_t sdb__pager_version(struct pager *pager, const struct page *page);

/* Announces a change to an exclusively latched page. On failure the page must not be changed. */
SDB_MUST_USE sdb_status sdb__pager_dirty(struct pager *pager, const struct page *page);

/* A new page: zeroed, dirty, exclusively latched. */
SDB_MUST_USE sdb_status sdb__pager_page_new(struct pager *pager, struct page *out_page);
/*
 * Ends an exclusively latched and dirty page; it is unlatched whatever the answer. SDB_NOMEM: it is
 * still there.
 */
SDB_MUST_USE sdb_status sdb__pager_page_free(struct pager *pager, const struct page *page);

/*
 * Makes sure that `frames` frames can be had without writing, by writing dirty ones out now (at
 * most half of the cache is meant by it). SDB_FULL here saves failing half-way through a change.
 */
SDB_MUST_USE sdb_status sdb__pager_reserve(struct pager *pager, uint64_t frames);

/*
 * Bytes that a page takes in the file; 0: there is no such page, or it has not been written yet.
 * *out_packed: it is packed.
 */
uint64_t sdb__pager_page_bytes(struct pager *pager, uint64_t id, bool *out_packed);

/* True if a page is in memory at this moment, or being brought in; for hints. */
bool sdb__pager_is_here(const struct pager *pager, uint64_t id);

/* From the next checkpoint on, only those who know `feature` (superblock.h) may open the file. */
void sdb__pager_need_feature(struct pager *pager, uint32_t feature);

/* ---- extents ------------------------------------------------------------------------------ */

/*
 * Writes bytes to free blocks. The extent belongs to nobody yet: adopt it or release it.
 */
SDB_MUST_USE sdb_status sdb__pager_extent_write(struct pager *pager, const void *data,
                                                uint64_t size, struct extent *out_extent);
/* Gives a written extent an id, so that checkpoints keep it. */
SDB_MUST_USE sdb_status sdb__pager_extent_adopt(struct pager *pager, const struct extent *extent,
                                                uint64_t *out_id);
/* Takes the id away: the extent is left out of checkpoints but can be read until it is released. */
SDB_MUST_USE sdb_status sdb__pager_extent_detach(struct pager *pager, uint64_t id, uint64_t size,
                                                 struct extent *out_extent);
/* Gives an extent without id up; its blocks become free under P1. */
void sdb__pager_extent_release(struct pager *pager, const struct extent *extent);
/* The same for one that never had an id: its blocks are free at once. */
void sdb__pager_extent_discard(struct pager *pager, const struct extent *extent);
/* Finds an extent by id, for reading while something else keeps it from being released. */
SDB_MUST_USE sdb_status sdb__pager_extent_find(struct pager *pager, uint64_t id, uint64_t size,
                                               struct extent *out_extent);
/* Reads it whole into memory[0…extent->size). */
SDB_MUST_USE sdb_status sdb__pager_extent_read(struct pager *pager, const struct extent *extent,
                                               void *memory);

/* ---- checkpoints -------------------------------------------------------------------------- */

/*
 * A checkpoint in three steps, one checkpoint at a time (the caller's lock). cut: an instant at
 * which no page is exclusively latched and no change is half done (the caller stops its writers);
 * microseconds. write: everything of the cut goes to the file, while writers go on. finish: synced,
 * superblock written, synced; `state` gives lsn, commit, log_id, catalog_root; the rest is filled
 * in. On a failure of write or before the superblock was written, the checkpoint is given up and
 * the pager is as good as before; after that, SDB_IO is final for the pager.
 */
void sdb__pager_checkpoint_cut(struct pager *pager);
SDB_MUST_USE sdb_status sdb__pager_checkpoint_write(struct pager *pager);
SDB_MUST_USE sdb_status sdb__pager_checkpoint_finish(struct pager *pager,
                                                     const struct superblock *state,
                                                     bool both_slots);

/* ---- kept checkpoints (kept.h) -------------------------------------------------------------- */

enum { PAGER_KEPT_NAME = 255 };

/* A checkpoint that stays readable under a name. */
struct pager_kept {
    char name[PAGER_KEPT_NAME + 1];
    struct superblock superblock; /* kept_… 0: it keeps none itself */
    uint64_t kept_ms;
};

/*
 * The first of them with a name behind `after` (NULL: of all). False: there is none.
 */
bool sdb__pager_kept_next(struct pager *pager, const char *after, struct pager_kept *out_kept);
/*
 * Whether `name` may be kept (SDB_EXISTS, SDB_LIMIT), or let go (SDB_NOTFOUND, SDB_BUSY: it is
 * being read). While nobody makes checkpoints the answer stays true.
 */
SDB_MUST_USE sdb_status sdb__pager_may_keep(struct pager *pager, const char *name);
SDB_MUST_USE sdb_status sdb__pager_may_let_go(struct pager *pager, const char *name);
/*
 * Between write and finish of a checkpoint: it will be kept under a name, or what was kept under
 * the name is let go, when it is finished. `state` as for finish. A failure gives the checkpoint
 * up. Letting go reads the page maps of all that stays, as opening does.
 */
SDB_MUST_USE sdb_status sdb__pager_keep(struct pager *pager, const char *name,
                                        const struct superblock *state);
SDB_MUST_USE sdb_status sdb__pager_let_go(struct pager *pager, const char *name);
/*
 * Opens what was kept under a name, for reading: a pager of its own in the same file, with
 * `cache_bytes` of the cache of `pager`, which has as much less until the other is closed. It has
 * to be closed first. `dictionaries` as in pager_options. SDB_NOTFOUND; SDB_CORRUPT: its page map
 * is damaged.
 */
SDB_MUST_USE sdb_status sdb__pager_open_kept(struct pager *pager, const char *name,
                                             uint64_t cache_bytes,
                                             struct dictionaries *dictionaries,
                                             struct pager **out_pager);
/* What is kept now can not be let go until it is unused as often. */
void sdb__pager_use_kept(struct pager *pager);
void sdb__pager_unuse_kept(struct pager *pager);
/* Finds out what blocks are held, if the pager was opened for reading only: for its figures. */
SDB_MUST_USE sdb_status sdb__pager_find_held(struct pager *pager);
/* One past the last block that something kept needs. */
uint64_t sdb__pager_held_end(struct pager *pager);

/*
 * Writes a superblock that names a log: from now on the database is not whole without it. Durable
 * when it returns. Not during a checkpoint.
 */
SDB_MUST_USE sdb_status sdb__pager_announce_log(struct pager *pager, uint64_t log_id,
                                                uint64_t lsn);

/*
 * Keeps the newest durable checkpoint readable in the file until unpinned (blocks that fall out of
 * use are not given out meanwhile). Pins nest. The superblock is copied.
 */
void sdb__pager_pin(struct pager *pager, struct superblock *out_superblock);
void sdb__pager_unpin(struct pager *pager);

/* Gives free blocks at the end of the file back to the file system. */
SDB_MUST_USE sdb_status sdb__pager_shrink_file(struct pager *pager);

/* ---- moving ------------------------------------------------------------------------------- */

/* Where blocks are taken: in the next gap, in gaps from the start of the file on, behind all. */
enum pager_placing { PAGER_PLACE_NEXT, PAGER_PLACE_FIRST, PAGER_PLACE_LAST };
void sdb__pager_place(struct pager *pager, enum pager_placing placing);

/* In blocks: one past the last one in use; how many are in use. */
void sdb__pager_layout(struct pager *pager, uint64_t *out_end, uint64_t *out_used);

/* Something that stands in a part of the file. */
struct pager_move {
    uint64_t id;
    bool is_page; /* or an extent */
};
/*
 * The next things that begin in blocks [from, to) and that no kept checkpoint holds, with ids above
 * *after, which is advanced
 * (begin with 0). Returns how many; 0: that was all.
 */
size_t sdb__pager_list_moves(struct pager *pager, uint64_t from, uint64_t to, uint64_t *after,
                             struct pager_move *moves, size_t capacity);
/*
 * Has a page written to another place, with the next checkpoint at the latest. One that has gone is
 * no failure. Not at the instant of a cut.
 */
SDB_MUST_USE sdb_status sdb__pager_move_page(struct pager *pager, uint64_t id);
/*
 * Copies an extent to another place. Who has found it before and reads it after the next checkpoint
 * may read other bytes, which the checksum tells: find it again then.
 */
SDB_MUST_USE sdb_status sdb__pager_move_extent(struct pager *pager, uint64_t id);
/* Has the parts of the page map that begin in blocks [from, to) written anew at the next cut. */
void sdb__pager_move_map(struct pager *pager, uint64_t from, uint64_t to);

/*
 * Makes holes of the free runs of at least `least` bytes: they take no space on the disk any more.
 * SDB_INVALID: the file system cannot.
 */
SDB_MUST_USE sdb_status sdb__pager_punch(struct pager *pager, uint64_t least,
                                         uint64_t *out_bytes);

/*
 * To be called at the end of a checkpoint, by one thread at a time: makes holes of runs of 1 MiB
 * and more that were free at the ends of two checkpoints, of `most` bytes in all, and leaves free
 * space of a quarter of what is in use alone. Nothing more where the file system cannot.
 */
SDB_MUST_USE sdb_status sdb__pager_give_back(struct pager *pager, uint64_t most);

/*
 * True when seven eighths of the frames are dirty: time for a checkpoint. Not earlier, for pages
 * that change again and again are written once for all of it.
 */
bool sdb__pager_wants_checkpoint(struct pager *pager);

/*
 * True when new pages will soon need memory that the system has not given yet.
 * sdb__pager_prepare_memory asks for it; one thread at a time.
 */
bool sdb__pager_wants_memory(const struct pager *pager);
void sdb__pager_prepare_memory(struct pager *pager);

/*
 * Lends bytes of the budget, giving up frames for them as far as they can be had now; or takes them
 * back.
 */
void sdb__pager_lend(struct pager *pager, uint64_t bytes);
void sdb__pager_unlend(struct pager *pager, uint64_t bytes);

/* Milliseconds since 1970, for what people read; never for order. */
uint64_t sdb__pager_now_ms(void);

struct pager_stats {
    uint64_t file_bytes, used_bytes;
    uint64_t kept, held_bytes; /* kept checkpoints, and blocks that only they need */
    uint64_t hole_bytes; /* of the file, free, and no space on the disk */
    uint64_t pages, extents; /* ids in use */
    uint64_t packed_pages, packed_bytes; /* pages that stand packed in the file; what they take */
    uint64_t cache_bytes, cache_limit_bytes, dirty_pages;
    uint64_t cache_other_bytes; /* frame tables, page map, state words: part of the budget */
    uint64_t hits, misses, evicted, written;
    uint64_t read_ahead; /* of the misses, pages that readahead.h asked for */
};
void sdb__pager_stats(struct pager *pager, struct pager_stats *out_stats);

#endif
