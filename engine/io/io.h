/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io.h: files, and one completion-style way to read and write them.
 *
 * A *backend* (struct io) opens files and makes queues. A *file* (struct io_file) may be used by
 * any thread. A *queue* (struct io_queue) is used by one thread at a time: operations are
 * submitted to it in batches and come back, in any order, by waiting. Nothing is retried behind
 * the caller's back except interrupted calls and short reads and writes, which are carried on
 * until done, end of file, or an error. A failed sync is reported once and is final for the
 * caller.
 *
 * Order: operations in one batch run in any order, unless IO_LINK says that the next one begins
 * only when this one has succeeded; if it fails, the linked ones come back with SDB_CANCELLED.
 *
 * Durability: a write is durable after a later IO_SYNC of its file has succeeded. A created,
 * renamed or removed name is durable after sync_folder on its folder.
 *
 * Four backends: io_uring, posix, memory (a RAM disk, for `:memory:`) and simulated (tests; see
 * simulated.h).
 */
#ifndef SDB_ENGINE_IO_IO_H
#define SDB_ENGINE_IO_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sdb/db.h>

struct io;
struct io_file;
struct io_queue;

enum io_kind {
    IO_READ,     /* `size` bytes at `offset` into `memory`; short only at the end of the file */
    IO_WRITE,    /* `size` bytes from `memory` to `offset`; grows the file as needed */
    IO_SYNC,     /* fdatasync: data, and the size as far as it is needed to read the data back */
    IO_ALLOCATE, /* reserve disk space for [offset, offset + size); what is new reads as zeros */
    IO_PUNCH     /* give back the space of [offset, offset + size), which then reads as zeros */
};

enum { IO_LINK = 1 << 0 };

/*
 * One operation. The caller owns it and its memory, and leaves both alone until it has come back.
 * `status` is SDB_OK, SDB_IO (`error` is the errno), SDB_FULL (no space, quota or file too large)
 * or SDB_CANCELLED; on a RAM disk, or when direct I/O needs a buffer, also SDB_NOMEM. `done` is the
 * number of bytes moved; for IO_READ it is below `size` only at end of file. IO_ALLOCATE and
 * IO_PUNCH answer SDB_INVALID where the file system cannot do them, reads and writes where direct
 * I/O cannot.
 */
struct io_op {
    struct io_file *file;
    void *memory; /* read into, or written from */
    uint64_t offset;
    size_t size;
    size_t done;
    enum io_kind kind;
    unsigned flags;
    sdb_status status;
    int error;
    void *context;       /* the caller's */
    struct io_op *next_; /* the backend's */
};

/* How to open a file. */
enum {
    IO_OPEN_WRITE = 1 << 0,  /* for writing too; otherwise for reading only */
    IO_OPEN_CREATE = 1 << 1, /* make it if it is not there */
    IO_OPEN_NEW = 1 << 2,    /* with CREATE: SDB_EXISTS if it is there */
    IO_OPEN_DIRECT = 1 << 3  /* past the kernel's cache; SDB_INVALID where that cannot be done */
};

/*
 * Direct I/O. Offsets are multiples of IO_BLOCK; so are sizes and addresses of memory where
 * operations are submitted. sdb__io_run and the plain calls take any size and memory: they move
 * what is not aligned through a buffer, one operation after the other, and fill the last block of a
 * write up with zeros. What breaks the rule comes back as SDB_INVALID, from every backend.
 */
enum { IO_BLOCK = 512 };

/* What may be asked for with sdb__io_lock. */
enum io_lock { IO_LOCK_SHARED, IO_LOCK_EXCLUSIVE };

/*
 * Called once for each name in a folder. A status other than SDB_OK ends the walk and is its
 * answer.
 */
typedef sdb_status (*io_name_fn)(void *context, const char *name);

/* ---- backends ----------------------------------------------------------------------------- */

/*
 * Makes a backend. AUTO tries io_uring and falls back to posix; sdb__io_note then says why.
 * *out_io is owned: sdb__io_free, after all its files and queues have gone.
 */
SDB_MUST_USE sdb_status sdb__io_new(sdb_backend backend, const sdb_allocator *allocator,
                                    struct io **out_io);
/* A RAM disk of its own; files live as long as it does. */
SDB_MUST_USE sdb_status sdb__io_new_memory(const sdb_allocator *allocator, struct io **out_io);
void sdb__io_free(struct io *io);

const char *sdb__io_name(const struct io *io); /* "io_uring", "posix", "memory", "simulated" */
const char *sdb__io_note(const struct io *io); /* why io_uring was not used, or "" */

/* ---- names and files: synchronous, rare --------------------------------------------------- */

/*
 * SDB_NOTFOUND, SDB_EXISTS, SDB_IO, SDB_FULL, SDB_READONLY (permission) with a sentence. Owned:
 * sdb__io_close.
 */
