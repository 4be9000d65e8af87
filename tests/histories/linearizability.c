/* SPDX-License-Identifier: Apache-2.0 */
/* linearizability.c */
#include "tests/histories/linearizability.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool step_register(void *context, uint32_t state, const struct wgl_op *op, uint32_t *out)
{
    enum lin_model model = *(const enum lin_model *)context;

    *out = state;
    switch ((enum lin_f)op->f) {
    case LIN_READ: return op->out == state || (op->out == LIN_NIL && model == LIN_CAS_REGISTER);
    case LIN_WRITE: *out = op->a; return true;
    case LIN_CAS_FAILED: return op->a != state;
    case LIN_CAS: *out = op->b; return op->a == state;
    default: return false;
    }
}

struct wgl_model lin_register(enum lin_model model)
{
    static enum lin_model models[] = {LIN_CAS_REGISTER, LIN_ETCD, LIN_KV};

    return (struct wgl_model){.initial = LIN_NIL, .step = step_register,
                              .context = &models[model]};
}

/* ---- key-value: a state is the number of its bytes ---------------------------------------- */

struct strings {
    struct intern intern;
    struct buffer scratch;
};

static bool step_kv(void *context, uint32_t state, const struct wgl_op *op, uint32_t *out)
{
    struct strings *strings = context;
    struct interned value, more;

    *out = state;
    if (op->f == LIN_GET) return op->out == state;
    *out = op->a;
    if (op->f == LIN_PUT) return true;
    value = strings->intern.entries[state];
    more = strings->intern.entries[op->a];
    strings->scratch.size = 0;
    if (sdb__buffer_append(&sdb__mem_default, &strings->scratch, value.bytes, value.size) ||
        sdb__buffer_append(&sdb__mem_default, &strings->scratch, more.bytes, more.size))
        abort();
    *out = intern_bytes(&strings->intern, strings->scratch.data, strings->scratch.size);
    return true;
}

/* ---- histories ---------------------------------------------------------------------------- */

struct keyed {
    uint32_t key;
    const struct operation *source;
    struct wgl_op op;
};

struct reading {
    enum lin_model model;
    struct intern keys;
    struct strings values;
    struct keyed *ops;
    size_t count, capacity;
    const struct operation *odd; /* one that the model does not know */
};

static uint32_t value_of(struct reading *r, const struct edn *form)
{
    if (!form || form->kind == EDN_NIL) return LIN_NIL;
    if (r->model != LIN_KV) return intern_form(&r->values.intern, form);
    if (form->kind != EDN_STRING) return LIN_NIL;
    return intern_bytes(&r->values.intern, form->text, form->count);
}

static bool register_op(struct reading *r, const struct operation *operation, struct wgl_op *op)
{
    const struct edn *f = operation_f(operation), *in = operation_in(operation);

    if (edn_is(f, "read")) {
        op->f = LIN_READ;
        op->out = value_of(r, operation_out(operation));
        return true;
    }
    if (edn_is(f, "write")) {
        op->f = LIN_WRITE;
        op->a = value_of(r, in);
        return true;
    }
    if (!edn_is(f, "cas") || !in || in->kind != EDN_LIST || in->count != 2) return false;
    op->f = operation->outcome == OUTCOME_FAIL ? LIN_CAS_FAILED : LIN_CAS;
    op->a = value_of(r, &in->items[0]);
    op->b = value_of(r, &in->items[1]);
    return true;
}

static bool kv_op(struct reading *r, const struct operation *operation, struct wgl_op *op)
{
    const struct edn *f = operation_f(operation);

    op->f = edn_is(f, "get") ? LIN_GET : edn_is(f, "put") ? LIN_PUT : LIN_APPEND;
    if (op->f == LIN_APPEND && !edn_is(f, "append")) return false;
    if (op->f == LIN_GET) {
        op->out = value_of(r, operation_out(operation));
        return operation->outcome != OUTCOME_OK || op->out != LIN_NIL;
    }
    op->a = value_of(r, operation_in(operation));
    return op->a != LIN_NIL;
}

