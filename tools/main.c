/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c: the sdb program: a table of subcommands, and the shell for everything else.
 *
 * Idea: `sdb NAME …` is a subcommand if NAME is one, otherwise NAME is a database. A name that is
 *   neither a
 * subcommand nor a file, and does not look like a path, is taken for a slip of the fingers.
 * Invariants: I1 no database is made under a name that looks like a misspelt subcommand.
 * Not here: what the subcommands do (cmd_….c, import.c, export.c), the shell (shell.h).
 */
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/commands.h"
#include "tools/shell.h"

#define ACCEPT_BYTES (ACCEPT(HEX) | ACCEPT(BASE64))

static const char bytes_details[] =
    "KEY and VALUE are text as given. @NAME reads the bytes from a file, - from standard\n"
    "input, both as they are; @@x means the text @x. Put -- before a KEY that begins with -.";
static const char import_details[] =
    "The format follows from the ending of SOURCE (.csv .tsv .jsonl .ndjson .txt .dump), or from\n"
    "--format; - is standard input.\n"
    "  csv, tsv  The first row names the columns. The key is the column --key, or the first; the\n"
    "            value is the other columns as a JSON object, or the one column --value.\n"
    "  jsonl     With --key FIELD that field of each line's object is the key and the line the\n"
    "            value, or the field --value. Without, lines are what an export writes.\n"
    "  lines     Each line is a key, its number the value.\n"
    "  dump      What export wrote. Without KEYSPACE all its keyspaces under their own names.\n"
    "All or nothing: if a row is bad, it is named with its line, and nothing is imported.\n"
    "A key that is there already gets the new value; of rows with the same key the last counts.\n"
    "With --ttl all values expire so long after the import began to put them, whatever the\n"
    "keyspace's time to live, and whatever a dump says of them.\n"
    "The keyspace is made if need be.";
static const char export_details[] =
    "The format follows from the ending of TARGET (.csv .tsv .jsonl .ndjson .txt .dump), or from\n"
    "--format; - is standard output. The export shows one instant, while others may write.\n"
    "  csv, tsv  Columns key (or --key NAME) and value; or with --columns the fields of values\n"
    "            that are JSON objects.\n"
    "  jsonl     {\"key\":...,\"value\":...}; key_base64 and value_base64 for bytes that are not\n"
    "            UTF-8. With --documents the values alone.\n"
    "  lines     The keys alone.\n"
    "  dump      Binary, with checksums. Without KEYSPACE all keyspaces.\n"
    "A file that is there is not replaced without --force.";
static const char bench_details[] =
    "Makes a database in a folder of its own in DIR (the current folder), and removes it at the\n"
    "end. It is filled in order and at random, overwritten, read at random, for keys that are not\n"
    "there, forwards and backwards, from random places on, and emptied; fillsync then commits a\n"
    "hundredth of the entries one by one, each on disk when the call returns. Every result is\n"
    "verified. CPU is of the whole program, checkpoints included, for each operation; a step of a\n"
    "scan is one, and a seek with the 10 entries behind it.";
static const char restore_details[] =
    "With --archive and --log the copy is rolled forward with the log that was kept while the\n"
    "database was open with --archive, and with the log that a crash left: up to --until, or as\n"
    "far as the log goes. FILE must be free then. What lacks is said; nothing is made in part.";
static const char snapshot_details[] =
    "What changes afterwards stays in the file beside the new, until the snapshot is dropped. It\n"
    "is read with --snapshot NAME by kv get, ttl, scan and count, export and backup.";
static const char shell_details[] =
    "Reads commands from the terminal, or from standard input when that is none: then it ends at\n"
    "the first error with status 1. With COMMAND it runs that one command and ends. FILE is made\n"
    "if it is not there. .help in the shell lists the commands.";

/* The shell, as a command of its own: FILE, then words that are left alone. */
static const struct command shell_command = {"",
                                             "FILE [COMMAND...]",
                                             "Open a database in the shell",
                                             shell_details,
                                             ACCEPT_OPENING | ACCEPT(VERSION),
                                             1,
                                             -1,
                                             NULL};

