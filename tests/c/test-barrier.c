/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "libmp.h"
#include "test-util.h"

#define N_PARTIES 5
#define N_CYCLES 2000
#define HANG_US (20 * G_USEC_PER_SEC)
/* How soon a death has to be known. */
#define DEATH_US (2 * test_soon ())

/* In memory that children share. */
typedef struct
{
  _Atomic guint n_arrived[N_CYCLES];
  _Atomic guint indexes[N_CYCLES]; /* one bit for each */
  _Atomic guint n_actions;
  _Atomic guint n_wrong;
  _Atomic guint step;
} Shared;

/* What a child is to do. */
typedef struct
{
  MpBarrier *barrier;
  Shared *shared;
  gint64 timeout;
  gboolean act;
} Job;

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

static MpBarrier *
barrier_new (guint parties)
{
  g_autoptr (GError) error = NULL;
  MpBarrier *barrier = mp_barrier_new (parties, &error);

  g_assert_no_error (error);
  return barrier;
}

/* Waits until so many have come. */
static void
wait_n_waiting (MpBarrier *barrier, guint n)
{
  gint64 end = g_get_monotonic_time () + HANG_US;

  while (mp_barrier_get_n_waiting (barrier) != n)
    {
      g_assert_cmpint (g_get_monotonic_time (), <, end);
      g_thread_yield ();
    }
}

/* 0 to 9: passed with that index; then how it failed. */
enum
{
  BROKEN = 20,
  CANCELLED,
  CALLBACK_FAILED,
  OTHER
};

static int
wait_once (MpBarrier *barrier, gint64 timeout, GCancellable *cancellable)
{
  g_autoptr (GError) error = NULL;
  guint index = 99;

  if (mp_barrier_wait (barrier, timeout, cancellable, &index, &error))
    return (int) index;
  if (g_error_matches (error, MP_ERROR, MP_ERROR_BROKEN_BARRIER))
    return BROKEN;
  if (g_error_matches (error, MP_ERROR, MP_ERROR_CALLBACK_FAILED))
    return CALLBACK_FAILED;
  return g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED) ? CANCELLED : OTHER;
}

static int
wait_in_child (gpointer data)
{
  const Job *job = data;

  return wait_once (job->barrier, job->timeout, NULL);
}

/* A child that has come. */
static GPid
start_waiter (const Job *job)
{
  guint n = mp_barrier_get_n_waiting (job->barrier);
  GPid pid = test_fork (wait_in_child, (gpointer) job);

  wait_n_waiting (job->barrier, n + 1);
  test_wait_state (pid, 'S');
  return pid;
}

