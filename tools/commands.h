/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commands.h: the subcommands of sdb, and what they share with the shell's dot commands.
 */
#ifndef SDB_TOOLS_COMMANDS_H
#define SDB_TOOLS_COMMANDS_H

#include "tools/args.h"
#include "tools/render.h"

/* All of them, ended by one without a name. */
extern const struct command commands[];

/* Their implementations. Each opens the database, works, and closes it. */
int cmd_kv_get(struct tool *tool, const struct args *args);
int cmd_kv_put(struct tool *tool, const struct args *args);
int cmd_kv_merge(struct tool *tool, const struct args *args);
int cmd_kv_del(struct tool *tool, const struct args *args);
int cmd_kv_delrange(struct tool *tool, const struct args *args);
int cmd_kv_scan(struct tool *tool, const struct args *args);
int cmd_kv_count(struct tool *tool, const struct args *args);
int cmd_kv_train(struct tool *tool, const struct args *args);
int cmd_kv_ttl(struct tool *tool, const struct args *args);
int cmd_import(struct tool *tool, const struct args *args);
int cmd_export(struct tool *tool, const struct args *args);
int cmd_backup(struct tool *tool, const struct args *args);
int cmd_restore(struct tool *tool, const struct args *args);
int cmd_bench(struct tool *tool, const struct args *args);
int cmd_check(struct tool *tool, const struct args *args);
int cmd_stat(struct tool *tool, const struct args *args);
int cmd_checkpoint(struct tool *tool, const struct args *args);
int cmd_vacuum(struct tool *tool, const struct args *args);
int cmd_snapshot_make(struct tool *tool, const struct args *args);
int cmd_snapshot_list(struct tool *tool, const struct args *args);
int cmd_snapshot_drop(struct tool *tool, const struct args *args);
int cmd_expire(struct tool *tool, const struct args *args);
int cmd_version(struct tool *tool, const struct args *args);
int cmd_help(struct tool *tool, const struct args *args);

/* ---- on an open database, for the shell too ----------------------------------------------- */

#define ACCEPT_IMPORT                                                                              \
    (ACCEPT(FORMAT) | ACCEPT(KEY) | ACCEPT(VALUE) | ACCEPT(SEPARATOR) | ACCEPT(NO_HEADER) |        \
     ACCEPT(KEEP_GOING) | ACCEPT(BATCH) | ACCEPT(PROGRESS_FD) | ACCEPT(COMPRESSION) |              \
     ACCEPT(TTL) | ACCEPT(JSON))
#define ACCEPT_EXPORT                                                                              \
    (ACCEPT(FORMAT) | ACCEPT(KEY) | ACCEPT(SEPARATOR) | ACCEPT(NO_HEADER) | ACCEPT(COLUMNS) |      \
     ACCEPT(DOCUMENTS) | ACCEPT(FORCE) | ACCEPT(JSON))

/*
 * keyspace NULL: those that the dump names. *db NULL: tool->path is opened into it, once the source
 * was found good.
 */
int import_into(struct tool *tool, sdb_db **db, const struct args *args, const char *keyspace,
                const char *source);
/* keyspace NULL: all of them, into a dump. */
int export_from(struct tool *tool, sdb_db *db, const struct args *args, const char *keyspace,
                const char *target);
/* cmd_restore where options ask for more than the backup. */
int restore_forward(struct tool *tool, const struct args *args);
int backup_to(struct tool *tool, sdb_db *db, const char *target, bool json);
/* Makes (or drops) a snapshot, and says so. */
int snapshot_change(struct tool *tool, sdb_db *db, const char *name, bool make, bool json);
int snapshot_list(struct tool *tool, sdb_db *db, enum render_mode mode);
/* Prints the counters of a database. */
int stat_show(struct tool *tool, sdb_db *db, enum render_mode mode);
/* Removes what has expired, at most --limit, and prints how much it was. */
int expire_show(const struct tool *tool, sdb_db *db, const struct args *args, bool json);
/* Checks an open database, or with db NULL the closed file tool->path, and prints the outcome. */
int check_show(struct tool *tool, sdb_db *db, bool json);

#endif
