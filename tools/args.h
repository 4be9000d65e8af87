/* SPDX-License-Identifier: Apache-2.0 */
/*
 * args.h: options and operands of subcommands and of shell commands, and the help that lists them.
 *
 * There is one table of options; a command says which of them it takes. So an option has one
 * spelling and one meaning wherever it is allowed. Options may stand anywhere, as --name value or
 * --name=value; "--" ends them. Words that were quoted in the shell are never options.
 */
#ifndef SDB_TOOLS_ARGS_H
#define SDB_TOOLS_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tools/tool.h"

/* A word of a command: bytes followed by a NUL that does not count. */
struct word {
    const char *text;
    size_t size;
    bool quoted;
};

enum option_id {
    OPTION_HEX,
    OPTION_BASE64,
    OPTION_RAW,
    OPTION_KEYS,
    OPTION_PREFIX,
    OPTION_FROM,
    OPTION_TO,
    OPTION_REVERSE,
    OPTION_LIMIT,
    OPTION_FORMAT,
    OPTION_KEY,
    OPTION_VALUE,
    OPTION_SEPARATOR,
    OPTION_NO_HEADER,
    OPTION_COLUMNS,
    OPTION_DOCUMENTS,
    OPTION_KEEP_GOING,
    OPTION_BATCH,
    OPTION_PROGRESS_FD,
    OPTION_COMPRESSION,
    OPTION_TTL,
    OPTION_FORCE,
    OPTION_HOLES,
    OPTION_REWRITE,
    OPTION_COUNT,
    OPTION_NUM,
    OPTION_VALUE_SIZE,
    OPTION_APPROX,
    OPTION_JSON,
    OPTION_DURABILITY,
    OPTION_CACHE,
    OPTION_TXN_MEMORY,
    OPTION_LOG_COMPRESSION,
    OPTION_PAGE_SIZE,
    OPTION_READONLY,
    OPTION_DISCARD_LOG,
    OPTION_BACKEND,
    OPTION_ARCHIVE,
    OPTION_LOG,
    OPTION_UNTIL,
    OPTION_SNAPSHOT,
    OPTION_LSN,
    OPTION_VERSION,
    OPTION_HELP,
    OPTION_TOTAL
};

#define ACCEPT(id) ((uint64_t)1 << OPTION_##id)
/* How a database is opened. */
#define ACCEPT_OPENING                                                                             \
    (ACCEPT(DURABILITY) | ACCEPT(CACHE) | ACCEPT(TXN_MEMORY) | ACCEPT(LOG_COMPRESSION) |           \
     ACCEPT(PAGE_SIZE) | ACCEPT(READONLY) | ACCEPT(DISCARD_LOG) | ACCEPT(BACKEND) |                \
     ACCEPT(ARCHIVE))
/* The same for what makes no database. */
#define ACCEPT_READING (ACCEPT_OPENING & ~ACCEPT(PAGE_SIZE))
#define ACCEPT_RANGE   (ACCEPT(PREFIX) | ACCEPT(FROM) | ACCEPT(TO))

#define ARGS_MAX 8

struct args;
struct command {
    const char *name;     /* "kv get" */
    const char *operands; /* "FILE KEYSPACE KEY" */
    const char *about;    /* one line */
    const char *details;  /* paragraphs for the help, or NULL */
    uint64_t accepts;     /* ACCEPT_… */
    int least, most;      /* operands; most < 0: any number, and the first ends the options */
    int (*run)(struct tool *tool, const struct args *args); /* NULL in the shell's tables */
};

struct args {
    const struct command *command;
    const struct word
        *option[OPTION_TOTAL];              /* its value, or for a flag the word; NULL: not given */
    struct word inline_value[OPTION_TOTAL]; /* of --name=value */
    struct word operand[ARGS_MAX];
    const struct word *rest; /* all operands from the first, when `most` is negative */
    size_t count;            /* operands */
};

/* STATUS_DONE, or STATUS_MISUSED after a message. The words must outlive *out_args. */
int args_parse(const struct tool *tool, const struct command *command, const struct word *words,
               size_t count, struct args *out_args);

static inline bool args_has(const struct args *args, enum option_id id)
{
    return args->option[id] != NULL;
}

/* True when an option restricts a range. */
static inline bool args_narrow(const struct args *args)
{
    return args_has(args, OPTION_PREFIX) || args_has(args, OPTION_FROM) ||
           args_has(args, OPTION_TO);
}

/* The text of an option, or NULL. */
static inline const char *args_text(const struct args *args, enum option_id id)
{
    return args->option[id] ? args->option[id]->text : NULL;
}

/* A whole number of at least `least`; *out_number is left alone when the option was not given. */
int args_number(const struct tool *tool, const struct args *args, enum option_id id, uint64_t least,
                uint64_t *out_number);
/* Puts the options of ACCEPT_OPENING into tool->options. */
int args_opening(struct tool *tool, const struct args *args);

/* The name of an option, without its dashes. */
const char *args_option_name(enum option_id id);
/* The help of a command: usage, what it does, its options, exit status. */
void args_help(const struct command *command, const char *program, FILE *out);

#endif
