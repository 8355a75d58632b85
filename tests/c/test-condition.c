/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "libmp.h"
#include "sync/mp-condition-queue-private.h"
#include "test-util.h"

#define N_WAITERS 6
#define N_ITEMS 4000
#define HANG_US (20 * G_USEC_PER_SEC)

/* In memory that children share. */
typedef struct
{
  _Atomic guint n_woken;
  _Atomic guint order[N_WAITERS]; /* who was woken when */
  _Atomic guint step;
  guint n_items; /* protected by the lock */
  guint n_taken;
} Shared;

static Shared *shared;

/* A condition with either kind of lock. */
typedef struct
{
  MpCondition *condition;
  MpLock *lock;
  MpRLock *rlock;
  gint64 timeout;
  guint number;
  guint depth;
} Fixture;

static void
fixture_init (Fixture *self, gboolean rlock)
{
  g_autoptr (GError) error = NULL;

  *self = (Fixture){ .timeout = -1, .depth = 1 };
  if (rlock)
    {
      self->rlock = mp_rlock_new (&error);
      g_assert_no_error (error);
      self->condition = mp_condition_new_with_rlock (self->rlock, &error);
    }
  else
    {
      self->lock = mp_lock_new (&error);
      g_assert_no_error (error);
      self->condition = mp_condition_new (self->lock, &error);
    }
  g_assert_no_error (error);
  shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  g_assert_true (shared != MAP_FAILED);
}

static void
fixture_clear (Fixture *self)
{
  g_clear_object (&self->condition);
  g_clear_object (&self->lock);
  g_clear_object (&self->rlock);
  munmap (shared, sizeof *shared);
}

static void
acquire (const Fixture *self)
{
  g_autoptr (GError) error = NULL;

  if (self->lock != NULL)
    mp_lock_acquire (self->lock, -1, NULL, &error);
  else
    mp_rlock_acquire (self->rlock, -1, NULL, &error);
  g_assert_no_error (error);
}

/* It was held. */
static void
release (const Fixture *self)
{
  g_autoptr (GError) error = NULL;

  if (self->lock != NULL)
    mp_lock_release (self->lock, &error);
  else
    mp_rlock_release (self->rlock, &error);
  g_assert_no_error (error);
}

static void
notify (const Fixture *self, guint n)
{
  g_autoptr (GError) error = NULL;

  acquire (self);
  mp_condition_notify_many (self->condition, n, &error);
  g_assert_no_error (error);
  release (self);
}

static void
wait_n_waiters (const Fixture *self, guint n)
{
  gint64 end = g_get_monotonic_time () + HANG_US;

  while (mp_condition_get_n_waiters (self->condition) != n)
    {
      g_assert_cmpint (g_get_monotonic_time (), <, end);
      g_thread_yield ();
    }
}

static void
wait_n_woken (guint n)
{
  gint64 end = g_get_monotonic_time () + HANG_US;

  while (atomic_load (&shared->n_woken) < n)
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
  NOT_OWNER,
  OTHER
};

static int
wait_once (const Fixture *self, gint64 timeout, GCancellable *cancellable)
{
  g_autoptr (GError) error = NULL;

  if (mp_condition_wait (self->condition, timeout, cancellable, &error))
    return DONE;
  if (g_error_matches (error, MP_ERROR, MP_ERROR_TIMED_OUT))
    return TIMED_OUT;
  if (g_error_matches (error, MP_ERROR, MP_ERROR_NOT_OWNER))
    return NOT_OWNER;
  return g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED) ? CANCELLED : OTHER;
}

/* A waiter as most tests need it: its outcome, and when it was woken. */
static int
wait_in_child (gpointer data)
{
  const Fixture *self = data;
  int outcome;

  for (guint i = 0; i < self->depth; i++)
    acquire (self);
  outcome = wait_once (self, self->timeout, NULL);
  if (outcome == DONE)
    atomic_store (&shared->order[atomic_fetch_add (&shared->n_woken, 1)], self->number);
  if (self->rlock != NULL && mp_rlock_get_depth (self->rlock) != self->depth)
    return OTHER;
  for (guint i = 0; i < self->depth; i++)
    release (self);
  return outcome;
}

