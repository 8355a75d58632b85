/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Connections and main loops. */

#include "mp-connection-private.h"

#include "../base/mp-async-private.h"
#include "../base/mp-payload-private.h"

/* What is on its way: it waits for its turn, then for the descriptor. */
typedef struct
{
  MpConnection *connection;
  GIOCondition condition;
  MpTurn *turn;
  MpTurnWaiter waiter;
  gboolean has_turn;
  gboolean watching;
  GSource *source;
  /* What is sent. */
  GBytes *bytes;
  MpOutgoing outgoing;
} Operation;

/* Gives the turn on, or leaves the line. */
static void
operation_end (Operation *self)
{
  if (self->has_turn)
    mp_turn_release (self->turn);
  else
    mp_turn_dequeue (self->turn, &self->waiter);
  self->has_turn = FALSE;
}

static void
operation_free (gpointer data)
{
  Operation *self = data;

  g_clear_pointer (&self->source, g_source_unref);
  g_clear_pointer (&self->bytes, g_bytes_unref);
  g_free (self);
}

/* A frame on its way to whoever fetches the result. */
typedef struct
{
  MpConnection *connection;
  MpFrame frame;
} Delivery;

static void
delivery_free (Delivery *self)
{
  mp_frame_clear (&self->frame);
  g_object_unref (self->connection);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Delivery, delivery_free)

/* Nobody fetched it. */
static void
delivery_put_back (gpointer data)
{
  g_autoptr (Delivery) self = data;

  mp_connection_give_back (self->connection, &self->frame);
}

static void
return_frame (GTask *task, MpFrame *frame)
{
  Delivery *delivery = g_new (Delivery, 1);

  delivery->connection = g_object_ref (g_task_get_source_object (task));
  delivery->frame = *frame;
  g_task_return_pointer (task, delivery, delivery_put_back);
}

/* From now on the source is ready when the descriptor is, or the connection is closed. */
static void
watch (Operation *self)
{
  int wake_fd;

  if (self->watching)
    return;
  self->watching = TRUE;
  g_source_add_unix_fd (self->source, self->connection->transport.fd, self->condition);
  wake_fd = mp_connection_get_wake_fd (self->connection);
  if (wake_fd >= 0)
    g_source_add_unix_fd (self->source, wake_fd, G_IO_IN);
}

/* With the turn, and entered. */
static MpFlow
step (GTask *task, Operation *self, MpFrame *frame, GError **error)
{
  MpConnection *connection = self->connection;
  MpFlow flow;

  if (self->condition == G_IO_IN)
    flow = mp_connection_receive_some (connection, NULL, frame, error);
  else
    flow = mp_connection_send_some (connection, &self->outgoing, error);
  if (flow == MP_FLOW_AGAIN)
    watch (self);
  if (flow == MP_FLOW_FAILED && self->condition == G_IO_OUT)
    mp_connection_abandon (connection, &self->outgoing, error);
  return flow;
}

static gboolean
advance (gpointer user_data)
{
  GTask *task = user_data;
  Operation *self = g_task_get_task_data (task);
  GCancellable *cancellable = g_task_get_cancellable (task);
  MpFrame frame = { .bytes = NULL };
  MpFlow flow = MP_FLOW_FAILED;
  GError *error = NULL;

  if (!self->has_turn)
    self->has_turn = mp_turn_is_granted (self->turn, &self->waiter);
  if (mp_connection_enter (self->connection, self->condition, &error))
    {
      /* The last moment at which cancelling counts: what is taken is delivered. */
      if (g_cancellable_set_error_if_cancelled (cancellable, &error))
        {
          if (self->has_turn)
            mp_connection_abandon (self->connection, &self->outgoing, &error);
        }
      else
        flow = self->has_turn ? step (task, self, &frame, &error) : MP_FLOW_AGAIN;
      mp_connection_leave (self->connection);
    }
  if (flow == MP_FLOW_AGAIN)
    return G_SOURCE_CONTINUE;
  operation_end (self);
  if (flow == MP_FLOW_FAILED)
    g_task_return_error (task, error);
  else if (self->condition == G_IO_IN)
    return_frame (task, &frame);
  else
    g_task_return_boolean (task, TRUE);
  return G_SOURCE_REMOVE;
}

static gboolean
operation_source_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  g_source_set_ready_time (source, -1);
  return callback (user_data);
}

static GSourceFuncs operation_source_funcs = { .dispatch = operation_source_dispatch };

