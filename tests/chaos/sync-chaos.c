/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* sync-chaos [-p /mp/sync-chaos/MODE] [KILLS]
 *
 * Processes that fight for one lock, recursive lock or semaphore, killed with
 * SIGKILL at random instants. What must hold whatever happens:
 *
 * - never are there more in the section than may be. Each counts itself in memory
 *   that the lock protects, and changes two numbers one after the other: a section
 *   that was torn is only ever found by one who was told that the holder died;
 * - nobody waits for a dead process for longer than a second, and hardly anybody
 *   for longer than a tenth of it;
 * - the units of dead processes come back, all of them;
 * - it never hangs, and is free at the end. */

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libmp.h"
#include "chaos.h"

#define N_PROCESSES 4
/* What a wait for a dead holder may take: in 99 of 100 cases, and always. */
#define MOSTLY_US (100 * 1000)
#define ALWAYS_US (G_USEC_PER_SEC)

/* Seen by all processes. */
typedef struct
{
  _Atomic guint64 n_acquired;
  _Atomic guint64 n_abandoned;
  _Atomic guint64 n_torn; /* and told so */
  _Atomic guint64 n_violations;
  _Atomic guint64 n_timeouts;
  _Atomic guint64 n_errors;
  /* Who is in the section, by number, 0: nobody. Semaphores: each in its place. */
  _Atomic guint32 inside;
  _Atomic guint32 places[N_PROCESSES];
  _Atomic guint32 dying[N_PROCESSES]; /* does not count: others may have its unit already */
  _Atomic guint32 stop;
  /* When the holder was killed; 0: it was not, or somebody came since. */
  _Atomic gint64 killed_at;
  _Atomic guint32 n_latencies;
  _Atomic gint64 latencies[65536];
  /* Not atomic: protected by the lock. */
  volatile guint64 first;
  volatile guint64 second;
} Ledger;

typedef struct
{
  MpLock *lock;
  MpRLock *rlock;
  MpSemaphore *semaphore;
  guint n_units;
  GVariant *handle;
  GUnixFDList *fd_list;
  pid_t pids[N_PROCESSES];
  guint n_started;
} Run;

static Ledger *ledger;

static void
work (guint32 n)
{
  for (volatile guint32 i = 0; i < n; i++)
    ;
}

/* Whoever gets in first after a holder was killed has waited for so long. */
static void
note_latency (void)
{
  gint64 killed = atomic_exchange (&ledger->killed_at, 0);
  guint32 place;

  if (killed == 0)
    return;
  place = atomic_fetch_add (&ledger->n_latencies, 1);
  if (place < G_N_ELEMENTS (ledger->latencies))
    atomic_store (&ledger->latencies[place], g_get_monotonic_time () - killed);
}

/* With the lock held. */
static void
be_inside (guint32 number, gboolean abandoned, guint32 *random)
{
  guint32 found = atomic_exchange (&ledger->inside, number);

  note_latency ();
  if (abandoned)
    {
      atomic_fetch_add (&ledger->n_abandoned, 1);
      if (ledger->first != ledger->second)
        atomic_fetch_add (&ledger->n_torn, 1);
      ledger->second = ledger->first;
    }
  else if (found != 0 || ledger->first != ledger->second)
    atomic_fetch_add (&ledger->n_violations, 1);
  ledger->first++;
  work (next_random (random) % 200);
  if ((next_random (random) & 1023) == 0)
    poll (NULL, 0, 1);
  ledger->second++;
  found = number;
  if (!atomic_compare_exchange_strong (&ledger->inside, &found, 0))
    atomic_fetch_add (&ledger->n_violations, 1);
}

static gint64
random_timeout (guint32 *random)
{
  return (next_random (random) & 3) != 0 ? -1 : (gint64) (next_random (random) % 3000);
}

static void
count_failure (const GError *error)
{
  if (g_error_matches (error, MP_ERROR, MP_ERROR_TIMED_OUT))
    atomic_fetch_add (&ledger->n_timeouts, 1);
  else
    atomic_fetch_add (&ledger->n_errors, 1);
}

static void
fight_for_lock (MpLock *lock, guint32 number, guint32 *random)
{
  g_autoptr (GError) error = NULL;

  if (!mp_lock_acquire (lock, random_timeout (random), NULL, &error))
    {
      count_failure (error);
      return;
    }
  be_inside (number, mp_lock_get_abandoned (lock), random);
  if (!mp_lock_release (lock, NULL))
    atomic_fetch_add (&ledger->n_errors, 1);
}

static void
fight_for_rlock (MpRLock *lock, guint32 number, guint32 *random)
{
  g_autoptr (GError) error = NULL;
  guint depth = 1 + next_random (random) % 3;

  if (!mp_rlock_acquire (lock, random_timeout (random), NULL, &error))
    {
      count_failure (error);
      return;
    }
  for (guint i = 1; i < depth; i++)
    {
      if (!mp_rlock_acquire (lock, 0, NULL, NULL))
        atomic_fetch_add (&ledger->n_errors, 1);
    }
  if (mp_rlock_get_depth (lock) != depth)
    atomic_fetch_add (&ledger->n_violations, 1);
  be_inside (number, mp_rlock_get_abandoned (lock), random);
  for (guint i = 0; i < depth; i++)
    {
      if (!mp_rlock_release (lock, NULL))
        atomic_fetch_add (&ledger->n_errors, 1);
    }
}

