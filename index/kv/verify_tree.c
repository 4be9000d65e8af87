/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_tree.c: every tree of a checkpoint, walked from its root by page ids.
 *
 * Idea: one stack of pages, from the root to where the walk is. A node is compared with what its
 * parent said of it (level, fences), a layer's root with what any root must be, and the stack just
 * goes on growing into it.
 *
 *     stack   root  inner  leaf │ root  leaf │ leaf          │ begins a layer: `layer` is one more
 *     there
 *     slots    3 →   0 →    7 → │  1 →   0 → │
 *
 * Invariants: I1 the stack is at most LEVELS_MOST pages a layer and SDB_KEY_MAX / key_most + 1
 *   layers deep. I2 an id is entered once, so a forged circle ends at once. I3 a node whose level
 *   or tree is wrong is not entered.
 * Costs: one read a page, from the system's cache if it is large enough.
 * Not here: reading pages in bulk, what nothing leads to (verify.c).
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/bytes.h"
#include "engine/base/digest.h"
#include "engine/base/mem.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"
#include "index/btree/btree.h"
#include "index/kv/database.h"
#include "index/kv/dict.h"
#include "index/kv/packing.h"
#include "index/kv/verify_run.h"

enum { LEVELS_MOST = 64, PIECE = 1024 * 1024, KEY_SHOWN = 24, TEXT_ROOM = 400 };

/* A tree that the catalog names. */
struct tree {
    uint64_t root;
    uint32_t id;
    bool is_dropped; /* being freed from its end: its right edge may be missing */
    bool is_cut;     /* dropped, and a part of its keyspace's tree: with any fences */
    bool expires;    /* the catalog says that values in it may have an expiry */
    char name[SDB_KEYSPACE_NAME_MAX + 1];
};

struct step {
    uint8_t *page;
    struct node node;
    unsigned next;  /* the slot to go on with */
    unsigned layer; /* layers above it */
};

/* What a node must be, according to what leads to it. */
struct expected {
    uint64_t id, parent; /* parent: the page that leads to it; 0: the catalog or superblock */
    bool is_root;
    unsigned level, layer;
    struct bytes lower, upper;
    bool is_last;        /* no upper fence */
    bool may_end_before; /* the upper fence may be lower than that */
};

struct walk {
    struct verify_run *run;
    const struct tree *tree;
    struct step *steps;
    size_t depth, made; /* steps in use; steps that have a page */
    size_t capacity;
    size_t key_most;
    uint8_t *piece;     /* PIECE bytes of an extent */
    struct tree *trees; /* what the catalog names */
    size_t tree_count, tree_capacity;
    uint64_t next_keyspace;
    uint64_t missing;   /* of this tree: pages that a damaged map has not */
};

/* ---- saying where ------------------------------------------------------------------------- */

/* Appends a key as text: what is no plain character as \xNN, the rest of a long one as dots. */
static void show_key(char *to, size_t room, struct bytes key)
{
    size_t at = strlen(to);

    for (size_t i = 0; i < key.size && i < KEY_SHOWN && at + 8 < room; i++) {
        uint8_t c = key.data[i];

        at += (size_t)snprintf(to + at, room - at,
                               c >= 0x20 && c < 0x7f && c != '\\' && c != '\'' ? "%c" : "\\x%02x",
                               c);
    }
    if (key.size > KEY_SHOWN && at + 4 < room) memcpy(to + at, "...", 4);
}

static void show(char *to, size_t room, const char *before, struct bytes key, const char *after)
{
    size_t at = strlen(to);

    (void)snprintf(to + at, room - at, "%s", before);
    show_key(to, room, key);
    at = strlen(to);
    (void)snprintf(to + at, room - at, "%s", after);
}

/* "keyspace 'users'", with the beginning of the keys of the layer that the walk is in. */
static const char *show_tree(const struct walk *w, unsigned layer, char to[TEXT_ROOM])
{
    uint8_t key[PAGE_SIZE_MOST / 8];

    if (w->tree->id == CATALOG_TREE)
        (void)snprintf(to, TEXT_ROOM, "the catalog");
    else if (w->tree->is_cut)
        (void)snprintf(to, TEXT_ROOM, "what was cut off keyspace %" PRIu32, w->tree->id);
    else if (w->tree->is_dropped)
        (void)snprintf(to, TEXT_ROOM, "dropped keyspace %" PRIu32, w->tree->id);
    else
        (void)snprintf(to, TEXT_ROOM, "keyspace '%s'", w->tree->name);
    for (size_t i = 0; layer && i < w->depth; i++) {
        const struct step *s = &w->steps[i];

        if (s->layer || node_level(s->node)) continue;
        show(to, TEXT_ROOM, " (keys that begin with '",
             (struct bytes){key, sdb__node_key(s->node, s->next - 1, key) - 1}, "')");
        break;
    }
    return to;
}