/* clang-format off */
const struct command commands[] = {
    {"kv get", "FILE KEYSPACE KEY",
     "Print the value of a key",
     bytes_details, ACCEPT_BYTES | ACCEPT(RAW) | ACCEPT(JSON) | ACCEPT_READING | ACCEPT(SNAPSHOT),
     3, 3, cmd_kv_get},
    {"kv put", "FILE KEYSPACE KEY VALUE",
     "Set a key to a value; file and keyspace are made if need be",
     bytes_details, ACCEPT(TTL) | ACCEPT_BYTES | ACCEPT_OPENING, 4, 4, cmd_kv_put},
    {"kv merge", "FILE KEYSPACE KEY OPERATOR OPERAND",
     "Merge into a value: add NUMBER, append, max, min BYTES, union ELEMENT",
     bytes_details, ACCEPT_BYTES | ACCEPT_OPENING, 5, 5, cmd_kv_merge},
    {"kv del", "FILE KEYSPACE KEY",
     "Remove a key", bytes_details, ACCEPT_BYTES | ACCEPT_READING, 3, 3, cmd_kv_del},
    {"kv ttl", "FILE KEYSPACE KEY",
     "Print how long a value has still to live, or (--ttl) set it",
     bytes_details, ACCEPT(TTL) | ACCEPT_BYTES | ACCEPT(JSON) | ACCEPT_READING | ACCEPT(SNAPSHOT),
     3, 3, cmd_kv_ttl},
    {"kv delrange", "FILE KEYSPACE",
     "Remove all keys of a range, at once",
     bytes_details, ACCEPT_RANGE | ACCEPT_BYTES | ACCEPT_READING, 2, 2, cmd_kv_delrange},
    {"kv scan", "FILE KEYSPACE",
     "Print entries in the order of their keys, a line each",
     bytes_details, ACCEPT_RANGE | ACCEPT(REVERSE) | ACCEPT(LIMIT) | ACCEPT(KEYS) | ACCEPT_BYTES |
     ACCEPT(RAW) | ACCEPT(JSON) | ACCEPT_READING | ACCEPT(SNAPSHOT), 2, 2, cmd_kv_scan},
    {"kv count", "FILE KEYSPACE",
     "Count entries",
     bytes_details, ACCEPT_RANGE | ACCEPT(APPROX) | ACCEPT_BYTES | ACCEPT(JSON) |
     ACCEPT_READING | ACCEPT(SNAPSHOT), 2, 2, cmd_kv_count},
    {"kv train", "FILE KEYSPACE",
     "Train a dictionary for a keyspace compressed with zstd, if its pages become smaller by it",
     NULL, ACCEPT(REWRITE) | ACCEPT(JSON) | (ACCEPT_READING & ~ACCEPT(READONLY)), 2, 2,
     cmd_kv_train},
    {"import", "FILE [KEYSPACE] SOURCE",
     "Read entries from a file", import_details, ACCEPT_IMPORT | ACCEPT_OPENING, 2, 3, cmd_import},
    {"export", "FILE [KEYSPACE] TARGET",
     "Write entries to a file",
     export_details, ACCEPT_EXPORT | ACCEPT_READING | ACCEPT(SNAPSHOT), 2, 3, cmd_export},
    {"backup", "FILE TARGET",
     "Copy a database, as of one instant, to a new file",
     NULL, ACCEPT(JSON) | ACCEPT_READING | ACCEPT(SNAPSHOT), 2, 2, cmd_backup},
    {"restore", "BACKUP FILE",
     "Verify a backup, copy it to FILE, and verify the copy",
     restore_details, ACCEPT(FORCE) | ACCEPT(ARCHIVE) | ACCEPT(LOG) | ACCEPT(UNTIL) | ACCEPT(JSON),
     2, 2, cmd_restore},
    {"bench", "[DIR]",
     "Measure this machine with a database of its own, in about 20 seconds",
     bench_details, ACCEPT(NUM) | ACCEPT(VALUE_SIZE) | ACCEPT(CACHE) | ACCEPT(JSON), 0, 1,
     cmd_bench},
    {"check", "FILE",
     "Read a database that is not open and verify every byte in use",
     "Prints \"sound\" and what was read, or each thing that is damaged, with status 1.",
     ACCEPT(JSON) | ACCEPT(CACHE) | ACCEPT(BACKEND), 1, 1, cmd_check},
    {"stat", "FILE",
     "Print sizes and counters", NULL, ACCEPT(JSON) | ACCEPT_READING, 1, 1, cmd_stat},
    {"checkpoint", "FILE",
     "Recover if need be, and write everything into the database file",
     NULL, ACCEPT(JSON) | (ACCEPT_READING & ~ACCEPT(READONLY)), 1, 1, cmd_checkpoint},
    {"vacuum", "FILE",
     "Give free space in the file back to the file system",
     NULL, ACCEPT(HOLES) | ACCEPT(JSON) | (ACCEPT_READING & ~ACCEPT(READONLY)), 1, 1, cmd_vacuum},
    {"snapshot make", "FILE NAME",
     "Keep the database as it is now, under a name",
     snapshot_details, ACCEPT(JSON) | (ACCEPT_READING & ~ACCEPT(READONLY)), 2, 2,
     cmd_snapshot_make},
    {"snapshot list", "FILE",
     "List the snapshots: name, when it was made, its last commit",
     NULL, ACCEPT(JSON) | ACCEPT_READING, 1, 1, cmd_snapshot_list},
    {"snapshot drop", "FILE NAME",
     "Let a snapshot go; the space that only it needed becomes free",
     NULL, ACCEPT(JSON) | (ACCEPT_READING & ~ACCEPT(READONLY)), 2, 2, cmd_snapshot_drop},
    {"expire", "FILE",
     "Remove values that have expired from the file",
     NULL, ACCEPT(LIMIT) | ACCEPT(JSON) | (ACCEPT_READING & ~ACCEPT(READONLY)), 1, 1, cmd_expire},
    {"version", "", "Print the version", NULL, ACCEPT(JSON), 0, 0, cmd_version},
    {"help", "[COMMAND]", "List the commands, or describe one", NULL, 0, 0, 2, cmd_help},
    {NULL, NULL, NULL, NULL, 0, 0, 0, NULL},
};
/* clang-format on */

