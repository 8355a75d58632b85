/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <poll.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "libmp.h"
#include "sync/mp-lock-private.h"
#include "sync/mp-lock-word-private.h"
#include "sync/mp-sync-waiter-private.h"
#include "test-util.h"

#define N_MANY 10000

typedef struct
{
  _Atomic int ready;
} Shared;

static MpLock *lock;
static Shared *shared;
static guint n_died;
/* Of all that were started with on_acquired(). */
static guint n_done;
static guint n_failed;
static GError *last_error;
static gboolean release_at_once;

static void
on_holder_died (MpLock *self, gpointer user_data)
{
  n_died++;
}

static void
setup (void)
{
  lock = mp_lock_new (NULL);
  g_assert_nonnull (lock);
  g_signal_connect (lock, "holder-died", G_CALLBACK (on_holder_died), NULL);
  n_died = n_done = n_failed = 0;
  release_at_once = FALSE;
  shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  g_assert_true (shared != MAP_FAILED);
}

static void
teardown (void)
{
  g_clear_error (&last_error);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_finalize_object (lock);
  munmap (shared, sizeof *shared);
}

static guint
count_threads (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/task", 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static void
iterate_until (const guint *counter, guint value)
{
  gint64 end = g_get_monotonic_time () + 50 * G_USEC_PER_SEC;

  while (*counter < value)
    {
      g_assert_cmpint (g_get_monotonic_time (), <, end);
      if (!g_main_context_iteration (NULL, FALSE))
        g_thread_yield ();
    }
  g_assert_cmpuint (*counter, ==, value);
}

static void on_acquired (GObject *source, GAsyncResult *result, gpointer user_data);

/* With those of GLib, which starts one with the first task. */
static guint
count_threads_before (void)
{
  release_at_once = TRUE;
  mp_lock_acquire_async (lock, NULL, on_acquired, NULL);
  iterate_until (&n_done, 1);
  n_done = 0;
  return count_threads ();
}

static void
on_acquired (GObject *source, GAsyncResult *result, gpointer user_data)
{
  MpLock *self = MP_LOCK (source);

  g_clear_error (&last_error);
  if (mp_lock_acquire_finish (self, result, &last_error))
    {
      g_assert_true (mp_lock_get_locked (self));
      n_done++;
      if (release_at_once)
        g_assert_true (mp_lock_release (self, NULL));
    }
  else
    n_failed++;
}

/* Without the main loop. */
static void
wait_until_locked (gboolean locked)
{
  gint64 end = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;

  while (mp_lock_get_locked (lock) != locked)
    {
      g_assert_cmpint (g_get_monotonic_time (), <, end);
      g_thread_yield ();
    }
}

static void
test_use (void)
{
  g_test_summary ("A free lock is acquired at once, a held one when it is released");
  setup ();
  mp_lock_acquire_async (lock, NULL, on_acquired, NULL);
  g_assert_cmpuint (n_done, ==, 0);
  g_assert_true (mp_lock_get_locked (lock));
  iterate_until (&n_done, 1);
  g_assert_cmpuint (mp_lock_get_holder_pid (lock), ==, (guint) getpid ());
  mp_lock_acquire_async (lock, NULL, on_acquired, NULL);
  mp_lock_acquire_async (lock, NULL, on_acquired, NULL);
  g_assert_cmpuint (mp_lock_get_n_waiters (lock), ==, 2);
  g_assert_true (mp_lock_release (lock, NULL));
  iterate_until (&n_done, 2);
  g_assert_cmpuint (mp_lock_get_n_waiters (lock), ==, 1);
  g_assert_true (mp_lock_release (lock, NULL));
  iterate_until (&n_done, 3);
  g_assert_true (mp_lock_release (lock, NULL));
  g_assert_cmpuint (mp_lock_get_n_waiters (lock), ==, 0);
  teardown ();
}

static void
test_thread (void)
{
  g_autoptr (MpCondition) condition = NULL;

  g_test_summary ("The lock is held by the thread that fetched it");
  setup ();
  condition = mp_condition_new (lock, NULL);
  mp_lock_acquire_async (lock, NULL, on_acquired, NULL);
  g_assert_true (mp_lock_get_locked (lock));
  g_assert_cmpuint (mp_lock_get_holder_thread (lock), ==, 0);
  g_assert_false (mp_condition_notify_one (condition, NULL));
  iterate_until (&n_done, 1);
  g_assert_cmpuint (mp_lock_get_holder_thread (lock), ==, (guint) gettid ());
  g_assert_true (mp_condition_notify_one (condition, NULL));
  g_assert_true (mp_lock_release (lock, NULL));
  g_clear_object (&condition);
  teardown ();
}

static void
test_cancel (void)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();

  g_test_summary ("Cancelling counts until the lock is taken, and not later");
  setup ();
  g_cancellable_cancel (cancellable);
  mp_lock_acquire_async (lock, cancellable, on_acquired, NULL);
  iterate_until (&n_failed, 1);
  g_assert_error (last_error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_false (mp_lock_get_locked (lock));

  g_cancellable_reset (cancellable);
  g_assert_true (mp_lock_acquire (lock, 0, NULL, NULL));
  mp_lock_acquire_async (lock, cancellable, on_acquired, NULL);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (mp_lock_get_n_waiters (lock), ==, 1);
  g_cancellable_cancel (cancellable);
  iterate_until (&n_failed, 2);
  g_assert_error (last_error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpuint (mp_lock_get_n_waiters (lock), ==, 0);

  /* Taken by the thread that waits, but not yet told. */
  g_cancellable_reset (cancellable);
  mp_lock_acquire_async (lock, cancellable, on_acquired, NULL);
  g_assert_true (mp_lock_release (lock, NULL));
  wait_until_locked (TRUE);
  g_cancellable_cancel (cancellable);
  iterate_until (&n_done, 1);
  g_assert_cmpuint (n_failed, ==, 2);
  g_assert_true (mp_lock_release (lock, NULL));

  /* And at once. */
  g_cancellable_reset (cancellable);
  mp_lock_acquire_async (lock, cancellable, on_acquired, NULL);
  g_cancellable_cancel (cancellable);
  iterate_until (&n_done, 2);
  g_assert_true (mp_lock_release (lock, NULL));
  teardown ();
}

static void
ignore (GObject *source, GAsyncResult *result, gpointer user_data)
{
  n_done++;
}

static void
test_never_finished (void)
{
  g_test_summary ("What nobody fetches is given back");
  setup ();
  mp_lock_acquire_async (lock, NULL, ignore, NULL);
  iterate_until (&n_done, 1);
  wait_until_locked (FALSE);
  mp_lock_acquire_async (lock, NULL, NULL, NULL);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  wait_until_locked (FALSE);
  g_assert_true (mp_lock_acquire (lock, 0, NULL, NULL));
  mp_lock_acquire_async (lock, NULL, ignore, NULL);
  mp_lock_acquire_async (lock, NULL, ignore, NULL);
  g_assert_true (mp_lock_release (lock, NULL));
  iterate_until (&n_done, 3);
  wait_until_locked (FALSE);
  teardown ();
}

static int
hold (gpointer data)
{
  if (!mp_lock_acquire (lock, -1, NULL, NULL))
    return 1;
  atomic_store (&shared->ready, 1);
  while (atomic_load (&shared->ready) != 2)
    poll (NULL, 0, 1);
  return mp_lock_release (lock, NULL) ? 0 : 1;
}

static GPid
start_holder (void)
{
  GPid pid;

  atomic_store (&shared->ready, 0);
  pid = test_fork (hold, NULL);
  while (atomic_load (&shared->ready) != 1)
    g_thread_yield ();
  return pid;
}

static void
test_processes (void)
{
  GPid pid;

  g_test_summary ("Another process releases it, or is killed with it");
  setup ();
  pid = start_holder ();
  mp_lock_acquire_async (lock, NULL, on_acquired, NULL);
  atomic_store (&shared->ready, 2);
  iterate_until (&n_done, 1);
  g_assert_cmpint (test_join (pid), ==, 0);
  g_assert_cmpuint (n_died, ==, 0);
  g_assert_true (mp_lock_release (lock, NULL));

  pid = start_holder ();
  mp_lock_acquire_async (lock, NULL, on_acquired, NULL);
  test_kill (pid);
  iterate_until (&n_done, 2);
  g_assert_cmpuint (n_died, ==, 1);
  g_assert_true (mp_lock_get_abandoned (lock));
  g_assert_true (mp_lock_release (lock, NULL));
  teardown ();
}

static int
wait_asynchronously (gpointer data)
{
  guint before = n_done;

  mp_lock_acquire_async (lock, NULL, on_acquired, NULL);
  if (mp_lock_get_n_waiters (lock) != 2)
    return 1;
  atomic_store (&shared->ready, 1);
  iterate_until (&n_done, before + 1);
  return mp_lock_release (lock, NULL) ? 0 : 2;
}

static void
test_forked (void)
{
  GPid pid;

  g_test_summary ("A forked child waits for itself, and its parent still does");
  setup ();
  g_assert_true (mp_lock_acquire (lock, 0, NULL, NULL));
  mp_lock_acquire_async (lock, NULL, on_acquired, NULL);
  pid = test_fork (wait_asynchronously, NULL);
  while (atomic_load (&shared->ready) != 1)
    g_thread_yield ();
  g_assert_cmpuint (mp_lock_get_n_waiters (lock), ==, 2);
  release_at_once = TRUE;
  g_assert_true (mp_lock_release (lock, NULL));
  iterate_until (&n_done, 1);
  g_assert_cmpint (test_join (pid), ==, 0);
  g_assert_false (mp_lock_get_locked (lock));
  teardown ();
}

typedef struct
{
  MpLock *held;    /* by the parent */
  MpLock *taken;   /* for an operation whose result is on its way */
  MpLock *fetched; /* the same, and the result is in a task already */
  GCancellable *cancellable;
} Inherited;

/* Nothing of what the parent has begun ends here, and what it has remains its own. */
static int
turn_in_child (gpointer data)
{
  const Inherited *inherited = data;
  guint parent = (guint) getppid ();

  g_cancellable_cancel (inherited->cancellable);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  if (n_done != 0 || n_failed > 1 ||
      (n_failed == 1 && !g_error_matches (last_error, G_IO_ERROR, G_IO_ERROR_CANCELLED)))
    return 1;
  if (mp_lock_get_holder_pid (inherited->held) != parent ||
      mp_lock_get_holder_pid (inherited->taken) != parent ||
      mp_lock_get_holder_pid (inherited->fetched) != parent)
    return 2;
  if (mp_lock_get_n_waiters (inherited->held) != 2)
    return 3;
  /* One of its own that has to wait. */
  mp_lock_acquire_async (inherited->held, NULL, on_acquired, NULL);
  if (mp_lock_get_n_waiters (inherited->held) != 3)
    return 4;
  atomic_store (&shared->ready, 1);
  iterate_until (&n_done, 1);
  return mp_lock_release (inherited->held, NULL) ? 0 : 5;
}

static void
test_inherited (void)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (MpLock) taken = mp_lock_new (NULL);
  g_autoptr (MpLock) fetched = mp_lock_new (NULL);
  Inherited inherited;
  GPid pid;

  g_test_summary ("A forked child has nothing of what its parent waits for or was given");
  setup ();
  inherited = (Inherited){ lock, taken, fetched, cancellable };
  g_assert_true (mp_lock_acquire (lock, 0, NULL, NULL));
  g_assert_true (mp_lock_acquire (taken, 0, NULL, NULL));
  mp_lock_acquire_async (lock, NULL, on_acquired, NULL);
  mp_lock_acquire_async (lock, cancellable, on_acquired, NULL);
  mp_lock_acquire_async (taken, NULL, on_acquired, NULL);
  mp_lock_acquire_async (fetched, NULL, on_acquired, NULL);
  g_assert_true (mp_lock_release (taken, NULL));
  while (mp_lock_get_holder_thread (taken) != 0 || !mp_lock_get_locked (taken))
    g_thread_yield ();
  pid = test_fork (turn_in_child, &inherited);
  while (atomic_load (&shared->ready) != 1)
    {
      g_assert_cmpint (waitpid (pid, NULL, WNOHANG), ==, 0);
      g_thread_yield ();
    }
  /* All is as it was here. */
  iterate_until (&n_done, 2);
  g_cancellable_cancel (cancellable);
  iterate_until (&n_failed, 1);
  release_at_once = TRUE;
  g_assert_true (mp_lock_release (lock, NULL));
  iterate_until (&n_done, 3);
  g_assert_cmpint (test_join (pid), ==, 0);
  g_assert_cmpuint (mp_lock_get_holder_pid (taken), ==, (guint) getpid ());
  g_assert_cmpuint (mp_lock_get_holder_pid (fetched), ==, (guint) getpid ());
  teardown ();
}

static void
test_many_on_one (void)
{
  guint n_threads, n_fds;

  g_test_summary ("Thousands that wait for one lock share a thread");
  setup ();
  n_threads = count_threads_before ();
  n_fds = test_count_fds ();
  release_at_once = TRUE;
  g_assert_true (mp_lock_acquire (lock, 0, NULL, NULL));
  for (guint i = 0; i < N_MANY; i++)
    mp_lock_acquire_async (lock, NULL, on_acquired, NULL);
  g_assert_cmpuint (mp_lock_get_n_waiters (lock), ==, N_MANY);
  g_assert_cmpuint (count_threads (), <=, n_threads + 1);
  g_assert_cmpuint (test_count_fds (), ==, n_fds);
  g_assert_true (mp_lock_release (lock, NULL));
  iterate_until (&n_done, N_MANY);
  g_assert_cmpuint (mp_lock_get_n_waiters (lock), ==, 0);
  teardown ();
}

static void
test_many_locks (void)
{
  g_autoptr (GPtrArray) locks = g_ptr_array_new_with_free_func (g_object_unref);
  guint n_threads, n_fds;

  g_test_summary ("So do thousands that wait for locks of their own");
  setup ();
  n_threads = count_threads_before ();
  n_fds = test_count_fds ();
  release_at_once = TRUE;
  for (guint i = 0; i < N_MANY; i++)
    {
      g_ptr_array_add (locks, mp_lock_new (NULL));
      g_assert_true (mp_lock_acquire (locks->pdata[i], 0, NULL, NULL));
      mp_lock_acquire_async (locks->pdata[i], NULL, on_acquired, NULL);
    }
  g_assert_cmpuint (count_threads (), <=, n_threads + 1);
  g_assert_cmpuint (test_count_fds (), ==, n_fds);
  g_assert_cmpuint (mp_lock_get_n_waiters (locks->pdata[N_MANY / 2]), ==, 1);
  for (guint i = 0; i < N_MANY; i++)
    g_assert_true (mp_lock_release (locks->pdata[i], NULL));
  iterate_until (&n_done, N_MANY);
  teardown ();
}

static void
test_many_cancelled (void)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();

  g_test_summary ("Some cancelled, some not: nothing is lost");
  setup ();
  release_at_once = TRUE;
  g_assert_true (mp_lock_acquire (lock, 0, NULL, NULL));
  for (guint i = 0; i < 1000; i++)
    mp_lock_acquire_async (lock, i % 2 != 0 ? cancellable : NULL, on_acquired, NULL);
  g_assert_true (mp_lock_release (lock, NULL));
  iterate_until (&n_done, 1);
  g_cancellable_cancel (cancellable);
  while (n_done + n_failed < 1000)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (n_done, >=, 500);
  g_assert_false (mp_lock_get_locked (lock));
  g_assert_cmpuint (mp_lock_get_n_waiters (lock), ==, 0);
  teardown ();
}