/* What to do when a part of the tree cannot be read. */
static const char *advice(const struct walk *w)
{
    return w->tree->is_dropped ? "no data is missing, but its space cannot be given back; export "
                                 "to a dump, and import that into a new file, to have it"
                               : "restore a backup";
}

/* "from key 'a' to 'b'" */
static const char *show_range(const struct expected *e, char to[TEXT_ROOM])
{
    const struct bytes none = {NULL, 0};

    to[0] = 0;
    if (e->lower.size) show(to, TEXT_ROOM, "from key '", e->lower, "' ");
    else show(to, TEXT_ROOM, "from the first key ", none, "");
    if (e->is_last) show(to, TEXT_ROOM, "to the last", none, "");
    else show(to, TEXT_ROOM, "to before '", e->upper, "'");
    return to;
}

/* ---- one node ----------------------------------------------------------------------------- */

/*
 * Finds the map entry of an id that should be `kind` and marks it as reached. False: reported, not
 * to be looked at.
 */
static bool reach(struct walk *w, const struct expected *e, enum place_kind kind,
                  const char *what)
{
    struct verify_run *run = w->run;
    char tree[TEXT_ROOM], range[TEXT_ROOM];
    uint64_t place = e->id < run->id_limit ? sdb__map_get(&run->map, e->id).place : 0;

    if (place == 0 && run->map_damaged) {
        w->missing++;
    } else if (place == 0 || place_is_page(place) != (kind == PLACE_PAGE)) {
        sdb__verify_problem(run, "%s: page %" PRIu64 " leads to %s %" PRIu64 ", which does not "
                            "exist: it cannot be read %s; %s", show_tree(w, e->layer, tree),
                            e->parent, what, e->id, show_range(e, range), advice(w));
    } else if (verify_bit(run->reached, e->id)) {
        sdb__verify_problem(run, "%s: %s %" PRIu64 ", to which page %" PRIu64 " leads, is used "
                            "twice: its keys %s are not to be trusted; %s",
                            show_tree(w, e->layer, tree), what, e->id, e->parent,
                            show_range(e, range), advice(w));
    } else {
        verify_set_bit(run->reached, e->id);
        return true;
    }
    run->incomplete = true;
    return false;
}

static bool same(struct bytes a, struct bytes b)
{
    return compare_bytes(a.data, a.size, b.data, b.size) == 0;
}

/* Does a node's own upper fence suit what is expected? */
static bool upper_suits(struct node n, const struct expected *e)
{
    struct bytes upper = node_upper(n);

    if (node_is_last(n)) return e->is_last;
    if (e->is_last) return e->may_end_before;
    if (same(upper, e->upper) || MUTANT(gap_between_nodes_accepted)) return true;
    return e->may_end_before &&
           compare_bytes(upper.data, upper.size, e->upper.data, e->upper.size) < 0;
}

/*
 * NULL, or how a sound node is not the one that its place in the tree asks for. *out_enter: it can
 * be walked.
 */
static const char *judge_node(const struct walk *w, struct node n, const struct expected *e,
                              bool *out_enter)
{
    size_t prefix = node_prefix_size(n);
    struct bytes lower = node_lower(n);

    *out_enter = false;
    if (node_tree(n) != w->tree->id) return "belongs to another tree";
    if (e->is_root ? node_level(n) >= LEVELS_MOST : node_level(n) != e->level)
        return "has the wrong level";
    *out_enter = true;
    if (e->is_root && e->layer == 0 && w->tree->is_cut) return NULL;
    if (!same(lower, e->lower)) return "begins at another key than its parent says";
    if (!upper_suits(n, e)) return "ends at another key than its parent says";
    if (node_level(n) == 0) return NULL;
    if (same(node_suffix(n, 0), (struct bytes){lower.data + prefix, lower.size - prefix}))
        return NULL;
    return "does not begin at its lower bound";
}

