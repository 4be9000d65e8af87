/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 04-hello.cpp: 01-hello.c in C++17. The handles close themselves; failures are exceptions.
 *
 *     c++ -std=c++17 04-hello.cpp $(pkg-config --cflags --libs sdb) -o hello && ./hello
 *
 * Prints
 *
 *     hello, alice
 */
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sdb/sdb.h>

namespace {

void must(sdb_status status)
{
    if (status != SDB_OK)
        throw std::runtime_error(std::string(sdb_status_name(status)) + ": " + sdb_errmsg());
}

sdb_slice slice(std::string_view bytes)
{
    return {bytes.data(), bytes.size()};
}

std::string_view view(sdb_slice slice)
{
    return {static_cast<const char *>(slice.data), slice.size};
}

struct CloseDb {
    void operator()(sdb_db *db) const { sdb_close(db); }
};

struct AbortTxn {
    void operator()(sdb_txn *txn) const { sdb_txn_abort(txn); }
};

void hello()
{
    sdb_options options = SDB_OPTIONS_INIT;
    sdb_db *opened = nullptr;
    must(sdb_open("hello-cpp.sdb", &options, &opened));
    std::unique_ptr<sdb_db, CloseDb> db(opened);

    sdb_keyspace *greetings = nullptr;
    must(sdb_keyspace_open(db.get(), "greetings", 0, &greetings));
    must(sdb_put(nullptr, greetings, slice("alice"), slice("hello, alice")));

    sdb_txn *begun = nullptr;
    must(sdb_txn_begin(db.get(), SDB_TXN_READ, &begun));
    std::unique_ptr<sdb_txn, AbortTxn> txn(begun);
    sdb_slice value;
    must(sdb_get(txn.get(), greetings, slice("alice"), &value));
    std::cout << view(value) << '\n';
}

} // namespace

int main()
{
    try {
        hello();
    } catch (const std::exception &failure) {
        std::cerr << failure.what() << '\n';
        return 1;
    }
    return 0;
}
