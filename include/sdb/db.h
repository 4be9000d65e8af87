/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sdb/db.h: a database: one file, opened by one process for writing.
 *
 * Caveats first.
 *   - `app.sdb` is the database. The folder `app.sdb-wal` stands beside it while it is open for
 *     writing, and after a crash; it belongs to the database: move or copy both, or neither. A
 *     clean close removes it.
 *   - One process may hold a database open for writing, or any number for reading. The second
 *     writer gets SDB_BUSY and a message with the holder's process id.
 *   - A handle may be used by any number of threads at once. After fork() the child must not use
 *     it.
 *   - After SDB_IO from a failed sync, or a failure while a logged change was being applied, the
 *     handle answers every call with that error: close it and open it again, which recovers.
 *
 * Sizes are bytes, times are milliseconds unless the name says otherwise.
 */
#ifndef SDB_DB_H
#define SDB_DB_H

#include <stddef.h>
#include <stdint.h>
#include <sdb/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A database handle. From sdb_open, owned by the caller, ended by sdb_close. */
typedef struct sdb_db sdb_db;

/*
 * Where the library takes its memory from. `resize` behaves as realloc: a NULL pointer allocates,
 * a size of 0 frees and returns NULL. It may be called from any thread. (Page frames are mapped
 * from the operating system and do not pass through here.)
 */
typedef struct sdb_allocator {
    void *(*resize)(void *context, void *memory, size_t size);
    void *context;
} sdb_allocator;

/*
 * What a commit has survived when it returns. Every level survives the death of the process.
 *   FULL   it is on disk: power may fail at once.
 *   GROUP  power failure may cost the commits of the last `group_interval_ms`.
 *   NONE   power failure may cost what the operating system had not yet written.
 * Whatever the level, what is there after a failure is a prefix of the commits, each one whole.
 */
typedef enum sdb_durability {
    SDB_DURABILITY_DEFAULT = 0, /* in options: FULL; in a transaction: the database's level */
    SDB_DURABILITY_FULL = 1,
    SDB_DURABILITY_GROUP = 2,
    SDB_DURABILITY_NONE = 3
} sdb_durability;

/* Which I/O backend to use. AUTO is io_uring where the kernel lets us, otherwise POSIX. */
typedef enum sdb_backend {
    SDB_BACKEND_AUTO = 0,
    SDB_BACKEND_URING = 1, /* SDB_INVALID from sdb_open where it is missing or forbidden */
    SDB_BACKEND_POSIX = 2
} sdb_backend;

/*
 * Who leaves a full cache. S3FIFO keeps what is used again from being swept out by scans; the
 * others are there to compare with. In the cache, LRU and LFU are approximations: uses are noted by
 * readers without a lock and taken over each time a sixteenth of the cache has been replaced.
 */
typedef enum sdb_cache_policy {
    SDB_CACHE_DEFAULT = 0, /* S3FIFO */
    SDB_CACHE_S3FIFO = 1,
    SDB_CACHE_SIEVE = 2,
    SDB_CACHE_CLOCK = 3,
    SDB_CACHE_LRU = 4,
    SDB_CACHE_LFU = 5,
    SDB_CACHE_FIFO = 6
} sdb_cache_policy;

/* Of the pages of a keyspace (sdb/kv.h), or of the log (LZ4 only). */
typedef enum sdb_compression {
    SDB_COMPRESSION_NONE = 0,
    SDB_COMPRESSION_LZ4 = 1,
    SDB_COMPRESSION_ZSTD = 2
} sdb_compression;

enum {
    SDB_OPEN_READONLY = 1 << 0,    /* no changes; fails if recovery would have to write */
    SDB_OPEN_MUST_EXIST = 1 << 1,  /* SDB_NOTFOUND instead of making a new database */
    SDB_OPEN_MUST_MAKE = 1 << 2,   /* SDB_EXISTS instead of opening an old one */
    SDB_OPEN_NO_THREADS = 1 << 3,  /* background work runs inside the calls that cause it */
    SDB_OPEN_DISCARD_LOG = 1 << 4, /* open without a missing or damaged log: commits are lost */
    SDB_OPEN_SERIALIZABLE = 1 << 5, /* every WRITE transaction is SDB_TXN_SERIALIZABLE */
    /*
     * Free space inside the file stays on the disk until sdb_vacuum. Otherwise each checkpoint
     * makes holes (at most 256 MiB of them) of runs of 1 MiB and more that the last two left free,
     * where the file system can, and keeps a quarter of what is in use at hand.
     */
    SDB_OPEN_KEEP_SPACE = 1 << 8
};

