/* SPDX-License-Identifier: Apache-2.0 */
/* pager_fixture.c */
#include "tests/pager/pager_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/clock.h"

uint64_t rig_seed(const char *what, uint64_t standard)
{
    const char *text = getenv("SEED");
    uint64_t seed = text && *text ? strtoull(text, NULL, 0) : standard;

    printf("%s: SEED=%llu\n", what, (unsigned long long)seed);
    (void)fflush(stdout);
    return seed;
}

static void *resize_frugally(void *context, void *memory, size_t size)
{
    struct frugal *f = context;
    uint64_t request;
    void *result;

    if (size == 0) {
        if (memory) f->live--;
        free(memory);
        return NULL;
    }
    request = ++f->requests;
    if (f->fail_at && (request == f->fail_at || (f->for_good && request > f->fail_at)))
        return NULL;
    result = realloc(memory, size);
    if (result && !memory) f->live++;
    return result;
}

void rig_init(struct rig *rig, bool is_simulated, uint64_t seed, uint32_t page_size,
              uint32_t frames)
{
    memset(rig, 0, sizeof *rig);
    rig->memory.allocator = (sdb_allocator){resize_frugally, &rig->memory};
    rig->is_simulated = is_simulated;
    rig->page_size = page_size;
    rig->frames = frames;
    if (is_simulated)
        OK(sdb__sim_new(&rig->memory.allocator, seed, &rig->io));
    else
        OK(sdb__io_new_memory(&rig->memory.allocator, &rig->io));
}

static struct pager_options options_of(struct rig *rig)
{
    return (struct pager_options){.io = rig->io, .file = rig->file,
                                  .allocator = &rig->memory.allocator, .verify = rig->verify,
                                  .cache_policy = rig->policy,
                                  .cache_bytes = (uint64_t)rig->frames * rig->page_size};
}

void rig_create(struct rig *rig)
{
    struct superblock first = {.page_size = rig->page_size, .database_id = "sixteen letters",
                               .made_ms = 1};
    struct pager_options options;

    OK(sdb__io_open(rig->io, RIG_FILE, IO_OPEN_WRITE | IO_OPEN_CREATE, &rig->file));
    options = options_of(rig);
    OK(sdb__pager_create(&options, &first, &rig->pager));
    sdb__pager_checkpoint_cut(rig->pager);
    OK(sdb__pager_checkpoint_write(rig->pager));
    OK(sdb__pager_checkpoint_finish(rig->pager, &rig->state, true));
    OK(sdb__io_parent_sync(rig->io, RIG_FILE));
}

sdb_status rig_open(struct rig *rig)
{
    struct pager_options options;
    sdb_status status = sdb__io_open(rig->io, RIG_FILE, IO_OPEN_WRITE, &rig->file);

    if (status != SDB_OK) return status;
    options = options_of(rig);
    status = sdb__pager_open(&options, &rig->pager);
    if (status != SDB_OK) {
        sdb__io_close(rig->file);
        rig->file = NULL;
    }
    return status;
}

void rig_close(struct rig *rig)
{
    sdb__pager_close(rig->pager);
    sdb__io_close(rig->file);
    rig->pager = NULL;
    rig->file = NULL;
    rig->loose_count = 0;
}

void rig_reopen(struct rig *rig)
{
    rig_close(rig);
    OK(rig_open(rig));
}

void rig_done(struct rig *rig)
{
    rig_close(rig);
    sdb__io_free(rig->io);
    ck_assert_int_eq(rig->memory.live, 0);
}

sdb_status rig_checkpoint(struct rig *rig)
{
    sdb_status status;

    sdb__pager_checkpoint_cut(rig->pager);
    status = sdb__pager_checkpoint_write(rig->pager);
    if (status != SDB_OK) return status;
    return sdb__pager_checkpoint_finish(rig->pager, &rig->state, false);
}

void rig_fill(uint8_t *to, uint32_t page_size, uint64_t id, uint64_t version)
{
    uint64_t state = id * 1000003 + version;

    put_u64(to, id);
    put_u64(to + 8, version);
    for (uint32_t i = 16; i < page_size; i += 8) put_u64(to + i, random_next(&state));
}

sdb_status rig_new(struct rig *rig, uint64_t *out_id)
{
    static const uint8_t nothing[PAGE_SIZE_MOST];
    struct page page;
    sdb_status status = sdb__pager_page_new(rig->pager, &page);

    if (status != SDB_OK) return status;
    ck_assert_uint_lt(page.id, RIG_PAGES);
    ck_assert_uint_eq(rig->versions[page.id], 0);
    ck_assert_mem_eq(page.data, nothing, rig->page_size);
    rig->versions[page.id] = ++rig->next_version;
    rig_fill(page.data, rig->page_size, page.id, rig->versions[page.id]);
    sdb__pager_unlatch_exclusive(rig->pager, &page);
    *out_id = page.id;
    return SDB_OK;
}

