/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "pool-tasks.h"
#include "test-util.h"

#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Workers that die, leave, or cannot begin. */

static void
assert_works (MpPool *pool)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) results =
    mp_pool_map (pool, "square", pool_numbers (50), 1, -1, NULL, &error);

  g_assert_no_error (error);
  pool_assert_squares (results, 50);
}

static void
test_killed (void)
{
  MpPool *pool = pool_new (2);
  g_autoptr (GError) error = NULL;
  g_autoptr (PoolGate) gate = pool_gate_new ();
  g_autoptr (MpJob) job = mp_pool_submit (pool, "gate", pool_gate_argument (gate), NULL, &error);
  g_autofree char *named = NULL;
  g_autofree int *pids = NULL;
  gsize n_pids;
  int other;
  g_autoptr (GVariant) result = NULL;

  g_test_summary ("A worker is killed in the middle of a task: that job fails, and says why.");
  pool_gate_wait (gate, 1);
  /* The one that is not busy answers. */
  result = mp_pool_apply (pool, "pid", NULL, -1, NULL, &error);
  g_assert_no_error (error);
  other = g_variant_get_int32 (result);
  pids = mp_pool_get_worker_pids (pool, &n_pids);
  g_assert_cmpuint (n_pids, ==, 2);
  kill (pids[0] == other ? pids[1] : pids[0], SIGKILL);

  g_assert_true (mp_job_wait (job, -1, NULL, &error));
  g_assert_cmpint (mp_job_get_state (job), ==, MP_JOB_STATE_WORKER_DIED);
  g_assert_null (mp_job_get_result (job, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_PROCESS_DIED);
  named = g_strdup_printf ("%d", pids[0] == other ? pids[1] : pids[0]);
  g_assert_nonnull (strstr (error->message, named));
  g_assert_nonnull (strstr (error->message, "signal 9"));
  g_assert_nonnull (strstr (error->message, "gate"));
  assert_works (pool);
  pool_close (pool);
}

static void
test_idle_killed (void)
{
  MpPool *pool = pool_new (2);
  g_autofree int *pids = NULL;
  gsize n_pids;

  g_test_summary ("Idle workers that are killed are replaced, and nobody notices.");
  assert_works (pool);
  pids = mp_pool_get_worker_pids (pool, &n_pids);
  for (gsize i = 0; i < n_pids; i++)
    kill (pids[i], SIGKILL);
  assert_works (pool);
  pool_close (pool);
}

static void
test_exit (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (GError) error = NULL;

  g_test_summary ("A task that calls exit() ends its worker; the error names process and code.");
  for (int code = 0; code < 4; code += 3)
    {
      g_autofree char *text = g_strdup_printf ("exited with code %d", code);
      g_autofree char *named = NULL;
      g_autoptr (GVariant) pid = mp_pool_apply (pool, "pid", NULL, -1, NULL, &error);

      g_assert_no_error (error);
      g_assert_null (mp_pool_apply (pool, "exit", g_variant_new_int32 (code), -1, NULL, &error));
      g_assert_error (error, MP_ERROR, MP_ERROR_PROCESS_DIED);
      named = g_strdup_printf ("Worker %d", g_variant_get_int32 (pid));
      g_assert_nonnull (strstr (error->message, named));
      g_assert_nonnull (strstr (error->message, text));
      g_clear_error (&error);
      assert_works (pool);
    }
  pool_close (pool);
}

static void
test_map_survives (void)
{
  MpPool *pool = pool_new (2);
  g_autoptr (GError) error = NULL;
  g_autoptr (MpJob) job = NULL;
  GVariantBuilder items;
  guint n_failed = 0;

  g_test_summary ("In a map only the tasks whose workers died are lost.");
  g_variant_builder_init (&items, G_VARIANT_TYPE ("av"));
  for (guint i = 0; i < 30; i++)
    g_variant_builder_add (&items, "v", g_variant_new_int32 (i % 10 == 5 ? SIGSEGV : 0));
  job = mp_pool_imap (pool, "die", g_variant_builder_end (&items), 1, NULL, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < 30; i++)
    {
      g_autoptr (GVariant) value = mp_job_next (job, -1, NULL, &error);

      g_assert_true ((value == NULL) == (i % 10 == 5));
      if (value != NULL)
        continue;
      g_assert_error (error, MP_ERROR, MP_ERROR_PROCESS_DIED);
      g_clear_error (&error);
      n_failed++;
    }
  g_assert_cmpuint (n_failed, ==, 3);
  g_assert_cmpint (mp_job_get_state (job), ==, MP_JOB_STATE_WORKER_DIED);
  assert_works (pool);
  pool_close (pool);
}

static void
test_attempts (void)
{
  MpPool *pool = pool_new_full (2, 0, 3);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) results = NULL;
  GVariantBuilder items;

  g_test_summary ("A task is tried as often as is allowed, and knows how often it was.");
  g_assert_cmpuint (mp_pool_get_max_attempts (pool), ==, 3);
  g_variant_builder_init (&items, G_VARIANT_TYPE ("av"));
  for (guint i = 0; i < 3; i++)
    g_variant_builder_add (&items, "v", g_variant_new_uint32 (i));
  results = mp_pool_map (pool, "stubborn", g_variant_builder_end (&items), 1, -1, NULL, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (results, i);
      g_autoptr (GVariant) value = g_variant_get_variant (boxed);

      g_assert_cmpuint (g_variant_get_uint32 (value), ==, i);
    }
  g_assert_null (mp_pool_apply (pool, "stubborn", g_variant_new_uint32 (3), -1, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_PROCESS_DIED);
  assert_works (pool);
  pool_close (pool);
}

static void
test_max_tasks (void)
{
  MpPool *pool = pool_new_full (2, 5, 1);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GHashTable) counts = g_hash_table_new (NULL, NULL);
  GHashTableIter iter;
  gpointer count;

  g_test_summary ("A worker leaves after its share.");
  results = mp_pool_map (pool, "pid", pool_numbers (50), 1, -1, NULL, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < 50; i++)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (results, i);
      g_autoptr (GVariant) pid = g_variant_get_variant (boxed);
      gpointer key = GINT_TO_POINTER (g_variant_get_int32 (pid));
      guint n = GPOINTER_TO_UINT (g_hash_table_lookup (counts, key));

      g_hash_table_insert (counts, key, GUINT_TO_POINTER (n + 1));
    }
  g_hash_table_iter_init (&iter, counts);
  while (g_hash_table_iter_next (&iter, NULL, &count))
    g_assert_cmpuint (GPOINTER_TO_UINT (count), <=, 5);
  g_assert_cmpuint (g_hash_table_size (counts), >=, 10);
  pool_close (pool);
}

