/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prop_txn_checker.c: the checkers of transactions against their meaning. A small simulated
 * database runs random transactions and now and then breaks a rule; a search that tries every order
 * of beginnings and commits says whether a database of the level could have answered so. For lists,
 * of which the last transaction reads all, both must agree; for registers, whose order is not
 * always known, what the checker finds must be wrong. SEED repeats a run, HISTORIES makes it
 * longer.
 */
#include "tests/histories/judge_fixture.h"

#include <stdio.h>

#include "engine/base/clock.h"
#include "tests/histories/txn_history.h"

enum { TXNS = 5, KEYS = 2, STEPS = 3, MOST = TXNS * STEPS, PROCESSES = 3 };

struct list {
    uint32_t count, values[MOST];
};

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

/* ---- the simulated database --------------------------------------------------------------- */

struct world {
    uint64_t random;
    struct list lists[KEYS];
    struct list old[TXNS + 1][KEYS]; /* as they were after each commit */
    uint32_t versions, values;
    struct txn txns[TXNS];
    struct txn_step steps[TXNS][STEPS];
    struct list reads[TXNS][STEPS];
    uint32_t count;
};

static bool one_in(struct world *w, uint64_t n)
{
    return random_below(&w->random, n) == 0;
}

/* What step `i` of transaction t reads: the list, and what the transaction has appended. */
static void read_list(struct world *w, uint32_t t, uint32_t i, const struct list *base)
{
    struct list *read = &w->reads[t][i];

    *read = base[w->steps[t][i].key];
    for (uint32_t j = 0; j < i; j++)
        if (w->steps[t][j].f != TXN_READ && w->steps[t][j].key == w->steps[t][i].key)
            read->values[read->count++] = w->steps[t][j].value;
    if (read->count && one_in(w, 40)) read->count--;
    w->steps[t][i].count = read->count;
    w->steps[t][i].read = read->values;
}

static bool conflicts(const struct world *w, uint32_t t, const struct list *snapshot)
{
    for (uint32_t i = 0; i < w->txns[t].count; i++) {
        uint32_t key = w->steps[t][i].key;

        if (w->steps[t][i].f != TXN_READ && w->lists[key].count != snapshot[key].count) return true;
    }
    return false;
}

static void commit(struct world *w, uint32_t t)
{
    for (uint32_t i = 0; i < w->txns[t].count; i++) {
        const struct txn_step *step = &w->steps[t][i];
        struct list *list = &w->lists[step->key];

        if (step->f != TXN_READ) list->values[list->count++] = step->value;
    }
    memcpy(w->old[++w->versions], w->lists, sizeof w->lists);
}

/* Runs transaction t on a snapshot, and ends it. */
static void run(struct world *w, uint32_t t, const struct list *snapshot)
{
    struct txn *txn = &w->txns[t];
    bool refused = conflicts(w, t, snapshot) && !one_in(w, 3);

    for (uint32_t i = 0; i < txn->count; i++)
        if (w->steps[t][i].f == TXN_READ) read_list(w, t, i, one_in(w, 5) ? w->lists : snapshot);
    txn->outcome = refused ? OUTCOME_FAIL : one_in(w, 8) ? OUTCOME_INFO : OUTCOME_OK;
    if (txn->outcome == OUTCOME_INFO ? one_in(w, 2) : !refused || one_in(w, 20)) commit(w, t);
    if (txn->outcome != OUTCOME_INFO) return;
    txn->ret = PLACE_NEVER;
    for (uint32_t i = 0; i < txn->count; i++) w->steps[t][i].read = NULL;
}

static void make_txn(struct world *w, uint32_t t)
{
    w->txns[t] = (struct txn){.process = (int64_t)random_below(&w->random, PROCESSES),
                              .count = 1 + (uint32_t)random_below(&w->random, STEPS),
                              .steps = w->steps[t]};
    for (uint32_t i = 0; i < w->txns[t].count; i++) {
        struct txn_step *step = &w->steps[t][i];

        step->f = one_in(w, 2) ? TXN_READ : TXN_APPEND;
        step->key = (uint32_t)random_below(&w->random, KEYS);
        if (step->f == TXN_APPEND) step->value = w->values++;
    }
}

