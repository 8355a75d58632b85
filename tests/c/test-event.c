/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "libmp.h"
#include "test-util.h"

#define N_WAITERS 4
#define N_ROUNDS 3000
#define HANG_US (20 * G_USEC_PER_SEC)

static MpEvent *
event_new (void)
{
  g_autoptr (GError) error = NULL;
  MpEvent *event = mp_event_new (&error);

  g_assert_no_error (error);
  return event;
}

/* Waits until so many wait. */
static void
wait_n_waiters (MpEvent *event, guint n)
{
  gint64 end = g_get_monotonic_time () + HANG_US;

  while (mp_event_get_n_waiters (event) != n)
    {
      g_assert_cmpint (g_get_monotonic_time (), <, end);
      g_thread_yield ();
    }
}

enum
{
  DONE,
  TIMED_OUT,
  CANCELLED,
  OTHER
};

static int
get_outcome (gboolean done, GError *error)
{
  if (done)
    return DONE;
  if (g_error_matches (error, MP_ERROR, MP_ERROR_TIMED_OUT))
    return TIMED_OUT;
  return g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED) ? CANCELLED : OTHER;
}

static int
wait_once (MpEvent *event, gint64 timeout, GCancellable *cancellable)
{
  g_autoptr (GError) error = NULL;
  gboolean done = mp_event_wait (event, timeout, cancellable, &error);

  return get_outcome (done, error);
}

static int
wait_in_child (gpointer data)
{
  return wait_once (data, -1, NULL);
}

static GPid
start_waiter (MpEvent *event)
{
  guint n = mp_event_get_n_waiters (event);
  GPid pid = test_fork (wait_in_child, event);

  wait_n_waiters (event, n + 1);
  test_wait_state (pid, 'S');
  return pid;
}

static void
test_basic (void)
{
  g_autoptr (MpEvent) event = event_new ();
  guint n_fds = test_count_fds ();
  gint64 start;

  g_test_summary ("Set and cleared, with and without time");
  g_assert_false (mp_event_get_is_set (event));
  g_assert_cmpint (wait_once (event, 0, NULL), ==, TIMED_OUT);
  start = g_get_monotonic_time ();
  g_assert_cmpint (wait_once (event, 100 * 1000, NULL), ==, TIMED_OUT);
  g_assert_cmpint (g_get_monotonic_time () - start, >=, 100 * 1000);
  mp_event_set (event);
  mp_event_set (event);
  g_assert_true (mp_event_get_is_set (event));
  g_assert_cmpint (wait_once (event, 0, NULL), ==, DONE);
  g_assert_cmpint (wait_once (event, -1, NULL), ==, DONE);
  mp_event_clear (event);
  mp_event_clear (event);
  g_assert_false (mp_event_get_is_set (event));
  g_assert_cmpint (wait_once (event, 0, NULL), ==, TIMED_OUT);
  g_assert_cmpuint (mp_event_get_n_waiters (event), ==, 0);
  for (int i = 0; i < 100; i++)
    g_object_unref (event_new ());
  g_assert_cmpuint (test_count_fds (), ==, n_fds);
}

static void
test_set_and_clear (void)
{
  g_autoptr (MpEvent) event = event_new ();
  GPid pids[N_WAITERS];

  g_test_summary ("All that wait go, also if it is cleared at once");
  for (guint i = 0; i < N_WAITERS; i++)
    pids[i] = start_waiter (event);
  mp_event_set (event);
  mp_event_clear (event);
  for (guint i = 0; i < N_WAITERS; i++)
    g_assert_cmpint (test_join (pids[i]), ==, DONE);
  g_assert_false (mp_event_get_is_set (event));
  g_assert_cmpint (wait_once (event, 0, NULL), ==, TIMED_OUT);
}

