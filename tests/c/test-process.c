/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "process-tasks.h"

#include <errno.h>
#include <glib-unix.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static MpProcess *
start_task (MpContext *context, const char *task, GVariant *argument)
{
  g_autoptr (MpProcess) process = mp_process_new_task (context, task, argument);
  g_autoptr (GError) error = NULL;

  mp_process_start (process, NULL, &error);
  g_assert_no_error (error);
  return g_steal_pointer (&process);
}

static int
run_task (const char *task, GVariant *argument)
{
  g_autoptr (MpProcess) process = start_task (NULL, task, argument);

  return test_join (process);
}

static void
test_exit_codes (void)
{
  g_test_summary ("the exit code of a task is what multiprocessing says it is");

  g_assert_cmpint (run_task ("succeed", NULL), ==, 0);
  g_assert_cmpint (run_task ("fail", NULL), ==, 1);
  g_assert_cmpint (run_task ("exit", g_variant_new_int32 (0)), ==, 0);
  g_assert_cmpint (run_task ("exit", g_variant_new_int32 (7)), ==, 7);
  g_assert_cmpint (run_task ("exit", g_variant_new_int32 (256 + 3)), ==, 3);
  g_assert_cmpint (run_task ("exit", g_variant_new_int32 (-1)), ==, 255);
  g_assert_cmpint (run_task ("signal", g_variant_new_int32 (SIGKILL)), ==, -SIGKILL);
  g_assert_cmpint (run_task ("signal", g_variant_new_int32 (SIGTERM)), ==, -SIGTERM);
  g_assert_cmpint (run_task ("signal", g_variant_new_int32 (SIGUSR2)), ==, -SIGUSR2);
}

