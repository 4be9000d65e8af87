/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_group.c
 *
 * Idea: whoever wants the log on disk while nobody writes it becomes the *leader*: he swaps the two
 *   buffers and writes and syncs what all have appended, while appends go on into the other one.
 *   Those who come meanwhile wait; when he is done, most find that he has carried them, and one of
 *   the rest leads next. Where several have been served by one sync, the next leader gives them a
 *   moment to come back, so that batches do not fall apart into halves.
 * Invariants: I1 one leader at a time. I2 bytes are written once, in the order of their LSNs. I3
 *   `durable` moves only after every file that holds bytes before it was synced. I4 after the first
 *   failure nothing is written or synced again: whether the kernel still has the pages is unknown,
 *   and a later "success" would lie.
 * Costs: a batch is one linked write + fdatasync per segment it touches, nearly always one.
 * Source: group commit, DeWitt et al. 1984, "Implementation Techniques for Main Memory Database
 *   Systems", section 5; leader and followers as in LevelDB's writer queue. Unlike there the batch
 *   is closed by the buffer swap alone, so no queue of waiters is kept. Failed syncs: Rebello et
 *   al. 2020, "Can Applications Recover from fsync Failures?".
 * Not here: filling buffers (wal_append.c).
 */
#include "wal/wal_internal.h"

#include <assert.h>
#include <sched.h>
#include <string.h>
#include "engine/base/clock.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"

enum { GATHER_PART = 2, GATHER_NS = 2000000 }; /* of a sync's time, and at most so long */

void sdb__wal_group_reason(char out_reason[512])
{
    const char *message = sdb_errmsg();
    size_t size = strnlen(message, 511);

    memcpy(out_reason, message, size);
    out_reason[size] = 0;
}

void sdb__wal_group_die_locked(struct wal *wal)
{
    if (!wal->dead) sdb__wal_group_reason(wal->reason);
    wal->dead = true;
    pthread_cond_broadcast(&wal->changed);
}

sdb_status sdb__wal_group_alive_locked(struct wal *wal)
{
    if (!wal->dead) return SDB_OK;
    return FAIL(SDB_IO, "the log stopped at an earlier failure: %s", wal->reason);
}

/* Writes a buffer's runs, each linked to a sync of its file if wanted. The leader's. */
static sdb_status write_runs(struct wal *wal, const struct wal_buffer *buffer, bool sync,
                             uint64_t *syncs)
{
    struct io_op ops[2 * WAL_RUNS];
    size_t count = 0;

    for (unsigned i = 0; i < buffer->run_count; i++) {
        const struct wal_run *run = &buffer->runs[i];

        ops[count++] = (struct io_op){.file = run->segment->file,
                                      .kind = IO_WRITE,
                                      .memory = buffer->data + run->from,
                                      .size = run->size,
                                      .offset = run->offset,
                                      .flags = sync ? IO_LINK : 0};
        if (sync) ops[count++] = (struct io_op){.file = run->segment->file, .kind = IO_SYNC};
    }
    if (count == 0) return SDB_OK;
    TRY(sdb__io_run(wal->queue, ops, count));
    for (unsigned i = 0; i < buffer->run_count; i++) buffer->runs[i].segment->dirty = !sync;
    if (sync) *syncs += buffer->run_count;
    return SDB_OK;
}

/* Syncs the segments from `first` to `last` that flushes have left dirty. The leader's. */
static sdb_status sync_dirty(struct wal *wal, struct wal_segment *first, struct wal_segment *last,
                             uint64_t *syncs)
{
    struct wal_segment *segment = first;

    while (segment) {
        struct io_op ops[WAL_DEPTH];
        size_t count = 0;

        for (; segment && count < WAL_DEPTH; segment = segment == last ? NULL : segment->next) {
            if (!segment->dirty) continue;
            ops[count++] =
                (struct io_op){.file = segment->file, .kind = IO_SYNC, .context = segment};
        }
        if (count) TRY(sdb__io_run(wal->queue, ops, count));
        for (size_t i = 0; i < count; i++) ((struct wal_segment *)ops[i].context)->dirty = false;
        *syncs += count;
    }
    return SDB_OK;
}

