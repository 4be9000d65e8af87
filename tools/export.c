/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export.c
 *
 * Idea: one read transaction, so that an export is the database at one instant, however long it
 *   takes; the
 * file gets its name only when it is whole.
 * Invariants: I1 a target that was there is not touched without --force, and with it only replaced
 *   by a whole file. I2 what dump, jsonl and csv (without --columns) write, an import reads back
 *   byte for byte.
 * Costs: one walk (--columns all: two), memory for one entry.
 * Not here: the dump's bytes (dumpfile.h), columns (columns.h).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/columns.h"
#include "tools/commands.h"
#include "tools/data.h"
#include "tools/encode.h"
#include "tools/progress.h"
#include "tools/rows.h"

#define POLL        256
#define FLUSH_BYTES ((size_t)256 << 10)

struct export
{
    struct tool *tool;
    const struct args *args;
    sdb_db *db;
    sdb_txn *txn;
    const char *target;
    enum rows_format format;
    char separator;
    struct columns columns;
    struct dump_writer dump;
    sdb_keyspace *keyspace; /* that is walked */
    struct bytebuf out; /* text on its way to the file */
    FILE *file;
    char *part; /* name of the unfinished file; NULL: written in place */
    struct progress progress;
    uint64_t entries, total; /* total 0: not counted */
};

/* ---- the target --------------------------------------------------------------------------- */

static int fail_target(const struct export *job, const char *what)
{
    return tool_fail(job->tool, "%s: %s: %s", job->target, what, strerror(errno));
}

static int open_target(struct export *job)
{
    size_t size = strlen(job->target) + 32;
    struct stat facts, database;

    if (strcmp(job->target, "-") == 0) {
        job->file = stdout;
        return STATUS_DONE;
    }
    if (stat(job->target, &facts) == 0) {
        if (!S_ISREG(facts.st_mode)) {
            job->file = fopen(job->target, "w");
            return job->file ? STATUS_DONE : fail_target(job, "cannot be written");
        }
        if (stat(job->tool->path, &database) == 0 && database.st_ino == facts.st_ino &&
            database.st_dev == facts.st_dev)
            return tool_fail(job->tool, "%s is the database itself", job->target);
        if (!args_has(job->args, OPTION_FORCE))
            return tool_fail(job->tool, "%s: it is there already; --force replaces it",
                             job->target);
    }
    job->part = malloc(size);
    if (!job->part) return tool_fail(job->tool, "there is no memory for the export");
    (void)snprintf(job->part, size, "%s.part-%ld", job->target, (long)getpid());
    job->file = fopen(job->part, "wx");
    if (job->file) return STATUS_DONE;
    free(job->part);
    job->part = NULL;
    return fail_target(job, "cannot be written");
}

/* Writes out what has gathered. */
static int flush(struct export *job)
{
    if (job->out.failed) return tool_fail(job->tool, "there is no memory for an entry");
    if (fwrite(bytebuf_text(&job->out), 1, job->out.size, job->file) != job->out.size) {
        if (job->file != stdout) return fail_target(job, "cannot be written");
        tool_output_failed(); /* tool_finish says why */
        return STATUS_FAILED;
    }
    bytebuf_clear(&job->out);
    return STATUS_DONE;
}

/* Gives the file its name, or takes it away when the export failed. */
static int close_target(struct export *job, int done)
{
    if (!job->file || job->file == stdout) return done;
    if (!done && fflush(job->file) != 0) done = fail_target(job, "cannot be written");
    if (!done && job->part && fsync(fileno(job->file)) != 0)
        done = fail_target(job, "cannot be written");
    if (fclose(job->file) != 0 && !done) done = fail_target(job, "cannot be written");
    if (!job->part) return done;
    if (!done && rename(job->part, job->target) != 0) done = fail_target(job, "cannot be named");
    if (done) (void)unlink(job->part);
    free(job->part);
    return done;
}

/* ---- entries ------------------------------------------------------------------------------ */

