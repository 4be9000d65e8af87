/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edn.h: reads EDN, the notation that recorded histories come in, and JSON, as a dialect of it.
 *
 * Idea: one recursive descent. JSON is EDN in which ':' and ',' are blanks and null is nil.
 * Invariants: I1 any bytes are judged and answered, in time linear in their number. I2 forms nest
 *   at most EDN_DEPTH_MOST deep; the rest is an error. I3 what edn_print wrote reads again as what
 *   prints the same.
 * Costs: 16 bytes a form, and the text of strings, in the caller's arena.
 * Source: the EDN format description; RFC 8259.
 * Not here: what a tag means (#inst "…" is its string), arithmetic with what is no 64-bit integer,
 *   \u escapes beyond turning them into UTF-8 one at a time.
 */
#ifndef SDB_TESTS_HISTORIES_EDN_H
#define SDB_TESTS_HISTORIES_EDN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/mem.h"

enum { EDN_DEPTH_MOST = 64 };

enum edn_kind {
    EDN_NIL,
    EDN_BOOL,    /* `integer` is 0 or 1 */
    EDN_INTEGER, /* fits `integer` */
    EDN_NUMBER,  /* any other number: its `text` */
    EDN_STRING,
    EDN_KEYWORD, /* `text` is without the colon */
    EDN_SYMBOL,
    EDN_LIST,    /* (…), […] and #{…} */
    EDN_MAP      /* `items` are key, value, key, value, … */
};

/* A form. Borrowed from the arena that it was read into. */
struct edn {
    enum edn_kind kind;
    uint32_t count; /* bytes of the text, or items */
    union {
        int64_t integer;
        const char *text; /* ends with a NUL that `count` does not count */
        const struct edn *items;
    };
};

/* Set arena, at, end and json; the rest zero. Ended by edn_done; the forms stay. */
struct edn_reader {
    struct arena *arena;
    const char *at, *end;
    bool json;
    const char *error; /* what is wrong at `at`, after EDN_BAD */
    struct edn *stack; /* items of the collections that are open */
    size_t stacked, capacity;
    unsigned depth;
};

enum edn_answer { EDN_FORM, EDN_END, EDN_BAD };

/* The next form. */
enum edn_answer edn_next(struct edn_reader *reader, struct edn *out_form);
void edn_done(struct edn_reader *reader);

/* The value under the keyword or string `name` in a map; NULL if there is none, or it is no map. */
const struct edn *edn_get(const struct edn *map, const char *name);
/* The form is a keyword, symbol or string with this text. NULL is not. */
bool edn_is(const struct edn *form, const char *text);
/* Appends the form to the buffer as EDN. The same values give the same bytes. */
void edn_print(const struct edn *form, struct buffer *buffer);

/* Memory for the checkers: `size` bytes of the arena, zeroed. Ends the program without memory. */
void *grab(struct arena *arena, size_t size);
/* Makes room for `need` elements in a growing array; ends the program without memory. */
void make_room(void *array_pointer, size_t *capacity, size_t need, size_t size);

#endif
