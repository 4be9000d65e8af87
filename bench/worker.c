/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.c
 *
 * Idea: the measured loops, one for each kind of workload, the same for every engine.
 *
 * The clock. A loop of single operations reads it once an operation: the end of one is the
 * beginning of the next, so a latency includes making the key and the value and checking the answer
 * (about 30 ns), as db_bench's do. A batch is one operation of the clock. Scans are too quick for
 * that: there every 32nd step is timed alone, between two readings.
 *
 * Invariants:
 *   I1  Every worker passes the barrier exactly once, whatever failed before.
 *   I2  Which keys are read or written depends on the seed and the operation's index only, not on
 *       the number of threads: shares are ranges of indexes.
 *
 * Costs: a reading of the clock 25 ns, the histogram 3 ns; see generator.c for the rest.
 * Source: LevelDB's db_bench for the workloads and the chained clock.
 * Not here: what is right (stage.c), what is printed (report.c).
 */
#include "bench/worker.h"

#include "bench/inflight.h"
#include "bench/measure.h"
#include "bench/mix.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCAN_SAMPLE = 32 };

static void lap(bench_histogram *histogram, uint64_t *since)
{
    uint64_t now = bench_now_ns();

    bench_histogram_add(histogram, now - *since);
    *since = now;
}

void bench_worker_lap(bench_worker *worker, uint64_t *since)
{
    lap(&worker->latency, since);
}

unsigned bench_worker_inflight(const bench_job *job)
{
    const bench_stage *stage = job->stage;

    if (job->workload->kind != BENCH_KIND_GET || stage->engine->queue == NULL) return 1;
    return stage->config->inflight;
}

static bench_answer loop_write(bench_worker *worker)
{
    bench_job *job = worker->job;
    bench_change change = {
        .order = &job->order,
        .generation = job->generation,
        .batch = job->stage->config->batch,
        .remove = job->workload->remove,
    };
    bool checkpoints = job->workload->checkpoints;
    uint64_t since = bench_now_ns();

    for (uint64_t at = worker->from; at < worker->to;) {
        uint64_t count = worker->to - at < change.batch ? worker->to - at : change.batch;
        unsigned epoch = checkpoints ? atomic_load(&job->checkpointer.epoch) : 0;
        bench_answer answer = bench_stage_poll(job->stage, at);

        if (answer != BENCH_OK) return answer;
        answer = bench_stage_change(job->stage, worker->session, &change, at, count, worker->key,
                                    worker->value);
        if (answer != BENCH_OK) return answer;
        at += count;
        if (checkpoints && bench_checkpointer_ran(&job->checkpointer, epoch)) {
            lap(&worker->beside, &since);
            worker->done_beside += count;
        } else {
            bench_worker_lap(worker, &since);
            worker->done += count;
        }
    }
    return BENCH_OK;
}

/* The writer beside the readers: pass after pass over all entries until they are done. */
static bench_answer loop_write_while(bench_worker *worker)
{
    bench_job *job = worker->job;
    uint64_t total = job->stage->config->generator.count;
    bench_change change = {
        .order = &job->order,
        .generation = job->generation,
        .batch = job->stage->config->batch,
    };
    uint64_t since = bench_now_ns();

    do {
        uint64_t at = worker->done % total;
        uint64_t count = total - at < change.batch ? total - at : change.batch;
        bench_answer answer;

        change.generation = job->generation + worker->done / total;
        atomic_store(&job->newest, change.generation);
        answer = bench_stage_change(job->stage, worker->session, &change, at, count, worker->key,
                                    worker->value);
        if (answer != BENCH_OK) return answer;
        bench_worker_lap(worker, &since);
        worker->done += count;
    } while (atomic_load_explicit(&job->reading, memory_order_relaxed) > 0);
    return BENCH_OK;
}

