/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.h: one thread of a workload: its share of the operations, its session, its clock.
 */
#ifndef SDB_BENCH_WORKER_H
#define SDB_BENCH_WORKER_H

#include "bench/workload.h"

#include <pthread.h>
#include <stdatomic.h>

/* What the threads of a workload have in common. */
typedef struct bench_job {
    bench_stage *stage;
    const bench_workload *workload;
    bench_order order;       /* of the changes */
    uint64_t generation;     /* that the changes write; the first of them in a MIXED job */
    uint64_t operations;     /* over all threads; of a scan: entries, for each thread */
    pthread_barrier_t start; /* the workers and the one who measures */
    atomic_uint reading;     /* MIXED: readers that are not done */
    atomic_ullong newest;    /* MIXED: the newest generation that a reader may see */
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
    pthread_t thread;
} bench_worker;

/* The thread's function; `argument` is the bench_worker, its first four members set. */
void *bench_worker_main(void *argument);

#endif
