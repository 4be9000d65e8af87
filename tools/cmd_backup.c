/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_backup.c
 *
 * Idea: a backup is a database; restoring is a checked copy of it under a new name. The copy is
 *   verified
 * before it takes the place of anything.
 * Invariants: I1 FILE is either as it was before, or the whole verified copy. I2 a database that
 *   another process has open for writing is not replaced, nor one with a log that could belong to
 *   it left beside.
 * Costs: restore reads the backup twice and the copy once.
 * Not here: how a backup is taken while writers go on (sdb_backup), rolling one forward
 *   (forward.c).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/commands.h"
#include "tools/progress.h"

#define COPY_BYTES ((size_t)1 << 20)

/* ---- backup and checkpoint ---------------------------------------------------------------- */

int backup_to(struct tool *tool, sdb_db *db, const char *target, bool json)
{
    struct progress progress;
    struct stat facts;
    sdb_status status;
    double seconds;

    progress_begin(&progress, "backing up", PROGRESS_BYTES);
    status = sdb_backup(db, target, progress_report, &progress);
    seconds = progress_end(&progress);
    if (status == SDB_CANCELLED) return tool_fail(tool, "interrupted; there is no backup");
    if (status != SDB_OK) return tool_fail_status(tool, status);
    if (stat(target, &facts) != 0) facts.st_size = 0;
    if (json)
        (void)printf("{\"bytes\":%lld,\"seconds\":%.6f}\n", (long long)facts.st_size, seconds);
    else
        (void)printf("backed up to %s: %s, %s\n", target, tool_bytes((uint64_t)facts.st_size),
                     tool_duration(seconds));
    return STATUS_DONE;
}

int cmd_backup(struct tool *tool, const struct args *args)
{
    sdb_db *db;
    int done = args_opening(tool, args);

    if (!done) done = tool_open(tool, args->operand[0].text, TOOL_READ, &db);
    if (done) return done;
    done = backup_to(tool, db, args->operand[1].text, args_has(args, OPTION_JSON));
    return tool_close(tool, db, done);
}

static void report_checkpoint(const sdb_stats *stats, double seconds, bool json)
{
    if (json) {
        (void)printf("{\"recovered_commits\":%llu,\"recovery_ms\":%llu,\"seconds\":%.6f}\n",
                     (unsigned long long)stats->recovered_commits,
                     (unsigned long long)stats->recovery_ms, seconds);
        return;
    }
    if (stats->recovered_commits)
        (void)printf("recovered %s commits from the log: %s\n",
                     tool_number(stats->recovered_commits),
                     tool_duration((double)stats->recovery_ms / 1e3));
    (void)printf("checkpoint written: %s\n", tool_duration(seconds));
}

int cmd_checkpoint(struct tool *tool, const struct args *args)
{
    sdb_stats stats = {.size = sizeof stats};
    sdb_db *db;
    sdb_status status;
    double begun;
    int done = args_opening(tool, args);

    if (!done) done = tool_open(tool, args->operand[0].text, TOOL_WRITE, &db);
    if (done) return done;
    begun = tool_seconds();
    status = sdb_checkpoint(db);
    if (status == SDB_OK) status = sdb_stat(db, &stats);
    if (status == SDB_OK)
        report_checkpoint(&stats, tool_seconds() - begun, args_has(args, OPTION_JSON));
    else
        done = tool_fail_status(tool, status);
    return tool_close(tool, db, done);
}

/* ---- restore ------------------------------------------------------------------------------ */

struct restore {
    struct tool *tool;
    const char *backup, *file;
    char *part;  /* the copy until it is verified: FILE.part-PID */
    char *log;   /* FILE-wal */
    char *aside; /* the old log while the copy takes the place of its database */
};

static char *name_with(const char *path, const char *ending)
{
    size_t size = strlen(path) + strlen(ending) + 32;
    char *name = malloc(size);

    if (name) (void)snprintf(name, size, "%s%s", path, ending);
    return name;
}

static bool is_there(const char *path)
{
    struct stat facts;

    return lstat(path, &facts) == 0;
}

static int fail_errno(const struct restore *job, const char *path, const char *what)
{
    return tool_fail(job->tool, "%s %s: %s", path, what, strerror(errno));
}

struct verify {
    struct progress progress; /* first: it is the context of progress_report */
    const char *path;
};

static void verify_problem(void *context, const char *problem)
{
    const struct verify *verify = context;

    (void)fprintf(stderr, "sdb: %s: %s\n", verify->path, problem);
}

/* Whether a file that is not open is a sound database; says what is wrong. */
static int verify_file(const struct restore *job, const char *path, const char *what)
{
    struct verify verify = {.path = path};
    sdb_status status;

    progress_begin(&verify.progress, what, PROGRESS_PAGES);
    status =
        sdb_check_file(path, &job->tool->options, verify_problem, progress_report, &verify, NULL);
    (void)progress_end(&verify.progress);
    if (status == SDB_OK) return STATUS_DONE;
    if (status == SDB_CANCELLED) return tool_fail(job->tool, "interrupted; nothing was restored");
    if (status == SDB_CORRUPT)
        return tool_fail(job->tool, "%s is damaged; nothing was restored", path);
    return tool_fail_status(job->tool, status);
}

