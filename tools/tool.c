/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool.c
 *
 * Idea: one voice. Every message of the program goes through here, so that all of them name the
 *   file, the
 * line of the script, and end the same way.
 * Invariants: I1 nothing but facts reaches standard output. I2 the signal handler writes one flag
 *   and nothing else.
 * Source: the end by the same signal is what the GNU C library manual asks of a handler (24.4.2).
 * Not here: the text forms of data (encode.h, render.h) and the progress bar (progress.h).
 */
#include "tools/tool.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/progress.h"

/* ---- messages ----------------------------------------------------------------------------- */

static void say_where(const struct tool *tool)
{
    (void)fflush(stdout);
    (void)fputs("sdb: ", stderr);
    if (tool->path) (void)fprintf(stderr, "%s: ", tool->path);
    if (tool->line) (void)fprintf(stderr, "line %llu: ", (unsigned long long)tool->line);
}

int tool_fail(const struct tool *tool, const char *format, ...)
{
    va_list arguments;

    say_where(tool);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
    return STATUS_FAILED;
}

int tool_misuse(const struct tool *tool, const char *format, ...)
{
    va_list arguments;

    (void)fflush(stdout);
    (void)fputs("sdb: ", stderr);
    if (tool->line) (void)fprintf(stderr, "line %llu: ", (unsigned long long)tool->line);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fprintf(stderr, "\nTry '%s%s%s'.\n", tool->in_shell ? ".help" : "sdb help",
                  tool->command ? " " : "", tool->command ? tool->command : "");
    return STATUS_MISUSED;
}

int tool_fail_status(const struct tool *tool, sdb_status status)
{
    const char *message = sdb_errmsg();
    size_t size = tool->path ? strlen(tool->path) : 0;

    if (!*message) message = sdb_status_text(status);
    /* Many of the library's sentences begin with the file's name; once is enough. */
    if (size && strncmp(message, tool->path, size) == 0 && message[size] &&
        strchr(": ", message[size])) {
        message += size;
        message += strspn(message, ": ");
    }
    return tool_fail(tool, "%s", message);
}

void tool_note(const char *format, ...)
{
    va_list arguments;

    (void)fflush(stdout);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
}

/* ---- databases ---------------------------------------------------------------------------- */

/* Shows how far a recovery is, if it takes long and somebody looks. */
static int show_opening(void *context, sdb_phase phase, uint64_t done, uint64_t total)
{
    if (phase == SDB_PHASE_REPLAY)
        progress_at(context, done, total);
    else
        progress_last(context, "writing what was recovered");
    return tool_interrupted();
}

int tool_open(struct tool *tool, const char *path, enum tool_access access, sdb_db **out_db)
{
    sdb_options options = tool->options;
    bool told = (options.flags & SDB_OPEN_READONLY) != 0;
    struct progress progress;
    sdb_db *db;
    sdb_status status;

    tool->path = path;
    progress_begin(&progress, "recovering", PROGRESS_BYTES);
    progress.next = progress.begun + 0.5;
    options.progress = show_opening;
    options.progress_context = &progress;
    if (access == TOOL_READ) options.flags |= SDB_OPEN_READONLY;
    if (access != TOOL_MAKE || told) options.flags |= SDB_OPEN_MUST_EXIST;
    status = sdb_open(path, &options, &db);
    if (status == SDB_READONLY && !told) {
        /* It was left by a crash: only a writer can recover it. */
        options.flags &= ~(unsigned)SDB_OPEN_READONLY;
        status = sdb_open(path, &options, &db);
    }
    (void)progress_end(&progress);
    if (status == SDB_OK && tool->snapshot) {
        tool->beneath = db;
        status = sdb_snapshot_open(tool->beneath, tool->snapshot, &db);
        if (status != SDB_OK) return tool_close(tool, NULL, tool_fail_status(tool, status));
    }
    if (status != SDB_OK) return tool_fail_status(tool, status);
    *out_db = db;
    return STATUS_DONE;
}

int tool_close(struct tool *tool, sdb_db *db, int status)
{
    sdb_status closed = sdb_close(db);

    if (closed == SDB_OK) closed = sdb_close(tool->beneath);
    tool->beneath = NULL;
    if (closed == SDB_OK) return status;
    (void)tool_fail_status(tool, closed);
    return status == STATUS_DONE ? STATUS_FAILED : status;
}

/* ---- signals and the end ------------------------------------------------------------------ */

static volatile sig_atomic_t caught; /* the signal that came, or 0 */

static void on_signal(int number)
{
    caught = number;
}

/* Takes a signal over, unless whoever started the program had it ignored (as nohup does). */
static void take_signal(int number, const struct sigaction *action)
{
    struct sigaction before;

    if (sigaction(number, NULL, &before) == 0 && before.sa_handler == SIG_IGN) return;
    (void)sigaction(number, action, NULL);
}

/*
 * The interactive shell takes SIGINT even when it came ignored or blocked: a script's background
 * jobs get it so, and a terminal may well be opened below one.
 */
static void take_interrupt(bool interactive, const struct sigaction *action)
{
    sigset_t interrupt;

    if (!interactive) {
        take_signal(SIGINT, action);
        return;
    }
    (void)sigemptyset(&interrupt);
    (void)sigaddset(&interrupt, SIGINT);
    (void)sigaction(SIGINT, action, NULL);
    (void)pthread_sigmask(SIG_UNBLOCK, &interrupt, NULL);
}

