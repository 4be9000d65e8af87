/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_lin_checker.c: the search for an order, on histories written by hand and on random ones,
 * where a slow search that tries every order says what is right. SEED repeats a run.
 */
#include "tests/histories/judge_fixture.h"

#include <stdio.h>

#include "engine/base/clock.h"
#include "tests/histories/linearizability.h"

/* p: process; the events of one. */
#define CALL(p, f, v) "{:process " #p " :type :invoke :f :" #f " :value " #v "}\n"
#define DONE(p, f, v) "{:process " #p " :type :ok :f :" #f " :value " #v "}\n"
#define LOST(p, f, v) "{:process " #p " :type :info :f :" #f " :value " #v "}\n"
#define FAILED(p, f, v) "{:process " #p " :type :fail :f :" #f " :value " #v "}\n"
#define BOTH(p, f, v) CALL(p, f, v) DONE(p, f, v)

START_TEST(a_read_sees_the_last_write)
{
    expect("cas-register", BOTH(0, write, 1) BOTH(1, read, 1), VERDICT_VALID, NULL);
    expect("cas-register", BOTH(0, write, 1) BOTH(1, read, 2), VERDICT_INVALID, NULL);
    expect("cas-register", BOTH(0, write, 1) BOTH(0, write, 2) BOTH(1, read, 1), VERDICT_INVALID,
           "event 5");
    expect("cas-register", "", VERDICT_VALID, NULL);
}
END_TEST

START_TEST(what_overlaps_may_take_effect_in_any_order)
{
    const char *both = CALL(0, write, 1) CALL(1, write, 2) DONE(0, write, 1) DONE(1, write, 2);
    char text[2048];

    (void)snprintf(text, sizeof text, "%s%s", both, BOTH(2, read, 1) BOTH(2, read, 1));
    expect("cas-register", text, VERDICT_VALID, NULL);
    (void)snprintf(text, sizeof text, "%s%s", both, BOTH(2, read, 2));
    expect("cas-register", text, VERDICT_VALID, NULL);
    (void)snprintf(text, sizeof text, "%s%s", both, BOTH(2, read, 1) BOTH(3, read, 2));
    expect("cas-register", text, VERDICT_INVALID, NULL);
}
END_TEST

START_TEST(a_new_value_that_was_seen_stays)
{
    expect("cas-register", BOTH(9, write, 0) CALL(0, write, 1) BOTH(1, read, 1) BOTH(2, read, 0)
           DONE(0, write, 1), VERDICT_INVALID, NULL);
    expect("cas-register", BOTH(9, write, 0) CALL(0, write, 1) BOTH(1, read, 0) BOTH(2, read, 1)
           DONE(0, write, 1), VERDICT_VALID, NULL);
}
END_TEST

START_TEST(a_cas_takes_effect_only_on_its_value)
{
    expect("cas-register", BOTH(0, write, 1) BOTH(0, cas, [1 2]) BOTH(0, read, 2), VERDICT_VALID,
           NULL);
    expect("cas-register", BOTH(0, write, 1) BOTH(0, cas, [3 2]), VERDICT_INVALID, NULL);
    /* Two from the same value: one of them must have failed. */
    expect("cas-register", BOTH(0, write, 1) CALL(0, cas, [1 2]) CALL(1, cas, [1 3])
           DONE(0, cas, [1 2]) DONE(1, cas, [1 3]), VERDICT_INVALID, NULL);
}
END_TEST

START_TEST(a_cas_that_failed_speaks_only_in_the_etcd_model)
{
    const char *text = BOTH(0, write, 1) CALL(0, cas, [1 2]) FAILED(0, cas, [1 2]);

    expect("cas-register", text, VERDICT_VALID, NULL);
    expect("etcd", text, VERDICT_INVALID, NULL);
    expect("etcd", BOTH(0, write, 1) CALL(0, cas, [3 2]) FAILED(0, cas, [3 2]), VERDICT_VALID,
           NULL);
}
END_TEST

START_TEST(a_read_of_nil_speaks_only_in_the_etcd_model)
{
    expect("cas-register", BOTH(0, write, 1) BOTH(1, read, nil), VERDICT_VALID, NULL);
    expect("etcd", BOTH(0, write, 1) BOTH(1, read, nil), VERDICT_INVALID, NULL);
    expect("etcd", BOTH(1, read, nil) BOTH(0, write, 1), VERDICT_VALID, NULL);
}
END_TEST

