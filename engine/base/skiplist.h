/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skiplist.h: entries in key order, in memory, found in O(log n).
 *
 * An entry begins with a struct skip_node in memory of the caller's, which the list only links;
 * what follows the node is the caller's. Keys are a group number first, then bytes; both are
 * borrowed while the entry is linked.
 * Not locked: one writer and no reader, or readers only.
 */
#ifndef SDB_ENGINE_BASE_SKIPLIST_H
#define SDB_ENGINE_BASE_SKIPLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SKIP_LEVELS = 20 };

struct skip_node {
    const void *key;
    size_t key_size;
    uint32_t group;
    uint32_t levels;
    struct skip_node *next[]; /* `levels` of them */
};

struct skiplist {
    struct skip_node *heads[SKIP_LEVELS];
    unsigned levels;
    uint64_t random; /* seed of the heights; any number */
    size_t count;
};

/* A height for a new node, 1…SKIP_LEVELS, each next one a quarter as likely. */
unsigned sdb__skip_height(struct skiplist *list);
/* Bytes of a node of that height; the caller's part begins there, aligned to 8. */
static inline size_t skip_node_size(unsigned height)
{
    return sizeof(struct skip_node) + height * sizeof(struct skip_node *);
}

/* The first entry with a key >= (group, key), or NULL. */
struct skip_node *sdb__skip_seek(const struct skiplist *list, uint32_t group, const void *key,
                                 size_t size);
/* The last entry with a key < (group, key), or NULL. */
struct skip_node *sdb__skip_seek_before(const struct skiplist *list, uint32_t group,
                                        const void *key, size_t size);
/* The entry with that key, or NULL. */
struct skip_node *sdb__skip_find(const struct skiplist *list, uint32_t group, const void *key,
                                 size_t size);
/* Links a node whose key, group and levels are set and whose key is not in the list. */
void sdb__skip_insert(struct skiplist *list, struct skip_node *node);
/* Unlinks a node that is in the list. */
void sdb__skip_remove(struct skiplist *list, struct skip_node *node);

static inline struct skip_node *skip_next(const struct skip_node *node) { return node->next[0]; }

#endif
