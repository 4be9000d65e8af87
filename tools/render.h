/* SPDX-License-Identifier: Apache-2.0 */
/*
 * render.h: rows of facts in the form that was chosen.
 *
 *   table  columns side by side, for people; long cells are cut
 *   line   one row a line, cells separated by tabs, each as encode_shown writes it
 *   json   one object a line; bytes that are not UTF-8 become NAME_base64
 *   csv    a header and rows by RFC 4180, bytes as they are
 *   raw    as line, bytes as they are
 */
#ifndef SDB_TOOLS_RENDER_H
#define SDB_TOOLS_RENDER_H

#include <stdio.h>
#include <sdb/kv.h>

#include "tools/bytebuf.h"

enum render_mode { RENDER_TABLE, RENDER_LINE, RENDER_JSON, RENDER_CSV, RENDER_RAW };

#define RENDER_COLUMNS_MAX 6

struct render_column {
    const char *name;
    bool number; /* to the right in tables, bare in JSON */
};

/* One result. render_begin, render_row for each row, render_end. */
struct render {
    enum render_mode mode;
    const struct render_column *columns;
    size_t column_count;
    FILE *out;
    uint64_t rows;
    struct bytebuf text; /* the row being written; in a table also those held back */
    struct bytebuf held; /* table: cells of the first rows, each ended by a NUL */
    size_t held_rows;
    size_t widths[RENDER_COLUMNS_MAX];
    bool widths_known;
    const char *noun; /* "entry/entries": what a table counts in its last line; NULL: none */
};

/* The mode of that name; false if there is none. */
bool render_mode_named(const char *name, enum render_mode *out_mode);
const char *render_mode_name(enum render_mode mode);

void render_begin(struct render *render, enum render_mode mode, const struct render_column *columns,
                  size_t column_count, const char *noun, FILE *out);
/* False when a row is too large for memory, or the output cannot be written. */
bool render_row(struct render *render, const sdb_slice *cells);
/* Writes what was held back, and frees. `interrupted` is said in a table. */
bool render_end(struct render *render, bool interrupted);

#endif
