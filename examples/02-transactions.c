/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 02-transactions.c: one change over two keyspaces, a savepoint, and a conflict.
 *
 * Money moves between accounts, and a journal says so: both happen or neither does.
 *
 *     cc 02-transactions.c $(pkg-config --cflags --libs sdb) -o transactions && ./transactions
 *
 * Prints
 *
 *     alice 70, bob 80, 1 in the journal
 *     too much: SDB_LIMIT
 *     alice 70, bob 80, 1 in the journal
 *     two writers of alice: SDB_OK, SDB_CONFLICT
 *     alice 71, bob 80, 1 in the journal
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sdb/sdb.h>

/* Ends the program unless a call succeeded; for an example only. */
static void must(sdb_status status)
{
    if (status == SDB_OK) return;
    fprintf(stderr, "%s: %s\n", sdb_status_name(status), sdb_errmsg());
    exit(1);
}

static sdb_slice text(const char *string)
{
    return (sdb_slice){string, strlen(string)};
}

struct bank {
    sdb_db *db;
    sdb_keyspace *accounts, *journal;
};

static sdb_status set_balance(sdb_txn *txn, struct bank *bank, const char *who, long balance)
{
    char digits[24];

    snprintf(digits, sizeof digits, "%ld", balance);
    return sdb_put(txn, bank->accounts, text(who), text(digits));
}

static sdb_status balance_of(sdb_txn *txn, struct bank *bank, const char *who, long *out_balance)
{
    char digits[24] = "";
    sdb_slice value;
    sdb_status status = sdb_get(txn, bank->accounts, text(who), &value);

    if (status != SDB_OK) return status;
    /* The value is borrowed, and has no NUL at its end. */
    memcpy(digits, value.data, value.size < sizeof digits ? value.size : sizeof digits - 1);
    *out_balance = strtol(digits, NULL, 10);
    return SDB_OK;
}

static void print(struct bank *bank)
{
    sdb_txn *txn;
    long alice, bob;
    uint64_t entries;

    must(sdb_txn_begin(bank->db, SDB_TXN_READ, &txn));
    must(balance_of(txn, bank, "alice", &alice));
    must(balance_of(txn, bank, "bob", &bob));
    must(sdb_count(txn, bank->journal, NULL, &entries));
    sdb_txn_abort(txn);
    printf("alice %ld, bob %ld, %llu in the journal\n", alice, bob, (unsigned long long)entries);
}

struct transfer {
    struct bank *bank;
    const char *number, *from, *to;
    long amount;
};

/*
 * Run by sdb_txn_run, again after a conflict: so it changes nothing but the database. Any status
 * but SDB_OK undoes all of it.
 */
static sdb_status move_money(sdb_txn *txn, void *context)
{
    struct transfer *t = context;
    long from, to;
    sdb_status status = balance_of(txn, t->bank, t->from, &from);

    if (status == SDB_OK) status = balance_of(txn, t->bank, t->to, &to);
    if (status == SDB_OK) status = sdb_insert(txn, t->bank->journal, text(t->number), text(t->to));
    if (status == SDB_OK) status = set_balance(txn, t->bank, t->from, from - t->amount);
    if (status == SDB_OK) status = set_balance(txn, t->bank, t->to, to + t->amount);
    if (status == SDB_OK && from < t->amount) status = SDB_LIMIT;
    return status;
}

int main(void)
{
    struct bank bank;
    struct transfer good = {&bank, "1", "alice", "bob", 30};
    struct transfer bad = {&bank, "2", "alice", "bob", 1000};
    sdb_txn *first, *second;
    uint64_t savepoint;
    sdb_status status;

    must(sdb_open(":memory:", NULL, &bank.db));
    must(sdb_keyspace_open(bank.db, "accounts", 0, &bank.accounts));
    must(sdb_keyspace_open(bank.db, "journal", 0, &bank.journal));
    must(set_balance(NULL, &bank, "alice", 100));
    must(set_balance(NULL, &bank, "bob", 50));

    must(sdb_txn_run(bank.db, SDB_TXN_WRITE, move_money, &good, 0));
    print(&bank);

    /* All had been changed when the transaction found that it must not be. */
    status = sdb_txn_run(bank.db, SDB_TXN_WRITE, move_money, &bad, 0);
    printf("too much: %s\n", sdb_status_name(status));
    print(&bank);

    /* Two transactions change alice. The first to commit wins. The other is to be run again. */
    must(sdb_txn_begin(bank.db, SDB_TXN_WRITE, &first));
    must(sdb_txn_begin(bank.db, SDB_TXN_WRITE, &second));
    must(set_balance(first, &bank, "alice", 71));
    must(sdb_savepoint_set(first, &savepoint));
    must(set_balance(first, &bank, "bob", 0));
    must(sdb_savepoint_rollback(first, savepoint)); /* bob as before, alice still 71 */
    must(set_balance(second, &bank, "alice", 72));
    printf("two writers of alice: %s, ", sdb_status_name(sdb_txn_commit(first)));
    printf("%s\n", sdb_status_name(sdb_txn_commit(second)));
    print(&bank);

    must(sdb_close(bank.db));
    return 0;
}