static void
test_stopped (void)
{
  g_autoptr (MpEvent) event = event_new ();
  GPid stopped = start_waiter (event), other;

  g_test_summary ("One that is stopped keeps nobody, and goes when it can");
  g_assert_no_errno (kill (stopped, SIGSTOP));
  test_wait_state (stopped, 'T');
  for (int i = 0; i < 3; i++)
    {
      other = start_waiter (event);
      mp_event_set (event);
      mp_event_clear (event);
      g_assert_cmpint (test_join (other), ==, DONE);
    }
  g_assert_no_errno (kill (stopped, SIGCONT));
  g_assert_cmpint (test_join (stopped), ==, DONE);
}

static void
test_killed (void)
{
  g_autoptr (MpEvent) event = event_new ();
  GPid victim = start_waiter (event), other = start_waiter (event);

  g_test_summary ("The dead do not wait");
  test_kill (victim);
  wait_n_waiters (event, 1);
  mp_event_set (event);
  g_assert_cmpint (test_join (other), ==, DONE);
  g_assert_cmpuint (mp_event_get_n_waiters (event), ==, 0);
}

typedef struct
{
  MpEvent *there;
  MpEvent *back;
} Pair;

static int
answer (gpointer data)
{
  const Pair *pair = data;

  for (int i = 0; i < N_ROUNDS; i++)
    {
      if (wait_once (pair->there, -1, NULL) != DONE)
        return 1;
      mp_event_clear (pair->there);
      mp_event_set (pair->back);
    }
  return 0;
}

static void
test_ping_pong (void)
{
  g_autoptr (MpEvent) there = event_new ();
  g_autoptr (MpEvent) back = event_new ();
  Pair pair = { .there = there, .back = back };
  GPid pid = test_fork (answer, &pair);

  g_test_summary ("No wake is lost");
  for (int i = 0; i < N_ROUNDS; i++)
    {
      mp_event_set (there);
      g_assert_cmpint (wait_once (back, -1, NULL), ==, DONE);
      mp_event_clear (back);
    }
  g_assert_cmpint (test_join (pid), ==, 0);
}

typedef struct
{
  MpEvent *event;
  GCancellable *cancellable;
} Call;

static gpointer
wait_in_thread (gpointer data)
{
  const Call *call = data;

  return GINT_TO_POINTER (wait_once (call->event, -1, call->cancellable));
}

static void
test_cancel (void)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (MpEvent) event = event_new ();
  Call call = { .event = event, .cancellable = cancellable };
  GThread *thread;

  g_test_summary ("Cancelled before and while it waits");
  thread = g_thread_new ("wait", wait_in_thread, &call);
  wait_n_waiters (event, 1);
  g_cancellable_cancel (cancellable);
  g_assert_cmpint (GPOINTER_TO_INT (g_thread_join (thread)), ==, CANCELLED);
  mp_event_set (event);
  g_assert_cmpint (wait_once (event, -1, cancellable), ==, CANCELLED);
}

static volatile sig_atomic_t n_handled;

static void
on_signal (int number)
{
  n_handled++;
}

static int
set_and_clear (gpointer data)
{
  mp_event_set (data);
  mp_event_clear (data);
  return 0;
}

static int
try_to_wait (gpointer data)
{
  return mp_event_wait_interruptible (data, 0);
}

static MpEvent *event_of_handler, *interrupted;

static void
set_in_handler (int number)
{
  mp_event_set (event_of_handler);
}

static int
wait_interrupted (gpointer data)
{
  struct sigaction nothing = { .sa_handler = on_signal };
  struct sigaction set = { .sa_handler = set_in_handler };

  event_of_handler = data;
  sigaction (SIGUSR1, &nothing, NULL);
  sigaction (SIGUSR2, &set, NULL);
  if (mp_event_wait_interruptible (event_of_handler, -1) != MP_WAIT_RESULT_INTERRUPTED)
    return 1;
  if (mp_event_wait_interruptible (event_of_handler, 0) != MP_WAIT_RESULT_TIMED_OUT)
    return 2;
  mp_event_set (interrupted);
  /* The public call goes on. */
  return wait_once (event_of_handler, -1, NULL) == DONE ? 0 : 3;
}

