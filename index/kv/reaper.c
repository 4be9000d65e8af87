/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reaper.c: what has expired goes from the file.
 *
 * Idea: nobody sees expired values any more, so there is no hurry, and no index of expiries that
 *   each put would have to keep. Keyspaces in which something has expired are gone through from the
 *   first key to the last, a step at a time; what is found is removed by commits of a blind
 *   operation, OP_REAP: "remove the key if its expiry is <= T". It is judged when it is applied, so
 *   who overwrites the key meanwhile is not in the way, and recovery does the same again.
 *
 *     look at 16384 entries │ commit │ look … │ end: next_expiry is known, the keyspace rests
 *
 * Why no version is left. T is at most the time of each open snapshot, and of each that opens
 *   before the commit is visible (snapshot.c): for all of them the value was gone before, and is
 *   now. So removal takes no memory, conflicts with nobody, and is no change to anybody.
 *
 * Invariants: I1 under reap_lock one thread at a time. I2 next_expiry of a keyspace is lowered by
 *   who puts, and raised only at the end of a round that has seen all entries. I3 a keyspace that
 *   is dropped meanwhile may be read wrongly, but what comes of it is not used.
 * Costs: 40 ns an entry looked at, and its pages, at LOOK_MOST entries in INTERVAL_MS; while much
 *   of what is looked at has expired, half of the time at most. A keyspace rests for REST_FACTOR
 *   times what its round took. Nothing is read while nothing can have expired.
 * Source: sampling with a time limit as long as a quarter has expired, Redis (expire.c), here in
 *   the order of keys, so that each page is read once a round.
 * Not here: what readers make of expiries (expiry.c).
 */
#include "engine/base/clock.h"
#include "engine/base/status.h"
#include "index/kv/range.h"
#include "index/kv/scan.h"

enum {
    LOOK_MOST = 16384, /* entries in a step */
    REAP_MOST = 1024,  /* removals in a commit: a quiet one (snapshot.c) */
    INTERVAL_MS = 100,
    REST_LEAST_MS = 1000,
    REST_FACTOR = 4
};
enum reaper_state { REAPER_NONE, REAPER_STARTED, REAPER_UNWANTED };

static const uint64_t ms_ns = 1000000;

/* What a step did. */
struct step {
    size_t looked;
    uint64_t removed;
    bool at_end;
};

/* Lowers what is known of a keyspace's next expiry. */
static void lower_next(sdb_keyspace *keyspace, uint64_t to)
{
    uint64_t next = atomic_load(&keyspace->next_expiry);

    while (to < next && !atomic_compare_exchange_weak(&keyspace->next_expiry, &next, to)) continue;
}

/* ---- a step ------------------------------------------------------------------------------- */

/* Passes one entry: it goes if it has expired by `limit_ms`. */
static sdb_status look_at(struct reaping *r, const struct scan *scan, uint64_t limit_ms,
                          struct write_set *writes)
{
    enum node_kind kind;
    struct bytes payload = node_payload(scan->leaf.node, scan->at, &kind);
    uint64_t expiry = node_take_expiry(&kind, &payload);
    const struct op op = {.code = OP_REAP, .keyspace = r->keyspace, .key = view(&scan->key),
                          .time = limit_ms};

    if (is_gone(expiry, limit_ms)) return sdb__writes_add_timed(writes, &op, false);
    if (expiry && expiry < r->next) r->next = expiry;
    return SDB_OK;
}

/* Looks at entries from r->place on, and leaves r->place at the first that was not looked at. */
static sdb_status gather(sdb_keyspace *keyspace, struct reaping *r, uint64_t limit_ms,
                         size_t most, struct write_set *writes, struct step *step)
{
    const struct snapshot newest = {.commit = UINT64_MAX};
    struct scan scan;
    sdb_status status;

    sdb__scan_init(&scan, keyspace, &newest);
    status = sdb__scan_seek(&scan, view(&r->place), false);
    for (; status == SDB_OK && step->looked < LOOK_MOST && writes->count < most; step->looked++) {
        status = look_at(r, &scan, limit_ms, writes);
        if (status == SDB_OK) status = sdb__scan_next(&scan);
    }
    if (status == SDB_OK)
        status = sdb__buffer_set(keyspace->db->allocator, &r->place, view(&scan.key));
    sdb__scan_done(&scan);
    step->at_end = status == SDB_END ||
                   atomic_load_explicit(&keyspace->dropped, memory_order_acquire);
    return step->at_end ? SDB_OK : status;
}

