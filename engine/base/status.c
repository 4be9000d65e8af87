/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status.c
 *
 * Idea: one buffer a thread holds the sentence of its last failure, so that a failing call needs no
 * memory and no argument to explain itself.
 * Invariants: I1 the buffer is always terminated. I2 recording a sentence leaves errno alone.
 * Costs: 512 bytes a thread that ever failed; nothing on the path of success.
 */
#include "engine/base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char message[512];

const char *sdb_status_name(sdb_status status)
{
    switch (status) {
#define NAME_CASE(name, value, meaning)                                                            \
    case SDB_##name:                                                                               \
        return "SDB_" #name;
        SDB_STATUS_LIST(NAME_CASE)
#undef NAME_CASE
    }
    return "SDB_?";
}

const char *sdb_status_text(sdb_status status)
{
    switch (status) {
#define TEXT_CASE(name, value, meaning)                                                            \
    case SDB_##name:                                                                               \
        return meaning;
        SDB_STATUS_LIST(TEXT_CASE)
#undef TEXT_CASE
    }
    return "unknown status";
}

const char *sdb_errmsg(void)
{
    return message;
}

sdb_status sdb__status_fail(sdb_status status, const char *format, ...)
{
    int saved = errno;
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    errno = saved;
    return status;
}

sdb_status sdb__status_add(sdb_status status, const char *format, ...)
{
    int saved = errno;
    char before[sizeof message];
    va_list arguments;
    int length;

    memcpy(before, message, sizeof before);
    va_start(arguments, format);
    length = vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (length >= 0 && (size_t)length < sizeof message)
        (void)snprintf(message + length, sizeof message - (size_t)length, ": %s", before);
    errno = saved;
    return status;
}
