/* SPDX-License-Identifier: Apache-2.0 */
/* kv_cursors.c: random cursors of prop_kv.c: each stands where the model says. */
#include <string.h>

#include "engine/base/bytes.h"
#include "tests/prop/kv_world.h"

static void expect_key(const struct world *w, unsigned key, sdb_slice found)
{
    sdb_slice wanted = w->model.universe.keys[key];

    ck_assert_msg(compare_bytes(wanted.data, wanted.size, found.data, found.size) == 0,
                  "a cursor stands at a key of %zu bytes instead of key %u of %zu bytes",
                  found.size, key, wanted.size);
}

void world_close_cursors(struct actor *a)
{
    for (unsigned i = 0; i < CURSORS; i++) {
        sdb_cursor_close(a->places[i].cursor);
        a->places[i] = (struct place){0};
    }
}

static sdb_slice pick_target(struct world *w, uint8_t *room)
{
    return universe_target(&w->model.universe, world_pick_key(w), &w->random, room);
}

void world_pick_range(struct world *w, sdb_range *range, sdb_slice *bounds, uint8_t *room,
                      struct place *place)
{
    unsigned numbers[3] = {world_pick_key(w), world_pick_key(w), world_pick_key(w)};

    universe_range(&w->model.universe, numbers, &w->random, range, bounds, room, &place->lower,
                   &place->upper);
    place->bytes = 2 * range->prefix.size + (range->lower ? range->lower->size : 0) +
                   (range->upper ? range->upper->size : 0);
}

static void open_cursor(struct world *w, struct actor *a, struct place *place)
{
    static uint8_t room[3 * (SDB_KEY_MAX + 1)];
    sdb_slice bounds[2];
    sdb_range range;
    sdb_status wanted;

    place->generation = world_pick_generation(w);
    wanted = world_may_read(w, a, place->generation);
    world_pick_range(w, &range, bounds, room, place);
    place->where = AT_START;
    IS(sdb_cursor_open(a->txn, w->model.generations[place->generation].handle, &range,
                       &place->cursor),
       wanted);
    memset(room, 0x55, sizeof room); /* the range was copied */
}

/* A cursor has passed the keys [from, to) of its range. `bytes`: of keys, beside its bounds. */
static void note_range(struct actor *a, const struct place *p, unsigned from, unsigned to,
                       size_t bytes)
{
    if (from < p->lower) from = p->lower;
    if (to > p->upper) to = p->upper;
    view_read(&a->view, p->generation, from, to, p->bytes + bytes);
}

void world_count(struct world *w, struct actor *a)
{
    static uint8_t room[3 * (SDB_KEY_MAX + 1)];
    struct place place = {.generation = world_pick_generation(w)};
    sdb_status wanted = world_may_read(w, a, place.generation);
    sdb_slice bounds[2];
    sdb_range range;
    uint64_t counted = 0, expected = 0;

    world_pick_range(w, &range, bounds, room, &place);
    IS(sdb_count(a->txn, w->model.generations[place.generation].handle, &range, &counted), wanted);
    if (wanted != SDB_OK) return;
    note_range(a, &place, place.lower, place.upper, place.bytes * 2 + 2 * SDB_KEY_MAX);
    for (unsigned i = place.lower; i < place.upper; i++)
        expected += model_see(&w->model, &a->view, place.generation, i).present;
    ck_assert_uint_eq(counted, expected);
}

/*
 * The first key in [from, …) resp. the last in (…, to) that the view sees in the place's range;
 * -1.
 */
static int seen_from(const struct world *w, const struct actor *a, const struct place *p, int from)
{
    if (from < (int)p->lower) from = (int)p->lower;
    for (; from < (int)p->upper; from++)
        if (model_see(&w->model, &a->view, p->generation, (unsigned)from).present) return from;
    return -1;
}

static int seen_before(const struct world *w, const struct actor *a, const struct place *p, int to)
{
    if (to > (int)p->upper) to = (int)p->upper;
    while (--to >= (int)p->lower)
        if (model_see(&w->model, &a->view, p->generation, (unsigned)to).present) return to;
    return -1;
}

static void move_cursor(struct world *w, struct actor *a, struct place *p)
{
    static uint8_t room[SDB_KEY_MAX + 1];
    const struct universe *u = &w->model.universe;
    sdb_slice key = {0}, value = {0}, *out = below(w, 4) ? &value : NULL, target = {0};
    sdb_status status;
    bool forward = true;
    int wanted = -1, from = 0; /* where it moves from: the first key passed, or the one behind */

    switch (below(w, 12)) {
    case 0:
        wanted = seen_from(w, a, p, 0);
        status = sdb_cursor_first(p->cursor, &key, out);
        break;
    case 1:
        forward = false;
        from = (int)u->count;
        wanted = seen_before(w, a, p, from);
        status = sdb_cursor_last(p->cursor, &key, out);
        break;
    case 2:
        target = pick_target(w, room);
        from = (int)universe_find(u, target);
        wanted = seen_from(w, a, p, from);
        status = sdb_cursor_seek(p->cursor, target, &key, out);
        break;
    case 3:
        forward = false;
        target = pick_target(w, room);
        from = (int)universe_find(u, target);
        from += from < (int)u->count && compare_bytes(target.data, target.size, u->keys[from].data,
                                                      u->keys[from].size) == 0;
        wanted = seen_before(w, a, p, from);
        status = sdb_cursor_seek_back(p->cursor, target, &key, out);
        break;
    case 4:
    case 5:
    case 6:
    case 7:
        from = p->where == BEHIND_LAST ? (int)u->count : p->where == AT_KEY ? (int)p->at + 1 : 0;
        wanted = seen_from(w, a, p, from);
        status = sdb_cursor_next(p->cursor, &key, out);
        break;
    default:
        forward = false;
        from = p->where == BEFORE_FIRST ? 0 : p->where == AT_KEY ? (int)p->at : (int)u->count;
        wanted = seen_before(w, a, p, from);
        status = sdb_cursor_prev(p->cursor, &key, out);
    }
    IS(status, wanted < 0 ? SDB_END : SDB_OK);
    p->where = wanted >= 0 ? AT_KEY : forward ? BEHIND_LAST : BEFORE_FIRST;
    p->at = (unsigned)wanted;
    if (forward)
        note_range(a, p, (unsigned)from, wanted < 0 ? u->count : (unsigned)wanted + 1,
                   key.size + target.size);
    else
        note_range(a, p, wanted < 0 ? 0 : (unsigned)wanted, (unsigned)from,
                   key.size + target.size);
    if (wanted < 0) return;
    view_see(&a->view, p->generation, (unsigned)wanted);
    expect_key(w, (unsigned)wanted, key);
    if (out)
        world_expect_value(model_see(&w->model, &a->view, p->generation, (unsigned)wanted), value);
}

void world_use_cursor(struct world *w, struct actor *a)
{
    struct place *p = &a->places[below(w, CURSORS)];

    if (!p->cursor) {
        open_cursor(w, a, p);
    } else if (below(w, 15) == 0) {
        sdb_cursor_close(p->cursor);
        p->cursor = NULL;
    }
    for (unsigned i = 0; p->cursor && i < 4; i++) move_cursor(w, a, p);
}