START_TEST(what_pends_may_take_effect_late_or_never)
{
    const char *lost = BOTH(0, write, 1) CALL(1, write, 2) LOST(1, write, 2);
    char text[2048];

    (void)snprintf(text, sizeof text, "%s%s", lost, BOTH(0, read, 1) BOTH(0, read, 2));
    expect("cas-register", text, VERDICT_VALID, NULL);
    (void)snprintf(text, sizeof text, "%s%s", lost, BOTH(0, read, 1) BOTH(0, read, 1));
    expect("cas-register", text, VERDICT_VALID, NULL);
    (void)snprintf(text, sizeof text, "%s%s", lost,
                   BOTH(0, read, 2) BOTH(0, write, 3) BOTH(0, read, 2));
    expect("cas-register", text, VERDICT_INVALID, NULL);
    /* Not before it was called. */
    expect("cas-register", BOTH(0, read, 2) CALL(1, write, 2), VERDICT_INVALID, NULL);
}
END_TEST

START_TEST(what_failed_did_not_happen)
{
    expect("cas-register", CALL(0, write, 1) FAILED(0, write, 1) BOTH(0, read, 1), VERDICT_INVALID,
           NULL);
}
END_TEST

#define KV(p, f, k, in, out)                                                                       \
    "{:process " #p " :type :invoke :f :" #f " :key " #k " :value " #in "}"                        \
    "{:process " #p " :type :ok :f :" #f " :key " #k " :value " #out "}\n"

START_TEST(keys_of_a_store_are_objects_of_their_own)
{
    expect("kv", KV(0, put, "a", "x", "x") KV(1, append, "b", "y", "y") KV(0, get, "a", nil, "x")
           KV(0, append, "a", "z", "z") KV(1, get, "a", nil, "xz") KV(1, get, "b", nil, "y")
           KV(1, get, "c", nil, ""), VERDICT_VALID, NULL);
    expect("kv", KV(0, append, "a", "x", "x") KV(0, append, "a", "y", "y")
           KV(1, get, "a", nil, "x"), VERDICT_INVALID, NULL);
    expect("kv", KV(0, append, "a", "x", "x") KV(0, append, "b", "y", "y")
           KV(1, get, "b", nil, "x"), VERDICT_INVALID, NULL);
}
END_TEST

START_TEST(what_the_model_does_not_know_is_not_judged)
{
    expect("cas-register", BOTH(0, increment, 1), VERDICT_UNKNOWN, "event 1");
    expect("cas-register", BOTH(0, cas, 1), VERDICT_UNKNOWN, "event 1");
    expect("kv", BOTH(0, get, 1), VERDICT_UNKNOWN, "event 1");
}
END_TEST

/* ---- against trying every order ----------------------------------------------------------- */

enum { MOST = 8, ROUNDS = 30000 };

/* The plain meaning: some order of those that return, and some that pend, is right. */
static bool some_order(const struct wgl_model *model, const struct wgl_op *ops, unsigned count,
                       unsigned done, uint32_t state)
{
    bool left = false;

    for (unsigned i = 0; i < count; i++)
        if (!(done >> i & 1) && ops[i].ret != WGL_PENDS) left = true;
    if (!left) return true;
    for (unsigned i = 0; i < count; i++) {
        bool first = !(done >> i & 1);
        uint32_t next;

        for (unsigned j = 0; j < count; j++)
            if (!(done >> j & 1) && ops[j].ret < ops[i].call) first = false;
        if (first && model->step(model->context, state, &ops[i], &next) &&
            some_order(model, ops, count, done | 1u << i, next))
            return true;
    }
    return false;
}

static struct wgl_op random_op(uint64_t *random, unsigned place)
{
    struct wgl_op op = {.call = 1 + random_below(random, 12) * 16 + place,
                        .f = (uint32_t)random_below(random, 4),
                        .a = (uint32_t)random_below(random, 3),
                        .b = (uint32_t)random_below(random, 3),
                        .out = (uint32_t)random_below(random, 3)};

    op.ret = random_below(random, 5) ? op.call + 8 + random_below(random, 6) * 16 : WGL_PENDS;
    if (op.f == LIN_READ && op.ret == WGL_PENDS) op.f = LIN_WRITE;
    op.pure = op.f == LIN_READ || op.f == LIN_CAS_FAILED;
    return op;
}

START_TEST(the_search_agrees_with_trying_every_order)
{
    const char *text = getenv("SEED");
    uint64_t seed = text && *text ? strtoull(text, NULL, 0) : 41, random = seed;
    unsigned answers[2] = {0};

    printf("test_lin_checker: SEED=%llu\n", (unsigned long long)seed);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct wgl_model model = lin_register(round % 2 ? LIN_ETCD : LIN_CAS_REGISTER);
        unsigned count = 1 + (unsigned)random_below(&random, MOST);
        const struct wgl_limits none = {0};
        struct wgl_op ops[MOST];
        bool wanted;

        for (unsigned i = 0; i < count; i++) ops[i] = random_op(&random, i);
        wanted = some_order(&model, ops, count, 0, model.initial);
        ck_assert_msg((wgl_check(&model, ops, count, &none, NULL) == WGL_LINEARIZABLE) == wanted,
                      "round %u", round);
        answers[wanted]++;
    }
    ck_assert_uint_gt(answers[0], ROUNDS / 20);
    ck_assert_uint_gt(answers[1], ROUNDS / 20);
}
END_TEST

