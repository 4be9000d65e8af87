/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_kv_alloc.c: the n-th allocation fails, for every n, in a script that goes through every
 * public call.
 *
 * Whatever fails says SDB_NOMEM; nothing leaks; and each call either did all that it says, or
 * nothing: that is seen from a second handle of the same disk afterwards.
 */
#include "tests/kv/kv_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGE = 9000, LONG = 700, COUNT = 24 };

/* What must be there in the end, as far as it is known. */
struct script {
    struct io *io;
    struct kv_ledger ledger;
    sdb_allocator allocator;
    sdb_options options;
    sdb_db *db;
    sdb_keyspace *a, *b;
    unsigned refused;
    bool put[COUNT]; /* commit n was acknowledged */
    bool made_b, dropped_b;
    bool made_kept, made_gone, dropped_gone; /* snapshots */
};

static uint8_t large[LARGE];

/* The answer of a call that may lack memory: OK, or NOMEM, which is counted. */
static bool may(struct script *s, sdb_status status, const char *what)
{
    ck_assert_msg(status == SDB_OK || status == SDB_NOMEM, "%s: %s (%s)", what,
                  sdb_status_name(status), sdb_errmsg());
    s->refused += status == SDB_NOMEM;
    return status == SDB_OK;
}
#define MAY(call) may(s, (call), #call)

/* Key n: every fourth is long. */
static sdb_slice key_of(unsigned n)
{
    static char key[LONG + 16];
    int size = 0;

    if (n % 4 == 3) {
        memset(key, 'k', LONG);
        size = LONG;
    }
    size += snprintf(key + size, 16, "%04u", n);
    return (sdb_slice){key, (size_t)size};
}

static sdb_slice value_of(unsigned n)
{
    kv_fill(large, sizeof large, n);
    return (sdb_slice){large, n % 5 == 2 ? sizeof large : 20 + n};
}

static void expect_own(sdb_slice value, unsigned n)
{
    ck_assert_uint_eq(value.size, value_of(n).size);
    ck_assert(kv_is_filled(value.data, value.size, n));
}

static void put_one(struct script *s, unsigned n)
{
    sdb_txn *txn;
    uint64_t savepoint;
    sdb_status status;

    if (n % 3 == 0) {
        s->put[n] = MAY(sdb_put(NULL, s->a, key_of(n), value_of(n)));
        return;
    }
    if (!MAY(sdb_txn_begin(s->db, n % 3 == 1 ? SDB_TXN_WRITE : SDB_TXN_BATCH, &txn))) return;
    if (MAY(sdb_put(txn, s->a, key_of(n), value_of(n + 100))) &&
        MAY(sdb_savepoint_set(txn, &savepoint))) {
        if (MAY(sdb_put(txn, s->a, TEXT("undone"), value_of(n))))
            OK(sdb_savepoint_rollback(txn, savepoint));
        if (MAY(sdb_put(txn, s->a, key_of(n), value_of(n)))) {
            OK(sdb_savepoint_rollback(txn, savepoint));
            if (MAY(sdb_put(txn, s->a, key_of(n), value_of(n)))) {
                status = sdb_txn_commit(txn);
                s->put[n] = MAY(status);
                return;
            }
        }
    }
    sdb_txn_abort(txn);
}

/* Walks with a cursor; what it gives must be in order and right, and all if nothing failed. */
static void walk(struct script *s, sdb_txn *txn, bool forward)
{
    sdb_cursor *cursor;
    sdb_slice key, value;
    sdb_status status;
    unsigned seen = 0, wanted = 0, failures = 0;
    char last[LONG + 16] = "";

    for (unsigned n = 0; n < COUNT; n++) wanted += s->put[n];
    if (!MAY(sdb_cursor_open(txn, s->a, NULL, &cursor))) return;
    for (;;) {
        char text[LONG + 16];

        status =
            forward ? sdb_cursor_next(cursor, &key, &value) : sdb_cursor_prev(cursor, &key, &value);
        if (status == SDB_END || (status == SDB_NOMEM && ++failures > 3)) break;
        if (!MAY(status)) continue; /* again: it must not have moved */
        memcpy(text, key.data, key.size);
        text[key.size] = 0;
        if (seen)
            ck_assert_msg(forward ? strcmp(text, last) > 0 : strcmp(text, last) < 0, "%s after %s",
                          text, last);
        memcpy(last, text, key.size + 1);
        expect_own(value, (unsigned)atoi(text + key.size - 4));
        seen++;
    }
    if (status == SDB_END) ck_assert_uint_eq(seen, wanted);
    sdb_cursor_close(cursor);
}

