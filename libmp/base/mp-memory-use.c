/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-memory-use-private.h"

#include "mp-fd-private.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

guint64
mp_memory_use_read (int pid)
{
  g_auto (MpFd) fd = -1;
  char path[48];
  char text[128];
  gulong resident;
  gulong shared;
  gssize n;

  g_snprintf (path, sizeof path, "/proc/%d/statm", pid);
  fd = open (path, O_RDONLY | O_CLOEXEC);
  n = fd >= 0 ? read (fd, text, sizeof text - 1) : -1;
  if (n <= 0)
    return 0;
  text[n] = '\0';
  if (sscanf (text, "%*u %lu %lu", &resident, &shared) != 2 || shared > resident)
    return 0;
  return (guint64) (resident - shared) * (guint64) sysconf (_SC_PAGESIZE);
}
