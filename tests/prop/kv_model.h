/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv_model.h: what a database with snapshots must answer, kept in plain arrays.
 *
 * Keys come from a *universe*: a sorted array that a run makes once, so that a key is a number and
 * neighbours are neighbours. A *generation* is a keyspace from its making to its drop; it knows of
 * every key all that was ever committed there. A *view* is a transaction: the number of its
 * snapshot and what it changed itself.
 */
#ifndef SDB_TESTS_PROP_KV_MODEL_H
#define SDB_TESTS_PROP_KV_MODEL_H

#include "tests/kv/kv_fixture.h"

enum { KEYS = 160, GENERATIONS = 48, MARKS = 4, MERGES = 5 };

struct universe {
    unsigned count;
    sdb_slice keys[KEYS]; /* owned */
};

/* Random keys around the lengths at which trees of this page size change their ways. */
void universe_make(struct universe *u, uint32_t page_size, uint64_t *random);
void universe_done(struct universe *u);
/* The first number whose key is >= key. */
unsigned universe_find(const struct universe *u, sdb_slice key);
/*
 * A key to seek or to bound with: that of a number, or something beside it; room for SDB_KEY_MAX +
 * 1.
 */
sdb_slice universe_target(const struct universe *u, unsigned number, uint64_t *random,
                          uint8_t *room);
/*
 * A random range around the keys of three numbers; `bounds` has two places, `room` 3 × (SDB_KEY_MAX
 * + 1) bytes. *out_lower, *out_upper: the same as numbers.
 */
void universe_range(const struct universe *u, const unsigned numbers[3], uint64_t *random,
                    sdb_range *range, sdb_slice *bounds, uint8_t *room, unsigned *out_lower,
                    unsigned *out_upper);
/* True when no key at all can be in the range. */
bool range_is_empty(const sdb_range *range);
bool slice_begins_with(sdb_slice key, sdb_slice prefix);

/* A value is known by the number its bytes follow from, and its size. */
struct model_value {
    bool present;
    size_t size;
    uint64_t seed;
};

struct model_version {
    struct model_version *older;
    uint64_t commit;
    struct model_value value;
};

struct generation {
    char name[8];
    sdb_keyspace *handle;
    uint64_t made, dropped; /* commits; dropped 0: it is there */
    struct model_version *cells[KEYS];
};

struct own_value {
    bool changed;
    bool by_range; /* deleted with a range, not by itself: nothing happens if it is not there */
    struct model_value value;
    unsigned merge_count; /* merged into that, or into what is committed */
    struct model_value merges[MERGES]; /* operands of KV_MERGE */
};

struct own {
    bool touched; /* there is an operation, even if it changes no key */
    struct own_value cells[KEYS];
};

struct mark {
    uint64_t serial;
    struct own *owns[GENERATIONS];
};

struct view {
    uint64_t snapshot;
    bool serializable;
    bool read[GENERATIONS][KEYS]; /* what it was told of, if it is serializable */
    bool saw[GENERATIONS][KEYS];  /* keys that it got or came to, if it is not */
    bool saw_any;
    bool touched[GENERATIONS];    /* it may have been told that there are no keys of some range */
    size_t read_bytes;            /* of the keys that bound what was read */
    struct own *owns[GENERATIONS]; /* NULL: nothing changed there */
    struct mark marks[MARKS];
    unsigned mark_count;
};

struct model {
    struct universe universe;
    struct generation generations[GENERATIONS];
    unsigned generation_count;
    uint64_t commit; /* number of the last one */
};

void model_done(struct model *m);

/* What a view sees; `own` NULL for the newest committed. */
struct model_value model_see(const struct model *m, const struct view *view, unsigned generation,
                             unsigned key);
/* What is committed now. */
struct model_value model_newest(const struct model *m, unsigned generation, unsigned key);

void view_change(struct view *view, unsigned generation, unsigned key, struct model_value value);
/* Merges with KV_MERGE. False: the key has MERGES of them already. */
bool view_merge(struct view *view, unsigned generation, unsigned key, struct model_value operand);
/* The view has got a key, or come to it. */
void view_see(struct view *view, unsigned generation, unsigned key);
/* Deletes keys [lower, upper). `blind`: in a batch, which forgets nothing that it did before. */
void view_del_range(struct view *view, unsigned generation, unsigned lower, unsigned upper,
                    bool blind);
void view_done(struct view *view);
/* True when the view has any change. */
bool view_has_changes(const struct view *view);
void view_mark(struct view *view, uint64_t serial);
/* Rolls back to mark number `at`; later ones are forgotten. */
void view_rollback(struct view *view, unsigned at);

/* The view has been told of the keys [from, to) of a generation; `bytes` long are their names. */
void view_read(struct view *view, unsigned generation, unsigned from, unsigned to, size_t bytes);

/*
 * What a commit of this view must answer. `blind`: a batch, which cannot conflict. A bit for each
 * possible status.
 */
struct verdict {
    bool ok, conflict, notfound;
};
struct verdict model_judge(const struct model *m, const struct view *view, bool blind);
/* The view's changes become commit number m->commit + 1. */
void model_apply(struct model *m, const struct view *view);

/* A new generation, made by the next commit. */
unsigned model_make(struct model *m, const char *name, sdb_keyspace *handle);
void model_drop(struct model *m, unsigned generation);
/* The generation that has this name now, or -1. */
int model_find(const struct model *m, const char *name);
/* Forgets dropped generations and all but the newest versions: nobody has a view. */
void model_compact(struct model *m);

#endif
