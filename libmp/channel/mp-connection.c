/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-connection-private.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "../base/mp-clock-private.h"
#include "../base/mp-copy-private.h"
#include "../base/mp-error-private.h"
#include "../base/mp-fd-private.h"
#include "../base/mp-payload-private.h"
#include "../base/mp-waitable.h"

/* Variants up to here need no memory of their own on their way in. */
#define SMALL 2048

/**
 * MpConnection:
 *
 * One end of a stream of whole messages between two processes, over a socket or a pipe.
 *
 * The bytes on the stream are those of Python's `multiprocessing.connection`, so that
 * the other end may be one of its connections: each message is its length, signed, in
 * 32 bits, most significant byte first, and its bytes; one of 2 GiB or more is -1, its
 * length in 64 bits, and its bytes.
 *
 * [func@Mp.pipe_new] makes two ends that are connected, [func@Mp.Connection.open]
 * reaches a [class@Mp.Listener], and [ctor@Mp.Connection.new_for_fd] makes a connection
 * of any descriptor.
 *
 * # Messages
 *
 * A message is bytes, see [method@Mp.Connection.send_bytes]. Those of
 * [method@Mp.Connection.send] are the serialised form of a variant, in the byte order of
 * the machine. What [method@Mp.Connection.recv] cannot read as one, such as a
 * pickle of Python, stays, and is what is received next as bytes.
 *
 * There is no bound on the size of a message, unless [property@Mp.Connection:max-frame]
 * sets one. A peer that announces a big one and sends nothing costs no memory.
 *
 * # Waiting
 *
 * Timeouts are in microseconds: -1 waits for ever, 0 not at all. A call that ran out of
 * time or was cancelled did nothing: what had come of a message is kept for the next
 * call. There is one exception. A message that was sent in part when the time was over
 * cannot be taken back: nothing can be sent any more then,
 * [property@Mp.Connection:writable] is `FALSE`, and the other end gets to the end of the
 * stream in the middle of a message, which it can tell from any other end. It does not
 * happen with messages of a few kilobytes over a unix socket: they are sent as a whole
 * or not at all.
 *
 * # The end
 *
 * When the other end is closed, or its process has died, what it had sent can still be
 * received; then receiving is [error@Mp.Error.CLOSED], and so is sending. If it ended in
 * the middle of a message, it is [error@Mp.Error.CORRUPT].
 *
 * # Threads and processes
 *
 * All functions can be called from any thread: messages are sent one after the other, in
 * the order of the calls, and so received. Several processes can have the same end, such
 * as a child of fork() and its parent, if they see to it that only one of them sends, and
 * one receives, at a time.
 *
 * Since: 0.1
 */

enum
{
  PROP_0,
  PROP_CLOSED,
  PROP_READABLE,
  PROP_WRITABLE,
  PROP_MAX_FRAME,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static gboolean
mp_connection_prepare (MpWaitable *waitable, GPollFD *poll)
{
  MpConnection *self = MP_CONNECTION (waitable);

  *poll = (GPollFD){ .fd = self->transport.fd, .events = G_IO_IN };
  return mp_connection_look (self);
}

static void
mp_connection_waitable_iface_init (MpWaitableInterface *iface)
{
  iface->prepare = mp_connection_prepare;
}

G_DEFINE_FINAL_TYPE_WITH_CODE (MpConnection,
                               mp_connection,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (MP_TYPE_WAITABLE,
                                                      mp_connection_waitable_iface_init))

static void
mp_connection_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  MpConnection *self = MP_CONNECTION (object);

