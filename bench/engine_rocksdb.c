/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_rocksdb.c
 *
 * Idea: RocksDB through its C interface: pinned reads (no copy), one write batch a session that is
 * cleared and filled again, an iterator for each scan.
 *
 * Source: rocksdb/c.h 7.8; the RocksDB wiki, "Setup Options and Basic Tuning": bloom filter of 10
 * bits, dynamic level sizes; db_bench's memtable of 64 MiB.
 */
#include "bench/engine.h"

#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILTER_BITS = 10, BACKGROUND_JOBS = 2, MEMTABLE_BYTES = 64 << 20 };

struct bench_db {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_cache_t *cache;
    rocksdb_writeoptions_t *write_options;
};

struct bench_session {
    rocksdb_t *db;
    rocksdb_writeoptions_t *write_options;
    rocksdb_readoptions_t *read_options;
    rocksdb_writebatch_t *batch;
    const rocksdb_snapshot_t *snapshot;
    rocksdb_pinnableslice_t *pinned; /* what the last get returned */
    rocksdb_iterator_t *iterator;
    bool in_batch;
};

/* Takes `error`, which RocksDB allocated. */
static bench_answer failed(const char *call, char *error)
{
    bench_answer answer = bench_fail("%s: %s", call, error);

    rocksdb_free(error);
    return answer;
}

static void version(char *out, size_t size)
{
    bench_library_version((void *)(uintptr_t)rocksdb_open, out, size);
}

static void db_free(bench_db *db)
{
    if (db->db != NULL) rocksdb_close(db->db);
    rocksdb_writeoptions_destroy(db->write_options);
    rocksdb_options_destroy(db->options);
    rocksdb_cache_destroy(db->cache);
    free(db);
}

