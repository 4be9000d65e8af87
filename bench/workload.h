/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workload.h: the workloads by name, and running one of them.
 */
#ifndef SDB_BENCH_WORKLOAD_H
#define SDB_BENCH_WORKLOAD_H

#include "bench/histogram.h"
#include "bench/stage.h"

typedef enum bench_kind {
    BENCH_KIND_WRITE,
    BENCH_KIND_GET,
    BENCH_KIND_SCAN,
    BENCH_KIND_SEEK,
    BENCH_KIND_MIXED, /* threads that get, and one that overwrites or scans */
    BENCH_KIND_MIX    /* threads that each do what a mix says (mix.h) */
} bench_kind;

/* Which entry an operation of a mix takes. */
typedef enum bench_chooser {
    BENCH_UNIFORM, /* each as often */
    BENCH_ZIPFIAN, /* some much more often than others, scattered over the keys */
    BENCH_LATEST   /* the newer, the more often */
} bench_chooser;

/* Percentages, together 100. */
typedef struct bench_mix {
    unsigned read;
    unsigned update;
    unsigned insert;
    unsigned scan;
    unsigned modify; /* read, then update */
    bench_chooser chooser;
} bench_mix;

typedef struct bench_workload {
    const char *name;
    const char *text; /* what it does, for --help */
    bench_kind kind;
    bool fresh;     /* WRITE: begins with an empty database */
    bool ascending; /* WRITE: in the order of the keys */
    bool sync;      /* WRITE: each commit is on disk when it returns */
    bool remove;    /* WRITE: deletes */
    bool checkpoints; /* WRITE: one more thread has checkpoints written, half of the time */
    bool missing;   /* GET: keys that are not there */
    bool backward;  /* SCAN */
    bool scans;     /* MIXED: the other thread scans; the gets are of the first sixteenth */
    bench_mix mix;  /* MIX */
} bench_workload;

extern const bench_workload bench_workloads[];
extern const size_t bench_workloads_count;

/* The workload of that name[0…length), or NULL. */
const bench_workload *bench_workload_find(const char *name, size_t length);

/* What one side of a workload did. */
typedef struct bench_result {
    char workload[64]; /* its name; if it has two sides, with ".read", ".between" and so on */
    unsigned threads;
    uint64_t batch;
    uint64_t operations;
    uint64_t wall_ns;
    uint64_t cpu_ns;
    uint64_t disk_bytes;
    uint64_t written_bytes;
    uint64_t read_bytes;
    unsigned inflight;
    const char *io;    /* bench_stage_io */
    bool has_checksum; /* false where the outcome depends on timing */
    uint64_t checksum;
    bench_histogram latency; /* nanoseconds; of a scan every 32nd step only */
} bench_result;

enum { BENCH_SIDES_MAX = 2 };

/*
 * Brings the stage to the workload's natural precondition (*out_filled: it had to be filled first),
 * runs it, and verifies what it did. BENCH_FAILED leaves a sentence; then there are no results.
 */
bench_answer bench_workload_run(bench_stage *stage, const bench_workload *workload,
                                bench_result results[BENCH_SIDES_MAX], unsigned *out_sides,
                                bool *out_filled);

#endif