typedef struct
{
  int pid;
  int exit_code;
  guint n;
} Exits;

static void
count_exit (MpPool *pool,
            int pid,
            int exit_code,
            const char *limit,
            guint64 job_id,
            const char *function,
            gpointer user_data)
{
  Exits *exits = user_data;

  exits->pid = pid;
  exits->exit_code = exit_code;
  exits->n++;
}

static void
set_flag (gpointer object, GParamSpec *pspec, gpointer flag)
{
  *(gboolean *) flag = TRUE;
}

static gboolean
has_exit (gpointer exits)
{
  return ((Exits *) exits)->n > 0;
}

static gboolean
is_set (gpointer flag)
{
  return *(gboolean *) flag;
}

static void
test_signals (void)
{
  MpPool *pool = pool_new (1);
  Exits exits = { 0 };
  gboolean closed = FALSE;
  g_autofree int *pids = NULL;
  gsize n_pids;

  g_test_summary ("The end of a worker and of the pool are signalled in the main context.");
  g_signal_connect (pool, "worker-exited", G_CALLBACK (count_exit), &exits);
  g_signal_connect (pool, "notify::closed", G_CALLBACK (set_flag), &closed);
  pids = mp_pool_get_worker_pids (pool, &n_pids);
  kill (pids[0], SIGTERM);
  pool_wait (has_exit, &exits);
  g_assert_cmpint (exits.pid, ==, pids[0]);
  g_assert_cmpint (exits.exit_code, ==, -SIGTERM);
  assert_works (pool);
  mp_pool_close (pool);
  pool_wait (is_set, &closed);
  exits.n = 0;
  pool_wait (has_exit, &exits);
  g_assert_cmpint (exits.exit_code, ==, 0);
  g_object_unref (pool);
}

