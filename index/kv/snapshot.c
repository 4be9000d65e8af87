/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.c: who reads which past, and which commits must leave a trace for them.
 *
 * Idea: a snapshot is the number of the newest commit that was whole when it opened. A commit that
 * is applied while older snapshots are open leaves versions. When none is open it need not,
 * provided that none opens before it is whole: a snapshot that comes in between waits, for as long
 * as it takes to apply QUIET_MOST operations; a larger commit leaves versions anyway, and drops
 * them when it is whole. One that was spilled, or deletes ranges, would leave more than there is
 * memory for: snapshots wait for all of it.
 * Invariants: I1 the list is in order of commits: snapshots open at `visible`, which only grows. I2
 *   while a commit is being applied, every open snapshot is older than it, and quiet holds only if
 *   there is none.
 * A snapshot has one time, at which values expire for it: that of its opening. What has expired for
 * all that are open may be removed without leaving versions.
 * A read without a snapshot takes the newest visible state: versions tell it what a commit that is
 * being applied has replaced; one that leaves none it waits for, if it may have changed the key,
 * which takes a moment.
 * Costs: one short lock to open, one to close. Not here: the versions (versions.c).
 */
#include <sched.h>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"
#include "engine/base/mutant.h"
#include "index/kv/database.h"

enum { SPINS = 64, YIELDS = 4096, PAUSE_NS = 50000 };

void sdb__snapshot_open(sdb_db *db, struct snapshot *snapshot)
{
    (void)pthread_mutex_lock(&db->snapshot_lock);
    while (db->quiet) (void)pthread_cond_wait(&db->snapshot_cond, &db->snapshot_lock);
    *snapshot = (struct snapshot){.before = db->newest, .commit = db->visible};
    if (atomic_load_explicit(&db->expiring, memory_order_relaxed)) {
        snapshot->now_ms = sdb__db_now_ms(db);
        if (snapshot->now_ms < db->reap_ms) snapshot->now_ms = db->reap_ms; /* set back */
    }
    if (db->newest)
        db->newest->after = snapshot;
    else
        db->oldest = snapshot;
    db->newest = snapshot;
    db->snapshot_count++;
    (void)pthread_mutex_unlock(&db->snapshot_lock);
}

/* The commit up to which no snapshot needs versions. Under snapshot_lock. */
static uint64_t prune_limit(const sdb_db *db)
{
    return db->oldest ? db->oldest->commit : db->visible;
}

void sdb__snapshot_close(sdb_db *db, struct snapshot *snapshot)
{
    uint64_t limit;

    (void)pthread_mutex_lock(&db->snapshot_lock);
    if (snapshot->before)
        snapshot->before->after = snapshot->after;
    else
        db->oldest = snapshot->after;
    if (snapshot->after)
        snapshot->after->before = snapshot->before;
    else
        db->newest = snapshot->before;
    db->snapshot_count--;
    limit = prune_limit(db);
    (void)pthread_mutex_unlock(&db->snapshot_lock);
    sdb__versions_prune(&db->versions, limit);
}

/*
 * A snapshot without a time saw no value with an expiry; what replaced what it saw left versions,
 * whatever becomes of the replacement.
 */
uint64_t sdb__snapshot_reap_begin(sdb_db *db, uint64_t now_ms)
{
    (void)pthread_mutex_lock(&db->snapshot_lock);
    for (const struct snapshot *s = db->oldest; s; s = s->after)
        if (s->now_ms && s->now_ms < now_ms && !MUTANT(reaper_ignores_snapshots))
            now_ms = s->now_ms;
    db->reap_ms = now_ms;
    (void)pthread_mutex_unlock(&db->snapshot_lock);
    return now_ms;
}

void sdb__snapshot_reap_end(sdb_db *db)
{
    (void)pthread_mutex_lock(&db->snapshot_lock);
    db->reap_ms = 0;
    (void)pthread_mutex_unlock(&db->snapshot_lock);
}

bool sdb__snapshot_apply(sdb_db *db, uint64_t count, uint64_t keys)
{
    bool keep;

    (void)pthread_mutex_lock(&db->snapshot_lock);
    keep = db->oldest != NULL || count > QUIET_MOST;
    db->applying_keys = keys;
    db->applying = db->last_commit + 1;
    db->quiet = !keep;
    (void)pthread_mutex_unlock(&db->snapshot_lock);
    return keep;
}

void sdb__snapshot_publish(sdb_db *db, uint64_t commit)
{
    uint64_t limit;

    (void)pthread_mutex_lock(&db->snapshot_lock);
    db->visible = commit;
    if (db->quiet) {
        db->quiet = false;
        (void)pthread_cond_broadcast(&db->snapshot_cond);
    }
    limit = prune_limit(db);
    (void)pthread_mutex_unlock(&db->snapshot_lock);
    sdb__versions_prune(&db->versions, limit);
}

uint64_t sdb__snapshot_visible(const sdb_db *db)
{
    return atomic_load_explicit(&db->visible, memory_order_acquire);
}

uint64_t sdb__snapshot_key(uint32_t keyspace, struct bytes key)
{
    return UINT64_C(1) << (sdb__digest(key.data, key.size, keyspace) >> 58);
}

/*
 * Whether `commit`, the one that is applied last, can have changed one of `keys` and is not visible
 * yet. The keys may already be the next commit's: then this one is visible, and either answer is
 * right.
 */
static bool is_pending(const sdb_db *db, uint64_t commit, uint64_t keys)
{
    if (atomic_load_explicit(&db->visible, memory_order_acquire) >= commit) return false;
    if (!(atomic_load_explicit(&db->applying_keys, memory_order_acquire) & keys) ||
        MUTANT(pending_keys_forgotten))
        return false;
    return atomic_load_explicit(&db->quiet, memory_order_acquire);
}

void sdb__snapshot_await(const sdb_db *db, uint32_t keyspace, struct bytes key)
{
    uint64_t applying = atomic_load_explicit(&db->applying, memory_order_acquire), keys;

    if (atomic_load_explicit(&db->visible, memory_order_acquire) >= applying) return;
    keys = sdb__snapshot_key(keyspace, key);
    for (unsigned round = 0; is_pending(db, applying, keys); round++) {
        if (round >= YIELDS)
            sdb__clock_sleep_ns(PAUSE_NS); /* for deleted ranges, or what was spilled */
        else if (round >= SPINS)
            (void)sched_yield();
    }
}

uint64_t sdb__snapshot_oldest(sdb_db *db)
{
    uint64_t oldest;

    (void)pthread_mutex_lock(&db->snapshot_lock);
    oldest = prune_limit(db);
    (void)pthread_mutex_unlock(&db->snapshot_lock);
    return oldest;
}
