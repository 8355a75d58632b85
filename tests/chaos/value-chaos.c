/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* value-chaos [KILLS]
 *
 * Processes that count in one value, killed with SIGKILL at random instants.
 * What must hold whatever happens:
 *
 * - what was counted is there, and nothing else: the value is the number of
 *   finished counts, but for at most one of each process that was killed, of
 *   which nobody knows whether it came to it;
 * - the same where it takes several steps under the value's lock, which the next
 *   one gets when its holder is killed;
 * - nobody hangs, and what the dead held of the memory comes back. */

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libmp.h"
#include "memory/mp-arena-private.h"
#include "chaos.h"

#define N_PROCESSES 4

/* Seen by all processes. */
typedef struct
{
  /* One for each process, on a cache line of its own. */
  struct
  {
    _Atomic guint64 n_done;
    guint64 unused[7];
  } places[N_PROCESSES];
  _Atomic guint64 n_errors;
} Ledger;

typedef struct
{
  MpValue *value;
  GVariant *handle;
  GUnixFDList *fd_list;
  gboolean locked;
  pid_t pids[N_PROCESSES];
  guint32 n_started;
  Progress progress;
} Run;

static Ledger *ledger;
static int n_kills;

static gboolean
count_bare (MpValue *value, guint32 how)
{
  gint64 found;

  if (how % 2 == 0)
    return mp_value_add (value, 1, NULL) > 0;
  found = mp_value_get_int (value, NULL);
  while (!mp_value_compare_exchange (value, found, found + 1, &found, NULL))
    ;
  return found >= 0;
}

static gboolean
count_locked (MpValue *value)
{
  MpRLock *lock = mp_value_get_lock (value);
  g_autoptr (GVariant) before = NULL;

  if (!mp_rlock_acquire (lock, HANG_US, NULL, NULL))
    return FALSE;
  before = mp_value_get (value);
  return mp_value_set (value, g_variant_new_int64 (g_variant_get_int64 (before) + 1), NULL) &&
         mp_rlock_release (lock, NULL);
}

static void G_GNUC_NORETURN
count_for_ever (MpValue *value, int which, gboolean locked, guint32 how)
{
  for (;;)
    {
      if (locked ? count_locked (value) : count_bare (value, how))
        atomic_fetch_add (&ledger->places[which].n_done, 1);
      else
        atomic_fetch_add (&ledger->n_errors, 1);
    }
}

static void
start (Run *self, int which)
{
  guint32 seed = self->n_started++;
  pid_t parent = getpid ();

  fflush (NULL);
  self->pids[which] = fork ();
  if (self->pids[which] == 0)
    {
      g_autoptr (MpShareable) value = NULL;

      prctl (PR_SET_PDEATHSIG, SIGKILL);
      if (getppid () != parent)
        _exit (1);
      /* Every second one comes by the handle, as a stranger would. */
      if (seed % 2 == 0)
        value = mp_shareable_new_from_handle (self->handle, self->fd_list, NULL);
      else
        value = g_object_ref (MP_SHAREABLE (self->value));
      if (value == NULL)
        {
          atomic_fetch_add (&ledger->n_errors, 1);
          _exit (1);
        }
      count_for_ever (MP_VALUE (value), which, self->locked, seed / 2);
    }
  g_assert_cmpint (self->pids[which], >, 0);
}

static void
kill_one (Run *self, int which)
{
  g_assert_no_errno (kill (self->pids[which], SIGKILL));
  g_assert_cmpint (waitpid (self->pids[which], NULL, 0), ==, self->pids[which]);
}

/* Nothing that was counted is ever gone. */
static void
watch_progress (Run *self)
{
  gint64 value = mp_value_get_int (self->value, NULL);

  g_assert_cmpint (value, >=, (gint64) self->progress.last);
  progress_watch (&self->progress, (guint64) value);
}

static void
kill_at_random (Run *self, int n)
{
  guint32 random = g_test_rand_int () | 1;
  gint64 end;

  for (int i = 0; i < n; i++)
    {
      int which = (int) (next_random (&random) % N_PROCESSES);
      struct timespec instant = { .tv_nsec = next_random (&random) % 8000000 };

      ppoll (NULL, 0, &instant, NULL);
      kill_one (self, which);
      start (self, which);
      watch_progress (self);
    }
  /* All of those that are left go on, whatever the dead had in their hands. */
  end = (gint64) self->progress.last + 100;
  while ((gint64) self->progress.last < end)
    {
      poll (NULL, 0, 1);
      watch_progress (self);
    }
}

static void
check (Run *self, guint64 n_killed)
{
  guint64 value = (guint64) mp_value_get_int (self->value, NULL), n_done = 0;

  for (int i = 0; i < N_PROCESSES; i++)
    n_done += atomic_load (&ledger->places[i].n_done);
  g_test_message ("killed %" G_GUINT64_FORMAT " processes; of %" G_GUINT64_FORMAT
                  " finished counts none was lost, and %" G_GUINT64_FORMAT
                  " that were not finished are there; longest pause %" G_GINT64_FORMAT " ms",
                  n_killed,
                  n_done,
                  value - n_done,
                  self->progress.worst / 1000);
  g_assert_cmpuint (value, >=, n_done);
  g_assert_cmpuint (value, <=, n_done + n_killed);
  g_assert_cmpuint (atomic_load (&ledger->n_errors), ==, 0);
}

static void
run (gboolean locked)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (MpArena) arena = mp_arena_ref_default (&error);
  guint64 n_blocks = mp_arena_get_n_blocks (arena);
  Run self = { .locked = locked, .progress = progress_new () };

  ledger = chaos_ledger_new (sizeof *ledger);
  self.value = mp_value_new (MP_VALUE_TYPE_INT64, NULL, locked, &error);
  g_assert_no_error (error);
  self.fd_list = g_unix_fd_list_new ();
  self.handle = mp_shareable_to_handle (MP_SHAREABLE (self.value), self.fd_list, &error);
  g_assert_no_error (error);

  for (int i = 0; i < N_PROCESSES; i++)
    start (&self, i);
  kill_at_random (&self, n_kills / 2);
  for (int i = 0; i < N_PROCESSES; i++)
    kill_one (&self, i);
  check (&self, (guint64) n_kills / 2 + N_PROCESSES);
  if (locked)
    {
      g_assert_true (mp_rlock_acquire (mp_value_get_lock (self.value), HANG_US, NULL, &error));
      g_assert_true (mp_rlock_release (mp_value_get_lock (self.value), &error));
    }
  g_assert_no_error (error);

  g_object_unref (self.value);
  g_object_unref (self.fd_list);
  g_variant_unref (self.handle);
  munmap (ledger, sizeof *ledger);
  mp_arena_sweep (arena);
  /* What has a handle stays for a while. */
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), <=, n_blocks + 2);
}

static void
test_bare (void)
{
  g_test_summary ("Half of the kills, on processes that add in one step");
  run (FALSE);
}

static void
test_locked (void)
{
  g_test_summary ("Half of the kills, on processes that add in several steps under the lock");
  run (TRUE);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  n_kills = g_strcmp0 (g_getenv ("MP_CHAOS"), "full") == 0 ? 4000 : 600;
  if (argc > 1)
    n_kills = (int) g_ascii_strtoll (argv[1], NULL, 10);
  g_test_add_func ("/mp/value/chaos/bare", test_bare);
  g_test_add_func ("/mp/value/chaos/locked", test_locked);
  return g_test_run ();
}
