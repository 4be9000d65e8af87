/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.c
 *
 * Idea: one line a result, `name=value` pairs that awk and people read alike; or the same as one
 * JSON object a line. Lines that begin with # are for people.
 *
 * Invariants:
 *   I1  Each line is flushed when it is written, so a run that dies leaves what it measured.
 *   I2  A checksum stands for a place in --benchmarks: the same workload twice is two places.
 *
 * Not here: medians and tables (peers.sh), the chart (chart.sh).
 */
#include "bench/report.h"

#include "bench/measure.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { TEXT_SIZE = 256 };

static const char *durability_text(bench_durability durability)
{
    switch (durability) {
    case BENCH_DURABILITY_NONE: return "none";
    case BENCH_DURABILITY_GROUP: return "group";
    case BENCH_DURABILITY_FULL: return "full";
    }
    return "?";
}

/* A JSON string, with its quotes. */
static void json_text(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void json_pair(const char *name, const char *text)
{
    printf(",\"%s\":", name);
    json_text(text);
}

static void head_json(const bench_config *config, const char *date, const char *machine,
                      const char *filesystem)
{
    const bench_generator *generator = &config->generator;

    printf("{\"kind\":\"head\"");
    json_pair("date", date);
    json_pair("machine", machine);
    json_pair("filesystem", filesystem);
    json_pair("db", config->root);
    json_pair("durability", durability_text(config->durability));
    printf(",\"num\":%" PRIu64 ",\"key_size\":%zu,\"value_size\":%zu,\"reads\":%" PRIu64
           ",\"syncs\":%" PRIu64 ",\"nexts\":%" PRIu64 ",\"batch\":%" PRIu64
           ",\"threads\":%u,\"cache_mb\":%" PRIu64 ",\"seed\":%" PRIu64 "}\n",
           generator->count, generator->key_size, generator->value_size, config->reads,
           config->syncs, config->nexts, config->batch, config->threads, config->cache_bytes >> 20,
           generator->seed);
}

static void head_text(const bench_config *config, const char *date, const char *machine,
                      const char *filesystem)
{
    const bench_generator *generator = &config->generator;
    uint64_t size = generator->count * (generator->key_size + generator->value_size);

    printf("# sdb_bench, %s\n# %s; %s on %s\n", date, machine, config->root, filesystem);
    printf("# %" PRIu64
           " entries, keys of %zu bytes, values of %zu (half compressible): %.1f MiB\n",
           generator->count, generator->key_size, generator->value_size, (double)size / 1048576.0);
    printf("# threads %u, batch %" PRIu64 ", reads %" PRIu64 ", syncs %" PRIu64 ", nexts %" PRIu64
           ", cache %" PRIu64 " MiB, durability %s, seed %" PRIu64 "\n",
           config->threads, config->batch, config->reads, config->syncs, config->nexts,
           config->cache_bytes >> 20, durability_text(config->durability), generator->seed);
    printf("# every operation is timed, of scans each 32nd; a batch is one operation of the clock\n"
           "# after a workload that changes: settle, wait for quiet, close, sync (cpu, disk and "
           "written bytes count until here); open, read and verify everything\n");
}

void bench_report_head(const bench_report *report, const bench_config *config,
                       const bench_engine *const *engines, size_t count)
{
    char date[TEXT_SIZE] = "?";
    char machine[TEXT_SIZE];
    char filesystem[TEXT_SIZE];
    time_t now = time(NULL);
    struct tm calendar;

    if (gmtime_r(&now, &calendar) != NULL)
        (void)strftime(date, sizeof date, "%Y-%m-%dT%H:%MZ", &calendar);
    bench_measure_machine(machine, sizeof machine);
    bench_measure_filesystem(config->root, filesystem, sizeof filesystem);
    (report->json ? head_json : head_text)(config, date, machine, filesystem);
    for (size_t i = 0; i < count; i++) {
        char version[TEXT_SIZE];

        engines[i]->version(version, sizeof version);
        if (report->json) {
            printf("{\"kind\":\"engine\"");
            json_pair("engine", engines[i]->name);
            json_pair("version", version);
            json_pair("settings", engines[i]->settings);
            printf("}\n");
        } else {
            printf("# %s %s: %s\n", engines[i]->name, version, engines[i]->settings);
        }
    }
    for (size_t i = 0; i < bench_engines_count; i++) {
        if (bench_engines[i].engine != NULL) continue;
        if (report->json)
            printf("{\"kind\":\"not_built\",\"engine\":\"%s\"}\n", bench_engines[i].name);
        else
            printf("# %s: not built\n", bench_engines[i].name);
    }
    fflush(stdout);
}

void bench_report_filled(const bench_report *report, const char *engine, const char *workload,
                         uint64_t count)
{
    if (!report->json) {
        printf("# %s: filled with %" PRIu64 " entries before %s, not measured\n", engine, count,
               workload);
        fflush(stdout);
    }
}

void bench_report_result(const bench_report *report, const char *engine, unsigned run,
                         const bench_config *config, const bench_result *result)
{
    double operations = result->operations > 0 ? (double)result->operations : 1;
    double rate =
        result->wall_ns > 0 ? (double)result->operations * 1e9 / (double)result->wall_ns : 0;
    double p50 = (double)bench_histogram_percentile(&result->latency, 50) / 1000;
    double p99 = (double)bench_histogram_percentile(&result->latency, 99) / 1000;
    double p999 = (double)bench_histogram_percentile(&result->latency, 99.9) / 1000;
    double most = (double)bench_histogram_percentile(&result->latency, 100) / 1000;
    double cpu = (double)result->cpu_ns / 1000 / operations;
    char checksum[32] = "-";

    if (result->has_checksum) snprintf(checksum, sizeof checksum, "%016" PRIx64, result->checksum);
    printf(report->json
               ? "{\"kind\":\"result\",\"engine\":\"%s\",\"workload\":\"%s\",\"threads\":%u,"
                 "\"num\":%" PRIu64 ",\"ops_per_sec\":%.0f,\"p50_us\":%.3f,\"p99_us\":%.3f,"
                 "\"p999_us\":%.3f,\"max_us\":%.3f,\"cpu_us_per_op\":%.3f,"
                 "\"disk_bytes\":%" PRIu64 ",\"written_bytes\":%" PRIu64
                 ",\"checksum\":\"%s\",\"batch\":%" PRIu64 ",\"operations\":%" PRIu64
                 ",\"run\":%u,\"inflight\":%u,\"io\":\"%s\",\"read_bytes\":%" PRIu64
                 ",\"cache_mb\":%" PRIu64 ",\"label\":\"%s\"}\n"
               : "engine=%s workload=%s threads=%u num=%" PRIu64
                 " ops_per_sec=%.0f p50_us=%.3f p99_us=%.3f p999_us=%.3f max_us=%.3f"
                 " cpu_us_per_op=%.3f disk_bytes=%" PRIu64
                 " written_bytes=%" PRIu64 " checksum=%s batch=%" PRIu64 " operations=%" PRIu64
                 " run=%u inflight=%u io=%s read_bytes=%" PRIu64 " cache_mb=%" PRIu64 " label=%s\n",
           engine, result->workload, result->threads, config->generator.count, rate, p50, p99,
           p999, most, cpu, result->disk_bytes, result->written_bytes, checksum, result->batch,
           result->operations, run, result->inflight, result->io, result->read_bytes,
           config->cache_bytes >> 20, config->label);
    fflush(stdout);
}

void bench_report_failure(const bench_report *report, const char *engine,
                          const bench_config *config, const char *workload, const char *why)
{
    if (report->json) {
        printf("{\"kind\":\"failure\"");
        json_pair("engine", engine);
        json_pair("workload", workload);
        json_pair("label", config->label);
        json_pair("error", why);
        printf("}\n");
    } else {
        printf("failure=%s workload=%s threads=%u batch=%" PRIu64 " label=%s why=%s\n", engine,
               workload, config->threads, config->batch, config->label, why);
    }
    fflush(stdout);
    fprintf(stderr, "sdb_bench: %s failed in %s: %s\n", engine, workload, why);
}

void bench_report_sum(bench_report *report, size_t at, const char *engine,
                      const bench_result *result)
{
    bench_sum *sum = &report->sums[at];

    if (!result->has_checksum) return;
    if (sum->engine == NULL) {
        *sum = (bench_sum){.engine = engine, .checksum = result->checksum};
        return;
    }
    if (sum->checksum == result->checksum) return;
    report->differences++;
    fprintf(stderr, "sdb_bench: checksums differ in %s: %s %016" PRIx64 ", %s %016" PRIx64 "\n",
            result->workload, sum->engine, sum->checksum, engine, result->checksum);
}

bool bench_report_end(const bench_report *report)
{
    bool agree = report->differences == 0;

    printf(report->json ? "{\"kind\":\"checksums\",\"agree\":%s,\"workloads\":[" : "checksums %s:",
           report->json ? (agree ? "true" : "false") : (agree ? "agree" : "differ"));
    for (size_t i = 0, shown = 0; i < BENCH_LIST_MAX; i++) {
        if (report->sums[i].engine == NULL) continue;
        if (report->json)
            printf("%s\"%s\"", shown++ > 0 ? "," : "", report->sums[i].workload);
        else
            printf(" %s", report->sums[i].workload);
    }
    printf(report->json ? "]}\n" : "\n");
    fflush(stdout);
    return agree;
}
