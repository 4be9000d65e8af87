/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ram_image.h: the bytes of a file in memory, in chunks that several images may share. Internal to
 * the I/O floor: the memory backend keeps one image a file, the simulated disk two.
 *
 * An image is sparse: a missing chunk reads as zeros. Chunks are counted and copied before they
 * are changed, so that a copy of an image costs its list of chunks and not its bytes. An image is
 * used by one thread at a time; images that share chunks may be used by different threads.
 */
#ifndef SDB_ENGINE_IO_RAM_IMAGE_H
#define SDB_ENGINE_IO_RAM_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sdb/db.h>

struct ram_leaf;

/* Zero-initialise, and set `allocator` and `chunk_size` (a power of two). */
struct ram_image {
    const sdb_allocator *allocator;
    size_t chunk_size;
    uint64_t size;            /* of the file; bytes beyond it do not exist */
    struct ram_leaf **leaves; /* of chunks; NULL where nothing was written */
    size_t capacity;          /* of leaves; entries are initialised up to here */
    size_t present;           /* chunks that are there */
};

/* Frees the chunks nobody else shares. The image is empty then. */
void sdb__ram_image_done(struct ram_image *image);

/* Copies up to `size` bytes at `offset`; returns how many there are before the end of the file. */
size_t sdb__ram_image_read(const struct ram_image *image, void *to, size_t size, uint64_t offset);

/*
 * Gives the range chunks of the image's own, filled with zeros where there was nothing, so that the
 * next write there needs no memory. SDB_NOMEM: contents and size are as before.
 */
SDB_MUST_USE sdb_status sdb__ram_image_prepare(struct ram_image *image, uint64_t offset,
                                               uint64_t size);

/*
 * Makes the range present without memory for each chunk: what is missing shares one chunk of
 * zeros, and is copied when it is written. The size stays. SDB_NOMEM: contents and size are as
 * before.
 */
SDB_MUST_USE sdb_status sdb__ram_image_reserve(struct ram_image *image, uint64_t offset,
                                               uint64_t size);

/* Writes into a prepared range; makes the file larger where needed. */
void sdb__ram_image_write(struct ram_image *image, const void *from, size_t size, uint64_t offset);

/*
 * Makes the range zeros, and drops the chunks that lie in it entirely. The size stays. SDB_NOMEM:
 * nothing changed.
 */
SDB_MUST_USE sdb_status sdb__ram_image_zero(struct ram_image *image, uint64_t offset,
                                            uint64_t size);

/*
 * Sets the file's size; what is cut off is gone, what is added reads as zeros. SDB_NOMEM: nothing
 * changed.
 */
SDB_MUST_USE sdb_status sdb__ram_image_resize(struct ram_image *image, uint64_t size);

/* Makes the empty image *to a copy of `from`, sharing its chunks. SDB_NOMEM: *to is still empty. */
SDB_MUST_USE sdb_status sdb__ram_image_share(struct ram_image *to, const struct ram_image *from);

/* How many chunks in the range are missing: what a write there adds to `present`. */
size_t sdb__ram_image_missing(const struct ram_image *image, uint64_t offset, uint64_t size);

/*
 * Verifies the image: the count of chunks, that each one is owned by somebody, and that nothing
 * but zeros stands behind the end of the file. For tests.
 */
bool sdb__ram_image_check(const struct ram_image *image);

#endif
