/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jsonscan.c
 *
 * Idea: a scanner that skips one value at a time. Nesting is a stack of one byte a level, so depth
 *   costs
 * no recursion and has a limit; strings are judged where they stand and decoded only when asked
 * for.
 * Invariants: I1 nothing outside begin…end is read. I2 a text accepted here is JSON by RFC 8259,
 *   and a string accepted here decodes to UTF-8. I3 `at` of an error lies within the text or at its
 *   end.
 * Costs: one pass; 512 bytes of stack.
 * Source: RFC 8259.
 * Not here: numbers as numbers, and a tree of values.
 */
#include "tools/jsonscan.h"

#include <string.h>

#include "tools/encode.h"

struct scan {
    const char *begin, *end;
    struct json_error *error;
};

/* Records an error at p. Always NULL, so that a scanner can return it. */
static const char *wrong(const struct scan *scan, const char *p, const char *what)
{
    scan->error->at = (size_t)(p - scan->begin);
    scan->error->what = what;
    return NULL;
}

static const char *skip_space(const struct scan *scan, const char *p)
{
    while (p < scan->end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) p++;
    return p;
}

/* Four hex digits at p, or -1. */
static int hex_four(const struct scan *scan, const char *p)
{
    int code = 0;

    if (scan->end - p < 4) return -1;
    for (int i = 0; i < 4; i++) {
        int digit = encode_hex_digit(p[i]);

        if (digit < 0) return -1;
        code = code << 4 | digit;
    }
    return code;
}

/* Past the escape whose backslash is at p. */
static const char *skip_escape(const struct scan *scan, const char *p)
{
    int code;

    if (scan->end - p < 2) return wrong(scan, p, "the string does not end");
    if (p[1] != 'u') {
        if (!p[1] || !strchr("\"\\/bfnrt", p[1])) return wrong(scan, p, "there is no such escape");
        return p + 2;
    }
    code = hex_four(scan, p + 2);
    if (code < 0) return wrong(scan, p, "\\u wants four hex digits");
    if (code >= 0xdc00 && code <= 0xdfff) return wrong(scan, p, "a lone surrogate");
    if (code >= 0xd800 && code <= 0xdbff) {
        int low = scan->end - p >= 8 && p[6] == '\\' && p[7] == 'u' ? hex_four(scan, p + 8) : -1;

        if (low < 0xdc00 || low > 0xdfff) return wrong(scan, p, "a lone surrogate");
        return p + 12;
    }
    return p + 6;
}

/* Past the string that begins at p. */
static const char *skip_string(const struct scan *scan, const char *p)
{
    p++;
    while (p < scan->end) {
        unsigned char c = (unsigned char)*p;

        if (c == '"') return p + 1;
        if (c < 0x20) return wrong(scan, p, "a control character in a string");
        if (c == '\\') {
            p = skip_escape(scan, p);
            if (!p) return NULL;
        } else if (c < 0x80) {
            p++;
        } else {
            size_t length = encode_utf8_length(p, (size_t)(scan->end - p), NULL);

            if (!length) return wrong(scan, p, "bytes that are not UTF-8");
            p += length;
        }
    }
    return wrong(scan, p, "the string does not end");
}

static const char *skip_digits(const struct scan *scan, const char *p)
{
    const char *from = p;

    while (p < scan->end && *p >= '0' && *p <= '9') p++;
    return p > from ? p : wrong(scan, p, "a digit is missing");
}

static const char *skip_number(const struct scan *scan, const char *p)
{
    if (*p == '-') p++;
    if (p < scan->end && *p == '0')
        p++;
    else
        p = skip_digits(scan, p);
    if (p && p < scan->end && *p == '.') p = skip_digits(scan, p + 1);
    if (p && p < scan->end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < scan->end && (*p == '+' || *p == '-')) p++;
        p = skip_digits(scan, p);
    }
    return p;
}

static const char *skip_word(const struct scan *scan, const char *p, const char *word)
{
    size_t size = strlen(word);

    if ((size_t)(scan->end - p) < size || memcmp(p, word, size) != 0)
        return wrong(scan, p, "a value is expected here");
    return p + size;
}

/* Past the value without inner values that begins at p. */
static const char *skip_scalar(const struct scan *scan, const char *p)
{
    switch (*p) {
    case '"': return skip_string(scan, p);
    case 't': return skip_word(scan, p, "true");
    case 'f': return skip_word(scan, p, "false");
    case 'n': return skip_word(scan, p, "null");
    default: break;
    }
    if (*p == '-' || (*p >= '0' && *p <= '9')) return skip_number(scan, p);
    return wrong(scan, p, "a value is expected here");
}

/* Past a member's name and colon, to its value. */
static const char *skip_name(const struct scan *scan, const char *p)
{
    if (p >= scan->end || *p != '"') return wrong(scan, p, "a member's name is expected here");
    p = skip_string(scan, p);
    if (!p) return NULL;
    p = skip_space(scan, p);
    if (p >= scan->end || *p != ':') return wrong(scan, p, "a colon is expected here");
    return skip_space(scan, p + 1);
}

