/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_history.c: any bytes as a recorded history, for each checker.
 *
 * The first byte of the input says how the rest is read: mod 8 the model, the rest of it mod 3 the
 * notation (EDN, JSON, log).
 *
 * What must hold: every call gets on; a form that prints reads again as what prints the same; a
 * second verdict is the same as the first.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/histories/judge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool held, const char *what)
{
    if (held) return;
    (void)fprintf(stderr, "fuzz_history: this does not hold: %s\n", what);
    abort();
}

#define MUST(condition) must((condition), #condition)

/* Prints the first form; false if there is none. */
static bool print_first(const char *text, size_t size, bool json, struct buffer *out)
{
    struct arena arena = {.allocator = &sdb__mem_default};
    struct edn_reader reader = {.arena = &arena, .at = text, .end = text + size, .json = json};
    struct edn form;
    bool is_form = edn_next(&reader, &form) == EDN_FORM;

    if (is_form) edn_print(&form, out);
    edn_done(&reader);
    sdb__arena_done(&arena);
    return is_form;
}

static void print_twice(const char *text, size_t size, bool json)
{
    struct buffer once = {0}, again = {0};

    if (print_first(text, size, json, &once)) {
        MUST(print_first((const char *)once.data, once.size, false, &again));
        MUST(once.size == again.size && memcmp(once.data, again.data, once.size) == 0);
    }
    sdb__buffer_done(&sdb__mem_default, &once);
    sdb__buffer_done(&sdb__mem_default, &again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const models[] = {"cas-register", "etcd",    "kv",  "list-append",
                                         "rw-register",  "counter", "set", "bank"};
    const struct wgl_limits limits = {.steps = 20000, .bytes = (size_t)16 << 20};
    uint8_t mode = size ? data[0] : 0;
    enum history_notation notation = (enum history_notation)(mode / 8 % 3);
    const char *text = size ? (const char *)data + 1 : "";
    struct history history;
    struct judge judge;
    char once[512], again[512];

    if (size) size--;
    MUST(judge_find(models[mode % 8], &judge));
    if (notation != HISTORY_LOG) print_twice(text, size, notation == HISTORY_JSON);
    if (history_read(&history, notation, text, size)) {
        enum verdict verdict = judge_history(&judge, &history, &limits, once, NULL);

        MUST(judge_history(&judge, &history, &limits, again, NULL) == verdict);
        MUST(strcmp(once, again) == 0);
    }
    history_done(&history);
    return 0;
}
