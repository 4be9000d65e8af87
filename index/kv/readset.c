/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readset.c
 *
 * Idea: ranges that overlap or touch are one. So a cursor that walks on only moves the end of the
 * range that it made, and reading the same again adds nothing.
 *
 *     get d, then a cursor over b … c       [b, c\0)  [d, d\0)
 *     one step more, to d                   [b, d\0)
 *
 * What passes the limit is thinned out: each second range is joined with the one before it, with
 * all that lies between them.
 * Invariants: I1 ranges do not overlap or touch, and none is empty. I2 a key that was added is in a
 *   range until reset, or `everything` is set. I3 bytes <= limit when a call returns.
 * Costs: a search in a skip list and a copy of the key a read; nothing but the copy for a cursor
 *   that goes forward.
 * Source: the filter, Bloom, CACM 1970; read sets as predicates, and their widening, after Neumann
 *   et al., SIGMOD 2015, §2.3, whose predicates are those of queries; these are the keys that were
 *   really passed.
 * Not here: asking what was changed in them (versions.c, commit.c).
 */
#include "index/kv/readset.h"

#include <string.h>

#include "engine/base/bytes.h"

/* Behind its skip node, whose key is the lower end. */
struct read_range {
    struct skip_node *node;
    struct buffer lower, upper;
    bool has_upper; /* false: to the end of the keyspace */
};

static struct read_range *range_of(struct skip_node *node)
{
    return (struct read_range *)(void *)((char *)node + skip_node_size(node->levels));
}

static struct bytes view(const struct buffer *buffer)
{
    return (struct bytes){buffer->data, buffer->size};
}

static int compare(struct bytes a, struct bytes b)
{
    return compare_bytes(a.data, a.size, b.data, b.size);
}

/* What a range costs. */
static size_t cost(const struct read_range *range)
{
    return skip_node_size(range->node->levels) + sizeof *range + range->lower.capacity +
           range->upper.capacity;
}

static void range_free(struct read_set *r, struct read_range *range)
{
    sdb__buffer_done(r->allocator, &range->lower);
    sdb__buffer_done(r->allocator, &range->upper);
    sdb__mem_free(r->allocator, range->node);
}

static struct read_range *first_range(const struct read_set *r)
{
    struct skip_node *node = r->ranges.heads[0];

    return node ? range_of(node) : NULL;
}

/* The next range of the same keyspace. */
static struct read_range *neighbour(const struct read_range *range)
{
    struct skip_node *next = skip_next(range->node);

    return next && next->group == range->node->group ? range_of(next) : NULL;
}

static void forget(struct read_set *r)
{
    struct skip_node *node = r->ranges.heads[0];
    uint64_t random = r->ranges.random;

    while (node) {
        struct skip_node *next = skip_next(node);

        range_free(r, range_of(node));
        node = next;
    }
    r->ranges = (struct skiplist){.random = random};
    r->last = NULL;
    r->bytes = 0;
}

void sdb__reads_init(struct read_set *r, const sdb_allocator *allocator)
{
    *r = (struct read_set){.allocator = allocator, .limit = READS_BYTES_MOST};
    r->ranges.random = (uint64_t)(uintptr_t)r;
}

void sdb__reads_reset(struct read_set *r, bool active, bool sees)
{
    forget(r);
    if (r->sees) memset(r->seen, 0, sizeof r->seen);
    r->everything = false;
    r->active = active;
    r->sees = sees;
}

void sdb__reads_done(struct read_set *r)
{
    forget(r);
    sdb__buffer_done(r->allocator, &r->room);
}

/* When nothing else is left. */
static void take_everything(struct read_set *r)
{
    forget(r);
    r->everything = true;
}

static void remove_range(struct read_set *r, struct read_range *range)
{
    sdb__skip_remove(&r->ranges, range->node);
    r->bytes -= cost(range);
    if (r->last == range) r->last = NULL;
    range_free(r, range);
}

/* Lets a range reach as far as another, whose end it may take away. */
static void take_end(struct read_range *range, struct read_range *from)
{
    struct buffer upper = range->upper;

    if (!range->has_upper) return;
    if (from->has_upper && compare(view(&from->upper), view(&upper)) <= 0) return;
    range->upper = from->upper;
    range->has_upper = from->has_upper;
    from->upper = upper;
}

/* Swallows the ranges behind this one that it overlaps or touches. */
static void swallow(struct read_set *r, struct read_range *range)
{
    struct read_range *next;

    while ((next = neighbour(range)) != NULL &&
           (!range->has_upper || compare(view(&next->lower), view(&range->upper)) <= 0)) {
        take_end(range, next); /* the costs of both together stay the same */
        remove_range(r, next);
    }
}

/* Joins each second range with the one before it. False: there was nothing to join. */
static bool thin_out(struct read_set *r)
{
    bool joined = false;

    for (struct read_range *range = first_range(r); range;) {
        struct read_range *next = neighbour(range);
        struct skip_node *after;

        if (next) {
            take_end(range, next);
            remove_range(r, next);
            joined = true;
        }
        after = skip_next(range->node);
        range = after ? range_of(after) : NULL;
    }
    return joined;
}

static struct read_range *make_range(struct read_set *r, uint32_t keyspace)
{
    unsigned height = sdb__skip_height(&r->ranges);
    struct skip_node *node = sdb__mem_zalloc(r->allocator, 1,
                                             skip_node_size(height) + sizeof(struct read_range));
    struct read_range *range;

