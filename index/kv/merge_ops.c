/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge_ops.c: the operators.
 *
 * Idea: an operator is a function of the old value and an operand. It must give the same answer
 * each time: a commit asks it before it goes into the log, recovery asks it again, and the state
 * must be the same.
 * Invariants: I1 an operator refuses or gives a value; it never gives none.
 * Costs: a copy of the value. Not here: when they are asked (merge.c, merge_commit.c, apply.c).
 */
#include <inttypes.h>
#include <string.h>
#include <sdb/kv.h>

#include "engine/base/bytes.h"
#include "engine/base/status.h"
#include "index/kv/merge.h"

struct sdb_merge_result {
    const sdb_allocator *allocator;
    struct buffer *out;
};

sdb_status sdb_merge_emit(sdb_merge_result *result, const void *data, size_t size)
{
    if (!result || (!data && size))
        return FAIL(SDB_INVALID, "sdb_merge_emit: an argument is NULL");
    if (size > SDB_VALUE_MAX - result->out->size)
        return FAIL(SDB_LIMIT, "a merge makes a value of more than %u bytes", SDB_VALUE_MAX);
    return sdb__buffer_append(result->allocator, result->out, data, size);
}

/* ---- numbers and bytes -------------------------------------------------------------------- */

static sdb_status add(const struct bytes *base, struct bytes operand, sdb_merge_result *result)
{
    int64_t sum, left = 0;
    uint8_t bytes[8];

    if (base && base->size != sizeof bytes)
        return FAIL(SDB_INVALID, "add: the key has a value of %zu bytes, which is no number of 8",
                    base->size);
    if (base) left = (int64_t)get_u64(base->data);
    if (__builtin_add_overflow(left, (int64_t)get_u64(operand.data), &sum))
        return FAIL(SDB_LIMIT, "add: %" PRId64 " and %" PRId64 " make more than 64 bits hold",
                    left, (int64_t)get_u64(operand.data));
    put_u64(bytes, (uint64_t)sum);
    return sdb_merge_emit(result, bytes, sizeof bytes);
}

static sdb_status append(const struct bytes *base, struct bytes operand, sdb_merge_result *result)
{
    if (base) TRY(sdb_merge_emit(result, base->data, base->size));
    return sdb_merge_emit(result, operand.data, operand.size);
}

static sdb_status choose(const struct bytes *base, struct bytes operand, int sign,
                         sdb_merge_result *result)
{
    bool keeps = base && sign * compare_bytes(base->data, base->size, operand.data,
                                              operand.size) >= 0;

    return keeps ? sdb_merge_emit(result, base->data, base->size)
                 : sdb_merge_emit(result, operand.data, operand.size);
}

/* ---- sets --------------------------------------------------------------------------------- */

/* Reads the element at *at, with its size, and steps behind it. False: it is not whole. */
static bool next_element(struct bytes set, size_t *at, struct bytes *out_element)
{
    uint32_t size;

    if (set.size - *at < 4) return false;
    size = get_u32(set.data + *at);
    if (set.size - *at - 4 < size) return false;
    *out_element = (struct bytes){set.data + *at + 4, size};
    *at += 4 + (size_t)size;
    return true;
}

static int compare(struct bytes a, struct bytes b)
{
    return compare_bytes(a.data, a.size, b.data, b.size);
}

static bool is_set(struct bytes set)
{
    struct bytes last, element;
    size_t at = 0;

    for (unsigned count = 0; at < set.size; count = 1) {
        if (!next_element(set, &at, &element)) return false;
        if (count && compare(last, element) >= 0) return false;
        last = element;
    }
    return true;
}

static sdb_status emit_element(sdb_merge_result *result, struct bytes element)
{
    return sdb_merge_emit(result, element.data - 4, element.size + 4);
}