/* ---- finding a command -------------------------------------------------------------------- */

/*
 * The command that words begin with, and in *out_used how many of them it takes; NULL if there is
 * none.
 */
static const struct command *find_command(const struct word *words, size_t count, size_t *out_used)
{
    for (const struct command *command = commands; command->name; command++) {
        const char *space = strchr(command->name, ' ');
        size_t size = space ? (size_t)(space - command->name) : strlen(command->name);

        if (!count || words[0].size != size || memcmp(words[0].text, command->name, size) != 0)
            continue;
        if (space && (count < 2 || strcmp(words[1].text, space + 1) != 0)) continue;
        *out_used = space ? 2 : 1;
        return command;
    }
    return NULL;
}

/* The second words of the commands that begin with `group`, ended by NULL; how many. */
static size_t words_of(const char *group, const char *names[16])
{
    size_t size = strlen(group), count = 0;

    for (const struct command *command = commands; command->name; command++)
        if (strncmp(command->name, group, size) == 0 && command->name[size] == ' ')
            names[count++] = command->name + size + 1;
    names[count] = NULL;
    return count;
}

/* A first word that is no command by itself. */
static bool is_group(const char *name)
{
    return strcmp(name, "kv") == 0 || strcmp(name, "snapshot") == 0;
}

/* The subcommand that `name` may mean, or NULL. */
static const char *suggest(const char *name)
{
    const char *names[32];
    size_t count = 0;

    for (const struct command *command = commands; command->name; command++)
        if (!strchr(command->name, ' ')) names[count++] = command->name;
    names[count++] = "kv";
    names[count++] = "snapshot";
    names[count] = NULL;
    return tool_nearest(name, names);
}

/* There is no command `group` with the second word `name`, which may be missing: "". */
static int unknown_in(const struct tool *tool, const char *group, const char *name)
{
    const char *names[16], *meant;
    char list[200] = "";
    size_t count = words_of(group, names), at = 0;

    for (size_t i = 0; i < count; i++)
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", i ? ", " : "", names[i]);
    if (!*name) return tool_misuse(tool, "%s wants one of %s", group, list);
    meant = tool_nearest(name, names);
    if (meant)
        return tool_misuse(tool, "there is no '%s %s'; did you mean '%s %s'?", group, name, group,
                           meant);
    return tool_misuse(tool, "there is no '%s %s'; it wants one of %s", group, name, list);
}

/* Whether `name` can be a database: it is there, or it looks like a path. */
static bool may_be_file(const char *name)
{
    return strpbrk(name, "./:") || access(name, F_OK) == 0;
}

static int no_such_name(const struct tool *tool, const char *name)
{
    const char *meant = suggest(name);

    if (meant)
        return tool_misuse(tool, "'%s' is neither a command nor a file; did you mean '%s'?", name,
                           meant);
    return tool_misuse(tool,
                       "'%s' is neither a command nor a file; a new database of that name is "
                       "made by 'sdb ./%s'",
                       name, name);
}

/* ---- help --------------------------------------------------------------------------------- */

