/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops.h: changes as bytes: what stands in the log, and in a transaction's write set.
 *
 * A log body is: commit number u64, time u64 (Unix ms), then operations. An operation is
 *   code u8, keyspace varint, key size varint, value size varint, key, value
 *   code 1 put · 2 delete (value empty) · 3 make keyspace (key: its name; value: packing u32,
 *   or empty for 0) · 4 drop keyspace (both empty) · 5 merge (value: operator number u8, operand)
 *   8 delete range (all keys >= key and, unless value is empty, < value)
 *   9 by the form u8 with which the value begins:
 *     0 put with an expiry: then expiry u64 (Unix ms, not 0), and what the value shall be
 *     1 time to live of the keyspace: then u64 (ms; 0: none); key empty
 *     2 remove if it has an expiry <= the u64 that follows
 *   Form 0 is at the same time what stands in a leaf's cell (index/btree/node.h), so that it goes
 *   there from here without being put together.
 *   Bit 0x80 of the code: superseded by a later operation of the same body; not applied.
 */
#ifndef SDB_INDEX_KV_OPS_H
#define SDB_INDEX_KV_OPS_H

#include "engine/base/bytes.h"
#include "index/btree/node.h"

enum op_code {
    OP_PUT = 1, /* also of one with an expiry */
    OP_DEL = 2,
    OP_MAKE = 3,
    OP_DROP = 4,
    OP_MERGE = 5,
    OP_DELRANGE = 8,
    OP_TTL = 0x11, /* these two are not codes of the encoding, but forms of OP_TIMED */
    OP_REAP = 0x12
};
enum { OP_TIMED = 9, OP_TIMED_HEAD = 9, OP_FORM_PUT = 0, OP_FORM_TTL = 1, OP_FORM_REAP = 2 };
enum { OP_SUPERSEDED = 0x80, OP_HEAD_MOST = 1 + 3 * VARINT_MAX, BODY_HEAD = 16 };

struct op {
    enum op_code code;
    bool superseded;
    uint32_t keyspace;
    struct bytes key, value; /* borrowed from the encoded bytes; value without a head */
    uint64_t time;           /* OP_PUT: its expiry, or 0; OP_TTL: ms; OP_REAP: the time */
};

/*
 * True for operations on one key that mean the same whatever is done to other keys before or after:
 * only these may be applied in the order of their keys.
 */
static inline bool op_is_keyed(enum op_code code)
{
    return code == OP_PUT || code == OP_DEL || code == OP_MERGE || code == OP_REAP;
}

/* True when what the key had before is of no account: earlier operations on it may be left out. */
static inline bool op_replaces(enum op_code code) { return code == OP_PUT || code == OP_DEL; }

/* True when an operation leaves its key without a value for whoever reads at `now_ms`. */
static inline bool op_is_gone(const struct op *op, uint64_t now_ms)
{
    return op->code == OP_DEL || (op->code == OP_PUT && op->time && op->time <= now_ms);
}

/* Writes an operation's head at `to` (OP_HEAD_MOST bytes); returns its size. */
size_t sdb__op_head(uint8_t *to, unsigned code, uint32_t keyspace, size_t key_size,
                    size_t value_size);
/*
 * Writes the head of the value of an operation that is encoded as OP_TIMED; returns OP_TIMED_HEAD,
 * or 0 if the operation has none.
 */
size_t sdb__op_timed_head(uint8_t to[OP_TIMED_HEAD], enum op_code code, uint64_t time);
/* True when the value of an OP_PUT stands in the leaf of its key. */
bool sdb__op_is_inline(uint32_t page_size, const struct op *op);

/* The bounds of OP_DELRANGE: lower is op->key; upper, or NULL. Borrowed like the operation's. */
static inline const struct bytes *op_upper(const struct op *op)
{
    return op->value.size ? &op->value : NULL;
}

/* Reads the operation at `at`; returns its whole size, 0 when it is not one. */
size_t sdb__op_read(const uint8_t *at, const uint8_t *end, struct op *out_op);
/* True when more bytes could make an operation of these, which are not (yet) one. */
bool sdb__op_is_begun(const uint8_t *at, const uint8_t *end);

#endif