static int fail_entry(const struct export *job, sdb_slice key, const char *what)
{
    struct bytebuf text = {0};

    encode_shown(&text, key.data, key.size < 100 ? key.size : 100);
    (void)tool_fail(job->tool, "the %s", what);
    tool_note("sdb: that is the key %s%s", bytebuf_text(&text), key.size > 100 ? "..." : "");
    bytebuf_done(&text);
    return STATUS_FAILED;
}

static void add_jsonl(struct export *job, sdb_slice key, sdb_slice value)
{
    bytebuf_add_byte(&job->out, '{');
    encode_json_member(&job->out, "key", key.data, key.size);
    bytebuf_add_byte(&job->out, ',');
    encode_json_member(&job->out, "value", value.data, value.size);
    bytebuf_add_text(&job->out, "}\n");
}

/* A value as a line of its own; newlines in JSON are white space. */
static int add_document(struct export *job, sdb_slice key, sdb_slice value)
{
    size_t from = job->out.size;
    struct json_error error;

    if (!json_check(value.size ? value.data : "", value.size, &error))
        return fail_entry(job, key, "value is not JSON, which --documents wants");
    bytebuf_add(&job->out, value.data, value.size);
    for (size_t i = from; i < job->out.size; i++)
        if (job->out.data[i] == '\n' || job->out.data[i] == '\r') job->out.data[i] = ' ';
    bytebuf_add_byte(&job->out, '\n');
    return STATUS_DONE;
}

static int add_line(struct export *job, sdb_slice key)
{
    const char *text = key.data;

    if (key.size && (memchr(text, '\n', key.size) || text[key.size - 1] == '\r'))
        return fail_entry(job, key, "key holds a line break; jsonl and dump can hold it");
    bytebuf_add(&job->out, key.data, key.size);
    bytebuf_add_byte(&job->out, '\n');
    return STATUS_DONE;
}

static int add_row(struct export *job, sdb_slice key, sdb_slice value)
{
    size_t from = job->out.size;

    csv_add_cell(&job->out, job->separator, key.data, key.size);
    if (!job->columns.count && !job->columns.all) {
        bytebuf_add_byte(&job->out, job->separator);
        csv_add_cell(&job->out, job->separator, value.data, value.size);
    } else {
        const char *wrong = columns_add_cells(&job->columns, &job->out, job->separator, value);

        if (wrong) return fail_entry(job, key, wrong);
    }
    csv_end_row(&job->out, from);
    return STATUS_DONE;
}

static int add_record(struct export *job, sdb_slice key, sdb_slice value)
{
    uint64_t expiry_ms = 0;

    if (job->dump.expiries) {
        sdb_status status = sdb_expiry_get(job->txn, job->keyspace, key, &expiry_ms);

        if (status != SDB_OK) return tool_fail_status(job->tool, status);
    }
    dump_entry(&job->dump, &job->out, key, value, expiry_ms);
    return STATUS_DONE;
}

static int add_entry(struct export *job, sdb_slice key, sdb_slice value)
{
    int done = STATUS_DONE;

    switch (job->format) {
    case FORMAT_CSV:
    case FORMAT_TSV: done = add_row(job, key, value); break;
    case FORMAT_LINES: done = add_line(job, key); break;
    case FORMAT_DUMP: done = add_record(job, key, value); break;
    default:
        if (args_has(job->args, OPTION_DOCUMENTS))
            done = add_document(job, key, value);
        else
            add_jsonl(job, key, value);
        break;
    }
    if (!done && (job->out.size >= FLUSH_BYTES || job->out.failed)) done = flush(job);
    return done;
}

/* ---- the walk ----------------------------------------------------------------------------- */

typedef int (*entry_fn)(struct export *job, sdb_slice key, sdb_slice value);

/* Calls `fn` for every entry of a keyspace. */
static int walk(struct export *job, sdb_keyspace *keyspace, bool values, entry_fn fn)
{
    sdb_slice key, value = {NULL, 0};
    sdb_cursor *cursor;
    sdb_status status = sdb_cursor_open(job->txn, keyspace, NULL, &cursor);
    int done = STATUS_DONE;

    if (status != SDB_OK) return tool_fail_status(job->tool, status);
    job->keyspace = keyspace;
    for (uint64_t count = 0; !done; count++) {
        if (count % POLL == 0) {
            if (tool_interrupted()) done = tool_fail(job->tool, "interrupted");
            progress_at(&job->progress, job->entries, job->total);
            if (done) break;
        }
        status = sdb_cursor_next(cursor, &key, values ? &value : NULL);
        if (status != SDB_OK) break;
        done = fn(job, key, value);
        job->entries++;
    }
    sdb_cursor_close(cursor);
    return !done && status < 0 ? tool_fail_status(job->tool, status) : done;
}

