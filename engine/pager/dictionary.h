/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dictionary.h: what pages have in common, for packing and unpacking them with Zstandard.
 *
 * A packed page names its dictionary by a number; where dictionaries are kept is the caller's
 * business. A set of them only grows, up to DICTIONARIES_MOST: a pointer to one is good for as long
 * as the set is. What Zstandard makes of the bytes of one, its digests, is made at the first use.
 *
 * Threads: any, except init and done.
 */
#ifndef SDB_ENGINE_PAGER_DICTIONARY_H
#define SDB_ENGINE_PAGER_DICTIONARY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sdb/db.h>

enum {
    DICTIONARY_LEAST = 256,
    DICTIONARY_MOST = 1024 * 1024,  /* bytes of one */
    DICTIONARY_NUMBER_MOST = 0xffffff, /* 24 bits in the head of a packed page; 0: none */
    DICTIONARY_EXTRA = 32 * 1024,      /* that one counts for beside its bytes */
    DICTIONARIES_MOST = 128 * 1024 * 1024 /* that all of a set may count for */
};

struct ZSTD_CDict_s;
struct ZSTD_DDict_s;
struct digests;

struct dictionary {
    uint32_t number;
    size_t size;
    unsigned level; /* to pack at; 0: pages are only unpacked with it */
    struct digests *digests;
};

struct dictionaries {
    const sdb_allocator *allocator;
    pthread_mutex_t lock;
    struct dictionary **list; /* in the order of numbers */
    size_t count, capacity;
    uint64_t bytes; /* that they count for */
    bool made;
};

void sdb__dictionaries_init(struct dictionaries *set, const sdb_allocator *allocator);
void sdb__dictionaries_done(struct dictionaries *set); /* zeros are allowed */

/*
 * Adds a dictionary; the bytes are copied. level 0: for unpacking only. bytes NULL: it is known to
 * be damaged. Without a sentence: SDB_EXISTS: there is one with this number. SDB_LIMIT: no more.
 */
SDB_MUST_USE sdb_status sdb__dictionaries_add(struct dictionaries *set, uint32_t number,
                                              const void *bytes, size_t size, unsigned level,
                                              const struct dictionary **out);
/* NULL: there is none. */
const struct dictionary *sdb__dictionaries_find(struct dictionaries *set, uint32_t number);
/* May one of that size be added? */
bool sdb__dictionaries_have_room(struct dictionaries *set, uint64_t size);
/* The highest number there is, or 0. */
uint32_t sdb__dictionaries_last(struct dictionaries *set);

/* One that is in no set, for trying it out. Owned: sdb__dictionary_free. */
SDB_MUST_USE sdb_status sdb__dictionary_new(const sdb_allocator *allocator, uint32_t number,
                                            const void *bytes, size_t size, unsigned level,
                                            struct dictionary **out);
/*
 * Digests it for all that it is for. SDB_CORRUPT (without a sentence): its bytes are damaged.
 */
SDB_MUST_USE sdb_status sdb__dictionary_ready(const struct dictionary *dictionary);
/* Digested for unpacking: SDB_OK, SDB_CORRUPT (without a sentence) or SDB_NOMEM. Borrowed. */
SDB_MUST_USE sdb_status sdb__dictionary_unpack(const struct dictionary *dictionary,
                                               struct ZSTD_DDict_s **out);
/* Digested for packing; NULL: it cannot be, now or ever. It can be unpacked with then. Borrowed. */
struct ZSTD_CDict_s *sdb__dictionary_pack(const struct dictionary *dictionary);
void sdb__dictionary_free(const sdb_allocator *allocator, struct dictionary *dictionary);

/*
 * Makes a dictionary of at most `capacity` bytes of what samples have in common; they stand one
 * behind the other. SDB_END: too little.
 */
SDB_MUST_USE sdb_status sdb__dictionary_train(void *to, size_t capacity, const void *samples,
                                              const size_t *sizes, unsigned count,
                                              size_t *out_size);

#endif
