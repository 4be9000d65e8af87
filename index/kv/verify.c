/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify.c: superblocks, page map, pages; and what nothing leads to.
 *
 * Idea: three passes. The first reads the map, which says where everything stands. The second reads
 * every page in the order of ids, many at a time, and remembers which are unsound. The third
 * (verify_tree.c) walks the trees, and tells for each unsound page which keys it costs: so one
 * damage is one problem, told with its meaning.
 *
 *     superblock ─→ directory ─→ chunks ─→ every page ┐
 *         └─→ catalog ─→ trees ─→ layers, extents ────┴─→ what only one of the two ways reached
 *
 * Then the same for each named snapshot (verify_kept.c).
 *
 * Invariants: I1 a page, chunk, directory or extent that is damaged is reported once. I2 time and
 *   memory are bounded by the size of the file: each id is walked once. I3 nothing is reported lost
 *   if a part of some tree could not be walked.
 * Costs: each page is read twice, each extent once; of a snapshot, what another checkpoint has in
 *   the same blocks once and not at all.
 * Not here: trees (verify_tree.c), the log (verify_log.c), who may run it when (check.c).
 */
#include "index/kv/verify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/mem.h"
#include "engine/base/status.h"
#include "index/btree/node.h"
#include "index/btree/node_dense.h"
#include "index/kv/verify_run.h"

enum { BATCH = 32, LOST_NAMED = 16, PROBLEM_SIZE = 1024 };

void sdb__verify_problem(struct verify_run *run, const char *format, ...)
{
    char text[PROBLEM_SIZE];
    size_t at = 0;
    va_list arguments;

    run->result.problems++;
    if (!run->what->report) return;
    if (run->name) at = (size_t)snprintf(text, sizeof text, "snapshot '%s': ", run->name);
    va_start(arguments, format);
    (void)vsnprintf(text + at, sizeof text - at, format, arguments);
    va_end(arguments);
    run->what->report(run->what->context, text);
}

sdb_status sdb__verify_step(struct verify_run *run, uint64_t pages)
{
    run->done += pages;
    if (run->done > run->total) run->total = run->done;
    if (run->what->progress && run->what->progress(run->what->context, run->done, run->total))
        return FAIL(SDB_CANCELLED, "the check was cancelled");
    return SDB_OK;
}

/* ---- superblocks -------------------------------------------------------------------------- */

sdb_status sdb__verify_look(struct io *io, struct io_file *file, struct verify_slots *out_slots)
{
    struct io_queue *queue;

    TRY(sdb__io_queue_new(io, 1, &queue));
    for (unsigned i = 0; i < SUPERBLOCK_SLOTS; i++)
        out_slots->is_read[i] = sdb__io_read(queue, file, out_slots->bytes[i], SUPERBLOCK_SIZE,
                                             (uint64_t)i * SUPERBLOCK_SIZE) == SDB_OK;
    sdb__io_queue_free(queue);
    return SDB_OK;
}

/* Judges two good slots together. */
static void judge_pair(struct verify_run *run, const struct superblock *s)
{
    uint64_t newer = s[0].sequence > s[1].sequence ? s[0].sequence : s[1].sequence;
    uint64_t older = s[0].sequence > s[1].sequence ? s[1].sequence : s[0].sequence;

    if (s[0].page_size != s[1].page_size ||
        memcmp(s[0].database_id, s[1].database_id, sizeof s[0].database_id) != 0)
        sdb__verify_problem(run, "superblock: the two copies are of different databases: a write "
                            "of another file went astray; restore a backup");
    else if (newer == older && memcmp(run->what->slots->bytes[0], run->what->slots->bytes[1],
                                      SUPERBLOCK_SIZE) != 0)
        sdb__verify_problem(run, "superblock: the two copies have the same number (%" PRIu64
                            ") and differ: restore a backup", newer);
    else if (newer - older > 1)
        sdb__verify_problem(run, "superblock: the older copy has number %" PRIu64 " where %" PRIu64
                            " is the least it can have: a write was lost; the database opens from "
                            "the newer copy", older, newer - 1);
}

