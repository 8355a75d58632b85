/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "libmp.h"
#include "base/mp-clock-private.h"
#include "sync/mp-lock-word-private.h"
#include "test-util.h"

#define N_ROUNDS 20000
#define N_MANY 10000

/* In memory that children share. */
typedef struct
{
  _Atomic int ready;
  /* Not atomic: protected by the lock. */
  guint64 first;
  guint64 second;
} Shared;

static MpLock *lock;
static Shared *shared;
static guint n_died;

static void
on_holder_died (MpLock *self, gpointer user_data)
{
  g_assert_true (self == lock);
  g_assert_true (mp_lock_get_abandoned (self));
  n_died++;
}

static void
setup (void)
{
  g_autoptr (GError) error = NULL;

  lock = mp_lock_new (&error);
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

  while (mp_lock_get_n_waiters (lock) != n)
    {
      g_assert_cmpint (g_get_monotonic_time (), <, end);
      g_thread_yield ();
    }
}

static int
hold (gpointer data)
{
  if (!mp_lock_acquire (lock, -1, NULL, NULL))
    return 1;
  atomic_store (&shared->ready, 1);
  while (pause () < 0)
    ;
  return 0;
}

static GPid
start_holder (void)
{
  GPid pid = test_fork (hold, NULL);

  wait_until_ready (1);
  return pid;
}

