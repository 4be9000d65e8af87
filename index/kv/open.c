/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open.c: opening, making, closing a database; the handle's life and death.
 *
 * Idea: a new database is born under a marker file (path + "-new"): until the marker has gone,
 * whatever stands in the file is not a database yet, and the next open begins again. So a crash at
 * birth leaves nothing that could be taken for damage, and no foreign file is ever taken for an
 * unborn database.
 * Invariants: I1 the file is locked before a byte of it is judged. I2 after a clean close the file
 *   alone is the database. I3 a dead handle changes nothing more on disk.
 * Costs: opening reads the page map and the catalog; making syncs four times.
 * Not here: recovery (recover.c), checkpoints (checkpoint_run.c).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "engine/base/clock.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"
#include "index/btree/node_dense.h"
#include "index/kv/merge.h"
#include "index/kv/dict.h"
#include "index/kv/packing.h"
#include "wal/wal_archive.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0"
#endif

static const uint64_t megabyte = 1024 * 1024;

enum { TXN_MEMORY_LEAST = 4096 };

const char *sdb_version(void)
{
    return PACKAGE_VERSION;
}

/* Four times what is written between checkpoints, within reason. */
static uint64_t default_log_limit(uint64_t checkpoint_bytes)
{
    if (checkpoint_bytes < megabyte / 4) return megabyte;
    return checkpoint_bytes < UINT64_MAX / 4 ? 4 * checkpoint_bytes : UINT64_MAX;
}

sdb_status sdb__options_fill(const sdb_options *given, sdb_options *out)
{
    sdb_options o = {0};

    if (given) {
        if (given->size < sizeof(size_t) + sizeof(unsigned))
            return FAIL(SDB_INVALID, "options: size is not set: begin with SDB_OPTIONS_INIT");
        memcpy(&o, given, given->size < sizeof o ? given->size : sizeof o);
    }
    o.size = sizeof o;
    if (!o.page_size) o.page_size = 8192;
    if (!o.cache_bytes) o.cache_bytes = 256 * megabyte;
    if (!o.checkpoint_bytes) o.checkpoint_bytes = 256 * megabyte;
    if (!o.log_limit_bytes) o.log_limit_bytes = default_log_limit(o.checkpoint_bytes);
    if (!o.version_bytes) o.version_bytes = 1024 * megabyte;
    if (!o.txn_memory_bytes) o.txn_memory_bytes = 64 * megabyte;
    if (!o.durability) o.durability = SDB_DURABILITY_FULL;
    if (!o.group_interval_ms) o.group_interval_ms = 100;
    if (!o.allocator) o.allocator = &sdb__mem_default;
    if (o.page_size < PAGE_SIZE_LEAST || o.page_size > PAGE_SIZE_MOST ||
        (o.page_size & (o.page_size - 1)) != 0)
        return FAIL(SDB_INVALID, "options: page size %u: it must be a power of two from %d to %d",
                    o.page_size, PAGE_SIZE_LEAST, PAGE_SIZE_MOST);
    if (o.cache_bytes < megabyte)
        return FAIL(SDB_INVALID, "options: a cache of %" PRIu64 " bytes: it must have at least "
                    "1 MiB", o.cache_bytes);
    if (o.log_limit_bytes < megabyte)
        return FAIL(SDB_INVALID, "options: a log limit of %" PRIu64 " bytes: it must be at least "
                    "1 MiB", o.log_limit_bytes);
    if (o.txn_memory_bytes < TXN_MEMORY_LEAST)
        return FAIL(SDB_INVALID, "options: %" PRIu64 " bytes of memory for a transaction: it must "
                    "be at least 4 KiB", o.txn_memory_bytes);
    if (o.durability > SDB_DURABILITY_NONE || o.durability < SDB_DURABILITY_DEFAULT)
        return FAIL(SDB_INVALID, "options: durability %d is unknown", (int)o.durability);
    if (o.cache_policy > SDB_CACHE_FIFO || o.cache_policy < SDB_CACHE_DEFAULT)
        return FAIL(SDB_INVALID, "options: cache policy %d is unknown", (int)o.cache_policy);
    if (o.log_compression != SDB_COMPRESSION_NONE && o.log_compression != SDB_COMPRESSION_LZ4)
        return FAIL(SDB_INVALID, "options: the log can be compressed with LZ4 or not at all, not "
                    "with %d", (int)o.log_compression);
    if (o.archive_folder && !*o.archive_folder)
        return FAIL(SDB_INVALID, "options: the archive folder's name is empty");
    if (!o.allocator->resize)
        return FAIL(SDB_INVALID, "options: the allocator has no resize function");
    TRY(sdb__merge_judge_options(&o));
    *out = o;
    return SDB_OK;
}

