/* SPDX-License-Identifier: Apache-2.0 */
/*
 * superblock.c
 *
 * Idea: two slots, a digest each; the one being written may tear, the other is whole.
 * Invariants: I1 the slot of the newest durable superblock is never written, except with its own
 * bytes.
 *   I2 what decode accepts can be used without further checks of ranges: sizes are powers of two in
 *   range, counts agree with each other.
 * Source: the double header of LMDB's meta pages and of ZFS' uberblocks. Not here: what the fields
 * lead to.
 */
#include "engine/pager/superblock.h"

#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/status.h"
#include "engine/pager/space.h"

static const char magic[8] = {'s', 'd', 'b', ' ', 'f', 'i', 'l', 'e'};

enum { AT_DIGEST = SUPERBLOCK_SIZE - 8 };

void sdb__superblock_encode(const struct superblock *from, uint8_t to[SUPERBLOCK_SIZE])
{
    memset(to, 0, SUPERBLOCK_SIZE);
    memcpy(to, magic, sizeof magic);
    put_u32(to + 8, SUPERBLOCK_FORMAT);
    put_u32(to + 12, from->features);
    put_u32(to + 16, from->page_size);
    put_u32(to + 20, SPACE_BLOCK);
    memcpy(to + 24, from->database_id, sizeof from->database_id);
    put_u64(to + 40, from->sequence);
    put_u64(to + 48, from->lsn);
    put_u64(to + 56, from->commit);
    put_u64(to + 64, from->log_id);
    put_u64(to + 72, from->directory_place);
    put_u64(to + 80, from->directory_checksum);
    put_u64(to + 88, from->chunks);
    put_u64(to + 96, from->page_limit);
    put_u64(to + 104, from->catalog_root);
    put_u64(to + 112, from->end_block);
    put_u64(to + 120, from->made_ms);
    put_u64(to + 128, from->written_ms);
    put_u64(to + 136, from->kept_place);
    put_u64(to + 144, from->kept_checksum);
    put_u64(to + 152, from->kept_count);
    put_u64(to + 160, from->history);
    put_u64(to + AT_DIGEST, sdb__digest(to, AT_DIGEST, 0));
}

bool sdb__superblock_is_plausible(const struct superblock *s)
{
    uint64_t per_chunk = s->page_size / 16;

    if (s->page_size < PAGE_SIZE_LEAST || s->page_size > PAGE_SIZE_MOST ||
        (s->page_size & (s->page_size - 1)) != 0)
        return false;
    return s->lsn % 8 == 0 && s->page_limit <= UINT32_MAX && s->catalog_root < s->page_limit &&
           s->chunks == (s->page_limit + per_chunk - 1) / per_chunk &&
           s->end_block <= (uint64_t)1 << 40;
}

/* The table of kept checkpoints: all of its fields, or none. */
static bool has_plausible_kept(const struct superblock *s)
{
    if (!(s->features & FEATURE_KEPT))
        return s->kept_place == 0 && s->kept_checksum == 0 && s->kept_count == 0;
    return s->kept_place != 0 && s->kept_count > 0 && s->kept_count <= SUPERBLOCK_KEPT_MOST;
}

