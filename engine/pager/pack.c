/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack.c
 *
 * Idea: pages are packed one by one, each from nothing, so that any of them can be read alone. They
 *   are brought into a dense form first, without what means nothing.
 * Invariants: I1 unpack writes within its page whatever it is given. I2 what pack made, unpack
 *   turns back, into a page that means the same.
 * Costs (nodes of 8 KiB with 50 entries of 16 + 100 bytes, half of which can be compressed; busy
 *   machine): LZ4 4 µs to pack and 1 to unpack, Zstandard 7 and 2 at level 1, 10 and 2 at level 3,
 *   0.7 ms and 2 at level 19. A room is 34 pages and, once it has met Zstandard, what that takes
 *   from malloc.
 * Source: the LZ4 and Zstandard libraries. Not here: where packed pages stand (map.h), choosing
 *   (index/kv).
 */
#include "engine/pager/pack.h"

#include <assert.h>
#include <lz4.h>
#include <string.h>
#include <zstd.h>

#include "engine/base/bytes.h"
#include "engine/base/mem.h"
#include "engine/base/status.h"
#include "engine/pager/space.h"

enum { ALIGNMENT = 4096 };

struct pack_room {
    struct pack_room *next;
    const sdb_allocator *allocator;
    struct dictionaries *dictionaries;
    const struct pack_dense *dense;
    uint32_t page_size;
    uint8_t *memory, *pages;
    uint8_t *spare; /* what is to be packed or unpacked */
    uint8_t *form;  /* a dense form that was unpacked */
    void *lz4;
    ZSTD_CCtx *zstd;
    ZSTD_DCtx *unzstd;
};

sdb_status sdb__pack_room_new(const sdb_allocator *allocator, uint32_t page_size,
                              struct dictionaries *dictionaries, const struct pack_dense *dense,
                              struct pack_room **out_room)
{
    struct pack_room *room = sdb__mem_zalloc(allocator, 1, sizeof *room);

    if (!room) return SDB_NOMEM;
    room->allocator = allocator;
    room->page_size = page_size;
    room->dictionaries = dictionaries;
    room->dense = dense;
    room->memory = sdb__mem_alloc(allocator, (size_t)(PACK_PAGES + 2) * page_size + ALIGNMENT);
    room->lz4 = sdb__mem_alloc(allocator, (size_t)LZ4_sizeofState());
    room->unzstd = ZSTD_createDCtx();
    if (!room->memory || !room->lz4 || !room->unzstd) {
        sdb__pack_room_free(room);
        return SDB_NOMEM;
    }
    room->pages = room->memory + (ALIGNMENT - (uintptr_t)room->memory % ALIGNMENT) % ALIGNMENT;
    room->spare = room->pages + (size_t)PACK_PAGES * page_size;
    room->form = room->spare + page_size;
    *out_room = room;
    return SDB_OK;
}

void sdb__pack_room_free(struct pack_room *room)
{
    if (!room) return;
    (void)ZSTD_freeCCtx(room->zstd);
    (void)ZSTD_freeDCtx(room->unzstd);
    sdb__mem_free(room->allocator, room->lz4);
    sdb__mem_free(room->allocator, room->memory);
    sdb__mem_free(room->allocator, room);
}

uint8_t *sdb__pack_room_page(struct pack_room *room, unsigned index)
{
    assert(index < PACK_PAGES);
    return room->pages + (size_t)index * room->page_size;
}

/* ---- packing ------------------------------------------------------------------------------ */

/* Packs `bytes` of room->spare into to[0…most). The size, or 0 if it does not fit. */
static size_t squeeze(struct pack_room *room, struct packing how, size_t bytes, uint8_t *to,
                      size_t most)
{
    size_t size;

    if (how.algorithm == PACK_LZ4)
        return (size_t)LZ4_compress_fast_extState(room->lz4, (const char *)room->spare,
                                                  (char *)to, (int)bytes, (int)most, 1);
    if (!room->zstd) room->zstd = ZSTD_createCCtx();
    if (!room->zstd) return 0;
    (void)ZSTD_CCtx_reset(room->zstd, ZSTD_reset_session_and_parameters);
    (void)ZSTD_CCtx_setParameter(room->zstd, ZSTD_c_compressionLevel,
                                 how.level ? how.level : PACK_ZSTD_LEVEL);
    (void)ZSTD_CCtx_setParameter(room->zstd, ZSTD_c_contentSizeFlag, 0);
    (void)ZSTD_CCtx_setParameter(room->zstd, ZSTD_c_dictIDFlag, 0);
    if (how.dictionary &&
        ZSTD_isError(ZSTD_CCtx_refCDict(room->zstd, sdb__dictionary_pack(how.dictionary))))
        return 0;
    size = ZSTD_compress2(room->zstd, to, most, room->spare, bytes);
    return ZSTD_isError(size) ? 0 : size;
}

