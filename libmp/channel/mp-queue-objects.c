/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Objects inside of messages: handles, and their descriptors.
 *
 * Who gets one looks at the message first, and makes the object of what the kernel gave it
 * duplicates of. Only then the message is taken, if it is still the first one: whoever has no
 * descriptors left, or no memory, leaves it to others, or to itself at a better time. */

#include "mp-queue-private.h"

#include <string.h>

#include "../base/mp-async-private.h"
#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"
#include "../base/mp-payload-private.h"
#include "../memory/mp-shareable-private.h"

/* How the payload of a handle ends: a variant of type v has the type of what it holds there. */
static const char handle_suffix[] = "\0" MP_HANDLE_TYPE;

/* Putting */

/**
 * mp_queue_put_shareable:
 * @self: a queue
 * @shareable: the object
 * @timeout_us: how long to wait for room: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Puts an object that can be shared at the end of the queue: a message with its handle, and
 * its descriptors along with it, see [method@Mp.Queue.put_with_fds]. Unlike a handle
 * without descriptors, it does not need this process any more.
 *
 * Returns: whether it was put; if not, nothing happened, and @error is set as by
 *   [method@Mp.Shareable.to_handle] and [method@Mp.Queue.put_with_fds]
 *
 * Since: 0.1
 */
gboolean
mp_queue_put_shareable (MpQueue *self,
                        MpShareable *shareable,
                        gint64 timeout_us,
                        GCancellable *cancellable,
                        GError **error)
{
  g_autoptr (GUnixFDList) fd_list = NULL;
  g_autoptr (GVariant) handle = NULL;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self), FALSE);
  g_return_val_if_fail (MP_IS_SHAREABLE (shareable), FALSE);

  if (!mp_queue_check_carries_fds (self, error))
    return FALSE;
  fd_list = g_unix_fd_list_new ();
  handle = mp_shareable_to_handle (shareable, fd_list, error);
  return handle != NULL &&
         mp_queue_put_with_fds (self, handle, fd_list, timeout_us, cancellable, error);
}

/**
 * mp_queue_put_shareable_async:
 * @self: a queue
 * @shareable: the object
 * @cancellable: (nullable): cancels the waiting
 * @callback: (scope async) (nullable): called when it is done
 * @user_data: data for @callback
 *
 * Puts an object at the end of the queue as soon as there is room, see
 * [method@Mp.Queue.put_shareable]. No thread waits for it.
 *
 * Since: 0.1
 */
void
mp_queue_put_shareable_async (MpQueue *self,
                              MpShareable *shareable,
                              GCancellable *cancellable,
                              GAsyncReadyCallback callback,
                              gpointer user_data)
{
  g_autoptr (GTask) task = NULL;
  g_autoptr (GUnixFDList) fd_list = NULL;
  g_autoptr (GVariant) handle = NULL;
  GError *error = NULL;

  g_return_if_fail (MP_IS_READY_QUEUE (self));
  g_return_if_fail (MP_IS_SHAREABLE (shareable));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = mp_async_new (self, mp_queue_put_shareable_async, cancellable, callback, user_data);
  fd_list = g_unix_fd_list_new ();
  if (mp_queue_check_carries_fds (self, &error))
    handle = mp_shareable_to_handle (shareable, fd_list, &error);
  if (handle != NULL)
    mp_queue_start_put (task, mp_payload_from_variant (handle), fd_list);
  else
    g_task_return_error (task, error);
}

/**
 * mp_queue_put_shareable_finish:
 * @self: a queue
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Ends [method@Mp.Queue.put_shareable_async].
 *
 * Returns: whether it was put; if not, nothing happened, and @error is set as by
 *   [method@Mp.Queue.put_shareable]
 *
 * Since: 0.1
 */
