/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prop_btree.c: a B+tree agrees with a sorted array, whatever is done to it, while its pages are
 * evicted all the time.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"
#include "tests/btree/btree_fixture.h"
#include "tests/lib/suite.h"

enum { FRAMES = 64 };

/* How keys look. */
enum shape { SHORT, SEQUENTIAL, PREFIXED, AT_LIMIT, LONG, LAYERED, SHAPES };

static const uint32_t page_sizes[] = {4096, 8192, 65536};

struct source {
    uint64_t state;
    enum shape shape;
    size_t key_most;
    uint64_t next; /* of sequential keys */
    uint8_t *key;
};

static void fill_random(struct source *src, size_t from, size_t to, unsigned alphabet)
{
    for (size_t i = from; i < to; i++)
        src->key[i] = (uint8_t)(alphabet == 256 ? random_next(&src->state)
                                                : 'a' + random_below(&src->state, alphabet));
}

/* Some key that shares its first layers with others and has 0, 1 or 255 at the borders. */
static size_t draw_layered(struct source *src)
{
    static const uint8_t odd[] = {0, 1, 0xff};
    size_t most = GROVE_KEY_MOST / src->key_most, layers = random_below(&src->state, 5), size;

    if (random_below(&src->state, 60) == 0) layers = most - 1;
    size = layers * src->key_most;
    memset(src->key, 'x', size);
    if (layers && random_below(&src->state, 2)) /* turn off at some border */
        src->key[random_below(&src->state, layers) * src->key_most] =
            odd[random_below(&src->state, 3)];
    if (layers && random_below(&src->state, 4) == 0)
        src->key[size - 1] = odd[random_below(&src->state, 3)];
    for (size_t n = random_below(&src->state, 4); n > 0; n--)
        src->key[size++] = odd[random_below(&src->state, 3)];
    return size;
}

static struct bytes draw_key(struct source *src)
{
    uint64_t *state = &src->state;
    size_t size = 0;

    switch (src->shape) {
    case SHORT:
        size = random_below(state, 7);
        fill_random(src, 0, size, random_below(state, 4) ? 6 : 256);
        break;
    case SEQUENTIAL:
        size = 8;
        src->next += 1;
        put_u64(src->key, htobe64(random_below(state, 3) ? src->next
                                                         : random_below(state, src->next)));
        break;
    case PREFIXED:
        size = 20 + random_below(state, 4) * 30;
        memset(src->key, 'p', size);
        fill_random(src, size, size + 3, 5);
        size += 3;
        break;
    case AT_LIMIT:
        size = src->key_most - 1 + random_below(state, 3);
        memset(src->key, 'l', size);
        fill_random(src, random_below(state, 2) ? size - 3 : 0, size, 3);
        if (random_below(state, 4) == 0) src->key[size - 1] = 0;
        break;
    case LONG:
        size = random_below(state, 20) ? random_below(state, 3 * src->key_most)
                                       : random_below(state, GROVE_KEY_MOST + 1);
        memset(src->key, 'y', size);
        if (size > 4) fill_random(src, size - 4, size, 4);
        if (size > 2 * src->key_most && random_below(state, 2))
            src->key[src->key_most - random_below(state, 2)] = (uint8_t)random_below(state, 2);
        break;
    default:
        size = draw_layered(src);
        break;
    }
    return (struct bytes){src->key, size};
}

/* The largest value that stands in the leaf beside this key. */
static uint64_t inline_most(const struct grove *g, size_t key_size)
{
    uint64_t size = 0x3fff;

    while (!sdb__btree_is_inline(g->rig->page_size, key_size, size)) size--;
    return size;
}

static uint64_t draw_size(struct grove *g, struct source *src, size_t key_size)
{
    switch (random_below(&src->state, 40)) {
    case 0: return inline_most(g, key_size);
    case 1: return inline_most(g, key_size) + 1;
    case 2: return random_below(&src->state, inline_most(g, key_size) + 1);
    case 3: return 1 + random_below(&src->state, 20000) + inline_most(g, key_size);
    default: return random_below(&src->state, 60);
    }
}

