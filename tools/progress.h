/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress.h: a bar on standard error for work that takes longer than a second, with rate and time
 * left.
 *
 * It shows only on a terminal. progress_report has the form of an sdb_progress_fn: give it a struct
 * progress as context, and an interrupt ends the library's work.
 */
#ifndef SDB_TOOLS_PROGRESS_H
#define SDB_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

enum progress_unit { PROGRESS_BYTES, PROGRESS_ROWS, PROGRESS_PAGES };

struct progress {
    const char *what; /* "importing" */
    enum progress_unit unit;
    bool terminal;
    bool shown;
    double begun, next; /* seconds: start, and when to draw next */
};

void progress_begin(struct progress *progress, const char *what, enum progress_unit unit);
/* total 0: not known. Cheap enough to call for each row. */
void progress_at(struct progress *progress, uint64_t done, uint64_t total);
/* Says that the last part of the work, which cannot be measured, has begun. */
void progress_last(struct progress *progress, const char *what);
/* Takes the bar away; the seconds that the work took. */
double progress_end(struct progress *progress);

/* Non-zero when interrupted. */
int progress_report(void *context, uint64_t done, uint64_t total);

#endif
