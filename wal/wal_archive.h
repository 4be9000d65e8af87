/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_archive.h: segments kept in another folder, so that a backup can be rolled forward.
 *
 *   ARCHIVE/0123456789abcdef/00000000000000a1.log     log id / segment number, as in the log
 *   ARCHIVE/0123456789abcdef/00000000000000a2.log     a log that is gone goes on in another one,
 *   ARCHIVE/fedcba9876543210/0000000000000001.log     which begins at the LSN where it ended
 *
 * What is kept is a segment as far as it holds records. A copy gets its name when it is whole and
 * durable, so whatever bears the name of a segment can be trusted; what ends in ".part" cannot. The
 * archive only grows: removing what is older than the oldest backup is its owner's business.
 */
#ifndef SDB_WAL_WAL_ARCHIVE_H
#define SDB_WAL_WAL_ARCHIVE_H

#include "wal/wal.h"

/*
 * Archives the segments of a log that is not written any more, in order, as far as they hold
 * records; those that are there already are passed over. SDB_OK if there is no log.
 */
SDB_MUST_USE sdb_status sdb__wal_archive_rest(struct io *io, const sdb_allocator *allocator,
                                              const char *folder,
                                              const struct wal_identity *identity,
                                              const char *archive);

/* A log in an archive. */
struct wal_archived {
    struct wal_identity identity;
    uint64_t first_lsn; /* of its oldest segment there */
    uint64_t previous;  /* id of the log that it follows; 0: none, or not known */
    char name[17];      /* of its folder in the archive; empty: it is not from there */
};

/*
 * The logs of a database in an archive, in the order of their first LSNs. *out_logs is owned:
 * sdb__mem_free. SDB_NOTFOUND: there is no such folder. Damaged headers are passed over: reading
 * the log finds them.
 */
SDB_MUST_USE sdb_status sdb__wal_archive_list(struct io *io, const sdb_allocator *allocator,
                                              const char *archive, const uint8_t database_id[16],
                                              struct wal_archived **out_logs, size_t *out_count);
/* The log of a database in a log's own folder. SDB_NOTFOUND: there is none. */
SDB_MUST_USE sdb_status sdb__wal_archive_look(struct io *io, const sdb_allocator *allocator,
                                              const char *folder, const uint8_t database_id[16],
                                              struct wal_archived *out_log);

#endif
