/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prop_expiry.c: random puts, merges, transactions, removals and crashes under a clock that random
 * steps move, against a model that knows what each reader must see at its time.
 *
 * SEED repeats a run, ROUNDS makes it longer.
 */
#include "tests/kv/kv_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"

enum { SPACES = 2, KEYS = 24, READERS = 3, OPS = 12, VALUE_MOST = 6000, START = 1000000 };

struct entry {
    bool present;
    size_t size;
    uint64_t seed, expiry;
    bool expiry_unknown; /* of an own merge: it follows from the time of the commit */
};

struct state {
    struct entry entries[SPACES][KEYS];
};

/* What a transaction does: at its commit, to what is there then. */
struct change {
    enum { PUT, DEL, MERGE } kind;
    unsigned space, key;
    struct entry value;
};

struct reader {
    sdb_txn *txn;
    struct state sees;
    uint64_t now;
};

struct world {
    uint64_t random, serial;
    struct io *io;
    sdb_options options;
    sdb_db *db;
    sdb_keyspace *spaces[SPACES];
    uint64_t ttl[SPACES];
    struct state state;
    struct reader readers[READERS];
    uint8_t *room;
    uint64_t removed;
};

static const char *const names[SPACES] = {"one", "two"};
static uint64_t clock_ms;

static uint64_t tell_time(void)
{
    return clock_ms;
}

static uint64_t below(struct world *w, uint64_t limit)
{
    return random_below(&w->random, limit);
}

/* Every fifth key is too long for a node. */
static sdb_slice key_of(unsigned i)
{
    static char key[800];
    size_t size = 0;

    if (i % 5 == 0) {
        size = 700;
        memset(key, 'k', size);
    }
    size += (size_t)snprintf(key + size, 8, "%03u", i);
    return (sdb_slice){key, size};
}

static bool is_there(const struct entry *e, uint64_t now)
{
    return e->present && (e->expiry == 0 || e->expiry > now);
}

static sdb_slice bytes_of_entry(struct world *w, const struct entry *e)
{
    kv_fill(w->room, e->size, e->seed);
    return (sdb_slice){w->room, e->size};
}

static struct entry pick_value(struct world *w)
{
    struct entry e = {.present = true, .seed = ++w->serial};

    e.size = below(w, 8) ? below(w, 80) : below(w, VALUE_MOST);
    return e;
}

/* An expiry some time before or after now, or none. */
static uint64_t pick_expiry(struct world *w)
{
    return below(w, 5) ? clock_ms - 5 + below(w, 60) : 0;
}

static uint64_t default_expiry(const struct world *w, unsigned space)
{
    return w->ttl[space] ? clock_ms + w->ttl[space] : 0;
}

/* ---- what changes make -------------------------------------------------------------------- */

static void apply(struct world *w, struct state *state, const struct change *c, uint64_t now,
                  uint64_t merged_expiry, bool unknown)
{
    struct entry *e = &state->entries[c->space][c->key], old = *e;
    sdb_slice bytes;

    *e = c->value;
    e->present = c->kind != DEL;
    if (c->kind != MERGE) return;
    bytes = bytes_of_entry(w, &old);
    e->seed = kv_merged_seed(is_there(&old, now) ? &bytes : NULL, c->value.seed);
    e->expiry = is_there(&old, now) ? old.expiry : merged_expiry;
    e->expiry_unknown = is_there(&old, now) ? old.expiry_unknown : unknown;
}

/* What is committed just now, by itself or as part of a transaction. */
static void commit(struct world *w, const struct change *c)
{
    apply(w, &w->state, c, clock_ms, default_expiry(w, c->space), false);
}

/* ---- looking ------------------------------------------------------------------------------ */

static void expect_key(struct world *w, sdb_txn *txn, unsigned space, unsigned key,
                       const struct entry *e, uint64_t now)
{
    sdb_slice value;
    uint64_t expiry;
    sdb_status status = sdb_get(txn, w->spaces[space], key_of(key), &value);

    if (status != (is_there(e, now) ? SDB_OK : SDB_NOTFOUND))
        ck_abort_msg("key %u of %s is %s, should be %s: expiry %llu at %llu", key, names[space],
                     sdb_status_name(status), is_there(e, now) ? "there" : "gone",
                     (unsigned long long)e->expiry, (unsigned long long)now);
    if (status == SDB_OK && !(value.size == e->size && kv_is_filled(value.data, e->size, e->seed)))
        ck_abort_msg("key %u of %s has another value", key, names[space]);
    status = sdb_expiry_get(txn, w->spaces[space], key_of(key), &expiry);
    if (status == SDB_OK && !e->expiry_unknown && expiry != e->expiry)
        ck_abort_msg("key %u of %s expires at %llu, not at %llu", key, names[space],
                     (unsigned long long)expiry, (unsigned long long)e->expiry);
}

