/* SPDX-License-Identifier: Apache-2.0 */
/*
 * render.c
 *
 * Idea: every form but the table is written as rows come. A table holds back its first rows to
 *   learn how
 * wide its columns are, then goes on with those widths.
 * Invariants: I1 memory does not grow with the number of rows. I2 json, csv and line lose nothing;
 *   only a table cuts.
 * Costs: HELD_ROWS rows of at most CELL_COLUMNS columns a cell.
 * Not here: encodings (encode.h), CSV quoting (csvtext.h).
 */
#include "tools/render.h"

#include <string.h>
#include <wchar.h>

#include "tools/csvtext.h"
#include "tools/encode.h"
#include "tools/tool.h"

#define HELD_ROWS    100
#define CELL_COLUMNS 100 /* wider cells are cut */

static const char *const mode_names[] = {"table", "line", "json", "csv"};

bool render_mode_named(const char *name, enum render_mode *out_mode)
{
    for (int i = RENDER_TABLE; i <= RENDER_CSV; i++) {
        if (strcmp(mode_names[i], name) != 0) continue;
        *out_mode = (enum render_mode)i;
        return true;
    }
    return false;
}

const char *render_mode_name(enum render_mode mode)
{
    return mode_names[mode];
}

/* ---- tables ------------------------------------------------------------------------------- */

/* Columns of a terminal that one character takes. */
static size_t char_columns(uint32_t code)
{
    int width = wcwidth((wchar_t)code);

    return width < 0 ? 1 : (size_t)width;
}

/* Columns of a terminal that a UTF-8 text takes. */
static size_t text_columns(const char *text)
{
    size_t columns = 0, size = strlen(text);

    for (size_t at = 0; at < size;) {
        uint32_t code = 0;
        size_t length = encode_utf8_length(text + at, size - at, &code);

        columns += char_columns(code);
        at += length ? length : 1;
    }
    return columns;
}

/* Appends a cell's printable text, cut to CELL_COLUMNS, and a NUL. */
static void hold_cell(struct render *render, sdb_slice cell)
{
    size_t from = render->held.size, columns = 0, at;
    size_t look = cell.size < 4 * CELL_COLUMNS ? cell.size : 4 * CELL_COLUMNS;

    encode_shown(&render->held, cell.data, look);
    for (at = from; at < render->held.size && columns <= CELL_COLUMNS;) {
        uint32_t code = 0;
        size_t length = encode_utf8_length(render->held.data + at, render->held.size - at, &code);

        if (columns + char_columns(code) > CELL_COLUMNS) break;
        columns += char_columns(code);
        at += length ? length : 1;
    }
    if (!render->held.failed && (at < render->held.size || look < cell.size)) {
        render->held.size = at;
        bytebuf_add_format(&render->held, "... (%s)", tool_bytes(cell.size));
    }
    bytebuf_add_byte(&render->held, '\0');
}

static void put_padded(struct render *render, size_t column, const char *text)
{
    size_t columns = text_columns(text), width = render->widths[column];
    bool last = column + 1 == render->column_count;
    int pad = width > columns ? (int)(width - columns) : 0;

    if (render->columns[column].number)
        (void)fprintf(render->out, "%*s%s", pad, "", text);
    else
        (void)fprintf(render->out, "%s%*s", text, last ? 0 : pad, "");
    (void)fputs(last ? "\n" : "  ", render->out);
}

/* Learns the widths from what is held, and prints the head. */
static void begin_table(struct render *render)
{
    static const char dashes[] =
        "--------------------------------------------------------------------"
        "--------------------------------------------------------------------";
    const char *text = bytebuf_text(&render->held);

    render->widths_known = true;
    for (size_t i = 0; i < render->column_count; i++)
        render->widths[i] = text_columns(render->columns[i].name);
    for (size_t i = 0; i < render->held_rows * render->column_count; i++) {
        size_t column = i % render->column_count, columns = text_columns(text);

        if (columns > render->widths[column]) render->widths[column] = columns;
        text += strlen(text) + 1;
    }
    for (size_t i = 0; i < render->column_count; i++)
        put_padded(render, i, render->columns[i].name);
    for (size_t i = 0; i < render->column_count; i++)
        (void)fprintf(render->out, "%.*s%s", (int)render->widths[i], dashes,
                      i + 1 == render->column_count ? "\n" : "  ");
}

