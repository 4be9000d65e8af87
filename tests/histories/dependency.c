/* SPDX-License-Identifier: Apache-2.0 */
/* dependency.c */
#include "tests/histories/dependency.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

enum { CYCLE_STARTS = 32 }; /* from how many nodes the shortest cycle is looked for */

/* The graph with the edges of each node together, and some of their kinds. */
struct view {
    const struct edge *edges; /* by from */
    const size_t *first;      /* of a node's edges; nodes + 1 of them */
    uint32_t nodes;
    unsigned kinds; /* bits: 1 << enum edge_kind */
    bool apart;     /* no rw follows an rw; node v is 2v, and 2v + 1 when entered by rw */
};

uint32_t dependencies_node(struct dependencies *dependencies)
{
    return dependencies->nodes++;
}

void dependencies_add(struct dependencies *d, uint32_t from, uint32_t to, enum edge_kind kind,
                      uint32_t key)
{
    if (from == to) return;
    make_room(&d->edges, &d->capacity, d->count + 1, sizeof *d->edges);
    d->edges[d->count++] = (struct edge){from, to, kind, key};
}

void dependencies_done(struct dependencies *dependencies)
{
    sdb__mem_free(&sdb__mem_default, dependencies->edges);
    *dependencies = (struct dependencies){0};
}

/* ---- time --------------------------------------------------------------------------------- */

struct moment {
    uint64_t place;
    uint32_t txn;
    bool is_return;
};

static int by_place(const void *left, const void *right)
{
    const struct moment *a = left, *b = right;

    return a->place < b->place ? -1 : a->place > b->place;
}

/* A node stands for all returns so far; what is called then comes behind it. */
static void add_time(struct dependencies *d, struct arena *arena, const struct txn_history *history,
                     const bool *committed)
{
    struct moment *moments = grab(arena, 2 * history->count * sizeof *moments);
    uint32_t *returned = grab(arena, history->count * sizeof *returned), waiting = 0;
    struct intern processes = {.arena.allocator = &sdb__mem_default};
    uint32_t *last = grab(arena, history->count * sizeof *last), node = NONE;
    size_t count = 0;

    memset(last, 0xff, history->count * sizeof *last);
    for (uint32_t i = 0; i < history->count; i++) {
        const struct txn *txn = &history->txns[i];

        if (!committed[i]) continue;
        moments[count++] = (struct moment){txn->call, i, false};
        if (txn->ret != PLACE_NEVER) moments[count++] = (struct moment){txn->ret, i, true};
    }
    if (count) qsort(moments, count, sizeof *moments, by_place);
    for (size_t i = 0; i < count; i++) {
        uint32_t txn = moments[i].txn;
        int64_t process = history->txns[txn].process;
        uint32_t number = intern_bytes(&processes, &process, sizeof process);

        if (moments[i].is_return) {
            returned[waiting++] = txn;
            continue;
        }
        if (waiting) {
            uint32_t before = node;

            node = dependencies_node(d);
            if (before != NONE) dependencies_add(d, before, node, EDGE_REALTIME, 0);
            while (waiting) dependencies_add(d, returned[--waiting], node, EDGE_REALTIME, 0);
        }
        if (node != NONE) dependencies_add(d, node, txn, EDGE_REALTIME, 0);
        if (last[number] != NONE) dependencies_add(d, last[number], txn, EDGE_PROCESS, 0);
        if (history->txns[txn].ret != PLACE_NEVER) last[number] = txn;
    }
    intern_done(&processes);
}

static int by_from(const void *left, const void *right)
{
    const struct edge *a = left, *b = right;

    if (a->from != b->from) return a->from < b->from ? -1 : 1;
    if (a->to != b->to) return a->to < b->to ? -1 : 1;
    return (int)a->kind - (int)b->kind;
}

/* ---- components --------------------------------------------------------------------------- */

static uint32_t size_of(const struct view *view)
{
    return view->apart ? 2 * view->nodes : view->nodes;
}

/* Where edge `e` leads from node `at`, or NONE if the view does not have it there. */
static uint32_t target(const struct view *view, uint32_t at, const struct edge *e)
{
    if (!(view->kinds >> e->kind & 1)) return NONE;
    if (!view->apart) return e->to;
    if (e->kind == EDGE_RW) return at & 1 ? NONE : 2 * e->to + 1;
    return 2 * e->to + (e->kind == EDGE_HOP ? at & 1 : 0);
}

struct visit {
    uint32_t node;
    size_t edge;
};

struct tarjan {
    uint32_t *order, *low, *component, *stack;
    struct visit *visits;
    uint32_t counter, stacked, components;
};

static void enter(struct tarjan *t, const struct view *view, size_t *depth, uint32_t node)
{
    t->order[node] = t->low[node] = ++t->counter;
    t->stack[t->stacked++] = node;
    t->visits[(*depth)++] = (struct visit){node, view->first[view->apart ? node / 2 : node]};
}