/* A step with a page, beyond those in use. */
static sdb_status ready_step(struct walk *w)
{
    const sdb_allocator *allocator = w->run->what->allocator;

    if (w->depth < w->made) return SDB_OK;
    TRY(sdb__mem_reserve(allocator, &w->steps, &w->capacity, w->made + 1, sizeof *w->steps));
    w->steps[w->made] = (struct step){.page = sdb__mem_alloc(allocator, w->run->page_size)};
    if (!w->steps[w->made].page) return SDB_NOMEM;
    w->made++;
    return SDB_OK;
}

/* Reads and judges a node, and puts it on the stack if it can be walked. */
static sdb_status enter(struct walk *w, const struct expected *e)
{
    struct verify_run *run = w->run;
    char room[VERIFY_WRONG_ROOM], tree[TEXT_ROOM], range[TEXT_ROOM];
    const char *wrong;
    struct step *step;
    bool can_enter;

    if (!reach(w, e, PLACE_PAGE, "page")) return SDB_OK;
    TRY(ready_step(w));
    step = &w->steps[w->depth];
    TRY(sdb__verify_page(run, e->id, step->page, room, &wrong));
    TRY(sdb__verify_step(run, 1));
    if (wrong) {
        sdb__verify_problem(run, "page %" PRIu64 " at byte %" PRIu64 " %s: %s cannot be read %s; "
                            "%s", e->id, place_offset(sdb__map_get(&run->map, e->id).place),
                            wrong, show_tree(w, e->layer, tree), show_range(e, range), advice(w));
        run->incomplete = true;
        return SDB_OK;
    }
    step->node = (struct node){step->page, run->page_size};
    step->next = 0;
    step->layer = e->layer;
    wrong = judge_node(w, step->node, e, &can_enter);
    if (wrong)
        sdb__verify_problem(run, "page %" PRIu64 " at byte %" PRIu64 ", to which page %" PRIu64
                            " leads, %s: %s is not to be trusted %s; %s", e->id,
                            place_offset(sdb__map_get(&run->map, e->id).place), e->parent, wrong,
                            show_tree(w, e->layer, tree), show_range(e, range), advice(w));
    if (can_enter) w->depth++;
    else run->incomplete = true;
    return SDB_OK;
}

/* ---- what stands in leaves ---------------------------------------------------------------- */

/* Reads an extent in pieces. *out_wrong: NULL, or what is wrong with it. */
static sdb_status read_extent(struct walk *w, struct map_entry at, uint64_t size,
                              char room[VERIFY_WRONG_ROOM], const char **out_wrong)
{
    struct verify_run *run = w->run;
    uint64_t page_size = run->page_size;
    struct digest digest;

    *out_wrong = NULL;
    sdb__digest_begin(&digest);
    for (uint64_t done = 0; done < size; done += PIECE) {
        struct io_op op = {.file = run->what->file, .memory = w->piece, .kind = IO_READ,
                           .offset = place_offset(at.place) + done,
                           .size = size - done < PIECE ? (size_t)(size - done) : PIECE};

        (void)!sdb__io_run(run->queue, &op, 1);
        if (op.status == SDB_NOMEM) return SDB_NOMEM;
        if (op.status != SDB_OK || op.done < op.size) {
            if (op.status != SDB_OK) (void)sdb__io_fail(&op);
            (void)snprintf(room, VERIFY_WRONG_ROOM, "cannot be read (%s)",
                           op.status != SDB_OK ? sdb_errmsg() : "the file ends in it");
            *out_wrong = room;
            return SDB_OK;
        }
        sdb__digest_add(&digest, w->piece, op.size);
        TRY(sdb__verify_step(run, (op.size + page_size - 1) / page_size));
    }
    if (sdb__digest_end(&digest) != at.checksum)
        *out_wrong = "is damaged (its checksum does not match)";
    return SDB_OK;
}

