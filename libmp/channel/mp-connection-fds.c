/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Descriptors, and what has some, over connections. */

#include "mp-connection-private.h"

#include <errno.h>

#include "../base/mp-clock-private.h"
#include "../base/mp-error-private.h"
#include "../base/mp-fd-private.h"
#include "../memory/mp-shareable-private.h"

/* How multiprocessing.reduction sends one: this byte, which is how many there are. */
#define ONE_FD '\1'

static gboolean
check_carries_fds (MpConnection *self, GError **error)
{
  if (self->transport.carries_fds)
    return TRUE;
  g_set_error_literal (error,
                       MP_ERROR,
                       MP_ERROR_NOT_SUPPORTED,
                       "Descriptors can only be sent over a unix socket");
  return FALSE;
}

/**
 * mp_connection_send_fd:
 * @self: a connection over a unix socket
 * @fd: a descriptor, which stays the caller's
 * @timeout_us: how long to wait for room: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Sends a descriptor, as `send_handle()` of Python's `multiprocessing.reduction` does. It
 * is no message: the other end has to receive it by [method@Mp.Connection.recv_fd], or
 * Python's `recv_handle()`, when it is due.
 *
 * Returns: whether it was sent; if not, @error is set: [error@Mp.Error.NOT_SUPPORTED] if
 *   the connection is not over a unix socket, [error@Mp.Error.INVALID_ARGUMENT] if @fd is not
 *   open, otherwise as by [method@Mp.Connection.send_bytes]
 *
 * Since: 0.1
 */
gboolean
mp_connection_send_fd (MpConnection *self,
                       int fd,
                       gint64 timeout_us,
                       GCancellable *cancellable,
                       GError **error)
{
  MpOutgoing outgoing = { .header = { ONE_FD }, .n_parts = 1, .fds = &fd, .n_fds = 1, .length = 1 };
  gint64 deadline = mp_deadline_new (timeout_us);
  MpFlow flow;

  g_return_val_if_fail (MP_IS_CONNECTION (self), FALSE);

  if (!mp_connection_begin (self, G_IO_OUT, deadline, cancellable, error))
    return FALSE;
  outgoing.parts[0] = (struct iovec){ .iov_base = outgoing.header, .iov_len = 1 };
  if (!check_carries_fds (self, error))
    flow = MP_FLOW_FAILED;
  else
    do
      flow = mp_connection_send_some (self, &outgoing, error);
    while (flow == MP_FLOW_AGAIN &&
           mp_connection_wait (self, G_IO_OUT, deadline, cancellable, error));
  mp_connection_end (self, G_IO_OUT);
  return flow == MP_FLOW_DONE;
}

/* With the turn, and entered. -1 with @error set, but for MP_FLOW_AGAIN. */
static MpFlow
receive_fd (MpConnection *self, int *fd, GError **error)
{
  g_auto (MpFrame) frame = { .bytes = NULL };
  guint8 byte = 0;
  gssize n;

  if (mp_frame_reader_has_begun (&self->reader) || self->n_returned > 0)
    {
      g_set_error_literal (error, MP_ERROR, MP_ERROR_BUSY, "There is a message before it");
      return MP_FLOW_FAILED;
    }
  n = mp_transport_read (&self->transport, &byte, 1, &frame.fds);
  if (n < 0 && errno == EAGAIN)
    return MP_FLOW_AGAIN;
  mp_transport_pass (&self->transport);
  if (n == 0 || (n < 0 && errno == ECONNRESET))
    mp_frame_reader_set_end (&self->reader, error);
  else if (n < 0)
    mp_transport_set_error (&self->transport, errno, "No descriptor was received", error);
  else if (byte != ONE_FD || frame.fds == NULL || frame.fds->len != 1)
    {
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_CORRUPT,
                           "What was received is not one descriptor");
      mp_connection_poison (self);
    }
  else
    {
      *fd = g_array_index (frame.fds, int, 0);
      g_array_set_size (frame.fds, 0);
      return MP_FLOW_DONE;
    }
  return MP_FLOW_FAILED;
}

/**
 * mp_connection_recv_fd:
 * @self: a connection over a unix socket
 * @timeout_us: how long to wait: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Receives a descriptor that was sent by [method@Mp.Connection.send_fd], or by
 * Python's `multiprocessing.reduction.send_handle()`. It is closed on exec. What comes
 * instead is [error@Mp.Error.CORRUPT], and the end of receiving.
 *
 * Returns: the descriptor, which is the caller's, or -1 with @error set:
 *   [error@Mp.Error.NOT_SUPPORTED] if the connection is not over a unix socket,
 *   [error@Mp.Error.BUSY] if there is a message that was not yet received as a whole,
 *   otherwise as by [method@Mp.Connection.recv_bytes]
 *
 * Since: 0.1
 */
