/* SPDX-License-Identifier: Apache-2.0 */
/*
 * args.c
 *
 * Idea: parsing and help read the same table, so that neither can know an option which the other
 *   does not.
 * Invariants: I1 after STATUS_DONE every given option is one that the command takes, flags have no
 *   value, the others have one, and the number of operands fits.
 * Costs: a look through the table for each option.
 * Not here: what options mean, except those that open a database.
 */
#include "tools/args.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;  /* without its dashes */
    const char *value; /* what the help calls its value; NULL: a flag */
    const char *help;
} table[OPTION_TOTAL] = {
    [OPTION_HEX] = {"hex", NULL, "keys and values are hex digits, in and out"},
    [OPTION_BASE64] = {"base64", NULL, "keys and values are base64, in and out"},
    [OPTION_RAW] = {"raw", NULL, "print bytes as they are: no quotes, no newline after a value"},
    [OPTION_APPROX] = {"approx", NULL, "estimate, from a few pages"},
    [OPTION_KEYS] = {"keys", NULL, "print keys only"},
    [OPTION_PREFIX] = {"prefix", "BYTES", "only keys that begin with this"},
    [OPTION_FROM] = {"from", "KEY", "only keys from this one on"},
    [OPTION_TO] = {"to", "KEY", "only keys before this one"},
    [OPTION_REVERSE] = {"reverse", NULL, "from the last key to the first"},
    [OPTION_LIMIT] = {"limit", "N", "at most N entries"},
    [OPTION_FORMAT] = {"format", "csv|tsv|jsonl|lines|dump",
                       "instead of what the file's name says"},
    [OPTION_KEY] = {"key", "NAME", "the column or field of the key"},
    [OPTION_VALUE] = {"value", "NAME", "take this column or field alone as the value"},
    [OPTION_SEPARATOR] = {"separator", "C", "what stands between columns: one byte, or tab"},
    [OPTION_NO_HEADER] = {"no-header", NULL, "no first row with names: columns are 1, 2, ..."},
    [OPTION_COLUMNS] = {"columns", "all|A,B,...", "csv, tsv: spread JSON values over columns"},
    [OPTION_DOCUMENTS] = {"documents", NULL, "jsonl: each line is a value, which must be JSON"},
    [OPTION_KEEP_GOING] = {"keep-going", NULL, "skip bad rows and say how many there were"},
    [OPTION_BATCH] = {"batch", "N", "commit each N rows: then it is not all or nothing"},
    [OPTION_PROGRESS_FD] = {"progress-fd", "FD",
                            "write \"committed ROWS\" there after each commit"},
    [OPTION_COMPRESSION] = {"compression", "none|lz4|zstd[:LEVEL]",
                            "of pages in the file, if the keyspace is made (default none)"},
    [OPTION_TTL] = {"ttl", "DURATION|none", "how long values live, as 30s, 15m, 12h or 7d"},
    [OPTION_HOLES] = {"holes", NULL, "move nothing; make holes of free space inside the file"},
    [OPTION_REWRITE] = {"rewrite", NULL, "write all pages anew; otherwise those that change"},
    [OPTION_FORCE] = {"force", NULL, "replace a file that is there"},
    [OPTION_COUNT] = {"count", NULL, "count the entries too"},
    [OPTION_NUM] = {"num", "N", "entries (default 500000)"},
    [OPTION_VALUE_SIZE] = {"value-size", "SIZE", "bytes of a value (default 100)"},
    [OPTION_JSON] = {"json", NULL, "print facts as JSON, one object a line"},
    [OPTION_DURABILITY] = {"durability", "full|group|none",
                           "what a commit survives (default full)"},
    [OPTION_CACHE] = {"cache", "SIZE", "memory for pages, as 64M or 2G (default 256M)"},
    [OPTION_TXN_MEMORY] = {"txn-memory", "SIZE",
                           "of a transaction; more goes into the file (default 64M)"},
    [OPTION_LOG_COMPRESSION] = {"log-compression", "none|lz4", "of commits in the log"},
    [OPTION_PAGE_SIZE] = {"page-size", "SIZE", "of a new database: 4K to 64K (default 8K)"},
    [OPTION_READONLY] = {"readonly", NULL, "change nothing; fails if a crash left work to recover"},
    [OPTION_DISCARD_LOG] = {"discard-log", NULL,
                            "open without a missing or damaged log: "
                            "its commits are lost"},
    [OPTION_BACKEND] = {"backend", "auto|io_uring|posix", "how files are read and written"},
    [OPTION_ARCHIVE] = {"archive", "FOLDER", "where the log is kept, to roll a backup forward"},
    [OPTION_LOG] = {"log", "FOLDER", "the -wal folder that a crash left"},
    [OPTION_UNTIL] = {"until", "TIME|commit:N|lsn:N",
                      "the last moment, as 2026-01-31T12:34:56Z, or commit, or end of the log"},
    [OPTION_SNAPSHOT] = {"snapshot", "NAME", "as of a snapshot"},
    [OPTION_LSN] = {"lsn", "LSN", "from this place in the log, a next_lsn printed before"},
    [OPTION_VERSION] = {"version", NULL, "print the version"},
    [OPTION_HELP] = {"help", NULL, "print this help"},
};

