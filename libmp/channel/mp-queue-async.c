/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Queues and main loops. */

#include "mp-buffer-private.h"
#include "mp-queue-private.h"
#include "mp-ring-layout-private.h"

#include "../base/mp-async-private.h"
#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"
#include "../base/mp-payload-private.h"

/* Nobody waits longer for room for what goes back. */
#define PUT_BACK_US G_USEC_PER_SEC

void
mp_queue_delivery_free (MpQueueDelivery *self)
{
  g_bytes_unref (self->item.bytes);
  g_clear_object (&self->fd_list);
  g_clear_object (&self->object);
  mp_ring_unref (self->ring);
  g_free (self);
}

void
mp_queue_delivery_put_back (gpointer data)
{
  g_autoptr (MpQueueDelivery) self = data;
  GOutputVector part;
  MpRecord record = { .parts = &part, .n_parts = 1, .codec = self->item.codec };
  gint64 deadline = MP_DEADLINE_NEVER;
  MpRingStatus status;
  int n_fds = 0;

  if (self->fd_list != NULL)
    record.fds = g_unix_fd_list_peek_fds (self->fd_list, &n_fds);
  record.n_fds = (guint) n_fds;
  /* There may never be room for them, bounds or not. */
  if (n_fds > 0)
    deadline = mp_deadline_new (PUT_BACK_US);
  part.buffer = g_bytes_get_data (self->item.bytes, &part.size);
  /* It counts as another one, and will be done once. Before: were we killed in
   * between, it would be lost, and nobody is to wait for it. */
  mp_ring_count_done (self->ring, 1);
  do
    status = mp_ring_put (self->ring, &record, 1, MP_RING_PUT_FORCE, deadline);
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

gboolean
mp_queue_take_readable_item (gpointer user_data,
                             guint32 seq,
                             guint32 n_ready,
                             MpCodec codec,
                             const guint8 *data,
                             gsize length)
{
  MpQueueItem *item = user_data;

  item->codec = codec;
  if (!mp_queue_is_readable (codec))
    return FALSE;
  if (data != NULL)
    item->bytes = mp_queue_copy_bytes (data, length);
  return data == NULL || item->bytes != NULL;
}

/* What only a call for descriptors passes on. */
typedef struct
{
  MpRingTake take;
} Getting;

static gboolean
try_get (gpointer user_data)
{
  GTask *task = user_data;
  MpQueue *self = g_task_get_source_object (task);
  const Getting *with_fds = g_task_get_task_data (task);
  g_autoptr (MpQueueDelivery) delivery = NULL;
  g_autoptr (MpRingBlock) block = NULL;
  g_autoptr (GUnixFDList) fd_list = NULL;
  MpQueueItem item = { .bytes = NULL };
  MpRingStatus status;

  /* The last moment at which cancelling counts: what is taken is delivered. */
  if (g_task_return_error_if_cancelled (task))
    return G_SOURCE_REMOVE;
  if (with_fds != NULL)
    status = mp_queue_take_with_fds (self, with_fds->take, &item, &fd_list, 0, NULL);
  else
    status = mp_queue_borrow (self, mp_queue_take_readable_item, &item, 0, NULL, &block);
  if (status == MP_RING_TIMED_OUT)
    return G_SOURCE_CONTINUE;
  if (status != MP_RING_DONE)
    {
      return_status (task, status, FALSE);
      return G_SOURCE_REMOVE;
    }
  delivery = g_new (MpQueueDelivery, 1);
  *delivery = (MpQueueDelivery){ .ring = mp_ring_ref (self->ring),
                                 .item = item,
                                 .fd_list = g_steal_pointer (&fd_list) };
  if (block != NULL)
    delivery->item.bytes = mp_ring_block_to_bytes (block);
  g_task_return_pointer (task, g_steal_pointer (&delivery), mp_queue_delivery_put_back);
  return G_SOURCE_REMOVE;
}

void
mp_queue_attempt (GTask *task, GSourceFunc attempt, GIOCondition condition)
{
  MpQueue *self = g_task_get_source_object (task);
  g_autoptr (GSource) source = NULL;

  if (attempt (task) == G_SOURCE_REMOVE)
    return;
  source = mp_ring_source_new (self->ring, condition);
  mp_async_attach (task, source, attempt);
}

void
mp_queue_start_get (GTask *task, MpRingTake take_with_fds)
{
  if (take_with_fds != NULL)
    {
      Getting *getting = g_new (Getting, 1);

      *getting = (Getting){ .take = take_with_fds };
      g_task_set_task_data (task, getting, g_free);
    }
  mp_queue_attempt (task, try_get, G_IO_IN);
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

  g_return_if_fail (MP_IS_READY_QUEUE (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = mp_async_new (self, mp_queue_get_async, cancellable, callback, user_data);
  mp_queue_start_get (task, NULL);
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
  g_autoptr (MpQueueDelivery) delivery = NULL;

  g_return_val_if_fail (MP_IS_QUEUE (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  delivery = g_task_propagate_pointer (G_TASK (result), error);
  if (delivery == NULL)
    return NULL;
  return mp_payload_shared_to_variant (delivery->item.bytes, delivery->item.codec, error);
}

/* Putting */

typedef struct
{
  GBytes *bytes;
  GUnixFDList *fd_list; /* nullable */
  GOutputVector part;
  MpRecord record;
  guint32 token; /* as which it claims room; 0 at first */
} Putting;

static void
putting_free (gpointer data)
{
  Putting *self = data;

  g_bytes_unref (self->bytes);
  g_clear_object (&self->fd_list);
  g_free (self);
}

static gboolean
try_put (gpointer user_data)
{
  GTask *task = user_data;
  MpQueue *self = g_task_get_source_object (task);
  const Putting *putting = g_task_get_task_data (task);
  MpRingStatus status;

  if (g_task_return_error_if_cancelled (task))
    return G_SOURCE_REMOVE;
  do
    status = mp_ring_put_claimed (self->ring, &putting->record, 1, putting->token);
  while (status == MP_RING_INTERRUPTED);
  if (status == MP_RING_TIMED_OUT)
    return G_SOURCE_CONTINUE;
  if (status == MP_RING_DONE)
    g_task_return_boolean (task, TRUE);
  else
    return_status (task, status, TRUE);
  return G_SOURCE_REMOVE;
}

void
mp_queue_start_put (GTask *task, GBytes *bytes, GUnixFDList *fd_list)
{
  MpQueue *self = g_task_get_source_object (task);
  Putting *putting = g_new0 (Putting, 1);
  g_autoptr (GSource) source = NULL;
  GError *error = NULL;

  putting->bytes = bytes;
  putting->fd_list = fd_list != NULL ? g_object_ref (fd_list) : NULL;
  putting->part.buffer = g_bytes_get_data (bytes, &putting->part.size);
  putting->record = (MpRecord){ .parts = &putting->part, .n_parts = 1, .codec = MP_CODEC_GVARIANT };
  g_task_set_task_data (task, putting, putting_free);
  if (!mp_queue_set_record_fds (self, &putting->record, fd_list, &error))
    g_task_return_error (task, error);
  else if (try_put (task) == G_SOURCE_CONTINUE)
    {
      putting->token = mp_ring_claim_token ();
      source = mp_ring_source_new_for_put (self->ring, &putting->record, 1, putting->token);
      mp_async_attach (task, source, try_put);
    }
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
 * waits for it. Messages that wait for room at the same time are put in any order, but
 * a big one has its turn among small ones.
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

  g_return_if_fail (MP_IS_READY_QUEUE (self));
  g_return_if_fail (value != NULL);
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = mp_async_new (self, mp_queue_put_async, cancellable, callback, user_data);
  mp_queue_start_put (task, mp_payload_from_variant (value), NULL);
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

static gboolean
is_condition (GIOCondition condition)
{
  return condition == G_IO_IN || condition == G_IO_OUT || condition == G_IO_PRI;
}

/**
 * mp_queue_get_fd:
 * @self: a queue
 * @condition: `G_IO_IN`: a message to take, `G_IO_OUT`: room for a small one, or `G_IO_PRI`:
 *   every message is dealt with, see [method@Mp.Queue.join]
 *
 * A descriptor for the loops of others, such as those of select() or of asyncio. It
 * is to be polled for reading, whatever @condition is, and never to be read, written
 * or closed. It says something only after [method@Mp.Queue.arm]. That of `G_IO_PRI` may be
 * the one of `G_IO_OUT`, where nobody waits for room.
 *
 * Returns: the descriptor, which lives as long as @self
 *
 * Since: 0.1
 */
int
mp_queue_get_fd (MpQueue *self, GIOCondition condition)
{
  g_return_val_if_fail (MP_IS_READY_QUEUE (self), -1);
  g_return_val_if_fail (is_condition (condition), -1);

  return mp_ring_get_event (self->ring, condition);
}

/**
 * mp_queue_arm:
 * @self: a queue
 * @condition: `G_IO_IN`: a message to take, `G_IO_OUT`: room for a small one, or `G_IO_PRI`:
 *   every message is dealt with, see [method@Mp.Queue.join]
 *
 * Makes the descriptor of [method@Mp.Queue.get_fd] become readable as soon as there
 * may be something to do. To be called each time before it is polled. As many
 * loops in as many processes as like to may do this at a time; all are woken, and
 * who finds nothing left calls this again. While there is room for one who has claimed it, see
 * [method@Mp.Queue.claim], the descriptor stays readable for that one: who is woken in vain again
 * and again looks after some milliseconds instead. Should a process die at the moment at
 * which it was about to wake the others, nobody does: look again after a second.
 *
 * Returns: %TRUE if there is something to do now, or, unless @condition is `G_IO_PRI`, the
 *   queue is closed: try, instead of polling
 *
 * Since: 0.1
 */
gboolean
mp_queue_arm (MpQueue *self, GIOCondition condition)
{
  MpRingNeed need;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self), FALSE);
  g_return_val_if_fail (is_condition (condition), FALSE);

  need = mp_ring_need (condition);
  need.token = mp_ring_thread_token ();
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
  mp_async_add_cancellable (source, cancellable);
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
