/* SPDX-License-Identifier: Apache-2.0 */
/*
 * simulated_crash.c
 *
 * Idea: what a power failure leaves behind. Of the data that was not synced, every sector survives
 * or not by itself, and may be torn. Of the other changes of a file (its size, holes, reserved
 * space) the oldest ones survive, up to some point: they are one record of the file system. Of the
 * names, every move survives or not by itself. One seed decides everything.
 *
 *     journal   SIZE 1024 | DATA 0…1023 | SIZE 1536 | DATA 1024…1535
 *     fate      size 1024 survives, 1536 does not; sector 0 lost, 1 torn, 2 written
 *     after     1024 bytes: zeros, then a part of sector 1; sector 2 lies behind the end
 *
 * Ways to be unlucky are mixed, because each finds bugs that the others miss: any subset (few,
 * half, or most survive), and in order (a prefix, and a part of the next write), which is what
 * disks mostly do.
 *
 * Invariants: I1 the old disk is not touched. I2 the same disk and seed give the same new disk. I3
 * a file or folder whose folder did not survive is gone with it. I4 seed 0 keeps nothing,
 * UINT64_MAX everything.
 * Costs: chunks are shared between the disks, so a copy costs a pointer per 4 KiB, and the journal.
 * Source: "All File Systems Are Not Created Equal", Pillai et al., OSDI 2014: what real ones leave.
 */
#include "engine/io/sim_disk.h"
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/base/status.h"

#include <string.h>

enum { KEEP_NONE = 0, KEEP_ALL = 256, TEAR_ONE_IN = 16, TEAR_STEP = 8 };

/* ---- fates ---- */

struct sim_fate sdb__sim_fate(uint64_t seed, uint64_t salt)
{
    static const uint32_t chances[] = {24, 128, 232};
    struct sim_fate fate = {.random = seed};

    if (seed == 0 || seed == UINT64_MAX) {
        fate.keep = seed ? KEEP_ALL : KEEP_NONE;
        return fate;
    }
    /* The kind of bad luck is the same for the whole disk, the luck itself is not. */
    fate.is_ordered = random_below(&fate.random, 4) == 0;
    fate.keep = chances[random_below(&fate.random, 3)];
    fate.random ^= salt * 0xd1b54a32d192ed03u;
    return fate;
}

static bool coin(struct sim_fate *fate)
{
    if (fate->keep == KEEP_NONE || fate->keep == KEEP_ALL) return fate->keep == KEEP_ALL;
    return random_below(&fate->random, 256) < fate->keep;
}

/* How many of `count` things survive, when they do so in order. */
static size_t prefix(struct sim_fate *fate, size_t count)
{
    if (fate->keep == KEEP_NONE || fate->keep == KEEP_ALL)
        return fate->keep == KEEP_ALL ? count : 0;
    switch (random_below(&fate->random, 4)) {
    case 0: return 0;
    case 1: return count;
    default: return (size_t)random_below(&fate->random, (uint64_t)count + 1);
    }
}

/* ---- records ---- */

sdb_status sdb__sim_record_apply(const struct sim_record *record, struct ram_image *image)
{
    switch (record->kind) {
    case SIM_DATA:
        TRY(sdb__ram_image_prepare(image, record->offset, record->size));
        sdb__ram_image_write(image, record->data, (size_t)record->size, record->offset);
        return SDB_OK;
    case SIM_ZERO: return sdb__ram_image_zero(image, record->offset, record->size);
    case SIM_RESERVE: return sdb__ram_image_reserve(image, record->offset, record->size);
    case SIM_SIZE: break;
    }
    return sdb__ram_image_resize(image, record->offset);
}

/* Applies bytes [begin, end) of a data record, as far as they are in the file. */
static sdb_status apply_bytes(const struct sim_record *record, uint64_t begin, uint64_t end,
                              struct ram_image *image)
{
    if (end > image->size) end = image->size;
    if (begin >= end) return SDB_OK;
    TRY(sdb__ram_image_prepare(image, begin, end - begin));
    sdb__ram_image_write(image, record->data + (begin - record->offset), (size_t)(end - begin),
                         begin);
    return SDB_OK;
}

/* Applies what survives of one sector: [begin, end) of a data record. */
static sdb_status apply_sector(const struct sim_record *record, uint64_t begin, uint64_t end,
                               struct sim_fate *fate, struct ram_image *image)
{
    uint64_t cut;

    if (!coin(fate)) return SDB_OK;
    if (fate->keep == KEEP_ALL || random_below(&fate->random, TEAR_ONE_IN) != 0)
        return apply_bytes(record, begin, end, image);
    cut = begin - begin % SIM_SECTOR +
          TEAR_STEP * (1 + random_below(&fate->random, SIM_SECTOR / TEAR_STEP - 1));
    if (cut < begin) cut = begin;
    if (cut > end) cut = end;
    if (random_below(&fate->random, 2)) return apply_bytes(record, begin, cut, image);
    return apply_bytes(record, cut, end, image);
}

static sdb_status apply_sectors(const struct sim_record *record, struct sim_fate *fate,
                                struct ram_image *image)
{
    uint64_t end = record->offset + record->size;

    for (uint64_t at = record->offset; at < end;) {
        uint64_t next = at - at % SIM_SECTOR + SIM_SECTOR;

        if (next > end) next = end;
        TRY(apply_sector(record, at, next, fate, image));
        at = next;
    }
    return SDB_OK;
}

