/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Waiting for clients. */

#include "mp-listener-private.h"

#include <poll.h>

#include "../base/mp-async-private.h"
#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"

void
mp_listener_leave (MpListener *self)
{
  if (mp_users_leave (&self->users))
    mp_clients_clear (&self->clients);
}

static void
set_closed_error (GError **error)
{
  g_set_error_literal (error, MP_ERROR, MP_ERROR_CLOSED, "The listener is closed");
}

static gboolean
never (gpointer data)
{
  return FALSE;
}

void
mp_listener_take_turn (MpListener *self)
{
  mp_turn_wait (&self->turn, MP_DEADLINE_NEVER, NULL, never, NULL);
}

/* Entered. Without waiting, or with the descriptor to wait for, for MP_FLOW_AGAIN. */
static MpFlow
take (MpListener *self, MpFound **found, int *fd, GError **error)
{
  GError *local_error = NULL;

  if (mp_users_is_ending (&self->users))
    {
      set_closed_error (error);
      return MP_FLOW_FAILED;
    }
  mp_listener_take_turn (self);
  *found = mp_clients_take (&self->clients, &local_error);
  *fd = self->clients.epoll_fd;
  mp_turn_release (&self->turn);
  if (*found != NULL)
    return MP_FLOW_DONE;
  if (local_error == NULL)
    return MP_FLOW_AGAIN;
  g_propagate_error (error, local_error);
  return MP_FLOW_FAILED;
}

static MpConnection *
unpack (MpFound *found, GError **error)
{
  MpConnection *connection = g_steal_pointer (&found->connection);

  if (connection == NULL)
    g_propagate_error (error, g_steal_pointer (&found->error));
  mp_found_free (found);
  return connection;
}

/* FALSE with @error set: cancelled, or at the deadline. */
static gboolean
sleep_on (int fd, gint64 deadline, GCancellable *cancellable, GError **error)
{
  GPollFD polls[2] = { { .fd = fd, .events = G_IO_IN }, { .fd = -1, .events = G_IO_IN } };
  gint64 left = mp_deadline_left (deadline);
  struct timespec time = { .tv_sec = left / G_USEC_PER_SEC,
                           .tv_nsec = left % G_USEC_PER_SEC * 1000 };
  gboolean cancellable_polled =
    cancellable != NULL && g_cancellable_make_pollfd (cancellable, &polls[1]);
  struct pollfd fds[2] = { { .fd = fd, .events = POLLIN },
                           { .fd = cancellable_polled ? polls[1].fd : -1, .events = POLLIN } };

  if (left != 0)
    ppoll (fds, G_N_ELEMENTS (fds), left < 0 ? NULL : &time, NULL);
  if (cancellable_polled)
    g_cancellable_release_fd (cancellable);
  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  if (left != 0)
    return TRUE;
  g_set_error_literal (error, MP_ERROR, MP_ERROR_TIMED_OUT, "No client came in time");
  return FALSE;
}

/**
 * mp_listener_accept:
 * @self: a listener
 * @timeout_us: how long to wait for a client: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Gives the connection to the next client that has come in. A client that has another
 * key, or sends what is no handshake, is an error, after which the listener goes on: call
 * this again. One that leaves, or does not show its key in time, is forgotten.
 *
 * Returns: (transfer full) (nullable): the connection, or `NULL` with @error set:
 *   [error@Mp.Error.AUTHENTICATION] for such a client, [error@Mp.Error.TIMED_OUT] if
 *   nobody came, `G_IO_ERROR_CANCELLED`, [error@Mp.Error.CLOSED] if the listener is closed,
 *   [error@Mp.Error.LIMIT] if there are too many open files
 *
 * Since: 0.1
 */
