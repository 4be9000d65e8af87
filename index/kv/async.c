/* SPDX-License-Identifier: Apache-2.0 */
/*
 * async.c: get queues: many reads in flight on one thread.
 *
 * Idea: a read descends as far as pages are in memory. The page that is missing is asked for by an
 * operation of the queue's own, and the read set aside; when the page has come it descends anew,
 * from the root: what lies above is in memory, so that costs little and holds nothing.
 * Invariants: I1 a read is in one list: idle, waiting, ended; or its fetch is in flight. I2 a page
 *   is in flight for one read of the queue; the others that need it wait.
 * Costs: a descent of what is in memory for each page that is not.
 * Not here: keys in layers and large values, which are read with latches, one after the other.
 */
#include <sdb/async.h>

#include <string.h>

#include "engine/base/clock.h"
#include "engine/base/status.h"
#include "engine/pager/fetch.h"
#include "index/kv/txn.h"

enum { HERE_MOST = 8, BUSY_MOST = 64, PAUSE_NS = 20000, SENTENCE = 512 };

struct get {
    struct get *next; /* in its list */
    sdb_keyspace *keyspace;
    struct buffer key;
    struct copying copying;
    struct fetch fetch;
    uint64_t missing;   /* the page it waits for; PAGE_NONE: none */
    bool flies;         /* its fetch is in flight */
    unsigned busy;      /* how often a missing page could not be asked for, with none in flight */
    unsigned here;      /* how often a missing page was there after all */
    sdb_get_result result;
};

/* First in, first out. */
struct get_list {
    struct get *first, *last;
    unsigned count;
};

struct sdb_get_queue {
    sdb_db *db;
    struct io_queue *io;
    unsigned depth;
    unsigned flight_most; /* fetches at once: they hold frames */
    unsigned in_flight;
    unsigned out;         /* reads given and not taken back */
    struct get_list idle, waiting, ended;
    char sentence[SENTENCE]; /* of the last failure */
    struct get gets[];
};

static void append(struct get_list *list, struct get *get)
{
    get->next = NULL;
    if (list->last)
        list->last->next = get;
    else
        list->first = get;
    list->last = get;
    list->count++;
}

static struct get *take(struct get_list *list)
{
    struct get *get = list->first;

    if (!get) return NULL;
    list->first = get->next;
    if (!list->first) list->last = NULL;
    list->count--;
    return get;
}

static void end(struct sdb_get_queue *q, struct get *get, sdb_status status)
{
    get->result.status = status;
    if (status < SDB_OK) {
        size_t size = strnlen(sdb_errmsg(), SENTENCE - 1);

        memcpy(q->sentence, sdb_errmsg(), size);
        q->sentence[size] = 0;
    }
    append(&q->ended, get);
}

/* Takes at least `least` fetches out of flight; their reads go on, or have failed. */
static void land(struct sdb_get_queue *q, unsigned least)
{
    struct io_op *ops[32];
    size_t count;

    while (q->in_flight) {
        count = sdb__io_wait(q->io, ops, sizeof ops / sizeof *ops, least ? 1 : 0);
        if (count == 0) return;
        for (size_t i = 0; i < count; i++) {
            struct get *get = ops[i]->context;
            sdb_status status = sdb__fetch_end(q->db->pager, &get->fetch);

            q->in_flight--;
            get->flies = false;
            get->missing = PAGE_NONE;
            if (status == SDB_OK)
                append(&q->waiting, get);
            else
                end(q, get, status);
        }
        least = least > count ? least - (unsigned)count : 0;
    }
}

/* Reads it as sdb_get_copy does. */
static void read_hard(struct sdb_get_queue *q, struct get *get)
{
    struct copying *c = &get->copying;
    sdb_slice key = {get->key.data, get->key.size};

    end(q, get, sdb_get_copy(get->keyspace, key, c->to, c->capacity, &get->result.size));
}

/* Is a page in flight already? */
static bool flies(const struct sdb_get_queue *q, uint64_t page)
{
    for (unsigned i = 0; q->in_flight && i < q->depth; i++)
        if (q->gets[i].flies && q->gets[i].missing == page) return true;
    return false;
}

enum asked { ASKED_HERE, ASKED_AWAY, ASKED_FAILED };

/* Asks for the missing page. AWAY: the read is in flight, or waits. */
static enum asked ask(struct sdb_get_queue *q, struct get *get, sdb_status *out_status)
{
    enum fetch_answer answer;

    if (q->in_flight >= q->flight_most || flies(q, get->missing)) {
        append(&q->waiting, get);
        return ASKED_AWAY;
    }
    *out_status = sdb__fetch_begin(q->db->pager, get->missing, &get->fetch, &answer);
    if (*out_status != SDB_OK) return ASKED_FAILED;
    if (answer == FETCH_HERE) return ASKED_HERE;
    if (answer == FETCH_BUSY) {
        /* Nothing of ours will free a frame; who has them may never look at his queue. */
        if (q->in_flight == 0 && ++get->busy > BUSY_MOST) return ASKED_FAILED;
        append(&q->waiting, get);
        return ASKED_AWAY;
    }
    get->fetch.op.context = get;
    q->in_flight++;
    get->flies = true;
    sdb__io_submit(q->io, (struct io_op *const[]){&get->fetch.op}, 1);
    return ASKED_AWAY;
}

