/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_list.c
 *
 * Idea: the only place that knows which engines were found when this was configured.
 *
 * Source: dladdr(3), for libraries whose C interface does not tell its version: the name of the
 * file behind the links does.
 */
#include "bench/engine.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const bench_engine bench_engine_sdb;
#ifdef HAVE_LMDB
extern const bench_engine bench_engine_lmdb;
#endif
#ifdef HAVE_ROCKSDB
extern const bench_engine bench_engine_rocksdb;
#endif
#ifdef HAVE_LEVELDB
extern const bench_engine bench_engine_leveldb;
#endif
#ifdef HAVE_SQLITE
extern const bench_engine bench_engine_sqlite;
#endif
#ifdef HAVE_WIREDTIGER
extern const bench_engine bench_engine_wiredtiger;
#endif

const bench_engine_place bench_engines[] = {
    {"sdb", &bench_engine_sdb},
#ifdef HAVE_LMDB
    {"lmdb", &bench_engine_lmdb},
#else
    {"lmdb", NULL},
#endif
#ifdef HAVE_ROCKSDB
    {"rocksdb", &bench_engine_rocksdb},
#else
    {"rocksdb", NULL},
#endif
#ifdef HAVE_LEVELDB
    {"leveldb", &bench_engine_leveldb},
#else
    {"leveldb", NULL},
#endif
#ifdef HAVE_SQLITE
    {"sqlite", &bench_engine_sqlite},
#else
    {"sqlite", NULL},
#endif
#ifdef HAVE_WIREDTIGER
    {"wiredtiger", &bench_engine_wiredtiger},
#else
    {"wiredtiger", NULL},
#endif
};

const size_t bench_engines_count = sizeof bench_engines / sizeof bench_engines[0];

const bench_engine_place *bench_engine_find(const char *name, size_t length)
{
    for (size_t i = 0; i < bench_engines_count; i++) {
        const char *known = bench_engines[i].name;

        if (strlen(known) == length && memcmp(known, name, length) == 0) return &bench_engines[i];
    }
    return NULL;
}

void bench_library_version(void *function, char *out, size_t size)
{
    Dl_info info;
    char *path;
    const char *version;

    snprintf(out, size, "?");
    if (dladdr(function, &info) == 0 || info.dli_fname == NULL) return;
    path = realpath(info.dli_fname, NULL);
    if (path == NULL) return;
    version = strstr(path, ".so.");
    if (version != NULL) snprintf(out, size, "%s", version + 4);
    free(path);
}
