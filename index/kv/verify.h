/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify.h: one checkpoint, read back from the file and doubted in every byte.
 *
 * Reads through a queue of its own and believes nothing: neither the cache nor what another part of
 * the file says. Any bytes may be given to it. It writes nothing, and needs memory for the page map
 * (16 bytes a page), two bits a page, the catalog, and one page for each level of a tree.
 */
#ifndef SDB_INDEX_KV_VERIFY_H
#define SDB_INDEX_KV_VERIFY_H

#include "engine/io/io.h"
#include "engine/pager/superblock.h"

/* Both slots as they stand in the file. */
struct verify_slots {
    uint8_t bytes[SUPERBLOCK_SLOTS][SUPERBLOCK_SIZE];
    bool is_read[SUPERBLOCK_SLOTS]; /* false: the file ends before it, or it cannot be read */
};

/*
 * Reads the slots, without judging them. Where somebody may write them meanwhile, the caller keeps
 * him away.
 */
SDB_MUST_USE sdb_status sdb__verify_look(struct io *io, struct io_file *file,
                                         struct verify_slots *out_slots);

/* What to verify, and whom to tell. */
struct verify {
    const sdb_allocator *allocator;
    struct io *io;
    struct io_file *file;
    const struct verify_slots *slots;
    const struct superblock *pinned; /* the checkpoint to walk; NULL: the newest of the slots */
    const char *log_folder;          /* NULL: the log is not looked at */
    sdb_problem_fn report;           /* may be NULL */
    sdb_progress_fn progress;        /* may be NULL */
    void *context;
};

/*
 * Verifies. SDB_OK: sound. SDB_CORRUPT: there were problems, each was reported. SDB_INVALID: this
 * is no sdb database, or one of a newer format. SDB_CANCELLED, SDB_NOMEM, SDB_IO: not finished.
 * *out_result is filled in for OK and CORRUPT; its `size` is left alone.
 */
SDB_MUST_USE sdb_status sdb__verify(const struct verify *what, sdb_check_result *out_result);

/* ---- check.c ---- */
/* sdb_check_file on a given backend. */
SDB_MUST_USE sdb_status sdb__check_file(struct io *io, const sdb_allocator *allocator,
                                        const char *path, sdb_problem_fn report,
                                        sdb_progress_fn progress, void *context,
                                        sdb_check_result *out_result);

#endif
