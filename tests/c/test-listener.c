/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Listeners, and clients of all kinds. */

#include "connection-util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/un.h>

static GBytes *
key_new (const char *text)
{
  return text != NULL ? g_bytes_new (text, strlen (text)) : NULL;
}

static MpListener *
listener_new (const char *address, const char *key)
{
  g_autoptr (GBytes) authkey = key_new (key);
  g_autoptr (GError) error = NULL;
  MpListener *self = mp_listener_new (address, authkey, &error);

  g_assert_no_error (error);
  return self;
}

static char *
abstract_address (void)
{
  static int n;

  return g_strdup_printf ("unix-abstract:libmp-test-%d-%d", getpid (), n++);
}

/* A client in a thread: accepting goes on meanwhile. */
typedef struct
{
  char *address;
  GBytes *key;
  MpConnection *connection;
  GError *error;
} Client;

static gpointer
be_client (gpointer data)
{
  Client *self = data;

  self->connection = mp_connection_open (self->address, self->key, FAR, NULL, &self->error);
  return NULL;
}

static GThread *
start_client (Client *self, MpListener *listener, const char *key)
{
  *self =
    (Client){ .address = g_strdup (mp_listener_get_address (listener)), .key = key_new (key) };
  return g_thread_new (NULL, be_client, self);
}

static void
client_clear (Client *self)
{
  g_free (self->address);
  g_clear_pointer (&self->key, g_bytes_unref);
  g_clear_object (&self->connection);
  g_clear_error (&self->error);
}

static void
assert_connects (MpListener *listener, const char *key)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (MpConnection) server = NULL;
  Client client;
  GThread *thread = start_client (&client, listener, key);

  server = mp_listener_accept (listener, FAR, NULL, &error);
  g_assert_no_error (error);
  g_thread_join (thread);
  g_assert_no_error (client.error);
  send_text (client.connection, "there");
  assert_receives (server, "there");
  send_text (server, "back");
  assert_receives (client.connection, "back");
  client_clear (&client);
}

static void
test_families (void)
{
  g_autofree char *abstract = abstract_address ();
  const char *addresses[] = { NULL, abstract, "tcp:127.0.0.1:0", "tcp:[::1]:0", "tcp:localhost:0" };
  const char *prefixes[] = { "unix:/", abstract, "tcp:127.0.0.1:", "tcp:[::1]:", "tcp:127.0.0.1:" };

  g_test_summary ("All kinds of addresses, with a key and without");
  for (gsize i = 0; i < G_N_ELEMENTS (addresses); i++)
    for (int keyed = 0; keyed < 2; keyed++)
      {
        g_autoptr (MpListener) listener = listener_new (addresses[i], keyed ? "key" : NULL);

        g_assert_true (g_str_has_prefix (mp_listener_get_address (listener), prefixes[i]));
        g_assert_false (g_str_has_suffix (mp_listener_get_address (listener), ":0"));
        assert_connects (listener, keyed ? "key" : NULL);
        assert_connects (listener, keyed ? "key" : NULL);
      }
}

static int
drop_listener (gpointer data)
{
  mp_listener_close (data);
  return 0;
}

static void
test_paths (void)
{
  MpListener *listener = listener_new (NULL, NULL);
  const char *path = mp_listener_get_address (listener) + strlen ("unix:");
  g_autofree char *copy = g_strdup (path), *folder = g_path_get_dirname (path);
  struct stat status;

  g_test_summary ("A path of its own is in a folder for this user, and is removed by its maker");
  g_assert_no_errno (stat (folder, &status));
  g_assert_cmpint (status.st_mode & 0777, ==, 0700);
  g_assert_cmpint (test_join (test_fork (drop_listener, listener)), ==, 0);
  g_assert_true (g_file_test (copy, G_FILE_TEST_EXISTS));
  assert_connects (listener, NULL);
  mp_listener_close (listener);
  mp_listener_close (listener);
  g_assert_false (g_file_test (folder, G_FILE_TEST_EXISTS));
  g_assert_true (mp_listener_get_closed (listener));
  g_object_unref (listener);
  listener = listener_new (NULL, NULL);
  g_free (copy);
  copy = g_strdup (mp_listener_get_address (listener) + strlen ("unix:"));
  g_object_unref (listener);
  g_assert_false (g_file_test (copy, G_FILE_TEST_EXISTS));
}

static void
assert_no_listener (const char *address, int code, const char *text)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (mp_listener_new (address, NULL, &error));
  g_assert_error (error, MP_ERROR, code);
  g_assert_nonnull (strstr (error->message, text));
}

