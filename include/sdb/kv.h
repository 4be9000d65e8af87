/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sdb/kv.h: ordered keys and values, in keyspaces, under transactions.
 *
 * Four nouns: a database (sdb/db.h), a keyspace in it, a transaction over any keyspaces of it, a
 * cursor in a transaction.
 *
 * Caveats first.
 *   - Keys are bytes, 0…SDB_KEY_MAX of them, ordered as memcmp orders them, a prefix before what
 *     it begins. Values are bytes, 0…SDB_VALUE_MAX.
 *   - A transaction sees the database as it was when the transaction began, plus its own changes.
 *     Any number of them, reading and writing, run at once; none waits for another. If two that
 *     overlap in time change the same key, the first to commit wins and the other's commit answers
 *     SDB_CONFLICT: run it again (sdb_txn_run does). That is snapshot isolation; for more,
 *     SDB_TXN_SERIALIZABLE.
 *   - A transaction and its cursors are used by one thread at a time; different transactions by
 *     any threads at once.
 *   - What a commit changed is seen by transactions that begin from then on, perhaps a moment
 *     before it is durable; what depends on it cannot become durable before it. Whoever must not
 *     act on what a power failure could still take back calls sdb_sync first.
 *   - A value may have an expiry, given with it or by its keyspace (see below). From then on it is
 *     not there, for whatever call.
 *   - An open transaction keeps old versions alive: end readers that you no longer need.
 *   - Slices that come back are *borrowed*: each call says until when. Slices that go in are read
 *     during the call and not kept.
 */
#ifndef SDB_KV_H
#define SDB_KV_H

#include <sdb/db.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SDB_KEY_MAX 65536u
#define SDB_VALUE_MAX 2147483648u
#define SDB_KEYSPACE_NAME_MAX 255u

/* Bytes somewhere. `data` may be NULL when size is 0. */
typedef struct sdb_slice {
    const void *data;
    size_t size;
} sdb_slice;

/* An ordered map in a database. Borrowed until sdb_close; any thread. */
typedef struct sdb_keyspace sdb_keyspace;
/* A transaction. From sdb_txn_begin; ended by sdb_txn_commit or sdb_txn_abort. */
typedef struct sdb_txn sdb_txn;
/* A place in a keyspace, in a transaction. From sdb_cursor_open; ended by sdb_cursor_close. */
typedef struct sdb_cursor sdb_cursor;

/* ---- keyspaces ---------------------------------------------------------------------------- */

enum {
    SDB_KEYSPACE_MUST_EXIST = 1 << 0, /* SDB_NOTFOUND instead of making one */
    SDB_KEYSPACE_MUST_MAKE = 1 << 1   /* SDB_EXISTS instead of opening one */
};

/*
 * Opens the keyspace `name` (UTF-8, 1…SDB_KEYSPACE_NAME_MAX bytes, no control characters), and
 * makes it if need be: that is a commit of its own. The same name gives the same handle.
 */
SDB_API SDB_MUST_USE sdb_status sdb_keyspace_open(sdb_db *db, const char *name, unsigned flags,
                                                  sdb_keyspace **out_keyspace);

/*
 * sdb_compression (sdb/db.h) says how the pages of a keyspace are compressed on their way to the
 * file. In memory they are not, so only writing and reading the file cost time: per page of 8 KiB
 * some 4 µs to compress and 1 to decompress with LZ4, 10 and 2 with ZSTD (level 3; level 19 takes
 * 0.7 ms). A page that would not become smaller by at least 512 bytes is stored as it is. Values
 * too large for a page (a quarter of it) are not compressed.
 */
#define SDB_COMPRESSION_LEVEL_MAX 19u

/* Zero in any field means its default. Begin with SDB_KEYSPACE_OPTIONS_INIT. */
typedef struct sdb_keyspace_options {
    size_t size;                 /* sizeof(sdb_keyspace_options): tells later fields from none */
    sdb_compression compression; /* default: none */
    unsigned level;              /* ZSTD: 1 (fast) … 19 (small); default 3 */
    uint64_t ttl_ms;             /* sdb_keyspace_set_ttl; default: values live for ever */
} sdb_keyspace_options;

#ifdef __cplusplus
#define SDB_KEYSPACE_OPTIONS_INIT                                                                  \
    sdb_keyspace_options{sizeof(sdb_keyspace_options), SDB_COMPRESSION_NONE, 0, 0}
#else
#define SDB_KEYSPACE_OPTIONS_INIT ((sdb_keyspace_options){.size = sizeof(sdb_keyspace_options)})
#endif

