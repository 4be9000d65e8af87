/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_fixture.h: a small database with something of everything, its file as bytes, and a forger
 * who changes bytes of it and puts the checksums right again.
 *
 * The forger reads the file by docs/format/file.md and not through the engine: a second
 * implementation of reading.
 */
#ifndef SDB_TESTS_KV_CHECK_FIXTURE_H
#define SDB_TESTS_KV_CHECK_FIXTURE_H

#include <check.h>
#include <stdbool.h>
#include <sdb/kv.h>

#include "engine/io/io.h"

#define FILE_NAME "t.sdb"
#define COPY_NAME "copy.sdb"
#define OK(call) ck_assert_msg((call) == SDB_OK, "%s: %s", #call, sdb_errmsg())
#define GIVES(call, status)                                                                        \
    do {                                                                                           \
        sdb_status gives_ = (call);                                                                \
        ck_assert_msg(gives_ == (status), "%s: %s (%s)", #call, sdb_status_name(gives_),           \
                      sdb_errmsg());                                                               \
    } while (0)

enum { SAMPLE_PAGE = 4096, SAMPLE_USERS = 280, SAMPLE_LONG = 12, SAMPLE_FILES = 5 };

sdb_options sample_options(void); /* small pages, no threads */
/* "users" (small values), "long keys" (layers), "files" (extents), "empty"; and free space. */
void sample_fill(sdb_db *db);
/* Makes FILE_NAME on `io`, fills it, closes it. */
void sample_make(struct io *io);
/* A digest of all keyspaces, keys and values, read through the public calls, both ways. */
uint64_t contents_of(sdb_db *db);
/* The same of a file that is not open; SDB_OK or why it could not be read. */
sdb_status contents_in(struct io *io, const char *path, uint64_t *out_digest);

/* A whole file in memory. Owned: free(bytes). */
struct image {
    uint8_t *bytes;
    size_t size;
};
/* The file of sample_make, made once: fixtures of a test case. */
extern struct image sample;
void sample_setup(void);
void sample_teardown(void);
struct image sample_copy(void);

struct image image_read(struct io *io, const char *path);
void image_write(struct io *io, const char *path, const struct image *image);

/* ---- reading an image by its format ---- */

struct found {
    uint64_t offset, size; /* in the image; size 0: there is none */
};
uint64_t image_page_limit(const struct image *image);
/* The entry of an id: where it stands, and its place (0: nowhere). */
uint8_t *image_entry(const struct image *image, uint64_t id);
uint8_t *image_page(const struct image *image, uint64_t id); /* NULL: no page */
/* Marks every byte that the checkpoint needs: map[0…size) is 1 there. */
void image_covered(const struct image *image, uint8_t *map);
/* Digests of pages, chunks, directory and superblocks made right, in this order. */
void image_seal(struct image *image);
/* The root page of a keyspace. */
uint64_t image_root(const struct image *image, const char *keyspace);
/* Where the catalog has the value of an entry. */
uint8_t *image_catalog(const struct image *image, const char *key);

/* A slot's cell in a page, the size of its key's suffix, and what stands behind that. */
uint8_t *cell_of(uint8_t *page, unsigned slot);
size_t suffix_of(const uint8_t *page, unsigned slot);
uint8_t *child_of(uint8_t *page, unsigned slot);
/* Takes a slot out of an inner node; its cell becomes a hole. */
void slot_remove(uint8_t *page, unsigned slot);

/* ---- problems as they are reported ---- */

struct problems {
    char text[16][1024];
    unsigned count;
    sdb_check_result result;
    sdb_status status;
};
void problems_note(void *context, const char *problem);
/* Checks the file on `io`. */
void check_on(struct io *io, const char *path, struct problems *out);
/* Checks an image. */
void check_image(const struct image *image, struct problems *out);
void assert_clean(const struct problems *p);
/* True when some problem has all the words (the list ends with NULL). */
bool problem_says(const struct problems *p, const char *word, ...);

#define SAYS(p, ...)                                                                               \
    ck_assert_msg(problem_says((p), __VA_ARGS__, NULL), "%u problems, first: %s", (p)->count,     \
                  (p)->text[0])

/* ---- trouble and company ---- */

/* An allocator that refuses its n-th request (0: none), and counts what is not given back. */
struct frugal {
    sdb_allocator allocator;
    uint64_t requests, fail_at;
    int64_t live;
};
void frugal_init(struct frugal *f);

/*
 * What a sdb_progress_fn was told; it stops the work at call number stop_at (0: never). What was
 * done never shrinks nor passes the total; with `grows` each call is told more of one total.
 */
struct told {
    uint64_t calls, stop_at, last, total;
    bool grows;
};
int told_progress(void *context, uint64_t done, uint64_t total);

/*
 * A sdb_progress_fn whose context is a database: writes all of "users" and "files" anew, four
 * times, each with a checkpoint, from a thread of its own, since a callback must not.
 */
int write_meanwhile(void *db, uint64_t done, uint64_t total);

#endif
