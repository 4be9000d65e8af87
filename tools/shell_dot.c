/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shell_dot.c
 *
 * Idea: commands that begin with a dot look at the database as a whole, or at the shell itself.
 *   Those that
 * do the work of a subcommand are that subcommand, on the database that is open.
 * Invariants: I1 none of them works inside a transaction that it could not see.
 * Not here: data commands (shell_data.c).
 */
#include <string.h>

#include "tools/commands.h"
#include "tools/data.h"
#include "tools/shell.h"

/* Files and checkpoints stand outside of a transaction that the shell has open. */
static int needs_no_transaction(const struct shell *shell)
{
    if (!shell->txn) return STATUS_DONE;
    return tool_fail(shell->tool, "a transaction is open; commit or rollback first");
}

static int take_switch(const struct shell *shell, const struct args *args, bool *out_on)
{
    const char *text = args->count ? args->operand[0].text : "";

    if (!args->count) {
        (void)printf("%s\n", *out_on ? "on" : "off");
    } else if (strcmp(text, "on") == 0 || strcmp(text, "off") == 0) {
        *out_on = text[1] == 'n';
    } else {
        return tool_misuse(shell->tool, "%s wants on or off, not '%s'", args->command->name, text);
    }
    return STATUS_DONE;
}

static void list_commands(const struct shell_command *table)
{
    for (; table->command.name; table++) {
        char head[64];

        (void)snprintf(head, sizeof head, "%s%s%s%s", table->command.name,
                       *table->command.operands ? " " : "", table->command.operands,
                       table->command.accepts ? " [OPTION...]" : "");
        if (strlen(head) > 32)
            (void)printf("  %s\n  %-32s %s\n", head, "", table->command.about);
        else
            (void)printf("  %-32s %s\n", head, table->command.about);
    }
}

static int run_help(struct shell *shell, const struct args *args)
{
    const struct shell_command *command;

    if (args->count) {
        command = shell_find(args->operand[0].text);
        if (!command)
            return tool_misuse(shell->tool, "there is no command '%s'", args->operand[0].text);
        args_help(&command->command, "", stdout);
        return STATUS_DONE;
    }
    (void)puts("Entries, keyspaces, transactions:");
    list_commands(shell_data_commands);
    (void)puts("\nThe database, the shell:");
    list_commands(shell_dot_commands);
    (void)puts(
        "\nA word is bare (up to a blank), 'as it is' ('' is a quote), \"with \\n \\t \\xNN\", or\n"
        "x'686578'. An open quote, or a backslash at the end, goes on in the next line. # begins\n"
        "a comment. Outside of begin and commit each change is a transaction of its own.");
    return STATUS_DONE;
}

static int run_keyspaces(struct shell *shell, const struct args *args)
{
    static const struct render_column columns[2] = {{"keyspace", false}, {"entries", true}};
    char name[SDB_KEYSPACE_NAME_MAX + 1] = "", number[24];
    struct data_view view = {0};
    bool count = args_has(args, OPTION_COUNT);
    struct render render;
    sdb_txn *txn = NULL;
    int done = STATUS_DONE;

    if (count) {
        sdb_status status = sdb_txn_begin(shell->db, SDB_TXN_READ, &txn);

        if (status != SDB_OK) return tool_fail_status(shell->tool, status);
    }
    render_begin(&render, shell->mode, columns, count ? 2 : 1, "keyspace/keyspaces", stdout);
    while (!done && data_next_keyspace(shell->db, name)) {
        sdb_slice cells[2] = {{name, strlen(name)}, {number, 0}};
        uint64_t entries = 0;
        sdb_keyspace *keyspace;

        if (count) done = data_keyspace(shell->tool, shell->db, name, &keyspace);
        if (count && !done) done = data_count(shell->tool, txn, keyspace, &view, &entries);
        (void)snprintf(number, sizeof number, "%llu", (unsigned long long)entries);
        cells[1].size = strlen(number);
        if (!done && !render_row(&render, cells)) done = STATUS_FAILED;
    }
    (void)render_end(&render, tool_interrupted());
    sdb_txn_abort(txn);
    return done;
}

static int run_stat(struct shell *shell, const struct args *args)
{
    (void)args;
    return stat_show(shell->tool, shell->db, shell->mode);
}

static int run_check(struct shell *shell, const struct args *args)
{
    (void)args;
    return check_show(shell->tool, shell->db, shell->mode == RENDER_JSON);
}

static int run_mode(struct shell *shell, const struct args *args)
{
    if (!args->count) {
        (void)printf("%s\n", render_mode_name(shell->mode));
        return STATUS_DONE;
    }
    if (render_mode_named(args->operand[0].text, &shell->mode)) return STATUS_DONE;
    return tool_misuse(shell->tool, ".mode wants table, json, csv or line, not '%s'",
                       args->operand[0].text);
}

static int run_import(struct shell *shell, const struct args *args)
{
    const char *keyspace = args->count > 1 ? args->operand[0].text : NULL;

    if (needs_no_transaction(shell)) return STATUS_FAILED;
    return import_into(shell->tool, &shell->db, args, keyspace,
                       args->operand[args->count - 1].text);
}

