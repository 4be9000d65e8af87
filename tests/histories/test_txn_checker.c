/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_txn_checker.c: each anomaly of transactions, and what is none, on histories written by hand.
 */
#include "tests/histories/judge_fixture.h"

#include <stdio.h>

/* p: process; steps as [[f key value] …]. ONE: called and done at once. */
#define CALL(p, steps) "{:process " #p " :type :invoke :f :txn :value " steps "}\n"
#define DONE(p, steps) "{:process " #p " :type :ok :f :txn :value " steps "}\n"
#define FAILED(p, steps) CALL(p, steps) "{:process " #p " :type :fail :f :txn :value " steps "}\n"
#define LOST(p, steps) CALL(p, steps) "{:process " #p " :type :info :f :txn :value " steps "}\n"
#define ONE(p, steps) CALL(p, steps) DONE(p, steps)

/* The history is wrong at the level, for this reason; NULL: it is right. */
static void at(const char *model, const char *level, const char *text, const char *reason)
{
    char name[80];

    (void)snprintf(name, sizeof name, "%s/%s", model, level);
    expect(name, text, reason ? VERDICT_INVALID : VERDICT_VALID, reason);
}

static void lists(const char *level, const char *text, const char *reason)
{
    at("list-append", level, text, reason);
}

static void registers(const char *level, const char *text, const char *reason)
{
    at("rw-register", level, text, reason);
}

START_TEST(a_serial_history_has_no_anomaly)
{
    const char *text = ONE(0, "[[:append x 1] [:r y nil]]") ONE(1, "[[:r x [1]] [:append x 2]]")
                       FAILED(1, "[[:append x 3]]") LOST(3, "[[:append y 7]]")
                       ONE(0, "[[:r x [1 2]] [:append x 4] [:append x 5] [:r x [1 2 4 5]]]")
                       ONE(2, "[[:r x [1 2 4 5]] [:r y []]]") ONE(2, "[[:r y [7]]]");

    lists("strict-serializable", text, NULL);
    expect("list-append", text, VERDICT_VALID, NULL);
    expect("list-append", "", VERDICT_VALID, NULL);
}
END_TEST

START_TEST(finds_what_nobody_appended)
{
    lists("read-committed", ONE(0, "[[:r x [1]]]"), "garbage-read");
}
END_TEST

START_TEST(finds_an_element_that_stands_twice)
{
    lists("read-committed", ONE(0, "[[:append x 1]]") ONE(0, "[[:r x [1 1]]]"),
          "duplicate-elements");
}
END_TEST

START_TEST(finds_orders_that_do_not_agree)
{
    lists("read-committed", ONE(0, "[[:append x 1]]") ONE(1, "[[:append x 2]]")
          ONE(2, "[[:r x [1 2]]]") ONE(3, "[[:r x [2 1]]]"), "incompatible-order");
}
END_TEST

START_TEST(finds_an_aborted_read)
{
    lists("read-committed", FAILED(0, "[[:append x 1]]") ONE(1, "[[:r x [1]]]"), "G1a");
    registers("read-committed", FAILED(0, "[[:w x 1]]") ONE(1, "[[:r x 1]]"), "G1a");
    /* Nobody knows of one that got lost: it may have committed. */
    lists("strict-serializable", LOST(0, "[[:append x 1]]") ONE(1, "[[:r x [1]]]"), NULL);
    registers("strict-serializable", LOST(0, "[[:w x 1]]") ONE(1, "[[:r x 1]]"), NULL);
}
END_TEST

START_TEST(finds_an_intermediate_read)
{
    lists("read-committed", ONE(0, "[[:append x 1] [:append x 2]]") ONE(1, "[[:r x [1]]]"), "G1b");
    registers("read-committed", ONE(0, "[[:w x 1] [:w x 2]]") ONE(1, "[[:r x 1]]"), "G1b");
    lists("read-committed", ONE(0, "[[:append x 1] [:r x [1]] [:append x 2]]")
          ONE(1, "[[:r x [1 2]]]"), NULL);
}
END_TEST

