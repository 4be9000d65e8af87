/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sdb_bench.c
 *
 * Idea: sdb and the engines it is compared with, through the same workloads in the same order. The
 * engines take turns run by run, so that a slow minute of the machine does not hit one of them.
 *
 * Invariants:
 *   I1  The exit status is 0 only if every workload of every engine ran and verified and all
 *       checksums agree; 1 if not; 2 if the command line makes no sense.
 *   I2  What was made is removed, also when the program is interrupted.
 *
 * Source: the manner of LevelDB's and RocksDB's db_bench.
 * Not here: everything else. Reading order: README.md.
 */
#include "bench/disk.h"
#include "bench/measure.h"
#include "bench/report.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char standard[] = "fillseq,fillrandom,overwrite,readrandom,readmissing,readseq,"
                               "readreverse,seekrandom,readwhilewriting,deleterandom,fillsync";

typedef struct arguments {
    bench_config config;
    uint64_t cache_mb;
    uint64_t threads;
    uint64_t inflight;
    uint64_t direct;
    uint64_t repeat;
    uint64_t key_size;
    uint64_t value_size;
    uint64_t block_size;
    bool disk; /* measure the disk, no engine */
    bool json;
    bool root_made; /* by us: we remove it */
    const bench_engine *engines[BENCH_LIST_MAX];
    size_t engines_count;
    const bench_workload *workloads[BENCH_LIST_MAX];
    size_t workloads_count;
} arguments;

static int usage_error(const char *what, const char *text)
{
    fprintf(stderr, "sdb_bench: %s%s%s; see sdb_bench --help\n", what, text[0] != '\0' ? ": " : "",
            text);
    return 2;
}

static int help(void)
{
    printf("usage: sdb_bench [--NAME=VALUE]...\n\n"
           "  --engine=LIST       of those that were built:");
    for (size_t i = 0; i < bench_engines_count; i++) {
        if (bench_engines[i].engine != NULL) printf(" %s", bench_engines[i].name);
    }
    printf("\n"
           "  --benchmarks=LIST   workloads, in order\n"
           "  --num=N             entries of a full database (1000000)\n"
           "  --reads=N           operations of a reading workload (--num)\n"
           "  --syncs=N           writes of fillsync (--num / 100, at least 1000 or --num)\n"
           "  --nexts=N           entries read behind each seek of seekrandom (10)\n"
           "  --key_size=N        bytes (16)\n"
           "  --value_size=N      bytes (100)\n"
           "  --threads=N         (1)\n"
           "  --batch=N           changes in a commit, reads in a snapshot (1)\n"
           "  --inflight=N        reads in flight in each thread of readrandom and readmissing,\n"
           "                      of engines that can; the others' lines say inflight=1 (1)\n"
           "  --direct=0|1        begin with nothing in memory; engines that can use O_DIRECT\n"
           "                      (io=direct), of the files of the others the kernel keeps\n"
           "                      at most --cache_mb (io=bounded) (0)\n"
           "  --compression=NAME  none, or zstd of engines that can (none)\n"
           "  --cache_mb=N        memory for each engine's cache (1024)\n"
           "  --cache_policy=NAME who leaves sdb's cache: s3fifo, sieve, clock, lru, lfu or fifo\n"
           "  --durability=LEVEL  none, group or full; fillsync is always full (none)\n"
           "  --db=DIR            where to make the databases; they are removed at the end\n"
           "  --seed=N            another data set (1)\n"
           "  --repeat=N          runs; the engines take turns (1)\n"
           "  --disk              no engine: the disk's own rates, of --syncs times writing 4 KiB\n"
           "                      and fdatasync, and of --reads random reads with O_DIRECT, one\n"
           "                      after the other and 32 in flight\n"
           "  --block_size=N      bytes of each of these reads: 4096 to 65536 (8192)\n"
           "  --label=WORD        printed on every line (-)\n"
           "  --json              a JSON object a line\n\nworkloads:\n");
    for (size_t i = 0; i < bench_workloads_count; i++)
        printf("  %-18s  %s\n", bench_workloads[i].name, bench_workloads[i].text);
    return 0;
}