static void change(struct grove *g, struct source *src, unsigned dels)
{
    struct bytes key = draw_key(src);
    bool refuse = random_below(&src->state, 50) == 0, is_there;

    (void)grove_find(g, key, &is_there);
    if (random_below(&src->state, 100) < dels) {
        if (g->count && random_below(&src->state, 2)) { /* something that is there */
            const struct entry *e = &g->entries[random_below(&src->state, g->count)];

            memcpy(src->key, e->key, e->key_size);
            key = (struct bytes){src->key, e->key_size};
        }
        ck_assert_int_eq(grove_del(g, key, refuse), refuse ? SDB_CANCELLED : SDB_OK);
    } else {
        ck_assert_int_eq(grove_put(g, key, draw_size(g, src, key.size), refuse),
                         refuse ? SDB_CANCELLED : SDB_OK);
    }
    grove_expect(g, key);
}

/* A bound of a range: most often a key that is there, or a beginning of one. */
static struct bytes draw_bound(struct grove *g, struct source *src, uint8_t *to)
{
    struct bytes key = draw_key(src);

    if (g->count && random_below(&src->state, 3)) {
        const struct entry *e = &g->entries[random_below(&src->state, g->count)];

        key = (struct bytes){e->key, e->key_size};
    }
    if (random_below(&src->state, 4) == 0) key.size = random_below(&src->state, key.size + 1);
    if (key.size) memcpy(to, key.data, key.size);
    if (key.size && random_below(&src->state, 6) == 0) to[key.size - 1]++;
    return (struct bytes){to, key.size};
}

/* Removes a range: from near to wide, and now and then all. */
static void cut(struct grove *g, struct source *src)
{
    static uint8_t rooms[2][GROVE_KEY_MOST + 64];
    struct bytes lower = draw_bound(g, src, rooms[0]), upper = draw_bound(g, src, rooms[1]);
    uint64_t kind = random_below(&src->state, 12);

    if (kind == 0) lower.size = 0;
    if (kind > 1 && kind < 8 && g->count) { /* near: a few keys on */
        bool found;
        size_t at = grove_find(g, lower, &found) + random_below(&src->state, 8);

        if (at >= g->count) at = g->count - 1;
        memcpy(rooms[1], g->entries[at].key, g->entries[at].key_size);
        upper.size = g->entries[at].key_size;
    }
    OK(grove_cut(g, lower, kind < 2 ? NULL : &upper));
    grove_expect(g, lower);
    (void)grove_check(g, true);
}

static void empty_tree(struct grove *g, struct source *src)
{
    uint64_t order = random_below(&src->state, 3);

    while (g->count) {
        size_t i = order == 0 ? 0 : order == 1 ? g->count - 1 : random_below(&src->state, g->count);

        memcpy(src->key, g->entries[i].key, g->entries[i].key_size);
        OK(grove_del(g, (struct bytes){src->key, g->entries[i].key_size}, false));
        if (g->count % 512 == 0) (void)grove_check(g, true);
    }
}

static struct source source_of(struct rig *rig, uint64_t seed, enum shape shape)
{
    struct source src = {.state = seed, .shape = shape,
                         .key_most = btree_key_most(rig->page_size)};

    src.key = malloc(GROVE_KEY_MOST + 64);
    ck_assert_ptr_nonnull(src.key);
    return src;
}

/* The tree is an empty root, and nothing else is in the database, in memory or on disk. */
static void expect_empty(struct rig *rig, struct grove *g)
{
    struct grove_census census = grove_check(g, true);
    struct pager_stats stats;

    ck_assert_uint_eq(census.pages, 1);
    ck_assert_uint_eq(census.entries, 0);
    OK(rig_checkpoint(rig));
    OK(rig_checkpoint(rig));
    rig_check_space(rig);
    sdb__pager_stats(rig->pager, &stats);
    ck_assert_uint_eq(stats.pages, 1);
    ck_assert_uint_eq(stats.extents, 0);
}

