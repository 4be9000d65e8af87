/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_pack.c
 *
 * Idea: LZ4's block format, one block a record, with the acceleration of 1.
 * Invariants: I1 a packed payload is shorter than the raw one, so a record never takes more room
 *   than was reserved for it. I2 nothing is written beyond the room, whatever is to be unpacked.
 * Costs: packing takes 0.4 us for 256 bytes, 5 us for 8 KiB, 37 us for 64 KiB that become half as
 *   large; unpacking a seventh of that and less.
 * Not here: which records (wal_append.c).
 */
#include "wal/wal_pack.h"

#include <lz4.h>
#include "engine/base/mem.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"

sdb_status sdb__wal_packer_init(struct wal_packer *packer, const sdb_allocator *allocator)
{
    packer->state = sdb__mem_alloc(allocator, (size_t)LZ4_sizeofState());
    packer->raw = sdb__mem_alloc(allocator, WAL_RECORD_MAX);
    packer->packed = sdb__mem_alloc(allocator, WAL_RECORD_MAX);
    return packer->state && packer->raw && packer->packed ? SDB_OK : SDB_NOMEM;
}

void sdb__wal_packer_done(struct wal_packer *packer, const sdb_allocator *allocator)
{
    sdb__mem_free(allocator, packer->packed);
    sdb__mem_free(allocator, packer->raw);
    sdb__mem_free(allocator, packer->state);
}

size_t sdb__wal_pack(struct wal_packer *packer, size_t size)
{
    if (size < WAL_PACK_LEAST) return 0;
    return (size_t)LZ4_compress_fast_extState(packer->state, (const char *)packer->raw,
                                              (char *)packer->packed, (int)size,
                                              (int)(size - size / 8), 1);
}

sdb_status sdb__wal_unpack(const sdb_allocator *allocator, const struct wal_record *record,
                           uint64_t lsn, const uint8_t *payload, uint8_t **room,
                           const uint8_t **out_payload)
{
    int size;

    *out_payload = payload;
    if (record->packing == WAL_PACKING_NONE || MUTANT(packed_record_taken_as_it_is)) return SDB_OK;
    if (!*room) *room = sdb__mem_alloc(allocator, WAL_RECORD_MAX);
    if (!*room) return SDB_NOMEM;
    size = LZ4_decompress_safe((const char *)payload, (char *)*room, (int)record->payload,
                               (int)record->raw);
    if (size != (int)record->raw)
        return FAIL(SDB_CORRUPT, "the log's record at LSN %llu is compressed, and does not unpack "
                    "to the %u bytes that it says", (unsigned long long)lsn, record->raw);
    *out_payload = *room;
    return SDB_OK;
}