/* Moves `settled` over segments that need the leader no more. */
static void settle_locked(struct wal *wal)
{
    while (wal->settled != wal->current && wal->settled != wal->preparing &&
           !wal->settled->dirty && !wal->settled->fresh &&
           wal_segment_end(wal->settled) <= wal->durable) {
        sdb__wal_segment_close(wal->settled);
        wal->settled = wal->settled->next;
    }
}

void sdb__wal_group_lead_locked(struct wal *wal, bool sync)
{
    struct wal_buffer *buffer = &wal->buffers[wal->active];
    struct wal_segment *first = wal->settled, *last = wal->current;
    uint64_t end = wal->position, syncs = 0, begun;
    sdb_status status;

    assert(!wal->leading);
    assert(!wal->dead);
    wal->leading = true;
    if (sync) wal->crowd = wal->waiting > wal->crowd ? wal->waiting
                                                     : (wal->crowd + wal->waiting) / 2;
    begun = sync ? sdb__clock_now_ns() : 0;
    wal->active ^= 1; /* the other one is empty: I2 of wal_internal.h */
    for (struct wal_segment *s = first; s; s = s == last ? NULL : s->next) {
        s->dirty = s->dirty || s->fresh;
        s->fresh = false;
    }
    pthread_mutex_unlock(&wal->mutex);

    status = write_runs(wal, buffer, sync, &syncs);
    if (status == SDB_OK && sync) status = sync_dirty(wal, first, last, &syncs);

    pthread_mutex_lock(&wal->mutex);
    wal->stats.syncs += syncs;
    if (sync) wal->sync_ns = sdb__clock_now_ns() - begun;
    if (status == SDB_OK || MUTANT(failed_sync_forgotten)) {
        wal->stats.batches += buffer->used > 0;
        wal->stats.written_bytes += buffer->used;
        if (wal->written < end) wal->written = end; /* the map may be further by now */
        if (sync) wal->durable = end;
        settle_locked(wal);
    } else {
        sdb__wal_group_die_locked(wal);
    }
    buffer->used = 0;
    buffer->run_count = 0;
    wal->leading = false;
    pthread_cond_broadcast(&wal->changed);
}

/* Waits or leads until everything before `lsn` that has been appended is written, or durable. */
/*
 * Before leading a sync: lets those run who were served by the last ones and have not come back
 * yet, for a part of the time that a sync takes. *until: 0, when the waiting begins. True: look
 * again.
 */
static bool gather_locked(struct wal *wal, uint64_t *until)
{
    uint64_t now;

    if (wal->waiting >= wal->crowd) return false;
    now = sdb__clock_now_ns();
    if (!*until)
        *until = now + (wal->sync_ns / GATHER_PART < GATHER_NS ? wal->sync_ns / GATHER_PART
                                                                : GATHER_NS);
    if (now >= *until) return false;
    pthread_mutex_unlock(&wal->mutex);
    (void)sched_yield();
    pthread_mutex_lock(&wal->mutex);
    return true;
}

static sdb_status reach(struct wal *wal, uint64_t lsn, bool sync)
{
    uint64_t until = 0;
    sdb_status status;

    pthread_mutex_lock(&wal->mutex);
    if (sync) wal->waiting++;
    wal->mapping = wal->mapping || !sync;
    if (lsn > wal->end) lsn = wal->end;
    for (;;) {
        status = sdb__wal_group_alive_locked(wal);
        if (status != SDB_OK) break;
        if ((sync && !MUTANT(sync_answered_when_written) ? wal->durable : wal->written) >= lsn)
            break;
        if (wal->leading)
            pthread_cond_wait(&wal->changed, &wal->mutex);
        else if (!sync || !gather_locked(wal, &until))
            sdb__wal_group_lead_locked(wal, sync);
    }
    if (sync) wal->waiting--;
    pthread_mutex_unlock(&wal->mutex);
    return status;
}

sdb_status sdb__wal_flush(struct wal *wal, uint64_t lsn)
{
    return reach(wal, lsn, false);
}

sdb_status sdb__wal_sync(struct wal *wal, uint64_t lsn)
{
    return reach(wal, lsn, true);
}

