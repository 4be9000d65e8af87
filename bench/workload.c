/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workload.c
 *
 * Idea: a workload is a row of a table; running it is always the same: bring the database to where
 * the workload begins, let the threads go, measure, bring the database to rest, verify.
 *
 * Invariants:
 *   I1  After a run that succeeded, stage->content is what the database holds (stage.h), and for
 *       workloads that change it this was verified by reading it whole.
 *   I2  The checksum of a read is compared with the generator's before anybody sees it.
 *   I3  Nothing of preparing, settling or verifying is in the measured time. CPU, bytes written and
 *       bytes on disk are taken after settling, so that what was deferred counts.
 *
 * Source: LevelDB's db_bench for the names; where ours differ, README.md says how.
 * Not here: the loops (worker.c).
 */
#include "bench/workload.h"

#include "bench/measure.h"
#include "bench/mix.h"
#include "bench/pagecache.h"
#include "bench/worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const bench_workload bench_workloads[] = {
    {.name = "fillseq",
     .text = "write all entries in the order of their keys, into an empty database",
     .kind = BENCH_KIND_WRITE,
     .fresh = true,
     .ascending = true},
    {.name = "fillrandom",
     .text = "the same in random order",
     .kind = BENCH_KIND_WRITE,
     .fresh = true},
    {.name = "fillsync",
     .text = "write --syncs entries in random order into an empty database, each commit durable",
     .kind = BENCH_KIND_WRITE,
     .fresh = true,
     .sync = true},
    {.name = "overwrite",
     .text = "give every entry a new value, in random order",
     .kind = BENCH_KIND_WRITE},
    {.name = "overwritecheckpoint",
     .text = "overwrite, while checkpoints are written half of the time: commits beside one, and "
             "between",
     .kind = BENCH_KIND_WRITE,
     .checkpoints = true},
    {.name = "readrandom", .text = "read --reads random entries", .kind = BENCH_KIND_GET},
    {.name = "readmissing",
     .text = "look for --reads random keys that are not there",
     .kind = BENCH_KIND_GET,
     .missing = true},
    {.name = "readseq",
     .text = "read --reads entries in the order of their keys, in each thread",
     .kind = BENCH_KIND_SCAN},
    {.name = "readreverse",
     .text = "the same from the last one backwards",
     .kind = BENCH_KIND_SCAN,
     .backward = true},
    {.name = "seekrandom",
     .text = "seek --reads random entries, and read --nexts behind each",
     .kind = BENCH_KIND_SEEK},
    {.name = "readwhilewriting",
     .text = "readrandom in --threads, while one more thread overwrites",
     .kind = BENCH_KIND_MIXED},
    {.name = "readwhilescanning",
     .text = "readrandom of the first sixteenth, while one more thread scans all, again and again",
     .kind = BENCH_KIND_MIXED,
     .scans = true},
    {.name = "deleterandom",
     .text = "delete every entry, in random order",
     .kind = BENCH_KIND_WRITE,
     .remove = true},
    {.name = "mixed",
     .text = "half reads, half updates, of entries that are each as likely",
     .kind = BENCH_KIND_MIX,
     .mix = {.read = 50, .update = 50, .chooser = BENCH_UNIFORM}},
    {.name = "ycsba",
     .text = "YCSB A: half reads, half updates, zipfian",
     .kind = BENCH_KIND_MIX,
     .mix = {.read = 50, .update = 50, .chooser = BENCH_ZIPFIAN}},
    {.name = "ycsbb",
     .text = "YCSB B: 95 % reads, 5 % updates, zipfian",
     .kind = BENCH_KIND_MIX,
     .mix = {.read = 95, .update = 5, .chooser = BENCH_ZIPFIAN}},
    {.name = "ycsbc",
     .text = "YCSB C: reads, zipfian",
     .kind = BENCH_KIND_MIX,
     .mix = {.read = 100, .chooser = BENCH_ZIPFIAN}},
    {.name = "ycsbd",
     .text = "YCSB D: 95 % reads of the latest, 5 % inserts",
     .kind = BENCH_KIND_MIX,
     .mix = {.read = 95, .insert = 5, .chooser = BENCH_LATEST}},
    {.name = "ycsbe",
     .text = "YCSB E: 95 % scans of 1 to 100 entries from a zipfian one, 5 % inserts",
     .kind = BENCH_KIND_MIX,
     .mix = {.scan = 95, .insert = 5, .chooser = BENCH_ZIPFIAN}},
    {.name = "ycsbf",
     .text = "YCSB F: half reads, half read-modify-writes, zipfian",
     .kind = BENCH_KIND_MIX,
     .mix = {.read = 50, .modify = 50, .chooser = BENCH_ZIPFIAN}},
};

