/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mix.h: the loop of a worker that does what a mix says, and what is in the database afterwards.
 */
#ifndef SDB_BENCH_MIX_H
#define SDB_BENCH_MIX_H

#include "bench/worker.h"

/* The worker's share of a MIX workload. */
bench_answer bench_worker_mix(bench_worker *worker);

/* Makes stage->content what it is after all operations of the job. */
bench_answer bench_mix_content(bench_stage *stage, const bench_job *job);

#endif
