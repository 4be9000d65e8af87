/* SPDX-License-Identifier: Apache-2.0 */
/* aggregate.c */
#include "tests/histories/aggregate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/histories/intern.h"

static enum aggregate_answer odd(const struct operation *operation, char text[256])
{
    (void)snprintf(text, 256, "the operation at event %" PRIu64 " has no value of this model",
                   operation->call);
    return AGGREGATE_UNKNOWN;
}

static bool is_integer(const struct edn *form)
{
    return form && form->kind == EDN_INTEGER;
}

/* ---- counter ------------------------------------------------------------------------------ */

/* No history is so long that 128 bits overflow. */
__extension__ typedef __int128 sum;

struct moment {
    uint64_t place;
    const struct operation *operation;
    sum *lower; /* of a read: the least it may see, known when it is called */
};

static int by_place(const void *left, const void *right)
{
    const struct moment *a = left, *b = right;

    return a->place < b->place ? -1 : a->place > b->place;
}

/* Goes through the calls and returns; `low` and `high` bound the counter. */
static enum aggregate_answer count(const struct moment *moments, size_t size, char text[256])
{
    sum low = 0, high = 0;
    uint64_t reads = 0;

    for (size_t i = 0; i < size; i++) {
        const struct operation *operation = moments[i].operation;
        bool is_call = moments[i].place == operation->call;

        if (edn_is(operation_f(operation), "add")) {
            const struct edn *value = operation_in(operation);

            if (!is_integer(value)) return odd(operation, text);
            if (is_call == (value->integer > 0)) /* added at its earliest, or taken at its latest */
                high += value->integer;
            else
                low += value->integer;
        } else if (is_call) {
            *moments[i].lower = low;
        } else {
            const struct edn *value = operation_out(operation);

            if (!is_integer(value)) return odd(operation, text);
            reads++;
            if (value->integer >= *moments[i].lower && value->integer <= high) continue;
            (void)snprintf(text, 256, "the read at event %" PRIu64 " is %" PRId64 ", and the "
                           "counter was between %" PRId64 " and %" PRId64, operation->call,
                           value->integer, (int64_t)*moments[i].lower, (int64_t)high);
            return AGGREGATE_INVALID;
        }
    }
    (void)snprintf(text, 256, "%" PRIu64 " reads", reads);
    return AGGREGATE_VALID;
}

enum aggregate_answer check_counter(const struct history *history, char out_text[256])
{
    struct arena arena = {.allocator = &sdb__mem_default};
    struct moment *moments = grab(&arena, 2 * history->count * sizeof *moments);
    sum *lower = grab(&arena, history->count * sizeof *lower);
    enum aggregate_answer answer;
    size_t size = 0;

    for (size_t i = 0; i < history->count; i++) {
        const struct operation *operation = &history->operations[i];
        bool is_add = edn_is(operation_f(operation), "add");

        if (operation->outcome == OUTCOME_FAIL) continue;
        if (!is_add && (operation->outcome != OUTCOME_OK || !edn_is(operation_f(operation),
                                                                    "read")))
            continue;
        moments[size++] = (struct moment){operation->call, operation, &lower[i]};
        if (operation->outcome == OUTCOME_OK)
            moments[size++] = (struct moment){operation->ret, operation, &lower[i]};
    }
    if (size) qsort(moments, size, sizeof *moments, by_place);
    answer = count(moments, size, out_text);
    sdb__arena_done(&arena);
    return answer;
}

/* ---- set ---------------------------------------------------------------------------------- */

enum { TRIED = 1, ADDED = 2, SEEN = 4 };

static const struct operation *last_read(const struct history *history)
{
    const struct operation *last = NULL;

    for (size_t i = 0; i < history->count; i++) {
        const struct operation *operation = &history->operations[i];

        if (operation->outcome == OUTCOME_OK && edn_is(operation_f(operation), "read") &&
            (!last || operation->ret > last->ret))
            last = operation;
    }
    return last;
}

