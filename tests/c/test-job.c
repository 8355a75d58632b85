/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "pool-tasks.h"

#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../libmp/base/mp-micro-lock-private.h"
#include "../../libmp/pool/mp-pool-private.h"
#include "../../libmp/process/mp-pump-private.h"

/* The life of a job: its state, its end, and who is told. */

static void
test_states (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (GError) error = NULL;
  g_autoptr (PoolGate) gate = pool_gate_new ();
  g_autoptr (MpJob) first = mp_pool_submit (pool, "gate", pool_gate_argument (gate), NULL, &error);
  g_autoptr (MpJob) second = mp_pool_submit (pool, "square", g_variant_new_int64 (5), NULL, &error);
  g_autoptr (GVariant) result = NULL;

  g_test_summary ("Queued, running, succeeded; results only of what is finished.");
  pool_gate_wait (gate, 1);
  g_assert_cmpint (mp_job_get_state (first), ==, MP_JOB_STATE_RUNNING);
  g_assert_cmpint (mp_job_get_state (second), ==, MP_JOB_STATE_QUEUED);
  g_assert_cmpuint (mp_pool_get_n_busy (pool), ==, 1);
  g_assert_cmpuint (mp_pool_get_n_pending (pool), ==, 1);
  g_assert_false (mp_job_get_finished (second));
  g_assert_cmpstr (mp_job_get_function (second), ==, "square");
  g_assert_cmpuint (mp_job_get_id (first), <, mp_job_get_id (second));
  g_assert_null (mp_job_get_result (second, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_BUSY);
  g_clear_error (&error);
  g_assert_false (mp_job_wait (second, 1000, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_TIMED_OUT);
  g_clear_error (&error);
  g_assert_false (mp_job_wait_ready (second, 1000));

  pool_gate_open (gate);
  g_assert_true (mp_job_wait (second, -1, NULL, &error));
  g_assert_true (mp_job_wait_ready (second, 0));
  g_assert_cmpint (mp_job_get_state (first), ==, MP_JOB_STATE_SUCCEEDED);
  g_assert_true (mp_job_get_finished (first));
  for (guint i = 0; i < 2; i++)
    {
      g_clear_pointer (&result, g_variant_unref);
      result = mp_job_get_result (second, &error);
      g_assert_no_error (error);
      g_assert_cmpint (g_variant_get_int64 (result), ==, 25);
    }
  pool_close (pool);
}

static void
test_cancel_queued (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (GError) error = NULL;
  g_autoptr (PoolGate) gate = pool_gate_new ();
  g_autofree char *path = g_strdup_printf ("%s/mp-never-%d", g_get_tmp_dir (), getpid ());
  g_autoptr (MpJob) first = mp_pool_submit (pool, "gate", pool_gate_argument (gate), NULL, &error);
  g_autoptr (MpJob) never =
    mp_pool_submit (pool, "touch", g_variant_new_bytestring (path), NULL, &error);
  g_autoptr (GVariant) after = NULL;

  g_test_summary ("What is cancelled while it is queued never runs.");
  pool_gate_wait (gate, 1);
  g_assert_true (mp_job_cancel (never));
  g_assert_false (mp_job_cancel (never));
  g_assert_cmpint (mp_job_get_state (never), ==, MP_JOB_STATE_CANCELLED);
  g_assert_null (mp_job_get_result (never, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  pool_gate_open (gate);
  after = mp_pool_apply (pool, "square", g_variant_new_int64 (1), -1, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (mp_job_get_state (first), ==, MP_JOB_STATE_SUCCEEDED);
  pool_close (pool);
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
}

static void
test_cancel_running (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (GError) error = NULL;
  g_autoptr (PoolGate) gate = pool_gate_new ();
  g_autoptr (MpJob) job = mp_pool_submit (pool, "gate", pool_gate_argument (gate), NULL, &error);
  g_autoptr (MpJob) next = mp_pool_submit (pool, "pid", NULL, NULL, &error);
  g_autoptr (GVariant) result = NULL;
  gsize n_pids;
  g_autofree int *pids = mp_pool_get_worker_pids (pool, &n_pids);

  g_test_summary ("A running job is cancelled with its worker, which is replaced.");
  pool_gate_wait (gate, 1);
  g_assert_true (mp_job_cancel (job));
  g_assert_cmpint (mp_job_get_state (job), ==, MP_JOB_STATE_CANCELLED);
  g_assert_true (mp_job_wait (next, -1, NULL, &error));
  result = mp_job_get_result (next, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_variant_get_int32 (result), !=, pids[0]);
  g_assert_false (pool_process_exists (pids[0]));
  pool_close (pool);
}

/* Many times, so that the cancel meets the task at every stage. */
static void
test_cancel_race (void)
{
  MpPool *pool = pool_new_with ("n-workers", 2, "cancel-grace", (gint64) 0, NULL);

  g_test_summary ("Cancelling one job never harms another.");
  for (guint i = 0; i < 150; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (MpJob) victim =
        mp_pool_submit_map (pool, "square", pool_numbers (i % 40), 1, NULL, &error);
      g_autoptr (MpJob) other =
        mp_pool_submit_map (pool, "square", pool_numbers (40), 1, NULL, &error);
      g_autoptr (GVariant) results = NULL;

      if (i % 3 == 0)
        g_thread_yield ();
      mp_job_cancel (victim);
      g_assert_true (mp_job_get_finished (victim));
      g_assert_true (mp_job_wait (other, -1, NULL, &error));
      results = mp_job_get_result (other, &error);
      g_assert_no_error (error);
      pool_assert_squares (results, 40);
    }
  pool_close (pool);
}

static gboolean
is_set (gpointer flag)
{
  return *(gboolean *) flag;
}

static void
set_flag (gpointer object, gpointer flag)
{
  *(gboolean *) flag = TRUE;
}

static void
count_notify (GObject *object, GParamSpec *pspec, gpointer n)
{
  (*(guint *) n)++;
}

static void
test_progress (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (GError) error = NULL;
  g_autoptr (PoolGate) gate = pool_gate_new ();
  g_autoptr (MpJob) job = mp_pool_submit (pool, "gate", pool_gate_argument (gate), NULL, &error);
  gboolean half = FALSE;
  gboolean completed = FALSE;
  guint n_done = 0;

  g_test_summary ("What a task reports is seen from outside, and notified in the main context.");
  g_signal_connect (job, "completed", G_CALLBACK (set_flag), &completed);
  g_signal_connect (job, "notify::n-done", G_CALLBACK (count_notify), &n_done);
  pool_gate_wait (gate, 1);
  while (!half)
    {
      g_main_context_iteration (NULL, FALSE);
      half = mp_job_get_progress (job) == 0.5;
    }
  g_assert_false (completed);
  pool_gate_open (gate);
  pool_wait (is_set, &completed);
  g_assert_cmpfloat (mp_job_get_progress (job), ==, 1.0);
  g_assert_cmpuint (mp_job_get_n_done (job), ==, 1);
  g_assert_cmpuint (mp_job_get_n_total (job), ==, 1);
  g_assert_cmpuint (n_done, >=, 1);
  pool_close (pool);
}

typedef struct
{
  GAsyncResult *result;
} Call;

static void
call_done (GObject *object, GAsyncResult *result, gpointer user_data)
{
  ((Call *) user_data)->result = g_object_ref (result);
}

static gboolean
call_is_done (gpointer call)
{
  return ((Call *) call)->result != NULL;
}

static GAsyncResult *
call_wait (Call *call)
{
  pool_wait (call_is_done, call);
  return g_steal_pointer (&call->result);
}

static void
test_async (void)
{
  MpPool *pool = pool_new (2);
  g_autoptr (GError) error = NULL;
  g_autoptr (MpJob) job = mp_pool_submit (pool, "square", g_variant_new_int64 (6), NULL, &error);
  g_autoptr (GVariant) one = NULL;
  g_autoptr (GVariant) many = NULL;
  Call calls[4] = { { NULL } };
  GAsyncResult *results[4] = { NULL };

  g_test_summary ("Everything that waits can wait in a main context.");
  mp_job_wait_async (job, NULL, call_done, &calls[0]);
  mp_pool_apply_async (pool, "square", g_variant_new_int64 (7), NULL, call_done, &calls[1]);
  mp_pool_map_async (pool, "square", pool_numbers (500), 1, NULL, call_done, &calls[2]);
  for (guint i = 0; i < 3; i++)
    results[i] = call_wait (&calls[i]);
  g_assert_true (mp_job_wait_finish (job, results[0], &error));
  one = mp_pool_apply_finish (pool, results[1], &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_variant_get_int64 (one), ==, 49);
  many = mp_pool_map_finish (pool, results[2], &error);
  g_assert_no_error (error);
  pool_assert_squares (many, 500);

  mp_pool_close (pool);
  mp_pool_join_async (pool, NULL, call_done, &calls[3]);
  results[3] = call_wait (&calls[3]);
  g_assert_true (mp_pool_join_finish (pool, results[3], &error));
  g_assert_no_error (error);
  for (guint i = 0; i < 4; i++)
    g_object_unref (results[i]);
  g_object_unref (pool);
}

static void
test_async_errors (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (GError) error = NULL;
  Call calls[3] = { { NULL } };
  g_autoptr (GAsyncResult) failed = NULL;
  g_autoptr (GAsyncResult) busy = NULL;
  g_autoptr (GAsyncResult) closed = NULL;

  g_test_summary ("Errors come through the main context too.");
  mp_pool_apply_async (pool, "picky", g_variant_new_int64 (1), NULL, call_done, &calls[0]);
  failed = call_wait (&calls[0]);
  g_assert_null (mp_pool_apply_finish (pool, failed, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_clear_error (&error);
  mp_pool_join_async (pool, NULL, call_done, &calls[1]);
  busy = call_wait (&calls[1]);
  g_assert_false (mp_pool_join_finish (pool, busy, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_BUSY);
  g_clear_error (&error);
  mp_pool_close (pool);
  mp_pool_map_async (pool, "square", pool_numbers (3), 0, NULL, call_done, &calls[2]);
  closed = call_wait (&calls[2]);
  g_assert_null (mp_pool_map_finish (pool, closed, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
  g_clear_error (&error);
  pool_close (pool);
}

static void
test_async_cancel (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (GError) error = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (PoolGate) gate = pool_gate_new ();
  g_autoptr (MpJob) job = NULL;
  g_autoptr (GVariant) after = NULL;
  Call calls[4] = { { NULL } };
  GAsyncResult *results[4] = { NULL };

  g_test_summary ("A cancelled wait leaves the job alone; a cancelled call gives it up.");
  job = mp_pool_submit (pool, "gate", pool_gate_argument (gate), NULL, &error);
  pool_gate_wait (gate, 1);
  mp_job_wait_async (job, cancellable, call_done, &calls[0]);
  mp_job_next_async (job, cancellable, call_done, &calls[1]);
  g_cancellable_cancel (cancellable);
  mp_job_wait_async (job, cancellable, call_done, &calls[2]);
  for (guint i = 0; i < 3; i++)
    results[i] = call_wait (&calls[i]);
  g_assert_false (mp_job_wait_finish (job, results[0], &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_null (mp_job_next_finish (job, results[1], &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_false (mp_job_wait_finish (job, results[2], &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  pool_gate_open (gate);
  g_assert_true (mp_job_wait (job, -1, NULL, &error));
  g_assert_cmpint (mp_job_get_state (job), ==, MP_JOB_STATE_SUCCEEDED);

  g_cancellable_reset (cancellable);
  mp_pool_apply_async (pool, "hang", NULL, cancellable, call_done, &calls[3]);
  g_cancellable_cancel (cancellable);
  results[3] = call_wait (&calls[3]);
  g_assert_null (mp_pool_apply_finish (pool, results[3], &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  for (guint i = 0; i < 4; i++)
    g_object_unref (results[i]);
  after = mp_pool_apply (pool, "square", g_variant_new_int64 (2), -1, NULL, &error);
  g_assert_no_error (error);
  pool_close (pool);
}

static void
test_next_async (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (GError) error = NULL;
  g_autoptr (MpJob) job = mp_pool_imap (pool, "square", pool_numbers (3), 1, NULL, &error);

  g_test_summary ("A result that nobody fetched goes back, in its place.");
  for (gint64 i = 0; i < 3; i++)
    {
      Call call = { NULL };
      GAsyncResult *result;
      g_autoptr (GVariant) value = NULL;

      mp_job_next_async (job, NULL, call_done, &call);
      result = call_wait (&call);
      if (i == 0)
        {
          /* Dropped without a finish. */
          g_object_unref (result);
          while (g_main_context_iteration (NULL, FALSE))
            ;
          value = mp_job_next (job, -1, NULL, &error);
        }
      else
        {
          value = mp_job_next_finish (job, result, &error);
          g_object_unref (result);
        }
      g_assert_no_error (error);
      g_assert_cmpint (g_variant_get_int64 (value), ==, i * i);
    }
  {
    Call call = { NULL };
    g_autoptr (GAsyncResult) result = NULL;

    mp_job_next_async (job, NULL, call_done, &call);
    result = call_wait (&call);
    g_assert_null (mp_job_next_finish (job, result, &error));
    g_assert_no_error (error);
  }
  pool_close (pool);
}

static void
test_next_cancelled (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (GError) error = NULL;
  g_autoptr (MpJob) job = mp_pool_imap (pool, "square", pool_numbers (1), 1, NULL, &error);
  g_autoptr (MpJob) stuck = NULL;
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();

  g_test_summary ("A cancelled wait takes nothing; a cancelled job says so at its end.");
  g_assert_true (mp_job_wait (job, -1, NULL, &error));
  g_cancellable_cancel (cancellable);
  g_assert_null (mp_job_next (job, -1, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  value = mp_job_next (job, 0, NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (value);
  g_assert_null (mp_job_get_result (job, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_FOUND);
  g_clear_error (&error);

  stuck = mp_pool_imap (pool, "hang", pool_numbers (10), 1, NULL, &error);
  mp_job_cancel (stuck);
  for (guint i = 0; i < 2; i++)
    {
      g_assert_null (mp_job_next (stuck, -1, NULL, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_clear_error (&error);
    }
  pool_close (pool);
}

static void
test_take_finished (void)
{
  MpPool *pool = pool_new (2);
  g_autoptr (GError) error = NULL;
  GHashTable *ids = g_hash_table_new (NULL, NULL);

  g_test_summary ("Finished jobs are handed out, each once, though nobody else kept them.");
  g_assert_null (mp_pool_take_finished (pool, 0));
  g_assert_null (mp_pool_take_finished (pool, 1000));
  for (guint i = 0; i < 100; i++)
    {
      g_autoptr (MpJob) job =
        mp_pool_submit (pool, "square", g_variant_new_int64 (i), NULL, &error);

      if (i % 2 == 0)
        g_assert_true (mp_job_wait (job, -1, NULL, &error));
      mp_job_set_notify (job, TRUE);
      mp_job_set_notify (job, TRUE);
      g_hash_table_add (ids, GSIZE_TO_POINTER (mp_job_get_id (job)));
      if (i % 10 == 0)
        {
          mp_job_set_notify (job, FALSE);
          g_hash_table_remove (ids, GSIZE_TO_POINTER (mp_job_get_id (job)));
        }
    }
  while (g_hash_table_size (ids) > 0)
    {
      g_autoptr (MpJob) job = mp_pool_take_finished (pool, -1);

      g_assert_nonnull (job);
      g_assert_true (mp_job_get_finished (job));
      g_assert_true (g_hash_table_remove (ids, GSIZE_TO_POINTER (mp_job_get_id (job))));
    }
  g_hash_table_unref (ids);
  g_assert_null (mp_pool_take_finished (pool, 0));
  mp_pool_close (pool);
  g_assert_null (mp_pool_take_finished (pool, -1));
  pool_close (pool);
}

static void
test_kept_and_dropped (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (GError) error = NULL;
  MpJob *job = mp_pool_submit (pool, "hang", NULL, NULL, &error);
  MpJob *done = mp_pool_submit_map (pool, "square", pool_numbers (0), 0, NULL, &error);

  g_test_summary ("Jobs that were kept for somebody go with the pool.");
  mp_job_set_notify (job, TRUE);
  mp_job_set_notify (done, TRUE);
  g_object_add_weak_pointer (G_OBJECT (job), (gpointer *) &job);
  g_object_add_weak_pointer (G_OBJECT (done), (gpointer *) &done);
  g_object_unref (job);
  g_object_unref (done);
  g_assert_nonnull (job);
  g_assert_nonnull (done);
  g_object_unref (pool);
  g_assert_null (job);
  g_assert_null (done);
}

static gpointer
iterate_context (gpointer data)
{
  gpointer *all = data;
  GMainContext *context = all[0];
  g_autoptr (MpJob) job = NULL;
  gboolean completed = FALSE;

  g_main_context_push_thread_default (context);
  job = mp_pool_submit (all[1], "square", g_variant_new_int64 (2), NULL, NULL);
  g_signal_connect (job, "completed", G_CALLBACK (set_flag), &completed);
  while (!completed)
    g_main_context_iteration (context, TRUE);
  g_main_context_pop_thread_default (context);
  return NULL;
}

static void
test_context (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (GMainContext) context = g_main_context_new ();
  gpointer all[] = { context, pool };

  g_test_summary ("A job is told of in the context of the thread that submitted it.");
  g_thread_join (g_thread_new ("submitter", iterate_context, all));
  pool_close (pool);
}

static void
test_flood (void)
{
  MpPool *pool = pool_new (1);
  const guint n = 1000 * 1000;
  g_autoptr (GError) error = NULL;
  g_autoptr (PoolGate) gate = pool_gate_new ();
  g_autoptr (MpJob) blocker =
    mp_pool_submit (pool, "gate", pool_gate_argument (gate), NULL, &error);
  g_autoptr (MpJob) flood = mp_pool_submit_map (pool, "square", pool_numbers (n), 1, NULL, &error);
  g_autoptr (MpJob) last = NULL;
  g_autoptr (GVariant) results = NULL;
  gint64 start;

  g_test_summary ("To submit does not block while a million tasks are queued and none runs.");
  g_assert_no_error (error);
  pool_gate_wait (gate, 1);
  start = g_get_monotonic_time ();
  for (guint i = 0; i < 1000; i++)
    {
      g_clear_object (&last);
      last = mp_pool_submit (pool, "square", g_variant_new_int64 (i), NULL, &error);
    }
  g_assert_no_error (error);
  g_assert_cmpint (g_get_monotonic_time () - start, <, 2 * G_USEC_PER_SEC);
  g_assert_cmpuint (mp_pool_get_n_pending (pool), >=, n);
  pool_gate_open (gate);
  g_assert_true (mp_job_wait (last, -1, NULL, &error));
  g_assert_cmpint (mp_job_get_state (blocker), ==, MP_JOB_STATE_SUCCEEDED);
  results = mp_job_get_result (flood, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_n_children (results), ==, n);
  pool_close (pool);
}

/* In a forked child, once it may: whether the job stays as it is, whoever looks for its result. */
G_NORETURN static void
look_in_child (MpJob *job, int start_fd)
{
  MpJobCore *core = mp_job_get_core (job);
  char byte;

  g_assert_cmpint (read (start_fd, &byte, 1), ==, 1);
  for (int i = 0; i < 1000; i++)
    mp_job_core_look_for_result (core, -1);
  _exit (core->unfinished ? 0 : 1);
}

static void
test_look_for_result (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (GError) error = NULL;
  g_autoptr (PoolGate) gate = pool_gate_new ();
  g_autoptr (MpJob) job = mp_pool_submit (pool, "gate", pool_gate_argument (gate), NULL, &error);
  MpJobCore *core = mp_job_get_core (job);
  int status, start[2];
  pid_t pid;

  g_test_summary ("Who waits for one task takes its result himself; a forked child does not.");
  g_assert_no_error (error);
  pool_gate_wait (gate, 1);
  g_assert_cmpint (pipe (start), ==, 0);
  pid = fork ();
  if (pid == 0)
    look_in_child (job, start[0]);
  g_assert_cmpint (pid, >, 0);

  /* Nobody else takes results now. */
  mp_pump_park ();
  pool_gate_open (gate);
  while (mp_ring_get_length (core->pool->results) == 0)
    g_thread_yield ();
  g_assert_cmpint (write (start[1], "x", 1), ==, 1);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  g_assert_cmpuint (mp_ring_get_length (core->pool->results), ==, 1);
  g_assert_false (mp_job_get_finished (job));
  /* Where there is one processor, nobody looks. Elsewhere it is not done each time. */
  while (mp_micro_lock_may_spin () && !mp_job_get_finished (job))
    mp_job_core_look_for_result (core, -1);
  mp_pump_unpark ();
  g_assert_true (mp_job_wait (job, -1, NULL, &error));
  g_assert_no_error (error);
  close (start[0]);
  close (start[1]);
  pool_close (pool);
}

/* What happens while the one that looks has given its processor away. */
static _Thread_local void (*meanwhile) (void);
static MpJob *first_job, *second_job;
static PoolGate *first_gate, *second_gate;

int
sched_yield (void)
{
  void (*func) (void) = meanwhile;

  meanwhile = NULL;
  if (func != NULL)
    func ();
  return (int) syscall (SYS_sched_yield);
}

static void
open_and_await (PoolGate *gate)
{
  pool_gate_open (gate);
  while (mp_ring_get_length (mp_job_get_core (first_job)->pool->results) == 0)
    g_thread_yield ();
}

static void
take_one_and_have_another (void)
{
  MpPoolCore *pool = mp_job_get_core (first_job)->pool;

  open_and_await (first_gate);
  mp_pool_core_lock (pool);
  mp_pool_core_drain (pool);
  mp_pool_core_unlock (pool);
  open_and_await (second_gate);
}

static void
test_look_for_others (void)
{
  MpPool *pool = pool_new (2);
  g_autoptr (PoolGate) gate = pool_gate_new (), other_gate = pool_gate_new ();
  g_autoptr (MpJob) job = NULL, other_job = NULL;

  g_test_summary ("Nobody is woken for what comes while one looks: it takes that, too.");
  first_gate = gate;
  second_gate = other_gate;
  first_job = job = mp_pool_submit (pool, "gate", pool_gate_argument (gate), NULL, NULL);
  pool_gate_wait (gate, 1);
  second_job = other_job =
    mp_pool_submit (pool, "gate", pool_gate_argument (other_gate), NULL, NULL);
  pool_gate_wait (other_gate, 1);
  mp_pump_park ();
  meanwhile = take_one_and_have_another;
  while (meanwhile != NULL)
    mp_job_core_look_for_result (mp_job_get_core (job), -1);
  g_assert_true (mp_job_get_finished (job));
  g_assert_true (mp_job_get_finished (other_job));
  mp_pump_unpark ();
  pool_close (pool);
}

int
main (int argc, char **argv)
{
  pool_tasks_init (&argc, &argv);
  g_test_add_func ("/mp/job/states", test_states);
  g_test_add_func ("/mp/job/cancel-queued", test_cancel_queued);
  g_test_add_func ("/mp/job/cancel-running", test_cancel_running);
  g_test_add_func ("/mp/job/cancel-race", test_cancel_race);
  g_test_add_func ("/mp/job/progress", test_progress);
  g_test_add_func ("/mp/job/async", test_async);
  g_test_add_func ("/mp/job/async-errors", test_async_errors);
  g_test_add_func ("/mp/job/async-cancel", test_async_cancel);
  g_test_add_func ("/mp/job/next-async", test_next_async);
  g_test_add_func ("/mp/job/next-cancelled", test_next_cancelled);
  g_test_add_func ("/mp/job/take-finished", test_take_finished);
  g_test_add_func ("/mp/job/kept-and-dropped", test_kept_and_dropped);
  g_test_add_func ("/mp/job/context", test_context);
  g_test_add_func ("/mp/job/flood", test_flood);
  g_test_add_func ("/mp/job/look-for-result", test_look_for_result);
  g_test_add_func ("/mp/job/look-for-others", test_look_for_others);
  return g_test_run ();
}
