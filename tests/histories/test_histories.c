/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_histories.c: what threads see of sdb, recorded and judged.
 *
 * Lists: threads append to a few keys and read them, in transactions that are now and then given
 * up; the history must be of the level that the transactions promise. A register: threads set it,
 * without a transaction or in a batch, and compare-and-set it in a transaction; what is read by
 * sdb_get_copy must be linearizable with that, and so must what is read by transactions, and by
 * both in turns.
 *
 * SEED repeats the choices (not the interleaving), MS_EACH makes it longer.
 */
#include "tests/kv/kv_fixture.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/clock.h"
#include "tests/histories/linearizability.h"
#include "tests/histories/txn_history.h"

enum {
    THREADS = 4,
    KEYS = 4,          /* in use at a time; each list has a new key after a while */
    LIST_MOST = 1024,  /* elements; far more than a key gets */
    KEY_TXNS = 600,    /* transactions until all keys are new */
    STEPS = 5,         /* of a transaction, at most */
    LARGE = 6000,      /* bytes before the elements of every fourth key: an extent */
    FILLERS = 20       /* keys that nobody reads, between the keys of a wide transaction */
};

/* A way to run, and what it promises. A new kind of transaction is a new row. */
static const struct way {
    const char *name;
    bool in_memory;
    unsigned open_flags, txn_flags;
    const char *level;
    bool merges; /* appends do not look at the list */
} ways[] = {
    {"in memory", true, 0, SDB_TXN_WRITE, "strong-snapshot-isolation", false},
    {"on disk", false, 0, SDB_TXN_WRITE, "strong-snapshot-isolation", false},
    {"on disk, without threads", false, SDB_OPEN_NO_THREADS, SDB_TXN_WRITE,
     "strong-snapshot-isolation", false},
    {"in memory, serializable", true, 0, SDB_TXN_WRITE | SDB_TXN_SERIALIZABLE,
     "strict-serializable", false},
    {"on disk, serializable", false, SDB_OPEN_SERIALIZABLE, SDB_TXN_WRITE, "strict-serializable",
     false},
    {"in memory, serializable, merging", true, 0, SDB_TXN_WRITE | SDB_TXN_SERIALIZABLE,
     "strict-serializable", true},
    {"on disk, serializable, merging", false, SDB_OPEN_SERIALIZABLE, SDB_TXN_WRITE,
     "strict-serializable", true},
};

static const struct way *way;
static struct kv_folder folder;
static sdb_db *db;
static sdb_keyspace *lists;
static uint64_t seed, until_ns;
static _Atomic uint64_t place;       /* of the last event */
static _Atomic uint32_t begun, last; /* transactions, and the last element */
static struct txn_history recorded[THREADS];

static void open_db(void)
{
    sdb_options options = SDB_OPTIONS_INIT;

    options.flags = way->open_flags;
    options.cache_bytes = MIB;
    options.checkpoint_bytes = MIB;
    options.page_size = 4096;
    options.durability = SDB_DURABILITY_NONE;
    OK(sdb_open(way->in_memory ? ":memory:" : kv_in(&folder, "t.sdb"), &options, &db));
    lists = kv_keyspace(db, "lists");
}

static void begin(int number, uint64_t otherwise)
{
    way = &ways[number];
    seed = kv_seed("test_histories", otherwise);
    if (!way->in_memory) kv_folder_make(&folder);
    open_db();
    until_ns = sdb__clock_now_ns() + kv_number("MS_EACH", 700) * UINT64_C(1000000);
}

static void end(void)
{
    kv_check_sound(db);
    OK(sdb_close(db));
    if (!way->in_memory) kv_folder_remove(&folder);
}

static void run_threads(void *(*main_of)(void *))
{
    pthread_t threads[THREADS];

    for (uintptr_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, main_of, (void *)i), 0);
    for (unsigned i = 0; i < THREADS; i++) ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}

/* ---- lists -------------------------------------------------------------------------------- */

struct list {
    uint32_t count, elements[LIST_MOST];
};

static size_t pad_of(uint32_t key)
{
    return key % 4 == 3 && !way->merges ? LARGE : 0;
}

