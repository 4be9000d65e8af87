/* SPDX-License-Identifier: Apache-2.0 */
/* kv_model.c */
#include "tests/prop/kv_model.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"

/* ---- the universe ------------------------------------------------------------------------- */

static int compare_slices(const void *a, const void *b)
{
    const sdb_slice *x = a, *y = b;

    return compare_bytes(x->data, x->size, y->data, y->size);
}

static size_t pick_size(uint32_t page_size, uint64_t *random)
{
    size_t most = page_size / 16;

    switch (random_below(random, 16)) {
    case 0: return random_below(random, 3);
    case 1: return most - 1 + random_below(random, 3);
    case 2: return 2 * most - 1 + random_below(random, 3);
    case 3: return most * (1 + random_below(random, 5)) + random_below(random, 20);
    case 4:
        return random_below(random, 12) ? most / 2 + random_below(random, most)
                                        : SDB_KEY_MAX - random_below(random, 2);
    default: return 1 + random_below(random, 24);
    }
}

static uint8_t pick_byte(uint64_t *random)
{
    static const uint8_t favourites[] = {0, 0, 1, 0x61, 0x62, 0x7f, 0x80, 0xfe, 0xff, 0xff};

    return favourites[random_below(random, sizeof favourites)];
}

/* A key that may share a beginning with one of the first `count`. */
static void make_key(struct universe *u, unsigned at, uint32_t page_size, uint64_t *random)
{
    size_t size = pick_size(page_size, random), i = 0;
    uint8_t *data, filler = pick_byte(random);

    if (size > SDB_KEY_MAX) size = SDB_KEY_MAX;
    data = malloc(size + 1);
    ck_assert_ptr_nonnull(data);
    if (at && random_below(random, 4)) {
        sdb_slice other = u->keys[random_below(random, at)];

        i = other.size < size ? other.size : size;
        if (random_below(random, 3) == 0) i = random_below(random, i + 1);
        memcpy(data, other.data, i);
        if (i && random_below(random, 4) == 0) data[i - 1]++;
    }
    if (random_below(random, 2))
        for (; i < size; i++) data[i] = pick_byte(random);
    else if (i < size)
        memset(data + i, filler, size - i);
    u->keys[at] = (sdb_slice){data, size};
}

void universe_make(struct universe *u, uint32_t page_size, uint64_t *random)
{
    unsigned kept = 1;

    for (unsigned i = 0; i < KEYS; i++) make_key(u, i, page_size, random);
    qsort(u->keys, KEYS, sizeof *u->keys, compare_slices);
    for (unsigned i = 1; i < KEYS; i++) {
        if (compare_slices(&u->keys[i], &u->keys[kept - 1]) == 0)
            free((void *)(uintptr_t)u->keys[i].data);
        else
            u->keys[kept++] = u->keys[i];
    }
    u->count = kept;
}

void universe_done(struct universe *u)
{
    for (unsigned i = 0; i < u->count; i++) free((void *)(uintptr_t)u->keys[i].data);
    u->count = 0;
}

unsigned universe_find(const struct universe *u, sdb_slice key)
{
    unsigned i = 0;

    while (i < u->count && compare_slices(&u->keys[i], &key) < 0) i++;
    return i;
}

sdb_slice universe_target(const struct universe *u, unsigned number, uint64_t *random,
                          uint8_t *room)
{
    sdb_slice key = u->keys[number];
    size_t size = key.size;

    memcpy(room, key.data, size);
    switch (random_below(random, 6)) {
    case 0: size = random_below(random, size + 1); break;
    case 1:
        if (size) room[size - 1]++;
        break;
    case 2:
        if (size < SDB_KEY_MAX) room[size++] = (uint8_t)random_below(random, 256);
        break;
    case 3:
        if (size) room[random_below(random, size)] ^= (uint8_t)(1u << random_below(random, 8));
        break;
    default: break;
    }
    return (sdb_slice){room, size};
}

bool slice_begins_with(sdb_slice key, sdb_slice prefix)
{
    return key.size >= prefix.size &&
           (prefix.size == 0 || memcmp(key.data, prefix.data, prefix.size) == 0);
}

void universe_range(const struct universe *u, const unsigned numbers[3], uint64_t *random,
                    sdb_range *range, sdb_slice *bounds, uint8_t *room, unsigned *out_lower,
                    unsigned *out_upper)
{
    unsigned lower = 0, upper = u->count, at;

    *range = (sdb_range){0};
    if (random_below(random, 3) == 0) {
        range->prefix = universe_target(u, numbers[0], random, room);
        range->prefix.size = random_below(random, range->prefix.size + 1);
        lower = universe_find(u, range->prefix);
        for (upper = lower; upper < u->count && slice_begins_with(u->keys[upper], range->prefix);)
            upper++;
    }
    if (random_below(random, 3) == 0) {
        bounds[0] = universe_target(u, numbers[1], random, room + SDB_KEY_MAX + 1);
        range->lower = &bounds[0];
        at = universe_find(u, bounds[0]);
        if (at > lower) lower = at;
    }
    if (random_below(random, 3) == 0) {
        bounds[1] = universe_target(u, numbers[2], random, room + 2 * (SDB_KEY_MAX + 1));
        range->upper = &bounds[1];
        at = universe_find(u, bounds[1]);
        if (at < upper) upper = at;
    }
    *out_lower = lower;
    *out_upper = upper;
}

