/* SPDX-License-Identifier: Apache-2.0 */
/*
 * train.c: dictionaries made of a keyspace's own pages.
 *
 * Idea: pages are taken from all over the keyspace. Three of four are trained with; the others are
 * packed with and without the outcome, and only if that pays is it kept.
 * Invariants: I1 nothing is changed before the dictionary has proved itself. I2 it packs pages only
 *   once a checkpoint that has it is durable (dict.h).
 * Costs: 8 MiB of samples, twice that in Zstandard's builder; some seconds for 64 KiB. Written
 *   anew, each page costs a read and a write.
 * Not here: keeping (dict.c), packing (engine/pager/pack.c).
 */
#include <string.h>

#include "engine/base/mem.h"
#include "engine/base/status.h"
#include "engine/pager/space.h"
#include "index/btree/node_dense.h"
#include "index/kv/dict.h"
#include "index/kv/packing.h"

enum {
    SAMPLE_BYTES = 8 * 1024 * 1024,
    PAGES_LEAST = 64,
    TRIED_PART = 4,       /* one sample in so many is for trying */
    GAIN_PART = 50,       /* it must save one byte in so many */
    SIZE_STANDARD = 65536,
    MOVES = 64
};

struct ids {
    const sdb_allocator *allocator;
    uint64_t *list;
    size_t count, capacity;
    sdb_status status;
};

struct training {
    sdb_keyspace *keyspace;
    const sdb_allocator *allocator;
    uint32_t page_size;
    struct ids ids;
    uint8_t *pages;   /* the sampled ones, one behind the other */
    size_t page_count;
    uint8_t *samples; /* what means something of those to train with */
    size_t *sizes;
    unsigned sample_count;
    uint8_t *bytes;   /* the dictionary */
    size_t capacity, size;
    sdb_train_result result;
};

static void add_id(void *context, uint64_t id)
{
    struct ids *ids = context;

    if (ids->status == SDB_OK)
        ids->status = sdb__mem_reserve(ids->allocator, &ids->list, &ids->capacity, ids->count + 1,
                                       sizeof *ids->list);
    if (ids->status == SDB_OK) ids->list[ids->count++] = id;
}

static sdb_status list_pages(struct training *t)
{
    t->ids = (struct ids){.allocator = t->allocator};
    TRY(sdb__btree_pages(&t->keyspace->tree, add_id, &t->ids));
    return t->ids.status;
}

/* Copies pages from all over the keyspace. */
static sdb_status sample_pages(struct training *t)
{
    size_t most = SAMPLE_BYTES / t->page_size;
    size_t wanted = t->ids.count < most ? t->ids.count : most;

    t->pages = sdb__mem_alloc(t->allocator, wanted * t->page_size + 1);
    if (!t->pages) return SDB_NOMEM;
    for (size_t i = 0; i < wanted; i++) {
        uint64_t id = t->ids.list[i * t->ids.count / wanted];
        uint8_t *to = t->pages + t->page_count * t->page_size;
        struct page page;
        sdb_status status = sdb__pager_latch_shared(t->keyspace->db->pager, id, &page);

        if (status == SDB_CORRUPT) continue; /* gone meanwhile, or damaged: not our business */
        if (status != SDB_OK) return status;
        memcpy(to, page.data, t->page_size);
        sdb__pager_unlatch_shared(t->keyspace->db->pager, &page);
        if (node_tree((struct node){to, t->page_size}) == t->keyspace->tree.id) t->page_count++;
    }
    return SDB_OK;
}

/* The same under a snapshot, so that a keyspace that is dropped stays until then. */
static sdb_status take_pages(struct training *t)
{
    struct snapshot snapshot;
    sdb_status status = SDB_OK;

    sdb__snapshot_open(t->keyspace->db, &snapshot);
    if (atomic_load(&t->keyspace->dropped))
        status = FAIL(SDB_NOTFOUND, "keyspace \"%s\" has been dropped", t->keyspace->name);
    if (status == SDB_OK) status = list_pages(t);
    if (status == SDB_OK) status = sample_pages(t);
    sdb__snapshot_close(t->keyspace->db, &snapshot);
    return status;
}

