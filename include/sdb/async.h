/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sdb/async.h: many reads in flight on one thread.
 *
 * A *get queue* takes keys and gives values back as their pages arrive from the disk, in any order.
 * One thread so keeps a disk busy that would otherwise serve one read after the other:
 *
 *     sdb_get_queue_open(db, 32, &queue);
 *     while (…) {
 *         sdb_get_async(queue, keyspace, key, buffer, sizeof buffer, tag);
 *         sdb_get_queue_wait(queue, done, 32, 0, &count);      whatever has come meanwhile
 *     }
 *     sdb_get_queue_wait(queue, done, 32, 32, &count);         the rest
 *
 * A read gives the newest committed value at an instant between the two calls, as sdb_get_copy
 * does. What is in memory is answered without waiting for the disk.
 *
 * Threads: a queue is used by one thread at a time; any number of queues, transactions and other
 * calls by others. Close it before the database.
 */
#ifndef SDB_ASYNC_H
#define SDB_ASYNC_H

#include <sdb/kv.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SDB_GET_QUEUE_DEPTH_MAX 1024u

/*
 * Reads under way, and what has come back. From sdb_get_queue_open; ended by sdb_get_queue_close.
 */
typedef struct sdb_get_queue sdb_get_queue;

/* A read that has ended. */
typedef struct sdb_get_result {
    void *tag;         /* the caller's, from sdb_get_async */
    sdb_status status; /* SDB_OK; SDB_NOTFOUND; SDB_LIMIT: the buffer is too small; or a failure */
    size_t size;       /* of the value; with SDB_OK it stands in the buffer */
} sdb_get_result;

/*
 * Opens a queue for up to `depth` reads (1…SDB_GET_QUEUE_DEPTH_MAX) that have been given and not
 * yet taken back. *out_queue is owned: sdb_get_queue_close.
 */
SDB_API SDB_MUST_USE sdb_status sdb_get_queue_open(sdb_db *db, unsigned depth,
                                                   sdb_get_queue **out_queue);

/*
 * Begins a read of `key` into buffer[0…capacity), which stays the queue's until the read has been
 * taken back. The key is copied. SDB_BUSY: `depth` reads are out, wait for some. Whatever goes
 * wrong with the read itself is told by its result.
 */
SDB_API SDB_MUST_USE sdb_status sdb_get_async(sdb_get_queue *queue, sdb_keyspace *keyspace,
                                              sdb_slice key, void *buffer, size_t capacity,
                                              void *tag);

/*
 * Takes back up to `capacity` reads that have ended, waiting until there are `least` of them (or
 * all that are out, if those are fewer). *out_count is how many. After a result that is a failure
 * sdb_errmsg has the sentence of the last such.
 */
SDB_API SDB_MUST_USE sdb_status sdb_get_queue_wait(sdb_get_queue *queue,
                                                   sdb_get_result *out_results, unsigned capacity,
                                                   unsigned least, unsigned *out_count);

/* Waits for what is in flight, and ends the queue; results not taken are lost. NULL is allowed. */
SDB_API void sdb_get_queue_close(sdb_get_queue *queue);

#ifdef __cplusplus
}
#endif
#endif
