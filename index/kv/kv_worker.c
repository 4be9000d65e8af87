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
#include <time.h>

void sdb__worker_init(struct worker *w)
{
    pthread_condattr_t monotonic;

    *w = (struct worker){0};
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&w->cond, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
}

void sdb__worker_done(struct worker *w)
{
    sdb__worker_stop(w);
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

static void *worker_main(void *context)
{
    struct worker *w = context;

    (void)pthread_mutex_lock(&w->lock);
    for (;;) {
        bool woken;

        wait_locked(w);
        if (w->stop) break;
        woken = w->woken;
        (void)pthread_mutex_unlock(&w->lock);
        w->work(w->context, woken);
        (void)pthread_mutex_lock(&w->lock);
        if (woken) w->woken = false;
    }
    (void)pthread_mutex_unlock(&w->lock);
    return NULL;
}

bool sdb__worker_start(struct worker *w, uint64_t interval_ms, work_fn work, void *context)
{
    w->interval_ns = interval_ms * UINT64_C(1000000);
    w->work = work;
    w->context = context;
    w->started = pthread_create(&w->thread, NULL, worker_main, w) == 0;
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

void sdb__worker_wake(struct worker *w)
{
    (void)pthread_mutex_lock(&w->lock);
    if (!w->woken) {
        w->woken = true;
        (void)pthread_cond_signal(&w->cond);
    }
    (void)pthread_mutex_unlock(&w->lock);
}
