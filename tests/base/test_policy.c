/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_policy.c: claims about replacement policies (engine/base/policy.h), held against models that
 * keep every order in a plain list and search it.
 */
#include "engine/base/policy.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"
#include "engine/base/ghost.h"
#include "engine/base/mem.h"
#include "tests/lib/suite.h"

#define OK(call) ck_assert_int_eq(call, SDB_OK)

enum { SLOTS = 40, KEYS = 130, KINDS = SDB_CACHE_FIFO + 1, STEPS = 20000 };

static const sdb_allocator *const heap = &sdb__mem_default;

/* ---- the model: lists of slots, oldest first ---- */

struct list {
    uint32_t at[4 * KEYS];
    uint32_t count;
};

static void append(struct list *l, uint32_t value) { l->at[l->count++] = value; }

static int index_of(const struct list *l, uint32_t value)
{
    for (uint32_t i = 0; i < l->count; i++)
        if (l->at[i] == value) return (int)i;
    return -1;
}

static void cut_at(struct list *l, uint32_t at)
{
    memmove(l->at + at, l->at + at + 1, (l->count - at - 1) * sizeof *l->at);
    l->count--;
}

static bool cut(struct list *l, uint32_t value)
{
    int at = index_of(l, value);

    if (at >= 0) cut_at(l, (uint32_t)at);
    return at >= 0;
}

struct model {
    sdb_cache_policy kind;
    struct list main, small, ghosts; /* ghosts: keys; UINT32_MAX where one was taken out */
    uint32_t hand;                   /* SIEVE: index in main; 0 is the oldest */
    unsigned uses[SLOTS];
    uint64_t total[SLOTS], last[SLOTS], now, most;
    uint32_t key[SLOTS];
};

static bool model_ghost_take(struct model *m, uint32_t key)
{
    int at = index_of(&m->ghosts, key);

    if (at >= 0) m->ghosts.at[at] = UINT32_MAX;
    return at >= 0;
}

static void model_insert(struct model *m, uint32_t slot, uint32_t key)
{
    m->uses[slot] = 0;
    m->total[slot] = 0;
    m->last[slot] = ++m->now;
    m->key[slot] = key;
    append(m->kind == SDB_CACHE_S3FIFO && !model_ghost_take(m, key) ? &m->small : &m->main, slot);
}

static void model_hit(struct model *m, uint32_t slot)
{
    if (++m->total[slot] > m->most) m->most = m->total[slot];
    m->last[slot] = ++m->now;
    if (m->kind == SDB_CACHE_LRU) {
        ck_assert(cut(&m->main, slot));
        append(&m->main, slot);
    } else if (m->uses[slot] < 3) {
        m->uses[slot]++;
    }
}

static void model_leave(struct model *m, uint32_t slot)
{
    int at = index_of(&m->main, slot);

    if (at < 0) {
        ck_assert(cut(&m->small, slot));
        return;
    }
    if ((uint32_t)at < m->hand) m->hand--;
    cut_at(&m->main, (uint32_t)at);
    if (m->hand >= m->main.count) m->hand = 0;
}

static uint32_t model_second_chance(struct model *m, bool forget)
{
    for (;;) {
        uint32_t slot = m->main.at[0];

        if (m->uses[slot] == 0) return slot;
        m->uses[slot] = forget ? 0 : m->uses[slot] - 1;
        cut_at(&m->main, 0);
        append(&m->main, slot);
    }
}

static uint32_t model_s3fifo(struct model *m)
{
    uint32_t all = m->main.count + m->small.count, tenth = all / 10 ? all / 10 : 1;

    while (m->small.count >= tenth || m->main.count == 0) {
        uint32_t slot = m->small.at[0];

        if (m->uses[slot] < 2) return slot;
        cut_at(&m->small, 0);
        append(&m->main, slot);
        m->uses[slot] = 0;
        if (m->main.count > all - tenth) break;
    }
    return model_second_chance(m, false);
}

