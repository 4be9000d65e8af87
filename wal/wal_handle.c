/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_handle.c
 *
 * Idea: a log is never continued. Opening a database reads the old log and begins a new one, so the
 *   writer starts from an empty folder and needs to know nothing about how a log can end.
 * Invariants: I1 when begin returns, the folder holds this log's first segment and no other
 *   segment, durably.
 * Not here: reading (wal_read.c).
 */
#include "wal/wal_internal.h"

#include <string.h>
#include <time.h>
#include "engine/base/mem.h"
#include "engine/base/status.h"

static sdb_status judge_options(const struct wal_options *options)
{
    if (options->identity.log_id == 0) return FAIL(SDB_INVALID, "a log's id must not be 0");
    if (options->first_lsn % WAL_ALIGN || options->first_lsn > UINT64_MAX / 4)
        return FAIL(SDB_INVALID, "a log cannot begin at LSN %llu",
                    (unsigned long long)options->first_lsn);
    if (strlen(options->folder) > WAL_FOLDER_MAX)
        return FAIL(SDB_LIMIT, "the path of the log's folder is longer than %d bytes",
                    WAL_FOLDER_MAX);
    return SDB_OK;
}

/* An empty folder; making the first segment syncs it, and so the removals too. */
static sdb_status prepare_folder(struct wal *wal)
{
    sdb_status status = sdb__io_folder_make(wal->io, wal->folder);
    bool foreign;

    if (status != SDB_EXISTS) {
        TRY(status);
        return sdb__io_parent_sync(wal->io, wal->folder);
    }
    TRY(sdb__io_parent_sync(wal->io, wal->folder)); /* made just before an earlier crash, perhaps */
    return sdb__wal_segment_clear(wal->io, wal->folder, &foreign);
}

static sdb_status fill_handle(struct wal *wal, const struct wal_options *options)
{
    wal->folder = sdb__mem_strdup(wal->allocator, options->folder);
    if (!wal->folder) return SDB_NOMEM;
    if (options->archive) {
        wal->archive = sdb__mem_strdup(wal->allocator, options->archive);
        if (!wal->archive) return SDB_NOMEM;
    }
    wal->packing = options->packed;
    if (wal->packing) TRY(sdb__wal_packer_init(&wal->packer, wal->allocator));
    for (int i = 0; i < 2; i++) {
        wal->buffers[i].data = sdb__mem_alloc(wal->allocator, WAL_BUFFER_LEAST);
        if (!wal->buffers[i].data) return SDB_NOMEM;
        wal->buffers[i].capacity = WAL_BUFFER_LEAST;
    }
    TRY(sdb__io_queue_new(wal->io, WAL_DEPTH, &wal->queue));
    TRY(sdb__io_queue_new(wal->io, WAL_DEPTH, &wal->make_queue));
    TRY(prepare_folder(wal));
    TRY(sdb__wal_segment_make(wal, 1, options->first_lsn, &wal->head));
    wal->settled = wal->current = wal->tail = wal->head;
    wal->wants_segment = true;
    wal->stats.segments = 1;
    return SDB_OK;
}

/* One whose waits go by the clock that only goes forward. */
static bool init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t monotonic;
    bool done;

    if (pthread_condattr_init(&monotonic) != 0) return false;
    done = pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0 &&
           pthread_cond_init(condition, &monotonic) == 0;
    pthread_condattr_destroy(&monotonic);
    return done;
}

sdb_status sdb__wal_begin(const struct wal_options *options, struct wal **out_wal)
{
    uint64_t most = options->segment_bytes & ~(uint64_t)4095;
    struct wal *wal;
    sdb_status status;

    TRY(judge_options(options));
    wal = sdb__mem_zalloc(options->allocator, 1, sizeof *wal);
    if (!wal) return SDB_NOMEM;
    wal->io = options->io;
    wal->allocator = options->allocator;
    wal->identity = options->identity;
    wal->previous = options->previous;
    wal->segment_bytes = most < WAL_SEGMENT_LEAST ? WAL_SEGMENT_LEAST : most;
    wal->position = wal->written = wal->durable = options->first_lsn;
    atomic_init(&wal->end, options->first_lsn);
    if (pthread_mutex_init(&wal->mutex, NULL) != 0) {
        sdb__mem_free(options->allocator, wal);
        return FAIL(SDB_NOMEM, "the system refused a mutex");
    }
    if (!init_condition(&wal->changed)) {
        pthread_mutex_destroy(&wal->mutex);
        sdb__mem_free(options->allocator, wal);
        return FAIL(SDB_NOMEM, "the system refused a condition variable");
    }
    status = fill_handle(wal, options);
    if (status != SDB_OK) {
        sdb__wal_close(wal);
        return status;
    }
    *out_wal = wal;
    return SDB_OK;
}

void sdb__wal_close(struct wal *wal)
{
    const sdb_allocator *allocator;

    if (!wal) return;
    allocator = wal->allocator;
    sdb__wal_map_done(wal);
    while (wal->head) {
        struct wal_segment *next = wal->head->next;

        sdb__wal_segment_free(wal, wal->head);
        wal->head = next;
    }
    for (unsigned i = 0; i < WAL_SPARES; i++) sdb__wal_segment_free(wal, wal->spares[i]);
    sdb__io_queue_free(wal->make_queue);
    sdb__io_queue_free(wal->queue);
    for (int i = 0; i < 2; i++) sdb__mem_free(allocator, wal->buffers[i].data);
    sdb__wal_packer_done(&wal->packer, allocator);
    pthread_cond_destroy(&wal->changed);
    pthread_mutex_destroy(&wal->mutex);
    sdb__mem_free(allocator, wal->archive);
    sdb__mem_free(allocator, wal->folder);
    sdb__mem_free(allocator, wal);
}

sdb_status sdb__wal_remove(struct io *io, const char *folder)
{
    bool foreign;
    sdb_status status = sdb__wal_segment_clear(io, folder, &foreign);

    if (status == SDB_NOTFOUND) return SDB_OK;
    TRY(status);
    if (foreign) return sdb__io_folder_sync(io, folder);
    TRY(sdb__io_folder_remove(io, folder));
    return sdb__io_parent_sync(io, folder);
}
