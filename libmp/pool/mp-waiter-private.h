/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

#include "../base/mp-futex-private.h"

G_BEGIN_DECLS

/* How threads and main contexts of this process wait for something that is
 * decided under a lock, mostly by the pump. */

/* A place where threads sleep. Whoever changes what they wait for calls
 * mp_sleep_word_bump() under the lock, and mp_sleep_word_wake() after it if that
 * returned TRUE: with nobody asleep there is no system call. */
typedef struct
{
  _Atomic uint32_t seq;
  _Atomic uint32_t asleep;
} MpSleepWord;

typedef enum
{
  MP_SLEEP_READY,
  MP_SLEEP_TIMED_OUT,
  MP_SLEEP_INTERRUPTED, /* a signal handler ran */
  MP_SLEEP_CANCELLED
} MpSleepResult;

typedef gboolean (*MpSleepPredicate) (gpointer user_data);

gboolean mp_sleep_word_bump (MpSleepWord *self);
void mp_sleep_word_wake (MpSleepWord *self);

/* Until @predicate, which is called with @lock held, is TRUE; then returns with
 * the lock held, otherwise (any other result) without. */
MpSleepResult mp_sleep_word_sleep (MpSleepWord *self,
                                   GMutex *lock,
                                   MpSleepPredicate predicate,
                                   gpointer user_data,
                                   gint64 deadline,
                                   GCancellable *cancellable);
/* The error for a result other than MP_SLEEP_READY; always returns FALSE. */
gboolean mp_sleep_set_error (GError **error,
                             MpSleepResult result,
                             GCancellable *cancellable,
                             const char *what);

/* A GTask that waits, without a thread: queued under a lock, taken out of its
 * queue under the lock by whoever has what it waits for, then posted to its own
 * main context. No reference of anybody else's object is dropped on the pump. */
typedef struct _MpWaiter MpWaiter;

/* Runs in the task's context and returns the task. */
typedef void (*MpWaiterFunc) (GTask *task);

/* Takes over @task. */
MpWaiter *mp_waiter_new (GTask *task, MpWaiterFunc func);
/* With @lock held, which protects @queue. When the task's cancellable is
 * cancelled before the waiter is taken out, it leaves the queue and the task
 * returns the error. */
void mp_waiter_enqueue (MpWaiter *self, GMutex *lock, GQueue *queue);
/* Moves all waiters of @queue to the end of @ready; with the lock held. */
void mp_waiter_move_all (GQueue *queue, GQueue *ready);
/* Moves the first. */
void mp_waiter_move_one (GQueue *queue, GQueue *ready);
/* Posts all of them; without the lock. */
void mp_waiter_post_all (GQueue *ready);
void mp_waiter_post (MpWaiter *self);

/* How long one source goes on delivering, so that the others of its main context have
 * their turn, in microseconds. */
#define MP_DISPATCH_TIME 500

G_END_DECLS