gboolean
mp_queue_put_shareable_finish (MpQueue *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (MP_IS_QUEUE (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/* Getting */

/* The first message, while nobody has taken it. */
typedef struct
{
  GArray *incoming; /* where its descriptors come in */
  GArray *fds;      /* and where they stay */
  gboolean is_handle;
  guint32 seq;
  GBytes *bytes;
} Look;

/* An MpRingTake that only looks. */
static gboolean
look_at_handle (gpointer user_data,
                guint32 seq,
                guint32 n_ready,
                MpCodec codec,
                const guint8 *data,
                gsize length)
{
  const gsize size = sizeof handle_suffix - 1;
  Look *self = user_data;

  self->is_handle = codec == MP_CODEC_GVARIANT && length >= size &&
                    memcmp (data + length - size, handle_suffix, size) == 0;
  if (!self->is_handle)
    return FALSE;
  self->seq = seq;
  self->bytes = mp_queue_copy_bytes (data, length);
  g_array_append_vals (self->fds, self->incoming->data, self->incoming->len);
  g_array_set_size (self->incoming, 0);
  return FALSE;
}

/* MP_RING_REFUSED if it is no handle; the descriptors are for the caller to close. */
static MpRingStatus
look (MpQueue *self, Look *look, gint64 deadline, GCancellable *cancellable)
{
  MpRingStatus status;

  do
    status = g_cancellable_is_cancelled (cancellable) ? MP_RING_INTERRUPTED
                                                      : mp_ring_take_with_fds (self->ring,
                                                                               look_at_handle,
                                                                               look,
                                                                               look->incoming,
                                                                               deadline,
                                                                               cancellable);
  while (status == MP_RING_INTERRUPTED && !g_cancellable_is_cancelled (cancellable));
  if (status != MP_RING_REFUSED || !look->is_handle)
    return status;
  return look->bytes != NULL ? MP_RING_DONE : MP_RING_NO_MEMORY;
}

/* The object of the first message, which stays: NULL with @error set if there is none to be
 * had of it. */
static MpRingStatus
import_first (MpQueue *self,
              MpShareable **object,
              guint32 *seq,
              gint64 deadline,
              GCancellable *cancellable,
              GError **error)
{
  g_autoptr (GArray) incoming = g_array_new (FALSE, FALSE, sizeof (int));
  g_autoptr (GArray) fds = g_array_new (FALSE, FALSE, sizeof (int));
  g_autoptr (GUnixFDList) fd_list = NULL;
  g_autoptr (GVariant) handle = NULL;
  g_autoptr (GBytes) bytes = NULL;
  Look found = { .incoming = incoming, .fds = fds };
  MpRingStatus status = look (self, &found, deadline, cancellable);

  bytes = found.bytes;
  /* It closes them. */
  fd_list = g_unix_fd_list_new_from_array ((const int *) (gpointer) fds->data, (int) fds->len);
  *seq = found.seq;
  if (status != MP_RING_DONE)
    return status;
  handle = mp_payload_bytes_to_variant (bytes, MP_CODEC_GVARIANT, error);
  if (handle != NULL)
    *object = mp_shareable_new_from_handle (handle, fd_list, error);
  return MP_RING_DONE;
}

typedef struct
{
  guint32 seq;
  gboolean found;
  MpQueueItem item;
} Taking;

/* An MpRingTake that refuses any other message. */
static gboolean
take_found (gpointer user_data,
            guint32 seq,
            guint32 n_ready,
            MpCodec codec,
            const guint8 *data,
            gsize length)
{
  Taking *self = user_data;

  self->found = seq == self->seq;
  if (!self->found)
    return FALSE;
  self->item = (MpQueueItem){ .codec = codec, .bytes = mp_queue_copy_bytes (data, length) };
  return self->item.bytes != NULL;
}

/* MP_RING_TIMED_OUT if others were faster. */
static MpRingStatus
take_first (MpQueue *self, guint32 seq, MpQueueDelivery **delivery)
{
  g_autoptr (GUnixFDList) fd_list = NULL;
  Taking taking = { .seq = seq };
  MpRingStatus status = mp_queue_take_with_fds (self, take_found, &taking, &fd_list, 0, NULL);

  if (status == MP_RING_REFUSED)
    return taking.found ? MP_RING_NO_MEMORY : MP_RING_TIMED_OUT;
  if (status != MP_RING_DONE)
    return status == MP_RING_CLOSED ? MP_RING_TIMED_OUT : status;
  *delivery = g_new (MpQueueDelivery, 1);
  **delivery = (MpQueueDelivery){ .ring = mp_ring_ref (self->ring),
                                  .item = taking.item,
                                  .fd_list = g_steal_pointer (&fd_list) };
  return MP_RING_DONE;
}

/* MP_RING_DONE with *@delivery NULL and @error set if no object could be made. */
static MpRingStatus
take_object (MpQueue *self,
             MpQueueDelivery **delivery,
             gint64 deadline,
             GCancellable *cancellable,
             GError **error)
{
  for (;;)
    {
      g_autoptr (MpShareable) object = NULL;
      g_autoptr (GError) local_error = NULL;
      g_autoptr (MpQueueDelivery) taken = NULL;
      guint32 seq;
      MpRingStatus status = import_first (self, &object, &seq, deadline, cancellable, &local_error);

      if (status != MP_RING_DONE)
        return status;
      /* What can never become an object is taken away, too. */
      if (!g_error_matches (local_error, MP_ERROR, MP_ERROR_LIMIT))
        status = take_first (self, seq, &taken);
      if (status == MP_RING_TIMED_OUT)
        continue;
      if (status != MP_RING_DONE)
        return status;
      if (object == NULL)
        g_propagate_error (error, g_steal_pointer (&local_error));
      else
        {
          taken->object = G_OBJECT (g_steal_pointer (&object));
          *delivery = g_steal_pointer (&taken);
        }
      return MP_RING_DONE;
    }
}

static void
set_status_error (MpQueue *self, MpRingStatus status, GError **error)
{
  if (status == MP_RING_REFUSED)
    g_set_error_literal (error, MP_ERROR, MP_ERROR_TYPE, "The next message is not a handle");
  else
    mp_ring_set_error (error, self->ring, status, FALSE);
}

/* Takes the object. */
static MpShareable *
delivery_open (MpQueueDelivery *delivery)
{
  g_autoptr (MpQueueDelivery) self = delivery;

  return self != NULL ? MP_SHAREABLE (g_steal_pointer (&self->object)) : NULL;
}

/**
 * mp_queue_get_shareable:
 * @self: a queue
 * @timeout_us: how long to wait for a message: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Takes an object that was put by [method@Mp.Queue.put_shareable], or as a handle without
 * descriptors. Whoever has put it is not trusted. A message that is something else is
 * [error@Mp.Error.TYPE], and stays, as does one for whose object there are no descriptors left,
 * or no memory: [error@Mp.Error.LIMIT]. One whose object can never be made is taken away.
 *
 * Returns: (transfer full) (nullable): the object, or `NULL` with @error set as by
 *   [method@Mp.Queue.get_with_fds] and [func@Mp.Shareable.new_from_handle]
 *
 * Since: 0.1
 */
MpShareable *
mp_queue_get_shareable (MpQueue *self, gint64 timeout_us, GCancellable *cancellable, GError **error)
{
  MpQueueDelivery *delivery = NULL;
  MpRingStatus status;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  status = take_object (self, &delivery, mp_deadline_new (timeout_us), cancellable, error);
  if (status != MP_RING_DONE)
    set_status_error (self, status, error);
  return delivery_open (delivery);
}

static gboolean
try_get_object (gpointer user_data)
{
  GTask *task = user_data;
  MpQueue *self = g_task_get_source_object (task);
  MpQueueDelivery *delivery = NULL;
  GError *error = NULL;
  MpRingStatus status;

  if (g_task_return_error_if_cancelled (task))
    return G_SOURCE_REMOVE;
  status = take_object (self, &delivery, MP_DEADLINE_NOW, NULL, &error);
  if (status == MP_RING_TIMED_OUT)
    return G_SOURCE_CONTINUE;
  if (status != MP_RING_DONE)
    set_status_error (self, status, &error);
  if (error != NULL)
    g_task_return_error (task, error);
  else
    g_task_return_pointer (task, delivery, mp_queue_delivery_put_back);
  return G_SOURCE_REMOVE;
}

/**
 * mp_queue_get_shareable_async:
 * @self: a queue
 * @cancellable: (nullable): cancels the waiting
 * @callback: (scope async) (nullable): called when it is done
 * @user_data: data for @callback
 *
 * Takes an object as soon as there is a message, see [method@Mp.Queue.get_shareable]. No
 * thread waits for it. If nobody calls [method@Mp.Queue.get_shareable_finish], the message
 * is put back, at the end of the queue.
 *
 * Since: 0.1
 */
void
mp_queue_get_shareable_async (MpQueue *self,
                              GCancellable *cancellable,
                              GAsyncReadyCallback callback,
                              gpointer user_data)
{
  g_autoptr (GTask) task = NULL;

  g_return_if_fail (MP_IS_READY_QUEUE (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = mp_async_new (self, mp_queue_get_shareable_async, cancellable, callback, user_data);
  mp_queue_attempt (task, try_get_object, G_IO_IN);
}

/**
 * mp_queue_get_shareable_finish:
 * @self: a queue
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Ends [method@Mp.Queue.get_shareable_async].
 *
 * Returns: (transfer full) (nullable): the object, or `NULL` with @error set as by
 *   [method@Mp.Queue.get_shareable]
 *
 * Since: 0.1
 */
MpShareable *
mp_queue_get_shareable_finish (MpQueue *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (MP_IS_QUEUE (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  return delivery_open (g_task_propagate_pointer (G_TASK (result), error));
}