static GPid
start_waiter (Fixture *self, guint number)
{
  guint n = mp_condition_get_n_waiters (self->condition);
  GPid pid;

  self->number = number;
  pid = test_fork (wait_in_child, self);
  wait_n_waiters (self, n + 1);
  test_wait_state (pid, 'S');
  return pid;
}

static void
check_order (gboolean rlock)
{
  Fixture fixture;
  GPid pids[N_WAITERS];

  fixture_init (&fixture, rlock);
  for (guint i = 0; i < N_WAITERS; i++)
    pids[i] = start_waiter (&fixture, i);
  notify (&fixture, 0);
  g_assert_cmpuint (mp_condition_get_n_waiters (fixture.condition), ==, N_WAITERS);
  notify (&fixture, 1);
  wait_n_woken (1);
  g_assert_cmpuint (mp_condition_get_n_waiters (fixture.condition), ==, N_WAITERS - 1);
  notify (&fixture, 1);
  wait_n_woken (2);
  notify (&fixture, 3);
  wait_n_woken (5);
  /* Those are exactly the first five; the last one has not moved. */
  for (guint i = 0; i < 5; i++)
    g_assert_cmpint (test_join (pids[i]), ==, DONE);
  g_assert_cmpuint (atomic_load (&shared->order[0]), ==, 0);
  g_assert_cmpuint (atomic_load (&shared->order[1]), ==, 1);
  g_assert_cmpuint (mp_condition_get_n_waiters (fixture.condition), ==, 1);
  notify (&fixture, G_MAXUINT);
  g_assert_cmpint (test_join (pids[5]), ==, DONE);
  g_assert_cmpuint (mp_condition_get_n_waiters (fixture.condition), ==, 0);
  /* Nobody is there: that is no error, and nothing is stored. */
  notify (&fixture, 2);
  acquire (&fixture);
  g_assert_cmpint (wait_once (&fixture, 0, NULL), ==, TIMED_OUT);
  release (&fixture);
  fixture_clear (&fixture);
}

static void
test_order (void)
{
  g_test_summary ("As many as were asked for, the first ones first");
  check_order (FALSE);
}

static void
test_order_rlock (void)
{
  g_test_summary ("The same with the other kind of lock");
  check_order (TRUE);
}

/* What a thread finds of which another one has the lock. */
static int
try_in_child (gpointer data)
{
  const Fixture *self = data;
  g_autoptr (GError) error = NULL;

  if (mp_condition_notify_all (self->condition, &error) ||
      !g_error_matches (error, MP_ERROR, MP_ERROR_NOT_OWNER) ||
      mp_condition_wait_interruptible (self->condition, -1) != MP_WAIT_RESULT_FAILED)
    return OTHER;
  return wait_once (self, -1, NULL);
}

static gpointer
try_as_stranger (gpointer data)
{
  return GINT_TO_POINTER (try_in_child (data));
}

static void
test_not_owner (void)
{
  Fixture fixture;
  g_autoptr (GError) error = NULL;

  g_test_summary ("Without the lock nothing happens");
  for (int i = 0; i < 2; i++)
    {
      fixture_init (&fixture, i == 1);
      g_assert_cmpint (wait_once (&fixture, -1, NULL), ==, NOT_OWNER);
      g_assert_cmpint (mp_condition_wait_interruptible (fixture.condition, -1),
                       ==,
                       MP_WAIT_RESULT_FAILED);
      g_assert_false (mp_condition_notify_one (fixture.condition, &error));
      g_assert_error (error, MP_ERROR, MP_ERROR_NOT_OWNER);
      g_clear_error (&error);
      g_assert_false (mp_condition_notify_all (fixture.condition, &error));
      g_assert_error (error, MP_ERROR, MP_ERROR_NOT_OWNER);
      g_clear_error (&error);
      g_assert_true (mp_condition_get_lock (fixture.condition) == fixture.lock);
      g_assert_true (mp_condition_get_rlock (fixture.condition) == fixture.rlock);
      fixture_clear (&fixture);
    }
  for (int i = 0; i < 2; i++)
    {
      GThread *thread;

      fixture_init (&fixture, i == 1);
      acquire (&fixture);
      thread = g_thread_new ("stranger", try_as_stranger, &fixture);
      g_assert_cmpint (GPOINTER_TO_INT (g_thread_join (thread)), ==, NOT_OWNER);
      g_assert_cmpint (test_join (test_fork (try_in_child, &fixture)), ==, NOT_OWNER);
      g_assert_true (mp_condition_notify_one (fixture.condition, &error));
      g_assert_no_error (error);
      release (&fixture);
      fixture_clear (&fixture);
    }
  g_assert_null (g_initable_new (MP_TYPE_CONDITION, NULL, &error, NULL));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
}