/*
 * Past the value that begins at p, whatever it holds. `stack` has the closing bracket of each open
 * level. The loop has two states: at a value, or after one.
 */
static const char *skip_value(const struct scan *scan, const char *p)
{
    char stack[JSON_DEPTH_MAX];
    size_t depth = 0;

    for (;;) {
        if (p >= scan->end) return wrong(scan, p, "a value is expected here");
        if (*p == '{' || *p == '[') {
            char close = *p == '{' ? '}' : ']';

            if (depth == JSON_DEPTH_MAX) return wrong(scan, p, "nested deeper than 512 levels");
            p = skip_space(scan, p + 1);
            if (p < scan->end && *p == close) {
                p++;
            } else {
                stack[depth++] = close;
                if (close == '}') p = skip_name(scan, p);
                if (!p) return NULL;
                continue;
            }
        } else {
            p = skip_scalar(scan, p);
            if (!p) return NULL;
        }
        for (;;) {
            if (!depth) return p;
            p = skip_space(scan, p);
            if (p >= scan->end) return wrong(scan, p, "a closing bracket is missing");
            if (*p == ',') break;
            if (*p != stack[depth - 1]) return wrong(scan, p, "a comma is expected here");
            depth--;
            p++;
        }
        p = skip_space(scan, p + 1);
        if (stack[depth - 1] == '}') p = skip_name(scan, p);
        if (!p) return NULL;
    }
}

bool json_check(const char *text, size_t size, struct json_error *out_error)
{
    struct scan scan = {text, text + size, out_error};
    const char *p = skip_value(&scan, skip_space(&scan, text));

    if (!p) return false;
    p = skip_space(&scan, p);
    if (p < scan.end) return wrong(&scan, p, "text after the value") != NULL;
    return true;
}

bool json_walk_begin(struct json_walk *walk, const char *text, size_t size,
                     struct json_error *out_error)
{
    struct scan scan = {text, text + size, out_error};
    const char *p = skip_space(&scan, text);

    if (p >= scan.end || *p != '{') return wrong(&scan, p, "an object is expected here") != NULL;
    walk->begin = text;
    walk->at = p + 1;
    walk->end = scan.end;
    walk->first = true;
    return true;
}

int json_walk_next(struct json_walk *walk, struct json_span *out_name, struct json_span *out_value,
                   struct json_error *out_error)
{
    struct scan scan = {walk->begin, walk->end, out_error};
    const char *p = skip_space(&scan, walk->at);
    const char *value, *after;

    if (p < scan.end && *p == '}') {
        p = skip_space(&scan, p + 1);
        if (p == scan.end) return 0;
        (void)wrong(&scan, p, "text after the object");
        return -1;
    }
    if (!walk->first) {
        if (p >= scan.end || *p != ',') {
            (void)wrong(&scan, p, "a comma or a closing bracket is expected here");
            return -1;
        }
        p = skip_space(&scan, p + 1);
    }
    value = skip_name(&scan, p);
    if (!value) return -1;
    after = skip_value(&scan, value);
    if (!after) return -1;
    out_name->data = p;
    out_name->size = (size_t)(skip_string(&scan, p) - p);
    out_value->data = value;
    out_value->size = (size_t)(after - value);
    walk->at = after;
    walk->first = false;
    return 1;
}

/* Appends what the escape at p stands for; its length. The string was scanned before. */
static size_t unescape(struct bytebuf *out, const char *p)
{
    static const char names[] = "bfnrt", bytes[] = "\b\f\n\r\t";
    struct scan scan = {p, p + 12, NULL};
    const char *found = strchr(names, p[1]);
    uint32_t code;

    if (p[1] != 'u') {
        bytebuf_add_byte(out, found ? bytes[found - names] : p[1]);
        return 2;
    }
    code = (uint32_t)hex_four(&scan, p + 2);
    if (code < 0xd800 || code > 0xdfff) {
        encode_utf8(out, code);
        return 6;
    }
    encode_utf8(out,
                0x10000 + ((code - 0xd800) << 10) + ((uint32_t)hex_four(&scan, p + 8) - 0xdc00));
    return 12;
}

void json_unquote(struct bytebuf *out, struct json_span string)
{
    const char *p = string.data + 1, *end = string.data + string.size - 1;

    while (p < end && !out->failed) {
        const char *slash = memchr(p, '\\', (size_t)(end - p));

        if (!slash) slash = end;
        bytebuf_add(out, p, (size_t)(slash - p));
        p = slash;
        if (p < end) p += unescape(out, p);
    }
}

bool json_string_is(struct json_span string, const char *name)
{
    size_t size = strlen(name);
    struct bytebuf text = {0};
    bool same;

    if (!memchr(string.data, '\\', string.size))
        return string.size == size + 2 && memcmp(string.data + 1, name, size) == 0;
    json_unquote(&text, string);
    same = !text.failed && text.size == size && memcmp(bytebuf_text(&text), name, size) == 0;
    bytebuf_done(&text);
    return same;
}

void json_plain_text(struct bytebuf *out, struct json_span value)
{
    if (value.size && value.data[0] == '"')
        json_unquote(out, value);
    else
        bytebuf_add(out, value.data, value.size);
}