/*
 * A merge operator of the program's own (see sdb_merge). `merge` makes a new value of the one that
 * a key has (NULL: it has none) and an operand: it passes the bytes of the new value, which may
 * come in pieces, to sdb_merge_emit, and returns SDB_OK. Any other status refuses; the commit then
 * changes nothing.
 *   - It must make the same value of the same bytes each time, in this process or the next one that
 *     recovers the log: a file that was not closed cleanly is opened only with its operators.
 *   - It may be called from any thread, while commits wait for it, and must not call into sdb but
 *     for sdb_merge_emit.
 */
struct sdb_slice;
typedef struct sdb_merge_result sdb_merge_result;
typedef sdb_status (*sdb_merge_fn)(void *context, const struct sdb_slice *old_value,
                                   const struct sdb_slice *operand, sdb_merge_result *result);
typedef struct sdb_merge_operator {
    unsigned number; /* SDB_MERGE_USER…255; it stands in the log: never give it another meaning */
    sdb_merge_fn merge;
    void *context;
} sdb_merge_operator;

/* Adds bytes to the value that a merge makes. SDB_NOMEM, SDB_LIMIT: return them. */
SDB_API SDB_MUST_USE sdb_status sdb_merge_emit(sdb_merge_result *result, const void *data,
                                               size_t size);

/* What opening or restoring a database is busy with. */
typedef enum sdb_phase {
    SDB_PHASE_REPLAY = 1,     /* a log is read back; done and total: bytes of the log */
    SDB_PHASE_CHECKPOINT = 2, /* the outcome is written; done 0, total: bytes to write */
    SDB_PHASE_COPY = 3,       /* restoring: the backup is copied; bytes */
    SDB_PHASE_CHECK = 4       /* restoring: the outcome is verified; pages */
} sdb_phase;

/*
 * Called by sdb_open, in its thread, at most about ten times a second while a database is being
 * recovered. A non-zero return ends the opening with SDB_CANCELLED: the file is as before, and the
 * next sdb_open begins anew.
 */
typedef int (*sdb_open_progress_fn)(void *context, sdb_phase phase, uint64_t done, uint64_t total);

/* Zero in any field means its default. Begin with SDB_OPTIONS_INIT. */
typedef struct sdb_options {
    size_t size;               /* sizeof(sdb_options): how later fields are told from none */
    unsigned flags;            /* SDB_OPEN_… */
    uint32_t page_size;        /* at creation: a power of two, 4096…65536; default 8192 */
    uint64_t cache_bytes;      /* memory for pages and page map; default 256 MiB, at least 1 MiB */
    uint64_t checkpoint_bytes; /* log written before a checkpoint starts; default 256 MiB */
    uint64_t version_bytes;    /* most memory for old versions that open snapshots need; 1 GiB */
    sdb_durability durability; /* of commits that do not choose; default FULL */
    unsigned group_interval_ms; /* for GROUP; default 100 */
    sdb_backend backend;
    const sdb_allocator *allocator; /* borrowed until sdb_close; default malloc */
    sdb_open_progress_fn progress;  /* of sdb_open; default: none is told */
    void *progress_context;
    /*
     * Most log that a crash may have to replay, which bounds the time of recovery: a checkpoint is
     * begun at half of it, and commits wait for one that is too slow; they fail with its status if
     * it cannot be made. Each thread that commits may go beyond by one commit. Default 4 *
     * checkpoint_bytes, at least 1 MiB. The files of the log may take three segments (each at most
     * a quarter of it, and 64 MiB) more.
     */
    uint64_t log_limit_bytes;
    sdb_cache_policy cache_policy; /* who leaves when the cache is full; default S3FIFO */
    /*
     * Not 0: the database file is read and written past the kernel's cache (O_DIRECT), which then
     * holds no second copy of the pages; give cache_bytes what the kernel's cache would have had.
     * SDB_INVALID from sdb_open where the file system cannot do it, or its disk has blocks of more
     * than 512 bytes. The log and backups go through the kernel's cache as before.
     */
    unsigned direct_io;
    /* operators for sdb_merge beside those of sdb/kv.h; borrowed until sdb_close */
    const sdb_merge_operator *merge_operators;
    size_t merge_operator_count;
    /*
     * Folder in which the log is kept for sdb_restore: each segment is copied there, durably,
     * before it is used again or removed, and the rest when the database is closed or recovered.
     * Give the same one at every opening for writing: a log that ends without it is a gap, behind
     * which only a new backup helps. A folder can serve many databases. Where it cannot be written,
     * checkpoints fail and the log grows; so does sdb_close, and the next sdb_open goes on.
     * Copied. Default: the log is not kept.
     */
    const char *archive_folder;
    /*
     * Memory for the changes of one transaction; default 64 MiB, at least 4 KiB. What is more is
     * spilled into free space of the database file, which is given back when the transaction ends
     * (a crash leaves nothing of it), so a transaction may be of any size. In memory beside it: one
     * value or a batch of some 100 KiB, deleted ranges, and a few bytes for each KiB spilled. The
     * file grows by up to twice the transaction's size meanwhile. Snapshots that are opened
     * while the commit of a spilled transaction is applied wait for it, unless an older one is
     * open: for that, what it replaces must fit into version_bytes, or the commit is SDB_LIMIT.
     * Without effect for :memory:.
     */
    uint64_t txn_memory_bytes;
    /*
     * LZ4: commits are compressed in the log, each by itself, from 256 bytes on and where that
     * saves an eighth of them. That is less to write, sync, archive and read back, for some 0.4 µs
     * of the committing thread for 256 bytes, 5 µs for 8 KiB. Libraries that do not know it refuse
     * to recover such a log. Default: none. ZSTD is SDB_INVALID.
     */
    sdb_compression log_compression;
} sdb_options;

