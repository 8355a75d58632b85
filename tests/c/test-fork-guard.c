/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <libmp.h>

#include "process/mp-fork-private.h"
#include "process/mp-pump-private.h"
#include "process/mp-zygote-protocol-private.h"
#include "test-util.h"

#include <glib-unix.h>
#include <poll.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* The allocator of clang 14's address sanitizer does not take its locks around a fork:
 * the child of one that forks while another thread allocates may hang in it. */
#if defined(__SANITIZE_ADDRESS__)
#define FORKS_WHILE_OTHERS_ALLOCATE 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FORKS_WHILE_OTHERS_ALLOCATE 0
#endif
#endif
#ifndef FORKS_WHILE_OTHERS_ALLOCATE
#define FORKS_WHILE_OTHERS_ALLOCATE 1
#endif

/* How long what is certain to come may take. */
#define LIMIT_MS 20000

typedef struct
{
  GMutex mutex;
  GThread *thread;
} Busy;

static gpointer
busy_main (gpointer data)
{
  Busy *busy = data;

  g_mutex_lock (&busy->mutex);
  g_mutex_unlock (&busy->mutex);
  return NULL;
}

static gboolean
contains (char **names, const char *name)
{
  g_autofree char *prefix = g_strdup_printf ("%s (", name);

  for (guint i = 0; names[i] != NULL; i++)
    if (g_str_has_prefix (names[i], prefix))
      return TRUE;
  return FALSE;
}

/* Returns when the thread bears its name, which it gives itself. */
static void
busy_start (Busy *busy, const char *name)
{
  gboolean there = FALSE;

  g_mutex_init (&busy->mutex);
  g_mutex_lock (&busy->mutex);
  busy->thread = g_thread_new (name, busy_main, busy);
  while (!there)
    {
      g_auto (GStrv) of_glib = NULL;
      g_auto (GStrv) others = NULL;

      g_assert_true (mp_fork_list_threads (&of_glib, &others, NULL));
      there = contains (of_glib, name) || contains (others, name);
      g_thread_yield ();
    }
}

static void
busy_stop (Busy *busy)
{
  g_mutex_unlock (&busy->mutex);
  g_thread_join (busy->thread);
  g_mutex_clear (&busy->mutex);
}

static void
test_threads (void)
{
  const char *const of_glib[] = { "gmain", "gdbus", "pool-program", "pool" };
  Busy busy;

  g_test_summary ("threads are named, and those of GLib forbid a fork");

  busy_start (&busy, "mp-test-busy");
  {
    g_auto (GStrv) threads = NULL;
    g_autoptr (GError) error = NULL;

    g_assert_true (mp_fork_check_threads (&threads, &error));
    g_assert_no_error (error);
    g_assert_true (contains (threads, "mp-test-busy"));
  }
  busy_stop (&busy);

  for (guint i = 0; i < G_N_ELEMENTS (of_glib); i++)
    {
      g_auto (GStrv) threads = NULL;
      g_autoptr (GError) error = NULL;

      busy_start (&busy, of_glib[i]);
      g_assert_false (mp_fork_check_threads (&threads, &error));
      g_assert_error (error, MP_ERROR, MP_ERROR_UNSAFE_FORK);
      g_assert_nonnull (strstr (error->message, of_glib[i]));
      g_assert_null (threads);
      busy_stop (&busy);
    }
}

static gboolean
count_cb (gpointer user_data)
{
  g_atomic_int_inc ((int *) user_data);
  return G_SOURCE_REMOVE;
}

/* The child's own thread starts, and announces a fork of its own. */
static int
use_pump (gpointer data)
{
  int n = 0;

  mp_pump_invoke (count_cb, &n, NULL);
  while (g_atomic_int_get (&n) == 0)
    g_thread_yield ();
  mp_fork_begin ();
  mp_fork_end ();
  return 7;
}

static void
test_begin_and_end (void)
{
  int n = 0;

  g_test_summary ("libmp's thread rests during a fork, goes on after it, and there is one in the "
                  "child");

  mp_pump_get_context ();
  for (int i = 1; i <= 20; i++)
    {
      GPid pid;

      mp_fork_begin ();
      mp_fork_begin ();
      mp_pump_invoke (count_cb, &n, NULL);
      pid = test_fork (use_pump, NULL);
      mp_fork_end ();
      g_assert_cmpint (g_atomic_int_get (&n), ==, i - 1);
      mp_fork_end ();
      while (g_atomic_int_get (&n) < i)
        g_thread_yield ();
      g_assert_cmpint (test_join (pid), ==, 7);
    }
  /* Ends nothing. */
  mp_fork_end ();
}

