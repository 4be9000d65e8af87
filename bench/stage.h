/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stage.h: the database that one engine is measured on, and what must be in it.
 *
 * Words. The *content* is what a faithful engine holds after the workloads so far; it is known
 * without asking the engine. *Fresh*: just made, empty. *Full*: every entry is there. *Even*: full,
 * and all entries are of one generation, so that what a read must return is known.
 */
#ifndef SDB_BENCH_STAGE_H
#define SDB_BENCH_STAGE_H

#include "bench/engine.h"
#include "bench/generator.h"

enum { BENCH_DIRECTORY_SIZE = 2048, BENCH_RETRY_MAX = 1000 };
enum { BENCH_MARK_INSERTED = 0x80, BENCH_SPREAD_MAX = 0x7f };

/* What the command line asks, the same for every engine. */
typedef struct bench_config {
    bench_generator generator;
    uint64_t reads; /* operations of a reading workload, over all threads */
    uint64_t syncs; /* writes of fillsync */
    uint64_t nexts; /* entries that a seek reads behind the first */
    uint64_t batch; /* changes in a commit, reads in a snapshot */
    unsigned threads;
    unsigned inflight; /* reads that readrandom keeps in flight in each thread; 1: it waits */
    bool direct;       /* O_DIRECT; of engines without it the page cache is held down */
    bool zstd;
    const char *label; /* a word that tells lines of one table apart */
    uint64_t cache_bytes;
    char cache_policy[16];           /* sdb's; "" for its default */
    bench_durability durability;     /* of all but fillsync */
    bool (*cancelled)(void);         /* polled; when it is true, work fails; NULL: never */
    char root[BENCH_DIRECTORY_SIZE]; /* a directory for each engine is made in it */
} bench_config;

typedef struct bench_content {
    bench_order order; /* the entries at its positions 0 … count-1 are there */
    uint64_t count;
    uint64_t generation; /* of all of them … */
    uint64_t ahead;      /* … but those at the first `ahead` positions are one newer */
    /*
     * Of entry n, after workloads of a mix; NULL: none ran. The lower bits are how much newer it
     * is; BENCH_MARK_INSERTED: behind it stands an inserted entry, with the key of
     * bench_generator_missing(n), and the value of the number count + n in the newest generation.
     */
    unsigned char *marks;
    uint64_t inserted; /* how many such */
    uint64_t spread;   /* the newest generation less `generation`; 0: all are alike */
} bench_content;

typedef struct bench_stage {
    const bench_config *config;
    const bench_engine *engine;
    bench_db *db; /* NULL while nothing is open */
    bench_content content;
    uint64_t passes; /* orders used so far: each pass has another */
    struct bench_pagecache *keeper; /* borrowed while a workload runs that it bounds; or NULL */
    char directory[BENCH_DIRECTORY_SIZE + 64];
} bench_stage;

/* Prepares; nothing is opened. `config` is borrowed. bench_stage_done ends it. */
void bench_stage_init(bench_stage *stage, const bench_config *config, const bench_engine *engine);

/*
 * Waits while the keeper of the page cache asks for it. Fails, with a sentence, when
 * config->cancelled says so: that is looked at at each 64th `count` only.
 */
bench_answer bench_stage_poll(const bench_stage *stage, uint64_t count);

/* Closes the database and removes it. */
void bench_stage_done(bench_stage *stage);

/* Makes the database fresh and opens it, with config->direct. */
bench_answer bench_stage_fresh(bench_stage *stage, bench_durability durability);

/*
 * Opens the database again with nothing of it in memory: neither in the engine's cache, nor in the
 * kernel's; with config->direct.
 */
bench_answer bench_stage_cold(bench_stage *stage);

/* How the reads of this stage reach the disk: "direct", "bounded" (pagecache.h), "cached". */
const char *bench_stage_io(const bench_stage *stage);

/*
 * Makes it fresh and fills it, unmeasured: random order, batches of 1000, a cache of at least 256
 * MiB. It is even afterwards, and open.
 */
bench_answer bench_stage_fill(bench_stage *stage);

/*
 * Brings the database to rest: the engine settles, its threads become quiet, it is closed, and the
 * kernel writes what it holds back. *out_disk_bytes is what it takes on disk then. It stays closed.
 */
bench_answer bench_stage_settle(bench_stage *stage, uint64_t *out_disk_bytes);

/* A new order for the next writing workload. */
void bench_stage_order(bench_stage *stage, bool ascending, bench_order *out_order);

bool bench_stage_full(const bench_stage *stage);
bool bench_stage_even(const bench_stage *stage);

/* Replaces what the content is said to be; frees the marks that it had. */
void bench_stage_content(bench_stage *stage, bench_content content);

/*
 * Opens the database if it is closed, reads all there is, in order, and compares it with the
 * content. BENCH_FAILED says what differs; BENCH_OK leaves the digest of the content.
 */
bench_answer bench_stage_verify(bench_stage *stage, uint64_t *out_digest);

/* The digest of the entries from…to-1 of an even database. */
uint64_t bench_stage_digest(const bench_stage *stage, uint64_t from, uint64_t to);

/*
 * One commit (when config->batch is 1: a lone change) that puts, or with `remove` deletes, the
 * entries at count positions of the order, again as long as the engine asks for it.
 */
typedef struct bench_change {
    const bench_order *order;
    uint64_t generation;
    uint64_t batch;
    bool remove;
} bench_change;

/* One put, again as long as the engine asks for it. */
bench_answer bench_stage_put(const bench_stage *stage, bench_session *session, bench_bytes key,
                             bench_bytes value);

/* `key` and `value` have room for one of each. */
bench_answer bench_stage_change(const bench_stage *stage, bench_session *session,
                                const bench_change *change, uint64_t from, uint64_t count,
                                unsigned char *key, unsigned char *value);

#endif
