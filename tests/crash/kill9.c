/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill9.c: a process that commits and reports is killed at any moment; nothing that it reported
 * may be missing.
 *
 * Commit n sets "last" to n and one of SLOTS keys to bytes that follow from n: so the whole state
 * is known from n. ROUNDS sets how many processes die on each backend, SEED when.
 */
#include "tests/kv/kv_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"

enum { SLOTS = 50, ROUNDS = 15, VALUE_MOST = 40000 };

static struct kv_folder folder;
static sdb_options options;

static size_t size_of(uint64_t n)
{
    return n % 13 == 5 ? 5000 + n % 35000 : n % 700;
}

static sdb_slice slot_key(uint64_t n)
{
    static char key[8];

    return (sdb_slice){key, (size_t)snprintf(key, sizeof key, "k%02u", (unsigned)(n % SLOTS))};
}

/* The number of the last commit; 0 when there is none. */
static uint64_t read_last(sdb_keyspace *keyspace)
{
    uint8_t last[8];
    size_t size;
    sdb_status status = sdb_get_copy(keyspace, TEXT("last"), last, sizeof last, &size);

    if (status == SDB_NOTFOUND) return 0;
    OK(status);
    ck_assert_uint_eq(size, sizeof last);
    return get_u64(last);
}

static sdb_status commit(sdb_db *db, sdb_keyspace *keyspace, uint64_t n)
{
    static uint8_t value[VALUE_MOST];
    uint8_t last[8];
    sdb_txn *txn;
    sdb_status status = sdb_txn_begin(db, n % 2 ? SDB_TXN_WRITE : SDB_TXN_BATCH, &txn);

    if (status != SDB_OK) return status;
    put_u64(last, n);
    kv_fill(value, size_of(n), n);
    status = sdb_put(txn, keyspace, slot_key(n), (sdb_slice){value, size_of(n)});
    if (status == SDB_OK)
        status = sdb_put(txn, keyspace, TEXT("last"), (sdb_slice){last, sizeof last});
    if (status != SDB_OK) {
        sdb_txn_abort(txn);
        return status;
    }
    sdb_txn_set_durability(txn, (sdb_durability)(SDB_DURABILITY_FULL + n % 3));
    return sdb_txn_commit(txn);
}

/* The process that will be killed: commits, and reports each number through the pipe. */
static _Noreturn void victim(int pipe_end)
{
    sdb_db *db;
    sdb_keyspace *keyspace;
    uint64_t n;

    if (sdb_open(kv_in(&folder, "t.sdb"), &options, &db) != SDB_OK ||
        sdb_keyspace_open(db, "a", 0, &keyspace) != SDB_OK) {
        (void)fprintf(stderr, "%s\n", sdb_errmsg());
        _exit(1);
    }
    for (n = read_last(keyspace) + 1;; n++) {
        if (commit(db, keyspace, n) != SDB_OK || (n % 200 == 0 && sdb_checkpoint(db) != SDB_OK)) {
            (void)fprintf(stderr, "%s\n", sdb_errmsg());
            _exit(1);
        }
        if (write(pipe_end, &n, sizeof n) != (ssize_t)sizeof n) _exit(1);
    }
}

/* Lets a process live for a while; the last number that it reported, or `before`. */
static uint64_t live_and_die(uint64_t before, uint64_t live_ns)
{
    int ends[2], how;
    uint64_t n, last = before;
    pid_t child;

    ck_assert_int_eq(pipe(ends), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        (void)close(ends[0]);
        victim(ends[1]);
    }
    (void)close(ends[1]);
    sdb__clock_sleep_ns(live_ns);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    while (read(ends[0], &n, sizeof n) == (ssize_t)sizeof n) last = n;
    (void)close(ends[0]);
    ck_assert_int_eq(waitpid(child, &how, 0), child);
    ck_assert_msg(WIFSIGNALED(how), "the process ended by itself");
    return last;
}

/*
 * Opens what it left: all that was reported, and at most one commit more for each life. Returns
 * the last one.
 */
static uint64_t expect_all(uint64_t reported, unsigned lives)
{
    sdb_db *db;
    sdb_keyspace *keyspace;
    sdb_txn *txn;
    sdb_slice value;
    uint64_t last;

    OK(sdb_open(kv_in(&folder, "t.sdb"), &options, &db));
    keyspace = kv_keyspace(db, "a");
    last = read_last(keyspace);
    ck_assert_msg(last >= reported && last <= reported + lives,
                  "commit %llu is the last where %llu was reported", (unsigned long long)last,
                  (unsigned long long)reported);
    OK(sdb_txn_begin(db, SDB_TXN_READ, &txn));
    for (uint64_t n = last; n > 0 && n + SLOTS > last; n--) {
        OK(sdb_get(txn, keyspace, slot_key(n), &value));
        ck_assert_uint_eq(value.size, size_of(n));
        ck_assert(kv_is_filled(value.data, value.size, n));
    }
    sdb_txn_abort(txn);
    kv_check_sound(db);
    OK(sdb_close(db));
    return last;
}

START_TEST(what_was_reported_survives_sigkill)
{
    uint64_t random = kv_seed("kill9", 4711) + (uint64_t)_i, last = 0;
    uint64_t rounds = kv_number("ROUNDS", ROUNDS);
    sdb_db *db;
    sdb_status status;

    kv_folder_make(&folder);
    options = (sdb_options)SDB_OPTIONS_INIT;
    options.backend = _i ? SDB_BACKEND_URING : SDB_BACKEND_POSIX;
    options.cache_bytes = MIB;
    options.direct_io = kv_direct();
    options.checkpoint_bytes = 2 * MIB;
    options.group_interval_ms = 3;
    status = sdb_open(kv_in(&folder, "probe"), &options, &db);
    if (status == SDB_INVALID) { /* no io_uring on this machine */
        kv_folder_remove(&folder);
        return;
    }
    OK(status);
    OK(sdb_close(db));
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t most = i % 3 ? 150000000 : 6000000; /* some die at birth, or while they recover */

        last = live_and_die(last, random_below(&random, most));
        if (i % 4 == 3) last = live_and_die(last, random_below(&random, 3000000));
        last = expect_all(last, i % 4 == 3 ? 2 : 1);
    }
    printf("%llu processes died after %llu commits\n", (unsigned long long)rounds,
           (unsigned long long)last);
    (void)fflush(stdout);
    kv_folder_remove(&folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kill9");
    TCase *cases = tcase_create("processes");

    tcase_set_timeout(cases, 300);
    tcase_add_loop_test(cases, what_was_reported_survives_sigkill, 0, 2);
    suite_add_tcase(suite, cases);
    return kv_main(suite);
}
