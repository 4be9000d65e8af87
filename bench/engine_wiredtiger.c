/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_wiredtiger.c
 *
 * Idea: one WT_SESSION and one WT_CURSOR a session, kept open; a lone change or read is an
 * autocommit operation, a batch or a snapshot a transaction.
 *
 * Without sync a commit may still lie in the log buffer of the process, and be lost when the
 * process dies: a weaker promise than that of the other engines here, and WiredTiger's default.
 * With transaction_sync=(enabled=true,method=none) it would be the same promise, at half the speed.
 *
 * Source: WiredTiger 3.2: "Multithreading" (a session a thread), "Commit-level durability", "Cursor
 * operations".
 */
#include "bench/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <wiredtiger.h>

enum { CONFIG_SIZE = 512, SPARE_SESSIONS = 20 };

static const char table[] = "table:bench";

struct bench_db {
    WT_CONNECTION *connection;
};

struct bench_session {
    WT_SESSION *session;
    WT_CURSOR *cursor;
    bool in_batch;
};

static bench_answer failed(const char *call, int rc)
{
    return bench_fail("%s: %s", call, wiredtiger_strerror(rc));
}

static void version(char *out, size_t size)
{
    int major;
    int minor;
    int patch;

    (void)wiredtiger_version(&major, &minor, &patch);
    snprintf(out, size, "%d.%d.%d", major, minor, patch);
}

static int table_create(WT_CONNECTION *connection)
{
    WT_SESSION *session;
    int rc = connection->open_session(connection, NULL, NULL, &session);

    if (rc != 0) return rc;
    rc = session->create(session, table, "key_format=u,value_format=u");
    (void)session->close(session, NULL);
    return rc;
}

static bench_answer db_open(const bench_setup *setup, bench_db **out_db)
{
    bench_db *db = calloc(1, sizeof *db);
    char config[CONFIG_SIZE];
    int rc;

    if (db == NULL) return bench_fail("out of memory");
    snprintf(config, sizeof config,
             "create,cache_size=%lluM,session_max=%u,log=(enabled=true),"
             "transaction_sync=(enabled=%s,method=fsync),checkpoint=(wait=60,log_size=2GB),"
             "statistics=(none)%s",
             (unsigned long long)(setup->cache_bytes >> 20), setup->threads + SPARE_SESSIONS,
             setup->durability == BENCH_DURABILITY_FULL ? "true" : "false",
             setup->direct ? ",direct_io=(data)" : "");
    rc = wiredtiger_open(setup->directory, NULL, config, &db->connection);
    if (rc != 0) {
        free(db);
        return failed("wiredtiger_open", rc);
    }
    rc = table_create(db->connection);
    if (rc != 0) {
        (void)db->connection->close(db->connection, NULL);
        free(db);
        return failed("create", rc);
    }
    *out_db = db;
    return BENCH_OK;
}

static bench_answer db_close(bench_db *db)
{
    int rc = db->connection->close(db->connection, NULL);

    free(db);
    return rc == 0 ? BENCH_OK : failed("close", rc);
}

static bench_answer settle(bench_db *db)
{
    WT_SESSION *session;
    int rc = db->connection->open_session(db->connection, NULL, NULL, &session);

    if (rc != 0) return failed("open_session", rc);
    rc = session->checkpoint(session, NULL);
    (void)session->close(session, NULL);
    return rc == 0 ? BENCH_OK : failed("checkpoint", rc);
}

static void session_close(bench_session *session)
{
    if (session == NULL) return;
    (void)session->session->close(session->session, NULL);
    free(session);
}

static bench_answer session_open(bench_db *db, bench_session **out_session)
{
    bench_session *session = calloc(1, sizeof *session);
    int rc;

    if (session == NULL) return bench_fail("out of memory");
    rc = db->connection->open_session(db->connection, NULL, NULL, &session->session);
    if (rc != 0) {
        free(session);
        return failed("open_session", rc);
    }
    rc = session->session->open_cursor(session->session, table, NULL, NULL, &session->cursor);
    if (rc != 0) {
        session_close(session);
        return failed("open_cursor", rc);
    }
    *out_session = session;
    return BENCH_OK;
}

static bench_answer write_begin(bench_session *session)
{
    int rc = session->session->begin_transaction(session->session, NULL);

    if (rc != 0) return failed("begin_transaction", rc);
    session->in_batch = true;
    return BENCH_OK;
}

/* A change or commit failed. A rollback asks for the batch again. */
static bench_answer write_failed(bench_session *session, const char *call, int rc)
{
    if (session->in_batch) (void)session->session->rollback_transaction(session->session, NULL);
    session->in_batch = false;
    return rc == WT_ROLLBACK ? BENCH_RETRY : failed(call, rc);
}