static void
on_acquired (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (mp_lock_acquire_finish (MP_LOCK (source), result, &error));
  g_assert_no_error (error);
  ++*(guint *) user_data;
}

static void
iterate_until (const guint *counter, guint value)
{
  gint64 end = g_get_monotonic_time () + LIMIT_MS * 1000;

  while (*counter < value)
    {
      g_assert_cmpint (g_get_monotonic_time (), <, end);
      if (!g_main_context_iteration (NULL, FALSE))
        g_thread_yield ();
    }
}

/* The child's own thread takes it, and it is given back. */
static int
acquire_asynchronously (gpointer data)
{
  guint n = 0;

  if (!mp_lock_acquire (data, 0, NULL, NULL))
    return 1;
  mp_lock_acquire_async (data, NULL, on_acquired, &n);
  if (!mp_lock_release (data, NULL))
    return 2;
  iterate_until (&n, 1);
  return mp_lock_release (data, NULL) ? 7 : 3;
}

/* GLib has a thread, which came with the first task; until it has taken its name it
 * looks like anybody's. */
static void
wait_until_known (void)
{
  gint64 end = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;
  guint n;

  do
    {
      g_auto (GStrv) of_glib = NULL;
      g_auto (GStrv) others = NULL;

      g_assert_true (mp_fork_list_threads (&of_glib, &others, NULL));
      n = g_strv_length (others);
      g_assert_cmpint (g_get_monotonic_time (), <, end);
    }
  while (n > 0);
}

static void
test_waiter (void)
{
  g_autoptr (MpLock) lock = mp_lock_new (NULL);
  guint n = 0;

  g_test_summary ("The thread that waits for locks rests, too, and both do not count");

  mp_pump_get_context ();
  for (guint i = 1; i <= 10; i++)
    {
      GPid pid;

      g_assert_true (mp_lock_acquire (lock, 0, NULL, NULL));
      mp_lock_acquire_async (lock, NULL, on_acquired, &n);
      wait_until_known ();
      mp_fork_begin ();
      g_assert_true (mp_lock_release (lock, NULL));
      poll (NULL, 0, i == 1 ? 200 : 0);
      pid = test_fork (acquire_asynchronously, lock);
      g_assert_cmpint (test_join (pid), ==, 7);
      g_assert_false (mp_lock_get_locked (lock));
      mp_fork_end ();
      iterate_until (&n, i);
      g_assert_true (mp_lock_release (lock, NULL));
    }
}

/* Without announcement: the thread rests all the same. */
static void
test_busy_waiter (void)
{
  g_autoptr (MpLock) lock = mp_lock_new (NULL);
  g_autoptr (MpLock) other = mp_lock_new (NULL);

  g_test_summary ("A fork at any time leaves no lock of the waiting thread's in the child");

  for (guint i = 0; i < 200; i++)
    {
      guint n = 0;
      GPid pid;

      g_assert_true (mp_lock_acquire (lock, 0, NULL, NULL));
      for (int j = 0; j < 20; j++)
        mp_lock_acquire_async (lock, NULL, on_acquired, &n);
      g_assert_true (mp_lock_release (lock, NULL));
      pid = test_fork (acquire_asynchronously, other);
      while (n < 20)
        {
          iterate_until (&n, n + 1);
          g_assert_true (mp_lock_release (lock, NULL));
        }
      g_assert_cmpint (test_join (pid), ==, 7);
    }
}

/* What a child inherits that its parent has used. */
typedef struct
{
  MpLock *lock;
  MpRLock *rlock;
  MpCondition *condition;
  MpCondition *deep;
  MpSemaphore *semaphores[3];
  MpEvent *ready;
  MpBarrier *barrier;
  MpValue *value;
  int depth;
} Inherited;

