/* SPDX-License-Identifier: Apache-2.0 */
/*
 * big_work.c: the steps of big.sh and recovery.sh that a program of a user would do itself.
 *
 * Idea: one step is one process, so that its peak memory is the step's. What must be in the
 * database afterwards follows from the arguments alone: the entries of bench/generator.h in one
 * random order, in *runs* of positions of which each is of one generation, or gone.
 *
 *     big_work put FILE NUM FROM TO GENERATION [NAME=VALUE]…   puts the entries at these positions
 *     big_work del FILE NUM FROM TO [NAME=VALUE]…              removes them
 *     big_work verify FILE NUM COUNT:GENERATION,… [NAME=VALUE]…  reads all, compares the digest;
 *                                              the runs add up to NUM; generation 0: not there
 *     big_work run COMMAND…                                    runs it, and says what it needed
 *
 *   cache_mb=N checkpoint_mb=N archive=FOLDER  as in sdb/db.h   batch=N  changes in a commit (1000)
 *   order=random|keys  of the puts (random)                   value=N  bytes of a value (1000)
 *   hold=1       when all is synced, says so and waits to be killed
 *
 * Each prints one line: seconds= entries= bytes= peak_kb= commit=; of `run`, behind what the
 * command printed, seconds= and peak_kb=. Exit 1 when it failed or verified something else.
 *
 * Invariants: I1 peak_kb is the kernel's own count (VmHWM; of a child the same from wait4).
 * Costs: no memory that grows with NUM.
 * Not here: the order of the steps, and what is too much (big.sh).
 */
#include "bench/generator.h"
#include "bench/measure.h"

#include <errno.h>
#include <inttypes.h>
#include <sdb/sdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KEY_SIZE = 16 };

typedef struct work {
    bench_generator generator;
    bench_order order;
    sdb_options options;
    uint64_t batch;
    bool by_key;
    bool hold;
    sdb_db *db;
    sdb_keyspace *keyspace;
    unsigned char key[BENCH_KEY_MAX];
    unsigned char *value;
    uint64_t entries; /* that the step changed or read */
} work;

static int usage(void)
{
    fprintf(stderr, "usage: big_work put|del|verify FILE NUM …, or run COMMAND…; see big_work.c\n");
    return 2;
}

static int failed(const char *what)
{
    fprintf(stderr, "big_work: %s: %s\n", what, sdb_errmsg());
    return 1;
}

/* The most memory that this process has had resident, in KiB; 0 if the system hides it. */
static uint64_t peak_kb(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[256];
    uint64_t kb = 0;

    if (file == NULL) return 0;
    while (fgets(line, sizeof line, file) != NULL) (void)sscanf(line, "VmHWM: %" SCNu64, &kb);
    fclose(file);
    return kb;
}

