/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intern.h: numbers for bytes: the same bytes have the same number, counted from 0.
 *
 * Idea: a hash table with open addressing over numbers; the bytes stand in an arena. Everything in
 * a history (keys, values, processes, whole states) is compared as a number.
 * Costs: one hash and about one comparison a call; 24 bytes a number beside the bytes.
 */
#ifndef SDB_TESTS_HISTORIES_INTERN_H
#define SDB_TESTS_HISTORIES_INTERN_H

#include <stdint.h>

#include "tests/histories/edn.h"

struct interned {
    const void *bytes;
    uint32_t size, hash;
};

/* Zero-initialise and set arena.allocator. Ended by intern_done. */
struct intern {
    struct arena arena;
    struct interned *entries; /* by number */
    size_t count, capacity;
    uint32_t *slots; /* 0, or a number + 1 */
    size_t mask;     /* slots - 1; slots are at least twice the entries */
};

/* The number of these bytes; they are copied when they are new. */
uint32_t intern_bytes(struct intern *intern, const void *bytes, size_t size);
/* The number of what a form prints as. */
uint32_t intern_form(struct intern *intern, const struct edn *form);
/* The number of a pair of numbers. */
uint32_t intern_pair(struct intern *intern, uint32_t first, uint32_t second);
/* The number of a pair if it has one, otherwise UINT32_MAX. */
uint32_t intern_find_pair(const struct intern *intern, uint32_t first, uint32_t second);
void intern_done(struct intern *intern);

#endif
