/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prop_kv.c: random transactions, several at once, against a model that knows what each must see.
 *
 * Every answer is compared: values, order of cursors, counts, which commits conflict, which
 * keyspaces are there, the number of the last commit. SEED repeats a run, ROUNDS makes it longer.
 */
#include "tests/prop/kv_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"

enum { VALUE_MOST = 3 * MIB };

/* ---- values ------------------------------------------------------------------------------- */

static struct model_value pick_value(struct world *w)
{
    struct model_value value = {.present = true, .seed = ++w->serial};
    uint32_t page = w->options.page_size;

    switch (below(w, 40)) {
    case 0: value.size = 0; break;
    case 1:
    case 2:
    case 3: value.size = page / 8 + below(w, page / 4); break;
    case 4: value.size = page + below(w, page); break;
    case 5: value.size = below(w, 200000); break;
    case 6: value.size = below(w, 12) ? 100 : below(w, VALUE_MOST); break;
    case 7:
    case 8:
    case 9:
    case 10: value.size = below(w, page / 8); break;
    default: value.size = below(w, 60);
    }
    return value;
}

static sdb_slice bytes_of_value(struct world *w, struct model_value value)
{
    kv_fill(w->value, value.size, value.seed);
    return (sdb_slice){value.size ? w->value : NULL, value.size};
}

void world_expect_value(struct model_value value, sdb_slice found)
{
    ck_assert_uint_eq(found.size, value.size);
    ck_assert_msg(kv_is_filled(found.data, found.size, value.seed), "the value has other bytes");
}

/* ---- keyspaces ---------------------------------------------------------------------------- */

static const char *const names[NAMES] = {"alpha", "beta", "gamma"};

static unsigned open_keyspace(struct world *w, const char *name)
{
    int at = model_find(&w->model, name);
    sdb_keyspace *handle;

    if (at >= 0) {
        SAYS(sdb_keyspace_open(w->db, name, SDB_KEYSPACE_MUST_MAKE, &handle), SDB_EXISTS, name);
        OK(sdb_keyspace_open(w->db, name, 0, &handle));
        ck_assert_ptr_eq(handle, w->model.generations[at].handle);
        return (unsigned)at;
    }
    IS(sdb_keyspace_open(w->db, name, SDB_KEYSPACE_MUST_EXIST, &handle), SDB_NOTFOUND);
    OK(sdb_keyspace_open(w->db, name, 0, &handle));
    ck_assert_str_eq(sdb_keyspace_name(handle), name);
    return model_make(&w->model, name, handle);
}

static void drop_keyspace(struct world *w)
{
    unsigned at;

    if (w->model.generation_count + NAMES >= GENERATIONS) return;
    at = open_keyspace(w, names[below(w, NAMES)]);
    OK(sdb_keyspace_drop(w->model.generations[at].handle));
    model_drop(&w->model, at);
    if (below(w, 2)) IS(sdb_keyspace_drop(w->model.generations[at].handle), SDB_NOTFOUND);
}

/* A generation, most often one that is there. */
unsigned world_pick_generation(struct world *w)
{
    if (below(w, 12) == 0 && w->model.generation_count)
        return (unsigned)below(w, w->model.generation_count);
    if (w->model.generation_count + NAMES >= GENERATIONS) {
        int at = model_find(&w->model, names[below(w, NAMES)]);

        return at < 0 ? 0 : (unsigned)at;
    }
    return open_keyspace(w, names[below(w, NAMES)]);
}

static void walk_names(struct world *w)
{
    char name[SDB_KEYSPACE_NAME_MAX + 1] = "", *after = NULL;
    unsigned count = 0;
    sdb_status status;

    while ((status = sdb_keyspace_next(w->db, after, name)) == SDB_OK) {
        ck_assert_msg(model_find(&w->model, name) >= 0, "there should be no \"%s\"", name);
        after = name;
        count++;
    }
    IS(status, SDB_END);
    for (unsigned i = 0; i < NAMES; i++) count -= model_find(&w->model, names[i]) >= 0;
    ck_assert_uint_eq(count, 0);
}

/* ---- transactions ------------------------------------------------------------------------- */

