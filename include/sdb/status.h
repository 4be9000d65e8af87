/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sdb/status.h: how every call of sdb answers.
 *
 * Each call returns an sdb_status. Zero is success. A positive value is an answer, not a failure:
 * there was nothing to find, nothing more to read. A negative value means that what was asked did
 * not happen, and that outputs were left untouched. sdb_errmsg() then holds one sentence: what
 * happened, where, and what to do.
 *
 * The library never prints, never exits, and installs no signal handlers.
 */
#ifndef SDB_STATUS_H
#define SDB_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(SDB_BUILDING) && defined(__GNUC__)
#define SDB_API __attribute__((visibility("default")))
#else
#define SDB_API
#endif

#if defined(__GNUC__)
#define SDB_MUST_USE __attribute__((warn_unused_result))
#else
#define SDB_MUST_USE
#endif

/*
 * X(name, value, meaning). What each one tells the caller:
 *
 * OK         Done.
 * END        A cursor has no further entry in that direction.
 * NOTFOUND   There is no such key, keyspace or savepoint.
 * EXISTS     It is there already, and the call was told not to replace it.
 * NOMEM      The allocator refused. Nothing changed; try again with less, or with more memory.
 * IO         The operating system failed a read, write or sync. After a failed sync the handle
 *            refuses further work: close it and open it again, which recovers.
 * CORRUPT    Bytes on disk are not what was written there. The message names file and place.
 * FULL       The disk (or a quota) is full. Nothing acknowledged is lost; free space, try again.
 * INVALID    The call, or the file given to it, makes no sense; the message says which and why.
 * BUSY       Somebody else holds it: another process has the file, or a transaction is open.
 * CONFLICT   Another transaction committed a change to a key of this one first (or, if this one is
 *            serializable, to what it has read). Run it again.
 * READONLY   A change was asked of something opened for reading.
 * LIMIT      A stated maximum (key size, value size, memory for old versions) would be passed.
 * CANCELLED  A callback of the caller asked to stop.
 * TIMEOUT    The time that was given ran out.
 * PEER       The other side of a connection answered with an error.
 */
#define SDB_STATUS_LIST(X)                                                                         \
    X(OK, 0, "done")                                                                               \
    X(END, 1, "no further entry")                                                                  \
    X(NOTFOUND, 2, "not found")                                                                    \
    X(EXISTS, 3, "exists already")                                                                 \
    X(NOMEM, -1, "out of memory")                                                                  \
    X(IO, -2, "input or output failed")                                                            \
    X(CORRUPT, -3, "data is damaged")                                                              \
    X(FULL, -4, "no space left")                                                                   \
    X(INVALID, -5, "invalid argument or file")                                                     \
    X(BUSY, -6, "in use elsewhere")                                                                \
    X(CONFLICT, -7, "another transaction committed first")                                         \
    X(READONLY, -8, "opened for reading only")                                                     \
    X(LIMIT, -9, "limit passed")                                                                   \
    X(CANCELLED, -10, "cancelled")                                                                 \
    X(TIMEOUT, -11, "timed out")                                                                   \
    X(PEER, -12, "the peer failed")

typedef enum sdb_status {
#define SDB_STATUS_ENUM(name, value, meaning) SDB_##name = (value),
    SDB_STATUS_LIST(SDB_STATUS_ENUM)
#undef SDB_STATUS_ENUM
} sdb_status;

/* The name of a status ("SDB_CORRUPT"), or "SDB_?" for a number that is none. Static storage. */
SDB_API const char *sdb_status_name(sdb_status status);

/* A few words for a status ("data is damaged"). Static storage. */
SDB_API const char *sdb_status_text(sdb_status status);

/*
 * The sentence that the last failed call of *this thread* left behind, or "" when none failed yet.
 * Borrowed until the thread's next call into sdb.
 */
SDB_API const char *sdb_errmsg(void);

#ifdef __cplusplus
}
#endif
#endif