static void print_overview(FILE *out)
{
    (void)fputs("sdb: an embedded database in one file\n\n"
                "usage: sdb FILE                 the shell\n"
                "       sdb FILE COMMAND...      one command of the shell\n"
                "       sdb NAME ...             one of these:\n\n",
                out);
    for (const struct command *command = commands; command->name; command++) {
        char head[64];

        (void)snprintf(head, sizeof head, "%s %s", command->name, command->operands);
        (void)fprintf(out, "  %-31s %s\n", head, command->about);
    }
    (void)fputs("\n'sdb help NAME' tells more; 'sdb help shell' about the shell.\n", out);
}

static int no_such_command(const struct tool *tool, const char *name)
{
    const char *meant = suggest(name);

    if (meant)
        return tool_misuse(tool, "there is no command '%s'; did you mean '%s'?", name, meant);
    return tool_misuse(tool, "there is no command '%s'", name);
}

static void print_group(const char *group)
{
    const char *names[16];
    size_t size = strlen(group);

    for (const struct command *command = commands; command->name; command++)
        if (strncmp(command->name, group, size) == 0 && command->name[size] == ' ')
            (void)printf("sdb %s %s\n    %s.\n", command->name, command->operands, command->about);
    (void)words_of(group, names);
    (void)printf("\n'sdb help %s %s' and so on tell more.\n", group, names[0]);
}

int cmd_help(struct tool *tool, const struct args *args)
{
    const struct command *command;
    size_t used = 0;

    if (!args->count) {
        print_overview(stdout);
        return STATUS_DONE;
    }
    if (strcmp(args->operand[0].text, "shell") == 0) {
        args_help(&shell_command, "sdb", stdout);
        return STATUS_DONE;
    }
    command = find_command(args->operand, args->count, &used);
    if (command && used == args->count) {
        args_help(command, "sdb ", stdout);
        return STATUS_DONE;
    }
    if (is_group(args->operand[0].text) && args->count == 1) {
        print_group(args->operand[0].text);
        return STATUS_DONE;
    }
    if (is_group(args->operand[0].text))
        return unknown_in(tool, args->operand[0].text, args->operand[1].text);
    tool->command = NULL;
    return no_such_command(tool, args->operand[0].text);
}

/* ---- running ------------------------------------------------------------------------------ */

static int run_shell(struct tool *tool, const struct word *words, size_t count)
{
    struct args args;
    const char *path;
    int done = args_parse(tool, &shell_command, words, count, &args);

    if (done) return done;
    if (args_has(&args, OPTION_HELP)) {
        print_overview(stdout);
        return STATUS_DONE;
    }
    if (args_has(&args, OPTION_VERSION)) return cmd_version(tool, &args);
    done = args_opening(tool, &args);
    if (done) return done;
    path = args.operand[0].text;
    if (!may_be_file(path)) return no_such_name(tool, path);
    return args.count > 1 ? shell_once(tool, path, args.rest, args.count - 1)
                          : shell_main(tool, path);
}

static int run(struct tool *tool, const struct word *words, size_t count)
{
    const struct command *command;
    struct args args;
    size_t used = 0;
    int done;

    if (!count) {
        print_overview(stderr);
        return STATUS_MISUSED;
    }
    command = find_command(words, count, &used);
    if (!command && is_group(words[0].text)) {
        if (count < 2 || strcmp(words[1].text, "--help") != 0)
            return unknown_in(tool, words[0].text, count > 1 ? words[1].text : "");
        print_group(words[0].text);
        return STATUS_DONE;
    }
    if (!command) return run_shell(tool, words, count);
    tool->command = command->name;
    done = args_parse(tool, command, words + used, count - used, &args);
    if (done) return done;
    if (args_has(&args, OPTION_HELP)) {
        args_help(command, "sdb ", stdout);
        return STATUS_DONE;
    }
    return command->run(tool, &args);
}

int main(int argc, char **argv)
{
    struct tool tool = {.options = SDB_OPTIONS_INIT};
    struct word *words = calloc((size_t)argc + 1, sizeof *words);
    int done;

    (void)setlocale(LC_CTYPE, "");
    tool_catch_signals(false);
    if (!words) return tool_fail(&tool, "there is no memory for the arguments");
    for (int i = 1; i < argc; i++) words[i - 1] = (struct word){argv[i], strlen(argv[i]), false};
    done = run(&tool, words, argc > 0 ? (size_t)argc - 1 : 0);
    free(words);
    return tool_finish(&tool, done);
}
