/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows.c
 *
 * Idea: one call gives the next row; what is wrong with a row is said with its place, and the next
 *   call
 * goes on after it, so that the caller alone decides whether one bad row spoils an import.
 * Invariants: I1 a row that is given has a key and a value within the limits of the library. I2
 *   `where` is set before any answer but ROWS_END.
 * Costs: memory for one row.
 * Not here: the columns of csv (rows_csv.c), and transactions (import.c).
 */
#include "tools/rows.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "tools/encode.h"
#include "tools/tool.h"

static const struct {
    const char *name;
    enum rows_format format;
} names[] = {
    {"csv", FORMAT_CSV},      {"tsv", FORMAT_TSV},     {"jsonl", FORMAT_JSONL},
    {"ndjson", FORMAT_JSONL}, {"lines", FORMAT_LINES}, {"txt", FORMAT_LINES},
    {"dump", FORMAT_DUMP},
};

enum rows_format rows_format_named(const char *name)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(name, names[i].name) == 0) return names[i].format;
    return FORMAT_NONE;
}

enum rows_format rows_format_guess(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(slash ? slash : path, '.');

    return dot ? rows_format_named(dot + 1) : FORMAT_NONE;
}

enum rows_answer rows__bad(struct rows *rows, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(rows->reason, sizeof rows->reason, format, arguments);
    va_end(arguments);
    return ROWS_BAD;
}

enum rows_answer rows__fatal(struct rows *rows, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(rows->reason, sizeof rows->reason, format, arguments);
    va_end(arguments);
    return ROWS_FATAL;
}

static void set_where(struct rows *rows, uint64_t line)
{
    (void)snprintf(rows->where, sizeof rows->where, "line %llu", (unsigned long long)line);
}

/* The next line into rows->line. ROWS_ROW when there is one. */
static enum rows_answer next_line(struct rows *rows)
{
    set_where(rows, rows->source.line);
    if (!source_line(&rows->source, &rows->line)) {
        if (rows->source.failed) return rows__fatal(rows, "%s", rows->source.problem);
        return ROWS_END;
    }
    if (rows->line.failed == BYTEBUF_FULL) return rows__bad(rows, "the line is longer than 1 GiB");
    if (rows->line.failed) return rows__fatal(rows, "there is no memory for the line");
    return ROWS_ROW;
}

static enum rows_answer lines_next(struct rows *rows, struct row *out_row)
{
    uint64_t number = rows->source.line;
    enum rows_answer answer = next_line(rows);

    if (answer != ROWS_ROW) return answer;
    bytebuf_clear(&rows->value);
    bytebuf_add_format(&rows->value, "%llu", (unsigned long long)number);
    if (rows->value.failed) return rows__fatal(rows, "there is no memory for the line");
    out_row->key = (sdb_slice){bytebuf_text(&rows->line), rows->line.size};
    out_row->value = (sdb_slice){bytebuf_text(&rows->value), rows->value.size};
    return ROWS_ROW;
}

/* ---- JSON lines --------------------------------------------------------------------------- */

/* What a line's members tell. Spans are empty until they are met. */
struct json_row {
    struct json_span key, key_base64, value, value_base64, other;
};

static enum rows_answer json_wrong(struct rows *rows, const struct json_error *error)
{
    return rows__bad(rows, "column %zu: %s", error->at + 1, error->what);
}

/* Takes a member into the span it belongs to. */
static enum rows_answer take_member(struct rows *rows, struct json_row *found,
                                    struct json_span name, struct json_span value)
{
    const struct rows_config *config = &rows->config;
    struct json_span *to = &found->other;

    if (config->key) {
        if (config->value && json_string_is(name, config->value)) to = &found->value;
        if (json_string_is(name, config->key)) to = &found->key;
    } else if (json_string_is(name, "key")) {
        to = &found->key;
    } else if (json_string_is(name, "key_base64")) {
        to = &found->key_base64;
    } else if (json_string_is(name, "value")) {
        to = &found->value;
    } else if (json_string_is(name, "value_base64")) {
        to = &found->value_base64;
    }
    if (to != &found->other && to->data)
        return rows__bad(rows, "the field %.*s is there twice",
                         (int)(name.size < 64 ? name.size : 64), name.data);
    *to = value;
    return ROWS_ROW;
}

static enum rows_answer scan_members(struct rows *rows, struct json_row *found)
{
    struct json_walk walk;
    struct json_span name, value;
    struct json_error error;
    int more;

    if (!json_walk_begin(&walk, bytebuf_text(&rows->line), rows->line.size, &error))
        return json_wrong(rows, &error);
    while ((more = json_walk_next(&walk, &name, &value, &error)) > 0) {
        enum rows_answer answer = take_member(rows, found, name, value);

        if (answer != ROWS_ROW) return answer;
    }
    return more < 0 ? json_wrong(rows, &error) : ROWS_ROW;
}

/* One half of the export's form: plain text, or base64. */
static enum rows_answer take_half(struct rows *rows, struct bytebuf *out, const char *name,
                                  struct json_span text, struct json_span base64)
{
    bytebuf_clear(out);
    if (!text.data == !base64.data)
        return rows__bad(rows, "it wants one of \"%s\" and \"%s_base64\"%s", name, name,
                         text.data ? "" : "; --key FIELD takes another field as the key");
    if (text.data) {
        json_plain_text(out, text);
    } else if (base64.data[0] != '"' || memchr(base64.data, '\\', base64.size) ||
               !encode_from_base64(out, base64.data + 1, base64.size - 2)) {
        return rows__bad(rows, "\"%s_base64\" is not base64", name);
    }
    if (out->failed) return rows__fatal(rows, "there is no memory for the line");
    return ROWS_ROW;
}