uint64_t sdb__wal_end(struct wal *wal)
{
    return atomic_load_explicit(&wal->end, memory_order_acquire);
}

uint64_t sdb__wal_durable(struct wal *wal)
{
    uint64_t durable;

    pthread_mutex_lock(&wal->mutex);
    durable = wal->durable;
    pthread_mutex_unlock(&wal->mutex);
    return durable;
}

void sdb__wal_stats(struct wal *wal, struct wal_stats *out_stats)
{
    pthread_mutex_lock(&wal->mutex);
    *out_stats = wal->stats;
    out_stats->first_lsn = wal->head->first_lsn;
    pthread_mutex_unlock(&wal->mutex);
}

static bool keep_as_spare_locked(struct wal *wal, struct wal_segment *segment)
{
    if (segment->file_bytes < wal->made_bytes) return false; /* the log has outgrown it */
    for (unsigned i = 0; i < WAL_SPARES; i++) {
        if (wal->spares[i]) continue;
        wal->spares[i] = segment;
        return true;
    }
    return false;
}

/*
 * Takes the segments before `lsn` off the list; returns those that shall be removed. What a leader
 * may be working on (from `settled` on) is left for the next trim, and so is what is not yet
 * written.
 */
static struct wal_segment *detach_locked(struct wal *wal, uint64_t lsn)
{
    uint64_t limit = lsn < wal->written || MUTANT(unwritten_segment_trimmed) ? lsn : wal->written;
    struct wal_segment *gone = NULL;

    while (wal->head != wal->current && wal_segment_end(wal->head) <= limit) {
        struct wal_segment *segment = wal->head;

        if (wal->archive && !segment->archived) break;
        if (segment == wal->settled) {
            if (wal->leading || wal->preparing == segment) break;
            wal->settled = segment->next;
        }
        wal->head = segment->next;
        wal->stats.segments--;
        sdb__wal_segment_close(segment);
        if (keep_as_spare_locked(wal, segment)) continue;
        segment->next = gone;
        gone = segment;
    }
    return gone;
}

sdb_status sdb__wal_trim(struct wal *wal, uint64_t lsn)
{
    struct wal_segment *gone = NULL;
    sdb_status status, archived = SDB_OK;

    pthread_mutex_lock(&wal->mutex);
    status = sdb__wal_group_alive_locked(wal);
    pthread_mutex_unlock(&wal->mutex);
    if (status == SDB_OK && wal->archive) archived = sdb__wal_archive_before(wal, lsn);
    pthread_mutex_lock(&wal->mutex);
    if (status == SDB_OK) gone = detach_locked(wal, lsn);
    pthread_mutex_unlock(&wal->mutex);
    if (status == SDB_OK) status = archived;
    while (gone) {
        struct wal_segment *next = gone->next;
        char path[WAL_PATH_MAX];
        sdb_status removed = sdb__wal_segment_path(wal->folder, gone->number, path);

        if (removed == SDB_OK) removed = sdb__io_remove(wal->io, path);
        if (status == SDB_OK) status = removed;
        sdb__wal_segment_free(wal, gone);
        gone = next;
    }
    return status;
}

bool sdb__wal_group_check_locked(const struct wal *wal)
{
    const struct wal_segment *segment = wal->head;
    bool settled = false, current = false;
    uint64_t count = 0;

    if (wal->durable > wal->written || wal->written > wal->position) return false;
    if (wal->end > wal->position) return false;
    if (!wal->leading && wal->buffers[wal->active ^ 1].used) return false;
    if (!wal->leading && (wal->written < wal->position) != (wal->buffers[wal->active].used > 0))
        return false;
    for (; segment; segment = segment->next, count++) {
        settled = settled || segment == wal->settled;
        current = current || segment == wal->current;
        if (settled != (segment->file != NULL)) return false;
        if (current && !settled) return false;
        if (!segment->next) break;
        if (segment->next->number != segment->number + 1) return false;
        if (segment->next->first_lsn != wal_segment_end(segment)) return false;
    }
    return segment == wal->tail && settled && current && count + 1 == wal->stats.segments &&
           wal->position >= wal->current->first_lsn &&
           wal->position <= wal_segment_end(wal->current);
}
