/* SPDX-License-Identifier: Apache-2.0 */
/* wgl.c */
#include "tests/histories/wgl.h"

#include <stdlib.h>
#include <string.h>

#include "tests/histories/edn.h"

#define NONE UINT32_MAX

struct numbered {
    struct wgl_op op;
    size_t original; /* its place in what the caller gave */
    uint32_t twin;   /* the last before it that pends and does the same, or NONE */
};

struct slot {
    uint64_t at; /* of the key in `keys`, + 1; 0: free */
    uint32_t hash, words;
};

struct frame {
    uint32_t op, state, high;
    bool forced; /* there was nothing to choose */
};

/* Operations that pend are numbered 0…pending, by their calls; the others on, by their returns. */
struct search {
    const struct wgl_model *model;
    struct numbered *ops;
    uint32_t count, pending;
    uint32_t *next, *prev; /* that return and have not taken effect, by calls; `count`: ends */
    uint64_t *bits;        /* who has taken effect */
    uint32_t low;          /* the first number that returns and has not */
    uint32_t high;         /* no number beyond has */
    uint32_t state, done;  /* done: how many that return have taken effect */
    struct frame *frames;
    size_t depth;
    struct slot *slots;
    size_t mask, used;
    uint64_t *keys, *key; /* `key` is the one being looked for */
    size_t keys_size, keys_capacity;
};

static int by_number(const void *left, const void *right)
{
    const struct wgl_op *a = &((const struct numbered *)left)->op;
    const struct wgl_op *b = &((const struct numbered *)right)->op;
    bool pends = a->ret == WGL_PENDS;
    uint64_t x, y;

    if (pends != (b->ret == WGL_PENDS)) return pends ? -1 : 1;
    x = pends ? a->call : a->ret;
    y = pends ? b->call : b->ret;
    return x < y ? -1 : x > y;
}

static int by_call(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;

    return *a < *b ? -1 : *a > *b;
}

static bool has(const struct search *s, uint32_t number)
{
    return s->bits[number / 64] >> (number % 64) & 1;
}

static void flip(struct search *s, uint32_t number)
{
    s->bits[number / 64] ^= UINT64_C(1) << (number % 64);
}

static void find_twins(struct search *s)
{
    for (uint32_t i = 0; i < s->pending; i++) {
        const struct wgl_op *a = &s->ops[i].op;
        uint32_t j = i;

        s->ops[i].twin = NONE;
        while (j-- > 0) {
            const struct wgl_op *b = &s->ops[j].op;

            if (a->f != b->f || a->a != b->a || a->b != b->b || a->out != b->out) continue;
            s->ops[i].twin = j;
            break;
        }
    }
}

/* Chains those that return, in the order of their calls. */
static void link_calls(struct search *s)
{
    size_t returning = s->count - s->pending, capacity = 0;
    uint64_t(*calls)[2] = NULL;
    uint32_t last = s->count;

    make_room(&calls, &capacity, returning + 1, sizeof *calls);
    for (uint32_t i = 0; i < returning; i++) {
        calls[i][0] = s->ops[s->pending + i].op.call;
        calls[i][1] = s->pending + i;
    }
    qsort(calls, returning, sizeof *calls, by_call);
    for (size_t i = 0; i < returning; i++) {
        s->next[last] = (uint32_t)calls[i][1];
        s->prev[calls[i][1]] = last;
        last = (uint32_t)calls[i][1];
    }
    s->next[last] = s->count;
    s->prev[s->count] = last;
    sdb__mem_free(&sdb__mem_default, calls);
}

static void begin(struct search *s, struct arena *arena, const struct wgl_op *ops, size_t count)
{
    size_t words = count / 64 + 1;

    s->count = (uint32_t)count;
    s->ops = grab(arena, count * sizeof *s->ops);
    for (size_t i = 0; i < count; i++) {
        s->ops[i] = (struct numbered){.op = ops[i], .original = i};
        s->pending += ops[i].ret == WGL_PENDS;
    }
    qsort(s->ops, count, sizeof *s->ops, by_number);
    s->next = grab(arena, (count + 1) * sizeof *s->next);
    s->prev = grab(arena, (count + 1) * sizeof *s->prev);
    s->bits = grab(arena, words * sizeof *s->bits);
    s->key = grab(arena, (words + 2) * sizeof *s->key);
    s->frames = grab(arena, (count + 1) * sizeof *s->frames);
    s->low = s->high = s->pending;
    s->state = s->model->initial;
    find_twins(s);
    link_calls(s);
}

/* The next to choose from, behind `after` (`count`: from the beginning), or NONE. */
static uint32_t candidate(const struct search *s, uint32_t after)
{
    uint64_t limit = s->ops[s->low].op.ret;
    uint32_t i = after + 1;

    if (after >= s->pending) {
        for (i = s->next[after]; i != s->count && s->ops[i].op.call < limit; i = s->next[i])
            if (!s->ops[i].op.pure) return i; /* pure ones that may are in already: absorb() */
        i = 0;
    }
    for (; i < s->pending && s->ops[i].op.call < limit; i++) {
        uint32_t twin = s->ops[i].twin;

        if (!has(s, i) && (twin == NONE || has(s, twin))) return i;
    }
    return NONE;
}

/* ---- configurations ----------------------------------------------------------------------- */

/* Writes the key of this configuration; gives its words. */
static uint32_t make_key(const struct search *s)
{
    uint32_t words = 0, pending = (s->pending + 63) / 64, from = s->low / 64;

    s->key[words++] = (uint64_t)s->state << 32 | s->low;
    for (uint32_t i = 0; i < pending; i++) s->key[words++] = s->bits[i];
    for (uint32_t i = from < pending ? pending : from; i <= s->high / 64; i++)
        s->key[words++] = s->bits[i];
    while (words > 1 && s->key[words - 1] == 0) words--;
    return words;
}

