/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_facts.c
 *
 * Idea: check, stat and version print what is so, for people or as JSON, and change nothing.
 * Invariants: I1 "sound" is printed only when every page was read back and verified. I2 every
 *   problem that the check reports is printed.
 * Not here: the checks themselves (sdb_check).
 */
#include <stdlib.h>
#include <string.h>

#include "tools/bytebuf.h"
#include "tools/commands.h"
#include "tools/data.h"
#include "tools/encode.h"
#include "tools/lifetime.h"
#include "tools/progress.h"

/* ---- check -------------------------------------------------------------------------------- */

struct check {
    struct progress progress; /* first: it is the context of progress_report */
    bool json;
    uint64_t problems;
};

static void print_problem(void *context, const char *problem)
{
    struct check *check = context;

    if (check->progress.shown) (void)progress_end(&check->progress);
    if (!check->json) {
        (void)printf("damaged: %s\n", problem);
    } else {
        struct bytebuf text = {0};

        if (encode_is_utf8(problem, strlen(problem))) {
            encode_json(&text, problem, strlen(problem));
        } else {
            struct bytebuf plain = {0};

            encode_shown(&plain, problem, strlen(problem));
            encode_json(&text, bytebuf_text(&plain), plain.size);
            bytebuf_done(&plain);
        }
        (void)printf("%s%s", check->problems ? "," : "", bytebuf_text(&text));
        bytebuf_done(&text);
    }
    check->problems++;
}

static void print_json_end(const sdb_check_result *result, const char *outcome)
{
    (void)printf("],\"outcome\":\"%s\",\"keyspaces\":%llu,\"entries\":%llu,\"pages\":%llu,"
                 "\"extents\":%llu,\"map_pages\":%llu,\"used_bytes\":%llu,\"free_bytes\":%llu,"
                 "\"log_records\":%llu,\"snapshots\":%llu}\n",
                 outcome, (unsigned long long)result->keyspaces,
                 (unsigned long long)result->entries, (unsigned long long)result->pages,
                 (unsigned long long)result->extents, (unsigned long long)result->map_pages,
                 (unsigned long long)result->used_bytes, (unsigned long long)result->free_bytes,
                 (unsigned long long)result->log_records, (unsigned long long)result->snapshots);
}

static void print_sound(const sdb_check_result *result, double seconds)
{
    char snapshots[64] = "";

    if (result->snapshots)
        (void)snprintf(snapshots, sizeof snapshots, " %s %s;", tool_number(result->snapshots),
                       result->snapshots == 1 ? "snapshot" : "snapshots");
    (void)printf("sound: %s %s in %s %s;%s %s pages, %s map pages, %s extents verified; "
                 "%s in use, %s free; %s log records; %s\n",
                 tool_number(result->entries), result->entries == 1 ? "entry" : "entries",
                 tool_number(result->keyspaces), result->keyspaces == 1 ? "keyspace" : "keyspaces",
                 snapshots,
                 tool_number(result->pages), tool_number(result->map_pages),
                 tool_number(result->extents), tool_bytes(result->used_bytes),
                 tool_bytes(result->free_bytes), tool_number(result->log_records),
                 tool_duration(seconds));
}

int check_show(struct tool *tool, sdb_db *db, bool json)
{
    struct check check = {.json = json};
    sdb_check_result result = {.size = sizeof result};
    sdb_status status;
    double seconds;

    if (json) (void)fputs("{\"problems\":[", stdout);
    progress_begin(&check.progress, "checking", PROGRESS_PAGES);
    status = db ? sdb_check(db, print_problem, progress_report, &check, &result)
                : sdb_check_file(tool->path, &tool->options, print_problem, progress_report, &check,
                                 &result);
    seconds = progress_end(&check.progress);
    if (json)
        print_json_end(&result, status == SDB_OK        ? "sound"
                                : status == SDB_CORRUPT ? "damaged"
                                                        : "not checked");
    if (status == SDB_OK) {
        if (!json) print_sound(&result, seconds);
        return STATUS_DONE;
    }
    if (status == SDB_CANCELLED) return tool_fail(tool, "interrupted; the check is not complete");
    if (status != SDB_CORRUPT || !check.problems) return tool_fail_status(tool, status);
    return tool_fail(tool, "damaged: %s %s", tool_number(check.problems),
                     check.problems == 1 ? "problem" : "problems");
}