static void
test_timeout (void)
{
  Fixture fixture;
  gint64 start;

  g_test_summary ("Out of time, the lock is held as before");
  for (int i = 0; i < 2; i++)
    {
      fixture_init (&fixture, i == 1);
      acquire (&fixture);
      g_assert_cmpint (wait_once (&fixture, 0, NULL), ==, TIMED_OUT);
      start = g_get_monotonic_time ();
      g_assert_cmpint (wait_once (&fixture, 100 * 1000, NULL), ==, TIMED_OUT);
      g_assert_cmpint (g_get_monotonic_time () - start, >=, 100 * 1000);
      g_assert_cmpuint (mp_condition_get_n_waiters (fixture.condition), ==, 0);
      release (&fixture);
      fixture_clear (&fixture);
    }
}

static void
test_depth (void)
{
  Fixture fixture;
  GPid pid;

  g_test_summary ("A lock that is held three times is free meanwhile, and held three times again");
  fixture_init (&fixture, TRUE);
  fixture.depth = 3;
  pid = start_waiter (&fixture, 0);
  notify (&fixture, 1);
  g_assert_cmpint (test_join (pid), ==, DONE);
  fixture.timeout = 1000;
  pid = test_fork (wait_in_child, &fixture);
  g_assert_cmpint (test_join (pid), ==, TIMED_OUT);
  fixture_clear (&fixture);
}

static gpointer
wait_cancellably (gpointer data)
{
  const Fixture *self = ((gpointer *) data)[0];
  int outcome;

  acquire (self);
  outcome = wait_once (self, -1, ((gpointer *) data)[1]);
  release (self);
  return GINT_TO_POINTER (outcome);
}

static void
test_cancel (void)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Fixture fixture;
  gpointer call[] = { &fixture, cancellable };
  GThread *thread;
  GPid pid;

  g_test_summary ("Cancelled, it holds the lock, and takes nobody's notification");
  fixture_init (&fixture, FALSE);
  thread = g_thread_new ("wait", wait_cancellably, call);
  wait_n_waiters (&fixture, 1);
  pid = start_waiter (&fixture, 1);
  g_cancellable_cancel (cancellable);
  g_assert_cmpint (GPOINTER_TO_INT (g_thread_join (thread)), ==, CANCELLED);
  notify (&fixture, 1);
  g_assert_cmpint (test_join (pid), ==, DONE);
  acquire (&fixture);
  g_assert_cmpint (wait_once (&fixture, -1, cancellable), ==, CANCELLED);
  release (&fixture);
  fixture_clear (&fixture);
}

static void
test_killed (void)
{
  Fixture fixture;
  GPid pids[3];

  g_test_summary ("The dead are passed over");
  fixture_init (&fixture, FALSE);
  for (guint i = 0; i < 3; i++)
    pids[i] = start_waiter (&fixture, i);
  test_kill (pids[0]);
  notify (&fixture, 1);
  g_assert_cmpint (test_join (pids[1]), ==, DONE);
  g_assert_cmpuint (mp_condition_get_n_waiters (fixture.condition), ==, 1);
  notify (&fixture, 1);
  g_assert_cmpint (test_join (pids[2]), ==, DONE);
  fixture_clear (&fixture);
}

static void
test_handed_on (void)
{
  Fixture fixture;
  GPid pids[3];

  g_test_summary ("One that was notified and dies without the lock leaves it to the next");
  fixture_init (&fixture, FALSE);
  for (guint i = 0; i < 2; i++)
    pids[i] = start_waiter (&fixture, i);
  acquire (&fixture);
  g_assert_true (mp_condition_notify_one (fixture.condition, NULL));
  g_assert_cmpuint (mp_condition_get_n_waiters (fixture.condition), ==, 1);
  /* It cannot have come further than to the lock. */
  test_kill (pids[0]);
  release (&fixture);
  g_assert_cmpint (test_join (pids[1]), ==, DONE);

  /* Not to one that came later. */
  for (guint i = 0; i < 2; i++)
    pids[i] = start_waiter (&fixture, i);
  acquire (&fixture);
  g_assert_true (mp_condition_notify_all (fixture.condition, NULL));
  test_kill (pids[0]);
  release (&fixture);
  g_assert_cmpint (test_join (pids[1]), ==, DONE);
  fixture.timeout = 200 * 1000;
  pids[2] = start_waiter (&fixture, 2);
  g_assert_cmpint (test_join (pids[2]), ==, TIMED_OUT);
  fixture_clear (&fixture);
}