unsigned world_pick_key(struct world *w)
{
    unsigned count = w->model.universe.count;

    /* half of the time near the front, so that transactions meet */
    return (unsigned)below(w, below(w, 2) ? count : count / 8 + 1);
}

static void begin(struct world *w, struct actor *a)
{
    static const unsigned kinds[] = {SDB_TXN_READ, SDB_TXN_WRITE, SDB_TXN_WRITE, SDB_TXN_BATCH,
                                     SDB_TXN_WRITE | SDB_TXN_SERIALIZABLE,
                                     SDB_TXN_WRITE | SDB_TXN_SERIALIZABLE};

    a->flags = kinds[below(w, sizeof kinds / sizeof *kinds)];
    OK(sdb_txn_begin(w->db, a->flags, &a->txn));
    a->view.snapshot = w->model.commit;
    a->view.serializable = (a->flags & SDB_TXN_SERIALIZABLE) != 0;
}

static void forget(struct actor *a)
{
    a->txn = NULL;
    view_done(&a->view);
}

static void expect_commit_number(struct world *w)
{
    sdb_stats stats = {.size = sizeof stats};

    OK(sdb_stat(w->db, &stats));
    ck_assert_uint_eq(stats.commit_sequence, w->model.commit);
}

static void expect_verdict(struct world *w, const struct view *view, bool blind, sdb_status status)
{
    struct verdict verdict = model_judge(&w->model, view, blind);

    if (!view_has_changes(view)) {
        IS(status, SDB_OK);
        return;
    }
    switch (status) {
    case SDB_OK: ck_assert_msg(verdict.ok, "a commit went through that must not"); break;
    case SDB_CONFLICT: ck_assert_msg(verdict.conflict, "a conflict with nobody"); break;
    case SDB_NOTFOUND: ck_assert_msg(verdict.notfound, "no keyspace was dropped"); break;
    default: ck_abort_msg("commit: %s (%s)", sdb_status_name(status), sdb_errmsg());
    }
    w->conflicts += status == SDB_CONFLICT;
    if (status == SDB_OK) {
        model_apply(&w->model, view);
        w->commits++;
    }
}

static void end(struct world *w, struct actor *a)
{
    sdb_status status;

    world_close_cursors(a);
    if (below(w, 6) == 0) {
        sdb_txn_abort(a->txn);
    } else {
        if (w->io && below(w, 4) == 0) sdb_txn_set_durability(a->txn, SDB_DURABILITY_FULL);
        status = sdb_txn_commit(a->txn);
        expect_verdict(w, &a->view, (a->flags & SDB_TXN_BATCH) != 0, status);
    }
    forget(a);
    expect_commit_number(w);
}

/* ---- reading and changing ----------------------------------------------------------------- */

static bool is_batch(const struct actor *a)
{
    return (a->flags & SDB_TXN_BATCH) != 0;
}

/* What reads of this generation must answer before they look for anything. */
sdb_status world_may_read(const struct world *w, const struct actor *a, unsigned generation)
{
    uint64_t dropped = w->model.generations[generation].dropped;

    if (is_batch(a)) return SDB_INVALID;
    return dropped && a->view.snapshot >= dropped ? SDB_NOTFOUND : SDB_OK;
}

/* The transaction looks for one key; its own changes it knows without looking. */
static void look(struct world *w, struct actor *a, unsigned generation, unsigned key, bool by_get)
{
    const struct own *own = a->view.owns[generation];

    if (own && (own->cells[key].changed || (own->cells[key].merge_count && !by_get))) return;
    view_see(&a->view, generation, key);
    view_read(&a->view, generation, key, key + 1, w->model.universe.keys[key].size);
}

static void get(struct world *w, struct actor *a)
{
    unsigned g = world_pick_generation(w), key = world_pick_key(w);
    sdb_keyspace *handle = w->model.generations[g].handle;
    sdb_status wanted = world_may_read(w, a, g);
    struct model_value value = model_see(&w->model, &a->view, g, key);
    sdb_slice found = {0};

    if (wanted == SDB_OK) look(w, a, g, key, true);
    if (wanted == SDB_OK && !value.present) wanted = SDB_NOTFOUND;
    IS(sdb_get(a->txn, handle, w->model.universe.keys[key], &found), wanted);
    if (wanted == SDB_OK) world_expect_value(value, found);
}