static int
use_once (const Inherited *self)
{
  guint index;

  for (guint i = 0; i < G_N_ELEMENTS (self->semaphores); i++)
    {
      if (!mp_semaphore_acquire (self->semaphores[i], LIMIT_MS * 1000, NULL, NULL) ||
          !mp_semaphore_release (self->semaphores[i], 1, NULL))
        return 1;
    }
  if (!mp_lock_acquire (self->lock, LIMIT_MS * 1000, NULL, NULL) ||
      mp_lock_get_holder_pid (self->lock) != (guint) getpid () ||
      mp_lock_get_holder_thread (self->lock) != (guint) gettid () ||
      !mp_condition_notify_all (self->condition, NULL) ||
      mp_condition_wait (self->condition, 0, NULL, NULL) || !mp_lock_release (self->lock, NULL))
    return 2;
  if (!mp_rlock_acquire (self->rlock, LIMIT_MS * 1000, NULL, NULL) ||
      !mp_rlock_try_acquire (self->rlock) || mp_rlock_get_depth (self->rlock) != 2 ||
      !mp_condition_wait (self->deep, LIMIT_MS * 1000, NULL, NULL) ||
      mp_rlock_get_depth (self->rlock) != 2 || !mp_rlock_release (self->rlock, NULL) ||
      !mp_rlock_release (self->rlock, NULL))
    return 3;
  if (mp_value_add (self->value, 1, NULL) < 0)
    return 4;
  return mp_barrier_wait (self->barrier, LIMIT_MS * 1000, NULL, &index, NULL) ? 0 : 5;
}

static int
use_inherited (gpointer data)
{
  Inherited *self = data;

  if (self->depth-- > 0)
    return test_join (test_fork (use_inherited, self));
  /* The parent of all has them. */
  if (mp_lock_try_acquire (self->lock) || mp_rlock_try_acquire (self->rlock) ||
      mp_rlock_release (self->rlock, NULL) || mp_condition_notify_one (self->condition, NULL) ||
      mp_condition_notify_one (self->deep, NULL))
    return 10;
  mp_event_set (self->ready);
  return use_once (self);
}

static void
test_inherited (void)
{
  Inherited self = { 0 };
  guint index;

  g_test_summary ("A child can use all that its parent has used, and its parent goes on");

  self.lock = mp_lock_new (NULL);
  self.rlock = mp_rlock_new (NULL);
  self.condition = mp_condition_new (self.lock, NULL);
  self.deep = mp_condition_new_with_rlock (self.rlock, NULL);
  self.semaphores[0] = mp_semaphore_new (2, MP_SEMAPHORE_NONE, NULL);
  self.semaphores[1] = mp_semaphore_new (2, MP_SEMAPHORE_BOUNDED, NULL);
  self.semaphores[2] = mp_semaphore_new (2, MP_SEMAPHORE_RECOVER, NULL);
  self.ready = mp_event_new (NULL);
  self.barrier = mp_barrier_new (2, NULL);
  self.value = mp_value_new (MP_VALUE_TYPE_INT64, NULL, TRUE, NULL);
  for (int depth = 0; depth < 3; depth++)
    {
      GPid pid;

      g_assert_true (mp_lock_acquire (self.lock, 0, NULL, NULL));
      g_assert_true (mp_rlock_acquire (self.rlock, 0, NULL, NULL));
      for (guint i = 0; i < G_N_ELEMENTS (self.semaphores); i++)
        g_assert_true (mp_semaphore_acquire (self.semaphores[i], 0, NULL, NULL));
      self.depth = depth;
      pid = test_fork (use_inherited, &self);
      g_assert_true (mp_event_wait (self.ready, LIMIT_MS * 1000, NULL, NULL));
      mp_event_clear (self.ready);
      g_assert_true (mp_lock_release (self.lock, NULL));
      g_assert_true (mp_rlock_release (self.rlock, NULL));
      while (mp_condition_get_n_waiters (self.deep) != 1)
        g_thread_yield ();
      g_assert_true (mp_rlock_acquire (self.rlock, LIMIT_MS * 1000, NULL, NULL));
      g_assert_true (mp_condition_notify_one (self.deep, NULL));
      g_assert_true (mp_rlock_release (self.rlock, NULL));
      g_assert_true (mp_barrier_wait (self.barrier, LIMIT_MS * 1000, NULL, &index, NULL));
      g_assert_cmpint (test_join (pid), ==, 0);
      g_assert_cmpint (mp_value_get_int (self.value, NULL), ==, depth + 1);
      for (guint i = 0; i < G_N_ELEMENTS (self.semaphores); i++)
        {
          g_assert_true (mp_semaphore_release (self.semaphores[i], 1, NULL));
          g_assert_cmpuint (mp_semaphore_get_value (self.semaphores[i]), ==, 2);
        }
    }
  g_object_unref (self.lock);
  g_object_unref (self.rlock);
  g_object_unref (self.condition);
  g_object_unref (self.deep);
  for (guint i = 0; i < G_N_ELEMENTS (self.semaphores); i++)
    g_object_unref (self.semaphores[i]);
  g_object_unref (self.ready);
  g_object_unref (self.barrier);
  g_object_unref (self.value);
}

