/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem.c
 *
 * Idea: all memory passes through one function pointer, so that a caller can count it, bound it, or
 * make the n-th request fail.
 * Invariants: I1 nothing but this file calls the C library's allocator. I2 a failed call changes
 * nothing.
 * Costs: an arena piece is a pointer increment; a reset keeps one block, so a reused arena is free.
 * Not here: page frames (engine/pager maps them), alignment above 16 bytes.
 */
#include "engine/base/mem.h"
#include "engine/base/status.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_FIRST = 1024, ARENA_MOST = 256 * 1024 };

struct arena_block {
    struct arena_block *next;
    size_t capacity; /* of data */
    size_t used;
    alignas(16) unsigned char data[];
};

static void *resize_malloc(void *context, void *memory, size_t size)
{
    (void)context;
    if (size == 0) {
        free(memory);
        return NULL;
    }
    return realloc(memory, size);
}

const sdb_allocator sdb__mem_default = {resize_malloc, NULL};

void *sdb__mem_resize(const sdb_allocator *a, void *memory, size_t size)
{
    void *result = a->resize(a->context, memory, size ? size : 1);

    if (!result) (void)FAIL(SDB_NOMEM, "the allocator refused %zu bytes", size);
    return result;
}

void *sdb__mem_alloc(const sdb_allocator *a, size_t size)
{
    return sdb__mem_resize(a, NULL, size);
}

void *sdb__mem_zalloc(const sdb_allocator *a, size_t count, size_t size)
{
    size_t bytes;
    void *memory;

    if (__builtin_mul_overflow(count, size, &bytes)) {
        (void)FAIL(SDB_NOMEM, "%zu times %zu bytes are more than memory can hold", count, size);
        return NULL;
    }
    memory = sdb__mem_alloc(a, bytes);
    if (memory) memset(memory, 0, bytes);
    return memory;
}

void sdb__mem_free(const sdb_allocator *a, void *memory)
{
    if (memory) (void)a->resize(a->context, memory, 0);
}

char *sdb__mem_strdup(const sdb_allocator *a, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = sdb__mem_alloc(a, size);

    if (copy) memcpy(copy, text, size);
    return copy;
}

sdb_status sdb__mem_reserve(const sdb_allocator *a, void *array_pointer, size_t *capacity,
                            size_t need, size_t size)
{
    size_t grown = *capacity ? *capacity : 16, bytes;
    void *array, *moved;

    if (need <= *capacity) return SDB_OK;
    while (grown < need) {
        if (__builtin_mul_overflow(grown, 2, &grown))
            return FAIL(SDB_NOMEM, "an array of %zu elements is too large", need);
    }
    if (__builtin_mul_overflow(grown, size, &bytes))
        return FAIL(SDB_NOMEM, "an array of %zu elements is too large", need);
    memcpy(&array, array_pointer, sizeof array);
    moved = sdb__mem_resize(a, array, bytes);
    if (!moved) return SDB_NOMEM;
    memcpy(array_pointer, &moved, sizeof moved);
    *capacity = grown;
    return SDB_OK;
}

static struct arena_block *block_new(struct arena *arena, size_t capacity)
{
    struct arena_block *block = sdb__mem_alloc(arena->allocator, sizeof *block + capacity);

    if (!block) return NULL;
    block->next = NULL;
    block->capacity = capacity;
    block->used = 0;
    arena->used_bytes += sizeof *block + capacity;
    return block;
}

void *sdb__arena_alloc(struct arena *arena, size_t size)
{
    struct arena_block *head = arena->head, *block;
    size_t need = (size + 7) & ~(size_t)7, capacity;

    if (head && head->capacity - head->used >= need) {
        void *piece = head->data + head->used;
        head->used += need;
        return piece;
    }
    capacity = head ? head->capacity * 2 : ARENA_FIRST;
    if (capacity > ARENA_MOST) capacity = ARENA_MOST;
    if (capacity < need) capacity = need;
    block = block_new(arena, capacity);
    if (!block) return NULL;
    block->used = need;
    if (head && need > ARENA_MOST / 2) { /* a large piece must not waste the head's room */
        block->next = head->next;
        head->next = block;
    } else {
        block->next = head;
        arena->head = block;
    }
    return block->data;
}

void sdb__arena_reset(struct arena *arena)
{
    struct arena_block *block = arena->head, *kept = NULL, *next;

    for (; block; block = next) {
        next = block->next;
        if (!kept && block->capacity <= ARENA_MOST) {
            kept = block;
            continue;
        }
        arena->used_bytes -= sizeof *block + block->capacity;
        sdb__mem_free(arena->allocator, block);
    }
    if (kept) {
        kept->next = NULL;
        kept->used = 0;
    }
    arena->head = kept;
}

void sdb__arena_done(struct arena *arena)
{
    sdb__arena_reset(arena);
    sdb__mem_free(arena->allocator, arena->head);
    arena->head = NULL;
    arena->used_bytes = 0;
}

sdb_status sdb__buffer_reserve(const sdb_allocator *a, struct buffer *buffer, size_t need)
{
    return sdb__mem_reserve(a, &buffer->data, &buffer->capacity, need, 1);
}

sdb_status sdb__buffer_append(const sdb_allocator *a, struct buffer *buffer, const void *data,
                              size_t size)
{
    TRY(sdb__buffer_reserve(a, buffer, buffer->size + size));
    if (size) memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    return SDB_OK;
}

void sdb__buffer_done(const sdb_allocator *a, struct buffer *buffer)
{
    sdb__mem_free(a, buffer->data);
    *buffer = (struct buffer){0};
}
