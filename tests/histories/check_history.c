/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_history.c: a verdict on recorded histories.
 *
 *     check_history MODEL FILE…
 *
 * For each file a line "FILE<tab>valid|invalid|unknown<tab>what was found", and for transactions
 * the anomalies below it, each behind "  ". Status 0: all are valid; 1: one is invalid; 2: none is,
 * and of one nothing is known (it cannot be read, or the search reached its limits: 50 million
 * steps, 1 GiB); 64: the arguments are wrong.
 */
#include <stdio.h>
#include <string.h>

#include "tests/histories/judge.h"

static const struct wgl_limits limits = {.steps = 50000000, .bytes = (size_t)1 << 30};

static void print_details(struct buffer *details)
{
    const char *line = (const char *)details->data, *end = line + details->size;

    while (line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));

        (void)printf("  %.*s\n", (int)(newline - line), line);
        line = newline + 1;
    }
    sdb__buffer_done(&sdb__mem_default, details);
}

static enum verdict check(const struct judge *judge, const char *path)
{
    static const char *const words[] = {"valid", "invalid", "unknown"};
    enum verdict verdict = VERDICT_UNKNOWN;
    struct buffer details = {0};
    struct history history;
    char text[512];

    if (history_load(&history, path))
        verdict = judge_history(judge, &history, &limits, text, &details);
    else
        (void)snprintf(text, sizeof text, "%s", history.error);
    (void)printf("%s\t%s\t%s\n", path, words[verdict], text);
    if (details.size) print_details(&details);
    history_done(&history);
    return verdict;
}

int main(int argc, char **argv)
{
    bool invalid = false, unknown = false;
    struct judge judge;

    if (argc < 3 || !judge_find(argv[1], &judge)) {
        (void)fprintf(stderr, "usage: check_history MODEL FILE…\nmodels: %s\n", judge_names());
        return 64;
    }
    for (int i = 2; i < argc; i++) {
        enum verdict verdict = check(&judge, argv[i]);

        if (verdict == VERDICT_INVALID) invalid = true;
        if (verdict == VERDICT_UNKNOWN) unknown = true;
    }
    return invalid ? 1 : unknown ? 2 : 0;
}
