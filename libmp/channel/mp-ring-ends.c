/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* How a ring ends: closing, and waiting until all of it is dealt with.
 *
 * What was put is counted by head already. Next to it stands the number of those
 * that are done: one word, changed by compare-and-exchange, so that there is no
 * instant at which the two disagree, whoever dies. Between the last one and the
 * wake of those who wait for it somebody may die: they look by themselves after a
 * second. */

#include "mp-ring-layout-private.h"

#include <limits.h>

#include "../base/mp-clock-private.h"
#include "../base/mp-futex-private.h"

#define SLICE_US (G_USEC_PER_SEC)

void
mp_ring_close (MpRing *self, MpQueueSides sides)
{
  MpRingShared *shared = self->shared;
  gint64 deadline = mp_deadline_new (G_USEC_PER_SEC);
  MpMicroLockResult result;
  guint32 n;

  if ((sides & MP_QUEUE_SIDES_GET) != 0)
    sides |= MP_QUEUE_SIDES_PUT;
  /* With the producers' lock, so that nothing is committed after it. If a
   * stopped process holds the lock, closing is more urgent than that. */
  do
    result = mp_micro_lock_acquire (&shared->put_lock, deadline);
  while (result == MP_MICRO_LOCK_INTERRUPTED);
  atomic_fetch_or (&shared->closed, sides);
  if (result != MP_MICRO_LOCK_TIMED_OUT)
    mp_micro_lock_release (&shared->put_lock);
  /* Should we die here, what is left stays until the ring goes; nobody gets it. */
  if ((sides & MP_QUEUE_SIDES_GET) != 0 && mp_ring_drain (self, &n) == MP_RING_DONE && n > 0)
    mp_ring_count_done (self, n);
  mp_ring_poke (self);
}

gboolean
mp_ring_is_closed (MpRing *self)
{
  return atomic_load_explicit (&self->shared->closed, memory_order_acquire) != 0;
}

static gboolean
look_at_length (gpointer user_data,
                guint32 seq,
                guint32 n_ready,
                MpCodec codec,
                const guint8 *data,
                gsize length)
{
  gsize *result = user_data;

  *result = length;
  return FALSE;
}

MpRingStatus
mp_ring_peek_length (MpRing *self, gsize *length)
{
  MpRingStatus status =
    mp_ring_take (self, 1, 0, look_at_length, length, MP_DEADLINE_NOW, NULL, NULL);

  return status == MP_RING_REFUSED ? MP_RING_DONE : status;
}

guint32
mp_ring_get_unfinished (MpRing *self)
{
  uint32_t done = atomic_load (&self->shared->done);

  return mp_ring_items (atomic_load (&self->shared->head)) - done;
}

static void
wake_joiners (MpRing *self)
{
  atomic_fetch_add (&self->shared->join_sequence, 1);
  mp_futex_wake (&self->shared->join_sequence, INT_MAX, TRUE);
}

gboolean
mp_ring_count_done (MpRing *self, guint32 n)
{
  MpRingShared *shared = self->shared;
  uint32_t done = atomic_load (&shared->done);

  /* What is done was put before: head, read after, is never behind. */
  do
    if (mp_ring_items (atomic_load (&shared->head)) - done < n)
      return FALSE;
  while (!atomic_compare_exchange_weak (&shared->done, &done, done + n));
  if (mp_ring_get_unfinished (self) == 0 && atomic_load (&shared->joiners) != 0)
    wake_joiners (self);
  return TRUE;
}

static void
on_cancelled (GCancellable *cancellable, gpointer user_data)
{
  wake_joiners (user_data);
}

/* Sleeps once. */
static MpFutexResult
sleep_until_done (MpRing *self, gint64 deadline, GCancellable *cancellable)
{
  MpRingShared *shared = self->shared;
  uint32_t sequence = atomic_load (&shared->join_sequence);
  gint64 slice = g_get_monotonic_time () + SLICE_US;
  MpFutexResult result = MP_FUTEX_CHANGED;

  /* A joiner that is killed leaves the count too high: that costs system calls only. */
  atomic_fetch_add (&shared->joiners, 1);
  if (mp_ring_get_unfinished (self) != 0 && !g_cancellable_is_cancelled (cancellable))
    result = mp_futex_wait (&shared->join_sequence,
                            sequence,
                            deadline != MP_DEADLINE_NEVER ? MIN (deadline, slice) : slice,
                            TRUE);
  atomic_fetch_sub (&shared->joiners, 1);
  return result;
}

MpRingStatus
mp_ring_join (MpRing *self, gint64 deadline, GCancellable *cancellable)
{
  MpRingStatus status = MP_RING_TIMED_OUT;
  gulong handler = 0;

  if (mp_ring_get_unfinished (self) == 0)
    return MP_RING_DONE;
  if (mp_deadline_left (deadline) == 0)
    return MP_RING_TIMED_OUT;
  if (cancellable != NULL)
    handler = g_cancellable_connect (cancellable, G_CALLBACK (on_cancelled), self, NULL);
  do
    {
      if (sleep_until_done (self, deadline, cancellable) == MP_FUTEX_INTERRUPTED ||
          g_cancellable_is_cancelled (cancellable))
        status = MP_RING_INTERRUPTED;
      if (mp_ring_get_unfinished (self) == 0)
        status = MP_RING_DONE;
    }
  while (status == MP_RING_TIMED_OUT && mp_deadline_left (deadline) != 0);
  g_cancellable_disconnect (cancellable, handler);
  return status;
}
