/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stage.c
 *
 * Idea: everything about the measured database that is not measured: making it, filling it,
 * bringing it to rest, and proving that it holds what it was given.
 *
 * Invariants:
 *   I1  Only `root`/sdb_bench-ENGINE is ever removed, and nothing but this program names anything
 *       so.
 *   I2  stage->content describes the database between workloads, provided that no call failed.
 *   I3  Every engine goes through the same calls in the same order.
 *
 * Costs: verifying reads the whole database once and computes every entry again, about 60 ns an
 * entry beside the engine's own time. It also warms the caches, of every engine alike.
 *
 * Not here: threads and clocks (workload.c).
 */
#include "bench/stage.h"

#include "bench/measure.h"
#include "bench/pagecache.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILL_BATCH = 1000, QUIET_MS = 60000, POLL_EVERY = 64 };

/* Filling is not measured, and WiredTiger refuses a batch whose pages are most of its cache. */
static const uint64_t fill_cache_bytes = UINT64_C(256) << 20;

void bench_stage_init(bench_stage *stage, const bench_config *config, const bench_engine *engine)
{
    memset(stage, 0, sizeof *stage);
    stage->config = config;
    stage->engine = engine;
    snprintf(stage->directory, sizeof stage->directory, "%s/sdb_bench-%s", config->root,
             engine->name);
}

bench_answer bench_stage_poll(const bench_stage *stage, uint64_t count)
{
    const bench_config *config = stage->config;

    if (stage->keeper != NULL) bench_pagecache_wait(stage->keeper);
    if (count % POLL_EVERY != 0 || config->cancelled == NULL || !config->cancelled())
        return BENCH_OK;
    return bench_fail("interrupted");
}

static bench_answer stage_close(bench_stage *stage)
{
    bench_db *db = stage->db;

    stage->db = NULL;
    return db == NULL ? BENCH_OK : stage->engine->close(db);
}

void bench_stage_done(bench_stage *stage)
{
    (void)stage_close(stage);
    (void)bench_directory_remove(stage->directory);
    bench_stage_content(stage, (bench_content){.generation = 0});
}

void bench_stage_content(bench_stage *stage, bench_content content)
{
    free(stage->content.marks);
    stage->content = content;
}

static bench_answer stage_open(bench_stage *stage, bench_durability durability, bool direct,
                               uint64_t cache_bytes)
{
    const bench_config *config = stage->config;
    const bench_generator *generator = &config->generator;
    bench_setup setup = {
        .directory = stage->directory,
        .cache_bytes = cache_bytes,
        .cache_policy = config->cache_policy,
        .data_bytes = generator->count * (generator->key_size + generator->value_size),
        .value_size = generator->value_size,
        .threads = config->threads + 1,
        .durability = durability,
        .direct = direct && config->direct,
        .zstd = config->zstd,
    };

    if (config->zstd && !stage->engine->can_zstd)
        return bench_fail("%s has no compression with zstd", stage->engine->name);
    return stage->engine->open(&setup, &stage->db);
}

static bench_answer stage_fresh(bench_stage *stage, bench_durability durability, bool direct,
                                uint64_t cache_bytes)
{
    if (stage_close(stage) != BENCH_OK) return BENCH_FAILED;
    if (!bench_directory_remove(stage->directory))
        return bench_fail("%s is in the way and cannot be removed", stage->directory);
    if (!bench_directory_make(stage->directory))
        return bench_fail("%s cannot be made; choose another place with --db", stage->directory);
    stage->passes = 0;
    bench_stage_content(stage, (bench_content){.generation = 0});
    return stage_open(stage, durability, direct, cache_bytes);
}

bench_answer bench_stage_fresh(bench_stage *stage, bench_durability durability)
{
    return stage_fresh(stage, durability, true, stage->config->cache_bytes);
}

bench_answer bench_stage_cold(bench_stage *stage)
{
    if (stage_close(stage) != BENCH_OK) return BENCH_FAILED;
    bench_measure_sync(stage->directory);
    bench_pagecache_drop(stage->directory);
    return stage_open(stage, stage->config->durability, true, stage->config->cache_bytes);
}

const char *bench_stage_io(const bench_stage *stage)
{
    if (!stage->config->direct) return "cached";
    return stage->engine->can_direct ? "direct" : "bounded";
}

void bench_stage_order(bench_stage *stage, bool ascending, bench_order *out_order)
{
    bench_order_init(out_order, &stage->config->generator, stage->passes++, ascending);
}

