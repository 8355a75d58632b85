/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* What a queue is like now, and waiting until that changes. */

#include "mp-queue-private.h"
#include "mp-ring-quick-private.h"

#include "../base/mp-clock-private.h"

/**
 * mp_queue_wait_ready:
 * @self: a queue
 * @condition: `G_IO_IN`: a message to take, or `G_IO_OUT`: room for a small one
 * @timeout_us: how long to wait: microseconds, -1 for ever, 0 not at all
 *
 * Waits until it is worth to try, and returns early when a signal handler ran in
 * this thread: for bindings whose language then wants to act on the signal.
 * Others may be faster than the caller, so this is only a hint.
 *
 * Returns: whether there is something to take, or room, or the queue is closed
 *
 * Since: 0.1
 */
gboolean
mp_queue_wait_ready (MpQueue *self, GIOCondition condition, gint64 timeout_us)
{
  MpRingStatus status;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self), FALSE);
  g_return_val_if_fail (condition == G_IO_IN || condition == G_IO_OUT, FALSE);

  status = mp_ring_wait (self->ring, condition, mp_deadline_new (timeout_us));
  return status != MP_RING_TIMED_OUT && status != MP_RING_INTERRUPTED;
}

/* Room for so many messages that have so many bytes together. FALSE if there can be none. */
static gboolean
measure_room (MpQueue *self, gsize length, guint n_items, gboolean fds, MpRingNeed *need)
{
  guint64 each = n_items > 0 ? (length + n_items - 1) / n_items : 0, units;
  MpBlockRef block;

  if (mp_ring_wants_block (self->ring, each))
    each = sizeof block;
  units = (guint64) mp_ring_units_for (each) * n_items;
  *need = (MpRingNeed){ .condition = G_IO_OUT,
                        .units = (guint32) MIN (units, G_MAXUINT32),
                        .items = n_items,
                        .fds = fds,
                        .token = mp_ring_thread_token () };
  return units <= self->ring->max_units && n_items <= self->ring->max_items;
}

/**
 * mp_queue_wait_room:
 * @self: a queue
 * @length: how many bytes the messages have together
 * @n_items: how many messages are to be put together
 * @with_fds: whether there are descriptors
 * @timeout_us: how long to wait: microseconds, -1 for ever, 0 not at all
 *
 * The same as [method@Mp.Queue.wait_ready] for what needs more room than a small message. It
 * returns after a second at most. Who has waited for a moment claims the room, so that others
 * are not first for ever; that is over with the next put of this thread, by
 * [method@Mp.Queue.unclaim], or after a moment.
 *
 * Returns: whether there is room, or the queue is closed, or will never have so much: put, to
 *   learn which
 *
 * Since: 0.1
 */
gboolean
mp_queue_wait_room (MpQueue *self,
                    gsize length,
                    guint n_items,
                    gboolean with_fds,
                    gint64 timeout_us)
{
  gint64 look = g_get_monotonic_time () + MP_RING_CLAIM_AFTER_US, deadline;
  MpRingStatus status;
  MpRingNeed need;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self), FALSE);

  if (!measure_room (self, length, n_items, with_fds, &need))
    return TRUE;
  deadline = mp_deadline_new (timeout_us < 0 ? G_USEC_PER_SEC : MIN (timeout_us, G_USEC_PER_SEC));
  for (;;)
    {
      status = mp_ring_wait_for (self->ring, &need, MIN (look, deadline), NULL);
      /* It may never put what it was woken for. */
      if (status == MP_RING_DONE)
        mp_ring_pass_on (self->ring, G_IO_OUT);
      if (status != MP_RING_TIMED_OUT || mp_deadline_left (deadline) == 0)
        return status == MP_RING_DONE;
      look = g_get_monotonic_time () + mp_ring_claim_again (self->ring, &need);
    }
}

