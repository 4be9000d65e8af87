/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_lmdb.c
 *
 * Idea: LMDB as its documentation has it for speed: a writable map, no sync; each session keeps one
 * reading transaction that is reset and renewed, and one cursor that is renewed with it.
 *
 * With full durability the map is not writable: LMDB then writes with pwrite and syncs once, which
 * is quicker than msync of the map (measured: fillsync).
 *
 * Source: lmdb.h 0.9.24, mdb_txn_renew, mdb_cursor_renew, MDB_WRITEMAP, MDB_NOTLS.
 */
#include "bench/engine.h"

#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAP_FACTOR = 8 };

struct bench_db {
    MDB_env *env;
    MDB_dbi dbi;
};

struct bench_session {
    bench_db *db;
    MDB_txn *reader; /* reset but between begin and end */
    MDB_cursor *cursor;
    MDB_txn *writer; /* between write_begin and write_commit */
    bool in_snapshot;
};

static bench_answer failed(const char *call, int rc)
{
    return bench_fail("%s: %s", call, mdb_strerror(rc));
}

static void version(char *out, size_t size)
{
    int major;
    int minor;
    int patch;

    mdb_version(&major, &minor, &patch);
    snprintf(out, size, "%d.%d.%d", major, minor, patch);
}

static int table_open(bench_db *db)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(db->env, NULL, 0, &txn);

    if (rc != 0) return rc;
    rc = mdb_dbi_open(txn, NULL, MDB_CREATE, &db->dbi);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

static bench_answer db_open(const bench_setup *setup, bench_db **out_db)
{
    unsigned flags = MDB_NOTLS;
    size_t map = (size_t)(setup->data_bytes * MAP_FACTOR + (UINT64_C(1) << 30));
    bench_db *db = calloc(1, sizeof *db);
    int rc;

    if (db == NULL) return bench_fail("out of memory");
    if (setup->durability != BENCH_DURABILITY_FULL)
        flags |= MDB_WRITEMAP | MDB_NOSYNC | MDB_NOMETASYNC;
    if (setup->direct) flags |= MDB_NORDAHEAD;
    rc = mdb_env_create(&db->env);
    if (rc != 0) goto fail;
    rc = mdb_env_set_mapsize(db->env, map & ~(size_t)0xfffff);
    if (rc == 0) rc = mdb_env_set_maxreaders(db->env, setup->threads + 8);
    if (rc == 0) rc = mdb_env_open(db->env, setup->directory, flags, 0666);
    if (rc == 0) rc = table_open(db);
    if (rc != 0) goto fail;
    *out_db = db;
    return BENCH_OK;

fail:
    if (db->env != NULL) mdb_env_close(db->env);
    free(db);
    return failed("open", rc);
}

static bench_answer db_close(bench_db *db)
{
    mdb_env_close(db->env);
    free(db);
    return BENCH_OK;
}

static bench_answer settle(bench_db *db)
{
    int rc = mdb_env_sync(db->env, 1);

    return rc == 0 ? BENCH_OK : failed("mdb_env_sync", rc);
}

static void session_close(bench_session *session)
{
    if (session == NULL) return;
    if (session->writer != NULL) mdb_txn_abort(session->writer);
    if (session->cursor != NULL) mdb_cursor_close(session->cursor);
    if (session->reader != NULL) mdb_txn_abort(session->reader);
    free(session);
}

static bench_answer session_open(bench_db *db, bench_session **out_session)
{
    bench_session *session = calloc(1, sizeof *session);
    int rc;

    if (session == NULL) return bench_fail("out of memory");
    session->db = db;
    rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &session->reader);
    if (rc == 0) rc = mdb_cursor_open(session->reader, db->dbi, &session->cursor);
    if (rc != 0) {
        session_close(session);
        return failed("session", rc);
    }
    mdb_txn_reset(session->reader);
    *out_session = session;
    return BENCH_OK;
}

static bench_answer write_begin(bench_session *session)
{
    int rc = mdb_txn_begin(session->db->env, NULL, 0, &session->writer);

    return rc == 0 ? BENCH_OK : failed("mdb_txn_begin", rc);
}

static bench_answer write_commit(bench_session *session)
{
    int rc = mdb_txn_commit(session->writer);

    session->writer = NULL;
    return rc == 0 ? BENCH_OK : failed("mdb_txn_commit", rc);
}

