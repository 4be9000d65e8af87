/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kept.c: which checkpoints are kept, and how that changes.
 *
 * Idea: a change is prepared whole, in memory and in free blocks, between the write and the finish
 * of a checkpoint: the new table, the new list, the new set of held blocks. The superblock of that
 * checkpoint names the new table; when it is durable, the prepared things take the place of the old
 * ones, which cannot fail. Otherwise they are thrown away.
 *
 *     cut ─→ write ─→ prepare ─→ finish: sync, superblock, sync ─→ settle      (or: forget)
 *
 * Invariants: I1 a block that a kept checkpoint refers to is held from before the moment when the
 *   page map may give it back (settle comes before map_end), until a superblock without it is
 *   durable. I2 what somebody reads is not let go. I3 the table on disk, the list and what is held
 *   agree between checkpoints.
 * Costs: keeping walks the page map in memory and copies the set of held blocks (1/4096 of the
 *   file); letting go reads the page maps of all that stays, each chunk of them once.
 * Source: the map as a tree whose old roots stay, as in WAFL (Hitz et al., USENIX 1994). There each
 *   block has a bit for each snapshot; here one bit says that it is held at all, and is found anew
 *   when a snapshot goes. Not here: reading them (kept_load.c), who may (index/kv).
 */
#include "engine/pager/pool.h"

#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/mem.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"

/* ---- records ------------------------------------------------------------------------------- */

void sdb__kept_encode(const struct pager_kept *from, uint8_t to[KEPT_RECORD])
{
    const struct superblock *s = &from->superblock;

    memset(to, 0, KEPT_RECORD);
    put_u64(to, s->sequence);
    put_u64(to + 8, s->lsn);
    put_u64(to + 16, s->commit);
    put_u64(to + 24, from->kept_ms);
    put_u64(to + 32, s->directory_place);
    put_u64(to + 40, s->directory_checksum);
    put_u64(to + 48, s->chunks);
    put_u64(to + 56, s->page_limit);
    put_u64(to + 64, s->catalog_root);
    put_u64(to + 72, s->end_block);
    put_u32(to + 80, s->features);
    memcpy(to + 88, from->name, strlen(from->name));
}

/* A name has no control characters, and nothing but zeros behind it. */
static bool is_plausible_name(const char *name, size_t size)
{
    size_t length = 0;

    while (length < size && name[length]) {
        if ((unsigned char)name[length] < 0x20 || name[length] == 0x7f) return false;
        length++;
    }
    for (size_t i = length; i < size; i++)
        if (name[i]) return false;
    return length > 0 && length < size;
}

bool sdb__kept_decode(const uint8_t from[KEPT_RECORD], const struct superblock *main,
                      struct pager_kept *out)
{
    struct superblock s = *main;

    s.sequence = get_u64(from);
    s.lsn = get_u64(from + 8);
    s.commit = get_u64(from + 16);
    s.written_ms = get_u64(from + 24);
    s.directory_place = get_u64(from + 32);
    s.directory_checksum = get_u64(from + 40);
    s.chunks = get_u64(from + 48);
    s.page_limit = get_u64(from + 56);
    s.catalog_root = get_u64(from + 64);
    s.end_block = get_u64(from + 72);
    s.features = get_u32(from + 80);
    s.log_id = s.history = s.kept_place = s.kept_checksum = s.kept_count = 0;
    if (!sdb__superblock_is_plausible(&s) || s.catalog_root == 0 || s.directory_place == 0 ||
        (s.features & ~(main->features & ~(uint32_t)FEATURE_KEPT)) || get_u32(from + 84) != 0 ||
        s.sequence > main->sequence || s.commit > main->commit ||
        !is_plausible_name((const char *)from + 88, PAGER_KEPT_NAME + 1))
        return false;
    *out = (struct pager_kept){.superblock = s, .kept_ms = s.written_ms};
    memcpy(out->name, from + 88, sizeof out->name);
    return true;
}

/* ---- the list ------------------------------------------------------------------------------ */

