/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lifetime.c
 *
 * Idea: the library has points in time, people have durations; here they meet.
 * Invariants: I1 a duration that 64 bits of milliseconds do not hold is refused.
 * Not here: dates.
 */
#include "tools/lifetime.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
    const char *name;
    uint64_t ms;
} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};

static uint64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* False: it is none. */
static bool parse(const char *text, uint64_t *out_ms)
{
    unsigned long long number;
    char *end;

    if (strcmp(text, "none") == 0) {
        *out_ms = 0;
        return true;
    }
    if (*text < '0' || *text > '9') return false;
    errno = 0;
    number = strtoull(text, &end, 10);
    for (size_t i = 0; errno == 0 && i < sizeof units / sizeof *units; i++) {
        if (strcmp(end, units[i].name) != 0) continue;
        if (number == 0 || number > UINT64_MAX / units[i].ms) return false;
        *out_ms = number * units[i].ms;
        return true;
    }
    return false;
}

int lifetime_option(const struct tool *tool, const struct args *args, uint64_t *out_ms)
{
    const char *text = args_text(args, OPTION_TTL);

    if (!text || parse(text, out_ms)) return STATUS_DONE;
    return tool_misuse(tool, "--ttl: '%s' is not a duration like 500ms, 30s, 15m, 12h or 7d, or "
                       "none", text);
}

uint64_t lifetime_end(uint64_t ms)
{
    uint64_t now = now_ms();

    if (ms == 0) return 0;
    return ms > UINT64_MAX - now ? UINT64_MAX : now + ms;
}

const char *lifetime_text(uint64_t ms)
{
    static char text[40];
    unsigned long long s = ms / 1000;

    if (ms < 1000)
        (void)snprintf(text, sizeof text, "%llu ms", (unsigned long long)ms);
    else if (s < 60)
        (void)snprintf(text, sizeof text, "%.1f s", (double)(ms / 100) / 10);
    else if (s < 3600)
        (void)snprintf(text, sizeof text, "%llu m %llu s", s / 60, s % 60);
    else if (s < 86400)
        (void)snprintf(text, sizeof text, "%llu h %llu m", s / 3600, s / 60 % 60);
    else
        (void)snprintf(text, sizeof text, "%llu d %llu h", s / 86400, s / 3600 % 24);
    return text;
}

sdb_status lifetime_put(sdb_txn *txn, sdb_keyspace *keyspace, sdb_slice key, sdb_slice value,
                        const struct args *args, uint64_t ttl_ms)
{
    if (!args_has(args, OPTION_TTL)) return sdb_put(txn, keyspace, key, value);
    return sdb_put_expiring(txn, keyspace, key, value, lifetime_end(ttl_ms));
}

void lifetime_print(uint64_t expiry_ms, bool json)
{
    uint64_t now = now_ms(), left = expiry_ms > now ? expiry_ms - now : 0;

    if (json && expiry_ms)
        (void)printf("{\"ttl_ms\":%llu,\"expiry_ms\":%llu}\n", (unsigned long long)left,
                     (unsigned long long)expiry_ms);
    else if (json)
        (void)printf("{\"ttl_ms\":null,\"expiry_ms\":null}\n");
    else
        (void)printf("%s\n", expiry_ms ? lifetime_text(left) : "for ever");
}