sdb_status sdb__sim_survive(const struct sim_node *node, struct sim_fate fate,
                            struct ram_image *image, size_t *out_settled)
{
    struct sim_fate whole = {.keep = KEEP_ALL};
    size_t others = 0, settled, point, index = 0, seen = 0, ended = 0;
    bool everything = fate.keep == KEEP_ALL;

    for (const struct sim_record *r = node->first; r; r = r->next) others += r->kind != SIM_DATA;
    settled = prefix(&fate, others);
    point = prefix(&fate, node->records); /* ordered: records in front of it survive */
    for (const struct sim_record *r = node->first; r; r = r->next, index++) {
        bool before = everything || index < point;

        if (r->kind != SIM_DATA) {
            seen++;
            if (fate.is_ordered ? !before : seen > settled) continue;
            TRY(sdb__sim_record_apply(r, image));
            ended = seen;
        } else if (fate.is_ordered && before) {
            TRY(apply_sectors(r, &whole, image));
        } else if (!fate.is_ordered || index == point) {
            TRY(apply_sectors(r, &fate, image));
        }
    }
    *out_settled = ended;
    return SDB_OK;
}

/* ---- names ---- */

sdb_status sdb__sim_move_apply(const struct sim_move *move, struct ram_names *names)
{
    if (move->to) TRY(sdb__ram_names_put(names, move->to, move->to_text, move->node));
    if (move->from) sdb__ram_names_del(names, move->from, move->from_text);
    return SDB_OK;
}

/* The names that survive, still bound to the nodes of the old disk. */
static sdb_status surviving_names(const struct sim_disk *disk, uint64_t seed,
                                  struct ram_names *names)
{
    struct sim_fate fate = sdb__sim_fate(seed, 0);
    size_t point = prefix(&fate, disk->move_count);

    for (size_t i = 0; i < disk->durable.count; i++) {
        const struct ram_name *name = &disk->durable.names[i];
        TRY(sdb__ram_names_put(names, name->folder, name->text, name->node));
    }
    for (size_t i = 0; i < disk->move_count; i++) {
        if (fate.is_ordered ? i < point : coin(&fate))
            TRY(sdb__sim_move_apply(&disk->moves[i], names));
    }
    return SDB_OK;
}

/* ---- copying ---- */

/* The node's copy on the new disk, as the crash leaves it; made once. NULL: out of memory. */
static struct sim_node *copy_node(struct sim_node *node, uint64_t seed, struct sim_disk *disk)
{
    struct sim_node *copy;
    size_t settled;

    if (node->copy) return node->copy;
    copy = sdb__sim_node_new(disk, node->base.is_folder);
    if (!copy) return NULL;
    copy->id = node->id;
    if (sdb__ram_image_share(&copy->durable, &node->durable) != SDB_OK ||
        sdb__sim_survive(node, sdb__sim_fate(seed, node->id), &copy->durable, &settled) != SDB_OK ||
        sdb__ram_image_share(&copy->cached, &copy->durable) != SDB_OK) {
        sdb__ram_unref(&copy->base);
        return NULL;
    }
    node->copy = copy; /* this reference is given up in forget_copies */
    return copy;
}

static void forget_copies(struct sim_disk *disk)
{
    for (struct sim_node *node = disk->nodes; node; node = node->next) {
        /* The root's copy was not made by copy_node: it is the new disk's own. */
        if (node->copy && &node->base != disk->cached.root) sdb__ram_unref(&node->copy->base);
        node->copy = NULL;
    }
}

/*
 * Copies to the new disk the names whose folder is there already. True in *out_more if something
 * was added: that may have been a folder, with names of its own.
 */
static sdb_status copy_names(const struct ram_names *names, uint64_t seed, struct sim_disk *disk,
                             bool *out_more)
{
    *out_more = false;
    for (size_t i = 0; i < names->count; i++) {
        const struct ram_name *name = &names->names[i];
        struct sim_node *folder = ((struct sim_node *)name->folder)->copy, *node;

        if (!folder || sdb__ram_names_get(&disk->durable, &folder->base, name->text)) continue;
        node = copy_node((struct sim_node *)name->node, seed, disk);
        if (!node) return SDB_NOMEM;
        TRY(sdb__ram_names_put(&disk->durable, &folder->base, name->text, &node->base));
        TRY(sdb__ram_names_put(&disk->cached, &folder->base, name->text, &node->base));
        *out_more = true;
    }
    return SDB_OK;
}

sdb_status sdb__sim_disk_crash(struct sim_disk *disk, uint64_t seed, struct sim_disk **out_disk)
{
    struct ram_names names = {.allocator = disk->allocator};
    struct sim_disk *new_disk = NULL;
    sdb_status status = surviving_names(disk, seed, &names);
    bool more = true;

    if (status == SDB_OK) status = sdb__sim_disk_new(disk->allocator, &new_disk);
    if (status == SDB_OK)
        ((struct sim_node *)disk->cached.root)->copy = (struct sim_node *)new_disk->cached.root;
    while (status == SDB_OK && more) status = copy_names(&names, seed, new_disk, &more);
    forget_copies(disk);
    sdb__ram_names_done(&names);
    if (status != SDB_OK) {
        if (new_disk) sdb__sim_disk_free(new_disk);
        return status;
    }
    new_disk->next_id = disk->next_id;
    *out_disk = new_disk;
    return SDB_OK;
}
