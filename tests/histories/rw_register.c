/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rw_register.c: transactions that read and write registers.
 *
 * Idea: a value that was read says which version, and so who wrote it: that is a wr edge. The order
 * of versions is known in two cases: nil, the state at the beginning, comes before all others; and
 * whoever reads a version and writes the key puts his own behind it, for at snapshot isolation and
 * above nothing can come between.
 * Invariants: I1 an edge is only drawn where every order of the unknown agrees. I2 a value that no
 *   transaction wrote is evidence of nothing: it may be from before the history.
 * Costs: O(steps of a transaction squared).
 * Source: Kingsbury and Alvaro, "Elle", 2020, §5.2 (traceable registers).
 * Not here: the order of versions from real time; below snapshot isolation, the names of cycles are
 *   those of a database that would order versions as above.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/histories/dependency.h"

#define NONE UINT32_MAX

/* A version that somebody read: nil or a value of a key. */
struct version {
    uint32_t key;
    uint32_t hop;    /* node before those who wrote what comes behind it */
    uint32_t update; /* the first who read it and wrote the key, or NONE */
};

struct register_check {
    struct txn_history *history;
    struct findings *findings;
    struct intern numbers; /* (key, value or NONE) of versions */
    struct version *versions;
    size_t capacity;
    struct dependencies graph;
};

/* What the transaction knows of the key before step `to`: its last step there, or NULL. */
static const struct txn_step *known(const struct txn *txn, uint32_t key, uint32_t to)
{
    while (to-- > 0) {
        const struct txn_step *step = &txn->steps[to];

        if (step->key == key && (step->f == TXN_WRITE || step->read)) return step;
    }
    return NULL;
}

static uint32_t value_of(const struct txn_step *step)
{
    if (step->f == TXN_WRITE) return step->value;
    return step->count ? step->read[0] : NONE;
}

static uint32_t version_of(struct register_check *c, uint32_t key, uint32_t value)
{
    size_t before = c->numbers.count;
    uint32_t number = intern_pair(&c->numbers, key, value);

    if (c->numbers.count == before) return number;
    make_room(&c->versions, &c->capacity, number + 1u, sizeof *c->versions);
    c->versions[number] = (struct version){key, dependencies_node(&c->graph), NONE};
    return number;
}

/* The first step of a transaction on a key, a read: what it shows of others. */
static void judge_read(struct register_check *c, uint32_t number, const struct txn_step *step)
{
    const char *key = txn_history_key(c->history, step->key);
    struct txn_write *write = NULL;

    if (step->count) write = txn_history_write(c->history, step->key, step->read[0]);
    if (!write) return;
    write->observed = true;
    if (write->txn == number) {
        findings_add(c->findings, ANOMALY_INTERNAL, STRENGTH_PLAIN,
                     "T%u reads in key %s what it has yet to write", number, key);
        return;
    }
    if (c->history->txns[write->txn].outcome == OUTCOME_FAIL)
        findings_add(c->findings, ANOMALY_G1A, STRENGTH_PLAIN,
                     "T%u reads %s in key %s, which T%u wrote and did not commit", number,
                     txn_history_value(c->history, step->read[0]), key, write->txn);
    if (!write->final)
        findings_add(c->findings, ANOMALY_G1B, STRENGTH_PLAIN,
                     "T%u reads %s in key %s, which T%u changed before it committed", number,
                     txn_history_value(c->history, step->read[0]), key, write->txn);
    dependencies_add(&c->graph, write->txn, number, EDGE_WR, step->key);
}

static bool writes(const struct txn *txn, uint32_t key)
{
    for (uint32_t i = 0; i < txn->count; i++)
        if (txn->steps[i].f == TXN_WRITE && txn->steps[i].key == key) return true;
    return false;
}

/*
 * A version that was read, with those that read it and those that are known to follow. A reader
 * who writes the key himself follows it; he must not go through the hop to himself.
 */
static void draw_version(struct register_check *c, uint32_t number, const struct txn_step *step)
{
    uint32_t index = version_of(c, step->key, value_of(step));
    struct version *version = &c->versions[index];

    if (!writes(&c->history->txns[number], step->key)) {
        dependencies_add(&c->graph, number, version->hop, EDGE_HOP, step->key);
        return;
    }
    if (version->update != NONE) {
        findings_add(c->findings, ANOMALY_LOST_UPDATE, STRENGTH_PLAIN,
                     "T%u and T%u read the same version of key %s, and both write it",
                     version->update, number, txn_history_key(c->history, step->key));
        return;
    }
    version->update = number;
    dependencies_add(&c->graph, version->hop, number, EDGE_RW, step->key);
}

static void take_txn(struct register_check *c, uint32_t number)
{
    const struct txn *txn = &c->history->txns[number];

    for (uint32_t i = 0; i < txn->count; i++) {
        const struct txn_step *step = &txn->steps[i], *before;

        if (step->f != TXN_READ || !step->read) continue;
        before = known(txn, step->key, i);
        if (!before) {
            judge_read(c, number, step);
            draw_version(c, number, step);
        } else if (value_of(before) != value_of(step)) {
            findings_add(c->findings, ANOMALY_INTERNAL, STRENGTH_PLAIN,
                         "T%u reads key %s other than it read or left it", number,
                         txn_history_key(c->history, step->key));
        }
    }
}

/* Nil comes before everything that was written, by whoever is known to have committed. */
static void draw_nil(struct register_check *c, const struct txn_write *write, const bool *committed)
{
    uint32_t number = intern_find_pair(&c->numbers, write->key, NONE);
    const struct version *nil;

    if (number == NONE || !committed[write->txn]) return;
    nil = &c->versions[number];
    dependencies_add(&c->graph, nil->hop, write->txn, EDGE_RW, write->key);
    if (nil->update != NONE)
        dependencies_add(&c->graph, nil->update, write->txn, EDGE_RW, write->key);
}

void check_rw_register(struct txn_history *history, struct findings *findings)
{
    struct register_check c = {.history = history, .findings = findings,
                               .numbers.arena.allocator = &sdb__mem_default,
                               .graph.nodes = (uint32_t)history->count};
    const bool *committed;

    for (uint32_t i = 0; i < history->count; i++)
        if (history->txns[i].outcome == OUTCOME_OK) take_txn(&c, i);
    committed = txn_history_committed(history);
    for (size_t i = 0; i < history->pairs.count; i++)
        draw_nil(&c, &history->writes[i], committed);
    dependencies_judge(&c.graph, history, committed, findings);
    dependencies_done(&c.graph);
    intern_done(&c.numbers);
    sdb__mem_free(&sdb__mem_default, c.versions);
}