static void read_all(struct script *s)
{
    sdb_txn *txn;
    sdb_slice value;
    uint64_t count;
    size_t size;
    static uint8_t room[LARGE];
    unsigned wanted = 0;

    if (!MAY(sdb_txn_begin(s->db, SDB_TXN_WRITE | SDB_TXN_SERIALIZABLE, &txn))) return;
    for (unsigned n = 0; n < COUNT; n++) {
        sdb_status status = sdb_get(txn, s->a, key_of(n), &value);

        wanted += s->put[n];
        if (status == SDB_NOMEM) {
            s->refused++;
            continue;
        }
        IS(status, s->put[n] ? SDB_OK : SDB_NOTFOUND);
        if (status == SDB_OK) expect_own(value, n);
        if (s->put[n] && MAY(sdb_get_copy(s->a, key_of(n), room, sizeof room, &size)))
            expect_own((sdb_slice){room, size}, n);
    }
    if (MAY(sdb_count(txn, s->a, NULL, &count))) ck_assert_uint_eq(count, wanted);
    walk(s, txn, true);
    walk(s, txn, false);
    sdb_txn_abort(txn);
}

/* A range, deleted twice in one transaction, and once undone. */
static void delete_range(struct script *s)
{
    sdb_range range = {.prefix = TEXT("range")};
    uint64_t savepoint;
    sdb_txn *txn;

    if (!MAY(sdb_txn_begin(s->db, SDB_TXN_WRITE, &txn))) return;
    if (MAY(sdb_put(txn, s->a, TEXT("range1"), value_of(1))) &&
        MAY(sdb_savepoint_set(txn, &savepoint))) {
        if (MAY(sdb_del_range(txn, s->a, &range))) OK(sdb_savepoint_rollback(txn, savepoint));
        if (MAY(sdb_put(txn, s->a, TEXT("range2"), value_of(2))) &&
            MAY(sdb_del_range(txn, s->a, &range))) {
            (void)MAY(sdb_txn_commit(txn));
            return;
        }
    }
    sdb_txn_abort(txn);
}

/* Appends to one key, reads what that makes both ways, and commits; whole or not at all. */
static void merge(struct script *s)
{
    size_t sizes[2] = {0, 0}; /* merged in the transaction, committed */
    sdb_keyspace *space;
    sdb_cursor *cursor;
    sdb_slice value, key;
    sdb_txn *txn;

    if (!MAY(sdb_keyspace_open(s->db, "m", 0, &space))) return;
    for (unsigned round = 0; round < 2; round++) {
        unsigned flags = SDB_TXN_WRITE | (round ? SDB_TXN_SERIALIZABLE : 0);

        if (!MAY(sdb_txn_begin(s->db, flags, &txn))) continue;
        sizes[0] = sizes[1];
        for (unsigned i = 0; i < 20; i++) {
            sdb_slice operand = value_of(i ? 1 : 2);

            if (MAY(sdb_merge(txn, space, SDB_MERGE_APPEND, TEXT("k"), operand)))
                sizes[0] += operand.size;
        }
        if (sizes[0] && MAY(sdb_get(txn, space, TEXT("k"), &value)))
            ck_assert_uint_eq(value.size, sizes[0]);
        if (sizes[0] && MAY(sdb_cursor_open(txn, space, NULL, &cursor))) {
            if (MAY(sdb_cursor_last(cursor, &key, &value)))
                ck_assert_uint_eq(value.size, sizes[0]);
            sdb_cursor_close(cursor);
        }
        if (MAY(sdb_txn_commit(txn))) sizes[1] = sizes[0];
    }
    if (!MAY(sdb_txn_begin(s->db, SDB_TXN_READ, &txn))) return;
    if (sizes[1] && MAY(sdb_get(txn, space, TEXT("k"), &value)))
        ck_assert_uint_eq(value.size, sizes[1]);
    sdb_txn_abort(txn);
}