static void
assert_no_connection (const char *address, gint64 timeout_us, int code, const char *text)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (mp_connection_open (address, NULL, timeout_us, NULL, &error));
  g_assert_error (error, MP_ERROR, code);
  g_assert_nonnull (strstr (error->message, text));
}

static void
test_bad_addresses (void)
{
  static const char *const bad[] = {
    "",          "unix:",      "unix-abstract:", "tcp:",  "tcp:host",   "tcp::1",
    "tcp:host:", "tcp:host:x", "tcp:host:65536", "/path", "tcp:host:-1"
  };
  g_autofree char *name = g_strnfill (108, 'x'), *longest = g_strconcat ("unix:", name, NULL);
  g_autoptr (MpListener) listener = listener_new (NULL, NULL);
  g_autofree char *gone = NULL;

  g_test_summary ("Addresses that are none, are in use, or where nobody listens");
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      assert_no_listener (bad[i], MP_ERROR_INVALID_ARGUMENT, "The address");
      assert_no_connection (bad[i], FAR, MP_ERROR_INVALID_ARGUMENT, "The address");
    }
  assert_no_listener (longest, MP_ERROR_INVALID_ARGUMENT, "too long");
  assert_no_listener (mp_listener_get_address (listener), MP_ERROR_EXISTS, "in use");
  assert_no_listener ("unix:/there/is/no/such/folder", MP_ERROR_NOT_FOUND, "/there/is/no");
  assert_no_connection ("unix:/there/is/no/such/folder", FAR, MP_ERROR_NOT_FOUND, "/there/is/no");
  gone = g_strdup (mp_listener_get_address (listener));
  mp_listener_close (listener);
  assert_no_connection (gone, FAR, MP_ERROR_NOT_FOUND, gone);
  assert_no_connection ("tcp:127.0.0.1:1", FAR, MP_ERROR_NOT_FOUND, "tcp:127.0.0.1:1");
}

