/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "process-tasks.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
/* A command that has a child in its group, whose pid it writes. */
static const char *const group_argv[] = {
  "sh",
  "-c",
  "sleep 1000 & echo $! >&3; wait",
  NULL,
};

static MpProcess *
start_group (MpContext *context, int *fd)
{
  g_autoptr (MpProcess) process = mp_process_new (context, group_argv);
  g_autoptr (GUnixFDList) fd_list = NULL;
  g_autoptr (GError) error = NULL;
  int pipe_fds[2];

  g_assert_true (g_unix_open_pipe (pipe_fds, FD_CLOEXEC, NULL));
  fd_list = g_unix_fd_list_new_from_array (&pipe_fds[1], 1);
  mp_process_set_fd_list (process, fd_list);
  mp_process_start (process, NULL, &error);
  g_assert_no_error (error);
  *fd = pipe_fds[0];
  return g_steal_pointer (&process);
}

/* --- A program of its own, which gets killed ------------------------------ */

static G_NORETURN void
act_parent (void)
{
  g_autoptr (MpContext) native = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_NATIVE);
  g_autoptr (MpContext) command = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_COMMAND);
  g_autoptr (MpContext) spawn = mp_context_new (MP_START_METHOD_SPAWN, MP_RUNTIME_NATIVE);
  g_autoptr (MpProcess) task = mp_process_new_task (native, "pause", NULL);
  g_autoptr (MpProcess) afresh = mp_process_new_task (spawn, "pause", NULL);
  g_autoptr (MpProcess) group = NULL;
  int fd;

  g_assert_true (mp_process_start (task, NULL, NULL));
  g_assert_true (mp_process_start (afresh, NULL, NULL));
  group = start_group (command, &fd);
  printf ("%d\n%d\n%d\n%d\n%d\n%d\n",
          mp_context_get_zygote_pid (native),
          mp_context_get_zygote_pid (command),
          mp_process_get_pid (task),
          mp_process_get_pid (afresh),
          mp_process_get_pid (group),
          test_read_pid (fd));
  fflush (stdout);
  while (TRUE)
    pause ();
}

static int
act_fork (void)
{
  g_autoptr (MpContext) context = mp_context_new (MP_START_METHOD_FORK, MP_RUNTIME_NATIVE);

  g_assert_true (mp_context_warm_up (context, NULL, NULL));
  for (int i = 0; i < 5; i++)
    {
      g_autoptr (MpProcess) process =
        mp_process_new_task (context, "exit", g_variant_new_int32 (i));
      g_autoptr (MpProcess) killed = mp_process_new_task (context, "pause", NULL);
      g_autoptr (MpProcess) unknown = mp_process_new_task (context, "unknown", NULL);
      g_autoptr (GError) error = NULL;

      mp_process_start (process, NULL, &error);
      g_assert_no_error (error);
      mp_process_start (killed, NULL, &error);
      g_assert_no_error (error);
      g_assert_true (mp_process_kill (killed, NULL));
      g_assert_cmpint (test_join (killed), ==, -SIGKILL);
      g_assert_cmpint (test_join (process), ==, i);
      g_assert_false (mp_process_start (unknown, NULL, &error));
      g_assert_error (error, MP_ERROR, MP_ERROR_NOT_FOUND);
    }
  return 0;
}

static GSubprocess *
start_actor (const char *part, int *fd)
{
  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_NONE);
  g_autofree char *path = g_file_read_link ("/proc/self/exe", NULL);
  g_autoptr (GError) error = NULL;
  GSubprocess *actor;
  int pipe_fds[2];

  g_assert_true (g_unix_open_pipe (pipe_fds, FD_CLOEXEC, NULL));
  g_subprocess_launcher_take_fd (launcher, pipe_fds[1], 1);
  /* What the pump's thread holds looks leaked in a forked copy, which lacks it. */
  g_subprocess_launcher_setenv (launcher, "ASAN_OPTIONS", "detect_leaks=0", TRUE);
  actor = g_subprocess_launcher_spawn (launcher, &error, path, "--act", part, NULL);
  g_assert_no_error (error);
  g_subprocess_launcher_close (launcher);
  *fd = pipe_fds[0];
  return actor;
}

/* --- Tests ---------------------------------------------------------------- */

