/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Connections that speak TLS, with certificates that are made here. */

#include "connection-util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

#define KEY "key"

/* The certificates are for this name. */
static const char *host = "localhost";
static char *folder;
static GTlsDatabase *authority, *others;
static GTlsCertificate *server_certificate, *client_certificate, *strangers_certificate;

static char *
path_of (const char *name)
{
  return g_build_filename (folder, name, NULL);
}

/* One that @issuer (NULL: itself) has signed, with its key. */
static GTlsCertificate *
make_certificate (const char *name, const char *issuer, const char *extension)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *file = path_of (name), *key = g_strconcat (file, ".key", NULL);
  const char *fixed[] = {
    "openssl", "req",   "-x509", "-newkey", "ec",      "-pkeyopt", "ec_paramgen_curve:P-256",
    "-nodes",  "-days", "2",     "-batch",  "-addext", extension
  };
  g_autoptr (GError) error = NULL;
  GTlsCertificate *certificate;
  int status = -1;

  for (gsize i = 0; i < G_N_ELEMENTS (fixed); i++)
    g_ptr_array_add (argv, g_strdup (fixed[i]));
  g_ptr_array_add (argv, g_strdup ("-subj"));
  g_ptr_array_add (argv, g_strconcat ("/CN=", name, NULL));
  g_ptr_array_add (argv, g_strdup ("-out"));
  g_ptr_array_add (argv, g_strdup (file));
  g_ptr_array_add (argv, g_strdup ("-keyout"));
  g_ptr_array_add (argv, g_strdup (key));
  if (issuer != NULL)
    {
      g_ptr_array_add (argv, g_strdup ("-CA"));
      g_ptr_array_add (argv, path_of (issuer));
      g_ptr_array_add (argv, g_strdup ("-CAkey"));
      g_ptr_array_add (argv, g_strdup_printf ("%s/%s.key", folder, issuer));
    }
  g_ptr_array_add (argv, NULL);
  g_assert_true (g_spawn_sync (NULL,
                               (char **) argv->pdata,
                               NULL,
                               G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL,
                               NULL,
                               NULL,
                               NULL,
                               NULL,
                               &status,
                               &error));
  g_assert_no_error (error);
  g_assert_cmpint (status, ==, 0);
  certificate = g_tls_certificate_new_from_files (file, key, &error);
  g_assert_no_error (error);
  return certificate;
}

static GTlsDatabase *
make_database (const char *name)
{
  g_autofree char *file = path_of (name);
  g_autoptr (GError) error = NULL;
  GTlsDatabase *database = g_tls_file_database_new (file, &error);

  g_assert_no_error (error);
  return database;
}

static void
make_certificates (void)
{
  folder = g_dir_make_tmp ("mp-tls-XXXXXX", NULL);
  g_object_unref (make_certificate ("authority", NULL, "keyUsage=keyCertSign"));
  server_certificate = make_certificate ("server", "authority", "subjectAltName=DNS:localhost");
  client_certificate = make_certificate ("client", "authority", "subjectAltName=DNS:client");
  strangers_certificate = make_certificate ("stranger", NULL, "subjectAltName=DNS:localhost");
  authority = make_database ("authority");
  others = make_database ("stranger");
}

static MpListener *
listener_new (GTlsCertificate *certificate, GTlsDatabase *client_database, const char *key)
{
  g_autoptr (GBytes) authkey = key != NULL ? g_bytes_new (key, strlen (key)) : NULL;
  g_autoptr (GError) error = NULL;
  MpListener *self =
    mp_listener_new_tls ("tcp:127.0.0.1:0", authkey, certificate, client_database, &error);

  g_assert_no_error (error);
  return self;
}

typedef struct
{
  char *address;
  GTlsDatabase *database;
  GTlsCertificate *certificate;
  const char *key;
  MpConnection *connection;
  GError *error;
} Client;

static gpointer
be_client (gpointer data)
{
  Client *self = data;
  g_autoptr (GBytes) key = self->key != NULL ? g_bytes_new (self->key, strlen (self->key)) : NULL;

  self->connection = mp_connection_open_tls (self->address,
                                             key,
                                             self->database,
                                             self->certificate,
                                             FAR,
                                             NULL,
                                             &self->error);
  return NULL;
}

