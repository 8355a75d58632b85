/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "process-tasks.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static void
count_cb (GObject *object, GParamSpec *pspec, gpointer user_data)
{
  ++*(int *) user_data;
}

static void
test_properties (void)
{
  g_autoptr (MpContext) context = mp_context_new (MP_START_METHOD_SPAWN, MP_RUNTIME_PYTHON);
  const char *interpreter[] = { "python3", "-I", NULL };
  const char *preload[] = { "json", "math", NULL };
  const char *environment[] = { "A=1", NULL };
  g_autoptr (GBytes) preparation = g_bytes_new_static ("bytes", 5);
  g_auto (GStrv) got = NULL;
  int notified = 0;

  g_test_summary ("what is set is what is got, and a change notifies");

  g_assert_cmpint (mp_context_get_start_method (context), ==, MP_START_METHOD_SPAWN);
  g_assert_cmpint (mp_context_get_runtime (context), ==, MP_RUNTIME_PYTHON);
  g_assert_nonnull (mp_context_get_interpreter (context)[0]);
  g_assert_null (mp_context_get_preload (context));
  g_assert_null (mp_context_get_environment (context));
  g_assert_null (mp_context_get_preparation (context));
  g_assert_null (mp_context_get_working_directory (context));
  g_assert_cmpint (mp_context_get_zygote_pid (context), ==, 0);

  g_signal_connect (context, "notify", G_CALLBACK (count_cb), &notified);
  for (int i = 0; i < 2; i++)
    {
      mp_context_set_interpreter (context, interpreter);
      mp_context_set_preload (context, preload);
      mp_context_set_environment (context, environment);
      mp_context_set_preparation (context, preparation);
      mp_context_set_working_directory (context, "/usr");
    }
  g_assert_cmpint (notified, ==, 5);
  g_object_get (context, "preload", &got, NULL);
  g_assert_true (g_strv_equal ((const char *const *) got, preload));
  g_assert_cmpstr (mp_context_get_interpreter (context)[1], ==, "-I");
  g_assert_cmpstr (mp_context_get_environment (context)[0], ==, "A=1");
  g_assert_true (mp_context_get_preparation (context) == preparation);
  g_assert_cmpstr (mp_context_get_working_directory (context), ==, "/usr");
  mp_context_set_interpreter (context, NULL);
  g_assert_cmpstr (mp_context_get_interpreter (context)[0], !=, "python3 -I");
  g_assert_true (mp_context_get_default () == mp_context_get_default ());
}

static void
test_warm_up (gconstpointer data)
{
  g_autoptr (MpContext) context =
    mp_context_new (MP_START_METHOD_FORKSERVER, GPOINTER_TO_INT (data));
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  int pid;

  g_test_summary ("warming up starts the zygote, once");

  g_cancellable_cancel (cancellable);
  g_assert_false (mp_context_warm_up (context, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_cmpint (mp_context_get_zygote_pid (context), ==, 0);
  mp_context_warm_up (context, NULL, &error);
  g_assert_no_error (error);
  pid = mp_context_get_zygote_pid (context);
  g_assert_cmpint (kill (pid, 0), ==, 0);
  /* Its own group: no signal of the terminal ends it. */
  g_assert_cmpint (getpgid (pid), ==, pid);
  g_assert_true (mp_context_warm_up (context, NULL, &error));
  g_assert_cmpint (mp_context_get_zygote_pid (context), ==, pid);
}

static void
test_shared (void)
{
  g_autoptr (MpContext) one = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_COMMAND);
  g_autoptr (MpContext) two = mp_context_new (MP_START_METHOD_SPAWN, MP_RUNTIME_COMMAND);
  int pid;

  g_test_summary ("contexts share a zygote, which ends with the last of them");

  g_assert_true (mp_context_warm_up (one, NULL, NULL));
  g_assert_true (mp_context_warm_up (two, NULL, NULL));
  pid = mp_context_get_zygote_pid (one);
  g_assert_cmpint (mp_context_get_zygote_pid (two), ==, pid);
  g_clear_object (&one);
  g_assert_true (mp_context_warm_up (two, NULL, NULL));
  g_assert_cmpint (mp_context_get_zygote_pid (two), ==, pid);
  g_clear_object (&two);
  test_wait_for_end (pid);
}

static void
test_dropped (void)
{
  g_autoptr (MpProcess) process = NULL;
  MpContext *context = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_COMMAND);
  int pid;

  g_test_summary ("a context that is let go leaves its processes running");

  process = test_start_command (context, "sleep 1000");
  pid = mp_process_get_pid (process);
  g_object_unref (context);
  g_assert_cmpint (kill (pid, 0), ==, 0);
  g_clear_object (&process);
  g_assert_cmpint (kill (pid, 0), ==, 0);
  g_assert_cmpint (kill (-pid, SIGKILL), ==, 0);
  test_wait_for_end (pid);
}

