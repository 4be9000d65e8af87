/* SPDX-License-Identifier: Apache-2.0 */
/* test_node.c: claims about one page of a B+tree (index/btree/node.h), against a sorted array. */
#include "index/btree/node.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"
#include "engine/pager/superblock.h"
#include "index/btree/node_dense.h"
#include "tests/lib/suite.h"
#include "tests/pager/pager_fixture.h"

enum { MODEL_MOST = 2000, KEY_ROOM = 300, VALUE_ROOM = 600 };

struct pair {
    uint8_t key[KEY_ROOM];
    size_t key_size;
    uint8_t value[VALUE_ROOM];
    size_t value_size;
    enum node_kind kind;
};

/* A node and what it should hold; `common` is the beginning that all keys share. */
struct subject {
    struct node node;
    struct pair *pairs;
    unsigned count;
    uint8_t lower[KEY_ROOM], upper[KEY_ROOM];
    size_t common;
};

static struct subject s;

static void begin(uint32_t page_size, unsigned level, size_t common, bool is_last)
{
    struct bytes lower = {s.lower, is_last ? 0 : common}, upper = {s.upper, common + 1};

    for (size_t i = 0; i < common; i++) s.lower[i] = s.upper[i] = (uint8_t)(i * 3 + (i & 1));
    s.upper[common] = 0xff;
    s.common = is_last ? 0 : common;
    s.count = 0;
    s.node = (struct node){malloc(page_size), page_size};
    s.pairs = calloc(MODEL_MOST, sizeof *s.pairs);
    ck_assert(s.node.data && s.pairs);
    memset(s.node.data, 0xa5, page_size);
    sdb__node_init(s.node, level, 77, 1234, lower, is_last ? NULL : &upper);
}

static void end(void)
{
    free(s.node.data);
    free(s.pairs);
    memset(&s, 0, sizeof s);
}

static int compare(const struct pair *p, const uint8_t *key, size_t size)
{
    return compare_bytes(p->key, p->key_size, key, size);
}

/* The first pair whose key is >= key. */
static unsigned model_search(const uint8_t *key, size_t size, bool *out_found)
{
    unsigned i = 0;

    while (i < s.count && compare(&s.pairs[i], key, size) < 0) i++;
    *out_found = i < s.count && compare(&s.pairs[i], key, size) == 0;
    return i;
}

static void check(void)
{
    uint8_t key[PAGE_SIZE_MOST / 8];
    size_t used = 0;
    const char *wrong = sdb__node_verify(s.node.data, s.node.size, 1234);

    ck_assert_msg(!wrong, "%s", wrong);
    ck_assert_uint_eq(node_tree(s.node), 77);
    ck_assert_uint_eq(node_count(s.node), s.count);
    for (unsigned i = 0; i < s.count; i++) {
        enum node_kind kind = NODE_INLINE;
        size_t size = sdb__node_key(s.node, i, key);
        bool found;

        ck_assert_int_eq(compare(&s.pairs[i], key, size), 0);
        ck_assert_uint_eq(sdb__node_search(s.node, (struct bytes){key, size}, &found), i);
        ck_assert(found);
        if (node_level(s.node)) {
            ck_assert_uint_eq(node_child(s.node, i), get_u64(s.pairs[i].value));
        } else {
            struct bytes payload = node_payload(s.node, i, &kind);

            ck_assert_int_eq(compare_bytes(payload.data, payload.size, s.pairs[i].value,
                                           s.pairs[i].value_size), 0);
            ck_assert_int_eq(kind, s.pairs[i].kind);
            used += NODE_VALUE_HEAD;
        }
        used += NODE_SLOT + size - node_prefix_size(s.node) + s.pairs[i].value_size;
    }
    ck_assert_uint_eq(sdb__node_used(s.node), used);
}

/* The dense form of the node, in memory of its own of just that size. */
static uint8_t *make_dense(size_t *out_size)
{
    uint8_t *room = malloc(s.node.size), *dense;

    ck_assert_ptr_nonnull(room);
    *out_size = sdb__node_make_dense(s.node.data, s.node.size, room);
    ck_assert_uint_le(*out_size, s.node.size);
    dense = malloc(*out_size);
    ck_assert_ptr_nonnull(dense);
    memcpy(dense, room, *out_size);
    free(room);
    return dense;
}

