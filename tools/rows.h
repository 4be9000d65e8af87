/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows.h: an import's source as keys and values, whatever its format.
 *
 *   csv, tsv  a header, then rows. The key is a column; the value the other columns as a JSON
 *   object in the
 *             header's order, or one column as it is.
 *   lines     each line is a key, its number the value.
 *   jsonl     each line is an object: a field is the key and the line the value, or it has the form
 *   that
 *             an export writes: {"key":…,"value":…}, with key_base64 and value_base64 for other
 *             bytes.
 *   dump      the binary dump (dumpfile.h).
 */
#ifndef SDB_TOOLS_ROWS_H
#define SDB_TOOLS_ROWS_H

#include "tools/csvtext.h"
#include "tools/dumpfile.h"
#include "tools/jsonscan.h"

enum rows_format { FORMAT_NONE, FORMAT_CSV, FORMAT_TSV, FORMAT_JSONL, FORMAT_LINES, FORMAT_DUMP };

/* The format of that name, or that a file's name tells by its ending; FORMAT_NONE if none is. */
enum rows_format rows_format_named(const char *name);
enum rows_format rows_format_guess(const char *path);

struct rows_config {
    enum rows_format format;
    char separator; /* of csv and tsv */
    bool header;    /* csv, tsv: the first row names the columns; without one they are 1, 2, … */
    const char
        *key; /* column or field that is the key; NULL: the first column, the export's form */
    const char *value; /* column or field that is the value; NULL: all the rest, the line */
};

struct row {
    sdb_slice key, value; /* borrowed until the next call */
    const char *keyspace; /* of a dump; otherwise NULL */
    bool has_expiry;      /* of a dump with expiries: expiry_ms counts, 0 for ever */
    uint64_t expiry_ms;
    uint64_t ttl_ms; /* of the keyspace that begins; 0: none */
};

enum rows_answer {
    ROWS_ROW,
    ROWS_KEYSPACE, /* only in a dump: a keyspace begins, maybe an empty one */
    ROWS_END,
    ROWS_BAD,  /* one row cannot be used; the next call goes on behind it */
    ROWS_FATAL /* nothing more can be read */
};

struct rows {
    struct rows_config config;
    struct source source;
    struct csv_row cells;
    struct dump_reader dump;
    struct bytebuf line, key, value;
    char **columns; /* of csv and tsv: their names */
    size_t column_count;
    size_t key_column, value_column; /* value_column == column_count: all the rest */
    bool begun;
    char where[64];   /* "line 12", "record 3 at byte 400": of the row answered last */
    char reason[320]; /* why it is bad or fatal */
};

/* Opens a source. False with `reason` set. rows_close after both. */
bool rows_open(struct rows *rows, const char *path, const struct rows_config *config,
               bool rewindable);
void rows_close(struct rows *rows);
/* Back to the start; only if it was opened for that. */
bool rows_rewind(struct rows *rows);
enum rows_answer rows_next(struct rows *rows, struct row *out_row);

/* ---- between rows.c and rows_csv.c -------------------------------------------------------- */

enum rows_answer rows__bad(struct rows *rows, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
enum rows_answer rows__fatal(struct rows *rows, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
enum rows_answer rows__csv_next(struct rows *rows, struct row *out_row);
void rows__csv_forget(struct rows *rows);

#endif