/* How many are in at one instant: what is seen twice in the same way was so between the two
 * looks, since nobody ever comes with the same mark again. */
static guint
count_inside (void)
{
  guint32 before[N_PROCESSES] = { 0 };
  gboolean same = FALSE;
  guint n = 0;

  while (!same)
    {
      same = TRUE;
      n = 0;
      for (guint i = 0; i < N_PROCESSES; i++)
        {
          guint32 mark =
            atomic_load (&ledger->dying[i]) == 0 ? atomic_load (&ledger->places[i]) : 0;

          same = same && mark == before[i];
          before[i] = mark;
          n += mark != 0;
        }
    }
  return n;
}

/* A place is left by whoever was in it, or cleared by whoever killed that. */
static void
fight_for_unit (MpSemaphore *semaphore, guint which, guint n_units, guint32 *random)
{
  static guint32 n_rounds;
  g_autoptr (GError) error = NULL;

  if (!mp_semaphore_acquire (semaphore, random_timeout (random), NULL, &error))
    {
      count_failure (error);
      return;
    }
  note_latency ();
  atomic_store (&ledger->places[which],
                ((guint32) getpid () << 16 | (n_rounds++ & 0xffff)) | 1u << 31);
  if (count_inside () > n_units)
    atomic_fetch_add (&ledger->n_violations, 1);
  work (next_random (random) % 200);
  if ((next_random (random) & 1023) == 0)
    poll (NULL, 0, 1);
  atomic_store (&ledger->places[which], 0);
  if (!mp_semaphore_release (semaphore, 1, NULL))
    atomic_fetch_add (&ledger->n_errors, 1);
}

static void G_GNUC_NORETURN
fight (Run *self, guint which, guint32 number)
{
  guint32 random = number * 2654435761u + 1;
  g_autoptr (MpShareable) thing = NULL;

  /* Every second one comes by the handle, as a stranger would. */
  if (number % 2 == 0)
    thing = mp_shareable_new_from_handle (self->handle, self->fd_list, NULL);
  else if (self->lock != NULL)
    thing = g_object_ref (MP_SHAREABLE (self->lock));
  else if (self->rlock != NULL)
    thing = g_object_ref (MP_SHAREABLE (self->rlock));
  else
    thing = g_object_ref (MP_SHAREABLE (self->semaphore));
  if (thing == NULL)
    _exit (1);
  while (atomic_load (&ledger->stop) == 0)
    {
      if (self->lock != NULL)
        fight_for_lock (MP_LOCK (thing), number, &random);
      else if (self->rlock != NULL)
        fight_for_rlock (MP_RLOCK (thing), number, &random);
      else
        fight_for_unit (MP_SEMAPHORE (thing), which, self->n_units, &random);
      atomic_fetch_add (&ledger->n_acquired, 1);
      work (next_random (&random) % 400);
    }
  _exit (0);
}

static void
start (Run *self, guint which)
{
  guint32 number = ++self->n_started;
  pid_t parent = getpid ();

  self->pids[which] = fork ();
  if (self->pids[which] == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      if (getppid () == parent)
        fight (self, which, number);
      _exit (1);
    }
  g_assert_cmpint (self->pids[which], >, 0);
}

/* Whether those who wait wait for this one, which is dead. */
static gboolean
has_all (Run *self, guint which)
{
  guint pid = (guint) self->pids[which];

  if (self->lock != NULL)
    return mp_lock_get_holder_pid (self->lock) == pid;
  if (self->rlock != NULL)
    return mp_rlock_get_holder_pid (self->rlock) == pid;
  return self->n_units == 1 && atomic_load (&ledger->places[which]) != 0;
}

static void
kill_one (Run *self, guint which)
{
  gint64 now;

  atomic_store (&ledger->dying[which], 1);
  g_assert_no_errno (kill (self->pids[which], SIGKILL));
  now = g_get_monotonic_time ();
  g_assert_cmpint (waitpid (self->pids[which], NULL, 0), ==, self->pids[which]);
  if (has_all (self, which))
    atomic_store (&ledger->killed_at, now);
  atomic_store (&ledger->places[which], 0);
  atomic_store (&ledger->dying[which], 0);
  start (self, which);
}

/* Fails when nothing has moved for long. */
static int
compare_times (gconstpointer a, gconstpointer b)
{
  const gint64 x = *(const gint64 *) a;
  const gint64 y = *(const gint64 *) b;

  return x < y ? -1 : x > y;
}