sdb_status sdb__db_alive(sdb_db *db)
{
    int dead = atomic_load_explicit(&db->dead, memory_order_acquire);

    if (dead == SDB_OK) return SDB_OK;
    return FAIL((sdb_status)dead, "%s: the handle is dead (%s): close it and open it again",
                db->path, db->dead_text);
}

sdb_status sdb__db_kill(sdb_db *db, sdb_status status)
{
    if (status != SDB_CORRUPT && status != SDB_FULL && status != SDB_NOMEM) status = SDB_IO;
    (void)pthread_mutex_lock(&db->dead_lock);
    if (atomic_load(&db->dead) == SDB_OK) {
        (void)snprintf(db->dead_text, sizeof db->dead_text, "%s", sdb_errmsg());
        atomic_store_explicit(&db->dead, (int)status, memory_order_release);
    }
    (void)pthread_mutex_unlock(&db->dead_lock);
    return status;
}

static void init_locks(sdb_db *db)
{
    (void)pthread_mutex_init(&db->reap_lock, NULL);
    (void)pthread_mutex_init(&db->checkpoint_lock, NULL);
    (void)pthread_mutex_init(&db->commit_lock, NULL);
    (void)pthread_mutex_init(&db->snapshot_lock, NULL);
    (void)pthread_mutex_init(&db->keyspace_lock, NULL);
    (void)pthread_mutex_init(&db->dead_lock, NULL);
    (void)pthread_mutex_init(&db->stream_lock, NULL);
    (void)pthread_cond_init(&db->snapshot_cond, NULL);
    sdb__worker_init(&db->checkpointer);
    sdb__worker_init(&db->keeper);
    sdb__worker_init(&db->reaper);
}

static void done_locks(sdb_db *db)
{
    sdb__worker_done(&db->reaper);
    sdb__worker_done(&db->keeper);
    sdb__worker_done(&db->checkpointer);
    (void)pthread_cond_destroy(&db->snapshot_cond);
    (void)pthread_mutex_destroy(&db->stream_lock);
    (void)pthread_mutex_destroy(&db->dead_lock);
    (void)pthread_mutex_destroy(&db->keyspace_lock);
    (void)pthread_mutex_destroy(&db->snapshot_lock);
    (void)pthread_mutex_destroy(&db->commit_lock);
    (void)pthread_mutex_destroy(&db->checkpoint_lock);
    (void)pthread_mutex_destroy(&db->reap_lock);
}

/* path + suffix. Owned. */
static char *with_suffix(const sdb_db *db, const char *suffix)
{
    size_t size = strlen(db->path) + strlen(suffix) + 1;
    char *text = sdb__mem_alloc(db->allocator, size);

    if (text) (void)snprintf(text, size, "%s%s", db->path, suffix);
    return text;
}

sdb_status sdb__db_new(const char *path, const sdb_options *options, sdb_db **out_db)
{
    sdb_db *db = sdb__mem_zalloc(options->allocator, 1, sizeof *db);

    if (!db) return SDB_NOMEM;
    db->own_allocator = *options->allocator;
    db->allocator = &db->own_allocator;
    db->options = *options;
    db->options.allocator = db->allocator;
    db->readonly = (options->flags & SDB_OPEN_READONLY) != 0;
    init_locks(db);
    sdb__dictionaries_init(&db->dictionaries, db->allocator);
    sdb__versions_init(&db->versions, db->allocator, NULL);
    db->path = sdb__mem_strdup(db->allocator, path);
    if (db->path) db->wal_folder = with_suffix(db, "-wal");
    if (options->archive_folder)
        db->archive = sdb__mem_strdup(db->allocator, options->archive_folder);
    db->options.archive_folder = db->archive;
    *out_db = db;
    return db->wal_folder && (db->archive || !options->archive_folder) ? SDB_OK : SDB_NOMEM;
}

