/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linearizability.h: recorded histories of registers and of a key-value store, for wgl.h.
 *
 * Models:
 *   cas-register  read, write v, cas [from to]; no value to begin with. What failed did not happen;
 *                 a read of nil says nothing. (Knossos' model.)
 *   etcd          the same, but a cas that failed says that the value was not `from`, and a read of
 *                 nil that there was no value yet. (Porcupine's model of etcd.)
 *   kv            get, put v and append v of :key; a key begins as "". (Porcupine's model of a
 *                 key-value store.) Each key is an object of its own.
 * What pends: operations that are info. Reads that did not come back say nothing and are left out.
 */
#ifndef SDB_TESTS_HISTORIES_LINEARIZABILITY_H
#define SDB_TESTS_HISTORIES_LINEARIZABILITY_H

#include "tests/histories/history.h"
#include "tests/histories/intern.h"
#include "tests/histories/wgl.h"

enum lin_model { LIN_CAS_REGISTER, LIN_ETCD, LIN_KV };

/* f of a wgl_op. Register: a read's `out`, a write's `a`, a cas' `a` and `b` are values. */
enum lin_f { LIN_READ, LIN_WRITE, LIN_CAS, LIN_CAS_FAILED, LIN_GET, LIN_PUT, LIN_APPEND };

/* The value of a register that has none; in a read of LIN_CAS_REGISTER: any value. */
#define LIN_NIL UINT32_MAX

/* The model of a register whose values are numbers below LIN_NIL. */
struct wgl_model lin_register(enum lin_model model);

/*
 * Judges a history. `out_text` gets a sentence on what was found. WGL_UNKNOWN when a limit, which
 * is for each key, was reached, or the history has operations that the model does not know.
 */
enum wgl_answer lin_check(enum lin_model model, const struct history *history,
                          const struct wgl_limits *limits, char out_text[256]);

#endif