/*
 * Makes the keyspace `name` with options (NULL: defaults) that it keeps for life, as a commit of
 * its own (but for ttl_ms, which can be changed). SDB_EXISTS if there is one of that name,
 * SDB_INVALID for options that make no sense. A database with a compressed keyspace, or with
 * expiries, is refused by libraries that know none.
 */
SDB_API SDB_MUST_USE sdb_status sdb_keyspace_make(sdb_db *db, const char *name,
                                                  const sdb_keyspace_options *options,
                                                  sdb_keyspace **out_keyspace);

/* How a keyspace is compressed, and with what effect. */
typedef struct sdb_keyspace_stats {
    size_t size;               /* sizeof(sdb_keyspace_stats), set by the caller */
    sdb_compression compression;
    unsigned level;
    uint64_t pages;            /* its own, those for the rests of long keys excepted */
    uint64_t compressed_pages; /* of them, those that stand compressed in the file */
    uint64_t page_bytes;       /* pages × page size */
    uint64_t stored_bytes;     /* what they take in the file, as far as they have been written */
    uint64_t dictionary_bytes; /* of the dictionary that pages are now compressed with; 0: none */
    uint64_t dictionaries;     /* kept for pages that were compressed with them, that one too */
} sdb_keyspace_stats;

/*
 * Fills *out_stats, as far as its `size` says it reaches. Reads the inner pages of the keyspace's
 * tree, about one in a hundred. While others write, the figures are near the truth.
 */
SDB_API SDB_MUST_USE sdb_status sdb_keyspace_stat(sdb_keyspace *keyspace,
                                                  sdb_keyspace_stats *out_stats);

enum {
    /* have all pages written anew, with the dictionary; otherwise those that change are */
    SDB_TRAIN_REWRITE = 1 << 0
};

/* What sdb_keyspace_train found in a sample of pages that it had not trained with. */
typedef struct sdb_train_result {
    size_t size;               /* sizeof(sdb_train_result), set by the caller */
    uint64_t dictionary_bytes;
    uint64_t tried_pages;
    uint64_t bytes_before;     /* that these pages take in the file as they are compressed now */
    uint64_t bytes_after;      /* and with the new dictionary */
} sdb_train_result;

/*
 * Trains a dictionary: what the keyspace's pages have in common stands there once, and pages become
 * smaller by it. It pays for keyspaces with few entries a page that look alike (documents of a
 * kilobyte with the same field names), and little for small entries: in a page, those are much of
 * a dictionary to each other. So it is tried first. SDB_OK: it is kept, and durable. SDB_NOTFOUND:
 * there is none that makes a sample of pages smaller by 2 % at least, or there are fewer than 64
 * pages; all is as before.
 *
 * For keyspaces made with SDB_COMPRESSION_ZSTD; for others SDB_INVALID. `dictionary_bytes`: at most
 * so many, 256 to 1048576; 0: 65536. It reads up to 8 MiB of pages, takes seconds, and makes a
 * checkpoint, while others read and write; memory for all dictionaries (about five times their
 * size, for those in use) is beside the cache. Older dictionaries are kept, up to 16 (SDB_LIMIT),
 * until the keyspace is dropped. All of a database, each with 32 KiB added, take at most 128 MiB
 * (SDB_LIMIT), in which those dropped since it was opened count too. SDB_BUSY: one is being
 * trained. `progress` (pages written anew, with SDB_TRAIN_REWRITE) and out_result may be NULL. Such
 * a database is refused by libraries that know no dictionaries. The log does not know of them: a
 * backup that is rolled forward has those that the backup had.
 */
SDB_API SDB_MUST_USE sdb_status sdb_keyspace_train(sdb_keyspace *keyspace,
                                                   size_t dictionary_bytes, unsigned flags,
                                                   sdb_progress_fn progress, void *context,
                                                   sdb_train_result *out_result);

/*
 * Removes the keyspace and all it holds, as one commit. Transactions that began before still read
 * it; later calls with the handle answer SDB_NOTFOUND. Its space returns once no transaction needs
 * it.
 */
SDB_API SDB_MUST_USE sdb_status sdb_keyspace_drop(sdb_keyspace *keyspace);

/* The keyspace's name. Borrowed until sdb_close. */
SDB_API const char *sdb_keyspace_name(const sdb_keyspace *keyspace);

/*
 * The first keyspace whose name is greater than `after` (NULL: the first of all), copied with its
 * NUL into `out_name`. SDB_END when there is none. Call it again with the name to walk them all.
 */
SDB_API SDB_MUST_USE sdb_status sdb_keyspace_next(sdb_db *db, const char *after,
                                                  char out_name[SDB_KEYSPACE_NAME_MAX + 1]);

