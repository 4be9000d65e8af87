/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_disk.c
 *
 * Idea: a file is a cached image, a durable one, and between them the journal of what turns the
 * durable into the cached. A sync applies the journal to the durable image. Names are the same:
 * two tables, and the moves between them.
 *
 *     write A, write B, sync, write C, shrink
 *     durable  [A][B]        journal  DATA C, SIZE        cached  [A][C]…
 *
 * Invariants: I1 durable + journal = cached, unless a sync has failed. I2 a journal holds at most
 * RECORDS_MOST records and the moves are at most MOVES_MOST: beyond that the older half is written
 * back, as an operating system short of memory would do. I3 a failed call changes nothing that a
 * reader could see.
 * Costs: a write copies its bytes twice (image and journal), a sync once more.
 * Not here: chance (simulated_crash.c), faults and steps (simulated.c).
 */
#include "engine/io/sim_disk.h"
#include "engine/base/mem.h"
#include "engine/base/status.h"

#include <assert.h>
#include <string.h>

enum { RECORDS_MOST = 65536, MOVES_MOST = 1024 };

/* ---- nodes ---- */

static void record_pop(struct sim_node *node)
{
    struct sim_record *record = node->first;

    node->first = record->next;
    if (!node->first) node->last = &node->first;
    node->records--;
    sdb__mem_free(node->cached.allocator, record);
}

static void node_free(struct ram_node *base)
{
    struct sim_node *node = (struct sim_node *)base, **link;
    const sdb_allocator *allocator = node->cached.allocator;

    if (node->disk) {
        for (link = &node->disk->nodes; *link != node; link = &(*link)->next) continue;
        *link = node->next;
    }
    while (node->first) record_pop(node);
    sdb__ram_image_done(&node->cached);
    sdb__ram_image_done(&node->durable);
    sdb__mem_free(allocator, node);
}

struct sim_node *sdb__sim_node_new(struct sim_disk *disk, bool is_folder)
{
    struct sim_node *node = sdb__mem_zalloc(disk->allocator, 1, sizeof *node);

    if (!node) return NULL;
    node->base = (struct ram_node){.refs = 1, .is_folder = is_folder, .free = node_free};
    node->disk = disk;
    node->next = disk->nodes;
    disk->nodes = node;
    node->id = ++disk->next_id;
    node->cached = (struct ram_image){.allocator = disk->allocator, .chunk_size = SIM_CHUNK};
    node->durable = node->cached;
    node->last = &node->first;
    return node;
}

static struct sim_record *record_new(const struct sim_node *node, enum sim_record_kind kind,
                                     uint64_t offset, uint64_t size)
{
    size_t bytes = kind == SIM_DATA ? (size_t)size : 0;
    struct sim_record *record = sdb__mem_alloc(node->cached.allocator, sizeof *record + bytes);

    if (record) *record = (struct sim_record){NULL, kind, offset, size};
    return record;
}

static void record_append(struct sim_node *node, struct sim_record *record)
{
    *node->last = record;
    node->last = &record->next;
    node->records++;
}

/* Applies the oldest records to the durable image, until `left` are left. */
static sdb_status write_back(struct sim_node *node, size_t left)
{
    while (node->records > left) {
        TRY(sdb__sim_record_apply(node->first, &node->durable));
        record_pop(node);
    }
    return SDB_OK;
}

/* Notes a change of the cached image that has been made. */
static void note(struct sim_node *node, struct sim_record *record)
{
    record_append(node, record);
    /* Out of memory here only means that the journal stays longer than it should be. */
    if (node->records > RECORDS_MOST) (void)!write_back(node, RECORDS_MOST / 2);
}

/* Makes a record, applies it to the cached image and notes it. */
static sdb_status change(struct sim_node *node, enum sim_record_kind kind, uint64_t offset,
                         uint64_t size)
{
    struct sim_record *record = record_new(node, kind, offset, size);
    sdb_status status;

    if (!record) return SDB_NOMEM;
    status = sdb__sim_record_apply(record, &node->cached);
    if (status != SDB_OK) {
        sdb__mem_free(node->cached.allocator, record);
        return status;
    }
    note(node, record);
    return SDB_OK;
}