/* Judges both slots, and chooses the checkpoint to walk. SDB_END: there is none. */
static sdb_status judge_slots(struct verify_run *run)
{
    const struct verify_slots *slots = run->what->slots;
    struct superblock s[SUPERBLOCK_SLOTS];
    char sentence[SUPERBLOCK_SLOTS][256];
    sdb_status status[SUPERBLOCK_SLOTS];

    for (unsigned i = 0; i < SUPERBLOCK_SLOTS; i++) {
        status[i] = slots->is_read[i] ? sdb__superblock_decode(slots->bytes[i], &s[i])
                                      : FAIL(SDB_CORRUPT, "superblock: it cannot be read");
        (void)snprintf(sentence[i], sizeof sentence[i], "%s", sdb_errmsg());
    }
    if (status[0] == SDB_INVALID && status[1] == SDB_INVALID && !run->what->pinned)
        return FAIL(SDB_INVALID, "%s: %s", sdb__io_path(run->what->file), sentence[0]);
    for (unsigned i = 0; i < SUPERBLOCK_SLOTS; i++) {
        bool other = status[i ^ 1] == SDB_OK;

        if (status[i] == SDB_OK) continue;
        sdb__verify_problem(run, "superblock copy %u (at byte %u) is damaged: %s; %s", i,
                            i * SUPERBLOCK_SIZE, sentence[i],
                            other ? "the database opens from the other copy"
                                  : "restore a backup");
    }
    if (status[0] == SDB_OK && status[1] == SDB_OK) judge_pair(run, s);
    if (run->what->pinned) {
        run->superblock = *run->what->pinned;
        return SDB_OK;
    }
    if (status[0] != SDB_OK && status[1] != SDB_OK) return SDB_END;
    if (status[1] != SDB_OK) run->superblock = s[0];
    else if (status[0] != SDB_OK) run->superblock = s[1];
    else run->superblock = s[s[1].sequence > s[0].sequence];
    return SDB_OK;
}

/* ---- page map ----------------------------------------------------------------------------- */

static bool map_problem(void *context, const char *problem)
{
    struct verify_run *run = context;

    run->map_damaged = true;
    sdb__verify_problem(run, "%s", problem);
    return true;
}

/* What an entry costs to read, in pages. */
static uint64_t pages_of(const struct verify_run *run, uint64_t place)
{
    uint64_t page_blocks = run->page_size / SPACE_BLOCK;

    return (place_blocks(place) + page_blocks - 1) / page_blocks;
}

static sdb_status load_map(struct verify_run *run)
{
    const sdb_allocator *allocator = run->what->allocator;
    size_t words;

    TRY(sdb__map_init(&run->map, allocator, run->page_size));
    TRY(sdb__map_load(&run->map, run->queue, run->what->file, &run->superblock, map_problem,
                      run));
    run->result.map_pages = run->map.count;
    run->id_limit = (uint64_t)run->map.count * run->map.per_chunk;
    words = (size_t)(run->id_limit / 64 + 1);
    run->reached = sdb__mem_zalloc(allocator, words, sizeof *run->reached);
    run->unsound = sdb__mem_zalloc(allocator, words, sizeof *run->unsound);
    if (run->name || run->superblock.kept_count)
        run->extents = sdb__mem_zalloc(allocator, (size_t)run->id_limit, sizeof *run->extents);
    if (!run->reached || !run->unsound ||
        (!run->extents && (run->name || run->superblock.kept_count)))
        return SDB_NOMEM;
    for (uint64_t id = 1; id < run->id_limit; id++) {
        uint64_t place = sdb__map_get(&run->map, id).place;
        const struct verify_run *known = verify_known(run, id);

        if (place && place_is_page(place))
            run->total += verify_page_is_known(run, id) ? 1 : 2;
        else if (place && !(known && known->extents[id]))
            run->total += pages_of(run, place);
    }
    return SDB_OK;
}

/* ---- pages -------------------------------------------------------------------------------- */

