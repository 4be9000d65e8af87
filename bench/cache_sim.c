/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache_sim.c: what a cache of a given size would have missed.
 *
 * Idea: a trace is read whole and its keys are numbered, so that "is it in the cache?" is one look
 *   into an array; the policy (engine/base/policy.h) decides the rest. A policy's slots are these
 *   numbers' owners.
 * Costs: 24 bytes a request; one policy call a request.
 * Not here: time. Policies see the order of requests only.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/mem.h"
#include "engine/base/policy.h"

struct request {
    uint64_t key;
    uint32_t number; /* of the key, 0 … keys-1, in the order of keys */
    uint32_t bytes;
};

struct trace {
    struct request *requests;
    size_t count, capacity;
    uint32_t keys;
};

static const char usage[] =
    "Usage: cache_sim [--format=text|be32|oracle] [--bytes] POLICY SIZE[,SIZE...] [TRACE...]\n"
    "Tells how many requests of a trace a cache of SIZE objects would have missed.\n"
    "\n"
    "POLICY is s3fifo, sieve, clock, lru, lfu, fifo, or all. Without TRACE, or for -, the trace\n"
    "is read from standard input. Formats: text, one decimal key a line, other lines are passed\n"
    "over; be32, keys of four bytes, most significant first; oracle, libCacheSim's oracleGeneral\n"
    "records of 24 bytes (time u32, key u64, size u32, next i64, little-endian). With --bytes,\n"
    "SIZE is in bytes, objects have the sizes that the trace gives them (oracle only), and\n"
    "objects that are larger than the cache are missed and not kept.\n"
    "\n"
    "Prints, for each policy and size:  POLICY SIZE requests N keys N misses N hit_rate R\n";

static void die(const char *what, const char *which)
{
    (void)fprintf(stderr, "cache_sim: %s: %s\n", which, what);
    exit(1);
}

/* ---- reading ---- */

static void add(struct trace *t, uint64_t key, uint32_t bytes)
{
    if (sdb__mem_reserve(&sdb__mem_default, &t->requests, &t->capacity, t->count + 1,
                         sizeof *t->requests) != SDB_OK)
        die("not enough memory for the trace", "input");
    t->requests[t->count++] = (struct request){key, 0, bytes};
}

static void read_text(struct trace *t, FILE *file)
{
    char line[64];

    while (fgets(line, sizeof line, file)) {
        char *end;
        uint64_t key = strtoull(line, &end, 10);

        if (end != line && (*end == '\n' || *end == '\r' || *end == 0)) add(t, key, 1);
    }
}

static uint32_t get_be32(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static void read_records(struct trace *t, FILE *file, bool is_oracle)
{
    uint8_t record[24];
    size_t size = is_oracle ? sizeof record : 4;

    while (fread(record, size, 1, file) == 1)
        if (is_oracle)
            add(t, get_u64(record + 4), get_u32(record + 12));
        else
            add(t, get_be32(record), 1);
}

static void read_trace(struct trace *t, const char *path, const char *format)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");

    if (!file) die(strerror(errno), path);
    if (strcmp(format, "text") == 0)
        read_text(t, file);
    else
        read_records(t, file, strcmp(format, "oracle") == 0);
    if (ferror(file)) die("cannot be read", path);
    if (file != stdin) (void)fclose(file);
}

static int compare_requests(const void *a, const void *b)
{
    const struct request *x = *(struct request *const *)a, *y = *(struct request *const *)b;

    return (x->key > y->key) - (x->key < y->key);
}

static void number_keys(struct trace *t)
{
    struct request **sorted = sdb__mem_alloc(&sdb__mem_default, t->count * sizeof(*sorted));

    if (!sorted) die("not enough memory to sort the trace", "input");
    for (size_t i = 0; i < t->count; i++) sorted[i] = &t->requests[i];
    qsort(sorted, t->count, sizeof(*sorted), compare_requests);
    for (size_t i = 0; i < t->count; i++) {
        if (i && sorted[i]->key != sorted[i - 1]->key) t->keys++;
        sorted[i]->number = t->keys;
    }
    t->keys++;
    sdb__mem_free(&sdb__mem_default, sorted);
}

/* ---- running ---- */

struct cache {
    struct policy *policy;
    policy_uses *uses;   /* by slot */
    uint32_t *slot_of;   /* by number; POLICY_NONE: not in the cache */
    uint32_t *number_in; /* by slot */
    uint32_t *bytes;     /* by slot */
    uint32_t *free;
    uint32_t free_count;
    uint64_t used, limit; /* bytes, or objects */
    bool in_bytes;
};

static void evict(struct cache *c)
{
    uint32_t slot = sdb__policy_victim(c->policy);

    sdb__policy_gone(c->policy, slot);
    c->slot_of[c->number_in[slot]] = POLICY_NONE;
    c->used -= c->bytes[slot];
    c->free[c->free_count++] = slot;
}

