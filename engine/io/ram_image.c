/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ram_image.c
 *
 * Idea: a file is chunks of equal size, and a list of leaves that point to them. Growing adds
 * leaves and chunks, and never moves bytes. Leaves and chunks count who points to them, and are
 * copied before they change: a copy of an image is a copy of its list of leaves.
 *
 *     one    leaves [ P ][ Q ]     P, refs 2 → chunks [ A ][ NULL ][ B ] …   NULL is a hole
 *     two    leaves [ P ][ R ]     a write of two to B copies P first, then B
 *
 * Invariants: I1 a chunk with one reference, in a leaf with one reference, belongs to this image
 * alone. I2 bytes of a chunk behind the end of the file are zeros, so growing the file needs no
 * clearing. I3 `present` counts the chunks.
 * Costs: read and write are a memcpy a chunk; share is a pointer and an atomic increment a leaf,
 * that is, for LEAF chunks.
 * Not here: locks (the user of an image has one).
 */
#include "engine/io/ram_image.h"
#include "engine/base/mem.h"
#include "engine/base/status.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

enum { LEAF = 64 };

struct ram_chunk {
    _Atomic uint32_t refs;
    uint32_t unused; /* keeps data aligned to 8 */
    uint8_t data[];
};

struct ram_leaf {
    _Atomic uint32_t refs;
    struct ram_chunk *chunks[LEAF];
};

/* Gives up one reference; true if it was the last. */
static bool is_last(_Atomic uint32_t *refs)
{
    /* acq_rel: whoever frees it has seen all that the others did to it */
    return atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1;
}

static void add_ref(_Atomic uint32_t *refs)
{
    atomic_fetch_add_explicit(refs, 1, memory_order_relaxed);
}

static bool is_sole(_Atomic uint32_t *refs)
{
    return atomic_load_explicit(refs, memory_order_acquire) == 1;
}

static struct ram_chunk *chunk_new(const struct ram_image *image)
{
    struct ram_chunk *chunk = sdb__mem_alloc(image->allocator, sizeof *chunk + image->chunk_size);

    if (!chunk) return NULL;
    atomic_init(&chunk->refs, 1);
    return chunk;
}

static void chunk_unref(const struct ram_image *image, struct ram_chunk *chunk)
{
    if (chunk && is_last(&chunk->refs)) sdb__mem_free(image->allocator, chunk);
}

/* Drops a whole leaf of the image. */
static void leaf_drop(struct ram_image *image, size_t index)
{
    struct ram_leaf *leaf = image->leaves[index];

    if (!leaf) return;
    for (size_t i = 0; i < LEAF; i++) image->present -= leaf->chunks[i] != NULL;
    image->leaves[index] = NULL;
    if (!is_last(&leaf->refs)) return;
    for (size_t i = 0; i < LEAF; i++) chunk_unref(image, leaf->chunks[i]);
    sdb__mem_free(image->allocator, leaf);
}

/* Makes leaf `index` exist and belong to this image alone. */
static sdb_status leaf_own(struct ram_image *image, size_t index)
{
    struct ram_leaf *old = image->leaves[index], *leaf;

    if (old && is_sole(&old->refs)) return SDB_OK;
    leaf = sdb__mem_zalloc(image->allocator, 1, sizeof *leaf);
    if (!leaf) return SDB_NOMEM;
    atomic_init(&leaf->refs, 1);
    image->leaves[index] = leaf;
    if (!old) return SDB_OK;
    for (size_t i = 0; i < LEAF; i++) {
        leaf->chunks[i] = old->chunks[i];
        if (leaf->chunks[i]) add_ref(&leaf->chunks[i]->refs);
    }
    if (is_last(&old->refs)) { /* the others went meanwhile */
        for (size_t i = 0; i < LEAF; i++) chunk_unref(image, old->chunks[i]);
        sdb__mem_free(image->allocator, old);
    }
    return SDB_OK;
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
    const struct ram_leaf *leaf =
        index / LEAF < image->capacity ? image->leaves[index / LEAF] : NULL;

    return leaf ? leaf->chunks[index % LEAF] : NULL;
}