/* NULL, or what is wrong with the bytes that were read for a page. */
static const char *judge_bytes(const struct io_op *op, uint64_t checksum,
                               char room[VERIFY_WRONG_ROOM])
{
    if (op->status != SDB_OK) {
        (void)sdb__io_fail(op);
        (void)snprintf(room, VERIFY_WRONG_ROOM, "cannot be read (%s)", sdb_errmsg());
        return room;
    }
    if (op->done < op->size) return "cannot be read (the file ends in it)";
    if (sdb__digest(op->memory, op->size, 0) != checksum)
        return "is damaged (its checksum does not match)";
    return NULL;
}

/*
 * *out_wrong: NULL, or what is wrong with a page that was read, which is unpacked. SDB_NOMEM: it
 * could not be told.
 */
static sdb_status judge_page(const struct verify_run *run, const struct io_op *op, uint64_t id,
                             char room[VERIFY_WRONG_ROOM], const char **out_wrong)
{
    struct map_entry entry = sdb__map_get(&run->map, id);
    const char *wrong = NULL;

    if (op->status == SDB_NOMEM) return SDB_NOMEM;
    *out_wrong = judge_bytes(op, entry.checksum, room);
    if (*out_wrong) return SDB_OK;
    if (place_kind(entry.place) == PLACE_PACKED)
        TRY(sdb__unpack(run->room, op->memory, op->size, &wrong));
    if (!wrong) wrong = sdb__node_verify(op->memory, run->page_size, id);
    if (!wrong) return SDB_OK;
    (void)snprintf(room, VERIFY_WRONG_ROOM, "is damaged (%s)", wrong);
    *out_wrong = room;
    return SDB_OK;
}

static struct io_op read_of(const struct verify_run *run, uint64_t id, uint8_t *page)
{
    uint64_t place = sdb__map_get(&run->map, id).place;

    return (struct io_op){.file = run->what->file, .memory = page,
                          .size = (size_t)place_bytes(place), .offset = place_offset(place),
                          .kind = IO_READ};
}

sdb_status sdb__verify_page(struct verify_run *run, uint64_t id, uint8_t *page,
                            char room[VERIFY_WRONG_ROOM], const char **out_wrong)
{
    struct io_op op = read_of(run, id, page);

    (void)!sdb__io_run(run->queue, &op, 1);
    return judge_page(run, &op, id, room, out_wrong);
}

/* Reads a batch of pages and notes which are unsound. */
static sdb_status read_batch(struct verify_run *run, struct io_op *ops, const uint64_t *ids,
                             size_t count)
{
    char room[VERIFY_WRONG_ROOM];

    if (count == 0) return SDB_OK;
    (void)!sdb__io_run(run->queue, ops, count);
    for (size_t i = 0; i < count; i++) {
        const char *wrong;

        TRY(judge_page(run, &ops[i], ids[i], room, &wrong));
        if (wrong)
            verify_set_bit(run->unsound, ids[i]);
        else
            run->result.pages++;
    }
    return sdb__verify_step(run, count);
}

static sdb_status read_pages(struct verify_run *run)
{
    struct io_op ops[BATCH];
    uint64_t ids[BATCH];
    size_t count = 0;
    uint8_t *pages = sdb__mem_alloc(run->what->allocator, (size_t)BATCH * run->page_size);
    sdb_status status = pages ? SDB_OK : SDB_NOMEM;

    for (uint64_t id = 1; status == SDB_OK && id < run->id_limit; id++) {
        uint64_t place = sdb__map_get(&run->map, id).place;

        if (!place_is_page(place)) continue;
        if (verify_page_is_known(run, id)) {
            run->result.pages++;
            continue;
        }
        ids[count] = id;
        ops[count] = read_of(run, id, pages + count * run->page_size);
        if (++count < BATCH) continue;
        status = read_batch(run, ops, ids, count);
        count = 0;
    }
    if (status == SDB_OK) status = read_batch(run, ops, ids, count);
    sdb__mem_free(run->what->allocator, pages);
    return status;
}

/* ---- what nothing leads to ---------------------------------------------------------------- */

