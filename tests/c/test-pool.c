/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "pool-tasks.h"

#include <string.h>
#include <unistd.h>

/* What a pool is asked, and what it answers. No test here but those that say so
 * turns a main loop. */

static void
test_apply (void)
{
  MpPool *pool = pool_new (2);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GVariant) nothing = NULL;
  g_autoptr (GVariant) where = NULL;

  g_test_summary ("A function is applied in another process, with an argument and without.");
  result = mp_pool_apply (pool, "square", g_variant_new_int64 (12), -1, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_variant_get_int64 (result), ==, 144);
  nothing = mp_pool_apply (pool, "echo", NULL, -1, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_string (nothing, NULL), ==, "nothing");
  where = mp_pool_apply (pool, "pid", NULL, -1, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_variant_get_int32 (where), !=, getpid ());
  pool_close (pool);
}

static void
test_map (void)
{
  static const guint chunks[] = { 0, 1, 2, 7, 100, 5000 };
  MpPool *pool = pool_new (2);

  g_test_summary ("A map gives the results in order, whatever the chunks.");
  for (guint i = 0; i < G_N_ELEMENTS (chunks); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) results =
        mp_pool_map (pool, "square", pool_numbers (1000), chunks[i], -1, NULL, &error);

      g_assert_no_error (error);
      pool_assert_squares (results, 1000);
      g_assert_true (g_variant_is_normal_form (results));
    }
  pool_close (pool);
}

/* Values of many sizes and alignments come back as they were. */
static void
test_map_sizes (void)
{
  MpPool *pool = pool_new (2);
  g_autoptr (GVariant) items = NULL;
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("av"));
  for (guint i = 0; i < 300; i++)
    {
      g_autofree char *text = g_strnfill (i * i % 1000, 'a' + (char) (i % 26));

      g_variant_builder_add (&builder, "v", g_variant_new ("(ysx)", (guchar) i, text, (gint64) i));
      g_variant_builder_add (&builder, "v", g_variant_new_byte ((guchar) i));
      g_variant_builder_add (&builder, "v", g_variant_new ("()"));
    }
  items = g_variant_ref_sink (g_variant_builder_end (&builder));
  for (guint chunk = 0; chunk < 20; chunk += 3)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) results = mp_pool_map (pool, "echo", items, chunk, -1, NULL, &error);

      g_assert_no_error (error);
      g_assert_true (g_variant_is_normal_form (results));
      g_assert_true (g_variant_equal (items, results));
    }
  pool_close (pool);
}

static void
test_map_types (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (GError) error = NULL;
  const gint64 numbers[] = { 0, 1, 2, 3 };
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GVariant) empty = NULL;
  g_autoptr (GVariant) empty_of = NULL;

  g_test_summary ("Any array can be mapped over, also an empty one; anything else is an error.");
  results =
    mp_pool_map (pool,
                 "square",
                 g_variant_new_fixed_array (G_VARIANT_TYPE_INT64, numbers, 4, sizeof (gint64)),
                 0,
                 -1,
                 NULL,
                 &error);
  g_assert_no_error (error);
  pool_assert_squares (results, 4);

  empty = mp_pool_map (pool, "square", pool_numbers (0), 0, -1, NULL, &error);
  g_assert_no_error (error);
  pool_assert_squares (empty, 0);
  empty_of = mp_pool_map (pool, "square", g_variant_new_strv (NULL, 0), 3, -1, NULL, &error);
  g_assert_no_error (error);
  pool_assert_squares (empty_of, 0);

  g_assert_null (mp_pool_map (pool, "square", g_variant_new_string ("no"), 0, -1, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_TYPE);
  pool_close (pool);
}

static GVariant *
make_pairs (guint n)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("av"));
  for (guint i = 0; i < n; i++)
    g_variant_builder_add (&builder, "v", g_variant_new ("(xx)", (gint64) i * i - i, (gint64) i));
  return g_variant_builder_end (&builder);
}