static void
test_stopped (void)
{
  Fixture fixture;
  GPid stopped, other;

  g_test_summary ("One that is stopped keeps its notification, and nobody else");
  fixture_init (&fixture, FALSE);
  stopped = start_waiter (&fixture, 0);
  g_assert_no_errno (kill (stopped, SIGSTOP));
  test_wait_state (stopped, 'T');
  other = start_waiter (&fixture, 1);
  notify (&fixture, 2);
  g_assert_cmpint (test_join (other), ==, DONE);
  g_assert_no_errno (kill (stopped, SIGCONT));
  g_assert_cmpint (test_join (stopped), ==, DONE);
  fixture_clear (&fixture);
}

static int
die_with_lock (gpointer data)
{
  const Fixture *self = data;

  acquire (self);
  mp_condition_notify_all (self->condition, NULL);
  atomic_store (&shared->step, 1);
  while (pause () < 0)
    ;
  return 0;
}

static int
wait_for_abandoned (gpointer data)
{
  const Fixture *self = data;

  acquire (self);
  if (wait_once (self, -1, NULL) != DONE)
    return 1;
  return mp_lock_get_abandoned (self->lock) ? 0 : 2;
}

static void
test_abandoned (void)
{
  Fixture fixture;
  GPid waiter, victim;

  g_test_summary ("Who takes the lock of one that notified and died knows of it");
  fixture_init (&fixture, FALSE);
  waiter = test_fork (wait_for_abandoned, &fixture);
  wait_n_waiters (&fixture, 1);
  victim = test_fork (die_with_lock, &fixture);
  while (atomic_load (&shared->step) == 0)
    g_thread_yield ();
  test_kill (victim);
  g_assert_cmpint (test_join (waiter), ==, 0);
  fixture_clear (&fixture);
}

static volatile sig_atomic_t n_handled;

static void
on_signal (int number)
{
  n_handled++;
}

/* Goes on waiting after a signal, which it has not seen before step is 2; or stops. */
static int
wait_interrupted (gpointer data)
{
  struct sigaction action = { .sa_handler = on_signal };
  const Fixture *self = data;

  sigaction (SIGUSR1, &action, NULL);
  acquire (self);
  while (n_handled == 0)
    {
      if (mp_condition_wait_interruptible (self->condition, -1) != MP_WAIT_RESULT_INTERRUPTED)
        return 1;
    }
  atomic_store (&shared->step, 1);
  while (atomic_load (&shared->step) == 1)
    g_thread_yield ();
  if (atomic_load (&shared->step) == 2)
    {
      if (mp_condition_wait_interruptible (self->condition, -1) != MP_WAIT_RESULT_DONE)
        return 2;
    }
  else if (mp_condition_stop_waiting (self->condition) != (atomic_load (&shared->step) == 3))
    return 3;
  if (mp_condition_stop_waiting (self->condition))
    return 4;
  release (self);
  return 0;
}

static void
check_interrupted (guint step)
{
  Fixture fixture;
  GPid pid;

  fixture_init (&fixture, TRUE);
  atomic_store (&shared->step, 0);
  pid = test_fork (wait_interrupted, &fixture);
  wait_n_waiters (&fixture, 1);
  test_wait_state (pid, 'S');
  g_assert_no_errno (kill (pid, SIGUSR1));
  while (atomic_load (&shared->step) == 0)
    g_thread_yield ();
  /* The lock is free, and it counts although it does something else. */
  g_assert_cmpuint (mp_condition_get_n_waiters (fixture.condition), ==, 1);
  if (step != 4)
    notify (&fixture, 1);
  atomic_store (&shared->step, step);
  g_assert_cmpint (test_join (pid), ==, 0);
  g_assert_cmpuint (mp_condition_get_n_waiters (fixture.condition), ==, 0);
  fixture_clear (&fixture);
}

