/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node.h: one page of a B+tree, as bytes.
 *
 * All keys in a node share the common prefix of its two *fences*: every key k in it, or below it,
 * has lower <= k < upper. The prefix is stored once (it is the beginning of the lower fence); cells
 * hold the rest, the *suffix*.
 *
 *   0 level u8 (0: leaf)   1 flags u8 (1: no upper fence)   2 count u16    4 heap u32    8 wasted
 *   u32
 *  12 prefix size u16     14 lower size u16     16 upper size u16     18 zeros u16
 *  20 tree u32            24 page id u64        32 slots: count × (head u32, cell u16, suffix size
 *  u16)
 *     … free …            heap: cells, downwards       … upper fence, lower fence, end of page
 *
 * head: the suffix' first four bytes as a big-endian number (missing ones 0), so that most
 * comparisons are of integers. A leaf cell is suffix, u16 (kind << 14 | size), payload; an inner
 * cell is suffix, child u64. In an inner node, slot i leads to the keys from its own key up to the
 * next slot's; slot 0's key is the lower fence. A value with an expiry has a head before its
 * payload: form u8 (the kind that it would have without), expiry u64; what the time means is not
 * known here.
 *
 * Pure: nothing here latches, reads, writes or allocates. A node must have passed sdb__node_verify
 * (pages read from disk have); bounds are then not doubted again.
 */
#ifndef SDB_INDEX_BTREE_NODE_H
#define SDB_INDEX_BTREE_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "engine/base/bytes.h"

enum { NODE_HEADER = 32, NODE_SLOT = 8, NODE_CHILD = 8, NODE_VALUE_HEAD = 2 };

enum node_kind {
    NODE_INLINE = 0, /* payload is the value */
    NODE_EXTENT = 1, /* extent id u64, value size u64 */
    NODE_LAYER = 2,  /* root page id u64 of the tree that holds the rest of longer keys */
    NODE_EXPIRING = 3 /* NODE_EXPIRY_HEAD bytes, then what its form says: inline or extent */
};
enum { NODE_EXPIRY_HEAD = 9 };

struct node {
    uint8_t *data;
    uint32_t size; /* of the page */
};

struct bytes {
    const uint8_t *data;
    size_t size;
};

static inline unsigned node_level(struct node n) { return n.data[0]; }
static inline bool node_is_last(struct node n) { return n.data[1] & 1; }
static inline unsigned node_count(struct node n) { return get_u16(n.data + 2); }
static inline uint32_t node_tree(struct node n) { return get_u32(n.data + 20); }
static inline uint64_t node_id(struct node n) { return get_u64(n.data + 24); }
static inline size_t node_prefix_size(struct node n) { return get_u16(n.data + 12); }

static inline struct bytes node_lower(struct node n)
{
    size_t size = get_u16(n.data + 14);
    return (struct bytes){n.data + n.size - size, size};
}

/* The upper fence; of no meaning when node_is_last. */
static inline struct bytes node_upper(struct node n)
{
    size_t size = get_u16(n.data + 16);
    return (struct bytes){n.data + n.size - get_u16(n.data + 14) - size, size};
}

/* Both fences stand together, up to the end of the page. */
static inline size_t node_fence_bytes(struct node n)
{
    return (size_t)get_u16(n.data + 14) + get_u16(n.data + 16);
}

/* A suffix' first four bytes as a number that orders as they do. */
static inline uint32_t node_head(struct bytes suffix)
{
    uint8_t first[4] = {0};

    if (suffix.size >= 4) {
        uint32_t v;

        memcpy(&v, suffix.data, 4);
        return be32toh(v);
    }
    if (suffix.size) memcpy(first, suffix.data, suffix.size);
    return (uint32_t)first[0] << 24 | (uint32_t)first[1] << 16 | (uint32_t)first[2] << 8;
}

static inline const uint8_t *node_slot(struct node n, unsigned i)
{
    return n.data + NODE_HEADER + (size_t)i * NODE_SLOT;
}

