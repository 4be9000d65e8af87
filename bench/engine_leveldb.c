/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_leveldb.c
 *
 * Idea: LevelDB through its C interface: one write batch a session that is cleared and filled
 * again, an iterator for each scan. Its C reads copy the value into memory that the caller frees.
 *
 * There is no call that flushes the memtable; it is at most 64 MiB, and its log is on disk.
 *
 * Source: leveldb/c.h 1.23; doc/index.md, "Filters", "Cache". The memtable is RocksDB's size
 * instead of 4 MiB, so that the two merge alike.
 */
#include "bench/engine.h"

#include <leveldb/c.h>
#include <stdio.h>
#include <stdlib.h>

enum { FILTER_BITS = 10, MEMTABLE_BYTES = 64 << 20 };

struct bench_db {
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *filter;
    leveldb_writeoptions_t *write_options;
};

struct bench_session {
    leveldb_t *db;
    leveldb_writeoptions_t *write_options;
    leveldb_readoptions_t *read_options;
    leveldb_writebatch_t *batch;
    const leveldb_snapshot_t *snapshot;
    char *value; /* what the last get returned */
    leveldb_iterator_t *iterator;
    bool in_batch;
};

/* Takes `error`, which LevelDB allocated. */
static bench_answer failed(const char *call, char *error)
{
    bench_answer answer = bench_fail("%s: %s", call, error);

    leveldb_free(error);
    return answer;
}

static void version(char *out, size_t size)
{
    snprintf(out, size, "%d.%d", leveldb_major_version(), leveldb_minor_version());
}

static void db_free(bench_db *db)
{
    if (db->db != NULL) leveldb_close(db->db);
    leveldb_writeoptions_destroy(db->write_options);
    leveldb_options_destroy(db->options);
    leveldb_filterpolicy_destroy(db->filter);
    leveldb_cache_destroy(db->cache);
    free(db);
}

static bench_answer db_open(const bench_setup *setup, bench_db **out_db)
{
    bench_db *db = calloc(1, sizeof *db);
    char *error = NULL;

    if (db == NULL) return bench_fail("out of memory");
    db->cache = leveldb_cache_create_lru((size_t)setup->cache_bytes);
    db->filter = leveldb_filterpolicy_create_bloom(FILTER_BITS);
    db->options = leveldb_options_create();
    leveldb_options_set_create_if_missing(db->options, 1);
    leveldb_options_set_compression(db->options, leveldb_no_compression);
    leveldb_options_set_cache(db->options, db->cache);
    leveldb_options_set_filter_policy(db->options, db->filter);
    leveldb_options_set_write_buffer_size(db->options, MEMTABLE_BYTES);
    db->write_options = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(db->write_options, setup->durability == BENCH_DURABILITY_FULL);
    db->db = leveldb_open(db->options, setup->directory, &error);
    if (error != NULL) {
        db->db = NULL;
        db_free(db);
        return failed("leveldb_open", error);
    }
    *out_db = db;
    return BENCH_OK;
}

static bench_answer db_close(bench_db *db)
{
    db_free(db);
    return BENCH_OK;
}

static bench_answer settle(bench_db *db)
{
    (void)db;
    return BENCH_OK;
}

static bench_answer session_open(bench_db *db, bench_session **out_session)
{
    bench_session *session = calloc(1, sizeof *session);

    if (session == NULL) return bench_fail("out of memory");
    session->db = db->db;
    session->write_options = db->write_options;
    session->read_options = leveldb_readoptions_create();
    session->batch = leveldb_writebatch_create();
    *out_session = session;
    return BENCH_OK;
}

static void value_free(bench_session *session)
{
    if (session->value != NULL) leveldb_free(session->value);
    session->value = NULL;
}

static void read_end(bench_session *session)
{
    value_free(session);
    if (session->snapshot == NULL) return;
    leveldb_readoptions_set_snapshot(session->read_options, NULL);
    leveldb_release_snapshot(session->db, session->snapshot);
    session->snapshot = NULL;
}

