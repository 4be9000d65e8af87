/* SPDX-License-Identifier: Apache-2.0 */
/*
 * btree.h: an ordered map of bytes in pages: a B+tree, with trees for long keys inside it.
 *
 * A tree is known by the id of its root page, which never changes. Keys up to btree_key_most(page
 * size) bytes stand in nodes. Of a longer key the first btree_key_most bytes stand there, followed
 * by a zero byte (so it can be told from, and sorts right after, the key that is just those bytes),
 * and lead to a *layer*: another tree, which holds the rests of all keys with that beginning.
 * Comparing never needs more than one page, and separators stay short.
 *
 *     key_most 4:   "ab"  "wxyz"  "wxyz\0" → layer: { "1", "12", "2" }     holds ab wxyz wxyz1
 *     wxyz12 wxyz2
 *
 * Concurrency: optimistic lock coupling: readers latch nothing, and begin again when a page changed
 * while they read it; after some vain tries, and in layers, they latch shared from the root
 * downwards, never more than two pages. Writers descend like readers and latch only the leaf
 * exclusively; if a page must split or merge they descend again, latching parent and child
 * exclusively. Any number of readers and writers at once.
 *
 * Errors: SDB_CORRUPT with a sentence when pages contradict each other; I/O statuses of the pager;
 * SDB_NOMEM. A change that fails has not happened, though a split that prepared it may have.
 *
 * Source: Lehman & Yao's successors with latch coupling, Graefe 2010/2011; layers as in Masstree
 * (Mao 2012), there of 8 bytes each, here only where a key is long.
 */
#ifndef SDB_INDEX_BTREE_BTREE_H
#define SDB_INDEX_BTREE_BTREE_H

#include <stdatomic.h>

#include "engine/pager/optimistic.h"
#include "engine/pager/pager.h"
#include "engine/pager/readahead.h"
#include "index/btree/node.h"

struct btree {
    struct pager *pager;
    uint64_t root;
    uint32_t id; /* stands in every node: the keyspace's */
    /*
     * Where the last key went, if it was put behind all others: the next one is tried there first.
     * The caller's, 0 at the beginning, one for all copies of this struct. NULL: not remembered.
     */
    _Atomic uint64_t *last_leaf;
};

/*
 * A value as a tree holds it: bytes, or an extent's id and size. One with an expiry whose bytes are
 * put into a leaf stands in memory behind its head, as in the leaf (node.h): NODE_EXPIRY_HEAD bytes
 * before data.data, form 0. The tree keeps an expiry, no more: it is the caller's to heed.
 */
struct btree_value {
    bool is_extent;
    struct bytes data;   /* not is_extent */
    uint64_t extent;     /* is_extent */
    uint64_t size;       /* is_extent: of the value */
    uint64_t expiry;     /* 0: none */
};

static inline size_t btree_key_most(uint32_t page_size) { return page_size / 16; }

/*
 * True when a value of this size (with its head, if it has an expiry) stands in the leaf, beside a
 * key of this size; otherwise it must be an extent.
 */
bool sdb__btree_is_inline(uint32_t page_size, size_t key_size, uint64_t value_size);

/* Makes an empty tree. */
SDB_MUST_USE sdb_status sdb__btree_make(struct pager *pager, uint32_t id, uint64_t *out_root);

/*
 * Called with what a key has (NULL: nothing); what it says is the call's answer. A write calls it
 * once, under the latch of the leaf, just before the change, which is made only if it says SDB_OK,
 * and cannot fail after. A read may call it again, if the leaf changed during the call: the last
 * call counts, and its leaf did not change while it ran.
 */
typedef sdb_status (*btree_visit_fn)(void *context, const struct btree_value *value);

/* Visits the value of a key. Never answers SDB_NOTFOUND of its own accord. */
SDB_MUST_USE sdb_status sdb__btree_get(const struct btree *tree, struct bytes key,
                                       btree_visit_fn visit, void *context);
/*
 * sdb__btree_get that waits for nothing. DONE: *out_status is the answer. MISSING: page
 * *out_missing is not in memory, or is being changed; go on when it has come. HARD: only
 * sdb__btree_get can tell.
 */
