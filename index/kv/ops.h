/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops.h: changes as bytes: what stands in the log, and in a transaction's write set.
 *
 * A log body is: commit number u64, time u64 (Unix ms), then operations. An operation is
 *   code u8, keyspace varint, key size varint, value size varint, key, value
 *   code 1 put · 2 delete (value empty) · 3 make keyspace (key: its name; value: packing u32,
 *   or empty for 0) · 4 drop keyspace (both empty) · 5 merge (value: operator number u8, operand)
 *   8 delete range (all keys >= key and, unless value is empty, < value)
 *   Bit 0x80 of the code: superseded by a later operation of the same body; not applied.
 */
#ifndef SDB_INDEX_KV_OPS_H
#define SDB_INDEX_KV_OPS_H

#include "engine/base/bytes.h"
#include "index/btree/node.h"

enum op_code { OP_PUT = 1, OP_DEL = 2, OP_MAKE = 3, OP_DROP = 4, OP_MERGE = 5, OP_DELRANGE = 8 };
enum { OP_SUPERSEDED = 0x80, OP_HEAD_MOST = 1 + 3 * VARINT_MAX, BODY_HEAD = 16 };

struct op {
    enum op_code code;
    bool superseded;
    uint32_t keyspace;
    struct bytes key, value; /* borrowed from the encoded bytes */
};

/*
 * True for operations on one key that mean the same whatever is done to other keys before or after:
 * only these may be applied in the order of their keys.
 */
static inline bool op_is_keyed(enum op_code code)
{
    return code == OP_PUT || code == OP_DEL || code == OP_MERGE;
}

/* True when what the key had before is of no account: earlier operations on it may be left out. */
static inline bool op_replaces(enum op_code code) { return code == OP_PUT || code == OP_DEL; }

/* Writes an operation's head at `to` (OP_HEAD_MOST bytes); returns its size. */
size_t sdb__op_head(uint8_t *to, enum op_code code, uint32_t keyspace, size_t key_size,
                    size_t value_size);

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
