/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Conditions, events and barriers: a process that does something with them is killed
 * after its first instruction, then another one after its second, and so on until it
 * comes to its end. With MP_CHAOS=full after each, otherwise after some. */

#include "libmp.h"
#include "sync/mp-barrier-cycle-private.h"
#include "test-steps.h"

#define LIMIT_US (2 * test_soon ())

/* How long until the process ends, with that code; at least @longest is returned. */
static gint64
time_end (GPid pid, int code, gint64 longest)
{
  gint64 start = g_get_monotonic_time (), took;

  g_assert_cmpint (test_join (pid), ==, code);
  took = g_get_monotonic_time () - start;
  g_assert_cmpint (took, <, LIMIT_US);
  return MAX (longest, took);
}

static void
report (guint n, gint64 longest)
{
  g_test_message ("killed after each of %u instructions; the others waited %.1f ms at most",
                  n,
                  (double) longest / 1000);
}

/* Events */

static int
wait_for_event (gpointer data)
{
  return mp_event_wait (data, -1, NULL, NULL) ? 0 : 1;
}

static void
set_event (gpointer object)
{
  mp_event_set (object);
}

static void
test_event (void)
{
  g_autoptr (MpEvent) event = mp_event_new (NULL);
  Deed deed = { .act = set_event, .object = event };
  gint64 longest = 0;
  gboolean killed = TRUE;
  guint n = get_first ();

  g_test_summary ("One that sets an event");
  for (; killed; n += stride)
    {
      GPid waiter = test_fork (wait_for_event, event);

      while (mp_event_get_n_waiters (event) == 0)
        g_thread_yield ();
      test_wait_state (waiter, 'S');
      killed = kill_after (&deed, n);
      if (!mp_event_get_is_set (event))
        mp_event_set (event);
      longest = time_end (waiter, 0, longest);
      mp_event_clear (event);
    }
  report (n, longest);
}

/* Conditions */

static void
acquire (MpCondition *condition)
{
  g_assert_true (mp_lock_acquire (mp_condition_get_lock (condition), -1, NULL, NULL));
}

static void
release (MpCondition *condition)
{
  g_assert_true (mp_lock_release (mp_condition_get_lock (condition), NULL));
}

static int
wait_for_condition (gpointer data)
{
  gboolean notified;

  acquire (data);
  notified = mp_condition_wait (data, -1, NULL, NULL);
  release (data);
  return notified ? 0 : 1;
}

static GPid
start_waiter (MpCondition *condition, guint n_waiters)
{
  GPid pid = test_fork (wait_for_condition, condition);

  while (mp_condition_get_n_waiters (condition) != n_waiters)
    g_thread_yield ();
  test_wait_state (pid, 'S');
  return pid;
}

static void
prepare_to_notify (gpointer object)
{
  acquire (object);
}

static void
notify_and_release (gpointer object)
{
  mp_condition_notify_one (object, NULL);
  release (object);
}

static void
wait_a_moment (gpointer object)
{
  mp_condition_wait (object, 0, NULL, NULL);
  release (object);
}

static void
test_notifier (void)
{
  g_autoptr (MpLock) lock = mp_lock_new (NULL);
  g_autoptr (MpCondition) condition = mp_condition_new (lock, NULL);
  Deed deed = { .prepare = prepare_to_notify, .act = notify_and_release, .object = condition };
  gint64 longest = 0;
  gboolean killed = TRUE;
  guint n = get_first ();

  g_test_summary ("One that notifies and releases the lock");
  for (; killed; n += stride)
    {
      GPid waiter = start_waiter (condition, 1);

      killed = kill_after (&deed, n);
      acquire (condition);
      /* It had not come to that, and then it had the lock. */
      if (mp_condition_get_n_waiters (condition) == 1)
        {
          g_assert_true (mp_lock_get_abandoned (lock));
          mp_condition_notify_one (condition, NULL);
        }
      release (condition);
      longest = time_end (waiter, 0, longest);
    }
  report (n, longest);
}