static gpointer
fork_main (gpointer data)
{
  for (int i = 0; i < 20; i++)
    {
      GPid pid;

      mp_fork_begin ();
      pid = test_fork (use_pump, NULL);
      mp_fork_end ();
      g_assert_cmpint (test_join (pid), ==, 7);
    }
  return NULL;
}

static void
test_many_threads (void)
{
  GThread *threads[4];

  g_test_summary ("threads that fork at a time take turns");

  mp_pump_get_context ();
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("mp-test-fork", fork_main, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
}

/* A pipe, whose writing end is left to the last of the processes that have it. */
typedef struct
{
  int fds[2];
  gboolean by_thread;
  gboolean has_farewell;
} Lifeline;

static gpointer
fork_bound_child (gpointer data)
{
  Lifeline *lifeline = data;
  GPid parent = getpid ();

  mp_fork_begin ();
  if (fork () == 0)
    {
      g_autoptr (GError) error = NULL;

      if (!mp_fork_bind_to_parent (parent, &error))
        _exit (1);
      if (lifeline->has_farewell)
        {
          if (!mp_fork_bid_farewell (&error))
            _exit (1);
          /* As daemons do. */
          close_range (0, lifeline->fds[1] - 1, 0);
          close_range (lifeline->fds[1] + 1, ~0u, 0);
        }
      g_assert_cmpint (write (lifeline->fds[1], "!", 1), ==, 1);
      if (lifeline->has_farewell)
        {
          while (getppid () == parent)
            g_thread_yield ();
          g_assert_cmpint (write (lifeline->fds[1], "?", 1), ==, 1);
        }
      while (TRUE)
        pause ();
    }
  mp_fork_end ();
  return NULL;
}

static int
be_parent (gpointer data)
{
  Lifeline *lifeline = data;

  if (lifeline->by_thread)
    g_thread_join (g_thread_new ("mp-test-fork", fork_bound_child, data));
  else
    fork_bound_child (data);
  while (TRUE)
    pause ();
  return 0;
}

static void
test_bound (gconstpointer data)
{
  Lifeline lifeline = *(const Lifeline *) data;
  struct pollfd pollfd = { .events = POLLIN };
  gint64 start;
  char byte;
  GPid pid;

  g_test_summary ("a bound child lives as long as its parent, whichever thread forked it");

  g_assert_true (g_unix_open_pipe (lifeline.fds, FD_CLOEXEC, NULL));
  pid = test_fork (be_parent, &lifeline);
  close (lifeline.fds[1]);
  g_assert_cmpint (read (lifeline.fds[0], &byte, 1), ==, 1);

  /* Lives, also when the thread that forked it has ended. */
  pollfd.fd = lifeline.fds[0];
  g_assert_cmpint (poll (&pollfd, 1, 50), ==, 0);
  start = g_get_monotonic_time ();
  kill (pid, SIGKILL);
  g_assert_cmpint (test_join (pid), ==, -SIGKILL);
  if (lifeline.has_farewell)
    {
      g_assert_cmpint (poll (&pollfd, 1, LIMIT_MS), ==, 1);
      g_assert_cmpint (read (lifeline.fds[0], &byte, 1), ==, 1);
    }
  g_assert_cmpint (poll (&pollfd, 1, LIMIT_MS), ==, 1);
  g_assert_cmpint (read (lifeline.fds[0], &byte, 1), ==, 0);
  if (lifeline.has_farewell)
    g_assert_cmpint (g_get_monotonic_time () - start, >=, MP_FAREWELL_MS * 1000);
  close (lifeline.fds[0]);
}

static gpointer
bid_farewell_main (gpointer data)
{
  g_assert_true (mp_fork_bid_farewell (NULL));
  return NULL;
}

static int
get_death_signal (void)
{
  int number;

  g_assert_cmpint (prctl (PR_GET_PDEATHSIG, &number), ==, 0);
  return number;
}

static guint
count_threads (void)
{
  struct stat status;

  /* Takes no descriptor. */
  g_assert_cmpint (stat ("/proc/self/task", &status), ==, 0);
  return status.st_nlink - 2;
}

static int
be_unbound (gpointer data)
{
  return mp_fork_bid_farewell (NULL) && count_threads () == 1 ? 0 : 1;
}

static gint64
get_cpu_us (void)
{
  struct timespec spent;

  g_assert_cmpint (clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &spent), ==, 0);
  return spent.tv_sec * G_USEC_PER_SEC + spent.tv_nsec / 1000;
}

