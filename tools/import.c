/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import.c
 *
 * Idea: all or nothing. The whole source is read and judged first; only when every row is good is
 *   it read again and put into one transaction. --keep-going skips bad rows, --batch N gives up the
 *   one transaction; both read the source once. With --ttl all expires at one moment, counted from
 *   when the putting begins.
 * Invariants: I1 without --batch, either every row that was reported as imported is there after the
 *   command, or none, and no keyspace that the import would have made. I2 "committed N" is written
 *   only after the commit of the first N rows returned.
 * Costs: two passes over the source; the transaction's own memory.
 * Not here: formats (rows.h).
 */
#include <stdlib.h>
#include <string.h>

#include "tools/commands.h"
#include "tools/data.h"
#include "tools/encode.h"
#include "tools/lifetime.h"
#include "tools/progress.h"
#include "tools/rows.h"

#define POLL      256
#define BAD_SHOWN 10 /* bad rows that are named one by one */

struct import {
    struct tool *tool;
    const struct args *args;
    sdb_db *db;
    const char *name;           /* of the keyspace; NULL: those of the dump */
    const char *source, *label; /* label: what messages call it */
    struct rows rows;
    struct progress progress;
    bool keep_going;
    uint64_t batch;     /* rows a commit; 0: one commit in all */
    uint64_t ttl_ms;    /* of --ttl; 0: for ever */
    uint64_t expiry_ms; /* what that comes to */
    uint64_t progress_fd;
    sdb_txn *txn;
    sdb_keyspace_options how; /* of keyspaces that are made */
    sdb_keyspace *keyspace;
    uint64_t put, committed, bad, bytes;
    char **made; /* keyspaces that this import made */
    size_t made_count;
};

static int fail_at(const struct import *job, const char *where, const char *reason)
{
    return tool_fail(job->tool, "%s: %s%s%s", job->label, where, *where ? ": " : "", reason);
}

/* Counts a bad row and names it, unless many were named. */
static void note_bad(struct import *job)
{
    job->bad++;
    if (job->bad <= BAD_SHOWN) (void)fail_at(job, job->rows.where, job->rows.reason);
    if (job->bad == BAD_SHOWN + 1)
        tool_note("sdb: %s: more bad rows follow, which are only counted", job->label);
}

/* ---- options ------------------------------------------------------------------------------ */

static int take_separator(struct import *job, struct rows_config *config)
{
    const char *text = args_text(job->args, OPTION_SEPARATOR);

    config->separator = config->format == FORMAT_TSV ? '\t' : ',';
    if (!text) return STATUS_DONE;
    if (strcmp(text, "tab") == 0 || strcmp(text, "\\t") == 0) text = "\t";
    if (strlen(text) != 1 || (unsigned char)*text > 0x7e || strchr("\"\r\n", *text))
        return tool_misuse(job->tool, "--separator wants one byte (no quote) or tab, not '%s'",
                           text);
    config->separator = *text;
    return STATUS_DONE;
}

static int take_format(struct import *job, struct rows_config *config)
{
    const char *text = args_text(job->args, OPTION_FORMAT);

    config->format = text ? rows_format_named(text) : rows_format_guess(job->source);
    if (text && config->format == FORMAT_NONE)
        return tool_misuse(job->tool, "--format wants csv, tsv, jsonl, lines or dump, not '%s'",
                           text);
    if (!text && args_has(job->args, OPTION_SEPARATOR)) config->format = FORMAT_CSV;
    if (config->format == FORMAT_NONE)
        return tool_misuse(job->tool,
                           "the name '%s' does not tell the format; say --format "
                           "csv, tsv, jsonl, lines or dump",
                           job->source);
    return STATUS_DONE;
}

static int take_options(struct import *job, struct rows_config *config)
{
    const struct args *args = job->args;
    bool table;

    if (take_format(job, config) || take_separator(job, config) ||
        data_keyspace_options(job->tool, args, &job->how))
        return STATUS_MISUSED;
    table = config->format == FORMAT_CSV || config->format == FORMAT_TSV;
    config->header = !args_has(args, OPTION_NO_HEADER);
    config->key = args_text(args, OPTION_KEY);
    config->value = args_text(args, OPTION_VALUE);
    job->keep_going = args_has(args, OPTION_KEEP_GOING);
    if (!table && (args_has(args, OPTION_SEPARATOR) || !config->header))
        return tool_misuse(job->tool, "--separator and --no-header are for csv and tsv");
    if (!table && config->format != FORMAT_JSONL && (config->key || config->value))
        return tool_misuse(job->tool, "--key and --value are for csv, tsv and jsonl");
    if (config->format == FORMAT_JSONL && config->value && !config->key)
        return tool_misuse(job->tool, "--value wants --key with it: which field is the key?");
    if (config->format != FORMAT_DUMP && !job->name)
        return tool_misuse(job->tool, "only a dump names its keyspaces; say which one");
    if (args_number(job->tool, args, OPTION_BATCH, 1, &job->batch) ||
        lifetime_option(job->tool, args, &job->ttl_ms))
        return STATUS_MISUSED;
    return args_number(job->tool, args, OPTION_PROGRESS_FD, 1, &job->progress_fd);
}