/* ---- long ones ---------------------------------------------------------------------------- */

enum { LONG = 400, PROCESSES = 12 };

/* What a register that is one answers to many processes; operations get lost now and then. */
static unsigned simulate(uint64_t *random, struct wgl_op ops[LONG])
{
    struct wgl_op *open[PROCESSES] = {0};
    bool happened[PROCESSES] = {false};
    uint32_t state = LIN_NIL;
    uint64_t place = 0;
    unsigned count = 0;

    while (count < LONG) {
        uint64_t p = random_below(random, PROCESSES);
        struct wgl_op *op = open[p];

        place++;
        if (!op) {
            open[p] = &ops[count++];
            *open[p] = random_op(random, 0);
            open[p]->call = place;
            open[p]->ret = WGL_PENDS;
            happened[p] = false;
        } else if (happened[p]) {
            op->ret = place;
            open[p] = NULL;
        } else {
            happened[p] = true;
            if (op->f == LIN_READ) op->out = state;
            if (op->f == LIN_CAS) op->f = op->a == state ? LIN_CAS : LIN_CAS_FAILED;
            if (op->f == LIN_CAS_FAILED && op->a == state) op->f = LIN_CAS;
            if (op->f == LIN_WRITE) state = op->a;
            if (op->f == LIN_CAS) state = op->b;
            op->pure = op->f == LIN_READ || op->f == LIN_CAS_FAILED;
            if (op->pure || random_below(random, 20)) continue;
            open[p] = NULL; /* nobody hears of it */
        }
    }
    /* Reads without an answer say nothing. */
    for (unsigned i = 0; i < count; i++)
        if (ops[i].ret == WGL_PENDS && ops[i].pure) ops[i--] = ops[--count];
    return count;
}

START_TEST(what_one_register_answered_is_linearizable_however_long)
{
    const struct wgl_limits limits = {.steps = 5000000};
    struct wgl_model model = lin_register(LIN_ETCD);
    uint64_t random = 43;
    unsigned given_up = 0;

    for (unsigned round = 0; round < 200; round++) {
        struct wgl_op ops[LONG];
        unsigned count = simulate(&random, ops);
        enum wgl_answer answer = wgl_check(&model, ops, count, &limits, NULL);

        ck_assert_msg(answer != WGL_VIOLATION, "round %u", round);
        given_up += answer == WGL_UNKNOWN;
    }
    ck_assert_uint_lt(given_up, 20);
    printf("test_lin_checker: %u of 200 given up\n", given_up);
}
END_TEST

START_TEST(a_search_that_reaches_its_limit_says_so)
{
    struct wgl_model model = lin_register(LIN_ETCD);
    struct wgl_report report;
    struct wgl_op ops[25];

    /* All at once, and a read of what nobody wrote: every order is tried. */
    for (uint32_t i = 0; i < 24; i++)
        ops[i] = (struct wgl_op){.call = 1 + i, .ret = 100 + i, .f = LIN_WRITE, .a = i};
    ops[24] = (struct wgl_op){.call = 30, .ret = 130, .f = LIN_READ, .out = 99};
    ck_assert_int_eq(wgl_check(&model, ops, 25, &(struct wgl_limits){.steps = 10000}, &report),
                     WGL_UNKNOWN);
    ck_assert_uint_eq(report.steps, 10000);
    ck_assert_int_eq(wgl_check(&model, ops, 25, &(struct wgl_limits){.bytes = 1 << 20}, &report),
                     WGL_UNKNOWN);
    ck_assert_int_eq(wgl_check(&model, ops, 10, &(struct wgl_limits){.steps = 10}, &report),
                     WGL_LINEARIZABLE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lin_checker");
    TCase *cases = tcase_create("registers");

    tcase_add_test(cases, a_read_sees_the_last_write);
    tcase_add_test(cases, what_overlaps_may_take_effect_in_any_order);
    tcase_add_test(cases, a_new_value_that_was_seen_stays);
    tcase_add_test(cases, a_cas_takes_effect_only_on_its_value);
    tcase_add_test(cases, a_cas_that_failed_speaks_only_in_the_etcd_model);
    tcase_add_test(cases, a_read_of_nil_speaks_only_in_the_etcd_model);
    tcase_add_test(cases, what_pends_may_take_effect_late_or_never);
    tcase_add_test(cases, what_failed_did_not_happen);
    tcase_add_test(cases, keys_of_a_store_are_objects_of_their_own);
    tcase_add_test(cases, what_the_model_does_not_know_is_not_judged);
    tcase_add_test(cases, the_search_agrees_with_trying_every_order);
    tcase_add_test(cases, what_one_register_answered_is_linearizable_however_long);
    tcase_add_test(cases, a_search_that_reaches_its_limit_says_so);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}
