/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mutant.h: bugs that are there on purpose, to see whether a test notices them.
 *
 *     if (c->keep && !MUTANT(version_forgotten)) …
 *
 * In the library that people use MUTANT(name) is the constant false and leaves nothing behind. In
 * the one that `make mutants` builds (SDB_MUTANTS) it is true if the environment variable
 * SDB_MUTANT is `name`: one build holds them all, and a run has at most one. tests/mutants/list
 * says of each what the bug is and which test has to fail.
 */
#ifndef SDB_ENGINE_BASE_MUTANT_H
#define SDB_ENGINE_BASE_MUTANT_H

#include <stdbool.h>

#ifdef SDB_MUTANTS
#include <stdlib.h>
#include <string.h>

/* Threads: any; those that come first at once store the same. */
static inline bool sdb__mutant_is(const char *name)
{
    static const char *chosen;
    const char *now = __atomic_load_n(&chosen, __ATOMIC_RELAXED);

    if (!now) {
        now = getenv("SDB_MUTANT");
        if (!now) now = "";
        __atomic_store_n(&chosen, now, __ATOMIC_RELAXED);
    }
    return strcmp(now, name) == 0;
}

#define MUTANT(name) sdb__mutant_is(#name)
#else
#define MUTANT(name) false
#endif

#endif
