/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.c
 *
 * Idea: a thread's last sentence about what failed, as sdb_errmsg has one for the library.
 *
 * Not here: which engines there are (engine_list.c).
 */
#include "bench/engine.h"

#include <stdarg.h>
#include <stdio.h>

enum { MESSAGE_SIZE = 512 };

static _Thread_local char message[MESSAGE_SIZE];

bench_answer bench_fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return BENCH_FAILED;
}

const char *bench_errmsg(void)
{
    return message;
}
