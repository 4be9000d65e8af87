/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bytebuf.c
 *
 * Idea: capacity doubles, so n appended bytes cost O(n) copies in all.
 * Invariants: I1 size < capacity whenever data is not NULL, and data[size] is NUL. I2 size <=
 *   limit. I3 once `failed` is set, size does not change until it is cleared.
 * Costs: at most twice the bytes that are held.
 * Source: the sticky failure is that of curl's dynamic buffers, turned into a flag.
 * Not here: slices of other memory, and any encoding (encode.h).
 */
#include "tools/bytebuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_BYTES ((size_t)1 << 20)

void bytebuf_done(struct bytebuf *buffer)
{
    free(buffer->data);
    buffer->data = NULL;
    buffer->size = 0;
    buffer->capacity = 0;
    buffer->failed = BYTEBUF_FINE;
}

void bytebuf_clear(struct bytebuf *buffer)
{
    if (buffer->capacity > KEEP_BYTES) bytebuf_done(buffer);
    buffer->size = 0;
    buffer->failed = BYTEBUF_FINE;
    if (buffer->data) buffer->data[0] = '\0';
}

bool bytebuf_reserve(struct bytebuf *buffer, size_t extra)
{
    size_t limit = buffer->limit ? buffer->limit : BYTEBUF_LIMIT;
    size_t capacity = buffer->capacity ? buffer->capacity : 64;
    char *data;

    if (buffer->failed) return false;
    if (extra > limit - buffer->size) {
        buffer->failed = BYTEBUF_FULL;
        return false;
    }
    if (buffer->data && buffer->size + extra < buffer->capacity) return true;
    while (capacity <= buffer->size + extra) capacity *= 2;
    data = realloc(buffer->data, capacity);
    if (!data) {
        buffer->failed = BYTEBUF_NOMEM;
        return false;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    buffer->data[buffer->size] = '\0';
    return true;
}

void bytebuf_add(struct bytebuf *buffer, const void *data, size_t size)
{
    if (!bytebuf_reserve(buffer, size)) return;
    if (size) memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    buffer->data[buffer->size] = '\0';
}

void bytebuf_add_byte(struct bytebuf *buffer, char byte)
{
    if (!bytebuf_reserve(buffer, 1)) return;
    buffer->data[buffer->size++] = byte;
    buffer->data[buffer->size] = '\0';
}

void bytebuf_add_text(struct bytebuf *buffer, const char *text)
{
    bytebuf_add(buffer, text, strlen(text));
}

void bytebuf_add_format(struct bytebuf *buffer, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0 || !bytebuf_reserve(buffer, (size_t)length)) return;
    va_start(arguments, format);
    (void)vsnprintf(buffer->data + buffer->size, (size_t)length + 1, format, arguments);
    va_end(arguments);
    buffer->size += (size_t)length;
}

const char *bytebuf_text(const struct bytebuf *buffer)
{
    return buffer->data ? buffer->data : "";
}
