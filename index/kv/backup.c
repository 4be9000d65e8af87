/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backup.c: a copy of one checkpoint, as a database of its own.
 *
 * Idea: a pinned checkpoint does not change, so it is copied piece by piece while writers go on.
 * Ids stay, places are new: first the pages in the order of their ids, then the extents, then map
 * and directory, without a gap.
 *
 *     superblocks (last) │ page 1, 2, 4 … │ extent 3, 9 … │ chunk 0, 1 … │ directory
 *
 * The map alone does not tell the length of an extent, to which its checksum belongs; the leaves
 * do, and all of them pass by before the first extent. One that no leaf names is of no use, and is
 * left out.
 *
 * The copy's superblock says as of which LSN, commit and time it is, and which log it was made in:
 * a restore goes on from there with the logs that follow (restore.c).
 *
 * Invariants: I1 nothing is copied whose checksum does not match. I2 the superblocks are written
 *   when all else is durable: until then the file is no database. I3 after a failure there is no
 *   file.
 * Costs: one read and one write of everything; 18 bytes of memory a page.
 * Not here: named snapshots, which a copy has none of; copying the log (a checkpoint is whole
 *   without it); copies that only take what changed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"
#include "engine/base/digest.h"
#include "engine/base/status.h"
#include "engine/pager/map.h"
#include "engine/pager/pack.h"
#include "index/btree/node_dense.h"
#include "index/kv/database.h"

enum { BATCH = 32, PIECE = 1024 * 1024 };

struct copy {
    sdb_db *db;
    struct superblock superblock; /* the pinned one; at the end, the copy's */
    bool fresh;                   /* the copy gets an id of its own */
    uint32_t page_size;
    struct map map;       /* of the checkpoint; entries that were copied have their new place */
    /* for each id of an extent: 1 + unused bytes of its last block; 0: not known */
    uint16_t *unused;
    uint64_t id_limit;
    uint8_t *memory;      /* PIECE bytes, or BATCH pages */
    struct pack_room *room; /* to unpack pages in */
    struct io *io;        /* of the copy */
    struct io_file *file;
    struct io_queue *in, *out;
    uint64_t next_block;  /* the copy's first block that is not written yet */
    uint64_t done, total; /* bytes, for progress */
    sdb_progress_fn progress;
    void *context;
};

static struct map_entry *entry_of(struct copy *c, uint64_t id)
{
    return &c->map.chunks[id / c->map.per_chunk].entries[id % c->map.per_chunk];
}

static sdb_status advance(struct copy *c, uint64_t bytes)
{
    c->done += bytes;
    if (c->progress && c->progress(c->context, c->done, c->total))
        return FAIL(SDB_CANCELLED, "the backup was cancelled");
    return SDB_OK;
}

/*
 * Writes bytes at the end of the copy, filled up with zeros to whole blocks: `memory` has room for
 * them.
 */
static sdb_status append(struct copy *c, uint8_t *memory, size_t size)
{
    size_t blocks = (size + SPACE_BLOCK - 1) / SPACE_BLOCK;

    memset(memory + size, 0, blocks * SPACE_BLOCK - size);
    TRY(sdb__io_write(c->out, c->file, memory, blocks * SPACE_BLOCK,
                      c->next_block * SPACE_BLOCK));
    c->next_block += blocks;
    return advance(c, blocks * SPACE_BLOCK);
}

/* ---- pages -------------------------------------------------------------------------------- */

/* Notes the lengths of the extents that a leaf names. */
static void note_extents(struct copy *c, struct node n)
{
    for (unsigned i = 0; node_level(n) == 0 && i < node_count(n); i++) {
        enum node_kind kind;
        struct bytes payload = node_payload(n, i, &kind);
        uint64_t id, size, blocks, place;

        (void)node_take_expiry(&kind, &payload);
        if (kind != NODE_EXTENT) continue;
        id = get_u64(payload.data);
        size = get_u64(payload.data + 8);
        if (id >= c->id_limit || size == 0 || size > SDB_VALUE_MAX) continue;
        place = entry_of(c, id)->place;
        blocks = (size + SPACE_BLOCK - 1) / SPACE_BLOCK;
        if (place && place_kind(place) == PLACE_EXTENT && place_blocks(place) == blocks)
            c->unused[id] = (uint16_t)(1 + blocks * SPACE_BLOCK - size);
    }
}

