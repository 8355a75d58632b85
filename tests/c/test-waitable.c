/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <fcntl.h>
#include <glib-unix.h>
#include <pthread.h>
#include <sys/resource.h>

#include "libmp.h"
#include "test-util.h"

#define FAR (20 * G_USEC_PER_SEC)

static MpQueue *
queue_new (void)
{
  g_autoptr (GError) error = NULL;
  MpQueue *queue = mp_queue_new (0, 0, &error);

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

static const char *const sleeper[] = { "sleep", "1000", NULL };

/* How many of @n are ready, and that the first of them is @first. */
static guint
count_ready (MpWaitable **waitables, gsize n, gint64 timeout, gpointer first)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) ready = mp_wait (waitables, n, timeout, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (g_ptr_array_index (ready, 0) == first);
  return ready->len;
}

static void
assert_times_out (MpWaitable **waitables, gsize n, gint64 timeout)
{
  g_autoptr (GError) error = NULL;
  gint64 start = g_get_monotonic_time ();

  g_assert_null (mp_wait (waitables, n, timeout, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_TIMED_OUT);
  g_assert_cmpint (g_get_monotonic_time () - start, >=, timeout);
  g_assert_cmpint (g_get_monotonic_time () - start, <, timeout + test_soon ());
}

static void
test_mixed (void)
{
  g_autoptr (MpQueue) one = queue_new (), other = queue_new ();
  g_autoptr (MpWaitable) end = NULL;
  MpWaitable *waitables[4];
  int fds[2];

  g_test_summary ("Queues and descriptors together");
  g_assert_true (g_unix_open_pipe (fds, FD_CLOEXEC, NULL));
  end = mp_waitable_new_for_fd (fds[0], G_IO_IN);
  waitables[0] = MP_WAITABLE (one);
  waitables[1] = end;
  waitables[2] = MP_WAITABLE (other);
  waitables[3] = MP_WAITABLE (other);
  assert_times_out (waitables, 4, 0);
  assert_times_out (waitables, 4, 20000);
  put_number (other, 1);
  g_assert_cmpuint (count_ready (waitables, 4, FAR, other), ==, 2);
  g_assert_cmpuint (count_ready (waitables, 4, 0, other), ==, 2);
  g_assert_cmpint (write (fds[1], "x", 1), ==, 1);
  g_assert_cmpuint (count_ready (waitables, 4, FAR, end), ==, 3);
  g_variant_unref (mp_queue_get (other, 0, NULL, NULL));
  g_assert_cmpuint (count_ready (waitables, 4, FAR, end), ==, 1);
  close (fds[1]);
  g_assert_cmpuint (count_ready (waitables, 4, FAR, end), ==, 1);
  mp_queue_close (one);
  g_assert_cmpuint (count_ready (waitables, 4, FAR, one), ==, 2);
  close (fds[0]);
}

static void
test_nothing (void)
{
  g_autoptr (MpWaitable) closed = NULL;
  g_autoptr (MpProcess) process = mp_process_new (NULL, sleeper);
  MpWaitable *waitable = MP_WAITABLE (process);
  int fds[2];

  g_test_summary ("No things at all, one that is not started, one that is no descriptor");
  assert_times_out (NULL, 0, 0);
  assert_times_out (NULL, 0, 20000);
  assert_times_out (&waitable, 1, 20000);
  g_assert_true (g_unix_open_pipe (fds, FD_CLOEXEC, NULL));
  close (fds[0]);
  close (fds[1]);
  closed = mp_waitable_new_for_fd (fds[0], G_IO_IN);
  g_assert_cmpuint (count_ready (&closed, 1, FAR, closed), ==, 1);
}

typedef struct
{
  MpQueue *there, *back;
} Pair;

static int
echo (gpointer data)
{
  Pair *pair = data;
  MpWaitable *waitable = MP_WAITABLE (pair->there);

  for (;;)
    {
      g_autoptr (GPtrArray) ready = mp_wait (&waitable, 1, FAR, NULL, NULL);
      g_autoptr (GVariant) value = NULL;
      g_autoptr (GError) error = NULL;

      if (ready == NULL)
        return 1;
      value = mp_queue_get (pair->there, 0, NULL, &error);
      if (g_error_matches (error, MP_ERROR, MP_ERROR_CLOSED))
        return 0;
      if (value != NULL)
        mp_queue_put (pair->back, value, FAR, NULL, NULL);
    }
}

#define N_ECHOES 3000

static void
test_processes (void)
{
  g_autoptr (MpQueue) there = queue_new (), back = queue_new ();
  Pair pair = { .there = there, .back = back };
  MpWaitable *waitable = MP_WAITABLE (back);
  gint64 sum = 0, start = g_get_monotonic_time ();
  GPid pids[3];

  g_test_summary ("Several processes that poll one queue lose nothing, and sleep over nothing");
  for (int i = 0; i < 3; i++)
    pids[i] = test_fork (echo, &pair);
  for (int i = 0; i < N_ECHOES; i++)
    {
      g_autoptr (GVariant) value = NULL;

      put_number (there, i);
      if (i % 3 != 0)
        continue;
      g_assert_cmpuint (count_ready (&waitable, 1, FAR, back), ==, 1);
      value = mp_queue_get (back, 0, NULL, NULL);
      sum += g_variant_get_int32 (value);
    }
  mp_queue_close (there);
  for (int i = 0; i < 3; i++)
    g_assert_cmpint (test_join (pids[i]), ==, 0);
  while (mp_queue_get_length (back) > 0)
    {
      g_autoptr (GVariant) value = mp_queue_get (back, 0, NULL, NULL);

      sum += g_variant_get_int32 (value);
    }
  g_assert_cmpint (sum, ==, (gint64) N_ECHOES * (N_ECHOES - 1) / 2);
  /* Each message that was slept over would have cost up to a second. */
  g_assert_cmpint (g_get_monotonic_time () - start, <, FAR / 2);
}

static void
test_process (void)
{
  g_autoptr (MpProcess) process = mp_process_new (NULL, sleeper);
  g_autoptr (MpQueue) queue = queue_new ();
  g_autoptr (GError) error = NULL;
  MpWaitable *waitables[] = { MP_WAITABLE (queue), MP_WAITABLE (process) };

  g_test_summary ("A process is ready when it has ended");
  mp_process_start (process, NULL, &error);
  g_assert_no_error (error);
  assert_times_out (waitables, 2, 20000);
  mp_process_kill (process, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (count_ready (waitables, 2, FAR, process), ==, 1);
  mp_process_join (process, FAR, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (count_ready (waitables, 2, 0, process), ==, 1);
}

static gpointer
cancel (gpointer data)
{
  g_usleep (20000);
  g_cancellable_cancel (data);
  return NULL;
}

static void
test_cancel (void)
{
  g_autoptr (MpQueue) queue = queue_new ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  MpWaitable *waitable = MP_WAITABLE (queue);
  GThread *thread = g_thread_new ("cancel", cancel, cancellable);
  gint64 start = g_get_monotonic_time ();

  g_assert_null (mp_wait (&waitable, 1, FAR, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpint (g_get_monotonic_time () - start, <, test_soon ());
  g_thread_join (thread);
}

static void
on_signal (int number)
{
}

static gpointer
interrupt (gpointer data)
{
  g_usleep (20000);
  pthread_kill (*(pthread_t *) data, SIGUSR1);
  return NULL;
}

static void
test_signals (void)
{
  g_autoptr (MpQueue) queue = queue_new ();
  struct sigaction action = { .sa_handler = on_signal }, before;
  MpWaitable *waitable = MP_WAITABLE (queue);
  g_autoptr (GPtrArray) ready = NULL;
  pthread_t self = pthread_self ();
  gint64 start;
  GThread *thread;

  g_test_summary ("A signal ends the wait of a binding, and no other one");
  g_assert_no_errno (sigaction (SIGUSR1, &action, &before));
  thread = g_thread_new ("interrupt", interrupt, &self);
  assert_times_out (&waitable, 1, 100000);
  g_thread_join (thread);
  thread = g_thread_new ("interrupt", interrupt, &self);
  start = g_get_monotonic_time ();
  ready = mp_wait_once (&waitable, 1, FAR);
  g_assert_cmpuint (ready->len, ==, 0);
  g_assert_cmpint (g_get_monotonic_time () - start, <, test_soon ());
  g_thread_join (thread);
  g_assert_no_errno (sigaction (SIGUSR1, &before, NULL));
}

static void
test_arm (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (1, 0, NULL);
  GPollFD in = { .fd = mp_queue_get_fd (queue, G_IO_IN), .events = G_IO_IN };
  GPollFD out = { .fd = mp_queue_get_fd (queue, G_IO_OUT), .events = G_IO_IN };

  g_test_summary ("The descriptors for the loops of others");
  g_assert_true (mp_queue_arm (queue, G_IO_OUT));
  g_assert_false (mp_queue_arm (queue, G_IO_IN));
  g_assert_cmpint (g_poll (&in, 1, 0), ==, 0);
  put_number (queue, 1);
  g_assert_cmpint (g_poll (&in, 1, 0), ==, 1);
  g_assert_true (mp_queue_arm (queue, G_IO_IN));
  g_assert_false (mp_queue_arm (queue, G_IO_OUT));
  g_assert_cmpint (g_poll (&out, 1, 0), ==, 0);
  g_variant_unref (mp_queue_get (queue, 0, NULL, NULL));
  g_assert_cmpint (g_poll (&out, 1, 0), ==, 1);
  g_assert_false (mp_queue_arm (queue, G_IO_IN));
  mp_queue_close (queue);
  g_assert_cmpint (g_poll (&in, 1, 0), ==, 1);
  g_assert_true (mp_queue_arm (queue, G_IO_IN));
}

static gint64
get_processor_time (void)
{
  struct rusage usage;

  g_assert_no_errno (getrusage (RUSAGE_SELF, &usage));
  return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * G_USEC_PER_SEC + usage.ru_utime.tv_usec +
         usage.ru_stime.tv_usec;
}

static int
put_late (gpointer data)
{
  g_usleep (50 * 1000);
  put_number (data, 1);
  return 0;
}

static void
test_limit (void)
{
  g_autoptr (MpQueue) queue = queue_new ();
  MpWaitable *waitables[100];
  struct rlimit before, after;
  gint64 start;
  GPid pid;

  g_test_summary ("More things than a process may have descriptors, one of them often");
  for (gsize i = 0; i < G_N_ELEMENTS (waitables); i++)
    waitables[i] = MP_WAITABLE (queue);
  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &before));
  after = before;
  after.rlim_cur = G_N_ELEMENTS (waitables) / 2;
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &after));
  start = get_processor_time ();
  assert_times_out (waitables, G_N_ELEMENTS (waitables), 200 * 1000);
  g_assert_cmpint (get_processor_time () - start, <, test_soon () / 5);
  pid = test_fork (put_late, queue);
  g_assert_cmpuint (count_ready (waitables, G_N_ELEMENTS (waitables), FAR, queue),
                    ==,
                    G_N_ELEMENTS (waitables));
  g_assert_cmpint (test_join (pid), ==, 0);
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &before));
}

