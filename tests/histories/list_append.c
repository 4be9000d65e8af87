/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list_append.c: transactions that append to lists and read whole lists.
 *
 * Idea: a list that was read tells the order of all versions before it. The longest one read of a
 * key is the order of its versions; elements that a committed transaction appended and nobody read
 * come behind, in an order that is not known. From the order follow the edges.
 * Invariants: I1 an edge is only drawn where every order of the unknown agrees: a cycle is one in
 *   each of them. I2 a read that does not fit its key's order is reported and draws no edges.
 * Costs: O(elements read + steps of a transaction squared).
 * Source: Kingsbury and Alvaro, "Elle", 2020, §§4-5. Beyond it: what nobody read comes behind the
 *   longest read.
 * Not here: lists that were not empty at the beginning.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/histories/dependency.h"

#define NONE UINT32_MAX

/* The first read of a key in a transaction. */
struct first_read {
    uint32_t txn, key;
    uint32_t seen;  /* elements that were there before the transaction's own */
    uint32_t count; /* elements in all */
    const uint32_t *list;
    bool appends;   /* the transaction appends to this key, too */
    bool fits;      /* the key's order begins with it */
};

struct append_check {
    struct txn_history *history;
    struct findings *findings;
    struct first_read *reads;
    size_t count, capacity;
    struct first_read *order; /* of each key: the longest read */
    struct dependencies graph;
    uint32_t *tails;   /* of each key: the node before what nobody read, or NONE */
    uint32_t *updates; /* of each key: the transaction that read all and appended more, or NONE */
};

/* ---- each transaction by itself ----------------------------------------------------------- */

/* list[at…count) is what steps[from…to) append to the key. */
static bool ends_with_own(const struct txn *txn, uint32_t from, uint32_t to,
                          const struct txn_step *read, uint32_t at)
{
    for (uint32_t i = from; i < to; i++) {
        const struct txn_step *step = &txn->steps[i];

        if (step->f != TXN_APPEND || step->key != read->key) continue;
        if (at >= read->count || read->read[at++] != step->value) return false;
    }
    return at == read->count;
}

static uint32_t appends_to(const struct txn *txn, uint32_t key, uint32_t to)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < to; i++)
        count += txn->steps[i].f == TXN_APPEND && txn->steps[i].key == key;
    return count;
}

/* The last read of the key before step `to`, or `to`. */
static uint32_t read_before(const struct txn *txn, uint32_t key, uint32_t to)
{
    for (uint32_t i = to; i-- > 0;)
        if (txn->steps[i].f == TXN_READ && txn->steps[i].key == key && txn->steps[i].read) return i;
    return to;
}

static void internal(struct append_check *c, uint32_t txn, uint32_t key)
{
    findings_add(c->findings, ANOMALY_INTERNAL, STRENGTH_PLAIN,
                 "T%u reads key %s other than it read and left it", txn,
                 txn_history_key(c->history, key));
}

static void take_read(struct append_check *c, uint32_t number, uint32_t at)
{
    const struct txn *txn = &c->history->txns[number];
    const struct txn_step *step = &txn->steps[at];
    uint32_t before = read_before(txn, step->key, at), own;

    if (before != at) {
        const struct txn_step *last = &txn->steps[before];

        if (step->count < last->count ||
            (last->count && memcmp(step->read, last->read, last->count * sizeof *last->read)) ||
            !ends_with_own(txn, before, at, step, last->count))
            internal(c, number, step->key);
        return;
    }
    own = appends_to(txn, step->key, at);
    if (step->count < own || !ends_with_own(txn, 0, at, step, step->count - own)) {
        internal(c, number, step->key);
        return;
    }
    make_room(&c->reads, &c->capacity, c->count + 1, sizeof *c->reads);
    c->reads[c->count++] = (struct first_read){
        .txn = number, .key = step->key, .seen = step->count - own, .count = step->count,
        .list = step->read, .appends = appends_to(txn, step->key, txn->count) > 0};
}

/* What was read was written once, by a transaction that may be seen. */
static void judge_elements(struct append_check *c, const struct first_read *read, uint32_t *stamps)
{
    uint32_t stamp = (uint32_t)(read - c->reads) + 1;
    const char *key = txn_history_key(c->history, read->key);

    for (uint32_t i = 0; i < read->seen; i++) {
        struct txn_write *write = txn_history_write(c->history, read->key, read->list[i]);
        const char *value = txn_history_value(c->history, read->list[i]);

        if (!write) {
            findings_add(c->findings, ANOMALY_GARBAGE, STRENGTH_PLAIN,
                         "T%u reads %s in key %s, which nobody appended", read->txn, value, key);
            continue;
        }
        if (stamps[write - c->history->writes] == stamp)
            findings_add(c->findings, ANOMALY_DUPLICATE, STRENGTH_PLAIN,
                         "T%u reads %s in key %s twice", read->txn, value, key);
        stamps[write - c->history->writes] = stamp;
        if (c->history->txns[write->txn].outcome == OUTCOME_FAIL)
            findings_add(c->findings, ANOMALY_G1A, STRENGTH_PLAIN,
                         "T%u reads %s in key %s, which T%u appended and did not commit",
                         read->txn, value, key, write->txn);
        if (write->txn == read->txn) {
            internal(c, read->txn, read->key);
        } else if (i + 1 == read->seen && !write->final) {
            findings_add(c->findings, ANOMALY_G1B, STRENGTH_PLAIN,
                         "T%u reads key %s up to %s, behind which T%u appended more", read->txn,
                         key, value, write->txn);
        }
        write->observed = true;
    }
}

