/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Closing and emptying a queue, and waiting until its messages are dealt with. */

#include "mp-queue-private.h"

#include "../base/mp-async-private.h"
#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"

/**
 * mp_queue_close:
 * @self: a queue
 *
 * Closes the queue for everybody: no more messages can be put. What is in it can
 * still be taken; then getting fails with [error@Mp.Error.CLOSED], instead of
 * waiting. Whoever waits is woken.
 *
 * Since: 0.1
 */
void
mp_queue_close (MpQueue *self)
{
  mp_queue_close_sides (self, MP_QUEUE_SIDES_PUT);
}

/**
 * mp_queue_close_sides:
 * @self: a queue
 * @sides: what can not be done any more
 *
 * Closes one side of the queue, or both, for everybody. Whoever waits is woken.
 *
 * %MP_QUEUE_SIDES_PUT does what [method@Mp.Queue.close] does. With
 * %MP_QUEUE_SIDES_GET, for consumers that give up, what is in the queue is dropped
 * and counts as done; putting and getting fail with [error@Mp.Error.CLOSED] from
 * then on.
 *
 * Since: 0.1
 */
void
mp_queue_close_sides (MpQueue *self, MpQueueSides sides)
{
  gboolean was_closed;

  g_return_if_fail (MP_IS_READY_QUEUE (self));
  g_return_if_fail (sides != 0 && (sides & ~(MP_QUEUE_SIDES_PUT | MP_QUEUE_SIDES_GET)) == 0);

  was_closed = mp_ring_is_closed (self->ring);
  if (was_closed && sides == MP_QUEUE_SIDES_PUT)
    return;
  mp_ring_close (self->ring, sides);
  if (!was_closed)
    g_object_notify (G_OBJECT (self), "closed");
}

/**
 * mp_queue_drain:
 * @self: a queue
 *
 * Takes all messages away that are in the queue. They count as done. How many there are is what
 * others say, so this ends after about a second: of tens of millions some may be left.
 *
 * Returns: how many were taken away
 *
 * Since: 0.1
 */
guint
mp_queue_drain (MpQueue *self)
{
  guint32 n = 0;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self), 0);

  mp_ring_drain (self->ring, G_MAXUINT32, &n);
  return n;
}

/**
 * mp_queue_peek_length:
 * @self: a queue
 * @length: (out): how many bytes it has, in the form in which it travels
 * @error: return location for an error
 *
 * How long the first message is, for whoever has to find room for it. Another
 * consumer may take it before the caller does.
 *
 * Returns: whether there is one; if not, @error is set: [error@Mp.Error.EMPTY],
 *   [error@Mp.Error.CLOSED] if it is closed and empty, [error@Mp.Error.CORRUPT]
 *
 * Since: 0.1
 */
gboolean
mp_queue_peek_length (MpQueue *self, gsize *length, GError **error)
{
  MpRingStatus status;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self) && length != NULL, FALSE);

  *length = 0;
  do
    status = mp_ring_peek_length (self->ring, length);
  while (status == MP_RING_INTERRUPTED);
  return status == MP_RING_DONE || mp_ring_set_error (error, self->ring, status, FALSE);
}

/**
 * mp_queue_task_done:
 * @self: a queue
 * @error: return location for an error
 *
 * Says that a message which was taken is dealt with. Any process may say so for
 * any other.
 *
 * Returns: whether it was counted; if not, @error is [error@Mp.Error.INVALID_ARGUMENT]:
 *   it was called more often than there were messages
 *
 * Since: 0.1
 */
gboolean
mp_queue_task_done (MpQueue *self, GError **error)
{
  g_return_val_if_fail (MP_IS_READY_QUEUE (self), FALSE);

  if (mp_ring_count_done (self->ring, 1))
    return TRUE;
  g_set_error_literal (error,
                       MP_ERROR,
                       MP_ERROR_INVALID_ARGUMENT,
                       "More messages of the queue are done than were put");
  return FALSE;
}

/**
 * mp_queue_join:
 * @self: a queue
 * @timeout_us: how long to wait: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Waits until every message that was put is dealt with, see
 * [method@Mp.Queue.task_done].
 *
 * What a process had taken that was killed before it said so stays unfinished:
 * who sees it die can say it in its place.
 *
 * Returns: whether all are; if not, @error is set: [error@Mp.Error.TIMED_OUT],
 *   which tells how many are not, or `G_IO_ERROR_CANCELLED`
 *
 * Since: 0.1
 */
gboolean
mp_queue_join (MpQueue *self, gint64 timeout_us, GCancellable *cancellable, GError **error)
{
  gint64 deadline = mp_deadline_new (timeout_us);
  MpRingStatus status;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  do
    status = mp_ring_join (self->ring, deadline, cancellable);
  while (status == MP_RING_INTERRUPTED && !g_cancellable_is_cancelled (cancellable));
  if (status == MP_RING_TIMED_OUT)
    g_set_error (error,
                 MP_ERROR,
                 MP_ERROR_TIMED_OUT,
                 "%u messages of the queue are not done",
                 mp_ring_get_unfinished (self->ring));
  else if (status != MP_RING_DONE)
    mp_ring_set_error (error, self->ring, status, FALSE);
  return status == MP_RING_DONE;
}

static gboolean
try_join (gpointer user_data)
{
  GTask *task = user_data;
  MpQueue *self = g_task_get_source_object (task);

  if (g_task_return_error_if_cancelled (task))
    return G_SOURCE_REMOVE;
  if (mp_ring_get_unfinished (self->ring) != 0)
    return G_SOURCE_CONTINUE;
  g_task_return_boolean (task, TRUE);
  return G_SOURCE_REMOVE;
}

/**
 * mp_queue_join_async:
 * @self: a queue
 * @cancellable: (nullable): cancels the waiting
 * @callback: (scope async) (nullable): called when it is done
 * @user_data: data for @callback
 *
 * Waits until every message that was put is dealt with, see
 * [method@Mp.Queue.join]. No thread waits for it.
 *
 * Since: 0.1
 */
void
mp_queue_join_async (MpQueue *self,
                     GCancellable *cancellable,
                     GAsyncReadyCallback callback,
                     gpointer user_data)
{
  g_autoptr (GTask) task = NULL;

  g_return_if_fail (MP_IS_READY_QUEUE (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = mp_async_new (self, mp_queue_join_async, cancellable, callback, user_data);
  mp_queue_attempt (task, try_join, G_IO_PRI);
}

/**
 * mp_queue_join_finish:
 * @self: a queue
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Ends [method@Mp.Queue.join_async].
 *
 * Returns: whether all are dealt with; if not, @error is set: `G_IO_ERROR_CANCELLED`
 *
 * Since: 0.1
 */
gboolean
mp_queue_join_finish (MpQueue *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (MP_IS_QUEUE (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * mp_queue_wait_joined:
 * @self: a queue
 * @timeout_us: how long to wait: microseconds, -1 for ever, 0 not at all
 *
 * The same as [method@Mp.Queue.join], but it returns after a second at most, and
 * early when a signal handler ran in this thread: for bindings whose language then wants
 * to act on a signal, and calls this again.
 *
 * Returns: whether every message is dealt with
 *
 * Since: 0.1
 */
gboolean
mp_queue_wait_joined (MpQueue *self, gint64 timeout_us)
{
  g_return_val_if_fail (MP_IS_READY_QUEUE (self), FALSE);

  if (timeout_us < 0 || timeout_us > G_USEC_PER_SEC)
    timeout_us = G_USEC_PER_SEC;
  return mp_ring_join (self->ring, mp_deadline_new (timeout_us), NULL) == MP_RING_DONE;
}