/* Takes @task. */
static void
start (GTask *owned, GIOCondition condition, GBytes *bytes)
{
  g_autoptr (GTask) task = owned;
  MpConnection *connection = g_task_get_source_object (task);
  Operation *self = g_new0 (Operation, 1);

  g_task_set_task_data (task, self, operation_free);
  self->connection = connection;
  self->condition = condition;
  self->turn = condition == G_IO_IN ? &connection->receive_turn : &connection->send_turn;
  self->source = g_source_new (&operation_source_funcs, sizeof (GSource));
  g_source_set_static_name (self->source, "MpConnection");
  self->waiter.source = self->source;
  if (bytes != NULL)
    {
      gsize length;
      const void *data = g_bytes_get_data (bytes, &length);

      self->bytes = g_bytes_ref (bytes);
      mp_outgoing_init (&self->outgoing, data, length);
    }
  self->has_turn = mp_turn_enqueue (self->turn, &self->waiter);
  if (advance (task) == G_SOURCE_REMOVE)
    return;
  /* It stands in the line, and the connection may be closed meanwhile. */
  if (!self->watching)
    {
      int wake_fd = mp_connection_get_wake_fd (connection);

      if (wake_fd >= 0)
        g_source_add_unix_fd (self->source, wake_fd, G_IO_IN);
    }
  mp_async_attach (task, self->source, advance);
}

/**
 * mp_connection_send_bytes_async:
 * @self: a connection
 * @bytes: the bytes; there may be none
 * @cancellable: (nullable): cancels the waiting
 * @callback: (scope async) (nullable): called when it is done
 * @user_data: data for @callback
 *
 * Sends bytes as one message as soon as there is room, after what is being sent already.
 * No thread waits for it.
 *
 * Since: 0.1
 */
void
mp_connection_send_bytes_async (MpConnection *self,
                                GBytes *bytes,
                                GCancellable *cancellable,
                                GAsyncReadyCallback callback,
                                gpointer user_data)
{
  g_return_if_fail (MP_IS_CONNECTION (self));
  g_return_if_fail (bytes != NULL);
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  start (mp_async_new (self, mp_connection_send_bytes_async, cancellable, callback, user_data),
         G_IO_OUT,
         bytes);
}

/**
 * mp_connection_send_bytes_finish:
 * @self: a connection
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Ends [method@Mp.Connection.send_bytes_async].
 *
 * Returns: whether it was sent; if not, @error is set as by
 *   [method@Mp.Connection.send_bytes]
 *
 * Since: 0.1
 */
