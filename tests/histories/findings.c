/* SPDX-License-Identifier: Apache-2.0 */
/* findings.c */
#include "tests/histories/findings.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define X(name, text) text,
static const char *const names[] = {ANOMALIES(X)};
#undef X
static const char *const strengths[] = {"", "-process", "-realtime"};

static const struct {
    const char *name;
    struct level level;
} levels[] = {
    {"read-committed", {READ_COMMITTED, STRENGTH_PLAIN}},
    {"snapshot-isolation", {SNAPSHOT_ISOLATION, STRENGTH_PLAIN}},
    {"strong-session-snapshot-isolation", {SNAPSHOT_ISOLATION, STRENGTH_SESSION}},
    {"strong-snapshot-isolation", {SNAPSHOT_ISOLATION, STRENGTH_REALTIME}},
    {"serializable", {SERIALIZABLE, STRENGTH_PLAIN}},
    {"strong-session-serializable", {SERIALIZABLE, STRENGTH_SESSION}},
    {"strict-serializable", {SERIALIZABLE, STRENGTH_REALTIME}},
};

const char *anomaly_name(enum anomaly anomaly)
{
    return names[anomaly];
}

bool level_of(const char *name, struct level *out_level)
{
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (strcmp(levels[i].name, name) != 0) continue;
        *out_level = levels[i].level;
        return true;
    }
    return false;
}

void findings_add(struct findings *findings, enum anomaly anomaly, enum strength strength,
                  const char *format, ...)
{
    char line[1024];
    int head;
    va_list args;

    if (findings->counts[strength][anomaly]++ >= FINDINGS_SHOWN) return;
    head = snprintf(line, sizeof line, "%s%s: ", names[anomaly], strengths[strength]);
    va_start(args, format);
    (void)vsnprintf(line + head, sizeof line - (size_t)head - 1, format, args);
    va_end(args);
    if (sdb__buffer_append(&sdb__mem_default, &findings->text, line, strlen(line)) != SDB_OK ||
        sdb__buffer_append(&sdb__mem_default, &findings->text, "\n", 1) != SDB_OK)
        abort();
}

bool findings_allow(const struct findings *findings, struct level level)
{
    static const enum anomaly beyond[] = {[READ_COMMITTED] = ANOMALY_INTERNAL,
                                          [SNAPSHOT_ISOLATION] = ANOMALY_G2_ITEM,
                                          [SERIALIZABLE] = ANOMALY_COUNT};

    for (unsigned strength = 0; strength <= level.strength; strength++)
        for (unsigned i = 0; i < beyond[level.isolation]; i++)
            if (findings->counts[strength][i]) return false;
    return true;
}

void findings_summary(const struct findings *findings, char *out_text, size_t size)
{
    size_t used = 0;

    *out_text = '\0';
    for (unsigned i = 0; i < STRENGTH_COUNT * ANOMALY_COUNT && used < size; i++) {
        unsigned strength = i / ANOMALY_COUNT, anomaly = i % ANOMALY_COUNT;
        uint64_t count = findings->counts[strength][anomaly];

        if (!count) continue;
        used += (size_t)snprintf(out_text + used, size - used, "%s%s%s×%" PRIu64, used ? " " : "",
                                 names[anomaly], strengths[strength], count);
    }
}

void findings_done(struct findings *findings)
{
    sdb__buffer_done(&sdb__mem_default, &findings->text);
    *findings = (struct findings){0};
}
