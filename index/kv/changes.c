/* SPDX-License-Identifier: Apache-2.0 */
/*
 * changes.c: the commits of an open database, read from its log as they become durable.
 *
 * Idea: the log is the stream. A stream is a place in it, and a wish that checkpoints leave what
 *   lies behind the place, up to a number of bytes. The log's parts of a commit (wal_stream.c)
 *   become whole operations (body.c), and those are listed some thousands at a time; a commit that
 *   shall come whole is gathered from its parts first.
 * Invariants: I1 commits come in order, each once, only when durable. I2 the log that streams keep
 *   is bounded by the largest keep_bytes; a stream that falls behind further loses its place and is
 *   told so. I3 so is memory: to a part of the log, the largest operation and the list of a part;
 *   or, for a commit that comes whole, to SDB_CHANGES_WHOLE_MAX beside them. I4 a call that fails
 *   leaves the place: either where it is in the commit, or at the commit's beginning.
 * Costs: writers pay nothing; a checkpoint looks through the list of streams. A commit of more than
 *   PART_BYTES is read from the log twice.
 * Not here: reading records (wal/wal_stream.c).
 */
#include <inttypes.h>
#include <sdb/changes.h>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"
#include "engine/base/status.h"
#include "index/kv/body.h"
#include "index/kv/database.h"
#include "wal/wal_stream.h"

enum { NO_LOG_WAIT_MS = 10, PART_BYTES = 1024 * 1024 };

