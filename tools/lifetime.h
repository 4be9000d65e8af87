/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lifetime.h: how long values live, as people write it and as `sdb kv` and the shell use it.
 *
 * A duration is a whole number and ms, s, m, h or d, as 30s; "none" is for ever.
 */
#ifndef SDB_TOOLS_LIFETIME_H
#define SDB_TOOLS_LIFETIME_H

#include "tools/args.h"

/* The duration of --ttl in milliseconds, 0 for none; left alone when it was not given. */
int lifetime_option(const struct tool *tool, const struct args *args, uint64_t *out_ms);
/* When what lives so long from now on expires; 0 for 0. */
uint64_t lifetime_end(uint64_t ms);
/* "250 ms", "29.9 s", "5 m 30 s", "2 h 5 m", "7 d 0 h". Valid until the next call. */
const char *lifetime_text(uint64_t ms);

/* Puts, until what --ttl says, or as the keyspace has it. */
sdb_status lifetime_put(sdb_txn *txn, sdb_keyspace *keyspace, sdb_slice key, sdb_slice value,
                        const struct args *args, uint64_t ttl_ms);
/* Prints how long a value that expires then has still to live. */
void lifetime_print(uint64_t expiry_ms, bool json);

#endif
