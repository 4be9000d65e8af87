/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spill_find.c: what a transaction sees of its own changes that were spilled.
 *
 * Idea: runs do not overlap in time, so the newest run with an operation on a key that counts has
 *   the answer; for the next key each run is asked for its own, and the nearest one is it.
 * Invariants: I1 what is given is copied out of the runs: it stays until the next call.
 * Costs: a block of each run that holds the key's place; if it is the one that was read last,
 *   nothing is read. Not here: what has not been spilled yet (writeset.c).
 */
#include "index/kv/spill.h"

#include <string.h>

#include "engine/base/status.h"

/* Copies an operation to `found`. */
static sdb_status give(struct spill *s, const struct spill_entry *entry, struct op *out_op)
{
    s->found.size = 0;
    TRY(sdb__buffer_append(s->allocator, &s->found, entry->at, entry->size));
    (void)sdb__op_read(s->found.data, s->found.data + s->found.size, out_op);
    return SDB_OK;
}

static bool is_on(const struct spill_entry *entry, uint32_t keyspace, struct bytes key)
{
    return compare_place(entry->op.keyspace, entry->op.key, keyspace, key) == 0;
}

/* The place of a run's newest operation on a key that counts. SDB_END: none. */
static sdb_status newest_in(struct spill *s, struct spill_run *run, uint32_t keyspace,
                            struct bytes key, struct spill_place *out_place)
{
    struct spill_place place;
    struct spill_entry entry;
    bool found = false;
    sdb_status status;

    TRY(sdb__spill_place(s, run, keyspace, key, &place));
    while ((status = sdb__spill_at(s, run, &place, &entry)) == SDB_OK &&
           is_on(&entry, keyspace, key)) {
        if (sdb__spill_counts(s, &entry)) {
            *out_place = place;
            found = true;
        }
        place.op++;
    }
    if (status < SDB_OK) return status;
    return found ? SDB_OK : SDB_END;
}

sdb_status sdb__spill_find(struct spill *s, uint32_t keyspace, struct bytes key,
                           struct op *out_op)
{
    for (size_t i = s->run_count; i--;) {
        struct spill_place place;
        struct spill_entry entry;
        sdb_status status = newest_in(s, &s->runs[i], keyspace, key, &place);

        if (status == SDB_OK) status = sdb__spill_at(s, &s->runs[i], &place, &entry);
        if (status == SDB_OK) status = give(s, &entry, out_op);
        sdb__spill_rest(s, &s->runs[i]);
        if (status != SDB_END) return status;
    }
    return SDB_END;
}

sdb_status sdb__spill_chain(struct spill *s, uint32_t keyspace, struct bytes key,
                            struct buffer *out_ops)
{
    out_ops->size = 0;
    for (size_t i = 0; i < s->run_count; i++) {
        struct spill_place place;
        struct spill_entry entry;
        sdb_status status = sdb__spill_place(s, &s->runs[i], keyspace, key, &place);

        while (status == SDB_OK &&
               (status = sdb__spill_at(s, &s->runs[i], &place, &entry)) == SDB_OK &&
               is_on(&entry, keyspace, key)) {
            place.op++;
            if (!sdb__spill_counts(s, &entry)) continue;
            if (op_replaces(entry.op.code)) out_ops->size = 0;
            status = sdb__buffer_append(s->allocator, out_ops, entry.at, entry.size);
        }
        sdb__spill_rest(s, &s->runs[i]);
        if (status < SDB_OK) return status;
    }
    return SDB_OK;
}

/* The deleted range that an operation lies in, if it is newer than all of the run. */
static const struct spill_range *hides_all(const struct spill *s, const struct spill_run *run,
                                           const struct spill_entry *entry)
{
    const struct spill_range *range = sdb__spill_covering(s, entry->op.keyspace, entry->op.key);

    return range && range->seq >= run->end_seq ? range : NULL;
}

/* Moves on to the first operation of a run that counts, beyond `key` if `behind`. */
static sdb_status first_in(struct spill *s, struct spill_run *run, uint32_t keyspace,
                           struct bytes key, bool behind, struct spill_entry *out_entry)
{
    const struct spill_range *hides;
    struct spill_place place;

    TRY(sdb__spill_place(s, run, keyspace, key, &place));
    for (;;) {
        TRY(sdb__spill_at(s, run, &place, out_entry));
        if (out_entry->op.keyspace != keyspace) return SDB_END;
        place.op++;
        if (behind && is_on(out_entry, keyspace, key)) continue;
        if (sdb__spill_counts(s, out_entry)) return SDB_OK;
        hides = hides_all(s, run, out_entry);
        if (!hides) continue;
        if (!hides->has_upper) return SDB_END;
        TRY(sdb__spill_place(s, run, keyspace, hides->upper, &place));
    }
}

static sdb_status last_in(struct spill *s, struct spill_run *run, uint32_t keyspace,
                          const struct bytes *key, struct spill_entry *out_entry)
{
    const struct bytes none = {NULL, 0};
    const struct spill_range *hides;
    struct spill_place place;

    TRY(key ? sdb__spill_place(s, run, keyspace, *key, &place)
            : sdb__spill_place(s, run, keyspace + 1, none, &place));
    for (;;) {
        TRY(sdb__spill_back(s, run, &place));
        TRY(sdb__spill_at(s, run, &place, out_entry));
        if (out_entry->op.keyspace != keyspace) return SDB_END;
        if (sdb__spill_counts(s, out_entry)) return SDB_OK;
        hides = hides_all(s, run, out_entry);
        if (hides) TRY(sdb__spill_place(s, run, keyspace, hides->lower, &place));
    }
}

/* The nearest of what the runs have: forward from `key`, or (`forward` false) before it. */
static sdb_status nearest(struct spill *s, uint32_t keyspace, const struct bytes *key,
                          bool forward, bool behind, struct op *out_op)
{
    bool found = false; /* its key is in `target` */
    struct spill_entry entry;

    for (size_t i = 0; i < s->run_count; i++) {
        struct spill_run *run = &s->runs[i];
        sdb_status status = forward ? first_in(s, run, keyspace, *key, behind, &entry)
                                    : last_in(s, run, keyspace, key, &entry);
        int order;

        if (status == SDB_OK) {
            order = found ? compare_bytes(entry.op.key.data, entry.op.key.size, s->target.data,
                                          s->target.size) : 0;
            if (!found || (forward ? order < 0 : order > 0)) {
                s->target.size = 0;
                status = sdb__buffer_append(s->allocator, &s->target, entry.op.key.data,
                                            entry.op.key.size);
                found = true;
            }
        }
        sdb__spill_rest(s, run);
        if (status != SDB_END) TRY(status);
    }
    if (!found) return SDB_END;
    return sdb__spill_find(s, keyspace, (struct bytes){s->target.data, s->target.size}, out_op);
}

sdb_status sdb__spill_seek(struct spill *s, uint32_t keyspace, struct bytes key, bool behind,
                           struct op *out_op)
{
    return nearest(s, keyspace, &key, true, behind, out_op);
}

sdb_status sdb__spill_seek_before(struct spill *s, uint32_t keyspace, const struct bytes *key,
                                  struct op *out_op)
{
    return nearest(s, keyspace, key, false, false, out_op);
}
