/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_expire.c
 *
 * Idea: `sdb expire` removes what has expired from the file now, and says how much that was: for
 *   files that no program has open for long enough to do so by itself.
 * Costs: those of sdb_expire. Not here: giving the space back to the file system (cmd_vacuum.c).
 */
#include "tools/commands.h"

int expire_show(const struct tool *tool, sdb_db *db, const struct args *args, bool json)
{
    uint64_t limit = 0, removed = 0;
    sdb_status status;
    int done = args_number(tool, args, OPTION_LIMIT, 1, &limit);

    if (done) return done;
    status = sdb_expire(db, limit, &removed);
    if (status != SDB_OK) return tool_fail_status(tool, status);
    if (json)
        (void)printf("{\"removed\":%llu}\n", (unsigned long long)removed);
    else
        (void)printf("removed: %s\n", tool_number(removed));
    return STATUS_DONE;
}

int cmd_expire(struct tool *tool, const struct args *args)
{
    sdb_db *db;
    int done = args_opening(tool, args);

    if (!done) done = tool_open(tool, args->operand[0].text, TOOL_WRITE, &db);
    if (done) return done;
    done = expire_show(tool, db, args, args_has(args, OPTION_JSON));
    return tool_close(tool, db, done);
}
