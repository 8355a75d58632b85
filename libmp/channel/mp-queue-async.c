/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Queues and main loops. */

#include "mp-queue-private.h"
#include "mp-ring-layout-private.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"
#include "../base/mp-payload-private.h"

/* A message on its way to whoever fetches the result. */
typedef struct
{
  MpRing *ring;
  MpQueueItem item;
} Delivery;

static void
delivery_free (Delivery *self)
{
  g_bytes_unref (self->item.bytes);
  mp_ring_unref (self->ring);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Delivery, delivery_free)

/* Nobody fetched it. */
static void
delivery_put_back (gpointer data)
{
  g_autoptr (Delivery) self = data;
  GOutputVector part;
  MpRecord record = { .parts = &part, .n_parts = 1, .codec = self->item.codec };
  MpRingStatus status;

  part.buffer = g_bytes_get_data (self->item.bytes, &part.size);
  /* It counts as another one, and will be done once. Before: were we killed in
   * between, it would be lost, and nobody is to wait for it. */
  mp_ring_count_done (self->ring, 1);
  do
    status = mp_ring_put (self->ring, &record, 1, MP_RING_PUT_FORCE, MP_DEADLINE_NEVER);
  while (status == MP_RING_INTERRUPTED);
  if (status != MP_RING_DONE && status != MP_RING_CLOSED)
    g_warning ("A message of %" G_GSIZE_FORMAT " bytes that nobody fetched is lost", part.size);
}

static void
return_status (GTask *task, MpRingStatus status, gboolean putting)
{
  MpQueue *self = g_task_get_source_object (task);
  GError *error = NULL;

  mp_ring_set_error (&error, self->ring, status, putting);
  g_task_return_error (task, error);
}

/* Getting */

/* Returns FALSE if it has to wait. */
static gboolean
try_get (GTask *task)
{
  MpQueue *self = g_task_get_source_object (task);
  g_autoptr (GArray) items = g_array_new (FALSE, FALSE, sizeof (MpQueueItem));
  MpRingStatus status;
  Delivery *delivery;

  /* The last moment at which cancelling counts: what is taken is delivered. */
  if (g_task_return_error_if_cancelled (task))
    return TRUE;
  status = mp_queue_take (self, 1, mp_queue_take_item, items, 0, NULL, NULL);
  if (status == MP_RING_TIMED_OUT)
    return FALSE;
  if (status != MP_RING_DONE)
    {
      return_status (task, status, FALSE);
      return TRUE;
    }
  delivery = g_new (Delivery, 1);
  delivery->ring = mp_ring_ref (self->ring);
  delivery->item = g_array_index (items, MpQueueItem, 0);
  g_task_return_pointer (task, delivery, delivery_put_back);
  return TRUE;
}

static gboolean
on_get_ready (gpointer user_data)
{
  GTask *task = user_data;

  return try_get (task) ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
}

/* Calls @callback with @task when @source is ready, or when the task is cancelled. */
static void
attach_source (GTask *task, GSource *source, GSourceFunc callback)
{
  GCancellable *cancellable = g_task_get_cancellable (task);

  if (cancellable != NULL)
    {
      g_autoptr (GSource) child = g_cancellable_source_new (cancellable);

      g_source_set_dummy_callback (child);
      g_source_add_child_source (source, child);
    }
  g_source_set_callback (source, callback, g_object_ref (task), g_object_unref);
  g_source_set_priority (source, g_task_get_priority (task));
  g_source_attach (source, g_task_get_context (task));
}

/**
 * mp_queue_get_async:
 * @self: a queue
 * @cancellable: (nullable): cancels the waiting
 * @callback: (scope async) (nullable): called when it is done
 * @user_data: data for @callback
 *
 * Takes the first message as soon as there is one, see [method@Mp.Queue.get].
 * No thread waits for it.
 *
 * If nobody calls [method@Mp.Queue.get_finish], the message is put back, at the
 * end of the queue.
 *
 * Since: 0.1
 */
