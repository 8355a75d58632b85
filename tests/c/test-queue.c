/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <string.h>

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

static void
assert_get_fails (MpQueue *queue, gint64 timeout, int code)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (mp_queue_get (queue, timeout, NULL, &error));
  g_assert_error (error, MP_ERROR, code);
}

static void
assert_put_fails (MpQueue *queue, gint64 timeout, int code)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (mp_queue_put (queue, g_variant_new_int32 (0), timeout, NULL, &error));
  g_assert_error (error, MP_ERROR, code);
}

static void
test_properties (void)
{
  g_autoptr (MpQueue) queue = queue_new (5, 1000);
  guint max_items, length;
  guint64 max_bytes;
  gboolean closed;

  g_test_summary ("Properties and their getters agree");
  put_number (queue, 1);
  g_object_get (queue,
                "max-items",
                &max_items,
                "max-bytes",
                &max_bytes,
                "length",
                &length,
                "closed",
                &closed,
                NULL);
  g_assert_cmpuint (max_items, ==, 5);
  g_assert_cmpuint (max_bytes, ==, 1000);
  g_assert_cmpuint (length, ==, 1);
  g_assert_false (closed);
  g_assert_cmpuint (mp_queue_get_max_items (queue), ==, 5);
  g_assert_cmpuint (mp_queue_get_max_bytes (queue), ==, 1000);
  g_assert_cmpuint (mp_queue_get_length (queue), ==, 1);
  g_assert_false (mp_queue_get_closed (queue));
}

