/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* The end of a connection that reaches a listener. */

#include "mp-connection-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "../base/mp-async-private.h"
#include "../base/mp-clock-private.h"
#include "../base/mp-error-private.h"
#include "mp-address-private.h"
#include "mp-handshake-private.h"
#include "mp-tls-door-private.h"

/* A path whose backlog is full is tried again after so long: the system does not say when
 * there is room. */
#define BACKLOG_PAUSE_MS 5

typedef struct
{
  char *text;
  GSocketConnectable *address;
  GBytes *authkey;
  gboolean with_tls;
  GTlsDatabase *database;
  GTlsCertificate *certificate;
  /* What the operations under this one are cancelled by: by the caller, or the time. */
  GCancellable *inner;
  gulong outer_handler;
  GSource *timeout;
  gboolean timed_out;
  MpTransport transport;
  MpHandshake *handshake;
} Opening;

static void
destroy_source (GSource *source)
{
  g_source_destroy (source);
  g_source_unref (source);
}

static void
opening_free (gpointer data)
{
  Opening *self = data;

  g_clear_pointer (&self->timeout, destroy_source);
  g_clear_pointer (&self->handshake, mp_handshake_free);
  mp_transport_clear (&self->transport);
  g_object_unref (self->inner);
  g_clear_pointer (&self->authkey, g_bytes_unref);
  g_clear_object (&self->database);
  g_clear_object (&self->certificate);
  g_clear_object (&self->address);
  g_free (self->text);
  g_free (self);
}

