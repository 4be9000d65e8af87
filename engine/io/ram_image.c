/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ram_image.c
 *
 * Idea: a file is an array of pointers to chunks of equal size. Growing adds pointers, never moves
 * bytes.
 *
 *     chunks   [ A ][ NULL ][ B ]      NULL is a hole of zeros
 *                |            |
 *              refs 1       refs 2     B belongs to another image too: copied before it is changed
 *
 * Invariants: I1 a chunk with one reference belongs to this image alone. I2 bytes of a chunk
 * behind the end of the file are zeros, so growing the file needs no clearing. I3 `present` counts
 * the chunks.
 * Costs: read and write are a memcpy a chunk; share is a pointer and an atomic increment a chunk.
 * Not here: locks (the user of an image has one).
 */
#include "engine/io/ram_image.h"
#include "engine/base/mem.h"
#include "engine/base/status.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

struct ram_chunk {
    _Atomic uint32_t refs;
    uint32_t unused; /* keeps data aligned to 8 */
    uint8_t data[];
};

static struct ram_chunk *chunk_new(const struct ram_image *image)
{
    struct ram_chunk *chunk = sdb__mem_alloc(image->allocator, sizeof *chunk + image->chunk_size);

    if (!chunk) return NULL;
    atomic_init(&chunk->refs, 1);
    return chunk;
}

static void chunk_unref(const struct ram_image *image, struct ram_chunk *chunk)
{
    /* acq_rel: whoever frees it has seen all that the others did to it */
    if (atomic_fetch_sub_explicit(&chunk->refs, 1, memory_order_acq_rel) == 1)
        sdb__mem_free(image->allocator, chunk);
}

/* One chunk's part of a range: `size` bytes at `begin` of chunk `index`. */
struct part {
    size_t index, begin, size;
};

static struct part part_at(const struct ram_image *image, uint64_t offset, uint64_t left)
{
    struct part part;

    part.index = (size_t)(offset / image->chunk_size);
    part.begin = (size_t)(offset % image->chunk_size);
    part.size = image->chunk_size - part.begin;
    if (part.size > left) part.size = (size_t)left;
    return part;
}

static struct ram_chunk *chunk_at(const struct ram_image *image, size_t index)
{
    return index < image->capacity ? image->chunks[index] : NULL;
}

static void drop(struct ram_image *image, size_t index)
{
    if (!chunk_at(image, index)) return;
    chunk_unref(image, image->chunks[index]);
    image->chunks[index] = NULL;
    image->present--;
}

void sdb__ram_image_done(struct ram_image *image)
{
    for (size_t i = 0; i < image->capacity; i++) drop(image, i);
    assert(image->present == 0);
    sdb__mem_free(image->allocator, image->chunks);
    image->chunks = NULL;
    image->capacity = 0;
    image->size = 0;
}

size_t sdb__ram_image_read(const struct ram_image *image, void *to, size_t size, uint64_t offset)
{
    uint8_t *out = to;
    size_t left;

    if (offset >= image->size) return 0;
    if (size > image->size - offset) size = (size_t)(image->size - offset);
    for (left = size; left > 0;) {
        struct part part = part_at(image, offset, left);
        const struct ram_chunk *chunk = chunk_at(image, part.index);

        if (chunk)
            memcpy(out, chunk->data + part.begin, part.size);
        else
            memset(out, 0, part.size);
        out += part.size;
        offset += part.size;
        left -= part.size;
    }
    return size;
}

static sdb_status reserve(struct ram_image *image, size_t count)
{
    size_t old = image->capacity;

    TRY(sdb__mem_reserve(image->allocator, &image->chunks, &image->capacity, count,
                         sizeof(struct ram_chunk *)));
    for (size_t i = old; i < image->capacity; i++) image->chunks[i] = NULL;
    return SDB_OK;
}

/* Makes chunk `index` exist and belong to this image alone. */
static sdb_status own(struct ram_image *image, size_t index)
{
    struct ram_chunk *old = image->chunks[index], *chunk;

    if (old && atomic_load_explicit(&old->refs, memory_order_acquire) == 1) return SDB_OK;
    chunk = chunk_new(image);
    if (!chunk) return SDB_NOMEM;
    if (old) {
        memcpy(chunk->data, old->data, image->chunk_size);
        chunk_unref(image, old);
    } else {
        memset(chunk->data, 0, image->chunk_size);
        image->present++;
    }
    image->chunks[index] = chunk;
    return SDB_OK;
}

sdb_status sdb__ram_image_prepare(struct ram_image *image, uint64_t offset, uint64_t size)
{
    size_t first, last;

    if (size == 0) return SDB_OK;
    first = (size_t)(offset / image->chunk_size);
    last = (size_t)((offset + size - 1) / image->chunk_size);
    TRY(reserve(image, last + 1));
    for (size_t i = first; i <= last; i++) TRY(own(image, i));
    return SDB_OK;
}