static void
test_zygote_killed (void)
{
  MpPool *pool = pool_new (2);
  int zygote = mp_context_get_zygote_pid (mp_pool_get_context (pool));
  g_autoptr (GError) error = NULL;
  g_autoptr (PoolGate) gate = pool_gate_new ();
  g_autoptr (MpJob) job = mp_pool_submit (pool, "gate", pool_gate_argument (gate), NULL, &error);

  g_test_summary ("The end of the zygote is the end of all workers, and not of the pool.");
  g_assert_cmpint (zygote, >, 0);
  pool_gate_wait (gate, 1);
  kill (zygote, SIGKILL);
  g_assert_true (mp_job_wait (job, -1, NULL, &error));
  g_assert_cmpint (mp_job_get_state (job), ==, MP_JOB_STATE_WORKER_DIED);
  assert_works (pool);
  pool_close (pool);
}

static void
test_no_worker (void)
{
  g_autoptr (MpContext) context = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_PYTHON);
  const char *const interpreter[] = { "/bin/false", NULL };
  g_autoptr (GError) error = NULL;

  g_test_summary ("Workers that cannot be started: the pool is not made, with the reason.");
  mp_context_set_interpreter (context, interpreter);
  g_assert_null (mp_pool_new (context, 2, &error));
  g_assert_nonnull (error);
}

static void
test_early_ends (void)
{
  g_autoptr (MpContext) context = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_NATIVE);
  g_autoptr (GError) error = NULL;
  g_autoptr (MpJob) job = NULL;
  MpPool *pool;

  g_test_summary ("Workers that all end before they take a task break the pool, with the reason.");
  mp_context_set_limit (context, MP_LIMIT_FILES, 4);
  pool = mp_pool_new (context, 2, &error);
  g_assert_no_error (error);
  job = mp_pool_submit (pool, "square", g_variant_new_int64 (2), NULL, &error);
  if (job != NULL)
    {
      g_assert_true (mp_job_wait (job, -1, NULL, &error));
      g_assert_null (mp_job_get_result (job, &error));
    }
  g_assert_error (error, MP_ERROR, MP_ERROR_PROCESS_DIED);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, "before they take a task"));
  g_assert_nonnull (strstr (error->message, "a limit on open files of 4"));
  g_assert_true (mp_pool_get_broken (pool));
  g_object_unref (pool);
}

static void
test_hostile (void)
{
  MpPool *pool = pool_new (2);
  g_autoptr (GError) error = NULL;
  g_autoptr (MpJob) job = mp_pool_submit (pool, "scribble", NULL, NULL, &error);
  struct timespec before;
  struct timespec after;

  g_test_summary ("A worker that ruins the shared memory breaks the pool, and costs no more.");
  g_test_message ("The workers that come after it complain.");
  g_assert_true (mp_job_wait (job, -1, NULL, &error));
  g_assert_null (mp_job_get_result (job, &error));
  g_assert_nonnull (error);
  g_assert_true (mp_pool_get_broken (pool));
  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &before);
  g_usleep (G_USEC_PER_SEC / 2);
  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &after);
  g_assert_cmpint ((after.tv_sec - before.tv_sec) * 1000 +
                     (after.tv_nsec - before.tv_nsec) / 1000000,
                   <,
                   100);
  pool_terminate (pool);
}

