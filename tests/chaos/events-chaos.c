/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* events-chaos [KILLS]
 *
 * Conditions, events and barriers, whose users are killed with SIGKILL at random
 * instants. What must hold whatever happens:
 *
 * - whoever lives and was notified, or waits for an event that was set, goes on,
 *   also if the one who did it was killed in the middle of it;
 * - no notification is lost with one that was killed before it had the lock;
 * - when one is killed in a barrier the others are told, and nobody ever passes it
 *   before all have come;
 * - all that within a second.
 *
 * Each mode prints how long that took. */

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libmp.h"
#include "sync/mp-barrier-cycle-private.h"
#include "chaos.h"

#define N_USERS 6
#define FULL_KILLS 1200
#define SHORT_KILLS 90
#define LIMIT_US (G_USEC_PER_SEC)

/* Seen by all processes. */
typedef struct
{
  _Atomic guint32 round; /* users wait for the next one */
  _Atomic guint32 stop;
  _Atomic guint64 n_done;
  _Atomic guint32 n_wrong;
  _Atomic guint32 begun[N_USERS]; /* calls in this round */
  _Atomic gint64 ended_at[N_USERS];
  /* Protected by the lock of the condition. */
  guint32 n_items;
} Ledger;

typedef struct
{
  pid_t pids[N_USERS];
  gint64 *pauses;
  guint n_pauses;
  guint n_kills;
  guint32 random;
} Run;

static Ledger *ledger;
static guint n_kills;

/* Up to @max microseconds. */
static void
pause_a_moment (guint32 *random, guint32 max)
{
  struct timespec moment = { .tv_nsec = next_random (random) % (max * 1000) };

  ppoll (NULL, 0, &moment, NULL);
}

static void
run_begin (Run *self)
{
  ledger = chaos_ledger_new (sizeof *ledger);
  *self =
    (Run){ .random = (guint32) g_test_rand_int () | 1, .pauses = g_new0 (gint64, n_kills + 1) };
}

static void
kill_user (Run *self, guint which)
{
  g_assert_no_errno (kill (self->pids[which], SIGKILL));
  g_assert_cmpint (waitpid (self->pids[which], NULL, 0), ==, self->pids[which]);
  self->n_kills++;
}

static int
compare_pauses (gconstpointer a, gconstpointer b)
{
  const gint64 *x = a, *y = b;

  return *x < *y ? -1 : *x > *y;
}

static void
run_end (Run *self, const char *what, guint n_first, guint n_last)
{
  guint n = self->n_pauses;

  for (guint i = n_first; i < n_last; i++)
    {
      kill (self->pids[i], SIGKILL);
      waitpid (self->pids[i], NULL, 0);
    }
  g_assert_cmpuint (atomic_load (&ledger->n_wrong), ==, 0);
  qsort (self->pauses, n, sizeof *self->pauses, compare_pauses);
  if (n > 0)
    g_test_message ("%u killed; until %s: median %.1f, 90 %% %.1f, 99 %% %.1f, longest %.1f ms",
                    self->n_kills,
                    what,
                    (double) self->pauses[n / 2] / 1000,
                    (double) self->pauses[n * 9 / 10] / 1000,
                    (double) self->pauses[n * 99 / 100] / 1000,
                    (double) self->pauses[n - 1] / 1000);
  g_free (self->pauses);
  munmap (ledger, sizeof *ledger);
}

static pid_t
start (void (*body) (guint which, gpointer object), guint which, gpointer object)
{
  pid_t parent = getpid (), pid;

  fflush (NULL);
  pid = fork ();
  if (pid == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      if (getppid () == parent)
        body (which, object);
      _exit (0);
    }
  g_assert_cmpint (pid, >, 0);
  return pid;
}

/* Barriers */

static void
begin_round (guint32 round)
{
  while (atomic_load (&ledger->round) == round)
    poll (NULL, 0, 1);
}