static uint32_t model_victim(struct model *m)
{
    uint32_t best = m->main.at[0];

    switch (m->kind) {
    case SDB_CACHE_S3FIFO: return model_s3fifo(m);
    case SDB_CACHE_CLOCK: return model_second_chance(m, true);
    case SDB_CACHE_SIEVE:
        for (;; m->hand++) {
            if (m->hand >= m->main.count) m->hand = 0;
            if (!m->uses[m->main.at[m->hand]]) return m->main.at[m->hand];
            m->uses[m->main.at[m->hand]] = 0;
        }
    case SDB_CACHE_LFU:
        for (uint32_t i = 1; i < m->main.count; i++) {
            uint32_t s = m->main.at[i];

            if (m->total[s] < m->total[best] ||
                (m->total[s] == m->total[best] && m->last[s] < m->last[best]))
                best = s;
        }
        return best;
    default: return best;
    }
}

static void model_gone(struct model *m, uint32_t slot)
{
    if (m->kind == SDB_CACHE_S3FIFO && index_of(&m->small, slot) >= 0) {
        append(&m->ghosts, m->key[slot]);
        if (m->ghosts.count > SLOTS - SLOTS / 10) cut_at(&m->ghosts, 0);
    }
    model_leave(m, slot);
}

static void model_stay(struct model *m, uint32_t slot)
{
    bool was_small = index_of(&m->small, slot) >= 0;

    m->total[slot] = m->most;
    m->last[slot] = ++m->now;
    if (m->kind == SDB_CACHE_SIEVE) {
        m->hand = m->hand + 1 < m->main.count ? m->hand + 1 : 0;
        return;
    }
    model_leave(m, slot);
    append(m->kind == SDB_CACHE_S3FIFO && !was_small ? &m->small : &m->main, slot);
}

/* ---- both side by side ---- */

struct pair {
    struct model model;
    struct policy *policy;
    policy_uses uses[SLOTS];
    uint32_t slot_of[KEYS]; /* POLICY_NONE: not in the cache */
    struct list free;
};

static void pair_init(struct pair *p, sdb_cache_policy kind)
{
    memset(p, 0, sizeof *p);
    p->model.kind = kind;
    for (uint32_t i = 0; i < KEYS; i++) p->slot_of[i] = POLICY_NONE;
    for (uint32_t i = 0; i < SLOTS; i++) append(&p->free, i);
    OK(sdb__policy_new(heap, kind, SLOTS, p->uses, 1, &p->policy));
}

/* Asks both for a victim; now and then it cannot leave. */
static void pair_evict(struct pair *p, uint64_t *random)
{
    for (;;) {
        uint32_t wanted = model_victim(&p->model), slot = sdb__policy_victim(p->policy);

        ck_assert_uint_eq(slot, wanted);
        if (random_below(random, 8) == 0) {
            sdb__policy_stay(p->policy, slot);
            model_stay(&p->model, slot);
            continue;
        }
        p->slot_of[p->model.key[slot]] = POLICY_NONE;
        sdb__policy_gone(p->policy, slot);
        model_gone(&p->model, slot);
        append(&p->free, slot);
        return;
    }
}

static void pair_use(struct pair *p, uint32_t key, uint64_t *random)
{
    uint32_t slot = p->slot_of[key];

    if (slot != POLICY_NONE) {
        sdb__policy_hit(p->policy, slot);
        model_hit(&p->model, slot);
        return;
    }
    if (p->free.count == 0) pair_evict(p, random);
    slot = p->free.at[--p->free.count];
    p->slot_of[key] = slot;
    sdb__policy_insert(p->policy, slot, key);
    model_insert(&p->model, slot, key);
}

static void pair_drop(struct pair *p, uint32_t key)
{
    uint32_t slot = p->slot_of[key];

    if (slot == POLICY_NONE) return;
    sdb__policy_remove(p->policy, slot);
    model_leave(&p->model, slot);
    p->slot_of[key] = POLICY_NONE;
    append(&p->free, slot);
}