static void
test_waiter (void)
{
  g_autoptr (MpLock) lock = mp_lock_new (NULL);
  g_autoptr (MpCondition) condition = mp_condition_new (lock, NULL);
  Deed deed = { .prepare = prepare_to_notify, .act = wait_a_moment, .object = condition };
  gint64 longest = 0;
  gboolean killed = TRUE;
  guint n = get_first ();

  g_test_summary ("One that begins to wait, and gives up");
  for (; killed; n += stride)
    {
      GPid waiter;

      killed = kill_after (&deed, n);
      g_assert_cmpuint (mp_condition_get_n_waiters (condition), ==, 0);
      waiter = start_waiter (condition, 1);
      acquire (condition);
      mp_condition_notify_one (condition, NULL);
      release (condition);
      longest = time_end (waiter, 0, longest);
    }
  report (n, longest);
}

/* Barriers */

#define BROKEN 20

static int
pass (gpointer data)
{
  g_autoptr (GError) error = NULL;
  guint index;

  if (mp_barrier_wait (data, -1, NULL, &index, &error))
    return (int) index;
  return g_error_matches (error, MP_ERROR, MP_ERROR_BROKEN_BARRIER) ? BROKEN : 30;
}

static void
pass_last (gpointer object)
{
  mp_barrier_wait (object, -1, NULL, NULL, NULL);
}

static void
find_barrier (guint32 kind,
              guint32 slot,
              guint32 generation,
              gpointer memory,
              gsize size,
              gpointer user_data)
{
  if (kind == MP_BARRIER_KIND)
    *(MpBarrierShared **) user_data = memory;
}

/* The second place of a cycle, of the one that is killed. */
static guint64
get_place (MpBarrierShared *shared, guint32 cycle)
{
  guint64 place = atomic_load (&shared->places[2 * (cycle & 1) + 1]);

  return (guint32) (place >> 32) == cycle ? (guint32) place : 0;
}

/* Returns how long the others waited, or @longest. */
static gint64
check_barrier (MpBarrier *barrier,
               MpBarrierShared *shared,
               GPid waiter,
               guint32 cycle,
               gint64 longest)
{
  guint64 place = get_place (shared, cycle);
  gint64 start, took;

  if (place == 0)
    {
      /* It had not come. */
      g_assert_cmpint (pass (barrier), ==, 1);
      return time_end (waiter, 0, longest);
    }
  if ((guint32) atomic_load (&shared->state) >> MP_BARRIER_CYCLE_SHIFT == cycle)
    {
      /* It had not let the other one go. */
      longest = time_end (waiter, BROKEN, longest);
      g_assert_true (mp_barrier_get_broken (barrier));
      return longest;
    }
  longest = time_end (waiter, 0, longest);
  if ((place & 0x80000000u) != 0)
    return longest;
  /* It had not gone itself. */
  start = g_get_monotonic_time ();
  g_assert_cmpint (pass (barrier), ==, BROKEN);
  took = g_get_monotonic_time () - start;
  g_assert_cmpint (took, <, LIMIT_US);
  return MAX (longest, took);
}

static void
test_barrier (void)
{
  g_autoptr (MpBarrier) barrier = mp_barrier_new (2, NULL);
  g_autoptr (MpArena) arena = mp_arena_ref_default (NULL);
  Deed deed = { .act = pass_last, .object = barrier };
  MpBarrierShared *shared = NULL;
  gint64 longest = 0;
  gboolean killed = TRUE;
  guint n = get_first ();

  g_test_summary ("The last one that comes to a barrier");
  mp_arena_foreach_block (arena, find_barrier, &shared);
  g_assert_nonnull (shared);
  for (; killed; n += stride)
    {
      guint32 cycle = (guint32) atomic_load (&shared->state) >> MP_BARRIER_CYCLE_SHIFT;
      GPid waiter = test_fork (pass, barrier);

      while (mp_barrier_get_n_waiting (barrier) == 0)
        g_thread_yield ();
      test_wait_state (waiter, 'S');
      killed = kill_after (&deed, n);
      longest = check_barrier (barrier, shared, waiter, cycle, longest);
      mp_barrier_reset (barrier);
    }
  report (n, longest);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  steps_init ();
  /* Only the first call is long, and not what is tried here. */
  mp_error_quark ();
  g_test_add_func ("/mp/chaos/steps/event", test_event);
  g_test_add_func ("/mp/chaos/steps/notifier", test_notifier);
  g_test_add_func ("/mp/chaos/steps/waiter", test_waiter);
  g_test_add_func ("/mp/chaos/steps/barrier", test_barrier);
  return g_test_run ();
}