static void
test_starmap (void)
{
  MpPool *pool = pool_new (2);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GVariant) later = NULL;
  g_autoptr (MpJob) job = NULL;

  g_test_summary ("A function in C gets the tuple of its arguments.");
  results = mp_pool_starmap (pool, "add", make_pairs (100), 0, -1, NULL, &error);
  g_assert_no_error (error);
  pool_assert_squares (results, 100);
  job = mp_pool_submit_starmap (pool, "add", make_pairs (100), 1, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (mp_job_wait (job, -1, NULL, &error));
  later = mp_job_get_result (job, &error);
  g_assert_no_error (error);
  pool_assert_squares (later, 100);
  pool_close (pool);
}

static void
test_imap (void)
{
  MpPool *pool = pool_new (2);

  g_test_summary ("Results come one by one, in order; then comes the end, again and again.");
  for (guint chunk = 0; chunk < 8; chunk += 3)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (MpJob) job =
        mp_pool_imap (pool, "square", pool_numbers (100), chunk, NULL, &error);

      g_assert_no_error (error);
      for (gint64 i = 0; i < 100; i++)
        {
          g_autoptr (GVariant) value = mp_job_next (job, -1, NULL, &error);

          g_assert_no_error (error);
          g_assert_cmpint (g_variant_get_int64 (value), ==, i * i);
        }
      for (guint i = 0; i < 2; i++)
        {
          g_assert_null (mp_job_next (job, -1, NULL, &error));
          g_assert_no_error (error);
        }
    }
  pool_close (pool);
}

static void
test_imap_unordered (void)
{
  MpPool *pool = pool_new (2);
  g_autoptr (GError) error = NULL;
  g_autoptr (PoolGate) gate = pool_gate_new ();
  g_autoptr (MpJob) job = NULL;
  GVariantBuilder items;

  g_test_summary ("A result that is late holds nobody up.");
  g_variant_builder_init (&items, G_VARIANT_TYPE ("av"));
  g_variant_builder_add (&items, "v", pool_gate_argument (gate));
  g_variant_builder_add (&items, "v", pool_gate_argument (gate));
  job = mp_pool_imap_unordered (pool, "gate", g_variant_builder_end (&items), 0, NULL, &error);
  g_assert_no_error (error);
  pool_gate_wait (gate, 2);
  g_assert_null (mp_job_next (job, 0, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_TIMED_OUT);
  g_clear_error (&error);
  pool_gate_open (gate);
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (GVariant) value = mp_job_next (job, -1, NULL, &error);

      g_assert_no_error (error);
      g_assert_nonnull (value);
    }
  g_assert_null (mp_job_next (job, -1, NULL, &error));
  g_assert_no_error (error);
  pool_close (pool);
}

