/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv_worker.c
 *
 * Idea: one condition variable with a deadline. `woken` is taken back when the round that was asked
 * for has ended, so that asking again during it costs nothing and asks for nothing.
 * Invariants: I1 the lock is not held while work is done. Not here: what the work is.
 */
#include "index/kv/kv_worker.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "engine/base/status.h"
#include "engine/base/thread.h"

void sdb__worker_init(struct worker *w)
{
    pthread_condattr_t monotonic;

    *w = (struct worker){0};
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&w->cond, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    (void)pthread_cond_init(&w->ended, NULL);
}

void sdb__worker_done(struct worker *w)
{
    sdb__worker_stop(w);
    (void)pthread_cond_destroy(&w->ended);
    (void)pthread_cond_destroy(&w->cond);
    (void)pthread_mutex_destroy(&w->lock);
}

/* Waits for an order or the end of the interval. */
static void wait_locked(struct worker *w)
{
    struct timespec until;
    uint64_t ns;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    ns = w->interval_ns + (uint64_t)until.tv_nsec;
    until.tv_sec += (time_t)(ns / 1000000000u);
    until.tv_nsec = (long)(ns % 1000000000u);
    while (!w->stop && !w->woken &&
           pthread_cond_timedwait(&w->cond, &w->lock, &until) != ETIMEDOUT)
        continue;
}

/* Tells those who wait how the round ended. */
static void end_round_locked(struct worker *w, sdb_status status)
{
    w->woken = false;
    w->rounds++;
    w->status = status;
    (void)snprintf(w->why, sizeof w->why, "%s",
                   status == SDB_NOMEM ? sdb_status_text(status) : sdb_errmsg());
    (void)pthread_cond_broadcast(&w->ended);
}

static void *worker_main(void *context)
{
    struct worker *w = context;

    (void)pthread_mutex_lock(&w->lock);
    for (;;) {
        sdb_status status;
        bool woken;

        wait_locked(w);
        if (w->stop) break;
        woken = w->woken;
        (void)pthread_mutex_unlock(&w->lock);
        status = w->work(w->context, woken);
        (void)pthread_mutex_lock(&w->lock);
        if (woken) end_round_locked(w, status);
    }
    (void)pthread_mutex_unlock(&w->lock);
    return NULL;
}

bool sdb__worker_start(struct worker *w, uint64_t interval_ms, work_fn work, void *context)
{
    w->interval_ns = interval_ms * UINT64_C(1000000);
    w->work = work;
    w->context = context;
    w->started = sdb__thread_start(&w->thread, worker_main, w);
    return w->started;
}

void sdb__worker_stop(struct worker *w)
{
    if (!w->started) return;
    (void)pthread_mutex_lock(&w->lock);
    w->stop = true;
    (void)pthread_cond_signal(&w->cond);
    (void)pthread_mutex_unlock(&w->lock);
    (void)pthread_join(w->thread, NULL);
    w->started = w->stop = false;
}

static void wake_locked(struct worker *w)
{
    if (w->woken) return;
    w->woken = true;
    (void)pthread_cond_signal(&w->cond);
}

void sdb__worker_wake(struct worker *w)
{
    (void)pthread_mutex_lock(&w->lock);
    wake_locked(w);
    (void)pthread_mutex_unlock(&w->lock);
}

sdb_status sdb__worker_wait(struct worker *w, char out_why[WORKER_WHY])
{
    sdb_status status;
    uint64_t seen;

    (void)pthread_mutex_lock(&w->lock);
    seen = w->rounds;
    wake_locked(w);
    while (w->rounds == seen) (void)pthread_cond_wait(&w->ended, &w->lock);
    status = w->status;
    memcpy(out_why, w->why, WORKER_WHY);
    (void)pthread_mutex_unlock(&w->lock);
    return status;
}
