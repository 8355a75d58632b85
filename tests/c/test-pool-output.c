/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <libmp.h>

#include "pool/mp-pool-output-private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What workers write, and whose it is. */

#define LIMIT_MS 20000

/* Its number, in a buffered line, an unbuffered one, an error, and a line without an end. */
static GVariant *
talk (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  gint64 number = g_variant_get_int64 (argument);

  printf ("out %d\n", (int) number);
  fprintf (stderr, "err %d\n", (int) number);
  fflush (stdout);
  dprintf (STDOUT_FILENO, "raw %d\n", (int) number);
  printf ("end %d", (int) number);
  return g_variant_new_int64 (number);
}

static GVariant *
die (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  printf ("last words");
  fflush (stdout);
  abort ();
}

static GVariant *
silent (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  return g_variant_ref (argument);
}

typedef struct
{
  GHashTable *texts; /* job id to GString */
  guint n_lines;
} Heard;

static void
output_cb (MpPool *pool, guint64 job_id, int pid, guint stream, const char *text, gpointer data)
{
  Heard *heard = data;
  GString *all = g_hash_table_lookup (heard->texts, &job_id);

  g_assert_cmpint (pid, >, 1);
  g_assert_cmpuint (job_id, >, 0);
  if (all == NULL)
    {
      all = g_string_new (NULL);
      g_hash_table_insert (heard->texts, g_memdup2 (&job_id, sizeof job_id), all);
    }
  g_string_append_printf (all, "%u:%s|", stream, text);
  heard->n_lines++;
}

static void
string_free (gpointer data)
{
  g_string_free (data, TRUE);
}

static MpPool *
pool_new (Heard *heard)
{
  g_autoptr (GError) error = NULL;
  MpPool *pool = g_initable_new (MP_TYPE_POOL,
                                 NULL,
                                 &error,
                                 "n-workers",
                                 2,
                                 "capture-output",
                                 TRUE,
                                 "max-attempts",
                                 1,
                                 NULL);

  g_assert_no_error (error);
  g_assert_true (mp_pool_get_capture_output (pool));
  heard->texts = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, string_free);
  heard->n_lines = 0;
  g_signal_connect (pool, "output", G_CALLBACK (output_cb), heard);
  return pool;
}

static gboolean
too_late_cb (gpointer data)
{
  g_error ("The lines do not come");
  return G_SOURCE_REMOVE;
}

static void
wait_for_lines (Heard *heard, guint n)
{
  guint id = g_timeout_add (LIMIT_MS, too_late_cb, NULL);

  while (heard->n_lines < n)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (id);
  g_assert_cmpuint (heard->n_lines, ==, n);
}

static void
pool_end (MpPool *pool, Heard *heard)
{
  g_autoptr (GError) error = NULL;

  mp_pool_close (pool);
  mp_pool_join (pool, -1, NULL, &error);
  g_assert_no_error (error);
  g_hash_table_unref (heard->texts);
  g_object_unref (pool);
}

static void
test_jobs (void)
{
  Heard heard;
  MpPool *pool = pool_new (&heard);
  g_autoptr (GPtrArray) jobs = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GError) error = NULL;
  const guint n = 200;

  g_test_summary ("each line is its job's, whichever worker had the task");

  for (guint i = 0; i < n; i++)
    {
      MpJob *job = mp_pool_submit (pool, "talk", g_variant_new_int64 (i), NULL, &error);

      g_assert_no_error (error);
      g_ptr_array_add (jobs, job);
    }
  mp_pool_close (pool);
  wait_for_lines (&heard, 4 * n);
  for (guint i = 0; i < n; i++)
    {
      guint64 id = mp_job_get_id (g_ptr_array_index (jobs, i));
      GString *text = g_hash_table_lookup (heard.texts, &id);
      g_autofree char *out = g_strdup_printf ("1:out %u|1:raw %u|", i, i);
      g_autofree char *end = g_strdup_printf ("1:end %u|", i);
      g_autofree char *err = g_strdup_printf ("2:err %u|", i);

      g_assert_nonnull (text);
      g_assert_nonnull (strstr (text->str, "1:out"));
      g_assert_nonnull (strstr (text->str, end));
      g_assert_nonnull (strstr (text->str, err));
      g_assert_cmpuint (text->len, ==, strlen (out) + strlen (end) + strlen (err));
    }
  pool_end (pool, &heard);
}

static void
test_death (void)
{
  Heard heard;
  MpPool *pool = pool_new (&heard);
  g_autoptr (GError) error = NULL;
  g_autoptr (MpJob) job = mp_pool_submit (pool, "die", g_variant_new_int64 (1), NULL, &error);
  guint64 id = mp_job_get_id (job);

  g_test_summary ("what a worker wrote before it died is there");

  g_assert_true (mp_job_wait (job, LIMIT_MS * 1000, NULL, NULL));
  g_assert_cmpint (mp_job_get_state (job), ==, MP_JOB_STATE_WORKER_DIED);
  wait_for_lines (&heard, 1);
  g_assert_cmpstr (((GString *) g_hash_table_lookup (heard.texts, &id))->str, ==, "1:last words|");
  pool_end (pool, &heard);
}

static void
test_silent (void)
{
  Heard heard;
  MpPool *pool = pool_new (&heard);
  g_autoptr (GError) error = NULL;

  g_test_summary ("no line where nothing is written");

  for (guint i = 0; i < 100; i++)
    {
      G_GNUC_UNUSED g_autoptr (GVariant) result =
        mp_pool_apply (pool, "silent", g_variant_new_int64 (i), -1, NULL, &error);

      g_assert_no_error (error);
    }
  pool_end (pool, &heard);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (heard.n_lines, ==, 0);
}

static void
test_parse (void)
{
  char marked[] = "rest" MP_OUTPUT_MARK "7" MP_OUTPUT_MARK_END;
  char alone[] = MP_OUTPUT_MARK "4294967295" MP_OUTPUT_MARK_END;
  char none[] = "no mark";
  char cut[] = "a" MP_OUTPUT_MARK "7";
  guint32 job = 1;
  gboolean rest = TRUE;

  g_test_summary ("marks are told from what only looks like them");

  g_assert_true (mp_pool_output_parse (marked, &job, &rest));
  g_assert_cmpuint (job, ==, 7);
  g_assert_true (rest);
  g_assert_cmpstr (marked, ==, "rest");
  g_assert_true (mp_pool_output_parse (alone, &job, &rest));
  g_assert_cmpuint (job, ==, G_MAXUINT32);
  g_assert_false (rest);
  g_assert_false (mp_pool_output_parse (none, &job, &rest));
  job = 1;
  g_assert_false (mp_pool_output_parse (cut, &job, &rest));
  g_assert_cmpuint (job, ==, 1);
  g_assert_cmpstr (cut, ==, "a" MP_OUTPUT_MARK "7");
}

int
main (int argc, char **argv)
{
  mp_task_register ("talk", talk, NULL, NULL);
  mp_task_register ("die", die, NULL, NULL);
  mp_task_register ("silent", silent, NULL, NULL);
  mp_bootstrap (&argc, &argv);
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/mp/pool-output/jobs", test_jobs);
  g_test_add_func ("/mp/pool-output/death", test_death);
  g_test_add_func ("/mp/pool-output/silent", test_silent);
  g_test_add_func ("/mp/pool-output/parse", test_parse);
  return g_test_run ();
}