static bench_answer write_commit(bench_session *session)
{
    int rc;

    session->in_batch = false; /* whatever the answer, the transaction has ended */
    rc = session->session->commit_transaction(session->session, NULL);
    return rc == 0 ? BENCH_OK : write_failed(session, "commit_transaction", rc);
}

static void key_set(WT_CURSOR *cursor, bench_bytes key)
{
    WT_ITEM item = {.data = key.data, .size = key.size};

    cursor->set_key(cursor, &item);
}

static bench_answer put(bench_session *session, bench_bytes key, bench_bytes value)
{
    WT_CURSOR *cursor = session->cursor;
    WT_ITEM item = {.data = value.data, .size = value.size};
    int rc;

    key_set(cursor, key);
    cursor->set_value(cursor, &item);
    rc = cursor->insert(cursor);
    return rc == 0 ? BENCH_OK : write_failed(session, "insert", rc);
}

static bench_answer del(bench_session *session, bench_bytes key)
{
    WT_CURSOR *cursor = session->cursor;
    int rc;

    key_set(cursor, key);
    rc = cursor->remove(cursor);
    return rc == 0 || rc == WT_NOTFOUND ? BENCH_OK : write_failed(session, "remove", rc);
}

static bench_answer read_begin(bench_session *session)
{
    int rc;

    (void)session->cursor->reset(session->cursor);
    rc = session->session->begin_transaction(session->session, "isolation=snapshot");
    return rc == 0 ? BENCH_OK : failed("begin_transaction", rc);
}

static void read_end(bench_session *session)
{
    (void)session->session->commit_transaction(session->session, NULL);
}

static bench_answer get(bench_session *session, bench_bytes key, bench_bytes *out_value)
{
    WT_CURSOR *cursor = session->cursor;
    WT_ITEM item;
    int rc;

    key_set(cursor, key);
    rc = cursor->search(cursor);
    if (rc == WT_NOTFOUND) return BENCH_END;
    if (rc == 0) rc = cursor->get_value(cursor, &item);
    if (rc != 0) return failed("search", rc);
    *out_value = (bench_bytes){.data = item.data, .size = item.size};
    return BENCH_OK;
}

static bench_answer cursor_open(bench_session *session)
{
    return read_begin(session);
}

/* `search_near` may stop on either side of the key. */
static int seek(WT_CURSOR *cursor, bench_bytes key)
{
    int side;
    int rc;

    key_set(cursor, key);
    rc = cursor->search_near(cursor, &side);
    return rc == 0 && side < 0 ? cursor->next(cursor) : rc;
}

static bench_answer cursor_move(bench_session *session, bench_move move, bench_bytes key,
                                bench_entry *out_entry)
{
    WT_CURSOR *cursor = session->cursor;
    WT_ITEM k;
    WT_ITEM v;
    int rc = 0;

    if (move == BENCH_FIRST || move == BENCH_LAST) (void)cursor->reset(cursor);
    if (move == BENCH_SEEK)
        rc = seek(cursor, key);
    else if (move == BENCH_FIRST || move == BENCH_NEXT)
        rc = cursor->next(cursor);
    else
        rc = cursor->prev(cursor);
    if (rc == WT_NOTFOUND) return BENCH_END;
    if (rc == 0) rc = cursor->get_key(cursor, &k);
    if (rc == 0) rc = cursor->get_value(cursor, &v);
    if (rc != 0) return failed("cursor", rc);
    out_entry->key = (bench_bytes){.data = k.data, .size = k.size};
    out_entry->value = (bench_bytes){.data = v.data, .size = v.size};
    return BENCH_OK;
}

static void cursor_close(bench_session *session)
{
    (void)session->cursor->reset(session->cursor);
    read_end(session);
}

extern const bench_engine bench_engine_wiredtiger;
const bench_engine bench_engine_wiredtiger = {
    .name = "wiredtiger",
    .settings = "cache --cache_mb, log on, sync in fillsync only (elsewhere commits may be lost "
                "with the process), checkpoint every 60 s or 2 GB of log, no compression, pages "
                "and preallocated log files as by default; a session and a cursor a thread; "
                "--direct: direct_io=(data)",
    .can_direct = true,
    .version = version,
    .open = db_open,
    .close = db_close,
    .settle = settle,
    .checkpoint = settle,
    .session_open = session_open,
    .session_close = session_close,
    .write_begin = write_begin,
    .write_commit = write_commit,
    .put = put,
    .del = del,
    .read_begin = read_begin,
    .read_end = read_end,
    .get = get,
    .cursor_open = cursor_open,
    .cursor_move = cursor_move,
    .cursor_close = cursor_close,
};
