/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool.h: what every part of the sdb program shares: how it speaks, how it opens databases, how it
 * is interrupted, and how it ends.
 *
 * Exit status: 0 done, 1 failed or not found, 2 misused. Facts go to standard output, everything
 *   else
 * to standard error, as "sdb: FILE: sentence".
 */
#ifndef SDB_TOOLS_TOOL_H
#define SDB_TOOLS_TOOL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sdb/sdb.h>

enum { STATUS_DONE = 0, STATUS_FAILED = 1, STATUS_MISUSED = 2 };

struct tool {
    const char *path;    /* of the database that is worked on, for messages; NULL: none */
    const char *command; /* the command that runs, for messages; NULL: none */
    bool in_shell;       /* it is a command of the shell */
    uint64_t line;       /* of the script that runs; 0: none */
    sdb_options options; /* for sdb_open */
    const char *snapshot; /* the one to read; NULL: the database as it is */
    sdb_db *beneath;      /* what that was opened from */
};

/* Says what went wrong. Always STATUS_FAILED. */
int tool_fail(const struct tool *tool, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Says what was asked wrongly, and where the help is. Always STATUS_MISUSED. */
int tool_misuse(const struct tool *tool, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Says what sdb_errmsg() says; `status` is what the call answered. Always STATUS_FAILED. */
int tool_fail_status(const struct tool *tool, sdb_status status);
/* Says something that is no failure, on standard error. */
void tool_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

enum tool_access {
    TOOL_READ,  /* for reading where that can be; recovers first where it must */
    TOOL_WRITE, /* a database that is there */
    TOOL_MAKE   /* or a new one */
};

/*
 * Opens `path` with tool->options, which may say read-only, or its tool->snapshot. STATUS_DONE, or
 * a status after a message.
 */
int tool_open(struct tool *tool, const char *path, enum tool_access access, sdb_db **out_db);
/*
 * Closes it, and what is beneath; says what failed. Gives `status` back, or STATUS_FAILED if that
 * was STATUS_DONE.
 */
int tool_close(struct tool *tool, sdb_db *db, int status);

/*
 * Ctrl-C and its like set a flag that long work polls. In a program that is not interactive the
 * second one ends it at once.
 */
void tool_catch_signals(bool interactive);
bool tool_interrupted(void);
/* True for a signal that asks the whole program to end. */
bool tool_told_to_end(void);
/* As if SIGINT had come: for Ctrl-C that is read as a key. */
void tool_interrupt(void);
void tool_forget_interrupt(void);

/* To be called right after a write to standard output failed: keeps errno for the message. */
void tool_output_failed(void);
/* Writes out standard output; ends as the signal that came would have. Gives the exit status. */
int tool_finish(const struct tool *tool, int status);

/* "1,234,567" and "1.2 MB", in one of a few static buffers that are used in turn. */
const char *tool_number(uint64_t number);
const char *tool_bytes(uint64_t bytes);
/* Seconds since some fixed moment. */
double tool_seconds(void);
/* "0.42 ms", "12.3 s", in a static buffer as above. */
const char *tool_duration(double seconds);

/* Reads 1234, 64K, 64M, 2G, 2GiB… False if it is no such number. */
bool tool_parse_size(const char *text, uint64_t *out_bytes);
/* The name out of a list (ended by NULL) that is most like `word`, or NULL if none is near. */
const char *tool_nearest(const char *word, const char *const *names);

#endif
