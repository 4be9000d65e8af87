/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forward.c: restore with --archive, --log or --until: a backup rolled forward.
 *
 * Idea: the library does it; here are the words for a moment, and what is said about the outcome.
 * Invariants: I1 nothing that is there is replaced, --force or not.
 * Not here: restoring the backup alone (cmd_backup.c).
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/commands.h"
#include "tools/progress.h"

/* Reads digits to the end of the text; 0 is no number. */
static bool read_number(const char *text, uint64_t *out)
{
    char *end;

    if (*text < '0' || *text > '9') return false;
    *out = strtoull(text, &end, 10);
    return *end == '\0' && *out > 0 && *out < UINT64_MAX;
}

/* Reads 2026-01-31T12:34:56Z or 2026-01-31T12:34:56.789Z (UTC), as milliseconds since 1970. */
static bool read_time(const char *text, uint64_t *out)
{
    struct tm tm = {0};
    int used = 0, year, month, millis = 0;
    time_t seconds;

    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &year, &month, &tm.tm_mday, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec, &used) != 6 || used != 19)
        return false;
    text += used;
    if (*text == '.' && (sscanf(text, ".%3d%n", &millis, &used) != 1 || used != 4)) return false;
    if (*text == '.') text += used;
    if (strcmp(text, "Z") != 0 || year < 1970) return false;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    seconds = timegm(&tm);
    if (seconds < 0 || tm.tm_mon != month - 1) return false;
    *out = (uint64_t)seconds * 1000 + (uint64_t)millis;
    return true;
}

static int read_until(struct tool *tool, const char *text, sdb_restore_options *options)
{
    bool good;

    if (!text) return STATUS_DONE;
    if (strncmp(text, "commit:", 7) == 0)
        good = read_number(text + 7, &options->until_commit);
    else if (strncmp(text, "lsn:", 4) == 0)
        good = read_number(text + 4, &options->until_lsn);
    else
        good = read_time(text, &options->until_ms);
    if (good) return STATUS_DONE;
    return tool_misuse(tool, "--until wants a time such as 2026-01-31T12:34:56.789Z, commit:N or "
                       "lsn:N, not '%s'", text);
}

static int show(void *context, sdb_phase phase, uint64_t done, uint64_t total)
{
    struct progress *progress = context;
    static const char *const names[] = {
        [SDB_PHASE_REPLAY] = "applying the log", [SDB_PHASE_CHECKPOINT] = "writing",
        [SDB_PHASE_COPY] = "copying the backup", [SDB_PHASE_CHECK] = "checking the outcome"};

    progress->what = names[phase];
    progress->unit = phase == SDB_PHASE_CHECK ? PROGRESS_PAGES : PROGRESS_BYTES;
    progress_at(progress, done, total);
    return tool_interrupted();
}

static void report(const sdb_restore_result *result, const char *file, double seconds, bool json)
{
    time_t when = (time_t)(result->last_ms / 1000);
    char text[32];
    struct tm tm;

    if (json) {
        (void)printf("{\"commits\":%llu,\"commit\":%llu,\"lsn\":%llu,\"last_ms\":%llu,"
                     "\"seconds\":%.6f}\n", (unsigned long long)result->commits,
                     (unsigned long long)result->commit, (unsigned long long)result->lsn,
                     (unsigned long long)result->last_ms, seconds);
        return;
    }
    (void)printf("restored %s as of commit %s: %s commits behind the backup", file,
                 tool_number(result->commit), tool_number(result->commits));
    if (result->commits && gmtime_r(&when, &tm) && strftime(text, sizeof text, "%FT%T", &tm))
        (void)printf(", the last of %s.%03uZ", text, (unsigned)(result->last_ms % 1000));
    (void)printf(": %s\n", tool_duration(seconds));
}

int restore_forward(struct tool *tool, const struct args *args)
{
    sdb_restore_options options = {.size = sizeof options, .progress = show};
    sdb_restore_result result = {.size = sizeof result};
    struct progress progress;
    sdb_status status;
    double seconds;

    if (args_has(args, OPTION_FORCE))
        return tool_misuse(tool, "with --archive, --log or --until no file is replaced: leave out "
                           "--force, and give a name that is free");
    if (read_until(tool, args_text(args, OPTION_UNTIL), &options)) return STATUS_MISUSED;
    options.archive_folder = args_text(args, OPTION_ARCHIVE);
    options.log_folder = args_text(args, OPTION_LOG);
    options.progress_context = &progress;
    progress_begin(&progress, "restoring", PROGRESS_BYTES);
    status = sdb_restore(args->operand[0].text, args->operand[1].text, &options, &result);
    seconds = progress_end(&progress);
    if (status != SDB_OK) return tool_fail_status(tool, status);
    report(&result, args->operand[1].text, seconds, args_has(args, OPTION_JSON));
    return STATUS_DONE;
}