static void get_list(sdb_txn *txn, uint32_t key, struct list *list)
{
    sdb_slice value;
    sdb_status status = sdb_get(txn, lists, (sdb_slice){&key, sizeof key}, &value);
    size_t pad = pad_of(key);

    list->count = 0;
    if (status == SDB_NOTFOUND) return;
    OK(status);
    ck_assert_uint_ge(value.size, pad);
    ck_assert_uint_le(value.size - pad, sizeof list->elements);
    list->count = (uint32_t)((value.size - pad) / sizeof *list->elements);
    memcpy(list->elements, (const uint8_t *)value.data + pad, value.size - pad);
}

static void append(sdb_txn *txn, uint32_t key, uint32_t element)
{
    static const uint8_t zeros[LARGE];
    uint8_t bytes[LARGE + sizeof(uint32_t) * LIST_MOST];
    size_t pad = pad_of(key), size;
    struct list list;

    if (way->merges) {
        OK(sdb_merge(txn, lists, SDB_MERGE_APPEND, (sdb_slice){&key, sizeof key},
                     (sdb_slice){&element, sizeof element}));
        return;
    }
    get_list(txn, key, &list);
    ck_assert_uint_lt(list.count, LIST_MOST);
    list.elements[list.count++] = element;
    size = list.count * sizeof *list.elements;
    memcpy(bytes, zeros, pad);
    memcpy(bytes + pad, list.elements, size);
    OK(sdb_put(txn, lists, (sdb_slice){&key, sizeof key}, (sdb_slice){bytes, pad + size}));
}

/* Makes a commit take longer, so that others see it happen. */
static void fill(sdb_txn *txn, uint64_t *random)
{
    for (uint32_t i = 0; i < FILLERS; i++) {
        uint64_t key = random_below(random, 1000);

        OK(sdb_put(txn, lists, (sdb_slice){&key, sizeof key}, (sdb_slice){&key, sizeof key}));
    }
}

/* What a transaction does: reads only, anything, or an append to every key. */
enum kind { READS, ANYTHING, WIDE };

static void run_step(sdb_txn *txn, enum kind kind, struct txn_step *step, uint64_t *random,
                     struct list *read)
{
    if (kind == READS || (kind == ANYTHING && random_below(random, 2))) {
        get_list(txn, step->key, read);
        step->count = read->count;
        step->read = read->elements;
    } else {
        step->f = TXN_APPEND;
        step->value = atomic_fetch_add(&last, 1) + 1;
        append(txn, step->key, step->value);
    }
    if (kind == WIDE) fill(txn, random);
}

/* One transaction, as a thread runs and records it. */
static void run_txn(uint64_t *random, int64_t process, struct list reads[STEPS])
{
    uint32_t first_key = atomic_fetch_add(&begun, 1) / KEY_TXNS * KEYS;
    uint64_t choice = random_below(random, 16);
    enum kind kind = choice < 4 ? READS : choice < 14 ? ANYTHING : WIDE;
    struct txn_step steps[STEPS];
    struct txn record = {.process = process, .steps = steps,
                         .count = 1 + (uint32_t)random_below(random, STEPS)};
    sdb_status status;
    sdb_txn *txn;

    if (kind == WIDE) record.count = KEYS;
    record.call = atomic_fetch_add(&place, 1) + 1;
    OK(sdb_txn_begin(db, kind == READS ? SDB_TXN_READ : way->txn_flags, &txn));
    for (uint32_t i = 0; i < record.count; i++) {
        uint32_t key = kind == WIDE ? i : (uint32_t)random_below(random, KEYS);

        steps[i] = (struct txn_step){.key = first_key + key};
        run_step(txn, kind, &steps[i], random, &reads[i]);
        if (random_below(random, 3) == 0) (void)sched_yield();
    }
    if (random_below(random, 12) == 0) {
        sdb_txn_abort(txn);
        status = SDB_CONFLICT;
    } else {
        status = sdb_txn_commit(txn);
    }
    record.ret = atomic_fetch_add(&place, 1) + 1;
    ck_assert_msg(status == SDB_OK || status == SDB_CONFLICT, "%s", sdb_errmsg());
    record.outcome = status == SDB_OK ? OUTCOME_OK : OUTCOME_FAIL;
    txn_history_add(&recorded[process], &record);
}

static void *list_main(void *context)
{
    uint64_t number = (uintptr_t)context, random = seed * THREADS + number;
    struct list reads[STEPS];

    while (sdb__clock_now_ns() < until_ns) run_txn(&random, (int64_t)number, reads);
    return NULL;
}