/* ---- keyspaces ---------------------------------------------------------------------------- */

static int remember_made(struct import *job, const char *name)
{
    char **made = realloc(job->made, (job->made_count + 1) * sizeof *made);

    if (made) job->made = made;
    if (!made || !(made[job->made_count] = strdup(name)))
        return tool_fail(job->tool, "there is no memory for the import");
    job->made_count++;
    return STATUS_DONE;
}

/* Goes on with the keyspace `name`, and makes it if need be, with what the dump says of it. */
static int enter_keyspace(struct import *job, const char *name, uint64_t ttl_ms)
{
    sdb_status status = sdb_keyspace_open(job->db, name, SDB_KEYSPACE_MUST_EXIST, &job->keyspace);
    struct sdb_keyspace_options how = job->how;

    if (status == SDB_NOTFOUND) {
        if (remember_made(job, name)) return STATUS_FAILED;
        if (ttl_ms) how.ttl_ms = ttl_ms;
        status = sdb_keyspace_make(job->db, name, &how, &job->keyspace);
    }
    return status == SDB_OK ? STATUS_DONE : tool_fail_status(job->tool, status);
}

/* Takes away what an import that failed has made. */
static void drop_made(struct import *job)
{
    for (size_t i = 0; i < job->made_count; i++) {
        sdb_keyspace *keyspace;
        sdb_status status =
            sdb_keyspace_open(job->db, job->made[i], SDB_KEYSPACE_MUST_EXIST, &keyspace);

        if (status == SDB_OK) status = sdb_keyspace_drop(keyspace);
        if (status < 0) (void)tool_fail_status(job->tool, status);
    }
}

/* A keyspace that the import has made under a name of its own is else what the dump says. */
static int take_ttl(struct import *job, uint64_t ttl_ms)
{
    sdb_status status = SDB_OK;

    if (ttl_ms && job->made_count) status = sdb_keyspace_set_ttl(job->keyspace, ttl_ms);
    return status == SDB_OK ? STATUS_DONE : tool_fail_status(job->tool, status);
}

/* ---- the two passes ----------------------------------------------------------------------- */

static int interrupted(const struct import *job)
{
    if (!job->batch) return tool_fail(job->tool, "interrupted; nothing was imported");
    return tool_fail(job->tool, "interrupted; the first %s rows are committed",
                     tool_number(job->committed));
}

/* What a keyspace record of a dump means for this import. */
static int check_dump(struct import *job)
{
    if (job->name && job->rows.dump.keyspaces > 1)
        return tool_fail(job->tool,
                         "%s: it holds %s keyspaces; leave the keyspace out to import all",
                         job->label, tool_number(job->rows.dump.keyspaces));
    return STATUS_DONE;
}

/* Reads the whole source and judges it. */
static int judge(struct import *job)
{
    enum rows_answer answer;
    struct row row;
    uint64_t count = 0;

    progress_begin(&job->progress, "reading", PROGRESS_BYTES);
    while ((answer = rows_next(&job->rows, &row)) != ROWS_END && answer != ROWS_FATAL) {
        if (answer == ROWS_KEYSPACE && check_dump(job)) return STATUS_FAILED;
        if (answer == ROWS_BAD) note_bad(job);
        if (++count % POLL) continue;
        if (tool_interrupted()) return interrupted(job);
        progress_at(&job->progress, source_position(&job->rows.source), job->rows.source.size);
    }
    (void)progress_end(&job->progress);
    if (answer == ROWS_FATAL) (void)fail_at(job, job->rows.where, job->rows.reason);
    if (answer == ROWS_FATAL || job->bad)
        return tool_fail(job->tool, "nothing was imported%s",
                         job->bad ? "; --keep-going skips bad rows" : "");
    if (!rows_rewind(&job->rows)) return fail_at(job, "", job->rows.reason);
    return STATUS_DONE;
}

static int commit(struct import *job)
{
    sdb_status status;

    if (job->txn) {
        status = sdb_txn_commit(job->txn);
        job->txn = NULL;
        if (status != SDB_OK) return tool_fail_status(job->tool, status);
    }
    job->committed = job->put;
    if (job->progress_fd &&
        dprintf((int)job->progress_fd, "committed %llu\n", (unsigned long long)job->committed) < 0)
        return tool_fail(job->tool, "--progress-fd %d cannot be written", (int)job->progress_fd);
    return STATUS_DONE;
}

static int put_row(struct import *job, const struct row *row)
{
    bool told = args_has(job->args, OPTION_TTL);
    sdb_status status = SDB_OK;

    if (!job->txn) status = sdb_txn_begin(job->db, SDB_TXN_BATCH, &job->txn);
    if (status == SDB_OK && (told || row->has_expiry))
        status = sdb_put_expiring(job->txn, job->keyspace, row->key, row->value,
                                  told ? job->expiry_ms : row->expiry_ms);
    else if (status == SDB_OK)
        status = sdb_put(job->txn, job->keyspace, row->key, row->value);
    if (status == SDB_OK) {
        job->put++;
        job->bytes += row->key.size + row->value.size;
        return job->batch && job->put % job->batch == 0 ? commit(job) : STATUS_DONE;
    }
    (void)tool_fail_status(job->tool, status);
    if (!job->batch && (status == SDB_LIMIT || status == SDB_NOMEM))
        tool_note("sdb: --batch N imports in pieces, which take less memory");
    return STATUS_FAILED;
}