static sdb_status damaged(struct copy *c, const char *what, uint64_t id, uint64_t place,
                          const char *wrong)
{
    return FAIL(SDB_CORRUPT, "%s: %s %" PRIu64 " at byte %" PRIu64 " is damaged (%s): run sdb "
                "check; an older backup may have it", c->db->path, what, id, place_offset(place),
                wrong);
}

/* Judges a page that was read, and notes what it names; its bytes stay as they are in the file. */
static sdb_status judge_page(struct copy *c, const struct io_op *op, uint64_t id)
{
    struct map_entry entry = *entry_of(c, id);
    uint8_t *page = op->memory;
    const char *wrong = NULL;

    if (op->done < op->size) return damaged(c, "page", id, entry.place, "the file ends in it");
    if (sdb__digest(page, op->size, 0) != entry.checksum)
        return damaged(c, "page", id, entry.place, "checksum");
    if (place_kind(entry.place) == PLACE_PACKED) {
        page = sdb__pack_room_page(c->room, 0);
        memcpy(page, op->memory, op->size);
        TRY(sdb__unpack(c->room, page, op->size, &wrong));
    }
    if (!wrong) wrong = sdb__node_verify(page, c->page_size, id);
    if (wrong) return damaged(c, "page", id, entry.place, wrong);
    note_extents(c, (struct node){page, c->page_size});
    return SDB_OK;
}

/* Copies the pages that were read into c->memory. */
static sdb_status copy_batch(struct copy *c, struct io_op *ops, const uint64_t *ids, size_t count)
{
    size_t size = 0;

    if (count == 0) return SDB_OK;
    TRY(sdb__io_run(c->in, ops, count));
    for (size_t i = 0; i < count; i++) {
        struct map_entry *entry = entry_of(c, ids[i]);

        TRY(judge_page(c, &ops[i], ids[i]));
        memmove(c->memory + size, ops[i].memory, ops[i].size);
        entry->place = place_pack(c->next_block + size / SPACE_BLOCK, ops[i].size / SPACE_BLOCK,
                                  (enum place_kind)place_kind(entry->place));
        size += ops[i].size;
    }
    return append(c, c->memory, size);
}

static sdb_status copy_pages(struct copy *c)
{
    struct io_op ops[BATCH];
    uint64_t ids[BATCH];
    size_t count = 0;

    for (uint64_t id = 1; id < c->id_limit; id++) {
        uint64_t place = entry_of(c, id)->place;

        if (!place_is_page(place)) continue;
        ids[count] = id;
        ops[count] = (struct io_op){.file = c->db->file, .kind = IO_READ,
                                    .memory = c->memory + count * c->page_size,
                                    .offset = place_offset(place),
                                    .size = (size_t)place_bytes(place)};
        if (++count < BATCH) continue;
        TRY(copy_batch(c, ops, ids, count));
        count = 0;
    }
    return copy_batch(c, ops, ids, count);
}

/* ---- extents ------------------------------------------------------------------------------ */

static sdb_status copy_extent(struct copy *c, uint64_t id, uint64_t size)
{
    struct map_entry *entry = entry_of(c, id);
    uint64_t from = place_offset(entry->place), first = c->next_block;
    struct digest digest;

    sdb__digest_begin(&digest);
    for (uint64_t at = 0; at < size; at += PIECE) {
        size_t piece = size - at < PIECE ? (size_t)(size - at) : PIECE;

        TRY(sdb__io_read(c->in, c->db->file, c->memory, piece, from + at));
        sdb__digest_add(&digest, c->memory, piece);
        TRY(append(c, c->memory, piece));
    }
    if (sdb__digest_end(&digest) != entry->checksum)
        return damaged(c, "extent", id, entry->place, "checksum");
    entry->place = place_pack(first, place_blocks(entry->place), PLACE_EXTENT);
    return SDB_OK;
}

