/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem.h: memory from the caller's allocator, and arenas on top of it.
 *
 * malloc stands in mem.c and nowhere else. Every function that may fail to get memory returns NULL
 * (or SDB_NOMEM) and leaves things as they were.
 */
#ifndef SDB_ENGINE_BASE_MEM_H
#define SDB_ENGINE_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>
#include <sdb/db.h>

/* The allocator that is used when the caller gives none: malloc and its family. */
extern const sdb_allocator sdb__mem_default;

/* Memory of `size` bytes (at least 1), uninitialised; or NULL. Owned: sdb__mem_free. */
void *sdb__mem_alloc(const sdb_allocator *a, size_t size);
/* The same, zeroed. NULL also when count * size overflows. */
void *sdb__mem_zalloc(const sdb_allocator *a, size_t count, size_t size);
/* As realloc; on failure NULL, and `memory` is still owned by the caller. */
void *sdb__mem_resize(const sdb_allocator *a, void *memory, size_t size);
void sdb__mem_free(const sdb_allocator *a, void *memory);
/* A copy of a string. Owned: sdb__mem_free. */
char *sdb__mem_strdup(const sdb_allocator *a, const char *text);

/*
 * A growing array: makes room for `need` elements of `size` bytes in *array, whose capacity is
 * *capacity, by doubling. SDB_NOMEM leaves it as it was.
 */
sdb_status sdb__mem_reserve(const sdb_allocator *a, void *array_pointer, size_t *capacity,
                            size_t need, size_t size);

/*
 * An arena: pieces that are freed all at once. Blocks start at 1 KiB and double to 256 KiB; a piece
 * larger than that has a block of its own. Zero-initialise and set `allocator`.
 */
struct arena_block;
struct arena {
    const sdb_allocator *allocator;
    struct arena_block *head; /* the block pieces are cut from; older ones are chained behind */
    size_t used_bytes;        /* of all blocks together: what the arena costs */
};

/* `size` bytes aligned to 8, uninitialised; or NULL. Borrowed until reset or done. */
void *sdb__arena_alloc(struct arena *arena, size_t size);
/* Frees all pieces; keeps one small block for the next use. */
void sdb__arena_reset(struct arena *arena);
void sdb__arena_done(struct arena *arena);

/* A reusable buffer, owned. Zero-initialise. */
struct buffer {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

/* Makes capacity at least `need`; contents up to size are kept. */
sdb_status sdb__buffer_reserve(const sdb_allocator *a, struct buffer *buffer, size_t need);
/* Appends bytes. */
sdb_status sdb__buffer_append(const sdb_allocator *a, struct buffer *buffer, const void *data,
                              size_t size);
void sdb__buffer_done(const sdb_allocator *a, struct buffer *buffer);

#endif