static void
test_cancel_young (void)
{
  MpPool *pool = pool_new (2);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) result = NULL;

  g_test_summary ("Tasks of workers that were just started are cancelled like all others.");
  for (guint i = 0; i < 500; i++)
    {
      g_autoptr (MpJob) job = mp_pool_submit (pool, "hang", NULL, NULL, &error);

      g_assert_no_error (error);
      g_usleep (g_test_rand_int_range (0, 300));
      mp_job_cancel (job);
    }
  result = mp_pool_apply (pool, "echo", NULL, 20 * G_USEC_PER_SEC, NULL, &error);
  g_assert_no_error (error);
  pool_close (pool);
}

static int
use_forked (gpointer data)
{
  MpPool *pool = data;
  g_autoptr (GError) error = NULL;
  MpJob *job = mp_pool_submit (pool, "pid", NULL, NULL, &error);

  if (job != NULL || !g_error_matches (error, MP_ERROR, MP_ERROR_NOT_OWNER))
    return 2;
  mp_pool_terminate (pool);
  if (mp_pool_join (pool, -1, NULL, NULL))
    return 3;
  g_object_unref (pool);
  return 0;
}

static void
test_forked (void)
{
  MpPool *pool = pool_new (2);
  g_autoptr (GError) error = NULL;
  g_autoptr (PoolGate) gate = pool_gate_new ();
  g_autoptr (MpJob) job = mp_pool_submit (pool, "gate", pool_gate_argument (gate), NULL, &error);

  g_test_summary ("What a fork of the program does to its copy of a pool is nothing to the pool.");
  pool_gate_wait (gate, 1);
  g_assert_cmpint (test_join (test_fork (use_forked, pool)), ==, 0);
  g_assert_false (mp_pool_get_closed (pool));
  pool_gate_open (gate);
  g_assert_true (mp_job_wait (job, -1, NULL, &error));
  g_assert_cmpint (mp_job_get_state (job), ==, MP_JOB_STATE_SUCCEEDED);
  assert_works (pool);
  pool_close (pool);
}

static void
test_many_pools (void)
{
  guint n_fds;
  guint n_memfds;

  g_test_summary ("A thousand pools leave nothing open.");
  pool_close (pool_new (1));
  n_fds = pool_count_fds ();
  n_memfds = pool_count_memfds ();
  for (guint i = 0; i < 1000; i++)
    {
      MpPool *pool = pool_new (1);
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) result =
        mp_pool_apply (pool, "square", g_variant_new_int64 (i), -1, NULL, &error);

      g_assert_no_error (error);
      g_assert_cmpint (g_variant_get_int64 (result), ==, (gint64) i * i);
      if (i % 2 == 0)
        pool_close (pool);
      else
        pool_terminate (pool);
    }
  pool_assert_fds (n_fds, n_memfds);
}

int
main (int argc, char **argv)
{
  pool_tasks_init (&argc, &argv);
  g_test_add_func ("/mp/pool-workers/killed", test_killed);
  g_test_add_func ("/mp/pool-workers/idle-killed", test_idle_killed);
  g_test_add_func ("/mp/pool-workers/exit", test_exit);
  g_test_add_func ("/mp/pool-workers/map-survives", test_map_survives);
  g_test_add_func ("/mp/pool-workers/attempts", test_attempts);
  g_test_add_func ("/mp/pool-workers/max-tasks", test_max_tasks);
  g_test_add_func ("/mp/pool-workers/signals", test_signals);
  g_test_add_func ("/mp/pool-workers/zygote-killed", test_zygote_killed);
  g_test_add_func ("/mp/pool-workers/no-worker", test_no_worker);
  g_test_add_func ("/mp/pool-workers/early-ends", test_early_ends);
  g_test_add_func ("/mp/pool-workers/cancel-young", test_cancel_young);
  g_test_add_func ("/mp/pool-workers/forked", test_forked);
  g_test_add_func ("/mp/pool-workers/hostile", test_hostile);
  g_test_add_func ("/mp/pool-workers/many-pools", test_many_pools);
  return g_test_run ();
}
