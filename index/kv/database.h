/* SPDX-License-Identifier: Apache-2.0 */
/*
 * database.h: a database from inside: what its threads share, and under which lock.
 *
 * Locks, in this order
 *   reap_lock        one removal of expired values at a time
 *   checkpoint_lock  one checkpoint (backup, check) at a time
 *   commit_lock      log order, the trees' changes, the catalog, the cut of a checkpoint
 *   page latches     (engine/pager)
 *   versions.lock    (versions.h)
 *   pager's locks    (engine/pager/pool.h)
 *   snapshot_lock    open snapshots, the visible commit; a leaf: nothing is locked under it
 *   keyspace_lock    the table of keyspaces; a leaf
 *   stream_lock      the list of change streams; a leaf
 *   dead_lock        what killed the handle; a leaf
 *   worker's lock    (kv_worker.h); a leaf
 *
 * The catalog is a tree with id 0. Its keys: "k" + name → id u32, packing u32, root u64, commit u64
 * that made it; "d" + id (big-endian u32) → root u64: dropped, to be freed; "c" + page id
 * (big-endian u64) → id u32: a subtree that was cut off that keyspace, to be freed; "n" → next
 * keyspace id u32; "t" + id (big-endian u32) → time to live u64: values in the keyspace may have an
 * expiry.
 */
#ifndef SDB_INDEX_KV_DATABASE_H
#define SDB_INDEX_KV_DATABASE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sdb/changes.h>

#include "engine/base/mem.h"
#include "engine/io/io.h"
#include "engine/pager/pager.h"
#include "index/btree/btree.h"
#include "index/kv/readset.h"
#include "index/kv/versions.h"
#include "index/kv/kv_worker.h"
#include "index/kv/writeset.h"
#include "wal/wal.h"

enum {
    CATALOG_TREE = 0,
    CATALOG_VALUE = 24, /* bytes of a "k" entry's value */
    /* operations that a commit may apply without leaving versions: new snapshots wait meanwhile */
    QUIET_MOST = 1024,
    RESERVE_PAGES = 8,  /* frames a single operation may need */
    RESERVE_RANGE = 64  /* the same, if it deletes a range */
};

struct sdb_keyspace {
    sdb_db *db;
    struct btree tree;
    _Atomic uint64_t last_leaf; /* the tree's */
    uint32_t packing; /* packing.h */
    const struct dictionary *dictionary; /* to pack with; NULL: none. Under keyspace_lock */
    _Atomic uint64_t ttl_ms;  /* of values that are put without an expiry of their own; 0: none */
    _Atomic bool expiring;    /* values in it may have an expiry; set under commit_lock */
    /* No value in it expires before; 0: not known. UINT64_MAX: none does. */
    _Atomic uint64_t next_expiry;
    uint64_t rest_until_ns;   /* the reaper's; under reap_lock */
    _Atomic uint64_t dropped; /* the commit that dropped it; 0: it is there */
    bool freed;               /* its pages are gone, or leaked; under commit_lock */
    char name[SDB_KEYSPACE_NAME_MAX + 1];
};

/* A dictionary that the catalog has (dict.h). */
struct kept_dict {
    uint32_t keyspace, number;
    uint64_t extent, size;
};

/* A subtree that a deleted range left; only its freeing leads to it. */
struct keyspace_cut {
    uint64_t root;
    uint32_t id; /* of the keyspace, which may be dropped */
};

/*
 * An open snapshot: a reader that sees commits <= commit, and of them no value whose expiry is <=
 * now_ms. 0: all of them; the database had none with an expiry when it was opened.
 */
struct snapshot {
    struct snapshot *before, *after; /* older, newer */
    uint64_t commit;
    uint64_t now_ms;
};

/* Has a value with this expiry (0: none) gone at that time? */
static inline bool is_gone(uint64_t expiry, uint64_t now_ms) { return expiry && expiry <= now_ms; }

/* Unix milliseconds. */
typedef uint64_t (*clock_fn)(void);

/* Where the removal of expired values stands. Under reap_lock. */
struct reaping {
    uint32_t keyspace;   /* that is being gone through; 0: none */
    struct buffer place; /* keys before it have been looked at */
    uint64_t next;       /* the earliest expiry that was met and is still to come */
    uint64_t begun_ns;
};

