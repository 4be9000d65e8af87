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

#include <assert.h>
#include <sdb/kv.h>

#include "index/btree/btree.h"

static_assert((int)OP_TIMED_HEAD == (int)NODE_EXPIRY_HEAD && (int)OP_FORM_PUT == (int)NODE_INLINE,
              "a put with an expiry is encoded as the cell that it becomes");

size_t sdb__op_head(uint8_t *to, unsigned code, uint32_t keyspace, size_t key_size,
                    size_t value_size)
{
    size_t n = 0;

    to[n++] = (uint8_t)code;
    n += sdb__varint_put(to + n, keyspace);
    n += sdb__varint_put(to + n, key_size);
    n += sdb__varint_put(to + n, value_size);
    return n;
}

size_t sdb__op_timed_head(uint8_t to[OP_TIMED_HEAD], enum op_code code, uint64_t time)
{
    if (code != OP_TTL && code != OP_REAP && !(code == OP_PUT && time)) return 0;
    to[0] = code == OP_TTL ? OP_FORM_TTL : code == OP_REAP ? OP_FORM_REAP : OP_FORM_PUT;
    put_u64(to + 1, time);
    return OP_TIMED_HEAD;
}

bool sdb__op_is_inline(uint32_t page_size, const struct op *op)
{
    return sdb__btree_is_inline(page_size, op->key.size,
                                op->value.size + (op->time ? OP_TIMED_HEAD : 0));
}

static bool is_code(unsigned code)
{
    return (code >= OP_PUT && code <= OP_MERGE) || code == OP_DELRANGE || code == OP_TIMED;
}

/* Takes the head off an OP_TIMED's value. False: it is none. */
static bool read_timed(struct op *op)
{
    static const enum op_code codes[] = {OP_PUT, OP_TTL, OP_REAP};
    unsigned form;

    if (op->value.size < OP_TIMED_HEAD || op->value.data[0] > OP_FORM_REAP) return false;
    form = op->value.data[0];
    op->code = codes[form];
    op->time = get_u64(op->value.data + 1);
    op->value.data += OP_TIMED_HEAD;
    op->value.size -= OP_TIMED_HEAD;
    if (form == OP_FORM_PUT) return op->time > 0;
    return op->value.size == 0 && (form == OP_FORM_REAP || op->key.size == 0);
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
        field[2] > (uint64_t)SDB_VALUE_MAX + ((code & 0x7f) == OP_TIMED ? OP_TIMED_HEAD : 0) ||
        field[1] + field[2] > (uint64_t)(end - at))
        return 0;
    out_op->code = (enum op_code)(code & 0x7f);
    out_op->superseded = (code & OP_SUPERSEDED) != 0;
    out_op->keyspace = (uint32_t)field[0];
    out_op->key = (struct bytes){at, (size_t)field[1]};
    out_op->value = (struct bytes){at + field[1], (size_t)field[2]};
    out_op->time = 0;
    if ((code & 0x7f) == OP_TIMED && !read_timed(out_op)) return 0;
    return (size_t)(at + field[1] + field[2] - from);
}

bool sdb__op_is_begun(const uint8_t *at, const uint8_t *end)
{
    uint64_t most[3] = {UINT32_MAX, SDB_KEY_MAX, SDB_VALUE_MAX}, rest = 0;
    bool timed;

    if (at >= end) return true;
    if (!is_code(*at & 0x7f)) return false;
    timed = (*at++ & 0x7f) == OP_TIMED;
    if (timed) most[2] += OP_TIMED_HEAD;
    for (int i = 0; i < 3; i++) {
        uint64_t field;
        size_t n = sdb__varint_get(at, end, &field);

        if (n == 0) return end - at < VARINT_MAX;
        if (field > most[i]) return false;
        if (i) rest += field;
        at += n;
    }
    return !timed || rest > (uint64_t)(end - at); /* else it is whole, and of no known form */
}
