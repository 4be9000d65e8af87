/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_dict.c: the dictionaries of a checkpoint, found before its pages can be read.
 *
 * Idea: the catalog's own pages are packed without dictionaries, so its tree can be read first. It
 * is looked through for entries "z"; what is wrong with it is told by the walk that follows.
 * Invariants: I1 a page is looked at once, and only below one of a higher level, so any bytes end.
 * Costs: the catalog's pages are read once more. Not here: what is judged of the entries' trees.
 */
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/digest.h"
#include "engine/base/mem.h"
#include "engine/base/status.h"
#include "index/kv/dict.h"
#include "index/kv/verify_run.h"

struct search {
    struct verify_run *run;
    uint64_t *seen;     /* one bit an id */
    uint64_t *ids;      /* of pages still to be looked at */
    uint8_t *levels;    /* that they must be below */
    size_t count, id_capacity, level_capacity;
    uint8_t *page, *bytes; /* one page; a dictionary */
    bool too_many;         /* and said so */
};

const char *sdb__verify_dict(struct verify_run *run, struct bytes key, enum node_kind kind,
                             struct bytes value, uint32_t *out_keyspace)
{
    const struct dictionary *d;
    uint32_t number;
    uint64_t size;

    if (kind != NODE_EXTENT || !sdb__dict_parse(key, out_keyspace, &number))
        return "has no known form";
    size = get_u64(value.data + 8);
    if (size < DICTIONARY_LEAST || size > DICTIONARY_MOST ||
        !(run->superblock.features & FEATURE_DICTIONARIES))
        return "has an impossible value";
    d = sdb__dictionaries_find(&run->dictionaries, number);
    if (d && d->size != size) return "has the number of another dictionary";
    return NULL;
}

/* Reads the dictionary of an entry. What is not good is known to be damaged. */
static sdb_status take(struct search *s, struct bytes key, enum node_kind kind,
                       struct bytes value)
{
    struct verify_run *run = s->run;
    struct io_op op = {.file = run->what->file, .memory = s->bytes, .kind = IO_READ};
    uint32_t keyspace, number;
    struct map_entry at;
    sdb_status status;
    bool good;

    if (sdb__verify_dict(run, key, kind, value, &keyspace)) return SDB_OK;
    (void)sdb__dict_parse(key, &keyspace, &number);
    op.size = (size_t)get_u64(value.data + 8);
    if (s->too_many) return SDB_OK;
    if (!sdb__dictionaries_have_room(&run->dictionaries, op.size)) {
        s->too_many = true;
        sdb__verify_problem(run, "the catalog: its dictionaries count for more than %u bytes: the "
                            "database cannot be opened; restore a backup", DICTIONARIES_MOST);
        return SDB_OK;
    }
    at = get_u64(value.data) < run->id_limit ? sdb__map_get(&run->map, get_u64(value.data))
                                             : (struct map_entry){0, 0};
    op.offset = place_offset(at.place);
    good = at.place && place_kind(at.place) == PLACE_EXTENT && place_bytes(at.place) >= op.size;
    if (good) {
        (void)!sdb__io_run(run->queue, &op, 1);
        if (op.status == SDB_NOMEM) return SDB_NOMEM;
        good = op.status == SDB_OK && op.done == op.size &&
               sdb__digest(s->bytes, op.size, 0) == at.checksum;
    }
    status = sdb__dictionaries_add(&run->dictionaries, number, good ? s->bytes : NULL, op.size, 0,
                                   NULL);
    if (status == SDB_EXISTS)
        sdb__verify_problem(run, "the catalog: two dictionaries have the number %u: the database "
                            "cannot be opened; restore a backup", number);
    return status == SDB_NOMEM ? SDB_NOMEM : SDB_OK;
}

static sdb_status push(struct search *s, uint64_t id, unsigned level)
{
    const sdb_allocator *allocator = s->run->what->allocator;

    if (id >= s->run->id_limit || verify_bit(s->seen, id)) return SDB_OK;
    verify_set_bit(s->seen, id);
    TRY(sdb__mem_reserve(allocator, &s->ids, &s->id_capacity, s->count + 1, sizeof *s->ids));
    TRY(sdb__mem_reserve(allocator, &s->levels, &s->level_capacity, s->count + 1, 1));
    s->ids[s->count] = id;
    s->levels[s->count++] = (uint8_t)level;
    return SDB_OK;
}

/* Looks at one page of the catalog. */
static sdb_status look(struct search *s, uint64_t id, unsigned below)
{
    struct node n = {s->page, s->run->page_size};
    char room[VERIFY_WRONG_ROOM];
    uint8_t key[PAGE_SIZE_MOST / 8];
    const char *wrong;

    if (!place_is_page(sdb__map_get(&s->run->map, id).place)) return SDB_OK;
    TRY(sdb__verify_page(s->run, id, s->page, room, &wrong));
    if (wrong || node_tree(n) != CATALOG_TREE || node_level(n) >= below) return SDB_OK;
    for (unsigned i = 0; i < node_count(n); i++) {
        size_t size = sdb__node_key(n, i, key);
        enum node_kind kind;

        if (node_level(n)) {
            TRY(push(s, node_child(n, i), node_level(n)));
        } else if (size && key[0] == 'z') {
            struct bytes value = node_payload(n, i, &kind);

            TRY(take(s, (struct bytes){key, size}, kind, value));
        }
    }
    return SDB_OK;
}

sdb_status sdb__verify_dictionaries(struct verify_run *run)
{
    const sdb_allocator *allocator = run->what->allocator;
    struct search s = {.run = run};
    sdb_status status = SDB_NOMEM;

    if (!(run->superblock.features & FEATURE_DICTIONARIES)) return SDB_OK;
    s.seen = sdb__mem_zalloc(allocator, (size_t)(run->id_limit / 64 + 1), sizeof *s.seen);
    s.page = sdb__mem_alloc(allocator, run->page_size);
    s.bytes = sdb__mem_alloc(allocator, DICTIONARY_MOST);
    if (s.seen && s.page && s.bytes) status = push(&s, run->superblock.catalog_root, UINT8_MAX);
    while (status == SDB_OK && s.count) {
        s.count--;
        status = look(&s, s.ids[s.count], s.levels[s.count]);
    }
    sdb__mem_free(allocator, s.ids);
    sdb__mem_free(allocator, s.levels);
    sdb__mem_free(allocator, s.bytes);
    sdb__mem_free(allocator, s.page);
    sdb__mem_free(allocator, s.seen);
    return status;
}
