/* SPDX-License-Identifier: Apache-2.0 */
/* edn.c */
#include "tests/histories/edn.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *grab(struct arena *arena, size_t size)
{
    void *memory = sdb__arena_alloc(arena, size ? size : 1);

    if (!memory) {
        (void)fputs("histories: out of memory\n", stderr);
        abort();
    }
    memset(memory, 0, size);
    return memory;
}

void make_room(void *array_pointer, size_t *capacity, size_t need, size_t size)
{
    if (sdb__mem_reserve(&sdb__mem_default, array_pointer, capacity, need, size) == SDB_OK) return;
    (void)fputs("histories: out of memory\n", stderr);
    abort();
}

static enum edn_answer bad(struct edn_reader *r, const char *error)
{
    r->error = error;
    return EDN_BAD;
}

static bool is_blank(const struct edn_reader *r, char c)
{
    return c == ' ' || c == ',' || (c >= '\t' && c <= '\r') || (r->json && c == ':');
}

static bool is_delimiter(const struct edn_reader *r, char c)
{
    return is_blank(r, c) || (c && strchr("()[]{}\";", c));
}

/* Skips blanks and comments. */
static void skip_blanks(struct edn_reader *r)
{
    while (r->at < r->end) {
        if (*r->at == ';') {
            while (r->at < r->end && *r->at != '\n') r->at++;
        } else if (is_blank(r, *r->at)) {
            r->at++;
        } else {
            return;
        }
    }
}

static const char *keep(struct edn_reader *r, const char *text, size_t size)
{
    char *copy = grab(r->arena, size + 1);

    memcpy(copy, text, size);
    return copy;
}

/* ---- strings ------------------------------------------------------------------------------ */

static bool read_hex(const struct edn_reader *r, unsigned *out)
{
    unsigned value = 0;

    if (r->end - r->at < 4) return false;
    for (int i = 0; i < 4; i++) {
        char c = r->at[i];
        const char *digits = "0123456789abcdefABCDEF", *found = c ? strchr(digits, c) : NULL;

        if (!found) return false;
        value = value * 16 + (unsigned)(found - digits < 16 ? found - digits : found - digits - 6);
    }
    *out = value;
    return true;
}

static size_t put_utf8(char *to, unsigned c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    to[0] = (char)(0xe0 | c >> 12);
    to[1] = (char)(0x80 | (c >> 6 & 0x3f));
    to[2] = (char)(0x80 | (c & 0x3f));
    return 3;
}

/* An escape, behind its backslash. Gives the bytes written; 0 if it is none. */
static size_t read_escape(struct edn_reader *r, char *to)
{
    static const char from[] = "nrtbf\"\\/", into[] = "\n\r\t\b\f\"\\/";
    char c = *r->at++;
    const char *found = c ? strchr(from, c) : NULL;
    unsigned code;

    if (found) {
        *to = into[found - from];
        return 1;
    }
    if (c != 'u' || !read_hex(r, &code)) return 0;
    r->at += 4;
    return put_utf8(to, code);
}

/* Behind the opening quote. What is decoded is never longer than what was written. */
static enum edn_answer read_string(struct edn_reader *r, struct edn *out)
{
    const char *close = r->at;
    size_t size = 0;
    char *text;

    while (close < r->end && *close != '"') close += *close == '\\' && close + 1 < r->end ? 2 : 1;
    if (close >= r->end) return bad(r, "a string without its end");
    if (close - r->at > UINT32_MAX) return bad(r, "a string that is too long");
    text = grab(r->arena, (size_t)(close - r->at) + 1);
    while (r->at < close) {
        if (*r->at != '\\') {
            text[size++] = *r->at++;
            continue;
        }
        r->at++;
        size_t n = read_escape(r, text + size);

        if (!n) return bad(r, "an escape that strings do not have");
        size += n;
    }
    r->at = close + 1;
    *out = (struct edn){.kind = EDN_STRING, .count = (uint32_t)size, .text = text};
    return EDN_FORM;
}

/* ---- numbers and names -------------------------------------------------------------------- */