SDB_MUST_USE sdb_status sdb__io_open(struct io *io, const char *path, unsigned flags,
                                     struct io_file **out_file);
void sdb__io_close(struct io_file *file); /* releases its lock; NULL is allowed */

SDB_MUST_USE sdb_status sdb__io_size(struct io_file *file, uint64_t *out_bytes);
SDB_MUST_USE sdb_status sdb__io_truncate(struct io_file *file, uint64_t bytes);
/*
 * Locks the whole file for this open file. SDB_BUSY if another holds it (in this process too):
 * *out_holder is then the process id if it can be known, otherwise 0. If it cannot, the answer
 * takes up to three seconds: the holder may have died a moment ago.
 */
SDB_MUST_USE sdb_status sdb__io_lock(struct io_file *file, enum io_lock lock, int64_t *out_holder);
const char *sdb__io_path(const struct io_file *file);

SDB_MUST_USE sdb_status sdb__io_remove(struct io *io, const char *path); /* SDB_NOTFOUND */
SDB_MUST_USE sdb_status sdb__io_rename(struct io *io, const char *from, const char *to);
SDB_MUST_USE sdb_status sdb__io_folder_make(struct io *io, const char *path);   /* SDB_EXISTS */
SDB_MUST_USE sdb_status sdb__io_folder_remove(struct io *io, const char *path); /* must be empty */
SDB_MUST_USE sdb_status sdb__io_folder_list(struct io *io, const char *path, io_name_fn fn,
                                            void *context); /* SDB_NOTFOUND */
/* Makes the folder's names durable. */
SDB_MUST_USE sdb_status sdb__io_folder_sync(struct io *io, const char *path);
/* sdb__io_folder_sync on the folder that `path` stands in. */
SDB_MUST_USE sdb_status sdb__io_parent_sync(struct io *io, const char *path);

/* ---- memory that is a file ---------------------------------------------------------------- */

/*
 * Maps bytes [offset, offset + size) (multiples of 4096, within the file) of a file that is open
 * for writing, and fetches them, so that storing there asks the disk for nothing. What is stored is
 * in the operating system's hands at once, as if written, and durable with the next IO_SYNC of the
 * file that begins afterwards. SDB_INVALID: this backend, or this kernel, has no such memory.
 * SDB_IO, SDB_NOMEM: the pages cannot be had; without the fetching, the process would get SIGBUS
 * instead. *out_memory is owned: sdb__io_unmap, before or after the file is closed.
 */
SDB_MUST_USE sdb_status sdb__io_map(struct io_file *file, uint64_t offset, size_t size,
                                    uint8_t **out_memory);
void sdb__io_unmap(uint8_t *memory, size_t size); /* NULL is allowed */

/* ---- queues ------------------------------------------------------------------------------- */

/*
 * A queue for up to `depth` operations in flight (1…4096). Owned: sdb__io_queue_free, when empty.
 */
SDB_MUST_USE sdb_status sdb__io_queue_new(struct io *io, unsigned depth,
                                          struct io_queue **out_queue);
void sdb__io_queue_free(struct io_queue *queue); /* NULL is allowed */

/*
 * Hands over count operations; they start at once. When more than `depth` would be in flight,
 * earlier ones are waited for first (they stay to be collected). Never fails: failures are in the
 * operations.
 */
void sdb__io_submit(struct io_queue *queue, struct io_op *const *ops, size_t count);
/*
 * Collects finished operations into out_ops[0…capacity), at least `least` of them (fewer if fewer
 * are in flight); returns how many. least 0 only looks.
 */
size_t sdb__io_wait(struct io_queue *queue, struct io_op **out_ops, size_t capacity, size_t least);

/*
 * Runs count operations and waits for all; the queue must be empty. The first failure (of an
 * operation that is not SDB_CANCELLED) is the answer, with a sentence naming path and offset. A
 * single operation goes by the plain system call, which is faster than a ring's round trip.
 */
SDB_MUST_USE sdb_status sdb__io_run(struct io_queue *queue, struct io_op *ops, size_t count);

/* The sentence for a failed operation, recorded for this thread; returns its status. */
sdb_status sdb__io_fail(const struct io_op *op);

/* Plain calls for the rare path; the answer of an incomplete read is SDB_CORRUPT, "ends at". */
SDB_MUST_USE sdb_status sdb__io_read(struct io_queue *queue, struct io_file *file, void *memory,
                                     size_t size, uint64_t offset);
SDB_MUST_USE sdb_status sdb__io_write(struct io_queue *queue, struct io_file *file,
                                      const void *memory, size_t size, uint64_t offset);
SDB_MUST_USE sdb_status sdb__io_sync(struct io_queue *queue, struct io_file *file);

/* Counters of a backend since it was made; exact when nothing is in flight. */
struct io_stats {
    uint64_t reads, read_bytes, writes, written_bytes, syncs;
};
void sdb__io_stats(const struct io *io, struct io_stats *out_stats);

#endif