#ifdef __cplusplus
#define SDB_OPTIONS_INIT                                                                           \
    sdb_options{sizeof(sdb_options), 0, 0, 0, 0, 0, SDB_DURABILITY_DEFAULT, 0, SDB_BACKEND_AUTO,   \
                nullptr, nullptr, nullptr, 0, SDB_CACHE_DEFAULT, 0, nullptr, 0, nullptr, 0,        \
                SDB_COMPRESSION_NONE}
#else
#define SDB_OPTIONS_INIT ((sdb_options){.size = sizeof(sdb_options)})
#endif

/*
 * Opens the database at `path`, makes it if it is not there (unless flags say otherwise), and
 * recovers it if it was not closed cleanly. `:memory:` is a database that ends with its handle.
 * `options` may be NULL; it is copied. *out_db is owned: sdb_close.
 *
 * SDB_BUSY: another process (the message has its id) or another handle has it open.
 * SDB_INVALID: not an sdb database, or one of a newer format. SDB_CORRUPT: damaged; see
 * sdb_check_file.
 */
SDB_API SDB_MUST_USE sdb_status sdb_open(const char *path, const sdb_options *options,
                                         sdb_db **out_db);

/*
 * Writes a checkpoint, removes the log and frees the handle. All transactions, cursors and change
 * streams must have ended: SDB_BUSY otherwise, and the handle stays open. On any other failure the
 * handle is gone all the same, nothing acknowledged is lost, and the next sdb_open recovers. NULL
 * is allowed.
 */
SDB_API sdb_status sdb_close(sdb_db *db);

/* Writes all committed changes into the database file now. Writers go on meanwhile. */
SDB_API SDB_MUST_USE sdb_status sdb_checkpoint(sdb_db *db);

/* Makes every commit so far durable, whatever its level. */
SDB_API SDB_MUST_USE sdb_status sdb_sync(sdb_db *db);

/*
 * Called during long work with the bytes (or, for a check, pages) done and expected in all. A
 * non-zero return ends the work with SDB_CANCELLED. Must not call into the same database.
 */
typedef int (*sdb_progress_fn)(void *context, uint64_t done, uint64_t total);

/*
 * Copies the database, as of one instant, to the new file `path` while readers and writers go on.
 * SDB_EXISTS if there is such a file. The copy is a complete database, synced to disk when the
 * call returns. `progress` may be NULL.
 */
SDB_API SDB_MUST_USE sdb_status sdb_backup(sdb_db *db, const char *path, sdb_progress_fn progress,
                                           void *context);

enum {
    SDB_VACUUM_HOLES = 1 << 0 /* move nothing: make holes of free space inside the file instead */
};

/*
 * Gives free space back to the file system while readers and writers go on: moves what stands at
 * the end of the file to free places nearer its beginning and cuts the file, in steps of some 10
 * MiB with a checkpoint each. Afterwards the file is little larger than what is in use. It reads
 * and writes what moves, up to twice the file when compressed pages of many sizes must be put in
 * order. What old versions and a running backup need stays where it is. So does what is damaged:
 * then the answer is SDB_CORRUPT in the end, and all else has been moved.
 *
 * SDB_VACUUM_HOLES moves nothing and leaves the file's size, but free runs of 64 KiB and more take
 * no space on the disk any more, which is quicker; SDB_INVALID where the file system cannot.
 *
 * `progress` (bytes given back, bytes to be given back) may be NULL. A failure, or a cancellation,
 * leaves a sound database, with what was given back until then.
 */
