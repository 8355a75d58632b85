/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "libmp.h"
#include "base/mp-clock-private.h"
#include "base/mp-futex-private.h"
#include "base/mp-micro-lock-private.h"
#include "test-util.h"

#define N_ROUNDS 100000
#define N_KILLS 200

/* In memory that children share. */
typedef struct
{
  MpMicroLock lock;
  _Atomic uint32_t held;
  _Atomic uint32_t n_recovered;
  _Atomic uint32_t n_wrong;
  /* Not atomic: protected by the lock. */
  guint64 first;
  guint64 second;
} Shared;

static Shared *
shared_new (void)
{
  Shared *shared =
    mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

  g_assert_true (shared != MAP_FAILED);
  return shared;
}

static void
shared_free (Shared *shared)
{
  munmap (shared, sizeof *shared);
}

static int
count (gpointer data)
{
  Shared *shared = data;

  for (int i = 0; i < N_ROUNDS; i++)
    {
      if (mp_micro_lock_acquire (&shared->lock, -1) != MP_MICRO_LOCK_ACQUIRED)
        return 1;
      shared->first++;
      shared->second++;
      mp_micro_lock_release (&shared->lock);
    }
  return 0;
}

static void
test_exclusion (void)
{
  Shared *shared = shared_new ();
  GPid pids[4];

  g_test_summary ("Four processes never hold it at once");
  for (gsize i = 0; i < G_N_ELEMENTS (pids); i++)
    pids[i] = test_fork (count, shared);
  for (gsize i = 0; i < G_N_ELEMENTS (pids); i++)
    g_assert_cmpint (test_join (pids[i]), ==, 0);
  g_assert_cmpuint (shared->first, ==, G_N_ELEMENTS (pids) * N_ROUNDS);
  g_assert_cmpuint (shared->second, ==, shared->first);
  g_assert_cmpuint (atomic_load (&shared->lock), ==, 0);
  shared_free (shared);
}

static gpointer
count_in_thread (gpointer data)
{
  return GINT_TO_POINTER (count (data));
}

static void
test_threads (void)
{
  Shared *shared = shared_new ();
  GThread *threads[3];

  g_test_summary ("Nor do threads");
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("count", count_in_thread, shared);
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    g_assert_null (g_thread_join (threads[i]));
  g_assert_cmpuint (shared->first, ==, G_N_ELEMENTS (threads) * N_ROUNDS);
  shared_free (shared);
}

static int
hold (gpointer data)
{
  Shared *shared = data;

  mp_micro_lock_acquire (&shared->lock, -1);
  atomic_store (&shared->held, 1);
  mp_futex_wake (&shared->held, 1, TRUE);
  while (pause () < 0)
    ;
  return 0;
}

/* A child that has the lock. */
static GPid
start_holder (Shared *shared)
{
  GPid pid;

  atomic_store (&shared->held, 0);
  pid = test_fork (hold, shared);
  while (atomic_load (&shared->held) == 0)
    mp_futex_wait (&shared->held, 0, g_get_monotonic_time () + G_USEC_PER_SEC, TRUE);
  return pid;
}

static void
test_died (void)
{
  Shared *shared = shared_new ();
  GPid pid = start_holder (shared);

  g_test_summary ("A killed holder leaves it to the next, who learns of it once");
  test_kill (pid);
  g_assert_cmpint (mp_micro_lock_acquire (&shared->lock, 0), ==, MP_MICRO_LOCK_OWNER_DIED);
  mp_micro_lock_release (&shared->lock);
  g_assert_cmpint (mp_micro_lock_acquire (&shared->lock, 0), ==, MP_MICRO_LOCK_ACQUIRED);
  mp_micro_lock_release (&shared->lock);
  shared_free (shared);
}

static gpointer
hold_in_thread (gpointer data)
{
  Shared *shared = data;

  return GINT_TO_POINTER (mp_micro_lock_acquire (&shared->lock, -1));
}

