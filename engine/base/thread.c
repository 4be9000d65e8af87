/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/thread.h"

#include <signal.h>

bool sdb__thread_start(pthread_t *out_thread, void *(*body)(void *context), void *context)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGPROF,
                                 SIGSYS};
    sigset_t all, before;
    bool started;

    (void)sigfillset(&all);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) (void)sigdelset(&all, faults[i]);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    started = pthread_create(out_thread, NULL, body, context) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}