START_TEST(a_tree_agrees_with_a_sorted_array)
{
    uint64_t seed = rig_seed("btree", 1000) + (uint64_t)_i;
    uint32_t page_size = page_sizes[(unsigned)_i / SHAPES];
    unsigned steps = page_size == 65536 ? 400 : 900;
    static struct rig rig;
    struct source src;
    struct grove g;

    rig_init(&rig, false, seed, page_size, FRAMES);
    rig.verify = sdb__node_verify;
    rig_create(&rig);
    grove_init(&g, &rig);
    src = source_of(&rig, seed, (enum shape)((unsigned)_i % SHAPES));
    for (unsigned step = 1; step <= steps; step++) {
        change(&g, &src, step * 3 / steps == 1 ? 60 : 25);
        if (step % 100 == 0) grove_scan_from(&g, draw_key(&src), 30);
        if (step % 200) continue;
        (void)grove_check(&g, true);
        g.deep_values = step % 400 == 0;
        grove_scan(&g);
        if (random_below(&src.state, 2)) OK(rig_checkpoint(&rig));
        rig_check_space(&rig);
    }
    OK(rig_checkpoint(&rig));
    rig_reopen(&rig);
    g.tree.pager = rig.pager;
    atomic_store(&g.last_leaf, 0);
    g.deep_values = true;
    (void)grove_check(&g, true);
    grove_scan(&g);
    empty_tree(&g, &src);
    expect_empty(&rig, &g);
    grove_scan(&g);
    free(src.key);
    grove_done(&g);
    rig_done(&rig);
}
END_TEST

struct cuts_seen {
    unsigned values, roots;
    uint64_t root[16];
};

static sdb_status see_value(void *context, const struct btree_value *value)
{
    struct cuts_seen *seen = context;

    ck_assert_ptr_nonnull(value);
    seen->values++;
    return SDB_OK;
}

static sdb_status see_root(void *context, uint64_t root)
{
    struct cuts_seen *seen = context;

    ck_assert_uint_lt(seen->roots, 16);
    seen->root[seen->roots++] = root;
    return SDB_OK;
}

START_TEST(a_range_that_is_cut_off_is_gone_and_all_else_stays)
{
    uint64_t seed = rig_seed("btree cut", 3000) + (uint64_t)_i;
    uint32_t page_size = page_sizes[(unsigned)_i / SHAPES % 3];
    static struct rig rig;
    struct source src;
    struct grove g;

    rig_init(&rig, false, seed, page_size, 256);
    rig.verify = sdb__node_verify;
    rig_create(&rig);
    grove_init(&g, &rig);
    src = source_of(&rig, seed, (enum shape)((unsigned)_i % SHAPES));
    for (unsigned round = 0; round < 24; round++) {
        for (unsigned step = 0; step < 120; step++) change(&g, &src, 5);
        cut(&g, &src);
        if (random_below(&src.state, 4) == 0) OK(rig_checkpoint(&rig));
        if (round % 8 == 7) grove_scan(&g);
    }
    OK(grove_cut(&g, (struct bytes){NULL, 0}, NULL));
    expect_empty(&rig, &g);
    free(src.key);
    grove_done(&g);
    rig_done(&rig);
}
END_TEST