static void get_copy(struct world *w)
{
    unsigned g = world_pick_generation(w), key = world_pick_key(w);
    struct model_value value = model_newest(&w->model, g, key);
    size_t size = 77, capacity = below(w, 4) ? VALUE_MOST : below(w, 100);
    sdb_status wanted = value.present && !w->model.generations[g].dropped ? SDB_OK : SDB_NOTFOUND;

    if (wanted == SDB_OK && value.size > capacity) wanted = SDB_LIMIT;
    IS(sdb_get_copy(w->model.generations[g].handle, w->model.universe.keys[key], w->value, capacity,
                    &size),
       wanted);
    if (wanted == SDB_OK) world_expect_value(value, (sdb_slice){w->value, size});
    ck_assert_uint_eq(size, wanted == SDB_NOTFOUND ? 77 : value.size);
}

static void put(struct world *w, struct actor *a, bool insert)
{
    unsigned g = world_pick_generation(w), key = world_pick_key(w);
    const struct generation *generation = &w->model.generations[g];
    struct model_value value = pick_value(w);
    sdb_slice bytes = bytes_of_value(w, value), where = w->model.universe.keys[key];
    sdb_status wanted = SDB_OK;

    if (a->flags == SDB_TXN_READ)
        wanted = SDB_READONLY;
    else if (generation->dropped)
        wanted = SDB_NOTFOUND;
    else if (insert && is_batch(a))
        wanted = SDB_INVALID;
    else if (insert && model_see(&w->model, &a->view, g, key).present)
        wanted = SDB_EXISTS;
    if (insert && (wanted == SDB_OK || wanted == SDB_EXISTS)) look(w, a, g, key, false);
    if (insert)
        IS(sdb_insert(a->txn, generation->handle, where, bytes), wanted);
    else
        IS(sdb_put(a->txn, generation->handle, where, bytes), wanted);
    if (wanted == SDB_OK) view_change(&a->view, g, key, value);
}

static void del(struct world *w, struct actor *a)
{
    unsigned g = world_pick_generation(w), key = world_pick_key(w);
    const struct generation *generation = &w->model.generations[g];
    sdb_status wanted = SDB_OK;

    if (a->flags == SDB_TXN_READ)
        wanted = SDB_READONLY;
    else if (generation->dropped ||
             (!is_batch(a) && !model_see(&w->model, &a->view, g, key).present))
        wanted = SDB_NOTFOUND;
    if (wanted != SDB_READONLY && !generation->dropped && !is_batch(a)) look(w, a, g, key, false);
    IS(sdb_del(a->txn, generation->handle, w->model.universe.keys[key]), wanted);
    if (wanted == SDB_OK) view_change(&a->view, g, key, (struct model_value){0});
}

/* Merges, in a transaction or (NULL) alone. */
static void merge(struct world *w, struct actor *a)
{
    unsigned g = world_pick_generation(w), key = world_pick_key(w);
    const struct generation *generation = &w->model.generations[g];
    struct model_value operand = pick_value(w);
    sdb_status wanted = generation->dropped ? SDB_NOTFOUND : SDB_OK;
    struct view view = {0};
    uint8_t room[KV_OPERAND];
    sdb_slice bytes = kv_operand(room, operand.seed, operand.size);

    if (a && a->flags == SDB_TXN_READ) wanted = SDB_READONLY;
    if (wanted == SDB_OK && !view_merge(a ? &a->view : &view, g, key, operand)) return;
    IS(sdb_merge(a ? a->txn : NULL, generation->handle, KV_MERGE, w->model.universe.keys[key],
                 bytes),
       wanted);
    if (!a && wanted == SDB_OK) model_apply(&w->model, &view);
    view_done(&view);
}

/* Deletes a range, in a transaction or (NULL) alone. */
static void del_range(struct world *w, struct actor *a)
{
    static uint8_t room[3 * (SDB_KEY_MAX + 1)];
    struct place place = {.generation = world_pick_generation(w)};
    const struct generation *generation = &w->model.generations[place.generation];
    struct view view = {0};
    sdb_status wanted = SDB_OK;
    sdb_slice bounds[2];
    sdb_range range;
    bool none;

    world_pick_range(w, &range, bounds, room, &place);
    none = range_is_empty(&range);
    if (a && a->flags == SDB_TXN_READ)
        wanted = SDB_READONLY;
    else if (generation->dropped)
        wanted = SDB_NOTFOUND;
    IS(sdb_del_range(a ? a->txn : NULL, generation->handle, &range), wanted);
    memset(room, 0x55, sizeof room); /* the range was copied */
    if (wanted != SDB_OK || none) return;
    view_del_range(a ? &a->view : &view, place.generation, place.lower, place.upper,
                   !a || is_batch(a));
    if (!a) model_apply(&w->model, &view);
    view_done(&view);
}