static void expect_walk(struct world *w, sdb_txn *txn, unsigned space, const struct state *sees,
                        uint64_t now)
{
    bool forward = below(w, 2);
    sdb_cursor *cursor;
    sdb_slice key, value;
    unsigned wanted = 0, count = 0;

    for (unsigned k = 0; k < KEYS; k++) wanted += is_there(&sees->entries[space][k], now);
    MUST(sdb_cursor_open(txn, w->spaces[space], NULL, &cursor));
    while ((forward ? sdb_cursor_next(cursor, &key, &value)
                    : sdb_cursor_prev(cursor, &key, &value)) == SDB_OK) {
        const char *digits = (const char *)key.data + key.size - 3;
        unsigned k = (unsigned)(digits[0] * 100 + digits[1] * 10 + digits[2] - '0' * 111);
        const struct entry *e = &sees->entries[space][k];

        if (!is_there(e, now) || value.size != e->size ||
            !kv_is_filled(value.data, e->size, e->seed))
            ck_abort_msg("a cursor meets key %u of %s with a value that is not its", k,
                         names[space]);
        count++;
    }
    sdb_cursor_close(cursor);
    if (count != wanted)
        ck_abort_msg("a cursor meets %u keys of %s, not %u", count, names[space], wanted);
}

static void expect_all(struct world *w, sdb_txn *txn, const struct state *sees, uint64_t now)
{
    for (unsigned s = 0; s < SPACES; s++) {
        expect_walk(w, txn, s, sees, now);
        for (unsigned k = 0; k < KEYS; k++)
            expect_key(w, txn, s, k, &sees->entries[s][k], now);
    }
}

static void expect_newest(struct world *w)
{
    sdb_txn *txn = kv_begin(w->db, SDB_TXN_READ);

    expect_all(w, txn, &w->state, clock_ms);
    sdb_txn_abort(txn);
}

/* ---- changing ----------------------------------------------------------------------------- */

/* One change, in a transaction or (NULL) alone. Returns whether there was any. */
static bool change(struct world *w, sdb_txn *txn, const struct state *sees, uint64_t now,
                   struct change *c)
{
    uint8_t operand[KV_OPERAND];
    const struct entry *e;
    sdb_keyspace *space;
    sdb_slice key;

    *c = (struct change){PUT, (unsigned)below(w, SPACES), (unsigned)below(w, KEYS), pick_value(w)};
    e = &sees->entries[c->space][c->key];
    space = w->spaces[c->space];
    key = key_of(c->key);
    switch (below(w, 8)) {
    case 0:
        c->kind = DEL;
        c->value = (struct entry){0};
        IS(sdb_del(txn, space, key), !txn || is_there(e, now) ? SDB_OK : SDB_NOTFOUND);
        return !txn || is_there(e, now);
    case 1:
    case 2:
        c->kind = MERGE;
        MUST(sdb_merge(txn, space, KV_MERGE, key,
                       kv_operand(operand, c->value.seed, c->value.size)));
        return true;
    case 3: /* the same value until another time */
        c->value = *e;
        c->value.expiry = pick_expiry(w);
        c->value.expiry_unknown = false;
        IS(sdb_expiry_set(txn, space, key, c->value.expiry),
           is_there(e, now) ? SDB_OK : SDB_NOTFOUND);
        return is_there(e, now);
    case 4:
        if (!txn) break;
        c->value.expiry = default_expiry(w, c->space);
        IS(sdb_insert(txn, space, key, bytes_of_entry(w, &c->value)),
           is_there(e, now) ? SDB_EXISTS : SDB_OK);
        return !is_there(e, now);
    case 5:
        c->value.expiry = default_expiry(w, c->space);
        MUST(sdb_put(txn, space, key, bytes_of_entry(w, &c->value)));
        return true;
    default: break;
    }
    c->value.expiry = pick_expiry(w);
    MUST(sdb_put_expiring(txn, space, key, bytes_of_entry(w, &c->value), c->value.expiry));
    return true;
}

static void change_alone(struct world *w)
{
    struct change c;

    if (change(w, NULL, &w->state, clock_ms, &c)) commit(w, &c);
}

/* Several changes, seen by who makes them at the time at which he began. */
static void change_together(struct world *w)
{
    unsigned flags = SDB_TXN_WRITE | (below(w, 2) ? SDB_TXN_SERIALIZABLE : 0u);
    sdb_txn *txn = kv_begin(w->db, flags);
    struct change changes[OPS];
    struct state own = w->state;
    uint64_t now = clock_ms;
    unsigned count = 0;

    for (unsigned i = 1 + (unsigned)below(w, OPS); i > 0; i--) {
        if (change(w, txn, &own, now, &changes[count])) {
            apply(w, &own, &changes[count], now, UINT64_MAX, true);
            count++;
        }
        if (below(w, 3) == 0) clock_ms += below(w, 12);
        if (below(w, 8) == 0) {
            uint64_t removed;

            MUST(sdb_expire(w->db, 0, &removed)); /* is never in its way */
            w->removed += removed;
        }
        if (below(w, 3) == 0) expect_all(w, txn, &own, now);
    }
    if (below(w, 5) == 0) {
        sdb_txn_abort(txn);
        return;
    }
    MUST(sdb_txn_commit(txn));
    for (unsigned i = 0; i < count; i++) commit(w, &changes[i]);
}