/* Reads an extent, unless it is known to be sound with just that many bytes. */
static sdb_status judge_extent(struct walk *w, uint64_t id, uint64_t size,
                               char room[VERIFY_WRONG_ROOM], const char **out_wrong)
{
    struct verify_run *run = w->run;
    struct map_entry at = sdb__map_get(&run->map, id);
    const struct verify_run *known = verify_known(run, id);
    uint16_t mark = (uint16_t)(1 + place_bytes(at.place) - size);

    *out_wrong = NULL;
    if (!known || (known->extents[id] != mark && !MUTANT(extent_known_by_its_place)))
        TRY(read_extent(w, at, size, room, out_wrong));
    if (!*out_wrong && run->extents) run->extents[id] = mark;
    return SDB_OK;
}

static sdb_status check_extent(struct walk *w, const struct step *leaf, struct bytes key,
                               uint64_t id, uint64_t size)
{
    struct verify_run *run = w->run;
    struct expected e = {.id = id, .parent = node_id(leaf->node), .layer = leaf->layer,
                         .lower = key, .upper = key};
    char tree[TEXT_ROOM], text[TEXT_ROOM] = "", room[VERIFY_WRONG_ROOM];
    struct map_entry at;
    const char *wrong;

    if (!reach(w, &e, PLACE_EXTENT, "extent")) return SDB_OK;
    at = sdb__map_get(&run->map, id);
    if (size == 0 || size > SDB_VALUE_MAX ||
        place_blocks(at.place) != (size + SPACE_BLOCK - 1) / SPACE_BLOCK)
        wrong = "has not the size that its key gives";
    else
        TRY(judge_extent(w, id, size, room, &wrong));
    if (!wrong) {
        run->result.extents++;
        return SDB_OK;
    }
    show(text, sizeof text, "'", key, "'");
    sdb__verify_problem(run, "extent %" PRIu64 " at byte %" PRIu64 " %s: %s, the value of key %s "
                        "(%" PRIu64 " bytes) cannot be read; restore a backup, or set it anew", id,
                        place_offset(at.place), wrong, show_tree(w, leaf->layer, tree), text,
                        size);
    return SDB_OK;
}

static sdb_status catalog_problem(struct walk *w, struct bytes key, const char *what)
{
    char text[TEXT_ROOM] = "";

    show(text, sizeof text, "'", key, "'");
    sdb__verify_problem(w->run, "the catalog: entry %s %s: the database cannot be opened; restore "
                        "a backup", text, what);
    w->run->incomplete = true;
    return SDB_OK;
}

/* Judges a catalog entry that leads to a dictionary, and its extent. */
static sdb_status dict_entry(struct walk *w, const struct step *leaf, struct bytes key,
                             enum node_kind kind, struct bytes value)
{
    const struct dictionary *d;
    sdb_status status;
    uint32_t keyspace, number;
    const char *wrong = sdb__verify_dict(w->run, key, kind, value, &keyspace);
    bool known = false;

    if (wrong) return catalog_problem(w, key, wrong);
    for (size_t i = 0; i < w->tree_count && !known; i++) /* "z" comes behind "d" and "k" */
        known = w->trees[i].id == keyspace && !w->trees[i].is_cut;
    if (!known && !w->run->incomplete)
        return catalog_problem(w, key, "is a dictionary of no keyspace");
    (void)sdb__dict_parse(key, &keyspace, &number);
    TRY(check_extent(w, leaf, key, get_u64(value.data), get_u64(value.data + 8)));
    d = sdb__dictionaries_find(&w->run->dictionaries, number);
    status = d ? sdb__dictionary_ready(d) : SDB_OK;
    if (status == SDB_NOMEM) return status;
    if (status != SDB_OK)
        sdb__verify_problem(w->run, "dictionary %" PRIu32 " of keyspace %" PRIu32 " is damaged: "
                            "what was compressed with it cannot be read; restore a backup", number,
                            keyspace);
    return SDB_OK;
}

/* Takes over that a keyspace may have values with an expiry. */
static sdb_status expiry_entry(struct walk *w, struct bytes key)
{
    uint32_t id = be32toh(get_u32(key.data + 1));

    if (!(w->run->superblock.features & FEATURE_EXPIRY))
        return catalog_problem(w, key, "stands there though the superblock knows of no expiries");
    for (size_t i = 0; i < w->tree_count; i++) { /* they stand before it */
        if (w->trees[i].id != id || w->trees[i].is_dropped) continue;
        w->trees[i].expires = true;
        return SDB_OK;
    }
    if (w->run->incomplete) return SDB_OK;
    return catalog_problem(w, key, "is of a keyspace that is not there");
}

