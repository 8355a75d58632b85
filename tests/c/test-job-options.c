/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "pool-tasks.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* What a job can be told at its submission, and each of the ways in which it ends. */

static MpJobOptions *
options_new (const char *property, ...)
{
  MpJobOptions *options;
  va_list rest;

  va_start (rest, property);
  options = MP_JOB_OPTIONS (g_object_new_valist (MP_TYPE_JOB_OPTIONS, property, rest));
  va_end (rest);
  return options;
}

static MpJob *
submit (MpPool *pool, const char *function, GVariant *argument, MpJobOptions *options)
{
  g_autoptr (GError) error = NULL;
  MpJob *job = mp_pool_submit (pool, function, argument, options, &error);

  g_assert_no_error (error);
  return job;
}

static void
wait_for (MpJob *job, MpJobState state)
{
  g_autoptr (GError) error = NULL;

  mp_job_wait (job, 30 * G_USEC_PER_SEC, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (mp_job_get_state (job), ==, state);
}

static void
assert_fails (MpJob *job, MpJobState state, GQuark domain, int code)
{
  g_autoptr (GError) error = NULL;

  wait_for (job, state);
  g_assert_null (mp_job_get_result (job, &error));
  g_assert_error (error, domain, code);
}

static char *
make_path (void)
{
  return g_strdup_printf ("%s/mp-options-%d", g_get_tmp_dir (), getpid ());
}

static void
assert_file (const char *path, const char *expected)
{
  g_autofree char *text = NULL;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, expected);
  g_unlink (path);
}

static void
test_priority (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (PoolGate) gate = pool_gate_new ();
  G_GNUC_UNUSED g_autoptr (MpJob) first = submit (pool, "gate", pool_gate_argument (gate), NULL);
  g_autofree char *path = make_path ();
  const int priorities[] = { 0, 5, -3, 5, 0, 9 };
  g_autoptr (GPtrArray) jobs = g_ptr_array_new_with_free_func (g_object_unref);

  g_test_summary ("The most urgent goes first, also past what was fed; equals in their order.");
  pool_gate_wait (gate, 1);
  for (guint i = 0; i < G_N_ELEMENTS (priorities); i++)
    {
      g_autoptr (MpJobOptions) options = options_new ("priority", priorities[i], NULL);

      g_ptr_array_add (jobs,
                       submit (pool, "append", g_variant_new ("(^ayy)", path, 'a' + i), options));
      g_assert_cmpint (mp_job_get_priority (g_ptr_array_index (jobs, i)), ==, priorities[i]);
    }
  pool_gate_open (gate);
  for (guint i = 0; i < jobs->len; i++)
    wait_for (g_ptr_array_index (jobs, i), MP_JOB_STATE_SUCCEEDED);
  assert_file (path, "fbdaec");
  pool_close (pool);
}

static void
test_priority_many (void)
{
  MpPool *pool = pool_new (2);
  g_autoptr (GError) error = NULL;
  g_autoptr (MpJobOptions) urgent = options_new ("priority", 1, NULL);
  g_autoptr (MpJob) slow =
    mp_pool_submit_map (pool, "square", pool_numbers (50000), 1, NULL, &error);
  g_autoptr (GVariant) results = NULL;

  g_test_summary ("A map that is overtaken again and again loses nothing.");
  for (guint i = 0; i < 50; i++)
    {
      g_autoptr (MpJob) job = submit (pool, "square", g_variant_new_int64 (i), urgent);

      wait_for (job, MP_JOB_STATE_SUCCEEDED);
    }
  wait_for (slow, MP_JOB_STATE_SUCCEEDED);
  results = mp_job_get_result (slow, &error);
  pool_assert_squares (results, 50000);
  pool_close (pool);
}

static void
test_timeout (void)
{
  MpPool *pool = pool_new_with ("n-workers", 1, "cancel-grace", (gint64) 1000, NULL);
  g_autoptr (MpJobOptions) options = options_new ("timeout", (gint64) 50000, NULL);
  g_autoptr (MpJob) hanging = submit (pool, "hang", NULL, options);
  g_autoptr (MpJob) next = submit (pool, "square", g_variant_new_int64 (3), options);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) items = NULL;
  g_autoptr (MpJob) map = NULL;
  g_autoptr (GVariant) one = NULL;

  g_test_summary ("A task that takes too long ends, and those that wait behind it do not.");
  assert_fails (hanging, MP_JOB_STATE_TIMED_OUT, MP_ERROR, MP_ERROR_TIMED_OUT);
  wait_for (next, MP_JOB_STATE_SUCCEEDED);

  /* One of several: the others are done. */
  items = g_variant_ref_sink (g_variant_new_parsed ("[@u 0, 1, 0]"));
  map = mp_pool_submit_map (pool, "doze", items, 1, options, &error);
  g_assert_no_error (error);
  assert_fails (map, MP_JOB_STATE_TIMED_OUT, MP_ERROR, MP_ERROR_TIMED_OUT);
  g_assert_cmpuint (mp_job_get_n_done (map), ==, 3);
  one = mp_job_next (map, 0, NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (one);
  pool_close (pool);
}

