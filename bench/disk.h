/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk.h: what the disk itself does, without an engine: the rates that an engine's are held to.
 */
#ifndef SDB_BENCH_DISK_H
#define SDB_BENCH_DISK_H

#include "bench/workload.h"

enum { BENCH_DISK_RESULTS = 3, BENCH_DISK_DEPTH = 32 };

/*
 * Measures, in config->root: config->syncs times writing 4 KiB and fdatasync ("disksync"), and
 * config->reads random reads of block_bytes past the page cache, one after the other and then
 * BENCH_DISK_DEPTH in flight ("diskread"). The file, removed afterwards, is as large as the data of
 * a full database, at least 64 MiB and at most 2 GiB. *out_count results were measured, also when
 * BENCH_FAILED leaves a sentence.
 */
bench_answer bench_disk_run(const bench_config *config, uint64_t block_bytes,
                            bench_result results[BENCH_DISK_RESULTS], unsigned *out_count);

#endif