START_TEST(finds_a_transaction_that_does_not_see_itself)
{
    static const char *const odd[] = {
        ONE(0, "[[:append x 1] [:r x []]]"), ONE(0, "[[:r x []] [:append x 1] [:r x []]]"),
        ONE(0, "[[:r x [1]] [:append x 1]]"), ONE(0, "[[:append x 2] [:append x 1] [:r x [1 2]]]"),
        ONE(1, "[[:append x 1]]") ONE(0, "[[:r x []] [:r x [1]]]")};

    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        lists("snapshot-isolation", odd[i], "internal");
        lists("read-committed", odd[i], NULL);
    }
    registers("snapshot-isolation", ONE(0, "[[:w x 1] [:r x nil]]"), "internal");
    registers("snapshot-isolation", ONE(0, "[[:r x 1] [:w x 1]]"), "internal");
    registers("snapshot-isolation", ONE(0, "[[:w x 1] [:r x 1] [:w x 2] [:r x 2]]"), NULL);
}
END_TEST

START_TEST(finds_a_cycle_of_writes)
{
    lists("read-committed", ONE(0, "[[:append x 1] [:append y 1]]")
          ONE(1, "[[:append x 2] [:append y 2]]") ONE(2, "[[:r x [1 2]] [:r y [2 1]]]"), "G0");
    /* Another's element between two of a transaction's own. */
    lists("read-committed", ONE(0, "[[:append x 1] [:append x 3]]") ONE(1, "[[:append x 2]]")
          ONE(2, "[[:r x [1 2 3]]]"), "G0");
}
END_TEST

START_TEST(finds_a_cycle_of_reads_of_each_other)
{
    lists("read-committed", ONE(0, "[[:append x 1] [:r y [1]]]")
          ONE(1, "[[:append y 1] [:r x [1]]]"), "G1c");
    registers("read-committed", ONE(0, "[[:w x 1] [:r y 1]]") ONE(1, "[[:w y 1] [:r x 1]]"), "G1c");
}
END_TEST

START_TEST(finds_a_read_that_is_torn)
{
    /* The reader sees one of the writer's two keys. */
    const char *text = ONE(0, "[[:append x 1] [:append y 1]]") ONE(1, "[[:r x [1]] [:r y []]]");

    lists("snapshot-isolation", text, "G-single");
    lists("read-committed", text, NULL);
    registers("snapshot-isolation", ONE(0, "[[:w x 1] [:w y 1]]") ONE(1, "[[:r x 1] [:r y nil]]"),
              "G-single");
    /* The same of versions that are not the first. */
    registers("snapshot-isolation", ONE(0, "[[:w x 1]]") ONE(1, "[[:r x 1] [:w x 2] [:w y 1]]")
              ONE(2, "[[:r x 1] [:r y 1]]"), "G-single");
}
END_TEST

START_TEST(finds_a_lost_update)
{
    lists("snapshot-isolation", ONE(0, "[[:r x []] [:append x 1]]")
          ONE(1, "[[:r x []] [:append x 2]]"), "lost-update");
    registers("snapshot-isolation", ONE(9, "[[:w x 7]]") ONE(0, "[[:r x 7] [:w x 1]]")
              ONE(1, "[[:r x 7] [:w x 2]]"), "lost-update");
}
END_TEST

START_TEST(write_skew_is_for_serializable_to_forbid)
{
    const char *skew = CALL(0, "[[:r x nil] [:append y 1]]") CALL(1, "[[:r y nil] [:append x 1]]")
                       DONE(0, "[[:r x []] [:append y 1]]") DONE(1, "[[:r y []] [:append x 1]]");
    const char *same = CALL(0, "[[:r x nil] [:w y 1]]") CALL(1, "[[:r y nil] [:w x 1]]")
                       DONE(0, "[[:r x nil] [:w y 1]]") DONE(1, "[[:r y nil] [:w x 1]]");

    lists("strong-snapshot-isolation", skew, NULL);
    lists("serializable", skew, "G2-item");
    registers("strong-snapshot-isolation", same, NULL);
    registers("serializable", same, "G2-item");
}
END_TEST

START_TEST(a_long_fork_is_for_snapshot_isolation_to_forbid)
{
    const char *text = ONE(0, "[[:append x 1]]") ONE(1, "[[:append y 1]]")
                       ONE(2, "[[:r x [1]] [:r y []]]") ONE(3, "[[:r x []] [:r y [1]]]");

    lists("snapshot-isolation", text, "G-nonadjacent");
    lists("read-committed", text, NULL);
}
END_TEST

