/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Long messages that do not go through the socket. */

#include "connection-util.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/un.h>

#include "channel/mp-connection-private.h"

#define LONG ((gsize) 1 << 20)
#define MAX_TURNS 4

static GBytes *
make (guint8 number, gsize length)
{
  guint8 *data = g_malloc (length);

  memset (data, number, length);
  return g_bytes_new_take (data, length);
}

static void
send_long (MpConnection *self, guint8 number)
{
  g_autoptr (GBytes) bytes = make (number, LONG);
  g_autoptr (GError) error = NULL;

  mp_connection_send_bytes (self, bytes, FAR, NULL, &error);
  g_assert_no_error (error);
}

static void
assert_long (GBytes *bytes, guint8 number)
{
  g_autoptr (GBytes) expected = make (number, LONG);

  g_assert_nonnull (bytes);
  g_assert_true (g_bytes_equal (bytes, expected));
}

static void
assert_receives_long (MpConnection *self, guint8 number)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = mp_connection_recv_bytes (self, FAR, NULL, &error);

  g_assert_no_error (error);
  assert_long (bytes, number);
}

/* Ends that know of each other. */
static Ends
met_new (void)
{
  Ends self = ends_new (TRUE);

  send_text (self.a, "a");
  assert_receives (self.b, "a");
  send_text (self.b, "b");
  assert_receives (self.a, "b");
  return self;
}

static guint64
count_unread (MpConnection *self)
{
  guint8 data[8192];

  return (guint64) recv (mp_connection_get_fd (self), data, sizeof data, MSG_PEEK | MSG_DONTWAIT);
}

static void
test_ways (void)
{
  g_auto (Ends) ends = met_new ();
  g_autoptr (GVariant) sent = NULL, got = NULL;
  g_autoptr (GBytes) bytes = make (3, LONG);
  g_autofree guint8 *place = g_malloc (LONG);
  g_auto (Waiting) waiting = { NULL }, sending = { NULL };
  g_autoptr (GBytes) received = NULL;
  gsize length;

  g_test_summary ("Whichever way they are sent and received, and among short ones");
  send_long (ends.a, 1);
  send_text (ends.a, "short");
  send_long (ends.a, 2);
  /* There is little on the socket. */
  g_assert_cmpuint (count_unread (ends.b), <, 2048);
  assert_receives_long (ends.b, 1);
  assert_receives (ends.b, "short");
  g_assert_true (mp_connection_recv_bytes_into (ends.b, place, LONG, &length, FAR, NULL, NULL));
  g_assert_cmpuint (length, ==, LONG);
  g_assert_cmpuint (place[LONG - 1], ==, 2);
  mp_connection_send_bytes_async (ends.b, bytes, NULL, on_result, &sending);
  g_assert_true (mp_connection_send_bytes_finish (ends.b, await (&sending), NULL));
  g_assert_cmpuint (count_unread (ends.a), <, 2048);
  mp_connection_recv_bytes_async (ends.a, NULL, on_result, &waiting);
  received = mp_connection_recv_bytes_finish (ends.a, await (&waiting), NULL);
  assert_long (received, 3);
  sent = g_variant_ref_sink (g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, place, LONG, 1));
  g_assert_true (mp_connection_send (ends.a, sent, FAR, NULL, NULL));
  got = mp_connection_recv (ends.b, FAR, NULL, NULL);
  g_assert_cmpvariant (sent, got);
}

static void
test_memory (void)
{
  guint before = test_count_fds (), most;

  g_test_summary ("What was received stays as it is, and then is used again");
  {
    g_auto (Ends) ends = met_new ();
    g_autoptr (GBytes) first = NULL;
    g_autoptr (GHashTable) places = g_hash_table_new (NULL, NULL);

    send_long (ends.a, 7);
    first = mp_connection_recv_bytes (ends.b, FAR, NULL, NULL);
    most = test_count_fds ();
    for (guint8 i = 0; i < 100; i++)
      {
        g_autoptr (GBytes) bytes = NULL;

        send_long (ends.a, i);
        bytes = mp_connection_recv_bytes (ends.b, FAR, NULL, NULL);
        assert_long (bytes, i);
        g_hash_table_add (places, (gpointer) g_bytes_get_data (bytes, NULL));
      }
    /* Some blocks take turns, so that each is not in the cache of whoever read it any more. */
    g_assert_cmpuint (g_hash_table_size (places), <=, MAX_TURNS);
    assert_long (first, 7);
    mp_connection_close (ends.b);
    g_clear_object (&ends.b);
    assert_long (first, 7);
    g_assert_cmpuint (test_count_fds (), <=, most);
  }
  g_assert_cmpuint (test_count_fds (), <=, before + 2);
}

