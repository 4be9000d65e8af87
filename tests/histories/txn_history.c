/* SPDX-License-Identifier: Apache-2.0 */
/* txn_history.c */
#include "tests/histories/txn_history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void txn_history_add(struct txn_history *history, const struct txn *txn)
{
    struct txn_step *steps = grab(&history->arena, txn->count * sizeof *steps);

    for (uint32_t i = 0; i < txn->count; i++) {
        steps[i] = txn->steps[i];
        if (steps[i].key >= history->keys) history->keys = steps[i].key + 1;
        if (steps[i].f == TXN_READ && steps[i].read) {
            uint32_t *copy = grab(&history->arena, steps[i].count * sizeof *copy);

            if (steps[i].count) memcpy(copy, steps[i].read, steps[i].count * sizeof *copy);
            steps[i].read = copy;
        }
    }
    make_room(&history->txns, &history->capacity, history->count + 1, sizeof *history->txns);
    history->txns[history->count] = *txn;
    history->txns[history->count++].steps = steps;
}

/* ---- from a record ------------------------------------------------------------------------ */

static bool read_step(struct txn_history *h, const struct edn *form, enum txn_f write,
                      struct arena *arena, struct txn_step *step)
{
    const struct edn *value;

    if (form->kind != EDN_LIST || form->count != 3) return false;
    value = &form->items[2];
    *step = (struct txn_step){.f = TXN_READ, .key = intern_form(&h->names, &form->items[1])};
    if (edn_is(&form->items[0], write == TXN_APPEND ? "append" : "w")) {
        step->f = write;
        step->value = intern_form(&h->values, value);
        return true;
    }
    if (!edn_is(&form->items[0], "r")) return false;
    if (write == TXN_APPEND && value->kind != EDN_NIL && value->kind != EDN_LIST) return false;
    step->count = value->kind == EDN_NIL ? 0 : write == TXN_APPEND ? value->count : 1;

    uint32_t *read = grab(arena, step->count * sizeof *read);

    for (uint32_t i = 0; i < step->count; i++)
        read[i] = intern_form(&h->values, write == TXN_APPEND ? &value->items[i] : value);
    step->read = read;
    return true;
}

bool txn_history_take(struct txn_history *history, const struct history *source, enum txn_f write)
{
    struct arena arena = {.allocator = &sdb__mem_default};
    bool good = true;

    for (size_t i = 0; i < source->count && good; i++) {
        const struct operation *operation = &source->operations[i];
        const struct edn *form = operation_in(operation);
        struct txn txn = {.process = operation->process, .outcome = operation->outcome,
                          .call = operation->call, .ret = operation->ret};
        struct txn_step *steps;

        if (txn.outcome == OUTCOME_OK) form = operation_out(operation);
        good = form && form->kind == EDN_LIST;
        if (good) {
            txn.count = form->count;
            txn.steps = steps = grab(&arena, txn.count * sizeof *steps);
            for (uint32_t j = 0; j < txn.count && good; j++) {
                good = read_step(history, &form->items[j], write, &arena, &steps[j]);
                if (txn.outcome != OUTCOME_OK) steps[j].read = NULL;
            }
        }
        if (good)
            txn_history_add(history, &txn);
        else
            (void)snprintf(history->error, sizeof history->error,
                           "the transaction at event %" PRIu64 " is no list of [f key value]",
                           operation->call);
        sdb__arena_reset(&arena);
    }
    sdb__arena_done(&arena);
    return good;
}

/* ---- index -------------------------------------------------------------------------------- */

static int by_call(const void *left, const void *right)
{
    const struct txn *a = left, *b = right;

    return a->call < b->call ? -1 : a->call > b->call;
}

static bool index_write(struct txn_history *h, uint32_t txn, const struct txn_step *step)
{
    size_t before = h->pairs.count;
    uint32_t number = intern_pair(&h->pairs, step->key, step->value);

    if (h->pairs.count == before) {
        (void)snprintf(h->error, sizeof h->error, "value %s is written to key %s twice",
                       txn_history_value(h, step->value), txn_history_key(h, step->key));
        return false;
    }
    make_room(&h->writes, &h->write_capacity, number + 1u, sizeof *h->writes);
    h->writes[number] = (struct txn_write){.txn = txn, .key = step->key, .value = step->value};
    return true;
}

bool txn_history_index(struct txn_history *history)
{
    uint32_t *last = grab(&history->arena, (history->keys + 1u) * sizeof *last);

    if (history->count) qsort(history->txns, history->count, sizeof *history->txns, by_call);
    for (uint32_t i = 0; i < history->count; i++) {
        const struct txn *txn = &history->txns[i];

        for (uint32_t j = 0; j < txn->count; j++)
            if (txn->steps[j].f != TXN_READ && !index_write(history, i, &txn->steps[j]))
                return false;
        for (uint32_t j = txn->count; j-- > 0;) {
            const struct txn_step *step = &txn->steps[j];

            if (step->f == TXN_READ) continue;
            if (last[step->key] != i + 1)
                txn_history_write(history, step->key, step->value)->final = true;
            last[step->key] = i + 1;
        }
    }
    return true;
}

struct txn_write *txn_history_write(const struct txn_history *history, uint32_t key,
                                    uint32_t value)
{
    uint32_t number = intern_find_pair(&history->pairs, key, value);

    return number == UINT32_MAX ? NULL : &history->writes[number];
}

bool *txn_history_committed(struct txn_history *history)
{
    bool *committed = grab(&history->arena, history->count * sizeof *committed);

    for (size_t i = 0; i < history->count; i++)
        committed[i] = history->txns[i].outcome == OUTCOME_OK;
    for (size_t i = 0; i < history->pairs.count; i++)
        if (history->writes[i].observed && history->txns[history->writes[i].txn].outcome ==
                                           OUTCOME_INFO)
            committed[history->writes[i].txn] = true;
    return committed;
}

static const char *name_of(const struct intern *names, uint32_t number)
{
    static _Thread_local char texts[4][48];
    static _Thread_local unsigned next;
    char *text = texts[next++ % 4];

    if (number < names->count)
        (void)snprintf(text, sizeof texts[0], "%.*s", (int)names->entries[number].size,
                       (const char *)names->entries[number].bytes);
    else
        (void)snprintf(text, sizeof texts[0], "%" PRIu32, number);
    return text;
}

const char *txn_history_key(const struct txn_history *history, uint32_t key)
{
    return name_of(&history->names, key);
}

const char *txn_history_value(const struct txn_history *history, uint32_t value)
{
    return name_of(&history->values, value);
}

void txn_history_done(struct txn_history *history)
{
    sdb__arena_done(&history->arena);
    sdb__mem_free(&sdb__mem_default, history->txns);
    sdb__mem_free(&sdb__mem_default, history->writes);
    intern_done(&history->names);
    intern_done(&history->values);
    intern_done(&history->pairs);
    *history = (struct txn_history){0};
}
