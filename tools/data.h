/* SPDX-License-Identifier: Apache-2.0 */
/*
 * data.h: reading and changing entries, as `sdb kv` and the shell both do it.
 *
 * The functions say what went wrong and return an exit status.
 */
#ifndef SDB_TOOLS_DATA_H
#define SDB_TOOLS_DATA_H

#include "tools/args.h"
#include "tools/bytebuf.h"
#include "tools/render.h"

/* How keys and values are written. */
enum data_form { DATA_PLAIN, DATA_HEX, DATA_BASE64 };

/* Which entries, and how they are shown. Zero-initialise. */
struct data_view {
    sdb_range range;
    sdb_slice lower, upper; /* what range.lower and range.upper point to */
    bool reverse;
    bool keys_only;
    uint64_t limit; /* 0 entries is a limit too: see `limited` */
    bool limited;
    enum data_form form;
    enum render_mode mode;
};

extern const struct render_column data_columns[2]; /* key, value */

/* Opens a keyspace. If it is not there: STATUS_FAILED, with the name that may have been meant. */
int data_keyspace(const struct tool *tool, sdb_db *db, const char *name,
                  sdb_keyspace **out_keyspace);
/* The options of a keyspace that is made, from --compression. */
int data_keyspace_options(const struct tool *tool, const struct args *args,
                          sdb_keyspace_options *out_options);
/* "lz4", "zstd:3". Valid until the next call. */
const char *data_compression(const sdb_keyspace_stats *stats);
/* Puts the keyspace after `name` ("": the first of all) in its place. False after the last. */
bool data_next_keyspace(sdb_db *db, char name[SDB_KEYSPACE_NAME_MAX + 1]);
/* Says that `key` is not there. Always STATUS_FAILED. */
int data_not_found(const struct tool *tool, sdb_slice key, const char *keyspace);

/*
 * Merges, with an operator by its name. The operand of add is a number in decimal if `as_text`,
 * otherwise its 8 bytes; that of union is one element.
 */
int data_merge(const struct tool *tool, sdb_txn *txn, sdb_keyspace *keyspace, sdb_slice key,
               const char *merge_operator, sdb_slice operand, bool as_text);

/* Trains a dictionary, and says what it is worth. STATUS_FAILED if it is worth nothing. */
int data_train(struct tool *tool, sdb_keyspace *keyspace, const struct args *args, bool json);

/* Prints the entries of a view. STATUS_FAILED also when interrupted. */
int data_scan(const struct tool *tool, sdb_txn *txn, sdb_keyspace *keyspace,
              const struct data_view *view, FILE *out);
int data_count(const struct tool *tool, sdb_txn *txn, sdb_keyspace *keyspace,
               const struct data_view *view, uint64_t *out_count);

/* Appends bytes in a form. */
void data_encode(struct bytebuf *out, enum data_form form, sdb_slice bytes);

#endif
