/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <stdatomic.h>
#include <sys/mman.h>

#include "libmp.h"
#include "sync/mp-semaphore-units-private.h"
#include "test-util.h"

#define N_ROUNDS 20000
#define N_UNITS 3

/* In memory that children share. */
typedef struct
{
  _Atomic int ready;
  _Atomic int inside;
  _Atomic int most;
} Shared;

static MpSemaphore *semaphore;
static Shared *shared;

static void
setup (guint value, MpSemaphoreFlags flags)
{
  g_autoptr (GError) error = NULL;

  semaphore = mp_semaphore_new (value, flags, &error);
  g_assert_no_error (error);
  shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  g_assert_true (shared != MAP_FAILED);
}

static void
teardown (void)
{
  g_assert_finalize_object (semaphore);
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

  while (mp_semaphore_get_n_waiters (semaphore) != n)
    {
      g_assert_cmpint (g_get_monotonic_time (), <, end);
      g_thread_yield ();
    }
}

static void
assert_value (guint value)
{
  g_assert_cmpuint (mp_semaphore_get_value (semaphore), ==, value);
}

static void
assert_release_fails (guint n, MpError code)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (mp_semaphore_release (semaphore, n, &error));
  g_assert_error (error, MP_ERROR, (int) code);
}

static void
assert_times_out (gint64 timeout_us)
{
  g_autoptr (GError) error = NULL;
  gint64 start = g_get_monotonic_time (), took;

  g_assert_false (mp_semaphore_acquire (semaphore, timeout_us, NULL, &error));
  took = g_get_monotonic_time () - start;
  g_assert_error (error, MP_ERROR, MP_ERROR_TIMED_OUT);
  g_assert_cmpint (took, >=, timeout_us);
  g_assert_cmpint (took, <, timeout_us + test_soon ());
}

static void
use (MpSemaphoreFlags flags)
{
  MpSemaphoreFlags got;
  guint initial;

  setup (2, flags);
  g_object_get (semaphore, "initial-value", &initial, "flags", &got, NULL);
  g_assert_cmpuint (initial, ==, 2);
  g_assert_cmpuint (got, ==, flags);
  assert_value (2);
  g_assert_true (mp_semaphore_acquire (semaphore, -1, NULL, NULL));
  g_assert_true (mp_semaphore_try_acquire (semaphore));
  assert_value (0);
  g_assert_false (mp_semaphore_try_acquire (semaphore));
  assert_times_out (0);
  assert_times_out (90 * 1000);
  g_assert_cmpint (mp_semaphore_acquire_interruptible (semaphore, 1000),
                   ==,
                   MP_WAIT_RESULT_TIMED_OUT);
  g_assert_true (mp_semaphore_release (semaphore, 2, NULL));
  assert_value (2);
  g_assert_cmpint (mp_semaphore_acquire_interruptible (semaphore, 0), ==, MP_WAIT_RESULT_DONE);
  assert_value (1);
  assert_release_fails (0, MP_ERROR_INVALID_ARGUMENT);
  if ((flags & MP_SEMAPHORE_BOUNDED) != 0)
    {
      assert_release_fails (2, MP_ERROR_LIMIT);
      g_assert_true (mp_semaphore_release (semaphore, 1, NULL));
      assert_release_fails (1, MP_ERROR_LIMIT);
      assert_release_fails (G_MAXUINT, MP_ERROR_LIMIT);
      assert_value (2);
    }
  else
    {
      g_assert_true (mp_semaphore_release (semaphore, 10, NULL));
      assert_value (11);
      assert_release_fails (MP_SEMAPHORE_MAX_VALUE, MP_ERROR_LIMIT);
      assert_release_fails (G_MAXUINT, MP_ERROR_LIMIT);
      g_assert_true (mp_semaphore_release (semaphore, MP_SEMAPHORE_MAX_VALUE - 11, NULL));
      assert_value (MP_SEMAPHORE_MAX_VALUE);
      assert_release_fails (1, MP_ERROR_LIMIT);
    }
  g_assert_cmpuint (mp_semaphore_get_n_waiters (semaphore), ==, 0);
  teardown ();
}

