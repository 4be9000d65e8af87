/* SPDX-License-Identifier: Apache-2.0 */
/* test_status.c: claims about failing with a sentence (engine/base/status.h, sdb/status.h). */
#include "engine/base/status.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const sdb_status all[] = {
#define LISTED(name, value, meaning) SDB_##name,
    SDB_STATUS_LIST(LISTED)
#undef LISTED
};
enum { ALL_COUNT = sizeof all / sizeof all[0] };

START_TEST(every_status_has_a_name_and_a_text_of_its_own)
{
    for (int i = 0; i < ALL_COUNT; i++) {
        ck_assert_int_eq(strncmp(sdb_status_name(all[i]), "SDB_", 4), 0);
        ck_assert_str_ne(sdb_status_name(all[i]), "SDB_?");
        for (int j = 0; j < i; j++) {
            ck_assert_int_ne(all[i], all[j]);
            ck_assert_str_ne(sdb_status_name(all[i]), sdb_status_name(all[j]));
            ck_assert_str_ne(sdb_status_text(all[i]), sdb_status_text(all[j]));
        }
    }
}
END_TEST

START_TEST(numbers_are_pinned)
{
    /* Programs compiled against an older header must read the same answers. */
    ck_assert_int_eq(SDB_OK, 0);
    ck_assert_int_eq(SDB_END, 1);
    ck_assert_int_eq(SDB_NOTFOUND, 2);
    ck_assert_int_eq(SDB_EXISTS, 3);
    ck_assert_int_eq(SDB_NOMEM, -1);
    ck_assert_int_eq(SDB_PEER, -12);
}
END_TEST

START_TEST(a_number_that_is_no_status_is_answered)
{
    int number = 4711;
    sdb_status wrong;

    memcpy(&wrong, &number, sizeof wrong);
    ck_assert_str_eq(sdb_status_name(wrong), "SDB_?");
    ck_assert_str_eq(sdb_status_text(wrong), "unknown status");
}
END_TEST

START_TEST(no_failure_yet_is_an_empty_sentence)
{
    ck_assert_str_eq(sdb_errmsg(), "");
}
END_TEST

START_TEST(fail_keeps_sentence_status_and_errno)
{
    errno = EAGAIN;
    ck_assert_int_eq(FAIL(SDB_CORRUPT, "page %d: checksum", 7), SDB_CORRUPT);
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_str_eq(sdb_errmsg(), "page 7: checksum");
}
END_TEST

START_TEST(add_puts_the_place_in_front)
{
    (void)FAIL(SDB_IO, "write failed");
    errno = EINTR;
    ck_assert_int_eq(sdb__status_add(SDB_IO, "file %s", "a.sdb"), SDB_IO);
    ck_assert_int_eq(errno, EINTR);
    ck_assert_str_eq(sdb_errmsg(), "file a.sdb: write failed");
}
END_TEST

START_TEST(long_sentences_are_cut_and_ended)
{
    char text[2000];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    (void)FAIL(SDB_INVALID, "%s", text);
    ck_assert_uint_eq(strlen(sdb_errmsg()), 511);
    (void)sdb__status_add(SDB_INVALID, "here");
    ck_assert_uint_eq(strlen(sdb_errmsg()), 511);
    ck_assert_int_eq(strncmp(sdb_errmsg(), "here: xxx", 9), 0);
    (void)sdb__status_add(SDB_INVALID, "%s", text);
    ck_assert_uint_eq(strlen(sdb_errmsg()), 511);
}
END_TEST

static void *fail_elsewhere(void *context)
{
    (void)context;
    ck_assert_str_eq(sdb_errmsg(), "");
    (void)FAIL(SDB_BUSY, "theirs");
    return NULL;
}

START_TEST(each_thread_has_its_own_sentence)
{
    pthread_t thread;

    (void)FAIL(SDB_BUSY, "ours");
    ck_assert_int_eq(pthread_create(&thread, NULL, fail_elsewhere, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_str_eq(sdb_errmsg(), "ours");
}
END_TEST

static sdb_status tries(sdb_status first, int *out_reached)
{
    TRY(first);
    *out_reached = 1;
    return SDB_OK;
}

START_TEST(try_passes_on_all_but_ok)
{
    for (int i = 0; i < ALL_COUNT; i++) {
        int reached = 0;
        ck_assert_int_eq(tries(all[i], &reached), all[i]);
        ck_assert_int_eq(reached, all[i] == SDB_OK);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("status");
    TCase *list = tcase_create("list"), *sentence = tcase_create("sentence");

    tcase_add_test(list, every_status_has_a_name_and_a_text_of_its_own);
    tcase_add_test(list, numbers_are_pinned);
    tcase_add_test(list, a_number_that_is_no_status_is_answered);
    tcase_add_test(list, try_passes_on_all_but_ok);
    tcase_add_test(sentence, no_failure_yet_is_an_empty_sentence);
    tcase_add_test(sentence, fail_keeps_sentence_status_and_errno);
    tcase_add_test(sentence, add_puts_the_place_in_front);
    tcase_add_test(sentence, long_sentences_are_cut_and_ended);
    tcase_add_test(sentence, each_thread_has_its_own_sentence);
    suite_add_tcase(suite, list);
    suite_add_tcase(suite, sentence);
    return suite_run(suite);
}
