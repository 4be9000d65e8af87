/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_kept.c: the table of named snapshots, and each of them.
 *
 * Idea: a named snapshot is a checkpoint, so it is verified as one (verify.c), with its name before
 * each problem. Its blocks may be those of other checkpoints too; within each no two things share
 * one.
 *
 * They are verified from the newest backwards, each beside the one before, the first one beside the
 * checkpoint itself. Whatever two of them share, all between them have too; so what is in the same
 * blocks with the same checksum as beside it has been read. A large value is not read again then.
 * A page is read once instead of twice, in its tree: what its tree says of it need not be what
 * another's says, and only its bytes say what it leads to.
 *
 *     newest checkpoint   snapshot 9   snapshot 5   snapshot 2
 *              └──known to────┘└──known to──┘└──known to──┘
 *
 * Invariants: I1 what a snapshot's page map says is believed for that snapshot only. I2 a page or
 *   extent that is unsound is read, and told, for each snapshot that has it.
 * Costs: the pages of each, and of its large values those that its neighbour has not; the maps of
 *   two of them in memory. Not here: which blocks a writer holds (engine/pager/kept.c).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/base/status.h"
#include "engine/pager/kept.h"
#include "index/kv/database.h"
#include "index/kv/verify_run.h"

/*
 * What is wrong with one snapshot; its blocks are added to `used`. `known` has been verified. *one
 * is to be ended by done in any case.
 */
static sdb_status verify_one(struct verify_run *run, const struct pager_kept *kept,
                             struct block_set *used, const struct verify_run *known,
                             struct verify_run *one)
{
    struct bytes name = {(const uint8_t *)kept->name, strlen(kept->name)};
    sdb_status status;

    *one = (struct verify_run){.what = run->what, .name = kept->name,
                               .superblock = kept->superblock, .queue = run->queue,
                               .page_size = run->page_size, .known = known,
                               .done = run->done, .total = run->total};
    if (sdb__keyspace_judge_name(name))
        sdb__verify_problem(one, "its name is not UTF-8");
    status = sdb__verify_checkpoint(one);
    run->done = one->done;
    run->total = one->total;
    run->result.problems += one->result.problems;
    run->result.pages += one->result.pages;
    run->result.extents += one->result.extents;
    run->result.map_pages += one->result.map_pages;
    run->result.snapshots++;
    if (status == SDB_OK)
        status = sdb__blocks_add_owned(run->what->allocator, used, &one->map.space);
    return status;
}

/* The newest first. */
static int compare_records(const void *a, const void *b)
{
    const struct pager_kept *x = a, *y = b;

    return (x->superblock.sequence < y->superblock.sequence) -
           (x->superblock.sequence > y->superblock.sequence);
}

sdb_status sdb__verify_kept(struct verify_run *run)
{
    const sdb_allocator *allocator = run->what->allocator;
    const struct superblock *s = &run->superblock;
    struct space *space = &run->map.space;
    struct verify_run runs[2] = {{0}}, *known = run;
    struct block_set used = {0};
    struct pager_kept *records;
    sdb_status status = sdb__kept_read(allocator, run->queue, run->what->file, s, &records);

    if (status == SDB_CORRUPT) {
        sdb__verify_problem(run, "%s", sdb_errmsg());
        return SDB_OK;
    }
    if (status != SDB_OK || !records) return status;
    status = sdb__space_claim(space, place_first(s->kept_place), place_blocks(s->kept_place));
    if (status == SDB_CORRUPT) {
        sdb__verify_problem(run, "the table of snapshots at byte %" PRIu64 " uses space that is in "
                            "use already: restore a backup", place_offset(s->kept_place));
        status = SDB_OK;
    }
    qsort(records, s->kept_count, sizeof *records, compare_records);
    for (size_t i = 0; status == SDB_OK && i < s->kept_count; i++) {
        status = verify_one(run, &records[i], &used, known, &runs[i % 2]);
        if (known != run) sdb__verify_checkpoint_done(known);
        known = &runs[i % 2];
    }
    if (known != run) sdb__verify_checkpoint_done(known);
    if (status == SDB_OK) status = sdb__space_reach(space, used.end);
    if (status == SDB_OK) sdb__space_hold(space, &used);
    sdb__blocks_done(allocator, &used);
    sdb__mem_free(allocator, records);
    return status;
}