static void
test_timeout_of_pool (void)
{
  MpPool *pool = pool_new_with ("n-workers",
                                1,
                                "task-timeout",
                                (gint64) 30000,
                                "cancel-grace",
                                (gint64) 0,
                                "kill-grace",
                                (gint64) 0,
                                NULL);
  g_autoptr (MpJobOptions) forever = options_new ("timeout", (gint64) -1, NULL);
  g_autoptr (MpJob) job = submit (pool, "hang", NULL, NULL);
  g_autoptr (PoolGate) gate = pool_gate_new ();
  g_autoptr (MpJob) long_job = NULL;

  g_test_summary ("A pool has a timeout for all, from which a job can be free.");
  assert_fails (job, MP_JOB_STATE_TIMED_OUT, MP_ERROR, MP_ERROR_TIMED_OUT);
  long_job = submit (pool, "gate", pool_gate_argument (gate), forever);
  pool_gate_wait (gate, 1);
  g_usleep (60000);
  g_assert_cmpint (mp_job_get_state (long_job), ==, MP_JOB_STATE_RUNNING);
  pool_gate_open (gate);
  wait_for (long_job, MP_JOB_STATE_SUCCEEDED);
  pool_close (pool);
}

/* A stopped process takes no SIGTERM; that is what SIGKILL is for. */
static void
test_timeout_stopped (void)
{
  MpPool *pool =
    pool_new_with ("n-workers", 1, "cancel-grace", (gint64) 0, "kill-grace", (gint64) 10000, NULL);
  g_autoptr (MpJobOptions) options = options_new ("timeout", (gint64) 50000, NULL);
  g_autoptr (PoolGate) gate = pool_gate_new ();
  g_autoptr (MpJob) job = submit (pool, "gate", pool_gate_argument (gate), options);
  g_autoptr (MpJob) next = submit (pool, "square", g_variant_new_int64 (3), NULL);
  gsize n_pids;
  g_autofree int *pids = mp_pool_get_worker_pids (pool, &n_pids);

  g_test_summary ("A worker that is stopped is replaced.");
  pool_gate_wait (gate, 1);
  g_assert_no_errno (kill (pids[0], SIGSTOP));
  assert_fails (job, MP_JOB_STATE_TIMED_OUT, MP_ERROR, MP_ERROR_TIMED_OUT);
  wait_for (next, MP_JOB_STATE_SUCCEEDED);
  pool_close (pool);
}

static void
test_attempts (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (MpJobOptions) three = options_new ("max-attempts", 3, NULL);
  g_autoptr (MpJobOptions) patient =
    options_new ("max-attempts", 3, "retry-failed", TRUE, "retry-delay", (gint64) 20000, NULL);
  g_autoptr (MpJob) survivor = submit (pool, "stubborn", g_variant_new_uint32 (2), three);
  g_autoptr (MpJob) lost = submit (pool, "stubborn", g_variant_new_uint32 (3), three);
  g_autoptr (MpJob) failed = submit (pool, "flaky", g_variant_new_uint32 (1), three);
  g_autoptr (MpJob) flaky = NULL;
  g_autoptr (MpJob) hopeless = NULL;
  g_autoptr (GVariant) result = NULL;
  gint64 start;
  int pid;
  int exit_code;

  g_test_summary ("Deaths are tried again, errors only if that is asked for, ever later.");
  wait_for (survivor, MP_JOB_STATE_SUCCEEDED);
  g_assert_cmpuint (mp_job_get_attempts (survivor), ==, 3);
  g_assert_false (mp_job_get_worker_end (failed, &pid, &exit_code));
  assert_fails (lost, MP_JOB_STATE_WORKER_DIED, MP_ERROR, MP_ERROR_PROCESS_DIED);
  g_assert_true (mp_job_get_worker_end (lost, &pid, &exit_code));
  g_assert_cmpint (pid, >, 0);
  g_assert_cmpint (exit_code, ==, -SIGKILL);
  assert_fails (failed, MP_JOB_STATE_FAILED, G_IO_ERROR, G_IO_ERROR_BUSY);

  start = g_get_monotonic_time ();
  flaky = submit (pool, "flaky", g_variant_new_uint32 (2), patient);
  wait_for (flaky, MP_JOB_STATE_SUCCEEDED);
  g_assert_cmpint (g_get_monotonic_time () - start, >=, 20000 + 40000);
  result = mp_job_get_result (flaky, NULL);
  g_assert_cmpuint (g_variant_get_uint32 (result), ==, 2);
  hopeless = submit (pool, "flaky", g_variant_new_uint32 (3), patient);
  assert_fails (hopeless, MP_JOB_STATE_FAILED, G_IO_ERROR, G_IO_ERROR_BUSY);
  pool_close (pool);
}