static sdb_status copy_extents(struct copy *c)
{
    for (uint64_t id = 1; id < c->id_limit; id++) {
        struct map_entry *entry = entry_of(c, id);
        uint64_t bytes = place_blocks(entry->place) * SPACE_BLOCK;

        if (entry->place == 0 || place_kind(entry->place) != PLACE_EXTENT) continue;
        if (c->unused[id] == 0) {
            *entry = (struct map_entry){0, 0};
            TRY(advance(c, bytes));
        } else {
            TRY(copy_extent(c, id, bytes - (c->unused[id] - 1u)));
        }
    }
    return SDB_OK;
}

/* ---- map and superblocks ------------------------------------------------------------------ */

/* Writes bytes of the map's own, and says where they stand. */
static sdb_status append_map(struct copy *c, uint8_t *memory, size_t size, uint8_t *out_entry)
{
    uint64_t blocks = (size + SPACE_BLOCK - 1) / SPACE_BLOCK;

    put_u64(out_entry, place_pack(c->next_block, blocks, PLACE_EXTENT));
    put_u64(out_entry + 8, sdb__digest(memory, size, 0));
    return append(c, memory, size);
}

static sdb_status copy_map(struct copy *c)
{
    struct superblock *s = &c->superblock;
    size_t size = (size_t)s->chunks * MAP_ENTRY_SIZE;
    uint8_t entry[MAP_ENTRY_SIZE];
    uint8_t *directory = sdb__mem_alloc(c->db->allocator, size + SPACE_BLOCK);
    sdb_status status = directory ? SDB_OK : SDB_NOMEM;

    for (size_t i = 0; status == SDB_OK && i < s->chunks; i++) {
        sdb__map_encode_chunk(&c->map, i, c->memory);
        status = append_map(c, c->memory, c->page_size, directory + i * MAP_ENTRY_SIZE);
    }
    if (status == SDB_OK) status = append_map(c, directory, size, entry);
    sdb__mem_free(c->db->allocator, directory);
    if (status != SDB_OK) return status;
    s->directory_place = get_u64(entry);
    s->directory_checksum = get_u64(entry + 8);
    s->end_block = c->next_block;
    return SDB_OK;
}

static sdb_status write_superblocks(struct copy *c)
{
    uint64_t id[2] = {sdb__random_seed(), sdb__random_seed()};

    c->superblock.log_id = 0;
    c->superblock.kept_place = c->superblock.kept_checksum = c->superblock.kept_count = 0;
    c->superblock.features &= ~(uint32_t)FEATURE_KEPT;
    if (c->fresh) {
        memcpy(c->superblock.database_id, id, sizeof c->superblock.database_id);
        c->superblock.history = 0;
    }
    TRY(sdb__io_sync(c->out, c->file));
    for (unsigned slot = 0; slot < SUPERBLOCK_SLOTS; slot++) {
        TRY(sdb__superblock_write(c->out, c->file, slot, &c->superblock));
        TRY(sdb__io_sync(c->out, c->file));
        TRY(advance(c, SUPERBLOCK_SIZE));
    }
    return SDB_OK;
}

/* ---- all of it ---------------------------------------------------------------------------- */

/* Reads the map of the pinned checkpoint, and makes memory ready. */
static sdb_status prepare(struct copy *c)
{
    const sdb_allocator *allocator = c->db->allocator;
    uint64_t directory_blocks;

    c->page_size = c->superblock.page_size;
    c->next_block = SUPERBLOCK_SLOTS * SUPERBLOCK_SIZE / SPACE_BLOCK;
    TRY(sdb__io_queue_new(c->db->io, BATCH, &c->in));
    TRY(sdb__io_queue_new(c->io, 1, &c->out));
    TRY(sdb__map_init(&c->map, allocator, c->page_size));
    TRY(sdb__map_load(&c->map, c->in, c->db->file, &c->superblock, NULL, NULL));
    c->id_limit = (uint64_t)c->map.count * c->map.per_chunk;
    TRY(sdb__pack_room_new(allocator, c->page_size, &c->db->dictionaries,
                           &sdb__node_dense, &c->room));
    c->memory = sdb__mem_alloc(allocator, (size_t)BATCH * PAGE_SIZE_MOST);
    c->unused = sdb__mem_zalloc(allocator, (size_t)c->id_limit, sizeof *c->unused);
    if (!c->memory || !c->unused) return SDB_NOMEM;
    for (uint64_t id = 1; id < c->id_limit; id++) {
        uint64_t place = entry_of(c, id)->place;

        if (place) c->total += place_blocks(place) * SPACE_BLOCK;
    }
    directory_blocks = (c->superblock.chunks * MAP_ENTRY_SIZE + SPACE_BLOCK - 1) / SPACE_BLOCK;
    c->total += c->superblock.chunks * c->page_size + directory_blocks * SPACE_BLOCK +
                SUPERBLOCK_SLOTS * SUPERBLOCK_SIZE;
    return SDB_OK;
}

