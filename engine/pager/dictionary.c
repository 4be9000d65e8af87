/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dictionary.c
 *
 * Idea: Zstandard digests a dictionary once for packing at a level, once for unpacking; any number
 * of threads then use the same digests.
 * Invariants: I1 what is in the set is complete when it can be found, and never changes.
 * Costs: a short lock and a binary search a page. Of a dictionary of 64 KiB, 90 KiB for unpacking
 *   and at level 3 some 250 more for packing; Zstandard takes them from malloc, since giving it
 *   another allocator is not part of its stable interface.
 * Source: Zstandard's dictionary builder (zdict.h: COVER, Liao et al., SIGIR 2016, section 4.2).
 * Not here: where dictionaries are kept (index/kv/train.c).
 */
#include "engine/pager/dictionary.h"

#include <string.h>
#include <zdict.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "engine/base/bytes.h"
#include "engine/base/mem.h"
#include "engine/base/status.h"

void sdb__dictionaries_init(struct dictionaries *set, const sdb_allocator *allocator)
{
    *set = (struct dictionaries){.allocator = allocator, .made = true};
    (void)pthread_mutex_init(&set->lock, NULL);
}

void sdb__dictionaries_done(struct dictionaries *set)
{
    if (!set->made) return;
    for (size_t i = 0; i < set->count; i++) sdb__dictionary_free(set->allocator, set->list[i]);
    sdb__mem_free(set->allocator, set->list);
    (void)pthread_mutex_destroy(&set->lock);
    *set = (struct dictionaries){0};
}

void sdb__dictionary_free(const sdb_allocator *allocator, struct dictionary *d)
{
    if (!d) return;
    (void)ZSTD_freeCDict(d->pack);
    (void)ZSTD_freeDDict(d->unpack);
    sdb__mem_free(allocator, d);
}

sdb_status sdb__dictionary_new(const sdb_allocator *allocator, uint32_t number, const void *bytes,
                               size_t size, unsigned level, struct dictionary **out)
{
    struct dictionary *d = sdb__mem_zalloc(allocator, 1, sizeof *d);

    if (!d) return SDB_NOMEM;
    d->number = number;
    d->size = size;
    if (bytes) {
        d->unpack = ZSTD_createDDict(bytes, size); /* NULL for no memory, and for nonsense */
        if (d->unpack && level) d->pack = ZSTD_createCDict(bytes, size, (int)level);
        if (!d->unpack || (level && !d->pack)) {
            size_t head = ZDICT_getDictHeaderSize(bytes, size);
            bool damaged = get_u32(bytes) == ZSTD_MAGIC_DICTIONARY && ZDICT_isError(head) &&
                           ZSTD_getErrorCode(head) != ZSTD_error_memory_allocation;

            sdb__dictionary_free(allocator, d);
            return damaged ? SDB_CORRUPT : SDB_NOMEM;
        }
    }
    *out = d;
    return SDB_OK;
}

/* The index of the first whose number is >= number. */
static size_t find(const struct dictionaries *set, uint32_t number)
{
    size_t low = 0, high = set->count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (set->list[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Takes `d` over if that succeeds. */
static sdb_status insert(struct dictionaries *set, struct dictionary *d)
{
    sdb_status status;
    size_t at;

    (void)pthread_mutex_lock(&set->lock);
    at = find(set, d->number);
    status = at < set->count && set->list[at]->number == d->number ? SDB_EXISTS : SDB_OK;
    if (status == SDB_OK)
        status = sdb__mem_reserve(set->allocator, &set->list, &set->capacity, set->count + 1,
                                  sizeof(struct dictionary *));
    if (status == SDB_OK) {
        memmove(set->list + at + 1, set->list + at,
                (set->count - at) * sizeof(struct dictionary *));
        set->list[at] = d;
        set->count++;
    }
    (void)pthread_mutex_unlock(&set->lock);
    return status;
}

sdb_status sdb__dictionaries_add(struct dictionaries *set, uint32_t number, const void *bytes,
                                 size_t size, unsigned level, const struct dictionary **out)
{
    struct dictionary *d;
    sdb_status made = sdb__dictionary_new(set->allocator, number, bytes, size, level, &d), status;

    if (made == SDB_CORRUPT)
        TRY(sdb__dictionary_new(set->allocator, number, NULL, size, 0, &d));
    else if (made != SDB_OK)
        return made;
    status = insert(set, d);
    if (status != SDB_OK) {
        sdb__dictionary_free(set->allocator, d);
        return status;
    }
    if (out) *out = d;
    return made;
}

const struct dictionary *sdb__dictionaries_find(struct dictionaries *set, uint32_t number)
{
    const struct dictionary *d = NULL;
    size_t at;

    if (!set || !set->made) return NULL;
    (void)pthread_mutex_lock(&set->lock);
    at = find(set, number);
    if (at < set->count && set->list[at]->number == number) d = set->list[at];
    (void)pthread_mutex_unlock(&set->lock);
    return d;
}

uint32_t sdb__dictionaries_last(struct dictionaries *set)
{
    uint32_t last;

    (void)pthread_mutex_lock(&set->lock);
    last = set->count ? set->list[set->count - 1]->number : 0;
    (void)pthread_mutex_unlock(&set->lock);
    return last;
}

sdb_status sdb__dictionary_train(void *to, size_t capacity, const void *samples,
                                 const size_t *sizes, unsigned count, size_t *out_size)
{
    size_t size = ZDICT_trainFromBuffer(to, capacity, samples, sizes, count);

    if (ZDICT_isError(size)) return SDB_END;
    *out_size = size;
    return size >= DICTIONARY_LEAST ? SDB_OK : SDB_END;
}
