/* SPDX-License-Identifier: Apache-2.0 */
/*
 * csvtext.h: rows of comma- or tab-separated text, by RFC 4180: quoted cells may hold separators,
 * doubled quotes and newlines. Rows end with LF or CR LF. Lines without a byte are passed over.
 */
#ifndef SDB_TOOLS_CSVTEXT_H
#define SDB_TOOLS_CSVTEXT_H

#include <sdb/kv.h>

#include "tools/source.h"

#define CSV_COLUMNS_MAX 4096

/* The row read last. Zero-initialise; csv_done. */
struct csv_row {
    struct bytebuf text;
    size_t ends[CSV_COLUMNS_MAX]; /* cell i is text[ends[i-1]…ends[i]) */
    size_t count;
    uint64_t line; /* on which it began */
    bool quoted;   /* some cell was in quotes */
};

enum csv_answer { CSV_ROW, CSV_END, CSV_BAD };

/*
 * Reads the next row. CSV_BAD: *out_reason (static storage) says why, and the rest of that line was
 * passed over. CSV_END also when reading failed: see source->failed.
 */
enum csv_answer csv_read(struct source *source, char separator, struct csv_row *row,
                         const char **out_reason);
/* Cell i, borrowed until the next row. */
sdb_slice csv_cell(const struct csv_row *row, size_t i);
void csv_done(struct csv_row *row);

/* Appends a cell, in quotes where they are needed. */
void csv_add_cell(struct bytebuf *out, char separator, const void *data, size_t size);

/* Ends the row that began at out->data[from]; what would be an empty line becomes a quoted cell. */
void csv_end_row(struct bytebuf *out, size_t from);

#endif
