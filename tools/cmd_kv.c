/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_kv.c
 *
 * Idea: `sdb kv` reads or changes one entry, or walks a range, for scripts: any bytes go in (as
 *   arguments,
 * hex, base64, @file, or standard input) and come out again unchanged.
 * Invariants: I1 standard output holds what was asked for, or nothing. I2 standard input is read
 *   for one operand at most.
 * Costs: get, scan and count open the file for reading, so any number of them run side by side.
 * Not here: the walk itself (data.h).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/commands.h"
#include "tools/data.h"
#include "tools/encode.h"
#include "tools/lifetime.h"
#include "tools/source.h"

/* What the arguments of a kv command say. kv_begin, kv_end. */
struct kv {
    struct tool *tool;
    const struct args *args;
    enum data_form form;
    const char *keyspace_name;
    struct bytebuf key, value, prefix, from, to;
    bool stdin_taken;
    sdb_db *db;
    sdb_txn *txn;
    sdb_keyspace *keyspace;
};

static sdb_slice slice_of(const struct bytebuf *buffer)
{
    return (sdb_slice){bytebuf_text(buffer), buffer->size};
}

/* Reads a whole file, or "-" standard input. */
static int read_file(struct kv *kv, const char *path, struct bytebuf *out)
{
    struct source source;
    int status = STATUS_DONE;

    if (strcmp(path, "-") == 0) {
        if (kv->stdin_taken) return tool_misuse(kv->tool, "standard input can be read only once");
        kv->stdin_taken = true;
    }
    out->limit = (size_t)SDB_VALUE_MAX + 1; /* one more: then the library says what is too long */
    if (source_open(&source, path, false))
        while (!out->failed && source_read(&source, out, BYTEBUF_LIMIT) == BYTEBUF_LIMIT) {
        }
    if (source.failed)
        status = tool_fail(kv->tool, "%s: %s", path, source.problem);
    else if (out->failed == BYTEBUF_FULL)
        status = tool_fail(kv->tool, "%s: it has more than the %s bytes that a value may have",
                           path, tool_number(SDB_VALUE_MAX));
    else if (out->failed)
        status = tool_fail(kv->tool, "%s: there is no memory for it", path);
    source_close(&source);
    return status;
}

/* The bytes that an operand or option stands for. */
static int take_bytes(struct kv *kv, const struct word *word, struct bytebuf *out)
{
    const char *text = word->text;
    bool good = true;

    if (strcmp(text, "-") == 0) return read_file(kv, text, out);
    if (text[0] == '@' && text[1] != '@') return read_file(kv, text + 1, out);
    if (text[0] == '@') text++;
    if (kv->form == DATA_HEX)
        good = encode_from_hex(out, text, strlen(text));
    else if (kv->form == DATA_BASE64)
        good = encode_from_base64(out, text, strlen(text));
    else
        bytebuf_add_text(out, text);
    if (!good)
        return tool_misuse(kv->tool, "'%s' is not %s", text,
                           kv->form == DATA_HEX ? "hex: it wants two digits for each byte"
                                                : "base64");
    return out->failed ? tool_fail(kv->tool, "there is no memory for an argument") : STATUS_DONE;
}

/* Reads the arguments; opens the database and the keyspace. After it, kv_end in any case. */
static int kv_begin(struct kv *kv, struct tool *tool, const struct args *args,
                    enum tool_access access)
{
    sdb_status status;
    size_t last = args->count - 1;
    int done;

    memset(kv, 0, sizeof *kv);
    kv->tool = tool;
    kv->args = args;
    kv->keyspace_name = args->operand[1].text;
    if (args_has(args, OPTION_HEX) && args_has(args, OPTION_BASE64))
        return tool_misuse(tool, "--hex and --base64 exclude each other");
    if (args_has(args, OPTION_RAW) && args_has(args, OPTION_JSON))
        return tool_misuse(tool, "--raw and --json exclude each other");
    if (args_has(args, OPTION_HEX)) kv->form = DATA_HEX;
    if (args_has(args, OPTION_BASE64)) kv->form = DATA_BASE64;
    done = args_opening(tool, args);
    if (!done && args->count > 2) done = take_bytes(kv, &args->operand[2], &kv->key);
    if (!done && args->count > 3) done = take_bytes(kv, &args->operand[last], &kv->value);
    if (!done) done = tool_open(tool, args->operand[0].text, access, &kv->db);
    if (done) return done;
    if (access != TOOL_MAKE) return data_keyspace(tool, kv->db, kv->keyspace_name, &kv->keyspace);
    status = sdb_keyspace_open(kv->db, kv->keyspace_name, 0, &kv->keyspace);
    return status == SDB_OK ? STATUS_DONE : tool_fail_status(tool, status);
}

