/* SPDX-License-Identifier: Apache-2.0 */
/* judge.c */
#include "tests/histories/judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/histories/aggregate.h"
#include "tests/histories/linearizability.h"
#include "tests/histories/txn_history.h"

static const char *const names[] = {"cas-register", "etcd",    "kv",  "list-append",
                                    "rw-register",  "counter", "set", "bank"};

enum { CAS_REGISTER, ETCD, KV, LIST_APPEND, RW_REGISTER, COUNTER, SET, BANK, JUDGES };

const char *judge_names(void)
{
    return "cas-register, etcd, kv, counter, set, bank, list-append, rw-register; the last two "
           "with /LEVEL: read-committed, snapshot-isolation, serializable (each of the last two "
           "with strong-session- before it), strong-snapshot-isolation, strict-serializable";
}

bool judge_find(const char *name, struct judge *out_judge)
{
    size_t size = strcspn(name, "/");

    for (unsigned i = 0; i < JUDGES; i++) {
        if (strlen(names[i]) != size || memcmp(names[i], name, size) != 0) continue;
        *out_judge = (struct judge){names[i], i, {SERIALIZABLE, STRENGTH_REALTIME}};
        if (name[size] == '\0') return true;
        return (i == LIST_APPEND || i == RW_REGISTER) &&
               level_of(name + size + 1, &out_judge->level);
    }
    return false;
}

static enum verdict judge_txns(const struct judge *judge, const struct history *source,
                               char text[512], struct buffer *details)
{
    struct txn_history history = {.arena.allocator = &sdb__mem_default,
                                  .names.arena.allocator = &sdb__mem_default,
                                  .values.arena.allocator = &sdb__mem_default,
                                  .pairs.arena.allocator = &sdb__mem_default};
    struct findings findings = {0};
    bool is_list = judge->index == LIST_APPEND;
    enum verdict verdict = VERDICT_UNKNOWN;

    if (!txn_history_take(&history, source, is_list ? TXN_APPEND : TXN_WRITE) ||
        !txn_history_index(&history)) {
        (void)snprintf(text, 512, "%s", history.error);
        goto out;
    }
    if (is_list)
        check_list_append(&history, &findings);
    else
        check_rw_register(&history, &findings);
    verdict = findings_allow(&findings, judge->level) ? VERDICT_VALID : VERDICT_INVALID;
    findings_summary(&findings, text, 512);
    if (details && findings.text.size &&
        sdb__buffer_append(&sdb__mem_default, details, findings.text.data, findings.text.size))
        abort();
out:
    findings_done(&findings);
    txn_history_done(&history);
    return verdict;
}

enum verdict judge_history(const struct judge *judge, const struct history *history,
                           const struct wgl_limits *limits, char out_text[512],
                           struct buffer *details)
{
    static const enum lin_model models[] = {LIN_CAS_REGISTER, LIN_ETCD, LIN_KV};

    switch (judge->index) {
    case CAS_REGISTER:
    case ETCD:
    case KV:
        return (enum verdict)lin_check(models[judge->index], history, limits, out_text);
    case LIST_APPEND:
    case RW_REGISTER: return judge_txns(judge, history, out_text, details);
    case COUNTER: return (enum verdict)check_counter(history, out_text);
    case SET: return (enum verdict)check_set(history, out_text);
    default: return (enum verdict)check_bank(history, out_text);
    }
}
