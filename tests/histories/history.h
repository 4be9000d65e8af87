/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history.h: a recorded history: which operation was called when, and what came back.
 *
 * Words: a *process* does one operation at a time. An operation is *invoked*; later it is *ok* (it
 * happened), *fail* (it did not) or *info* (nobody knows, it may happen at any later time). One
 * without a completion is info. *Places* are positions in the record: a < b is "before" in real
 * time.
 * Idea: all notations become maps {:process :type :f :value …}, and pairs of maps operations.
 * Not here: what operations mean (lin_model.h, txn_history.h), processes that are no numbers
 * (nemesis and the like are left out).
 */
#ifndef SDB_TESTS_HISTORIES_HISTORY_H
#define SDB_TESTS_HISTORIES_HISTORY_H

#include "tests/histories/edn.h"

#define PLACE_NEVER UINT64_MAX

enum outcome { OUTCOME_OK, OUTCOME_FAIL, OUTCOME_INFO };

struct operation {
    int64_t process;
    enum outcome outcome;
    uint64_t call, ret;    /* places; ret is PLACE_NEVER when there is no completion */
    const struct edn *in;  /* the map that was invoked */
    const struct edn *out; /* the map it completed with, or NULL */
};

enum history_notation {
    HISTORY_EDN,  /* maps one after another, or one collection of them */
    HISTORY_JSON, /* the same in JSON */
    HISTORY_LOG   /* lines of a log that end with "- PROCESS TYPE F VALUE"; others are left out */
};

/* Ended by history_done. */
struct history {
    struct arena arena;
    struct operation *operations; /* in the order of their calls */
    size_t count, capacity;
    char error[160];
};

/* Reads a history from text. False: `error` says why, and at which byte. Call history_done. */
bool history_read(struct history *history, enum history_notation notation, const char *text,
                  size_t size);
/* The same from a file, whose name tells the notation: .json, .log, anything else is EDN. */
bool history_load(struct history *history, const char *path);
void history_done(struct history *history);

/* What the operation was asked to do and with what; NULL when it does not say. */
const struct edn *operation_f(const struct operation *operation);
const struct edn *operation_in(const struct operation *operation);
/* The value it came back with; NULL without a completion. */
const struct edn *operation_out(const struct operation *operation);

#endif
