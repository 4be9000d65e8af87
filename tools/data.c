/* SPDX-License-Identifier: Apache-2.0 */
/*
 * data.c
 *
 * Idea: a view is a range, a direction and a form; printing and counting walk it with one cursor.
 * Invariants: I1 the cursor is closed on every path. I2 an interrupt is seen within POLL entries.
 * Costs: memory for one entry (in hex or base64: for its text too).
 * Not here: where the words of a view come from (cmd_kv.c, shell_data.c).
 */
#include "tools/data.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/encode.h"

#define POLL 256

const struct render_column data_columns[2] = {{"key", false}, {"value", false}};

bool data_next_keyspace(sdb_db *db, char name[SDB_KEYSPACE_NAME_MAX + 1])
{
    char after[SDB_KEYSPACE_NAME_MAX + 1];

    memcpy(after, name, strlen(name) + 1);
    return sdb_keyspace_next(db, *after ? after : NULL, name) == SDB_OK;
}

/* A keyspace whose name is like `name`, copied into `out`; false if none is near. */
static bool nearest_keyspace(sdb_db *db, const char *name, char out[SDB_KEYSPACE_NAME_MAX + 1])
{
    const char *names[2] = {out, NULL};

    out[0] = '\0';
    while (data_next_keyspace(db, out))
        if (tool_nearest(name, names)) return true;
    return false;
}

int data_keyspace(const struct tool *tool, sdb_db *db, const char *name,
                  sdb_keyspace **out_keyspace)
{
    sdb_status status = sdb_keyspace_open(db, name, SDB_KEYSPACE_MUST_EXIST, out_keyspace);
    char meant[SDB_KEYSPACE_NAME_MAX + 1];

    if (status == SDB_OK) return STATUS_DONE;
    if (status != SDB_NOTFOUND) return tool_fail_status(tool, status);
    if (nearest_keyspace(db, name, meant))
        return tool_fail(tool, "there is no keyspace '%s'; did you mean '%s'?", name, meant);
    return tool_fail(tool, "there is no keyspace '%s'", name);
}

int data_keyspace_options(const struct tool *tool, const struct args *args,
                          sdb_keyspace_options *out_options)
{
    const char *text = args_text(args, OPTION_COMPRESSION);
    unsigned long level = 0;
    char *end = NULL;

    *out_options = SDB_KEYSPACE_OPTIONS_INIT;
    if (!text || strcmp(text, "none") == 0) return STATUS_DONE;
    if (strcmp(text, "lz4") == 0) {
        out_options->compression = SDB_COMPRESSION_LZ4;
        return STATUS_DONE;
    }
    if (strncmp(text, "zstd:", 5) == 0) level = strtoul(text + 5, &end, 10);
    if (strcmp(text, "zstd") != 0 &&
        (!end || *end || level < 1 || level > SDB_COMPRESSION_LEVEL_MAX))
        return tool_misuse(tool, "--compression: '%s' is not none, lz4, zstd or zstd:1 to zstd:%u",
                           text, SDB_COMPRESSION_LEVEL_MAX);
    out_options->compression = SDB_COMPRESSION_ZSTD;
    out_options->level = (unsigned)level;
    return STATUS_DONE;
}

const char *data_compression(const sdb_keyspace_stats *stats)
{
    static char text[32];

    if (stats->compression == SDB_COMPRESSION_LZ4) return "lz4";
    if (stats->compression != SDB_COMPRESSION_ZSTD) return "none";
    (void)snprintf(text, sizeof text, "zstd:%u", stats->level);
    return text;
}

int data_not_found(const struct tool *tool, sdb_slice key, const char *keyspace)
{
    struct bytebuf text = {0};
    bool cut = key.size > 100;

    encode_shown(&text, key.data, cut ? 100 : key.size);
    (void)tool_fail(tool, "there is no key %s%s in '%s'", bytebuf_text(&text), cut ? "..." : "",
                    keyspace);
    bytebuf_done(&text);
    return STATUS_FAILED;
}

void data_encode(struct bytebuf *out, enum data_form form, sdb_slice bytes)
{
    if (form == DATA_HEX)
        encode_hex(out, bytes.data, bytes.size);
    else if (form == DATA_BASE64)
        encode_base64(out, bytes.data, bytes.size);
    else
        bytebuf_add(out, bytes.data, bytes.size);
}

/* Prints one entry in the view's form. */
static bool show(struct render *render, const struct data_view *view, struct bytebuf *text,
                 sdb_slice key, sdb_slice value)
{
    sdb_slice cells[2] = {key, value};
    size_t key_size;

    if (view->form != DATA_PLAIN) {
        bytebuf_clear(text);
        data_encode(text, view->form, key);
        key_size = text->size;
        if (!view->keys_only) data_encode(text, view->form, value);
        if (text->failed) return false;
        cells[0] = (sdb_slice){bytebuf_text(text), key_size};
        cells[1] = (sdb_slice){bytebuf_text(text) + key_size, text->size - key_size};
    }
    return render_row(render, cells);
}

