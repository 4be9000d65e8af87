/* SPDX-License-Identifier: Apache-2.0 */
/*
 * columns.h: JSON objects spread over the columns of csv and tsv. Strings lose their quotes; other
 * values stay JSON text; what is missing is an empty cell.
 *
 * Functions that judge a value return NULL, or what is wrong with it.
 */
#ifndef SDB_TOOLS_COLUMNS_H
#define SDB_TOOLS_COLUMNS_H

#include <sdb/kv.h>

#include "tools/bytebuf.h"
#include "tools/jsonscan.h"

/* Zero-initialise; columns_done. */
struct columns {
    char **names;
    size_t count;
    struct json_span *found; /* of the value that is being spread, one for each name */
    bool all;                /* names are learnt from the values */
};

/* Takes "all", or "A,B,C". False if it is neither, or memory lacks. */
bool columns_named(struct columns *columns, const char *list);
/* Adds the fields of a value that have no column yet. */
const char *columns_learn(struct columns *columns, sdb_slice value);
/* Appends the names, each behind a separator. */
void columns_add_names(const struct columns *columns, struct bytebuf *out, char separator);
/* Appends a value's cells, each behind a separator. */
const char *columns_add_cells(struct columns *columns, struct bytebuf *out, char separator,
                              sdb_slice value);
void columns_done(struct columns *columns);

#endif
