/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpointer.h: a thread that makes an engine write checkpoints while a workload runs, and knows
 * when one is running.
 */
#ifndef SDB_BENCH_CHECKPOINTER_H
#define SDB_BENCH_CHECKPOINTER_H

#include "bench/stage.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct bench_checkpointer {
    const bench_stage *stage; /* borrowed until bench_checkpointer_stop */
    atomic_uint epoch; /* odd while a checkpoint runs; it begins and ends with one step each */
    bool stop;
    bench_answer answer;
    char error[512];
    pthread_mutex_t lock;
    pthread_cond_t stopped;
    pthread_t thread;
} bench_checkpointer;

/*
 * Caller's storage. Starts the thread: a checkpoint at once, then a pause of as long as it took, at
 * least 10 ms, and so on. BENCH_FAILED if the engine has none to be asked for.
 */
bench_answer bench_checkpointer_start(bench_checkpointer *checkpointer, const bench_stage *stage);

/* Ends it, after the checkpoint that runs. BENCH_FAILED if one failed. */
bench_answer bench_checkpointer_stop(bench_checkpointer *checkpointer);

/* Whether a checkpoint ran at some time since the epoch was `before`. */
static inline bool bench_checkpointer_ran(bench_checkpointer *checkpointer, unsigned before)
{
    return before % 2 == 1 || atomic_load(&checkpointer->epoch) != before;
}

#endif