enum btree_step { BTREE_DONE, BTREE_MISSING, BTREE_HARD };
enum btree_step sdb__btree_get_step(const struct btree *tree, struct bytes key,
                                    btree_visit_fn visit, void *context, uint64_t *out_missing,
                                    sdb_status *out_status);
/* Sets a key's value. What happens to an extent of the old value is the visitor's business. */
SDB_MUST_USE sdb_status sdb__btree_put(const struct btree *tree, struct bytes key,
                                       const struct btree_value *value, btree_visit_fn visit,
                                       void *context);
/*
 * Puts that are likely to fall into the same leaf one after the other: it stays latched between
 * them. Nothing else may be latched or done with pages by this thread until sdb__btree_run_end;
 * another put of the run lets the leaf go by itself. Zero-initialise; the tree must stay where it
 * is.
 */
struct btree_run {
    const struct btree *tree; /* NULL: nothing is latched */
    struct page leaf;
};
SDB_MUST_USE sdb_status sdb__btree_put_run(const struct btree *tree, struct bytes key,
                                           const struct btree_value *value, btree_visit_fn visit,
                                           void *context, struct btree_run *run);
void sdb__btree_run_end(struct btree_run *run);

/* Removes a key; nothing to do if there is none (the visitor is told NULL). */
SDB_MUST_USE sdb_status sdb__btree_del(const struct btree *tree, struct bytes key,
                                       btree_visit_fn visit, void *context);

/*
 * Removes all keys >= lower and < *upper (NULL: to the end). Only the leaves at both edges are
 * read: `visit` is told of each value that they lose (never NULL; it may be called for many). What
 * lies between is cut off as whole subtrees, and layers as whole trees: `cut` is told the root of
 * each just before it is cut off, and owns it then: sdb__btree_free_some ends it, with the same id.
 * Both may refuse, which is the answer: some keys may have gone by then, as after any other
 * failure. Readers that were on their way may still read what was cut off.
 */
typedef sdb_status (*btree_cut_fn)(void *context, uint64_t root);
SDB_MUST_USE sdb_status sdb__btree_cut(const struct btree *tree, struct bytes lower,
                                       const struct bytes *upper, btree_visit_fn visit,
                                       btree_cut_fn cut, void *context);

/* Told of a page. */
typedef void (*btree_page_fn)(void *context, uint64_t id);
/*
 * Tells the pages of a tree, those of layers excepted; while it is being changed, of some twice or
 * not at all.
 */
SDB_MUST_USE sdb_status sdb__btree_pages(const struct btree *tree, btree_page_fn fn,
                                         void *context);

/*
 * About how many keys are >= lower and < *upper (NULL: to the end): exact if both bounds lie in the
 * same leaf, or in neighbours with one parent; otherwise from the fan-out of the nodes at the edges
 * and some dozens of leaves between them. The same tree gives the same answer.
 */
SDB_MUST_USE sdb_status sdb__btree_estimate(const struct btree *tree, struct bytes lower,
                                            const struct bytes *upper, uint64_t *out_count);

/* ---- reading in order ---------------------------------------------------------------------- */

/*
 * A place between keys. `layers`: of how many layers key[0…) spells out the beginnings, each
 * btree_key_most bytes; the rest is looked for in the tree there as it stands. BTREE_NATURAL: as
 * many as its length asks for. `end`: whatever the rest is, the place is behind all keys of that
 * tree.
 */
enum { BTREE_NATURAL = 0x7fffffff };
struct btree_place {
    struct bytes key;
    unsigned layers;
    bool end;
};

/*
 * A copy of one leaf, or of a part of it: its slots, fences and the cells [from, to), which may be
 * read; others not. `outer` is what the layers above take away from its keys. Zero-initialise;
 * reuse freely; sdb__btree_leaf_done.
 */