static void
test_retry_timed_out (void)
{
  MpPool *pool =
    pool_new_with ("n-workers", 1, "cancel-grace", (gint64) 0, "kill-grace", (gint64) 0, NULL);
  g_autoptr (MpJobOptions) options =
    options_new ("timeout", (gint64) 20000, "max-attempts", 3, "retry-failed", TRUE, NULL);
  g_autoptr (MpJob) job = submit (pool, "hang", NULL, options);

  g_test_summary ("What takes too long is tried again, too, if that is asked for.");
  assert_fails (job, MP_JOB_STATE_TIMED_OUT, MP_ERROR, MP_ERROR_TIMED_OUT);
  g_assert_cmpuint (mp_job_get_attempts (job), ==, 3);
  pool_close (pool);
}

static void
test_cancel_delayed (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (MpJobOptions) options = options_new ("max-attempts",
                                                  2,
                                                  "retry-failed",
                                                  TRUE,
                                                  "retry-delay",
                                                  (gint64) 60 * G_USEC_PER_SEC,
                                                  NULL);
  g_autoptr (MpJob) job = submit (pool, "flaky", g_variant_new_uint32 (1), options);
  g_autoptr (MpJob) next = submit (pool, "square", g_variant_new_int64 (3), NULL);

  g_test_summary ("What waits for its next attempt can be cancelled, and keeps nobody.");
  wait_for (next, MP_JOB_STATE_SUCCEEDED);
  g_assert_false (mp_job_get_finished (job));
  g_assert_true (mp_job_cancel (job));
  g_assert_cmpuint (mp_pool_get_n_pending (pool), ==, 0);
  pool_close (pool);
}

static void
test_cooperate (void)
{
  MpPool *pool = pool_new_with ("n-workers", 1, "cancel-grace", (gint64) -1, NULL);
  g_autoptr (PoolGate) gate = pool_gate_new ();
  gsize n_pids;
  g_autofree int *pids = mp_pool_get_worker_pids (pool, &n_pids);

  g_test_summary ("A task that heeds its cancellable costs no worker.");
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (MpJob) job = submit (pool, "cooperate", pool_gate_argument (gate), NULL);
      g_autoptr (MpJob) next = submit (pool, "pid", NULL, NULL);
      g_autoptr (GVariant) pid = NULL;

      pool_gate_wait (gate, 1);
      g_assert_true (mp_job_cancel (job));
      g_assert_cmpint (mp_job_get_state (job), ==, MP_JOB_STATE_CANCELLED);
      pool_gate_wait (gate, 1);
      wait_for (next, MP_JOB_STATE_SUCCEEDED);
      pid = mp_job_get_result (next, NULL);
      g_assert_cmpint (g_variant_get_int32 (pid), ==, pids[0]);
    }
  pool_close (pool);
}

typedef struct
{
  int exit_code;
  guint64 job_id;
  char *function;
} Exit;

static void
note_exit (MpPool *pool,
           int pid,
           int exit_code,
           const char *limit,
           guint64 job_id,
           const char *function,
           gpointer user_data)
{
  Exit *self = user_data;

  g_assert_null (limit);
  self->exit_code = exit_code;
  self->job_id = job_id;
  self->function = g_strdup (function);
}

static gboolean
has_exit (gpointer user_data)
{
  return ((Exit *) user_data)->exit_code != 0;
}

