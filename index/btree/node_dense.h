/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node_dense.h: a node as it is given to an algorithm that packs pages.
 *
 * What a node has for the sake of being searched is left out (slots, heads, the places of cells,
 * the free space), and what is alike stands together: an algorithm finds more in it than in the
 * node, and has less to look at.
 *
 *   0      the node's header (32 bytes), with zeros for heap and wasted
 *   32     upper fence, lower fence
 *          suffix sizes: the low byte of each, then the high byte of each
 *          leaf: the cells' heads (kind << 14 | size) in the same way; inner node: the children, of
 *          each first byte 0, then byte 1 … 7
 *          the suffixes, then (leaf) the payloads, in the order of the slots
 *
 * Pure: nothing here allocates.
 */
#ifndef SDB_INDEX_BTREE_NODE_DENSE_H
#define SDB_INDEX_BTREE_NODE_DENSE_H

#include "engine/pager/pack.h"

/* sdb__node_make_dense and sdb__node_from_dense, for pager_options.dense. */
extern const struct pack_dense sdb__node_dense;

/* Writes the dense form of a sound node to `to`, at most page_size bytes. Returns how many. */
size_t sdb__node_make_dense(const uint8_t *page, uint32_t page_size, uint8_t *to);

/*
 * Makes page[0…page_size) the node with this dense form, its cells in the order of its slots. NULL,
 * or what is wrong with `dense`, which may be anything; the node must still pass sdb__node_verify.
 */
const char *sdb__node_from_dense(const uint8_t *dense, size_t size, uint8_t *page,
                                 uint32_t page_size);

#endif