static void G_GNUC_NORETURN
meet (guint which, gpointer object)
{
  for (;;)
    {
      guint32 round = atomic_load (&ledger->round), n;
      guint index;

      do
        {
          gboolean passed;

          n = atomic_fetch_add (&ledger->begun[which], 1) + 1;
          passed = mp_barrier_wait (object, -1, NULL, &index, NULL);
          for (guint i = 0; passed && i < N_USERS; i++)
            {
              /* Somebody had not come. */
              if (atomic_load (&ledger->begun[i]) < n)
                atomic_fetch_add (&ledger->n_wrong, 1);
            }
          if (!passed)
            break;
        }
      while (index < N_USERS);
      atomic_store (&ledger->ended_at[which], g_get_monotonic_time ());
      begin_round (round);
    }
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

/* Whether somebody dead is in the barrier of whom the others have to hear: in this
 * cycle, or in the one before, if it was not broken. */
static gboolean
is_dead_there (MpArena *arena, MpBarrierShared *shared)
{
  guint64 state = atomic_load (&shared->state);
  guint32 cycle = (guint32) state >> MP_BARRIER_CYCLE_SHIFT, n_resets = (guint32) (state >> 32);
  gboolean broken =
    n_resets > 0 && shared->broken[(n_resets - 1) % MP_BARRIER_N_BROKEN] == cycle - 1;

  for (guint i = 0; i < 2 * N_USERS; i++)
    {
      guint64 place = atomic_load (&shared->places[i]);
      guint32 n_since = cycle - (guint32) (place >> 32);

      if ((guint32) place != 0 && ((guint32) place >> 31) == 0 && n_since <= (broken ? 0 : 1) &&
          !mp_participants_is_alive (mp_arena_get_participants (arena),
                                     (guint32) place & MP_PARTICIPANT_MASK))
        return TRUE;
    }
  return FALSE;
}

/* Until all but @victim have come to the end of the round; FALSE if nobody will tell
 * them, because it was killed before it came. */
static gboolean
wait_until_told (guint victim, MpArena *arena, MpBarrierShared *shared, gint64 since)
{
  for (;;)
    {
      guint n = 0;
      gboolean dead = is_dead_there (arena, shared);
      gint64 now = g_get_monotonic_time ();

      for (guint i = 0; i < N_USERS; i++)
        n += i != victim && atomic_load (&ledger->ended_at[i]) != 0;
      if (n == N_USERS - 1)
        return TRUE;
      if (!dead && now - since > 200 * 1000 && (atomic_load (&shared->state) & 1) == 0)
        return FALSE;
      g_assert_cmpint (now - since, <, HANG_US);
      poll (NULL, 0, 1);
    }
}

static void
test_barrier (void)
{
  Run self;
  g_autoptr (GError) error = NULL;
  g_autoptr (MpBarrier) barrier = mp_barrier_new (N_USERS, &error);
  g_autoptr (MpArena) arena = mp_arena_ref_default (&error);
  MpBarrierShared *shared = NULL;
  guint n_outside = 0, n_late = 0;

  g_test_summary ("A party is killed; the others are told");
  g_assert_no_error (error);
  run_begin (&self);
  mp_arena_foreach_block (arena, find_barrier, &shared);
  g_assert_nonnull (shared);
  for (guint i = 0; i < N_USERS; i++)
    self.pids[i] = start (meet, i, barrier);
  while (self.n_kills < n_kills)
    {
      guint victim = next_random (&self.random) % N_USERS;
      gint64 since, until = 0;

      pause_a_moment (&self.random, 4000);
      since = g_get_monotonic_time ();
      kill_user (&self, victim);
      if (!wait_until_told (victim, arena, shared, since))
        {
          n_outside++;
          mp_barrier_abort (barrier);
          g_assert_true (wait_until_told (victim, arena, shared, g_get_monotonic_time ()));
        }
      else
        {
          for (guint i = 0; i < N_USERS; i++)
            until = MAX (until, i != victim ? atomic_load (&ledger->ended_at[i]) : 0);
          self.pauses[self.n_pauses++] = until - since;
          n_late += until - since > LIMIT_US;
        }
      for (guint i = 0; i < N_USERS; i++)
        {
          atomic_store (&ledger->begun[i], 0);
          atomic_store (&ledger->ended_at[i], 0);
        }
      mp_barrier_reset (barrier);
      self.pids[victim] = start (meet, victim, barrier);
      atomic_fetch_add (&ledger->round, 1);
    }
  g_test_message ("%u were killed outside the barrier", n_outside);
  run_end (&self, "all others know", 0, N_USERS);
  g_assert_cmpuint (n_late, ==, 0);
}

/* Events */

#define SETTER (N_USERS - 1)

static void G_GNUC_NORETURN
wait_for_event (guint which, gpointer object)
{
  for (;;)
    {
      guint32 round = atomic_load (&ledger->round);

      if (!mp_event_wait (object, -1, NULL, NULL))
        atomic_fetch_add (&ledger->n_wrong, 1);
      atomic_store (&ledger->ended_at[which], g_get_monotonic_time ());
      begin_round (round);
    }
}

static void
set_event (guint which, gpointer object)
{
  guint32 round = atomic_load (&ledger->round);

  atomic_store (&ledger->begun[which], 1);
  mp_event_set (object);
  if (round % 2 == 0)
    mp_event_clear (object);
  while (pause () < 0)
    ;
}

static guint
count_ended (guint victim)
{
  guint n = 0;

  for (guint i = 0; i < SETTER; i++)
    n += i != victim && atomic_load (&ledger->ended_at[i]) != 0;
  return n;
}

/* All that live and wait go on; or nobody does, and the event was never set. */
static void
wait_until_woken (Run *self, MpEvent *event, guint victim, gint64 since)
{
  guint n_expected = victim < SETTER ? SETTER - 1 : SETTER;
  gint64 until = 0;

  while (count_ended (victim) < n_expected)
    {
      gint64 now = g_get_monotonic_time ();

      if (now - since > 300 * 1000 && count_ended (victim) == 0)
        {
          mp_event_set (event);
          since = now;
        }
      g_assert_cmpint (now - since, <, HANG_US);
      poll (NULL, 0, 1);
    }
  for (guint i = 0; i < SETTER; i++)
    until = MAX (until, i != victim ? atomic_load (&ledger->ended_at[i]) : 0);
  self->pauses[self->n_pauses++] = MAX (until - since, 0);
  g_assert_cmpint (until - since, <, LIMIT_US);
}

static void
test_event (void)
{
  Run self;
  g_autoptr (GError) error = NULL;
  g_autoptr (MpEvent) event = mp_event_new (&error);

  g_test_summary ("Who sets it is killed, and now and then one that waits: the others go on");
  g_assert_no_error (error);
  run_begin (&self);
  for (guint i = 0; i < SETTER; i++)
    self.pids[i] = start (wait_for_event, i, event);
  while (self.n_kills < n_kills)
    {
      guint victim = next_random (&self.random) % (2 * SETTER);
      guint32 random = next_random (&self.random);
      gint64 since = g_get_monotonic_time (), now = since;

      while (mp_event_get_n_waiters (event) < SETTER)
        {
          g_assert_cmpint (g_get_monotonic_time () - since, <, HANG_US);
          sched_yield ();
        }
      self.pids[SETTER] = start (set_event, SETTER, event);
      while (atomic_load (&ledger->begun[SETTER]) == 0)
        sched_yield ();
      /* It is just about to do it. */
      since = g_get_monotonic_time ();
      while (now < since + random % 30)
        now = g_get_monotonic_time ();
      if (victim < SETTER)
        kill_user (&self, victim);
      kill_user (&self, SETTER);
      wait_until_woken (&self, event, victim, since);
      mp_event_clear (event);
      for (guint i = 0; i < N_USERS; i++)
        {
          atomic_store (&ledger->ended_at[i], 0);
          atomic_store (&ledger->begun[i], 0);
        }
      if (victim < SETTER)
        self.pids[victim] = start (wait_for_event, victim, event);
      atomic_fetch_add (&ledger->round, 1);
    }
  run_end (&self, "all others go on", 0, SETTER);
}

/* Conditions */

#define N_PRODUCERS 2

static gboolean
was_abandoned (MpCondition *condition)
{
  MpLock *lock = mp_condition_get_lock (condition);

  return lock != NULL ? mp_lock_get_abandoned (lock)
                      : mp_rlock_get_abandoned (mp_condition_get_rlock (condition));
}

/* The one before may have changed something, and not told. */
static void
look_after (MpCondition *condition)
{
  if (was_abandoned (condition))
    mp_condition_notify_all (condition, NULL);
}

static void
enter (MpCondition *condition)
{
  MpLock *lock = mp_condition_get_lock (condition);

  if (!(lock != NULL ? mp_lock_acquire (lock, -1, NULL, NULL)
                     : mp_rlock_acquire (mp_condition_get_rlock (condition), -1, NULL, NULL)))
    atomic_fetch_add (&ledger->n_wrong, 1);
  look_after (condition);
}

static void
leave (MpCondition *condition)
{
  MpLock *lock = mp_condition_get_lock (condition);

  if (!(lock != NULL ? mp_lock_release (lock, NULL)
                     : mp_rlock_release (mp_condition_get_rlock (condition), NULL)))
    atomic_fetch_add (&ledger->n_wrong, 1);
}

static void
produce (guint which, gpointer object)
{
  guint32 random = (guint32) getpid () * 2654435761u | 1;

  while (atomic_load (&ledger->stop) == 0)
    {
      enter (object);
      if (ledger->n_items < 100)
        {
          ledger->n_items++;
          mp_condition_notify_one (object, NULL);
        }
      leave (object);
      if (next_random (&random) % 4 == 0)
        pause_a_moment (&random, 300);
    }
  while (pause () < 0)
    ;
}

static void G_GNUC_NORETURN
consume (guint which, gpointer object)
{
  for (;;)
    {
      enter (object);
      while (ledger->n_items == 0)
        {
          if (!mp_condition_wait (object, -1, NULL, NULL))
            atomic_fetch_add (&ledger->n_wrong, 1);
          look_after (object);
        }
      ledger->n_items--;
      leave (object);
      atomic_fetch_add (&ledger->n_done, 1);
    }
}

static void
start_user (Run *self, guint which, MpCondition *condition)
{
  self->pids[which] = start (which < N_PRODUCERS ? produce : consume, which, condition);
}

/* How long nothing comes out. */
static gint64
wait_until_moving (void)
{
  gint64 since = g_get_monotonic_time (), now = since;
  guint64 n = atomic_load (&ledger->n_done);

  while (atomic_load (&ledger->n_done) == n)
    {
      g_assert_cmpint (now - since, <, HANG_US);
      sched_yield ();
      now = g_get_monotonic_time ();
    }
  return now - since;
}

/* Whoever makes something has stopped: all has to come out by itself. */
static void
wait_until_empty (MpCondition *condition)
{
  gint64 since = g_get_monotonic_time ();
  guint32 n;

  do
    {
      enter (condition);
      n = ledger->n_items;
      leave (condition);
      g_assert_cmpint (g_get_monotonic_time () - since, <, HANG_US);
    }
  while (n > 0);
}

static void
run_condition (MpCondition *condition)
{
  Run self;

  run_begin (&self);
  for (guint i = 0; i < N_USERS; i++)
    start_user (&self, i, condition);
  while (self.n_kills < n_kills / 2)
    {
      guint victim = next_random (&self.random) % N_USERS;

      pause_a_moment (&self.random, 6000);
      kill_user (&self, victim);
      self.pauses[self.n_pauses++] = wait_until_moving ();
      start_user (&self, victim, condition);
      if (self.n_kills % 20 > 0)
        continue;
      atomic_store (&ledger->stop, 1);
      wait_until_empty (condition);
      atomic_store (&ledger->stop, 0);
      for (guint i = 0; i < N_PRODUCERS; i++)
        {
          kill_user (&self, i);
          start_user (&self, i, condition);
        }
    }
  for (guint i = 0; i < self.n_pauses; i++)
    g_assert_cmpint (self.pauses[i], <, LIMIT_US);
  run_end (&self, "something comes out again", 0, N_USERS);
}

static void
test_condition (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (MpLock) lock = mp_lock_new (&error);
  g_autoptr (MpCondition) condition = mp_condition_new (lock, &error);

  g_test_summary ("Who makes, and who waits, is killed: what was made comes out");
  g_assert_no_error (error);
  run_condition (condition);
}

static void
test_condition_rlock (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (MpRLock) lock = mp_rlock_new (&error);
  g_autoptr (MpCondition) condition = mp_condition_new_with_rlock (lock, &error);

  g_test_summary ("The same with the other kind of lock");
  g_assert_no_error (error);
  run_condition (condition);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  n_kills = g_strcmp0 (g_getenv ("MP_CHAOS"), "full") == 0 ? FULL_KILLS : SHORT_KILLS;
  if (argc > 1)
    n_kills = (guint) g_ascii_strtoull (argv[1], NULL, 10);
  g_test_add_func ("/mp/chaos/condition", test_condition);
  g_test_add_func ("/mp/chaos/condition-rlock", test_condition_rlock);
  g_test_add_func ("/mp/chaos/event", test_event);
  g_test_add_func ("/mp/chaos/barrier", test_barrier);
  return g_test_run ();
}