static void
test_once (void)
{
  g_autoptr (MpQueue) queue = queue_new ();
  MpWaitable *waitable = MP_WAITABLE (queue);
  gint64 start = g_get_monotonic_time ();
  g_autoptr (GPtrArray) none = mp_wait_once (&waitable, 1, -1);

  g_test_summary ("What bindings call comes back, since a signal may be another thread's");
  g_assert_cmpuint (none->len, ==, 0);
  put_number (queue, 1);
  g_assert_false (mp_queue_wait_joined (queue, -1));
  g_assert_cmpint (g_get_monotonic_time () - start, <, 2 * G_USEC_PER_SEC + 2 * test_soon ());
  g_assert_true (mp_queue_task_done (queue, NULL));
  g_assert_true (mp_queue_wait_joined (queue, -1));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/waitable/mixed", test_mixed);
  g_test_add_func ("/mp/waitable/nothing", test_nothing);
  g_test_add_func ("/mp/waitable/processes", test_processes);
  g_test_add_func ("/mp/waitable/process", test_process);
  g_test_add_func ("/mp/waitable/cancel", test_cancel);
  g_test_add_func ("/mp/waitable/signals", test_signals);
  g_test_add_func ("/mp/waitable/arm", test_arm);
  g_test_add_func ("/mp/waitable/limit", test_limit);
  g_test_add_func ("/mp/waitable/once", test_once);
  return g_test_run ();
}