START_TEST(stale_reads_are_for_the_strict_levels_to_forbid)
{
    const char *text = ONE(0, "[[:append x 1]]") ONE(1, "[[:r x []]]") ONE(2, "[[:r x [1]]]");
    const char *own = ONE(0, "[[:append x 1]]") ONE(0, "[[:r x []]]") ONE(2, "[[:r x [1]]]");

    lists("serializable", text, NULL);
    lists("strong-session-serializable", text, NULL);
    lists("strict-serializable", text, "G-single-realtime");
    lists("strong-snapshot-isolation", text, "G-single-realtime");
    lists("serializable", own, NULL);
    lists("strong-session-snapshot-isolation", own, "G-single-process");
    lists("strict-serializable", own, "G-single-process");
    /* Whatever goes on meanwhile, and however long ago it was. */
    lists("strict-serializable", CALL(5, "[[:r y nil]]") ONE(0, "[[:append x 1]]")
          CALL(6, "[[:r y nil]]") DONE(5, "[[:r y []]]") ONE(1, "[[:r x []]]")
          ONE(2, "[[:r x [1]]]") DONE(6, "[[:r y []]]"), "G-single-realtime");
}
END_TEST

START_TEST(what_nobody_read_comes_behind_what_was_read)
{
    /* Nobody reads 2, but whoever read all without it is before it. */
    const char *text = ONE(0, "[[:append x 1]]") ONE(1, "[[:append x 2] [:append y 1]]")
                       ONE(2, "[[:r y [1]] [:r x [1]]]");

    lists("snapshot-isolation", text, "G-single");
    /* So is whoever read all without it and appended, which nobody read either. */
    lists("snapshot-isolation", ONE(0, "[[:r x []] [:r y [1]] [:append x 1]]")
          ONE(1, "[[:append x 2] [:append y 1]]"), "G-single");
    /* And so is whoever appended what was read. */
    lists("read-committed", ONE(0, "[[:append x 1] [:r y [1]]]")
          ONE(1, "[[:append x 2] [:append y 1]]") ONE(2, "[[:r x [1]]]"), "G1c");
    /* One that got lost need not have happened. */
    lists("strict-serializable", ONE(0, "[[:append x 1]]") LOST(1, "[[:append x 2]]")
          ONE(2, "[[:r x [1]]]"), NULL);
    /* Two that nobody read are in no known order. */
    lists("strict-serializable", ONE(0, "[[:append x 1]]") CALL(1, "[[:append x 2] [:r y []]]")
          CALL(2, "[[:append x 3] [:append y 1]]") DONE(1, "[[:append x 2] [:r y []]]")
          DONE(2, "[[:append x 3] [:append y 1]]"), NULL);
}
END_TEST

START_TEST(a_value_from_nowhere_says_nothing_of_registers)
{
    registers("strict-serializable", ONE(0, "[[:w x 1]]") ONE(0, "[[:r x 5]]") ONE(0, "[[:r x 1]]"),
              NULL);
}
END_TEST

START_TEST(what_is_no_history_of_transactions_is_not_judged)
{
    expect("list-append", ONE(0, "[[:append x 1]]") ONE(0, "[[:append x 1]]"), VERDICT_UNKNOWN,
           "twice");
    expect("list-append", ONE(0, "[[:w x 1]]"), VERDICT_UNKNOWN, "no list");
    expect("list-append", ONE(0, "[[:r x 1]]"), VERDICT_UNKNOWN, "no list");
    expect("rw-register", ONE(0, "7"), VERDICT_UNKNOWN, "no list");
}
END_TEST

/* ---- what adds up ------------------------------------------------------------------------- */

#define OP(p, type, f, value) "{:process " #p " :type :" #type " :f :" #f " :value " value "}\n"

START_TEST(a_counter_is_between_what_is_sure_and_what_may_be)
{
    const char *begin = OP(0, invoke, add, "2") OP(0, ok, add, "2") OP(1, invoke, add, "5")
                        OP(2, invoke, read, "nil");
    char text[2048];

    for (int value = 0; value < 10; value++) {
        (void)snprintf(text, sizeof text, "%s{:process 2 :type :ok :f :read :value %d}", begin,
                       value);
        expect("counter", text, value < 2 || value > 7 ? VERDICT_INVALID : VERDICT_VALID, NULL);
    }
    expect("counter", OP(0, invoke, add, "-2") OP(2, invoke, read, "nil") OP(2, ok, read, "-2")
           OP(0, fail, add, "-2"), VERDICT_INVALID, "event 2");
    expect("counter", OP(0, invoke, add, "-2") OP(2, invoke, read, "nil") OP(2, ok, read, "-2")
           OP(0, info, add, "-2"), VERDICT_VALID, NULL);
}
END_TEST