static gpointer
acquire_in_thread (gpointer data)
{
  for (guint i = 0; i < 1000; i++)
    {
      g_assert_true (mp_lock_acquire (lock, -1, NULL, NULL));
      g_assert_true (mp_lock_release (lock, NULL));
    }
  return NULL;
}

static void
test_mixed (void)
{
  GThread *threads[3];

  g_test_summary ("Threads that sleep and operations that wait do not starve each other");
  setup ();
  release_at_once = TRUE;
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("acquire", acquire_in_thread, NULL);
  for (guint i = 0; i < 1000; i++)
    {
      mp_lock_acquire_async (lock, NULL, on_acquired, NULL);
      g_main_context_iteration (NULL, FALSE);
    }
  iterate_until (&n_done, 1000);
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  g_assert_false (mp_lock_get_locked (lock));
  teardown ();
}

/* Semaphores */

static void
on_unit (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_clear_error (&last_error);
  if (mp_semaphore_acquire_finish (MP_SEMAPHORE (source), result, &last_error))
    n_done++;
  else
    n_failed++;
}

static void
use_semaphore (MpSemaphoreFlags flags)
{
  MpSemaphore *semaphore = mp_semaphore_new (1, flags, NULL);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();

  setup ();
  mp_semaphore_acquire_async (semaphore, NULL, on_unit, NULL);
  mp_semaphore_acquire_async (semaphore, NULL, on_unit, NULL);
  mp_semaphore_acquire_async (semaphore, cancellable, on_unit, NULL);
  mp_semaphore_acquire_async (semaphore, NULL, ignore, NULL);
  iterate_until (&n_done, 1);
  g_assert_cmpuint (mp_semaphore_get_n_waiters (semaphore), ==, 3);
  g_cancellable_cancel (cancellable);
  iterate_until (&n_failed, 1);
  g_assert_true (mp_semaphore_release (semaphore, 1, NULL));
  iterate_until (&n_done, 2);
  g_assert_true (mp_semaphore_release (semaphore, 1, NULL));
  iterate_until (&n_done, 3);
  /* The last one is not fetched. */
  while (mp_semaphore_get_value (semaphore) != 1)
    g_main_context_iteration (NULL, FALSE);
  g_assert_cmpuint (mp_semaphore_get_n_waiters (semaphore), ==, 0);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_finalize_object (semaphore);
  teardown ();
}