const char *args_option_name(enum option_id id)
{
    return table[id].name;
}

static const char *suggest_option(const struct command *command, const char *name)
{
    const char *names[OPTION_TOTAL + 1];
    size_t count = 0;

    for (int id = 0; id < OPTION_TOTAL; id++)
        if (command->accepts >> id & 1 || id == OPTION_HELP) names[count++] = table[id].name;
    names[count] = NULL;
    return tool_nearest(name, names);
}

/* The option that text[0…size) names and the command takes, or -1. */
static int find_option(const struct command *command, const char *text, size_t size)
{
    for (int id = 0; id < OPTION_TOTAL; id++) {
        if (!(command->accepts >> id & 1) && id != OPTION_HELP) continue;
        if (strlen(table[id].name) == size && memcmp(table[id].name, text, size) == 0) return id;
    }
    return -1;
}

static int unknown_option(const struct tool *tool, const struct command *command, const char *text,
                          size_t size)
{
    char name[64];
    const char *meant;

    if (size < 2 || text[1] != '-' || size - 2 >= sizeof name)
        return tool_misuse(tool, "there is no option '%s'; put -- before it if it is none", text);
    memcpy(name, text + 2, size - 2);
    name[size - 2] = '\0';
    meant = suggest_option(command, name);
    if (meant)
        return tool_misuse(tool, "there is no option '--%s'; did you mean '--%s'?", name, meant);
    return tool_misuse(tool, "there is no option '--%s'", name);
}

/* Takes the option in words[*at], and its value, which may be the next word. */
static int take_option(const struct tool *tool, const struct command *command,
                       const struct word *words, size_t count, size_t *at, struct args *args)
{
    const struct word *word = &words[*at];
    const char *equals = memchr(word->text, '=', word->size);
    size_t size = equals ? (size_t)(equals - word->text) : word->size;
    int id = size > 2 && word->text[1] == '-' ? find_option(command, word->text + 2, size - 2) : -1;

    if (id < 0) return unknown_option(tool, command, word->text, size);
    if (args->option[id]) return tool_misuse(tool, "--%s is there twice", table[id].name);
    if (!table[id].value) {
        if (equals) return tool_misuse(tool, "--%s takes no value", table[id].name);
        args->option[id] = word;
    } else if (equals) {
        args->inline_value[id] = (struct word){equals + 1, word->size - size - 1, true};
        args->option[id] = &args->inline_value[id];
    } else {
        if (*at + 1 == count) return tool_misuse(tool, "--%s wants a value", table[id].name);
        args->option[id] = &words[++*at];
    }
    return STATUS_DONE;
}

static int check_count(const struct tool *tool, const struct command *command,
                       const struct args *args)
{
    const char *space = *command->operands ? " " : "";

    if (args_has(args, OPTION_HELP) || args_has(args, OPTION_VERSION)) return STATUS_DONE;
    if ((int)args->count < command->least)
        return tool_misuse(tool, "%s: something is missing; it wants %s%s%s", command->name,
                           command->name, space, command->operands);
    if (command->most >= 0 && (int)args->count > command->most)
        return tool_misuse(tool, "%s: '%s' is too much; it wants %s%s%s", command->name,
                           args->operand[command->most].text, command->name, space,
                           command->operands);
    return STATUS_DONE;
}

int args_parse(const struct tool *tool, const struct command *command, const struct word *words,
               size_t count, struct args *out_args)
{
    bool options_ended = false;

    memset(out_args, 0, sizeof *out_args);
    out_args->command = command;
    for (size_t at = 0; at < count; at++) {
        const struct word *word = &words[at];

        if (!options_ended && !word->quoted && word->size > 1 && word->text[0] == '-') {
            int status;

            if (strcmp(word->text, "--") == 0) {
                options_ended = true;
                continue;
            }
            status = take_option(tool, command, words, count, &at, out_args);
            if (status) return status;
            continue;
        }
        if (command->most < 0 && out_args->count == (size_t)command->least) {
            out_args->rest = word;
            out_args->count += count - at;
            break;
        }
        if (out_args->count < ARGS_MAX) out_args->operand[out_args->count] = *word;
        out_args->count++;
    }
    return check_count(tool, command, out_args);
}