/* Ends a change: in a batch there is nothing to do, otherwise it is committed. */
static bench_answer change_end(bench_session *session, bool alone, const char *call, int rc)
{
    if (rc != 0) {
        mdb_txn_abort(session->writer);
        session->writer = NULL;
        return failed(call, rc);
    }
    return alone ? write_commit(session) : BENCH_OK;
}

static bench_answer put(bench_session *session, bench_bytes key, bench_bytes value)
{
    MDB_val k = {.mv_size = key.size, .mv_data = (void *)(uintptr_t)key.data};
    MDB_val v = {.mv_size = value.size, .mv_data = (void *)(uintptr_t)value.data};
    bool alone = session->writer == NULL;

    if (alone && write_begin(session) != BENCH_OK) return BENCH_FAILED;
    return change_end(session, alone, "mdb_put",
                      mdb_put(session->writer, session->db->dbi, &k, &v, 0));
}

static bench_answer del(bench_session *session, bench_bytes key)
{
    MDB_val k = {.mv_size = key.size, .mv_data = (void *)(uintptr_t)key.data};
    bool alone = session->writer == NULL;
    int rc;

    if (alone && write_begin(session) != BENCH_OK) return BENCH_FAILED;
    rc = mdb_del(session->writer, session->db->dbi, &k, NULL);
    return change_end(session, alone, "mdb_del", rc == MDB_NOTFOUND ? 0 : rc);
}

static bench_answer read_begin(bench_session *session)
{
    int rc = mdb_txn_renew(session->reader);

    if (rc != 0) return failed("mdb_txn_renew", rc);
    session->in_snapshot = true;
    return BENCH_OK;
}

static void read_end(bench_session *session)
{
    mdb_txn_reset(session->reader);
    session->in_snapshot = false;
}

/*
 * Outside a snapshot the transaction is renewed before and left open after, so that the value stays
 * readable until the session's next call; it is reset then.
 */
static bench_answer get(bench_session *session, bench_bytes key, bench_bytes *out_value)
{
    MDB_val k = {.mv_size = key.size, .mv_data = (void *)(uintptr_t)key.data};
    MDB_val v;
    int rc;

    if (!session->in_snapshot) {
        mdb_txn_reset(session->reader);
        rc = mdb_txn_renew(session->reader);
        if (rc != 0) return failed("mdb_txn_renew", rc);
    }
    rc = mdb_get(session->reader, session->db->dbi, &k, &v);
    if (rc == MDB_NOTFOUND) return BENCH_END;
    if (rc != 0) return failed("mdb_get", rc);
    *out_value = (bench_bytes){.data = v.mv_data, .size = v.mv_size};
    return BENCH_OK;
}

static bench_answer cursor_open(bench_session *session)
{
    int rc;

    mdb_txn_reset(session->reader);
    rc = mdb_txn_renew(session->reader);
    if (rc == 0) rc = mdb_cursor_renew(session->reader, session->cursor);
    return rc == 0 ? BENCH_OK : failed("mdb_cursor_renew", rc);
}

static bench_answer cursor_move(bench_session *session, bench_move move, bench_bytes key,
                                bench_entry *out_entry)
{
    static const MDB_cursor_op ops[] = {
        [BENCH_FIRST] = MDB_FIRST, [BENCH_LAST] = MDB_LAST, [BENCH_SEEK] = MDB_SET_RANGE,
        [BENCH_NEXT] = MDB_NEXT,   [BENCH_PREV] = MDB_PREV,
    };
    MDB_val k = {.mv_size = key.size, .mv_data = (void *)(uintptr_t)key.data};
    MDB_val v;
    int rc = mdb_cursor_get(session->cursor, &k, &v, ops[move]);

    if (rc == MDB_NOTFOUND) return BENCH_END;
    if (rc != 0) return failed("mdb_cursor_get", rc);
    out_entry->key = (bench_bytes){.data = k.mv_data, .size = k.mv_size};
    out_entry->value = (bench_bytes){.data = v.mv_data, .size = v.mv_size};
    return BENCH_OK;
}

static void cursor_close(bench_session *session)
{
    mdb_txn_reset(session->reader);
}

extern const bench_engine bench_engine_lmdb;
const bench_engine bench_engine_lmdb = {
    .name = "lmdb",
    .settings = "WRITEMAP, NOSYNC, NOMETASYNC, NOTLS; fillsync: only the last; the map is the "
                "operating system's, --cache_mb does not bound it; a session renews one reading "
                "transaction; no APPEND; --direct: NORDAHEAD",
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