int cmd_check(struct tool *tool, const struct args *args)
{
    int done = args_opening(tool, args);

    tool->path = args->operand[0].text;
    return done ? done : check_show(tool, NULL, args_has(args, OPTION_JSON));
}

/* ---- stat --------------------------------------------------------------------------------- */

enum unit { UNIT_NUMBER, UNIT_BYTES, UNIT_MS, UNIT_TEXT };

/* One line of `sdb stat`: where in sdb_stats it stands, and how people read it. */
struct fact {
    const char *name; /* as in sdb_stats, and in JSON */
    const char *label;
    size_t offset;
    size_t width; /* bytes: 4 or 8; 0 for text */
    enum unit unit;
};

#define FACT(name, label, unit)                                                                    \
    {                                                                                              \
#name, label, offsetof(sdb_stats, name), sizeof((sdb_stats *)0)->name, unit                \
    }

static const struct fact facts[] = {
    FACT(backend, "I/O backend", UNIT_TEXT),
    FACT(backend_note, "why not io_uring", UNIT_TEXT),
    FACT(page_size, "page size", UNIT_BYTES),
    FACT(keyspaces, "keyspaces", UNIT_NUMBER),
    FACT(file_bytes, "file", UNIT_BYTES),
    FACT(used_bytes, "of it in use", UNIT_BYTES),
    FACT(hole_bytes, "holes in it", UNIT_BYTES),
    FACT(leaked_trees, "leaked by damage", UNIT_NUMBER),
    FACT(log_bytes, "log to replay", UNIT_BYTES),
    FACT(log_kept_bytes, "log kept beyond", UNIT_BYTES),
    FACT(log_waits, "waits for the log", UNIT_NUMBER),
    FACT(pages, "tree pages", UNIT_NUMBER),
    FACT(extents, "large values", UNIT_NUMBER),
    FACT(cache_bytes, "cache in use", UNIT_BYTES),
    FACT(cache_limit_bytes, "cache limit", UNIT_BYTES),
    FACT(cache_other_bytes, "page map, tables", UNIT_BYTES),
    FACT(dirty_pages, "changed pages", UNIT_NUMBER),
    FACT(page_hits, "page hits", UNIT_NUMBER),
    FACT(page_misses, "page misses", UNIT_NUMBER),
    FACT(page_hit_per_mille, "hits in 1000", UNIT_NUMBER),
    FACT(pages_read_ahead, "read ahead", UNIT_NUMBER),
    FACT(pages_evicted, "pages evicted", UNIT_NUMBER),
    FACT(pages_written, "pages written", UNIT_NUMBER),
    FACT(bytes_read, "read", UNIT_BYTES),
    FACT(bytes_written, "written", UNIT_BYTES),
    FACT(syncs, "syncs", UNIT_NUMBER),
    FACT(commits, "commits", UNIT_NUMBER),
    FACT(conflicts, "conflicts", UNIT_NUMBER),
    FACT(log_records, "log records", UNIT_NUMBER),
    FACT(log_batches, "log writes", UNIT_NUMBER),
    FACT(log_body_bytes, "log, uncompressed", UNIT_BYTES),
    FACT(log_written_bytes, "log, written", UNIT_BYTES),
    FACT(checkpoints, "checkpoints", UNIT_NUMBER),
    FACT(last_checkpoint_ms, "last checkpoint", UNIT_MS),
    FACT(open_snapshots, "open snapshots", UNIT_NUMBER),
    FACT(version_entries, "old versions", UNIT_NUMBER),
    FACT(version_bytes, "their memory", UNIT_BYTES),
    FACT(spilled_bytes, "spilled", UNIT_BYTES),
    FACT(recovered_commits, "recovered commits", UNIT_NUMBER),
    FACT(recovery_ms, "recovery", UNIT_MS),
    FACT(commit_sequence, "commit number", UNIT_NUMBER),
    FACT(named_snapshots, "named snapshots", UNIT_NUMBER),
    FACT(snapshot_bytes, "only they need", UNIT_BYTES),
    FACT(compressed_pages, "compressed pages", UNIT_NUMBER),
    FACT(compressed_bytes, "they take", UNIT_BYTES),
    FACT(expiring_keyspaces, "with expiries", UNIT_NUMBER),
    FACT(expired_removed, "expired, removed", UNIT_NUMBER),
    FACT(expiry_rounds, "walks to find them", UNIT_NUMBER),
};

