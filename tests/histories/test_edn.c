/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_edn.c: what the readers of histories take, and what they refuse.
 */
#include "tests/histories/judge_fixture.h"

#include "tests/histories/edn.h"
#include "tests/histories/intern.h"

/* Reads one form and compares how it prints; NULL: it is refused. */
static void reads_as(bool json, const char *text, const char *wanted)
{
    struct arena arena = {.allocator = &sdb__mem_default};
    struct edn_reader reader = {.arena = &arena, .at = text, .end = text + strlen(text),
                                .json = json};
    struct buffer printed = {0};
    struct edn form;
    enum edn_answer answer = edn_next(&reader, &form);

    if (!wanted) {
        ck_assert_msg(answer == EDN_BAD, "%s is taken", text);
    } else {
        ck_assert_msg(answer == EDN_FORM, "%s: %s", text, reader.error ? reader.error : "nothing");
        edn_print(&form, &printed);
        ck_assert_uint_eq(printed.size, strlen(wanted));
        ck_assert_msg(memcmp(printed.data, wanted, printed.size) == 0, "%s reads as %.*s", text,
                      (int)printed.size, (const char *)printed.data);
    }
    sdb__buffer_done(&sdb__mem_default, &printed);
    edn_done(&reader);
    sdb__arena_done(&arena);
}

START_TEST(edn_is_read_as_it_is_meant)
{
    reads_as(false, " {:a [1, -2] \"b\" (nil true)} ; comment", "{:a [1 -2] \"b\" [nil true]}");
    reads_as(false, "#{1 2}", "[1 2]");
    reads_as(false, "[1 #_ 2 #_[3] 4 #_5]", "[1 4]");
    reads_as(false, "#jepsen.history.Op{:index 0}", "{:index 0}");
    reads_as(false, "\"a\\\"\\n\\u00e9\"", "\"a\\\"\n\xc3\xa9\"");
    reads_as(false, "9223372036854775807", "9223372036854775807");
    reads_as(false, "-9223372036854775808", "-9223372036854775808");
    reads_as(false, "9223372036854775808", "9223372036854775808");
    reads_as(false, "[5N 1.5M +7 \\a \\( sym/bol]", "[5 1.5M 7 \"a\" \"(\" sym/bol]");
}
END_TEST

START_TEST(json_is_read_as_edn)
{
    reads_as(true, "[{\"a\":1,\"b\":[true,null,-2.5e3]}]", "[{\"a\" 1 \"b\" [true nil -2.5e3]}]");
}
END_TEST

START_TEST(what_is_no_edn_is_refused)
{
    static const char *const bad[] = {"[1 2", "{:a}", "\"open", "]", "#", "#_", "[#_]", "#tag",
                                      "(1]", "\"\\q\"", "\"\\u12\"", ":", "\\"};
    char deep[3 * EDN_DEPTH_MOST];

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) reads_as(false, bad[i], NULL);
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    reads_as(false, deep, NULL);
}
END_TEST

START_TEST(numbers_of_bytes_are_kept_while_the_table_grows)
{
    struct intern intern = {.arena.allocator = &sdb__mem_default};

    for (uint32_t round = 0; round < 2; round++)
        for (uint32_t i = 0; i < 5000; i++) ck_assert_uint_eq(intern_pair(&intern, i, i * i), i);
    ck_assert_uint_eq(intern_find_pair(&intern, 7, 49), 7);
    ck_assert_uint_eq(intern_find_pair(&intern, 7, 50), UINT32_MAX);
    intern_done(&intern);
}
END_TEST

static void refused(const char *text, const char *words)
{
    struct history history;

    ck_assert_msg(!history_read(&history, HISTORY_EDN, text, strlen(text)), "%s is taken", text);
    ck_assert_msg(strstr(history.error, words) != NULL, "\"%s\" does not say \"%s\"",
                  history.error, words);
    history_done(&history);
}

START_TEST(a_record_that_is_no_history_is_refused)
{
    refused("[1 2]", "no map");
    refused("{:process 1 :type :ok :f :read :value 1}", "not begun");
    refused("{:process 1 :type :invoke :f :read}{:process 1 :type :invoke :f :read}", "not ended");
    refused("{:process 1 :type :invoke :f :read}{:process 1 :type :maybe :f :read}", "none of");
    refused("[{:process 1 :type :invoke", "without its end");
}
END_TEST

START_TEST(operations_are_pairs_of_maps)
{
    const char *text = "[{:process 0 :type :invoke :f :write :value 1}"
                       "{:process :nemesis :type :info :f :start}"
                       "{:process 1 :type :invoke :f :read :value nil}"
                       "{:process 0 :type :info :f :write :value 1}"
                       "{:process 1 :type :ok :f :read :value 7}"
                       "{:process 2 :type :invoke :f :read}]";
    struct history history;

    ck_assert(history_read(&history, HISTORY_EDN, text, strlen(text)));
    ck_assert_uint_eq(history.count, 3);
    ck_assert_int_eq(history.operations[0].outcome, OUTCOME_INFO);
    ck_assert(history.operations[0].ret == PLACE_NEVER);
    ck_assert_int_eq(history.operations[1].outcome, OUTCOME_OK);
    ck_assert_uint_eq(history.operations[1].call, 3);
    ck_assert_uint_eq(history.operations[1].ret, 5);
    ck_assert_int_eq(operation_out(&history.operations[1])->integer, 7);
    ck_assert_int_eq(history.operations[2].outcome, OUTCOME_INFO);
    ck_assert_ptr_null(operation_out(&history.operations[2]));
    history_done(&history);
}
END_TEST

START_TEST(lines_of_a_log_are_read_and_others_left_out)
{
    const char *log = "INFO  jepsen.core - Starting\n"
                      "INFO  jepsen.util - 0\t:invoke\t:write\t3\n"
                      "INFO  jepsen.util - 0\t:ok\t:write\t3\n"
                      "WARN  something - else [\n"
                      "INFO  jepsen.util - 1\t:invoke\t:read\tnil\n"
                      "INFO  jepsen.util - 1\t:ok\t:read\t4\n";

    ck_assert_int_eq(judge_text("etcd", HISTORY_LOG, log, NULL), VERDICT_INVALID);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("edn");
    TCase *cases = tcase_create("edn");

    tcase_add_test(cases, edn_is_read_as_it_is_meant);
    tcase_add_test(cases, json_is_read_as_edn);
    tcase_add_test(cases, what_is_no_edn_is_refused);
    tcase_add_test(cases, numbers_of_bytes_are_kept_while_the_table_grows);
    tcase_add_test(cases, a_record_that_is_no_history_is_refused);
    tcase_add_test(cases, operations_are_pairs_of_maps);
    tcase_add_test(cases, lines_of_a_log_are_read_and_others_left_out);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}