static void delete_range(struct world *w)
{
    unsigned space = (unsigned)below(w, SPACES);
    char lower_room[800];
    sdb_slice key = key_of((unsigned)below(w, KEYS)), lower = {lower_room, key.size};
    sdb_range range = {.lower = &lower};

    memcpy(lower_room, key.data, key.size);
    for (unsigned k = 0; k < KEYS; k++) {
        sdb_slice at = key_of(k);

        if (compare_bytes(at.data, at.size, lower.data, lower.size) >= 0)
            w->state.entries[space][k].present = false;
    }
    MUST(sdb_del_range(NULL, w->spaces[space], &range));
}

/* ---- the run ------------------------------------------------------------------------------ */

static void end_reader(struct reader *r)
{
    sdb_txn_abort(r->txn);
    r->txn = NULL;
}

static void use_reader(struct world *w)
{
    struct reader *r = &w->readers[below(w, READERS)];

    if (!r->txn) {
        *r = (struct reader){kv_begin(w->db, SDB_TXN_READ), w->state, clock_ms};
        return;
    }
    expect_all(w, r->txn, &r->sees, r->now);
    if (below(w, 3) == 0) end_reader(r);
}

static void open_db(struct world *w)
{
    w->db = kv_open(w->io, &w->options);
    sdb__db_set_clock(w->db, tell_time);
    for (unsigned s = 0; s < SPACES; s++) w->spaces[s] = kv_keyspace(w->db, names[s]);
}

static void open_again(struct world *w, bool crash)
{
    for (unsigned i = 0; i < READERS; i++) end_reader(&w->readers[i]);
    if (crash) {
        MUST(sdb_sync(w->db));
        MUST(sdb__sim_restart(w->io, random_next(&w->random)));
        (void)!sdb_close(w->db);
    } else {
        MUST(sdb_close(w->db));
    }
    open_db(w);
}

/* Everything that has expired is gone from the trees, as far as nobody sees it. */
static void remove_all(struct world *w)
{
    sdb_check_result result = {.size = sizeof result};
    uint64_t removed, there = 0;

    for (unsigned i = 0; i < READERS; i++) end_reader(&w->readers[i]);
    MUST(sdb_expire(w->db, 0, &removed));
    w->removed += removed;
    MUST(sdb_check(w->db, NULL, NULL, NULL, &result));
    for (unsigned s = 0; s < SPACES; s++)
        for (unsigned k = 0; k < KEYS; k++) there += is_there(&w->state.entries[s][k], clock_ms);
    ck_assert_uint_eq(result.entries, there);
}

static void step(struct world *w)
{
    unsigned space = (unsigned)below(w, SPACES);
    uint64_t removed;

    switch (below(w, 30)) {
    case 0: MUST(sdb_checkpoint(w->db)); break;
    case 1: open_again(w, below(w, 3) > 0); break;
    case 2: delete_range(w); break;
    case 3:
        w->ttl[space] = below(w, 2) ? 0 : 1 + below(w, 40);
        MUST(sdb_keyspace_set_ttl(w->spaces[space], w->ttl[space]));
        break;
    case 4: remove_all(w); break;
    case 5:
    case 6:
        MUST(sdb_expire(w->db, below(w, 6), &removed));
        w->removed += removed;
        break;
    case 7:
    case 8:
    case 9: clock_ms += below(w, 20); break;
    case 10:
    case 11:
    case 12: use_reader(w); break;
    case 13: expect_newest(w); break;
    case 14:
    case 15:
    case 16:
    case 17: change_together(w); break;
    default: change_alone(w);
    }
}

START_TEST(every_reader_sees_what_is_there_at_its_time)
{
    struct world w = {.random = kv_seed("prop_expiry", 12)};
    uint64_t rounds = kv_number("ROUNDS", 60);

    w.room = malloc(VALUE_MOST);
    ck_assert_ptr_nonnull(w.room);
    for (uint64_t round = 0; round < rounds; round++) {
        clock_ms = START;
        memset(&w.state, 0, sizeof w.state);
        memset(w.ttl, 0, sizeof w.ttl);
        w.io = kv_disk(random_next(&w.random));
        w.options = kv_options(4096);
        if (round % 3 == 1) w.options.txn_memory_bytes = 4096; /* transactions spill */
        open_db(&w);
        OK(sdb_put_expiring(NULL, w.spaces[0], key_of(0), (sdb_slice){NULL, 0}, START));
        for (int i = 0; i < 600; i++) step(&w);
        remove_all(&w);
        expect_newest(&w);
        kv_check_sound(w.db);
        OK(sdb_close(w.db));
        kv_check_file_sound(w.io);
        sdb__io_free(w.io);
    }
    printf("prop_expiry: %llu values were removed\n", (unsigned long long)w.removed);
    ck_assert_uint_gt(w.removed, 0);
    free(w.room);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("prop_expiry");
    TCase *all = tcase_create("all");

    tcase_set_timeout(all, 600);
    tcase_add_test(all, every_reader_sees_what_is_there_at_its_time);
    suite_add_tcase(suite, all);
    return kv_main(suite);
}
