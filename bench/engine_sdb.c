/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_sdb.c
 *
 * Idea: sdb through its public headers only, as an application would use it. A batch is a blind
 * transaction, a lone change a batch of its own, a lone read sdb_get_copy; a snapshot or a cursor
 * is a reading transaction; reads in flight are in a get queue. With zstd the keyspace is made with
 * the library's default level, which is RocksDB's too.
 *
 * Source: sdb/kv.h, sdb/async.h.
 */
#include "bench/engine.h"

#include <sdb/sdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_SIZE = 4096 };

struct bench_db {
    sdb_db *db;
    sdb_keyspace *keyspace;
    size_t value_size;
};

struct bench_session {
    sdb_db *db;
    sdb_keyspace *keyspace;
    sdb_txn *writer; /* between write_begin and write_commit */
    sdb_txn *reader; /* between read_begin and read_end, cursor_open and cursor_close */
    sdb_cursor *cursor;
    sdb_get_queue *queue;    /* between queue_open and queue_close */
    unsigned depth;          /* its */
    unsigned char *buffers;  /* depth times capacity bytes, one for each slot */
    sdb_get_result *results; /* depth */
    size_t capacity;
    unsigned char buffer[]; /* capacity bytes, for sdb_get_copy */
};

static bench_answer failed(const char *call, sdb_status status)
{
    return bench_fail("%s: %s: %s", call, sdb_status_name(status), sdb_errmsg());
}

static sdb_slice slice(bench_bytes bytes)
{
    return (sdb_slice){.data = bytes.data, .size = bytes.size};
}

static bench_bytes bytes_of(sdb_slice s)
{
    return (bench_bytes){.data = s.data, .size = s.size};
}

static void version(char *out, size_t size)
{
    snprintf(out, size, "%s", sdb_version());
}

static bool policy_parse(const char *text, sdb_cache_policy *out)
{
    static const char *const names[] = {"", "s3fifo", "sieve", "clock", "lru", "lfu", "fifo"};

    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        *out = (sdb_cache_policy)i;
        return true;
    }
    return false;
}

/* The keyspace as it was made, or makes it: a keyspace is compressed for life. */
static sdb_status keyspace_open(sdb_db *db, const bench_setup *setup, sdb_keyspace **out)
{
    static const char name[] = "bench";
    sdb_keyspace_options options = SDB_KEYSPACE_OPTIONS_INIT;
    sdb_status status = sdb_keyspace_open(db, name, SDB_KEYSPACE_MUST_EXIST, out);

    if (status != SDB_NOTFOUND) return status;
    options.compression = setup->zstd ? SDB_COMPRESSION_ZSTD : SDB_COMPRESSION_NONE;
    return sdb_keyspace_make(db, name, &options, out);
}

static bench_answer db_open(const bench_setup *setup, bench_db **out_db)
{
    static const sdb_durability levels[] = {
        [BENCH_DURABILITY_NONE] = SDB_DURABILITY_NONE,
        [BENCH_DURABILITY_GROUP] = SDB_DURABILITY_GROUP,
        [BENCH_DURABILITY_FULL] = SDB_DURABILITY_FULL,
    };
    sdb_options options = SDB_OPTIONS_INIT;
    char path[PATH_SIZE];
    bench_db *db = calloc(1, sizeof *db);
    bench_answer answer;
    sdb_status status;

    if (!policy_parse(setup->cache_policy, &options.cache_policy)) {
        free(db);
        return bench_fail("sdb has no cache policy \"%s\"", setup->cache_policy);
    }
    if (db == NULL) return bench_fail("out of memory");
    snprintf(path, sizeof path, "%s/bench.sdb", setup->directory);
    options.cache_bytes = setup->cache_bytes;
    options.direct_io = setup->direct;
    options.durability = levels[setup->durability];
    db->value_size = setup->value_size;
    status = sdb_open(path, &options, &db->db);
    if (status != SDB_OK) {
        answer = failed("sdb_open", status);
        free(db);
        return answer;
    }
    status = keyspace_open(db->db, setup, &db->keyspace);
    if (status != SDB_OK) {
        answer = failed("the keyspace", status);
        (void)sdb_close(db->db);
        free(db);
        return answer;
    }
    *out_db = db;
    return BENCH_OK;
}