/* Values that expire; nothing of them is left. */
static void expire(struct script *s)
{
    sdb_keyspace *space;
    uint64_t expiry;
    sdb_txn *txn;

    if (!MAY(sdb_keyspace_open(s->db, "e", 0, &space))) return;
    (void)MAY(sdb_keyspace_set_ttl(space, UINT64_MAX));
    for (unsigned n = 0; n < 8; n++)
        (void)MAY(sdb_put_expiring(NULL, space, key_of(n), value_of(n), n % 2 ? 1 : 0));
    (void)MAY(sdb_expire(s->db, 0, NULL));
    if (MAY(sdb_put(NULL, space, TEXT("x"), TEXT("y")))) {
        if (MAY(sdb_expiry_set(NULL, space, TEXT("x"), UINT64_MAX - 1)) &&
            MAY(sdb_txn_begin(s->db, SDB_TXN_READ, &txn))) {
            if (MAY(sdb_expiry_get(txn, space, TEXT("x"), &expiry)))
                ck_assert_uint_eq(expiry, UINT64_MAX - 1);
            sdb_txn_abort(txn);
        }
    }
    (void)MAY(sdb_del_range(NULL, space, NULL));
}

static void use_other_keyspace(struct script *s)
{
    sdb_txn *old;
    sdb_slice value;

    s->made_b = MAY(sdb_keyspace_open(s->db, "b", 0, &s->b));
    if (!s->made_b || !MAY(sdb_put(NULL, s->b, TEXT("x"), TEXT("y")))) return;
    if (!MAY(sdb_txn_begin(s->db, SDB_TXN_READ, &old))) return;
    s->dropped_b = MAY(sdb_keyspace_drop(s->b));
    if (MAY(sdb_get(old, s->b, TEXT("x"), &value))) ck_assert(kv_is(value, "y"));
    (void)MAY(sdb_txn_commit(old));
}

/* Makes two named snapshots, reads one, and drops it. */
static void use_snapshots(struct script *s)
{
    sdb_keyspace *a;
    sdb_slice value;
    sdb_txn *txn;
    sdb_db *view;

    s->made_kept = MAY(sdb_snapshot_make(s->db, "kept"));
    s->made_gone = MAY(sdb_snapshot_make(s->db, "gone"));
    if (s->made_gone && MAY(sdb_snapshot_open(s->db, "gone", &view))) {
        OK(sdb_keyspace_open(view, "a", SDB_KEYSPACE_MUST_EXIST, &a));
        if (MAY(sdb_txn_begin(view, SDB_TXN_READ, &txn))) {
            for (unsigned n = 0; n < COUNT; n++)
                if (s->put[n] && MAY(sdb_get(txn, a, key_of(n), &value))) expect_own(value, n);
            sdb_txn_abort(txn);
        }
        OK(sdb_close(view));
    }
    if (s->made_gone) s->dropped_gone = MAY(sdb_snapshot_drop(s->db, "gone"));
}

static sdb_status run_body(sdb_txn *txn, void *context)
{
    return sdb_insert(txn, context, TEXT("undone"), TEXT("")) == SDB_NOMEM ? SDB_NOMEM
                                                                           : SDB_CANCELLED;
}

/* Everything, with versions alive from the middle on. */
static void run_script(struct script *s)
{
    sdb_txn *reader = NULL;
    sdb_stats stats = {.size = sizeof stats};
    char name[SDB_KEYSPACE_NAME_MAX + 1];
    sdb_status status;

    if (!MAY(sdb__db_open(s->io, KV_PATH, &s->options, &s->db))) return;
    if (MAY(sdb_keyspace_open(s->db, "a", 0, &s->a))) {
        for (unsigned n = 0; n < COUNT; n++) {
            put_one(s, n);
            if (n == COUNT / 2) {
                (void)MAY(sdb_checkpoint(s->db));
                (void)MAY(sdb_txn_begin(s->db, SDB_TXN_READ, &reader));
            }
        }
        if (s->put[3] && MAY(sdb_put(NULL, s->a, key_of(3), value_of(3))))
            (void)MAY(sdb_del(NULL, s->a, TEXT("none")));
        read_all(s);
        delete_range(s);
        merge(s);
        expire(s);
        use_other_keyspace(s);
        use_snapshots(s);
        status = sdb_txn_run(s->db, SDB_TXN_WRITE, run_body, s->a, 1);
        ck_assert(status == SDB_CANCELLED || status == SDB_NOMEM);
        sdb_txn_abort(reader);
        delete_range(s);
        OK(sdb_stat(s->db, &stats));
        (void)!sdb_keyspace_next(s->db, NULL, name);
        (void)MAY(sdb_sync(s->db));
        (void)MAY(sdb_backup(s->db, "copy.sdb", NULL, NULL));
        (void)MAY(sdb_check(s->db, NULL, NULL, NULL, NULL));
    }
    (void)MAY(sdb_close(s->db));
}

