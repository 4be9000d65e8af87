/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_damage.c
 *
 * Idea: a torn tail and a damaged commit look the same where they are; the difference is what
 *   follows. Each record tells how much of the log was durable when it was made, so a later
 *   record that is valid can convict an earlier place: "you were on disk before I was written".
 *     … A  B  ✗  D        D says: durable up to the end of ✗   → ✗ was acknowledged: SDB_CORRUPT
 *     … A  B  ✗  D        D says: durable up to the end of B   → ✗ and D were one lost batch: cut
 * Invariants: I1 nothing is hashed that could not convict. I2 hashing has a budget: four times the
 *   bytes that remain, and 64 MiB. A hostile file of overlapping records costs no more than that;
 *   what lies behind the exhausted budget counts as torn.
 * Costs: eight bytes a step over the rest of the log, at the speed of reading.
 * Not here: where reading stopped (wal_read.c).
 */
#include "wal/wal_reader.h"

#include <string.h>
#include "engine/base/bytes.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"

enum { STRIDE = 4096 };

struct search {
    struct wal_reader *r;
    uint64_t first_lsn;  /* LSN of its first record */
    uint64_t file_bytes; /* records end here */
    uint64_t place;      /* LSN that was unreadable */
    bool any;            /* any record convicts */
    uint64_t budget;     /* bytes that may still be hashed */
};

/* Could this record, were it valid, show that `place` had been durable? */
static bool convicts(const struct search *s, const struct wal_record *record, uint64_t lsn)
{
    if (s->any) return true;
    if (record->durable_back == WAL_DURABLE_UNKNOWN || record->durable_back > lsn) return false;
    return lsn - record->durable_back > s->place && !MUTANT(damage_taken_for_a_torn_end);
}

/* SDB_CORRUPT if a valid record that convicts begins there; SDB_END when the budget is spent. */
static sdb_status try_at(struct search *s, uint64_t offset, const uint8_t *at)
{
    uint64_t lsn = s->first_lsn + (offset - WAL_SEGMENT_HEADER);
    struct wal_record record;
    uint8_t *bytes;

    if (!sdb__wal_format_peek(at, s->file_bytes - offset, &record)) return SDB_OK;
    if (!convicts(s, &record, lsn)) return SDB_OK;
    if (record.bytes > s->budget) return SDB_END;
    TRY(sdb__wal_window_get(s->r, offset, record.bytes, &bytes));
    if (!bytes) return SDB_OK;
    s->budget -= record.bytes;
    if (!sdb__wal_format_verify(bytes, &record, s->r->identity.log_id, lsn)) return SDB_OK;
    if (s->any)
        return FAIL(SDB_CORRUPT, "%s: the header is damaged, but there is a record at byte %llu",
                    sdb__io_path(s->r->file), (unsigned long long)offset);
    return FAIL(SDB_CORRUPT,
                "the log in %s is damaged at LSN %llu, which was durable when the record at "
                "LSN %llu was written",
                s->r->folder, (unsigned long long)s->place, (unsigned long long)lsn);
}

/* Nothing but zeros where a record's header would be: none begins there. */
static bool is_blank(const uint8_t *at)
{
    return (get_u64(at) | get_u64(at + 8) | get_u64(at + 16)) == 0;
}

/* Tries each place of the open segment from `offset` on; blank ones are passed many at a time. */
static sdb_status search_segment(struct search *s, uint64_t offset)
{
    while (offset < s->file_bytes && s->file_bytes - offset >= WAL_RECORD_HEADER) {
        uint64_t room = s->file_bytes - offset;
        size_t size = room < STRIDE ? (size_t)room : STRIDE, i = 0;
        uint8_t *at;

        TRY(sdb__wal_window_get(s->r, offset, size, &at));
        if (!at) { /* the file is shorter than that */
            size = WAL_RECORD_HEADER;
            TRY(sdb__wal_window_get(s->r, offset, size, &at));
        }
        if (!at) return SDB_OK;
        while (i + WAL_RECORD_HEADER <= size && is_blank(at + i)) i += WAL_ALIGN;
        offset += i;
        if (i + WAL_RECORD_HEADER > size) continue;
        TRY(try_at(s, offset, at + i));
        offset += WAL_ALIGN;
    }
    return SDB_OK;
}

static struct search search_for(struct wal_reader *r, uint64_t lsn)
{
    uint64_t rest = r->total - r->done + WAL_WINDOW;

    if (rest > UINT64_MAX / 8) rest = UINT64_MAX / 8;
    return (struct search){.r = r, .place = lsn, .budget = 4 * rest + ((uint64_t)64 << 20)};
}

static sdb_status search_damaged(struct search *s, uint64_t first_lsn)
{
    s->any = true;
    s->first_lsn = first_lsn;
    s->file_bytes = s->r->have & ~(uint64_t)(WAL_ALIGN - 1);
    if (first_lsn > UINT64_MAX - s->file_bytes) return SDB_OK;
    return search_segment(s, WAL_SEGMENT_HEADER);
}

sdb_status sdb__wal_damage_judge(struct wal_reader *r, uint64_t number, uint64_t lsn)
{
    struct search s = search_for(r, lsn);
    uint64_t offset = WAL_SEGMENT_HEADER + (lsn - r->header.first_lsn) + WAL_ALIGN;
    enum wal_found found = WAL_FOUND_OURS;
    sdb_status status;

    for (;;) {
        uint64_t end = wal_header_end(&r->header);

        s.first_lsn = r->header.first_lsn;
        s.file_bytes = r->header.file_bytes;
        status = search_segment(&s, offset);
        if (status != SDB_OK) break;
        status = sdb__wal_window_next(r, number, end, &found);
        if (status != SDB_OK || found == WAL_FOUND_NONE) break;
        number++;
        offset = WAL_SEGMENT_HEADER;
        if (found == WAL_FOUND_DAMAGED) {
            status = search_damaged(&s, end);
            break;
        }
    }
    return status == SDB_END ? SDB_OK : status;
}

sdb_status sdb__wal_damage_judge_header(struct wal_reader *r, uint64_t lsn)
{
    struct search s = search_for(r, lsn);
    sdb_status status = search_damaged(&s, lsn);

    return status == SDB_END ? SDB_OK : status;
}