static void
test_parent_killed (void)
{
  int fd;
  int pids[6];
  g_autoptr (GSubprocess) actor = start_actor ("parent", &fd);

  g_test_summary ("kill -9 of a program leaves neither its zygotes nor what they started");

  for (guint i = 0; i < G_N_ELEMENTS (pids); i++)
    {
      pids[i] = test_read_pid (fd);
      g_assert_cmpint (kill (pids[i], 0), ==, 0);
    }
  g_subprocess_force_exit (actor);
  for (guint i = 0; i < G_N_ELEMENTS (pids); i++)
    test_wait_for_end (pids[i]);
  g_assert_true (g_subprocess_wait (actor, NULL, NULL));
  close (fd);
}

static gboolean
is_lost (int exit_code)
{
  return exit_code == -SIGKILL || exit_code == 255;
}

/* Starts with ever more free descriptors until one succeeds. */
static void
start_with_few_fds (MpContext *context)
{
  g_autoptr (MpProcess) process = mp_process_new_task (context, "pause", NULL);
  g_autoptr (GArray) fds = g_array_new (FALSE, FALSE, sizeof (int));
  g_autoptr (GError) error = NULL;
  guint n_failed = 0;
  int fd;

  while ((fd = open ("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
    g_array_append_val (fds, fd);
  while (!mp_process_start (process, NULL, &error))
    {
      g_assert_error (error, MP_ERROR, MP_ERROR_LIMIT);
      g_clear_error (&error);
      n_failed++;
      g_assert_cmpuint (fds->len, >, 0);
      close (g_array_index (fds, int, fds->len - 1));
      g_array_set_size (fds, fds->len - 1);
    }
  g_assert_cmpuint (n_failed, >, 1);
  g_assert_true (mp_process_kill (process, NULL));
  g_assert_cmpint (test_join (process), ==, -SIGKILL);
  for (guint i = 0; i < fds->len; i++)
    close (g_array_index (fds, int, i));
}

static void
test_few_fds (void)
{
  g_autoptr (MpContext) context = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_NATIVE);
  g_autoptr (MpContext) fresh = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_NATIVE);
  const char *const environment[] = { "FRESH=1", NULL };
  g_autoptr (MpProcess) first = NULL;
  struct rlimit old, few;
  siginfo_t info = { 0 };
  int fd;

  g_test_summary ("What cannot be started for want of descriptors harms nothing that runs");

  first = test_start_with_pipe (context, "pause", NULL, &fd);
  test_read_pid (fd);
  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &old));
  few = old;
  few.rlim_cur = 100;
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &few));
  start_with_few_fds (context);
  mp_context_set_environment (fresh, environment);
  start_with_few_fds (fresh);
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &old));

  g_assert_true (mp_process_get_alive (first));
  /* No zygote that did not come so far is left unburied. */
  g_assert_no_errno (waitid (P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT));
  g_assert_cmpint (info.si_pid, ==, 0);
  g_assert_true (mp_process_kill (first, NULL));
  g_assert_cmpint (test_join (first), ==, -SIGKILL);
  close (fd);
}

static void
test_zygote_killed (void)
{
  g_autoptr (MpContext) context = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_NATIVE);
  g_autoptr (MpProcess) first = NULL;
  g_autoptr (MpProcess) second = NULL;
  int fds[2];
  int old;

  g_test_summary ("kill -9 of the zygote ends its children, and the next start makes a new one");

  first = test_start_with_pipe (context, "pause", NULL, &fds[0]);
  second = test_start_with_pipe (context, "pause", NULL, &fds[1]);
  test_read_pid (fds[0]);
  test_read_pid (fds[1]);
  old = mp_context_get_zygote_pid (context);
  g_assert_cmpint (old, >, 1);
  g_assert_cmpint (kill (old, SIGKILL), ==, 0);
  g_assert_true (is_lost (test_join (first)));
  g_assert_true (is_lost (test_join (second)));

  for (int i = 0; i < 10; i++)
    {
      g_autoptr (MpProcess) next = mp_process_new_task (context, "exit", g_variant_new_int32 (i));

      g_assert_true (mp_process_start (next, NULL, NULL));
      g_assert_cmpint (test_join (next), ==, i);
      g_assert_cmpint (mp_context_get_zygote_pid (context), !=, old);
      old = mp_context_get_zygote_pid (context);
      kill (old, SIGKILL);
    }
  close (fds[0]);
  close (fds[1]);
}

static void
test_zygote_killed_command (void)
{
  g_autoptr (MpContext) context = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_COMMAND);
  g_autoptr (MpProcess) process = NULL;
  int fd;
  int grandchild;

  g_test_summary ("kill -9 of the zygote also ends what a command had started");

  process = start_group (context, &fd);
  grandchild = test_read_pid (fd);
  kill (mp_context_get_zygote_pid (context), SIGKILL);
  g_assert_true (is_lost (test_join (process)));
  test_wait_for_end (grandchild);
  close (fd);
}

