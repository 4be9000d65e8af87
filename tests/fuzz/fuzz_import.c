/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_import.c: any bytes as the source of an import, in each format.
 *
 * The first byte of the input says how the rest is read: mod 5 the format (csv, tsv, jsonl, lines,
 * dump); of what is left, bit 0 no header, bit 1 with --key k, bit 2 with --value v, bit 3
 * --separator ';'.
 *
 * What must hold: every call gets on; keys and values are within their limits and readable; a
 * second reading after a rewind says the same; an object that was made of cells, or a line that was
 * taken as a document, is JSON; a dump that reads as whole is what the writer writes.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tools/rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool held, const char *what)
{
    if (held) return;
    (void)fprintf(stderr, "fuzz_import: this does not hold: %s\n", what);
    abort();
}

#define MUST(condition) must((condition), #condition)

/* A file without a place on disk that holds `data`; its path is for rows_open. */
static int file_of(const uint8_t *data, size_t size, char path[64])
{
    int fd = memfd_create("import", MFD_CLOEXEC);

    MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    (void)snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

static struct rows_config config_of(uint8_t mode)
{
    static const enum rows_format formats[] = {FORMAT_CSV, FORMAT_TSV, FORMAT_JSONL, FORMAT_LINES,
                                               FORMAT_DUMP};
    unsigned bits = mode / 5u;
    struct rows_config config = {.format = formats[mode % 5], .header = !(bits & 1)};

    config.separator = config.format == FORMAT_TSV ? '\t' : ',';
    if (bits & 8) config.separator = ';';
    /* As the program does: a value's field wants a key's, where there are fields. */
    if (bits & 2) config.key = config.header ? "k" : "1";
    if (bits & 4 && (config.key || config.format != FORMAT_JSONL))
        config.value = config.header ? "v" : "2";
    return config;
}

/* What one reading came to. */
struct outcome {
    uint64_t rows, bad, digest;
    enum rows_answer end;
};

static void digest(struct outcome *outcome, const void *data, size_t size)
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < size; i++)
        outcome->digest = (outcome->digest ^ bytes[i]) * UINT64_C(1099511628211);
    outcome->digest = (outcome->digest ^ size) * UINT64_C(1099511628211);
}

static void judge_row(const struct rows_config *config, const struct row *row)
{
    struct json_error error;
    bool table = config->format == FORMAT_CSV || config->format == FORMAT_TSV;

    MUST(row->key.size <= SDB_KEY_MAX && row->value.size <= SDB_VALUE_MAX);
    if (table && !config->value) MUST(json_check(row->value.data, row->value.size, &error));
    if (config->format == FORMAT_JSONL && config->key && !config->value)
        MUST(json_check(row->value.data, row->value.size, &error));
}

/* Reads all. What a dump holds is written again into *copy, if that is given. */
static struct outcome read_all(struct rows *rows, size_t size, struct bytebuf *copy)
{
    struct outcome outcome = {.digest = 14695981039346656037u};
    struct dump_writer writer = {0};
    struct row row;
    bool first = true;

    for (uint64_t calls = 0;; calls++) {
        MUST(calls <= size + 2);
        outcome.end = rows_next(rows, &row);
        if (first && copy) dump_begin(&writer, copy, rows->dump.keyspaces, rows->dump.expiries);
        first = false;
        if (outcome.end == ROWS_END || outcome.end == ROWS_FATAL) break;
        if (outcome.end == ROWS_BAD) {
            outcome.bad++;
            digest(&outcome, rows->reason, strlen(rows->reason));
        }
        if (outcome.end == ROWS_KEYSPACE) {
            digest(&outcome, row.keyspace, strlen(row.keyspace));
            if (copy) dump_keyspace(&writer, copy, row.keyspace, row.ttl_ms);
        }
        if (outcome.end == ROWS_ROW) {
            outcome.rows++;
            judge_row(&rows->config, &row);
            digest(&outcome, row.key.data, row.key.size);
            digest(&outcome, row.value.data, row.value.size);
            if (copy) dump_entry(&writer, copy, row.key, row.value, row.expiry_ms);
        }
    }
    if (copy) dump_end(&writer, copy);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rows_config config = config_of(size ? data[0] : 0);
    struct rows *rows = malloc(sizeof *rows);
    struct bytebuf copy = {0};
    struct outcome once, again;
    char path[64];
    int fd;

    MUST(rows != NULL);
    if (size) {
        data++;
        size--;
    }
    fd = file_of(data, size, path);
    MUST(rows_open(rows, path, &config, true));
    once = read_all(rows, size, config.format == FORMAT_DUMP ? &copy : NULL);
    if (config.format == FORMAT_DUMP && once.end == ROWS_END && !once.bad)
        MUST(copy.size == size && memcmp(copy.data, data, size) == 0);
    MUST(rows_rewind(rows));
    again = read_all(rows, size, NULL);
    MUST(once.rows == again.rows && once.bad == again.bad && once.end == again.end);
    MUST(once.digest == again.digest);
    rows_close(rows);
    free(rows);
    bytebuf_done(&copy);
    (void)close(fd);
    return 0;
}