static struct packing packing_of(const struct training *t, size_t i,
                                 const struct dictionary *dictionary)
{
    struct packing how = sdb__packing_of_page(t->keyspace->db, t->pages + i * t->page_size,
                                              t->page_size);

    if (dictionary) how.dictionary = dictionary;
    return how;
}

/* Puts the dense forms of the pages to train with one behind the other. */
static sdb_status make_samples(struct training *t)
{
    size_t at = 0;

    t->samples = sdb__mem_alloc(t->allocator, t->page_count * t->page_size + 1);
    t->sizes = sdb__mem_alloc(t->allocator, (t->page_count + 1) * sizeof *t->sizes);
    t->bytes = sdb__mem_alloc(t->allocator, t->capacity);
    if (!t->samples || !t->sizes || !t->bytes) return SDB_NOMEM;
    for (size_t i = 0; i < t->page_count; i++) {
        const uint8_t *page = t->pages + i * t->page_size;

        if (i % TRIED_PART == 0) continue;
        t->sizes[t->sample_count] = sdb__node_make_dense(page, t->page_size, t->samples + at);
        at += t->sizes[t->sample_count++];
    }
    return SDB_OK;
}

/* What the pages that were left out take with the new dictionary, and without. */
static sdb_status try_out(struct training *t, const struct dictionary *dictionary)
{
    struct pack_room *room;

    TRY(sdb__pack_room_new(t->allocator, t->page_size, NULL, &sdb__node_dense, &room));
    for (size_t i = 0; i < t->page_count; i += TRIED_PART) {
        const uint8_t *page = t->pages + i * t->page_size;
        size_t before = sdb__pack(room, packing_of(t, i, NULL), page,
                                  sdb__pack_room_page(room, 0));
        size_t after = sdb__pack(room, packing_of(t, i, dictionary), page,
                                 sdb__pack_room_page(room, 0));

        t->result.tried_pages++;
        t->result.bytes_before += before ? before : t->page_size;
        t->result.bytes_after += after ? after : t->page_size;
    }
    sdb__pack_room_free(room);
    return SDB_OK;
}

/* Makes the dictionary. SDB_NOTFOUND: none that pays. */
static sdb_status train(struct training *t)
{
    struct dictionary *trial;
    uint64_t gain;
    sdb_status status;

    TRY(take_pages(t));
    if (t->page_count < PAGES_LEAST)
        return FAIL(SDB_NOTFOUND, "keyspace \"%s\" has %zu pages: a dictionary is trained with %u "
                    "at least", t->keyspace->name, t->page_count, PAGES_LEAST);
    TRY(make_samples(t));
    status = sdb__dictionary_train(t->bytes, t->capacity, t->samples, t->sizes, t->sample_count,
                                   &t->size);
    if (status == SDB_END)
        return FAIL(SDB_NOTFOUND, "the pages of keyspace \"%s\" have too little in common for a "
                    "dictionary of %zu bytes", t->keyspace->name, t->capacity);
    TRY(sdb__dictionary_new(t->allocator, 1, t->bytes, t->size, t->keyspace->packing >> 8,
                            &trial));
    status = sdb__dictionary_ready(trial);
    if (status == SDB_OK) status = try_out(t, trial);
    sdb__dictionary_free(t->allocator, trial);
    if (status != SDB_OK) return status;
    t->result.dictionary_bytes = t->size;
    gain = t->result.bytes_before > t->result.bytes_after
               ? t->result.bytes_before - t->result.bytes_after : 0;
    if (gain * GAIN_PART >= t->result.bytes_before) return SDB_OK;
    return FAIL(SDB_NOTFOUND, "a dictionary of %zu bytes does not pay for keyspace \"%s\": %llu "
                "pages took %llu bytes with it, %llu before", t->size, t->keyspace->name,
                (unsigned long long)t->result.tried_pages,
                (unsigned long long)t->result.bytes_after,
                (unsigned long long)t->result.bytes_before);
}