static void
test_group (void)
{
  g_autoptr (MpProcess) process = NULL;
  int fd;
  int grandchild;

  g_test_summary ("killing a command kills its whole group");

  process = start_group (NULL, &fd);
  grandchild = test_read_pid (fd);
  g_assert_true (mp_process_kill (process, NULL));
  g_assert_cmpint (test_join (process), ==, -SIGKILL);
  test_wait_for_end (grandchild);
  close (fd);
}

static void
test_generations (gconstpointer data)
{
  g_autoptr (MpProcess) middle = NULL;
  int fd;
  int youngest;

  g_test_summary ("of three generations, the youngest ends with the middle one");

  middle = test_start_with_pipe (NULL, "parent", g_variant_new_string (data), &fd);
  youngest = test_read_pid (fd);
  g_assert_cmpint (youngest, !=, mp_process_get_pid (middle));
  g_assert_cmpint (kill (youngest, 0), ==, 0);
  g_assert_true (mp_process_kill (middle, NULL));
  g_assert_cmpint (test_join (middle), ==, -SIGKILL);
  test_wait_for_end (youngest);
  close (fd);
}

static gpointer
busy_thread (gpointer data)
{
  g_mutex_lock (data);
  g_mutex_unlock (data);
  return NULL;
}

static gboolean
has_thread (const char *name)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/task", 0, NULL);
  const char *entry;

  while ((entry = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_strdup_printf ("/proc/self/task/%s/comm", entry);
      g_autofree char *comm = NULL;

      if (g_file_get_contents (path, &comm, NULL, NULL) && g_str_equal (g_strchomp (comm), name))
        return TRUE;
    }
  return FALSE;
}