/* ---- transactions ------------------------------------------------------------------------- */

enum {
    SDB_TXN_READ = 0,       /* changes answer SDB_READONLY */
    SDB_TXN_WRITE = 1 << 0, /* reads and writes, with conflict detection */
    SDB_TXN_BATCH = 1 << 1, /* writes only, blind: never conflicts, reads answer SDB_INVALID */
    /*
     * With WRITE: conflicts also with what it reads. The commit answers SDB_CONFLICT if another
     * commit has changed, since the transaction began, a key that it got, or looked for and did not
     * find, or any key between two places that one of its cursors (or sdb_count) went to. All such
     * transactions then did what they would have done one after the other, in the order of their
     * commits. Without WRITE it changes nothing: transactions that only read, and batches, fit into
     * that order as they are. What is read is kept in at most 1 MiB of memory; beyond that it is
     * taken for more than it was, which can only make a conflict more likely. Which keyspaces there
     * are, and what calls without the transaction read, does not count.
     */
    SDB_TXN_SERIALIZABLE = 1 << 2
};

/* Begins a transaction. *out_txn is owned: sdb_txn_commit or sdb_txn_abort. */
SDB_API SDB_MUST_USE sdb_status sdb_txn_begin(sdb_db *db, unsigned flags, sdb_txn **out_txn);

/*
 * Commits, and ends the transaction whatever the answer; its cursors must be closed before.
 * SDB_OK: the changes are visible and as durable as its level says. SDB_CONFLICT: nothing changed.
 * SDB_IO: the handle is dead, and only the next sdb_open can tell whether this commit survived.
 * Other failures: nothing changed.
 */
SDB_API SDB_MUST_USE sdb_status sdb_txn_commit(sdb_txn *txn);

/* Ends the transaction without a trace. Its cursors must be closed before. NULL is allowed. */
SDB_API void sdb_txn_abort(sdb_txn *txn);

/* Chooses this commit's durability instead of the database's. */
SDB_API void sdb_txn_set_durability(sdb_txn *txn, sdb_durability durability);

/*
 * Runs `fn` in a new transaction (flags as above) and commits it; on SDB_CONFLICT runs it again
 * with growing, jittered pauses until `timeout_ms` (0: 10 s) have gone, then answers SDB_CONFLICT.
 * If fn returns anything but SDB_OK the transaction is aborted and that is the answer. fn must be
 * fit to run twice, and must close its cursors.
 */
typedef sdb_status (*sdb_txn_fn)(sdb_txn *txn, void *context);
SDB_API SDB_MUST_USE sdb_status sdb_txn_run(sdb_db *db, unsigned flags, sdb_txn_fn fn,
                                            void *context, unsigned timeout_ms);

/*
 * Marks a point to return to. Savepoints nest: rolling back to one forgets the later ones and keeps
 * itself. *out_savepoint is a number, valid until the transaction ends or an earlier one is rolled
 * back.
 */
SDB_API SDB_MUST_USE sdb_status sdb_savepoint_set(sdb_txn *txn, uint64_t *out_savepoint);

/* Undoes what the transaction changed since. SDB_NOTFOUND if there is no such savepoint. */
SDB_API SDB_MUST_USE sdb_status sdb_savepoint_rollback(sdb_txn *txn, uint64_t savepoint);

/* ---- reading and writing ------------------------------------------------------------------ */

/*
 * The value of `key`. *out_value is borrowed until the next sdb_get on this transaction, the next
 * change made in it, or its end. SDB_NOTFOUND if there is none.
 */
SDB_API SDB_MUST_USE sdb_status sdb_get(sdb_txn *txn, sdb_keyspace *keyspace, sdb_slice key,
                                        sdb_slice *out_value);

/*
 * The newest committed value of `key`, copied into buffer[0…capacity), without a transaction.
 * *out_size is the value's whole size. SDB_LIMIT if it does not fit: *out_size is set; what the
 * buffer then holds means nothing.
 */
SDB_API SDB_MUST_USE sdb_status sdb_get_copy(sdb_keyspace *keyspace, sdb_slice key, void *buffer,
                                             size_t capacity, size_t *out_size);

/*
 * Sets key to value. `txn` may be NULL: the change is then a batch of its own, committed when the
 * call returns. SDB_LIMIT if the key or the value is too long. SDB_FULL, SDB_IO: what the
 * transaction has changed so far has outgrown txn_memory_bytes and cannot be spilled; it is as
 * before.
 */
SDB_API SDB_MUST_USE sdb_status sdb_put(sdb_txn *txn, sdb_keyspace *keyspace, sdb_slice key,
                                        sdb_slice value);

