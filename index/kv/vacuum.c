/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vacuum.c: the file made as small as what is in it.
 *
 * Idea: what stands in the last blocks is moved into gaps from the beginning of the file on, and a
 * checkpoint makes that last; then the file is cut. Each step moves at most as many blocks as are
 * free, so there is room for all of it. Where gaps are too small for what should go there (packed
 * pages have many sizes), a part of the file is emptied to its end first, and filled again without
 * gaps by the steps that follow.
 *
 *     ██·█·███··█████      step       ███████·████           █ in use, · free
 *                  └─┴─→ gaps              └ cut here
 *
 * What named snapshots hold stays where it is, and so does the end of the file before it. So does
 * what is damaged: it is passed over, and told in the end.
 *
 * Invariants: I1 nothing is moved that a checkpoint would miss: pages change under commit_lock.
 *   I2 the number of steps is bounded, whatever others write meanwhile.
 * Costs: one read and one write of what moves; a checkpoint a step.
 * Not here: moving itself (engine/pager/move.c).
 */
#include <inttypes.h>
#include <stdio.h>

#include "engine/base/status.h"
#include "engine/pager/space.h"
#include "index/kv/database.h"

enum {
    STEP_BYTES = 32 * 1024 * 1024,
    HOLE_BYTES = 64 * 1024,
    MOVES = 64,       /* pages that change under one locking */
    WINDOWS = 8,      /* parts of the file that are emptied one by one */
    SLACK_SHARE = 32, /* as little of the file may stay free */
    SLACK_PAGES = 8   /* or this much: what each checkpoint writes anew */
};

struct vacuum {
    sdb_db *db;
    uint64_t begun_end; /* blocks of the file at the beginning */
    uint64_t begun_free;
    unsigned steps;     /* that may still be made */
    struct passed_over passed;
    sdb_progress_fn progress;
    void *context;
};

/* What to do with the status of a move: damage is noted, if it is to be. */
static sdb_status pass_over(struct passed_over *passed, sdb_status status)
{
    if (status != SDB_CORRUPT || !passed) return status;
    if (passed->count++ == 0)
        (void)snprintf(passed->why, sizeof passed->why, "%s", sdb_errmsg());
    return SDB_OK;
}

sdb_status sdb__db_move_pages(sdb_db *db, const uint64_t *ids, size_t count,
                              struct passed_over *passed)
{
    sdb_status status = SDB_OK;
    struct page page;

    for (size_t i = 0; i < count; i++) /* reads them while nobody waits */
        if (sdb__pager_latch_shared(db->pager, ids[i], &page) == SDB_OK)
            sdb__pager_unlatch_shared(db->pager, &page);
    (void)pthread_mutex_lock(&db->commit_lock);
    db->changed = true;
    for (size_t i = 0; status == SDB_OK && i < count; i++)
        status = pass_over(passed, sdb__pager_move_page(db->pager, ids[i]));
    (void)pthread_mutex_unlock(&db->commit_lock);
    return status;
}

/* Moves what begins in blocks [from, to), and makes that last. */
static sdb_status move_blocks(struct vacuum *v, uint64_t from, uint64_t to,
                              enum pager_placing placing)
{
    sdb_db *db = v->db;
    struct pager_move moves[MOVES];
    uint64_t after = 0, pages[MOVES];
    size_t count;
    sdb_status status = SDB_OK;

    sdb__pager_place(db->pager, placing);
    sdb__pager_move_map(db->pager, from, to);
    while (status == SDB_OK &&
           (count = sdb__pager_list_moves(db->pager, from, to, &after, moves, MOVES)) > 0) {
        size_t page_count = 0;

        for (size_t i = 0; status == SDB_OK && i < count; i++) {
            if (moves[i].is_page) pages[page_count++] = moves[i].id;
            else status = pass_over(&v->passed, sdb__pager_move_extent(db->pager, moves[i].id));
        }
        if (status == SDB_OK) status = sdb__db_move_pages(db, pages, page_count, &v->passed);
    }
    if (status == SDB_OK) status = sdb__db_checkpoint(db, false);
    sdb__pager_place(db->pager, PAGER_PLACE_NEXT);
    return status;
}

static sdb_status tell(const struct vacuum *v, uint64_t end)
{
    uint64_t given = end < v->begun_end ? v->begun_end - end : 0;
    uint64_t total = v->begun_free > given ? v->begun_free : given;

    if (!v->progress || !v->progress(v->context, given * SPACE_BLOCK, total * SPACE_BLOCK))
        return SDB_OK;
    return FAIL(SDB_CANCELLED, "the vacuum was cancelled; what was given back stays so");
}

/* True when there is too little to gain. The file cannot end before what snapshots hold. */
static bool is_tight(sdb_db *db, uint64_t end, uint64_t used)
{
    uint64_t slack = SLACK_PAGES * (sdb__pager_page_size(db->pager) / SPACE_BLOCK);
    uint64_t held = sdb__pager_held_end(db->pager), least = held > used ? held : used;
    uint64_t gain = end > least ? end - least : 0;

    return gain <= slack || gain * SLACK_SHARE <= end;
}

/* Moves the end of the file into gaps until that does not make it shorter. */
static sdb_status fill_gaps(struct vacuum *v, bool *out_tight)
{
    uint64_t step = STEP_BYTES / SPACE_BLOCK, before = UINT64_MAX, end, used;

    if (step > v->db->options.cache_bytes / 4 / SPACE_BLOCK)
        step = v->db->options.cache_bytes / 4 / SPACE_BLOCK;
    for (;;) {
        sdb__pager_layout(v->db->pager, &end, &used);
        TRY(tell(v, end));
        *out_tight = is_tight(v->db, end, used);
        if (*out_tight || end >= before || v->steps == 0) return SDB_OK;
        before = end;
        v->steps--;
        TRY(move_blocks(v, end - (end - used < step ? end - used : step), UINT64_MAX,
                        PAGER_PLACE_FIRST));
    }
}

static sdb_status run(struct vacuum *v)
{
    uint64_t end, used;
    bool tight;

    TRY(fill_gaps(v, &tight));
    sdb__pager_layout(v->db->pager, &end, &used);
    for (unsigned i = 0; !tight && i < WINDOWS && v->steps; i++) {
        TRY(move_blocks(v, used * i / WINDOWS, used * (i + 1) / WINDOWS, PAGER_PLACE_LAST));
        TRY(fill_gaps(v, &tight));
    }
    return SDB_OK;
}

sdb_status sdb_vacuum(sdb_db *db, unsigned flags, sdb_progress_fn progress, void *context)
{
    struct vacuum v = {.db = db, .progress = progress, .context = context};
    uint64_t used, holes;

    if (!db) return FAIL(SDB_INVALID, "sdb_vacuum: db is NULL");
    TRY(sdb__db_alive(db));
    if (db->readonly) return FAIL(SDB_READONLY, "%s is open for reading only", db->path);
    TRY(sdb__db_checkpoint(db, false));
    if (flags & SDB_VACUUM_HOLES) return sdb__pager_punch(db->pager, HOLE_BYTES, &holes);
    sdb__pager_layout(db->pager, &v.begun_end, &used);
    v.begun_free = v.begun_end - used;
    v.steps = 64 + (unsigned)(v.begun_end / (db->options.cache_bytes / 4 / SPACE_BLOCK)) * 4;
    TRY(run(&v));
    if (v.passed.count == 0) return SDB_OK;
    return FAIL(SDB_CORRUPT, "%s: what is damaged stays where it is, which cost %" PRIu64
                " moves; all else was moved as far as it can be: %s", db->path, v.passed.count,
                v.passed.why);
}
