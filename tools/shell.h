/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shell.h: the shell: a database that is open, a transaction that may be, and commands for both.
 */
#ifndef SDB_TOOLS_SHELL_H
#define SDB_TOOLS_SHELL_H

#include <sdb/changes.h>

#include "tools/args.h"
#include "tools/lineedit.h"
#include "tools/render.h"

/* What a command answers beside STATUS_…: there was nothing to find. It stops no script. */
enum { STATUS_NOT_FOUND = 3 };

struct shell {
    struct tool *tool;
    sdb_db *db;
    char *path;                          /* of the database; owned */
    sdb_changes *changes;                /* what .changes has still to print; may be NULL */
    sdb_txn *txn;                        /* that `begin` began, or NULL */
    bool txn_reads;                      /* it was begun with `begin read` */
    char use[SDB_KEYSPACE_NAME_MAX + 1]; /* the keyspace that `use` chose, or "" */
    enum render_mode mode;
    bool timing;
    bool bail; /* a script ends at its first error */
    bool interactive;
    bool leave;
};

struct shell_command {
    struct command command;
    int (*run)(struct shell *shell, const struct args *args);
    bool names_keyspace; /* the first operand is one, for completion */
};

/* Both ended by one without a name. */
extern const struct shell_command shell_data_commands[];
extern const struct shell_command shell_dot_commands[];
const struct shell_command *shell_find(const char *name);

/* `sdb FILE`: from the terminal, or a script from standard input. */
int shell_main(struct tool *tool, const char *path);
/* `sdb FILE COMMAND…`: one command; a single word is a line that is cut into words first. */
int shell_once(struct tool *tool, const char *path, const struct word *words, size_t count);

/* Opens a database in place of the present one, which stays if that fails. */
int shell_open(struct shell *shell, const char *path);

/* .changes: begins to watch shell->db; ends it, before the database is closed; prints. */
void shell_changes_begin(struct shell *shell);
void shell_changes_end(struct shell *shell);
int shell_changes_run(struct shell *shell, const struct args *args);

/* Completion: a lineedit_complete_fn whose context is a struct shell. */
void shell_complete(void *context, const char *line, size_t size, struct candidates *out);

#endif