SDB_API SDB_MUST_USE sdb_status sdb_vacuum(sdb_db *db, unsigned flags, sdb_progress_fn progress,
                                           void *context);

/*
 * Removes values that have expired (sdb/kv.h), at most `limit` of them (0: all), in commits of some
 * hundred each, while others go on. A thread of the database's own does so from time to time; with
 * SDB_OPEN_NO_THREADS only this call does. What an open transaction may still see stays.
 * *out_removed, which may be NULL, is how many, also if the call fails.
 */
SDB_API SDB_MUST_USE sdb_status sdb_expire(sdb_db *db, uint64_t limit, uint64_t *out_removed);

/* Where sdb_restore takes the log from, and where it stops. Zero in any field: not given. */
typedef struct sdb_restore_options {
    size_t size;                /* sizeof(sdb_restore_options), set by the caller */
    /*
     * As in sdb_options. It may hold several histories of a database, of which an older copy was
     * put in its place: that in which the backup was made is followed. After a log was discarded
     * (SDB_OPEN_DISCARD_LOG), archive to another folder.
     */
    const char *archive_folder;
    const char *log_folder;     /* what a crash left: "-wal" folder of a database not open now */
    /* The last commit that is restored is the last one before the first that … */
    uint64_t until_lsn;         /* … begins at this LSN or behind it */
    uint64_t until_commit;      /* … has a larger number */
    uint64_t until_ms;          /* … was made later (Unix milliseconds), or of all there are */
    uint64_t cache_bytes;       /* default 256 MiB */
    sdb_open_progress_fn progress; /* as in sdb_options */
    void *progress_context;
    const sdb_merge_operator *merge_operators; /* as in sdb_options: the log may need them */
    size_t merge_operator_count;
} sdb_restore_options;

/* What was restored. */
typedef struct sdb_restore_result {
    size_t size;      /* sizeof(sdb_restore_result), set by the caller */
    uint64_t commits; /* replayed behind the backup */
    uint64_t commit;  /* number of the last one */
    uint64_t lsn;     /* behind it */
    uint64_t last_ms; /* when it was made (Unix milliseconds); 0 if none was replayed */
} sdb_restore_result;

/*
 * Makes the new database `path` out of a backup and the log that was written since: the backup is
 * copied to `path` + ".part", the commits of the log are applied, the outcome is verified as by
 * sdb_check and takes its name. It has an id of its own: its log does not go on where the
 * original's did. Without archive_folder and log_folder it is as of the backup. out_result may be
 * NULL.
 *
 * SDB_EXISTS: `path`, or what belongs to it, is there. SDB_NOTFOUND: the log does not reach from
 * the backup to the commit or LSN that is wanted, has a gap before it, or the backup is of a later
 * moment. SDB_INVALID: two histories go on from the backup, or from where a log ends; the sentence
 * says what to do. SDB_CORRUPT: backup or log are damaged. After a failure there is nothing at
 * `path`.
 */
SDB_API SDB_MUST_USE sdb_status sdb_restore(const char *backup, const char *path,
                                            const sdb_restore_options *options,
                                            sdb_restore_result *out_result);

/* What sdb_check found. */
typedef struct sdb_check_result {
    size_t size;             /* sizeof(sdb_check_result), set by the caller */
    uint64_t problems;       /* how many; each was reported */
    uint64_t pages;          /* tree pages read and verified */
    uint64_t extents;        /* large values and key tails read and verified */
    uint64_t map_pages;      /* pages of the page map read and verified */
    uint64_t entries;        /* keys seen, over all keyspaces */
    uint64_t keyspaces;
    uint64_t used_bytes;     /* of the file, in use */
    uint64_t free_bytes;     /* of the file, in no use: damage there harms nothing */
    uint64_t log_records;    /* valid records in the log, if there is one */
    uint64_t snapshots;      /* named ones (sdb/snapshot.h), each verified like the database */
} sdb_check_result;

/* One problem, as a sentence. Borrowed during the call. */
typedef void (*sdb_problem_fn)(void *context, const char *problem);

/*
 * Reads the whole last checkpoint back from disk and verifies it: superblocks, page map, every
 * checksum, order and bounds of every tree, every large value, that no space is used twice, none
 * lost; then each named snapshot in the same way. SDB_OK when sound, SDB_CORRUPT when problems were
 * reported; other statuses mean that the check itself could not run. Commits since the last
 * checkpoint are covered by starting with a checkpoint (not for a read-only handle). `report`,
 * `progress` and `out_result` may be NULL.
 */
