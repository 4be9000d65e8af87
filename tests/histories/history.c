/* SPDX-License-Identifier: Apache-2.0 */
/* history.c */
#include "tests/histories/history.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/histories/intern.h"

#define FILE_MOST ((long)256 << 20)

/* What is read so far: which operation each process has open. */
struct reading {
    struct history *history;
    struct intern processes;
    size_t *open; /* by number of the process: operation + 1, or 0 */
    size_t capacity;
    uint64_t place;
};

__attribute__((format(printf, 2, 3))) static bool fail(struct history *history,
                                                       const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(history->error, sizeof history->error, format, args);
    va_end(args);
    return false;
}

static bool invoke(struct reading *reading, size_t *open, const struct edn *event, int64_t process)
{
    struct history *h = reading->history;

    if (*open)
        return fail(h, "event %" PRIu64 ": process %" PRId64 " has not ended what it does",
                    reading->place, process);
    make_room(&h->operations, &h->capacity, h->count + 1, sizeof *h->operations);
    h->operations[h->count++] = (struct operation){
        .process = process, .outcome = OUTCOME_INFO, .call = reading->place, .ret = PLACE_NEVER,
        .in = event};
    *open = h->count;
    return true;
}

/* Takes the next map of the record. */
static bool take(struct reading *reading, const struct edn *event)
{
    const struct edn *process = edn_get(event, "process"), *type = edn_get(event, "type");
    struct operation *operation;
    size_t *open;
    uint32_t number;

    reading->place++;
    if (!process || !type)
        return fail(reading->history, "event %" PRIu64 " is no map with :process and :type",
                    reading->place);
    if (process->kind != EDN_INTEGER) return true;
    number = intern_bytes(&reading->processes, &process->integer, sizeof process->integer);
    if (number >= reading->capacity) {
        size_t before = reading->capacity;

        make_room(&reading->open, &reading->capacity, number + 1u, sizeof *reading->open);
        memset(reading->open + before, 0, (reading->capacity - before) * sizeof *reading->open);
    }
    open = &reading->open[number];
    if (edn_is(type, "invoke")) return invoke(reading, open, event, process->integer);
    if (!*open)
        return fail(reading->history, "event %" PRIu64 ": process %" PRId64 " ends what it has "
                    "not begun", reading->place, process->integer);
    operation = &reading->history->operations[*open - 1];
    *open = 0;
    operation->out = event;
    if (edn_is(type, "info")) return true;
    if (!edn_is(type, "ok") && !edn_is(type, "fail"))
        return fail(reading->history, "event %" PRIu64 ": :type is none of invoke, ok, fail, info",
                    reading->place);
    operation->outcome = edn_is(type, "ok") ? OUTCOME_OK : OUTCOME_FAIL;
    operation->ret = reading->place;
    return true;
}

static bool read_forms(struct reading *reading, struct edn_reader *reader)
{
    const char *start = reader->at;
    enum edn_answer answer;
    struct edn form;

    while ((answer = edn_next(reader, &form)) == EDN_FORM) {
        if (form.kind == EDN_LIST) {
            for (uint32_t i = 0; i < form.count; i++)
                if (!take(reading, &form.items[i])) return false;
        } else {
            struct edn *kept = grab(reader->arena, sizeof *kept);

            *kept = form;
            if (!take(reading, kept)) return false;
        }
    }
    if (answer == EDN_BAD)
        return fail(reading->history, "byte %zu: %s", (size_t)(reader->at - start), reader->error);
    return true;
}

/* A line of a log as a map, or NULL if it is of something else. */
static const struct edn *map_of_line(struct edn_reader *reader, const char *line, const char *end)
{
    static const char *const names[] = {"process", "type", "f", "value"};
    struct edn *map, *items, form;

    for (reader->at = line; reader->at + 2 < end && memcmp(reader->at, " - ", 3) != 0;)
        reader->at++;
    if (reader->at + 2 >= end) return NULL;
    reader->at += 3;
    reader->end = end;
    reader->stacked = 0; /* what a line before left half read */
    items = grab(reader->arena, 8 * sizeof *items);
    for (uint32_t i = 0; i < 4; i++) {
        items[2 * i] = (struct edn){.kind = EDN_KEYWORD, .count = (uint32_t)strlen(names[i]),
                                    .text = names[i]};
        if (edn_next(reader, &items[2 * i + 1]) != EDN_FORM) return NULL;
    }
    if (edn_next(reader, &form) != EDN_END) return NULL;
    map = grab(reader->arena, sizeof *map);
    *map = (struct edn){.kind = EDN_MAP, .count = 8, .items = items};
    return map;
}

static bool read_log(struct reading *reading, struct edn_reader *reader)
{
    const char *line = reader->at, *end = reader->end;

    while (line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const struct edn *map = map_of_line(reader, line, newline ? newline : end);

        if (map && !take(reading, map)) return false;
        line = newline ? newline + 1 : end;
    }
    return true;
}

bool history_read(struct history *history, enum history_notation notation, const char *text,
                  size_t size)
{
    struct reading reading = {.history = history,
                              .processes.arena.allocator = &sdb__mem_default};
    struct edn_reader reader = {.arena = &history->arena, .at = text, .end = text + size,
                                .json = notation == HISTORY_JSON};
    bool whole;

    *history = (struct history){.arena.allocator = &sdb__mem_default};
    whole = notation == HISTORY_LOG ? read_log(&reading, &reader) : read_forms(&reading, &reader);
    edn_done(&reader);
    intern_done(&reading.processes);
    sdb__mem_free(&sdb__mem_default, reading.open);
    return whole;
}

static bool ends_with(const char *path, const char *end)
{
    size_t size = strlen(path), tail = strlen(end);

    return size >= tail && strcmp(path + size - tail, end) == 0;
}

bool history_load(struct history *history, const char *path)
{
    enum history_notation notation = ends_with(path, ".json") ? HISTORY_JSON
                                     : ends_with(path, ".log") ? HISTORY_LOG : HISTORY_EDN;
    FILE *file = fopen(path, "rb");
    long size = -1;
    char *text = NULL;
    bool whole = false;

    *history = (struct history){.arena.allocator = &sdb__mem_default};
    if (!file) return fail(history, "cannot be opened");
    if (fseek(file, 0, SEEK_END) == 0) size = ftell(file);
    if (size < 0 || size > FILE_MOST) {
        (void)fail(history, "is no file of at most %ld bytes", FILE_MOST);
        goto out;
    }
    rewind(file);
    text = malloc((size_t)size + 1);
    if (!text || fread(text, 1, (size_t)size, file) != (size_t)size) {
        (void)fail(history, "cannot be read");
        goto out;
    }
    whole = history_read(history, notation, text, (size_t)size);
out:
    free(text);
    (void)fclose(file);
    return whole;
}

void history_done(struct history *history)
{
    sdb__arena_done(&history->arena);
    sdb__mem_free(&sdb__mem_default, history->operations);
    history->operations = NULL;
    history->count = history->capacity = 0;
}

const struct edn *operation_f(const struct operation *operation)
{
    return edn_get(operation->in, "f");
}

const struct edn *operation_in(const struct operation *operation)
{
    return edn_get(operation->in, "value");
}

const struct edn *operation_out(const struct operation *operation)
{
    return edn_get(operation->out, "value");
}
