/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-fork-private.h"

#include "mp-child-private.h"
#include "mp-fork-guard.h"
#include "mp-pidfd-private.h"
#include "mp-pump-private.h"
#include "mp-task-private.h"
#include "../base/mp-error-private.h"
#include "../base/mp-fd-private.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

/* A child of our own, which the pump waits for. */
typedef struct
{
  MpZygoteCallbacks callbacks;
  GObject *owner;
  guint64 id;
  int pid;
  int pidfd;
} Forked;

/* What the child would lack: locks that these threads hold stay locked there. */
static gboolean
check_threads (GError **error)
{
  g_auto (GStrv) of_glib = NULL;
  g_auto (GStrv) others = NULL;
  g_autoptr (GString) names = g_string_new (NULL);

  if (!mp_fork_list_threads (&of_glib, &others, error))
    return FALSE;
  for (guint i = 0; of_glib[i] != NULL; i++)
    g_string_append_printf (names, "%s%s", names->len > 0 ? ", " : "", of_glib[i]);
  for (guint i = 0; others[i] != NULL; i++)
    g_string_append_printf (names, "%s%s", names->len > 0 ? ", " : "", others[i]);
  if (names->len == 0)
    return TRUE;
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_UNSAFE_FORK,
               "Forking this process is not safe, because it has other threads: %s. "
               "Use the start method forkserver",
               names->str);
  return FALSE;
}

static gboolean
exited_cb (int fd, GIOCondition condition, gpointer user_data)
{
  Forked *forked = user_data;
  siginfo_t info = { 0 };
  int exit_code = MP_EXIT_CODE_UNKNOWN;

  if (TEMP_FAILURE_RETRY (waitid (P_PIDFD, fd, &info, WEXITED | WNOHANG)) == 0 && info.si_pid != 0)
    exit_code = mp_exit_code_from_siginfo (info.si_code, info.si_status);
  else
    mp_pidfd_get_exit_code (fd, &exit_code);
  forked->callbacks.exited (forked->owner, forked->id, exit_code, g_steal_fd (&forked->pidfd));
  return G_SOURCE_REMOVE;
}

static void
forked_free (gpointer data)
{
  Forked *forked = data;

  mp_fd_close (forked->pidfd);
  g_object_unref (forked->owner);
  g_free (forked);
}

static gboolean
started_cb (gpointer user_data)
{
  Forked *forked = user_data;
  g_autoptr (GSource) source = g_unix_fd_source_new (forked->pidfd, G_IO_IN);

  forked->callbacks.started (forked->owner, forked->id, forked->pid, forked->pidfd);
  g_source_set_callback (source, G_SOURCE_FUNC (exited_cb), forked, forked_free);
  mp_pump_attach (source);
  return G_SOURCE_REMOVE;
}

static void
post_started (int pid, int pidfd, const MpZygoteCallbacks *callbacks, GObject *owner, guint64 id)
{
  Forked *forked = g_new0 (Forked, 1);

  forked->callbacks = *callbacks;
  forked->owner = g_object_ref (owner);
  forked->id = id;
  forked->pid = pid;
  forked->pidfd = pidfd;
  mp_pump_invoke (started_cb, forked, NULL);
}

gboolean
mp_fork_start (const MpZygoteRequest *request,
               const MpZygoteCallbacks *callbacks,
               GObject *owner,
               guint64 id,
               GError **error)
{
  g_auto (MpStart) start = { 0 };
  MpChild setup = {
    .parent = getpid (),
    .start = &start,
    .body_fd = request->body_fd,
    .cwd_fd = request->cwd_fd,
    .std_fds = { request->std_fds[0], request->std_fds[1], request->std_fds[2] },
    .link_fd = -1,
    .status_fd = -1,
  };
  sigset_t all, old;
  g_auto (MpFd) null = -1;
  int pidfd;
  pid_t pid;

  if (!check_threads (error) || !mp_start_from_memfd (&start, request->body_fd, error))
    return FALSE;
  if (!mp_task_is_registered (start.task) && !mp_task_is_in_module (start.task))
    {
      mp_task_set_error_unknown (start.task, error);
      return FALSE;
    }
  if (request->fd_list != NULL)
    {
      int n_fds = 0;

      setup.fds = g_unix_fd_list_peek_fds (request->fd_list, &n_fds);
      setup.n_fds = n_fds;
    }

  if (setup.std_fds[0] < 0)
    setup.std_fds[0] = null = open ("/dev/null", O_RDONLY | O_CLOEXEC);
  /* What is written but not out yet would be written by the child, too. */
  fflush (NULL);
  mp_fork_begin ();
  /* A signal for the child is for its own dispositions, not for the handlers that
   * it has until it sets them. */
  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &old);
  pid = fork ();
  if (pid == 0)
    mp_child_main (&setup);
  pthread_sigmask (SIG_SETMASK, &old, NULL);
  mp_fork_end ();
  if (pid < 0)
    return mp_set_error_from_errno (error, errno, "Cannot fork");
  pidfd = pidfd_open (pid, 0);
  if (pidfd < 0)
    {
      int err = errno;

      kill (pid, SIGKILL);
      TEMP_FAILURE_RETRY (waitpid (pid, NULL, 0));
      return mp_set_error_from_errno (error, err, "Cannot watch the new process");
    }
  post_started (pid, pidfd, callbacks, owner, id);
  return TRUE;
}
