/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "process-tasks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* This program plays others: with --never one that does not call mp_bootstrap(),
 * with --act one that does and starts a task. What its second copy does, which
 * has no arguments, is in the environment. */
#define SECOND "MP_TEST_SECOND"

/* Prints the error's code and text. */
static int
act (gboolean command)
{
  g_autoptr (MpProcess) task = mp_process_new_task (NULL, "exit", g_variant_new_int32 (3));
  g_autoptr (GError) error = NULL;

  if (mp_process_start (task, NULL, &error))
    printf ("exit code %d\n", test_join (task));
  else
    printf ("%s %d %s\n", g_quark_to_string (error->domain), error->code, error->message);
  if (command)
    {
      g_autoptr (MpProcess) process = test_start_command (NULL, "exit 4");

      printf ("exit code %d\n", test_join (process));
    }
  return 0;
}

/* In a copy that is to be a zygote, but does something else first. */
static void
do_something_else (const char *what)
{
  g_autoptr (MpContext) context = NULL;
  g_autoptr (GError) error = NULL;

  if (g_str_equal (what, "quit"))
    _exit (3);
  while (g_str_equal (what, "hang"))
    pause ();
  context = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_COMMAND);
  g_assert_false (mp_context_warm_up (context, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_BOOTSTRAPPED);
}

static char *
run (const char *mode, const char *second)
{
  g_autoptr (GSubprocessLauncher) launcher =
    g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE);
  g_autofree char *path = g_file_read_link ("/proc/self/exe", NULL);
  g_autoptr (GSubprocess) program = NULL;
  g_autoptr (GError) error = NULL;
  char *output = NULL;

  if (second != NULL)
    g_subprocess_launcher_setenv (launcher, SECOND, second, TRUE);
  program = g_subprocess_launcher_spawn (launcher, &error, path, mode, NULL);
  g_assert_no_error (error);
  g_subprocess_communicate_utf8 (program, NULL, NULL, &output, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_subprocess_get_successful (program));
  g_test_message ("%s", output);
  return output;
}

static void
assert_not_bootstrapped (const char *output)
{
  g_autofree char *start = g_strdup_printf ("mp-error-quark %d ", MP_ERROR_NOT_BOOTSTRAPPED);

  g_assert_true (g_str_has_prefix (output, start));
  g_assert_nonnull (strstr (output, "mp_bootstrap()"));
}

static void
test_ordinary (void)
{
  char *fake[] = { (char *) "program", (char *) "--option", NULL };
  char **argv = fake;
  int argc = 2;
  g_autofree char *output = run ("--act", NULL);

  g_test_summary ("in an ordinary start it changes nothing, however often it is called");

  mp_bootstrap (&argc, &argv);
  mp_bootstrap (NULL, NULL);
  g_assert_cmpint (argc, ==, 2);
  g_assert_true (argv == fake);
  g_assert_cmpstr (argv[1], ==, "--option");
  g_assert_cmpstr (output, ==, "exit code 3\nexit code 4\n");
}

static void
test_never (void)
{
  gint64 begin = g_get_monotonic_time ();
  g_autofree char *output = run ("--never", NULL);

  g_test_summary ("a program that never calls it is told so at once, and can run commands");

  assert_not_bootstrapped (output);
  g_assert_nonnull (strstr (output, "exit code 4"));
  g_assert_cmpint (g_get_monotonic_time () - begin, <, 4 * G_USEC_PER_SEC);
}

static void
test_quits (void)
{
  g_autofree char *output = run ("--act", "quit");

  g_test_summary ("a copy that ends instead of calling it is reported");

  assert_not_bootstrapped (output);
  g_assert_nonnull (strstr (output, "exit code 3"));
}

static void
test_hangs (void)
{
  gint64 begin = g_get_monotonic_time ();
  g_autofree char *output = run ("--act", "hang");

  g_test_summary ("a copy that does something else is ended after five seconds");

  assert_not_bootstrapped (output);
  g_assert_cmpint (g_get_monotonic_time () - begin, >=, 5 * G_USEC_PER_SEC);
}

static void
test_late (void)
{
  g_autofree char *output = run ("--act", "late");

  g_test_summary ("before it is called, a copy cannot start processes: no fork bomb");

  g_assert_cmpstr (output, ==, "exit code 3\nexit code 4\n");
}

static void
test_foreign_markers (void)
{
  g_test_summary ("markers that are meant for another process mean nothing, and are removed");

  g_setenv ("MP_ZYGOTE", "0:3:1", TRUE);
  g_setenv ("MP_START", "1:0:5:6:7", TRUE);
  mp_bootstrap (NULL, NULL);
  g_assert_null (g_getenv ("MP_ZYGOTE"));
  g_assert_null (g_getenv ("MP_START"));
  g_setenv ("MP_ZYGOTE", "nonsense", TRUE);
  g_setenv ("MP_START", "", TRUE);
  mp_bootstrap (NULL, NULL);
}

int
main (int argc, char **argv)
{
  const char *second = g_getenv (SECOND);

  if (argc > 1 && g_str_equal (argv[1], "--never"))
    return act (TRUE);
  if (argc == 1 && second != NULL)
    do_something_else (second);
  test_tasks_register ();
  mp_bootstrap (&argc, &argv);
  if (argc > 1 && g_str_equal (argv[1], "--act"))
    return act (second == NULL || g_str_equal (second, "late"));
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/mp/bootstrap/ordinary", test_ordinary);
  g_test_add_func ("/mp/bootstrap/never", test_never);
  g_test_add_func ("/mp/bootstrap/quits", test_quits);
  g_test_add_func ("/mp/bootstrap/hangs", test_hangs);
  g_test_add_func ("/mp/bootstrap/late", test_late);
  g_test_add_func ("/mp/bootstrap/foreign-markers", test_foreign_markers);
  return g_test_run ();
}