sdb_status sdb__sim_node_write(struct sim_node *node, const void *from, size_t size,
                               uint64_t offset)
{
    struct sim_record *record;
    uint64_t end = offset + size;

    if (size == 0) return SDB_OK;
    record = record_new(node, SIM_DATA, offset, size);
    if (!record) return SDB_NOMEM;
    memcpy(record->data, from, size);
    /* The size is noted before the data: what survives may have the one without the other. */
    if (sdb__ram_image_prepare(&node->cached, offset, size) != SDB_OK ||
        (end > node->cached.size && change(node, SIM_SIZE, end, 0) != SDB_OK)) {
        sdb__mem_free(node->cached.allocator, record);
        return SDB_NOMEM;
    }
    sdb__ram_image_write(&node->cached, from, size, offset);
    note(node, record);
    return SDB_OK;
}

sdb_status sdb__sim_node_zero(struct sim_node *node, uint64_t offset, uint64_t size)
{
    return change(node, SIM_ZERO, offset, size);
}

sdb_status sdb__sim_node_reserve(struct sim_node *node, uint64_t offset, uint64_t size)
{
    TRY(change(node, SIM_RESERVE, offset, size));
    if (offset + size > node->cached.size) TRY(change(node, SIM_SIZE, offset + size, 0));
    return SDB_OK;
}

sdb_status sdb__sim_node_resize(struct sim_node *node, uint64_t size)
{
    if (size == node->cached.size) return SDB_OK;
    return change(node, SIM_SIZE, size, 0);
}

sdb_status sdb__sim_node_sync(struct sim_node *node)
{
    return write_back(node, 0);
}

/*
 * The cached image that is left when unsynced data is dropped and the rest of the journal is kept.
 */
static sdb_status rebuild(const struct sim_node *node, const struct ram_image *durable,
                          size_t settled, struct ram_image *out_cached)
{
    TRY(sdb__ram_image_share(out_cached, durable));
    for (const struct sim_record *record = node->first; record; record = record->next) {
        if (record->kind == SIM_DATA) continue;
        if (settled > 0)
            settled--;
        else
            TRY(sdb__sim_record_apply(record, out_cached));
    }
    return SDB_OK;
}

/* Forgets the data in the journal, and the first `settled` of the other records. */
static void forget(struct sim_node *node, size_t settled)
{
    struct sim_record **link = &node->first;

    while (*link) {
        struct sim_record *record = *link;
        bool goes = record->kind == SIM_DATA;

        if (!goes && settled > 0) {
            settled--;
            goes = true;
        }
        if (!goes) {
            link = &record->next;
            continue;
        }
        *link = record->next;
        node->records--;
        sdb__mem_free(node->cached.allocator, record);
    }
    node->last = link;
}

sdb_status sdb__sim_node_lose(struct sim_node *node, uint64_t seed, bool drops)
{
    struct ram_image empty = {.allocator = node->cached.allocator, .chunk_size = SIM_CHUNK};
    struct ram_image durable = empty, cached = empty;
    size_t settled = 0;
    sdb_status status = sdb__ram_image_share(&durable, &node->durable);

    if (status == SDB_OK)
        status = sdb__sim_survive(node, sdb__sim_fate(seed, node->id), &durable, &settled);
    if (status == SDB_OK && drops) status = rebuild(node, &durable, settled, &cached);
    if (status != SDB_OK) {
        sdb__ram_image_done(&durable);
        sdb__ram_image_done(&cached);
        return status;
    }
    sdb__ram_image_done(&node->durable);
    node->durable = durable;
    if (drops) {
        sdb__ram_image_done(&node->cached);
        node->cached = cached;
    }
    forget(node, settled);
    return SDB_OK;
}

static void flip(struct ram_image *image, uint64_t offset, unsigned bit)
{
    uint8_t byte;

    if (sdb__ram_image_read(image, &byte, 1, offset) != 1) return;
    byte ^= (uint8_t)(1u << bit);
    sdb__ram_image_write(image, &byte, 1, offset);
}

sdb_status sdb__sim_node_flip(struct sim_node *node, uint64_t offset, unsigned bit)
{
    if (offset < node->cached.size) TRY(sdb__ram_image_prepare(&node->cached, offset, 1));
    if (offset < node->durable.size) TRY(sdb__ram_image_prepare(&node->durable, offset, 1));
    flip(&node->cached, offset, bit);
    flip(&node->durable, offset, bit);
    for (struct sim_record *record = node->first; record; record = record->next) {
        if (record->kind == SIM_DATA && offset >= record->offset &&
            offset - record->offset < record->size)
            record->data[offset - record->offset] ^= (uint8_t)(1u << bit);
    }
    return SDB_OK;
}

