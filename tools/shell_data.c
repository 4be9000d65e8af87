/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shell_data.c
 *
 * Idea: each data command is one call of the library, in the transaction that `begin` began, or in
 *   one of
 * its own.
 * Invariants: I1 no cursor and no transaction but shell->txn outlives a command. I2 a failed
 *   command leaves shell->txn open, except commit, which ends it whatever it answers.
 * Not here: how entries are printed (data.h), files (import.c, export.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/data.h"
#include "tools/encode.h"
#include "tools/lifetime.h"
#include "tools/shell.h"

static sdb_slice slice_of(const struct word *word)
{
    return (sdb_slice){word->text, word->size};
}

static int answer(const struct shell *shell, sdb_status status)
{
    return status == SDB_OK ? STATUS_DONE : tool_fail_status(shell->tool, status);
}

/*
 * The keyspace's name, and the operands after it: `wanted` of them with a name before them, or
 * without one after `use`.
 */
static int take_operands(const struct shell *shell, const struct args *args, size_t wanted,
                         const char **out_name, const struct word **out_first)
{
    bool named = args->count > wanted;

    if (!named && !shell->use[0])
        return tool_misuse(shell->tool,
                           "%s: in which keyspace? name it first, or choose one with "
                           "use KEYSPACE",
                           args->command->name);
    *out_name = named ? args->operand[0].text : shell->use;
    *out_first = &args->operand[named];
    if (named && strlen(*out_name) != args->operand[0].size)
        return tool_misuse(shell->tool, "a keyspace's name holds no NUL");
    return STATUS_DONE;
}

/* The transaction to read in: the open one, or a new one that end_reading ends. */
static int begin_reading(const struct shell *shell, sdb_txn **out_txn)
{
    *out_txn = shell->txn;
    if (shell->txn) return STATUS_DONE;
    return answer(shell, sdb_txn_begin(shell->db, SDB_TXN_READ, out_txn));
}

static void end_reading(const struct shell *shell, sdb_txn *txn)
{
    if (txn != shell->txn) sdb_txn_abort(txn);
}

/* ---- entries ------------------------------------------------------------------------------ */

static int run_put(struct shell *shell, const struct args *args)
{
    const struct word *first = NULL;
    const char *name = NULL;
    sdb_keyspace *keyspace;
    uint64_t ttl_ms = 0;
    sdb_status status;
    int done = take_operands(shell, args, 2, &name, &first);

    if (!done) done = lifetime_option(shell->tool, args, &ttl_ms);
    if (done) return done;
    status = sdb_keyspace_open(shell->db, name, 0, &keyspace);
    if (status == SDB_OK)
        status = lifetime_put(shell->txn, keyspace, slice_of(&first[0]), slice_of(&first[1]), args,
                              ttl_ms);
    return answer(shell, status);
}

static int run_merge(struct shell *shell, const struct args *args)
{
    const struct word *first = NULL;
    const char *name = NULL;
    sdb_keyspace *keyspace;
    int done = take_operands(shell, args, 3, &name, &first);

    if (!done) done = answer(shell, sdb_keyspace_open(shell->db, name, 0, &keyspace));
    return done ? done : data_merge(shell->tool, shell->txn, keyspace, slice_of(&first[0]),
                                    first[1].text, slice_of(&first[2]), true);
}

/* Prints what `get` found. */
static int show_value(const struct shell *shell, sdb_slice key, sdb_slice value)
{
    struct bytebuf text = {.limit = (size_t)16 << 30};
    sdb_slice cells[2] = {key, value};
    struct render render;
    int done = STATUS_DONE;

    if (shell->mode == RENDER_JSON || shell->mode == RENDER_CSV) {
        render_begin(&render, shell->mode, data_columns, 2, NULL, stdout);
        if (!render_row(&render, cells) && !ferror(stdout))
            done = tool_fail(shell->tool, "there is no memory to print the value");
        (void)render_end(&render, false);
        return done;
    }
    encode_shown(&text, value.data, value.size);
    if (text.failed)
        done = tool_fail(shell->tool, "there is no memory to print the value");
    else
        (void)printf("%s\n", bytebuf_text(&text));
    bytebuf_done(&text);
    return done;
}

static int run_get(struct shell *shell, const struct args *args)
{
    const struct word *first = NULL;
    const char *name = NULL;
    sdb_keyspace *keyspace;
    sdb_slice value;
    sdb_txn *txn;
    sdb_status status;
    int done = take_operands(shell, args, 1, &name, &first);

    if (!done) done = data_keyspace(shell->tool, shell->db, name, &keyspace);
    if (!done) done = begin_reading(shell, &txn);
    if (done) return done;
    status = sdb_get(txn, keyspace, slice_of(first), &value);
    if (status == SDB_OK) {
        done = show_value(shell, slice_of(first), value);
    } else if (status == SDB_NOTFOUND) {
        (void)data_not_found(shell->tool, slice_of(first), name);
        done = STATUS_NOT_FOUND;
    } else {
        done = tool_fail_status(shell->tool, status);
    }
    end_reading(shell, txn);
    return done;
}

/* Prints how long a value has still to live, or sets it. */
static int run_ttl(struct shell *shell, const struct args *args)
{
    const struct word *first = NULL;
    const char *name = NULL;
    sdb_keyspace *keyspace;
    uint64_t ttl_ms = 0, expiry = 0;
    bool set = args_has(args, OPTION_TTL);
    sdb_txn *txn = NULL;
    sdb_status status;
    int done = take_operands(shell, args, 1, &name, &first);

    if (!done) done = lifetime_option(shell->tool, args, &ttl_ms);
    if (!done) done = data_keyspace(shell->tool, shell->db, name, &keyspace);
    if (!done && !set) done = begin_reading(shell, &txn);
    if (done) return done;
    status = set ? sdb_expiry_set(shell->txn, keyspace, slice_of(first), lifetime_end(ttl_ms))
                 : sdb_expiry_get(txn, keyspace, slice_of(first), &expiry);
    if (!set) end_reading(shell, txn);
    if (status == SDB_OK && !set) lifetime_print(expiry, shell->mode == RENDER_JSON);
    if (status != SDB_NOTFOUND) return answer(shell, status);
    (void)data_not_found(shell->tool, slice_of(first), name);
    return STATUS_NOT_FOUND;
}

static int run_del(struct shell *shell, const struct args *args)
{
    const struct word *first = NULL;
    const char *name = NULL;
    sdb_keyspace *keyspace;
    sdb_txn *txn = shell->txn;
    sdb_status status = SDB_OK;
    int done = take_operands(shell, args, 1, &name, &first);

    if (!done) done = data_keyspace(shell->tool, shell->db, name, &keyspace);
    if (done) return done;
    if (!txn) status = sdb_txn_begin(shell->db, SDB_TXN_WRITE, &txn);
    if (status == SDB_OK) status = sdb_del(txn, keyspace, slice_of(first));
    if (!shell->txn && txn) {
        if (status == SDB_OK)
            status = sdb_txn_commit(txn);
        else
            sdb_txn_abort(txn);
    }
    if (status != SDB_NOTFOUND) return answer(shell, status);
    (void)data_not_found(shell->tool, slice_of(first), name);
    return STATUS_NOT_FOUND;
}

/* The view that the options describe. */
static int take_view(const struct shell *shell, const struct args *args, struct data_view *view)
{
    const struct word *prefix = args->option[OPTION_PREFIX];
    const struct word *from = args->option[OPTION_FROM], *to = args->option[OPTION_TO];

    if (prefix) view->range.prefix = slice_of(prefix);
    if (from) {
        view->lower = slice_of(from);
        view->range.lower = &view->lower;
    }
    if (to) {
        view->upper = slice_of(to);
        view->range.upper = &view->upper;
    }
    view->reverse = args_has(args, OPTION_REVERSE);
    view->keys_only = args_has(args, OPTION_KEYS);
    view->limited = args_has(args, OPTION_LIMIT);
    view->mode = shell->mode;
    return args_number(shell->tool, args, OPTION_LIMIT, 0, &view->limit);
}

static int run_delrange(struct shell *shell, const struct args *args)
{
    const struct word *first = NULL;
    const char *name = NULL;
    sdb_keyspace *keyspace;
    struct data_view view = {0};
    int done = take_operands(shell, args, 0, &name, &first);

    if (!done) done = take_view(shell, args, &view);
    if (!done && !args_narrow(args))
        done = tool_misuse(shell->tool, "delrange wants --prefix, --from or --to; drop removes a "
                           "whole keyspace");
    if (!done) done = data_keyspace(shell->tool, shell->db, name, &keyspace);
    return done ? done : answer(shell, sdb_del_range(shell->txn, keyspace, &view.range));
}

static int run_scan(struct shell *shell, const struct args *args)
{
    const struct word *first = NULL;
    const char *name = NULL;
    sdb_keyspace *keyspace;
    struct data_view view = {0};
    sdb_txn *txn;
    int done = take_operands(shell, args, 0, &name, &first);

    if (!done) done = take_view(shell, args, &view);
    if (!done) done = data_keyspace(shell->tool, shell->db, name, &keyspace);
    if (!done) done = begin_reading(shell, &txn);
    if (done) return done;
    done = data_scan(shell->tool, txn, keyspace, &view, stdout);
    end_reading(shell, txn);
    return done;
}

static int run_count(struct shell *shell, const struct args *args)
{
    const struct word *first = NULL;
    const char *name = NULL;
    sdb_keyspace *keyspace;
    struct data_view view = {0};
    uint64_t count = 0;
    sdb_txn *txn;
    int done = take_operands(shell, args, 0, &name, &first);

    if (!done) done = take_view(shell, args, &view);
    if (!done) done = data_keyspace(shell->tool, shell->db, name, &keyspace);
    if (!done) done = begin_reading(shell, &txn);
    if (done) return done;
    if (args_has(args, OPTION_APPROX))
        done = answer(shell, sdb_count_approx(keyspace, &view.range, &count));
    else
        done = data_count(shell->tool, txn, keyspace, &view, &count);
    end_reading(shell, txn);
    if (!done)
        (void)printf(shell->mode == RENDER_JSON  ? "{\"count\":%llu}\n"
                     : shell->mode == RENDER_CSV ? "count\n%llu\n"
                                                 : "%llu\n",
                     (unsigned long long)count);
    return done;
}

/* ---- keyspaces ---------------------------------------------------------------------------- */

static int run_create(struct shell *shell, const struct args *args)
{
    sdb_keyspace_options options;
    sdb_keyspace *keyspace;
    int done = data_keyspace_options(shell->tool, args, &options);

    if (!done) done = lifetime_option(shell->tool, args, &options.ttl_ms);
    if (done) return done;
    return answer(shell, sdb_keyspace_make(shell->db, args->operand[0].text, &options, &keyspace));
}

static int run_train(struct shell *shell, const struct args *args)
{
    const struct word *first = NULL;
    const char *name = NULL;
    sdb_keyspace *keyspace;
    int done = take_operands(shell, args, 0, &name, &first);

    if (!done) done = data_keyspace(shell->tool, shell->db, name, &keyspace);
    return done ? done : data_train(shell->tool, keyspace, args, shell->mode == RENDER_JSON);
}

static int run_alter(struct shell *shell, const struct args *args)
{
    sdb_keyspace *keyspace;
    uint64_t ttl_ms = 0;
    int done = lifetime_option(shell->tool, args, &ttl_ms);

    if (!done && !args_has(args, OPTION_TTL))
        done = tool_misuse(shell->tool, "alter wants --ttl");
    if (!done) done = data_keyspace(shell->tool, shell->db, args->operand[0].text, &keyspace);
    return done ? done : answer(shell, sdb_keyspace_set_ttl(keyspace, ttl_ms));
}

static int run_drop(struct shell *shell, const struct args *args)
{
    sdb_keyspace *keyspace;
    const char *name = args->operand[0].text;
    int done = data_keyspace(shell->tool, shell->db, name, &keyspace);

    if (!done) done = answer(shell, sdb_keyspace_drop(keyspace));
    if (!done && strcmp(shell->use, name) == 0) shell->use[0] = '\0';
    return done;
}

static int run_use(struct shell *shell, const struct args *args)
{
    sdb_keyspace *keyspace;
    int done;

    if (!args->count) {
        if (shell->use[0])
            (void)printf("%s\n", shell->use);
        else
            (void)printf("no keyspace is chosen\n");
        return STATUS_DONE;
    }
    done = data_keyspace(shell->tool, shell->db, args->operand[0].text, &keyspace);
    if (!done) (void)snprintf(shell->use, sizeof shell->use, "%s", args->operand[0].text);
    return done;
}

/* ---- transactions ------------------------------------------------------------------------- */

static int no_transaction(const struct shell *shell)
{
    return tool_fail(shell->tool, "no transaction is open; begin begins one");
}

static int run_begin(struct shell *shell, const struct args *args)
{
    bool reads = args->count > 0;

    if (reads && strcmp(args->operand[0].text, "read") != 0)
        return tool_misuse(shell->tool, "begin: '%s' is not known; it wants begin or begin read",
                           args->operand[0].text);
    if (shell->txn)
        return tool_fail(shell->tool, "a transaction is open already; commit or rollback ends it");
    shell->txn_reads = reads;
    return answer(shell,
                  sdb_txn_begin(shell->db, reads ? SDB_TXN_READ : SDB_TXN_WRITE, &shell->txn));
}

static int run_commit(struct shell *shell, const struct args *args)
{
    sdb_status status;

    (void)args;
    if (!shell->txn) return no_transaction(shell);
    status = sdb_txn_commit(shell->txn);
    shell->txn = NULL;
    if (status == SDB_OK) return STATUS_DONE;
    (void)tool_fail_status(shell->tool, status);
    if (status != SDB_IO)
        tool_note("sdb: the transaction is over and has changed nothing%s",
                  status == SDB_CONFLICT ? "; run it again from begin" : "");
    return STATUS_FAILED;
}

static int run_savepoint(struct shell *shell, const struct args *args)
{
    uint64_t number;
    sdb_status status;

    (void)args;
    if (!shell->txn) return no_transaction(shell);
    status = sdb_savepoint_set(shell->txn, &number);
    if (status == SDB_OK) (void)printf("savepoint %llu\n", (unsigned long long)number);
    return answer(shell, status);
}

static int run_rollback(struct shell *shell, const struct args *args)
{
    unsigned long long number;
    const char *text;
    char *end;
    sdb_status status;

    if (!shell->txn) return no_transaction(shell);
    if (!args->count) {
        sdb_txn_abort(shell->txn);
        shell->txn = NULL;
        return STATUS_DONE;
    }
    text = args->operand[1].text;
    errno = 0;
    number = args->count == 2 ? strtoull(text, &end, 10) : 0;
    if (args->count != 2 || strcmp(args->operand[0].text, "to") != 0 || *text < '0' ||
        *text > '9' || *end || errno)
        return tool_misuse(shell->tool, "it wants rollback, or rollback to NUMBER");
    status = sdb_savepoint_rollback(shell->txn, number);
    if (status == SDB_NOTFOUND) return tool_fail(shell->tool, "there is no savepoint %llu", number);
    return answer(shell, status);
}

/* ---- the table ---------------------------------------------------------------------------- */

#define ACCEPT_SCAN (ACCEPT_RANGE | ACCEPT(REVERSE) | ACCEPT(LIMIT) | ACCEPT(KEYS))

/* clang-format off */
const struct shell_command shell_data_commands[] = {
    {{"put", "[KEYSPACE] KEY VALUE",
      "Set a key to a value, and make the keyspace if need be",
      NULL, ACCEPT(TTL), 2, 3, NULL}, run_put, true},
    {{"merge", "[KEYSPACE] KEY OPERATOR OPERAND",
      "Merge into a value: add NUMBER, append, max, min BYTES, union ELEMENT",
      NULL, 0, 3, 4, NULL}, run_merge, true},
    {{"get", "[KEYSPACE] KEY", "Print the value of a key", NULL, 0, 1, 2, NULL}, run_get, true},
    {{"del", "[KEYSPACE] KEY", "Remove a key", NULL, 0, 1, 2, NULL}, run_del, true},
    {{"ttl", "[KEYSPACE] KEY",
      "Print how long a value has still to live, or (--ttl) set it",
      NULL, ACCEPT(TTL), 1, 2, NULL}, run_ttl, true},
    {{"delrange", "[KEYSPACE]",
      "Remove all keys of a range", NULL, ACCEPT_RANGE, 0, 1, NULL}, run_delrange, true},
    {{"scan", "[KEYSPACE]",
      "Print entries in the order of their keys", NULL, ACCEPT_SCAN, 0, 1, NULL}, run_scan, true},
    {{"count", "[KEYSPACE]",
      "Count entries", NULL, ACCEPT_RANGE | ACCEPT(APPROX), 0, 1, NULL}, run_count, true},
    {{"create", "KEYSPACE",
      "Make a keyspace, at once and by itself",
      NULL, ACCEPT(COMPRESSION) | ACCEPT(TTL), 1, 1, NULL}, run_create, false},
    {{"train", "[KEYSPACE]",
      "Train a dictionary for compression with zstd, if pages become smaller by it",
      NULL, ACCEPT(REWRITE), 0, 1, NULL}, run_train, false},
    {{"alter", "KEYSPACE",
      "Change how long values live that are put from now on, at once and by itself",
      NULL, ACCEPT(TTL), 1, 1, NULL}, run_alter, true},
    {{"drop", "KEYSPACE",
      "Remove a keyspace and all it holds, at once and by itself",
      NULL, 0, 1, 1, NULL}, run_drop, true},
    {{"use", "[KEYSPACE]",
      "Choose the keyspace of commands that name none, or say which it is",
      NULL, 0, 0, 1, NULL}, run_use, true},
    {{"begin", "[read]",
      "Begin a transaction; with read, one that sees one instant and changes nothing",
      NULL, 0, 0, 1, NULL}, run_begin, false},
    {{"commit", "",
      "Make the changes of the transaction, all at once", NULL, 0, 0, 0, NULL}, run_commit, false},
    {{"rollback", "[to NUMBER]",
      "Give the transaction up, or what it did since a savepoint",
      NULL, 0, 0, 2, NULL}, run_rollback, false},
    {{"savepoint", "",
      "Mark a point to roll back to, and print its number",
      NULL, 0, 0, 0, NULL}, run_savepoint, false},
    {{NULL, NULL, NULL, NULL, 0, 0, 0, NULL}, NULL, false},
};
/* clang-format on */