static int learn_columns(struct export *job, sdb_slice key, sdb_slice value)
{
    const char *wrong = columns_learn(&job->columns, value);

    return wrong ? fail_entry(job, key, wrong) : STATUS_DONE;
}

static void add_header(struct export *job)
{
    const char *name = args_text(job->args, OPTION_KEY);

    if (!name) name = "key";
    csv_add_cell(&job->out, job->separator, name, strlen(name));
    if (job->columns.count || job->columns.all) {
        columns_add_names(&job->columns, &job->out, job->separator);
    } else {
        bytebuf_add_byte(&job->out, job->separator);
        bytebuf_add_text(&job->out, "value");
    }
    bytebuf_add_byte(&job->out, '\n');
}

static int begin_dump(struct export *job, uint32_t keyspaces)
{
    sdb_stats stats = {.size = sizeof stats};
    sdb_status status = sdb_stat(job->db, &stats);

    if (status != SDB_OK) return tool_fail_status(job->tool, status);
    dump_begin(&job->dump, &job->out, keyspaces, stats.expiring_keyspaces > 0);
    return STATUS_DONE;
}

static int begin_keyspace(struct export *job, sdb_keyspace *keyspace, const char *name)
{
    uint64_t ttl_ms;
    sdb_status status = sdb_keyspace_ttl(keyspace, &ttl_ms);

    if (status != SDB_OK) return tool_fail_status(job->tool, status);
    dump_keyspace(&job->dump, &job->out, name, ttl_ms);
    return STATUS_DONE;
}

static int export_one(struct export *job, const char *name)
{
    bool table = job->format == FORMAT_CSV || job->format == FORMAT_TSV;
    sdb_keyspace *keyspace;
    int done = data_keyspace(job->tool, job->db, name, &keyspace);

    if (done) return done;
    if (job->progress.terminal && sdb_count(job->txn, keyspace, NULL, &job->total) != SDB_OK)
        job->total = 0;
    if (job->columns.all) done = walk(job, keyspace, true, learn_columns);
    job->entries = 0;
    if (!done) done = open_target(job);
    if (done) return done;
    if (table && !args_has(job->args, OPTION_NO_HEADER)) add_header(job);
    if (job->format == FORMAT_DUMP) {
        done = begin_dump(job, 1);
        if (!done) done = begin_keyspace(job, keyspace, name);
        if (done) return done;
    }
    done = walk(job, keyspace, job->format != FORMAT_LINES, add_entry);
    if (job->format == FORMAT_DUMP) dump_end(&job->dump, &job->out);
    return done ? done : flush(job);
}

/* All keyspaces, in a dump. */
static int export_all(struct export *job)
{
    char(*names)[SDB_KEYSPACE_NAME_MAX + 1] = NULL;
    uint32_t count = 0, capacity = 0;
    sdb_status status = SDB_OK;
    int done = STATUS_DONE;

    for (;;) {
        if (count == capacity) {
            void *more = realloc(names, (capacity + 64) * sizeof *names);

            if (!more) {
                free(names);
                return tool_fail(job->tool, "there is no memory for the export");
            }
            names = more;
            capacity += 64;
        }
        status = sdb_keyspace_next(job->db, count ? names[count - 1] : NULL, names[count]);
        if (status != SDB_OK) break;
        count++;
    }
    if (status < 0) done = tool_fail_status(job->tool, status);
    if (!done) done = open_target(job);
    if (!done) done = begin_dump(job, count);
    for (uint32_t i = 0; i < count && !done; i++) {
        sdb_keyspace *keyspace;

        done = data_keyspace(job->tool, job->db, names[i], &keyspace);
        if (!done) done = begin_keyspace(job, keyspace, names[i]);
        if (!done) done = walk(job, keyspace, true, add_entry);
    }
    free(names);
    dump_end(&job->dump, &job->out);
    return done ? done : flush(job);
}

