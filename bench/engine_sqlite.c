/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_sqlite.c
 *
 * Idea: one connection a session, every statement prepared once, bytes bound without a copy.
 *
 * A cursor is the running statement of one of three orders; NEXT and PREV are its next step. SQLite
 * has one writer at a time: others wait in the busy handler.
 *
 * Source: sqlite.org: "Write-Ahead Logging", "Memory-Mapped I/O", "The WITHOUT ROWID Optimization",
 * "Using SQLite In Multi-Threaded Applications" (a connection a thread, SQLITE_OPEN_NOMUTEX).
 */
#include "bench/engine.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUSY_MS = 120000, PATH_SIZE = 4096, PRAGMA_SIZE = 512 };

typedef enum statement {
    PUT,
    DEL,
    GET,
    UP,   /* ascending */
    DOWN, /* descending */
    FROM, /* ascending from a key */
    BEGIN_WRITE,
    BEGIN_READ,
    COMMIT,
    STATEMENTS
} statement;

static const char *const texts[STATEMENTS] = {
    [PUT] = "INSERT OR REPLACE INTO bench(k, v) VALUES(?1, ?2)",
    [DEL] = "DELETE FROM bench WHERE k = ?1",
    [GET] = "SELECT v FROM bench WHERE k = ?1",
    [UP] = "SELECT k, v FROM bench ORDER BY k",
    [DOWN] = "SELECT k, v FROM bench ORDER BY k DESC",
    [FROM] = "SELECT k, v FROM bench WHERE k >= ?1 ORDER BY k",
    [BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [BEGIN_READ] = "BEGIN",
    [COMMIT] = "COMMIT",
};

struct bench_db {
    char path[PATH_SIZE];
    char pragmas[PRAGMA_SIZE]; /* of every connection */
    sqlite3 *keeper;           /* stays open, so that closing sessions does not end the WAL */
};

struct bench_session {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    sqlite3_stmt *running; /* its row is what the last get or move returned */
};

static bench_answer failed(sqlite3 *db, const char *call)
{
    return bench_fail("%s: %s", call, sqlite3_errmsg(db));
}

static void version(char *out, size_t size)
{
    snprintf(out, size, "%s", sqlite3_libversion());
}

static bench_answer connect(const bench_db *db, sqlite3 **out)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    bench_answer answer;

    if (sqlite3_open_v2(db->path, out, flags, NULL) == SQLITE_OK &&
        sqlite3_busy_timeout(*out, BUSY_MS) == SQLITE_OK &&
        sqlite3_exec(*out, db->pragmas, NULL, NULL, NULL) == SQLITE_OK)
        return BENCH_OK;
    answer = failed(*out, "open");
    sqlite3_close(*out);
    *out = NULL;
    return answer;
}

static bench_answer db_open(const bench_setup *setup, bench_db **out_db)
{
    static const char *const levels[] = {
        [BENCH_DURABILITY_NONE] = "OFF",
        [BENCH_DURABILITY_GROUP] = "NORMAL",
        [BENCH_DURABILITY_FULL] = "FULL",
    };
    bench_db *db = calloc(1, sizeof *db);

    if (db == NULL) return bench_fail("out of memory");
    snprintf(db->path, sizeof db->path, "%s/bench.sqlite", setup->directory);
    snprintf(db->pragmas, sizeof db->pragmas,
             "PRAGMA journal_mode=WAL; PRAGMA synchronous=%s; PRAGMA mmap_size=%llu;"
             "PRAGMA cache_size=-%llu",
             levels[setup->durability],
             (unsigned long long)(setup->direct ? 0 : setup->cache_bytes),
             (unsigned long long)(setup->cache_bytes / 1024 / setup->threads));
    if (connect(db, &db->keeper) != BENCH_OK) {
        free(db);
        return BENCH_FAILED;
    }
    if (sqlite3_exec(db->keeper,
                     "CREATE TABLE IF NOT EXISTS bench(k BLOB PRIMARY KEY, v BLOB NOT NULL) "
                     "WITHOUT ROWID",
                     NULL, NULL, NULL) != SQLITE_OK) {
        (void)failed(db->keeper, "CREATE TABLE");
        sqlite3_close(db->keeper);
        free(db);
        return BENCH_FAILED;
    }
    *out_db = db;
    return BENCH_OK;
}

static bench_answer db_close(bench_db *db)
{
    int rc = sqlite3_close(db->keeper);

    free(db);
    return rc == SQLITE_OK ? BENCH_OK : bench_fail("sqlite3_close: %s", sqlite3_errstr(rc));
}

static bench_answer settle(bench_db *db)
{
    int rc = sqlite3_wal_checkpoint_v2(db->keeper, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);

    return rc == SQLITE_OK ? BENCH_OK : failed(db->keeper, "sqlite3_wal_checkpoint_v2");
}