void
mp_queue_get_async (MpQueue *self,
                    GCancellable *cancellable,
                    GAsyncReadyCallback callback,
                    gpointer user_data)
{
  g_autoptr (GTask) task = NULL;
  g_autoptr (GSource) source = NULL;

  g_return_if_fail (MP_IS_READY_QUEUE (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, mp_queue_get_async);
  g_task_set_name (task, "mp_queue_get_async");
  g_task_set_check_cancellable (task, FALSE);
  if (try_get (task))
    return;
  source = mp_ring_source_new (self->ring, G_IO_IN);
  attach_source (task, source, on_get_ready);
}

/**
 * mp_queue_get_finish:
 * @self: a queue
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Ends [method@Mp.Queue.get_async].
 *
 * Returns: (transfer full) (nullable): the message, never floating, or `NULL` with
 *   @error set as by [method@Mp.Queue.get]
 *
 * Since: 0.1
 */
GVariant *
mp_queue_get_finish (MpQueue *self, GAsyncResult *result, GError **error)
{
  g_autoptr (Delivery) delivery = NULL;
  gsize length;
  const guint8 *data;

  g_return_val_if_fail (MP_IS_QUEUE (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  delivery = g_task_propagate_pointer (G_TASK (result), error);
  if (delivery == NULL)
    return NULL;
  data = g_bytes_get_data (delivery->item.bytes, &length);
  return mp_payload_to_variant (data, length, delivery->item.codec, error);
}

/* Putting */

/* Returns FALSE if it has to wait. */
static gboolean
try_put (GTask *task)
{
  MpQueue *self = g_task_get_source_object (task);
  GBytes *bytes = g_task_get_task_data (task);
  GOutputVector part;
  MpRecord record = { .parts = &part, .n_parts = 1, .codec = MP_CODEC_GVARIANT };
  MpRingStatus status;

  if (g_task_return_error_if_cancelled (task))
    return TRUE;
  part.buffer = g_bytes_get_data (bytes, &part.size);
  status = mp_queue_put_records (self, &record, 1, 0, NULL);
  if (status == MP_RING_TIMED_OUT)
    return FALSE;
  if (status == MP_RING_DONE)
    g_task_return_boolean (task, TRUE);
  else
    return_status (task, status, TRUE);
  return TRUE;
}

static gboolean
on_put_ready (gpointer user_data)
{
  GTask *task = user_data;

  return try_put (task) ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
}

/**
 * mp_queue_put_async:
 * @self: a queue
 * @value: the message; if it is floating, it is consumed
 * @cancellable: (nullable): cancels the waiting
 * @callback: (scope async) (nullable): called when it is done
 * @user_data: data for @callback
 *
 * Puts a message at the end of the queue as soon as there is room. No thread
 * waits for it. Messages that wait for room at the same time are put in any order.
 *
 * Since: 0.1
 */
void
mp_queue_put_async (MpQueue *self,
                    GVariant *value,
                    GCancellable *cancellable,
                    GAsyncReadyCallback callback,
                    gpointer user_data)
{
  g_autoptr (GTask) task = NULL;
  g_autoptr (GSource) source = NULL;
  GOutputVector part = { .buffer = NULL };
  MpRecord record = { .parts = &part, .n_parts = 1, .codec = MP_CODEC_GVARIANT };
  GBytes *bytes;

  g_return_if_fail (MP_IS_READY_QUEUE (self));
  g_return_if_fail (value != NULL);
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  bytes = mp_payload_from_variant (value);
  part.size = g_bytes_get_size (bytes);
  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, mp_queue_put_async);
  g_task_set_name (task, "mp_queue_put_async");
  g_task_set_check_cancellable (task, FALSE);
  g_task_set_task_data (task, bytes, (GDestroyNotify) g_bytes_unref);
  if (try_put (task))
    return;
  source = mp_ring_source_new_for_put (self->ring, &record, 1);
  attach_source (task, source, on_put_ready);
}

/**
 * mp_queue_put_finish:
 * @self: a queue
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Ends [method@Mp.Queue.put_async].
 *
 * Returns: whether it was put; if not, nothing happened, and @error is set as by
 *   [method@Mp.Queue.put]
 *
 * Since: 0.1
 */
gboolean
mp_queue_put_finish (MpQueue *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (MP_IS_QUEUE (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/* Watching */

typedef struct
{
  GSource source;
  MpQueue *queue;
} QueueSource;

static gboolean
queue_source_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  QueueSource *self = (QueueSource *) source;
  MpQueueFunc func = (MpQueueFunc) (void (*) (void)) callback;

  return func != NULL ? func (self->queue, user_data) : G_SOURCE_REMOVE;
}

static void
queue_source_finalize (GSource *source)
{
  QueueSource *self = (QueueSource *) source;

  g_object_unref (self->queue);
}

static gboolean
keep_source (gpointer user_data)
{
  return G_SOURCE_CONTINUE;
}

/* It has nothing to look at but its child. */
static GSourceFuncs queue_source_funcs = {
  .dispatch = queue_source_dispatch,
  .finalize = queue_source_finalize,
};

/**
 * mp_queue_get_fd:
 * @self: a queue
 * @condition: `G_IO_IN`: a message to take, or `G_IO_OUT`: room for a small one
 *
 * A descriptor for the loops of others, such as those of select() or of asyncio. It
 * is to be polled for reading, whatever @condition is, and never to be read, written
 * or closed. It says something only after [method@Mp.Queue.arm].
 *
 * Returns: the descriptor, which lives as long as @self
 *
 * Since: 0.1
 */
int
mp_queue_get_fd (MpQueue *self, GIOCondition condition)
{
  g_return_val_if_fail (MP_IS_READY_QUEUE (self), -1);
  g_return_val_if_fail (condition == G_IO_IN || condition == G_IO_OUT, -1);

  return mp_ring_get_event (self->ring, condition);
}

/**
 * mp_queue_arm:
 * @self: a queue
 * @condition: `G_IO_IN`: a message to take, or `G_IO_OUT`: room for a small one
 *
 * Makes the descriptor of [method@Mp.Queue.get_fd] become readable as soon as there
 * may be something to do. To be called each time before it is polled. As many
 * loops in as many processes as like to may do this at a time; all are woken, and
 * who finds nothing left calls this again. Should a process die at the moment at
 * which it was about to wake the others, nobody does: look again after a second.
 *
 * Returns: %TRUE if there is something to do now, or the queue is closed: try,
 *   instead of polling
 *
 * Since: 0.1
 */
gboolean
mp_queue_arm (MpQueue *self, GIOCondition condition)
{
  MpRingNeed need;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self), FALSE);
  g_return_val_if_fail (condition == G_IO_IN || condition == G_IO_OUT, FALSE);

  need = mp_ring_need (condition);
  return mp_ring_is_ready (self->ring, &need) || mp_ring_arm (self->ring, &need);
}

/**
 * mp_queue_create_source: (skip)
 * @self: a queue
 * @cancellable: (nullable): makes the source ready, too, when it is cancelled
 *
 * Makes a source that is ready while there is a message to take, or the queue is
 * closed. Its callback is a [callback@Mp.QueueFunc], to be set with
 * `g_source_set_callback (source, G_SOURCE_FUNC (func), …)`.
 *
 * Several sources, also in different processes, may watch one queue. All of them
 * are woken, and the others may be faster: take with a timeout of 0.
 *
 * Returns: (transfer full): the source, not attached
 *
 * Since: 0.1
 */
GSource *
mp_queue_create_source (MpQueue *self, GCancellable *cancellable)
{
  g_autoptr (GSource) child = NULL;
  GSource *source;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  source = g_source_new (&queue_source_funcs, sizeof (QueueSource));
  g_source_set_static_name (source, "MpQueue");
  ((QueueSource *) source)->queue = g_object_ref (self);
  child = mp_ring_source_new (self->ring, G_IO_IN);
  g_source_set_callback (child, keep_source, NULL, NULL);
  g_source_add_child_source (source, child);
  if (cancellable != NULL)
    {
      g_autoptr (GSource) cancelled = g_cancellable_source_new (cancellable);

      g_source_set_dummy_callback (cancelled);
      g_source_add_child_source (source, cancelled);
    }
  return source;
}

typedef struct
{
  MpQueueFunc callback;
  gpointer user_data;
  GDestroyNotify destroy;
} Watch;

static gboolean
watch_dispatch (MpQueue *queue, gpointer user_data)
{
  Watch *self = user_data;
  gboolean ended = mp_queue_get_closed (queue) && mp_queue_get_length (queue) == 0;

  return self->callback (queue, self->user_data) && !ended;
}

static void
watch_free (gpointer data)
{
  Watch *self = data;

  if (self->destroy != NULL)
    self->destroy (self->user_data);
  g_free (self);
}

/**
 * mp_queue_add_watch:
 * @self: a queue
 * @callback: (scope notified) (closure user_data) (destroy destroy): called whenever
 *   there is a message to take
 * @user_data: data for @callback
 * @destroy: (nullable): frees @user_data when the watch is removed
 *
 * Watches the queue from the thread-default main context of the caller. @callback
 * should take with a timeout of 0, since others may have been faster. When the
 * queue is closed and empty, it is called a last time, and the watch removed.
 *
 * Returns: the id of the watch's source in that context, see `g_source_remove()`
 *
 * Since: 0.1
 */
guint
mp_queue_add_watch (MpQueue *self, MpQueueFunc callback, gpointer user_data, GDestroyNotify destroy)
{
  g_autoptr (GSource) source = NULL;
  Watch *watch;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self), 0);
  g_return_val_if_fail (callback != NULL, 0);

  watch = g_new (Watch, 1);
  *watch = (Watch){ .callback = callback, .user_data = user_data, .destroy = destroy };
  source = mp_queue_create_source (self, NULL);
  g_source_set_callback (source, G_SOURCE_FUNC (watch_dispatch), watch, watch_free);
  return g_source_attach (source, g_main_context_get_thread_default ());
}