void tool_catch_signals(bool interactive)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = interactive ? 0 : (int)SA_RESETHAND;
    (void)sigemptyset(&action.sa_mask);
    take_interrupt(interactive, &action);
    take_signal(SIGTERM, &action);
    take_signal(SIGHUP, &action);
    (void)signal(SIGPIPE, SIG_IGN);
}

bool tool_interrupted(void)
{
    return caught != 0;
}

void tool_interrupt(void)
{
    caught = SIGINT;
}

bool tool_told_to_end(void)
{
    return caught == SIGTERM || caught == SIGHUP;
}

static int
    output_errno; /* of the first write to standard output that failed; 0: none, or not known */

void tool_forget_interrupt(void)
{
    if (caught != SIGINT) return;
    caught = 0;
    clearerr(stdout); /* it may have come in the midst of a write, which then failed */
    output_errno = 0;
}

void tool_output_failed(void)
{
    if (!output_errno) output_errno = errno;
}

/* Whether standard output is a pipe that nobody reads any more. */
static bool output_is_closed(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};

    return poll(&out, 1, 0) == 1 && (out.revents & POLLERR);
}

int tool_finish(const struct tool *tool, int status)
{
    int number = caught;

    if (fflush(stdout) != 0) tool_output_failed();
    if (output_errno || ferror(stdout)) {
        if (output_errno == EPIPE || output_is_closed())
            number = SIGPIPE;
        else
            status = tool_fail(tool, "standard output cannot be written: %s",
                               strerror(output_errno ? output_errno : EIO));
    }
    if (number) {
        (void)signal(number, SIG_DFL);
        (void)raise(number);
    }
    return status;
}

/* ---- numbers ------------------------------------------------------------------------------ */

/* One of eight buffers in turn, so that a few results can stand in one message. */
static char *next_buffer(void)
{
    static char buffers[8][32];
    static unsigned next;

    return buffers[next++ % 8];
}

const char *tool_number(uint64_t number)
{
    char *to = next_buffer() + 31;
    int digits = 0;

    *to = '\0';
    do {
        if (digits && digits % 3 == 0) *--to = ',';
        *--to = (char)('0' + number % 10);
        number /= 10;
        digits++;
    } while (number);
    return to;
}

const char *tool_bytes(uint64_t bytes)
{
    static const char units[] = "KMGTPE";
    char *to = next_buffer();
    double size = (double)bytes / 1024;
    size_t unit = 0;

    if (bytes < 1024) {
        (void)snprintf(to, 32, "%llu bytes", (unsigned long long)bytes);
        return to;
    }
    while (size >= 1023.95 && units[unit + 1]) {
        size /= 1024;
        unit++;
    }
    (void)snprintf(to, 32, "%.1f %ciB", size, units[unit]);
    return to;
}

double tool_seconds(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

const char *tool_duration(double seconds)
{
    char *to = next_buffer();

    if (seconds < 1e-3)
        (void)snprintf(to, 32, "%.1f us", seconds * 1e6);
    else if (seconds < 1)
        (void)snprintf(to, 32, "%.1f ms", seconds * 1e3);
    else
        (void)snprintf(to, 32, "%.2f s", seconds);
    return to;
}

bool tool_parse_size(const char *text, uint64_t *out_bytes)
{
    static const char units[] = "KMGT";
    char *end;
    unsigned long long number;
    unsigned shift = 0;

    if (*text < '0' || *text > '9') return false;
    errno = 0;
    number = strtoull(text, &end, 10);
    if (errno) return false;
    if (*end) {
        const char *unit = strchr(units, *end >= 'a' ? *end - 32 : *end);

        if (!unit) return false;
        shift = 10 * (unsigned)(unit - units + 1);
        end++;
        if (strcmp(end, "iB") == 0) end += 2;
        if (strcmp(end, "B") == 0) end++;
    }
    if (*end || (shift && number > UINT64_MAX >> shift)) return false;
    *out_bytes = (uint64_t)number << shift;
    return true;
}

/* ---- names that were meant ---------------------------------------------------------------- */

#define NAME_MAX_SIZE 24

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Edits (insert, remove, replace, swap neighbours) between two short words. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    size_t rows[NAME_MAX_SIZE + 1][NAME_MAX_SIZE + 1];

    if (n > NAME_MAX_SIZE || m > NAME_MAX_SIZE) return NAME_MAX_SIZE;
    for (size_t i = 0; i <= n; i++) {
        for (size_t j = 0; j <= m; j++) {
            if (!i || !j) {
                rows[i][j] = i + j;
                continue;
            }
            rows[i][j] = least(least(rows[i - 1][j], rows[i][j - 1]) + 1,
                               rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                rows[i][j] = least(rows[i][j], rows[i - 2][j - 2] + 1);
        }
    }
    return rows[n][m];
}

const char *tool_nearest(const char *word, const char *const *names)
{
    const char *best = NULL;
    size_t size = strlen(word), best_distance = size > 4 ? 3 : 2;

    for (; *names; names++) {
        size_t distance = edit_distance(word, *names);

        if (size > 2 && strncmp(word, *names, size) == 0) distance = least(distance, 1);
        if (distance < best_distance) {
            best_distance = distance;
            best = *names;
        }
    }
    return best;
}
