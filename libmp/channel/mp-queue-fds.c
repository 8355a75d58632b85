/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Descriptors inside of messages. */

#include "mp-queue-private.h"

#include "../base/mp-async-private.h"
#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"
#include "../base/mp-fd-private.h"
#include "../base/mp-payload-private.h"

/**
 * mp_queue_new_carrying_fds:
 * @max_items: how many messages it holds at most, 0 for no bound
 * @max_bytes: how many bytes it holds at most, 0 for no bound
 * @error: return location for an error
 *
 * Makes an empty queue into which descriptors can be put, and objects that are shared by
 * descriptors: see [method@Mp.Queue.put_with_fds].
 *
 * Returns: (transfer full) (nullable): the queue, or `NULL` with @error set as by
 *   [ctor@Mp.Queue.new]
 *
 * Since: 0.1
 */
MpQueue *
mp_queue_new_carrying_fds (guint max_items, guint64 max_bytes, GError **error)
{
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_initable_new (MP_TYPE_QUEUE,
                         NULL,
                         error,
                         "max-items",
                         max_items,
                         "max-bytes",
                         max_bytes,
                         "carries-fds",
                         TRUE,
                         NULL);
}

/**
 * mp_queue_get_carries_fds: (get-property carries-fds)
 * @self: a queue
 *
 * Whether descriptors can be put into it.
 *
 * Returns: whether it was made so
 *
 * Since: 0.1
 */
gboolean
mp_queue_get_carries_fds (MpQueue *self)
{
  g_return_val_if_fail (MP_IS_QUEUE (self), FALSE);

  return self->carries_fds;
}

/* Putting */

gboolean
mp_queue_check_carries_fds (MpQueue *self, GError **error)
{
  if (self->carries_fds)
    return TRUE;
  g_set_error_literal (error,
                       MP_ERROR,
                       MP_ERROR_NOT_SUPPORTED,
                       "The queue was not made to carry descriptors");
  return FALSE;
}

gboolean
mp_queue_set_record_fds (MpQueue *self, MpRecord *record, GUnixFDList *fd_list, GError **error)
{
  int n_fds = 0;

  if (fd_list != NULL)
    record->fds = g_unix_fd_list_peek_fds (fd_list, &n_fds);
  record->n_fds = (guint) n_fds;
  if (n_fds == 0)
    return TRUE;
  if (!mp_queue_check_carries_fds (self, error))
    return FALSE;
  if (n_fds <= MP_FD_MAX_IN_MESSAGE)
    return TRUE;
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_LIMIT,
               "A message of %d descriptors, there can be at most %d",
               n_fds,
               MP_FD_MAX_IN_MESSAGE);
  return FALSE;
}

/**
 * mp_queue_put_payload_with_fds:
 * @self: a queue
 * @data: (array length=length) (element-type guint8): the bytes of the message
 * @length: how many there are
 * @codec: what they are
 * @fd_list: (nullable): its descriptors, which stay the caller's
 * @timeout_us: how long to wait for room: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Puts a message in the form in which it travels, and descriptors, see
 * [method@Mp.Queue.put_with_fds].
 *
 * Returns: whether it was put; if not, nothing happened, and @error is set as by
 *   [method@Mp.Queue.put_with_fds]
 *
 * Since: 0.1
 */
gboolean
mp_queue_put_payload_with_fds (MpQueue *self,
                               const guint8 *data,
                               gsize length,
                               MpCodec codec,
                               GUnixFDList *fd_list,
                               gint64 timeout_us,
                               GCancellable *cancellable,
                               GError **error)
{
  const GOutputVector part = { .buffer = data, .size = length };
  MpRecord record = { .parts = &part, .n_parts = 1, .codec = codec };
  MpRingStatus status;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self) && codec <= MP_CODEC_LAST, FALSE);
  g_return_val_if_fail (fd_list == NULL || G_IS_UNIX_FD_LIST (fd_list), FALSE);

  if (!mp_queue_set_record_fds (self, &record, fd_list, error))
    return FALSE;
  status = mp_queue_put_records (self, &record, 1, timeout_us, cancellable);
  return status == MP_RING_DONE || mp_ring_set_error (error, self->ring, status, TRUE);
}