static int copy_bytes(const struct restore *job, int from, int to, uint64_t total)
{
    struct progress progress;
    char *block = malloc(COPY_BYTES);
    uint64_t copied = 0;
    int done = STATUS_DONE;

    if (!block) return tool_fail(job->tool, "there is no memory for the copy");
    progress_begin(&progress, "copying", PROGRESS_BYTES);
    while (!done) {
        ssize_t got = read(from, block, COPY_BYTES);

        if (got == 0) break;
        if (tool_interrupted())
            done = tool_fail(job->tool, "interrupted; nothing was restored");
        else if (got < 0 && errno != EINTR)
            done = fail_errno(job, job->backup, "cannot be read");
        for (ssize_t at = 0; !done && at < got;) {
            ssize_t put = write(to, block + at, (size_t)(got - at));

            if (put >= 0)
                at += put;
            else if (errno != EINTR)
                done = fail_errno(job, job->part, "cannot be written");
        }
        if (got > 0) progress_at(&progress, copied += (uint64_t)got, total);
    }
    (void)progress_end(&progress);
    free(block);
    if (!done && fsync(to) != 0) done = fail_errno(job, job->part, "cannot be written");
    return done;
}

static int copy_backup(const struct restore *job)
{
    struct stat facts;
    int from = open(job->backup, O_RDONLY | O_CLOEXEC), to = -1, done;

    if (from < 0 || fstat(from, &facts) != 0) {
        done = fail_errno(job, job->backup, "cannot be read");
        goto out;
    }
    to = open(job->part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    done = to < 0 ? fail_errno(job, job->part, "cannot be made")
                  : copy_bytes(job, from, to, (uint64_t)facts.st_size);
    if (to >= 0 && close(to) != 0 && !done) done = fail_errno(job, job->part, "cannot be written");
out:
    if (from >= 0) (void)close(from);
    return done;
}

/* Syncs the folder that holds `path`, so that its names are on disk. */
static void sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
    free(folder);
}

/* Removes a log: a folder of files, or nothing. */
static void remove_log(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;

    if (!folder) return;
    while ((entry = readdir(folder)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)unlinkat(dirfd(folder), entry->d_name, 0);
    (void)closedir(folder);
    (void)rmdir(path);
}

/*
 * The copy takes FILE's name. An old log is moved aside first and removed last: whenever this
 * stops, what is called FILE is a database with its own log or without one, never with another's.
 */
static int take_place(const struct restore *job)
{
    bool had_log = is_there(job->log);

    if (had_log && rename(job->log, job->aside) != 0)
        return fail_errno(job, job->log, "cannot be moved aside");
    if (rename(job->part, job->file) != 0) {
        int done = fail_errno(job, job->file, "cannot be replaced");

        if (had_log && rename(job->aside, job->log) != 0)
            return fail_errno(job, job->aside, "cannot be moved back");
        return done;
    }
    sync_folder(job->file);
    if (had_log) remove_log(job->aside);
    return STATUS_DONE;
}

/* Whether FILE may be made or replaced. */
static int check_target(const struct restore *job, bool force)
{
    sdb_options options = job->tool->options;
    struct stat backup, file;
    sdb_status status;
    sdb_db *db;

    if (!is_there(job->file) && !is_there(job->log)) return STATUS_DONE;
    if (!force)
        return tool_fail(job->tool, "%s is there already; --force replaces it",
                         is_there(job->file) ? job->file : job->log);
    if (stat(job->backup, &backup) == 0 && stat(job->file, &file) == 0 &&
        backup.st_ino == file.st_ino && backup.st_dev == file.st_dev)
        return tool_fail(job->tool, "%s is the backup itself", job->file);
    if (!is_there(job->file)) return STATUS_DONE;
    options.flags |= SDB_OPEN_READONLY | SDB_OPEN_MUST_EXIST;
    status = sdb_open(job->file, &options, &db);
    if (status == SDB_OK) (void)sdb_close(db);
    return status == SDB_BUSY ? tool_fail_status(job->tool, status) : STATUS_DONE;
}

static int check_backup(const struct restore *job)
{
    char *log = name_with(job->backup, "-wal");
    int done = STATUS_DONE;

    if (!log) return tool_fail(job->tool, "there is no memory for the copy");
    if (is_there(log))
        done = tool_fail(job->tool,
                         "%s is no backup but a database in use, or left by a crash: %s is "
                         "part of it; take one with sdb backup",
                         job->backup, log);
    free(log);
    return done ? done : verify_file(job, job->backup, "checking the backup");
}

static int restore(const struct restore *job, bool force)
{
    int done = check_target(job, force);

    if (!done) done = check_backup(job);
    if (done) return done;
    done = copy_backup(job);
    if (!done) done = verify_file(job, job->part, "checking the copy");
    if (!done) done = take_place(job);
    if (done) (void)unlink(job->part);
    return done;
}

int cmd_restore(struct tool *tool, const struct args *args)
{
    struct restore job = {tool, args->operand[0].text, args->operand[1].text, NULL, NULL, NULL};
    char ending[32];
    double begun = tool_seconds();
    int done;

    if (args_has(args, OPTION_ARCHIVE) || args_has(args, OPTION_LOG) ||
        args_has(args, OPTION_UNTIL))
        return restore_forward(tool, args);
    (void)snprintf(ending, sizeof ending, ".part-%ld", (long)getpid());
    job.part = name_with(job.file, ending);
    job.log = name_with(job.file, "-wal");
    (void)snprintf(ending, sizeof ending, "-wal.replaced-%ld", (long)getpid());
    job.aside = name_with(job.file, ending);
    if (!job.part || !job.log || !job.aside)
        done = tool_fail(tool, "there is no memory for the copy");
    else
        done = restore(&job, args_has(args, OPTION_FORCE));
    if (!done && args_has(args, OPTION_JSON))
        (void)printf("{\"seconds\":%.6f}\n", tool_seconds() - begun);
    else if (!done)
        (void)printf("restored %s from %s, checked before and after: %s\n", job.file, job.backup,
                     tool_duration(tool_seconds() - begun));
    free(job.part);
    free(job.log);
    free(job.aside);
    return done;
}
