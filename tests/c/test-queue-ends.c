/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <pthread.h>

#include "libmp.h"
#include "test-util.h"

#define FAR (20 * G_USEC_PER_SEC)

static MpQueue *
queue_new (guint max_items)
{
  g_autoptr (GError) error = NULL;
  MpQueue *queue = mp_queue_new (max_items, 0, &error);

  g_assert_no_error (error);
  return queue;
}

static void
put_number (MpQueue *queue, gint32 number)
{
  g_autoptr (GError) error = NULL;

  mp_queue_put (queue, g_variant_new_int32 (number), FAR, NULL, &error);
  g_assert_no_error (error);
}

static gint32
get_number (MpQueue *queue)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = mp_queue_get (queue, FAR, NULL, &error);

  g_assert_no_error (error);
  return g_variant_get_int32 (value);
}

static void
assert_closed_for_get (MpQueue *queue, gint64 timeout)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (mp_queue_get (queue, timeout, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
}

static void
assert_closed_for_put (MpQueue *queue, gint64 timeout)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (mp_queue_put (queue, g_variant_new_int32 (0), timeout, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
}

static void
task_done (MpQueue *queue)
{
  g_autoptr (GError) error = NULL;

  mp_queue_task_done (queue, &error);
  g_assert_no_error (error);
}

static void
assert_join_fails (MpQueue *queue, gint64 timeout)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (mp_queue_join (queue, timeout, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_TIMED_OUT);
}

static void
count_notification (GObject *object, GParamSpec *pspec, gpointer user_data)
{
  ++*(guint *) user_data;
}

static void
test_close_put (void)
{
  g_autoptr (MpQueue) queue = queue_new (0);
  guint n_notified = 0;

  g_test_summary ("With the side of put closed, what is there can still be taken");
  g_signal_connect (queue, "notify::closed", G_CALLBACK (count_notification), &n_notified);
  put_number (queue, 1);
  mp_queue_close_sides (queue, MP_QUEUE_SIDES_PUT);
  mp_queue_close (queue);
  g_assert_cmpuint (n_notified, ==, 1);
  assert_closed_for_put (queue, 0);
  g_assert_cmpint (get_number (queue), ==, 1);
  assert_closed_for_get (queue, FAR);
}

static void
test_close_get (void)
{
  g_autoptr (MpQueue) queue = queue_new (0);

  g_test_summary ("With the side of get closed, what is there is dropped, and putting fails");
  for (int i = 0; i < 5; i++)
    put_number (queue, i);
  mp_queue_close (queue);
  mp_queue_close_sides (queue, MP_QUEUE_SIDES_GET);
  g_assert_true (mp_queue_get_closed (queue));
  g_assert_cmpuint (mp_queue_get_length (queue), ==, 0);
  g_assert_cmpuint (mp_queue_get_unfinished (queue), ==, 0);
  assert_closed_for_put (queue, FAR);
  assert_closed_for_get (queue, FAR);
}

static int
fill_until_closed (gpointer data)
{
  g_autoptr (GError) error = NULL;

  while (mp_queue_put (data, g_variant_new_int32 (0), FAR, NULL, &error))
    ;
  return g_error_matches (error, MP_ERROR, MP_ERROR_CLOSED) ? 0 : 1;
}

static int
empty_until_closed (gpointer data)
{
  g_autoptr (GError) error = NULL;

  for (;;)
    {
      g_autoptr (GVariant) value = mp_queue_get (data, FAR, NULL, &error);

      if (value == NULL)
        return g_error_matches (error, MP_ERROR, MP_ERROR_CLOSED) ? 0 : 1;
    }
}

static void
test_close_waiting (void)
{
  g_autoptr (MpQueue) full = queue_new (3), empty = queue_new (0);
  GPid putter = test_fork (fill_until_closed, full);
  GPid getter = test_fork (empty_until_closed, empty);
  gint64 start;

  g_test_summary ("Who waits in another process learns of it at once");
  while (mp_queue_get_length (full) < 3)
    g_thread_yield ();
  test_wait_state (putter, 'S');
  test_wait_state (getter, 'S');
  start = g_get_monotonic_time ();
  mp_queue_close_sides (full, MP_QUEUE_SIDES_GET);
  mp_queue_close_sides (empty, MP_QUEUE_SIDES_GET);
  g_assert_cmpint (test_join (putter), ==, 0);
  g_assert_cmpint (test_join (getter), ==, 0);
  g_assert_cmpint (g_get_monotonic_time () - start, <, test_soon ());
}

static void
on_got (GObject *source, GAsyncResult *result, gpointer user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

static void
test_close_async (void)
{
  g_autoptr (MpQueue) queue = queue_new (0);
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("So does an asynchronous get, and one that nobody fetches is dropped");
  mp_queue_get_async (queue, NULL, on_got, &result);
  mp_queue_close_sides (queue, MP_QUEUE_SIDES_GET);
  while (result == NULL)
    g_main_context_iteration (NULL, TRUE);
  g_assert_null (mp_queue_get_finish (queue, result, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
}

static void
test_unfetched (void)
{
  g_autoptr (MpQueue) queue = queue_new (0);
  g_autoptr (GAsyncResult) result = NULL;

  g_test_summary ("A message that nobody fetched is not unfinished twice");
  put_number (queue, 7);
  mp_queue_get_async (queue, NULL, on_got, &result);
  while (result == NULL)
    g_main_context_iteration (NULL, TRUE);
  g_clear_object (&result);
  g_assert_cmpuint (mp_queue_get_length (queue), ==, 1);
  g_assert_cmpuint (mp_queue_get_unfinished (queue), ==, 1);
  mp_queue_get_async (queue, NULL, on_got, &result);
  while (result == NULL)
    g_main_context_iteration (NULL, TRUE);
  mp_queue_close_sides (queue, MP_QUEUE_SIDES_GET);
  g_clear_object (&result);
  g_assert_cmpuint (mp_queue_get_length (queue), ==, 0);
}

static void
test_drain (void)
{
  g_autoptr (MpQueue) queue = queue_new (0);
  g_autofree guint8 *big = g_malloc0 (3 * 1024 * 1024);
  g_autoptr (GError) error = NULL;

  g_test_summary ("Draining takes all away, over all segments, and tells how many");
  g_assert_cmpuint (mp_queue_drain (queue), ==, 0);
  for (int i = 0; i < 1000; i++)
    put_number (queue, i);
  for (int i = 0; i < 3; i++)
    {
      mp_queue_put_payload (queue, big, 3 * 1024 * 1024, MP_CODEC_RAW, FAR, NULL, &error);
      g_assert_no_error (error);
    }
  g_assert_cmpuint (mp_queue_get_unfinished (queue), ==, 1003);
  g_assert_cmpuint (mp_queue_drain (queue), ==, 1003);
  g_assert_cmpuint (mp_queue_get_length (queue), ==, 0);
  g_assert_cmpuint (mp_queue_get_unfinished (queue), ==, 0);
  put_number (queue, 5);
  g_assert_cmpint (get_number (queue), ==, 5);
}

static int
put_five (gpointer data)
{
  for (int i = 0; i < 5; i++)
    put_number (data, i);
  return 0;
}

static void
test_drain_makes_room (void)
{
  g_autoptr (MpQueue) queue = queue_new (3);
  GPid putter = test_fork (put_five, queue);

  g_test_summary ("Who waits for room gets it from a drain");
  test_wait_state (putter, 'S');
  while (mp_queue_get_length (queue) < 3)
    g_thread_yield ();
  g_assert_cmpuint (mp_queue_drain (queue), ==, 3);
  g_assert_cmpint (test_join (putter), ==, 0);
  g_assert_cmpint (get_number (queue), ==, 3);
  g_assert_cmpint (get_number (queue), ==, 4);
}

static void
test_peek_length (void)
{
  g_autoptr (MpQueue) queue = queue_new (0);
  g_autoptr (GError) error = NULL;
  const guint8 bytes[77] = { 0 };
  gsize length = 1;

  g_test_summary ("The length of the first message is exact, and taken is nothing");
  g_assert_false (mp_queue_peek_length (queue, &length, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_EMPTY);
  g_assert_cmpuint (length, ==, 0);
  g_clear_error (&error);
  mp_queue_put_payload (queue, bytes, sizeof bytes, MP_CODEC_PICKLE, 0, NULL, &error);
  g_assert_no_error (error);
  mp_queue_put_payload (queue, NULL, 0, MP_CODEC_RAW, 0, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (mp_queue_peek_length (queue, &length, &error));
  g_assert_cmpuint (length, ==, 77);
  g_assert_cmpuint (mp_queue_get_length (queue), ==, 2);
  g_assert_nonnull (mp_queue_get_payload (queue, 0, &length, NULL, NULL, &error));
  g_assert_true (mp_queue_peek_length (queue, &length, &error));
  g_assert_cmpuint (length, ==, 0);
  g_assert_cmpuint (mp_queue_drain (queue), ==, 1);
  mp_queue_close (queue);
  g_assert_false (mp_queue_peek_length (queue, &length, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
}

static int
work_one (gpointer data)
{
  get_number (data);
  task_done (data);
  return 0;
}

static void
test_join_alone (void)
{
  g_autoptr (MpQueue) queue = queue_new (0);
  g_autoptr (GError) error = NULL;
  guint unfinished;

  g_test_summary ("A message is unfinished until it is done");
  g_assert_true (mp_queue_join (queue, 0, NULL, &error));
  g_assert_false (mp_queue_task_done (queue, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  put_number (queue, 1);
  put_number (queue, 2);
  g_object_get (queue, "unfinished", &unfinished, NULL);
  g_assert_cmpuint (unfinished, ==, 2);
  get_number (queue);
  get_number (queue);
  assert_join_fails (queue, 0);
  assert_join_fails (queue, 1000);
  task_done (queue);
  assert_join_fails (queue, 0);
  g_assert_false (mp_queue_wait_joined (queue, 1000));
  task_done (queue);
  g_assert_true (mp_queue_join (queue, -1, NULL, &error));
  g_assert_true (mp_queue_wait_joined (queue, 0));
  g_assert_false (mp_queue_task_done (queue, NULL));
  g_assert_cmpuint (mp_queue_get_unfinished (queue), ==, 0);
}

#define N_TASKS 2000

static int
work (gpointer data)
{
  for (;;)
    {
      gint32 number = get_number (data);

      task_done (data);
      if (number < 0)
        return 0;
    }
}

static int
join_for_ever (gpointer data)
{
  return mp_queue_join (data, FAR, NULL, NULL) ? 0 : 1;
}

static void
test_join_processes (void)
{
  g_autoptr (MpQueue) queue = queue_new (100);
  GPid workers[3], joiners[3];
  gint64 start;

  g_test_summary ("Several processes work, and several wait for the end");
  for (int i = 0; i < 3; i++)
    workers[i] = test_fork (work, queue);
  for (int i = 0; i < N_TASKS; i++)
    put_number (queue, i);
  for (int i = 0; i < 3; i++)
    put_number (queue, -1);
  g_assert_true (mp_queue_join (queue, FAR, NULL, NULL));
  g_assert_cmpuint (mp_queue_get_unfinished (queue), ==, 0);
  for (int i = 0; i < 3; i++)
    g_assert_cmpint (test_join (workers[i]), ==, 0);

  put_number (queue, 0);
  for (int i = 0; i < 3; i++)
    joiners[i] = test_fork (join_for_ever, queue);
  for (int i = 0; i < 3; i++)
    test_wait_state (joiners[i], 'S');
  test_kill (joiners[0]);
  start = g_get_monotonic_time ();
  task_done (queue);
  for (int i = 1; i < 3; i++)
    g_assert_cmpint (test_join (joiners[i]), ==, 0);
  g_assert_cmpint (g_get_monotonic_time () - start, <, test_soon ());
}

static gpointer
cancel_soon (gpointer data)
{
  g_usleep (20000);
  g_cancellable_cancel (data);
  return NULL;
}

static void
test_join_cancel (void)
{
  g_autoptr (MpQueue) queue = queue_new (0);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  GThread *thread;
  gint64 start;

  g_test_summary ("Waiting for the end can be cancelled");
  put_number (queue, 1);
  thread = g_thread_new ("cancel", cancel_soon, cancellable);
  start = g_get_monotonic_time ();
  g_assert_false (mp_queue_join (queue, FAR, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpint (g_get_monotonic_time () - start, <, test_soon ());
  g_thread_join (thread);
  g_clear_error (&error);
  g_assert_false (mp_queue_join (queue, FAR, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static void
on_alarm (int number)
{
}

static gpointer
interrupt (gpointer data)
{
  pthread_t *thread = data;

  g_usleep (20000);
  pthread_kill (*thread, SIGUSR1);
  return NULL;
}

static void
test_join_signals (void)
{
  g_autoptr (MpQueue) queue = queue_new (0);
  struct sigaction action = { .sa_handler = on_alarm }, before;
  pthread_t self = pthread_self ();
  GThread *thread;
  gint64 start;

  g_test_summary ("For bindings, a signal ends the wait early");
  g_assert_no_errno (sigaction (SIGUSR1, &action, &before));
  put_number (queue, 1);
  thread = g_thread_new ("interrupt", interrupt, &self);
  start = g_get_monotonic_time ();
  g_assert_false (mp_queue_wait_joined (queue, FAR));
  g_assert_cmpint (g_get_monotonic_time () - start, <, test_soon ());
  g_thread_join (thread);
  g_assert_no_errno (sigaction (SIGUSR1, &before, NULL));
}

typedef struct
{
  GAsyncResult *result;
} Waiting;

static void
on_result (GObject *source, GAsyncResult *result, gpointer user_data)
{
  ((Waiting *) user_data)->result = g_object_ref (result);
}

static gboolean
finish_join (MpQueue *queue, Waiting *waiting, GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  while (waiting->result == NULL)
    g_main_context_iteration (NULL, TRUE);
  result = g_steal_pointer (&waiting->result);
  return mp_queue_join_finish (queue, result, error);
}

static void
turn (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

static void
try_join_async (guint max_items)
{
  g_autoptr (MpQueue) queue = queue_new (max_items);
  g_autoptr (GError) error = NULL;
  Waiting waiting[3] = { { NULL } };
  gint64 start;
  GPid pid;

  mp_queue_join_async (queue, NULL, on_result, &waiting[0]);
  g_assert_null (waiting[0].result);
  g_assert_true (finish_join (queue, &waiting[0], &error));
  for (gint32 i = 0; i < 5; i++)
    put_number (queue, i);
  for (int i = 0; i < 3; i++)
    mp_queue_join_async (queue, NULL, on_result, &waiting[i]);
  turn ();
  for (gint32 i = 0; i < 4; i++)
    {
      g_assert_cmpint (get_number (queue), ==, i);
      task_done (queue);
      turn ();
    }
  g_assert_null (waiting[0].result);
  start = g_get_monotonic_time ();
  pid = test_fork (work_one, queue);
  for (int i = 0; i < 3; i++)
    {
      g_assert_true (finish_join (queue, &waiting[i], &error));
      g_assert_no_error (error);
    }
  /* It was told, and did not only look from time to time. */
  g_assert_cmpint (g_get_monotonic_time () - start, <, test_soon ());
  g_assert_cmpint (test_join (pid), ==, 0);
}

static void
test_join_async (void)
{
  g_test_summary ("Joining without a thread, where the last word comes from another process");
  try_join_async (0);
  try_join_async (5);
}

static void
test_join_async_cancel (void)
{
  g_autoptr (MpQueue) queue = queue_new (0);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  Waiting waiting = { NULL };

  g_test_summary ("Cancelled before, and while it waits");
  put_number (queue, 1);
  mp_queue_join_async (queue, cancellable, on_result, &waiting);
  turn ();
  g_assert_null (waiting.result);
  g_cancellable_cancel (cancellable);
  g_assert_false (finish_join (queue, &waiting, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  mp_queue_join_async (queue, cancellable, on_result, &waiting);
  g_assert_false (finish_join (queue, &waiting, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static void
test_join_async_close (void)
{
  g_autoptr (MpQueue) queue = queue_new (0);
  Waiting waiting = { NULL };

  g_test_summary ("Closed for all: what is dropped is done");
  put_number (queue, 1);
  mp_queue_join_async (queue, NULL, on_result, &waiting);
  turn ();
  mp_queue_close_sides (queue, MP_QUEUE_SIDES_GET);
  g_assert_true (finish_join (queue, &waiting, NULL));
}

static void
test_drain_done_before (void)
{
  g_autoptr (MpQueue) queue = queue_new (0);

  g_test_summary ("Draining what somebody has said to be done already");
  put_number (queue, 1);
  put_number (queue, 2);
  task_done (queue);
  g_assert_cmpuint (mp_queue_drain (queue), ==, 2);
  g_assert_cmpuint (mp_queue_get_unfinished (queue), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/queue-ends/close-put", test_close_put);
  g_test_add_func ("/mp/queue-ends/close-get", test_close_get);
  g_test_add_func ("/mp/queue-ends/close-waiting", test_close_waiting);
  g_test_add_func ("/mp/queue-ends/close-async", test_close_async);
  g_test_add_func ("/mp/queue-ends/unfetched", test_unfetched);
  g_test_add_func ("/mp/queue-ends/drain", test_drain);
  g_test_add_func ("/mp/queue-ends/drain-makes-room", test_drain_makes_room);
  g_test_add_func ("/mp/queue-ends/peek-length", test_peek_length);
  g_test_add_func ("/mp/queue-ends/join", test_join_alone);
  g_test_add_func ("/mp/queue-ends/join-processes", test_join_processes);
  g_test_add_func ("/mp/queue-ends/join-cancel", test_join_cancel);
  g_test_add_func ("/mp/queue-ends/join-signals", test_join_signals);
  g_test_add_func ("/mp/queue-ends/join-async", test_join_async);
  g_test_add_func ("/mp/queue-ends/join-async-cancel", test_join_async_cancel);
  g_test_add_func ("/mp/queue-ends/join-async-close", test_join_async_close);
  g_test_add_func ("/mp/queue-ends/drain-done-before", test_drain_done_before);
  return g_test_run ();
}
