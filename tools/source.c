/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.c
 *
 * Idea: one block of 256 KiB and two offsets. Lines are cut with memchr; a pipe becomes a file when
 *   the
 * import needs to read it twice.
 * Invariants: I1 at <= have <= the block's size. I2 consumed + at is the caller's position. I3
 *   after a failure no more bytes come, and `problem` is set.
 * Costs: 256 KiB, and for a line its own length (at most BYTEBUF_LIMIT).
 * Not here: what the bytes mean (rows.h).
 */
#include "tools/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/tool.h"

#define BLOCK_BYTES ((size_t)256 << 10)

static bool fail(struct source *source, const char *what)
{
    (void)snprintf(source->problem, sizeof source->problem, "%s: %s", what, strerror(errno));
    source->failed = true;
    source->ended = true;
    return false;
}

bool source_fill(struct source *source)
{
    ssize_t got;

    if (source->ended) return false;
    source->consumed += source->have;
    source->at = 0;
    source->have = 0;
    do {
        got = read(source->fd, source->block, BLOCK_BYTES);
    } while (got < 0 && errno == EINTR && !tool_interrupted());
    if (got < 0) return fail(source, "cannot be read");
    if (got == 0) source->ended = true;
    source->have = (size_t)got;
    return got > 0;
}

/* A file without a name, open for reading and writing; -1 on failure. */
static int open_unnamed(void)
{
    const char *folder = getenv("TMPDIR");
    char name[4096];
    int fd;

    if (!folder || !*folder) folder = "/tmp";
    if (snprintf(name, sizeof name, "%s/sdb-XXXXXX", folder) >= (int)sizeof name) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkstemp(name);
    if (fd >= 0) (void)unlink(name);
    return fd;
}

static bool write_all(int fd, const uint8_t *data, size_t size)
{
    while (size) {
        ssize_t put = write(fd, data, size);

        if (put < 0 && errno == EINTR && !tool_interrupted()) continue;
        if (put < 0) return false;
        data += put;
        size -= (size_t)put;
    }
    return true;
}

/* Copies the whole source into an unnamed file and goes on from there. */
static bool spool(struct source *source)
{
    int fd = open_unnamed();

    if (fd < 0) return fail(source, "a temporary file cannot be made");
    while (source_fill(source)) {
        if (!write_all(fd, source->block, source->have)) {
            (void)fail(source, "a temporary file cannot be written");
            (void)close(fd);
            return false;
        }
    }
    if (source->fd != STDIN_FILENO) (void)close(source->fd);
    source->fd = fd;
    if (source->failed) return false;
    source->size = source->consumed + source->have;
    return source_rewind(source);
}

bool source_open(struct source *source, const char *path, bool rewindable)
{
    struct stat facts;

    memset(source, 0, sizeof *source);
    source->line = 1;
    source->fd = -1;
    source->block = malloc(BLOCK_BYTES);
    if (!source->block) return fail(source, "cannot be read");
    source->fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (source->fd < 0 || fstat(source->fd, &facts) != 0) return fail(source, "cannot be opened");
    if (S_ISDIR(facts.st_mode)) {
        errno = EISDIR;
        return fail(source, "cannot be read");
    }
    if (S_ISREG(facts.st_mode) && lseek(source->fd, 0, SEEK_CUR) == 0)
        source->size = (uint64_t)facts.st_size;
    else if (rewindable)
        return spool(source);
    return true;
}

void source_close(struct source *source)
{
    free(source->block);
    source->block = NULL;
    if (source->fd > STDIN_FILENO) (void)close(source->fd);
    source->fd = -1;
}

bool source_rewind(struct source *source)
{
    if (lseek(source->fd, 0, SEEK_SET) != 0) return fail(source, "cannot be read again");
    source->at = 0;
    source->have = 0;
    source->consumed = 0;
    source->line = 1;
    source->ended = false;
    return true;
}

uint64_t source_position(const struct source *source)
{
    return source->consumed + source->at;
}

bool source_line(struct source *source, struct bytebuf *line)
{
    bool any = false;

    bytebuf_clear(line);
    while (source->at < source->have || source_fill(source)) {
        const uint8_t *from = source->block + source->at;
        size_t left = source->have - source->at;
        const uint8_t *newline = memchr(from, '\n', left);
        size_t size = newline ? (size_t)(newline - from) : left;

        any = true;
        bytebuf_add(line, from, size);
        source->at += size + (newline != NULL);
        if (newline) {
            source->line++;
            break;
        }
    }
    if (source->failed) return false;
    if (line->size && line->data[line->size - 1] == '\r') line->data[--line->size] = '\0';
    return any;
}

void source_skip_line(struct source *source)
{
    int byte;

    do {
        byte = source_byte(source);
    } while (byte >= 0 && byte != '\n');
}

size_t source_read(struct source *source, struct bytebuf *out, size_t size)
{
    size_t done = 0;

    while (done < size && (source->at < source->have || source_fill(source))) {
        size_t piece = source->have - source->at;

        if (piece > size - done) piece = size - done;
        bytebuf_add(out, source->block + source->at, piece);
        if (out->failed) break;
        source->at += piece;
        done += piece;
    }
    return done;
}

void source_skip_mark(struct source *source)
{
    static const uint8_t mark[3] = {0xef, 0xbb, 0xbf};

    if (source->have == 0 && !source_fill(source)) return;
    if (source->have - source->at >= 3 && memcmp(source->block + source->at, mark, 3) == 0)
        source->at += 3;
}