static sdb_status unite(const struct bytes *base, struct bytes operand, sdb_merge_result *result)
{
    struct bytes none = {NULL, 0}, left = base ? *base : none, a = none, b = none;
    size_t left_at = 0, right_at = 0;
    bool has_a, has_b;

    if (!is_set(left))
        return FAIL(SDB_INVALID, "union: the key has a value that is no set: elements, each with "
                    "its size as 4 bytes before it, in order");
    has_a = next_element(left, &left_at, &a);
    has_b = next_element(operand, &right_at, &b);
    while (has_a || has_b) {
        int order = !has_a ? 1 : !has_b ? -1 : compare(a, b);

        TRY(emit_element(result, order <= 0 ? a : b));
        if (order <= 0) has_a = next_element(left, &left_at, &a);
        if (order >= 0) has_b = next_element(operand, &right_at, &b);
    }
    return SDB_OK;
}

/* ---- all of them -------------------------------------------------------------------------- */

static const sdb_merge_operator *find_own(const sdb_options *options, unsigned number)
{
    for (size_t i = 0; i < options->merge_operator_count; i++)
        if (options->merge_operators[i].number == number) return &options->merge_operators[i];
    return NULL;
}

sdb_status sdb__merge_judge_options(const sdb_options *options)
{
    if (options->merge_operator_count && !options->merge_operators)
        return FAIL(SDB_INVALID, "options: merge_operators is NULL");
    for (size_t i = 0; i < options->merge_operator_count; i++) {
        const sdb_merge_operator *own = &options->merge_operators[i];

        if (own->number < SDB_MERGE_USER || own->number > UINT8_MAX || !own->merge)
            return FAIL(SDB_INVALID, "options: merge operator %u: numbers are %d to %d, and each "
                        "has a function", own->number, SDB_MERGE_USER, UINT8_MAX);
        if (find_own(options, own->number) != own)
            return FAIL(SDB_INVALID, "options: merge operator %u is there twice", own->number);
    }
    return SDB_OK;
}

sdb_status sdb__merge_judge(const sdb_db *db, unsigned number, struct bytes operand)
{
    if (number == SDB_MERGE_ADD && operand.size != 8)
        return FAIL(SDB_INVALID, "add: an operand has 8 bytes; this one has %zu", operand.size);
    if (number == SDB_MERGE_UNION && !is_set(operand))
        return FAIL(SDB_INVALID, "union: an operand is a set: elements, each with its size as 4 "
                    "bytes before it, in order, none twice");
    if (number >= SDB_MERGE_ADD && number <= SDB_MERGE_UNION) return SDB_OK;
    if (find_own(&db->options, number)) return SDB_OK;
    return FAIL(SDB_INVALID, "there is no merge operator %u: name it in merge_operators when the "
                "database is opened", number);
}

sdb_status sdb__merge_evaluate(const sdb_db *db, const struct bytes *base, struct bytes value,
                               struct buffer *out)
{
    sdb_merge_result result = {db->allocator, out};
    unsigned number = value.size ? value.data[0] : 0;
    struct bytes operand = value.size ? (struct bytes){value.data + 1, value.size - 1} : value;
    sdb_slice old = {base ? base->data : NULL, base ? base->size : 0};
    sdb_slice given = {operand.data, operand.size};
    const sdb_merge_operator *own;
    sdb_status status;

    out->size = 0;
    TRY(sdb__merge_judge(db, number, operand));
    switch (number) {
    case SDB_MERGE_ADD: return add(base, operand, &result);
    case SDB_MERGE_APPEND: return append(base, operand, &result);
    case SDB_MERGE_MAX: return choose(base, operand, 1, &result);
    case SDB_MERGE_MIN: return choose(base, operand, -1, &result);
    case SDB_MERGE_UNION: return unite(base, operand, &result);
    default: own = find_own(&db->options, number);
    }
    status = own->merge(own->context, base ? &old : NULL, &given, &result);
    if (status == SDB_OK || status == SDB_NOMEM || status == SDB_LIMIT) return status;
    return FAIL(SDB_INVALID, "merge operator %u refuses the value that the key has, or the operand",
                number);
}
