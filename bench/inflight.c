/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inflight.c
 *
 * Idea: the same reads as loop_get (worker.c), in the same order of beginning, but up to
 * config->inflight of them begun before the first has come back. A *slot* is one of these places.
 *
 * Invariants:
 *   I1  A slot is either on the stack of idle ones or its read is in flight.
 *   I2  Every read is checked as loop_get's are; the digest does not depend on the order.
 *
 * Costs: as loop_get, and the key is made a second time when the value has come (9 ns). A latency
 * is from the beginning of the read to the moment at which it was taken back.
 *
 * Not here: what a get must answer (worker.c); how an engine does it (engine.h, bench_queue_calls).
 */
#include "bench/inflight.h"

#include "bench/measure.h"

#include <stdlib.h>

typedef struct slot {
    uint64_t number;
    uint64_t since_ns;
} slot;

typedef struct flight {
    unsigned depth;
    unsigned idle_count;
    unsigned *idle; /* a stack */
    slot *slots;
    bench_done *done;
} flight;

static bench_answer begin(bench_worker *worker, flight *f, uint64_t index)
{
    const bench_stage *stage = worker->job->stage;
    const bench_generator *generator = &stage->config->generator;
    unsigned at = f->idle[--f->idle_count];
    uint64_t number = bench_generator_draw(generator, index);

    f->slots[at] = (slot){.number = number, .since_ns = bench_now_ns()};
    if (worker->job->workload->missing)
        bench_generator_missing(generator, number, worker->key);
    else
        bench_generator_key(generator, number, worker->key);
    return stage->engine->queue->get(worker->session,
                                     (bench_bytes){worker->key, generator->key_size}, at);
}

/* Waits for at least one read and checks all that have come. */
static bench_answer take(bench_worker *worker, flight *f)
{
    const bench_stage *stage = worker->job->stage;
    const bench_generator *generator = &stage->config->generator;
    unsigned count;
    bench_answer answer = stage->engine->queue->wait(worker->session, f->done, &count);

    for (unsigned i = 0; i < count && answer == BENCH_OK; i++) {
        slot *s = &f->slots[f->done[i].slot];

        if (worker->job->workload->missing)
            bench_generator_missing(generator, s->number, worker->key);
        else
            bench_generator_key(generator, s->number, worker->key);
        answer = bench_worker_check(worker, s->number, f->done[i].answer, f->done[i].value);
        bench_worker_lap(worker, &s->since_ns);
        f->idle[f->idle_count++] = f->done[i].slot;
        worker->done++;
    }
    return answer;
}

bench_answer bench_worker_queue(bench_worker *worker)
{
    const bench_queue_calls *queue = worker->job->stage->engine->queue;
    unsigned depth = worker->job->stage->config->inflight;
    flight f = {
        .depth = depth,
        .idle = calloc(depth, sizeof *f.idle),
        .slots = calloc(depth, sizeof *f.slots),
        .done = calloc(depth, sizeof *f.done),
    };
    bench_answer answer = BENCH_OK;

    if (f.idle == NULL || f.slots == NULL || f.done == NULL) answer = bench_fail("out of memory");
    if (answer == BENCH_OK) answer = queue->open(worker->session, depth);
    while (answer == BENCH_OK && f.idle_count < depth) {
        f.idle[f.idle_count] = f.idle_count;
        f.idle_count++;
    }
    for (uint64_t i = worker->from; answer == BENCH_OK && i < worker->to; i++) {
        if (f.idle_count == 0) answer = take(worker, &f);
        if (answer == BENCH_OK) answer = begin(worker, &f, i);
    }
    while (answer == BENCH_OK && f.idle_count < depth) answer = take(worker, &f);
    queue->close(worker->session);
    free(f.idle);
    free(f.slots);
    free(f.done);
    return answer;
}