/* However large the range: nothing in it is read, and the tree is as full afterwards as before. */
START_TEST(a_cut_takes_time_by_its_edges)
{
    static struct rig rig;
    struct grove_census census;
    struct pager_stats before, after;
    struct grove g;
    uint8_t keys[2][8];
    struct bytes upper = {keys[1], 8};
    bool done = false;
    struct btree part;
    uint64_t count = 40000;
    struct cuts_seen seen = {0};

    rig_init(&rig, false, 1, 4096, 4096);
    rig.verify = sdb__node_verify;
    rig_create(&rig);
    grove_init(&g, &rig);
    for (uint64_t n = 0; n < count; n++) {
        put_u64(keys[0], htobe64(n));
        OK(grove_put(&g, (struct bytes){keys[0], 8}, 20, false));
    }
    census = grove_check(&g, true);
    ck_assert_uint_eq(census.height, 3);
    put_u64(keys[0], htobe64(count / 10));
    put_u64(keys[1], htobe64(count / 10 * 9));
    sdb__pager_stats(rig.pager, &before);
    OK(sdb__btree_cut(&g.tree, (struct bytes){keys[0], 8}, &upper, see_value, see_root, &seen));
    sdb__pager_stats(rig.pager, &after);
    ck_assert_uint_le(seen.values, 2 * 200);
    ck_assert_uint_le(seen.roots, 5);
    ck_assert_uint_le(after.hits + after.misses - before.hits - before.misses, 150);
    for (unsigned i = 0; i < seen.roots; i++, done = false) {
        part = (struct btree){.pager = rig.pager, .root = seen.root[i], .id = g.tree.id};
        while (!done) OK(sdb__btree_free_some(&part, &done));
    }
    OK(grove_cut(&g, (struct bytes){keys[0], 8}, &upper)); /* nothing more: now the model, too */
    census = grove_check(&g, true);
    ck_assert_uint_eq(census.entries, count / 10 * 2);
    ck_assert_uint_le(census.leaves, count / 10 * 2 / 80);
    grove_scan(&g);
    grove_done(&g);
    rig_done(&rig);
}
END_TEST

/* The estimate of the model's entries [from, to) is at most that part of it away. */
static void expect_estimate(struct grove *g, size_t from, size_t to, double most)
{
    struct bytes lower = {g->entries[from].key, g->entries[from].key_size}, upper = {0};
    uint64_t count;
    double error;

    if (to < g->count) upper = (struct bytes){g->entries[to].key, g->entries[to].key_size};
    OK(sdb__btree_estimate(&g->tree, lower, to < g->count ? &upper : NULL, &count));
    error = (double)count / (double)(to - from) - 1;
    ck_assert_msg(error <= most && error >= -most, "%llu instead of %zu", (unsigned long long)count,
                  to - from);
}

/* Values of any size: the sizes of leaves and nodes vary as much as they can. */
START_TEST(estimates_are_near_and_small_ones_exact)
{
    static struct rig rig;
    struct pager_stats before, after;
    uint64_t seed = rig_seed("btree estimate", 4000) + (uint64_t)_i;
    struct grove_census census;
    struct grove g;
    uint8_t key[8];
    uint64_t most = _i == 0 ? 20 : 250;

    rig_init(&rig, false, 1, 4096, 8192);
    rig.verify = sdb__node_verify;
    rig_create(&rig);
    grove_init(&g, &rig);
    for (unsigned n = 0; n < 20000; n++) {
        put_u64(key, random_next(&seed));
        OK(grove_put(&g, (struct bytes){key, 8}, _i == 0 ? most : random_below(&seed, most),
                     false));
    }
    census = grove_check(&g, true);
    ck_assert_uint_ge(census.height, 3);
    for (unsigned n = 0; n < 300; n++) {
        size_t size = 1 + random_below(&seed, n % 3 ? g.count : 10);
        size_t from = random_below(&seed, g.count - size + 1);

        expect_estimate(&g, from, from + size, size <= 10 ? 0 : _i == 0 ? 0.15 : 0.25);
    }
    sdb__pager_stats(rig.pager, &before);
    expect_estimate(&g, 0, g.count, _i == 0 ? 0.15 : 0.25);
    sdb__pager_stats(rig.pager, &after);
    ck_assert_uint_le(after.hits - before.hits, 3 * 64 * census.height);
    grove_done(&g);
    rig_done(&rig);
}
END_TEST