/* Takes over a catalog entry. */
static sdb_status catalog_entry(struct walk *w, struct bytes key, enum node_kind kind,
                                struct bytes value)
{
    struct tree tree = {0};
    uint32_t packing;

    if (kind != NODE_INLINE || key.size == 0) return catalog_problem(w, key, "has no known form");
    if (key.data[0] == 'n' && key.size == 1 && value.size == 4) {
        w->next_keyspace = get_u32(value.data);
        return SDB_OK;
    }
    if (key.data[0] == 'k' && key.size > 1 && key.size <= SDB_KEYSPACE_NAME_MAX + 1 &&
        value.size == CATALOG_VALUE) {
        if (sdb__keyspace_judge_name((struct bytes){key.data + 1, key.size - 1}))
            return catalog_problem(w, key, "is no name");
        tree.id = get_u32(value.data);
        tree.root = get_u64(value.data + 8);
        memcpy(tree.name, key.data + 1, key.size - 1);
        packing = get_u32(value.data + 4);
        if (!sdb__packing_is_known(packing) ||
            (packing && !(w->run->superblock.features & FEATURE_PACKING)) ||
            get_u64(value.data + 16) > w->run->superblock.commit)
            return catalog_problem(w, key, "has an impossible value");
        w->run->result.keyspaces++;
    } else if (key.data[0] == 'd' && key.size == 5 && value.size == 8) {
        tree.id = (uint32_t)key.data[1] << 24 | (uint32_t)key.data[2] << 16 |
                  (uint32_t)key.data[3] << 8 | key.data[4];
        tree.root = get_u64(value.data);
        tree.is_dropped = true;
    } else if (key.data[0] == 'c' && key.size == 9 && value.size == 4) {
        tree.id = get_u32(value.data);
        tree.root = be64toh(get_u64(key.data + 1));
        tree.is_dropped = tree.is_cut = true;
    } else if (key.data[0] == 't' && key.size == 5 && value.size == 8) {
        return expiry_entry(w, key);
    } else {
        return catalog_problem(w, key, "has no known form");
    }
    TRY(sdb__mem_reserve(w->run->what->allocator, &w->trees, &w->tree_capacity,
                         w->tree_count + 1, sizeof *w->trees));
    w->trees[w->tree_count++] = tree;
    return SDB_OK;
}

/* Looks at what stands in one slot of a leaf; a layer is entered. */
static sdb_status leaf_slot(struct walk *w, unsigned slot)
{
    struct step *leaf = &w->steps[w->depth - 1];
    uint8_t room[PAGE_SIZE_MOST / 8];
    struct bytes key = {room, sdb__node_key(leaf->node, slot, room)}, payload;
    enum node_kind kind;
    char text[TEXT_ROOM] = "", tree[TEXT_ROOM];

    payload = node_payload(leaf->node, slot, &kind);
    if (w->tree->id == CATALOG_TREE && key.size && key.data[0] == 'z')
        return dict_entry(w, leaf, key, kind, payload);
    if (w->tree->id == CATALOG_TREE) return catalog_entry(w, key, kind, payload);
    if (kind == NODE_LAYER && room[key.size - 1] == 0 &&
        (leaf->layer + 1) * w->key_most < SDB_KEY_MAX) {
        struct expected e = {.id = get_u64(payload.data), .parent = node_id(leaf->node),
                             .is_root = true, .layer = leaf->layer + 1, .is_last = true};

        return enter(w, &e);
    }
    if (kind == NODE_LAYER || leaf->layer * w->key_most + key.size > SDB_KEY_MAX) {
        show(text, sizeof text, "'", key, "'");
        sdb__verify_problem(w->run, "page %" PRIu64 ": %s has an impossible key %s: restore a "
                            "backup", node_id(leaf->node), show_tree(w, leaf->layer, tree), text);
        w->run->incomplete = true;
        return SDB_OK;
    }
    if (!w->tree->is_dropped) w->run->result.entries++;
    if (node_take_expiry(&kind, &payload) && !w->tree->expires && !w->tree->is_dropped) {
        show(text, sizeof text, "'", key, "'");
        sdb__verify_problem(w->run, "page %" PRIu64 ": %s has a value with an expiry, of key %s, "
                            "though the catalog says that it has none: it is never removed; set "
                            "the key anew", node_id(leaf->node), show_tree(w, leaf->layer, tree),
                            text);
    }
    if (kind == NODE_EXTENT)
        return check_extent(w, leaf, key, get_u64(payload.data), get_u64(payload.data + 8));
    return SDB_OK;
}

