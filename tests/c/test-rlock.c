/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <stdatomic.h>
#include <sys/mman.h>

#include "libmp.h"
#include "base/mp-clock-private.h"
#include "sync/mp-lock-private.h"
#include "test-util.h"

#define N_ROUNDS 20000

/* In memory that children share. */
typedef struct
{
  _Atomic int ready;
  /* Not atomic: protected by the lock. */
  guint64 first;
  guint64 second;
} Shared;

static MpRLock *lock;
static Shared *shared;
static guint n_died;

static void
on_holder_died (MpRLock *self, gpointer user_data)
{
  g_assert_true (mp_rlock_get_abandoned (self));
  n_died++;
}

static void
setup (void)
{
  g_autoptr (GError) error = NULL;

  lock = mp_rlock_new (&error);
  g_assert_no_error (error);
  g_signal_connect (lock, "holder-died", G_CALLBACK (on_holder_died), NULL);
  n_died = 0;
  shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  g_assert_true (shared != MAP_FAILED);
}

static void
teardown (void)
{
  g_assert_finalize_object (lock);
  munmap (shared, sizeof *shared);
}

static void
wait_until_ready (int value)
{
  while (atomic_load (&shared->ready) != value)
    g_thread_yield ();
}

static void
wait_for_waiters (guint n)
{
  gint64 end = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;

  while (mp_rlock_get_n_waiters (lock) != n)
    {
      g_assert_cmpint (g_get_monotonic_time (), <, end);
      g_thread_yield ();
    }
}

static int
hold_twice (gpointer data)
{
  if (!mp_rlock_acquire (lock, -1, NULL, NULL) || !mp_rlock_acquire (lock, 0, NULL, NULL))
    return 1;
  atomic_store (&shared->ready, 1);
  while (pause () < 0)
    ;
  return 0;
}

