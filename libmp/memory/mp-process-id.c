/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-process-id-private.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mp-fd-private.h"
#include "mp-namespace-private.h"

/* The numbers of fields in /proc/PID/stat, and in which one the state is. */
#define FIELD_STATE 3
#define FIELD_THREADS 20
#define FIELD_START 22

/* Nothing here allocates or locks: fork handlers come here. */

static gboolean
read_file (const char *path, char *buffer, gsize size)
{
  g_auto (MpFd) fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  gssize got;

  if (fd < 0)
    return FALSE;
  do
    got = read (fd, buffer, size - 1);
  while (got < 0 && errno == EINTR);
  if (got < 0)
    return FALSE;
  buffer[got] = '\0';
  return TRUE;
}

gboolean
mp_process_status_read (guint64 pid, MpProcessStatus *status)
{
  char path[64] = "/proc/self/stat", text[1024];
  const char *at;

  if (pid != 0)
    snprintf (path, sizeof path, "/proc/%" G_GUINT64_FORMAT "/stat", pid);
  /* /proc/self is a link, but not in the last part of the path. */
  if (!read_file (path, text, sizeof text))
    return FALSE;
  errno = EPROTO;
  /* The field before is the name, which may contain anything. */
  at = strrchr (text, ')');
  if (at == NULL || at[1] != ' ')
    return FALSE;
  at += 2;
  status->state = *at;
  for (int field = FIELD_STATE; field < FIELD_START; field++)
    {
      if (field == FIELD_THREADS)
        status->n_threads = (guint) g_ascii_strtoull (at, NULL, 10);
      at = strchr (at, ' ');
      if (at == NULL)
        return FALSE;
      at++;
    }
  status->start = g_ascii_strtoull (at, NULL, 10);
  return TRUE;
}

/* Asked for with every handle, and the same until a fork. */
static _Thread_local MpProcessId known __attribute__ ((tls_model ("initial-exec")));

static void
forget (void)
{
  known.pid = 0;
}

__attribute__ ((constructor)) static void
watch_forks (void)
{
  pthread_atfork (NULL, NULL, forget);
}

MpProcessId
mp_process_id_get_self (void)
{
  guint64 pid = (guint64) getpid ();
  MpProcessStatus status;

  if (known.pid != pid)
    {
      if (!mp_process_status_read (0, &status))
        return (MpProcessId){ .pid = pid };
      known =
        (MpProcessId){ .namespace = mp_get_pid_namespace (), .pid = pid, .start = status.start };
    }
  return known;
}

MpProcessState
mp_process_id_get_state (const MpProcessId *self)
{
  char path[64];
  struct stat owner;
  MpProcessStatus status;

  if (self->namespace == 0 || self->namespace != mp_get_pid_namespace ())
    return MP_PROCESS_HIDDEN;
  /* 0 would name the asking process itself. */
  if (self->pid == 0 || self->pid > G_MAXINT32)
    return MP_PROCESS_GONE;
  /* Who has no descriptor or memory left for a look knows nothing of the other. */
  if (!mp_process_status_read (self->pid, &status))
    return errno == ENOENT || errno == ESRCH ? MP_PROCESS_GONE : MP_PROCESS_UNKNOWN;
  if (strchr ("ZXx", status.state) != NULL || status.start != self->start)
    return MP_PROCESS_GONE;
  snprintf (path, sizeof path, "/proc/%" G_GUINT64_FORMAT, self->pid);
  if (stat (path, &owner) != 0)
    return MP_PROCESS_GONE;
  return owner.st_uid == geteuid () ? MP_PROCESS_ALIVE : MP_PROCESS_HIDDEN;
}
