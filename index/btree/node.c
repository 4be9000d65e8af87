/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node.c
 *
 * Idea: a slotted page whose slots carry the first four bytes of each key, so that a search touches
 * cells only where heads tie. Many tie where keys begin alike and no fences tell it: in a root, in
 * the last node of a level. There a search goes by the first bytes in which they differ. Removing
 * leaves a hole; holes are closed when room is needed.
 * Invariants: I1 slots are in strict key order. I2 heap is the lowest cell; wasted counts the bytes
 *   between heap and fences that no cell owns. I3 the prefix is the longest common one of the
 *   fences (0 without an upper one).
 * Costs: search O(log count) integer comparisons, one or two memcmp; insert moves 4 × count bytes
 * on average.
 * Source: Graefe, Modern B-Tree Techniques 2011 (fences, truncation, poor man's normalised keys).
 * Not here: which page to split or merge.
 */
#include "index/btree/node.h"

#include "engine/base/mutant.h"

#include <assert.h>
#include <string.h>

#include "engine/pager/superblock.h"

enum { FLAG_LAST = 1, NARROWED = 4 };

static uint32_t get_heap(struct node n)
{
    return get_u32(n.data + 4);
}

void sdb__node_init(struct node n, unsigned level, uint32_t tree, uint64_t id, struct bytes lower,
                    const struct bytes *upper)
{
    size_t prefix = 0, upper_size = upper ? upper->size : 0;

    if (upper)
        while (prefix < lower.size && prefix < upper_size &&
               lower.data[prefix] == upper->data[prefix])
            prefix++;
    memset(n.data, 0, n.size); /* what stood here before, on a stack perhaps, goes to no file */
    n.data[0] = (uint8_t)level;
    n.data[1] = upper ? 0 : FLAG_LAST;
    put_u32(n.data + 4, (uint32_t)(n.size - lower.size - upper_size));
    put_u16(n.data + 12, (uint16_t)prefix);
    put_u16(n.data + 14, (uint16_t)lower.size);
    put_u16(n.data + 16, (uint16_t)upper_size);
    put_u32(n.data + 20, tree);
    put_u64(n.data + 24, id);
    if (lower.size) memcpy(n.data + n.size - lower.size, lower.data, lower.size);
    if (upper_size)
        memcpy(n.data + n.size - lower.size - upper_size, upper->data, upper_size);
}

/* The first slot from `low` on, before `high`, whose head is >= head. Without branches to guess. */
static unsigned search_heads(struct node n, uint32_t head, unsigned low, unsigned high)
{
    unsigned count = high - low;

    while (count > 1) {
        unsigned half = count / 2;

        low += get_u32(node_slot(n, low + half - 1)) < head ? half : 0;
        count -= half;
    }
    return low + (count && get_u32(node_slot(n, low)) < head);
}

/* How many bytes two strings begin with in common. */
static size_t common_size(struct bytes a, struct bytes b)
{
    size_t most = a.size < b.size ? a.size : b.size, i = 0;
    uint64_t x, y;

    for (; i + 8 <= most; i += 8) {
        memcpy(&x, a.data + i, 8);
        memcpy(&y, b.data + i, 8);
        if (x != y) break;
    }
    while (i < most && a.data[i] == b.data[i]) i++;
    return i;
}

/*
 * The first eight bytes as a number that orders as they do; missing ones 0. `readable`: there are
 * eight, be they others'.
 */
static uint64_t make_word(const uint8_t *from, size_t size, bool readable)
{
    uint64_t v = 0;

    if (size == 0) return 0;
    if (size >= 8 || readable) {
        memcpy(&v, from, 8);
        v = be64toh(v);
        return size >= 8 ? v : v & UINT64_MAX << (64 - 8 * size);
    }
    for (size_t i = 0; i < size; i++) v |= (uint64_t)from[i] << (56 - 8 * i);
    return v;
}

/* The same of slot i's suffix behind its first `skip` bytes. */
static uint64_t word_behind(struct node n, unsigned i, size_t skip)
{
    struct bytes s = node_suffix(n, i);

    if (s.size <= skip) return 0;
    s.data += skip;
    return make_word(s.data, s.size - skip, (size_t)(s.data - n.data) + 8 <= n.size);
}

/*
 * Narrows slots [low, high), among which the first with a suffix >= `suffix` is sought, to those
 * that only a comparison can tell from it. What all of them begin with is compared once; then eight
 * bytes of each, without branches to guess.
 */
static void narrow(struct node n, struct bytes suffix, unsigned *low, unsigned *high)
{
    struct bytes first = node_suffix(n, *low);
    size_t skip = common_size(first, node_suffix(n, *high - 1));
    size_t common = suffix.size < skip ? suffix.size : skip;
    int order = common ? memcmp(suffix.data, first.data, common) : 0;
    unsigned count = *high - *low, at = *low;
    uint64_t word;

    if (order || common < skip) {
        if (order > 0)
            *low = *high;
        else
            *high = *low;
        return;
    }
    word = make_word(skip ? suffix.data + skip : suffix.data, suffix.size - skip, false);
    while (count > 1) {
        unsigned half = count / 2;

        at += word_behind(n, at + half - 1, skip) < word ? half : 0;
        count -= half;
    }
    at += word_behind(n, at, skip) < word;
    *low = at;
    if (at < *high && word_behind(n, at, skip) > word)
        *high = at;
    else if (at + 1 < *high && (word_behind(n, at + 1, skip) > word || MUTANT(words_for_keys)))
        *high = at + 1;
}

/* The first slot whose suffix is >= suffix, of which slot `low` is the first with the same head. */
static unsigned search_tie(struct node n, struct bytes suffix, unsigned low, bool *out_found)
{
    unsigned count = node_count(n), high = low + 1;
    uint32_t head = node_head(suffix);

    if (high < count && get_u32(node_slot(n, high)) == head)
        high = head == UINT32_MAX ? count : search_heads(n, head + 1, low, count);
    if (high - low >= NARROWED) narrow(n, suffix, &low, &high);
    while (low < high) {
        unsigned middle = (low + high) / 2;
        struct bytes s = node_suffix(n, middle);
        int order = compare_bytes(s.data, s.size, suffix.data, suffix.size);

        if (order == 0) {
            *out_found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/*
 * The heads, which stand together, come first: where one is the same, its cell is asked for before
 * the prefix, which stands apart too, is waited for.
 */
unsigned sdb__node_search(struct node n, struct bytes key, bool *out_found)
{
    size_t prefix = node_prefix_size(n), common = key.size < prefix ? key.size : prefix;
    struct bytes suffix = {common ? key.data + common : key.data, key.size - common};
    unsigned count = node_count(n), low = search_heads(n, node_head(suffix), 0, count);
    bool ties = low < count && get_u32(node_slot(n, low)) == node_head(suffix);
    int order = 0;

    *out_found = false;
    if (ties) node_ask(n, low);
    if (common) order = memcmp(key.data, node_lower(n).data, common);
    if (order != 0 || key.size < prefix) /* before or behind every key here */
        return order <= 0 ? 0 : count;
    return ties ? search_tie(n, suffix, low, out_found) : low;
}

unsigned sdb__node_guess(struct node n, struct bytes key)
{
    size_t prefix = node_prefix_size(n);

    if (key.size < prefix) return 0;
    if (prefix) key = (struct bytes){key.data + prefix, key.size - prefix};
    return search_heads(n, node_head(key), 0, node_count(n));
}

unsigned sdb__node_route(struct node n, struct bytes key, bool before)
{
    bool found;
    unsigned i = sdb__node_search(n, key, &found);

    if (found && !before) return i;
    return i ? i - 1 : 0;
}

/* Bytes between the slots and the heap. */
static size_t gap(struct node n)
{
    return get_heap(n) - NODE_HEADER - (size_t)node_count(n) * NODE_SLOT;
}

size_t sdb__node_room(struct node n)
{
    return gap(n) + get_u32(n.data + 8);
}

size_t sdb__node_used(struct node n)
{
    return n.size - NODE_HEADER - node_fence_bytes(n) - sdb__node_room(n);
}

/* Bytes of a cell. */
static size_t cell_size(struct node n, unsigned i)
{
    struct bytes s = node_suffix(n, i);

    if (node_level(n)) return s.size + NODE_CHILD;
    return s.size + NODE_VALUE_HEAD + (get_u16(s.data + s.size) & 0x3fff);
}

/* Closes the holes between cells. */
static void compact(struct node n)
{
    uint8_t copy[PAGE_SIZE_MOST];
    uint32_t heap = (uint32_t)(n.size - node_fence_bytes(n));

    memcpy(copy, n.data, n.size);
    for (unsigned i = 0; i < node_count(n); i++) {
        uint8_t *slot = n.data + NODE_HEADER + (size_t)i * NODE_SLOT;
        struct node old = {copy, n.size};
        size_t size = cell_size(old, i);

        heap -= (uint32_t)size;
        memcpy(n.data + heap, copy + get_u16(slot + 4), size);
        put_u16(slot + 4, (uint16_t)heap);
    }
    put_u32(n.data + 4, heap);
    put_u32(n.data + 8, 0);
}

/* Writes a cell at the heap's lower end and slot i to it; slots from i on have been moved. */
static void write_cell(struct node n, unsigned i, struct bytes suffix, enum node_kind kind,
                       struct bytes payload)
{
    size_t size = suffix.size + payload.size + (node_level(n) ? 0 : NODE_VALUE_HEAD);
    uint32_t heap = get_heap(n) - (uint32_t)size;
    uint8_t *cell = n.data + heap, *slot = n.data + NODE_HEADER + (size_t)i * NODE_SLOT;

    if (suffix.size) memcpy(cell, suffix.data, suffix.size);
    cell += suffix.size;
    if (!node_level(n)) {
        put_u16(cell, (uint16_t)((unsigned)kind << 14 | payload.size));
        cell += NODE_VALUE_HEAD;
    }
    if (payload.size) memcpy(cell, payload.data, payload.size);
    put_u32(slot, node_head(suffix));
    put_u16(slot + 4, (uint16_t)heap);
    put_u16(slot + 6, (uint16_t)suffix.size);
    put_u32(n.data + 4, heap);
}

void sdb__node_insert(struct node n, unsigned i, struct bytes key, enum node_kind kind,
                      struct bytes payload)
{
    size_t prefix = node_prefix_size(n);
    struct bytes suffix = {prefix ? key.data + prefix : key.data, key.size - prefix};
    size_t need = NODE_SLOT + suffix.size + payload.size + (node_level(n) ? 0 : NODE_VALUE_HEAD);
    unsigned count = node_count(n);
    uint8_t *slot = n.data + NODE_HEADER + (size_t)i * NODE_SLOT;

    assert(key.size >= prefix && i <= count && need <= sdb__node_room(n));
    if (gap(n) < need) compact(n);
    memmove(slot + NODE_SLOT, slot, (size_t)(count - i) * NODE_SLOT);
    put_u16(n.data + 2, (uint16_t)(count + 1));
    write_cell(n, i, suffix, kind, payload);
}

/* Gives a cell's bytes up. */
static void waste_cell(struct node n, unsigned i)
{
    size_t size = cell_size(n, i);
    uint32_t at = get_u16(node_slot(n, i) + 4);

    if (at == get_heap(n))
        put_u32(n.data + 4, at + (uint32_t)size);
    else
        put_u32(n.data + 8, get_u32(n.data + 8) + (uint32_t)size);
}

void sdb__node_remove(struct node n, unsigned i)
{
    unsigned count = node_count(n);
    uint8_t *slot = n.data + NODE_HEADER + (size_t)i * NODE_SLOT;

    assert(i < count);
    waste_cell(n, i);
    memmove(slot, slot + NODE_SLOT, (size_t)(count - i - 1) * NODE_SLOT);
    put_u16(n.data + 2, (uint16_t)(count - 1));
}

void sdb__node_replace(struct node n, unsigned i, enum node_kind kind, struct bytes payload)
{
    enum node_kind old_kind;
    struct bytes old = node_payload(n, i, &old_kind), suffix = node_suffix(n, i);
    uint8_t kept[PAGE_SIZE_MOST / 8];
    struct bytes key;

    if (old.size == payload.size) {
        uint8_t *to = n.data + (old.data - n.data);

        put_u16(to - NODE_VALUE_HEAD, (uint16_t)((unsigned)kind << 14 | payload.size));
        if (payload.size) memcpy(to, payload.data, payload.size);
        return;
    }
    memcpy(kept, node_lower(n).data, node_prefix_size(n));
    memcpy(kept + node_prefix_size(n), suffix.data, suffix.size);
    key = (struct bytes){kept, node_prefix_size(n) + suffix.size};
    sdb__node_remove(n, i);
    sdb__node_insert(n, i, key, kind, payload);
}

void sdb__node_set_child(struct node n, unsigned i, uint64_t child)
{
    struct bytes s = node_suffix(n, i);

    put_u64(n.data + (s.data - n.data) + s.size, child);
}

size_t sdb__node_key(struct node n, unsigned i, uint8_t *to)
{
    size_t prefix = node_prefix_size(n);
    struct bytes s = node_suffix(n, i);

    memcpy(to, node_lower(n).data, prefix);
    memcpy(to + prefix, s.data, s.size);
    return prefix + s.size;
}

bool sdb__node_copy(struct node n, struct node source, unsigned from, unsigned to)
{
    uint8_t key[PAGE_SIZE_MOST / 8];

    for (unsigned i = from; i < to; i++) {
        size_t size = sdb__node_key(source, i, key);
        enum node_kind kind = NODE_INLINE;
        struct bytes payload, suffix = node_suffix(source, i);
        size_t need;

        if (node_level(source))
            payload = (struct bytes){suffix.data + suffix.size, NODE_CHILD};
        else
            payload = node_payload(source, i, &kind);
        need = NODE_SLOT + size - node_prefix_size(n) + payload.size +
               (node_level(n) ? 0 : NODE_VALUE_HEAD);
        if (need > gap(n)) return false;
        sdb__node_insert(n, node_count(n), (struct bytes){key, size}, kind, payload);
    }
    return true;
}

/* Has a leaf cell's payload a form that its kind can have? */
static bool is_known_form(unsigned kind, struct bytes payload)
{
    if (kind == NODE_INLINE) return true;
    if (kind == NODE_EXTENT) return payload.size == 16;
    if (kind == NODE_LAYER) return payload.size == NODE_CHILD;
    if (payload.size < NODE_EXPIRY_HEAD || get_u64(payload.data + 1) == 0) return false;
    return payload.data[0] == NODE_INLINE ||
           (payload.data[0] == NODE_EXTENT && payload.size == NODE_EXPIRY_HEAD + 16);
}

/* NULL, or what is wrong with a cell. */
static const char *verify_cell(struct node n, unsigned i, size_t slots_end, size_t cells_end,
                               size_t *out_size)
{
    const uint8_t *slot = node_slot(n, i);
    size_t at = get_u16(slot + 4), suffix = get_u16(slot + 6), size;
    struct bytes payload;
    unsigned head;

    size = suffix + (node_level(n) ? NODE_CHILD : NODE_VALUE_HEAD);
    if (at < slots_end || at + size > cells_end) return "a cell lies outside the page";
    if (node_prefix_size(n) + suffix > n.size / 16 + 1) return "a key is too long";
    if (!node_level(n)) {
        head = get_u16(n.data + at + suffix);
        size += head & 0x3fff;
        if (at + size > cells_end) return "a value lies outside the page";
        payload = (struct bytes){n.data + at + suffix + NODE_VALUE_HEAD, head & 0x3fff};
        if (!is_known_form(head >> 14, payload) ||
            (head >> 14 == NODE_LAYER) != (node_prefix_size(n) + suffix == n.size / 16 + 1))
            return "a value has an unknown form";
    }
    if (get_u32(slot) != node_head((struct bytes){n.data + at, suffix}))
        return "a slot's head is not its key's";
    *out_size = size;
    return NULL;
}

/* Are the first and the last key of a node, which are in order, between its fences? */
static bool is_between_fences(struct node n)
{
    size_t prefix = node_prefix_size(n);
    struct bytes lower = node_lower(n), upper = node_upper(n), s;

    if (node_count(n) == 0) return true;
    s = node_suffix(n, 0);
    if (compare_bytes(s.data, s.size, lower.data + prefix, lower.size - prefix) < 0) return false;
    s = node_suffix(n, node_count(n) - 1);
    return node_is_last(n) ||
           compare_bytes(s.data, s.size, upper.data + prefix, upper.size - prefix) < 0;
}

const char *sdb__node_verify(const uint8_t *data, uint32_t page_size, uint64_t id)
{
    struct node n = {(uint8_t *)(uintptr_t)data, page_size};
    size_t slots_end = NODE_HEADER + (size_t)node_count(n) * NODE_SLOT, cells = 0, size = 0;
    size_t cells_end, prefix = 0;
    struct bytes lower, upper;

    if (get_u16(data + 14) > page_size / 16 + 1 || get_u16(data + 16) > page_size / 16 + 1)
        return "a fence is too long";
    cells_end = page_size - node_fence_bytes(n);
    if (node_id(n) != id) return "it is another page";
    if (get_heap(n) > cells_end || slots_end > get_heap(n)) return "its heap lies outside the page";
    lower = node_lower(n);
    upper = node_upper(n);
    while (!node_is_last(n) && prefix < lower.size && prefix < upper.size &&
           lower.data[prefix] == upper.data[prefix])
        prefix++;
    if (node_prefix_size(n) != prefix) return "its prefix is not that of its fences";
    if (node_is_last(n) ? upper.size != 0
                        : compare_bytes(lower.data, lower.size, upper.data, upper.size) >= 0)
        return "its fences are out of order";
    if (node_level(n) > 0 && node_count(n) == 0) return "an inner node without children";
    for (unsigned i = 0; i < node_count(n); i++) {
        const char *wrong = verify_cell(n, i, get_heap(n), cells_end, &size);
        struct bytes a, b;

        if (wrong) return wrong;
        cells += size;
        if (i == 0) continue;
        a = node_suffix(n, i - 1);
        b = node_suffix(n, i);
        if (compare_bytes(a.data, a.size, b.data, b.size) >= 0) return "its keys are out of order";
    }
    if (get_heap(n) + cells + get_u32(data + 8) != cells_end) return "its space does not add up";
    if (!is_between_fences(n) && !MUTANT(keys_beyond_fences_accepted))
        return "its keys lie outside its fences";
    return NULL;
}