MpConnection *
mp_listener_accept (MpListener *self, gint64 timeout_us, GCancellable *cancellable, GError **error)
{
  gint64 deadline = mp_deadline_new (timeout_us);
  MpFound *found = NULL;
  MpFlow flow;
  int fd;

  g_return_val_if_fail (MP_IS_LISTENER (self), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return NULL;
  if (!mp_users_enter (&self->users))
    {
      set_closed_error (error);
      return NULL;
    }
  do
    flow = take (self, &found, &fd, error);
  while (flow == MP_FLOW_AGAIN && sleep_on (fd, deadline, cancellable, error));
  mp_listener_leave (self);
  return flow == MP_FLOW_DONE ? unpack (found, error) : NULL;
}

/* Somebody on the way to whoever fetches the result. */
typedef struct
{
  MpListener *listener;
  MpFound *found;
} Delivery;

static void
delivery_put_back (gpointer data)
{
  Delivery *self = data;

  if (mp_users_enter (&self->listener->users))
    {
      mp_listener_take_turn (self->listener);
      mp_clients_give_back (&self->listener->clients, g_steal_pointer (&self->found));
      mp_turn_release (&self->listener->turn);
      mp_listener_leave (self->listener);
    }
  g_clear_pointer (&self->found, mp_found_free);
  g_object_unref (self->listener);
  g_free (self);
}

/* Entered. Returns FALSE if it has to wait; else it has left. */
static gboolean
try_accept (GTask *task, int *fd)
{
  MpListener *self = g_task_get_source_object (task);
  GError *error = NULL;
  MpFound *found = NULL;
  Delivery *delivery;
  MpFlow flow = MP_FLOW_FAILED;

  if (!g_cancellable_set_error_if_cancelled (g_task_get_cancellable (task), &error))
    flow = take (self, &found, fd, &error);
  if (flow == MP_FLOW_AGAIN)
    return FALSE;
  mp_listener_leave (self);
  if (flow == MP_FLOW_FAILED)
    {
      g_task_return_error (task, error);
      return TRUE;
    }
  delivery = g_new (Delivery, 1);
  *delivery = (Delivery){ .listener = g_object_ref (self), .found = found };
  g_task_return_pointer (task, delivery, delivery_put_back);
  return TRUE;
}

static gboolean
on_ready (gpointer user_data)
{
  int fd;

  return try_accept (user_data, &fd) ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
}

static gboolean
dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  return callback (user_data);
}

/**
 * mp_listener_accept_async:
 * @self: a listener
 * @cancellable: (nullable): cancels the waiting
 * @callback: (scope async) (nullable): called when it is done
 * @user_data: data for @callback
 *
 * Waits for the next client, see [method@Mp.Listener.accept]. No thread waits for it. If
 * nobody calls [method@Mp.Listener.accept_finish], the client is the next one again.
 *
 * Since: 0.1
 */
void
mp_listener_accept_async (MpListener *self,
                          GCancellable *cancellable,
                          GAsyncReadyCallback callback,
                          gpointer user_data)
{
  static GSourceFuncs funcs = { .dispatch = dispatch };
  g_autoptr (GTask) task = NULL;
  g_autoptr (GSource) source = NULL;
  int fd;

  g_return_if_fail (MP_IS_LISTENER (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = mp_async_new (self, mp_listener_accept_async, cancellable, callback, user_data);
  if (!mp_users_enter (&self->users))
    {
      g_task_return_new_error (task, MP_ERROR, MP_ERROR_CLOSED, "The listener is closed");
      return;
    }
  if (try_accept (task, &fd))
    return;
  source = g_source_new (&funcs, sizeof (GSource));
  g_source_set_static_name (source, "MpListener");
  g_source_add_unix_fd (source, fd, G_IO_IN);
  mp_async_attach (task, source, on_ready);
}

/**
 * mp_listener_accept_finish:
 * @self: a listener
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Ends [method@Mp.Listener.accept_async].
 *
 * Returns: (transfer full) (nullable): the connection, or `NULL` with @error set as by
 *   [method@Mp.Listener.accept]
 *
 * Since: 0.1
 */
MpConnection *
mp_listener_accept_finish (MpListener *self, GAsyncResult *result, GError **error)
{
  Delivery *delivery;
  MpFound *found;

  g_return_val_if_fail (MP_IS_LISTENER (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  delivery = g_task_propagate_pointer (G_TASK (result), error);
  if (delivery == NULL)
    return NULL;
  found = delivery->found;
  g_object_unref (delivery->listener);
  g_free (delivery);
  return unpack (found, error);
}