static inline struct bytes node_suffix(struct node n, unsigned i)
{
    const uint8_t *slot = node_slot(n, i);
    return (struct bytes){n.data + get_u16(slot + 4), get_u16(slot + 6)};
}

/*
 * Has a cell brought near; of a large one the beginning. To be called for all that will be read,
 * before one of them is waited for. (GCC 12 takes a function that does nothing but prefetch for one
 * without effects, and drops its calls: hence the empty asm.)
 */
static inline void node_ask(struct node n, unsigned i)
{
    const uint8_t *cell = n.data + get_u16(node_slot(n, i) + 4);

    __asm__ volatile("" : : "r"(cell));
    __builtin_prefetch(cell);
    __builtin_prefetch(cell + 64);
    __builtin_prefetch(cell + 104);
}

static inline uint64_t node_child(struct node n, unsigned i)
{
    struct bytes s = node_suffix(n, i);
    return get_u64(s.data + s.size);
}

/* A leaf cell's payload. */
static inline struct bytes node_payload(struct node n, unsigned i, enum node_kind *out_kind)
{
    struct bytes s = node_suffix(n, i);
    unsigned head = get_u16(s.data + s.size);
    *out_kind = (enum node_kind)(head >> 14);
    return (struct bytes){s.data + s.size + NODE_VALUE_HEAD, head & 0x3fff};
}

/*
 * Takes the head of an expiring value off its payload: *kind is then inline or extent. The answer
 * is the expiry; 0: it has none, and nothing was taken off.
 */
static inline uint64_t node_take_expiry(enum node_kind *kind, struct bytes *payload)
{
    uint64_t expiry;

    if (*kind != NODE_EXPIRING) return 0;
    *kind = payload->data[0] ? NODE_EXTENT : NODE_INLINE;
    expiry = get_u64(payload->data + 1);
    payload->data += NODE_EXPIRY_HEAD;
    payload->size -= NODE_EXPIRY_HEAD;
    return expiry;
}

/* An empty node. upper NULL: none. */
void sdb__node_init(struct node n, unsigned level, uint32_t tree, uint64_t id, struct bytes lower,
                    const struct bytes *upper);

/*
 * The first slot whose key is >= key (count if none). *out_found: it is equal. The key may be any.
 */
unsigned sdb__node_search(struct node n, struct bytes key, bool *out_found);

/*
 * About where sdb__node_search would end, from the heads alone: for what may be done on a guess.
 */
unsigned sdb__node_guess(struct node n, struct bytes key);

/* The slot of an inner node that leads to `key`; with `before`, to the largest keys below it. */
unsigned sdb__node_route(struct node n, struct bytes key, bool before);

/* Bytes that cells and slots can still take, after compaction. */
size_t sdb__node_room(struct node n);
/* Bytes in use by cells and slots. */
size_t sdb__node_used(struct node n);

/*
 * Puts a cell at slot i: the whole key (which shares the prefix), then for a leaf kind and payload,
 * for an inner node the child id in payload. There must be room: NODE_SLOT + suffix +
 * (NODE_VALUE_HEAD | 0) + payload.
 */
void sdb__node_insert(struct node n, unsigned i, struct bytes key, enum node_kind kind,
                      struct bytes payload);
void sdb__node_remove(struct node n, unsigned i);
/*
 * Replaces a leaf cell's payload; there must be room for the new cell beside the old one's absence.
 */
void sdb__node_replace(struct node n, unsigned i, enum node_kind kind, struct bytes payload);
/* Overwrites the child id of an inner slot. */
void sdb__node_set_child(struct node n, unsigned i, uint64_t child);

/* Writes the whole key of slot i to `to` (room for SIZE_OF_KEY); returns its size. */
size_t sdb__node_key(struct node n, unsigned i, uint8_t *to);

/*
 * Copies slots [from, to) of `source` into an empty node `n`, whose fences may differ; false when
 * they do not fit (n is then to be thrown away).
 */
bool sdb__node_copy(struct node n, struct node source, unsigned from, unsigned to);

/* NULL, or what is wrong with a page that claims to be a node. */
const char *sdb__node_verify(const uint8_t *data, uint32_t page_size, uint64_t id);

#endif
