/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.h: what the bench prints, as lines or as JSON, and the comparison of checksums.
 */
#ifndef SDB_BENCH_REPORT_H
#define SDB_BENCH_REPORT_H

#include "bench/workload.h"

enum { BENCH_LIST_MAX = 64 };

/* The checksum that a place of --benchmarks has had so far. */
typedef struct bench_sum {
    const char *workload;
    const char *engine; /* NULL: none yet */
    uint64_t checksum;
} bench_sum;

typedef struct bench_report {
    bool json;
    unsigned differences;
    bench_sum sums[BENCH_LIST_MAX];
} bench_report;

/* What was asked, the machine, and each engine with its version and settings. */
void bench_report_head(const bench_report *report, const bench_config *config,
                       const bench_engine *const *engines, size_t count);

/* The database had to be filled before `workload`. */
void bench_report_filled(const bench_report *report, const char *engine, const char *workload,
                         uint64_t count);

/* One line for one side of a workload. */
void bench_report_result(const bench_report *report, const char *engine, unsigned run,
                         const bench_config *config, const bench_result *result);

/* The workload failed: `why` is the sentence. */
void bench_report_failure(const bench_report *report, const char *engine,
                          const bench_config *config, const char *workload, const char *why);

/* Remembers the checksum of place `at` of the list, and says at once if another engine differs. */
void bench_report_sum(bench_report *report, size_t at, const char *engine,
                      const bench_result *result);

/* The last line: which workloads agree. True when there was no difference. */
bool bench_report_end(const bench_report *report);

#endif