/* Frees a handle in any state of completion; writes nothing. */
void sdb__db_free(sdb_db *db)
{
    sdb_allocator allocator = db->own_allocator;
    sdb_db *parent = db->parent;

    sdb__workers_stop(db);
    sdb__txns_done(db);
    sdb__versions_done(&db->versions);
    sdb__keyspaces_done(db);
    sdb__buffer_done(db->allocator, &db->reaping.place);
    sdb__wal_close(atomic_load(&db->wal));
    sdb__pager_close(db->pager);
    sdb__dicts_done(db);
    if (!parent) sdb__io_close(db->file);
    if (db->owns_io) sdb__io_free(db->io);
    sdb__mem_free(db->allocator, db->archive);
    sdb__mem_free(db->allocator, db->wal_folder);
    sdb__mem_free(db->allocator, db->path);
    done_locks(db);
    sdb__mem_free(&allocator, db);
    if (parent) sdb__named_closed(parent);
}

static struct pager_options pager_options(sdb_db *db)
{
    return (struct pager_options){.io = db->io, .file = db->file, .allocator = db->allocator,
                                  .cache_bytes = db->options.cache_bytes,
                                  .cache_policy = db->options.cache_policy,
                                  .readonly = db->readonly, .verify = sdb__node_verify,
                                  .packing = sdb__packing_of_page, .packing_context = db,
                                  .dictionaries = &db->dictionaries,
                                  .dense = &sdb__node_dense};
}

/* Writes an empty database into the empty file. */
static sdb_status make_database(sdb_db *db)
{
    struct pager_options options = pager_options(db);
    struct superblock first = {.page_size = db->options.page_size};
    uint64_t id[2] = {sdb__random_seed(), sdb__random_seed()};

    memcpy(first.database_id, id, sizeof first.database_id);
    first.made_ms = sdb__pager_now_ms();
    TRY(sdb__pager_create(&options, &first, &db->pager));
    db->catalog = (struct btree){.pager = db->pager, .id = CATALOG_TREE};
    TRY(sdb__btree_make(db->pager, CATALOG_TREE, &db->catalog.root));
    db->changed = true;
    db->next_keyspace = CATALOG_TREE + 1;
    return sdb__db_checkpoint(db, true);
}

/* Makes a database under its marker, which goes when the database is durable. */
static sdb_status make_with_marker(sdb_db *db, const char *marker, bool marked)
{
    struct io_file *file;

    if (!marked) {
        TRY(sdb__io_open(db->io, marker, IO_OPEN_WRITE | IO_OPEN_CREATE, &file));
        sdb__io_close(file);
    }
    TRY(sdb__io_parent_sync(db->io, marker)); /* who made it may have died before */
    TRY(sdb__io_truncate(db->file, 0));
    TRY(sdb__wal_remove(db->io, db->wal_folder));
    TRY(make_database(db));
    TRY(sdb__io_remove(db->io, marker));
    return sdb__io_parent_sync(db->io, marker);
}

/*
 * The readable superblock says that there is no log, but the other one is damaged, and may have
 * been the newer and have named one. *log_id is left alone if there is none.
 */
static sdb_status find_log(sdb_db *db, uint64_t *log_id)
{
    struct wal_identity identity;
    sdb_status status = sdb__wal_find(db->io, db->wal_folder,
                                      sdb__pager_superblock(db->pager)->database_id, db->lsn,
                                      &identity);

    if (status == SDB_OK) *log_id = identity.log_id;
    if (status == SDB_NOTFOUND ||
        (status == SDB_CORRUPT && (db->options.flags & SDB_OPEN_DISCARD_LOG)))
        return SDB_OK;
    return status;
}

sdb_status sdb__db_load(sdb_db *db)
{
    const struct superblock *superblock = sdb__pager_superblock(db->pager);

    db->options.page_size = superblock->page_size;
    db->catalog = (struct btree){.pager = db->pager, .root = superblock->catalog_root,
                                .id = CATALOG_TREE};
    db->last_commit = superblock->commit;
    atomic_store(&db->visible, superblock->commit);
    db->lsn = superblock->lsn;
    db->history = superblock->history;
    return sdb__keyspaces_load(db);
}

