/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wgl.h: is a concurrent history of one object linearizable?
 *
 * Words: an operation *pends* when it has no return: it may take effect at any time from its call
 * on, or never. A *configuration* is the set of operations that have taken effect, and the state.
 *
 * Idea: a depth-first search for an order. Whatever takes effect next was called before the first
 * return of those that have not yet. Configurations that were seen are not searched again.
 * Invariants: I1 all that return are numbered in the order of their returns, behind those that
 *   pend, so a set is "all up to some number", a few beyond, and the bits of those that pend: its
 *   key in the table is short. I2 of operations that pend and do the same, the one called first
 *   goes first. I3 an operation that never changes the state takes effect as soon as it may: in any
 *   order where it does so later, it can be moved to here. I4 the answer is exact, or WGL_UNKNOWN
 *   when a limit was reached.
 * Costs: exponential in the overlap at worst; about 50 bytes a configuration.
 * Source: Wing and Gong, "Testing and verifying concurrent objects", 1993; Lowe, "Testing for
 *   linearizability", 2017, §§4-5 (the memoised search on a linked list). Beyond them: operations
 *   that pend are tried last, I1, I2 and I3.
 * Not here: partition by key (linearizability.c does it first: Horn and Kroening 2015).
 */
#ifndef SDB_TESTS_HISTORIES_WGL_H
#define SDB_TESTS_HISTORIES_WGL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WGL_PENDS UINT64_MAX

/* An operation on the object. What f and the numbers mean is the model's business. */
struct wgl_op {
    uint64_t call, ret; /* call < ret; ret may be WGL_PENDS */
    uint32_t f, a, b, out;
    bool pure; /* it never changes the state, whatever that is */
};

/*
 * The object as it should be. `step` says whether `op` may happen in `state`, and what the state is
 * then. States are equal when their numbers are.
 */
struct wgl_model {
    uint32_t initial;
    bool (*step)(void *context, uint32_t state, const struct wgl_op *op, uint32_t *out_state);
    void *context;
    const size_t *bytes; /* memory that states take, which counts against the limit; or NULL */
};

enum wgl_answer { WGL_LINEARIZABLE, WGL_VIOLATION, WGL_UNKNOWN };

/* Zero: no limit. */
struct wgl_limits {
    uint64_t steps; /* how often the model is asked */
    size_t bytes;   /* memory for configurations and states */
};

/* What a search came to. */
struct wgl_report {
    uint64_t steps, configurations;
    size_t longest; /* how many operations that return took effect at most */
    size_t stuck;   /* WGL_VIOLATION: the operation that returned first of those left then */
};

/* Searches. The order of `ops` does not matter; they are only read. `out_report` may be NULL. */
enum wgl_answer wgl_check(const struct wgl_model *model, const struct wgl_op *ops, size_t count,
                          const struct wgl_limits *limits, struct wgl_report *out_report);

#endif