bench_answer bench_worker_check(bench_worker *worker, uint64_t number, bench_answer answer,
                                bench_bytes value)
{
    const bench_workload *workload = worker->job->workload;
    const bench_stage *stage = worker->job->stage;
    const bench_generator *generator = &stage->config->generator;

    if (answer != BENCH_OK && answer != BENCH_END) return answer;
    if ((answer == BENCH_END) != workload->missing)
        return bench_fail("entry %" PRIu64 " was %s", number,
                          answer == BENCH_END ? "not found" : "found, and nobody wrote it");
    if (workload->missing) value.size = 0;
    if (workload->kind != BENCH_KIND_MIXED) {
        worker->digest += bench_digest(worker->key, generator->key_size, value.data, value.size);
        return BENCH_OK;
    }
    if (!bench_generator_valid(generator, number, stage->content.generation,
                               atomic_load(&worker->job->newest), value.data, value.size,
                               worker->value))
        return bench_fail("entry %" PRIu64 " has a value that was not written", number);
    return BENCH_OK;
}

static bench_answer loop_get(bench_worker *worker)
{
    const bench_stage *stage = worker->job->stage;
    const bench_engine *engine = stage->engine;
    const bench_generator *generator = &stage->config->generator;
    bool missing = worker->job->workload->missing;
    uint64_t batch = stage->config->batch;
    uint64_t in_batch = 0;
    uint64_t since = bench_now_ns();
    bench_answer answer = BENCH_OK;

    for (uint64_t i = worker->from; i < worker->to && answer == BENCH_OK; i++) {
        uint64_t number = bench_generator_draw(generator, i);
        bench_bytes value = {.size = 0};

        answer = bench_stage_poll(stage, worker->done);
        if (answer != BENCH_OK) break;
        if (worker->job->workload->scans) number %= generator->count / 16 + 1;
        if (batch > 1 && in_batch == 0) {
            answer = engine->read_begin(worker->session);
            if (answer != BENCH_OK) return answer;
        }
        if (missing)
            bench_generator_missing(generator, number, worker->key);
        else
            bench_generator_key(generator, number, worker->key);
        answer =
            engine->get(worker->session, (bench_bytes){worker->key, generator->key_size}, &value);
        answer = bench_worker_check(worker, number, answer, value);
        if (batch > 1 && ++in_batch == batch) {
            engine->read_end(worker->session);
            in_batch = 0;
        }
        bench_worker_lap(worker, &since);
        worker->done++;
    }
    if (in_batch > 0) engine->read_end(worker->session);
    return answer;
}

static bench_answer loop_scan(bench_worker *worker)
{
    const bench_engine *engine = worker->job->stage->engine;
    bool backward = worker->job->workload->backward;
    bench_move move = backward ? BENCH_LAST : BENCH_FIRST;
    bench_bytes none = {.size = 0};
    bench_answer answer = engine->cursor_open(worker->session);

    if (answer != BENCH_OK) return answer;
    for (uint64_t i = worker->from; i < worker->to; i++) {
        bool timed = i % SCAN_SAMPLE == 0;
        uint64_t since = timed ? bench_now_ns() : 0;
        bench_entry entry;

        answer = bench_stage_poll(worker->job->stage, i);
        if (answer != BENCH_OK) break;
        answer = engine->cursor_move(worker->session, move, none, &entry);
        if (timed) bench_histogram_add(&worker->latency, bench_now_ns() - since);
        if (answer != BENCH_OK) break;
        worker->digest +=
            bench_digest(entry.key.data, entry.key.size, entry.value.data, entry.value.size);
        worker->done++;
        move = backward ? BENCH_PREV : BENCH_NEXT;
    }
    engine->cursor_close(worker->session);
    return answer == BENCH_END ? BENCH_OK : answer;
}

/* The scanner beside the readers: pass after pass over all entries until they are done. */
static bench_answer loop_scan_while(bench_worker *worker)
{
    const bench_stage *stage = worker->job->stage;
    uint64_t total = stage->config->generator.count;
    uint64_t wanted = bench_stage_digest(stage, 0, total);

    worker->from = 0;
    worker->to = total;
    do {
        uint64_t before = worker->digest;
        bench_answer answer = loop_scan(worker);

        if (answer != BENCH_OK) return answer;
        if (worker->digest - before != wanted)
            return bench_fail("a scan of all entries did not read what was written");
    } while (atomic_load_explicit(&worker->job->reading, memory_order_relaxed) > 0);
    return BENCH_OK;
}

