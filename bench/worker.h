/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.h: one thread of a workload: its share of the operations, its session, its clock.
 */
#ifndef SDB_BENCH_WORKER_H
#define SDB_BENCH_WORKER_H

#include "bench/checkpointer.h"
#include "bench/dice.h"

#include <pthread.h>
#include <stdatomic.h>

/* What the threads of a workload have in common. */
typedef struct bench_job {
    bench_stage *stage;
    const bench_workload *workload;
    bench_order order;       /* of the changes */
    uint64_t generation;     /* that the changes write; the first of them in a MIXED job */
    bench_dice dice;         /* MIX */
    uint64_t operations;     /* over all threads; of a scan: entries, for each thread */
    pthread_barrier_t start; /* the workers and the one who measures */
    atomic_uint reading;     /* MIXED: readers that are not done */
    atomic_ullong newest;    /* MIXED: the newest generation that a reader may see */
    bench_checkpointer checkpointer; /* WRITE with checkpoints beside it */
} bench_job;

typedef struct bench_worker {
    bench_job *job;
    bool writer;   /* it changes, in whatever kind of job */
    uint64_t from; /* its share: operations from … to-1 */
    uint64_t to;
    uint64_t done;
    uint64_t digest; /* of what it read */
    uint64_t end_ns; /* when it was done */
    uint64_t cpu_ns; /* that this thread used */
    bench_answer answer;
    char error[512];
    bench_session *session;
    unsigned char *key;
    unsigned char *value;
    bench_histogram latency;
    bench_histogram beside;     /* of the commits beside which a checkpoint ran … */
    uint64_t done_beside;       /* … and their operations; neither is in `latency` or `done` */
    pthread_t thread;
} bench_worker;

/* How many reads each reader of the job keeps in flight: 1 where the engine cannot have more. */
unsigned bench_worker_inflight(const bench_job *job);

/* Counts the time since *since as one operation, and begins the next. */
void bench_worker_lap(bench_worker *worker, uint64_t *since);

/* What a get of entry `number`, whose key is in worker->key, must answer; adds to the digest. */
bench_answer bench_worker_check(bench_worker *worker, uint64_t number, bench_answer answer,
                                bench_bytes value);

/* The thread's function; `argument` is the bench_worker, its first four members set. */
void *bench_worker_main(void *argument);

#endif