static void
test_interrupted (void)
{
  g_test_summary ("A signal handler interrupts the wait, and no notification is lost meanwhile");
  check_interrupted (2);
  check_interrupted (3);
  check_interrupted (4);
}

static void
test_turns (void)
{
  gint64 start = g_get_monotonic_time ();
  Fixture fixture;

  g_test_summary ("Who waits and may miss a signal returns twice a second, and is still there");
  fixture_init (&fixture, FALSE);
  acquire (&fixture);
  for (int i = 0; i < 2; i++)
    {
      g_assert_cmpint (mp_condition_wait_interruptible (fixture.condition, -1),
                       ==,
                       MP_WAIT_RESULT_INTERRUPTED);
      g_assert_cmpuint (mp_condition_get_n_waiters (fixture.condition), ==, 1);
    }
  g_assert_cmpint (g_get_monotonic_time () - start, <, G_USEC_PER_SEC + test_soon ());
  g_assert_false (mp_condition_stop_waiting (fixture.condition));
  release (&fixture);
  fixture_clear (&fixture);
}

/* As when the handler of a language waits for something else meanwhile. */
static int
wait_nested (gpointer data)
{
  struct sigaction action = { .sa_handler = on_signal };
  const Fixture *self = data;
  Fixture inner = { .timeout = -1, .depth = 1 };
  int result;

  sigaction (SIGUSR1, &action, NULL);
  acquire (self);
  if (mp_condition_wait_interruptible (self->condition, -1) != MP_WAIT_RESULT_INTERRUPTED)
    return 1;
  inner.lock = mp_lock_new (NULL);
  inner.condition = mp_condition_new (inner.lock, NULL);
  acquire (&inner);
  if (mp_condition_wait_interruptible (inner.condition, 1000) != MP_WAIT_RESULT_TIMED_OUT)
    return 2;
  release (&inner);
  g_object_unref (inner.condition);
  g_object_unref (inner.lock);
  atomic_store (&shared->step, 1);
  while ((result = mp_condition_wait_interruptible (self->condition, -1)) ==
         MP_WAIT_RESULT_INTERRUPTED)
    ;
  if (result != MP_WAIT_RESULT_DONE)
    return 3;
  release (self);
  return 0;
}

static void
test_nested (void)
{
  Fixture fixture;
  GPid pid;

  g_test_summary ("A signal handler that interrupts a wait waits for something else");
  fixture_init (&fixture, FALSE);
  pid = test_fork (wait_nested, &fixture);
  wait_n_waiters (&fixture, 1);
  test_wait_state (pid, 'S');
  g_assert_no_errno (kill (pid, SIGUSR1));
  while (atomic_load (&shared->step) == 0)
    g_thread_yield ();
  g_assert_cmpuint (mp_condition_get_n_waiters (fixture.condition), ==, 1);
  notify (&fixture, 1);
  g_assert_cmpint (test_join (pid), ==, 0);
  fixture_clear (&fixture);
}

static int
consume (gpointer data)
{
  const Fixture *self = data;

  for (;;)
    {
      acquire (self);
      while (shared->n_items == 0 && shared->n_taken < N_ITEMS)
        {
          if (wait_once (self, -1, NULL) != DONE)
            return 1;
        }
      if (shared->n_items == 0)
        break;
      shared->n_items--;
      if (++shared->n_taken == N_ITEMS)
        mp_condition_notify_all (self->condition, NULL);
      release (self);
    }
  release (self);
  return 0;
}

static void
test_consumers (void)
{
  Fixture fixture;
  GPid pids[3];

  g_test_summary ("One notification for each thing is enough");
  for (int i = 0; i < 2; i++)
    {
      fixture_init (&fixture, i == 1);
      for (guint j = 0; j < G_N_ELEMENTS (pids); j++)
        pids[j] = test_fork (consume, &fixture);
      for (guint j = 0; j < N_ITEMS; j++)
        {
          acquire (&fixture);
          shared->n_items++;
          mp_condition_notify_one (fixture.condition, NULL);
          release (&fixture);
        }
      for (guint j = 0; j < G_N_ELEMENTS (pids); j++)
        g_assert_cmpint (test_join (pids[j]), ==, 0);
      g_assert_cmpuint (shared->n_taken, ==, N_ITEMS);
      fixture_clear (&fixture);
    }
}