/**
 * mp_queue_claim:
 * @self: a queue
 * @length: how many bytes the message has
 *
 * Claims room for a message of this thread, for the loops of others, beside
 * [method@Mp.Queue.arm]: who has waited for some milliseconds calls this, and again every
 * 50, so that others, who then put only what leaves so much room, are not first for ever.
 * Puts of this thread are not held up by it, and the next one ends it. Not refreshed, it is void
 * after a moment. [method@Mp.Queue.put] and [method@Mp.Queue.put_async] do this by themselves.
 *
 * Returns: %TRUE if the room is claimed, %FALSE if somebody else has claimed it: try again
 *
 * Since: 0.1
 */
gboolean
mp_queue_claim (MpQueue *self, gsize length)
{
  MpRingNeed need;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self), FALSE);

  return measure_room (self, length, 1, FALSE, &need) && mp_ring_claim (self->ring, &need);
}

/**
 * mp_queue_unclaim:
 * @self: a queue
 *
 * Ends what [method@Mp.Queue.claim] or [method@Mp.Queue.wait_room] has begun: this thread waits
 * for room no longer.
 *
 * Since: 0.1
 */
void
mp_queue_unclaim (MpQueue *self)
{
  const MpRingNeed need = { .token = mp_ring_thread_token () };

  g_return_if_fail (MP_IS_READY_QUEUE (self));

  mp_ring_unclaim (self->ring, &need);
}

/**
 * mp_queue_poke:
 * @self: a queue
 *
 * Makes everybody who waits, in any process, look again. To be called when a
 * process was seen to die that used the queue: it may have put a message and not
 * have come to announce it, which the others would notice only after a second.
 *
 * Since: 0.1
 */
void
mp_queue_poke (MpQueue *self)
{
  g_return_if_fail (MP_IS_READY_QUEUE (self));

  mp_ring_poke (self->ring);
}

/**
 * mp_queue_get_closed: (get-property closed)
 * @self: a queue
 *
 * Whether it was closed, by this process or another.
 *
 * Returns: whether it is closed
 *
 * Since: 0.1
 */
gboolean
mp_queue_get_closed (MpQueue *self)
{
  g_return_val_if_fail (MP_IS_QUEUE (self), FALSE);

  return self->ring != NULL && mp_ring_is_closed (self->ring);
}

/**
 * mp_queue_get_length: (get-property length)
 * @self: a queue
 *
 * How many messages are in it: exact, but others may put and get meanwhile.
 *
 * Returns: the number of messages
 *
 * Since: 0.1
 */
guint
mp_queue_get_length (MpQueue *self)
{
  g_return_val_if_fail (MP_IS_QUEUE (self), 0);

  return self->ring != NULL ? mp_ring_get_length (self->ring) : 0;
}

/**
 * mp_queue_get_max_items: (get-property max-items)
 * @self: a queue
 *
 * How many messages it holds at most.
 *
 * Returns: the bound, 0 if there is none
 *
 * Since: 0.1
 */
guint
mp_queue_get_max_items (MpQueue *self)
{
  g_return_val_if_fail (MP_IS_QUEUE (self), 0);

  return self->max_items;
}

/**
 * mp_queue_get_max_bytes: (get-property max-bytes)
 * @self: a queue
 *
 * How many bytes it holds at most.
 *
 * Returns: the bound, 0 if there is none
 *
 * Since: 0.1
 */
guint64
mp_queue_get_max_bytes (MpQueue *self)
{
  g_return_val_if_fail (MP_IS_QUEUE (self), 0);

  return self->max_bytes;
}

/**
 * mp_queue_get_unfinished: (get-property unfinished)
 * @self: a queue
 *
 * How many messages were put that are not dealt with, whether they are still in
 * the queue or not.
 *
 * Returns: the number of messages
 *
 * Since: 0.1
 */
guint
mp_queue_get_unfinished (MpQueue *self)
{
  g_return_val_if_fail (MP_IS_QUEUE (self), 0);

  return self->ring != NULL ? mp_ring_get_unfinished (self->ring) : 0;
}