static int kv_end(struct kv *kv, int status)
{
    sdb_txn_abort(kv->txn);
    bytebuf_done(&kv->key);
    bytebuf_done(&kv->value);
    bytebuf_done(&kv->prefix);
    bytebuf_done(&kv->from);
    bytebuf_done(&kv->to);
    return tool_close(kv->tool, kv->db, status);
}

static int begin_txn(struct kv *kv, unsigned flags)
{
    sdb_status status = sdb_txn_begin(kv->db, flags, &kv->txn);

    return status == SDB_OK ? STATUS_DONE : tool_fail_status(kv->tool, status);
}

/* ---- one entry ---------------------------------------------------------------------------- */

static int print_value(struct kv *kv, sdb_slice value)
{
    struct bytebuf text = {.limit = (size_t)16 << 30};
    bool raw = args_has(kv->args, OPTION_RAW);
    int status = STATUS_DONE;

    if (args_has(kv->args, OPTION_JSON) && kv->form == DATA_PLAIN) {
        bytebuf_add_byte(&text, '{');
        encode_json_member(&text, "key", kv->key.data, kv->key.size);
        bytebuf_add_byte(&text, ',');
        encode_json_member(&text, "value", value.data, value.size);
        bytebuf_add_byte(&text, '}');
    } else if (args_has(kv->args, OPTION_JSON)) {
        bytebuf_add_text(&text, "{\"key\":\"");
        data_encode(&text, kv->form, slice_of(&kv->key));
        bytebuf_add_text(&text, "\",\"value\":\"");
        data_encode(&text, kv->form, value);
        bytebuf_add_text(&text, "\"}");
    } else if (kv->form != DATA_PLAIN) {
        data_encode(&text, kv->form, value);
    } else if (fwrite(value.data, 1, value.size, stdout) != value.size) {
        tool_output_failed();
    }
    if (text.failed) status = tool_fail(kv->tool, "there is no memory to print the value");
    if (!status) (void)fwrite(bytebuf_text(&text), 1, text.size, stdout);
    if (!status && !raw) (void)fputc('\n', stdout);
    bytebuf_done(&text);
    return status;
}

int cmd_kv_get(struct tool *tool, const struct args *args)
{
    struct kv kv;
    sdb_slice value;
    int done = kv_begin(&kv, tool, args, TOOL_READ);

    if (!done) done = begin_txn(&kv, SDB_TXN_READ);
    if (!done) {
        sdb_status status = sdb_get(kv.txn, kv.keyspace, slice_of(&kv.key), &value);

        if (status == SDB_NOTFOUND)
            done = data_not_found(tool, slice_of(&kv.key), kv.keyspace_name);
        else if (status != SDB_OK)
            done = tool_fail_status(tool, status);
        else
            done = print_value(&kv, value);
    }
    return kv_end(&kv, done);
}

int cmd_kv_put(struct tool *tool, const struct args *args)
{
    struct kv kv;
    uint64_t ttl_ms = 0;
    int done = lifetime_option(tool, args, &ttl_ms);

    if (done) return done;
    done = kv_begin(&kv, tool, args, TOOL_MAKE);
    if (!done) {
        sdb_status status = lifetime_put(NULL, kv.keyspace, slice_of(&kv.key),
                                         slice_of(&kv.value), args, ttl_ms);

        if (status != SDB_OK) done = tool_fail_status(tool, status);
    }
    return kv_end(&kv, done);
}

int cmd_kv_ttl(struct tool *tool, const struct args *args)
{
    bool set = args_has(args, OPTION_TTL);
    struct kv kv;
    uint64_t ttl_ms = 0, expiry = 0;
    int done = lifetime_option(tool, args, &ttl_ms);
    sdb_status status;

    if (!done && set && args_has(args, OPTION_SNAPSHOT))
        done = tool_misuse(tool, "a snapshot does not change: --ttl and --snapshot exclude each "
                           "other");
    if (done) return done;
    done = kv_begin(&kv, tool, args, set ? TOOL_WRITE : TOOL_READ);
    if (!done && !set) done = begin_txn(&kv, SDB_TXN_READ);
    if (!done) {
        status = set ? sdb_expiry_set(NULL, kv.keyspace, slice_of(&kv.key), lifetime_end(ttl_ms))
                     : sdb_expiry_get(kv.txn, kv.keyspace, slice_of(&kv.key), &expiry);
        if (status == SDB_NOTFOUND)
            done = data_not_found(tool, slice_of(&kv.key), kv.keyspace_name);
        else if (status != SDB_OK)
            done = tool_fail_status(tool, status);
        else if (!set)
            lifetime_print(expiry, args_has(args, OPTION_JSON));
    }
    return kv_end(&kv, done);
}