/* What comes back from the dense form holds the same, with no byte wasted. */
static void check_dense(void)
{
    uint8_t *was = s.node.data, *page = malloc(s.node.size);
    size_t size;
    uint8_t *dense = make_dense(&size);

    ck_assert_ptr_nonnull(page);
    memset(page, 0xa5, s.node.size);
    ck_assert_ptr_null(sdb__node_from_dense(dense, size, page, s.node.size));
    ck_assert_uint_eq(get_u32(page + 8), 0);
    s.node.data = page;
    check();
    s.node.data = was;
    free(page);
    free(dense);
}

/* Whatever is made of the dense form, it is refused, or a page that verify can judge. */
static void spoil_dense(uint64_t *state)
{
    uint8_t *page = malloc(s.node.size);
    size_t size;
    uint8_t *dense = make_dense(&size);

    ck_assert_ptr_nonnull(page);
    for (unsigned i = 0; i < 50; i++) {
        size_t at = random_below(state, random_below(state, 2) ? size : NODE_HEADER);
        uint8_t was = dense[at];

        dense[at] = (uint8_t)random_next(state);
        if (!sdb__node_from_dense(dense, size, page, s.node.size))
            (void)sdb__node_verify(page, s.node.size, 1234);
        ck_assert_ptr_nonnull(
            sdb__node_from_dense(dense, random_below(state, size), page, s.node.size) ? "" : NULL);
        dense[at] = was;
    }
    free(page);
    free(dense);
}

/* A key with the common beginning and a short tail of bytes that are often 0, 1 or 255. */
static size_t draw_key(uint64_t *state, uint8_t *key)
{
    static const uint8_t odd[] = {0, 1, 0xfe, 'a'};
    size_t tail = random_below(state, random_below(state, 10) ? 8 : 40);

    memcpy(key, s.lower, s.common);
    for (size_t i = 0; i < tail; i++)
        key[s.common + i] = odd[random_below(state, sizeof odd)];
    return s.common + tail;
}

static struct pair draw_pair(uint64_t *state)
{
    struct pair pair = {.kind = NODE_INLINE};
    enum node_kind form = NODE_INLINE;

    pair.key_size = draw_key(state, pair.key);
    pair.value_size = random_below(state, random_below(state, 10) ? 20 : 200);
    if (random_below(state, 8) == 0) {
        pair.kind = NODE_EXTENT;
        pair.value_size = 16;
    }
    if (random_below(state, 8) == 0) {
        pair.value_size += NODE_EXPIRY_HEAD;
        form = pair.kind;
        pair.kind = NODE_EXPIRING;
    }
    if (node_level(s.node)) pair.value_size = NODE_CHILD;
    for (size_t i = 0; i < pair.value_size; i++) pair.value[i] = (uint8_t)random_next(state);
    if (pair.kind == NODE_EXPIRING && !node_level(s.node)) {
        pair.value[0] = (uint8_t)form;
        pair.value[1] |= 1; /* an expiry is not 0 */
    }
    return pair;
}

static size_t need_of(const struct pair *pair)
{
    return NODE_SLOT + pair->key_size - node_prefix_size(s.node) + pair->value_size +
           (node_level(s.node) ? 0 : NODE_VALUE_HEAD);
}

/* Inserts or replaces, if there is room. */
static void put(const struct pair *pair)
{
    struct bytes value = {pair->value, pair->value_size};
    bool found, found_there;
    unsigned i = model_search(pair->key, pair->key_size, &found);

    ck_assert_uint_eq(sdb__node_search(s.node, (struct bytes){pair->key, pair->key_size},
                                       &found_there), i);
    ck_assert_int_eq(found, found_there);
    if (s.count == MODEL_MOST) return;
    if (found && node_level(s.node)) {
        sdb__node_set_child(s.node, i, get_u64(pair->value));
    } else if (found) {
        if (sdb__node_room(s.node) + need_of(&s.pairs[i]) < need_of(pair)) return;
        sdb__node_replace(s.node, i, pair->kind, value);
    } else {
        if (sdb__node_room(s.node) < need_of(pair)) return;
        sdb__node_insert(s.node, i, (struct bytes){pair->key, pair->key_size}, pair->kind, value);
        memmove(&s.pairs[i + 1], &s.pairs[i], (s.count - i) * sizeof *s.pairs);
        s.count++;
    }
    s.pairs[i] = *pair;
}

static void drop(unsigned i)
{
    sdb__node_remove(s.node, i);
    memmove(&s.pairs[i], &s.pairs[i + 1], (s.count - i - 1) * sizeof *s.pairs);
    s.count--;
}