static void
test_life (void)
{
  g_autoptr (MpProcess) process = mp_process_new_task (NULL, "pause", NULL);
  g_autoptr (GError) error = NULL;
  struct pollfd sentinel = { .events = POLLIN };

  g_test_summary ("what is known of a process before, during and after its life");

  g_assert_false (mp_process_get_started (process));
  g_assert_false (mp_process_get_alive (process));
  g_assert_cmpint (mp_process_get_exit_code (process), ==, G_MININT);
  g_assert_cmpint (mp_process_get_pid (process), ==, 0);
  g_assert_cmpint (mp_process_get_sentinel (process), ==, -1);
  g_assert_true (mp_process_get_context (process) == mp_context_get_default ());
  g_assert_cmpstr (mp_process_get_task_name (process), ==, "pause");
  g_assert_null (mp_process_get_argv (process));
  g_assert_false (mp_process_join (process, 0, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  g_assert_false (mp_process_kill (process, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);

  mp_process_start (process, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (mp_process_get_started (process));
  g_assert_true (mp_process_get_alive (process));
  g_assert_cmpint (mp_process_get_exit_code (process), ==, G_MININT);
  g_assert_cmpint (kill (mp_process_get_pid (process), 0), ==, 0);
  sentinel.fd = mp_process_get_sentinel (process);
  g_assert_cmpint (poll (&sentinel, 1, 0), ==, 0);
  g_assert_false (mp_process_start (process, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_BUSY);
  g_clear_error (&error);

  g_assert_true (mp_process_kill (process, &error));
  g_assert_cmpint (poll (&sentinel, 1, TEST_LIMIT_US / 1000), ==, 1);
  /* At once: whoever saw the sentinel need not join. */
  g_assert_cmpint (mp_process_get_exit_code (process), ==, -SIGKILL);
  g_assert_false (mp_process_get_alive (process));
  g_assert_true (mp_process_get_started (process));
  g_assert_cmpint (test_join (process), ==, -SIGKILL);
  g_assert_true (mp_process_wait_ready (process, -1));
  g_assert_cmpint (poll (&sentinel, 1, 0), ==, 1);
  g_assert_true (mp_process_terminate (process, &error));
  g_assert_no_error (error);
}

static void
test_signals (void)
{
  static const struct
  {
    gboolean (*send) (MpProcess *, GError **);
    int number;
  } cases[] = { { mp_process_terminate, SIGTERM },
                { mp_process_kill, SIGKILL },
                { mp_process_interrupt, SIGINT } };

  g_test_summary ("terminate, kill and interrupt end a task and a command");

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (MpProcess) task = start_task (NULL, "pause", NULL);
      g_autoptr (MpProcess) command = test_start_command (NULL, "exec sleep 1000");
      g_autoptr (GError) error = NULL;

      g_assert_true (cases[i].send (task, &error));
      g_assert_true (cases[i].send (command, &error));
      g_assert_cmpint (test_join (task), ==, -cases[i].number);
      g_assert_cmpint (test_join (command), ==, -cases[i].number);
      g_assert_false (mp_process_send_signal (task, 1000, &error));
      g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
    }
}

static void
test_stopped (void)
{
  int fd;
  g_autoptr (MpProcess) process = test_start_with_pipe (NULL, "pause", NULL, &fd);
  g_autoptr (GError) error = NULL;

  g_test_summary ("a stopped process has not ended, and can be killed");

  test_read_pid (fd);
  g_assert_true (mp_process_send_signal (process, SIGSTOP, &error));
  g_assert_false (mp_process_join (process, 50000, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_TIMED_OUT);
  g_assert_true (mp_process_get_alive (process));
  g_assert_true (mp_process_kill (process, NULL));
  g_assert_cmpint (test_join (process), ==, -SIGKILL);
  close (fd);
}

static void
test_commands (void)
{
  static const struct
  {
    const char *script;
    int exit_code;
  } cases[] = {
    { "true", 0 },
    { "exit 9", 9 },
    { "kill -9 $$", -9 },
    { "test -e /proc/self/fd/3 && exit 1; exit 0", 0 },
    { "test $(ps -o pgid= -p $$) = $$", 0 },
  };

  g_test_summary ("commands: exit codes, no inherited descriptors, a group of their own");

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (MpProcess) process = test_start_command (NULL, cases[i].script);

      g_assert_cmpint (test_join (process), ==, cases[i].exit_code);
    }
}

static void
assert_start_fails (MpProcess *process, MpError code, const char *text)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (mp_process_start (process, NULL, &error));
  g_assert_error (error, MP_ERROR, (int) code);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, text));
  g_assert_false (mp_process_get_started (process));
}

static void
test_not_found (void)
{
  const char *missing[] = { "mp-no-such-command", NULL };
  const char *directory[] = { "/usr", NULL };
  g_autoptr (MpContext) context = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_NATIVE);
  g_autoptr (MpProcess) command = mp_process_new (NULL, missing);
  g_autoptr (MpProcess) not_a_command = mp_process_new (NULL, directory);
  g_autoptr (MpProcess) task = mp_process_new_task (NULL, "no-such-task", NULL);
  g_autoptr (MpProcess) nowhere = mp_process_new_task (context, "succeed", NULL);

  g_test_summary ("what does not exist is named by the start");

  assert_start_fails (command, MP_ERROR_NOT_FOUND, "mp-no-such-command");
  assert_start_fails (not_a_command, MP_ERROR_FAILED, "/usr");
  assert_start_fails (task, MP_ERROR_NOT_FOUND, "no-such-task");
  /* It also says what there is. */
  assert_start_fails (task,
                      MP_ERROR_NOT_FOUND,
                      "eat, exit, fail, hold, parent, pause, report, signal, spin, succeed");
  mp_context_set_working_directory (context, "/no/such/directory");
  assert_start_fails (nowhere, MP_ERROR_NOT_FOUND, "/no/such/directory");

  /* A start that failed can be tried again. */
  mp_context_set_working_directory (context, "/");
  g_assert_true (mp_process_start (nowhere, NULL, NULL));
  g_assert_cmpint (test_join (nowhere), ==, 0);
}

static char *
report (MpContext *context, const char *what)
{
  g_autofree char *line = NULL;
  g_autofree char *rest = NULL;
  int fd;
  g_autoptr (MpProcess) process =
    test_start_with_pipe (context, "report", g_variant_new_string (what), &fd);

  line = test_read_line (fd);
  rest = test_read_line (fd);
  g_assert_null (rest);
  g_assert_cmpint (test_join (process), ==, 0);
  close (fd);
  return g_steal_pointer (&line);
}