struct sdb_db {
    sdb_allocator own_allocator;
    const sdb_allocator *allocator;
    sdb_options options; /* with defaults filled in */
    char *path, *wal_folder;
    char *archive; /* folder that keeps segments of the log; NULL: none */
    struct io *io;
    bool owns_io, is_memory, readonly;
    struct sdb_db *parent; /* of a named snapshot: what it was opened from, with io and file */
    struct io_file *file;
    struct pager *pager;
    struct btree catalog;

    _Atomic int dead; /* the status that killed the handle, or SDB_OK */
    char dead_text[320];
    pthread_mutex_t dead_lock;

    _Atomic(clock_fn) clock;   /* NULL: the system's */
    uint64_t frozen_ms;        /* not 0: what the time stands at, since a snapshot was made then */
    _Atomic bool expiring;     /* there may be values with an expiry */
    pthread_mutex_t reap_lock;
    struct reaping reaping;

    pthread_mutex_t checkpoint_lock;
    pthread_mutex_t commit_lock;
    uint64_t commit_ms;        /* the time of the commit that is being made, as the log has it */
    uint64_t last_commit;      /* number of the last commit that was applied */
    struct wal *_Atomic wal;   /* NULL before the first commit */
    uint64_t log_id;           /* of the log in use; 0: none */
    uint64_t log_first;        /* its first LSN */
    uint64_t history;          /* id of the last log before it that has commits; 0: none */
    uint64_t lsn;              /* while there is no log: where the next one begins */
    bool changed;              /* since the last checkpoint */
    _Atomic uint64_t checkpoint_lsn; /* the log that a crash would replay begins here */
    _Atomic bool log_full;           /* a commit has found the log at its limit */
    _Atomic bool group_waiting;      /* GROUP commits that are not durable yet */
    _Atomic uint64_t last_sync_ns;   /* GROUP without threads */

    pthread_mutex_t snapshot_lock;
    pthread_cond_t snapshot_cond;
    struct snapshot *oldest, *newest;
    uint64_t snapshot_count, transaction_count;
    uint64_t opened; /* handles of named snapshots */
    uint64_t reap_ms; /* what has expired by then may be going just now; 0: nothing is */
    /* Changed under the lock; reads that open no snapshot look without it. */
    _Atomic uint64_t visible;
    _Atomic uint64_t applying; /* the commit that is, or was last, being applied */
    _Atomic uint64_t applying_keys; /* its keys' bits, of sdb__snapshot_key */
    _Atomic bool quiet;        /* it leaves no versions */
    struct sdb_txn *idle_txns; /* for reuse */
    unsigned idle_count;

    struct versions versions;
    _Atomic uint64_t spilled_bytes; /* by write sets, in all */

    pthread_mutex_t keyspace_lock;
    sdb_keyspace **keyspaces; /* in the order of their numbers */
    size_t keyspace_count, keyspace_capacity;
    uint32_t next_keyspace;
    /* dropped keyspaces, and subtrees cut off, whose pages are still there */
    _Atomic uint32_t unfreed;
    _Atomic uint32_t leaked;   /* those that damage has ended the freeing of (freeing.c) */
    struct keyspace_cut *cuts; /* under commit_lock; the first leaked_cuts of them are leaked */
    size_t cut_count, cut_capacity, leaked_cuts;
    struct kept_dict *dicts; /* under commit_lock */
    size_t dict_count, dict_capacity;
    struct dictionaries dictionaries; /* those that were, since the database was opened */
    _Atomic bool training;

    pthread_mutex_t stream_lock;
    sdb_changes *streams;

    struct worker checkpointer; /* makes checkpoints, frees dropped keyspaces */
    struct worker keeper;   /* log segments and memory ahead of need, GROUP's syncs */
    bool has_workers;
    struct worker reaper;       /* removes expired values; started when there may be some */
    _Atomic int reaper_state;   /* reaper.c */

    _Atomic uint64_t commits, conflicts, checkpoints, last_checkpoint_ms, log_waits;
    _Atomic uint64_t expired_removed, reap_rounds;
    uint64_t recovered_commits, recovery_ms;
};

/* ---- open.c ---- */
/* sdb_open on a given backend, which stays the caller's. For tests and for checking. */
SDB_MUST_USE sdb_status sdb__db_open(struct io *io, const char *path, const sdb_options *options,
                                     sdb_db **out_db);
