/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "pool-tasks.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

/* Workers are killed at random while many tasks run: each task is accounted for
 * exactly once, nothing hangs, and nothing is left behind. */

#define N_TASKS 200000
#define N_KILLS 500
#define N_WORKERS 4

typedef struct
{
  MpPool *pool;
  GRand *rand;
  guint n_kills;
  GHashTable *pids; /* all that were ever seen */
  gint n_results;   /* taken so far */
  gint done;
} Killer;

static void
killer_strike (Killer *self)
{
  gsize n_pids;
  g_autofree int *pids = mp_pool_get_worker_pids (self->pool, &n_pids);
  int victim;

  for (gsize i = 0; i < n_pids; i++)
    g_hash_table_add (self->pids, GINT_TO_POINTER (pids[i]));
  if (n_pids == 0)
    return;
  victim = pids[g_rand_int_range (self->rand, 0, (gint32) n_pids)];
  if (kill (victim, SIGKILL) == 0)
    self->n_kills++;
}

/* The kills are spread over the tasks, a little denser than they have to be, so
 * that they meet a pool at work. */
static gpointer
killer_main (gpointer data)
{
  Killer *self = data;

  while (!g_atomic_int_get (&self->done) && self->n_kills < N_KILLS)
    {
      guint due = (guint) g_atomic_int_get (&self->n_results) / (N_TASKS / N_KILLS / 3);

      if (self->n_kills <= due)
        killer_strike (self);
      g_usleep ((gulong) g_rand_int_range (self->rand, 1, 1500));
    }
  return NULL;
}

typedef struct
{
  guint8 *seen;
  guint n_done;
  guint n_died;
} Account;

/* FALSE if there was nothing. */
static gboolean
account_take (Account *self, MpJob *job, Killer *killer)
{
  gsize length;
  const guint8 *data = mp_job_take_packed (job, 0, &length);
  guint32 n;
  const guint8 *payload;

  if (length == 0)
    return FALSE;
  memcpy (&n, data, sizeof n);
  payload = data + sizeof n + (gsize) n * 16;
  for (guint32 i = 0; i < n; i++)
    {
      guint32 head[4];

      memcpy (head, data + sizeof n + (gsize) i * sizeof head, sizeof head);
      g_assert_cmpuint (head[0], <, N_TASKS);
      g_assert_cmpuint (self->seen[head[0]]++, ==, 0);
      if (head[1] == 0)
        {
          gint64 square;

          memcpy (&square, payload, sizeof square);
          g_assert_cmpint (square, ==, (gint64) head[0] * head[0]);
          self->n_done++;
        }
      else
        self->n_died++;
      payload += head[3];
    }
  g_atomic_int_add (&killer->n_results, (gint) n);
  return TRUE;
}

/* A job of its own. */
static guint
run_round (MpPool *pool, Killer *killer, Account *total)
{
  g_autoptr (GVariant) items = g_variant_ref_sink (pool_numbers (N_TASKS));
  g_autoptr (GError) error = NULL;
  g_autoptr (MpJob) job = mp_pool_imap_unordered (pool, "square", items, 1, NULL, &error);
  Account account = { g_new0 (guint8, N_TASKS), 0, 0 };

  g_assert_no_error (error);
  while (!mp_job_get_finished (job))
    {
      g_assert_true (mp_job_wait_result (job, 20 * G_USEC_PER_SEC));
      account_take (&account, job, killer);
    }
  while (account_take (&account, job, killer))
    ;
  for (guint i = 0; i < N_TASKS; i++)
    g_assert_cmpuint (account.seen[i], ==, 1);
  g_free (account.seen);
  total->n_done += account.n_done;
  total->n_died += account.n_died;
  return account.n_done + account.n_died;
}

static void
assert_gone (GHashTable *pids)
{
  GHashTableIter iter;
  gpointer pid;

  g_hash_table_iter_init (&iter, pids);
  while (g_hash_table_iter_next (&iter, &pid, NULL))
    g_assert_false (pool_process_exists (GPOINTER_TO_INT (pid)));
}

static void
run (guint max_attempts)
{
  MpPool *pool;
  Killer killer = { 0 };
  Account total = { 0 };
  GThread *thread;
  guint n_fds;
  guint n_memfds;
  guint n_tasks = 0;

  /* The zygote and the pump stay; the rest has to go. */
  pool_close (pool_new (1));
  n_fds = pool_count_fds ();
  n_memfds = pool_count_memfds ();

  pool = pool_new_full (N_WORKERS, 0, max_attempts);
  killer.pool = pool;
  killer.rand = g_rand_new_with_seed (g_test_rand_int ());
  killer.pids = g_hash_table_new (NULL, NULL);
  thread = g_thread_new ("killer", killer_main, &killer);
  do
    n_tasks += run_round (pool, &killer, &total);
  while (killer.n_kills < N_KILLS);
  g_atomic_int_set (&killer.done, TRUE);
  g_thread_join (thread);
  g_assert_cmpuint (killer.n_kills, >=, N_KILLS);
  g_assert_cmpuint (total.n_done + total.n_died, ==, n_tasks);
  g_assert_cmpuint (total.n_died, <=, killer.n_kills);
  g_test_message ("%u kills, %u tasks, %u of them lost with their workers",
                  killer.n_kills,
                  n_tasks,
                  total.n_died);

  pool_close (pool);
  assert_gone (killer.pids);
  pool_assert_fds (n_fds, n_memfds);
  g_hash_table_unref (killer.pids);
  g_rand_free (killer.rand);
}

static void
test_once (void)
{
  g_test_summary ("A task fails with its worker; every other one has its result.");
  run (1);
}

static void
test_retried (void)
{
  g_test_summary ("With many attempts every task has its result.");
  run (100);
}

int
main (int argc, char **argv)
{
  pool_tasks_init (&argc, &argv);
  g_test_add_func ("/mp/pool-chaos/once", test_once);
  g_test_add_func ("/mp/pool-chaos/retried", test_retried);
  return g_test_run ();
}
