/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Connections and main loops, and what travels with descriptors. */

#include "connection-util.h"

#include <errno.h>
#include <fcntl.h>

#define BIG ((gsize) 4 * 1024 * 1024)

static GBytes *
bytes_new (const char *text)
{
  return g_bytes_new (text, strlen (text));
}

static void
test_receive (void)
{
  g_auto (Ends) ends = ends_new (TRUE);
  g_auto (Waiting) first = { NULL }, second = { NULL }, third = { NULL };
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GVariant) value = NULL, none = NULL;

  g_test_summary ("Several wait at a time, and get messages in the order in which they came");
  mp_connection_recv_bytes_async (ends.b, NULL, on_result, &first);
  mp_connection_recv_async (ends.b, NULL, on_result, &second);
  mp_connection_recv_async (ends.b, NULL, on_result, &third);
  turn ();
  g_assert_null (first.result);
  assert_receives_error (ends.b, 0, MP_ERROR_TIMED_OUT, "in time");
  send_text (ends.a, "one");
  g_assert_true (mp_connection_send (ends.a, g_variant_new_int32 (2), FAR, NULL, NULL));
  send_text (ends.a, "three");
  bytes = mp_connection_recv_bytes_finish (ends.b, await (&first), &error);
  g_assert_no_error (error);
  assert_bytes (bytes, "one");
  value = mp_connection_recv_finish (ends.b, await (&second), &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_variant_get_int32 (value), ==, 2);
  none = mp_connection_recv_finish (ends.b, await (&third), &error);
  g_assert_null (none);
  g_assert_error (error, MP_ERROR, MP_ERROR_CORRUPT);
  assert_receives (ends.b, "three");
}

static void
test_not_fetched (void)
{
  g_auto (Ends) ends = ends_new (TRUE);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_auto (Waiting) waiting = { NULL };
  g_autoptr (GBytes) bytes = NULL;

  g_test_summary ("A message that nobody fetched is the next one; a late cancel loses none");
  send_text (ends.a, "one");
  send_text (ends.a, "two");
  mp_connection_recv_bytes_async (ends.b, NULL, NULL, NULL);
  mp_connection_recv_bytes_async (ends.b, NULL, on_result, &waiting);
  await (&waiting);
  turn ();
  g_clear_object (&waiting.result);
  assert_receives (ends.b, "two");
  assert_receives (ends.b, "one");
  send_text (ends.a, "three");
  mp_connection_recv_bytes_async (ends.b, cancellable, on_result, &waiting);
  g_cancellable_cancel (cancellable);
  bytes = mp_connection_recv_bytes_finish (ends.b, await (&waiting), NULL);
  assert_bytes (bytes, "three");
}