static void
check_stages (const char *function, int signal_number)
{
  MpPool *pool = pool_new_with ("n-workers",
                                1,
                                "cancel-grace",
                                (gint64) 10000,
                                "kill-grace",
                                (gint64) 50000,
                                NULL);
  g_autoptr (PoolGate) gate = pool_gate_new ();
  g_autoptr (MpJob) job = submit (pool, function, pool_gate_argument (gate), NULL);
  Exit end = { 0 };

  g_signal_connect (pool, "worker-exited", G_CALLBACK (note_exit), &end);
  pool_gate_wait (gate, 1);
  g_assert_true (mp_job_cancel (job));
  pool_wait (has_exit, &end);
  g_assert_cmpint (end.exit_code, ==, -signal_number);
  g_assert_cmpuint (end.job_id, ==, mp_job_get_id (job));
  g_assert_cmpstr (end.function, ==, function);
  g_free (end.function);
  pool_close (pool);
}

static void
test_stages (void)
{
  g_test_summary ("What does not end gets SIGTERM, and then SIGKILL.");
  check_stages ("gate", SIGTERM);
  check_stages ("deaf", SIGKILL);
}

static void
test_after (void)
{
  MpPool *pool = pool_new (2);
  g_autoptr (PoolGate) gate = pool_gate_new ();
  g_autoptr (MpJobOptions) options = mp_job_options_new ();
  g_autoptr (MpJob) first = submit (pool, "gate", pool_gate_argument (gate), NULL);
  g_autoptr (MpJob) second = submit (pool, "square", g_variant_new_int64 (2), NULL);
  g_autoptr (MpJob) third = NULL;
  g_autoptr (MpJob) fourth = NULL;

  g_test_summary ("A job waits for others, and for nothing that is done.");
  mp_job_options_add_after (options, first);
  mp_job_options_add_after (options, second);
  third = submit (pool, "square", g_variant_new_int64 (3), options);
  pool_gate_wait (gate, 1);
  wait_for (second, MP_JOB_STATE_SUCCEEDED);
  g_assert_cmpint (mp_job_get_state (third), ==, MP_JOB_STATE_QUEUED);
  pool_gate_open (gate);
  wait_for (third, MP_JOB_STATE_SUCCEEDED);
  fourth = submit (pool, "square", g_variant_new_int64 (3), options);
  wait_for (fourth, MP_JOB_STATE_SUCCEEDED);
  pool_close (pool);
}