static uint32_t hash_key(const uint64_t *key, uint32_t words)
{
    uint64_t hash = words;

    for (uint32_t i = 0; i < words; i++) {
        hash = (hash ^ key[i]) * UINT64_C(0xff51afd7ed558ccd);
        hash ^= hash >> 32;
    }
    return (uint32_t)(hash ^ hash >> 29);
}

static void grow_slots(struct search *s)
{
    size_t slots = s->slots ? 2 * (s->mask + 1) : 1024, capacity = 0;
    struct slot *old = s->slots;
    size_t old_count = old ? s->mask + 1 : 0;

    s->slots = NULL;
    make_room(&s->slots, &capacity, slots, sizeof *s->slots);
    memset(s->slots, 0, slots * sizeof *s->slots);
    s->mask = slots - 1;
    for (size_t i = 0; i < old_count; i++) {
        size_t at = old[i].hash & s->mask;

        if (!old[i].at) continue;
        while (s->slots[at].at) at = (at + 1) & s->mask;
        s->slots[at] = old[i];
    }
    sdb__mem_free(&sdb__mem_default, old);
}

/* False if this configuration was here before. */
static bool is_new(struct search *s)
{
    uint32_t words = make_key(s), hash = hash_key(s->key, words);
    size_t at;

    if (!s->slots || 2 * s->used >= s->mask) grow_slots(s);
    for (at = hash & s->mask; s->slots[at].at; at = (at + 1) & s->mask) {
        const struct slot *slot = &s->slots[at];

        if (slot->hash == hash && slot->words == words &&
            memcmp(s->keys + slot->at - 1, s->key, words * sizeof *s->key) == 0)
            return false;
    }
    make_room(&s->keys, &s->keys_capacity, s->keys_size + words, sizeof *s->keys);
    memcpy(s->keys + s->keys_size, s->key, words * sizeof *s->key);
    s->slots[at] = (struct slot){s->keys_size + 1, hash, words};
    s->keys_size += words;
    s->used++;
    return true;
}

/* ---- going on and back -------------------------------------------------------------------- */

static void forward(struct search *s, uint32_t op, uint32_t state, bool forced)
{
    s->frames[s->depth++] = (struct frame){op, s->state, s->high, forced};
    flip(s, op);
    s->state = state;
    if (op < s->pending) return;
    s->next[s->prev[op]] = s->next[op];
    s->prev[s->next[op]] = s->prev[op];
    if (op > s->high) s->high = op;
    while (s->low < s->count && has(s, s->low)) s->low++;
    s->done++;
}

/* Takes back the last choice and what followed from it. Gives the operation, or NONE. */
static uint32_t back(struct search *s)
{
    while (s->depth) {
        struct frame frame = s->frames[--s->depth];

        flip(s, frame.op);
        s->state = frame.state;
        s->high = frame.high;
        if (frame.op >= s->pending) {
            s->next[s->prev[frame.op]] = frame.op;
            s->prev[s->next[frame.op]] = frame.op;
            if (frame.op < s->low) s->low = frame.op;
            s->done--;
        }
        if (!frame.forced) return frame.op;
    }
    return NONE;
}

/* Lets all pure operations take effect that may. */
static void absorb(struct search *s, struct wgl_report *report)
{
    uint32_t i = s->next[s->count], state;

    for (; s->low < s->count && i != s->count && s->ops[i].op.call < s->ops[s->low].op.ret;
         i = s->next[i]) {
        if (!s->ops[i].op.pure) continue;
        report->steps++;
        if (s->model->step(s->model->context, s->state, &s->ops[i].op, &state))
            forward(s, i, state, true);
    }
    if (s->low == s->count || s->done < report->longest) return;
    report->longest = s->done;
    report->stuck = s->ops[s->low].original;
}

static bool is_over(const struct search *s, const struct wgl_limits *limits, uint64_t steps)
{
    size_t bytes = s->keys_capacity * sizeof *s->keys + (s->mask + 1) * sizeof *s->slots;

    if (s->model->bytes) bytes += *s->model->bytes;
    return (limits->steps && steps >= limits->steps) || (limits->bytes && bytes > limits->bytes);
}

static enum wgl_answer run(struct search *s, const struct wgl_limits *limits,
                           struct wgl_report *report)
{
    uint32_t op = s->count;

    absorb(s, report);
    while (s->low < s->count) {
        uint32_t state;

        op = candidate(s, op);
        if (op == NONE) {
            op = back(s);
            if (op == NONE) return WGL_VIOLATION;
            continue;
        }
        if (is_over(s, limits, report->steps)) return WGL_UNKNOWN;
        report->steps++;
        if (!s->model->step(s->model->context, s->state, &s->ops[op].op, &state)) continue;
        forward(s, op, state, false);
        absorb(s, report);
        if (s->low < s->count) op = is_new(s) ? s->count : back(s);
    }
    return WGL_LINEARIZABLE;
}

enum wgl_answer wgl_check(const struct wgl_model *model, const struct wgl_op *ops, size_t count,
                          const struct wgl_limits *limits, struct wgl_report *out_report)
{
    struct arena arena = {.allocator = &sdb__mem_default};
    struct search search = {.model = model};
    struct wgl_report report = {0};
    enum wgl_answer answer;

    begin(&search, &arena, ops, count);
    answer = run(&search, limits, &report);
    report.configurations = search.used;
    if (answer == WGL_LINEARIZABLE) report.longest = count - search.pending;
    sdb__mem_free(&sdb__mem_default, search.slots);
    sdb__mem_free(&sdb__mem_default, search.keys);
    sdb__arena_done(&arena);
    if (out_report) *out_report = report;
    return answer;
}