/* ---- one tree ----------------------------------------------------------------------------- */

/* Goes into the next child of the inner node on top of the stack. */
static sdb_status inner_slot(struct walk *w, unsigned slot)
{
    struct step *step = &w->steps[w->depth - 1];
    struct node n = step->node;
    uint8_t lower[PAGE_SIZE_MOST / 8], upper[PAGE_SIZE_MOST / 8];
    struct expected e = {.id = node_child(n, slot), .parent = node_id(n),
                         .level = node_level(n) - 1, .layer = step->layer};
    bool is_end = slot + 1 == node_count(n);

    e.lower = (struct bytes){lower, sdb__node_key(n, slot, lower)};
    e.upper = is_end ? node_upper(n) : (struct bytes){upper, sdb__node_key(n, slot + 1, upper)};
    e.is_last = is_end && node_is_last(n);
    e.may_end_before = is_end && w->tree->is_dropped;
    return enter(w, &e);
}

static sdb_status walk_tree(struct walk *w, const struct tree *tree)
{
    struct expected root = {.id = tree->root, .is_root = true, .is_last = true};
    char text[TEXT_ROOM];
    sdb_status status;

    w->tree = tree;
    w->missing = 0;
    w->depth = 0;
    status = enter(w, &root);
    while (status == SDB_OK && w->depth) {
        struct step *step = &w->steps[w->depth - 1];
        unsigned slot = step->next++;

        if (slot >= node_count(step->node)) w->depth--;
        else if (node_level(step->node)) status = inner_slot(w, slot);
        else status = leaf_slot(w, slot);
    }
    if (status == SDB_OK && w->missing)
        sdb__verify_problem(w->run, "%s: %" PRIu64 " parts of it cannot be found, since the page "
                            "map is damaged: restore a backup", show_tree(w, 0, text),
                            w->missing);
    return status;
}

static int compare_trees(const void *a, const void *b)
{
    const struct tree *x = a, *y = b;

    if (x->id != y->id) return x->id < y->id ? -1 : 1;
    return x->is_cut - y->is_cut; /* the keyspace itself comes first */
}

/* Reports keyspace numbers that cannot be. */
static void judge_trees(struct walk *w)
{
    if (w->tree_count) qsort(w->trees, w->tree_count, sizeof *w->trees, compare_trees);
    for (size_t i = 0; i < w->tree_count; i++) {
        const struct tree *tree = &w->trees[i];

        if (tree->id == CATALOG_TREE || tree->id >= w->next_keyspace)
            sdb__verify_problem(w->run, "the catalog: keyspace '%s' has the impossible number %"
                                PRIu32 ": the database cannot be opened; restore a backup",
                                tree->name, tree->id);
        if (i && tree->id == w->trees[i - 1].id && !tree->is_cut)
            sdb__verify_problem(w->run, "the catalog: keyspaces '%s' and '%s' have the same number "
                                "%" PRIu32 ": the database cannot be opened; restore a backup",
                                w->trees[i - 1].name, tree->name, tree->id);
    }
}

sdb_status sdb__verify_trees(struct verify_run *run)
{
    const sdb_allocator *allocator = run->what->allocator;
    struct tree catalog = {.root = run->superblock.catalog_root, .id = CATALOG_TREE};
    struct walk w = {.run = run, .key_most = btree_key_most(run->page_size)};
    sdb_status status;

    w.piece = sdb__mem_alloc(allocator, PIECE);
    status = w.piece ? walk_tree(&w, &catalog) : SDB_NOMEM;
    if (status == SDB_OK && !run->incomplete) judge_trees(&w);
    for (size_t i = 0; status == SDB_OK && i < w.tree_count; i++)
        status = walk_tree(&w, &w.trees[i]);
    for (size_t i = 0; i < w.made; i++) sdb__mem_free(allocator, w.steps[i].page);
    sdb__mem_free(allocator, w.steps);
    sdb__mem_free(allocator, w.trees);
    sdb__mem_free(allocator, w.piece);
    return status;
}
