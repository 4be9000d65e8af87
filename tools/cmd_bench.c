/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_bench.c: `sdb bench`: what this machine does with sdb, in a table.
 *
 * Idea: the workloads of bench (workload.h), on sdb alone, each printed as soon as it was measured
 *   and verified.
 * Invariants: I1 what was made is removed, whatever failed or interrupted: work polls the flag that
 *   Ctrl-C sets, and ends through the same door as a failure.
 * Not here: the loops and the clock (bench/worker.c), the comparison with others (bench/peers.sh).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/measure.h"
#include "bench/workload.h"
#include "tools/commands.h"

extern const bench_engine bench_engine_sdb;

static const char *const workloads[] = {
    "fillseq", "fillrandom",  "overwrite",  "readrandom",   "readmissing",
    "readseq", "readreverse", "seekrandom", "deleterandom", "fillsync",
};

enum { WORKLOADS = sizeof workloads / sizeof *workloads, KEY_SIZE = 16, SYNCS_MAX = 2000 };

/* Makes a folder of ours in `directory`, and its name config->root. */
static int root_make(const struct tool *tool, const char *directory, bench_config *config)
{
    int size = snprintf(config->root, sizeof config->root, "%s/sdb-bench.XXXXXX", directory);

    if (size < 0 || (size_t)size >= sizeof config->root)
        return tool_fail(tool, "the name of the folder is too long: %s", directory);
    if (mkdtemp(config->root) == NULL)
        return tool_fail(tool, "no folder can be made in %s: %s", directory, strerror(errno));
    return STATUS_DONE;
}

static int config_read(struct tool *tool, const struct args *args, bench_config *config)
{
    const char *value_size = args_text(args, OPTION_VALUE_SIZE);
    uint64_t bytes = 100;
    uint64_t count = 500000;
    int done = args_opening(tool, args);

    if (!done) done = args_number(tool, args, OPTION_NUM, 1, &count);
    if (done) return done;
    if (value_size && !tool_parse_size(value_size, &bytes))
        return tool_misuse(tool, "--value-size is a number of bytes, as 100 or 4K, not '%s'",
                           value_size);
    if (bytes < BENCH_VALUE_MIN || bytes > BENCH_VALUE_MAX)
        return tool_misuse(tool, "--value-size is %d to %d bytes", BENCH_VALUE_MIN,
                           BENCH_VALUE_MAX);
    if (count > bench_generator_limit(KEY_SIZE))
        return tool_misuse(tool, "--num is at most %s",
                           tool_number(bench_generator_limit(KEY_SIZE)));
    *config = (bench_config){
        .generator = {.seed = 1, .count = count, .key_size = KEY_SIZE, .value_size = bytes},
        .reads = count,
        .syncs = count < SYNCS_MAX * 100 ? (count + 99) / 100 : SYNCS_MAX,
        .nexts = 10,
        .batch = 1,
        .threads = 1,
        .inflight = 1,
        .label = "-",
        .cache_bytes = tool->options.cache_bytes,
        .cancelled = tool_interrupted,
    };
    return STATUS_DONE;
}

static void head_print(const bench_config *config)
{
    const bench_generator *generator = &config->generator;
    char machine[256];
    char filesystem[64];

    bench_measure_machine(machine, sizeof machine);
    bench_measure_filesystem(config->root, filesystem, sizeof filesystem);
    (void)printf("sdb %s; %s; %s\n%s entries of %zu + %zu bytes\n\n"
                 "%-12s %14s %12s %12s %12s %12s\n",
                 sdb_version(), machine, filesystem, tool_number(generator->count),
                 generator->key_size, generator->value_size, "workload", "operations/s", "p50",
                 "p99", "CPU each", "on disk");
    if (fflush(stdout) != 0) tool_output_failed();
}

static void result_print(const bench_result *result, bool json)
{
    double operations = result->operations > 0 ? (double)result->operations : 1;
    double rate = result->wall_ns > 0 ? operations * 1e9 / (double)result->wall_ns : 0;
    double p50 = (double)bench_histogram_percentile(&result->latency, 50);
    double p99 = (double)bench_histogram_percentile(&result->latency, 99);
    double cpu = (double)result->cpu_ns / operations;

    if (json)
        (void)printf("{\"workload\":\"%s\",\"operations\":%llu,\"ops_per_sec\":%.0f,"
                     "\"p50_us\":%.3f,\"p99_us\":%.3f,\"cpu_us_per_op\":%.3f,"
                     "\"disk_bytes\":%llu,\"written_bytes\":%llu}\n",
                     result->workload, (unsigned long long)result->operations, rate, p50 / 1e3,
                     p99 / 1e3, cpu / 1e3, (unsigned long long)result->disk_bytes,
                     (unsigned long long)result->written_bytes);
    else
        (void)printf("%-12s %14s %9.2f us %9.2f us %9.2f us %12s\n", result->workload,
                     tool_number((uint64_t)rate), p50 / 1e3, p99 / 1e3, cpu / 1e3,
                     tool_bytes(result->disk_bytes));
    if (fflush(stdout) != 0) tool_output_failed();
}

static int run_all(const struct tool *tool, const bench_config *config, bool json)
{
    static bench_result results[BENCH_SIDES_MAX];
    bench_stage stage;
    int status = STATUS_DONE;

    bench_stage_init(&stage, config, &bench_engine_sdb);
    for (size_t i = 0; i < WORKLOADS && status == STATUS_DONE; i++) {
        const bench_workload *workload = bench_workload_find(workloads[i], strlen(workloads[i]));
        unsigned sides = 0;
        bool filled = false;

        if (bench_workload_run(&stage, workload, results, &sides, &filled) == BENCH_OK)
            result_print(&results[0], json);
        else
            status = tool_fail(tool, "%s: %s", workload->name, bench_errmsg());
    }
    bench_stage_done(&stage);
    return status;
}

int cmd_bench(struct tool *tool, const struct args *args)
{
    const char *directory = args->count > 0 ? args->operand[0].text : ".";
    bool json = args_has(args, OPTION_JSON);
    static bench_config config;
    int done = config_read(tool, args, &config);

    if (!done) done = root_make(tool, directory, &config);
    if (done) return done;
    if (!json) head_print(&config);
    done = run_all(tool, &config, json);
    if (!bench_directory_remove(config.root))
        done = tool_fail(tool, "%s cannot be removed", config.root);
    return done;
}
