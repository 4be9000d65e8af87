/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shell_changes.c
 *
 * Idea: what commits did, one row a change, out of the stream that followers read
 *   (sdb/changes.h). The shell has a stream of its own from the moment it opens a database, so
 *   .changes prints what was committed since, or since the last .changes; with --lsn it prints from
 *   any place that the log still has.
 * Invariants: I1 every commit that returned before the command is printed, each once. I2 at most
 *   KEEP_BYTES of log are kept for it that a checkpoint would have removed.
 * Costs: opening a database, nothing; memory grows neither with the number of commits nor with
 *   their size.
 * Not here: following, which only the process that has the database open can do: in C.
 */
#include <stdlib.h>
#include <string.h>

#include "tools/commands.h"
#include "tools/data.h"
#include "tools/shell.h"

#define KEEP_BYTES ((uint64_t)16 << 20)

static const struct render_column columns[] = {{"commit", true},    {"next_lsn", true},
                                               {"change", false},   {"keyspace", false},
                                               {"key", false},      {"value", false}};

enum { COLUMNS = sizeof columns / sizeof *columns };

void shell_changes_begin(struct shell *shell)
{
    shell->changes = NULL;
    /* What cannot have a stream says so when one is asked for. */
    if (sdb_changes_open(shell->db, 0, KEEP_BYTES, &shell->changes) != SDB_OK)
        shell->changes = NULL;
}

void shell_changes_end(struct shell *shell)
{
    sdb_changes_close(shell->changes);
    shell->changes = NULL;
}

/* What the change is called, in `out`. */
static void name_change(const sdb_change *change, char out[32])
{
    static const char *const operators[] = {"?", "add", "append", "max", "min", "union"};
    unsigned operator_number = 0;

    if (change->kind == SDB_CHANGE_MERGE && change->value.size)
        operator_number = *(const unsigned char *)change->value.data;
    switch (change->kind) {
    case SDB_CHANGE_PUT: (void)snprintf(out, 32, "put"); break;
    case SDB_CHANGE_DEL: (void)snprintf(out, 32, "del"); break;
    case SDB_CHANGE_KEYSPACE_MAKE: (void)snprintf(out, 32, "create"); break;
    case SDB_CHANGE_KEYSPACE_DROP: (void)snprintf(out, 32, "drop"); break;
    case SDB_CHANGE_DEL_RANGE: (void)snprintf(out, 32, "delrange"); break;
    case SDB_CHANGE_KEYSPACE_TTL: (void)snprintf(out, 32, "ttl"); break;
    case SDB_CHANGE_MERGE:
        if (operator_number < sizeof operators / sizeof *operators)
            (void)snprintf(out, 32, "merge %s", operators[operator_number]);
        else
            (void)snprintf(out, 32, "merge %u", operator_number);
        break;
    default: (void)snprintf(out, 32, "change %u", (unsigned)change->kind); break;
    }
}

static bool print_change(struct render *render, const sdb_committed *commit,
                         const sdb_change *change)
{
    char number[24], next[24], what[32], dropped[24], ttl[24];
    sdb_slice keyspace = {change->keyspace_name, strlen(change->keyspace_name)};
    sdb_slice key = change->key, value = change->value;

    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)commit->commit);
    (void)snprintf(next, sizeof next, "%llu", (unsigned long long)commit->next_lsn);
    (void)snprintf(dropped, sizeof dropped, "#%lu", (unsigned long)change->keyspace);
    name_change(change, what);
    if (!keyspace.size) keyspace = (sdb_slice){dropped, strlen(dropped)};
    if (change->kind == SDB_CHANGE_KEYSPACE_MAKE) {
        keyspace = key; /* the name that it was made with, also if it has been dropped since */
        key.size = value.size = 0;
    } else if (change->kind == SDB_CHANGE_KEYSPACE_TTL) { /* as alter --ttl takes it */
        (void)snprintf(ttl, sizeof ttl, "%llums", (unsigned long long)change->time_ms);
        value.data = change->time_ms ? ttl : "none";
        value.size = strlen(value.data);
    } else if (change->kind == SDB_CHANGE_MERGE && value.size) {
        value = (sdb_slice){(const char *)value.data + 1, value.size - 1};
    }
    return render_row(render, (sdb_slice[COLUMNS]){{number, strlen(number)},
                                                   {next, strlen(next)},
                                                   {what, strlen(what)},
                                                   keyspace,
                                                   key,
                                                   value});
}

/* Prints what the stream has, of `only` (NULL: of all keyspaces). */
static int print_all(struct shell *shell, sdb_changes *changes, const char *only)
{
    struct render render;
    sdb_committed commit;
    sdb_status status = sdb_sync(shell->db);
    int done = STATUS_DONE;

    if (status != SDB_OK) return tool_fail_status(shell->tool, status);
    render_begin(&render, shell->mode, columns, COLUMNS, "change/changes", stdout);
    while (!done && !tool_interrupted()) {
        status = sdb_changes_next_part(changes, 0, &commit);
        if (status != SDB_OK) break;
        for (size_t i = 0; i < commit.count && !done && !tool_interrupted(); i++) {
            const sdb_change *change = &commit.changes[i];

            if (only && strcmp(change->keyspace_name, only) != 0) continue;
            if (!print_change(&render, &commit, change)) done = STATUS_FAILED;
        }
    }
    if (!done && status != SDB_OK && status != SDB_TIMEOUT)
        done = tool_fail_status(shell->tool, status);
    if (!render_end(&render, tool_interrupted()) || tool_interrupted()) done = STATUS_FAILED;
    return done;
}

int shell_changes_run(struct shell *shell, const struct args *args)
{
    const char *only = args->count ? args->operand[0].text : NULL;
    sdb_changes *from = NULL;
    sdb_keyspace *keyspace;
    uint64_t lsn = 0;
    int done = args_number(shell->tool, args, OPTION_LSN, 1, &lsn);

    if (!done && only) done = data_keyspace(shell->tool, shell->db, only, &keyspace);
    if (done) return done;
    if (lsn || !shell->changes) {
        /* Without a place of its own this says why there is none. */
        sdb_status status = sdb_changes_open(shell->db, lsn, 0, &from);

        if (status != SDB_OK) return tool_fail_status(shell->tool, status);
        done = print_all(shell, from, only);
        sdb_changes_close(from);
        return done;
    }
    done = print_all(shell, shell->changes, only);
    if (done) { /* its place may be lost: go on with what comes */
        shell_changes_end(shell);
        shell_changes_begin(shell);
    }
    return done;
}
