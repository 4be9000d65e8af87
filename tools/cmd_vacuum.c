/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_vacuum.c
 *
 * Idea: `sdb vacuum` makes the file as small as what is in it, or (--holes) makes holes in it, and
 *   says what that gave.
 * Invariants: I1 an interrupted vacuum leaves a sound database and says so.
 * Costs: those of sdb_vacuum. Not here: shrinking while another process has the file open (that
 *   process calls sdb_vacuum).
 */
#include <sys/stat.h>

#include "tools/commands.h"
#include "tools/progress.h"

/* Bytes that a file takes on the disk. */
static uint64_t bytes_on_disk(const char *path)
{
    struct stat facts;

    return stat(path, &facts) == 0 ? (uint64_t)facts.st_blocks * 512 : 0;
}

static int vacuum(struct tool *tool, sdb_db *db, const char *path, bool holes, bool json)
{
    sdb_stats before = {.size = sizeof before}, after = {.size = sizeof after};
    uint64_t disk_before = bytes_on_disk(path), disk_after;
    struct progress progress;
    double seconds;
    sdb_status status = sdb_stat(db, &before);

    progress_begin(&progress, "giving space back", PROGRESS_BYTES);
    if (status == SDB_OK)
        status = sdb_vacuum(db, holes ? SDB_VACUUM_HOLES : 0, progress_report, &progress);
    seconds = progress_end(&progress);
    if (status == SDB_OK) status = sdb_stat(db, &after);
    if (status == SDB_CANCELLED)
        return tool_fail(tool, "interrupted; the database is sound, what was given back stays so");
    if (status != SDB_OK) return tool_fail_status(tool, status);
    disk_after = bytes_on_disk(path);
    if (json)
        (void)printf("{\"file_bytes_before\":%llu,\"file_bytes\":%llu,\"used_bytes\":%llu,"
                     "\"disk_bytes_before\":%llu,\"disk_bytes\":%llu,\"seconds\":%.6f}\n",
                     (unsigned long long)before.file_bytes, (unsigned long long)after.file_bytes,
                     (unsigned long long)after.used_bytes, (unsigned long long)disk_before,
                     (unsigned long long)disk_after, seconds);
    else if (holes)
        (void)printf("holes made: %s on the disk, %s before: %s\n", tool_bytes(disk_after),
                     tool_bytes(disk_before), tool_duration(seconds));
    else
        (void)printf("vacuumed: %s, %s before: %s\n", tool_bytes(after.file_bytes),
                     tool_bytes(before.file_bytes), tool_duration(seconds));
    return STATUS_DONE;
}

int cmd_vacuum(struct tool *tool, const struct args *args)
{
    const char *path = args->operand[0].text;
    sdb_db *db;
    int done = args_opening(tool, args);

    if (!done) done = tool_open(tool, path, TOOL_WRITE, &db);
    if (done) return done;
    done = vacuum(tool, db, path, args_has(args, OPTION_HOLES), args_has(args, OPTION_JSON));
    return tool_close(tool, db, done);
}