/* A transaction, as the last of the history, that reads every list. */
static void read_all(struct txn_history *history)
{
    uint32_t keys = history->keys;
    struct txn_step *steps = grab(&history->arena, keys * sizeof *steps);
    struct txn record = {.process = THREADS, .count = keys, .steps = steps};
    sdb_txn *txn;

    record.call = atomic_fetch_add(&place, 1) + 1;
    OK(sdb_txn_begin(db, SDB_TXN_READ, &txn));
    for (uint32_t key = 0; key < keys; key++) {
        struct list *list = grab(&history->arena, sizeof *list);

        get_list(txn, key, list);
        steps[key] = (struct txn_step){.key = key, .count = list->count, .read = list->elements};
    }
    OK(sdb_txn_commit(txn));
    record.ret = atomic_fetch_add(&place, 1) + 1;
    txn_history_add(history, &record);
}

START_TEST(lists_are_of_the_level_that_is_promised)
{
    struct txn_history history = {.arena.allocator = &sdb__mem_default,
                                  .pairs.arena.allocator = &sdb__mem_default};
    struct findings findings = {0};
    struct level level;
    unsigned failed = 0;
    char found[512];

    begin(_i, 61);
    for (unsigned i = 0; i < THREADS; i++) recorded[i].arena.allocator = &sdb__mem_default;
    run_threads(list_main);
    for (unsigned i = 0; i < THREADS; i++) {
        for (size_t j = 0; j < recorded[i].count; j++) {
            failed += recorded[i].txns[j].outcome == OUTCOME_FAIL;
            txn_history_add(&history, &recorded[i].txns[j]);
        }
        txn_history_done(&recorded[i]);
    }
    if (!way->in_memory) { /* what was committed is there afterwards */
        OK(sdb_close(db));
        open_db();
    }
    read_all(&history);
    ck_assert_msg(txn_history_index(&history), "%s", history.error);
    check_list_append(&history, &findings);
    findings_summary(&findings, found, sizeof found);
    printf("test_histories: %s: %zu transactions, %u aborted; %s\n", way->name, history.count,
           failed, *found ? found : "no anomaly");
    (void)fflush(stdout);
    ck_assert(level_of(way->level, &level));
    if (!findings_allow(&findings, level)) {
        printf("%.*s", (int)findings.text.size, (const char *)findings.text.data);
        (void)fflush(stdout);
        ck_abort_msg("%s, SEED=%llu: not %s: %s", way->name, (unsigned long long)seed, way->level,
                     found);
    }
    findings_done(&findings);
    txn_history_done(&history);
    end();
}
END_TEST

/* ---- a register --------------------------------------------------------------------------- */

struct recorder {
    struct wgl_op *ops;
    size_t count, capacity;
};

static struct recorder recorders[THREADS];
static const sdb_slice register_key = {"register", 8};

/* How threads read the register: by sdb_get_copy, or in a transaction. */
static enum reading { ALONE, IN_TXN, MIXED } reading;
static const char *const readings[] = {"alone", "in transactions", "both ways"};

static uint32_t get_register(bool alone)
{
    uint32_t value = LIN_NIL;
    size_t size = sizeof value;
    sdb_slice found;
    sdb_status status;
    sdb_txn *txn;

    if (alone) {
        status = sdb_get_copy(lists, register_key, &value, sizeof value, &size);
    } else {
        OK(sdb_txn_begin(db, SDB_TXN_READ, &txn));
        status = sdb_get(txn, lists, register_key, &found);
        if (status == SDB_OK) memcpy(&value, found.data, size = found.size);
        sdb_txn_abort(txn);
    }
    if (status == SDB_NOTFOUND) return LIN_NIL;
    OK(status);
    ck_assert_uint_eq(size, sizeof value);
    return value;
}

/* Sets the register without a transaction, or first of many keys in a batch. */
static void set_register(bool alone, uint32_t value)
{
    sdb_slice slice = {&value, sizeof value};
    sdb_txn *txn = NULL;

    if (!alone) OK(sdb_txn_begin(db, SDB_TXN_BATCH, &txn));
    OK(sdb_put(txn, lists, register_key, slice));
    for (uint32_t i = 0; !alone && i < 40; i++)
        OK(sdb_put(txn, lists, (sdb_slice){&i, sizeof i}, slice));
    if (!alone) OK(sdb_txn_commit(txn));
}

