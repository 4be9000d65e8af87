/* SPDX-License-Identifier: Apache-2.0 */
/* kv_fixture.c */
#include "tests/kv/kv_fixture.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"
#include "index/kv/verify.h"
#include "tests/lib/suite.h"

uint64_t kv_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

uint64_t kv_seed(const char *test, uint64_t otherwise)
{
    uint64_t seed = kv_number("SEED", otherwise);

    printf("%s: SEED=%llu\n", test, (unsigned long long)seed);
    (void)fflush(stdout);
    return seed;
}

static uint64_t next_word(uint64_t *state, uint64_t seed)
{
    uint64_t word = random_next(state);

    return seed % 3 == 1 ? word & 0xffff : word;
}

void kv_fill(uint8_t *to, size_t size, uint64_t seed)
{
    uint64_t state = seed * 2 + 1, word = 0;

    for (size_t i = 0; i < size; i += 8) {
        size_t n = size - i < 8 ? size - i : 8;

        word = next_word(&state, seed);
        memcpy(to + i, &word, n);
    }
}

bool kv_is_filled(const uint8_t *data, size_t size, uint64_t seed)
{
    uint64_t state = seed * 2 + 1, word = 0;

    for (size_t i = 0; i < size; i += 8) {
        size_t n = size - i < 8 ? size - i : 8;

        word = next_word(&state, seed);
        if (memcmp(data + i, &word, n) != 0) return false;
    }
    return true;
}

uint64_t kv_merged_seed(const sdb_slice *old, uint64_t seed)
{
    return seed ^ (old ? sdb__digest(old->data, old->size, 5) : 5);
}

sdb_slice kv_operand(uint8_t room[KV_OPERAND], uint64_t seed, uint64_t size)
{
    put_u64(room, seed);
    put_u64(room + 8, size);
    return (sdb_slice){room, KV_OPERAND};
}

static sdb_status merge_fill(void *context, const sdb_slice *old, const sdb_slice *operand,
                             sdb_merge_result *result)
{
    size_t size;
    uint8_t *value;
    sdb_status status;

    (void)context;
    if (operand->size != KV_OPERAND) return SDB_INVALID;
    size = (size_t)get_u64((const uint8_t *)operand->data + 8);
    value = malloc(size + 1);
    if (!value) return SDB_NOMEM;
    kv_fill(value, size, kv_merged_seed(old, get_u64(operand->data)));
    status = sdb_merge_emit(result, value, size / 2); /* in two pieces */
    if (status == SDB_OK) status = sdb_merge_emit(result, value + size / 2, size - size / 2);
    free(value);
    return status;
}

static const sdb_merge_operator operators[] = {{KV_MERGE, merge_fill, NULL}};

sdb_slice kv_slice(const char *text)
{
    return (sdb_slice){text, strlen(text)};
}

bool kv_is(sdb_slice slice, const char *text)
{
    return slice.size == strlen(text) &&
           (slice.size == 0 || memcmp(slice.data, text, slice.size) == 0);
}

static void *ledger_resize(void *context, void *memory, size_t size)
{
    struct kv_ledger *ledger = context;
    void *result;

    if (size == 0) {
        if (memory) atomic_fetch_sub(&ledger->out, 1);
        free(memory);
        return NULL;
    }
    atomic_fetch_add(&ledger->asked, 1);
    if (size > atomic_load(&ledger->largest)) atomic_store(&ledger->largest, size);
    if (atomic_load(&ledger->left) == 0) {
        if (atomic_load(&ledger->once)) atomic_store(&ledger->left, -1);
        return NULL;
    }
    if (atomic_load(&ledger->left) > 0) atomic_fetch_sub(&ledger->left, 1);
    result = realloc(memory, size);
    if (result && !memory) atomic_fetch_add(&ledger->out, 1);
    return result;
}

sdb_allocator kv_ledger_allocator(struct kv_ledger *ledger)
{
    *ledger = (struct kv_ledger){.left = -1};
    return (sdb_allocator){ledger_resize, ledger};
}

