/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-listener-private.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "../base/mp-error-private.h"
#include "../base/mp-fd-private.h"
#include "../base/mp-waitable.h"
#include "mp-address-private.h"

#define DEFAULT_BACKLOG 128
#define DEFAULT_HANDSHAKE_TIMEOUT_US (20 * (gint64) G_USEC_PER_SEC)

/**
 * MpListener:
 *
 * Waits for clients at an address, and makes a [class@Mp.Connection] of each.
 *
 * A client is [func@Mp.Connection.open], or a `Client` of Python's
 * `multiprocessing.connection`; the handshake is that of all its versions.
 *
 * # Addresses
 *
 * | text | where |
 * |---|---|
 * | `unix:/run/user/1000/socket` | a socket with that path |
 * | `unix-abstract:name` | a socket with a name that is no file, for every user |
 * | `tcp:host:port` | TCP; port 0: one that is free |
 * | `tcp:[::1]:port` | TCP, with an address of version 6 |
 *
 * Without an address it is a unix socket in a new folder that only this user can enter.
 * [property@Mp.Listener:address] tells where it listens in the end. The path is removed
 * when the listener is closed, in the process that made it.
 *
 * # Keys
 *
 * With a key, any bytes, clients have to show that they have the same, and it shows
 * itself to them, before a connection comes of it. They go through that all at once:
 * one that is silent, slow, or sends nonsense, keeps nobody else waiting. It is dropped
 * when its time is over, see [property@Mp.Listener:handshake-timeout], or when 128 others
 * have come after it. Clients are only talked to while somebody waits for them.
 *
 * # TLS
 *
 * A key is for admission only. With a certificate, see [ctor@Mp.Listener.new_tls], all that
 * is sent is encrypted and cannot be changed on its way. Clients are
 * [func@Mp.Connection.open_tls], and may have to show a certificate of their own; there may
 * be a key as well. It needs GLib's TLS, such as of the package `glib-networking`, whose
 * threads are not there in a child of fork(): that is [error@Mp.Error.NOT_SUPPORTED].
 *
 * # Threads and processes
 *
 * All functions can be called from any thread, and several may accept at a time; so may,
 * without TLS, the children of fork(), each of which has handshakes of its own.
 *
 * Since: 0.1
 */

enum
{
  PROP_0,
  PROP_ADDRESS,
  PROP_AUTHKEY,
  PROP_TLS_CERTIFICATE,
  PROP_TLS_CLIENT_DATABASE,
  PROP_BACKLOG,
  PROP_HANDSHAKE_TIMEOUT,
  PROP_CLOSED,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static void mp_listener_initable_iface_init (GInitableIface *iface);
static void mp_listener_waitable_iface_init (MpWaitableInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (MpListener,
                               mp_listener,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE,
                                                      mp_listener_initable_iface_init)
                                 G_IMPLEMENT_INTERFACE (MP_TYPE_WAITABLE,
                                                        mp_listener_waitable_iface_init))

static void
mp_listener_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  MpListener *self = MP_LISTENER (object);

