/* SPDX-License-Identifier: Apache-2.0 */
/*
 * txn_history.h: a history of transactions over lists (append, r) or registers (w, r).
 *
 * Idea: keys and values are numbers; every value is written to a key at most once, so that a value
 * that was read says who wrote it.
 * Not here: predicates, and keys that are removed.
 */
#ifndef SDB_TESTS_HISTORIES_TXN_HISTORY_H
#define SDB_TESTS_HISTORIES_TXN_HISTORY_H

#include "tests/histories/findings.h"
#include "tests/histories/history.h"
#include "tests/histories/intern.h"

enum txn_f { TXN_READ, TXN_APPEND, TXN_WRITE };

/* A step of a transaction. */
struct txn_step {
    enum txn_f f;
    uint32_t key;
    uint32_t value;       /* what is appended or written */
    uint32_t count;       /* of what was read: elements of the list; registers: 0 (nil) or 1 */
    const uint32_t *read; /* NULL when a read gave no answer */
};

struct txn {
    int64_t process;
    enum outcome outcome;
    uint64_t call, ret;
    uint32_t count;
    const struct txn_step *steps;
};

/* A value that a transaction wrote to a key. */
struct txn_write {
    uint32_t txn, key, value;
    bool final;    /* the last that its transaction wrote to this key */
    bool observed; /* some committed transaction read it */
    bool ordered;  /* for the checkers: its place among the key's versions is known */
};

/* Zero-initialise and set arena.allocator to sdb__mem_default. Ended by txn_history_done. */
struct txn_history {
    struct arena arena;
    struct txn *txns; /* after txn_history_index: in the order of their calls */
    size_t count, capacity;
    uint32_t keys;               /* keys are below */
    struct intern names, values; /* of keys and values that came from a text; else empty */
    struct intern pairs;         /* (key, value) of the writes, numbered as they are */
    struct txn_write *writes;
    size_t write_capacity;
    char error[160];
};

/* Adds a transaction; steps and what they read are copied. */
void txn_history_add(struct txn_history *history, const struct txn *txn);
/* Takes :value [[f key value] …] of each operation. False: `error` says why. */
bool txn_history_take(struct txn_history *history, const struct history *source, enum txn_f write);
/* Puts the transactions in order and finds their writes. False if a value is written twice. */
bool txn_history_index(struct txn_history *history);
/* The write of a value to a key, or NULL. After txn_history_index. */
struct txn_write *txn_history_write(const struct txn_history *history, uint32_t key,
                                    uint32_t value);
/* The transaction took effect as far as anybody can tell: ok, or info and something was read. */
bool *txn_history_committed(struct txn_history *history);
/* The key as text. Borrowed until the fourth next call of this thread. */
const char *txn_history_key(const struct txn_history *history, uint32_t key);
const char *txn_history_value(const struct txn_history *history, uint32_t value);
void txn_history_done(struct txn_history *history);

/*
 * The checkers. They add to the findings; call txn_history_index before, once, and only one of
 * them. See list_append.c and rw_register.c.
 */
void check_list_append(struct txn_history *history, struct findings *findings);
void check_rw_register(struct txn_history *history, struct findings *findings);

#endif
