/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge.h: a recorded history, judged by the model of this name.
 *
 * Models: cas-register, etcd, kv (linearizability.h); list-append, rw-register (txn_history.h), as
 * "list-append" for strict-serializable or "list-append/LEVEL" for another level (findings.h);
 * counter, set, bank (aggregate.h).
 */
#ifndef SDB_TESTS_HISTORIES_JUDGE_H
#define SDB_TESTS_HISTORIES_JUDGE_H

#include "tests/histories/findings.h"
#include "tests/histories/history.h"
#include "tests/histories/wgl.h"

enum verdict { VERDICT_VALID, VERDICT_INVALID, VERDICT_UNKNOWN };

/* One way to judge. From judge_find. */
struct judge {
    const char *name;
    unsigned index;
    struct level level;
};

/* The model of a name; false if there is none. */
bool judge_find(const char *name, struct judge *out_judge);
/*
 * Judges. `out_text` gets what was found in short; `details`, if it is not NULL, lines with the
 * anomalies. The limits are those of the search for an order.
 */
enum verdict judge_history(const struct judge *judge, const struct history *history,
                           const struct wgl_limits *limits, char out_text[512],
                           struct buffer *details);
/* The names, for a message. */
const char *judge_names(void);

#endif