    if (!node) return NULL;
    node->levels = height;
    node->group = keyspace;
    range = range_of(node);
    range->node = node;
    range->has_upper = true; /* and it is the empty string: before all keys */
    return range;
}

static bool set_lower(struct read_set *r, struct read_range *range, struct bytes lower)
{
    range->lower.size = 0;
    if (sdb__buffer_append(r->allocator, &range->lower, lower.data, lower.size) != SDB_OK)
        return false;
    range->node->key = range->lower.data;
    range->node->key_size = range->lower.size;
    return true;
}

static bool reaches(const struct read_range *range, struct bytes key)
{
    return !range->has_upper || compare(key, view(&range->upper)) <= 0;
}

/*
 * The range that `lower` lies in, or at the end of which it lies; or NULL, and *out_next is the one
 * behind it, of whatever keyspace.
 */
static struct read_range *find(const struct read_set *r, uint32_t keyspace, struct bytes lower,
                               struct read_range **out_next)
{
    struct skip_node *node, *next;
    struct read_range *range = r->last;

    if (range && range->node->group == keyspace && compare(view(&range->lower), lower) <= 0 &&
        reaches(range, lower))
        return range;
    node = sdb__skip_seek_before(&r->ranges, keyspace, lower.data, lower.size);
    next = node ? skip_next(node) : r->ranges.heads[0];
    *out_next = next ? range_of(next) : NULL;
    if (next && next->group == keyspace && compare(view(&range_of(next)->lower), lower) == 0)
        return *out_next;
    return node && node->group == keyspace && reaches(range_of(node), lower) ? range_of(node)
                                                                             : NULL;
}

/* A range from `lower` on, before `next`, with no end of its own yet; NULL: no memory. */
static struct read_range *begin(struct read_set *r, uint32_t keyspace, struct bytes lower,
                                bool has_upper, struct read_range *next)
{
    struct read_range *range;

    if (next && next->node->group == keyspace &&
        (!has_upper || compare(view(&next->lower), view(&r->room)) <= 0)) {
        size_t before = cost(next);

        if (!set_lower(r, next, lower)) return NULL; /* it grows downwards */
        r->bytes += cost(next) - before;
        return next;
    }
    range = make_range(r, keyspace);
    if (!range) return NULL;
    if (!set_lower(r, range, lower)) {
        range_free(r, range);
        return NULL;
    }
    sdb__skip_insert(&r->ranges, range->node);
    r->bytes += cost(range);
    return range;
}

/* Lets a range end at the room's key (`has_upper`), or nowhere. */
static void extend(struct read_set *r, struct read_range *range, bool has_upper)
{
    size_t before = cost(range);

    if (!range->has_upper) return;
    if (!has_upper) {
        range->has_upper = false;
    } else if (compare(view(&r->room), view(&range->upper)) > 0) {
        struct buffer upper = range->upper;

        range->upper = r->room;
        r->room = upper;
        r->bytes += cost(range) - before;
    }
}

void sdb__reads_add(struct read_set *r, uint32_t keyspace, struct bytes lower, enum read_end end,
                    struct bytes upper)
{
    struct read_range *range, *next = NULL;

    if (!r->active || r->everything) return;
    r->room.size = 0;
    if (end != READ_TO_END) {
        int order = compare(lower, upper);

        if (order > 0 || (order == 0 && end == READ_WITHOUT)) return; /* it holds no key */
        if (sdb__buffer_append(r->allocator, &r->room, upper.data, upper.size) != SDB_OK ||
            (end == READ_WITH && /* nothing lies between a key and this */
             sdb__buffer_append(r->allocator, &r->room, "", 1) != SDB_OK)) {
            take_everything(r);
            return;
        }
    }
    range = find(r, keyspace, lower, &next);
    if (!range) range = begin(r, keyspace, lower, end != READ_TO_END, next);
    if (!range) {
        take_everything(r);
        return;
    }
    extend(r, range, end != READ_TO_END);
    r->last = range;
    swallow(r, range);
    while (r->bytes > r->limit)
        if (!thin_out(r)) {
            take_everything(r);
            return;
        }
}

/* The two places of a key in the filter. */
static void places(uint32_t keyspace, struct bytes key, unsigned out_bits[2])
{
    uint64_t digest = sdb__digest(key.data, key.size, keyspace);

    out_bits[0] = (unsigned)(digest % (READS_SEEN_WORDS * 64));
    out_bits[1] = (unsigned)((digest >> 32) % (READS_SEEN_WORDS * 64));
}

void sdb__reads_see(struct read_set *r, uint32_t keyspace, struct bytes key)
{
    unsigned bits[2];

    places(keyspace, key, bits);
    for (unsigned i = 0; i < 2; i++) r->seen[bits[i] / 64] |= UINT64_C(1) << bits[i] % 64;
}

bool sdb__reads_may_have_seen(const struct read_set *r, uint32_t keyspace, struct bytes key)
{
    unsigned bits[2];

    places(keyspace, key, bits);
    return (r->seen[bits[0] / 64] >> bits[0] % 64 & 1) &&
           (r->seen[bits[1] / 64] >> bits[1] % 64 & 1);
}

const struct read_range *sdb__reads_next(const struct read_set *r, const struct read_range *after,
                                         struct read_view *out_view)
{
    struct skip_node *node = after ? skip_next(after->node) : NULL;
    const struct read_range *range = after ? (node ? range_of(node) : NULL) : first_range(r);

    if (!range) return NULL;
    *out_view = (struct read_view){range->node->group, range->has_upper, view(&range->lower),
                                   view(&range->upper)};
    return range;
}