/* Opens what is there, recovering it if need be. */
static sdb_status open_database(sdb_db *db)
{
    struct pager_options options = pager_options(db);
    uint64_t log_id;

    TRY(sdb__pager_open(&options, &db->pager));
    TRY(sdb__db_load(db));
    log_id = sdb__pager_superblock(db->pager)->log_id;
    if (log_id == 0 && sdb__pager_is_lame(db->pager)) TRY(find_log(db, &log_id));
    if (log_id && db->readonly)
        return FAIL(SDB_READONLY, "%s was not closed cleanly and must be recovered: open it once "
                    "for writing", db->path);
    if (log_id) return sdb__recover(db, log_id);
    if (db->readonly) return SDB_OK;
    TRY(sdb__wal_remove(db->io, db->wal_folder));
    db->changed = sdb__pager_is_lame(db->pager); /* a crash tore a superblock: write both anew */
    return db->changed ? sdb__db_checkpoint(db, true) : SDB_OK;
}

static sdb_status lock_file(sdb_db *db)
{
    int64_t holder = 0;
    sdb_status status = sdb__io_lock(db->file,
                                     db->readonly || MUTANT(writer_takes_a_readers_lock)
                                         ? IO_LOCK_SHARED : IO_LOCK_EXCLUSIVE, &holder);

    if (status != SDB_BUSY) return status;
    if (holder > 0)
        return FAIL(SDB_BUSY, "%s is open in process %" PRId64 ": end that process, or go through "
                    "it", db->path, holder);
    return FAIL(SDB_BUSY, "%s is open in another process: end that process, or go through it",
                db->path);
}

/* True when a file of that name is there. */
static sdb_status exists(sdb_db *db, const char *path, bool *out_exists)
{
    struct io_file *file;
    sdb_status status = sdb__io_open(db->io, path, 0, &file);

    *out_exists = status == SDB_OK;
    if (status == SDB_OK) sdb__io_close(file);
    return status == SDB_NOTFOUND ? SDB_OK : status;
}

/* Opens or makes the file of the handle. */
static sdb_status open_file(sdb_db *db)
{
    unsigned flags = db->options.flags, how = db->readonly ? 0 : IO_OPEN_WRITE;
    char *marker = with_suffix(db, "-new");
    uint64_t bytes = 0;
    bool marked = false;
    sdb_status status = marker ? SDB_OK : SDB_NOMEM;

    if (status == SDB_OK) {
        if (!db->readonly && !(flags & SDB_OPEN_MUST_EXIST)) how |= IO_OPEN_CREATE;
        if (db->options.direct_io) how |= IO_OPEN_DIRECT;
        status = sdb__io_open(db->io, db->path, how, &db->file);
    }
    if (status == SDB_OK) status = lock_file(db);
    if (status == SDB_OK) status = sdb__io_size(db->file, &bytes);
    if (status == SDB_OK) status = exists(db, marker, &marked);
    if (status == SDB_OK && bytes > 0 && !marked && (flags & SDB_OPEN_MUST_MAKE))
        status = FAIL(SDB_EXISTS, "%s exists already", db->path);
    if (status == SDB_OK) {
        if (bytes > 0 && !marked)
            status = open_database(db);
        else if (db->readonly || (flags & SDB_OPEN_MUST_EXIST))
            status = FAIL(SDB_INVALID, "%s is empty: it is no sdb database yet", db->path);
        else
            status = make_with_marker(db, marker, marked);
    }
    sdb__mem_free(db->allocator, marker);
    return status;
}

/* Everything after the choice of a backend. Takes the handle over: it is freed on failure. */
static sdb_status finish_open(sdb_db *db, sdb_db **out_db)
{
    sdb_status status = open_file(db);

    db->versions.pager = db->pager;
    atomic_store(&db->last_sync_ns, sdb__clock_now_ns());
    if (status == SDB_OK) status = sdb__workers_start(db);
    if (status == SDB_OK) status = sdb__keyspaces_tidy(db);
    if (status == SDB_OK) sdb__reaper_need(db);
    if (status != SDB_OK) {
        sdb__db_free(db);
        return status;
    }
    *out_db = db;
    return SDB_OK;
}

sdb_status sdb__db_open(struct io *io, const char *path, const sdb_options *options,
                        sdb_db **out_db)
{
    sdb_options filled;
    sdb_db *db = NULL;
    sdb_status status;

    TRY(sdb__options_fill(options, &filled));
    status = sdb__db_new(path, &filled, &db);
    if (status != SDB_OK) {
        if (db) sdb__db_free(db);
        return status;
    }
    db->io = io;
    return finish_open(db, out_db);
}