/**
 * mp_queue_put_with_fds:
 * @self: a queue
 * @value: the message; if it is floating, it is consumed
 * @fd_list: (nullable): its descriptors, which stay the caller's
 * @timeout_us: how long to wait for room: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Puts a message and up to 253 descriptors that belong to it at the end of the queue, which
 * has to be made for that: [ctor@Mp.Queue.new_carrying_fds]. Handles of type `h` in
 * @value are to be places in @fd_list. Several objects go along in one message when the
 * handles that [method@Mp.Shareable.to_handle] makes with this list are in @value.
 *
 * The system keeps the descriptors until somebody takes the message: they do not depend
 * on this process. [method@Mp.Queue.get_with_fds] takes it, in any process, while
 * the calls that give no descriptors, leases among them, fail with
 * [error@Mp.Error.NOT_SUPPORTED] and leave it. Whoever is killed at whatever moment
 * has put both, message and descriptors, or none, and taken both or none. What a process was
 * about to put when it was killed is closed at the latest once the queue is empty and
 * somebody waits for a message, tries to take one, or calls [method@Mp.Queue.poke].
 *
 * Some hundred such messages can be in a queue, by the size that the system gives to the
 * buffers of sockets (`net.core.wmem_default`): where there is no room in that sense, this
 * waits, too. All the descriptors that a user has on their way, in sockets of any kind,
 * are bounded by the limit on its open files. The message counts as eight bytes more.
 *
 * Returns: whether it was put; if not, nothing happened, and @error is set:
 *   [error@Mp.Error.NOT_SUPPORTED] if there are descriptors and the queue was not made to
 *   carry them, [error@Mp.Error.LIMIT] if there are too many of them,
 *   [error@Mp.Error.INVALID_ARGUMENT] if the system does not let one of them be sent,
 *   otherwise as by [method@Mp.Queue.put]
 *
 * Since: 0.1
 */
gboolean
mp_queue_put_with_fds (MpQueue *self,
                       GVariant *value,
                       GUnixFDList *fd_list,
                       gint64 timeout_us,
                       GCancellable *cancellable,
                       GError **error)
{
  g_autoptr (GBytes) bytes = NULL;
  const guint8 *data;
  gsize length;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self), FALSE);
  g_return_val_if_fail (value != NULL, FALSE);

  bytes = mp_payload_from_variant (value);
  data = g_bytes_get_data (bytes, &length);
  return mp_queue_put_payload_with_fds (self,
                                        data,
                                        length,
                                        MP_CODEC_GVARIANT,
                                        fd_list,
                                        timeout_us,
                                        cancellable,
                                        error);
}

/**
 * mp_queue_put_with_fds_async:
 * @self: a queue
 * @value: the message; if it is floating, it is consumed
 * @fd_list: (nullable): its descriptors, not to be changed until it is done
 * @cancellable: (nullable): cancels the waiting
 * @callback: (scope async) (nullable): called when it is done
 * @user_data: data for @callback
 *
 * Puts a message and its descriptors at the end of the queue as soon as there is room, see
 * [method@Mp.Queue.put_with_fds]. No thread waits for it. Messages that wait for room at the
 * same time are put in any order.
 *
 * Since: 0.1
 */
void
mp_queue_put_with_fds_async (MpQueue *self,
                             GVariant *value,
                             GUnixFDList *fd_list,
                             GCancellable *cancellable,
                             GAsyncReadyCallback callback,
                             gpointer user_data)
{
  g_autoptr (GTask) task = NULL;

  g_return_if_fail (MP_IS_READY_QUEUE (self));
  g_return_if_fail (value != NULL);
  g_return_if_fail (fd_list == NULL || G_IS_UNIX_FD_LIST (fd_list));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = mp_async_new (self, mp_queue_put_with_fds_async, cancellable, callback, user_data);
  mp_queue_start_put (task, mp_payload_from_variant (value), fd_list);
}