static void
report (void)
{
  guint n = MIN (atomic_load (&ledger->n_latencies), G_N_ELEMENTS (ledger->latencies));
  gint64 *latencies = (gint64 *) ledger->latencies;

  g_test_message ("%" G_GUINT64_FORMAT " rounds, %" G_GUINT64_FORMAT
                  " timed out, %" G_GUINT64_FORMAT " taken over from the dead, %" G_GUINT64_FORMAT
                  " of them with a torn section, %" G_GUINT64_FORMAT " violations",
                  atomic_load (&ledger->n_acquired),
                  atomic_load (&ledger->n_timeouts),
                  atomic_load (&ledger->n_abandoned),
                  atomic_load (&ledger->n_torn),
                  atomic_load (&ledger->n_violations));
  g_assert_cmpuint (atomic_load (&ledger->n_violations), ==, 0);
  g_assert_cmpuint (atomic_load (&ledger->n_errors), ==, 0);
  if (n == 0)
    return;
  qsort (latencies, n, sizeof *latencies, compare_times);
  g_test_message ("%u waits for a dead holder: median %.2f ms, 99 %%: %.2f ms, longest %.2f ms",
                  n,
                  (double) latencies[n / 2] / 1000,
                  (double) latencies[n * 99 / 100] / 1000,
                  (double) latencies[n - 1] / 1000);
  g_assert_cmpint (latencies[n - 1], <, ALWAYS_US);
  if (n >= 100)
    g_assert_cmpint (latencies[n * 99 / 100], <, MOSTLY_US);
}

static void
end (Run *self)
{
  gint64 give_up = g_get_monotonic_time () + HANG_US;

  atomic_store (&ledger->stop, 1);
  for (guint i = 0; i < N_PROCESSES; i++)
    {
      int status = 1;

      while (waitpid (self->pids[i], &status, WNOHANG) == 0)
        {
          g_assert_cmpint (g_get_monotonic_time (), <, give_up);
          poll (NULL, 0, 1);
        }
      g_assert_cmpint (status, ==, 0);
    }
  if (self->lock != NULL)
    g_assert_true (mp_lock_acquire (self->lock, 0, NULL, NULL));
  else if (self->rlock != NULL)
    g_assert_true (mp_rlock_acquire (self->rlock, 0, NULL, NULL));
  else
    g_assert_cmpuint (mp_semaphore_get_value (self->semaphore), ==, self->n_units);
}

static void
run (Run *self, guint n_kills)
{
  MpShareable *thing = self->lock != NULL    ? MP_SHAREABLE (self->lock)
                       : self->rlock != NULL ? MP_SHAREABLE (self->rlock)
                                             : MP_SHAREABLE (self->semaphore);
  guint32 random = (guint32) g_test_rand_int () | 1;
  Progress progress = progress_new ();

  ledger = chaos_ledger_new (sizeof *ledger);
  self->fd_list = g_unix_fd_list_new ();
  self->handle = mp_shareable_to_handle (thing, self->fd_list, NULL);
  for (guint i = 0; i < N_PROCESSES; i++)
    start (self, i);
  for (guint i = 0; i < n_kills; i++)
    {
      struct timespec instant = { .tv_nsec = next_random (&random) % 6000000 };

      ppoll (NULL, 0, &instant, NULL);
      kill_one (self, next_random (&random) % N_PROCESSES);
      progress_watch (&progress, atomic_load (&ledger->n_acquired));
    }
  end (self);
  report ();
  g_clear_pointer (&self->handle, g_variant_unref);
  g_clear_object (&self->fd_list);
  g_clear_object (&self->lock);
  g_clear_object (&self->rlock);
  g_clear_object (&self->semaphore);
  munmap (ledger, sizeof *ledger);
}

static guint n_kills = 150;

static void
test_lock (void)
{
  Run self = { .lock = mp_lock_new (NULL) };

  run (&self, n_kills);
}

static void
test_rlock (void)
{
  Run self = { .rlock = mp_rlock_new (NULL) };

  run (&self, n_kills);
}

static void
test_semaphore (void)
{
  Run self = { .semaphore = mp_semaphore_new (2, MP_SEMAPHORE_RECOVER, NULL), .n_units = 2 };

  run (&self, n_kills);
}

static void
test_bounded (void)
{
  MpSemaphoreFlags flags = MP_SEMAPHORE_RECOVER | MP_SEMAPHORE_BOUNDED;
  Run self = { .semaphore = mp_semaphore_new (1, flags, NULL), .n_units = 1 };

  run (&self, n_kills);
}

int
main (int argc, char **argv)
{
  const char *length = g_getenv ("MP_CHAOS");

  g_test_init (&argc, &argv, NULL);
  if (g_strcmp0 (length, "full") == 0)
    n_kills = 1500;
  if (argc > 1)
    n_kills = (guint) atoi (argv[1]);
  g_test_add_func ("/mp/sync-chaos/lock", test_lock);
  g_test_add_func ("/mp/sync-chaos/rlock", test_rlock);
  g_test_add_func ("/mp/sync-chaos/semaphore", test_semaphore);
  g_test_add_func ("/mp/sync-chaos/bounded-semaphore", test_bounded);
  return g_test_run ();
}