/* The end of it. Takes @error. */
static void
finish (GTask *task, GError *error)
{
  Opening *self = g_task_get_task_data (task);

  g_cancellable_disconnect (g_task_get_cancellable (task), self->outer_handler);
  g_clear_pointer (&self->timeout, destroy_source);
  if (error == NULL)
    {
      g_task_return_pointer (task,
                             mp_connection_new_for_transport (&self->transport),
                             g_object_unref);
      return;
    }
  if (self->timed_out && g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    {
      g_clear_error (&error);
      error = g_error_new (MP_ERROR, MP_ERROR_TIMED_OUT, "Not connected to %s in time", self->text);
    }
  g_task_return_error (task, error);
}

static void
cancel_inner (GCancellable *cancellable, gpointer inner)
{
  g_cancellable_cancel (inner);
}

static gboolean
on_timeout (gpointer user_data)
{
  Opening *self = user_data;

  self->timed_out = TRUE;
  g_cancellable_cancel (self->inner);
  return G_SOURCE_REMOVE;
}

static void
attach (GTask *task, GSource *source, GSourceFunc callback)
{
  g_autoptr (GSource) owned = source;

  g_source_set_callback (owned, callback, g_object_ref (task), g_object_unref);
  g_source_attach (owned, g_task_get_context (task));
}

/* The handshake */

static void advance (GTask *task);

static gboolean
on_ready (gpointer user_data)
{
  advance (user_data);
  return G_SOURCE_REMOVE;
}

static gboolean
dispatch_once (GSource *source, GSourceFunc callback, gpointer user_data)
{
  return callback (user_data);
}

static void
advance (GTask *task)
{
  static GSourceFuncs funcs = { .dispatch = dispatch_once };
  Opening *self = g_task_get_task_data (task);
  GIOCondition condition = 0;
  GError *error = NULL;
  MpFlow flow = MP_FLOW_FAILED;

  if (!g_cancellable_set_error_if_cancelled (self->inner, &error))
    flow = self->handshake == NULL
             ? MP_FLOW_DONE
             : mp_handshake_advance (self->handshake, &self->transport, &condition, &error);
  if (flow == MP_FLOW_AGAIN)
    {
      GSource *source = g_source_new (&funcs, sizeof (GSource));

      mp_async_add_cancellable (source, self->inner);
      g_source_add_unix_fd (source, self->transport.fd, condition);
      attach (task, source, on_ready);
      return;
    }
  finish (task, error);
}

/* Connecting */

static gboolean
take_socket (Opening *self, GSocketConnection *stream, GError **error)
{
  GSocket *socket = g_socket_connection_get_socket (stream);
  int fd = fcntl (g_socket_get_fd (socket), F_DUPFD_CLOEXEC, 3), on = 1;

  if (fd < 0)
    return mp_set_error_from_errno (error, errno, self->text);
  /* Messages are whole, and not to wait for others. */
  if (G_IS_TCP_CONNECTION (stream))
    setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  /* GLib's never block; whoever is given this one expects that it does. */
  g_unix_set_fd_nonblocking (fd, FALSE, NULL);
  return mp_transport_init (&self->transport, fd, error);
}

static void
show_key (GTask *task)
{
  Opening *self = g_task_get_task_data (task);

  if (self->authkey != NULL)
    self->handshake = mp_handshake_new (self->authkey, FALSE);
  advance (task);
}

/* TLS */

static GError *
explain_tls (Opening *self, GError *error)
{
  GError *result;

  if (error->domain != G_TLS_ERROR)
    return error;
  result = g_error_new (MP_ERROR,
                        error->code == G_TLS_ERROR_EOF ? MP_ERROR_CLOSED : MP_ERROR_AUTHENTICATION,
                        "%s: %s",
                        self->text,
                        error->message);
  g_error_free (error);
  return result;
}

static void
on_secured (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Opening *self = g_task_get_task_data (task);
  g_autoptr (GIOStream) base = NULL;
  GSocket *socket;
  GError *error = NULL;

  if (!g_tls_connection_handshake_finish (G_TLS_CONNECTION (source), result, &error))
    {
      finish (task, explain_tls (self, error));
      return;
    }
  g_object_get (source, "base-io-stream", &base, NULL);
  socket = g_socket_connection_get_socket (G_SOCKET_CONNECTION (base));
  mp_transport_init_tls (&self->transport,
                         g_socket_get_fd (socket),
                         g_object_ref (G_IO_STREAM (source)));
  show_key (task);
}

static void
start_tls (GTask *task, GSocketConnection *stream)
{
  Opening *self = g_task_get_task_data (task);
  GSocket *socket = g_socket_connection_get_socket (stream);
  g_autoptr (GIOStream) tls = NULL;
  GError *error = NULL;

  g_socket_set_option (socket, IPPROTO_TCP, TCP_NODELAY, 1, NULL);
  tls = g_tls_client_connection_new (G_IO_STREAM (stream), self->address, &error);
  if (tls == NULL)
    {
      finish (task, error);
      return;
    }
  if (self->database != NULL)
    g_tls_connection_set_database (G_TLS_CONNECTION (tls), self->database);
  if (self->certificate != NULL)
    g_tls_connection_set_certificate (G_TLS_CONNECTION (tls), self->certificate);
  g_tls_connection_handshake_async (G_TLS_CONNECTION (tls),
                                    G_PRIORITY_DEFAULT,
                                    self->inner,
                                    on_secured,
                                    g_object_ref (task));
}

static void start_connecting (GTask *task);

static gboolean
on_pause_over (gpointer user_data)
{
  start_connecting (user_data);
  return G_SOURCE_REMOVE;
}

static GError *
explain (Opening *self, GError *error)
{
  GError *result;
  MpError code = MP_ERROR_FAILED;

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return error;
  if (error->domain == G_RESOLVER_ERROR ||
      g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND) ||
      g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED))
    code = MP_ERROR_NOT_FOUND;
  result = g_error_new (MP_ERROR, code, "%s: %s", self->text, error->message);
  g_error_free (error);
  return result;
}

static void
on_connected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Opening *self = g_task_get_task_data (task);
  GError *error = NULL;
  g_autoptr (GSocketConnection) stream =
    g_socket_client_connect_finish (G_SOCKET_CLIENT (source), result, &error);

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
    {
      g_error_free (error);
      attach (task, g_timeout_source_new (BACKLOG_PAUSE_MS), on_pause_over);
      return;
    }
  if (stream == NULL)
    {
      finish (task, explain (self, error));
      return;
    }
  if (self->with_tls)
    start_tls (task, stream);
  else if (take_socket (self, stream, &error))
    show_key (task);
  else
    finish (task, error);
}

static void
start_connecting (GTask *task)
{
  Opening *self = g_task_get_task_data (task);
  g_autoptr (GSocketClient) client = g_socket_client_new ();

  g_socket_client_set_enable_proxy (client, FALSE);
  g_socket_client_connect_async (client,
                                 self->address,
                                 self->inner,
                                 on_connected,
                                 g_object_ref (task));
}