static GThread *
start_client (Client *self,
              MpListener *listener,
              GTlsDatabase *database,
              GTlsCertificate *certificate,
              const char *key)
{
  const char *port = strrchr (mp_listener_get_address (listener), ':');

  *self = (Client){ .address = g_strconcat ("tcp:", host, port, NULL),
                    .database = database,
                    .certificate = certificate,
                    .key = key };
  return g_thread_new (NULL, be_client, self);
}

static void
client_clear (Client *self)
{
  g_free (self->address);
  g_clear_object (&self->connection);
  g_clear_error (&self->error);
}

/* Both ends. */
static Ends
meet (MpListener *listener, GTlsCertificate *certificate, const char *key)
{
  g_autoptr (GError) error = NULL;
  Client client;
  GThread *thread = start_client (&client, listener, authority, certificate, key);
  Ends ends;

  ends.a = mp_listener_accept (listener, FAR, NULL, &error);
  g_assert_no_error (error);
  g_thread_join (thread);
  g_assert_no_error (client.error);
  ends.b = g_steal_pointer (&client.connection);
  client_clear (&client);
  return ends;
}

static gpointer
receive_big (gpointer data)
{
  return mp_connection_recv_bytes (data, FAR, NULL, NULL);
}

static void
exchange (Ends *ends)
{
  g_autofree guint8 *data = g_malloc0 (3000000);
  g_autoptr (GBytes) big = g_bytes_new_take (g_steal_pointer (&data), 3000000);
  g_autoptr (GVariant) value = NULL;

  send_text (ends->a, "hello");
  send_text (ends->a, "");
  send_text (ends->b, "back");
  assert_receives (ends->b, "hello");
  assert_receives (ends->b, "");
  assert_receives (ends->a, "back");
  for (int i = 0; i < 2; i++)
    {
      MpConnection *from = i == 0 ? ends->a : ends->b, *to = i == 0 ? ends->b : ends->a;
      GThread *thread = g_thread_new (NULL, receive_big, to);
      g_autoptr (GBytes) received = NULL;
      g_autoptr (GError) error = NULL;

      mp_connection_send_bytes (from, big, FAR, NULL, &error);
      g_assert_no_error (error);
      received = g_thread_join (thread);
      g_assert_true (g_bytes_equal (received, big));
    }
  g_assert_true (mp_connection_send (ends->a, g_variant_new_int32 (5), FAR, NULL, NULL));
  value = mp_connection_recv (ends->b, FAR, NULL, NULL);
  g_assert_cmpint (g_variant_get_int32 (value), ==, 5);
}

static void
test_messages (void)
{
  g_test_summary ("Messages of all sizes, with a key and without, and with a client's certificate");
  for (int i = 0; i < 4; i++)
    {
      const char *key = i % 2 == 0 ? NULL : KEY;
      g_autoptr (MpListener) listener =
        listener_new (server_certificate, i < 2 ? NULL : authority, key);
      g_auto (Ends) ends = meet (listener, i < 2 ? NULL : client_certificate, key);
      g_autoptr (GTlsCertificate) shown = NULL, servers = NULL;
      g_autoptr (GError) error = NULL;

      exchange (&ends);
      shown = mp_connection_get_peer_certificate (ends.a);
      servers = mp_connection_get_peer_certificate (ends.b);
      g_assert_true (i < 2 ? shown == NULL : g_tls_certificate_is_same (shown, client_certificate));
      g_assert_true (g_tls_certificate_is_same (servers, server_certificate));
      g_assert_false (mp_connection_send_fd (ends.a, 1, FAR, NULL, &error));
      g_assert_error (error, MP_ERROR, MP_ERROR_NOT_SUPPORTED);
    }
}

