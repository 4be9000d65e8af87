/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dictionary.c
 *
 * Idea: Zstandard digests a dictionary once for packing at a level, once for unpacking; any number
 * of threads then use the same digests. Until somebody needs them there are only the bytes: a file
 * may have hundreds of dictionaries of which few are used, or have been forged to cost time.
 *
 *     bytes ──first page to unpack──→ bytes, DDict ──first page to pack──→ DDict, CDict
 *       └──and it is never to pack──→ DDict
 *
 * Invariants: I1 a digest never changes once it can be seen. I2 what packs has been digested for
 *   unpacking before, so no page is written that could not be read. I3 all of a set together count
 *   for at most DICTIONARIES_MOST, each for its bytes and DICTIONARY_EXTRA, which is what Zstandard
 *   adds to them for unpacking.
 * Costs: a short lock and a binary search a page. Of a dictionary of 64 KiB, 90 KiB for unpacking
 *   and at level 3 some 250 more for packing, and for either some 50 µs the first time; Zstandard
 *   takes them from malloc, since giving it another allocator is not part of its stable interface.
 * Source: Zstandard's dictionary builder (zdict.h: COVER, Liao et al., SIGIR 2016, section 4.2).
 * Not here: where dictionaries are kept (index/kv/train.c).
 */
#include "engine/pager/dictionary.h"

#include <stdatomic.h>
#include <string.h>
#include <zdict.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "engine/base/bytes.h"
#include "engine/base/mem.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"

struct digests {
    const sdb_allocator *allocator;
    pthread_mutex_t lock; /* one digests */
    uint8_t *bytes;       /* NULL: they are not needed any more */
    bool damaged;
    _Atomic(ZSTD_CDict *) pack;
    _Atomic(ZSTD_DDict *) unpack;
};

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
    (void)ZSTD_freeCDict(atomic_load(&d->digests->pack));
    (void)ZSTD_freeDDict(atomic_load(&d->digests->unpack));
    (void)pthread_mutex_destroy(&d->digests->lock);
    sdb__mem_free(allocator, d->digests->bytes);
    sdb__mem_free(allocator, d->digests);
    sdb__mem_free(allocator, d);
}

sdb_status sdb__dictionary_new(const sdb_allocator *allocator, uint32_t number, const void *bytes,
                               size_t size, unsigned level, struct dictionary **out)
{
    struct dictionary *d = sdb__mem_zalloc(allocator, 1, sizeof *d);
    struct digests *digests = sdb__mem_zalloc(allocator, 1, sizeof *digests);
    uint8_t *copy = bytes ? sdb__mem_alloc(allocator, size) : NULL;

    if (!d || !digests || (bytes && !copy)) {
        sdb__mem_free(allocator, copy);
        sdb__mem_free(allocator, digests);
        sdb__mem_free(allocator, d);
        return SDB_NOMEM;
    }
    if (copy) memcpy(copy, bytes, size);
    digests->allocator = allocator;
    digests->bytes = copy;
    digests->damaged = !bytes;
    (void)pthread_mutex_init(&digests->lock, NULL);
    *d = (struct dictionary){.number = number, .size = size, .level = level, .digests = digests};
    *out = d;
    return SDB_OK;
}

/* Do the bytes claim to be of Zstandard's format, and are not? */
static bool is_nonsense(const uint8_t *bytes, size_t size)
{
    size_t head = ZDICT_getDictHeaderSize(bytes, size);

    return get_u32(bytes) == ZSTD_MAGIC_DICTIONARY && ZDICT_isError(head) &&
           ZSTD_getErrorCode(head) != ZSTD_error_memory_allocation;
}

/* The bytes of which all is digested are of no use. */
static void drop_bytes(struct digests *s, unsigned level)
{
    if (!s->damaged && (!atomic_load(&s->unpack) || (level && !atomic_load(&s->pack)))) return;
    sdb__mem_free(s->allocator, s->bytes);
    s->bytes = NULL;
}