/* A handle without file and backend, also on failure unless *out_db is untouched. */
SDB_MUST_USE sdb_status sdb__db_new(const char *path, const sdb_options *options,
                                    sdb_db **out_db);
/* Reads the catalog of the checkpoint that the pager begins with. */
SDB_MUST_USE sdb_status sdb__db_load(sdb_db *db);
/* Frees a handle in any state of completion; writes nothing. */
void sdb__db_free(sdb_db *db);
/* The answer of a dead handle, or SDB_OK. */
SDB_MUST_USE sdb_status sdb__db_alive(sdb_db *db);
/*
 * Kills the handle with the sentence just recorded; returns SDB_IO for anything but CORRUPT, FULL,
 * NOMEM.
 */
sdb_status sdb__db_kill(sdb_db *db, sdb_status status);
/* The given options with defaults; SDB_INVALID for senseless ones. */
SDB_MUST_USE sdb_status sdb__options_fill(const sdb_options *given, sdb_options *out);

/* ---- snapshot.c ---- */
/* Opens a snapshot of the newest visible commit. */
void sdb__snapshot_open(sdb_db *db, struct snapshot *snapshot);
/* Closes it, and drops versions that only it needed. */
void sdb__snapshot_close(sdb_db *db, struct snapshot *snapshot);
/*
 * Begins applying a commit of `count` operations that changes `keys` (sdb__snapshot_key, ored):
 * whether it must leave versions. Ended by publish.
 */
bool sdb__snapshot_apply(sdb_db *db, uint64_t count, uint64_t keys);
void sdb__snapshot_publish(sdb_db *db, uint64_t commit);
/* The newest visible commit, for a read without a snapshot that ends with await. */
uint64_t sdb__snapshot_visible(const sdb_db *db);
/*
 * Waits until whatever a tree may have shown of a key by now is visible, but for what has left
 * versions: a moment, if at all.
 */
void sdb__snapshot_await(const sdb_db *db, uint32_t keyspace, struct bytes key);
/* One bit of 64 for a key: two keys may have the same. */
uint64_t sdb__snapshot_key(uint32_t keyspace, struct bytes key);
/* No open snapshot is older than the answer. */
uint64_t sdb__snapshot_oldest(sdb_db *db);

/* ---- named.c ---- */
/* A handle of a named snapshot is gone. */
void sdb__named_closed(sdb_db *parent);
/*
 * For the removal of expired values: the time by which they have expired for whoever has a snapshot
 * or opens one before the end, if that is not later than `now_ms`.
 */
uint64_t sdb__snapshot_reap_begin(sdb_db *db, uint64_t now_ms);
void sdb__snapshot_reap_end(sdb_db *db);

/* ---- expiry.c ---- */
/* What time it is for expiries and commits: Unix milliseconds. */
uint64_t sdb__db_now_ms(const sdb_db *db);
/* Another clock, for tests; NULL: the system's again. Any thread. */
void sdb__db_set_clock(sdb_db *db, clock_fn clock);
/* The expiry of a value that is put into the keyspace now, or then, without one of its own. */
uint64_t sdb__keyspace_expiry(const sdb_keyspace *keyspace);
uint64_t sdb__keyspace_expiry_at(const sdb_keyspace *keyspace, uint64_t now_ms);
/* Takes note of a value with an expiry that is about to be put. Under commit_lock. */
SDB_MUST_USE sdb_status sdb__keyspace_note_expiry(sdb_keyspace *keyspace, uint64_t expiry);
/* Applies OP_TTL. */
SDB_MUST_USE sdb_status sdb__keyspace_apply_ttl(sdb_keyspace *keyspace, uint64_t ttl_ms);
/* Takes over what the catalog says: the keyspace may have expiring values. */
void sdb__keyspace_take_ttl(sdb_keyspace *keyspace, uint64_t ttl_ms);

/* ---- reaper.c ---- */
/* Starts the thread that removes expired values, if there may be some and it has none yet. */
void sdb__reaper_start(sdb_db *db);
void sdb__reaper_stop(sdb_db *db);
/* The same after a commit: a branch if there is nothing to do. */
static inline void sdb__reaper_need(sdb_db *db)
{
    if (atomic_load_explicit(&db->expiring, memory_order_relaxed) &&
        atomic_load_explicit(&db->reaper_state, memory_order_relaxed) == 0)
        sdb__reaper_start(db);
}