enum aggregate_answer check_set(const struct history *history, char out_text[256])
{
    const struct operation *read = last_read(history);
    const struct edn *list = read ? operation_out(read) : NULL;
    struct intern values = {.arena.allocator = &sdb__mem_default};
    struct arena arena = {.allocator = &sdb__mem_default};
    uint64_t lost = 0, unexpected = 0;
    uint8_t *marks;

    if (!read) {
        (void)snprintf(out_text, 256, "nothing was read");
        return AGGREGATE_UNKNOWN;
    }
    if (!list || list->kind != EDN_LIST) return odd(read, out_text);
    marks = grab(&arena, history->count + list->count);
    for (size_t i = 0; i < history->count; i++) {
        const struct operation *operation = &history->operations[i];
        const struct edn *value = operation_in(operation);

        if (!value || !edn_is(operation_f(operation), "add")) continue;
        marks[intern_form(&values, value)] |=
            operation->outcome == OUTCOME_OK && operation->ret < read->call ? TRIED | ADDED : TRIED;
    }
    for (uint32_t i = 0; i < list->count; i++)
        marks[intern_form(&values, &list->items[i])] |= SEEN;
    for (size_t i = 0; i < values.count; i++) {
        lost += (marks[i] & (ADDED | SEEN)) == ADDED;
        unexpected += (marks[i] & (TRIED | SEEN)) == SEEN;
    }
    (void)snprintf(out_text, 256, "%" PRIu32 " read, %" PRIu64 " lost, %" PRIu64 " unexpected",
                   list->count, lost, unexpected);
    intern_done(&values);
    sdb__arena_done(&arena);
    return lost || unexpected ? AGGREGATE_INVALID : AGGREGATE_VALID;
}

/* ---- bank --------------------------------------------------------------------------------- */

/* The accounts and the sum of a read. False: it is none. */
static bool add_up(const struct edn *balances, struct intern *accounts, sum *out_total,
                   bool *out_below)
{
    if (!balances || balances->kind != EDN_MAP) return false;
    *out_total = 0;
    *out_below = false;
    for (uint32_t i = 0; i < balances->count; i += 2) {
        if (!is_integer(&balances->items[i + 1])) return false;
        (void)intern_form(accounts, &balances->items[i]);
        *out_total += balances->items[i + 1].integer;
        if (balances->items[i + 1].integer < 0) *out_below = true;
    }
    return true;
}

enum aggregate_answer check_bank(const struct history *history, char out_text[256])
{
    struct intern accounts = {.arena.allocator = &sdb__mem_default};
    enum aggregate_answer answer = AGGREGATE_VALID;
    uint64_t reads = 0;
    size_t count = 0;
    sum total = 0;

    for (size_t i = 0; i < history->count && answer == AGGREGATE_VALID; i++) {
        const struct operation *operation = &history->operations[i];
        const struct edn *balances = operation_out(operation);
        const char *wrong = NULL;
        bool below;
        sum one;

        if (operation->outcome != OUTCOME_OK || !edn_is(operation_f(operation), "read")) continue;
        if (!add_up(balances, &accounts, &one, &below)) {
            answer = odd(operation, out_text);
            break;
        }
        if (reads++ == 0) {
            total = one;
            count = accounts.count;
        }
        if (accounts.count != count || balances->count != 2 * count) wrong = "other accounts";
        if (one != total) wrong = "another sum";
        if (below) wrong = "a balance below 0";
        if (!wrong) continue;
        (void)snprintf(out_text, 256, "the read at event %" PRIu64 " has %s", operation->call,
                       wrong);
        answer = AGGREGATE_INVALID;
    }
    if (answer == AGGREGATE_VALID)
        (void)snprintf(out_text, 256, "%" PRIu64 " reads of %zu accounts", reads, count);
    intern_done(&accounts);
    return answer;
}