static void random_work(uint64_t *state, int steps, int removes)
{
    for (int step = 0; step < steps; step++) {
        struct pair pair = draw_pair(state);

        if (s.count > node_level(s.node) && (int)random_below(state, 100) < removes)
            drop((unsigned)random_below(state, s.count));
        else
            put(&pair);
        if (step % 32 == 0) check();
    }
    check();
    check_dense();
    spoil_dense(state);
}

START_TEST(random_changes_agree_with_the_model)
{
    static const uint32_t sizes[] = {4096, 8192, 65536};
    uint64_t state = rig_seed("node", 11) + (uint64_t)_i;

    begin(sizes[_i % 3], _i % 4 == 3 ? 1 : 0, (size_t)_i % 6, _i % 2);
    random_work(&state, 400, 20);
    random_work(&state, 400, 60);
    while (s.count > node_level(s.node)) drop((unsigned)random_below(&state, s.count));
    check();
    if (!node_level(s.node)) ck_assert_uint_eq(sdb__node_used(s.node), 0);
    random_work(&state, 300, 10);
    end();
}
END_TEST

START_TEST(any_key_can_be_searched_whatever_the_prefix)
{
    uint64_t state = 5;
    uint8_t key[KEY_ROOM];

    begin(4096, 0, (size_t)_i, false);
    random_work(&state, 200, 10);
    for (int n = 0; n < 3000; n++) {
        size_t size = draw_key(&state, key);
        bool found, expected;
        unsigned i;

        if (size && random_below(&state, 2)) key[random_below(&state, size)]++;
        if (size && random_below(&state, 3) == 0) size = random_below(&state, size);
        i = model_search(key, size, &expected);
        ck_assert_uint_eq(sdb__node_search(s.node, (struct bytes){key, size}, &found), i);
        ck_assert_int_eq(found, expected);
        ck_assert_uint_eq(sdb__node_route(s.node, (struct bytes){key, size}, true), i ? i - 1 : 0);
        ck_assert_uint_eq(sdb__node_route(s.node, (struct bytes){key, size}, false),
                          expected ? i : i ? i - 1 : 0);
    }
    end();
}
END_TEST

START_TEST(keys_that_begin_alike_are_found_without_fences_that_say_so)
{
    uint64_t state = rig_seed("node alike", 7) + (uint64_t)_i;
    uint8_t key[KEY_ROOM];

    begin(8192, (unsigned)_i % 2, (size_t)_i, true);
    s.common = (size_t)_i; /* of the keys; the fences have nothing in common */
    random_work(&state, 300, 10);
    for (int n = 0; n < 2000; n++) {
        size_t size = draw_key(&state, key);
        bool found, expected;
        unsigned i;

        if (size && random_below(&state, 2))
            key[random_below(&state, size)] ^= (uint8_t)(1 + random_below(&state, 3));
        if (size && random_below(&state, 3) == 0) size = random_below(&state, size);
        i = model_search(key, size, &expected);
        ck_assert_uint_eq(sdb__node_search(s.node, (struct bytes){key, size}, &found), i);
        ck_assert_int_eq(found, expected);
    }
    end();
}
END_TEST

START_TEST(holes_are_closed_when_their_room_is_needed)
{
    struct pair pair = {.key_size = 2, .value_size = 100};

    begin(4096, 0, 0, true);
    for (unsigned i = 0; sdb__node_room(s.node) >= need_of(&pair); i++) {
        pair.key[0] = (uint8_t)(i >> 4);
        pair.key[1] = (uint8_t)i;
        put(&pair);
    }
    for (unsigned i = 0; i < s.count; i++) drop(i);
    ck_assert_uint_gt(s.count, 10);
    pair.key[0] = 0xf0;
    pair.value_size = 590; /* larger than any one hole */
    put(&pair);
    check();
    pair.value_size = 300; /* a replacement that needs the room of what it replaces */
    put(&pair);
    check();
    end();
}
END_TEST

START_TEST(the_empty_key_is_a_key)
{
    struct pair pair = {.key_size = 0, .value_size = 3};

    begin(4096, 0, 0, false);
    put(&pair);
    check();
    pair.key[0] = 0;
    pair.key_size = 1;
    put(&pair);
    ck_assert_uint_eq(s.count, 2);
    check();
    end();
}
END_TEST