/* Long keys: layers in layers; an estimate need not be near, but must be an answer. */
START_TEST(estimates_go_through_layers)
{
    static struct rig rig;
    static uint8_t rooms[2][GROVE_KEY_MOST + 64];
    uint64_t seed = rig_seed("btree estimate in layers", 5000) + (uint64_t)_i;
    struct source src;
    struct grove g;

    rig_init(&rig, false, seed, 4096, 256);
    rig.verify = sdb__node_verify;
    rig_create(&rig);
    grove_init(&g, &rig);
    src = source_of(&rig, seed, _i % 2 ? LAYERED : LONG);
    for (unsigned step = 0; step < 600; step++) change(&g, &src, 10);
    for (unsigned n = 0; n < 200; n++) {
        struct bytes lower = draw_bound(&g, &src, rooms[0]), upper = draw_bound(&g, &src, rooms[1]);
        size_t at = random_below(&seed, g.count);
        uint64_t count;

        OK(sdb__btree_estimate(&g.tree, lower, n % 5 ? &upper : NULL, &count));
        ck_assert_uint_le(count, 100 * g.count);
        if (at + 1 < g.count) expect_estimate(&g, at, at + 1, 0);
    }
    free(src.key);
    grove_done(&g);
    rig_done(&rig);
}
END_TEST

START_TEST(a_layer_counts_as_what_it_holds)
{
    static struct rig rig;
    uint8_t key[300];
    uint64_t count;
    struct grove g;

    rig_init(&rig, false, 1, 4096, 256);
    rig.verify = sdb__node_verify;
    rig_create(&rig);
    grove_init(&g, &rig);
    memset(key, 'k', sizeof key);
    for (unsigned n = 0; n < 30; n++) { /* ten layers of three keys */
        key[0] = (uint8_t)(n / 3);
        key[299] = (uint8_t)(n % 3);
        OK(grove_put(&g, (struct bytes){key, sizeof key}, 5, false));
    }
    OK(sdb__btree_estimate(&g.tree, (struct bytes){NULL, 0}, NULL, &count));
    ck_assert_uint_eq(count, 30);
    grove_done(&g);
    rig_done(&rig);
}
END_TEST

START_TEST(a_tree_that_is_ended_leaves_nothing)
{
    uint64_t seed = rig_seed("btree end", 2000) + (uint64_t)_i;
    static struct rig rig;
    struct pager_stats stats;
    struct source src;
    struct grove g;
    bool done = false;

    rig_init(&rig, false, seed, page_sizes[(unsigned)_i / SHAPES % 3], FRAMES);
    rig.verify = sdb__node_verify;
    rig_create(&rig);
    grove_init(&g, &rig);
    src = source_of(&rig, seed, (enum shape)((unsigned)_i % SHAPES));
    for (unsigned step = 0; step < 500; step++) change(&g, &src, 10);
    OK(rig_checkpoint(&rig));
    for (unsigned calls = 0; !done; calls++) {
        ck_assert_uint_lt(calls, 100000);
        OK(sdb__btree_free_some(&g.tree, &done));
    }
    ck_assert_uint_eq(rig.pager->free_id_count, rig.pager->next_id - 1);
    rig.state.catalog_root = 0;
    OK(rig_checkpoint(&rig));
    OK(rig_checkpoint(&rig));
    rig_check_space(&rig);
    sdb__pager_stats(rig.pager, &stats);
    ck_assert_uint_eq(stats.pages, 0);
    ck_assert_uint_eq(stats.extents, 0);
    free(src.key);
    grove_done(&g);
    rig_done(&rig);
}
END_TEST

/* Puts the integers [from, to) in order. */
static void put_integers(struct grove *g, uint64_t from, uint64_t to)
{
    uint8_t key[8];

    for (uint64_t n = from; n < to; n++) {
        put_u64(key, htobe64(n));
        OK(grove_put(g, (struct bytes){key, 8}, 20, false));
    }
}