const size_t bench_workloads_count = sizeof bench_workloads / sizeof bench_workloads[0];

const bench_workload *bench_workload_find(const char *name, size_t length)
{
    for (size_t i = 0; i < bench_workloads_count; i++) {
        const char *known = bench_workloads[i].name;

        if (strlen(known) == length && memcmp(known, name, length) == 0) return &bench_workloads[i];
    }
    return NULL;
}

/* Changes begin with any full database; what must be read must be known. */
static bench_answer precondition(bench_stage *stage, const bench_workload *workload,
                                 bool *out_filled)
{
    bool ready = bench_stage_even(stage);

    if (workload->kind == BENCH_KIND_WRITE)
        ready = bench_stage_full(stage) && stage->content.spread < BENCH_SPREAD_MAX;
    if (workload->kind == BENCH_KIND_MIX)
        ready = bench_stage_full(stage) && stage->content.spread < BENCH_SPREAD_MAX &&
                stage->content.ahead == 0;
    *out_filled = false;
    if (workload->fresh)
        return bench_stage_fresh(stage, workload->sync ? BENCH_DURABILITY_FULL
                                                       : stage->config->durability);
    if (!ready) {
        *out_filled = true;
        if (bench_stage_fill(stage) != BENCH_OK) return BENCH_FAILED;
    }
    return stage->config->direct ? bench_stage_cold(stage) : BENCH_OK;
}

static void job_init(bench_job *job, bench_stage *stage, const bench_workload *workload)
{
    const bench_config *config = stage->config;
    uint64_t total = config->generator.count;

    memset(job, 0, sizeof *job);
    job->stage = stage;
    job->workload = workload;
    job->generation = stage->content.generation + stage->content.spread + 1;
    atomic_init(&job->reading, config->threads);
    atomic_init(&job->newest, job->generation);
    bench_stage_order(stage, workload->ascending, &job->order);
    job->operations = config->reads;
    if (workload->kind == BENCH_KIND_WRITE)
        job->operations = workload->sync ? config->syncs : total;
    if (workload->kind == BENCH_KIND_SCAN && job->operations > total) job->operations = total;
    if (workload->kind == BENCH_KIND_MIX) {
        if (job->operations > total) job->operations = total; /* as many can be inserted */
        bench_dice_init(&job->dice, &workload->mix, &config->generator, &job->order);
    }
}

/* Deals the operations out to the workers; a scan is everybody's whole. */
static void job_deal(bench_job *job, bench_worker *workers, unsigned readers, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        bench_worker *worker = &workers[i];

        worker->job = job;
        worker->writer = job->workload->kind == BENCH_KIND_WRITE || i >= readers;
        worker->from = job->operations * i / readers;
        worker->to = job->operations * (i + 1) / readers;
        if (job->workload->kind == BENCH_KIND_SCAN) {
            worker->from = 0;
            worker->to = job->operations;
        }
    }
}

/* Starts all threads, or none that would wait for one that is missing. */
static bench_answer job_run(bench_job *job, bench_worker *workers, unsigned count,
                            bench_point *out_start)
{
    bench_answer answer = BENCH_OK;

    pthread_barrier_init(&job->start, NULL, count + 1);
    for (unsigned i = 0; i < count; i++) {
        if (pthread_create(&workers[i].thread, NULL, bench_worker_main, &workers[i]) != 0) {
            fprintf(stderr, "bench: thread %u of %u cannot be started\n", i + 1, count);
            exit(1); /* the others wait at the barrier, and cannot be told */
        }
    }
    *out_start = bench_measure_point();
    pthread_barrier_wait(&job->start);
    for (unsigned i = 0; i < count; i++) pthread_join(workers[i].thread, NULL);
    pthread_barrier_destroy(&job->start);
    for (unsigned i = 0; i < count && answer == BENCH_OK; i++) {
        if (workers[i].answer != BENCH_OK) answer = bench_fail("%s", workers[i].error);
    }
    return answer;
}