sdb_status sdb__ram_image_reserve(struct ram_image *image, uint64_t offset, uint64_t size)
{
    struct ram_chunk *zeros;
    size_t first, last;

    if (sdb__ram_image_missing(image, offset, size) == 0) return SDB_OK;
    first = (size_t)(offset / image->chunk_size);
    last = (size_t)((offset + size - 1) / image->chunk_size);
    TRY(reserve(image, last + 1));
    zeros = chunk_new(image);
    if (!zeros) return SDB_NOMEM;
    memset(zeros->data, 0, image->chunk_size);
    for (size_t i = first; i <= last; i++) {
        if (image->chunks[i]) continue;
        atomic_fetch_add_explicit(&zeros->refs, 1, memory_order_relaxed);
        image->chunks[i] = zeros;
        image->present++;
    }
    chunk_unref(image, zeros); /* our own reference, from chunk_new */
    return SDB_OK;
}

void sdb__ram_image_write(struct ram_image *image, const void *from, size_t size, uint64_t offset)
{
    const uint8_t *in = from;

    if (size > 0 && offset + size > image->size) image->size = offset + size;
    while (size > 0) {
        struct part part = part_at(image, offset, size);

        assert(image->chunks[part.index]->refs == 1);
        memcpy(image->chunks[part.index]->data + part.begin, in, part.size);
        in += part.size;
        offset += part.size;
        size -= part.size;
    }
}

/* Zeros in a part of a chunk that this image owns, or of a hole. */
static void clear(struct ram_image *image, struct part part)
{
    struct ram_chunk *chunk = chunk_at(image, part.index);

    if (!chunk) return;
    if (part.size == image->chunk_size)
        drop(image, part.index);
    else
        memset(chunk->data + part.begin, 0, part.size);
}

sdb_status sdb__ram_image_zero(struct ram_image *image, uint64_t offset, uint64_t size)
{
    uint64_t end = (uint64_t)image->capacity * image->chunk_size;
    struct part first, last;

    if (offset >= end || size == 0) return SDB_OK;
    if (size > end - offset) size = end - offset;
    /* Only the chunks at both ends survive; they must be our own before anything changes. */
    first = part_at(image, offset, size);
    last = part_at(image, offset + size - 1, 1);
    if (first.size < image->chunk_size && chunk_at(image, first.index))
        TRY(own(image, first.index));
    if (last.begin + 1 < image->chunk_size && chunk_at(image, last.index))
        TRY(own(image, last.index));
    while (size > 0) {
        struct part part = part_at(image, offset, size);

        clear(image, part);
        offset += part.size;
        size -= part.size;
    }
    return SDB_OK;
}

sdb_status sdb__ram_image_resize(struct ram_image *image, uint64_t size)
{
    if (size < image->size) {
        uint64_t whole = image->size + image->chunk_size; /* with the rest of the last chunk */
        TRY(sdb__ram_image_zero(image, size, whole - size));
    }
    image->size = size;
    return SDB_OK;
}

sdb_status sdb__ram_image_share(struct ram_image *to, const struct ram_image *from)
{
    size_t count = from->capacity;

    while (count > 0 && !from->chunks[count - 1]) count--;
    TRY(reserve(to, count));
    for (size_t i = 0; i < count; i++) {
        struct ram_chunk *chunk = from->chunks[i];

        if (chunk) atomic_fetch_add_explicit(&chunk->refs, 1, memory_order_relaxed);
        to->chunks[i] = chunk;
    }
    to->present = from->present;
    to->size = from->size;
    return SDB_OK;
}

size_t sdb__ram_image_missing(const struct ram_image *image, uint64_t offset, uint64_t size)
{
    size_t missing = 0, first, last;

    if (size == 0) return 0;
    first = (size_t)(offset / image->chunk_size);
    last = (size_t)((offset + size - 1) / image->chunk_size);
    for (size_t i = first; i <= last; i++) missing += !chunk_at(image, i);
    return missing;
}

bool sdb__ram_image_check(const struct ram_image *image)
{
    size_t present = 0;

    for (size_t i = 0; i < image->capacity; i++) {
        const struct ram_chunk *chunk = image->chunks[i];
        uint64_t begin = (uint64_t)i * image->chunk_size;

        if (!chunk) continue;
        present++;
        if (atomic_load(&chunk->refs) == 0) return false;
        for (size_t at = 0; at < image->chunk_size; at++) {
            if (begin + at >= image->size && chunk->data[at] != 0) return false;
        }
    }
    return present == image->present;
}