/* Sets key to value unless key has one: then SDB_EXISTS. Not in a batch; txn must not be NULL. */
SDB_API SDB_MUST_USE sdb_status sdb_insert(sdb_txn *txn, sdb_keyspace *keyspace, sdb_slice key,
                                           sdb_slice value);

/*
 * Removes key. In a WRITE transaction SDB_NOTFOUND says that there was none. In a batch, and with
 * txn NULL, the call does not look: SDB_OK.
 */
SDB_API SDB_MUST_USE sdb_status sdb_del(sdb_txn *txn, sdb_keyspace *keyspace, sdb_slice key);

typedef struct sdb_range sdb_range;

/*
 * Removes all keys of a range (NULL: of the keyspace; see below). One change, however many keys: it
 * is logged as its bounds, and while no older transaction is open its time does not grow with the
 * range; the space returns soon after. With older transactions open, which still see the keys, each
 * key is removed by itself, and kept for them: SDB_LIMIT at the commit if that would take more than
 * version_bytes. In a WRITE transaction the commit answers SDB_CONFLICT if anything in the range
 * was changed since it began. `txn` may be NULL, as for sdb_put. SDB_OK if there is nothing to
 * remove; SDB_LIMIT if a bound is longer than a key can be.
 */
SDB_API SDB_MUST_USE sdb_status sdb_del_range(sdb_txn *txn, sdb_keyspace *keyspace,
                                              const sdb_range *range);

/*
 * Operators of sdb_merge. A key without a value takes the operand as its value.
 *   ADD     numbers: 64 bits, signed, little-endian. A sum that 64 bits do not hold is SDB_LIMIT,
 *           a value of another size SDB_INVALID.
 *   APPEND  the operand behind the value
 *   MAX     the greater of the two, as keys are ordered (numbers: big-endian, unsigned)
 *   MIN     the lesser
 *   UNION   sets of byte strings: each string with its size before it, u32 little-endian; in the
 *           order of keys, none twice. A value or operand of another form is SDB_INVALID.
 */
enum {
    SDB_MERGE_ADD = 1,
    SDB_MERGE_APPEND = 2,
    SDB_MERGE_MAX = 3,
    SDB_MERGE_MIN = 4,
    SDB_MERGE_UNION = 5,
    SDB_MERGE_USER = 64 /* from here to 255: the program's own (sdb_options) */
};

/*
 * Merges `operand` into the value of `key`, without looking: the operator is applied when the
 * transaction commits, to what is there then. So transactions that merge into the same key do not
 * conflict with each other; a merge conflicts like a put only if the same transaction has read the
 * key (sdb_get, or a cursor that came to it). Reads in the transaction see its merges. `txn` NULL:
 * a commit of its own.
 *
 * SDB_INVALID: no such operator, or it cannot take the operand. What the operator refuses at the
 * commit (above) is the commit's answer, and nothing is changed; a read in the transaction may
 * answer the same earlier.
 */
SDB_API SDB_MUST_USE sdb_status sdb_merge(sdb_txn *txn, sdb_keyspace *keyspace,
                                          unsigned merge_operator, sdb_slice key,
                                          sdb_slice operand);

/* ---- values that expire ------------------------------------------------------------------- */

/*
 * Times are Unix milliseconds, of the system's clock. When the time of its expiry has come a value
 * is not there any more: no read, cursor, count, merge or change stream gives it, no conflict comes
 * of it, and sdb_insert puts over it. What it takes in the file is given back in the background,
 * within seconds to minutes by the number of entries (sdb_expire: at once); sdb_count_approx counts
 * it until then.
 *   - A transaction has one time, at which it began. What it sees does not expire while it looks.
 *   - An open transaction keeps in the file what expires after it began.
 *   - A put is all there is to a key: its expiry is the new value's, the old one's is forgotten.
 *     sdb_put and sdb_insert give the keyspace's time to live, counted from the call, or none.
 *   - A merge keeps the expiry of the value that it changes. One that finds nothing makes a value
 *     with the keyspace's time to live, counted from the commit.
 *   - If the system's clock is set back, what has not been removed yet may be there again.
 */

/*
 * sdb_put with an expiry; 0: for ever, whatever the keyspace's time to live. One that has passed is
 * no mistake: the key then has no value.
 */
SDB_API SDB_MUST_USE sdb_status sdb_put_expiring(sdb_txn *txn, sdb_keyspace *keyspace,
                                                 sdb_slice key, sdb_slice value,
                                                 uint64_t expiry_ms);

