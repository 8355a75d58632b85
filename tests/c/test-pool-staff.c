/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "pool-tasks.h"

#include <signal.h>
#include <sys/resource.h>

/* How many workers a pool has, how long they stay, and what they may use. */

static guint
count_workers (MpPool *pool)
{
  gsize n_pids;
  G_GNUC_UNUSED g_autofree int *pids = mp_pool_get_worker_pids (pool, &n_pids);

  return (guint) n_pids;
}

typedef struct
{
  MpPool *pool;
  guint n_workers;
  guint n_exits;
  guint n_notified;
  char *limit;
} Staff;

static void
note_exit (MpPool *pool,
           int pid,
           int exit_code,
           const char *limit,
           guint64 job_id,
           const char *function,
           gpointer user_data)
{
  Staff *self = user_data;

  self->n_exits++;
  if (limit != NULL)
    {
      g_assert_cmpuint (job_id, >, 0);
      g_free (self->limit);
      self->limit = g_strdup (limit);
    }
}

static void
note_size (Staff *self)
{
  self->n_notified++;
}

static gboolean
is_of_size (gpointer user_data)
{
  Staff *self = user_data;

  return count_workers (self->pool) == self->n_workers;
}

static gboolean
look_again (gpointer user_data)
{
  return G_SOURCE_CONTINUE;
}

static gboolean
was_notified (gpointer user_data)
{
  Staff *self = user_data;

  return self->n_notified > 0;
}

/* Workers come without a signal. */
static void
wait_for_workers (Staff *self, guint n_workers)
{
  guint timer = g_timeout_add (5, look_again, NULL);

  self->n_workers = n_workers;
  pool_wait (is_of_size, self);
  g_source_remove (timer);
}

static gboolean
has_four_exits (gpointer user_data)
{
  return ((Staff *) user_data)->n_exits == 4;
}

static gboolean
has_limit (gpointer user_data)
{
  return ((Staff *) user_data)->limit != NULL;
}

static void
staff_init (Staff *self, MpPool *pool)
{
  self->pool = pool;
  g_signal_connect (pool, "worker-exited", G_CALLBACK (note_exit), self);
  g_signal_connect_swapped (pool, "notify::n-workers", G_CALLBACK (note_size), self);
}