bool bench_stage_full(const bench_stage *stage)
{
    return stage->db != NULL && stage->content.count == stage->config->generator.count &&
           stage->content.inserted == 0;
}

bool bench_stage_even(const bench_stage *stage)
{
    return bench_stage_full(stage) && stage->content.spread == 0;
}

bench_answer bench_stage_settle(bench_stage *stage, uint64_t *out_disk_bytes)
{
    if (stage->engine->settle(stage->db) != BENCH_OK) return BENCH_FAILED;
    bench_measure_quiet(QUIET_MS);
    if (stage_close(stage) != BENCH_OK) return BENCH_FAILED;
    bench_measure_sync(stage->directory);
    *out_disk_bytes = bench_measure_disk(stage->directory);
    return BENCH_OK;
}

/* One try of bench_stage_change. */
static bench_answer change_once(const bench_stage *stage, bench_session *session,
                                const bench_change *change, uint64_t from, uint64_t count,
                                unsigned char *key, unsigned char *value)
{
    const bench_engine *engine = stage->engine;
    const bench_generator *generator = &stage->config->generator;
    bench_bytes k = {.data = key, .size = generator->key_size};
    bench_bytes v = {.data = value, .size = generator->value_size};
    bench_answer answer = change->batch > 1 ? engine->write_begin(session) : BENCH_OK;

    for (uint64_t i = 0; i < count && answer == BENCH_OK; i++) {
        uint64_t number = bench_order_at(change->order, from + i);

        bench_generator_key(generator, number, key);
        if (change->remove) {
            answer = engine->del(session, k);
        } else {
            bench_generator_value(generator, number, change->generation, value);
            answer = engine->put(session, k, v);
        }
    }
    if (answer == BENCH_OK && change->batch > 1) answer = engine->write_commit(session);
    return answer;
}

bench_answer bench_stage_change(const bench_stage *stage, bench_session *session,
                                const bench_change *change, uint64_t from, uint64_t count,
                                unsigned char *key, unsigned char *value)
{
    assert(count <= change->batch);
    for (unsigned i = 0; i < BENCH_RETRY_MAX; i++) {
        bench_answer answer = change_once(stage, session, change, from, count, key, value);

        if (answer != BENCH_RETRY) return answer;
    }
    return bench_fail("a commit was refused %d times", BENCH_RETRY_MAX);
}

bench_answer bench_stage_put(const bench_stage *stage, bench_session *session, bench_bytes key,
                             bench_bytes value)
{
    for (unsigned i = 0; i < BENCH_RETRY_MAX; i++) {
        bench_answer answer = stage->engine->put(session, key, value);

        if (answer != BENCH_RETRY) return answer;
    }
    return bench_fail("a put was refused %d times", BENCH_RETRY_MAX);
}

static bench_answer fill(bench_stage *stage, bench_session *session, const bench_change *change)
{
    uint64_t total = stage->config->generator.count;
    unsigned char *key = malloc(BENCH_KEY_MAX);
    unsigned char *value = malloc(stage->config->generator.value_size);
    bench_answer answer = BENCH_OK;

    if (key == NULL || value == NULL) answer = bench_fail("out of memory");
    for (uint64_t at = 0; at < total && answer == BENCH_OK; at += change->batch) {
        uint64_t count = total - at < change->batch ? total - at : change->batch;

        answer = bench_stage_poll(stage, at / change->batch);
        if (answer == BENCH_OK)
            answer = bench_stage_change(stage, session, change, at, count, key, value);
    }
    free(key);
    free(value);
    return answer;
}

bench_answer bench_stage_fill(bench_stage *stage)
{
    bench_session *session;
    bench_order order;
    bench_change change = {.order = &order, .generation = 1, .batch = FILL_BATCH};
    const bench_config *config = stage->config;
    uint64_t cache_bytes =
        config->cache_bytes > fill_cache_bytes ? config->cache_bytes : fill_cache_bytes;
    bench_answer answer;
    uint64_t disk_bytes;
    uint64_t digest;

    if (stage_fresh(stage, config->durability, false, cache_bytes) != BENCH_OK) return BENCH_FAILED;
    bench_stage_order(stage, false, &order);
    if (stage->engine->session_open(stage->db, &session) != BENCH_OK) return BENCH_FAILED;
    answer = fill(stage, session, &change);
    stage->engine->session_close(session);
    if (answer != BENCH_OK) return answer;
    bench_stage_content(
        stage,
        (bench_content){.order = order, .count = stage->config->generator.count, .generation = 1});
    if (bench_stage_settle(stage, &disk_bytes) != BENCH_OK) return BENCH_FAILED;
    return bench_stage_verify(stage, &digest);
}

