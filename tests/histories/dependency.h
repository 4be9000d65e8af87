/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dependency.h: which transaction must come before which, and the cycles in that.
 *
 * Words: a → b is *ww* when b wrote the version that follows a's, *wr* when b read a's, *rw* when b
 * wrote what follows the version that a read; *process* and *realtime* when a ended before b began,
 * in the same process or in any.
 * Idea: strongly connected components of four views of one graph: ww; ww and wr; all, where no rw
 * follows an rw; all. The first view in which a component has a cycle names the anomaly. "No rw
 * follows an rw" is a graph of twice the nodes: each remembers whether it was entered by rw.
 * Invariants: I1 every edge leads from what must be before. I2 edges of time alone make no cycle.
 * Costs: O(nodes + edges); real time takes one node for each run of returns, not one edge for each
 *   pair of transactions.
 * Source: Tarjan 1972, without recursion; Adya 1999 for edges; Cerone and Gotsman 2018 for the
 *   third view; Kingsbury and Alvaro 2020, §6, for the whole.
 * Not here: the smallest cycle of all; predicates.
 */
#ifndef SDB_TESTS_HISTORIES_DEPENDENCY_H
#define SDB_TESTS_HISTORIES_DEPENDENCY_H

#include "tests/histories/txn_history.h"

enum edge_kind {
    EDGE_WW,
    EDGE_WR,
    EDGE_RW,
    EDGE_PROCESS,
    EDGE_REALTIME,
    EDGE_HOP /* to a node that stands for its successors: nothing happens on the way there */
};

struct edge {
    uint32_t from, to;
    enum edge_kind kind;
    uint32_t key; /* ww, wr and rw */
};

/* The first `txns` nodes are the transactions. Zero-initialise; ended by dependencies_done. */
struct dependencies {
    uint32_t nodes;
    struct edge *edges;
    size_t count, capacity;
};

/* A new node. */
uint32_t dependencies_node(struct dependencies *dependencies);
/* An edge; one from a node to itself says nothing and is left out. */
void dependencies_add(struct dependencies *dependencies, uint32_t from, uint32_t to,
                      enum edge_kind kind, uint32_t key);
/* Adds the edges of time among committed transactions, finds the cycles and reports them. */
void dependencies_judge(struct dependencies *dependencies, const struct txn_history *history,
                        const bool *committed, struct findings *findings);
void dependencies_done(struct dependencies *dependencies);

#endif