#define assert_report(context, what, expected)                                                     \
  G_STMT_START                                                                                     \
  {                                                                                                \
    g_autofree char *reported = report (context, what);                                            \
    g_assert_cmpstr (reported, ==, expected);                                                      \
  }                                                                                                \
  G_STMT_END

static void
check_surroundings (MpContext *context)
{
  g_auto (GStrv) env = g_environ_setenv (g_get_environ (), "MP_TEST_CONTEXT", "context's", TRUE);
  g_autofree char *cwd = g_get_current_dir ();

  assert_report (context, "an argument", "an argument");
  assert_report (context, "stdin", "at its end");
  assert_report (context, "mask", "0");
  assert_report (context, "cwd", cwd);
  mp_context_set_working_directory (context, "/usr");
  assert_report (context, "cwd", "/usr");
  mp_context_set_working_directory (context, NULL);

  /* What the caller has now, not what it had when the zygote started. */
  assert_report (context, "env MP_TEST_LATE", "(none)");
  g_setenv ("MP_TEST_LATE", "set", TRUE);
  assert_report (context, "env MP_TEST_LATE", "set");
  g_unsetenv ("MP_TEST_LATE");
  assert_report (context, "env MP_TEST_LATE", "(none)");
  mp_context_set_environment (context, (const char *const *) env);
  assert_report (context, "env MP_TEST_CONTEXT", "context's");
  mp_context_set_environment (context, NULL);
  assert_report (context, "env MP_TEST_CONTEXT", "(none)");
  assert_report (context, "env MP_ZYGOTE", "(none)");
  assert_report (context, "env MP_START", "(none)");
  g_assert_cmpint (chdir ("/etc"), ==, 0);
  assert_report (context, "cwd", "/etc");
  g_assert_cmpint (chdir (cwd), ==, 0);
}

static void
test_surroundings (gconstpointer data)
{
  g_autoptr (MpContext) context = mp_context_new (GPOINTER_TO_INT (data), MP_RUNTIME_NATIVE);

  g_test_summary ("directory, environment, signals and standard input of a task");

  check_surroundings (context);
  /* 0, 1, 2, its pipe, and the link to the zygote. */
  assert_report (context, "fds", "5");
}

static void
test_command_surroundings (void)
{
  g_autoptr (MpContext) context = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_COMMAND);
  const char *env[] = { "MP_TEST=here", "PATH=/bin:/usr/bin", NULL };
  g_autoptr (MpProcess) process = NULL;

  g_test_summary ("directory and environment of a command");

  mp_context_set_working_directory (context, "/usr");
  mp_context_set_environment (context, env);
  process =
    test_start_command (context,
                        "test \"$PWD\" = /usr && test \"$MP_TEST\" = here && test -z \"$HOME\"");
  g_assert_cmpint (test_join (process), ==, 0);
}

static void
test_fd_list (void)
{
  const char *argv[] = { "sh", "-c", "echo three >&3; echo four >&4", NULL };
  g_autoptr (MpProcess) process = mp_process_new (NULL, argv);
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autofree char *first = NULL;
  g_autofree char *second = NULL;
  int three[2];
  int four[2];

  g_test_summary ("a command has its descriptors from 3 on");

  g_assert_true (g_unix_open_pipe (three, FD_CLOEXEC, NULL));
  g_assert_true (g_unix_open_pipe (four, FD_CLOEXEC, NULL));
  g_unix_fd_list_append (fd_list, three[1], NULL);
  g_unix_fd_list_append (fd_list, four[1], NULL);
  mp_process_set_fd_list (process, fd_list);
  g_assert_true (mp_process_start (process, NULL, NULL));
  first = test_read_line (three[0]);
  second = test_read_line (four[0]);
  g_assert_cmpstr (first, ==, "three");
  g_assert_cmpstr (second, ==, "four");
  g_assert_cmpint (test_join (process), ==, 0);
  for (int i = 0; i < 2; i++)
    {
      close (three[i]);
      close (four[i]);
    }
}

