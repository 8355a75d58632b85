/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

#include "mp-enums.h"

#include "../memory/mp-arena-private.h"

G_BEGIN_DECLS

/* The queue of those who wait for a condition, in shared memory. How it works is
 * described in mp-condition-queue.c. */
#define MP_CONDITION_MAX_WAITERS 1000

typedef struct
{
  _Atomic uint32_t state; /* a participant and what about it; 0: nobody's */
  _Atomic uint32_t ticket;
  _Atomic uint32_t limit; /* of one that was notified: those with tickets before it waited, too */
  uint32_t unused;
} MpConditionSlot;

/* Zeroes are an empty queue. */
typedef struct
{
  _Atomic uint32_t next_ticket;
  _Atomic uint32_t n_used; /* no slot from here on was ever used */
  uint32_t unused[14];
  MpConditionSlot slots[MP_CONDITION_MAX_WAITERS];
} MpConditionShared;

/* A thread in the queue. */
typedef struct
{
  const MpBlock *block;
  MpConditionSlot *slot;
  uint32_t me;
} MpConditionWaiter;

/* The user's lock is held. FALSE with @error set if there are too many, or if this
 * process cannot take part. */
gboolean mp_condition_queue_enter (const MpBlock *block, MpConditionWaiter *waiter, GError **error);
/* Sleeps, without the lock. Anything but MP_WAIT_RESULT_DONE: no longer in the queue,
 * and not notified; but one that is @interruptible and was interrupted is still in it. */
MpWaitResult mp_condition_queue_sleep (MpConditionWaiter *waiter,
                                       gint64 deadline,
                                       GCancellable *cancellable,
                                       gboolean interruptible);
/* Leaves the queue: MP_WAIT_RESULT_DONE if it was notified meanwhile, else @result. */
MpWaitResult mp_condition_queue_give_up (MpConditionWaiter *waiter, MpWaitResult result);
/* What the notification was for is begun: it is not handed on any more. */
void mp_condition_queue_leave (MpConditionWaiter *waiter);

/* Notifies the first @n that live. */
void mp_condition_queue_notify (const MpBlock *block, guint n);
/* How many live ones wait that were not notified. */
guint mp_condition_queue_count (const MpBlock *block);

G_END_DECLS