static void
test_resize (void)
{
  MpPool *pool = pool_new (2);
  Staff staff = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (PoolGate) gate = pool_gate_new ();
  g_autoptr (MpJob) job = NULL;
  g_autoptr (GVariant) results = NULL;

  g_test_summary ("A pool grows and shrinks, idle and at work.");
  staff_init (&staff, pool);
  g_assert_true (mp_pool_resize (pool, 5, &error));
  g_assert_cmpuint (mp_pool_get_n_workers (pool), ==, 5);
  wait_for_workers (&staff, 5);
  /* They may all be there before the context has turned. */
  pool_wait (was_notified, &staff);
  g_assert_cmpuint (staff.n_notified, ==, 1);
  g_assert_true (mp_pool_resize (pool, 1, &error));
  wait_for_workers (&staff, 1);
  pool_wait (has_four_exits, &staff);

  g_assert_true (mp_pool_resize (pool, 3, &error));
  job = mp_pool_submit_map (pool,
                            "gate",
                            g_variant_new_array (G_VARIANT_TYPE ("(ayay)"),
                                                 (GVariant *[]){ pool_gate_argument (gate),
                                                                 pool_gate_argument (gate),
                                                                 pool_gate_argument (gate) },
                                                 3),
                            1,
                            NULL,
                            &error);
  pool_gate_wait (gate, 3);
  wait_for_workers (&staff, 3);
  g_assert_true (mp_pool_resize (pool, 1, &error));
  g_assert_cmpuint (count_workers (pool), ==, 3);
  pool_gate_open (gate);
  g_assert_true (mp_job_wait (job, -1, NULL, &error));
  wait_for_workers (&staff, 1);
  results = mp_pool_map (pool, "square", pool_numbers (1000), 1, -1, NULL, &error);
  pool_assert_squares (results, 1000);

  g_assert_false (mp_pool_resize (pool, 0, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  mp_pool_close (pool);
  g_assert_false (mp_pool_resize (pool, 2, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
  pool_close (pool);
}

static void
test_resize_often (void)
{
  MpPool *pool = pool_new (1);
  Staff staff = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) results = NULL;
  g_autoptr (MpJob) job =
    mp_pool_submit_map (pool, "square", pool_numbers (30000), 1, NULL, &error);

  g_test_summary ("While it is resized again and again, nothing is lost.");
  staff_init (&staff, pool);
  for (guint i = 0; i < 40; i++)
    {
      g_assert_true (mp_pool_resize (pool, 1 + i * 7 % 6, &error));
      g_thread_yield ();
    }
  g_assert_true (mp_pool_resize (pool, 2, &error));
  g_assert_true (mp_job_wait (job, -1, NULL, &error));
  results = mp_job_get_result (job, &error);
  pool_assert_squares (results, 30000);
  wait_for_workers (&staff, 2);
  pool_close (pool);
}

static void
test_idle (void)
{
  MpPool *pool =
    pool_new_with ("n-workers", 4, "min-workers", 1, "idle-timeout", (gint64) 20000, NULL);
  Staff staff = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (PoolGate) gate = pool_gate_new ();
  g_autoptr (GPtrArray) jobs = g_ptr_array_new_with_free_func (g_object_unref);

  g_test_summary ("Workers that nobody needs leave, and come back.");
  staff_init (&staff, pool);
  wait_for_workers (&staff, 1);
  g_assert_cmpuint (mp_pool_get_n_workers (pool), ==, 4);
  for (guint i = 0; i < 4; i++)
    g_ptr_array_add (jobs, mp_pool_submit (pool, "gate", pool_gate_argument (gate), NULL, &error));
  pool_gate_wait (gate, 4);
  pool_gate_open (gate);
  for (guint i = 0; i < 4; i++)
    g_assert_true (mp_job_wait (g_ptr_array_index (jobs, i), -1, NULL, &error));
  wait_for_workers (&staff, 1);
  pool_close (pool);
}

static void
test_idle_none (void)
{
  MpPool *pool = pool_new_with ("n-workers", 2, "idle-timeout", (gint64) 1000, NULL);
  Staff staff = { 0 };
  g_autoptr (GError) error = NULL;

  g_test_summary ("All may leave.");
  staff_init (&staff, pool);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (GVariant) result = NULL;

      wait_for_workers (&staff, 0);
      result = mp_pool_apply (pool, "square", g_variant_new_int64 (7), -1, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpint (g_variant_get_int64 (result), ==, 49);
    }
  pool_close (pool);
}

static int
apply_pid (MpPool *pool, const char *function, GVariant *argument)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) result = mp_pool_apply (pool, function, argument, -1, NULL, &error);

  g_assert_no_error (error);
  return g_variant_get_int32 (result);
}

static void
test_age (void)
{
  MpPool *pool = pool_new_with ("n-workers", 1, "max-worker-age", (gint64) 1, NULL);
  MpPool *young = pool_new_with ("n-workers", 1, "max-worker-age", (gint64) G_MAXINT64, NULL);
  int pid = apply_pid (pool, "pid", NULL);

  g_test_summary ("A worker leaves when it is old.");
  g_assert_cmpint (apply_pid (pool, "pid", NULL), !=, pid);
  pid = apply_pid (young, "pid", NULL);
  g_assert_cmpint (apply_pid (young, "pid", NULL), ==, pid);
  pool_close (pool);
  pool_close (young);
}

static void
test_memory (void)
{
  MpPool *pool =
    pool_new_with ("n-workers", 1, "max-worker-memory", (guint64) 32 * 1024 * 1024, NULL);
  int pid = apply_pid (pool, "grab", g_variant_new ("(ub)", 1, FALSE));

  g_test_summary ("A worker leaves when it is big.");
  g_assert_cmpint (apply_pid (pool, "grab", g_variant_new ("(ub)", 48, FALSE)), ==, pid);
  g_assert_cmpint (apply_pid (pool, "pid", NULL), !=, pid);
  pool_close (pool);
}

static void
check_limit (MpPool *pool, const char *function, GVariant *argument, const char *limit)
{
  Staff staff = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (MpJob) job = mp_pool_submit (pool, function, argument, NULL, &error);

  staff_init (&staff, pool);
  g_assert_true (mp_job_wait (job, -1, NULL, &error));
  g_assert_cmpint (mp_job_get_state (job), ==, MP_JOB_STATE_LIMIT);
  g_assert_null (mp_job_get_result (job, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_LIMIT);
  pool_wait (has_limit, &staff);
  g_assert_cmpstr (staff.limit, ==, limit);
  g_free (staff.limit);
  apply_pid (pool, "pid", NULL);
  pool_close (pool);
}

static void
test_limits (void)
{
  g_test_summary ("Who takes more than it may ends with an error that says so.");
  check_limit (pool_new_with ("n-workers",
                              1,
                              "worker-memory-limit",
                              (guint64) 64 * 1024 * 1024,
                              NULL),
               "grab",
               g_variant_new ("(ub)", 100, TRUE),
               "memory");
  check_limit (pool_new (1), "burn", NULL, "time");
}

static void
test_limits_of_context (void)
{
  g_autoptr (MpContext) context = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_NATIVE);

  g_test_summary ("So does who takes more than the pool's context lets a process have.");
  mp_context_set_limit (context, MP_LIMIT_MEMORY, 64 * 1024 * 1024);
  check_limit (pool_new_with ("n-workers", 1, "context", context, NULL),
               "grab",
               g_variant_new ("(ub)", 100, TRUE),
               "memory");
}

static void
test_few_descriptors (void)
{
  const guint n = 20, n_for_a_start = 14;
  g_autoptr (GError) error = NULL;
  g_autoptr (MpPool) second = NULL;
  MpPool *first;
  struct rlimit before, low;
  guint n_fds;

  g_test_summary ("Descriptors that are enough for a pool are enough for its start.");
  /* What the first pool of a process makes stays. */
  pool_terminate (pool_new (n));
  first = pool_new (n);
  n_fds = pool_count_fds ();
  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &before));
  low = before;
  low.rlim_cur = n_fds + n_for_a_start;
  pool_terminate (first);
  pool_assert_fds (n_fds - n, pool_count_memfds ());
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &low));
  second = mp_pool_new (mp_context_get_default (), n, &error);
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &before));
  g_assert_no_error (error);
  g_assert_cmpuint (count_workers (second), ==, n);
  pool_terminate (g_steal_pointer (&second));
}

int
main (int argc, char **argv)
{
  pool_tasks_init (&argc, &argv);
  g_test_add_func ("/mp/pool-staff/resize", test_resize);
  g_test_add_func ("/mp/pool-staff/resize-often", test_resize_often);
  g_test_add_func ("/mp/pool-staff/idle", test_idle);
  g_test_add_func ("/mp/pool-staff/idle-none", test_idle_none);
  g_test_add_func ("/mp/pool-staff/age", test_age);
  g_test_add_func ("/mp/pool-staff/memory", test_memory);
  g_test_add_func ("/mp/pool-staff/limits", test_limits);
  g_test_add_func ("/mp/pool-staff/limits-of-context", test_limits_of_context);
  g_test_add_func ("/mp/pool-staff/few-descriptors", test_few_descriptors);
  return g_test_run ();
}