/* The token is a number: [+-]digit… */
static bool is_number(const char *token, size_t size)
{
    if (size && (*token == '-' || *token == '+')) token++, size--;
    return size && *token >= '0' && *token <= '9';
}

static void number_of(struct edn_reader *r, const char *token, size_t size, struct edn *out)
{
    bool negative = *token == '-';
    size_t i = *token == '-' || *token == '+', end = size - (token[size - 1] == 'N');
    uint64_t value = 0, most = (uint64_t)INT64_MAX + negative;

    for (; i < end && token[i] >= '0' && token[i] <= '9'; i++) {
        unsigned digit = (unsigned)(token[i] - '0');

        if (value > (most - digit) / 10) break;
        value = value * 10 + digit;
    }
    if (i == end) {
        *out = (struct edn){.kind = EDN_INTEGER,
                            .integer = (int64_t)(negative ? UINT64_C(0) - value : value)};
        return;
    }
    *out = (struct edn){.kind = EDN_NUMBER, .count = (uint32_t)size, .text = keep(r, token, size)};
}

static bool same(const char *token, size_t size, const char *word)
{
    return strlen(word) == size && memcmp(token, word, size) == 0;
}

static enum edn_answer read_token(struct edn_reader *r, struct edn *out)
{
    const char *token = r->at;
    size_t size;

    if (*r->at == '\\') r->at++; /* a character, which may itself be a delimiter */
    if (r->at < r->end) r->at++;
    while (r->at < r->end && !is_delimiter(r, *r->at)) r->at++;
    size = (size_t)(r->at - token);
    if (size > UINT16_MAX) return bad(r, "a name that is too long");
    if (is_number(token, size)) {
        number_of(r, token, size, out);
    } else if (same(token, size, "nil") || (r->json && same(token, size, "null"))) {
        *out = (struct edn){.kind = EDN_NIL};
    } else if (same(token, size, "true") || same(token, size, "false")) {
        *out = (struct edn){.kind = EDN_BOOL, .integer = size == 4};
    } else {
        bool keyword = *token == ':', character = *token == '\\';

        token += keyword || character;
        size -= keyword || character;
        if (size == 0) return bad(r, "a name without letters");
        *out = (struct edn){.kind = keyword ? EDN_KEYWORD : character ? EDN_STRING : EDN_SYMBOL,
                            .count = (uint32_t)size, .text = keep(r, token, size)};
    }
    return EDN_FORM;
}

/* ---- collections -------------------------------------------------------------------------- */

/* The next form, or (`*skip`) one that was read and thrown away. */
static enum edn_answer read_one(struct edn_reader *r, struct edn *out, bool *skip);

static enum edn_answer read_collection(struct edn_reader *r, char close, struct edn *out)
{
    size_t base = r->stacked, count;
    struct edn *items;

    for (;;) {
        struct edn form;
        enum edn_answer answer;
        bool skip;

        skip_blanks(r);
        if (r->at < r->end && *r->at == close) break;
        answer = read_one(r, &form, &skip);
        if (answer == EDN_END) return bad(r, "a collection without its end");
        if (answer == EDN_BAD) return EDN_BAD;
        if (skip) continue;
        make_room(&r->stack, &r->capacity, r->stacked + 1, sizeof *r->stack);
        r->stack[r->stacked++] = form;
    }
    r->at++;
    count = r->stacked - base;
    if (count > UINT32_MAX) return bad(r, "a collection that is too long");
    if (close == '}' && out->kind == EDN_MAP && count % 2)
        return bad(r, "a map with a key and no value");
    items = grab(r->arena, count * sizeof *items);
    if (count) memcpy(items, r->stack + base, count * sizeof *items);
    r->stacked = base;
    out->count = (uint32_t)count;
    out->items = items;
    return EDN_FORM;
}

/* Behind '#'. A tag says nothing here: what it tags is read. `*skip`: read and thrown away. */
static enum edn_answer read_dispatch(struct edn_reader *r, struct edn *out, bool *skip)
{
    enum edn_answer answer;

