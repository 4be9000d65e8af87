/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress.c
 *
 * Idea: the clock is read at each call, which costs some 20 ns, and the bar drawn ten times a
 *   second.
 * Invariants: I1 nothing is written unless standard error is a terminal and a second has gone.
 * Not here: counts for programs to read (--progress-fd, in import.c).
 */
#include "tools/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "tools/tool.h"

#define BAR_CELLS 24

void progress_begin(struct progress *progress, const char *what, enum progress_unit unit)
{
    progress->what = what;
    progress->unit = unit;
    progress->terminal = isatty(STDERR_FILENO) != 0;
    progress->shown = false;
    progress->begun = tool_seconds();
    progress->next = progress->begun + 1;
}

static const char *amount(const struct progress *progress, uint64_t number)
{
    return progress->unit == PROGRESS_BYTES ? tool_bytes(number) : tool_number(number);
}

static void draw(struct progress *progress, double now, uint64_t done, uint64_t total)
{
    static const char *const names[] = {"", " rows", " pages"};
    double elapsed = now - progress->begun;
    double rate = (double)done / elapsed;
    char bar[BAR_CELLS + 1];

    (void)fflush(stdout);
    if (total) {
        double part = done < total ? (double)done / (double)total : 1;
        double left = rate > 0 ? (double)(total > done ? total - done : 0) / rate : 0;

        for (int i = 0; i < BAR_CELLS; i++) bar[i] = i < (int)(part * BAR_CELLS) ? '#' : '.';
        bar[BAR_CELLS] = '\0';
        (void)fprintf(stderr, "\r%s %3d%% [%s] %s%s, %s/s, %d:%02d left\033[K", progress->what,
                      (int)(part * 100), bar, amount(progress, done), names[progress->unit],
                      amount(progress, (uint64_t)rate), (int)left / 60, (int)left % 60);
    } else {
        (void)fprintf(stderr, "\r%s %s%s, %s/s\033[K", progress->what, amount(progress, done),
                      names[progress->unit], amount(progress, (uint64_t)rate));
    }
    (void)fflush(stderr);
    progress->shown = true;
}

void progress_at(struct progress *progress, uint64_t done, uint64_t total)
{
    double now;

    if (!progress->terminal) return;
    now = tool_seconds();
    if (now < progress->next) return;
    progress->next = now + 0.1;
    draw(progress, now, done, total);
}

void progress_last(struct progress *progress, const char *what)
{
    if (!progress->terminal || tool_seconds() < progress->begun + 1) return;
    (void)fprintf(stderr, "\r%s ...\033[K", what);
    (void)fflush(stderr);
    progress->shown = true;
}

double progress_end(struct progress *progress)
{
    if (progress->shown) {
        (void)fputs("\r\033[K", stderr);
        (void)fflush(stderr);
    }
    progress->shown = false;
    return tool_seconds() - progress->begun;
}

int progress_report(void *context, uint64_t done, uint64_t total)
{
    progress_at(context, done, total);
    return tool_interrupted();
}
