/* SPDX-License-Identifier: Apache-2.0 */
/*
 * body.c
 *
 * Idea: a body in one part, as nearly all are, is used where it lies; of others the rest of a part
 *   is copied in front of the next.
 * Invariants: I1 what is given are operations that sdb__op_read takes, and all of the body is given
 *   in the end, or it is wrong.
 * Costs: nothing for a body in one part; otherwise one copy, and the memory of a part and of the
 *   largest operation. Not here: what the operations may be (recover.c, verify_log.c).
 */
#include "index/kv/body.h"

#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/status.h"

static sdb_status wrong(struct body *b, const char *what)
{
    b->wrong = what;
    return SDB_CORRUPT;
}

/* Puts a part behind what is left of the one before. */
static sdb_status gather(struct body *b, const uint8_t *bytes, size_t size)
{
    if (b->given) {
        b->room.size -= b->given;
        memmove(b->room.data, b->room.data + b->given, b->room.size);
        b->given = 0;
    }
    return sdb__buffer_append(b->allocator, &b->room, bytes, size);
}

sdb_status sdb__body_take(struct body *b, const struct wal_part *part)
{
    const uint8_t *bytes = part->bytes, *end;
    size_t size = part->size;

    if (part->first) {
        if (size < BODY_HEAD) return wrong(b, "is too short");
        b->commit = get_u64(bytes);
        b->time_ms = get_u64(bytes + 8);
        bytes += BODY_HEAD;
        size -= BODY_HEAD;
        b->given = b->room.size = 0;
    }
    b->ops = bytes;
    b->size = size;
    if (part->first && part->last) return SDB_OK; /* who uses them judges them, too */
    TRY(gather(b, bytes, size));
    b->ops = b->room.data;
    end = b->room.data + b->room.size;
    for (;;) {
        struct op op;
        size_t step = sdb__op_read(b->room.data + b->given, end, &op);

        if (!step) break;
        b->given += step;
    }
    b->size = b->given;
    if (b->given < b->room.size &&
        (part->last || !sdb__op_is_begun(b->room.data + b->given, end)))
        return wrong(b, "holds something that is no operation");
    return SDB_OK;
}

void sdb__body_done(struct body *b)
{
    sdb__buffer_done(b->allocator, &b->room);
}