static void
test_signals (void)
{
  g_autoptr (MpEvent) event = event_new ();
  g_autoptr (MpEvent) step = event_new ();
  GPid pid;

  g_test_summary ("A signal handler ends the wait, if that is wanted, and can set the event");
  interrupted = step;
  pid = test_fork (wait_interrupted, event);
  wait_n_waiters (event, 1);
  test_wait_state (pid, 'S');
  g_assert_no_errno (kill (pid, SIGUSR1));
  g_assert_cmpint (wait_once (interrupted, -1, NULL), ==, DONE);
  wait_n_waiters (event, 1);
  test_wait_state (pid, 'S');
  g_assert_no_errno (kill (pid, SIGUSR1));
  g_assert_no_errno (kill (pid, SIGUSR2));
  g_assert_cmpint (test_join (pid), ==, 0);
  g_assert_true (mp_event_get_is_set (event));
}

/* Between two calls of a wait that a signal interrupted. */
static int
wait_in_parts (gpointer data)
{
  struct sigaction nothing = { .sa_handler = on_signal };
  MpEvent *event = data;
  g_autoptr (MpEvent) other = event_new ();
  int result;

  sigaction (SIGUSR1, &nothing, NULL);
  while (n_handled == 0)
    {
      if (mp_event_wait_interruptible (event, -1) != MP_WAIT_RESULT_INTERRUPTED)
        return 1;
    }
  /* As a handler does that waits itself. */
  if (mp_event_wait_interruptible (other, 1) != MP_WAIT_RESULT_TIMED_OUT)
    return 2;
  if (test_join (test_fork (set_and_clear, event)) != 0)
    return 3;
  /* A child has not begun it. */
  if (test_join (test_fork (try_to_wait, event)) != MP_WAIT_RESULT_TIMED_OUT)
    return 4;
  if (mp_event_wait_interruptible (event, 0) != MP_WAIT_RESULT_DONE)
    return 5;
  /* It is over, and the next one begins. */
  if (mp_event_wait_interruptible (event, 0) != MP_WAIT_RESULT_TIMED_OUT)
    return 6;
  mp_event_set (interrupted);
  do
    result = mp_event_wait_interruptible (event, -1);
  while (result == MP_WAIT_RESULT_INTERRUPTED);
  return result == MP_WAIT_RESULT_DONE ? 0 : 7;
}

static void
test_pulse (void)
{
  g_autoptr (MpEvent) event = event_new ();
  g_autoptr (MpEvent) step = event_new ();
  GPid pid;

  g_test_summary ("Setting and clearing while a signal handler runs ends the wait");
  interrupted = step;
  pid = test_fork (wait_in_parts, event);
  wait_n_waiters (event, 1);
  test_wait_state (pid, 'S');
  g_assert_no_errno (kill (pid, SIGUSR1));
  g_assert_cmpint (wait_once (interrupted, -1, NULL), ==, DONE);
  wait_n_waiters (event, 1);
  set_and_clear (event);
  g_assert_cmpint (test_join (pid), ==, 0);
}

static void
test_turns (void)
{
  g_autoptr (MpEvent) event = event_new ();
  gint64 start = g_get_monotonic_time ();

  g_test_summary ("A wait that could miss a signal returns twice a second, and can be given up");
  g_assert_cmpint (mp_event_wait_interruptible (event, -1), ==, MP_WAIT_RESULT_INTERRUPTED);
  g_assert_cmpint (g_get_monotonic_time () - start, >=, G_USEC_PER_SEC / 10);
  g_assert_cmpint (g_get_monotonic_time () - start, <, G_USEC_PER_SEC / 2 + test_soon ());
  set_and_clear (event);
  g_assert_true (mp_event_stop_waiting (event));
  g_assert_false (mp_event_stop_waiting (event));
  g_assert_cmpint (mp_event_wait_interruptible (event, 0), ==, MP_WAIT_RESULT_TIMED_OUT);
  g_assert_cmpint (mp_event_wait_interruptible (event, -1), ==, MP_WAIT_RESULT_INTERRUPTED);
  g_assert_false (mp_event_stop_waiting (event));
  set_and_clear (event);
  g_assert_cmpint (mp_event_wait_interruptible (event, 1000), ==, MP_WAIT_RESULT_TIMED_OUT);
  /* Left alone, it is no business of another event, wherever that lies. */
  g_assert_cmpint (mp_event_wait_interruptible (event, -1), ==, MP_WAIT_RESULT_INTERRUPTED);
  g_clear_object (&event);
  event = event_new ();
  set_and_clear (event);
  g_assert_cmpint (mp_event_wait_interruptible (event, 0), ==, MP_WAIT_RESULT_TIMED_OUT);
}