gboolean
mp_connection_send_bytes_finish (MpConnection *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (MP_IS_CONNECTION (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * mp_connection_send_async:
 * @self: a connection
 * @value: the message; if it is floating, it is consumed
 * @cancellable: (nullable): cancels the waiting
 * @callback: (scope async) (nullable): called when it is done
 * @user_data: data for @callback
 *
 * Sends a variant, see [method@Mp.Connection.send], as soon as there is room. No thread
 * waits for it.
 *
 * Since: 0.1
 */
void
mp_connection_send_async (MpConnection *self,
                          GVariant *value,
                          GCancellable *cancellable,
                          GAsyncReadyCallback callback,
                          gpointer user_data)
{
  g_autoptr (GBytes) bytes = NULL;

  g_return_if_fail (MP_IS_CONNECTION (self));
  g_return_if_fail (value != NULL);
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  bytes = mp_payload_from_variant (value);
  start (mp_async_new (self, mp_connection_send_async, cancellable, callback, user_data),
         G_IO_OUT,
         bytes);
}

/**
 * mp_connection_send_finish:
 * @self: a connection
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Ends [method@Mp.Connection.send_async].
 *
 * Returns: whether it was sent; if not, @error is set as by [method@Mp.Connection.send]
 *
 * Since: 0.1
 */
gboolean
mp_connection_send_finish (MpConnection *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (MP_IS_CONNECTION (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * mp_connection_recv_bytes_async:
 * @self: a connection
 * @cancellable: (nullable): cancels the waiting
 * @callback: (scope async) (nullable): called when it is done
 * @user_data: data for @callback
 *
 * Receives the next message as soon as there is one, see
 * [method@Mp.Connection.recv_bytes]. No thread waits for it. If nobody calls
 * [method@Mp.Connection.recv_bytes_finish], the message is what is received next.
 *
 * Since: 0.1
 */
void
mp_connection_recv_bytes_async (MpConnection *self,
                                GCancellable *cancellable,
                                GAsyncReadyCallback callback,
                                gpointer user_data)
{
  g_return_if_fail (MP_IS_CONNECTION (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  start (mp_async_new (self, mp_connection_recv_bytes_async, cancellable, callback, user_data),
         G_IO_IN,
         NULL);
}

/**
 * mp_connection_recv_bytes_finish:
 * @self: a connection
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Ends [method@Mp.Connection.recv_bytes_async].
 *
 * Returns: (transfer full) (nullable): the bytes, or `NULL` with @error set as by
 *   [method@Mp.Connection.recv_bytes]
 *
 * Since: 0.1
 */
GBytes *
mp_connection_recv_bytes_finish (MpConnection *self, GAsyncResult *result, GError **error)
{
  g_autoptr (Delivery) delivery = NULL;

  g_return_val_if_fail (MP_IS_CONNECTION (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  delivery = g_task_propagate_pointer (G_TASK (result), error);
  return delivery != NULL ? g_steal_pointer (&delivery->frame.bytes) : NULL;
}

/**
 * mp_connection_recv_async:
 * @self: a connection
 * @cancellable: (nullable): cancels the waiting
 * @callback: (scope async) (nullable): called when it is done
 * @user_data: data for @callback
 *
 * Receives the next message as a variant as soon as there is one, see
 * [method@Mp.Connection.recv]. No thread waits for it. If nobody calls
 * [method@Mp.Connection.recv_finish], the message is what is received next.
 *
 * Since: 0.1
 */
void
mp_connection_recv_async (MpConnection *self,
                          GCancellable *cancellable,
                          GAsyncReadyCallback callback,
                          gpointer user_data)
{
  g_return_if_fail (MP_IS_CONNECTION (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  start (mp_async_new (self, mp_connection_recv_async, cancellable, callback, user_data),
         G_IO_IN,
         NULL);
}

/**
 * mp_connection_recv_finish:
 * @self: a connection
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Ends [method@Mp.Connection.recv_async].
 *
 * Returns: (transfer full) (nullable): the message, never floating, or `NULL` with @error
 *   set as by [method@Mp.Connection.recv]
 *
 * Since: 0.1
 */
GVariant *
mp_connection_recv_finish (MpConnection *self, GAsyncResult *result, GError **error)
{
  g_autoptr (Delivery) delivery = NULL;

  g_return_val_if_fail (MP_IS_CONNECTION (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  delivery = g_task_propagate_pointer (G_TASK (result), error);
  return delivery != NULL ? mp_connection_decode (self, &delivery->frame, error) : NULL;
}

/* Sources */

typedef struct
{
  GSource source;
  MpConnection *connection;
} ConnectionSource;

static gboolean
connection_source_prepare (GSource *source, int *timeout)
{
  ConnectionSource *self = (ConnectionSource *) source;

  *timeout = -1;
  return mp_connection_look (self->connection);
}

static gboolean
connection_source_check (GSource *source)
{
  ConnectionSource *self = (ConnectionSource *) source;

  return mp_connection_look (self->connection);
}

static gboolean
connection_source_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  ConnectionSource *self = (ConnectionSource *) source;
  MpConnectionFunc func = (MpConnectionFunc) (void (*) (void)) callback;

  return func != NULL ? func (self->connection, user_data) : G_SOURCE_REMOVE;
}

static gboolean
connection_source_closure (MpConnection *connection, gpointer user_data)
{
  return G_SOURCE_CONTINUE;
}

static void
connection_source_finalize (GSource *source)
{
  g_object_unref (((ConnectionSource *) source)->connection);
}

static GSourceFuncs connection_source_funcs = {
  .prepare = connection_source_prepare,
  .check = connection_source_check,
  .dispatch = connection_source_dispatch,
  .finalize = connection_source_finalize,
  .closure_callback = (GSourceFunc) (void (*) (void)) connection_source_closure,
};

/**
 * mp_connection_create_source: (skip)
 * @self: a connection
 * @cancellable: (nullable): makes the source ready when it is cancelled
 *
 * Makes a source that is ready while there is something to receive, see
 * [method@Mp.Connection.poll], or the connection is closed. Its callback is an
 * [callback@Mp.ConnectionFunc].
 *
 * Returns: (transfer full): the source, not attached
 *
 * Since: 0.1
 */
GSource *
mp_connection_create_source (MpConnection *self, GCancellable *cancellable)
{
  GSource *source;
  ConnectionSource *connection_source;
  int wake_fd;

  g_return_val_if_fail (MP_IS_CONNECTION (self), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  source = g_source_new (&connection_source_funcs, sizeof (ConnectionSource));
  connection_source = (ConnectionSource *) source;
  connection_source->connection = g_object_ref (self);
  g_source_set_static_name (source, "MpConnection");
  wake_fd = mp_connection_get_wake_fd (self);
  if (!mp_users_is_ending (&self->users))
    g_source_add_unix_fd (source, self->transport.fd, G_IO_IN);
  if (wake_fd >= 0)
    g_source_add_unix_fd (source, wake_fd, G_IO_IN);
  mp_async_add_cancellable (source, cancellable);
  return source;
}
