/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dumpfile.h: the loss-free binary dump of keyspaces. docs/format/dump.md specifies every byte.
 *
 * A dump is a header, then for each keyspace a keyspace record and its entries in key order, then
 * an end record with the number of entries. Lengths and contents have checksums of their own, so
 * that a length is believed before memory is taken for it.
 */
#ifndef SDB_TOOLS_DUMPFILE_H
#define SDB_TOOLS_DUMPFILE_H

#include <sdb/kv.h>

#include "tools/source.h"

/* ---- writing: into a bytebuf that the caller empties into a file -------------------------- */

struct dump_writer {
    uint64_t entries;
    uint32_t keyspaces; /* announced and not yet begun */
    bool expiries;
};

/* `expiries`: values may have one, or keyspaces a time to live. Older programs refuse the dump. */
void dump_begin(struct dump_writer *writer, struct bytebuf *out, uint32_t keyspaces,
                bool expiries);
/* ttl_ms, and expiry_ms of an entry: 0 if there is none, or if the dump has no expiries. */
void dump_keyspace(struct dump_writer *writer, struct bytebuf *out, const char *name,
                   uint64_t ttl_ms);
void dump_entry(struct dump_writer *writer, struct bytebuf *out, sdb_slice key, sdb_slice value,
                uint64_t expiry_ms);
void dump_end(struct dump_writer *writer, struct bytebuf *out);

/* ---- reading ------------------------------------------------------------------------------ */

enum dump_answer {
    DUMP_KEYSPACE, /* a keyspace begins: `name`, `ttl_ms` */
    DUMP_ENTRY,    /* `key` and `value`, borrowed until the next call; `expiry_ms` */
    DUMP_END,      /* the dump is whole */
    DUMP_BAD,      /* this record is damaged and was passed over: `reason` */
    DUMP_FATAL     /* what follows cannot be told: `reason` */
};

/* Zero-initialise; dump_reader_done. */
struct dump_reader {
    uint32_t keyspaces; /* how many the header announces */
    uint64_t record;    /* number of the present one, from 1 */
    uint64_t offset;    /* of the present record */
    uint64_t entries;   /* read well */
    bool begun, damaged;
    uint32_t names_seen;
    bool expiries; /* of this dump: what has none lives for ever, whatever its keyspace says */
    char name[SDB_KEYSPACE_NAME_MAX + 1];
    sdb_slice key, value;
    uint64_t ttl_ms, expiry_ms; /* 0: none */
    const char *reason; /* static storage */
    struct bytebuf payload, last_key;
    bool have_last_key;
};

enum dump_answer dump_read(struct dump_reader *reader, struct source *source);
void dump_reader_done(struct dump_reader *reader);

#endif