  switch (prop_id)
    {
    case PROP_CLOSED:
      g_value_set_boolean (value, mp_connection_get_closed (self));
      break;
    case PROP_READABLE:
      g_value_set_boolean (value, mp_connection_get_readable (self));
      break;
    case PROP_WRITABLE:
      g_value_set_boolean (value, mp_connection_get_writable (self));
      break;
    case PROP_MAX_FRAME:
      g_value_set_uint64 (value, mp_connection_get_max_frame (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_connection_set_property (GObject *object, guint prop_id, const GValue *value, GParamSpec *pspec)
{
  MpConnection *self = MP_CONNECTION (object);

  switch (prop_id)
    {
    case PROP_MAX_FRAME:
      mp_connection_set_max_frame (self, g_value_get_uint64 (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
frame_free (gpointer data)
{
  mp_frame_clear (data);
  g_free (data);
}

static void
mp_connection_finalize (GObject *object)
{
  MpConnection *self = MP_CONNECTION (object);

  if (mp_users_end (&self->users))
    mp_transport_clear (&self->transport);
  mp_connection_drop_wake_fd (self);
  mp_frame_reader_clear (&self->reader);
  mp_connection_drop_fds (self);
  mp_connection_drop_side (self);
  g_clear_pointer (&self->sides, g_ptr_array_unref);
  g_queue_clear_full (&self->returned, frame_free);
  G_OBJECT_CLASS (mp_connection_parent_class)->finalize (object);
}

static void
mp_connection_class_init (MpConnectionClass *klass)
{
  const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = mp_connection_get_property;
  object_class->set_property = mp_connection_set_property;
  object_class->finalize = mp_connection_finalize;

  /**
   * MpConnection:closed: (getter get_closed)
   *
   * Whether this end is closed.
   *
   * Since: 0.1
   */
  properties[PROP_CLOSED] = g_param_spec_boolean ("closed", NULL, NULL, FALSE, flags);
  /**
   * MpConnection:readable: (getter get_readable)
   *
   * Whether messages can be received. There is no notification.
   *
   * Since: 0.1
   */
  properties[PROP_READABLE] = g_param_spec_boolean ("readable", NULL, NULL, FALSE, flags);
  /**
   * MpConnection:writable: (getter get_writable)
   *
   * Whether messages can be sent. There is no notification.
   *
   * Since: 0.1
   */
  properties[PROP_WRITABLE] = g_param_spec_boolean ("writable", NULL, NULL, FALSE, flags);
  /**
   * MpConnection:max-frame: (getter get_max_frame) (setter set_max_frame)
   *
   * How many bytes a message that is received may have; 0: any number. A longer one is
   * [error@Mp.Error.LIMIT], and the end of receiving: where the next one begins
   * is not known any more.
   *
   * Since: 0.1
   */
  properties[PROP_MAX_FRAME] =
    g_param_spec_uint64 ("max-frame", NULL, NULL, 0, G_MAXUINT64, 0, flags | G_PARAM_WRITABLE);
  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
mp_connection_init (MpConnection *self)
{
  self->transport.fd = -1;
  self->spin_budget = MP_CONNECTION_MAX_LOOKS;
  self->yielding.penalty = MP_SPIN_YIELD_PENALTY;
}

MpConnection *
mp_connection_new_for_transport (MpTransport *transport)
{
  MpConnection *self = g_object_new (MP_TYPE_CONNECTION, NULL);

  self->transport = *transport;
  self->readable = self->writable = TRUE;
  *transport = (MpTransport){ .fd = -1 };
  return self;
}

/**
 * mp_connection_new_for_fd:
 * @fd: a socket that is a stream, or an end of a pipe, which the connection takes, also
 *   if this fails
 * @readable: whether messages can be received
 * @writable: whether messages can be sent
 * @error: return location for an error
 *
 * Makes a connection of a descriptor. It is closed on exec from now on.
 *
 * Returns: (transfer full) (nullable): the connection, or `NULL` with @error set:
 *   [error@Mp.Error.INVALID_ARGUMENT] if it is a socket of another kind, or no descriptor
 *   that is open, or neither @readable nor @writable
 *
 * Since: 0.1
 */
MpConnection *
mp_connection_new_for_fd (int fd, gboolean readable, gboolean writable, GError **error)
{
  MpTransport transport;
  MpConnection *self;

  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (fd < 0 || (!readable && !writable))
    {
      mp_fd_close (fd);
      if (fd < 0)
        g_set_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT, "A descriptor cannot be %d", fd);
      else
        g_set_error_literal (error,
                             MP_ERROR,
                             MP_ERROR_INVALID_ARGUMENT,
                             "A connection has to be readable or writable, or both");
      return NULL;
    }
  if (!mp_transport_init (&transport, fd, error))
    return NULL;
  self = mp_connection_new_for_transport (&transport);
  self->readable = readable;
  self->writable = writable;
  mp_connection_set_up_blocks (self);
  return self;
}

/**
 * mp_pipe_new:
 * @duplex: whether both ends send and receive; else @a receives what @b sends
 * @a: (out) (transfer full): one end
 * @b: (out) (transfer full): the other end
 * @error: return location for an error
 *
 * Makes two connections, each the other end of the other. Long messages go through shared memory
 * to an end over which libmp has received before: it is not to be given to anybody else then.
 *
 * Returns: whether it could; if not, @error is set: [error@Mp.Error.LIMIT] if there are
 *   too many open files
 *
 * Since: 0.1
 */
gboolean
mp_pipe_new (gboolean duplex, MpConnection **a, MpConnection **b, GError **error)
{
  g_autoptr (MpConnection) one = NULL;
  int fds[2];

  g_return_val_if_fail (a != NULL && b != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  *a = *b = NULL;
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
    return mp_set_error_from_errno (error, errno, "A pipe");
  if (!duplex)
    {
      shutdown (fds[0], SHUT_WR);
      shutdown (fds[1], SHUT_RD);
    }
  one = mp_connection_new_for_fd (fds[0], TRUE, duplex, error);
  if (one == NULL)
    {
      mp_fd_close (fds[1]);
      return FALSE;
    }
  *b = mp_connection_new_for_fd (fds[1], duplex, TRUE, error);
  if (*b == NULL)
    return FALSE;
  *a = g_steal_pointer (&one);
  return TRUE;
}

/* Sending */

/**
 * mp_connection_send_data:
 * @self: a connection
 * @data: (array length=length): the bytes
 * @length: how many there are
 * @timeout_us: how long to wait for room: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Sends bytes as one message, see [method@Mp.Connection.send_bytes].
 *
 * Returns: whether it was sent; if not, @error is set as by
 *   [method@Mp.Connection.send_bytes]
 *
 * Since: 0.1
 */
gboolean
mp_connection_send_data (MpConnection *self,
                         const guint8 *data,
                         gsize length,
                         gint64 timeout_us,
                         GCancellable *cancellable,
                         GError **error)
{
  MpOutgoing outgoing;

  g_return_val_if_fail (MP_IS_CONNECTION (self), FALSE);
  g_return_val_if_fail (data != NULL || length == 0, FALSE);

  mp_outgoing_init (&outgoing, data, length);
  return mp_connection_send_outgoing (self, &outgoing, timeout_us, cancellable, error);
}

/**
 * mp_connection_send_bytes:
 * @self: a connection
 * @bytes: the bytes; there may be none
 * @timeout_us: how long to wait for room: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Sends bytes as one message. They may be on their way for as long as the other end
 * does not receive them.
 *
 * Returns: whether it was sent; if not, @error is set: [error@Mp.Error.TIMED_OUT] or
 *   `G_IO_ERROR_CANCELLED`, see [class@Mp.Connection] for what that means for messages
 *   that were sent in part, [error@Mp.Error.CLOSED] if either end is closed,
 *   [error@Mp.Error.NOT_SUPPORTED] if it is not writable
 *
 * Since: 0.1
 */
gboolean
mp_connection_send_bytes (MpConnection *self,
                          GBytes *bytes,
                          gint64 timeout_us,
                          GCancellable *cancellable,
                          GError **error)
{
  gsize length;
  const guint8 *data;

  g_return_val_if_fail (MP_IS_CONNECTION (self), FALSE);
  g_return_val_if_fail (bytes != NULL, FALSE);

  data = g_bytes_get_data (bytes, &length);
  return mp_connection_send_data (self, data, length, timeout_us, cancellable, error);
}

/**
 * mp_connection_send:
 * @self: a connection
 * @value: the message; if it is floating, it is consumed
 * @timeout_us: how long to wait for room: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Sends a variant: the serialised form of one of type v that holds it.
 *
 * Returns: whether it was sent; if not, @error is set as by
 *   [method@Mp.Connection.send_bytes]
 *
 * Since: 0.1
 */
gboolean
mp_connection_send (MpConnection *self,
                    GVariant *value,
                    gint64 timeout_us,
                    GCancellable *cancellable,
                    GError **error)
{
  g_autoptr (GVariant) box = NULL;

  g_return_val_if_fail (MP_IS_CONNECTION (self), FALSE);
  g_return_val_if_fail (value != NULL, FALSE);

  box = g_variant_ref_sink (g_variant_new_variant (value));
  return mp_connection_send_data (self,
                                  g_variant_get_data (box),
                                  g_variant_get_size (box),
                                  timeout_us,
                                  cancellable,
                                  error);
}

/* Receiving */

/**
 * mp_connection_recv_bytes:
 * @self: a connection
 * @timeout_us: how long to wait for a message: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Receives the next message as bytes.
 *
 * Returns: (transfer full) (nullable): the bytes, or `NULL` with @error set:
 *   [error@Mp.Error.TIMED_OUT] or `G_IO_ERROR_CANCELLED`, what has come of the message
 *   is kept then; [error@Mp.Error.CLOSED] if this end is closed, or the other one and
 *   there is no message left; [error@Mp.Error.CORRUPT] if the stream ends in the middle of
 *   a message, or is none of messages; [error@Mp.Error.LIMIT] if it is longer than
 *   [property@Mp.Connection:max-frame], or there is no memory for it, or this process has too
 *   many files open for the descriptors that came with it: except for the first, it is what
 *   is received next; [error@Mp.Error.NOT_SUPPORTED] if this end is not readable
 *
 * Since: 0.1
 */
GBytes *
mp_connection_recv_bytes (MpConnection *self,
                          gint64 timeout_us,
                          GCancellable *cancellable,
                          GError **error)
{
  g_auto (MpFrame) frame = { .bytes = NULL };

  g_return_val_if_fail (MP_IS_CONNECTION (self), NULL);

  if (!mp_connection_receive_frame (self, NULL, &frame, timeout_us, cancellable, error))
    return NULL;
  return g_steal_pointer (&frame.bytes);
}

/**
 * mp_connection_recv_bytes_into: (skip)
 * @self: a connection
 * @buffer: where to put the message
 * @size: how many bytes it may have
 * @length: (out): how many it has
 * @timeout_us: how long to wait for a message: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Receives the next message into memory of the caller. What is behind it there may be
 * overwritten, up to @size, also if this fails. A message that does not fit is
 * [error@Mp.Error.LIMIT], with its length in @length, and is what is received next.
 *
 * Returns: whether it was received; if not, @error is set as by
 *   [method@Mp.Connection.recv_bytes]
 *
 * Since: 0.1
 */
gboolean
mp_connection_recv_bytes_into (MpConnection *self,
                               gpointer buffer,
                               gsize size,
                               gsize *length,
                               gint64 timeout_us,
                               GCancellable *cancellable,
                               GError **error)
{
  MpReceiveSink sink = { .data = buffer, .size = size };
  g_auto (MpFrame) frame = { .bytes = NULL };
  const guint8 *data;

  g_return_val_if_fail (MP_IS_CONNECTION (self), FALSE);
  g_return_val_if_fail ((buffer != NULL || size == 0) && length != NULL, FALSE);

  *length = 0;
  if (!mp_connection_receive_frame (self, &sink, &frame, timeout_us, cancellable, error))
    return FALSE;
  if (sink.used)
    {
      *length = sink.length;
      return TRUE;
    }
  data = g_bytes_get_data (frame.bytes, length);
  if (*length > size)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_LIMIT,
                   "A message of %" G_GSIZE_FORMAT
                   " bytes for which there is room for %" G_GSIZE_FORMAT,
                   *length,
                   size);
      mp_connection_give_back (self, &frame);
      return FALSE;
    }
  mp_copy (buffer, data, *length);
  return TRUE;
}

/* What begins and ends like one. */
static gboolean
is_pickle (const guint8 *data, gsize length)
{
  return length > 2 && data[0] == 0x80 && data[1] >= 2 && data[1] <= 5 && data[length - 1] == '.';
}

GVariant *
mp_connection_decode (MpConnection *self, MpFrame *frame, GError **error)
{
  gsize length;
  const guint8 *data = g_bytes_get_data (frame->bytes, &length);
  GVariant *value =
    mp_payload_to_variant (data,
                           length,
                           is_pickle (data, length) ? MP_CODEC_PICKLE : MP_CODEC_GVARIANT,
                           error);

  if (value == NULL)
    mp_connection_give_back (self, frame);
  return value;
}

/**
 * mp_connection_recv:
 * @self: a connection
 * @timeout_us: how long to wait for a message: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Receives the next message as a variant. What is none is an error, and stays to be
 * received by [method@Mp.Connection.recv_bytes].
 *
 * Returns: (transfer full) (nullable): the message, never floating, or `NULL` with @error
 *   set: [error@Mp.Error.NOT_SUPPORTED] if it is a pickle of Python,
 *   [error@Mp.Error.CORRUPT] if it is not the serialised form of a variant, otherwise as
 *   by [method@Mp.Connection.recv_bytes]
 *
 * Since: 0.1
 */
GVariant *
mp_connection_recv (MpConnection *self,
                    gint64 timeout_us,
                    GCancellable *cancellable,
                    GError **error)
{
  guint64 small[SMALL / sizeof (guint64)]; /* variants are aligned */
  MpReceiveSink sink = { .data = (guint8 *) small, .size = sizeof small };
  g_auto (MpFrame) frame = { .bytes = NULL };

  g_return_val_if_fail (MP_IS_CONNECTION (self), NULL);

  if (!mp_connection_receive_frame (self, &sink, &frame, timeout_us, cancellable, error))
    return NULL;
  if (sink.used)
    {
      GVariant *value = is_pickle (sink.data, sink.length)
                          ? NULL
                          : mp_payload_to_variant (sink.data, sink.length, MP_CODEC_GVARIANT, NULL);

      if (value != NULL)
        return value;
      frame.bytes = g_bytes_new (sink.data, sink.length);
    }
  return mp_connection_decode (self, &frame, error);
}

/* The rest */

/**
 * mp_connection_poll:
 * @self: a connection
 * @timeout_us: how long to wait: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Waits until there is something to receive: a message, the beginning of one, or the end
 * of the stream. Nothing is taken.
 *
 * Returns: whether there is; `FALSE` without an error if there was not in time, and with
 *   @error set: `G_IO_ERROR_CANCELLED`, [error@Mp.Error.CLOSED] if this end is closed,
 *   [error@Mp.Error.NOT_SUPPORTED] if it is not readable
 *
 * Since: 0.1
 */
gboolean
mp_connection_poll (MpConnection *self,
                    gint64 timeout_us,
                    GCancellable *cancellable,
                    GError **error)
{
  gint64 deadline = mp_deadline_new (timeout_us);
  g_autoptr (GError) local_error = NULL;
  gboolean ready;

  g_return_val_if_fail (MP_IS_CONNECTION (self), FALSE);

  if (mp_connection_begin (self, G_IO_IN, deadline, cancellable, &local_error))
    {
      ready = mp_connection_is_ready (self) ||
              mp_connection_wait (self, G_IO_IN, deadline, cancellable, &local_error);
      mp_connection_end (self, G_IO_IN);
      if (ready)
        return TRUE;
    }
  if (!g_error_matches (local_error, MP_ERROR, MP_ERROR_TIMED_OUT))
    g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

/**
 * mp_connection_close:
 * @self: a connection
 *
 * Closes this end. What was sent can still be received by the other one. Whoever waits
 * for something on this end gets [error@Mp.Error.CLOSED]. It may be called more than
 * once.
 *
 * Since: 0.1
 */
void
mp_connection_close (MpConnection *self)
{
  gboolean closing, last;

  g_return_if_fail (MP_IS_CONNECTION (self));

  closing = !mp_users_is_ending (&self->users);
  last = mp_users_end (&self->users);
  if (!closing)
    return;
  mp_connection_wake (self);
  if (last)
    mp_transport_clear (&self->transport);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_CLOSED]);
}

/**
 * mp_connection_get_closed: (get-property closed)
 * @self: a connection
 *
 * Whether this end is closed.
 *
 * Returns: whether it is
 *
 * Since: 0.1
 */
gboolean
mp_connection_get_closed (MpConnection *self)
{
  g_return_val_if_fail (MP_IS_CONNECTION (self), TRUE);

  return mp_users_is_ending (&self->users);
}

/**
 * mp_connection_get_readable: (get-property readable)
 * @self: a connection
 *
 * Whether messages can be received.
 *
 * Returns: whether they can
 *
 * Since: 0.1
 */
gboolean
mp_connection_get_readable (MpConnection *self)
{
  g_return_val_if_fail (MP_IS_CONNECTION (self), FALSE);

  return self->readable;
}

/**
 * mp_connection_get_writable: (get-property writable)
 * @self: a connection
 *
 * Whether messages can be sent.
 *
 * Returns: whether they can
 *
 * Since: 0.1
 */
gboolean
mp_connection_get_writable (MpConnection *self)
{
  g_return_val_if_fail (MP_IS_CONNECTION (self), FALSE);

  return self->writable;
}

/**
 * mp_connection_get_max_frame: (get-property max-frame)
 * @self: a connection
 *
 * How many bytes a message that is received may have.
 *
 * Returns: how many; 0: any number
 *
 * Since: 0.1
 */
guint64
mp_connection_get_max_frame (MpConnection *self)
{
  g_return_val_if_fail (MP_IS_CONNECTION (self), 0);

  return self->max_frame;
}

/**
 * mp_connection_set_max_frame: (set-property max-frame)
 * @self: a connection
 * @max_frame: how many bytes; 0: any number
 *
 * Sets how many bytes a message that is received may have, from the next one on.
 *
 * Since: 0.1
 */
void
mp_connection_set_max_frame (MpConnection *self, guint64 max_frame)
{
  g_return_if_fail (MP_IS_CONNECTION (self));

  if (atomic_exchange (&self->max_frame, max_frame) != max_frame)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_MAX_FRAME]);
}

/**
 * mp_connection_get_peer_certificate:
 * @self: a connection
 *
 * The certificate that the other end has shown, see [func@Mp.Connection.open_tls].
 *
 * Returns: (transfer full) (nullable): the certificate, or `NULL` if there is none, or this
 *   end is closed
 *
 * Since: 0.1
 */
GTlsCertificate *
mp_connection_get_peer_certificate (MpConnection *self)
{
  GTlsCertificate *certificate = NULL;

  g_return_val_if_fail (MP_IS_CONNECTION (self), NULL);

  if (!mp_users_enter (&self->users))
    return NULL;
  if (self->transport.tls != NULL)
    g_object_get (self->transport.tls, "peer-certificate", &certificate, NULL);
  mp_connection_leave (self);
  return certificate;
}

/**
 * mp_connection_get_fd:
 * @self: a connection
 *
 * The descriptor, to be polled for, or given to another process. Who polls for it must
 * also ask [method@Mp.Connection.poll]: what was received and given back is not there.
 *
 * Returns: the descriptor, which stays the connection's; -1 if it is closed
 *
 * Since: 0.1
 */
int
mp_connection_get_fd (MpConnection *self)
{
  g_return_val_if_fail (MP_IS_CONNECTION (self), -1);

  return mp_users_is_ending (&self->users) ? -1 : self->transport.fd;
}