static void
test_use (void)
{
  g_autoptr (GError) error = NULL;
  guint pid, thread, n_waiters;
  gboolean locked, abandoned;

  g_test_summary ("Acquired, it is locked, and says by whom; it is released once");
  setup ();
  g_assert_false (mp_lock_get_locked (lock));
  g_assert_cmpuint (mp_lock_get_holder_pid (lock), ==, 0);
  g_assert_true (mp_lock_acquire (lock, -1, NULL, &error));
  g_assert_no_error (error);
  g_object_get (lock,
                "locked",
                &locked,
                "abandoned",
                &abandoned,
                "holder-pid",
                &pid,
                "holder-thread",
                &thread,
                "n-waiters",
                &n_waiters,
                NULL);
  g_assert_true (locked);
  g_assert_false (abandoned);
  g_assert_cmpuint (pid, ==, (guint) getpid ());
  g_assert_cmpuint (thread, ==, (guint) syscall (SYS_gettid));
  g_assert_cmpuint (n_waiters, ==, 0);
  g_assert_false (mp_lock_try_acquire (lock));
  g_assert_true (mp_lock_release (lock, &error));
  g_assert_no_error (error);
  g_assert_false (mp_lock_get_locked (lock));
  g_assert_cmpuint (mp_lock_get_holder_thread (lock), ==, 0);
  g_assert_false (mp_lock_release (lock, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_OWNER);
  g_assert_true (mp_lock_try_acquire (lock));
  g_assert_true (mp_lock_release (lock, NULL));
  g_assert_cmpint (mp_lock_acquire_interruptible (lock, 0), ==, MP_WAIT_RESULT_DONE);
  g_assert_cmpint (mp_lock_acquire_interruptible (lock, 0), ==, MP_WAIT_RESULT_TIMED_OUT);
  g_assert_cmpint (mp_lock_acquire_interruptible (lock, 1000), ==, MP_WAIT_RESULT_TIMED_OUT);
  g_assert_true (mp_lock_release (lock, NULL));
  g_assert_cmpuint (n_died, ==, 0);
  teardown ();
}

static void
assert_times_out (gint64 timeout_us)
{
  g_autoptr (GError) error = NULL;
  gint64 start = g_get_monotonic_time (), took;

  g_assert_false (mp_lock_acquire (lock, timeout_us, NULL, &error));
  took = g_get_monotonic_time () - start;
  g_assert_error (error, MP_ERROR, MP_ERROR_TIMED_OUT);
  g_assert_cmpint (took, >=, timeout_us);
  g_assert_cmpint (took, <, timeout_us + test_soon ());
}

static void
test_timeout (void)
{
  g_test_summary ("A wait ends in time, and nothing has happened");
  setup ();
  g_assert_true (mp_lock_acquire (lock, 0, NULL, NULL));
  assert_times_out (0);
  assert_times_out (1000);
  assert_times_out (130 * 1000);
  g_assert_true (mp_lock_release (lock, NULL));
  g_assert_true (mp_lock_acquire (lock, 0, NULL, NULL));
  g_assert_true (mp_lock_release (lock, NULL));
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

  g_test_summary ("Cancelled before or during the wait, nothing is acquired");
  setup ();
  g_assert_true (mp_lock_acquire (lock, -1, cancellable, NULL));
  thread = g_thread_new ("cancel", cancel_when_asleep, cancellable);
  g_assert_false (mp_lock_acquire (lock, -1, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_thread_join (thread);
  g_clear_error (&error);
  g_assert_true (mp_lock_release (lock, NULL));
  g_assert_false (mp_lock_acquire (lock, -1, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_false (mp_lock_get_locked (lock));
  g_assert_cmpuint (mp_lock_get_n_waiters (lock), ==, 0);
  teardown ();
}

static int
count (gpointer data)
{
  for (int i = 0; i < N_ROUNDS; i++)
    {
      if (!mp_lock_acquire (lock, -1, NULL, NULL))
        return 1;
      shared->first++;
      shared->second++;
      if (!mp_lock_release (lock, NULL))
        return 2;
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
  g_assert_false (mp_lock_get_locked (lock));
  teardown ();
}

static void
assert_abandoned_once (guint n)
{
  g_assert_true (mp_lock_get_abandoned (lock));
  g_assert_cmpuint (mp_lock_get_holder_pid (lock), ==, (guint) getpid ());
  g_assert_cmpuint (n_died, ==, n);
  g_assert_true (mp_lock_release (lock, NULL));
  g_assert_false (mp_lock_get_abandoned (lock));
  g_assert_true (mp_lock_acquire (lock, 0, NULL, NULL));
  g_assert_false (mp_lock_get_abandoned (lock));
  g_assert_cmpuint (n_died, ==, n);
  g_assert_true (mp_lock_release (lock, NULL));
}

static gpointer
kill_when_asleep (gpointer data)
{
  wait_for_waiters (1);
  test_kill (GPOINTER_TO_INT (data));
  return NULL;
}

static void
test_died (void)
{
  GThread *thread;
  gint64 start;
  GPid pid;

  g_test_summary ("A killed holder leaves it to the next, who is told");
  setup ();
  test_kill (start_holder ());
  g_assert_true (mp_lock_try_acquire (lock));
  assert_abandoned_once (1);

  atomic_store (&shared->ready, 0);
  test_kill (start_holder ());
  g_assert_true (mp_lock_acquire (lock, 0, NULL, NULL));
  assert_abandoned_once (2);

  atomic_store (&shared->ready, 0);
  pid = start_holder ();
  g_assert_false (mp_lock_try_acquire (lock));
  thread = g_thread_new ("kill", kill_when_asleep, GINT_TO_POINTER (pid));
  start = g_get_monotonic_time ();
  g_assert_true (mp_lock_acquire (lock, -1, NULL, NULL));
  g_assert_cmpint (g_get_monotonic_time () - start, <, 2 * test_soon ());
  g_thread_join (thread);
  assert_abandoned_once (3);
  teardown ();
}

static int
die_with_inherited (gpointer data)
{
  if (!mp_lock_acquire (lock, -1, NULL, NULL) || !mp_lock_get_abandoned (lock))
    return 1;
  atomic_store (&shared->ready, 2);
  while (pause () < 0)
    ;
  return 0;
}

static void
test_died_twice (void)
{
  GPid holder, next;

  g_test_summary ("Whoever gets it from a dead holder may die with it, too");
  setup ();
  holder = start_holder ();
  next = test_fork (die_with_inherited, NULL);
  wait_for_waiters (1);
  test_kill (holder);
  wait_until_ready (2);
  g_assert_true (mp_lock_get_abandoned (lock));
  g_assert_cmpuint (mp_lock_get_holder_pid (lock), ==, (guint) next);
  test_kill (next);
  g_assert_true (mp_lock_acquire (lock, -1, NULL, NULL));
  assert_abandoned_once (1);
  teardown ();
}

static void
test_stopped (void)
{
  GPid pid;

  g_test_summary ("A stopped holder costs the others no more than their timeout");
  setup ();
  pid = start_holder ();
  g_assert_no_errno (kill (pid, SIGSTOP));
  test_wait_state (pid, 'T');
  g_assert_false (mp_lock_try_acquire (lock));
  assert_times_out (200 * 1000);
  assert_times_out (10 * 1000);
  test_kill (pid);
  g_assert_true (mp_lock_acquire (lock, -1, NULL, NULL));
  assert_abandoned_once (1);
  teardown ();
}

static int
release_and_hold_no_more (gpointer data)
{
  return mp_lock_release (lock, NULL) ? 0 : 1;
}

static gpointer
release_in_thread (gpointer data)
{
  return GINT_TO_POINTER (mp_lock_release (lock, NULL));
}

static void
test_released_by_others (void)
{
  GPid holder;

  g_test_summary ("Any thread and any process may release it");
  setup ();
  g_assert_true (mp_lock_acquire (lock, 0, NULL, NULL));
  g_assert_true (
    GPOINTER_TO_INT (g_thread_join (g_thread_new ("release", release_in_thread, NULL))));
  g_assert_true (mp_lock_acquire (lock, 0, NULL, NULL));
  g_assert_cmpint (test_join (test_fork (release_and_hold_no_more, NULL)), ==, 0);
  g_assert_false (mp_lock_get_locked (lock));

  /* Handed over: that who acquired it dies is no matter then. */
  holder = start_holder ();
  g_assert_cmpuint (mp_lock_get_holder_pid (lock), ==, (guint) holder);
  g_assert_true (mp_lock_release (lock, NULL));
  test_kill (holder);
  g_assert_true (mp_lock_acquire (lock, 0, NULL, NULL));
  g_assert_false (mp_lock_get_abandoned (lock));
  g_assert_true (mp_lock_release (lock, NULL));
  teardown ();
}

static int
look_from_child (gpointer data)
{
  if (mp_lock_get_holder_pid (lock) != (guint) getppid () || mp_lock_try_acquire (lock))
    return 1;
  atomic_store (&shared->ready, 1);
  /* Its parent lives, and so its word is never taken for ours. */
  if (!mp_lock_acquire (lock, -1, NULL, NULL) || mp_lock_get_abandoned (lock))
    return 2;
  return mp_lock_get_holder_pid (lock) == (guint) getpid () && mp_lock_release (lock, NULL) ? 0 : 3;
}

static void
test_fork_child (void)
{
  GPid pid;

  g_test_summary ("A forked child does not hold what its parent holds");
  setup ();
  g_assert_true (mp_lock_acquire (lock, 0, NULL, NULL));
  pid = test_fork (look_from_child, NULL);
  wait_until_ready (1);
  wait_for_waiters (1);
  g_assert_true (mp_lock_release (lock, NULL));
  g_assert_cmpint (test_join (pid), ==, 0);
  teardown ();
}

static void
test_handle (void)
{
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = NULL;
  g_autoptr (MpShareable) other = NULL, wrong = NULL;
  g_autoptr (MpRLock) rlock = NULL;
  g_autoptr (GVariant) wrong_handle = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("What comes out of a handle is the same lock");
  setup ();
  handle = mp_shareable_to_handle (MP_SHAREABLE (lock), fd_list, &error);
  g_assert_no_error (error);
  other = mp_shareable_new_from_handle (handle, fd_list, &error);
  g_assert_no_error (error);
  g_assert_true (MP_IS_LOCK (other));
  g_assert_true (mp_lock_acquire (lock, 0, NULL, NULL));
  g_assert_false (mp_lock_try_acquire (MP_LOCK (other)));
  g_assert_true (mp_lock_release (MP_LOCK (other), NULL));
  g_assert_false (mp_lock_get_locked (lock));

  rlock = mp_rlock_new (NULL);
  wrong_handle = mp_shareable_to_handle (MP_SHAREABLE (rlock), fd_list, NULL);
  {
    g_autoptr (GVariant) layout = g_variant_get_child_value (wrong_handle, 2);
    g_autoptr (GVariant) fds = g_variant_get_child_value (wrong_handle, 3);
    guint32 version = 0;

    g_variant_get_child (wrong_handle, 1, "u", &version);
    wrong =
      mp_shareable_new_from_handle (g_variant_new ("(su@a{sv}@ah)", "lock", version, layout, fds),
                                    fd_list,
                                    &error);
  }
  g_assert_null (wrong);
  g_assert_nonnull (error);
  teardown ();
}

static void
on_signal (int number)
{
}

static int
wait_interrupted (gpointer data)
{
  struct sigaction action = { .sa_handler = on_signal };

  sigaction (SIGUSR1, &action, NULL);
  atomic_store (&shared->ready, 1);
  return mp_lock_acquire_interruptible (lock, -1) == MP_WAIT_RESULT_INTERRUPTED ? 0 : 1;
}

static int
wait_uninterrupted (gpointer data)
{
  struct sigaction action = { .sa_handler = on_signal };

  sigaction (SIGUSR1, &action, NULL);
  atomic_store (&shared->ready, 2);
  return mp_lock_acquire (lock, -1, NULL, NULL) && mp_lock_release (lock, NULL) ? 0 : 1;
}

static void
test_interrupted (void)
{
  GPid pid;

  g_test_summary ("A signal handler ends an interruptible wait, and no other");
  setup ();
  g_assert_true (mp_lock_acquire (lock, 0, NULL, NULL));
  pid = test_fork (wait_interrupted, NULL);
  wait_until_ready (1);
  wait_for_waiters (1);
  test_wait_state (pid, 'S');
  g_assert_no_errno (kill (pid, SIGUSR1));
  g_assert_cmpint (test_join (pid), ==, 0);
  pid = test_fork (wait_uninterrupted, NULL);
  wait_until_ready (2);
  wait_for_waiters (1);
  test_wait_state (pid, 'S');
  g_assert_no_errno (kill (pid, SIGUSR1));
  g_assert_true (mp_lock_release (lock, NULL));
  g_assert_cmpint (test_join (pid), ==, 0);
  teardown ();
}

static int
wait_and_release (gpointer data)
{
  return mp_lock_acquire (lock, -1, NULL, NULL) && mp_lock_release (lock, NULL) ? 0 : 1;
}

static void
test_waiters (void)
{
  GPid pids[3];

  g_test_summary ("Live sleepers are counted; killed ones neither count nor take a wake away");
  setup ();
  g_assert_true (mp_lock_acquire (lock, 0, NULL, NULL));
  for (gsize i = 0; i < G_N_ELEMENTS (pids); i++)
    pids[i] = test_fork (wait_and_release, NULL);
  wait_for_waiters (3);
  test_kill (pids[1]);
  wait_for_waiters (2);
  g_assert_true (mp_lock_release (lock, NULL));
  g_assert_cmpint (test_join (pids[0]), ==, 0);
  g_assert_cmpint (test_join (pids[2]), ==, 0);
  g_assert_cmpuint (mp_lock_get_n_waiters (lock), ==, 0);
  teardown ();
}

static void
test_many (void)
{
  g_autoptr (GPtrArray) locks = g_ptr_array_new_with_free_func (g_object_unref);
  guint n_fds;

  g_test_summary ("Thousands of locks need no more descriptors than one");
  setup ();
  n_fds = test_count_fds ();
  for (guint i = 0; i < N_MANY; i++)
    {
      g_autoptr (GError) error = NULL;

      g_ptr_array_add (locks, mp_lock_new (&error));
      g_assert_no_error (error);
      g_assert_true (mp_lock_acquire (locks->pdata[i], 0, NULL, NULL));
    }
  for (guint i = 0; i < N_MANY; i++)
    g_assert_true (mp_lock_release (locks->pdata[i], NULL));
  g_assert_cmpuint (test_count_fds (), ==, n_fds);
  teardown ();
}

static void
test_hostile (void)
{
  const uint32_t words[] = { MP_LOCK_WORD_ABANDONED,
                             MP_LOCK_WORD_WAITERS,
                             MP_LOCK_WORD_ABANDONED | MP_LOCK_WORD_WAITERS,
                             1,
                             0x0fff,
                             0x1000,
                             0x3fffffff,
                             0xffffffff,
                             0x7fffffff,
                             0x12345678 };
  MpLockSite site = { .shared = NULL };

  g_test_summary ("Whatever stands in the word, nobody hangs, and it is soon a lock again");
  setup ();
  g_assert_true (mp_lock_site_init (&site, MP_BLOCK_KIND ('t', 'e', 's', 't'), NULL));
  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    {
      atomic_store (&site.shared->word, words[i]);
      g_assert_cmpint (mp_lock_site_acquire_slow (&site, mp_deadline_new (-1), NULL, FALSE),
                       ==,
                       MP_WAIT_RESULT_DONE);
      g_assert_true (mp_lock_site_release (&site));
      atomic_store (&site.shared->word, words[i]);
      mp_lock_site_get_holder_pid (&site);
      mp_lock_site_release (&site);
      g_assert_true (mp_lock_site_try (&site));
      g_assert_true (mp_lock_site_release (&site));
      g_assert_false (mp_lock_site_release (&site));
    }
  mp_lock_site_clear (&site);
  teardown ();
}

static gpointer
hold_rlock (gpointer data)
{
  return GINT_TO_POINTER (mp_rlock_try_acquire (data));
}

static void
test_turns (void)
{
  g_autoptr (MpLock) held = mp_lock_new (NULL);
  g_autoptr (MpRLock) mine = mp_rlock_new (NULL);
  g_autoptr (MpSemaphore) counted = mp_semaphore_new (0, MP_SEMAPHORE_NONE, NULL);
  g_autoptr (MpSemaphore) listed = mp_semaphore_new (0, MP_SEMAPHORE_RECOVER, NULL);
  gint64 start = g_get_monotonic_time ();

  g_test_summary ("Who waits and may miss a signal returns twice a second");
  g_assert_true (mp_lock_try_acquire (held));
  g_assert_nonnull (g_thread_join (g_thread_new ("hold", hold_rlock, mine)));
  for (int i = 1; i <= 2; i++)
    {
      g_assert_cmpint (mp_lock_acquire_interruptible (held, -1), ==, MP_WAIT_RESULT_INTERRUPTED);
      g_assert_cmpint (mp_rlock_acquire_interruptible (mine, -1), ==, MP_WAIT_RESULT_INTERRUPTED);
      g_assert_cmpint (mp_semaphore_acquire_interruptible (counted, 20 * G_USEC_PER_SEC),
                       ==,
                       MP_WAIT_RESULT_INTERRUPTED);
      g_assert_cmpint (mp_semaphore_acquire_interruptible (listed, -1),
                       ==,
                       MP_WAIT_RESULT_INTERRUPTED);
      g_assert_cmpint (g_get_monotonic_time () - start, <, i * (2 * G_USEC_PER_SEC + test_soon ()));
    }
  g_assert_cmpint (mp_lock_acquire_interruptible (held, 1000), ==, MP_WAIT_RESULT_TIMED_OUT);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/lock/use", test_use);
  g_test_add_func ("/mp/lock/timeout", test_timeout);
  g_test_add_func ("/mp/lock/exclusion", test_exclusion);
  g_test_add_func ("/mp/lock/died", test_died);
  g_test_add_func ("/mp/lock/died-twice", test_died_twice);
  g_test_add_func ("/mp/lock/stopped", test_stopped);
  g_test_add_func ("/mp/lock/released-by-others", test_released_by_others);
  g_test_add_func ("/mp/lock/fork", test_fork_child);
  g_test_add_func ("/mp/lock/handle", test_handle);
  g_test_add_func ("/mp/lock/interrupted", test_interrupted);
  g_test_add_func ("/mp/lock/waiters", test_waiters);
  g_test_add_func ("/mp/lock/many", test_many);
  g_test_add_func ("/mp/lock/hostile", test_hostile);
  g_test_add_func ("/mp/lock/cancel", test_cancel);
  g_test_add_func ("/mp/lock/turns", test_turns);
  return g_test_run ();
}