START_TEST(every_policy_chooses_as_its_model_does)
{
    const char *text = getenv("SEED");
    uint64_t seed = text && *text ? strtoull(text, NULL, 0) : 20231, random;
    struct pair pair;

    printf("%s: SEED=%llu\n", sdb__policy_name((sdb_cache_policy)_i), (unsigned long long)seed);
    (void)fflush(stdout);
    pair_init(&pair, (sdb_cache_policy)_i);
    random = seed;
    for (unsigned step = 0; step < STEPS; step++) {
        /* Few keys often, all of them rarely, and now and then a scan. */
        uint32_t key = (uint32_t)(random_below(&random, 3) ? random_below(&random, SLOTS / 2)
                                                           : random_below(&random, KEYS));

        if (random_below(&random, 50) == 0) pair_drop(&pair, key);
        if (random_below(&random, 300) == 0)
            for (uint32_t i = 0; i < KEYS; i++) pair_use(&pair, i, &random);
        pair_use(&pair, key, &random);
    }
    sdb__policy_free(pair.policy);
}
END_TEST

START_TEST(an_empty_policy_has_no_victim)
{
    policy_uses uses[2] = {0};
    struct policy *policy;

    for (int kind = 0; kind < KINDS; kind++) {
        OK(sdb__policy_new(heap, (sdb_cache_policy)kind, 2, uses, 1, &policy));
        ck_assert_uint_eq(sdb__policy_victim(policy), POLICY_NONE);
        sdb__policy_insert(policy, 1, 7);
        ck_assert_uint_eq(sdb__policy_victim(policy), 1);
        ck_assert_uint_eq(sdb__policy_victim(policy), POLICY_NONE); /* it is out */
        sdb__policy_stay(policy, 1);
        ck_assert_uint_eq(sdb__policy_victim(policy), 1);
        sdb__policy_gone(policy, 1);
        ck_assert_uint_eq(sdb__policy_victim(policy), POLICY_NONE);
        sdb__policy_free(policy);
    }
}
END_TEST

START_TEST(uses_noted_by_others_count_when_they_are_folded_in)
{
    struct { uint64_t other; policy_uses uses; } frames[4];
    static const sdb_cache_policy kinds[] = {SDB_CACHE_LRU, SDB_CACHE_LFU};
    struct policy *policy;

    for (unsigned k = 0; k < 2; k++) {
        memset(frames, 0, sizeof frames);
        OK(sdb__policy_new(heap, kinds[k], 4, &frames[0].uses, sizeof frames[0], &policy));
        for (uint32_t i = 0; i < 4; i++) sdb__policy_insert(policy, i, i);
        policy_touch(&frames[0].uses);
        policy_touch(&frames[2].uses);
        policy_touch(&frames[2].uses);
        sdb__policy_fold(policy);
        ck_assert_uint_eq(frames[2].uses, 0);
        policy_touch(&frames[1].uses); /* noted, not folded in: seen all the same */
        ck_assert_uint_eq(sdb__policy_victim(policy), 3);
        ck_assert_uint_eq(sdb__policy_victim(policy), 0);
        ck_assert_uint_eq(sdb__policy_victim(policy), kinds[k] == SDB_CACHE_LRU ? 2 : 1);
        sdb__policy_free(policy);
    }
}
END_TEST

START_TEST(a_counter_stops_at_its_most)
{
    policy_uses uses = 0;

    for (int i = 0; i < 300; i++) policy_touch(&uses);
    ck_assert_uint_eq(uses, POLICY_USES_MOST);
}
END_TEST

START_TEST(a_search_ends_though_all_are_in_use_all_the_time)
{
    policy_uses uses[SLOTS];
    struct policy *policy;

    for (int kind = 0; kind < KINDS; kind++) {
        OK(sdb__policy_new(heap, (sdb_cache_policy)kind, SLOTS, uses, 0, &policy));
        for (uint32_t i = 0; i < SLOTS; i++) sdb__policy_insert(policy, i, i);
        for (uint32_t i = 0; i < SLOTS; i++) { /* one counter stands for all */
            for (int j = 0; j < 3; j++) policy_touch(&uses[0]);
            ck_assert_uint_lt(sdb__policy_victim(policy), SLOTS);
        }
        sdb__policy_free(policy);
    }
}
END_TEST