START_TEST(keys_behind_all_others_need_no_descent)
{
    static struct rig rig;
    struct pager_stats before, after;
    struct grove g;

    rig_init(&rig, false, 1, 4096, 1024);
    rig.verify = sdb__node_verify;
    rig_create(&rig);
    grove_init(&g, &rig);
    put_integers(&g, 0, 10000);
    ck_assert_uint_ge(grove_check(&g, true).height, 2);
    sdb__pager_stats(rig.pager, &before);
    put_integers(&g, 10000, 20000);
    sdb__pager_stats(rig.pager, &after);
    ck_assert_uint_le(after.hits - before.hits, 12000);
    grove_scan(&g);
    grove_done(&g);
    rig_done(&rig);
}
END_TEST

/* What was the last leaf goes in all ways that there are; then a key comes behind all others. */
START_TEST(a_last_leaf_that_has_gone_is_not_remembered)
{
    static struct rig rig;
    struct grove g;
    uint8_t key[8];

    rig_init(&rig, false, 1, 4096, 1024);
    rig.verify = sdb__node_verify;
    rig_create(&rig);
    grove_init(&g, &rig);
    for (uint64_t round = 0; round < 40; round++) {
        uint64_t from = round * 100000, count = 1 + round * 100;

        put_integers(&g, from, from + count);
        put_u64(key, htobe64(from + count * (round % 8) / 8));
        if (round % 3 == 0) /* cut off, and freed */
            OK(grove_cut(&g, (struct bytes){key, round % 2 ? 8 : 0}, NULL));
        for (uint64_t n = count; round % 3 == 1 && n-- > count / 2;) { /* merged away */
            put_u64(key, htobe64(from + n));
            OK(grove_del(&g, (struct bytes){key, 8}, false));
        }
        put_integers(&g, from + count, from + count + 1);
        (void)grove_check(&g, true);
        grove_scan(&g);
    }
    grove_done(&g);
    rig_done(&rig);
}
END_TEST

/* As above, but what was cut off is not freed before the next key comes. */
START_TEST(a_last_leaf_that_was_cut_off_takes_no_key)
{
    static struct rig rig;
    struct cuts_seen seen = {0};
    struct grove g;
    uint8_t key[8];

    for (unsigned all = 0; all < 2; all++) {
        struct bytes lower = {key, all ? 0 : 8};

        rig_init(&rig, false, 1, 4096, 1024);
        rig.verify = sdb__node_verify;
        rig_create(&rig);
        grove_init(&g, &rig);
        put_integers(&g, 0, 10000);
        put_u64(key, htobe64(10));
        OK(sdb__btree_cut(&g.tree, lower, NULL, see_value, see_root, &seen));
        put_integers(&g, 10000, 10001);
        put_u64(key, htobe64(10000));
        grove_expect(&g, (struct bytes){key, 8});
        grove_done(&g);
        rig_done(&rig);
    }
}
END_TEST

/* How keys in order look. */
enum order { INTEGERS, DECIMALS, STRINGS, URLS, ORDERS };