/* ---- keyspace.c ---- */
SDB_MUST_USE sdb_status sdb__keyspaces_load(sdb_db *db);
void sdb__keyspaces_done(sdb_db *db);
/* The keyspace with an id, or NULL. Under commit_lock. */
sdb_keyspace *sdb__keyspace_by_id(sdb_db *db, uint32_t id);
/* How the pages of the tree with an id are packed (packing.h), and with what; any thread. */
uint32_t sdb__keyspace_packing(sdb_db *db, uint32_t id, const struct dictionary **out_dictionary);
/* NULL, or what is wrong with a name of at most SDB_KEYSPACE_NAME_MAX bytes. */
const char *sdb__keyspace_judge_name(struct bytes name);
/* Applies OP_MAKE and OP_DROP. Under commit_lock. */
SDB_MUST_USE sdb_status sdb__keyspace_apply_make(sdb_db *db, uint32_t id, struct bytes name,
                                                 uint32_t packing, uint64_t commit);
SDB_MUST_USE sdb_status sdb__keyspace_apply_drop(sdb_db *db, uint32_t id, uint64_t commit);
/* Enters in the catalog that values in the keyspace may expire. Under commit_lock. */
SDB_MUST_USE sdb_status sdb__keyspace_keep_ttl(sdb_keyspace *keyspace, uint64_t ttl_ms);

/* ---- freeing.c ---- */
/* Takes over a subtree that was just cut off: in memory only. Under commit_lock. */
SDB_MUST_USE sdb_status sdb__keyspace_note_cut(sdb_db *db, uint32_t id, uint64_t root);
/* Enters the subtrees taken over, from number `first` on, in the catalog. Under commit_lock. */
SDB_MUST_USE sdb_status sdb__keyspace_keep_cuts(sdb_db *db, size_t first);
/*
 * Frees what deleted ranges cut off, and pages of dropped keyspaces that no snapshot can read, in
 * steps of a few hundred pages. Takes commit_lock for each. What cannot be freed now (a full disk)
 * is put off, and what damage keeps from being freed is left: fails only if the handle is dead.
 */
SDB_MUST_USE sdb_status sdb__keyspaces_tidy(sdb_db *db);

/* ---- vacuum.c ---- */
/* Pages and extents that were to be moved and could not be read, and what was said of the first. */
struct passed_over {
    uint64_t count;
    char why[320];
};
/* Has pages written anew. Takes commit_lock. `passed` NULL: a damaged one ends it. */
SDB_MUST_USE sdb_status sdb__db_move_pages(sdb_db *db, const uint64_t *ids, size_t count,
                                           struct passed_over *passed);

/* ---- txn.c ---- */
/* Frees the transactions kept for reuse. */
void sdb__txns_done(sdb_db *db);

/* ---- commit.c, apply.c ---- */
/*
 * Commits a write set. `snapshot`, if given, is checked for conflicts against, with what was
 * written and, if given, with what was read; it is closed in any case.
 */
SDB_MUST_USE sdb_status sdb__commit(sdb_db *db, struct write_set *writes,
                                    const struct read_set *reads, struct snapshot *snapshot,
                                    sdb_durability durability);
/* The extents prepared for large values, in the order of the operations. */
struct prepared {
    struct extent *extents;
    size_t count, capacity, next;
};
/*
 * Applies encoded operations to the trees as part of commit `commit`. `prepared` NULL: extents are
 * written as they are met. Under commit_lock. A failure leaves a part applied.
 */
SDB_MUST_USE sdb_status sdb__apply(sdb_db *db, const uint8_t *ops, size_t size, uint64_t commit,
                                   bool keep, struct prepared *prepared);
/*
 * Applies a write set in the order of its keys. SDB_END: it cannot be done so (large values, no
 * memory to sort), and nothing was applied.
 */
SDB_MUST_USE sdb_status sdb__apply_sorted(sdb_db *db, const struct write_set *writes,
                                          uint64_t commit, bool keep);
