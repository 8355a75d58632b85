/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-pidfd-private.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

/* Linux 6.9: the signal goes to the process group. */
#ifndef PIDFD_SIGNAL_PROCESS_GROUP
#define PIDFD_SIGNAL_PROCESS_GROUP (1u << 2)
#endif

/* Linux 6.15: how a process ended that is not our child. */
typedef struct
{
  guint64 mask;
  guint64 cgroup_id;
  guint32 ids[11];
  gint32 exit_code;
} PidfdInfo;

#define PIDFD_INFO_WANT_EXIT (1u << 3)
#define PIDFD_IOCTL_GET_INFO _IOWR (0xff, 11, PidfdInfo)

gboolean
mp_pidfd_has_ended (int pidfd)
{
  struct pollfd pollfd = { .fd = pidfd, .events = POLLIN };

  return TEMP_FAILURE_RETRY (poll (&pollfd, 1, 0)) > 0;
}

void
mp_pidfd_kill_group (int pidfd, int pid)
{
  gboolean there = pidfd_send_signal (pidfd, SIGKILL, NULL, 0) == 0;

  /* Without the flag only a group whose leader is still there is safe to name
   * by its number. */
  if (pidfd_send_signal (pidfd, SIGKILL, NULL, PIDFD_SIGNAL_PROCESS_GROUP) < 0 && there)
    kill (-pid, SIGKILL);
}

gboolean
mp_pidfd_get_exit_code (int pidfd, int *exit_code)
{
  PidfdInfo info = { .mask = PIDFD_INFO_WANT_EXIT };

  if (ioctl (pidfd, PIDFD_IOCTL_GET_INFO, &info) < 0 || (info.mask & PIDFD_INFO_WANT_EXIT) == 0)
    return FALSE;
  *exit_code =
    WIFSIGNALED (info.exit_code) ? -WTERMSIG (info.exit_code) : WEXITSTATUS (info.exit_code);
  return TRUE;
}

int
mp_exit_code_from_siginfo (int code, int status)
{
  return code == CLD_EXITED ? status : -status;
}
