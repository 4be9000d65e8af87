/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_ops.h: a simulated disk in use, and the gate that every operation on it passes. Internal to
 * the I/O floor. The caller of everything here holds the mutex.
 */
#ifndef SDB_ENGINE_IO_SIM_OPS_H
#define SDB_ENGINE_IO_SIM_OPS_H

#include "engine/io/sim_disk.h"
#include "engine/io/simulated.h"

#include <pthread.h>

struct sim_io {
    struct io base;
    pthread_mutex_t mutex; /* over everything below */
    struct sim_disk *disk;
    struct sim_faults faults; /* fail_at and fail_full_at count down */
    uint64_t random;
    uint64_t steps;
    uint64_t power_off_at; /* 0: not ordered */
    uint64_t generation;   /* counts restarts; files of older ones are detached */
    bool is_off;
};

struct sim_file {
    struct io_file base;
    struct sim_node *node; /* counted */
    uint64_t generation;
    enum ram_hold hold;
};

/* True if a fault of this chance strikes now. */
bool sdb__sim_strikes(struct sim_io *io, uint32_t chance);

/* Lets an operation begin: 0, or the errno it fails with. A step could change the durable state. */
int sdb__sim_begin(struct sim_io *io, bool is_step);

/* Runs one judged operation, whatever becomes of it. */
void sdb__sim_run(struct sim_io *io, struct io_op *op);

/* True for a file that was opened before the last restart. */
bool sdb__sim_is_detached(const struct sim_io *io, const struct sim_file *file);

#endif