static void flush_held(struct render *render)
{
    const char *text = bytebuf_text(&render->held);

    if (!render->widths_known) begin_table(render);
    for (size_t i = 0; i < render->held_rows * render->column_count; i++) {
        put_padded(render, i % render->column_count, text);
        text += strlen(text) + 1;
    }
    render->held_rows = 0;
    bytebuf_clear(&render->held);
}

static bool table_row(struct render *render, const sdb_slice *cells)
{
    for (size_t i = 0; i < render->column_count; i++) hold_cell(render, cells[i]);
    if (render->held.failed) return false;
    render->held_rows++;
    if (render->widths_known || render->held_rows == HELD_ROWS) flush_held(render);
    return true;
}

/* ---- the other forms ---------------------------------------------------------------------- */

static void json_row(struct render *render, const sdb_slice *cells)
{
    struct bytebuf *text = &render->text;

    for (size_t i = 0; i < render->column_count; i++) {
        const struct render_column *column = &render->columns[i];

        bytebuf_add_byte(text, i ? ',' : '{');
        if (column->number) {
            bytebuf_add_format(text, "\"%s\":", column->name);
            bytebuf_add(text, cells[i].data, cells[i].size);
        } else {
            encode_json_member(text, column->name, cells[i].data, cells[i].size);
        }
    }
    bytebuf_add_text(text, "}\n");
}

static void csv_row_out(struct render *render, const sdb_slice *cells)
{
    for (size_t i = 0; i < render->column_count; i++) {
        if (i) bytebuf_add_byte(&render->text, ',');
        csv_add_cell(&render->text, ',', cells[i].data, cells[i].size);
    }
    csv_end_row(&render->text, 0);
}

static void line_row(struct render *render, const sdb_slice *cells)
{
    for (size_t i = 0; i < render->column_count; i++) {
        if (i) bytebuf_add_byte(&render->text, '\t');
        if (render->mode == RENDER_RAW)
            bytebuf_add(&render->text, cells[i].data, cells[i].size);
        else
            encode_shown(&render->text, cells[i].data, cells[i].size);
    }
    bytebuf_add_byte(&render->text, '\n');
}

void render_begin(struct render *render, enum render_mode mode, const struct render_column *columns,
                  size_t column_count, const char *noun, FILE *out)
{
    memset(render, 0, sizeof *render);
    render->mode = mode;
    render->columns = columns;
    render->column_count = column_count;
    render->noun = noun;
    render->out = out;
    render->text.limit = (size_t)16 << 30; /* the largest value, each byte escaped */
    if (mode != RENDER_CSV) return;
    for (size_t i = 0; i < column_count; i++)
        (void)fprintf(out, "%s%s", i ? "," : "", columns[i].name);
    (void)fputc('\n', out);
}

bool render_row(struct render *render, const sdb_slice *cells)
{
    render->rows++;
    if (render->mode == RENDER_TABLE) return table_row(render, cells) && !ferror(render->out);
    bytebuf_clear(&render->text);
    if (render->mode == RENDER_JSON)
        json_row(render, cells);
    else if (render->mode == RENDER_CSV)
        csv_row_out(render, cells);
    else
        line_row(render, cells);
    if (render->text.failed) return false;
    if (fwrite(render->text.data, 1, render->text.size, render->out) == render->text.size)
        return true;
    tool_output_failed();
    return false;
}

/* The noun is "entry/entries": the word for one, and for any other number. */
static void say_count(struct render *render, bool interrupted)
{
    const char *slash = strchr(render->noun, '/');
    const char *noun = render->rows == 1 ? render->noun : slash + 1;

    (void)fprintf(render->out, "(%s %.*s%s)\n", tool_number(render->rows),
                  render->rows == 1 ? (int)(slash - render->noun) : (int)strlen(noun), noun,
                  interrupted ? ", interrupted" : "");
}

bool render_end(struct render *render, bool interrupted)
{
    if (render->mode == RENDER_TABLE) {
        if (render->rows) flush_held(render);
        if (render->noun) say_count(render, interrupted);
    }
    bytebuf_done(&render->text);
    bytebuf_done(&render->held);
    return !ferror(render->out);
}