int args_number(const struct tool *tool, const struct args *args, enum option_id id, uint64_t least,
                uint64_t *out_number)
{
    const char *text = args_text(args, id);
    unsigned long long number;
    char *end;

    if (!text) return STATUS_DONE;
    errno = 0;
    number = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || number < least)
        return tool_misuse(tool, "--%s wants a whole number from %llu on, not '%s'", table[id].name,
                           (unsigned long long)least, text);
    *out_number = number;
    return STATUS_DONE;
}

/* ---- opening ------------------------------------------------------------------------------ */

/* The place of the option's value in a list of words, or -1 after a message. */
static int one_of(const struct tool *tool, const struct args *args, enum option_id id,
                  const char *const *list)
{
    const char *text = args_text(args, id);

    for (int i = 0; list[i]; i++)
        if (strcmp(list[i], text) == 0) return i;
    (void)tool_misuse(tool, "--%s wants one of %s, not '%s'", table[id].name, table[id].value,
                      text);
    return -1;
}

static int take_size(const struct tool *tool, const struct args *args, enum option_id id,
                     uint64_t *out_bytes)
{
    const char *text = args_text(args, id);

    if (!text || tool_parse_size(text, out_bytes)) return STATUS_DONE;
    return tool_misuse(tool, "--%s wants a size such as 8K or 64M, not '%s'", table[id].name, text);
}

int args_opening(struct tool *tool, const struct args *args)
{
    static const char *const levels[] = {"full", "group", "none", NULL};
    static const char *const packings[] = {"none", "lz4", NULL};
    static const char *const backends[] = {"auto", "io_uring", "posix", NULL};
    sdb_options *options = &tool->options;
    uint64_t page_size = 0;
    int choice;

    if (args_has(args, OPTION_DURABILITY)) {
        choice = one_of(tool, args, OPTION_DURABILITY, levels);
        if (choice < 0) return STATUS_MISUSED;
        options->durability = (sdb_durability)(SDB_DURABILITY_FULL + choice);
    }
    if (args_has(args, OPTION_BACKEND)) {
        choice = one_of(tool, args, OPTION_BACKEND, backends);
        if (choice < 0) return STATUS_MISUSED;
        options->backend = (sdb_backend)choice;
    }
    if (args_has(args, OPTION_LOG_COMPRESSION)) {
        choice = one_of(tool, args, OPTION_LOG_COMPRESSION, packings);
        if (choice < 0) return STATUS_MISUSED;
        options->log_compression = (sdb_compression)choice;
    }
    if (take_size(tool, args, OPTION_CACHE, &options->cache_bytes)) return STATUS_MISUSED;
    if (take_size(tool, args, OPTION_TXN_MEMORY, &options->txn_memory_bytes))
        return STATUS_MISUSED;
    if (take_size(tool, args, OPTION_PAGE_SIZE, &page_size)) return STATUS_MISUSED;
    if (args_has(args, OPTION_PAGE_SIZE) &&
        (page_size < 4096 || page_size > 65536 || (page_size & (page_size - 1))))
        return tool_misuse(tool, "--page-size wants 4K, 8K, 16K, 32K or 64K, not '%s'",
                           args_text(args, OPTION_PAGE_SIZE));
    options->page_size = (uint32_t)page_size;
    options->archive_folder = args_text(args, OPTION_ARCHIVE);
    tool->snapshot = args_text(args, OPTION_SNAPSHOT);
    if (args_has(args, OPTION_READONLY)) options->flags |= SDB_OPEN_READONLY;
    if (args_has(args, OPTION_DISCARD_LOG)) options->flags |= SDB_OPEN_DISCARD_LOG;
    return STATUS_DONE;
}

/* ---- help --------------------------------------------------------------------------------- */

void args_help(const struct command *command, const char *program, FILE *out)
{
    uint64_t accepts = command->accepts;

    (void)fprintf(out, "usage: %s%s%s%s%s\n\n%s.\n", program, command->name,
                  accepts ? " [OPTION...]" : "", *command->operands ? " " : "", command->operands,
                  command->about);
    if (command->details) (void)fprintf(out, "\n%s\n", command->details);
    if (*program) accepts |= ACCEPT(HELP);
    if (accepts) (void)fputs("\nOptions:\n", out);
    for (int id = 0; id < OPTION_TOTAL; id++) {
        char head[64];

        if (!(accepts >> id & 1)) continue;
        (void)snprintf(head, sizeof head, "--%s%s%s", table[id].name, table[id].value ? " " : "",
                       table[id].value ? table[id].value : "");
        if (strlen(head) > 25)
            (void)fprintf(out, "  %s\n  %-25s %s\n", head, "", table[id].help);
        else
            (void)fprintf(out, "  %-25s %s\n", head, table[id].help);
    }
    if (*program) (void)fputs("\nExit status: 0 done, 1 failed or not found, 2 misused.\n", out);
}