/* One step of a round, which removes at most `most`. */
static sdb_status take_step(sdb_keyspace *keyspace, struct reaping *r, size_t most,
                            struct step *step)
{
    sdb_db *db = keyspace->db;
    uint64_t before = atomic_load(&db->expired_removed), limit_ms;
    struct write_set writes;
    sdb_status status;

    *step = (struct step){0};
    sdb__writes_init(&writes, db->allocator, false);
    limit_ms = sdb__snapshot_reap_begin(db, sdb__db_now_ms(db));
    status = gather(keyspace, r, limit_ms, most, &writes, step);
    if (status == SDB_OK && writes.count)
        status = sdb__commit(db, &writes, NULL, NULL, SDB_DURABILITY_NONE);
    sdb__snapshot_reap_end(db);
    sdb__writes_done(&writes);
    step->removed = atomic_load(&db->expired_removed) - before;
    if (status == SDB_NOTFOUND) { /* it was dropped */
        step->at_end = true;
        status = SDB_OK;
    }
    return status;
}

/* ---- rounds ------------------------------------------------------------------------------- */

static void begin_round(struct reaping *r, sdb_keyspace *keyspace)
{
    r->keyspace = keyspace->tree.id;
    r->place.size = 0;
    r->next = UINT64_MAX;
    r->begun_ns = sdb__clock_now_ns();
    /* A commit notes its expiries before it puts: none of it may be between the two. */
    (void)pthread_mutex_lock(&keyspace->db->commit_lock);
    atomic_store(&keyspace->next_expiry, UINT64_MAX); /* who puts meanwhile lowers it again */
    (void)pthread_mutex_unlock(&keyspace->db->commit_lock);
}

/* `whole`: all entries have been looked at. */
static void end_round(struct reaping *r, sdb_keyspace *keyspace, bool whole)
{
    uint64_t now_ns = sdb__clock_now_ns(), rest_ns = (now_ns - r->begun_ns) * REST_FACTOR;

    if (rest_ns < REST_LEAST_MS * ms_ns) rest_ns = REST_LEAST_MS * ms_ns;
    if (whole) keyspace->rest_until_ns = now_ns + rest_ns;
    lower_next(keyspace, whole ? r->next : 0);
    r->keyspace = 0;
    atomic_fetch_add(&keyspace->db->reap_rounds, whole);
}

/*
 * The first keyspace with a number above `after` in which something may have expired; `rested`: one
 * that has rested. NULL: there is none.
 */
static sdb_keyspace *find_due(sdb_db *db, uint32_t after, bool rested)
{
    uint64_t now_ms = sdb__db_now_ms(db), now_ns = sdb__clock_now_ns();
    sdb_keyspace *found = NULL;

    (void)pthread_mutex_lock(&db->keyspace_lock);
    for (size_t i = 0; i < db->keyspace_count && !found; i++) {
        sdb_keyspace *k = db->keyspaces[i];
        bool halfway = k->tree.id == db->reaping.keyspace;

        if (k->tree.id <= after || !atomic_load(&k->expiring) || atomic_load(&k->dropped) ||
            (atomic_load(&k->next_expiry) > now_ms && !halfway) ||
            (rested && k->rest_until_ns > now_ns))
            continue;
        found = k;
    }
    (void)pthread_mutex_unlock(&db->keyspace_lock);
    return found;
}

/* The keyspace that the background is going through, or the next one. NULL: nothing is due. */
static sdb_keyspace *find_round(sdb_db *db)
{
    sdb_keyspace *keyspace = NULL;

    if (db->reaping.keyspace) {
        (void)pthread_mutex_lock(&db->keyspace_lock);
        keyspace = sdb__keyspace_by_id(db, db->reaping.keyspace);
        (void)pthread_mutex_unlock(&db->keyspace_lock);
        return keyspace;
    }
    keyspace = find_due(db, 0, true); /* those just gone through rest: the others' turn comes */
    if (keyspace) begin_round(&db->reaping, keyspace);
    return keyspace;
}