/* True if it was in the cache; it is then, if it can be. */
static bool use(struct cache *c, const struct request *r)
{
    uint32_t slot = c->slot_of[r->number], bytes = c->in_bytes ? r->bytes : 1;

    if (slot != POLICY_NONE) {
        sdb__policy_hit(c->policy, slot);
        return true;
    }
    if (bytes > c->limit) return false;
    while (c->used + bytes > c->limit) evict(c);
    slot = c->free[--c->free_count];
    c->slot_of[r->number] = slot;
    c->number_in[slot] = r->number;
    c->bytes[slot] = bytes;
    c->used += bytes;
    sdb__policy_insert(c->policy, slot, r->key);
    return false;
}

static void *zeros(size_t count, size_t size)
{
    void *memory = sdb__mem_zalloc(&sdb__mem_default, count, size);

    if (!memory) die("not enough memory for the cache", "input");
    return memory;
}

static void simulate(const struct trace *t, sdb_cache_policy kind, uint64_t size, bool in_bytes)
{
    uint32_t slots = in_bytes || size > t->keys ? t->keys : (uint32_t)size;
    struct cache c = {.limit = size, .in_bytes = in_bytes,
                      .uses = zeros(slots, sizeof *c.uses),
                      .slot_of = zeros(t->keys, sizeof *c.slot_of),
                      .number_in = zeros(slots, sizeof *c.number_in),
                      .bytes = zeros(slots, sizeof *c.bytes), .free = zeros(slots, sizeof *c.free)};
    uint64_t misses = 0;

    for (uint32_t i = 0; i < t->keys; i++) c.slot_of[i] = POLICY_NONE;
    for (uint32_t i = slots; i > 0; i--) c.free[c.free_count++] = i - 1;
    if (sdb__policy_new(&sdb__mem_default, kind, slots, c.uses, 1, &c.policy) != SDB_OK)
        die(sdb_errmsg(), "policy");
    for (size_t i = 0; i < t->count; i++) misses += !use(&c, &t->requests[i]);
    (void)printf("%s %" PRIu64 " requests %zu keys %" PRIu32 " misses %" PRIu64 " hit_rate %.4f\n",
                 sdb__policy_name(kind), size, t->count, t->keys, misses,
                 1 - (double)misses / (double)t->count);
    sdb__policy_free(c.policy);
    sdb__mem_free(&sdb__mem_default, c.uses);
    sdb__mem_free(&sdb__mem_default, c.slot_of);
    sdb__mem_free(&sdb__mem_default, c.number_in);
    sdb__mem_free(&sdb__mem_default, c.bytes);
    sdb__mem_free(&sdb__mem_default, c.free);
}

/* Runs the policy of that name, or all, over the sizes in `sizes`. */
static void run(const struct trace *t, const char *policy, const char *sizes, bool in_bytes)
{
    bool known = false;

    while (*sizes) {
        char *end;
        uint64_t size = strtoull(sizes, &end, 10);

        if ((*end && *end != ',') || size == 0) die("a size is a number above 0", sizes);
        sizes = *end ? end + 1 : end;
        for (int kind = SDB_CACHE_S3FIFO; sdb__policy_name((sdb_cache_policy)kind); kind++) {
            const char *name = sdb__policy_name((sdb_cache_policy)kind);

            if (strcmp(policy, "all") != 0 && strcmp(policy, name) != 0) continue;
            simulate(t, (sdb_cache_policy)kind, size, in_bytes);
            known = true;
        }
    }
    if (!known) die("no such policy; cache_sim --help names them", policy);
}

int main(int argc, char **argv)
{
    const char *format = "text";
    struct trace trace = {0};
    bool in_bytes = false;
    int at = 1;

    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
        if (strcmp(argv[at], "--help") == 0) {
            (void)fputs(usage, stdout);
            return 0;
        }
        if (strcmp(argv[at], "--bytes") == 0)
            in_bytes = true;
        else if (strncmp(argv[at], "--format=", 9) == 0)
            format = argv[at] + 9;
        else
            die("no such option; see --help", argv[at]);
    }
    if (strcmp(format, "text") != 0 && strcmp(format, "be32") != 0 && strcmp(format, "oracle") != 0)
        die("no such format; see --help", format);
    if (in_bytes && strcmp(format, "oracle") != 0) die("only oracle traces have sizes", "--bytes");
    if (argc - at < 2) {
        (void)fputs(usage, stderr);
        return 2;
    }
    if (argc - at == 2) read_trace(&trace, "-", format);
    for (int i = at + 2; i < argc; i++) read_trace(&trace, argv[i], format);
    if (trace.count == 0) die("there is no request in it", "trace");
    number_keys(&trace);
    run(&trace, argv[at], argv[at + 1], in_bytes);
    sdb__mem_free(&sdb__mem_default, trace.requests);
    return 0;
}
