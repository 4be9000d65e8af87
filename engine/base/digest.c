/* SPDX-License-Identifier: Apache-2.0 */
/*
 * digest.c
 *
 * Idea: libxxhash's own stream state, in the caller's storage, so that a digest needs no memory.
 * Invariants: I1 the same bytes give what sdb__digest gives them with seed 0, however they are cut.
 * Costs: 576 bytes; a copy of what does not fill 256 bytes.
 * Source: XXH3 by Yann Collet, from libxxhash. Not here: seeds, other digests.
 */
#define XXH_STATIC_LINKING_ONLY /* for the size of the state */
#include "engine/base/digest.h"

#include <assert.h>
#include <xxhash.h>

static_assert(sizeof(XXH3_state_t) <= DIGEST_ROOM, "the state fits");

void sdb__digest_begin(struct digest *digest)
{
    XXH3_state_t *state = (XXH3_state_t *)(void *)digest->room;

    XXH3_INITSTATE(state);
    (void)XXH3_64bits_reset(state);
}

void sdb__digest_add(struct digest *digest, const void *data, size_t size)
{
    if (size) (void)XXH3_64bits_update((XXH3_state_t *)(void *)digest->room, data, size);
}

uint64_t sdb__digest_end(const struct digest *digest)
{
    return XXH3_64bits_digest((const XXH3_state_t *)(const void *)digest->room);
}
