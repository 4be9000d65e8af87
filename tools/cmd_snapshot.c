/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_snapshot.c
 *
 * Idea: `sdb snapshot` keeps the database as it is under a name, lists what is kept, and lets it
 *   go; `--snapshot NAME` of the commands that read reads it.
 * Not here: snapshots while another process has the file open (that process calls
 *   sdb_snapshot_make).
 */
#include <string.h>
#include <time.h>

#include "tools/commands.h"

int snapshot_change(struct tool *tool, sdb_db *db, const char *name, bool make, bool json)
{
    double begun = tool_seconds();
    sdb_status status = make ? sdb_snapshot_make(db, name) : sdb_snapshot_drop(db, name);

    if (status != SDB_OK) return tool_fail_status(tool, status);
    if (json)
        (void)printf("{\"seconds\":%.6f}\n", tool_seconds() - begun);
    else
        (void)printf("snapshot %s: %s\n", make ? "made" : "dropped",
                     tool_duration(tool_seconds() - begun));
    return STATUS_DONE;
}

static int change(struct tool *tool, const struct args *args, bool make)
{
    sdb_db *db;
    int done = args_opening(tool, args);

    if (!done) done = tool_open(tool, args->operand[0].text, TOOL_WRITE, &db);
    if (done) return done;
    done = snapshot_change(tool, db, args->operand[1].text, make, args_has(args, OPTION_JSON));
    return tool_close(tool, db, done);
}

int cmd_snapshot_make(struct tool *tool, const struct args *args)
{
    return change(tool, args, true);
}

int cmd_snapshot_drop(struct tool *tool, const struct args *args)
{
    return change(tool, args, false);
}

/* "2026-01-31T12:34:56Z" */
static void write_time(uint64_t ms, char out[32])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm parts;

    out[0] = '\0';
    if (gmtime_r(&seconds, &parts)) (void)strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

int snapshot_list(struct tool *tool, sdb_db *db, enum render_mode mode)
{
    static const struct render_column columns[3] = {
        {"snapshot", false}, {"made", false}, {"commit", true}};
    sdb_snapshot_info info = {.size = sizeof info};
    char last[SDB_SNAPSHOT_NAME_MAX + 1], made[32], commit[24];
    const char *after = NULL;
    struct render render;
    sdb_status status;

    render_begin(&render, mode, columns, 3, "snapshot/snapshots", stdout);
    while ((status = sdb_snapshot_next(db, after, &info)) == SDB_OK) {
        sdb_slice cells[3] = {{info.name, strlen(info.name)}, {made, 0}, {commit, 0}};

        write_time(info.made_ms, made);
        (void)snprintf(commit, sizeof commit, "%llu", (unsigned long long)info.commit);
        cells[1].size = strlen(made);
        cells[2].size = strlen(commit);
        if (!render_row(&render, cells)) break;
        after = memcpy(last, info.name, sizeof last);
    }
    if (!render_end(&render, tool_interrupted())) return STATUS_FAILED;
    return status < 0 ? tool_fail_status(tool, status) : STATUS_DONE;
}

int cmd_snapshot_list(struct tool *tool, const struct args *args)
{
    enum render_mode mode = args_has(args, OPTION_JSON) ? RENDER_JSON : RENDER_LINE;
    sdb_db *db;
    int done = args_opening(tool, args);

    if (!done) done = tool_open(tool, args->operand[0].text, TOOL_READ, &db);
    if (done) return done;
    done = snapshot_list(tool, db, mode);
    return tool_close(tool, db, done);
}