int cmd_kv_merge(struct tool *tool, const struct args *args)
{
    struct kv kv;
    int done = kv_begin(&kv, tool, args, TOOL_MAKE);

    if (!done)
        done = data_merge(tool, NULL, kv.keyspace, slice_of(&kv.key), args->operand[3].text,
                          slice_of(&kv.value), kv.form == DATA_PLAIN);
    return kv_end(&kv, done);
}

int cmd_kv_del(struct tool *tool, const struct args *args)
{
    struct kv kv;
    int done = kv_begin(&kv, tool, args, TOOL_WRITE);

    if (!done) done = begin_txn(&kv, SDB_TXN_WRITE);
    if (!done) {
        sdb_status status = sdb_del(kv.txn, kv.keyspace, slice_of(&kv.key));

        if (status == SDB_OK) {
            status = sdb_txn_commit(kv.txn);
            kv.txn = NULL;
        }
        if (status == SDB_NOTFOUND)
            done = data_not_found(tool, slice_of(&kv.key), kv.keyspace_name);
        else if (status != SDB_OK)
            done = tool_fail_status(tool, status);
    }
    return kv_end(&kv, done);
}

/* ---- ranges ------------------------------------------------------------------------------- */

/* The range that --prefix, --from and --to describe. */
static int take_range(struct kv *kv, struct data_view *view)
{
    const struct args *args = kv->args;
    int done = STATUS_DONE;

    if (args_has(args, OPTION_PREFIX)) {
        done = take_bytes(kv, args->option[OPTION_PREFIX], &kv->prefix);
        view->range.prefix = slice_of(&kv->prefix);
    }
    if (!done && args_has(args, OPTION_FROM)) {
        done = take_bytes(kv, args->option[OPTION_FROM], &kv->from);
        view->lower = slice_of(&kv->from);
        view->range.lower = &view->lower;
    }
    if (!done && args_has(args, OPTION_TO)) {
        done = take_bytes(kv, args->option[OPTION_TO], &kv->to);
        view->upper = slice_of(&kv->to);
        view->range.upper = &view->upper;
    }
    return done;
}

int cmd_kv_delrange(struct tool *tool, const struct args *args)
{
    struct data_view view = {0};
    struct kv kv;
    int done;

    if (!args_narrow(args))
        return tool_misuse(tool, "kv delrange wants --prefix, --from or --to");
    done = kv_begin(&kv, tool, args, TOOL_WRITE);
    if (!done) done = take_range(&kv, &view);
    if (!done) {
        sdb_status status = sdb_del_range(NULL, kv.keyspace, &view.range);

        if (status != SDB_OK) done = tool_fail_status(tool, status);
    }
    return kv_end(&kv, done);
}

int cmd_kv_scan(struct tool *tool, const struct args *args)
{
    struct data_view view = {0};
    struct kv kv;
    int done = args_number(tool, args, OPTION_LIMIT, 0, &view.limit);

    if (done) return done;
    done = kv_begin(&kv, tool, args, TOOL_READ);
    if (!done) done = take_range(&kv, &view);
    if (!done) done = begin_txn(&kv, SDB_TXN_READ);
    if (!done) {
        view.reverse = args_has(args, OPTION_REVERSE);
        view.keys_only = args_has(args, OPTION_KEYS);
        view.limited = args_has(args, OPTION_LIMIT);
        view.form = kv.form;
        view.mode = args_has(args, OPTION_JSON)  ? RENDER_JSON
                    : args_has(args, OPTION_RAW) ? RENDER_RAW
                                                 : RENDER_LINE;
        done = data_scan(tool, kv.txn, kv.keyspace, &view, stdout);
    }
    return kv_end(&kv, done);
}

int cmd_kv_count(struct tool *tool, const struct args *args)
{
    struct data_view view = {0};
    struct kv kv;
    uint64_t count;
    int done = kv_begin(&kv, tool, args, TOOL_READ);

    if (!done) done = take_range(&kv, &view);
    if (!done && args_has(args, OPTION_APPROX)) {
        sdb_status status = sdb_count_approx(kv.keyspace, &view.range, &count);

        if (status != SDB_OK) done = tool_fail_status(tool, status);
    } else {
        if (!done) done = begin_txn(&kv, SDB_TXN_READ);
        if (!done) done = data_count(tool, kv.txn, kv.keyspace, &view, &count);
    }
    if (!done)
        (void)printf(args_has(args, OPTION_JSON) ? "{\"count\":%llu}\n" : "%llu\n",
                     (unsigned long long)count);
    return kv_end(&kv, done);
}