void sdb__ram_image_done(struct ram_image *image)
{
    for (size_t i = 0; i < image->capacity; i++) leaf_drop(image, i);
    assert(image->present == 0);
    sdb__mem_free(image->allocator, image->leaves);
    image->leaves = NULL;
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

/* Makes the list of leaves reach to chunk `last`. */
static sdb_status reach(struct ram_image *image, size_t last)
{
    size_t old = image->capacity;

    TRY(sdb__mem_reserve(image->allocator, &image->leaves, &image->capacity, last / LEAF + 1,
                         sizeof(struct ram_leaf *)));
    for (size_t i = old; i < image->capacity; i++) image->leaves[i] = NULL;
    return SDB_OK;
}

/* Makes chunk `index` exist and belong to this image alone. */
static sdb_status own(struct ram_image *image, size_t index)
{
    struct ram_chunk **place, *chunk;

    TRY(leaf_own(image, index / LEAF));
    place = &image->leaves[index / LEAF]->chunks[index % LEAF];
    if (*place && is_sole(&(*place)->refs)) return SDB_OK;
    chunk = chunk_new(image);
    if (!chunk) return SDB_NOMEM;
    if (*place) {
        memcpy(chunk->data, (*place)->data, image->chunk_size);
        chunk_unref(image, *place);
    } else {
        memset(chunk->data, 0, image->chunk_size);
        image->present++;
    }
    *place = chunk;
    return SDB_OK;
}

sdb_status sdb__ram_image_prepare(struct ram_image *image, uint64_t offset, uint64_t size)
{
    size_t first, last;

    if (size == 0) return SDB_OK;
    first = (size_t)(offset / image->chunk_size);
    last = (size_t)((offset + size - 1) / image->chunk_size);
    TRY(reach(image, last));
    for (size_t i = first; i <= last; i++) TRY(own(image, i));
    return SDB_OK;
}

/* Points the missing chunks of [first, last] to one chunk of zeros. */
static sdb_status fill_holes(struct ram_image *image, size_t first, size_t last,
                             struct ram_chunk *zeros)
{
    for (size_t i = first; i <= last; i++) {
        if (chunk_at(image, i)) continue;
        TRY(leaf_own(image, i / LEAF));
        add_ref(&zeros->refs);
        image->leaves[i / LEAF]->chunks[i % LEAF] = zeros;
        image->present++;
    }
    return SDB_OK;
}

sdb_status sdb__ram_image_reserve(struct ram_image *image, uint64_t offset, uint64_t size)
{
    struct ram_chunk *zeros;
    size_t first, last;
    sdb_status status;

    if (sdb__ram_image_missing(image, offset, size) == 0) return SDB_OK;
    first = (size_t)(offset / image->chunk_size);
    last = (size_t)((offset + size - 1) / image->chunk_size);
    TRY(reach(image, last));
    zeros = chunk_new(image);
    if (!zeros) return SDB_NOMEM;
    memset(zeros->data, 0, image->chunk_size);
    status = fill_holes(image, first, last, zeros);
    chunk_unref(image, zeros); /* our own reference, from chunk_new */
    return status;
}

void sdb__ram_image_write(struct ram_image *image, const void *from, size_t size, uint64_t offset)
{
    const uint8_t *in = from;

    if (size > 0 && offset + size > image->size) image->size = offset + size;
    while (size > 0) {
        struct part part = part_at(image, offset, size);
        struct ram_chunk *chunk = chunk_at(image, part.index);

        assert(is_sole(&chunk->refs)); /* prepared */
        memcpy(chunk->data + part.begin, in, part.size);
        in += part.size;
        offset += part.size;
        size -= part.size;
    }
}

/* Zeros in a part of a chunk, which this image owns if it survives; its leaf it owns anyway. */
static void clear(struct ram_image *image, struct part part)
{
    struct ram_chunk *chunk = chunk_at(image, part.index);

    if (!chunk) return;
    if (part.size < image->chunk_size) {
        memset(chunk->data + part.begin, 0, part.size);
        return;
    }
    image->leaves[part.index / LEAF]->chunks[part.index % LEAF] = NULL;
    image->present--;
    chunk_unref(image, chunk);
}

/* Makes an end of a range that is to be zeroed our own: its leaf, and the chunk unless it goes. */
static sdb_status own_end(struct ram_image *image, size_t index, bool is_partial)
{
    if (!image->leaves[index / LEAF]) return SDB_OK;
    TRY(leaf_own(image, index / LEAF));
    return is_partial && chunk_at(image, index) ? own(image, index) : SDB_OK;
}

sdb_status sdb__ram_image_zero(struct ram_image *image, uint64_t offset, uint64_t size)
{
    uint64_t leaf_size = (uint64_t)image->chunk_size * LEAF, end = image->capacity * leaf_size;
    struct part first, last;

    if (offset >= end || size == 0) return SDB_OK;
    if (size > end - offset) size = end - offset;
    /* Between both ends everything goes; the ends must be our own before anything changes. */
    first = part_at(image, offset, size);
    last = part_at(image, offset + size - 1, 1);
    TRY(own_end(image, first.index, first.size < image->chunk_size));
    TRY(own_end(image, last.index, last.begin + 1 < image->chunk_size));
    while (size > 0) {
        struct part part = part_at(image, offset, size);
        uint64_t step = part.size;

        if (offset % leaf_size == 0 && size >= leaf_size) {
            leaf_drop(image, part.index / LEAF);
            step = leaf_size;
        } else {
            clear(image, part);
        }
        offset += step;
        size -= step;
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

    while (count > 0 && !from->leaves[count - 1]) count--;
    if (count > 0) TRY(reach(to, count * LEAF - 1));
    for (size_t i = 0; i < count; i++) {
        if (from->leaves[i]) add_ref(&from->leaves[i]->refs);
        to->leaves[i] = from->leaves[i];
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

    for (size_t i = 0; i < image->capacity * LEAF; i++) {
        struct ram_chunk *chunk = chunk_at(image, i);
        uint64_t begin = (uint64_t)i * image->chunk_size;

        if (!chunk) continue;
        present++;
        if (atomic_load(&chunk->refs) == 0) return false;
        if (atomic_load(&image->leaves[i / LEAF]->refs) == 0) return false;
        for (size_t at = 0; at < image->chunk_size; at++) {
            if (begin + at >= image->size && chunk->data[at] != 0) return false;
        }
    }
    return present == image->present;
}
