/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_internal.h: a log that is being written, as its own files see it.
 *
 *   segments  head … settled … current … tail      linked by `next`, numbers and LSNs without gaps
 *             head…        durable and closed; trim may take them at any time
 *             settled…     may hold bytes that are not yet durable; open
 *             current      appends go here
 *             …tail        prepared: durable, empty, open
 *   buffers   two; `active` is appended to. A leader swaps them and owns the other one until it has
 *   finished.
 *
 * I1  durable <= written <= position, end <= position; each only grows.
 * I2  The buffer that is not active is empty unless `leading`.
 * I3  Bytes in the active buffer belong to [written, position) when not leading.
 * I4  Once `dead`, nothing is written any more.
 * I5  A record is stored through the map only if everything before it is written; the buffer is
 *     then empty, and remains so.
 * I6  While `leading`, segments from `settled` on stay in the list.
 *
 * Threads: `mutex` guards everything but what stands under "the maker's" and "the leader's"
 * (touched only while `making` or `leading` is one's own). Appends come from one thread at a time,
 * that which holds the caller's commit lock: it alone changes `position` and `current`.
 */
#ifndef SDB_WAL_WAL_INTERNAL_H
#define SDB_WAL_WAL_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include "wal/wal_pack.h"

enum {
    WAL_BUFFER_LEAST = 80 * 1024, /* a full record, a closing one, and some */
    WAL_BUFFER_MOST = 1024 * 1024,
    WAL_RUNS = 8,          /* segments one buffer can reach into */
    WAL_SPARES = 2,        /* trimmed segments kept for reuse */
    WAL_STORE_MOST = 32 * 1024, /* bytes stored through the map at once */
    WAL_DEPTH = 32,        /* operations in flight */
    WAL_FOLDER_MAX = 4096, /* bytes of the folder's path */
    WAL_PATH_MAX = WAL_FOLDER_MAX + 1 + WAL_NAME_SIZE
};

struct wal_segment {
    struct wal_segment *next;
    struct io_file *file; /* NULL: closed */
    uint64_t number, first_lsn, file_bytes;
    bool dirty; /* the leader's: written since its last sync */
    bool fresh; /* stored to through the map since a leader last looked */
    bool unmappable;
    bool archived;
};

/* Bytes [from, from + size) of segment `number`'s file as memory; NULL: none. */
struct wal_map {
    uint64_t number;
    uint8_t *memory;
    size_t from, size;
};

/* A contiguous piece of a buffer that goes to one segment. */
struct wal_run {
    struct wal_segment *segment;
    uint64_t offset;   /* in the file */
    size_t from, size; /* in the buffer */
};

struct wal_buffer {
    uint8_t *data;
    size_t used, capacity;
    unsigned run_count;
    struct wal_run runs[WAL_RUNS];
};

struct wal {
    struct io *io;
    const sdb_allocator *allocator;
    char *folder;
    struct wal_identity identity;
    uint64_t previous; /* id of the log before */
    uint64_t segment_bytes;
    char *archive; /* NULL: none */
    bool packing;  /* records are packed */

    /* the appender's */
    struct wal_packer packer;

    /* the maker's: whoever has set `making` */
    struct io_queue *make_queue;

    /* the leader's */
    struct io_queue *queue;

    pthread_mutex_t mutex;
    pthread_cond_t changed; /* leading, making, written, durable or dead has */
    bool leading;
    bool making; /* a segment */
    bool dead;
    char reason[512]; /* why it is dead */
    /* somebody flushes without syncing: records go to the map where they can */
    _Atomic bool mapping;
    uint64_t position, written, durable;
    _Atomic uint64_t end;         /* changed under the mutex; read without it, too */
    _Atomic bool wants_segment;   /* current is tail */
    _Atomic bool wants_window;    /* `ahead` was taken, or came too late */
    struct wal_map map, ahead, old;
    struct wal_segment *preparing; /* whose file is being mapped */
    struct wal_segment *head, *settled, *current, *tail;
    struct wal_segment *spares[WAL_SPARES]; /* closed */
    uint64_t made_bytes; /* size of the segment made last: the next new one has twice that */
    unsigned waiting;  /* threads that want a sync */
    unsigned crowd;    /* how many of them a sync has served of late */
    uint64_t sync_ns;  /* what it took */
    struct wal_buffer buffers[2];
    unsigned active;
    struct wal_stats stats;
};

static inline uint64_t wal_segment_end(const struct wal_segment *segment)
{
    return segment->first_lsn + (segment->file_bytes - WAL_SEGMENT_HEADER);
}

/* ---- wal_segment.c: files ----------------------------------------------------------------- */

/* Path of a segment. SDB_LIMIT when the folder's path is longer than WAL_FOLDER_MAX. */
SDB_MUST_USE sdb_status sdb__wal_segment_path(const char *folder, uint64_t number,
                                              char out_path[WAL_PATH_MAX]);
/* Makes segment `number`, anew or from a spare, durable when it returns. The maker's. */
SDB_MUST_USE sdb_status sdb__wal_segment_make(struct wal *wal, uint64_t number, uint64_t first_lsn,
                                              struct wal_segment **out_segment);
/* Removes all segment files of a folder, of whatever log. *out_foreign: there is something else. */
SDB_MUST_USE sdb_status sdb__wal_segment_clear(struct io *io, const char *folder,
                                               bool *out_foreign);
/* Closes its file, if it is open. */
void sdb__wal_segment_close(struct wal_segment *segment);
void sdb__wal_segment_free(struct wal *wal, struct wal_segment *segment); /* NULL is allowed */

/* ---- wal_map.c: the end of the log as memory ----------------------------------------------- */

/*
 * The memory of file bytes [offset, offset + size) of the current segment, size at most
 * WAL_STORE_MOST. NULL: it cannot be had, for whatever reason: records are written then, and what
 * is wrong shows there.
 */
uint8_t *sdb__wal_map_locked(struct wal *wal, size_t offset, size_t size);
/* Fetches the next window; by one thread, not the appender's. */
void sdb__wal_map_prepare(struct wal *wal);
void sdb__wal_map_done(struct wal *wal);

/* ---- wal_archive.c ------------------------------------------------------------------------- */

/* Archives the segments that end before `lsn` and are durable. The log has an archive. */
SDB_MUST_USE sdb_status sdb__wal_archive_before(struct wal *wal, uint64_t lsn);

/* ---- wal_group.c: writing and syncing ------------------------------------------------------ */

/* Takes the lead and writes (and syncs) what has been appended so far. Not leading, not dead. */
void sdb__wal_group_lead_locked(struct wal *wal, bool sync);
/* Copies this thread's sentence, before something overwrites it. */
void sdb__wal_group_reason(char out_reason[512]);
/* Ends the log's life for the failure just recorded; the first one wins. */
void sdb__wal_group_die_locked(struct wal *wal);
/* SDB_OK, or SDB_IO with the reason of its death. */
SDB_MUST_USE sdb_status sdb__wal_group_alive_locked(struct wal *wal);

/* Deep check of I1…I6 that can be seen at rest; for tests and asserts. */
bool sdb__wal_group_check_locked(const struct wal *wal);

#endif
