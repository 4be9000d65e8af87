/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mix.c
 *
 * Idea: reads, updates, inserts and scans in one loop, each thread by its own share of indexes.
 * An update gives an entry its value of the job's generation, however often it comes: so what is
 * there afterwards does not depend on which thread was first, and can be told and verified.
 *
 * Invariants:
 *   I1  Whatever is read is compared, byte by byte, with a value that may be there: of the
 *       generation before the job or of the job's. A scan begins with the key that it sought and
 *       ascends.
 *   I2  With BENCH_LATEST a thread looks for its own inserts and for what was there before, never
 *       for what another thread may just be inserting: everything it asks for must be found.
 *
 * Costs: beside the engine, a roll 60 ns, making or comparing a value 20 ns.
 * Source: dice.c. Unlike YCSB's, the newest of BENCH_LATEST are each thread's own newest.
 * Not here: which operation comes when (dice.c).
 */
#include "bench/mix.h"

#include "bench/measure.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct inserts {
    uint64_t *numbers; /* behind which this thread inserted, oldest first */
    uint64_t count;
} inserts;

/*
 * Words: the *code* of an entry is what its key says (generator.h). Odd codes are inserted ones,
 * whose values are numbered from the generator's count on.
 */
static uint64_t value_number(const bench_generator *generator, uint64_t code)
{
    return (code & 1) != 0 ? generator->count + code / 2 : code / 2;
}

static void key_make(const bench_worker *worker, uint64_t code)
{
    const bench_generator *generator = &worker->job->stage->config->generator;

    if ((code & 1) != 0)
        bench_generator_missing(generator, code / 2, worker->key);
    else
        bench_generator_key(generator, code / 2, worker->key);
}

static bench_answer value_check(bench_worker *worker, uint64_t code, bench_bytes value)
{
    const bench_job *job = worker->job;
    const bench_generator *generator = &job->stage->config->generator;

    if (bench_generator_valid(generator, value_number(generator, code),
                              job->stage->content.generation, job->generation, value.data,
                              value.size, worker->value))
        return BENCH_OK;
    return bench_fail("entry %" PRIu64 " has a value that was not written", code / 2);
}

static bench_answer read_one(bench_worker *worker, uint64_t code)
{
    const bench_stage *stage = worker->job->stage;
    bench_bytes value = {.size = 0};
    bench_answer answer;

    key_make(worker, code);
    answer = stage->engine->get(
        worker->session, (bench_bytes){worker->key, stage->config->generator.key_size}, &value);
    if (answer == BENCH_END) return bench_fail("entry %" PRIu64 " was not found", code / 2);
    return answer == BENCH_OK ? value_check(worker, code, value) : answer;
}

static bench_answer write_one(bench_worker *worker, uint64_t code)
{
    const bench_stage *stage = worker->job->stage;
    const bench_generator *generator = &stage->config->generator;

    key_make(worker, code);
    bench_generator_value(generator, value_number(generator, code), worker->job->generation,
                          worker->value);
    return bench_stage_put(stage, worker->session, (bench_bytes){worker->key, generator->key_size},
                           (bench_bytes){worker->value, generator->value_size});
}

/* Checks the entry that the cursor came to; its code must be more than *code, or be it at first. */
static bench_answer entry_check(bench_worker *worker, const bench_entry *entry, bool first,
                                uint64_t *code)
{
    const bench_generator *generator = &worker->job->stage->config->generator;
    uint64_t found;

    if (!bench_generator_code(generator, entry->key.data, entry->key.size, &found))
        return bench_fail("a key that nobody wrote came back");
    if (first ? found != *code : found <= *code)
        return bench_fail("after entry %" PRIu64 " the scan came to entry %" PRIu64, *code / 2,
                          found / 2);
    *code = found;
    return value_check(worker, found, entry->value);
}

static bench_answer scan_one(bench_worker *worker, uint64_t code, unsigned length)
{
    const bench_stage *stage = worker->job->stage;
    bench_bytes key = {worker->key, stage->config->generator.key_size};
    bench_answer answer = stage->engine->cursor_open(worker->session);

    if (answer != BENCH_OK) return answer;
    key_make(worker, code);
    for (unsigned i = 0; i < length && answer == BENCH_OK; i++) {
        bench_entry entry;

        answer = stage->engine->cursor_move(worker->session, i == 0 ? BENCH_SEEK : BENCH_NEXT, key,
                                            &entry);
        if (answer == BENCH_OK) answer = entry_check(worker, &entry, i == 0, &code);
        if (answer == BENCH_END && i == 0)
            answer = bench_fail("entry %" PRIu64 " was not found", code / 2);
    }
    stage->engine->cursor_close(worker->session);
    return answer == BENCH_END ? BENCH_OK : answer;
}

/* The code of the entry that is `age` entries older than the newest that this thread knows. */
static uint64_t code_by_age(const bench_worker *worker, const inserts *own, uint64_t age)
{
    const bench_content *content = &worker->job->stage->content;

    if (age < own->count) return 2 * own->numbers[own->count - 1 - age] + 1;
    return 2 * bench_order_at(&content->order, content->count - 1 - (age - own->count));
}

static bench_answer roll_one(bench_worker *worker, inserts *own, uint64_t index)
{
    const bench_job *job = worker->job;
    bench_roll roll = bench_dice_roll(&job->dice, index);
    uint64_t code = 2 * roll.number;
    bench_answer answer;

    if (roll.action == BENCH_INSERT) {
        own->numbers[own->count++] = roll.number;
        return write_one(worker, code + 1);
    }
    if (job->dice.mix->chooser == BENCH_LATEST) code = code_by_age(worker, own, roll.number);
    switch (roll.action) {
    case BENCH_READ: return read_one(worker, code);
    case BENCH_SCAN: return scan_one(worker, code, roll.length);
    case BENCH_MODIFY:
        answer = read_one(worker, code);
        if (answer != BENCH_OK) return answer;
        break;
    case BENCH_UPDATE:
    case BENCH_INSERT: break;
    }
    return write_one(worker, code);
}

bench_answer bench_worker_mix(bench_worker *worker)
{
    inserts own = {.count = 0};
    uint64_t since = bench_now_ns();
    bench_answer answer = BENCH_OK;

    if (worker->job->dice.mix->insert > 0) {
        own.numbers = malloc((worker->to - worker->from + 1) * sizeof *own.numbers);
        if (own.numbers == NULL) return bench_fail("out of memory");
    }
    for (uint64_t i = worker->from; i < worker->to && answer == BENCH_OK; i++) {
        answer = bench_stage_poll(worker->job->stage, worker->done);
        if (answer != BENCH_OK) break;
        answer = roll_one(worker, &own, i);
        bench_worker_lap(worker, &since);
        worker->done++;
    }
    free(own.numbers);
    return answer;
}

bench_answer bench_mix_content(bench_stage *stage, const bench_job *job)
{
    bench_content *content = &stage->content;

    if (content->marks == NULL) {
        content->marks = calloc(stage->config->generator.count, 1);
        if (content->marks == NULL) return bench_fail("out of memory");
    }
    content->spread++;
    for (uint64_t i = 0; i < job->operations; i++) {
        bench_roll roll = bench_dice_roll(&job->dice, i);
        unsigned char *mark = &content->marks[roll.number];

        if (roll.action == BENCH_INSERT) {
            *mark |= BENCH_MARK_INSERTED;
            content->inserted++;
        } else if (roll.action == BENCH_UPDATE || roll.action == BENCH_MODIFY) {
            *mark = (unsigned char)((*mark & BENCH_MARK_INSERTED) | content->spread);
        }
    }
    return BENCH_OK;
}