/* The expiry of the value of `key`; 0: for ever. SDB_NOTFOUND if there is none. */
SDB_API SDB_MUST_USE sdb_status sdb_expiry_get(sdb_txn *txn, sdb_keyspace *keyspace, sdb_slice key,
                                               uint64_t *out_expiry_ms);

/*
 * Gives the value of `key` another expiry (0: for ever). In all else it reads the value and puts it
 * again: it conflicts like that, and takes as long. Not in a batch; `txn` NULL: a transaction of
 * its own, run as by sdb_txn_run. SDB_NOTFOUND if there is none.
 */
SDB_API SDB_MUST_USE sdb_status sdb_expiry_set(sdb_txn *txn, sdb_keyspace *keyspace, sdb_slice key,
                                               uint64_t expiry_ms);

/*
 * Sets the time to live of values that are put from now on without an expiry of their own (0: for
 * ever), as a commit of its own. What is there keeps the expiry that it has.
 */
SDB_API SDB_MUST_USE sdb_status sdb_keyspace_set_ttl(sdb_keyspace *keyspace, uint64_t ttl_ms);

/* The time to live that it has now; 0: none. */
SDB_API SDB_MUST_USE sdb_status sdb_keyspace_ttl(sdb_keyspace *keyspace, uint64_t *out_ttl_ms);

/* ---- cursors ------------------------------------------------------------------------------ */

/*
 * Which keys a cursor sees: those that begin with `prefix`, are >= `lower` and < `upper`. Zero it,
 * set what you need. An empty prefix is no restriction; NULL bounds are none.
 */
struct sdb_range {
    sdb_slice prefix;
    const sdb_slice *lower;
    const sdb_slice *upper;
};

/*
 * Opens a cursor before the first key of the range (NULL: of the keyspace). It sees the
 * transaction's snapshot and, as they are made, the transaction's own changes. The range is copied.
 * *out_cursor is owned: sdb_cursor_close before the transaction ends.
 */
SDB_API SDB_MUST_USE sdb_status sdb_cursor_open(sdb_txn *txn, sdb_keyspace *keyspace,
                                                const sdb_range *range, sdb_cursor **out_cursor);

/*
 * Moves, and gives the entry arrived at, or SDB_END. Slices are borrowed until the cursor's next
 * call, or the transaction's next change or end. out_value may be NULL: large values are then not
 * read.
 *   first, last   the ends of the range
 *   seek          the first key >= `key`
 *   seek_back     the last key <= `key`
 *   next, prev    the neighbour. On a new cursor, and after END at the other side, they begin at
 *                 their end of the range; after END on their own side they stay there.
 */
SDB_API SDB_MUST_USE sdb_status sdb_cursor_first(sdb_cursor *cursor, sdb_slice *out_key,
                                                 sdb_slice *out_value);
SDB_API SDB_MUST_USE sdb_status sdb_cursor_last(sdb_cursor *cursor, sdb_slice *out_key,
                                                sdb_slice *out_value);
SDB_API SDB_MUST_USE sdb_status sdb_cursor_seek(sdb_cursor *cursor, sdb_slice key,
                                                sdb_slice *out_key, sdb_slice *out_value);
SDB_API SDB_MUST_USE sdb_status sdb_cursor_seek_back(sdb_cursor *cursor, sdb_slice key,
                                                     sdb_slice *out_key, sdb_slice *out_value);
SDB_API SDB_MUST_USE sdb_status sdb_cursor_next(sdb_cursor *cursor, sdb_slice *out_key,
                                                sdb_slice *out_value);
SDB_API SDB_MUST_USE sdb_status sdb_cursor_prev(sdb_cursor *cursor, sdb_slice *out_key,
                                                sdb_slice *out_value);

/* Closes the cursor. NULL is allowed. */
SDB_API void sdb_cursor_close(sdb_cursor *cursor);

/* How many keys the range holds, exactly, as this transaction sees it. Time grows with it. */
SDB_API SDB_MUST_USE sdb_status sdb_count(sdb_txn *txn, sdb_keyspace *keyspace,
                                          const sdb_range *range, uint64_t *out_count);

/*
 * About how many keys the range (NULL: the keyspace) holds, of the newest committed state, in the
 * time of some dozens of page reads at most: for choosing between ways to an answer. Exact for the
 * few keys of two pages that lie side by side; for many keys put in random order within 10 % nearly
 * always, within 25 % where sizes or fan-outs vary much. The same state gives the same answer.
 */
SDB_API SDB_MUST_USE sdb_status sdb_count_approx(sdb_keyspace *keyspace, const sdb_range *range,
                                                 uint64_t *out_count);

#ifdef __cplusplus
}
#endif
#endif
