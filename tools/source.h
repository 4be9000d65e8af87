/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.h: the bytes of an import: a file, standard input, or a pipe; by byte, line or block, with
 * line numbers, and again from the start when that was asked for.
 *
 * Failures are kept as a sentence in `problem`.
 */
#ifndef SDB_TOOLS_SOURCE_H
#define SDB_TOOLS_SOURCE_H

#include <stdint.h>

#include "tools/bytebuf.h"

struct source {
    int fd;
    uint8_t *block;
    size_t at, have;   /* unread bytes are block[at…have) */
    uint64_t consumed; /* bytes before block[0] */
    uint64_t size;     /* of the whole source; 0 when not known */
    uint64_t line;     /* newlines read so far, plus 1 */
    bool ended;
    bool failed; /* reading failed: it looks like the end, `problem` says why */
    char problem[256];
};

/*
 * Opens `path` ("-": standard input). With `rewindable`, what is not a regular file is copied to an
 * unnamed temporary file first, in $TMPDIR or /tmp. False with `problem` set. source_close after
 * both.
 */
bool source_open(struct source *source, const char *path, bool rewindable);
void source_close(struct source *source);
/* Back to the first byte; only if it was opened for that. */
bool source_rewind(struct source *source);
/* How many bytes were read by the caller. */
uint64_t source_position(const struct source *source);

/* Reads the next block. False at the end and on failure. */
bool source_fill(struct source *source);

/* The next byte, or -1. */
static inline int source_byte(struct source *source)
{
    if (source->at == source->have && !source_fill(source)) return -1;
    if (source->block[source->at] == '\n') source->line++;
    return source->block[source->at++];
}

/* The byte that source_byte would give, or -1. */
static inline int source_peek(struct source *source)
{
    if (source->at == source->have && !source_fill(source)) return -1;
    return source->block[source->at];
}

/*
 * Reads a line into `line` without its LF or CR LF. False at the end and on failure. A line that
 * does not fit is passed over; line->failed then says so.
 */
bool source_line(struct source *source, struct bytebuf *line);
/* Reads up to and with the next newline and drops it. */
void source_skip_line(struct source *source);
/* Appends the next `size` bytes; how many there were. Stops early when the buffer fails. */
size_t source_read(struct source *source, struct bytebuf *out, size_t size);
/* Passes over a byte order mark, if one is next. */
void source_skip_mark(struct source *source);

#endif