sdb_status sdb_open(const char *path, const sdb_options *options, sdb_db **out_db)
{
    sdb_options filled;
    sdb_db *db = NULL;
    sdb_status status;

    if (!path || !out_db) return FAIL(SDB_INVALID, "sdb_open: an argument is NULL");
    if (!*path) return FAIL(SDB_INVALID, "sdb_open: the path is empty");
    TRY(sdb__options_fill(options, &filled));
    status = sdb__db_new(path, &filled, &db);
    if (status == SDB_OK) {
        db->is_memory = strcmp(path, ":memory:") == 0;
        if (db->is_memory && db->archive)
            status = FAIL(SDB_INVALID, ":memory: has no log that could be archived");
    }
    if (status == SDB_OK) {
        status = db->is_memory ? sdb__io_new_memory(db->allocator, &db->io)
                               : sdb__io_new(filled.backend, db->allocator, &db->io);
        db->owns_io = status == SDB_OK;
    }
    if (status != SDB_OK) {
        if (db) sdb__db_free(db);
        return status;
    }
    return finish_open(db, out_db);
}

/* Archives what is still in the log. It must be there before the file says that there is none. */
static sdb_status archive_log(sdb_db *db)
{
    struct wal *wal = atomic_load(&db->wal);
    struct wal_identity identity = {.log_id = db->log_id};

    if (!db->archive || !wal) return SDB_OK;
    memcpy(identity.database_id, sdb__pager_superblock(db->pager)->database_id,
           sizeof identity.database_id);
    if (sdb__wal_sync(wal, sdb__wal_end(wal)) != SDB_OK) return sdb__db_kill(db, SDB_IO);
    return sdb__wal_archive_rest(db->io, db->allocator, db->wal_folder, &identity, db->archive);
}

/* The clean end: a checkpoint that needs no log, and no log. */
static sdb_status close_cleanly(sdb_db *db)
{
    TRY(sdb__db_alive(db));
    if (db->readonly || db->is_memory) return SDB_OK;
    TRY(archive_log(db));
    TRY(sdb__db_checkpoint(db, true));
    sdb__wal_close(atomic_exchange(&db->wal, NULL));
    TRY(sdb__wal_remove(db->io, db->wal_folder));
    return sdb__pager_shrink_file(db->pager);
}

sdb_status sdb_close(sdb_db *db)
{
    uint64_t open, opened;
    bool streaming;
    sdb_status status;

    if (!db) return SDB_OK;
    (void)pthread_mutex_lock(&db->snapshot_lock);
    open = db->transaction_count;
    opened = db->opened;
    (void)pthread_mutex_unlock(&db->snapshot_lock);
    if (open)
        return FAIL(SDB_BUSY, "%s: %" PRIu64 " transactions are still open: end them first (a "
                    "get queue counts as one)",
                    db->path, open);
    if (opened)
        return FAIL(SDB_BUSY, "%s: %" PRIu64 " snapshots of it are still open: close them first",
                    db->path, opened);
    (void)pthread_mutex_lock(&db->stream_lock);
    streaming = db->streams != NULL;
    (void)pthread_mutex_unlock(&db->stream_lock);
    if (streaming)
        return FAIL(SDB_BUSY, "%s: a change stream is still open: close it first", db->path);
    sdb__workers_stop(db);
    status = close_cleanly(db);
    sdb__db_free(db);
    return status;
}

sdb_status sdb_checkpoint(sdb_db *db)
{
    if (!db) return FAIL(SDB_INVALID, "sdb_checkpoint: db is NULL");
    TRY(sdb__db_alive(db));
    if (db->readonly)
        return FAIL(SDB_READONLY, "%s is open for reading only", db->path);
    return sdb__db_checkpoint(db, false);
}

sdb_status sdb_sync(sdb_db *db)
{
    struct wal *wal;

    if (!db) return FAIL(SDB_INVALID, "sdb_sync: db is NULL");
    TRY(sdb__db_alive(db));
    wal = atomic_load(&db->wal);
    if (wal && sdb__wal_sync(wal, sdb__wal_end(wal)) != SDB_OK) return sdb__db_kill(db, SDB_IO);
    return SDB_OK;
}