static void
test_unsafe_fork (void)
{
  g_autoptr (MpContext) context = mp_context_new (MP_START_METHOD_FORK, MP_RUNTIME_NATIVE);
  g_autoptr (MpProcess) process = mp_process_new_task (context, "succeed", NULL);
  g_autoptr (GError) error = NULL;
  GMutex mutex;
  GThread *thread;

  g_test_summary ("forking a program with threads is refused, and the error names them");

  g_mutex_init (&mutex);
  g_mutex_lock (&mutex);
  thread = g_thread_new ("mp-test-busy", busy_thread, &mutex);
  /* A thread gives itself its name. */
  while (!has_thread ("mp-test-busy"))
    g_thread_yield ();
  g_assert_false (mp_process_start (process, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_UNSAFE_FORK);
  g_assert_nonnull (strstr (error->message, "mp-test-busy"));
  g_assert_null (strstr (error->message, "mp-pump"));
  g_mutex_unlock (&mutex);
  g_thread_join (thread);
}

static void
test_fork (void)
{
  int fd;
  g_autoptr (GSubprocess) actor = start_actor ("fork", &fd);

  g_test_summary ("the start method fork, in a program without threads");

  g_assert_true (g_subprocess_wait (actor, NULL, NULL));
  g_assert_true (g_subprocess_get_if_exited (actor));
  g_assert_cmpint (g_subprocess_get_exit_status (actor), ==, 0);
  close (fd);
}

/* --- A program as a desktop has them ---------------------------------------- */

static void
thread_func (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  g_task_return_boolean (task, TRUE);
}

static gboolean
new_connection_cb (GDBusServer *server, GDBusConnection *connection, gpointer user_data)
{
  g_object_set_data_full (G_OBJECT (server),
                          "connection",
                          g_object_ref (connection),
                          g_object_unref);
  return TRUE;
}

static void
connected_cb (GObject *source, GAsyncResult *result, gpointer user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

static gboolean
has_result (gpointer data)
{
  return *(GAsyncResult **) data != NULL;
}

/* In the child: all that hangs in a child that was forked with GLib's threads. */
static GVariant *
glib_task (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  g_autoptr (GTask) work = g_task_new (NULL, NULL, NULL, NULL);
  g_autoptr (GSubprocess) command = NULL;

  g_task_run_in_thread_sync (work, thread_func);
  command = g_subprocess_new (G_SUBPROCESS_FLAGS_NONE, error, "true", NULL);
  if (command != NULL)
    g_subprocess_wait_check (command, NULL, error);
  return NULL;
}

static void
test_glib_threads (void)
{
  g_autofree char *directory = g_dir_make_tmp ("mp-test-XXXXXX", NULL);
  g_autofree char *address = g_strdup_printf ("unix:path=%s/bus", directory);
  g_autofree char *path = g_build_filename (directory, "bus", NULL);
  g_autofree char *guid = g_dbus_generate_guid ();
  g_autoptr (GDBusServer) server = NULL;
  g_autoptr (GDBusConnection) connection = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GTask) task = g_task_new (NULL, NULL, NULL, NULL);
  g_autoptr (GError) error = NULL;

  g_test_summary ("with GLib's worker threads and D-Bus alive, processes start and use GLib");

  g_task_run_in_thread_sync (task, thread_func);
  server =
    g_dbus_server_new_sync (address, G_DBUS_SERVER_FLAGS_RUN_IN_THREAD, guid, NULL, NULL, &error);
  g_assert_no_error (error);
  g_signal_connect (server, "new-connection", G_CALLBACK (new_connection_cb), NULL);
  g_dbus_server_start (server);
  g_dbus_connection_new_for_address (address,
                                     G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT,
                                     NULL,
                                     NULL,
                                     connected_cb,
                                     &result);
  test_wait_until (has_result, &result);
  connection = g_dbus_connection_new_for_address_finish (result, &error);
  g_assert_no_error (error);
  while (!has_thread ("gdbus"))
    g_thread_yield ();

  for (int i = 0; i < 10; i++)
    {
      g_autoptr (MpProcess) process = mp_process_new_task (NULL, "glib", NULL);
      g_autoptr (MpProcess) command = test_start_command (NULL, "exit 3");

      g_assert_true (mp_process_start (process, NULL, &error));
      g_assert_cmpint (test_join (process), ==, 0);
      g_assert_cmpint (test_join (command), ==, 3);
    }
  g_dbus_connection_close_sync (connection, NULL, NULL);
  g_dbus_server_stop (server);
  unlink (path);
  rmdir (directory);
}

static gpointer
killer_thread (gpointer data)
{
  int pid = mp_context_get_zygote_pid (data);

  if (pid > 1)
    kill (pid, SIGKILL);
  return NULL;
}

static void
test_storm (void)
{
  g_autoptr (MpContext) context = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_NATIVE);
  g_autoptr (MpContext) other = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_COMMAND);
  guint lost = 0;

  g_test_summary (
    "zygotes killed in the middle of starts: each start ends, in one way or the other");

  g_assert_true (mp_context_warm_up (other, NULL, NULL));
  for (int i = 0; i < 40; i++)
    {
      GThread *thread = g_thread_new ("killer", killer_thread, context);
      g_autoptr (MpProcess) process =
        mp_process_new_task (context, "exit", g_variant_new_int32 (7));
      g_autoptr (GError) error = NULL;

      if (!mp_process_start (process, NULL, &error))
        {
          g_assert_error (error, MP_ERROR, MP_ERROR_PROCESS_DIED);
          lost++;
        }
      else if (test_join (process) != 7)
        {
          g_assert_true (is_lost (mp_process_get_exit_code (process)));
          lost++;
        }
      g_thread_join (thread);
    }
  g_test_message ("%u of 40 were lost", lost);
}

int
main (int argc, char **argv)
{
  test_tasks_register ();
  mp_task_register ("glib", glib_task, NULL, NULL);
  mp_bootstrap (&argc, &argv);
  if (argc == 3 && g_str_equal (argv[1], "--act"))
    {
      if (g_str_equal (argv[2], "fork"))
        return act_fork ();
      act_parent ();
    }
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/mp/process/fate/parent-killed", test_parent_killed);
  g_test_add_func ("/mp/process/fate/few-fds", test_few_fds);
  g_test_add_func ("/mp/process/fate/zygote-killed", test_zygote_killed);
  g_test_add_func ("/mp/process/fate/zygote-killed-command", test_zygote_killed_command);
  g_test_add_func ("/mp/process/fate/group", test_group);
  g_test_add_data_func ("/mp/process/fate/generations/task", "pause", test_generations);
  g_test_add_data_func ("/mp/process/fate/generations/command", "", test_generations);
  g_test_add_func ("/mp/process/fate/unsafe-fork", test_unsafe_fork);
  g_test_add_func ("/mp/process/fate/fork", test_fork);
  g_test_add_func ("/mp/process/fate/glib-threads", test_glib_threads);
  g_test_add_func ("/mp/process/fate/storm", test_storm);
  return g_test_run ();
}
