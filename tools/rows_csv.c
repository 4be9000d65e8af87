/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows_csv.c
 *
 * Idea: the first row names the columns (or numbers do); each later row must have as many cells,
 *   and becomes
 * a key and a JSON object of the other cells.
 * Invariants: I1 the object's fields stand in the header's order and are strings. I2 cells that
 *   become JSON are UTF-8; a cell that becomes a key or a value alone may hold any bytes.
 * Costs: memory for one row and the names.
 * Not here: quoting (csvtext.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/encode.h"
#include "tools/rows.h"
#include "tools/tool.h"

void rows__csv_forget(struct rows *rows)
{
    for (size_t i = 0; i < rows->column_count; i++) free(rows->columns[i]);
    free(rows->columns);
    rows->columns = NULL;
    rows->column_count = 0;
}

/* Reads a row of cells and sets `where`. */
static enum rows_answer read_cells(struct rows *rows)
{
    const char *reason = "";
    enum csv_answer answer = csv_read(&rows->source, rows->config.separator, &rows->cells, &reason);

    (void)snprintf(rows->where, sizeof rows->where, "line %llu",
                   (unsigned long long)rows->cells.line);
    if (rows->source.failed) return rows__fatal(rows, "%s", rows->source.problem);
    if (answer == CSV_END) return ROWS_END;
    if (answer == CSV_BAD) return rows__bad(rows, "%s", reason);
    return ROWS_ROW;
}

/* The name of column i: its cell in the header, or its number. NULL when memory lacks. */
static char *column_name(const struct rows *rows, size_t i)
{
    sdb_slice cell = csv_cell(&rows->cells, i);
    char *name = malloc(rows->config.header ? cell.size + 1 : 24);

    if (!name) return NULL;
    if (!rows->config.header) {
        (void)snprintf(name, 24, "%zu", i + 1);
        return name;
    }
    memcpy(name, cell.data, cell.size);
    name[cell.size] = '\0';
    return name;
}

/* The column called `name`, or column_count. */
static size_t column_called(const struct rows *rows, const char *name)
{
    size_t i = 0;

    while (i < rows->column_count && strcmp(rows->columns[i], name) != 0) i++;
    return i;
}

static enum rows_answer make_columns(struct rows *rows)
{
    rows->columns = calloc(rows->cells.count, sizeof *rows->columns);
    if (!rows->columns) return rows__fatal(rows, "there is no memory for the columns");
    for (size_t i = 0; i < rows->cells.count; i++) {
        char *name = column_name(rows, i);

        if (!name) return rows__fatal(rows, "there is no memory for the columns");
        if (column_called(rows, name) < i || !encode_is_utf8(name, strlen(name))) {
            bool twice = column_called(rows, name) < i;

            (void)rows__fatal(rows, "the header's column %zu \"%s\" %s", i + 1, twice ? name : "",
                              twice ? "is there twice" : "is not UTF-8");
            free(name);
            return ROWS_FATAL;
        }
        rows->columns[rows->column_count++] = name;
    }
    return ROWS_ROW;
}

/* Finds the columns that --key and --value name. */
static enum rows_answer choose_columns(struct rows *rows)
{
    const struct rows_config *config = &rows->config;

    rows->key_column = config->key ? column_called(rows, config->key) : 0;
    rows->value_column = rows->column_count;
    if (rows->key_column == rows->column_count)
        return rows__fatal(rows, "there is no column \"%s\"", config->key);
    if (config->value) {
        rows->value_column = column_called(rows, config->value);
        if (rows->value_column == rows->column_count)
            return rows__fatal(rows, "there is no column \"%s\"", config->value);
    }
    return ROWS_ROW;
}

/* Learns the columns from the first row, which is data when there is no header. */
static enum rows_answer begin(struct rows *rows)
{
    enum rows_answer answer = read_cells(rows);

    if (answer == ROWS_BAD) return ROWS_FATAL; /* without a header no row can be understood */
    if (answer == ROWS_END && rows->config.header)
        return rows__fatal(rows, "it is empty, and has no header");
    if (answer != ROWS_ROW) return answer;
    answer = make_columns(rows);
    if (answer == ROWS_ROW) answer = choose_columns(rows);
    return answer;
}

/* The cells that are not the key, as a JSON object. */
static enum rows_answer make_object(struct rows *rows)
{
    struct bytebuf *out = &rows->value;
    bool first = true;

    bytebuf_clear(out);
    bytebuf_add_byte(out, '{');
    for (size_t i = 0; i < rows->column_count; i++) {
        sdb_slice cell = csv_cell(&rows->cells, i);

        if (i == rows->key_column) continue;
        if (!encode_is_utf8(cell.data, cell.size))
            return rows__bad(rows,
                             "column \"%s\" is not UTF-8; "
                             "--value COLUMN takes a column's bytes as they are",
                             rows->columns[i]);
        if (!first) bytebuf_add_byte(out, ',');
        first = false;
        encode_json(out, rows->columns[i], strlen(rows->columns[i]));
        bytebuf_add_byte(out, ':');
        encode_json(out, cell.data, cell.size);
    }
    bytebuf_add_byte(out, '}');
    if (out->failed == BYTEBUF_FULL) return rows__bad(rows, "the value is longer than 1 GiB");
    if (out->failed) return rows__fatal(rows, "there is no memory for the value");
    return ROWS_ROW;
}

enum rows_answer rows__csv_next(struct rows *rows, struct row *out_row)
{
    enum rows_answer answer = ROWS_ROW;
    bool fresh = rows->columns == NULL;

    if (fresh) answer = begin(rows);
    if (answer != ROWS_ROW) return answer;
    if (!fresh || rows->config.header) answer = read_cells(rows);
    if (answer != ROWS_ROW) return answer;
    if (rows->cells.count != rows->column_count)
        return rows__bad(rows, "it has %zu column%s where the %s has %zu", rows->cells.count,
                         rows->cells.count == 1 ? "" : "s",
                         rows->config.header ? "header" : "first row", rows->column_count);
    out_row->key = csv_cell(&rows->cells, rows->key_column);
    if (rows->value_column < rows->column_count) {
        out_row->value = csv_cell(&rows->cells, rows->value_column);
        return ROWS_ROW;
    }
    answer = make_object(rows);
    out_row->value = (sdb_slice){bytebuf_text(&rows->value), rows->value.size};
    return answer;
}