static bool is_all_ff(sdb_slice s)
{
    const uint8_t *data = s.data;

    for (size_t i = 0; i < s.size; i++)
        if (data[i] != 0xff) return false;
    return true;
}

bool range_is_empty(const sdb_range *range)
{
    sdb_slice lower = range->prefix, prefix = range->prefix;
    const sdb_slice *l = range->lower, *u = range->upper;

    if (l && compare_slices(l, &lower) > 0) lower = *l;
    if (u && compare_slices(&lower, u) >= 0) return true;
    return compare_slices(&lower, &prefix) > 0 && !slice_begins_with(lower, prefix) &&
           !is_all_ff(prefix);
}

/* ---- generations -------------------------------------------------------------------------- */

static void drop_versions(struct model_version *version)
{
    while (version) {
        struct model_version *older = version->older;

        free(version);
        version = older;
    }
}

static void forget_generation(struct generation *g)
{
    for (unsigned i = 0; i < KEYS; i++) drop_versions(g->cells[i]);
    *g = (struct generation){0};
}

void model_done(struct model *m)
{
    for (unsigned i = 0; i < m->generation_count; i++) forget_generation(&m->generations[i]);
    universe_done(&m->universe);
    m->generation_count = 0;
}

unsigned model_make(struct model *m, const char *name, sdb_keyspace *handle)
{
    struct generation *g = &m->generations[m->generation_count];

    ck_assert_uint_lt(m->generation_count, GENERATIONS);
    *g = (struct generation){.handle = handle, .made = ++m->commit};
    strncpy(g->name, name, sizeof g->name - 1);
    return m->generation_count++;
}

void model_drop(struct model *m, unsigned generation)
{
    m->generations[generation].dropped = ++m->commit;
}

int model_find(const struct model *m, const char *name)
{
    for (unsigned i = 0; i < m->generation_count; i++)
        if (!m->generations[i].dropped && strcmp(m->generations[i].name, name) == 0) return (int)i;
    return -1;
}

void model_compact(struct model *m)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < m->generation_count; i++) {
        struct generation *g = &m->generations[i];

        if (g->dropped) {
            forget_generation(g);
            continue;
        }
        for (unsigned k = 0; k < KEYS; k++) {
            if (!g->cells[k]) continue;
            drop_versions(g->cells[k]->older);
            g->cells[k]->older = NULL;
        }
        if (kept != i) {
            m->generations[kept] = *g;
            *g = (struct generation){0};
        }
        kept++;
    }
    m->generation_count = kept;
}

/* ---- views -------------------------------------------------------------------------------- */

struct model_value model_newest(const struct model *m, unsigned generation, unsigned key)
{
    const struct model_version *version = m->generations[generation].cells[key];

    return version ? version->value : (struct model_value){0};
}

/* What KV_MERGE makes of a value. */
static struct model_value merged(struct model_value old, struct model_value operand)
{
    uint8_t *bytes = malloc(old.size + 1);
    sdb_slice slice = {bytes, old.size};

    ck_assert_ptr_nonnull(bytes);
    kv_fill(bytes, old.size, old.seed);
    operand.present = true;
    operand.seed = kv_merged_seed(old.present ? &slice : NULL, operand.seed);
    free(bytes);
    return operand;
}

/* What an own cell comes to on top of a committed value. */
static struct model_value own_outcome(const struct own_value *own, struct model_value committed)
{
    struct model_value value = own->changed ? own->value : committed;

    for (unsigned i = 0; i < own->merge_count; i++) value = merged(value, own->merges[i]);
    return value;
}

struct model_value model_see(const struct model *m, const struct view *view, unsigned generation,
                             unsigned key)
{
    const struct own *own = view->owns[generation];
    const struct model_version *version = m->generations[generation].cells[key];
    struct model_value committed = {0};

    while (version && version->commit > view->snapshot) version = version->older;
    if (version) committed = version->value;
    return own ? own_outcome(&own->cells[key], committed) : committed;
}

static struct own *own_of(struct view *view, unsigned generation)
{
    if (!view->owns[generation]) view->owns[generation] = calloc(1, sizeof *view->owns[generation]);
    ck_assert_ptr_nonnull(view->owns[generation]);
    view->owns[generation]->touched = true;
    return view->owns[generation];
}

void view_change(struct view *view, unsigned generation, unsigned key, struct model_value value)
{
    own_of(view, generation)->cells[key] = (struct own_value){.changed = true, .value = value};
}

