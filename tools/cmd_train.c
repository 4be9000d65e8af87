/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_train.c
 *
 * Idea: a dictionary is trained, and it is said what it is worth; or that it is worth nothing,
 * which is an answer too, and then nothing has changed.
 * Not here: training (sdb_keyspace_train).
 */
#include "tools/commands.h"
#include "tools/data.h"
#include "tools/progress.h"

static void show(const sdb_train_result *r, bool kept, bool json)
{
    double part = r->bytes_before ? 100.0 * (double)r->bytes_after / (double)r->bytes_before : 100;

    if (json)
        (void)printf("{\"kept\":%s,\"dictionary_bytes\":%llu,\"tried_pages\":%llu,"
                     "\"bytes_before\":%llu,\"bytes_after\":%llu}\n",
                     kept ? "true" : "false", (unsigned long long)r->dictionary_bytes,
                     (unsigned long long)r->tried_pages, (unsigned long long)r->bytes_before,
                     (unsigned long long)r->bytes_after);
    else if (kept)
        (void)printf("a dictionary of %s: pages take %.0f %% of what they took\n",
                     tool_bytes(r->dictionary_bytes), part);
}

int data_train(struct tool *tool, sdb_keyspace *keyspace, const struct args *args, bool json)
{
    sdb_train_result result = {.size = sizeof result};
    struct progress progress;
    sdb_status status;

    progress_begin(&progress, "writing pages anew", PROGRESS_PAGES);
    status = sdb_keyspace_train(keyspace, 0,
                                args_has(args, OPTION_REWRITE) ? SDB_TRAIN_REWRITE : 0,
                                progress_report, &progress, &result);
    (void)progress_end(&progress);
    if (status == SDB_NOTFOUND) {
        if (json) show(&result, false, json);
        return tool_fail(tool, "%s", sdb_errmsg());
    }
    if (status != SDB_OK) return tool_fail_status(tool, status);
    show(&result, true, json);
    return STATUS_DONE;
}

int cmd_kv_train(struct tool *tool, const struct args *args)
{
    sdb_db *db;
    sdb_keyspace *keyspace;
    int done = args_opening(tool, args);

    if (!done) done = tool_open(tool, args->operand[0].text, TOOL_WRITE, &db);
    if (done) return done;
    done = data_keyspace(tool, db, args->operand[1].text, &keyspace);
    if (!done) done = data_train(tool, keyspace, args, args_has(args, OPTION_JSON));
    return tool_close(tool, db, done);
}
