/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv_fixture.h: what the tests of index/kv have in common: statuses, slices, values whose bytes
 * follow from a number, an allocator that counts and can refuse, a simulated disk and a folder on
 * a real one.
 */
#ifndef SDB_TESTS_KV_KV_FIXTURE_H
#define SDB_TESTS_KV_KV_FIXTURE_H

#include <check.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sdb/sdb.h>

#include "engine/io/simulated.h"
#include "index/kv/database.h"

#define OK(call)                                                                                   \
    do {                                                                                           \
        sdb_status ok_ = (call);                                                                   \
        ck_assert_msg(ok_ == SDB_OK, "%s: %s (%s)", #call, sdb_status_name(ok_), sdb_errmsg());    \
    } while (0)
/*
 * OK, but without check's note of how far the test has come, which costs a system call: for what is
 * done thousands of times.
 */
#define MUST(call)                                                                                 \
    do {                                                                                           \
        sdb_status must_ = (call);                                                                 \
        if (must_ != SDB_OK)                                                                       \
            ck_abort_msg("%s: %s (%s)", #call, sdb_status_name(must_), sdb_errmsg());              \
    } while (0)
#define IS(call, wanted)                                                                           \
    do {                                                                                           \
        sdb_status is_ = (call);                                                                   \
        ck_assert_msg(is_ == (wanted), "%s: %s instead of %s (%s)", #call, sdb_status_name(is_),   \
                      sdb_status_name(wanted), sdb_errmsg());                                      \
    } while (0)
/* The call answers as wanted, and its sentence contains the words. */
#define SAYS(call, wanted, words)                                                                  \
    do {                                                                                           \
        IS(call, wanted);                                                                          \
        ck_assert_msg(strstr(sdb_errmsg(), words) != NULL, "%s: \"%s\" does not say \"%s\"",       \
                      #call, sdb_errmsg(), words);                                                 \
    } while (0)

#define TEXT(s) ((sdb_slice){(s), sizeof(s) - 1})

enum { KIB = 1024, MIB = 1024 * 1024 };

/* ---- chance and bytes --------------------------------------------------------------------- */

/* SEED from the environment, or `otherwise`; printed, so that a failure can be repeated. */
uint64_t kv_seed(const char *test, uint64_t otherwise);
/* A number from the environment, or `otherwise`. */
uint64_t kv_number(const char *name, uint64_t otherwise);

/* The bytes of value number `seed`: random; where seed % 3 is 1, with zeros to be compressed. */
void kv_fill(uint8_t *to, size_t size, uint64_t seed);
bool kv_is_filled(const uint8_t *data, size_t size, uint64_t seed);

sdb_slice kv_slice(const char *text);
/* The slice holds just this text. */
bool kv_is(sdb_slice slice, const char *text);

/* ---- an operator that tells orders apart --------------------------------------------------- */

/*
 * Number KV_MERGE. Its operand is a seed and a size; it makes the value of that size which follows
 * from kv_merged_seed.
 */
enum { KV_MERGE = 200, KV_OPERAND = 16 };
/* `old` NULL: the key had no value. */
uint64_t kv_merged_seed(const sdb_slice *old, uint64_t seed);
sdb_slice kv_operand(uint8_t room[KV_OPERAND], uint64_t seed, uint64_t size);

/* ---- an allocator that counts; `left` below 0 never refuses; `once`: one refusal is all --- */

struct kv_ledger {
    _Atomic long out, asked, left;
    _Atomic bool once;
    _Atomic size_t largest; /* size ever asked for */
};

sdb_allocator kv_ledger_allocator(struct kv_ledger *ledger);

/* ---- disks -------------------------------------------------------------------------------- */

#define KV_PATH "t.sdb"

/* A simulated disk. */
struct io *kv_disk(uint64_t seed);
/* 1 if the tests are to open real and simulated files for direct I/O (SDB_TEST_DIRECT is set). */
unsigned kv_direct(void);
/* Options for it: no threads, a cache of 1 MiB, pages of page_size, the operator below. */
sdb_options kv_options(uint32_t page_size);
/* Opens KV_PATH there. */
sdb_db *kv_open(struct io *io, const sdb_options *options);
/* Closes it and opens it again. */
sdb_db *kv_reopen(struct io *io, const sdb_options *options, sdb_db *db);
/* The power fails, and all that was not synced is gone; then it is opened again. */
sdb_db *kv_lose_power(struct io *io, const sdb_options *options, sdb_db *db);
sdb_keyspace *kv_keyspace(sdb_db *db, const char *name);
/* Checks the file of an open handle; every problem is printed, and none may be there. */
void kv_check_sound(sdb_db *db);
/* The same for a file on a backend that nobody has open. */
void kv_check_file_sound(struct io *io);
/* The value of a key in a fresh transaction is this text; NULL: there is none. */
void kv_expect(sdb_keyspace *keyspace, const char *key, const char *value);
/* A transaction that has begun. */
sdb_txn *kv_begin(sdb_db *db, unsigned flags);
void kv_put_text(sdb_keyspace *keyspace, const char *key, const char *value);

/* A new folder under TMPDIR; path of a name in it. Ended by kv_folder_remove. */
struct kv_folder {
    char path[256];
};
void kv_folder_make(struct kv_folder *folder);
void kv_folder_remove(const struct kv_folder *folder);
/* Valid until the fourth next call of this thread. */
const char *kv_in(const struct kv_folder *folder, const char *name);

/* ---- running ------------------------------------------------------------------------------ */

/* Runs the suite as check is told to; what main returns. */
int kv_main(Suite *suite);

#endif