static void
test_shared_objects (void)
{
  g_autoptr (MpLock) lock = mp_lock_new (NULL);
  g_autoptr (MpValue) value = mp_value_new (MP_VALUE_TYPE_INT32, NULL, FALSE, NULL);
  g_autoptr (MpEvent) event = mp_event_new (NULL);
  gpointer objects[] = { lock, value, event };
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_auto (GVariantBuilder) handles = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("av"));
  g_autoptr (MpProcess) process = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("what is shared travels with a start, and nothing waits for the dead");

  for (gsize i = 0; i < G_N_ELEMENTS (objects); i++)
    {
      g_autoptr (GVariant) handle = mp_shareable_to_handle (objects[i], fd_list, &error);

      g_assert_no_error (error);
      g_variant_builder_add (&handles, "v", handle);
    }
  g_assert_cmpint (g_unix_fd_list_get_length (fd_list), ==, 1);
  process = mp_process_new_task (NULL, "hold", g_variant_builder_end (&handles));
  mp_process_set_fd_list (process, fd_list);
  g_assert_true (mp_process_start (process, NULL, NULL));
  g_assert_true (mp_event_wait (event, TEST_LIMIT_US, NULL, NULL));
  g_assert_cmpint (mp_value_get_int (value, NULL), ==, 5);
  g_assert_cmpuint (mp_lock_get_holder_pid (lock), ==, (guint) mp_process_get_pid (process));
  g_assert_false (mp_lock_try_acquire (lock));
  g_assert_true (mp_process_kill (process, NULL));
  g_assert_true (mp_lock_acquire (lock, TEST_LIMIT_US, NULL, &error));
  g_assert_no_error (error);
  g_assert_true (mp_lock_get_abandoned (lock));
  g_assert_true (mp_lock_release (lock, NULL));
  test_join (process);
}

static void
test_too_many_fds (void)
{
  g_autoptr (MpProcess) process = mp_process_new_task (NULL, "succeed", NULL);
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();

  g_test_summary ("descriptors up to the limit of a message travel, more are an error");

  for (int i = 0; i < 248; i++)
    g_unix_fd_list_append (fd_list, 2, NULL);
  mp_process_set_fd_list (process, fd_list);
  g_assert_true (mp_process_start (process, NULL, NULL));
  g_assert_cmpint (test_join (process), ==, 0);

  g_clear_object (&process);
  process = mp_process_new_task (NULL, "succeed", NULL);
  g_unix_fd_list_append (fd_list, 2, NULL);
  mp_process_set_fd_list (process, fd_list);
  assert_start_fails (process, MP_ERROR_LIMIT, "249");
}

static void
test_output (void)
{
  g_autofree char *text = NULL;
  g_autoptr (MpProcess) process = NULL;
  int pipe_fds[2];
  int saved = dup (1);

  g_test_summary ("output goes where the caller's goes at the time of the start");

  fflush (stdout);
  g_assert_true (g_unix_open_pipe (pipe_fds, FD_CLOEXEC, NULL));
  dup2 (pipe_fds[1], 1);
  process = test_start_command (NULL, "echo redirected");
  dup2 (saved, 1);
  close (saved);
  close (pipe_fds[1]);
  text = test_read_line (pipe_fds[0]);
  g_assert_cmpstr (text, ==, "redirected");
  g_assert_cmpint (test_join (process), ==, 0);
  close (pipe_fds[0]);
}

static gpointer
cancel_thread (gpointer data)
{
  g_cancellable_cancel (data);
  return NULL;
}