static void
test_thread_ended (void)
{
  Shared *shared = shared_new ();
  GThread *thread = g_thread_new ("hold", hold_in_thread, shared);

  g_test_summary ("The end of a thread counts as its death");
  g_assert_cmpint (GPOINTER_TO_INT (g_thread_join (thread)), ==, MP_MICRO_LOCK_ACQUIRED);
  /* The kernel does it when the thread is really gone, just after the join. */
  g_assert_cmpint (mp_micro_lock_acquire (&shared->lock, -1), ==, MP_MICRO_LOCK_OWNER_DIED);
  mp_micro_lock_release (&shared->lock);
  shared_free (shared);
}

static int
wait_for_lock (gpointer data)
{
  Shared *shared = data;

  return mp_micro_lock_acquire (&shared->lock, -1) == MP_MICRO_LOCK_OWNER_DIED ? 7 : 8;
}

static void
test_died_with_waiters (void)
{
  Shared *shared = shared_new ();
  GPid holder = start_holder (shared), waiter = test_fork (wait_for_lock, shared);

  g_test_summary ("A killed holder wakes a sleeper, who dies in turn with the lock");
  test_wait_state (waiter, 'S');
  test_kill (holder);
  g_assert_cmpint (test_join (waiter), ==, 7);
  g_assert_cmpint (mp_micro_lock_acquire (&shared->lock, 0), ==, MP_MICRO_LOCK_OWNER_DIED);
  mp_micro_lock_release (&shared->lock);
  shared_free (shared);
}

static void
test_timeout (void)
{
  Shared *shared = shared_new ();
  GPid pid = start_holder (shared);
  gint64 start = g_get_monotonic_time (), end;

  g_test_summary ("A stopped holder costs the others no more than their timeout");
  g_assert_no_errno (kill (pid, SIGSTOP));
  test_wait_state (pid, 'T');
  g_assert_cmpint (mp_micro_lock_acquire (&shared->lock, 0), ==, MP_MICRO_LOCK_TIMED_OUT);
  g_assert_cmpint (mp_micro_lock_acquire (&shared->lock, mp_deadline_new (200 * 1000)),
                   ==,
                   MP_MICRO_LOCK_TIMED_OUT);
  end = g_get_monotonic_time ();
  g_assert_cmpint (end - start, >=, 200 * 1000);
  test_kill (pid);
  g_assert_cmpint (mp_micro_lock_acquire (&shared->lock, 0), ==, MP_MICRO_LOCK_OWNER_DIED);
  mp_micro_lock_release (&shared->lock);
  shared_free (shared);
}

static void
on_signal (int number)
{
}

static int
wait_interrupted (gpointer data)
{
  struct sigaction action = { .sa_handler = on_signal };
  Shared *shared = data;

  sigaction (SIGUSR1, &action, NULL);
  atomic_store (&shared->held, 2);
  return mp_micro_lock_acquire (&shared->lock, -1) == MP_MICRO_LOCK_INTERRUPTED ? 0 : 1;
}

static void
test_interrupted (void)
{
  Shared *shared = shared_new ();
  GPid holder = start_holder (shared), waiter = test_fork (wait_interrupted, shared), ended;
  int status = 0;

  g_test_summary ("A signal handler ends the wait");
  while (atomic_load (&shared->held) != 2)
    g_thread_yield ();
  test_wait_state (waiter, 'S');
  /* One that comes while it looks around, between two sleeps, ends none. */
  do
    {
      g_assert_no_errno (kill (waiter, SIGUSR1));
      g_thread_yield ();
    }
  while ((ended = waitpid (waiter, &status, WNOHANG)) == 0);
  g_assert_cmpint (ended, ==, waiter);
  g_assert_true (WIFEXITED (status) && WEXITSTATUS (status) == 0);
  test_kill (holder);
  shared_free (shared);
}