static void
test_waiting (void)
{
  g_autoptr (MpListener) listener = listener_new (server_certificate, NULL, KEY);
  g_auto (Ends) ends = meet (listener, NULL, KEY);
  MpWaitable *waitable = MP_WAITABLE (ends.b);
  g_autoptr (GPtrArray) ready = NULL;
  g_auto (Waiting) waiting = { NULL };
  g_autoptr (GBytes) bytes = NULL;

  g_test_summary (
    "What TLS has read already counts as there; timeouts, asynchronous calls, the end");
  assert_receives_error (ends.b, 0, MP_ERROR_TIMED_OUT, "in time");
  assert_receives_error (ends.b, 20000, MP_ERROR_TIMED_OUT, "in time");
  g_assert_false (mp_connection_poll (ends.b, 1000, NULL, NULL));
  send_text (ends.a, "one");
  send_text (ends.a, "two");
  ready = mp_wait (&waitable, 1, FAR, NULL, NULL);
  g_assert_nonnull (ready);
  assert_receives (ends.b, "one");
  g_assert_true (mp_connection_poll (ends.b, FAR, NULL, NULL));
  assert_receives (ends.b, "two");
  g_assert_false (mp_connection_poll (ends.b, 0, NULL, NULL));
  mp_connection_recv_bytes_async (ends.b, NULL, on_result, &waiting);
  turn ();
  send_text (ends.a, "three");
  bytes = mp_connection_recv_bytes_finish (ends.b, await (&waiting), NULL);
  assert_bytes (bytes, "three");
  send_text (ends.a, "last");
  mp_connection_close (ends.a);
  assert_receives (ends.b, "last");
  assert_receives_error (ends.b, FAR, MP_ERROR_CLOSED, "other end");
}

static void
test_torn (void)
{
  g_autoptr (MpListener) listener = listener_new (server_certificate, NULL, NULL);
  g_auto (Ends) ends = meet (listener, NULL, NULL);
  g_autofree guint8 *data = g_malloc0 (30000000);
  g_autoptr (GError) error = NULL;

  g_test_summary ("A message that is given up in the middle is the end of sending");
  g_assert_false (mp_connection_send_data (ends.a, data, 30000000, 50000, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_TIMED_OUT);
  g_assert_false (mp_connection_get_writable (ends.a));
  assert_receives_error (ends.b, FAR, MP_ERROR_CORRUPT, "of 30000000 bytes");
}

static void
assert_fails (MpListener *listener,
              GTlsDatabase *database,
              GTlsCertificate *certificate,
              const char *key,
              int server_code)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (MpConnection) server = NULL;
  Client client;
  GThread *thread = start_client (&client, listener, database, certificate, key);

  server = mp_listener_accept (listener, FAR, NULL, &error);
  g_assert_null (server);
  g_assert_error (error, MP_ERROR, server_code);
  g_thread_join (thread);
  /* With TLS 1.3, a client may find out later. */
  if (client.connection != NULL)
    g_assert_null (mp_connection_recv_bytes (client.connection, FAR, NULL, &client.error));
  g_assert_nonnull (client.error);
  g_assert_true (client.error->domain == MP_ERROR);
  client_clear (&client);
}

