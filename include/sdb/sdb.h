/* SPDX-License-Identifier: Apache-2.0 */
/* sdb/sdb.h: everything that an application normally needs. The small headers are the manual. */
#ifndef SDB_SDB_H
#define SDB_SDB_H

#include <sdb/status.h>
#include <sdb/db.h>
#include <sdb/kv.h>
#include <sdb/changes.h>
#include <sdb/snapshot.h>
#include <sdb/async.h>

#endif