static int
be_bound (gpointer data)
{
  const struct rlimit none = { 0, 0 };
  gint64 spent;

  /* As it is without test_fork(). */
  prctl (PR_SET_PDEATHSIG, 0);
  if (!mp_fork_bind_to_parent (getppid (), NULL) || get_death_signal () != SIGKILL)
    return 1;
  /* The kernel would tell the main thread still. */
  g_thread_join (g_thread_new ("mp-test-fork", bid_farewell_main, NULL));
  if (get_death_signal () != SIGKILL)
    return 2;

  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &none), ==, 0);
  for (guint i = 0; i < 2; i++)
    if (!mp_fork_bid_farewell (NULL) || get_death_signal () != 0 || count_threads () != 2)
      return 3;
  /* It waits, also where there is nothing that it can wait with. */
  spent = get_cpu_us ();
  g_usleep (200 * 1000);
  if (get_cpu_us () - spent > 100 * 1000)
    return 4;
  return test_join (test_fork (be_unbound, NULL));
}

static void
test_farewell (void)
{
  g_test_summary ("a farewell is for what is bound, and for the thread that the kernel would tell");

  mp_fork_begin ();
  g_assert_cmpint (test_join (test_fork (be_bound, NULL)), ==, 0);
  g_assert_cmpint (test_join (test_fork (be_unbound, NULL)), ==, 0);
  mp_fork_end ();
}

static int
be_orphan (gpointer data)
{
  /* A process that is not our parent. */
  mp_fork_bind_to_parent (getpid (), NULL);
  return 0;
}

static void
test_orphan (void)
{
  g_test_summary ("a child whose parent has ended already does not go on");

  g_assert_cmpint (test_join (test_fork (be_orphan, NULL)), ==, -SIGKILL);
}

static void
test_adopted_fails (void)
{
  g_autoptr (MpContext) context = NULL;
  g_autoptr (GError) error = NULL;
  int fds[2];
  GPid pid = fork ();

  g_test_summary ("a context needs a child that is there");

  if (pid == 0)
    _exit (0);
  g_assert_cmpint (test_join (pid), ==, 0);
  g_assert_true (g_unix_open_pipe (fds, FD_CLOEXEC, NULL));
  context = mp_context_new_for_zygote (fds[1], pid, &error);
  g_assert_null (context);
  g_assert_nonnull (error);
  close (fds[0]);
}

int
main (int argc, char **argv)
{
  static const Lifeline bound = { .by_thread = FALSE };
  static const Lifeline by_thread = { .by_thread = TRUE };
  static const Lifeline with_farewell = { .has_farewell = TRUE };
  static const Lifeline both = { .by_thread = TRUE, .has_farewell = TRUE };

  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/mp/fork-guard/threads", test_threads);
  g_test_add_data_func ("/mp/fork-guard/bound", &bound, test_bound);
  g_test_add_data_func ("/mp/fork-guard/bound-by-thread", &by_thread, test_bound);
  g_test_add_data_func ("/mp/fork-guard/bound-with-farewell", &with_farewell, test_bound);
  g_test_add_data_func ("/mp/fork-guard/bound-by-thread-with-farewell", &both, test_bound);
  g_test_add_func ("/mp/fork-guard/farewell", test_farewell);
  g_test_add_func ("/mp/fork-guard/orphan", test_orphan);
  g_test_add_func ("/mp/fork-guard/adopted-fails", test_adopted_fails);
  g_test_add_func ("/mp/fork-guard/begin-and-end", test_begin_and_end);
  g_test_add_func ("/mp/fork-guard/waiter", test_waiter);
  if (FORKS_WHILE_OTHERS_ALLOCATE)
    {
      g_test_add_func ("/mp/fork-guard/many-threads", test_many_threads);
      g_test_add_func ("/mp/fork-guard/busy-waiter", test_busy_waiter);
    }
  g_test_add_func ("/mp/fork-guard/inherited", test_inherited);

  return g_test_run ();
}