static void
test_waiting (void)
{
  g_autoptr (MpListener) listener = listener_new (NULL, "key");
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GBytes) key = key_new ("key");
  g_autoptr (GError) error = NULL;
  gint64 start = g_get_monotonic_time ();
  g_autofree char *address = g_strdup (mp_listener_get_address (listener));

  g_test_summary ("Nobody comes, or nobody answers, in time; cancelled; closed");
  g_assert_null (mp_listener_accept (listener, 0, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_TIMED_OUT);
  g_clear_error (&error);
  g_assert_null (mp_listener_accept (listener, 20000, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_TIMED_OUT);
  g_clear_error (&error);
  g_assert_cmpint (g_get_monotonic_time () - start, >=, 20000);
  g_assert_null (mp_connection_open (address, key, 20000, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_TIMED_OUT);
  g_clear_error (&error);
  g_cancellable_cancel (cancellable);
  g_assert_null (mp_listener_accept (listener, FAR, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_null (mp_connection_open (address, key, FAR, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  mp_listener_close (listener);
  g_assert_null (mp_listener_accept (listener, FAR, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
}

static void
test_wrong_key (void)
{
  g_autoptr (MpListener) listener = listener_new (NULL, "key");
  g_autoptr (GError) error = NULL;
  Client client;
  GThread *thread = start_client (&client, listener, "another");

  g_test_summary ("A client with another key is an error on both sides; the next one comes in");
  g_assert_null (mp_listener_accept (listener, FAR, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_AUTHENTICATION);
  g_thread_join (thread);
  g_assert_error (client.error, MP_ERROR, MP_ERROR_AUTHENTICATION);
  client_clear (&client);
  assert_connects (listener, "key");
}

/* A client that is just a socket. */
static int
connect_socket (MpListener *listener)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  g_strlcpy (address.sun_path,
             mp_listener_get_address (listener) + strlen ("unix:"),
             sizeof address.sun_path);
  g_assert_no_errno (connect (fd, (struct sockaddr *) &address, sizeof address));
  return fd;
}

#define N_SILENT 100

static void
test_bad_clients (void)
{
  g_autoptr (MpListener) listener = listener_new (NULL, "key");
  guint before = test_count_fds ();
  int fds[N_SILENT];
  gint64 start = g_get_monotonic_time ();

  g_test_summary ("Clients that say nothing, or little, or leave, keep nobody else waiting");
  for (int i = 0; i < N_SILENT; i++)
    {
      fds[i] = connect_socket (listener);
      if (i % 4 == 1)
        write_all (fds[i], "\0\0\0", 3);
      if (i % 4 == 2)
        write_all (fds[i], "\0\0\0\50{sha256}", 12);
      if (i % 4 == 3)
        close (fds[i]);
    }
  for (int i = 0; i < 3; i++)
    assert_connects (listener, "key");
  g_assert_cmpint (g_get_monotonic_time () - start, <, 5 * G_USEC_PER_SEC);
  mp_listener_close (listener);
  for (int i = 0; i < N_SILENT; i++)
    if (i % 4 != 3)
      {
        char byte[100];

        /* The challenge, and then the end. */
        while (recv (fds[i], byte, sizeof byte, 0) > 0)
          ;
        close (fds[i]);
      }
  g_assert_cmpuint (test_count_fds (), <, before);
}

static void
test_many_silent (void)
{
  g_autoptr (MpListener) listener = listener_new (NULL, "key");
  guint before = test_count_fds ();
  int fds[300];

  g_test_summary ("More than a listener cares for: the oldest give way");
  for (int i = 0; i < 300; i++)
    {
      fds[i] = connect_socket (listener);
      if (i % 20 == 0)
        g_assert_null (mp_listener_accept (listener, 0, NULL, NULL));
    }
  assert_connects (listener, "key");
  g_assert_cmpuint (test_count_fds (), <=, before + 300 + 128 + 1);
  for (int i = 0; i < 300; i++)
    close (fds[i]);
}

static void
test_handshake_timeout (void)
{
  g_autoptr (MpListener) listener = listener_new (NULL, "key");
  gint64 start = g_get_monotonic_time (), timeout = 0;
  char bytes[100];
  int fd;

  g_test_summary ("The time to show a key is over while somebody waits for clients");
  mp_listener_set_handshake_timeout (listener, 30000);
  g_object_get (listener, "handshake-timeout", &timeout, NULL);
  g_assert_cmpint (timeout, ==, 30000);
  fd = connect_socket (listener);
  g_assert_null (mp_listener_accept (listener, 200000, NULL, NULL));
  g_assert_cmpint (recv (fd, bytes, sizeof bytes, MSG_DONTWAIT), ==, 63);
  g_assert_cmpint (recv (fd, bytes, sizeof bytes, MSG_DONTWAIT), ==, 0);
  g_assert_cmpint (g_get_monotonic_time () - start, <, 200000 + test_soon ());
  close (fd);
  assert_connects (listener, "key");
}

static void
test_async (void)
{
  g_autoptr (MpListener) listener = listener_new ("tcp:127.0.0.1:0", "key");
  g_autoptr (GBytes) key = key_new ("key");
  g_autoptr (MpConnection) server = NULL, client = NULL, again = NULL, second = NULL;
  g_auto (Waiting) accepting = { NULL }, opening = { NULL }, late = { NULL }, next = { NULL };
  g_autoptr (GError) error = NULL;
  MpWaitable *waitable = MP_WAITABLE (listener);
  g_autoptr (GPtrArray) ready = NULL;
  const char *address = mp_listener_get_address (listener);

  g_test_summary ("Both sides in one main loop; who is not fetched is the next one");
  mp_listener_accept_async (listener, NULL, on_result, &accepting);
  mp_connection_open_async (address, key, FAR, NULL, on_result, &opening);
  client = mp_connection_open_finish (await (&opening), &error);
  g_assert_no_error (error);
  server = mp_listener_accept_finish (listener, await (&accepting), &error);
  g_assert_no_error (error);
  send_text (client, "x");
  assert_receives (server, "x");

  g_clear_object (&opening.result);
  mp_listener_accept_async (listener, NULL, NULL, NULL);
  mp_connection_open_async (address, key, FAR, NULL, on_result, &opening);
  again = mp_connection_open_finish (await (&opening), &error);
  g_assert_no_error (error);
  ready = mp_wait (&waitable, 1, FAR, NULL, &error);
  g_assert_no_error (error);
  second = mp_listener_accept (listener, 0, NULL, &error);
  g_assert_no_error (error);
  send_text (again, "y");
  assert_receives (second, "y");

  mp_listener_accept_async (listener, NULL, on_result, &late);
  turn ();
  mp_listener_close (listener);
  g_assert_null (mp_listener_accept_finish (listener, await (&late), &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
  g_clear_error (&error);
  mp_connection_open_async (address, key, FAR, NULL, on_result, &next);
  g_assert_null (mp_connection_open_finish (await (&next), &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_FOUND);
}

/* Several that accept */

static gpointer
accept_in_thread (gpointer listener)
{
  g_autoptr (GError) error = NULL;
  MpConnection *connection = mp_listener_accept (listener, FAR, NULL, &error);

  if (connection == NULL)
    g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
  return connection;
}

#define N_ACCEPTING 4

static void
test_threads (void)
{
  g_autoptr (MpListener) listener = listener_new (NULL, "key");
  GThread *threads[N_ACCEPTING], *clients[N_ACCEPTING];
  Client client[N_ACCEPTING];

  g_test_summary ("Threads accept at the same time, each gets one; closing wakes those who wait");
  for (int round = 0; round < 2; round++)
    {
      for (int i = 0; i < N_ACCEPTING; i++)
        threads[i] = g_thread_new (NULL, accept_in_thread, listener);
      for (int i = 0; i < N_ACCEPTING && round == 0; i++)
        clients[i] = start_client (&client[i], listener, "key");
      if (round == 1)
        mp_listener_close (listener);
      for (int i = 0; i < N_ACCEPTING; i++)
        {
          g_autoptr (MpConnection) server = g_thread_join (threads[i]);

          g_assert_true ((server != NULL) == (round == 0));
        }
      for (int i = 0; i < N_ACCEPTING && round == 0; i++)
        {
          g_thread_join (clients[i]);
          g_assert_no_error (client[i].error);
          client_clear (&client[i]);
        }
    }
}

static int
serve_one (gpointer listener)
{
  g_autoptr (MpConnection) connection = mp_listener_accept (listener, FAR, NULL, NULL);
  g_autoptr (GBytes) bytes = NULL;

  if (connection == NULL)
    return 1;
  bytes = mp_connection_recv_bytes (connection, FAR, NULL, NULL);
  return bytes != NULL && mp_connection_send_bytes (connection, bytes, FAR, NULL, NULL) ? 0 : 1;
}

static void
test_forked (void)
{
  g_test_summary ("Children of a listener's process accept, too, whatever it has begun");
  for (int keyed = 0; keyed < 2; keyed++)
    {
      g_autoptr (MpListener) listener = listener_new (NULL, keyed ? "key" : NULL);
      g_autoptr (GBytes) key = key_new (keyed ? "key" : NULL);
      int silent = connect_socket (listener);
      GPid pids[3];

      if (keyed)
        g_assert_null (mp_listener_accept (listener, 1000, NULL, NULL));
      else
        g_object_unref (mp_listener_accept (listener, FAR, NULL, NULL));
      for (int i = 0; i < 3; i++)
        pids[i] = test_fork (serve_one, listener);
      for (int i = 0; i < 3; i++)
        {
          g_autoptr (GError) error = NULL;
          g_autoptr (MpConnection) connection =
            mp_connection_open (mp_listener_get_address (listener), key, FAR, NULL, &error);

          g_assert_no_error (error);
          send_text (connection, "x");
          assert_receives (connection, "x");
        }
      for (int i = 0; i < 3; i++)
        g_assert_cmpint (test_join (pids[i]), ==, 0);
      close (silent);
      assert_connects (listener, keyed ? "key" : NULL);
    }
}

static void
test_backlog (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (MpListener) listener =
    g_initable_new (MP_TYPE_LISTENER, NULL, &error, "backlog", 0, NULL);
  Client clients[6];
  GThread *threads[6];

  g_test_summary ("Clients wait for room in the backlog");
  g_assert_no_error (error);
  g_assert_cmpuint (mp_listener_get_backlog (listener), ==, 0);
  for (int i = 0; i < 6; i++)
    threads[i] = start_client (&clients[i], listener, NULL);
  for (int i = 0; i < 6; i++)
    {
      g_object_unref (mp_listener_accept (listener, FAR, NULL, &error));
      g_assert_no_error (error);
    }
  for (int i = 0; i < 6; i++)
    {
      g_thread_join (threads[i]);
      g_assert_no_error (clients[i].error);
      client_clear (&clients[i]);
    }
  {
    int fd = connect_socket (listener);

    assert_no_connection (mp_listener_get_address (listener), 20000, MP_ERROR_TIMED_OUT, "in time");
    close (fd);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/listener/families", test_families);
  g_test_add_func ("/mp/listener/paths", test_paths);
  g_test_add_func ("/mp/listener/bad-addresses", test_bad_addresses);
  g_test_add_func ("/mp/listener/waiting", test_waiting);
  g_test_add_func ("/mp/listener/wrong-key", test_wrong_key);
  g_test_add_func ("/mp/listener/bad-clients", test_bad_clients);
  g_test_add_func ("/mp/listener/many-silent", test_many_silent);
  g_test_add_func ("/mp/listener/handshake-timeout", test_handshake_timeout);
  g_test_add_func ("/mp/listener/async", test_async);
  g_test_add_func ("/mp/listener/threads", test_threads);
  g_test_add_func ("/mp/listener/forked", test_forked);
  g_test_add_func ("/mp/listener/backlog", test_backlog);
  return g_test_run ();
}