#define FACT_COUNT (sizeof facts / sizeof *facts)

static uint64_t fact_number(const sdb_stats *stats, const struct fact *fact)
{
    const char *at = (const char *)stats + fact->offset;
    uint64_t wide = 0;
    uint32_t narrow = 0;

    if (fact->width == sizeof wide) {
        memcpy(&wide, at, sizeof wide);
        return wide;
    }
    memcpy(&narrow, at, sizeof narrow);
    return narrow;
}

/* What the compressed keyspaces save: a row each, or (render NULL) the members of a JSON array. */
static sdb_status show_compressed(sdb_db *db, struct render *render)
{
    char name[SDB_KEYSPACE_NAME_MAX + 1] = "", label[sizeof name + 16], text[100];
    unsigned count = 0;

    while (data_next_keyspace(db, name)) {
        sdb_keyspace_stats s = {.size = sizeof s};
        sdb_keyspace *keyspace;
        sdb_status status = sdb_keyspace_open(db, name, SDB_KEYSPACE_MUST_EXIST, &keyspace);
        double part;

        if (status == SDB_OK) status = sdb_keyspace_stat(keyspace, &s);
        if (status == SDB_NOTFOUND) continue; /* it has been dropped meanwhile */
        if (status != SDB_OK) return status;
        if (s.compression == SDB_COMPRESSION_NONE) continue;
        part = s.page_bytes ? 100.0 * (double)s.stored_bytes / (double)s.page_bytes : 100;
        if (render) {
            sdb_slice cells[2];

            (void)snprintf(label, sizeof label, "compressed %s", name);
            (void)snprintf(text, sizeof text, "%s, pages take %.0f %%", data_compression(&s), part);
            if (s.dictionary_bytes)
                (void)snprintf(text + strlen(text), sizeof text - strlen(text),
                               ", a dictionary of %s", tool_bytes(s.dictionary_bytes));
            cells[0] = (sdb_slice){label, strlen(label)};
            cells[1] = (sdb_slice){text, strlen(text)};
            (void)render_row(render, cells);
        } else {
            struct bytebuf out = {0};

            encode_json_member(&out, "keyspace", name, strlen(name));
            (void)printf("%s{%s,\"compression\":\"%s\",\"page_bytes\":%llu,"
                         "\"stored_bytes\":%llu,\"dictionary_bytes\":%llu}",
                         count++ ? "," : "", bytebuf_text(&out), data_compression(&s),
                         (unsigned long long)s.page_bytes, (unsigned long long)s.stored_bytes,
                         (unsigned long long)s.dictionary_bytes);
            bytebuf_done(&out);
        }
    }
    return SDB_OK;
}

/* How long values live in the keyspaces that say so: as show_compressed. */
static sdb_status show_lifetimes(sdb_db *db, struct render *render)
{
    char name[SDB_KEYSPACE_NAME_MAX + 1] = "", label[sizeof name + 16];
    unsigned count = 0;

    while (data_next_keyspace(db, name)) {
        sdb_keyspace *keyspace;
        sdb_status status = sdb_keyspace_open(db, name, SDB_KEYSPACE_MUST_EXIST, &keyspace);
        uint64_t ttl_ms = 0;

        if (status == SDB_OK) status = sdb_keyspace_ttl(keyspace, &ttl_ms);
        if (status == SDB_NOTFOUND || (status == SDB_OK && ttl_ms == 0)) continue;
        if (status != SDB_OK) return status;
        if (render) {
            const char *text = lifetime_text(ttl_ms);
            sdb_slice cells[2];

            (void)snprintf(label, sizeof label, "lifetime in %s", name);
            cells[0] = (sdb_slice){label, strlen(label)};
            cells[1] = (sdb_slice){text, strlen(text)};
            (void)render_row(render, cells);
        } else {
            struct bytebuf out = {0};

            encode_json_member(&out, "keyspace", name, strlen(name));
            (void)printf("%s{%s,\"ttl_ms\":%llu}", count++ ? "," : "", bytebuf_text(&out),
                         (unsigned long long)ttl_ms);
            bytebuf_done(&out);
        }
    }
    return SDB_OK;
}