struct btree_leaf {
    const sdb_allocator *allocator;
    uint8_t *page;      /* page_size bytes */
    struct node node;
    unsigned from, to;
    unsigned slot;      /* the first whose key is >= the place's */
    bool found;         /* its key is the place's */
    uint8_t *outer;
    size_t outer_size, outer_capacity;
    unsigned layers;
    struct optimistic source; /* what it was copied from; id 0: copied whole */
};

/*
 * Called with the copy, at an instant at which the leaf is so: for what must be seen at the same
 * instant. It may be called again, with another copy: the last call counts.
 */
typedef sdb_status (*btree_leaf_fn)(void *context, const struct btree_leaf *leaf);

/*
 * Copies the leaf in which `place` lies: with `before`, the one that holds (or would hold) the
 * largest keys below it. The leaf may have no key on the wanted side: then go on at
 * sdb__btree_leaf_after / _before. `most`: copy no more than so many cells from the place on (with
 * `before`: up to it), if that is easily done; 0: all.
 */
SDB_MUST_USE sdb_status sdb__btree_leaf_read(const struct btree *tree, struct btree_place place,
                                             bool before, unsigned most, btree_leaf_fn visit,
                                             void *context, struct btree_leaf *leaf);
/*
 * Copies `most` more of its cells (fewer if there are no more) on the side that a reader goes to,
 * or all (0). False: the leaf has changed since, and the copy is of no use any more: read anew,
 * from a key that was remembered.
 */
bool sdb__btree_leaf_more(const struct btree *tree, bool before, unsigned most,
                          struct btree_leaf *leaf);
/*
 * Where the next leaf begins (for reading on), written to `to`, which has room for outer_size +
 * page_size / 8. False: there is none.
 */
bool sdb__btree_leaf_after(const struct btree_leaf *leaf, uint8_t *to,
                           struct btree_place *out_place);
/* Where the previous leaf ends, for reading with `before`. False: there is none. */
bool sdb__btree_leaf_before(const struct btree_leaf *leaf, uint8_t *to,
                            struct btree_place *out_place);
void sdb__btree_leaf_done(struct btree_leaf *leaf);

/*
 * What a reader in order has begun to read of the leaves that come next. Zero-initialise but for
 * the allocator; begin before the first step and wherever the reader jumps or turns, with the key
 * that it will not go beyond (forward: nor to), borrowed until it is begun anew; NULL: to the end.
 * sdb__btree_ahead_done. Threads: one.
 */
struct btree_ahead {
    const sdb_allocator *allocator;
    struct readahead pages;
    unsigned steps;   /* from leaf to leaf, since it began */
    unsigned look_at; /* which step looks for the next leaves */
    unsigned window;  /* how many it looks for */
    uint64_t *ids;    /* of `count` leaves that the reader comes to; used up to `next` */
    unsigned next, count;
    struct bytes limit; /* what lies behind it is not read ahead; data NULL: nothing does */
};

void sdb__btree_ahead_begin(const struct btree *tree, const struct bytes *limit,
                            struct btree_ahead *ahead);
void sdb__btree_ahead_look(const struct btree *tree, struct bytes key, bool before,
                           struct btree_ahead *ahead);
/*
 * To be called when a reader goes on to the leaf at `place` (from sdb__btree_leaf_after or _before;
 * not in a layer), before it reads it.
 */
static inline void btree_ahead_step(const struct btree *tree, struct btree_place place,
                                    bool before, struct btree_ahead *ahead)
{
    if (++ahead->steps >= ahead->look_at || ahead->pages.flying)
        sdb__btree_ahead_look(tree, place.key, before, ahead);
}
/* Waits for what is in flight: nothing is held any more but memory. */
void sdb__btree_ahead_stop(struct btree_ahead *ahead);
void sdb__btree_ahead_done(struct btree_ahead *ahead);

/* ---- ending a tree -------------------------------------------------------------------------- */

/*
 * Frees some of a tree, or of a subtree that was cut off, that nobody uses any more, at most a few
 * hundred pages; *out_done when the last, the root, has gone. Each step leaves a valid tree.
 */
SDB_MUST_USE sdb_status sdb__btree_free_some(const struct btree *tree, bool *out_done);

#endif
