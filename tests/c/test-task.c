/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <libmp.h>

#include "process/mp-task-private.h"

#include <string.h>

static GVariant *
square (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  gint32 x = g_variant_get_int32 (argument);

  ++*(int *) user_data;
  mp_task_report_progress (task, 0.5);
  return g_variant_new_int32 (x * x);
}

static GVariant *
fail (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_BUSY, "busy");
  return NULL;
}

static void
destroy_cb (gpointer data)
{
  *(int *) data += 100;
}

static void
progress_cb (double fraction, gpointer user_data)
{
  *(double *) user_data = fraction;
}

static void
test_run (void)
{
  int calls = 0;
  double progress = 0.0;
  g_autoptr (MpTask) task = NULL;
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) argument = g_variant_ref_sink (g_variant_new_int32 (12));
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("a registered function gets its task, argument and data");

  mp_task_register ("square", square, &calls, destroy_cb);
  g_assert_true (mp_task_is_registered ("square"));
  task = mp_task_new ("square", 7, 2, fd_list, progress_cb, &progress);
  result = mp_task_run (task, argument, &error);
  g_assert_no_error (error);
  g_assert_false (g_variant_is_floating (result));
  g_assert_cmpint (g_variant_get_int32 (result), ==, 144);
  g_assert_cmpint (calls, ==, 1);
  g_assert_cmpfloat (progress, ==, 0.5);
  g_assert_cmpstr (mp_task_get_name (task), ==, "square");
  g_assert_cmpuint (mp_task_get_id (task), ==, 7);
  g_assert_cmpuint (mp_task_get_attempt (task), ==, 2);
  g_assert_true (mp_task_get_fd_list (task) == fd_list);
  g_assert_false (g_cancellable_is_cancelled (mp_task_get_cancellable (task)));

  /* The old data is let go when the name is taken again. */
  mp_task_register ("square", fail, NULL, NULL);
  g_assert_cmpint (calls, ==, 101);
  g_assert_null (mp_task_run (task, argument, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_BUSY);
}

static void
test_unknown (void)
{
  g_autoptr (MpTask) task = mp_task_new ("unknown", 1, 0, NULL, NULL, NULL);
  g_autoptr (GError) error = NULL;

  g_test_summary ("an unknown name is named, and what there is");

  mp_task_register ("beta", fail, NULL, NULL);
  mp_task_register ("alpha", fail, NULL, NULL);
  g_assert_false (mp_task_is_registered ("unknown"));
  g_assert_null (mp_task_run (task, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, "unknown"));
  g_assert_nonnull (strstr (error->message, "alpha, beta"));
  g_assert_null (strstr (error->message, "mp."));
}

static gpointer
register_thread (gpointer data)
{
  for (int i = 0; i < 1000; i++)
    {
      g_autofree char *name = g_strdup_printf ("task-%d", i % 50);

      mp_task_register (name, fail, NULL, NULL);
      g_assert_true (mp_task_is_registered (name));
    }
  return NULL;
}

static void
test_threads (void)
{
  GThread *threads[4];

  g_test_summary ("functions can be registered from any thread");

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("register", register_thread, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/mp/task/run", test_run);
  g_test_add_func ("/mp/task/unknown", test_unknown);
  g_test_add_func ("/mp/task/threads", test_threads);
  return g_test_run ();
}