/* Sets the register from `from` to `to`; SDB_NOTFOUND when it is not `from`. */
static sdb_status cas_register(uint32_t from, uint32_t to)
{
    uint32_t value = LIN_NIL;
    sdb_status status;
    sdb_slice found;
    sdb_txn *txn;

    OK(sdb_txn_begin(db, way->txn_flags, &txn));
    status = sdb_get(txn, lists, register_key, &found);
    if (status == SDB_OK) memcpy(&value, found.data, sizeof value);
    if (value != from) {
        sdb_txn_abort(txn);
        return SDB_NOTFOUND;
    }
    OK(sdb_put(txn, lists, register_key, (sdb_slice){&to, sizeof to}));
    return sdb_txn_commit(txn);
}

/*
 * Does one operation. False: it is not recorded. A cas that found another value has read in a
 * transaction; a conflict did nothing.
 */
static bool run_op(uint64_t *random, uint32_t *known, struct wgl_op *op)
{
    uint32_t value = atomic_fetch_add(&last, 1) + 1;
    sdb_status status;
    bool alone;

    *op = (struct wgl_op){.call = atomic_fetch_add(&place, 1) + 1};
    switch (random_below(random, 4)) {
    case 0:
        op->f = LIN_WRITE;
        op->a = value;
        set_register(random_below(random, 2), value);
        return true;
    case 1:
        op->a = *known;
        op->b = value;
        status = cas_register(op->a, op->b);
        op->f = status == SDB_OK ? LIN_CAS : LIN_CAS_FAILED;
        ck_assert(status == SDB_OK || status == SDB_NOTFOUND || status == SDB_CONFLICT);
        return status == SDB_OK || (status == SDB_NOTFOUND && reading != ALONE);
    default:
        op->f = LIN_READ;
        alone = reading == MIXED ? random_below(random, 2) : reading == ALONE;
        op->out = *known = get_register(alone);
        return true;
    }
}

static void *register_main(void *context)
{
    uint64_t number = (uintptr_t)context, random = seed * THREADS + number;
    struct recorder *recorder = &recorders[number];
    uint32_t known = LIN_NIL;

    while (sdb__clock_now_ns() < until_ns && recorder->count < 20000) {
        struct wgl_op op;
        bool happened = run_op(&random, &known, &op);

        op.ret = atomic_fetch_add(&place, 1) + 1;
        op.pure = op.f == LIN_READ || op.f == LIN_CAS_FAILED;
        if (random_below(&random, 8) == 0) (void)sched_yield();
        if (!happened) continue;
        make_room(&recorder->ops, &recorder->capacity, recorder->count + 1, sizeof op);
        recorder->ops[recorder->count++] = op;
    }
    return NULL;
}

START_TEST(a_register_is_linearizable)
{
    const struct wgl_limits limits = {.steps = 50000000, .bytes = (size_t)256 << 20};
    struct wgl_model model = lin_register(LIN_ETCD);
    struct recorder all = {0};
    struct wgl_report report;
    enum wgl_answer answer;

    reading = (enum reading)(_i / 2);
    begin(_i % 2, 62);
    run_threads(register_main);
    for (unsigned i = 0; i < THREADS; i++) {
        make_room(&all.ops, &all.capacity, all.count + recorders[i].count + 1, sizeof *all.ops);
        if (recorders[i].count)
            memcpy(all.ops + all.count, recorders[i].ops, recorders[i].count * sizeof *all.ops);
        all.count += recorders[i].count;
        sdb__mem_free(&sdb__mem_default, recorders[i].ops);
    }
    answer = wgl_check(&model, all.ops, all.count, &limits, &report);
    printf("test_histories: %s: %zu operations on a register read %s, %llu configurations\n",
           way->name, all.count, readings[reading], (unsigned long long)report.configurations);
    (void)fflush(stdout);
    ck_assert_msg(answer == WGL_LINEARIZABLE, "%s, SEED=%llu: %s: at most %zu in an order",
                  way->name, (unsigned long long)seed,
                  answer == WGL_UNKNOWN ? "given up" : "not linearizable", report.longest);
    sdb__mem_free(&sdb__mem_default, all.ops);
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("histories");
    TCase *cases = tcase_create("threads");

    tcase_set_timeout(cases, 120);
    tcase_add_loop_test(cases, lists_are_of_the_level_that_is_promised, 0,
                        (int)(sizeof ways / sizeof *ways));
    tcase_add_loop_test(cases, a_register_is_linearizable, 0, 6);
    suite_add_tcase(suite, cases);
    return kv_main(suite);
}