START_TEST(copies_between_nodes_of_other_fences_keep_every_cell)
{
    uint64_t state = rig_seed("node copy", 3);

    for (size_t common = 0; common < 6; common++) {
        uint8_t memory[4096], low[KEY_ROOM], high[KEY_ROOM], key[512], other[512];
        struct node wide = {memory, sizeof memory};
        struct bytes lower = {low, 1}, upper = {high, 1};
        unsigned from;

        begin(4096, common == 5, common, false);
        random_work(&state, 120, 10);
        low[0] = s.common ? s.lower[0] : 0;
        high[0] = (uint8_t)(low[0] + 1);
        from = s.count / 3;
        sdb__node_init(wide, node_level(s.node), 77, 1234, lower, s.common ? &upper : NULL);
        if (!sdb__node_copy(wide, s.node, from, s.count)) {
            ck_assert_uint_lt(node_prefix_size(wide), s.common);
            end();
            continue;
        }
        ck_assert_ptr_null(sdb__node_verify(memory, sizeof memory, 1234));
        ck_assert_uint_eq(node_count(wide), s.count - from);
        for (unsigned i = from; i < s.count; i++) {
            size_t size = sdb__node_key(s.node, i, key);

            ck_assert_uint_eq(sdb__node_key(wide, i - from, other), size);
            ck_assert_mem_eq(key, other, size);
        }
        end();
    }
}
END_TEST

START_TEST(a_copy_that_does_not_fit_says_so)
{
    uint8_t memory[4096], low[1] = {0}, high[1] = {1};
    struct node wide = {memory, sizeof memory};
    struct bytes lower = {low, 1}, upper = {high, 1};
    struct pair pair = {.key_size = 100, .value_size = 0};

    begin(4096, 0, 90, false);
    memcpy(pair.key, s.lower, 90);
    for (unsigned i = 0; sdb__node_room(s.node) >= need_of(&pair); i++) {
        pair.key[98] = (uint8_t)(i >> 8);
        pair.key[99] = (uint8_t)i;
        put(&pair);
    }
    check();
    sdb__node_init(wide, 0, 77, 1234, lower, &upper);
    ck_assert(!sdb__node_copy(wide, s.node, 0, s.count));
    end();
}
END_TEST

/* Everything that a reader or writer of a verified node does must stay within its page. */
static void use_everything(struct node n)
{
    static uint8_t key[PAGE_SIZE_MOST / 8], scratch_page[PAGE_SIZE_MOST];
    struct node scratch = {scratch_page, n.size};
    struct bytes upper = node_upper(n), lower = node_lower(n);
    uint64_t sum = 0;
    bool found;

    for (unsigned i = 0; i < node_count(n); i++) {
        size_t size = sdb__node_key(n, i, key);
        enum node_kind kind = NODE_INLINE;

        (void)sdb__node_search(n, (struct bytes){key, size}, &found);
        if (node_level(n)) {
            sum += node_child(n, i);
        } else {
            struct bytes payload = node_payload(n, i, &kind);

            for (size_t b = 0; b < payload.size; b++) sum += payload.data[b];
        }
    }
    ck_assert_uint_lt(sdb__node_used(n), n.size + (sum == 1));
    sdb__node_init(scratch, node_level(n), node_tree(n), node_id(n), lower,
                   node_is_last(n) ? NULL : &upper);
    (void)sdb__node_copy(scratch, n, 0, node_count(n));
    if (node_count(n)) sdb__node_remove(n, node_count(n) / 2);
    if (sdb__node_room(n) >= 300 && !node_level(n)) {
        size_t size = lower.size;

        memcpy(key, lower.data, size);
        (void)sdb__node_search(n, (struct bytes){key, size}, &found);
        if (!found) sdb__node_insert(n, 0, (struct bytes){key, size}, NODE_INLINE,
                                     (struct bytes){key, 0});
    }
}

START_TEST(damage_is_rejected_or_harmless)
{
    uint64_t state = rig_seed("node damage", 17) + (uint64_t)_i;
    uint8_t *copy;
    unsigned rejected = 0, harmless = 0;

    begin(4096, _i % 3 == 2, (size_t)_i % 4, _i % 2);
    random_work(&state, 200, 20);
    copy = malloc(4096); /* of its own, so that a step outside is seen */
    ck_assert_ptr_nonnull(copy);
    for (int n = 0; n < 2500; n++) {
        uint64_t bytes = 1 + random_below(&state, 3);

        memcpy(copy, s.node.data, 4096);
        for (uint64_t b = 0; b < bytes; b++) {
            uint64_t area = random_below(&state, 3), at;

            at = area == 0 ? random_below(&state, NODE_HEADER)
                 : area == 1 ? random_below(&state, NODE_HEADER + NODE_SLOT * (s.count + 1u))
                             : random_below(&state, 4096);
            if (random_below(&state, 2))
                copy[at] = (uint8_t)random_next(&state);
            else
                copy[at] ^= (uint8_t)(1 << random_below(&state, 8));
        }
        if (sdb__node_verify(copy, 4096, 1234)) {
            rejected++;
            continue;
        }
        harmless++;
        use_everything((struct node){copy, 4096});
    }
    ck_assert_uint_gt(rejected, 500);
    ck_assert_uint_gt(harmless, 10);
    free(copy);
    end();
}
END_TEST