static void
test_after_failure (void)
{
  MpPool *pool = pool_new (1);
  MpPool *other = pool_new (1);
  g_autoptr (PoolGate) gate = pool_gate_new ();
  g_autoptr (MpJobOptions) after_gate = mp_job_options_new ();
  g_autoptr (MpJobOptions) after_odd = mp_job_options_new ();
  g_autoptr (MpJob) first = submit (pool, "gate", pool_gate_argument (gate), NULL);
  g_autoptr (MpJob) odd = submit (pool, "picky", g_variant_new_int64 (3), NULL);
  g_autoptr (MpJob) cancelled = NULL;
  g_autoptr (MpJob) failed = NULL;
  g_autoptr (MpJob) late = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("What a job waits for in vain is its end.");
  mp_job_options_add_after (after_gate, first);
  mp_job_options_add_after (after_odd, odd);
  cancelled = submit (pool, "square", g_variant_new_int64 (2), after_gate);
  failed = submit (pool, "square", g_variant_new_int64 (2), after_odd);
  pool_gate_wait (gate, 1);
  mp_job_cancel (first);
  assert_fails (cancelled, MP_JOB_STATE_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  assert_fails (failed, MP_JOB_STATE_FAILED, MP_ERROR, MP_ERROR_FAILED);
  late = submit (pool, "square", g_variant_new_int64 (2), after_odd);
  g_assert_cmpint (mp_job_get_state (late), ==, MP_JOB_STATE_FAILED);
  g_assert_null (mp_pool_submit (other, "pid", NULL, after_odd, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
  pool_close (pool);
  pool_close (other);
}

/* So long that nothing may be done by recursion. */
static void
test_after_chain (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (PoolGate) gate = pool_gate_new ();
  g_autoptr (MpJob) first = submit (pool, "gate", pool_gate_argument (gate), NULL);
  g_autoptr (MpJob) last = g_object_ref (first);

  g_test_summary ("A long chain of jobs ends with its first.");
  for (guint i = 0; i < 20000; i++)
    {
      g_autoptr (MpJobOptions) options = mp_job_options_new ();
      g_autoptr (MpJob) job = g_steal_pointer (&last);

      mp_job_options_add_after (options, job);
      last = submit (pool, "pid", NULL, options);
    }
  pool_gate_wait (gate, 1);
  mp_job_cancel (first);
  assert_fails (last, MP_JOB_STATE_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  pool_close (pool);
}

static void
test_read_ahead (void)
{
  MpPool *pool = pool_new (2);
  g_autoptr (MpJobOptions) options = options_new ("read-ahead", 3, NULL);
  g_autofree char *path = make_path ();
  g_autoptr (GError) error = NULL;
  g_autoptr (MpJob) job = NULL;
  GVariantBuilder items;

  g_test_summary ("No more is fed than was asked for; whoever waits for all lifts the bound.");
  g_variant_builder_init (&items, G_VARIANT_TYPE ("av"));
  for (guint i = 0; i < 20; i++)
    g_variant_builder_add (&items, "v", g_variant_new ("(^ayy)", path, 'x'));
  job = mp_pool_imap (pool, "append", g_variant_builder_end (&items), 1, options, &error);
  g_assert_no_error (error);
  for (guint i = 1; i <= 4; i++)
    {
      g_autoptr (GVariant) result = mp_job_next (job, -1, NULL, &error);
      g_autoptr (MpJob) other = submit (pool, "pid", NULL, NULL);
      GStatBuf status;

      g_assert_no_error (error);
      g_assert_nonnull (result);
      wait_for (other, MP_JOB_STATE_SUCCEEDED);
      g_assert_cmpint (g_stat (path, &status), ==, 0);
      g_assert_cmpint (status.st_size, <=, i + 3);
    }
  g_assert_false (mp_job_get_finished (job));
  wait_for (job, MP_JOB_STATE_SUCCEEDED);
  assert_file (path, "xxxxxxxxxxxxxxxxxxxx");
  pool_close (pool);
}

static void
test_read_ahead_closed (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (GError) error = NULL;
  g_autoptr (MpJob) job = mp_pool_imap (pool, "square", pool_numbers (3000), 1, NULL, &error);

  g_test_summary ("A pool that is closed ends, whether or not results are taken.");
  g_assert_no_error (error);
  pool_close (pool);
  g_assert_cmpint (mp_job_get_state (job), ==, MP_JOB_STATE_SUCCEEDED);
}

static void
test_dropped (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (PoolGate) gate = pool_gate_new ();
  g_autofree char *path = make_path ();
  g_autoptr (GError) error = NULL;
  G_GNUC_UNUSED g_autoptr (MpJob) first = submit (pool, "gate", pool_gate_argument (gate), NULL);
  g_autoptr (MpJob) other = NULL;
  GVariantBuilder items;
  MpJob *job;

  g_test_summary ("An imap that nobody takes from any more is fed no more.");
  pool_gate_wait (gate, 1);
  g_variant_builder_init (&items, G_VARIANT_TYPE ("av"));
  for (guint i = 0; i < 5000; i++)
    g_variant_builder_add (&items, "v", g_variant_new ("(^ayy)", path, 'x'));
  job = mp_pool_imap_unordered (pool, "append", g_variant_builder_end (&items), 1, NULL, &error);
  g_assert_no_error (error);
  g_object_unref (job);
  g_assert_cmpuint (mp_pool_get_n_pending (pool), <=, 1024);
  pool_gate_open (gate);
  other = submit (pool, "pid", NULL, NULL);
  wait_for (other, MP_JOB_STATE_SUCCEEDED);
  pool_close (pool);
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
}

int
main (int argc, char **argv)
{
  pool_tasks_init (&argc, &argv);
  g_test_add_func ("/mp/job-options/priority", test_priority);
  g_test_add_func ("/mp/job-options/priority-many", test_priority_many);
  g_test_add_func ("/mp/job-options/timeout", test_timeout);
  g_test_add_func ("/mp/job-options/timeout-of-pool", test_timeout_of_pool);
  g_test_add_func ("/mp/job-options/timeout-stopped", test_timeout_stopped);
  g_test_add_func ("/mp/job-options/attempts", test_attempts);
  g_test_add_func ("/mp/job-options/retry-timed-out", test_retry_timed_out);
  g_test_add_func ("/mp/job-options/cancel-delayed", test_cancel_delayed);
  g_test_add_func ("/mp/job-options/cooperate", test_cooperate);
  g_test_add_func ("/mp/job-options/stages", test_stages);
  g_test_add_func ("/mp/job-options/after", test_after);
  g_test_add_func ("/mp/job-options/after-failure", test_after_failure);
  g_test_add_func ("/mp/job-options/after-chain", test_after_chain);
  g_test_add_func ("/mp/job-options/read-ahead", test_read_ahead);
  g_test_add_func ("/mp/job-options/read-ahead-closed", test_read_ahead_closed);
  g_test_add_func ("/mp/job-options/dropped", test_dropped);
  return g_test_run ();
}