/* All edges of `node` are done: it may be the root of a component. */
static void leave(struct tarjan *t, uint32_t node)
{
    uint32_t top;

    if (t->low[node] != t->order[node]) return;
    do {
        top = t->stack[--t->stacked];
        t->component[top] = t->components;
    } while (top != node);
    t->components++;
}

static void visit_from(struct tarjan *t, const struct view *view, uint32_t root)
{
    size_t depth = 0;

    enter(t, view, &depth, root);
    while (depth) {
        struct visit *visit = &t->visits[depth - 1];
        uint32_t node = visit->node, to;

        if (visit->edge == view->first[(view->apart ? node / 2 : node) + 1]) {
            leave(t, node);
            if (--depth && t->low[node] < t->low[t->visits[depth - 1].node])
                t->low[t->visits[depth - 1].node] = t->low[node];
            continue;
        }
        to = target(view, node, &view->edges[visit->edge++]);
        if (to == NONE) continue;
        if (!t->order[to])
            enter(t, view, &depth, to);
        else if (t->component[to] == NONE && t->order[to] < t->low[node])
            t->low[node] = t->order[to];
    }
}

/* The component of each node of the view, and in *out_sizes how many nodes each has. */
static uint32_t *components(const struct view *view, struct arena *arena, uint32_t **out_sizes)
{
    uint32_t size = size_of(view);
    struct tarjan t = {
        .order = grab(arena, size * sizeof *t.order), .low = grab(arena, size * sizeof *t.low),
        .component = grab(arena, size * sizeof *t.component),
        .stack = grab(arena, size * sizeof *t.stack),
        .visits = grab(arena, size * sizeof *t.visits)};

    memset(t.component, 0xff, size * sizeof *t.component);
    for (uint32_t i = 0; i < size; i++)
        if (!t.order[i]) visit_from(&t, view, i);
    *out_sizes = grab(arena, t.components * sizeof **out_sizes);
    for (uint32_t i = 0; i < size; i++) (*out_sizes)[t.component[i]]++;
    return t.component;
}

/* ---- cycles ------------------------------------------------------------------------------- */

struct cycle {
    const struct edge **edges;
    uint32_t length;
};

/* What a search in breadth needs, for each node. */
struct search {
    const struct view *view;
    const uint32_t *component;
    uint32_t *queue, *from;
    const struct edge **by;
};

/* The shortest way from `start` back to it in its component, if it is shorter than *cycle. */
static void find_cycle(struct search *s, uint32_t start, struct arena *arena, struct cycle *cycle)
{
    uint32_t head = 0, tail = 0, at, length = 0;

    memset(s->by, 0, size_of(s->view) * sizeof *s->by);
    s->queue[tail++] = start;
    while (head < tail && !s->by[start]) {
        uint32_t node = s->queue[head++], v = s->view->apart ? node / 2 : node;

        for (size_t e = s->view->first[v]; e < s->view->first[v + 1]; e++) {
            uint32_t to = target(s->view, node, &s->view->edges[e]);

            if (to == NONE || s->component[to] != s->component[start] || s->by[to]) continue;
            s->by[to] = &s->view->edges[e];
            s->from[to] = node;
            if (to != start) s->queue[tail++] = to;
        }
    }
    for (at = start; length == 0 || at != start; at = s->from[at]) length++;
    if (cycle->length && cycle->length <= length) return;
    cycle->length = length;
    cycle->edges = grab(arena, length * sizeof *cycle->edges);
    for (at = start; length--; at = s->from[at]) cycle->edges[length] = s->by[at];
}

/* A short cycle through component `which`, whose first node is `first`. */
static struct cycle shortest(const struct view *view, const uint32_t *component, uint32_t first,
                             struct arena *arena)
{
    uint32_t size = size_of(view), tried = 0;
    struct search search = {view, component, grab(arena, size * sizeof *search.queue),
                            grab(arena, size * sizeof *search.from),
                            grab(arena, size * sizeof *search.by)};
    struct cycle cycle = {0};

    for (uint32_t i = first; i < size && tried < CYCLE_STARTS; i++) {
        if (component[i] != component[first]) continue;
        find_cycle(&search, i, arena, &cycle);
        tried++;
    }
    return cycle;
}

/* "T1 -ww x-> T2 -rw y-> T1", without the nodes that are no transactions. */
static void print_cycle(const struct cycle *cycle, const struct txn_history *history,
                        struct buffer *text)
{
    static const char *const names[] = {"ww", "wr", "rw", "process", "realtime", ""};
    uint32_t first = 0;
    char piece[160];