static void
test_cancel (void)
{
  g_auto (Ends) ends = ends_new (TRUE);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_auto (Waiting) first = { NULL }, second = { NULL }, third = { NULL };
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;

  g_test_summary ("Cancelled with and without the turn, nothing is taken, the next one goes on");
  mp_connection_recv_bytes_async (ends.b, cancellable, on_result, &first);
  mp_connection_recv_bytes_async (ends.b, cancellable, on_result, &second);
  mp_connection_recv_bytes_async (ends.b, NULL, on_result, &third);
  turn ();
  g_cancellable_cancel (cancellable);
  g_assert_null (mp_connection_recv_bytes_finish (ends.b, await (&first), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_null (mp_connection_recv_bytes_finish (ends.b, await (&second), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  send_text (ends.a, "hello");
  bytes = mp_connection_recv_bytes_finish (ends.b, await (&third), NULL);
  assert_bytes (bytes, "hello");
}

static void
test_send (void)
{
  g_auto (Ends) ends = ends_new (TRUE);
  g_autofree char *text = g_strnfill (BIG, 'x');
  g_autoptr (GBytes) big = bytes_new (text), small = bytes_new ("small"), received = NULL;
  g_auto (Waiting) first = { NULL }, second = { NULL }, third = { NULL }, got = { NULL };
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("Big messages both ways in one thread, small ones behind them in order");
  mp_connection_send_bytes_async (ends.a, big, NULL, on_result, &first);
  mp_connection_send_bytes_async (ends.a, small, NULL, on_result, &second);
  mp_connection_send_async (ends.a, g_variant_new_int32 (3), NULL, on_result, &third);
  g_clear_pointer (&small, g_bytes_unref);
  turn ();
  g_assert_null (first.result);
  g_assert_false (mp_connection_send_data (ends.a, (const guint8 *) "x", 1, 0, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_TIMED_OUT);
  g_clear_error (&error);
  mp_connection_recv_bytes_async (ends.b, NULL, on_result, &got);
  received = mp_connection_recv_bytes_finish (ends.b, await (&got), &error);
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (received, big));
  g_assert_true (mp_connection_send_bytes_finish (ends.a, await (&first), &error));
  g_assert_true (mp_connection_send_bytes_finish (ends.a, await (&second), &error));
  g_assert_true (mp_connection_send_finish (ends.a, await (&third), &error));
  assert_receives (ends.b, "small");
  value = mp_connection_recv (ends.b, FAR, NULL, &error);
  g_assert_cmpint (g_variant_get_int32 (value), ==, 3);
}

static void
test_send_cancelled (void)
{
  g_auto (Ends) ends = ends_new (TRUE);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autofree char *text = g_strnfill (BIG, 'x');
  g_autoptr (GBytes) big = bytes_new (text);
  g_auto (Waiting) first = { NULL }, second = { NULL };
  g_autoptr (GError) error = NULL;

  g_test_summary ("Cancelled in the middle of a message, it is the end of sending, for all");
  mp_connection_send_bytes_async (ends.a, big, cancellable, on_result, &first);
  mp_connection_send_bytes_async (ends.a, big, NULL, on_result, &second);
  turn ();
  g_cancellable_cancel (cancellable);
  g_assert_false (mp_connection_send_bytes_finish (ends.a, await (&first), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_false (mp_connection_send_bytes_finish (ends.a, await (&second), &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
  assert_receives_error (ends.b, FAR, MP_ERROR_CORRUPT, "of 4194304 bytes came");
}

static void
test_close (void)
{
  g_auto (Ends) ends = ends_new (TRUE);
  g_auto (Waiting) first = { NULL }, second = { NULL };
  g_autoptr (GError) error = NULL;
  int fd = mp_connection_get_fd (ends.a);

  g_test_summary ("Closing ends what waits, and closes the descriptor at once");
  mp_connection_recv_bytes_async (ends.a, NULL, on_result, &first);
  mp_connection_recv_bytes_async (ends.a, NULL, on_result, &second);
  turn ();
  mp_connection_close (ends.a);
  g_assert_true (fcntl (fd, F_GETFD) == -1 && errno == EBADF);
  assert_receives_error (ends.b, FAR, MP_ERROR_CLOSED, "other end");
  g_assert_null (mp_connection_recv_bytes_finish (ends.a, await (&first), &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
  g_clear_error (&error);
  g_assert_null (mp_connection_recv_bytes_finish (ends.a, await (&second), &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
}

static int
close_there (gpointer data)
{
  Ends *ends = data;

  mp_connection_close (ends->a);
  return 0;
}

static void
test_close_in_child (void)
{
  g_auto (Ends) ends = ends_new (TRUE);
  g_auto (Waiting) waiting = { NULL };
  g_autoptr (GBytes) bytes = NULL;

  g_test_summary ("What a child of fork() closes wakes nobody in its parent");
  mp_connection_recv_bytes_async (ends.a, NULL, on_result, &waiting);
  turn ();
  g_assert_cmpint (test_join (test_fork (close_there, &ends)), ==, 0);
  g_assert_false (g_main_context_pending (NULL));
  send_text (ends.b, "hello");
  bytes = mp_connection_recv_bytes_finish (ends.a, await (&waiting), NULL);
  assert_bytes (bytes, "hello");
}

static gboolean
count_calls (MpConnection *connection, gpointer user_data)
{
  (*(guint *) user_data)++;
  return TRUE;
}

static void
test_source (void)
{
  g_auto (Ends) ends = ends_new (TRUE);
  g_autoptr (GSource) source = mp_connection_create_source (ends.b, NULL);
  g_autoptr (GPtrArray) ready = NULL;
  MpWaitable *waitables[2] = { MP_WAITABLE (ends.a), MP_WAITABLE (ends.b) };
  guint n_calls = 0;

  g_test_summary ("A source, and waiting for several: for messages, and for the end");
  g_source_set_callback (source, (GSourceFunc) (void (*) (void)) count_calls, &n_calls, NULL);
  g_source_attach (source, NULL);
  turn ();
  g_assert_cmpuint (n_calls, ==, 0);
  g_assert_null (mp_wait (waitables, 2, 1000, NULL, NULL));
  send_text (ends.a, "hello");
  g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (n_calls, ==, 1);
  ready = mp_wait (waitables, 2, FAR, NULL, NULL);
  g_assert_cmpuint (ready->len, ==, 1);
  g_assert_true (ready->pdata[0] == ends.b);
  g_assert_null (mp_connection_recv (ends.b, FAR, NULL, NULL));
  /* It was given back. */
  g_clear_pointer (&ready, g_ptr_array_unref);
  ready = mp_wait (waitables, 2, 0, NULL, NULL);
  g_assert_cmpuint (ready->len, ==, 1);
  g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (n_calls, ==, 2);
  assert_receives (ends.b, "hello");
  turn ();
  g_assert_cmpuint (n_calls, ==, 2);
  mp_connection_close (ends.a);
  g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (n_calls, ==, 3);
  mp_connection_close (ends.b);
  g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (n_calls, ==, 4);
  g_clear_pointer (&ready, g_ptr_array_unref);
  ready = mp_wait (waitables, 2, FAR, NULL, NULL);
  g_assert_cmpuint (ready->len, ==, 2);
  g_source_destroy (source);
}

/* Descriptors */

static void
test_fds (void)
{
  g_auto (Ends) ends = ends_new (TRUE);
  g_auto (Ends) sent = ends_new (TRUE);
  g_autoptr (MpConnection) received = NULL;
  g_autoptr (GError) error = NULL;
  guint before = test_count_fds ();
  int fd;

  g_test_summary ("A descriptor arrives, closed on exec, and is the same file");
  g_assert_cmpint (mp_connection_recv_fd (ends.b, 0, NULL, &error), ==, -1);
  g_assert_error (error, MP_ERROR, MP_ERROR_TIMED_OUT);
  g_clear_error (&error);
  mp_connection_send_fd (ends.a, mp_connection_get_fd (sent.a), FAR, NULL, &error);
  g_assert_no_error (error);
  send_text (ends.a, "behind it");
  fd = mp_connection_recv_fd (ends.b, FAR, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (fcntl (fd, F_GETFD), ==, FD_CLOEXEC);
  received = mp_connection_new_for_fd (fd, TRUE, TRUE, NULL);
  send_text (received, "through it");
  assert_receives (sent.b, "through it");
  assert_receives (ends.b, "behind it");
  g_assert_false (mp_connection_send_fd (ends.a, 1000000, FAR, NULL, &error));
  g_assert_nonnull (error);
  send_text (ends.a, "still");
  g_assert_null (mp_connection_recv (ends.b, FAR, NULL, NULL));
  g_clear_error (&error);
  g_assert_cmpint (mp_connection_recv_fd (ends.b, FAR, NULL, &error), ==, -1);
  g_assert_error (error, MP_ERROR, MP_ERROR_BUSY);
  g_clear_error (&error);
  assert_receives (ends.b, "still");
  g_clear_object (&received);
  g_assert_cmpuint (test_count_fds (), ==, before);
  send_text (ends.a, "no descriptor");
  g_assert_cmpint (mp_connection_recv_fd (ends.b, FAR, NULL, &error), ==, -1);
  g_assert_error (error, MP_ERROR, MP_ERROR_CORRUPT);
  g_assert_false (mp_connection_get_readable (ends.b));
}

/* What is not asked for, or too much of it. */
static void
send_with_fds (int socket_fd, const char *data, gsize length, guint n_fds)
{
  union
  {
    struct cmsghdr header;
    char bytes[CMSG_SPACE (200 * sizeof (int))];
  } control = { .bytes = { 0 } };
  struct iovec part = { .iov_base = (void *) data, .iov_len = length };
  struct msghdr message = { .msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = CMSG_SPACE (n_fds * sizeof (int)) };

  control.header.cmsg_level = SOL_SOCKET;
  control.header.cmsg_type = SCM_RIGHTS;
  control.header.cmsg_len = CMSG_LEN (n_fds * sizeof (int));
  for (guint i = 0; i < n_fds; i++)
    memcpy (CMSG_DATA (&control.header) + i * sizeof (int), &socket_fd, sizeof (int));
  g_assert_cmpint (sendmsg (socket_fd, &message, 0), ==, length);
}

static void
test_unwanted_fds (void)
{
  guint before = test_count_fds ();

  g_test_summary ("Descriptors that nobody asked for are closed");
  for (int i = 0; i < 5; i++)
    {
      g_autoptr (MpConnection) connection = NULL;
      guint8 buffer[10];
      gsize length;
      int other;

      connection = connection_new (&other);
      send_with_fds (other, "\0\0\0\5hello", 9, 200);
      send_with_fds (other, i == 4 ? "\2" : "\0", 1, 200);
      if (i == 0)
        assert_receives (connection, "hello");
      else if (i == 1)
        {
          g_assert_null (mp_connection_recv (connection, FAR, NULL, NULL));
          assert_receives (connection, "hello");
        }
      else
        g_assert_true (
          mp_connection_recv_bytes_into (connection, buffer, 10, &length, FAR, NULL, NULL));
      if (i == 3 || i == 4)
        g_assert_cmpint (mp_connection_recv_fd (connection, FAR, NULL, NULL), ==, -1);
      else
        g_assert_null (mp_connection_recv_bytes (connection, 0, NULL, NULL));
      close (other);
    }
  g_assert_cmpuint (test_count_fds (), ==, before);
}

static int
use_shareable (gpointer data)
{
  g_autoptr (MpShareable) shareable = mp_connection_recv_shareable (data, FAR, NULL, NULL);

  return MP_IS_QUEUE (shareable) &&
             mp_queue_put (MP_QUEUE (shareable), g_variant_new_int32 (7), FAR, NULL, NULL)
           ? 0
           : 1;
}

static void
test_shareable (void)
{
  g_auto (Ends) ends = ends_new (TRUE);
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;
  guint before;
  GPid pid = test_fork (use_shareable, ends.b);

  g_test_summary ("A queue goes to another process, and nothing of it stays behind");
  before = test_count_fds ();
  mp_connection_send_shareable (ends.a, MP_SHAREABLE (queue), FAR, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (test_join (pid), ==, 0);
  value = mp_queue_get (queue, FAR, NULL, NULL);
  g_assert_cmpint (g_variant_get_int32 (value), ==, 7);
  g_assert_cmpuint (test_count_fds (), ==, before);
}

static void
test_no_shareable (void)
{
  g_auto (Ends) ends = ends_new (TRUE);
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autoptr (MpShareable) shareable = NULL;
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("What is no handle stays; a handle may also be received as a message");
  g_assert_true (mp_connection_send (ends.a, g_variant_new_int32 (1), FAR, NULL, NULL));
  g_assert_null (mp_connection_recv_shareable (ends.b, FAR, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_TYPE);
  g_clear_error (&error);
  value = mp_connection_recv (ends.b, FAR, NULL, NULL);
  g_assert_cmpint (g_variant_get_int32 (value), ==, 1);
  /* Read as bytes for a variant that it is not, and given back with its descriptors. */
  g_assert_true (mp_connection_send_shareable (ends.a, MP_SHAREABLE (queue), FAR, NULL, NULL));
  mp_connection_recv_bytes_async (ends.b, NULL, NULL, NULL);
  turn ();
  shareable = mp_connection_recv_shareable (ends.b, FAR, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (MP_IS_QUEUE (shareable));
  /* Without its descriptors it is a handle of nothing. */
  g_assert_true (mp_connection_send_shareable (ends.a, MP_SHAREABLE (queue), FAR, NULL, NULL));
  g_variant_unref (g_steal_pointer (&value));
  value = mp_connection_recv (ends.b, FAR, NULL, NULL);
  g_assert_true (mp_connection_send (ends.a, value, FAR, NULL, NULL));
  g_assert_null (mp_connection_recv_shareable (ends.b, FAR, NULL, &error));
  g_assert_nonnull (error);
  g_clear_error (&error);
  mp_connection_close (ends.a);
  g_assert_false (mp_connection_send_shareable (ends.a, MP_SHAREABLE (queue), 0, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/connection-async/receive", test_receive);
  g_test_add_func ("/mp/connection-async/not-fetched", test_not_fetched);
  g_test_add_func ("/mp/connection-async/cancel", test_cancel);
  g_test_add_func ("/mp/connection-async/send", test_send);
  g_test_add_func ("/mp/connection-async/send-cancelled", test_send_cancelled);
  g_test_add_func ("/mp/connection-async/close", test_close);
  g_test_add_func ("/mp/connection-async/close-in-child", test_close_in_child);
  g_test_add_func ("/mp/connection-async/source", test_source);
  g_test_add_func ("/mp/connection-async/fds", test_fds);
  g_test_add_func ("/mp/connection-async/unwanted-fds", test_unwanted_fds);
  g_test_add_func ("/mp/connection-async/shareable", test_shareable);
  g_test_add_func ("/mp/connection-async/no-shareable", test_no_shareable);
  return g_test_run ();
}
