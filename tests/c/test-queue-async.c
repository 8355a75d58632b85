/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Queues and main loops. */

#include "libmp.h"
#include "test-util.h"

#define FAR (20 * G_USEC_PER_SEC)

static MpQueue *
queue_new (guint max_items, guint64 max_bytes)
{
  g_autoptr (GError) error = NULL;
  MpQueue *queue = mp_queue_new (max_items, max_bytes, &error);

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

typedef struct
{
  GMainLoop *loop;
  GAsyncResult *result;
} Waiting;

static void
on_result (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Waiting *self = user_data;

  self->result = g_object_ref (result);
  g_main_loop_quit (self->loop);
}

static GAsyncResult *
await (Waiting *self)
{
  if (self->result == NULL)
    g_main_loop_run (self->loop);
  return self->result;
}

static void
waiting_clear (Waiting *self)
{
  g_clear_object (&self->result);
  g_clear_pointer (&self->loop, g_main_loop_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Waiting, waiting_clear)

static void
turn (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

static int
put_later (gpointer data)
{
  put_number (data, 6);
  return 0;
}

static void
test_get_async (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  g_auto (Waiting) ready = { g_main_loop_new (NULL, FALSE), NULL };
  g_auto (Waiting) later = { g_main_loop_new (NULL, FALSE), NULL };
  g_autoptr (GVariant) first = NULL;
  g_autoptr (GVariant) second = NULL;
  g_autoptr (GError) error = NULL;
  GPid pid;

  g_test_summary ("An asynchronous get of what is there, and of what comes from another process");
  put_number (queue, 5);
  mp_queue_get_async (queue, NULL, on_result, &ready);
  g_assert_null (ready.result);
  first = mp_queue_get_finish (queue, await (&ready), &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_variant_get_int32 (first), ==, 5);
  mp_queue_get_async (queue, NULL, on_result, &later);
  turn ();
  pid = test_fork (put_later, queue);
  second = mp_queue_get_finish (queue, await (&later), &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_variant_get_int32 (second), ==, 6);
  g_assert_cmpint (test_join (pid), ==, 0);
}

static void
test_get_async_fails (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_auto (Waiting) cancelled = { g_main_loop_new (NULL, FALSE), NULL };
  g_auto (Waiting) before = { g_main_loop_new (NULL, FALSE), NULL };
  g_auto (Waiting) closed = { g_main_loop_new (NULL, FALSE), NULL };
  g_autoptr (GError) error = NULL;

  g_test_summary ("An asynchronous get that is cancelled takes nothing, and closing ends it");
  mp_queue_get_async (queue, cancellable, on_result, &cancelled);
  turn ();
  g_cancellable_cancel (cancellable);
  g_assert_null (mp_queue_get_finish (queue, await (&cancelled), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);

  put_number (queue, 1);
  mp_queue_get_async (queue, cancellable, on_result, &before);
  g_assert_null (mp_queue_get_finish (queue, await (&before), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_cmpint (get_number (queue), ==, 1);

  mp_queue_get_async (queue, NULL, on_result, &closed);
  turn ();
  mp_queue_close (queue);
  g_assert_null (mp_queue_get_finish (queue, await (&closed), &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
}

static void
test_get_async_late_cancel (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_auto (Waiting) waiting = { g_main_loop_new (NULL, FALSE), NULL };
  g_autoptr (GVariant) value = NULL;

  g_test_summary ("What is taken is delivered, even if it is cancelled meanwhile");
  put_number (queue, 1);
  mp_queue_get_async (queue, cancellable, on_result, &waiting);
  g_cancellable_cancel (cancellable);
  value = mp_queue_get_finish (queue, await (&waiting), NULL);
  g_assert_nonnull (value);
  g_assert_cmpint (g_variant_get_int32 (value), ==, 1);
}

static void
test_get_async_dropped (void)
{
  g_autoptr (MpQueue) queue = queue_new (1, 0);
  g_auto (Waiting) waiting = { g_main_loop_new (NULL, FALSE), NULL };

  g_test_summary ("A result that nobody fetches goes back, over all bounds");
  put_number (queue, 1);
  mp_queue_get_async (queue, NULL, NULL, NULL);
  g_assert_cmpuint (mp_queue_get_length (queue), ==, 0);
  turn ();
  g_assert_cmpuint (mp_queue_get_length (queue), ==, 1);
  mp_queue_get_async (queue, NULL, on_result, &waiting);
  await (&waiting);
  put_number (queue, 2);
  mp_queue_close (queue);
  g_clear_object (&waiting.result);
  turn ();
  g_assert_cmpuint (mp_queue_get_length (queue), ==, 2);
  g_assert_cmpint (get_number (queue), ==, 2);
  g_assert_cmpint (get_number (queue), ==, 1);
}

static void
test_put_async (void)
{
  g_autoptr (MpQueue) queue = queue_new (1, 0);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_auto (Waiting) first = { g_main_loop_new (NULL, FALSE), NULL };
  g_auto (Waiting) second = { g_main_loop_new (NULL, FALSE), NULL };
  g_auto (Waiting) third = { g_main_loop_new (NULL, FALSE), NULL };
  g_autoptr (GError) error = NULL;

  g_test_summary ("An asynchronous put waits for room, and can be cancelled");
  mp_queue_put_async (queue, g_variant_new_int32 (1), NULL, on_result, &first);
  g_assert_true (mp_queue_put_finish (queue, await (&first), &error));
  mp_queue_put_async (queue, g_variant_new_int32 (2), NULL, on_result, &second);
  mp_queue_put_async (queue, g_variant_new_int32 (3), cancellable, on_result, &third);
  turn ();
  g_assert_null (second.result);
  g_cancellable_cancel (cancellable);
  g_assert_false (mp_queue_put_finish (queue, await (&third), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_cmpint (get_number (queue), ==, 1);
  g_assert_true (mp_queue_put_finish (queue, await (&second), &error));
  g_assert_cmpint (get_number (queue), ==, 2);
  g_assert_cmpuint (mp_queue_get_length (queue), ==, 0);
}

typedef struct
{
  GMainLoop *loop;
  guint n_got;
  gboolean destroyed;
} Watched;

static gboolean
on_ready (MpQueue *queue, gpointer user_data)
{
  Watched *self = user_data;
  g_autoptr (GVariant) value = mp_queue_get (queue, 0, NULL, NULL);

  if (value != NULL)
    self->n_got++;
  return G_SOURCE_CONTINUE;
}

static void
on_destroyed (gpointer user_data)
{
  Watched *self = user_data;

  self->destroyed = TRUE;
  g_main_loop_quit (self->loop);
}

static int
put_hundred_and_close (gpointer data)
{
  for (gint32 i = 0; i < 100; i++)
    put_number (data, i);
  mp_queue_close (data);
  return 0;
}

static void
test_watch (void)
{
  g_autoptr (MpQueue) queue = queue_new (3, 0);
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  Watched watched = { .loop = loop };
  GPid pid = test_fork (put_hundred_and_close, queue);

  g_test_summary ("A watch gets all, and ends with the queue");
  g_assert_cmpuint (mp_queue_add_watch (queue, on_ready, &watched, on_destroyed), >, 0);
  g_main_loop_run (loop);
  g_assert_cmpuint (watched.n_got, ==, 100);
  g_assert_true (watched.destroyed);
  g_assert_cmpint (test_join (pid), ==, 0);
}

static gboolean
stop_watching (MpQueue *queue, gpointer user_data)
{
  (*(guint *) user_data)++;
  return G_SOURCE_REMOVE;
}

static void
test_source (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GSource) source = mp_queue_create_source (queue, cancellable);
  guint n_called = 0;

  g_test_summary ("A source is ready when it is cancelled");
  g_source_set_callback (source, G_SOURCE_FUNC (stop_watching), &n_called, NULL);
  g_source_attach (source, NULL);
  turn ();
  g_assert_cmpuint (n_called, ==, 0);
  g_cancellable_cancel (cancellable);
  turn ();
  g_assert_cmpuint (n_called, ==, 1);
  g_assert_true (g_source_is_destroyed (source));
}

static void
test_leaks (void)
{
  guint n_fds = test_count_fds ();

  g_test_summary ("A thousand queues, used in all ways, leave no descriptor behind");
  for (int i = 0; i < 1000; i++)
    {
      g_autoptr (MpQueue) queue = queue_new (i % 2 == 0 ? 0 : 10, i % 3 == 0 ? 0 : 1000);
      g_auto (Waiting) waiting = { g_main_loop_new (NULL, FALSE), NULL };
      g_autoptr (GVariant) value = NULL;

      mp_queue_get_async (queue, NULL, on_result, &waiting);
      turn ();
      put_number (queue, i);
      value = mp_queue_get_finish (queue, await (&waiting), NULL);
      g_assert_cmpint (g_variant_get_int32 (value), ==, i);
    }
  turn ();
  g_assert_cmpuint (test_count_fds (), ==, n_fds);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/queue/get-async", test_get_async);
  g_test_add_func ("/mp/queue/get-async-fails", test_get_async_fails);
  g_test_add_func ("/mp/queue/get-async-late-cancel", test_get_async_late_cancel);
  g_test_add_func ("/mp/queue/get-async-dropped", test_get_async_dropped);
  g_test_add_func ("/mp/queue/put-async", test_put_async);
  g_test_add_func ("/mp/queue/watch", test_watch);
  g_test_add_func ("/mp/queue/source", test_source);
  g_test_add_func ("/mp/queue/leaks", test_leaks);
  return g_test_run ();
}
