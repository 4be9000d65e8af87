/* SPDX-License-Identifier: Apache-2.0 */
/*
 * changes.c: the commits of an open database, read from its log as they become durable.
 *
 * Idea: the log is the stream. A stream is a place in it, and a wish that checkpoints leave what
 *   lies behind the place, up to a number of bytes.
 * Invariants: I1 commits come in order, each once, only when durable. I2 the log that streams keep
 *   is bounded by the largest keep_bytes; a stream that falls behind further loses its place and is
 *   told so.
 * Costs: writers pay nothing; a checkpoint looks through the list of streams.
 * Not here: reading records (wal/wal_stream.c).
 */
#include <inttypes.h>
#include <sdb/changes.h>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"
#include "engine/base/status.h"
#include "index/kv/database.h"
#include "wal/wal_stream.h"

enum { NO_LOG_WAIT_MS = 10 };

struct sdb_changes {
    sdb_changes *next; /* in the database's list, under stream_lock */
    sdb_db *db;
    uint64_t keep_bytes;
    _Atomic uint64_t place; /* what was dealt with ends here: the log is wanted from here on */
    uint64_t resume;        /* behind the commit given last */
    struct wal_stream *stream; /* NULL: there was no log yet */
    sdb_change *changes;
    size_t capacity;
};

/* ---- the log that streams want ------------------------------------------------------------ */

uint64_t sdb__changes_keep(sdb_db *db, uint64_t lsn)
{
    struct wal *wal = atomic_load(&db->wal);
    uint64_t end = wal ? sdb__wal_end(wal) : lsn;

    (void)pthread_mutex_lock(&db->stream_lock);
    for (const sdb_changes *c = db->streams; c; c = c->next) {
        uint64_t place = atomic_load(&c->place);

        if (place < lsn && end - place <= c->keep_bytes) lsn = place;
    }
    (void)pthread_mutex_unlock(&db->stream_lock);
    return lsn;
}

/* ---- opening and closing ------------------------------------------------------------------ */

/* Where the log begins and ends now. */
static void look_at_log(sdb_db *db, uint64_t *out_first, uint64_t *out_end)
{
    struct wal *wal;
    struct wal_stats stats;

    (void)pthread_mutex_lock(&db->commit_lock);
    wal = atomic_load(&db->wal);
    if (wal) sdb__wal_stats(wal, &stats);
    *out_first = wal ? stats.first_lsn : db->lsn;
    *out_end = wal ? sdb__wal_end(wal) : db->lsn;
    (void)pthread_mutex_unlock(&db->commit_lock);
}

static sdb_status judge_place(sdb_db *db, uint64_t *from_lsn)
{
    uint64_t first, end;

    look_at_log(db, &first, &end);
    if (*from_lsn == 0) *from_lsn = end;
    if (*from_lsn > end || *from_lsn % 8)
        return FAIL(SDB_INVALID, "LSN %" PRIu64 " is no place in the log of %s, which ends at "
                    "%" PRIu64, *from_lsn, db->path, end);
    if (*from_lsn < first)
        return FAIL(SDB_NOTFOUND, "LSN %" PRIu64 " of the log of %s has been removed: the oldest "
                    "is %" PRIu64, *from_lsn, db->path, first);
    return SDB_OK;
}

sdb_status sdb_changes_open(sdb_db *db, uint64_t from_lsn, uint64_t keep_bytes,
                            sdb_changes **out_changes)
{
    sdb_changes *c;
    sdb_status status;

    if (!db || !out_changes) return FAIL(SDB_INVALID, "sdb_changes_open: an argument is NULL");
    TRY(sdb__db_alive(db));
    if (db->is_memory) return FAIL(SDB_INVALID, ":memory: has no log to read changes from");
    if (db->readonly)
        return FAIL(SDB_READONLY, "%s is open for reading only: nobody changes it", db->path);
    c = sdb__mem_zalloc(db->allocator, 1, sizeof *c);
    if (!c) return SDB_NOMEM;
    c->db = db;
    c->keep_bytes = keep_bytes;
    (void)pthread_mutex_lock(&db->checkpoint_lock); /* nothing is trimmed meanwhile */
    status = judge_place(db, &from_lsn);
    if (status == SDB_OK) {
        c->resume = from_lsn;
        atomic_store(&c->place, from_lsn);
        (void)pthread_mutex_lock(&db->stream_lock);
        c->next = db->streams;
        db->streams = c;
        (void)pthread_mutex_unlock(&db->stream_lock);
    }
    (void)pthread_mutex_unlock(&db->checkpoint_lock);
    if (status != SDB_OK) {
        sdb__mem_free(db->allocator, c);
        return status;
    }
    *out_changes = c;
    return SDB_OK;
}