/* Gives the extent of an old value (NULL: none) back: no snapshot wants it. */
SDB_MUST_USE sdb_status sdb__apply_release(sdb_db *db, const struct btree_value *old);
/* The same, as a part of a run of puts that the caller ends (btree.h). */
SDB_MUST_USE sdb_status sdb__apply_run(sdb_db *db, const uint8_t *ops, size_t size,
                                       uint64_t commit, bool keep, struct prepared *prepared,
                                       struct btree_run *run);
/* Removes one key, as sdb__apply does. */
SDB_MUST_USE sdb_status sdb__apply_del(sdb_keyspace *keyspace, struct bytes key, uint64_t commit,
                                       bool keep);

/* ---- delrange.c ---- */
/* Applies OP_DELRANGE. */
SDB_MUST_USE sdb_status sdb__apply_del_range(sdb_keyspace *keyspace, const struct op *op,
                                             uint64_t commit, bool keep);
/*
 * For a write set that deletes ranges or was spilled, in place of sdb__snapshot_apply and before
 * the commit is logged: whether it must leave versions. SDB_LIMIT: they would be too many. Until
 * publish (which a failure has called) no snapshot opens, unless it leaves them.
 */
SDB_MUST_USE sdb_status sdb__ready_versions(sdb_db *db, const struct write_set *writes,
                                            bool *out_keep);

/* ---- recover.c ---- */
/* What to replay, and what came of it. */
struct replay {
    const char *folders[2]; /* as for sdb__wal_replay_both */
    struct wal_identity identity;
    uint64_t from_lsn;
    /* Taken are commits that begin before this LSN, up to this number, not after this time. */
    uint64_t until_lsn, until_commit, until_ms;

    bool reached;     /* there was a commit beyond one of the until_… */
    uint64_t end_lsn; /* behind the last commit taken */
    uint64_t last_ms; /* time of the last commit taken; left alone if there was none */
    bool failed;      /* while applying: then what is in memory is not whole */
};
/*
 * Applies the commits of a log to a database that has none. SDB_NOTFOUND: there is no such log, or
 * none that holds from_lsn; SDB_CORRUPT: what could be read of it was applied, unless `failed`.
 */
SDB_MUST_USE sdb_status sdb__replay(sdb_db *db, struct replay *what);
/* Replays log `log_id` from where the superblock ends; then the database needs no log. */
SDB_MUST_USE sdb_status sdb__recover(sdb_db *db, uint64_t log_id);

/* ---- backup.c ---- */
/*
 * sdb_backup. `fresh`: the copy gets an id of its own, for it will not go on as the original did.
 */
SDB_MUST_USE sdb_status sdb__backup(sdb_db *db, const char *path, bool fresh,
                                    sdb_progress_fn progress, void *context);

/* ---- changes.c ---- */
/* What may be trimmed of the log of which `lsn` and later are needed anyway. */
uint64_t sdb__changes_keep(sdb_db *db, uint64_t lsn);

/* ---- restore.c ---- */
/* sdb_restore on a given backend. */
SDB_MUST_USE sdb_status sdb__restore(struct io *io, const char *backup, const char *path,
                                     const sdb_restore_options *options,
                                     sdb_restore_result *out_result);

/* ---- checkpoint_run.c ---- */
/* Makes a checkpoint. `last`: the log is not needed any more, both superblocks are written. */
SDB_MUST_USE sdb_status sdb__db_checkpoint(sdb_db *db, bool last);
/* The same; KEEP: it stays as the snapshot `name`. LET_GO: from then on there is none. */
enum checkpoint_kind { CHECKPOINT_PLAIN, CHECKPOINT_LAST, CHECKPOINT_KEEP, CHECKPOINT_LET_GO };
SDB_MUST_USE sdb_status sdb__db_checkpoint_kind(sdb_db *db, enum checkpoint_kind kind,
                                                const char *name);
/*
 * Starts one in the background, or makes it here without threads, if the log or the cache asks for
 * it.
 */
SDB_MUST_USE sdb_status sdb__db_maybe_checkpoint(sdb_db *db);
/* Waits until the log is below its limit. Nothing may be locked. */
SDB_MUST_USE sdb_status sdb__db_wait_for_log(sdb_db *db);
/* Starts and stops the database's own threads. */
SDB_MUST_USE sdb_status sdb__workers_start(sdb_db *db);
void sdb__workers_stop(sdb_db *db);

#endif