struct sdb_changes {
    sdb_changes *next; /* in the database's list, under stream_lock */
    sdb_db *db;
    uint64_t keep_bytes;
    _Atomic uint64_t place; /* what was dealt with ends here: the log is wanted from here on */
    uint64_t resume;        /* behind the commit given last */
    struct wal_stream *stream; /* NULL: there was no log yet */
    struct wal_streamed part;  /* the part of the log that is being given */
    struct body body;          /* the operations that are whole in it */
    const uint8_t *at;         /* the next of them; NULL: there is no part, or it was given */
    bool within;               /* a part of a commit was given, and not its last */
    struct buffer whole;       /* a commit in several parts, put together */
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
    c->body.allocator = db->allocator;
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
    sdb__body_done(&c->body);
    sdb__buffer_done(db->allocator, &c->whole);
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

/*
 * Lists the operations from *at on that count, up to `most`, and moves *at behind them. What else
 * the changes may take is `room`; SDB_LIMIT, without a sentence: they need more.
 */
static sdb_status list(sdb_changes *c, const uint8_t **at, const uint8_t *end, size_t most,
                       size_t room, size_t *out_count)
{
    uint64_t now_ms = sdb__db_now_ms(c->db);
    const uint8_t *here = *at;
    size_t count = 0;

    while (here < end && count < most) {
        struct op op;
        size_t step = sdb__op_read(here, end, &op);

        if (step == 0)
            return FAIL(SDB_CORRUPT, "the commit at LSN %" PRIu64 " of the log of %s holds "
                        "something that is no operation", c->part.part.lsn, c->db->path);
        here += step;
        if (op.superseded || op.code == OP_REAP) continue; /* that changes nothing for anybody */
        if (count >= room / sizeof *c->changes) return SDB_LIMIT;
        TRY(sdb__mem_reserve(c->db->allocator, &c->changes, &c->capacity, count + 1,
                             sizeof *c->changes));
        c->changes[count++] = change_of(c->db, &op, now_ms);
    }
    *at = here;
    *out_count = count;
    return SDB_OK;
}

/* Goes back to the beginning of the commit that is being read. */
static void rewind_commit(sdb_changes *c)
{
    sdb__wal_stream_rewind(c->stream);
    c->at = NULL;
    c->within = false;
}

/* Reads the next part of the log. SDB_END: it is not durable yet. */
static sdb_status read_part(sdb_changes *c, struct wal *wal)
{
    sdb_status status;

    if (!c->stream) TRY(sdb__wal_stream_open(wal, c->resume, PART_BYTES, &c->stream));
    TRY(sdb__wal_stream_next(c->stream, &c->part));
    status = sdb__body_take(&c->body, &c->part.part);
    if (status == SDB_OK) {
        c->at = c->body.ops;
        return SDB_OK;
    }
    rewind_commit(c);
    if (status != SDB_CORRUPT) return status;
    return FAIL(SDB_CORRUPT, "the commit at LSN %" PRIu64 " of the log of %s %s", c->part.part.lsn,
                c->db->path, c->body.wrong);
}

/* The commit that is being read, without its changes. */
static sdb_committed committed(const sdb_changes *c, size_t count, bool first, bool last)
{
    return (sdb_committed){.commit = c->body.commit, .time_ms = c->body.time_ms,
                           .lsn = c->part.part.lsn,
                           .next_lsn = last ? c->part.next_lsn : c->part.part.lsn,
                           .changes = c->changes, .count = count, .first = first, .last = last};
}

/* Lists the next changes of a commit. *out_last: there are no more. */
static sdb_status list_part(sdb_changes *c, struct wal *wal, size_t *out_count, bool *out_last)
{
    do { /* a part in which nothing counts is passed over */
        const uint8_t *end;

        if (!c->at) TRY(read_part(c, wal));
        end = c->body.ops + c->body.size;
        TRY(list(c, &c->at, end, SDB_CHANGES_PART_MAX, SIZE_MAX, out_count));
        *out_last = c->at == end && c->part.part.last;
        if (c->at == end) c->at = NULL;
    } while (*out_count == 0 && !*out_last);
    return SDB_OK;
}

/* Gives the next part of a commit if it is durable; SDB_END otherwise. */
static sdb_status look_part(sdb_changes *c, struct wal *wal, sdb_committed *out_part)
{
    size_t count = 0;
    bool last;
    sdb_status status = list_part(c, wal, &count, &last);

    if (status != SDB_OK && status != SDB_END && !c->within && c->stream) rewind_commit(c);
    TRY(status);
    *out_part = committed(c, count, !c->within, last);
    c->within = !last;
    if (last) c->resume = c->part.next_lsn;
    return SDB_OK;
}

/* Puts a commit together of which the first part was read. SDB_LIMIT without a sentence. */
static sdb_status gather(sdb_changes *c, struct wal *wal, size_t most)
{
    c->whole.size = 0;
    for (;;) {
        if (c->body.size > most - c->whole.size) return SDB_LIMIT;
        TRY(sdb__buffer_append(c->db->allocator, &c->whole, c->body.ops, c->body.size));
        if (c->part.part.last) return SDB_OK;
        TRY(read_part(c, wal));
    }
}

/* Lists all of a commit of which the first part was read; it is larger than `most`: SDB_LIMIT. */
static sdb_status list_whole(sdb_changes *c, struct wal *wal, size_t most, size_t *out_count)
{
    const uint8_t *at = c->body.ops;
    size_t size = c->body.size;

    if (!c->part.part.last) {
        TRY(gather(c, wal, most));
        at = c->whole.data;
        size = c->whole.size;
    }
    return size > most ? SDB_LIMIT : list(c, &at, at + size, SIZE_MAX, most - size, out_count);
}

/* Gives the next commit whole if it is durable; SDB_END otherwise. */
static sdb_status look_whole(sdb_changes *c, struct wal *wal, sdb_committed *out_commit)
{
    size_t count = 0;
    sdb_status status;

    if (c->within)
        return FAIL(SDB_INVALID, "the commit at LSN %" PRIu64 " is being taken in parts: take "
                    "them up to the last one", c->part.part.lsn);
    TRY(read_part(c, wal));
    status = list_whole(c, wal, SDB_CHANGES_WHOLE_MAX, &count);
    if (status != SDB_OK) rewind_commit(c);
    if (status == SDB_LIMIT)
        return FAIL(SDB_LIMIT, "the commit at LSN %" PRIu64 " of the log of %s is larger than %zu "
                    "MiB: take it in parts, with sdb_changes_next_part", c->part.part.lsn,
                    c->db->path, SDB_CHANGES_WHOLE_MAX >> 20);
    TRY(status);
    c->at = NULL;
    c->resume = c->part.next_lsn;
    *out_commit = committed(c, count, true, true);
    return SDB_OK;
}

typedef sdb_status (*look_fn)(sdb_changes *, struct wal *, sdb_committed *);

/* Gives back what only a large commit needed. */
static void release(sdb_changes *c)
{
    sdb__buffer_done(c->db->allocator, &c->whole);
    if (c->capacity > 2 * SDB_CHANGES_PART_MAX) {
        sdb__mem_free(c->db->allocator, c->changes);
        c->changes = NULL;
        c->capacity = 0;
    }
    if (!c->within && c->body.room.capacity > 4 * PART_BYTES) sdb__body_done(&c->body);
}

/* Looks until there is something, or the time is up. */
static sdb_status wait_for(sdb_changes *c, unsigned timeout_ms, look_fn look, sdb_committed *out)
{
    uint64_t begun = sdb__clock_now_ns();

    release(c);
    atomic_store(&c->place, c->resume);
    for (;;) {
        struct wal *wal = atomic_load_explicit(&c->db->wal, memory_order_acquire);
        uint64_t durable = wal ? sdb__wal_durable(wal) : 0;
        uint64_t waited_ms;

        if (wal) {
            sdb_status status = look(c, wal, out);

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

sdb_status sdb_changes_next(sdb_changes *c, unsigned timeout_ms, sdb_committed *out_commit)
{
    if (!c || !out_commit) return FAIL(SDB_INVALID, "sdb_changes_next: an argument is NULL");
    return wait_for(c, timeout_ms, look_whole, out_commit);
}

sdb_status sdb_changes_next_part(sdb_changes *c, unsigned timeout_ms, sdb_committed *out_part)
{
    if (!c || !out_part) return FAIL(SDB_INVALID, "sdb_changes_next_part: an argument is NULL");
    return wait_for(c, timeout_ms, look_part, out_part);
}
