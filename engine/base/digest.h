/* SPDX-License-Identifier: Apache-2.0 */
/*
 * digest.h: sdb__digest (bytes.h) of bytes that come piece by piece, with seed 0.
 *
 * For what is too large to be held whole: the pieces may be cut anywhere, the digest is the same.
 */
#ifndef SDB_ENGINE_BASE_DIGEST_H
#define SDB_ENGINE_BASE_DIGEST_H

#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>

enum { DIGEST_ROOM = 576 };

/* A digest on its way. The caller's storage; there is nothing to free. */
struct digest {
    alignas(64) unsigned char room[DIGEST_ROOM];
};

void sdb__digest_begin(struct digest *digest);
void sdb__digest_add(struct digest *digest, const void *data, size_t size);
/* The digest of all that was added so far. */
uint64_t sdb__digest_end(const struct digest *digest);

#endif