static bench_answer db_close(bench_db *db)
{
    sdb_status status = sdb_close(db->db);

    free(db);
    return status == SDB_OK ? BENCH_OK : failed("sdb_close", status);
}

static bench_answer settle(bench_db *db)
{
    sdb_status status = sdb_checkpoint(db->db);

    return status == SDB_OK ? BENCH_OK : failed("sdb_checkpoint", status);
}

static bench_answer session_open(bench_db *db, bench_session **out_session)
{
    bench_session *session = calloc(1, sizeof *session + db->value_size);

    if (session == NULL) return bench_fail("out of memory");
    session->db = db->db;
    session->keyspace = db->keyspace;
    session->capacity = db->value_size;
    *out_session = session;
    return BENCH_OK;
}

static void queue_close(bench_session *session)
{
    sdb_get_queue_close(session->queue);
    free(session->buffers);
    free(session->results);
    session->queue = NULL;
    session->buffers = NULL;
    session->results = NULL;
}

static bench_answer queue_open(bench_session *session, unsigned depth)
{
    sdb_status status;

    session->depth = depth;
    session->buffers = calloc(depth, session->capacity);
    session->results = calloc(depth, sizeof *session->results);
    if (session->buffers == NULL || session->results == NULL) return bench_fail("out of memory");
    status = sdb_get_queue_open(session->db, depth, &session->queue);
    return status == SDB_OK ? BENCH_OK : failed("sdb_get_queue_open", status);
}

static bench_answer queue_get(bench_session *session, bench_bytes key, unsigned slot)
{
    unsigned char *buffer = session->buffers + slot * session->capacity;
    sdb_status status = sdb_get_async(session->queue, session->keyspace, slice(key), buffer,
                                      session->capacity, (void *)(uintptr_t)slot);

    return status == SDB_OK ? BENCH_OK : failed("sdb_get_async", status);
}

static bench_answer queue_wait(bench_session *session, bench_done *out_done, unsigned *out_count)
{
    sdb_status status =
        sdb_get_queue_wait(session->queue, session->results, session->depth, 1, out_count);

    if (status != SDB_OK) return failed("sdb_get_queue_wait", status);
    for (unsigned i = 0; i < *out_count; i++) {
        const sdb_get_result *result = &session->results[i];
        bench_done *done = &out_done[i];

        done->slot = (unsigned)(uintptr_t)result->tag;
        done->value = (bench_bytes){session->buffers + done->slot * session->capacity, 0};
        done->answer = BENCH_OK;
        if (result->status == SDB_OK)
            done->value.size = result->size;
        else if (result->status == SDB_NOTFOUND)
            done->answer = BENCH_END;
        else
            done->answer = failed("sdb_get_async", result->status);
    }
    return BENCH_OK;
}

static const bench_queue_calls queue_calls = {
    .open = queue_open,
    .get = queue_get,
    .wait = queue_wait,
    .close = queue_close,
};

static void session_close(bench_session *session)
{
    if (session == NULL) return;
    queue_close(session);
    sdb_cursor_close(session->cursor);
    sdb_txn_abort(session->reader);
    sdb_txn_abort(session->writer);
    free(session);
}

static bench_answer write_begin(bench_session *session)
{
    sdb_status status = sdb_txn_begin(session->db, SDB_TXN_BATCH, &session->writer);

    return status == SDB_OK ? BENCH_OK : failed("sdb_txn_begin", status);
}