/* The snapshots are those that were made, and hold what was put. */
static void expect_snapshots(struct script *s, sdb_db *db)
{
    sdb_slice value;
    sdb_txn *txn;
    sdb_db *view;

    IS(sdb_snapshot_open(db, "kept", &view), s->made_kept ? SDB_OK : SDB_NOTFOUND);
    if (s->made_kept) {
        OK(sdb_txn_begin(view, SDB_TXN_READ, &txn));
        for (unsigned i = 0; i < COUNT; i++) {
            IS(sdb_get(txn, kv_keyspace(view, "a"), key_of(i), &value),
               s->put[i] ? SDB_OK : SDB_NOTFOUND);
            if (s->put[i]) expect_own(value, i);
        }
        sdb_txn_abort(txn);
        OK(sdb_close(view));
    }
    IS(sdb_snapshot_drop(db, "gone"), s->made_gone && !s->dropped_gone ? SDB_OK : SDB_NOTFOUND);
}

/* The state, from a handle that lacks nothing. */
static void expect_state(struct script *s, uint64_t n)
{
    sdb_options options = kv_options(4096);
    sdb_db *db = kv_open(s->io, &options);
    sdb_keyspace *a = kv_keyspace(db, "a"), *b;
    sdb_txn *txn;
    sdb_slice value;
    sdb_status status;

    OK(sdb_txn_begin(db, SDB_TXN_READ, &txn));
    for (unsigned i = 0; i < COUNT; i++) {
        status = sdb_get(txn, a, key_of(i), &value);
        ck_assert_msg(status == (s->put[i] ? SDB_OK : SDB_NOTFOUND), "allocation %llu: key %u: %s",
                      (unsigned long long)n, i, sdb_status_name(status));
        if (status == SDB_OK) expect_own(value, i);
    }
    IS(sdb_get(txn, a, TEXT("undone"), &value), SDB_NOTFOUND);
    sdb_txn_abort(txn);
    status = sdb_keyspace_open(db, "b", SDB_KEYSPACE_MUST_EXIST, &b);
    IS(status, s->made_b && !s->dropped_b ? SDB_OK : SDB_NOTFOUND);
    expect_snapshots(s, db);
    kv_check_sound(db);
    OK(sdb_close(db));
}

START_TEST(any_allocation_may_fail)
{
    uint64_t n = (uint64_t)_i / 2, step = 4;
    bool finished = false;

    for (; !finished; n += step) {
        struct script *s = calloc(1, sizeof *s);

        ck_assert_ptr_nonnull(s);
        s->io = kv_disk(n);
        s->allocator = kv_ledger_allocator(&s->ledger);
        s->options = kv_options(4096);
        s->options.allocator = &s->allocator;
        atomic_store(&s->ledger.once, _i % 2 == 0); /* otherwise all from there on fail */
        atomic_store(&s->ledger.left, (long)n);
        run_script(s);
        ck_assert_msg(atomic_load(&s->ledger.out) == 0, "allocation %llu: %ld leaked",
                      (unsigned long long)n, atomic_load(&s->ledger.out));
        finished = atomic_load(&s->ledger.left) > 0; /* more than it needs */
        expect_state(s, n);
        sdb__io_free(s->io);
        free(s);
        if (n > 2000) step = 64; /* many alike */
    }
    ck_assert_uint_gt(n, 100);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kv_alloc");
    TCase *cases = tcase_create("memory");

    tcase_set_timeout(cases, 120);
    tcase_add_loop_test(cases, any_allocation_may_fail, 0, 8);
    suite_add_tcase(suite, cases);
    return kv_main(suite);
}
