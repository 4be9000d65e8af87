/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aggregate.h: histories of a counter, of a set and of a bank, which are judged by what adds up.
 *
 *   counter   add n, read. A read lies between what was surely added before it began and what may
 *             have been added when it ended.
 *   set       add v, read. The last read has every v whose add is ok, and none that nobody added.
 *   bank      transfer, read of {account balance …}. Every read has the same accounts and the same
 *             sum as the first one, and no balance below 0.
 * Source: the checkers of the same names in Jepsen.
 */
#ifndef SDB_TESTS_HISTORIES_AGGREGATE_H
#define SDB_TESTS_HISTORIES_AGGREGATE_H

#include "tests/histories/history.h"

enum aggregate_answer { AGGREGATE_VALID, AGGREGATE_INVALID, AGGREGATE_UNKNOWN };

/* What was found is in out_text, a sentence. */
enum aggregate_answer check_counter(const struct history *history, char out_text[256]);
/* Unknown when there is no read. */
enum aggregate_answer check_set(const struct history *history, char out_text[256]);
enum aggregate_answer check_bank(const struct history *history, char out_text[256]);

#endif
