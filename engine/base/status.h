/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status.h: failing with a sentence.
 *
 * FAIL records the text for sdb_errmsg() of this thread and yields the status. TRY passes a failure
 * on; use it only while nothing is held, and `goto out` afterwards. Positive statuses are answers
 * and pass through TRY too: a function that may answer END or NOTFOUND is not called through TRY
 * unless the caller gives the same answer.
 */
#ifndef SDB_ENGINE_BASE_STATUS_H
#define SDB_ENGINE_BASE_STATUS_H

#include <sdb/status.h>

#define FAIL(status, ...) sdb__status_fail((status), __VA_ARGS__)

#define TRY(call)                                                                                  \
    do {                                                                                           \
        sdb_status try_status_ = (call);                                                           \
        if (try_status_ != SDB_OK) return try_status_;                                             \
    } while (0)

/* Records the sentence (cut at 511 bytes) for this thread, returns `status`. Keeps errno. */
sdb_status sdb__status_fail(sdb_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3), cold));

/* Puts "`what`: " before the sentence already recorded for this thread; returns `status`. */
sdb_status sdb__status_add(sdb_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3), cold));

#endif