static void
test_strangers (void)
{
  g_auto (Ends) ends = ends_new (TRUE);
  g_autoptr (MpConnection) connection = NULL;
  g_autoptr (GBytes) bytes = make (5, MP_CONNECTION_LONG);
  guint8 header[4];
  int other;

  g_test_summary ("Who has received nothing may be anybody: it gets the plain bytes");
  connection = connection_new (&other);
  g_assert_true (mp_connection_send_bytes (connection, bytes, FAR, NULL, NULL));
  read_all (other, header, sizeof header);
  g_assert_cmpuint (header[0], ==, 0);
  write_all (other, "\377\377\377\375\0\0\0\4xxxx", 12);
  assert_receives_error (connection, FAR, MP_ERROR_CORRUPT, "names no memory");
  close (other);
  g_assert_true (mp_connection_send_bytes (ends.a, bytes, FAR, NULL, NULL));
  g_assert_cmpuint (count_unread (ends.b), ==, 8192);
}

static void
test_full (void)
{
  g_auto (Ends) ends = met_new ();
  g_autoptr (GBytes) bytes = NULL;
  guint8 n = 0;

  g_test_summary ("More than there is room for goes through the socket, in its order");
  for (; n < 5; n++)
    {
      bytes = make (n, MP_CONNECTION_LONG);
      g_assert_true (mp_connection_send_bytes (ends.a, bytes, FAR, NULL, NULL));
      g_clear_pointer (&bytes, g_bytes_unref);
    }
  for (guint8 i = 0; i < n; i++)
    {
      bytes = mp_connection_recv_bytes (ends.b, FAR, NULL, NULL);
      g_assert_cmpuint (g_bytes_get_size (bytes), ==, MP_CONNECTION_LONG);
      g_assert_cmpuint (((const guint8 *) g_bytes_get_data (bytes, NULL))[MP_CONNECTION_LONG - 1],
                        ==,
                        i);
      g_clear_pointer (&bytes, g_bytes_unref);
    }
}

static int
receive_half (gpointer data)
{
  MpConnection *self = data;
  guint8 byte[4096];

  /* The frame only, and not what it names. */
  while (recv (mp_connection_get_fd (self), byte, sizeof byte, MSG_DONTWAIT) > 0)
    ;
  return 0;
}

static void
test_taken_over (void)
{
  g_auto (Ends) ends = met_new ();

  g_test_summary ("A receiver that dies in the middle: the next one has the next message");
  send_long (ends.a, 1);
  g_assert_cmpint (test_join (test_fork (receive_half, ends.b)), ==, 0);
  send_long (ends.a, 2);
  send_long (ends.a, 3);
  assert_receives_long (ends.b, 2);
  assert_receives_long (ends.b, 3);
}

static int
send_more (gpointer data)
{
  send_long (data, 2);
  return 0;
}

static void
test_forked (void)
{
  g_auto (Ends) ends = met_new ();

  g_test_summary ("A child sends by memory of its own");
  send_long (ends.a, 1);
  g_assert_cmpint (test_join (test_fork (send_more, ends.a)), ==, 0);
  send_long (ends.a, 3);
  for (guint8 i = 1; i <= 3; i++)
    assert_receives_long (ends.b, i);
}

static void
test_max_frame (void)
{
  g_auto (Ends) ends = met_new ();

  g_test_summary ("The bound on messages holds for them, too");
  mp_connection_set_max_frame (ends.b, LONG - 1);
  send_long (ends.a, 1);
  assert_receives_error (ends.b, FAR, MP_ERROR_LIMIT, "are allowed");
  assert_receives_error (ends.b, FAR, MP_ERROR_NOT_SUPPORTED, "received");
}

