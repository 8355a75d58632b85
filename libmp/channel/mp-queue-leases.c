/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Messages that are lent until they are dealt with. */

#include "mp-lease-private.h"
#include "mp-queue-private.h"
#include "mp-ring-layout-private.h"

#include "../base/mp-async-private.h"
#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"

static MpRingStatus
lease (MpQueue *self, gint64 timeout_us, GCancellable *cancellable, MpRingBlock **block)
{
  gint64 deadline = mp_deadline_new (timeout_us);
  MpRingStatus status;

  *block = NULL;
  if (g_cancellable_is_cancelled (cancellable))
    return MP_RING_INTERRUPTED;
  do
    status = mp_ring_lease (self->ring, deadline, cancellable, block);
  while (status == MP_RING_INTERRUPTED && !g_cancellable_is_cancelled (cancellable));
  return status;
}

/**
 * mp_queue_get_leased:
 * @self: a queue
 * @timeout_us: how long to wait for a message: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Borrows the first message: it is the caller's until [method@Mp.Lease.ack], and comes
 * back if the caller, or its process, is gone before. Up to 4096 messages can be
 * lent at a time, less those that are long.
 *
 * A message with descriptors cannot be lent, since they cannot come back from a process that is
 * dead: this is [error@Mp.Error.NOT_SUPPORTED], and leaves it to
 * [method@Mp.Queue.get_with_fds].
 *
 * Once the queue is closed, this fails with [error@Mp.Error.CLOSED] only when
 * it is empty and nothing is lent that could come back.
 *
 * Returns: (transfer full) (nullable): the lease, or `NULL` with @error set:
 *   [error@Mp.Error.EMPTY] if there was no message in time, [error@Mp.Error.CLOSED],
 *   [error@Mp.Error.LIMIT] if too much is lent or there is no memory,
 *   [error@Mp.Error.CORRUPT], `G_IO_ERROR_CANCELLED`
 *
 * Since: 0.1
 */
MpLease *
mp_queue_get_leased (MpQueue *self, gint64 timeout_us, GCancellable *cancellable, GError **error)
{
  MpRingBlock *block;
  MpRingStatus status;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  status = lease (self, timeout_us, cancellable, &block);
  if (block != NULL)
    return mp_lease_new (block);
  mp_ring_set_error (error, self->ring, status, FALSE);
  return NULL;
}

static gboolean
try_lease (gpointer user_data)
{
  GTask *task = user_data;
  MpQueue *self = g_task_get_source_object (task);
  MpRingBlock *block;
  GError *error = NULL;
  MpRingStatus status;

  if (g_task_return_error_if_cancelled (task))
    return G_SOURCE_REMOVE;
  status = lease (self, 0, NULL, &block);
  if (status == MP_RING_TIMED_OUT)
    return G_SOURCE_CONTINUE;
  if (block != NULL)
    {
      g_task_return_pointer (task, mp_lease_new (block), g_object_unref);
      return G_SOURCE_REMOVE;
    }
  mp_ring_set_error (&error, self->ring, status, FALSE);
  g_task_return_error (task, error);
  return G_SOURCE_REMOVE;
}

/**
 * mp_queue_get_leased_async:
 * @self: a queue
 * @cancellable: (nullable): cancels the waiting
 * @callback: (scope async) (nullable): called when it is done
 * @user_data: data for @callback
 *
 * Borrows the first message as soon as there is one, see
 * [method@Mp.Queue.get_leased]. If nobody calls
 * [method@Mp.Queue.get_leased_finish], it goes back.
 *
 * Since: 0.1
 */
void
mp_queue_get_leased_async (MpQueue *self,
                           GCancellable *cancellable,
                           GAsyncReadyCallback callback,
                           gpointer user_data)
{
  g_autoptr (GTask) task = NULL;

  g_return_if_fail (MP_IS_READY_QUEUE (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = mp_async_new (self, mp_queue_get_leased_async, cancellable, callback, user_data);
  mp_queue_attempt (task, try_lease, G_IO_IN);
}

/**
 * mp_queue_get_leased_finish:
 * @self: a queue
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Ends [method@Mp.Queue.get_leased_async].
 *
 * Returns: (transfer full) (nullable): the lease, or `NULL` with @error set as by
 *   [method@Mp.Queue.get_leased]
 *
 * Since: 0.1
 */
MpLease *
mp_queue_get_leased_finish (MpQueue *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (MP_IS_QUEUE (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * mp_queue_get_n_leased: (get-property n-leased)
 * @self: a queue
 *
 * How many messages are lent, to processes that live or died, or wait to be lent
 * again.
 *
 * Returns: the number of messages
 *
 * Since: 0.1
 */
guint
mp_queue_get_n_leased (MpQueue *self)
{
  MpStore *store;

  g_return_val_if_fail (MP_IS_QUEUE (self), 0);

  if (self->ring == NULL || atomic_load (&self->ring->shared->blocks_used) == 0)
    return 0;
  store = mp_ring_get_store (self->ring, FALSE);
  return store != NULL ? mp_store_count (store, MP_BLOCK_LEASED, FALSE) +
                           mp_store_count (store, MP_BLOCK_LEASED, TRUE)
                       : 0;
}

/**
 * mp_queue_get_max_deliveries: (get-property max-deliveries)
 * @self: a queue
 *
 * How often a message is lent at most.
 *
 * Returns: the bound, 0 if there is none
 *
 * Since: 0.1
 */
guint
mp_queue_get_max_deliveries (MpQueue *self)
{
  g_return_val_if_fail (MP_IS_QUEUE (self), 0);

  return self->max_deliveries;
}

/**
 * mp_queue_get_dead_letters: (get-property dead-letters)
 * @self: a queue
 *
 * The queue into which those messages go that were delivered too often.
 *
 * Returns: (transfer none) (nullable): the queue, if there is one
 *
 * Since: 0.1
 */
MpQueue *
mp_queue_get_dead_letters (MpQueue *self)
{
  g_return_val_if_fail (MP_IS_QUEUE (self), NULL);

  return self->dead_letters;
}