bool view_merge(struct view *view, unsigned generation, unsigned key, struct model_value operand)
{
    struct own_value *own = &own_of(view, generation)->cells[key];

    if (own->merge_count == MERGES) return false;
    own->merges[own->merge_count++] = operand;
    return true;
}

void view_see(struct view *view, unsigned generation, unsigned key)
{
    if (view->serializable) return;
    view->saw[generation][key] = view->saw_any = true;
}

void view_del_range(struct view *view, unsigned generation, unsigned lower, unsigned upper,
                    bool blind)
{
    struct own *own = own_of(view, generation);

    for (unsigned k = lower; k < upper; k++) {
        bool alone = blind && own->cells[k].changed && !own->cells[k].by_range;

        own->cells[k] = (struct own_value){.changed = true, .by_range = !alone};
    }
}

static void free_owns(struct own **owns)
{
    for (unsigned i = 0; i < GENERATIONS; i++) {
        free(owns[i]);
        owns[i] = NULL;
    }
}

static void copy_owns(struct own **to, struct own *const *from)
{
    for (unsigned i = 0; i < GENERATIONS; i++) {
        to[i] = NULL;
        if (!from[i]) continue;
        to[i] = malloc(sizeof *to[i]);
        ck_assert_ptr_nonnull(to[i]);
        *to[i] = *from[i];
    }
}

void view_done(struct view *view)
{
    for (unsigned i = 0; i < view->mark_count; i++) free_owns(view->marks[i].owns);
    free_owns(view->owns);
    *view = (struct view){0};
}

bool view_has_changes(const struct view *view)
{
    for (unsigned i = 0; i < GENERATIONS; i++)
        if (view->owns[i] && view->owns[i]->touched) return true;
    return false;
}

void view_mark(struct view *view, uint64_t serial)
{
    struct mark *mark = &view->marks[view->mark_count++];

    mark->serial = serial;
    copy_owns(mark->owns, view->owns);
}

void view_rollback(struct view *view, unsigned at)
{
    free_owns(view->owns);
    copy_owns(view->owns, view->marks[at].owns);
    while (view->mark_count > at + 1) free_owns(view->marks[--view->mark_count].owns);
}

void view_read(struct view *view, unsigned generation, unsigned from, unsigned to, size_t bytes)
{
    if (!view->serializable) return;
    for (unsigned k = from; k < to; k++) view->read[generation][k] = true;
    view->touched[generation] = true;
    view->read_bytes += bytes;
}

/* Conflicts with what was read. What was too long to be kept exactly may conflict with anything. */
static void judge_reads(const struct model *m, const struct view *view, struct verdict *verdict)
{
    if (view->read_bytes > READS_BYTES_MOST / 4 && m->commit > view->snapshot)
        verdict->conflict = true;
    for (unsigned i = 0; i < m->generation_count; i++) {
        const struct generation *g = &m->generations[i];

        if (view->touched[i] && g->dropped) verdict->conflict = true;
        for (unsigned k = 0; view->touched[i] && k < KEYS; k++) {
            if (!view->read[i][k] || (!g->dropped && !(g->cells[k] &&
                                                       g->cells[k]->commit > view->snapshot)))
                continue;
            verdict->conflict = true;
            verdict->ok = false;
        }
    }
}

struct verdict model_judge(const struct model *m, const struct view *view, bool blind)
{
    struct verdict verdict = {0};
    bool maybe = false;

    for (unsigned i = 0; i < m->generation_count; i++) {
        const struct generation *g = &m->generations[i];

        if (view->owns[i] && view->owns[i]->touched && g->dropped) verdict.notfound = true;
        for (unsigned k = 0; view->owns[i] && k < KEYS; k++) {
            const struct own_value *own = &view->owns[i]->cells[k];

            if (!own->changed && !own->merge_count) continue;
            if (blind || !g->cells[k] || g->cells[k]->commit <= view->snapshot) continue;
            if (own->changed || view->saw[i][k])
                verdict.conflict = true;
            else if (view->saw_any) /* the filter may err */
                maybe = true;
        }
    }
    verdict.ok = !verdict.notfound && !verdict.conflict;
    verdict.conflict |= maybe;
    if (view->serializable) judge_reads(m, view, &verdict);
    return verdict;
}

void model_apply(struct model *m, const struct view *view)
{
    m->commit++;
    for (unsigned i = 0; i < m->generation_count; i++) {
        for (unsigned k = 0; view->owns[i] && k < KEYS; k++) {
            const struct own_value *own = &view->owns[i]->cells[k];
            struct model_value newest = model_newest(m, i, k);
            struct model_version *version;

            if (!own->changed && !own->merge_count) continue;
            if (own->by_range && !own->merge_count && !newest.present) continue;
            version = malloc(sizeof *version);
            ck_assert_ptr_nonnull(version);
            *version = (struct model_version){m->generations[i].cells[k], m->commit,
                                              own_outcome(own, newest)};
            m->generations[i].cells[k] = version;
        }
    }
}