START_TEST(a_set_keeps_what_was_added)
{
    const char *begin = OP(0, invoke, add, "1") OP(0, ok, add, "1") OP(1, invoke, add, "2")
                        OP(2, invoke, read, "nil");
    char text[2048];

    (void)snprintf(text, sizeof text, "%s%s", begin, OP(2, ok, read, "[2 1]"));
    expect("set", text, VERDICT_VALID, NULL);
    (void)snprintf(text, sizeof text, "%s%s", begin, OP(2, ok, read, "[2]"));
    expect("set", text, VERDICT_INVALID, "1 lost");
    (void)snprintf(text, sizeof text, "%s%s", begin, OP(2, ok, read, "#{1 3}"));
    expect("set", text, VERDICT_INVALID, "1 unexpected");
    /* What failed, and what was added behind the read, need not be there. */
    expect("set", OP(0, invoke, add, "1") OP(0, fail, add, "1") OP(2, invoke, read, "nil")
           OP(0, invoke, add, "2") OP(0, ok, add, "2") OP(2, ok, read, "[]"), VERDICT_VALID, NULL);
    expect("set", begin, VERDICT_UNKNOWN, "nothing was read");
}
END_TEST

START_TEST(a_bank_keeps_its_sum)
{
    const char *begin = OP(0, invoke, read, "nil") OP(0, ok, read, "{0 10 1 0}")
                        OP(1, invoke, transfer, "{:from 0 :to 1 :amount 3}");
    char text[2048];

    (void)snprintf(text, sizeof text, "%s%s", begin,
                   OP(0, invoke, read, "nil") OP(0, ok, read, "{0 7 1 3}"));
    expect("bank", text, VERDICT_VALID, "2 reads of 2 accounts");
    (void)snprintf(text, sizeof text, "%s%s", begin,
                   OP(0, invoke, read, "nil") OP(0, ok, read, "{0 7 1 0}"));
    expect("bank", text, VERDICT_INVALID, "another sum");
    (void)snprintf(text, sizeof text, "%s%s", begin,
                   OP(0, invoke, read, "nil") OP(0, ok, read, "{0 -1 1 11}"));
    expect("bank", text, VERDICT_INVALID, "below 0");
    (void)snprintf(text, sizeof text, "%s%s", begin,
                   OP(0, invoke, read, "nil") OP(0, ok, read, "{0 10}"));
    expect("bank", text, VERDICT_INVALID, "other accounts");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("txn_checker");
    TCase *cases = tcase_create("transactions");

    tcase_add_test(cases, a_serial_history_has_no_anomaly);
    tcase_add_test(cases, finds_what_nobody_appended);
    tcase_add_test(cases, finds_an_element_that_stands_twice);
    tcase_add_test(cases, finds_orders_that_do_not_agree);
    tcase_add_test(cases, finds_an_aborted_read);
    tcase_add_test(cases, finds_an_intermediate_read);
    tcase_add_test(cases, finds_a_transaction_that_does_not_see_itself);
    tcase_add_test(cases, finds_a_cycle_of_writes);
    tcase_add_test(cases, finds_a_cycle_of_reads_of_each_other);
    tcase_add_test(cases, finds_a_read_that_is_torn);
    tcase_add_test(cases, finds_a_lost_update);
    tcase_add_test(cases, write_skew_is_for_serializable_to_forbid);
    tcase_add_test(cases, a_long_fork_is_for_snapshot_isolation_to_forbid);
    tcase_add_test(cases, stale_reads_are_for_the_strict_levels_to_forbid);
    tcase_add_test(cases, what_nobody_read_comes_behind_what_was_read);
    tcase_add_test(cases, a_value_from_nowhere_says_nothing_of_registers);
    tcase_add_test(cases, what_is_no_history_of_transactions_is_not_judged);
    tcase_add_test(cases, a_counter_is_between_what_is_sure_and_what_may_be);
    tcase_add_test(cases, a_set_keeps_what_was_added);
    tcase_add_test(cases, a_bank_keeps_its_sum);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}