static int compare_texts(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* `count` keys of 64 bytes at most, in order; each is followed by a zero. */
static char (*make_ordered(enum order order, unsigned count, uint64_t *state))[64]
{
    static const char *const hosts[] = {"example.org", "www.example.com", "data.example.net"};
    char(*keys)[64] = calloc(count, sizeof *keys);

    ck_assert_ptr_nonnull(keys);
    for (unsigned i = 0; i < count; i++) {
        uint64_t random = random_next(state);

        if (order == DECIMALS) {
            (void)snprintf(keys[i], 64, "%016u", i);
        } else if (order == STRINGS) {
            for (unsigned n = 0; n < 4 + i % 17; n++)
                keys[i][n] = (char)('a' + random_below(state, 26));
        } else {
            (void)snprintf(keys[i], 64, "https://%s/%s/%u/%llx", hosts[random % 3],
                           random & 8 ? "articles" : "users", (unsigned)(random >> 8) % 300,
                           (unsigned long long)random >> 40);
        }
    }
    qsort(keys, count, sizeof *keys, compare_texts);
    return keys;
}

/*
 * Puts keys in ascending or descending order; the part of the leaves' bytes that is in use, but for
 * the two that the next keys would come to.
 */
static double fill_in_order(uint32_t page_size, enum order order, bool descending,
                            uint64_t value_size, bool varies)
{
    uint64_t seed = 77;
    unsigned count = 6000;
    char(*keys)[64] = make_ordered(order, count, &seed);
    struct grove_census census;
    static struct rig rig;
    struct grove g;

    rig_init(&rig, false, 1, page_size, FRAMES);
    rig.verify = sdb__node_verify;
    rig_create(&rig);
    grove_init(&g, &rig);
    for (unsigned i = 0; i < count; i++) {
        unsigned n = descending ? count - 1 - i : i;
        struct bytes key = {(uint8_t *)keys[n], strlen(keys[n])};
        uint8_t integer[8];

        if (order == INTEGERS) {
            put_u64(integer, htobe64(n));
            key = (struct bytes){integer, 8};
        }
        OK(grove_put(&g, key, varies ? random_below(&seed, value_size + 1) : value_size, false));
    }
    census = grove_check(&g, true);
    grove_scan(&g);
    grove_done(&g);
    rig_done(&rig);
    free(keys);
    ck_assert_uint_gt(census.leaves, 3);
    for (unsigned i = 0; i < 2; i++)
        census.leaf_bytes -= descending ? census.first[i] : census.last[i];
    return (double)census.leaf_bytes / ((double)(census.leaves - 2) * page_size);
}

START_TEST(keys_in_order_fill_their_pages)
{
    static const uint64_t value_sizes[] = {8, 100};
    enum order order = (enum order)(_i / 2);
    uint32_t page_size = page_sizes[_i % 2];

    for (unsigned i = 0; i < 4; i++) {
        double up = fill_in_order(page_size, order, false, value_sizes[i / 2], i % 2);
        double down = fill_in_order(page_size, order, true, value_sizes[i / 2], i % 2);

        printf("page %u, keys %d, values of%s %llu bytes: %.1f %% up, %.1f %% down\n", page_size,
               (int)order, i % 2 ? " up to" : "", (unsigned long long)value_sizes[i / 2],
               up * 100, down * 100);
        ck_assert_msg(up >= 0.95 && down >= 0.9, "%.3f up, %.3f down", up, down);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("btree properties");
    TCase *tcase = tcase_create("btree properties");

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, a_tree_agrees_with_a_sorted_array, 0, 3 * SHAPES);
    tcase_add_loop_test(tcase, a_tree_that_is_ended_leaves_nothing, 0, 3 * SHAPES);
    tcase_add_loop_test(tcase, a_range_that_is_cut_off_is_gone_and_all_else_stays, 0, 6 * SHAPES);
    tcase_add_test(tcase, a_cut_takes_time_by_its_edges);
    tcase_add_loop_test(tcase, estimates_are_near_and_small_ones_exact, 0, 2);
    tcase_add_test(tcase, a_layer_counts_as_what_it_holds);
    tcase_add_loop_test(tcase, estimates_go_through_layers, 0, 4);
    tcase_add_test(tcase, keys_behind_all_others_need_no_descent);
    tcase_add_test(tcase, a_last_leaf_that_has_gone_is_not_remembered);
    tcase_add_test(tcase, a_last_leaf_that_was_cut_off_takes_no_key);
    tcase_add_loop_test(tcase, keys_in_order_fill_their_pages, 0, 2 * ORDERS);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