static void take_reads(struct append_check *c)
{
    for (uint32_t i = 0; i < c->history->count; i++) {
        const struct txn *txn = &c->history->txns[i];

        if (txn->outcome != OUTCOME_OK) continue;
        for (uint32_t j = 0; j < txn->count; j++)
            if (txn->steps[j].f == TXN_READ && txn->steps[j].read) take_read(c, i, j);
    }
}

/* ---- the order of versions ---------------------------------------------------------------- */

static void find_orders(struct append_check *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->reads[i].count > c->order[c->reads[i].key].count)
            c->order[c->reads[i].key] = c->reads[i];
    for (size_t i = 0; i < c->count; i++) {
        struct first_read *read = &c->reads[i];
        const struct first_read *order = &c->order[read->key];

        read->fits = read->count == 0 ||
                     memcmp(read->list, order->list, read->count * sizeof *read->list) == 0;
        if (!read->fits)
            findings_add(c->findings, ANOMALY_INCOMPATIBLE, STRENGTH_PLAIN,
                         "T%u and T%u read key %s in orders of which neither begins the other",
                         read->txn, order->txn, txn_history_key(c->history, read->key));
    }
}

/* Two that saw the same version and appended to it. */
static void find_lost_updates(struct append_check *c)
{
    struct intern versions = {.arena.allocator = &sdb__mem_default};
    uint32_t *readers = grab(&c->history->arena, c->count * sizeof *readers);

    for (size_t i = 0; i < c->count; i++) {
        const struct first_read *read = &c->reads[i];
        size_t before = versions.count;
        uint32_t last = read->seen ? read->list[read->seen - 1] : NONE, version;

        if (!read->appends) continue;
        version = intern_pair(&versions, read->key, last);
        if (versions.count > before)
            readers[version] = read->txn;
        else
            findings_add(c->findings, ANOMALY_LOST_UPDATE, STRENGTH_PLAIN,
                         "T%u and T%u read key %s with %u elements, and both append to it",
                         readers[version], read->txn, txn_history_key(c->history, read->key),
                         read->seen);
    }
    intern_done(&versions);
}

/* ---- edges -------------------------------------------------------------------------------- */

static void edge(struct append_check *c, uint32_t from, uint32_t to, enum edge_kind kind,
                 uint32_t key)
{
    if (from != NONE && to != NONE) dependencies_add(&c->graph, from, to, kind, key);
}

/* Who appended the key's element at a place of its order; NONE when that is not known. */
static uint32_t author(const struct append_check *c, uint32_t key, uint32_t place)
{
    const struct first_read *order = &c->order[key];
    const struct txn_write *write = NULL;

    if (place < order->count) write = txn_history_write(c->history, key, order->list[place]);
    return write ? write->txn : NONE;
}

static void draw_order(struct append_check *c, uint32_t key)
{
    const struct first_read *order = &c->order[key];

    for (uint32_t i = 0; i < order->count; i++) {
        struct txn_write *write = txn_history_write(c->history, key, order->list[i]);

        if (write) write->ordered = true;
        if (i) edge(c, author(c, key, i - 1), author(c, key, i), EDGE_WW, key);
    }
}

/*
 * A read draws wr from the last element that it saw and rw to the next one. A read of all draws rw
 * to whoever appended what nobody read, through the key's tail. Of those that read all and append
 * themselves, which must not go through the tail to themselves, one is kept: a second is a lost
 * update.
 */
static void draw_read(struct append_check *c, const struct first_read *read)
{
    uint32_t key = read->key;

    if (!read->fits) return;
    if (read->seen) edge(c, author(c, key, read->seen - 1), read->txn, EDGE_WR, key);
    if (read->seen < c->order[key].count) {
        edge(c, read->txn, author(c, key, read->seen), EDGE_RW, key);
    } else if (read->appends) {
        if (c->updates[key] == NONE) c->updates[key] = read->txn;
    } else {
        if (c->tails[key] == NONE) c->tails[key] = dependencies_node(&c->graph);
        edge(c, read->txn, c->tails[key], EDGE_HOP, key);
    }
}

/* What a committed transaction appended and nobody read is behind everything that was read. */
static void draw_unread(struct append_check *c, const struct txn_write *write)
{
    uint32_t key = write->key, count = c->order[key].count;

    if (write->ordered || c->history->txns[write->txn].outcome != OUTCOME_OK) return;
    if (count) edge(c, author(c, key, count - 1), write->txn, EDGE_WW, key);
    edge(c, c->tails[key], write->txn, EDGE_RW, key);
    edge(c, c->updates[key], write->txn, EDGE_RW, key);
}

void check_list_append(struct txn_history *history, struct findings *findings)
{
    struct append_check c = {.history = history, .findings = findings,
                             .graph.nodes = (uint32_t)history->count};
    size_t keys = history->keys;
    uint32_t *stamps = grab(&history->arena, history->pairs.count * sizeof *stamps);

    c.order = grab(&history->arena, keys * sizeof *c.order);
    c.tails = grab(&history->arena, keys * sizeof *c.tails);
    c.updates = grab(&history->arena, keys * sizeof *c.updates);
    memset(c.tails, 0xff, keys * sizeof *c.tails);
    memset(c.updates, 0xff, keys * sizeof *c.updates);
    take_reads(&c);
    for (size_t i = 0; i < c.count; i++) judge_elements(&c, &c.reads[i], stamps);
    find_orders(&c);
    find_lost_updates(&c);
    for (uint32_t key = 0; key < keys; key++) draw_order(&c, key);
    for (size_t i = 0; i < c.count; i++) draw_read(&c, &c.reads[i]);
    for (size_t i = 0; i < history->pairs.count; i++) draw_unread(&c, &history->writes[i]);
    dependencies_judge(&c.graph, history, txn_history_committed(history), findings);
    dependencies_done(&c.graph);
    sdb__mem_free(&sdb__mem_default, c.reads);
}