  switch (prop_id)
    {
    case PROP_ADDRESS:
      g_value_set_string (value, self->address);
      break;
    case PROP_BACKLOG:
      g_value_set_uint (value, self->backlog);
      break;
    case PROP_HANDSHAKE_TIMEOUT:
      g_value_set_int64 (value, mp_listener_get_handshake_timeout (self));
      break;
    case PROP_CLOSED:
      g_value_set_boolean (value, mp_listener_get_closed (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_listener_set_property (GObject *object, guint prop_id, const GValue *value, GParamSpec *pspec)
{
  MpListener *self = MP_LISTENER (object);

  switch (prop_id)
    {
    case PROP_ADDRESS:
      self->address = g_value_dup_string (value);
      break;
    case PROP_AUTHKEY:
      self->authkey = g_value_dup_boxed (value);
      break;
    case PROP_TLS_CERTIFICATE:
      self->tls_certificate = g_value_dup_object (value);
      break;
    case PROP_TLS_CLIENT_DATABASE:
      self->tls_client_database = g_value_dup_object (value);
      break;
    case PROP_BACKLOG:
      self->backlog = g_value_get_uint (value);
      break;
    case PROP_HANDSHAKE_TIMEOUT:
      mp_listener_set_handshake_timeout (self, g_value_get_int64 (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
remove_files (MpListener *self)
{
  if (self->owner != getpid ())
    return;
  if (self->path != NULL)
    g_unlink (self->path);
  if (self->folder != NULL)
    g_rmdir (self->folder);
}

static void
mp_listener_finalize (GObject *object)
{
  MpListener *self = MP_LISTENER (object);

  if (mp_users_end (&self->users))
    {
      remove_files (self);
      mp_clients_clear (&self->clients);
    }
  g_free (self->path);
  g_free (self->folder);
  g_free (self->address);
  g_clear_pointer (&self->authkey, g_bytes_unref);
  g_clear_object (&self->tls_certificate);
  g_clear_object (&self->tls_client_database);
  G_OBJECT_CLASS (mp_listener_parent_class)->finalize (object);
}

static void
mp_listener_class_init (MpListenerClass *klass)
{
  const GParamFlags flags = G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;
  const GParamFlags given = flags | G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY;
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = mp_listener_get_property;
  object_class->set_property = mp_listener_set_property;
  object_class->finalize = mp_listener_finalize;

  /**
   * MpListener:address: (getter get_address)
   *
   * Where it listens, with the port that it really has. When it is made, where it is to
   * listen; `NULL`: a unix socket with a path of its own.
   *
   * Since: 0.1
   */
  properties[PROP_ADDRESS] = g_param_spec_string ("address", NULL, NULL, NULL, given);
  /**
   * MpListener:authkey:
   *
   * The key that clients have to show; `NULL`: none.
   *
   * Since: 0.1
   */
  properties[PROP_AUTHKEY] = g_param_spec_boxed ("authkey",
                                                 NULL,
                                                 NULL,
                                                 G_TYPE_BYTES,
                                                 flags | G_PARAM_WRITABLE | G_PARAM_CONSTRUCT_ONLY);
  /**
   * MpListener:tls-certificate:
   *
   * The certificate, with its private key, that clients are shown: they have to speak TLS
   * then. It needs an address of TCP.
   *
   * Since: 0.1
   */
  properties[PROP_TLS_CERTIFICATE] =
    g_param_spec_object ("tls-certificate",
                         NULL,
                         NULL,
                         G_TYPE_TLS_CERTIFICATE,
                         flags | G_PARAM_WRITABLE | G_PARAM_CONSTRUCT_ONLY);
  /**
   * MpListener:tls-client-database:
   *
   * What the certificates of clients are verified with, which have to show one then. `NULL`:
   * they need none.
   *
   * Since: 0.1
   */
  properties[PROP_TLS_CLIENT_DATABASE] =
    g_param_spec_object ("tls-client-database",
                         NULL,
                         NULL,
                         G_TYPE_TLS_DATABASE,
                         flags | G_PARAM_WRITABLE | G_PARAM_CONSTRUCT_ONLY);
  /**
   * MpListener:backlog: (getter get_backlog)
   *
   * How many clients may be connected before they are accepted.
   *
   * Since: 0.1
   */
  properties[PROP_BACKLOG] =
    g_param_spec_uint ("backlog", NULL, NULL, 0, G_MAXINT, DEFAULT_BACKLOG, given);
  /**
   * MpListener:handshake-timeout: (getter get_handshake_timeout) (setter set_handshake_timeout)
   *
   * How long a client may take to show its key, while somebody waits for clients: in
   * microseconds, -1 for ever. It holds for those who come from now on.
   *
   * Since: 0.1
   */
  properties[PROP_HANDSHAKE_TIMEOUT] =
    g_param_spec_int64 ("handshake-timeout",
                        NULL,
                        NULL,
                        -1,
                        G_MAXINT64,
                        DEFAULT_HANDSHAKE_TIMEOUT_US,
                        flags | G_PARAM_READWRITE | G_PARAM_CONSTRUCT);
  /**
   * MpListener:closed: (getter get_closed)
   *
   * Whether it is closed.
   *
   * Since: 0.1
   */
  properties[PROP_CLOSED] =
    g_param_spec_boolean ("closed", NULL, NULL, FALSE, flags | G_PARAM_READABLE);
  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
mp_listener_init (MpListener *self)
{
  self->clients.listen_fd = self->clients.epoll_fd = self->clients.timer_fd = -1;
  self->clients.event_fd = self->clients.door_fd = -1;
}

/* Beginning to listen */

/* FALSE with @error set. */
static gboolean
choose_address (MpListener *self, GError **error)
{
  g_autoptr (GError) local_error = NULL;

  if (self->address != NULL)
    return TRUE;
  self->folder = g_dir_make_tmp ("mp-listener-XXXXXX", &local_error);
  if (self->folder == NULL)
    {
      g_set_error (error, MP_ERROR, MP_ERROR_FAILED, "A listener: %s", local_error->message);
      return FALSE;
    }
  self->address = g_strconcat ("unix:", self->folder, "/socket", NULL);
  return TRUE;
}

/* The port may have been chosen by the system. */
static void
note_address (MpListener *self, int fd)
{
  struct sockaddr_storage name;
  socklen_t length = sizeof name;
  g_autoptr (GSocketAddress) address = NULL;

  if (getsockname (fd, (struct sockaddr *) &name, &length) != 0 || name.ss_family == AF_UNIX)
    return;
  address = g_socket_address_new_from_native (&name, length);
  g_free (self->address);
  self->address = mp_address_to_text (address);
}

static int
open_socket (MpListener *self, GSocketAddress *address, GError **error)
{
  g_auto (MpFd) fd = -1;
  struct sockaddr_storage name = { 0 };
  gssize length = g_socket_address_get_native_size (address);
  int family = (int) g_socket_address_get_family (address), on = 1;

  if (!g_socket_address_to_native (address, &name, sizeof name, error))
    return -1;
  fd = socket (family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    {
      mp_set_error_from_errno (error, errno, self->address);
      return -1;
    }
  setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind (fd, (struct sockaddr *) &name, (socklen_t) length) == 0)
    {
      if (family == AF_UNIX && ((struct sockaddr_un *) &name)->sun_path[0] != '\0')
        self->path = g_strdup (((struct sockaddr_un *) &name)->sun_path);
      if (listen (fd, (int) self->backlog) == 0)
        return g_steal_fd (&fd);
    }
  mp_set_error_from_errno (error, errno, self->address);
  return -1;
}

static gboolean
mp_listener_initable_init (GInitable *initable, GCancellable *cancellable, GError **error)
{
  MpListener *self = MP_LISTENER (initable);
  g_autoptr (GSocketAddress) address = NULL;
  int fd;

  if (self->clients.listen_fd >= 0)
    return TRUE;
  self->owner = getpid ();
  if (!choose_address (self, error))
    return FALSE;
  address = mp_address_parse_local (self->address, error);
  if (address == NULL || (self->tls_certificate != NULL && !mp_tls_check (address, error)))
    return FALSE;
  fd = open_socket (self, address, error);
  if (fd < 0)
    return FALSE;
  note_address (self, fd);
  self->clients.authkey = g_steal_pointer (&self->authkey);
  self->clients.certificate = g_steal_pointer (&self->tls_certificate);
  self->clients.client_database = g_steal_pointer (&self->tls_client_database);
  return mp_clients_init (&self->clients, fd, error);
}

static void
mp_listener_initable_iface_init (GInitableIface *iface)
{
  iface->init = mp_listener_initable_init;
}

/**
 * mp_listener_new:
 * @address: (nullable): where to listen, see [class@Mp.Listener]; `NULL`: a unix socket
 *   with a path of its own
 * @authkey: (nullable): the key that clients have to show; `NULL`: none
 * @error: return location for an error
 *
 * Begins to listen. The name of a host is looked up, which may take its time.
 *
 * Returns: (transfer full) (nullable): the listener, or `NULL` with @error set:
 *   [error@Mp.Error.INVALID_ARGUMENT] if @address is none, [error@Mp.Error.EXISTS] if it is
 *   in use, [error@Mp.Error.NOT_FOUND] if there is no such folder or host,
 *   [error@Mp.Error.LIMIT], [error@Mp.Error.FAILED]
 *
 * Since: 0.1
 */
MpListener *
mp_listener_new (const char *address, GBytes *authkey, GError **error)
{
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_initable_new (MP_TYPE_LISTENER,
                         NULL,
                         error,
                         "address",
                         address,
                         "authkey",
                         authkey,
                         NULL);
}

/**
 * mp_listener_new_tls:
 * @address: where to listen, one of TCP, see [class@Mp.Listener]
 * @authkey: (nullable): the key that clients have to show; `NULL`: none
 * @certificate: the certificate that clients are shown, with its private key
 * @client_database: (nullable): what the certificates of clients are verified with, which
 *   have to show one then
 * @error: return location for an error
 *
 * Begins to listen for clients that speak TLS.
 *
 * Returns: (transfer full) (nullable): the listener, or `NULL` with @error set as by
 *   [ctor@Mp.Listener.new]; [error@Mp.Error.NOT_SUPPORTED] if @address is none of TCP, or
 *   there is no TLS on this system
 *
 * Since: 0.1
 */
MpListener *
mp_listener_new_tls (const char *address,
                     GBytes *authkey,
                     GTlsCertificate *certificate,
                     GTlsDatabase *client_database,
                     GError **error)
{
  g_return_val_if_fail (address != NULL, NULL);
  g_return_val_if_fail (G_IS_TLS_CERTIFICATE (certificate), NULL);
  g_return_val_if_fail (client_database == NULL || G_IS_TLS_DATABASE (client_database), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_initable_new (MP_TYPE_LISTENER,
                         NULL,
                         error,
                         "address",
                         address,
                         "authkey",
                         authkey,
                         "tls-certificate",
                         certificate,
                         "tls-client-database",
                         client_database,
                         NULL);
}

static gboolean
mp_listener_prepare (MpWaitable *waitable, GPollFD *poll)
{
  MpListener *self = MP_LISTENER (waitable);
  gboolean ready;

  if (!mp_users_enter (&self->users))
    return TRUE;
  mp_listener_take_turn (self);
  ready = mp_clients_look (&self->clients);
  *poll = (GPollFD){ .fd = self->clients.epoll_fd, .events = G_IO_IN };
  mp_turn_release (&self->turn);
  mp_listener_leave (self);
  return ready;
}

static void
mp_listener_waitable_iface_init (MpWaitableInterface *iface)
{
  iface->prepare = mp_listener_prepare;
}

/* The rest */

/**
 * mp_listener_close:
 * @self: a listener
 *
 * Ends listening, and removes the path of its address. Whoever waits for a client gets
 * [error@Mp.Error.CLOSED]; connections that were accepted stay. It may be called more
 * than once.
 *
 * Since: 0.1
 */
void
mp_listener_close (MpListener *self)
{
  g_return_if_fail (MP_IS_LISTENER (self));

  if (!mp_users_enter (&self->users))
    return;
  remove_files (self);
  mp_listener_take_turn (self);
  if (!mp_users_end (&self->users))
    mp_clients_end (&self->clients);
  mp_turn_release (&self->turn);
  mp_listener_leave (self);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_CLOSED]);
}

/**
 * mp_listener_get_address: (get-property address)
 * @self: a listener
 *
 * Where it listens, as [func@Mp.Connection.open] takes it, with the port that it has.
 *
 * Returns: the address
 *
 * Since: 0.1
 */
const char *
mp_listener_get_address (MpListener *self)
{
  g_return_val_if_fail (MP_IS_LISTENER (self), NULL);

  return self->address;
}

/**
 * mp_listener_get_closed: (get-property closed)
 * @self: a listener
 *
 * Whether it is closed.
 *
 * Returns: whether it is
 *
 * Since: 0.1
 */
gboolean
mp_listener_get_closed (MpListener *self)
{
  g_return_val_if_fail (MP_IS_LISTENER (self), TRUE);

  return mp_users_is_ending (&self->users);
}

/**
 * mp_listener_get_backlog: (get-property backlog)
 * @self: a listener
 *
 * How many clients may be connected before they are accepted.
 *
 * Returns: how many
 *
 * Since: 0.1
 */
guint
mp_listener_get_backlog (MpListener *self)
{
  g_return_val_if_fail (MP_IS_LISTENER (self), 0);

  return self->backlog;
}

/**
 * mp_listener_get_handshake_timeout: (get-property handshake-timeout)
 * @self: a listener
 *
 * How long a client may take to show its key.
 *
 * Returns: microseconds; -1: for ever
 *
 * Since: 0.1
 */
gint64
mp_listener_get_handshake_timeout (MpListener *self)
{
  g_return_val_if_fail (MP_IS_LISTENER (self), 0);

  return self->clients.timeout_us;
}

/**
 * mp_listener_set_handshake_timeout: (set-property handshake-timeout)
 * @self: a listener
 * @timeout_us: microseconds, -1 for ever
 *
 * Sets how long a client may take to show its key, for those who come from now on.
 *
 * Since: 0.1
 */
void
mp_listener_set_handshake_timeout (MpListener *self, gint64 timeout_us)
{
  g_return_if_fail (MP_IS_LISTENER (self));

  if (atomic_exchange (&self->clients.timeout_us, timeout_us) != timeout_us)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_HANDSHAKE_TIMEOUT]);
}
