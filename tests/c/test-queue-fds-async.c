/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Descriptors inside of messages of queues, and main loops. */

#include <sys/resource.h>

#include "libmp.h"
#include "channel/mp-queue-private.h"
#include "channel/mp-ring-layout-private.h"
#include "test-queue-fds.h"

static void
on_result (GObject *source, GAsyncResult *result, gpointer user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

static void
await (GAsyncResult **result)
{
  while (*result == NULL)
    g_main_context_iteration (NULL, TRUE);
}

static void
turn (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

static int
put_later (gpointer data)
{
  close (put_pipe (data, 2));
  return 0;
}

static void
test_get (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  g_autoptr (GAsyncResult) ready = NULL, later = NULL;
  g_autoptr (GUnixFDList) first = NULL, second = NULL;
  g_autoptr (GVariant) value = NULL, other = NULL;
  g_autoptr (GError) error = NULL;
  int fd = put_pipe (queue, 1);
  GPid pid;

  g_test_summary ("Of what is there, and of what comes from another process");
  mp_queue_get_with_fds_async (queue, NULL, on_result, &ready);
  await (&ready);
  value = mp_queue_get_with_fds_finish (queue, ready, &first, &error);
  g_assert_no_error (error);
  assert_joined (g_unix_fd_list_peek_fds (first, NULL)[0], fd);
  g_clear_object (&first);
  g_clear_object (&ready);
  assert_closed (fd);
  mp_queue_get_with_fds_async (queue, NULL, on_result, &later);
  turn ();
  g_assert_null (later);
  pid = test_fork (put_later, queue);
  await (&later);
  other = mp_queue_get_with_fds_finish (queue, later, &second, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_unix_fd_list_get_length (second), ==, 1);
  g_assert_cmpint (test_join (pid), ==, 0);
}

static void
test_unfetched (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  g_autoptr (GAsyncResult) result = NULL;
  guint n_before = test_count_fds ();
  int fd = put_pipe (queue, 1);

  g_test_summary ("What nobody fetched goes back with its descriptors");
  mp_queue_get_with_fds_async (queue, NULL, on_result, &result);
  await (&result);
  g_assert_cmpuint (mp_queue_get_length (queue), ==, 0);
  g_clear_object (&result);
  turn ();
  g_assert_cmpuint (mp_queue_get_length (queue), ==, 1);
  g_assert_cmpuint (mp_queue_get_unfinished (queue), ==, 1);
  assert_got (queue, 1, fd);
  g_assert_cmpuint (test_count_fds (), ==, n_before);
}

static void
test_get_fails (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  g_autoptr (GAsyncResult) plain = NULL, cancelled = NULL, closed = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GUnixFDList) fd_list = NULL;
  g_autoptr (GError) error = NULL;
  int fd = put_pipe (queue, 1);

  g_test_summary ("Without descriptors, cancelled, closed");
  mp_queue_get_async (queue, NULL, on_result, &plain);
  await (&plain);
  g_assert_null (mp_queue_get_finish (queue, plain, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_SUPPORTED);
  g_clear_error (&error);
  assert_got (queue, 1, fd);
  mp_queue_get_with_fds_async (queue, cancellable, on_result, &cancelled);
  turn ();
  g_cancellable_cancel (cancellable);
  await (&cancelled);
  g_assert_null (mp_queue_get_with_fds_finish (queue, cancelled, &fd_list, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_null (fd_list);
  mp_queue_get_with_fds_async (queue, NULL, on_result, &closed);
  turn ();
  mp_queue_close (queue);
  await (&closed);
  g_assert_null (mp_queue_get_with_fds_finish (queue, closed, &fd_list, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
}

static void
test_put (void)
{
  g_autoptr (MpQueue) queue = queue_new (1, 0);
  g_autoptr (MpQueue) plain = mp_queue_new (0, 0, NULL);
  g_autoptr (GAsyncResult) done = NULL, refused = NULL;
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GError) error = NULL;
  int fd = pipe_into (fd_list);

  g_test_summary ("Which waits for room, and one that a queue does not carry");
  put_number (queue, 1);
  mp_queue_put_with_fds_async (queue, g_variant_new_uint32 (2), fd_list, NULL, on_result, &done);
  mp_queue_put_with_fds_async (plain, g_variant_new_uint32 (2), fd_list, NULL, on_result, &refused);
  g_clear_object (&fd_list);
  await (&refused);
  g_assert_false (mp_queue_put_with_fds_finish (plain, refused, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_SUPPORTED);
  g_clear_error (&error);
  g_clear_object (&refused);
  turn ();
  g_assert_null (done);
  g_assert_cmpint (get_number (queue, 1), ==, -1);
  await (&done);
  g_assert_true (mp_queue_put_with_fds_finish (queue, done, &error));
  g_assert_no_error (error);
  g_clear_object (&done);
  assert_got (queue, 2, fd);
}

static int
take_one (gpointer data)
{
  int fd = get_number (data, 1);

  return fd >= 0 && close (fd) == 0 ? 0 : 1;
}

static gboolean
end_turn (gpointer user_data)
{
  *(gboolean *) user_data = TRUE;
  return G_SOURCE_REMOVE;
}

/* How often the main loop goes to sleep in that time. */
static long
count_sleeps (gint64 time_us)
{
  struct rusage before, after;
  gboolean over = FALSE;

  getrusage (RUSAGE_THREAD, &before);
  g_timeout_add ((guint) (time_us / 1000), end_turn, &over);
  while (!over)
    g_main_context_iteration (NULL, TRUE);
  getrusage (RUSAGE_THREAD, &after);
  return after.ru_nvcsw - before.ru_nvcsw;
}

static void
test_put_full (gconstpointer max_items)
{
  g_autoptr (MpQueue) queue = queue_new (GPOINTER_TO_UINT (max_items), 0);
  g_autoptr (GAsyncResult) done = NULL;
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GError) error = NULL;
  int fd = pipe_into (fd_list);
  gint64 start;
  GPid pid;
  guint n;

  g_test_summary ("Which waits for room for descriptors");
  while (mp_queue_put_with_fds (queue, g_variant_new_uint32 (1), fd_list, 0, NULL, NULL))
    ;
  n = mp_queue_get_length (queue);
  mp_queue_put_with_fds_async (queue, g_variant_new_uint32 (1), fd_list, NULL, on_result, &done);
  g_clear_object (&fd_list);
  /* It sleeps until one is taken, here or elsewhere. */
  g_assert_cmpint (count_sleeps (3 * G_USEC_PER_SEC / 10), <, 20);
  g_assert_null (done);
  start = g_get_monotonic_time ();
  pid = test_fork (take_one, queue);
  await (&done);
  g_assert_cmpint (g_get_monotonic_time () - start, <, test_soon ());
  g_assert_true (mp_queue_put_with_fds_finish (queue, done, &error));
  g_assert_no_error (error);
  g_clear_object (&done);
  g_assert_cmpint (test_join (pid), ==, 0);
  g_assert_cmpuint (mp_queue_drain (queue), ==, n);
  assert_closed (fd);
}

/* As many messages with a descriptor as the system keeps. */
static guint
fill (MpQueue *queue)
{
  for (guint n = 0;; n++)
    {
      g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();

      g_unix_fd_list_append (fd_list, STDERR_FILENO, NULL);
      if (!mp_queue_put_with_fds (queue, g_variant_new_uint32 (n), fd_list, 0, NULL, NULL))
        return n;
    }
}

static void
start_put (MpQueue *queue, GAsyncResult **result)
{
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();

  g_unix_fd_list_append (fd_list, STDERR_FILENO, NULL);
  mp_queue_put_with_fds_async (queue, g_variant_new_uint32 (0), fd_list, NULL, on_result, result);
}

static void
test_room (void)
{
  g_autoptr (MpQueue) probe = queue_new (100000, 0), queue = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  guint n = fill (probe);
  gint64 end;

  g_test_summary ("Who waits for room for descriptors keeps no other room from others");
  queue = queue_new (n + 1, 0);
  g_assert_cmpuint (fill (queue), ==, n);
  start_put (queue, &result);
  end = g_get_monotonic_time () + 4 * MP_RING_CLAIM_AFTER_US;
  while (g_get_monotonic_time () < end)
    turn ();
  g_assert_null (result);
  g_assert_true (mp_queue_put (queue, g_variant_new_uint32 (1), 0, NULL, NULL));
  mp_queue_drain (queue);
  await (&result);
}

static void
test_wait_join (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  g_autoptr (GUnixFDList) fd_list = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  GPollFD poll = { .events = G_IO_IN };

  g_test_summary ("A loop that joins swallows no wake of one that waits for room for descriptors");
  fill (queue);
  start_put (queue, &result);
  turn ();
  g_assert_null (result);
  g_variant_unref (mp_queue_get_with_fds (queue, 0, &fd_list, NULL, NULL));
  g_assert_false (mp_queue_arm (queue, G_IO_PRI));
  poll.fd = mp_queue_get_fd (queue, G_IO_OUT);
  g_assert_cmpint (g_poll (&poll, 1, 0), ==, 1);
  await (&result);
}

static void
test_shareable (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  g_autoptr (MpEvent) event = mp_event_new (NULL);
  g_autoptr (MpShareable) received = NULL;
  g_autoptr (GAsyncResult) put = NULL, got = NULL, odd = NULL, refused = NULL;
  g_autoptr (MpQueue) plain = mp_queue_new (0, 0, NULL);
  g_autoptr (GError) error = NULL;

  g_test_summary ("Objects, and what is none");
  mp_queue_get_shareable_async (queue, NULL, on_result, &got);
  mp_queue_put_shareable_async (queue, MP_SHAREABLE (event), NULL, on_result, &put);
  await (&put);
  g_assert_true (mp_queue_put_shareable_finish (queue, put, &error));
  await (&got);
  received = mp_queue_get_shareable_finish (queue, got, &error);
  g_assert_no_error (error);
  mp_event_set (MP_EVENT (received));
  g_assert_true (mp_event_get_is_set (event));
  put_number (queue, 1);
  mp_queue_get_shareable_async (queue, NULL, on_result, &odd);
  await (&odd);
  g_assert_null (mp_queue_get_shareable_finish (queue, odd, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_TYPE);
  g_clear_error (&error);
  g_assert_cmpint (get_number (queue, 1), ==, -1);
  mp_queue_put_shareable_async (plain, MP_SHAREABLE (event), NULL, on_result, &refused);
  await (&refused);
  g_assert_false (mp_queue_put_shareable_finish (plain, refused, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_SUPPORTED);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/queue-fds-async/get", test_get);
  g_test_add_func ("/mp/queue-fds-async/unfetched", test_unfetched);
  g_test_add_func ("/mp/queue-fds-async/get-fails", test_get_fails);
  g_test_add_func ("/mp/queue-fds-async/put", test_put);
  g_test_add_data_func ("/mp/queue-fds-async/put-full", NULL, test_put_full);
  g_test_add_data_func ("/mp/queue-fds-async/put-full-bounded",
                        GUINT_TO_POINTER (100000),
                        test_put_full);
  g_test_add_func ("/mp/queue-fds-async/room", test_room);
  g_test_add_func ("/mp/queue-fds-async/join", test_wait_join);
  g_test_add_func ("/mp/queue-fds-async/shareable", test_shareable);
  return g_test_run ();
}