/**
 * mp_queue_put_with_fds_finish:
 * @self: a queue
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Ends [method@Mp.Queue.put_with_fds_async].
 *
 * Returns: whether it was put; if not, nothing happened, and @error is set as by
 *   [method@Mp.Queue.put_with_fds]
 *
 * Since: 0.1
 */
gboolean
mp_queue_put_with_fds_finish (MpQueue *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (MP_IS_QUEUE (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/* Getting */

MpRingStatus
mp_queue_take_with_fds (MpQueue *self,
                        MpRingTake take,
                        gpointer user_data,
                        GUnixFDList **fd_list,
                        gint64 timeout_us,
                        GCancellable *cancellable)
{
  g_autoptr (GArray) fds = g_array_new (FALSE, FALSE, sizeof (int));
  gint64 deadline = mp_deadline_new (timeout_us);
  MpRingStatus status;

  if (g_cancellable_is_cancelled (cancellable))
    return MP_RING_INTERRUPTED;
  do
    status = mp_ring_take_with_fds (self->ring, take, user_data, fds, deadline, cancellable);
  while (status == MP_RING_INTERRUPTED && !g_cancellable_is_cancelled (cancellable));
  if (status == MP_RING_DONE)
    *fd_list = g_unix_fd_list_new_from_array ((const int *) (gpointer) fds->data, (int) fds->len);
  return status;
}

static gboolean
take_item (gpointer user_data,
           guint32 seq,
           guint32 n_ready,
           MpCodec codec,
           const guint8 *data,
           gsize length)
{
  MpQueueItem *item = user_data;

  item->codec = codec;
  item->bytes = mp_queue_copy_bytes (data, length);
  return item->bytes != NULL;
}

/**
 * mp_queue_get_bytes_with_fds:
 * @self: a queue
 * @timeout_us: how long to wait for a message: microseconds, -1 for ever, 0 not at all
 * @codec: (out) (optional): what they are, a [enum@Mp.Codec]
 * @fd_list: (out) (transfer full) (nullable): its descriptors, a list that may be empty, if a
 *   message was taken
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Takes the first message, in the form in which it travelled, and its descriptors, if it has
 * any, see [method@Mp.Queue.get_with_fds].
 *
 * Returns: (transfer full) (nullable): its bytes, or `NULL` with @error set as by
 *   [method@Mp.Queue.get_payload] and [method@Mp.Queue.get_with_fds], and nothing taken
 *
 * Since: 0.1
 */
GBytes *
mp_queue_get_bytes_with_fds (MpQueue *self,
                             gint64 timeout_us,
                             guint *codec,
                             GUnixFDList **fd_list,
                             GCancellable *cancellable,
                             GError **error)
{
  MpQueueItem item = { .bytes = NULL };
  MpRingStatus status;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self), NULL);
  g_return_val_if_fail (fd_list != NULL, NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  *fd_list = NULL;
  status = mp_queue_take_with_fds (self, take_item, &item, fd_list, timeout_us, cancellable);
  if (status == MP_RING_REFUSED)
    status = MP_RING_NO_MEMORY;
  if (status != MP_RING_DONE)
    mp_ring_set_error (error, self->ring, status, FALSE);
  if (codec != NULL)
    *codec = item.codec;
  return status == MP_RING_DONE ? item.bytes : NULL;
}

/* The value of @item, whose bytes it takes. */
static GVariant *
convert_item (MpQueueItem *item, GError **error)
{
  g_autoptr (GBytes) bytes = item->bytes;

  return mp_payload_bytes_to_variant (bytes, item->codec, error);
}

/**
 * mp_queue_get_with_fds:
 * @self: a queue
 * @timeout_us: how long to wait for a message: microseconds, -1 for ever, 0 not at all
 * @fd_list: (out) (transfer full) (nullable): its descriptors, a list that may be empty, if a
 *   message was taken
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Takes the first message, whether it has descriptors or not. Those are closed on exec, and
 * what @fd_list still has of them is closed with it. That handles of type `h` in the
 * message are places in the list is for the caller to check. See
 * [method@Mp.Queue.put_with_fds].
 *
 * Returns: (transfer full) (nullable): the message, never floating, or `NULL` with
 *   @error set: [error@Mp.Error.LIMIT] if this process has too many files open for the
 *   descriptors, and nothing was taken; otherwise as by [method@Mp.Queue.get]
 *
 * Since: 0.1
 */
GVariant *
mp_queue_get_with_fds (MpQueue *self,
                       gint64 timeout_us,
                       GUnixFDList **fd_list,
                       GCancellable *cancellable,
                       GError **error)
{
  MpQueueItem item = { .bytes = NULL };
  MpRingStatus status;
  GVariant *value;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self), NULL);
  g_return_val_if_fail (fd_list != NULL, NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  *fd_list = NULL;
  status = mp_queue_take_with_fds (self,
                                   mp_queue_take_readable_item,
                                   &item,
                                   fd_list,
                                   timeout_us,
                                   cancellable);
  if (status != MP_RING_DONE)
    {
      mp_ring_set_error (error, self->ring, status, FALSE);
      return NULL;
    }
  value = convert_item (&item, error);
  if (value == NULL)
    g_clear_object (fd_list);
  return value;
}

/**
 * mp_queue_get_with_fds_async:
 * @self: a queue
 * @cancellable: (nullable): cancels the waiting
 * @callback: (scope async) (nullable): called when it is done
 * @user_data: data for @callback
 *
 * Takes the first message, and its descriptors, if it has any, as soon as there is one, see
 * [method@Mp.Queue.get_with_fds]. No thread waits for it.
 *
 * If nobody calls [method@Mp.Queue.get_with_fds_finish], the message is put back, at the
 * end of the queue.
 *
 * Since: 0.1
 */
void
mp_queue_get_with_fds_async (MpQueue *self,
                             GCancellable *cancellable,
                             GAsyncReadyCallback callback,
                             gpointer user_data)
{
  g_autoptr (GTask) task = NULL;

  g_return_if_fail (MP_IS_READY_QUEUE (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = mp_async_new (self, mp_queue_get_with_fds_async, cancellable, callback, user_data);
  mp_queue_start_get (task, mp_queue_take_readable_item);
}

/**
 * mp_queue_get_with_fds_finish:
 * @self: a queue
 * @result: what the callback was given
 * @fd_list: (out) (transfer full) (nullable): its descriptors, a list that may be empty, if a
 *   message was taken
 * @error: return location for an error
 *
 * Ends [method@Mp.Queue.get_with_fds_async].
 *
 * Returns: (transfer full) (nullable): the message, never floating, or `NULL` with
 *   @error set as by [method@Mp.Queue.get_with_fds]
 *
 * Since: 0.1
 */
GVariant *
mp_queue_get_with_fds_finish (MpQueue *self,
                              GAsyncResult *result,
                              GUnixFDList **fd_list,
                              GError **error)
{
  g_autoptr (MpQueueDelivery) delivery = NULL;
  GVariant *value;

  g_return_val_if_fail (MP_IS_QUEUE (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (fd_list != NULL, NULL);

  *fd_list = NULL;
  delivery = g_task_propagate_pointer (G_TASK (result), error);
  if (delivery == NULL)
    return NULL;
  value = mp_payload_bytes_to_variant (delivery->item.bytes, delivery->item.codec, error);
  if (value != NULL)
    *fd_list = g_steal_pointer (&delivery->fd_list);
  return value;
}
