/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops.c
 *
 * Idea: one encoding from the call to the disk, so that committing copies bytes and does not
 * translate.
 * Invariants: I1 what read accepts, head writes back byte for byte.
 * Costs: 4 bytes and more an operation. Not here: what an operation does (apply.c).
 */
#include "index/kv/ops.h"

#include <sdb/kv.h>

size_t sdb__op_head(uint8_t *to, enum op_code code, uint32_t keyspace, size_t key_size,
                    size_t value_size)
{
    size_t n = 0;

    to[n++] = (uint8_t)code;
    n += sdb__varint_put(to + n, keyspace);
    n += sdb__varint_put(to + n, key_size);
    n += sdb__varint_put(to + n, value_size);
    return n;
}

static bool is_code(unsigned code)
{
    return (code >= OP_PUT && code <= OP_MERGE) || code == OP_DELRANGE;
}

size_t sdb__op_read(const uint8_t *at, const uint8_t *end, struct op *out_op)
{
    const uint8_t *from = at;
    uint64_t field[3];
    unsigned code;

    if (at >= end) return 0;
    code = *at++;
    for (int i = 0; i < 3; i++) {
        size_t n = sdb__varint_get(at, end, &field[i]);

        if (n == 0) return 0;
        at += n;
    }
    if (!is_code(code & 0x7f) || field[0] > UINT32_MAX || field[1] > SDB_KEY_MAX ||
        field[2] > SDB_VALUE_MAX || field[1] + field[2] > (uint64_t)(end - at))
        return 0;
    out_op->code = (enum op_code)(code & 0x7f);
    out_op->superseded = (code & OP_SUPERSEDED) != 0;
    out_op->keyspace = (uint32_t)field[0];
    out_op->key = (struct bytes){at, (size_t)field[1]};
    out_op->value = (struct bytes){at + field[1], (size_t)field[2]};
    return (size_t)(at + field[1] + field[2] - from);
}

bool sdb__op_is_begun(const uint8_t *at, const uint8_t *end)
{
    static const uint64_t most[3] = {UINT32_MAX, SDB_KEY_MAX, SDB_VALUE_MAX};

    if (at >= end) return true;
    if (!is_code(*at++ & 0x7f)) return false;
    for (int i = 0; i < 3; i++) {
        uint64_t field;
        size_t n = sdb__varint_get(at, end, &field);

        if (n == 0) return end - at < VARINT_MAX;
        if (field > most[i]) return false;
        at += n;
    }
    return true;
}
