/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sdb/snapshot.h: states of a database that stay, under names, also when it is closed and opened
 * again.
 *
 *     sdb_db *monday;
 *
 *     sdb_snapshot_make(db, "monday");
 *     … any time later, in this process or another …
 *     sdb_snapshot_open(db, "monday", &monday);
 *     sdb_keyspace_open(monday, "users", SDB_KEYSPACE_MUST_EXIST, &users);
 *     sdb_get(…); sdb_backup(monday, …);
 *     sdb_close(monday);
 *
 * A snapshot is all keyspaces as of one commit, and as of the time at which it was made: what has
 * expired since (sdb/kv.h) is there. It costs a checkpoint to make, and space: what is
 * changed or deleted afterwards stays in the file as long as a snapshot shows it. What has not
 * changed stands there once.
 *
 * Caveats first.
 *   - They are in the database file, and are lost with it: they do not replace a backup. A backup
 *     has none of them, but one can be backed up by itself. Restoring from the log makes none.
 *   - Opening the database for writing reads the page map of every snapshot (16 bytes a page that
 *     has changed since the snapshot before it), and keeps one bit for each 512 bytes of the file.
 *   - sdb_vacuum leaves what they need where it is.
 *
 * Threads: every call from any thread.
 */
#ifndef SDB_SNAPSHOT_H
#define SDB_SNAPSHOT_H

#include <sdb/kv.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SDB_SNAPSHOT_NAME_MAX 255u
#define SDB_SNAPSHOTS_MAX 1000u     /* in a database */
#define SDB_SNAPSHOTS_OPEN_MAX 16u  /* at once */

/*
 * Keeps the database as it is now, with every commit that has been made, under `name` (UTF-8,
 * 1…SDB_SNAPSHOT_NAME_MAX bytes, no control characters). Writers go on meanwhile. When it returns
 * SDB_OK the snapshot is durable, and so are the commits in it; after a failure there is none.
 *
 * SDB_EXISTS: there is one of that name. SDB_LIMIT: there are SDB_SNAPSHOTS_MAX already. SDB_FULL:
 * there is no room for a checkpoint. SDB_READONLY.
 */
SDB_API SDB_MUST_USE sdb_status sdb_snapshot_make(sdb_db *db, const char *name);

/*
 * Lets a snapshot go. The space that only it needed is free when the call returns. It reads the
 * page maps of the snapshots that stay, as opening does.
 *
 * SDB_NOTFOUND. SDB_BUSY: it is open, or being checked. SDB_READONLY.
 */
SDB_API SDB_MUST_USE sdb_status sdb_snapshot_drop(sdb_db *db, const char *name);

typedef struct sdb_snapshot_info {
    size_t size;      /* sizeof(sdb_snapshot_info), set by the caller */
    char name[SDB_SNAPSHOT_NAME_MAX + 1];
    uint64_t commit;  /* number of the last commit in it */
    uint64_t made_ms; /* Unix milliseconds */
} sdb_snapshot_info;

/*
 * The first snapshot with a name behind `after` in the order of bytes (NULL: of all). SDB_END:
 * there is none. To walk all of them pass the name of the one before.
 */
SDB_API SDB_MUST_USE sdb_status sdb_snapshot_next(sdb_db *db, const char *after,
                                                  sdb_snapshot_info *out_info);

/*
 * Opens a snapshot: *out_db is a database of its own that can only be read, by everything that
 * reads one (transactions, cursors, get queues, sdb_backup, sdb_check, sdb_stat), while the other
 * is written. Owned: sdb_close, before that of `db`. `db` may be open for reading only, too.
 *
 * Each takes a thirty-second of the cache of `db`, and at least 64 pages. SDB_LIMIT:
 * SDB_SNAPSHOTS_OPEN_MAX are open. SDB_NOTFOUND. SDB_CORRUPT: it is damaged; the database itself
 * need not be.
 */
SDB_API SDB_MUST_USE sdb_status sdb_snapshot_open(sdb_db *db, const char *name, sdb_db **out_db);

#ifdef __cplusplus
}
#endif
#endif