/* ---- disks ---- */

sdb_status sdb__sim_disk_new(const sdb_allocator *allocator, struct sim_disk **out_disk)
{
    struct sim_disk *disk = sdb__mem_zalloc(allocator, 1, sizeof *disk);
    struct sim_node *root;

    if (!disk) return SDB_NOMEM;
    disk->allocator = disk->cached.allocator = disk->durable.allocator = allocator;
    root = sdb__sim_node_new(disk, true);
    if (!root) {
        sdb__mem_free(allocator, disk);
        return SDB_NOMEM;
    }
    sdb__ram_ref(&root->base);
    disk->cached.root = disk->durable.root = &root->base;
    *out_disk = disk;
    return SDB_OK;
}

static void move_done(const struct sim_move *move)
{
    sdb__ram_unref(move->from);
    sdb__ram_unref(move->to);
    sdb__ram_unref(move->node);
}

void sdb__sim_disk_free(struct sim_disk *disk)
{
    for (size_t i = 0; i < disk->move_count; i++) move_done(&disk->moves[i]);
    sdb__mem_free(disk->allocator, disk->moves);
    sdb__ram_names_done(&disk->cached);
    sdb__ram_names_done(&disk->durable);
    for (struct sim_node *node = disk->nodes; node; node = node->next) node->disk = NULL;
    sdb__mem_free(disk->allocator, disk);
}

uint64_t sdb__sim_disk_used(const struct sim_disk *disk)
{
    uint64_t used = 0;

    for (const struct sim_node *node = disk->nodes; node; node = node->next)
        used += (uint64_t)node->cached.present * SIM_CHUNK;
    return used;
}

/* ---- names ---- */

/* Makes the chosen moves durable, in order. */
static sdb_status move_back(struct sim_disk *disk)
{
    size_t left = 0, i;
    sdb_status status = SDB_OK;

    for (i = 0; i < disk->move_count; i++) {
        struct sim_move *move = &disk->moves[i];

        if (move->is_chosen && status == SDB_OK) {
            status = sdb__sim_move_apply(move, &disk->durable);
            if (status == SDB_OK) {
                move_done(move);
                continue;
            }
        }
        move->is_chosen = false;
        if (left != i) disk->moves[left] = *move;
        left++;
    }
    disk->move_count = left;
    return status;
}

sdb_status sdb__sim_disk_move(struct sim_disk *disk, const struct ram_place *from,
                              const struct ram_place *to, struct ram_node *node)
{
    struct sim_move *move;

    if (disk->move_count >= MOVES_MOST) {
        for (size_t i = 0; i < MOVES_MOST / 2; i++) disk->moves[i].is_chosen = true;
        TRY(move_back(disk));
    }
    TRY(sdb__mem_reserve(disk->allocator, &disk->moves, &disk->move_capacity, disk->move_count + 1,
                         sizeof *disk->moves));
    move = &disk->moves[disk->move_count];
    memset(move, 0, sizeof *move);
    if (from) {
        move->from = from->folder;
        memcpy(move->from_text, from->text, sizeof move->from_text);
    }
    if (to) {
        move->to = to->folder;
        memcpy(move->to_text, to->text, sizeof move->to_text);
        move->node = node;
    }
    if (from) sdb__ram_ref(move->from);
    if (to) sdb__ram_ref(move->to);
    if (to) sdb__ram_ref(move->node);
    if (sdb__sim_move_apply(move, &disk->cached) != SDB_OK) {
        move_done(move);
        return SDB_NOMEM;
    }
    disk->move_count++;
    return SDB_OK;
}

sdb_status sdb__sim_disk_sync_folder(struct sim_disk *disk, const struct ram_node *folder)
{
    const struct ram_node *also[2 * MOVES_MOST + 1] = {folder}; /* their older moves go too */
    size_t count = 1;

    /* Newest first: a move between two folders takes along what came before it in either. */
    for (size_t i = disk->move_count; i-- > 0;) {
        struct sim_move *move = &disk->moves[i];

        for (size_t k = 0; k < count && !move->is_chosen; k++)
            move->is_chosen = move->from == also[k] || move->to == also[k];
        if (!move->is_chosen || !move->from || !move->to || move->from == move->to) continue;
        assert(i < MOVES_MOST);
        also[count++] = move->from;
        also[count++] = move->to;
    }
    return move_back(disk);
}