SDB_API SDB_MUST_USE sdb_status sdb_check(sdb_db *db, sdb_problem_fn report,
                                          sdb_progress_fn progress, void *context,
                                          sdb_check_result *out_result);

/*
 * The same for a file that is not open, however damaged: nothing is written and nothing recovered;
 * a log left by a crash is verified too.
 */
SDB_API SDB_MUST_USE sdb_status sdb_check_file(const char *path, const sdb_options *options,
                                               sdb_problem_fn report, sdb_progress_fn progress,
                                               void *context, sdb_check_result *out_result);

/* Counters since the handle was opened, and present sizes. */
typedef struct sdb_stats {
    size_t size;                    /* sizeof(sdb_stats), set by the caller */
    char backend[16];               /* "io_uring", "posix", "memory" */
    char backend_note[160];         /* why io_uring was not used, or "" */
    uint32_t page_size;
    uint32_t keyspaces;
    uint64_t file_bytes;            /* size of the database file */
    uint64_t used_bytes;            /* of it in use */
    uint64_t log_bytes;             /* log that a crash now would replay */
    uint64_t pages;                 /* tree pages in use */
    uint64_t extents;               /* large values and key tails in use */
    uint64_t cache_bytes;           /* page memory in use */
    uint64_t cache_limit_bytes;     /* for pages now: less as the page map grows */
    uint64_t dirty_pages;
    uint64_t page_hits;             /* page found in memory; counted where a page is latched */
    uint64_t page_misses;           /* page read from disk */
    uint64_t pages_evicted;
    uint64_t pages_written;
    uint64_t bytes_read;            /* from the database file */
    uint64_t bytes_written;         /* to the database file and the log */
    uint64_t syncs;
    uint64_t commits;
    uint64_t conflicts;
    uint64_t log_records;
    uint64_t log_batches;           /* writes to the log; commits / log_batches is the grouping */
    uint64_t checkpoints;
    uint64_t last_checkpoint_ms;
    uint64_t open_snapshots;        /* of transactions */
    uint64_t version_entries;       /* old versions kept for open snapshots */
    uint64_t version_bytes;
    uint64_t recovered_commits;     /* replayed when this handle was opened */
    uint64_t recovery_ms;
    uint64_t commit_sequence;       /* number of the newest visible commit */
    uint64_t log_kept_bytes;        /* log that a crash would not replay, but something keeps */
    uint64_t log_waits;             /* commits that waited because of log_limit_bytes */
    /* page map, state words, frame tables: with cache_limit_bytes at most the option cache_bytes */
    uint64_t cache_other_bytes;
    uint64_t page_hit_per_mille;    /* page_hits in 1000 of page_hits + page_misses; 0: none yet */
    uint64_t compressed_pages;      /* of the pages, those that stand compressed in the file */
    uint64_t compressed_bytes;      /* what they take there */
    uint64_t hole_bytes;            /* of the file, free and known to take no space on the disk */
    uint64_t pages_read_ahead;      /* of page_misses, those read before a cursor came to them */
    uint64_t named_snapshots;       /* snapshots that stay (sdb/snapshot.h) */
    uint64_t snapshot_bytes;        /* of used_bytes, what only they need */
    uint64_t spilled_bytes;         /* of transactions beyond txn_memory_bytes, written in all */
    uint64_t expired_removed;       /* values removed since they had expired */
    uint64_t expiry_rounds;         /* walks through keyspaces to find them */
    uint64_t expiring_keyspaces;    /* those whose values may have an expiry */
    uint64_t log_body_bytes;        /* of commits written to the log, before it compressed them */
    uint64_t log_written_bytes;     /* what they took in it */
    /*
     * Dropped keyspaces, and parts that deleted ranges cut off, whose space cannot be given back,
     * since a page of them is damaged; sdb_check names it. Tried anew at the next open. Backups are
     * refused meanwhile, as whenever a page is damaged: export, and import into a new file.
     */
    uint64_t leaked_trees;
} sdb_stats;

/* Fills *out_stats, as far as its `size` says it reaches. */
SDB_API SDB_MUST_USE sdb_status sdb_stat(sdb_db *db, sdb_stats *out_stats);

/* "0.1.0": of the library that runs, not of the header. */
SDB_API const char *sdb_version(void);

#ifdef __cplusplus
}
#endif
#endif