static void session_close(bench_session *session)
{
    if (session == NULL) return;
    for (unsigned i = 0; i < STATEMENTS; i++) sqlite3_finalize(session->statements[i]);
    sqlite3_close(session->db);
    free(session);
}

static bench_answer session_open(bench_db *db, bench_session **out_session)
{
    bench_session *session = calloc(1, sizeof *session);

    if (session == NULL) return bench_fail("out of memory");
    if (connect(db, &session->db) != BENCH_OK) {
        free(session);
        return BENCH_FAILED;
    }
    for (unsigned i = 0; i < STATEMENTS; i++) {
        if (sqlite3_prepare_v3(session->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &session->statements[i], NULL) != SQLITE_OK) {
            (void)failed(session->db, texts[i]);
            session_close(session);
            return BENCH_FAILED;
        }
    }
    *out_session = session;
    return BENCH_OK;
}

/* Ends the statement whose row was borrowed. */
static void rest(bench_session *session)
{
    if (session->running != NULL) sqlite3_reset(session->running);
    session->running = NULL;
}

/* Runs a statement that returns no rows. */
static bench_answer run(bench_session *session, statement which)
{
    sqlite3_stmt *s = session->statements[which];
    int rc = sqlite3_step(s);

    sqlite3_reset(s);
    return rc == SQLITE_DONE ? BENCH_OK : failed(session->db, texts[which]);
}

static void bind(sqlite3_stmt *s, int place, bench_bytes bytes)
{
    (void)sqlite3_bind_blob64(s, place, bytes.data, bytes.size, SQLITE_STATIC);
}

/* Makes the statement's next row the session's. */
static bench_answer step(bench_session *session, sqlite3_stmt *s)
{
    int rc = sqlite3_step(s);

    session->running = s;
    if (rc == SQLITE_ROW) return BENCH_OK;
    if (rc == SQLITE_DONE) return BENCH_END;
    return failed(session->db, "sqlite3_step");
}

static bench_bytes column(sqlite3_stmt *s, int place)
{
    const void *data = sqlite3_column_blob(s, place);

    return (bench_bytes){.data = data, .size = (size_t)sqlite3_column_bytes(s, place)};
}

static bench_answer write_begin(bench_session *session)
{
    rest(session);
    return run(session, BEGIN_WRITE);
}

static bench_answer write_commit(bench_session *session)
{
    return run(session, COMMIT);
}

static bench_answer put(bench_session *session, bench_bytes key, bench_bytes value)
{
    rest(session);
    bind(session->statements[PUT], 1, key);
    bind(session->statements[PUT], 2, value);
    return run(session, PUT);
}

static bench_answer del(bench_session *session, bench_bytes key)
{
    rest(session);
    bind(session->statements[DEL], 1, key);
    return run(session, DEL);
}

static bench_answer read_begin(bench_session *session)
{
    rest(session);
    return run(session, BEGIN_READ);
}

static void read_end(bench_session *session)
{
    rest(session);
    (void)run(session, COMMIT);
}

static bench_answer get(bench_session *session, bench_bytes key, bench_bytes *out_value)
{
    sqlite3_stmt *s = session->statements[GET];
    bench_answer answer;

    rest(session);
    bind(s, 1, key);
    answer = step(session, s);
    if (answer == BENCH_OK) *out_value = column(s, 0);
    return answer;
}

static bench_answer cursor_open(bench_session *session)
{
    rest(session);
    return BENCH_OK;
}

static bench_answer cursor_move(bench_session *session, bench_move move, bench_bytes key,
                                bench_entry *out_entry)
{
    static const statement starts[] = {
        [BENCH_FIRST] = UP, [BENCH_LAST] = DOWN, [BENCH_SEEK] = FROM};
    sqlite3_stmt *s = session->running;
    bench_answer answer;

    if (move == BENCH_FIRST || move == BENCH_LAST || move == BENCH_SEEK) {
        rest(session);
        s = session->statements[starts[move]];
        if (move == BENCH_SEEK) bind(s, 1, key);
    }
    answer = step(session, s);
    if (answer == BENCH_OK) *out_entry = (bench_entry){.key = column(s, 0), .value = column(s, 1)};
    return answer;
}

static void cursor_close(bench_session *session)
{
    rest(session);
}

extern const bench_engine bench_engine_sqlite;
const bench_engine bench_engine_sqlite = {
    .name = "sqlite",
    .settings = "journal_mode WAL, synchronous OFF (group: NORMAL, fillsync: FULL), mmap_size "
                "--cache_mb, cache_size --cache_mb over the sessions, table WITHOUT ROWID, one "
                "connection a thread, statements prepared once; --direct: mmap_size 0",
    .version = version,
    .open = db_open,
    .close = db_close,
    .settle = settle,
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
