/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node_dense.c
 *
 * Idea: numbers of which most are alike (sizes, kinds) stand byte by byte in planes, where they
 *   pack to next to nothing; keys stand beside the keys they resemble, values beside values.
 * Invariants: I1 a dense form is never longer than its page: what it has of a cell is at most what
 *   slot and cell have. I2 sizes are added up and judged before anything is copied.
 * Costs (8 KiB, 50 cells): under 1 µs each way. Half-random values of 100 bytes under keys of 16:
 *   Zstandard makes 64 bytes of an entry, 71 of it in a node; there is less to pack, too.
 * Source: Abadi et al., SIGMOD 2006, on compression in column stores; Blosc's shuffle.
 * Not here: packing (engine/pager/pack.c).
 */
#include "index/btree/node_dense.h"

#include <string.h>

#include "engine/base/bytes.h"
#include "index/btree/node.h"

enum { AT_HEAP = 4, AT_WASTED = 8 };

const struct pack_dense sdb__node_dense = {sdb__node_make_dense, sdb__node_from_dense};

/* Bytes of a cell's head in the planes: the value's, or the child. */
static size_t head_bytes(const uint8_t *header)
{
    return header[0] ? NODE_CHILD : NODE_VALUE_HEAD;
}

static void put_planes(uint8_t *planes, size_t count, size_t i, const uint8_t *bytes, size_t size)
{
    for (size_t k = 0; k < size; k++) planes[k * count + i] = bytes[k];
}

static void get_planes(const uint8_t *planes, size_t count, size_t i, uint8_t *bytes, size_t size)
{
    for (size_t k = 0; k < size; k++) bytes[k] = planes[k * count + i];
}

size_t sdb__node_make_dense(const uint8_t *page, uint32_t page_size, uint8_t *to)
{
    struct node n = {(uint8_t *)(uintptr_t)page, page_size};
    size_t count = node_count(n), head = head_bytes(page), fences = node_fence_bytes(n);
    uint8_t *sizes = to + NODE_HEADER + fences, *heads = sizes + 2 * count;
    uint8_t *at = heads + head * count;

    memcpy(to, page, NODE_HEADER);
    memset(to + AT_HEAP, 0, AT_WASTED + 4 - AT_HEAP);
    memcpy(to + NODE_HEADER, page + page_size - fences, fences);
    for (unsigned i = 0; i < count; i++) {
        struct bytes suffix = node_suffix(n, i);

        put_planes(sizes, count, i, node_slot(n, i) + 6, 2);
        put_planes(heads, count, i, suffix.data + suffix.size, head);
        memcpy(at, suffix.data, suffix.size);
        at += suffix.size;
    }
    for (unsigned i = 0; i < count && head == NODE_VALUE_HEAD; i++) {
        enum node_kind kind;
        struct bytes payload = node_payload(n, i, &kind);

        memcpy(at, payload.data, payload.size);
        at += payload.size;
    }
    return (size_t)(at - to);
}

/* Where things are in a dense form. */
struct dense {
    size_t count, head, fences;
    const uint8_t *sizes, *heads, *suffixes, *payloads;
};

static size_t size_at(const uint8_t *planes, size_t count, size_t i)
{
    return planes[i] | (size_t)planes[count + i] << 8;
}

/* Of a cell's payload; an inner cell has none. */
static size_t payload_at(const struct dense *d, size_t i)
{
    return d->head == NODE_VALUE_HEAD ? size_at(d->heads, d->count, i) & 0x3fff : 0;
}

/* Finds the parts. NULL, or what is wrong: then nothing of *d is of use. */
static const char *take_apart(const uint8_t *dense, size_t size, uint32_t page_size,
                              struct dense *d)
{
    size_t fixed, suffixes = 0, payloads = 0;

    if (size < NODE_HEADER) return "its dense form ends too soon";
    d->count = get_u16(dense + 2);
    d->head = head_bytes(dense);
    d->fences = (size_t)get_u16(dense + 14) + get_u16(dense + 16);
    fixed = NODE_HEADER + d->fences + d->count * (2 + d->head);
    if (fixed > size) return "its dense form ends too soon";
    d->sizes = dense + NODE_HEADER + d->fences;
    d->heads = d->sizes + 2 * d->count;
    d->suffixes = dense + fixed;
    for (size_t i = 0; i < d->count; i++) {
        suffixes += size_at(d->sizes, d->count, i);
        payloads += payload_at(d, i);
    }
    if (fixed + suffixes + payloads != size) return "its dense form does not add up";
    if (NODE_HEADER + d->fences + d->count * (NODE_SLOT + d->head) + suffixes + payloads >
        page_size)
        return "its dense form is of more than a page";
    d->payloads = d->suffixes + suffixes;
    return NULL;
}

const char *sdb__node_from_dense(const uint8_t *dense, size_t size, uint8_t *page,
                                 uint32_t page_size)
{
    struct dense d;
    const char *wrong = take_apart(dense, size, page_size, &d);
    size_t heap = page_size, slots_end;

    if (wrong) return wrong;
    heap -= d.fences;
    slots_end = NODE_HEADER + d.count * NODE_SLOT;
    memcpy(page, dense, NODE_HEADER);
    memcpy(page + heap, dense + NODE_HEADER, d.fences);
    for (size_t i = 0; i < d.count; i++) {
        size_t suffix = size_at(d.sizes, d.count, i), payload = payload_at(&d, i);
        uint8_t *slot = page + NODE_HEADER + i * NODE_SLOT, *cell;

        heap -= suffix + d.head + payload;
        cell = page + heap;
        memcpy(cell, d.suffixes, suffix);
        get_planes(d.heads, d.count, i, cell + suffix, d.head);
        memcpy(cell + suffix + d.head, d.payloads, payload);
        put_u32(slot, node_head((struct bytes){d.suffixes, suffix}));
        put_u16(slot + 4, (uint16_t)heap);
        put_u16(slot + 6, (uint16_t)suffix);
        d.suffixes += suffix;
        d.payloads += payload;
    }
    put_u32(page + AT_HEAP, (uint32_t)heap);
    put_u32(page + AT_WASTED, 0);
    memset(page + slots_end, 0, heap - slots_end);
    return NULL;
}