/* Reads the source and puts its rows. */
static int load(struct import *job)
{
    enum rows_answer answer;
    struct row row;
    int done = job->name ? enter_keyspace(job, job->name, 0) : STATUS_DONE;

    job->expiry_ms = lifetime_end(job->ttl_ms);
    progress_begin(&job->progress, "importing", PROGRESS_BYTES);
    for (uint64_t count = 1; !done; count++) {
        answer = rows_next(&job->rows, &row);
        if (answer == ROWS_END) break;
        if (answer == ROWS_FATAL) return fail_at(job, job->rows.where, job->rows.reason);
        if (answer == ROWS_BAD && !job->keep_going)
            return fail_at(job, job->rows.where, job->rows.reason);
        if (answer == ROWS_BAD) note_bad(job);
        if (answer == ROWS_ROW) done = put_row(job, &row);
        if (answer == ROWS_KEYSPACE) done = check_dump(job);
        if (answer == ROWS_KEYSPACE && !done)
            done = job->name ? take_ttl(job, row.ttl_ms)
                             : enter_keyspace(job, row.keyspace, row.ttl_ms);
        if (count % POLL) continue;
        if (!done && tool_interrupted()) return interrupted(job);
        progress_at(&job->progress, source_position(&job->rows.source), job->rows.source.size);
    }
    if (!done && !job->batch) progress_last(&job->progress, "committing");
    return done ? done : commit(job);
}

static void report(const struct import *job, double seconds)
{
    const char *into = job->name ? job->name : "the dump's keyspaces";
    struct bytebuf text = {0};

    if (args_has(job->args, OPTION_JSON)) {
        bytebuf_add_byte(&text, '{');
        if (job->name) {
            encode_json_member(&text, "keyspace", job->name, strlen(job->name));
            bytebuf_add_byte(&text, ',');
        }
        bytebuf_add_format(&text, "\"rows\":%llu,\"skipped\":%llu,\"bytes\":%llu,\"seconds\":%.6f}",
                           (unsigned long long)job->put, (unsigned long long)job->bad,
                           (unsigned long long)job->bytes, seconds);
    } else {
        bytebuf_add_format(&text, "imported %s row%s into %s: %s, %s rows/s", tool_number(job->put),
                           job->put == 1 ? "" : "s", into, tool_duration(seconds),
                           tool_number((uint64_t)((double)job->put / (seconds > 0 ? seconds : 1))));
        if (job->bad)
            bytebuf_add_format(&text, "; %s bad row%s skipped", tool_number(job->bad),
                               job->bad == 1 ? "" : "s");
    }
    (void)printf("%s\n", bytebuf_text(&text));
    bytebuf_done(&text);
}

/* Undoes what a failed import began, and says where it stands. */
static void give_up(struct import *job)
{
    sdb_txn_abort(job->txn);
    job->txn = NULL;
    if (!job->batch) drop_made(job);
    if (tool_interrupted()) return;
    if (job->batch)
        (void)tool_fail(job->tool, "the first %s rows are committed", tool_number(job->committed));
    else
        (void)tool_fail(job->tool, "nothing was imported");
}

int import_into(struct tool *tool, sdb_db **db, const struct args *args, const char *keyspace,
                const char *source)
{
    struct import *job = calloc(1, sizeof *job);
    struct rows_config config = {0};
    double begun = tool_seconds();
    bool twice;
    int done;

    if (!job) return tool_fail(tool, "there is no memory for the import");
    job->tool = tool;
    job->args = args;
    job->name = keyspace;
    job->source = source;
    job->label = strcmp(source, "-") == 0 ? "standard input" : source;
    done = take_options(job, &config);
    if (done) goto out;
    twice = !job->batch && !job->keep_going;
    if (!rows_open(&job->rows, source, &config, twice)) done = fail_at(job, "", job->rows.reason);
    if (!done && twice) done = judge(job);
    if (!done && !*db) done = tool_open(tool, tool->path, TOOL_MAKE, db);
    job->db = *db;
    if (!done) {
        done = load(job);
        if (done) give_up(job);
    }
    (void)progress_end(&job->progress);
    if (!done) report(job, tool_seconds() - begun);
    rows_close(&job->rows);
out:
    for (size_t i = 0; i < job->made_count; i++) free(job->made[i]);
    free(job->made);
    free(job);
    return done;
}

int cmd_import(struct tool *tool, const struct args *args)
{
    const char *keyspace = args->count > 2 ? args->operand[1].text : NULL;
    sdb_db *db = NULL; /* opened when the source was found good: a bad one makes no database */
    int done = args_opening(tool, args);

    tool->path = args->operand[0].text;
    if (!done) done = import_into(tool, &db, args, keyspace, args->operand[args->count - 1].text);
    return tool_close(tool, db, done);
}
