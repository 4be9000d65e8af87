/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words.h: a command line of the shell, cut into words.
 *
 *   bare        up to the next white space, as it is: {"a":1} is a word
 *   'single'    as it is; '' is one quote
 *   "double"    \n \t \r \0 \\ \" \xNN, and a backslash at a line's end joins the lines
 *   x'6869'     bytes in hex
 *   # …         at the start of a command: a comment
 *
 * A quoted word that does not end, or a backslash at the end of the line, asks for another line.
 */
#ifndef SDB_TOOLS_WORDS_H
#define SDB_TOOLS_WORDS_H

#include "tools/args.h"
#include "tools/bytebuf.h"

#define WORDS_MAX 256

/* Zero-initialise; words_done. The list borrows from `text`. */
struct words {
    struct bytebuf text;
    struct word list[WORDS_MAX];
    size_t from[WORDS_MAX];
    size_t count;
    const char *problem; /* static storage */
};

enum words_answer { WORDS_WHOLE, WORDS_UNFINISHED, WORDS_WRONG };

enum words_answer words_split(struct words *words, const char *line, size_t size);
void words_done(struct words *words);

#endif
