/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-child-private.h"

#include "mp-surroundings-private.h"
#include "mp-task-private.h"
#include "mp-zygote-link-private.h"
#include "../base/mp-error-private.h"
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

/* Those that are not as a new process is to have them. */
static sigset_t changed_signals;
static gboolean changed_signals_noted;

void
mp_child_note_signals (void)
{
  struct sigaction action;

  sigemptyset (&changed_signals);
  for (int i = 1; i < NSIG; i++)
    if (sigaction (i, NULL, &action) == 0 && action.sa_handler != SIG_DFL)
      sigaddset (&changed_signals, i);
  changed_signals_noted = TRUE;
}

/* Whatever the parent ignores, catches or blocks is its own affair. */
static void
reset_signals (void)
{
  sigset_t none;

  for (int i = 1; i < NSIG; i++)
    if (i != SIGKILL && i != SIGSTOP &&
        (!changed_signals_noted || sigismember (&changed_signals, i) == 1))
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
report_and_leave (const MpChild *child, MpError code, const char *text)
{
  MpChildStatus own;
  MpChildStatus *status = child->status != NULL ? child->status : &own;
  gssize written G_GNUC_UNUSED;

  status->code = code;
  g_strlcpy (status->text, text, sizeof status->text);
  if (child->status_fd >= 0)
    written = write (child->status_fd, status, sizeof *status);
  _exit (EXIT_NOT_EXECUTED);
}

static G_NORETURN void
report_exec_and_leave (const MpChild *child, int err)
{
  const char *name = child->start->argv[0];
  char text[MP_CHILD_STATUS_TEXT];

  if (err == ENOENT)
    g_snprintf (text, sizeof text, "The command “%s” was not found", name);
  else
    g_snprintf (text, sizeof text, "The command “%s” cannot be run: %s", name, g_strerror (err));
  report_and_leave (child, mp_error_from_errno (err), text);
}

/* The user's descriptors become 3, 4, 5 … in their order. */
static void
place_fds (const MpChild *child)
{
  int high[MP_START_MAX_USER_FDS];
  int first_free = 3 + (int) child->n_fds;

  for (guint i = 0; i < child->n_fds; i++)
    high[i] = fcntl (child->fds[i], F_DUPFD_CLOEXEC, first_free);
  for (guint i = 0; i < child->n_fds; i++)
    if (high[i] < 0 || dup2 (high[i], 3 + (int) i) < 0)
      report_exec_and_leave (child, errno);
}

static G_NORETURN void
child_command (const MpChild *child)
{
  place_fds (child);
  execvp (child->start->argv[0], child->start->argv);
  report_exec_and_leave (child, errno);
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
  report_exec_and_leave (child, errno);
}

static void
redirect (const int *std_fds)
{
  for (int i = 0; i < 3; i++)
    if (std_fds[i] >= 0)
      dup2 (std_fds[i], i);
}

/* Takes over the surroundings of whoever asked; errno tells of a failure, too. */
static gboolean
enter (const MpStart *start, const int *std_fds, int cwd_fd, GError **error)
{
  redirect (std_fds);
  if (cwd_fd >= 0 && fchdir (cwd_fd) < 0)
    return mp_set_error_from_errno (error, errno, "Cannot enter the working directory");
  if (start->env != NULL)
    environ = start->env;
  return mp_surroundings_apply (start->surroundings, error);
}

void
mp_child_main (const MpChild *child)
{
  MpStartKind kind = child->start->kind;
  g_autoptr (GError) error = NULL;

  /* The death signal comes with the end of the parent's thread that forked;
   * who calls this takes care that this thread lives as long as its process. */
  if (!child->start->outlives)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      if (getppid () != child->parent)
        _exit (EXIT_FAILURE);
    }
  reset_signals ();
  if (kind == MP_START_COMMAND)
    setpgid (0, 0);
  if (!enter (child->start, child->std_fds, child->cwd_fd, &error))
    {
      if (child->status_fd >= 0 || child->status != NULL)
        report_and_leave (child, error->code, error->message);
      g_printerr ("%s: %s\n", program_invocation_short_name, error->message);
      _exit (EXIT_FAILURE);
    }

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

/* In a process that was executed ahead: waits until there is something to do. */
static gboolean
receive_start (MpExecuted *executed, MpStart *start, GError **error)
{
  g_autoptr (GArray) fds = g_array_new (FALSE, FALSE, sizeof (int));
  MpZygoteMessage message;
  const int *fd;

  if (mp_fd_receive_message (executed->link_fd, &message, sizeof message, fds) <= 0)
    _exit (EXIT_SUCCESS); /* the zygote goes, and no start will come */
  fd = (const int *) (gpointer) fds->data;
  if (fds->len < MP_START_N_FDS)
    {
      g_set_error_literal (error, MP_ERROR, MP_ERROR_LIMIT, "Too many open files");
      return FALSE;
    }
  if (!mp_start_from_memfd (start, fd[0], error) || !enter (start, fd + 2, fd[1], error))
    return FALSE;
  for (guint i = 0; i < MP_START_N_FDS; i++)
    close (fd[i]);
  g_array_append_vals (executed->fds, fd + MP_START_N_FDS, fds->len - MP_START_N_FDS);
  return TRUE;
}

gboolean
mp_child_take_executed (MpExecuted *executed, MpStart *start, GError **error)
{
  for (guint i = 0; i < executed->fds->len; i++)
    fcntl (g_array_index (executed->fds, int, i), F_SETFD, FD_CLOEXEC);
  if (executed->link_fd >= 0)
    {
      fcntl (executed->link_fd, F_SETFD, FD_CLOEXEC);
      mp_zygote_link_set_inherited (executed->kind, executed->link_fd, 0);
    }
  if (executed->body_fd < 0)
    return receive_start (executed, start, error);
  if (!mp_start_from_memfd (start, executed->body_fd, error))
    return FALSE;
  mp_clear_fd (&executed->body_fd);
  return TRUE;
}

void
mp_child_main_executed (MpExecuted *executed)
{
  g_auto (MpStart) start = { 0 };
  g_autoptr (GError) error = NULL;

  if (!mp_child_take_executed (executed, &start, &error))
    {
      g_printerr ("%s: %s\n", program_invocation_short_name, error->message);
      _exit (EXIT_FAILURE);
    }
  leave (run_task (&start, (const int *) (gpointer) executed->fds->data, executed->fds->len));
}
