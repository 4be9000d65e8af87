/* SPDX-License-Identifier: Apache-2.0 */
/*
 * simulated.h: a disk that fails on purpose, the same way each time for the same seed.
 *
 * Each file has a *cached* image (what reads see) and a *durable* one (what a crash leaves), in
 * sectors of 512 bytes. A write changes the cached image; a sync makes the sectors written before
 * it durable. Names (create, rename, remove) become durable by a folder sync. A crash builds a new
 * durable state: of the sectors written since the last sync any subset survives, a sector may be
 * torn at a multiple of 8 bytes, and unsynced names and sizes survive or not, each by the seed.
 *
 * Single-threaded by use: one thread works on it at a time (it locks inside so that a careless test
 * fails gently).
 */
#ifndef SDB_ENGINE_IO_SIMULATED_H
#define SDB_ENGINE_IO_SIMULATED_H

#include "engine/io/io.h"

/* What goes wrong, and how often: chances are out of 65536 per operation; 0 is never. */
struct sim_faults {
    uint32_t read_error;  /* EIO on read */
    uint32_t write_error; /* EIO on write, after a part of it was applied */
    uint32_t
        sync_error; /* EIO on sync: unsynced sectors are dropped from the cache or kept, by seed */
    uint32_t full;  /* ENOSPC on a write that grows the file, or on allocate */
    uint32_t short_io;     /* the backend's first try moves only a part (it must carry on) */
    uint32_t bit_rot;      /* a read sees one bit flipped, and so does every later one */
    bool lying_sync;       /* syncs answer OK and make nothing durable */
    uint64_t capacity;     /* bytes on the disk; 0 is no limit. ENOSPC beyond */
    uint64_t fail_at;      /* the n-th operation from now (1…) fails with EIO; 0 is none */
    uint64_t fail_full_at; /* the n-th write from now fails with ENOSPC; 0 is none */
};

/* A simulated disk as a backend. */
SDB_MUST_USE sdb_status sdb__sim_new(const sdb_allocator *allocator, uint64_t seed,
                                     struct io **out_io);

/*
 * Changes the faults from now on; counts for fail_at start anew. What counts as an operation there
 * is whatever goes to the disk: those of queues, and open, truncate and the calls on names and
 * folders.
 */
void sdb__sim_set_faults(struct io *io, const struct sim_faults *faults);

/*
 * Operations that could change the durable state so far: writes, syncs, truncations, name changes.
 */
uint64_t sdb__sim_steps(const struct io *io);

/*
 * Lets the power fail just before step number `step` (as counted by sdb__sim_steps): that and
 * every later operation fails with SDB_IO and changes nothing. 0 takes the order back; if it has
 * been carried out, it was only the process that died: cached images are as they were.
 */
void sdb__sim_power_off_at(struct io *io, uint64_t step);

/* True once the power has failed. */
bool sdb__sim_is_off(const struct io *io);

/*
 * Power returns: cached images are rebuilt from the durable ones plus a subset of unsynced sectors
 * and names chosen by `seed` (seed 0: none survives; UINT64_MAX: all survive). Faults stay. Open
 * files are detached: their handles answer SDB_IO until closed. Locks are gone.
 */
SDB_MUST_USE sdb_status sdb__sim_restart(struct io *io, uint64_t seed);

/*
 * A copy of the disk with all its images, as if it had been restarted with `seed` (as above), for
 * exploring many crashes of one run; cheap, since unchanged bytes are shared. The copy has no
 * faults but the capacity, and counts steps on. Owned: sdb__io_free; it outlives `io`.
 */
SDB_MUST_USE sdb_status sdb__sim_clone(struct io *io, uint64_t seed, struct io **out_io);

/* Flips bit `bit` (0…7) of the byte at `offset` in both images of a file. SDB_NOTFOUND. */
SDB_MUST_USE sdb_status sdb__sim_flip(struct io *io, const char *path, uint64_t offset,
                                      unsigned bit);

#endif
