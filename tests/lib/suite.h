/* SPDX-License-Identifier: Apache-2.0 */
/* suite.h: the end of every unit test: its suite run, and what main returns. */
#ifndef SDB_TESTS_LIB_SUITE_H
#define SDB_TESTS_LIB_SUITE_H

#include <check.h>
#include <stdlib.h>

/* Runs the suite, which it takes, as check's environment (CK_VERBOSITY …) says. */
static inline int suite_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