static bool number_read(const char *text, uint64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

/* One NAME=VALUE. */
static bool setting_read(work *w, const char *text)
{
    const char *value = strchr(text, '=');
    size_t length = value != NULL ? (size_t)(value - text) : 0;
    uint64_t number;

    if (value == NULL) return false;
    value++;
    if (strncmp(text, "archive=", length + 1) == 0) {
        w->options.archive_folder = value[0] != '\0' ? value : NULL;
        return true;
    }
    if (strncmp(text, "order=", length + 1) == 0) {
        w->by_key = strcmp(value, "keys") == 0;
        return w->by_key || strcmp(value, "random") == 0;
    }
    if (!number_read(value, &number)) return false;
    if (strncmp(text, "cache_mb=", length + 1) == 0)
        w->options.cache_bytes = number << 20;
    else if (strncmp(text, "checkpoint_mb=", length + 1) == 0)
        w->options.checkpoint_bytes = number << 20;
    else if (strncmp(text, "batch=", length + 1) == 0 && number > 0)
        w->batch = number;
    else if (strncmp(text, "value=", length + 1) == 0 && number >= BENCH_VALUE_MIN &&
             number <= BENCH_VALUE_MAX)
        w->generator.value_size = (size_t)number;
    else if (strcmp(text, "hold=1") == 0)
        w->hold = true;
    else
        return false;
    return true;
}

static int work_open(work *w, const char *path)
{
    bench_order_init(&w->order, &w->generator, 1, w->by_key);
    w->value = malloc(w->generator.value_size);
    if (w->value == NULL) return failed("malloc");
    w->options.durability = SDB_DURABILITY_NONE;
    if (sdb_open(path, &w->options, &w->db) != SDB_OK) return failed(path);
    if (sdb_keyspace_open(w->db, "big", 0, &w->keyspace) != SDB_OK) return failed(path);
    return 0;
}

/* Puts, or with generation 0 removes, the entries at positions from…to-1. */
static int change(work *w, uint64_t from, uint64_t to, uint64_t generation)
{
    sdb_slice key = {w->key, KEY_SIZE};
    sdb_slice value = {w->value, w->generator.value_size};

    for (uint64_t at = from; at < to;) {
        uint64_t end = to - at < w->batch ? to : at + w->batch;
        sdb_status status = SDB_OK;
        sdb_txn *txn;

        if (sdb_txn_begin(w->db, SDB_TXN_BATCH, &txn) != SDB_OK) return failed("begin");
        for (; at < end && status == SDB_OK; at++) {
            uint64_t number = bench_order_at(&w->order, at);

            bench_generator_key(&w->generator, number, w->key);
            if (generation > 0) bench_generator_value(&w->generator, number, generation, w->value);
            status = generation > 0 ? sdb_put(txn, w->keyspace, key, value)
                                    : sdb_del(txn, w->keyspace, key);
        }
        if (status != SDB_OK) {
            sdb_txn_abort(txn);
            return failed("change");
        }
        if (sdb_txn_commit(txn) != SDB_OK) return failed("commit");
    }
    w->entries = to - from;
    return 0;
}

/* The digest and number of what `runs` says. False when that makes no sense. */
static bool runs_digest(work *w, const char *runs, uint64_t *out_digest, uint64_t *out_count)
{
    uint64_t position = 0;

    *out_digest = 0;
    *out_count = 0;
    for (;;) {
        uint64_t count;
        uint64_t generation;
        int length = 0;

        if (sscanf(runs, "%" SCNu64 ":%" SCNu64 "%n", &count, &generation, &length) != 2)
            return false;
        if (count > w->generator.count - position) return false;
        for (uint64_t end = position + count; position < end; position++) {
            if (generation == 0) continue;
            *out_digest += bench_generator_digest(&w->generator,
                                                  bench_order_at(&w->order, position), generation,
                                                  w->key, w->value);
            ++*out_count;
        }
        runs += length;
        if (runs[0] == '\0') return position == w->generator.count;
        if (*runs++ != ',') return false;
    }
}

static int verify(work *w, const char *runs)
{
    sdb_txn *txn;
    sdb_cursor *cursor;
    sdb_slice key;
    sdb_slice value;
    sdb_status status;
    uint64_t digest = 0;
    uint64_t want;
    uint64_t count;

    if (!runs_digest(w, runs, &want, &count)) return usage();
    if (sdb_txn_begin(w->db, SDB_TXN_READ, &txn) != SDB_OK) return failed("begin");
    status = sdb_cursor_open(txn, w->keyspace, NULL, &cursor);
    while (status == SDB_OK) {
        status = sdb_cursor_next(cursor, &key, &value);
        if (status != SDB_OK) break;
        digest += bench_digest(key.data, key.size, value.data, value.size);
        w->entries++;
    }
    if (status != SDB_END) {
        (void)failed("scan");
        sdb_cursor_close(cursor);
        sdb_txn_abort(txn);
        return 1;
    }
    sdb_cursor_close(cursor);
    sdb_txn_abort(txn);
    if (digest == want && w->entries == count) return 0;
    fprintf(stderr,
            "big_work: there are %" PRIu64 " entries of digest %016" PRIx64 ", and must be %" PRIu64
            " of %016" PRIx64 "\n",
            w->entries, digest, count, want);
    return 1;
}

static void line_print(const work *w, uint64_t begun_ns, uint64_t commit)
{
    printf("seconds=%.3f entries=%" PRIu64 " bytes=%" PRIu64 " peak_kb=%" PRIu64 " commit=%" PRIu64
           "\n",
           (double)(bench_now_ns() - begun_ns) / 1e9, w->entries,
           w->entries * (KEY_SIZE + w->generator.value_size), peak_kb(), commit);
    fflush(stdout);
}

/* The step, the database open. */
static int step(work *w, char **argv)
{
    uint64_t from;
    uint64_t to;
    uint64_t generation = 0;
    bool put = strcmp(argv[1], "put") == 0;

    if (strcmp(argv[1], "verify") == 0) return verify(w, argv[4]);
    if (!number_read(argv[4], &from) || !number_read(argv[5], &to) || from > to ||
        to > w->generator.count || (put && (!number_read(argv[6], &generation) || generation == 0)))
        return usage();
    return change(w, from, to, generation);
}

static int work_run(int argc, char **argv, int operands)
{
    static work w;
    uint64_t begun_ns = bench_now_ns();
    sdb_stats stats = {.size = sizeof stats};
    int done;

    w.generator = (bench_generator){.seed = 1, .key_size = KEY_SIZE, .value_size = 1000};
    w.options = SDB_OPTIONS_INIT;
    w.batch = 1000;
    if (argc < operands || !number_read(argv[3], &w.generator.count) || w.generator.count == 0)
        return usage();
    for (int i = operands; i < argc; i++)
        if (!setting_read(&w, argv[i])) return usage();
    done = work_open(&w, argv[2]);
    if (done == 0) done = step(&w, argv);
    if (done == 0 && sdb_stat(w.db, &stats) != SDB_OK) done = failed("stat");
    if (done == 0 && w.hold) {
        if (sdb_sync(w.db) != SDB_OK) return failed("sync");
        line_print(&w, begun_ns, stats.commit_sequence);
        for (;;) pause();
    }
    if (w.db != NULL && sdb_close(w.db) != SDB_OK && done == 0) done = failed("close");
    free(w.value);
    if (done == 0) line_print(&w, begun_ns, stats.commit_sequence);
    return done;
}

/* Runs a command, and says how long it took and what it had resident at most. */
static int child_run(char **argv)
{
    uint64_t begun_ns = bench_now_ns();
    struct rusage usage_of;
    int status;
    pid_t child = fork();

    if (child == 0) {
        (void)execvp(argv[0], argv);
        fprintf(stderr, "big_work: %s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    while (child > 0 && wait4(child, &status, 0, &usage_of) < 0)
        if (errno != EINTR) child = -1;
    if (child < 0) {
        fprintf(stderr, "big_work: %s: %s\n", argv[0], strerror(errno));
        return 1;
    }
    printf("seconds=%.3f peak_kb=%ld\n", (double)(bench_now_ns() - begun_ns) / 1e9,
           usage_of.ru_maxrss);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "run") == 0) return child_run(argv + 2);
    if (argc > 1 && strcmp(argv[1], "put") == 0) return work_run(argc, argv, 7);
    if (argc > 1 && strcmp(argv[1], "del") == 0) return work_run(argc, argv, 6);
    if (argc > 1 && strcmp(argv[1], "verify") == 0) return work_run(argc, argv, 5);
    return usage();
}