/* ---- in the background -------------------------------------------------------------------- */

/* A step of the background's. SDB_END: nothing is due. */
static sdb_status step_on(sdb_db *db, struct step *step)
{
    sdb_keyspace *keyspace = find_round(db);
    sdb_status status;

    if (!keyspace) return SDB_END;
    TRY(sdb__db_alive(db));
    status = take_step(keyspace, &db->reaping, REAP_MOST, step);
    if (status == SDB_OK && step->at_end) end_round(&db->reaping, keyspace, true);
    if (status != SDB_OK) end_round(&db->reaping, keyspace, false);
    return status;
}

/* What cannot be done now (a full disk) is put off: the next round comes. */
static sdb_status reap(void *context, bool woken)
{
    uint64_t begun = sdb__clock_now_ns();
    sdb_db *db = context;
    struct step step;
    sdb_status status;

    (void)woken;
    do {
        (void)pthread_mutex_lock(&db->reap_lock);
        status = step_on(db, &step);
        (void)pthread_mutex_unlock(&db->reap_lock);
    } while (status == SDB_OK && step.removed * 4 >= step.looked && step.looked &&
             sdb__clock_now_ns() - begun < INTERVAL_MS * ms_ns / 2);
    return SDB_OK;
}

void sdb__reaper_start(sdb_db *db)
{
    bool unwanted = db->readonly || (db->options.flags & SDB_OPEN_NO_THREADS);
    int none = REAPER_NONE;

    if (!atomic_compare_exchange_strong(&db->reaper_state, &none,
                                        unwanted ? REAPER_UNWANTED : REAPER_STARTED) ||
        unwanted)
        return;
    if (!sdb__worker_start(&db->reaper, INTERVAL_MS, reap, db))
        atomic_store(&db->reaper_state, REAPER_NONE); /* the next commit tries it again */
}

void sdb__reaper_stop(sdb_db *db)
{
    atomic_store(&db->reaper_state, REAPER_UNWANTED);
    sdb__worker_stop(&db->reaper);
}

/* ---- on request --------------------------------------------------------------------------- */

/* Goes through one keyspace and removes at most `limit`. */
static sdb_status reap_keyspace(sdb_keyspace *keyspace, uint64_t limit, uint64_t *removed)
{
    struct reaping r = {0};
    struct step step = {0};
    sdb_status status = SDB_OK;

    begin_round(&r, keyspace);
    while (status == SDB_OK && !step.at_end && *removed < limit) {
        uint64_t left = limit - *removed;

        status = sdb__db_alive(keyspace->db);
        if (status == SDB_OK)
            status = take_step(keyspace, &r, left < REAP_MOST ? (size_t)left : REAP_MOST, &step);
        if (status == SDB_OK) *removed += step.removed;
    }
    end_round(&r, keyspace, status == SDB_OK && step.at_end);
    sdb__buffer_done(keyspace->db->allocator, &r.place);
    return status;
}

sdb_status sdb_expire(sdb_db *db, uint64_t limit, uint64_t *out_removed)
{
    sdb_keyspace *keyspace;
    uint64_t removed = 0;
    uint32_t after = 0;
    sdb_status status = SDB_OK;

    if (!db) return FAIL(SDB_INVALID, "sdb_expire: db is NULL");
    TRY(sdb__db_alive(db));
    if (db->readonly) return FAIL(SDB_READONLY, "%s is open for reading only", db->path);
    if (limit == 0) limit = UINT64_MAX;
    (void)pthread_mutex_lock(&db->reap_lock);
    while (status == SDB_OK && removed < limit &&
           (keyspace = find_due(db, after, false)) != NULL) {
        status = reap_keyspace(keyspace, limit, &removed);
        after = keyspace->tree.id;
    }
    (void)pthread_mutex_unlock(&db->reap_lock);
    if (out_removed) *out_removed = removed;
    return status;
}
