/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv_worker.h: a thread of the database's own that does one kind of work: when woken, and else once
 * in each interval.
 *
 * Threads: start and stop by whoever opens and closes the database; wake by any.
 */
#ifndef SDB_INDEX_KV_KV_WORKER_H
#define SDB_INDEX_KV_KV_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sdb/status.h>

enum { WORKER_WHY = 320 }; /* bytes of a sentence */

/*
 * `woken`: somebody asked for it; otherwise the interval has gone. What it says is told to those
 * who wait for the round.
 */
typedef sdb_status (*work_fn)(void *context, bool woken);

struct worker {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    pthread_cond_t ended;  /* a round that was asked for has */
    uint64_t rounds;       /* of those; the last one's answer: */
    sdb_status status;
    char why[WORKER_WHY];
    pthread_t thread;
    bool started, stop, woken;
    uint64_t interval_ns;
    work_fn work;
    void *context;
};

void sdb__worker_init(struct worker *worker);
/* Stops it first, if it was started. */
void sdb__worker_done(struct worker *worker);
/* False: the system refuses a thread. */
bool sdb__worker_start(struct worker *worker, uint64_t interval_ms, work_fn work, void *context);
/* Lets the round that is running end, and ends the thread. */
void sdb__worker_stop(struct worker *worker);
/* A round begins as soon as the one that is running, if any, has ended. */
void sdb__worker_wake(struct worker *worker);
/*
 * Wakes it and waits until a round that was asked for, perhaps earlier, has ended: its answer, with
 * its sentence in out_why.
 */
SDB_MUST_USE sdb_status sdb__worker_wait(struct worker *worker, char out_why[WORKER_WHY]);

#endif
