/* SPDX-License-Identifier: Apache-2.0 */
/*
 * findings.h: what is wrong with a history of transactions, and which isolation levels forbid it.
 *
 * Source: Adya, "Weak consistency", 1999 (G0, G1a-c, G-single, G2); Cerone and Gotsman, "Analysing
 *   snapshot isolation", 2018: a history is of snapshot isolation exactly if no cycle is without
 *   two rw edges that follow each other; Kingsbury and Alvaro, "Elle", 2020 (the names).
 */
#ifndef SDB_TESTS_HISTORIES_FINDINGS_H
#define SDB_TESTS_HISTORIES_FINDINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/mem.h"

/* In the order of the weakest level that forbids them. */
#define ANOMALIES(X)                                                                               \
    X(GARBAGE, "garbage-read")          /* what nobody wrote was read */                           \
    X(DUPLICATE, "duplicate-elements")  /* an element stands twice in a list */                    \
    X(INCOMPATIBLE, "incompatible-order") /* two reads, neither a beginning of the other */        \
    X(G1A, "G1a")                       /* what an aborted transaction wrote was read */           \
    X(G1B, "G1b")                       /* what a transaction wrote and then changed was read */   \
    X(G0, "G0")                         /* a cycle of ww edges */                                  \
    X(G1C, "G1c")                       /* a cycle of ww and wr edges */                           \
    X(INTERNAL, "internal")             /* a transaction does not see its own work */              \
    X(LOST_UPDATE, "lost-update")       /* two read the same version of a key and change it */     \
    X(G_SINGLE, "G-single")             /* a cycle with one rw edge */                             \
    X(G_NONADJACENT, "G-nonadjacent")   /* a cycle with rw edges, no two of them in a row */       \
    X(G2_ITEM, "G2-item")               /* a cycle with two rw edges in a row */

#define X(name, text) ANOMALY_##name,
enum anomaly { ANOMALIES(X) ANOMALY_COUNT };
#undef X

/* Which edges of time a cycle may have: what makes a level the strong or strict one. */
enum strength { STRENGTH_PLAIN, STRENGTH_SESSION, STRENGTH_REALTIME, STRENGTH_COUNT };

enum isolation { READ_COMMITTED, SNAPSHOT_ISOLATION, SERIALIZABLE };

struct level {
    enum isolation isolation;
    enum strength strength;
};

/* Ended by findings_done. Zero-initialise. */
struct findings {
    uint64_t counts[STRENGTH_COUNT][ANOMALY_COUNT]; /* those that are no cycles are plain */
    struct buffer text;                             /* the first of each, a line each */
};

/* Counts one; the sentence is kept for the first FINDINGS_SHOWN of each. */
enum { FINDINGS_SHOWN = 3 };
void findings_add(struct findings *findings, enum anomaly anomaly, enum strength strength,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Nothing was found that the level forbids. */
bool findings_allow(const struct findings *findings, struct level level);
/* What was found, as "G1a×2 G-single-realtime×1"; empty for nothing. */
void findings_summary(const struct findings *findings, char *out_text, size_t size);
void findings_done(struct findings *findings);

const char *anomaly_name(enum anomaly anomaly);
/* A level by its name: "snapshot-isolation", "strict-serializable", …; false if there is none. */
bool level_of(const char *name, struct level *out_level);

#endif