/* The queue alone: a thousand real waiters would be dear. */
static void
test_limit (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (MpArena) arena = mp_arena_ref_default (&error);
  g_auto (MpBlock) block = MP_BLOCK_INIT;
  g_autofree MpConditionWaiter *waiters = g_new0 (MpConditionWaiter, MP_CONDITION_MAX_WAITERS + 1);
  MpConditionShared *memory;

  g_test_summary ("No more than a thousand, and again as many when they have gone");
  g_assert_no_error (error);
  g_assert_true (mp_block_new (&block,
                               arena,
                               MP_BLOCK_KIND ('t', 'e', 's', 't'),
                               sizeof (MpConditionShared),
                               &error));
  memory = block.memory;
  /* Tickets start anew after the highest. */
  atomic_store (&memory->next_ticket, G_MAXUINT32 - 500);
  for (int round = 0; round < 2; round++)
    {
      for (guint i = 0; i < MP_CONDITION_MAX_WAITERS; i++)
        g_assert_true (mp_condition_queue_enter (&block, &waiters[i], &error));
      g_assert_false (
        mp_condition_queue_enter (&block, &waiters[MP_CONDITION_MAX_WAITERS], &error));
      g_assert_error (error, MP_ERROR, MP_ERROR_LIMIT);
      g_clear_error (&error);
      g_assert_cmpuint (mp_condition_queue_count (&block), ==, MP_CONDITION_MAX_WAITERS);
      mp_condition_queue_notify (&block, 700);
      for (guint i = 0; i < MP_CONDITION_MAX_WAITERS; i++)
        {
          g_assert_cmpint (mp_condition_queue_sleep (&waiters[i], 0, NULL, FALSE),
                           ==,
                           i < 700 ? MP_WAIT_RESULT_DONE : MP_WAIT_RESULT_TIMED_OUT);
          if (i < 700)
            mp_condition_queue_leave (&waiters[i]);
        }
    }
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
  Fixture self = { .timeout = -1, .depth = 1 };
  g_autoptr (MpShareable) condition =
    mp_shareable_new_from_handle (travel->handle, travel->fd_list, NULL);

  if (!MP_IS_CONDITION (condition))
    return OTHER;
  self.condition = MP_CONDITION (condition);
  self.lock = mp_condition_get_lock (self.condition);
  self.rlock = mp_condition_get_rlock (self.condition);
  return wait_in_child (&self);
}

static void
test_handle (void)
{
  Fixture fixture;

  g_test_summary ("A handle gives the same condition with the same lock");
  for (int i = 0; i < 2; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
      g_autoptr (GVariant) handle = NULL;
      Travel travel;
      GPid pid;

      fixture_init (&fixture, i == 1);
      handle = mp_shareable_to_handle (MP_SHAREABLE (fixture.condition), fd_list, &error);
      g_assert_no_error (error);
      g_assert_cmpint (g_unix_fd_list_get_length (fd_list), ==, 1);
      travel = (Travel){ .handle = handle, .fd_list = fd_list };
      pid = test_fork (wait_as_stranger, &travel);
      wait_n_waiters (&fixture, 1);
      notify (&fixture, 1);
      g_assert_cmpint (test_join (pid), ==, DONE);
      fixture_clear (&fixture);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/condition/order", test_order);
  g_test_add_func ("/mp/condition/order-rlock", test_order_rlock);
  g_test_add_func ("/mp/condition/not-owner", test_not_owner);
  g_test_add_func ("/mp/condition/timeout", test_timeout);
  g_test_add_func ("/mp/condition/depth", test_depth);
  g_test_add_func ("/mp/condition/killed", test_killed);
  g_test_add_func ("/mp/condition/handed-on", test_handed_on);
  g_test_add_func ("/mp/condition/stopped", test_stopped);
  g_test_add_func ("/mp/condition/abandoned", test_abandoned);
  g_test_add_func ("/mp/condition/interrupted", test_interrupted);
  g_test_add_func ("/mp/condition/turns", test_turns);
  g_test_add_func ("/mp/condition/nested", test_nested);
  g_test_add_func ("/mp/condition/consumers", test_consumers);
  g_test_add_func ("/mp/condition/limit", test_limit);
  g_test_add_func ("/mp/condition/handle", test_handle);
  g_test_add_func ("/mp/condition/cancel", test_cancel);
  return g_test_run ();
}