/* A change without a transaction. */
static void change_alone(struct world *w)
{
    unsigned g = world_pick_generation(w), key = world_pick_key(w);
    const struct generation *generation = &w->model.generations[g];
    sdb_status wanted = generation->dropped ? SDB_NOTFOUND : SDB_OK;
    struct view view = {0};
    struct model_value value = {0};

    if (below(w, 3)) {
        value = pick_value(w);
        IS(sdb_put(NULL, generation->handle, w->model.universe.keys[key], bytes_of_value(w, value)),
           wanted);
    } else {
        IS(sdb_del(NULL, generation->handle, w->model.universe.keys[key]), wanted);
    }
    if (wanted == SDB_OK) {
        view_change(&view, g, key, value);
        model_apply(&w->model, &view);
        view_done(&view);
    }
}

static void savepoint(struct world *w, struct actor *a)
{
    uint64_t serial;
    unsigned at;

    if (a->view.mark_count < MARKS && below(w, 2)) {
        OK(sdb_savepoint_set(a->txn, &serial));
        view_mark(&a->view, serial);
    } else if (a->view.mark_count) {
        at = (unsigned)below(w, a->view.mark_count);
        serial = a->view.marks[a->view.mark_count - 1].serial;
        OK(sdb_savepoint_rollback(a->txn, a->view.marks[at].serial));
        if (at + 1 < a->view.mark_count) IS(sdb_savepoint_rollback(a->txn, serial), SDB_NOTFOUND);
        view_rollback(&a->view, at);
    }
}

/* ---- opening and closing ------------------------------------------------------------------ */

static void open_db(struct world *w)
{
    if (w->io)
        w->db = kv_open(w->io, &w->options);
    else
        OK(sdb_open(":memory:", &w->options, &w->db));
}

static void read_all(struct world *w)
{
    struct actor reader = {.view = {.snapshot = w->model.commit}};
    sdb_slice found;

    OK(sdb_txn_begin(w->db, SDB_TXN_READ, &reader.txn));
    for (unsigned g = 0; g < w->model.generation_count; g++) {
        if (w->model.generations[g].dropped) continue;
        for (unsigned k = 0; k < w->model.universe.count; k++) {
            struct model_value value = model_see(&w->model, &reader.view, g, k);

            IS(sdb_get(reader.txn, w->model.generations[g].handle, w->model.universe.keys[k],
                       &found),
               value.present ? SDB_OK : SDB_NOTFOUND);
            if (value.present) world_expect_value(value, found);
        }
    }
    OK(sdb_txn_commit(reader.txn));
}

static void reopen(struct world *w)
{
    bool crash = below(w, 2);
    unsigned busy = 0;

    for (unsigned i = 0; i < TXNS; i++) busy += w->actors[i].txn != NULL;
    if (busy && !crash) SAYS(sdb_close(w->db), SDB_BUSY, "transactions are still open");
    if (crash) {
        OK(sdb_sync(w->db));
        OK(sdb__sim_restart(w->io, below(w, 3) ? w->random : below(w, 2) ? 0 : UINT64_MAX));
    }
    for (unsigned i = 0; i < TXNS; i++) {
        if (!w->actors[i].txn) continue;
        world_close_cursors(&w->actors[i]);
        sdb_txn_abort(w->actors[i].txn);
        forget(&w->actors[i]);
    }
    if (crash)
        (void)!sdb_close(w->db);
    else
        OK(sdb_close(w->db));
    model_compact(&w->model);
    open_db(w);
    for (unsigned i = 0; i < w->model.generation_count; i++)
        OK(sdb_keyspace_open(w->db, w->model.generations[i].name, SDB_KEYSPACE_MUST_EXIST,
                             &w->model.generations[i].handle));
    walk_names(w);
    expect_commit_number(w);
    read_all(w);
    w->reopened++;
    w->crashed += crash;
}

