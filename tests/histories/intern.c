/* SPDX-License-Identifier: Apache-2.0 */
/* intern.c */
#include "tests/histories/intern.h"

#include <string.h>


static uint32_t hash_of(const void *bytes, size_t size)
{
    uint64_t hash = UINT64_C(0x9e3779b97f4a7c15) ^ size;
    const uint8_t *at = bytes;

    while (size) {
        uint64_t word = 0;
        size_t n = size < 8 ? size : 8;

        memcpy(&word, at, n);
        hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
        hash ^= hash >> 32;
        at += n;
        size -= n;
    }
    return (uint32_t)(hash ^ hash >> 29);
}

/* The slot of these bytes, or the free one where they belong. */
static size_t slot_of(const struct intern *intern, const void *bytes, size_t size, uint32_t hash)
{
    size_t slot = hash & intern->mask;

    for (; intern->slots[slot]; slot = (slot + 1) & intern->mask) {
        const struct interned *entry = &intern->entries[intern->slots[slot] - 1];

        if (entry->hash == hash && entry->size == size &&
            (size == 0 || memcmp(entry->bytes, bytes, size) == 0))
            break;
    }
    return slot;
}

static void grow(struct intern *intern)
{
    size_t slots = intern->slots ? 2 * (intern->mask + 1) : 64, capacity = 0;

    sdb__mem_free(&sdb__mem_default, intern->slots);
    intern->slots = NULL;
    make_room(&intern->slots, &capacity, slots, sizeof *intern->slots);
    memset(intern->slots, 0, slots * sizeof *intern->slots);
    intern->mask = slots - 1;
    for (size_t i = 0; i < intern->count; i++) {
        size_t slot = intern->entries[i].hash & intern->mask;

        while (intern->slots[slot]) slot = (slot + 1) & intern->mask;
        intern->slots[slot] = (uint32_t)i + 1;
    }
}

uint32_t intern_bytes(struct intern *intern, const void *bytes, size_t size)
{
    uint32_t hash = hash_of(bytes, size);
    size_t slot;
    void *copy;

    if (!intern->slots || 2 * intern->count >= intern->mask) grow(intern);
    slot = slot_of(intern, bytes, size, hash);
    if (intern->slots[slot]) return intern->slots[slot] - 1;
    copy = grab(&intern->arena, size);
    if (size) memcpy(copy, bytes, size);
    make_room(&intern->entries, &intern->capacity, intern->count + 1, sizeof *intern->entries);
    intern->entries[intern->count] = (struct interned){copy, (uint32_t)size, hash};
    intern->slots[slot] = (uint32_t)++intern->count;
    return (uint32_t)intern->count - 1;
}

uint32_t intern_form(struct intern *intern, const struct edn *form)
{
    struct buffer text = {0};
    uint32_t number;

    edn_print(form, &text);
    number = intern_bytes(intern, text.data, text.size);
    sdb__buffer_done(&sdb__mem_default, &text);
    return number;
}

uint32_t intern_pair(struct intern *intern, uint32_t first, uint32_t second)
{
    uint32_t pair[2] = {first, second};

    return intern_bytes(intern, pair, sizeof pair);
}

uint32_t intern_find_pair(const struct intern *intern, uint32_t first, uint32_t second)
{
    uint32_t pair[2] = {first, second};

    if (!intern->slots) return UINT32_MAX;
    return intern->slots[slot_of(intern, pair, sizeof pair, hash_of(pair, sizeof pair))] - 1;
}

void intern_done(struct intern *intern)
{
    sdb__arena_done(&intern->arena);
    sdb__mem_free(&sdb__mem_default, intern->entries);
    sdb__mem_free(&sdb__mem_default, intern->slots);
    *intern = (struct intern){0};
}