static bench_answer write_commit(bench_session *session)
{
    sdb_status status = sdb_txn_commit(session->writer);

    session->writer = NULL;
    return status == SDB_OK ? BENCH_OK : failed("sdb_txn_commit", status);
}

static bench_answer put(bench_session *session, bench_bytes key, bench_bytes value)
{
    sdb_status status = sdb_put(session->writer, session->keyspace, slice(key), slice(value));

    return status == SDB_OK ? BENCH_OK : failed("sdb_put", status);
}

static bench_answer del(bench_session *session, bench_bytes key)
{
    sdb_status status = sdb_del(session->writer, session->keyspace, slice(key));

    return status == SDB_OK ? BENCH_OK : failed("sdb_del", status);
}

static bench_answer read_begin(bench_session *session)
{
    sdb_status status = sdb_txn_begin(session->db, SDB_TXN_READ, &session->reader);

    return status == SDB_OK ? BENCH_OK : failed("sdb_txn_begin", status);
}

static void read_end(bench_session *session)
{
    sdb_txn_abort(session->reader);
    session->reader = NULL;
}

static bench_answer get(bench_session *session, bench_bytes key, bench_bytes *out_value)
{
    sdb_status status;

    if (session->reader != NULL) {
        sdb_slice value;

        status = sdb_get(session->reader, session->keyspace, slice(key), &value);
        if (status == SDB_OK) *out_value = bytes_of(value);
    } else {
        size_t size;

        status =
            sdb_get_copy(session->keyspace, slice(key), session->buffer, session->capacity, &size);
        if (status == SDB_OK) *out_value = (bench_bytes){.data = session->buffer, .size = size};
    }
    if (status == SDB_OK) return BENCH_OK;
    return status == SDB_NOTFOUND ? BENCH_END : failed("sdb_get", status);
}

static bench_answer cursor_open(bench_session *session)
{
    sdb_status status;

    if (read_begin(session) != BENCH_OK) return BENCH_FAILED;
    status = sdb_cursor_open(session->reader, session->keyspace, NULL, &session->cursor);
    if (status == SDB_OK) return BENCH_OK;
    (void)failed("sdb_cursor_open", status);
    read_end(session);
    return BENCH_FAILED;
}

static bench_answer cursor_move(bench_session *session, bench_move move, bench_bytes key,
                                bench_entry *out_entry)
{
    sdb_slice k;
    sdb_slice v;
    sdb_status status = SDB_INVALID;

    switch (move) {
    case BENCH_FIRST: status = sdb_cursor_first(session->cursor, &k, &v); break;
    case BENCH_LAST: status = sdb_cursor_last(session->cursor, &k, &v); break;
    case BENCH_SEEK: status = sdb_cursor_seek(session->cursor, slice(key), &k, &v); break;
    case BENCH_NEXT: status = sdb_cursor_next(session->cursor, &k, &v); break;
    case BENCH_PREV: status = sdb_cursor_prev(session->cursor, &k, &v); break;
    }
    if (status == SDB_END) return BENCH_END;
    if (status != SDB_OK) return failed("sdb_cursor", status);
    *out_entry = (bench_entry){.key = bytes_of(k), .value = bytes_of(v)};
    return BENCH_OK;
}

static void cursor_close(bench_session *session)
{
    sdb_cursor_close(session->cursor);
    session->cursor = NULL;
    read_end(session);
}

extern const bench_engine bench_engine_sdb;
const bench_engine bench_engine_sdb = {
    .name = "sdb",
    .settings =
        "no compression (zstd if asked), cache --cache_mb, pages of 8 KiB, checkpoint every 256 "
        "MiB of log; durability NONE, fillsync: FULL; batches are SDB_TXN_BATCH, lone puts a batch "
        "of their own, lone reads sdb_get_copy, snapshots and cursors SDB_TXN_READ; --inflight by "
        "sdb_get_queue; --direct: direct_io",
    .can_direct = true,
    .can_zstd = true,
    .queue = &queue_calls,
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