/* What a hostile end says. */
static void
assert_refused (const guint8 *frame, gsize length, const int *fds, guint n_fds, const char *text)
{
  g_autoptr (MpConnection) connection = NULL;
  struct iovec parts[1] = { { (void *) frame, length } };
  MpTransport transport;
  int other;

  connection = connection_new (&other);
  g_assert_true (mp_transport_init (&transport, other, NULL));
  g_assert_cmpint (mp_transport_write (&transport, parts, 1, fds, n_fds), ==, (gssize) length);
  assert_receives_error (connection, FAR, MP_ERROR_CORRUPT, text);
  g_assert_false (mp_connection_get_readable (connection));
  mp_transport_clear (&transport);
}

static void
test_hostile (void)
{
  g_auto (Ends) ends = met_new ();
  guint before = test_count_fds (), n_fds = 0;
  guint8 *frame, *copy;
  gsize length;
  g_autoptr (GByteArray) array = g_byte_array_new ();
  int fds[8];

  g_test_summary ("Frames that name what is not there");
  send_long (ends.a, 1);
  g_assert_nonnull (ends.a->side);
  {
    /* Take the frame off the socket, with its descriptors. */
    g_autoptr (GArray) got = NULL;
    guint8 data[4096];
    gssize n = mp_transport_read (&ends.b->transport, data, sizeof data, &got);

    g_assert_cmpint (n, ==, MP_TRANSPORT_MAX_PEEKED);
    g_byte_array_append (array, data, (guint) n);
    n = mp_transport_read (&ends.b->transport, data, sizeof data, NULL);
    g_assert_cmpint (n, >, 0);
    g_byte_array_append (array, data, (guint) n);
    n_fds = got->len;
    memcpy (fds, got->data, n_fds * sizeof (int));
  }
  frame = array->data;
  length = array->len;
  assert_refused (frame, length, NULL, 0, "without its memory");
  assert_refused ((const guint8 *) "\377\377\377\375\0\1\0\0", 8, NULL, 0, "A message");
  copy = g_memdup2 (frame, length);
  copy[length - 1] = 9;
  assert_refused (copy, length, fds, n_fds, "not in the memory");
  /* It was taken away meanwhile. */
  assert_refused (frame, length, fds, n_fds, "not in the memory");
  g_free (copy);
  for (guint i = 0; i < n_fds; i++)
    close (fds[i]);
  g_assert_cmpuint (test_count_fds (), <=, before + 8);
}

/* Calls it with no number left for a descriptor, then with one more each time, until it
 * does not fail with MP_ERROR_LIMIT; returns how often it did. */
static guint
try_with_few_numbers (gpointer (*func) (MpConnection *, GError **),
                      MpConnection *self,
                      gpointer *result)
{
  guint before = test_count_fds (), n = 0;
  struct rlimit limit, few;
  int first_free = dup (STDERR_FILENO);

  close (first_free);
  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &limit));
  for (*result = NULL; *result == NULL && n < 64; n++)
    {
      g_autoptr (GError) error = NULL;

      few = (struct rlimit){ .rlim_cur = (rlim_t) first_free + n, .rlim_max = limit.rlim_max };
      g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &few));
      *result = func (self, &error);
      g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &limit));
      if (*result != NULL)
        break;
      g_assert_error (error, MP_ERROR, MP_ERROR_LIMIT);
      g_assert_nonnull (strstr (error->message, "oo many open"));
      g_assert_true (mp_connection_poll (self, 0, NULL, NULL));
      /* What it has already is kept at most. */
      g_assert_cmpuint (test_count_fds (), <=, before + n);
    }
  g_assert_nonnull (*result);
  return n;
}

static gpointer
receive_bytes (MpConnection *self, GError **error)
{
  return mp_connection_recv_bytes (self, FAR, NULL, error);
}

static gpointer
receive_shareable (MpConnection *self, GError **error)
{
  return mp_connection_recv_shareable (self, FAR, NULL, error);
}

static gpointer
receive_fd (MpConnection *self, GError **error)
{
  int fd = mp_connection_recv_fd (self, FAR, NULL, error);

  return fd >= 0 ? GINT_TO_POINTER (fd + 1) : NULL;
}