/* Asynchronously */

static void
on_waited (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GError) error = NULL;
  gboolean done = mp_event_wait_finish (MP_EVENT (source), result, &error);

  *(int *) user_data = get_outcome (done, error);
}

static void
turn_until (const int *outcome)
{
  gint64 end = g_get_monotonic_time () + HANG_US;

  while (*outcome < 0)
    {
      g_main_context_iteration (NULL, FALSE);
      g_thread_yield ();
      g_assert_cmpint (g_get_monotonic_time (), <, end);
    }
}

static void
test_async (void)
{
  g_autoptr (MpEvent) event = event_new ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  int first = -1, second = -1, third = -1;

  g_test_summary ("Without a thread: set before, set later by another process, and cancelled");
  mp_event_set (event);
  mp_event_wait_async (event, NULL, on_waited, &first);
  g_assert_cmpint (first, ==, -1);
  turn_until (&first);
  g_assert_cmpint (first, ==, DONE);

  mp_event_clear (event);
  first = -1;
  mp_event_wait_async (event, NULL, on_waited, &first);
  mp_event_wait_async (event, cancellable, on_waited, &second);
  wait_n_waiters (event, 2);
  g_cancellable_cancel (cancellable);
  turn_until (&second);
  g_assert_cmpint (second, ==, CANCELLED);
  g_assert_cmpint (first, ==, -1);
  g_assert_cmpint (test_join (test_fork (set_and_clear, event)), ==, 0);
  /* What came after the event waits for the next one. */
  mp_event_wait_async (event, NULL, on_waited, &third);
  turn_until (&first);
  g_assert_cmpint (first, ==, DONE);
  wait_n_waiters (event, 1);
  g_assert_cmpint (third, ==, -1);
  mp_event_set (event);
  turn_until (&third);
  g_assert_cmpint (third, ==, DONE);
  g_assert_cmpuint (mp_event_get_n_waiters (event), ==, 0);
}

typedef struct
{
  GVariant *handle;
  GUnixFDList *fd_list;
} Travel;

static int
wait_as_stranger (gpointer data)
{
  const Travel *travel = data;
  g_autoptr (MpShareable) event =
    mp_shareable_new_from_handle (travel->handle, travel->fd_list, NULL);

  return MP_IS_EVENT (event) ? wait_once (MP_EVENT (event), -1, NULL) : OTHER;
}

static void
test_handle (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = NULL;
  g_autoptr (MpEvent) event = event_new ();
  Travel travel;
  GPid pid;

  g_test_summary ("A handle gives the same event");
  handle = mp_shareable_to_handle (MP_SHAREABLE (event), fd_list, &error);
  g_assert_no_error (error);
  travel = (Travel){ .handle = handle, .fd_list = fd_list };
  pid = test_fork (wait_as_stranger, &travel);
  wait_n_waiters (event, 1);
  mp_event_set (event);
  g_assert_cmpint (test_join (pid), ==, DONE);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/event/basic", test_basic);
  g_test_add_func ("/mp/event/set-and-clear", test_set_and_clear);
  g_test_add_func ("/mp/event/stopped", test_stopped);
  g_test_add_func ("/mp/event/killed", test_killed);
  g_test_add_func ("/mp/event/ping-pong", test_ping_pong);
  g_test_add_func ("/mp/event/signals", test_signals);
  g_test_add_func ("/mp/event/pulse", test_pulse);
  g_test_add_func ("/mp/event/turns", test_turns);
  g_test_add_func ("/mp/event/handle", test_handle);
  g_test_add_func ("/mp/event/cancel", test_cancel);
  g_test_add_func ("/mp/event/async", test_async);
  return g_test_run ();
}
