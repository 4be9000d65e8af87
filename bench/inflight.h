/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inflight.h: the loop of a reader that keeps many reads in flight.
 */
#ifndef SDB_BENCH_INFLIGHT_H
#define SDB_BENCH_INFLIGHT_H

#include "bench/worker.h"

/* The worker's share of a GET workload, config->inflight at a time. The engine has a queue. */
bench_answer bench_worker_queue(bench_worker *worker);

#endif
