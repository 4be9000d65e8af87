/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thread.h
 *
 * The engine's own threads. They belong to a program that has signals of its own: none is ever
 * delivered to them, except those that a fault of their own raises.
 */
#ifndef SDB_ENGINE_BASE_THREAD_H
#define SDB_ENGINE_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* False if there can be no more threads. Join it; it is not detached. */
bool sdb__thread_start(pthread_t *out_thread, void *(*body)(void *context), void *context);

#endif