static void
test_wrong (void)
{
  g_autoptr (MpListener) listener = listener_new (server_certificate, NULL, KEY);
  g_autoptr (MpListener) strange = listener_new (strangers_certificate, NULL, NULL);
  g_autoptr (MpListener) strict = listener_new (server_certificate, authority, NULL);
  g_autoptr (GError) error = NULL;

  g_test_summary ("Certificates and keys that are wrong; the next client is not harmed");
  assert_fails (listener, authority, NULL, "another", MP_ERROR_AUTHENTICATION);
  assert_fails (listener, others, NULL, KEY, MP_ERROR_AUTHENTICATION);
  assert_fails (strange, authority, NULL, NULL, MP_ERROR_AUTHENTICATION);
  assert_fails (strict, authority, NULL, NULL, MP_ERROR_AUTHENTICATION);
  assert_fails (strict, authority, strangers_certificate, NULL, MP_ERROR_AUTHENTICATION);
  {
    g_auto (Ends) ends = meet (listener, NULL, KEY);
    g_auto (Ends) others_ends = meet (strict, client_certificate, NULL);

    exchange (&ends);
    exchange (&others_ends);
  }
  /* Another name than the certificate's. */
  host = "127.0.0.1";
  assert_fails (strange, others, NULL, NULL, MP_ERROR_AUTHENTICATION);
  host = "localhost";
  g_assert_null (mp_listener_new_tls ("unix-abstract:x", NULL, server_certificate, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_SUPPORTED);
  g_clear_error (&error);
  g_assert_null (mp_connection_open_tls ("unix:/x", NULL, NULL, NULL, FAR, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_SUPPORTED);
}

static int
connect_socket (MpListener *listener)
{
  const char *port = strrchr (mp_listener_get_address (listener), ':') + 1;
  struct sockaddr_in address = { .sin_family = AF_INET,
                                 .sin_port = htons ((guint16) strtoul (port, NULL, 10)),
                                 .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  g_assert_no_errno (connect (fd, (struct sockaddr *) &address, sizeof address));
  return fd;
}

/* How a client begins. */
static gsize
get_hello (guint8 *hello, gsize size)
{
  g_autoptr (MpListener) silent = mp_listener_new ("tcp:127.0.0.1:0", NULL, NULL);
  g_autoptr (MpConnection) connection = NULL;
  Client client;
  GThread *thread = start_client (&client, silent, authority, NULL, NULL);
  gssize n;

  connection = mp_listener_accept (silent, FAR, NULL, NULL);
  g_assert_true (mp_connection_poll (connection, FAR, NULL, NULL));
  n = recv (mp_connection_get_fd (connection), hello, size, 0);
  g_assert_cmpint (n, >, 100);
  g_clear_object (&connection);
  g_thread_join (thread);
  g_assert_null (client.connection);
  client_clear (&client);
  return (gsize) n;
}

#define N_BAD 60

static void
test_bad_clients (void)
{
  g_autoptr (MpListener) listener = listener_new (server_certificate, NULL, KEY);
  g_autoptr (GError) error = NULL;
  int fds[N_BAD];
  guint8 hello[2048];
  gsize n_hello = get_hello (hello, sizeof hello);

  g_test_summary ("Clients that say nothing, or no TLS, keep nobody waiting, and time out");
  mp_listener_set_handshake_timeout (listener, 2 * G_USEC_PER_SEC);
  for (int i = 0; i < N_BAD; i++)
    {
      fds[i] = connect_socket (listener);
      /* Nothing, the beginning of a record, or one that is followed by nothing. */
      if (i % 3 == 1)
        write_all (fds[i], "\26\3\1", 3);
      if (i % 3 == 2)
        write_all (fds[i], hello, n_hello);
    }
  for (int i = 0; i < 2; i++)
    {
      g_auto (Ends) ends = meet (listener, NULL, KEY);

      exchange (&ends);
    }
  for (int i = 0; i < N_BAD; i++)
    {
      gssize n;

      /* What it was answered, and the end. */
      while ((n = recv (fds[i], hello, sizeof hello, MSG_DONTWAIT)) != 0)
        if (n < 0 && errno != EAGAIN)
          break;
        else if (n < 0)
          g_assert_null (mp_listener_accept (listener, 50000, NULL, NULL));
      close (fds[i]);
    }
  fds[0] = connect_socket (listener);
  write_all (fds[0], "\0\0\0\5hello, this is no TLS", 26);
  g_assert_null (mp_listener_accept (listener, FAR, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_AUTHENTICATION);
  close (fds[0]);
}

static int
try_to_serve (gpointer listener)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (mp_listener_accept (listener, FAR, NULL, &error));
  mp_listener_close (listener);
  return g_error_matches (error, MP_ERROR, MP_ERROR_NOT_SUPPORTED) ? 0 : 1;
}

static void
test_forked (void)
{
  g_autoptr (MpListener) listener = listener_new (server_certificate, NULL, NULL);
  int silent = connect_socket (listener);

  g_test_summary ("A child cannot accept, and does its parent no harm");
  g_assert_null (mp_listener_accept (listener, 20000, NULL, NULL));
  g_assert_cmpint (test_join (test_fork (try_to_serve, listener)), ==, 0);
  {
    g_auto (Ends) ends = meet (listener, NULL, NULL);

    exchange (&ends);
  }
  close (silent);
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  make_certificates ();
  g_test_add_func ("/mp/connection-tls/messages", test_messages);
  g_test_add_func ("/mp/connection-tls/waiting", test_waiting);
  g_test_add_func ("/mp/connection-tls/torn", test_torn);
  g_test_add_func ("/mp/connection-tls/wrong", test_wrong);
  g_test_add_func ("/mp/connection-tls/bad-clients", test_bad_clients);
  g_test_add_func ("/mp/connection-tls/forked", test_forked);
  result = g_test_run ();
  g_clear_object (&server_certificate);
  g_clear_object (&client_certificate);
  g_clear_object (&strangers_certificate);
  g_clear_object (&authority);
  g_clear_object (&others);
  test_remove_tree (folder);
  g_free (folder);
  return result;
}