static void
test_one (void)
{
  guint n_fds;
  g_autoptr (MpBarrier) barrier = barrier_new (1);
  g_autoptr (GError) error = NULL;

  g_test_summary ("One party does not wait; what is no number of parties is refused");
  n_fds = test_count_fds ();
  for (int i = 0; i < 100; i++)
    g_assert_cmpint (wait_once (barrier, 0, NULL), ==, 0);
  g_assert_cmpuint (mp_barrier_get_parties (barrier), ==, 1);
  g_assert_cmpuint (mp_barrier_get_n_waiting (barrier), ==, 0);
  g_assert_false (mp_barrier_get_broken (barrier));
  g_assert_null (mp_barrier_new (0, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  g_assert_null (mp_barrier_new (G_MAXUINT, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
  for (int i = 0; i < 100; i++)
    g_object_unref (barrier_new (8));
  g_assert_cmpuint (test_count_fds (), ==, n_fds);
}

static gboolean
count_action (MpBarrier *barrier, gpointer user_data)
{
  Shared *shared = user_data;
  guint cycle = atomic_fetch_add (&shared->n_actions, 1);

  /* All are there, and nobody has gone. */
  if (atomic_load (&shared->n_arrived[cycle]) != N_PARTIES ||
      atomic_load (&shared->indexes[cycle]) != 0)
    atomic_fetch_add (&shared->n_wrong, 1);
  return TRUE;
}

static int
go_round (gpointer data)
{
  const Job *job = data;
  Shared *shared = job->shared;

  if (job->act)
    mp_barrier_set_action (job->barrier, count_action, shared, NULL);
  for (guint i = 0; i < N_CYCLES; i++)
    {
      int index;

      atomic_fetch_add (&shared->n_arrived[i], 1);
      index = wait_once (job->barrier, -1, NULL);
      if (index >= N_PARTIES || atomic_load (&shared->n_arrived[i]) != N_PARTIES ||
          (job->act && atomic_load (&shared->n_actions) != i + 1))
        return 1;
      atomic_fetch_or (&shared->indexes[i], 1u << index);
    }
  return 0;
}

static void
check_cycles (Shared *shared)
{
  for (guint i = 0; i < N_CYCLES; i++)
    g_assert_cmpuint (atomic_load (&shared->indexes[i]), ==, (1u << N_PARTIES) - 1);
  g_assert_cmpuint (atomic_load (&shared->n_wrong), ==, 0);
}

static void
run_processes (gboolean act)
{
  Shared *shared = shared_new ();
  g_autoptr (MpBarrier) barrier = barrier_new (N_PARTIES);
  Job job = { .barrier = barrier, .shared = shared, .act = act };
  GPid pids[N_PARTIES];

  for (guint i = 0; i < N_PARTIES; i++)
    pids[i] = test_fork (go_round, &job);
  for (guint i = 0; i < N_PARTIES; i++)
    g_assert_cmpint (test_join (pids[i]), ==, 0);
  check_cycles (shared);
  g_assert_cmpuint (atomic_load (&shared->n_actions), ==, act ? N_CYCLES : 0);
  g_assert_cmpuint (mp_barrier_get_n_waiting (barrier), ==, 0);
  shared_free (shared);
}

static void
test_processes (void)
{
  g_test_summary ("Nobody goes before all have come, and each has an index of its own");
  run_processes (FALSE);
}

static void
test_action (void)
{
  g_test_summary ("The action is done once in each cycle, before anybody goes");
  run_processes (TRUE);
}

static gpointer
go_round_in_thread (gpointer data)
{
  return GINT_TO_POINTER (go_round (data));
}

static void
test_threads (void)
{
  Shared *shared = shared_new ();
  g_autoptr (MpBarrier) barrier = barrier_new (N_PARTIES);
  Job job = { .barrier = barrier, .shared = shared };
  GThread *threads[N_PARTIES];

  g_test_summary ("The same with threads");
  for (guint i = 0; i < N_PARTIES; i++)
    threads[i] = g_thread_new ("party", go_round_in_thread, &job);
  for (guint i = 0; i < N_PARTIES; i++)
    g_assert_null (g_thread_join (threads[i]));
  check_cycles (shared);
  shared_free (shared);
}

static int
pass_until_broken (gpointer data)
{
  const Job *job = data;

  while (wait_once (job->barrier, -1, NULL) != BROKEN)
    atomic_fetch_add (&job->shared->n_actions, 1);
  return 0;
}

static void
test_crowd (void)
{
  Shared *shared = shared_new ();
  g_autoptr (MpBarrier) barrier = barrier_new (2);
  Job job = { .barrier = barrier, .shared = shared };
  GPid pids[N_PARTIES];

  g_test_summary ("More may use it than there are parties");
  for (guint i = 0; i < N_PARTIES; i++)
    pids[i] = test_fork (pass_until_broken, &job);
  while (atomic_load (&shared->n_actions) < 2 * N_CYCLES)
    g_thread_yield ();
  mp_barrier_abort (barrier);
  for (guint i = 0; i < N_PARTIES; i++)
    g_assert_cmpint (test_join (pids[i]), ==, 0);
  g_assert_cmpuint (atomic_load (&shared->n_actions) % 2, ==, 0);
  shared_free (shared);
}

static gboolean
fail_action (MpBarrier *barrier, gpointer user_data)
{
  return FALSE;
}

static void
free_counting (gpointer data)
{
  (*(guint *) data)++;
}

static void
test_action_fails (void)
{
  guint n_freed = 0;
  g_autoptr (MpBarrier) barrier = barrier_new (3);
  Job job = { .barrier = barrier, .timeout = -1 };
  GPid pids[2];

  g_test_summary ("An action that fails breaks the barrier, and is known where it ran");
  for (guint i = 0; i < 2; i++)
    pids[i] = start_waiter (&job);
  mp_barrier_set_action (barrier, fail_action, &n_freed, free_counting);
  g_assert_cmpint (wait_once (barrier, -1, NULL), ==, CALLBACK_FAILED);
  for (guint i = 0; i < 2; i++)
    g_assert_cmpint (test_join (pids[i]), ==, BROKEN);
  g_assert_true (mp_barrier_get_broken (barrier));
  g_assert_cmpuint (n_freed, ==, 0);
  mp_barrier_set_action (barrier, NULL, NULL, NULL);
  g_assert_cmpuint (n_freed, ==, 1);
}

static void
test_timeout (void)
{
  g_autoptr (MpBarrier) barrier = barrier_new (3);
  Job job = { .barrier = barrier, .timeout = -1 };
  GPid pid = start_waiter (&job);
  gint64 start = g_get_monotonic_time ();

  g_test_summary ("Who has no more time breaks it for all, until it is reset");
  g_assert_cmpint (wait_once (barrier, 100 * 1000, NULL), ==, BROKEN);
  g_assert_cmpint (g_get_monotonic_time () - start, >=, 100 * 1000);
  g_assert_cmpint (test_join (pid), ==, BROKEN);
  g_assert_true (mp_barrier_get_broken (barrier));
  g_assert_cmpuint (mp_barrier_get_n_waiting (barrier), ==, 0);
  g_assert_cmpint (wait_once (barrier, -1, NULL), ==, BROKEN);

  mp_barrier_reset (barrier);
  g_assert_false (mp_barrier_get_broken (barrier));
  /* Nobody is there: nothing to do. */
  mp_barrier_reset (barrier);
  g_assert_false (mp_barrier_get_broken (barrier));
  g_assert_cmpint (wait_once (barrier, 0, NULL), ==, BROKEN);

  mp_barrier_reset (barrier);
  pid = start_waiter (&job);
  {
    GPid other = start_waiter (&job);

    g_assert_cmpint (wait_once (barrier, 0, NULL), ==, 2);
    g_assert_cmpint (test_join (pid), ==, 0);
    g_assert_cmpint (test_join (other), ==, 1);
  }
}

static gpointer
wait_cancellably (gpointer data)
{
  const Job *job = data;

  return GINT_TO_POINTER (wait_once (job->barrier, -1, (GCancellable *) (gpointer) job->shared));
}

static void
test_cancel (void)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (MpBarrier) barrier = barrier_new (3);
  Job job = { .barrier = barrier, .timeout = -1 };
  GPid pid = start_waiter (&job);
  GThread *thread;

  g_test_summary ("Cancelled before, nothing happens; cancelled while it waits, it breaks");
  g_cancellable_cancel (cancellable);
  g_assert_cmpint (wait_once (barrier, -1, cancellable), ==, CANCELLED);
  g_assert_cmpuint (mp_barrier_get_n_waiting (barrier), ==, 1);
  g_cancellable_reset (cancellable);
  job.shared = (Shared *) (gpointer) cancellable;
  thread = g_thread_new ("wait", wait_cancellably, &job);
  wait_n_waiting (barrier, 2);
  g_cancellable_cancel (cancellable);
  g_assert_cmpint (GPOINTER_TO_INT (g_thread_join (thread)), ==, CANCELLED);
  g_assert_cmpint (test_join (pid), ==, BROKEN);
}

static void
test_abort (void)
{
  g_autoptr (MpBarrier) barrier = barrier_new (3);
  Job job = { .barrier = barrier, .timeout = -1 };
  GPid pid = start_waiter (&job);

  g_test_summary ("Broken on purpose, and reset while somebody waits");
  mp_barrier_abort (barrier);
  g_assert_cmpint (test_join (pid), ==, BROKEN);
  g_assert_cmpint (wait_once (barrier, -1, NULL), ==, BROKEN);
  mp_barrier_reset (barrier);
  pid = start_waiter (&job);
  mp_barrier_reset (barrier);
  g_assert_cmpint (test_join (pid), ==, BROKEN);
  g_assert_false (mp_barrier_get_broken (barrier));
}

/* A child that has come and stands still. */
static GPid
start_stopped (const Job *job)
{
  GPid pid = start_waiter (job);

  g_assert_no_errno (kill (pid, SIGSTOP));
  test_wait_state (pid, 'T');
  return pid;
}

static int
go_on (GPid pid)
{
  g_assert_no_errno (kill (pid, SIGCONT));
  return test_join (pid);
}

/* One more cycle with a child. */
static void
pass (const Job *job)
{
  GPid pid = start_waiter (job);

  g_assert_cmpint (wait_once (job->barrier, 0, NULL), ==, 1);
  g_assert_cmpint (test_join (pid), ==, 0);
}

static void
test_late (void)
{
  g_autoptr (MpBarrier) barrier = barrier_new (2);
  Job job = { .barrier = barrier, .timeout = -1 };
  GPid released, reset;

  g_test_summary ("Who is stopped keeps nobody, and learns how it ended when it goes on");
  released = start_stopped (&job);
  g_assert_cmpint (wait_once (barrier, -1, NULL), ==, 1);
  reset = start_stopped (&job);
  mp_barrier_reset (barrier);
  for (int i = 0; i < 20; i++)
    {
      pass (&job);
      pass (&job);
      mp_barrier_abort (barrier);
      mp_barrier_reset (barrier);
    }
  g_assert_cmpint (go_on (released), ==, 0);
  g_assert_cmpint (go_on (reset), ==, BROKEN);

  /* Longer ago than is remembered. */
  released = start_stopped (&job);
  g_assert_cmpint (wait_once (barrier, -1, NULL), ==, 1);
  for (int i = 0; i < 40; i++)
    {
      mp_barrier_abort (barrier);
      mp_barrier_reset (barrier);
    }
  g_assert_cmpint (go_on (released), ==, BROKEN);
  pass (&job);
}

static void
test_killed (void)
{
  g_autoptr (MpBarrier) barrier = barrier_new (4);
  Job job = { .barrier = barrier, .timeout = -1 };
  GPid victim = start_waiter (&job), other = start_waiter (&job);
  gint64 start;

  g_test_summary ("The death of one that has come breaks it");
  test_kill (victim);
  start = g_get_monotonic_time ();
  g_assert_cmpint (wait_once (barrier, -1, NULL), ==, BROKEN);
  g_assert_cmpint (g_get_monotonic_time () - start, <, DEATH_US);
  g_assert_cmpint (test_join (other), ==, BROKEN);

  /* All that had come. */
  mp_barrier_reset (barrier);
  victim = start_waiter (&job);
  other = start_waiter (&job);
  /* Lest it finds that the victim is dead before it is, too. */
  g_assert_no_errno (kill (other, SIGSTOP));
  test_wait_state (other, 'T');
  test_kill (victim);
  test_kill (other);
  start = g_get_monotonic_time ();
  g_assert_cmpint (wait_once (barrier, -1, NULL), ==, BROKEN);
  g_assert_cmpint (g_get_monotonic_time () - start, <, DEATH_US);
}

static void
test_killed_after (void)
{
  g_autoptr (MpBarrier) barrier = barrier_new (2);
  Job job = { .barrier = barrier, .timeout = -1 };
  GPid victim = start_waiter (&job), other;
  gint64 start;

  g_test_summary ("So does, the next time, that of one that could go but had not gone");
  g_assert_no_errno (kill (victim, SIGSTOP));
  test_wait_state (victim, 'T');
  g_assert_cmpint (wait_once (barrier, -1, NULL), ==, 1);
  test_kill (victim);
  start = g_get_monotonic_time ();
  g_assert_cmpint (wait_once (barrier, -1, NULL), ==, BROKEN);
  g_assert_cmpint (g_get_monotonic_time () - start, <, DEATH_US);

  /* After a reset it is forgotten, and nobody misses those who end after a cycle. */
  mp_barrier_reset (barrier);
  for (int i = 0; i < 3; i++)
    {
      other = start_waiter (&job);
      g_assert_cmpint (wait_once (barrier, -1, NULL), ==, 1);
      g_assert_cmpint (test_join (other), ==, 0);
      other = start_waiter (&job);
      g_assert_cmpint (wait_once (barrier, 200 * 1000, NULL), ==, 1);
      g_assert_cmpint (test_join (other), ==, 0);
    }
  g_assert_cmpint (wait_once (barrier, 200 * 1000, NULL), ==, BROKEN);
}

static gboolean
stay_in_action (MpBarrier *barrier, gpointer user_data)
{
  Shared *shared = user_data;

  atomic_store (&shared->step, 1);
  while (pause () < 0)
    ;
  return TRUE;
}

static int
act_in_child (gpointer data)
{
  const Job *job = data;

  mp_barrier_set_action (job->barrier, stay_in_action, job->shared, NULL);
  return wait_once (job->barrier, -1, NULL);
}

static void
test_killed_in_action (void)
{
  Shared *shared = shared_new ();
  g_autoptr (MpBarrier) barrier = barrier_new (2);
  Job job = { .barrier = barrier, .shared = shared, .timeout = -1 };
  GPid waiter = start_waiter (&job), victim = test_fork (act_in_child, &job), extra;

  g_test_summary ("And that of the one that runs the action");
  while (atomic_load (&shared->step) == 0)
    g_thread_yield ();
  extra = test_fork (wait_in_child, &job);
  test_wait_state (extra, 'S');
  test_kill (victim);
  g_assert_cmpint (test_join (waiter), ==, BROKEN);
  g_assert_cmpint (test_join (extra), ==, BROKEN);
  shared_free (shared);
}

static volatile sig_atomic_t n_handled;

static void
on_signal (int number)
{
  n_handled++;
}

static int
wait_interrupted (gpointer data)
{
  struct sigaction action = { .sa_handler = on_signal };
  const Job *job = data;
  guint index, n = 0;
  int result;

  sigaction (SIGUSR1, &action, NULL);
  while ((result = mp_barrier_wait_interruptible (job->barrier, -1, &index)) ==
         MP_WAIT_RESULT_INTERRUPTED)
    {
      /* It may only look whether there was one. */
      if ((guint) n_handled == n)
        continue;
      atomic_store (&job->shared->step, ++n);
      if (n == 3)
        {
          mp_barrier_abort (job->barrier);
          return 30;
        }
    }
  return result == MP_WAIT_RESULT_DONE ? (int) index : BROKEN;
}

static GPid
start_interrupted (const Job *job, guint n_signals)
{
  GPid pid = test_fork (wait_interrupted, (gpointer) job);

  atomic_store (&job->shared->step, 0);
  wait_n_waiting (job->barrier, 1);
  for (guint i = 0; i < n_signals; i++)
    {
      test_wait_state (pid, 'S');
      g_assert_no_errno (kill (pid, SIGUSR1));
      while (atomic_load (&job->shared->step) != i + 1)
        g_thread_yield ();
    }
  return pid;
}

static void
test_turns (void)
{
  g_autoptr (MpBarrier) barrier = barrier_new (2);
  gint64 start = g_get_monotonic_time ();
  guint index;

  g_test_summary ("Who waits and may miss a signal returns twice a second, and is still there");
  for (int i = 0; i < 2; i++)
    {
      g_assert_cmpint (mp_barrier_wait_interruptible (barrier, -1, &index),
                       ==,
                       MP_WAIT_RESULT_INTERRUPTED);
      g_assert_cmpuint (mp_barrier_get_n_waiting (barrier), ==, 1);
    }
  g_assert_cmpint (g_get_monotonic_time () - start, <, G_USEC_PER_SEC + test_soon ());
  mp_barrier_abort (barrier);
}

static void
test_interrupted (void)
{
  Shared *shared = shared_new ();
  g_autoptr (MpBarrier) barrier = barrier_new (2);
  Job job = { .barrier = barrier, .shared = shared };
  GPid pid = start_interrupted (&job, 2);

  g_test_summary (
    "A signal handler ends the call; the next one goes on, or the barrier is aborted");
  g_assert_cmpuint (mp_barrier_get_n_waiting (barrier), ==, 1);
  g_assert_cmpint (wait_once (barrier, -1, NULL), ==, 1);
  g_assert_cmpint (test_join (pid), ==, 0);
  pid = start_interrupted (&job, 3);
  g_assert_cmpint (test_join (pid), ==, 30);
  g_assert_true (mp_barrier_get_broken (barrier));
  shared_free (shared);
}

/* As when the handler of a language waits for something else meanwhile. */
static int
wait_nested (gpointer data)
{
  struct sigaction action = { .sa_handler = on_signal };
  const Job *job = data;
  g_autoptr (MpBarrier) inner = barrier_new (1);
  guint index;
  int result;

  sigaction (SIGUSR1, &action, NULL);
  if (mp_barrier_wait_interruptible (job->barrier, -1, &index) != MP_WAIT_RESULT_INTERRUPTED ||
      mp_barrier_wait_interruptible (inner, -1, &index) != MP_WAIT_RESULT_DONE)
    return 30;
  atomic_store (&job->shared->step, 1);
  while ((result = mp_barrier_wait_interruptible (job->barrier, -1, &index)) ==
         MP_WAIT_RESULT_INTERRUPTED)
    ;
  return result == MP_WAIT_RESULT_DONE ? (int) index : BROKEN;
}

static void
test_nested (void)
{
  Shared *shared = shared_new ();
  g_autoptr (MpBarrier) barrier = barrier_new (2);
  Job job = { .barrier = barrier, .shared = shared };
  GPid pid = test_fork (wait_nested, &job);

  g_test_summary ("A signal handler that interrupts a wait waits for another barrier");
  wait_n_waiting (barrier, 1);
  test_wait_state (pid, 'S');
  g_assert_no_errno (kill (pid, SIGUSR1));
  while (atomic_load (&shared->step) == 0)
    g_thread_yield ();
  test_wait_state (pid, 'S');
  g_assert_cmpuint (mp_barrier_get_n_waiting (barrier), ==, 1);
  g_assert_cmpint (wait_once (barrier, -1, NULL), ==, 1);
  g_assert_cmpint (test_join (pid), ==, 0);
  shared_free (shared);
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
  g_autoptr (MpShareable) barrier =
    mp_shareable_new_from_handle (travel->handle, travel->fd_list, NULL);

  if (!MP_IS_BARRIER (barrier) || mp_barrier_get_parties (MP_BARRIER (barrier)) != 2)
    return 50;
  return wait_once (MP_BARRIER (barrier), -1, NULL);
}

static void
test_handle (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = NULL;
  g_autoptr (MpShareable) again = NULL;
  g_autoptr (MpBarrier) barrier = barrier_new (2);
  Travel travel;
  GPid pid;

  g_test_summary ("A handle gives the same barrier");
  handle = mp_shareable_to_handle (MP_SHAREABLE (barrier), fd_list, &error);
  g_assert_no_error (error);
  travel = (Travel){ .handle = handle, .fd_list = fd_list };
  pid = test_fork (wait_as_stranger, &travel);
  wait_n_waiting (barrier, 1);
  g_assert_cmpint (wait_once (barrier, -1, NULL), ==, 1);
  g_assert_cmpint (test_join (pid), ==, 0);
  again = mp_shareable_new_from_handle (handle, fd_list, &error);
  g_assert_no_error (error);
  mp_barrier_abort (MP_BARRIER (again));
  g_assert_true (mp_barrier_get_broken (barrier));
}

#define N_RESETTERS 5
#define N_RESETS 100

/* One resets while the others wait; they come again at once. Gives the number of waits
 * that did not end as they have to. */
static gpointer
reset_or_wait (gpointer data)
{
  MpBarrier *barrier = data;
  guint n_wrong = 0;

  for (int i = 0; i < N_RESETS; i++)
    {
      g_autoptr (GError) error = NULL;
      guint index = G_MAXUINT;

      n_wrong += !mp_barrier_wait (barrier, 20 * G_USEC_PER_SEC, NULL, &index, NULL);
      if (index == N_RESETTERS / 2)
        {
          while (mp_barrier_get_n_waiting (barrier) < N_RESETTERS - 1)
            g_thread_yield ();
          mp_barrier_reset (barrier);
        }
      else
        {
          n_wrong += mp_barrier_wait (barrier, 20 * G_USEC_PER_SEC, NULL, NULL, &error);
          n_wrong += !g_error_matches (error, MP_ERROR, MP_ERROR_BROKEN_BARRIER);
        }
      n_wrong += !mp_barrier_wait (barrier, 20 * G_USEC_PER_SEC, NULL, NULL, NULL);
      if (n_wrong != 0)
        mp_barrier_abort (barrier);
    }
  return GUINT_TO_POINTER (n_wrong);
}

static void
test_reset_and_again (void)
{
  g_autoptr (MpBarrier) barrier = mp_barrier_new (N_RESETTERS, NULL);
  GThread *threads[N_RESETTERS];

  g_test_summary ("Who was waiting at a reset can come again at once");
  for (int i = 0; i < N_RESETTERS; i++)
    threads[i] = g_thread_new ("resetter", reset_or_wait, barrier);
  for (int i = 0; i < N_RESETTERS; i++)
    g_assert_cmpuint (GPOINTER_TO_UINT (g_thread_join (threads[i])), ==, 0);
  g_assert_false (mp_barrier_get_broken (barrier));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/barrier/one", test_one);
  g_test_add_func ("/mp/barrier/processes", test_processes);
  g_test_add_func ("/mp/barrier/action", test_action);
  g_test_add_func ("/mp/barrier/crowd", test_crowd);
  g_test_add_func ("/mp/barrier/action-fails", test_action_fails);
  g_test_add_func ("/mp/barrier/timeout", test_timeout);
  g_test_add_func ("/mp/barrier/cancel", test_cancel);
  g_test_add_func ("/mp/barrier/abort", test_abort);
  g_test_add_func ("/mp/barrier/late", test_late);
  g_test_add_func ("/mp/barrier/killed", test_killed);
  g_test_add_func ("/mp/barrier/killed-after", test_killed_after);
  g_test_add_func ("/mp/barrier/killed-in-action", test_killed_in_action);
  g_test_add_func ("/mp/barrier/interrupted", test_interrupted);
  g_test_add_func ("/mp/barrier/turns", test_turns);
  g_test_add_func ("/mp/barrier/nested", test_nested);
  g_test_add_func ("/mp/barrier/handle", test_handle);
  g_test_add_func ("/mp/barrier/threads", test_threads);
  g_test_add_func ("/mp/barrier/reset-and-again", test_reset_and_again);
  return g_test_run ();
}