sdb_status rig_change(struct rig *rig, uint64_t id)
{
    struct page page;
    sdb_status status = sdb__pager_latch_exclusive(rig->pager, id, &page);

    if (status != SDB_OK) return status;
    ck_assert_uint_eq(get_u64(page.data + 8), rig->versions[id]);
    status = sdb__pager_dirty(rig->pager, &page);
    if (status == SDB_OK) {
        rig->versions[id] = ++rig->next_version;
        rig_fill(page.data, rig->page_size, id, rig->versions[id]);
    }
    sdb__pager_unlatch_exclusive(rig->pager, &page);
    return status;
}

sdb_status rig_free(struct rig *rig, uint64_t id)
{
    struct page page;
    sdb_status status = sdb__pager_latch_exclusive(rig->pager, id, &page);

    if (status != SDB_OK) return status;
    status = sdb__pager_dirty(rig->pager, &page);
    if (status != SDB_OK) {
        sdb__pager_unlatch_exclusive(rig->pager, &page);
        return status;
    }
    status = sdb__pager_page_free(rig->pager, &page);
    if (status == SDB_OK) rig->versions[id] = 0;
    return status;
}

void rig_expect(struct rig *rig, const uint64_t *versions, uint64_t id)
{
    uint8_t wanted[PAGE_SIZE_MOST];
    struct page page;

    if (versions[id] == 0) {
        ck_assert_int_eq(sdb__pager_latch_shared(rig->pager, id, &page), SDB_CORRUPT);
        return;
    }
    OK(sdb__pager_latch_shared(rig->pager, id, &page));
    rig_fill(wanted, rig->page_size, id, versions[id]);
    ck_assert_msg(memcmp(page.data, wanted, rig->page_size) == 0,
                  "page %llu has version %llu, not %llu", (unsigned long long)id,
                  (unsigned long long)get_u64(page.data + 8), (unsigned long long)versions[id]);
    sdb__pager_unlatch_shared(rig->pager, &page);
}

void rig_expect_all(struct rig *rig, const uint64_t *versions, uint64_t limit)
{
    for (uint64_t id = 1; id < limit; id++) rig_expect(rig, versions, id);
}

/* ---- whose is each block ------------------------------------------------------------------- */

struct owners {
    uint64_t *of; /* for each block the place that owns it, 0: none */
    uint64_t end;
};

static void own(struct owners *owners, uint64_t place, const char *who)
{
    uint64_t first = place_first(place), end = first + place_blocks(place);

    if (place == 0) return;
    ck_assert_msg(end <= owners->end, "%s: block %llu lies behind the end", who,
                  (unsigned long long)end);
    for (uint64_t i = first; i < end; i++) {
        if (owners->of[i] != 0 && owners->of[i] != place)
            ck_abort_msg("%s: block %llu has two owners", who, (unsigned long long)i);
        owners->of[i] = place;
    }
}

static void own_list(struct owners *owners, const struct run_list *list)
{
    for (size_t i = 0; i < list->count; i++) own(owners, list->places[i], "dropped");
}

void rig_check_space(struct rig *rig)
{
    struct map *map = &rig->pager->map;
    struct owners owners = {calloc(map->space.end + 1, sizeof(uint64_t)), map->space.end};
    uint64_t used = 0, reserved = SUPERBLOCK_SLOTS * SUPERBLOCK_SIZE / SPACE_BLOCK;

    ck_assert_ptr_nonnull(owners.of);
    for (uint64_t i = 0; i < reserved; i++) owners.of[i] = UINT64_MAX;
    for (size_t c = 0; c < map->count; c++) {
        own(&owners, map->chunks[c].stored.place, "chunk");
        own(&owners, map->chunks[c].next.place, "next chunk");
        for (uint32_t i = 0; i < map->per_chunk; i++) {
            own(&owners, map->chunks[c].entries[i].place, "entry");
            if (map->chunks[c].before) own(&owners, map->chunks[c].before[i].place, "before");
        }
    }
    own(&owners, map->directory.place, "directory");
    own(&owners, map->directory_next.place, "next directory");
    own_list(&owners, &map->dropped);
    own_list(&owners, &map->dropped_cut);
    own_list(&owners, &map->dropped_pinned);
    for (size_t i = 0; i < rig->loose_count; i++) own(&owners, rig->loose[i], "loose");
    for (uint64_t i = 0; i < map->space.end; i++) {
        bool is_used = map->space.words[i / 64] >> (i % 64) & 1;

        if (is_used != (owners.of[i] != 0))
            ck_abort_msg("block %llu is %s", (unsigned long long)i,
                         is_used ? "lost: in use, and nobody's" : "somebody's, and not in use");
        used += is_used;
    }
    ck_assert_uint_eq(used, map->space.used);
    free(owners.of);
}