static void
test_use (void)
{
  g_test_summary ("Units are taken and added, up to the bound and in time");
  use (MP_SEMAPHORE_NONE);
  use (MP_SEMAPHORE_BOUNDED);
  use (MP_SEMAPHORE_RECOVER);
  use (MP_SEMAPHORE_BOUNDED | MP_SEMAPHORE_RECOVER);
}

static void
test_values (void)
{
  g_autoptr (GError) error = NULL;

  g_test_summary ("The first value is from 0 up to the most");
  g_assert_null (mp_semaphore_new (MP_SEMAPHORE_MAX_VALUE + 1u, MP_SEMAPHORE_NONE, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
  setup (0, MP_SEMAPHORE_BOUNDED);
  assert_release_fails (1, MP_ERROR_LIMIT);
  teardown ();
  setup (MP_SEMAPHORE_MAX_VALUE, MP_SEMAPHORE_RECOVER);
  g_assert_true (mp_semaphore_try_acquire (semaphore));
  assert_value (MP_SEMAPHORE_MAX_VALUE - 1);
  teardown ();
}

static int
pass_through (gpointer data)
{
  for (int i = 0; i < N_ROUNDS; i++)
    {
      int inside, most;

      if (!mp_semaphore_acquire (semaphore, -1, NULL, NULL))
        return 1;
      inside = atomic_fetch_add (&shared->inside, 1) + 1;
      most = atomic_load (&shared->most);
      while (inside > most && !atomic_compare_exchange_weak (&shared->most, &most, inside))
        ;
      atomic_fetch_sub (&shared->inside, 1);
      if (!mp_semaphore_release (semaphore, 1, NULL))
        return 2;
    }
  return 0;
}

static gpointer
pass_through_in_thread (gpointer data)
{
  return GINT_TO_POINTER (pass_through (data));
}

static void
pass_many (MpSemaphoreFlags flags)
{
  GPid pids[4];
  GThread *threads[2];

  setup (N_UNITS, flags);
  for (gsize i = 0; i < G_N_ELEMENTS (pids); i++)
    pids[i] = test_fork (pass_through, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("pass", pass_through_in_thread, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    g_assert_null (g_thread_join (threads[i]));
  for (gsize i = 0; i < G_N_ELEMENTS (pids); i++)
    g_assert_cmpint (test_join (pids[i]), ==, 0);
  g_assert_cmpint (atomic_load (&shared->most), <=, N_UNITS);
  assert_value (N_UNITS);
  teardown ();
}

static void
test_many (void)
{
  g_test_summary ("There are never more inside than units");
  pass_many (MP_SEMAPHORE_NONE);
  pass_many (MP_SEMAPHORE_BOUNDED);
  pass_many (MP_SEMAPHORE_RECOVER);
}

static int
take_two (gpointer data)
{
  if (!mp_semaphore_acquire (semaphore, -1, NULL, NULL) ||
      !mp_semaphore_acquire (semaphore, -1, NULL, NULL))
    return 1;
  atomic_store (&shared->ready, 1);
  while (pause () < 0)
    ;
  return 0;
}

static gpointer
kill_when_asleep (gpointer data)
{
  wait_for_waiters (1);
  test_kill (GPOINTER_TO_INT (data));
  return NULL;
}

static void
recover (MpSemaphoreFlags flags)
{
  GThread *thread;
  GPid pid;
  gint64 start;

  setup (2, flags);
  pid = test_fork (take_two, NULL);
  wait_until_ready (1);
  assert_value (0);
  test_kill (pid);
  assert_value (2);
  atomic_store (&shared->ready, 0);
  pid = test_fork (take_two, NULL);
  wait_until_ready (1);
  test_kill (pid);
  g_assert_true (mp_semaphore_try_acquire (semaphore));
  g_assert_true (mp_semaphore_release (semaphore, 1, NULL));
  atomic_store (&shared->ready, 0);
  pid = test_fork (take_two, NULL);
  wait_until_ready (1);
  thread = g_thread_new ("kill", kill_when_asleep, GINT_TO_POINTER (pid));
  start = g_get_monotonic_time ();
  g_assert_true (mp_semaphore_acquire (semaphore, -1, NULL, NULL));
  g_assert_cmpint (g_get_monotonic_time () - start, <, 2 * test_soon ());
  g_thread_join (thread);
  assert_value (1);
  g_assert_true (mp_semaphore_release (semaphore, 1, NULL));
  assert_value (2);
  teardown ();
}

static void
test_recover (void)
{
  GPid pid;

  g_test_summary ("The units of a killed process come back if that was asked for");
  recover (MP_SEMAPHORE_RECOVER);
  recover (MP_SEMAPHORE_RECOVER | MP_SEMAPHORE_BOUNDED);
  setup (2, MP_SEMAPHORE_NONE);
  pid = test_fork (take_two, NULL);
  wait_until_ready (1);
  test_kill (pid);
  assert_value (0);
  teardown ();
}

static void
release_for_others (MpSemaphoreFlags flags, guint afterwards)
{
  GPid pid;

  setup (2, flags);
  pid = test_fork (take_two, NULL);
  wait_until_ready (1);
  g_assert_true (mp_semaphore_release (semaphore, 1, NULL));
  assert_value (1);
  test_kill (pid);
  assert_value (afterwards);
  teardown ();
}

static void
test_released_by_others (void)
{
  g_test_summary ("A unit of somebody else is added to the total, unless that is bounded");
  release_for_others (MP_SEMAPHORE_RECOVER, 3);
  release_for_others (MP_SEMAPHORE_RECOVER | MP_SEMAPHORE_BOUNDED, 2);
  release_for_others (MP_SEMAPHORE_NONE, 1);
}

static void
test_stopped (void)
{
  GPid pid;

  g_test_summary ("A stopped holder costs the others no more than their timeout");
  setup (2, MP_SEMAPHORE_RECOVER);
  pid = test_fork (take_two, NULL);
  wait_until_ready (1);
  g_assert_no_errno (kill (pid, SIGSTOP));
  test_wait_state (pid, 'T');
  assert_times_out (200 * 1000);
  assert_value (0);
  test_kill (pid);
  assert_value (2);
  teardown ();
}

static int
take_one (gpointer data)
{
  return mp_semaphore_acquire (semaphore, -1, NULL, NULL) ? 0 : 1;
}

static void
wake_several (MpSemaphoreFlags flags)
{
  GPid pids[4];

  setup (0, flags);
  for (gsize i = 0; i < G_N_ELEMENTS (pids); i++)
    pids[i] = test_fork (take_one, NULL);
  wait_for_waiters (4);
  test_kill (pids[3]);
  wait_for_waiters (3);
  g_assert_true (mp_semaphore_release (semaphore, 3, NULL));
  for (gsize i = 0; i < 3; i++)
    g_assert_cmpint (test_join (pids[i]), ==, 0);
  teardown ();
}

static void
test_wake (void)
{
  g_test_summary ("As many are woken as there are units");
  wake_several (MP_SEMAPHORE_NONE);
  wake_several (MP_SEMAPHORE_RECOVER);
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

  g_test_summary ("Cancelled before or during the wait, nothing is taken");
  setup (0, MP_SEMAPHORE_NONE);
  thread = g_thread_new ("cancel", cancel_when_asleep, cancellable);
  g_assert_false (mp_semaphore_acquire (semaphore, -1, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_thread_join (thread);
  g_clear_error (&error);
  g_assert_true (mp_semaphore_release (semaphore, 1, NULL));
  g_assert_false (mp_semaphore_acquire (semaphore, -1, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  assert_value (1);
  teardown ();
}

static int
look_from_child (gpointer data)
{
  /* What it releases is not its own, and so it is added. */
  return mp_semaphore_get_value (semaphore) == 0 && mp_semaphore_release (semaphore, 1, NULL) ? 0
                                                                                              : 1;
}

static void
test_fork_child (void)
{
  g_test_summary ("A forked child has none of its parent's units");
  setup (1, MP_SEMAPHORE_RECOVER);
  g_assert_true (mp_semaphore_try_acquire (semaphore));
  g_assert_cmpint (test_join (test_fork (look_from_child, NULL)), ==, 0);
  assert_value (1);
  g_assert_true (mp_semaphore_release (semaphore, 1, NULL));
  assert_value (2);
  teardown ();
}

static void
test_handle (void)
{
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = NULL;
  g_autoptr (MpShareable) other = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("What comes out of a handle is the same semaphore, and of its kind");
  setup (2, MP_SEMAPHORE_BOUNDED | MP_SEMAPHORE_RECOVER);
  handle = mp_shareable_to_handle (MP_SHAREABLE (semaphore), fd_list, &error);
  g_assert_no_error (error);
  other = mp_shareable_new_from_handle (handle, fd_list, &error);
  g_assert_no_error (error);
  g_assert_true (MP_IS_SEMAPHORE (other));
  g_assert_cmpuint (mp_semaphore_get_initial_value (MP_SEMAPHORE (other)), ==, 2);
  g_assert_cmpuint (mp_semaphore_get_flags (MP_SEMAPHORE (other)),
                    ==,
                    MP_SEMAPHORE_BOUNDED | MP_SEMAPHORE_RECOVER);
  g_assert_true (mp_semaphore_try_acquire (MP_SEMAPHORE (other)));
  assert_value (1);
  g_assert_true (mp_semaphore_release (semaphore, 1, NULL));
  assert_release_fails (1, MP_ERROR_LIMIT);
  teardown ();
}

static void
test_hostile (void)
{
  MpUnits units = { .shared = NULL };

  g_test_summary ("Whatever stands in the ledger, nobody crashes or hangs");
  g_assert_true (mp_units_init (&units, 1, MP_SEMAPHORE_RECOVER, NULL));
  for (guint round = 0; round < 200; round++)
    {
      g_autoptr (GError) error = NULL;

      for (guint i = 0; i < MP_ARENA_MAX_PARTICIPANTS; i++)
        atomic_store (&units.shared->ledger[i],
                      (guint64) (guint32) g_test_rand_int () << 32 | (guint32) g_test_rand_int ());
      atomic_store (&units.shared->units, (guint32) g_test_rand_int ());
      atomic_store (&units.shared->total, (guint32) g_test_rand_int ());
      mp_units_acquire_slow (&units, 0, NULL, FALSE);
      mp_units_release (&units, (guint) g_test_rand_int (), &error);
      mp_units_get_free (&units);
      mp_units_try_or_arm (&units);
    }
  mp_units_clear (&units);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/semaphore/use", test_use);
  g_test_add_func ("/mp/semaphore/values", test_values);
  g_test_add_func ("/mp/semaphore/many", test_many);
  g_test_add_func ("/mp/semaphore/recover", test_recover);
  g_test_add_func ("/mp/semaphore/released-by-others", test_released_by_others);
  g_test_add_func ("/mp/semaphore/stopped", test_stopped);
  g_test_add_func ("/mp/semaphore/wake", test_wake);
  g_test_add_func ("/mp/semaphore/fork", test_fork_child);
  g_test_add_func ("/mp/semaphore/handle", test_handle);
  g_test_add_func ("/mp/semaphore/hostile", test_hostile);
  g_test_add_func ("/mp/semaphore/cancel", test_cancel);
  return g_test_run ();
}