int
mp_connection_recv_fd (MpConnection *self,
                       gint64 timeout_us,
                       GCancellable *cancellable,
                       GError **error)
{
  gint64 deadline = mp_deadline_new (timeout_us);
  MpFlow flow;
  int fd = -1;

  g_return_val_if_fail (MP_IS_CONNECTION (self), -1);

  if (!mp_connection_begin (self, G_IO_IN, deadline, cancellable, error))
    return -1;
  if (check_carries_fds (self, error))
    do
      flow = receive_fd (self, &fd, error);
    while (flow == MP_FLOW_AGAIN &&
           mp_connection_wait (self, G_IO_IN, deadline, cancellable, error));
  mp_connection_end (self, G_IO_IN);
  return fd;
}

/**
 * mp_connection_send_shareable:
 * @self: a connection over a unix socket
 * @shareable: the object
 * @timeout_us: how long to wait for room: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Sends an object that can be shared: a message with its handle, and its descriptors
 * along with it.
 *
 * Returns: whether it was sent; if not, @error is set: [error@Mp.Error.NOT_SUPPORTED] if
 *   the connection is not over a unix socket, otherwise as by
 *   [method@Mp.Shareable.to_handle] and [method@Mp.Connection.send_bytes]
 *
 * Since: 0.1
 */
gboolean
mp_connection_send_shareable (MpConnection *self,
                              MpShareable *shareable,
                              gint64 timeout_us,
                              GCancellable *cancellable,
                              GError **error)
{
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = NULL;
  g_autoptr (GVariant) box = NULL;
  MpOutgoing outgoing;
  int n_fds = 0;

  g_return_val_if_fail (MP_IS_CONNECTION (self), FALSE);
  g_return_val_if_fail (MP_IS_SHAREABLE (shareable), FALSE);

  if (mp_users_is_ending (&self->users))
    return mp_connection_set_closed_error (error);
  if (!check_carries_fds (self, error))
    return FALSE;
  handle = mp_shareable_to_handle (shareable, fd_list, error);
  if (handle == NULL)
    return FALSE;
  box = g_variant_ref_sink (g_variant_new_variant (handle));
  mp_outgoing_init (&outgoing, g_variant_get_data (box), g_variant_get_size (box));
  outgoing.fds = g_unix_fd_list_peek_fds (fd_list, &n_fds);
  outgoing.n_fds = (guint) n_fds;
  return mp_connection_send_outgoing (self, &outgoing, timeout_us, cancellable, error);
}

/* They stay those of @frame. */
static MpShareable *
import_object (GVariant *handle, MpFrame *frame, GError **error)
{
  g_autoptr (GUnixFDList) fd_list =
    frame->fds != NULL ? g_unix_fd_list_new_from_array ((const int *) (gpointer) frame->fds->data,
                                                        (int) frame->fds->len)
                       : g_unix_fd_list_new ();
  MpShareable *object = mp_shareable_new_from_handle (handle, fd_list, error);

  g_free (g_unix_fd_list_steal_fds (fd_list, NULL));
  return object;
}

/**
 * mp_connection_recv_shareable:
 * @self: a connection
 * @timeout_us: how long to wait for a message: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Receives an object that was sent by [method@Mp.Connection.send_shareable]. The peer is
 * not trusted. A message that is something else is [error@Mp.Error.TYPE], and is what
 * is received next; as is one whose object this process has too many files open for, or too
 * little memory: [error@Mp.Error.LIMIT].
 *
 * Returns: (transfer full) (nullable): the object, or `NULL` with @error set as by
 *   [func@Mp.Shareable.new_from_handle] and [method@Mp.Connection.recv]
 *
 * Since: 0.1
 */
MpShareable *
mp_connection_recv_shareable (MpConnection *self,
                              gint64 timeout_us,
                              GCancellable *cancellable,
                              GError **error)
{
  g_auto (MpFrame) frame = { .bytes = NULL };
  g_autoptr (GVariant) handle = NULL;
  g_autoptr (GError) local_error = NULL;
  MpShareable *object;

  g_return_val_if_fail (MP_IS_CONNECTION (self), NULL);

  if (!mp_connection_receive_frame (self, NULL, &frame, timeout_us, cancellable, error))
    return NULL;
  handle = mp_connection_decode (self, &frame, error);
  if (handle == NULL)
    return NULL;
  if (!g_variant_is_of_type (handle, G_VARIANT_TYPE (MP_HANDLE_TYPE)))
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_TYPE,
                   "A handle is of type %s, the next message is of type %s",
                   MP_HANDLE_TYPE,
                   g_variant_get_type_string (handle));
      mp_connection_give_back (self, &frame);
      return NULL;
    }
  object = import_object (handle, &frame, &local_error);
  if (g_error_matches (local_error, MP_ERROR, MP_ERROR_LIMIT))
    mp_connection_give_back (self, &frame);
  if (local_error != NULL)
    g_propagate_error (error, g_steal_pointer (&local_error));
  return object;
}
