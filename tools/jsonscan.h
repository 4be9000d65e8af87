/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jsonscan.h: judges JSON texts and walks the members of an object, without building anything.
 *
 * Strict by RFC 8259: UTF-8 only, no lone surrogates, no trailing commas, no comments, no control
 * characters in strings. Nesting up to JSON_DEPTH_MAX. Spans point into the text that was given.
 */
#ifndef SDB_TOOLS_JSONSCAN_H
#define SDB_TOOLS_JSONSCAN_H

#include "tools/bytebuf.h"

#define JSON_DEPTH_MAX 512

struct json_span {
    const char *data;
    size_t size;
};

struct json_error {
    size_t at;        /* offset of the first byte that cannot be */
    const char *what; /* static storage */
};

/* True if the text is one JSON value with nothing but white space around it. */
bool json_check(const char *text, size_t size, struct json_error *out_error);

/* A walk over the members of an object. Keeps pointing into the text. */
struct json_walk {
    const char *begin, *at, *end;
    bool first;
};

/* Begins a walk. False if the text does not begin with an object. */
bool json_walk_begin(struct json_walk *walk, const char *text, size_t size,
                     struct json_error *out_error);
/*
 * The next member: its name as a string with quotes, and its value's text without white space
 * around. 1 when there is one, 0 after the last (and nothing but white space follows), -1 with
 * *out_error.
 */
int json_walk_next(struct json_walk *walk, struct json_span *out_name, struct json_span *out_value,
                   struct json_error *out_error);

/* Appends what a scanned string (with its quotes) stands for. */
void json_unquote(struct bytebuf *out, struct json_span string);
/* Whether a scanned string stands for `name`. */
bool json_string_is(struct json_span string, const char *name);
/* A string's content, decoded; any other value's text as it is. */
void json_plain_text(struct bytebuf *out, struct json_span value);

#endif