static void
test_invalid (void)
{
  g_autoptr (GError) error = NULL;

  g_test_summary ("A bound that cannot be");
  g_assert_null (mp_queue_new (0, G_MAXUINT64, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
}

static void
test_values (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  g_autoptr (GVariant) kept = g_variant_ref_sink (g_variant_new_parsed ("{'a': <(1, 'x')>}"));
  g_autoptr (GVariant) back = NULL;
  g_autoptr (GVariant) unit = NULL;

  g_test_summary ("Values of any type, floating or not, in order");
  g_assert_true (mp_queue_put (queue, kept, 0, NULL, NULL));
  g_assert_true (mp_queue_put (queue, g_variant_new ("()"), 0, NULL, NULL));
  put_number (queue, 3);
  back = mp_queue_get (queue, 0, NULL, NULL);
  g_assert_cmpvariant (back, kept);
  g_assert_false (g_variant_is_floating (back));
  unit = mp_queue_get (queue, 0, NULL, NULL);
  g_assert_cmpstr (g_variant_get_type_string (unit), ==, "()");
  g_assert_cmpint (get_number (queue), ==, 3);
  assert_get_fails (queue, 0, MP_ERROR_EMPTY);
}

static void
test_timeouts (void)
{
  g_autoptr (MpQueue) queue = queue_new (1, 0);
  gint64 start = g_get_monotonic_time ();

  g_test_summary ("Empty and full, at once and after a while");
  assert_get_fails (queue, 0, MP_ERROR_EMPTY);
  assert_get_fails (queue, 20000, MP_ERROR_EMPTY);
  g_assert_cmpint (g_get_monotonic_time () - start, >=, 20000);
  put_number (queue, 1);
  start = g_get_monotonic_time ();
  assert_put_fails (queue, 0, MP_ERROR_FULL);
  assert_put_fails (queue, 20000, MP_ERROR_FULL);
  g_assert_cmpint (g_get_monotonic_time () - start, >=, 20000);
  g_assert_cmpuint (mp_queue_get_length (queue), ==, 1);
  g_assert_cmpint (get_number (queue), ==, 1);
}

static void
test_payload_timeout (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  gint64 shortest = G_MAXINT64;
  gsize length;

  g_test_summary ("The short way and the long one wait once together");
  /* It is only taken once there is a buffer. */
  put_number (queue, 1);
  g_assert_nonnull (mp_queue_get_payload (queue, 0, &length, NULL, NULL, NULL));
  for (int i = 0; i < 3; i++)
    {
      g_autoptr (GError) error = NULL;
      gint64 start = g_get_monotonic_time ();

      g_assert_null (mp_queue_get_payload (queue, 100000, &length, NULL, NULL, &error));
      g_assert_error (error, MP_ERROR, MP_ERROR_EMPTY);
      shortest = MIN (shortest, g_get_monotonic_time () - start);
    }
  g_assert_cmpint (shortest, >=, 100000);
  g_assert_cmpint (shortest, <, 200000);
}

static void
test_too_big (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 1000);
  g_autofree guint8 *data = g_malloc0 (2000);
  g_autoptr (GError) error = NULL;

  g_test_summary ("What never fits is told at once, with both sizes");
  g_assert_true (mp_queue_put_payload (queue, data, 1000, MP_CODEC_RAW, -1, NULL, NULL));
  g_assert_false (mp_queue_put_payload (queue, data, 1009, MP_CODEC_RAW, -1, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_LIMIT);
  g_assert_nonnull (strstr (error->message, "1009"));
  g_assert_nonnull (strstr (error->message, "1000"));
}

static void
test_many (void)
{
  g_autoptr (MpQueue) queue = queue_new (4, 0);
  GVariant *values[3], **taken;
  g_autoptr (GError) error = NULL;
  gsize n = 99;

  g_test_summary ("Many at once: all or none, and what there is");
  for (gint32 i = 0; i < 3; i++)
    values[i] = g_variant_new_int32 (i);
  g_assert_true (mp_queue_put_many (queue, values, 3, 0, NULL, NULL));
  for (gint32 i = 0; i < 3; i++)
    values[i] = g_variant_new_int32 (10 + i);
  g_assert_false (mp_queue_put_many (queue, values, 3, 1000, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_FULL);
  g_assert_cmpuint (mp_queue_get_length (queue), ==, 3);
  taken = mp_queue_get_many (queue, 10, 0, &n, NULL, NULL);
  g_assert_cmpuint (n, ==, 3);
  for (gint32 i = 0; i < 3; i++)
    {
      g_assert_cmpint (g_variant_get_int32 (taken[i]), ==, i);
      g_variant_unref (taken[i]);
    }
  g_free (taken);
  g_clear_error (&error);
  g_assert_null (mp_queue_get_many (queue, 10, 0, &n, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_EMPTY);
  g_assert_cmpuint (n, ==, 0);
  g_assert_true (mp_queue_put_many (queue, NULL, 0, 0, NULL, NULL));
}

static void
test_payload (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;
  const guint8 *data;
  gsize length;
  guint codec;
  int try_codec;

  g_test_summary ("Bytes with a codec");
  mp_queue_put_payload (queue, (const guint8 *) "pickle", 6, MP_CODEC_PICKLE, 0, NULL, NULL);
  mp_queue_put_payload (queue, NULL, 0, MP_CODEC_RAW, 0, NULL, NULL);
  mp_queue_put_payload (queue, (const guint8 *) "{}", 2, MP_CODEC_JSON, 0, NULL, NULL);
  /* A pickle is left for whoever can read it. */
  assert_get_fails (queue, 0, MP_ERROR_NOT_SUPPORTED);
  g_assert_cmpuint (mp_queue_get_length (queue), ==, 3);
  data = mp_queue_get_payload (queue, 0, &length, &codec, NULL, NULL);
  g_assert_cmpmem (data, length, "pickle", 6);
  g_assert_cmpuint (codec, ==, MP_CODEC_PICKLE);
  data = mp_queue_get_payload (queue, 0, &length, &codec, NULL, NULL);
  g_assert_nonnull (data);
  g_assert_cmpuint (length, ==, 0);
  bytes = mp_queue_get_bytes (queue, 0, &codec, NULL, NULL);
  g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), "{}", 2);
  g_assert_cmpuint (codec, ==, MP_CODEC_JSON);
  g_assert_null (mp_queue_get_payload (queue, 0, &length, &codec, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_EMPTY);

  g_assert_null (mp_queue_try_get_payload (queue, &length, &try_codec));
  g_assert_cmpint (try_codec, ==, -1);
  mp_queue_put_payload (queue, (const guint8 *) "x", 1, MP_CODEC_RAW, 0, NULL, NULL);
  mp_queue_close (queue);
  data = mp_queue_try_get_payload (queue, &length, &try_codec);
  g_assert_cmpmem (data, length, "x", 1);
  g_assert_cmpint (try_codec, ==, MP_CODEC_RAW);
  g_assert_null (mp_queue_try_get_payload (queue, &length, &try_codec));
  g_assert_cmpint (try_codec, ==, -2);
}

static void
test_packed (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  guint32 lengths[] = { 3, 0, 5 };
  const guint8 *packed;
  g_autofree guint32 *words = NULL;
  g_autoptr (GError) error = NULL;
  gsize length;

  g_test_summary ("Many in one array of bytes");
  g_assert_true (mp_queue_put_packed (queue,
                                      (const guint8 *) "onethree",
                                      8,
                                      (const guint8 *) lengths,
                                      sizeof lengths,
                                      MP_CODEC_PICKLE,
                                      0,
                                      NULL,
                                      NULL));
  mp_queue_put_payload (queue, (const guint8 *) "last", 4, MP_CODEC_JSON, 0, NULL, NULL);
  packed = mp_queue_get_packed (queue, 100, 0, &length, NULL, NULL);
  g_assert_cmpuint (length, ==, 4 + 4 * 4 * 2 + 12);
  words = g_memdup2 (packed, length);
  g_assert_cmpuint (words[0], ==, 4);
  g_assert_cmpuint (words[1], ==, 3);
  g_assert_cmpuint (words[2], ==, 0);
  g_assert_cmpuint (words[3], ==, 5);
  g_assert_cmpuint (words[4], ==, 4);
  g_assert_cmpuint (words[5], ==, MP_CODEC_PICKLE);
  g_assert_cmpuint (words[8], ==, MP_CODEC_JSON);
  g_assert_cmpmem (&words[9], 12, "onethreelast", 12);

  g_assert_null (mp_queue_get_packed (queue, 100, 0, &length, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_EMPTY);
  g_clear_error (&error);
  g_assert_false (mp_queue_put_packed (queue,
                                       (const guint8 *) "onethree",
                                       7,
                                       (const guint8 *) lengths,
                                       sizeof lengths,
                                       MP_CODEC_RAW,
                                       0,
                                       NULL,
                                       &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
}

static void
test_packed_big (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  gsize size = 3 * 1000 * 1000, length;
  g_autofree guint8 *data = g_malloc (size);
  guint32 n_got = 0, n_calls = 0;

  g_test_summary ("A batch is cut where it gets too big, and nothing is lost or moved");
  for (guint32 i = 0; i < 20; i++)
    {
      memset (data, (int) i, size);
      mp_queue_put_payload (queue, data, size, MP_CODEC_RAW, 0, NULL, NULL);
    }
  while (n_got < 20)
    {
      const guint8 *packed = mp_queue_get_packed (queue, 100, 0, &length, NULL, NULL);
      const guint32 *words = (const guint32 *) (gconstpointer) packed;
      const guint8 *bytes;

      g_assert_nonnull (packed);
      bytes = packed + 4 + 8 * words[0];
      for (guint32 i = 0; i < words[0]; i++, n_got++)
        {
          g_assert_cmpuint (words[1 + i], ==, size);
          g_assert_cmpuint (words[1 + words[0] + i], ==, MP_CODEC_RAW);
          g_assert_cmpuint (bytes[i * size], ==, n_got);
          g_assert_cmpuint (bytes[(i + 1) * size - 1], ==, n_got);
        }
      n_calls++;
    }
  g_assert_cmpuint (n_calls, >, 1);
}

static void
test_corrupt_value (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);

  g_test_summary ("A message that is no value does not stay in the way");
  mp_queue_put_payload (queue, (const guint8 *) "\377", 1, MP_CODEC_GVARIANT, 0, NULL, NULL);
  put_number (queue, 2);
  assert_get_fails (queue, 0, MP_ERROR_CORRUPT);
  g_assert_cmpint (get_number (queue), ==, 2);
}

static void
on_notify (GObject *object, GParamSpec *pspec, gpointer user_data)
{
  (*(guint *) user_data)++;
}

static void
test_close (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  guint n_notified = 0;

  g_test_summary ("What is in a closed queue is still delivered");
  g_signal_connect (queue, "notify::closed", G_CALLBACK (on_notify), &n_notified);
  put_number (queue, 1);
  mp_queue_close (queue);
  mp_queue_close (queue);
  g_assert_cmpuint (n_notified, ==, 1);
  g_assert_true (mp_queue_get_closed (queue));
  assert_put_fails (queue, -1, MP_ERROR_CLOSED);
  g_assert_cmpint (get_number (queue), ==, 1);
  assert_get_fails (queue, -1, MP_ERROR_CLOSED);
  g_assert_true (mp_queue_wait_ready (queue, G_IO_IN, -1));
}

/* Two processes */

typedef struct
{
  MpQueue *there;
  MpQueue *back;
  gint32 n;
} Pair;

static int
echo (gpointer data)
{
  Pair *self = data;

  for (gint32 i = 0; i < self->n; i++)
    put_number (self->back, 2 * get_number (self->there));
  return 0;
}

static void
run_echo (guint max_items, guint64 max_bytes)
{
  Pair pair = { queue_new (max_items, max_bytes), queue_new (max_items, max_bytes), 20000 };
  GPid pid = test_fork (echo, &pair);
  gint32 n_put = 0;

  for (gint32 i = 0; i < pair.n; i++)
    {
      while (n_put < pair.n &&
             mp_queue_put (pair.there, g_variant_new_int32 (n_put), 0, NULL, NULL))
        n_put++;
      g_assert_cmpint (get_number (pair.back), ==, 2 * i);
    }
  g_assert_cmpint (test_join (pid), ==, 0);
  g_object_unref (pair.there);
  g_object_unref (pair.back);
}

static void
test_processes (void)
{
  g_test_summary ("There and back in another process, through queues of all kinds");
  run_echo (0, 0);
  run_echo (1, 0);
  run_echo (0, 64);
  run_echo (100, 1000);
}

static int
get_closed (gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = mp_queue_get (data, -1, NULL, &error);

  return value == NULL && g_error_matches (error, MP_ERROR, MP_ERROR_CLOSED) ? 0 : 1;
}

static int
put_closed (gpointer data)
{
  g_autoptr (GError) error = NULL;

  mp_queue_put (data, g_variant_new_int32 (1), -1, NULL, &error);
  return g_error_matches (error, MP_ERROR, MP_ERROR_CLOSED) ? 0 : 1;
}

static void
test_close_waiting (void)
{
  g_autoptr (MpQueue) empty = queue_new (0, 0);
  g_autoptr (MpQueue) full = queue_new (1, 0);
  GPid pids[4];

  g_test_summary ("Whoever waits, in any process, learns that the queue was closed");
  put_number (full, 0);
  for (int i = 0; i < 2; i++)
    {
      pids[i] = test_fork (get_closed, empty);
      pids[2 + i] = test_fork (put_closed, full);
    }
  test_wait_state (pids[0], 'S');
  test_wait_state (pids[2], 'S');
  mp_queue_close (empty);
  mp_queue_close (full);
  for (int i = 0; i < 4; i++)
    g_assert_cmpint (test_join (pids[i]), ==, 0);
}

static int
put_then_die (gpointer data)
{
  put_number (data, 1);
  put_number (data, 2);
  kill (getpid (), SIGKILL);
  return 1;
}

static void
test_producer_killed (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  GPid pid = test_fork (put_then_die, queue);

  g_test_summary ("What a killed producer had put is there");
  g_assert_cmpint (test_join (pid), ==, -SIGKILL);
  mp_queue_poke (queue);
  g_assert_cmpint (get_number (queue), ==, 1);
  g_assert_cmpint (get_number (queue), ==, 2);
}

/* Cancelling */

static gpointer
cancel_when_asleep (gpointer data)
{
  g_autoptr (GCancellable) cancellable = g_object_ref (data);
  pid_t main_thread = getpid ();

  test_wait_state (main_thread, 'S');
  g_cancellable_cancel (cancellable);
  return NULL;
}

static void
test_cancel (void)
{
  g_autoptr (MpQueue) queue = queue_new (1, 0);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  GThread *thread = g_thread_new ("cancel", cancel_when_asleep, cancellable);
  gsize length;
  guint codec;

  g_test_summary ("A cancelled call does nothing, be it cancelled before or while it waits");
  g_assert_null (mp_queue_get (queue, FAR, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_thread_join (thread);

  put_number (queue, 1);
  g_assert_null (mp_queue_get (queue, 0, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_null (mp_queue_get_payload (queue, 0, &length, &codec, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_cmpuint (mp_queue_get_length (queue), ==, 1);

  g_cancellable_reset (cancellable);
  thread = g_thread_new ("cancel", cancel_when_asleep, cancellable);
  g_assert_false (mp_queue_put (queue, g_variant_new_int32 (2), FAR, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_thread_join (thread);
  g_assert_cmpint (get_number (queue), ==, 1);
  g_assert_cmpuint (mp_queue_get_length (queue), ==, 0);
}

static void
on_alarm (int number)
{
}

static int
get_despite_signals (gpointer data)
{
  return get_number (data) == 5 ? 0 : 1;
}

static void
test_signals (void)
{
  struct sigaction action = { .sa_handler = on_alarm }, old;
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  GPid pid;

  g_test_summary ("Signals do not end a get");
  g_assert_no_errno (sigaction (SIGUSR1, &action, &old));
  pid = test_fork (get_despite_signals, queue);
  for (int i = 0; i < 20; i++)
    {
      test_wait_state (pid, 'S');
      g_assert_no_errno (kill (pid, SIGUSR1));
    }
  put_number (queue, 5);
  g_assert_cmpint (test_join (pid), ==, 0);
  g_assert_no_errno (sigaction (SIGUSR1, &old, NULL));
}

/* Threads */

#define N_STRESS 20000

static gpointer
put_many_numbers (gpointer data)
{
  for (gint32 i = 0; i < N_STRESS; i++)
    put_number (data, i);
  return NULL;
}

static gpointer
sum_numbers (gpointer data)
{
  gint64 *sum = g_new0 (gint64, 1);
  gint32 number;

  while ((number = get_number (data)) >= 0)
    *sum += number;
  return sum;
}

static void
test_threads (void)
{
  g_autoptr (MpQueue) queue = queue_new (50, 0);
  GThread *producers[3], *consumers[3];
  gint64 sum = 0;

  g_test_summary ("Threads of one process share it as processes do");
  for (int i = 0; i < 3; i++)
    {
      producers[i] = g_thread_new ("put", put_many_numbers, queue);
      consumers[i] = g_thread_new ("get", sum_numbers, queue);
    }
  for (int i = 0; i < 3; i++)
    g_thread_join (producers[i]);
  for (int i = 0; i < 3; i++)
    put_number (queue, -1);
  for (int i = 0; i < 3; i++)
    {
      g_autofree gint64 *part = g_thread_join (consumers[i]);

      sum += *part;
    }
  g_assert_cmpint (sum, ==, 3 * (gint64) N_STRESS * (N_STRESS - 1) / 2);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/queue/properties", test_properties);
  g_test_add_func ("/mp/queue/invalid", test_invalid);
  g_test_add_func ("/mp/queue/values", test_values);
  g_test_add_func ("/mp/queue/timeouts", test_timeouts);
  g_test_add_func ("/mp/queue/payload-timeout", test_payload_timeout);
  g_test_add_func ("/mp/queue/too-big", test_too_big);
  g_test_add_func ("/mp/queue/many", test_many);
  g_test_add_func ("/mp/queue/payload", test_payload);
  g_test_add_func ("/mp/queue/packed", test_packed);
  g_test_add_func ("/mp/queue/packed-big", test_packed_big);
  g_test_add_func ("/mp/queue/corrupt-value", test_corrupt_value);
  g_test_add_func ("/mp/queue/close", test_close);
  g_test_add_func ("/mp/queue/processes", test_processes);
  g_test_add_func ("/mp/queue/close-waiting", test_close_waiting);
  g_test_add_func ("/mp/queue/producer-killed", test_producer_killed);
  g_test_add_func ("/mp/queue/signals", test_signals);
  g_test_add_func ("/mp/queue/cancel", test_cancel);
  g_test_add_func ("/mp/queue/threads", test_threads);
  return g_test_run ();
}
