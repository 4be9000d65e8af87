/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bytebuf.h: a growing run of bytes with a limit, for lines, keys, values and texts of the tools.
 *
 * Failure is sticky: an append that does not fit, or finds no memory, sets `failed` and changes
 * nothing; later appends do nothing. So a text is built without a test at each step and judged
 * once. The bytes are always followed by a NUL that does not count.
 */
#ifndef SDB_TOOLS_BYTEBUF_H
#define SDB_TOOLS_BYTEBUF_H

#include <stdbool.h>
#include <stddef.h>

#define BYTEBUF_LIMIT ((size_t)1 << 30) /* 1 GiB: no line, key or value that is read is longer */

enum bytebuf_failure { BYTEBUF_FINE = 0, BYTEBUF_FULL, BYTEBUF_NOMEM };

/* Zero-initialise, or set `limit` for one other than BYTEBUF_LIMIT. */
struct bytebuf {
    char *data;
    size_t size;
    size_t capacity;
    size_t limit;
    enum bytebuf_failure failed;
};

/* Frees the memory; the buffer is as good as new. */
void bytebuf_done(struct bytebuf *buffer);
/* Empties it and forgets a failure; memory beyond a mebibyte is given back. */
void bytebuf_clear(struct bytebuf *buffer);
/* Room for `extra` more bytes and a NUL. False (and `failed`) if there is none. */
bool bytebuf_reserve(struct bytebuf *buffer, size_t extra);

void bytebuf_add(struct bytebuf *buffer, const void *data, size_t size);
void bytebuf_add_byte(struct bytebuf *buffer, char byte);
void bytebuf_add_text(struct bytebuf *buffer, const char *text);
void bytebuf_add_format(struct bytebuf *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The bytes as a string: "" when there are none. Borrowed until the next change. */
const char *bytebuf_text(const struct bytebuf *buffer);

#endif