int data_scan(const struct tool *tool, sdb_txn *txn, sdb_keyspace *keyspace,
              const struct data_view *view, FILE *out)
{
    struct bytebuf text = {.limit = (size_t)8 << 30};
    struct render render;
    sdb_cursor *cursor;
    sdb_slice key, value = {NULL, 0};
    sdb_status status = sdb_cursor_open(txn, keyspace, &view->range, &cursor);
    bool fine = true;

    if (status != SDB_OK) return tool_fail_status(tool, status);
    render_begin(&render, view->mode, data_columns, view->keys_only ? 1 : 2, "entry/entries", out);
    while (fine && !(view->limited && render.rows >= view->limit)) {
        sdb_slice *want = view->keys_only ? NULL : &value;

        if (render.rows % POLL == 0 && tool_interrupted()) break;
        status = view->reverse ? sdb_cursor_prev(cursor, &key, want)
                               : sdb_cursor_next(cursor, &key, want);
        if (status != SDB_OK) break;
        fine = show(&render, view, &text, key, value);
    }
    sdb_cursor_close(cursor);
    bytebuf_done(&text);
    fine = render_end(&render, tool_interrupted()) && fine;
    if (status < 0) return tool_fail_status(tool, status);
    if (tool_interrupted()) return STATUS_FAILED;
    if (!fine && !ferror(out)) return tool_fail(tool, "there is no memory to print an entry");
    return fine ? STATUS_DONE : STATUS_FAILED;
}

int data_count(const struct tool *tool, sdb_txn *txn, sdb_keyspace *keyspace,
               const struct data_view *view, uint64_t *out_count)
{
    sdb_cursor *cursor;
    sdb_slice key;
    uint64_t count = 0;
    sdb_status status = sdb_cursor_open(txn, keyspace, &view->range, &cursor);

    if (status != SDB_OK) return tool_fail_status(tool, status);
    while (!(count % POLL == 0 && tool_interrupted())) {
        status = sdb_cursor_next(cursor, &key, NULL);
        if (status != SDB_OK) break;
        count++;
    }
    sdb_cursor_close(cursor);
    if (status < 0) return tool_fail_status(tool, status);
    if (status != SDB_END) return STATUS_FAILED;
    *out_count = count;
    return STATUS_DONE;
}

/* Reads a number in decimal as the 8 bytes of an operand. */
static bool number_operand(sdb_slice text, uint8_t out[8])
{
    char room[32], *end;
    long long number;

    if (text.size == 0 || text.size >= sizeof room) return false;
    memcpy(room, text.data, text.size);
    room[text.size] = 0;
    errno = 0;
    number = strtoll(room, &end, 10);
    if (errno || end != room + text.size || (*room != '-' && (*room < '0' || *room > '9')))
        return false;
    for (int i = 0; i < 8; i++) out[i] = (uint8_t)((unsigned long long)number >> 8 * i);
    return true;
}

int data_merge(const struct tool *tool, sdb_txn *txn, sdb_keyspace *keyspace, sdb_slice key,
               const char *merge_operator, sdb_slice operand, bool as_text)
{
    static const char *const names[] = {[SDB_MERGE_ADD] = "add", [SDB_MERGE_APPEND] = "append",
                                        [SDB_MERGE_MAX] = "max", [SDB_MERGE_MIN] = "min",
                                        [SDB_MERGE_UNION] = "union"};
    struct bytebuf set = {.limit = (size_t)SDB_VALUE_MAX + 8};
    unsigned number = SDB_MERGE_ADD;
    uint8_t room[8];
    sdb_status status;

    while (number <= SDB_MERGE_UNION && strcmp(merge_operator, names[number]) != 0) number++;
    if (number > SDB_MERGE_UNION)
        return tool_misuse(tool, "there is no operator '%s'; it wants add, append, max, min or "
                           "union", merge_operator);
    if (number == SDB_MERGE_ADD && as_text) {
        if (!number_operand(operand, room))
            return tool_misuse(tool, "'%.*s' is no number of 64 bits", (int)operand.size,
                               (const char *)operand.data);
        operand = (sdb_slice){room, sizeof room};
    }
    if (number == SDB_MERGE_UNION) {
        for (int i = 0; i < 4; i++) room[i] = (uint8_t)(operand.size >> 8 * i);
        bytebuf_add(&set, room, 4);
        bytebuf_add(&set, operand.data, operand.size);
        if (set.failed) {
            bytebuf_done(&set);
            return tool_fail(tool, "there is no memory for an argument");
        }
        operand = (sdb_slice){bytebuf_text(&set), set.size};
    }
    status = sdb_merge(txn, keyspace, number, key, operand);
    bytebuf_done(&set);
    return status == SDB_OK ? STATUS_DONE : tool_fail_status(tool, status);
}