START_TEST(who_asks_on_sees_every_slot)
{
    policy_uses uses[SLOTS] = {0};
    struct policy *policy;

    for (int kind = 0; kind < KINDS; kind++) {
        bool seen[SLOTS] = {false};
        uint32_t count = 0;

        OK(sdb__policy_new(heap, (sdb_cache_policy)kind, SLOTS, uses, 1, &policy));
        for (uint32_t i = 0; i < SLOTS; i++) sdb__policy_insert(policy, i, i);
        for (uint32_t i = 0; i < SLOTS / 2; i++) { /* half of them are in the main queue */
            uses[i] = 3;
            sdb__policy_stay(policy, sdb__policy_victim(policy));
        }
        memset(uses, 0, sizeof uses);
        for (uint32_t i = 0; i < 3 * SLOTS; i++) {
            uint32_t slot = sdb__policy_victim(policy);

            count += !seen[slot];
            seen[slot] = true;
            sdb__policy_stay(policy, slot);
        }
        ck_assert_uint_eq(count, SLOTS);
        sdb__policy_free(policy);
    }
}
END_TEST

START_TEST(ghosts_are_the_last_that_were_added)
{
    struct ghost ghost;

    OK(sdb__ghost_init(&ghost, heap, 100));
    for (uint64_t key = 0; key < 1000; key++) sdb__ghost_add(&ghost, key << 32);
    for (uint64_t key = 0; key < 900; key++) ck_assert(!sdb__ghost_take(&ghost, key << 32));
    sdb__ghost_add(&ghost, UINT64_C(950) << 32); /* again: the newest now */
    for (uint64_t key = 0; key < 99; key++) sdb__ghost_add(&ghost, key);
    ck_assert(!sdb__ghost_take(&ghost, UINT64_C(999) << 32));
    ck_assert(sdb__ghost_take(&ghost, UINT64_C(950) << 32));
    ck_assert(!sdb__ghost_take(&ghost, UINT64_C(950) << 32));
    for (uint64_t key = 0; key < 99; key++) ck_assert(sdb__ghost_take(&ghost, key));
    sdb__ghost_done(&ghost, heap);
}
END_TEST

/* ---- without memory ---- */

static void *refuse_later(void *context, void *memory, size_t size)
{
    long *left = context;

    if (size && (*left)-- <= 0) return NULL;
    return sdb__mem_default.resize(sdb__mem_default.context, memory, size);
}

START_TEST(refused_memory_leaves_nothing_behind)
{
    long left;
    sdb_allocator mean = {refuse_later, &left};
    policy_uses uses[SLOTS];
    struct policy *policy;

    for (int kind = 0; kind < KINDS; kind++) {
        for (long granted = 0;; granted++) {
            left = granted;
            if (sdb__policy_new(&mean, (sdb_cache_policy)kind, SLOTS, uses, 1, &policy) == SDB_OK)
                break;
            ck_assert_int_lt(granted, 10);
        }
        sdb__policy_free(policy);
    }
    sdb__policy_free(NULL);
    ck_assert_ptr_null(sdb__policy_name((sdb_cache_policy)KINDS));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("policy");
    TCase *tcase = tcase_create("policy");

    tcase_add_loop_test(tcase, every_policy_chooses_as_its_model_does, SDB_CACHE_S3FIFO, KINDS);
    tcase_add_test(tcase, an_empty_policy_has_no_victim);
    tcase_add_test(tcase, uses_noted_by_others_count_when_they_are_folded_in);
    tcase_add_test(tcase, a_counter_stops_at_its_most);
    tcase_add_test(tcase, a_search_ends_though_all_are_in_use_all_the_time);
    tcase_add_test(tcase, who_asks_on_sees_every_slot);
    tcase_add_test(tcase, ghosts_are_the_last_that_were_added);
    tcase_add_test(tcase, refused_memory_leaves_nothing_behind);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