/* Reports one id that no tree reached. */
static sdb_status report_unreached(struct verify_run *run, uint64_t id, uint8_t *page,
                                   uint64_t *lost)
{
    uint64_t place = sdb__map_get(&run->map, id).place;
    char room[VERIFY_WRONG_ROOM];
    const char *wrong = NULL;

    if (verify_bit(run->unsound, id)) {
        TRY(sdb__verify_page(run, id, page, room, &wrong));
        sdb__verify_problem(run, "page %" PRIu64 " at byte %" PRIu64 " %s; nothing that can be "
                            "read leads to it: restore a backup", id, place_offset(place),
                            wrong ? wrong : "is damaged");
    } else if (!run->incomplete && ++*lost <= LOST_NAMED) {
        sdb__verify_problem(run, "%s %" PRIu64 " at byte %" PRIu64 " is lost: nothing leads to it; "
                            "no data is missing, but %" PRIu64 " bytes are wasted",
                            place_is_page(place) ? "page" : "extent", id,
                            place_offset(place), place_blocks(place) * SPACE_BLOCK);
    }
    return SDB_OK;
}

static sdb_status find_unreached(struct verify_run *run)
{
    uint64_t lost = 0;
    uint8_t *page = sdb__mem_alloc(run->what->allocator, run->page_size);
    sdb_status status = page ? SDB_OK : SDB_NOMEM;

    for (uint64_t id = 1; status == SDB_OK && id < run->id_limit; id++)
        if (sdb__map_get(&run->map, id).place && !verify_bit(run->reached, id))
            status = report_unreached(run, id, page, &lost);
    if (status == SDB_OK && lost > LOST_NAMED)
        sdb__verify_problem(run, "%" PRIu64 " more pages and extents are lost",
                            lost - LOST_NAMED);
    sdb__mem_free(run->what->allocator, page);
    return status;
}

/* ---- all of it ---------------------------------------------------------------------------- */

sdb_status sdb__verify_checkpoint(struct verify_run *run)
{
    sdb__dictionaries_init(&run->dictionaries, run->what->allocator);
    TRY(sdb__pack_room_new(run->what->allocator, run->page_size, &run->dictionaries,
                           &sdb__node_dense, &run->room));
    TRY(load_map(run));
    TRY(sdb__verify_dictionaries(run));
    TRY(read_pages(run));
    TRY(sdb__verify_trees(run));
    return find_unreached(run);
}

void sdb__verify_checkpoint_done(struct verify_run *run)
{
    sdb__map_done(&run->map);
    sdb__mem_free(run->what->allocator, run->reached);
    sdb__mem_free(run->what->allocator, run->unsound);
    sdb__mem_free(run->what->allocator, run->extents);
    sdb__pack_room_free(run->room);
    sdb__dictionaries_done(&run->dictionaries);
}

static sdb_status verify_all(struct verify_run *run)
{
    sdb_status status = judge_slots(run);
    uint64_t file_bytes, used;

    if (status == SDB_END) return SDB_OK;
    if (status != SDB_OK) return status;
    run->page_size = run->superblock.page_size;
    TRY(sdb__io_queue_new(run->what->io, BATCH, &run->queue));
    TRY(sdb__verify_checkpoint(run));
    TRY(sdb__verify_kept(run));
    TRY(sdb__io_size(run->what->file, &file_bytes));
    used = run->map.space.used * SPACE_BLOCK;
    run->result.used_bytes = used;
    run->result.free_bytes = file_bytes > used ? file_bytes - used : 0;
    if (run->what->log_folder && run->superblock.log_id) TRY(sdb__verify_log(run));
    run->total = run->done; /* damage may have kept us from some of what was expected */
    return sdb__verify_step(run, 0);
}

sdb_status sdb__verify(const struct verify *what, sdb_check_result *out_result)
{
    struct verify_run run = {.what = what};
    size_t size = out_result->size;
    sdb_status status;

    status = verify_all(&run);
    sdb__verify_checkpoint_done(&run);
    sdb__io_queue_free(run.queue);
    if (status != SDB_OK) return status;
    *out_result = run.result;
    out_result->size = size;
    if (run.result.problems == 0) return SDB_OK;
    return FAIL(SDB_CORRUPT, "%s: the check found %" PRIu64 " problem%s",
                sdb__io_path(what->file), run.result.problems,
                run.result.problems == 1 ? "" : "s");
}