/* Has all pages written anew. */
static sdb_status rewrite(struct training *t, sdb_progress_fn progress, void *context)
{
    sdb_db *db = t->keyspace->db;

    for (size_t at = 0; at < t->ids.count; at += MOVES) {
        size_t count = t->ids.count - at < MOVES ? t->ids.count - at : MOVES;

        TRY(sdb__db_alive(db));
        TRY(sdb__pager_reserve(db->pager, MOVES));
        TRY(sdb__db_move_pages(db, t->ids.list + at, count, NULL));
        if (progress && progress(context, at + count, t->ids.count))
            return FAIL(SDB_CANCELLED, "cancelled: the dictionary is kept; pages that change are "
                        "compressed with it");
        if (sdb__pager_wants_checkpoint(db->pager)) TRY(sdb__db_checkpoint(db, false));
    }
    return sdb__db_checkpoint(db, false);
}

/* Trains, keeps, uses. */
static sdb_status run(struct training *t, unsigned flags, sdb_progress_fn progress, void *context)
{
    const struct dictionary *dictionary;

    TRY(train(t));
    TRY(sdb__dict_keep(t->keyspace, t->bytes, t->size, &dictionary));
    TRY(sdb__db_checkpoint(t->keyspace->db, false));
    sdb__dict_use(t->keyspace, dictionary);
    return flags & SDB_TRAIN_REWRITE ? rewrite(t, progress, context) : SDB_OK;
}

static sdb_status judge(sdb_keyspace *keyspace, size_t dictionary_bytes,
                        const sdb_train_result *result)
{
    if (!keyspace) return FAIL(SDB_INVALID, "sdb_keyspace_train: keyspace is NULL");
    if (result && result->size < sizeof(size_t))
        return FAIL(SDB_INVALID, "sdb_keyspace_train: set out_result->size to "
                    "sizeof(sdb_train_result) first");
    TRY(sdb__db_alive(keyspace->db));
    if (keyspace->db->readonly)
        return FAIL(SDB_READONLY, "%s is open for reading only", keyspace->db->path);
    if (atomic_load_explicit(&keyspace->dropped, memory_order_acquire))
        return FAIL(SDB_NOTFOUND, "keyspace \"%s\" has been dropped", keyspace->name);
    if ((keyspace->packing & 0xff) != PACK_ZSTD)
        return FAIL(SDB_INVALID, "keyspace \"%s\" is not compressed with zstd: only that has "
                    "dictionaries", keyspace->name);
    if (dictionary_bytes && (dictionary_bytes < DICTIONARY_LEAST ||
                             dictionary_bytes > DICTIONARY_MOST))
        return FAIL(SDB_INVALID, "a dictionary has %d to %d bytes, not %zu", DICTIONARY_LEAST,
                    DICTIONARY_MOST, dictionary_bytes);
    return SDB_OK;
}

sdb_status sdb_keyspace_train(sdb_keyspace *keyspace, size_t dictionary_bytes, unsigned flags,
                              sdb_progress_fn progress, void *context,
                              sdb_train_result *out_result)
{
    struct training t = {.keyspace = keyspace};
    sdb_status status;
    size_t size;

    TRY(judge(keyspace, dictionary_bytes, out_result));
    if (atomic_exchange(&keyspace->db->training, true))
        return FAIL(SDB_BUSY, "another dictionary is being trained");
    t.allocator = keyspace->db->allocator;
    t.page_size = sdb__pager_page_size(keyspace->db->pager);
    t.capacity = dictionary_bytes ? dictionary_bytes : SIZE_STANDARD;
    status = run(&t, flags, progress, context);
    atomic_store(&keyspace->db->training, false);
    sdb__mem_free(t.allocator, t.ids.list);
    sdb__mem_free(t.allocator, t.pages);
    sdb__mem_free(t.allocator, t.samples);
    sdb__mem_free(t.allocator, t.sizes);
    sdb__mem_free(t.allocator, t.bytes);
    if (!out_result || (status != SDB_OK && status != SDB_NOTFOUND)) return status;
    size = t.result.size = out_result->size;
    memcpy(out_result, &t.result, size < sizeof t.result ? size : sizeof t.result);
    return status;
}