/* Takes @self. */
static void
start (Opening *self, GTask *owned, gint64 timeout_us)
{
  g_autoptr (GTask) task = owned;
  GCancellable *cancellable = g_task_get_cancellable (task);
  GError *error = NULL;

  g_task_set_task_data (task, self, opening_free);
  self->inner = g_cancellable_new ();
  if (cancellable != NULL)
    self->outer_handler = g_cancellable_connect (cancellable,
                                                 G_CALLBACK (cancel_inner),
                                                 g_object_ref (self->inner),
                                                 g_object_unref);
  self->address = mp_address_parse (self->text, &error);
  if (self->address == NULL ||
      (self->with_tls &&
       !mp_tls_check (G_IS_SOCKET_ADDRESS (self->address) ? G_SOCKET_ADDRESS (self->address) : NULL,
                      &error)))
    {
      finish (task, error);
      return;
    }
  if (timeout_us >= 0)
    {
      self->timeout = g_timeout_source_new (0);
      g_source_set_ready_time (self->timeout, g_get_monotonic_time () + timeout_us);
      g_source_set_callback (self->timeout, on_timeout, self, NULL);
      g_source_attach (self->timeout, g_task_get_context (task));
    }
  start_connecting (task);
}

static Opening *
opening_new (const char *address, GBytes *authkey)
{
  Opening *self = g_new0 (Opening, 1);

  self->transport.fd = -1;
  self->text = g_strdup (address);
  self->authkey = authkey != NULL ? g_bytes_ref (authkey) : NULL;
  return self;
}

/**
 * mp_connection_open_async:
 * @address: where a listener listens, see [class@Mp.Listener]
 * @authkey: (nullable): the key that both ends are to have; `NULL` for none
 * @timeout_us: how long it may take, with the handshake: microseconds, -1 for ever
 * @cancellable: (nullable): cancels it
 * @callback: (scope async) (nullable): called when it is done
 * @user_data: data for @callback
 *
 * Connects to a listener, see [func@Mp.Connection.open]. No thread waits for it.
 *
 * Since: 0.1
 */
void
mp_connection_open_async (const char *address,
                          GBytes *authkey,
                          gint64 timeout_us,
                          GCancellable *cancellable,
                          GAsyncReadyCallback callback,
                          gpointer user_data)
{
  g_return_if_fail (address != NULL);
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  start (opening_new (address, authkey),
         mp_async_new (NULL, mp_connection_open_async, cancellable, callback, user_data),
         timeout_us);
}

/**
 * mp_connection_open_tls_async:
 * @address: where a listener listens, one of TCP, see [class@Mp.Listener]
 * @authkey: (nullable): the key that both ends are to have; `NULL` for none
 * @database: (nullable): what the certificate of the listener is verified with; `NULL`: that
 *   of the system
 * @certificate: (nullable): the certificate that the listener is shown, with its private key
 * @timeout_us: how long it may take, with the handshakes: microseconds, -1 for ever
 * @cancellable: (nullable): cancels it
 * @callback: (scope async) (nullable): called when it is done
 * @user_data: data for @callback
 *
 * Connects to a listener that speaks TLS, see [func@Mp.Connection.open_tls]. No thread
 * waits for it.
 *
 * Since: 0.1
 */
void
mp_connection_open_tls_async (const char *address,
                              GBytes *authkey,
                              GTlsDatabase *database,
                              GTlsCertificate *certificate,
                              gint64 timeout_us,
                              GCancellable *cancellable,
                              GAsyncReadyCallback callback,
                              gpointer user_data)
{
  Opening *self;

  g_return_if_fail (address != NULL);
  g_return_if_fail (database == NULL || G_IS_TLS_DATABASE (database));
  g_return_if_fail (certificate == NULL || G_IS_TLS_CERTIFICATE (certificate));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  self = opening_new (address, authkey);
  self->with_tls = TRUE;
  self->database = database != NULL ? g_object_ref (database) : NULL;
  self->certificate = certificate != NULL ? g_object_ref (certificate) : NULL;
  start (self,
         mp_async_new (NULL, mp_connection_open_tls_async, cancellable, callback, user_data),
         timeout_us);
}

/**
 * mp_connection_open_finish:
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Ends [func@Mp.Connection.open_async].
 *
 * Returns: (transfer full) (nullable): the connection, or `NULL` with @error set as by
 *   [func@Mp.Connection.open]
 *
 * Since: 0.1
 */
MpConnection *
mp_connection_open_finish (GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, NULL), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * mp_connection_open_tls_finish:
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Ends [func@Mp.Connection.open_tls_async].
 *
 * Returns: (transfer full) (nullable): the connection, or `NULL` with @error set as by
 *   [func@Mp.Connection.open_tls]
 *
 * Since: 0.1
 */