static void
test_semaphore (void)
{
  g_test_summary ("Semaphores wait in the same way");
  use_semaphore (MP_SEMAPHORE_NONE);
  use_semaphore (MP_SEMAPHORE_BOUNDED);
  use_semaphore (MP_SEMAPHORE_RECOVER);
}

/* A lock in another arena than the one of this process. */
static MpLock *
new_lock_elsewhere (MpArena *arena)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = NULL;
  g_auto (MpBlock) block = MP_BLOCK_INIT;
  MpShareable *made;

  mp_block_new (&block, arena, MP_LOCK_KIND, sizeof (MpLockShared), &error);
  g_assert_no_error (error);
  handle = mp_block_to_handle (&block, "lock", 1, NULL, fd_list, &error);
  g_assert_no_error (error);
  made = mp_shareable_new_from_handle (handle, fd_list, &error);
  g_assert_no_error (error);
  return MP_LOCK (made);
}

static int
hold_until_killed (gpointer data)
{
  if (!mp_lock_try_acquire (data))
    return 1;
  atomic_store (&shared->ready, 1);
  for (;;)
    pause ();
}

/* As whoever uses the arena for asynchronous operations does. */
static gpointer
ring_often (gpointer data)
{
  g_autoptr (MpArena) arena = mp_arena_ref_default (NULL);
  _Atomic gboolean *stop = data;

  while (!atomic_load (stop))
    {
      mp_sync_ring (arena);
      g_usleep (G_USEC_PER_SEC / 1000);
    }
  return NULL;
}

