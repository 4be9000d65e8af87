/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch.c
 *
 * Idea: bringing a page in is three steps: a frame and the page's place; the read; the verdict and
 * the word that names the frame. Who waits does them in a row, who does not has the read as an
 * operation of his own in between.
 * Invariants: I1 a page's bytes are verified against the map before anyone else can see them. I2
 *   the word is latched exclusively while the verdict is found, and the map then still says what it
 *   said when the read began: a place that is given up meanwhile may get other bytes, but is then
 *   not the page's any more.
 * Costs: one read of page_size bytes; of a packed page fewer, which are unpacked in the frame.
 * Not here: choosing victims (pool.c), waiting (latch.c).
 */
#include "engine/pager/fetch.h"

#include "engine/base/bytes.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"
#include "engine/pager/pool.h"

enum { FETCHING_PART = 4 }; /* of the frames, those that fetches may have at once */

/* Where the page's bytes are to be read from. */
static sdb_status find_place(struct pager *p, struct fetch *f)
{
    f->entry = sdb__pool_entry(p, f->id);
    if (!place_is_page(f->entry.place))
        return FAIL(SDB_CORRUPT, "%s: page %llu is referred to, but there is no such page: run "
                    "sdb check, restore a backup", sdb__io_path(p->options.file),
                    (unsigned long long)f->id);
    return SDB_OK;
}

/* The read into the frame. */
static void describe(struct pager *p, struct fetch *f)
{
    f->op = (struct io_op){.file = p->options.file, .kind = IO_READ,
                           .memory = frame_data(p, f->frame),
                           .size = (size_t)place_bytes(f->entry.place),
                           .offset = place_offset(f->entry.place)};
}

/* Turns packed bytes that were read into the page. *out_wrong: NULL, or why that cannot be. */
static sdb_status unpack(struct pager *p, const struct fetch *f, const char **out_wrong)
{
    struct pack_room *room = sdb__pool_room_get(p);
    sdb_status status;

    if (!room) return SDB_NOMEM;
    status = sdb__unpack(room, frame_data(p, f->frame), f->op.size, out_wrong);
    sdb__pool_room_put(p, room);
    return status;
}

/* What was read is made the page, or it is said why not. */
static sdb_status judge(struct pager *p, const struct fetch *f)
{
    const uint8_t *data = frame_data(p, f->frame);
    const char *wrong = NULL;

    if (sdb__digest(data, f->op.size, 0) != f->entry.checksum && !MUTANT(page_checksum_ignored))
        return FAIL(SDB_CORRUPT, "%s: page %llu at byte %llu is damaged (checksum): run sdb "
                    "check, restore a backup", sdb__io_path(p->options.file),
                    (unsigned long long)f->id,
                    (unsigned long long)place_offset(f->entry.place));
    if (place_kind(f->entry.place) == PLACE_PACKED) TRY(unpack(p, f, &wrong));
    if (!wrong && p->options.verify) wrong = p->options.verify(data, p->page_size, f->id);
    if (wrong)
        return FAIL(SDB_CORRUPT, "%s: page %llu makes no sense (%s): run sdb check, restore "
                    "a backup", sdb__io_path(p->options.file), (unsigned long long)f->id, wrong);
    return SDB_OK;
}

static void publish(struct pager *p, const struct fetch *f, uint64_t latch)
{
    struct frame *frame = &p->frames[f->frame];

    atomic_store_explicit(&frame->dirty, false, memory_order_relaxed);
    atomic_store_explicit(&frame->id, f->id, memory_order_relaxed);
    sdb__pool_count_miss(p);
    atomic_store_explicit(&p->words[f->id], f->word | ((uint64_t)f->frame + 1) | latch,
                          memory_order_release);
}

/* Gives the word back as it was. */
static void give_up(struct pager *p, const struct fetch *f)
{
    atomic_store_explicit(&p->words[f->id], f->word, memory_order_release);
}