struct io *kv_disk(uint64_t seed)
{
    struct io *io;

    OK(sdb__sim_new(&sdb__mem_default, seed, &io));
    return io;
}

unsigned kv_direct(void)
{
    return getenv("SDB_TEST_DIRECT") != NULL;
}

sdb_options kv_options(uint32_t page_size)
{
    sdb_options options = SDB_OPTIONS_INIT;

    options.flags = SDB_OPEN_NO_THREADS;
    options.page_size = page_size;
    options.cache_bytes = MIB;
    options.direct_io = kv_direct();
    options.merge_operators = operators;
    options.merge_operator_count = 1;
    return options;
}

sdb_db *kv_open(struct io *io, const sdb_options *options)
{
    sdb_db *db;

    OK(sdb__db_open(io, KV_PATH, options, &db));
    return db;
}

sdb_db *kv_reopen(struct io *io, const sdb_options *options, sdb_db *db)
{
    OK(sdb_close(db));
    return kv_open(io, options);
}

sdb_db *kv_lose_power(struct io *io, const sdb_options *options, sdb_db *db)
{
    OK(sdb__sim_restart(io, 0));
    (void)!sdb_close(db);
    return kv_open(io, options);
}

sdb_keyspace *kv_keyspace(sdb_db *db, const char *name)
{
    sdb_keyspace *keyspace;

    OK(sdb_keyspace_open(db, name, 0, &keyspace));
    return keyspace;
}

static void print_problem(void *context, const char *problem)
{
    (void)context;
    printf("problem: %s\n", problem);
    (void)fflush(stdout);
}

void kv_check_sound(sdb_db *db)
{
    OK(sdb_check(db, print_problem, NULL, NULL, NULL));
}

void kv_check_file_sound(struct io *io)
{
    OK(sdb__check_file(io, &sdb__mem_default, KV_PATH, print_problem, NULL, NULL, NULL));
}

void kv_expect(sdb_keyspace *keyspace, const char *key, const char *value)
{
    sdb_txn *txn;
    sdb_slice found;
    sdb_status status;

    OK(sdb_txn_begin(keyspace->db, SDB_TXN_READ, &txn));
    status = sdb_get(txn, keyspace, kv_slice(key), &found);
    if (value) {
        ck_assert_msg(status == SDB_OK, "%s: %s (%s)", key, sdb_status_name(status), sdb_errmsg());
        ck_assert_msg(kv_is(found, value), "%s: \"%.*s\" instead of \"%s\"", key, (int)found.size,
                      (const char *)found.data, value);
    } else {
        ck_assert_msg(status == SDB_NOTFOUND, "%s: %s", key, sdb_status_name(status));
    }
    sdb_txn_abort(txn);
}

sdb_txn *kv_begin(sdb_db *db, unsigned flags)
{
    sdb_txn *txn;

    OK(sdb_txn_begin(db, flags, &txn));
    return txn;
}

void kv_put_text(sdb_keyspace *keyspace, const char *key, const char *value)
{
    OK(sdb_put(NULL, keyspace, kv_slice(key), kv_slice(value)));
}

void kv_folder_make(struct kv_folder *folder)
{
    const char *base = getenv("TMPDIR");

    (void)snprintf(folder->path, sizeof folder->path, "%s/sdb-kv-XXXXXX", base ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder->path));
}

static int remove_one(const char *path, const struct stat *about, int type, struct FTW *where)
{
    (void)about;
    (void)type;
    (void)where;
    return remove(path);
}

void kv_folder_remove(const struct kv_folder *folder)
{
    ck_assert_int_eq(nftw(folder->path, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

const char *kv_in(const struct kv_folder *folder, const char *name)
{
    static _Thread_local char paths[4][512];
    static _Thread_local unsigned next;
    char *path = paths[next++ % 4];

    (void)snprintf(path, sizeof paths[0], "%s/%s", folder->path, name);
    return path;
}

int kv_main(Suite *suite)
{
    return suite_run(suite);
}
