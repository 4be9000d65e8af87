/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_disk.h: what is on a simulated disk, cached and durable. Internal to the I/O floor.
 *
 * A *node* is a file with two images and a *journal*: what was done to the cached image since the
 * last sync, oldest first. A *move* is a change of names that is not durable yet. Nothing here
 * locks, counts steps or injects faults: simulated.c does.
 */
#ifndef SDB_ENGINE_IO_SIM_DISK_H
#define SDB_ENGINE_IO_SIM_DISK_H

#include "engine/io/ram_image.h"
#include "engine/io/ram_names.h"

enum { SIM_SECTOR = 512, SIM_CHUNK = 4096 };

/* The largest file: bounds the list of chunks to 128 MiB. */
#define SIM_FILE_MOST ((uint64_t)1 << 36)

enum sim_record_kind {
    SIM_DATA,    /* bytes were written */
    SIM_ZERO,    /* a range was given back */
    SIM_RESERVE, /* a range was reserved */
    SIM_SIZE     /* the file got the size `offset` */
};

struct sim_record {
    struct sim_record *next;
    enum sim_record_kind kind;
    uint64_t offset;
    uint64_t size;
    uint8_t data[];
};

struct sim_disk;

struct sim_node {
    struct ram_node base;
    struct sim_disk *disk; /* NULL when the disk went on without it (a restart) */
    struct sim_node *next; /* of the disk */
    uint64_t id;           /* by order of creation; never used twice on a disk */
    struct ram_image cached, durable;
    struct sim_record *first, **last;
    size_t records;
    struct sim_node *copy; /* while the disk is copied */
};

/*
 * Unbinds (from, from_text) and binds (to, to_text) to node, as one change; either half may be
 * missing.
 */
struct sim_move {
    struct ram_node *from, *to, *node; /* counted; NULL for a missing half */
    char from_text[IO_NAME_MAX + 1], to_text[IO_NAME_MAX + 1];
    bool is_chosen;
};

struct sim_disk {
    const sdb_allocator *allocator;
    struct sim_node *nodes; /* all that exist, with names or without */
    uint64_t next_id;
    struct ram_names cached, durable;
    struct sim_move *moves; /* oldest first */
    size_t move_count, move_capacity;
};

/* An empty disk. Owned: sdb__sim_disk_free. */
SDB_MUST_USE sdb_status sdb__sim_disk_new(const sdb_allocator *allocator,
                                          struct sim_disk **out_disk);
/* Frees the disk. Nodes that open files still hold live on without it. */
void sdb__sim_disk_free(struct sim_disk *disk);

/* A node with one reference, the caller's; or NULL. */
struct sim_node *sdb__sim_node_new(struct sim_disk *disk, bool is_folder);

/* Bytes in use: chunks of all cached images. */
uint64_t sdb__sim_disk_used(const struct sim_disk *disk);

/* Changes of a cached image, noted in the journal. SDB_NOMEM: nothing changed. */
SDB_MUST_USE sdb_status sdb__sim_node_write(struct sim_node *node, const void *from, size_t size,
                                            uint64_t offset);
SDB_MUST_USE sdb_status sdb__sim_node_zero(struct sim_node *node, uint64_t offset, uint64_t size);
SDB_MUST_USE sdb_status sdb__sim_node_reserve(struct sim_node *node, uint64_t offset,
                                              uint64_t size);
SDB_MUST_USE sdb_status sdb__sim_node_resize(struct sim_node *node, uint64_t size);

/* Makes the journal durable. SDB_NOMEM: a part of it is, the rest is still in the journal. */
SDB_MUST_USE sdb_status sdb__sim_node_sync(struct sim_node *node);

/*
 * A sync that fails, as on Linux: some sectors were written, none is tried again. The others are
 * dropped from the cached image, or stay there and pass for clean. SDB_NOMEM: nothing changed.
 */
SDB_MUST_USE sdb_status sdb__sim_node_lose(struct sim_node *node, uint64_t seed, bool drops);

/*
 * Flips a bit wherever the byte is: in both images and in the journal. SDB_NOMEM: nothing changed.
 */
SDB_MUST_USE sdb_status sdb__sim_node_flip(struct sim_node *node, uint64_t offset, unsigned bit);

/* Changes cached names and notes the move. Places may be NULL. SDB_NOMEM: nothing changed. */
SDB_MUST_USE sdb_status sdb__sim_disk_move(struct sim_disk *disk, const struct ram_place *from,
                                           const struct ram_place *to, struct ram_node *node);

/*
 * Makes the moves of a folder durable, and with a move between two folders what came before it in
 * the other. SDB_NOMEM: some are.
 */
SDB_MUST_USE sdb_status sdb__sim_disk_sync_folder(struct sim_disk *disk,
                                                  const struct ram_node *folder);

/* ---- simulated_crash.c ---- */

/* What is decided by one seed. */
struct sim_fate {
    uint64_t random;
    uint32_t keep;   /* of 256: the chance that an unsynced thing survives */
    bool is_ordered; /* what survives is a prefix of what was done, and part of what came next */
};

/* The fate of one node (or of the names) in a crash with this seed. */
struct sim_fate sdb__sim_fate(uint64_t seed, uint64_t salt);

/*
 * Applies what survives of a node's journal to an image. *out_settled is how many of the records
 * that are not SIM_DATA were: they survive in order. SDB_NOMEM: the image is of no use.
 */
SDB_MUST_USE sdb_status sdb__sim_survive(const struct sim_node *node, struct sim_fate fate,
                                         struct ram_image *image, size_t *out_settled);

/* Applies one record to an image entirely. SDB_NOMEM: nothing changed. */
SDB_MUST_USE sdb_status sdb__sim_record_apply(const struct sim_record *record,
                                              struct ram_image *image);

/* Applies a move to a table of names. SDB_NOMEM: nothing changed. */
SDB_MUST_USE sdb_status sdb__sim_move_apply(const struct sim_move *move, struct ram_names *names);

/* A new disk, as a crash of this one with this seed leaves it. Owned: sdb__sim_disk_free. */
SDB_MUST_USE sdb_status sdb__sim_disk_crash(struct sim_disk *disk, uint64_t seed,
                                            struct sim_disk **out_disk);

#endif