/* One seek and its nexts; all are added to the digest. */
static bench_answer seek_once(bench_worker *worker, uint64_t index)
{
    const bench_stage *stage = worker->job->stage;
    const bench_generator *generator = &stage->config->generator;
    bench_move move = BENCH_SEEK;
    bench_bytes key = {worker->key, generator->key_size};
    bench_entry entry;

    bench_generator_key(generator, bench_generator_draw(generator, index), worker->key);
    for (uint64_t i = 0; i <= stage->config->nexts; i++) {
        bench_answer answer = stage->engine->cursor_move(worker->session, move, key, &entry);

        if (answer == BENCH_END) return BENCH_OK; /* the digest tells if it was too early */
        if (answer != BENCH_OK) return answer;
        worker->digest +=
            bench_digest(entry.key.data, entry.key.size, entry.value.data, entry.value.size);
        move = BENCH_NEXT;
    }
    return BENCH_OK;
}

static bench_answer loop_seek(bench_worker *worker)
{
    const bench_stage *stage = worker->job->stage;
    uint64_t batch = stage->config->batch;
    uint64_t since = bench_now_ns();

    for (uint64_t at = worker->from; at < worker->to;) {
        uint64_t end = worker->to - at < batch ? worker->to : at + batch;
        bench_answer answer = bench_stage_poll(stage, worker->latency.count);

        if (answer == BENCH_OK) answer = stage->engine->cursor_open(worker->session);
        if (answer != BENCH_OK) return answer;
        for (; at < end && answer == BENCH_OK; at++) {
            answer = seek_once(worker, at);
            if (at + 1 == end) break;
            bench_worker_lap(worker, &since);
            worker->done++;
        }
        stage->engine->cursor_close(worker->session);
        if (answer != BENCH_OK) return answer;
        /* The last one of a cursor pays for opening and closing it. */
        bench_worker_lap(worker, &since);
        worker->done++;
        at++;
    }
    return BENCH_OK;
}

static bench_answer loop(bench_worker *worker)
{
    switch (worker->job->workload->kind) {
    case BENCH_KIND_WRITE: return loop_write(worker);
    case BENCH_KIND_GET:
        return bench_worker_inflight(worker->job) > 1 ? bench_worker_queue(worker)
                                                      : loop_get(worker);
    case BENCH_KIND_SCAN: return loop_scan(worker);
    case BENCH_KIND_SEEK: return loop_seek(worker);
    case BENCH_KIND_MIX: return bench_worker_mix(worker);
    case BENCH_KIND_MIXED:
        if (!worker->writer) return loop_get(worker);
        return worker->job->workload->scans ? loop_scan_while(worker) : loop_write_while(worker);
    }
    return bench_fail("no such kind of workload");
}

static bench_answer prepare(bench_worker *worker)
{
    bench_stage *stage = worker->job->stage;

    worker->key = malloc(BENCH_KEY_MAX);
    worker->value = malloc(stage->config->generator.value_size);
    if (worker->key == NULL || worker->value == NULL) return bench_fail("out of memory");
    return stage->engine->session_open(stage->db, &worker->session);
}

void *bench_worker_main(void *argument)
{
    bench_worker *worker = argument;
    bench_job *job = worker->job;
    uint64_t cpu;

    bench_histogram_init(&worker->latency);
    bench_histogram_init(&worker->beside);
    worker->answer = prepare(worker);
    pthread_barrier_wait(&job->start);
    cpu = bench_clock(CLOCK_THREAD_CPUTIME_ID);
    if (worker->answer == BENCH_OK) worker->answer = loop(worker);
    worker->end_ns = bench_now_ns();
    worker->cpu_ns = bench_clock(CLOCK_THREAD_CPUTIME_ID) - cpu;
    if (!worker->writer) atomic_fetch_sub(&job->reading, 1);
    if (worker->answer != BENCH_OK)
        snprintf(worker->error, sizeof worker->error, "%s", bench_errmsg());
    job->stage->engine->session_close(worker->session);
    free(worker->key);
    free(worker->value);
    return NULL;
}
