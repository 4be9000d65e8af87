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

/* `woken`: somebody asked for it; otherwise the interval has gone. Failures are the work's own. */
typedef void (*work_fn)(void *context, bool woken);

struct worker {
    pthread_mutex_t lock;
    pthread_cond_t cond;
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

#endif