/* Adds up what workers[from…to) did. */
static void collect(bench_result *result, const bench_job *job, const bench_worker *workers,
                    unsigned from, unsigned to, uint64_t start_ns)
{
    uint64_t end_ns = start_ns;

    memset(result, 0, sizeof *result);
    bench_histogram_init(&result->latency);
    snprintf(result->workload, sizeof result->workload, "%s", job->workload->name);
    result->threads = to - from;
    result->batch = job->workload->kind == BENCH_KIND_MIX ? 1 : job->stage->config->batch;
    result->inflight = bench_worker_inflight(job);
    result->io = bench_stage_io(job->stage);
    for (unsigned i = from; i < to; i++) {
        result->operations += workers[i].done;
        result->cpu_ns += workers[i].cpu_ns;
        result->checksum += workers[i].digest;
        if (workers[i].end_ns > end_ns) end_ns = workers[i].end_ns;
        bench_histogram_merge(&result->latency, &workers[i].latency);
    }
    result->wall_ns = end_ns - start_ns;
}

/*
 * Of a workload with checkpoints: results[0] has the commits between them already, results[1] gets
 * those beside one. The time of each side is that of its commits.
 */
static void collect_beside(bench_result results[BENCH_SIDES_MAX], const bench_worker *workers,
                           unsigned count)
{
    bench_result *between = &results[0];
    bench_result *during = &results[1];
    uint64_t cpu_ns = between->cpu_ns;

    *during = *between;
    bench_histogram_init(&during->latency);
    during->operations = 0;
    for (unsigned i = 0; i < count; i++) {
        during->operations += workers[i].done_beside;
        bench_histogram_merge(&during->latency, &workers[i].beside);
    }
    between->wall_ns = between->latency.sum / count;
    during->wall_ns = during->latency.sum / count;
    between->cpu_ns = between->operations == 0 ? 0
                                               : cpu_ns * between->operations /
                                                     (between->operations + during->operations);
}

/* What the content is after the changes of a job. */
static bench_answer content_change(bench_stage *stage, const bench_job *job, uint64_t written)
{
    bench_content content = {.order = job->order};
    uint64_t total = stage->config->generator.count;

    if (job->workload->kind == BENCH_KIND_MIX) return bench_mix_content(stage, job);
    if (job->workload->kind == BENCH_KIND_MIXED) {
        content.count = total;
        content.generation = stage->content.generation + written / total;
        content.ahead = written % total;
        content.spread = content.ahead > 0 ? 1 : 0;
    } else {
        content.count = job->workload->remove ? 0 : written;
        content.generation = job->generation;
    }
    bench_stage_content(stage, content);
    return BENCH_OK;
}

/* The digest of one seek of `nexts` entries behind each draw, all of them. */
static uint64_t seeks_digest(const bench_stage *stage)
{
    const bench_config *config = stage->config;
    uint64_t sum = 0;

    for (uint64_t i = 0; i < config->reads; i++) {
        uint64_t from = bench_generator_draw(&config->generator, i);
        uint64_t left = config->generator.count - from;
        uint64_t count = left < config->nexts + 1 ? left : config->nexts + 1;

        sum += bench_stage_digest(stage, from, from + count);
    }
    return sum;
}

/* What the workers' digests must add up to. */
static uint64_t reads_digest(const bench_stage *stage, const bench_job *job)
{
    const bench_config *config = stage->config;
    const bench_workload *workload = job->workload;
    uint64_t total = config->generator.count;
    unsigned char key[BENCH_KEY_MAX];
    uint64_t sum = 0;

    if (workload->kind == BENCH_KIND_SEEK) return seeks_digest(stage);
    if (workload->kind == BENCH_KIND_SCAN) {
        uint64_t first = workload->backward ? total - job->operations : 0;

        return config->threads * bench_stage_digest(stage, first, first + job->operations);
    }
    for (uint64_t i = 0; i < config->reads; i++) {
        uint64_t number = bench_generator_draw(&config->generator, i);

        if (workload->missing) {
            bench_generator_missing(&config->generator, number, key);
            sum += bench_digest(key, config->generator.key_size, NULL, 0);
        } else {
            sum += bench_stage_digest(stage, number, number + 1);
        }
    }
    return sum;
}

static bench_answer reads_check(const bench_stage *stage, const bench_job *job,
                                const bench_result *result)
{
    uint64_t want = reads_digest(stage, job);

    if (result->checksum == want) return BENCH_OK;
    return bench_fail("what it read has the checksum %016" PRIx64 ", and must have %016" PRIx64,
                      result->checksum, want);
}