size_t sdb__pack(struct pack_room *room, struct packing how, const uint8_t *page, uint8_t *to)
{
    size_t most = room->page_size - SPACE_BLOCK - PACK_HEAD, bytes = room->page_size, size, whole;
    uint32_t algorithm = how.algorithm;

    assert(how.algorithm == PACK_LZ4 || how.algorithm == PACK_ZSTD);
    assert(!how.dictionary || (how.algorithm == PACK_ZSTD && how.dictionary->level));
    if (room->dense)
        bytes = room->dense->make(page, room->page_size, room->spare);
    else
        memcpy(room->spare, page, bytes);
    if (how.dictionary && !sdb__dictionary_pack(how.dictionary)) how.dictionary = NULL;
    size = squeeze(room, how, bytes, to + PACK_HEAD, most);
    if (size == 0) return 0;
    put_u32(to, (uint32_t)size);
    if (how.dictionary) algorithm = PACK_ZSTD_WITH | how.dictionary->number << 8;
    put_u32(to + 4, algorithm | (room->dense ? PACK_DENSE : 0));
    whole = (PACK_HEAD + size + SPACE_BLOCK - 1) / SPACE_BLOCK * SPACE_BLOCK;
    memset(to + PACK_HEAD + size, 0, whole - PACK_HEAD - size);
    return whole;
}

/* ---- unpacking ---------------------------------------------------------------------------- */

/* Unpacks room->spare with the dictionary that a head names. *out_wrong: as of release. */
static sdb_status unpack_with(struct pack_room *room, uint32_t number, uint8_t *memory,
                              size_t packed, size_t *out_made, const char **out_wrong)
{
    const struct dictionary *d = sdb__dictionaries_find(room->dictionaries, number);
    ZSTD_DDict *unpack = NULL;
    sdb_status status = d ? sdb__dictionary_unpack(d, &unpack) : SDB_OK;

    if (status == SDB_NOMEM) return status;
    if (unpack)
        *out_made = ZSTD_decompress_usingDDict(room->unzstd, memory, room->page_size, room->spare,
                                               packed, unpack);
    else
        *out_wrong = d ? "packed with a dictionary that is damaged"
                       : "packed with a dictionary that there is not";
    return SDB_OK;
}

/*
 * Unpacks `packed` bytes of room->spare into to[0…page size). *out_made: how many bytes; 0, or more
 * than a page has, if they do not unpack. *out_wrong is set if that cannot be tried.
 */
static sdb_status release(struct pack_room *room, uint32_t algorithm, size_t packed, uint8_t *to,
                          size_t *out_made, const char **out_wrong)
{
    *out_made = 0;
    if (algorithm == PACK_LZ4) {
        int answer = LZ4_decompress_safe((const char *)room->spare, (char *)to, (int)packed,
                                         (int)room->page_size);

        if (answer > 0) *out_made = (size_t)answer;
    } else if (algorithm == PACK_ZSTD) {
        *out_made = ZSTD_decompressDCtx(room->unzstd, to, room->page_size, room->spare, packed);
    } else if ((algorithm & 0xff) == PACK_ZSTD_WITH) {
        return unpack_with(room, algorithm >> 8, to, packed, out_made, out_wrong);
    } else {
        *out_wrong = "packed in an unknown way";
    }
    return SDB_OK;
}

/* Is the number of packed bytes that a head of `size` bytes in whole blocks says possible? */
static const char *judge_sizes(const struct pack_room *room, const uint8_t *memory, size_t size)
{
    uint32_t packed;

    if (size < SPACE_BLOCK || size >= room->page_size) return "packed into an impossible size";
    packed = get_u32(memory);
    return packed > size - PACK_HEAD || packed + PACK_HEAD + SPACE_BLOCK <= size
               ? "packed bytes of an impossible number" : NULL;
}

sdb_status sdb__unpack(struct pack_room *room, uint8_t *memory, size_t size,
                       const char **out_wrong)
{
    uint32_t packed, algorithm;
    bool dense;
    size_t made;

    *out_wrong = judge_sizes(room, memory, size);
    if (*out_wrong) return SDB_OK;
    packed = get_u32(memory);
    algorithm = get_u32(memory + 4);
    dense = room->dense && (algorithm & PACK_DENSE);
    if (dense) algorithm &= ~(uint32_t)PACK_DENSE;
    memcpy(room->spare, memory + PACK_HEAD, packed);
    TRY(release(room, algorithm, packed, dense ? room->form : memory, &made, out_wrong));
    if (*out_wrong) return SDB_OK;
    if (dense && made != 0 && made <= room->page_size)
        *out_wrong = room->dense->undo(room->form, made, memory, room->page_size);
    else if (dense || made != room->page_size)
        *out_wrong = "its packed bytes do not make a page";
    return SDB_OK;
}

/* ---- lists -------------------------------------------------------------------------------- */

struct pack_room *sdb__pack_rooms_take(struct pack_rooms *rooms)
{
    struct pack_room *room = rooms->first;

    if (room) rooms->first = room->next;
    return room;
}

void sdb__pack_rooms_add(struct pack_rooms *rooms, struct pack_room *room)
{
    room->next = rooms->first;
    rooms->first = room;
}

void sdb__pack_rooms_done(struct pack_rooms *rooms)
{
    struct pack_room *room;

    while ((room = sdb__pack_rooms_take(rooms)) != NULL) sdb__pack_room_free(room);
}