    while (cycle->edges[first]->from >= history->count) first++;
    for (uint32_t i = 0; i <= cycle->length; i++) {
        const struct edge *e = cycle->edges[(first + i) % cycle->length];
        int size = 0;

        if (e->from < history->count)
            size = snprintf(piece, sizeof piece, "T%" PRIu32 "(process %" PRId64 ", event %" PRIu64
                            ")", e->from, history->txns[e->from].process,
                            history->txns[e->from].call);
        if (e->to < history->count && i < cycle->length)
            size += snprintf(piece + size, sizeof piece - (size_t)size, " -%s%s%s-> ",
                             names[e->kind], e->kind <= EDGE_RW ? " " : "",
                             e->kind <= EDGE_RW ? txn_history_key(history, e->key) : "");
        if (sdb__buffer_append(&sdb__mem_default, text, piece, (size_t)size)) abort();
    }
    if (sdb__buffer_append(&sdb__mem_default, text, "", 1)) abort();
}

/* ---- judging ------------------------------------------------------------------------------ */

struct judging {
    const struct txn_history *history;
    struct findings *findings;
    uint8_t *worst; /* of each node: the first anomaly that it was reported with */
};

static enum anomaly name_cycle(enum anomaly anomaly, const struct cycle *cycle)
{
    unsigned rw = 0;

    if (anomaly != ANOMALY_G_SINGLE) return anomaly;
    for (uint32_t i = 0; i < cycle->length; i++) rw += cycle->edges[i]->kind == EDGE_RW;
    return rw > 1 ? ANOMALY_G_NONADJACENT : ANOMALY_G_SINGLE;
}

/* Reports a component by its first node. Only those that are shown are looked at closely. */
static void report(struct judging *j, const struct view *view, const uint32_t *component,
                   uint32_t first, enum anomaly anomaly, enum strength strength)
{
    struct arena arena = {.allocator = &sdb__mem_default};
    struct buffer text = {0};
    struct cycle cycle;

    if (j->findings->counts[strength][anomaly] >= FINDINGS_SHOWN) {
        findings_add(j->findings, anomaly, strength, "one more");
        return;
    }
    cycle = shortest(view, component, first, &arena);
    print_cycle(&cycle, j->history, &text);
    findings_add(j->findings, name_cycle(anomaly, &cycle), strength, "%s",
                 (const char *)text.data);
    sdb__buffer_done(&sdb__mem_default, &text);
    sdb__arena_done(&arena);
}

/* Reports the components of the view with a cycle whose nodes were in no worse one. */
static void judge_view(struct judging *j, const struct view *view, enum anomaly anomaly,
                       enum strength strength)
{
    struct arena arena = {.allocator = &sdb__mem_default};
    uint32_t *sizes, size = size_of(view);
    uint32_t *component = components(view, &arena, &sizes);
    bool *known = grab(&arena, size * sizeof *known);

    for (uint32_t i = 0; i < size; i++)
        if (j->worst[view->apart ? i / 2 : i] <= anomaly) known[component[i]] = true;
    for (uint32_t i = 0; i < size; i++) {
        uint32_t which = component[i], node = view->apart ? i / 2 : i;

        if (sizes[which] < 2) continue;
        if (!known[which]) report(j, view, component, i, anomaly, strength);
        known[which] = true;
        if (j->worst[node] > anomaly) j->worst[node] = (uint8_t)anomaly;
    }
    sdb__arena_done(&arena);
}

void dependencies_judge(struct dependencies *d, const struct txn_history *history,
                        const bool *committed, struct findings *findings)
{
    static const unsigned times[] = {0, 1 << EDGE_PROCESS, 1 << EDGE_PROCESS | 1 << EDGE_REALTIME};
    const unsigned ww = 1 << EDGE_WW, wr = ww | 1 << EDGE_WR;
    const unsigned all = wr | 1 << EDGE_RW | 1 << EDGE_HOP;
    struct arena arena = {.allocator = &sdb__mem_default};
    struct judging judging = {history, findings, NULL};
    struct view view = {0};
    size_t *first;

    add_time(d, &arena, history, committed);
    judging.worst = grab(&arena, d->nodes);
    memset(judging.worst, ANOMALY_COUNT, d->nodes);
    if (d->count) qsort(d->edges, d->count, sizeof *d->edges, by_from);
    first = grab(&arena, (d->nodes + 1u) * sizeof *first);
    for (size_t i = 0; i < d->count; i++) first[d->edges[i].from + 1]++;
    for (uint32_t i = 0; i < d->nodes; i++) first[i + 1] += first[i];
    view = (struct view){.edges = d->edges, .first = first, .nodes = d->nodes};
    for (unsigned strength = 0; strength < STRENGTH_COUNT; strength++) {
        view.apart = false;
        view.kinds = ww | times[strength];
        judge_view(&judging, &view, ANOMALY_G0, strength);
        view.kinds = wr | times[strength];
        judge_view(&judging, &view, ANOMALY_G1C, strength);
        view.kinds = all | times[strength];
        view.apart = true;
        judge_view(&judging, &view, ANOMALY_G_SINGLE, strength);
        view.apart = false;
        judge_view(&judging, &view, ANOMALY_G2_ITEM, strength);
    }
    sdb__arena_done(&arena);
}