static bool number_parse(const char *text, uint64_t *out)
{
    char *end;
    unsigned long long value;

    if (text[0] < '0' || text[0] > '9') return false;
    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0') return false;
    *out = value;
    return true;
}

/* One name of --engine. */
static bool engine_add(arguments *a, const char *name, size_t length)
{
    const bench_engine_place *place = bench_engine_find(name, length);

    if (place == NULL || place->engine == NULL) {
        fprintf(stderr, "sdb_bench: engine \"%.*s\" %s\n", (int)length, name,
                place == NULL ? "is not known" : "was not built: configure did not find it");
        return false;
    }
    if (a->engines_count == BENCH_LIST_MAX) return false;
    a->engines[a->engines_count++] = place->engine;
    return true;
}

/* One name of --benchmarks. */
static bool workload_add(arguments *a, const char *name, size_t length)
{
    const bench_workload *workload = bench_workload_find(name, length);

    if (workload == NULL || a->workloads_count == BENCH_LIST_MAX) {
        fprintf(stderr, "sdb_bench: workload \"%.*s\" is %s\n", (int)length, name,
                workload == NULL ? "not known" : "one too many");
        return false;
    }
    a->workloads[a->workloads_count++] = workload;
    return true;
}

static bool list_parse(arguments *a, const char *text,
                       bool (*add)(arguments *, const char *, size_t))
{
    do {
        size_t length = strcspn(text, ",");

        if (length > 0 && !add(a, text, length)) return false;
        text += length;
    } while (*text++ == ',');
    return true;
}

static bool durability_parse(const char *text, bench_durability *out)
{
    static const char *const names[] = {"none", "group", "full"};

    for (unsigned i = 0; i < 3; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (bench_durability)i;
            return true;
        }
    }
    return false;
}

/* A label is one word in lines of words, and safe in JSON. */
static bool label_good(const char *text)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

    return text[0] != '\0' && text[strspn(text, allowed)] == '\0';
}

/* Takes one --name=value. */
static bool argument_parse(arguments *a, const char *name, size_t length, const char *value)
{
    bench_config *config = &a->config;
    const struct {
        const char *name;
        uint64_t *to;
    } numbers[] = {
        {"num", &config->generator.count}, {"reads", &config->reads},
        {"syncs", &config->syncs},         {"nexts", &config->nexts},
        {"batch", &config->batch},         {"inflight", &a->inflight},
        {"block_size", &a->block_size},    {"direct", &a->direct},
        {"seed", &config->generator.seed}, {"key_size", &a->key_size},
        {"value_size", &a->value_size},    {"threads", &a->threads},
        {"cache_mb", &a->cache_mb},        {"repeat", &a->repeat},
    };
    char known[32];

    snprintf(known, sizeof known, "%.*s", (int)length, name);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(known, numbers[i].name) == 0) return number_parse(value, numbers[i].to);
    }
    if (strcmp(known, "engine") == 0) return list_parse(a, value, engine_add);
    if (strcmp(known, "benchmarks") == 0) return list_parse(a, value, workload_add);
    if (strcmp(known, "durability") == 0) return durability_parse(value, &config->durability);
    if (strcmp(known, "compression") == 0) {
        config->zstd = strcmp(value, "zstd") == 0;
        return config->zstd || strcmp(value, "none") == 0;
    }
    if (strcmp(known, "label") == 0) {
        config->label = value;
        return label_good(value);
    }
    if (strcmp(known, "cache_policy") == 0 && strlen(value) < sizeof config->cache_policy) {
        snprintf(config->cache_policy, sizeof config->cache_policy, "%s", value);
        return true;
    }
    if (strcmp(known, "db") == 0 && strlen(value) < sizeof config->root) {
        snprintf(config->root, sizeof config->root, "%s", value);
        return value[0] != '\0';
    }
    return false;
}

