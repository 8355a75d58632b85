/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-child-private.h"

#include "mp-task-private.h"
#include "mp-zygote-link-private.h"
#include "../base/mp-fd-private.h"
#include "../base/mp-payload-private.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

/* As other systems have it: what was to be executed could not be. */
#define EXIT_NOT_EXECUTED 127

/* Whatever the parent ignores, catches or blocks is its own affair. */
static void
reset_signals (void)
{
  sigset_t none;

  for (int i = 1; i < NSIG; i++)
    if (i != SIGKILL && i != SIGSTOP)
      signal (i, SIG_DFL);
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
}

static int
compare_ints (gconstpointer a, gconstpointer b)
{
  int left = *(const int *) a;
  int right = *(const int *) b;

  return left < right ? -1 : left > right;
}

/* Closes everything from 3 on that is not in @keep. */
static void
close_others (GArray *keep)
{
  guint next = 3;

  g_array_sort (keep, compare_ints);
  for (guint i = 0; i < keep->len; i++)
    {
      int fd = g_array_index (keep, int, i);

      if (fd < (int) next)
        continue;
      if (fd > (int) next)
        close_range (next, fd - 1, 0);
      next = fd + 1;
    }
  close_range (next, ~0u, 0);
}

/* Says on stderr why the task failed; what a shell user sees. */
static int
run_task (const MpStart *start, const int *fds, guint n_fds)
{
  g_autoptr (GUnixFDList) fd_list = NULL;
  g_autoptr (MpTask) task = NULL;
  g_autoptr (GVariant) argument = NULL;
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  fd_list = g_unix_fd_list_new_from_array (fds, n_fds);
  task = mp_task_new (start->task, 0, 0, fd_list, NULL, NULL);
  if (start->data != NULL)
    argument = mp_payload_to_variant (start->data, start->data_length, start->codec, &error);
  if (error == NULL)
    result = mp_task_run (task, argument, &error);
  if (error != NULL)
    {
      g_printerr ("%s: task %s: %s\n", program_invocation_short_name, start->task, error->message);
      return EXIT_FAILURE;
    }
  return EXIT_SUCCESS;
}

/* Exit handlers belong to whoever registered them before the fork: what the
 * task itself needs at its end is that its output is written. */
static G_NORETURN void
leave (int code)
{
  fflush (NULL);
  _exit (code);
}

static G_NORETURN void
child_task (const MpChild *child)
{
  g_autoptr (GArray) keep = g_array_new (FALSE, FALSE, sizeof (int));

  g_array_append_vals (keep, child->fds, child->n_fds);
  if (child->link_fd >= 0)
    {
      g_array_append_val (keep, child->link_fd);
      mp_zygote_link_set_inherited (child->kind, child->link_fd, child->fingerprint);
    }
  close_others (keep);
  g_clear_pointer (&keep, g_array_unref);
  prctl (PR_SET_NAME, program_invocation_short_name);
  leave (run_task (child->start, child->fds, child->n_fds));
}

static G_NORETURN void
report_and_leave (int status_fd, int err)
{
  gssize written G_GNUC_UNUSED = write (status_fd, &err, sizeof err);

  _exit (EXIT_NOT_EXECUTED);
}

/* The user's descriptors become 3, 4, 5 … in their order. */
static int
place_fds (const MpChild *child)
{
  g_autofree int *high = g_new (int, child->n_fds + 1);
  int first_free = 3 + (int) child->n_fds;
  int status_fd = fcntl (child->status_fd, F_DUPFD_CLOEXEC, first_free);

  for (guint i = 0; i < child->n_fds; i++)
    high[i] = fcntl (child->fds[i], F_DUPFD_CLOEXEC, first_free);
  for (guint i = 0; i < child->n_fds; i++)
    if (status_fd < 0 || high[i] < 0 || dup2 (high[i], 3 + (int) i) < 0)
      report_and_leave (child->status_fd, errno);
  return status_fd;
}

static G_NORETURN void
child_command (const MpChild *child)
{
  int status_fd = place_fds (child);

  if (status_fd >= 0)
    execvp (child->start->argv[0], child->start->argv);
  report_and_leave (status_fd >= 0 ? status_fd : child->status_fd, errno);
}

static void
keep_over_exec (int fd)
{
  if (fd >= 0)
    fcntl (fd, F_SETFD, 0);
}

static G_NORETURN void
child_exec_task (const MpChild *child)
{
  g_autoptr (GString) marker = g_string_new (NULL);

  g_string_printf (marker, "%d:%d:%d:%d:", getpid (), child->kind, child->body_fd, child->link_fd);
  for (guint i = 0; i < child->n_fds; i++)
    {
      g_string_append_printf (marker, "%s%d", i > 0 ? "," : "", child->fds[i]);
      keep_over_exec (child->fds[i]);
    }
  keep_over_exec (child->body_fd);
  keep_over_exec (child->link_fd);
  setenv (MP_ENV_START, marker->str, TRUE);
  execvp (child->start->argv[0], child->start->argv);
  report_and_leave (child->status_fd, errno);
}

static void
redirect (const int *std_fds, MpStartKind kind)
{
  /* Tasks do not compete for the terminal's input. */
  g_auto (MpFd) null = kind != MP_START_COMMAND ? open ("/dev/null", O_RDONLY | O_CLOEXEC) : -1;

  for (int i = 0; i < 3; i++)
    {
      int fd = i == 0 && null >= 0 ? null : std_fds[i];

      if (fd >= 0)
        dup2 (fd, i);
    }
}

void
mp_child_main (const MpChild *child)
{
  MpStartKind kind = child->start->kind;

  /* The death signal comes with the end of the parent's thread that forked;
   * who calls this takes care that this thread lives as long as its process. */
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != child->parent)
    _exit (EXIT_FAILURE);
  reset_signals ();
  if (kind == MP_START_COMMAND)
    setpgid (0, 0);
  redirect (child->std_fds, kind);
  if (child->cwd_fd >= 0 && fchdir (child->cwd_fd) < 0)
    {
      if (child->status_fd >= 0)
        report_and_leave (child->status_fd, errno);
      g_printerr ("%s: cannot enter the working directory: %s\n",
                  program_invocation_short_name,
                  g_strerror (errno));
      _exit (EXIT_FAILURE);
    }
  if (child->start->env != NULL)
    environ = child->start->env;

  switch (kind)
    {
    case MP_START_COMMAND:
      child_command (child);
    case MP_START_EXEC_TASK:
      child_exec_task (child);
    case MP_START_TASK:
      child_task (child);
    case MP_START_CONFIGURE:
    default:
      _exit (EXIT_FAILURE);
    }
}

void
mp_child_main_executed (MpZygoteKind kind, int body_fd, int link_fd, GArray *fds)
{
  g_auto (MpStart) start = { 0 };
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < fds->len; i++)
    fcntl (g_array_index (fds, int, i), F_SETFD, FD_CLOEXEC);
  if (link_fd >= 0)
    {
      fcntl (link_fd, F_SETFD, FD_CLOEXEC);
      mp_zygote_link_set_inherited (kind, link_fd, 0);
    }
  if (!mp_start_from_memfd (&start, body_fd, &error))
    {
      g_printerr ("%s: %s\n", program_invocation_short_name, error->message);
      _exit (EXIT_FAILURE);
    }
  close (body_fd);
  leave (run_task (&start, (const int *) (gpointer) fds->data, fds->len));
}