/* ---- the command -------------------------------------------------------------------------- */

static int take_options(struct export *job, const char *keyspace)
{
    const struct args *args = job->args;
    const char *format = args_text(args, OPTION_FORMAT), *text = args_text(args, OPTION_SEPARATOR);
    bool table;

    job->format = format ? rows_format_named(format) : rows_format_guess(job->target);
    if (job->format == FORMAT_NONE)
        return tool_misuse(job->tool,
                           "%s '%s' is none that is known; --format wants csv, tsv, jsonl, "
                           "lines or dump",
                           format ? "the format" : "the ending of", format ? format : job->target);
    if (!keyspace && job->format != FORMAT_DUMP)
        return tool_misuse(job->tool, "only a dump can hold all keyspaces; say which one");
    table = job->format == FORMAT_CSV || job->format == FORMAT_TSV;
    job->separator = job->format == FORMAT_TSV ? '\t' : ',';
    if (text && (strcmp(text, "tab") == 0 || strcmp(text, "\\t") == 0)) text = "\t";
    if (text && (strlen(text) != 1 || (unsigned char)*text > 0x7e || strchr("\"\r\n", *text)))
        return tool_misuse(job->tool, "--separator wants one byte (no quote) or tab, not '%s'",
                           text);
    if (text) job->separator = *text;
    if (!table && (text || args_has(args, OPTION_KEY) || args_has(args, OPTION_NO_HEADER) ||
                   args_has(args, OPTION_COLUMNS)))
        return tool_misuse(job->tool,
                           "--separator, --key, --no-header and --columns are for csv and tsv");
    if (job->format != FORMAT_JSONL && args_has(args, OPTION_DOCUMENTS))
        return tool_misuse(job->tool, "--documents is for jsonl");
    if (args_has(args, OPTION_COLUMNS) &&
        !columns_named(&job->columns, args_text(args, OPTION_COLUMNS)))
        return tool_misuse(job->tool, "--columns wants all, or names with commas between them");
    return STATUS_DONE;
}

static void report(const struct export *job, double seconds)
{
    if (job->file == stdout) return;
    if (args_has(job->args, OPTION_JSON))
        (void)printf("{\"entries\":%llu,\"seconds\":%.6f}\n", (unsigned long long)job->entries,
                     seconds);
    else
        (void)printf("exported %s %s to %s: %s, %s entries/s\n", tool_number(job->entries),
                     job->entries == 1 ? "entry" : "entries", job->target, tool_duration(seconds),
                     tool_number((uint64_t)((double)job->entries / (seconds > 0 ? seconds : 1))));
}

int export_from(struct tool *tool, sdb_db *db, const struct args *args, const char *keyspace,
                const char *target)
{
    struct export job = {.tool = tool, .args = args, .db = db, .target = target};
    int done = take_options(&job, keyspace);
    sdb_status status;
    double seconds;

    job.out.limit = (size_t)16 << 30;
    if (done) goto out;
    progress_begin(&job.progress, "exporting", PROGRESS_ROWS);
    status = sdb_txn_begin(db, SDB_TXN_READ, &job.txn);
    if (status != SDB_OK)
        done = tool_fail_status(tool, status);
    else
        done = keyspace ? export_one(&job, keyspace) : export_all(&job);
    sdb_txn_abort(job.txn);
    done = close_target(&job, done);
    seconds = progress_end(&job.progress);
    if (!done) report(&job, seconds);
out:
    columns_done(&job.columns);
    bytebuf_done(&job.out);
    return done;
}

int cmd_export(struct tool *tool, const struct args *args)
{
    const char *keyspace = args->count > 2 ? args->operand[1].text : NULL;
    sdb_db *db;
    int done = args_opening(tool, args);

    if (!done) done = tool_open(tool, args->operand[0].text, TOOL_READ, &db);
    if (done) return done;
    done = export_from(tool, db, args, keyspace, args->operand[args->count - 1].text);
    return tool_close(tool, db, done);
}
