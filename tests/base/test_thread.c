/* SPDX-License-Identifier: Apache-2.0 */
/* test_thread.c: claims about the engine's own threads (engine/base/thread.h). */
#include "engine/base/thread.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>

static void *tell_mask(void *context)
{
    (void)pthread_sigmask(SIG_BLOCK, NULL, context);
    return NULL;
}

START_TEST(thread_takes_no_signals_of_the_program)
{
    sigset_t mine, before, after;
    pthread_t thread;

    (void)pthread_sigmask(SIG_BLOCK, NULL, &before);
    ck_assert(sdb__thread_start(&thread, tell_mask, &mine));
    (void)pthread_join(thread, NULL);
    ck_assert_int_eq(sigismember(&mine, SIGINT), 1);
    ck_assert_int_eq(sigismember(&mine, SIGALRM), 1);
    ck_assert_int_eq(sigismember(&mine, SIGUSR1), 1);
    ck_assert_int_eq(sigismember(&mine, SIGSEGV), 0);
    ck_assert_int_eq(sigismember(&mine, SIGBUS), 0);
    (void)pthread_sigmask(SIG_BLOCK, NULL, &after);
    ck_assert_int_eq(sigismember(&after, SIGINT), sigismember(&before, SIGINT));
    ck_assert_int_eq(sigismember(&after, SIGUSR1), sigismember(&before, SIGUSR1));
}
END_TEST

int main(void)
{
    TCase *claims = tcase_create("thread");
    Suite *suite = suite_create("thread");

    tcase_add_test(claims, thread_takes_no_signals_of_the_program);
    suite_add_tcase(suite, claims);
    return suite_run(suite);
}