uint64_t bench_stage_digest(const bench_stage *stage, uint64_t from, uint64_t to)
{
    const bench_generator *generator = &stage->config->generator;
    unsigned char key[BENCH_KEY_MAX];
    unsigned char *value = malloc(generator->value_size);
    uint64_t sum = 0;

    if (value == NULL) return 0; /* which no engine's digest will equal */
    for (uint64_t i = from; i < to; i++)
        sum += bench_generator_digest(generator, i, stage->content.generation, key, value);
    free(value);
    return sum;
}

/* The digest of the content, whatever its state. */
static uint64_t content_digest(const bench_stage *stage, unsigned char *key, unsigned char *value)
{
    const bench_generator *generator = &stage->config->generator;
    const bench_content *content = &stage->content;
    uint64_t sum = 0;

    for (uint64_t at = 0; at < content->count; at++) {
        uint64_t generation = content->generation + (at < content->ahead ? 1 : 0);
        uint64_t number = bench_order_at(&content->order, at);

        if (content->marks != NULL) generation += content->marks[number] & BENCH_SPREAD_MAX;
        sum += bench_generator_digest(generator, number, generation, key, value);
        if (content->marks == NULL || (content->marks[number] & BENCH_MARK_INSERTED) == 0) continue;
        bench_generator_missing(generator, number, key);
        bench_generator_value(generator, generator->count + number,
                              content->generation + content->spread, value);
        sum += bench_digest(key, generator->key_size, value, generator->value_size);
    }
    return sum;
}

/* Reads all entries; they must ascend. Outputs their number and digest. */
static bench_answer read_all(bench_stage *stage, bench_session *session, uint64_t *out_count,
                             uint64_t *out_digest)
{
    unsigned char last[BENCH_KEY_MAX];
    size_t key_size = stage->config->generator.key_size;
    bench_move move = BENCH_FIRST;
    bench_entry entry;
    bench_answer answer = stage->engine->cursor_open(session);

    *out_count = 0;
    *out_digest = 0;
    if (answer != BENCH_OK) return answer;
    for (;;) {
        answer = bench_stage_poll(stage, *out_count);
        if (answer != BENCH_OK) break;
        answer = stage->engine->cursor_move(session, move, (bench_bytes){.size = 0}, &entry);
        if (answer != BENCH_OK) break;
        if (entry.key.size != key_size)
            answer = bench_fail("a key of %zu bytes came back", entry.key.size);
        else if (*out_count > 0 && memcmp(last, entry.key.data, key_size) >= 0)
            answer = bench_fail("the scan does not ascend at \"%.*s\"", (int)key_size,
                                (const char *)entry.key.data);
        if (answer != BENCH_OK) break;
        memcpy(last, entry.key.data, key_size);
        *out_digest +=
            bench_digest(entry.key.data, entry.key.size, entry.value.data, entry.value.size);
        ++*out_count;
        move = BENCH_NEXT;
    }
    stage->engine->cursor_close(session);
    return answer == BENCH_END ? BENCH_OK : answer;
}

bench_answer bench_stage_verify(bench_stage *stage, uint64_t *out_digest)
{
    unsigned char *key = malloc(BENCH_KEY_MAX);
    unsigned char *value = malloc(stage->config->generator.value_size);
    bench_session *session = NULL;
    uint64_t count;
    uint64_t digest;
    uint64_t want;
    bench_answer answer = BENCH_FAILED;

    if (key == NULL || value == NULL) {
        answer = bench_fail("out of memory");
        goto out;
    }
    if (stage->db == NULL && stage_open(stage, stage->config->durability, false,
                                        stage->config->cache_bytes) != BENCH_OK)
        goto out;
    if (stage->engine->session_open(stage->db, &session) != BENCH_OK) goto out;
    if (read_all(stage, session, &count, &digest) != BENCH_OK) goto out;
    want = content_digest(stage, key, value);
    if (count != stage->content.count + stage->content.inserted) {
        answer = bench_fail("it holds %" PRIu64 " entries, and must hold %" PRIu64, count,
                            stage->content.count + stage->content.inserted);
    } else if (digest != want) {
        answer = bench_fail("its entries have the digest %016" PRIx64 ", and must have %016" PRIx64,
                            digest, want);
    } else {
        answer = BENCH_OK;
        *out_digest = digest;
    }

out:
    stage->engine->session_close(session);
    free(key);
    free(value);
    return answer;
}