/* Keeps two numbers equal, and repairs them after whoever did not get so far. */
static int
keep_equal (gpointer data)
{
  Shared *shared = data;

  /* Until it is killed. */
  while (atomic_load_explicit (&shared->n_wrong, memory_order_relaxed) < 1000)
    {
      MpMicroLockResult result = mp_micro_lock_acquire (&shared->lock, -1);

      if (result == MP_MICRO_LOCK_OWNER_DIED)
        {
          atomic_fetch_add (&shared->n_recovered, 1);
          shared->second = shared->first;
        }
      else if (shared->first != shared->second)
        atomic_fetch_add (&shared->n_wrong, 1);
      shared->first++;
      atomic_signal_fence (memory_order_seq_cst);
      shared->second++;
      mp_micro_lock_release (&shared->lock);
    }
  return 0;
}

static void
test_chaos (void)
{
  Shared *shared = shared_new ();
  GPid pids[3];

  g_test_summary ("Killed at any instant, nobody finds it broken without being told");
  for (gsize i = 0; i < G_N_ELEMENTS (pids); i++)
    pids[i] = test_fork (keep_equal, shared);
  for (int i = 0; i < N_KILLS; i++)
    {
      guint which = (guint) g_test_rand_int_range (0, G_N_ELEMENTS (pids));
      guint64 before = *(volatile guint64 *) &shared->first;

      while (*(volatile guint64 *) &shared->first == before)
        g_thread_yield ();
      test_kill (pids[which]);
      pids[which] = test_fork (keep_equal, shared);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (pids); i++)
    test_kill (pids[i]);
  g_test_message ("%" G_GUINT64_FORMAT " times held, %u times the holder had died",
                  shared->first,
                  atomic_load (&shared->n_recovered));
  g_assert_cmpuint (atomic_load (&shared->n_wrong), ==, 0);
  shared_free (shared);
}

/* As under an emulator that has no robust futexes. */
static void
forbid_robust_futexes (void)
{
  struct sock_filter instructions[] = {
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr)),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, SYS_get_robust_list, 1, 0),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, SYS_set_robust_list, 0, 1),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = { .len = G_N_ELEMENTS (instructions), .filter = instructions };

  g_assert_no_errno (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  g_assert_no_errno (prctl (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

static void
test_unsupported (void)
{
  g_autoptr (GError) error = NULL;

  g_test_summary ("Without robust futexes there is an error, and nothing is made");
  if (g_test_subprocess ())
    {
      forbid_robust_futexes ();
      g_assert_null (mp_queue_new (0, 0, &error));
      g_assert_error (error, MP_ERROR, MP_ERROR_NOT_SUPPORTED);
      g_clear_error (&error);
      g_assert_null (mp_lock_new (&error));
      g_assert_error (error, MP_ERROR, MP_ERROR_NOT_SUPPORTED);
      g_clear_error (&error);
      g_assert_null (mp_shareable_list_new (g_variant_new_parsed ("[<1>]"), &error));
      g_assert_error (error, MP_ERROR, MP_ERROR_NOT_SUPPORTED);
      return;
    }
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_test_trap_assert_passed ();
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/micro-lock/exclusion", test_exclusion);
  g_test_add_func ("/mp/micro-lock/died", test_died);
  g_test_add_func ("/mp/micro-lock/died-with-waiters", test_died_with_waiters);
  g_test_add_func ("/mp/micro-lock/timeout", test_timeout);
  g_test_add_func ("/mp/micro-lock/interrupted", test_interrupted);
  g_test_add_func ("/mp/micro-lock/chaos", test_chaos);
  g_test_add_func ("/mp/micro-lock/threads", test_threads);
  g_test_add_func ("/mp/micro-lock/thread-ended", test_thread_ended);
  g_test_add_func ("/mp/micro-lock/unsupported", test_unsupported);
  return g_test_run ();
}