sdb_status sdb__fetch_latched(struct pager *p, uint64_t id, uint64_t word, uint64_t latch)
{
    struct fetch f = {.id = id, .word = word};
    struct io_queue *queue;
    sdb_status status = find_place(p, &f);

    if (status == SDB_OK) status = sdb__pool_frame(p, id, &f.frame);
    if (status == SDB_OK) {
        describe(p, &f);
        status = sdb__pool_queue_get(p, &queue);
        if (status == SDB_OK) {
            status = sdb__io_read(queue, f.op.file, f.op.memory, f.op.size, f.op.offset);
            sdb__pool_queue_put(p, queue);
        }
        if (status == SDB_OK) status = judge(p, &f);
        if (status != SDB_OK) sdb__pool_frame_return(p, f.frame);
    }
    if (status == SDB_OK)
        publish(p, &f, latch);
    else
        give_up(p, &f);
    return status;
}

sdb_status sdb__fetch_begin(struct pager *p, uint64_t id, struct fetch *f,
                            enum fetch_answer *out_answer)
{
    uint64_t word;
    bool taken = false;
    sdb_status status;

    TRY(sdb__pool_judge_id(p, id));
    word = atomic_load_explicit(&p->words[id], memory_order_relaxed);
    *out_answer = word & WORD_EXCLUSIVE ? FETCH_BUSY : FETCH_HERE;
    if (word & (WORD_FRAME_MASK | WORD_EXCLUSIVE)) return SDB_OK;
    *out_answer = FETCH_BUSY;
    f->id = id;
    TRY(find_place(p, f));
    /* It was absent all the time: so what the map says is written (copies.c). */
    if (atomic_load_explicit(&p->words[id], memory_order_acquire) != word) return SDB_OK;
    if (atomic_fetch_add(&p->fetching, 1) >= frames_live(p) / FETCHING_PART) {
        atomic_fetch_sub(&p->fetching, 1);
        return SDB_OK;
    }
    status = sdb__pool_try_frame(p, id, &taken, &f->frame);
    if (!taken) {
        atomic_fetch_sub(&p->fetching, 1);
        return status;
    }
    describe(p, f);
    *out_answer = FETCH_BEGUN;
    return SDB_OK;
}

/* Latches the word of a page that is still absent, and still where it was read from. */
static bool latch_absent(struct pager *p, struct fetch *f)
{
    struct map_entry entry;
    uint64_t word = atomic_load_explicit(&p->words[f->id], memory_order_relaxed);

    if ((word & (WORD_FRAME_MASK | WORD_EXCLUSIVE)) ||
        !atomic_compare_exchange_strong_explicit(&p->words[f->id], &word, word | WORD_EXCLUSIVE,
                                                 memory_order_acquire, memory_order_relaxed))
        return false;
    f->word = word;
    entry = sdb__pool_entry(p, f->id);
    if (MUTANT(fetch_of_old_place_published) ||
        (entry.place == f->entry.place && entry.checksum == f->entry.checksum))
        return true;
    give_up(p, f);
    return false;
}

sdb_status sdb__fetch_end(struct pager *p, struct fetch *f)
{
    sdb_status status;

    atomic_fetch_sub(&p->fetching, 1);
    if (!latch_absent(p, f)) {
        sdb__pool_frame_return(p, f->frame);
        return SDB_OK;
    }
    status = f->op.status == SDB_OK ? SDB_OK : sdb__io_fail(&f->op);
    if (status == SDB_OK && f->op.done < f->op.size)
        status = FAIL(SDB_CORRUPT, "%s ends before page %llu at byte %llu: restore a backup",
                      sdb__io_path(f->op.file), (unsigned long long)f->id,
                      (unsigned long long)f->op.offset);
    if (status == SDB_OK) status = judge(p, f);
    if (status == SDB_OK) {
        publish(p, f, 0);
    } else {
        sdb__pool_frame_return(p, f->frame);
        give_up(p, f);
    }
    return status;
}