static void
assert_warm_up_fails (MpContext *context, MpError code, const char *text)
{
  g_autoptr (MpProcess) process = mp_process_new_task (context, "math:factorial", NULL);
  g_autoptr (GError) error = NULL;

  g_assert_false (mp_context_warm_up (context, NULL, &error));
  g_assert_error (error, MP_ERROR, (int) code);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, text));
  g_clear_error (&error);
  g_assert_false (mp_process_start (process, NULL, &error));
  g_assert_error (error, MP_ERROR, (int) code);
}

static void
test_broken (void)
{
  g_autoptr (MpContext) context = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_PYTHON);
  g_autoptr (MpContext) helper = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_COMMAND);
  g_autoptr (MpContext) fork = mp_context_new (MP_START_METHOD_FORK, MP_RUNTIME_PYTHON);
  g_autoptr (MpContext) gjs = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_GJS);
  const char *missing[] = { "/no/such/python", NULL };
  const char *missing_gjs[] = { "/no/such/gjs", NULL };
  const char *ends[] = { "false", NULL };
  g_autofree char *libexecdir = g_strdup (g_getenv ("MP_LIBEXECDIR"));

  g_test_summary ("a zygote that cannot be started is named");

  mp_context_set_interpreter (context, missing);
  assert_warm_up_fails (context, MP_ERROR_NOT_FOUND, "/no/such/python");
  mp_context_set_interpreter (context, ends);
  assert_warm_up_fails (context, MP_ERROR_FAILED, "exit code 1");
  assert_warm_up_fails (context, MP_ERROR_FAILED, "python3-gi");
  assert_warm_up_fails (fork, MP_ERROR_NOT_SUPPORTED, "fork");

  mp_context_set_interpreter (gjs, missing_gjs);
  assert_warm_up_fails (gjs, MP_ERROR_NOT_FOUND, "install the package gjs");
  mp_context_set_interpreter (context, missing);
  assert_warm_up_fails (context, MP_ERROR_NOT_FOUND, "install the package python3");

  g_setenv ("MP_LIBEXECDIR", "/no/such/directory", TRUE);
  assert_warm_up_fails (helper, MP_ERROR_NOT_FOUND, "/no/such/directory/mp-helper");
  g_setenv ("MP_LIBEXECDIR", libexecdir, TRUE);
}

int
main (int argc, char **argv)
{
  test_tasks_register ();
  mp_bootstrap (&argc, &argv);
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/mp/context/properties", test_properties);
  g_test_add_data_func ("/mp/context/warm-up/native",
                        GINT_TO_POINTER (MP_RUNTIME_NATIVE),
                        test_warm_up);
  g_test_add_data_func ("/mp/context/warm-up/command",
                        GINT_TO_POINTER (MP_RUNTIME_COMMAND),
                        test_warm_up);
  g_test_add_func ("/mp/context/shared", test_shared);
  g_test_add_func ("/mp/context/dropped", test_dropped);
  g_test_add_func ("/mp/context/broken", test_broken);
  return g_test_run ();
}