/* ---- runs --------------------------------------------------------------------------------- */

static void act(struct world *w, struct actor *a)
{
    if (!a->txn) {
        begin(w, a);
        return;
    }
    switch (below(w, 30)) {
    case 0:
    case 24:
    case 25:
        if (w->options.txn_memory_bytes && below(w, 4))
            put(w, a, false); /* what is spilled has to grow first */
        else
            end(w, a);
        break;
    case 1:
    case 2:
    case 3: get(w, a); break;
    case 4:
    case 5: savepoint(w, a); break;
    case 6:
    case 7:
    case 8:
    case 9:
    case 10: put(w, a, false); break;
    case 11: put(w, a, true); break;
    case 26:
    case 27:
    case 28:
    case 29: merge(w, a); break;
    case 12:
    case 13:
    case 14: del(w, a); break;
    case 15:
        if (below(w, 4) == 0) world_count(w, a);
        else if (below(w, 3) == 0) del_range(w, a);
        break;
    default: world_use_cursor(w, a);
    }
}

static void step(struct world *w)
{
    uint64_t what = below(w, 500);

    if (what == 0 && w->io)
        reopen(w);
    else if (what == 1)
        OK(sdb_checkpoint(w->db));
    else if (what == 2)
        drop_keyspace(w);
    else if (what == 3)
        walk_names(w);
    else if (what == 4)
        kv_check_sound(w->db);
    else if (what == 5)
        del_range(w, NULL);
    else if (what < 12)
        merge(w, NULL);
    else if (what < 30)
        change_alone(w);
    else if (what < 50)
        get_copy(w);
    else
        act(w, &w->actors[below(w, TXNS)]);
}

static void run(uint64_t seed, uint32_t page_size, bool in_memory)
{
    struct world *w = calloc(1, sizeof *w);
    sdb_stats stats = {.size = sizeof stats};

    ck_assert_ptr_nonnull(w);
    w->random = seed;
    w->value = malloc(VALUE_MOST);
    w->options = kv_options(page_size);
    w->options.checkpoint_bytes = 1 + below(w, 4) * MIB;
    if (below(w, 3)) w->options.txn_memory_bytes = UINT64_C(4096) << below(w, 5);
    if (below(w, 2)) w->options.log_compression = SDB_COMPRESSION_LZ4;
    w->options.durability = (sdb_durability)(SDB_DURABILITY_FULL + below(w, 3));
    w->io = in_memory ? NULL : kv_disk(seed);
    universe_make(&w->model.universe, page_size, &w->random);
    open_db(w);
    for (unsigned i = 0; i < STEPS; i++) step(w);
    for (unsigned i = 0; i < TXNS; i++)
        if (w->actors[i].txn) end(w, &w->actors[i]);
    read_all(w);
    kv_check_sound(w->db);
    OK(sdb_stat(w->db, &stats));
    OK(sdb_close(w->db));
    if (w->io) {
        kv_check_file_sound(w->io);
        sdb__io_free(w->io);
    }
    printf("page %u, seed %llu: %u commits, %u conflicts, opened again %u times, %u of them after "
           "a crash, %llu bytes spilled\n",
           page_size, (unsigned long long)seed, w->commits, w->conflicts, w->reopened, w->crashed,
           (unsigned long long)stats.spilled_bytes);
    (void)fflush(stdout);
    model_done(&w->model);
    free(w->value);
    free(w);
}

/* Each case: runs with its page size, on disk and in memory. */
START_TEST(every_answer_is_the_models)
{
    uint32_t page_size = (uint32_t)4096 << _i;
    uint64_t seed = kv_seed("prop_kv", 20260) + (uint64_t)_i * 1000;
    uint64_t rounds = kv_number("ROUNDS", 6);

    for (uint64_t i = 0; i < rounds; i++) run(seed + i, page_size, i % 3 == 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("prop_kv");
    TCase *cases = tcase_create("model");

    tcase_set_timeout(cases, 120);
    tcase_add_loop_test(cases, every_answer_is_the_models, 0, 5);
    suite_add_tcase(suite, cases);
    return kv_main(suite);
}
