/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_merge.c: any bytes as the value and the operand of a merge; what comes out must be a value
 * that the operator takes again, and merging the same once more must change nothing where the
 * operator says so.
 *
 * The first byte of the input is the operator; the second, less than 255, how many bytes of the
 * rest are the value (255: there is none), before those of the operand.
 */
#include <stdlib.h>
#include <string.h>

#include "index/kv/merge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool held)
{
    if (!held) abort();
}

static bool is_same(const struct buffer *a, const struct buffer *b)
{
    return a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sdb_db db;
    struct buffer value = {0}, once = {0}, twice = {0};
    struct bytes base = {data + 2, 0}, operand, made;
    unsigned number;
    sdb_status status;

    if (size < 2) return 0;
    db.allocator = &sdb__mem_default;
    number = data[0];
    base.size = data[1] == 255 ? 0 : data[1] > size - 2 ? size - 2 : data[1];
    operand = (struct bytes){base.data + base.size, size - 2 - base.size};
    must(sdb__buffer_append(db.allocator, &value, data, 1) == SDB_OK);
    must(sdb__buffer_append(db.allocator, &value, operand.data, operand.size) == SDB_OK);
    status = sdb__merge_evaluate(&db, data[1] == 255 ? NULL : &base,
                                 (struct bytes){value.data, value.size}, &once);
    if (sdb__merge_judge(&db, number, operand) != SDB_OK) must(status == SDB_INVALID);
    must(status == SDB_OK || status == SDB_INVALID || status == SDB_LIMIT);
    if (status == SDB_OK) {
        made = (struct bytes){once.data, once.size};
        status = sdb__merge_evaluate(&db, &made, (struct bytes){value.data, value.size}, &twice);
        must(status == SDB_OK || (number == SDB_MERGE_ADD && status == SDB_LIMIT));
        if (number >= SDB_MERGE_MAX) must(is_same(&once, &twice));
        if (number == SDB_MERGE_APPEND) must(once.size == base.size + operand.size);
    }
    sdb__buffer_done(db.allocator, &value);
    sdb__buffer_done(db.allocator, &once);
    sdb__buffer_done(db.allocator, &twice);
    return 0;
}