/* The index of the first item with a name >= name. Under map_lock. */
static size_t find(const struct kept_list *list, const char *name)
{
    size_t low = 0, high = list->count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (strcmp(list->items[middle]->is.name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* What is kept under a name, or NULL. Under map_lock. */
static struct kept *find_kept(const struct kept_list *list, const char *name)
{
    size_t at = find(list, name);

    return at < list->count && strcmp(list->items[at]->is.name, name) == 0 ? list->items[at] : NULL;
}

bool sdb__pager_kept_next(struct pager *p, const char *after, struct pager_kept *out_kept)
{
    const struct kept_list *list = &p->kept.list;
    size_t at = 0;

    (void)pthread_mutex_lock(&p->map_lock);
    if (after) at = find(list, after);
    if (after && at < list->count && strcmp(list->items[at]->is.name, after) == 0) at++;
    if (at < list->count) *out_kept = list->items[at]->is;
    at = list->count - at;
    (void)pthread_mutex_unlock(&p->map_lock);
    return at > 0;
}

static sdb_status no_such(struct pager *p, const char *name)
{
    return FAIL(SDB_NOTFOUND, "there is no snapshot \"%s\" in %s", name,
                sdb__io_path(p->options.file));
}

sdb_status sdb__pager_may_keep(struct pager *p, const char *name)
{
    bool there;
    size_t count;

    (void)pthread_mutex_lock(&p->map_lock);
    there = find_kept(&p->kept.list, name) != NULL;
    count = p->kept.list.count;
    (void)pthread_mutex_unlock(&p->map_lock);
    if (there) return FAIL(SDB_EXISTS, "there is a snapshot \"%s\" already", name);
    if (count >= SUPERBLOCK_KEPT_MOST)
        return FAIL(SDB_LIMIT, "%s has %d snapshots, and there cannot be more: drop some",
                    sdb__io_path(p->options.file), SUPERBLOCK_KEPT_MOST);
    return SDB_OK;
}

sdb_status sdb__pager_may_let_go(struct pager *p, const char *name)
{
    const struct kept *kept;
    unsigned users;

    (void)pthread_mutex_lock(&p->map_lock);
    kept = find_kept(&p->kept.list, name);
    users = kept ? kept->users + p->kept.users : 0;
    (void)pthread_mutex_unlock(&p->map_lock);
    if (!kept) return no_such(p, name);
    if (users)
        return FAIL(SDB_BUSY, "the snapshot \"%s\" is being read: close it first", name);
    return SDB_OK;
}

/* ---- a change ------------------------------------------------------------------------------ */

/* The list without `goes`, and with `comes`. */
static sdb_status make_list(struct pager *p, struct kept *comes, const struct kept *goes)
{
    const struct kept_list *list = &p->kept.list;
    struct kept_list *next = &p->kept.next_list;
    size_t at = comes ? find(list, comes->is.name) : SIZE_MAX;

    TRY(sdb__mem_reserve(p->allocator, &next->items, &next->capacity, list->count + 1,
                         sizeof(struct kept *)));
    for (size_t i = 0; i <= list->count; i++) {
        if (i == at) next->items[next->count++] = comes;
        if (i < list->count && list->items[i] != goes) next->items[next->count++] = list->items[i];
    }
    return SDB_OK;
}

/* Writes the table of the new list, if it is not empty. */
static sdb_status write_table(struct pager *p, struct io_queue *queue)
{
    const struct kept_list *list = &p->kept.next_list;
    uint8_t *bytes;
    sdb_status status;

    if (list->count == 0) return SDB_OK;
    bytes = sdb__mem_alloc(p->allocator, list->count * KEPT_RECORD);
    if (!bytes) return SDB_NOMEM;
    for (size_t i = 0; i < list->count; i++)
        sdb__kept_encode(&list->items[i]->is, bytes + i * KEPT_RECORD);
    status = sdb__pool_write_map(p, queue, bytes, list->count * KEPT_RECORD, &p->kept.next_table);
    sdb__mem_free(p->allocator, bytes);
    return status;
}

static sdb_status add_place(struct pager *p, struct block_set *set, uint64_t place)
{
    if (!place) return SDB_OK;
    return sdb__blocks_add(p->allocator, set, place_first(place), place_blocks(place));
}

/* Adds every block that the checkpoint being written refers to. */
static sdb_status add_cut(struct pager *p, struct block_set *set)
{
    uint8_t *bytes = sdb__mem_alloc(p->allocator, p->page_size);
    sdb_status status = bytes ? SDB_OK : SDB_NOMEM;

    for (size_t i = 0; status == SDB_OK && i < p->cut_chunks; i++) {
        const struct map_chunk *chunk;
        uint64_t place;

        (void)pthread_mutex_lock(&p->map_lock);
        chunk = &p->map.chunks[i];
        place = chunk->next.place ? chunk->next.place : chunk->stored.place;
        sdb__map_encode_chunk(&p->map, i, bytes);
        (void)pthread_mutex_unlock(&p->map_lock);
        status = add_place(p, set, place);
        for (uint32_t slot = 0; status == SDB_OK && slot < p->map.per_chunk; slot++)
            status = add_place(p, set, get_u64(bytes + (size_t)slot * MAP_ENTRY_SIZE));
    }
    sdb__mem_free(p->allocator, bytes);
    if (status != SDB_OK) return status;
    return add_place(p, set, p->map.directory_next.place);
}

/* The superblock that the checkpoint being written will have, as far as it is kept. */
static struct superblock superblock_of_cut(struct pager *p, const struct superblock *state)
{
    struct superblock s = p->superblock;

    s.sequence++;
    s.features = (s.features | atomic_load(&p->features)) & ~(uint32_t)FEATURE_KEPT;
    s.lsn = state->lsn;
    s.commit = state->commit;
    s.catalog_root = state->catalog_root;
    s.directory_place = p->map.directory_next.place;
    s.directory_checksum = p->map.directory_next.checksum;
    s.chunks = p->cut_chunks;
    s.page_limit = p->cut_page_limit;
    s.written_ms = sdb__pager_now_ms();
    s.log_id = s.history = s.kept_place = s.kept_checksum = s.kept_count = 0;
    (void)pthread_mutex_lock(&p->map_lock);
    s.end_block = p->map.space.end;
    (void)pthread_mutex_unlock(&p->map_lock);
    return s;
}

/* Writes the prepared table; what failed until then gives the checkpoint up. */
static sdb_status seal(struct pager *p, struct io_queue *queue, sdb_status status)
{
    if (status == SDB_OK) status = write_table(p, queue);
    if (status == SDB_OK) {
        (void)pthread_mutex_lock(&p->map_lock); /* so that settling cannot fail */
        status = sdb__space_reach(&p->map.space, p->kept.next_held.end);
        (void)pthread_mutex_unlock(&p->map_lock);
    }
    if (queue) sdb__pool_queue_put(p, queue);
    if (status != SDB_OK) sdb__pool_give_up(p);
    return status;
}

sdb_status sdb__pager_keep(struct pager *p, const char *name, const struct superblock *state)
{
    struct kept_state *k = &p->kept;
    struct kept *comes = sdb__mem_zalloc(p->allocator, 1, sizeof *comes);
    struct io_queue *queue = NULL;
    sdb_status status = comes ? SDB_OK : SDB_NOMEM;

    k->changing = true;
    k->comes = comes;
    if (status == SDB_OK) {
        comes->is.superblock = superblock_of_cut(p, state);
        comes->is.kept_ms = comes->is.superblock.written_ms;
        strncpy(comes->is.name, name, sizeof comes->is.name - 1);
        status = make_list(p, comes, NULL);
    }
    if (status == SDB_OK)
        status = sdb__blocks_copy(p->allocator, &p->map.space.held, &k->next_held);
    if (status == SDB_OK) status = add_cut(p, &k->next_held);
    if (status == SDB_OK) status = sdb__pool_queue_get(p, &queue);
    return seal(p, queue, status);
}

sdb_status sdb__pager_let_go(struct pager *p, const char *name)
{
    struct kept_state *k = &p->kept;
    struct io_queue *queue = NULL;
    sdb_status status = SDB_OK;

    k->changing = true;
    (void)pthread_mutex_lock(&p->map_lock);
    k->goes = find_kept(&k->list, name);
    if (k->goes && k->goes->users + k->users) { /* opened since sdb__pager_may_let_go */
        k->goes = NULL;
        status = FAIL(SDB_BUSY, "the snapshot \"%s\" is being read: close it first", name);
    }
    (void)pthread_mutex_unlock(&p->map_lock);
    if (status == SDB_OK && !k->goes) status = no_such(p, name);
    if (status == SDB_OK) status = make_list(p, NULL, k->goes);
    if (status == SDB_OK) status = sdb__pool_queue_get(p, &queue);
    if (status == SDB_OK && !MUTANT(letting_go_frees_all))
        status = sdb__kept_collect(p, queue, &k->next_list, &k->next_held);
    return seal(p, queue, status);
}

void sdb__kept_enter(const struct pager *p, struct superblock *next)
{
    if (!p->kept.changing) return;
    next->kept_place = p->kept.next_table.place;
    next->kept_checksum = p->kept.next_table.checksum;
    next->kept_count = p->kept.next_list.count;
    next->features &= ~(uint32_t)FEATURE_KEPT;
    if (next->kept_count) next->features |= FEATURE_KEPT;
}

/* Frees what is left of a change. */
static void clear_change(struct pager *p)
{
    struct kept_state *k = &p->kept;

    sdb__mem_free(p->allocator, k->next_list.items);
    sdb__blocks_done(p->allocator, &k->next_held);
    k->next_list = (struct kept_list){0};
    k->next_table = (struct map_entry){0, 0};
    k->comes = k->goes = NULL;
    k->changing = false;
}

void sdb__kept_settle(struct pager *p)
{
    struct kept_state *k = &p->kept;
    struct kept_list old = k->list;

    if (!k->changing) return;
    if (k->table.place) sdb__map_retire(&p->map, k->table.place, p->pins > 0);
    k->table = k->next_table;
    k->list = k->next_list;
    k->next_list = old;
    k->held = true;
    if (!MUTANT(kept_checkpoint_not_held) || k->goes)
        sdb__space_hold(&p->map.space, &k->next_held);
    sdb__mem_free(p->allocator, k->goes);
    clear_change(p);
    sdb__pool_measure_locked(p);
}

void sdb__kept_forget(struct pager *p)
{
    struct kept_state *k = &p->kept;

    if (!k->changing) return;
    if (k->next_table.place) sdb__pool_untake(p, k->next_table.place);
    (void)pthread_mutex_lock(&p->map_lock);
    sdb__mem_free(p->allocator, k->comes);
    clear_change(p);
    (void)pthread_mutex_unlock(&p->map_lock);
}

void sdb__kept_done(struct pager *p)
{
    struct kept_state *k = &p->kept;

    for (size_t i = 0; i < k->list.count; i++) sdb__mem_free(p->allocator, k->list.items[i]);
    sdb__mem_free(p->allocator, k->list.items);
    sdb__mem_free(p->allocator, k->comes); /* of a checkpoint whose superblock failed */
    clear_change(p);
}

/* ---- readers ------------------------------------------------------------------------------- */

void sdb__pager_use_kept(struct pager *p)
{
    (void)pthread_mutex_lock(&p->map_lock);
    p->kept.users++;
    (void)pthread_mutex_unlock(&p->map_lock);
}

void sdb__pager_unuse_kept(struct pager *p)
{
    (void)pthread_mutex_lock(&p->map_lock);
    p->kept.users--;
    (void)pthread_mutex_unlock(&p->map_lock);
}

sdb_status sdb__kept_use(struct pager *p, const char *name, struct kept **out_kept)
{
    struct kept *kept;

    (void)pthread_mutex_lock(&p->map_lock);
    kept = find_kept(&p->kept.list, name);
    if (kept && kept == p->kept.goes) kept = NULL;
    if (kept) kept->users++;
    (void)pthread_mutex_unlock(&p->map_lock);
    if (!kept) return no_such(p, name);
    *out_kept = kept;
    return SDB_OK;
}

void sdb__kept_unuse(struct pager *p, struct kept *kept)
{
    (void)pthread_mutex_lock(&p->map_lock);
    kept->users--;
    (void)pthread_mutex_unlock(&p->map_lock);
}

uint64_t sdb__pager_held_end(struct pager *p)
{
    uint64_t end;

    (void)pthread_mutex_lock(&p->map_lock);
    end = p->map.space.held.end;
    (void)pthread_mutex_unlock(&p->map_lock);
    return end;
}