/* Key and value where --key named a field. */
static enum rows_answer take_fields(struct rows *rows, const struct json_row *found,
                                    struct row *out_row)
{
    const struct rows_config *config = &rows->config;
    char first;

    if (!found->key.data) return rows__bad(rows, "there is no field \"%s\"", config->key);
    first = found->key.data[0];
    if (first == '{' || first == '[' || first == 'n')
        return rows__bad(rows, "the field \"%s\" is no text, number or truth value", config->key);
    bytebuf_clear(&rows->key);
    json_plain_text(&rows->key, found->key);
    out_row->value = (sdb_slice){bytebuf_text(&rows->line), rows->line.size};
    if (config->value) {
        if (!found->value.data) return rows__bad(rows, "there is no field \"%s\"", config->value);
        bytebuf_clear(&rows->value);
        json_plain_text(&rows->value, found->value);
        out_row->value = (sdb_slice){bytebuf_text(&rows->value), rows->value.size};
    }
    if (rows->key.failed || rows->value.failed)
        return rows__fatal(rows, "there is no memory for the line");
    out_row->key = (sdb_slice){bytebuf_text(&rows->key), rows->key.size};
    return ROWS_ROW;
}

static bool is_blank(const struct bytebuf *line)
{
    return strspn(bytebuf_text(line), " \t\r") == line->size;
}

static enum rows_answer jsonl_next(struct rows *rows, struct row *out_row)
{
    struct json_row found = {0};
    enum rows_answer answer;

    do {
        answer = next_line(rows);
        if (answer != ROWS_ROW) return answer;
    } while (is_blank(&rows->line));
    answer = scan_members(rows, &found);
    if (answer != ROWS_ROW) return answer;
    if (rows->config.key) return take_fields(rows, &found, out_row);
    answer = take_half(rows, &rows->key, "key", found.key, found.key_base64);
    if (answer == ROWS_ROW)
        answer = take_half(rows, &rows->value, "value", found.value, found.value_base64);
    if (answer == ROWS_ROW && found.other.data)
        answer = rows__bad(rows, "it has other fields than key and value; "
                                 "--key FIELD takes the whole line as the value");
    out_row->key = (sdb_slice){bytebuf_text(&rows->key), rows->key.size};
    out_row->value = (sdb_slice){bytebuf_text(&rows->value), rows->value.size};
    return answer;
}

/* ---- dumps -------------------------------------------------------------------------------- */

static enum rows_answer dump_next(struct rows *rows, struct row *out_row)
{
    struct dump_reader *dump = &rows->dump;
    enum dump_answer answer = dump_read(dump, &rows->source);

    (void)snprintf(rows->where, sizeof rows->where, "record %llu at byte %llu",
                   (unsigned long long)dump->record, (unsigned long long)dump->offset);
    if (rows->source.failed) return rows__fatal(rows, "%s", rows->source.problem);
    out_row->keyspace = dump->name;
    out_row->key = dump->key;
    out_row->value = dump->value;
    out_row->has_expiry = dump->expiries;
    out_row->expiry_ms = dump->expiry_ms;
    out_row->ttl_ms = dump->ttl_ms;
    switch (answer) {
    case DUMP_KEYSPACE: return ROWS_KEYSPACE;
    case DUMP_ENTRY: return ROWS_ROW;
    case DUMP_END: return ROWS_END;
    case DUMP_BAD: return rows__bad(rows, "%s", dump->reason);
    case DUMP_FATAL: break;
    }
    return rows__fatal(rows, "%s", dump->reason);
}

/* ---- all formats -------------------------------------------------------------------------- */

bool rows_open(struct rows *rows, const char *path, const struct rows_config *config,
               bool rewindable)
{
    memset(rows, 0, sizeof *rows);
    rows->config = *config;
    if (source_open(&rows->source, path, rewindable)) return true;
    (void)rows__fatal(rows, "%s", rows->source.problem);
    return false;
}

void rows_close(struct rows *rows)
{
    rows__csv_forget(rows);
    csv_done(&rows->cells);
    dump_reader_done(&rows->dump);
    bytebuf_done(&rows->line);
    bytebuf_done(&rows->key);
    bytebuf_done(&rows->value);
    source_close(&rows->source);
}

bool rows_rewind(struct rows *rows)
{
    rows__csv_forget(rows);
    dump_reader_done(&rows->dump);
    memset(&rows->dump, 0, sizeof rows->dump);
    rows->begun = false;
    if (source_rewind(&rows->source)) return true;
    (void)rows__fatal(rows, "%s", rows->source.problem);
    return false;
}

enum rows_answer rows_next(struct rows *rows, struct row *out_row)
{
    enum rows_answer answer;

    *out_row = (struct row){.keyspace = NULL};
    if (!rows->begun && rows->config.format != FORMAT_DUMP) source_skip_mark(&rows->source);
    switch (rows->config.format) {
    case FORMAT_CSV:
    case FORMAT_TSV: answer = rows__csv_next(rows, out_row); break;
    case FORMAT_JSONL: answer = jsonl_next(rows, out_row); break;
    case FORMAT_LINES: answer = lines_next(rows, out_row); break;
    case FORMAT_DUMP: answer = dump_next(rows, out_row); break;
    default: return rows__fatal(rows, "the format is not known");
    }
    rows->begun = true;
    if (answer != ROWS_ROW) return answer;
    if (out_row->key.size > SDB_KEY_MAX)
        return rows__bad(rows, "the key has %s bytes; at most %s are allowed",
                         tool_number(out_row->key.size), tool_number(SDB_KEY_MAX));
    if (out_row->value.size > SDB_VALUE_MAX)
        return rows__bad(rows, "the value has %s bytes; at most %s are allowed",
                         tool_number(out_row->value.size), tool_number(SDB_VALUE_MAX));
    return ROWS_ROW;
}
