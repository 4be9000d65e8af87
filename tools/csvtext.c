/* SPDX-License-Identifier: Apache-2.0 */
/*
 * csvtext.c
 *
 * Idea: all cells of a row lie one behind the other in one buffer, with the offsets of their ends.
 *   A cell
 * is plain or quoted, decided by its first byte.
 * Invariants: I1 count <= CSV_COLUMNS_MAX. I2 what csv_add_cell and csv_end_row write, csv_read
 *   gives back unchanged.
 * Costs: a row's own length, at most BYTEBUF_LIMIT; a byte at a time.
 * Source: RFC 4180. We also take any one-byte separator, and LF alone.
 * Not here: headers and what the columns mean (rows_csv.c).
 */
#include "tools/csvtext.h"

#include <string.h>

/* Reads a quoted cell whose opening quote was read. NULL, or what is wrong. */
static const char *read_quoted(struct source *source, char separator, struct bytebuf *text)
{
    for (;;) {
        int byte = source_byte(source);

        if (byte < 0) return "a quoted cell does not end";
        if (byte == '"') {
            int next = source_peek(source);

            if (next == '"') {
                (void)source_byte(source);
            } else if (next < 0 || next == '\n' || next == '\r' || next == separator) {
                return NULL;
            } else {
                return "text right after a closing quote";
            }
        }
        bytebuf_add_byte(text, (char)byte);
    }
}

/* Reads a cell without quotes, up to the separator or line end, which stay. */
static const char *read_plain(struct source *source, char separator, struct bytebuf *text)
{
    for (;;) {
        int byte = source_peek(source);

        if (byte < 0 || byte == '\n' || byte == (unsigned char)separator) return NULL;
        if (byte == '"') return "a quote inside a cell that does not begin with one";
        (void)source_byte(source);
        if (byte == '\r' && (source_peek(source) == '\n' || source_peek(source) < 0)) return NULL;
        bytebuf_add_byte(text, (char)byte);
    }
}

static const char *read_cells(struct source *source, char separator, struct csv_row *row)
{
    for (;;) {
        const char *wrong;
        int byte;

        if (row->count == CSV_COLUMNS_MAX) return "more than 4,096 columns";
        if (source_peek(source) == '"') {
            (void)source_byte(source);
            row->quoted = true;
            wrong = read_quoted(source, separator, &row->text);
        } else {
            wrong = read_plain(source, separator, &row->text);
        }
        if (wrong) return wrong;
        if (row->text.failed == BYTEBUF_FULL) return "the row is longer than 1 GiB";
        if (row->text.failed) return "there is no memory for the row";
        row->ends[row->count++] = row->text.size;
        if (source_peek(source) == '\r') (void)source_byte(source);
        byte = source_byte(source);
        if (byte < 0 || byte == '\n') return NULL;
        if (byte != (unsigned char)separator) return "text right after a closing quote";
    }
}

enum csv_answer csv_read(struct source *source, char separator, struct csv_row *row,
                         const char **out_reason)
{
    do {
        bytebuf_clear(&row->text);
        row->count = 0;
        row->quoted = false;
        row->line = source->line;
        if (source_peek(source) < 0) return CSV_END;
        *out_reason = read_cells(source, separator, row);
        if (source->failed) return CSV_END;
        if (*out_reason) {
            source_skip_line(source);
            return CSV_BAD;
        }
    } while (row->count == 1 && row->text.size == 0 && !row->quoted);
    return CSV_ROW;
}

sdb_slice csv_cell(const struct csv_row *row, size_t i)
{
    size_t from = i ? row->ends[i - 1] : 0;

    return (sdb_slice){bytebuf_text(&row->text) + from, row->ends[i] - from};
}

void csv_done(struct csv_row *row)
{
    bytebuf_done(&row->text);
}

void csv_add_cell(struct bytebuf *out, char separator, const void *data, size_t size)
{
    const char *p = data;
    bool quote = false;

    for (size_t i = 0; i < size && !quote; i++)
        quote = p[i] == separator || p[i] == '"' || p[i] == '\n' || p[i] == '\r';
    if (!quote) {
        bytebuf_add(out, data, size);
        return;
    }
    bytebuf_add_byte(out, '"');
    while (size) {
        const char *found = memchr(p, '"', size);
        size_t piece = found ? (size_t)(found - p) + 1 : size;

        bytebuf_add(out, p, piece);
        if (found) bytebuf_add_byte(out, '"');
        p += piece;
        size -= piece;
    }
    bytebuf_add_byte(out, '"');
}

void csv_end_row(struct bytebuf *out, size_t from)
{
    if (out->size == from) bytebuf_add_text(out, "\"\"");
    bytebuf_add_byte(out, '\n');
}