/* Writes the copy into the new, empty file. */
static sdb_status fill(struct copy *c)
{
    int64_t holder;

    TRY(sdb__io_lock(c->file, IO_LOCK_EXCLUSIVE, &holder));
    TRY(prepare(c));
    TRY(copy_pages(c));
    TRY(copy_extents(c));
    TRY(copy_map(c));
    return write_superblocks(c);
}

/*
 * Removes the marker of an unfinished database (open.c) that nobody finished: since the file was
 * not there, it stands for nothing, and would have the backup taken for unfinished.
 */
static sdb_status remove_marker(struct copy *c, const char *path)
{
    size_t room = strlen(path) + sizeof "-new";
    char *marker = sdb__mem_alloc(c->db->allocator, room);
    sdb_status status = SDB_NOMEM;

    if (marker) {
        (void)snprintf(marker, room, "%s-new", path);
        status = sdb__io_remove(c->io, marker);
    }
    sdb__mem_free(c->db->allocator, marker);
    return status == SDB_NOTFOUND ? SDB_OK : status;
}

/* Makes the file, fills it, and makes its name last; or leaves nothing. */
static sdb_status copy_to(struct copy *c, const char *path)
{
    char sentence[512];
    sdb_status status;

    TRY(sdb__io_open(c->io, path, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_NEW, &c->file));
    status = remove_marker(c, path);
    if (status == SDB_OK) status = fill(c);
    if (status == SDB_OK) status = sdb__io_parent_sync(c->io, path);
    sdb__io_queue_free(c->out);
    sdb__io_close(c->file);
    if (status == SDB_OK) return SDB_OK;
    (void)snprintf(sentence, sizeof sentence, "%s",
                   status == SDB_NOMEM ? "out of memory for the backup" : sdb_errmsg());
    (void)!sdb__io_remove(c->io, path);
    (void)!sdb__io_parent_sync(c->io, path);
    return FAIL(status, "%s", sentence);
}

sdb_status sdb_backup(sdb_db *db, const char *path, sdb_progress_fn progress, void *context)
{
    return sdb__backup(db, path, false, progress, context);
}

sdb_status sdb__backup(sdb_db *db, const char *path, bool fresh, sdb_progress_fn progress,
                       void *context)
{
    struct copy c = {.db = db, .fresh = fresh, .progress = progress, .context = context};
    sdb_status status = SDB_OK;

    if (!db || !path || !*path) return FAIL(SDB_INVALID, "sdb_backup: an argument is missing");
    if (strcmp(path, ":memory:") == 0)
        return FAIL(SDB_INVALID, "sdb_backup: a backup goes to a file, not to :memory:");
    TRY(sdb__db_alive(db));
    c.io = db->io;
    if (db->is_memory) TRY(sdb__io_new(SDB_BACKEND_POSIX, db->allocator, &c.io));
    if (!db->readonly) status = sdb__db_checkpoint(db, false);
    if (status == SDB_OK) {
        sdb__pager_pin(db->pager, &c.superblock);
        status = copy_to(&c, path);
        sdb__pager_unpin(db->pager);
    }
    sdb__io_queue_free(c.in);
    sdb__map_done(&c.map);
    sdb__pack_room_free(c.room);
    sdb__mem_free(db->allocator, c.unused);
    sdb__mem_free(db->allocator, c.memory);
    if (db->is_memory) sdb__io_free(c.io);
    return status;
}
