/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv_world.h: a run of prop_kv.c: the database, its model, and who works on both.
 *
 * kv_cursors.c holds what moves along keys; the rest is in prop_kv.c.
 */
#ifndef SDB_TESTS_PROP_KV_WORLD_H
#define SDB_TESTS_PROP_KV_WORLD_H

#include "engine/base/clock.h"
#include "tests/prop/kv_model.h"

enum { TXNS = 5, CURSORS = 2, NAMES = 3, STEPS = 4000 };

enum where { AT_START, AT_KEY, BEFORE_FIRST, BEHIND_LAST };

struct place {
    sdb_cursor *cursor;
    unsigned generation;
    enum where where;
    unsigned at;           /* AT_KEY: number of the key */
    unsigned lower, upper; /* the range, as numbers: [lower, upper) */
    size_t bytes;          /* of its bounds */
};

struct actor {
    sdb_txn *txn;
    unsigned flags;
    struct view view;
    struct place places[CURSORS];
};

struct world {
    uint64_t random, serial;
    struct io *io; /* NULL: the database is in memory */
    sdb_options options;
    sdb_db *db;
    uint8_t *value; /* room for the largest */
    struct model model;
    struct actor actors[TXNS];
    unsigned commits, conflicts, reopened, crashed;
};

static inline uint64_t below(struct world *w, uint64_t limit)
{
    return random_below(&w->random, limit);
}

/* ---- prop_kv.c ---- */
void world_expect_value(struct model_value value, sdb_slice found);
/* A generation, most often one that is there. */
unsigned world_pick_generation(struct world *w);
unsigned world_pick_key(struct world *w);
/* What reads of this generation must answer before they look for anything. */
sdb_status world_may_read(const struct world *w, const struct actor *a, unsigned generation);

/* ---- kv_cursors.c ---- */
/* Opens, moves or closes one of the actor's cursors. */
void world_use_cursor(struct world *w, struct actor *a);
void world_close_cursors(struct actor *a);
/* A random range, and the same as numbers; `bounds` has two places, `room` is universe_range's. */
void world_pick_range(struct world *w, sdb_range *range, sdb_slice *bounds, uint8_t *room,
                      struct place *place);
void world_count(struct world *w, struct actor *a);

#endif