static bench_answer db_open(const bench_setup *setup, bench_db **out_db)
{
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    bench_db *db = calloc(1, sizeof *db);
    char *error = NULL;

    if (db == NULL) {
        rocksdb_block_based_options_destroy(table);
        return bench_fail("out of memory");
    }
    db->cache = rocksdb_cache_create_lru((size_t)setup->cache_bytes);
    rocksdb_block_based_options_set_block_cache(table, db->cache);
    rocksdb_block_based_options_set_filter_policy(
        table, rocksdb_filterpolicy_create_bloom_full(FILTER_BITS));
    db->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(db->options, 1);
    rocksdb_options_set_compression(db->options, setup->zstd ? rocksdb_zstd_compression
                                                             : rocksdb_no_compression);
    if (setup->direct) {
        rocksdb_options_set_use_direct_reads(db->options, 1);
        rocksdb_options_set_use_direct_io_for_flush_and_compaction(db->options, 1);
    }
    rocksdb_options_set_block_based_table_factory(db->options, table);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(db->options, 1);
    rocksdb_options_set_write_buffer_size(db->options, MEMTABLE_BYTES);
    rocksdb_options_set_max_background_jobs(db->options, BACKGROUND_JOBS);
    rocksdb_block_based_options_destroy(table);
    db->write_options = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(db->write_options, setup->durability == BENCH_DURABILITY_FULL);
    db->db = rocksdb_open(db->options, setup->directory, &error);
    if (error != NULL) {
        db->db = NULL;
        db_free(db);
        return failed("rocksdb_open", error);
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
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    char *error = NULL;

    rocksdb_flushoptions_set_wait(options, 1);
    rocksdb_flush(db->db, options, &error);
    rocksdb_flushoptions_destroy(options);
    return error == NULL ? BENCH_OK : failed("rocksdb_flush", error);
}

static bench_answer session_open(bench_db *db, bench_session **out_session)
{
    bench_session *session = calloc(1, sizeof *session);

    if (session == NULL) return bench_fail("out of memory");
    session->db = db->db;
    session->write_options = db->write_options;
    session->read_options = rocksdb_readoptions_create();
    session->batch = rocksdb_writebatch_create();
    *out_session = session;
    return BENCH_OK;
}

static void unpin(bench_session *session)
{
    if (session->pinned != NULL) rocksdb_pinnableslice_destroy(session->pinned);
    session->pinned = NULL;
}

static void read_end(bench_session *session)
{
    unpin(session);
    if (session->snapshot == NULL) return;
    rocksdb_readoptions_set_snapshot(session->read_options, NULL);
    rocksdb_release_snapshot(session->db, session->snapshot);
    session->snapshot = NULL;
}

static void cursor_close(bench_session *session)
{
    if (session->iterator != NULL) rocksdb_iter_destroy(session->iterator);
    session->iterator = NULL;
}

static void session_close(bench_session *session)
{
    if (session == NULL) return;
    cursor_close(session);
    read_end(session);
    rocksdb_writebatch_destroy(session->batch);
    rocksdb_readoptions_destroy(session->read_options);
    free(session);
}

static bench_answer write_begin(bench_session *session)
{
    rocksdb_writebatch_clear(session->batch);
    session->in_batch = true;
    return BENCH_OK;
}

static bench_answer write_commit(bench_session *session)
{
    char *error = NULL;

    session->in_batch = false;
    rocksdb_write(session->db, session->write_options, session->batch, &error);
    return error == NULL ? BENCH_OK : failed("rocksdb_write", error);
}

static bench_answer put(bench_session *session, bench_bytes key, bench_bytes value)
{
    char *error = NULL;

    if (session->in_batch) {
        rocksdb_writebatch_put(session->batch, key.data, key.size, value.data, value.size);
        return BENCH_OK;
    }
    rocksdb_put(session->db, session->write_options, key.data, key.size, value.data, value.size,
                &error);
    return error == NULL ? BENCH_OK : failed("rocksdb_put", error);
}

static bench_answer del(bench_session *session, bench_bytes key)
{
    char *error = NULL;

    if (session->in_batch) {
        rocksdb_writebatch_delete(session->batch, key.data, key.size);
        return BENCH_OK;
    }
    rocksdb_delete(session->db, session->write_options, key.data, key.size, &error);
    return error == NULL ? BENCH_OK : failed("rocksdb_delete", error);
}

static bench_answer read_begin(bench_session *session)
{
    session->snapshot = rocksdb_create_snapshot(session->db);
    rocksdb_readoptions_set_snapshot(session->read_options, session->snapshot);
    return BENCH_OK;
}

static bench_answer get(bench_session *session, bench_bytes key, bench_bytes *out_value)
{
    char *error = NULL;

    unpin(session);
    session->pinned =
        rocksdb_get_pinned(session->db, session->read_options, key.data, key.size, &error);
    if (error != NULL) return failed("rocksdb_get_pinned", error);
    if (session->pinned == NULL) return BENCH_END;
    out_value->data = rocksdb_pinnableslice_value(session->pinned, &out_value->size);
    return BENCH_OK;
}

static bench_answer cursor_open(bench_session *session)
{
    session->iterator = rocksdb_create_iterator(session->db, session->read_options);
    return session->iterator != NULL ? BENCH_OK : bench_fail("rocksdb_create_iterator");
}

static bench_answer cursor_move(bench_session *session, bench_move move, bench_bytes key,
                                bench_entry *out_entry)
{
    rocksdb_iterator_t *iterator = session->iterator;

    switch (move) {
    case BENCH_FIRST: rocksdb_iter_seek_to_first(iterator); break;
    case BENCH_LAST: rocksdb_iter_seek_to_last(iterator); break;
    case BENCH_SEEK: rocksdb_iter_seek(iterator, key.data, key.size); break;
    case BENCH_NEXT: rocksdb_iter_next(iterator); break;
    case BENCH_PREV: rocksdb_iter_prev(iterator); break;
    }
    if (!rocksdb_iter_valid(iterator)) {
        char *error = NULL;

        rocksdb_iter_get_error(iterator, &error);
        return error == NULL ? BENCH_END : failed("rocksdb_iter", error);
    }
    out_entry->key.data = rocksdb_iter_key(iterator, &out_entry->key.size);
    out_entry->value.data = rocksdb_iter_value(iterator, &out_entry->value.size);
    return BENCH_OK;
}

extern const bench_engine bench_engine_rocksdb;
const bench_engine bench_engine_rocksdb = {
    .name = "rocksdb",
    .settings =
        "no compression (zstd if asked), block cache --cache_mb, bloom filter of 10 bits, "
        "dynamic level sizes, memtable 64 MiB, 2 background jobs, WAL on, sync in fillsync only; "
        "reads are pinned; --direct: use_direct_reads, and for flush and compaction",
    .can_direct = true,
    .can_zstd = true,
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
