/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpointer.c
 *
 * Idea: whether an engine is writing a checkpoint cannot be seen from outside, so the checkpoints
 * are asked for here, and the clock is this thread's: half of the time one is running.
 *
 * Invariants:
 *   I1  A commit that overlapped a checkpoint for any time is told so: its own beginning saw an odd
 *       epoch, or its end another one.
 *
 * Costs: two atomic loads a commit.
 * Not here: what is done with it (worker.c, workload.c).
 */
#include "bench/checkpointer.h"

#include "bench/measure.h"

#include <stdio.h>
#include <string.h>

static const uint64_t pause_min_ns = 10000000;

/* Waits, or until it is stopped. */
static void pause_locked(bench_checkpointer *checkpointer, uint64_t ns)
{
    uint64_t until = bench_now_ns() + ns;
    struct timespec t = {.tv_sec = (time_t)(until / 1000000000u),
                         .tv_nsec = (long)(until % 1000000000u)};

    while (!checkpointer->stop && bench_now_ns() < until)
        (void)pthread_cond_timedwait(&checkpointer->stopped, &checkpointer->lock, &t);
}

static void *checkpointer_main(void *context)
{
    bench_checkpointer *checkpointer = context;
    const bench_stage *stage = checkpointer->stage;

    pthread_mutex_lock(&checkpointer->lock);
    while (!checkpointer->stop) {
        uint64_t begun = bench_now_ns();
        uint64_t took;

        pthread_mutex_unlock(&checkpointer->lock);
        atomic_fetch_add(&checkpointer->epoch, 1);
        checkpointer->answer = stage->engine->checkpoint(stage->db);
        atomic_fetch_add(&checkpointer->epoch, 1);
        took = bench_now_ns() - begun;
        pthread_mutex_lock(&checkpointer->lock);
        if (checkpointer->answer != BENCH_OK) {
            snprintf(checkpointer->error, sizeof checkpointer->error, "%s", bench_errmsg());
            break;
        }
        pause_locked(checkpointer, took > pause_min_ns ? took : pause_min_ns);
    }
    pthread_mutex_unlock(&checkpointer->lock);
    return NULL;
}

bench_answer bench_checkpointer_start(bench_checkpointer *checkpointer, const bench_stage *stage)
{
    pthread_condattr_t attributes;

    memset(checkpointer, 0, sizeof *checkpointer);
    if (stage->engine->checkpoint == NULL)
        return bench_fail("%s has no checkpoint that can be asked for", stage->engine->name);
    checkpointer->stage = stage;
    checkpointer->answer = BENCH_OK;
    atomic_init(&checkpointer->epoch, 0);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&checkpointer->lock, NULL);
    pthread_cond_init(&checkpointer->stopped, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&checkpointer->thread, NULL, checkpointer_main, checkpointer) == 0)
        return BENCH_OK;
    pthread_mutex_destroy(&checkpointer->lock);
    pthread_cond_destroy(&checkpointer->stopped);
    return bench_fail("the thread that asks for checkpoints cannot be started");
}

bench_answer bench_checkpointer_stop(bench_checkpointer *checkpointer)
{
    pthread_mutex_lock(&checkpointer->lock);
    checkpointer->stop = true;
    pthread_cond_signal(&checkpointer->stopped);
    pthread_mutex_unlock(&checkpointer->lock);
    pthread_join(checkpointer->thread, NULL);
    pthread_mutex_destroy(&checkpointer->lock);
    pthread_cond_destroy(&checkpointer->stopped);
    if (checkpointer->answer == BENCH_OK) return BENCH_OK;
    return bench_fail("a checkpoint beside it: %s", checkpointer->error);
}
