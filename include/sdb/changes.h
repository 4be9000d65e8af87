/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sdb/changes.h: the commits of an open database as they become durable, one after the other.
 *
 *     sdb_changes *changes;
 *     sdb_committed commit;
 *
 *     sdb_changes_open(db, resume_lsn, 64 << 20, &changes);
 *     while (sdb_changes_next(changes, 1000, &commit) != …) … resume_lsn = commit.next_lsn;
 *     sdb_changes_close(changes);
 *
 * Caveats first.
 *   - A place in the stream is an LSN. Who keeps the last `next_lsn` it dealt with can go on there
 *     after a crash of its own or of the database.
 *   - What is read is the log. A checkpoint removes what is older, unless the stream keeps it; a
 *     clean close removes all of it: read to the end before closing. What is gone is answered with
 *     SDB_NOTFOUND and the oldest LSN that is there: copy the database anew, or go on there.
 *   - A commit may be larger than memory, for transactions are spilled. sdb_changes_next gives
 *     commits of up to SDB_CHANGES_WHOLE_MAX, and answers SDB_LIMIT for others, and stays there;
 *     sdb_changes_next_part gives those of any size, the large ones in parts.
 *   - Only durable commits come. With GROUP and NONE that is after the next sync or checkpoint.
 *
 * Threads: a stream is used by one thread at a time; several streams may be open.
 */
#ifndef SDB_CHANGES_H
#define SDB_CHANGES_H

#include <sdb/kv.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A place in the stream of commits. From sdb_changes_open; ended by sdb_changes_close. */
typedef struct sdb_changes sdb_changes;

typedef enum sdb_change_kind {
    SDB_CHANGE_PUT = 1,
    SDB_CHANGE_DEL = 2,           /* value empty; there may have been no such key */
    SDB_CHANGE_KEYSPACE_MAKE = 3, /* key: its name */
    SDB_CHANGE_KEYSPACE_DROP = 4, /* key and value empty */
    SDB_CHANGE_MERGE = 5,         /* value: the operator's number, one byte, then the operand */
    SDB_CHANGE_DEL_RANGE = 8,     /* keys >= key and < value; value empty: to the end */
    SDB_CHANGE_KEYSPACE_TTL = 17  /* time_ms: its time to live; key and value empty */
} sdb_change_kind;

/*
 * One operation of a commit. Of several on one key in a transaction only the last is there. A value
 * that has expired when it is told is told as SDB_CHANGE_DEL; that expired values are removed from
 * the file is not told: whoever keeps what is put keeps its time_ms, too. A merge onto a value that
 * had not expired when it was committed and has when it is told meets nothing in a copy that is so
 * late: where values that expire are merged, follow closely, or read them anew.
 */
typedef struct sdb_change {
    sdb_change_kind kind;
    uint32_t keyspace;         /* number, never given twice in a database */
    const char *keyspace_name; /* borrowed until sdb_close; "" if dropped before it was opened */
    sdb_slice key, value;      /* borrowed until the stream's next call */
    uint64_t time_ms;          /* of a put: its expiry, Unix milliseconds; 0: none */
} sdb_change;

/* What a commit given by sdb_changes_next takes at most: keys, values and the array of changes. */
#define SDB_CHANGES_WHOLE_MAX ((size_t)64 << 20)

/*
 * One commit, or a part of one. Of a commit in parts next_lsn is its own place before the last part
 * is there: who resumes there gets it anew from its beginning.
 */
typedef struct sdb_committed {
    uint64_t commit;           /* its number: one more than that of the one before */
    uint64_t time_ms;          /* when it was made, Unix milliseconds; may go backwards */
    uint64_t lsn, next_lsn;    /* its place, and that of the next one: where to resume */
    const sdb_change *changes; /* borrowed until the stream's next call */
    size_t count;              /* may be 0 */
    int first, last;           /* 1 or 0; both 1: the commit is whole */
} sdb_committed;

/*
 * Opens a stream that begins with the commit at `from_lsn`: the next_lsn of an earlier commit, or
 * 0 for the commits that are made from now on. Of the log that the stream has still to read, at
 * most `keep_bytes` are kept from being removed by checkpoints: 0 keeps nothing, and a stream that
 * falls behind further loses its place. A commit that takes more than that in the log puts every
 * stream behind that has not read it: choose keep_bytes by the largest one. Commits count as read
 * when the stream is called after them (in parts: after their last). *out_changes is owned:
 * sdb_changes_close, before sdb_close.
 *
 * SDB_NOTFOUND: from_lsn has been removed; the message has the oldest LSN. SDB_INVALID: it is no
 * commit's place, or the database has no log (:memory:). SDB_READONLY.
 */
SDB_API SDB_MUST_USE sdb_status sdb_changes_open(sdb_db *db, uint64_t from_lsn,
                                                 uint64_t keep_bytes, sdb_changes **out_changes);

/*
 * The next durable commit, whole, waiting up to timeout_ms for one (0: looks). SDB_TIMEOUT: there
 * was none. SDB_LIMIT: it is larger than SDB_CHANGES_WHOLE_MAX; take it with sdb_changes_next_part.
 * SDB_INVALID: a commit is being taken in parts. SDB_NOTFOUND as above: the stream stays there.
 * Other failures leave its place too.
 */
SDB_API SDB_MUST_USE sdb_status sdb_changes_next(sdb_changes *changes, unsigned timeout_ms,
                                                 sdb_committed *out_commit);

/*
 * The next durable commit, or the next part of it: at most SDB_CHANGES_PART_MAX changes, which take
 * a MiB or so, and what the largest one takes. All of the commit is durable when its first part
 * comes; the others are there without waiting, in the order of the commit, up to the `last`. Only
 * with that does it count as read. The parts belong together: make what they say in one
 * transaction, which spills as this one did, and commit it with the last.
 *
 * After a failure the next call goes on in the commit or begins it anew, as `first` says: then drop
 * the parts there were. So does SDB_NOTFOUND, which within a commit says that this reader was too
 * slow for its keep_bytes.
 */
#define SDB_CHANGES_PART_MAX 8192
SDB_API SDB_MUST_USE sdb_status sdb_changes_next_part(sdb_changes *changes, unsigned timeout_ms,
                                                      sdb_committed *out_part);

/* Ends a stream; what it kept of the log may go. NULL is allowed. */
SDB_API void sdb_changes_close(sdb_changes *changes);

#ifdef __cplusplus
}
#endif
#endif