/* What was not given follows from what was; what cannot be is refused. NULL, or what is wrong. */
static const char *arguments_complete(arguments *a)
{
    bench_config *config = &a->config;
    uint64_t num = config->generator.count;

    if (a->key_size < BENCH_KEY_MIN || a->key_size > BENCH_KEY_MAX) return "--key_size is 8 to 256";
    if (a->value_size < BENCH_VALUE_MIN || a->value_size > BENCH_VALUE_MAX)
        return "--value_size is 16 to 1048576";
    if (num == 0 || num > bench_generator_limit(a->key_size))
        return "--num is at least 1, and at most what --key_size can number";
    if (a->threads == 0 || a->threads > 512) return "--threads is 1 to 512";
    if (a->cache_mb == 0 || a->cache_mb > 1u << 24) return "--cache_mb is 1 to 16777216";
    if (a->inflight == 0 || a->inflight > 1024) return "--inflight is 1 to 1024";
    if (a->block_size < 4096 || a->block_size > 65536 || a->block_size % 4096 != 0)
        return "--block_size is a multiple of 4096, at most 65536";
    if (a->direct > 1) return "--direct is 0 or 1";
    if (a->inflight > 1 && config->batch > 1) return "--inflight and --batch exclude each other";
    if (config->batch == 0 || a->repeat == 0) return "--batch and --repeat are at least 1";
    config->generator.key_size = (size_t)a->key_size;
    config->generator.value_size = (size_t)a->value_size;
    config->threads = (unsigned)a->threads;
    config->inflight = (unsigned)a->inflight;
    config->direct = a->direct == 1;
    config->cache_bytes = a->cache_mb << 20;
    if (config->reads == 0) config->reads = num;
    if (config->syncs == 0) config->syncs = num / 100 > 1000 ? num / 100 : 1000;
    if (config->syncs > num) config->syncs = num;
    for (size_t i = 0; i < bench_engines_count && a->engines_count == 0; i++) {
        if (bench_engines[i].engine == NULL) continue;
        a->engines[a->engines_count++] = bench_engines[i].engine;
    }
    if (a->workloads_count == 0) (void)list_parse(a, standard, workload_add);
    if (config->root[0] == '\0') {
        const char *temporary = getenv("TMPDIR");

        snprintf(config->root, sizeof config->root, "%.1900s/sdb_bench.%ld",
                 temporary != NULL && temporary[0] != '\0' ? temporary : "/tmp", (long)getpid());
    }
    return NULL;
}

static int arguments_parse(arguments *a, int argc, char **argv)
{
    const char *wrong;

    *a = (arguments){
        .config = {.generator = {.seed = 1, .count = 1000000},
                   .batch = 1,
                   .nexts = 10,
                   .label = "-"},
        .cache_mb = 1024,
        .threads = 1,
        .inflight = 1,
        .block_size = 8192,
        .repeat = 1,
        .key_size = 16,
        .value_size = 100,
    };
    for (int i = 1; i < argc; i++) {
        const char *text = argv[i];
        const char *value = strchr(text, '=');

        if (strcmp(text, "--json") == 0) {
            a->json = true;
            continue;
        }
        if (strcmp(text, "--disk") == 0) {
            a->disk = true;
            continue;
        }
        if (strncmp(text, "--", 2) != 0 || value == NULL ||
            !argument_parse(a, text + 2, (size_t)(value - text - 2), value + 1))
            return usage_error("this makes no sense", text);
    }
    wrong = arguments_complete(a);
    return wrong == NULL ? 0 : usage_error(wrong, "");
}

