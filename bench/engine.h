/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.h: what the bench asks of a storage engine.
 *
 * Words. A *database* is one directory that the bench made and the engine fills. A *session* is
 * what one thread works through: the connection, transaction or cursor that the engine's own
 * documentation recommends to a thread. A *move* is one step of the session's one cursor.
 *
 * Rules for who writes an engine.
 *   - Do what the engine's documentation recommends to a program that wants this speed, say it in
 *     `settings`, and do nothing for one engine that another would have been allowed as well.
 *   - Bytes that come back are borrowed until the session's next call, and so are bytes that go in.
 *   - A session is opened, used and closed by one thread. open, close and settle are called when no
 *     session is open.
 *   - BENCH_FAILED leaves a sentence with bench_fail; nothing is asked of that database afterwards
 *     but to close it.
 */
#ifndef SDB_BENCH_ENGINE_H
#define SDB_BENCH_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum bench_answer {
    BENCH_OK,
    BENCH_END,   /* there is no such key; the cursor has no further entry */
    BENCH_RETRY, /* the engine undid the whole batch and asks for it again */
    BENCH_FAILED
} bench_answer;

typedef enum bench_durability {
    BENCH_DURABILITY_NONE,  /* commits wait for no disk */
    BENCH_DURABILITY_GROUP, /* … and the disk lags a bounded time behind, where the engine can */
    BENCH_DURABILITY_FULL   /* a commit is on disk when the call returns */
} bench_durability;

typedef enum bench_move {
    BENCH_FIRST,
    BENCH_LAST,
    BENCH_SEEK, /* the first key that is not below the given one */
    BENCH_NEXT, /* after FIRST, SEEK or NEXT */
    BENCH_PREV  /* after LAST or PREV */
} bench_move;

typedef struct bench_bytes {
    const void *data;
    size_t size;
} bench_bytes;

typedef struct bench_entry {
    bench_bytes key;
    bench_bytes value;
} bench_entry;

typedef struct bench_setup {
    const char *directory; /* exists */
    uint64_t cache_bytes;
    const char *cache_policy; /* sdb's; "" for its default */
    uint64_t data_bytes;      /* keys and values of a full load, for engines that reserve space */
    size_t value_size;
    unsigned threads; /* the most sessions that are open at once */
    bench_durability durability;
    bool direct; /* O_DIRECT where the engine can; for data that is larger than the cache */
    bool zstd;   /* compress with zstd; false: not at all. Only of engines that can */
} bench_setup;

/* Each engine's own. */
typedef struct bench_db bench_db;
typedef struct bench_session bench_session;

/* A read that has come back. */
typedef struct bench_done {
    unsigned slot;       /* that it was given */
    bench_answer answer; /* BENCH_OK, BENCH_END, BENCH_FAILED */
    bench_bytes value;   /* borrowed until the slot is given again */
} bench_done;

/* Reads in flight, for engines that have them. The session's queue; not inside read_begin. */
typedef struct bench_queue_calls {
    bench_answer (*open)(bench_session *session, unsigned depth);
    /* The key is borrowed for the call. Each slot, 0 … depth-1, has one read in flight at most. */
    bench_answer (*get)(bench_session *session, bench_bytes key, unsigned slot);
    /* Takes back what has ended, at least one: out_done has room for `depth`. */
    bench_answer (*wait)(bench_session *session, bench_done *out_done, unsigned *out_count);
    void (*close)(bench_session *session); /* nothing need be in flight; not open is allowed */
} bench_queue_calls;

typedef struct bench_engine {
    const char *name;
    const char *settings; /* how it is opened and used, in a line, for the head of the output */
    bool can_direct;      /* it heeds bench_setup.direct */
    bool can_zstd;        /* it heeds bench_setup.zstd */
    const bench_queue_calls *queue; /* NULL: its reads come one after the other */

    /* The library's version, as text. */
    void (*version)(char *out, size_t size);

    /* Opens what is in the directory, or makes it. *out_db is owned: close, also after failures. */
    bench_answer (*open)(const bench_setup *setup, bench_db **out_db);
    bench_answer (*close)(bench_db *db);

    /* Brings pending work to an end: a checkpoint, a flush. Its time is not measured. */
    bench_answer (*settle)(bench_db *db);

    /* Writes a checkpoint while sessions go on, in a thread of its own. NULL: it has none. */
    bench_answer (*checkpoint)(bench_db *db);

    bench_answer (*session_open)(bench_db *db, bench_session **out_session);
    void (*session_close)(bench_session *session);

    /* Between these, put and del are one atomic batch; outside, each is a commit of its own. */
    bench_answer (*write_begin)(bench_session *session);
    bench_answer (*write_commit)(bench_session *session);
    bench_answer (*put)(bench_session *session, bench_bytes key, bench_bytes value);
    bench_answer (*del)(bench_session *session, bench_bytes key);

    /* Between these, get sees one snapshot; outside, each gets the newest committed value. */
    bench_answer (*read_begin)(bench_session *session);
    void (*read_end)(bench_session *session);
    bench_answer (*get)(bench_session *session, bench_bytes key, bench_bytes *out_value);

    /* A cursor over one snapshot of everything; not inside read_begin … read_end. */
    bench_answer (*cursor_open)(bench_session *session);
    bench_answer (*cursor_move)(bench_session *session, bench_move move, bench_bytes key,
                                bench_entry *out_entry);
    void (*cursor_close)(bench_session *session);
} bench_engine;

/* All the names that --engine takes, built in or not, and what was built: NULL if it was not. */
typedef struct bench_engine_place {
    const char *name;
    const bench_engine *engine;
} bench_engine_place;

extern const bench_engine_place bench_engines[];
extern const size_t bench_engines_count;

/* The place of that name[0…length), or NULL. */
const bench_engine_place *bench_engine_find(const char *name, size_t length);

/* Leaves a sentence for bench_errmsg and answers BENCH_FAILED. */
bench_answer bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The last sentence that this thread left, or "". Borrowed until its next bench_fail. */
const char *bench_errmsg(void);

/* The version in the name of the shared library that holds `function`: "7.8.3", or "?". */
void bench_library_version(void *function, char *out, size_t size);

#endif