void sdb_changes_close(sdb_changes *c)
{
    sdb_changes **link;
    sdb_db *db;

    if (!c) return;
    db = c->db;
    (void)pthread_mutex_lock(&db->stream_lock);
    for (link = &db->streams; *link != c; link = &(*link)->next) continue;
    *link = c->next;
    (void)pthread_mutex_unlock(&db->stream_lock);
    sdb__wal_stream_close(c->stream);
    sdb__mem_free(db->allocator, c->changes);
    sdb__mem_free(db->allocator, c);
}

/* ---- reading ------------------------------------------------------------------------------ */

/* The name of a keyspace, as far as this handle knows it. */
static const char *name_of(sdb_db *db, uint32_t id)
{
    const char *name = "";

    (void)pthread_mutex_lock(&db->keyspace_lock);
    for (size_t low = 0, high = db->keyspace_count; low < high;) {
        size_t middle = (low + high) / 2;
        const sdb_keyspace *keyspace = db->keyspaces[middle];

        if (keyspace->tree.id == id) {
            name = keyspace->name;
            break;
        }
        if (keyspace->tree.id < id)
            low = middle + 1;
        else
            high = middle;
    }
    (void)pthread_mutex_unlock(&db->keyspace_lock);
    return name;
}

/* What is told of an operation: of a put that has expired meanwhile, that there is nothing. */
static sdb_change change_of(sdb_db *db, const struct op *op, uint64_t now_ms)
{
    sdb_change change = {.kind = (sdb_change_kind)op->code, .keyspace = op->keyspace,
                         .keyspace_name = name_of(db, op->keyspace),
                         .key = {op->key.data, op->key.size}};

    if (op->code == OP_TTL) {
        change.kind = SDB_CHANGE_KEYSPACE_TTL;
        change.time_ms = op->time;
    } else if (op->code == OP_PUT && op_is_gone(op, now_ms)) {
        change.kind = SDB_CHANGE_DEL;
    } else {
        change.value = (sdb_slice){op->value.data, op->value.size};
        change.time_ms = op->time;
    }
    return change;
}

/* Lists the operations of a body that count. */
static sdb_status list(sdb_changes *c, const struct wal_streamed *body, size_t *out_count)
{
    const uint8_t *at = body->body + BODY_HEAD, *end = body->body + body->size;
    uint64_t now_ms = sdb__db_now_ms(c->db);
    size_t count = 0;

    if (body->size < BODY_HEAD) at = end + 1;
    while (at < end) {
        struct op op;
        size_t step = sdb__op_read(at, end, &op);

        if (step == 0) break;
        at += step;
        if (op.superseded || op.code == OP_REAP) continue; /* that changes nothing for anybody */
        TRY(sdb__mem_reserve(c->db->allocator, &c->changes, &c->capacity, count + 1,
                             sizeof *c->changes));
        c->changes[count++] = change_of(c->db, &op, now_ms);
    }
    if (at != end)
        return FAIL(SDB_CORRUPT, "the commit at LSN %" PRIu64 " of the log of %s holds something "
                    "that is no operation", body->lsn, c->db->path);
    *out_count = count;
    return SDB_OK;
}

/* Gives the next commit if it is durable; SDB_END otherwise. */
static sdb_status look(sdb_changes *c, struct wal *wal, sdb_committed *out_commit)
{
    struct wal_streamed body;
    size_t count = 0;

    if (!c->stream) TRY(sdb__wal_stream_open(wal, c->resume, &c->stream));
    TRY(sdb__wal_stream_next(c->stream, &body));
    TRY(list(c, &body, &count));
    c->resume = body.next_lsn;
    *out_commit = (sdb_committed){.commit = get_u64(body.body), .time_ms = get_u64(body.body + 8),
                                  .lsn = body.lsn, .next_lsn = body.next_lsn,
                                  .changes = c->changes, .count = count};
    return SDB_OK;
}

sdb_status sdb_changes_next(sdb_changes *c, unsigned timeout_ms, sdb_committed *out_commit)
{
    uint64_t begun = sdb__clock_now_ns();

    if (!c || !out_commit) return FAIL(SDB_INVALID, "sdb_changes_next: an argument is NULL");
    atomic_store(&c->place, c->resume);
    for (;;) {
        struct wal *wal = atomic_load_explicit(&c->db->wal, memory_order_acquire);
        uint64_t durable = wal ? sdb__wal_durable(wal) : 0;
        uint64_t waited_ms;

        if (wal) {
            sdb_status status = look(c, wal, out_commit);

            if (status != SDB_END) return status;
        }
        TRY(sdb__db_alive(c->db));
        waited_ms = (sdb__clock_now_ns() - begun) / 1000000;
        if (waited_ms >= timeout_ms)
            return FAIL(SDB_TIMEOUT, "no commit became durable within %u ms", timeout_ms);
        if (wal)
            sdb__wal_stream_wait(wal, durable, timeout_ms - waited_ms);
        else
            sdb__clock_sleep_ns(NO_LOG_WAIT_MS * UINT64_C(1000000));
    }
}