/* What failed did not happen, but a failed cas may have looked. */
static bool says_nothing(const struct reading *r, const struct operation *operation, uint32_t f)
{
    if ((f == LIN_READ || f == LIN_GET) && operation->outcome != OUTCOME_OK) return true;
    return operation->outcome == OUTCOME_FAIL && !(f == LIN_CAS_FAILED && r->model == LIN_ETCD);
}

static void read_operations(struct reading *r, const struct history *history)
{
    for (size_t i = 0; i < history->count && !r->odd; i++) {
        const struct operation *operation = &history->operations[i];
        struct keyed keyed = {.source = operation,
                              .op = {.call = operation->call, .ret = operation->ret}};
        const struct edn *key = edn_get(operation->in, "key");
        bool known = r->model == LIN_KV ? key && kv_op(r, operation, &keyed.op)
                                        : register_op(r, operation, &keyed.op);

        if (!known) r->odd = operation;
        keyed.op.pure = keyed.op.f == LIN_READ || keyed.op.f == LIN_GET ||
                        keyed.op.f == LIN_CAS_FAILED;
        if (!known || says_nothing(r, operation, keyed.op.f)) continue;
        if (r->model == LIN_KV) keyed.key = intern_form(&r->keys, key);
        make_room(&r->ops, &r->capacity, r->count + 1, sizeof *r->ops);
        r->ops[r->count++] = keyed;
    }
}

static int by_key(const void *left, const void *right)
{
    const struct keyed *a = left, *b = right;

    if (a->key != b->key) return a->key < b->key ? -1 : 1;
    return a->op.call < b->op.call ? -1 : 1;
}

/* Judges the operations of each key by themselves, until one is not right. */
static enum wgl_answer judge(struct reading *r, const struct wgl_limits *limits, char text[256])
{
    struct wgl_model model = lin_register(r->model);
    enum wgl_answer answer = WGL_LINEARIZABLE;
    uint64_t configurations = 0;
    size_t room = 0;
    struct wgl_op *ops = NULL;

    if (r->model == LIN_KV)
        model = (struct wgl_model){intern_bytes(&r->values.intern, "", 0), step_kv, &r->values,
                                   &r->values.intern.arena.used_bytes};
    if (r->count) qsort(r->ops, r->count, sizeof *r->ops, by_key);
    make_room(&ops, &room, r->count + 1, sizeof *ops);
    for (size_t from = 0, to; from < r->count && answer != WGL_VIOLATION; from = to) {
        struct wgl_report report;
        enum wgl_answer one;

        for (to = from; to < r->count && r->ops[to].key == r->ops[from].key; to++)
            ops[to - from] = r->ops[to].op;
        one = wgl_check(&model, ops, to - from, limits, &report);
        configurations += report.configurations;
        if (one == WGL_LINEARIZABLE) continue;
        answer = one;
        (void)snprintf(text, 256, "%s after %" PRIu64 " steps: of %zu operations at most %zu in an "
                       "order; the one called at event %" PRIu64 " does not fit",
                       one == WGL_VIOLATION ? "no order" : "given up", report.steps, to - from,
                       report.longest, r->ops[from + report.stuck].op.call);
    }
    if (answer == WGL_LINEARIZABLE)
        (void)snprintf(text, 256, "%zu operations, %" PRIu64 " configurations", r->count,
                       configurations);
    sdb__mem_free(&sdb__mem_default, ops);
    return answer;
}

enum wgl_answer lin_check(enum lin_model model, const struct history *history,
                          const struct wgl_limits *limits, char out_text[256])
{
    struct reading reading = {.model = model, .keys.arena.allocator = &sdb__mem_default,
                              .values.intern.arena.allocator = &sdb__mem_default};
    enum wgl_answer answer = WGL_UNKNOWN;

    read_operations(&reading, history);
    if (reading.odd)
        (void)snprintf(out_text, 256, "the operation at event %" PRIu64 " is none of this model",
                       reading.odd->call);
    else
        answer = judge(&reading, limits, out_text);
    intern_done(&reading.keys);
    intern_done(&reading.values.intern);
    sdb__buffer_done(&sdb__mem_default, &reading.values.scratch);
    sdb__mem_free(&sdb__mem_default, reading.ops);
    return answer;
}