static int run_export(struct shell *shell, const struct args *args)
{
    const char *keyspace = args->count > 1 ? args->operand[0].text : NULL;

    if (needs_no_transaction(shell)) return STATUS_FAILED;
    return export_from(shell->tool, shell->db, args, keyspace, args->operand[args->count - 1].text);
}

static int run_backup(struct shell *shell, const struct args *args)
{
    if (needs_no_transaction(shell)) return STATUS_FAILED;
    return backup_to(shell->tool, shell->db, args->operand[0].text, shell->mode == RENDER_JSON);
}

static int run_snapshot(struct shell *shell, const struct args *args)
{
    const char *what = args->count ? args->operand[0].text : "list";
    bool make = strcmp(what, "make") == 0;

    if (args->count < 2 && strcmp(what, "list") == 0)
        return snapshot_list(shell->tool, shell->db, shell->mode);
    if (args->count < 2 || (!make && strcmp(what, "drop") != 0))
        return tool_misuse(shell->tool, ".snapshot wants make NAME, drop NAME, or nothing: then it "
                           "lists them");
    if (needs_no_transaction(shell)) return STATUS_FAILED;
    return snapshot_change(shell->tool, shell->db, args->operand[1].text, make,
                           shell->mode == RENDER_JSON);
}

static int run_expire(struct shell *shell, const struct args *args)
{
    return expire_show(shell->tool, shell->db, args, shell->mode == RENDER_JSON);
}

static int run_timing(struct shell *shell, const struct args *args)
{
    return take_switch(shell, args, &shell->timing);
}

static int run_bail(struct shell *shell, const struct args *args)
{
    return take_switch(shell, args, &shell->bail);
}

static int run_open(struct shell *shell, const struct args *args)
{
    if (needs_no_transaction(shell)) return STATUS_FAILED;
    return shell_open(shell, args->operand[0].text);
}

static int run_quit(struct shell *shell, const struct args *args)
{
    (void)args;
    shell->leave = true;
    return STATUS_DONE;
}

/* clang-format off */
const struct shell_command shell_dot_commands[] = {
    {{".help", "[COMMAND]",
      "List the commands, or describe one", NULL, 0, 0, 1, NULL}, run_help, false},
    {{".keyspaces", "",
      "List the keyspaces", NULL, ACCEPT(COUNT), 0, 0, NULL}, run_keyspaces, false},
    {{".stat", "", "Print sizes and counters", NULL, 0, 0, 0, NULL}, run_stat, false},
    {{".check", "",
      "Write a checkpoint, read everything back and verify it",
      NULL, 0, 0, 0, NULL}, run_check, false},
    {{".mode", "[table|json|csv|line]",
      "Choose how results are printed, or say how they are", NULL, 0, 0, 1, NULL}, run_mode, false},
    {{".import", "[KEYSPACE] SOURCE",
      "Read csv, tsv, JSON lines, words or a dump; see sdb help import",
      NULL, ACCEPT_IMPORT, 1, 2, NULL}, run_import, true},
    {{".export", "[KEYSPACE] TARGET",
      "Write csv, tsv, JSON lines, words or a dump; see sdb help export",
      NULL, ACCEPT_EXPORT, 1, 2, NULL}, run_export, true},
    {{".backup", "TARGET",
      "Copy the database, as of now, to a new file", NULL, 0, 1, 1, NULL}, run_backup, false},
    {{".snapshot", "[make|drop NAME]",
      "Keep the database as it is under a name, let one go, or list them", NULL, 0, 0, 2, NULL},
     run_snapshot, false},
    {{".changes", "[KEYSPACE]",
      "List what was committed since the shell opened the file, or since the last .changes",
      "One row a change: the number of its commit, the place in the log behind it, what was done,\n"
      "and where. Of several changes of a transaction to one key only the last is there. Of\n"
      "delrange, key and value are the bounds; of merge the value is the operand. A large commit\n"
      "comes in parts, with its own place before the last: --lsn begins there again. A checkpoint\n"
      "removes what is older than 16 MiB of log; what is gone is said. What other processes did\n"
      "cannot be seen: a file is open for writing in one. Programs follow with sdb/changes.h.",
      ACCEPT(LSN), 0, 1, NULL}, shell_changes_run, true},
    {{".expire", "",
      "Remove values that have expired from the file",
      NULL, ACCEPT(LIMIT), 0, 0, NULL}, run_expire, false},
    {{".timing", "[on|off]",
      "Print how long each command took", NULL, 0, 0, 1, NULL}, run_timing, false},
    {{".bail", "[on|off]",
      "End a script at its first error (on), or go on", NULL, 0, 0, 1, NULL}, run_bail, false},
    {{".open", "FILE",
      "Close this database and open another", NULL, 0, 1, 1, NULL}, run_open, false},
    {{".quit", "", "Leave", NULL, 0, 0, 0, NULL}, run_quit, false},
    {{NULL, NULL, NULL, NULL, 0, 0, 0, NULL}, NULL, false},
};
/* clang-format on */