static void
test_join_cancel (void)
{
  g_autoptr (MpProcess) process = start_task (NULL, "pause", NULL);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  GThread *thread = g_thread_new ("cancel", cancel_thread, cancellable);

  g_test_summary ("waiting ends with the time and with the cancellable");

  g_assert_false (mp_process_join (process, -1, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_thread_join (thread);
  g_assert_false (mp_process_join (process, -1, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_false (mp_process_join (process, 0, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_TIMED_OUT);
  g_clear_error (&error);
  g_assert_false (mp_process_join (process, 1000, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_TIMED_OUT);
  g_assert_false (mp_process_wait_ready (process, 1000));
  g_assert_true (mp_process_kill (process, NULL));
  g_assert_cmpint (test_join (process), ==, -SIGKILL);
}

static void
test_start_cancel (void)
{
  g_autoptr (MpProcess) process = mp_process_new_task (NULL, "pause", NULL);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;

  g_test_summary ("a cancelled start starts nothing, and can be repeated");

  g_cancellable_cancel (cancellable);
  g_assert_false (mp_process_start (process, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_false (mp_process_get_started (process));
  for (int i = 0; i < 20; i++)
    {
      g_autoptr (MpProcess) raced = mp_process_new_task (NULL, "pause", NULL);
      GThread *thread;

      g_cancellable_reset (cancellable);
      thread = g_thread_new ("cancel", cancel_thread, cancellable);
      if (mp_process_start (raced, cancellable, NULL))
        g_assert_true (mp_process_kill (raced, NULL));
      else
        g_assert_false (mp_process_get_started (raced));
      g_thread_join (thread);
    }
  g_assert_true (mp_process_start (process, NULL, NULL));
  g_assert_true (mp_process_kill (process, NULL));
  g_assert_cmpint (test_join (process), ==, -SIGKILL);
}

typedef struct
{
  GThread *thread;
  int exit_code;
  int calls;
  int notified;
} Heard;

static void
exited_cb (MpProcess *process, int exit_code, gpointer user_data)
{
  Heard *heard = user_data;

  g_assert_true (g_thread_self () == heard->thread);
  g_assert_false (mp_process_get_alive (process));
  heard->exit_code = exit_code;
  heard->calls++;
}

static void
notify_cb (MpProcess *process, GParamSpec *pspec, gpointer user_data)
{
  Heard *heard = user_data;

  g_assert_true (g_thread_self () == heard->thread);
  heard->notified++;
}

static gboolean
has_heard (gpointer data)
{
  return ((Heard *) data)->calls > 0;
}

static void
test_exited (void)
{
  Heard heard = { .thread = g_thread_self () };
  g_autoptr (MpProcess) process = mp_process_new_task (NULL, "exit", g_variant_new_int32 (5));

  g_test_summary ("the exit is told in the main context of the start");

  g_signal_connect (process, "exited", G_CALLBACK (exited_cb), &heard);
  g_signal_connect (process, "notify", G_CALLBACK (notify_cb), &heard);
  g_assert_true (mp_process_start (process, NULL, NULL));
  g_assert_cmpint (heard.notified, ==, 3);
  test_wait_until (has_heard, &heard);
  g_assert_cmpint (heard.calls, ==, 1);
  g_assert_cmpint (heard.exit_code, ==, 5);
  g_assert_cmpint (heard.notified, ==, 5);
}

static void
test_exited_late (void)
{
  Heard heard = { .thread = g_thread_self () };
  g_autoptr (MpProcess) process = start_task (NULL, "exit", g_variant_new_int32 (6));
  MpProcess *dropped;

  g_test_summary ("who connects after the end still hears of it, and dropped objects are heard of");

  g_assert_cmpint (test_join (process), ==, 6);
  g_signal_connect (process, "exited", G_CALLBACK (exited_cb), &heard);
  test_wait_until (has_heard, &heard);
  g_assert_cmpint (heard.exit_code, ==, 6);

  heard.calls = 0;
  dropped = mp_process_new_task (NULL, "exit", g_variant_new_int32 (8));
  g_signal_connect (dropped, "exited", G_CALLBACK (exited_cb), &heard);
  g_assert_true (mp_process_start (dropped, NULL, NULL));
  g_object_unref (dropped);
  test_wait_until (has_heard, &heard);
  g_assert_cmpint (heard.exit_code, ==, 8);
}

static void
joined_cb (GObject *source, GAsyncResult *result, gpointer user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

static gboolean
has_result (gpointer data)
{
  return *(GAsyncResult **) data != NULL;
}

static void
test_join_async (void)
{
  g_autoptr (MpProcess) process = start_task (NULL, "pause", NULL);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GAsyncResult) joined = NULL;
  g_autoptr (GAsyncResult) cancelled = NULL;
  g_autoptr (GAsyncResult) late = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("asynchronous waiting: the end, cancellation, after the end");

  mp_process_join_async (process, NULL, joined_cb, &joined);
  mp_process_join_async (process, cancellable, joined_cb, &cancelled);
  g_cancellable_cancel (cancellable);
  test_wait_until (has_result, &cancelled);
  g_assert_false (mp_process_join_finish (process, cancelled, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_null (joined);

  g_assert_true (mp_process_kill (process, NULL));
  test_wait_until (has_result, &joined);
  g_assert_true (mp_process_join_finish (process, joined, &error));
  g_assert_cmpint (mp_process_get_exit_code (process), ==, -SIGKILL);
  mp_process_join_async (process, NULL, joined_cb, &late);
  test_wait_until (has_result, &late);
  g_assert_true (mp_process_join_finish (process, late, &error));
}

static void
test_leaks (void)
{
  g_autoptr (MpContext) context = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_NATIVE);
  guint n = g_test_thorough () ? 1000 : 300;
  guint before;

  g_test_summary ("starting and joining many processes leaves no descriptor behind");

  g_object_unref (start_task (context, "succeed", NULL));
  g_assert_true (mp_context_warm_up (context, NULL, NULL));
  for (guint i = 0; i < 3; i++)
    run_task ("succeed", NULL);
  before = test_count_fds ();
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (MpProcess) process = start_task (context, "succeed", NULL);

      g_assert_cmpint (test_join (process), ==, 0);
    }
  g_assert_cmpuint (test_count_fds (), <=, before + 1);
}

static gpointer
start_thread (gpointer data)
{
  for (int i = 0; i < 10; i++)
    g_assert_cmpint (run_task ("exit", g_variant_new_int32 (i)), ==, i);
  return NULL;
}

static void
test_threads (void)
{
  GThread *threads[8];

  g_test_summary ("several threads start processes at once");

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("start", start_thread, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
}

static void
test_foreign_waits (void)
{
  struct sigaction old;
  struct sigaction ignore = { .sa_handler = SIG_IGN };

  g_test_summary ("neither waitpid(-1) nor an ignored SIGCHLD of the program disturbs");

  sigaction (SIGCHLD, &ignore, &old);
  g_assert_cmpint (run_task ("exit", g_variant_new_int32 (4)), ==, 4);
  sigaction (SIGCHLD, &old, NULL);

  for (int i = 0; i < 20; i++)
    {
      g_autoptr (MpProcess) process = start_task (NULL, "exit", g_variant_new_int32 (i));

      while (mp_process_get_alive (process))
        waitpid (-1, NULL, WNOHANG);
      g_assert_cmpint (mp_process_get_exit_code (process), ==, i);
    }
}

int
main (int argc, char **argv)
{
  test_tasks_register ();
  mp_bootstrap (&argc, &argv);
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/mp/process/exit-codes", test_exit_codes);
  g_test_add_func ("/mp/process/life", test_life);
  g_test_add_func ("/mp/process/signals", test_signals);
  g_test_add_func ("/mp/process/stopped", test_stopped);
  g_test_add_func ("/mp/process/commands", test_commands);
  g_test_add_func ("/mp/process/not-found", test_not_found);
  g_test_add_data_func ("/mp/process/surroundings/forkserver",
                        GINT_TO_POINTER (MP_START_METHOD_FORKSERVER),
                        test_surroundings);
  g_test_add_data_func ("/mp/process/surroundings/spawn",
                        GINT_TO_POINTER (MP_START_METHOD_SPAWN),
                        test_surroundings);
  g_test_add_func ("/mp/process/surroundings/command", test_command_surroundings);
  g_test_add_func ("/mp/process/fd-list", test_fd_list);
  g_test_add_func ("/mp/process/too-many-fds", test_too_many_fds);
  g_test_add_func ("/mp/process/output", test_output);
  g_test_add_func ("/mp/process/join-cancel", test_join_cancel);
  g_test_add_func ("/mp/process/start-cancel", test_start_cancel);
  g_test_add_func ("/mp/process/exited", test_exited);
  g_test_add_func ("/mp/process/exited-late", test_exited_late);
  g_test_add_func ("/mp/process/shared-objects", test_shared_objects);
  g_test_add_func ("/mp/process/join-async", test_join_async);
  g_test_add_func ("/mp/process/leaks", test_leaks);
  g_test_add_func ("/mp/process/threads", test_threads);
  g_test_add_func ("/mp/process/foreign-waits", test_foreign_waits);
  return g_test_run ();
}