static void cursor_close(bench_session *session)
{
    if (session->iterator != NULL) leveldb_iter_destroy(session->iterator);
    session->iterator = NULL;
}

static void session_close(bench_session *session)
{
    if (session == NULL) return;
    cursor_close(session);
    read_end(session);
    leveldb_writebatch_destroy(session->batch);
    leveldb_readoptions_destroy(session->read_options);
    free(session);
}

static bench_answer write_begin(bench_session *session)
{
    leveldb_writebatch_clear(session->batch);
    session->in_batch = true;
    return BENCH_OK;
}

static bench_answer write_commit(bench_session *session)
{
    char *error = NULL;

    session->in_batch = false;
    leveldb_write(session->db, session->write_options, session->batch, &error);
    return error == NULL ? BENCH_OK : failed("leveldb_write", error);
}

static bench_answer put(bench_session *session, bench_bytes key, bench_bytes value)
{
    char *error = NULL;

    if (session->in_batch) {
        leveldb_writebatch_put(session->batch, key.data, key.size, value.data, value.size);
        return BENCH_OK;
    }
    leveldb_put(session->db, session->write_options, key.data, key.size, value.data, value.size,
                &error);
    return error == NULL ? BENCH_OK : failed("leveldb_put", error);
}

static bench_answer del(bench_session *session, bench_bytes key)
{
    char *error = NULL;

    if (session->in_batch) {
        leveldb_writebatch_delete(session->batch, key.data, key.size);
        return BENCH_OK;
    }
    leveldb_delete(session->db, session->write_options, key.data, key.size, &error);
    return error == NULL ? BENCH_OK : failed("leveldb_delete", error);
}

static bench_answer read_begin(bench_session *session)
{
    session->snapshot = leveldb_create_snapshot(session->db);
    leveldb_readoptions_set_snapshot(session->read_options, session->snapshot);
    return BENCH_OK;
}

static bench_answer get(bench_session *session, bench_bytes key, bench_bytes *out_value)
{
    char *error = NULL;

    value_free(session);
    session->value = leveldb_get(session->db, session->read_options, key.data, key.size,
                                 &out_value->size, &error);
    if (error != NULL) return failed("leveldb_get", error);
    out_value->data = session->value;
    return session->value != NULL ? BENCH_OK : BENCH_END;
}

static bench_answer cursor_open(bench_session *session)
{
    session->iterator = leveldb_create_iterator(session->db, session->read_options);
    return session->iterator != NULL ? BENCH_OK : bench_fail("leveldb_create_iterator");
}

static bench_answer cursor_move(bench_session *session, bench_move move, bench_bytes key,
                                bench_entry *out_entry)
{
    leveldb_iterator_t *iterator = session->iterator;

    switch (move) {
    case BENCH_FIRST: leveldb_iter_seek_to_first(iterator); break;
    case BENCH_LAST: leveldb_iter_seek_to_last(iterator); break;
    case BENCH_SEEK: leveldb_iter_seek(iterator, key.data, key.size); break;
    case BENCH_NEXT: leveldb_iter_next(iterator); break;
    case BENCH_PREV: leveldb_iter_prev(iterator); break;
    }
    if (!leveldb_iter_valid(iterator)) {
        char *error = NULL;

        leveldb_iter_get_error(iterator, &error);
        return error == NULL ? BENCH_END : failed("leveldb_iter", error);
    }
    out_entry->key.data = leveldb_iter_key(iterator, &out_entry->key.size);
    out_entry->value.data = leveldb_iter_value(iterator, &out_entry->value.size);
    return BENCH_OK;
}

extern const bench_engine bench_engine_leveldb;
const bench_engine bench_engine_leveldb = {
    .name = "leveldb",
    .settings = "no compression, block cache --cache_mb, bloom filter of 10 bits, memtable 64 MiB, "
                "log on, sync in fillsync only; tables are mapped, also with --direct",
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