    if (r->at < r->end && *r->at == '{') {
        r->at++;
        *out = (struct edn){.kind = EDN_LIST};
        return read_collection(r, '}', out);
    }
    if (r->at < r->end && *r->at == '_') {
        r->at++;
        *skip = true;
    } else if (r->at >= r->end || is_delimiter(r, *r->at)) {
        return bad(r, "'#' before nothing that it goes with");
    } else if (read_token(r, out) == EDN_BAD) {
        return EDN_BAD;
    }
    answer = edn_next(r, out);
    return answer == EDN_END ? bad(r, "a tag before nothing") : answer;
}

static enum edn_answer read_form(struct edn_reader *r, struct edn *out, bool *skip)
{
    switch (*r->at) {
    case '"': r->at++; return read_string(r, out);
    case '(':
    case '[':
        *out = (struct edn){.kind = EDN_LIST};
        return read_collection(r, *r->at++ == '(' ? ')' : ']', out);
    case '{':
        r->at++;
        *out = (struct edn){.kind = EDN_MAP};
        return read_collection(r, '}', out);
    case '#': r->at++; return read_dispatch(r, out, skip);
    case ')':
    case ']':
    case '}': return bad(r, "the end of a collection that is not open");
    default: return read_token(r, out);
    }
}

static enum edn_answer read_one(struct edn_reader *r, struct edn *out, bool *skip)
{
    enum edn_answer answer;

    skip_blanks(r);
    *skip = false;
    if (r->at >= r->end) return EDN_END;
    if (r->depth == EDN_DEPTH_MOST) return bad(r, "forms that nest too deep");
    r->depth++;
    answer = read_form(r, out, skip);
    r->depth--;
    return answer;
}

enum edn_answer edn_next(struct edn_reader *r, struct edn *out_form)
{
    enum edn_answer answer;
    bool skip;

    do {
        answer = read_one(r, out_form, &skip);
    } while (answer == EDN_FORM && skip);
    return answer;
}

void edn_done(struct edn_reader *r)
{
    sdb__mem_free(&sdb__mem_default, r->stack);
    r->stack = NULL;
}

/* ---- looking ------------------------------------------------------------------------------ */

bool edn_is(const struct edn *form, const char *text)
{
    return form && form->kind >= EDN_STRING && form->kind <= EDN_SYMBOL &&
           same(form->text, form->count, text);
}

const struct edn *edn_get(const struct edn *map, const char *name)
{
    if (!map || map->kind != EDN_MAP) return NULL;
    for (uint32_t i = 0; i < map->count; i += 2)
        if (edn_is(&map->items[i], name)) return &map->items[i + 1];
    return NULL;
}

static void put(struct buffer *buffer, const char *text, size_t size)
{
    if (sdb__buffer_append(&sdb__mem_default, buffer, text, size) == SDB_OK) return;
    (void)fputs("histories: out of memory\n", stderr);
    abort();
}

static void print_string(const struct edn *form, struct buffer *buffer)
{
    put(buffer, "\"", 1);
    for (uint32_t i = 0; i < form->count; i++) {
        if (form->text[i] == '"' || form->text[i] == '\\') put(buffer, "\\", 1);
        put(buffer, form->text + i, 1);
    }
    put(buffer, "\"", 1);
}

void edn_print(const struct edn *form, struct buffer *buffer)
{
    char number[24];

    switch (form->kind) {
    case EDN_NIL: put(buffer, "nil", 3); break;
    case EDN_BOOL: put(buffer, form->integer ? "true" : "false", form->integer ? 4 : 5); break;
    case EDN_INTEGER:
        (void)snprintf(number, sizeof number, "%" PRId64, form->integer);
        put(buffer, number, strlen(number));
        break;
    case EDN_STRING: print_string(form, buffer); break;
    case EDN_KEYWORD: put(buffer, ":", 1); put(buffer, form->text, form->count); break;
    case EDN_NUMBER:
    case EDN_SYMBOL: put(buffer, form->text, form->count); break;
    case EDN_LIST:
    case EDN_MAP:
        put(buffer, form->kind == EDN_LIST ? "[" : "{", 1);
        for (uint32_t i = 0; i < form->count; i++) {
            if (i) put(buffer, " ", 1);
            edn_print(&form->items[i], buffer);
        }
        put(buffer, form->kind == EDN_LIST ? "]" : "}", 1);
    }
}