/* Each transaction begins, and ends somewhen later; the last one reads all. */
static void simulate(struct world *w)
{
    struct list snapshots[TXNS][KEYS];
    bool open[TXNS] = {false};
    uint64_t place = 1;
    uint32_t begun = 0, ended = 0;

    w->count = 2 + (uint32_t)random_below(&w->random, TXNS - 2);
    while (ended < w->count) {
        uint32_t t = (uint32_t)random_below(&w->random, w->count);
        uint32_t version = w->versions;

        if (t == begun && begun < w->count) {
            make_txn(w, t);
            for (uint32_t other = 0; other < begun; other++) /* it does one at a time */
                if (open[other] && w->txns[other].process == w->txns[t].process)
                    w->txns[t].process = PROCESSES + 1 + t;
            if (version && one_in(w, 3)) version--;
            memcpy(snapshots[t], w->old[version], sizeof snapshots[t]);
            w->txns[t].call = place++;
            open[t] = true;
            begun++;
        } else if (t < begun && open[t]) {
            w->txns[t].ret = place++;
            run(w, t, snapshots[t]);
            open[t] = false;
            ended++;
        }
    }
    w->txns[w->count] = (struct txn){.process = PROCESSES, .count = KEYS, .call = place,
                                     .ret = place + 1, .steps = w->steps[w->count]};
    for (uint32_t key = 0; key < KEYS; key++) {
        w->reads[w->count][key] = w->lists[key];
        w->steps[w->count][key] = (struct txn_step){
            .f = TXN_READ, .key = key, .count = w->lists[key].count,
            .read = w->reads[w->count][key].values};
    }
    w->count++;
}

/* Lists become registers that hold the last element. */
static void make_registers(struct world *w)
{
    for (uint32_t t = 0; t < w->count; t++) {
        for (uint32_t i = 0; i < w->txns[t].count; i++) {
            struct txn_step *step = &w->steps[t][i];

            if (step->f != TXN_READ) step->f = TXN_WRITE;
            if (step->f != TXN_READ || !step->read || !step->count) continue;
            step->read += step->count - 1;
            step->count = 1;
        }
    }
}

/* ---- every order -------------------------------------------------------------------------- */

struct meaning {
    const struct world *world;
    struct level level;
    bool registers;
    uint32_t lengths[TXNS][KEYS]; /* of the lists when each transaction began */
};

/* Transaction a must be over before b begins, at this strength. */
static bool precedes(const struct meaning *m, uint32_t a, uint32_t b)
{
    const struct txn *x = &m->world->txns[a], *y = &m->world->txns[b];

    if (x->ret == PLACE_NEVER || x->ret > y->call || m->level.strength == STRENGTH_PLAIN)
        return false;
    return m->level.strength == STRENGTH_REALTIME || x->process == y->process;
}

static bool same(const struct meaning *m, const struct txn_step *step, const struct list *list)
{
    if (!step->read) return true;
    if (!m->registers)
        return step->count == list->count &&
               memcmp(step->read, list->values, step->count * sizeof *step->read) == 0;
    if (!step->count || !list->count) return step->count == list->count;
    return step->read[0] == list->values[list->count - 1];
}

/* The transaction, run alone on these lists, reads what it did; they become what it leaves. */
static bool fits(const struct meaning *m, uint32_t t, struct list lists[KEYS])
{
    const struct txn *txn = &m->world->txns[t];

    for (uint32_t i = 0; i < txn->count; i++) {
        struct list *list = &lists[txn->steps[i].key];

        if (txn->steps[i].f != TXN_READ)
            list->values[list->count++] = txn->steps[i].value;
        else if (!same(m, &txn->steps[i], list))
            return false;
    }
    return true;
}

static bool possible(struct meaning *m, unsigned begun, unsigned ended,
                     const struct list lists[KEYS]);

/* Transaction t commits now, if nobody changed what it changes. */
static bool possible_with_commit(struct meaning *m, unsigned begun, unsigned ended, uint32_t t,
                                 const struct list lists[KEYS])
{
    const struct txn *txn = &m->world->txns[t];
    struct list after[KEYS];

    memcpy(after, lists, sizeof after);
    for (uint32_t i = 0; i < txn->count; i++) {
        const struct txn_step *step = &txn->steps[i];

        if (step->f == TXN_READ) continue;
        if (lists[step->key].count != m->lengths[t][step->key]) return false;
        after[step->key].values[after[step->key].count++] = step->value;
    }
    return possible(m, begun, ended | 1u << t, after);
}