static sdb_status stat_json(sdb_db *db, const sdb_stats *stats)
{
    struct bytebuf text = {0};
    sdb_status status;

    for (size_t i = 0; i < FACT_COUNT; i++) {
        const char *at = (const char *)stats + facts[i].offset;

        bytebuf_add_byte(&text, i ? ',' : '{');
        if (facts[i].unit == UNIT_TEXT)
            encode_json_member(&text, facts[i].name, at, strnlen(at, facts[i].width));
        else
            bytebuf_add_format(&text, "\"%s\":%llu", facts[i].name,
                               (unsigned long long)fact_number(stats, &facts[i]));
    }
    (void)printf("%s,\"lifetimes\":[", bytebuf_text(&text));
    bytebuf_done(&text);
    status = show_lifetimes(db, NULL);
    (void)printf("],\"compressed\":[");
    if (status == SDB_OK) status = show_compressed(db, NULL);
    (void)printf("]}\n");
    return status;
}

static const char *fact_text(const sdb_stats *stats, const struct fact *fact)
{
    switch (fact->unit) {
    case UNIT_BYTES: return tool_bytes(fact_number(stats, fact));
    case UNIT_MS: return tool_duration((double)fact_number(stats, fact) / 1e3);
    case UNIT_TEXT: return (const char *)stats + fact->offset;
    case UNIT_NUMBER: break;
    }
    return tool_number(fact_number(stats, fact));
}

int stat_show(struct tool *tool, sdb_db *db, enum render_mode mode)
{
    static const struct render_column columns[2] = {{"what", false}, {"value", false}};
    sdb_stats stats = {.size = sizeof stats};
    struct render render;
    sdb_status status = sdb_stat(db, &stats);

    if (status != SDB_OK) return tool_fail_status(tool, status);
    if (mode == RENDER_JSON) {
        status = stat_json(db, &stats);
        return status == SDB_OK ? STATUS_DONE : tool_fail_status(tool, status);
    }
    render_begin(&render, mode, columns, 2, NULL, stdout);
    for (size_t i = 0; i < FACT_COUNT; i++) {
        const char *text = fact_text(&stats, &facts[i]);
        sdb_slice cells[2] = {{facts[i].label, strlen(facts[i].label)}, {text, strlen(text)}};

        if (*text && !render_row(&render, cells)) break;
    }
    status = show_compressed(db, &render);
    if (status == SDB_OK) status = show_lifetimes(db, &render);
    if (status != SDB_OK) {
        (void)render_end(&render, false);
        return tool_fail_status(tool, status);
    }
    return render_end(&render, false) ? STATUS_DONE : STATUS_FAILED;
}

int cmd_stat(struct tool *tool, const struct args *args)
{
    sdb_db *db;
    int done = args_opening(tool, args);

    if (!done) done = tool_open(tool, args->operand[0].text, TOOL_READ, &db);
    if (done) return done;
    done = stat_show(tool, db, args_has(args, OPTION_JSON) ? RENDER_JSON : RENDER_TABLE);
    return tool_close(tool, db, done);
}

/* ---- version ------------------------------------------------------------------------------ */

int cmd_version(struct tool *tool, const struct args *args)
{
    bool editing = false;

    (void)tool;
#ifdef HAVE_LIBEDIT
    editing = true;
#endif
    if (args_has(args, OPTION_JSON))
        (void)printf("{\"version\":\"%s\",\"line_editing\":%s}\n", sdb_version(),
                     editing ? "true" : "false");
    else
        (void)printf("sdb %s (%s line editing)\n", sdb_version(), editing ? "with" : "without");
    return STATUS_DONE;
}
