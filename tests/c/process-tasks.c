/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "process-tasks.h"

#include <errno.h>
#include <glib-unix.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static int
first_fd (MpTask *task)
{
  GUnixFDList *fd_list = mp_task_get_fd_list (task);
  int n_fds = 0;
  const int *fds = g_unix_fd_list_peek_fds (fd_list, &n_fds);

  return n_fds > 0 ? fds[0] : -1;
}

static GVariant *
exit_task (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  exit (g_variant_get_int32 (argument));
}

static GVariant *
succeed_task (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  return g_variant_new_string ("done");
}

static GVariant *
fail_task (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "it was told to fail");
  return NULL;
}

static GVariant *
signal_task (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  raise (g_variant_get_int32 (argument));
  return NULL;
}

static G_NORETURN void
pause_for_ever (void)
{
  while (TRUE)
    pause ();
}

static GVariant *
pause_task (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  int fd = first_fd (task);

  if (fd >= 0)
    dprintf (fd, "%d\n", getpid ());
  pause_for_ever ();
}

static void
report_stdin (int fd)
{
  char byte;

  dprintf (fd, "%s\n", read (0, &byte, 1) == 0 ? "at its end" : "something");
}

static void
report_mask (int fd)
{
  struct sigaction action;
  sigset_t mask;
  int n = 0;

  sigprocmask (SIG_SETMASK, NULL, &mask);
  for (int i = 1; i < NSIG; i++)
    n += sigismember (&mask, i) == 1;
  for (int i = 1; i < NSIG; i++)
    n += sigaction (i, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
  dprintf (fd, "%d\n", n);
}

static void
report_surroundings (int fd)
{
  struct rlimit files;
  cpu_set_t cpus;
  mode_t mask = umask (0);

  getrlimit (RLIMIT_NOFILE, &files);
  sched_getaffinity (0, sizeof cpus, &cpus);
  dprintf (fd,
           "%03o %d %d %d %d\n",
           mask,
           getpriority (PRIO_PROCESS, 0),
           (int) files.rlim_cur,
           CPU_COUNT (&cpus),
           CPU_ISSET (0, &cpus) != 0);
}

/* To each of the streams, and to the pipe what came from the input. */
static void
report_out (int fd)
{
  char text[64] = "";
  gssize length = read (0, text, sizeof text - 1);

  printf ("to the output\n");
  fprintf (stderr, "to the errors\n");
  dprintf (fd, "%s\n", length > 0 ? text : "(nothing)");
}

static GVariant *
report_task (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  const char *what = g_variant_get_string (argument, NULL);
  int fd = first_fd (task);

  if (g_str_equal (what, "cwd"))
    {
      g_autofree char *cwd = g_get_current_dir ();

      dprintf (fd, "%s\n", cwd);
    }
  else if (g_str_equal (what, "pid"))
    dprintf (fd, "%d\n", getpid ());
  else if (g_str_equal (what, "fds"))
    dprintf (fd, "%u\n", test_count_fds ());
  else if (g_str_has_prefix (what, "env "))
    dprintf (fd, "%s\n", g_getenv (what + 4) != NULL ? g_getenv (what + 4) : "(none)");
  else if (g_str_equal (what, "stdin"))
    report_stdin (fd);
  else if (g_str_equal (what, "mask"))
    report_mask (fd);
  else if (g_str_equal (what, "surroundings"))
    report_surroundings (fd);
  else if (g_str_equal (what, "out"))
    report_out (fd);
  else
    dprintf (fd, "%s\n", what);
  return NULL;
}

static GVariant *
parent_task (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  const char *name = g_variant_get_string (argument, NULL);
  const char *const argv[] = { "sh", "-c", "echo $$ >&3; sleep 1000 & wait", NULL };
  g_autoptr (MpProcess) process = NULL;

  if (*name == '\0')
    process = mp_process_new (NULL, argv);
  else
    process = mp_process_new_task (NULL, name, g_variant_new_string ("pause"));
  mp_process_set_fd_list (process, mp_task_get_fd_list (task));
  if (!mp_process_start (process, NULL, error))
    return NULL;
  pause_for_ever ();
}

/* Has ever more memory: two megabytes at a time, until there is as much as it is told. */
static GVariant *
eat_task (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  const gsize piece = 2 * 1024 * 1024;

  for (gint64 eaten = 0; eaten < g_variant_get_int64 (argument); eaten += piece)
    {
      char *memory = mmap (NULL, piece, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

      if (memory == MAP_FAILED)
        exit (3);
      memset (memory, 1, piece);
      g_thread_yield ();
    }
  if (first_fd (task) >= 0)
    dprintf (first_fd (task), "%d\n", getpid ());
  pause_for_ever ();
}

static GVariant *
spin_task (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  while (TRUE)
    ;
  return NULL;
}

/* Acquires a lock of its parent's, adds to a value, says so with an event, and never ends. */
static GVariant *
hold_task (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  GUnixFDList *fd_list = mp_task_get_fd_list (task);
  MpShareable *objects[3];

  for (gsize i = 0; i < G_N_ELEMENTS (objects); i++)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (argument, i);
      g_autoptr (GVariant) handle = g_variant_get_variant (boxed);

      objects[i] = mp_shareable_new_from_handle (handle, fd_list, error);
      if (objects[i] == NULL)
        return NULL;
    }
  if (!mp_lock_acquire (MP_LOCK (objects[0]), -1, NULL, error))
    return NULL;
  mp_value_add (MP_VALUE (objects[1]), 5, error);
  mp_event_set (MP_EVENT (objects[2]));
  pause_for_ever ();
}

void
test_tasks_register (void)
{
  mp_task_register ("exit", exit_task, NULL, NULL);
  mp_task_register ("succeed", succeed_task, NULL, NULL);
  mp_task_register ("fail", fail_task, NULL, NULL);
  mp_task_register ("signal", signal_task, NULL, NULL);
  mp_task_register ("pause", pause_task, NULL, NULL);
  mp_task_register ("report", report_task, NULL, NULL);
  mp_task_register ("parent", parent_task, NULL, NULL);
  mp_task_register ("hold", hold_task, NULL, NULL);
  mp_task_register ("eat", eat_task, NULL, NULL);
  mp_task_register ("spin", spin_task, NULL, NULL);
}

MpProcess *
test_start_with_pipe (MpContext *context, const char *task, GVariant *argument, int *fd)
{
  g_autoptr (MpProcess) process = mp_process_new_task (context, task, argument);
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

char *
test_read_line (int fd)
{
  g_autoptr (GString) line = g_string_new (NULL);
  char c;

  while (TRUE)
    {
      struct pollfd pollfd = { .fd = fd, .events = POLLIN };

      g_assert_cmpint (poll (&pollfd, 1, TEST_LIMIT_US / 1000), ==, 1);
      if (read (fd, &c, 1) != 1)
        return line->len > 0 ? g_string_free (g_steal_pointer (&line), FALSE) : NULL;
      if (c == '\n')
        return g_string_free (g_steal_pointer (&line), FALSE);
      g_string_append_c (line, c);
    }
}

int
test_read_pid (int fd)
{
  g_autofree char *line = test_read_line (fd);

  g_assert_nonnull (line);
  g_assert_cmpint (atoi (line), >, 1);
  return atoi (line);
}

MpProcess *
test_start_command (MpContext *context, const char *script)
{
  const char *argv[] = { "sh", "-c", script, NULL };
  g_autoptr (MpProcess) process = mp_process_new (context, argv);
  g_autoptr (GError) error = NULL;

  mp_process_start (process, NULL, &error);
  g_assert_no_error (error);
  return g_steal_pointer (&process);
}

int
test_join (MpProcess *process)
{
  g_autoptr (GError) error = NULL;

  mp_process_join (process, TEST_LIMIT_US, NULL, &error);
  g_assert_no_error (error);
  return mp_process_get_exit_code (process);
}

void
test_wait_for_end (int pid)
{
  int pidfd = pidfd_open (pid, 0);
  struct pollfd pollfd = { .fd = pidfd, .events = POLLIN };

  if (pidfd < 0)
    {
      g_assert_cmpint (errno, ==, ESRCH);
      return;
    }
  g_assert_cmpint (poll (&pollfd, 1, TEST_LIMIT_US / 1000), ==, 1);
  close (pidfd);
}

static gboolean
time_over_cb (gpointer data)
{
  g_error ("What had to happen did not happen in time");
  return G_SOURCE_REMOVE;
}

void
test_wait_until (gboolean (*done) (gpointer data), gpointer data)
{
  guint id = g_timeout_add (TEST_LIMIT_US / 1000, time_over_cb, NULL);

  while (!done (data))
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (id);
}

guint
test_count_fds (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;
  /* The directory's own does not count. */
  return n - 1;
}