static void
test_use (void)
{
  g_autoptr (GError) error = NULL;
  gboolean owned, locked;
  guint depth, pid;

  g_test_summary ("It is acquired again by its owner, and released as often");
  setup ();
  g_assert_false (mp_rlock_release (lock, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_OWNER);
  g_clear_error (&error);
  g_assert_cmpuint (mp_rlock_get_depth (lock), ==, 0);
  g_assert_true (mp_rlock_acquire (lock, -1, NULL, NULL));
  g_assert_true (mp_rlock_try_acquire (lock));
  g_assert_cmpint (mp_rlock_acquire_interruptible (lock, 0), ==, MP_WAIT_RESULT_DONE);
  g_object_get (lock,
                "depth",
                &depth,
                "owned",
                &owned,
                "locked",
                &locked,
                "holder-pid",
                &pid,
                NULL);
  g_assert_cmpuint (depth, ==, 3);
  g_assert_true (owned);
  g_assert_true (locked);
  g_assert_cmpuint (pid, ==, (guint) getpid ());
  for (guint i = 3; i > 0; i--)
    {
      g_assert_cmpuint (mp_rlock_get_depth (lock), ==, i);
      g_assert_true (mp_rlock_release (lock, &error));
      g_assert_no_error (error);
    }
  g_assert_false (mp_rlock_get_locked (lock));
  g_assert_false (mp_rlock_get_owned (lock));
  g_assert_false (mp_rlock_release (lock, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_OWNER);
  teardown ();
}

static gpointer
try_in_thread (gpointer data)
{
  g_autoptr (GError) error = NULL;
  gint64 start = g_get_monotonic_time ();

  g_assert_false (mp_rlock_get_owned (lock));
  g_assert_cmpuint (mp_rlock_get_depth (lock), ==, 0);
  g_assert_false (mp_rlock_release (lock, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_OWNER);
  g_clear_error (&error);
  g_assert_false (mp_rlock_try_acquire (lock));
  g_assert_false (mp_rlock_acquire (lock, 60 * 1000, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_TIMED_OUT);
  g_assert_cmpint (g_get_monotonic_time () - start, >=, 60 * 1000);
  g_assert_cmpint (mp_rlock_acquire_interruptible (lock, 1000), ==, MP_WAIT_RESULT_TIMED_OUT);
  return NULL;
}

static void
test_threads_own (void)
{
  g_test_summary ("Another thread of the process does not own it");
  setup ();
  g_assert_true (mp_rlock_acquire (lock, -1, NULL, NULL));
  g_thread_join (g_thread_new ("try", try_in_thread, NULL));
  g_assert_cmpuint (mp_rlock_get_depth (lock), ==, 1);
  g_assert_true (mp_rlock_release (lock, NULL));
  teardown ();
}

static gpointer
cancel_when_asleep (gpointer data)
{
  wait_for_waiters (1);
  g_cancellable_cancel (data);
  return NULL;
}

static void
test_cancel (void)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  GThread *thread;
  GPid pid;

  g_test_summary ("Cancelled, nothing is acquired");
  setup ();
  pid = test_fork (hold_twice, NULL);
  wait_until_ready (1);
  thread = g_thread_new ("cancel", cancel_when_asleep, cancellable);
  g_assert_false (mp_rlock_acquire (lock, -1, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_thread_join (thread);
  g_assert_false (mp_rlock_get_owned (lock));
  test_kill (pid);
  teardown ();
}

static int
count (gpointer data)
{
  for (int i = 0; i < N_ROUNDS; i++)
    {
      if (!mp_rlock_acquire (lock, -1, NULL, NULL) || !mp_rlock_acquire (lock, 0, NULL, NULL))
        return 1;
      shared->first++;
      if (!mp_rlock_release (lock, NULL))
        return 2;
      shared->second++;
      if (!mp_rlock_release (lock, NULL))
        return 3;
    }
  return 0;
}

static gpointer
count_in_thread (gpointer data)
{
  return GINT_TO_POINTER (count (data));
}

static void
test_exclusion (void)
{
  GPid pids[3];
  GThread *threads[2];

  g_test_summary ("Processes and threads never hold it at once");
  setup ();
  for (gsize i = 0; i < G_N_ELEMENTS (pids); i++)
    pids[i] = test_fork (count, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("count", count_in_thread, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    g_assert_null (g_thread_join (threads[i]));
  for (gsize i = 0; i < G_N_ELEMENTS (pids); i++)
    g_assert_cmpint (test_join (pids[i]), ==, 0);
  g_assert_cmpuint (shared->first, ==, (G_N_ELEMENTS (pids) + G_N_ELEMENTS (threads)) * N_ROUNDS);
  g_assert_cmpuint (shared->second, ==, shared->first);
  teardown ();
}

static void
test_died (void)
{
  GPid pid;

  g_test_summary ("A killed owner leaves it to the next, who has it once and is told");
  setup ();
  pid = test_fork (hold_twice, NULL);
  wait_until_ready (1);
  g_assert_false (mp_rlock_try_acquire (lock));
  g_assert_cmpuint (mp_rlock_get_holder_pid (lock), ==, (guint) pid);
  test_kill (pid);
  g_assert_true (mp_rlock_acquire (lock, -1, NULL, NULL));
  g_assert_cmpuint (n_died, ==, 1);
  g_assert_cmpuint (mp_rlock_get_depth (lock), ==, 1);
  g_assert_true (mp_rlock_try_acquire (lock));
  g_assert_true (mp_rlock_release (lock, NULL));
  g_assert_true (mp_rlock_get_abandoned (lock));
  g_assert_true (mp_rlock_release (lock, NULL));
  g_assert_false (mp_rlock_get_abandoned (lock));
  g_assert_true (mp_rlock_acquire (lock, -1, NULL, NULL));
  g_assert_false (mp_rlock_get_abandoned (lock));
  g_assert_cmpuint (n_died, ==, 1);
  g_assert_true (mp_rlock_release (lock, NULL));
  teardown ();
}

static void
test_stopped (void)
{
  g_autoptr (GError) error = NULL;
  gint64 start, took;
  GPid pid;

  g_test_summary ("A stopped owner costs the others no more than their timeout");
  setup ();
  pid = test_fork (hold_twice, NULL);
  wait_until_ready (1);
  g_assert_no_errno (kill (pid, SIGSTOP));
  test_wait_state (pid, 'T');
  start = g_get_monotonic_time ();
  g_assert_false (mp_rlock_acquire (lock, 200 * 1000, NULL, &error));
  took = g_get_monotonic_time () - start;
  g_assert_error (error, MP_ERROR, MP_ERROR_TIMED_OUT);
  g_assert_cmpint (took, >=, 200 * 1000);
  g_assert_cmpint (took, <, 200 * 1000 + test_soon ());
  test_kill (pid);
  teardown ();
}

static int
look_from_child (gpointer data)
{
  if (mp_rlock_get_depth (lock) != 0 || mp_rlock_get_owned (lock) || mp_rlock_try_acquire (lock) ||
      mp_rlock_release (lock, NULL))
    return 1;
  atomic_store (&shared->ready, 1);
  if (!mp_rlock_acquire (lock, -1, NULL, NULL) || mp_rlock_get_depth (lock) != 1 ||
      mp_rlock_get_abandoned (lock))
    return 2;
  return mp_rlock_release (lock, NULL) ? 0 : 3;
}

static void
test_fork_child (void)
{
  GPid pid;

  g_test_summary ("A forked child does not own what its parent owns");
  setup ();
  g_assert_true (mp_rlock_acquire (lock, 0, NULL, NULL));
  pid = test_fork (look_from_child, NULL);
  wait_until_ready (1);
  wait_for_waiters (1);
  g_assert_true (mp_rlock_release (lock, NULL));
  g_assert_cmpint (test_join (pid), ==, 0);
  teardown ();
}

static void
test_handle (void)
{
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = NULL;
  g_autoptr (MpShareable) other = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("What comes out of a handle is the same lock, also to its owner");
  setup ();
  handle = mp_shareable_to_handle (MP_SHAREABLE (lock), fd_list, &error);
  g_assert_no_error (error);
  other = mp_shareable_new_from_handle (handle, fd_list, &error);
  g_assert_no_error (error);
  g_assert_true (MP_IS_RLOCK (other));
  g_assert_true (mp_rlock_acquire (lock, 0, NULL, NULL));
  g_assert_true (mp_rlock_acquire (MP_RLOCK (other), 0, NULL, NULL));
  g_assert_cmpuint (mp_rlock_get_depth (lock), ==, 2);
  g_assert_true (mp_rlock_release (lock, NULL));
  g_assert_true (mp_rlock_release (MP_RLOCK (other), NULL));
  g_assert_false (mp_rlock_get_locked (lock));
  teardown ();
}

static gpointer
take_once (gpointer data)
{
  g_assert_true (mp_rlock_acquire (lock, -1, NULL, NULL));
  g_assert_cmpuint (mp_rlock_get_depth (lock), ==, 1);
  g_assert_true (mp_rlock_release (lock, NULL));
  return NULL;
}

static void
test_suspend (void)
{
  guint depth;

  g_test_summary ("What conditions do: it is let go completely, and taken as deep again");
  setup ();
  g_assert_false (mp_rlock_is_held_here (lock));
  for (guint i = 0; i < 5; i++)
    g_assert_true (mp_rlock_acquire (lock, 0, NULL, NULL));
  g_assert_true (mp_rlock_is_held_here (lock));
  depth = mp_rlock_suspend (lock);
  g_assert_cmpuint (depth, ==, 5);
  g_assert_false (mp_rlock_get_locked (lock));
  g_thread_join (g_thread_new ("take", take_once, NULL));
  g_assert_true (mp_rlock_resume (lock, depth, NULL));
  for (guint i = 0; i < 5; i++)
    g_assert_true (mp_rlock_release (lock, NULL));
  g_assert_false (mp_rlock_get_locked (lock));
  teardown ();
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/rlock/use", test_use);
  g_test_add_func ("/mp/rlock/threads-own", test_threads_own);
  g_test_add_func ("/mp/rlock/exclusion", test_exclusion);
  g_test_add_func ("/mp/rlock/died", test_died);
  g_test_add_func ("/mp/rlock/stopped", test_stopped);
  g_test_add_func ("/mp/rlock/fork", test_fork_child);
  g_test_add_func ("/mp/rlock/handle", test_handle);
  g_test_add_func ("/mp/rlock/suspend", test_suspend);
  g_test_add_func ("/mp/rlock/cancel", test_cancel);
  return g_test_run ();
}