sdb_status sdb__superblock_decode(const uint8_t from[SUPERBLOCK_SIZE], struct superblock *out)
{
    struct superblock s;
    uint32_t format = get_u32(from + 8), features = get_u32(from + 12);

    if (memcmp(from, magic, sizeof magic) != 0)
        return FAIL(SDB_INVALID, "this is not an sdb database (it does not begin as one)");
    if (get_u64(from + AT_DIGEST) != sdb__digest(from, AT_DIGEST, 0))
        return FAIL(format > SUPERBLOCK_FORMAT && format < 1000 ? SDB_INVALID : SDB_CORRUPT,
                    format > SUPERBLOCK_FORMAT && format < 1000
                        ? "the database has format %u, which is newer than the %u this library "
                          "knows: use a newer sdb"
                        : "superblock (format %u, %u known): checksum does not match",
                    format, (unsigned)SUPERBLOCK_FORMAT);
    if (format != SUPERBLOCK_FORMAT || (features & ~(uint32_t)SUPERBLOCK_FEATURES) != 0 ||
        get_u32(from + 20) != SPACE_BLOCK)
        return FAIL(SDB_INVALID,
                    "the database has format %u, features %#x, block size %u; this library knows "
                    "format %u with features %#x: use a newer sdb",
                    format, features, get_u32(from + 20), (unsigned)SUPERBLOCK_FORMAT,
                    (unsigned)SUPERBLOCK_FEATURES);
    s.features = features;
    s.page_size = get_u32(from + 16);
    memcpy(s.database_id, from + 24, sizeof s.database_id);
    s.sequence = get_u64(from + 40);
    s.lsn = get_u64(from + 48);
    s.commit = get_u64(from + 56);
    s.log_id = get_u64(from + 64);
    s.directory_place = get_u64(from + 72);
    s.directory_checksum = get_u64(from + 80);
    s.chunks = get_u64(from + 88);
    s.page_limit = get_u64(from + 96);
    s.catalog_root = get_u64(from + 104);
    s.end_block = get_u64(from + 112);
    s.made_ms = get_u64(from + 120);
    s.written_ms = get_u64(from + 128);
    s.kept_place = get_u64(from + 136);
    s.kept_checksum = get_u64(from + 144);
    s.kept_count = get_u64(from + 152);
    s.history = get_u64(from + 160);
    if (!sdb__superblock_is_plausible(&s) || !has_plausible_kept(&s))
        return FAIL(SDB_CORRUPT, "superblock: its fields contradict each other (page size %u, "
                    "%llu pages, %llu chunks)", s.page_size, (unsigned long long)s.page_limit,
                    (unsigned long long)s.chunks);
    *out = s;
    return SDB_OK;
}

/* Says what a file is that is too short to hold both slots. */
static sdb_status judge_stub(struct io_queue *queue, struct io_file *file, uint64_t size)
{
    uint8_t bytes[sizeof magic];
    size_t common = size < sizeof magic ? (size_t)size : sizeof magic;

    if (common) TRY(sdb__io_read(queue, file, bytes, common, 0));
    if (common == 0 || memcmp(bytes, magic, common) != 0)
        return FAIL(SDB_INVALID, "%s: this is not an sdb database (it does not begin as one)",
                    sdb__io_path(file));
    return FAIL(SDB_CORRUPT, "%s: the file has only %llu bytes: it was cut short; restore a backup",
                sdb__io_path(file), (unsigned long long)size);
}

sdb_status sdb__superblock_read(struct io_queue *queue, struct io_file *file,
                                struct superblock_pair *out_pair)
{
    _Alignas(IO_BLOCK) uint8_t bytes[SUPERBLOCK_SIZE]; /* as direct I/O wants it */
    struct superblock_pair pair = {.newest = SUPERBLOCK_SLOTS};
    sdb_status worst = SDB_OK;
    char sentence[256] = "";
    uint64_t size;

    TRY(sdb__io_size(file, &size));
    if (size < SUPERBLOCK_SLOTS * SUPERBLOCK_SIZE) return judge_stub(queue, file, size);
    for (unsigned i = 0; i < SUPERBLOCK_SLOTS; i++) {
        sdb_status status = sdb__io_read(queue, file, bytes, sizeof bytes,
                                         (uint64_t)i * SUPERBLOCK_SIZE);

        if (status == SDB_IO || status == SDB_NOMEM) return status;
        if (status == SDB_OK) status = sdb__superblock_decode(bytes, &pair.slot[i]);
        pair.status[i] = status;
        if (status == SDB_OK) {
            if (pair.newest == SUPERBLOCK_SLOTS ||
                pair.slot[i].sequence > pair.slot[pair.newest].sequence)
                pair.newest = i;
        } else if (worst != SDB_INVALID) {
            worst = status;
            strncpy(sentence, sdb_errmsg(), sizeof sentence - 1);
        }
    }
    if (pair.newest == SUPERBLOCK_SLOTS)
        return FAIL(worst, "%s: %s", sdb__io_path(file), sentence);
    *out_pair = pair;
    return SDB_OK;
}

sdb_status sdb__superblock_write(struct io_queue *queue, struct io_file *file, unsigned slot,
                                 const struct superblock *superblock)
{
    _Alignas(IO_BLOCK) uint8_t bytes[SUPERBLOCK_SIZE]; /* as direct I/O wants it */

    sdb__superblock_encode(superblock, bytes);
    return sdb__io_write(queue, file, bytes, sizeof bytes, (uint64_t)slot * SUPERBLOCK_SIZE);
}