static void
test_errors (void)
{
  MpPool *pool = pool_new (2);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) fine = NULL;

  g_test_summary ("An error of a function is the error of the call, with domain, code and text.");
  g_assert_null (mp_pool_apply (pool, "picky", g_variant_new_int64 (3), -1, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_assert_cmpstr (error->message, ==, "3 is odd");
  g_clear_error (&error);

  g_assert_null (mp_pool_apply (pool, "no-such-thing", NULL, -1, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, "no-such-thing"));
  g_assert_nonnull (strstr (error->message, "square"));
  g_clear_error (&error);

  g_assert_null (mp_pool_apply (pool, "silent", NULL, -1, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CALLBACK_FAILED);
  g_assert_nonnull (strstr (error->message, "silent"));
  g_clear_error (&error);

  fine = mp_pool_apply (pool, "picky", g_variant_new_int64 (4), -1, NULL, &error);
  g_assert_no_error (error);
  pool_close (pool);
}

static void
test_map_errors (void)
{
  MpPool *pool = pool_new (2);
  g_autoptr (GError) error = NULL;
  g_autoptr (MpJob) job = NULL;
  g_autoptr (MpJob) chunked = NULL;

  g_test_summary ("A map does all its items, then fails with the error that came first.");
  job = mp_pool_submit_map (pool, "picky", pool_numbers (100), 1, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (mp_job_wait (job, -1, NULL, &error));
  g_assert_cmpint (mp_job_get_state (job), ==, MP_JOB_STATE_FAILED);
  g_assert_cmpuint (mp_job_get_n_done (job), ==, 100);
  g_assert_null (mp_job_get_result (job, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_clear_error (&error);

  for (gint64 i = 0; i < 100; i++)
    {
      g_autoptr (GVariant) value = mp_job_next (job, -1, NULL, &error);

      if (i % 2 == 0)
        {
          g_assert_no_error (error);
          g_assert_cmpint (g_variant_get_int64 (value), ==, i);
        }
      else
        {
          g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
          g_clear_error (&error);
        }
    }
  g_assert_null (mp_job_next (job, -1, NULL, &error));
  g_assert_no_error (error);

  chunked = mp_pool_imap (pool, "picky", pool_numbers (20), 10, NULL, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < 2; i++)
    {
      g_assert_null (mp_job_next (chunked, -1, NULL, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
      g_clear_error (&error);
    }
  g_assert_null (mp_job_next (chunked, -1, NULL, &error));
  g_assert_no_error (error);
  pool_close (pool);
}

static void
test_bad_arguments (void)
{
  g_autoptr (MpContext) context = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_NATIVE);
  g_autoptr (GError) error = NULL;

  g_test_summary ("No workers, too many, no attempts: each is named.");
  g_assert_null (mp_pool_new (context, 0, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "n-workers"));
  g_clear_error (&error);
  g_assert_null (mp_pool_new (context, 4097, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  g_assert_null (g_initable_new (MP_TYPE_POOL, NULL, &error, "max-attempts", 0, NULL));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "max-attempts"));
}

static void
test_close (void)
{
  MpPool *pool = pool_new (2);
  g_autoptr (GError) error = NULL;
  g_autoptr (MpJob) job = NULL;
  g_autoptr (GVariant) results = NULL;

  g_test_summary ("A closed pool does what it has, takes no more, and ends.");
  g_assert_false (mp_pool_join (pool, 0, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_BUSY);
  g_clear_error (&error);

  job = mp_pool_submit_map (pool, "square", pool_numbers (20000), 1, NULL, &error);
  g_assert_no_error (error);
  g_assert_false (mp_pool_get_closed (pool));
  mp_pool_close (pool);
  mp_pool_close (pool);
  g_assert_true (mp_pool_get_closed (pool));
  g_assert_null (mp_pool_submit (pool, "square", g_variant_new_int64 (1), NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
  g_clear_error (&error);

  g_assert_true (mp_pool_join (pool, -1, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpint (mp_job_get_state (job), ==, MP_JOB_STATE_SUCCEEDED);
  g_assert_true (mp_pool_wait_ready (pool, 0));
  /* The job outlives its pool. */
  g_object_unref (pool);
  results = mp_job_get_result (job, &error);
  g_assert_no_error (error);
  pool_assert_squares (results, 20000);
}

static void
test_terminate (void)
{
  MpPool *pool = pool_new (2);
  g_autoptr (GError) error = NULL;
  g_autoptr (MpJob) hanging = mp_pool_submit (pool, "hang", NULL, NULL, &error);
  g_autoptr (MpJob) queued =
    mp_pool_submit_map (pool, "hang", pool_numbers (5000), 1, NULL, &error);
  gsize n_pids;
  g_autofree int *pids = mp_pool_get_worker_pids (pool, &n_pids);

  g_test_summary ("A terminated pool cancels its jobs and kills its workers.");
  g_assert_cmpuint (n_pids, ==, 2);
  mp_pool_terminate (pool);
  mp_pool_terminate (pool);
  mp_pool_close (pool);
  g_assert_cmpint (mp_job_get_state (hanging), ==, MP_JOB_STATE_CANCELLED);
  g_assert_cmpint (mp_job_get_state (queued), ==, MP_JOB_STATE_CANCELLED);
  g_assert_null (mp_job_get_result (queued, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_true (mp_pool_join (pool, -1, NULL, &error));
  g_assert_no_error (error);
  for (gsize i = 0; i < n_pids; i++)
    g_assert_false (pool_process_exists (pids[i]));
  g_object_unref (pool);
}

/* Everybody who can wait for a pool or a job of it. */
typedef struct
{
  MpPool *pool;
  MpJob *job;
  guint n_called;
} Waiters;

static gpointer
wait_for_job (gpointer data)
{
  Waiters *self = data;

  return GINT_TO_POINTER (mp_job_wait (self->job, -1, NULL, NULL));
}

static gpointer
wait_for_next (gpointer data)
{
  Waiters *self = data;
  g_autoptr (GError) error = NULL;
  G_GNUC_UNUSED g_autoptr (GVariant) value = mp_job_next (self->job, -1, NULL, &error);

  return GINT_TO_POINTER (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED));
}

static gpointer
wait_for_map (gpointer data)
{
  Waiters *self = data;
  g_autoptr (GError) error = NULL;
  G_GNUC_UNUSED g_autoptr (GVariant) value =
    mp_pool_map (self->pool, "hang", pool_numbers (3), 1, -1, NULL, &error);

  return GINT_TO_POINTER (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED));
}

static void
note_end (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Waiters *self = user_data;

  self->n_called++;
}

static gboolean
all_called (gpointer user_data)
{
  return ((Waiters *) user_data)->n_called == 4;
}

static void
test_terminate_waiters (void)
{
  MpPool *pool = pool_new (2);
  g_autoptr (PoolGate) gate = pool_gate_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (MpJobOptions) later = g_object_new (MP_TYPE_JOB_OPTIONS,
                                                 "max-attempts",
                                                 2,
                                                 "retry-failed",
                                                 TRUE,
                                                 "retry-delay",
                                                 (gint64) G_MAXINT32 * 1000,
                                                 NULL);
  g_autoptr (MpJobOptions) after = mp_job_options_new ();
  g_autoptr (MpJob) job = mp_pool_submit (pool, "gate", pool_gate_argument (gate), NULL, &error);
  g_autoptr (MpJob) delayed =
    mp_pool_submit (pool, "flaky", g_variant_new_uint32 (1), later, &error);
  g_autoptr (MpJob) dependent = NULL;
  Waiters self = { pool, job, 0 };
  GThread *threads[3];

  g_test_summary ("A pool that is terminated keeps nobody waiting.");
  mp_job_options_add_after (after, job);
  dependent = mp_pool_submit (pool, "square", g_variant_new_int64 (1), after, &error);
  threads[0] = g_thread_new ("wait", wait_for_job, &self);
  threads[1] = g_thread_new ("next", wait_for_next, &self);
  threads[2] = g_thread_new ("map", wait_for_map, &self);
  mp_job_wait_async (job, NULL, note_end, &self);
  mp_job_next_async (job, NULL, note_end, &self);
  mp_pool_apply_async (pool, "square", g_variant_new_int64 (1), NULL, note_end, &self);
  pool_gate_wait (gate, 1);
  mp_pool_terminate (pool);
  mp_pool_join_async (pool, NULL, note_end, &self);
  for (guint i = 0; i < G_N_ELEMENTS (threads) - 1; i++)
    g_assert_true (GPOINTER_TO_INT (g_thread_join (threads[i])));
  /* It may have come too late to be cancelled. */
  g_thread_join (threads[2]);
  pool_wait (all_called, &self);
  g_assert_cmpint (mp_job_get_state (delayed), ==, MP_JOB_STATE_CANCELLED);
  g_assert_cmpint (mp_job_get_state (dependent), ==, MP_JOB_STATE_CANCELLED);
  g_assert_true (mp_pool_join (pool, -1, NULL, &error));
  g_object_unref (pool);
}

static void
test_finalize_busy (void)
{
  MpPool *pool = pool_new (2);
  g_autoptr (GError) error = NULL;
  g_autoptr (PoolGate) gate = pool_gate_new ();
  g_autoptr (MpJob) job = mp_pool_submit (pool, "gate", pool_gate_argument (gate), NULL, &error);

  g_test_summary ("To drop a pool at work is to terminate it.");
  pool_gate_wait (gate, 1);
  g_assert_cmpuint (mp_pool_get_n_busy (pool), ==, 1);
  g_object_unref (pool);
  g_assert_true (mp_job_wait (job, -1, NULL, &error));
  g_assert_cmpint (mp_job_get_state (job), ==, MP_JOB_STATE_CANCELLED);
}

static void
test_timeout (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (GError) error = NULL;
  g_autoptr (GCancellable) cancelled = g_cancellable_new ();
  g_autoptr (GVariant) result = NULL;

  g_test_summary ("A call that is given up leaves nothing behind: the pool is free for the next.");
  g_assert_null (mp_pool_apply (pool, "hang", NULL, 20000, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_TIMED_OUT);
  g_clear_error (&error);
  g_cancellable_cancel (cancelled);
  g_assert_null (mp_pool_apply (pool, "hang", NULL, -1, cancelled, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  result = mp_pool_apply (pool, "square", g_variant_new_int64 (3), -1, NULL, &error);
  g_assert_no_error (error);
  pool_close (pool);
}

static gpointer
cancel_when_running (gpointer data)
{
  gpointer *both = data;

  pool_gate_wait (both[0], 1);
  g_cancellable_cancel (both[1]);
  return NULL;
}

static void
test_cancel_midway (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (GError) error = NULL;
  g_autoptr (PoolGate) gate = pool_gate_new ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GVariant) result = NULL;
  gpointer both[] = { gate, cancellable };
  GThread *thread = g_thread_new ("cancel", cancel_when_running, both);

  g_test_summary ("A call that is cancelled while it runs ends at once.");
  g_assert_null (mp_pool_apply (pool, "gate", pool_gate_argument (gate), -1, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_thread_join (thread);
  result = mp_pool_apply (pool, "square", g_variant_new_int64 (3), -1, NULL, &error);
  g_assert_no_error (error);
  pool_close (pool);
}

static gpointer
call_from_thread (gpointer data)
{
  for (guint i = 0; i < 50; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) one =
        mp_pool_apply (data, "square", g_variant_new_int64 (i), -1, NULL, &error);
      g_autoptr (GVariant) many =
        mp_pool_map (data, "square", pool_numbers (200), i % 5, -1, NULL, &error);

      g_assert_no_error (error);
      g_assert_cmpint (g_variant_get_int64 (one), ==, i * i);
      pool_assert_squares (many, 200);
    }
  return NULL;
}

static void
test_threads (void)
{
  MpPool *pool = pool_new (2);
  GThread *threads[4];

  g_test_summary ("Several threads use one pool.");
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("caller", call_from_thread, pool);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  pool_close (pool);
}

static void
test_big (void)
{
  MpPool *pool = pool_new (2);
  const gsize size = 40 * 1024 * 1024;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GVariant) echoed = NULL;
  const char *data;
  gsize n;

  g_test_summary ("Arguments and results bigger than any segment of a ring.");
  result = mp_pool_apply (pool, "big", g_variant_new_uint64 (size), -1, NULL, &error);
  g_assert_no_error (error);
  data = g_variant_get_fixed_array (result, &n, 1);
  g_assert_cmpuint (n, ==, size);
  g_assert_true (data[0] == 'b' && data[size - 1] == 'b');
  echoed = mp_pool_apply (pool, "echo", result, -1, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_variant_equal (result, echoed));
  pool_close (pool);
}

int
main (int argc, char **argv)
{
  pool_tasks_init (&argc, &argv);
  g_test_add_func ("/mp/pool/apply", test_apply);
  g_test_add_func ("/mp/pool/map", test_map);
  g_test_add_func ("/mp/pool/map-sizes", test_map_sizes);
  g_test_add_func ("/mp/pool/map-types", test_map_types);
  g_test_add_func ("/mp/pool/starmap", test_starmap);
  g_test_add_func ("/mp/pool/imap", test_imap);
  g_test_add_func ("/mp/pool/imap-unordered", test_imap_unordered);
  g_test_add_func ("/mp/pool/errors", test_errors);
  g_test_add_func ("/mp/pool/map-errors", test_map_errors);
  g_test_add_func ("/mp/pool/bad-arguments", test_bad_arguments);
  g_test_add_func ("/mp/pool/close", test_close);
  g_test_add_func ("/mp/pool/terminate", test_terminate);
  g_test_add_func ("/mp/pool/terminate-waiters", test_terminate_waiters);
  g_test_add_func ("/mp/pool/finalize-busy", test_finalize_busy);
  g_test_add_func ("/mp/pool/timeout", test_timeout);
  g_test_add_func ("/mp/pool/cancel-midway", test_cancel_midway);
  g_test_add_func ("/mp/pool/threads", test_threads);
  g_test_add_func ("/mp/pool/big", test_big);
  return g_test_run ();
}
