/* SPDX-License-Identifier: Apache-2.0 */
/*
 * columns.c
 *
 * Idea: a list of names in the order they were met. Values of one kind have their fields in one
 *   order, so
 * the next field is looked for at the next column first: a walk costs one comparison a field.
 * Invariants: I1 names differ; there are at most CSV_COLUMNS_MAX - 1, for the key takes one.
 * Costs: the names, and a span for each.
 * Not here: CSV quoting (csvtext.h).
 */
#include "tools/columns.h"

#include <stdlib.h>
#include <string.h>

#include "tools/csvtext.h"

/* Appends a name. NULL, or what is wrong. */
static const char *add_name(struct columns *columns, const char *text, size_t size)
{
    char **names;
    char *name;

    if (columns->count >= CSV_COLUMNS_MAX - 1)
        return "values have more than 4,095 different fields";
    names = realloc(columns->names, (columns->count + 1) * sizeof *names);
    if (names) columns->names = names;
    name = malloc(size + 1);
    if (!names || !name) {
        free(name);
        return "columns find no memory";
    }
    memcpy(name, text, size);
    name[size] = '\0';
    columns->names[columns->count++] = name;
    return NULL;
}

/* The column that a field's name stands for, first looked for at `hint`; count if there is none. */
static size_t find(const struct columns *columns, struct json_span name, size_t hint)
{
    if (hint < columns->count && json_string_is(name, columns->names[hint])) return hint;
    for (size_t i = 0; i < columns->count; i++)
        if (json_string_is(name, columns->names[i])) return i;
    return columns->count;
}

bool columns_named(struct columns *columns, const char *list)
{
    if (strcmp(list, "all") == 0) {
        columns->all = true;
        return true;
    }
    for (;;) {
        size_t size = strcspn(list, ",");

        for (size_t i = 0; i < columns->count; i++)
            if (strlen(columns->names[i]) == size && memcmp(columns->names[i], list, size) == 0)
                return false;
        if (!size || add_name(columns, list, size)) return false;
        if (!list[size]) return true;
        list += size + 1;
    }
}

const char *columns_learn(struct columns *columns, sdb_slice value)
{
    struct json_walk walk;
    struct json_span name, content;
    struct json_error error;
    const char *wrong = NULL;
    size_t hint = 0;
    int more;

    if (!json_walk_begin(&walk, value.size ? value.data : "", value.size, &error))
        return "value is no JSON object, which --columns wants";
    while (!wrong && (more = json_walk_next(&walk, &name, &content, &error)) > 0) {
        struct bytebuf text = {0};

        hint = find(columns, name, hint) + 1;
        if (hint <= columns->count) continue;
        json_unquote(&text, name);
        if (text.size && memchr(text.data, '\0', text.size))
            wrong = "value has a field whose name holds a NUL";
        else
            wrong = add_name(columns, bytebuf_text(&text), text.size);
        bytebuf_done(&text);
    }
    if (!wrong && more < 0) wrong = "value is no JSON object, which --columns wants";
    return wrong;
}

void columns_add_names(const struct columns *columns, struct bytebuf *out, char separator)
{
    for (size_t i = 0; i < columns->count; i++) {
        bytebuf_add_byte(out, separator);
        csv_add_cell(out, separator, columns->names[i], strlen(columns->names[i]));
    }
}

const char *columns_add_cells(struct columns *columns, struct bytebuf *out, char separator,
                              sdb_slice value)
{
    struct bytebuf text = {0};
    struct json_walk walk;
    struct json_span name, content;
    struct json_error error;
    size_t hint = 0;
    int more;

    if (!columns->found) columns->found = calloc(columns->count + 1, sizeof *columns->found);
    if (!columns->found) return "columns find no memory";
    memset(columns->found, 0, (columns->count + 1) * sizeof *columns->found);
    if (!json_walk_begin(&walk, value.size ? value.data : "", value.size, &error))
        return "value is no JSON object, which --columns wants";
    while ((more = json_walk_next(&walk, &name, &content, &error)) > 0) {
        hint = find(columns, name, hint);
        columns->found[hint] = content;
        hint++;
    }
    if (more < 0) return "value is no JSON object, which --columns wants";
    for (size_t i = 0; i < columns->count; i++) {
        bytebuf_add_byte(out, separator);
        bytebuf_clear(&text);
        if (columns->found[i].data) json_plain_text(&text, columns->found[i]);
        csv_add_cell(out, separator, bytebuf_text(&text), text.size);
    }
    bytebuf_done(&text);
    return NULL;
}

void columns_done(struct columns *columns)
{
    for (size_t i = 0; i < columns->count; i++) free(columns->names[i]);
    free(columns->names);
    free(columns->found);
}