static void
test_too_many_open (void)
{
  g_auto (Ends) ends = met_new ();
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (MpQueue) other = NULL;
  gpointer result;

  g_test_summary ("What has descriptors stays until this process has numbers for them");
  send_long (ends.a, 1);
  send_text (ends.a, "short");
  g_assert_true (mp_connection_send_shareable (ends.a, MP_SHAREABLE (queue), FAR, NULL, NULL));
  send_long (ends.a, 2);
  g_assert_cmpuint (try_with_few_numbers (receive_bytes, ends.b, &result), >, 3);
  bytes = result;
  assert_long (bytes, 1);
  assert_receives (ends.b, "short");
  g_assert_cmpuint (try_with_few_numbers (receive_shareable, ends.b, &result), >, 3);
  other = result;
  g_assert_true (mp_queue_put (other, g_variant_new_int32 (5), 0, NULL, NULL));
  g_assert_cmpuint (mp_queue_get_length (queue), ==, 1);
  assert_receives_long (ends.b, 2);
  g_assert_true (mp_connection_send_fd (ends.a, STDERR_FILENO, FAR, NULL, NULL));
  g_assert_cmpuint (try_with_few_numbers (receive_fd, ends.b, &result), ==, 1);
  close (GPOINTER_TO_INT (result) - 1);
  send_text (ends.a, "last");
  assert_receives (ends.b, "last");
}

static void
test_too_many_open_async (void)
{
  g_auto (Ends) ends = met_new ();
  g_auto (Waiting) first = { NULL }, second = { NULL };
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;
  struct rlimit limit, none;

  g_test_summary ("The same asynchronously");
  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &limit));
  none = (struct rlimit){ .rlim_cur = 3, .rlim_max = limit.rlim_max };
  send_long (ends.a, 1);
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &none));
  mp_connection_recv_bytes_async (ends.b, NULL, on_result, &first);
  await (&first);
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &limit));
  g_assert_null (mp_connection_recv_bytes_finish (ends.b, first.result, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_LIMIT);
  mp_connection_recv_bytes_async (ends.b, NULL, on_result, &second);
  bytes = mp_connection_recv_bytes_finish (ends.b, await (&second), NULL);
  assert_long (bytes, 1);
}

static void
test_empty (void)
{
  g_auto (Ends) ends = met_new ();
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autoptr (MpShareable) other = NULL;
  guint8 byte;
  gsize length = 1;

  g_test_summary ("Nothing is left of an empty message, and what follows has its descriptors");
  for (int i = 0; i < 2; i++)
    {
      send_text (ends.a, "");
      g_assert_true (mp_connection_send_shareable (ends.a, MP_SHAREABLE (queue), FAR, NULL, NULL));
    }
  assert_receives (ends.b, "");
  other = mp_connection_recv_shareable (ends.b, FAR, NULL, NULL);
  g_assert_nonnull (other);
  g_clear_object (&other);
  g_assert_true (mp_connection_recv_bytes_into (ends.b, &byte, 1, &length, FAR, NULL, NULL));
  g_assert_cmpuint (length, ==, 0);
  other = mp_connection_recv_shareable (ends.b, FAR, NULL, NULL);
  g_assert_nonnull (other);
  g_assert_cmpint (recv (mp_connection_get_fd (ends.b), &byte, 1, MSG_DONTWAIT), ==, -1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/connection-blocks/ways", test_ways);
  g_test_add_func ("/mp/connection-blocks/memory", test_memory);
  g_test_add_func ("/mp/connection-blocks/strangers", test_strangers);
  g_test_add_func ("/mp/connection-blocks/full", test_full);
  g_test_add_func ("/mp/connection-blocks/taken-over", test_taken_over);
  g_test_add_func ("/mp/connection-blocks/forked", test_forked);
  g_test_add_func ("/mp/connection-blocks/max-frame", test_max_frame);
  g_test_add_func ("/mp/connection-blocks/hostile", test_hostile);
  g_test_add_func ("/mp/connection-blocks/too-many-open", test_too_many_open);
  g_test_add_func ("/mp/connection-blocks/too-many-open-async", test_too_many_open_async);
  g_test_add_func ("/mp/connection-blocks/empty", test_empty);
  return g_test_run ();
}