/* Carries a read on until it has ended or waits for a page. */
static void go_on(struct sdb_get_queue *q, struct get *get)
{
    struct bytes key = {get->key.data, get->key.size};
    sdb_status status = SDB_OK;

    for (; get->here < HERE_MOST; get->here++) {
        enum btree_step step;

        if (get->missing != PAGE_NONE) {
            enum asked asked = ask(q, get, &status);

            if (asked == ASKED_AWAY) return;
            get->missing = PAGE_NONE;
            if (asked == ASKED_FAILED) break; /* the page may have gone meanwhile: ask anew */
        }
        step = sdb__btree_get_step(&get->keyspace->tree, key, sdb__copy_value, &get->copying,
                                   &get->missing, &status);
        if (step == BTREE_HARD || (step == BTREE_DONE && get->copying.is_extent)) break;
        if (step == BTREE_MISSING) continue;
        end(q, get, sdb__copy_end(&get->copying, status, &get->result.size));
        return;
    }
    read_hard(q, get);
}

/* Gives each waiting read one more try. */
static void go_on_all(struct sdb_get_queue *q)
{
    for (unsigned i = q->waiting.count; i > 0 && q->waiting.first; i--)
        go_on(q, take(&q->waiting));
}

sdb_status sdb_get_queue_open(sdb_db *db, unsigned depth, sdb_get_queue **out_queue)
{
    sdb_get_queue *q;
    uint64_t frames;
    sdb_status status;

    if (!db || !out_queue) return FAIL(SDB_INVALID, "sdb_get_queue_open: an argument is NULL");
    if (depth == 0 || depth > SDB_GET_QUEUE_DEPTH_MAX)
        return FAIL(SDB_INVALID, "a get queue has a depth of 1 to %u, not %u",
                    SDB_GET_QUEUE_DEPTH_MAX, depth);
    TRY(sdb__db_alive(db));
    q = sdb__mem_zalloc(db->allocator, 1, sizeof *q + depth * sizeof *q->gets);
    if (!q) return SDB_NOMEM;
    status = sdb__io_queue_new(db->io, depth, &q->io);
    if (status != SDB_OK) {
        sdb__mem_free(db->allocator, q);
        return status;
    }
    q->db = db;
    q->depth = depth;
    frames = db->options.cache_bytes / sdb__pager_page_size(db->pager);
    q->flight_most = frames / 8 < depth ? (unsigned)(frames / 8) : depth;
    if (q->flight_most == 0) q->flight_most = 1;
    for (unsigned i = 0; i < depth; i++) append(&q->idle, &q->gets[i]);
    (void)pthread_mutex_lock(&db->snapshot_lock);
    db->transaction_count++;
    (void)pthread_mutex_unlock(&db->snapshot_lock);
    *out_queue = q;
    return SDB_OK;
}

sdb_status sdb_get_async(sdb_get_queue *q, sdb_keyspace *keyspace, sdb_slice key, void *buffer,
                         size_t capacity, void *tag)
{
    struct get *get;

    if (!q || !keyspace || (!buffer && capacity))
        return FAIL(SDB_INVALID, "sdb_get_async: an argument is NULL");
    if (keyspace->db != q->db)
        return FAIL(SDB_INVALID, "keyspace \"%s\" is of another database than the queue",
                    keyspace->name);
    TRY(sdb__db_alive(q->db));
    TRY(sdb__key_judge(key));
    if (q->out == q->depth)
        return FAIL(SDB_BUSY, "all %u reads of the queue are out: wait for some", q->depth);
    get = q->idle.first;
    get->key.size = 0;
    TRY(sdb__buffer_append(q->db->allocator, &get->key, key.data, key.size));
    (void)take(&q->idle);
    q->out++;
    get->keyspace = keyspace;
    sdb__copy_begin(&get->copying, keyspace, (struct bytes){get->key.data, get->key.size}, buffer,
                    capacity);
    get->missing = PAGE_NONE;
    get->here = get->busy = 0;
    get->result = (sdb_get_result){.tag = tag};
    if (atomic_load_explicit(&keyspace->dropped, memory_order_acquire))
        end(q, get, FAIL(SDB_NOTFOUND, "keyspace \"%s\" has been dropped", keyspace->name));
    else
        go_on(q, get);
    return SDB_OK;
}

sdb_status sdb_get_queue_wait(sdb_get_queue *q, sdb_get_result *out_results, unsigned capacity,
                              unsigned least, unsigned *out_count)
{
    unsigned count = 0;

    if (!q || !out_count || (!out_results && capacity))
        return FAIL(SDB_INVALID, "sdb_get_queue_wait: an argument is NULL");
    if (least > capacity) least = capacity;
    if (least > q->out) least = q->out;
    for (;;) {
        land(q, 0);
        go_on_all(q);
        if (q->ended.count >= least) break;
        if (q->in_flight)
            land(q, 1);
        else
            sdb__clock_sleep_ns(PAUSE_NS); /* somebody else is changing, or reading, the page */
    }
    while (count < capacity && q->ended.first) {
        struct get *get = take(&q->ended);

        out_results[count++] = get->result;
        append(&q->idle, get);
        q->out--;
    }
    for (unsigned i = 0; i < count; i++)
        if (out_results[i].status < SDB_OK)
            (void)FAIL(out_results[i].status, "%s", q->sentence);
    *out_count = count;
    return SDB_OK;
}

void sdb_get_queue_close(sdb_get_queue *q)
{
    sdb_db *db;

    if (!q) return;
    db = q->db;
    land(q, q->in_flight);
    for (unsigned i = 0; i < q->depth; i++) sdb__buffer_done(db->allocator, &q->gets[i].key);
    sdb__io_queue_free(q->io);
    sdb__mem_free(db->allocator, q);
    (void)pthread_mutex_lock(&db->snapshot_lock);
    db->transaction_count--;
    (void)pthread_mutex_unlock(&db->snapshot_lock);
}
