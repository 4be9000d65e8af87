/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge_fixture.h: histories written in a test, and the verdict on them.
 */
#ifndef SDB_TESTS_HISTORIES_JUDGE_FIXTURE_H
#define SDB_TESTS_HISTORIES_JUDGE_FIXTURE_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/histories/judge.h"
#include "tests/lib/suite.h"

/* Judges a text by the model; *out_found is what was found, borrowed until the next call. */
static inline enum verdict judge_text(const char *model, enum history_notation notation,
                                      const char *text, const char **out_found)
{
    static char found[512];
    const struct wgl_limits limits = {.steps = 1000000, .bytes = (size_t)64 << 20};
    enum verdict verdict;
    struct history history;
    struct judge judge;

    ck_assert_msg(judge_find(model, &judge), "%s is no model", model);
    ck_assert_msg(history_read(&history, notation, text, strlen(text)), "%s", history.error);
    verdict = judge_history(&judge, &history, &limits, found, NULL);
    history_done(&history);
    if (out_found) *out_found = found;
    return verdict;
}

/* The verdict is as wanted, and what was found names `words`, if they are not NULL. */
static inline void expect(const char *model, const char *text, enum verdict wanted,
                          const char *words)
{
    static const char *const names[] = {"valid", "invalid", "unknown"};
    const char *found;
    enum verdict verdict = judge_text(model, HISTORY_EDN, text, &found);

    ck_assert_msg(verdict == wanted, "%s: %s instead of %s: %s\n%s", model, names[verdict],
                  names[wanted], found, text);
    ck_assert_msg(!words || strstr(found, words), "%s: \"%s\" does not name \"%s\"\n%s", model,
                  found, words, text);
}

#endif