/* Fills in what is known only when the database is at rest, and verifies. */
static bench_answer finish(bench_job *job, bench_result *results, unsigned sides,
                           const bench_point *start, bench_point end)
{
    bench_stage *stage = job->stage;
    bench_result *last = &results[sides - 1];
    bool scans = job->workload->scans;
    bool checkpoints = job->workload->checkpoints;
    bool changes = job->workload->kind == BENCH_KIND_WRITE ||
                   job->workload->kind == BENCH_KIND_MIX || (sides > 1 && !scans);
    uint64_t disk_bytes;
    uint64_t digest;

    if (changes) {
        uint64_t written = last->operations + (checkpoints ? results[0].operations : 0);

        if (content_change(stage, job, written) != BENCH_OK) return BENCH_FAILED;
        if (bench_stage_settle(stage, &disk_bytes) != BENCH_OK) return BENCH_FAILED;
        end = bench_measure_point();
    } else {
        disk_bytes = bench_measure_disk(stage->directory);
    }
    last->written_bytes = end.written_bytes - start->written_bytes;
    last->read_bytes = end.read_bytes - start->read_bytes;
    for (unsigned i = 0; i < sides; i++) results[i].disk_bytes = disk_bytes;
    last->cpu_ns = end.cpu_ns - start->cpu_ns;
    if (sides > 1) {
        /* The engine's own threads work for the side that changes. */
        last->cpu_ns -= results[0].cpu_ns < last->cpu_ns ? results[0].cpu_ns : last->cpu_ns;
        snprintf(results[0].workload, sizeof results[0].workload, "%s.%s", job->workload->name,
                 checkpoints ? "between" : "read");
        snprintf(last->workload, sizeof last->workload, "%s.%s", job->workload->name,
                 checkpoints ? "during"
                 : scans     ? "scan"
                             : "write");
    }
    last->has_checksum = sides == 1;
    if (scans) return BENCH_OK; /* every get and every pass was verified */
    if (!changes) return reads_check(stage, job, last);
    if (bench_stage_verify(stage, &digest) != BENCH_OK) return BENCH_FAILED;
    last->checksum = digest;
    return BENCH_OK;
}

/* Runs the job with what has to run beside it. */
static bench_answer run_beside(bench_job *job, bench_worker *workers, unsigned count,
                               bench_point *out_start, bench_point *out_end)
{
    bench_stage *stage = job->stage;
    bool checkpoints = job->workload->checkpoints;
    bench_pagecache keeper = {.running = false};
    bench_answer answer;

    if (stage->config->direct) {
        if (!bench_pagecache_hold(&keeper, stage->directory, stage->config->cache_bytes))
            return bench_fail("the thread that bounds the page cache cannot be started");
        stage->keeper = &keeper;
    }
    answer = checkpoints ? bench_checkpointer_start(&job->checkpointer, stage) : BENCH_OK;
    if (answer == BENCH_OK) {
        answer = job_run(job, workers, count, out_start);
        if (checkpoints && bench_checkpointer_stop(&job->checkpointer) != BENCH_OK)
            answer = BENCH_FAILED;
        *out_end = bench_measure_point();
    }
    stage->keeper = NULL;
    bench_pagecache_release(&keeper);
    return answer;
}

bench_answer bench_workload_run(bench_stage *stage, const bench_workload *workload,
                                bench_result results[BENCH_SIDES_MAX], unsigned *out_sides,
                                bool *out_filled)
{
    unsigned threads = stage->config->threads;
    bool mixed = workload->kind == BENCH_KIND_MIXED;
    unsigned sides = mixed || workload->checkpoints ? 2 : 1;
    unsigned count = threads + (mixed ? 1 : 0);
    bench_worker *workers = NULL;
    bench_answer answer;
    bench_point start = {0};
    bench_point end = {0};
    bench_job job;

    if (precondition(stage, workload, out_filled) != BENCH_OK) return BENCH_FAILED;
    workers = calloc(count, sizeof *workers);
    if (workers == NULL) return bench_fail("out of memory");
    job_init(&job, stage, workload);
    job_deal(&job, workers, threads, count);
    answer = run_beside(&job, workers, count, &start, &end);
    if (answer == BENCH_OK) {
        collect(&results[0], &job, workers, 0, threads, start.wall_ns);
        if (mixed) collect(&results[1], &job, workers, threads, count, start.wall_ns);
        if (workload->checkpoints) collect_beside(results, workers, count);
        answer = finish(&job, results, sides, &start, end);
        *out_sides = sides;
    }
    free(workers);
    return answer;
}
