/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lineedit.h: lines from a person at a terminal: with editing, history and completion where libedit
 * is there, otherwise as the terminal gives them.
 *
 * One at a time in a process: libedit's terminal is the process's.
 */
#ifndef SDB_TOOLS_LINEEDIT_H
#define SDB_TOOLS_LINEEDIT_H

#include "tools/bytebuf.h"

struct lineedit;

#define CANDIDATES_MAX 512

/* Words that a completion may become. `size` bytes before the cursor are what they complete. */
struct candidates {
    char *list[CANDIDATES_MAX]; /* owned */
    size_t count;
    size_t size;
};

/* Fills `out` for line[0…size), the text before the cursor. */
typedef void (*lineedit_complete_fn)(void *context, const char *line, size_t size,
                                     struct candidates *out);
/* Adds a copy of `word` if it begins with the text that is to be completed. */
void candidates_offer(struct candidates *candidates, const char *typed, const char *word);

enum lineedit_answer { LINE_GIVEN, LINE_END, LINE_INTERRUPTED };

/* NULL when memory lacks. Owned: lineedit_free, which also saves the history. */
struct lineedit *lineedit_new(lineedit_complete_fn complete, void *context);
/* Asks for a line, and puts it with its newline behind what `out` holds. */
enum lineedit_answer lineedit_read(struct lineedit *edit, const char *prompt, struct bytebuf *out);
void lineedit_free(struct lineedit *edit);

#endif