/* Makes what is missing of the digests that are asked for. */
static sdb_status digest(const struct dictionary *d, bool packing)
{
    struct digests *s = d->digests;
    sdb_status status = SDB_OK;

    (void)pthread_mutex_lock(&s->lock);
    if (!s->damaged && !atomic_load(&s->unpack)) /* NULL for no memory, and for nonsense */
        atomic_store_explicit(&s->unpack, ZSTD_createDDict(s->bytes, d->size),
                              memory_order_release);
    if (packing && !s->damaged && atomic_load(&s->unpack) && !atomic_load(&s->pack))
        atomic_store_explicit(&s->pack, ZSTD_createCDict(s->bytes, d->size, (int)d->level),
                              memory_order_release);
    if (!atomic_load(&s->unpack) || (packing && !atomic_load(&s->pack))) {
        if (s->bytes && is_nonsense(s->bytes, d->size)) s->damaged = true;
        status = s->damaged ? SDB_CORRUPT
                            : FAIL(SDB_NOMEM, "out of memory for a dictionary of %zu bytes",
                                   d->size);
    }
    drop_bytes(s, d->level);
    (void)pthread_mutex_unlock(&s->lock);
    return status;
}

sdb_status sdb__dictionary_ready(const struct dictionary *d)
{
    return digest(d, d->level > 0);
}

sdb_status sdb__dictionary_unpack(const struct dictionary *d, struct ZSTD_DDict_s **out)
{
    *out = atomic_load_explicit(&d->digests->unpack, memory_order_acquire);
    if (*out) return SDB_OK;
    TRY(digest(d, false));
    *out = atomic_load_explicit(&d->digests->unpack, memory_order_acquire);
    return SDB_OK;
}

struct ZSTD_CDict_s *sdb__dictionary_pack(const struct dictionary *d)
{
    struct ZSTD_CDict_s *pack = atomic_load_explicit(&d->digests->pack, memory_order_acquire);

    if (pack || d->level == 0 || digest(d, true) != SDB_OK) return pack;
    return atomic_load_explicit(&d->digests->pack, memory_order_acquire);
}

static uint64_t counts_for(uint64_t size)
{
    return size + DICTIONARY_EXTRA;
}

static bool has_room_locked(const struct dictionaries *set, uint64_t size)
{
    return MUTANT(dictionaries_without_end) || set->bytes + counts_for(size) <= DICTIONARIES_MOST;
}

bool sdb__dictionaries_have_room(struct dictionaries *set, uint64_t size)
{
    bool room;

    (void)pthread_mutex_lock(&set->lock);
    room = has_room_locked(set, size);
    (void)pthread_mutex_unlock(&set->lock);
    return room;
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
    if (status == SDB_OK && !has_room_locked(set, d->size)) status = SDB_LIMIT;
    if (status == SDB_OK)
        status = sdb__mem_reserve(set->allocator, &set->list, &set->capacity, set->count + 1,
                                  sizeof(struct dictionary *));
    if (status == SDB_OK) {
        memmove(set->list + at + 1, set->list + at,
                (set->count - at) * sizeof(struct dictionary *));
        set->list[at] = d;
        set->count++;
        set->bytes += counts_for(d->size);
    }
    (void)pthread_mutex_unlock(&set->lock);
    return status;
}

sdb_status sdb__dictionaries_add(struct dictionaries *set, uint32_t number, const void *bytes,
                                 size_t size, unsigned level, const struct dictionary **out)
{
    struct dictionary *d;
    sdb_status status;

    TRY(sdb__dictionary_new(set->allocator, number, bytes, size, level, &d));
    status = insert(set, d);
    if (status != SDB_OK) {
        sdb__dictionary_free(set->allocator, d);
        return status;
    }
    if (out) *out = d;
    return SDB_OK;
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
