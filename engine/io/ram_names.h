/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ram_names.h: a tree of names in memory. Internal to the I/O floor, for the memory and the
 * simulated backend.
 *
 * A *node* is a file or a folder; its user embeds struct ram_node as the first member. A *name*
 * binds (folder, text) to a node. Paths are resolved as usual: "/" and "." are the root folder,
 * repeated slashes and "." count once; ".." is refused. Nodes are counted: names, open files and
 * whoever keeps one hold a reference each. Nothing here locks.
 */
#ifndef SDB_ENGINE_IO_RAM_NAMES_H
#define SDB_ENGINE_IO_RAM_NAMES_H

#include "engine/io/backend.h"
#include "engine/base/mem.h"

struct ram_node {
    unsigned refs;
    bool is_folder;
    unsigned readers; /* open files that hold the shared lock */
    bool is_locked;   /* one open file holds the exclusive lock */
    void (*free)(struct ram_node *node);
};

struct ram_name {
    struct ram_node *folder; /* counted */
    struct ram_node *node;   /* counted */
    char text[IO_NAME_MAX + 1];
};

/* Zero-initialise, set `allocator` and `root` (a folder; the table takes the reference). */
struct ram_names {
    const sdb_allocator *allocator;
    struct ram_node *root;
    struct ram_name *names;
    size_t count, capacity;
};

/* Where a path leads: its folder and last name, and what is there now (NULL if nothing). */
struct ram_place {
    struct ram_node *folder; /* NULL for the root itself; borrowed */
    struct ram_node *node;   /* borrowed */
    char text[IO_NAME_MAX + 1];
};

void sdb__ram_ref(struct ram_node *node);
void sdb__ram_unref(struct ram_node *node); /* NULL is allowed */

void sdb__ram_names_done(struct ram_names *names);

/* SDB_NOTFOUND if a folder on the way is missing; SDB_INVALID. */
SDB_MUST_USE sdb_status sdb__ram_names_find(const struct ram_names *names, const char *path,
                                            struct ram_place *out_place);

/* The node of a name, or NULL. Borrowed. */
struct ram_node *sdb__ram_names_get(const struct ram_names *names, const struct ram_node *folder,
                                    const char *text);

/* Binds a name, in place of what it was bound to. SDB_NOMEM: nothing changed. */
SDB_MUST_USE sdb_status sdb__ram_names_put(struct ram_names *names, struct ram_node *folder,
                                           const char *text, struct ram_node *node);

/* Makes room for one more name, so that the next put cannot fail. */
SDB_MUST_USE sdb_status sdb__ram_names_reserve(struct ram_names *names);

/* Ends a name, if there is one. */
void sdb__ram_names_del(struct ram_names *names, const struct ram_node *folder, const char *text);

bool sdb__ram_names_is_empty(const struct ram_names *names, const struct ram_node *folder);

/* Appends the names in a folder to a list, each with its final zero byte. */
SDB_MUST_USE sdb_status sdb__ram_names_collect(const struct ram_names *names,
                                               const struct ram_node *folder, struct buffer *list);
/* Calls fn for each name of such a list; to be done without locks, since fn may call us. */
SDB_MUST_USE sdb_status sdb__ram_names_tell(const struct buffer *list, io_name_fn fn,
                                            void *context);

/*
 * The judgements the calls on names have in common. Each answers SDB_OK with the places, or the
 * status and sentence for the caller.
 */
SDB_MUST_USE sdb_status sdb__ram_judge_open(const struct ram_names *names, const char *path,
                                            unsigned flags, struct ram_place *out_place);
SDB_MUST_USE sdb_status sdb__ram_judge_remove(const struct ram_names *names, const char *path,
                                              struct ram_place *out_place);
SDB_MUST_USE sdb_status sdb__ram_judge_rename(const struct ram_names *names, const char *from,
                                              const char *to, struct ram_place *out_from,
                                              struct ram_place *out_to);
SDB_MUST_USE sdb_status sdb__ram_judge_folder_make(const struct ram_names *names, const char *path,
                                                   struct ram_place *out_place);
SDB_MUST_USE sdb_status sdb__ram_judge_folder_remove(const struct ram_names *names,
                                                     const char *path, struct ram_place *out_place);
SDB_MUST_USE sdb_status sdb__ram_judge_folder(const struct ram_names *names, const char *path,
                                              struct ram_node **out_folder);

/* What one open file holds on its node. */
enum ram_hold { RAM_HOLDS_NOTHING, RAM_HOLDS_SHARED, RAM_HOLDS_EXCLUSIVE };

/* Takes or changes the lock that *hold describes. SDB_BUSY with a sentence: it is as before. */
SDB_MUST_USE sdb_status sdb__ram_lock(struct ram_node *node, enum ram_hold *hold, enum io_lock lock,
                                      const char *path, int64_t *out_holder);
void sdb__ram_unlock(struct ram_node *node, enum ram_hold *hold);

#endif