MpConnection *
mp_connection_open_tls_finish (GAsyncResult *result, GError **error)
{
  return mp_connection_open_finish (result, error);
}

/* A loop of its own, for one operation. */
typedef struct
{
  GMainContext *context;
  GAsyncResult *result;
} Loop;

static void
loop_begin (Loop *self)
{
  *self = (Loop){ .context = g_main_context_new () };
  g_main_context_push_thread_default (self->context);
}

static void
keep_result (GObject *source, GAsyncResult *result, gpointer user_data)
{
  ((Loop *) user_data)->result = g_object_ref (result);
}

static MpConnection *
loop_end (Loop *self, GError **error)
{
  MpConnection *connection;

  while (self->result == NULL)
    g_main_context_iteration (self->context, TRUE);
  g_main_context_pop_thread_default (self->context);
  connection = mp_connection_open_finish (self->result, error);
  g_object_unref (self->result);
  g_main_context_unref (self->context);
  return connection;
}

/**
 * mp_connection_open:
 * @address: where a listener listens, see [class@Mp.Listener]
 * @authkey: (nullable): the key that both ends are to have; `NULL` for none
 * @timeout_us: how long it may take, with the handshake: microseconds, -1 for ever
 * @cancellable: (nullable): cancels it
 * @error: return location for an error
 *
 * Connects to a [class@Mp.Listener], or a `Listener` of Python's
 * `multiprocessing.connection`. With @authkey, each end shows the other that it has that
 * key, without sending it. An end that has a key and one that has none wait for each
 * other, until the time is over.
 *
 * The key is for admission only: what is sent later is neither encrypted nor signed.
 *
 * Returns: (transfer full) (nullable): the connection, or `NULL` with @error set:
 *   [error@Mp.Error.NOT_FOUND] if nobody listens there, or the host is not known,
 *   [error@Mp.Error.AUTHENTICATION] if the other end has another key,
 *   [error@Mp.Error.CLOSED] if it left in the middle, [error@Mp.Error.TIMED_OUT],
 *   `G_IO_ERROR_CANCELLED`, [error@Mp.Error.INVALID_ARGUMENT] if @address is none,
 *   [error@Mp.Error.FAILED]
 *
 * Since: 0.1
 */
MpConnection *
mp_connection_open (const char *address,
                    GBytes *authkey,
                    gint64 timeout_us,
                    GCancellable *cancellable,
                    GError **error)
{
  Loop loop;

  g_return_val_if_fail (address != NULL, NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  loop_begin (&loop);
  mp_connection_open_async (address, authkey, timeout_us, cancellable, keep_result, &loop);
  return loop_end (&loop, error);
}

/**
 * mp_connection_open_tls:
 * @address: where a listener listens, one of TCP, see [class@Mp.Listener]
 * @authkey: (nullable): the key that both ends are to have; `NULL` for none
 * @database: (nullable): what the certificate of the listener is verified with; `NULL`: that
 *   of the system
 * @certificate: (nullable): the certificate that the listener is shown, with its private key
 * @timeout_us: how long it may take, with the handshakes: microseconds, -1 for ever
 * @cancellable: (nullable): cancels it
 * @error: return location for an error
 *
 * The same as [func@Mp.Connection.open] for a listener of [ctor@Mp.Listener.new_tls]. Its
 * certificate has to be one for the host in @address. When it rejects the certificate of
 * this end, that may only be seen by what is done first with the connection.
 *
 * Returns: (transfer full) (nullable): the connection, or `NULL` with @error set as by
 *   [func@Mp.Connection.open]; [error@Mp.Error.AUTHENTICATION] also if a certificate is
 *   not good, [error@Mp.Error.NOT_SUPPORTED] if @address is none of TCP, or there is no
 *   TLS on this system
 *
 * Since: 0.1
 */
MpConnection *
mp_connection_open_tls (const char *address,
                        GBytes *authkey,
                        GTlsDatabase *database,
                        GTlsCertificate *certificate,
                        gint64 timeout_us,
                        GCancellable *cancellable,
                        GError **error)
{
  Loop loop;

  g_return_val_if_fail (address != NULL, NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  loop_begin (&loop);
  mp_connection_open_tls_async (address,
                                authkey,
                                database,
                                certificate,
                                timeout_us,
                                cancellable,
                                keep_result,
                                &loop);
  return loop_end (&loop, error);
}