/* One kind of damage: what is put where, and that it is seen. */
static void damage(size_t at, size_t size, uint64_t value, const char *expected)
{
    uint8_t copy[4096];
    const char *wrong;

    memcpy(copy, s.node.data, sizeof copy);
    if (size == 2) put_u16(copy + at, (uint16_t)value);
    else if (size == 4) put_u32(copy + at, (uint32_t)value);
    else if (size == 8) put_u64(copy + at, value);
    else copy[at] = (uint8_t)value;
    wrong = sdb__node_verify(copy, sizeof copy, 1234);
    ck_assert_msg(wrong && strcmp(wrong, expected) == 0, "damage at %zu: %s, not %s", at,
                  wrong ? wrong : "nothing", expected);
}

START_TEST(each_kind_of_damage_has_a_name)
{
    uint64_t state = 23;
    const uint8_t *slot;
    size_t cell;

    begin(4096, 0, 3, false);
    random_work(&state, 100, 10);
    slot = node_slot(s.node, 1);
    cell = get_u16(slot + 4);
    damage(24, 8, 1235, "it is another page");
    damage(14, 2, 4096, "a fence is too long");
    damage(16, 2, 300, "a fence is too long");
    damage(2, 2, 4000, "its heap lies outside the page");
    damage(4, 4, 4095, "its heap lies outside the page");
    damage(12, 2, 2, "its prefix is not that of its fences");
    damage(8, 4, 1, "its space does not add up");
    damage(4096 - 3, 1, 1, "its prefix is not that of its fences");
    damage((size_t)(slot - s.node.data), 4, get_u32(slot) + 1, "a slot's head is not its key's");
    damage((size_t)(slot - s.node.data) + 4, 2, 40, "a cell lies outside the page");
    damage((size_t)(slot - s.node.data) + 6, 2, 300, "a key is too long");
    damage(cell + get_u16(slot + 6), 2, 0x3fff, "a value lies outside the page");
    damage(cell + get_u16(slot + 6), 2,
           0xc000 | (get_u16(s.node.data + cell + get_u16(slot + 6)) & 0x3fff),
           "a value has an unknown form");
    end();
    begin(4096, 1, 3, false);
    ck_assert_str_eq(sdb__node_verify(s.node.data, 4096, 1234), "an inner node without children");
    end();
}
END_TEST

START_TEST(keys_outside_the_fences_are_rejected)
{
    struct pair pair = {.key_size = 2, .value_size = 8};
    struct node n;
    uint8_t low[1] = {10}, high[1] = {20};
    struct bytes lower = {low, 1}, upper = {high, 1};

    begin(4096, 0, 0, true);
    n = s.node;
    for (unsigned i = 0; i < 3; i++) {
        static const uint8_t first[] = {9, 15, 20};

        sdb__node_init(n, 0, 77, 1234, lower, &upper);
        pair.key[0] = first[i];
        sdb__node_insert(n, 0, (struct bytes){pair.key, 1}, NODE_INLINE,
                         (struct bytes){pair.value, 8});
        if (i == 1) ck_assert_ptr_null(sdb__node_verify(n.data, n.size, 1234));
        else ck_assert_str_eq(sdb__node_verify(n.data, n.size, 1234),
                              "its keys lie outside its fences");
    }
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("node");
    TCase *tcase = tcase_create("node");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, random_changes_agree_with_the_model, 0, 12);
    tcase_add_loop_test(tcase, any_key_can_be_searched_whatever_the_prefix, 0, 6);
    tcase_add_loop_test(tcase, keys_that_begin_alike_are_found_without_fences_that_say_so, 0, 24);
    tcase_add_test(tcase, holes_are_closed_when_their_room_is_needed);
    tcase_add_test(tcase, the_empty_key_is_a_key);
    tcase_add_test(tcase, copies_between_nodes_of_other_fences_keep_every_cell);
    tcase_add_test(tcase, a_copy_that_does_not_fit_says_so);
    tcase_add_loop_test(tcase, damage_is_rejected_or_harmless, 0, 6);
    tcase_add_test(tcase, each_kind_of_damage_has_a_name);
    tcase_add_test(tcase, keys_outside_the_fences_are_rejected);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