/* Removes what the run made, so far as it is closed or can be removed while it is open. */
static void directories_remove(const arguments *a)
{
    for (size_t i = 0; i < a->engines_count; i++) {
        char directory[BENCH_DIRECTORY_SIZE + 64];

        snprintf(directory, sizeof directory, "%s/sdb_bench-%s", a->config.root,
                 a->engines[i]->name);
        (void)bench_directory_remove(directory);
    }
    if (a->root_made) (void)rmdir(a->config.root);
}

static void interrupt_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
}

/* Waits for the signal that ends the program. */
static void *interrupt_main(void *context)
{
    sigset_t set;
    int number = 0;

    interrupt_set(&set);
    if (sigwait(&set, &number) == 0) {
        directories_remove(context);
        fprintf(stderr, "sdb_bench: interrupted; the databases were removed\n");
        _exit(128 + number);
    }
    return NULL;
}

static void interrupt_watch(arguments *a)
{
    pthread_t thread;
    sigset_t set;

    interrupt_set(&set);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0) return;
    if (pthread_create(&thread, NULL, interrupt_main, a) == 0)
        (void)pthread_detach(thread);
    else
        (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* All workloads with one engine. False when one failed; the next one then begins afresh. */
static bool engine_run(const arguments *a, const bench_engine *engine, unsigned run,
                       bench_report *report)
{
    static bench_result results[BENCH_SIDES_MAX];
    bench_stage stage;
    bool good = true;

    bench_stage_init(&stage, &a->config, engine);
    for (size_t i = 0; i < a->workloads_count; i++) {
        const bench_workload *workload = a->workloads[i];
        unsigned sides = 0;
        bool filled = false;

        if (bench_workload_run(&stage, workload, results, &sides, &filled) != BENCH_OK) {
            bench_report_failure(report, engine->name, &a->config, workload->name, bench_errmsg());
            bench_stage_done(&stage);
            bench_stage_init(&stage, &a->config, engine);
            good = false;
            continue;
        }
        if (filled)
            bench_report_filled(report, engine->name, workload->name, a->config.generator.count);
        for (unsigned side = 0; side < sides; side++)
            bench_report_result(report, engine->name, run, &a->config, &results[side]);
        bench_report_sum(report, i, engine->name, &results[0]);
        report->sums[i].workload = workload->name;
    }
    bench_stage_done(&stage);
    return good;
}

/* --disk */
static bool disk_run(const arguments *a, bench_report *report)
{
    static bench_result results[BENCH_DISK_RESULTS];
    unsigned count;
    bench_answer answer;

    bench_report_head(report, &a->config, NULL, 0);
    answer = bench_disk_run(&a->config, a->block_size, results, &count);
    for (unsigned i = 0; i < count; i++)
        bench_report_result(report, "disk", 1, &a->config, &results[i]);
    if (answer != BENCH_OK)
        bench_report_failure(report, "disk", &a->config, count == 0 ? "disksync" : "diskread",
                             bench_errmsg());
    if (a->root_made) (void)rmdir(a->config.root);
    return answer == BENCH_OK;
}

int main(int argc, char **argv)
{
    static arguments a;
    static bench_report report;
    bool good = true;
    int wrong;

    if (argc == 2 && strcmp(argv[1], "--help") == 0) return help();
    wrong = arguments_parse(&a, argc, argv);
    if (wrong != 0) return wrong;
    a.root_made = access(a.config.root, F_OK) != 0;
    if (!bench_directory_make(a.config.root)) {
        fprintf(stderr, "sdb_bench: %s cannot be made: %s\n", a.config.root, strerror(errno));
        return 1;
    }
    report.json = a.json;
    interrupt_watch(&a);
    if (a.disk) return disk_run(&a, &report) ? 0 : 1;
    bench_report_head(&report, &a.config, a.engines, a.engines_count);
    for (unsigned run = 1; run <= a.repeat; run++) {
        for (size_t i = 0; i < a.engines_count; i++)
            good = engine_run(&a, a.engines[i], run, &report) && good;
    }
    directories_remove(&a);
    good = bench_report_end(&report) && good;
    return good ? 0 : 1;
}