static void
test_busy_neighbour (void)
{
  g_autoptr (MpArena) arena = mp_arena_new (NULL);
  g_autoptr (MpLock) other = new_lock_elsewhere (arena);
  _Atomic gboolean stop = FALSE;
  GThread *thread;
  gint64 begin;
  GPid pid;

  g_test_summary ("That a holder died is seen however much happens in other arenas");
  setup ();
  pid = test_fork (hold_until_killed, other);
  while (atomic_load (&shared->ready) == 0)
    g_thread_yield ();
  g_assert_true (mp_lock_try_acquire (lock));
  mp_lock_acquire_async (lock, NULL, on_acquired, NULL);
  mp_lock_acquire_async (other, NULL, on_acquired, NULL);
  thread = g_thread_new ("ring", ring_often, &stop);
  test_kill (pid);
  begin = g_get_monotonic_time ();
  iterate_until (&n_done, 1);
  g_assert_cmpint (g_get_monotonic_time () - begin, <, 2 * test_soon ());
  atomic_store (&stop, TRUE);
  g_thread_join (thread);
  g_assert_true (mp_lock_get_abandoned (other));
  g_assert_true (mp_lock_release (other, NULL));
  g_assert_true (mp_lock_release (lock, NULL));
  iterate_until (&n_done, 2);
  g_assert_true (mp_lock_release (lock, NULL));
  teardown ();
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/sync-async/use", test_use);
  g_test_add_func ("/mp/sync-async/thread", test_thread);
  g_test_add_func ("/mp/sync-async/cancel", test_cancel);
  g_test_add_func ("/mp/sync-async/never-finished", test_never_finished);
  g_test_add_func ("/mp/sync-async/processes", test_processes);
  g_test_add_func ("/mp/sync-async/forked", test_forked);
  g_test_add_func ("/mp/sync-async/inherited", test_inherited);
  g_test_add_func ("/mp/sync-async/many-on-one", test_many_on_one);
  g_test_add_func ("/mp/sync-async/many-locks", test_many_locks);
  g_test_add_func ("/mp/sync-async/many-cancelled", test_many_cancelled);
  g_test_add_func ("/mp/sync-async/mixed", test_mixed);
  g_test_add_func ("/mp/sync-async/semaphore", test_semaphore);
  g_test_add_func ("/mp/sync-async/busy-neighbour", test_busy_neighbour);
  return g_test_run ();
}