static bool possible_with_begin(struct meaning *m, unsigned begun, unsigned ended, uint32_t t,
                                const struct list lists[KEYS])
{
    struct list after[KEYS];

    for (uint32_t a = 0; a < m->world->count; a++)
        if (precedes(m, a, t) && m->world->txns[a].outcome == OUTCOME_OK && !(ended >> a & 1))
            return false;
    memcpy(after, lists, sizeof after);
    if (!fits(m, t, after)) return false;
    if (m->level.isolation == SERIALIZABLE)
        return possible(m, begun | 1u << t, ended | 1u << t, after);
    for (uint32_t key = 0; key < KEYS; key++) m->lengths[t][key] = lists[key].count;
    return possible(m, begun | 1u << t, ended, lists);
}

/* The rest can go on from here so that all that are ok commit. */
static bool possible(struct meaning *m, unsigned begun, unsigned ended,
                     const struct list lists[KEYS])
{
    bool left = false;

    for (uint32_t t = 0; t < m->world->count; t++)
        if (m->world->txns[t].outcome == OUTCOME_OK && !(ended >> t & 1)) left = true;
    if (!left) return true;
    for (uint32_t t = 0; t < m->world->count; t++) {
        if (m->world->txns[t].outcome == OUTCOME_FAIL || ended >> t & 1) continue;
        if (begun >> t & 1 ? possible_with_commit(m, begun, ended, t, lists)
                           : possible_with_begin(m, begun, ended, t, lists))
            return true;
    }
    return false;
}

/* ---- the claims --------------------------------------------------------------------------- */

static void check(const struct world *w, bool registers, struct findings *findings)
{
    struct txn_history history = {.arena.allocator = &sdb__mem_default,
                                  .pairs.arena.allocator = &sdb__mem_default};

    for (uint32_t t = 0; t < w->count; t++) txn_history_add(&history, &w->txns[t]);
    ck_assert_msg(txn_history_index(&history), "%s", history.error);
    if (registers)
        check_rw_register(&history, findings);
    else
        check_list_append(&history, findings);
    txn_history_done(&history);
}

static void compare(bool registers, uint64_t seed, unsigned rounds)
{
    static const char *const levels[] = {"snapshot-isolation", "strong-session-snapshot-isolation",
                                         "strong-snapshot-isolation", "serializable",
                                         "strong-session-serializable", "strict-serializable"};
    unsigned wrong[6] = {0};
    struct world *w = malloc(sizeof *w);

    ck_assert_ptr_nonnull(w);
    for (unsigned round = 0; round < rounds; round++) {
        struct findings findings = {0};

        memset(w, 0, sizeof *w);
        w->random = seed + round;
        simulate(w);
        if (registers) make_registers(w);
        check(w, registers, &findings);
        for (unsigned i = 0; i < 6; i++) {
            struct meaning meaning = {.world = w, .registers = registers};
            const struct list empty[KEYS] = {{0}};
            bool allowed, can;

            ck_assert(level_of(levels[i], &meaning.level));
            allowed = findings_allow(&findings, meaning.level);
            can = possible(&meaning, 0, 0, empty);
            wrong[i] += !allowed;
            ck_assert_msg(registers ? allowed || !can : allowed == can,
                          "SEED=%llu %s: checker %d, meaning %d: %.*s",
                          (unsigned long long)(seed + round), levels[i], allowed, can,
                          (int)findings.text.size, (const char *)findings.text.data);
        }
        findings_done(&findings);
    }
    free(w);
    for (unsigned i = 0; i < 6; i++) {
        printf("%s, %s: %u of %u wrong\n", registers ? "registers" : "lists", levels[i], wrong[i],
               rounds);
        ck_assert_uint_gt(wrong[i], rounds / 20);
        ck_assert_uint_lt(wrong[i], rounds - rounds / 20);
    }
}

START_TEST(lists_are_wrong_exactly_when_no_order_explains_them)
{
    uint64_t seed = number("SEED", 51);

    printf("prop_txn_checker: SEED=%llu\n", (unsigned long long)seed);
    compare(false, seed, (unsigned)number("HISTORIES", 6000));
}
END_TEST

START_TEST(registers_that_are_found_wrong_are_explained_by_no_order)
{
    uint64_t seed = number("SEED", 52);

    printf("prop_txn_checker: SEED=%llu\n", (unsigned long long)seed);
    compare(true, seed, (unsigned)number("HISTORIES", 6000));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("prop_txn_checker");
    TCase *cases = tcase_create("meaning");

    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, lists_are_wrong_exactly_when_no_order_explains_them);
    tcase_add_test(cases, registers_that_are_found_wrong_are_explained_by_no_order);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}
